/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_TIMELINE_H
#define FALCONER_PERF_LOAD_TIMELINE_H

/*
 * timeline - latencies over time, for plots: a file with a line for each
 * TIMELINE_STEP_MS of the measured phase,
 *
 *   seconds since its begin | replies | p50 us | p99 us | slowest us
 *
 * A reply counts where it came in; a step without any has zeros.
 *
 * Context    the one thread of the load program.
 * Errors     end the program.
 */

#include <stdio.h>

#include "base/hist.h"

#define TIMELINE_STEP_MS 20u

struct timeline {
	FILE *file; /* NULL: nobody wants one */
	uint64_t begin_ns;
	uint64_t step; /* the one that is being counted */
	struct hist latency;
};

/* path NULL: everything else does nothing. */
void timeline_open(struct timeline *, const char *path, uint64_t begin_ns);
void timeline_record(struct timeline *, uint64_t now_ns, uint64_t latency_ns);
void timeline_close(struct timeline *, uint64_t now_ns);

#endif
