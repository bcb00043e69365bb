/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_bench - an entry of 200 bytes into the window and, batch by batch, to a
 * disk in memory: what the log costs besides the device.
 */
#include "perf/micro/bench.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "drivers/disk_mem.h"
#include "store/txlog.h"
#include "perf/micro/must.h"

#define ENTRY_BYTES 200u
#define BATCH       32u
/* In an entry's header, behind session id and cxid. */
#define ZXID_OFFSET 12u
/* What is written stays in memory. */
#define COUNT_MAX 131072u

_Static_assert(BENCH_BURST % BATCH == 0, "whole batches");

struct log {
	struct disk_mem *mem;
	struct txlog *txlog;
	uint64_t zxid;
	uint8_t entry[ENTRY_BYTES];
};

static void *
log_setup(void)
{
	struct log *log = calloc(1, sizeof(*log));
	const struct txlog_options options = {.dir = "/log",
					      .window_bytes = 4u << 20,
					      .prealloc_bytes = 64u << 20,
					      .entry_bytes_max = 64u << 10,
					      .last_zxid = 0};

	BENCH_MUST(log != NULL);
	BENCH_MUST(disk_mem_create(1, &log->mem) == 0);
	BENCH_MUST(disk_mkdir(disk_mem_disk(log->mem), "/log") == 0);
	BENCH_MUST(txlog_create(disk_mem_disk(log->mem), &options,
				&log->txlog) == 0);
	while (txlog_prepare(log->txlog))
		;
	return log;
}

static void
log_teardown(void *state)
{
	struct log *log = state;

	txlog_destroy(log->txlog);
	disk_mem_destroy(log->mem);
	free(log);
}

static uint64_t
append_durably(struct log *log, uint64_t count, uint32_t batch)
{
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i += batch) {
		for (uint32_t k = 0; k < batch; k++) {
			be_store64(log->entry + ZXID_OFFSET, ++log->zxid);
			right += txlog_append(log->txlog, log->entry,
					      ENTRY_BYTES, log->zxid) == 0;
		}
		while (txlog_poll(log->txlog))
			;
		if (txlog_durable_zxid(log->txlog) != log->zxid)
			return 0;
	}
	return right;
}

static uint64_t
append_one(void *state, uint64_t count)
{
	return append_durably(state, count, 1);
}

static uint64_t
append_batch(void *state, uint64_t count)
{
	return append_durably(state, count, BATCH);
}

const struct bench_case bench_log_cases[] = {
	{"log/append", log_setup, append_one, log_teardown, COUNT_MAX},
	{"log/append_batch32", log_setup, append_batch, log_teardown,
	 COUNT_MAX},
	{0},
};
