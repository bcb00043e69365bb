/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a member of an ensemble whose disk lost something starts with what is
 * good, knows that it must not vote until it is told so, whatever happens in
 * between, and keeps what cannot be used aside.
 *
 * Method: captured directories with damage done to them on a disk in memory;
 * every operation of a start failing. FAL_SEED.
 */

#include "store_rig.h"

static int
start(struct rt *rt, struct restore_result *found)
{
	struct restore restore = rig_restore(rt);

	return restore_run(&restore, found);
}

static void
damage(struct rt *rt, const char *path, size_t at)
{
	size_t bytes = 0;
	const uint8_t *data = disk_mem_bytes(rt->mem, path, &bytes);
	uint8_t *copy = malloc(bytes + 1);

	assert_non_null(data);
	assert_non_null(copy);
	assert_true(at < bytes);
	memcpy(copy, data, bytes);
	copy[at] ^= 0x40;
	/* So that it outlives a crash. */
	assert_int_equal(disk_mem_put(rt->mem, path, copy, bytes), 0);
	free(copy);
}

static bool
is_there(struct rt *rt, const char *path)
{
	struct disk_info info;

	return disk_info(disk_mem_disk(rt->mem), path, &info) == 0;
}

static void
a_sound_member_may_vote(void **arg)
{
	struct restore_result found;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, FULL_DIR);
	assert_int_equal(start(&rt, &found), 0);
	assert_false(found.is_nonvoting);
	assert_string_equal(found.reason, "");
	assert_int_equal(found.history.last_zxid, FULL_ZXID);
	assert_int_equal(found.history.row[0].first_zxid, 0x100000001);
	rt_end(&rt);
}

static void
damage_is_marked_and_put_aside(void **arg)
{
	struct restore_result found;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, FULL_DIR);
	/* Records above the newest snapshot, with good ones behind. */
	damage(&rt, RT_DIR "/log.100000071", 400);
	assert_int_equal(start(&rt, &found), 0);
	assert_true(found.is_nonvoting);
	assert_true(strlen(found.reason) > 20);
	assert_true(found.outcome.is_damaged);
	assert_true(found.outcome.last_zxid < FULL_ZXID);
	assert_int_equal(found.history.last_zxid, found.outcome.last_zxid);
	assert_true(is_there(&rt, RT_DIR "/falconer.cut.log.100000071"));
	disk_mem_crash(rt.mem, DISK_MEM_LOSE_ALL);

	/* The next start finds no damage, and the mark. */
	const uint64_t last = found.outcome.last_zxid;

	assert_int_equal(start(&rt, &found), 0);
	assert_false(found.outcome.is_damaged);
	assert_true(found.is_nonvoting);
	assert_int_equal(found.outcome.last_zxid, last);
	assert_int_equal(vote_mark_remove(disk_mem_disk(rt.mem), RT_DIR), 0);
	disk_mem_crash(rt.mem, DISK_MEM_LOSE_ALL);
	assert_int_equal(start(&rt, &found), 0);
	assert_false(found.is_nonvoting);
	rt_end(&rt);
}

static void
logs_without_a_snapshot_go_aside(void **arg)
{
	static const char *const names[] = {
		RT_DIR "/snapshot.0", RT_DIR "/snapshot.100000025",
		RT_DIR "/snapshot.100000047", RT_DIR "/snapshot.10000006f"};
	struct restore_result found;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, FULL_DIR);
	for (uint32_t i = 0; i < 4; i++)
		damage(&rt, names[i], 30);
	assert_int_equal(start(&rt, &found), 0);
	assert_true(found.is_nonvoting);
	assert_int_equal(found.outcome.last_zxid, 0);
	assert_int_equal(found.history.row_count, 0);
	assert_false(is_there(&rt, RT_DIR "/log.100000001"));
	assert_true(is_there(&rt, RT_DIR "/falconer.cut.log.100000001"));
	assert_int_equal(start(&rt, &found), 0);
	assert_true(found.is_nonvoting);
	rt_end(&rt);
}

/* hazard H3 on the disk that Java left: without the newest snapshots nothing
 * tells that the suffix was given up: a leader must judge it. */
static void
a_stale_suffix_does_not_vote(void **arg)
{
	struct restore_result found;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, STALE_DIR);
	assert_int_equal(disk_unlink(disk_mem_disk(rt.mem),
				     RT_DIR "/snapshot.300000002"),
			 0);
	assert_int_equal(disk_unlink(disk_mem_disk(rt.mem),
				     RT_DIR "/snapshot.300000008"),
			 0);
	assert_int_equal(start(&rt, &found), 0);
	assert_true(found.is_nonvoting);
	rt_end(&rt);
}

static void
no_failure_of_a_start_loses_the_mark(void **arg)
{
	uint32_t failures = 0;

	(void)arg;
	for (uint32_t n = 0; n < 100; n++) {
		struct restore_result found;
		struct rt rt;

		rt_begin(&rt);
		rt_put_dir(&rt, FULL_DIR);
		damage(&rt, RT_DIR "/log.100000071", 400);
		disk_mem_fail_at(rt.mem, n / 3, FAL_EIO, n % 2 == 0);
		failures += start(&rt, &found) != 0;
		disk_mem_fail_never(rt.mem);
		disk_mem_crash(rt.mem, n % 3 == 0 ? DISK_MEM_LOSE_ALL
						  : DISK_MEM_BY_CHANCE);
		assert_int_equal(start(&rt, &found), 0);
		assert_true(found.is_nonvoting);
		rt_end(&rt);
	}
	assert_true(failures > 10 && failures < 100);
}

static void
an_operator_accepts_the_loss(void **arg)
{
	struct restore_result found;
	struct restore restore;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, FULL_DIR);
	damage(&rt, RT_DIR "/log.100000071", 400);
	assert_int_equal(start(&rt, &found), 0);
	assert_true(found.is_nonvoting);
	restore = rig_restore(&rt);
	restore.accepts_loss = true;
	assert_int_equal(restore_run(&restore, &found), 0);
	assert_false(found.is_nonvoting);
	assert_int_equal(start(&rt, &found), 0);
	assert_false(found.is_nonvoting);
	/* A lone server, which refuses otherwise. */
	damage(&rt, RT_DIR "/log.100000071", 100);
	restore.is_member = false;
	restore.accepts_loss = false;
	assert_int_equal(restore_run(&restore, &found), FAL_ECORRUPT);
	restore.accepts_loss = true;
	assert_int_equal(restore_run(&restore, &found), 0);
	rt_end(&rt);
}

static void
an_operator_ends_the_history(void **arg)
{
	struct restore_result found;
	struct restore restore;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, FULL_DIR);
	restore = rig_restore(&rt);
	restore.until_zxid = 0x100000075;
	assert_int_equal(restore_run(&restore, &found), 0);
	assert_int_equal(found.outcome.last_zxid, 0x100000075);
	assert_int_equal(found.history.last_zxid, 0x100000075);
	assert_int_equal(start(&rt, &found), 0);
	assert_int_equal(found.outcome.last_zxid, 0x100000075);
	rt_end(&rt);
}

static void
an_unsynced_stop_of_the_machine_is_seen(void **arg)
{
	struct disk *disk;
	bool is_lost = true;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	disk = disk_mem_disk(rt.mem);
	assert_int_equal(vote_dirty_check(disk, RT_DIR, "one\n", &is_lost), 0);
	assert_false(is_lost);
	assert_int_equal(vote_dirty_write(disk, RT_DIR, "one\n"), 0);
	/* The process died, the machine goes on. */
	assert_int_equal(vote_dirty_check(disk, RT_DIR, "one\n", &is_lost), 0);
	assert_false(is_lost);
	assert_int_equal(vote_dirty_check(disk, RT_DIR, "two\n", &is_lost), 0);
	assert_true(is_lost);
	/* Who cannot tell must not vote. */
	assert_int_equal(vote_dirty_check(disk, RT_DIR, "", &is_lost), 0);
	assert_true(is_lost);
	assert_int_equal(vote_dirty_remove(disk, RT_DIR), 0);
	assert_int_equal(vote_dirty_check(disk, RT_DIR, "two\n", &is_lost), 0);
	assert_false(is_lost);
	rt_end(&rt);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_member_may_vote),
		cmocka_unit_test(damage_is_marked_and_put_aside),
		cmocka_unit_test(logs_without_a_snapshot_go_aside),
		cmocka_unit_test(a_stale_suffix_does_not_vote),
		cmocka_unit_test(no_failure_of_a_start_loses_the_mark),
		cmocka_unit_test(an_operator_accepts_the_loss),
		cmocka_unit_test(an_operator_ends_the_history),
		cmocka_unit_test(an_unsynced_stop_of_the_machine_is_seen),
	};

	clock_init();
	rig_quiet();
	testing_seed(0x4e5);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
