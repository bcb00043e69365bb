/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    Every reader sees every published record once, in zxid order, with
 *         its bytes intact until it gives them back; nothing unpublished or
 *         taken back is ever seen; a reader that loaded P' gets exactly the
 *         records <= P'.
 * Method  cases one by one, then random operations beside a model (an array
 *         of everything ever published), then threads: one producer and three
 *         readers on a ring small enough to wrap all the time, with records
 *         that are taken back, epochs without a record, heap blobs. The seed is
 *         printed; FAL_SEED sets it, FAL_DELTA_TXNS the length of the stress.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/delta.h"

static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint64_t
seed_from_env(void)
{
	const char *env = getenv("FAL_SEED");
	const uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : 4711;

	print_message("seed %llu (FAL_SEED)\n", (unsigned long long)seed);
	return seed;
}

static uint64_t
load_published(const struct delta_ring *ring)
{
	return atomic_load_explicit(delta_published(ring),
				    memory_order_acquire);
}

static struct delta_ring *
make_ring(uint32_t records, uint32_t arena_bytes, uint32_t cursors)
{
	struct delta_ring *ring;

	assert_int_equal(
		delta_ring_create(records, arena_bytes, cursors, &ring), 0);
	return ring;
}

/* Fills a blob so that its bytes tell where they belong. */
static void
fill(uint8_t *to, uint32_t bytes, uint64_t zxid, uint8_t salt)
{
	for (uint32_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(zxid * 31 + i * 7 + salt);
}

static bool
is_filled(const uint8_t *at, uint32_t bytes, uint64_t zxid, uint8_t salt)
{
	for (uint32_t i = 0; i < bytes; i++)
		if (at[i] != (uint8_t)(zxid * 31 + i * 7 + salt))
			return false;
	return true;
}

enum { EFFECT_SALT = 1, REPLY_SALT = 100, POISON = 77 };

static int
append(struct delta_ring *ring, uint64_t zxid, uint32_t effects_bytes,
       uint32_t reply_bytes, int32_t type)
{
	uint8_t *effects = malloc(effects_bytes + 1);
	uint8_t *reply = malloc(reply_bytes + 1);
	const struct delta record = {.zxid = zxid,
				     .session_id = (int64_t)zxid * 3,
				     .cxid = (int32_t)zxid,
				     .type = type,
				     .effect_count = effects_bytes / 8,
				     .effects_bytes = effects_bytes,
				     .reply_bytes = reply_bytes};

	assert_non_null(effects);
	assert_non_null(reply);
	fill(effects, effects_bytes, zxid, EFFECT_SALT);
	fill(reply, reply_bytes, zxid, REPLY_SALT);
	const int rc =
		delta_append(ring, &record, effects_bytes > 0 ? effects : NULL,
			     reply_bytes > 0 ? reply : NULL);

	free(effects);
	free(reply);
	return rc;
}

/* No cmocka asserts here: reader threads use it too. */
static bool
is_intact(const struct delta *record)
{
	const uint8_t *effects = delta_effects(record);
	const uint8_t *reply = delta_reply(record);

	if (record->session_id != (int64_t)record->zxid * 3 ||
	    record->cxid != (int32_t)record->zxid || record->type == POISON)
		return false;
	if ((effects == NULL) != (record->effects_bytes == 0) ||
	    (reply == NULL) != (record->reply_bytes == 0))
		return false;
	if (((uintptr_t)effects & 7) != 0 || ((uintptr_t)reply & 7) != 0)
		return false;
	return is_filled(effects, record->effects_bytes, record->zxid,
			 EFFECT_SALT) &&
	       is_filled(reply, record->reply_bytes, record->zxid, REPLY_SALT);
}

static void
refuses_sizes_that_are_not_powers_of_two(void **state)
{
	struct delta_ring *ring;

	(void)state;
	assert_int_equal(delta_ring_create(3, 4096, 1, &ring), FAL_EINVAL);
	assert_int_equal(delta_ring_create(1, 4096, 1, &ring), FAL_EINVAL);
	assert_int_equal(delta_ring_create(8, 4095, 1, &ring), FAL_EINVAL);
	assert_int_equal(delta_ring_create(8, 32, 1, &ring), FAL_EINVAL);
	assert_int_equal(delta_ring_create(8, 4096, 0, &ring), FAL_EINVAL);
	assert_int_equal(
		delta_ring_create(8, 4096, DELTA_CURSORS_MAX + 1, &ring),
		FAL_EINVAL);
	assert_null(ring);
}

static void
shows_a_record_only_after_it_is_published(void **state)
{
	struct delta_ring *ring = make_ring(8, 4096, 1);
	struct delta_cursor *cursor = delta_cursor_open(ring, 0);

	(void)state;
	assert_int_equal(append(ring, 1, 24, 5, 1), 0);
	assert_int_equal(append(ring, 2, 0, 0, 1), 0);
	assert_int_equal(load_published(ring), 0);
	assert_null(delta_next(cursor, UINT64_MAX));
	assert_int_equal(delta_unpublished(ring), 2);
	delta_publish(ring, 1);
	assert_int_equal(load_published(ring), 1);

	const struct delta *record = delta_next(cursor, 1);

	assert_non_null(record);
	assert_int_equal(record->zxid, 1);
	assert_true(is_intact(record));
	assert_null(delta_next(cursor, UINT64_MAX));
	delta_publish(ring, 2);
	record = delta_next(cursor, 2);
	assert_int_equal(record->zxid, 2);
	assert_null(delta_effects(record));
	assert_null(delta_reply(record));
	assert_int_equal(delta_unpublished(ring), 0);
	delta_ring_destroy(ring);
}

static void
leaves_records_above_the_readers_limit_in_the_ring(void **state)
{
	struct delta_ring *ring = make_ring(8, 4096, 1);
	struct delta_cursor *cursor = delta_cursor_open(ring, 0);

	(void)state;
	for (uint64_t z = 1; z <= 5; z++)
		assert_int_equal(append(ring, z, 8, 8, 1), 0);
	delta_publish(ring, 5);
	assert_int_equal(delta_next(cursor, 2)->zxid, 1);
	assert_int_equal(delta_next(cursor, 2)->zxid, 2);
	assert_null(delta_next(cursor, 2));
	assert_int_equal(delta_cursor_skip(cursor, 4), 2);
	assert_null(delta_next(cursor, 4));
	assert_int_equal(delta_cursor_skip(cursor, 4), 0);
	assert_int_equal(delta_next(cursor, 5)->zxid, 5);
	assert_int_equal(delta_cursor_skip(cursor, 5), 0);
	delta_ring_destroy(ring);
}

static void
moves_p_without_a_record_for_a_new_epoch(void **state)
{
	struct delta_ring *ring = make_ring(8, 4096, 1);
	struct delta_cursor *cursor = delta_cursor_open(ring, 0);
	const uint64_t epoch = 1ull << 32;

	(void)state;
	delta_publish(ring, epoch);
	assert_int_equal(load_published(ring), epoch);
	assert_null(delta_next(cursor, epoch));
	assert_int_equal(append(ring, epoch + 1, 0, 8, 1), 0);
	delta_publish(ring, epoch + 1);
	assert_int_equal(delta_next(cursor, epoch + 1)->zxid, epoch + 1);
	delta_ring_destroy(ring);
}

static void
takes_unpublished_records_back_and_reuses_their_zxids(void **state)
{
	struct delta_ring *ring = make_ring(8, 1024, 1);
	struct delta_cursor *cursor = delta_cursor_open(ring, 0);

	(void)state;
	assert_int_equal(append(ring, 1, 8, 8, 1), 0);
	delta_publish(ring, 1);
	/* More rounds than either ring has room for; every seventh blob is a
	 * heap block. */
	for (int round = 0; round < 100; round++) {
		assert_int_equal(append(ring, 2, 8, 8, 1), 0);
		for (uint64_t z = 3; z <= 6; z++)
			assert_int_equal(append(ring, z, round % 7 ? 160 : 600,
						40, POISON),
					 0);
		delta_rewind(ring, round % 2 ? 1 : 2);
		assert_int_equal(delta_unpublished(ring), round % 2 ? 0 : 1);
		delta_rewind(ring, 1);
	}
	assert_int_equal(append(ring, 2, 16, 3, 1), 0);
	delta_publish(ring, 2);
	assert_int_equal(delta_next(cursor, 2)->zxid, 1);
	const struct delta *record = delta_next(cursor, 2);

	assert_int_equal(record->zxid, 2);
	assert_true(is_intact(record));
	assert_null(delta_next(cursor, 2));
	delta_ring_destroy(ring);
}

static void
the_slowest_cursor_holds_the_records(void **state)
{
	struct delta_ring *ring = make_ring(4, 4096, 2);
	struct delta_cursor *fast = delta_cursor_open(ring, 0);
	struct delta_cursor *slow = delta_cursor_open(ring, 1);

	(void)state;
	for (uint64_t z = 1; z <= 4; z++) {
		assert_true(delta_can_append(ring, 16));
		assert_int_equal(append(ring, z, 8, 8, 1), 0);
	}
	delta_publish(ring, 4);
	assert_false(delta_can_append(ring, 0));
	assert_int_equal(append(ring, 5, 0, 0, 1), FAL_EAGAIN);
	assert_int_equal(delta_cursor_skip(fast, 4), 4);
	delta_cursor_advance(fast);
	assert_false(delta_can_append(ring, 0));
	assert_int_equal(delta_lag(ring), 4);
	/* Looked at is not given back. */
	assert_non_null(delta_next(slow, 4));
	assert_false(delta_can_append(ring, 0));
	delta_cursor_advance(slow);
	assert_int_equal(delta_lag(ring), 3);
	assert_true(delta_can_append(ring, 0));
	assert_int_equal(append(ring, 5, 0, 0, 1), 0);
	assert_false(delta_can_append(ring, 0));
	delta_cursor_close(slow);
	assert_true(delta_can_append(ring, 0));
	delta_ring_destroy(ring);
}

static void
a_blob_never_wraps_and_the_skip_is_accounted(void **state)
{
	struct delta_ring *ring = make_ring(64, 64, 1);
	struct delta_cursor *cursor = delta_cursor_open(ring, 0);
	uint64_t zxid = 0;

	(void)state;
	/* Blobs of 16 in 64 bytes leave no gap, blobs of 8 shift them. */
	for (int round = 0; round < 200; round++) {
		const bool is_small = round % 5 == 0;

		assert_true(delta_can_append(ring, is_small ? 3 : 16));
		assert_int_equal(append(ring, ++zxid, is_small ? 3 : 8,
					is_small ? 0 : 8, 1),
				 0);
		delta_publish(ring, zxid);
		const struct delta *record = delta_next(cursor, zxid);

		assert_true(is_intact(record));
		assert_true(record->span == 8 || record->span == 16 ||
			    record->span == 24);
		delta_cursor_advance(cursor);
	}
	delta_ring_destroy(ring);
}

static void
an_arena_that_is_full_says_so_and_recovers(void **state)
{
	struct delta_ring *ring = make_ring(64, 256, 1);
	struct delta_cursor *cursor = delta_cursor_open(ring, 0);

	(void)state;
	for (uint64_t z = 1; z <= 4; z++) {
		assert_true(delta_can_append(ring, 64));
		assert_int_equal(append(ring, z, 64, 0, 1), 0);
	}
	assert_false(delta_can_append(ring, 1));
	assert_false(delta_can_append(ring, 1 << 20));
	/* No bytes or too many of them need no arena, and what turns out larger
	 * than announced finds its place, too. */
	assert_int_equal(append(ring, 5, 0, 0, 1), 0);
	assert_int_equal(append(ring, 6, 1000, 1000, 1), 0);
	assert_int_equal(append(ring, 7, 64, 0, 1), 0);
	delta_publish(ring, 7);
	for (uint64_t z = 1; z <= 7; z++)
		assert_true(is_intact(delta_next(cursor, 7)));
	delta_cursor_advance(cursor);
	assert_true(delta_can_append(ring, 64));
	delta_ring_destroy(ring);
}

static void
a_restart_may_go_back_to_an_older_state(void **state)
{
	struct delta_ring *ring = make_ring(8, 1024, 1);
	struct delta_cursor *cursor = delta_cursor_open(ring, 0);

	(void)state;
	for (uint64_t z = 10; z <= 12; z++)
		assert_int_equal(append(ring, z, 600, 8, 1), 0);
	delta_publish(ring, 11);
	assert_int_equal(delta_cursor_skip(cursor, 11), 2);
	delta_cursor_advance(cursor);
	delta_restart(ring, 5);
	assert_int_equal(load_published(ring), 5);
	assert_null(delta_next(cursor, UINT64_MAX));
	assert_int_equal(append(ring, 6, 8, 8, 1), 0);
	delta_publish(ring, 6);
	assert_int_equal(delta_next(cursor, 6)->zxid, 6);
	delta_ring_destroy(ring);
}

/* ---- the model ---------------------------------------------------------- */

enum { MODEL_CURSORS = 3, MODEL_TXNS = 40000 };

struct model_reader {
	struct delta_cursor *cursor;
	uint64_t next; /* zxid it must see next */
	const struct delta *held[64];
	uint32_t held_count;
};

static void
model_read(struct model_reader *reader, uint64_t published, uint64_t *seed)
{
	uint64_t limit = published;

	if (next_random(seed) % 4 == 0 && limit > 0)
		limit -= next_random(seed) % (limit < 9 ? limit : 9);
	if (next_random(seed) % 8 == 0) {
		const uint64_t want =
			limit >= reader->next ? limit - reader->next + 1 : 0;

		assert_int_equal(delta_cursor_skip(reader->cursor, limit),
				 want);
		reader->next += want;
	}
	while (reader->held_count < 64 && reader->next <= limit) {
		const struct delta *record = delta_next(reader->cursor, limit);

		assert_non_null(record);
		assert_int_equal(record->zxid, reader->next);
		assert_true(is_intact(record));
		reader->held[reader->held_count++] = record;
		reader->next++;
	}
	if (reader->next > limit)
		assert_null(delta_next(reader->cursor, limit));
	if (next_random(seed) % 3 == 0 || reader->held_count == 64) {
		for (uint32_t i = 0; i < reader->held_count; i++)
			assert_true(is_intact(reader->held[i]));
		reader->held_count = 0;
		delta_cursor_advance(reader->cursor);
	}
}

static uint32_t
blob_bytes_random(uint64_t *seed)
{
	switch (next_random(seed) % 8) {
	case 0:
		return 0;
	case 1:
		return (uint32_t)(next_random(seed) % 3000);
	default:
		return (uint32_t)(next_random(seed) % 200);
	}
}

static void
agrees_with_the_model(void **state)
{
	uint64_t seed = seed_from_env();
	struct delta_ring *ring = make_ring(64, 4096, MODEL_CURSORS);
	struct model_reader reader[MODEL_CURSORS] = {0};
	uint64_t published = 0, appended = 0;

	(void)state;
	for (uint32_t i = 0; i < MODEL_CURSORS; i++) {
		reader[i].cursor = delta_cursor_open(ring, i);
		reader[i].next = 1;
	}
	while (published < MODEL_TXNS) {
		const uint64_t what = next_random(&seed) % 16;

		if (what < 8) {
			const uint32_t effects = blob_bytes_random(&seed);
			const uint32_t reply = blob_bytes_random(&seed);
			const bool can = delta_can_append(
				ring, (uint64_t)effects + reply);
			const int rc =
				append(ring, appended + 1, effects, reply, 1);

			assert_true(rc == 0 || (!can && rc == FAL_EAGAIN));
			appended += rc == 0;
		} else if (what < 10) {
			published +=
				next_random(&seed) % (appended - published + 1);
			delta_publish(ring, published);
		} else if (what == 10 && next_random(&seed) % 4 == 0) {
			appended =
				published +
				next_random(&seed) % (appended - published + 1);
			delta_rewind(ring, appended);
		} else {
			model_read(&reader[next_random(&seed) % MODEL_CURSORS],
				   published, &seed);
		}
		assert_int_equal(delta_unpublished(ring), appended - published);
	}
	delta_ring_destroy(ring);
}

/* ---- threads ------------------------------------------------------------ */

enum { READERS = 3, MARKER_EVERY = 1000 };

struct stress {
	struct delta_ring *ring;
	uint64_t txns;
	_Atomic bool is_broken;
};

struct stress_reader {
	struct stress *stress;
	struct delta_cursor *cursor;
	uint64_t seed;
	uint64_t seen, skipped;
};

static bool
is_marker(uint64_t zxid)
{
	return zxid % MARKER_EVERY == 0;
}

/* Records of zxids in (from, to]. */
static uint64_t
records_between(uint64_t from, uint64_t to)
{
	return (to - from) - (to / MARKER_EVERY - from / MARKER_EVERY);
}

/* One loop of a reader at state *S; false: something is wrong. */
static bool
stress_walk(struct stress_reader *reader, uint64_t *S)
{
	const struct delta *held[64];
	const uint64_t limit = load_published(reader->stress->ring);
	uint64_t last = *S, count = 0;
	const struct delta *record;

	if (next_random(&reader->seed) % 8 == 0) {
		count = delta_cursor_skip(reader->cursor, limit);
		reader->skipped += count;
		delta_cursor_advance(reader->cursor);
		if (count != records_between(*S, limit))
			return false;
		*S = limit;
		return true;
	}
	while ((record = delta_next(reader->cursor, limit)) != NULL) {
		if (record->zxid <= last || record->zxid > limit ||
		    count == 64 || !is_intact(record))
			return false;
		last = record->zxid;
		held[count++] = record;
	}
	for (uint64_t i = 0; i < count; i++)
		if (!is_intact(held[i]))
			return false;
	delta_cursor_advance(reader->cursor);
	reader->seen += count;
	if (count != records_between(*S, limit))
		return false;
	*S = limit;
	return true;
}

static void *
stress_reader_run(void *arg)
{
	struct stress_reader *reader = arg;
	uint64_t S = 0;

	while (S < reader->stress->txns) {
		const uint64_t before = S;

		if (!stress_walk(reader, &S)) {
			atomic_store(&reader->stress->is_broken, true);
			break;
		}
		if (S == before)
			sched_yield();
	}
	delta_cursor_close(reader->cursor);
	return NULL;
}

static void
stress_produce(struct stress *stress, uint64_t *seed)
{
	struct delta_ring *ring = stress->ring;
	uint64_t zxid = 0;

	while (zxid < stress->txns && !atomic_load(&stress->is_broken)) {
		const uint64_t batch = 1 + next_random(seed) % 16;
		const uint64_t from = zxid;

		for (uint64_t i = 0; i < batch && zxid < stress->txns; i++) {
			const uint32_t bytes = blob_bytes_random(seed);

			if (is_marker(zxid + 1)) {
				zxid++;
				continue;
			}
			if (append(ring, zxid + 1, bytes, bytes / 2, 1) != 0)
				break;
			zxid++;
		}
		/* Some more that will be taken back. */
		for (uint64_t i = 1; i <= next_random(seed) % 4; i++)
			if (append(ring, zxid + i, 100, 10, POISON) != 0)
				break;
		if (zxid > from && next_random(seed) % 2)
			delta_publish(ring, from + 1);
		delta_rewind(ring, zxid);
		if (zxid == from)
			sched_yield();
		else
			delta_publish(ring, zxid);
	}
}

static void
readers_on_other_threads_see_exactly_what_is_published(void **state)
{
	const char *env = getenv("FAL_DELTA_TXNS");
	uint64_t seed = seed_from_env();
	struct stress stress = {
		.ring = make_ring(64, 4096, READERS),
		.txns = env != NULL ? strtoull(env, NULL, 0) : 100000,
	};
	struct stress_reader reader[READERS];
	pthread_t thread[READERS];

	(void)state;
	for (uint32_t i = 0; i < READERS; i++) {
		reader[i] = (struct stress_reader){
			.stress = &stress,
			.cursor = delta_cursor_open(stress.ring, i),
			.seed = next_random(&seed),
		};
	}
	for (uint32_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL,
						stress_reader_run, &reader[i]),
				 0);
	stress_produce(&stress, &seed);
	for (uint32_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_false(atomic_load(&stress.is_broken));
	for (uint32_t i = 0; i < READERS; i++) {
		assert_int_equal(reader[i].seen + reader[i].skipped,
				 records_between(0, stress.txns));
		assert_true(reader[i].seen > 0);
	}
	delta_ring_destroy(stress.ring);
}

/* Who waited is told otherwise; what it did is still told to all. */
static void
disowned_records_answer_nobody(void **state)
{
	struct delta_ring *ring;
	struct delta_cursor *cursor;
	const struct delta *seen;
	struct delta record = {.zxid = 1, .origin_core = 0};

	(void)state;
	assert_int_equal(delta_ring_create(8, 64, 1, &ring), 0);
	cursor = delta_cursor_open(ring, 0);
	assert_int_equal(delta_append(ring, &record, NULL, NULL), 0);
	delta_publish(ring, 1);
	record.zxid = 2;
	assert_int_equal(delta_append(ring, &record, NULL, NULL), 0);
	delta_disown(ring);
	delta_publish(ring, 2);
	seen = delta_next(cursor, 2);
	assert_non_null(seen);
	assert_int_equal(seen->origin_core, 0);
	seen = delta_next(cursor, 2);
	assert_non_null(seen);
	assert_int_equal(seen->zxid, 2);
	assert_int_equal(seen->origin_core, UINT16_MAX);
	delta_cursor_advance(cursor);
	delta_cursor_close(cursor);
	delta_ring_destroy(ring);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disowned_records_answer_nobody),
		cmocka_unit_test(refuses_sizes_that_are_not_powers_of_two),
		cmocka_unit_test(shows_a_record_only_after_it_is_published),
		cmocka_unit_test(
			leaves_records_above_the_readers_limit_in_the_ring),
		cmocka_unit_test(moves_p_without_a_record_for_a_new_epoch),
		cmocka_unit_test(
			takes_unpublished_records_back_and_reuses_their_zxids),
		cmocka_unit_test(the_slowest_cursor_holds_the_records),
		cmocka_unit_test(a_blob_never_wraps_and_the_skip_is_accounted),
		cmocka_unit_test(an_arena_that_is_full_says_so_and_recovers),
		cmocka_unit_test(a_restart_may_go_back_to_an_older_state),
		cmocka_unit_test(agrees_with_the_model),
		cmocka_unit_test(
			readers_on_other_threads_see_exactly_what_is_published),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
