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

#include "store_testing.h"

#include "store/file_list.h"
#include "store/log_reader.h"
#include "store/txlog.h"

#define DIR_PATH    "/log"
#define WINDOW      (1u << 20)
#define ENTRY_MAX   (64u << 10)
#define PREALLOC    (256u << 10)
#define FIRST_ZXID  0x500000001ull
#define ENTRIES_MAX 20000u
#define CHAIN_LIMIT LOG_ENTRY_BYTES_MAX

struct world {
	struct disk_mem *mem;
	struct txlog *log;
	uint32_t lengths[ENTRIES_MAX]; /* of entry FIRST_ZXID + i */
	uint32_t appended;
	uint32_t notified;
	uint64_t prealloc;
	bool is_volatile;
};

static uint8_t scratch[LOG_ENTRY_BYTES_MAX];

static void
note_durable(void *arg)
{
	((struct world *)arg)->notified++;
}

static void
world_open_log(struct world *world, bool has_no_sync)
{
	const struct txlog_options options = {
		.dir = DIR_PATH,
		.window_bytes = WINDOW,
		.prealloc_bytes = world->prealloc,
		.entry_bytes_max = ENTRY_MAX,
		.has_no_sync = has_no_sync,
		.is_volatile = world->is_volatile,
		.last_zxid = FIRST_ZXID - 1 + world->appended,
		.durable_notify = note_durable,
		.arg = world,
	};

	assert_int_equal(
		txlog_create(disk_mem_disk(world->mem), &options, &world->log),
		0);
}

static void
world_begin(struct world *world)
{
	world->appended = 0;
	world->notified = 0;
	world->log = NULL;
	world->prealloc = PREALLOC;
	world->is_volatile = false;
	assert_int_equal(disk_mem_create(testing_random(), &world->mem), 0);
	assert_int_equal(disk_mkdir(disk_mem_disk(world->mem), DIR_PATH), 0);
	assert_int_equal(disk_sync_dir(disk_mem_disk(world->mem), "/"), 0);
}

static void
world_end(struct world *world)
{
	txlog_destroy(world->log);
	world->log = NULL;
	disk_mem_destroy(world->mem);
}

static bool
append(struct world *world, uint32_t bytes)
{
	const uint64_t zxid = FIRST_ZXID + world->appended;
	uint32_t room = 0;
	uint8_t *place;

	assert_true(world->appended < ENTRIES_MAX);
	if (!txlog_can_append(world->log, bytes))
		return false;
	place = txlog_reserve(world->log, &room);
	assert_true(room >= bytes);
	testing_entry(place, bytes, zxid);
	/* What lies behind the entry must not matter. */
	memset(place + bytes, 0xa5, room - bytes < 64 ? room - bytes : 64);
	txlog_commit(world->log, bytes, zxid);
	world->lengths[world->appended++] = bytes;
	return true;
}

/* Polls until nothing happens and nothing is under way. */
static void
drain(struct world *world)
{
	while (txlog_poll(world->log) || txlog_is_writing(world->log))
		continue;
}

/* Reads the files; returns how many records there are, all as appended. */
static uint32_t
read_back(struct world *world)
{
	struct log_chain *chain = NULL;
	struct log_record record;
	uint32_t count = 0;
	int got;

	assert_int_equal(log_chain_open(disk_mem_disk(world->mem), DIR_PATH, 0,
					CHAIN_LIMIT, &chain),
			 0);
	while ((got = log_chain_next(chain, &record)) > 0) {
		assert_int_equal(record.header.zxid, FIRST_ZXID + count);
		assert_true(count < world->appended);
		assert_int_equal(record.bytes, world->lengths[count]);
		testing_entry(scratch, record.bytes, FIRST_ZXID + count);
		assert_memory_equal(record.entry, scratch, record.bytes);
		count++;
	}
	assert_int_equal(got, 0);
	log_chain_close(chain);
	return count;
}

static uint32_t
durable_count(const struct world *world)
{
	return (uint32_t)(txlog_durable_zxid(world->log) - (FIRST_ZXID - 1));
}

static uint32_t
random_bytes(void)
{
	const uint64_t kind = testing_below(20);

	if (kind == 0)
		return (uint32_t)(TXN_HEADER_BYTES +
				  testing_below(ENTRY_MAX - 40));
	if (kind < 3)
		return (uint32_t)(TXN_HEADER_BYTES + testing_below(5000));
	return (uint32_t)(TXN_HEADER_BYTES + testing_below(300));
}

static uint32_t
count_files(struct world *world)
{
	struct file_list logs;
	uint32_t count;

	assert_int_equal(file_list_read(disk_mem_disk(world->mem), DIR_PATH,
					FILE_LOG, &logs),
			 0);
	count = logs.count;
	file_list_free(&logs);
	return count;
}

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
			else if (what < 90)
				txlog_poll(world.log);
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
	txlog_prepare(world.log);
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
		if (i % 7 == 0)
			txlog_prepare(world->log);
		if (i % 20 == 19)
			txlog_roll(world->log);
	}
	for (uint32_t i = 0; i < 8 && txlog_error(world->log) == 0; i++) {
		txlog_poll(world->log);
		txlog_prepare(world->log);
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
			else
				txlog_prepare(world.log);
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
		cmocka_unit_test(one_poll_makes_one_write_of_all_that_gathered),
		cmocka_unit_test(
			a_write_is_at_most_256_kilobytes_and_may_end_inside_a_record),
		cmocka_unit_test(
			a_record_without_its_last_byte_on_disk_is_not_durable),
		cmocka_unit_test(records_gather_while_a_write_is_under_way),
		cmocka_unit_test(
			random_records_with_random_timing_are_read_back_identical),
		cmocka_unit_test(the_window_comes_round_many_times),
		cmocka_unit_test(a_roll_starts_a_file_named_by_its_first_zxid),
		cmocka_unit_test(
			a_roll_at_the_end_of_the_window_moves_the_entry_whole),
		cmocka_unit_test(a_closed_file_is_cut_to_its_length),
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
