/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the tree shows exactly the state after S for every S that a reader may
 * hold, whatever was applied, rolled back, undone, published and reclaimed
 * around it; nothing leaks; digests are right.
 *
 * Method: random transactions on the tree and on the naive model of
 * tree_model.h, with up to eight unpublished at a time, random rollbacks
 * inside a transaction, random undoing to an earlier zxid, and readers of this
 * one thread that hold random S while memory that is freed gets overwritten.
 * Reads of single nodes at random S in the live range, children walks and
 * snapshot walks that are advanced a few steps between transactions, and
 * digests are compared with the model. "/w" grows to thousands of children and
 * shrinks to none again and again, so arrays grow, merge and shrink under
 * walkers; "/m" does the same with hundreds.
 *
 * FAL_SEED sets the seed, FAL_MODEL_TXNS the number of transactions.
 */
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tree_world.h"

#define TXNS_DEFAULT       40000u
#define UNPUBLISHED_MAX    8
#define SMALL_REGION_BYTES (4 << 20)

static uint8_t data_bytes[DATA_MAX];

/* ---- transactions -------------------------------------------------------- */

static int32_t
random_length(struct world *world)
{
	switch (below(world, 12)) {
	case 0:
		return -1;
	case 1:
		return 0;
	case 2:
		return (int32_t)(250 + below(world, 14)); /* around inline */
	case 3:
		return (int32_t)below(world, 3000);
	case 4:
		return below(world, 40) == 0 ? (int32_t)below(world, DATA_MAX)
					     : 300;
	default:
		return (int32_t)below(world, 120);
	}
}

static struct jute_slice
random_data(struct world *world, struct model_state *state)
{
	state->data_seed = ++world->seeds;
	state->stat.data_bytes = random_length(world);
	model_data(state->data_seed, state->stat.data_bytes, data_bytes);
	return (struct jute_slice){.data = data_bytes,
				   .bytes = state->stat.data_bytes};
}

static int64_t
random_owner(struct world *world)
{
	switch (below(world, 8)) {
	case 0:
		return 0x1000 + below(world, MODEL_SESSIONS);
	case 1:
		return PROTO_CONTAINER_OWNER;
	case 2:
		return PROTO_TTL_MASK | (1 + below(world, 1000));
	default:
		return 0;
	}
}

static uint32_t
take_acl(struct world *world, uint32_t *index)
{
	*index = below(world, 4) == 0 ? below(world, ACLS) : 0;
	acl_table_ref(tree_acls(world->tree), world->acl[*index]);
	return world->acl[*index];
}

/* The next three return 0 or FAL_ENOMEM; then the transaction goes. */
static int
do_insert(struct world *world, uint32_t at, uint64_t zxid)
{
	struct model *model = &world->model;
	const uint32_t parent = model->path[at].parent;
	struct model_state *state = model_edit(model, at, zxid);
	struct znode *node;

	state->stat = (struct tree_stat){
		.czxid = (int64_t)zxid,
		.mzxid = (int64_t)zxid,
		.pzxid = (int64_t)zxid,
		.ctime = world->time,
		.mtime = world->time,
		.owner = random_owner(world),
	};
	state->exists = true;

	const struct jute_slice data = random_data(world, state);
	const uint32_t acl = take_acl(world, &state->stat.acl);
	struct model_state *above = model_edit(model, parent, zxid);

	if (tree_insert(world->tree,
			tree_find(world->tree, path_of(world, parent)),
			path_of(world, at), data, acl, state->stat.owner,
			&node) < 0) {
		acl_table_unref(tree_acls(world->tree), acl);
		return FAL_ENOMEM;
	}
	above->stat.num_children++;
	if (below(world, 4) == 0)
		return 0;
	above->stat.cversion++;
	above->stat.pzxid = (int64_t)zxid;
	return tree_set_parent(world->tree, tree_parent(world->tree, node),
			       above->stat.cversion, above->stat.pzxid);
}

static int
do_set_acl(struct world *world, struct model_state *state, struct znode *node)
{
	const uint32_t acl = take_acl(world, &state->stat.acl);

	state->stat.aversion++;
	if (tree_set_acl(world->tree, node, acl, state->stat.aversion) == 0)
		return 0;
	acl_table_unref(tree_acls(world->tree), acl);
	return FAL_ENOMEM;
}

static int
do_change(struct world *world, uint32_t at, uint64_t zxid)
{
	struct model_state *state = model_edit(&world->model, at, zxid);
	struct znode *node = tree_find(world->tree, path_of(world, at));

	switch (below(world, 6)) {
	case 0:
		return do_set_acl(world, state, node);
	case 1:
		state->stat.cversion += 3;
		state->stat.pzxid = (int64_t)zxid;
		return tree_set_parent(world->tree, node, state->stat.cversion,
				       state->stat.pzxid);
	case 2:
		return tree_set_data_quietly(world->tree, node,
					     random_data(world, state));
	default:
		state->stat.version++;
		state->stat.mzxid = (int64_t)zxid;
		state->stat.mtime = world->time;
		return tree_set_data(world->tree, node,
				     random_data(world, state),
				     state->stat.version);
	}
}

static int
do_remove(struct world *world, uint32_t at, uint64_t zxid)
{
	struct model *model = &world->model;

	model_edit(model, at, zxid)->exists = false;
	model_edit(model, model->path[at].parent, zxid)->stat.num_children--;
	return tree_remove(world->tree,
			   tree_find(world->tree, path_of(world, at)));
}

static uint32_t
random_path(struct world *world)
{
	const struct model *model = &world->model;

	switch (below(world, 8)) {
	case 0:
	case 1:
	case 2:
		return below(world, model->middle);
	case 3:
		return model->middle +
		       below(world, model->wide - model->middle);
	default:
		return model->wide +
		       below(world, model->path_count - model->wide);
	}
}

static int
do_one(struct world *world, uint64_t zxid)
{
	struct model *model = &world->model;
	const uint32_t at = random_path(world);
	const struct model_state *state = model_at(model, at, MODEL_NOW);
	const bool is_wide = model->path[at].parent == model->wide ||
			     model->path[at].parent == model->middle;
	const uint32_t choice = below(world, 16);

	if (!state->exists) {
		if ((is_wide && !world->is_growing && choice != 0) ||
		    !model_at(model, model->path[at].parent, MODEL_NOW)->exists)
			return 0;
		return do_insert(world, at, zxid);
	}
	if (state->stat.num_children == 0 && at > 3 &&
	    (is_wide ? (world->is_growing ? choice == 0 : choice < 12)
		     : choice < 4))
		return do_remove(world, at, zxid);
	return do_change(world, at, zxid);
}

static void
roll_back(struct world *world, uint64_t zxid)
{
	tree_txn_rollback(world->tree);
	model_undo(&world->model, zxid - 1);
	world->rollbacks++;
}

/* Some changes; all of the transaction is undone when memory runs out. */
static void
do_some(struct world *world, uint64_t zxid, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const int err = do_one(world, zxid);

		if (err == 0)
			continue;
		assert_int_equal(err, FAL_ENOMEM);
		roll_back(world, zxid);
		world->exhausted++;
		return;
	}
}

static void
run_txn(struct world *world)
{
	const uint64_t zxid = world->applied + 1 + below(world, 3);
	const uint32_t count =
		below(world, 400) == 0 ? 600 : 1 + below(world, 6);

	world->time++;
	tree_txn_begin(world->tree, (int64_t)zxid, world->time);
	do_some(world, zxid, count);
	if (below(world, 12) == 0) {
		roll_back(world, zxid);
		do_some(world, zxid, below(world, 3));
	}
	const uint64_t digest = tree_txn_end(world->tree);

	if (below(world, 400) == 0)
		assert_int_equal(digest,
				 model_digest(&world->model, MODEL_NOW));
	world->applied = zxid;
}

static void
publish_some(struct world *world)
{
	uint64_t to = world->applied;

	if (below(world, 3) != 0 && to > world->published)
		to = world->published +
		     below(world, (uint32_t)(to - world->published + 1));
	tree_publish(world->tree, (int64_t)to);
	model_publish(&world->model, to);
	world->published = to;
	atomic_store(&world->P, to);
	if (below(world, 400) == 0)
		assert_int_equal(tree_published_digest(world->tree),
				 model_digest(&world->model, to));
}

static void
undo_some(struct world *world)
{
	const uint64_t to =
		world->published +
		below(world, (uint32_t)(world->applied - world->published + 1));

	tree_undo_after(world->tree, (int64_t)to);
	model_undo(&world->model, to);
	world->applied = to;
	world->undone++;
}

/* ---- whole-state checks -------------------------------------------------- */

static void
check_members(struct world *world)
{
	uint64_t ephemerals = 0, containers = 0, ttls = 0, nodes = 0;
	uint64_t bytes = 0;
	struct tree_counts counts;

	for (uint32_t i = 0; i < world->model.path_count; i++) {
		const struct model_state *state =
			model_at(&world->model, i, MODEL_NOW);

		if (!state->exists)
			continue;
		nodes++;
		bytes += world->model.path[i].bytes;
		bytes += state->stat.data_bytes > 0
				 ? (uint64_t)state->stat.data_bytes
				 : 0;
		switch (tree_kind_of(world->tree, state->stat.owner)) {
		case TREE_PERSISTENT:
			break;
		case TREE_EPHEMERAL:
			ephemerals++;
			break;
		case TREE_CONTAINER:
			containers++;
			break;
		case TREE_TTL:
			ttls++;
			break;
		}
	}
	tree_counts(world->tree, &counts);
	assert_int_equal(counts.nodes, nodes);
	assert_int_equal(counts.ephemerals, ephemerals);
	assert_int_equal(counts.containers, containers);
	assert_int_equal(counts.ttls, ttls);
	assert_int_equal(counts.data_bytes, bytes);
	for (int64_t id = tree_ephemeral_owner_after(world->tree, 0); id != 0;
	     id = tree_ephemeral_owner_after(world->tree, id)) {
		struct znode *node;

		for (uint32_t i = 0;
		     (node = tree_ephemeral(world->tree, id, i)) != NULL; i++) {
			struct tree_stat stat;

			tree_spec_stat(world->tree, node, &stat);
			assert_int_equal(stat.owner, id);
			ephemerals--;
		}
	}
	assert_int_equal(ephemerals, 0);
}

static void
check_all(struct world *world)
{
	check_members(world);
	for (uint32_t i = 0; i < world->model.path_count; i++) {
		check_read(world, i, world->published);
		const struct model_state *state =
			model_at(&world->model, i, MODEL_NOW);
		struct znode *node = tree_find(world->tree, path_of(world, i));
		uint64_t cursor = 0;
		uint32_t children = 0;

		assert_int_equal(node != NULL, state->exists);
		if (node == NULL)
			continue;
		struct tree_stat stat;

		tree_spec_stat(world->tree, node, &stat);
		check_stat(world, &stat, state);
		check_data(tree_spec_data(world->tree, node), state);
		while (tree_spec_child(world->tree, node, &cursor) != NULL)
			children++;
		assert_int_equal(children, stat.num_children);
	}
	assert_int_equal(tree_published_digest(world->tree),
			 model_digest(&world->model, world->published));
}

/* ---- the run ------------------------------------------------------------- */

static void
acls_make(struct world *world)
{
	uint8_t bytes[64];

	world->acl[0] = ACL_ID_OPEN;
	world->acl[1] = ACL_ID_READ;
	for (uint32_t i = 2; i < ACLS; i++) {
		struct jute_writer writer =
			jute_writer_of(bytes, sizeof(bytes));

		jute_put_int(&writer, (int32_t)i);
		jute_put_cstr(&writer, "digest");
		jute_put_cstr(&writer, "user:secret");

		const struct jute_vector list = {
			.data = bytes,
			.count = 1,
			.bytes = (uint32_t)jute_written(&writer)};

		world->acl[i] = acl_table_intern(tree_acls(world->tree), &list);
		assert_true(world->acl[i] > ACL_ID_READ);
	}
}

static void
world_init(struct world *world, uint64_t seed, uint64_t region_bytes)
{
	const struct tree_options options = {
		.region_bytes = region_bytes,
		.is_digest_on = true,
		.has_extended_types = true,
		.poisons_freed = true,
	};

	memset(world, 0, sizeof(*world));
	world->random = seed * 2 + 1;
	model_init(&world->model);
	assert_int_equal(tree_create(&options, &world->tree), 0);
	world->region_bytes = world->tree->region.reserved_bytes;
	acls_make(world);
	for (int i = 0; i < READERS; i++) {
		struct pinned *pinned = &world->pinned[i];

		pinned->reader = tree_reader_register(world->tree);
		assert_non_null(pinned->reader);
		pinned->children.is_seen = malloc(world->model.path_count);
		pinned->snapshot.is_seen = malloc(world->model.path_count);
	}
}

static void
readers_leave(struct world *world)
{
	for (int i = 0; i < READERS; i++) {
		struct pinned *pinned = &world->pinned[i];

		if (pinned->snapshot.is_on)
			walk_free(&pinned->snapshot.walk);
		tree_reader_unregister(pinned->reader);
		free(pinned->children.is_seen);
		free(pinned->snapshot.is_seen);
		pinned->is_online = false;
	}
}

/* Removes all but the initial nodes, deepest first, and looks for leaks. */
static void
check_nothing_is_left(struct world *world)
{
	struct tree_counts counts;

	for (uint32_t i = world->model.path_count; i-- > 4;) {
		struct znode *node = tree_find(world->tree, path_of(world, i));

		if (node == NULL)
			continue;
		tree_txn_begin(world->tree, (int64_t)++world->applied, 1);
		assert_int_equal(tree_remove(world->tree, node), 0);
		(void)tree_txn_end(world->tree);
		/* No reader is left: this frees as well. */
		tree_publish(world->tree, (int64_t)world->applied);
	}
	for (uint32_t i = 2; i < ACLS; i++)
		acl_table_unref(tree_acls(world->tree), world->acl[i]);
	tree_reclaim(world->tree, UINT32_MAX);
	tree_reclaim(world->tree, UINT32_MAX);
	tree_counts(world->tree, &counts);
	assert_int_equal(counts.nodes, 4);
	assert_int_equal(counts.versions, 4);
	assert_int_equal(counts.garbage_bytes, 0);
	assert_true(counts.used_bytes < 300000);
	/* The initial nodes may have been given any of the lists. */
	assert_true(acl_table_count(tree_acls(world->tree)) <= 2 + 4);
}

static uint64_t
env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoull(text, NULL, 0);
}

static void
world_step(struct world *world, uint64_t i)
{
	run_txn(world);
	if (world->applied - world->published > UNPUBLISHED_MAX ||
	    below(world, 3) == 0)
		publish_some(world);
	if (below(world, 40) == 0)
		undo_some(world);
	for (int k = 0; k < READERS; k++)
		pinned_run(world, &world->pinned[k]);

	const uint64_t low = lowest_S(world);
	const uint64_t span = world->published - low + 1;

	for (int k = 0; k < 4; k++)
		check_read(world, random_path(world),
			   low + random_next(world) % span);
	if (below(world, 4) == 0)
		tree_reclaim(world->tree, below(world, 64));
	if (below(world, 8) == 0)
		(void)tree_reclaim_grace(world->tree);
	if (i % 500 == 0)
		model_prune(&world->model, low);
	if (i % 5000 == 4999)
		check_all(world);
}

static void
world_run(struct world *world, uint64_t txns, uint64_t phase)
{
	for (uint64_t i = 0; i < txns; i++) {
		world->is_growing = i / phase % 2 == 0;
		world_step(world, i);
	}
	publish_some(world);
	tree_undo_after(world->tree, (int64_t)world->published);
	model_undo(&world->model, world->published);
	world->applied = world->published;
	check_all(world);
	readers_leave(world);
	world->tree->region.reserved_bytes = world->region_bytes;
	check_nothing_is_left(world);
	print_message("%llu reads, %llu child walks, %llu snapshots, %llu "
		      "slides, %llu undone, %llu rolled back, %llu of these "
		      "out of memory\n",
		      (unsigned long long)world->reads,
		      (unsigned long long)world->walks,
		      (unsigned long long)world->snapshots,
		      (unsigned long long)world->slides,
		      (unsigned long long)world->undone,
		      (unsigned long long)world->rollbacks,
		      (unsigned long long)world->exhausted);
	tree_destroy(world->tree);
	model_free(&world->model);
}

static struct world world_now;

static void
the_tree_equals_the_model_at_every_live_zxid(void **state)
{
	const uint64_t seed = env_number("FAL_SEED", 20240607);
	const uint64_t txns = env_number("FAL_MODEL_TXNS", TXNS_DEFAULT);

	(void)state;
	print_message("seed %llu, %llu transactions\n",
		      (unsigned long long)seed, (unsigned long long)txns);
	world_init(&world_now, seed, 0);
	world_run(&world_now, txns, 6000);
	assert_true(world_now.undone > 0 && world_now.rollbacks > 0);
	assert_int_equal(world_now.exhausted, 0);
}

static void
a_full_region_undoes_the_transaction_and_nothing_else(void **state)
{
	const uint64_t seed = env_number("FAL_SEED", 20240607);

	(void)state;
	world_init(&world_now, seed + 1, SMALL_REGION_BYTES * 2);
	/* Short for the run; whole for cleaning up, since deleting from a tree
	 * that is really full takes memory, too. */
	world_now.tree->region.reserved_bytes = SMALL_REGION_BYTES;
	world_run(&world_now, 8000, 3000);
	assert_true(world_now.exhausted > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tree_equals_the_model_at_every_live_zxid),
		cmocka_unit_test(
			a_full_region_undoes_the_transaction_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
