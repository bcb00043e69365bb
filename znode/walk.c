/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk - a stack of directories with cursors.
 *
 * The top level is the node given out last; the next node is its first child,
 * or the next child of the nearest level that has one left. Every level's node
 * is visible at S, so nothing on the stack can be unlinked while S is pinned,
 * and the arrays that cursors name stay as well (tree_children.c).
 */
#include "znode/walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "znode/tree_impl.h"

static int
path_reserve(struct walk *walk, uint32_t bytes)
{
	if (walk->path != NULL && bytes <= walk->path_cap)
		return 0;
	const uint32_t cap = (uint32_t)bits_pow2_at_least(bytes + 256u);
	uint8_t *path = realloc(walk->path, cap);

	if (path == NULL)
		return FAL_ENOMEM;
	walk->path = path;
	walk->path_cap = cap;
	return 0;
}

static int
level_reserve(struct walk *walk)
{
	if (walk->level_count < walk->level_cap)
		return 0;
	const uint32_t cap = walk->level_cap == 0 ? 32 : walk->level_cap * 2;
	struct walk_level *level = realloc(walk->level, cap * sizeof(*level));

	if (level == NULL)
		return FAL_ENOMEM;
	walk->level = level;
	walk->level_cap = cap;
	return 0;
}

int
walk_init(struct walk *walk, const struct tree *tree, uint64_t S,
	  struct tree_path top)
{
	*walk = (struct walk){.tree = tree, .S = S};
	if (path_reserve(walk, top.bytes) < 0 || level_reserve(walk) < 0) {
		walk_free(walk);
		return FAL_ENOMEM;
	}
	if (top.bytes > 0)
		memcpy(walk->path, top.text, top.bytes);
	walk->first = tree_lookup(tree, top, S);
	walk->level[0] = (struct walk_level){.node = walk->first,
					     .path_bytes = top.bytes};
	return 0;
}

static void
level_pop(struct walk *walk)
{
	free(walk->level[--walk->level_count].rest);
}

void
walk_free(struct walk *walk)
{
	while (walk->level_count > 0)
		level_pop(walk);
	free(walk->level);
	free(walk->path);
	*walk = (struct walk){0};
}

/* The next unvisited child of a level that was slid. */
static const struct znode *
rest_next(const struct walk *walk, struct walk_level *level)
{
	while (level->cursor < level->rest_count) {
		const struct znode *node =
			node_at(walk->tree, level->rest[level->cursor++]);

		if (node_is_visible(&walk->tree->region, node, walk->S))
			return node;
	}
	return NULL;
}

static const struct znode *
child_next(const struct walk *walk, struct walk_level *level)
{
	struct jute_slice name;
	const struct znode *child;

	if (level->rest != NULL)
		return rest_next(walk, level);
	if (!tree_child_next(walk->tree, level->node, walk->S, &level->cursor,
			     &name, &child))
		return NULL;
	return child;
}

/* Finds the next node and puts it on the stack, without its path. 0: none. */
static int
step(struct walk *walk)
{
	if (level_reserve(walk) < 0)
		return FAL_ENOMEM;
	if (walk->first != NULL) {
		walk->first = NULL;
		walk->level_count = 1;
		return 1;
	}
	while (walk->level_count > 0) {
		struct walk_level *level = &walk->level[walk->level_count - 1];
		const struct znode *child = child_next(walk, level);

		if (child != NULL) {
			const uint32_t bytes =
				level->path_bytes + child->name_bytes + 1;

			level[1] = (struct walk_level){.node = child,
						       .path_bytes = bytes};
			walk->level_count++;
			return 1;
		}
		level_pop(walk);
	}
	return 0;
}

static int
put_name(struct walk *walk)
{
	const struct walk_level *level = &walk->level[walk->level_count - 1];
	const struct znode *node = level->node;

	if (walk->level_count == 1)
		return 0; /* the top's path came with walk_init() */
	if (path_reserve(walk, level->path_bytes) < 0)
		return FAL_ENOMEM;
	uint8_t *to = walk->path + level->path_bytes - node->name_bytes;

	to[-1] = '/';
	memcpy(to, node->name, node->name_bytes);
	return 0;
}

/* Takes a step back, so that a call that failed can be repeated. */
static void
step_back(struct walk *walk)
{
	struct walk_level *level = &walk->level[walk->level_count - 2];

	walk->level_count--;
	level->cursor--; /* the place just behind the child: see slot_next() */
}

int
walk_next(struct walk *walk, struct walk_item *out)
{
	const int found = step(walk);

	if (found <= 0)
		return found;
	if (put_name(walk) < 0) {
		step_back(walk);
		return FAL_ENOMEM;
	}
	const struct walk_level *level = &walk->level[walk->level_count - 1];

	out->node = level->node;
	out->path = walk->path;
	out->path_bytes = level->path_bytes;
	out->data = tree_data_at(walk->tree, level->node, walk->S);
	tree_stat_at(walk->tree, level->node, walk->S, &out->stat);
	return 1;
}

bool
walk_is_loaded(const struct walk_item *item)
{
	return (atomic_load_explicit(&item->node->flags, memory_order_relaxed) &
		ZNODE_LOADED) != 0;
}

void
walk_skip(struct walk *walk)
{
	FAL_ASSERT(walk->level_count > 0);
	level_pop(walk);
}

int
walk_count(struct walk *walk, uint32_t max, uint64_t *count)
{
	for (; max > 0; max--) {
		const int found = step(walk);

		if (found <= 0)
			return found;
		struct walk_level *level = &walk->level[walk->level_count - 1];
		struct tree_stat stat;

		tree_stat_at(walk->tree, level->node, walk->S, &stat);
		*count += stat.num_children;
	}
	return 1;
}

/* ---- sliding ------------------------------------------------------------- */

static int
rest_push(struct walk_level *level, uint32_t *cap, uint32_t handle)
{
	if (level->rest_count == *cap) {
		const uint32_t more = *cap == 0 ? 16 : *cap * 2;
		uint32_t *rest = realloc(level->rest, more * sizeof(*rest));

		if (rest == NULL)
			return FAL_ENOMEM;
		level->rest = rest;
		*cap = more;
	}
	level->rest[level->rest_count++] = handle;
	return 0;
}

/* Notes the children still to visit, as seen at the old S. */
static int
level_slide(struct walk *walk, struct walk_level *level)
{
	struct walk_level slid = *level;
	const struct znode *child;
	uint32_t cap = 0;

	if (level->rest != NULL)
		return 0;
	while ((child = child_next(walk, level)) != NULL) {
		if (rest_push(&slid, &cap, handle_of(walk->tree, child)) < 0) {
			level->cursor = slid.cursor;
			free(slid.rest);
			return FAL_ENOMEM;
		}
	}
	if (slid.rest == NULL) {
		/* Nothing left: an array all the same, to say so. */
		slid.rest = malloc(sizeof(*slid.rest));
		if (slid.rest == NULL)
			return FAL_ENOMEM;
	}
	slid.cursor = 0;
	*level = slid;
	return 0;
}

int
walk_repin(struct walk *walk, uint64_t S2)
{
	const struct region *region = &walk->tree->region;
	uint32_t alive = 0;

	FAL_ASSERT(S2 >= walk->S);
	if (walk->first != NULL && !node_is_visible(region, walk->first, S2))
		walk->first = NULL; /* gone before it began */
	while (alive < walk->level_count &&
	       node_is_visible(region, walk->level[alive].node, S2))
		alive++;
	/* Lists first: failing half way leaves levels that are slid, at S. */
	for (uint32_t i = 0; i < alive; i++)
		if (level_slide(walk, &walk->level[i]) < 0)
			return FAL_ENOMEM;
	while (walk->level_count > alive)
		level_pop(walk);
	/* Handles of children that die before S2 must not outlive the pin. */
	for (uint32_t i = 0; i < alive; i++) {
		struct walk_level *level = &walk->level[i];
		uint32_t kept = 0;

		for (uint64_t k = level->cursor; k < level->rest_count; k++)
			if (node_is_visible(region,
					    node_at(walk->tree, level->rest[k]),
					    S2))
				level->rest[kept++] = level->rest[k];
		level->cursor = 0;
		level->rest_count = kept;
	}
	walk->S = S2;
	return 0;
}
