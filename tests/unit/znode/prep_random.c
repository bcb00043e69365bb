/* SPDX-License-Identifier: Apache-2.0 */
#include "prep_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define QUOTA "/zookeeper/quota"

/* Paths of up to three components, some below the quota tree, some bad. */
static const char *
random_path(struct random *random)
{
	static const char *const special[] = {
		"/",
		"/zookeeper",
		QUOTA,
		QUOTA "/a",
		QUOTA "/a/zookeeper_limits",
		QUOTA "/a/zookeeper_stats",
		QUOTA "/a/b",
		QUOTA "/a/b/zookeeper_limits",
		QUOTA "/a/b/zookeeper_stats",
		"/zookeeper/config",
		"/zookeeper/x",
		"/a/",
		"",
		"/a/.",
	};
	static char text[64];
	const uint32_t kind = random_below(random, 10);

	if (kind == 0)
		return special[random_below(random, 14)];
	const uint32_t depth = kind < 3 ? 1 : kind < 7 ? 2 : 3;
	char *at = text;

	for (uint32_t i = 0; i < depth; i++) {
		*at++ = '/';
		*at++ = (char)('a' + random_below(random, 3));
	}
	*at = '\0';
	return text;
}

static struct proto_acl
random_acl(struct random *random)
{
	switch (random_below(random, 24)) {
	case 0:
		return world_acl(PERM_READ, "world", "anyone");
	case 1:
		return world_acl(PERM_ALL, "digest", "bob:x");
	case 2:
		return world_acl(PERM_ALL & ~PERM_DELETE, "ip", "127.0.0.0/8");
	case 3:
		return world_acl(PERM_ALL, "auth", "");
	case 4:
		return world_acl(PERM_ALL, "digest", "\xF0\x9F\x98\x80:x");
	default:
		return world_open_acl;
	}
}

static int32_t
random_version(struct random *random)
{
	return random_below(random, 2) == 0 ? -1
					    : (int32_t)random_below(random, 3);
}

static void
put_data(struct jute_writer *body, struct random *random)
{
	static const char text[] =
		"count=2,bytes=40=;byteHardLimit=50;countHardLimit=6 and more";
	const uint32_t kind = random_below(random, 8);

	if (kind == 0)
		jute_put_int(body, -1);
	else if (kind == 1)
		jute_put_slice(body, jute_slice_of(text, 51));
	else
		jute_put_slice(body,
			       jute_slice_of(text, random_below(random, 40)));
}

static void
put_create(struct jute_writer *body, struct random *random, int32_t op)
{
	const uint32_t count = random_below(random, 8) == 0 ? 2 : 1;
	int32_t flags = random_below(random, 3) == 0
				? (int32_t)random_below(random, 5)
				: 0;

	if (op == OP_CREATE_TTL)
		flags = 5 + (int32_t)random_below(random, 2);
	jute_put_cstr(body, random_path(random));
	put_data(body, random);
	jute_put_int(body, (int32_t)count);
	for (uint32_t i = 0; i < count; i++) {
		const struct proto_acl acl = random_acl(random);

		proto_put_acl(body, &acl);
	}
	jute_put_int(body, flags);
	if (op == OP_CREATE_TTL)
		jute_put_long(body, (int64_t)random_below(random, 1000));
}

static void
put_op(struct jute_writer *body, struct random *random, int32_t op)
{
	switch (op) {
	case OP_DELETE:
	case OP_CHECK:
		jute_put_cstr(body, random_path(random));
		jute_put_int(body, random_version(random));
		break;
	case OP_SET_DATA:
		jute_put_cstr(body, random_path(random));
		put_data(body, random);
		jute_put_int(body, random_version(random));
		break;
	case OP_SET_ACL: {
		const struct proto_acl acl = random_acl(random);

		jute_put_cstr(body, random_path(random));
		jute_put_int(body, 1);
		proto_put_acl(body, &acl);
		jute_put_int(body, random_version(random));
		break;
	}
	case OP_DELETE_CONTAINER:
		jute_put_cstr(body, random_path(random));
		break;
	default:
		put_create(body, random, op);
		break;
	}
}

static int32_t
random_op(struct random *random)
{
	static const int32_t ops[] = {
		OP_CREATE,           OP_CREATE,     OP_CREATE2, OP_CREATE,
		OP_CREATE_CONTAINER, OP_CREATE_TTL, OP_DELETE,  OP_DELETE,
		OP_SET_DATA,         OP_SET_DATA};

	return ops[random_below(random, 10)];
}

static void
put_multi(struct jute_writer *body, struct random *random)
{
	struct proto_multi_header header = {.err = -1};

	for (uint32_t i = random_below(random, 5); i > 0; i--) {
		header.type = random_below(random, 6) == 0 ? OP_CHECK
							   : random_op(random);
		proto_put_multi_header(body, &header);
		put_op(body, random, header.type);
	}
	header = (struct proto_multi_header){
		.type = OP_ERROR, .is_done = true, .err = -1};
	proto_put_multi_header(body, &header);
}

int
prep_random_request(struct world *world, struct random *random)
{
	struct jute_writer *body = world_body(world);
	const uint32_t kind = random_below(random, 40);
	int32_t type = random_op(random);

	world->session_id = random_below(random, 4) == 0 ? WORLD_OTHER_SESSION
							 : WORLD_SESSION;
	if (session_find(world->sessions, world->session_id) == NULL)
		type = OP_CREATE_SESSION;
	else if (kind == 0)
		type = OP_CLOSE_SESSION;
	else if (kind < 10)
		type = OP_MULTI;
	else if (kind == 10)
		type = OP_DELETE_CONTAINER;
	else if (kind < 14)
		type = OP_SET_ACL;
	if (type == OP_MULTI)
		put_multi(body, random);
	else if (type != OP_CLOSE_SESSION && type != OP_CREATE_SESSION)
		put_op(body, random, type);
	return world_try(world, type, world->body, jute_written(body));
}

/* ---- comparing ----------------------------------------------------------- */

struct node_view {
	struct tree_stat stat;
	struct jute_slice data;
	const struct acl_list *acl;
};

static void
view(struct world *world, const char *path, struct node_view *out)
{
	struct znode *node =
		tree_find(world->tree, tree_path_of(world->tree, path,
						    (uint32_t)strlen(path)));

	assert_non_null(node);
	memset(out, 0, sizeof(*out));
	tree_spec_stat(world->tree, node, &out->stat);
	out->data = tree_spec_data(world->tree, node);
	out->acl = acl_table_get(tree_acls(world->tree), out->stat.acl);
	out->stat.acl = 0; /* numbers are local */
}

static void
assert_same_node(struct world *a, struct world *b, const char *path)
{
	struct node_view one, two;

	view(a, path, &one);
	view(b, path, &two);
	if (memcmp(&one.stat, &two.stat, sizeof(one.stat)) != 0 ||
	    !jute_slice_equal(one.data, two.data) ||
	    one.acl->entries.bytes != two.acl->entries.bytes ||
	    memcmp(one.acl->entries.data, two.acl->entries.data,
		   one.acl->entries.bytes) != 0)
		fail_msg("the trees differ at %s", path);
}

/* Paths here are a few components deep, so is the recursion. */
static uint32_t
walk(struct world *a, struct world *b, struct znode *node)
{
	char path[256];
	uint64_t cursor = 0;
	uint32_t count = 1;
	struct znode *child;
	const uint32_t bytes = tree_path_text(a->tree, node, (uint8_t *)path,
					      sizeof(path) - 1);

	assert_true(bytes < sizeof(path));
	path[bytes] = '\0';
	assert_same_node(a, b, path);
	while ((child = tree_spec_child(a->tree, node, &cursor)) != NULL)
		count += walk(a, b, child);
	return count;
}

void
prep_assert_same_tree(struct world *a, struct world *b)
{
	struct tree_counts counts;
	const uint32_t count = walk(a, b, tree_root(a->tree));

	/* Every node of a is in b, and b has no more. */
	tree_counts(b->tree, &counts);
	assert_int_equal(count, counts.nodes);
}
