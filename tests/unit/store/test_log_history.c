/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the table of a history is what the log files hold without a hole up to
 * the last transaction, and nothing of a history that was given up.
 *
 * Method: captured directories with known contents, log files made here record
 * by record, and files taken away or damaged.
 */

#include "recover_testing.h"

#include "consensus/zab_history.h"
#include "store/log_history.h"
#include "store/log_reader.h"

#define FULL_DIR  "fixture-full/server1/version-2"
#define STALE_DIR "hazard-stale-suffix-after-snap/version-2"
#define FULL_LAST 0x10000007ell

static struct zab_history
read_table(struct rt *rt, int64_t last, uint64_t bytes_max)
{
	const struct log_history_options options = {.snap_dir = RT_DIR,
						    .log_dir = RT_DIR,
						    .last_zxid = last,
						    .bytes_max = bytes_max};
	struct zab_history table;

	assert_int_equal(
		log_history_read(disk_mem_disk(rt->mem), &options, &table), 0);
	assert_true(zab_history_is_sound(&table));
	assert_int_equal(table.last_zxid, last);
	return table;
}

static void
check_row(const struct zab_history *table, uint32_t index, int64_t first,
	  int64_t last)
{
	assert_true(index < table->row_count);
	assert_int_equal(table->row[index].first_zxid, first);
	assert_int_equal(table->row[index].last_zxid, last);
}

/* A log file with records first..last of `zxid` order, cut to its length. */
static void
put_log(struct rt *rt, const int64_t *zxids, uint32_t count)
{
	uint8_t bytes[16384] = {0};
	char path[RT_PATH_BYTES];
	size_t at = LOG_FILE_HEADER_BYTES;

	be_store32(bytes, LOG_FILE_MAGIC);
	be_store32(bytes + 4, LOG_FILE_VERSION);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *entry = bytes + at + LOG_RECORD_HEAD_BYTES;

		testing_error_entry(entry, (uint64_t)zxids[i]);
		be_store64(bytes + at,
			   checksum_adler32(CHECKSUM_ADLER32_INIT, entry,
					    TESTING_ERROR_BYTES));
		be_store32(bytes + at + 8, TESTING_ERROR_BYTES);
		entry[TESTING_ERROR_BYTES] = LOG_END_OF_RECORD;
		at += LOG_RECORD_OVERHEAD + TESTING_ERROR_BYTES;
		assert_true(at + 64 < sizeof(bytes));
	}
	snprintf(path, sizeof(path), RT_DIR "/log.%llx",
		 (unsigned long long)zxids[0]);
	assert_int_equal(disk_mem_put(rt->mem, path, bytes, at), 0);
}

static void
put_range(struct rt *rt, int64_t first, int64_t last)
{
	int64_t zxids[256];
	uint32_t count = 0;

	for (int64_t zxid = first; zxid <= last; zxid++)
		zxids[count++] = zxid;
	put_log(rt, zxids, count);
}

static void
put_snapshot_name(struct rt *rt, const char *name)
{
	char path[RT_PATH_BYTES];

	snprintf(path, sizeof(path), RT_DIR "/%s", name);
	assert_int_equal(disk_mem_put(rt->mem, path, "x", 1), 0);
}

static void
files_older_than_the_snapshot_count(void **arg)
{
	struct zab_history table;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, FULL_DIR);
	table = read_table(&rt, FULL_LAST, 0);
	assert_int_equal(table.row_count, 1);
	check_row(&table, 0, 0x100000001, FULL_LAST);
	assert_int_equal(table.floor_zxid, 0x100000000);
	/* Recovery had stopped earlier. */
	table = read_table(&rt, 0x100000050, 0);
	check_row(&table, 0, 0x100000001, 0x100000050);
	rt_end(&rt);
}

static void
the_table_begins_behind_what_is_missing(void **arg)
{
	struct zab_history table;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, FULL_DIR);
	assert_int_equal(
		disk_unlink(disk_mem_disk(rt.mem), RT_DIR "/log.100000027"), 0);
	table = read_table(&rt, FULL_LAST, 0);
	check_row(&table, 0, 0x100000049, FULL_LAST);
	assert_int_equal(table.floor_zxid, 0x100000048);
	/* A damaged record in an older file: the same. */
	size_t bytes = 0;
	uint8_t *data = disk_mem_bytes(rt.mem, RT_DIR "/log.100000049", &bytes);

	data[100] ^= 1;
	table = read_table(&rt, FULL_LAST, 0);
	check_row(&table, 0, 0x100000071, FULL_LAST);
	rt_end(&rt);
}

static void
a_budget_leaves_old_files_out(void **arg)
{
	struct zab_history table;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	put_range(&rt, 0x100000001, 0x100000064);
	put_range(&rt, 0x100000065, 0x1000000c8);
	put_range(&rt, 0x1000000c9, 0x1000000d2);
	table = read_table(&rt, 0x1000000d2, 6000);
	check_row(&table, 0, 0x100000065, 0x1000000d2);
	table = read_table(&rt, 0x1000000d2, 1);
	check_row(&table, 0, 0x1000000c9, 0x1000000d2);
	rt_end(&rt);
}

static void
an_epoch_that_begins_in_its_middle_has_no_ancestors(void **arg)
{
	struct zab_history table;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	put_range(&rt, 0x100000001, 0x100000005);
	put_range(&rt, 0x200000001, 0x200000009);
	put_range(&rt, 0x400000001, 0x400000003);
	table = read_table(&rt, 0x400000003, 0);
	assert_int_equal(table.row_count, 3);
	check_row(&table, 0, 0x100000001, 0x100000005);
	check_row(&table, 2, 0x400000001, 0x400000003);
	/* Received as a snapshot at 0x500000006: what is before may differ. */
	put_range(&rt, 0x500000007, 0x500000008);
	table = read_table(&rt, 0x500000008, 0);
	assert_int_equal(table.row_count, 1);
	check_row(&table, 0, 0x500000007, 0x500000008);
	assert_int_equal(table.floor_zxid, 0x500000006);
	rt_end(&rt);
}

/* hazard H3: a leader's snapshot is named by the mark of its epoch. */
static void
a_snapshot_of_a_leader_begins_the_history(void **arg)
{
	struct zab_history table;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	put_range(&rt, 0x100000001, 0x100000005);
	put_range(&rt, 0x200000001, 0x200000009);
	put_snapshot_name(&rt, "snapshot.0");
	put_snapshot_name(&rt, "snapshot.100000003");
	table = read_table(&rt, 0x200000009, 0);
	assert_int_equal(table.row_count, 2);
	put_snapshot_name(&rt, "snapshot.200000000");
	table = read_table(&rt, 0x200000009, 0);
	assert_int_equal(table.row_count, 1);
	assert_int_equal(table.floor_zxid, 0x200000000);
	/* No record of it came yet. */
	put_snapshot_name(&rt, "snapshot.300000000");
	table = read_table(&rt, 0x300000000, 0);
	assert_int_equal(table.row_count, 0);
	assert_int_equal(table.floor_zxid, 0x300000000);
	rt_end(&rt);
}

static void
the_captured_stale_suffix_is_left_out(void **arg)
{
	struct zab_history table;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	rt_put_dir(&rt, STALE_DIR);
	const struct recover_options options = rt_options(&rt);

	assert_int_equal(rt_run(&rt, &options), 0);
	table = read_table(&rt, (int64_t)rt.outcome.last_zxid, 0);
	assert_true(table.floor_zxid >= 0x300000002);
	assert_false(zab_history_has(&table, 0x200000007));
	rt_end(&rt);
}

static void
a_server_alone_counts_over_the_end_of_an_epoch(void **arg)
{
	struct zab_history table;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	put_range(&rt, 0x7fffffffa, 0x80000000a);
	table = read_table(&rt, 0x80000000a, 0);
	assert_int_equal(table.row_count, 1);
	check_row(&table, 0, 0x800000001, 0x80000000a);
	assert_int_equal(table.floor_zxid, 0x800000000);
	for (int64_t last = 0x7fffffffe; last <= 0x800000001; last++)
		(void)read_table(&rt, last, 0);
	rt_end(&rt);
}

static void
nothing_is_a_history_too(void **arg)
{
	struct zab_history table;
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	table = read_table(&rt, 0, 0);
	assert_int_equal(table.row_count, 0);
	assert_int_equal(table.floor_zxid, 0);
	rt_end(&rt);
}

/* ---- what is worth sending -------------------------------------------------
 */

static int64_t
worth(struct rt *rt, int64_t last, double factor, uint32_t count)
{
	const struct log_worth options = {.snap_dir = RT_DIR,
					  .log_dir = RT_DIR,
					  .last_zxid = last,
					  .factor = factor,
					  .count = count};
	int64_t floor = -1;

	assert_int_equal(
		log_history_worth(disk_mem_disk(rt->mem), &options, &floor), 0);
	return floor;
}

static void
more_log_than_snapshot_is_not_worth_sending(void **arg)
{
	static uint8_t snapshot[30000];
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	put_range(&rt, 0x100000001, 0x100000064); /* 4900 bytes each */
	put_range(&rt, 0x100000065, 0x1000000c8);
	put_range(&rt, 0x1000000c9, 0x10000012c);
	put_range(&rt, 0x10000012d, 0x100000130);
	assert_int_equal(disk_mem_put(rt.mem, RT_DIR "/snapshot.1000000c8",
				      snapshot, sizeof(snapshot)),
			 0);
	/* The open file counts nothing, 10000 bytes are two files. */
	assert_int_equal(worth(&rt, 0x100000130, 0.3334, 0), 0x100000064);
	assert_int_equal(worth(&rt, 0x100000130, 1.0, 0), 0);
	assert_int_equal(worth(&rt, 0x100000130, -1.0, 0), 0x10000012c);
	/* But the last transactions always. */
	assert_int_equal(worth(&rt, 0x100000130, -1.0, 50), 0x1000000c8);
	assert_int_equal(worth(&rt, 0x100000130, -1.0, 500), 0);
	rt_end(&rt);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_older_than_the_snapshot_count),
		cmocka_unit_test(the_table_begins_behind_what_is_missing),
		cmocka_unit_test(a_budget_leaves_old_files_out),
		cmocka_unit_test(
			an_epoch_that_begins_in_its_middle_has_no_ancestors),
		cmocka_unit_test(a_snapshot_of_a_leader_begins_the_history),
		cmocka_unit_test(the_captured_stale_suffix_is_left_out),
		cmocka_unit_test(
			a_server_alone_counts_over_the_end_of_an_epoch),
		cmocka_unit_test(nothing_is_a_history_too),
		cmocka_unit_test(more_log_than_snapshot_is_not_worth_sending),
	};

	testing_seed(0x415);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
