/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_STREAM_CHAIN_H
#define FALCONER_DRIVERS_STREAM_CHAIN_H

/*
 * stream_chain - output of a connection that waits: buffers in the order of
 * their bytes. Bytes are added at the tail, in place (reserve, commit) or by
 * copying (write), and taken from the head. The first buffer may be small, who
 * goes on writing gets medium ones.
 *
 * A buffer that is in the chain does not move, and what lies in it does not
 * either, until its bytes were taken: the system may read it meanwhile.
 *
 * A chain of zeroes is empty. All functions take the pool of its buffers.
 *
 * Context    one core.
 * Ownership  the chain has its buffers; stream_chain_drop() gives them back.
 * Limits     none of its own: the caller asks for no more than it allows.
 * Errors     no memory: the chain is unchanged.
 * Cost       a copy of what is written; see stream_buf.h.
 */

#include "drivers/stream_buf.h"

struct stream_chain {
	uint32_t bytes;          /* committed and not yet taken */
	uint32_t reserved;       /* given by the last reserve, 0: it is over */
	struct stream_buf *head; /* oldest; NULL: none */
	struct stream_buf *tail;
};

/* Adds an empty buffer that holds `bytes`. Returns it; NULL: no memory. */
struct stream_buf *stream_chain_extend(struct stream_chain *chain,
				       struct stream_pool *pool,
				       uint32_t bytes);

/*
 * Gives space behind the last byte, at least `bytes` in one piece and at least
 * one, until the next call. An empty buffer stays in the chain if nothing is
 * committed.
 *
 * allowed  sets the limit of what may be committed, >= bytes
 *
 * Returns NULL when there is no memory.
 */
static inline uint8_t *
stream_chain_reserve(struct stream_chain *chain, struct stream_pool *pool,
		     uint32_t bytes, uint32_t allowed)
{
	struct stream_buf *tail = chain->tail;
	uint32_t room;

	chain->reserved = 0;
	if (tail == NULL || stream_buf_room(tail) < bytes ||
	    stream_buf_room(tail) == 0) {
		tail = stream_chain_extend(chain, pool, bytes);
		if (tail == NULL)
			return NULL;
	}
	room = stream_buf_room(tail);
	chain->reserved = room < allowed ? room : allowed;
	return tail->data + tail->tail;
}

/* Adds `used` bytes of those reserved; 0: none. */
static inline void
stream_chain_commit(struct stream_chain *chain, uint32_t used)
{
	FAL_ASSERT(used <= chain->reserved);
	chain->reserved = 0;
	if (used == 0)
		return;
	chain->tail->tail += used;
	chain->bytes += used;
}

/* Copies `bytes` behind the last byte, all or nothing. Returns 0 or FAL_ENOMEM.
 */
FAL_MUST_CHECK int stream_chain_write(struct stream_chain *chain,
				      struct stream_pool *pool,
				      const void *data, uint32_t bytes);

/* Takes the oldest bytes, and the buffers that are empty then; a reserve is
 * over. */
void stream_chain_take(struct stream_chain *chain, struct stream_pool *pool,
		       uint32_t bytes);

/* Takes everything. */
void stream_chain_drop(struct stream_chain *chain, struct stream_pool *pool);

#endif
