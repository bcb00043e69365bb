/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what the tree shows: the initial nodes and a snapshot of the reference
 * server (digests included), visibility by S, lists of permissions, replies to
 * reads.
 *
 * Method: small scenarios; golden bytes from a server of the reference
 * implementation. How nodes come and go is test_tree_life.c, the random test
 * test_tree_model.c.
 */
#include "tree_rig.h"

#define GOLDEN_SNAPSHOT        GOLDEN_DIR "/znode/snapshot.10000007e"
#define GOLDEN_SNAPSHOT_ZXID   0x10000007e
#define GOLDEN_SNAPSHOT_DIGEST 0x244c60d22aull
#define GOLDEN_SNAPSHOT_NODES  78

/* ---- golden -------------------------------------------------------------- */

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
	assert_int_equal(read_exists(f->tree, S, &nul, NULL, &out),
			 ZK_BADARGUMENTS);
	assert_int_equal(read_get_data(f->tree, S, &nul, NULL, &out),
			 ZK_NONODE);
	assert_int_equal(read_exists(f->tree, S, at(f, "nope"), NULL, &out),
			 ZK_NONODE);
	assert_int_equal(read_exists(f->tree, S, at(f, "/secret"), NULL, &out),
			 ZK_NOAUTH);
	assert_int_equal(
		read_get_data(f->tree, S, at(f, "/secret"), NULL, &out),
		ZK_NOAUTH);
	assert_int_equal(read_get_children(f->tree, S, at(f, "/admin"), NULL,
					   true, UINT32_MAX, &out),
			 ZK_NOAUTH);
	assert_int_equal(read_get_acl(f->tree, S, at(f, "/secret"), NULL, &out),
			 ZK_NOAUTH);
	assert_int_equal(jute_written(&out), 0);
	assert_int_equal(read_get_acl(f->tree, S, at(f, "/admin"), NULL, &out),
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

		assert_int_equal(read_get_children(f->tree, 4, at(f, "/a"),
						   NULL, true, UINT32_MAX,
						   &out),
				 ZK_OK);
		assert_true(out.is_full);
	}
	struct jute_writer out = jute_writer_of(bytes, full);
	struct jute_reader in = jute_reader_of(bytes, full);
	struct proto_stat stat;

	assert_int_equal(read_get_children(f->tree, 4, at(f, "/a"), NULL, true,
					   UINT32_MAX, &out),
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
	assert_int_equal(read_get_children(f->tree, 2, at(f, "/a"), NULL, false,
					   UINT32_MAX, &out),
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
		TEST(equal_lists_have_one_id_until_the_last_reference_goes),
		TEST(reads_answer_in_the_order_of_the_protocol),
		TEST(a_reply_that_does_not_fit_says_so),
		TEST(a_walk_counts_descendants_in_slices),
		TEST(deep_and_long_paths_are_walked_without_recursion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
