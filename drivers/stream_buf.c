/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_buf - free lists carved from slabs of some 256 KiB to 1 MiB, last in
 * first out, so that the buffer used next is the one still in the cache.
 */
#include "drivers/stream_buf.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define SLAB_BUFFERS 64u

static const uint32_t payload_bytes[STREAM_BUF_POOLS] = {
	STREAM_BUF_SMALL_BYTES,
	STREAM_BUF_MEDIUM_BYTES,
};

void
stream_pool_init(struct stream_pool *pool)
{
	memset(pool, 0, sizeof(*pool));
}

void
stream_pool_free(struct stream_pool *pool)
{
	FAL_ASSERT(pool->bytes_in_use == 0);
	while (pool->slabs != NULL) {
		struct stream_slab *next = pool->slabs->next;

		free(pool->slabs);
		pool->slabs = next;
	}
	memset(pool->free, 0, sizeof(pool->free));
}

/* Adds SLAB_BUFFERS buffers to the free list. Returns 0 or FAL_ENOMEM. */
static int
slab_add(struct stream_pool *pool, uint32_t size)
{
	const size_t step =
		bits_align_up(STREAM_BUF_HEADER_BYTES + payload_bytes[size],
			      FAL_CACHE_LINE_BYTES);
	const size_t bytes = FAL_CACHE_LINE_BYTES + SLAB_BUFFERS * step;
	uint8_t *slab = aligned_alloc(FAL_CACHE_LINE_BYTES, bytes);

	if (slab == NULL)
		return FAL_ENOMEM;
	((struct stream_slab *)(void *)slab)->next = pool->slabs;
	pool->slabs = (struct stream_slab *)(void *)slab;
	pool->slab_bytes += bytes;
	for (uint32_t i = SLAB_BUFFERS; i-- > 0;) {
		struct stream_buf *buf =
			(void *)(slab + FAL_CACHE_LINE_BYTES + i * step);

		buf->capacity = payload_bytes[size];
		buf->size = size;
		buf->next = pool->free[size];
		pool->free[size] = buf;
	}
	return 0;
}

static struct stream_buf *
pooled_get(struct stream_pool *pool, uint32_t size)
{
	struct stream_buf *buf;

	if (pool->free[size] == NULL && slab_add(pool, size) != 0)
		return NULL;
	buf = pool->free[size];
	pool->free[size] = buf->next;
	return buf;
}

static struct stream_buf *
large_get(uint32_t bytes)
{
	struct stream_buf *buf =
		malloc((size_t)STREAM_BUF_HEADER_BYTES + bytes);

	if (buf == NULL)
		return NULL;
	buf->capacity = bytes;
	buf->size = STREAM_BUF_LARGE;
	return buf;
}

struct stream_buf *
stream_buf_get(struct stream_pool *pool, uint32_t bytes)
{
	struct stream_buf *buf;

	if (bytes <= STREAM_BUF_SMALL_BYTES)
		buf = pooled_get(pool, STREAM_BUF_SMALL);
	else if (bytes <= STREAM_BUF_MEDIUM_BYTES)
		buf = pooled_get(pool, STREAM_BUF_MEDIUM);
	else
		buf = large_get(bytes);
	if (buf == NULL)
		return NULL;
	FAL_ASSERT(buf->capacity >= bytes);
	buf->next = NULL;
	buf->head = 0;
	buf->tail = 0;
	pool->bytes_in_use += buf->capacity;
	if (pool->bytes_in_use > pool->bytes_peak)
		pool->bytes_peak = pool->bytes_in_use;
	return buf;
}

void
stream_buf_put(struct stream_pool *pool, struct stream_buf *buf)
{
	FAL_ASSERT(pool->bytes_in_use >= buf->capacity);
	pool->bytes_in_use -= buf->capacity;
	if (buf->size == STREAM_BUF_LARGE) {
		free(buf);
		return;
	}
	buf->next = pool->free[buf->size];
	pool->free[buf->size] = buf;
}
