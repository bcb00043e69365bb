/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a log without flushes. ZAB stores records itself once the file has its
 * name, without an operation of the disk; they survive the process; files end,
 * pages cannot be had, the log starts over, and nothing is lost.
 *
 * Method: a disk in memory, which counts its operations and can be left as a
 * process that was killed leaves it.
 */

#include "txlog_rig.h"

#define LARGE_FILE (4u << 20) /* its pages are got ready in steps */

static struct world world;

/* The first record has named the file, and ZAB may write. */
static void
begin(uint64_t prealloc)
{
	world_begin(&world);
	world.prealloc = prealloc;
	world_open_log(&world, true);
	assert_true(append(&world, 100));
	assert_false(txlog_settle(world.log)); /* LOG has to make the file */
	drain(&world);
	assert_int_equal(durable_count(&world), 1);
}

/* One record, stored by ZAB alone if it may. */
static bool
append_settled(uint32_t bytes)
{
	if (!append(&world, bytes))
		return false;
	return txlog_settle(world.log);
}

static void
records_are_stored_without_an_operation_of_the_disk(void **arg)
{
	uint64_t operations;

	(void)arg;
	begin(PREALLOC);
	operations = disk_mem_operations(world.mem);
	for (uint32_t i = 0; i < 50; i++) {
		assert_true(append_settled(100 + i));
		assert_int_equal(durable_count(&world), 2 + i);
	}
	assert_int_equal(disk_mem_operations(world.mem), operations);
	/* LOG has nothing to do, and does nothing. */
	assert_false(txlog_poll(world.log));
	assert_int_equal(disk_mem_operations(world.mem), operations);
	assert_int_equal(read_back(&world), 51);
	world_end(&world);
}

static void
what_was_settled_survives_the_process(void **arg)
{
	(void)arg;
	begin(PREALLOC);
	for (uint32_t i = 0; i < 300; i++)
		assert_true(append_settled(random_bytes() % 400 + 100));
	disk_mem_crash(world.mem, DISK_MEM_KEEP_ALL);
	assert_int_equal(read_back(&world), 301);
	world_end(&world);
}

/* And with the machine go the records, but not what is older than they are. */
static void
a_power_cut_leaves_a_readable_file(void **arg)
{
	(void)arg;
	for (uint32_t round = 0; round < 20; round++) {
		begin(PREALLOC);
		for (uint32_t i = 0; i < 100; i++)
			assert_true(append_settled(100));
		disk_mem_crash(world.mem, DISK_MEM_BY_CHANCE);
		assert_true(read_back(&world) <= 101);
		world_end(&world);
	}
}

static void
files_end_and_follow_each_other(void **arg)
{
	uint32_t woken = 0;

	(void)arg;
	begin(PREALLOC);
	while (count_files(&world) < 6) {
		for (uint32_t i = 0; i < 100; i++) {
			if (append_settled(random_bytes()))
				continue;
			woken++;
			drain(&world);
			txlog_prepare(world.log);
		}
		if (testing_below(8) == 0)
			txlog_roll(world.log);
	}
	drain(&world);
	/* LOG worked where files began, not for each record. */
	assert_true(woken < world.appended / 10);
	assert_int_equal(durable_count(&world), world.appended);
	assert_int_equal(read_back(&world), world.appended);
	txlog_destroy(world.log);
	world_open_log(&world, true);
	assert_int_equal(read_back(&world), world.appended);
	world_end(&world);
}

/* LOG is asked for more pages before they are needed. */
static void
pages_are_ready_ahead_of_the_records(void **arg)
{
	uint32_t woken = 0;

	(void)arg;
	begin(LARGE_FILE);
	for (uint32_t i = 0; i < 300; i++) {
		const bool is_settled = append_settled(10000);

		assert_int_equal(durable_count(&world), world.appended);
		if (!is_settled) {
			woken++;
			assert_true(txlog_poll(world.log));
			assert_true(txlog_settle(world.log));
		}
	}
	/* A megabyte at a time of three. */
	assert_true(woken >= 2 && woken <= 4);
	assert_int_equal(read_back(&world), world.appended);
	world_end(&world);
}

static void
pages_that_cannot_be_had_leave_the_file_to_log(void **arg)
{
	bool has_failed = false;

	(void)arg;
	begin(LARGE_FILE);
	for (uint32_t i = 0; i < 300; i++) {
		if (append_settled(10000))
			continue;
		if (!has_failed)
			disk_mem_fail_at(world.mem, 0, FAL_ENOSPC, false);
		has_failed = true;
		txlog_poll(world.log);
		drain(&world);
		assert_int_equal(txlog_error(world.log), 0);
		assert_int_equal(durable_count(&world), world.appended);
	}
	assert_true(has_failed);
	/* The file behind it is ZAB's again. */
	txlog_prepare(world.log);
	txlog_roll(world.log);
	assert_true(append(&world, 100));
	drain(&world);
	assert_int_equal(count_files(&world), 2);
	assert_true(append_settled(100));
	assert_int_equal(read_back(&world), world.appended);
	world_end(&world);
}

static void
a_log_that_starts_over_is_logs_until_it_has_a_file(void **arg)
{
	(void)arg;
	begin(PREALLOC);
	assert_true(append_settled(100));
	txlog_prepare(world.log);
	assert_int_equal(
		txlog_restart(world.log, FIRST_ZXID - 1 + world.appended), 0);
	assert_true(append(&world, 100));
	assert_false(txlog_settle(world.log));
	drain(&world);
	assert_true(append_settled(100));
	assert_int_equal(count_files(&world), 2);
	assert_int_equal(read_back(&world), world.appended);
	world_end(&world);
}

/* Plays ZAB at the instant at which LOG is about to hand over. */
static int
begin_a_file(struct disk_file *file, uint8_t *from, uint64_t bytes)
{
	static bool has_begun;

	(void)file;
	(void)from;
	(void)bytes;
	if (has_begun)
		return 0;
	has_begun = true;
	txlog_prepare(world.log);
	txlog_roll(world.log);
	assert_true(append(&world, 100));
	return 0;
}

static void
a_file_that_ends_while_it_is_handed_over_is_logs(void **arg)
{
	struct disk *disk;
	struct disk_ops ops;
	const struct disk_ops *plain;

	(void)arg;
	world_begin(&world);
	disk = disk_mem_disk(world.mem);
	plain = disk->ops;
	ops = *plain;
	ops.ready = begin_a_file;
	disk->ops = &ops;
	world_open_log(&world, true);
	assert_true(append(&world, 100));
	while (world.appended == 1)
		assert_true(txlog_poll(world.log));
	assert_false(txlog_settle(world.log));
	assert_int_equal(durable_count(&world), 1);
	drain(&world);
	assert_int_equal(durable_count(&world), 2);
	assert_true(append_settled(100));
	assert_int_equal(count_files(&world), 2);
	assert_int_equal(read_back(&world), 3);
	disk->ops = plain;
	world_end(&world);
}

/* A log with flushes is never ZAB's. */
static void
with_flushes_log_writes(void **arg)
{
	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	for (uint32_t i = 0; i < 5; i++) {
		assert_true(append(&world, 100));
		assert_false(txlog_settle(world.log));
		assert_int_equal(durable_count(&world), i);
		drain(&world);
	}
	assert_int_equal(durable_count(&world), 5);
	world_end(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			records_are_stored_without_an_operation_of_the_disk),
		cmocka_unit_test(what_was_settled_survives_the_process),
		cmocka_unit_test(a_power_cut_leaves_a_readable_file),
		cmocka_unit_test(files_end_and_follow_each_other),
		cmocka_unit_test(pages_are_ready_ahead_of_the_records),
		cmocka_unit_test(
			pages_that_cannot_be_had_leave_the_file_to_log),
		cmocka_unit_test(
			a_log_that_starts_over_is_logs_until_it_has_a_file),
		cmocka_unit_test(
			a_file_that_ends_while_it_is_handed_over_is_logs),
		cmocka_unit_test(with_flushes_log_writes),
	};

	testing_seed(0x9e3779b97f4a7c15);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
