/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_STAGE_H
#define FALCONER_DATAPLANE_STAGE_H

/*
 * stage - where the time of a poll round goes: every STAGE_SAMPLE-th round
 * reads the clock at the borders of its stages.
 *
 * Context    a poll core, its own counters.
 * Cost       a read and a compare; two readings of the clock when sampled.
 */

#include "base/stats.h"
#include "drivers/clock.h"

#define STAGE_SAMPLE 16u

/* Returns when the stage began; 0: this round is not sampled. */
static inline uint64_t
stage_begin(const struct stats_core *stats)
{
	const uint64_t round = atomic_load_explicit(
		&stats->word[STAT_LOOP_ITERATIONS], memory_order_relaxed);

	return round % STAGE_SAMPLE == 0 ? clock_now_ns() : 0;
}

/* Adds what the stage took, began as stage_begin() said; returns when it ended,
 * the begin of the next. */
static inline uint64_t
stage_end(struct stats_core *stats, enum stat stat, uint64_t began_ns)
{
	uint64_t now_ns;

	if (began_ns == 0)
		return 0;
	now_ns = clock_now_ns();
	stats_add(stats, stat, now_ns - began_ns);
	return now_ns;
}

#endif
