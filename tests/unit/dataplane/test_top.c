/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    the names that come up most often are found, with bounds that hold,
 *         whatever else comes up.
 * Method  random streams beside exact counts; few names, many names, long
 *         names, and the turn of a window.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/top.h"

#define NAMES 2000u

static struct top top;
static uint64_t exact[NAMES];
static uint64_t random_state = 88172645463325252ull;

static uint64_t
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void
note(uint32_t name, uint64_t weight)
{
	char text[32];
	const int bytes = snprintf(text, sizeof(text), "/node/%u", name);

	top_note(&top, text, (uint32_t)bytes, weight);
	exact[name] += weight;
}

static const struct top_place *
find(const struct top_window *window, uint32_t name)
{
	char text[32];
	const int bytes = snprintf(text, sizeof(text), "/node/%u", name);

	for (uint32_t i = 0; i < window->count; i++)
		if (window->place[i].bytes == (uint32_t)bytes &&
		    memcmp(window->place[i].name, text, (size_t)bytes) == 0)
			return &window->place[i];
	return NULL;
}

static int
reset(void **state)
{
	(void)state;
	memset(&top, 0, sizeof(top));
	memset(exact, 0, sizeof(exact));
	return 0;
}

static void
few_names_are_counted_exactly(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 10000; i++)
		note((uint32_t)(next_random() % TOP_PLACES), 1 + i % 7);
	assert_int_equal(top.now.count, TOP_PLACES);
	for (uint32_t name = 0; name < TOP_PLACES; name++) {
		assert_int_equal(find(&top.now, name)->weight, exact[name]);
		assert_int_equal(find(&top.now, name)->excess, 0);
	}
}

/* Most names come up once or twice, a few far more often. */
static void
heavy_names_are_there_and_their_bounds_hold(void **state)
{
	uint64_t total = 0;

	(void)state;
	for (uint32_t i = 0; i < 100000; i++) {
		const double u = (double)(next_random() % 1000000) / 1e6;

		note((uint32_t)(u * u * u * u * NAMES), 1);
		total++;
	}
	for (uint32_t name = 0; name < NAMES; name++) {
		const struct top_place *place = find(&top.now, name);

		if (exact[name] > total / TOP_PLACES)
			assert_non_null(place);
		if (place == NULL)
			continue;
		assert_true(place->weight >= exact[name]);
		assert_true(place->weight - place->excess <= exact[name]);
	}
}

static void
long_names_are_cut_and_say_so(void **state)
{
	char text[2 * TOP_NAME_BYTES];

	(void)state;
	memset(text, 'x', sizeof(text));
	top_note(&top, text, sizeof(text), 3);
	text[TOP_NAME_BYTES] = 'y'; /* behind the cut */
	top_note(&top, text, sizeof(text), 4);
	assert_int_equal(top.now.count, 1);
	assert_int_equal(top.now.place[0].weight, 7);
	assert_int_equal(top.now.place[0].bytes, TOP_NAME_BYTES);
	assert_true(top.now.place[0].is_cut);
	/* A name of exactly that length is another one only if it differs. */
	top_note(&top, text, TOP_NAME_BYTES - 1, 1);
	assert_int_equal(top.now.count, 2);
	assert_false(top.now.place[1].is_cut);
}

static void
a_turn_keeps_the_window_before(void **state)
{
	(void)state;
	note(1, 5);
	top_turn(&top);
	note(2, 1);
	assert_int_equal(find(&top.before, 1)->weight, 5);
	assert_null(find(&top.now, 1));
	assert_int_equal(find(&top.now, 2)->weight, 1);
	top_turn(&top);
	assert_null(find(&top.before, 1));
	assert_int_equal(top.now.count, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(few_names_are_counted_exactly, reset),
		cmocka_unit_test_setup(
			heavy_names_are_there_and_their_bounds_hold, reset),
		cmocka_unit_test_setup(long_names_are_cut_and_say_so, reset),
		cmocka_unit_test_setup(a_turn_keeps_the_window_before, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
