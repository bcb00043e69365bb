/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: recovery brings up exactly what disk-format.md says for every captured
 * directory, tells torn tails from damage, cuts what it may and refuses the
 * rest in words.
 *
 * Method: captured directories and their damaged variants on a disk in memory,
 * with the real tree and prep behind apply(). Logs of our own are in
 * test_recover_own.c.
 */
#include "recover_testing.h"

#include "store/log_reader.h"
#include "store/txlog.h"

#define FULL_ZXID   0x10000007eull
#define FULL_DIGEST 0x244c60d22aull
#define TORN_DIGEST 0x2429ea74ebull

static const int64_t full_sessions[] = {0x100001bd0460000, 0x300001bd0810000,
					0x200001bd04b0001};

static void
check_full(struct rt *rt)
{
	assert_int_equal(rt->outcome.last_zxid, FULL_ZXID);
	assert_int_equal(tree_published_digest(rt->tree), FULL_DIGEST);
	assert_int_equal(rt_nodes(rt), 78);
	assert_int_equal(session_count(rt->sessions), 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_non_null(session_find(rt->sessions, full_sessions[i]));
	assert_int_equal(
		session_find(rt->sessions, full_sessions[1])->timeout_ms, 7000);
	assert_int_equal(rt->outcome.digests_different, 0);
	assert_false(rt->outcome.is_damaged);
}

static void
three_replicas_recover_to_the_same_state(void **arg)
{
	static const char *const dirs[] = {"fixture-full/server1/version-2",
					   "fixture-full/server2/version-2",
					   "fixture-full/server3/version-2"};

	(void)arg;
	for (uint32_t i = 0; i < 3; i++) {
		struct rt rt;
		struct recover_options options;

		rt_begin(&rt);
		rt_put_dir(&rt, dirs[i]);
		options = rt_options(&rt);
		assert_int_equal(rt_run(&rt, &options), 0);
		check_full(&rt);
		assert_true(rt.outcome.digests_compared > 10);
		assert_false(rt.outcome.has_cut);
		assert_int_equal(rt.outcome.replayed,
				 FULL_ZXID - rt.outcome.snapshot_zxid);
		rt_end(&rt);
	}
}

/* Recovers what a cut has left once more: nothing is left to do. */
static void
check_second_start(struct rt *rt)
{
	const struct recover_options options = rt_options(rt);
	const uint64_t last = rt->outcome.last_zxid;
	const uint64_t digest = tree_published_digest(rt->tree);

	assert_int_equal(rt_run(rt, &options), 0);
	assert_false(rt->outcome.has_cut);
	assert_int_equal(rt->outcome.last_zxid, last);
	assert_int_equal(tree_published_digest(rt->tree), digest);
}

static void
a_torn_tail_is_cut_and_synced(void **arg)
{
	struct rt rt;
	struct recover_options options;
	struct disk_info info;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, "fixture-torn-tail/version-2");
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_int_equal(rt.outcome.last_zxid, FULL_ZXID - 1);
	assert_int_equal(tree_published_digest(rt.tree), TORN_DIGEST);
	assert_true(rt.outcome.has_cut);
	assert_string_equal(rt.outcome.cut_path, RT_DIR "/log.100000071");
	assert_int_equal(rt.outcome.cut_offset, 980);
	disk_mem_crash(rt.mem, DISK_MEM_LOSE_ALL);
	assert_int_equal(disk_info(disk_mem_disk(rt.mem),
				   RT_DIR "/log.100000071", &info),
			 0);
	assert_int_equal(info.bytes, 980);
	check_second_start(&rt);
	rt_end(&rt);
}

enum expectation {
	EXPECT_FULL,     /* nothing is lost */
	EXPECT_TORN,     /* the last transaction is cut */
	EXPECT_REMOVED,  /* nothing is lost, the last file goes */
	EXPECT_DAMAGE,   /* refused with 0x73 as the last good one */
	EXPECT_FOREIGN,  /* refused, nothing is lost */
	EXPECT_OLD_SNAP, /* nothing is lost, an older snapshot is used */
};

struct damaged {
	const char *name, *file;
	enum expectation expectation;
};

static const struct damaged damaged[] = {
	{"bad_magic_tail", "log.10000007f", EXPECT_FOREIGN},
	{"bitflip_last", "log.100000071", EXPECT_TORN},
	{"bitflip_mid", "log.100000071", EXPECT_DAMAGE},
	{"dup_zxid", "log.100000071", EXPECT_FULL},
	{"empty_tail", "log.10000007f", EXPECT_REMOVED},
	{"eor_lost", "log.100000071", EXPECT_TORN},
	{"header_only_tail", "log.10000007f", EXPECT_FULL},
	{"hole_mid_eor", "log.100000071", EXPECT_DAMAGE},
	{"huge_len", "log.100000071", EXPECT_TORN},
	{"minus1_len", "log.100000071", EXPECT_TORN},
	{"neg_len", "log.100000071", EXPECT_TORN},
	{"short_header_tail", "log.10000007f", EXPECT_REMOVED},
	{"snap_bitflip", "snapshot.10000006f", EXPECT_OLD_SNAP},
	{"snap_empty", "snapshot.10000006f", EXPECT_OLD_SNAP},
	{"snap_trail_flip", "snapshot.10000006f", EXPECT_OLD_SNAP},
	{"snap_trunc", "snapshot.10000006f", EXPECT_OLD_SNAP},
	{"torn_crc_only", "log.100000071", EXPECT_TORN},
	{"torn_eof", "log.100000071", EXPECT_TORN},
	{"torn_len_only", "log.100000071", EXPECT_TORN},
	{"torn_zero", "log.100000071", EXPECT_TORN},
};

static void
put_damaged(struct rt *rt, const struct damaged *what)
{
	char path[RT_PATH_BYTES];

	rt_put_dir(rt, "fixture-full/server1/version-2");
	snprintf(path, sizeof(path), "damaged/%s/%s", what->name, what->file);
	rt_put(rt, path, what->file);
}

static void
check_good_start(struct rt *rt, const struct damaged *what)
{
	struct disk_info info;
	char path[RT_PATH_BYTES];

	if (what->expectation == EXPECT_TORN) {
		assert_int_equal(rt->outcome.last_zxid, FULL_ZXID - 1);
		assert_int_equal(tree_published_digest(rt->tree), TORN_DIGEST);
		assert_true(rt->outcome.has_cut);
		assert_false(rt->outcome.is_damaged);
	} else {
		check_full(rt);
	}
	assert_int_equal(rt->outcome.snapshots_refused,
			 what->expectation == EXPECT_OLD_SNAP ? 1 : 0);
	snprintf(path, sizeof(path), RT_DIR "/%s", what->file);
	assert_int_equal(disk_info(disk_mem_disk(rt->mem), path, &info),
			 what->expectation == EXPECT_REMOVED ? FAL_ENOENT : 0);
	check_second_start(rt);
}

static void
every_damaged_directory_has_its_outcome(void **arg)
{
	(void)arg;
	for (uint32_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		const enum expectation wanted = damaged[i].expectation;
		struct rt rt;
		struct recover_options options;
		int err;

		print_message("         %s\n", damaged[i].name);
		rt_begin(&rt);
		put_damaged(&rt, &damaged[i]);
		options = rt_options(&rt);
		err = rt_run(&rt, &options);
		if (wanted != EXPECT_DAMAGE && wanted != EXPECT_FOREIGN) {
			assert_int_equal(err, 0);
			check_good_start(&rt, &damaged[i]);
			rt_end(&rt);
			continue;
		}
		assert_int_equal(err, FAL_ECORRUPT);
		assert_non_null(strstr(rt.outcome.message, damaged[i].file));
		assert_non_null(strstr(rt.outcome.message, "accept-loss"));
		assert_int_equal(rt.outcome.last_zxid, wanted == EXPECT_DAMAGE
							       ? 0x100000073
							       : FULL_ZXID);
		assert_false(rt.outcome.has_cut);
		rt_end(&rt);
	}
}

static void
a_member_starts_damaged_and_changes_nothing_on_disk(void **arg)
{
	(void)arg;
	for (uint32_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		struct rt rt;
		struct recover_options options;
		uint64_t operations;

		if (damaged[i].expectation != EXPECT_DAMAGE)
			continue;
		rt_begin(&rt);
		put_damaged(&rt, &damaged[i]);
		options = rt_options(&rt);
		options.is_member = true;
		operations = disk_mem_operations(rt.mem);
		assert_int_equal(rt_run(&rt, &options), 0);
		assert_true(rt.outcome.is_damaged);
		assert_int_equal(rt.outcome.last_zxid, 0x100000073);
		assert_int_equal(disk_mem_operations(rt.mem), operations);
		rt_end(&rt);
	}
}

static void
accepting_the_loss_cuts_and_keeps_a_copy(void **arg)
{
	static const struct damaged mid = {"bitflip_mid", "log.100000071",
					   EXPECT_DAMAGE};
	struct rt rt;
	struct recover_options options;
	size_t bytes = 0;

	(void)arg;
	rt_begin(&rt);
	put_damaged(&rt, &mid);
	options = rt_options(&rt);
	options.accepts_loss = true;
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_int_equal(rt.outcome.last_zxid, 0x100000073);
	assert_true(rt.outcome.has_cut && rt.outcome.must_snapshot);
	assert_int_equal(rt.outcome.cut_offset, 259);
	assert_non_null(disk_mem_bytes(
		rt.mem, RT_DIR "/" RECOVER_CUT_PREFIX "log.100000071", &bytes));
	assert_int_equal(bytes, 65552);
	check_second_start(&rt);
	rt_end(&rt);
}

static void
damage_that_a_snapshot_covers_loses_nothing(void **arg)
{
	struct rt rt;
	struct recover_options options;
	uint8_t *log;
	size_t bytes = 0;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, "fixture-torn-tail/version-2");
	/* snapshot.10000007d is there; break record 0x100000074. */
	rt_put(&rt, "damaged/bitflip_mid/log.100000071", "log.100000071");
	log = disk_mem_bytes(rt.mem, RT_DIR "/log.100000071", &bytes);
	assert_non_null(log);
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), 0);
	check_full(&rt);
	assert_int_equal(rt.outcome.snapshot_zxid, 0x10000007d);
	assert_int_equal(rt.outcome.replayed, 1);
	rt_end(&rt);
}

static void
a_missing_log_is_refused_with_the_gap(void **arg)
{
	struct rt rt;
	struct recover_options options;
	struct disk *disk;

	(void)arg;
	rt_begin(&rt);
	disk = disk_mem_disk(rt.mem);
	rt_put_dir(&rt, "fixture-full/server1/version-2");
	assert_int_equal(disk_unlink(disk, RT_DIR "/log.100000049"), 0);
	assert_int_equal(disk_unlink(disk, RT_DIR "/snapshot.10000006f"), 0);
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), FAL_ECORRUPT);
	assert_int_equal(rt.outcome.last_zxid, 0x100000048);
	assert_non_null(strstr(rt.outcome.message, "0x100000071"));
	options.is_member = true;
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_true(rt.outcome.is_damaged);
	rt_end(&rt);
}

/* It had transactions, which are gone: no tail of a write. */
static void
a_log_in_the_middle_without_its_header_is_damage(void **arg)
{
	static const uint8_t rest[8] = {0x5a, 0x4b, 0x4c, 0x47};
	struct rt rt;
	struct recover_options options;
	struct disk_info info;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, "fixture-full/server1/version-2");
	assert_int_equal(disk_mem_put(rt.mem, RT_DIR "/log.100000049", rest,
				      sizeof(rest)),
			 0);
	assert_int_equal(disk_unlink(disk_mem_disk(rt.mem),
				     RT_DIR "/snapshot.10000006f"),
			 0);
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), FAL_ECORRUPT);
	assert_non_null(strstr(rt.outcome.message, "log.100000049"));
	assert_int_equal(rt.outcome.last_zxid, 0x100000048);
	assert_int_equal(disk_info(disk_mem_disk(rt.mem),
				   RT_DIR "/log.100000049", &info),
			 0);
	options.is_member = true;
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_true(rt.outcome.is_damaged);
	rt_end(&rt);
}

/* A sector of a snapshot that the device does not give. */
static const struct disk_ops *whole_ops;
static uint64_t unreadable_bytes; /* of the file */

static int
read_or_fail(struct disk_file *file, void *to, size_t bytes, uint64_t at,
	     size_t *got)
{
	uint64_t file_bytes = 0;

	assert_int_equal(disk_file_bytes(file, &file_bytes), 0);
	*got = 0;
	if (at == 0 && file_bytes == unreadable_bytes)
		return FAL_EIO;
	return whole_ops->read(file, to, bytes, at, got);
}

static void
a_snapshot_that_cannot_be_read_is_passed_over_for_another(void **arg)
{
	struct rt rt;
	struct recover_options options;
	struct disk_info info;
	struct disk *disk;
	struct disk_ops ops;

	(void)arg;
	rt_begin(&rt);
	disk = disk_mem_disk(rt.mem);
	rt_put_dir(&rt, "fixture-full/server1/version-2");
	assert_int_equal(disk_info(disk, RT_DIR "/snapshot.10000006f", &info),
			 0);
	whole_ops = disk->ops;
	unreadable_bytes = info.bytes;
	ops = *whole_ops;
	ops.read = read_or_fail;
	disk->ops = &ops;
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), 0);
	check_full(&rt);
	assert_int_equal(rt.outcome.snapshots_refused, 1);
	assert_non_null(strstr(rt.outcome.message, "snapshot.10000006f"));
	disk->ops = whole_ops;
	rt_end(&rt);
}

/* Nothing of a member goes aside for an error that may pass. */
static void
the_only_snapshot_that_cannot_be_read_is_an_error(void **arg)
{
	struct rt rt;
	struct recover_options options;
	struct disk_info info;
	struct disk *disk;
	struct disk_ops ops;

	(void)arg;
	rt_begin(&rt);
	disk = disk_mem_disk(rt.mem);
	rt_put(&rt, "txn-types/snapshot.0", "snapshot.0");
	rt_put(&rt, "txn-types/log.100000001", "log.100000001");
	assert_int_equal(disk_info(disk, RT_DIR "/snapshot.0", &info), 0);
	whole_ops = disk->ops;
	unreadable_bytes = info.bytes;
	ops = *whole_ops;
	ops.read = read_or_fail;
	disk->ops = &ops;
	options = rt_options(&rt);
	options.is_member = true;
	assert_int_equal(rt_run(&rt, &options), FAL_EIO);
	assert_non_null(strstr(rt.outcome.message, RT_DIR));
	disk->ops = whole_ops;
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_int_equal(rt.outcome.last_zxid, 0x100000026);
	rt_end(&rt);
}

static void
logs_without_a_snapshot_are_refused_unless_trusted(void **arg)
{
	struct rt rt;
	struct recover_options options;

	(void)arg;
	rt_begin(&rt);
	rt_put(&rt, "fixture-full/server1/version-2/log.100000001",
	       "log.100000001");
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), FAL_ECORRUPT);
	assert_non_null(strstr(rt.outcome.message, "snapshot.trust.empty"));
	options.trusts_no_snapshot = true;
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_int_equal(rt.outcome.last_zxid, 0x100000026);
	assert_true(rt.outcome.must_snapshot);
	assert_int_equal(rt.outcome.digests_different, 0);
	rt_end(&rt);
}

static void
an_empty_directory_is_a_fresh_database(void **arg)
{
	struct rt rt;
	struct recover_options options;

	(void)arg;
	rt_begin(&rt);
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_true(rt.outcome.is_empty);
	assert_int_equal(rt.outcome.last_zxid, 0);
	assert_int_equal(rt_nodes(&rt), 4);
	assert_int_equal(tree_published_digest(rt.tree), 0x51c6d660);
	rt_end(&rt);
}

/* A stale suffix behind a snapshot that is gone (hazard H3). */
static void
a_left_over_of_another_history_is_refused(void **arg)
{
	struct rt rt;
	struct recover_options options;
	struct disk *disk;

	(void)arg;
	rt_begin(&rt);
	disk = disk_mem_disk(rt.mem);
	rt_put_dir(&rt, "hazard-stale-suffix-after-snap/version-2");
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_int_equal(rt.outcome.last_zxid, 0x400000004);
	assert_null(tree_find(rt.tree, tree_path_of(rt.tree, "/lost0", 6)));
	assert_int_equal(disk_unlink(disk, RT_DIR "/snapshot.300000008"), 0);
	assert_int_equal(disk_unlink(disk, RT_DIR "/snapshot.300000002"), 0);
	assert_int_equal(rt_run(&rt, &options), FAL_ECORRUPT);
	assert_non_null(strstr(rt.outcome.message, "0x300000003"));
	rt_end(&rt);
}

static void
old_and_odd_logs_are_read(void **arg)
{
	static const struct {
		const char *log;
		uint64_t last;
	} cases[] = {{"no-digest/log.1", 0},
		     {"no-closesession-body/log.1", 5},
		     {"synthetic-v0/log.1", 4}};

	(void)arg;
	for (uint32_t i = 0; i < 3; i++) {
		struct rt rt;
		struct recover_options options;

		rt_begin(&rt);
		rt_put(&rt, "no-digest/snapshot.0", "snapshot.0");
		rt_put(&rt, cases[i].log, "log.1");
		options = rt_options(&rt);
		assert_int_equal(rt_run(&rt, &options), 0);
		assert_true(rt.outcome.replayed > 3);
		if (cases[i].last != 0)
			assert_int_equal(rt.outcome.last_zxid, cases[i].last);
		if (i == 2) {
			assert_non_null(tree_find(
				rt.tree, tree_path_of(rt.tree, "/v0", 3)));
			assert_null(tree_find(
				rt.tree, tree_path_of(rt.tree, "/v0/eph", 7)));
		}
		rt_end(&rt);
	}
}

static void
a_check_on_its_own_is_named_and_can_be_cut(void **arg)
{
	struct rt rt;
	struct recover_options options;

	(void)arg;
	rt_begin(&rt);
	rt_put(&rt, "txn-types/snapshot.0", "snapshot.0");
	rt_put(&rt, "bare-check/log.100000001", "log.100000001");
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), FAL_ECORRUPT);
	assert_non_null(strstr(rt.outcome.message, "0x100000003"));
	assert_non_null(strstr(rt.outcome.message, "until=0x100000002"));
	options.until_zxid = 0x100000002;
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_int_equal(rt.outcome.last_zxid, 0x100000002);
	assert_true(rt.outcome.has_cut);
	check_second_start(&rt);
	rt_end(&rt);
}

static void
cutting_behind_a_zxid_takes_newer_snapshots_and_logs_aside(void **arg)
{
	struct rt rt;
	struct recover_options options;
	struct disk *disk;
	struct disk_info info;

	(void)arg;
	rt_begin(&rt);
	disk = disk_mem_disk(rt.mem);
	rt_put_dir(&rt, "fixture-full/server1/version-2");
	options = rt_options(&rt);
	options.until_zxid = 0x100000050;
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_int_equal(rt.outcome.last_zxid, 0x100000050);
	assert_int_equal(disk_info(disk, RT_DIR "/snapshot.10000006f", &info),
			 FAL_ENOENT);
	assert_int_equal(disk_info(disk, RT_DIR "/log.100000071", &info),
			 FAL_ENOENT);
	assert_int_equal(
		disk_info(disk, RT_DIR "/" RECOVER_CUT_PREFIX "log.100000071",
			  &info),
		0);
	check_second_start(&rt);
	/* Cut exactly at a snapshot newer than the logs below it. */
	options.until_zxid = 0x10000004f;
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_int_equal(rt.outcome.last_zxid, 0x10000004f);
	rt_end(&rt);
}

static void
a_tree_that_differs_from_its_digest_is_refused_unless_forced(void **arg)
{
	struct rt rt;
	struct recover_options options;
	uint8_t *snapshot;
	size_t bytes = 0;

	(void)arg;
	rt_begin(&rt);
	rt_put(&rt, "txn-types/snapshot.0", "snapshot.0");
	rt_put(&rt, "txn-types/log.100000001", "log.100000001");
	/* The first record's digest, with a new checksum around it. */
	snapshot = disk_mem_bytes(rt.mem, RT_DIR "/log.100000001", &bytes);
	assert_non_null(snapshot);
	snapshot[0x4b] ^= 1;
	be_store64(snapshot + 0x10, checksum_adler32(1, snapshot + 0x1c, 0x30));
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), FAL_ECORRUPT);
	assert_int_equal(rt.outcome.digests_different, 1);
	assert_int_equal(rt.outcome.digest_zxid, 0x100000001);
	options.ignores_digest = true;
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_int_equal(rt.outcome.last_zxid, 0x100000026);
	rt_end(&rt);
}

static void
a_node_may_be_ahead_of_the_snapshots_digest_by_one_transaction(void **arg)
{
	(void)arg;
	for (int is_wrong = 0; is_wrong <= 1; is_wrong++) {
		struct rt rt;
		uint8_t *file;
		size_t bytes = 0;

		rt_begin(&rt);
		rt_put(&rt, "txn-types/snapshot.0", "snapshot.0");
		rt_put(&rt, "txn-types/log.100000001", "log.100000001");
		file = disk_mem_bytes(rt.mem, RT_DIR "/snapshot.0", &bytes);
		assert_non_null(file);
		file[0x245] ^= 1;
		be_store64(file + 0x246, checksum_adler32(1, file, 0x246));
		if (is_wrong) { /* behind the next transaction too */
			file = disk_mem_bytes(rt.mem, RT_DIR "/log.100000001",
					      &bytes);
			assert_non_null(file);
			file[0x4b] ^= 1;
			be_store64(file + 0x10,
				   checksum_adler32(1, file + 0x1c, 0x30));
		}
		const struct recover_options options = rt_options(&rt);

		assert_int_equal(rt_run(&rt, &options),
				 is_wrong ? FAL_ECORRUPT : 0);
		assert_int_equal(rt.outcome.digests_different,
				 is_wrong ? 2 : 0);
		assert_int_equal(rt.outcome.digest_zxid, 0);
		rt_end(&rt);
	}
}

/* ---- quotas ----------------------------------------------------------------
 */

static void
put_node(struct snapshot_out *out, const char *path, const char *data)
{
	const struct tree_stat stat = {.version = 3};

	snapshot_out_node(out, jute_slice_of(path, strlen(path)),
			  jute_slice_of(data, strlen(data)), SNAPSHOT_ACL_OPEN,
			  &stat);
}

/* A ZooKeeper's file may hold usage from before a write and nodes from behind
 * it; replay then meets what is there already and counts nothing. */
static void
usage_of_quotas_is_that_of_the_nodes_in_the_file(void **arg)
{
	static const char stats[] = "/zookeeper/quota/a/zookeeper_stats";
	struct snapshot_info info = {.has_digest = false};
	struct snapshot_out *out = NULL;
	struct recover_options options;
	struct tree_stat stat;
	struct znode *node;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	assert_int_equal(snapshot_out_create(disk_mem_disk(rt.mem), RT_DIR, 2,
					     FILE_PLAIN, &out),
			 0);
	snapshot_out_sessions(out, NULL, 0);
	snapshot_out_acls(out, 0);
	put_node(out, "", "");
	put_node(out, "/a", "xx");
	put_node(out, "/a/b", "yyy");
	put_node(out, "/zookeeper", "");
	put_node(out, "/zookeeper/quota", "");
	put_node(out, "/zookeeper/quota/a", "");
	put_node(out, stats, "count=1,bytes=2=;countHardLimit=9");
	put_node(out, "/zookeeper/quota/a/zookeeper_limits", "count=9");
	put_node(out, "/zookeeper/quota/gone", "");
	put_node(out, "/zookeeper/quota/gone/zookeeper_limits", "count=9");
	assert_int_equal(snapshot_out_finish(out, &info), 0);
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), 0);
	node = tree_find(rt.tree,
			 tree_path_of(rt.tree, stats, sizeof(stats) - 1));
	assert_non_null(node);
	assert_true(jute_slice_is(tree_spec_data(rt.tree, node),
				  "count=2,bytes=5"));
	tree_spec_stat(rt.tree, node, &stat);
	assert_int_equal(stat.version, 3);
	rt_end(&rt);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_replicas_recover_to_the_same_state),
		cmocka_unit_test(a_torn_tail_is_cut_and_synced),
		cmocka_unit_test(every_damaged_directory_has_its_outcome),
		cmocka_unit_test(
			a_member_starts_damaged_and_changes_nothing_on_disk),
		cmocka_unit_test(accepting_the_loss_cuts_and_keeps_a_copy),
		cmocka_unit_test(damage_that_a_snapshot_covers_loses_nothing),
		cmocka_unit_test(a_missing_log_is_refused_with_the_gap),
		cmocka_unit_test(
			a_log_in_the_middle_without_its_header_is_damage),
		cmocka_unit_test(
			a_snapshot_that_cannot_be_read_is_passed_over_for_another),
		cmocka_unit_test(
			the_only_snapshot_that_cannot_be_read_is_an_error),
		cmocka_unit_test(
			logs_without_a_snapshot_are_refused_unless_trusted),
		cmocka_unit_test(an_empty_directory_is_a_fresh_database),
		cmocka_unit_test(a_left_over_of_another_history_is_refused),
		cmocka_unit_test(old_and_odd_logs_are_read),
		cmocka_unit_test(a_check_on_its_own_is_named_and_can_be_cut),
		cmocka_unit_test(
			cutting_behind_a_zxid_takes_newer_snapshots_and_logs_aside),
		cmocka_unit_test(
			a_tree_that_differs_from_its_digest_is_refused_unless_forced),
		cmocka_unit_test(
			a_node_may_be_ahead_of_the_snapshots_digest_by_one_transaction),
		cmocka_unit_test(
			usage_of_quotas_is_that_of_the_nodes_in_the_file),
	};

	testing_seed(0x9e3779b97f4a7c15);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
