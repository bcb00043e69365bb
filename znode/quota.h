/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_QUOTA_H
#define FALCONER_ZNODE_QUOTA_H

/*
 * quota - limits and usage of subtrees.
 *
 * /zookeeper/quota/p/zookeeper_limits makes /p a quota root; its neighbour
 * zookeeper_stats holds the number of nodes and bytes at and below /p. Both
 * are ordinary nodes with text like "count=3,bytes=40". Usage belongs to the
 * deepest root on a path and is kept as data alone: no version, no time, no
 * watch. Text that does not parse counts as -1, "no limit".
 *
 * What is a root is asked of the tree each time, so rollback and truncation
 * need nothing here. The price is one lookup per component of a written path,
 * paid only while /zookeeper/quota has children.
 *
 * Context    writer core, within a transaction, but for quota_recount().
 * Errors     FAL_ENOMEM: roll the transaction back.
 * Source     client-protocol.md section 9.3.
 */

#include "znode/namespace_counts.h"
#include "znode/tree.h"

struct quota;

FAL_MUST_CHECK int quota_create(struct tree *, struct quota **out);
void quota_destroy(struct quota *);

/*
 * Would this change exceed a hard limit of the path's root?
 *
 * nodes, bytes  what the change adds
 *
 * Returns ZK_OK, ZK_QUOTAEXCEEDED.
 */
int32_t quota_check(struct quota *, struct jute_slice path, int64_t nodes,
		    int64_t bytes);

/* How often that was answered since the start. Any thread. */
const struct namespace_counts *quota_refused(const struct quota *);

/* Adds to the usage of the path's root, if it has one. */
FAL_MUST_CHECK int quota_add(struct quota *, struct jute_slice path,
			     int64_t nodes, int64_t bytes);

/*
 * To be called for each created node before quota_add(): a new stats node is
 * filled by counting the subtree.
 *
 * Returns 0, FAL_ENOMEM, FAL_EAGAIN: only a part of it was counted, nothing may
 * be changed before quota_count_on() has returned something else or
 * quota_count_drop() was called.
 */
FAL_MUST_CHECK int quota_created(struct quota *, struct znode *,
				 struct jute_slice path);
/* The next part; returns as quota_created(). */
FAL_MUST_CHECK int quota_count_on(struct quota *);
/* The transaction is taken back. */
void quota_count_drop(struct quota *);

/*
 * Counts the usage of all roots anew, behind tree_load_end(). A snapshot that a
 * ZooKeeper wrote while transactions went on holds usage of another moment than
 * its nodes, and nothing would ever put that right.
 *
 * Context    as tree_patch().
 *
 * Returns 0, FAL_ENOMEM.
 */
FAL_MUST_CHECK int quota_recount(struct tree *);

#endif
