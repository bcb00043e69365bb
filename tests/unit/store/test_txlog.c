/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever txlog calls durable is read back from the files exactly as it
 * was appended, after any timing, any failing operation and any loss of power;
 * the window, the files and the refusals behave as txlog.h says.
 *
 * Method: a disk in memory that loses what was not synced. The model is the
 * sequence of entries, which follow from their zxids. log_chain reads back.
 * Each n-th operation fails once; the power goes at random points, sector by
 * sector. FAL_SEED sets the random numbers, FAL_ROUNDS how many rounds.
 */
#include "txlog_rig.h"

static void
one_poll_makes_one_write_of_all_that_gathered(void **arg)
{
	struct world world;
	struct txlog_counters counters;

	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	for (uint32_t i = 0; i < 500; i++)
		assert_true(append(&world, 200));
	assert_int_equal(durable_count(&world), 0);
	assert_true(txlog_poll(world.log));
	assert_int_equal(durable_count(&world), 500);
	assert_int_equal(world.notified, 1);
	txlog_counters(world.log, &counters);
	assert_int_equal(counters.writes, 1);
	assert_int_equal(counters.records, 500);
	assert_int_equal(counters.files, 1);
	assert_int_equal(counters.bytes, 500 * 213);
	assert_false(txlog_poll(world.log));
	txlog_counters(world.log, &counters);
	assert_int_equal(counters.writes, 1);
	assert_int_equal(read_back(&world), 500);
	world_end(&world);
}

static void
a_write_is_at_most_256_kilobytes_and_may_end_inside_a_record(void **arg)
{
	struct world world;
	struct txlog_counters counters;

	(void)arg;
	world_begin(&world);
	world.prealloc = 4 * PREALLOC;
	world_open_log(&world, false);
	for (uint32_t i = 0; i < 8; i++)
		assert_true(append(&world, 60000));
	assert_true(txlog_poll(world.log));
	/* 16 + 4 * 60013 bytes are before the limit, the file ends there. */
	assert_int_equal(durable_count(&world), 4);
	drain(&world);
	assert_int_equal(durable_count(&world), 8);
	txlog_counters(world.log, &counters);
	assert_true(counters.bytes_written / counters.writes <=
		    TXLOG_WRITE_BYTES_MAX);
	assert_int_equal(read_back(&world), 8);
	world_end(&world);
}

static void
a_record_without_its_last_byte_on_disk_is_not_durable(void **arg)
{
	struct world world;

	(void)arg;
	world_begin(&world);
	world.prealloc = 4 * PREALLOC;
	world_open_log(&world, false);
	/* Five records that end one byte behind the first write. */
	for (uint32_t i = 0; i < 4; i++)
		assert_true(append(&world, 60000));
	assert_true(append(&world, TXLOG_WRITE_BYTES_MAX + 1 - 4 * 60000 - 16 -
					   5 * TXLOG_RECORD_OVERHEAD));
	assert_true(txlog_poll(world.log));
	assert_int_equal(durable_count(&world), 4);
	assert_true(txlog_poll(world.log));
	assert_int_equal(durable_count(&world), 5);
	assert_int_equal(read_back(&world), 5);
	world_end(&world);
}

static void
records_gather_while_a_write_is_under_way(void **arg)
{
	struct world world;
	struct txlog_counters counters;

	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	disk_mem_slow(world.mem, 3);
	assert_true(append(&world, 100));
	assert_true(txlog_poll(world.log));
	assert_true(txlog_is_writing(world.log));
	assert_int_equal(durable_count(&world), 0);
	for (uint32_t i = 0; i < 50; i++)
		assert_true(append(&world, 100));
	drain(&world);
	assert_int_equal(durable_count(&world), 51);
	txlog_counters(world.log, &counters);
	assert_int_equal(counters.writes, 2);
	assert_int_equal(read_back(&world), 51);
	world_end(&world);
}

/* Any interleaving, with rolls, slow writes and restarts. */
static void
random_records_with_random_timing_are_read_back_identical(void **arg)
{
	static struct world world;
	const uint32_t rounds = testing_rounds("FAL_ROUNDS", 20);

	(void)arg;
	for (uint32_t round = 0; round < rounds; round++) {
		world_begin(&world);
		world_open_log(&world, round % 4 == 3);
		for (uint32_t step = 0; step < 1500; step++) {
			const uint64_t what = testing_below(100);

			if (what < 60)
				append(&world, random_bytes());
			else if (what < 85)
				txlog_poll(world.log);
			else if (what < 90)
				txlog_settle(world.log);
			else if (what < 97)
				txlog_prepare(world.log);
			else if (what == 97)
				txlog_roll(world.log);
			else if (what == 98)
				disk_mem_slow(world.mem,
					      (uint32_t)testing_below(4));
		}
		drain(&world);
		assert_int_equal(txlog_error(world.log), 0);
		assert_int_equal(durable_count(&world), world.appended);
		assert_int_equal(read_back(&world), world.appended);
		/* A clean end leaves no hidden file. */
		txlog_destroy(world.log);
		world_open_log(&world, false);
		assert_true(append(&world, 100));
		drain(&world);
		assert_int_equal(read_back(&world), world.appended);
		world_end(&world);
	}
}

static void
the_window_comes_round_many_times(void **arg)
{
	static struct world world;
	uint64_t bytes = 0;
	uint32_t refused = 0;

	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	while (bytes < 12 * (uint64_t)WINDOW) {
		const uint32_t next = random_bytes();

		if (append(&world, next)) {
			bytes += next;
		} else {
			refused++;
			assert_true(txlog_poll(world.log) ||
				    txlog_prepare(world.log));
		}
	}
	/* Never polled while there was room: only a full window refuses. */
	assert_true(refused > 0);
	drain(&world);
	assert_int_equal(read_back(&world), world.appended);
	assert_true(count_files(&world) > 12 * WINDOW / PREALLOC - 2);
	world_end(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_poll_makes_one_write_of_all_that_gathered),
		cmocka_unit_test(
			a_write_is_at_most_256_kilobytes_and_may_end_inside_a_record),
		cmocka_unit_test(
			a_record_without_its_last_byte_on_disk_is_not_durable),
		cmocka_unit_test(records_gather_while_a_write_is_under_way),
		cmocka_unit_test(
			random_records_with_random_timing_are_read_back_identical),
		cmocka_unit_test(the_window_comes_round_many_times),
	};

	testing_seed(0x2545f4914f6cdd1d);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
