/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zc_frame - requests on their way.
 *
 * A request is encoded into the connection's output, if there is one and
 * nothing waits in front of it, else into the backlog. The ring of pending
 * requests holds both: those that are out, then those whose frames are in the
 * backlog, in the same order. When a connection breaks the first part is
 * answered with CONNECTIONLOSS, the second goes out on the next one.
 *
 * Replies come in the order of the requests, with the exceptions of
 * client-protocol.md 6.1, so a reply is looked for from the front.
 */
#include "client/zc_int.h"

#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

#define PENDING_MIN 64u
#define BACKLOG_MIN 4096u
#define HEAD_BYTES  (FRAME_LENGTH_BYTES + PROTO_REQUEST_HEADER_BYTES)
#define FRAME_MAX   (1u << 30)

static struct zc_pending *
pending_at(const struct zc *zc, uint32_t position)
{
	return &zc->pending[position & (zc->pending_cap - 1)];
}

/* ---- room ---------------------------------------------------------------- */

static int
grow_pending(struct zc *zc)
{
	const uint32_t cap =
		zc->pending_cap == 0 ? PENDING_MIN : 2 * zc->pending_cap;
	struct zc_pending *ring = malloc(cap * sizeof(*ring));

	if (ring == NULL)
		return FAL_ENOMEM;
	for (uint32_t at = zc->first; at != zc->end; at++)
		ring[at & (cap - 1)] = *pending_at(zc, at);
	free(zc->pending);
	zc->pending = ring;
	zc->pending_cap = cap;
	return FAL_OK;
}

static int
grow_backlog(struct zc *zc, uint32_t bytes)
{
	struct zc_buffer *backlog = &zc->backlog;
	const uint32_t used = backlog->end - backlog->first;
	uint32_t cap = backlog->cap == 0 ? BACKLOG_MIN : backlog->cap;
	uint8_t *data;

	if (used + (uint64_t)bytes > zc->options.backlog_bytes_max)
		return FAL_ELIMIT;
	if (backlog->first > 0)
		memmove(backlog->data, backlog->data + backlog->first, used);
	backlog->first = 0;
	backlog->end = used;
	while (cap - used < bytes)
		cap *= 2;
	if (cap == backlog->cap)
		return FAL_OK;
	data = realloc(backlog->data, cap);
	if (data == NULL)
		return FAL_ENOMEM;
	backlog->data = data;
	backlog->cap = cap;
	return FAL_OK;
}

static int
find_room(struct zc *zc, uint32_t bytes, struct zc_frame *frame)
{
	struct zc_buffer *backlog = &zc->backlog;
	uint32_t got = 0;
	uint8_t *at = NULL;

	if (zc->link == ZC_LINK_OPEN && zc->sent == zc->end)
		at = stream_reserve(zc_loop_streams(zc->loop), zc->stream,
				    bytes, &got);
	frame->is_direct = at != NULL;
	if (at == NULL) {
		if (backlog->cap - backlog->end < bytes) {
			const int err = grow_backlog(zc, bytes);

			if (err != FAL_OK)
				return err;
		}
		at = backlog->data + backlog->end;
		got = bytes;
	}
	frame->writer = jute_writer_of(at, got);
	return FAL_OK;
}

static void
put_head(struct zc_frame *frame, int32_t xid, int32_t op)
{
	frame->xid = xid;
	frame->mark = frame_begin(&frame->writer);
	proto_put_request_header(
		&frame->writer,
		&(struct proto_request_header){.xid = xid, .type = op});
}

/* ---- requests ------------------------------------------------------------ */

static int32_t
next_xid(struct zc *zc)
{
	zc->next_xid = zc->next_xid == INT32_MAX ? 1 : zc->next_xid + 1;
	return zc->next_xid;
}

int
zc_frame_begin(struct zc *zc, int32_t op, size_t bytes, struct zc_frame *frame)
{
	int err = FAL_OK;

	if (zc->state >= ZC_EXPIRED)
		return FAL_ECLOSED;
	if (bytes > FRAME_MAX)
		return FAL_ELIMIT;
	if (zc->end - zc->first == zc->pending_cap)
		err = grow_pending(zc);
	if (err == FAL_OK)
		err = find_room(zc, (uint32_t)bytes + HEAD_BYTES, frame);
	if (err == FAL_OK)
		put_head(frame, op == OP_AUTH ? XID_AUTH : next_xid(zc), op);
	return err;
}

/* An identity is presented again only if its own request has left. */
static void
note_sent(struct zc *zc, const struct zc_pending *pending)
{
	struct zc_auth *auth = zc->auths;

	if (pending->op != OP_AUTH)
		return;
	while (auth != NULL && auth->is_sent)
		auth = auth->next;
	if (auth != NULL)
		auth->is_sent = true;
}

void
zc_frame_end(struct zc *zc, struct zc_frame *frame, int32_t op, zc_done_fn done,
	     void *arg, struct zc_watcher *watcher)
{
	FAL_ASSERT(!frame->writer.is_full); /* the caller counted the bytes */
	frame_end(&frame->writer, frame->mark);

	const uint32_t bytes = (uint32_t)jute_written(&frame->writer);

	*pending_at(zc, zc->end++) = (struct zc_pending){
		.xid = frame->xid,
		.op = op,
		.done = done,
		.arg = arg,
		.watcher = watcher,
	};
	if (frame->is_direct) {
		stream_commit(zc_loop_streams(zc->loop), zc->stream, bytes);
		zc->sent = zc->end;
		note_sent(zc, pending_at(zc, zc->end - 1));
		zc->sent_ms = zc_loop_now_ms(zc->loop);
	} else {
		zc->backlog.end += bytes;
	}
}

bool
zc_frame_begin_own(struct zc *zc, int32_t xid, int32_t op, size_t bytes,
		   struct zc_frame *frame)
{
	uint32_t got = 0;
	uint8_t *at = stream_reserve(zc_loop_streams(zc->loop), zc->stream,
				     (uint32_t)bytes + HEAD_BYTES, &got);

	if (at == NULL)
		return false;
	frame->writer = jute_writer_of(at, got);
	put_head(frame, xid, op);
	return true;
}

void
zc_frame_end_own(struct zc *zc, struct zc_frame *frame)
{
	FAL_ASSERT(!frame->writer.is_full);
	frame_end(&frame->writer, frame->mark);
	stream_commit(zc_loop_streams(zc->loop), zc->stream,
		      (uint32_t)jute_written(&frame->writer));
	zc->sent_ms = zc_loop_now_ms(zc->loop);
}

void
zc_frame_flush(struct zc *zc)
{
	struct zc_buffer *backlog = &zc->backlog;

	while (zc->sent != zc->end) {
		const uint8_t *frame = backlog->data + backlog->first;
		const uint32_t bytes = be_load32(frame) + FRAME_LENGTH_BYTES;

		if (stream_write(zc_loop_streams(zc->loop), zc->stream, frame,
				 bytes) != FAL_OK)
			return; /* WRITABLE or CLOSED follows */
		backlog->first += bytes;
		note_sent(zc, pending_at(zc, zc->sent++));
		zc->sent_ms = zc_loop_now_ms(zc->loop);
	}
	FAL_ASSERT(backlog->first == backlog->end);
	backlog->first = 0;
	backlog->end = 0;
}

/* ---- replies ------------------------------------------------------------- */

struct zc_pending *
zc_frame_find(struct zc *zc, int32_t xid)
{
	for (uint32_t at = zc->first; at != zc->sent; at++) {
		struct zc_pending *pending = pending_at(zc, at);

		if (pending->xid == xid && !pending->is_answered)
			return pending;
	}
	return NULL;
}

void
zc_frame_done(struct zc *zc, struct zc_pending *pending)
{
	pending->is_answered = true;
	free(pending->watcher);
	pending->watcher = NULL;
	while (zc->first != zc->sent && pending_at(zc, zc->first)->is_answered)
		zc->first++;
}

void
zc_frame_fail(struct zc *zc, bool are_all, int32_t err)
{
	/* Those that callbacks add meanwhile are not meant. */
	const uint32_t until = are_all ? zc->end : zc->sent;

	/* A callback that ends the session answers all the others itself, also
	 * those behind `until`. */
	while ((int32_t)(until - zc->first) > 0) {
		const struct zc_pending pending = *pending_at(zc, zc->first++);
		struct zc_reply reply = {.err = err};

		if (zc->sent - zc->first > zc->end - zc->first)
			zc->sent = zc->first; /* one of the backlog went */
		free(pending.watcher);
		if (!pending.is_answered && pending.done != NULL)
			pending.done(pending.arg, &reply);
	}
	if (are_all) {
		zc->backlog.first = 0;
		zc->backlog.end = 0;
	}
}
