/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: both checksums are zlib's, for every length, alignment and start
 * value, and read nothing beyond their input.
 *
 * Method: zlib is the model. All lengths 0..1024 at 32 alignments, the input
 * ending at the end of a heap block so that ASan sees an overread; long inputs
 * of 0xff and of random bytes around the sizes where the Adler sums must be
 * reduced; random splits. FAL_SEED sets the random bytes.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/checksum.h"

#define LENGTH_MAX    1024u
#define ALIGNMENTS    32u
#define LONG_BYTES    (1u << 20)
#define SPLIT_ROUNDS  2000u
#define SPECIAL_STEPS 70u

static uint64_t state;

static uint64_t
next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void
fill_random(uint8_t *to, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(next_random() >> 32);
}

static void
check_same(const uint8_t *data, size_t bytes, uint32_t crc, uint32_t adler)
{
	const uint32_t crc_want =
		bytes == 0 ? crc : (uint32_t)crc32_z(crc, data, bytes);
	const uint32_t adler_want =
		bytes == 0 ? adler : (uint32_t)adler32_z(adler, data, bytes);

	if (checksum_crc32(crc, data, bytes) != crc_want ||
	    checksum_adler32(adler, data, bytes) != adler_want)
		print_error("%zu bytes differ\n", bytes);
	assert_int_equal(checksum_crc32(crc, data, bytes), crc_want);
	assert_int_equal(checksum_adler32(adler, data, bytes), adler_want);
}

static void
known_texts_have_their_published_values(void **arg)
{
	(void)arg;
	assert_int_equal(checksum_crc32(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(checksum_adler32(1, "Wikipedia", 9), 0x11e60398);
	assert_int_equal(checksum_crc32(0, NULL, 0), 0);
	assert_int_equal(checksum_adler32(7, NULL, 0), 7);
}

static void
every_length_and_alignment_agrees_with_zlib(void **arg)
{
	(void)arg;
	for (size_t shift = 0; shift < ALIGNMENTS; shift++) {
		for (size_t bytes = 0; bytes <= LENGTH_MAX; bytes++) {
			const size_t whole = shift + bytes;
			uint8_t *block = malloc(whole == 0 ? 1 : whole);
			uint32_t adler = (uint32_t)(next_random() % 65521);

			assert_non_null(block);
			fill_random(block, whole);
			adler |= (uint32_t)(next_random() % 65521) << 16;
			check_same(block + shift, bytes,
				   (uint32_t)next_random(), adler);
			check_same(block + shift, bytes, 0, 1);
			free(block);
		}
	}
}

static void
long_runs_of_the_largest_byte_do_not_overflow(void **arg)
{
	uint8_t *block = malloc(LONG_BYTES);

	(void)arg;
	assert_non_null(block);
	memset(block, 0xff, LONG_BYTES);
	check_same(block, LONG_BYTES, UINT32_MAX, 65520u << 16 | 65520u);
	for (size_t i = 0; i < SPECIAL_STEPS; i++) {
		check_same(block, 5536 - 35 + i, 0, 65520u << 16 | 65520u);
		check_same(block, 11072 - 35 + i, 0, 65520u << 16 | 65520u);
	}
	fill_random(block, LONG_BYTES);
	check_same(block, LONG_BYTES, 0, 1);
	free(block);
}

static void
a_sum_made_in_pieces_is_the_sum_of_the_whole(void **arg)
{
	static uint8_t block[20000];

	(void)arg;
	for (uint32_t round = 0; round < SPLIT_ROUNDS; round++) {
		const size_t bytes = next_random() % sizeof(block);
		uint32_t crc = 0;
		uint32_t adler = 1;
		size_t at = 0;

		fill_random(block, bytes % 64);
		while (at < bytes) {
			const size_t rest = bytes - at;
			const size_t part = 1 + next_random() % rest;

			crc = checksum_crc32(crc, block + at, part);
			adler = checksum_adler32(adler, block + at, part);
			at += part;
		}
		assert_int_equal(crc,
				 bytes == 0 ? 0 : crc32_z(0, block, bytes));
		assert_int_equal(adler,
				 bytes == 0 ? 1 : adler32_z(1, block, bytes));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_texts_have_their_published_values),
		cmocka_unit_test(every_length_and_alignment_agrees_with_zlib),
		cmocka_unit_test(long_runs_of_the_largest_byte_do_not_overflow),
		cmocka_unit_test(a_sum_made_in_pieces_is_the_sum_of_the_whole),
	};
	const char *seed = getenv("FAL_SEED");

	state = seed != NULL ? strtoull(seed, NULL, 0) : 0x9e3779b97f4a7c15;
	print_message("FAL_SEED=%llu\n", (unsigned long long)state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
