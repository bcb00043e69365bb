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

_Static_assert(BENCH_BURST % BURST == 0, "whole bursts");

struct pipeline {
	struct rig rig;
	struct rig_client client;
};

static void *
setup(void)
{
	struct pipeline *pipeline = calloc(1, sizeof(*pipeline));

	BENCH_MUST(pipeline != NULL);
	rig_start(&pipeline->rig);
	pipeline->client = rig_client(&pipeline->rig);
	rig_create(&pipeline->client, "/gate", "value", 0);
	rig_sync(&pipeline->rig);
	rig_reply(&pipeline->client);
	return pipeline;
}

static void
teardown(void *state)
{
	struct pipeline *pipeline = state;

	rig_stop(&pipeline->rig);
	free(pipeline);
}

static void
read_round(struct rig *rig)
{
	reader_poll(rig->reader, rig->now_ms * NS_PER_MS, (int64_t)rig->now_ms);
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
reads(struct pipeline *pipeline, uint64_t count, uint32_t burst)
{
	uint64_t right = 0;

	for (uint64_t done = 0; done < count; done += burst) {
		for (uint32_t i = 0; i < burst; i++)
			rig_get_data(&pipeline->client, "/gate", false);
		gate_begin();
		read_round(&pipeline->rig);
		gate_end();
		right += take_replies(pipeline, burst);
	}
	return right;
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
		read_round(rig);  /* frames to requests */
		write_round(rig); /* requests to transactions */
		rig->durable = rig->written;
		write_round(rig); /* durable: published */
		read_round(rig);  /* replies */
		gate_end();
		right += take_replies(pipeline, burst);
	}
	return right;
}

static uint64_t
read_one(void *state, uint64_t count)
{
	return reads(state, count, 1);
}

static uint64_t
read_burst(void *state, uint64_t count)
{
	return reads(state, count, BURST);
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
	{"pipeline/getData_burst32", setup, read_burst, teardown, 0},
	{"pipeline/setData", setup, write_one, teardown, 0},
	{"pipeline/setData_burst32", setup, write_burst, teardown, 0},
	{0},
};
