/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_DIGEST_H
#define FALCONER_ZNODE_DIGEST_H

/*
 * digest - what one node adds to the digest of the tree.
 *
 *   CRC-32 over: path (the root's is empty) | data (none if null) | 60 bytes:
 *   czxid, mzxid, pzxid, ctime, mtime (8 each), version, cversion, aversion
 *   (4 each), ephemeralOwner (8); all big-endian, all in stored form
 *
 * The tree's digest is the sum modulo 2^64 over all nodes but those below
 * "/zookeeper/" ("/zookeeper" itself counts). Path and data come first, so a
 * node keeps the state behind them and a change of its Stat costs 60 bytes.
 *
 * Context    any thread; pure functions.
 * Source     disk-format.md section 9.
 */

#include "znode/tree.h"

#define DIGEST_STAT_BYTES 60u

/* Digest of a tree with nothing but the initial nodes. */
#define DIGEST_EMPTY_DATABASE 0x51c6d660ull

/* The state behind path and data. */
uint32_t digest_path_data(const void *path, uint32_t path_bytes,
			  struct jute_slice data);
/* The node's part, from that state. */
uint32_t digest_node(uint32_t path_data, const struct tree_stat *);
/* False for paths below "/zookeeper/". */
bool digest_counts(const void *path, uint32_t path_bytes);

#endif
