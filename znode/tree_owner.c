/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_owner - which nodes go when a session does, and which may be reaped.
 *
 * The lists follow the spec view: they change when a transaction is applied and
 * change back when it is undone. Each ephemeral owner has an object in the
 * region, found through an index like the nodes'; all containers and TTL nodes
 * are in one list. A list keeps its room until the owner is freed, and an owner
 * stays while undo entries may put a node back, so undoing never allocates.
 */
#include "znode/tree_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- owners -------------------------------------------------------------- */

/* Nobody but the writer looks at this index: no grace period. */
static void
owner_retire_line(void *arg, uint32_t handle)
{
	struct tree *tree = arg;

	region_free(&tree->region, handle, sizeof(struct index_bucket));
}

static void
owner_retire_table(void *arg, struct index_table *table)
{
	(void)arg;
	index_table_free(table);
}

int
owners_init(struct tree *tree)
{
	const struct index_retire retire = {.line = owner_retire_line,
					    .table = owner_retire_table,
					    .arg = tree};

	tree->reapable = (struct handle_list){0};
	return index_init(&tree->owners, &tree->region, &retire);
}

void
owners_free(struct tree *tree)
{
	index_free(&tree->owners);
	free(tree->owner_ids);
	tree->owner_ids = NULL;
	tree->owner_id_count = 0;
}

static uint64_t
owner_hash(const struct tree *tree, int64_t session_id)
{
	return hash_bytes(&tree->head.key, &session_id, sizeof(session_id));
}

static struct tree_owner *
owner_find(const struct tree *tree, int64_t session_id)
{
	struct index_probe probe;
	uint32_t handle = index_first(&tree->owners,
				      owner_hash(tree, session_id), &probe);

	for (; handle != 0; handle = index_next(&probe)) {
		struct tree_owner *owner = region_at(&tree->region, handle);

		if (owner->session_id == session_id)
			return owner;
	}
	return NULL;
}

static struct tree_owner *
owner_add(struct tree *tree, int64_t session_id)
{
	const uint32_t handle =
		region_alloc(&tree->region, sizeof(struct tree_owner));

	if (handle == 0)
		return NULL;
	struct tree_owner *owner = region_at(&tree->region, handle);

	memset(owner, 0, sizeof(*owner));
	owner->hash = owner_hash(tree, session_id);
	owner->session_id = session_id;
	if (index_insert(&tree->owners, owner->hash, handle) < 0) {
		region_free(&tree->region, handle, sizeof(*owner));
		return NULL;
	}
	return owner;
}

static void
owner_free_if_idle(struct tree *tree, struct tree_owner *owner)
{
	if (owner->nodes.count > 0 || owner->pending > 0)
		return;
	const uint32_t handle = handle_of(tree, owner);

	index_remove(&tree->owners, owner->hash, handle);
	handle_list_free(&tree->region, &owner->nodes);
	region_free(&tree->region, handle, sizeof(*owner));
}

/* ---- members ------------------------------------------------------------- */

static struct handle_list *
list_of(struct tree *tree, const struct znode *node)
{
	switch (tree_kind_of(tree, node->owner)) {
	case TREE_EPHEMERAL: {
		struct tree_owner *owner = owner_find(tree, node->owner);

		return owner == NULL ? NULL : &owner->nodes;
	}
	case TREE_CONTAINER:
	case TREE_TTL:
		return &tree->reapable;
	case TREE_PERSISTENT:
		break;
	}
	return NULL;
}

int
member_add(struct tree *tree, struct znode *node)
{
	struct handle_list *list = list_of(tree, node);
	struct tree_owner *fresh = NULL;

	if (list == NULL) {
		if (tree_kind_of(tree, node->owner) == TREE_PERSISTENT)
			return 0;
		fresh = owner_add(tree, node->owner);
		if (fresh == NULL)
			return FAL_ENOMEM;
		list = &fresh->nodes;
	}
	if (handle_list_push(&tree->region, list, handle_of(tree, node)) < 0) {
		if (fresh != NULL)
			owner_free_if_idle(tree, fresh);
		return FAL_ENOMEM;
	}
	node->member = list->count - 1;
	return 0;
}

void
member_remove(struct tree *tree, struct znode *node)
{
	struct handle_list *list = list_of(tree, node);

	if (list == NULL)
		return;
	FAL_ASSERT(handle_list_at(&tree->region, list, node->member) ==
		   handle_of(tree, node));

	const uint32_t moved =
		handle_list_take(&tree->region, list, node->member);

	if (moved != 0)
		node_at(tree, moved)->member = node->member;
}

void
member_pend(struct tree *tree, const struct znode *node)
{
	if (tree_kind_of(tree, node->owner) == TREE_EPHEMERAL)
		owner_find(tree, node->owner)->pending++;
}

void
member_settle(struct tree *tree, const struct znode *node)
{
	if (tree_kind_of(tree, node->owner) != TREE_EPHEMERAL)
		return;
	struct tree_owner *owner = owner_find(tree, node->owner);

	FAL_ASSERT(owner != NULL && owner->pending > 0);
	owner->pending--;
	owner_free_if_idle(tree, owner);
}

/* ---- what the layers above ask ------------------------------------------- */

struct znode *
tree_ephemeral(struct tree *tree, int64_t session_id, uint32_t index)
{
	const struct tree_owner *owner = owner_find(tree, session_id);

	if (owner == NULL || index >= owner->nodes.count)
		return NULL;
	return node_at(tree,
		       handle_list_at(&tree->region, &owner->nodes, index));
}

uint32_t
tree_ephemeral_count(const struct tree *tree, int64_t session_id)
{
	const struct tree_owner *owner = owner_find(tree, session_id);

	return owner == NULL ? 0 : owner->nodes.count;
}

void
tree_ephemeral_handles(const struct tree *tree, int64_t session_id,
		       uint32_t *out)
{
	const struct tree_owner *owner = owner_find(tree, session_id);

	if (owner != NULL)
		handle_list_copy(&tree->region, &owner->nodes, out);
}

struct id_sweep {
	struct tree *tree;
	uint64_t count;
};

static void
sweep_id(void *arg, uint32_t handle)
{
	struct id_sweep *sweep = arg;
	const struct tree_owner *owner =
		region_at(&sweep->tree->region, handle);

	sweep->tree->owner_ids[sweep->count++] = (uint64_t)owner->session_id;
}

static int
compare_ids(const void *left, const void *right)
{
	const uint64_t a = *(const uint64_t *)left;
	const uint64_t b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

/* Sorts the ids of all owners into owner_ids. */
static bool
owner_ids_collect(struct tree *tree)
{
	struct id_sweep sweep = {.tree = tree};

	free(tree->owner_ids);
	tree->owner_id_count = 0;
	tree->owner_ids =
		calloc(tree->owners.count + 1, sizeof(*tree->owner_ids));
	if (tree->owner_ids == NULL)
		return false;
	index_for_each(&tree->owners, sweep_id, &sweep);
	FAL_ASSERT(sweep.count == tree->owners.count);
	tree->owner_id_count = sweep.count;
	qsort(tree->owner_ids, sweep.count, sizeof(*tree->owner_ids),
	      compare_ids);
	return true;
}

int64_t
tree_ephemeral_owner_after(struct tree *tree, int64_t after)
{
	/* One sort per round, not one per answer. */
	if ((after == 0 || tree->owner_ids == NULL) && !owner_ids_collect(tree))
		return 0;

	uint64_t low = 0, high = tree->owner_id_count;

	while (low < high) {
		const uint64_t middle = low + (high - low) / 2;

		if (tree->owner_ids[middle] <= (uint64_t)after)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < tree->owner_id_count; low++) {
		const int64_t id = (int64_t)tree->owner_ids[low];

		if (tree_ephemeral(tree, id, 0) != NULL)
			return id;
	}
	free(tree->owner_ids);
	tree->owner_ids = NULL;
	tree->owner_id_count = 0;
	return 0;
}

static bool
is_due(const struct tree *tree, const struct znode *node, int64_t now_ms,
       int64_t never_used_ms)
{
	const struct version *version = spec_of(tree, node);
	const int64_t elapsed = now_ms - version->mtime;

	if (version->num_children > 0)
		return false;
	if (tree_kind_of(tree, node->owner) == TREE_TTL)
		return elapsed > (node->owner & PROTO_TTL_MAX);
	return version->cversion > 0 ||
	       (never_used_ms != 0 && elapsed > never_used_ms);
}

struct znode *
tree_reap_next(struct tree *tree, uint64_t *cursor, uint32_t *budget,
	       int64_t now_ms, int64_t never_used_ms)
{
	/* From the end down: a removal puts the last node into the gap, and
	 * that one has been looked at. */
	const uint32_t count = tree->reapable.count;
	uint32_t at =
		*cursor != 0 && *cursor < count ? (uint32_t)*cursor : count;
	struct znode *found = NULL;

	while (at > 0 && found == NULL && *budget > 0) {
		struct znode *node =
			node_at(tree, handle_list_at(&tree->region,
						     &tree->reapable, --at));

		--*budget;
		if (is_due(tree, node, now_ms, never_used_ms))
			found = node;
	}
	*cursor = at;
	return found;
}
