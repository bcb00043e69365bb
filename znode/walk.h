/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_WALK_H
#define FALCONER_ZNODE_WALK_H

/*
 * walk - all nodes of a subtree at one S, parents first, a slice at a time.
 *
 * Snapshots walk the whole tree at the S they pinned while the writer goes on;
 * getAllChildrenNumber counts a subtree. The way down is an explicit stack of
 * (node, cursor), so depth costs memory and not the C stack, and a walk can
 * stop after any node.
 *
 * Sliding the pin (architecture.md section 7): when a snapshot holds back too
 * much garbage, walk_repin() moves to a newer S2. Directories that are gone are
 * dropped; of the others the children not yet visited are noted, so that none
 * that lives through is lost or seen twice. Children made since are left out:
 * the log has their transactions. From there the walk is fuzzy.
 *
 * Context    R: a reader online at the walk's S or older. Between calls it may
 *            be paused (tree_reader_pause()) but not offline.
 * Ownership  the stack is malloc'ed; walk_free(). Items are the walk's and the
 *            tree's: path until the next call, data as long as S is pinned.
 * Limits     memory: 24 bytes a level, the longest path; 4 bytes an unvisited
 *            sibling after walk_repin().
 * Errors     FAL_ENOMEM: the walk is where it was.
 * Cost       about 100 ns a node; no allocation once the stack has grown.
 */

#include "znode/tree.h"

struct walk_level {
	const struct znode *node;
	uint64_t cursor; /* of tree_child_next(), or an index into rest */
	uint32_t path_bytes;
	uint32_t rest_count;
	uint32_t *rest; /* handles of unvisited children, NULL: not slid */
};

struct walk {
	const struct tree *tree;
	uint64_t S;
	struct walk_level *level;
	uint32_t level_count, level_cap;
	uint8_t *path;
	uint32_t path_cap;
	const struct znode *first; /* the top, until it was given out */
};

struct walk_item {
	const struct znode *node;
	const uint8_t *path; /* of the root: no bytes */
	uint32_t path_bytes;
	struct jute_slice data;
	struct tree_stat stat;
};

/* Starts at `top` (visible at S), which will be the first item. Returns 0,
 * FAL_ENOMEM. */
FAL_MUST_CHECK int walk_init(struct walk *, const struct tree *, uint64_t S,
			     struct tree_path top);
void walk_free(struct walk *);
/* Returns 1 with an item, 0 at the end (also when `top` is not there),
 * FAL_ENOMEM. */
FAL_MUST_CHECK int walk_next(struct walk *, struct walk_item *out);

/* Whether a snapshot brought the node, whatever its czxid says; else the
 * transaction of its czxid has made it. */
bool walk_is_loaded(const struct walk_item *item);

/* Leaves out what is below the item given last. */
void walk_skip(struct walk *);

/* Goes on at S2 >= S. To be called while S is still pinned; then the reader may
 * quiesce at S2. Returns 0, FAL_ENOMEM (the walk stays at S). */
FAL_MUST_CHECK int walk_repin(struct walk *, uint64_t S2);

/*
 * Counts descendants: visits at most `max` nodes and adds what it saw to
 * *count, which starts at 0 and in the end is the number of nodes below `top`.
 *
 * Returns 1: call again, 0: done, FAL_ENOMEM.
 */
FAL_MUST_CHECK int walk_count(struct walk *, uint32_t max, uint64_t *count);

#endif
