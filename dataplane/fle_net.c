/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fle_net - the servers of the election port: places, messages, dials.
 *
 * A server has at most one connection (conn) and one dial under way (dial). A
 * message goes waiting -> connection -> delivered; the two buffers change
 * places, so nothing is copied twice. A dial takes the addresses one after the
 * other, each for connect_ms; when all failed the pause before the next round
 * doubles. The pause starts anew when the server says something sensible, not
 * when it is merely reached: one that hangs up on us each time must not be
 * dialed in a loop.
 */
#include "dataplane/fle_net_int.h"

#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

static uint8_t *
message_memory(struct fle_net *net, uint32_t i)
{
	return net->memory + (size_t)i * FLE_MESSAGE_BYTES_MAX;
}

int
fle_net_create(const struct fle_net_options *options,
	       struct stream_core *streams, const struct fle_net_hooks *hooks,
	       struct fle_net **out)
{
	const size_t text_bytes = strlen(options->own_addresses);
	struct fle_net *net;

	FAL_ASSERT(options->sid >= 0);
	FAL_ASSERT(text_bytes > 0 && text_bytes <= FLE_HELLO_TEXT_BYTES_MAX);
	FAL_ASSERT(options->retry_min_ms > 0);
	FAL_ASSERT(options->stats != NULL);
	net = calloc(1, sizeof(*net));
	if (net == NULL)
		return FAL_ENOMEM;
	/* Touched only as far as messages are long. */
	net->memory = calloc(2 * FLE_NET_PEERS_MAX, FLE_MESSAGE_BYTES_MAX);
	if (net->memory == NULL) {
		free(net);
		return FAL_ENOMEM;
	}
	net->options = *options;
	net->hooks = *hooks;
	net->streams = streams;
	for (uint32_t i = 0; i < FLE_NET_PEERS_MAX; i++) {
		net->peer[i].waiting.data = message_memory(net, 2 * i);
		net->peer[i].delivered.data = message_memory(net, 2 * i + 1);
	}

	const struct fle_hello hello = {
		.protocol_version =
			options->is_v2 ? FLE_PROTOCOL_V2 : FLE_PROTOCOL_V1,
		.sid = options->sid,
		.addresses = jute_slice_of(options->own_addresses, text_bytes),
	};
	struct jute_writer writer =
		jute_writer_of(net->hello, sizeof(net->hello));

	fle_hello_put(&writer, &hello);
	FAL_ASSERT(!writer.is_full);
	net->hello_bytes = (uint32_t)jute_written(&writer);
	net->options.own_addresses = NULL; /* the caller's */
	net->is_due = true;
	door_init(&net->door, net->streams, options->stats);
	*out = net;
	return FAL_OK;
}

void
fle_net_listener(const struct fle_net *net, struct stream_listener *out)
{
	out->tag = net->options.listen_tag;
	out->keepalive = net->options.keepalive;
	out->frame_bytes_max = FRAME_LENGTH_BYTES + FRAME_ELECTION_BYTES_MAX;
	out->unsent_bytes_max = 0;
}

/* ---- places ------------------------------------------------------------- */

struct fle_peer *
fle_peer_find(struct fle_net *net, int64_t sid)
{
	for (uint32_t i = 0; i < FLE_NET_PEERS_MAX; i++)
		if (net->peer[i].is_used && net->peer[i].sid == sid)
			return &net->peer[i];
	return NULL;
}

struct fle_peer *
fle_peer_of_stream(struct fle_net *net, stream_id id)
{
	for (uint32_t i = 0; i < FLE_NET_PEERS_MAX; i++) {
		struct fle_peer *peer = &net->peer[i];

		if (peer->is_used && (peer->conn == id || peer->dial == id))
			return peer;
	}
	return NULL;
}

static void
peer_leave(struct fle_net *net, struct fle_peer *peer)
{
	stream_loan_hang_up(&net->loan, net->streams, peer->conn);
	stream_loan_hang_up(&net->loan, net->streams, peer->dial);
	peer->is_used = false;
}

/* The place to be used: a free one, or of the server that was needed least. */
static struct fle_peer *
peer_place(struct fle_net *net, bool is_own)
{
	struct fle_peer *oldest = NULL;

	for (uint32_t i = 0; i < FLE_NET_PEERS_MAX; i++) {
		struct fle_peer *peer = &net->peer[i];
		const bool is_idle =
			peer->conn == STREAM_NONE && peer->waiting.bytes == 0;

		if (!peer->is_used)
			return peer;
		if (peer->is_member || (!is_own && !is_idle))
			continue;
		if (oldest == NULL || peer->last_use < oldest->last_use)
			oldest = peer;
	}
	if (oldest != NULL)
		peer_leave(net, oldest);
	return oldest;
}

struct fle_peer *
fle_peer_get(struct fle_net *net, int64_t sid, bool is_own)
{
	struct fle_peer *peer = fle_peer_find(net, sid);

	FAL_ASSERT(sid != net->options.sid);
	if (peer == NULL) {
		struct fle_message waiting, delivered;

		peer = peer_place(net, is_own);
		if (peer == NULL)
			return NULL;
		waiting = (struct fle_message){.data = peer->waiting.data};
		delivered = (struct fle_message){.data = peer->delivered.data};
		*peer = (struct fle_peer){
			.sid = sid,
			.is_used = true,
			.retry_ms = net->options.retry_min_ms,
			.waiting = waiting,
			.delivered = delivered,
		};
	}
	peer->last_use = ++net->uses;
	return peer;
}

/* ---- messages ----------------------------------------------------------- */

static void
put_genesis(uint8_t bytes[FLE_GENESIS_BYTES],
	    const struct genesis_message *message)
{
	be_store32(bytes, GENESIS_FRAME_BYTES);
	genesis_put(message, bytes + FRAME_LENGTH_BYTES);
}

static bool
has_room(const struct fle_net *net, const struct fle_peer *peer)
{
	return peer->conn != STREAM_NONE &&
	       stream_unsent(net->streams, peer->conn) <= FLE_UNSENT_BYTES_MAX;
}

/* In the order of types, which is the order of the protocol. */
static void
write_genesis(struct fle_net *net, struct fle_peer *peer)
{
	for (uint32_t type = 0; type < GENESIS_TYPES; type++) {
		if (!(peer->genesis_waits >> type & 1))
			continue;
		if (!has_room(net, peer) ||
		    stream_write(net->streams, peer->conn, peer->genesis[type],
				 FLE_GENESIS_BYTES) != FAL_OK)
			return; /* full or dead: an event says so */
		peer->genesis_waits &= ~(1u << type);
	}
}

void
fle_peer_write(struct fle_net *net, struct fle_peer *peer)
{
	struct fle_message message = peer->waiting;

	write_genesis(net, peer);
	if (message.bytes == 0 || !has_room(net, peer))
		return;
	if (stream_write(net->streams, peer->conn, message.data,
			 message.bytes) != FAL_OK)
		return; /* full or dead: an event says so */
	peer->waiting = peer->delivered;
	peer->waiting.bytes = 0;
	peer->delivered = message;
	stats_add(net->options.stats, STAT_NOTIFICATIONS_SENT, 1);
}

void
fle_net_send(struct fle_net *net, int64_t sid,
	     const struct zab_notification *notification,
	     struct jute_slice config)
{
	const struct fle_notification n = {
		.state = notification->state,
		.leader = notification->leader,
		.zxid = notification->zxid,
		.round = notification->round,
		.peer_epoch = notification->peer_epoch,
		.version = FLE_NOTIFICATION_VERSION,
		.config = config,
	};
	struct jute_writer writer;
	struct fle_peer *peer;
	size_t mark;

	FAL_ASSERT(config.bytes <= (int32_t)FLE_NET_CONFIG_BYTES_MAX);
	if (sid == net->options.sid || sid < 0)
		return;
	peer = fle_peer_get(net, sid, true);
	/* Members are QUORUM_MEMBERS_MAX at most, others make room. */
	FAL_ASSERT(peer != NULL);
	writer = jute_writer_of(peer->waiting.data, FLE_MESSAGE_BYTES_MAX);
	mark = frame_begin(&writer);
	fle_notification_put(&writer, &n);
	frame_end(&writer, mark);
	FAL_ASSERT(!writer.is_full);
	peer->waiting.bytes = (uint32_t)jute_written(&writer);
	peer->dials = 0;
	net->is_due = true;
	if (peer->conn == STREAM_NONE)
		fle_peer_dial(net, peer);
	else
		fle_peer_write(net, peer);
}

void
fle_net_send_genesis(struct fle_net *net, int64_t sid,
		     const struct genesis_message *message)
{
	struct fle_peer *peer = fle_peer_find(net, sid);

	FAL_ASSERT(message->type < GENESIS_TYPES);
	if (peer == NULL || (!peer->is_member && peer->conn == STREAM_NONE))
		return;
	put_genesis(peer->genesis[message->type], message);
	peer->genesis_waits |= 1u << message->type;
	net->is_due = true;
	if (peer->conn == STREAM_NONE)
		fle_peer_dial(net, peer);
	else
		write_genesis(net, peer);
}

bool
fle_net_speaks_genesis(const struct fle_net *net, int64_t sid)
{
	for (uint32_t i = 0; i < FLE_NET_PEERS_MAX; i++)
		if (net->peer[i].is_used && net->peer[i].sid == sid)
			return net->peer[i].speaks_genesis;
	return false;
}

void
fle_net_forget(struct fle_net *net)
{
	for (uint32_t i = 0; i < FLE_NET_PEERS_MAX; i++)
		net->peer[i].delivered.bytes = 0;
}

/* ---- links -------------------------------------------------------------- */

void
fle_peer_tell(struct fle_net *net, struct fle_peer *peer, bool is_up)
{
	const int8_t told = is_up ? 1 : -1;

	if (peer->told == told)
		return;
	peer->told = told;
	net->hooks.link(net->hooks.arg, peer->sid, is_up);
}

/* Before anything else: only so it is known who speaks of the register. */
static void
say_hello(struct fle_net *net, const struct fle_peer *peer)
{
	uint8_t bytes[FLE_GENESIS_BYTES];
	struct genesis_message message;

	if (net->hooks.hello == NULL)
		return;
	net->hooks.hello(net->hooks.arg, &message);
	put_genesis(bytes, &message);
	/* A connection that does not take it is dead: an event says so. */
	(void)!stream_write(net->streams, peer->conn, bytes, sizeof(bytes));
}

void
fle_peer_up(struct fle_net *net, struct fle_peer *peer, stream_id id)
{
	/* In the place of one that broke: what waited may be for a process that
	 * is no more. */
	if (peer->conn != STREAM_NONE)
		peer->genesis_waits = 0;
	peer->conn = id;
	peer->speaks_genesis = false;
	say_hello(net, peer);
	peer->dial = STREAM_NONE;
	peer->dials = 0;
	peer->must_dial = false;
	if (peer->waiting.bytes == 0 && peer->delivered.bytes != 0) {
		const struct fle_message again = peer->delivered;

		peer->delivered = peer->waiting;
		peer->waiting = again;
	}
	fle_peer_write(net, peer);
	net->is_due = true;
	fle_peer_tell(net, peer, true);
}

void
fle_peer_back_off(struct fle_net *net, struct fle_peer *peer,
		  uint32_t at_least_ms)
{
	const uint32_t doubled = 2 * peer->retry_ms;
	const uint32_t pause =
		peer->retry_ms > at_least_ms ? peer->retry_ms : at_least_ms;

	peer->retry_at_ms = net->now_ms + pause;
	peer->retry_ms = doubled < net->options.retry_max_ms
				 ? doubled
				 : net->options.retry_max_ms;
	peer->dials++;
	if (!peer->is_member && peer->dials >= FLE_STRANGER_DIALS) {
		peer->waiting.bytes = 0;
		peer->must_dial = false;
	}
	net->is_due = true;
}

/* Configured addresses first, those of the hello behind them; what is no
 * address to dial is left out. */
static void
peer_addresses(struct fle_net *net, struct fle_peer *peer)
{
	struct stream_address found[2 * PEER_ADDRESSES_MAX];
	uint32_t count, kept = 0;

	count = net->hooks.addresses(net->hooks.arg, peer->sid, found);
	FAL_ASSERT(count <= PEER_ADDRESSES_MAX);
	if (peer->hello_bytes > 0 && net->hooks.resolve != NULL)
		count += net->hooks.resolve(
			net->hooks.arg,
			jute_slice_of(peer->hello, peer->hello_bytes),
			found + count);
	FAL_ASSERT(count <= 2 * PEER_ADDRESSES_MAX);
	for (uint32_t i = 0; i < count && kept < PEER_ADDRESSES_MAX; i++) {
		bool is_known = stream_address_is_any(&found[i]);

		for (uint32_t j = 0; j < kept; j++)
			is_known =
				is_known || memcmp(&peer->address[j], &found[i],
						   sizeof(found[i])) == 0;
		if (!is_known)
			peer->address[kept++] = found[i];
	}
	peer->address_count = kept;
	peer->address_next = 0;
}

/* Connects to the next address that the system does not refuse at once. */
static bool
peer_dial_next(struct fle_net *net, struct fle_peer *peer)
{
	while (peer->address_next < peer->address_count) {
		const struct stream_target target = {
			.address = peer->address[peer->address_next++],
			.tag = net->options.connect_tag,
			.keepalive = net->options.keepalive,
			.frame_bytes_max =
				FRAME_LENGTH_BYTES + FRAME_ELECTION_BYTES_MAX,
		};

		if (stream_connect(net->streams, &target, &peer->dial, NULL) ==
		    FAL_OK) {
			peer->dial_ms = 0;
			net->is_due = true;
			return true;
		}
	}
	peer->dial = STREAM_NONE;
	return false;
}

void
fle_peer_dial_failed(struct fle_net *net, struct fle_peer *peer)
{
	peer->dial = STREAM_NONE;
	if (peer_dial_next(net, peer))
		return;
	fle_peer_back_off(net, peer, 0);
	fle_peer_tell(net, peer, false);
}

void
fle_peer_dial(struct fle_net *net, struct fle_peer *peer)
{
	if (peer->conn != STREAM_NONE || peer->dial != STREAM_NONE ||
	    net->now_ms < peer->retry_at_ms)
		return;
	peer_addresses(net, peer);
	fle_peer_dial_failed(net, peer);
}

void
fle_net_connect(struct fle_net *net, int64_t sid)
{
	struct fle_peer *peer;

	if (sid == net->options.sid || sid < 0)
		return;
	peer = fle_peer_get(net, sid, true);
	FAL_ASSERT(peer != NULL);
	peer->is_member = true;
	peer->dials = 0;
	net->is_due = true;
	fle_peer_dial(net, peer);
}

void
fle_net_drop(struct fle_net *net, int64_t sid)
{
	struct fle_peer *peer = fle_peer_find(net, sid);

	if (peer != NULL)
		peer_leave(net, peer);
}

bool
fle_net_is_up(const struct fle_net *net, int64_t sid)
{
	for (uint32_t i = 0; i < FLE_NET_PEERS_MAX; i++)
		if (net->peer[i].is_used && net->peer[i].sid == sid)
			return net->peer[i].conn != STREAM_NONE;
	return false;
}

/* ---- timers ------------------------------------------------------------- */

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool
wants_dial(const struct fle_peer *peer)
{
	return peer->is_member || peer->must_dial || peer->waiting.bytes > 0;
}

/* Returns when the peer wants to be looked at again. */
static uint64_t
peer_poll(struct fle_net *net, struct fle_peer *peer)
{
	if (peer->conn != STREAM_NONE) {
		fle_peer_write(net, peer);
		return peer->waiting.bytes == 0 && peer->genesis_waits == 0
			       ? UINT64_MAX
			       : net->now_ms + FLE_ROOM_MS;
	}
	if (peer->dial != STREAM_NONE && peer->dial_ms == 0)
		peer->dial_ms = net->now_ms;
	if (peer->dial != STREAM_NONE &&
	    net->now_ms >= peer->dial_ms + net->options.connect_ms) {
		stream_abort(net->streams, peer->dial);
		fle_peer_dial_failed(net, peer);
	} else if (peer->dial == STREAM_NONE && wants_dial(peer)) {
		fle_peer_dial(net, peer);
	}
	/* The hook may have dropped it. */
	if (!peer->is_used)
		return UINT64_MAX;
	if (peer->dial != STREAM_NONE)
		return peer->dial_ms == 0
			       ? net->now_ms
			       : peer->dial_ms + net->options.connect_ms;
	return wants_dial(peer) ? peer->retry_at_ms : UINT64_MAX;
}

uint64_t
fle_net_poll(struct fle_net *net, uint64_t now_ms)
{
	uint64_t wake_ms;

	net->now_ms = now_ms;
	if (!net->is_due && now_ms < net->wake_ms)
		return net->wake_ms;
	net->is_due = false;
	wake_ms = door_expire(&net->door, now_ms, net->options.hello_ms,
			      LOG_ELECTION_SILENT);
	for (uint32_t i = 0; i < FLE_NET_PEERS_MAX; i++)
		if (net->peer[i].is_used)
			wake_ms =
				earlier(wake_ms, peer_poll(net, &net->peer[i]));
	net->wake_ms = net->is_due ? now_ms : wake_ms;
	return net->wake_ms;
}

void
fle_net_destroy(struct fle_net *net)
{
	door_shut(&net->door);
	for (uint32_t i = 0; i < FLE_NET_PEERS_MAX; i++)
		if (net->peer[i].is_used)
			peer_leave(net, &net->peer[i]);
	free(net->memory);
	free(net);
}
