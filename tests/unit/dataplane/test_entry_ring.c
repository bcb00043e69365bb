/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    what was put is found as it was, for as long as it was promised.
 * Method  a small ring beside an array of all that was ever put; random sizes,
 *         a floor that only rises, every entry looked at after each put.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/entry_ring.h"

#define RING_BYTES  4096u
#define RING_PLACES 64u
#define ROUNDS      20000
#define FIRST       (5ll << 32)

static struct entry_ring *ring;

static int
set_up(void **state)
{
	(void)state;
	return entry_ring_create(RING_BYTES, RING_PLACES, &ring);
}

static int
tear_down(void **state)
{
	(void)state;
	entry_ring_destroy(ring);
	return 0;
}

/* Every byte of an entry is made of its zxid. */
static void
fill(uint8_t *entry, int64_t zxid, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		entry[i] = (uint8_t)(zxid * 7 + i);
}

static void
put(int64_t zxid, uint32_t bytes)
{
	uint8_t entry[RING_BYTES];

	fill(entry, zxid, bytes);
	entry_ring_put(ring, zxid, entry, bytes);
}

/* Is it there, whole? */
static bool
has(int64_t zxid, uint32_t bytes)
{
	uint8_t want[RING_BYTES];
	uint32_t got_bytes = 0;
	const uint8_t *got = entry_ring_find(ring, zxid, &got_bytes);

	if (got == NULL)
		return false;
	fill(want, zxid, bytes);
	assert_int_equal(got_bytes, bytes);
	assert_memory_equal(got, want, bytes);
	return true;
}

static void
an_empty_ring_holds_nothing(void **state)
{
	uint32_t bytes;

	(void)state;
	assert_null(entry_ring_find(ring, 0, &bytes));
	assert_null(entry_ring_find(ring, FIRST, &bytes));
	assert_true(entry_ring_has_room(ring, RING_BYTES / 2, 0));
	assert_false(entry_ring_has_room(ring, RING_BYTES / 2 + 1, 0));
}

static void
what_is_above_the_floor_stays(void **state)
{
	static uint32_t bytes_of[ROUNDS];
	int64_t floor = FIRST, next = FIRST + 1;
	unsigned seed = 4711;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		const uint32_t bytes = 1u + (uint32_t)rand_r(&seed) % 700u;

		if (rand_r(&seed) % 3 == 0 && floor < next - 1)
			floor += 1 + rand_r(&seed) % (next - 1 - floor);
		if (!entry_ring_has_room(ring, bytes, floor)) {
			/* True: another one would cost one above the floor. */
			assert_true(next - 1 - floor > 0);
			continue;
		}
		bytes_of[next - FIRST] = bytes;
		put(next++, bytes);
		for (int64_t zxid = floor + 1; zxid < next; zxid++)
			assert_true(has(zxid, bytes_of[zxid - FIRST]));
		if (next - FIRST == ROUNDS)
			break;
	}
	assert_true(next - FIRST > 1000);
	assert_false(has(next, 1));
	assert_false(has(FIRST, 1));
}

static void
places_are_a_limit_too(void **state)
{
	(void)state;
	for (uint32_t i = 1; i <= RING_PLACES; i++) {
		assert_true(entry_ring_has_room(ring, 8, FIRST));
		put(FIRST + i, 8);
	}
	assert_false(entry_ring_has_room(ring, 8, FIRST));
	assert_true(entry_ring_has_room(ring, 8, FIRST + 1));
	put(FIRST + RING_PLACES + 1, 8);
	assert_false(has(FIRST + 1, 8));
	assert_true(has(FIRST + 2, 8));
}

static void
a_new_reign_starts_with_any_zxid(void **state)
{
	(void)state;
	put(FIRST + 1, 100);
	entry_ring_clear(ring);
	assert_false(has(FIRST + 1, 100));
	put((9ll << 32) + 1, 200);
	assert_true(has((9ll << 32) + 1, 200));
	assert_false(has(FIRST + 1, 100));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_empty_ring_holds_nothing,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_above_the_floor_stays,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(places_are_a_limit_too, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_new_reign_starts_with_any_zxid, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
