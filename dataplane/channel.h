/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_CHANNEL_H
#define FALCONER_DATAPLANE_CHANNEL_H

/*
 * channel - everything one reader core and the ZAB core share.
 *
 *   R1a session_lane  reader -> ZAB   connects, resumes, detaches
 *   R1b data_lane     reader -> ZAB   writes, syncs; full: the reader stops
 *                                     taking writes from its sockets
 *   R3  unicast       ZAB -> reader   answers that are no transaction, and
 *                                     closes of connections that lost their
 *                                     session; large enough for every req and
 *                                     every connection, so never full
 *   heard             one word per connection, stored by the reader at each
 *                     request, read by the ZAB core when a session is due
 *   touched           a bit per connection that was heard since the ZAB core
 *                     last took them, and a bit per word of those: a leader
 *                     that asks often who was heard costs what was heard
 *   parked            the word of dataplane/serving.h that made the reader
 *                     leave the tree
 *
 * Two lanes, so that a flood of data never delays a heartbeat or a connect.
 */

#include <stdatomic.h>

#include "base/ring.h"
#include "drivers/lcore.h"

/* What the ZAB core says in the flags of a delta record. */
#define DELTA_MUST_CLOSE 1u /* close the connection, no reply */
#define DELTA_INTERNAL   2u /* not asked for by a client: expiry, reaping */

struct channel_heard {
	_Atomic uint64_t ms;  /* monotonic; 0 before the first request */
	_Atomic uint32_t gen; /* of the connection that stores ms */
	_Atomic int32_t timeout_ms;
	_Atomic int64_t session_id; /* 0: none is open */
};

struct channel {
	struct ring session_lane;
	struct ring data_lane;
	struct ring unicast;
	struct channel_heard *heard; /* conn_limit entries */
	_Atomic uint64_t *touched;   /* of connections */
	_Atomic uint64_t *marked;    /* of words of `touched` */
	uint32_t conn_limit;
	_Atomic uint32_t parked;
	uint16_t core; /* number of the reader, 0..15 */
	struct lcore *reader_lcore, *zab_lcore; /* whose doorbells to ring */
};

/* req_count: how many reqs the reader can have under way. Returns 0 or
 * FAL_ENOMEM. */
FAL_MUST_CHECK int channel_init(struct channel *, uint16_t core,
				uint32_t req_count, uint32_t conn_limit);
void channel_destroy(struct channel *);

static inline void
channel_set_bit(_Atomic uint64_t *bits, uint32_t index)
{
	_Atomic uint64_t *word = &bits[index / 64];
	const uint64_t bit = 1ull << index % 64;

	/* Pairs with the exchanges in channel_take_touched(): either they find
	 * this bit, or they came before and the mark is seen to be gone. Mostly
	 * the bit is there already, and then the line stays shared. */
	if (!(atomic_load_explicit(word, memory_order_relaxed) & bit))
		atomic_fetch_or_explicit(word, bit, memory_order_acq_rel);
}

/* Something was heard of that connection. The reader. */
static inline void
channel_touch(struct channel *channel, uint32_t index, uint64_t now_ms)
{
	atomic_store_explicit(&channel->heard[index].ms, now_ms,
			      memory_order_relaxed);
	channel_set_bit(channel->touched, index);
	channel_set_bit(channel->marked, index / 64);
}

/* Tells the connections that were touched since the last call. ZAB core. */
void channel_take_touched(struct channel *,
			  void (*fn)(void *arg, uint32_t index), void *arg);

#endif
