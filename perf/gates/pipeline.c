/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline - whole requests through READER and ZAB as one core runs them: from
 * the bytes of a frame to the bytes of its reply. Sockets and disk are those of
 * the pipeline tests, in memory; the rounds are counted, what feeds them is
 * not.
 */
#include "perf/gates/gate.h"

#include <stdlib.h>

#include "base/time.h"
#include "perf/micro/must.h"
#include "tests/unit/dataplane/pipeline_rig.h"

/* What a connection may have under way at once. */
#define BURST 32u
/* Before a burst is counted, see start_busy(). */
#define BUSY_REQUESTS 65536u
/* From one round to the next. */
#define ROUND_NS 1000u

_Static_assert(BENCH_BURST % BURST == 0, "whole bursts");

struct pipeline {
	struct rig rig;
	struct rig_client client;
	uint64_t now_ns; /* beyond the rig's */
};

static struct pipeline *
start(bool has_ledger)
{
	struct pipeline *pipeline = calloc(1, sizeof(*pipeline));

	BENCH_MUST(pipeline != NULL);
	if (has_ledger)
		rig_start(&pipeline->rig);
	else
		rig_start_no_ledger(&pipeline->rig);
	pipeline->client = rig_client(&pipeline->rig);
	rig_create(&pipeline->client, "/gate", "value", 0);
	rig_sync(&pipeline->rig);
	rig_reply(&pipeline->client);
	pipeline->rig.is_counted = true;
	return pipeline;
}

static void *
setup(void)
{
	return start(true);
}

static void
teardown(void *state)
{
	struct pipeline *pipeline = state;

	rig_stop(&pipeline->rig);
	free(pipeline);
}

static void
read_round(struct pipeline *pipeline)
{
	struct rig *rig = &pipeline->rig;
	const uint64_t now_ns = rig->now_ms * NS_PER_MS + pipeline->now_ns;

	reader_poll(rig->reader, now_ns, (int64_t)rig->now_ms);
	pipeline->now_ns += ROUND_NS;
	reader_round_done(rig->reader, now_ns + ROUND_NS);
}

static void
write_round(struct rig *rig)
{
	zab_note_time(rig->zab, rig->now_ms * NS_PER_MS);
	zab_poll(rig->zab, rig->now_ms, (int64_t)rig->now_ms);
}

static uint64_t
take_replies(struct pipeline *pipeline, uint32_t count)
{
	uint64_t right = 0;

	for (uint32_t i = 0; i < count; i++)
		right += rig_reply(&pipeline->client).header.err == ZK_OK;
	return right;
}

static uint64_t
reads(struct pipeline *pipeline, uint64_t count, uint32_t burst,
      bool is_counted)
{
	uint64_t right = 0;

	for (uint64_t done = 0; done < count; done += burst) {
		for (uint32_t i = 0; i < burst; i++)
			rig_get_data(&pipeline->client, "/gate", false);
		if (is_counted)
			gate_begin();
		read_round(pipeline);
		if (is_counted)
			gate_end();
		right += take_replies(pipeline, burst);
	}
	return right;
}

/* So many requests before a burst is counted: a server under load looks at one
 * in hundreds for its list of busy paths, an idle one at each. */
static struct pipeline *
start_busy(bool has_ledger)
{
	struct pipeline *pipeline = start(has_ledger);

	BENCH_MUST(reads(pipeline, BUSY_REQUESTS, BURST, false) ==
		   BUSY_REQUESTS);
	return pipeline;
}

static void *
setup_busy(void)
{
	return start_busy(true);
}

/* Beside the same with it: what the ledger costs. */
static void *
setup_no_ledger(void)
{
	return start_busy(false);
}

static uint64_t
writes(struct pipeline *pipeline, uint64_t count, uint32_t burst)
{
	struct rig *rig = &pipeline->rig;
	uint64_t right = 0;

	for (uint64_t done = 0; done < count; done += burst) {
		for (uint32_t i = 0; i < burst; i++)
			rig_set_data(&pipeline->client, "/gate", "other");
		gate_begin();
		read_round(pipeline); /* frames to requests */
		write_round(rig);     /* requests to transactions */
		rig->durable = rig->written;
		write_round(rig);     /* durable: published */
		read_round(pipeline); /* replies */
		gate_end();
		right += take_replies(pipeline, burst);
	}
	return right;
}

static uint64_t
read_one(void *state, uint64_t count)
{
	return reads(state, count, 1, true);
}

static uint64_t
read_burst(void *state, uint64_t count)
{
	return reads(state, count, BURST, true);
}

static uint64_t
write_one(void *state, uint64_t count)
{
	return writes(state, count, 1);
}

static uint64_t
write_burst(void *state, uint64_t count)
{
	return writes(state, count, BURST);
}

const struct bench_case gate_pipeline_cases[] = {
	{"pipeline/getData", setup, read_one, teardown, 0},
	{"pipeline/getData_burst32", setup_busy, read_burst, teardown, 0},
	{"pipeline/getData_burst32_no_ledger", setup_no_ledger, read_burst,
	 teardown, 0},
	{"pipeline/setData", setup, write_one, teardown, 0},
	{"pipeline/setData_burst32", setup_busy, write_burst, teardown, 0},
	{"pipeline/setData_burst32_no_ledger", setup_no_ledger, write_burst,
	 teardown, 0},
	{0},
};
