/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zc - a session: connecting, keeping alive, going elsewhere.
 *
 *   NONE --dial--> DIALING --opened--> HANDSHAKE --ConnectResponse--> OPEN
 *     ^               |                    |                            |
 *     +---------------+--------------------+----------------------------+
 *            failed, silent, closed: the next server, after a pause when
 *            all have been tried
 *
 * Limits as in ZooKeeper's clients: a server gets timeout / servers to answer
 * a dial; silence of 2/3 of the timeout ends a connection, and a ping leaves
 * after 1/3 without any request.
 */
#include "client/zc_int.h"

#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

#define DIAL_MS_MIN     200u
#define ROUND_PAUSE_MS  50u
#define ROUND_PAUSE_MAX 1000u
#define CONNECT_BYTES   64u

/* ---- life ------------------------------------------------------------------
 */

static void
set_defaults(struct zc *zc, const struct zc_options *options)
{
	if (options != NULL)
		zc->options = *options;
	if (zc->options.timeout_ms <= 0)
		zc->options.timeout_ms = ZC_TIMEOUT_DEFAULT_MS;
	if (zc->options.backlog_bytes_max == 0)
		zc->options.backlog_bytes_max = ZC_BACKLOG_DEFAULT;
	if (zc->options.frame_bytes_max == 0)
		zc->options.frame_bytes_max = ZC_FRAME_BYTES_DEFAULT;
	zc->timeout_ms = zc->options.timeout_ms;
	zc->session_id = zc->options.session_id;
	memcpy(zc->password, zc->options.password, sizeof(zc->password));
	zc->is_resumable = zc->session_id != 0;
	zc->state = ZC_CONNECTING;
}

int
zc_open(struct zc_loop *loop, const char *servers,
	const struct zc_options *options, struct zc **out)
{
	struct zc *zc = calloc(1, sizeof(*zc));
	int err;

	if (zc == NULL)
		return FAL_ENOMEM;
	zc->loop = loop;
	set_defaults(zc, options);
	err = zc_servers_parse(zc, servers);
	if (err == FAL_OK)
		err = zc_loop_add(loop, zc);
	if (err != FAL_OK) {
		free(zc->chroot);
		free(zc);
		return err;
	}
	*out = zc;
	return FAL_OK;
}

static void
drop_stream(struct zc *zc)
{
	if (zc->stream != STREAM_NONE)
		stream_close(zc_loop_streams(zc->loop), zc->stream);
	zc->stream = STREAM_NONE;
	zc->link = ZC_LINK_NONE;
}

void
zc_destroy(struct zc *zc)
{
	drop_stream(zc);
	for (uint32_t at = zc->first; at != zc->end; at++)
		free(zc->pending[at & (zc->pending_cap - 1)].watcher);
	while (zc->auths != NULL) {
		struct zc_auth *next = zc->auths->next;

		free(zc->auths->scheme);
		free(zc->auths);
		zc->auths = next;
	}
	zc_watch_free(zc);
	free(zc->pending);
	free(zc->backlog.data);
	free(zc->chroot);
	free(zc);
}

void
zc_free(struct zc *zc)
{
	struct zc_loop *loop;

	if (zc == NULL || zc->is_freed)
		return;
	loop = zc->loop;
	zc_loop_enter(loop);
	/* First, as a callback may free it, too. */
	zc_loop_remove(loop, zc);
	zc->options.on_state = NULL;
	if (zc->state < ZC_EXPIRED)
		zc_end(zc, ZC_CLOSED, ZC_CLOSING);
	zc_loop_leave(loop);
}

void
zc_set_state(struct zc *zc, enum zc_state state)
{
	if (zc->state == state)
		return;
	zc->state = state;
	if (zc->options.on_state != NULL)
		zc->options.on_state(zc->options.arg, zc, state);
}

void
zc_end(struct zc *zc, enum zc_state state, int32_t err)
{
	drop_stream(zc);
	/* First, so that callbacks cannot ask for more. */
	zc->state = state;
	zc_frame_fail(zc, true, err);
	if (zc->options.on_state != NULL)
		zc->options.on_state(zc->options.arg, zc, state);
}

/* ---- connections ------------------------------------------------------------
 */

static uint64_t
now_ms(const struct zc *zc)
{
	return zc_loop_now_ms(zc->loop);
}

void
zc_lose(struct zc *zc)
{
	const bool was_open = zc->link == ZC_LINK_OPEN;

	drop_stream(zc);
	zc->auths_due = 0;
	zc->refusals = was_open ? 0 : zc->refusals + 1;
	zc->dial_ms = now_ms(zc);
	/* All were tried: a pause, so that nobody is dialed in a circle. */
	if (zc->refusals > 0 && zc->refusals % zc->server_count == 0) {
		uint64_t pause = ROUND_PAUSE_MS * zc->refusals;

		if (pause > ROUND_PAUSE_MAX)
			pause = ROUND_PAUSE_MAX;
		zc->dial_ms += pause + zc_loop_random(zc->loop) % pause;
	}
	zc_frame_fail(zc, false, ZC_CONNECTIONLOSS);
	if (zc->state >= ZC_EXPIRED)
		return;
	/* Who said farewell does not come back for the answer. */
	if (zc->is_closing)
		zc_end(zc, ZC_CLOSED, ZC_CLOSING);
	else
		zc_set_state(zc, ZC_CONNECTING);
}

static void
dial(struct zc *zc)
{
	const struct stream_target target = {
		.address = zc->server[zc->server_next],
		.tag = zc->index,
		.frame_bytes_max =
			zc->options.frame_bytes_max + FRAME_LENGTH_BYTES,
	};
	uint32_t limit_ms = (uint32_t)zc->timeout_ms / zc->server_count;

	if (limit_ms < DIAL_MS_MIN)
		limit_ms = DIAL_MS_MIN;
	zc->server_next = (zc->server_next + 1) % zc->server_count;
	zc->deadline_ms = now_ms(zc) + limit_ms;
	zc->link = ZC_LINK_DIALING;
	if (stream_connect(zc_loop_streams(zc->loop), &target, &zc->stream,
			   NULL) == FAL_OK)
		return;
	zc->stream = STREAM_NONE;
	zc_lose(zc);
}

static void
say_hello(struct zc *zc)
{
	static const uint8_t no_password[PROTO_PASSWORD_BYTES];
	const struct proto_connect_request request = {
		.last_zxid_seen = zc->last_zxid,
		.timeout_ms = zc->options.timeout_ms,
		.session_id = zc->is_resumable ? zc->session_id : 0,
		.password = jute_slice_of(zc->is_resumable ? zc->password
							   : no_password,
					  sizeof(zc->password)),
		.has_read_only = true,
		.is_read_only = zc->options.may_read_only,
	};
	uint8_t bytes[CONNECT_BYTES];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));
	const size_t mark = frame_begin(&writer);

	proto_put_connect_request(&writer, &request);
	frame_end(&writer, mark);
	zc->link = ZC_LINK_HANDSHAKE;
	zc->sent_ms = now_ms(zc);
	if (stream_write(zc_loop_streams(zc->loop), zc->stream, bytes,
			 (uint32_t)jute_written(&writer)) != FAL_OK)
		zc_lose(zc);
}

/* Identities first, then watches, then what waited. */
static void
begin_serving(struct zc *zc, bool is_read_only)
{
	zc->link = ZC_LINK_OPEN;
	zc->refusals = 0;
	for (struct zc_auth *at = zc->auths; at != NULL; at = at->next) {
		if (!at->is_sent)
			continue;
		if (!zc_send_auth(zc, at)) {
			zc_lose(zc);
			return;
		}
		zc->auths_due++;
	}
	if (!zc_watch_register_again(zc)) {
		zc_lose(zc);
		return;
	}
	zc_frame_flush(zc);
	zc_set_state(zc, is_read_only ? ZC_CONNECTED_READ_ONLY : ZC_CONNECTED);
}

static void
take_hello(struct zc *zc, struct jute_reader *frame)
{
	struct proto_connect_response response;

	if (proto_get_connect_response(frame, &response) != FAL_OK) {
		zc_lose(zc);
		return;
	}
	if (response.timeout_ms <= 0 || response.session_id == 0) {
		zc_end(zc, ZC_EXPIRED, ZC_SESSIONEXPIRED);
		return;
	}
	if (response.is_read_only && !zc->options.may_read_only) {
		zc_lose(zc); /* another one may have a quorum */
		return;
	}
	zc->session_id = response.session_id;
	zc->timeout_ms = response.timeout_ms;
	zc->is_resumable = zc->is_resumable || !response.is_read_only;
	memcpy(zc->password, response.password, sizeof(zc->password));
	begin_serving(zc, response.is_read_only);
}

/* ---- what comes in
 * ------------------------------------------------------------ */

static void
take_notification(struct zc *zc, struct jute_reader *body)
{
	struct proto_watcher_event event;

	if (proto_get_watcher_event(body, &event) != FAL_OK)
		zc_lose(zc);
	else if (event.type >= ZC_NODE_CREATED &&
		 event.type <= ZC_NODE_CHILDREN_CHANGED)
		zc_watch_fire(zc, event.type, event.path);
}

static bool
is_registering(int32_t op)
{
	return op == OP_EXISTS || op == OP_GET_DATA || op == OP_ADD_WATCH ||
	       op == OP_GET_CHILDREN2;
}

/* Registers or removes what was asked for with the request. False: there was no
 * memory to remember a watch that the server has. */
static bool
take_watcher(struct zc *zc, const struct zc_pending *asked, int32_t err)
{
	struct zc_watcher *watcher = asked->watcher;

	if (watcher == NULL)
		return true;
	if (is_registering(asked->op))
		return zc_watch_register(zc, watcher, asked->op, err);
	FAL_ASSERT(asked->op == OP_REMOVE_WATCHES);
	if (err == ZC_OK)
		zc_watch_remove(zc, watcher, watcher->type);
	free(watcher);
	return true;
}

/* The server closes the connection behind it. */
static void
refuse_identity(struct zc *zc)
{
	zc_end(zc, ZC_AUTH_REFUSED, ZC_AUTHFAILED);
}

static void
take_reply(struct zc *zc, const struct proto_reply_header *header,
	   struct jute_reader *body)
{
	struct zc_pending *pending = zc_frame_find(zc, header->xid);
	struct zc_reply reply = {.err = header->err, .zxid = header->zxid};

	if (pending == NULL) {
		zc_lose(zc); /* nobody asked: one of us is confused */
		return;
	}
	if (header->zxid > zc->last_zxid)
		zc->last_zxid = header->zxid;
	if (header->err == ZC_OK &&
	    !zc_reply_decode(zc, pending->op, body, &reply)) {
		zc_lose(zc);
		return;
	}

	const struct zc_pending asked = *pending;
	bool is_remembered;

	pending->watcher = NULL;
	zc_frame_done(zc, pending);
	is_remembered = take_watcher(zc, &asked, header->err);
	if (!is_remembered)
		reply.err = ZC_CONNECTIONLOSS;
	if (asked.done != NULL)
		asked.done(asked.arg, &reply);
	if (!is_remembered && zc->state < ZC_EXPIRED)
		zc_lose(zc);
	if (asked.op == OP_CLOSE_SESSION && zc->state < ZC_EXPIRED)
		zc_end(zc, ZC_CLOSED, ZC_CLOSING);
	else if (asked.op == OP_AUTH && header->err != ZC_OK &&
		 zc->state < ZC_EXPIRED)
		refuse_identity(zc);
}

static void
take_frame(struct zc *zc, const uint8_t *frame, uint32_t bytes)
{
	struct jute_reader body = jute_reader_of(frame, bytes);
	struct proto_reply_header header;

	if (zc->link == ZC_LINK_HANDSHAKE) {
		take_hello(zc, &body);
		return;
	}
	if (proto_get_reply_header(&body, &header) != FAL_OK) {
		zc_lose(zc);
		return;
	}
	if (header.xid == XID_NOTIFICATION) {
		take_notification(zc, &body);
	} else if (header.xid == XID_AUTH && zc->auths_due > 0) {
		zc->auths_due--;
		if (header.err != ZC_OK)
			refuse_identity(zc);
	} else if (header.xid != XID_PING && header.xid != XID_SET_WATCHES) {
		take_reply(zc, &header, &body);
	}
}

static void
take_frames(struct zc *zc)
{
	struct stream_core *streams = zc_loop_streams(zc->loop);
	const stream_id stream = zc->stream;

	/* A callback may end the connection, or the session. */
	while (!zc->is_freed && zc->stream == stream) {
		const uint8_t *at =
			stream_pull(streams, stream, FRAME_LENGTH_BYTES);
		uint32_t bytes;

		if (at == NULL)
			return;
		bytes = be_load32(at);
		if (bytes == 0 || bytes > zc->options.frame_bytes_max) {
			zc_lose(zc);
			return;
		}
		at = stream_pull(streams, stream, FRAME_LENGTH_BYTES + bytes);
		if (at == NULL)
			return;
		zc->heard_ms = now_ms(zc);
		take_frame(zc, at + FRAME_LENGTH_BYTES, bytes);
		if (zc->stream == stream)
			stream_consume(streams, stream,
				       FRAME_LENGTH_BYTES + bytes);
	}
}

void
zc_on_event(struct zc *zc, const struct stream_event *event)
{
	switch (event->kind) {
	case STREAM_OPENED:
		zc->heard_ms = now_ms(zc);
		say_hello(zc);
		break;
	case STREAM_READABLE:
		take_frames(zc);
		break;
	case STREAM_WRITABLE:
		if (zc->link == ZC_LINK_OPEN)
			zc_frame_flush(zc);
		break;
	default: /* closed; the id is dead already */
		zc->stream = STREAM_NONE;
		zc_lose(zc);
	}
}

/* ---- timers
 * -------------------------------------------------------------------- */

static void
ping(struct zc *zc)
{
	struct zc_frame frame;

	if (zc_frame_begin_own(zc, XID_PING, OP_PING, 0, &frame))
		zc_frame_end_own(zc, &frame);
}

static uint64_t
poll_open(struct zc *zc, uint64_t now)
{
	const uint64_t silence_ms = (uint64_t)zc->timeout_ms * 2 / 3;
	const uint64_t ping_ms = (uint64_t)zc->timeout_ms / 3;
	uint64_t next_ms;

	if (now >= zc->heard_ms + silence_ms) {
		zc_lose(zc);
		return zc->dial_ms;
	}
	if (now >= zc->sent_ms + ping_ms)
		ping(zc);
	next_ms = zc->sent_ms + ping_ms;
	return next_ms < zc->heard_ms + silence_ms ? next_ms
						   : zc->heard_ms + silence_ms;
}

uint64_t
zc_poll(struct zc *zc, uint64_t now)
{
	if (zc->state >= ZC_EXPIRED)
		return UINT64_MAX;
	switch (zc->link) {
	case ZC_LINK_OPEN:
		return poll_open(zc, now);
	case ZC_LINK_NONE:
		if (now < zc->dial_ms)
			return zc->dial_ms;
		dial(zc);
		break;
	default:
		if (now >= zc->deadline_ms)
			zc_lose(zc);
	}
	return zc->link == ZC_LINK_NONE ? zc->dial_ms : zc->deadline_ms;
}

/* ---- the rest of zc.h
 * ------------------------------------------------------------ */

static void
close_at_once(struct zc *zc, zc_done_fn done, void *arg)
{
	struct zc_loop *loop = zc->loop;
	struct zc_reply reply = {.err = ZC_CLOSING};

	zc_loop_enter(loop);
	zc_end(zc, ZC_CLOSED, ZC_CLOSING);
	if (done != NULL)
		done(arg, &reply);
	zc_loop_leave(loop);
}

int
zc_close(struct zc *zc, zc_done_fn done, void *arg)
{
	struct zc_frame frame;
	int err;

	if (zc->state >= ZC_EXPIRED)
		return FAL_ECLOSED;
	if (zc->link != ZC_LINK_OPEN) {
		close_at_once(zc, done, arg);
		return FAL_OK;
	}
	err = zc_frame_begin(zc, OP_CLOSE_SESSION, 0, &frame);
	if (err != FAL_OK)
		return err;
	zc_frame_end(zc, &frame, OP_CLOSE_SESSION, done, arg, NULL);
	zc->is_closing = true;
	return FAL_OK;
}

enum zc_state
zc_state(const struct zc *zc)
{
	return zc->state;
}

int64_t
zc_session(const struct zc *zc, uint8_t password[16])
{
	memcpy(password, zc->password, sizeof(zc->password));
	return zc->session_id;
}

int32_t
zc_timeout_ms(const struct zc *zc)
{
	return zc->timeout_ms;
}

int64_t
zc_last_zxid(const struct zc *zc)
{
	return zc->last_zxid;
}

uint32_t
zc_outstanding(const struct zc *zc)
{
	return zc->end - zc->first;
}
