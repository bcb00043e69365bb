/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - making and unmaking, counters, names and the writer's view.
 *
 * The root is not in the index: both of its names ("" and "/") are caught
 * before hashing.
 */
#include "znode/tree_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

/* ---- life ---------------------------------------------------------------- */

static void
retire_acl(void *arg, uint32_t id)
{
	limbo_put(arg, GARBAGE_ACL, id);
}

/* 64 GiB cost nothing as long as they are only reserved. Where the system
 * counts that (ulimit -v, vm.overcommit_memory=2) half as much will do, and so
 * on, down to what the tree may hold. */
static int
region_reserve(struct tree *tree, const struct tree_options *options)
{
	uint64_t bytes = options->region_bytes != 0 ? options->region_bytes
						    : REGION_BYTES_DEFAULT;
	const uint64_t least =
		options->bytes_max != 0 && options->region_bytes == 0
			? options->bytes_max
			: bytes;
	int err;

	do {
		err = region_init(&tree->region, bytes);
		bytes /= 2;
	} while (err == FAL_ENOMEM && bytes >= least);
	return err;
}

static int
tree_init(struct tree *tree, const struct tree_options *options)
{
	struct index_retire retire;

	tree->options = *options;
	hash_key_random(&tree->head.key);
	reclaim_init(tree);

	int err = region_reserve(tree, options);

	if (err < 0)
		return err;
	tree->region.poisons = options->poisons_freed;
	index_callbacks(tree, &retire);
	err = acl_table_create(retire_acl, tree, &tree->acls);
	if (err == 0)
		err = index_init(&tree->index, &tree->region, &retire);
	if (err == 0)
		err = owners_init(tree);
	return err;
}

int
tree_create(const struct tree_options *options, struct tree **out)
{
	struct tree *tree =
		aligned_alloc(alignof(struct tree), sizeof(struct tree));

	if (tree == NULL)
		return FAL_ENOMEM;
	memset(tree, 0, sizeof(*tree));

	static const struct tree_stat root = {.acl = ACL_ID_OPEN};
	int err = tree_init(tree, options);

	if (err == 0)
		err = tree_load_node(tree, "", 0, (struct jute_slice){0},
				     &root);
	if (err == 0)
		err = tree_load_end(tree, 0);
	if (err < 0) {
		tree_destroy(tree);
		return err;
	}
	*out = tree;
	return 0;
}

void
tree_destroy(struct tree *tree)
{
	garbage_drop(tree);
	fifo_free(&tree->garbage);
	fifo_free(&tree->limbo);
	fifo_free(&tree->batch.items);
	fifo_free(&tree->undo);
	index_free(&tree->index);
	owners_free(tree);
	if (tree->acls != NULL)
		acl_table_destroy(tree->acls);
	region_free_all(&tree->region);
	free(tree->load.step);
	free(tree->load.path);
	free(tree->scratch);
	free(tree);
}

struct acl_table *
tree_acls(struct tree *tree)
{
	return tree->acls;
}

/* ---- counting ------------------------------------------------------------ */

static uint64_t
bytes_used(const struct tree *tree)
{
	return atomic_load_explicit(&tree->region.used_bytes,
				    memory_order_relaxed) +
	       atomic_load_explicit(&tree->index.table_bytes,
				    memory_order_relaxed) +
	       acl_table_bytes(tree->acls);
}

void
tree_counts(const struct tree *tree, struct tree_counts *out)
{
	const struct tree_counters *from = &tree->counters;
	const struct {
		const _Atomic uint64_t *from;
		uint64_t *to;
	} pairs[] = {
		{&from->nodes, &out->nodes},
		{&from->data_bytes, &out->data_bytes},
		{&from->ephemerals, &out->ephemerals},
		{&from->containers, &out->containers},
		{&from->ttls, &out->ttls},
		{&from->ttls_created, &out->ttls_created},
		{&from->ttls_deleted, &out->ttls_deleted},
		{&tree->region.touched_bytes, &out->region_bytes},
		{&from->garbage_bytes, &out->garbage_bytes},
		{&from->versions, &out->versions},
		{&tree->index.table_bytes, &out->index_bytes},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		*pairs[i].to = atomic_load_explicit(pairs[i].from,
						    memory_order_relaxed);
	out->acl_bytes = acl_table_bytes(tree->acls);
	out->used_bytes = bytes_used(tree);
}

uint64_t
tree_bytes_left(const struct tree *tree)
{
	const uint64_t used = bytes_used(tree);
	const uint64_t max = tree->options.bytes_max != 0
				     ? tree->options.bytes_max
				     : tree->region.reserved_bytes;

	return used < max ? max - used : 0;
}

enum tree_kind
tree_kind_of(const struct tree *tree, int64_t owner)
{
	return kind_of(tree, owner);
}

/* ---- names --------------------------------------------------------------- */

int
tree_scratch(struct tree *tree, uint32_t bytes)
{
	if (bytes <= tree->scratch_cap)
		return 0;
	const uint32_t cap = (uint32_t)bits_pow2_at_least(bytes + 256u);
	uint8_t *scratch = realloc(tree->scratch, cap);

	if (scratch == NULL)
		return FAL_ENOMEM;
	tree->scratch = scratch;
	tree->scratch_cap = cap;
	return 0;
}

struct tree_path
tree_root_path(const struct tree *tree)
{
	static const uint8_t root[1];

	return (struct tree_path){.text = root,
				  .hash = hash_bytes(&tree->head.key, root, 0)};
}

uint32_t
tree_path_bytes(const struct tree *tree, const struct znode *node)
{
	uint32_t bytes = 0;

	for (; node->parent != 0; node = node_at(tree, node->parent))
		bytes += node->name_bytes + 1;
	return bytes;
}

uint32_t
tree_path_text(const struct tree *tree, const struct znode *node, uint8_t *text,
	       uint32_t cap)
{
	const uint32_t bytes = tree_path_bytes(tree, node);
	uint32_t end = bytes;

	if (bytes > cap)
		return bytes;
	for (; node->parent != 0; node = node_at(tree, node->parent)) {
		end -= node->name_bytes;
		memcpy(text + end, node->name, node->name_bytes);
		text[--end] = '/';
	}
	return bytes;
}

uint32_t
tree_node_text(const struct tree *tree, uint32_t handle, uint8_t *text,
	       uint32_t cap)
{
	return tree_path_text(tree, node_at(tree, handle), text, cap);
}

/* ---- the writer's view --------------------------------------------------- */

struct znode *
tree_root(struct tree *tree)
{
	return tree->root == 0 ? NULL : node_at(tree, tree->root);
}

struct znode *
tree_parent(struct tree *tree, const struct znode *node)
{
	return node->parent == 0 ? NULL : node_at(tree, node->parent);
}

struct znode *
tree_find(struct tree *tree, struct tree_path path)
{
	struct index_probe probe;

	if (path.bytes == 0)
		return tree_root(tree);

	uint32_t handle = index_first(&tree->index, path.hash, &probe);

	for (; handle != 0; handle = index_next(&probe)) {
		struct znode *node = node_at(tree, handle);

		if (!spec_of(tree, node)->is_deleted &&
		    node_has_path(tree, node, path.text, path.bytes))
			return node;
	}
	return NULL;
}

/* The node's newest version that the open transaction did not make; NULL: it
 * made the node. Of a transaction there is one version a node. */
static const struct version *
version_before(const struct tree *tree, const struct znode *node)
{
	const struct version *version = spec_of(tree, node);

	if (!tree->is_open || version->stamp != tree->open_zxid)
		return version;
	return version->prev == 0 ? NULL : version_of(tree, version->prev);
}

struct znode *
tree_find_kept(struct tree *tree, struct tree_path path)
{
	/* There is one node at a path that is not deleted: if the kept one is
	 * not, it is that. node_unlink() forgets it before its memory goes. */
	if (FAL_LIKELY(tree->kept != 0)) {
		struct znode *kept = node_at(tree, tree->kept);

		FAL_ASSERT(kept->hash == path.hash);
		if (FAL_LIKELY(!spec_of(tree, kept)->is_deleted))
			return kept;
	}
	struct znode *node = tree_find(tree, path);

	tree->kept = node == NULL ? 0 : handle_of(tree, node);
	return node;
}

struct znode *
tree_find_before(struct tree *tree, struct tree_path path)
{
	struct index_probe probe;
	uint32_t handle = index_first(&tree->index, path.hash, &probe);

	FAL_ASSERT(path.bytes > 0);
	for (; handle != 0; handle = index_next(&probe)) {
		struct znode *node = node_at(tree, handle);
		const struct version *version = version_before(tree, node);

		if (version != NULL && !version->is_deleted &&
		    node_has_path(tree, node, path.text, path.bytes))
			return node;
	}
	return NULL;
}

static bool
node_is_child(const struct tree *tree, const struct znode *node,
	      const struct znode *parent, struct tree_path path)
{
	const uint32_t bytes = node->name_bytes;

	return node->parent != 0 && node_at(tree, node->parent) == parent &&
	       bytes < path.bytes && path.text[path.bytes - bytes - 1] == '/' &&
	       bytes_equal(path.text + path.bytes - bytes, node->name, bytes);
}

static struct znode *
child_at(struct tree *tree, const struct znode *parent, struct tree_path path,
	 bool is_before)
{
	struct index_probe probe;
	uint32_t handle = index_first(&tree->index, path.hash, &probe);

	for (; handle != 0; handle = index_next(&probe)) {
		struct znode *node = node_at(tree, handle);
		const struct version *version =
			is_before ? version_before(tree, node)
				  : spec_of(tree, node);

		if (version != NULL && !version->is_deleted &&
		    node_is_child(tree, node, parent, path))
			return node;
	}
	return NULL;
}

struct znode *
tree_find_child(struct tree *tree, const struct znode *parent,
		struct tree_path path)
{
	return child_at(tree, parent, path, false);
}

struct znode *
tree_find_child_before(struct tree *tree, const struct znode *parent,
		       struct tree_path path)
{
	return child_at(tree, parent, path, true);
}

struct jute_slice
tree_data_before(const struct tree *tree, const struct znode *node)
{
	return version_data(&tree->region, version_before(tree, node));
}

void
tree_spec_stat(const struct tree *tree, const struct znode *node,
	       struct tree_stat *out)
{
	spec_stat(tree, node, out);
}

void
tree_spec_proto_stat(const struct tree *tree, const struct znode *node,
		     struct proto_stat *out)
{
	struct tree_stat stat;

	tree_spec_stat(tree, node, &stat);
	tree_stat_show(tree, &stat, out);
}

struct jute_slice
tree_spec_data(const struct tree *tree, const struct znode *node)
{
	return version_data(&tree->region, spec_of(tree, node));
}
