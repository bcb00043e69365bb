/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_QUOTA_TEXT_H
#define FALCONER_ZNODE_QUOTA_TEXT_H

/*
 * quota_text - where quotas are in the tree, and the text of their nodes.
 *
 * The quota of /a/b is two nodes: QUOTA_DIR "/a/b" QUOTA_LIMITS, which an
 * operator writes, and QUOTA_STATS beside it, which the server keeps.
 *
 * Context    any thread; nothing is kept.
 * Source     client-protocol.md section 9.3.
 */

#include "base/fal.h"
#include "wire/jute.h"

#define QUOTA_DIR       "/zookeeper/quota"
#define QUOTA_DIR_BYTES (sizeof(QUOTA_DIR) - 1)
#define QUOTA_LIMITS    "/zookeeper_limits"
#define QUOTA_STATS     "/zookeeper_stats"
/* "count=..,bytes=..=;byteHardLimit=..;countHardLimit=..", four numbers. */
#define QUOTA_TEXT_BYTES_MAX 160

/* A limits or stats node's numbers; -1: no limit. A hard one that is there is
 * written back, also as -1. */
struct quota_track {
	int64_t count, bytes, count_hard, bytes_hard;
	bool has_count_hard, has_bytes_hard;
};

/* Any bytes: what is no number, or is missing, is -1. */
struct quota_track quota_track_parse(struct jute_slice text);
/* As ZooKeeper writes it, into the caller's room. */
struct jute_slice quota_track_text(const struct quota_track *,
				   char text[QUOTA_TEXT_BYTES_MAX]);

#endif
