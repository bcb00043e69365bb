/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    both monotonic sources tell the same time and never go back; the wall
 *         clock is the system's.
 * Method  the sources are compared over some 100 ms; on a busy machine the two
 *         reads of a pair may be far apart, so the closest of many pairs
 * counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/time.h"
#include "drivers/clock.h"

/* How far apart the sources are at least, over many pairs of reads. */
static uint64_t
distance_ns(void)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 1000; i++) {
		const uint64_t before = clock_os_now_ns();
		const uint64_t tsc = clock_tsc_now_ns();
		const uint64_t after = clock_os_now_ns();
		uint64_t apart = 0;

		if (tsc < before)
			apart = before - tsc;
		else if (tsc > after)
			apart = tsc - after;
		best = apart < best ? apart : best;
	}
	return best;
}

static void
counter_and_system_tell_the_same_time(void **state)
{
	const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};

	(void)state;
	if (!clock_tsc_calibrate()) {
		print_message("NOT TESTED: no counter to be trusted here\n");
		skip();
	}
	assert_true(distance_ns() < 2 * NS_PER_US);
	nanosleep(&pause, NULL);
	nanosleep(&pause, NULL);
	/* 100 ppm in 100 ms. */
	assert_true(distance_ns() < 10 * NS_PER_US);
}

static void
chosen_source_never_goes_back(void **state)
{
	const enum clock_source source = clock_init();
	const uint64_t start_ns = clock_os_now_ns();
	uint64_t last_ns = clock_now_ns();

	(void)state;
	assert_true(source == CLOCK_SOURCE_OS || source == CLOCK_SOURCE_TSC);
	while (clock_os_now_ns() - start_ns < 50 * NS_PER_MS) {
		const uint64_t now_ns = clock_now_ns();

		assert_true(now_ns >= last_ns);
		last_ns = now_ns;
	}
	/* Time did pass. */
	assert_true(clock_now_ns() - start_ns >= 49 * NS_PER_MS);
}

static void
wall_clock_is_the_systems(void **state)
{
	const int64_t before_s = (int64_t)time(NULL);
	const int64_t now_ms = clock_wall_ms();
	const int64_t after_s = (int64_t)time(NULL);

	(void)state;
	/* time() lags behind by up to a tick of the kernel. */
	assert_true(now_ms >= before_s * 1000);
	assert_true(now_ms <= (after_s + 2) * 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counter_and_system_tell_the_same_time),
		cmocka_unit_test(chosen_source_never_goes_back),
		cmocka_unit_test(wall_clock_is_the_systems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
