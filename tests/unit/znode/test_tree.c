/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the tree's single promises, one by one: the initial nodes and a
 * snapshot of the reference server (digests included), visibility by S,
 * what reclamation waits for, lists of ephemerals and of nodes to reap,
 * loading and its errors, replies to reads.
 *
 * Method: small scenarios; golden bytes from a server of the reference
 * implementation. The random test is test_tree_model.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "znode/digest.h"
#include "znode/read.h"
#include "znode/walk.h"

#define GOLDEN_SNAPSHOT        GOLDEN_DIR "/znode/snapshot.10000007e"
#define GOLDEN_SNAPSHOT_ZXID   0x10000007e
#define GOLDEN_SNAPSHOT_DIGEST 0x244c60d22aull
#define GOLDEN_SNAPSHOT_NODES  78

struct fixture {
	struct tree *tree;
	_Atomic uint64_t P;
	int64_t zxid;
};

static struct tree_path
path_of(const struct fixture *f, const char *text)
{
	return tree_path_of(f->tree, text, (uint32_t)strlen(text));
}

static int
setup(void **state)
{
	const struct tree_options options = {
		.is_digest_on = true,
		.has_extended_types = true,
		.poisons_freed = true,
	};
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return f == NULL ? -1 : tree_create(&options, &f->tree);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	tree_destroy(f->tree);
	free(f);
	return 0;
}

static void
begin(struct fixture *f)
{
	f->zxid++;
	tree_txn_begin(f->tree, f->zxid, 1000 + f->zxid);
}

static void
finish(struct fixture *f)
{
	(void)tree_txn_end(f->tree);
	tree_publish(f->tree, f->zxid);
	atomic_store(&f->P, (uint64_t)f->zxid);
}

static struct znode *
insert(struct fixture *f, const char *path, const char *data, int64_t owner)
{
	const char *slash = strrchr(path, '/');
	struct znode *parent = tree_find(
		f->tree, tree_path_of(f->tree, path, (uint32_t)(slash - path)));
	struct znode *node = NULL;
	struct tree_stat stat;

	assert_non_null(parent);
	assert_int_equal(tree_insert(f->tree, parent, path_of(f, path),
				     jute_slice_of(data, strlen(data)),
				     ACL_ID_OPEN, owner, &node),
			 0);
	tree_spec_stat(f->tree, parent, &stat);
	assert_int_equal(
		tree_set_parent(f->tree, parent, stat.cversion + 1, f->zxid),
		0);
	return node;
}

static void
create(struct fixture *f, const char *path, const char *data, int64_t owner)
{
	begin(f);
	(void)insert(f, path, data, owner);
	finish(f);
}

static void
set(struct fixture *f, const char *path, const char *data)
{
	begin(f);
	assert_int_equal(tree_set_data(f->tree,
				       tree_find(f->tree, path_of(f, path)),
				       jute_slice_of(data, strlen(data)), 1),
			 0);
	finish(f);
}

static void
remove_path(struct fixture *f, const char *path)
{
	begin(f);
	assert_int_equal(
		tree_remove(f->tree, tree_find(f->tree, path_of(f, path))), 0);
	finish(f);
}

static bool
exists_at(const struct fixture *f, const char *path, int64_t S)
{
	return tree_lookup(f->tree, path_of(f, path), (uint64_t)S) != NULL;
}

static void
assert_data_at(const struct fixture *f, const char *path, int64_t S,
	       const char *data)
{
	const struct znode *node =
		tree_lookup(f->tree, path_of(f, path), (uint64_t)S);
	struct jute_slice is;

	assert_non_null(node);
	is = tree_data_at(f->tree, node, (uint64_t)S);
	assert_int_equal(is.bytes, strlen(data));
	assert_memory_equal(is.data, data, strlen(data));
}

static struct tree_counts
counts_of(const struct fixture *f)
{
	struct tree_counts counts;

	tree_counts(f->tree, &counts);
	return counts;
}

/* ---- golden -------------------------------------------------------------- */

static void
assert_fresh(const struct fixture *f, const char *path, int32_t cversion,
	     int32_t aversion, int32_t num_children, uint32_t acl)
{
	const struct znode *node = tree_lookup(f->tree, path_of(f, path), 0);
	struct proto_stat stat;
	struct tree_stat stored;

	assert_non_null(node);
	tree_proto_stat_at(f->tree, node, 0, &stat);
	tree_stat_at(f->tree, node, 0, &stored);
	assert_int_equal(stat.cversion, cversion);
	assert_int_equal(stat.aversion, aversion);
	assert_int_equal(stat.num_children, num_children);
	assert_int_equal(stat.czxid | stat.mzxid | stat.pzxid | stat.ctime |
				 stat.mtime | stat.version |
				 stat.ephemeral_owner | stat.data_length,
			 0);
	assert_int_equal(stored.acl, acl);
	assert_int_equal(tree_data_at(f->tree, node, 0).bytes, 0);
}

static void
a_fresh_tree_has_the_four_nodes_of_the_reference_server(void **state)
{
	const struct fixture *f = *state;

	assert_fresh(f, "/", -1, 0, 1, ACL_ID_OPEN);
	assert_fresh(f, "", -1, 0, 1, ACL_ID_OPEN);
	assert_fresh(f, "/zookeeper", -2, 0, 2, ACL_ID_OPEN);
	assert_fresh(f, "/zookeeper/quota", 0, 0, 0, ACL_ID_OPEN);
	assert_fresh(f, "/zookeeper/config", 0, -1, 0, ACL_ID_READ);
	assert_int_equal(counts_of(f).nodes, 4);
	assert_true(tree_published_digest(f->tree) == DIGEST_EMPTY_DATABASE);
	assert_true(digest_counts("/zookeeper", 10));
	assert_true(digest_counts("/zookeeperx/y", 13));
	assert_false(digest_counts("/zookeeper/x", 12));
}

static uint8_t *
file_read(const char *name, size_t *bytes)
{
	FILE *file = fopen(name, "rb");
	uint8_t *at = malloc(1 << 20);

	assert_non_null(file);
	assert_non_null(at);
	*bytes = fread(at, 1, 1 << 20, file);
	(void)fclose(file);
	return at;
}

static void
load_one(struct fixture *f, struct jute_reader *reader, struct jute_slice path,
	 const uint32_t *acl_of)
{
	const struct jute_slice data = jute_get_slice(reader);
	const int64_t acl = jute_get_long(reader);
	struct tree_stat stat = {0};

	stat.czxid = jute_get_long(reader);
	stat.mzxid = jute_get_long(reader);
	stat.ctime = jute_get_long(reader);
	stat.mtime = jute_get_long(reader);
	stat.version = jute_get_int(reader);
	stat.cversion = jute_get_int(reader);
	stat.aversion = jute_get_int(reader);
	stat.owner = jute_get_long(reader);
	stat.pzxid = jute_get_long(reader);
	stat.acl = acl < 0 ? ACL_ID_OPEN : acl_of[acl];
	acl_table_ref(tree_acls(f->tree), stat.acl);
	assert_true(jute_reader_ok(reader));
	assert_int_equal(tree_load_node(f->tree, path.data,
					(uint32_t)path.bytes, data, &stat),
			 0);
}

static void
a_snapshot_of_the_reference_server_has_its_digest(void **state)
{
	struct fixture *f = *state;
	uint32_t acl_of[64] = {0};
	size_t bytes;
	uint8_t *file = file_read(GOLDEN_SNAPSHOT, &bytes);
	struct jute_reader reader = jute_reader_of(file, bytes);

	(void)jute_take(&reader, 16);
	tree_load_begin(f->tree);
	for (int32_t n = jute_get_int(&reader); n > 0; n--)
		(void)jute_take(&reader, 12);
	for (int32_t n = jute_get_int(&reader); n > 0; n--) {
		const int64_t id = jute_get_long(&reader);
		struct jute_vector acl;

		assert_in_range(id, 1, 63);
		assert_int_equal(proto_get_acl_vector(&reader, &acl), 0);
		acl_of[id] = acl_table_intern(tree_acls(f->tree), &acl);
	}
	for (;;) {
		const struct jute_slice path = jute_get_slice(&reader);

		assert_true(jute_reader_ok(&reader));
		if (path.bytes == 1 && path.data[0] == '/')
			break;
		load_one(f, &reader, path, acl_of);
	}
	assert_int_equal(tree_load_end(f->tree, GOLDEN_SNAPSHOT_ZXID), 0);
	assert_int_equal(counts_of(f).nodes, GOLDEN_SNAPSHOT_NODES);
	assert_true(tree_published_digest(f->tree) == GOLDEN_SNAPSHOT_DIGEST);
	/* Changing and changing back goes through the short way of the CRC. */
	f->zxid = GOLDEN_SNAPSHOT_ZXID;
	create(f, "/added", "x", 0);
	assert_true(tree_published_digest(f->tree) != GOLDEN_SNAPSHOT_DIGEST);
	free(file);
}

/* ---- visibility ---------------------------------------------------------- */

static void
readers_see_the_state_after_their_S(void **state)
{
	struct fixture *f = *state;
	struct tree_reader *reader = tree_reader_register(f->tree);

	assert_int_equal(tree_reader_online(reader, &f->P), 0);
	create(f, "/a", "one", 0);
	set(f, "/a", "two");
	remove_path(f, "/a");
	create(f, "/a", "three", 0);
	for (int i = 0; i < 3; i++) {
		tree_reclaim(f->tree, UINT32_MAX);
		(void)tree_reclaim_grace(f->tree);
	}
	assert_false(exists_at(f, "/a", 0));
	assert_data_at(f, "/a", 1, "one");
	assert_data_at(f, "/a", 2, "two");
	assert_false(exists_at(f, "/a", 3));
	assert_data_at(f, "/a", 4, "three");
	/* The initial four, four of "/a", three more of the root. */
	assert_int_equal(counts_of(f).versions, 4 + 4 + 3);
	tree_reader_unregister(reader);
}

static void
what_is_not_published_is_seen_by_the_writer_alone(void **state)
{
	struct fixture *f = *state;

	begin(f);
	(void)insert(f, "/a", "one", 0);
	(void)insert(f, "/a/b", "two", 0);
	assert_non_null(tree_find(f->tree, path_of(f, "/a/b")));
	assert_false(exists_at(f, "/a", 0));
	assert_true(tree_txn_end(f->tree) != tree_published_digest(f->tree));
	assert_false(exists_at(f, "/a", 0));
	tree_undo_after(f->tree, 0);
	assert_null(tree_find(f->tree, path_of(f, "/a")));
	assert_int_equal(counts_of(f).nodes, 4);
	/* The zxid is free again. */
	f->zxid = 0;
	create(f, "/c", "three", 0);
	assert_true(exists_at(f, "/c", 1));
	assert_false(exists_at(f, "/a", 1));
}

static void
a_rolled_back_transaction_may_go_on(void **state)
{
	struct fixture *f = *state;

	create(f, "/a", "one", 0x77);
	begin(f);
	(void)insert(f, "/b", "two", 0x77);
	assert_int_equal(
		tree_remove(f->tree, tree_find(f->tree, path_of(f, "/a"))), 0);
	assert_null(tree_find(f->tree, path_of(f, "/a")));
	tree_txn_rollback(f->tree);
	assert_null(tree_find(f->tree, path_of(f, "/b")));
	assert_non_null(tree_find(f->tree, path_of(f, "/a")));
	assert_ptr_equal(tree_ephemeral(f->tree, 0x77, 0),
			 tree_find(f->tree, path_of(f, "/a")));
	assert_null(tree_ephemeral(f->tree, 0x77, 1));
	(void)insert(f, "/c", "three", 0);
	finish(f);
	assert_false(exists_at(f, "/b", 2));
	assert_true(exists_at(f, "/c", 2));
	assert_int_equal(counts_of(f).ephemerals, 1);
}

static void
create_and_delete_in_one_transaction_leave_nothing(void **state)
{
	struct fixture *f = *state;

	begin(f);
	struct znode *node = insert(f, "/a", "one", 0x77);

	assert_int_equal(tree_remove(f->tree, node), 0);
	(void)insert(f, "/a", "two", 0);
	finish(f);
	assert_data_at(f, "/a", 1, "two");
	assert_null(tree_ephemeral(f->tree, 0x77, 0));
	assert_int_equal(tree_ephemeral_owner_after(f->tree, 0), 0);
	tree_reclaim(f->tree, UINT32_MAX);
	assert_int_equal(counts_of(f).garbage_bytes, 0);
	assert_int_equal(counts_of(f).versions, 5);
	assert_int_equal(counts_of(f).nodes, 5);
}

static void
shown_stat_counts_deletions_and_hides_kinds(void **state)
{
	struct fixture *f = *state;
	struct proto_stat stat;

	create(f, "/c", "", PROTO_CONTAINER_OWNER);
	create(f, "/t", "", PROTO_TTL_MASK | 5);
	create(f, "/e", "", 0x1234);
	create(f, "/c/1", "", 0);
	create(f, "/c/2", "", 0);
	remove_path(f, "/c/1");
	tree_proto_stat_at(f->tree, tree_lookup(f->tree, path_of(f, "/c"), 6),
			   6, &stat);
	assert_int_equal(stat.cversion, 3);
	assert_int_equal(stat.num_children, 1);
	assert_int_equal(stat.ephemeral_owner, 0);
	tree_proto_stat_at(f->tree, tree_lookup(f->tree, path_of(f, "/t"), 6),
			   6, &stat);
	assert_int_equal(stat.ephemeral_owner, 0);
	tree_spec_proto_stat(f->tree, tree_find(f->tree, path_of(f, "/e")),
			     &stat);
	assert_int_equal(stat.ephemeral_owner, 0x1234);
	assert_int_equal(tree_kind_of(f->tree, PROTO_TTL_MASK | 5), TREE_TTL);
	assert_int_equal(counts_of(f).containers, 1);
	assert_int_equal(counts_of(f).ttls, 1);
	assert_int_equal(counts_of(f).ephemerals, 1);
}

/* ---- reclamation --------------------------------------------------------- */

static void
garbage_waits_for_readers_then_for_a_grace_period(void **state)
{
	struct fixture *f = *state;
	struct tree_reader *reader = tree_reader_register(f->tree);

	create(f, "/a", "one", 0);
	tree_reclaim(f->tree, UINT32_MAX);
	(void)tree_reclaim_grace(f->tree);
	tree_reclaim(f->tree, UINT32_MAX);
	assert_int_equal(tree_reader_online(reader, &f->P), 1);
	remove_path(f, "/a");
	tree_reclaim(f->tree, UINT32_MAX);
	assert_true(counts_of(f).garbage_bytes > 0);
	assert_data_at(f, "/a", 1, "one");
	assert_false(tree_reclaim_grace(f->tree));
	/* Paused is as good as online for the watermark. */
	tree_reader_pause(reader);
	tree_reclaim(f->tree, UINT32_MAX);
	tree_reader_resume(reader);
	assert_data_at(f, "/a", 1, "one");
	/* Past it: unlinked, but one grace period is due. */
	tree_reader_quiesce(reader, 2);
	tree_reclaim(f->tree, UINT32_MAX);
	assert_true(counts_of(f).garbage_bytes > 0);
	assert_true(tree_reclaim_grace(f->tree));
	assert_false(tree_reclaim_grace(f->tree));
	tree_reclaim(f->tree, UINT32_MAX);
	assert_int_equal(counts_of(f).garbage_bytes, 0);
	assert_int_equal(counts_of(f).versions, 4);
	tree_reader_unregister(reader);
}

static void
a_subtree_deleted_at_once_is_unlinked_bottom_up(void **state)
{
	static const char *const path[] = {"/a/b/c", "/a/b", "/a"};
	struct fixture *f = *state;
	struct tree_reader *reader = tree_reader_register(f->tree);

	create(f, "/a", "", 0);
	create(f, "/a/b", "", 0);
	create(f, "/a/b/c", "", 0);
	(void)tree_reader_online(reader, &f->P);
	begin(f);
	/* Each removal touches the parent first. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			tree_remove(f->tree,
				    tree_find(f->tree, path_of(f, path[i]))),
			0);
	finish(f);
	/* One item a call: what came since the last call would be on top. */
	tree_reclaim(f->tree, 0);
	tree_reader_offline(reader);
	for (int i = 0; i < 40; i++) {
		tree_reclaim(f->tree, 1);
		(void)tree_reclaim_grace(f->tree);
	}
	assert_int_equal(counts_of(f).garbage_bytes, 0);
	assert_int_equal(counts_of(f).versions, 4);
	tree_reader_unregister(reader);
}

/* Lets everything go that may go, and has freed memory used again. */
static void
churn(struct fixture *f)
{
	for (int i = 0; i < 3; i++) {
		tree_reclaim(f->tree, UINT32_MAX);
		(void)tree_reclaim_grace(f->tree);
	}
}

static void
a_walk_goes_on_in_the_array_it_started_with(void **state)
{
	struct fixture *f = *state;
	struct tree_reader *reader = tree_reader_register(f->tree);
	const struct znode *dir, *child;
	struct jute_slice name;
	uint64_t cursor = 0, S;
	int count = 1;

	create(f, "/d", "", 0);
	create(f, "/d/1", "", 0);
	create(f, "/d/2", "", 0);
	create(f, "/d/3", "", 0);
	create(f, "/d/4", "", 0);
	/* Dead at S, but still in the array when a walk at S starts. */
	remove_path(f, "/d/3");
	S = tree_reader_online(reader, &f->P);
	dir = tree_lookup(f->tree, path_of(f, "/d"), S);
	assert_true(tree_child_next(f->tree, dir, S, &cursor, &name, &child));
	/* The array is full: it is replaced. Then the dead node goes. */
	create(f, "/d/5", "", 0);
	create(f, "/d/6", "", 0);
	churn(f);
	while (tree_child_next(f->tree, dir, S, &cursor, &name, &child)) {
		assert_int_equal(name.bytes, 1);
		assert_in_range(name.data[0], '1', '4');
		count++;
	}
	assert_int_equal(count, 3);
	tree_reader_unregister(reader);
}

static void
a_slid_walk_leaves_directories_that_are_gone(void **state)
{
	struct fixture *f = *state;
	struct tree_reader *reader = tree_reader_register(f->tree);
	struct walk_item item;
	struct walk walk;
	int count = 0;

	create(f, "/a", "", 0);
	create(f, "/a/b", "", 0);
	create(f, "/a/b/1", "", 0);
	create(f, "/a/b/2", "", 0);
	create(f, "/z", "", 0);
	assert_int_equal(walk_init(&walk, f->tree,
				   tree_reader_online(reader, &f->P),
				   path_of(f, "")),
			 0);
	do
		assert_int_equal(walk_next(&walk, &item), 1);
	while (item.path_bytes != 6);
	remove_path(f, "/a/b/1");
	remove_path(f, "/a/b/2");
	remove_path(f, "/a/b");
	remove_path(f, "/a");
	create(f, "/a", "", 0);
	create(f, "/zz", "", 0);
	assert_int_equal(walk_repin(&walk, (uint64_t)f->zxid), 0);
	/* Nothing of "/a" may be touched once the pin has moved. */
	assert_int_equal(walk.level_count, 1);
	tree_reader_quiesce(reader, (uint64_t)f->zxid);
	churn(f);
	/* What is left is "/z" alone: the rest came, or came back, later. */
	while (walk_next(&walk, &item) == 1) {
		assert_int_equal(item.path_bytes, 2);
		assert_memory_equal(item.path, "/z", 2);
		count++;
	}
	assert_int_equal(count, 1);
	walk_free(&walk);
	tree_reader_unregister(reader);
}

static void
a_hold_keeps_a_state_for_a_reader_to_come(void **state)
{
	struct fixture *f = *state;
	struct tree_reader *reader = tree_reader_register(f->tree);

	create(f, "/a", "one", 0);
	tree_hold(f->tree, 1);
	set(f, "/a", "two");
	tree_reclaim(f->tree, UINT32_MAX);
	tree_reader_online_at(reader, 1);
	tree_release(f->tree);
	tree_reclaim(f->tree, UINT32_MAX);
	assert_data_at(f, "/a", 1, "one");
	tree_reader_offline(reader);
	tree_reclaim(f->tree, UINT32_MAX);
	assert_int_equal(counts_of(f).garbage_bytes, 0);
	tree_reader_unregister(reader);
}

static void
at_most_32_readers_register(void **state)
{
	struct fixture *f = *state;
	struct tree_reader *reader[33];

	for (int i = 0; i < 32; i++) {
		reader[i] = tree_reader_register(f->tree);
		assert_non_null(reader[i]);
	}
	assert_null(tree_reader_register(f->tree));
	tree_reader_unregister(reader[7]);
	assert_non_null(reader[7] = tree_reader_register(f->tree));
	for (int i = 0; i < 32; i++)
		tree_reader_unregister(reader[i]);
}

static void
a_large_directory_grows_and_gives_its_memory_back(void **state)
{
	enum { COUNT = 20000 };
	struct fixture *f = *state;
	char path[64];

	create(f, "/d", "", 0);
	const uint64_t before = counts_of(f).used_bytes;

	for (int i = 0; i < COUNT; i++) {
		(void)snprintf(path, sizeof(path), "/d/%d", i);
		create(f, path, "", 0);
	}
	const struct znode *dir =
		tree_lookup(f->tree, path_of(f, "/d"), (uint64_t)f->zxid);
	const struct znode *child;
	struct jute_slice name;
	uint64_t cursor = 0;
	int count = 0;

	while (tree_child_next(f->tree, dir, (uint64_t)f->zxid, &cursor, &name,
			       &child))
		count++;
	assert_int_equal(count, COUNT);
	for (int i = 0; i < COUNT; i++) {
		(void)snprintf(path, sizeof(path), "/d/%d", (i * 7919) % COUNT);
		remove_path(f, path);
	}
	tree_reclaim(f->tree, UINT32_MAX);
	cursor = 0;
	assert_false(tree_child_next(f->tree, dir, (uint64_t)f->zxid, &cursor,
				     &name, &child));
	/* All but overflow lines of the index. */
	assert_true(counts_of(f).used_bytes < before + 300000);
	assert_int_equal(counts_of(f).nodes, 5);
}

/* ---- lists --------------------------------------------------------------- */

static void
owners_of_ephemerals_come_in_unsigned_order(void **state)
{
	struct fixture *f = *state;

	create(f, "/1", "", 0x300000000000001);
	create(f, "/2", "", (int64_t)0x9000000000000001ull);
	create(f, "/3", "", 0x100000000000001);
	create(f, "/4", "", 0x100000000000001);
	assert_true(tree_ephemeral_owner_after(f->tree, 0) ==
		    0x100000000000001);
	remove_path(f, "/1");
	assert_true(tree_ephemeral_owner_after(f->tree, 0x100000000000001) ==
		    (int64_t)0x9000000000000001ull);
	assert_int_equal(tree_ephemeral_owner_after(
				 f->tree, (int64_t)0x9000000000000001ull),
			 0);
	assert_non_null(tree_ephemeral(f->tree, 0x100000000000001, 1));
	assert_null(tree_ephemeral(f->tree, 0x100000000000001, 2));
	assert_null(tree_ephemeral(f->tree, 0x300000000000001, 0));
}

static uint32_t
reap_all(struct fixture *f, int64_t now_ms, int64_t never_used_ms,
	 uint32_t batch)
{
	struct znode *node[8];
	uint64_t cursor = 0;
	uint32_t found = 0;

	do {
		found += tree_reap_scan(f->tree, &cursor, now_ms, never_used_ms,
					node, batch);
	} while (cursor != 0);
	return found;
}

static void
containers_and_ttl_nodes_are_reaped_when_due(void **state)
{
	struct fixture *f = *state;

	create(f, "/c", "", PROTO_CONTAINER_OWNER); /* mtime 1001 */
	create(f, "/t", "", PROTO_TTL_MASK | 100);  /* mtime 1002 */
	assert_int_equal(reap_all(f, 1100, 0, 8), 0);
	assert_int_equal(reap_all(f, 1102, 0, 8), 0);
	assert_int_equal(reap_all(f, 1103, 0, 8), 1);
	/* A container that never had children, by its age. */
	assert_int_equal(reap_all(f, 1100, 99, 8), 0);
	assert_int_equal(reap_all(f, 1101, 99, 8), 1);
	create(f, "/c/1", "", 0);
	create(f, "/t/1", "", 0);
	assert_int_equal(reap_all(f, 9999, 99, 1), 0);
	remove_path(f, "/c/1");
	assert_int_equal(reap_all(f, 1003, 0, 8), 1);
	remove_path(f, "/t/1");
	assert_int_equal(reap_all(f, 9999, 0, 1), 2);
	/* setData restarts the clock of a TTL node. */
	f->zxid = 8000;
	set(f, "/t", "x");
	assert_int_equal(reap_all(f, 9050, 0, 8), 1);
	remove_path(f, "/c");
	remove_path(f, "/t");
	assert_int_equal(reap_all(f, 99999, 1, 8), 0);
}

/* ---- loading ------------------------------------------------------------- */

static int
load(struct fixture *f, const char *path)
{
	const struct tree_stat stat = {.acl = ACL_ID_OPEN, .czxid = 50};

	return tree_load_node(f->tree, path, (uint32_t)strlen(path),
			      jute_slice_of(path, strlen(path)), &stat);
}

static void
damaged_orders_of_nodes_are_refused(void **state)
{
	struct fixture *f = *state;

	create(f, "/gone", "", 0x55);
	tree_load_begin(f->tree);
	assert_int_equal(tree_load_end(f->tree, 5), FAL_ECORRUPT);
	assert_int_equal(load(f, "/a"), FAL_ECORRUPT);
	assert_int_equal(load(f, ""), 0);
	assert_int_equal(load(f, ""), FAL_ECORRUPT);
	assert_int_equal(load(f, "a"), FAL_ECORRUPT);
	assert_int_equal(load(f, "/"), FAL_ECORRUPT);
	assert_int_equal(load(f, "/a"), 0);
	assert_int_equal(load(f, "/a/"), FAL_ECORRUPT);
	assert_int_equal(load(f, "/b/c"), FAL_ECORRUPT);
	assert_int_equal(load(f, "/a//b"), FAL_ECORRUPT);
	assert_int_equal(load(f, "/a/b"), 0);
	assert_int_equal(load(f, "/a/b/c"), 0);
	assert_int_equal(load(f, "/a/bb"), 0);
	assert_int_equal(load(f, "/x"), 0);
	/* Not the order of any file, but the parent is there. */
	assert_int_equal(load(f, "/a/b/d"), 0);
	assert_int_equal(load(f, "/a/b/d/e"), 0);
	assert_int_equal(tree_load_end(f->tree, 7), 0);
	assert_int_equal(counts_of(f).nodes, 8 + 3);
	assert_int_equal(counts_of(f).ephemerals, 0);
	assert_false(exists_at(f, "/gone", 7));
	/* czxid 50 is newer than the snapshot: a fuzzy file. */
	assert_data_at(f, "/a/b/d/e", 7, "/a/b/d/e");
	assert_fresh(f, "/zookeeper", -2, 0, 2, ACL_ID_OPEN);
	f->zxid = 7;
	remove_path(f, "/a/b/d/e");
	assert_false(exists_at(f, "/a/b/d/e", 8));
}

/* `others` nodes lie between a path and the same path again. Returns what is
 * said in the end; nothing good is said once it was seen. */
static int
load_twice(struct fixture *f, uint32_t others)
{
	char path[16];
	int err = 0;

	tree_load_begin(f->tree);
	assert_int_equal(load(f, ""), 0);
	assert_int_equal(load(f, "/a"), 0);
	assert_int_equal(load(f, "/a/b"), 0);
	for (uint32_t i = 0; i < others; i++) {
		snprintf(path, sizeof(path), "/a/c%u", i);
		assert_int_equal(load(f, path), 0);
	}
	for (uint32_t i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), i == 0 ? "/a/b" : "/a/d%u", i);

		const int next = load(f, path);

		assert_true(err == 0 || next == err);
		err = next;
	}
	assert_int_equal(load(f, "/x"), err);
	return tree_load_end(f->tree, 7);
}

static void
a_path_that_comes_twice_is_damage(void **state)
{
	struct fixture *f = *state;

	for (uint32_t others = 0; others < 40; others++)
		assert_int_equal(load_twice(f, others), FAL_ECORRUPT);
	/* Seen at the end at the latest. */
	tree_load_begin(f->tree);
	assert_int_equal(load(f, ""), 0);
	assert_int_equal(load(f, "/a"), 0);
	assert_int_equal(load(f, "/a"), 0);
	assert_int_equal(tree_load_end(f->tree, 7), FAL_ECORRUPT);
	/* And gone with the next load. */
	tree_load_begin(f->tree);
	assert_int_equal(load(f, ""), 0);
	assert_int_equal(load(f, "/a"), 0);
	assert_int_equal(tree_load_end(f->tree, 7), 0);
	assert_data_at(f, "/a", 7, "/a");
}

/* Whatever is expected, right, too little or far too much: the same tree. */
static void
what_a_load_expects_changes_nothing_but_memory(void **state)
{
	static const uint64_t totals[] = {0,     1,       1000,
					  20000, 1000000, UINT64_MAX};
	struct fixture *f = *state;
	char path[16];

	for (uint32_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
		tree_load_begin(f->tree);
		assert_int_equal(load(f, ""), 0);
		for (uint32_t n = 0; n < 20000; n++) {
			snprintf(path, sizeof(path), "/n%u", n);
			assert_int_equal(load(f, path), 0);
			if (n % 100 == 0)
				tree_load_expect(f->tree, n, totals[i]);
		}
		assert_int_equal(tree_load_end(f->tree, 7), 0);
		assert_int_equal(counts_of(f).nodes, 20000 + 4);
		for (uint32_t n = 0; n < 20000; n += 7) {
			snprintf(path, sizeof(path), "/n%u", n);
			assert_data_at(f, path, 7, path);
		}
		/* The table made for what was expected is the one in use. */
		assert_true(totals[i] != 20000 ||
			    counts_of(f).index_bytes == 4096 * 64);
	}
}

static void
a_patch_changes_the_published_state(void **state)
{
	struct fixture *f = *state;
	struct znode *config =
		tree_find(f->tree, path_of(f, "/zookeeper/config"));
	struct tree_stat stat;

	tree_spec_stat(f->tree, config, &stat);
	stat.version = -1;
	stat.mzxid = 0x100000000;
	assert_int_equal(tree_patch(f->tree, config,
				    jute_slice_of("version=0", 9), &stat),
			 0);
	assert_data_at(f, "/zookeeper/config", 0, "version=0");
	assert_true(tree_published_digest(f->tree) == DIGEST_EMPTY_DATABASE);
	/* One that counts: as if it had been made so. */
	create(f, "/a", "one", 0);
	const uint64_t digest = tree_published_digest(f->tree);
	struct znode *node = tree_find(f->tree, path_of(f, "/a"));

	tree_spec_stat(f->tree, node, &stat);
	assert_int_equal(
		tree_patch(f->tree, node, jute_slice_of("two", 3), &stat), 0);
	assert_true(tree_published_digest(f->tree) != digest);
	assert_int_equal(
		tree_patch(f->tree, node, jute_slice_of("one", 3), &stat), 0);
	assert_true(tree_published_digest(f->tree) == digest);
}

/* ---- ACLs ---------------------------------------------------------------- */

static uint32_t
intern(struct acl_table *table, int32_t perms, const char *scheme,
       const char *id)
{
	uint8_t bytes[128];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));

	jute_put_int(&writer, perms);
	jute_put_cstr(&writer, scheme);
	jute_put_cstr(&writer, id);

	const struct jute_vector acl = {
		.data = bytes,
		.count = 1,
		.bytes = (uint32_t)jute_written(&writer)};

	return acl_table_intern(table, &acl);
}

static void
equal_lists_have_one_id_until_the_last_reference_goes(void **state)
{
	struct fixture *f = *state;
	struct acl_table *table = tree_acls(f->tree);
	const struct jute_vector none = {.count = -1};
	const struct jute_vector empty = {.count = 0};
	char id[16];

	assert_int_equal(intern(table, PERM_ALL, "world", "anyone"),
			 ACL_ID_OPEN);
	assert_int_equal(intern(table, PERM_READ, "world", "anyone"),
			 ACL_ID_READ);
	assert_int_equal(acl_table_intern(table, &none), ACL_ID_OPEN);
	assert_true(acl_table_get(table, ACL_ID_OPEN)->is_open);
	assert_false(acl_table_get(table, ACL_ID_READ)->is_open);
	assert_true(acl_table_intern(table, &empty) > ACL_ID_READ);
	acl_table_unref(table, acl_table_intern(table, &empty));

	const uint32_t one = intern(table, PERM_READ, "digest", "a:b");

	assert_int_equal(intern(table, PERM_READ, "digest", "a:b"), one);
	assert_int_not_equal(intern(table, PERM_WRITE, "digest", "a:b"), one);
	assert_int_equal(acl_table_get(table, one)->entries.count, 1);
	acl_table_unref(table, one);
	assert_int_equal(intern(table, PERM_READ, "digest", "a:b"), one);
	acl_table_unref(table, one);
	acl_table_unref(table, one);
	assert_int_equal(acl_table_count(table), 4);
	/* Dead, but readers may look: not yet used again. */
	const uint32_t two = intern(table, PERM_READ, "digest", "a:b");

	assert_int_not_equal(two, one);
	assert_int_equal(acl_table_get(table, one)->entries.count, 1);
	tree_reclaim(f->tree, UINT32_MAX);
	assert_int_equal(intern(table, PERM_ADMIN, "digest", "new"), one);
	/* Enough of them for the hash to grow, enumerated by id. */
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(id, sizeof(id), "u:%d", i);
		assert_true(intern(table, PERM_READ, "digest", id) > two);
	}
	(void)snprintf(id, sizeof(id), "u:%d", 4321);

	const uint32_t again = intern(table, PERM_READ, "digest", id);
	uint32_t seen = 0;

	assert_int_equal(intern(table, PERM_READ, "digest", id), again);
	for (uint32_t at = acl_table_next(table, 0); at != 0;
	     at = acl_table_next(table, at))
		seen++;
	assert_int_equal(seen, acl_table_count(table));
	assert_int_equal(seen, 6 + 5000);
}

/* ---- replies ------------------------------------------------------------- */

static void
set_acl(struct fixture *f, const char *path, uint32_t acl)
{
	begin(f);
	assert_int_equal(tree_set_acl(f->tree,
				      tree_find(f->tree, path_of(f, path)), acl,
				      1),
			 0);
	finish(f);
}

static void
reads_answer_in_the_order_of_the_protocol(void **state)
{
	struct fixture *f = *state;
	struct acl_table *table = tree_acls(f->tree);
	uint8_t bytes[512];
	struct jute_writer out = jute_writer_of(bytes, sizeof(bytes));
	const struct tree_path nul = tree_path_of(f->tree, "/a\0b", 4);
	uint64_t S;

	create(f, "/a", "data", 0);
	create(f, "/a/x", "", 0);
	create(f, "/secret", "data", 0);
	create(f, "/admin", "data", 0);
	set_acl(f, "/secret", intern(table, PERM_WRITE, "world", "anyone"));
	set_acl(f, "/admin", intern(table, PERM_ADMIN, "world", "anyone"));
	S = (uint64_t)f->zxid;
	assert_int_equal(read_exists(f->tree, S, nul, NULL, &out),
			 ZK_BADARGUMENTS);
	assert_int_equal(read_get_data(f->tree, S, nul, NULL, &out), ZK_NONODE);
	assert_int_equal(
		read_exists(f->tree, S, path_of(f, "nope"), NULL, &out),
		ZK_NONODE);
	assert_int_equal(
		read_exists(f->tree, S, path_of(f, "/secret"), NULL, &out),
		ZK_NOAUTH);
	assert_int_equal(
		read_get_data(f->tree, S, path_of(f, "/secret"), NULL, &out),
		ZK_NOAUTH);
	assert_int_equal(read_get_children(f->tree, S, path_of(f, "/admin"),
					   NULL, true, UINT32_MAX, &out),
			 ZK_NOAUTH);
	assert_int_equal(
		read_get_acl(f->tree, S, path_of(f, "/secret"), NULL, &out),
		ZK_NOAUTH);
	assert_int_equal(jute_written(&out), 0);
	assert_int_equal(
		read_get_acl(f->tree, S, path_of(f, "/admin"), NULL, &out),
		ZK_OK);
	assert_int_equal(jute_written(&out),
			 4 + 4 + 4 + 5 + 4 + 6 + PROTO_STAT_BYTES);
	assert_true(read_permits(f->tree,
				 tree_lookup(f->tree, path_of(f, "/secret"), S),
				 S, NULL, PERM_WRITE));
}

static void
a_reply_that_does_not_fit_says_so(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[256];
	const size_t full = 4 + 3 * (4 + 1) + PROTO_STAT_BYTES;

	struct tree_reader *reader = tree_reader_register(f->tree);

	assert_int_equal(tree_reader_online(reader, &f->P), 0);
	create(f, "/a", "data", 0);
	create(f, "/a/1", "", 0);
	create(f, "/a/2", "", 0);
	create(f, "/a/3", "", 0);
	for (size_t room = 0; room < full; room++) {
		struct jute_writer out = jute_writer_of(bytes, room);

		assert_int_equal(read_get_children(f->tree, 4, path_of(f, "/a"),
						   NULL, true, UINT32_MAX,
						   &out),
				 ZK_OK);
		assert_true(out.is_full);
	}
	struct jute_writer out = jute_writer_of(bytes, full);
	struct jute_reader in = jute_reader_of(bytes, full);
	struct proto_stat stat;

	assert_int_equal(read_get_children(f->tree, 4, path_of(f, "/a"), NULL,
					   true, UINT32_MAX, &out),
			 ZK_OK);
	assert_false(out.is_full);
	assert_int_equal(jute_get_int(&in), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(jute_get_slice(&in).bytes, 1);
	assert_int_equal(proto_get_stat(&in, &stat), 0);
	assert_int_equal(stat.num_children, 3);
	assert_int_equal(jute_reader_left(&in), 0);
	/* The same at an S where only one child was there. */
	out = jute_writer_of(bytes, sizeof(bytes));
	assert_int_equal(read_get_children(f->tree, 2, path_of(f, "/a"), NULL,
					   false, UINT32_MAX, &out),
			 ZK_OK);
	assert_int_equal(jute_written(&out), 4 + 4 + 1);
	tree_reader_unregister(reader);
}

static void
a_walk_counts_descendants_in_slices(void **state)
{
	struct fixture *f = *state;
	struct walk walk;
	uint64_t count = 0;
	int slices = 0;

	create(f, "/a", "", 0);
	create(f, "/a/1", "", 0);
	create(f, "/a/1/x", "", 0);
	create(f, "/a/2", "", 0);
	create(f, "/b", "", 0);
	assert_int_equal(walk_init(&walk, f->tree, 5, path_of(f, "/a")), 0);
	while (walk_count(&walk, 1, &count) == 1)
		slices++;
	assert_int_equal(count, 3);
	assert_int_equal(slices, 4);
	walk_free(&walk);
	count = 0;
	assert_int_equal(walk_init(&walk, f->tree, 5, path_of(f, "/")), 0);
	assert_int_equal(walk_count(&walk, 1000, &count), 0);
	assert_int_equal(count, counts_of(f).nodes - 1);
	walk_free(&walk);
	count = 0;
	assert_int_equal(walk_init(&walk, f->tree, 5, path_of(f, "/none")), 0);
	assert_int_equal(walk_count(&walk, 1000, &count), 0);
	assert_int_equal(count, 0);
	walk_free(&walk);
}

static void
deep_and_long_paths_are_walked_without_recursion(void **state)
{
	enum { DEPTH = 3000, NAME = 200 };
	struct fixture *f = *state;
	char *path = calloc(1, DEPTH * (NAME + 1) + 1);
	struct walk_item item;
	struct walk walk;
	size_t bytes = 0;
	int count = 0;

	assert_non_null(path);
	begin(f);
	for (int i = 0; i < DEPTH; i++) {
		path[bytes] = '/';
		memset(path + bytes + 1, 'a' + i % 26, NAME);
		bytes += NAME + 1;
		(void)insert(f, path, "x", 0);
	}
	finish(f);
	assert_int_equal(walk_init(&walk, f->tree, 1, path_of(f, "")), 0);
	while (walk_next(&walk, &item) == 1) {
		if (item.path_bytes < 10 ||
		    memcmp(item.path, "/zookeeper", 10) != 0)
			assert_memory_equal(item.path, path, item.path_bytes);
		count++;
	}
	assert_int_equal(count, DEPTH + 4);
	walk_free(&walk);
	free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_fresh_tree_has_the_four_nodes_of_the_reference_server),
		TEST(a_snapshot_of_the_reference_server_has_its_digest),
		TEST(readers_see_the_state_after_their_S),
		TEST(what_is_not_published_is_seen_by_the_writer_alone),
		TEST(a_rolled_back_transaction_may_go_on),
		TEST(create_and_delete_in_one_transaction_leave_nothing),
		TEST(shown_stat_counts_deletions_and_hides_kinds),
		TEST(garbage_waits_for_readers_then_for_a_grace_period),
		TEST(a_subtree_deleted_at_once_is_unlinked_bottom_up),
		TEST(a_walk_goes_on_in_the_array_it_started_with),
		TEST(a_slid_walk_leaves_directories_that_are_gone),
		TEST(a_hold_keeps_a_state_for_a_reader_to_come),
		TEST(at_most_32_readers_register),
		TEST(a_large_directory_grows_and_gives_its_memory_back),
		TEST(owners_of_ephemerals_come_in_unsigned_order),
		TEST(containers_and_ttl_nodes_are_reaped_when_due),
		TEST(damaged_orders_of_nodes_are_refused),
		TEST(a_path_that_comes_twice_is_damage),
		TEST(what_a_load_expects_changes_nothing_but_memory),
		TEST(a_patch_changes_the_published_state),
		TEST(equal_lists_have_one_id_until_the_last_reference_goes),
		TEST(reads_answer_in_the_order_of_the_protocol),
		TEST(a_reply_that_does_not_fit_says_so),
		TEST(a_walk_counts_descendants_in_slices),
		TEST(deep_and_long_paths_are_walked_without_recursion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
