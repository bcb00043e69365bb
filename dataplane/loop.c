/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - poll, and when there is nothing, go down the idle ladder. The order
 * before a sleep matters: announce it, let go of the tree, look once more at
 * every ring, and only then block; a producer publishes, fences and then looks
 * at the announcement, so one of the two sees the other.
 */
#include "dataplane/loop.h"

#include "base/log.h"
#include "base/probe.h"
#include "base/time.h"
#include "dataplane/stage.h"
#include "drivers/clock.h"

/* A stopping core gives clients' last answers this long. */
#define DRAIN_NS (3 * NS_PER_SECOND)
/* A poll round longer than this is counted as a stall. */
#define STALL_NS (1 * NS_PER_MS)

static bool
poll_roles(struct loop *loop, uint64_t now_ns)
{
	const int64_t wall_ms = clock_wall_ms();
	bool did_work = false;
	uint64_t began_ns = stage_begin(loop->stats);

	if (loop->reader != NULL) {
		did_work |= reader_poll(loop->reader, now_ns, wall_ms);
		began_ns =
			stage_end(loop->stats, STAT_STAGE_READER_NS, began_ns);
	}
	if (loop->zab != NULL) {
		zab_note_time(loop->zab, now_ns);
		did_work |= zab_poll(loop->zab, time_ns_to_ms(now_ns), wall_ms);
		stage_end(loop->stats, STAT_STAGE_ZAB_NS, began_ns);
	}
	if (loop->hook.poll != NULL)
		did_work |= loop->hook.poll(loop->hook.arg, now_ns);
	return did_work;
}

static bool
has_work(const struct loop *loop)
{
	return (loop->reader != NULL && reader_has_work(loop->reader)) ||
	       (loop->zab != NULL && zab_has_work(loop->zab)) ||
	       (loop->hook.has_work != NULL &&
		loop->hook.has_work(loop->hook.arg)) ||
	       atomic_load_explicit(loop->must_stop, memory_order_relaxed);
}

static uint64_t
sleep_ns(const struct loop *loop, uint64_t now_ns)
{
	uint64_t next_ms = UINT64_MAX;

	if (loop->reader != NULL)
		next_ms = reader_next_timer_ms(loop->reader);
	if (loop->zab != NULL && zab_next_timer_ms(loop->zab) < next_ms)
		next_ms = zab_next_timer_ms(loop->zab);
	if (next_ms == UINT64_MAX)
		return UINT64_MAX;

	const uint64_t next_ns = time_ms_to_ns(next_ms);

	return next_ns > now_ns ? next_ns - now_ns : 0;
}

static void
block(struct loop *loop, uint64_t now_ns)
{
	lcore_sleep_begin(loop->lcore);
	if (loop->reader != NULL)
		reader_pause(loop->reader);
	if (!has_work(loop)) {
		stats_add(loop->stats, STAT_LOOP_SLEEPS, 1);
		FAL_PROBE1(sleep_begin, loop->core);
		if (loop->streams != NULL)
			stream_wait(loop->streams, sleep_ns(loop, now_ns));
		else
			lcore_wait(loop->lcore, sleep_ns(loop, now_ns));
		FAL_PROBE1(sleep_end, loop->core);
	}
	if (loop->reader != NULL)
		reader_resume(loop->reader);
	lcore_sleep_end(loop->lcore);
}

static bool
is_drained(const struct loop *loop)
{
	bool is_done = true;

	if (loop->reader != NULL)
		is_done &= reader_drain(loop->reader);
	if (loop->zab != NULL)
		is_done &= zab_is_idle(loop->zab) && !zab_has_work(loop->zab);
	return is_done;
}

static void
note_round(struct loop *loop, uint64_t took_ns, bool did_work)
{
	stats_add(loop->stats, STAT_LOOP_ITERATIONS, 1);
	stats_add(loop->stats, did_work ? STAT_LOOP_BUSY_NS : STAT_LOOP_IDLE_NS,
		  took_ns);
	if (did_work)
		stats_hist_record(loop->stats, HIST_LOOP_TIME, took_ns);
	if (took_ns <= STALL_NS)
		return;
	stats_add(loop->stats, STAT_LOOP_STALLS, 1);
	log_post(LOG_LOOP_STALL, took_ns / NS_PER_US, loop->core);
}

void
loop_run(struct loop *loop)
{
	struct idle idle;
	uint64_t now_ns = clock_now_ns();
	uint64_t stop_ns = 0;

	idle_init(&idle, loop->idle_policy, now_ns);
	for (;;) {
		const bool did_work = poll_roles(loop, now_ns);
		const uint64_t after_ns = clock_now_ns();

		note_round(loop, after_ns - now_ns, did_work);
		if (loop->reader != NULL)
			reader_round_done(loop->reader, after_ns);
		now_ns = after_ns;
		if (FAL_UNLIKELY(atomic_load_explicit(loop->must_stop,
						      memory_order_relaxed))) {
			if (stop_ns == 0)
				stop_ns = now_ns;
			if (is_drained(loop) || now_ns - stop_ns > DRAIN_NS)
				return;
			idle_relax(IDLE_YIELD);
			continue;
		}

		const enum idle_step step = idle_step(&idle, did_work, now_ns);

		if (step == IDLE_BLOCK) {
			block(loop, now_ns);
			now_ns = clock_now_ns();
			stats_add(loop->stats, STAT_LOOP_SLEEP_NS,
				  now_ns - after_ns);
		} else {
			idle_relax(step);
		}
	}
}
