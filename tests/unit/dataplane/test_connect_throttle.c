/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    the bucket lets in what its settings say, and the random turning
 *         away rises and falls with the load.
 * Method  a clock of the test's; rates are counted over many requests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "dataplane/connect_throttle.h"

static struct connect_throttle throttle;

static void
make(const struct connect_throttle_options *options)
{
	connect_throttle_init(&throttle, options, 1000, 7);
}

static uint32_t
admitted(uint32_t tries, enum connect_kind kind, uint64_t now_ms)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < tries; i++)
		count += connect_throttle_admit(&throttle, kind, now_ms);
	return count;
}

static void
without_tokens_everybody_is_let_in(void **state)
{
	(void)state;
	make(&(struct connect_throttle_options){.freeze_ms = 0});
	assert_int_equal(admitted(1000, CONNECT_GLOBAL, 1000), 1000);
}

static void
a_bucket_empties_and_refills_at_its_rate(void **state)
{
	(void)state;
	make(&(struct connect_throttle_options){.tokens_max = 10,
						.fill_ms = 100,
						.fill_count = 2,
						.freeze_ms = -1});
	assert_int_equal(admitted(15, CONNECT_GLOBAL, 1000), 10);
	assert_int_equal(connect_throttle_deficit(&throttle), 10);
	assert_int_equal(admitted(5, CONNECT_GLOBAL, 1100), 0); /* not yet */
	assert_int_equal(admitted(5, CONNECT_GLOBAL, 1101), 2);
	assert_int_equal(admitted(99, CONNECT_GLOBAL, 1401), 6);
	/* It never holds more than its size. */
	assert_int_equal(admitted(99, CONNECT_GLOBAL, 1u << 30), 10);
}

static void
a_request_takes_its_weight(void **state)
{
	(void)state;
	make(&(struct connect_throttle_options){.tokens_max = 12,
						.fill_ms = 1000,
						.fill_count = 1,
						.freeze_ms = -1,
						.has_weights = true,
						.weight_global = 3,
						.weight_local = 1,
						.weight_renew = 2});
	assert_int_equal(admitted(2, CONNECT_GLOBAL, 1000), 2);
	assert_int_equal(admitted(2, CONNECT_RENEW, 1000), 2);
	assert_int_equal(admitted(1, CONNECT_GLOBAL, 1000), 0); /* 2 left */
	assert_int_equal(admitted(5, CONNECT_LOCAL, 1000), 2);
}

static void
an_empty_bucket_raises_the_drop_and_a_full_one_lowers_it(void **state)
{
	uint64_t now_ms = 1000;

	(void)state;
	make(&(struct connect_throttle_options){.tokens_max = 100,
						.fill_ms = 1,
						.fill_count = 0,
						.freeze_ms = 10,
						.drop_increase = 0.25,
						.drop_decrease = 0.125,
						.decrease_ratio = 0.1});
	assert_int_equal(admitted(100, CONNECT_GLOBAL, now_ms), 100);
	for (uint32_t i = 1; i <= 2; i++) {
		now_ms += 11;
		admitted(1, CONNECT_GLOBAL, now_ms);
		admitted(1, CONNECT_GLOBAL, now_ms); /* frozen */
		assert_true(throttle.drop == 0.25 * i);
	}
	/* Half of those who come are turned away, tokens or not. */
	throttle.tokens = UINT32_MAX / 2;
	throttle.options.tokens_max = UINT32_MAX / 2;
	throttle.options.freeze_ms = 1u << 30;
	const uint32_t in = admitted(10000, CONNECT_GLOBAL, now_ms);

	assert_in_range(in, 4700, 5300);
	/* And it falls while little is missing. */
	throttle.options.freeze_ms = 10;
	for (uint32_t i = 1; i <= 5; i++) {
		now_ms += 11;
		admitted(1, CONNECT_GLOBAL, now_ms);
	}
	assert_true(throttle.drop == 0.0);
	assert_int_equal(admitted(1000, CONNECT_GLOBAL, now_ms), 1000);
}

static void
the_drop_never_leaves_its_range(void **state)
{
	uint64_t now_ms = 1000;

	(void)state;
	make(&(struct connect_throttle_options){.tokens_max = 1,
						.fill_ms = 1,
						.fill_count = 0,
						.freeze_ms = 0,
						.drop_increase = 0.4,
						.drop_decrease = 0.4});
	admitted(1, CONNECT_GLOBAL, now_ms);
	for (uint32_t i = 0; i < 10; i++)
		admitted(1, CONNECT_GLOBAL, ++now_ms);
	assert_true(throttle.drop == 1.0);
	assert_int_equal(admitted(100, CONNECT_GLOBAL, now_ms), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_tokens_everybody_is_let_in),
		cmocka_unit_test(a_bucket_empties_and_refills_at_its_rate),
		cmocka_unit_test(a_request_takes_its_weight),
		cmocka_unit_test(
			an_empty_bucket_raises_the_drop_and_a_full_one_lowers_it),
		cmocka_unit_test(the_drop_never_leaves_its_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
