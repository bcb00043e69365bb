/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core - what the machine's processors do by themselves.
 *
 *   hop     a message there and back over two rings between two pinned threads:
 *           near or far processors give very different figures
 *   hiccup  an empty pinned loop that notes how long each turn took: whatever
 *           is above a microsecond is time that somebody else took away
 */
#include "perf/floor/floor.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "drivers/clock.h"

struct line {
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t word;
};

struct hop {
	struct line there, back;
	_Atomic bool must_stop;
	uint32_t cpu;
};

static void
pin(uint32_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* Where it is forbidden the figure is what it is. */
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *
answer(void *arg)
{
	struct hop *hop = arg;
	uint64_t seen = 0;

	pin(hop->cpu);
	while (!atomic_load_explicit(&hop->must_stop, memory_order_relaxed)) {
		/* pairs with the release in hop_measure() */
		const uint64_t word = atomic_load_explicit(
			&hop->there.word, memory_order_acquire);

		if (word == seen)
			continue;
		seen = word;
		atomic_store_explicit(&hop->back.word, word,
				      memory_order_release);
	}
	return NULL;
}

void
hop_measure(double seconds, struct hist *out)
{
	static struct hop hop;
	uint64_t word = 0, now_ns;
	pthread_t thread;
	cpu_set_t before;

	pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
	hop.cpu = 1;
	atomic_store(&hop.must_stop, false);
	if (pthread_create(&thread, NULL, answer, &hop) != 0)
		floor_die("pthread_create");
	pin(0);
	now_ns = clock_os_now_ns();
	const uint64_t end_ns = now_ns + (uint64_t)(seconds * 1e9);

	while (now_ns < end_ns) {
		const uint64_t begin_ns = now_ns;

		word++;
		atomic_store_explicit(&hop.there.word, word,
				      memory_order_release);
		while (atomic_load_explicit(&hop.back.word,
					    memory_order_acquire) != word)
			continue;
		now_ns = clock_os_now_ns();
		hist_record(out, now_ns - begin_ns);
	}
	atomic_store(&hop.must_stop, true);
	pthread_join(thread, NULL);
	pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
}

void
hiccup_measure(double seconds, struct hist *out)
{
	cpu_set_t before;
	uint64_t now_ns;

	pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
	pin(0);
	now_ns = clock_os_now_ns();
	const uint64_t end_ns = now_ns + (uint64_t)(seconds * 1e9);

	while (now_ns < end_ns) {
		const uint64_t next_ns = clock_os_now_ns();

		hist_record(out, next_ns - now_ns);
		now_ns = next_ns;
	}
	pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
}
