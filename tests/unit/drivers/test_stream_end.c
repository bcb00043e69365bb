/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    every way a connection can end is reported once, with the right
 *         reason, loses no byte it should not lose and leaves nothing behind.
 * Method  plain sockets on the other side finish, reset, stop reading or stay
 *         silent (stream_rig.h); time beyond linger_ms is made up.
 */
#include "stream_rig.h"

#define MIB (1u << 20)

static void
delivers_input_before_the_end_and_output_after_it(void **state)
{
	uint8_t back[4];
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	/* As "echo ruok | nc" does. */
	client_send(client, "ruok", 4);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	rig_expect(&rig, STREAM_READABLE);
	assert_memory_equal(stream_pull(rig.core, id, 4), "ruok", 4);
	/* Not consumed yet: not closed yet. */
	assert_int_equal(rig_poll(&rig), 1);
	rig_expect(&rig, STREAM_READABLE);
	assert_int_equal(stream_write(rig.core, id, "imok", 4), 0);
	stream_consume(rig.core, id, 4);
	rig_expect_closed(&rig, id, STREAM_FINISHED);
	assert_non_null(stream_peer(rig.core, id));
	assert_int_equal(stream_write(rig.core, id, "x", 1), FAL_ECLOSED);
	rig_poll(&rig);
	client_recv(client, back, 4);
	assert_memory_equal(back, "imok", 4);
	client_expect_end(&rig, client);
	close(client);
	rig_expect_empty(&rig);
	assert_int_equal(rig_counters(&rig).finished, 1);
	assert_int_equal(rig_counters(&rig).failed, 0);
	rig_stop(&rig);
}

/* The reply to a request that was followed by FIN is longer than all buffers of
 * the system. */
static void
sends_all_output_that_was_queued_when_the_peer_finished(void **state)
{
	const uint32_t all = 8 * MIB;
	uint8_t *data = malloc(all);
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	pattern_fill(data, 0, all);
	client_send(client, "x", 1);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	rig_expect(&rig, STREAM_READABLE);
	assert_int_equal(stream_write(rig.core, id, data, all), 0);
	stream_consume(rig.core, id, 1);
	rig_expect_closed(&rig, id, STREAM_FINISHED);
	for (uint32_t seen = 0; seen < all;) {
		static uint8_t back[65536];

		rig_poll(&rig);

		const ssize_t bytes =
			recv(client, back, sizeof(back), MSG_DONTWAIT);

		if (bytes < 0)
			continue;
		assert_true(bytes > 0);
		pattern_check(back, seen, (size_t)bytes);
		seen += (uint32_t)bytes;
	}
	rig_poll(&rig);
	client_expect_end(&rig, client);
	close(client);
	rig_expect_empty(&rig);
	rig_stop(&rig);
	free(data);
}

static void
closes_when_the_rest_of_a_frame_cannot_come(void **state)
{
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	client_send(client, "half", 4);
	rig_expect(&rig, STREAM_READABLE);
	assert_null(stream_pull(rig.core, id, 5));
	rig_expect_silence(&rig);
	close(client);
	rig_expect_closed(&rig, id, STREAM_FINISHED);
	rig_expect_empty(&rig);

	/* The other order: FIN is known before more is wanted. */
	const stream_id second = rig_accept(&rig, &client);

	client_send(client, "half", 4);
	close(client);
	rig_expect(&rig, STREAM_READABLE);
	rig_poll(&rig);
	assert_int_equal(rig.events[0].kind, STREAM_READABLE);
	rig.event_next = rig.event_count;
	assert_null(stream_pull(rig.core, second, 5));
	rig_expect_closed(&rig, second, STREAM_FINISHED);
	rig_expect_empty(&rig);
	rig_stop(&rig);
}

static void
tells_the_end_only_after_the_pause(void **state)
{
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	stream_pause(rig.core, id);
	client_send(client, "abc", 3);
	close(client);
	rig_expect_silence(&rig);
	stream_resume(rig.core, id);
	rig_expect(&rig, STREAM_READABLE);
	assert_memory_equal(stream_pull(rig.core, id, 3), "abc", 3);
	stream_consume(rig.core, id, 3);
	rig_expect_closed(&rig, id, STREAM_FINISHED);
	rig_expect_empty(&rig);

	/* The pause may come when the end is known already. */
	const stream_id second = rig_accept(&rig, &client);

	client_send(client, "abc", 3);
	close(client);
	for (uint32_t i = 0; i < 20; i++) {
		assert_true(rig_expect(&rig, STREAM_READABLE) == second);
		usleep(100);
	}
	stream_pause(rig.core, second);
	stream_consume(rig.core, second, 3);
	rig.event_next = rig.event_count;
	rig_expect_silence(&rig);
	stream_resume(rig.core, second);
	rig_expect_closed(&rig, second, STREAM_FINISHED);
	rig_expect_empty(&rig);
	rig_stop(&rig);
}

static void
reports_a_reset_in_the_middle_of_a_reply(void **state)
{
	uint8_t *data = calloc(1, 16 * MIB);
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	assert_int_equal(stream_write(rig.core, id, data, 16 * MIB), 0);
	rig_poll(&rig);
	client_recv(client, data, 1000);
	client_reset(client);
	rig_expect_closed(&rig, id, STREAM_RESET);
	rig_expect_empty(&rig);
	assert_int_equal(rig_counters(&rig).failed, 1);
	rig_stop(&rig);
	free(data);
}

static void
reports_a_reset_of_an_idle_connection(void **state)
{
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	rig_expect_silence(&rig);
	client_reset(client);
	rig_expect_closed(&rig, id, STREAM_RESET);
	rig_expect_empty(&rig);
	rig_stop(&rig);
}

static void
reports_a_reset_of_a_paused_connection(void **state)
{
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);
	/* With and without input that was never looked at; in the second round
	 * nobody waits for it at all. */
	for (uint32_t round = 0; round < 3; round++) {
		const stream_id id = rig_accept(&rig, &client);

		if (round == 1)
			rig_expect_silence(&rig);
		stream_pause(rig.core, id);
		if (round == 2) {
			client_send(client, "abc", 3);
			rig_expect_silence(&rig);
			client_send(client, "def", 3);
			rig_expect_silence(&rig);
		}
		client_reset(client);
		rig_expect_closed(&rig, id, STREAM_RESET);
		rig_expect_empty(&rig);
	}
	rig_stop(&rig);
}

static void
gives_input_before_a_reset_one_last_chance(void **state)
{
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	client_send(client, "abc", 3);
	rig_expect(&rig, STREAM_READABLE);
	client_reset(client);
	/* Whoever does not consume is not asked for ever. */
	for (uint32_t i = 0; i < 3; i++) {
		const struct stream_event event = rig_event(&rig);

		if (event.kind == STREAM_READABLE) {
			assert_non_null(stream_pull(rig.core, id, 3));
			continue;
		}
		assert_int_equal(event.kind, STREAM_CLOSED);
		assert_int_equal(event.reason, STREAM_RESET);
		rig_expect_empty(&rig);
		rig_stop(&rig);
		return;
	}
	fail_msg("no CLOSED");
}

static void
sends_what_is_queued_before_it_closes(void **state)
{
	const uint32_t all = 4 * MIB;
	uint8_t *data = malloc(all);
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	/* Input nobody reads must not turn the FIN into RST. */
	client_send(client, "unread", 6);
	pattern_fill(data, 0, all);
	assert_int_equal(stream_write(rig.core, id, data, all), 0);
	stream_close(rig.core, id);
	assert_int_equal(stream_unsent(rig.core, id), 0);
	assert_null(stream_peer(rig.core, id));
	for (uint32_t seen = 0; seen < all;) {
		static uint8_t back[65536];

		assert_int_equal(rig_poll(&rig), 0);
		client_send(client, "more", 4);

		const ssize_t bytes =
			recv(client, back, sizeof(back), MSG_DONTWAIT);

		if (bytes < 0)
			continue;
		assert_true(bytes > 0);
		pattern_check(back, seen, (size_t)bytes);
		seen += (uint32_t)bytes;
	}
	rig_poll(&rig);
	rig_poll(&rig);
	client_expect_end(&rig, client);
	assert_int_equal(rig_counters(&rig).lingering, 1);
	client_send(client, "even now", 8);
	rig_expect_silence(&rig);
	close(client);
	rig_expect_empty(&rig);
	assert_int_equal(rig_counters(&rig).closes, 1);
	assert_int_equal(rig_counters(&rig).finished, 0);
	rig_stop(&rig);
	free(data);
}

static void
closes_a_paused_connection(void **state)
{
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	stream_pause(rig.core, id);
	client_send(client, "abc", 3);
	rig_expect_silence(&rig);
	assert_int_equal(stream_write(rig.core, id, "bye", 3), 0);
	stream_close(rig.core, id);
	rig_poll(&rig);
	client_recv(client, (uint8_t[3]){0}, 3);
	/* The FIN may need another round. */
	client_expect_end(&rig, client);
	close(client);
	rig_expect_empty(&rig);
	assert_int_equal(rig_counters(&rig).linger_timeouts, 0);
	rig_stop(&rig);
}

static void
keeps_no_input_of_a_closed_connection(void **state)
{
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	client_send(client, "abc", 3);
	rig_expect(&rig, STREAM_READABLE);
	stream_close(rig.core, id);
	RIG_AWAIT_COUNTER(&rig, buffer_bytes, 0);
	client_send(client, "def", 3);
	rig_expect_silence(&rig);
	assert_int_equal(rig_counters(&rig).buffer_bytes, 0);
	assert_int_equal(rig_counters(&rig).lingering, 1);
	close(client);
	rig_expect_empty(&rig);
	rig_stop(&rig);
}

static void
resets_who_does_not_let_it_close(void **state)
{
	struct stream_listener listener = rig_listener();
	struct stream_config config = rig_config();
	uint8_t *data = calloc(1, 16 * MIB);
	struct rig rig;
	int client;

	(void)state;
	config.linger_ms = 60000;
	rig_open(&rig, &config, &listener);
	/* Round 0: takes the FIN but never finishes. Round 1: does not even
	 * take the output. */
	for (uint32_t round = 0; round < 2; round++) {
		const stream_id id = rig_accept(&rig, &client);

		if (round == 1)
			assert_int_equal(
				stream_write(rig.core, id, data, 16 * MIB), 0);
		stream_close(rig.core, id);
		rig_expect_silence(&rig);
		assert_int_equal(rig_counters(&rig).lingering, 1);
		rig.skew_ns += 40 * NS_PER_S;
		rig_poll(&rig);
		assert_int_equal(rig_counters(&rig).lingering, 1);
		rig.skew_ns += 21 * NS_PER_S;
		rig_expect_empty(&rig);
		assert_int_equal(rig_counters(&rig).linger_timeouts, round + 1);
		if (round == 1)
			client_expect_reset(&rig, client);
		close(client);
	}
	rig_stop(&rig);
	free(data);
}

static void
wakes_up_to_end_lingering(void **state)
{
	struct stream_listener listener = rig_listener();
	struct stream_config config = rig_config();
	struct rig rig;
	int client;

	(void)state;
	config.linger_ms = 30;
	rig_open(&rig, &config, &listener);

	const stream_id id = rig_accept(&rig, &client);

	rig_poll(&rig);
	stream_close(rig.core, id);
	for (uint32_t i = 0; i < 50 && rig_counters(&rig).linger_timeouts == 0;
	     i++) {
		stream_wait(rig.core, UINT64_MAX);
		rig_poll(&rig);
	}
	assert_int_equal(rig_counters(&rig).linger_timeouts, 1);
	assert_true(rig_counters(&rig).waits < 20);
	close(client);
	rig_expect_empty(&rig);
	rig_stop(&rig);
}

static void
aborts_with_reset(void **state)
{
	uint8_t *data = calloc(1, MIB);
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig);
	for (uint32_t round = 0; round < 4; round++) {
		const stream_id id = rig_accept(&rig, &client);

		if (round == 1)
			client_send(client, "abc", 3);
		if (round == 2)
			assert_int_equal(stream_write(rig.core, id, data, MIB),
					 0);
		if (round == 3)
			stream_pause(rig.core, id);
		if (round != 0)
			rig_poll(&rig);
		stream_abort(rig.core, id);
		rig.event_next = rig.event_count;
		rig_expect_silence(&rig);
		client_expect_reset(&rig, client);
		close(client);
		rig_expect_empty(&rig);
	}
	assert_int_equal(rig_counters(&rig).aborts, 4);
	rig_stop(&rig);
	free(data);
}

/* Closing one connection while the events of others are handled. */
static void
ends_connections_whose_events_are_still_in_the_array(void **state)
{
	enum { CLIENTS = 10 };
	int clients[CLIENTS];
	struct rig rig;

	(void)state;
	rig_start(&rig);
	for (uint32_t i = 0; i < CLIENTS; i++)
		rig_accept(&rig, &clients[i]);
	rig_expect_silence(&rig);
	for (uint32_t i = 0; i < CLIENTS; i++)
		client_send(clients[i], "abc", 3);
	while (rig_poll(&rig) < CLIENTS)
		usleep(100);
	for (uint32_t i = 0; i < CLIENTS; i++)
		if (i % 2 == 0)
			stream_close(rig.core, rig.events[i].id);
		else
			stream_abort(rig.core, rig.events[i].id);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		assert_null(stream_pull(rig.core, rig.events[i].id, 3));
		stream_consume(rig.core, rig.events[i].id, 3);
	}
	rig.event_next = rig.event_count;
	rig_expect_silence(&rig);
	for (uint32_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
	rig_expect_empty(&rig);
	rig_stop(&rig);
}

/* The leak checker of the sanitizer is the judge. */
static void
frees_everything_when_destroyed_in_full_swing(void **state)
{
	enum { CLIENTS = 6 };
	uint8_t *data = calloc(1, 8 * MIB);
	int clients[CLIENTS];
	stream_id ids[CLIENTS];
	struct rig rig;

	(void)state;
	rig_start(&rig);
	for (uint32_t i = 0; i < CLIENTS; i++)
		ids[i] = rig_accept(&rig, &clients[i]);
	client_send(clients[0], "abc", 3);
	assert_int_equal(stream_write(rig.core, ids[1], data, 8 * MIB), 0);
	assert_int_equal(stream_write(rig.core, ids[2], data, 8 * MIB), 0);
	stream_close(rig.core, ids[2]);
	stream_close(rig.core, ids[3]);
	stream_abort(rig.core, ids[4]);
	stream_pause(rig.core, ids[5]);
	stream_want(rig.core, ids[0], MIB);
	rig_poll(&rig);
	client_send(clients[5], "abc", 3);
	rig_poll(&rig);
	rig_core_destroy(rig.core);
	close(rig.doorbell_fd);
	client_expect_reset(NULL, clients[0]);
	client_expect_reset(NULL, clients[1]);
	for (uint32_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
	free(data);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			delivers_input_before_the_end_and_output_after_it),
		cmocka_unit_test(
			sends_all_output_that_was_queued_when_the_peer_finished),
		cmocka_unit_test(closes_when_the_rest_of_a_frame_cannot_come),
		cmocka_unit_test(tells_the_end_only_after_the_pause),
		cmocka_unit_test(reports_a_reset_in_the_middle_of_a_reply),
		cmocka_unit_test(reports_a_reset_of_an_idle_connection),
		cmocka_unit_test(reports_a_reset_of_a_paused_connection),
		cmocka_unit_test(gives_input_before_a_reset_one_last_chance),
		cmocka_unit_test(sends_what_is_queued_before_it_closes),
		cmocka_unit_test(closes_a_paused_connection),
		cmocka_unit_test(keeps_no_input_of_a_closed_connection),
		cmocka_unit_test(resets_who_does_not_let_it_close),
		cmocka_unit_test(wakes_up_to_end_lingering),
		cmocka_unit_test(aborts_with_reset),
		cmocka_unit_test(
			ends_connections_whose_events_are_still_in_the_array),
		cmocka_unit_test(frees_everything_when_destroyed_in_full_swing),
	};

	rig_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
