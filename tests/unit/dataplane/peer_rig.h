/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_DATAPLANE_PEER_RIG_H
#define FALCONER_TESTS_UNIT_DATAPLANE_PEER_RIG_H

/*
 * peer_rig - the ports of servers over connections in memory.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/stats.h"
#include "dataplane/door.h"
#include "dataplane/peer.h"
#include "wire/quorum_auth.h"

#include "fake_stream.h"

#define LISTEN_TAG   8u
#define CONNECT_TAG  9u
#define PACKET_MAX   100000u
#define QUEUE_MAX    200000u
#define RECORDS      64u
#define LEADER       ZAB_LEADER_SLOT
#define ANY_PORT     2888u
#define NOTHING_DOWN 99u

struct record {
	uint32_t slot;
	int32_t type;
	int64_t zxid;
};

struct rig {
	struct fake_core *core;
	struct peer_net *net;
	struct stats stats;
	uint64_t now_ms, wake_ms;
	uint32_t ups, downs, packets;
	uint32_t up_slot, down_slot;
	enum peer_down why;
	struct record record[RECORDS];
	uint8_t raw[4096];
	uint32_t raw_bytes;
	uint32_t raw_room; /* on_raw takes no more */
	uint32_t raw_end;  /* raw ends when so many bytes were taken */
	int32_t raw_after; /* a packet of this type is followed by raw bytes */
	bool must_pause, must_close;
};

static struct rig rig;

static inline void
on_up(void *arg, uint32_t slot)
{
	(void)arg;
	rig.ups++;
	rig.up_slot = slot;
}

static inline void
on_down(void *arg, uint32_t slot, enum peer_down why)
{
	(void)arg;
	assert_false(peer_is_up(rig.net, slot));
	rig.downs++;
	rig.down_slot = slot;
	rig.why = why;
}

static inline void
on_packet(void *arg, uint32_t slot, const struct quorum_packet *packet,
	  struct jute_slice raw)
{
	uint8_t again[256];
	struct jute_writer writer = jute_writer_of(again, sizeof(again));

	(void)arg;
	rig.record[rig.packets++ % RECORDS] = (struct record){
		.slot = slot, .type = packet->type, .zxid = packet->zxid};
	if (rig.must_pause)
		peer_pause(rig.net, slot);
	if (rig.must_close)
		peer_close(rig.net, slot);
	if (packet->type == rig.raw_after && rig.raw_after != 0)
		peer_set_raw(rig.net, slot, true);
	/* Its bytes are there whatever was done. */
	if ((size_t)raw.bytes > sizeof(again))
		return;
	quorum_packet_put(&writer, packet);
	assert_int_equal(jute_written(&writer), raw.bytes);
	assert_memory_equal(again, raw.data, (size_t)raw.bytes);
}

static inline uint32_t
on_raw(void *arg, uint32_t slot, const uint8_t *data, uint32_t bytes)
{
	uint32_t n = bytes < rig.raw_room ? bytes : rig.raw_room;

	(void)arg;
	if (rig.raw_bytes + n >= rig.raw_end) {
		n = rig.raw_end - rig.raw_bytes;
		peer_set_raw(rig.net, slot, false);
	}
	memcpy(rig.raw + rig.raw_bytes, data, n);
	rig.raw_bytes += n;
	rig.raw_room -= n;
	return n;
}

static inline int
start(void **state)
{
	const struct peer_hooks hooks = {.on_up = on_up,
					 .on_down = on_down,
					 .on_packet = on_packet,
					 .on_raw = on_raw};

	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig.now_ms = 1000;
	rig.why = NOTHING_DOWN;
	rig.core = fake_core_new();
	rig.core->listen_tag = LISTEN_TAG;
	assert_int_equal(stats_init(&rig.stats, 1), 0);

	const struct peer_options options = {
		.listen_tag = LISTEN_TAG,
		.connect_tag = CONNECT_TAG,
		.packet_bytes_max = PACKET_MAX,
		.queue_bytes_max = QUEUE_MAX,
		.connect_ms = 5000,
		.first_ms = 3000,
		.stats = &rig.stats.core[0],
	};

	assert_int_equal(
		peer_net_create(&options, &rig.core->head, &hooks, &rig.net),
		0);
	return 0;
}

static inline int
stop(void **state)
{
	(void)state;
	peer_net_destroy(rig.net);
	stream_destroy(&rig.core->head);
	stats_free(&rig.stats);
	return 0;
}

/* One iteration of the loop. Returns how many events there were. */
static inline uint32_t
turn(void)
{
	struct stream_event events[16];
	const uint32_t count = stream_poll(&rig.core->head, 0, events, 16);

	for (uint32_t i = 0; i < count; i++)
		peer_on_event(rig.net, &events[i], rig.now_ms);
	rig.wake_ms = peer_net_poll(rig.net, rig.now_ms);
	return count;
}

static inline void
run(void)
{
	while (turn() > 0 || rig.wake_ms <= rig.now_ms)
		;
}

static inline void
pass(uint64_t ms)
{
	rig.now_ms += ms;
	run();
}

static inline void
send(uint32_t index, const void *data, size_t bytes)
{
	fake_send(rig.core, index, data, (uint32_t)bytes);
	run();
}

static inline bool
is_closed(uint32_t index)
{
	return rig.core->stream[index].is_closed;
}

/* A FOLLOWERINFO, into memory of the call. */
static inline struct jute_slice
followerinfo(void)
{
	static uint8_t bytes[64];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));
	const struct quorum_learner_info info = {
		.sid = 1, .protocol_version = QUORUM_PROTOCOL_VERSION};
	const size_t mark =
		quorum_packet_begin(&writer, QUORUM_FOLLOWERINFO, 0);

	quorum_packet_put_learner_info(&writer, &info);
	quorum_packet_end(&writer, mark, NULL);
	return jute_slice_of(bytes, jute_written(&writer));
}

static inline uint32_t
learner_comes(void)
{
	const struct jute_slice first = followerinfo();
	const uint32_t index = fake_connect(rig.core);

	send(index, first.data, (size_t)first.bytes);
	return index;
}

static inline void
bare(uint8_t out[QUORUM_PACKET_BARE_BYTES], int32_t type, int64_t zxid)
{
	struct jute_writer writer =
		jute_writer_of(out, QUORUM_PACKET_BARE_BYTES);

	quorum_packet_put_bare(&writer, type, zxid);
}

/* We send one. */
static inline void
say(uint64_t slots, int32_t type, int64_t zxid)
{
	uint8_t bytes[QUORUM_PACKET_BARE_BYTES];

	bare(bytes, type, zxid);
	peer_send(rig.net, slots, bytes, sizeof(bytes));
}

/* Takes bytes that we sent. */
static inline void
expect_bytes(uint32_t index, const void *data, uint32_t bytes)
{
	struct fake_stream *stream = &rig.core->stream[index];

	assert_true(stream->out_bytes >= bytes);
	assert_memory_equal(stream->out, data, bytes);
	stream->out_bytes -= bytes;
	memmove(stream->out, stream->out + bytes, stream->out_bytes);
}

static inline void
expect(uint32_t index, int32_t type, int64_t zxid)
{
	uint8_t bytes[QUORUM_PACKET_BARE_BYTES];

	bare(bytes, type, zxid);
	expect_bytes(index, bytes, sizeof(bytes));
}

/* A dial that is answered at once. Returns its index. */
static inline uint32_t
leader_dialed(void)
{
	const struct stream_address address =
		stream_address_ipv4(0x7f000001, ANY_PORT);
	uint32_t dial;

	peer_dial(rig.net, &address, 1);
	dial = fake_dial_to(rig.core, ANY_PORT);
	assert_int_not_equal(dial, FAKE_STREAMS);
	fake_answer(rig.core, dial);
	run();
	assert_true(peer_is_up(rig.net, LEADER));
	return dial;
}

#endif
