/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_children - the array of children of a node.
 *
 * Up to 1020 slots one flat block that grows by doubling; beyond that a table
 * of full blocks (chunks). Insert takes a hole or appends; delete leaves a
 * hole. A node knows its place (chunk << 10 | slot), and no place changes
 * within one array, so a reader's cursor is just (array, place).
 *
 * Growing, shrinking and merging publish a copy. The array before it is a
 * generation of its own: a reader may walk it for as long as its S stands, also
 * across quiescent points, so it is garbage of the zxid behind P and frees
 * after a grace period. Nodes in an older generation cannot be punched out of
 * it: while one is pending, an unlinked node's memory waits behind it in the
 * same queue (children_have_older()).
 *
 * Bounds of one operation: growing copies at most 4 KiB of slots, or the table
 * (4 bytes a chunk); shrinking and merging move at most 510 nodes. Two
 * neighbouring chunks with together half a chunk of nodes are merged, so an
 * array is at least a quarter full.
 */
#include "znode/tree_impl.h"

#include <string.h>

#define CAP_FIRST  4u
#define CAP_SHRINK 60u /* smaller blocks stay as they are */
#define HINT_TRIES 8u
#define TABLE_CAP  8u

static uint64_t
flat_bytes(uint32_t cap)
{
	return sizeof(struct dir_flat) + cap * sizeof(uint32_t);
}

static uint64_t
table_bytes(uint32_t cap)
{
	return sizeof(struct dir_table) + cap * sizeof(uint32_t);
}

static struct dir_flat *
flat_at(const struct tree *tree, uint32_t handle)
{
	return region_at(&tree->region, handle);
}

static struct dir_table *
table_at(const struct tree *tree, uint32_t handle)
{
	return region_at(&tree->region, handle);
}

static uint32_t
dir_of(const struct znode *node)
{
	return atomic_load_explicit(&node->dir, memory_order_relaxed);
}

static void
dir_publish(struct znode *node, uint32_t handle)
{
	/* Pairs with the acquire in tree_child_next(). */
	atomic_store_explicit(&node->dir, handle, memory_order_release);
}

static uint32_t
slot_load(const struct dir_flat *flat, uint32_t slot)
{
	return atomic_load_explicit(&flat->slot[slot], memory_order_relaxed);
}

static uint32_t
used_of(const struct dir_flat *flat)
{
	return atomic_load_explicit(&flat->used, memory_order_relaxed);
}

static uint32_t
chunk_of(const struct dir_table *table, uint32_t chunk)
{
	return atomic_load_explicit(&table->chunk[chunk], memory_order_relaxed);
}

static uint32_t
older_none(const struct tree *tree)
{
	return (uint32_t)tree->garbage_popped;
}

/* Hands a generation (or a chunk of one) over; returns the mark for `older`. */
static uint32_t
dir_retire(struct tree *tree, enum garbage_kind kind, uint32_t handle)
{
	garbage_put(tree, kind, handle, tree->published + 1);
	return (uint32_t)tree->garbage_pushed;
}

static bool
is_pending(const struct tree *tree, uint32_t older)
{
	return (int32_t)(older - (uint32_t)tree->garbage_popped) > 0;
}

bool
children_have_older(const struct tree *tree, const struct znode *dir)
{
	const uint32_t handle = dir_of(dir);

	if (handle == 0)
		return false;
	const struct dir_flat *flat = flat_at(tree, handle);

	if (flat->kind == DIR_FLAT)
		return is_pending(tree, flat->older);
	return is_pending(tree, table_at(tree, handle)->older);
}

bool
children_are_linked(const struct tree *tree, const struct znode *dir)
{
	const uint32_t handle = dir_of(dir);

	if (handle == 0)
		return false;
	const struct dir_flat *flat = flat_at(tree, handle);

	if (flat->kind == DIR_FLAT)
		return flat->live > 0;
	const struct dir_table *table = table_at(tree, handle);
	const uint32_t used =
		atomic_load_explicit(&table->used, memory_order_relaxed);

	/* Rarely more than none: the last chunk takes the table along. */
	for (uint32_t i = 0; i < used; i++)
		if (chunk_of(table, i) != 0 &&
		    flat_at(tree, chunk_of(table, i))->live > 0)
			return true;
	return false;
}

/* ---- flat blocks --------------------------------------------------------- */

static uint32_t
flat_make(struct tree *tree, uint32_t cap)
{
	const uint32_t handle = region_alloc(&tree->region, flat_bytes(cap));

	if (handle == 0)
		return 0;
	struct dir_flat *flat = flat_at(tree, handle);

	memset(flat, 0, flat_bytes(cap));
	flat->kind = DIR_FLAT;
	flat->cap = (uint16_t)cap;
	flat->older = older_none(tree);
	return handle;
}

static bool
flat_is_full(const struct dir_flat *flat)
{
	return flat->hole == 0 && used_of(flat) == flat->cap;
}

/* Takes a place in a block that is not full. */
static uint32_t
flat_put(struct dir_flat *flat, uint32_t handle)
{
	const uint32_t used = used_of(flat);
	uint32_t slot = used;

	FAL_ASSERT(!flat_is_full(flat));
	if (flat->hole != 0) {
		slot = flat->hole - 1u;
		flat->hole = (uint16_t)slot_load(flat, slot);
	}
	/* Pairs with the acquire in slot_next(). */
	atomic_store_explicit(&flat->slot[slot], handle, memory_order_release);
	if (slot == used)
		/* Pairs with the acquire in slot_next(). */
		atomic_store_explicit(&flat->used, used + 1,
				      memory_order_release);
	flat->live++;
	return slot;
}

static void
flat_punch(const struct tree *tree, struct dir_flat *flat, uint32_t slot,
	   const struct znode *child)
{
	FAL_ASSERT(slot_load(flat, slot) == handle_of(tree, child));
	atomic_store_explicit(&flat->slot[slot], flat->hole,
			      memory_order_relaxed);
	flat->hole = (uint16_t)(slot + 1);
	flat->live--;
}

/* Appends all nodes of `from` to `to`, where they are chunk `chunk`. */
static void
flat_move_nodes(struct tree *tree, const struct dir_flat *from,
		struct dir_flat *to, uint32_t chunk)
{
	const uint32_t used = used_of(from);

	for (uint32_t i = 0; i < used; i++) {
		const uint32_t ahead = i + 8 < used ? slot_load(from, i + 8)
						    : slot_load(from, i);
		const uint32_t handle = slot_load(from, i);

		if (ahead >= REGION_HANDLE_MIN)
			__builtin_prefetch(node_at(tree, ahead), 1);
		if (handle >= REGION_HANDLE_MIN)
			node_at(tree, handle)->slot =
				chunk << DIR_SLOT_LOG2 | flat_put(to, handle);
	}
}

/* Replaces a full flat block by one of twice the size; places stay. */
static int
flat_grow(struct tree *tree, struct znode *dir)
{
	const uint32_t before = dir_of(dir);
	const struct dir_flat *from = flat_at(tree, before);
	const uint32_t handle = flat_make(tree, (from->cap + 4u) * 2 - 4);

	if (handle == 0 || fifo_reserve(&tree->garbage, 1) < 0) {
		if (handle != 0)
			region_free(&tree->region, handle,
				    flat_bytes((from->cap + 4u) * 2 - 4));
		return FAL_ENOMEM;
	}
	struct dir_flat *to = flat_at(tree, handle);
	const uint32_t used = used_of(from);

	for (uint32_t i = 0; i < used; i++)
		atomic_store_explicit(&to->slot[i], slot_load(from, i),
				      memory_order_relaxed);
	to->live = from->live;
	atomic_store_explicit(&to->used, used, memory_order_relaxed);
	to->older = dir_retire(tree, GARBAGE_DIR_FLAT, before);
	dir_publish(dir, handle);
	return 0;
}

/* Publishes a smaller copy. Without memory the large one just stays. */
static void
flat_shrink(struct tree *tree, struct znode *dir)
{
	const uint32_t before = dir_of(dir);
	const struct dir_flat *from = flat_at(tree, before);
	uint32_t cap = CAP_FIRST;
	uint32_t handle = 0;

	while (cap < from->live * 2u)
		cap = (cap + 4) * 2 - 4;
	if (fifo_reserve(&tree->garbage, 1) < 0)
		return;
	if (from->live > 0) {
		handle = flat_make(tree, cap);
		if (handle == 0)
			return;
		flat_move_nodes(tree, from, flat_at(tree, handle), 0);
	}
	const uint32_t older = dir_retire(tree, GARBAGE_DIR_FLAT, before);

	if (handle != 0)
		flat_at(tree, handle)->older = older;
	dir_publish(dir, handle);
}

static void
flat_remove(struct tree *tree, struct znode *dir, const struct znode *child)
{
	struct dir_flat *flat = flat_at(tree, dir_of(dir));

	flat_punch(tree, flat, child->slot, child);
	if (flat->cap >= CAP_SHRINK && flat->live <= flat->cap / 4)
		flat_shrink(tree, dir);
}

/* ---- tables -------------------------------------------------------------- */

static uint32_t
table_make(struct tree *tree, uint32_t cap)
{
	const uint32_t handle = region_alloc(&tree->region, table_bytes(cap));

	if (handle == 0)
		return 0;
	struct dir_table *table = table_at(tree, handle);

	memset(table, 0, table_bytes(cap));
	table->kind = DIR_TABLE;
	table->cap = cap;
	table->older = older_none(tree);
	return handle;
}

static uint32_t
table_used(const struct dir_table *table)
{
	return atomic_load_explicit(&table->used, memory_order_relaxed);
}

static void
table_set(struct dir_table *table, uint32_t chunk, uint32_t handle)
{
	/* Pairs with the acquire in chunk_next(). */
	atomic_store_explicit(&table->chunk[chunk], handle,
			      memory_order_release);
	if (chunk >= table_used(table))
		/* Pairs with the acquire in chunk_next(). */
		atomic_store_explicit(&table->used, chunk + 1,
				      memory_order_release);
}

static uint32_t
table_copy(struct tree *tree, const struct dir_table *from, uint32_t cap)
{
	const uint32_t handle = table_make(tree, cap);

	if (handle == 0)
		return 0;
	struct dir_table *to = table_at(tree, handle);
	const uint32_t used = table_used(from);

	for (uint32_t i = 0; i < used; i++)
		atomic_store_explicit(&to->chunk[i], chunk_of(from, i),
				      memory_order_relaxed);
	to->missing = from->missing;
	to->hint = from->hint;
	to->older = from->older;
	atomic_store_explicit(&to->used, used, memory_order_relaxed);
	return handle;
}

/* A full flat block becomes chunk 0 of a table; readers that walk the block as
 * an array of its own may go on. */
static int
table_open(struct tree *tree, struct znode *dir)
{
	const uint32_t handle = table_make(tree, TABLE_CAP);

	if (handle == 0)
		return FAL_ENOMEM;
	struct dir_table *table = table_at(tree, handle);

	table->older = flat_at(tree, dir_of(dir))->older;
	table_set(table, 0, dir_of(dir));
	dir_publish(dir, handle);
	return 0;
}

/* Room for one more chunk: its index. UINT32_MAX: no memory. */
static uint32_t
table_room(struct tree *tree, struct znode *dir)
{
	const uint32_t before = dir_of(dir);
	struct dir_table *table = table_at(tree, before);
	const uint32_t used = table_used(table);

	for (uint32_t i = 0; table->missing > 0 && i < used; i++) {
		if (chunk_of(table, i) == 0) {
			table->missing--;
			return i;
		}
	}
	if (used < table->cap)
		return used;
	if (fifo_reserve(&tree->garbage, 1) < 0)
		return UINT32_MAX;
	const uint32_t handle = table_copy(tree, table, table->cap * 2);

	if (handle == 0)
		return UINT32_MAX;
	table_at(tree, handle)->older =
		dir_retire(tree, GARBAGE_DIR_TABLE, before);
	dir_publish(dir, handle);
	return used;
}

/* A chunk with room: the hint, those behind it, the last one. UINT32_MAX: none
 * of them has any. */
static uint32_t
table_find_room(const struct tree *tree, struct dir_table *table)
{
	const uint32_t used = table_used(table);

	for (uint32_t i = 0; i <= HINT_TRIES; i++) {
		const uint32_t chunk =
			i < HINT_TRIES ? (table->hint + i) % used : used - 1;
		const uint32_t handle = chunk_of(table, chunk);

		if (handle != 0 && !flat_is_full(flat_at(tree, handle))) {
			table->hint = chunk;
			return chunk;
		}
	}
	return UINT32_MAX;
}

static int
table_add(struct tree *tree, struct znode *dir, struct znode *child)
{
	struct dir_table *table = table_at(tree, dir_of(dir));
	uint32_t chunk = table_find_room(tree, table);

	if (chunk == UINT32_MAX) {
		const uint32_t handle = flat_make(tree, DIR_CHUNK_SLOTS);

		if (handle == 0)
			return FAL_ENOMEM;
		chunk = table_room(tree, dir);
		if (chunk == UINT32_MAX) {
			region_free(&tree->region, handle,
				    flat_bytes(DIR_CHUNK_SLOTS));
			return FAL_ENOMEM;
		}
		table = table_at(tree, dir_of(dir));
		table->hint = chunk;
		table_set(table, chunk, handle);
	}
	struct dir_flat *flat = flat_at(tree, chunk_of(table, chunk));

	child->slot =
		chunk << DIR_SLOT_LOG2 | flat_put(flat, handle_of(tree, child));
	return 0;
}

static void
table_drop_chunk(struct tree *tree, struct znode *dir, uint32_t chunk)
{
	const uint32_t before = dir_of(dir);
	struct dir_table *table = table_at(tree, before);
	const uint32_t handle = chunk_of(table, chunk);

	/* Without room for the note the empty chunk stays. */
	if (fifo_reserve(&tree->garbage, 2) < 0)
		return;
	table_set(table, chunk, 0);
	table->missing++;
	(void)dir_retire(tree, GARBAGE_DIR_FLAT, handle);
	if (table->missing < table_used(table))
		return;
	dir_publish(dir, 0);
	(void)dir_retire(tree, GARBAGE_DIR_TABLE, before);
}

/* Publishes a copy where `one` holds the nodes of both and `other` is gone. */
static void
table_merge(struct tree *tree, struct znode *dir, uint32_t one, uint32_t other)
{
	const uint32_t before = dir_of(dir);
	const struct dir_table *from = table_at(tree, before);
	const uint32_t first = chunk_of(from, one);
	const uint32_t second = chunk_of(from, other);

	if (fifo_reserve(&tree->garbage, 3) < 0)
		return;
	const uint32_t merged = flat_make(tree, DIR_CHUNK_SLOTS);
	const uint32_t copy =
		merged == 0 ? 0 : table_copy(tree, from, from->cap);

	if (copy == 0) {
		if (merged != 0)
			region_free(&tree->region, merged,
				    flat_bytes(DIR_CHUNK_SLOTS));
		return;
	}
	struct dir_table *to = table_at(tree, copy);

	flat_move_nodes(tree, flat_at(tree, first), flat_at(tree, merged), one);
	flat_move_nodes(tree, flat_at(tree, second), flat_at(tree, merged),
			one);
	table_set(to, one, merged);
	table_set(to, other, 0);
	to->missing++;
	to->hint = one;
	(void)dir_retire(tree, GARBAGE_DIR_FLAT, first);
	(void)dir_retire(tree, GARBAGE_DIR_FLAT, second);
	to->older = dir_retire(tree, GARBAGE_DIR_TABLE, before);
	dir_publish(dir, copy);
}

static bool
can_merge(const struct tree *tree, const struct dir_table *table, uint32_t live,
	  uint32_t other)
{
	if (other >= table_used(table) || chunk_of(table, other) == 0)
		return false;
	return live + flat_at(tree, chunk_of(table, other))->live <=
	       DIR_CHUNK_SLOTS / 2;
}

static void
table_remove(struct tree *tree, struct znode *dir, const struct znode *child)
{
	struct dir_table *table = table_at(tree, dir_of(dir));
	const uint32_t chunk = child->slot >> DIR_SLOT_LOG2;
	struct dir_flat *flat = flat_at(tree, chunk_of(table, chunk));

	flat_punch(tree, flat, child->slot & ((1u << DIR_SLOT_LOG2) - 1),
		   child);
	table->hint = chunk;
	if (flat->live == 0)
		table_drop_chunk(tree, dir, chunk);
	else if (can_merge(tree, table, flat->live, chunk + 1))
		table_merge(tree, dir, chunk, chunk + 1);
	else if (chunk > 0 && can_merge(tree, table, flat->live, chunk - 1))
		table_merge(tree, dir, chunk - 1, chunk);
}

/* ---- both ---------------------------------------------------------------- */

int
children_add(struct tree *tree, struct znode *dir, struct znode *child)
{
	uint32_t handle = dir_of(dir);

	if (handle == 0) {
		handle = flat_make(tree, CAP_FIRST);
		if (handle == 0)
			return FAL_ENOMEM;
		dir_publish(dir, handle);
	}
	struct dir_flat *flat = flat_at(tree, handle);

	if (flat->kind == DIR_TABLE)
		return table_add(tree, dir, child);
	if (flat_is_full(flat)) {
		if (flat->cap == DIR_CHUNK_SLOTS)
			return table_open(tree, dir) < 0
				       ? FAL_ENOMEM
				       : table_add(tree, dir, child);
		if (flat_grow(tree, dir) < 0)
			return FAL_ENOMEM;
		flat = flat_at(tree, dir_of(dir));
	}
	child->slot = flat_put(flat, handle_of(tree, child));
	return 0;
}

void
children_remove(struct tree *tree, struct znode *dir, struct znode *child)
{
	const struct dir_flat *flat = flat_at(tree, dir_of(dir));

	FAL_ASSERT(dir_of(dir) != 0);
	if (flat->kind == DIR_FLAT)
		flat_remove(tree, dir, child);
	else
		table_remove(tree, dir, child);
}

void
children_free(struct tree *tree, struct znode *dir)
{
	const uint32_t handle = dir_of(dir);

	if (handle == 0)
		return;
	const struct dir_flat *flat = flat_at(tree, handle);

	if (flat->kind == DIR_FLAT) {
		region_free(&tree->region, handle, flat_bytes(flat->cap));
		return;
	}
	const struct dir_table *table = table_at(tree, handle);
	const uint32_t used = table_used(table);

	for (uint32_t i = 0; i < used; i++)
		if (chunk_of(table, i) != 0)
			region_free(&tree->region, chunk_of(table, i),
				    flat_bytes(DIR_CHUNK_SLOTS));
	region_free(&tree->region, handle, table_bytes(table->cap));
}

/* ---- the writer's view --------------------------------------------------- */

struct znode *
tree_spec_child(struct tree *tree, const struct znode *dir, uint64_t *cursor)
{
	const uint32_t handle = dir_of(dir);

	if (handle == 0)
		return NULL;
	const struct dir_flat *flat = flat_at(tree, handle);
	const struct dir_table *table =
		flat->kind == DIR_TABLE ? table_at(tree, handle) : NULL;
	const uint32_t chunk_count = table == NULL ? 1 : table_used(table);
	uint32_t chunk = (uint32_t)(*cursor >> DIR_SLOT_LOG2);
	uint32_t slot = *cursor & ((1u << DIR_SLOT_LOG2) - 1);

	for (; chunk < chunk_count; chunk++, slot = 0) {
		if (table != NULL) {
			if (chunk_of(table, chunk) == 0)
				continue;
			flat = flat_at(tree, chunk_of(table, chunk));
		}
		const uint32_t used = used_of(flat);

		while (slot < used) {
			const uint32_t at = slot_load(flat, slot++);

			if (at < REGION_HANDLE_MIN)
				continue;
			struct znode *node = node_at(tree, at);

			if (spec_of(tree, node)->is_deleted)
				continue;
			*cursor = (uint64_t)chunk << DIR_SLOT_LOG2 | slot;
			return node;
		}
	}
	return NULL;
}
