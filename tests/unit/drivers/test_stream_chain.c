/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a chain gives its bytes in the order in which they came, however they
 *         were added and taken, holds no buffer that it does not need, and is
 *         as it was when there is no memory.
 * Method  random operations beside a model, which is two counters: byte n of
 *         what was ever added has a value that depends on n alone. The linker
 *         routes the allocator through a call that may refuse (--wrap).
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/stream_chain.h"

#define WRITE_MAX 100000u
#define STEPS     5000u

void *__real_aligned_alloc(size_t to, size_t bytes);
void *__wrap_aligned_alloc(size_t to, size_t bytes);

static bool is_refused;

void *
__wrap_aligned_alloc(size_t to, size_t bytes)
{
	return is_refused ? NULL : __real_aligned_alloc(to, bytes);
}

static struct stream_pool pool;
static struct stream_chain chain;
static uint64_t added, taken; /* bytes, ever */
static uint64_t random_state;

static uint32_t
random_below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % limit;
}

static uint8_t
byte_of(uint64_t n)
{
	return (uint8_t)(n * 0x9e3779b97f4a7c15ull >> 56);
}

static int
setup(void **state)
{
	(void)state;
	stream_pool_init(&pool);
	chain = (struct stream_chain){0};
	added = 0;
	taken = 0;
	is_refused = false;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	stream_chain_drop(&chain, &pool);
	assert_int_equal(pool.bytes_in_use, 0);
	stream_pool_free(&pool);
	return 0;
}

static uint32_t
buffers(void)
{
	uint32_t count = 0;

	for (const struct stream_buf *buf = chain.head; buf != NULL;
	     buf = buf->next)
		count++;
	return count;
}

/* The chain holds what was added and not taken. */
static void
check(void)
{
	uint64_t n = taken;
	const struct stream_buf *last = NULL;

	for (const struct stream_buf *buf = chain.head; buf != NULL;
	     buf = buf->next) {
		for (uint32_t i = buf->head; i < buf->tail; i++)
			assert_int_equal(buf->data[i], byte_of(n++));
		last = buf;
	}
	assert_ptr_equal(last, chain.tail);
	assert_int_equal(n, added);
	assert_int_equal(chain.bytes, added - taken);
}

static int
write_bytes(uint32_t bytes)
{
	static uint8_t data[WRITE_MAX];
	int err;

	for (uint32_t i = 0; i < bytes; i++)
		data[i] = byte_of(added + i);
	err = stream_chain_write(&chain, &pool, data, bytes);
	if (err == 0)
		added += bytes;
	return err;
}

static void
reserve_some(uint32_t bytes, uint32_t allowed, uint32_t used)
{
	uint8_t *to = stream_chain_reserve(&chain, &pool, bytes, allowed);

	assert_non_null(to);
	assert_true(chain.reserved >= bytes && chain.reserved <= allowed);
	assert_true(chain.reserved > 0);
	if (used > chain.reserved)
		used = chain.reserved;
	for (uint32_t i = 0; i < used; i++)
		to[i] = byte_of(added + i);
	stream_chain_commit(&chain, used);
	added += used;
	assert_int_equal(chain.reserved, 0);
}

static void
take_bytes(uint32_t bytes)
{
	stream_chain_take(&chain, &pool, bytes);
	taken += bytes;
	if (chain.bytes == 0)
		assert_null(chain.head);
}

static void
gives_bytes_in_the_order_in_which_they_came(void **state)
{
	const char *given = getenv("FAL_SEED");

	(void)state;
	random_state = given != NULL ? strtoull(given, NULL, 0) : 20261129;
	print_message("FAL_SEED=%" PRIu64 "\n", random_state);
	for (uint32_t i = 0; i < STEPS; i++) {
		const uint32_t scale = 1u << random_below(16);
		const uint32_t bytes = random_below(scale);

		switch (random_below(8)) {
		case 0:
			assert_int_equal(write_bytes(bytes), 0);
			break;
		case 1:
		case 2:
			reserve_some(bytes, bytes + 1 + random_below(scale),
				     random_below(scale));
			break;
		case 3:
			if (random_below(50) == 0) {
				stream_chain_drop(&chain, &pool);
				assert_null(chain.head);
				taken = added;
			}
			break;
		default:
			take_bytes(bytes < chain.bytes ? bytes : chain.bytes);
		}
		check();
	}
}

static void
begins_small_and_goes_on_with_medium_buffers(void **state)
{
	(void)state;
	assert_int_equal(write_bytes(1), 0);
	assert_int_equal(chain.tail->capacity, STREAM_BUF_SMALL_BYTES);
	assert_int_equal(write_bytes(STREAM_BUF_SMALL_BYTES), 0);
	assert_int_equal(buffers(), 2);
	assert_int_equal(chain.tail->capacity, STREAM_BUF_MEDIUM_BYTES);
	check();
}

static void
gives_back_a_reserve_of_which_nothing_came(void **state)
{
	(void)state;
	reserve_some(10, 20, 0);
	assert_int_equal(buffers(), 1);
	take_bytes(0);
	assert_int_equal(pool.bytes_in_use, 0);
}

static void
without_memory_it_is_as_it_was(void **state)
{
	const struct stream_buf *tail;

	(void)state;
	/* All buffers of the first slab but one. */
	assert_int_equal(write_bytes(1), 0);
	for (uint32_t i = 0; i < 62; i++)
		assert_int_equal(write_bytes(STREAM_BUF_MEDIUM_BYTES), 0);
	is_refused = true;
	tail = chain.tail;
	assert_int_equal(write_bytes(4 * STREAM_BUF_MEDIUM_BYTES), FAL_ENOMEM);
	assert_ptr_equal(chain.tail, tail);
	check();
	while (write_bytes(STREAM_BUF_MEDIUM_BYTES) == 0)
		check();
	check();
	assert_null(stream_chain_reserve(&chain, &pool, STREAM_BUF_MEDIUM_BYTES,
					 STREAM_BUF_MEDIUM_BYTES));
	assert_int_equal(chain.reserved, 0);
	check();
	is_refused = false;
	assert_int_equal(write_bytes(STREAM_BUF_MEDIUM_BYTES), 0);
	check();
	take_bytes(chain.bytes);
	assert_int_equal(pool.bytes_in_use, 0);
	is_refused = true;
	stream_pool_free(&pool);
	stream_pool_init(&pool);
	assert_int_equal(write_bytes(1), FAL_ENOMEM);
	assert_null(chain.head);
	assert_null(chain.tail);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gives_bytes_in_the_order_in_which_they_came),
		TEST(begins_small_and_goes_on_with_medium_buffers),
		TEST(gives_back_a_reserve_of_which_nothing_came),
		TEST(without_memory_it_is_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
