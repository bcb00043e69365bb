/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_READ_H
#define FALCONER_ZNODE_READ_H

/*
 * read - the answers to read requests at one S, written as reply bodies.
 *
 * Each function checks in the order of client-protocol.md 3.6, 3.7 and 3.9 and
 * writes the body that follows the reply header. What is decided above: the
 * request's syntax, the session, registering watches (after these functions,
 * by their result), queueing behind writes.
 *
 * Context    R: a reader online at S or older. No allocation, no lock.
 * Ownership  everything is borrowed for the call.
 * Errors     ZooKeeper results. When the writer was full (out->is_full) the
 *            result is ZK_OK and the body incomplete: call again with room.
 * Cost       one lookup; getChildren about 15-20 ns a child.
 */

#include "znode/acl.h"
#include "znode/tree.h"

/* Stat. ZK_OK, ZK_BADARGUMENTS (NUL in the path), ZK_NOAUTH, ZK_NONODE. */
int32_t read_exists(struct tree *, uint64_t S, const struct tree_path *,
		    const struct auth_ids *, struct jute_writer *out);
/* Data and Stat. ZK_OK, ZK_NONODE, ZK_NOAUTH; the same for the next. */
int32_t read_get_data(struct tree *, uint64_t S, const struct tree_path *,
		      const struct auth_ids *, struct jute_writer *out);
int32_t read_get_data_aimed(struct tree *, uint64_t S, const struct tree_aim *,
			    const struct auth_ids *, struct jute_writer *out);
/* The same straight to `to`, if there is a node, it may be read and its body
 * has no more than `room` bytes. Returns how many it has, or 0. */
uint32_t read_data_at(struct tree *, uint64_t S, const struct tree_aim *,
		      const struct auth_ids *, uint8_t *to, uint32_t room);
/* Names of the children, and Stat for getChildren2. READ_IS_LONG: there are
 * more than children_max, nothing was written. */
int32_t read_get_children(struct tree *, uint64_t S, const struct tree_path *,
			  const struct auth_ids *, bool has_stat,
			  uint32_t children_max, struct jute_writer *out);
#define READ_IS_LONG 1 /* no result of ZooKeeper's is positive */
/* ACL list and Stat; ids of scheme digest are hidden without ADMIN. */
int32_t read_get_acl(struct tree *, uint64_t S, const struct tree_path *,
		     const struct auth_ids *, struct jute_writer *out);
/* The node, if `ids` may do one of `perms` to it, and its Stat. ZK_OK,
 * ZK_NONODE, ZK_NOAUTH. */
int32_t read_find(struct tree *, uint64_t S, const struct tree_path *,
		  const struct auth_ids *, int32_t perms,
		  const struct znode **node, struct tree_stat *);
/* May `ids` do one of `perms` to a node visible at S? */
bool read_permits(struct tree *, const struct znode *, uint64_t S,
		  const struct auth_ids *, int32_t perms);

#endif
