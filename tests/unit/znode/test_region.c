/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: blocks never overlap, keep their bytes until they are freed, are used
 * again, and the accounts are exact; a used-up range says so and still serves
 * small blocks from larger free ones. Also the two small structures that live
 * on top: handle_list and fifo.
 *
 * Method: random allocations of all sizes, each filled with bytes of its own
 * and checked when it is freed. FAL_SEED sets the seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "znode/fifo.h"
#include "znode/handle_list.h"
#include "znode/region.h"

#define BLOCKS 2000

struct block {
	uint32_t handle;
	uint64_t bytes;
	uint8_t fill;
};

static uint64_t random_state;

static uint64_t
random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state >> 9;
}

static int
seed_random(void **state)
{
	const char *text = getenv("FAL_SEED");

	(void)state;
	random_state = (text == NULL ? 77 : strtoull(text, NULL, 0)) * 2 + 1;
	print_message("seed %llu\n", (unsigned long long)random_state / 2);
	return 0;
}

static uint64_t
used(const struct region *region)
{
	return atomic_load(&region->used_bytes);
}

static void
classes_hold_what_they_promise(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (uint64_t bytes = 1; bytes < 5000000; bytes += 1 + bytes / 97) {
		const uint64_t class_bytes = region_class_bytes(bytes);

		assert_true(class_bytes >= bytes);
		assert_true(class_bytes >= last);
		assert_true(class_bytes - bytes < 16 ||
			    class_bytes - bytes <= bytes / 8);
		assert_int_equal(region_class_bytes(class_bytes), class_bytes);
		assert_int_equal(class_bytes % REGION_GRANULE_BYTES, 0);
		last = class_bytes;
	}
	assert_int_equal(region_class_bytes(REGION_BLOCK_BYTES_MAX),
			 REGION_BLOCK_BYTES_MAX);
}

static uint64_t
random_bytes(void)
{
	switch (random_next() % 40) {
	case 0:
		return 1 + random_next() % (2 << 20);
	case 1:
	case 2:
		return 1 + random_next() % 100000;
	case 3:
	case 4:
	case 5:
		return 1 + random_next() % 9000;
	default:
		return 1 + random_next() % 400;
	}
}

static void
block_make(struct region *region, struct block *block)
{
	block->bytes = random_bytes();
	block->fill = (uint8_t)random_next();
	block->handle = region_alloc(region, block->bytes);
	assert_true(block->handle >= REGION_HANDLE_MIN);
	memset(region_at(region, block->handle), block->fill, block->bytes);
	assert_int_equal(
		region_handle_of(region, region_at(region, block->handle)),
		block->handle);
}

static void
block_drop(struct region *region, struct block *block)
{
	const uint8_t *at = region_at(region, block->handle);

	for (uint64_t i = 0; i < block->bytes; i++)
		if (at[i] != block->fill)
			fail_msg("a block lost its bytes");
	region_free(region, block->handle, block->bytes);
	block->handle = 0;
}

static void
blocks_keep_their_bytes_and_the_account_is_exact(void **state)
{
	static struct block block[BLOCKS];
	struct region region;
	uint64_t live = 0;

	(void)state;
	assert_int_equal(region_init(&region, 0), 0);
	region.poisons = true;
	for (int i = 0; i < 60000; i++) {
		struct block *one = &block[random_next() % BLOCKS];

		if (one->handle == 0) {
			block_make(&region, one);
			live += region_class_bytes(one->bytes);
		} else {
			live -= region_class_bytes(one->bytes);
			block_drop(&region, one);
		}
		assert_int_equal(used(&region), live);
	}
	for (int i = 0; i < BLOCKS; i++)
		if (block[i].handle != 0)
			block_drop(&region, &block[i]);
	assert_int_equal(used(&region), 0);

	const uint64_t touched = atomic_load(&region.touched_bytes);

	for (int i = 0; i < 1000; i++) {
		block_make(&region, &block[0]);
		block_drop(&region, &block[0]);
	}
	/* Free blocks were used again, or nearly so: one size at a time. */
	assert_true(atomic_load(&region.touched_bytes) < touched + (32 << 20));
	region_reset(&region);
	assert_int_equal(used(&region), 0);
	block_make(&region, &block[0]);
	block_drop(&region, &block[0]);
	region_free_all(&region);
}

static void
a_used_up_range_gives_nothing_until_something_is_freed(void **state)
{
	struct region region;
	uint32_t handle[64], count = 0;

	(void)state;
	assert_int_equal(region_init(&region, 12345), FAL_EINVAL);
	assert_int_equal(region_init(&region, 128ull << 30), FAL_EINVAL);
	assert_int_equal(region_init(&region, 2 << 20), 0);
	assert_int_equal(region_alloc(&region, REGION_BLOCK_BYTES_MAX), 0);
	assert_int_equal(region_alloc(&region, REGION_BLOCK_BYTES_MAX + 1), 0);
	while (count < 64 &&
	       (handle[count] = region_alloc(&region, 100000)) != 0)
		count++;
	assert_true(count > 10 && count < 64);
	/* What is left over above the large blocks. */
	while (region_alloc(&region, 16) != 0)
		;
	assert_int_equal(region_alloc(&region, 16), 0);
	assert_int_equal(region_alloc(&region, 80), 0);
	region_free(&region, handle[0], 100000);
	/* Cut to pieces for a small class, then all of it is used again. */
	for (int i = 0; i < 100000 / 80; i++)
		assert_int_not_equal(region_alloc(&region, 80), 0);
	region_free(&region, handle[1], 100000);
	assert_int_not_equal(region_alloc(&region, 70000), 0);
	assert_int_equal(region_alloc(&region, 70000), 0);
	region_free_all(&region);
}

/* ---- on top -------------------------------------------------------------- */

static void
a_list_of_handles_equals_an_array(void **state)
{
	static uint32_t array[10000];
	struct handle_list list = {0};
	struct region region;
	uint32_t count = 0, next = REGION_HANDLE_MIN;

	(void)state;
	assert_int_equal(region_init(&region, 0), 0);
	for (int i = 0; i < 60000; i++) {
		const bool grows = i < 20000 || (i / 3000) % 2 == 0;

		if (count < 10000 &&
		    (count == 0 || (random_next() % 4 == 0) != grows)) {
			array[count++] = next;
			assert_int_equal(
				handle_list_push(&region, &list, next++), 0);
		} else {
			const uint32_t at = (uint32_t)(random_next() % count);
			const uint32_t moved =
				handle_list_take(&region, &list, at);

			array[at] = array[--count];
			assert_int_equal(moved, at == count ? 0 : array[at]);
		}
		assert_int_equal(list.count, count);
		if (count > 0) {
			const uint32_t at = (uint32_t)(random_next() % count);

			assert_int_equal(handle_list_at(&region, &list, at),
					 array[at]);
		}
	}
	handle_list_free(&region, &list);
	assert_int_equal(used(&region), 0);
	region_free_all(&region);
}

static void
a_list_that_gets_no_memory_is_unchanged(void **state)
{
	struct handle_list list = {0};
	struct region region;
	uint32_t count = 0;

	(void)state;
	assert_int_equal(region_init(&region, 1 << 20), 0);
	while (handle_list_push(&region, &list, REGION_HANDLE_MIN + count) == 0)
		count++;
	assert_true(count >= 1024);
	assert_int_equal(list.count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(handle_list_at(&region, &list, i),
				 REGION_HANDLE_MIN + i);
	region_free_all(&region);
}

static void
a_fifo_gives_from_both_ends(void **state)
{
	struct fifo fifo = {0};
	uint64_t first = 0, end = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		const uint64_t what = random_next() % 8;

		if (what < 4 || first == end) {
			assert_int_equal(fifo_reserve(&fifo, 1), 0);
			fifo_push(&fifo)->zxid = end++;
		} else if (what < 6) {
			assert_int_equal(fifo_front(&fifo)->zxid, first++);
			fifo_pop_front(&fifo);
		} else {
			assert_int_equal(fifo_back(&fifo)->zxid, --end);
			fifo_pop_back(&fifo);
		}
		assert_int_equal(fifo.count, end - first);
	}
	struct fifo_segment *segment = fifo.tail;
	struct fifo_record *record = fifo_back(&fifo);

	for (uint64_t at = end; at > first; at--) {
		assert_int_equal(record->zxid, at - 1);
		record = fifo_before(&segment, record);
	}
	assert_null(record);
	fifo_clear(&fifo);
	assert_null(fifo_front(&fifo));
	assert_null(fifo_back(&fifo));
	fifo_free(&fifo);
}

/* Bytes from the start of the range that are there, in whole steps. */
static uint64_t
present_bytes(const struct region *region)
{
	static uint8_t page[REGION_STEP_BYTES / 4096];
	uint64_t present = 0;

	while (present < region->reserved_bytes) {
		assert_int_equal(mincore(region->base + present,
					 REGION_STEP_BYTES, page),
				 0);
		for (uint32_t i = 0; i < sizeof(page); i++)
			if ((page[i] & 1) == 0)
				return present;
		present += REGION_STEP_BYTES;
	}
	return present;
}

static void
touch_all(const struct region *region, uint64_t *at)
{
	for (uint32_t i = 0; i < 1000; i++)
		if (!region_touch_ahead(region, at))
			return;
	fail_msg("there is always something to touch");
}

static void
expected_pages_come_ahead_of_their_use_but_not_far(void **state)
{
	const uint64_t reserved = 256ull << 20, expected = 50ull << 20;
	struct region region;
	uint64_t at = 0;

	(void)state;
	assert_int_equal(region_init(&region, reserved), 0);
	assert_false(region_touch_ahead(&region, &at));
	region_expect(&region, reserved + 1);
	assert_false(region_touch_ahead(&region, &at));
	region_expect(&region, expected);
	touch_all(&region, &at);
	assert_int_equal(present_bytes(&region), REGION_AHEAD_BYTES);
	/* The writer comes nearer: so far as was expected, and no farther. */
	assert_true(region_alloc(&region, 24ull << 20) != 0);
	region_expect(&region, expected - REGION_STEP_BYTES);
	touch_all(&region, &at);
	assert_int_equal(present_bytes(&region), expected - REGION_STEP_BYTES);
	region_expect(&region, expected);
	touch_all(&region, &at);
	assert_int_equal(present_bytes(&region), expected);
	region_settle(&region);
	assert_false(region_touch_ahead(&region, &at));
	/* A load that begins anew begins at the front. */
	region_reset(&region);
	assert_int_equal(present_bytes(&region), 0);
	region_expect(&region, 3);
	touch_all(&region, &at);
	assert_int_equal(present_bytes(&region), REGION_STEP_BYTES);
	region_free_all(&region);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes_hold_what_they_promise),
		cmocka_unit_test(
			blocks_keep_their_bytes_and_the_account_is_exact),
		cmocka_unit_test(
			a_used_up_range_gives_nothing_until_something_is_freed),
		cmocka_unit_test(
			expected_pages_come_ahead_of_their_use_but_not_far),
		cmocka_unit_test(a_list_of_handles_equals_an_array),
		cmocka_unit_test(a_list_that_gets_no_memory_is_unchanged),
		cmocka_unit_test(a_fifo_gives_from_both_ends),
	};

	return cmocka_run_group_tests(tests, seed_random, NULL);
}
