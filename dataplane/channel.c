/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel - sizes of the rings between a reader and the ZAB core: both lanes
 * together can hold every req, so a push from the pool fails only when the
 * lane's own bound says "stop reading".
 */
#include "dataplane/channel.h"

#include <stdlib.h>

#include "base/bits.h"

#define SESSION_LANE_REQS 1024u
#define DATA_LANE_REQS    4096u

/* So many bits are so many words. */
static uint32_t
words_of(uint32_t bits)
{
	return (uint32_t)(bits_align_up(bits, 64) / 64);
}

int
channel_init(struct channel *channel, uint16_t core, uint32_t req_count,
	     uint32_t conn_limit)
{
	*channel = (struct channel){.core = core, .conn_limit = conn_limit};
	channel->heard = calloc(conn_limit, sizeof(*channel->heard));
	channel->touched = calloc(words_of(conn_limit), sizeof(uint64_t));
	channel->marked =
		calloc(words_of(words_of(conn_limit)), sizeof(uint64_t));
	if (channel->heard == NULL || channel->touched == NULL ||
	    channel->marked == NULL ||
	    ring_init(&channel->session_lane, "R1a", SESSION_LANE_REQS) != 0 ||
	    ring_init(&channel->data_lane, "R1b", DATA_LANE_REQS) != 0 ||
	    ring_init(&channel->unicast, "R3", req_count + conn_limit) != 0) {
		channel_destroy(channel);
		return FAL_ENOMEM;
	}
	return FAL_OK;
}

void
channel_destroy(struct channel *channel)
{
	ring_free(&channel->session_lane);
	ring_free(&channel->data_lane);
	ring_free(&channel->unicast);
	free(channel->heard);
	free(channel->touched);
	free(channel->marked);
	channel->heard = NULL;
	channel->touched = NULL;
	channel->marked = NULL;
}

/* A bit that is set while its word is looked at is found by the next call: its
 * mark was set behind it, and the marks are taken first. */
static void
take_heard(struct channel *channel, uint32_t word,
	   void (*fn)(void *arg, uint32_t index), void *arg)
{
	uint64_t bits = atomic_exchange_explicit(&channel->touched[word], 0,
						 memory_order_acq_rel);

	for (; bits != 0; bits &= bits - 1)
		fn(arg, word * 64 + (uint32_t)__builtin_ctzll(bits));
}

void
channel_take_touched(struct channel *channel,
		     void (*fn)(void *arg, uint32_t index), void *arg)
{
	const uint32_t words = words_of(words_of(channel->conn_limit));

	for (uint32_t i = 0; i < words; i++) {
		uint64_t marks;

		if (atomic_load_explicit(&channel->marked[i],
					 memory_order_relaxed) == 0)
			continue;
		marks = atomic_exchange_explicit(&channel->marked[i], 0,
						 memory_order_acq_rel);
		for (; marks != 0; marks &= marks - 1)
			take_heard(channel,
				   i * 64 + (uint32_t)__builtin_ctzll(marks),
				   fn, arg);
	}
}
