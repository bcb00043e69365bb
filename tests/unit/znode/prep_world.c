/* SPDX-License-Identifier: Apache-2.0 */
#include "prep_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const struct proto_acl world_open_acl = {
	.perms = PERM_ALL,
	.scheme = {(const uint8_t *)"world", 5},
	.id = {(const uint8_t *)"anyone", 6},
};

static struct jute_slice
slice_of(const char *text)
{
	if (text == NULL)
		return (struct jute_slice){.bytes = -1};
	return jute_slice_of(text, strlen(text));
}

struct proto_acl
world_acl(int32_t perms, const char *scheme, const char *id)
{
	return (struct proto_acl){
		.perms = perms, .scheme = slice_of(scheme), .id = slice_of(id)};
}

void
world_open(struct world *world, const struct prep_options *options)
{
	world_open_sized(world, options, 1ull << 32);
}

void
world_open_sized(struct world *world, const struct prep_options *options,
		 uint64_t region_bytes)
{
	const struct prep_options usual = {.has_extended_types = true,
					   .is_digest_on = true,
					   .has_close_paths = true};

	memset(world, 0, sizeof(*world));
	world->options = options == NULL ? usual : *options;
	world->acl_options = (struct acl_options){.is_digest_enabled = true};
	world->options.acl = &world->acl_options;
	const struct tree_options tree_options = {
		.region_bytes = region_bytes,
		.has_extended_types = world->options.has_extended_types,
		.is_digest_on = world->options.is_digest_on};

	assert_int_equal(tree_create(&tree_options, &world->tree), 0);
	assert_int_equal(session_table_create(500, &world->sessions), 0);
	assert_int_equal(prep_create(&world->options, world->tree,
				     world->sessions, &world->prep),
			 0);
	world->entry = malloc(WORLD_ENTRY_BYTES);
	world->entry_cap = WORLD_ENTRY_BYTES;
	world->body = malloc(WORLD_BODY_BYTES);
	world->nobody = auth_ids_new(&world->acl_options, "127.0.0.1");
	assert_non_null(world->nobody);
	world->ids = world->nobody;
	world->time_ms = 1700000000000;
	prep_publish_session(world->prep, OP_CREATE_SESSION, WORLD_SESSION,
			     10000, 1);
	prep_publish_session(world->prep, OP_CREATE_SESSION,
			     WORLD_OTHER_SESSION, 10000, 1);
	world->session_id = WORLD_SESSION;
	world->owner = (struct session_owner){.conn = 1, .conn_gen = 1};
}

void
world_close(struct world *world)
{
	txn_result_free(&world->result);
	prep_destroy(world->prep);
	session_table_destroy(world->sessions);
	tree_destroy(world->tree);
	auth_ids_free(world->nobody);
	free(world->entry);
	free(world->body);
}

void
world_publish(struct world *world)
{
	tree_publish(world->tree, world->zxid);
	tree_reclaim(world->tree, UINT32_MAX);
}

int
world_try(struct world *world, int32_t type, const void *body, size_t bytes)
{
	struct jute_writer entry =
		jute_writer_of(world->entry, world->entry_cap);
	const struct prep_request request = {.session_id = world->session_id,
					     .cxid = (int32_t)(world->zxid + 1),
					     .type = type,
					     .body = body,
					     .body_bytes = (uint32_t)bytes,
					     .ids = world->ids,
					     .owner = world->owner,
					     .timeout_ms = 10000,
					     .is_local_session =
						     world->is_local_session};
	int err = prep_request(world->prep, &request, world->zxid + 1,
			       world->time_ms + 1, &entry, &world->result);

	while (err == FAL_EAGAIN)
		err = prep_go_on(world->prep);
	if (err != 0)
		return err;
	world->zxid++;
	world->time_ms++;
	world->entry_bytes = (uint32_t)jute_written(&entry);
	assert_int_equal(world->result.zxid, world->zxid);
	assert_int_equal(world->result.entry_bytes, world->entry_bytes);
	if (!world->is_held_back) {
		world_publish(world);
		prep_publish_session(world->prep, world->result.type,
				     world->session_id, 10000, 1);
	}
	return 0;
}

struct jute_writer *
world_body(struct world *world)
{
	world->request = jute_writer_of(world->body, WORLD_BODY_BYTES);
	return &world->request;
}

int32_t
world_run(struct world *world, int32_t type)
{
	assert_false(world->request.is_full);
	assert_int_equal(world_try(world, type, world->body,
				   jute_written(&world->request)),
			 0);
	return world->result.err;
}

static void
put_acl(struct jute_writer *writer, const struct proto_acl *acl, int32_t count)
{
	jute_put_int(writer, acl == NULL ? -1 : count);
	for (int32_t i = 0; acl != NULL && i < count; i++)
		proto_put_acl(writer, &acl[i]);
}

static void
put_create(struct jute_writer *writer, int32_t op, const char *path,
	   int32_t flags, int64_t ttl, const struct proto_acl *acl,
	   int32_t count)
{
	jute_put_slice(writer, slice_of(path));
	jute_put_slice(writer, slice_of("x"));
	put_acl(writer, acl, count);
	jute_put_int(writer, flags);
	if (op == OP_CREATE_TTL)
		jute_put_long(writer, ttl);
}

int32_t
world_create(struct world *world, int32_t op, const char *path, int32_t flags)
{
	put_create(world_body(world), op, path, flags, -1, &world_open_acl, 1);
	return world_run(world, op);
}

int32_t
world_create_ttl(struct world *world, const char *path, int32_t flags,
		 int64_t ttl)
{
	put_create(world_body(world), OP_CREATE_TTL, path, flags, ttl,
		   &world_open_acl, 1);
	return world_run(world, OP_CREATE_TTL);
}

int32_t
world_create_acl(struct world *world, const char *path,
		 const struct proto_acl *acl, int32_t count)
{
	put_create(world_body(world), OP_CREATE, path, 0, -1, acl, count);
	return world_run(world, OP_CREATE);
}

static void
put_path_version(struct jute_writer *writer, const char *path, int32_t version)
{
	jute_put_slice(writer, slice_of(path));
	jute_put_int(writer, version);
}

static void
put_set(struct jute_writer *writer, const char *path, const char *data,
	int32_t version)
{
	jute_put_slice(writer, slice_of(path));
	jute_put_slice(writer, slice_of(data));
	jute_put_int(writer, version);
}

int32_t
world_delete(struct world *world, const char *path, int32_t version)
{
	put_path_version(world_body(world), path, version);
	return world_run(world, OP_DELETE);
}

int32_t
world_set(struct world *world, const char *path, const char *data,
	  int32_t version)
{
	put_set(world_body(world), path, data, version);
	return world_run(world, OP_SET_DATA);
}

int32_t
world_set_acl(struct world *world, const char *path,
	      const struct proto_acl *acl, int32_t count, int32_t version)
{
	struct jute_writer *body = world_body(world);

	jute_put_slice(body, slice_of(path));
	put_acl(body, acl, count);
	jute_put_int(body, version);
	return world_run(world, OP_SET_ACL);
}

static void
put_head(struct world *world, int32_t type, bool is_done)
{
	const struct proto_multi_header header = {
		.type = type, .is_done = is_done, .err = -1};

	proto_put_multi_header(&world->request, &header);
}

void
world_add_create(struct world *world, int32_t op, const char *path,
		 int32_t flags)
{
	put_head(world, op, false);
	put_create(&world->request, op, path, flags, 1000, &world_open_acl, 1);
}

void
world_add_delete(struct world *world, const char *path, int32_t version)
{
	put_head(world, OP_DELETE, false);
	put_path_version(&world->request, path, version);
}

void
world_add_set(struct world *world, const char *path, const char *data,
	      int32_t version)
{
	put_head(world, OP_SET_DATA, false);
	put_set(&world->request, path, data, version);
}

void
world_add_check(struct world *world, const char *path, int32_t version)
{
	put_head(world, OP_CHECK, false);
	put_path_version(&world->request, path, version);
}

int32_t
world_run_multi(struct world *world)
{
	put_head(world, OP_ERROR, true);
	return world_run(world, OP_MULTI);
}

static struct znode *
find(struct world *world, const char *path)
{
	return tree_find(world->tree, tree_path_of(world->tree, path,
						   (uint32_t)strlen(path)));
}

bool
world_has(struct world *world, const char *path)
{
	return find(world, path) != NULL;
}

void
world_stat(struct world *world, const char *path, struct tree_stat *out)
{
	const struct znode *node = find(world, path);

	assert_non_null(node);
	memset(out, 0, sizeof(*out)); /* padding is compared too */
	tree_spec_stat(world->tree, node, out);
}

const char *
world_made(struct world *world)
{
	static char text[4096];
	struct jute_reader reader = jute_reader_of(world->result.reply.data,
						   world->result.reply.bytes);
	const struct jute_slice path = jute_get_slice(&reader);

	assert_true(path.bytes >= 0 && path.bytes < (int)sizeof(text));
	memcpy(text, path.data, (size_t)path.bytes);
	text[path.bytes] = '\0';
	return text;
}

struct txn_entry
world_entry(const struct world *world)
{
	struct txn_entry entry;

	assert_int_equal(
		txn_get_entry(world->entry, world->entry_bytes, &entry), 0);
	return entry;
}

void
world_assert_refused(const struct world *world, int32_t err)
{
	const struct txn_entry entry = world_entry(world);

	assert_int_equal(world->result.err, err);
	assert_int_equal(world->result.type, OP_ERROR);
	assert_int_equal(entry.header.type, OP_ERROR);
	assert_int_equal(entry.header.zxid, world->zxid);
	assert_int_equal(entry.record.err, err);
	assert_false(entry.has_digest);
	assert_int_equal(world->result.reply.bytes, 0);
	assert_int_equal(world->result.effect_count, 0);
	assert_int_equal(world->result.effects.bytes, 0);
}
