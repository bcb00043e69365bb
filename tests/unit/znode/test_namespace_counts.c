/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    Counts belong to the first component of a path; however many names
 *         clients make up, the rows are bounded, each name has one row, and
 *         nothing that was counted is lost.
 * Method  paths of every shape, then more names than there are rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "znode/namespace_counts.h"

static struct namespace_counts counts;

static void
add(const char *path)
{
	namespace_counts_add(&counts, jute_slice_of(path, strlen(path)), 1);
}

/* -1: it has no row. Fails if it has two. */
static int64_t
count_of(const char *name)
{
	struct jute_slice row;
	int64_t found = -1;
	int64_t count;

	for (uint32_t i = 0; namespace_counts_row(&counts, i, &row, &count);
	     i++) {
		if (!jute_slice_equal(row, jute_slice_of(name, strlen(name))))
			continue;
		assert_int_equal(found, -1);
		found = count;
	}
	return found;
}

static int64_t
sum(void)
{
	struct jute_slice row;
	int64_t all = 0, count;

	for (uint32_t i = 0; namespace_counts_row(&counts, i, &row, &count);
	     i++)
		all += count;
	return all;
}

static int
empty(void **state)
{
	(void)state;
	memset(&counts, 0, sizeof(counts));
	return 0;
}

static void
the_first_component_counts(void **state)
{
	(void)state;
	add("/a");
	add("/a/b");
	add("/a/b/c");
	add("/ab");
	add("/"); /* of no namespace */
	add("");
	assert_int_equal(count_of("a"), 3);
	assert_int_equal(count_of("ab"), 1);
	assert_int_equal(count_of("b"), -1);
	assert_int_equal(sum(), 4);
}

static void
long_names_share_a_row(void **state)
{
	char path[NAMESPACE_BYTES_MAX + 3] = "/";

	(void)state;
	memset(path + 1, 'x', NAMESPACE_BYTES_MAX);
	add(path);
	assert_int_equal(count_of(path + 1), 1);
	path[NAMESPACE_BYTES_MAX + 1] = 'x';
	add(path);
	path[1] = 'y';
	add(path);
	assert_int_equal(count_of(NAMESPACE_OTHERS), 2);
}

static void
more_names_than_rows_share_the_last(void **state)
{
	const int64_t names = 3 * NAMESPACE_ROWS_MAX;
	const bool has_others_early = *state != NULL;
	struct jute_slice row;
	int64_t count;
	char path[32];

	if (has_others_early)
		add("/" NAMESPACE_OTHERS);
	for (int round = 0; round < 2; round++) {
		for (int64_t i = 0; i < names; i++) {
			snprintf(path, sizeof(path), "/n%u", (unsigned)i);
			add(path);
		}
	}
	assert_int_equal(sum(), 2 * names + has_others_early);
	assert_int_equal(count_of("n0"), 2);
	assert_true(count_of(NAMESPACE_OTHERS) > 2 * NAMESPACE_ROWS_MAX);
	assert_false(namespace_counts_row(&counts, NAMESPACE_ROWS_MAX, &row,
					  &count));
}

static void
any_number_is_added(void **state)
{
	(void)state;
	const struct jute_slice path = jute_slice_of("/a/b", 4);

	namespace_counts_add(&counts, path, -1);
	assert_int_equal(count_of("a"), -1);
	namespace_counts_add(&counts, path, 8);
	assert_int_equal(count_of("a"), 7);
	namespace_counts_add(&counts, path, INT64_MAX);
	namespace_counts_add(&counts, path, 1);
	assert_int_equal(count_of("a"), INT64_MIN + 7);
}

int
main(void)
{
	static bool early = true;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_first_component_counts, empty),
		cmocka_unit_test_setup(long_names_share_a_row, empty),
		cmocka_unit_test_setup(any_number_is_added, empty),
		cmocka_unit_test_setup(more_names_than_rows_share_the_last,
				       empty),
		{"the_same_where_one_is_called_so",
		 more_names_than_rows_share_the_last, empty, NULL, &early},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
