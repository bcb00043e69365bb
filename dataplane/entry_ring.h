/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_ENTRY_RING_H
#define FALCONER_DATAPLANE_ENTRY_RING_H

/*
 * entry_ring - the newest entries that a leader proposed, by zxid.
 *
 * A follower that joins gets the open proposals once more, an observer gets an
 * entry when it is committed: long after it left the log's window perhaps. So
 * the entries of this reign are kept, at least as long as they are not
 * committed, the oldest leaving when room is needed.
 *
 *   bytes   a ring of entries, each in one piece
 *   place   a ring of (zxid, where, how long); zxids are consecutive, so the
 *           place of a zxid is found by subtraction
 *
 * Context    one core.
 * Limits     bytes and places are fixed at creation.
 * Cost       a copy for each put; find is constant.
 */

#include "base/fal.h"

struct entry_ring;

/* bytes, places: powers of two. FAL_ENOMEM. */
FAL_MUST_CHECK int entry_ring_create(uint64_t bytes, uint32_t places,
				     struct entry_ring **out);
void entry_ring_destroy(struct entry_ring *);

/* Forgets all. */
void entry_ring_clear(struct entry_ring *);
/* Would an entry of that size fit without losing one above `keep`? */
bool entry_ring_has_room(const struct entry_ring *, uint32_t bytes,
			 int64_t keep);
/* Keeps a copy; there is room. zxid: the last one plus 1, or any if empty. */
void entry_ring_put(struct entry_ring *, int64_t zxid, const void *entry,
		    uint32_t bytes);
/* NULL: it is not there (any more). */
const uint8_t *entry_ring_find(const struct entry_ring *, int64_t zxid,
			       uint32_t *bytes);

#endif
