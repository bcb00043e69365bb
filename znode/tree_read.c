/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_read - readers' view at S: index, node, version. Three dependent cache
 * misses when cold, hence the stages for bursts. Nothing here stores, locks or
 * allocates.
 */
#include "znode/tree_impl.h"

/* Child slots that tree_child_next() has underway. */
#define CHILDREN_AHEAD 8u

void
tree_prefetch_bucket(const struct tree *tree, uint64_t hash)
{
	__builtin_prefetch(index_bucket_of(&tree->index, hash));
}

const struct znode *
tree_prefetch_node(const struct tree *tree, uint64_t hash)
{
	const struct znode *node = node_guess(tree, hash);

	if (FAL_UNLIKELY(node == NULL))
		return NULL;
	__builtin_prefetch(node);
	__builtin_prefetch(node->name);
	return node;
}

void
tree_prefetch_version(const struct tree *tree, const struct znode *node)
{
	const struct version *version = version_of(
		tree, atomic_load_explicit(&node->pub, memory_order_relaxed));

	__builtin_prefetch(version);
	__builtin_prefetch(version->data);
}

__attribute__((noinline)) const struct znode *
tree_lookup(const struct tree *tree, struct tree_path path, uint64_t S)
{
	struct index_probe probe;

	if (path.bytes == 0)
		return node_at(tree, tree->root);

	uint32_t handle = index_first(&tree->index, path.hash, &probe);

	for (; handle != 0; handle = index_next(&probe)) {
		const struct znode *node = node_at(tree, handle);

		if (node_is_visible(&tree->region, node, S) &&
		    node_has_path(tree, node, path.text, path.bytes))
			return node;
	}
	return NULL;
}

void
tree_stat_at(const struct tree *tree, const struct znode *node, uint64_t S,
	     struct tree_stat *out)
{
	version_stat(node, version_at(tree, node, S), out);
}

void
tree_stat_show(const struct tree *tree, const struct tree_stat *stat,
	       struct proto_stat *out)
{
	stat_show(tree, stat, out);
}

void
tree_proto_stat_at(const struct tree *tree, const struct znode *node,
		   uint64_t S, struct proto_stat *out)
{
	struct tree_stat stat;

	tree_stat_at(tree, node, S, &stat);
	tree_stat_show(tree, &stat, out);
}

struct jute_slice
tree_data_at(const struct tree *tree, const struct znode *node, uint64_t S)
{
	return version_data(&tree->region, version_at(tree, node, S));
}

/* ---- children ------------------------------------------------------------ */

static void
prefetch_child(const struct tree *tree, const struct dir_flat *flat,
	       uint32_t slot, uint32_t used)
{
	if (slot >= used)
		return;
	const struct znode *node =
		node_at(tree, atomic_load_explicit(&flat->slot[slot],
						   memory_order_relaxed));

	/* Of a hole this is the guard at the region's start: harmless. */
	__builtin_prefetch(node);
	__builtin_prefetch(node->name);
}

/* The next child at or behind *slot that S sees; NULL: none in this block. */
static const struct znode *
slot_next(const struct tree *tree, const struct dir_flat *flat, uint64_t S,
	  uint32_t *slot)
{
	/* Pairs with the release in flat_put(). */
	const uint32_t used =
		atomic_load_explicit(&flat->used, memory_order_acquire);

	for (uint32_t i = *slot; i < used; i++) {
		/* Pairs with the release in flat_put(). */
		const uint32_t handle = atomic_load_explicit(
			&flat->slot[i], memory_order_acquire);

		prefetch_child(tree, flat, i + CHILDREN_AHEAD, used);
		if (handle < REGION_HANDLE_MIN)
			continue;
		const struct znode *node = node_at(tree, handle);

		if (!node_is_visible(&tree->region, node, S))
			continue;
		*slot = i + 1;
		return node;
	}
	return NULL;
}

/* The same over the chunks of a table; *place is chunk << 10 | slot. */
static const struct znode *
chunk_next(const struct tree *tree, const struct dir_table *table, uint64_t S,
	   uint32_t *place)
{
	/* Pairs with the release in table_set(). */
	const uint32_t used =
		atomic_load_explicit(&table->used, memory_order_acquire);
	uint32_t chunk = *place >> DIR_SLOT_LOG2;
	uint32_t slot = *place & ((1u << DIR_SLOT_LOG2) - 1);

	for (; chunk < used; chunk++, slot = 0) {
		/* Pairs with the release in table_set(). */
		const uint32_t handle = atomic_load_explicit(
			&table->chunk[chunk], memory_order_acquire);

		if (handle == 0)
			continue;
		const struct znode *node = slot_next(
			tree, region_at(&tree->region, handle), S, &slot);

		if (node != NULL) {
			*place = chunk << DIR_SLOT_LOG2 | slot;
			return node;
		}
	}
	return NULL;
}

bool
tree_child_next(const struct tree *tree, const struct znode *dir, uint64_t S,
		uint64_t *cursor, struct jute_slice *name,
		const struct znode **child)
{
	/* The array a walk started with stays its array. */
	uint32_t handle = (uint32_t)(*cursor >> 32);
	uint32_t place = (uint32_t)*cursor;

	if (handle == 0)
		/* Pairs with the release in dir_publish(). */
		handle = atomic_load_explicit(&dir->dir, memory_order_acquire);
	if (handle == 0)
		return false;
	const struct dir_flat *flat = region_at(&tree->region, handle);
	const struct znode *node =
		flat->kind == DIR_FLAT
			? slot_next(tree, flat, S, &place)
			: chunk_next(tree, region_at(&tree->region, handle), S,
				     &place);

	if (node == NULL)
		return false;
	*cursor = (uint64_t)handle << 32 | place;
	*name = (struct jute_slice){.data = node->name,
				    .bytes = (int32_t)node->name_bytes};
	*child = node;
	return true;
}
