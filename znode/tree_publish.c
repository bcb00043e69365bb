/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_publish - the undo list, popped at either end.
 *
 * Publishing takes entries from the front: pub becomes the entry's version,
 * what it supersedes waits for the watermark, a deleted node waits to be
 * unlinked. The order of stores makes it safe before P moves: a reader at an
 * older S that meets the new pub follows prev.
 *
 * Undoing takes entries from the back: spec becomes the version before, the
 * entry's version is freed at once (no reader reaches beyond pub), a created
 * node is unlinked and freed after a grace period (readers do meet it in index
 * and arrays, and skip it).
 *
 * Invariants: stamps on a chain strictly decrease; the undo list is empty if
 * and only if spec == pub everywhere.
 */
#include "znode/tree_impl.h"

static void
kind_count(struct tree *tree, const struct znode *node, uint64_t delta)
{
	struct tree_counters *counters = &tree->counters;

	count_up(&counters->nodes, delta);
	switch (tree_kind_of(tree, node->owner)) {
	case TREE_PERSISTENT:
		break;
	case TREE_EPHEMERAL:
		count_up(&counters->ephemerals, delta);
		break;
	case TREE_CONTAINER:
		count_up(&counters->containers, delta);
		break;
	case TREE_TTL:
		count_up(&counters->ttls, delta);
		count_up(delta == 1 ? &counters->ttls_created
				    : &counters->ttls_deleted,
			 1);
		break;
	}
}

void
node_count(struct tree *tree, struct znode *node, int64_t data_bytes)
{
	kind_count(tree, node, 1);
	count_up(&tree->counters.data_bytes, (uint64_t)data_bytes);
}

void
node_discount(struct tree *tree, struct znode *node, int64_t data_bytes)
{
	kind_count(tree, node, UINT64_MAX);
	count_down(&tree->counters.data_bytes, (uint64_t)data_bytes);
}

/* ---- publishing ---------------------------------------------------------- */

static void
undo_entry_publish(struct tree *tree, const struct fifo_record *entry)
{
	struct znode *node = node_at(tree, entry->handle);
	const struct version *version = version_of(tree, entry->after);

	FAL_ASSERT(version->stamp == entry->zxid);
	FAL_ASSERT(atomic_load_explicit(&node->pub, memory_order_relaxed) ==
		   entry->before);
	/* Pairs with the acquire in node_version_at(). */
	atomic_store_explicit(&node->pub, entry->after, memory_order_release);
	tree->published_digest += version->crc;
	if (entry->before != 0) {
		const struct version *before = version_of(tree, entry->before);

		FAL_ASSERT(before->stamp < version->stamp);
		tree->published_digest -= before->crc;
		garbage_put(tree, GARBAGE_VERSION, entry->before, entry->zxid);
	}
	const bool is_deleted = version->is_deleted;

	if (is_deleted) {
		/* Pairs with the acquire in node_is_visible(). */
		atomic_store_explicit(
			&node->flags,
			atomic_load_explicit(&node->flags,
					     memory_order_relaxed) |
				ZNODE_DYING,
			memory_order_release);
		garbage_put(tree, GARBAGE_NODE, entry->handle, entry->zxid);
	}
	if (is_deleted || entry->before == 0)
		member_settle(tree, node);
}

void
tree_publish(struct tree *tree, int64_t zxid)
{
	const uint64_t to = (uint64_t)zxid;
	const struct fifo_record *entry;

	FAL_ASSERT(!tree->is_open || to < tree->open_zxid);
	/* Recovery: nobody looks, so nothing has to wait. Before the new
	 * versions go public: P has not moved to these yet. */
	if (atomic_load_explicit(&tree->reader_count, memory_order_relaxed) ==
	    0)
		tree_reclaim(tree, UINT32_MAX);
	while ((entry = fifo_front(&tree->undo)) != NULL && entry->zxid <= to) {
		undo_entry_publish(tree, entry);
		fifo_pop_front(&tree->undo);
	}
	if (to > tree->published)
		tree->published = to;
	if (to > tree->applied)
		tree->applied = to; /* a new epoch */
}

uint64_t
tree_published_digest(const struct tree *tree)
{
	return tree->published_digest;
}

/* ---- undoing ------------------------------------------------------------- */

static uint64_t
version_counts(const struct tree *tree, const struct znode *node,
	       const struct version *version)
{
	const uint64_t data =
		version->data_bytes > 0 ? (uint64_t)version->data_bytes : 0;

	return data + tree_path_bytes(tree, node);
}

static void
recount(struct tree *tree, struct znode *node, const struct version *after,
	const struct version *before)
{
	const bool is_after = after != NULL && !after->is_deleted;
	const bool is_before = before != NULL && !before->is_deleted;
	const int64_t bytes_after =
		is_after ? (int64_t)version_counts(tree, node, after) : 0;
	const int64_t bytes_before =
		is_before ? (int64_t)version_counts(tree, node, before) : 0;

	if (is_after && is_before) {
		count_up(&tree->counters.data_bytes,
			 (uint64_t)(bytes_before - bytes_after));
	} else if (is_after) {
		member_remove(tree, node);
		node_discount(tree, node, bytes_after);
	} else if (is_before) {
		/* The room it left is still there: see member_add(). */
		const int err = member_add(tree, node);

		FAL_ASSERT(err == 0);
		node_count(tree, node, bytes_before);
	}
}

static void
entry_undo(struct tree *tree, const struct fifo_record *entry)
{
	struct znode *node = node_at(tree, entry->handle);
	const struct version *after = version_of(tree, entry->after);
	const struct version *before =
		entry->before == 0 ? NULL : version_of(tree, entry->before);

	FAL_ASSERT(node->spec == entry->after);
	recount(tree, node, after, before);
	if (after->is_deleted || before == NULL)
		member_settle(tree, node);
	if (before != NULL) {
		node->spec = entry->before;
		version_free(tree, entry->after);
		return;
	}
	node_unlink(tree, node);
}

void
tree_txn_rollback(struct tree *tree)
{
	FAL_ASSERT(tree->is_open);
	for (; tree->open_entries > 0; tree->open_entries--) {
		const struct fifo_record *entry = fifo_back(&tree->undo);

		FAL_ASSERT(entry->zxid == tree->open_zxid);
		entry_undo(tree, entry);
		fifo_pop_back(&tree->undo);
	}
}

void
tree_undo_after(struct tree *tree, int64_t zxid)
{
	const uint64_t to = (uint64_t)zxid;
	const struct fifo_record *entry;

	FAL_ASSERT(!tree->is_open && to >= tree->published);
	while ((entry = fifo_back(&tree->undo)) != NULL && entry->zxid > to) {
		tree->digest -= version_of(tree, entry->after)->crc;
		if (entry->before != 0)
			tree->digest += version_of(tree, entry->before)->crc;
		entry_undo(tree, entry);
		fifo_pop_back(&tree->undo);
	}
	if (to < tree->applied)
		tree->applied = to;
}
