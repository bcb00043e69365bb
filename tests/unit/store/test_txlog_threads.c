/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: ZAB, LOG and BG as three threads on a real disk: what is durable never
 * runs ahead of what was appended or back, everything is read back, and
 * ThreadSanitizer is silent. Both disks, with and without sync.
 *
 * Method: a temporary directory; the appending thread checks the durable word
 * while it goes; small windows and files, so that all hand-overs of the next
 * file happen many times. FAL_RECORDS sets how many records.
 */

#include "store_testing.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "store/log_reader.h"
#include "store/txlog.h"

#define FIRST_ZXID 0x100000001ull
#define WINDOW     (1u << 20)
#define ENTRY_MAX  (32u << 10)
/* Records that ZAB makes in a round. */
#define SETTLE_EACH 7u
/* And before it sleeps, for which LOG hands over what it can. */
#define SLEEP_EACH 90u

struct world {
	struct disk *disk;
	struct txlog *log;
	char dir[64];
	uint32_t records;
	_Atomic bool is_done;
	_Atomic uint64_t notified;
};

static void
note(void *arg)
{
	atomic_fetch_add(&((struct world *)arg)->notified, 1);
}

static void *
log_thread(void *arg)
{
	struct world *world = arg;

	for (;;) {
		const bool was_done = atomic_load(&world->is_done);

		if (!txlog_poll(world->log)) {
			if (was_done && !txlog_is_writing(world->log))
				return NULL;
			sched_yield();
		}
	}
}

static void *
bg_thread(void *arg)
{
	struct world *world = arg;

	while (!atomic_load(&world->is_done))
		if (!txlog_prepare(world->log)) {
			(void)txlog_trim(world->log);
			usleep(200);
		}
	return NULL;
}

static uint32_t
length_of(uint32_t index)
{
	return TXN_HEADER_BYTES + (index % 50 == 49 ? 20000 : index * 37 % 400);
}

static void
await_durable(struct world *world)
{
	while (txlog_durable_zxid(world->log) != txlog_last_zxid(world->log)) {
		assert_int_equal(txlog_error(world->log), 0);
		txlog_settle(world->log);
		sched_yield();
	}
}

static void
append_all(struct world *world)
{
	uint64_t durable = FIRST_ZXID - 1;

	for (uint32_t i = 0; i < world->records; i++) {
		const uint64_t zxid = FIRST_ZXID + i;
		uint64_t now;
		uint32_t room = 0;
		uint8_t *place;

		while (!txlog_can_append(world->log, length_of(i))) {
			assert_int_equal(txlog_error(world->log), 0);
			txlog_settle(world->log);
			sched_yield();
		}
		place = txlog_reserve(world->log, &room);
		assert_true(room >= length_of(i));
		testing_entry(place, length_of(i), zxid);
		txlog_commit(world->log, length_of(i), zxid);
		if (i % SETTLE_EACH == 0)
			txlog_settle(world->log);
		if (i % SLEEP_EACH == 0)
			await_durable(world);
		now = txlog_durable_zxid(world->log);
		assert_true(now >= durable && now <= zxid);
		durable = now;
		if (i % 1500 == 1499)
			txlog_roll(world->log);
	}
}

static void
read_all(struct world *world)
{
	static uint8_t wanted[ENTRY_MAX];
	struct log_chain *chain = NULL;
	struct log_record record;
	uint32_t count = 0;

	assert_int_equal(log_chain_open(world->disk, world->dir, 0,
					LOG_ENTRY_BYTES_MAX, &chain),
			 0);
	while (log_chain_next(chain, &record) > 0) {
		assert_int_equal(record.header.zxid, FIRST_ZXID + count);
		assert_int_equal(record.bytes, length_of(count));
		testing_entry(wanted, record.bytes, FIRST_ZXID + count);
		assert_memory_equal(record.entry, wanted, record.bytes);
		count++;
	}
	assert_int_equal(log_chain_end(chain), LOG_END_CLEAN);
	assert_int_equal(count, world->records);
	log_chain_close(chain);
}

static void
remove_file(void *arg, const char *name)
{
	struct world *world = arg;
	char path[FILE_PATH_MAX];

	assert_int_equal(file_path(path, world->dir, name), 0);
	assert_int_equal(unlink(path), 0);
}

static void
run(struct disk *disk, bool has_no_sync)
{
	struct world world = {.disk = disk, .dir = "test_txlog.XXXXXX"};
	struct txlog_options options = {.window_bytes = WINDOW,
					.prealloc_bytes = WINDOW / 4,
					.entry_bytes_max = ENTRY_MAX,
					.has_no_sync = has_no_sync,
					.last_zxid = FIRST_ZXID - 1,
					.durable_notify = note,
					.arg = &world};
	struct txlog_counters counters;
	pthread_t log_id, bg_id;

	assert_non_null(mkdtemp(world.dir));
	world.records = testing_rounds("FAL_RECORDS", 6000);
	options.dir = world.dir;
	assert_int_equal(txlog_create(disk, &options, &world.log), 0);
	assert_int_equal(pthread_create(&log_id, NULL, log_thread, &world), 0);
	assert_int_equal(pthread_create(&bg_id, NULL, bg_thread, &world), 0);
	append_all(&world);
	await_durable(&world);
	atomic_store(&world.is_done, true);
	pthread_join(log_id, NULL);
	pthread_join(bg_id, NULL);
	assert_int_equal(txlog_durable_zxid(world.log),
			 FIRST_ZXID + world.records - 1);
	txlog_counters(world.log, &counters);
	assert_int_equal(counters.records, world.records);
	assert_true(counters.writes < world.records);
	assert_true(atomic_load(&world.notified) <=
		    counters.writes + 3 * counters.files + world.records);
	print_message("             %s: %u records, %llu writes, %llu files\n",
		      disk->name, world.records,
		      (unsigned long long)counters.writes,
		      (unsigned long long)counters.files);
	txlog_destroy(world.log);
	read_all(&world);
	assert_int_equal(disk_list(disk, world.dir, remove_file, &world), 0);
	assert_int_equal(rmdir(world.dir), 0);
}

static void
three_threads_on_the_plain_disk(void **arg)
{
	(void)arg;
	run(disk_posix(), false);
	run(disk_posix(), true);
}

static void
three_threads_on_io_uring(void **arg)
{
	struct disk *disk = NULL;
	const int err = disk_uring_create(&disk);

	(void)arg;
	if (err == FAL_ENOTSUP) {
		print_message("             io_uring is forbidden here\n");
		skip();
	}
	assert_int_equal(err, 0);
	run(disk, false);
	run(disk, true);
	disk_uring_destroy(disk);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_threads_on_the_plain_disk),
		cmocka_unit_test(three_threads_on_io_uring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
