/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    every implementation of drivers/stream.h sends, sleeps and takes
 *         wrong ids as the header says.
 * Method  as test_stream.c.
 */
#include "stream_rig.h"

#define MIB (1u << 20)

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
