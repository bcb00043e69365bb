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

static void
refuses_output_above_the_limit_and_tells_when_there_is_room(void **state)
{
	enum { LIMIT = 200000 };
	static uint8_t data[10000], back[10000];
	struct stream_listener listener = rig_listener();
	struct stream_config config = rig_config();
	uint64_t written = 0, seen = 0;
	struct rig rig;
	uint32_t got;
	int client, err;

	(void)state;
	config.unsent_bytes_max = LIMIT;
	config.writable_bytes = 1000;
	rig_open(&rig, &config, &listener);

	const stream_id id = rig_accept(&rig, &client);

	/* The peer never reads: the kernel's buffers fill, then ours. */
	do {
		pattern_fill(data, written, sizeof(data));
		err = stream_write(rig.core, id, data, sizeof(data));
		if (err == 0)
			written += sizeof(data);
		stream_flush(rig.core);
		rig_poll(&rig);
	} while (err == 0);
	assert_int_equal(err, FAL_ELIMIT);
	assert_true(stream_unsent(rig.core, id) > LIMIT - sizeof(data));
	assert_true(stream_unsent(rig.core, id) <= LIMIT);
	assert_null(stream_reserve(rig.core, id, sizeof(data), &got));
	assert_int_equal(got, 0);
	assert_int_equal(rig_counters(&rig).unsent_limit_hits, 2);
	rig.event_next = rig.event_count;
	rig_expect_silence(&rig);
	/* Looking at the connection for another reason is no room. */
	client_send(client, "x", 1);
	rig_expect(&rig, STREAM_READABLE);
	stream_consume(rig.core, id, 1);
	rig_expect_silence(&rig);

	bool was_writable = false;

	while (seen < written) {
		client_recv(client, back, sizeof(back));
		pattern_check(back, seen, sizeof(back));
		seen += sizeof(back);
		if (rig_poll(&rig) == 0)
			continue;
		assert_int_equal(rig.event_count, 1);
		assert_int_equal(rig.events[0].kind, STREAM_WRITABLE);
		assert_true(stream_unsent(rig.core, id) <= 1000);
		assert_false(was_writable);
		was_writable = true;
		rig.event_next = 1;
	}
	assert_true(was_writable);
	rig_expect_silence(&rig);
	assert_int_equal(rig_counters(&rig).buffer_bytes, 0);
	close(client);
	rig_stop(&rig);
}

/* The limit is met before anything was sent at all. */
static void
tells_when_there_is_room_after_a_refusal_within_one_loop(void **state)
{
	struct stream_listener listener = rig_listener();
	const struct stream_config config = rig_config();
	uint8_t data[900] = {0};
	struct rig rig;
	int client;

	(void)state;
	listener.unsent_bytes_max = 1000;
	rig_open(&rig, &config, &listener);

	const stream_id id = rig_accept(&rig, &client);

	assert_int_equal(stream_write(rig.core, id, data, sizeof(data)), 0);
	assert_int_equal(stream_write(rig.core, id, data, 101), FAL_ELIMIT);
	assert_int_equal(stream_unsent(rig.core, id), sizeof(data));
	assert_true(rig_expect(&rig, STREAM_WRITABLE) == id);
	rig_expect_silence(&rig);
	assert_int_equal(stream_write(rig.core, id, data, 101), 0);
	assert_int_equal(stream_write(rig.core, id, data, 899), 0);
	assert_int_equal(stream_write(rig.core, id, data, 0), 0);
	close(client);
	rig_stop(&rig);
}

/* Whoever saw much unsent may have stopped for it, though the flush that
 * followed got rid of all at once. */
static void
tells_when_there_is_room_after_a_flush_that_sent_all(void **state)
{
	struct stream_listener listener = rig_listener();
	struct stream_config config = rig_config();
	uint8_t data[2000] = {0};
	struct rig rig;
	int client;

	(void)state;
	config.writable_bytes = 1000;
	rig_open(&rig, &config, &listener);

	const stream_id id = rig_accept(&rig, &client);

	assert_int_equal(stream_write(rig.core, id, data, 1000), 0);
	stream_flush(rig.core);
	client_recv(client, data, 1000);
	rig_expect_silence(&rig);
	assert_int_equal(stream_write(rig.core, id, data, 2000), 0);
	assert_int_equal(stream_unsent(rig.core, id), 2000);
	stream_flush(rig.core);
	client_recv(client, data, 2000);
	assert_true(rig_expect(&rig, STREAM_WRITABLE) == id);
	rig_expect_silence(&rig);
	close(client);
	rig_stop(&rig);
}

static void
sends_a_megabyte_through_a_tiny_window(void **state)
{
	const uint32_t all = MIB;
	uint8_t *data = malloc(all), *back = malloc(all);
	uint32_t seen = 0;
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);
	client = client_open_narrow(rig.port, 1);

	const stream_id id = rig_expect(&rig, STREAM_OPENED);

	pattern_fill(data, 0, all);
	assert_int_equal(stream_write(rig.core, id, data, all), 0);
	while (seen < all) {
		rig_poll(&rig);

		const ssize_t bytes =
			recv(client, back + seen,
			     seen % 3 == 0 ? 700 : all - seen, MSG_DONTWAIT);

		if (bytes > 0)
			seen += (uint32_t)bytes;
		else
			assert_int_equal(errno, EAGAIN);
		if (seen > all - 1000)
			break;
	}
	while (seen < all) {
		rig_poll(&rig);

		const ssize_t bytes =
			recv(client, back + seen, 7, MSG_DONTWAIT);

		seen += bytes > 0 ? (uint32_t)bytes : 0;
	}
	assert_memory_equal(back, data, all);
	assert_int_equal(stream_unsent(rig.core, id), 0);
	close(client);
	rig_stop(&rig);
	free(data);
	free(back);
}

static void
reserves_any_size_in_one_piece(void **state)
{
	static const uint32_t sizes[] = {
		1,     2023, 2024,  2025,   4000,    16383, 16384,
		16385, 1,    16384, 100000, MIB + 4, 5,
	};
	struct rig rig;
	uint32_t all = 0;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t got;
		uint8_t *out = stream_reserve(rig.core, id, sizes[i], &got);

		assert_non_null(out);
		assert_true(got >= sizes[i]);
		pattern_fill(out, all, sizes[i]);
		stream_commit(rig.core, id, sizes[i]);
		all += sizes[i];
	}
	assert_int_equal(stream_unsent(rig.core, id), all);
	for (uint32_t seen = 0; seen < all;) {
		static uint8_t back[70000];

		rig_poll(&rig);

		const ssize_t bytes =
			recv(client, back, sizeof(back), MSG_DONTWAIT);

		if (bytes <= 0)
			continue;
		pattern_check(back, seen, (size_t)bytes);
		seen += (uint32_t)bytes;
	}
	close(client);
	rig_stop(&rig);
}

static void
takes_dead_and_invented_ids_softly(void **state)
{
	struct stream_slice slices[STREAM_SLICES_MAX];
	stream_id ids[5];
	struct rig rig;
	uint32_t got;
	int client;

	(void)state;
	rig_start(&rig);
	ids[0] = rig_accept(&rig, &client);
	stream_abort(rig.core, ids[0]);
	close(client);
	rig_poll(&rig);
	ids[1] = STREAM_NONE;
	ids[2] = UINT64_MAX;
	ids[3] = ids[0] + (1ull << 32) * 5;
	ids[4] = (1ull << 32) | 63;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		const stream_id id = ids[i];

		assert_int_equal(stream_peek(rig.core, id, slices), 0);
		assert_null(stream_pull(rig.core, id, 1));
		stream_want(rig.core, id, 10);
		stream_consume(rig.core, id, 10);
		assert_int_equal(stream_buffered(rig.core, id), 0);
		stream_pause(rig.core, id);
		stream_resume(rig.core, id);
		got = 1;
		assert_null(stream_reserve(rig.core, id, 1, &got));
		assert_int_equal(got, 0);
		stream_commit(rig.core, id, 1);
		assert_int_equal(stream_write(rig.core, id, "x", 1),
				 FAL_ECLOSED);
		assert_int_equal(stream_unsent(rig.core, id), 0);
		assert_null(stream_peer(rig.core, id));
		stream_close(rig.core, id);
		stream_abort(rig.core, id);
	}
	rig_expect_silence(&rig);
	assert_int_equal(rig_counters(&rig).aborts, 1);
	assert_int_equal(rig_counters(&rig).closes, 0);

	/* The index comes again, the id does not. */
	const stream_id id = rig_accept(&rig, &client);

	assert_int_equal(stream_index(id), stream_index(ids[0]));
	assert_true(id != ids[0]);
	stream_abort(rig.core, ids[0]);
	assert_int_equal(stream_write(rig.core, id, "x", 1), 0);
	close(client);
	rig_stop(&rig);
}

static void
sleeps_until_there_is_news(void **state)
{
	const uint64_t one = 1;
	struct rig rig;
	uint64_t start_ns;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	rig_expect_silence(&rig);
	start_ns = clock_os_now_ns();
	stream_wait(rig.core, 20 * NS_PER_MS);
	assert_true(clock_os_now_ns() - start_ns >= 20 * NS_PER_MS);
	assert_int_equal(rig_poll(&rig), 0);
	assert_int_equal(rig_counters(&rig).waits, 1);
	stream_wait(rig.core, 0);
	assert_int_equal(rig_counters(&rig).waits, 1);

	/* Each of these would sleep for ever if the news were lost. */
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(write(rig.doorbell_fd, &one, sizeof(one)),
				 sizeof(one));
		stream_wait(rig.core, UINT64_MAX);
		assert_int_equal(rig_poll(&rig), 0);
	}
	client_send(client, "abc", 3);
	stream_wait(rig.core, UINT64_MAX);
	stream_wait(rig.core, UINT64_MAX); /* nothing was polled yet */
	rig_expect(&rig, STREAM_READABLE);
	stream_wait(rig.core, UINT64_MAX); /* there is something left */
	rig_expect(&rig, STREAM_READABLE);
	stream_consume(rig.core, id, 3);
	rig_expect_silence(&rig);
	/* Queued output is sent before the sleep. */
	assert_int_equal(stream_write(rig.core, id, "x", 1), 0);
	stream_wait(rig.core, NS_PER_MS);
	client_recv(client, (uint8_t[1]){0}, 1);
	close(client);
	stream_wait(rig.core, UINT64_MAX);
	rig_expect_closed(&rig, id, STREAM_FINISHED);
	rig_stop(&rig);
}

/* A ring between the caller's last look at its rings and the wait must end the
 * wait, also when a poll was in between. */
static void
does_not_sleep_through_an_earlier_ring(void **state)
{
	const uint64_t one = 1;
	struct rig rig;

	(void)state;
	rig_start(&rig);
	for (uint32_t polls = 0; polls < 4; polls++) {
		assert_int_equal(write(rig.doorbell_fd, &one, sizeof(one)), 8);
		for (uint32_t i = 0; i < polls; i++)
			rig_poll(&rig);
		stream_wait(rig.core, UINT64_MAX);
	}
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
		cmocka_unit_test(
			refuses_output_above_the_limit_and_tells_when_there_is_room),
		cmocka_unit_test(
			tells_when_there_is_room_after_a_refusal_within_one_loop),
		cmocka_unit_test(
			tells_when_there_is_room_after_a_flush_that_sent_all),
		cmocka_unit_test(sends_a_megabyte_through_a_tiny_window),
		cmocka_unit_test(reserves_any_size_in_one_piece),
		cmocka_unit_test(takes_dead_and_invented_ids_softly),
		cmocka_unit_test(sleeps_until_there_is_news),
		cmocka_unit_test(does_not_sleep_through_an_earlier_ring),
	};

	rig_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
