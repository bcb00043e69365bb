/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    cores on threads of their own share a port and the limits, sleep when
 *         idle, and wake for sockets and doorbells; the race detector is
 * silent. Method  two echo loops as a server has them: made by one thread, run
 * by another, with the idle ladder and the order of going to sleep of
 *         drivers/lcore.h; the test's thread is all clients and reads counters
 *         while they run.
 */
#include "stream_rig.h"

#include "drivers/lcore.h"

enum { CORES = 2, CLIENTS = 16, ROUNDS = 200 };

struct loop {
	struct lcore lcore;
	struct stream_core *streams;
	_Atomic uint32_t asked; /* by the test: do so much work */
	uint32_t done;
	_Atomic bool is_over;
};

static bool
loop_work(struct loop *loop)
{
	const uint32_t asked =
		atomic_load_explicit(&loop->asked, memory_order_acquire);
	const bool has_work = asked != loop->done;

	loop->done = asked;
	return has_work;
}

static void
loop_echo(struct loop *loop, const struct stream_event *event)
{
	struct stream_slice slices[STREAM_SLICES_MAX];

	if (event->kind != STREAM_READABLE)
		return;

	const uint32_t count = stream_peek(loop->streams, event->id, slices);
	uint32_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (stream_write(loop->streams, event->id, slices[i].data,
				 slices[i].bytes) != 0)
			abort();
		bytes += slices[i].bytes;
	}
	stream_consume(loop->streams, event->id, bytes);
}

static bool
loop_is_over(struct loop *loop)
{
	return atomic_load_explicit(&loop->is_over, memory_order_acquire);
}

static void *
loop_main(void *arg)
{
	struct stream_event events[RIG_EVENTS];
	struct loop *loop = arg;
	struct idle idle;

	if (rig_is_tcp)
		rig_tcp_attach();
	idle_init(&idle, IDLE_POLICY_SLEEP, clock_now_ns());
	while (!loop_is_over(loop)) {
		const uint64_t now_ns = clock_now_ns();
		const uint32_t count =
			stream_poll(loop->streams, now_ns, events, RIG_EVENTS);
		const bool has_worked = loop_work(loop) || count > 0;

		for (uint32_t i = 0; i < count; i++)
			loop_echo(loop, &events[i]);
		stream_flush(loop->streams);

		const enum idle_step step =
			idle_step(&idle, has_worked, now_ns);

		if (step != IDLE_BLOCK) {
			idle_relax(step);
			continue;
		}
		lcore_sleep_begin(&loop->lcore);
		if (!loop_work(loop) && !loop_is_over(loop))
			stream_wait(loop->streams, UINT64_MAX);
		lcore_sleep_end(&loop->lcore);
	}
	if (rig_is_tcp)
		rig_tcp_detach();
	return loop;
}

/* Makes the cores on this thread and lets others run them. Returns the port
 * they share. */
static uint16_t
loops_start(struct loop *loops, struct stream_limits *limits, uint32_t queues)
{
	struct stream_config config = rig_config();
	struct stream_listener listener = rig_listener();

	/* With one queue, one core receives and sends for both. */
	if (rig_is_tcp)
		rig_tcp_shared_start(queues);
	memset(loops, 0, CORES * sizeof(*loops));
	listener.limits = limits;
	listener.is_shared = true;
	listener.is_first = true;
	for (uint32_t i = 0; i < CORES; i++) {
		struct loop *loop = &loops[i];

		assert_int_equal(lcore_init(&loop->lcore), 0);
		config.doorbell_fd = loop->lcore.event_fd;
		if (rig_is_tcp)
			assert_int_equal(rig_tcp_shared_create(&config, i,
							       &loop->lcore,
							       &loop->streams),
					 0);
		else
			assert_int_equal(
				rig_core_create(&config, &loop->streams), 0);
		assert_int_equal(stream_listen(loop->streams, &listener,
					       &listener.address, NULL),
				 0);
		listener.is_first = false;
	}
	for (uint32_t i = 0; i < CORES; i++)
		assert_int_equal(lcore_start(&loops[i].lcore, LCORE_ANY_CPU,
					     "reader", loop_main, &loops[i]),
				 0);
	return listener.address.port;
}

static void
loops_stop(struct loop *loops)
{
	for (uint32_t i = 0; i < CORES; i++) {
		atomic_store_explicit(&loops[i].is_over, true,
				      memory_order_release);
		lcore_doorbell(&loops[i].lcore);
		assert_ptr_equal(lcore_join(&loops[i].lcore), &loops[i]);
		stream_destroy(loops[i].streams);
		lcore_free(&loops[i].lcore);
	}
	if (rig_is_tcp)
		rig_tcp_shared_stop();
}

static struct stream_counters
loops_counters(const struct loop *loops)
{
	struct stream_counters sum = {0};

	for (uint32_t i = 0; i < CORES; i++) {
		struct stream_counters one;

		stream_counters_read(loops[i].streams, &one);
#define STREAM_COUNTER(name, what) sum.name += one.name;
		STREAM_COUNTERS(STREAM_COUNTER)
#undef STREAM_COUNTER
	}
	return sum;
}

/* Waits for what the loops do by themselves. */
static void
loops_await(const struct loop *loops, uint64_t accepts, uint64_t connections)
{
	const uint64_t deadline_ns = clock_os_now_ns() + RIG_PATIENCE_NS;

	for (;;) {
		const struct stream_counters sum = loops_counters(loops);

		if (sum.accepts == accepts && sum.connections == connections)
			return;
		assert_true(clock_os_now_ns() < deadline_ns);
		usleep(1000);
	}
}

static void
echo_from_two_cores(uint32_t queues)
{
	static struct loop loops[CORES];
	struct stream_limits *limits;
	int clients[CLIENTS];

	assert_int_equal(stream_limits_create(CORES * 64, 0, CLIENTS, &limits),
			 0);

	const uint16_t port = loops_start(loops, limits, queues);

	for (uint32_t i = 0; i < CLIENTS; i++)
		clients[i] = client_open(port);
	loops_await(loops, CLIENTS, CLIENTS);
	assert_int_equal(stream_limits_count(limits, NULL), CLIENTS);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		const uint32_t client = round * 7 % CLIENTS;
		uint32_t back = UINT32_MAX;

		client_send(clients[client], &round, sizeof(round));
		/* A doorbell among the bytes. */
		atomic_fetch_add_explicit(&loops[round % CORES].asked, 1,
					  memory_order_release);
		lcore_doorbell(&loops[round % CORES].lcore);
		client_recv(clients[client], &back, sizeof(back));
		assert_int_equal(back, round);
		/* Now and then they have time to fall asleep. */
		if (round % 8 == 0)
			usleep(500);
	}

	client_expect_refusal(port);
	assert_int_equal(loops_counters(loops).refused_host, 1);
	for (uint32_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
	loops_await(loops, CLIENTS, 0);
	assert_int_equal(stream_limits_count(limits, NULL), 0);
	assert_true(loops_counters(loops).waits > 0);
	for (uint32_t i = 0; i < CORES; i++) {
		struct stream_counters one;

		/* All on one side has odds 2^-15. */
		stream_counters_read(loops[i].streams, &one);
		assert_true(one.accepts > 0);
	}
	if (queues == 1)
		assert_true(rig_tcp_shared_handed() > ROUNDS / 4);
	loops_stop(loops);
	stream_limits_destroy(limits);
}

static void
echoes_from_two_cores_with_shared_limits(void **state)
{
	(void)state;
	echo_from_two_cores(CORES);
}

static void
hands_frames_over_where_a_device_has_one_queue(void **state)
{
	(void)state;
	if (!rig_is_tcp)
		skip();
	echo_from_two_cores(1);
}

static void
does_nothing_at_all_while_idle(void **state)
{
	static struct loop loops[CORES];
	int clients[CLIENTS];

	(void)state;

	const uint16_t port = loops_start(loops, NULL, CORES);

	for (uint32_t i = 0; i < CLIENTS; i++)
		clients[i] = client_open(port);
	loops_await(loops, CLIENTS, CLIENTS);
	usleep(20000);

	const struct stream_counters before = loops_counters(loops);

	usleep(200000);

	const struct stream_counters after = loops_counters(loops);

	assert_true(after.polls - before.polls < 10);
	for (uint32_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
	loops_stop(loops);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echoes_from_two_cores_with_shared_limits),
		cmocka_unit_test(
			hands_frames_over_where_a_device_has_one_queue),
		cmocka_unit_test(does_nothing_at_all_while_idle),
	};

	rig_main(argc, argv);
	clock_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
