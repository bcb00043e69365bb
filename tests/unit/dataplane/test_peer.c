/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    on the quorum port whole packets come in and go out in order, beside
 *         streams and raw bytes, and whoever is no learner never reaches the
 *         consensus core.
 * Method  a peer_net on streams in memory, a record of what its hooks were
 *         told, and store streams that give bytes when the test says so.
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

/* Bytes made by the test. */
struct source {
	struct store_stream head;
	const uint8_t *data;
	uint32_t at, ready; /* ready: bytes that may be taken */
	int state;
	bool is_closed;
};

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

static void
on_up(void *arg, uint32_t slot)
{
	(void)arg;
	rig.ups++;
	rig.up_slot = slot;
}

static void
on_down(void *arg, uint32_t slot, enum peer_down why)
{
	(void)arg;
	assert_false(peer_is_up(rig.net, slot));
	rig.downs++;
	rig.down_slot = slot;
	rig.why = why;
}

static void
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

static uint32_t
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

static int
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

static int
stop(void **state)
{
	(void)state;
	peer_net_destroy(rig.net);
	stream_destroy(&rig.core->head);
	stats_free(&rig.stats);
	return 0;
}

/* One iteration of the loop. Returns how many events there were. */
static uint32_t
turn(void)
{
	struct stream_event events[16];
	const uint32_t count = stream_poll(&rig.core->head, 0, events, 16);

	for (uint32_t i = 0; i < count; i++)
		peer_on_event(rig.net, &events[i], rig.now_ms);
	rig.wake_ms = peer_net_poll(rig.net, rig.now_ms);
	return count;
}

static void
run(void)
{
	while (turn() > 0 || rig.wake_ms <= rig.now_ms)
		;
}

static void
pass(uint64_t ms)
{
	rig.now_ms += ms;
	run();
}

static void
send(uint32_t index, const void *data, size_t bytes)
{
	fake_send(rig.core, index, data, (uint32_t)bytes);
	run();
}

static bool
is_closed(uint32_t index)
{
	return rig.core->stream[index].is_closed;
}

/* A FOLLOWERINFO, into memory of the call. */
static struct jute_slice
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

static uint32_t
learner_comes(void)
{
	const struct jute_slice first = followerinfo();
	const uint32_t index = fake_connect(rig.core);

	send(index, first.data, (size_t)first.bytes);
	return index;
}

static void
bare(uint8_t out[QUORUM_PACKET_BARE_BYTES], int32_t type, int64_t zxid)
{
	struct jute_writer writer =
		jute_writer_of(out, QUORUM_PACKET_BARE_BYTES);

	quorum_packet_put_bare(&writer, type, zxid);
}

/* The other side sends a packet without data. */
static void
send_bare(uint32_t index, int32_t type, int64_t zxid)
{
	uint8_t bytes[QUORUM_PACKET_BARE_BYTES];

	bare(bytes, type, zxid);
	send(index, bytes, sizeof(bytes));
}

/* We send one. */
static void
say(uint64_t slots, int32_t type, int64_t zxid)
{
	uint8_t bytes[QUORUM_PACKET_BARE_BYTES];

	bare(bytes, type, zxid);
	peer_send(rig.net, slots, bytes, sizeof(bytes));
}

/* Takes bytes that we sent. */
static void
expect_bytes(uint32_t index, const void *data, uint32_t bytes)
{
	struct fake_stream *stream = &rig.core->stream[index];

	assert_true(stream->out_bytes >= bytes);
	assert_memory_equal(stream->out, data, bytes);
	stream->out_bytes -= bytes;
	memmove(stream->out, stream->out + bytes, stream->out_bytes);
}

static void
expect(uint32_t index, int32_t type, int64_t zxid)
{
	uint8_t bytes[QUORUM_PACKET_BARE_BYTES];

	bare(bytes, type, zxid);
	expect_bytes(index, bytes, sizeof(bytes));
}

static void
expect_nothing(uint32_t index)
{
	assert_int_equal(rig.core->stream[index].out_bytes, 0);
}

/* A dial that is answered at once. Returns its index. */
static uint32_t
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

/* ---- learners ----------------------------------------------------------- */

static void
a_learner_gets_a_slot_with_its_first_packet(void **state)
{
	const struct jute_slice first = followerinfo();
	const uint32_t index = fake_connect(rig.core);

	(void)state;
	for (int32_t i = 0; i < first.bytes; i++) {
		assert_int_equal(rig.ups + rig.packets, 0);
		send(index, first.data + i, 1);
	}
	assert_int_equal(rig.ups, 1);
	assert_int_equal(rig.up_slot, 0);
	assert_int_equal(rig.packets, 1);
	assert_int_equal(rig.record[0].type, QUORUM_FOLLOWERINFO);
	assert_int_equal(peer_address(rig.net, 0)->port, 40000 + index);
	send_bare(index, QUORUM_ACK, 5);
	assert_int_equal(rig.record[1].type, QUORUM_ACK);
	assert_int_equal(rig.record[1].zxid, 5);
	say(1, QUORUM_COMMIT, 6);
	expect(index, QUORUM_COMMIT, 6);
	assert_int_equal(rig.downs, 0);
	fake_vanish(rig.core, index);
	run();
	assert_int_equal(rig.downs, 1);
	assert_int_equal(rig.why, PEER_BROKEN);
	assert_null(peer_address(rig.net, 0));
}

static void
who_is_no_learner_never_reaches_the_core(void **state)
{
	uint8_t big[16] = {0, 0, 0, QUORUM_FOLLOWERINFO};
	uint8_t auth[16] = {0};
	struct quorum_auth answer;
	size_t bytes;
	uint32_t it;

	(void)state;
	be_store32(big + 12, PEER_FIRST_BYTES_MAX + 1);
	be_store64(auth, (uint64_t)QUORUM_AUTH_MAGIC);

	const struct {
		const void *data;
		size_t bytes;
	} garbage[] = {
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
		 "\x01\x02\x03\x04\x05\x06",
		 17},
		{big, sizeof(big)},
		/* A packet, but no learner begins with it. */
		{"\0\0\0\3\0\0\0\1\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
		 20},
		{auth, sizeof(auth)},
	};

	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		it = fake_connect(rig.core);
		send(it, garbage[i].data, garbage[i].bytes);
		assert_true(is_closed(it));
		assert_int_equal(stats_sum(&rig.stats, STAT_PEER_REFUSED),
				 i + 1);
	}
	assert_int_equal(rig.ups + rig.downs + rig.packets, 0);
	assert_int_equal(quorum_auth_get(rig.core->stream[it].out,
					 rig.core->stream[it].out_bytes,
					 &answer, &bytes),
			 1);
	assert_int_equal(answer.status, QUORUM_AUTH_ERROR);
	(void)learner_comes();
	assert_int_equal(rig.ups, 1);
}

static void
a_scanner_that_says_nothing_or_too_little_is_hung_up_in_time(void **state)
{
	const struct jute_slice first = followerinfo();
	const uint32_t silent = fake_connect(rig.core);
	const uint32_t loris = fake_connect(rig.core);

	(void)state;
	run();
	for (int32_t i = 0; i + 1 < first.bytes; i++) {
		send(loris, first.data + i, 1);
		pass(60);
	}
	rig.now_ms = 3999;
	run();
	assert_false(is_closed(silent) || is_closed(loris));
	assert_int_equal(rig.wake_ms, 4000);
	pass(1);
	assert_true(is_closed(silent) && is_closed(loris));
	assert_int_equal(rig.ups, 0);
	/* Many of them do not keep a learner out. */
	for (uint32_t i = 0; i < DOOR_PLACES + 10; i++) {
		(void)fake_connect(rig.core);
		pass(1);
	}
	(void)learner_comes();
	assert_int_equal(rig.ups, 1);
}

static void
a_learner_too_many_is_refused(void **state)
{
	uint32_t first = 0;

	(void)state;
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		const uint32_t it = learner_comes();

		first = i == 0 ? it : first;
		assert_int_equal(rig.up_slot, i);
	}
	assert_true(is_closed(learner_comes()));
	assert_int_equal(rig.ups, ZAB_CONNS_MAX);
	fake_vanish(rig.core, first);
	run();
	assert_false(is_closed(learner_comes()));
	assert_int_equal(rig.up_slot, 0);
}

static void
bytes_that_are_no_packet_end_the_slot(void **state)
{
	uint8_t big[16] = {0, 0, 0, QUORUM_REQUEST};
	const uint32_t one = learner_comes();
	const uint32_t two = learner_comes();

	(void)state;
	be_store32(big + 12, PACKET_MAX + 1);
	send(one, big, sizeof(big));
	assert_true(is_closed(one));
	assert_int_equal(rig.downs, 1);
	assert_int_equal(rig.why, PEER_PROTOCOL);
	assert_int_equal(stats_sum(&rig.stats, STAT_PEER_MALFORMED), 1);
	be_store32(big + 12, (uint32_t)-2);
	send(two, big, sizeof(big));
	assert_int_equal(rig.downs, 2);
}

static void
a_large_packet_comes_in_pieces(void **state)
{
	static uint8_t bytes[PACKET_MAX + 20];
	struct jute_writer writer = jute_writer_of(bytes, sizeof(bytes));
	const uint32_t one = learner_comes();
	const size_t mark = quorum_packet_begin(&writer, QUORUM_REQUEST, -1);

	(void)state;
	memset(jute_claim(&writer, PACKET_MAX), 7, PACKET_MAX);
	quorum_packet_end(&writer, mark, NULL);
	assert_int_equal(peer_heard(rig.net), 0);
	for (size_t at = 0; at < jute_written(&writer); at += 4000) {
		const size_t left = jute_written(&writer) - at;

		assert_int_equal(rig.packets, 1);
		send(one, bytes + at, left < 4000 ? left : 4000);
		/* Each piece says that somebody sends it. */
		assert_int_equal(peer_heard(rig.net), left > 4000 ? 1 : 0);
		assert_int_equal(peer_heard(rig.net), 0);
	}
	/* Of who is not read nothing is known. */
	peer_pause(rig.net, 0);
	assert_int_equal(peer_heard(rig.net), 1);
	peer_resume(rig.net, 0);
	assert_int_equal(peer_heard(rig.net), 0);
	assert_int_equal(rig.packets, 2);
	assert_int_equal(rig.record[1].type, QUORUM_REQUEST);
}

static void
a_burst_is_read_in_slices(void **state)
{
	const uint32_t one = learner_comes();

	(void)state;
	for (int64_t i = 0; i < 500; i++) {
		uint8_t bytes[QUORUM_PACKET_BARE_BYTES];

		bare(bytes, QUORUM_ACK, i);
		fake_send(rig.core, one, bytes, sizeof(bytes));
	}
	(void)turn();
	assert_in_range(rig.packets, 2, 200);
	run();
	assert_int_equal(rig.packets, 501);
	assert_int_equal(rig.record[500 % RECORDS].zxid, 499);
}

/* ---- hooks that act ----------------------------------------------------- */

static void
a_paused_slot_gets_no_more_of_the_burst(void **state)
{
	const uint32_t one = learner_comes();

	(void)state;
	rig.must_pause = true;
	for (int64_t i = 1; i <= 3; i++) {
		uint8_t bytes[QUORUM_PACKET_BARE_BYTES];

		bare(bytes, QUORUM_ACK, i);
		fake_send(rig.core, one, bytes, sizeof(bytes));
	}
	for (uint32_t i = 1; i <= 3; i++) {
		run();
		assert_int_equal(rig.packets, 1 + i);
		assert_int_equal(rig.record[i].zxid, i);
		peer_resume(rig.net, 0);
	}
}

static void
a_slot_may_be_closed_while_its_packet_is_looked_at(void **state)
{
	uint32_t one = learner_comes();

	(void)state;
	rig.must_close = true;
	say(1, QUORUM_COMMIT, 9);
	send_bare(one, QUORUM_ACK, 1);
	assert_true(is_closed(one));
	assert_false(rig.core->stream[one].is_aborted);
	assert_int_equal(rig.downs, 0);
	expect(one, QUORUM_COMMIT, 9);
	/* The very first packet, too. */
	one = learner_comes();
	assert_true(is_closed(one));
	assert_int_equal(rig.downs, 0);
	assert_false(peer_is_up(rig.net, 0));
}

static void
raw_bytes_end_within_a_burst(void **state)
{
	const uint32_t dial = leader_dialed();
	uint8_t burst[20 + 1000 + 20];

	(void)state;
	rig.raw_after = QUORUM_SNAP;
	rig.raw_room = UINT32_MAX;
	rig.raw_end = 1000;
	bare(burst, QUORUM_SNAP, 7);
	for (uint32_t i = 0; i < 1000; i++)
		burst[20 + i] = (uint8_t)(i * 7);
	bare(burst + 1020, QUORUM_NEWLEADER, 8);
	send(dial, burst, sizeof(burst));
	assert_int_equal(rig.packets, 2);
	assert_int_equal(rig.record[0].type, QUORUM_SNAP);
	assert_int_equal(rig.record[1].type, QUORUM_NEWLEADER);
	assert_int_equal(rig.raw_bytes, 1000);
	assert_memory_equal(rig.raw, burst + 20, 1000);
}

static void
raw_bytes_that_find_no_room_come_again_later(void **state)
{
	const uint32_t dial = leader_dialed();
	uint8_t burst[20 + 1000 + 20];

	(void)state;
	rig.raw_after = QUORUM_SNAP;
	rig.raw_room = 300;
	rig.raw_end = 1000;
	memset(burst, 3, sizeof(burst));
	bare(burst, QUORUM_SNAP, 7);
	bare(burst + 1020, QUORUM_NEWLEADER, 8);
	send(dial, burst, sizeof(burst));
	assert_int_equal(rig.raw_bytes, 300);
	/* Not in a loop that spins. */
	assert_int_equal(turn(), 0);
	assert_int_equal(rig.wake_ms, rig.now_ms + 1);
	rig.raw_room = 200;
	pass(1);
	pass(1);
	assert_int_equal(rig.raw_bytes, 500);
	rig.raw_room = 600;
	pass(1);
	pass(1);
	assert_int_equal(rig.raw_bytes, 1000);
	assert_int_equal(rig.packets, 2);
}

/* ---- the leader --------------------------------------------------------- */

static void
all_addresses_are_dialed_and_the_first_answer_stays(void **state)
{
	struct stream_address address[3];
	uint32_t dial[3];

	(void)state;
	for (uint16_t i = 0; i < 3; i++)
		address[i] =
			stream_address_ipv4(0x7f000001, (uint16_t)(3000 + i));
	peer_dial(rig.net, address, 3);
	assert_int_equal(rig.core->connect_count, 3);
	for (uint16_t i = 0; i < 3; i++)
		dial[i] = fake_dial_to(rig.core, (uint16_t)(3000 + i));
	fake_refuse(rig.core, dial[0], STREAM_REFUSED);
	run();
	assert_int_equal(rig.ups + rig.downs, 0);
	fake_answer(rig.core, dial[2]);
	run();
	assert_int_equal(rig.ups, 1);
	assert_int_equal(rig.up_slot, LEADER);
	assert_int_equal(peer_address(rig.net, LEADER)->port, 3002);
	assert_true(rig.core->stream[dial[1]].is_aborted);
	say(1ull << LEADER, QUORUM_FOLLOWERINFO, 1);
	expect(dial[2], QUORUM_FOLLOWERINFO, 1);
}

static void
a_dial_that_fails_is_told_later(void **state)
{
	const struct stream_address address =
		stream_address_ipv4(0x7f000001, ANY_PORT);
	uint32_t dial;

	(void)state;
	/* At once by the system, or for want of an address. */
	rig.core->is_unreachable = true;
	peer_dial(rig.net, &address, 1);
	assert_int_equal(rig.downs, 0);
	run();
	assert_int_equal(rig.downs, 1);
	assert_int_equal(rig.why, PEER_REFUSED);
	peer_dial(rig.net, &address, 0);
	run();
	assert_int_equal(rig.downs, 2);
	/* By the other side. */
	rig.core->is_unreachable = false;
	peer_dial(rig.net, &address, 1);
	run();
	fake_refuse(rig.core, fake_dial_to(rig.core, ANY_PORT), STREAM_REFUSED);
	run();
	assert_int_equal(rig.downs, 3);
	/* By the clock. */
	peer_dial(rig.net, &address, 1);
	run();
	dial = fake_dial_to(rig.core, ANY_PORT);
	assert_int_equal(rig.wake_ms, rig.now_ms + 5000);
	pass(4999);
	assert_int_equal(rig.downs, 3);
	pass(1);
	assert_int_equal(rig.downs, 4);
	assert_true(is_closed(dial));
	/* And one that is given up is not told. */
	peer_dial(rig.net, &address, 1);
	dial = fake_dial_to(rig.core, ANY_PORT);
	peer_close(rig.net, LEADER);
	assert_true(is_closed(dial));
	pass(10000);
	assert_int_equal(rig.downs, 4);
}

/* ---- programs ----------------------------------------------------------- */

static uint32_t
source_peek(struct store_stream *stream, const uint8_t **data)
{
	const struct source *source = (struct source *)(void *)stream;

	*data = source->data + source->at;
	return source->ready - source->at;
}

static void
source_consume(struct store_stream *stream, uint32_t bytes)
{
	struct source *source = (struct source *)(void *)stream;

	source->at += bytes;
	assert_true(source->at <= source->ready);
}

static int
source_state(const struct store_stream *stream)
{
	return ((const struct source *)(const void *)stream)->state;
}

static void
source_close(struct store_stream *stream)
{
	struct source *source = (struct source *)(void *)stream;

	assert_false(source->is_closed);
	source->is_closed = true;
}

static const struct store_stream_ops source_ops = {
	.peek = source_peek,
	.consume = source_consume,
	.state = source_state,
	.close = source_close,
};

static struct source
source_of(const uint8_t *data, uint32_t ready)
{
	return (struct source){
		.head.ops = &source_ops, .data = data, .ready = ready};
}

static void
packets_wait_behind_a_stream_in_their_order(void **state)
{
	static const uint8_t snapshot[] = "a snapshot of the tree";
	static const uint8_t history[] = "some history";
	struct source first = source_of(snapshot, 0);
	struct source second = source_of(history, sizeof(history));
	const uint32_t one = learner_comes();
	const uint32_t two = learner_comes();

	(void)state;
	second.state = 1;
	say(3, QUORUM_SNAP, 1);
	peer_send_stream(rig.net, 0, &first.head);
	say(3, QUORUM_PROPOSAL, 2);
	peer_send_stream(rig.net, 0, &second.head);
	say(3, QUORUM_NEWLEADER, 3);
	run();
	expect(two, QUORUM_SNAP, 1);
	expect(two, QUORUM_PROPOSAL, 2);
	expect(two, QUORUM_NEWLEADER, 3);
	expect(one, QUORUM_SNAP, 1);
	expect_nothing(one);
	assert_int_equal(peer_queued_bytes(rig.net, 0), 40);
	assert_int_equal(rig.wake_ms, rig.now_ms + 1);
	first.ready = 5;
	pass(1);
	expect_bytes(one, snapshot, 5);
	expect_nothing(one);
	first.ready = sizeof(snapshot);
	first.state = 1;
	pass(1);
	expect_bytes(one, snapshot + 5, sizeof(snapshot) - 5);
	expect(one, QUORUM_PROPOSAL, 2);
	expect_bytes(one, history, sizeof(history));
	expect(one, QUORUM_NEWLEADER, 3);
	expect_nothing(one);
	assert_true(first.is_closed && second.is_closed);
	assert_int_equal(peer_queued_bytes(rig.net, 0), 0);
	assert_true(rig.wake_ms == UINT64_MAX);
	say(1, QUORUM_UPTODATE, -1);
	expect(one, QUORUM_UPTODATE, -1);
}

static void
a_long_stream_is_played_in_slices(void **state)
{
	const uint32_t bytes = 3u << 20;
	uint8_t *data = malloc(bytes);
	struct source source;
	uint32_t one, before;

	(void)state;
	assert_non_null(data);
	for (uint32_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	source = source_of(data, bytes);
	source.state = 1;
	one = learner_comes();
	peer_send_stream(rig.net, 0, &source.head);
	say(1, QUORUM_NEWLEADER, 3);
	(void)turn();
	before = source.at;
	assert_in_range(before, 1, 2u << 20);
	assert_int_equal(rig.wake_ms, 0);
	run();
	expect_bytes(one, data, bytes);
	expect(one, QUORUM_NEWLEADER, 3);
	assert_true(source.is_closed);
	free(data);
}

static void
a_stream_waits_for_room_in_the_connection(void **state)
{
	static const uint8_t text[] = "text";
	struct source source = source_of(text, sizeof(text));
	const uint32_t one = learner_comes();

	(void)state;
	source.state = 1;
	rig.core->stream[one].unsent_max = 0;
	peer_send_stream(rig.net, 0, &source.head);
	say(1, QUORUM_NEWLEADER, 3);
	run();
	assert_int_equal(source.at, 0);
	assert_int_equal(rig.wake_ms, rig.now_ms + 1);
	rig.core->stream[one].unsent_max = FAKE_BUFFER_MAX;
	pass(1);
	expect_bytes(one, text, sizeof(text));
	expect(one, QUORUM_NEWLEADER, 3);
}

/* The last slot is the last bit of a mask; found by fuzzing. */
static void
a_stream_to_the_leader_is_played(void **state)
{
	static const uint8_t text[] = "text";
	struct source source = source_of(text, sizeof(text));
	const uint32_t dial = leader_dialed();

	(void)state;
	source.state = 1;
	peer_send_stream(rig.net, ZAB_LEADER_SLOT, &source.head);
	run();
	expect_bytes(dial, text, sizeof(text));
	assert_true(source.is_closed);
	assert_true(rig.wake_ms == UINT64_MAX);
}

static void
a_stream_that_fails_ends_the_slot(void **state)
{
	static const uint8_t text[] = "text";
	struct source source = source_of(text, 2);
	const uint32_t one = learner_comes();

	(void)state;
	peer_send_stream(rig.net, 0, &source.head);
	run();
	source.state = FAL_EIO;
	pass(1);
	assert_int_equal(rig.downs, 1);
	assert_int_equal(rig.why, PEER_SOURCE);
	assert_true(source.is_closed);
	assert_true(is_closed(one));
	/* A stream for a slot that is free is just ended. */
	source = source_of(text, 2);
	peer_send_stream(rig.net, 0, &source.head);
	assert_true(source.is_closed);
}

static void
a_stream_ends_with_its_slot(void **state)
{
	static const uint8_t text[] = "text";
	struct source source = source_of(text, 2);
	struct source last = source_of(text, 2);

	(void)state;
	(void)learner_comes();
	peer_send_stream(rig.net, 0, &source.head);
	say(1, QUORUM_NEWLEADER, 3);
	peer_close(rig.net, 0);
	assert_true(source.is_closed);
	assert_int_equal(rig.downs, 0);
	/* At the end of the process, too. */
	(void)learner_comes();
	peer_send_stream(rig.net, 0, &last.head);
	assert_int_equal(stop(NULL), 0);
	assert_true(last.is_closed);
	assert_int_equal(start(NULL), 0);
}

static void
who_takes_its_packets_too_slowly_falls(void **state)
{
	static const uint8_t text[] = "text";
	static uint8_t large[QUEUE_MAX];
	struct source source = source_of(text, 0);
	const uint32_t one = learner_comes();
	const uint32_t two = learner_comes();

	(void)state;
	peer_send_stream(rig.net, 0, &source.head);
	peer_send(rig.net, 3, large, QUEUE_MAX - 20);
	say(3, QUORUM_COMMIT, 1);
	assert_true(peer_is_up(rig.net, 0));
	say(3, QUORUM_COMMIT, 2);
	/* It is gone at once, the hook hears of it later. */
	assert_false(peer_is_up(rig.net, 0));
	assert_true(is_closed(one));
	assert_int_equal(rig.downs, 0);
	say(3, QUORUM_COMMIT, 3);
	run();
	assert_int_equal(rig.downs, 1);
	assert_int_equal(rig.down_slot, 0);
	assert_int_equal(rig.why, PEER_SLOW);
	assert_true(source.is_closed);
	assert_int_equal(stats_sum(&rig.stats, STAT_PEER_SLOW), 1);
	/* The other one lost nothing. */
	expect_bytes(two, large, QUEUE_MAX - 20);
	for (int64_t i = 1; i <= 3; i++)
		expect(two, QUORUM_COMMIT, i);
	/* A connection whose own output is full: the same. */
	rig.core->stream[two].unsent_max = 0;
	say(2, QUORUM_COMMIT, 4);
	run();
	assert_int_equal(rig.downs, 2);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		CASE(a_learner_gets_a_slot_with_its_first_packet),
		CASE(who_is_no_learner_never_reaches_the_core),
		CASE(a_scanner_that_says_nothing_or_too_little_is_hung_up_in_time),
		CASE(a_learner_too_many_is_refused),
		CASE(bytes_that_are_no_packet_end_the_slot),
		CASE(a_large_packet_comes_in_pieces),
		CASE(a_burst_is_read_in_slices),
		CASE(a_paused_slot_gets_no_more_of_the_burst),
		CASE(a_slot_may_be_closed_while_its_packet_is_looked_at),
		CASE(raw_bytes_end_within_a_burst),
		CASE(raw_bytes_that_find_no_room_come_again_later),
		CASE(all_addresses_are_dialed_and_the_first_answer_stays),
		CASE(a_dial_that_fails_is_told_later),
		CASE(packets_wait_behind_a_stream_in_their_order),
		CASE(a_long_stream_is_played_in_slices),
		CASE(a_stream_waits_for_room_in_the_connection),
		CASE(a_stream_to_the_leader_is_played),
		CASE(a_stream_that_fails_ends_the_slot),
		CASE(a_stream_ends_with_its_slot),
		CASE(who_takes_its_packets_too_slowly_falls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
