/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_STORE_TXLOG_RIG_H
#define FALCONER_TESTS_UNIT_STORE_TXLOG_RIG_H

/*
 * txlog_rig - a log on a disk in memory, and the model of what it holds.
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

static inline void
note_durable(void *arg)
{
	((struct world *)arg)->notified++;
}

static inline void
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

static inline void
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

static inline void
world_end(struct world *world)
{
	txlog_destroy(world->log);
	world->log = NULL;
	disk_mem_destroy(world->mem);
}

static inline bool
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

/* Polls until nothing happens and nothing is under way, for LOG and ZAB. */
static inline void
drain(struct world *world)
{
	do {
		while (txlog_poll(world->log) || txlog_is_writing(world->log))
			continue;
		txlog_settle(world->log);
	} while (txlog_poll(world->log));
}

/* Reads the files; returns how many records there are, all as appended. */
static inline uint32_t
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

static inline uint32_t
durable_count(const struct world *world)
{
	return (uint32_t)(txlog_durable_zxid(world->log) - (FIRST_ZXID - 1));
}

static inline uint32_t
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

static inline uint32_t
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

#endif
