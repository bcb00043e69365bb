/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_bench - from a path's text to the node, one by one and in bursts whose
 * cache misses overlap, and from there to the body of a getData reply.
 */
#include "perf/micro/bench.h"

#include <stdlib.h>

#include "perf/micro/must.h"
#include "perf/micro/nodes.h"
#include "znode/read.h"

#define PATHS 65536u /* power of two */
#define BURST 16u

/* Of a getData reply behind its header. */
#define BODY_BYTES (4 + NODES_DATA_BYTES + PROTO_STAT_BYTES)

_Static_assert(BENCH_BURST % BURST == 0, "whole bursts");

struct reads {
	struct nodes *nodes;
	struct nodes_path path[PATHS]; /* of random nodes */
	uint32_t next;
	uint64_t state; /* S */
	uint8_t out[4096];
};

static void *
reads_setup(void)
{
	struct reads *reads = calloc(1, sizeof(*reads));

	BENCH_MUST(reads != NULL);
	reads->nodes = nodes_open(nodes_count);
	for (uint32_t i = 0; i < PATHS; i++)
		reads->path[i] =
			nodes_path_of(nodes_random(reads->nodes, nodes_count));
	nodes_read(reads->nodes);
	reads->state = (uint64_t)reads->nodes->zxid;
	return reads;
}

static void
reads_teardown(void *state)
{
	struct reads *reads = state;

	nodes_close(reads->nodes);
	free(reads);
}

static struct tree_path
next_path(struct reads *reads)
{
	const struct nodes_path *path =
		&reads->path[reads->next++ & (PATHS - 1)];

	return tree_path_of(reads->nodes->tree, path->text, path->bytes);
}

static uint64_t
lookup(void *state, uint64_t count)
{
	struct reads *reads = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++)
		right += tree_lookup(reads->nodes->tree, next_path(reads),
				     reads->state) != NULL;
	return right;
}

static uint64_t
lookup_burst(void *state, uint64_t count)
{
	struct reads *reads = state;
	const struct tree *tree = reads->nodes->tree;
	struct tree_path path[BURST];
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i += BURST) {
		for (uint32_t k = 0; k < BURST; k++) {
			path[k] = next_path(reads);
			tree_prefetch_bucket(tree, path[k].hash);
		}
		for (uint32_t k = 0; k < BURST; k++)
			tree_prefetch_node(tree, path[k].hash);
		for (uint32_t k = 0; k < BURST; k++)
			right += tree_lookup(tree, path[k], reads->state) !=
				 NULL;
	}
	return right;
}

static bool
get_data(struct reads *reads, const struct tree_path *path)
{
	struct jute_writer out = jute_writer_of(reads->out, sizeof(reads->out));

	return read_get_data(reads->nodes->tree, reads->state, path,
			     reads->nodes->ids, &out) == ZK_OK &&
	       jute_written(&out) == BODY_BYTES;
}

static uint64_t
read_one(void *state, uint64_t count)
{
	struct reads *reads = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++) {
		const struct tree_path path = next_path(reads);

		right += get_data(reads, &path);
	}
	return right;
}

static uint64_t
read_burst(void *state, uint64_t count)
{
	struct reads *reads = state;
	const struct tree *tree = reads->nodes->tree;
	struct tree_path path[BURST];
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i += BURST) {
		for (uint32_t k = 0; k < BURST; k++) {
			path[k] = next_path(reads);
			tree_prefetch_bucket(tree, path[k].hash);
		}
		for (uint32_t k = 0; k < BURST; k++)
			tree_prefetch_node(tree, path[k].hash);
		for (uint32_t k = 0; k < BURST; k++)
			tree_prefetch_version(
				tree, tree_lookup(tree, path[k], reads->state));
		for (uint32_t k = 0; k < BURST; k++)
			right += get_data(reads, &path[k]);
	}
	return right;
}

/* One path over and over: what is left when nothing misses. */
static uint64_t
read_same(void *state, uint64_t count)
{
	struct reads *reads = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++) {
		reads->next = 0;

		const struct tree_path path = next_path(reads);

		right += get_data(reads, &path);
	}
	return right;
}

/* The loop of read_one() without the hash and the read: what is counted there
 * and is not theirs. */
static uint64_t
read_nothing(void *state, uint64_t count)
{
	struct reads *reads = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++) {
		const struct nodes_path *path =
			&reads->path[reads->next++ & (PATHS - 1)];
		struct jute_writer out =
			jute_writer_of(reads->out, sizeof(reads->out));
		int32_t err = ZK_OK;

		out.at += BODY_BYTES;
		/* All of it is in memory for one who is called. */
		__asm__ volatile("" : "+r"(err), "+m"(out) : "r"(path));
		right += err == ZK_OK && jute_written(&out) == BODY_BYTES;
	}
	return right;
}

const struct bench_case bench_read_cases[] = {
	{"tree/lookup", reads_setup, lookup, reads_teardown, 0},
	{"tree/lookup_burst16", reads_setup, lookup_burst, reads_teardown, 0},
	{"read/getData", reads_setup, read_one, reads_teardown, 0},
	{"read/getData_burst16", reads_setup, read_burst, reads_teardown, 0},
	{"read/getData_cached", reads_setup, read_same, reads_teardown, 0},
	{"read/nothing", reads_setup, read_nothing, reads_teardown, 0},
	{0},
};
