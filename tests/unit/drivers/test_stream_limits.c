/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    stream_limits counts exactly, whatever comes and goes, also from
 *         several threads.
 * Method  the plain cases; then random entering and leaving of hosts beside an
 *         array of counts, in a table as small as it may be, so that probing
 *         wraps around and removing moves entries; then threads.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/clock.h"
#include "drivers/stream_limits.h"

static void
counts_per_host_and_in_all(void **state)
{
	const struct stream_address a = stream_address_ipv4(1, 10);
	const struct stream_address other_port = stream_address_ipv4(1, 11);
	const struct stream_address b = stream_address_ipv4(2, 10);
	const struct stream_address c = stream_address_ipv4(3, 10);
	struct stream_limits *limits;

	(void)state;
	assert_int_equal(stream_limits_create(10, 3, 2, &limits), 0);
	assert_int_equal(stream_limits_enter(limits, &a), STREAM_ADMITTED);
	assert_int_equal(stream_limits_enter(limits, &other_port),
			 STREAM_ADMITTED);
	assert_int_equal(stream_limits_enter(limits, &a), STREAM_OVER_HOST);
	assert_int_equal(stream_limits_enter(limits, &b), STREAM_ADMITTED);
	assert_int_equal(stream_limits_enter(limits, &b), STREAM_OVER_TOTAL);
	assert_int_equal(stream_limits_enter(limits, &c), STREAM_OVER_TOTAL);
	assert_int_equal(stream_limits_count(limits, NULL), 3);
	assert_int_equal(stream_limits_count(limits, &a), 2);
	assert_int_equal(stream_limits_count(limits, &c), 0);
	stream_limits_leave(limits, &a);
	assert_int_equal(stream_limits_enter(limits, &c), STREAM_ADMITTED);
	stream_limits_set(limits, 0, 1);
	assert_int_equal(stream_limits_enter(limits, &c), STREAM_OVER_HOST);
	stream_limits_leave(limits, &a);
	stream_limits_leave(limits, &b);
	stream_limits_leave(limits, &c);
	assert_int_equal(stream_limits_count(limits, NULL), 0);
	stream_limits_destroy(limits);
}

static void
is_never_fuller_than_its_capacity(void **state)
{
	struct stream_limits *limits;

	(void)state;
	assert_int_equal(stream_limits_create(0, 0, 0, &limits), FAL_EINVAL);
	assert_int_equal(stream_limits_create((1u << 22) + 1, 0, 0, &limits),
			 FAL_EINVAL);
	assert_int_equal(stream_limits_create(4, 0, 0, &limits), 0);
	for (uint32_t i = 0; i < 4; i++) {
		const struct stream_address host = stream_address_ipv4(i, 1);

		assert_int_equal(stream_limits_enter(limits, &host),
				 STREAM_ADMITTED);
	}

	const struct stream_address more = stream_address_ipv4(9, 1);

	assert_int_equal(stream_limits_enter(limits, &more), STREAM_OVER_TOTAL);
	for (uint32_t i = 0; i < 4; i++) {
		const struct stream_address host = stream_address_ipv4(i, 1);

		stream_limits_leave(limits, &host);
	}
	stream_limits_destroy(limits);
}

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

enum { HOSTS = 40, CAPACITY = 32 };

/* One history; the hash is keyed anew for each, so places differ. */
static void
history_check(uint64_t *seed)
{
	uint32_t counts[HOSTS] = {0}, total = 0;
	const uint32_t per_host = (uint32_t)(next_random(seed) % 4);
	struct stream_limits *limits;

	assert_int_equal(stream_limits_create(CAPACITY, 0, per_host, &limits),
			 0);
	for (uint32_t step = 0; step < 2000; step++) {
		const uint32_t h = (uint32_t)(next_random(seed) % HOSTS);
		const struct stream_address host =
			stream_address_ipv4(h * 65537, (uint16_t)step);

		if (next_random(seed) % 2 == 0) {
			const enum stream_verdict verdict =
				stream_limits_enter(limits, &host);

			if (total == CAPACITY) {
				assert_int_equal(verdict, STREAM_OVER_TOTAL);
			} else if (per_host != 0 && counts[h] == per_host) {
				assert_int_equal(verdict, STREAM_OVER_HOST);
			} else {
				assert_int_equal(verdict, STREAM_ADMITTED);
				counts[h]++;
				total++;
			}
		} else if (counts[h] > 0) {
			stream_limits_leave(limits, &host);
			counts[h]--;
			total--;
		}
		assert_int_equal(stream_limits_count(limits, &host), counts[h]);
		assert_int_equal(stream_limits_count(limits, NULL), total);
	}
	for (uint32_t h = 0; h < HOSTS; h++)
		for (; counts[h] > 0; counts[h]--) {
			const struct stream_address host =
				stream_address_ipv4(h * 65537, 0);

			stream_limits_leave(limits, &host);
		}
	assert_int_equal(stream_limits_count(limits, NULL), 0);
	stream_limits_destroy(limits);
}

static void
agrees_with_a_table_of_counts(void **state)
{
	const char *given = getenv("FAL_SEED");
	uint64_t seed =
		given != NULL ? strtoull(given, NULL, 0) : clock_os_now_ns();

	(void)state;
	print_message("FAL_SEED=%llu\n", (unsigned long long)seed);
	for (uint32_t history = 0; history < 300; history++)
		history_check(&seed);
}

enum { THREADS = 4, ROUNDS = 20000 };

/* By all threads. One alone may see no free place, when the others were
 * preempted while they had them. */
static _Atomic uint32_t admitted;

static void *
come_and_go(void *arg)
{
	struct stream_limits *limits = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		const struct stream_address host =
			stream_address_ipv4(i % 3, 1);

		if (stream_limits_enter(limits, &host) != STREAM_ADMITTED)
			continue;
		admitted++;
		stream_limits_leave(limits, &host);
	}
	return NULL;
}

static void
counts_exactly_from_several_threads(void **state)
{
	pthread_t threads[THREADS];
	struct stream_limits *limits;

	(void)state;
	assert_int_equal(stream_limits_create(64, 3, 2, &limits), 0);
	for (uint32_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, come_and_go, limits),
			0);
	for (uint32_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(admitted > 0);
	assert_int_equal(stream_limits_count(limits, NULL), 0);
	stream_limits_destroy(limits);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_per_host_and_in_all),
		cmocka_unit_test(is_never_fuller_than_its_capacity),
		cmocka_unit_test(agrees_with_a_table_of_counts),
		cmocka_unit_test(counts_exactly_from_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
