/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_chain - a list of buffers. One that was reserved and of which nothing
 * came may be empty; it goes with the bytes in front of it.
 */
#include "drivers/stream_chain.h"

#include <string.h>

static void
append(struct stream_chain *chain, struct stream_buf *buf)
{
	if (chain->tail == NULL)
		chain->head = buf;
	else
		chain->tail->next = buf;
	chain->tail = buf;
}

static void
pop(struct stream_chain *chain, struct stream_pool *pool)
{
	struct stream_buf *buf = chain->head;

	chain->head = buf->next;
	if (chain->head == NULL)
		chain->tail = NULL;
	stream_buf_put(pool, buf);
}

struct stream_buf *
stream_chain_extend(struct stream_chain *chain, struct stream_pool *pool,
		    uint32_t bytes)
{
	struct stream_buf *buf;

	if (chain->head != NULL && bytes < STREAM_BUF_MEDIUM_BYTES)
		bytes = STREAM_BUF_MEDIUM_BYTES;
	buf = stream_buf_get(pool, bytes);
	if (buf != NULL)
		append(chain, buf);
	return buf;
}

/* Gives back the buffers behind `last`; NULL: all. */
static void
cut_behind(struct stream_chain *chain, struct stream_pool *pool,
	   struct stream_buf *last)
{
	struct stream_buf **link = last != NULL ? &last->next : &chain->head;
	struct stream_buf *rest = *link;

	*link = NULL;
	chain->tail = last;
	while (rest != NULL) {
		struct stream_buf *next = rest->next;

		stream_buf_put(pool, rest);
		rest = next;
	}
}

/* Copies behind the last byte, from buffer `at` on, where there is room. */
static void
fill(struct stream_buf *at, const uint8_t *data, uint32_t bytes)
{
	while (bytes > 0) {
		const uint32_t room = stream_buf_room(at);
		const uint32_t here = room < bytes ? room : bytes;

		memcpy(at->data + at->tail, data, here);
		at->tail += here;
		data += here;
		bytes -= here;
		at = at->next;
	}
}

int
stream_chain_write(struct stream_chain *chain, struct stream_pool *pool,
		   const void *data, uint32_t bytes)
{
	struct stream_buf *const last = chain->tail;
	uint32_t room = last != NULL ? stream_buf_room(last) : 0;

	chain->reserved = 0;
	while (room < bytes) {
		const uint32_t left = bytes - room;
		const struct stream_buf *buf =
			stream_chain_extend(chain, pool,
					    left < STREAM_BUF_MEDIUM_BYTES
						    ? left
						    : STREAM_BUF_MEDIUM_BYTES);

		if (buf == NULL) {
			cut_behind(chain, pool, last);
			return FAL_ENOMEM;
		}
		room += stream_buf_room(buf);
	}
	fill(last != NULL ? last : chain->head, data, bytes);
	chain->bytes += bytes;
	return 0;
}

void
stream_chain_take(struct stream_chain *chain, struct stream_pool *pool,
		  uint32_t bytes)
{
	FAL_ASSERT(bytes <= chain->bytes);
	chain->bytes -= bytes;
	chain->reserved = 0;
	while (chain->head != NULL) {
		struct stream_buf *buf = chain->head;
		const uint32_t here = stream_buf_bytes(buf) < bytes
					      ? stream_buf_bytes(buf)
					      : bytes;

		buf->head += here;
		bytes -= here;
		if (stream_buf_bytes(buf) != 0)
			break;
		pop(chain, pool);
	}
	FAL_ASSERT(bytes == 0);
}

void
stream_chain_drop(struct stream_chain *chain, struct stream_pool *pool)
{
	while (chain->head != NULL)
		pop(chain, pool);
	chain->bytes = 0;
	chain->reserved = 0;
}
