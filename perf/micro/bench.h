/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_MICRO_BENCH_H
#define FALCONER_PERF_MICRO_BENCH_H

/*
 * bench - what a micro-benchmark is: a state, and a body that does its work a
 * given number of times.
 *
 * Bodies are C and know nothing of what measures them: main.cc hands them to
 * Google Benchmark, test_micro.c runs each once so that they cannot rot, and a
 * profiler may count their instructions (callgrind on the same program).
 *
 * A body tells how many of its operations came out as they should; whoever
 * runs it compares. That also keeps the compiler from dropping the work.
 *
 * Context    one thread.
 * Ownership  setup allocates, teardown frees; setup never returns NULL.
 */

/* Also read by main.cc, hence no header of the project. */
#include <stddef.h>
#include <stdint.h>

struct bench_case {
	const char *name;
	void *(*setup)(void);
	/* Does `count` operations; returns how many of them were right. */
	uint64_t (*run)(void *state, uint64_t count);
	void (*teardown)(void *state);
	uint64_t count_max; /* operations of one state; 0: any number. Where
			       something grows with each, such as a file */
};

/* A multiple of this goes into one call of run: some bodies work in bursts. */
#define BENCH_BURST 64u

/* Every file's cases; ends with a NULL name. */
extern const struct bench_case bench_checksum_cases[];
extern const struct bench_case bench_jute_cases[];
extern const struct bench_case bench_log_cases[];
extern const struct bench_case bench_prep_cases[];
extern const struct bench_case bench_read_cases[];
extern const struct bench_case bench_ring_cases[];
extern const struct bench_case bench_watch_cases[];
extern const struct bench_case bench_zab_cases[];

/* All of these lists; ends with NULL. */
extern const struct bench_case *const bench_lists[];

#endif
