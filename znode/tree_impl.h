/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_TREE_IMPL_H
#define FALCONER_ZNODE_TREE_IMPL_H

/*
 * tree_impl - the tree's own state and what its files share.
 *
 *   tree.c           making, counting, names
 *   tree_write.c     primitives of a transaction
 *   tree_publish.c   publishing and undoing
 *   tree_children.c  children arrays
 *   tree_owner.c     ephemeral, container and TTL lists
 *   tree_reclaim.c   garbage, readers
 *   tree_read.c      readers' view
 *   tree_load.c      snapshots
 *
 * Context    Everything is the writer's but what is atomic or constant.
 */

#include <stdalign.h>

#include "base/bytes.h"
#include "znode/fifo.h"
#include "znode/handle_list.h"
#include "znode/index.h"
#include "znode/node.h"
#include "znode/rcu.h"

#define TREE_READERS_MAX 32u
#define TREE_LOAD_LATE   16u        /* loaded nodes that wait for the index */
#define TREE_S_NONE      UINT64_MAX /* watermark of a reader that is offline */

/* What waits for readers. The first group waits for the watermark, the second
 * for a grace period. */
enum garbage_kind {
	GARBAGE_VERSION = 1, /* superseded: freed as soon as S has passed */
	GARBAGE_NODE,        /* deleted: unlinked, then GARBAGE_NODE_MEMORY */
	GARBAGE_NODE_MEMORY, /* an unlinked node with all it holds */
	GARBAGE_DIR_FLAT,    /* a generation of a children array, or a chunk */
	GARBAGE_DIR_TABLE,
	GARBAGE_INDEX_LINE,
	GARBAGE_ACL, /* an id of the ACL table */
};

/* One reader's line: it writes low, the writer reads it. */
struct tree_reader {
	alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t low;
	struct tree *tree;
	_Atomic bool is_registered;
	bool is_online;
	bool is_paused;
};

/* Ephemeral nodes of one session. */
struct tree_owner {
	uint64_t hash; /* first: the index compares it */
	int64_t session_id;
	struct handle_list nodes;
	uint32_t pending; /* undo entries that may put a node back */
};

/* Garbage on its way through one grace period. */
enum batch_state { BATCH_IDLE, BATCH_WAITING, BATCH_BUSY, BATCH_DONE };

struct tree_batch {
	struct fifo items;
	struct index_table *tables;
	/* WAITING: given to BG; DONE: given back. */
	_Atomic uint32_t state;
};

struct tree_counters {
	_Atomic uint64_t nodes, data_bytes, ephemerals, containers, ttls;
	_Atomic uint64_t ttls_created, ttls_deleted;
	_Atomic uint64_t garbage_bytes, versions;
};

struct tree_load_step {
	uint32_t node;
	uint32_t path_bytes;
};

struct tree_load {
	struct tree_load_step *step; /* ancestors of the last path */
	uint32_t step_count, step_cap;
	uint8_t *path;
	uint32_t path_bytes, path_cap;
	uint32_t late[TREE_LOAD_LATE]; /* a ring, oldest at late_first */
	uint32_t late_first, late_count;
	int broken; /* what all calls answer until tree_load_begin(), or 0 */
};

struct tree {
	struct tree_head head; /* first: tree_path_of() */
	struct region region;
	struct index index;
	struct acl_table *acls;
	uint32_t root;
	uint32_t kept; /* tree_find_kept(); 0: not looked for yet, or gone */
	struct tree_options options;

	/* the open transaction */
	bool is_open;
	uint64_t open_zxid;
	int64_t open_time;
	uint64_t open_entries; /* at the back of undo */

	uint64_t applied, published;
	uint64_t digest, published_digest;
	struct fifo undo;

	struct index owners;
	struct handle_list reapable; /* containers and TTL nodes */
	uint64_t *owner_ids;         /* sorted, see tree_owner.c */
	uint64_t owner_id_count;

	struct fifo garbage; /* waits for the watermark */
	uint64_t garbage_pushed, garbage_popped;
	uint64_t garbage_reclaimed; /* garbage_pushed at the last reclaim */
	struct fifo limbo;          /* waits for the next grace period */
	struct index_table *limbo_tables;
	struct tree_batch batch;
	uint64_t hold; /* TREE_S_NONE: none */
	bool keeps_places;

	uint8_t *scratch; /* path text */
	uint32_t scratch_cap;
	struct tree_load load;
	struct tree_counters counters;
	_Atomic uint32_t reader_count;
	struct tree_reader reader[TREE_READERS_MAX];
};

_Static_assert(offsetof(struct tree, head) == 0, "as tree_path_of() has it");

static inline struct znode *
node_at(const struct tree *tree, uint32_t handle)
{
	return region_at(&tree->region, handle);
}

static inline struct version *
version_of(const struct tree *tree, uint32_t handle)
{
	return region_at(&tree->region, handle);
}

static inline struct version *
spec_of(const struct tree *tree, const struct znode *node)
{
	return version_of(tree, node->spec);
}

static inline uint32_t
handle_of(const struct tree *tree, const void *object)
{
	return region_handle_of(&tree->region, object);
}

/* One writer, any reader: no read-modify-write is needed. */
static inline void
count_up(_Atomic uint64_t *counter, uint64_t delta)
{
	const uint64_t now =
		atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + delta, memory_order_relaxed);
}

static inline void
count_down(_Atomic uint64_t *counter, uint64_t delta)
{
	count_up(counter, 0 - delta);
}

static inline uint64_t
node_bytes(const struct znode *node)
{
	return sizeof(*node) + node->name_bytes;
}

/* Is this the node of that path? Names are compared from the last one up, so
 * that no node keeps its path. The root matches the empty path. */
static inline __attribute__((always_inline)) bool
node_has_path(const struct tree *tree, const struct znode *node,
	      const uint8_t *text, uint32_t bytes)
{
	int64_t at = bytes; /* where the name that was compared last begins */

	while (node->parent != 0) {
		const size_t name_bytes = node->name_bytes;

		at -= (int64_t)name_bytes + 1;
		if (at < 0 || text[at] != '/' ||
		    !bytes_equal(text + at + 1, node->name, name_bytes))
			return false;
		node = node_at(tree, node->parent);
	}
	return at == 0;
}

/* The first whose tag fits, mostly the node; NULL: none. */
static inline __attribute__((always_inline)) const struct znode *
node_guess(const struct tree *tree, uint64_t hash)
{
	const struct index_bucket *bucket = index_bucket_of(&tree->index, hash);
	const uint32_t fits = index_match(bucket, index_tag_of(hash));

	if (FAL_UNLIKELY(fits == 0))
		return NULL;

	const struct znode *node = node_at(
		tree, index_slot_handle(bucket, (uint32_t)__builtin_ctz(fits)));

	/* So that where this is inlined nobody asks again. */
	if (node == NULL)
		__builtin_unreachable();
	return node;
}

/* tree_lookup(), inline for the reads, as far as it goes without a loop: `node`
 * is what node_guess() gave, since the last quiescent point. */
static inline __attribute__((always_inline)) const struct znode *
node_lookup_from(const struct tree *tree, const struct znode *node,
		 const struct tree_path *path, uint64_t S)
{
	if (FAL_LIKELY(node != NULL) && FAL_LIKELY(node->hash == path->hash) &&
	    FAL_LIKELY(node_is_visible(&tree->region, node, S)) &&
	    FAL_LIKELY(node_has_path(tree, node, path->text, path->bytes)))
		return node;
	return tree_lookup(tree, *path, S);
}

/* Of a node that is visible at S. */
static inline const struct version *
version_at(const struct tree *tree, const struct znode *node, uint64_t S)
{
	const struct version *version = node_version_at(&tree->region, node, S);

	FAL_ASSERT(version != NULL && !version->is_deleted);
	return version;
}

/* tree_kind_of(), tree_stat_show(), inline. */
static inline enum tree_kind
kind_of(const struct tree *tree, int64_t owner)
{
	if (owner == 0)
		return TREE_PERSISTENT;
	if (owner == PROTO_CONTAINER_OWNER)
		return TREE_CONTAINER;
	if (tree->options.has_extended_types &&
	    (owner & PROTO_TTL_MASK) == PROTO_TTL_MASK)
		return TREE_TTL;
	return TREE_EPHEMERAL;
}

static inline void
stat_show(const struct tree *tree, const struct tree_stat *stat,
	  struct proto_stat *out)
{
	const enum tree_kind kind = kind_of(tree, stat->owner);

	out->czxid = stat->czxid;
	out->mzxid = stat->mzxid;
	out->ctime = stat->ctime;
	out->mtime = stat->mtime;
	out->version = stat->version;
	/* Each creation and each deletion of a child shows as one step; the
	 * count wraps at 32 bits. */
	out->cversion =
		(int32_t)(2u * (uint32_t)stat->cversion - stat->num_children);
	out->aversion = stat->aversion;
	out->ephemeral_owner = kind == TREE_EPHEMERAL ? stat->owner : 0;
	out->data_length = stat->data_bytes > 0 ? stat->data_bytes : 0;
	out->num_children = (int32_t)stat->num_children;
	out->pzxid = stat->pzxid;
}

/* tree_spec_stat(), inline: who wants two fields loads two. */
static inline __attribute__((always_inline)) void
spec_stat(const struct tree *tree, const struct znode *node,
	  struct tree_stat *out)
{
	version_stat(node, spec_of(tree, node), out);
}

/* tree.c: room for `bytes` of path text. Returns 0, FAL_ENOMEM. */
FAL_MUST_CHECK int tree_scratch(struct tree *, uint32_t bytes);
uint32_t tree_path_bytes(const struct tree *, const struct znode *);

/* tree_write.c */
struct tree_new {
	struct tree_path path;
	struct jute_slice data;
	struct tree_stat stat;
	uint64_t stamp;
	uint32_t flags;
	bool is_indexed_later; /* by the caller */
};
/* Makes a node with its first version, in index and parent's array. Returns 0
 * or FAL_ENOMEM (nothing happened). The caller counts and publishes. */
FAL_MUST_CHECK int node_make(struct tree *, struct znode *parent,
			     const struct tree_new *, struct znode **out);
/* Sets data of a version that no reader can see. */
FAL_MUST_CHECK int version_put_data(struct tree *, struct version *,
				    struct jute_slice data);
void version_digest(const struct tree *, const struct znode *,
		    struct version *);
void version_free(struct tree *, uint32_t handle);

/* tree_publish.c: the node came to life, or went, in the spec view. Coming to
 * life needs room in its owner's list: see member_add(). */
void node_count(struct tree *, struct znode *, int64_t data_bytes);
void node_discount(struct tree *, struct znode *, int64_t data_bytes);

/* tree_children.c. Returns 0, FAL_ENOMEM. */
FAL_MUST_CHECK int children_add(struct tree *, struct znode *dir,
				struct znode *child);
void children_remove(struct tree *, struct znode *dir, struct znode *child);
/* Is any node, dying ones included, still in the array of dir? */
bool children_are_linked(const struct tree *, const struct znode *dir);
/* May a reader still walk an array that dir has replaced? */
bool children_have_older(const struct tree *, const struct znode *dir);
/* Frees the arrays of a node that nobody can reach. */
void children_free(struct tree *, struct znode *dir);

/* tree_owner.c */
int owners_init(struct tree *);
void owners_free(struct tree *);
/* Enters an ephemeral, container or TTL node in its list. Returns 0,
 * FAL_ENOMEM; never fails right after member_remove() of the same node or of
 * as many others of the owner. */
FAL_MUST_CHECK int member_add(struct tree *, struct znode *);
void member_remove(struct tree *, struct znode *);
/* An undo entry that creates or deletes this node was made, or is gone. */
void member_pend(struct tree *, const struct znode *);
void member_settle(struct tree *, const struct znode *);

/* tree_reclaim.c */
void reclaim_init(struct tree *);
/* Waits until every S is >= zxid. */
void garbage_put(struct tree *, enum garbage_kind, uint32_t handle,
		 uint64_t zxid);
/* Waits for a grace period only. */
void limbo_put(struct tree *, enum garbage_kind, uint32_t handle);
/* Out of index and parent's array: nobody needs the node any more. Its memory
 * waits for a grace period. */
void node_unlink(struct tree *, struct znode *);
/* Frees all garbage at once; no reader may be registered or all are gone. */
void garbage_drop(struct tree *);
void index_callbacks(struct tree *, struct index_retire *out);

#endif
