/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_out - what goes out to a client.
 *
 * Everything is written into the stream's output at once. One exception: while
 * a long reply is being made in slices (listing.c), events wait in a buffer of
 * the connection (`held`), because they belong behind that reply, and nothing
 * at all may come into the middle of its frame.
 */
#include "dataplane/reader_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/probe.h"

/* What may wait behind one reply. More than that within the time a listing
 * takes is a flood that the client would not read either. */
#define HELD_BYTES_FIRST 4096u
#define HELD_BYTES_MAX   (16u << 20)

/* A client that does not read its replies ends here (client-protocol.md 19,
 * 12): its unsent output passed the limit. */
void
conn_output_refused(struct reader *reader, struct conn *conn)
{
	log_post(LOG_OUTPUT_LIMIT, (uint64_t)conn->session_id,
		 stream_unsent(reader->parts.streams, conn->stream));
	stats_add(reader->parts.stats, STAT_OUTPUT_LIMIT_HITS, 1);
	conn_abort(reader, conn);
}

void
conn_abort_overrun(struct reader *reader)
{
	while (!list_empty(&reader->overrun))
		conn_output_refused(reader, list_entry(reader->overrun.next,
						       struct conn, link));
}

/* ---- held back --------------------------------------------------------- */

bool
conn_hold(struct conn *conn)
{
	FAL_ASSERT(conn->held == NULL);
	conn->held = malloc(sizeof(*conn->held) + HELD_BYTES_FIRST);
	if (conn->held == NULL)
		return false;
	*conn->held = (struct held_output){.cap = HELD_BYTES_FIRST};
	return true;
}

static uint8_t *
held_room(struct conn *conn, uint32_t bytes)
{
	struct held_output *held = conn->held;

	if (bytes > HELD_BYTES_MAX - held->bytes)
		return NULL;
	if (bytes > held->cap - held->bytes) {
		uint32_t cap = held->cap;

		while (bytes > cap - held->bytes)
			cap *= 2;
		held = realloc(held, sizeof(*held) + cap);
		if (held == NULL)
			return NULL;
		held->cap = cap;
		conn->held = held;
	}
	return held->data + held->bytes;
}

void
conn_release(struct reader *reader, struct conn *conn)
{
	struct held_output *held = conn->held;

	FAL_ASSERT(held != NULL);
	conn->held = NULL;
	if (held->bytes > 0 && stream_write(reader->parts.streams, conn->stream,
					    held->data, held->bytes) != FAL_OK)
		conn_output_refused(reader, conn);
	free(held);
}

bool
conn_write_frame_part(struct reader *reader, struct conn *conn,
		      const void *data, uint32_t bytes)
{
	if (conn->held != NULL)
		conn->held->is_mid_frame = true;
	if (stream_write(reader->parts.streams, conn->stream, data, bytes) ==
	    FAL_OK)
		return true;
	conn_output_refused(reader, conn);
	return false;
}

uint8_t *
conn_reserve(struct reader *reader, struct conn *conn, uint32_t bytes,
	     uint32_t *got)
{
	if (FAL_LIKELY(conn->held == NULL))
		return stream_reserve(reader->parts.streams, conn->stream,
				      bytes, got);
	*got = bytes;
	return held_room(conn, bytes);
}

void
conn_commit(struct reader *reader, struct conn *conn, uint32_t bytes)
{
	if (FAL_LIKELY(conn->held == NULL))
		stream_commit(reader->parts.streams, conn->stream, bytes);
	else
		conn->held->bytes += bytes;
}

/* ---- output ---------------------------------------------------------------
 */

void
conn_note_frame(struct reader *reader, struct conn *conn, int64_t zxid,
		uint64_t bytes)
{
	conn->last_zxid = zxid;
	account_sent(reader, conn, bytes);
}

void
conn_send(struct reader *reader, struct conn *conn, const void *frame,
	  uint32_t bytes)
{
	if (conn->stream == STREAM_NONE)
		return;
	events_before_output(reader, conn);
	if (conn->stream == STREAM_NONE)
		return;
	FAL_ASSERT(conn->held == NULL);
	if (stream_write(reader->parts.streams, conn->stream, frame, bytes) !=
	    FAL_OK) {
		conn_output_refused(reader, conn);
		return;
	}
	account_sent(reader, conn, bytes);
}

/* The length word and the header of a reply. */
static void
store_head(uint8_t *to, const struct proto_reply_header *header,
	   uint32_t body_bytes)
{
	be_store32(to, REPLY_OVERHEAD - WORD_BYTES + body_bytes);
	be_store32(to + 4, (uint32_t)header->xid);
	be_store64(to + 8, (uint64_t)header->zxid);
	be_store32(to + 16, (uint32_t)header->err);
}

/* A short frame into the output, or behind what is held back. False: too much
 * is unsent. */
static bool
put_short(struct reader *reader, struct conn *conn,
	  const struct proto_reply_header *header, const void *body,
	  uint32_t body_bytes)
{
	uint32_t got = 0;
	uint8_t *to =
		conn_reserve(reader, conn, REPLY_OVERHEAD + body_bytes, &got);

	if (to == NULL)
		return false;
	store_head(to, header, body_bytes);
	if (body_bytes > 0)
		bytes_copy(to + REPLY_OVERHEAD, body, body_bytes);
	conn_commit(reader, conn, REPLY_OVERHEAD + body_bytes);
	return true;
}

static bool
put_long(struct reader *reader, struct conn *conn,
	 const struct proto_reply_header *header, const void *body,
	 uint32_t body_bytes)
{
	struct stream_core *streams = reader->parts.streams;
	uint8_t head[REPLY_OVERHEAD];

	FAL_ASSERT(conn->held == NULL);
	store_head(head, header, body_bytes);
	return stream_write(streams, conn->stream, head, REPLY_OVERHEAD) ==
		       FAL_OK &&
	       stream_write(streams, conn->stream, body, body_bytes) == FAL_OK;
}

void
conn_reply(struct reader *reader, struct conn *conn, int32_t xid, int64_t zxid,
	   int32_t err, const void *body, uint32_t body_bytes)
{
	const struct proto_reply_header header = {
		.xid = xid, .zxid = zxid, .err = err};
	const uint32_t bytes = REPLY_OVERHEAD + body_bytes;
	bool is_put;

	if (conn->stream == STREAM_NONE)
		return;
	events_before_output(reader, conn);
	if (conn->stream == STREAM_NONE)
		return;
	conn->last_zxid = zxid;
	FAL_PROBE4(reply_out, conn->session_id, xid, zxid, err);
	if (bytes <= STREAM_BUFFER_BYTES)
		is_put = put_short(reader, conn, &header, body, body_bytes);
	else
		is_put = put_long(reader, conn, &header, body, body_bytes);
	if (is_put)
		account_sent(reader, conn, bytes);
	else
		conn_output_refused(reader, conn);
}

void
conn_reply_ping(struct reader *reader, struct conn *conn, int64_t zxid)
{
	const struct proto_reply_header header = {.xid = XID_PING,
						  .zxid = zxid};
	uint8_t head[REPLY_OVERHEAD];
	bool is_put;

	if (conn->held == NULL) {
		conn_reply(reader, conn, XID_PING, zxid, ZK_OK, NULL, 0);
		return;
	}
	store_head(head, &header, 0);
	/* A heartbeat waits for the end of a frame, and for nothing else. */
	if (conn->held->is_mid_frame)
		is_put = put_short(reader, conn, &header, NULL, 0);
	else
		is_put = stream_write(reader->parts.streams, conn->stream, head,
				      sizeof(head)) == FAL_OK;
	if (is_put)
		account_sent(reader, conn, REPLY_OVERHEAD);
	else
		conn_output_refused(reader, conn);
}
