/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: names, epoch files, retention and directories follow disk-format.md
 * sections 1, 11 and 12, and what a crash leaves of a replaced file is the old
 * or the new content.
 *
 * Method: tables of cases; files on a disk in memory.
 */

#include "store_testing.h"

#include "store/data_dir.h"
#include "store/epoch_file.h"
#include "store/file_cut.h"
#include "store/file_list.h"
#include "store/genesis_file.h"
#include "store/log_reader.h"
#include "store/purge.h"
#include "store/recover.h"
#include "store/small_file.h"

#define DIR_PATH "/d"

static struct disk_mem *
new_disk(void)
{
	struct disk_mem *mem = NULL;

	assert_int_equal(disk_mem_create(testing_random(), &mem), 0);
	assert_int_equal(disk_mkdir(disk_mem_disk(mem), DIR_PATH), 0);
	assert_int_equal(disk_sync_dir(disk_mem_disk(mem), "/"), 0);
	return mem;
}

static bool
has_file(struct disk_mem *mem, const char *name)
{
	char path[600];
	struct disk_info info;

	snprintf(path, sizeof(path), DIR_PATH "/%s", name);
	return disk_info(disk_mem_disk(mem), path, &info) == 0;
}

static void
put(struct disk_mem *mem, const char *name, const char *text)
{
	char path[600];

	snprintf(path, sizeof(path), DIR_PATH "/%s", name);
	assert_int_equal(disk_mem_put(mem, path, text, strlen(text)), 0);
}

static void
only_data_files_have_data_names(void **arg)
{
	static const struct {
		const char *name;
		enum file_kind kind;
		uint64_t zxid;
		enum file_coding coding;
	} cases[] = {
		{"log.1", FILE_LOG, 1, FILE_PLAIN},
		{"log.10000007f", FILE_LOG, 0x10000007f, FILE_PLAIN},
		{"log.ABC", FILE_LOG, 0xabc, FILE_PLAIN},
		{"log.0", FILE_LOG, 0, FILE_PLAIN},
		{"snapshot.0", FILE_SNAPSHOT, 0, FILE_PLAIN},
		{"snapshot.2a.gz", FILE_SNAPSHOT, 0x2a, FILE_GZ},
		{"snapshot.2a.snappy", FILE_SNAPSHOT, 0x2a, FILE_SNAPPY},
		{"log.", FILE_OTHER, 0, FILE_PLAIN},
		{"log", FILE_OTHER, 0, FILE_PLAIN},
		{"log.1.gz", FILE_OTHER, 0, FILE_PLAIN},
		{"log.1x", FILE_OTHER, 0, FILE_PLAIN},
		{"log.0x1", FILE_OTHER, 0, FILE_PLAIN},
		{"log.-1", FILE_OTHER, 0, FILE_PLAIN},
		{"snapshot.1.zip", FILE_OTHER, 0, FILE_PLAIN},
		{"snapshot.ffffffffffffffff", FILE_OTHER, 0, FILE_PLAIN},
		{"log.7fffffffffffffff", FILE_LOG, INT64_MAX, FILE_PLAIN},
		{"log.00000000000000001", FILE_OTHER, 0, FILE_PLAIN},
		{"falconer.prealloc", FILE_OTHER, 0, FILE_PLAIN},
		{RECOVER_CUT_PREFIX "log.1", FILE_OTHER, 0, FILE_PLAIN},
		{"falconer.tmp.snapshot.1", FILE_OTHER, 0, FILE_PLAIN},
		{"snapshot", FILE_OTHER, 0, FILE_PLAIN},
	};

	(void)arg;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct file_name got = file_name_parse(cases[i].name);

		assert_int_equal(got.kind, cases[i].kind);
		if (cases[i].kind == FILE_OTHER)
			continue;
		assert_int_equal(got.zxid, cases[i].zxid);
		assert_int_equal(got.coding, cases[i].coding);
	}
}

static void
check_list(struct disk_mem *mem, enum file_kind kind, const char *const *names,
	   uint32_t count)
{
	struct file_list list;

	assert_int_equal(
		file_list_read(disk_mem_disk(mem), DIR_PATH, kind, &list), 0);
	assert_int_equal(list.count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_string_equal(list.entries[i].name, names[i]);
	file_list_free(&list);
}

static void
files_come_in_the_order_of_their_zxids(void **arg)
{
	/* As names, "log.10" is before "log.9". */
	static const char *const logs[] = {"log.9", "log.00f", "log.10"};
	static const char *const snapshots[] = {
		"snapshot.1", "snapshot.2a.snappy", "snapshot.2a.gz",
		"snapshot.2a", "snapshot.7fffffffffffffff.snappy"};
	struct disk_mem *mem = new_disk();
	struct file_list list = {.count = 1};

	(void)arg;
	check_list(mem, FILE_LOG, NULL, 0);
	put(mem, "log.10", "");
	put(mem, "snapshot.7fffffffffffffff.snappy", "");
	put(mem, "snapshot.2a.gz", "");
	put(mem, "log.00f", "");
	put(mem, "snapshot.2a", "");
	put(mem, "log.9.old", "");
	put(mem, "snapshot.1", "");
	put(mem, "log.9", "");
	put(mem, "snapshot.2a.snappy", "");
	check_list(mem, FILE_LOG, logs, 3);
	check_list(mem, FILE_SNAPSHOT, snapshots, 5);
	assert_int_equal(
		file_list_read(disk_mem_disk(mem), "/none", FILE_LOG, &list),
		FAL_ENOENT);
	assert_int_equal(list.count, 0);
	disk_mem_destroy(mem);
}

static void
a_floor_is_the_file_that_may_hold_the_zxid(void **arg)
{
	struct file_entry entries[] = {
		{.parsed.zxid = 5}, {.parsed.zxid = 9}, {.parsed.zxid = 12}};
	const struct file_list list = {.entries = entries, .count = 3};

	(void)arg;
	assert_int_equal(file_list_floor(&list, 1), 0);
	assert_int_equal(file_list_floor(&list, 8), 0);
	assert_int_equal(file_list_floor(&list, 9), 1);
	assert_int_equal(file_list_floor(&list, 11), 1);
	assert_int_equal(file_list_floor(&list, UINT64_MAX), 2);
}

static void
paths_that_do_not_fit_are_refused(void **arg)
{
	char dir[FILE_PATH_MAX];
	char path[FILE_PATH_MAX];

	(void)arg;
	memset(dir, 'a', sizeof(dir));
	dir[sizeof(dir) - 1] = '\0';
	assert_int_equal(file_path(path, dir, "x"), FAL_ELIMIT);
	assert_int_equal(file_path_log(path, dir, 1), FAL_ELIMIT);
	dir[FILE_PATH_MAX - 3] = '\0';
	assert_int_equal(file_path(path, dir, "x"), 0);
	assert_int_equal(file_path(path, dir, "xy"), FAL_ELIMIT);
	assert_int_equal(file_path_snapshot(path, "/s", 0xab, FILE_GZ), 0);
	assert_string_equal(path, "/s/snapshot.ab.gz");
}

static void
numbers_are_parsed_strictly(void **arg)
{
	static const struct {
		const char *text;
		int err;
		int64_t value;
	} cases[] = {
		{"0", 0, 0},
		{"7", 0, 7},
		{"7\n", 0, 7},
		{"7\r\n", 0, 7},
		{"-1", 0, -1},
		{"7\nmore", 0, 7},
		{"9223372036854775807", 0, INT64_MAX},
		{"9223372036854775808", FAL_EINVAL, 0},
		{"99999999999999999999", FAL_EINVAL, 0},
		{"", FAL_EINVAL, 0},
		{"\n", FAL_EINVAL, 0},
		{"-", FAL_EINVAL, 0},
		{"7 ", FAL_EINVAL, 0},
		{" 7", FAL_EINVAL, 0},
		{"+7", FAL_EINVAL, 0},
		{"0x7", FAL_EINVAL, 0},
		{"seven", FAL_EINVAL, 0},
		{"7\r", FAL_EINVAL, 0},
	};

	(void)arg;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t value = 0;

		assert_int_equal(epoch_file_parse(cases[i].text, &value),
				 cases[i].err);
		assert_int_equal(value, cases[i].value);
	}
}

static void
a_replaced_file_is_old_or_new_after_a_crash(void **arg)
{
	(void)arg;
	for (uint64_t n = 0; n < 12; n++) {
		for (uint32_t round = 0; round < 20; round++) {
			struct disk_mem *mem = new_disk();
			struct disk *disk = disk_mem_disk(mem);
			int64_t value = 0;
			int err;

			assert_int_equal(
				epoch_file_write(disk, DIR_PATH, "e", 41), 0);
			disk_mem_fail_at(mem, n, FAL_EIO, true);
			err = epoch_file_write(disk, DIR_PATH, "e", 42);
			/* open, write, sync, rename, directory */
			assert_int_equal(err, n < 5 ? FAL_EIO : 0);
			disk_mem_crash(mem, DISK_MEM_BY_CHANCE);
			assert_int_equal(
				epoch_file_read(disk, DIR_PATH, "e", &value),
				0);
			assert_true(value == 42 || (value == 41 && err != 0));
			disk_mem_destroy(mem);
		}
	}
}

/* disk-format.md 12.1; NULL: no such file. E is 5. */
static void
epochs_at_the_start_follow_the_table(void **arg)
{
	static const struct {
		const char *current, *accepted, *temporary;
		int err;
		int64_t current_after, accepted_after;
	} cases[] = {
		{NULL, NULL, NULL, 0, 5, 5},
		{"5", "5", NULL, 0, 5, 5},
		{"5", "5\n", NULL, 0, 5, 5},
		{NULL, "5", NULL, 0, 5, 5},
		{"5", NULL, NULL, 0, 5, 5},
		{"5", "9", NULL, 0, 5, 9},
		{"6", "6", NULL, 0, 6, 6},
		{"4", "5", "5", 0, 5, 5},
		/* Java refuses these three; see epoch_file.c. */
		{"4", "5", NULL, 0, 4, 5},
		{"4", "9", "4", 0, 4, 9},
		{"4", "5", "", 0, 4, 5},
		{"4", "4", NULL, FAL_ECORRUPT, 0, 0},
		{"4", NULL, NULL, FAL_ECORRUPT, 0, 0},
		{"3", "4", "4", FAL_ECORRUPT, 0, 0},
		{"5", "5", "7", 0, 5, 5},
		{"6", "5", NULL, FAL_ECORRUPT, 0, 0},
		{"", "5", NULL, FAL_EINVAL, 0, 0},
		{"5", "5 ", NULL, FAL_EINVAL, 0, 0},
		{"five", "5", NULL, FAL_EINVAL, 0, 0},
	};

	(void)arg;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct disk_mem *mem = new_disk();
		struct disk *disk = disk_mem_disk(mem);
		struct epoch_pair pair = {0, 0};
		char message[EPOCH_MESSAGE_BYTES];
		int64_t value = 0;
		int err;

		if (cases[i].current != NULL)
			put(mem, EPOCH_FILE_CURRENT, cases[i].current);
		if (cases[i].accepted != NULL)
			put(mem, EPOCH_FILE_ACCEPTED, cases[i].accepted);
		if (cases[i].temporary != NULL)
			put(mem, EPOCH_FILE_CURRENT ".tmp", cases[i].temporary);
		err = epoch_pair_start(disk, DIR_PATH, 0x500000001, &pair,
				       message);
		assert_int_equal(err, cases[i].err);
		assert_int_equal(message[0] == '\0', err == 0);
		if (err != 0) {
			disk_mem_destroy(mem);
			continue;
		}
		assert_int_equal(pair.current, cases[i].current_after);
		assert_int_equal(pair.accepted, cases[i].accepted_after);
		/* And it is what the files say now, after a power loss. */
		disk_mem_crash(mem, DISK_MEM_LOSE_ALL);
		assert_int_equal(epoch_file_read(disk, DIR_PATH,
						 EPOCH_FILE_CURRENT, &value),
				 0);
		assert_int_equal(value, pair.current);
		assert_int_equal(epoch_file_read(disk, DIR_PATH,
						 EPOCH_FILE_ACCEPTED, &value),
				 0);
		assert_int_equal(value, pair.accepted);
		disk_mem_destroy(mem);
	}
}

static void
a_genesis_register_comes_back_or_is_damaged(void **arg)
{
	struct disk_mem *mem = new_disk();
	struct disk *disk = disk_mem_disk(mem);
	struct genesis_state state = {.promised = 7,
				      .accepted_ballot = 5,
				      .id = {1, 2, 3},
				      .began = 1};
	struct genesis_state found;
	uint8_t good[GENESIS_FILE_BYTES];
	size_t bytes = 0;

	(void)arg;
	assert_int_equal(genesis_file_read(disk, DIR_PATH, &found), FAL_ENOENT);
	assert_int_equal(genesis_file_write(disk, DIR_PATH, &state), 0);
	disk_mem_crash(mem, DISK_MEM_LOSE_ALL);
	assert_int_equal(genesis_file_read(disk, DIR_PATH, &found), 0);
	assert_memory_equal(&found, &state, sizeof(state));
	memcpy(good,
	       disk_mem_bytes(mem, DIR_PATH "/" GENESIS_FILE_NAME, &bytes),
	       GENESIS_FILE_BYTES);
	assert_int_equal(bytes, GENESIS_FILE_BYTES);
	for (size_t i = 0; i < GENESIS_FILE_BYTES; i++) {
		uint8_t bad[GENESIS_FILE_BYTES];

		memcpy(bad, good, sizeof(bad));
		bad[i] ^= 0x10;
		assert_int_equal(disk_mem_put(mem,
					      DIR_PATH "/" GENESIS_FILE_NAME,
					      bad, sizeof(bad)),
				 0);
		assert_int_equal(genesis_file_read(disk, DIR_PATH, &found),
				 FAL_ECORRUPT);
		/* And cut short. */
		assert_int_equal(disk_mem_put(mem,
					      DIR_PATH "/" GENESIS_FILE_NAME,
					      good, i),
				 0);
		assert_int_equal(genesis_file_read(disk, DIR_PATH, &found),
				 FAL_ECORRUPT);
	}
	disk_mem_destroy(mem);
}

/* ---- retention
 * ----------------------------------------------------------------- */

static const char complete[] = "abcde\0\0\0\1/";

static void
put_snapshot(struct disk_mem *mem, const char *name, bool is_complete)
{
	char path[600];

	snprintf(path, sizeof(path), DIR_PATH "/%s", name);
	assert_int_equal(
		disk_mem_put(mem, path, complete, is_complete ? 10 : 6), 0);
}

static void
three_snapshots_and_their_logs_stay(void **arg)
{
	static const char *const gone[] = {"snapshot.10", "snapshot.20",
					   "log.1", "log.11"};
	static const char *const kept[] = {
		"snapshot.30", "snapshot.40", "snapshot.50", "snapshot.45",
		"log.25",      "log.31",      "log.41",      "log.zz",
		"snapshot.x",  "myid",        "log.1.old"};
	struct disk_mem *mem = new_disk();
	struct purge_result result;

	(void)arg;
	put_snapshot(mem, "snapshot.10", true);
	put_snapshot(mem, "snapshot.20", true);
	put_snapshot(mem, "snapshot.30", true);
	put_snapshot(mem, "snapshot.40", true);
	put_snapshot(mem, "snapshot.45", false);
	put_snapshot(mem, "snapshot.50", true);
	for (uint32_t i = 4; i < sizeof(kept) / sizeof(kept[0]); i++)
		put(mem, kept[i], "x");
	put(mem, "log.1", "x");
	put(mem, "log.11", "x");
	/* A peer still reads from 0x12 on: log.11 has to stay. */
	assert_int_equal(purge_run(disk_mem_disk(mem), DIR_PATH, DIR_PATH, 1,
				   0x12, &result),
			 0);
	assert_int_equal(result.logs, 1);
	assert_int_equal(result.snapshots, 2);
	assert_true(has_file(mem, "log.11"));
	assert_int_equal(result.gone_count, 3);
	purge_close(&result);
	assert_int_equal(purge_run(disk_mem_disk(mem), DIR_PATH, DIR_PATH, 3,
				   UINT64_MAX, &result),
			 0);
	assert_int_equal(result.logs, 1);
	purge_close(&result);
	disk_mem_crash(mem, DISK_MEM_LOSE_ALL);
	for (uint32_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		assert_false(has_file(mem, gone[i]));
	for (uint32_t i = 0; i < 4; i++)
		assert_true(has_file(mem, kept[i]));
	disk_mem_destroy(mem);
}

static void
without_enough_complete_snapshots_the_oldest_complete_one_counts(void **arg)
{
	struct disk_mem *mem = new_disk();
	struct purge_result result;

	(void)arg;
	put(mem, "log.1", "x");
	put(mem, "log.11", "x");
	put_snapshot(mem, "snapshot.5", false);
	assert_int_equal(purge_run(disk_mem_disk(mem), DIR_PATH, DIR_PATH, 3,
				   UINT64_MAX, &result),
			 0);
	assert_int_equal(result.snapshots + result.logs, 0);
	assert_false(purge_shrink(&result));
	assert_true(has_file(mem, "log.1"));
	put_snapshot(mem, "snapshot.20", true);
	assert_int_equal(purge_run(disk_mem_disk(mem), DIR_PATH, DIR_PATH, 3,
				   UINT64_MAX, &result),
			 0);
	assert_false(has_file(mem, "log.1"));
	assert_false(has_file(mem, "snapshot.5"));
	assert_true(has_file(mem, "log.11"));
	assert_true(has_file(mem, "snapshot.20"));
	purge_close(&result);
	disk_mem_destroy(mem);
}

/* Storage goes back in pieces, and each is durable before the next. */
static void
what_was_removed_shrinks_step_by_step(void **arg)
{
	enum { PIECES = 5 };
	static uint8_t zeros[FILE_CUT_BYTES];
	struct disk_mem *mem = new_disk();
	struct disk_file *file;
	struct purge_result result;
	uint64_t before = PIECES * (uint64_t)FILE_CUT_BYTES + 1, bytes = 0;
	uint32_t steps = 0;

	(void)arg;
	put(mem, "log.1", "x");
	put_snapshot(mem, "snapshot.20", true);
	put(mem, "log.11", "x");
	assert_int_equal(disk_open(disk_mem_disk(mem), DIR_PATH "/log.1",
				   DISK_WRITE, &file),
			 0);
	for (uint32_t i = 0; i < PIECES; i++)
		assert_int_equal(disk_write(file, zeros, sizeof(zeros),
					    1 + i * sizeof(zeros)),
				 0);
	disk_close(file);
	assert_int_equal(purge_run(disk_mem_disk(mem), DIR_PATH, DIR_PATH, 3,
				   UINT64_MAX, &result),
			 0);
	assert_false(has_file(mem, "log.1"));
	assert_int_equal(result.gone_count, 1);
	do {
		assert_int_equal(disk_file_bytes(result.gone[0], &bytes), 0);
		assert_true(steps == 0 || before - bytes == FILE_CUT_BYTES);
		before = bytes;
		steps++;
	} while (purge_shrink(&result));
	assert_int_equal(steps, PIECES + 1);
	assert_int_equal(result.gone_count, 0);
	disk_mem_destroy(mem);
}

static void
a_purge_that_fails_leaves_no_hole(void **arg)
{
	(void)arg;
	for (uint64_t n = 0; n < 6; n++) {
		struct disk_mem *mem = new_disk();
		struct purge_result result;
		bool was_kept = false;

		for (uint32_t i = 1; i <= 5; i++) {
			char name[20];

			snprintf(name, sizeof(name), "log.%u1", i);
			put(mem, name, "x");
		}
		put_snapshot(mem, "snapshot.60", true);
		disk_mem_fail_at(mem, n, FAL_EIO, true);
		if (purge_run(disk_mem_disk(mem), DIR_PATH, DIR_PATH, 3,
			      UINT64_MAX, &result) == 0)
			assert_true(n >= 2 * 4);
		purge_close(&result);
		disk_mem_crash(mem, DISK_MEM_BY_CHANCE);
		for (uint32_t i = 1; i <= 5; i++) {
			char name[20];

			snprintf(name, sizeof(name), "log.%u1", i);
			if (was_kept)
				assert_true(has_file(mem, name));
			was_kept |= has_file(mem, name);
		}
		assert_true(was_kept);
		disk_mem_destroy(mem);
	}
}

/* ---- directories
 * ---------------------------------------------------------------- */

static void
directories_are_made_and_locked(void **arg)
{
	struct disk_mem *mem = new_disk();
	const struct data_dir_options options = {
		.data_dir = "/d/a/b", .log_dir = "/d/log", .may_create = true};
	struct data_dir dirs, second;
	char message[DATA_DIR_MESSAGE_BYTES];
	struct disk_info info;

	(void)arg;
	assert_int_equal(
		data_dir_open(disk_mem_disk(mem), &options, &dirs, message), 0);
	assert_string_equal(message, "");
	assert_string_equal(dirs.snap_dir, "/d/a/b/version-2");
	assert_string_equal(dirs.log_dir, "/d/log/version-2");
	assert_int_equal(
		data_dir_open(disk_mem_disk(mem), &options, &second, message),
		FAL_EBUSY);
	assert_non_null(strstr(message, "another server"));
	data_dir_close(&dirs);
	disk_mem_crash(mem, DISK_MEM_LOSE_ALL);
	assert_int_equal(
		disk_info(disk_mem_disk(mem), "/d/a/b/version-2", &info), 0);
	assert_true(info.is_dir);
	assert_int_equal(
		data_dir_open(disk_mem_disk(mem), &options, &dirs, message), 0);
	data_dir_close(&dirs);
	disk_mem_destroy(mem);
}

/* As java.io.File has it. */
static void
one_directory_may_be_written_in_several_ways(void **arg)
{
	static const char *const log_dirs[] = {"/d/a", "/d/a/", "/d//a",
					       "//d/a//"};

	(void)arg;
	for (uint32_t i = 0; i < 4; i++) {
		struct disk_mem *mem = new_disk();
		const struct data_dir_options options = {.data_dir = "/d/a",
							 .log_dir = log_dirs[i],
							 .may_create = true};
		struct data_dir dirs;
		char message[DATA_DIR_MESSAGE_BYTES];

		for (uint32_t start = 0; start < 2; start++) {
			assert_int_equal(data_dir_open(disk_mem_disk(mem),
						       &options, &dirs,
						       message),
					 0);
			assert_string_equal(dirs.log_dir, "/d/a/version-2");
			data_dir_close(&dirs);
			put(mem, "a/version-2/log.1", "x");
			put(mem, "a/version-2/snapshot.0", "x");
		}
		disk_mem_destroy(mem);
	}
}

static void
missing_directories_are_refused_when_they_may_not_be_made(void **arg)
{
	struct disk_mem *mem = new_disk();
	const struct data_dir_options options = {.data_dir = "/d/a"};
	struct data_dir dirs;
	char message[DATA_DIR_MESSAGE_BYTES];

	(void)arg;
	assert_int_equal(
		data_dir_open(disk_mem_disk(mem), &options, &dirs, message),
		FAL_ENOENT);
	assert_non_null(strstr(message, "/d/a/version-2"));
	assert_non_null(strstr(message, "autocreate"));
	disk_mem_destroy(mem);
}

static void
a_file_in_the_place_of_a_directory_is_named(void **arg)
{
	struct disk_mem *mem = new_disk();
	const struct data_dir_options options = {.data_dir = "/d/a",
						 .may_create = true};
	struct data_dir dirs;
	char message[DATA_DIR_MESSAGE_BYTES];

	(void)arg;
	assert_int_equal(disk_mkdir(disk_mem_disk(mem), "/d/a"), 0);
	put(mem, "a/version-2", "x");
	assert_int_equal(
		data_dir_open(disk_mem_disk(mem), &options, &dirs, message),
		FAL_EINVAL);
	assert_non_null(strstr(message, "/d/a/version-2 is no directory"));
	disk_mem_destroy(mem);
}

static void
what_is_in_the_way_of_a_directory_is_named(void **arg)
{
	struct disk_mem *mem = new_disk();
	const struct data_dir_options options = {.data_dir = "/d/zoo.cfg/x",
						 .may_create = true};
	struct data_dir dirs;
	char message[DATA_DIR_MESSAGE_BYTES];

	(void)arg;
	put(mem, "zoo.cfg", "x");
	assert_true(data_dir_open(disk_mem_disk(mem), &options, &dirs,
				  message) < 0);
	assert_non_null(strstr(message, "/d/zoo.cfg is no directory"));
	disk_mem_destroy(mem);
}

static void
exchanged_directories_are_refused(void **arg)
{
	static const struct {
		const char *file;
		bool is_refused;
	} cases[] = {{"a/version-2/log.1", true},
		     {"b/version-2/snapshot.1", true},
		     {"a/version-2/snapshot.1", false},
		     {"b/version-2/log.1", false}};

	(void)arg;
	for (uint32_t i = 0; i < 4; i++) {
		struct disk_mem *mem = new_disk();
		const struct data_dir_options options = {.data_dir = "/d/a",
							 .log_dir = "/d/b",
							 .may_create = true};
		struct data_dir dirs;
		char message[DATA_DIR_MESSAGE_BYTES];

		assert_int_equal(data_dir_open(disk_mem_disk(mem), &options,
					       &dirs, message),
				 0);
		data_dir_close(&dirs);
		put(mem, cases[i].file, "x");
		assert_int_equal(data_dir_open(disk_mem_disk(mem), &options,
					       &dirs, message),
				 cases[i].is_refused ? FAL_EINVAL : 0);
		if (cases[i].is_refused)
			assert_non_null(strstr(message, "move them"));
		else
			data_dir_close(&dirs);
		disk_mem_destroy(mem);
	}
}

static void
unfinished_snapshots_are_removed_at_the_start(void **arg)
{
	struct disk_mem *mem = new_disk();
	const struct data_dir_options options = {.data_dir = "/d",
						 .may_create = true};
	struct data_dir dirs;
	char message[DATA_DIR_MESSAGE_BYTES];

	(void)arg;
	assert_int_equal(
		data_dir_open(disk_mem_disk(mem), &options, &dirs, message), 0);
	data_dir_close(&dirs);
	put(mem, "version-2/falconer.tmp.snapshot.5", "x");
	put(mem, "version-2/falconer.tmp.snapshot.6", "x");
	put(mem, "version-2/snapshot.4", "x");
	assert_int_equal(
		data_dir_open(disk_mem_disk(mem), &options, &dirs, message), 0);
	assert_false(has_file(mem, "version-2/falconer.tmp.snapshot.5"));
	assert_false(has_file(mem, "version-2/falconer.tmp.snapshot.6"));
	assert_true(has_file(mem, "version-2/snapshot.4"));
	data_dir_close(&dirs);
	disk_mem_destroy(mem);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_data_files_have_data_names),
		cmocka_unit_test(files_come_in_the_order_of_their_zxids),
		cmocka_unit_test(a_floor_is_the_file_that_may_hold_the_zxid),
		cmocka_unit_test(paths_that_do_not_fit_are_refused),
		cmocka_unit_test(numbers_are_parsed_strictly),
		cmocka_unit_test(a_replaced_file_is_old_or_new_after_a_crash),
		cmocka_unit_test(epochs_at_the_start_follow_the_table),
		cmocka_unit_test(a_genesis_register_comes_back_or_is_damaged),
		cmocka_unit_test(three_snapshots_and_their_logs_stay),
		cmocka_unit_test(
			without_enough_complete_snapshots_the_oldest_complete_one_counts),
		cmocka_unit_test(what_was_removed_shrinks_step_by_step),
		cmocka_unit_test(a_purge_that_fails_leaves_no_hole),
		cmocka_unit_test(directories_are_made_and_locked),
		cmocka_unit_test(one_directory_may_be_written_in_several_ways),
		cmocka_unit_test(
			missing_directories_are_refused_when_they_may_not_be_made),
		cmocka_unit_test(a_file_in_the_place_of_a_directory_is_named),
		cmocka_unit_test(what_is_in_the_way_of_a_directory_is_named),
		cmocka_unit_test(exchanged_directories_are_refused),
		cmocka_unit_test(unfinished_snapshots_are_removed_at_the_start),
	};

	testing_seed(0xa0761d6478bd642f);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
