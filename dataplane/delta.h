/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_DELTA_H
#define FALCONER_DATAPLANE_DELTA_H

/*
 * delta - the broadcast ring R2: what every transaction did, for every reader.
 *
 * One record per transaction, in zxid order, with its watch events (effects)
 * and the reply to whoever asked for it. The ZAB core appends a record when it
 * applies the transaction; nobody sees it yet. Publishing moves the tail over
 * the records of a batch and then stores the newest published zxid P, both for
 * all cores at once. Unpublished records can be taken back.
 *
 *      reclaimed          tail              head
 *   ------|-----------------|-----------------|------->  sequence numbers
 *    free   some cursor is    appended, not     free
 *           still before it   published
 *
 * A reader loads P' = P first and then walks the records with zxid <= P'; what
 * was published in between waits for its next loop. After the walk its state
 * is S = P', the events of all transactions <= S are in its outputs, and none
 * of a later one is. Why not an rte_ring: that delivers each element once, and
 * "nobody here watches" could not be decided by the reader itself.
 *
 * Context    P: the one producer, the ZAB core. C: the one thread that owns
 *            the cursor. Creation, opening of cursors and destruction happen
 *            while neither side runs (or all of them on one thread).
 * Ownership  append copies effects and reply. What delta_next() gave is lent
 *            until delta_cursor_advance().
 * Limits     records and arena are fixed at creation; when the slowest cursor
 *            is a whole ring behind, delta_can_append() says no and the ZAB
 *            core stops admitting. Nothing is ever dropped. Blobs over a
 *            quarter of the arena, and such as were announced too small and
 *            find no room there, get a heap block of their own, freed at the
 *            first delta_publish() after all cursors passed it.
 * Cost       append: copy + about 10 ns; publish: one look per record and two
 *            stores; next: one cache line per record.
 * Source     architecture.md 1.2, 4.2-4.4.
 */

#include <stdatomic.h>

#include "base/fal.h"

#define DELTA_RECORDS_DEFAULT 65536u
#define DELTA_ARENA_DEFAULT   (32u << 20)
#define DELTA_CURSORS_MAX     32u

/* flags; the lower bits are the caller's. */
#define DELTA_FLAG_HEAP 0x8000u /* set here: the blob is a heap block */

struct delta {
	uint64_t zxid;
	int64_t session_id;
	uint32_t conn, conn_gen; /* who waits for the reply, at origin_core */
	int32_t cxid;
	int32_t type; /* of the transaction: OP_CREATE, OP_CLOSE_SESSION, ... */
	int32_t err;  /* of the reply header */
	uint16_t origin_core;
	uint16_t flags;
	uint32_t effect_count;
	uint32_t effects_bytes; /* struct effect, one behind the other */
	uint32_t reply_bytes;   /* body of the reply, without its header */
	uint32_t span;          /* set here: arena bytes, wrap skip included */
	const uint8_t *blob;    /* set here: effects, padded to 8; reply */
};

_Static_assert(sizeof(struct delta) == FAL_CACHE_LINE_BYTES,
	       "a record is one cache line");
_Static_assert(offsetof(struct delta, blob) == 56, "no hidden padding");

struct delta_ring;
struct delta_cursor;

/*
 * Makes a ring with P = 0.
 *
 * records      power of two, 2..2^24
 * arena_bytes  power of two, 64..2^31
 * cursors      1..DELTA_CURSORS_MAX places for readers
 *
 * Returns 0, FAL_EINVAL (a number out of range), FAL_ENOMEM.
 */
FAL_MUST_CHECK int delta_ring_create(uint32_t records, uint32_t arena_bytes,
				     uint32_t cursors, struct delta_ring **out);
void delta_ring_destroy(struct delta_ring *);

/*
 * P. Is there room for one more record with up to blob_bytes of effects and
 * reply? Once true it stays true for that or a smaller blob until something is
 * appended.
 */
bool delta_can_append(struct delta_ring *, uint64_t blob_bytes);

/*
 * P. Appends a record that nobody sees before delta_publish().
 *
 * record   zxid above everything appended and published; effects_bytes,
 *          reply_bytes and effect_count tell the blob; span, blob ignored
 * effects  effects_bytes bytes; NULL when 0
 * reply    reply_bytes bytes; NULL when 0
 *
 * Returns 0, FAL_EAGAIN (no room for a record: see delta_can_append()),
 * FAL_ENOMEM (no heap block for the blob). Nothing happened on error.
 */
FAL_MUST_CHECK int delta_append(struct delta_ring *, const struct delta *record,
				const void *effects, const void *reply);

/* P. Makes all records <= zxid visible, then P = zxid (release). zxid may be
 * one without a record (a new epoch), never below P. */
void delta_publish(struct delta_ring *, uint64_t zxid);

/* P. Takes unpublished records > to_zxid back; to_zxid is not below P. */
void delta_rewind(struct delta_ring *, uint64_t to_zxid);

/* P. Nobody waits for the replies of unpublished records any more: their
 * origin_core becomes UINT16_MAX. */
void delta_disown(struct delta_ring *);

/*
 * P. Starts over at a state that has no history here (a snapshot was loaded,
 * possibly an older one): P = zxid. Unpublished records are dropped. All
 * cursors have passed everything published, their owners run no reads.
 */
void delta_restart(struct delta_ring *, uint64_t zxid);

/* P, the newest published zxid; load it with acquire. Lives as long as the
 * ring. */
const _Atomic uint64_t *delta_published(const struct delta_ring *);

/* P. Records that the slowest cursor has not passed; 0 without cursors. */
uint64_t delta_lag(const struct delta_ring *);
/* P. Records appended and not published. */
uint64_t delta_unpublished(const struct delta_ring *);

/*
 * Gives cursor number `core` (0..cursors-1) out, standing behind everything
 * published so far. Each number once, until it is closed. A reader that sleeps
 * keeps its cursor and so must be woken before the ring fills up.
 */
struct delta_cursor *delta_cursor_open(struct delta_ring *, uint32_t core);
/* C. The cursor holds nothing back any more. */
void delta_cursor_close(struct delta_cursor *);

/*
 * C. The next record <= limit, or NULL when there is none.
 *
 * limit  P' as the caller loaded it (acquire) before the first call
 */
const struct delta *delta_next(struct delta_cursor *, uint64_t limit);

/* C. Goes past all records <= limit without looking at them: what a core does
 * that has neither watches nor pending replies. Returns how many. */
uint64_t delta_cursor_skip(struct delta_cursor *, uint64_t limit);

/* C. Gives back all that delta_next() and delta_cursor_skip() went past; one
 * store for the batch. */
void delta_cursor_advance(struct delta_cursor *);

/* C. The effects of a record, 8-byte aligned; NULL: none. */
static inline const void *
delta_effects(const struct delta *record)
{
	return record->effects_bytes == 0 ? NULL : record->blob;
}

/* C. The reply body; NULL: empty. */
static inline const uint8_t *
delta_reply(const struct delta *record)
{
	const uint64_t at = ((uint64_t)record->effects_bytes + 7) & ~7ull;

	return record->reply_bytes == 0 ? NULL : record->blob + at;
}

#endif
