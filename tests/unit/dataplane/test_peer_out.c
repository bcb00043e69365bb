/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    what a server sends to others: dials, packets, long streams played in
 *         slices, and the end of who takes them too slowly.
 * Method  as test_peer.c, connections in memory.
 */
#include "peer_rig.h"

/* Bytes made by the test. */
struct source {
	struct store_stream head;
	const uint8_t *data;
	uint32_t at, ready; /* ready: bytes that may be taken */
	int state;
	bool is_closed;
};

static void
expect_nothing(uint32_t index)
{
	assert_int_equal(rig.core->stream[index].out_bytes, 0);
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
	const uint32_t one = learner_comes();
	const uint32_t two = learner_comes();

	(void)state;
	rig.core->stream[one].unsent_max = 0;
	say(3, QUORUM_COMMIT, 1);
	/* It is gone at once, the hook hears of it later. */
	assert_false(peer_is_up(rig.net, 0));
	assert_true(is_closed(one));
	assert_int_equal(rig.downs, 0);
	say(3, QUORUM_COMMIT, 2);
	run();
	assert_int_equal(rig.downs, 1);
	assert_int_equal(rig.down_slot, 0);
	assert_int_equal(rig.why, PEER_SLOW);
	assert_int_equal(stats_sum(&rig.stats, STAT_PEER_SLOW), 1);
	/* The other one lost nothing. */
	for (int64_t i = 1; i <= 2; i++)
		expect(two, QUORUM_COMMIT, i);
}

/* Writes go on while a snapshot of minutes is sent. Without all of it the peer
 * would begin anew, and never be done; with it the next history is short. */
static void
who_is_given_a_stream_falls_behind_it(void **state)
{
	static const uint8_t text[] = "a snapshot";
	static uint8_t large[QUEUE_MAX];
	struct source source = source_of(text, 0);
	struct source other = source_of(text, sizeof(text));
	const uint32_t one = learner_comes();
	const uint32_t two = learner_comes();

	(void)state;
	say(3, QUORUM_SNAP, 7);
	peer_send_stream(rig.net, 0, &source.head);
	peer_send(rig.net, 3, large, QUEUE_MAX - 20);
	say(3, QUORUM_COMMIT, 1);
	assert_int_equal(peer_queued_bytes(rig.net, 0), QUEUE_MAX);
	say(3, QUORUM_COMMIT, 2);
	/* Nothing waits any more, nothing will. */
	assert_int_equal(peer_queued_bytes(rig.net, 0), 0);
	say(3, QUORUM_COMMIT, 3);
	peer_send_stream(rig.net, 0, &other.head);
	assert_true(other.is_closed);
	run();
	assert_int_equal(rig.downs, 0);
	assert_int_equal(peer_queued_bytes(rig.net, 0), 0);
	source.ready = sizeof(text);
	source.state = 1;
	pass(1);
	expect(one, QUORUM_SNAP, 7);
	expect_bytes(one, text, sizeof(text));
	expect_nothing(one);
	assert_true(source.is_closed);
	assert_true(is_closed(one));
	assert_false(rig.core->stream[one].is_aborted);
	assert_int_equal(rig.downs, 1);
	assert_int_equal(rig.down_slot, 0);
	assert_int_equal(rig.why, PEER_SLOW);
	assert_int_equal(stats_sum(&rig.stats, STAT_PEER_SLOW), 1);
	/* The other one lost nothing. */
	expect(two, QUORUM_SNAP, 7);
	expect_bytes(two, large, QUEUE_MAX - 20);
	for (int64_t i = 1; i <= 3; i++)
		expect(two, QUORUM_COMMIT, i);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		CASE(all_addresses_are_dialed_and_the_first_answer_stays),
		CASE(a_dial_that_fails_is_told_later),
		CASE(packets_wait_behind_a_stream_in_their_order),
		CASE(a_long_stream_is_played_in_slices),
		CASE(a_stream_waits_for_room_in_the_connection),
		CASE(a_stream_to_the_leader_is_played),
		CASE(a_stream_that_fails_ends_the_slot),
		CASE(a_stream_ends_with_its_slot),
		CASE(who_takes_its_packets_too_slowly_falls),
		CASE(who_is_given_a_stream_falls_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
