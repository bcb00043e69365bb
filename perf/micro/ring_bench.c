/* SPDX-License-Identifier: Apache-2.0 */
/* ring_bench - one pointer in and out of the point-to-point ring, and one
 * transaction's record through the broadcast ring, both ends on one core. */
#include "perf/micro/bench.h"

#include <stdlib.h>
#include <string.h>

#include "base/ring.h"
#include "dataplane/delta.h"
#include "perf/micro/must.h"

#define EFFECTS_BYTES 64u
#define REPLY_BYTES   68u

static void *
ring_setup(void)
{
	struct ring *ring = malloc(sizeof(*ring));

	BENCH_MUST(ring != NULL);
	BENCH_MUST(ring_init(ring, "bench", 1024) == 0);
	return ring;
}

static void
ring_teardown(void *state)
{
	ring_free(state);
	free(state);
}

static uint64_t
ring_hop(void *state, uint64_t count)
{
	struct ring *ring = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++)
		right += ring_push(ring, state) && ring_pop(ring) == state;
	return right;
}

static uint64_t
ring_hop_burst(void *state, uint64_t count)
{
	struct ring *ring = state;
	void *got[32];
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i += 32) {
		for (uint32_t k = 0; k < 32; k++)
			right += ring_push(ring, state);
		right -= ring_pop_burst(ring, got, 32) != 32;
	}
	return right;
}

struct deltas {
	struct delta_ring *ring;
	struct delta_cursor *cursor;
	uint64_t zxid;
	uint64_t effects[EFFECTS_BYTES / 8];
	uint8_t reply[REPLY_BYTES];
};

static void *
delta_setup(void)
{
	struct deltas *deltas = calloc(1, sizeof(*deltas));

	BENCH_MUST(deltas != NULL);
	BENCH_MUST(delta_ring_create(DELTA_RECORDS_DEFAULT, DELTA_ARENA_DEFAULT,
				     1, &deltas->ring) == 0);
	deltas->cursor = delta_cursor_open(deltas->ring, 0);
	return deltas;
}

static void
delta_teardown(void *state)
{
	struct deltas *deltas = state;

	delta_cursor_close(deltas->cursor);
	delta_ring_destroy(deltas->ring);
	free(deltas);
}

static bool
append(struct deltas *deltas)
{
	const struct delta record = {.zxid = ++deltas->zxid,
				     .effect_count = 1,
				     .effects_bytes = EFFECTS_BYTES,
				     .reply_bytes = REPLY_BYTES};

	return delta_append(deltas->ring, &record, deltas->effects,
			    deltas->reply) == 0;
}

static uint64_t
walk(struct deltas *deltas)
{
	const struct delta *record;
	uint64_t seen = 0;

	while ((record = delta_next(deltas->cursor, deltas->zxid)) != NULL)
		seen += delta_effects(record) != NULL &&
			delta_reply(record) != NULL;
	delta_cursor_advance(deltas->cursor);
	return seen;
}

static uint64_t
delta_one_by_one(void *state, uint64_t count)
{
	struct deltas *deltas = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++) {
		if (!append(deltas))
			break;
		delta_publish(deltas->ring, deltas->zxid);
		right += walk(deltas);
	}
	return right;
}

static uint64_t
delta_burst(void *state, uint64_t count)
{
	struct deltas *deltas = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i += BENCH_BURST) {
		for (uint32_t k = 0; k < BENCH_BURST; k++)
			if (!append(deltas))
				return right;
		delta_publish(deltas->ring, deltas->zxid);
		right += walk(deltas);
	}
	return right;
}

const struct bench_case bench_ring_cases[] = {
	{"ring/hop", ring_setup, ring_hop, ring_teardown, 0},
	{"ring/hop_burst32", ring_setup, ring_hop_burst, ring_teardown, 0},
	{"delta/append_publish_next", delta_setup, delta_one_by_one,
	 delta_teardown, 0},
	{"delta/append_publish_next_burst64", delta_setup, delta_burst,
	 delta_teardown, 0},
	{0},
};
