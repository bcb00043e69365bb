/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_DIGEST_LOG_H
#define FALCONER_DATAPLANE_DIGEST_LOG_H

/*
 * digest_log - digests of the tree at round zxids of the past.
 *
 * Servers of an ensemble that hold the same data show the same digest at the
 * same zxid; as they are never at the same zxid when asked, each keeps those
 * of every 128th zxid, the newest 1024 of them.
 *
 * Context    one core, the ZAB core.
 * Cost       note: one comparison, a store of 16 bytes every 128th time.
 * Source     client-protocol.md 11.1, word hash.
 */

#include "base/fal.h"

#define DIGEST_LOG_EVERY   128
#define DIGEST_LOG_ENTRIES 1024u

struct digest_log_entry {
	int64_t zxid;
	uint64_t digest;
};

/* All zero is an empty one. */
struct digest_log {
	uint64_t noted; /* so many ever */
	struct digest_log_entry entry[DIGEST_LOG_ENTRIES];
};

/* A transaction was published and left that digest. */
static inline void
digest_log_note(struct digest_log *log, int64_t zxid, uint64_t digest)
{
	if (FAL_LIKELY(zxid % DIGEST_LOG_EVERY != 0))
		return;
	log->entry[log->noted++ % DIGEST_LOG_ENTRIES] =
		(struct digest_log_entry){.zxid = zxid, .digest = digest};
}

/*
 * Gives the oldest entry at or behind *position.
 *
 * position  starts at 0; stands behind the entry then. Entries that are
 *           overwritten between two calls are skipped.
 *
 * Returns false when there is no more.
 */
static inline bool
digest_log_next(const struct digest_log *log, uint64_t *position,
		struct digest_log_entry *out)
{
	const uint64_t oldest = log->noted < DIGEST_LOG_ENTRIES
					? 0
					: log->noted - DIGEST_LOG_ENTRIES;

	if (*position < oldest)
		*position = oldest;
	if (*position >= log->noted)
		return false;
	*out = log->entry[(*position)++ % DIGEST_LOG_ENTRIES];
	return true;
}

#endif
