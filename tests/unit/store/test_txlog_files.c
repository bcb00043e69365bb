/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the files of the log: their names, their ends, what lies between them,
 * and what is refused.
 *
 * Method: as test_txlog.c.
 */
#include "txlog_rig.h"

#include "store/file_cut.h"
#include "store/txlog_internal.h"

/* Of a file after one that was hardly used: the largest entry fits. */
#define LEAST (80u << 10)

/* The entry moves to the new file across the end of the ring. */
static void
a_roll_at_the_end_of_the_window_moves_the_entry_whole(void **arg)
{
	static struct world world;

	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	for (uint32_t distance = 40; distance < 9000; distance += 300) {
		struct txlog_record record;
		uint64_t left;

		/* Comes so close to the ring's end that only padding and the
		 * new file's header fit before it, or not even those. */
		do {
			assert_true(append(&world, 100));
			drain(&world);
			txlog_prepare(world.log);
			assert_true(txlog_last(world.log, &record));
			left = WINDOW - record.next % WINDOW;
			if (left > 2 * (uint64_t)distance + 20000)
				assert_true(append(&world, 10000));
			drain(&world);
		} while (left > distance + 113);
		txlog_roll(world.log);
		drain(&world);
		assert_true(append(&world, ENTRY_MAX / 2));
		drain(&world);
	}
	assert_int_equal(read_back(&world), world.appended);
	world_end(&world);
}

static void
a_roll_starts_a_file_named_by_its_first_zxid(void **arg)
{
	struct world world;
	char path[FILE_PATH_MAX];
	struct disk_info info;

	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	txlog_roll(world.log);
	assert_true(append(&world, 100));
	assert_true(append(&world, 100));
	drain(&world);
	assert_int_equal(count_files(&world), 1);
	txlog_roll(world.log);
	/* LOG makes the next file, as nobody prepared one. */
	drain(&world);
	assert_int_equal(count_files(&world), 1);
	assert_true(append(&world, 100));
	assert_true(append(&world, 100));
	drain(&world);
	assert_int_equal(count_files(&world), 2);
	assert_int_equal(file_path_log(path, DIR_PATH, FIRST_ZXID + 2), 0);
	assert_int_equal(disk_info(disk_mem_disk(world.mem), path, &info), 0);
	assert_int_equal(info.bytes, PREALLOC);
	assert_int_equal(read_back(&world), 4);
	world_end(&world);
}

static void
a_closed_file_is_cut_to_its_length(void **arg)
{
	struct world world;
	struct disk_info info;
	char path[FILE_PATH_MAX];

	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	assert_int_equal(file_path_log(path, DIR_PATH, FIRST_ZXID), 0);
	assert_true(append(&world, 100));
	drain(&world);
	txlog_roll(world.log);
	drain(&world);
	assert_true(append(&world, 100));
	drain(&world);
	assert_int_equal(disk_info(disk_mem_disk(world.mem), path, &info), 0);
	assert_int_equal(info.bytes, PREALLOC);
	assert_false(txlog_trim(world.log));
	assert_int_equal(disk_info(disk_mem_disk(world.mem), path, &info), 0);
	assert_int_equal(info.bytes, 16 + 113);
	/* A record that was never written leaves the last file as it is. */
	assert_true(append(&world, 100));
	txlog_destroy(world.log);
	world.log = NULL;
	assert_int_equal(file_path_log(path, DIR_PATH, FIRST_ZXID + 1), 0);
	assert_int_equal(disk_info(disk_mem_disk(world.mem), path, &info), 0);
	assert_int_equal(info.bytes, PREALLOC);
	world.appended--;
	assert_int_equal(read_back(&world), 2);
	world_open_log(&world, false);
	assert_true(append(&world, 200));
	drain(&world);
	txlog_destroy(world.log);
	world.log = NULL;
	assert_int_equal(file_path_log(path, DIR_PATH, FIRST_ZXID + 2), 0);
	assert_int_equal(disk_info(disk_mem_disk(world.mem), path, &info), 0);
	assert_int_equal(info.bytes, 16 + 213);
	assert_int_equal(read_back(&world), 3);
	disk_mem_destroy(world.mem);
}

/* Logs that are rolled faster than they are cut would fill the disk. */
static void
files_that_were_rolled_fast_are_all_cut(void **arg)
{
	enum { ROLLS = 20 };
	struct world world;
	struct disk_info info;
	char path[FILE_PATH_MAX];
	uint32_t steps = 0;

	(void)arg;
	world_begin(&world);
	world.prealloc = 8 * (uint64_t)FILE_CUT_BYTES;
	world_open_log(&world, false);
	for (uint32_t i = 0; i < ROLLS; i++) {
		while (txlog_prepare(world.log))
			continue;
		txlog_roll(world.log);
		assert_true(append(&world, 100));
		drain(&world);
	}
	assert_int_equal(txlog_closed(world.log), ROLLS - 1);
	do
		steps++;
	while (txlog_trim(world.log));
	assert_int_equal(txlog_closed(world.log), 0);
	/* Large pieces at first, small ones for the last. */
	assert_in_range(steps, ROLLS - 1, 2 * ROLLS);
	for (uint32_t i = 0; i < ROLLS - 1; i++) {
		assert_int_equal(file_path_log(path, DIR_PATH, FIRST_ZXID + i),
				 0);
		assert_int_equal(
			disk_info(disk_mem_disk(world.mem), path, &info), 0);
		assert_true(info.bytes < 4096);
	}
	assert_int_equal(read_back(&world), ROLLS);
	world_end(&world);
}

/* What is freed at once keeps the device from the log's writes. */
static void
a_closed_file_is_cut_a_piece_at_a_time(void **arg)
{
	struct world world;
	struct disk_info info;
	char path[FILE_PATH_MAX];
	uint64_t before = 5 * (uint64_t)FILE_CUT_BYTES;
	bool has_more;

	(void)arg;
	world_begin(&world);
	world.prealloc = before;
	world_open_log(&world, false);
	assert_int_equal(file_path_log(path, DIR_PATH, FIRST_ZXID), 0);
	assert_true(append(&world, 100));
	drain(&world);
	while (txlog_prepare(world.log))
		continue;
	assert_false(txlog_trim(world.log)); /* it is in use */
	txlog_roll(world.log);
	assert_true(append(&world, 100));
	/* The new file has no name yet: LOG is to wait for nobody. */
	while (txlog_closed(world.log) == 0)
		txlog_poll(world.log);
	if (world.log->next_state == NEXT_CLAIMED) {
		const uint64_t operations = disk_mem_operations(world.mem);

		assert_true(txlog_trim(world.log));
		assert_int_equal(disk_mem_operations(world.mem), operations);
	}
	drain(&world);
	do {
		const uint64_t operations = disk_mem_operations(world.mem);

		has_more = txlog_trim(world.log);
		/* Each piece is a commit of its own. */
		assert_int_equal(disk_mem_operations(world.mem),
				 operations + 2);
		assert_int_equal(
			disk_info(disk_mem_disk(world.mem), path, &info), 0);
		assert_true(before - info.bytes <= FILE_CUT_BYTES);
		before = info.bytes;
	} while (has_more);
	assert_int_equal(before, 16 + 113);
	assert_false(txlog_trim(world.log));
	assert_int_equal(read_back(&world), 2);
	world_end(&world);
}

static uint64_t
bytes_of_file(struct world *world, uint64_t first_zxid)
{
	struct disk_info info;
	char path[FILE_PATH_MAX];

	assert_int_equal(file_path_log(path, DIR_PATH, first_zxid), 0);
	assert_int_equal(disk_info(disk_mem_disk(world->mem), path, &info), 0);
	return info.bytes;
}

/* So that hardly anything is to be given back when it closes. The next file is
 * there before the one in use closes, so it is the one behind it. */
static void
a_file_is_as_large_as_those_before_were_used(void **arg)
{
	struct world world;
	uint32_t files;

	(void)arg;
	world_begin(&world);
	world.prealloc = 64 * (uint64_t)LEAST;
	world_open_log(&world, false);
	for (uint32_t i = 0; i < 8; i++) {
		assert_true(append(&world, LEAST / 2));
		drain(&world);
	}
	for (uint32_t i = 0; i < 3; i++) {
		txlog_roll(world.log);
		drain(&world);
		assert_true(append(&world, LEAST / 2));
		drain(&world);
	}
	assert_int_equal(bytes_of_file(&world, FIRST_ZXID), 64 * LEAST);
	assert_int_equal(bytes_of_file(&world, FIRST_ZXID + 8), 64 * LEAST);
	/* A quarter more than the 4 that the first one used. */
	assert_true(bytes_of_file(&world, FIRST_ZXID + 9) > 4 * LEAST);
	assert_true(bytes_of_file(&world, FIRST_ZXID + 9) < 6 * LEAST);
	/* Not less than holds the largest entry. */
	assert_int_equal(bytes_of_file(&world, FIRST_ZXID + 10), LEAST);
	/* Those that run full become larger again. */
	for (files = count_files(&world); files < 8;
	     files = count_files(&world)) {
		assert_true(append(&world, 1000));
		drain(&world);
	}
	assert_true(bytes_of_file(&world, FIRST_ZXID + world.appended - 1) >
		    3 * LEAST);
	world_end(&world);
}

static void
nothing_but_zeros_follows_the_last_record(void **arg)
{
	static struct world world;
	struct file_list logs;

	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	for (uint32_t i = 0; i < 400; i++) {
		assert_true(append(&world, random_bytes() % 3000 + 40));
		if (testing_below(8) == 0)
			drain(&world);
		if (testing_below(40) == 0)
			txlog_roll(world.log);
	}
	drain(&world);
	assert_int_equal(file_list_read(disk_mem_disk(world.mem), DIR_PATH,
					FILE_LOG, &logs),
			 0);
	assert_true(logs.count > 1);
	for (uint32_t i = 0; i < logs.count; i++) {
		char path[FILE_PATH_MAX];
		struct log_file *file = NULL;
		struct log_record record;

		assert_int_equal(
			file_path(path, DIR_PATH, logs.entries[i].name), 0);
		assert_int_equal(log_file_open(disk_mem_disk(world.mem), path,
					       CHAIN_LIMIT, &file),
				 0);
		while (log_file_next(file, &record) > 0)
			continue;
		assert_int_equal(log_file_end(file), LOG_END_CLEAN);
		log_file_close(file);
	}
	file_list_free(&logs);
	world_end(&world);
}

static void
without_space_appends_are_refused_until_there_is_some(void **arg)
{
	struct world world;
	uint32_t admitted = 0;

	(void)arg;
	world_begin(&world);
	disk_mem_space(world.mem, 0);
	world_open_log(&world, false);
	assert_int_equal(txlog_admit(world.log, 100), TXLOG_NO_SPACE);
	assert_int_equal(txlog_space_error(world.log), FAL_ENOSPC);
	assert_false(txlog_prepare(world.log));
	disk_mem_space(world.mem, PREALLOC);
	assert_true(txlog_prepare(world.log));
	assert_true(world.notified > 0);
	/* One file's worth and no byte more. */
	while (append(&world, 1000)) {
		admitted++;
		drain(&world);
	}
	assert_int_equal(admitted, (PREALLOC - 16) / 1013);
	assert_int_equal(txlog_admit(world.log, 1000), TXLOG_NO_SPACE);
	assert_int_equal(txlog_error(world.log), 0);
	disk_mem_space(world.mem, PREALLOC);
	assert_true(txlog_prepare(world.log));
	assert_true(append(&world, 1000));
	drain(&world);
	assert_int_equal(read_back(&world), admitted + 1);
	world_end(&world);
}

/* Runs a fixed script; stops at the log's error. */
static void
run_script(struct world *world)
{
	for (uint32_t i = 0; i < 60 && txlog_error(world->log) == 0; i++) {
		append(world, 50 + i * 97 % 9000);
		if (i % 3 == 0)
			txlog_poll(world->log);
		if (i % 7 == 0) {
			txlog_prepare(world->log);
			txlog_trim(world->log);
		}
		if (i % 20 == 19)
			txlog_roll(world->log);
	}
	for (uint32_t i = 0; i < 8 && txlog_error(world->log) == 0; i++) {
		txlog_poll(world->log);
		txlog_prepare(world->log);
		txlog_trim(world->log);
	}
	drain(world);
}

static void
when_any_operation_fails_what_was_durable_stays(void **arg)
{
	static struct world world;
	uint64_t operations;
	uint32_t errors = 0;

	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	run_script(&world);
	operations = disk_mem_operations(world.mem);
	assert_int_equal(durable_count(&world), 60);
	world_end(&world);
	for (uint64_t n = 0; n < operations; n++) {
		const int err = n % 2 == 0 ? FAL_EIO : FAL_ENOSPC;
		uint32_t durable;
		uint32_t found;

		world_begin(&world);
		/* The directory's making is counted too. */
		if (n < disk_mem_operations(world.mem)) {
			world_end(&world);
			continue;
		}
		disk_mem_fail_at(world.mem, n - disk_mem_operations(world.mem),
				 err, n % 3 == 0);
		world_open_log(&world, false);
		run_script(&world);
		durable = durable_count(&world);
		if (txlog_error(world.log) != 0) {
			errors++;
			assert_int_equal(txlog_error(world.log), err);
			/* It never tries again. */
			disk_mem_fail_never(world.mem);
			assert_false(txlog_poll(world.log));
			assert_false(txlog_can_append(world.log, 40));
			assert_int_equal(durable_count(&world), durable);
		}
		disk_mem_crash(world.mem, DISK_MEM_BY_CHANCE);
		found = read_back(&world);
		assert_true(found >= durable);
		world_end(&world);
	}
	assert_true(errors > 10);
}

static void
after_power_loss_at_any_point_what_was_durable_is_there(void **arg)
{
	static struct world world;
	const uint32_t rounds = testing_rounds("FAL_ROUNDS", 300);

	(void)arg;
	for (uint32_t round = 0; round < rounds; round++) {
		const uint64_t steps = testing_below(150);
		uint32_t durable;

		world_begin(&world);
		disk_mem_slow(world.mem, (uint32_t)testing_below(3));
		world_open_log(&world, false);
		for (uint64_t step = 0; step < steps; step++) {
			const uint64_t what = testing_below(10);

			if (what < 6)
				append(&world, random_bytes());
			else if (what < 9)
				txlog_poll(world.log);
			else if (!txlog_prepare(world.log))
				txlog_trim(world.log);
			if (testing_below(30) == 0)
				txlog_roll(world.log);
		}
		durable = durable_count(&world);
		disk_mem_crash(world.mem, round % 3 == 0 ? DISK_MEM_LOSE_ALL
							 : DISK_MEM_BY_CHANCE);
		assert_true(read_back(&world) >= durable);
		world_end(&world);
	}
}

static void
a_file_with_records_is_never_overwritten(void **arg)
{
	static struct world world;
	struct file_list logs;

	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	assert_true(append(&world, 100));
	drain(&world);
	txlog_destroy(world.log);
	/* A log that believes it has to begin with the same zxid. */
	world.appended = 0;
	world_open_log(&world, false);
	assert_true(append(&world, 200));
	drain(&world);
	assert_int_equal(txlog_error(world.log), FAL_EEXIST);
	assert_int_equal(durable_count(&world), 0);
	world.lengths[0] = 100;
	assert_int_equal(read_back(&world), 1);
	assert_int_equal(file_list_read(disk_mem_disk(world.mem), DIR_PATH,
					FILE_LOG, &logs),
			 0);
	assert_int_equal(logs.count, 1);
	file_list_free(&logs);
	world_end(&world);
}

static void
a_file_without_records_is_replaced(void **arg)
{
	static struct world world;
	static const uint8_t zeros[5000];
	char path[FILE_PATH_MAX];

	(void)arg;
	for (size_t bytes = 0; bytes <= sizeof(zeros); bytes += 2500) {
		world_begin(&world);
		assert_int_equal(file_path_log(path, DIR_PATH, FIRST_ZXID), 0);
		assert_int_equal(disk_mem_put(world.mem, path, zeros, bytes),
				 0);
		world_open_log(&world, false);
		assert_true(append(&world, 200));
		drain(&world);
		assert_int_equal(txlog_error(world.log), 0);
		assert_int_equal(read_back(&world), 1);
		world_end(&world);
	}
}

static void
the_window_serves_records_from_any_zxid_it_still_has(void **arg)
{
	static struct world world;
	struct txlog_record record;
	uint32_t first_kept = UINT32_MAX;

	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	assert_false(txlog_last(world.log, &record));
	assert_false(txlog_find_after(world.log, 0, &record));
	for (uint32_t i = 0; i < 3000; i++) {
		while (!append(&world, 40 + i % 2000)) {
			txlog_prepare(world.log);
			drain(&world);
		}
		if (i % 100 == 0)
			txlog_roll(world.log);
		if (i % 10 == 0)
			drain(&world);
	}
	for (uint32_t i = 0; i < 3000; i++) {
		uint64_t zxid = FIRST_ZXID + i;

		if (!txlog_find_after(world.log, zxid - 1, &record)) {
			assert_int_equal(first_kept, UINT32_MAX);
			continue;
		}
		if (first_kept == UINT32_MAX)
			first_kept = i;
		if (i % 16 != 0)
			continue;
		do {
			const uint32_t at = (uint32_t)(zxid - FIRST_ZXID);

			assert_int_equal(record.zxid, zxid);
			assert_int_equal(record.bytes, world.lengths[at]);
			testing_entry(scratch, record.bytes, zxid);
			assert_memory_equal(record.entry, scratch,
					    record.bytes);
			zxid++;
		} while (txlog_read(world.log, record.next, &record));
		assert_int_equal(zxid, FIRST_ZXID + 3000);
	}
	/* Nearly a window full: less the largest entry and one index step. */
	assert_true(first_kept < 3000 - 600);
	assert_true(txlog_last(world.log, &record));
	assert_int_equal(record.zxid, FIRST_ZXID + 2999);
	assert_false(txlog_find_after(world.log, FIRST_ZXID + 2999, &record));
	world_end(&world);
}

/* Between two files lie no bytes, or enough to be seen as padding. */
static void
a_reader_steps_over_any_padding_between_files(void **arg)
{
	static struct world world;

	(void)arg;
	for (uint32_t padding = 0; padding < 16; padding++) {
		struct txlog_record record;
		uint32_t filler;

		world_begin(&world);
		world_open_log(&world, false);
		filler = DISK_BLOCK_BYTES - padding -
			 (uint32_t)LOG_FILE_HEADER_BYTES -
			 2 * TXLOG_RECORD_OVERHEAD - 100;
		assert_true(append(&world, 100));
		assert_true(append(&world, filler));
		assert_true(txlog_last(world.log, &record));
		assert_int_equal(record.next, DISK_BLOCK_BYTES - padding);
		drain(&world);
		txlog_roll(world.log);
		drain(&world);
		assert_true(append(&world, 100));
		drain(&world);
		assert_int_equal(count_files(&world), 2);
		assert_true(
			txlog_find_after(world.log, FIRST_ZXID - 1, &record));
		for (uint32_t i = 0; i < 3; i++) {
			assert_int_equal(record.zxid, FIRST_ZXID + i);
			assert_int_equal(
				txlog_read(world.log, record.next, &record),
				i < 2);
		}
		assert_int_equal(read_back(&world), 3);
		world_end(&world);
	}
}

static void
held_records_are_not_overwritten(void **arg)
{
	static struct world world;
	struct txlog_record record;
	uint64_t held;

	(void)arg;
	world_begin(&world);
	world_open_log(&world, false);
	assert_true(append(&world, 5000));
	assert_true(txlog_last(world.log, &record));
	held = record.pos;
	txlog_hold(world.log, held);
	for (;;) {
		txlog_prepare(world.log);
		drain(&world);
		if (!append(&world, 5000))
			break;
	}
	assert_true((uint64_t)world.appended * 5013 > WINDOW * 9ull / 10);
	assert_int_equal(txlog_admit(world.log, 5000), TXLOG_WAIT);
	assert_true(txlog_read(world.log, held, &record));
	assert_int_equal(record.zxid, FIRST_ZXID);
	testing_entry(scratch, 5000, FIRST_ZXID);
	assert_memory_equal(record.entry, scratch, 5000);
	txlog_hold(world.log, TXLOG_HOLD_NOTHING);
	assert_true(append(&world, 5000));
	world_end(&world);
}

/* As soon as LOG or BG has made the next file. */
static void
append_patiently(struct world *world, uint32_t bytes)
{
	while (!append(world, bytes)) {
		drain(world);
		txlog_prepare(world->log);
	}
}

static void
a_volatile_log_writes_nothing_until_it_is_kept(void **arg)
{
	struct world world;
	struct txlog_counters counters;
	uint32_t first;

	(void)arg;
	world_begin(&world);
	world.is_volatile = true;
	world_open_log(&world, false);
	/* Several files' worth. */
	for (uint32_t i = 0; i < 2000; i++) {
		append_patiently(&world, 4000);
		drain(&world);
		assert_int_equal(durable_count(&world), i + 1);
	}
	txlog_counters(world.log, &counters);
	assert_int_equal(counters.bytes_written, 0);
	assert_int_equal(count_files(&world), 0);
	/* A restart alone changes nothing, one behind txlog_keep() does. */
	assert_int_equal(
		txlog_restart(world.log, FIRST_ZXID + world.appended - 1), 0);
	assert_true(txlog_is_volatile(world.log));
	txlog_keep(world.log);
	assert_true(append(&world, 300));
	drain(&world);
	assert_int_equal(count_files(&world), 0);
	assert_int_equal(
		txlog_restart(world.log, FIRST_ZXID + world.appended - 1), 0);
	assert_false(txlog_is_volatile(world.log));
	first = world.appended;
	for (uint32_t i = 0; i < 100; i++)
		append_patiently(&world, 300);
	drain(&world);
	assert_int_equal(durable_count(&world), first + 100);
	assert_int_equal(count_files(&world), 1);
	world_end(&world);
}

static void
impossible_options_are_refused(void **arg)
{
	struct world world;
	struct txlog *log = NULL;
	struct txlog_options options = {.dir = DIR_PATH,
					.window_bytes = WINDOW - 4096,
					.entry_bytes_max = ENTRY_MAX};

	(void)arg;
	world_begin(&world);
	assert_int_equal(txlog_create(disk_mem_disk(world.mem), &options, &log),
			 FAL_EINVAL);
	options.window_bytes = WINDOW;
	options.entry_bytes_max = WINDOW / 2;
	assert_int_equal(txlog_create(disk_mem_disk(world.mem), &options, &log),
			 FAL_EINVAL);
	options.entry_bytes_max = ENTRY_MAX;
	options.dir = "/nowhere";
	assert_int_equal(txlog_create(disk_mem_disk(world.mem), &options, &log),
			 0);
	assert_int_equal(txlog_admit(log, 100), TXLOG_NO_SPACE);
	assert_int_equal(txlog_space_error(log), FAL_ENOENT);
	txlog_destroy(log);
	world_end(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_roll_starts_a_file_named_by_its_first_zxid),
		cmocka_unit_test(
			a_roll_at_the_end_of_the_window_moves_the_entry_whole),
		cmocka_unit_test(a_closed_file_is_cut_to_its_length),
		cmocka_unit_test(a_closed_file_is_cut_a_piece_at_a_time),
		cmocka_unit_test(files_that_were_rolled_fast_are_all_cut),
		cmocka_unit_test(a_file_is_as_large_as_those_before_were_used),
		cmocka_unit_test(nothing_but_zeros_follows_the_last_record),
		cmocka_unit_test(
			without_space_appends_are_refused_until_there_is_some),
		cmocka_unit_test(
			when_any_operation_fails_what_was_durable_stays),
		cmocka_unit_test(
			after_power_loss_at_any_point_what_was_durable_is_there),
		cmocka_unit_test(a_file_with_records_is_never_overwritten),
		cmocka_unit_test(a_file_without_records_is_replaced),
		cmocka_unit_test(
			the_window_serves_records_from_any_zxid_it_still_has),
		cmocka_unit_test(a_reader_steps_over_any_padding_between_files),
		cmocka_unit_test(held_records_are_not_overwritten),
		cmocka_unit_test(
			a_volatile_log_writes_nothing_until_it_is_kept),
		cmocka_unit_test(impossible_options_are_refused),
	};

	testing_seed(0x2545f4914f6cdd1d);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
