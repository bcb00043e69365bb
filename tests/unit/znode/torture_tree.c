/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what readers see while the writer, the publisher's order of stores and
 * reclamation run beside them is one state per S, never older than before, and
 * never memory that was freed.
 *
 * Method (in the manner of rcutorture): one writer applies, rolls back,
 * undoes, publishes and reclaims as fast as it can, with freed memory
 * overwritten; one thread runs grace periods; readers check invariants that the
 * writer keeps in every published state:
 *   - "/pair/a" and "/pair/b" are always changed by one transaction: their
 *     data and mzxid agree at every S;
 *   - a directory's num_children equals the children that a walk finds, also
 *     when the walk is spread over several quiescent points;
 *   - data names its own transaction: data of a node at S == its mzxid and the
 *     hash of its name, so a torn or foreign or freed version shows;
 *   - S never decreases, nothing seen is newer than S.
 * A fourth thread walks the whole tree at a pinned S with pauses, as snapshots
 * do, and slides its pin.
 *
 * FAL_TORTURE_MS sets the duration, FAL_SEED the seed.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "znode/tree.h"
#include "znode/walk.h"

#define DURATION_MS_DEFAULT 1500
#define READERS             2
#define NODES               3000 /* names of "/dir", created and deleted */
#define STABLE              400  /* "/stable/.." are never deleted */
#define UNPUBLISHED_MAX     16

struct node_data {
	uint64_t zxid;
	uint64_t name_hash;
	uint8_t filler[400]; /* some versions are inline, some are not */
};

struct torture {
	struct tree *tree;
	_Atomic uint64_t P;
	_Atomic bool is_over;
	_Atomic uint64_t reads, walks, snapshots, graces;
	uint64_t txns;
	uint64_t seed;
};

static struct torture torture;

#define CHECK(cond)                                           \
	do {                                                  \
		if (!(cond))                                  \
			fal_panic(__FILE__, __LINE__, #cond); \
	} while (0)

static uint64_t
random_next(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random >> 11;
}

static struct tree_path
path_of(const char *text)
{
	return tree_path_of(torture.tree, text, (uint32_t)strlen(text));
}

static uint64_t
name_hash(const void *name, size_t bytes)
{
	const uint8_t *at = name;
	uint64_t hash = 14695981039346656037ull;

	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ at[i]) * 1099511628211ull;
	return hash;
}

static struct jute_slice
data_make(struct node_data *data, const char *path, uint64_t zxid)
{
	const char *name = strrchr(path, '/') + 1;
	const size_t head = offsetof(struct node_data, filler);
	const size_t filler = zxid % 3 == 0 ? sizeof(data->filler) : zxid % 64;

	data->zxid = zxid;
	data->name_hash = name_hash(name, strlen(name));
	memset(data->filler, (int)(zxid & 0xff), sizeof(data->filler));
	return jute_slice_of(data, head + filler);
}

/* ---- readers ------------------------------------------------------------- */

static void
check_data(struct jute_slice slice, struct jute_slice name, int64_t mzxid)
{
	struct node_data data;

	if (slice.bytes == 0)
		return; /* the directories have none */
	CHECK(slice.bytes >= (int32_t)offsetof(struct node_data, filler));
	CHECK(slice.bytes <= (int32_t)sizeof(data));
	memcpy(&data, slice.data, (size_t)slice.bytes);
	CHECK(data.zxid == (uint64_t)mzxid);
	CHECK(data.name_hash == name_hash(name.data, (size_t)name.bytes));
	const int32_t filler =
		slice.bytes - (int32_t)offsetof(struct node_data, filler);

	for (int32_t i = 0; i < filler; i++)
		CHECK(data.filler[i] == (uint8_t)(data.zxid & 0xff));
}

static void
check_pair(uint64_t S)
{
	const struct znode *a =
		tree_lookup(torture.tree, path_of("/pair/a"), S);
	const struct znode *b =
		tree_lookup(torture.tree, path_of("/pair/b"), S);
	struct tree_stat stat_a, stat_b;

	CHECK((a == NULL) == (b == NULL));
	if (a == NULL)
		return;
	tree_stat_at(torture.tree, a, S, &stat_a);
	tree_stat_at(torture.tree, b, S, &stat_b);
	CHECK(stat_a.mzxid == stat_b.mzxid);
	CHECK((uint64_t)stat_a.mzxid <= S);
	check_data(tree_data_at(torture.tree, a, S), jute_slice_of("a", 1),
		   stat_a.mzxid);
	check_data(tree_data_at(torture.tree, b, S), jute_slice_of("b", 1),
		   stat_b.mzxid);
}

static void
check_node(const char *path, uint64_t S, bool must_be)
{
	const struct znode *node = tree_lookup(torture.tree, path_of(path), S);
	const char *name = strrchr(path, '/') + 1;
	struct tree_stat stat;

	CHECK(node != NULL || !must_be);
	if (node == NULL)
		return;
	tree_stat_at(torture.tree, node, S, &stat);
	CHECK((uint64_t)stat.czxid <= S && (uint64_t)stat.mzxid <= S);
	check_data(tree_data_at(torture.tree, node, S),
		   jute_slice_of(name, strlen(name)), stat.mzxid);
}

/* Walks a directory at S; in between the reader may quiesce at S. */
static void
check_children(struct tree_reader *reader, uint64_t S, uint64_t *random)
{
	const bool is_split = random_next(random) % 2 == 0;
	const struct znode *dir = tree_lookup(torture.tree, path_of("/dir"), S);
	const struct znode *child;
	struct jute_slice name;
	struct tree_stat stat;
	uint64_t cursor = 0;
	uint32_t count = 0;

	CHECK(dir != NULL);
	tree_stat_at(torture.tree, dir, S, &stat);
	while (tree_child_next(torture.tree, dir, S, &cursor, &name, &child)) {
		struct tree_stat child_stat;

		tree_stat_at(torture.tree, child, S, &child_stat);
		CHECK((uint64_t)child_stat.czxid <= S);
		check_data(tree_data_at(torture.tree, child, S), name,
			   child_stat.mzxid);
		if (is_split && ++count % 64 == 0)
			tree_reader_quiesce(reader, S);
		else if (!is_split)
			count++;
	}
	CHECK(count == stat.num_children);
	atomic_fetch_add_explicit(&torture.walks, 1, memory_order_relaxed);
}

static void *
reader_run(void *arg)
{
	uint64_t random = torture.seed * 7 + (uint64_t)(uintptr_t)arg * 2 + 1;
	struct tree_reader *reader = tree_reader_register(torture.tree);
	uint64_t S = tree_reader_online(reader, &torture.P);
	uint64_t reads = 0;
	char path[64];

	while (!atomic_load_explicit(&torture.is_over, memory_order_relaxed)) {
		for (int i = 0; i < 32; i++) {
			const uint64_t pick = random_next(&random);

			check_pair(S);
			(void)snprintf(path, sizeof(path), "/dir/node-%u",
				       (unsigned)(pick % NODES));
			check_node(path, S, false);
			(void)snprintf(path, sizeof(path), "/stable/s%u",
				       (unsigned)(pick % STABLE));
			check_node(path, S, true);
			reads += 3;
		}
		if (random_next(&random) % 16 == 0)
			check_children(reader, S, &random);

		const uint64_t before = S;

		if (random_next(&random) % 64 == 0) {
			tree_reader_offline(reader);
			S = tree_reader_online(reader, &torture.P);
		} else {
			S = atomic_load_explicit(&torture.P,
						 memory_order_acquire);
			tree_reader_quiesce(reader, S);
		}
		CHECK(S >= before);
	}
	tree_reader_unregister(reader);
	atomic_fetch_add_explicit(&torture.reads, reads, memory_order_relaxed);
	return NULL;
}

/* ---- the snapshot thread ------------------------------------------------- */

static void
pause_for(struct tree_reader *reader, uint64_t us)
{
	const struct timespec wait = {.tv_nsec = (long)(us * 1000)};

	tree_reader_pause(reader);
	(void)nanosleep(&wait, NULL);
	tree_reader_resume(reader);
}

static void
snapshot_once(struct tree_reader *reader, uint64_t *random)
{
	uint64_t S = tree_reader_online(reader, &torture.P);
	struct walk_item item;
	struct walk walk;
	uint64_t seen = 0, below = 0;
	bool is_fuzzy = false;
	int got;

	CHECK(walk_init(&walk, torture.tree, S,
			tree_path_of(torture.tree, "", 0)) == 0);
	while ((got = walk_next(&walk, &item)) == 1) {
		uint32_t name_bytes = 0;

		while (name_bytes < item.path_bytes &&
		       item.path[item.path_bytes - name_bytes - 1] != '/')
			name_bytes++;
		check_data(
			item.data,
			jute_slice_of(item.path + item.path_bytes - name_bytes,
				      name_bytes),
			item.stat.mzxid);
		seen++;
		below += item.stat.num_children;
		if (seen % 256 == 0)
			pause_for(reader, 200);
		if (random_next(random) % 8000 == 0) {
			S = atomic_load_explicit(&torture.P,
						 memory_order_acquire);
			CHECK(walk_repin(&walk, S) == 0);
			tree_reader_quiesce(reader, S);
			is_fuzzy = true;
		}
		if (atomic_load_explicit(&torture.is_over,
					 memory_order_relaxed))
			break;
	}
	CHECK(got >= 0);
	/* One state: every node but the root is somebody's child. */
	CHECK(got == 1 || is_fuzzy || seen == below + 1);
	walk_free(&walk);
	tree_reader_offline(reader);
	if (got == 0)
		atomic_fetch_add_explicit(&torture.snapshots, 1,
					  memory_order_relaxed);
}

static void *
snapshot_run(void *arg)
{
	struct tree_reader *reader = tree_reader_register(torture.tree);
	uint64_t random = torture.seed * 11 + 5;

	(void)arg;
	while (!atomic_load_explicit(&torture.is_over, memory_order_relaxed))
		snapshot_once(reader, &random);
	tree_reader_unregister(reader);
	return NULL;
}

static void *
grace_run(void *arg)
{
	const struct timespec wait = {.tv_nsec = 200000};

	(void)arg;
	while (!atomic_load_explicit(&torture.is_over, memory_order_relaxed)) {
		if (tree_reclaim_grace(torture.tree))
			atomic_fetch_add_explicit(&torture.graces, 1,
						  memory_order_relaxed);
		(void)nanosleep(&wait, NULL);
	}
	return NULL;
}

/* ---- the writer ---------------------------------------------------------- */

static void
make(const char *parent, const char *path, uint64_t zxid)
{
	struct znode *dir = tree_find(torture.tree, path_of(parent));
	struct node_data data;
	struct tree_stat stat;
	struct znode *node;

	CHECK(dir != NULL);
	tree_spec_stat(torture.tree, dir, &stat);
	CHECK(tree_insert(torture.tree, dir, path_of(path),
			  data_make(&data, path, zxid), ACL_ID_OPEN, 0,
			  &node) == 0);
	CHECK(tree_set_parent(torture.tree, dir, stat.cversion + 1,
			      (int64_t)zxid) == 0);
}

static void
set_or_make(const char *parent, const char *path, uint64_t zxid)
{
	struct znode *node = tree_find(torture.tree, path_of(path));
	struct node_data data;

	if (node == NULL)
		make(parent, path, zxid);
	else
		CHECK(tree_set_data(torture.tree, node,
				    data_make(&data, path, zxid), 1) == 0);
}

static void
drop(const char *path)
{
	struct znode *node = tree_find(torture.tree, path_of(path));

	if (node != NULL)
		CHECK(tree_remove(torture.tree, node) == 0);
}

static void
write_some(uint64_t zxid, uint64_t *random, bool is_growing)
{
	const uint64_t pick = random_next(random);
	char path[64];

	if (pick % 8 == 0) {
		if (pick % 128 == 0) {
			drop("/pair/a");
			drop("/pair/b");
		} else {
			set_or_make("/pair", "/pair/a", zxid);
			set_or_make("/pair", "/pair/b", zxid);
		}
	} else if (pick % 8 == 1) {
		(void)snprintf(path, sizeof(path), "/stable/s%u",
			       (unsigned)(pick / 8 % STABLE));
		set_or_make("/stable", path, zxid);
	} else {
		(void)snprintf(path, sizeof(path), "/dir/node-%u",
			       (unsigned)(pick / 8 % NODES));
		if (pick % 8 < 4 || is_growing)
			set_or_make("/dir", path, zxid);
		else
			drop(path);
	}
}

static void
publish(uint64_t zxid)
{
	tree_publish(torture.tree, (int64_t)zxid);
	/* Pairs with the acquire loads of readers. */
	atomic_store_explicit(&torture.P, zxid, memory_order_release);
}

static void
writer_prepare(void)
{
	char path[64];

	tree_txn_begin(torture.tree, 1, 1);
	make("", "/pair", 1);
	make("", "/dir", 1);
	make("", "/stable", 1);
	for (unsigned i = 0; i < STABLE; i++) {
		(void)snprintf(path, sizeof(path), "/stable/s%u", i);
		make("/stable", path, 1);
	}
	(void)tree_txn_end(torture.tree);
	publish(1);
}

static uint64_t
now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
writer_run(uint64_t duration_ms)
{
	const uint64_t end = now_ms() + duration_ms;
	uint64_t random = torture.seed * 3 + 1;
	uint64_t applied = 1, published = 1;

	for (; torture.txns % 64 != 0 || now_ms() < end; torture.txns++) {
		const bool is_growing = torture.txns / 20000 % 2 == 0;
		const uint64_t zxid = applied + 1;

		tree_txn_begin(torture.tree, (int64_t)zxid, (int64_t)zxid);
		for (uint64_t i = random_next(&random) % 4; i > 0; i--)
			write_some(zxid, &random, is_growing);
		if (random_next(&random) % 16 == 0) {
			tree_txn_rollback(torture.tree);
			write_some(zxid, &random, is_growing);
		}
		(void)tree_txn_end(torture.tree);
		applied = zxid;
		if (random_next(&random) % 32 == 0) {
			applied = published + random_next(&random) %
						      (applied - published + 1);
			tree_undo_after(torture.tree, (int64_t)applied);
		}
		if (applied - published > UNPUBLISHED_MAX ||
		    random_next(&random) % 2 == 0) {
			published = applied;
			publish(published);
		}
		tree_reclaim(torture.tree, 64);
	}
	publish(applied);
}

static uint64_t
env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoull(text, NULL, 0);
}

static void
readers_see_one_state_while_the_writer_runs(void **state)
{
	const struct tree_options options = {.is_digest_on = true,
					     .poisons_freed = true};
	pthread_t reader[READERS], snapshot, grace;
	struct tree_counts counts;

	(void)state;
	torture.seed = env_number("FAL_SEED", 42);
	print_message("seed %llu\n", (unsigned long long)torture.seed);
	assert_int_equal(tree_create(&options, &torture.tree), 0);
	writer_prepare();
	for (uintptr_t i = 0; i < READERS; i++)
		assert_int_equal(
			pthread_create(&reader[i], NULL, reader_run, (void *)i),
			0);
	assert_int_equal(pthread_create(&snapshot, NULL, snapshot_run, NULL),
			 0);
	assert_int_equal(pthread_create(&grace, NULL, grace_run, NULL), 0);
	writer_run(env_number("FAL_TORTURE_MS", DURATION_MS_DEFAULT));
	atomic_store(&torture.is_over, true);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(reader[i], NULL), 0);
	assert_int_equal(pthread_join(snapshot, NULL), 0);
	assert_int_equal(pthread_join(grace, NULL), 0);
	for (int i = 0; i < 4; i++)
		tree_reclaim(torture.tree, UINT32_MAX);
	tree_counts(torture.tree, &counts);
	assert_int_equal(counts.garbage_bytes, 0);
	assert_int_equal(counts.versions, counts.nodes);
	print_message("%llu txns, %llu reads, %llu walks, %llu snapshots, "
		      "%llu graces\n",
		      (unsigned long long)torture.txns,
		      (unsigned long long)torture.reads,
		      (unsigned long long)torture.walks,
		      (unsigned long long)torture.snapshots,
		      (unsigned long long)torture.graces);
	assert_true(torture.reads > 0 && torture.walks > 0 &&
		    torture.graces > 0);
	tree_destroy(torture.tree);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_see_one_state_while_the_writer_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
