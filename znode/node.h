/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_NODE_H
#define FALCONER_ZNODE_NODE_H

/*
 * node - the objects of a tree as they lie in the region.
 *
 *   znode, 64 bytes + name          version, 72 bytes + data up to 256 bytes
 *   +0  hash   of the full path     +0  stamp  zxid that made it
 *   +8  pub    newest published     +8  mzxid, pzxid, mtime
 *   +12 spec   newest applied       +32 version, cversion, aversion
 *   +16 parent                      +44 num_children
 *   +20 dir    children, 0: none    +48 acl (24 bits), size and flags
 *   +24 slot   place in parent's    +52 data_bytes, -1: null
 *   +28 member place in owner's     +56 crc    part of the tree's digest
 *   +32 czxid, ctime, owner         +60 crc_pd digest state after path, data
 *   +56 name_bytes, flags           +64 prev, data_block
 *   +64 name (last component)       +72 data, unless in a block
 *
 * A leaf with a 13-byte name and 100 bytes of data takes 80 + 176 bytes. The
 * first version is not put behind the node: measured, that gained nothing.
 * Longer data lies in a block that versions share, because each change of a
 * child copies the parent's version.
 *
 * Context    Fields marked W are read and written by the writer alone. All
 *            others are constant once a reader can reach the object, or atomic.
 */

#include "znode/tree.h"
#include "znode/region.h"

#define VERSION_INLINE_BYTES_MAX 256u

enum znode_flags {
	ZNODE_LOADED = 1,    /* from a snapshot: visible whatever its czxid */
	ZNODE_DYING = 2,     /* a deleted version is published */
	ZNODE_UNCOUNTED = 4, /* below "/zookeeper/": not in the digest */
};

struct znode {
	uint64_t hash; /* first: the index compares it */
	_Atomic uint32_t pub;
	uint32_t spec; /* W */
	uint32_t parent;
	_Atomic uint32_t dir;
	uint32_t slot;   /* W */
	uint32_t member; /* W */
	int64_t czxid, ctime, owner;
	uint32_t name_bytes;
	_Atomic uint32_t flags;
	uint8_t name[];
};

struct version {
	uint64_t stamp;
	int64_t mzxid, pzxid, mtime;
	int32_t version, cversion, aversion;
	uint32_t num_children;
	uint32_t acl : 24;
	uint32_t granules : 6;   /* of this block */
	uint32_t is_deleted : 1; /* the node ends at this stamp */
	uint32_t : 1;
	int32_t data_bytes;
	uint32_t crc;
	uint32_t crc_pd; /* W */
	uint32_t prev;   /* older version; dangles once nobody can need it */
	uint32_t data_block; /* struct data_block, 0: data is inline */
	uint8_t data[];
};

struct data_block {
	uint32_t refs; /* W */
	uint32_t bytes;
	uint8_t data[];
};

/* ---- children ------------------------------------------------------------ */

/* See tree_children.c. */
#define DIR_CHUNK_SLOTS 1020u /* 4 KiB with the header */
#define DIR_SLOT_LOG2   10u   /* a place is chunk << 10 | slot */

enum dir_kind { DIR_FLAT = 1, DIR_TABLE = 2 };

struct dir_flat {
	uint16_t kind;
	uint16_t cap;
	_Atomic uint32_t used;   /* slots below were in use at some time */
	uint16_t live;           /* W: slots that hold a node */
	uint16_t hole;           /* W: first hole + 1, 0: none */
	uint32_t older;          /* W: see dir_has_older() */
	_Atomic uint32_t slot[]; /* node, or a hole: next hole + 1 */
};

struct dir_table {
	uint16_t kind;
	uint16_t reserved;
	_Atomic uint32_t used; /* chunks below were in use at some time */
	uint32_t cap;
	uint32_t missing;         /* W: chunks below used that are gone */
	uint32_t hint;            /* W: a chunk that may have a hole */
	uint32_t older;           /* W */
	_Atomic uint32_t chunk[]; /* struct dir_flat, 0: gone */
};

_Static_assert(offsetof(struct znode, name) == 64, "a node is one line");
_Static_assert(offsetof(struct version, data) == 72, "a version is 72 bytes");
_Static_assert(offsetof(struct dir_flat, slot) + DIR_CHUNK_SLOTS * 4 == 4096,
	       "a chunk is a page");
_Static_assert(DIR_CHUNK_SLOTS < REGION_HANDLE_MIN, "holes are no handles");
_Static_assert(DIR_CHUNK_SLOTS <= 1u << DIR_SLOT_LOG2, "places are unique");
_Static_assert((sizeof(struct version) + VERSION_INLINE_BYTES_MAX +
		REGION_GRANULE_BYTES - 1) /
			       REGION_GRANULE_BYTES <
		       64,
	       "granules fit 6 bits");

/* The newest version with stamp <= S; NULL: the node did not exist yet. */
static inline const struct version *
node_version_at(const struct region *region, const struct znode *node,
		uint64_t S)
{
	/* Pairs with the release in tree_publish(). */
	uint32_t handle =
		atomic_load_explicit(&node->pub, memory_order_acquire);

	while (handle != 0) {
		const struct version *version = region_at(region, handle);

		if (version->stamp <= S)
			return version;
		handle = version->prev;
	}
	return NULL;
}

/*
 * Does the node exist at S? Without a look at its versions in the usual case: a
 * node that was published and not deleted has existed since its czxid. Seeing
 * DYING late is no harm: it is set before P reaches the deletion, and a reader
 * whose S is older finds an older version.
 */
static inline bool
node_is_visible(const struct region *region, const struct znode *node,
		uint64_t S)
{
	/* Pairs with the release in tree_publish(). */
	const uint32_t flags =
		atomic_load_explicit(&node->flags, memory_order_acquire);

	if (FAL_LIKELY(!(flags & ZNODE_DYING)))
		return (flags & ZNODE_LOADED) != 0 ||
		       (uint64_t)node->czxid <= S;

	const struct version *version = node_version_at(region, node, S);

	return version != NULL && !version->is_deleted;
}

static inline struct jute_slice
version_data(const struct region *region, const struct version *version)
{
	const uint8_t *data = version->data;

	if (version->data_block != 0) {
		const struct data_block *block =
			region_at(region, version->data_block);

		data = block->data;
	}
	return (struct jute_slice){.data = data, .bytes = version->data_bytes};
}

static inline void
version_stat(const struct znode *node, const struct version *version,
	     struct tree_stat *out)
{
	out->czxid = node->czxid;
	out->mzxid = version->mzxid;
	out->pzxid = version->pzxid;
	out->ctime = node->ctime;
	out->mtime = version->mtime;
	out->version = version->version;
	out->cversion = version->cversion;
	out->aversion = version->aversion;
	out->owner = node->owner;
	out->num_children = version->num_children;
	out->data_bytes = version->data_bytes;
	out->acl = version->acl;
}

#endif
