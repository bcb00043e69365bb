/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer - slots of the quorum port: who is there, who was dialed, who falls.
 *
 * A slot falls in two steps when that happens inside of a call of its user:
 * the connection is aborted at once, the hook is told by the next poll. So
 * nobody gets an on_down while he is executing actions.
 *
 * A dial opens all addresses of the leader at once and keeps the first that
 * answers: one of several networks may swallow everything.
 */
#include "dataplane/peer_int.h"

#include <stdlib.h>

int
peer_net_create(const struct peer_options *options, struct stream_core *streams,
		const struct peer_hooks *hooks, struct peer_net **out)
{
	struct peer_net *net = calloc(1, sizeof(*net));

	FAL_ASSERT(options->packet_bytes_max > 0 &&
		   options->packet_bytes_max <= INT32_MAX / 4);
	FAL_ASSERT(options->stats != NULL);
	if (net == NULL)
		return FAL_ENOMEM;
	net->options = *options;
	if (net->options.queue_bytes_max == 0)
		net->options.queue_bytes_max = 64u << 20;
	net->hooks = *hooks;
	net->streams = streams;
	door_init(&net->door, streams, options->stats);
	*out = net;
	return FAL_OK;
}

/* Data and authinfo may have packet_bytes_max bytes each. */
static uint32_t
packet_view_max(const struct peer_net *net)
{
	return 2 * net->options.packet_bytes_max + 64;
}

/* The driver's limit is no limit: what is queued is counted here. */
static uint32_t
unsent_bytes_max(const struct peer_net *net)
{
	return net->options.queue_bytes_max < UINT32_MAX / 2
		       ? (uint32_t)net->options.queue_bytes_max + (4u << 20)
		       : UINT32_MAX;
}

void
peer_net_listener(const struct peer_net *net, struct stream_listener *out)
{
	out->tag = net->options.listen_tag;
	out->keepalive = net->options.keepalive;
	out->frame_bytes_max = packet_view_max(net);
	out->unsent_bytes_max = unsent_bytes_max(net);
}

void
peer_net_master_listener(const struct peer_net *net,
			 struct stream_listener *out)
{
	FAL_ASSERT(net->options.master_tag != 0);
	peer_net_listener(net, out);
	out->tag = net->options.master_tag;
}

/* ---- slots -------------------------------------------------------------- */

uint32_t
peer_slot_of(const struct peer_net *net, stream_id id)
{
	for (uint32_t i = 0; i < PEER_SLOTS; i++)
		if (net->slot[i].state == PEER_UP && net->slot[i].id == id)
			return i;
	return PEER_SLOTS;
}

static void
slot_begin(struct peer_net *net, uint32_t slot, stream_id id)
{
	const struct stream_address *address = stream_peer(net->streams, id);

	net->slot[slot] = (struct peer_slot){.state = PEER_UP, .id = id};
	if (address != NULL)
		net->slot[slot].address = *address;
}

uint32_t
peer_slot_take(struct peer_net *net, const struct stranger *stranger)
{
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		if (net->slot[i].state != PEER_FREE)
			continue;
		slot_begin(net, i, stranger->id);
		net->slot[i].is_master =
			stranger->tag != net->options.listen_tag;
		return i;
	}
	return PEER_SLOTS;
}

static void
dial_end(struct peer_net *net)
{
	for (uint32_t i = 0; i < PEER_ADDRESSES_MAX; i++) {
		if (net->dial[i] != STREAM_NONE)
			stream_abort(net->streams, net->dial[i]);
		net->dial[i] = STREAM_NONE;
	}
}

/* Without a word to the hook. */
static void
slot_free(struct peer_net *net, uint32_t slot)
{
	const uint64_t others = ~peer_bit(slot);

	if (net->slot[slot].state == PEER_DIALING)
		dial_end(net);
	peer_program_drop(net, slot);
	net->fallen &= others;
	net->playing &= others;
	net->raw_full &= others;
	net->slot[slot] = (struct peer_slot){.state = PEER_FREE};
}

void
peer_close(struct peer_net *net, uint32_t slot)
{
	FAL_ASSERT(slot < PEER_SLOTS);

	const stream_id id = net->slot[slot].id;

	slot_free(net, slot);
	stream_loan_hang_up(&net->loan, net->streams, id);
}

void
peer_down_now(struct peer_net *net, uint32_t slot, enum peer_down why)
{
	peer_close(net, slot);
	net->hooks.on_down(net->hooks.arg, slot, why);
}

void
peer_fall(struct peer_net *net, uint32_t slot, enum peer_down why)
{
	struct peer_slot *it = &net->slot[slot];

	FAL_ASSERT(it->state == PEER_UP || it->state == PEER_DIALING);
	if (it->state == PEER_DIALING)
		dial_end(net);
	if (it->id != STREAM_NONE &&
	    !stream_loan_defers_end(&net->loan, it->id))
		stream_abort(net->streams, it->id);
	peer_program_drop(net, slot);
	it->id = STREAM_NONE;
	it->state = PEER_FALLEN;
	it->why = (uint8_t)why;
	net->fallen |= peer_bit(slot);
}

bool
peer_is_up(const struct peer_net *net, uint32_t slot)
{
	FAL_ASSERT(slot < PEER_SLOTS);
	return net->slot[slot].state == PEER_UP;
}

bool
peer_is_master(const struct peer_net *net, uint32_t slot)
{
	FAL_ASSERT(slot < PEER_SLOTS);
	return net->slot[slot].is_master;
}

const struct stream_address *
peer_address(const struct peer_net *net, uint32_t slot)
{
	FAL_ASSERT(slot < PEER_SLOTS);
	return net->slot[slot].state == PEER_FREE ? NULL
						  : &net->slot[slot].address;
}

/* ---- reading ------------------------------------------------------------ */

void
peer_pause(struct peer_net *net, uint32_t slot)
{
	FAL_ASSERT(slot < PEER_SLOTS);
	net->slot[slot].is_paused = true;
	if (net->slot[slot].state == PEER_UP)
		stream_pause(net->streams, net->slot[slot].id);
}

void
peer_resume(struct peer_net *net, uint32_t slot)
{
	FAL_ASSERT(slot < PEER_SLOTS);
	net->slot[slot].is_paused = false;
	if (net->slot[slot].state == PEER_UP && !net->slot[slot].is_raw_full)
		stream_resume(net->streams, net->slot[slot].id);
}

void
peer_set_raw(struct peer_net *net, uint32_t slot, bool is_raw)
{
	FAL_ASSERT(slot < PEER_SLOTS);
	net->slot[slot].is_raw = is_raw;
}

/* ---- the dial ----------------------------------------------------------- */

static bool
dial_is_open(const struct peer_net *net)
{
	for (uint32_t i = 0; i < PEER_ADDRESSES_MAX; i++)
		if (net->dial[i] != STREAM_NONE)
			return true;
	return false;
}

void
peer_dial(struct peer_net *net, const struct stream_address *addresses,
	  uint32_t count)
{
	struct peer_slot *slot = &net->slot[ZAB_LEADER_SLOT];

	FAL_ASSERT(slot->state == PEER_FREE);
	FAL_ASSERT(count <= PEER_ADDRESSES_MAX);
	*slot = (struct peer_slot){.state = PEER_DIALING};
	net->dial_ms = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct stream_target target = {
			.address = addresses[i],
			.tag = net->options.connect_tag,
			.keepalive = net->options.keepalive,
			.frame_bytes_max = packet_view_max(net),
			.unsent_bytes_max = unsent_bytes_max(net),
		};

		slot->address = addresses[i];
		net->dial_address[i] = addresses[i];
		if (stream_address_is_any(&addresses[i]) ||
		    stream_connect(net->streams, &target, &net->dial[i],
				   NULL) != FAL_OK)
			net->dial[i] = STREAM_NONE;
	}
	if (!dial_is_open(net))
		peer_fall(net, ZAB_LEADER_SLOT, PEER_REFUSED);
}

/* Index of a connection that is being opened, or PEER_ADDRESSES_MAX. */
static uint32_t
dial_index(const struct peer_net *net, stream_id id)
{
	uint32_t i = 0;

	while (i < PEER_ADDRESSES_MAX && net->dial[i] != id)
		i++;
	return i;
}

static void
dial_opened(struct peer_net *net, uint32_t index)
{
	struct peer_slot *slot = &net->slot[ZAB_LEADER_SLOT];
	const stream_id id = net->dial[index];
	const bool is_paused = slot->is_paused;

	FAL_ASSERT(slot->state == PEER_DIALING);
	net->dial[index] = STREAM_NONE;
	dial_end(net);
	slot_begin(net, ZAB_LEADER_SLOT, id);
	slot->address = net->dial_address[index];
	if (is_paused)
		peer_pause(net, ZAB_LEADER_SLOT);
	net->hooks.on_up(net->hooks.arg, ZAB_LEADER_SLOT);
}

static void
dial_closed(struct peer_net *net, uint32_t index)
{
	net->dial[index] = STREAM_NONE;
	if (!dial_is_open(net))
		peer_down_now(net, ZAB_LEADER_SLOT, PEER_REFUSED);
}

static uint64_t
dial_poll(struct peer_net *net)
{
	if (net->slot[ZAB_LEADER_SLOT].state != PEER_DIALING)
		return UINT64_MAX;
	if (net->dial_ms == 0)
		net->dial_ms = net->now_ms;

	const uint64_t end_ms = net->dial_ms + net->options.connect_ms;

	if (net->now_ms < end_ms)
		return end_ms;
	peer_down_now(net, ZAB_LEADER_SLOT, PEER_REFUSED);
	return UINT64_MAX;
}

/* ---- events and timers -------------------------------------------------- */

static void
opened(struct peer_net *net, const struct stream_event *event)
{
	const uint32_t index = dial_index(net, event->id);

	if (event->is_accepted)
		door_enter(&net->door, event->id, event->tag, net->now_ms);
	else if (index < PEER_ADDRESSES_MAX)
		dial_opened(net, index);
	else
		stream_abort(net->streams, event->id);
}

static void
closed(struct peer_net *net, stream_id id)
{
	const uint32_t slot = peer_slot_of(net, id);
	const uint32_t index = dial_index(net, id);
	struct stranger *stranger = door_find(&net->door, id);

	if (slot < PEER_SLOTS) {
		peer_down_now(net, slot, PEER_BROKEN);
	} else if (index < PEER_ADDRESSES_MAX) {
		dial_closed(net, index);
	} else if (stranger != NULL) {
		door_left(&net->door, stranger);
	}
}

static void
readable(struct peer_net *net, stream_id id)
{
	struct stranger *stranger = door_find(&net->door, id);
	const uint32_t slot = peer_slot_of(net, id);

	if (stranger != NULL)
		peer_stranger_read(net, stranger);
	else if (slot < PEER_SLOTS)
		peer_slot_read(net, slot);
}

void
peer_on_event(struct peer_net *net, const struct stream_event *event,
	      uint64_t now_ms)
{
	FAL_ASSERT(event->tag == net->options.listen_tag ||
		   event->tag == net->options.connect_tag ||
		   event->tag == net->options.master_tag);
	net->now_ms = now_ms;
	switch (event->kind) {
	case STREAM_OPENED:
		opened(net, event);
		break;
	case STREAM_READABLE:
		readable(net, event->id);
		break;
	case STREAM_CLOSED:
		closed(net, event->id);
		break;
	default: /* WRITABLE: the poll that follows goes on */
		break;
	}
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void
tell_fallen(struct peer_net *net)
{
	/* Who falls in a hook waits for the next poll. */
	const uint64_t fallen = net->fallen;

	for (uint32_t i = 0; i < PEER_SLOTS; i++)
		if ((fallen & net->fallen & peer_bit(i)) != 0)
			peer_down_now(net, i, net->slot[i].why);
}

static void
retry_raw(struct peer_net *net)
{
	for (uint32_t i = 0; net->raw_full != 0 && i < PEER_SLOTS; i++) {
		if ((net->raw_full & peer_bit(i)) == 0)
			continue;
		net->raw_full &= ~peer_bit(i);
		net->slot[i].is_raw_full = false;
		if (!net->slot[i].is_paused)
			stream_resume(net->streams, net->slot[i].id);
	}
}

uint64_t
peer_net_poll(struct peer_net *net, uint64_t now_ms)
{
	uint64_t wake_ms;

	net->now_ms = now_ms;
	tell_fallen(net);
	if (now_ms > net->raw_full_ms)
		retry_raw(net);
	wake_ms = earlier(dial_poll(net),
			  door_expire(&net->door, now_ms, net->options.first_ms,
				      LOG_QUORUM_SILENT));
	for (uint32_t i = 0; net->playing != 0 && i < PEER_SLOTS; i++)
		if ((net->playing & peer_bit(i)) != 0)
			wake_ms = earlier(wake_ms, peer_program_play(net, i));
	if (net->fallen != 0)
		return 0;
	return net->raw_full != 0 ? earlier(wake_ms, now_ms + 1) : wake_ms;
}

void
peer_net_destroy(struct peer_net *net)
{
	for (uint32_t i = 0; i < PEER_SLOTS; i++)
		peer_close(net, i);
	door_shut(&net->door);
	free(net);
}
