/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_write - the primitives of a transaction.
 *
 * Every change goes to a version stamped with the open zxid. The first change
 * of a node in a transaction copies its newest version, links it before that
 * one and appends an undo entry; later changes of the same transaction work in
 * place, since no reader can reach a stamp above P. Undoing is therefore
 * always of a whole transaction.
 *
 * Digests of versions are computed once per transaction, at its end: a parent
 * changes twice in every create.
 */
#include "znode/tree_impl.h"

#include <string.h>

#include "znode/digest.h"

/* ---- versions ------------------------------------------------------------ */

static uint64_t
version_bytes(const struct version *version)
{
	return (uint64_t)version->granules * REGION_GRANULE_BYTES;
}

static uint32_t
inline_bytes_for(int32_t data_bytes)
{
	if (data_bytes < 0 || data_bytes > (int32_t)VERSION_INLINE_BYTES_MAX)
		return 0;
	return (uint32_t)data_bytes;
}

static inline __attribute__((always_inline)) struct version *
version_make(struct tree *tree, uint32_t inline_bytes)
{
	const uint64_t bytes =
		region_class_bytes(sizeof(struct version) + inline_bytes);
	const uint32_t handle = region_alloc(&tree->region, bytes);

	if (handle == 0)
		return NULL;
	struct version *version = version_of(tree, handle);

	memset(version, 0, sizeof(*version));
	version->granules = (bytes / REGION_GRANULE_BYTES) & 63u;
	version->data_bytes = -1;
	count_up(&tree->counters.versions, 1);
	return version;
}

static void
data_block_unref(struct tree *tree, uint32_t handle)
{
	struct data_block *block = region_at(&tree->region, handle);

	FAL_ASSERT(block->refs > 0);
	if (--block->refs == 0)
		region_free(&tree->region, handle,
			    sizeof(*block) + block->bytes);
}

void
version_free(struct tree *tree, uint32_t handle)
{
	const struct version *version = version_of(tree, handle);

	if (version->data_block != 0)
		data_block_unref(tree, version->data_block);
	if (version->acl != 0 && version->acl != ACL_ID_OPEN)
		acl_table_unref(tree->acls, version->acl);
	region_free(&tree->region, handle, version_bytes(version));
	count_down(&tree->counters.versions, 1);
}

static uint32_t
data_block_make(struct tree *tree, struct jute_slice data)
{
	const uint32_t bytes = (uint32_t)data.bytes;
	const uint32_t handle =
		region_alloc(&tree->region, sizeof(struct data_block) + bytes);

	if (handle == 0)
		return 0;
	struct data_block *block = region_at(&tree->region, handle);

	block->refs = 1;
	block->bytes = bytes;
	memcpy(block->data, data.data, bytes);
	return handle;
}

int
version_put_data(struct tree *tree, struct version *version,
		 struct jute_slice data)
{
	const uint64_t room = version_bytes(version) - sizeof(*version);
	const uint32_t before = version->data_block;
	uint32_t block = 0;

	/* Data that outgrew the room of a version changed in place goes to a
	 * block however short it is: the version must not move. */
	if (data.bytes > 0 && (uint64_t)data.bytes > room) {
		block = data_block_make(tree, data);
		if (block == 0)
			return FAL_ENOMEM;
	} else if (data.bytes > 0) {
		memmove(version->data, data.data, (size_t)data.bytes);
	}
	version->data_block = block;
	version->data_bytes = data.bytes < 0 ? -1 : data.bytes;
	if (before != 0)
		data_block_unref(tree, before);
	return 0;
}

void
version_digest(const struct tree *tree, const struct znode *node,
	       struct version *version)
{
	struct tree_stat stat;

	version->crc = 0;
	if (version->is_deleted || !tree->options.is_digest_on ||
	    (atomic_load_explicit(&node->flags, memory_order_relaxed) &
	     ZNODE_UNCOUNTED) != 0)
		return;
	version_stat(node, version, &stat);
	version->crc = digest_node(version->crc_pd, &stat);
}

/* Puts a version in front and notes it for publishing and undoing; the undo
 * list has room. */
static inline void
version_push(struct tree *tree, struct znode *node, struct version *version,
	     uint32_t before)
{
	struct fifo_record *entry = fifo_push(&tree->undo);

	FAL_ASSERT(entry != NULL);
	version->stamp = tree->open_zxid;
	version->prev = before;
	entry->zxid = tree->open_zxid;
	entry->handle = handle_of(tree, node);
	entry->before = before;
	entry->after = handle_of(tree, version);
	node->spec = entry->after;
	tree->open_entries++;
}

/* A copy of all but the data. */
static inline struct version *
version_copy_stat(struct tree *tree, const struct version *from,
		  uint32_t inline_bytes)
{
	struct version *version = version_make(tree, inline_bytes);

	if (version == NULL)
		return NULL;
	version->mzxid = from->mzxid;
	version->pzxid = from->pzxid;
	version->mtime = from->mtime;
	version->version = from->version;
	version->cversion = from->cversion;
	version->aversion = from->aversion;
	version->num_children = from->num_children;
	version->crc_pd = from->crc_pd;
	version->acl = from->acl;
	/* That of nearly all nodes stays for ever. */
	if (FAL_UNLIKELY(from->acl != ACL_ID_OPEN))
		acl_table_ref(tree->acls, from->acl);
	return version;
}

/* The node's version of the open transaction, made if need be. */
static struct version *
version_own(struct tree *tree, struct znode *node)
{
	struct version *now = spec_of(tree, node);

	FAL_ASSERT(tree->is_open && !now->is_deleted);
	if (now->stamp == tree->open_zxid)
		return now;
	if (fifo_reserve(&tree->undo, 1) < 0)
		return NULL;

	const bool is_inline = now->data_block == 0;
	const uint32_t bytes = is_inline && now->data_bytes > 0
				       ? (uint32_t)now->data_bytes
				       : 0;
	struct version *version = version_copy_stat(tree, now, bytes);

	if (version == NULL)
		return NULL;
	memcpy(version->data, now->data, bytes);
	version->data_bytes = now->data_bytes;
	version->data_block = now->data_block;
	if (!is_inline)
		((struct data_block *)region_at(&tree->region, now->data_block))
			->refs++;
	version_push(tree, node, version, node->spec);
	return version;
}

/* ---- nodes --------------------------------------------------------------- */

static uint32_t
flags_below(const struct tree *tree, const struct znode *parent)
{
	static const char name[] = "zookeeper";
	const uint32_t flags =
		atomic_load_explicit(&parent->flags, memory_order_relaxed);

	if (parent->parent == tree->root && parent->parent != 0 &&
	    parent->name_bytes == sizeof(name) - 1 &&
	    memcmp(parent->name, name, sizeof(name) - 1) == 0)
		return ZNODE_UNCOUNTED;
	return flags & ZNODE_UNCOUNTED;
}

static struct znode *
node_alloc(struct tree *tree, const struct znode *parent,
	   const struct tree_new *new)
{
	const uint8_t *text = new->path.text;
	uint32_t name_bytes = 0;

	while (name_bytes < new->path.bytes &&
	       text[new->path.bytes - name_bytes - 1] != '/')
		name_bytes++;

	const uint32_t handle =
		region_alloc(&tree->region, sizeof(struct znode) + name_bytes);

	if (handle == 0)
		return NULL;
	struct znode *node = node_at(tree, handle);

	memset(node, 0, sizeof(*node));
	node->hash = new->path.hash;
	node->czxid = new->stat.czxid;
	node->ctime = new->stat.ctime;
	node->owner = new->stat.owner;
	node->name_bytes = name_bytes;
	if (name_bytes > 0)
		memcpy(node->name, text + new->path.bytes - name_bytes,
		       name_bytes);

	uint32_t flags = new->flags;

	if (parent != NULL) {
		node->parent = handle_of(tree, parent);
		flags |= flags_below(tree, parent);
	}
	atomic_store_explicit(&node->flags, flags, memory_order_relaxed);
	return node;
}

static struct version *
first_version(struct tree *tree, const struct znode *node,
	      const struct tree_new *new)
{
	const struct tree_stat *stat = &new->stat;
	struct version *version =
		version_make(tree, inline_bytes_for(new->data.bytes));

	if (version == NULL)
		return NULL;
	version->stamp = new->stamp;
	version->mzxid = stat->mzxid;
	version->pzxid = stat->pzxid;
	version->mtime = stat->mtime;
	version->version = stat->version;
	version->cversion = stat->cversion;
	version->aversion = stat->aversion;
	if (version_put_data(tree, version, new->data) < 0) {
		version_free(tree, handle_of(tree, version));
		return NULL;
	}
	if (tree->options.is_digest_on &&
	    (atomic_load_explicit(&node->flags, memory_order_relaxed) &
	     ZNODE_UNCOUNTED) == 0)
		version->crc_pd = digest_path_data(new->path.text,
						   new->path.bytes, new->data);
	return version;
}

int
node_make(struct tree *tree, struct znode *parent, const struct tree_new *new,
	  struct znode **out)
{
	struct znode *node = node_alloc(tree, parent, new);

	if (node == NULL)
		return FAL_ENOMEM;
	const uint32_t handle = handle_of(tree, node);
	struct version *version = first_version(tree, node, new);

	if (version == NULL)
		goto free_node;
	node->spec = handle_of(tree, version);
	if (parent != NULL) {
		if (!new->is_indexed_later &&
		    index_insert(&tree->index, node->hash, handle) < 0)
			goto free_version;
		if (children_add(tree, parent, node) < 0) {
			if (new->is_indexed_later)
				goto free_version;
			/* A reader may have met it in the index. */
			index_remove(&tree->index, node->hash, handle);
			limbo_put(tree, GARBAGE_NODE_MEMORY, handle);
			return FAL_ENOMEM;
		}
	}
	/* From here on the reference is the node's. */
	version->acl = new->stat.acl & 0xffffffu;
	*out = node;
	return 0;

free_version:
	version_free(tree, handle_of(tree, version));
free_node:
	region_free(&tree->region, handle, node_bytes(node));
	return FAL_ENOMEM;
}

int
tree_insert(struct tree *tree, struct znode *parent, struct tree_path path,
	    struct jute_slice data, uint32_t acl, int64_t owner,
	    struct znode **out)
{
	const struct tree_new new = {
		.path = path,
		.data = data,
		.stamp = tree->open_zxid,
		.stat =
			{
				.czxid = (int64_t)tree->open_zxid,
				.mzxid = (int64_t)tree->open_zxid,
				.pzxid = (int64_t)tree->open_zxid,
				.ctime = tree->open_time,
				.mtime = tree->open_time,
				.owner = owner,
				.acl = acl,
			},
	};
	struct version *parent_version = version_own(tree, parent);
	struct znode *node;

	if (parent_version == NULL || fifo_reserve(&tree->undo, 1) < 0 ||
	    node_make(tree, parent, &new, &node) < 0)
		return FAL_ENOMEM;
	if (member_add(tree, node) < 0) {
		spec_of(tree, node)->acl = 0; /* stays with the caller */
		node_unlink(tree, node);
		return FAL_ENOMEM;
	}
	version_push(tree, node, spec_of(tree, node), 0);
	member_pend(tree, node);
	node_count(tree, node,
		   (int64_t)path.bytes + (data.bytes > 0 ? data.bytes : 0));
	parent_version->num_children++;
	*out = node;
	return 0;
}

static int64_t
version_data_bytes(const struct version *version)
{
	return version->data_bytes > 0 ? version->data_bytes : 0;
}

int
tree_remove(struct tree *tree, struct znode *node)
{
	struct version *now = spec_of(tree, node);
	struct znode *parent = tree_parent(tree, node);

	FAL_ASSERT(parent != NULL && !now->is_deleted);
	FAL_ASSERT(now->num_children == 0);

	const int64_t bytes =
		(int64_t)tree_path_bytes(tree, node) + version_data_bytes(now);
	struct version *parent_version = version_own(tree, parent);

	if (parent_version == NULL)
		return FAL_ENOMEM;
	if (now->stamp == tree->open_zxid) {
		if (now->prev != 0)
			member_pend(tree, node);
	} else {
		const uint32_t before = node->spec;

		if (fifo_reserve(&tree->undo, 1) < 0)
			return FAL_ENOMEM;
		now = version_make(tree, 0);
		if (now == NULL)
			return FAL_ENOMEM;
		version_push(tree, node, now, before);
		member_pend(tree, node);
	}
	now->is_deleted = 1;
	parent_version->num_children--;
	member_remove(tree, node);
	node_discount(tree, node, bytes);
	return 0;
}

/* A version of the open transaction that holds `data`. */
static struct version *
version_own_data(struct tree *tree, struct znode *node, struct jute_slice data)
{
	struct version *now = spec_of(tree, node);

	FAL_ASSERT(tree->is_open && !now->is_deleted);
	if (now->stamp == tree->open_zxid)
		return version_put_data(tree, now, data) < 0 ? NULL : now;
	if (fifo_reserve(&tree->undo, 1) < 0)
		return NULL;

	struct version *version =
		version_copy_stat(tree, now, inline_bytes_for(data.bytes));

	if (version == NULL)
		return NULL;
	if (version_put_data(tree, version, data) < 0) {
		version_free(tree, handle_of(tree, version));
		return NULL;
	}
	version_push(tree, node, version, node->spec);
	return version;
}

/* Its path is given, or put together. */
static int
node_path(struct tree *tree, const struct znode *node,
	  const struct tree_path *given, struct jute_slice *out)
{
	if (given != NULL) {
		*out = jute_slice_of(given->text, given->bytes);
		return 0;
	}
	const uint32_t bytes = tree_path_bytes(tree, node);

	if (tree_scratch(tree, bytes) < 0)
		return FAL_ENOMEM;
	(void)tree_path_text(tree, node, tree->scratch, bytes);
	*out = jute_slice_of(tree->scratch, bytes);
	return 0;
}

static int
set_data(struct tree *tree, struct znode *node, const struct tree_path *path,
	 struct jute_slice data, struct version **out)
{
	const bool is_counted =
		tree->options.is_digest_on &&
		(atomic_load_explicit(&node->flags, memory_order_relaxed) &
		 ZNODE_UNCOUNTED) == 0;
	struct jute_slice text;

	if (is_counted && node_path(tree, node, path, &text) < 0)
		return FAL_ENOMEM;

	const int64_t before = version_data_bytes(spec_of(tree, node));
	struct version *version = version_own_data(tree, node, data);

	if (version == NULL)
		return FAL_ENOMEM;
	count_up(&tree->counters.data_bytes,
		 (uint64_t)(version_data_bytes(version) - before));
	if (is_counted)
		/* From the version's copy: `data` may have been its old one. */
		version->crc_pd =
			digest_path_data(text.data, (uint32_t)text.bytes,
					 version_data(&tree->region, version));
	*out = version;
	return 0;
}

static int
set_data_and_times(struct tree *tree, struct znode *node,
		   const struct tree_path *path, struct jute_slice data,
		   int32_t version)
{
	struct version *own;

	if (set_data(tree, node, path, data, &own) < 0)
		return FAL_ENOMEM;
	own->version = version;
	own->mzxid = (int64_t)tree->open_zxid;
	own->mtime = tree->open_time;
	return 0;
}

int
tree_set_data(struct tree *tree, struct znode *node, struct jute_slice data,
	      int32_t version)
{
	return set_data_and_times(tree, node, NULL, data, version);
}

int
tree_set_data_at(struct tree *tree, struct znode *node, struct tree_path path,
		 struct jute_slice data, int32_t version)
{
	FAL_ASSERT(path.bytes == 0 || path.hash == node->hash);
	return set_data_and_times(tree, node, &path, data, version);
}

int
tree_set_data_quietly(struct tree *tree, struct znode *node,
		      struct jute_slice data)
{
	struct version *own;

	return set_data(tree, node, NULL, data, &own);
}

int
tree_set_acl(struct tree *tree, struct znode *node, uint32_t acl,
	     int32_t aversion)
{
	struct version *own = version_own(tree, node);

	if (own == NULL)
		return FAL_ENOMEM;
	acl_table_unref(tree->acls, own->acl);
	own->acl = acl & 0xffffffu;
	own->aversion = aversion;
	return 0;
}

int
tree_set_parent(struct tree *tree, struct znode *node, int32_t cversion,
		int64_t pzxid)
{
	struct version *own = version_own(tree, node);

	if (own == NULL)
		return FAL_ENOMEM;
	own->cversion = cversion;
	own->pzxid = pzxid;
	return 0;
}

/* ---- the transaction ----------------------------------------------------- */

void
tree_txn_begin(struct tree *tree, int64_t zxid, int64_t time_ms)
{
	FAL_ASSERT(!tree->is_open);
	FAL_ASSERT((uint64_t)zxid > tree->applied);
	tree->is_open = true;
	tree->open_zxid = (uint64_t)zxid;
	tree->open_time = time_ms;
	tree->open_entries = 0;
}

uint64_t
tree_txn_end(struct tree *tree)
{
	struct fifo_segment *segment = tree->undo.tail;
	struct fifo_record *entry = fifo_back(&tree->undo);

	FAL_ASSERT(tree->is_open);
	for (uint64_t i = 0; i < tree->open_entries; i++) {
		struct version *version = version_of(tree, entry->after);

		FAL_ASSERT(entry->zxid == tree->open_zxid);
		version_digest(tree, node_at(tree, entry->handle), version);
		tree->digest += version->crc;
		if (entry->before != 0)
			tree->digest -= version_of(tree, entry->before)->crc;
		entry = fifo_before(&segment, entry);
	}
	tree->applied = tree->open_zxid;
	tree->is_open = false;
	return tree->digest;
}
