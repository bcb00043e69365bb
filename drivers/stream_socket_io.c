/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_socket - input and output buffers of a connection.
 *
 * Input is one buffer per connection, so every frame is contiguous: medium from
 * the pool to begin with, larger ones only when the owner waits for a longer
 * frame and the present one is full. It grows by four at most, so a peer that
 * announces a megabyte and sends nothing costs 16 KiB. Once it is empty the
 * buffer goes back.
 *
 * Output is a chain: the first buffer may be small, the next ones are medium,
 * reserves beyond that get one of their own.
 */
#include "drivers/stream_socket.h"

#include <string.h>

/* Room behind a long frame for the start of the next one. */
#define RX_SLACK_BYTES 4096u

/* ---- input ---- */

static void
rx_compact(struct stream_buf *rx)
{
	const uint32_t bytes = stream_buf_bytes(rx);

	memmove(rx->data, rx->data + rx->head, bytes);
	rx->head = 0;
	rx->tail = bytes;
}

/* Moves the input to another buffer. Returns 0 or FAL_ENOMEM (unchanged). */
static int
rx_replace(struct socket_core *core, struct socket_conn *conn,
	   uint32_t capacity)
{
	struct stream_buf *old = conn->rx;
	struct stream_buf *buf = stream_buf_get(&core->table.pool, capacity);

	if (buf == NULL)
		return FAL_ENOMEM;
	buf->tail = stream_buf_bytes(old);
	FAL_ASSERT(buf->tail <= buf->capacity);
	memcpy(buf->data, old->data + old->head, buf->tail);
	stream_buf_put(&core->table.pool, old);
	conn->rx = buf;
	return 0;
}

/* Makes room for a frame that is not complete yet. */
static int
rx_make_room(struct socket_core *core, struct socket_conn *conn)
{
	struct stream_buf *rx = conn->rx;
	const uint32_t wanted = conn->slot.rx_wanted;

	if (wanted <= rx->capacity) {
		if (wanted > rx->capacity - rx->head)
			rx_compact(rx);
		return 0;
	}
	if (stream_buf_room(rx) >= rx->capacity / 4)
		return 0;

	/* frame_bytes_max is at most 2^30, so nothing overflows. */
	const uint32_t enough = wanted + RX_SLACK_BYTES;
	const uint64_t grown = 4 * (uint64_t)rx->capacity;

	return rx_replace(core, conn,
			  grown < enough ? (uint32_t)grown : enough);
}

uint32_t
socket_rx_room(struct socket_core *core, struct socket_conn *conn)
{
	int err = 0;

	FAL_ASSERT(!conn->receives_in_place);
	if (conn->rx == NULL) {
		conn->rx = stream_buf_get(&core->table.pool,
					  STREAM_BUF_MEDIUM_BYTES);
		if (conn->rx == NULL) {
			socket_fail(core, conn, STREAM_NO_MEMORY);
			return 0;
		}
		return conn->rx->capacity;
	}
	if (conn->slot.rx_wanted > socket_buffered(conn)) {
		err = rx_make_room(core, conn);
	} else if (stream_buf_room(conn->rx) < conn->rx->capacity / 4) {
		/* The owner has work enough. Moving only when half the buffer
		 * is consumed keeps the copying below one byte per byte. */
		if (conn->rx->head < conn->rx->capacity / 2)
			return 0;
		rx_compact(conn->rx);
	}
	if (err != 0) {
		socket_fail(core, conn, STREAM_NO_MEMORY);
		return 0;
	}
	return stream_buf_room(conn->rx);
}

int
socket_rx_append(struct socket_core *core, struct socket_conn *conn,
		 const void *data, uint32_t bytes)
{
	if (conn->rx == NULL)
		conn->rx = stream_buf_get(&core->table.pool, bytes);
	if (conn->rx == NULL)
		return FAL_ENOMEM;
	if (stream_buf_room(conn->rx) < bytes) {
		const uint32_t all = socket_buffered(conn) + bytes;

		if (all <= conn->rx->capacity)
			rx_compact(conn->rx);
		else if (rx_replace(core, conn, all) != 0)
			return FAL_ENOMEM;
	}
	memcpy(conn->rx->data + conn->rx->tail, data, bytes);
	conn->rx->tail += bytes;
	return 0;
}

void
socket_rx_trim(struct socket_core *core, struct socket_conn *conn)
{
	if (conn->rx != NULL && stream_buf_bytes(conn->rx) == 0 &&
	    !conn->receives_in_place)
		socket_rx_drop(core, conn);
}

void
socket_rx_drop(struct socket_core *core, struct socket_conn *conn)
{
	if (conn->rx == NULL || conn->receives_in_place)
		return;
	stream_buf_put(&core->table.pool, conn->rx);
	conn->rx = NULL;
}

uint32_t
socket_op_peek(struct stream_core *base, stream_id id,
	       struct stream_slice slices[STREAM_SLICES_MAX])
{
	struct socket_conn *conn = socket_alive(socket_core_of(base), id);

	if (conn == NULL || socket_buffered(conn) == 0)
		return 0;
	slices[0].data = conn->rx->data + conn->rx->head;
	slices[0].bytes = stream_buf_bytes(conn->rx);
	return 1;
}

/* Sets from how many bytes on READABLE is reported. */
static void
want(struct socket_core *core, struct socket_conn *conn, uint32_t bytes)
{
	if (bytes > conn->slot.frame_bytes_max) {
		socket_fail(core, conn, STREAM_FRAME_TOO_LONG);
		return;
	}
	conn->slot.rx_wanted = bytes == 0 ? 1 : bytes;
	/* A poll must find out that no more can come, or that there is enough
	 * already. */
	socket_ready(core, conn);
}

const uint8_t *
socket_op_pull(struct stream_core *base, stream_id id, uint32_t bytes)
{
	struct socket_core *core = socket_core_of(base);
	struct socket_conn *conn = socket_alive(core, id);

	if (conn == NULL)
		return NULL;
	if (bytes == 0 || bytes > socket_buffered(conn)) {
		want(core, conn, bytes);
		return NULL;
	}
	return conn->rx->data + conn->rx->head;
}

void
socket_op_want(struct stream_core *base, stream_id id, uint32_t bytes)
{
	struct socket_core *core = socket_core_of(base);
	struct socket_conn *conn = socket_alive(core, id);

	if (conn != NULL)
		want(core, conn, bytes);
}

void
socket_op_consume(struct stream_core *base, stream_id id, uint32_t bytes)
{
	struct socket_core *core = socket_core_of(base);
	struct socket_conn *conn = socket_alive(core, id);

	if (conn == NULL || bytes == 0)
		return;
	FAL_ASSERT(bytes <= socket_buffered(conn));
	conn->rx->head += bytes;
	conn->slot.rx_wanted = 1;
	if (socket_buffered(conn) == 0)
		socket_rx_trim(core, conn);
	else
		socket_ready(core, conn);
}

uint32_t
socket_op_buffered(struct stream_core *base, stream_id id)
{
	const struct socket_conn *conn = socket_alive(socket_core_of(base), id);

	return conn != NULL ? socket_buffered(conn) : 0;
}

/* ---- output ---- */

/* Whether so many bytes more are allowed; else WRITABLE is owed. */
static bool
tx_allows(struct socket_core *core, struct socket_conn *conn, uint32_t bytes)
{
	if (bytes <= conn->slot.unsent_bytes_max - conn->slot.tx.bytes)
		return true;
	conn->slot.wants_writable = true;
	stream_count(&core->table.counters.unsent_limit_hits, 1);
	/* The flush finds out when there is room. */
	socket_dirty(core, conn);
	return false;
}

void *
socket_op_reserve(struct stream_core *base, stream_id id, uint32_t bytes,
		  uint32_t *got)
{
	struct socket_core *core = socket_core_of(base);
	struct socket_conn *conn = socket_alive(core, id);
	uint8_t *to;

	*got = 0;
	if (conn == NULL)
		return NULL;
	conn->slot.tx.reserved = 0;
	if (!tx_allows(core, conn, bytes))
		return NULL;
	to = stream_chain_reserve(&conn->slot.tx, &core->table.pool, bytes,
				  conn->slot.unsent_bytes_max -
					  conn->slot.tx.bytes);
	*got = conn->slot.tx.reserved;
	/* So that a flush gives it back if nothing is committed. */
	if (to != NULL)
		socket_dirty(core, conn);
	return to;
}

void
socket_op_commit(struct stream_core *base, stream_id id, uint32_t used)
{
	struct socket_core *core = socket_core_of(base);
	struct socket_conn *conn = socket_alive(core, id);

	if (conn == NULL)
		return;
	stream_chain_commit(&conn->slot.tx, used);
	if (used != 0)
		socket_dirty(core, conn);
}

int
socket_op_write(struct stream_core *base, stream_id id, const void *data,
		uint32_t bytes)
{
	struct socket_core *core = socket_core_of(base);
	struct socket_conn *conn = socket_alive(core, id);
	int err;

	if (conn == NULL)
		return FAL_ECLOSED;
	conn->slot.tx.reserved = 0;
	if (bytes == 0)
		return 0;
	if (!tx_allows(core, conn, bytes))
		return FAL_ELIMIT;
	err = stream_chain_write(&conn->slot.tx, &core->table.pool, data,
				 bytes);
	if (err == 0)
		socket_dirty(core, conn);
	return err;
}

uint32_t
socket_op_unsent(struct stream_core *base, stream_id id)
{
	const struct socket_conn *conn = socket_alive(socket_core_of(base), id);

	return conn != NULL ? conn->slot.tx.bytes : 0;
}
