/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    the bodies of all micro-benchmarks run and do what they say, so that
 *         they cannot rot between two measurements.
 * Method  each is set up, run twice with small counts and torn down; every
 *         operation has to come out right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "perf/micro/bench.h"

static void
run_list(const struct bench_case *list)
{
	for (const struct bench_case *bench = list; bench->name != NULL;
	     bench++) {
		void *state = bench->setup();

		print_message("%s\n", bench->name);
		assert_int_equal(bench->run(state, BENCH_BURST), BENCH_BURST);
		assert_int_equal(bench->run(state, 3ull * BENCH_BURST),
				 3 * BENCH_BURST);
		bench->teardown(state);
	}
}

static void
every_operation_of_every_benchmark_comes_out_right(void **state)
{
	uint32_t lists = 0;

	(void)state;
	for (; bench_lists[lists] != NULL; lists++)
		run_list(bench_lists[lists]);
	assert_int_equal(lists, 8);
}

static void
names_are_unique(void **state)
{
	const char *seen[256];
	uint32_t count = 0;

	(void)state;
	for (uint32_t list = 0; bench_lists[list] != NULL; list++)
		for (const struct bench_case *bench = bench_lists[list];
		     bench->name != NULL; bench++) {
			for (uint32_t i = 0; i < count; i++)
				assert_string_not_equal(seen[i], bench->name);
			assert_true(count < 256);
			seen[count++] = bench->name;
		}
	assert_true(count >= 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			every_operation_of_every_benchmark_comes_out_right),
		cmocka_unit_test(names_are_unique),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
