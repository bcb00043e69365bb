/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta - records in a power-of-two array, blobs in a byte ring beside it.
 *
 * Both are used in the same order, so the place of a blob is freed together
 * with its record: span says how far the byte ring's tail moves, the skip at
 * the wrap (blobs are contiguous) included. Taking a record back moves the
 * byte ring's head by the same number.
 *
 * Memory order. The producer writes records and blobs, then tail (release),
 * then P (release). A reader that acquired P' finds by the tail it loads after
 * that every record <= P'; the tail may already show later ones, hence the
 * comparison of zxids. A cursor is stored with release after the reader's last
 * look at what it passed and loaded with acquire before the producer writes
 * there again. tail and P share a line: readers need both, the producer
 * touches it once per batch. Each cursor has its own line.
 */
#include "dataplane/delta.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define RECORDS_MAX   (1u << 24)
#define ARENA_MIN     64u
#define ARENA_MAX     (1u << 31)
#define CURSOR_CLOSED UINT64_MAX

struct delta_cursor {
	/* Written by the reader only. */
	alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t passed;
	uint64_t at;   /* next record to look at; >= passed */
	uint64_t seen; /* tail as last loaded */
	const struct delta_ring *ring;
	bool is_open;
};

struct delta_ring {
	/* Read by everybody, written once per batch. */
	alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t published;
	_Atomic uint64_t tail;

	/* The producer's own. */
	alignas(FAL_CACHE_LINE_BYTES) uint64_t head;
	uint64_t reclaimed;
	uint64_t heap_blocks;            /* of records not yet reclaimed */
	uint64_t arena_head, arena_tail; /* byte offsets that only grow... */
	uint64_t last_zxid;              /* ...but for delta_rewind() */

	/* Constant after creation. */
	alignas(FAL_CACHE_LINE_BYTES) struct delta *record;
	uint8_t *arena;
	uint64_t mask;
	uint64_t arena_bytes;
	uint32_t cursor_count;
	struct delta_cursor cursor[];
};

static struct delta *
record_at(const struct delta_ring *ring, uint64_t sequence)
{
	return &ring->record[sequence & ring->mask];
}

/* The producer's own look at its tail. */
static uint64_t
own_tail(const struct delta_ring *ring)
{
	return atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

static uint64_t
own_published(const struct delta_ring *ring)
{
	return atomic_load_explicit(&ring->published, memory_order_relaxed);
}

/* Everything below has been passed by all. */
static uint64_t
slowest(const struct delta_ring *ring)
{
	uint64_t low = own_tail(ring);

	for (uint32_t i = 0; i < ring->cursor_count; i++) {
		/* pairs with release in delta_cursor_advance() */
		const uint64_t passed = atomic_load_explicit(
			&ring->cursor[i].passed, memory_order_acquire);

		if (passed < low)
			low = passed;
	}
	return low;
}

static void
blob_free(struct delta_ring *ring, const struct delta *record)
{
	if (!(record->flags & DELTA_FLAG_HEAP))
		return;
	FAL_ASSERT(ring->heap_blocks > 0);
	ring->heap_blocks--;
	free((void *)(uintptr_t)record->blob);
}

/* Frees what all cursors have passed. */
static void
reclaim(struct delta_ring *ring)
{
	const uint64_t low = slowest(ring);

	FAL_ASSERT(low >= ring->reclaimed);
	while (ring->reclaimed < low) {
		const struct delta *record = record_at(ring, ring->reclaimed);

		blob_free(ring, record);
		ring->arena_tail += record->span;
		ring->reclaimed++;
	}
	FAL_ASSERT(ring->arena_tail <= ring->arena_head);
}

/* Arena bytes for a blob, the skip to the start included. */
static uint64_t
span_of(const struct delta_ring *ring, uint64_t bytes)
{
	const uint64_t at = ring->arena_head & (ring->arena_bytes - 1);

	if (at + bytes <= ring->arena_bytes)
		return bytes;
	return ring->arena_bytes - at + bytes;
}

static bool
has_room(const struct delta_ring *ring, uint64_t span)
{
	return ring->head - ring->reclaimed <= ring->mask &&
	       ring->arena_head + span - ring->arena_tail <= ring->arena_bytes;
}

/* Room in the arena for a blob of that span, after a look at the cursors if
 * need be. */
static bool
make_room(struct delta_ring *ring, uint64_t span)
{
	if (FAL_LIKELY(has_room(ring, span)))
		return true;
	reclaim(ring);
	return has_room(ring, span);
}

int
delta_ring_create(uint32_t records, uint32_t arena_bytes, uint32_t cursors,
		  struct delta_ring **out)
{
	*out = NULL;
	if (!bits_is_pow2(records) || records < 2 || records > RECORDS_MAX ||
	    !bits_is_pow2(arena_bytes) || arena_bytes < ARENA_MIN ||
	    arena_bytes > ARENA_MAX || cursors == 0 ||
	    cursors > DELTA_CURSORS_MAX)
		return FAL_EINVAL;

	const size_t bytes = sizeof(struct delta_ring) +
			     cursors * sizeof(struct delta_cursor);
	struct delta_ring *ring = aligned_alloc(FAL_CACHE_LINE_BYTES, bytes);

	if (ring == NULL)
		return FAL_ENOMEM;
	memset(ring, 0, bytes);
	ring->mask = records - 1;
	ring->arena_bytes = arena_bytes;
	ring->cursor_count = cursors;
	for (uint32_t i = 0; i < cursors; i++) {
		ring->cursor[i].ring = ring;
		atomic_init(&ring->cursor[i].passed, CURSOR_CLOSED);
	}
	ring->record = aligned_alloc(FAL_CACHE_LINE_BYTES,
				     records * sizeof(struct delta));
	ring->arena = aligned_alloc(FAL_CACHE_LINE_BYTES, arena_bytes);
	if (ring->record == NULL || ring->arena == NULL) {
		delta_ring_destroy(ring);
		return FAL_ENOMEM;
	}
	*out = ring;
	return 0;
}

void
delta_ring_destroy(struct delta_ring *ring)
{
	if (ring == NULL)
		return;
	for (uint64_t i = ring->reclaimed; i < ring->head; i++)
		blob_free(ring, record_at(ring, i));
	free(ring->arena);
	free(ring->record);
	free(ring);
}

bool
delta_can_append(struct delta_ring *ring, uint64_t blob_bytes)
{
	/* Two paddings at most. A larger blob goes to the heap, but the one
	 * that comes in the end may be smaller than announced. */
	const uint64_t quarter = ring->arena_bytes / 4;
	const uint64_t most = blob_bytes < quarter - 16
				      ? bits_align_up(blob_bytes, 8) + 8
				      : quarter;

	return make_room(ring, span_of(ring, most));
}

int
delta_append(struct delta_ring *ring, const struct delta *given,
	     const void *effects, const void *reply)
{
	const uint64_t reply_at = bits_align_up(given->effects_bytes, 8);
	const uint64_t bytes = reply_at + bits_align_up(given->reply_bytes, 8);
	bool is_large = bytes > ring->arena_bytes / 4;
	const uint64_t span = is_large ? 0 : span_of(ring, bytes);
	uint8_t *blob = NULL;

	FAL_ASSERT(given->zxid > ring->last_zxid);
	FAL_ASSERT(!(given->flags & DELTA_FLAG_HEAP));
	if (FAL_UNLIKELY(!make_room(ring, span))) {
		if (!make_room(ring, 0))
			return FAL_EAGAIN;
		is_large = bytes > 0; /* larger than announced */
	}

	struct delta *record = record_at(ring, ring->head);

	*record = *given;
	record->span = 0;
	if (is_large) {
		blob = malloc(bytes);
		if (blob == NULL)
			return FAL_ENOMEM;
		record->flags |= DELTA_FLAG_HEAP;
		ring->heap_blocks++;
	} else if (bytes > 0) {
		record->span = (uint32_t)span;
		ring->arena_head += span;
		blob = ring->arena +
		       ((ring->arena_head - bytes) & (ring->arena_bytes - 1));
	}
	record->blob = blob;
	if (given->effects_bytes > 0)
		memcpy(blob, effects, given->effects_bytes);
	if (given->reply_bytes > 0)
		memcpy(blob + reply_at, reply, given->reply_bytes);
	ring->last_zxid = given->zxid;
	ring->head++;
	return 0;
}

void
delta_publish(struct delta_ring *ring, uint64_t zxid)
{
	uint64_t tail = own_tail(ring);

	/* Room in the ring is looked for when it runs short; megabytes on the
	 * heap are not left lying that long. */
	if (FAL_UNLIKELY(ring->heap_blocks > 0))
		reclaim(ring);
	FAL_ASSERT(zxid >= own_published(ring));
	while (tail < ring->head && record_at(ring, tail)->zxid <= zxid)
		tail++;
	/* pairs with acquire in tail_load() */
	atomic_store_explicit(&ring->tail, tail, memory_order_release);
	/* pairs with the reader's acquire of P' */
	atomic_store_explicit(&ring->published, zxid, memory_order_release);
	if (ring->last_zxid < zxid)
		ring->last_zxid = zxid;
}

void
delta_rewind(struct delta_ring *ring, uint64_t to_zxid)
{
	const uint64_t tail = own_tail(ring);

	FAL_ASSERT(to_zxid >= own_published(ring));
	while (ring->head > tail) {
		const struct delta *last = record_at(ring, ring->head - 1);

		if (last->zxid <= to_zxid)
			break;
		blob_free(ring, last);
		ring->arena_head -= last->span;
		ring->head--;
	}
	if (ring->last_zxid > to_zxid)
		ring->last_zxid = to_zxid;
}

void
delta_disown(struct delta_ring *ring)
{
	for (uint64_t at = own_tail(ring); at < ring->head; at++)
		record_at(ring, at)->origin_core = UINT16_MAX;
}

void
delta_restart(struct delta_ring *ring, uint64_t zxid)
{
	delta_rewind(ring, own_published(ring));
	reclaim(ring);
	FAL_ASSERT(ring->reclaimed == ring->head);
	ring->last_zxid = zxid;
	/* pairs with the reader's acquire of P' */
	atomic_store_explicit(&ring->published, zxid, memory_order_release);
}

const _Atomic uint64_t *
delta_published(const struct delta_ring *ring)
{
	return &ring->published;
}

uint64_t
delta_lag(const struct delta_ring *ring)
{
	return own_tail(ring) - slowest(ring);
}

uint64_t
delta_unpublished(const struct delta_ring *ring)
{
	return ring->head - own_tail(ring);
}

/* The cursor's newest knowledge of the tail. */
static uint64_t
tail_load(struct delta_cursor *cursor)
{
	/* pairs with release in delta_publish() */
	cursor->seen =
		atomic_load_explicit(&cursor->ring->tail, memory_order_acquire);
	return cursor->seen;
}

struct delta_cursor *
delta_cursor_open(struct delta_ring *ring, uint32_t core)
{
	FAL_ASSERT(core < ring->cursor_count);
	struct delta_cursor *cursor = &ring->cursor[core];

	FAL_ASSERT(!cursor->is_open);
	cursor->is_open = true;
	cursor->at = tail_load(cursor);
	atomic_store_explicit(&cursor->passed, cursor->at,
			      memory_order_release);
	return cursor;
}

void
delta_cursor_close(struct delta_cursor *cursor)
{
	FAL_ASSERT(cursor->is_open);
	cursor->is_open = false;
	/* pairs with acquire in slowest() */
	atomic_store_explicit(&cursor->passed, CURSOR_CLOSED,
			      memory_order_release);
}

const struct delta *
delta_next(struct delta_cursor *cursor, uint64_t limit)
{
	if (cursor->at == cursor->seen && cursor->at == tail_load(cursor))
		return NULL;

	const struct delta *record = record_at(cursor->ring, cursor->at);

	if (record->zxid > limit)
		return NULL;
	cursor->at++;
	if (cursor->at < cursor->seen)
		__builtin_prefetch(record_at(cursor->ring, cursor->at));
	return record;
}

uint64_t
delta_cursor_skip(struct delta_cursor *cursor, uint64_t limit)
{
	const uint64_t from = cursor->at;
	uint64_t to = tail_load(cursor);

	/* What was published after `limit` was loaded stays; mostly nothing. */
	while (to > from && record_at(cursor->ring, to - 1)->zxid > limit)
		to--;
	cursor->at = to;
	return to - from;
}

void
delta_cursor_advance(struct delta_cursor *cursor)
{
	FAL_ASSERT(cursor->is_open);
	/* Mostly nothing moved: no store, the line stays with the producer. */
	if (atomic_load_explicit(&cursor->passed, memory_order_relaxed) ==
	    cursor->at)
		return;
	/* pairs with acquire in slowest() */
	atomic_store_explicit(&cursor->passed, cursor->at,
			      memory_order_release);
}
