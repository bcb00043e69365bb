/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: how nodes come and go: what reclamation waits for, lists of ephemerals
 * and of nodes to reap, loading and its errors.
 *
 * Method: small scenarios, one by one.
 */
#include "tree_rig.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

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

/* The node at a path, asked for again and again while it comes and goes: the
 * same as who looks for it each time. */
static void
a_kept_node_is_the_one_that_is_there(void **state)
{
	struct fixture *f = *state;
	const struct tree_path path = path_of(f, "/kept");

	assert_null(tree_find_kept(f->tree, path));
	for (int i = 0; i < 4; i++) {
		create(f, "/kept", "", 0);
		assert_non_null(tree_find_kept(f->tree, path));
		assert_ptr_equal(tree_find_kept(f->tree, path),
				 tree_find(f->tree, path));
		/* Deleted, and made again beside the dying one. */
		remove_path(f, "/kept");
		assert_null(tree_find_kept(f->tree, path));
		create(f, "/kept", "", 0);
		assert_ptr_equal(tree_find_kept(f->tree, path),
				 tree_find(f->tree, path));
		/* A deletion that is taken back. */
		begin(f);
		assert_int_equal(tree_remove(f->tree, tree_find(f->tree, path)),
				 0);
		assert_null(tree_find_kept(f->tree, path));
		tree_txn_rollback(f->tree);
		assert_ptr_equal(tree_find_kept(f->tree, path),
				 tree_find(f->tree, path));
		finish(f);
		/* Its memory goes, and is somebody else's. */
		remove_path(f, "/kept");
		churn(f);
		create(f, "/other", "", 0);
		assert_null(tree_find_kept(f->tree, path));
		remove_path(f, "/other");
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
	 uint32_t share)
{
	uint64_t cursor = 0;
	uint32_t found = 0;

	do {
		uint32_t budget = share;

		if (tree_reap_next(f->tree, &cursor, &budget, now_ms,
				   never_used_ms) != NULL)
			found++;
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
	assert_int_equal(load(f, "//b"), FAL_ECORRUPT);
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

/* ---- address space ---------------------------------------------------------
 */

static uint64_t
mapped_bytes(void)
{
	FILE *in = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	assert_non_null(in);
	assert_int_equal(fscanf(in, "%lu", &pages), 1);
	fclose(in);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ulimit -v, or a system that counts what is reserved. */
static void
a_tree_takes_the_address_space_there_is(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* their shadow memory has no room in a limit */
#endif
	const uint64_t gib = 1ull << 30;
	struct tree_options options = {.bytes_max = gib};
	struct rlimit before, limit;
	struct tree *tree;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	limit = before;
	limit.rlim_cur = mapped_bytes() + 3 * gib;
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	assert_int_equal(tree_create(&options, &tree), 0);
	tree_destroy(tree);
	options.bytes_max = 4 * gib;
	assert_int_equal(tree_create(&options, &tree), FAL_ENOMEM);
	options.bytes_max = 0;
	assert_int_equal(tree_create(&options, &tree), FAL_ENOMEM);
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(garbage_waits_for_readers_then_for_a_grace_period),
		TEST(a_subtree_deleted_at_once_is_unlinked_bottom_up),
		TEST(a_kept_node_is_the_one_that_is_there),
		TEST(a_walk_goes_on_in_the_array_it_started_with),
		TEST(a_slid_walk_leaves_directories_that_are_gone),
		TEST(a_hold_keeps_a_state_for_a_reader_to_come),
		TEST(at_most_32_readers_register),
		TEST(a_tree_takes_the_address_space_there_is),
		TEST(a_large_directory_grows_and_gives_its_memory_back),
		TEST(owners_of_ephemerals_come_in_unsigned_order),
		TEST(containers_and_ttl_nodes_are_reaped_when_due),
		TEST(damaged_orders_of_nodes_are_refused),
		TEST(a_path_that_comes_twice_is_damage),
		TEST(what_a_load_expects_changes_nothing_but_memory),
		TEST(a_patch_changes_the_published_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
