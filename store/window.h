/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_WINDOW_H
#define FALCONER_STORE_WINDOW_H

/*
 * window - the memory of txlog: a byte ring mapped twice back to back, and a
 * sparse index from zxids to positions.
 *
 * Any range of up to `bytes` bytes is contiguous, wherever it starts. The
 * index notes one record per WINDOW_NOTE_BYTES, so a look-up walks at most
 * that much.
 *
 * Context    window_at(): any thread that knows its bytes are there. The index:
 *            the appending thread.
 * Source     architecture.md 6.2 (R4).
 */

#include "base/fal.h"

#define WINDOW_NOTE_BYTES (64u << 10)

struct window_note {
	uint64_t zxid;
	uint64_t pos;
};

struct window {
	uint8_t *base;
	uint64_t bytes; /* power of two */
	struct window_note *notes;
	uint64_t note_cap;   /* power of two */
	uint64_t note_count; /* ever; the ring keeps the last note_cap */
};

/* bytes: a power of two, a multiple of the page size. Returns 0, FAL_ENOMEM. */
FAL_MUST_CHECK int window_create(struct window *, uint64_t bytes);
void window_destroy(struct window *);

static inline uint8_t *
window_at(const struct window *window, uint64_t pos)
{
	return window->base + (pos & (window->bytes - 1));
}

/* Tells of a record that was appended at pos; zxids and positions grow. */
void window_index_note(struct window *, uint64_t zxid, uint64_t pos);

/* Forgets all records. */
void window_index_clear(struct window *);

/* Gives the position >= pos_min of the last noted record with a zxid at or
 * below `zxid`; false if there is none. */
bool window_index_find(const struct window *, uint64_t zxid, uint64_t pos_min,
		       uint64_t *pos);

#endif
