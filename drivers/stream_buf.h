/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_STREAM_BUF_H
#define FALCONER_DRIVERS_STREAM_BUF_H

/*
 * stream_buf - the buffers of connections over kernel sockets.
 *
 * Two pooled sizes and a free one. Small ones (2 KiB) take the first output of
 * a connection and short input, so that a watch that fires for 10,000
 * connections in one loop takes 20 MiB and not 160. Medium ones hold
 * STREAM_BUFFER_BYTES. What is longer is allocated. Pools grow by slabs up to
 * the highest load seen and are never given back.
 *
 * Context    one core.
 * Ownership  whoever gets a buffer gives it back with stream_buf_put().
 * Limits     none of its own: connections and their unsent_bytes_max bound it.
 * Cost       a list pop or push; malloc once per slab and per large buffer.
 */

#include <stdint.h>

#include "base/fal.h"

enum stream_buf_size {
	STREAM_BUF_SMALL = 0,
	STREAM_BUF_MEDIUM,
	STREAM_BUF_LARGE, /* from malloc */
};

#define STREAM_BUF_POOLS 2

struct stream_buf {
	struct stream_buf *next; /* in a chain or in the pool */
	uint32_t head;           /* first byte that counts */
	uint32_t tail;           /* behind the last one; head <= tail */
	uint32_t capacity;       /* tail <= capacity */
	uint32_t size;           /* enum stream_buf_size */
	uint8_t data[];
};

#define STREAM_BUF_HEADER_BYTES ((uint32_t)sizeof(struct stream_buf))

/* Payloads. A small buffer is 2 KiB with its header. */
#define STREAM_BUF_SMALL_BYTES  (2048u - STREAM_BUF_HEADER_BYTES)
#define STREAM_BUF_MEDIUM_BYTES 16384u

struct stream_slab {
	struct stream_slab *next;
};

struct stream_pool {
	struct stream_buf *free[STREAM_BUF_POOLS];
	struct stream_slab *slabs;
	uint64_t bytes_in_use; /* payload of buffers that are out */
	uint64_t bytes_peak;   /* highest bytes_in_use */
	uint64_t slab_bytes;   /* memory of all slabs */
};

void stream_pool_init(struct stream_pool *pool);

/* Frees all slabs; every buffer has been given back. */
void stream_pool_free(struct stream_pool *pool);

/* Gives an empty buffer with capacity >= bytes, the smallest that fits; NULL
 * when there is no memory. */
struct stream_buf *stream_buf_get(struct stream_pool *pool, uint32_t bytes);

void stream_buf_put(struct stream_pool *pool, struct stream_buf *buf);

static inline uint32_t
stream_buf_bytes(const struct stream_buf *buf)
{
	return buf->tail - buf->head;
}

static inline uint32_t
stream_buf_room(const struct stream_buf *buf)
{
	return buf->capacity - buf->tail;
}

#endif
