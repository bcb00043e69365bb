/* SPDX-License-Identifier: Apache-2.0 */
/* nodes - memory is given back as the server does it: a few items after every
 * transaction, a grace period now and then. */
#include "perf/micro/nodes.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/micro/must.h"

#define PER_DIRECTORY   1000u
#define RECLAIM_EACH    64u
#define RECLAIM_ITEMS   256u
#define GRACE_EACH      4096u
#define REGION_BYTES    (2ull << 30)
#define SESSION_TICK    500u
#define SESSION_TIMEOUT 10000

uint32_t nodes_count = 100000;

static const uint8_t data[NODES_DATA_BYTES];

static const uint8_t open_acl[] = {
	0,   0, 0, PERM_ALL, 0, 0,   0,   5,   'w', 'o', 'r', 'l',
	'd', 0, 0, 0,        6, 'a', 'n', 'y', 'o', 'n', 'e',
};

static struct jute_slice
slice_of(const struct nodes_path *path)
{
	return jute_slice_of(path->text, path->bytes);
}

static struct nodes_path
directory_of(uint32_t index)
{
	struct nodes_path path;

	path.bytes = (uint32_t)snprintf(path.text, sizeof(path.text),
					"/bench/d%04u", index / PER_DIRECTORY);
	return path;
}

struct nodes_path
nodes_path_of(uint32_t index)
{
	struct nodes_path path;

	path.bytes = (uint32_t)snprintf(path.text, sizeof(path.text),
					"/bench/d%04u/k%07u",
					index / PER_DIRECTORY, index);
	return path;
}

uint32_t
nodes_random(struct nodes *nodes, uint32_t below)
{
	nodes->random ^= nodes->random << 13;
	nodes->random ^= nodes->random >> 7;
	nodes->random ^= nodes->random << 17;
	return (uint32_t)((nodes->random >> 32) * below >> 32);
}

bool
nodes_run(struct nodes *nodes, int32_t type, size_t bytes)
{
	struct jute_writer entry =
		jute_writer_of(nodes->entry, sizeof(nodes->entry));
	const struct prep_request request = {
		.session_id = NODES_SESSION,
		.cxid = 1,
		.type = type,
		.body = nodes->body,
		.body_bytes = (uint32_t)bytes,
		.ids = nodes->ids,
		.owner = {.conn = 1, .conn_gen = 1}};
	const int64_t zxid = nodes->zxid + 1;

	if (prep_request(nodes->prep, &request, zxid, 1700000000000 + zxid,
			 &entry, &nodes->result) != 0)
		return false;
	nodes->zxid = zxid;
	tree_publish(nodes->tree, zxid);
	atomic_store_explicit(&nodes->published, (uint64_t)zxid,
			      memory_order_release);
	if (zxid % RECLAIM_EACH == 0)
		tree_reclaim(nodes->tree, RECLAIM_ITEMS);
	if (zxid % GRACE_EACH == 0)
		(void)tree_reclaim_grace(nodes->tree);
	return nodes->result.err == ZK_OK;
}

size_t
nodes_put_set(struct nodes *nodes, uint32_t index)
{
	const struct nodes_path path = nodes_path_of(index);
	const struct proto_set_data_request request = {
		.path = slice_of(&path),
		.data = jute_slice_of(data, sizeof(data)),
		.version = -1};
	struct jute_writer writer =
		jute_writer_of(nodes->body, sizeof(nodes->body));

	proto_put_set_data(&writer, &request);
	return jute_written(&writer);
}

size_t
nodes_put_create(struct nodes *nodes, struct jute_slice path)
{
	const struct proto_create_request request = {
		.path = path,
		.data = jute_slice_of(data, sizeof(data)),
		.acl = {.data = open_acl,
			.count = 1,
			.bytes = sizeof(open_acl)},
		.ttl = -1};
	struct jute_writer writer =
		jute_writer_of(nodes->body, sizeof(nodes->body));

	proto_put_create(&writer, OP_CREATE, &request);
	return jute_written(&writer);
}

size_t
nodes_put_delete(struct nodes *nodes, struct jute_slice path)
{
	const struct proto_path_version request = {.path = path, .version = -1};
	struct jute_writer writer =
		jute_writer_of(nodes->body, sizeof(nodes->body));

	proto_put_path_version(&writer, &request);
	return jute_written(&writer);
}

static void
create(struct nodes *nodes, struct nodes_path path)
{
	BENCH_MUST(nodes_run(nodes, OP_CREATE,
			     nodes_put_create(nodes, slice_of(&path))));
}

static void
make_parts(struct nodes *nodes)
{
	const struct tree_options tree_options = {.region_bytes = REGION_BYTES,
						  .has_extended_types = true,
						  .is_digest_on = true};

	nodes->acl_options = (struct acl_options){.is_digest_enabled = true};
	nodes->options = (struct prep_options){.acl = &nodes->acl_options,
					       .has_extended_types = true,
					       .is_digest_on = true,
					       .has_close_paths = true};
	BENCH_MUST(tree_create(&tree_options, &nodes->tree) == 0);
	BENCH_MUST(session_table_create(SESSION_TICK, &nodes->sessions) == 0);
	BENCH_MUST(prep_create(&nodes->options, nodes->tree, nodes->sessions,
			       &nodes->prep) == 0);
	nodes->ids = auth_ids_new(&nodes->acl_options, "127.0.0.1");
	BENCH_MUST(nodes->ids != NULL);
	prep_publish_session(nodes->prep, OP_CREATE_SESSION, NODES_SESSION,
			     SESSION_TIMEOUT, 1);
}

struct nodes *
nodes_open(uint32_t count)
{
	struct nodes *nodes = calloc(1, sizeof(*nodes));

	BENCH_MUST(nodes != NULL);
	nodes->random = 4711;
	make_parts(nodes);
	create(nodes, (struct nodes_path){.text = "/bench", .bytes = 6});
	for (uint32_t i = 0; i < count; i++) {
		if (i % PER_DIRECTORY == 0)
			create(nodes, directory_of(i));
		create(nodes, nodes_path_of(i));
	}
	return nodes;
}

void
nodes_read(struct nodes *nodes)
{
	nodes->reader = tree_reader_register(nodes->tree);
	BENCH_MUST(nodes->reader != NULL);
	(void)tree_reader_online(nodes->reader, &nodes->published);
}

void
nodes_close(struct nodes *nodes)
{
	if (nodes->reader != NULL) {
		tree_reader_offline(nodes->reader);
		tree_reader_unregister(nodes->reader);
	}
	txn_result_free(&nodes->result);
	prep_destroy(nodes->prep);
	session_table_destroy(nodes->sessions);
	tree_destroy(nodes->tree);
	auth_ids_free(nodes->ids);
	free(nodes);
}
