/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    every implementation of drivers/stream.h moves bytes and reports
 *         events exactly as the header says, and with no more system calls than
 *         it promises.
 * Method  the core under test has plain blocking sockets as its clients
 *         (stream_rig.h); the cases of the header one by one. Random traffic
 *         is in test_stream_random.c.
 */
#include "stream_rig.h"

#define MIB (1u << 20)

static void
reports_an_opened_connection_once(void **state)
{
	struct stream_event event;
	struct sockaddr_in local;
	socklen_t bytes = sizeof(local);
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);
	client = client_open(rig.port);
	event = rig_event(&rig);
	assert_int_equal(event.kind, STREAM_OPENED);
	assert_int_equal(event.tag, RIG_TAG);
	assert_true(event.is_accepted);
	assert_true(stream_index(event.id) < stream_limit(rig.core));
	assert_true(event.id != STREAM_NONE);
	getsockname(client, (struct sockaddr *)&local, &bytes);

	const struct stream_address *peer = stream_peer(rig.core, event.id);
	const struct stream_address expected =
		stream_address_ipv4(rig_client_ip(&rig), ntohs(local.sin_port));

	assert_memory_equal(peer, &expected, sizeof(expected));
	rig_expect_silence(&rig);
	assert_int_equal(rig_counters(&rig).accepts, 1);
	assert_int_equal(rig_counters(&rig).connections, 1);
	close(client);
	rig_stop(&rig);
}

static void
counts_one_receive_and_one_send_for_pipelined_frames(void **state)
{
	enum { FRAMES = 50, FRAME_BYTES = 40 };
	uint8_t frames[FRAMES * FRAME_BYTES], back[sizeof(frames)];
	struct stream_counters before, after;
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	rig_expect_silence(&rig);
	pattern_fill(frames, 0, sizeof(frames));
	before = rig_counters(&rig);
	client_send(client, frames, sizeof(frames));
	assert_true(rig_expect(&rig, STREAM_READABLE) == id);
	for (uint32_t i = 0; i < FRAMES; i++) {
		const uint8_t *in = stream_pull(rig.core, id, FRAME_BYTES);
		uint32_t got;
		uint8_t *out = stream_reserve(rig.core, id, FRAME_BYTES, &got);

		assert_non_null(in);
		assert_non_null(out);
		assert_true(got >= FRAME_BYTES);
		memcpy(out, in, FRAME_BYTES);
		stream_commit(rig.core, id, FRAME_BYTES);
		stream_consume(rig.core, id, FRAME_BYTES);
	}
	assert_int_equal(stream_buffered(rig.core, id), 0);
	assert_int_equal(stream_unsent(rig.core, id), sizeof(frames));
	rig_expect_silence(&rig);
	after = rig_counters(&rig);
	assert_int_equal(after.recv_calls - before.recv_calls, 1);
	assert_int_equal(after.recv_bytes - before.recv_bytes, sizeof(frames));
	assert_int_equal(after.send_calls - before.send_calls, 1);
	assert_int_equal(after.send_bytes - before.send_bytes, sizeof(frames));
	client_recv(client, back, sizeof(back));
	assert_memory_equal(back, frames, sizeof(back));
	close(client);
	rig_stop(&rig);
}

static void
repeats_readable_until_all_is_consumed(void **state)
{
	struct stream_slice slices[STREAM_SLICES_MAX];
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	client_send(client, "abc", 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(rig_expect(&rig, STREAM_READABLE) == id);
		assert_int_equal(rig.event_count, 1);
		assert_int_equal(stream_peek(rig.core, id, slices), 1);
		assert_int_equal(slices[0].bytes, 3 - i);
		assert_int_equal(slices[0].data[0], 'a' + i);
		stream_consume(rig.core, id, 1);
	}
	assert_int_equal(stream_peek(rig.core, id, slices), 0);
	rig_expect_silence(&rig);
	close(client);
	rig_stop(&rig);
}

static void
does_not_repeat_half_a_frame_once_more_is_wanted(void **state)
{
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	client_send(client, "abc", 3);
	rig_expect(&rig, STREAM_READABLE);
	assert_null(stream_pull(rig.core, id, 5));
	rig_expect_silence(&rig);
	client_send(client, "d", 1);
	rig_expect_silence(&rig);
	client_send(client, "ef", 2);
	rig_expect(&rig, STREAM_READABLE);
	assert_memory_equal(stream_pull(rig.core, id, 5), "abcde", 5);
	assert_int_equal(stream_buffered(rig.core, id), 6);
	/* What is wanted is 1 again. */
	stream_consume(rig.core, id, 5);
	rig_expect(&rig, STREAM_READABLE);
	assert_memory_equal(stream_pull(rig.core, id, 1), "f", 1);
	/* Wanting as much as there is wakes as well. */
	stream_want(rig.core, id, 2);
	rig_expect_silence(&rig);
	stream_want(rig.core, id, 1);
	rig_expect(&rig, STREAM_READABLE);
	close(client);
	rig_stop(&rig);
}

static void
puts_frames_together_from_single_bytes(void **state)
{
	enum { FRAME_BYTES = 60 };
	uint8_t frame[FRAME_BYTES];
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	pattern_fill(frame, 0, sizeof(frame));
	stream_want(rig.core, id, FRAME_BYTES);
	for (uint32_t i = 0; i < FRAME_BYTES; i++) {
		assert_int_equal(rig_poll(&rig), 0);
		client_send(client, frame + i, 1);
	}
	rig_expect(&rig, STREAM_READABLE);
	assert_memory_equal(stream_pull(rig.core, id, FRAME_BYTES), frame,
			    FRAME_BYTES);
	close(client);
	rig_stop(&rig);
}

/* Sends a long pattern from the client in pieces while the core polls. */
static void
client_send_long(struct rig *rig, int client, uint64_t from, size_t bytes)
{
	static uint8_t piece[65536];

	while (bytes > 0) {
		const size_t here =
			bytes < sizeof(piece) ? bytes : sizeof(piece);

		pattern_fill(piece, from, here);
		client_send(client, piece, here);
		from += here;
		bytes -= here;
		if (rig_poll(rig) != 0)
			break;
	}
	assert_int_equal(bytes, 0);
}

static void
gives_a_megabyte_frame_in_one_piece(void **state)
{
	const uint32_t frame_bytes = MIB + 4;
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	for (uint32_t round = 0; round < 3; round++) {
		stream_want(rig.core, id, frame_bytes);
		client_send_long(&rig, client, 0, frame_bytes);
		rig_expect(&rig, STREAM_READABLE);

		const uint8_t *frame = stream_pull(rig.core, id, frame_bytes);

		assert_non_null(frame);
		pattern_check(frame, 0, frame_bytes);
		stream_consume(rig.core, id, frame_bytes);
		rig_expect_silence(&rig);
		assert_int_equal(rig_counters(&rig).buffer_bytes, 0);
	}
	close(client);
	rig_stop(&rig);
}

/* All bytes are in the socket before the core looks; no arrival reminds it of
 * what one receive left behind. */
static void
reads_on_without_a_new_arrival(void **state)
{
	enum { FRAME_BYTES = 150000 };
	static uint8_t frame[FRAME_BYTES];
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	rig_expect_silence(&rig);
	pattern_fill(frame, 0, sizeof(frame));
	client_send(client, frame, sizeof(frame));
	stream_want(rig.core, id, FRAME_BYTES);
	assert_true(rig_expect(&rig, STREAM_READABLE) == id);
	pattern_check(stream_pull(rig.core, id, FRAME_BYTES), 0, FRAME_BYTES);
	close(client);
	rig_stop(&rig);
}

/* Frames that lie across the end of the input buffer at every offset. */
static void
moves_the_start_of_a_frame_when_its_end_does_not_fit(void **state)
{
	static uint8_t bytes[2 * STREAM_BUFFER_BYTES];
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);
	pattern_fill(bytes, 0, sizeof(bytes));
	for (uint32_t eaten = 1; eaten < STREAM_BUFFER_BYTES; eaten += 1701) {
		const stream_id id = rig_accept(&rig, &client);

		client_send(client, bytes, STREAM_BUFFER_BYTES);
		stream_want(rig.core, id, STREAM_BUFFER_BYTES);
		rig_expect(&rig, STREAM_READABLE);
		stream_consume(rig.core, id, eaten);
		stream_want(rig.core, id, STREAM_BUFFER_BYTES);
		rig_expect_silence(&rig);
		client_send(client, bytes + STREAM_BUFFER_BYTES, eaten);
		rig_expect(&rig, STREAM_READABLE);
		pattern_check(stream_pull(rig.core, id, STREAM_BUFFER_BYTES),
			      eaten, STREAM_BUFFER_BYTES);
		close(client);
		stream_abort(rig.core, id);
	}
	rig_stop(&rig);
}

static void
wants_one_byte_again_after_any_consume(void **state)
{
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	client_send(client, "abc", 3);
	rig_expect(&rig, STREAM_READABLE);
	stream_want(rig.core, id, 10);
	rig_expect_silence(&rig);
	stream_consume(rig.core, id, 1);
	rig_expect(&rig, STREAM_READABLE);
	assert_memory_equal(stream_pull(rig.core, id, 2), "bc", 2);
	close(client);
	rig_stop(&rig);
}

static void
gives_no_memory_for_a_promise(void **state)
{
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	stream_want(rig.core, id, MIB);
	client_send(client, "abc", 3);
	rig_expect_silence(&rig);
	assert_true(rig_counters(&rig).buffer_bytes <= STREAM_BUFFER_BYTES);
	client_send_long(&rig, client, 0, 100000);
	rig_expect_silence(&rig);
	assert_true(rig_counters(&rig).buffer_bytes <= 4 * 100000);
	close(client);
	rig_stop(&rig);
}

static void
closes_on_a_frame_above_the_limit(void **state)
{
	struct stream_listener listener = rig_listener();
	struct stream_config config = rig_config();
	struct rig rig;
	int client;

	(void)state;
	config.frame_bytes_max = 1000;
	rig_open(&rig, &config, &listener);

	stream_id id = rig_accept(&rig, &client);

	assert_null(stream_pull(rig.core, id, 1001));
	rig_expect_closed(&rig, id, STREAM_FRAME_TOO_LONG);
	rig_poll(&rig);
	client_expect_reset(&rig, client);
	close(client);

	/* A listener may have its own limit. */
	listener.frame_bytes_max = 2000;
	rig_core_destroy(rig.core);
	close(rig.doorbell_fd);
	rig_open(&rig, &config, &listener);
	id = rig_accept(&rig, &client);
	assert_null(stream_pull(rig.core, id, 2000));
	rig_expect_silence(&rig);
	assert_null(stream_pull(rig.core, id, 2001));
	rig_expect_closed(&rig, id, STREAM_FRAME_TOO_LONG);
	close(client);
	rig_stop(&rig);
}

static void
keeps_no_buffer_for_an_idle_connection(void **state)
{
	uint8_t back[5];
	struct rig rig;
	uint32_t got;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	client_send(client, "hello", 5);
	rig_expect(&rig, STREAM_READABLE);
	assert_int_equal(stream_write(rig.core, id, "world", 5), 0);
	stream_consume(rig.core, id, 5);
	rig_expect_silence(&rig);
	client_recv(client, back, 5);
	assert_memory_equal(back, "world", 5);
	assert_int_equal(rig_counters(&rig).buffer_bytes, 0);
	/* Nor for a reserve that came to nothing. */
	assert_non_null(stream_reserve(rig.core, id, 100, &got));
	stream_commit(rig.core, id, 0);
	rig_expect_silence(&rig);
	assert_int_equal(rig_counters(&rig).buffer_bytes, 0);
	close(client);
	rig_stop(&rig);
}

static void
does_not_read_while_paused(void **state)
{
	static uint8_t piece[65536];
	uint64_t sent = 0, seen = 0;
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	stream_pause(rig.core, id);
	/* The client fills all buffers between us until its send blocks. */
	for (;;) {
		pattern_fill(piece, sent, sizeof(piece));

		const ssize_t bytes = send(client, piece, sizeof(piece),
					   MSG_DONTWAIT | MSG_NOSIGNAL);

		assert_int_equal(rig_poll(&rig), 0);
		if (bytes < 0)
			break;
		sent += (uint64_t)bytes;
	}
	/* One receive may have been under way. */
	assert_true(rig_counters(&rig).recv_bytes <= rig_hoard_bytes());
	rig_expect_silence(&rig);
	stream_resume(rig.core, id);
	while (seen < sent) {
		struct stream_slice slice[STREAM_SLICES_MAX];

		assert_true(rig_expect(&rig, STREAM_READABLE) == id);
		assert_true(stream_peek(rig.core, id, slice) >= 1);
		pattern_check(slice[0].data, seen, slice[0].bytes);
		seen += slice[0].bytes;
		stream_consume(rig.core, id, slice[0].bytes);
	}
	assert_int_equal(rig_counters(&rig).pauses, 1);
	close(client);
	rig_stop(&rig);
}

/* Neither consumed nor paused: the core must not hoard. */
static void
receives_no_more_than_a_little_of_what_nobody_consumes(void **state)
{
	static uint8_t piece[65536];
	uint64_t sent = 0, seen = 0;
	struct rig rig;
	ssize_t bytes;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	do {
		pattern_fill(piece, sent, sizeof(piece));
		bytes = send(client, piece, sizeof(piece),
			     MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += bytes > 0 ? (uint64_t)bytes : 0;
		for (uint32_t i = 0; i < 5; i++)
			rig_poll(&rig);
		rig.event_next = rig.event_count;
	} while (bytes > 0);
	assert_true(rig_counters(&rig).recv_bytes <= rig_hoard_bytes());
	assert_true(rig_counters(&rig).buffer_bytes_peak <=
		    2 * STREAM_BUFFER_BYTES);
	/* A little at a time it all comes. */
	while (seen < sent) {
		struct stream_slice slice[STREAM_SLICES_MAX];

		rig_expect(&rig, STREAM_READABLE);
		assert_true(stream_peek(rig.core, id, slice) >= 1);

		const uint32_t here =
			slice[0].bytes < 1500 ? slice[0].bytes : 1500;

		pattern_check(slice[0].data, seen, here);
		seen += here;
		stream_consume(rig.core, id, here);
	}
	assert_true(rig_counters(&rig).buffer_bytes_peak <=
		    3 * STREAM_BUFFER_BYTES);
	close(client);
	rig_stop(&rig);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_an_opened_connection_once),
		cmocka_unit_test(
			counts_one_receive_and_one_send_for_pipelined_frames),
		cmocka_unit_test(repeats_readable_until_all_is_consumed),
		cmocka_unit_test(
			does_not_repeat_half_a_frame_once_more_is_wanted),
		cmocka_unit_test(puts_frames_together_from_single_bytes),
		cmocka_unit_test(gives_a_megabyte_frame_in_one_piece),
		cmocka_unit_test(reads_on_without_a_new_arrival),
		cmocka_unit_test(
			moves_the_start_of_a_frame_when_its_end_does_not_fit),
		cmocka_unit_test(wants_one_byte_again_after_any_consume),
		cmocka_unit_test(gives_no_memory_for_a_promise),
		cmocka_unit_test(closes_on_a_frame_above_the_limit),
		cmocka_unit_test(keeps_no_buffer_for_an_idle_connection),
		cmocka_unit_test(does_not_read_while_paused),
		cmocka_unit_test(
			receives_no_more_than_a_little_of_what_nobody_consumes),
	};

	rig_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
