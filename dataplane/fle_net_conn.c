/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fle_net - the connections of the election port: who may stay, what comes in.
 *
 * Accepted connections are strangers until their hello is whole. Then:
 *
 *   larger sid    takes the place of any connection or dial to it
 *   smaller sid   lost what it had: ours is closed too, and we dial back
 *   own sid, or one that cannot be, or one too many: hung up
 *
 * A peer that needs a new connection tells so by its hello, and a connection
 * that we keep while it dials is one it does not have; hence the closing.
 *
 * A frame that begins with the register's magic is of consensus/genesis.h, any
 * other is a notification. They are read some at a time for each event, so that
 * one peer that floods does not keep the core.
 */
#include "dataplane/fle_net_int.h"

#include <string.h>

#include "wire/frame.h"
#include "wire/quorum_auth.h"

#define FRAMES_PER_EVENT 16u
/* The sid that observers of before 3.4 all have. */
#define OBSERVER_SID INT64_MAX
/* Before 3.5 a hello was nothing but a sid, and any text looks like one. */
#define OLD_SID_MAX 65535

/* ---- ending ------------------------------------------------------------- */

/* Counts, hangs up. */
static void
refuse(struct fle_net *net, stream_id id)
{
	stats_add(net->options.stats, STAT_PEER_REFUSED, 1);
	stream_loan_hang_up(&net->loan, net->streams, id);
}

static void
refuse_sasl(struct fle_net *net, stream_id id)
{
	peer_address_log(LOG_PEER_SASL, stream_peer(net->streams, id));
	door_answer_sasl(net->streams, id);
	refuse(net, id);
}

/* The connection of a known server is gone, by it or by us. */
static void
peer_down(struct fle_net *net, struct fle_peer *peer)
{
	peer->conn = STREAM_NONE;
	peer->speaks_genesis = false;
	peer->genesis_waits = 0;
	net->is_due = true;
	fle_peer_tell(net, peer, false);
}

/* ---- strangers ---------------------------------------------------------- */

/* The server with the smaller sid has no connection and wants one; not sooner
 * than a pause after the last dial, or two servers that cannot agree would keep
 * each other busy. */
static void
dial_back(struct fle_net *net, struct fle_peer *peer)
{
	const uint64_t at_ms = peer->dial_ms + net->options.retry_min_ms;

	peer->retry_at_ms = at_ms <= net->now_ms ? 0 : at_ms;
	peer->dials = 0;
	peer->must_dial = true;
	net->is_due = true;
	fle_peer_dial(net, peer);
}

static void
hello_accept(struct fle_net *net, stream_id id, const struct fle_hello *hello)
{
	struct fle_peer *peer = NULL;

	if (hello->sid == net->options.sid)
		peer_address_log(LOG_ELECTION_OWN_SID,
				 stream_peer(net->streams, id));
	else if (hello->sid >= 0 && hello->sid != OBSERVER_SID)
		peer = fle_peer_get(net, hello->sid, false);
	if (peer == NULL) {
		if (hello->sid != net->options.sid)
			log_post(LOG_ELECTION_SID, (uint64_t)hello->sid,
				 FLE_NET_PEERS_MAX);
		refuse(net, id);
		return;
	}
	peer->hello_bytes = (uint32_t)hello->addresses.bytes;
	FAL_ASSERT(peer->hello_bytes <= sizeof(peer->hello));
	if (peer->hello_bytes > 0)
		memcpy(peer->hello, hello->addresses.data, peer->hello_bytes);
	stream_loan_hang_up(&net->loan, net->streams, peer->conn);
	if (hello->sid > net->options.sid) {
		stream_loan_hang_up(&net->loan, net->streams, peer->dial);
		fle_peer_up(net, peer, id);
		return;
	}
	stream_loan_hang_up(&net->loan, net->streams, id);
	if (peer->conn != STREAM_NONE) {
		peer_down(net, peer);
		if (!peer->is_used)
			return;
	}
	dial_back(net, peer);
}

/* Returns whether the connection is somebody's now. */
static bool
stranger_read(struct fle_net *net, struct stranger *stranger)
{
	const stream_id id = stranger->id;
	struct fle_hello hello;
	size_t bytes = 8;

	for (;;) {
		const uint8_t *data =
			stream_pull(net->streams, id, (uint32_t)bytes);
		size_t wanted;

		if (data == NULL)
			return false;

		const int got = fle_hello_get(data, bytes, &hello, &wanted);

		if (got == 0) {
			bytes = wanted;
			continue;
		}
		stranger->id = STREAM_NONE;
		if (got < 0 ||
		    (hello.protocol_version == 0 && hello.sid > OLD_SID_MAX)) {
			peer_address_log(LOG_ELECTION_GARBAGE,
					 stream_peer(net->streams, id));
			refuse(net, id);
			return false;
		}
		stream_loan_begin(&net->loan, id);
		hello_accept(net, id, &hello);
		stream_loan_end(&net->loan, net->streams, (uint32_t)wanted);
		return true;
	}
}

/* ---- frames ------------------------------------------------------------- */

static void
malformed(struct fle_net *net, const struct fle_peer *peer,
	  struct jute_slice body)
{
	stats_add(net->options.stats, STAT_PEER_MALFORMED, 1);
	log_post(LOG_ELECTION_MALFORMED, (uint64_t)peer->sid,
		 (uint64_t)body.bytes);
}

static void
genesis_take(struct fle_net *net, struct fle_peer *peer, struct jute_slice body)
{
	const int64_t sid = peer->sid;
	struct genesis_message message;

	if (net->hooks.genesis == NULL ||
	    genesis_get(body.data, (size_t)body.bytes, &message) != FAL_OK) {
		malformed(net, peer, body);
		return;
	}
	peer->speaks_genesis = true;
	peer->last_use = ++net->uses;
	if (net->hooks.genesis(net->hooks.arg, sid, &message))
		return;
	log_post(LOG_ELECTION_STRANGER, (uint64_t)sid, 0);
	refuse(net, peer->conn);
	fle_peer_back_off(net, peer, 0);
	peer_down(net, peer);
}

static void
notification_take(struct fle_net *net, struct fle_peer *peer,
		  struct jute_slice body)
{
	struct fle_notification notification;

	if (fle_notification_get(body.data, (size_t)body.bytes,
				 &notification) != FAL_OK) {
		malformed(net, peer, body);
		return;
	}
	peer->retry_ms = net->options.retry_min_ms;
	peer->last_use = ++net->uses;
	stats_add(net->options.stats, STAT_NOTIFICATIONS_RECEIVED, 1);
	net->hooks.receive(net->hooks.arg, peer->sid, &notification);
}

/* The length word is impossible. */
static void
frame_refuse(struct fle_net *net, struct fle_peer *peer, const uint8_t *data)
{
	const stream_id id = peer->conn;
	const uint32_t length = be_load32(data);

	if (length == (uint32_t)(QUORUM_AUTH_MAGIC >> 32)) {
		refuse_sasl(net, id);
	} else {
		log_post(LOG_ELECTION_FRAME, (uint64_t)peer->sid,
			 (uint64_t)(int64_t)(int32_t)length);
		refuse(net, id);
	}
	fle_peer_back_off(net, peer, 0);
	peer_down(net, peer);
}

static void
frames_read(struct fle_net *net, stream_id id)
{
	for (uint32_t i = 0; i < FRAMES_PER_EVENT; i++) {
		struct fle_peer *peer = fle_peer_of_stream(net, id);
		const uint8_t *data =
			stream_pull(net->streams, id, FRAME_LENGTH_BYTES);
		struct jute_slice body;
		size_t bytes;

		if (peer == NULL || data == NULL)
			return;
		if (frame_get(data, FRAME_LENGTH_BYTES, frame_limits_election(),
			      &body, &bytes) != 0) {
			frame_refuse(net, peer, data);
			return;
		}
		data = stream_pull(net->streams, id, (uint32_t)bytes);
		if (data == NULL)
			return;
		body = jute_slice_of(data + FRAME_LENGTH_BYTES,
				     bytes - FRAME_LENGTH_BYTES);
		stream_loan_begin(&net->loan, id);
		if (body.bytes >= 4 && be_load32(body.data) == GENESIS_MAGIC)
			genesis_take(net, peer, body);
		else
			notification_take(net, peer, body);
		stream_loan_end(&net->loan, net->streams, (uint32_t)bytes);
	}
}

/* ---- events ------------------------------------------------------------- */

/* Our dial was answered: the larger sid keeps it, the smaller has knocked. */
static void
dial_opened(struct fle_net *net, struct fle_peer *peer, stream_id id)
{
	peer->dial = STREAM_NONE;
	if (stream_write(net->streams, id, net->hello, net->hello_bytes) !=
	    FAL_OK) {
		stream_abort(net->streams, id);
		fle_peer_dial_failed(net, peer);
		return;
	}
	if (peer->sid < net->options.sid) {
		fle_peer_up(net, peer, id);
		return;
	}
	stream_close(net->streams, id);
	fle_peer_back_off(net, peer, FLE_KNOCK_MS);
}

static void
opened(struct fle_net *net, const struct stream_event *event)
{
	struct fle_peer *peer;

	if (event->is_accepted) {
		door_enter(&net->door, event->id, event->tag, net->now_ms);
		net->is_due = true;
		return;
	}
	peer = fle_peer_of_stream(net, event->id);
	if (peer != NULL && peer->dial == event->id)
		dial_opened(net, peer, event->id);
	else
		stream_abort(net->streams, event->id);
}

static void
readable(struct fle_net *net, stream_id id)
{
	struct stranger *stranger = door_find(&net->door, id);

	if (stranger == NULL || stranger_read(net, stranger))
		frames_read(net, id);
}

static void
closed(struct fle_net *net, stream_id id)
{
	struct stranger *stranger = door_find(&net->door, id);
	struct fle_peer *peer = fle_peer_of_stream(net, id);

	if (stranger != NULL) {
		door_left(&net->door, stranger);
	} else if (peer != NULL && peer->dial == id) {
		fle_peer_dial_failed(net, peer);
	} else if (peer != NULL) {
		peer_down(net, peer);
	}
}

void
fle_net_on_event(struct fle_net *net, const struct stream_event *event,
		 uint64_t now_ms)
{
	struct fle_peer *peer;

	FAL_ASSERT(event->tag == net->options.listen_tag ||
		   event->tag == net->options.connect_tag);
	net->now_ms = now_ms;
	switch (event->kind) {
	case STREAM_OPENED:
		opened(net, event);
		break;
	case STREAM_READABLE:
		readable(net, event->id);
		break;
	case STREAM_WRITABLE:
		peer = fle_peer_of_stream(net, event->id);
		if (peer != NULL)
			fle_peer_write(net, peer);
		break;
	case STREAM_CLOSED:
		closed(net, event->id);
		break;
	default:
		break;
	}
}
