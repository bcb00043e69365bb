/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    no order of calls, arrivals and ends loses or invents a byte, reports
 *         an event of a dead id, or leaves anything behind.
 * Method  two random walks: traffic of connections that stay, where counters of
 *         bytes are the model; lives of connections that end in every way,
 * where the set of living ids is the model. FAL_SEED repeats one, FAL_STEPS
 *         makes it longer.
 */
#include "stream_rig.h"

/* ---- traffic ---- */

enum { PAIRS = 8 };

struct pair {
	int client;
	stream_id id;
	uint64_t to_server, at_server; /* bytes sent and seen */
	uint64_t to_client, at_client;
};

static void
pair_client_step(struct pair *pair, uint64_t *seed)
{
	static uint8_t piece[40000];
	const size_t bytes = rig_random(seed) % 16 == 0
				     ? rig_random(seed) % sizeof(piece)
				     : rig_random(seed) % 200;
	ssize_t done;

	if (bytes == 0)
		return;
	if (rig_random(seed) % 2 == 0) {
		pattern_fill(piece, pair->to_server, bytes);
		done = send(pair->client, piece, bytes,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		pair->to_server += done > 0 ? (uint64_t)done : 0;
		return;
	}
	done = recv(pair->client, piece, bytes, MSG_DONTWAIT);
	if (done <= 0)
		return;
	pattern_check(piece, pair->at_client, (size_t)done);
	pair->at_client += (uint64_t)done;
}

static void
pair_write(struct rig *rig, struct pair *pair, uint64_t *seed)
{
	static uint8_t piece[60000];
	uint32_t bytes = (uint32_t)(rig_random(seed) % 8 == 0
					    ? rig_random(seed) % sizeof(piece)
					    : rig_random(seed) % 300);
	uint32_t got;

	if (rig_random(seed) % 2 == 0) {
		pattern_fill(piece, pair->to_client, bytes);
		if (stream_write(rig->core, pair->id, piece, bytes) == 0)
			pair->to_client += bytes;
		return;
	}

	uint8_t *out = stream_reserve(rig->core, pair->id, bytes, &got);

	if (out == NULL)
		return;
	assert_true(got >= bytes);
	if (rig_random(seed) % 4 == 0)
		bytes = bytes / 2;
	pattern_fill(out, pair->to_client, bytes);
	stream_commit(rig->core, pair->id, bytes);
	pair->to_client += bytes;
}

static void
pair_read(struct rig *rig, struct pair *pair, uint64_t *seed)
{
	const uint32_t buffered = stream_buffered(rig->core, pair->id);
	uint32_t bytes = 1 + (uint32_t)(rig_random(seed) % 30000);

	if (rig_random(seed) % 3 == 0)
		bytes = buffered;
	if (bytes == 0)
		return;

	const uint8_t *in = stream_pull(rig->core, pair->id, bytes);

	assert_int_equal(in != NULL, bytes <= buffered);
	if (in == NULL)
		return;
	pattern_check(in, pair->at_server, bytes);
	stream_consume(rig->core, pair->id, bytes);
	pair->at_server += bytes;
}

/* A request of any length and an answer to it. */
static void
pair_answer(struct rig *rig, struct pair *pair, uint64_t *seed)
{
	const uint32_t buffered = stream_buffered(rig->core, pair->id);
	const uint32_t bytes = 1 + (uint32_t)(rig_random(seed) % 600);
	const uint32_t used = 1 + (uint32_t)(rig_random(seed) % bytes);
	uint32_t consumed = buffered, got;
	uint8_t *out;

	if (rig_random(seed) % 4 == 0 && buffered > 0)
		consumed = 1 + (uint32_t)(rig_random(seed) % buffered);
	if (consumed == 0)
		return;

	const uint8_t *in = stream_pull(rig->core, pair->id, consumed);

	assert_non_null(in);
	out = stream_answer_begin(rig->core, pair->id, bytes, &got);
	if (out == NULL)
		return;
	assert_true(got >= bytes);
	assert_int_equal(stream_unsent(rig->core, pair->id), 0);
	if (rig_random(seed) % 8 == 0)
		return; /* thought better of it */
	pattern_check(in, pair->at_server, consumed);
	pattern_fill(out, pair->to_client, used);
	stream_answer_end(rig->core, pair->id, used, consumed);
	pair->at_server += consumed;
	pair->to_client += used;
}

/* What an event shows is what is there. */
static void
pairs_see(struct rig *rig, const struct pair *pairs)
{
	for (uint32_t i = 0; i < rig->event_count; i++) {
		const struct stream_event *event = &rig->events[i];

		for (uint32_t k = 0; k < PAIRS && event->data != NULL; k++) {
			if (pairs[k].id != event->id)
				continue;
			assert_int_equal(event->kind, STREAM_READABLE);
			assert_int_equal(event->bytes,
					 stream_buffered(rig->core, event->id));
			pattern_check(event->data, pairs[k].at_server,
				      event->bytes);
		}
	}
}

static void
pairs_finish(struct rig *rig, struct pair *pairs, uint64_t *seed)
{
	const uint64_t deadline_ns = clock_os_now_ns() + RIG_PATIENCE_NS;
	uint32_t done = 0;

	while (done < PAIRS) {
		assert_true(clock_os_now_ns() < deadline_ns);
		rig_poll(rig);
		done = 0;
		for (uint32_t i = 0; i < PAIRS; i++) {
			struct pair *pair = &pairs[i];

			stream_resume(rig->core, pair->id);
			stream_want(rig->core, pair->id, 1);
			pair_read(rig, pair, seed);
			if (pair->at_client < pair->to_client)
				pair_client_step(pair, seed);
			done += pair->at_client == pair->to_client &&
				pair->at_server == pair->to_server;
		}
	}
}

static void
loses_and_invents_no_byte_in_random_traffic(void **state)
{
	const char *steps_text = getenv("FAL_STEPS");
	const uint32_t steps =
		steps_text != NULL ? (uint32_t)atoi(steps_text) : 20000;
	struct stream_listener listener = rig_listener();
	struct stream_config config = rig_config();
	struct pair pairs[PAIRS] = {0};
	uint64_t seed = rig_seed();
	struct rig rig;

	(void)state;
	config.unsent_bytes_max = 500000;
	rig_open(&rig, &config, &listener);
	for (uint32_t i = 0; i < PAIRS; i++)
		pairs[i].id = rig_accept(&rig, &pairs[i].client);
	for (uint32_t step = 0; step < steps; step++) {
		struct pair *pair = &pairs[rig_random(&seed) % PAIRS];

		switch (rig_random(&seed) % 10) {
		case 0:
			rig_poll(&rig);
			pairs_see(&rig, pairs);
			break;
		case 8:
		case 9:
			pair_answer(&rig, pair, &seed);
			break;
		case 1:
		case 2:
			pair_write(&rig, pair, &seed);
			break;
		case 3:
		case 4:
			pair_read(&rig, pair, &seed);
			break;
		case 5:
			if (rig_random(&seed) % 8 == 0)
				stream_pause(rig.core, pair->id);
			else
				stream_resume(rig.core, pair->id);
			break;
		default:
			pair_client_step(pair, &seed);
			break;
		}
	}
	pairs_finish(&rig, pairs, &seed);
	/* With io_uring a receive that was started for a long frame may still
	 * hold its buffer. */
	if (!rig_is_uring)
		RIG_AWAIT_COUNTER(&rig, buffer_bytes, 0);
	for (uint32_t i = 0; i < PAIRS; i++) {
		assert_true(pairs[i].to_server > 0);
		assert_true(pairs[i].to_client > 0);
		close(pairs[i].client);
	}
	rig_stop(&rig);
}

/* ---- lives ---- */

/* What the model knows of a slot: whose id is alive. */
struct life {
	int client; /* -1: none */
	stream_id id;
	bool is_alive;
};

enum { LIVES = 12 };

static void
life_event(struct life *lives, const struct stream_event *event)
{
	for (uint32_t i = 0; i < LIVES; i++) {
		if (lives[i].client < 0 || lives[i].id != event->id)
			continue;
		assert_true(lives[i].is_alive);
		if (event->kind == STREAM_CLOSED)
			lives[i].is_alive = false;
		return;
	}
	fail_msg("an event of an id that was never given");
}

/* Takes all events of the last poll into the model. */
static void
life_events(struct rig *rig, struct life *lives)
{
	while (rig->event_next < rig->event_count)
		life_event(lives, &rig->events[rig->event_next++]);
}

static void
life_start(struct rig *rig, struct life *lives, struct life *life)
{
	life->client = client_open(rig->port);
	for (;;) {
		const struct stream_event event = rig_event(rig);

		if (event.kind != STREAM_OPENED) {
			life_event(lives, &event);
			continue;
		}
		life->id = event.id;
		life->is_alive = true;
		life_events(rig, lives);
		return;
	}
}

static void
life_step(struct rig *rig, struct life *life, uint64_t *seed)
{
	static uint8_t data[100000];
	const uint32_t bytes = (uint32_t)(rig_random(seed) % sizeof(data));

	switch (rig_random(seed) % 12) {
	case 0:
		stream_close(rig->core, life->id);
		life->is_alive = false;
		break;
	case 1:
		stream_abort(rig->core, life->id);
		life->is_alive = false;
		break;
	case 2:
		stream_pause(rig->core, life->id);
		break;
	case 3:
		stream_resume(rig->core, life->id);
		break;
	case 4:
	case 5:
		if (stream_write(rig->core, life->id, data, bytes) != 0)
			assert_false(life->is_alive);
		break;
	case 6:
		(void)stream_pull(rig->core, life->id, bytes + 1);
		break;
	case 7:
		stream_consume(rig->core, life->id,
			       stream_buffered(rig->core, life->id));
		break;
	case 8:
		(void)send(life->client, data, bytes,
			   MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 9:
		(void)recv(life->client, data, bytes, MSG_DONTWAIT);
		break;
	case 10:
		(void)shutdown(life->client, SHUT_WR);
		break;
	default:
		if (bytes % 2 == 0)
			close(life->client);
		else
			client_reset(life->client);
		/* The model forgets the client, the id goes on. */
		life->client = -1;
		stream_abort(rig->core, life->id);
		life->is_alive = false;
		break;
	}
}

static void
reports_no_event_of_the_dead_in_random_lives(void **state)
{
	const char *steps_text = getenv("FAL_STEPS");
	const uint32_t steps =
		steps_text != NULL ? (uint32_t)atoi(steps_text) : 10000;
	struct stream_listener listener = rig_listener();
	struct stream_config config = rig_config();
	uint64_t seed = rig_seed();
	struct life lives[LIVES];
	struct rig rig;

	(void)state;
	config.stream_limit = 4096;
	config.linger_ms = 20;
	rig_open(&rig, &config, &listener);
	for (uint32_t i = 0; i < LIVES; i++)
		lives[i] = (struct life){.client = -1};
	for (uint32_t step = 0; step < steps; step++) {
		struct life *life = &lives[rig_random(&seed) % LIVES];

		if (life->client < 0) {
			life_start(&rig, lives, life);
			continue;
		}
		if (!life->is_alive && rig_random(&seed) % 4 == 0) {
			close(life->client);
			life->client = -1;
			continue;
		}
		life_step(&rig, life, &seed);
		if (rig_random(&seed) % 4 != 0)
			continue;
		rig_poll(&rig);
		life_events(&rig, lives);
	}
	for (uint32_t i = 0; i < LIVES; i++) {
		if (lives[i].client >= 0)
			close(lives[i].client);
		stream_abort(rig.core, lives[i].id);
	}
	rig_expect_empty(&rig);
	rig_stop(&rig);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loses_and_invents_no_byte_in_random_traffic),
		cmocka_unit_test(reports_no_event_of_the_dead_in_random_lives),
	};

	rig_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
