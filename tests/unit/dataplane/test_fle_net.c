/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    on the election port one connection for each pair of servers
 *         survives, the newest notification arrives, and nothing that a
 *         stranger does has an effect on others.
 * Method  server 2 with streams in memory; the test plays servers 1, 3 and
 *         strangers, byte by byte where it matters, and sets the clock. The
 *         hooks' record and the counters are judged.
 */
#include "dataplane/door.h"
#include "fle_rig.h"

#include "wire/quorum_auth.h"

static struct fle_rig rig;

static int
start(void **state)
{
	(void)state;
	fle_rig_start(&rig);
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	fle_rig_stop(&rig);
	return 0;
}

static bool
is_closed(uint32_t index)
{
	return rig.core->stream[index].is_closed;
}

/* We are dialed by 3, and all is well. */
static uint32_t
three_comes(void)
{
	const uint32_t three = fle_rig_come(&rig, 3, "127.0.0.1:1003");

	assert_true(fle_net_is_up(rig.net, 3));
	return three;
}

/* Three and its messages are unharmed. */
static void
three_is_well(uint32_t three)
{
	const uint32_t received = rig.received;

	assert_false(is_closed(three));
	assert_true(fle_net_is_up(rig.net, 3));
	fle_rig_notify(&rig, three, 77, "version=0");
	assert_int_equal(rig.received, received + 1);
	fle_rig_say(&rig, 3, 78);
	fle_rig_expect(&rig, three, 78);
}

/* ---- which connection survives ------------------------------------------ */

static void
the_dial_of_a_larger_sid_stays(void **state)
{
	const uint32_t three = three_comes();

	(void)state;
	assert_int_equal(rig.links, 1);
	assert_true(rig.link_sid == 3 && rig.link_is_up);
	fle_rig_notify(&rig, three, 9, "version=0");
	assert_int_equal(rig.received, 1);
	assert_int_equal(rig.record[0].sid, 3);
	assert_int_equal(rig.record[0].notification.round, 9);
	three_is_well(three);
	assert_int_equal(rig.core->connect_count, 0);
	assert_int_equal(fle_rig_stat(&rig, STAT_NOTIFICATIONS_RECEIVED), 2);
	assert_int_equal(fle_rig_stat(&rig, STAT_NOTIFICATIONS_SENT), 1);
}

static void
who_is_smaller_is_hung_up_and_dialed_back(void **state)
{
	const uint32_t one = fle_rig_come(&rig, 1, "127.0.0.1:1001");
	uint32_t dial;

	(void)state;
	assert_true(is_closed(one));
	fle_rig_expect_nothing(&rig, one);
	assert_false(fle_net_is_up(rig.net, 1));
	dial = fake_dial_to(rig.core, 1001);
	assert_int_not_equal(dial, FAKE_STREAMS);
	fake_answer(rig.core, dial);
	fle_rig_run(&rig);
	fle_rig_expect_hello(&rig, dial);
	assert_true(fle_net_is_up(rig.net, 1));
	fle_rig_notify(&rig, dial, 4, "version=0");
	assert_int_equal(rig.record[0].sid, 1);
	fle_rig_say(&rig, 1, 5);
	fle_rig_expect(&rig, dial, 5);
}

static void
our_dial_to_a_larger_sid_is_only_a_knock(void **state)
{
	uint32_t dial, three;

	(void)state;
	fle_rig_say(&rig, 3, 1);
	dial = fake_dial_to(rig.core, 1003);
	assert_int_not_equal(dial, FAKE_STREAMS);
	fake_answer(rig.core, dial);
	fle_rig_run(&rig);
	assert_true(is_closed(dial));
	assert_false(rig.core->stream[dial].is_aborted);
	fle_rig_expect_hello(&rig, dial);
	fle_rig_expect_nothing(&rig, dial);
	assert_int_equal(rig.links, 0);
	/* It does not come: knocked again, but not at once. */
	fle_rig_pass(&rig, 499);
	assert_int_equal(rig.core->connect_count, 1);
	fle_rig_pass(&rig, 2);
	assert_int_equal(rig.core->connect_count, 2);
	/* Now it comes while we knock: its dial wins, the message waited. */
	dial = fake_dial_to(rig.core, 1003);
	three = three_comes();
	assert_true(is_closed(dial));
	fle_rig_expect(&rig, three, 1);
	fle_rig_expect_nothing(&rig, three);
}

static void
a_new_dial_of_the_larger_takes_the_place_of_the_old(void **state)
{
	const uint32_t old = three_comes();
	uint32_t again;

	(void)state;
	fle_rig_say(&rig, 3, 6);
	fle_rig_expect(&rig, old, 6);
	again = fle_rig_come(&rig, 3, "127.0.0.1:1003");
	assert_true(is_closed(old));
	/* What was delivered last may be lost: it is said again. */
	fle_rig_expect(&rig, again, 6);
	three_is_well(again);
	fle_net_forget(rig.net);
	again = fle_rig_come(&rig, 3, "127.0.0.1:1003");
	fle_rig_expect_nothing(&rig, again);
	three_is_well(again);
}

static void
a_smaller_one_that_lost_its_connection_gets_a_new_one(void **state)
{
	uint32_t dial, again;

	(void)state;
	fle_net_connect(rig.net, 1);
	dial = fake_dial_to(rig.core, 1001);
	fake_answer(rig.core, dial);
	fle_rig_run(&rig);
	fle_rig_say(&rig, 1, 3);
	fle_rig_expect_hello(&rig, dial);
	fle_rig_expect(&rig, dial, 3);
	fle_rig_pass(&rig, 5000);
	(void)fle_rig_come(&rig, 1, "127.0.0.1:1001");
	assert_true(is_closed(dial));
	again = fake_dial_to(rig.core, 1001);
	assert_int_not_equal(again, FAKE_STREAMS);
	fake_answer(rig.core, again);
	fle_rig_run(&rig);
	fle_rig_expect_hello(&rig, again);
	fle_rig_expect(&rig, again, 3);
	assert_true(fle_net_is_up(rig.net, 1));
}

static void
both_dial_at_once_and_one_connection_is_left(void **state)
{
	uint32_t ours, theirs, again;

	(void)state;
	/* Our dial to 1 is answered, its dial to us comes in meanwhile. */
	fle_net_connect(rig.net, 1);
	ours = fake_dial_to(rig.core, 1001);
	theirs = fle_rig_come(&rig, 1, "127.0.0.1:1001");
	assert_true(is_closed(theirs));
	assert_int_equal(rig.core->connect_count, 1);
	fake_answer(rig.core, ours);
	fle_rig_run(&rig);
	assert_true(fle_net_is_up(rig.net, 1));
	/* Its hello was late: ours is taken for lost, and made again, once. */
	theirs = fle_rig_come(&rig, 1, "127.0.0.1:1001");
	assert_true(is_closed(theirs) && is_closed(ours));
	assert_int_equal(rig.core->connect_count, 1);
	fle_rig_pass(&rig, 100);
	again = fake_dial_to(rig.core, 1001);
	fake_answer(rig.core, again);
	fle_rig_run(&rig);
	assert_true(fle_net_is_up(rig.net, 1));
	fle_rig_pass(&rig, 60000);
	assert_int_equal(rig.core->connect_count, 2);
}

/* ---- who may come ------------------------------------------------------- */

static void
an_unknown_server_is_dialed_at_the_address_it_gave(void **state)
{
	uint32_t dial;

	(void)state;
	rig.known = 0;
	(void)fle_rig_come(&rig, 1, "10.0.0.9:4444");
	dial = fake_dial_to(rig.core, 4444);
	assert_int_not_equal(dial, FAKE_STREAMS);
	assert_int_equal(rig.core->stream[dial].peer.ip[0], 10);
	fake_answer(rig.core, dial);
	fle_rig_run(&rig);
	assert_true(fle_net_is_up(rig.net, 1));
}

static void
wildcards_are_no_address_to_dial(void **state)
{
	(void)state;
	rig.known = 0;
	(void)fle_rig_come(&rig, 1, "0.0.0.0:4444");
	assert_int_equal(rig.core->connect_count, 0);
	/* It is asked for some times, then given up. */
	fle_rig_pass(&rig, 100000);
	fle_rig_pass(&rig, 100000);
	fle_rig_pass(&rig, 100000);
	assert_int_equal(rig.asked, 3);
	assert_true(rig.wake_ms == UINT64_MAX);
}

static void
our_own_sid_and_impossible_ones_are_hung_up(void **state)
{
	const uint32_t three = three_comes();
	const int64_t wrong[] = {RIG_SID, -7, INT64_MAX, INT64_MIN};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const uint32_t it =
			fle_rig_come(&rig, wrong[i], "127.0.0.1:1009");

		assert_true(is_closed(it));
		assert_int_equal(fle_rig_stat(&rig, STAT_PEER_REFUSED), i + 1);
	}
	assert_int_equal(rig.core->connect_count, 0);
	assert_int_equal(rig.links, 1);
	three_is_well(three);
}

static void
strangers_with_many_sids_do_not_crowd_out_members(void **state)
{
	uint32_t dial;

	(void)state;
	for (int64_t sid = 100; sid < 100 + FLE_NET_PEERS_MAX; sid++)
		assert_false(
			is_closed(fle_rig_come(&rig, sid, "10.0.0.9:4444")));
	/* All places have a connection: the next is refused. */
	assert_true(is_closed(fle_rig_come(&rig, 99, "10.0.0.9:4444")));
	assert_int_equal(fle_rig_stat(&rig, STAT_PEER_REFUSED), 1);
	fle_net_connect(rig.net, 1);
	dial = fake_dial_to(rig.core, 1001);
	assert_int_not_equal(dial, FAKE_STREAMS);
	fake_answer(rig.core, dial);
	fle_rig_run(&rig);
	assert_true(fle_net_is_up(rig.net, 1));
}

/* ---- garbage ------------------------------------------------------------ */

static void
garbage_instead_of_a_hello_is_hung_up(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
	} garbage[] = {
		{"GET / HTTP/1.1\r\n\r\n", 18},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11},
		{"SSH-2.0-x\r\n", 11},
		{"\xff\xff\xff\xff\xff\xfe\x00\x00 12345678", 17},
		/* a text of no bytes, of a negative number, of too many */
		{"\xff\xff\xff\xff\xff\xff\x00\x00\0\0\0\0\0\0\0\1\0\0\0\0",
		 20},
		{"\xff\xff\xff\xff\xff\xff\x00\x00\0\0\0\0\0\0\0\1\xff\0\0\0",
		 20},
		{"\xff\xff\xff\xff\xff\xff\x00\x00\0\0\0\0\0\0\0\1\0\0\x08\x01",
		 20},
		/* no address */
		{"\xff\xff\xff\xff\xff\xff\x00\x00\0\0\0\0\0\0\0\1\0\0\0\4abcd",
		 24},
	};
	const uint32_t three = three_comes();

	(void)state;
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		const uint32_t it = fake_connect(rig.core);

		fle_rig_send(&rig, it, garbage[i].bytes, garbage[i].count);
		assert_true(is_closed(it));
		assert_int_equal(fle_rig_stat(&rig, STAT_PEER_REFUSED), i + 1);
	}
	assert_int_equal(rig.links, 1);
	assert_int_equal(rig.core->connect_count, 0);
	three_is_well(three);
}

static void
a_scanner_that_says_nothing_or_too_little_is_hung_up_in_time(void **state)
{
	const uint32_t three = three_comes();
	uint8_t hello[FLE_HELLO_BYTES_MAX];
	const size_t bytes = fle_rig_hello(1, "127.0.0.1:1001", hello);
	const uint32_t silent = fake_connect(rig.core);
	const uint32_t loris = fake_connect(rig.core);
	const uint32_t gone = fake_connect(rig.core);

	(void)state;
	fle_rig_run(&rig);
	fake_finish(rig.core, gone);
	fle_rig_run(&rig);
	for (size_t i = 0; i + 1 < bytes; i++) {
		fle_rig_send(&rig, loris, hello + i, 1);
		fle_rig_pass(&rig, 80);
	}
	assert_true(rig.now_ms < 1000 + 3000);
	assert_false(is_closed(silent) || is_closed(loris));
	rig.now_ms = 1000 + 2999;
	fle_rig_run(&rig);
	assert_false(is_closed(silent) || is_closed(loris));
	assert_int_equal(rig.wake_ms, 4000);
	fle_rig_pass(&rig, 1);
	assert_true(is_closed(silent) && is_closed(loris));
	assert_int_equal(fle_rig_stat(&rig, STAT_PEER_REFUSED), 3);
	three_is_well(three);
}

static void
many_silent_ones_do_not_keep_a_speaker_out(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < DOOR_PLACES + 10; i++) {
		(void)fake_connect(rig.core);
		fle_rig_pass(&rig, 1);
	}
	assert_int_equal(fle_rig_stat(&rig, STAT_PEER_REFUSED), 10);
	three_is_well(three_comes());
}

static void
an_impossible_length_ends_the_connection(void **state)
{
	static const char *const length[] = {"\0\0\0\0", "\0\x08\0\1",
					     "\xff\xff\xff\xff",
					     "\x7f\xff\xff\xff"};

	(void)state;
	for (size_t i = 0; i < sizeof(length) / sizeof(length[0]); i++) {
		const uint32_t three = three_comes();

		fle_rig_send(&rig, three, length[i], 4);
		assert_true(is_closed(three));
		assert_false(fle_net_is_up(rig.net, 3));
		assert_false(rig.link_is_up);
		assert_int_equal(fle_rig_stat(&rig, STAT_PEER_REFUSED), i + 1);
	}
	three_is_well(three_comes());
}

static void
a_message_without_sense_is_ignored(void **state)
{
	static const uint8_t short_one[] = {0, 0, 0, 4, 0, 0, 0, 0};
	uint8_t bad[4 + 44] = {0, 0, 0, 44};
	const uint32_t three = three_comes();

	(void)state;
	fle_rig_send(&rig, three, short_one, sizeof(short_one));
	bad[4 + 3] = 9; /* no state has this number */
	fle_rig_send(&rig, three, bad, sizeof(bad));
	bad[4 + 3] = 0;
	bad[4 + 39] = 2;
	bad[4 + 40] = 0x80; /* a negative length of the configuration */
	fle_rig_send(&rig, three, bad, sizeof(bad));
	assert_int_equal(rig.received, 0);
	assert_int_equal(fle_rig_stat(&rig, STAT_PEER_MALFORMED), 3);
	three_is_well(three);
}

static void
sasl_is_refused_with_an_answer(void **state)
{
	uint8_t auth[16] = {0};
	const uint32_t three = three_comes();
	struct quorum_auth answer;
	size_t bytes;

	(void)state;
	be_store64(auth, (uint64_t)QUORUM_AUTH_MAGIC);
	fle_rig_send(&rig, three, auth, sizeof(auth));
	assert_true(is_closed(three));
	assert_int_equal(quorum_auth_get(rig.core->stream[three].out,
					 rig.core->stream[three].out_bytes,
					 &answer, &bytes),
			 1);
	assert_int_equal(answer.status, QUORUM_AUTH_ERROR);
	assert_int_equal(fle_rig_stat(&rig, STAT_PEER_REFUSED), 1);
}

static void
a_flood_is_read_in_slices(void **state)
{
	const uint32_t three = three_comes();
	struct stream_event event = {0};
	uint8_t frames[100 * 32];

	(void)state;
	for (int i = 0; i < 100; i++) {
		memset(frames + 32 * i, 0, 32);
		frames[32 * i + 3] = 28;
	}
	fake_send(rig.core, three, frames, sizeof(frames));
	event = (struct stream_event){.id = rig.core->stream[three].id,
				      .tag = RIG_LISTEN_TAG,
				      .kind = STREAM_READABLE};
	fle_net_on_event(rig.net, &event, rig.now_ms);
	assert_in_range(rig.received, 1, 32);
	fle_rig_run(&rig);
	assert_int_equal(rig.received, 100);
}

static void
bytes_may_come_one_by_one(void **state)
{
	uint8_t bytes[FLE_HELLO_BYTES_MAX + 64];
	size_t count = fle_rig_hello(3, "127.0.0.1:1003", bytes);
	const uint32_t three = fake_connect(rig.core);

	(void)state;
	memset(bytes + count, 0, 32);
	bytes[count + 3] = 28;
	count += 32;
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(rig.received, 0);
		fle_rig_send(&rig, three, bytes + i, 1);
	}
	assert_int_equal(rig.received, 1);
}

/* ---- messages and dials ------------------------------------------------- */

static void
only_the_newest_message_waits(void **state)
{
	uint32_t dial;

	(void)state;
	fle_rig_say(&rig, 1, 1);
	fle_rig_say(&rig, 1, 2);
	fle_rig_say(&rig, 1, 3);
	assert_int_equal(rig.core->connect_count, 1);
	dial = fake_dial_to(rig.core, 1001);
	fake_answer(rig.core, dial);
	fle_rig_run(&rig);
	fle_rig_expect_hello(&rig, dial);
	fle_rig_expect(&rig, dial, 3);
	fle_rig_expect_nothing(&rig, dial);
	/* A connection without room: the same. */
	rig.core->stream[dial].unsent_max = 0;
	fle_rig_say(&rig, 1, 4);
	fle_rig_say(&rig, 1, 5);
	assert_int_equal(rig.wake_ms, rig.now_ms + 5);
	rig.core->stream[dial].unsent_max = FAKE_BUFFER_MAX;
	fle_rig_pass(&rig, 5);
	fle_rig_expect(&rig, dial, 5);
	fle_rig_expect_nothing(&rig, dial);
}

static void
nothing_is_sent_to_oneself(void **state)
{
	(void)state;
	fle_rig_say(&rig, RIG_SID, 1);
	fle_net_connect(rig.net, RIG_SID);
	fle_rig_run(&rig);
	assert_int_equal(rig.core->connect_count, 0);
}

static void
a_member_is_dialed_with_growing_pauses_and_asked_for_each_time(void **state)
{
	uint64_t pause = 100;

	(void)state;
	fle_net_connect(rig.net, 1);
	for (uint32_t i = 1; i < 12; i++) {
		const uint32_t dial = fake_dial_to(rig.core, 1001);

		assert_int_not_equal(dial, FAKE_STREAMS);
		assert_int_equal(rig.core->connect_count, i);
		assert_int_equal(rig.asked, i);
		fake_refuse(rig.core, dial, STREAM_REFUSED);
		fle_rig_run(&rig);
		assert_int_equal(rig.wake_ms, rig.now_ms + pause);
		fle_rig_pass(&rig, pause);
		pause = pause * 2 < 2000 ? pause * 2 : 2000;
	}
	/* Told once. */
	assert_int_equal(rig.links, 1);
	assert_false(rig.link_is_up);
}

static void
a_dial_that_is_not_answered_ends(void **state)
{
	uint32_t dial;

	(void)state;
	fle_net_connect(rig.net, 1);
	fle_rig_run(&rig);
	dial = fake_dial_to(rig.core, 1001);
	assert_int_equal(rig.wake_ms, rig.now_ms + 5000);
	fle_rig_pass(&rig, 4999);
	assert_false(is_closed(dial));
	fle_rig_pass(&rig, 1);
	assert_true(is_closed(dial) && rig.core->stream[dial].is_aborted);
	assert_true(rig.links == 1 && !rig.link_is_up);
	rig.core->is_unreachable = true;
	fle_rig_pass(&rig, 100);
	rig.core->is_unreachable = false;
	fle_rig_pass(&rig, 200);
	dial = fake_dial_to(rig.core, 1001);
	fake_answer(rig.core, dial);
	fle_rig_run(&rig);
	assert_true(rig.links == 2 && rig.link_is_up);
}

static void
a_stranger_is_not_dialed_for_ever(void **state)
{
	(void)state;
	rig.known = 1u << 1;
	fle_rig_say(&rig, 1, 1);
	for (uint32_t i = 0; i < 10; i++) {
		const uint32_t dial = fake_dial_to(rig.core, 1001);

		if (dial != FAKE_STREAMS)
			fake_refuse(rig.core, dial, STREAM_REFUSED);
		fle_rig_pass(&rig, 10000);
	}
	assert_int_equal(rig.core->connect_count, 3);
	/* Until there is something new to say. */
	fle_rig_say(&rig, 1, 2);
	assert_int_equal(rig.core->connect_count, 4);
}

static void
a_broken_connection_is_told_and_made_again(void **state)
{
	uint32_t dial;

	(void)state;
	fle_net_connect(rig.net, 1);
	dial = fake_dial_to(rig.core, 1001);
	fake_answer(rig.core, dial);
	fle_rig_run(&rig);
	fle_rig_say(&rig, 1, 8);
	fake_vanish(rig.core, dial);
	fle_rig_run(&rig);
	assert_true(rig.links == 2 && !rig.link_is_up);
	dial = fake_dial_to(rig.core, 1001);
	assert_int_not_equal(dial, FAKE_STREAMS);
	fake_answer(rig.core, dial);
	fle_rig_run(&rig);
	assert_true(rig.links == 3 && rig.link_is_up);
	fle_rig_expect_hello(&rig, dial);
	fle_rig_expect(&rig, dial, 8);
}

static void
one_that_hangs_up_each_time_is_not_dialed_in_a_loop(void **state)
{
	(void)state;
	fle_net_connect(rig.net, 1);
	for (uint32_t i = 0; i < 100; i++) {
		const uint32_t dial = fake_dial_to(rig.core, 1001);

		if (dial != FAKE_STREAMS) {
			fake_answer(rig.core, dial);
			fle_rig_run(&rig);
			fake_send(rig.core, dial, "\0\0\0\0", 4);
		}
		fle_rig_pass(&rig, 100);
	}
	/* 10 s with pauses of 100, 200, 400, 800, 1600, 2000 ... ms */
	assert_in_range(rig.core->connect_count, 5, 12);
}

static void
the_hook_may_drop_the_sender(void **state)
{
	const uint32_t three = three_comes();

	(void)state;
	rig.drop_sid = 3;
	fle_rig_notify(&rig, three, 1, "server.1=a:1:2\nversion=5");
	assert_int_equal(rig.received, 1);
	assert_true(is_closed(three));
	assert_false(fle_net_is_up(rig.net, 3));
	rig.drop_sid = -1;
	three_is_well(three_comes());
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		CASE(the_dial_of_a_larger_sid_stays),
		CASE(who_is_smaller_is_hung_up_and_dialed_back),
		CASE(our_dial_to_a_larger_sid_is_only_a_knock),
		CASE(a_new_dial_of_the_larger_takes_the_place_of_the_old),
		CASE(a_smaller_one_that_lost_its_connection_gets_a_new_one),
		CASE(both_dial_at_once_and_one_connection_is_left),
		CASE(an_unknown_server_is_dialed_at_the_address_it_gave),
		CASE(wildcards_are_no_address_to_dial),
		CASE(our_own_sid_and_impossible_ones_are_hung_up),
		CASE(strangers_with_many_sids_do_not_crowd_out_members),
		CASE(garbage_instead_of_a_hello_is_hung_up),
		CASE(a_scanner_that_says_nothing_or_too_little_is_hung_up_in_time),
		CASE(many_silent_ones_do_not_keep_a_speaker_out),
		CASE(an_impossible_length_ends_the_connection),
		CASE(a_message_without_sense_is_ignored),
		CASE(sasl_is_refused_with_an_answer),
		CASE(a_flood_is_read_in_slices),
		CASE(bytes_may_come_one_by_one),
		CASE(only_the_newest_message_waits),
		CASE(nothing_is_sent_to_oneself),
		CASE(a_member_is_dialed_with_growing_pauses_and_asked_for_each_time),
		CASE(a_dial_that_is_not_answered_ends),
		CASE(a_stranger_is_not_dialed_for_ever),
		CASE(a_broken_connection_is_told_and_made_again),
		CASE(one_that_hangs_up_each_time_is_not_dialed_in_a_loop),
		CASE(the_hook_may_drop_the_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
