/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_history - what the page draws over time: every two seconds the
 * differences since the last time, ten minutes of them. Latencies are kept in
 * half octaves from 1 us to 17 s, so a sample is some hundred bytes, and are
 * the counts of exactly that time, which no percentile since the start tells.
 */
#include "server/admin_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "drivers/clock.h"

#define INTERVAL_NS (2 * NS_PER_SECOND)
#define SAMPLES     300u
#define STEPS       48u /* half octaves above 2^FIRST ns */
#define FIRST       10u

enum { KIND_READ, KIND_UPDATE, KIND_FSYNC, KIND_COUNT };

struct sample {
	uint64_t number;
	int64_t wall_ms;
	uint32_t took_ms;
	uint64_t reads, updates, received, sent, events, log_bytes;
	uint32_t connections, outstanding;
	uint32_t count[KIND_COUNT][STEPS];
};

struct admin_history {
	uint64_t next_ns, last_ns;
	uint64_t number; /* of the newest; the first is 1 */
	struct sample sample[SAMPLES];
	/* As of the last time. */
	struct sample total;
	uint64_t hist[KIND_COUNT][STEPS];
	struct hist scratch;
};

struct admin_history *
admin_history_create(void)
{
	return calloc(1, sizeof(struct admin_history));
}

void
admin_history_destroy(struct admin_history *history)
{
	free(history);
}

/* The step that a bucket's values belong to: by its top, which no value
 * exceeds. */
static uint32_t
step_of(uint64_t ns)
{
	uint32_t octave, half;

	if (ns < 1ull << FIRST)
		return 0;
	octave = 63u - (uint32_t)__builtin_clzll(ns);
	half = (uint32_t)(ns >> (octave - 1)) & 1u;
	octave = 2 * (octave - FIRST) + half;
	return octave < STEPS ? octave : STEPS - 1;
}

static void
sum_steps(struct admin_history *history, const struct stats *stats,
	  enum stat_hist which, uint64_t steps[STEPS])
{
	struct hist *hist = &history->scratch;

	*hist = (struct hist){0};
	stats_hist_gather(stats, which, hist);
	memset(steps, 0, STEPS * sizeof(steps[0]));
	for (uint32_t b = 0; b < HIST_BUCKETS; b++)
		steps[step_of(hist_bucket_top(b))] += atomic_load_explicit(
			&hist->bucket[b], memory_order_relaxed);
}

static void
take_latencies(struct admin_history *history, const struct stats *stats,
	       struct sample *sample)
{
	static const enum stat_hist hists[] = {
		[KIND_READ] = HIST_READ_LATENCY,
		[KIND_UPDATE] = HIST_UPDATE_LATENCY,
		[KIND_FSYNC] = HIST_FSYNC_TIME,
	};
	uint64_t steps[STEPS];

	for (uint32_t k = 0; k < KIND_COUNT; k++) {
		sum_steps(history, stats, hists[k], steps);
		for (uint32_t i = 0; i < STEPS; i++)
			sample->count[k][i] =
				(uint32_t)(steps[i] - history->hist[k][i]);
		memcpy(history->hist[k], steps, sizeof(steps));
	}
}

/* srst sets packets back to 0. */
static uint64_t
difference(uint64_t now, uint64_t before)
{
	return now >= before ? now - before : now;
}

static struct sample
totals_of(const struct server *server)
{
	const struct stats *stats = &server->stats;
	struct txlog_counters log;

	txlog_counters(server->txlog, &log);
	return (struct sample){
		.reads = stats_sum(stats, STAT_READS),
		.updates = stats_sum(stats, STAT_UPDATES),
		.received = stats_sum(stats, STAT_PACKETS_RECEIVED),
		.sent = stats_sum(stats, STAT_PACKETS_SENT),
		.events = stats_sum(stats, STAT_WATCH_EVENTS),
		.log_bytes = log.bytes,
	};
}

static void
take_sample(struct admin_history *history, const struct server *server,
	    uint64_t now_ns)
{
	const struct sample now = totals_of(server);
	const struct sample before = history->total;
	struct sample *to = &history->sample[++history->number % SAMPLES];

	*to = (struct sample){
		.number = history->number,
		.wall_ms = clock_wall_ms(),
		.took_ms = (uint32_t)time_ns_to_ms(now_ns - history->last_ns),
		.reads = difference(now.reads, before.reads),
		.updates = difference(now.updates, before.updates),
		.received = difference(now.received, before.received),
		.sent = difference(now.sent, before.sent),
		.events = difference(now.events, before.events),
		.log_bytes = difference(now.log_bytes, before.log_bytes),
		.connections =
			(uint32_t)stats_sum(&server->stats, STAT_CONNECTIONS),
		.outstanding =
			(uint32_t)stats_sum(&server->stats, STAT_OUTSTANDING),
	};
	take_latencies(history, &server->stats, to);
	history->total = now;
}

void
admin_history_poll(struct admin_history *history, const struct server *server,
		   uint64_t now_ns)
{
	if (now_ns < history->next_ns)
		return;
	if (history->next_ns == 0) { /* the first call: where we start */
		struct sample unused = {0};

		history->total = totals_of(server);
		take_latencies(history, &server->stats, &unused);
	} else {
		take_sample(history, server, now_ns);
	}
	history->last_ns = now_ns;
	history->next_ns = now_ns + INTERVAL_NS;
}

/* Most steps are 0: [step, count, step, count, ...]. */
static void
put_counts(struct json *json, const char *key, const uint32_t count[STEPS])
{
	json_array_begin(json, key);
	for (uint32_t i = 0; i < STEPS; i++) {
		if (count[i] == 0)
			continue;
		json_uint(json, NULL, i);
		json_uint(json, NULL, count[i]);
	}
	json_array_end(json);
}

static void
put_sample(struct json *json, const struct sample *sample)
{
	const struct {
		const char *key;
		uint64_t value;
	} fields[] = {
		{"number", sample->number},
		{"wall_ms", (uint64_t)sample->wall_ms},
		{"took_ms", sample->took_ms},
		{"reads", sample->reads},
		{"updates", sample->updates},
		{"received", sample->received},
		{"sent", sample->sent},
		{"events", sample->events},
		{"log_bytes", sample->log_bytes},
		{"connections", sample->connections},
		{"outstanding", sample->outstanding},
	};

	json_object_begin(json, NULL);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		json_uint(json, fields[i].key, fields[i].value);
	put_counts(json, "read_steps", sample->count[KIND_READ]);
	put_counts(json, "update_steps", sample->count[KIND_UPDATE]);
	put_counts(json, "fsync_steps", sample->count[KIND_FSYNC]);
	json_object_end(json);
}

void
admin_history_put(const struct admin_history *history, struct json *json,
		  uint64_t since)
{
	const uint64_t oldest =
		history->number < SAMPLES ? 1 : history->number - SAMPLES + 2;

	json_uint(json, "steps", STEPS);
	json_uint(json, "first_exponent", FIRST);
	json_array_begin(json, "samples");
	for (uint64_t n = since + 1 > oldest ? since + 1 : oldest;
	     n <= history->number; n++)
		put_sample(json, &history->sample[n % SAMPLES]);
	json_array_end(json);
}
