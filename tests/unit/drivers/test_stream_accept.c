/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    connections come and go within the limits: per host, in all, of the
 *         core, of the process; ports and addresses are what was asked for; own
 *         connects succeed or fail as reported.
 * Method  one or two cores of the implementation under test and plain sockets
 *         (stream_rig.h), all on the loopback with ports of the system's
 * choice.
 */
#include "stream_rig.h"

#include <arpa/inet.h>

static void
resets_whoever_is_above_the_limit_per_host(void **state)
{
	struct stream_listener listener = rig_listener();
	const struct stream_config config = rig_config();
	struct stream_limits *limits;
	int clients[4], extra;
	stream_id ids[4];
	struct rig rig;

	(void)state;
	assert_int_equal(stream_limits_create(64, 0, 3, &limits), 0);
	listener.limits = limits;
	rig_open(&rig, &config, &listener);
	for (uint32_t i = 0; i < 3; i++)
		ids[i] = rig_accept(&rig, &clients[i]);
	extra = client_open(rig.port);
	client_expect_reset(&rig, extra);
	close(extra);
	assert_int_equal(rig_counters(&rig).refused_host, 1);
	assert_int_equal(rig_counters(&rig).accepts, 3);
	assert_int_equal(stream_limits_count(limits, NULL), 3);

	/* Each way of going gives the place back at once. */
	stream_close(rig.core, ids[0]);
	assert_int_equal(stream_limits_count(limits, NULL), 2);
	ids[0] = rig_accept(&rig, &extra);
	close(clients[0]);
	clients[0] = extra;
	stream_abort(rig.core, ids[1]);
	assert_int_equal(stream_limits_count(limits, NULL), 2);
	close(clients[1]);
	ids[1] = rig_accept(&rig, &clients[1]);
	/* The end of one and the start of the next in one poll. */
	close(clients[2]);
	clients[2] = client_open(rig.port);
	rig_expect_closed(&rig, ids[2], STREAM_FINISHED);
	ids[2] = rig_expect(&rig, STREAM_OPENED);
	assert_int_equal(rig_counters(&rig).refused_host, 1);
	assert_int_equal(stream_limits_count(limits, NULL), 3);
	for (uint32_t i = 0; i < 3; i++)
		close(clients[i]);
	rig_stop(&rig);
	assert_int_equal(stream_limits_count(limits, NULL), 0);
	stream_limits_destroy(limits);
}

static void
shares_limits_between_cores(void **state)
{
	struct stream_listener listener = rig_listener();
	const struct stream_config config = rig_config();
	struct stream_limits *limits;
	struct rig first, second;
	int clients[3];

	(void)state;
	assert_int_equal(stream_limits_create(64, 2, 0, &limits), 0);
	listener.limits = limits;
	rig_open(&first, &config, &listener);
	rig_open(&second, &config, &listener);
	rig_accept(&first, &clients[0]);
	rig_accept(&second, &clients[1]);
	clients[2] = client_open(first.port);
	client_expect_reset(&first, clients[2]);
	assert_int_equal(rig_counters(&first).refused_total, 1);
	stream_limits_set(limits, 0, 0);
	close(clients[2]);
	rig_accept(&first, &clients[2]);
	assert_int_equal(stream_limits_count(limits, NULL), 3);
	for (uint32_t i = 0; i < 3; i++)
		close(clients[i]);
	rig_stop(&first);
	rig_stop(&second);
	stream_limits_destroy(limits);
}

static void
resets_whoever_finds_no_slot(void **state)
{
	struct stream_listener listener = rig_listener();
	struct stream_config config = rig_config();
	struct stream_limits *limits;
	int clients[3];
	struct rig rig;

	(void)state;
	config.stream_limit = 2;
	assert_int_equal(stream_limits_create(64, 0, 0, &limits), 0);
	listener.limits = limits;
	rig_open(&rig, &config, &listener);

	const stream_id id = rig_accept(&rig, &clients[0]);

	rig_accept(&rig, &clients[1]);
	clients[2] = client_open(rig.port);
	client_expect_reset(&rig, clients[2]);
	close(clients[2]);
	assert_int_equal(rig_counters(&rig).refused_core, 1);
	assert_int_equal(stream_limits_count(limits, NULL), 2);
	stream_abort(rig.core, id);
	rig_expect_silence(&rig);
	rig_accept(&rig, &clients[2]);
	for (uint32_t i = 0; i < 3; i++)
		close(clients[i]);
	rig_stop(&rig);
	stream_limits_destroy(limits);
}

static void
serves_thousands_of_connections_with_a_small_event_array(void **state)
{
	enum { CLIENTS = 2000 };
	/* Each send to our own TCP waits until its ACK is not delayed. */
	const uint32_t rounds = rig_is_tcp ? 1 : 3;
	struct stream_listener listener = rig_listener();
	struct stream_config config = rig_config();
	static int clients[CLIENTS];
	static stream_id ids[CLIENTS];
	struct stream_event events[STREAM_EVENTS_MIN];
	struct rig rig;

	(void)state;
	config.stream_limit = CLIENTS;
	rig_open(&rig, &config, &listener);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		ids[i] = rig_accept(&rig, &clients[i]);
		assert_int_equal(stream_index(ids[i]), i);
	}
	for (uint32_t round = 0; round < rounds; round++) {
		uint32_t served = 0;

		for (uint32_t i = 0; i < CLIENTS; i++)
			client_send(clients[i], &i, sizeof(i));
		while (served < CLIENTS) {
			const uint32_t count =
				stream_poll(rig.core, rig_now(&rig), events,
					    STREAM_EVENTS_MIN);

			assert_true(count <= STREAM_EVENTS_MIN);
			for (uint32_t e = 0; e < count; e++) {
				const stream_id id = events[e].id;
				const void *in = stream_pull(rig.core, id, 4);

				assert_int_equal(events[e].kind,
						 STREAM_READABLE);
				assert_non_null(in);
				assert_int_equal(
					stream_write(rig.core, id, in, 4), 0);
				stream_consume(rig.core, id, 4);
				served++;
			}
			stream_flush(rig.core);
		}
		for (uint32_t i = 0; i < CLIENTS; i++) {
			uint32_t back = UINT32_MAX;

			client_recv(clients[i], &back, sizeof(back));
			assert_int_equal(back, i);
		}
	}
	assert_int_equal(rig_counters(&rig).connections, CLIENTS);
	for (uint32_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
	RIG_AWAIT_COUNTER(&rig, connections, 0);
	assert_int_equal(rig_counters(&rig).finished, CLIENTS);
	rig_stop(&rig);
}

/* A connection that always has something to say does not keep the others from
 * being heard. */
static void
starves_nobody_when_the_event_array_is_full(void **state)
{
	enum { CLIENTS = 20 };
	struct stream_event events[STREAM_EVENTS_MIN];
	bool was_heard[CLIENTS] = {false};
	stream_id ids[CLIENTS];
	int clients[CLIENTS];
	uint32_t heard = 0;
	struct rig rig;

	(void)state;
	rig_start(&rig);
	for (uint32_t i = 0; i < CLIENTS; i++)
		ids[i] = rig_accept(&rig, &clients[i]);
	rig_expect_silence(&rig);
	for (uint32_t i = 0; i < CLIENTS; i++)
		client_send(clients[i], "never consumed", 14);
	for (uint32_t polls = 0; polls < 4 * CLIENTS && heard < CLIENTS;
	     polls++) {
		stream_flush(rig.core);

		const uint32_t count = stream_poll(rig.core, rig_now(&rig),
						   events, STREAM_EVENTS_MIN);

		for (uint32_t e = 0; e < count; e++)
			for (uint32_t i = 0; i < CLIENTS; i++)
				if (ids[i] == events[e].id && !was_heard[i]) {
					was_heard[i] = true;
					heard++;
				}
	}
	assert_int_equal(heard, CLIENTS);
	for (uint32_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
	rig_stop(&rig);
}

/* ---- no descriptors ---- */

enum { FILES_MAX = 64 };

/* All descriptors of a process that may have FILES_MAX. */
struct files {
	struct rlimit before;
	uint32_t count;
	int taken[FILES_MAX];
};

static void
files_limit(rlim_t max)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Before the core starts: io_uring takes the limit of when an accept begins. */
static void
files_begin(struct files *files)
{
	files->count = 0;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files->before), 0);
	files_limit(FILES_MAX);
}

static void
files_take_all(struct files *files)
{
	int fd;

	while ((fd = dup(0)) >= 0) {
		assert_true(files->count < FILES_MAX);
		files->taken[files->count++] = fd;
	}
	assert_int_equal(errno, EMFILE);
}

static void
files_give(struct files *files, uint32_t count)
{
	assert_true(count <= files->count);
	while (count-- > 0)
		close(files->taken[--files->count]);
}

static void
files_end(struct files *files)
{
	files_give(files, files->count);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files->before), 0);
}

static void
sheds_connections_when_descriptors_run_out(void **state)
{
	struct files files;
	int clients[4], served;
	struct rig rig;

	(void)state;
	RIG_SOCKETS_ONLY();
	files_begin(&files);
	rig_start(&rig);
	rig_expect_silence(&rig);
	served = client_open(rig.port);
	for (uint32_t i = 0; i < 3; i++)
		clients[i] = client_open(rig.port);
	files_take_all(&files);
	files_give(&files, 1);

	/* One descriptor is left: the first gets it, the others are reset. */
	const stream_id id = rig_expect(&rig, STREAM_OPENED);

	for (uint32_t i = 0; i < 3; i++) {
		client_expect_reset(&rig, clients[i]);
		close(clients[i]);
		files_take_all(&files);
	}
	assert_int_equal(rig_counters(&rig).accept_no_file, 3);
	client_send(served, "still here", 10);
	rig_expect(&rig, STREAM_READABLE);
	stream_consume(rig.core, id, 10);
	files_give(&files, 2);
	rig_accept(&rig, &clients[3]);
	close(clients[3]);
	close(served);
	rig_stop(&rig);
	files_end(&files);
}

/* Runs the loop for 50 ms; it must sleep nearly all the time. */
static void
rig_expect_rest(struct rig *rig)
{
	const uint64_t start_ns = clock_os_now_ns();
	const uint64_t polls = rig_counters(rig).polls;

	while (clock_os_now_ns() - start_ns < 50 * NS_PER_MS) {
		assert_int_equal(rig_poll(rig), 0);
		stream_wait(rig->core, 50 * NS_PER_MS);
	}
	assert_true(rig_counters(rig).polls - polls < 20);
}

/* Somebody else takes even the reserve: no busy loop, and it recovers. */
static void
rests_when_it_cannot_even_shed(void **state)
{
	struct files files;
	struct rig rig;
	int client;

	(void)state;
	RIG_SOCKETS_ONLY();
	files_begin(&files);
	rig_start(&rig);
	rig_expect_silence(&rig);
	client = client_open(rig.port);
	files_take_all(&files);
	/* A limit below what is in use: the reserve cannot be had again. */
	files_limit(3);
	rig_expect_rest(&rig);
	assert_int_equal(rig_counters(&rig).accept_no_file, 1);
	assert_int_equal(rig_counters(&rig).accepts, 0);
	files_limit(FILES_MAX);
	files_give(&files, 3);
	rig.skew_ns += NS_PER_S;

	const stream_id id = rig_expect(&rig, STREAM_OPENED);

	close(client);
	rig_expect_closed(&rig, id, STREAM_FINISHED);
	rig_expect_silence(&rig);
	/* The reserve is back as well. */
	client = client_open(rig.port);
	files_take_all(&files);
	client_expect_reset(&rig, client);
	close(client);
	files_take_all(&files);
	/* Without anybody waiting there is nothing to do. */
	rig_expect_rest(&rig);
	rig_stop(&rig);
	files_end(&files);
}

static void
reports_missing_descriptors(void **state)
{
	struct stream_listener listener = rig_listener();
	const struct stream_config config = rig_config();
	struct stream_target target = {0};
	struct stream_core *core;
	struct stream_error error;
	struct files files;
	struct rig rig;
	stream_id id;

	(void)state;
	RIG_SOCKETS_ONLY();
	files_begin(&files);
	rig_start(&rig);
	files_take_all(&files);
	target.address = stream_address_ipv4(0x7f000001, rig.port);
	assert_int_equal(stream_connect(rig.core, &target, &id, &error),
			 FAL_ELIMIT);
	assert_non_null(strstr(error.text, "Too many open files"));
	listener.tag = 1;
	assert_int_equal(stream_listen(rig.core, &listener, NULL, &error),
			 FAL_ELIMIT);
	for (uint32_t spare = 0; spare < 2; spare++) {
		assert_int_equal(rig_core_create(&config, &core), FAL_ELIMIT);
		files_give(&files, 1);
	}
	files_end(&files);
	rig_stop(&rig);
}

/* ---- listening ---- */

static void
says_so_when_a_port_is_taken(void **state)
{
	struct stream_listener listener = rig_listener();
	const struct stream_config config = rig_config();
	struct stream_core *second;
	struct stream_error error;
	char expected[80];
	struct rig rig;

	(void)state;
	RIG_SOCKETS_ONLY();
	rig_start(&rig);
	assert_int_equal(rig_core_create(&config, &second), 0);
	listener.address.port = rig.port;
	assert_int_equal(stream_listen(second, &listener, NULL, &error),
			 FAL_EBUSY);
	snprintf(expected, sizeof(expected),
		 "127.0.0.1:%u: Address already in use", rig.port);
	assert_non_null(strstr(error.text, expected));
	listener.address = stream_address_ipv4(0x08080808, 0);
	assert_int_equal(stream_listen(second, &listener, NULL, &error),
			 FAL_EINVAL);
	assert_non_null(strstr(error.text, "bind 8.8.8.8:0"));
	rig_core_destroy(second);
	rig_stop(&rig);
}

static void
shares_a_port_between_cores_but_with_nobody_else(void **state)
{
	struct stream_listener listener = rig_listener();
	const struct stream_config config = rig_config();
	struct rig rigs[2];
	struct stream_core *stranger;
	int clients[64];

	(void)state;
	RIG_SOCKETS_ONLY();
	listener.is_shared = true;
	listener.is_first = true;
	rig_open(&rigs[0], &config, &listener);
	listener.address.port = rigs[0].port;
	listener.is_first = false;
	rig_open(&rigs[1], &config, &listener);
	assert_int_equal(rigs[0].port, rigs[1].port);

	/* A second server with the same configuration. */
	listener.is_first = true;
	assert_int_equal(rig_core_create(&config, &stranger), 0);
	assert_int_equal(stream_listen(stranger, &listener, NULL, NULL),
			 FAL_EBUSY);
	rig_core_destroy(stranger);

	for (uint32_t i = 0; i < 64; i++)
		clients[i] = client_open(rigs[0].port);
	for (uint32_t i = 0; i < 64; i++) {
		while (rig_counters(&rigs[0]).accepts +
			       rig_counters(&rigs[1]).accepts <=
		       i) {
			rig_poll(&rigs[0]);
			rig_poll(&rigs[1]);
		}
	}
	/* The kernel spreads by a hash: all 64 on one side has odds 2^-63. */
	assert_true(rig_counters(&rigs[0]).accepts > 0);
	assert_true(rig_counters(&rigs[1]).accepts > 0);
	for (uint32_t i = 0; i < 64; i++)
		close(clients[i]);
	rig_stop(&rigs[0]);
	rig_stop(&rigs[1]);
}

static void
stops_listening_by_tag(void **state)
{
	struct stream_listener listener = rig_listener();
	struct stream_address bound;
	struct rig rig;
	uint8_t byte;
	int client;

	(void)state;
	rig_start(&rig);

	const stream_id id = rig_accept(&rig, &client);

	listener.tag = 5;
	assert_int_equal(stream_listen(rig.core, &listener, &bound, NULL), 0);
	assert_int_equal(stream_unlisten(rig.core, 6), 0);
	assert_int_equal(stream_unlisten(rig.core, RIG_TAG), 1);
	assert_int_equal(stream_unlisten(rig.core, RIG_TAG), 0);

	const int refused = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(rig.port),
		.sin_addr.s_addr = htonl(rig_is_tcp ? rig_tcp_address(rig.port)
						    : INADDR_LOOPBACK),
	};

	assert_int_equal(rig_is_tcp ? rig_tcp_connect(refused, &address)
				    : connect(refused,
					      (const struct sockaddr *)&address,
					      sizeof(address)),
			 -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(refused);

	/* What it accepted lives on, and so does the other listener. */
	assert_int_equal(stream_write(rig.core, id, "x", 1), 0);
	rig_expect_silence(&rig);
	client_recv(client, &byte, 1);
	close(client);
	rig_expect_closed(&rig, id, STREAM_FINISHED);
	client = client_open(bound.port);

	const struct stream_event event = rig_event(&rig);

	assert_int_equal(event.kind, STREAM_OPENED);
	assert_int_equal(event.tag, 5);
	close(client);

	/* The place is free for a new one. */
	listener.tag = RIG_TAG;
	listener.address.port = rig.port;
	assert_int_equal(stream_listen(rig.core, &listener, &bound, NULL), 0);
	rig_poll(&rig);
	rig.event_next = rig.event_count;
	client = client_open(rig.port);
	while (rig_counters(&rig).accepts != 3)
		rig_poll(&rig);
	close(client);
	rig_stop(&rig);
}

static void
allows_sixteen_listeners(void **state)
{
	struct stream_listener listener = rig_listener();
	struct rig rig;

	(void)state;
	rig_start(&rig);
	listener.tag = 1;
	for (uint32_t i = 1; i < 16; i++)
		assert_int_equal(stream_listen(rig.core, &listener, NULL, NULL),
				 0);
	assert_int_equal(stream_listen(rig.core, &listener, NULL, NULL),
			 FAL_ELIMIT);
	assert_int_equal(stream_unlisten(rig.core, 1), 15);
	rig_stop(&rig);
}

static void
speaks_ipv6(void **state)
{
	struct stream_listener listener = rig_listener();
	const struct stream_config config = rig_config();
	struct stream_target target = {.tag = 9};
	char text[STREAM_ADDRESS_TEXT_MAX];
	struct rig rig;
	stream_id id;

	(void)state;
	RIG_SOCKETS_ONLY();
	assert_int_equal(stream_address_parse("::1", 0, &listener.address), 0);
	rig_open(&rig, &config, &listener);
	target.address = listener.address;
	target.address.port = rig.port;
	assert_int_equal(stream_connect(rig.core, &target, &id, NULL), 0);
	for (uint32_t i = 0; i < 2; i++) {
		const struct stream_event event = rig_event(&rig);

		assert_int_equal(event.kind, STREAM_OPENED);
		assert_int_equal(event.tag, event.is_accepted ? RIG_TAG : 9);
		stream_address_host(stream_peer(rig.core, event.id), text);
		assert_string_equal(text, "0:0:0:0:0:0:0:1");
	}
	rig_stop(&rig);
}

/* ---- connecting ---- */

static void
connects_and_sends_what_was_queued_before(void **state)
{
	struct stream_target target = {.tag = 3};
	stream_id id = STREAM_NONE, accepted = STREAM_NONE;
	struct rig rig;

	(void)state;
	RIG_SOCKETS_ONLY();
	rig_start(&rig);
	target.address = stream_address_ipv4(0x7f000001, rig.port);
	assert_int_equal(stream_connect(rig.core, &target, &id, NULL), 0);
	assert_true(id != STREAM_NONE);
	assert_int_equal(stream_write(rig.core, id, "early", 5), 0);
	assert_int_equal(stream_peer(rig.core, id)->port, rig.port);
	for (uint32_t i = 0; i < 2; i++) {
		const struct stream_event event = rig_event(&rig);

		assert_int_equal(event.kind, STREAM_OPENED);
		if (event.is_accepted) {
			accepted = event.id;
			continue;
		}
		assert_true(event.id == id);
		assert_int_equal(event.tag, 3);
	}
	assert_true(rig_expect(&rig, STREAM_READABLE) == accepted);
	assert_memory_equal(stream_pull(rig.core, accepted, 5), "early", 5);
	stream_consume(rig.core, accepted, 5);
	assert_int_equal(stream_write(rig.core, accepted, "late", 4), 0);
	assert_true(rig_expect(&rig, STREAM_READABLE) == id);
	assert_memory_equal(stream_pull(rig.core, id, 4), "late", 4);
	stream_consume(rig.core, id, 4);
	stream_close(rig.core, accepted);
	rig_expect_closed(&rig, id, STREAM_FINISHED);
	assert_int_equal(rig_counters(&rig).connects, 1);
	RIG_AWAIT_COUNTER(&rig, lingering, 0);
	rig_stop(&rig);
}

static void
reports_a_refused_connect(void **state)
{
	struct stream_target target = {.tag = 4};
	struct stream_event event;
	struct rig rig;
	stream_id id;

	(void)state;
	RIG_SOCKETS_ONLY();
	rig_start(&rig);
	target.address = stream_address_ipv4(0x7f000001, rig.port);
	assert_int_equal(stream_unlisten(rig.core, RIG_TAG), 1);
	assert_int_equal(stream_connect(rig.core, &target, &id, NULL), 0);
	event = rig_event(&rig);
	assert_int_equal(event.kind, STREAM_CLOSED);
	assert_int_equal(event.reason, STREAM_REFUSED);
	assert_int_equal(event.tag, 4);
	assert_false(event.is_accepted);
	assert_true(event.id == id);
	rig_expect_silence(&rig);
	assert_int_equal(rig_counters(&rig).connections, 0);

	struct stream_error error;

	target.address = stream_address_any(rig.port);
	assert_int_equal(stream_connect(rig.core, &target, &id, &error),
			 FAL_EINVAL);
	assert_true(id == STREAM_NONE);
	assert_non_null(strstr(error.text, "connect [0:0:0:0:0:0:0:0]:"));
	rig_stop(&rig);
}

/* Sooner or later the system chooses the port that is connected to as the one
 * to come from: without the check that is OPENED, to oneself. Linux walks
 * through the even ports of its range for connects, 14,116 by default. */
static void
never_connects_to_itself(void **state)
{
	enum { TRIES = 16000 };
	struct stream_target target = {0};
	struct rig rig;
	stream_id id;

	(void)state;
	RIG_SOCKETS_ONLY();
	rig_start(&rig);
	assert_int_equal(stream_unlisten(rig.core, RIG_TAG), 1);
	target.address =
		stream_address_ipv4(0x7f000001, rig.port & (uint16_t)~1u);
	for (uint32_t i = 0; i < TRIES; i++) {
		assert_int_equal(stream_connect(rig.core, &target, &id, NULL),
				 0);
		stream_flush(rig.core);
		rig_expect_closed(&rig, id, STREAM_REFUSED);
	}
	rig_stop(&rig);
}

static void
can_give_up_a_connect(void **state)
{
	struct stream_target target = {.tag = 4};
	struct rig rig;
	stream_id id;

	(void)state;
	RIG_SOCKETS_ONLY();
	rig_start(&rig);
	target.address = stream_address_ipv4(0x7f000001, rig.port);
	assert_int_equal(stream_unlisten(rig.core, RIG_TAG), 1);
	assert_int_equal(stream_connect(rig.core, &target, &id, NULL), 0);
	stream_abort(rig.core, id);
	rig_expect_silence(&rig);
	assert_int_equal(stream_connect(rig.core, &target, &id, NULL), 0);
	stream_close(rig.core, id);
	rig_expect_silence(&rig);
	assert_int_equal(rig_counters(&rig).connections, 0);
	assert_int_equal(rig_counters(&rig).failed, 0);
	rig_stop(&rig);
}

static void
refuses_a_connect_without_a_slot(void **state)
{
	struct stream_listener listener = rig_listener();
	struct stream_config config = rig_config();
	struct stream_target target = {0};
	struct rig rig;
	stream_id id;
	int client;

	(void)state;
	config.stream_limit = 1;
	rig_open(&rig, &config, &listener);
	rig_accept(&rig, &client);
	target.address = stream_address_ipv4(rig_client_ip(&rig), rig.port);
	assert_int_equal(stream_connect(rig.core, &target, &id, NULL),
			 FAL_ELIMIT);
	assert_int_equal(rig_counters(&rig).connects, 0);
	close(client);
	rig_stop(&rig);
}

static void
refuses_a_configuration_that_makes_no_sense(void **state)
{
	struct stream_config config = rig_config();
	struct stream_core *core;

	(void)state;
	config.stream_limit = 0;
	assert_int_equal(rig_core_create(&config, &core), FAL_EINVAL);
	config.stream_limit = (1u << 20) + 1;
	assert_int_equal(rig_core_create(&config, &core), FAL_EINVAL);
	config.stream_limit = 10;
	config.frame_bytes_max = (1u << 30) + 1;
	assert_int_equal(rig_core_create(&config, &core), FAL_EINVAL);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resets_whoever_is_above_the_limit_per_host),
		cmocka_unit_test(shares_limits_between_cores),
		cmocka_unit_test(resets_whoever_finds_no_slot),
		cmocka_unit_test(
			serves_thousands_of_connections_with_a_small_event_array),
		cmocka_unit_test(starves_nobody_when_the_event_array_is_full),
		cmocka_unit_test(sheds_connections_when_descriptors_run_out),
		cmocka_unit_test(rests_when_it_cannot_even_shed),
		cmocka_unit_test(reports_missing_descriptors),
		cmocka_unit_test(says_so_when_a_port_is_taken),
		cmocka_unit_test(
			shares_a_port_between_cores_but_with_nobody_else),
		cmocka_unit_test(stops_listening_by_tag),
		cmocka_unit_test(allows_sixteen_listeners),
		cmocka_unit_test(speaks_ipv6),
		cmocka_unit_test(connects_and_sends_what_was_queued_before),
		cmocka_unit_test(reports_a_refused_connect),
		cmocka_unit_test(never_connects_to_itself),
		cmocka_unit_test(can_give_up_a_connect),
		cmocka_unit_test(refuses_a_connect_without_a_slot),
		cmocka_unit_test(refuses_a_configuration_that_makes_no_sense),
	};

	rig_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
