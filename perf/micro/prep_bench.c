/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prep_bench - the writer core's share of a write: check, apply, serialise,
 * publish, give memory back. The request's body is written anew each time,
 * about 20 ns of what is measured. prep_apply() is the follower's way.
 */
#include "perf/micro/bench.h"

#include <stdlib.h>
#include <string.h>

#include "perf/micro/must.h"
#include "perf/micro/nodes.h"

#define ENTRY_BYTES 512u

static void *
writes_setup(void)
{
	return nodes_open(nodes_count);
}

static void
writes_teardown(void *state)
{
	nodes_close(state);
}

static uint64_t
set_data(void *state, uint64_t count)
{
	struct nodes *nodes = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++) {
		const size_t bytes =
			nodes_put_set(nodes, nodes_random(nodes, nodes_count));

		right += nodes_run(nodes, OP_SET_DATA, bytes);
	}
	return right;
}

/* By turns, so that the tree stays as it is; each counts as one. */
static uint64_t
create_delete_at(struct nodes *nodes, struct jute_slice path, uint64_t count)
{
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i += 2) {
		right += nodes_run(nodes, OP_CREATE,
				   nodes_put_create(nodes, path));
		right += nodes_run(nodes, OP_DELETE,
				   nodes_put_delete(nodes, path));
	}
	return right;
}

static uint64_t
create_delete(void *state, uint64_t count)
{
	struct nodes *nodes = state;
	const struct jute_slice path = jute_slice_of("/bench/d0001/new", 16);

	return create_delete_at(nodes, path, count);
}

/* ---- far below a quota --------------------------------------------------- */

#define QUOTA "/zookeeper/quota"
#define LEVEL "/a"

enum { LEVELS = 100, DEEP_BYTES = 64 + 2 * LEVELS };

static void
create(struct nodes *nodes, const char *path)
{
	BENCH_MUST(nodes_run(
		nodes, OP_CREATE,
		nodes_put_create(nodes, jute_slice_of(path, strlen(path)))));
}

/* All levels of a path that begins with `text`. */
static void
create_levels(struct nodes *nodes, char text[DEEP_BYTES])
{
	for (int i = 0; i < LEVELS; i++) {
		strcat(text, LEVEL);
		create(nodes, text);
	}
}

static void *
deep_setup(void)
{
	struct nodes *nodes = nodes_open(1);
	char text[DEEP_BYTES] = "", mirrored[DEEP_BYTES] = QUOTA;

	create_levels(nodes, text);
	create_levels(nodes, mirrored);
	create(nodes, strcat(mirrored, "/zookeeper_limits"));
	return nodes;
}

static uint64_t
create_delete_deep(void *state, uint64_t count)
{
	char text[DEEP_BYTES] = "";

	for (int i = 0; i < LEVELS; i++)
		strcat(text, LEVEL);
	strcat(text, "/new");
	return create_delete_at(state, jute_slice_of(text, strlen(text)),
				count);
}

/* The entry of one setData, applied again under a new zxid: its header's third
 * field, behind session id and cxid. */
static uint64_t
apply_set_data(void *state, uint64_t count)
{
	struct nodes *nodes = state;
	uint8_t entry[ENTRY_BYTES];
	uint64_t right = 0;

	BENCH_MUST(nodes_run(nodes, OP_SET_DATA, nodes_put_set(nodes, 7)));
	BENCH_MUST(nodes->result.entry_bytes <= ENTRY_BYTES);

	/* Without its digest, which belongs to another state. */
	const uint32_t bytes = nodes->result.entry_bytes - TXN_DIGEST_BYTES;

	memcpy(entry, nodes->entry, bytes);
	for (uint64_t i = 0; i < count; i++) {
		bool digest_matches = true;

		nodes->zxid++;
		be_store64(entry + 12, (uint64_t)nodes->zxid);
		right += prep_apply(nodes->prep, entry, bytes, &nodes->result,
				    &digest_matches) == 0;
		tree_publish(nodes->tree, nodes->zxid);
		if (i % BENCH_BURST == 0)
			tree_reclaim(nodes->tree, 4 * BENCH_BURST);
	}
	return right;
}

const struct bench_case bench_prep_cases[] = {
	{"prep/setData", writes_setup, set_data, writes_teardown, 0},
	{"prep/create_delete", writes_setup, create_delete, writes_teardown, 0},
	{"prep/create_delete_deep", deep_setup, create_delete_deep,
	 writes_teardown, 0},
	{"apply/setData", writes_setup, apply_set_data, writes_teardown, 0},
	{0},
};
