/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    rows that cores put into chunks come out again, in order, whole and
 *         aligned, whatever their sizes.
 * Method  rows of all small sizes and of more than a chunk, put as the cores
 *         do it: refused, grown, put again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/words_rows.h"

#define LARGE 300001u

static uint8_t payload[LARGE];

/* Returns how often the list had to grow for it: 0 or 1. */
static uint32_t
put(struct words_rows *rows, enum words_row_kind kind, uint32_t bytes,
    int64_t id)
{
	const struct words_row row = {.kind = kind,
				      .bytes = bytes,
				      .id = id,
				      .value = (uint64_t)id * 3};

	memset(payload, (int)(id % 251), bytes);
	if (words_rows_put(rows, &row, payload))
		return 0;
	assert_true(words_rows_grow(rows) >= bytes);
	assert_true(words_rows_put(rows, &row, payload));
	return 1;
}

static void
expect(const struct words_row *row, uint32_t bytes, int64_t id)
{
	const uint8_t *got;

	assert_non_null(row);
	assert_int_equal((uintptr_t)row % 8, 0);
	assert_int_equal(row->bytes, bytes);
	assert_int_equal(row->id, id);
	assert_int_equal(row->value, (uint64_t)id * 3);
	got = words_row_payload(row);
	for (uint32_t i = 0; i < bytes; i++)
		assert_int_equal(got[i], id % 251);
}

static void
an_empty_list_has_no_rows_and_refuses_the_first(void **state)
{
	struct words_rows rows = {0};
	struct words_rows_at at = {0};
	const struct words_row row = {.kind = WORDS_ROW_DIGEST};
	size_t count = 99;

	(void)state;
	assert_null(words_rows_next(&rows, &at, WORDS_ROW_DIGEST));
	assert_false(words_rows_put(&rows, &row, NULL));

	const struct words_row **array =
		words_rows_array(&rows, WORDS_ROW_DIGEST, &count);

	assert_non_null(array);
	assert_int_equal(count, 0);
	free(array);
	words_rows_free(&rows);
}

static void
rows_of_every_size_come_out_in_order_by_kind(void **state)
{
	enum { SIZES = 2000 };
	struct words_rows rows = {0};
	struct words_rows_at at = {0}, other = {0};
	uint32_t grown = 0;

	(void)state;
	for (uint32_t i = 0; i < SIZES; i++) {
		grown += put(&rows, WORDS_ROW_WATCH, i, i);
		if (i == 1000)
			grown += put(&rows, WORDS_ROW_EPHEMERAL, LARGE, 77);
	}
	assert_true(grown > 10);
	for (uint32_t i = 0; i < SIZES; i++)
		expect(words_rows_next(&rows, &at, WORDS_ROW_WATCH), i, i);
	assert_null(words_rows_next(&rows, &at, WORDS_ROW_WATCH));
	expect(words_rows_next(&rows, &other, WORDS_ROW_EPHEMERAL), LARGE, 77);
	assert_null(words_rows_next(&rows, &other, WORDS_ROW_EPHEMERAL));
	words_rows_free(&rows);
	assert_null(rows.first);
	assert_int_equal(rows.bytes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			an_empty_list_has_no_rows_and_refuses_the_first),
		cmocka_unit_test(rows_of_every_size_come_out_in_order_by_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
