/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    what the protocol promises about who can be reached, and about
 *         crashes between any two actions, is true everywhere.
 * Method  all 64 ways to cut the directions between three servers; of the 2^20
 *         ways for five some run, or FAL_SIM_MASKS many (1048576: all, for
 *         hours); all places for one and two crashes, and a part of those for
 *         three and four, or all (FAL_SIM_CRASH_THIRD, _FOURTH).
 */
#include <stdlib.h>
#include <string.h>

#include "test_sim.h"

/* The same with words of its own for what does not hold. */
static uint64_t
find_leader(uint32_t replicas, uint32_t mask, bool needs_both_ways)
{
	const uint64_t led_ms =
		sim_star_find(&test_sim, mask, replicas, mask, needs_both_ways);

	if (led_ms == UINT64_MAX)
		print_message("replicas %u mask %x: nobody leads\n", replicas,
			      mask);
	return led_ms;
}

static void
a_stable_leader_comes_for_each_of_64_masks(void **state)
{
	(void)state;
	for (uint32_t mask = 0; mask < 64; mask++) {
		assert_true(find_leader(3, mask, true) < UINT64_MAX);
		assert_true(find_leader(3, mask, false) < UINT64_MAX);
	}
}

/* Server 1 sees all, the others see only it; trying one of them takes longer
 * than it was held against the one before that it failed. */
static void
the_middle_of_a_star_leads(void **state)
{
	static const uint32_t masks[] = {0x28e60, 0x6c660, 0x80ec0};

	(void)state;
	for (uint32_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++)
		assert_true(find_leader(5, masks[i], true) < UINT64_MAX);
}

/*
 * Three servers, two transactions, crashes between any two actions: every
 * place for one crash, every pair of places, and some of those with three and
 * four: every n-th, FAL_SIM_CRASH_THIRD and _FOURTH say n. The order of
 * messages is the one of equal delays. Returns how many actions a run took.
 */
static uint64_t
run_with_crashes(const uint64_t crash_at[4])
{
	const struct sim_options options = test_options(1, 3, 0);
	uint32_t written = 0;

	sim_init(&test_sim, &options);
	test_sim.limits.net_us_min = TEST_DELAY_US;
	test_sim.limits.net_us_max = TEST_DELAY_US;
	test_sim.limits.disk_us_min = 300;
	test_sim.limits.disk_us_max = 300;
	test_sim.limits.snapshot_every = 1;
	memcpy(test_sim.limits.crash_at, crash_at, 4 * sizeof(crash_at[0]));
	for (uint32_t i = 0; i < 3; i++) {
		sim_begin_plain(&test_sim.server[i]);
		sim_server_start(&test_sim, &test_sim.server[i]);
	}
	while (written < 2 || test_sim.crashes_done < 4 ||
	       !sim_check_is_calm(&test_sim)) {
		const uint32_t leader = sim_leader_of(&test_sim);

		if (leader != SIM_NOBODY && written < 2) {
			sim_client_connect(&test_sim, 0, leader);
			(void)sim_client_invoke(&test_sim, 0, SIM_OP_WRITE);
			written++;
		}
		sim_turn_until(&test_sim, test_sim.now_us + 5 * TEST_DELAY_US);
		if (written == 2 && test_sim.server[0].is_up &&
		    sim_check_is_calm(&test_sim))
			break;
		if (test_sim.now_us > 20 * sim_bound_us(&test_sim))
			fail_msg("crashes at %u %u %u %u: not calm",
				 (uint32_t)crash_at[0], (uint32_t)crash_at[1],
				 (uint32_t)crash_at[2], (uint32_t)crash_at[3]);
	}
	sim_check_end(&test_sim);
	return test_sim.action_count;
}

static uint32_t
number_of(const char *name, uint32_t otherwise)
{
	const char *text = getenv(name);

	return text ? (uint32_t)strtoul(text, NULL, 0) : otherwise;
}

/* Places for a fourth crash, tried or not. */
static uint64_t fourth_places;

/*
 * After so many crashes one more, at every place up to `end` where the run with
 * these crashes ended; of the third and the fourth one only some places, which
 * differ from case to case. Returns the number of runs.
 */
static uint64_t
crash_again(const uint64_t crash_at[4], uint32_t count, uint64_t end)
{
	const uint64_t step = count == 2 ? number_of("FAL_SIM_CRASH_THIRD", 100)
			      : count == 3
				      ? number_of("FAL_SIM_CRASH_FOURTH", 100)
				      : 1;
	const uint64_t last = count > 0 ? crash_at[count - 1] : 0;
	uint64_t next[4], runs = 0;

	memcpy(next, crash_at, sizeof(next));
	if (count == 3 && end > last)
		fourth_places += end - last;
	for (uint64_t at = last + 1 + (7 * last + 13 * end) % step; at <= end;
	     at += step, runs++) {
		next[count] = at;
		const uint64_t next_end = run_with_crashes(next);

		if (count < 3)
			runs += crash_again(next, count + 1, next_end);
	}
	return runs;
}

static void
no_place_for_crashes_does_harm(void **state)
{
	const uint64_t none[4] = {0};
	const uint64_t places = run_with_crashes(none);
	const uint64_t runs = crash_again(none, 0, places);

	(void)state;
	print_message("%u places for a crash, %u runs with up to four, of %u "
		      "places for the fourth\n",
		      (uint32_t)places, (uint32_t)runs,
		      (uint32_t)fourth_places);
}

/* With both directions needed for anything, 2^20 masks are 2^10 graphs. */
static void
a_stable_leader_comes_for_each_graph_of_five(void **state)
{
	uint32_t missed = 0;

	(void)state;
	for (uint32_t graph = 0; graph < 1024; graph++) {
		uint32_t mask = 0, bit = 0, pair = 0;
		uint32_t cut[5][5] = {{0}};

		for (uint32_t i = 0; i < 5; i++)
			for (uint32_t j = i + 1; j < 5; j++) {
				cut[i][j] = graph >> pair & 1;
				cut[j][i] = graph >> pair++ & 1;
			}
		for (uint32_t i = 0; i < 5; i++)
			for (uint32_t j = 0; j < 5; j++)
				if (i != j)
					mask |= cut[i][j] << bit++;
		missed += find_leader(5, mask, true) == UINT64_MAX;
	}
	assert_int_equal(missed, 0);
}

/* How many masks of five servers; FAL_SIM_MASKS=1048576 is all of them, and
 * FAL_SIM_MASKS_FROM and _STEP divide them among processes. */
static void
a_stable_leader_comes_for_masks_of_five(void **state)
{
	const char *text = getenv("FAL_SIM_MASKS");
	const char *from = getenv("FAL_SIM_MASKS_FROM");
	const char *by = getenv("FAL_SIM_MASKS_STEP");
	const uint32_t count = text ? (uint32_t)strtoul(text, NULL, 0) : 500;
	const uint32_t step = by ? (uint32_t)strtoul(by, NULL, 0) : 1;
	struct sim_random random;
	uint64_t longest = 0;
	uint32_t done = 0, led = 0, missed = 0;

	(void)state;
	sim_random_seed(&random, 7, 0);
	for (uint32_t i = from ? (uint32_t)strtoul(from, NULL, 0) : 0;
	     i < count; i += step, done++) {
		/* Few cuts are more interesting than many. */
		const uint64_t some =
			sim_random_next(&random) & sim_random_next(&random);
		const uint64_t ms = find_leader(
			5, count == 1u << 20 ? i : (uint32_t)some & 0xfffff,
			true);

		missed += ms == UINT64_MAX;
		led += ms > 0 && ms < UINT64_MAX;
		if (ms > longest && ms < UINT64_MAX)
			longest = ms;
	}
	print_message("%u masks, a leader for %u of them, after %u ms at "
		      "most\n",
		      done, led, (uint32_t)longest);
	assert_int_equal(missed, 0);
}

int
test_places(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stable_leader_comes_for_each_of_64_masks),
		cmocka_unit_test(the_middle_of_a_star_leads),
		cmocka_unit_test(no_place_for_crashes_does_harm),
		cmocka_unit_test(a_stable_leader_comes_for_each_graph_of_five),
		cmocka_unit_test(a_stable_leader_comes_for_masks_of_five),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
