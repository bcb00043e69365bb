/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_readers - reads of single nodes, walks of directories and of the whole
 * tree, compared with the model at the S they hold.
 */
#include "tree_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t more_bytes[DATA_MAX];

/* ---- comparing ----------------------------------------------------------- */

void
check_stat(const struct world *world, const struct tree_stat *is,
	   const struct model_state *should)
{
	const struct tree_stat *want = &should->stat;

	assert_int_equal(is->czxid, want->czxid);
	assert_int_equal(is->mzxid, want->mzxid);
	assert_int_equal(is->pzxid, want->pzxid);
	assert_int_equal(is->ctime, want->ctime);
	assert_int_equal(is->mtime, want->mtime);
	assert_int_equal(is->version, want->version);
	assert_int_equal(is->cversion, want->cversion);
	assert_int_equal(is->aversion, want->aversion);
	assert_int_equal(is->owner, want->owner);
	assert_int_equal(is->num_children, want->num_children);
	assert_int_equal(is->data_bytes, want->data_bytes);
	assert_int_equal(is->acl, world->acl[want->acl]);
}

void
check_data(struct jute_slice data, const struct model_state *should)
{
	assert_int_equal(data.bytes, should->stat.data_bytes);
	if (data.bytes <= 0)
		return;
	model_data(should->data_seed, data.bytes, more_bytes);
	assert_memory_equal(data.data, more_bytes, (size_t)data.bytes);
}

void
check_read(struct world *world, uint32_t path, uint64_t S)
{
	const struct model_state *should = model_at(&world->model, path, S);
	const struct znode *node =
		tree_lookup(world->tree, path_of(world, path), S);
	uint8_t text[MODEL_PATH_MAX];
	struct proto_stat shown;
	struct tree_stat stat;

	world->reads++;
	if (!should->exists) {
		assert_null(node);
		return;
	}
	assert_non_null(node);
	tree_stat_at(world->tree, node, S, &stat);
	check_stat(world, &stat, should);
	check_data(tree_data_at(world->tree, node, S), should);
	assert_int_equal(tree_path_text(world->tree, node, text, sizeof(text)),
			 world->model.path[path].bytes);
	assert_memory_equal(text, world->model.path[path].text,
			    world->model.path[path].bytes);
	tree_proto_stat_at(world->tree, node, S, &shown);
	assert_int_equal(shown.cversion,
			 2 * stat.cversion - (int32_t)stat.num_children);
	assert_int_equal(shown.data_length,
			 stat.data_bytes < 0 ? 0 : stat.data_bytes);
}

static uint32_t
model_find(const struct world *world, uint32_t parent, struct jute_slice name)
{
	const struct model *model = &world->model;
	const uint32_t parent_bytes = model->path[parent].bytes;

	/* Children of one parent are not contiguous for the root only. */
	for (uint32_t i = 1; i < model->path_count; i++) {
		const struct model_path *path = &model->path[i];

		if (path->parent == parent &&
		    path->bytes == parent_bytes + 1 + (uint32_t)name.bytes &&
		    memcmp(path->text + parent_bytes + 1, name.data,
			   (size_t)name.bytes) == 0)
			return i;
	}
	fail_msg("a child that no model path has");
	return 0;
}

static void
child_walk_start(struct world *world, struct pinned *pinned)
{
	struct child_walk *walk = &pinned->children;

	const uint32_t choice = below(world, 3);

	walk->path = choice == 0   ? world->model.wide
		     : choice == 1 ? world->model.middle
				   : below(world, world->model.middle);
	if (!model_at(&world->model, walk->path, pinned->S)->exists)
		return;
	walk->is_on = true;
	walk->cursor = 0;
	walk->seen = 0;
	memset(walk->is_seen, 0, world->model.path_count);
}

static void
child_walk_run(struct world *world, struct pinned *pinned, uint32_t steps)
{
	struct child_walk *walk = &pinned->children;
	const struct znode *dir =
		tree_lookup(world->tree, path_of(world, walk->path), pinned->S);

	assert_non_null(dir);
	while (steps-- > 0) {
		struct jute_slice name;
		const struct znode *child;

		if (!tree_child_next(world->tree, dir, pinned->S, &walk->cursor,
				     &name, &child)) {
			assert_int_equal(
				walk->seen,
				model_at(&world->model, walk->path, pinned->S)
					->stat.num_children);
			walk->is_on = false;
			world->walks++;
			return;
		}
		const uint32_t at = model_find(world, walk->path, name);

		assert_true(model_at(&world->model, at, pinned->S)->exists);
		assert_false(walk->is_seen[at]);
		walk->is_seen[at] = 1;
		walk->seen++;
	}
}

static uint32_t
model_find_path(const struct world *world, const uint8_t *text, uint32_t bytes)
{
	for (uint32_t i = 0; i < world->model.path_count; i++)
		if (world->model.path[i].bytes == bytes &&
		    memcmp(world->model.path[i].text, text, bytes) == 0)
			return i;
	fail_msg("a path that the model does not have");
	return 0;
}

static void
snapshot_end(struct world *world, struct pinned *pinned)
{
	struct snapshot_walk *snapshot = &pinned->snapshot;

	if (!snapshot->is_fuzzy)
		assert_int_equal(snapshot->seen,
				 model_count(&world->model, pinned->S));
	/* Sliding may leave out what is new, never what lived through. */
	for (uint32_t i = 0; i < world->model.path_count; i++) {
		const struct model_state *last =
			model_at(&world->model, i, pinned->S);

		if (last->exists &&
		    (uint64_t)last->stat.czxid <= snapshot->first_S)
			assert_true(snapshot->is_seen[i]);
	}
	walk_free(&snapshot->walk);
	snapshot->is_on = false;
	world->snapshots++;
}

static void
snapshot_run(struct world *world, struct pinned *pinned, uint32_t steps)
{
	struct snapshot_walk *snapshot = &pinned->snapshot;

	while (steps-- > 0) {
		struct walk_item item;

		const int got = walk_next(&snapshot->walk, &item);

		assert_true(got >= 0);
		if (got == 0) {
			snapshot_end(world, pinned);
			return;
		}
		const uint32_t at =
			model_find_path(world, item.path, item.path_bytes);
		const struct model_state *should =
			model_at(&world->model, at, pinned->S);

		assert_true(should->exists);
		assert_false(snapshot->is_seen[at]);
		assert_true(at == 0 ||
			    snapshot->is_seen[world->model.path[at].parent]);
		snapshot->is_seen[at] = 1;
		snapshot->seen++;
		check_stat(world, &item.stat, should);
		check_data(item.data, should);
	}
}

/* ---- readers ------------------------------------------------------------- */

uint64_t
lowest_S(const struct world *world)
{
	uint64_t low = world->published;

	for (int i = 0; i < READERS; i++)
		if (world->pinned[i].is_online && world->pinned[i].S < low)
			low = world->pinned[i].S;
	return low;
}

static void
snapshot_slide(struct world *world, struct pinned *pinned, uint64_t S)
{
	struct snapshot_walk *snapshot = &pinned->snapshot;

	if (!snapshot->is_on)
		return;
	assert_int_equal(walk_repin(&snapshot->walk, S), 0);
	snapshot->is_fuzzy = true;
	world->slides++;
}

static void
pinned_move(struct world *world, struct pinned *pinned)
{
	const uint32_t what = below(world, 8);

	if (!pinned->is_online) {
		pinned->S = tree_reader_online(pinned->reader, &world->P);
		pinned->is_online = true;
		assert_int_equal(pinned->S, world->published);
	} else if (what == 0 && !pinned->snapshot.is_on) {
		pinned->children.is_on = false;
		tree_reader_offline(pinned->reader);
		pinned->is_online = false;
	} else if (what == 1) {
		tree_reader_pause(pinned->reader);
		(void)tree_reclaim_grace(world->tree);
		tree_reader_resume(pinned->reader);
	} else if (!pinned->children.is_on || what == 2) {
		if (pinned->snapshot.is_on && below(world, 20) != 0)
			return;
		pinned->children.is_on = false;
		snapshot_slide(world, pinned, world->published);
		pinned->S = world->published;
		tree_reader_quiesce(pinned->reader, pinned->S);
	}
}

void
pinned_run(struct world *world, struct pinned *pinned)
{
	if (below(world, 30) == 0)
		pinned_move(world, pinned);
	if (!pinned->is_online)
		return;
	if (pinned->children.is_on)
		child_walk_run(world, pinned, below(world, 12));
	else if (below(world, 200) == 0)
		child_walk_start(world, pinned);
	if (pinned->snapshot.is_on) {
		snapshot_run(world, pinned, below(world, 4));
	} else if (below(world, 2000) == 0) {
		struct snapshot_walk *snapshot = &pinned->snapshot;

		snapshot->is_on = true;
		snapshot->is_fuzzy = false;
		snapshot->first_S = pinned->S;
		snapshot->seen = 0;
		memset(snapshot->is_seen, 0, world->model.path_count);
		assert_int_equal(walk_init(&snapshot->walk, world->tree,
					   pinned->S,
					   tree_path_of(world->tree, "", 0)),
				 0);
	}
}
