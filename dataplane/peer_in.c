/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer - what comes in on the quorum port.
 *
 * Packets have no outer length. They are decoded where they lie in the driver's
 * buffer; what the first slice does not hold whole is pulled into one piece,
 * by as many bytes as the decoder says it needs, until it is content. Bursts
 * are cut, so that a leader that replays a long history does not starve the
 * clients of this core: what is left is reported again by the next poll. By
 * bytes as well: 64 multis of 100 KB are a second.
 */
#include "dataplane/peer_int.h"

#include "wire/quorum_auth.h"

#define PACKETS_PER_EVENT 64u
#define BYTES_PER_EVENT   65536u

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

/* Whether it wants SASL; it has been answered then. */
static bool
refuse_sasl(struct peer_net *net, struct stranger *stranger)
{
	const uint8_t *first = stream_pull(net->streams, stranger->id, 8);

	if (first == NULL || be_load64(first) != (uint64_t)QUORUM_AUTH_MAGIC)
		return false;
	door_answer_sasl(net->streams, stranger->id);
	door_refuse(&net->door, stranger, LOG_PEER_SASL);
	return true;
}

void
peer_stranger_read(struct peer_net *net, struct stranger *stranger)
{
	const stream_id id = stranger->id;
	struct quorum_packet packet;
	struct jute_slice raw;
	uint32_t slot;
	int got;

	if (refuse_sasl(net, stranger))
		return;
	got = packet_view(net, id, PEER_FIRST_BYTES_MAX, &packet, &raw);
	if (got == 0)
		return;
	if (got < 0 || (packet.type != QUORUM_FOLLOWERINFO &&
			packet.type != QUORUM_OBSERVERINFO)) {
		door_refuse(&net->door, stranger, LOG_QUORUM_GARBAGE);
		return;
	}
	slot = peer_slot_take(net, stranger);
	if (slot == PEER_SLOTS) {
		door_refuse(&net->door, stranger, LOG_QUORUM_FULL);
		return;
	}
	stranger->id = STREAM_NONE;
	net->hooks.on_up(net->hooks.arg, slot);
	if (peer_slot_of(net, id) == slot)
		peer_slot_read(net, slot);
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
	stream_loan_begin(&net->loan, id);
	taken = net->hooks.on_raw(net->hooks.arg, slot, slices[0].data,
				  slices[0].bytes);
	FAL_ASSERT(taken <= slices[0].bytes);
	stream_loan_end(&net->loan, net->streams, taken);
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

/* The same; *read grows by its bytes. */
static bool
packet_read(struct peer_net *net, uint32_t slot, uint32_t *read)
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
	*read += (uint32_t)raw.bytes;
	stream_loan_begin(&net->loan, id);
	net->hooks.on_packet(net->hooks.arg, slot, &packet, raw);
	stream_loan_end(&net->loan, net->streams, (uint32_t)raw.bytes);
	return it->state == PEER_UP && it->id == id;
}

uint64_t
peer_heard(struct peer_net *net, uint64_t *unread)
{
	uint64_t heard = 0;

	*unread = 0;
	for (uint32_t i = 0; i < PEER_SLOTS; i++) {
		struct peer_slot *it = &net->slot[i];
		uint32_t bytes;

		if (it->state != PEER_UP)
			continue;
		/* What was taken out was a packet, of which the core knows. */
		bytes = stream_buffered(net->streams, it->id);
		if (it->is_paused || it->is_raw_full)
			*unread |= peer_bit(i);
		else if (bytes > it->seen_bytes)
			heard |= peer_bit(i);
		it->seen_bytes = bytes;
	}
	return heard;
}

void
peer_slot_read(struct peer_net *net, uint32_t slot)
{
	struct peer_slot *it = &net->slot[slot];
	uint32_t read = 0;

	for (uint32_t i = 0; i < PACKETS_PER_EVENT && read < BYTES_PER_EVENT;
	     i++) {
		if (it->is_paused || it->is_raw_full)
			return;
		if (!(it->is_raw ? raw_read(net, slot)
				 : packet_read(net, slot, &read)))
			return;
	}
}
