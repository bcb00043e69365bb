/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer - what goes out on the quorum port: the program of each slot.
 *
 * Without a stream the program is empty and packets go straight to the
 * driver's output. A stream at its head is played into that output as far as
 * AHEAD_BYTES, so that a learner that reads slowly does not pull a whole
 * snapshot into memory; packets that come meanwhile wait in parts behind it. If
 * they get too many they are cut off, and the stream is the last of it.
 */
#include "dataplane/peer_int.h"

#include <stdlib.h>
#include <string.h>

/* A stream is played while less than this waits in the driver. */
#define AHEAD_BYTES (512u << 10)
/* Of one slot in one poll. */
#define PLAY_BYTES_MAX (1u << 20)
#define PART_BYTES     (64u << 10)
/* A stream without bytes, or a full connection, is looked at again then. */
#define PAUSE_MS 1u

/* ---- appending ---------------------------------------------------------- */

static void
program_append(struct peer_slot *it, struct peer_part *part)
{
	part->next = NULL;
	if (it->tail == NULL)
		it->head = part;
	else
		it->tail->next = part;
	it->tail = part;
}

static struct peer_part *
part_new(uint32_t bytes_max)
{
	struct peer_part *part = malloc(sizeof(*part) + bytes_max);

	if (part != NULL)
		*part = (struct peer_part){.bytes_max = bytes_max};
	return part;
}

/* Behind the streams of the program. False: no memory. */
static bool
program_add_bytes(struct peer_slot *it, const uint8_t *data, uint32_t bytes)
{
	struct peer_part *part = it->tail;

	if (part->stream != NULL || part->bytes_max - part->bytes < bytes) {
		part = part_new(bytes > PART_BYTES ? bytes : PART_BYTES);
		if (part == NULL)
			return false;
		program_append(it, part);
	}
	memcpy(part->data + part->bytes, data, bytes);
	part->bytes += bytes;
	it->part_bytes += bytes;
	return true;
}

uint64_t
peer_queued_bytes(const struct peer_net *net, uint32_t slot)
{
	FAL_ASSERT(slot < PEER_SLOTS);
	if (net->slot[slot].state != PEER_UP)
		return 0;
	return net->slot[slot].part_bytes +
	       stream_unsent(net->streams, net->slot[slot].id);
}

static void
program_pop(struct peer_slot *it)
{
	struct peer_part *part = it->head;

	it->head = part->next;
	if (it->head == NULL)
		it->tail = NULL;
	if (part->stream != NULL)
		part->stream->ops->close(part->stream);
	it->part_bytes -= part->bytes - part->at;
	free(part);
}

/* What waits behind the stream goes, nothing comes any more. */
static void
program_cut(struct peer_slot *it)
{
	struct peer_part *stream = it->head;

	it->head = stream->next;
	while (it->head != NULL)
		program_pop(it);
	stream->next = NULL;
	it->head = stream;
	it->tail = stream;
	it->is_cut = true;
}

static void
tell_slow(const struct peer_net *net, const struct peer_slot *it)
{
	stats_add(net->options.stats, STAT_PEER_SLOW, 1);
	peer_address_log(LOG_QUORUM_SLOW, &it->address);
}

static void
send_one(struct peer_net *net, uint32_t slot, const void *packets,
	 uint32_t bytes)
{
	struct peer_slot *it = &net->slot[slot];
	int err = FAL_ELIMIT;

	if (it->state != PEER_UP || it->is_cut)
		return;
	if (peer_queued_bytes(net, slot) + bytes <=
	    net->options.queue_bytes_max) {
		if (it->head == NULL)
			err = stream_write(net->streams, it->id, packets,
					   bytes);
		else
			err = program_add_bytes(it, packets, bytes)
				      ? FAL_OK
				      : FAL_ENOMEM;
	} else if (it->head != NULL && it->head->stream != NULL) {
		program_cut(it);
		return;
	}
	/* Dead: CLOSED is on its way. */
	if (err == FAL_OK || err == FAL_ECLOSED)
		return;
	tell_slow(net, it);
	peer_fall(net, slot, PEER_SLOW);
}

void
peer_send(struct peer_net *net, uint64_t slots, const void *packets,
	  uint32_t bytes)
{
	for (uint32_t i = 0; i < PEER_SLOTS; i++)
		if ((slots & peer_bit(i)) != 0)
			send_one(net, i, packets, bytes);
}

void
peer_send_stream(struct peer_net *net, uint32_t slot,
		 struct store_stream *stream)
{
	struct peer_part *part;

	FAL_ASSERT(slot < PEER_SLOTS);

	const bool is_open =
		net->slot[slot].state == PEER_UP && !net->slot[slot].is_cut;

	part = is_open ? part_new(0) : NULL;
	if (part == NULL) {
		stream->ops->close(stream);
		if (is_open)
			peer_fall(net, slot, PEER_SLOW);
		return;
	}
	part->stream = stream;
	program_append(&net->slot[slot], part);
	net->playing |= peer_bit(slot);
}

/* ---- playing ------------------------------------------------------------ */

void
peer_program_drop(struct peer_net *net, uint32_t slot)
{
	while (net->slot[slot].head != NULL)
		program_pop(&net->slot[slot]);
	net->playing &= ~peer_bit(slot);
	FAL_ASSERT(net->slot[slot].part_bytes == 0);
}

enum played {
	PLAYED_SOME,    /* *bytes went out */
	PLAYED_PART,    /* the part is done and gone */
	PLAYED_NOTHING, /* no bytes ready, or no room */
	PLAYED_BADLY,   /* the stream failed */
};

static enum played
play_bytes(struct peer_net *net, struct peer_slot *it, uint32_t *bytes)
{
	struct peer_part *part = it->head;
	const uint32_t left = part->bytes - part->at;
	const uint32_t n = left < *bytes ? left : *bytes;

	if (stream_write(net->streams, it->id, part->data + part->at, n) !=
	    FAL_OK)
		return PLAYED_NOTHING;
	part->at += n;
	it->part_bytes -= n;
	*bytes = n;
	if (part->at < part->bytes)
		return PLAYED_SOME;
	program_pop(it);
	return PLAYED_PART;
}

static enum played
play_stream(struct peer_net *net, struct peer_slot *it, uint32_t *bytes)
{
	struct store_stream *stream = it->head->stream;
	const uint8_t *data;
	const uint32_t ready = stream->ops->peek(stream, &data);
	const uint32_t n = ready < *bytes ? ready : *bytes;

	*bytes = n;
	if (n == 0) {
		const int state = stream->ops->state(stream);

		if (state == 0)
			return PLAYED_NOTHING;
		if (state < 0)
			return PLAYED_BADLY;
		program_pop(it);
		return PLAYED_PART;
	}
	if (stream_write(net->streams, it->id, data, n) != FAL_OK)
		return PLAYED_NOTHING;
	stream->ops->consume(stream, n);
	return PLAYED_SOME;
}

uint64_t
peer_program_play(struct peer_net *net, uint32_t slot)
{
	struct peer_slot *it = &net->slot[slot];
	uint32_t played = 0;

	FAL_ASSERT(it->state == PEER_UP);
	while (it->head != NULL) {
		const uint32_t unsent = stream_unsent(net->streams, it->id);
		uint32_t bytes =
			unsent < AHEAD_BYTES ? AHEAD_BYTES - unsent : 0;
		enum played result;

		if (played >= PLAY_BYTES_MAX)
			return 0;
		if (bytes == 0)
			return net->now_ms + PAUSE_MS;
		result = it->head->stream != NULL ? play_stream(net, it, &bytes)
						  : play_bytes(net, it, &bytes);
		if (result == PLAYED_NOTHING)
			return net->now_ms + PAUSE_MS;
		if (result == PLAYED_BADLY) {
			peer_fall(net, slot, PEER_SOURCE);
			return 0;
		}
		played += bytes;
	}
	net->playing &= ~peer_bit(slot);
	if (it->is_cut) {
		tell_slow(net, it);
		peer_down_now(net, slot, PEER_SLOW);
	}
	return UINT64_MAX;
}
