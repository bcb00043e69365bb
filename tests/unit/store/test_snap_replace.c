/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a snapshot from outside, whatever its coding, becomes the state of the
 * zxid that was asked for, and nothing of what was there before is seen again;
 * a damaged one changes nothing; whatever operation of the disk fails and
 * whenever the power goes, a start finds the state before or the state after.
 *
 * Method: captured snapshots into a captured data directory; every n-th
 * operation fails, once or from then on, then the power goes. FAL_SEED.
 */

#include "recover_testing.h"

#include "store/data_dir.h"
#include "store/log_cut.h"
#include "store/snap_replace.h"

#define UPLOAD_IN  "falconer.tmp.restore" /* RT_DIR */
#define UPLOAD     RT_DIR "/" UPLOAD_IN
#define OLD_DIR    "fixture-full"
#define NEW_FILE   "snapshot-encodings/snapshot.10000007e"
#define NEW_ZXID   0x10000007eull
#define NEW_DIGEST 0x244c60d22aull
#define NEW_NODES  78
#define FAULTS_MAX 120u

static void
put_upload(struct rt *rt, const char *golden)
{
	rt_put(rt, golden, UPLOAD_IN);
}

static int
prepare(struct rt *rt, struct snap_replace **out, struct snapshot_fault *fault)
{
	const struct tree_options tree = {.region_bytes = 1ull << 30,
					  .has_extended_types = true,
					  .is_digest_on = true};
	struct snap_replace_options options = {
		.disk = disk_mem_disk(rt->mem),
		.snap_dir = RT_DIR,
		.path = UPLOAD,
	};
	int err;

	assert_int_equal(tree_create(&tree, &options.scratch), 0);
	err = snap_replace_prepare(&options, out, fault);
	tree_destroy(options.scratch);
	return err;
}

/* As a start does it. */
static int
start(struct rt *rt)
{
	struct disk *disk = disk_mem_disk(rt->mem);
	const struct recover_options options = rt_options(rt);
	bool retired = false;
	int err = retire_complete(disk, RT_DIR, RT_DIR, &retired);

	return err != 0 ? err : rt_run(rt, &options);
}

static uint64_t
digest_before(void)
{
	uint64_t digest;
	struct rt rt;

	rt_begin(&rt);
	rt_put_dir(&rt, OLD_DIR);
	assert_int_equal(start(&rt), 0);
	digest = tree_published_digest(rt.tree);
	rt_end(&rt);
	return digest;
}

static void
every_coding_becomes_the_state_of_the_zxid(void **arg)
{
	static const char *const endings[] = {"", ".gz", ".snappy"};
	static const uint64_t zxids[] = {NEW_ZXID, 0x900000000ull, 5};

	(void)arg;
	for (uint32_t i = 0; i < 3; i++) {
		struct snap_replace *replace = NULL;
		struct snapshot_fault fault;
		char golden[RT_PATH_BYTES];
		struct rt rt;

		rt_begin(&rt);
		rt_put_dir(&rt, OLD_DIR);
		snprintf(golden, sizeof(golden), NEW_FILE "%s", endings[i]);
		put_upload(&rt, golden);
		assert_int_equal(prepare(&rt, &replace, &fault), 0);
		assert_int_equal(snap_replace_zxid(replace), NEW_ZXID);
		assert_int_equal(snap_replace_info(replace)->sessions, 3);
		assert_int_equal(snap_replace_commit(replace, RT_DIR, zxids[i]),
				 0);
		assert_int_equal(start(&rt), 0);
		assert_int_equal(rt.outcome.last_zxid, zxids[i]);
		assert_int_equal(rt.outcome.replayed, 0);
		assert_int_equal(rt_nodes(&rt), NEW_NODES);
		assert_int_equal(session_count(rt.sessions), 3);
		assert_int_equal(tree_published_digest(rt.tree), NEW_DIGEST);
		rt_end(&rt);
	}
}

/* One of the same zxid under another coding would be as good a start. */
static void
a_snapshot_of_the_same_zxid_does_not_come_back(void **arg)
{
	struct snap_replace *replace = NULL;
	struct snapshot_fault fault;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, OLD_DIR);
	put_upload(&rt, NEW_FILE);
	rt_put(&rt, NEW_FILE ".gz", "snapshot.77.gz");
	rt_put(&rt, NEW_FILE ".snappy", "snapshot.77.snappy");
	assert_int_equal(prepare(&rt, &replace, &fault), 0);
	assert_int_equal(snap_replace_commit(replace, RT_DIR, 0x77), 0);
	assert_int_equal(start(&rt), 0);
	assert_string_equal(rt.outcome.snapshot_path, RT_DIR "/snapshot.77");
	rt_end(&rt);
}

static void
a_damaged_file_changes_nothing(void **arg)
{
	size_t bytes = 0;
	uint8_t *data = testing_load(GOLDEN_DIR "/disk/" NEW_FILE, &bytes);
	const uint64_t before = digest_before();

	(void)arg;
	for (size_t cut = 0; cut < bytes; cut += bytes / 37) {
		struct snap_replace *replace = NULL;
		struct snapshot_fault fault;
		struct rt rt;
		int err;

		rt_begin(&rt);
		rt_put_dir(&rt, OLD_DIR);
		/* cut off, or a byte changed */
		if (cut % 2 == 0) {
			assert_int_equal(
				disk_mem_put(rt.mem, UPLOAD, data, cut), 0);
		} else {
			data[cut] ^= 0x40;
			assert_int_equal(
				disk_mem_put(rt.mem, UPLOAD, data, bytes), 0);
			data[cut] ^= 0x40;
		}
		err = prepare(&rt, &replace, &fault);
		assert_int_equal(err, FAL_ECORRUPT);
		assert_null(replace);
		assert_int_equal(start(&rt), 0);
		assert_int_equal(tree_published_digest(rt.tree), before);
		rt_end(&rt);
	}
	free(data);
}

/* ---- faults ----------------------------------------------------------------
 */

/* Another process: the same disk. data_dir_open() removes hidden files, the
 * note before them. */
static void
start_again(struct rt *rt, struct rt *again)
{
	const struct data_dir_options options = {
		.data_dir = "/zk", .log_dir = "/zk", .may_create = false};
	struct recover_options recover;
	struct data_dir dirs;
	char message[DATA_DIR_MESSAGE_BYTES] = "";
	struct disk *disk = disk_mem_disk(rt->mem);
	bool retired = false;

	rt_begin(again);
	recover = rt_options(again);
	recover.snap_dir = recover.log_dir = "/zk/version-2";
	assert_int_equal(data_dir_open(disk, &options, &dirs, message), 0);
	assert_int_equal(
		retire_complete(disk, dirs.snap_dir, dirs.log_dir, &retired),
		0);
	assert_int_equal(
		recover_run(disk, &recover, again->tree, &again->outcome), 0);
	data_dir_close(&dirs);
}

static void
put_into(struct rt *rt, const char *golden_dir)
{
	char path[RT_PATH_BYTES], to[RT_PATH_BYTES];
	const struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), GOLDEN_DIR "/disk/%s", golden_dir);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		size_t bytes = 0;
		uint8_t *data;

		if (entry->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), GOLDEN_DIR "/disk/%s/%.300s",
			 golden_dir, entry->d_name);
		data = testing_load(path, &bytes);
		snprintf(to, sizeof(to), "/zk/version-2/%.300s", entry->d_name);
		assert_int_equal(disk_mem_put(rt->mem, to, data, bytes), 0);
		free(data);
	}
	closedir(dir);
}

static void
make_disk(struct rt *rt)
{
	struct disk *disk = disk_mem_disk(rt->mem);
	size_t bytes = 0;
	uint8_t *data = testing_load(GOLDEN_DIR "/disk/" NEW_FILE, &bytes);

	assert_int_equal(disk_mkdir(disk, "/zk"), 0);
	assert_int_equal(disk_mkdir(disk, "/zk/version-2"), 0);
	assert_int_equal(disk_sync_dir(disk, "/"), 0);
	assert_int_equal(disk_sync_dir(disk, "/zk"), 0);
	put_into(rt, OLD_DIR);
	assert_int_equal(disk_mem_put(rt->mem,
				      "/zk/version-2/falconer.tmp.restore",
				      data, bytes),
			 0);
	free(data);
}

static int
replace_all(struct rt *rt, uint64_t zxid)
{
	struct snap_replace_options options = {
		.disk = disk_mem_disk(rt->mem),
		.snap_dir = "/zk/version-2",
		.path = "/zk/version-2/falconer.tmp.restore",
		.scratch = rt->tree,
	};
	struct snap_replace *replace = NULL;
	struct snapshot_fault fault;
	const int err = snap_replace_prepare(&options, &replace, &fault);

	return err != 0 ? err
			: snap_replace_commit(replace, "/zk/version-2", zxid);
}

static void
a_start_finds_one_of_two_states(void **arg)
{
	static const enum disk_mem_fate fates[] = {
		DISK_MEM_LOSE_ALL, DISK_MEM_KEEP_ALL, DISK_MEM_BY_CHANCE,
		DISK_MEM_BY_CHANCE};
	const uint64_t before = digest_before();
	uint32_t failures = 0, unchanged = 0, done_late = 0;

	(void)arg;
	for (uint32_t n = 0; n < FAULTS_MAX * 4; n++) {
		struct rt rt, again;
		uint64_t digest;
		int err;

		rt_begin(&rt);
		make_disk(&rt);
		disk_mem_fail_at(rt.mem, n / 4, FAL_EIO, n % 2 == 0);
		err = replace_all(&rt, 0x100000200ull);
		disk_mem_fail_never(rt.mem);
		disk_mem_crash(rt.mem, fates[n / 2 % 4]);
		start_again(&rt, &again);
		digest = tree_published_digest(again.tree);
		if (err == 0)
			assert_int_equal(digest, NEW_DIGEST);
		if (digest == NEW_DIGEST) {
			assert_int_equal(again.outcome.last_zxid,
					 0x100000200ull);
			assert_int_equal(again.outcome.replayed, 0);
		} else {
			assert_int_equal(digest, before);
		}
		failures += err != 0;
		unchanged += digest == before;
		done_late += err != 0 && digest == NEW_DIGEST;
		rt_end(&again);
		rt_end(&rt);
	}
	/* Each kind of end was met, and the last rounds had no fault. */
	assert_true(failures > 20 && failures < FAULTS_MAX * 4);
	assert_true(unchanged > 10);
	assert_true(done_late > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_coding_becomes_the_state_of_the_zxid),
		cmocka_unit_test(
			a_snapshot_of_the_same_zxid_does_not_come_back),
		cmocka_unit_test(a_damaged_file_changes_nothing),
		cmocka_unit_test(a_start_finds_one_of_two_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
