/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_SERVING_H
#define FALCONER_DATAPLANE_SERVING_H

/*
 * serving - whether clients are served, as one word.
 *
 * The ZAB core of a member of an ensemble stores it, every reader looks at it
 * once a round and acts upon each change: all client connections are closed,
 * because whoever was served under another leader (or by a read-only server)
 * must connect again. Connections that only ask for a four-letter word live on.
 *
 * With SERVING_PARKED the tree is about to be replaced: a reader walks what is
 * published, goes offline and stores the word in its channel (parked); when all
 * have done so nobody touches the tree any more until the word changes again.
 *
 * Context    serving_set(): the ZAB core; serving_load(): any thread.
 * Cost       a load per reader and round of a line that changes never.
 */

#include <stdalign.h>
#include <stdatomic.h>

#include "base/fal.h"

/* The low bits of the word; the rest counts changes. */
#define SERVING_CLOSED     0u /* no clients: nobody leads, or not yet ready */
#define SERVING_ALL        1u
#define SERVING_READS      2u /* read-only server, for clients that accept it */
#define SERVING_STATE_MASK 3u
#define SERVING_PARKED     4u
#define SERVING_CHANGE     8u

struct serving {
	alignas(FAL_CACHE_LINE_BYTES) _Atomic uint32_t word;
};

static inline uint32_t
serving_load(const struct serving *serving)
{
	/* pairs with release in serving_set() */
	return atomic_load_explicit(&serving->word, memory_order_acquire);
}

/* bits: a state, perhaps with SERVING_PARKED. Returns the new word. */
static inline uint32_t
serving_set(struct serving *serving, uint32_t bits)
{
	const uint32_t old =
		atomic_load_explicit(&serving->word, memory_order_relaxed);
	const uint32_t word =
		((old & ~(SERVING_CHANGE - 1)) + SERVING_CHANGE) | bits;

	/* pairs with acquire in serving_load() */
	atomic_store_explicit(&serving->word, word, memory_order_release);
	return word;
}

#endif
