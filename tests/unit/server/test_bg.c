/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: who asks for a snapshot gets one that begins afterwards, also when it
 * may not begin yet, and when a loan to BG drops the one that had begun.
 *
 * Method: the ZAB core's side of server/bg.c with the test in the place of the
 * ZAB core, of zab and of BG; no thread runs.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/bg.h"

struct rig {
	struct server server;
	bool may_begin, has_memory;
	int64_t published;
	uint32_t started;
};

static struct rig rig;

/* ---- in the place of zab ----------------------------------------------------
 */

bool
zab_may_snapshot(const struct zab *zab)
{
	(void)zab;
	return rig.may_begin;
}

bool
zab_start_snapshot(struct zab *zab)
{
	struct zab_snapshot snapshot = {.zxid = rig.published};

	(void)zab;
	if (!rig.may_begin || !rig.has_memory)
		return false;
	snapshot.sessions = malloc(sizeof(*snapshot.sessions));
	assert_non_null(snapshot.sessions);
	if (bg_snapshot(rig.server.bg, &snapshot)) {
		rig.started++;
		return true;
	}
	free(snapshot.sessions);
	return false;
}

void
zab_snapshot_pinned(struct zab *zab)
{
	(void)zab;
}

const _Atomic uint64_t *
delta_published(const struct delta_ring *deltas)
{
	static const _Atomic uint64_t published;

	(void)deltas;
	return &published;
}

/* ---- the rig ---------------------------------------------------------------
 */

static int
begin(void **arg)
{
	(void)arg;
	memset(&rig, 0, sizeof(rig));
	rig.may_begin = true;
	rig.has_memory = true;
	rig.server.core_count = 1;
	assert_int_equal(lcore_init(&rig.server.core[0].lcore), 0);
	assert_int_equal(bg_create(&rig.server, &rig.server.bg), 0);
	return 0;
}

static int
end(void **arg)
{
	(void)arg;
	bg_destroy(rig.server.bg);
	lcore_free(&rig.server.core[0].lcore);
	return 0;
}

/* ---- tests -----------------------------------------------------------------
 */

static void
a_wish_is_granted_once(void **arg)
{
	(void)arg;
	assert_false(bg_has_work_for_zab(rig.server.bg));
	assert_int_equal(bg_snapshot_ask(rig.server.bg), 1);
	assert_true(bg_has_work_for_zab(rig.server.bg));
	assert_true(bg_poll_zab(rig.server.bg));
	assert_int_equal(rig.started, 1);
	assert_false(bg_poll_zab(rig.server.bg));
	assert_int_equal(rig.started, 1);
}

/* What is published may still be taken back: it waits, and keeps no core awake.
 */
static void
a_wish_waits_until_a_snapshot_may_begin(void **arg)
{
	(void)arg;
	rig.may_begin = false;
	bg_snapshot_ask(rig.server.bg);
	assert_false(bg_has_work_for_zab(rig.server.bg));
	assert_false(bg_poll_zab(rig.server.bg));
	rig.may_begin = true;
	assert_true(bg_has_work_for_zab(rig.server.bg));
	assert_true(bg_poll_zab(rig.server.bg));
	assert_int_equal(rig.started, 1);
}

static void
a_wish_outlives_a_start_that_fails(void **arg)
{
	(void)arg;
	rig.has_memory = false;
	bg_snapshot_ask(rig.server.bg);
	assert_false(bg_poll_zab(rig.server.bg));
	rig.has_memory = true;
	assert_true(bg_poll_zab(rig.server.bg));
	assert_int_equal(rig.started, 1);
}

static void
what_a_loan_drops_begins_again_behind_it(void **arg)
{
	const struct bg *bg = rig.server.bg;
	uint64_t number;

	(void)arg;
	number = bg_snapshot_ask(rig.server.bg);
	assert_true(bg_poll_zab(rig.server.bg));
	bg_lend(rig.server.bg);
	bg_drop_snapshot(rig.server.bg);
	assert_false(bg_has_work_for_zab(bg));
	assert_false(bg_poll_zab(rig.server.bg));
	bg_take_back(rig.server.bg);
	assert_true(bg_has_work_for_zab(bg));
	assert_true(bg_poll_zab(rig.server.bg));
	assert_int_equal(rig.started, 2);
	/* The second one is later than what the asker waits for. */
	assert_true(bg_snapshot_ask(rig.server.bg) > number + 1);
}

static void
a_loan_that_drops_nothing_asks_for_nothing(void **arg)
{
	(void)arg;
	bg_lend(rig.server.bg);
	bg_drop_snapshot(rig.server.bg);
	bg_take_back(rig.server.bg);
	assert_false(bg_has_work_for_zab(rig.server.bg));
	assert_false(bg_poll_zab(rig.server.bg));
	assert_int_equal(rig.started, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_wish_is_granted_once),
		TEST(a_wish_waits_until_a_snapshot_may_begin),
		TEST(a_wish_outlives_a_start_that_fails),
		TEST(what_a_loan_drops_begins_again_behind_it),
		TEST(a_loan_that_drops_nothing_asks_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
