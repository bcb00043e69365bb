/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    on the quorum port whole packets come in and go out in order, beside
 *         streams and raw bytes, and whoever is no learner never reaches the
 *         consensus core.
 * Method  a peer_net on streams in memory, a record of what its hooks were
 *         told, and store streams that give bytes when the test says so.
 */
#include "peer_rig.h"

/* The other side sends a packet without data. */
static void
send_bare(uint32_t index, int32_t type, int64_t zxid)
{
	uint8_t bytes[QUORUM_PACKET_BARE_BYTES];

	bare(bytes, type, zxid);
	send(index, bytes, sizeof(bytes));
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

/* Of small ones as many as a burst has, of large ones by their bytes: what is
 * in them may take long. */
static void
large_packets_are_read_some_a_turn(void **state)
{
	static uint8_t data[20000], space[sizeof(data) + 100];
	const struct quorum_packet packet = {
		.type = QUORUM_REQUEST,
		.data = jute_slice_of(data, sizeof(data)),
		.authinfo = {.count = -1}};
	struct jute_writer writer = jute_writer_of(space, sizeof(space));
	const uint32_t index = learner_comes();

	(void)state;
	quorum_packet_put(&writer, &packet);
	for (uint32_t i = 0; i < 20; i++)
		fake_send(rig.core, index, space,
			  (uint32_t)jute_written(&writer));
	for (uint32_t before = rig.packets, end = before + 20;
	     rig.packets < end; before = rig.packets) {
		assert_int_equal(turn(), 1);
		assert_in_range(rig.packets - before, 1, 4);
	}
	run();
	assert_int_equal(rig.downs, 0);
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
	uint64_t unread;

	(void)state;
	memset(jute_claim(&writer, PACKET_MAX), 7, PACKET_MAX);
	quorum_packet_end(&writer, mark, NULL);
	assert_int_equal(peer_heard(rig.net, &unread), 0);
	for (size_t at = 0; at < jute_written(&writer); at += 4000) {
		const size_t left = jute_written(&writer) - at;

		assert_int_equal(rig.packets, 1);
		send(one, bytes + at, left < 4000 ? left : 4000);
		/* Each piece says that somebody sends it. */
		assert_int_equal(peer_heard(rig.net, &unread),
				 left > 4000 ? 1 : 0);
		assert_int_equal(peer_heard(rig.net, &unread), 0);
		assert_int_equal(unread, 0);
	}
	/* Of who is not read nothing is known. */
	peer_pause(rig.net, 0);
	assert_int_equal(peer_heard(rig.net, &unread), 0);
	assert_int_equal(unread, 1);
	peer_resume(rig.net, 0);
	assert_int_equal(peer_heard(rig.net, &unread), 0);
	assert_int_equal(unread, 0);
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

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		CASE(a_learner_gets_a_slot_with_its_first_packet),
		CASE(large_packets_are_read_some_a_turn),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
