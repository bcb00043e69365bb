/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    no allocation that fails does more harm than the header says:
 * creation reports it, a connection ends with STREAM_NO_MEMORY, a reserve or
 *         write is refused and leaves the output as it was. And none happens at
 *         all in steady state.
 * Method  the linker routes the allocator of the code under test through a
 *         counter (--wrap), which makes the n-th call fail, for every n that
 * one run of a story reaches.
 */
#include "stream_rig.h"

#define MIB (1u << 20)

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_aligned_alloc(size_t to, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_aligned_alloc(size_t to, size_t bytes);

static uint64_t allocations;  /* so far */
static uint64_t failing_call; /* fails when it is this one; 0: none */

static bool
is_refused(void)
{
	return ++allocations == failing_call;
}

void *
__wrap_malloc(size_t bytes)
{
	return is_refused() ? NULL : __real_malloc(bytes);
}

void *
__wrap_calloc(size_t count, size_t bytes)
{
	return is_refused() ? NULL : __real_calloc(count, bytes);
}

void *
__wrap_aligned_alloc(size_t to, size_t bytes)
{
	return is_refused() ? NULL : __real_aligned_alloc(to, bytes);
}

static void
reports_a_core_that_cannot_be_made(void **state)
{
	const struct stream_config config = rig_config();
	struct stream_core *core;
	uint32_t refused = 0;
	int err;

	(void)state;
	do {
		allocations = 0;
		failing_call = refused + 1;
		err = rig_core_create(&config, &core);
		if (err != 0) {
			assert_int_equal(err, FAL_ENOMEM);
			refused++;
		}
	} while (err != 0);
	failing_call = 0;
	assert_true(refused >= 2);
	rig_core_destroy(core);
}

/* What the story has seen. */
struct tale {
	bool is_closed;
	bool is_refused;
};

/* Reads a long frame, answers with a long one and many short ones. */
static struct tale
tale_run(struct rig *rig, stream_id id, int client)
{
	static uint8_t data[200000];
	struct tale tale = {false, false};
	uint32_t got;

	pattern_fill(data, 0, sizeof(data));
	client_send(client, data, sizeof(data));
	stream_want(rig->core, id, sizeof(data));

	const struct stream_event event = rig_event(rig);

	if (event.kind == STREAM_CLOSED) {
		assert_int_equal(event.reason, STREAM_NO_MEMORY);
		tale.is_closed = true;
		return tale;
	}
	assert_int_equal(event.kind, STREAM_READABLE);
	pattern_check(stream_pull(rig->core, id, sizeof(data)), 0,
		      sizeof(data));
	stream_consume(rig->core, id, sizeof(data));
	for (uint32_t i = 0; i < 40; i++) {
		const uint32_t before = stream_unsent(rig->core, id);
		const int err = stream_write(rig->core, id, data, 3000);

		if (err != 0) {
			assert_int_equal(err, FAL_ENOMEM);
			assert_int_equal(stream_unsent(rig->core, id), before);
			tale.is_refused = true;
		}
		if (stream_reserve(rig->core, id, 20000, &got) == NULL) {
			assert_int_equal(got, 0);
			tale.is_refused = true;
		}
		stream_commit(rig->core, id, 0);
	}
	return tale;
}

static void
ends_one_connection_and_no_other_when_memory_is_short(void **state)
{
	uint32_t closed = 0, refused = 0;
	uint64_t reached;

	(void)state;
	for (uint64_t call = 1;; call++) {
		struct rig rig;
		int client, other_client;

		rig_start(&rig);

		const stream_id id = rig_accept(&rig, &client);
		const stream_id other = rig_accept(&rig, &other_client);

		rig_expect_silence(&rig);
		allocations = 0;
		failing_call = call;

		const struct tale tale = tale_run(&rig, id, client);

		reached = allocations;
		failing_call = 0;
		closed += tale.is_closed;
		refused += tale.is_refused;
		stream_abort(rig.core, id);
		rig.event_next = rig.event_count;

		/* The other one never noticed. */
		client_send(other_client, "abc", 3);
		assert_true(rig_expect(&rig, STREAM_READABLE) == other);
		stream_consume(rig.core, other, 3);
		assert_int_equal(stream_write(rig.core, other, "x", 1), 0);
		close(client);
		close(other_client);
		rig_expect_closed(&rig, other, STREAM_FINISHED);
		rig_expect_empty(&rig);
		rig_stop(&rig);
		if (reached < call)
			break;
	}
	assert_true(closed > 0);
	assert_true(refused > 0);
}

static void
allocates_nothing_in_steady_state(void **state)
{
	enum { CLIENTS = 20, ROUNDS = 50 };
	uint8_t data[4000] = {0}, back[4000];
	int clients[CLIENTS];
	struct rig rig;

	(void)state;
	rig_start(&rig);
	for (uint32_t i = 0; i < CLIENTS; i++)
		rig_accept(&rig, &clients[i]);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint32_t served = 0;

		if (round == 2)
			allocations = 0;
		for (uint32_t i = 0; i < CLIENTS; i++)
			client_send(clients[i], data, sizeof(data));
		while (served < CLIENTS) {
			const stream_id id = rig_expect(&rig, STREAM_READABLE);
			const uint8_t *in =
				stream_pull(rig.core, id, sizeof(data));

			if (in == NULL)
				continue;
			assert_int_equal(
				stream_write(rig.core, id, in, sizeof(data)),
				0);
			stream_consume(rig.core, id, sizeof(data));
			served++;
		}
		rig_expect_silence(&rig);
		for (uint32_t i = 0; i < CLIENTS; i++)
			client_recv(clients[i], back, sizeof(back));
	}
	assert_int_equal(allocations, 0);
	for (uint32_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
	rig_stop(&rig);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_a_core_that_cannot_be_made),
		cmocka_unit_test(
			ends_one_connection_and_no_other_when_memory_is_short),
		cmocka_unit_test(allocates_nothing_in_steady_state),
	};

	rig_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
