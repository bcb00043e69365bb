/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    equality and copies of every length touch what they are told to and
 *         nothing else; a hash depends on every byte and on the length.
 * Method  the C library as the model, at every length up to beyond the longest
 *         case of its own; one byte changed at every place; guards on both
 *         sides; memory that ends where the bytes do, for sanitizers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"

#define LENGTH_MAX (2 * BYTES_COPY_MAX + 5)
#define GUARD      0xa5u

/* A block of exactly that size: one byte more is the allocator's. Not inline:
 * knowing the size the compiler warns of loops that do not run. */
static __attribute__((noinline)) uint8_t *
block_of(size_t bytes, uint32_t seed)
{
	uint8_t *block = malloc(bytes == 0 ? 1 : bytes);

	assert_non_null(block);
	for (size_t i = 0; i < bytes; i++)
		block[i] = (uint8_t)(seed + 7 * i);
	return block;
}

static void
any_byte_makes_a_difference(void **state)
{
	(void)state;
	for (size_t bytes = 0; bytes <= LENGTH_MAX; bytes++) {
		uint8_t *a = block_of(bytes, 1), *b = block_of(bytes, 1);

		assert_true(bytes_equal(a, b, bytes));
		for (size_t i = 0; i < bytes; i++) {
			b[i] ^= 0x40;
			assert_false(bytes_equal(a, b, bytes));
			b[i] ^= 0x40;
		}
		free(a);
		free(b);
	}
}

static void
copies_all_and_no_more(void **state)
{
	uint8_t to[LENGTH_MAX + 2];

	(void)state;
	for (size_t bytes = 0; bytes <= LENGTH_MAX; bytes++) {
		uint8_t *from = block_of(bytes, 3);

		memset(to, GUARD, sizeof(to));
		bytes_copy(to + 1, from, bytes);
		assert_int_equal(to[0], GUARD);
		assert_memory_equal(to + 1, from, bytes);
		assert_int_equal(to[1 + bytes], GUARD);
		free(from);
	}
}

static void
short_words_differ_when_their_bytes_do(void **state)
{
	(void)state;
	for (size_t bytes = 1; bytes <= 8; bytes++) {
		uint8_t *block = block_of(bytes, 9);
		const uint64_t word = bytes_load_short(block, bytes);

		for (size_t i = 0; i < bytes; i++) {
			block[i] ^= 0x01;
			assert_true(bytes_load_short(block, bytes) != word);
			block[i] ^= 0x01;
		}
		free(block);
	}
}

static void
a_hash_depends_on_every_byte_and_the_length(void **state)
{
	const struct hash_key key = {
		.word = {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9,
			 0x94d049bb133111eb, 0xd6e8feb86659fd93}};
	uint8_t *zeros = calloc(1, LENGTH_MAX);

	(void)state;
	assert_non_null(zeros);
	for (size_t bytes = 0; bytes <= LENGTH_MAX; bytes++) {
		uint8_t *block = block_of(bytes, 5);
		const uint64_t hash = hash_bytes(&key, block, bytes);

		assert_true(hash == hash_bytes(&key, block, bytes));
		for (size_t i = 0; i < bytes; i++) {
			block[i] ^= 0x80;
			assert_true(hash_bytes(&key, block, bytes) != hash);
			block[i] ^= 0x80;
		}
		free(block);
		if (bytes > 0)
			assert_true(hash_bytes(&key, zeros, bytes) !=
				    hash_bytes(&key, zeros, bytes - 1));
	}
	free(zeros);
}

static void
beginnings_hash_as_they_do_alone(void **state)
{
	struct hash_key key;
	struct hash_prefix prefix = {0};
	uint8_t *block = block_of(LENGTH_MAX, 7);

	(void)state;
	hash_key_random(&key);
	for (size_t bytes = 0; bytes <= LENGTH_MAX; bytes++)
		assert_true(hash_prefix(&key, &prefix, block, bytes) ==
			    hash_bytes(&key, block, bytes));
	/* Some are left out. */
	prefix = (struct hash_prefix){0};
	for (size_t bytes = 1; bytes <= LENGTH_MAX; bytes = 2 * bytes + 3)
		assert_true(hash_prefix(&key, &prefix, block, bytes) ==
			    hash_bytes(&key, block, bytes));
	free(block);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_byte_makes_a_difference),
		cmocka_unit_test(copies_all_and_no_more),
		cmocka_unit_test(short_words_differ_when_their_bytes_do),
		cmocka_unit_test(a_hash_depends_on_every_byte_and_the_length),
		cmocka_unit_test(beginnings_hash_as_they_do_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
