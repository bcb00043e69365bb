/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a session is local or everybody's, never both: who is taken for local
 * is not told to the leader when its client speaks, and would expire there,
 * with its ephemerals, under a client that is alive.
 *
 * And nobody expires because the server was not there to listen.
 *
 * Method: a ZAB role of nothing but what lending and expiry touch; what comes
 * back holds a session whose createSession this server never saw published.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "dataplane/zab_int.h"
#include "dataplane/zab_member.h"

#define TICK_MS 1000
#define OWN     0x0200000000000000ll
#define LAST    0x300000007ll
#define CROWD   600
#define LATE_MS (5 * TICK_MS)

static struct {
	struct zab zab;
	struct serving serving;
	struct stats stats;
} rig;

static uint64_t
no_timer(const void *arg)
{
	(void)arg;
	return UINT64_MAX;
}

static int
set_up(void **state)
{
	const struct tree_options tree = {.region_bytes = 1ull << 30};

	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig.zab.parts.serving = &rig.serving;
	rig.zab.mode = ZAB_CLOSED;
	rig.zab.quorum.next_timer_ms = no_timer;
	rig.zab.is_lent = true;
	rig.zab.now_ms = 5000;
	if (stats_init(&rig.stats, 1) != FAL_OK ||
	    tree_create(&tree, &rig.zab.parts.tree) != FAL_OK ||
	    delta_ring_create(64, 4096, 1, &rig.zab.parts.deltas) != FAL_OK ||
	    session_table_create(TICK_MS, &rig.zab.parts.sessions) != FAL_OK ||
	    session_table_create(TICK_MS, &rig.zab.locals) != FAL_OK)
		return -1;
	rig.zab.parts.stats = &rig.stats.core[0];
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	session_table_destroy(rig.zab.locals);
	session_table_destroy(rig.zab.parts.sessions);
	delta_ring_destroy(rig.zab.parts.deltas);
	tree_destroy(rig.zab.parts.tree);
	stats_free(&rig.stats);
	return 0;
}

/* Its client got its first ephemeral through this server, which lost its
 * leader before it heard of that and has the leader's snapshot now. */
static void
a_session_that_comes_with_the_data_is_local_no_more(void **state)
{
	const struct zab *zab = &rig.zab;
	const struct session *session;

	(void)state;
	for (int64_t i = 0; i < 3; i++)
		assert_non_null(session_add(zab->locals, OWN + i, 9000, 100));
	assert_non_null(session_add(zab->parts.sessions, OWN + 1, 9000, 100));
	assert_non_null(session_add(zab->parts.sessions, OWN + 9, 9000, 100));
	zab_member_restore(&rig.zab, LAST, LAST);
	assert_null(session_find(zab->locals, OWN + 1));
	assert_int_equal(session_count(zab->locals), 2);
	assert_int_equal(session_count(zab->parts.sessions), 2);
	session = session_find(zab->parts.sessions, OWN + 1);
	assert_non_null(session);
	/* Its time begins anew. */
	assert_int_equal(session->heard_ms, rig.zab.now_ms);
}

static void
without_local_sessions_there_is_nothing_to_do(void **state)
{
	(void)state;
	session_table_destroy(rig.zab.locals);
	rig.zab.locals = NULL;
	assert_non_null(session_add(rig.zab.parts.sessions, OWN, 9000, 100));
	zab_member_restore(&rig.zab, LAST, LAST);
	assert_int_equal(session_count(rig.zab.parts.sessions), 1);
	assert_int_equal(session_table_create(TICK_MS, &rig.zab.locals), 0);
}

/* ---- expiry ----------------------------------------------------------------
 */

/* After a stop of seconds, of the process or the machine, heartbeats lie in
 * sockets that nobody has read yet. */
static void
who_was_not_looked_at_in_time_has_a_tick_more(void **state)
{
	struct zab *zab = &rig.zab;
	uint64_t due_ms;

	(void)state;
	rig.zab.options.tick_ms = TICK_MS;
	session_restart_all(zab->locals, 5000);
	assert_non_null(session_add(zab->locals, OWN, 4000, 5000));
	due_ms = session_next_due(zab->locals);
	zab->now_ms = due_ms + 20000;
	assert_false(zab_local_expire(zab));
	assert_int_equal(session_count(zab->locals), 1);
	zab->mode = ZAB_LEARNS;
	assert_int_equal(zab_next_timer_ms(zab), zab->now_ms + TICK_MS);
	zab->mode = ZAB_CLOSED;
	zab->now_ms += TICK_MS - 1;
	assert_false(zab_local_expire(zab));
	zab->now_ms += 1;
	assert_true(zab_local_expire(zab));
	assert_int_equal(session_count(zab->locals), 0);
	/* The next one is nobody's debt. */
	assert_int_equal(zab->local_hold_ms, 0);
	assert_false(zab_local_expire(zab));
}

/* More than a round looks at, by a server that comes late each time. */
static void
a_tick_more_is_given_once_to_all_who_are_due(void **state)
{
	struct zab *zab = &rig.zab;
	uint64_t hold_ms;

	(void)state;
	rig.zab.options.tick_ms = TICK_MS;
	session_restart_all(zab->locals, 5000);
	for (int64_t i = 0; i < CROWD; i++)
		assert_non_null(session_add(zab->locals, OWN + i, 4000, 5000));
	zab->now_ms = session_next_due(zab->locals) + LATE_MS;
	assert_false(zab_local_expire(zab));
	hold_ms = zab->local_hold_ms;
	zab->now_ms = hold_ms - 1;
	assert_false(zab_local_expire(zab));
	assert_int_equal(zab->local_hold_ms, hold_ms);
	for (uint32_t left = CROWD; left > 0;) {
		zab->now_ms += LATE_MS;
		assert_true(zab_local_expire(zab));
		assert_true(session_count(zab->locals) < left);
		left = session_count(zab->locals);
	}
	assert_int_equal(zab->local_hold_ms, 0);
}

/* One comes and falls due, and is found late, between any two looks. */
static void
a_server_that_is_always_late_expires_sessions(void **state)
{
	struct zab *zab = &rig.zab;
	uint32_t held = 0;

	(void)state;
	rig.zab.options.tick_ms = TICK_MS;
	session_restart_all(zab->locals, 5000);
	for (int64_t i = 0; i < 100; i++) {
		assert_non_null(
			session_add(zab->locals, OWN + i, 4000, zab->now_ms));
		zab->now_ms += 4000 + LATE_MS;
		if (zab_local_expire(zab))
			assert_int_equal(session_count(zab->locals), 0);
		else
			held++;
		assert_true(session_count(zab->locals) <= 1);
	}
	assert_int_equal(held, 50);
}

static void
who_is_looked_at_in_time_expires_in_time(void **state)
{
	struct zab *zab = &rig.zab;

	(void)state;
	rig.zab.options.tick_ms = TICK_MS;
	session_restart_all(zab->locals, 5000);
	assert_non_null(session_add(zab->locals, OWN, 4000, 5000));
	zab->now_ms = session_next_due(zab->locals) - 1;
	assert_false(zab_local_expire(zab));
	zab->now_ms += 1 + TICK_MS;
	assert_true(zab_local_expire(zab));
	assert_int_equal(session_count(zab->locals), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_session_that_comes_with_the_data_is_local_no_more,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			without_local_sessions_there_is_nothing_to_do, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			who_was_not_looked_at_in_time_has_a_tick_more, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_tick_more_is_given_once_to_all_who_are_due, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_server_that_is_always_late_expires_sessions, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			who_is_looked_at_in_time_expires_in_time, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
