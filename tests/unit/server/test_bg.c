/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: who asks for a snapshot gets one that begins afterwards, also when it
 * may not begin yet, and when a loan to BG drops the one that had begun. Purge
 * does not take what the server has started from while it may be the last.
 *
 * Method: server/bg.c with the test in the place of the ZAB core and of zab.
 * But for purge no thread runs, and the test is BG as well.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "drivers/clock.h"
#include "drivers/disk_mem.h"
#include "server/bg.h"
#include "server/recovery.h"
#include "store/purge.h"

#define DATA_DIR  "/data"
#define SNAPSHOTS 5u

struct rig {
	struct server server;
	struct config config;
	struct recovery_member member;
	bool may_begin, has_memory;
	int64_t published;
	uint32_t started;
	/* BG looks what is published before it sleeps. */
	_Atomic uint32_t rounds;
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
	rig.rounds++;
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

static void
put_snapshots(struct disk_mem *mem)
{
	static const uint8_t text[] = "a snapshot by its end\0\0\0\1/";

	for (uint32_t i = 1; i <= SNAPSHOTS; i++) {
		char path[64];

		snprintf(path, sizeof(path), DATA_DIR "/snapshot.%x", i);
		assert_int_equal(
			disk_mem_put(mem, path, text, sizeof(text) - 1), 0);
	}
}

static void
count_snapshot(void *arg, const char *name)
{
	*(uint32_t *)arg += strncmp(name, "snapshot.", 9) == 0;
}

/* How many snapshots a start leaves of which so many could not be loaded. */
static uint32_t
left_by_purge(uint32_t refused)
{
	const struct tree_options tree = {.region_bytes = 1ull << 30};
	const struct txlog_options log = {.dir = DATA_DIR,
					  .window_bytes = 1u << 20,
					  .prealloc_bytes = 256u << 10,
					  .entry_bytes_max = 64u << 10};
	struct server *server = &rig.server;
	struct disk_mem *mem;
	uint32_t left = 0;

	clock_init();
	rig.rounds = 0;
	rig.config.purge_interval_ms = 3600000;
	rig.member.found.outcome.snapshots_refused = refused;
	server->config = &rig.config;
	server->member = &rig.member;
	memcpy(server->data_dir.snap_dir, DATA_DIR, sizeof(DATA_DIR));
	memcpy(server->data_dir.log_dir, DATA_DIR, sizeof(DATA_DIR));
	assert_int_equal(disk_mem_create(1, &mem), 0);
	server->disk = disk_mem_disk(mem);
	assert_int_equal(disk_mkdir(server->disk, DATA_DIR), 0);
	put_snapshots(mem);
	assert_int_equal(tree_create(&tree, &server->tree), 0);
	assert_int_equal(txlog_create(server->disk, &log, &server->txlog), 0);
	assert_int_equal(bg_start(server->bg), 0);
	while (rig.rounds < 2)
		usleep(1000);
	bg_stop(server->bg);
	assert_int_equal(
		disk_list(server->disk, DATA_DIR, count_snapshot, &left), 0);
	txlog_destroy(server->txlog);
	tree_destroy(server->tree);
	disk_mem_destroy(mem);
	return left;
}

static void
old_snapshots_are_purged(void **arg)
{
	(void)arg;
	assert_int_equal(left_by_purge(0), PURGE_RETAIN_MIN);
}

/* Those that look complete are no measure. */
static void
the_one_that_could_be_loaded_is_not_purged(void **arg)
{
	(void)arg;
	assert_int_equal(left_by_purge(SNAPSHOTS - 1), SNAPSHOTS);
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
		TEST(old_snapshots_are_purged),
		TEST(the_one_that_could_be_loaded_is_not_purged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
