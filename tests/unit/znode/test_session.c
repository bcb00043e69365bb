/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    A session dies in the bucket ZooKeeper would put it into, not one
 *         tick earlier or later, however it was heard of; and the table gives
 *         back exactly what was added.
 * Method  first the cases a reader wants to see (rounding, lazy touches,
 *         bounded passes, long timeouts, owners), then random operations
 *         beside a model that is an array searched from end to end. The seed
 *         is printed; FAL_SEED sets it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/proto.h"
#include "znode/session.h"

#define TICK_MS 500u

struct heard_of {
	int64_t id; /* 0: everybody */
	uint64_t ms;
};

struct log {
	int64_t expired[4096];
	uint32_t count;
	struct heard_of heard;
	struct session_table *table;
	bool removes; /* the expired one at once */
};

static uint64_t
heard(void *arg, const struct session *session)
{
	const struct log *log = arg;

	if (log->heard.id != 0 && log->heard.id != session->id)
		return 0;
	return log->heard.ms;
}

static void
expired(void *arg, struct session *session)
{
	struct log *log = arg;

	assert_true(session->is_closing);
	assert_true(log->count < 4096);
	log->expired[log->count++] = session->id;
	if (log->removes)
		session_remove(log->table, session->id);
}

static struct session_table *
make_table(uint32_t tick_ms)
{
	struct session_table *table;

	assert_int_equal(session_table_create(tick_ms, &table), 0);
	return table;
}

static void
rounds_a_deadline_up_to_a_later_tick(void **state)
{
	/* {now, timeout, bucket}; measured with tick 500: 1000 ms of timeout
	 * end between 1.0 and 1.5 s after the last word. */
	static const uint64_t want[][3] = {
		{0, 1000, 1500},   {1, 1000, 1500}, {499, 1000, 1500},
		{500, 1000, 2000}, {10, 0, 500},    {123456, 4321, 128000}};

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct session_table *table = make_table(TICK_MS);
		struct log log = {.count = 0};
		const struct session *session =
			session_add(table, 7, (int32_t)want[i][1], want[i][0]);

		assert_int_equal(session->expires_ms, want[i][2]);
		assert_int_equal(session_next_due(table), want[i][2]);
		assert_int_equal(session_expire_due(table, want[i][2] - 1, 10,
						    NULL, expired, &log),
				 0);
		assert_int_equal(log.count, 0);
		assert_int_equal(session_expire_due(table, want[i][2], 10, NULL,
						    expired, &log),
				 1);
		assert_int_equal(log.count, 1);
		assert_int_equal(log.expired[0], 7);
		session_table_destroy(table);
	}
}

static void
a_touch_moves_the_session_when_its_bucket_is_due(void **state)
{
	struct session_table *table = make_table(TICK_MS);
	struct log log = {.heard = {.id = 0, .ms = 1400}};
	const struct session *session = session_add(table, 7, 1000, 0);

	(void)state;
	assert_int_equal(session->expires_ms, 1500);
	assert_int_equal(
		session_expire_due(table, 1500, 10, heard, expired, &log), 1);
	assert_int_equal(log.count, 0);
	assert_int_equal(session->expires_ms, 2500);
	assert_int_equal(
		session_expire_due(table, 2499, 10, heard, expired, &log), 0);
	assert_int_equal(
		session_expire_due(table, 2500, 10, heard, expired, &log), 1);
	assert_int_equal(log.count, 1);
	session_table_destroy(table);
}

static void
a_session_its_owner_forgot_dies_by_the_table(void **state)
{
	struct session_table *table = make_table(TICK_MS);
	struct log log = {.heard = {.id = 99, .ms = 1400}};
	struct session *session = session_add(table, 7, 1000, 0);

	(void)state;
	session->heard_ms = 600; /* a learner's ping */
	assert_int_equal(
		session_expire_due(table, 1999, 10, heard, expired, &log), 1);
	assert_int_equal(log.count, 0);
	assert_int_equal(session->expires_ms, 2000);
	assert_int_equal(
		session_expire_due(table, 2000, 10, heard, expired, &log), 1);
	assert_int_equal(log.count, 1);
	session_table_destroy(table);
}

static void
a_pass_looks_at_no_more_than_it_may_and_resumes(void **state)
{
	struct session_table *table = make_table(TICK_MS);
	struct log log = {.count = 0};

	(void)state;
	for (int64_t id = 1; id <= 10; id++)
		assert_non_null(session_add(table, id, 1000, 0));
	assert_int_equal(
		session_expire_due(table, 1500, 4, NULL, expired, &log), 4);
	assert_int_equal(log.count, 4);
	assert_int_equal(session_next_due(table), 1500);
	assert_int_equal(
		session_expire_due(table, 1500, 4, NULL, expired, &log), 4);
	assert_int_equal(
		session_expire_due(table, 1500, 4, NULL, expired, &log), 2);
	assert_int_equal(log.count, 10);
	assert_int_equal(session_next_due(table), UINT64_MAX);
	assert_int_equal(session_count(table), 10); /* closing, not gone */
	session_table_destroy(table);
}

static void
a_timeout_longer_than_the_wheel_takes_its_turns(void **state)
{
	struct session_table *table = make_table(10);
	struct log log = {.count = 0};
	uint64_t now = 0;

	(void)state;
	/* 5000 ticks; the wheel has 1024 slots. */
	assert_non_null(session_add(table, 7, 50000, 0));
	while (now < 50000) {
		now += 10;
		(void)session_expire_due(table, now, 10, NULL, expired, &log);
		assert_int_equal(log.count, 0);
	}
	(void)session_expire_due(table, 50010, 10, NULL, expired, &log);
	assert_int_equal(log.count, 1);
	session_table_destroy(table);
}

static void
a_clock_that_jumps_expires_what_is_due_only(void **state)
{
	struct session_table *table = make_table(10);
	struct log log = {.count = 0};

	(void)state;
	assert_non_null(session_add(table, 1, 100, 0));
	assert_non_null(session_add(table, 2, 1000000, 0));
	while (session_expire_due(table, 900000, 8, NULL, expired, &log) == 8)
		;
	assert_int_equal(log.count, 1);
	assert_int_equal(log.expired[0], 1);
	while (session_expire_due(table, 1000010, 8, NULL, expired, &log) == 8)
		;
	assert_int_equal(log.count, 2);
	session_table_destroy(table);
}

static void
a_deadline_in_the_past_comes_with_the_next_tick(void **state)
{
	struct session_table *table = make_table(10);
	struct log log = {.count = 0};

	(void)state;
	assert_int_equal(
		session_expire_due(table, 5000, 8, NULL, expired, &log), 0);
	/* A caller with an older idea of the time. */
	assert_int_equal(session_add(table, 1, 100, 0)->expires_ms, 5010);
	assert_int_equal(
		session_expire_due(table, 4000, 8, NULL, expired, &log), 0);
	assert_int_equal(
		session_expire_due(table, 5010, 8, NULL, expired, &log), 1);
	assert_int_equal(log.count, 1);
	session_table_destroy(table);
}

static void
an_expired_session_may_be_removed_by_the_callback(void **state)
{
	struct session_table *table = make_table(TICK_MS);
	struct log log = {.table = table, .removes = true};

	(void)state;
	for (int64_t id = 1; id <= 1000; id++)
		assert_non_null(session_add(table, id, 1000, 0));
	assert_int_equal(
		session_expire_due(table, 1500, 2000, NULL, expired, &log),
		1000);
	assert_int_equal(session_count(table), 0);
	assert_int_equal(log.count, 1000);
	assert_null(session_find(table, 500));
	session_table_destroy(table);
}

static void
a_closing_session_is_not_reported_again(void **state)
{
	struct session_table *table = make_table(TICK_MS);
	struct log log = {.count = 0};
	struct session *session = session_add(table, 7, 1000, 0);

	(void)state;
	session->is_closing = true; /* the client's own closeSession */
	(void)session_expire_due(table, 100000, 10, NULL, expired, &log);
	assert_int_equal(log.count, 0);
	assert_int_equal(session_next_due(table), UINT64_MAX);
	session_table_destroy(table);
}

static void
a_write_is_checked_against_the_owner(void **state)
{
	struct session_table *table = make_table(TICK_MS);
	const struct session_owner first = {
		.core = 1, .conn = 5, .conn_gen = 9};
	struct session_owner other = first;
	struct session *session = session_add(table, 7, 1000, 0);

	(void)state;
	assert_int_equal(session->owner.core, SESSION_OWNER_NONE);
	assert_int_equal(session_check(table, 8, first), ZK_UNKNOWNSESSION);
	assert_int_equal(session_check(table, 7, first), ZK_OK);
	assert_int_equal(session_check(table, 7, first), ZK_OK);
	other.core = 2;
	assert_int_equal(session_check(table, 7, other), ZK_SESSIONMOVED);
	other = first;
	other.conn = 6;
	assert_int_equal(session_check(table, 7, other), ZK_SESSIONMOVED);
	other = first;
	other.conn_gen = 10;
	assert_int_equal(session_check(table, 7, other), ZK_SESSIONMOVED);
	session->is_closing = true;
	assert_int_equal(session_check(table, 7, first), ZK_SESSIONEXPIRED);
	session_table_destroy(table);
}

static void
adding_again_changes_the_timeout_and_keeps_the_owner(void **state)
{
	struct session_table *table = make_table(TICK_MS);
	const struct session_owner owner = {
		.core = 1, .conn = 5, .conn_gen = 9};
	struct session *session = session_add(table, 7, 1000, 0);

	(void)state;
	assert_int_equal(session_check(table, 7, owner), ZK_OK);
	assert_ptr_equal(session_add(table, 7, 3000, 1000), session);
	assert_int_equal(session_count(table), 1);
	assert_int_equal(session->expires_ms, 4500);
	assert_int_equal(session->owner.conn, 5);
	assert_int_equal(session_next_due(table), 4500);
	/* What a log says is not trusted to be positive. */
	assert_int_equal(session_add(table, 8, -5, 1000)->expires_ms, 1500);
	session_table_destroy(table);
}

/* A client that comes back may have agreed on another timeout: a longer one
 * keeps it alive, a shorter one ends it in its own bucket. */
static void
a_touch_brings_the_timeout_it_was_agreed_on(void **state)
{
	struct session_table *table = make_table(TICK_MS);
	struct log log = {.count = 0};
	struct session *session = session_add(table, 7, 1000, 0);

	(void)state;
	session_touch(table, session, 5000, 200);
	(void)session_expire_due(table, 5000, 10, NULL, expired, &log);
	assert_int_equal(log.count, 0);
	assert_int_equal(session->expires_ms, 5500);
	session_touch(table, session, 0, 5100); /* as before */
	(void)session_expire_due(table, 10000, 10, NULL, expired, &log);
	assert_int_equal(log.count, 0);
	session_touch(table, session, 1000, 10100);
	assert_int_equal(session_next_due(table), 11500);
	(void)session_expire_due(table, 11499, 10, NULL, expired, &log);
	assert_int_equal(log.count, 0);
	(void)session_expire_due(table, 11500, 10, NULL, expired, &log);
	assert_int_equal(log.count, 1);
	/* One that is closing has left the wheel. */
	session_touch(table, session, 500, 11600);
	assert_int_equal(session_next_due(table), UINT64_MAX);
	session_table_destroy(table);
}

static void
a_new_leader_gives_everybody_a_full_timeout(void **state)
{
	struct session_table *table = make_table(TICK_MS);
	struct log log = {.count = 0};
	const struct session_owner owner = {.core = 1};

	(void)state;
	for (int64_t id = 1; id <= 100; id++)
		assert_non_null(session_add(table, id, 1000, 0));
	assert_int_equal(session_check(table, 50, owner), ZK_OK);
	session_find(table, 60)->is_closing = true;
	/* Some of a due bucket is worked off when leadership changes. */
	(void)session_expire_due(table, 1500, 30, NULL, expired, &log);
	session_restart_all(table, 50200);
	log.count = 0;
	assert_int_equal(session_next_due(table), 51500);
	assert_false(session_find(table, 60)->is_closing);
	assert_int_equal(session_find(table, 50)->owner.core,
			 SESSION_OWNER_NONE);
	(void)session_expire_due(table, 51499, 1000, NULL, expired, &log);
	assert_int_equal(log.count, 0);
	(void)session_expire_due(table, 51500, 1000, NULL, expired, &log);
	assert_int_equal(log.count, 100);
	session_table_destroy(table);
}

static void
count_one(void *arg, const struct session *session)
{
	uint64_t *sum = arg;

	*sum += (uint64_t)session->id;
}

static void
finds_every_session_while_the_index_grows(void **state)
{
	enum { SESSIONS = 20000 };
	struct session_table *table = make_table(TICK_MS);
	uint64_t sum = 0;

	(void)state;
	for (int64_t id = 1; id <= SESSIONS; id++) {
		assert_non_null(session_add(table, id << 24, 1000, 0));
		assert_non_null(session_find(table, id << 24));
		/* Somebody old, wherever the growing index keeps it. */
		assert_int_equal(session_find(table, (id / 2 + 1) << 24)->id,
				 (id / 2 + 1) << 24);
	}
	session_for_each(table, count_one, &sum);
	assert_int_equal(sum >> 24, (uint64_t)SESSIONS * (SESSIONS + 1) / 2);
	for (int64_t id = 1; id <= SESSIONS; id += 2)
		session_remove(table, id << 24);
	assert_int_equal(session_count(table), SESSIONS / 2);
	for (int64_t id = 1; id <= SESSIONS; id++)
		assert_int_equal(session_find(table, id << 24) == NULL,
				 id % 2 == 1);
	session_table_destroy(table);
}

/* ---- the model ---------------------------------------------------------- */

enum { MODEL_IDS = 300 };

struct model_session {
	bool is_there, is_closing, is_expected;
	int32_t timeout_ms;
	uint64_t heard_ms;
};

static struct model_session model[MODEL_IDS];

static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint64_t
model_heard(void *arg, const struct session *session)
{
	(void)arg;
	return model[session->id].heard_ms;
}

static void
model_expired(void *arg, struct session *session)
{
	struct model_session *mine = &model[session->id];

	(void)arg;
	assert_true(mine->is_there);
	assert_true(mine->is_expected);
	mine->is_expected = false;
	mine->is_closing = true;
}

static void
model_expire(struct session_table *table, uint64_t now, uint64_t tick,
	     uint64_t *seed)
{
	const uint32_t max = 1 + (uint32_t)(next_random(seed) % 50);
	uint64_t next = UINT64_MAX;

	for (int i = 0; i < MODEL_IDS; i++) {
		struct model_session *mine = &model[i];

		mine->is_expected = false;
		if (!mine->is_there || mine->is_closing)
			continue;
		const uint64_t dies =
			((mine->heard_ms + (uint64_t)mine->timeout_ms) / tick +
			 1) *
			tick;

		mine->is_expected = dies <= now;
		if (dies > now && dies < next)
			next = dies;
	}
	while (session_expire_due(table, now, max, model_heard, model_expired,
				  NULL) == max)
		;
	for (int i = 0; i < MODEL_IDS; i++)
		assert_false(model[i].is_expected);
	/* Closing sessions and not yet noticed touches may wake us early. */
	assert_true(session_next_due(table) <= next);
	assert_true(session_next_due(table) > now);
}

static void
model_step(struct session_table *table, uint64_t *now, uint64_t tick,
	   uint64_t *seed)
{
	const uint64_t what = next_random(seed) % 16;
	const int64_t id = (int64_t)(next_random(seed) % MODEL_IDS);
	struct model_session *mine = &model[id];

	if (what < 5) {
		/* Up to four turns of the wheel. */
		const int32_t timeout =
			(int32_t)(next_random(seed) % (next_random(seed) % 8
							       ? 40 * tick
							       : 4000 * tick));

		assert_non_null(session_add(table, id, timeout, *now));
		if (!mine->is_there)
			mine->is_closing = false;
		mine->is_there = true;
		mine->timeout_ms = timeout;
		mine->heard_ms = *now;
	} else if (what < 8) {
		session_remove(table, id);
		mine->is_there = false;
	} else if (what < 12) {
		if (mine->is_there)
			mine->heard_ms = *now;
	} else {
		*now += next_random(seed) %
			(next_random(seed) % 64 ? 5 * tick : 3000 * tick);
		model_expire(table, *now, tick, seed);
	}
	assert_int_equal(session_find(table, id) != NULL, mine->is_there);
	if (mine->is_there)
		assert_int_equal(session_find(table, id)->is_closing,
				 mine->is_closing);
}

static void
agrees_with_the_model(void **state)
{
	const char *env = getenv("FAL_SEED");
	uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : 20240917;

	(void)state;
	print_message("seed %llu (FAL_SEED)\n", (unsigned long long)seed);
	for (int round = 0; round < 20; round++) {
		const uint64_t tick = 1 + next_random(&seed) % 3000;
		struct session_table *table = make_table((uint32_t)tick);
		uint64_t now = next_random(&seed) % (1ull << 40);
		uint32_t there = 0;

		memset(model, 0, sizeof(model));
		for (int step = 0; step < 5000; step++)
			model_step(table, &now, tick, &seed);
		for (int i = 0; i < MODEL_IDS; i++)
			there += model[i].is_there;
		assert_int_equal(session_count(table), there);
		session_table_destroy(table);
	}
}

/* Sessions come and go between the slices, and the index grows. */
static void
a_list_made_bit_by_bit_has_every_session_that_stayed_once(void **state)
{
	enum { STAY = 1000, BUSY = 3000 };

	(void)state;
	for (uint32_t places = 1; places < 3000; places = places * 7 + 1) {
		struct session_table *table = make_table(TICK_MS);
		struct session_cursor cursor = {.place = 0};
		uint8_t seen[STAY] = {0};
		int64_t comes = STAY;
		const struct session *session;

		for (int64_t i = 0; i < STAY + BUSY / 2; i++)
			assert_non_null(session_add(table, i + 1, 1000, 0));
		while (!cursor.is_done) {
			uint32_t budget = places;

			while ((session = session_next(table, &cursor,
						       &budget)) != NULL)
				if (session->id <= STAY)
					assert_int_equal(
						seen[session->id - 1]++, 0);
			if (comes < STAY + BUSY) {
				session_remove(table, ++comes);
				assert_non_null(session_add(table, comes + BUSY,
							    1000, 0));
			}
		}
		for (uint32_t i = 0; i < STAY; i++)
			assert_int_equal(seen[i], 1);
		session_table_destroy(table);
	}
}

static void
a_list_of_no_sessions_is_done_at_once(void **state)
{
	struct session_table *table = make_table(TICK_MS);
	struct session_cursor cursor = {.place = 0};
	uint32_t budget = 1;

	(void)state;
	assert_null(session_next(table, &cursor, &budget));
	assert_true(cursor.is_done);
	session_table_destroy(table);
}

static void
the_deadline_told_is_that_of_the_later_word(void **state)
{
	struct session_table *table = make_table(TICK_MS);
	const struct session *session = session_add(table, 7, 1000, 499);

	(void)state;
	assert_int_equal(session_deadline(table, session, 0), 1500);
	assert_int_equal(session_deadline(table, session, 500), 2000);
	session_table_destroy(table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rounds_a_deadline_up_to_a_later_tick),
		cmocka_unit_test(
			a_touch_moves_the_session_when_its_bucket_is_due),
		cmocka_unit_test(a_session_its_owner_forgot_dies_by_the_table),
		cmocka_unit_test(
			a_pass_looks_at_no_more_than_it_may_and_resumes),
		cmocka_unit_test(
			a_timeout_longer_than_the_wheel_takes_its_turns),
		cmocka_unit_test(a_clock_that_jumps_expires_what_is_due_only),
		cmocka_unit_test(
			a_deadline_in_the_past_comes_with_the_next_tick),
		cmocka_unit_test(
			an_expired_session_may_be_removed_by_the_callback),
		cmocka_unit_test(a_closing_session_is_not_reported_again),
		cmocka_unit_test(a_write_is_checked_against_the_owner),
		cmocka_unit_test(
			adding_again_changes_the_timeout_and_keeps_the_owner),
		cmocka_unit_test(a_touch_brings_the_timeout_it_was_agreed_on),
		cmocka_unit_test(a_new_leader_gives_everybody_a_full_timeout),
		cmocka_unit_test(finds_every_session_while_the_index_grows),
		cmocka_unit_test(
			a_list_made_bit_by_bit_has_every_session_that_stayed_once),
		cmocka_unit_test(a_list_of_no_sessions_is_done_at_once),
		cmocka_unit_test(the_deadline_told_is_that_of_the_later_word),
		cmocka_unit_test(agrees_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
