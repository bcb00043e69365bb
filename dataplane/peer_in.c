/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer - what comes in on the quorum port.
 *
 * Packets have no outer length. They are decoded where they lie in the driver's
 * buffer; what the first slice does not hold whole is pulled into one piece,
 * by as many bytes as the decoder says it needs, until it is content. Bursts
 * are cut, so that a leader that replays a long history does not starve the
 * clients of this core: what is left is reported again by the next poll.
 */
#include "dataplane/peer_int.h"

#include "wire/quorum_auth.h"

#define PACKETS_PER_EVENT 64u

/* A hook looks at bytes of the connection: see peer_net.busy. */
static void
lend(struct peer_net *net, stream_id id)
{
	net->busy = id;
	net->busy_must_end = false;
}

static void
take_back(struct peer_net *net, stream_id id, uint32_t bytes)
{
	net->busy = STREAM_NONE;
	stream_consume(net->streams, id, bytes);
	if (net->busy_must_end)
		stream_close(net->streams, id);
}

/*
 * The packet at the start of a connection's bytes, in place.
 *
 * 1 and *raw  a whole packet
 * 0           not yet; READABLE comes when there is more
 * FAL_EPROTO  no packet
 */
static int
packet_view(struct peer_net *net, stream_id id, uint32_t bytes_max,
	    struct quorum_packet *packet, struct jute_slice *raw)
{
	struct stream_slice slices[STREAM_SLICES_MAX];
	size_t bytes;

	if (stream_peek(net->streams, id, slices) == 0)
		return 0;

	const uint8_t *data = slices[0].data;
	size_t have = slices[0].bytes;

	for (;;) {
		const int got = quorum_packet_get(
			data, have, (int32_t)bytes_max, packet, &bytes);

		if (got != 0) {
			*raw = jute_slice_of(data, got > 0 ? bytes : 0);
			return got;
		}
		data = stream_pull(net->streams, id, (uint32_t)bytes);
		if (data == NULL)
			return 0;
		have = bytes;
	}
}

/* ---- strangers ---------------------------------------------------------- */

struct peer_stranger *
peer_stranger_find(struct peer_net *net, stream_id id)
{
	for (uint32_t i = 0; i < PEER_STRANGERS_MAX; i++)
		if (net->stranger[i].id == id)
			return &net->stranger[i];
	return NULL;
}

/* Whoever speaks at once finds a place however many just hold theirs. */
void
peer_stranger_add(struct peer_net *net, stream_id id, bool is_master)
{
	struct peer_stranger *oldest = &net->stranger[0];

	for (uint32_t i = 0; i < PEER_STRANGERS_MAX; i++) {
		struct peer_stranger *stranger = &net->stranger[i];

		if (stranger->id == STREAM_NONE) {
			oldest = stranger;
			break;
		}
		if (stranger->since_ms < oldest->since_ms)
			oldest = stranger;
	}
	if (oldest->id != STREAM_NONE) {
		stats_add(net->options.stats, STAT_PEER_REFUSED, 1);
		stream_abort(net->streams, oldest->id);
	}
	*oldest = (struct peer_stranger){
		.id = id, .is_master = is_master, .since_ms = net->now_ms};
}

static void
stranger_refuse(struct peer_net *net, struct peer_stranger *stranger,
		enum log_event event)
{
	peer_address_log(event, stream_peer(net->streams, stranger->id));
	stats_add(net->options.stats, STAT_PEER_REFUSED, 1);
	stream_close(net->streams, stranger->id);
	stranger->id = STREAM_NONE;
}

/* Whether it wants SASL; it has been answered then. */
static bool
stranger_refuse_sasl(struct peer_net *net, struct peer_stranger *stranger)
{
	const struct quorum_auth answer = {
		.status = QUORUM_AUTH_ERROR,
		.token = {.data = NULL, .bytes = -1},
	};
	const uint8_t *first = stream_pull(net->streams, stranger->id, 8);
	uint8_t bytes[32];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));

	if (first == NULL || be_load64(first) != (uint64_t)QUORUM_AUTH_MAGIC)
		return false;
	quorum_auth_put(&writer, &answer);
	/* What cannot be told is not worth another try. */
	(void)!stream_write(net->streams, stranger->id, bytes,
			    (uint32_t)jute_written(&writer));
	stranger_refuse(net, stranger, LOG_PEER_SASL);
	return true;
}

void
peer_stranger_read(struct peer_net *net, struct peer_stranger *stranger)
{
	const stream_id id = stranger->id;
	struct quorum_packet packet;
	struct jute_slice raw;
	uint32_t slot;
	int got;

	if (stranger_refuse_sasl(net, stranger))
		return;
	got = packet_view(net, id, PEER_FIRST_BYTES_MAX, &packet, &raw);
	if (got == 0)
		return;
	if (got < 0 || (packet.type != QUORUM_FOLLOWERINFO &&
			packet.type != QUORUM_OBSERVERINFO)) {
		stranger_refuse(net, stranger, LOG_QUORUM_GARBAGE);
		return;
	}
	slot = peer_slot_take(net, stranger);
	if (slot == PEER_SLOTS) {
		stranger_refuse(net, stranger, LOG_QUORUM_FULL);
		return;
	}
	stranger->id = STREAM_NONE;
	net->hooks.on_up(net->hooks.arg, slot);
	if (peer_slot_of(net, id) == slot)
		peer_slot_read(net, slot);
}

uint64_t
peer_strangers_poll(struct peer_net *net)
{
	uint64_t wake_ms = UINT64_MAX;

	for (uint32_t i = 0; i < PEER_STRANGERS_MAX; i++) {
		struct peer_stranger *stranger = &net->stranger[i];

		if (stranger->id == STREAM_NONE)
			continue;

		const uint64_t end_ms =
			stranger->since_ms + net->options.first_ms;

		if (net->now_ms >= end_ms)
			stranger_refuse(net, stranger, LOG_QUORUM_SILENT);
		else if (end_ms < wake_ms)
			wake_ms = end_ms;
	}
	return wake_ms;
}

/* ---- slots -------------------------------------------------------------- */

/* Returns whether there may be more to be read. */
static bool
raw_read(struct peer_net *net, uint32_t slot)
{
	struct peer_slot *it = &net->slot[slot];
	const stream_id id = it->id;
	struct stream_slice slices[STREAM_SLICES_MAX];
	uint32_t taken;

	if (stream_peek(net->streams, id, slices) == 0)
		return false;
	lend(net, id);
	taken = net->hooks.on_raw(net->hooks.arg, slot, slices[0].data,
				  slices[0].bytes);
	FAL_ASSERT(taken <= slices[0].bytes);
	take_back(net, id, taken);
	if (it->state != PEER_UP || it->id != id)
		return false;
	if (taken == slices[0].bytes || !it->is_raw)
		return true;
	/* The level would keep the loop awake while the hook has no room. */
	it->is_raw_full = true;
	net->raw_full |= peer_bit(slot);
	net->raw_full_ms = net->now_ms;
	stream_pause(net->streams, id);
	return false;
}

/* The same. */
static bool
packet_read(struct peer_net *net, uint32_t slot)
{
	struct peer_slot *it = &net->slot[slot];
	const stream_id id = it->id;
	struct quorum_packet packet;
	struct jute_slice raw;
	const int got = packet_view(net, id, net->options.packet_bytes_max,
				    &packet, &raw);

	if (got == 0)
		return false;
	if (got < 0) {
		stats_add(net->options.stats, STAT_PEER_MALFORMED, 1);
		peer_address_log(LOG_QUORUM_MALFORMED, &it->address);
		peer_down_now(net, slot, PEER_PROTOCOL);
		return false;
	}
	stats_add(net->options.stats, STAT_PEER_PACKETS_RECEIVED, 1);
	lend(net, id);
	net->hooks.on_packet(net->hooks.arg, slot, &packet, raw);
	take_back(net, id, (uint32_t)raw.bytes);
	return it->state == PEER_UP && it->id == id;
}

void
peer_slot_read(struct peer_net *net, uint32_t slot)
{
	struct peer_slot *it = &net->slot[slot];

	for (uint32_t i = 0; i < PACKETS_PER_EVENT; i++) {
		if (it->is_paused || it->is_raw_full)
			return;
		if (!(it->is_raw ? raw_read(net, slot)
				 : packet_read(net, slot)))
			return;
	}
}
