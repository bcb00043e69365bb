/* SPDX-License-Identifier: Apache-2.0 */
/* door - see door.h. */
#include "dataplane/door.h"

#include "wire/quorum_auth.h"

void
door_init(struct door *door, struct stream_core *streams,
	  struct stats_core *stats)
{
	door->streams = streams;
	door->stats = stats;
	for (uint32_t i = 0; i < DOOR_PLACES; i++)
		door->place[i] = (struct stranger){.id = STREAM_NONE};
}

void
door_shut(struct door *door)
{
	for (uint32_t i = 0; i < DOOR_PLACES; i++)
		if (door->place[i].id != STREAM_NONE)
			stream_close(door->streams, door->place[i].id);
}

struct stranger *
door_find(struct door *door, stream_id id)
{
	for (uint32_t i = 0; i < DOOR_PLACES; i++)
		if (door->place[i].id == id)
			return &door->place[i];
	return NULL;
}

void
door_left(struct door *door, struct stranger *stranger)
{
	stats_add(door->stats, STAT_PEER_REFUSED, 1);
	stranger->id = STREAM_NONE;
}

/* A free place, or the oldest. */
static struct stranger *
choose_place(struct door *door)
{
	struct stranger *oldest = &door->place[0];

	for (uint32_t i = 0; i < DOOR_PLACES; i++) {
		struct stranger *place = &door->place[i];

		if (place->id == STREAM_NONE)
			return place;
		if (place->since_ms < oldest->since_ms)
			oldest = place;
	}
	return oldest;
}

void
door_enter(struct door *door, stream_id id, uint32_t tag, uint64_t now_ms)
{
	struct stranger *place = choose_place(door);

	if (place->id != STREAM_NONE) {
		stream_abort(door->streams, place->id);
		door_left(door, place);
	}
	*place = (struct stranger){.id = id, .tag = tag, .since_ms = now_ms};
}

void
door_refuse(struct door *door, struct stranger *stranger, enum log_event event)
{
	peer_address_log(event, stream_peer(door->streams, stranger->id));
	stream_close(door->streams, stranger->id);
	door_left(door, stranger);
}

uint64_t
door_expire(struct door *door, uint64_t now_ms, uint32_t limit_ms,
	    enum log_event event)
{
	uint64_t wake_ms = UINT64_MAX;

	for (uint32_t i = 0; i < DOOR_PLACES; i++) {
		struct stranger *stranger = &door->place[i];
		const uint64_t end_ms = stranger->since_ms + limit_ms;

		if (stranger->id == STREAM_NONE)
			continue;
		if (now_ms >= end_ms)
			door_refuse(door, stranger, event);
		else if (end_ms < wake_ms)
			wake_ms = end_ms;
	}
	return wake_ms;
}

void
door_answer_sasl(struct stream_core *streams, stream_id id)
{
	const struct quorum_auth answer = {
		.status = QUORUM_AUTH_ERROR,
		.token = {.data = NULL, .bytes = -1},
	};
	uint8_t bytes[32];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));

	quorum_auth_put(&writer, &answer);
	(void)!stream_write(streams, id, bytes,
			    (uint32_t)jute_written(&writer));
}
