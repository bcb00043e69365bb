/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_TREE_H
#define FALCONER_ZNODE_TREE_H

/*
 * tree - the znodes, as versions stamped with zxids.
 *
 * One writer applies a transaction when it is appended to the log, as versions
 * that no reader can see, and publishes it when it is committed. Readers name
 * a zxid S and see exactly the state after S: the newest version with stamp
 * <= S of each node. So a multi is atomic for readers, a long getChildren or a
 * snapshot sees one state, and nothing uncommitted is ever visible.
 *
 *   begin(z) .. primitives .. end()   apply: node.spec = version stamped z
 *   publish(z)                        node.pub = that version; then the owner
 *                                     of P moves it (dataplane/delta.h)
 *   rollback(), undo_after(z)         pop the undo list in reverse
 *
 * The undo list is the list of what to publish: one structure, both ways.
 *
 * Context    W: the writer core only (ZAB; also recovery, before readers run).
 *            R: any registered reader (READER cores, BG), wait-free, no lock,
 *               no allocation, no store to a shared line.
 * Ownership  paths and data handed in are borrowed for the call. A pointer to
 *            a znode or into its data that R functions give is good until the
 *            reader's next tree_reader_quiesce() or offline.
 * Limits     the region (default 64 GiB reserved, committed on touch); paths
 *            as long as a frame allows; children and depth unlimited.
 * Errors     FAL_ENOMEM from primitives when the region is exhausted: the
 *            transaction must be rolled back. ZooKeeper results are decided
 *            above, in prep.c and apply.c.
 * Source     architecture.md section 3.
 */

#include "base/fal.h"
#include "base/hash.h"
#include "wire/proto.h"
#include "znode/acl_table.h"

struct tree;
struct znode;

struct tree_options {
	uint64_t region_bytes; /* virtual reservation; 0: 64 GiB, or what can be
				  had of it that is no less than bytes_max */
	uint64_t bytes_max;    /* what tree_bytes_left() counts from; 0: all of
				  the region */
	bool has_extended_types; /* a 0xff top byte of the owner means TTL */
	bool is_digest_on;
	bool poisons_freed; /* tests: freed memory is overwritten */
};

/* A path as readers and writer look it up. "" and "/" both mean the root. */
struct tree_path {
	const uint8_t *text;
	uint32_t bytes;
	uint64_t hash; /* tree_path_hash() of text; of "" for the root */
};

/* What is stored of a node, as snapshots keep it. */
struct tree_stat {
	int64_t czxid, mzxid, pzxid, ctime, mtime;
	int32_t version;
	int32_t cversion; /* stored form: creations of children */
	int32_t aversion;
	int64_t owner; /* stored ephemeralOwner */
	uint32_t num_children;
	int32_t data_bytes; /* -1: null */
	uint32_t acl;       /* acl_table id */
};

enum tree_kind { TREE_PERSISTENT, TREE_EPHEMERAL, TREE_CONTAINER, TREE_TTL };

struct tree_counts {
	uint64_t nodes;      /* root included */
	uint64_t data_bytes; /* paths and data, ZooKeeper's approximate size */
	uint64_t ephemerals;
	uint64_t containers, ttls;
	/* By transactions, undone ones of a multi included. */
	uint64_t ttls_created, ttls_deleted;
	uint64_t used_bytes;    /* of live objects, index and ACL lists: what
				   tree_bytes_left() counts */
	uint64_t region_bytes;  /* touched so far */
	uint64_t garbage_bytes; /* waits for readers to pass */
	uint64_t versions;
	uint64_t index_bytes; /* tables of the path index */
	uint64_t acl_bytes;   /* lists of ACLs */
};

/* A path, and what tree_prefetch_node() said of it; NULL: nothing. */
struct tree_aim {
	struct tree_path path;
	const struct znode *guess;
};

/* Makes a tree with the four initial nodes (client-protocol.md 9.1);
 * tree_load_begin() empties it for a snapshot. Returns 0, FAL_ENOMEM,
 * FAL_EINVAL (region_bytes is no multiple of 1 MiB, or more than 64 GiB). */
FAL_MUST_CHECK int tree_create(const struct tree_options *, struct tree **out);
void tree_destroy(struct tree *);

/* What struct tree begins with, for tree_path_of(). */
struct tree_head {
	struct hash_key key;
};

struct tree_path tree_root_path(const struct tree *);

/* R, W. Keyed hash; the same for "" and "/". */
static inline struct tree_path
tree_path_of(const struct tree *tree, const void *text, uint32_t bytes)
{
	const struct tree_head *head = (const void *)tree;
	const uint8_t *at = text;

	if (FAL_UNLIKELY(bytes <= 1) && (bytes == 0 || at[0] == '/'))
		return tree_root_path(tree);
	return (struct tree_path){.text = at,
				  .bytes = bytes,
				  .hash = hash_bytes(&head->key, at, bytes)};
}
/* The same of longer and longer beginnings of one text: see hash_prefix(). */
static inline struct tree_path
tree_prefix_of(const struct tree *tree, struct hash_prefix *prefix,
	       const void *text, uint32_t bytes)
{
	const struct tree_head *head = (const void *)tree;

	if (bytes <= 1)
		return tree_path_of(tree, text, bytes);
	return (struct tree_path){
		.text = text,
		.bytes = bytes,
		.hash = hash_prefix(&head->key, prefix, text, bytes)};
}
/* The same of at least two bytes, inline where it is called. */
static inline __attribute__((always_inline)) void
tree_path_set(const struct tree *tree, const uint8_t *text, uint32_t bytes,
	      struct tree_path *path)
{
	const struct tree_head *head = (const void *)tree;

	path->text = text;
	path->bytes = bytes;
	path->hash = hash_bytes(&head->key, text, bytes);
}
struct acl_table *tree_acls(struct tree *);
enum tree_kind tree_kind_of(const struct tree *, int64_t owner);
void tree_counts(const struct tree *, struct tree_counts *out); /* any thread */
/* W. Bytes until bytes_max (nothing is refused here); growing writes are
 * refused by prep under 10 %. */
uint64_t tree_bytes_left(const struct tree *);

/* ---- W: one transaction ---------------------------------------------- */

void tree_txn_begin(struct tree *, int64_t zxid, int64_t time_ms);
/* Undoes everything since begin; the transaction stays open and may go on
 * (a failed multi becomes an error transaction). */
void tree_txn_rollback(struct tree *);
/* Closes it; returns the tree's digest after it (spec view). */
uint64_t tree_txn_end(struct tree *);
/* Publishes every applied transaction <= zxid: sets pub pointers. The caller
 * moves P afterwards. */
void tree_publish(struct tree *, int64_t zxid);
/* Undoes all unpublished transactions > zxid (TRUNC, lost leadership). */
void tree_undo_after(struct tree *, int64_t zxid);
/* Digest of the published state. */
uint64_t tree_published_digest(const struct tree *);

/* The writer's view (spec). NULL: no such node there. */
struct znode *tree_find(struct tree *, struct tree_path);
/* The same for one path of a tree, at which every write looks: its node is
 * remembered. Not for the root. */
struct znode *tree_find_kept(struct tree *, struct tree_path);
/* The same as of before the open transaction. */
struct znode *tree_find_before(struct tree *, struct tree_path);
/* The same two of a path whose parent is at hand: they read its last name,
 * where those read all. */
struct znode *tree_find_child(struct tree *, const struct znode *parent,
			      struct tree_path);
struct znode *tree_find_child_before(struct tree *, const struct znode *parent,
				     struct tree_path);
struct jute_slice tree_data_before(const struct tree *, const struct znode *);
struct znode *tree_root(struct tree *);
struct znode *tree_parent(struct tree *, const struct znode *); /* root: NULL */
void tree_spec_stat(const struct tree *, const struct znode *,
		    struct tree_stat *out);
/* Shown form (cversion, owner hidden), for replies to writes. */
void tree_spec_proto_stat(const struct tree *, const struct znode *,
			  struct proto_stat *out);
struct jute_slice tree_spec_data(const struct tree *, const struct znode *);
/* Writes the full path; returns its length. Needs cap bytes at most, returns
 * the length also when it did not fit (nothing written then). */
uint32_t tree_path_text(const struct tree *, const struct znode *,
			uint8_t *text, uint32_t cap);
/* The same for a handle of tree_ephemeral_handles(). Also a reader's, as long
 * as its oldest state is not behind the one that the handles are of. */
uint32_t tree_node_text(const struct tree *, uint32_t handle, uint8_t *text,
			uint32_t cap);

/*
 * Adds a node that must not exist under a parent that does; stamps, times
 * from the open transaction, versions 0. Parent: num_children + 1 and nothing
 * else (see tree_set_parent()).
 *
 * acl    a reference of the caller's, taken over by the node (not on error)
 * data   bytes -1: null
 */
FAL_MUST_CHECK int tree_insert(struct tree *, struct znode *parent,
			       struct tree_path, struct jute_slice data,
			       uint32_t acl, int64_t owner, struct znode **out);
/* Removes a node without children. Parent: num_children - 1 only. */
FAL_MUST_CHECK int tree_remove(struct tree *, struct znode *);
/* Sets data and version; mzxid, mtime from the transaction. */
FAL_MUST_CHECK int tree_set_data(struct tree *, struct znode *,
				 struct jute_slice data, int32_t version);
/* The same for who has the node's path, which the digest is made from. */
FAL_MUST_CHECK int tree_set_data_at(struct tree *, struct znode *,
				    struct tree_path, struct jute_slice data,
				    int32_t version);
/* Data only: no version, no times (quota statistics). */
FAL_MUST_CHECK int tree_set_data_quietly(struct tree *, struct znode *,
					 struct jute_slice data);
FAL_MUST_CHECK int tree_set_acl(struct tree *, struct znode *, uint32_t acl,
				int32_t aversion);
/* Sets the stored cversion and pzxid of a parent. */
FAL_MUST_CHECK int tree_set_parent(struct tree *, struct znode *,
				   int32_t cversion, int64_t pzxid);

/* Ephemeral nodes of a session in the spec view, in no order: the index-th
 * (0..count-1), NULL past the end. Stable while nothing is changed. */
struct znode *tree_ephemeral(struct tree *, int64_t session_id, uint32_t index);
uint32_t tree_ephemeral_count(const struct tree *, int64_t session_id);
/*
 * All of them at once, as handles for a reader to name by tree_node_text(); a
 * copy of 4 bytes each, into room for tree_ephemeral_count().
 */
void tree_ephemeral_handles(const struct tree *, int64_t session_id,
			    uint32_t *out);
/* Children in the writer's view, in no order: start with *cursor = 0; NULL at
 * the end. Nothing may be inserted or removed meanwhile. (Replay of a fuzzy
 * snapshot removes subtrees, quotas count them.) */
struct znode *tree_spec_child(struct tree *, const struct znode *dir,
			      uint64_t *cursor);
/* The next session id that owns ephemerals, ids compared as unsigned; start
 * with 0, 0 again: none left. Used once after recovery to find orphans; the
 * first call of a round sorts all ids. */
int64_t tree_ephemeral_owner_after(struct tree *, int64_t after);

/*
 * The next container or TTL node that is due by client-protocol.md 7.7, in the
 * spec view; NULL: the budget is used up, or none is left. Resumes behind
 * *cursor (start with 0; 0 again: done).
 *
 * budget  nodes that may still be looked at, counted down
 */
struct znode *tree_reap_next(struct tree *, uint64_t *cursor, uint32_t *budget,
			     int64_t now_ms, int64_t never_used_ms);

/* Frees what no reader can reach: at most `max` items more than have come since
 * the last call, of those that passed the watermark and again of those that
 * passed a grace period. Called once a loop, and never between tree_publish()
 * and the move of P. */
void tree_reclaim(struct tree *, uint32_t max);
/* W. While set nothing is unlinked, so that a cursor of tree_spec_child() is
 * good for longer than a call of tree_reclaim(). */
void tree_keep_places(struct tree *, bool keeps);
/* W. Keeps everything visible at S or later from being reclaimed, on behalf of
 * a reader that is yet to come online at S (a snapshot). One hold at a time. */
void tree_hold(struct tree *, uint64_t S);
void tree_release(struct tree *);
/* BG thread: runs one grace period if any batch waits; true if it did. Blocks;
 * call at most once a millisecond. */
bool tree_reclaim_grace(struct tree *);

/* ---- W: loading a snapshot -------------------------------------------- */

/* Drops everything, ACL ids too: next come tree_load_node() in any pre-order,
 * root ("") first, then tree_load_end(). No reader may be online from here to
 * there. */
void tree_load_begin(struct tree *);
/* Tells how far the load is, so that index and memory are made for what is to
 * come: `done` of `total` bytes, say. Optional; any number of times. */
void tree_load_expect(struct tree *, uint64_t done, uint64_t total);
/* Any one other thread, as long as the tree lives: brings up memory before the
 * load needs it. `at` is the caller's, 0 at first. False: nothing to do now. */
bool tree_load_touch_ahead(const struct tree *, uint64_t *at);
/* Returns 0, FAL_ENOMEM, FAL_ECORRUPT (no parent, duplicate). That a path was
 * there already may also be said by one of the next calls or the end; from then
 * on all of them say it. The stat's num_children and data_bytes are ignored,
 * acl is a reference given if 0 is returned. */
FAL_MUST_CHECK int tree_load_node(struct tree *, const void *path,
				  uint32_t path_bytes, struct jute_slice data,
				  const struct tree_stat *);
/* Publishes all as state `zxid`; creates missing /zookeeper nodes. */
FAL_MUST_CHECK int tree_load_end(struct tree *, int64_t zxid);
/* Overwrites data and stat (but owner, acl, num_children) of a published node
 * outside of any transaction: the server's own notes at start, such as the
 * config node. Nothing unpublished, no reader online. Returns 0, FAL_ENOMEM. */
FAL_MUST_CHECK int tree_patch(struct tree *, struct znode *,
			      struct jute_slice data, const struct tree_stat *);

/* ---- R: readers -------------------------------------------------------- */

struct tree_reader;

/* Registers the calling thread (liburcu-qsbr) with its watermark line; it
 * starts offline. At most 32 readers. NULL when there are more. */
struct tree_reader *tree_reader_register(struct tree *);
void tree_reader_unregister(struct tree_reader *);
/* Goes online reading at *published or later: returns S, loaded from
 * *published after the watermark was set (full fence). */
uint64_t tree_reader_online(struct tree_reader *,
			    const _Atomic uint64_t *published);
/* Once a loop: nothing borrowed any more, S is the oldest still needed. S
 * never decreases while online. */
void tree_reader_quiesce(struct tree_reader *, uint64_t S);
void tree_reader_offline(struct tree_reader *);
/* Goes online at an S that tree_hold() keeps (or a reader that is online): for
 * a snapshot of the state S. */
void tree_reader_online_at(struct tree_reader *, uint64_t S);
/* W. Does that on behalf of a reader that is offline, at an S not below what is
 * published, and leaves it paused: whoever owns the reader hears of it later
 * and resumes it. There may be several of these, and of tree_hold() one. */
void tree_reader_pin(struct tree_reader *, uint64_t S);
/* Online for the watermark only, around blocking calls and sleeps that every
 * publication ends with a doorbell: out of the way of grace periods, but nodes
 * and versions visible at the reader's S stay, and records of what is published
 * meanwhile can still be walked (their ACLs, reads at their zxids). All else
 * that was borrowed is gone. */
void tree_reader_pause(struct tree_reader *);
void tree_reader_resume(struct tree_reader *);

/* Stages of a burst, to overlap cache misses: bucket, then node, look up, then
 * version. */
void tree_prefetch_bucket(const struct tree *, uint64_t hash);
/* Returns what nearly always is the node of that hash, or NULL: a guess to
 * begin with, until the next quiescent point. */
const struct znode *tree_prefetch_node(const struct tree *, uint64_t hash);
/* A third stage, for reads that want data or Stat. */
void tree_prefetch_version(const struct tree *, const struct znode *);

/* The node at that path visible at S; NULL: none. */
const struct znode *tree_lookup(const struct tree *, struct tree_path,
				uint64_t S);
void tree_stat_at(const struct tree *, const struct znode *, uint64_t S,
		  struct tree_stat *out);
void tree_proto_stat_at(const struct tree *, const struct znode *, uint64_t S,
			struct proto_stat *out);
/* Stored form to the form that clients see: cversion counts deletions too, the
 * owner of containers and TTL nodes is hidden, null data has length 0. */
void tree_stat_show(const struct tree *, const struct tree_stat *,
		    struct proto_stat *out);
/* Borrowed until the next quiesce. */
struct jute_slice tree_data_at(const struct tree *, const struct znode *,
			       uint64_t S);

/* Children visible at S. Start with *cursor = 0; gives the name (last
 * component) and the node; false at the end. The cursor survives quiesce as
 * long as the reader's S does not move. */
bool tree_child_next(const struct tree *, const struct znode *dir, uint64_t S,
		     uint64_t *cursor, struct jute_slice *name,
		     const struct znode **child);

#endif
