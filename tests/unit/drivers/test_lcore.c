/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a doorbell is never lost, threads run where and as named, the idle
 *         ladder takes the documented steps.
 * Method  a consumer that sleeps without a timeout and producers that publish
 *         one word at a time and wait for its acknowledgement at random
 *         distances: a lost wake would hang until alarm(2) ends the program.
 * The ladder gets made-up times.
 */
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/time.h"
#include "drivers/background.h"
#include "drivers/clock.h"
#include "drivers/lcore.h"
#include "drivers/stream.h"

#define ROUNDS_DEFAULT 20000u
#define PRODUCERS      2u

/* ---- threads ---- */

struct seen {
	char name[LCORE_NAME_MAX];
	int cpu;
	bool blocks_signals;
};

static void *
look_around(void *arg)
{
	struct seen *seen = arg;
	sigset_t blocked;

	pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
	seen->cpu = sched_getcpu();
	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	seen->blocks_signals = sigismember(&blocked, SIGTERM) == 1 &&
			       sigismember(&blocked, SIGINT) == 1;
	return seen;
}

static void
runs_a_thread_where_and_as_named(void **state)
{
	struct lcore lcore;
	struct seen seen = {.cpu = -1};
	const int cpu = sched_getcpu();

	(void)state;
	assert_int_equal(lcore_init(&lcore), 0);
	assert_int_equal(lcore_start(&lcore, cpu, "reader-with-a-long-name",
				     look_around, &seen),
			 0);
	assert_ptr_equal(lcore_join(&lcore), &seen);
	assert_string_equal(seen.name, "reader-with-a-l");
	assert_int_equal(seen.cpu, cpu);
	assert_true(seen.blocks_signals);

	/* Again, anywhere. */
	assert_int_equal(
		lcore_start(&lcore, LCORE_ANY_CPU, "bg", look_around, &seen),
		0);
	assert_ptr_equal(lcore_join(&lcore), &seen);
	assert_string_equal(seen.name, "bg");
	lcore_free(&lcore);
}

static void
refuses_a_cpu_that_is_not_there(void **state)
{
	struct lcore lcore;
	struct seen seen;

	(void)state;
	assert_int_equal(lcore_init(&lcore), 0);
	assert_int_equal(lcore_start(&lcore, 1023, "x", look_around, &seen),
			 FAL_EINVAL);
	assert_int_equal(lcore_start(&lcore, 1 << 20, "x", look_around, &seen),
			 FAL_EINVAL);
	assert_int_equal(lcore_start(&lcore, -2, "x", look_around, &seen),
			 FAL_EINVAL);
	assert_false(lcore.is_started);
	lcore_free(&lcore);
	assert_int_equal(lcore_adopt(1023, "x"), FAL_EINVAL);
	assert_true(lcore_cpu_count() >= 1);
}

/* ---- doorbells ---- */

/* Words on lines of their own, as between cores. */
struct word {
	_Alignas(64) _Atomic uint64_t value;
};

struct exchange {
	struct lcore sleeper;
	struct word asked[PRODUCERS];
	struct word answered[PRODUCERS];
	_Atomic bool is_over;
	uint64_t rounds;
	struct stream_core *streams; /* NULL: lcore_wait() */
	uint64_t sleeps;             /* the sleeper's */
};

static bool
answer_all(struct exchange *exchange)
{
	bool has_worked = false;

	for (uint32_t i = 0; i < PRODUCERS; i++) {
		const uint64_t asked = atomic_load_explicit(
			&exchange->asked[i].value, memory_order_acquire);

		/* The answer is this thread's own word. */
		if (asked == atomic_load_explicit(&exchange->answered[i].value,
						  memory_order_relaxed))
			continue;
		atomic_store_explicit(&exchange->answered[i].value, asked,
				      memory_order_release);
		has_worked = true;
	}
	return has_worked;
}

static bool
is_over(struct exchange *exchange)
{
	return atomic_load_explicit(&exchange->is_over, memory_order_acquire);
}

static void *
sleeper_main(void *arg)
{
	struct stream_event events[STREAM_EVENTS_MIN];
	struct exchange *exchange = arg;

	while (!is_over(exchange)) {
		if (exchange->streams != NULL)
			stream_poll(exchange->streams, clock_os_now_ns(),
				    events, STREAM_EVENTS_MIN);
		if (answer_all(exchange))
			continue;
		lcore_sleep_begin(&exchange->sleeper);
		if (!answer_all(exchange) && !is_over(exchange)) {
			exchange->sleeps++;
			if (exchange->streams != NULL)
				stream_wait(exchange->streams, UINT64_MAX);
			else
				lcore_wait(&exchange->sleeper, UINT64_MAX);
		}
		lcore_sleep_end(&exchange->sleeper);
	}
	return exchange;
}

struct producer {
	struct exchange *exchange;
	uint32_t index;
	struct lcore lcore;
};

static void *
producer_main(void *arg)
{
	struct producer *producer = arg;
	struct exchange *exchange = producer->exchange;
	struct word *asked = &exchange->asked[producer->index];
	struct word *answered = &exchange->answered[producer->index];
	unsigned seed = producer->index;

	for (uint64_t round = 1; round <= exchange->rounds; round++) {
		atomic_store_explicit(&asked->value, round,
				      memory_order_release);
		lcore_doorbell(&exchange->sleeper);
		while (atomic_load_explicit(&answered->value,
					    memory_order_acquire) != round)
			sched_yield();
		/* The next one hits the sleeper at any point of its way to
		 * bed. */
		for (int spin = rand_r(&seed) % 2000; spin > 0; spin--)
			atomic_signal_fence(memory_order_seq_cst);
	}
	return NULL;
}

static void
exchange_run(struct exchange *exchange)
{
	const char *rounds = getenv("FAL_STEPS");
	struct producer producers[PRODUCERS];

	exchange->rounds =
		rounds != NULL ? strtoull(rounds, NULL, 0) : ROUNDS_DEFAULT;
	assert_int_equal(lcore_start(&exchange->sleeper, LCORE_ANY_CPU,
				     "sleeper", sleeper_main, exchange),
			 0);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		producers[i].exchange = exchange;
		producers[i].index = i;
		assert_int_equal(lcore_init(&producers[i].lcore), 0);
		assert_int_equal(lcore_start(&producers[i].lcore, LCORE_ANY_CPU,
					     "producer", producer_main,
					     &producers[i]),
				 0);
	}
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		lcore_join(&producers[i].lcore);
		lcore_free(&producers[i].lcore);
		assert_int_equal(atomic_load(&exchange->answered[i].value),
				 exchange->rounds);
	}
	atomic_store_explicit(&exchange->is_over, true, memory_order_release);
	lcore_doorbell(&exchange->sleeper);
	assert_ptr_equal(lcore_join(&exchange->sleeper), exchange);
	print_message("%llu rounds, %llu sleeps\n",
		      (unsigned long long)(PRODUCERS * exchange->rounds),
		      (unsigned long long)exchange->sleeps);
	assert_true(exchange->sleeps > 0);
}

static void
loses_no_doorbell_while_waiting_on_it_alone(void **state)
{
	static struct exchange exchange;

	(void)state;
	memset(&exchange, 0, sizeof(exchange));
	assert_int_equal(lcore_init(&exchange.sleeper), 0);
	exchange_run(&exchange);
	lcore_free(&exchange.sleeper);
}

/* The same with the doorbell inside stream_wait(). */
static void
streams_exchange(bool is_uring)
{
	static struct exchange exchange;
	struct stream_config config = {.stream_limit = 1};

	memset(&exchange, 0, sizeof(exchange));
	assert_int_equal(lcore_init(&exchange.sleeper), 0);
	config.doorbell_fd = exchange.sleeper.event_fd;
	assert_int_equal(
		is_uring ? stream_uring_create(&config, &exchange.streams)
			 : stream_epoll_create(&config, &exchange.streams),
		0);
	exchange_run(&exchange);
	stream_destroy(exchange.streams);
	lcore_free(&exchange.sleeper);
}

static void
loses_no_doorbell_in_epoll(void **state)
{
	(void)state;
	streams_exchange(false);
}

static void
loses_no_doorbell_in_io_uring(void **state)
{
	struct stream_error error;

	(void)state;
	if (!stream_uring_probe(&error)) {
		print_message("NOT TESTED, no io_uring here: %s\n", error.text);
		skip();
	}
	streams_exchange(true);
}

static bool
is_readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

static void
writes_only_to_who_sleeps_and_only_once(void **state)
{
	struct lcore lcore;
	uint64_t rung = 0;

	(void)state;
	assert_int_equal(lcore_init(&lcore), 0);
	lcore_doorbell(&lcore);
	assert_false(is_readable(lcore.event_fd));
	lcore_sleep_begin(&lcore);
	lcore_doorbell(&lcore);
	lcore_doorbell(&lcore);
	lcore_doorbell(&lcore);
	assert_int_equal(read(lcore.event_fd, &rung, sizeof(rung)), 8);
	assert_int_equal(rung, 1);
	lcore_sleep_end(&lcore);
	lcore_doorbell(&lcore);
	assert_false(is_readable(lcore.event_fd));
	/* An order reaches who is not asleep yet. */
	lcore_wake(&lcore);
	lcore_sleep_begin(&lcore);
	assert_true(lcore_wait(&lcore, UINT64_MAX));
	lcore_sleep_end(&lcore);
	lcore.never_sleeps = 1;
	atomic_store(&lcore.asleep, 1);
	lcore_doorbell(&lcore);
	assert_false(is_readable(lcore.event_fd));
	lcore_free(&lcore);
}

static void
waits_no_longer_than_told(void **state)
{
	struct lcore lcore;
	uint64_t start_ns;

	(void)state;
	assert_int_equal(lcore_init(&lcore), 0);
	lcore_sleep_begin(&lcore);
	start_ns = clock_os_now_ns();
	assert_false(lcore_wait(&lcore, 20 * NS_PER_MS));
	assert_true(clock_os_now_ns() - start_ns >= 20 * NS_PER_MS);
	lcore_doorbell(&lcore);
	assert_true(lcore_wait(&lcore, UINT64_MAX));
	assert_false(lcore_wait(&lcore, 0));
	lcore_sleep_end(&lcore);
	lcore_free(&lcore);
}

/* ---- the ladder ---- */

/* Steps every microsecond without work; tells after how many microseconds the
 * step appears first, or `limit`. */
static uint64_t
first_us(struct idle *idle, uint64_t now_ns, enum idle_step step,
	 uint64_t limit)
{
	for (uint64_t us = 0; us < limit; us++)
		if (idle_step(idle, false, now_ns + us * NS_PER_US) == step)
			return us;
	return limit;
}

static void
ladder_of_sleep_goes_down_after_2_us(void **state)
{
	struct idle idle;

	(void)state;
	idle_init(&idle, IDLE_POLICY_SLEEP, NS_PER_S);
	assert_int_equal(idle_step(&idle, true, NS_PER_S), IDLE_SPIN);
	assert_int_equal(idle_step(&idle, false, NS_PER_S + 1), IDLE_SPIN);
	assert_int_equal(idle_step(&idle, false, NS_PER_S + 2), IDLE_PAUSE);
	assert_int_equal(first_us(&idle, NS_PER_S + 2, IDLE_BLOCK, 1000), 2);
	/* Waking without work is not a reason to spin again ... */
	assert_int_equal(idle_step(&idle, false, 2 * NS_PER_S), IDLE_BLOCK);
	/* ... work is. */
	assert_int_equal(idle_step(&idle, true, 2 * NS_PER_S), IDLE_SPIN);
	assert_int_equal(first_us(&idle, 2 * NS_PER_S, IDLE_BLOCK, 1000), 2);
}

static void
ladder_of_sleep_yields_first_when_work_is_frequent(void **state)
{
	uint64_t now_ns = NS_PER_S;
	struct idle idle;

	(void)state;
	idle_init(&idle, IDLE_POLICY_SLEEP, now_ns);
	for (uint32_t i = 0; i < 100; i++, now_ns += 30 * NS_PER_US)
		idle_step(&idle, true, now_ns);
	assert_int_equal(first_us(&idle, now_ns, IDLE_YIELD, 1000), 2);
	assert_int_equal(first_us(&idle, now_ns, IDLE_BLOCK, 1000), 200);
	/* A yield that came back late gave the CPU to who wanted it. */
	idle_step(&idle, true, now_ns);
	assert_int_equal(first_us(&idle, now_ns, IDLE_YIELD, 1000), 2);
	assert_int_equal(idle_step(&idle, false, now_ns + 3 * NS_PER_US),
			 IDLE_YIELD);
	assert_int_equal(idle_step(&idle, false, now_ns + 14 * NS_PER_US),
			 IDLE_BLOCK);
	/* Rare work is believed after some of it. */
	for (uint32_t i = 0; i < 100; i++, now_ns += NS_PER_MS)
		idle_step(&idle, true, now_ns);
	assert_int_equal(first_us(&idle, now_ns, IDLE_YIELD, 1000), 1000);
}

static void
ladders_of_spin_and_yield_never_block(void **state)
{
	struct idle idle;

	(void)state;
	idle_init(&idle, IDLE_POLICY_SPIN, NS_PER_S);
	assert_int_equal(first_us(&idle, NS_PER_S, IDLE_PAUSE, 1000), 1);
	assert_int_equal(first_us(&idle, NS_PER_S, IDLE_YIELD, 1000), 1000);
	assert_int_equal(first_us(&idle, NS_PER_S, IDLE_BLOCK, 100000), 100000);
	idle_init(&idle, IDLE_POLICY_YIELD, NS_PER_S);
	assert_int_equal(first_us(&idle, NS_PER_S, IDLE_YIELD, 1000), 50);
	assert_int_equal(first_us(&idle, NS_PER_S, IDLE_BLOCK, 100000), 100000);
	idle_relax(IDLE_SPIN);
	idle_relax(IDLE_PAUSE);
	idle_relax(IDLE_YIELD);
	idle_relax(IDLE_BLOCK);
}

static void
reads_policies(void **state)
{
	enum idle_policy policy = IDLE_POLICY_YIELD;

	(void)state;
	assert_int_equal(idle_policy_parse("sleep", 1, false, &policy), 0);
	assert_int_equal(policy, IDLE_POLICY_SLEEP);
	assert_int_equal(idle_policy_parse("spin", 1, false, &policy), 0);
	assert_int_equal(policy, IDLE_POLICY_SPIN);
	assert_int_equal(idle_policy_parse("yield", 1, false, &policy), 0);
	assert_int_equal(policy, IDLE_POLICY_YIELD);
	assert_int_equal(idle_policy_parse("pause", 1, false, &policy), 0);
	assert_int_equal(policy, IDLE_POLICY_SPIN);
	assert_int_equal(idle_policy_parse("auto", 1, false, &policy), 0);
	assert_int_equal(policy, IDLE_POLICY_SLEEP);
	assert_int_equal(idle_policy_parse("auto", 1, true, &policy), 0);
	assert_int_equal(policy, IDLE_POLICY_SPIN);
	assert_int_equal(
		idle_policy_parse("auto", lcore_cpu_count() + 1, true, &policy),
		0);
	assert_int_equal(policy, IDLE_POLICY_YIELD);
	assert_int_equal(idle_policy_parse("Sleep", 1, false, &policy),
			 FAL_EINVAL);
	assert_int_equal(policy, IDLE_POLICY_YIELD);
}

struct schedule {
	int policy, nice;
};

static struct schedule
schedule_now(void)
{
	return (struct schedule){.policy = sched_getscheduler(0),
				 .nice = getpriority(PRIO_PROCESS, 0)};
}

static void *
go_into_the_background(void *arg)
{
	background_begin();
	*(struct schedule *)arg = schedule_now();
	return NULL;
}

static void
puts_a_thread_into_the_background_and_no_other(void **state)
{
	const struct schedule before = schedule_now();
	struct schedule in_thread = {0};
	struct lcore lcore;

	(void)state;
	assert_int_equal(lcore_init(&lcore), 0);
	assert_int_equal(lcore_start(&lcore, LCORE_ANY_CPU, "bg",
				     go_into_the_background, &in_thread),
			 0);
	(void)lcore_join(&lcore);
	lcore_free(&lcore);
	if (before.policy == SCHED_OTHER || before.policy == SCHED_BATCH) {
		assert_int_equal(in_thread.policy, SCHED_BATCH);
		assert_int_equal(in_thread.nice, before.nice > BACKGROUND_NICE
							 ? before.nice
							 : BACKGROUND_NICE);
	} else {
		assert_int_equal(in_thread.policy, before.policy);
	}
	assert_int_equal(schedule_now().policy, before.policy);
	assert_int_equal(schedule_now().nice, before.nice);
}

static void
rests_in_proportion_while_the_processor_is_wanted(void **state)
{
	struct background_pace pace = {.cpu_ns = 1000, .preempted = 7};
	const uint64_t wanted_ns = BACKGROUND_WANTED_NS;

	(void)state;
	/* Nobody has wanted it. */
	assert_int_equal(background_pace_judge(&pace, 1500, 7, 10, 25), 0);
	/* A preemption, and for a while after it. */
	assert_int_equal(background_pace_judge(&pace, 1600, 8, 20, 25), 300);
	assert_int_equal(
		background_pace_judge(&pace, 1700, 8, 19 + wanted_ns, 10), 900);
	assert_int_equal(
		background_pace_judge(&pace, 1800, 8, 20 + wanted_ns, 10), 0);
	assert_int_equal(
		background_pace_judge(&pace, 1900, 9, 20 + wanted_ns, 100), 0);
}

static _Atomic bool must_stop;

static void *
want_the_processor(void *arg)
{
	while (!atomic_load_explicit(&must_stop, memory_order_relaxed))
		;
	return arg;
}

/* Beside a thread that wants the same processor it comes to a rest. */
static void *
work_until_a_rest(void *arg)
{
	struct background_pace pace;
	uint64_t rest_ns = 0;

	background_begin();
	background_pace_begin(&pace);
	while (rest_ns == 0)
		rest_ns = background_pace_rest_ns(&pace, 25);
	*(uint64_t *)arg = rest_ns;
	return NULL;
}

static void
notices_that_the_processor_is_wanted(void **state)
{
	const int cpu = sched_getcpu();
	struct lcore other, background;
	uint64_t rest_ns = 0;

	(void)state;
	assert_int_equal(lcore_init(&other), 0);
	assert_int_equal(lcore_init(&background), 0);
	assert_int_equal(
		lcore_start(&other, cpu, "other", want_the_processor, NULL), 0);
	assert_int_equal(lcore_start(&background, cpu, "bg", work_until_a_rest,
				     &rest_ns),
			 0);
	(void)lcore_join(&background);
	atomic_store_explicit(&must_stop, true, memory_order_relaxed);
	(void)lcore_join(&other);
	assert_true(rest_ns > 0);
	lcore_free(&background);
	lcore_free(&other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_a_thread_where_and_as_named),
		cmocka_unit_test(refuses_a_cpu_that_is_not_there),
		cmocka_unit_test(loses_no_doorbell_while_waiting_on_it_alone),
		cmocka_unit_test(loses_no_doorbell_in_epoll),
		cmocka_unit_test(loses_no_doorbell_in_io_uring),
		cmocka_unit_test(writes_only_to_who_sleeps_and_only_once),
		cmocka_unit_test(waits_no_longer_than_told),
		cmocka_unit_test(ladder_of_sleep_goes_down_after_2_us),
		cmocka_unit_test(
			ladder_of_sleep_yields_first_when_work_is_frequent),
		cmocka_unit_test(ladders_of_spin_and_yield_never_block),
		cmocka_unit_test(reads_policies),
		cmocka_unit_test(
			puts_a_thread_into_the_background_and_no_other),
		cmocka_unit_test(
			rests_in_proportion_while_the_processor_is_wanted),
		cmocka_unit_test(notices_that_the_processor_is_wanted),
	};

	/* A lost wake hangs: then this ends the program as failed. */
	alarm(50);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
