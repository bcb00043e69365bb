/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ports of servers, state machines and all: arbitrary bytes in
 * arbitrary pieces on several connections, connections that come, break and
 * are dialed, time that passes, sends and pauses in between.
 *
 * Input: 0 election port, 1 quorum port; then steps, a byte each: kind in the
 * low three bits, an argument n above.
 *
 *   0  the next n + 1 bytes come in        4  the connection breaks or finishes
 *   1  the next 32 * (n + 1) bytes         5  100 * n ms pass
 *   2  somebody connects                   6  we send, pause, close, ...
 *   3  the n-th connection is looked at    7  a dial is answered or refused
 */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/stats.h"
#include "dataplane/fle_net.h"
#include "dataplane/peer.h"
#include "wire/frame.h"

#include "fake_stream.h"

#define LISTEN_TAG  1u
#define CONNECT_TAG 2u
#define OWN_SID     5
#define TURNS_MAX   1000u

enum step {
	STEP_FEW,
	STEP_MANY,
	STEP_CONNECT,
	STEP_SWITCH,
	STEP_BREAK,
	STEP_TIME,
	STEP_ACT,
	STEP_DIAL,
};

struct world {
	struct fake_core *core;
	struct fle_net *fle;   /* or NULL */
	struct peer_net *peer; /* or NULL */
	struct stats stats;
	uint64_t now_ms;
	uint32_t current; /* connection, FAKE_STREAMS: none */
	uint64_t up;      /* slots, as the hooks say */
	uint32_t events;  /* of hooks */
	struct genesis genesis;
	struct genesis_actions actions;
	uint32_t writes; /* of the register, under way */
};

/* ---- hooks -------------------------------------------------------------- */

static void
on_notification(void *arg, int64_t sid, const struct fle_notification *n)
{
	static uint8_t frame[FRAME_ELECTION_BYTES_MAX + 64];
	struct world *world = arg;
	struct jute_writer writer = jute_writer_of(frame, sizeof(frame));
	struct fle_notification whole = *n, again;

	FAL_ASSERT(sid >= 0 && sid != OWN_SID);
	/* old forms come back in the one form */
	if (whole.config.bytes < 0)
		whole.config.bytes = 0;
	fle_notification_put(&writer, &whole);
	FAL_ASSERT(fle_notification_get(frame, jute_written(&writer), &again) ==
		   FAL_OK);
	world->events++;
	if (n->round % 7 == 3)
		fle_net_drop(world->fle, sid);
	else if (n->round % 7 == 5)
		fle_net_send(world->fle, sid,
			     &(struct zab_notification){.round = 1},
			     jute_slice_of("x", 1));
}

static void
on_link(void *arg, int64_t sid, bool is_up)
{
	struct world *world = arg;

	FAL_ASSERT(fle_net_is_up(world->fle, sid) == is_up);
	world->events++;
}

static void
hello(void *arg, struct genesis_message *out)
{
	(void)arg;
	*out = (struct genesis_message){.type = GENESIS_HELLO};
}

static bool
on_genesis(void *arg, int64_t sid, const struct genesis_message *message)
{
	struct world *world = arg;
	struct genesis_message again;
	uint8_t frame[GENESIS_FRAME_BYTES];

	FAL_ASSERT(sid >= 0 && sid != OWN_SID);
	FAL_ASSERT(fle_net_speaks_genesis(world->fle, sid));
	genesis_put(message, frame);
	FAL_ASSERT(genesis_get(frame, sizeof(frame), &again) == FAL_OK);
	FAL_ASSERT(memcmp(&again, message, sizeof(again)) == 0);
	world->events++;
	/* A register on its own answers what it likes. */
	struct genesis_event event = {.type = GENESIS_EV_MESSAGE,
				      .now_ms = world->now_ms,
				      .sid = sid,
				      .message = *message};

	genesis_step(&world->genesis, &event, &world->actions);
	for (uint32_t i = 0; i < world->actions.count; i++) {
		const struct genesis_action *action = &world->actions.action[i];

		if (action->type == GENESIS_SEND)
			fle_net_send_genesis(world->fle, action->sid,
					     &action->message);
		else if (action->type == GENESIS_PERSIST)
			world->writes++;
	}
	if (message->ballot % 7 == 3)
		fle_net_drop(world->fle, sid);
	return message->ballot % 7 != 5;
}

/* The disk answers. */
static void
finish_writes(struct world *world)
{
	struct genesis_event event = {.type = GENESIS_EV_DURABLE,
				      .now_ms = world->now_ms};

	while (world->writes > 0) {
		world->writes--;
		genesis_step(&world->genesis, &event, &world->actions);
		for (uint32_t i = 0; i < world->actions.count; i++)
			world->writes += world->actions.action[i].type ==
					 GENESIS_PERSIST;
	}
}

static void
start_genesis(struct world *world)
{
	struct quorum voters = {.member_count = 9};
	struct genesis_options options = {
		.sid = OWN_SID, .voters = &voters, .id = {1}, .retry_ms = 100};
	const struct genesis_state state = {.began = GENESIS_EMPTY};
	struct genesis_event event = {.type = GENESIS_EV_START};

	for (uint32_t i = 0; i < voters.member_count; i++)
		voters.member[i] = (struct quorum_member){
			.sid = i + 1, .weight = 1, .is_voter = 1};
	FAL_ASSERT(quorum_check(&voters) == FAL_OK);
	FAL_ASSERT(genesis_init(&world->genesis, &options, &state) == FAL_OK);
	genesis_step(&world->genesis, &event, &world->actions);
}

static uint32_t
addresses(void *arg, int64_t sid, struct stream_address out[PEER_ADDRESSES_MAX])
{
	(void)arg;
	if (sid > 9)
		return 0;
	for (uint16_t i = 0; i < 2; i++)
		out[i] = stream_address_ipv4(0x7f000001,
					     (uint16_t)(1000 + 10 * i + sid));
	return 2;
}

static uint32_t
resolve(void *arg, struct jute_slice text,
	struct stream_address out[PEER_ADDRESSES_MAX])
{
	struct fle_address address;
	uint32_t count = 0;

	(void)arg;
	while (count < PEER_ADDRESSES_MAX &&
	       fle_address_next(&text, &address) == 1)
		out[count++] = stream_address_ipv4((uint32_t)address.host.bytes,
						   address.port);
	return count;
}

static void
on_up(void *arg, uint32_t slot)
{
	struct world *world = arg;

	FAL_ASSERT(slot <= ZAB_LEADER_SLOT);
	FAL_ASSERT((world->up >> slot & 1) == 0);
	FAL_ASSERT(peer_is_up(world->peer, slot));
	FAL_ASSERT(peer_address(world->peer, slot) != NULL);
	world->up |= 1ull << slot;
}

static void
on_down(void *arg, uint32_t slot, enum peer_down why)
{
	struct world *world = arg;

	FAL_ASSERT((world->up >> slot & 1) != 0 ||
		   (slot == ZAB_LEADER_SLOT && why == PEER_REFUSED));
	FAL_ASSERT(!peer_is_up(world->peer, slot));
	world->up &= ~(1ull << slot);
}

static void
on_packet(void *arg, uint32_t slot, const struct quorum_packet *packet,
	  struct jute_slice raw)
{
	struct world *world = arg;
	uint8_t *again = malloc((size_t)raw.bytes);
	struct jute_writer writer = jute_writer_of(again, (size_t)raw.bytes);

	FAL_ASSERT(again != NULL);
	FAL_ASSERT((world->up >> slot & 1) != 0);
	world->events++;
	if (packet->type == QUORUM_SNAP)
		peer_set_raw(world->peer, slot, true);
	else if (packet->zxid % 11 == 3)
		peer_pause(world->peer, slot);
	else if (packet->zxid % 11 == 5)
		peer_send(world->peer, UINT64_MAX, raw.data,
			  (uint32_t)raw.bytes);
	if (packet->zxid % 11 == 7) {
		peer_close(world->peer, slot);
		world->up &= ~(1ull << slot);
	}
	/* Its bytes are there whatever was done. */
	quorum_packet_put(&writer, packet);
	FAL_ASSERT(!writer.is_full);
	free(again);
}

static uint32_t
on_raw(void *arg, uint32_t slot, const uint8_t *data, uint32_t bytes)
{
	struct world *world = arg;

	FAL_ASSERT((world->up >> slot & 1) != 0);
	FAL_ASSERT(bytes > 0);
	if (data[0] == 'E')
		peer_set_raw(world->peer, slot, false);
	return data[0] == 'F' ? bytes / 2 : bytes;
}

/* ---- a stream that ends or fails ---------------------------------------- */

struct source {
	struct store_stream head;
	uint32_t left;
};

static uint32_t
source_peek(struct store_stream *stream, const uint8_t **data)
{
	static const uint8_t bytes[256];

	*data = bytes;
	return ((struct source *)(void *)stream)->left;
}

static void
source_consume(struct store_stream *stream, uint32_t bytes)
{
	((struct source *)(void *)stream)->left -= bytes;
}

static int
source_state(const struct store_stream *stream)
{
	(void)stream;
	return 1;
}

static void
source_close(struct store_stream *stream)
{
	free(stream);
}

static const struct store_stream_ops source_ops = {
	.peek = source_peek,
	.consume = source_consume,
	.state = source_state,
	.close = source_close,
};

/* ---- the world ---------------------------------------------------------- */

static void
world_start(struct world *world, bool is_election)
{
	const struct fle_net_hooks fle_hooks = {.arg = world,
						.receive = on_notification,
						.hello = hello,
						.genesis = on_genesis,
						.link = on_link,
						.addresses = addresses,
						.resolve = resolve};
	const struct peer_hooks peer_hooks = {.arg = world,
					      .on_up = on_up,
					      .on_down = on_down,
					      .on_packet = on_packet,
					      .on_raw = on_raw};

	*world = (struct world){.core = fake_core_new(),
				.now_ms = 1000,
				.current = FAKE_STREAMS};
	world->core->listen_tag = LISTEN_TAG;
	FAL_ASSERT(stats_init(&world->stats, 1) == FAL_OK);
	start_genesis(world);

	const struct fle_net_options fle = {.sid = OWN_SID,
					    .own_addresses = "a:1",
					    .connect_ms = 1000,
					    .hello_ms = 1000,
					    .retry_min_ms = 50,
					    .retry_max_ms = 2000,
					    .listen_tag = LISTEN_TAG,
					    .connect_tag = CONNECT_TAG,
					    .stats = &world->stats.core[0]};
	const struct peer_options peer = {.listen_tag = LISTEN_TAG,
					  .connect_tag = CONNECT_TAG,
					  .packet_bytes_max = 20000,
					  .queue_bytes_max = 30000,
					  .connect_ms = 1000,
					  .first_ms = 1000,
					  .stats = &world->stats.core[0]};

	FAL_ASSERT(is_election
			   ? fle_net_create(&fle, &world->core->head,
					    &fle_hooks, &world->fle) == FAL_OK
			   : peer_net_create(&peer, &world->core->head,
					     &peer_hooks,
					     &world->peer) == FAL_OK);
}

static void
world_stop(struct world *world)
{
	if (world->fle != NULL)
		fle_net_destroy(world->fle);
	if (world->peer != NULL)
		peer_net_destroy(world->peer);
	stream_destroy(&world->core->head);
	stats_free(&world->stats);
}

/* Until nothing is left to be done. */
static void
world_run(struct world *world)
{
	struct stream_event events[16];
	uint64_t wake_ms;
	uint32_t count, turns = 0;

	finish_writes(world);
	do {
		count = stream_poll(&world->core->head, 0, events, 16);
		for (uint32_t i = 0; i < count; i++) {
			if (world->fle != NULL)
				fle_net_on_event(world->fle, &events[i],
						 world->now_ms);
			else
				peer_on_event(world->peer, &events[i],
					      world->now_ms);
		}
		wake_ms = world->fle != NULL
				  ? fle_net_poll(world->fle, world->now_ms)
				  : peer_net_poll(world->peer, world->now_ms);
		FAL_ASSERT(turns++ < TURNS_MAX); /* it comes to rest */
	} while (count > 0 || wake_ms <= world->now_ms);
}

static struct fake_stream *
current(struct world *world)
{
	if (world->current >= FAKE_STREAMS ||
	    world->core->stream[world->current].id == STREAM_NONE)
		return NULL;
	return &world->core->stream[world->current];
}

static void
receive(struct world *world, const uint8_t *data, size_t bytes)
{
	const struct fake_stream *stream = current(world);

	if (stream != NULL && stream->in_bytes + bytes <= FAKE_BUFFER_MAX)
		fake_send(world->core, world->current, data, (uint32_t)bytes);
}

static uint32_t
live_streams(const struct world *world)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < FAKE_STREAMS; i++)
		count += world->core->stream[i].id != STREAM_NONE;
	return count;
}

static void
act_election(struct world *world, uint32_t n)
{
	const struct zab_notification said = {.round = n};

	if (n % 4 == 0)
		fle_net_connect(world->fle, n / 4);
	else if (n % 4 == 1)
		fle_net_drop(world->fle, n / 4);
	else if (n == 2)
		fle_net_forget(world->fle);
	else
		fle_net_send(world->fle, n / 4, &said,
			     jute_slice_of("version=0", 9));
}

static void
act_quorum(struct world *world, uint32_t n)
{
	static const uint8_t bytes[7000];
	const struct stream_address address =
		stream_address_ipv4(0x7f000001, 1001);
	const uint32_t slot = n / 8 == 3 ? ZAB_LEADER_SLOT : n / 8;
	struct source *source;

	switch (n % 8) {
	case 0:
		peer_send(world->peer, UINT64_MAX, bytes, sizeof(bytes));
		break;
	case 1:
		peer_resume(world->peer, slot);
		break;
	case 2:
		peer_close(world->peer, slot);
		world->up &= ~(1ull << slot);
		break;
	case 3:
		peer_set_raw(world->peer, slot, n / 8 == 1);
		break;
	case 4:
		source = malloc(sizeof(*source));
		FAL_ASSERT(source != NULL);
		*source = (struct source){.head.ops = &source_ops, .left = 200};
		peer_send_stream(world->peer, slot, &source->head);
		break;
	case 5:
		if (peer_address(world->peer, ZAB_LEADER_SLOT) == NULL)
			peer_dial(world->peer, &address, n / 8 % 2);
		break;
	default:
		peer_send(world->peer, 1ull << slot, bytes, 20);
		break;
	}
}

static void
dial_end(struct world *world, uint32_t n)
{
	for (uint32_t i = 0; i < FAKE_STREAMS; i++) {
		const struct fake_stream *stream = &world->core->stream[i];

		if (stream->id == STREAM_NONE || !stream->is_dial ||
		    stream->is_answered)
			continue;
		if (n % 2 == 0)
			fake_answer(world->core, i);
		else
			fake_refuse(world->core, i, STREAM_REFUSED);
		world->current = i;
		return;
	}
}

/* Everything but bytes that come in. */
static void
step(struct world *world, enum step kind, uint32_t n)
{
	switch (kind) {
	case STEP_CONNECT:
		if (live_streams(world) < FAKE_STREAMS / 2)
			world->current = fake_connect(world->core);
		break;
	case STEP_SWITCH:
		world->current = n;
		break;
	case STEP_BREAK:
		if (current(world) != NULL && n % 2 == 0)
			fake_vanish(world->core, world->current);
		else if (current(world) != NULL)
			fake_finish(world->core, world->current);
		break;
	case STEP_TIME:
		world->now_ms += 100 * n;
		break;
	case STEP_ACT:
		if (world->fle != NULL)
			act_election(world, n);
		else
			act_quorum(world, n);
		break;
	case STEP_DIAL:
		dial_end(world, n);
		break;
	default:
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct world world;
	size_t at = 1;

	if (bytes < 2)
		return 0;
	world_start(&world, data[0] % 2 == 0);
	while (at < bytes) {
		const enum step kind = data[at] & 7;
		const uint32_t n = data[at] >> 3;
		size_t count = kind == STEP_FEW ? n + 1 : 32 * (n + 1);

		at++;
		if (kind == STEP_FEW || kind == STEP_MANY) {
			count = count < bytes - at ? count : bytes - at;
			receive(&world, data + at, count);
			at += count;
		} else {
			step(&world, kind, n);
		}
		world_run(&world);
	}
	world_stop(&world);
	return 0;
}
