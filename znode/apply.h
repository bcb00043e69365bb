/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_APPLY_H
#define FALCONER_ZNODE_APPLY_H

/*
 * apply - the steps that change the tree, with their effects and replies.
 *
 * Whoever made a transaction, its steps end here: prep's, once a request is
 * found good, and those of entries that come from a log or a leader. A step
 * changes nodes that were looked up before, notes the watch events and keeps
 * quota statistics; apply_record() looks up itself and is idempotent.
 *
 * Trouble of the kind "out of memory" is sticky in apply.fail: the caller
 * looks once, before it closes the transaction, and rolls back.
 *
 * Context    writer core, between tree_txn_begin() and tree_txn_end().
 * Ownership  everything is borrowed; the result's buffers grow by malloc.
 * Source     disk-format.md section 7, client-protocol.md section 5.2.
 */

#include "znode/effect.h"
#include "znode/prep.h"
#include "znode/quota.h"
#include "znode/tree.h"
#include "wire/txn.h"

struct apply {
	struct tree *tree;
	struct acl_table *acls;
	struct quota *quota;
	struct tree_path root;
	struct prep_counts *counts;
	struct txn_bytes path_text; /* of apply_node_path() */
	struct txn_bytes subtree;   /* of struct znode *, being removed */
	/* per transaction */
	int64_t zxid, session_id;
	struct txn_result *result; /* NULL: no effects, no reply */
	bool is_multi;             /* replies with MultiHeader in front */
	/* Large steps may be left unfinished: see apply_has_more(). */
	bool may_pause;
	bool is_closing; /* closeSession of a record: of its paths are left */
	int32_t close_left;
	struct jute_reader close_paths;
	struct znode *counted; /* the stats node whose subtree is counted */
	uint32_t counted_bytes;
	int fail; /* 0 or a FAL_E... */
};

/* A path with what the steps want to know of it. */
struct apply_path {
	struct tree_path self;
	struct tree_path parent;
};

/* Cuts a path at its last slash. False: no slash in it, or it is the root. */
bool apply_path_of(const struct apply *, struct jute_slice path,
		   struct apply_path *out);

/* Empties the result for a new transaction. result may be NULL. */
void apply_begin(struct apply *, struct txn_result *, int64_t zxid,
		 int64_t session_id);

struct apply_node {
	struct jute_slice data;
	uint32_t acl; /* a reference given */
	int64_t owner;
	int32_t parent_cversion; /* -1: one more than the parent has */
};

/* The node must not be there, `parent` must be its parent. NULL: see fail. */
struct znode *apply_create(struct apply *, struct znode *parent,
			   const struct apply_path *,
			   const struct apply_node *);
/* Quota usage of a created node, and the recount if it is a statistics node.
 * Behind apply_reply(): the Stat in the reply is the one before it. */
void apply_count_created(struct apply *, struct znode *made,
			 const struct apply_path *, struct jute_slice data);
/* Removes the subtree at node; events for the node itself only. */
void apply_delete(struct apply *, struct znode *node,
		  const struct apply_path *);
void apply_set_data(struct apply *, struct znode *, struct tree_path,
		    struct jute_slice data, int32_t version);

/* The interned number of a list as it stands in a record, with a reference
 * for the caller. 0: see fail. */
uint32_t apply_intern_acl(struct apply *, const struct jute_vector *);

/* Is a step of the transaction unfinished? Then nothing but apply_go_on() or
 * apply_forget() may follow. */
static inline bool
apply_has_more(const struct apply *apply)
{
	return apply->is_closing || apply->counted != NULL;
}

/* The next part of it. */
void apply_go_on(struct apply *);
/* The transaction is taken back. */
void apply_forget(struct apply *);

/* Applies one record, not a multi. Returns the result's code; see fail too. */
int32_t apply_record(struct apply *, const struct txn_record *);

/* Appends what the client gets for a good record; path and node as far as the
 * type needs them (node NULL: none, for delete and check). */
void apply_reply(struct apply *, int32_t type, struct jute_slice path,
		 const struct znode *node);
/* The same for those whose reply is the node's Stat: setData, setACL. */
void apply_reply_stat(struct apply *, int32_t type, const struct znode *node);
/* Appends an error of an operation of a multi, and the end of a multi. */
void apply_reply_error(struct apply *, int32_t err);
void apply_reply_end(struct apply *);

/* The full path of a node in memory of the apply; good until the next call.
 * bytes -1: see fail. */
struct jute_slice apply_node_path(struct apply *, const struct znode *);

/* Room for `bytes` more at the end; NULL (and fail) when out of memory. */
uint8_t *apply_claim(struct apply *, struct txn_bytes *, size_t bytes);

#endif
