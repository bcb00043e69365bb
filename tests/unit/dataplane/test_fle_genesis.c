/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    frames of the register share the election port with notifications:
 *         the hello comes first, what waits is the newest of each type, and
 *         nothing waits longer than a connection lives; garbage is ignored,
 *         another ensemble is hung up.
 * Method  server 2 with streams in memory, as in test_fle_net.c.
 */
#include "fle_rig.h"

static struct fle_rig rig;

static int
start(void **state)
{
	(void)state;
	fle_rig_start_genesis(&rig);
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	fle_rig_stop(&rig);
	return 0;
}

static void
expect_frame(uint32_t index, enum genesis_type type, uint32_t ballot)
{
	uint32_t bytes;
	const uint8_t *body = fake_receive(rig.core, index, &bytes);
	struct genesis_message message;

	assert_non_null(body);
	assert_int_equal(genesis_get(body, bytes, &message), 0);
	assert_int_equal(message.type, type);
	assert_int_equal(message.ballot, ballot);
}

/* We are dialed by 3 and have said hello. */
static uint32_t
three_comes(void)
{
	const uint32_t three = fle_rig_come(&rig, 3, "127.0.0.1:1003");

	expect_frame(three, GENESIS_HELLO, 0);
	return three;
}

static void
say(int64_t sid, enum genesis_type type, uint32_t ballot)
{
	const struct genesis_message message = {.type = type, .ballot = ballot};

	fle_net_send_genesis(rig.net, sid, &message);
	fle_rig_run(&rig);
}

/* The server at the other end sends so many bytes of a frame. */
static void
told(uint32_t index, enum genesis_type type, uint32_t bytes)
{
	const struct genesis_message message = {.type = type, .ballot = 33};
	uint8_t frame[4 + GENESIS_FRAME_BYTES + 8] = {0};

	be_store32(frame, bytes);
	genesis_put(&message, frame + 4);
	fle_rig_send(&rig, index, frame, 4 + bytes);
}

static void
a_connection_begins_with_a_hello_from_either_side(void **state)
{
	uint32_t three, dial;

	(void)state;
	fle_rig_say(&rig, 3, 7); /* waits */
	three = three_comes();
	fle_rig_expect(&rig, three, 7);
	fle_rig_say(&rig, 1, 8);
	dial = fake_dial_to(rig.core, 1001);
	fake_answer(rig.core, dial);
	fle_rig_run(&rig);
	fle_rig_expect_hello(&rig, dial);
	expect_frame(dial, GENESIS_HELLO, 0);
	fle_rig_expect(&rig, dial, 8);
}

static void
who_speaks_of_it_is_known_by_connection(void **state)
{
	uint32_t three = three_comes();

	(void)state;
	fle_rig_notify(&rig, three, 1, "");
	assert_int_equal(rig.received, 1);
	assert_false(fle_net_speaks_genesis(rig.net, 3));
	told(three, GENESIS_HELLO, GENESIS_FRAME_BYTES);
	assert_int_equal(rig.genesis_count, 1);
	assert_int_equal(rig.genesis_sid, 3);
	assert_int_equal(rig.genesis.ballot, 33);
	assert_int_equal(rig.received, 1);
	assert_true(fle_net_speaks_genesis(rig.net, 3));
	/* Its next process may be another program. */
	three = three_comes();
	assert_false(fle_net_speaks_genesis(rig.net, 3));
	told(three, GENESIS_HELLO, GENESIS_FRAME_BYTES);
	fake_finish(rig.core, three);
	fle_rig_run(&rig);
	assert_false(fle_net_speaks_genesis(rig.net, 3));
}

static void
the_newest_of_each_type_waits_for_a_member(void **state)
{
	uint32_t three;

	(void)state;
	say(3, GENESIS_PREPARE, 1); /* no place, nobody to dial */
	assert_int_equal(rig.core->connect_count, 0);
	fle_net_connect(rig.net, 3);
	say(3, GENESIS_ACCEPT, 2);
	say(3, GENESIS_PREPARE, 3);
	say(3, GENESIS_PREPARE, 4);
	three = three_comes();
	expect_frame(three, GENESIS_PREPARE, 4);
	expect_frame(three, GENESIS_ACCEPT, 2);
	fle_rig_expect_nothing(&rig, three);
	say(3, GENESIS_FOUNDED, 5); /* at once, now */
	expect_frame(three, GENESIS_FOUNDED, 5);
}

static void
what_waits_is_forgotten_with_the_connection(void **state)
{
	uint32_t three;

	(void)state;
	fle_net_connect(rig.net, 3);
	for (uint32_t how = 0; how < 2; how++) {
		three = three_comes();
		while (rig.core->stream[three].out_bytes <= 65536)
			fle_rig_say(&rig, 3, 9);
		say(3, GENESIS_PREPARE, 6);
		if (how == 0) {
			fake_finish(rig.core, three);
			fle_rig_run(&rig);
		}
		/* else its new process dials before we know */
		three = three_comes();
		fle_rig_expect(&rig, three, 9); /* the last one, again */
		fle_rig_expect_nothing(&rig, three);
	}
}

static void
another_ensemble_is_hung_up(void **state)
{
	uint32_t three;

	(void)state;
	fle_net_connect(rig.net, 3);
	three = three_comes();
	rig.is_stranger = true;
	told(three, GENESIS_HELLO, GENESIS_FRAME_BYTES);
	assert_true(rig.core->stream[three].is_closed);
	assert_false(fle_net_is_up(rig.net, 3));
	assert_true(rig.link_sid == 3 && !rig.link_is_up);
	assert_int_equal(fle_rig_stat(&rig, STAT_PEER_REFUSED), 1);
}

static void
a_frame_of_another_size_or_type_is_ignored(void **state)
{
	const uint32_t three = three_comes();

	(void)state;
	for (uint32_t bytes = 4; bytes < GENESIS_FRAME_BYTES + 8; bytes++)
		if (bytes != GENESIS_FRAME_BYTES)
			told(three, GENESIS_HELLO, bytes);
	told(three, 0, GENESIS_FRAME_BYTES);
	told(three, GENESIS_TYPES, GENESIS_FRAME_BYTES);
	assert_int_equal(rig.genesis_count, 0);
	assert_int_equal(rig.received, 0);
	assert_int_equal(fle_rig_stat(&rig, STAT_PEER_MALFORMED),
			 GENESIS_FRAME_BYTES + 8 - 4 - 1 + 2);
	assert_false(rig.core->stream[three].is_closed);
	told(three, GENESIS_HELLO, GENESIS_FRAME_BYTES);
	assert_int_equal(rig.genesis_count, 1);
	fle_rig_notify(&rig, three, 1, "");
	assert_int_equal(rig.received, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_connection_begins_with_a_hello_from_either_side,
			start, stop),
		cmocka_unit_test_setup_teardown(
			who_speaks_of_it_is_known_by_connection, start, stop),
		cmocka_unit_test_setup_teardown(
			the_newest_of_each_type_waits_for_a_member, start,
			stop),
		cmocka_unit_test_setup_teardown(
			what_waits_is_forgotten_with_the_connection, start,
			stop),
		cmocka_unit_test_setup_teardown(another_ensemble_is_hung_up,
						start, stop),
		cmocka_unit_test_setup_teardown(
			a_frame_of_another_size_or_type_is_ignored, start,
			stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
