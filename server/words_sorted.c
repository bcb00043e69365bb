/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_sorted - arrays of rows, and the orders they are put in.
 */
#include "server/words_sorted.h"

#include <stdlib.h>
#include <string.h>

struct words_sorted
words_sorted_with(const struct words_rows *rows, enum words_row_kind kind,
		  words_compare_fn compare)
{
	struct words_sorted sorted = {.count = 0};

	sorted.row = words_rows_array(rows, kind, &sorted.count);
	if (sorted.count > 1)
		qsort(sorted.row, sorted.count, sizeof(struct words_row *),
		      compare);
	return sorted;
}

static int
compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int
compare_paths(const struct words_row *a, const struct words_row *b)
{
	const uint32_t common = a->bytes < b->bytes ? a->bytes : b->bytes;
	const int order =
		memcmp(words_row_payload(a), words_row_payload(b), common);

	return order != 0 ? order : compare_numbers(a->bytes, b->bytes);
}

static int
compare_sessions(const struct words_row *a, const struct words_row *b)
{
	return compare_numbers((uint64_t)a->id, (uint64_t)b->id);
}

static int
by_value(const void *a, const void *b)
{
	return compare_numbers(words_sorted_row(a)->value,
			       words_sorted_row(b)->value);
}

static int
by_session_and_path(const void *a, const void *b)
{
	const int order =
		compare_sessions(words_sorted_row(a), words_sorted_row(b));

	return order != 0 ? order
			  : compare_paths(words_sorted_row(a),
					  words_sorted_row(b));
}

static int
by_path_and_session(const void *a, const void *b)
{
	const int order =
		compare_paths(words_sorted_row(a), words_sorted_row(b));

	return order != 0 ? order
			  : compare_sessions(words_sorted_row(a),
					     words_sorted_row(b));
}

struct words_sorted
words_sorted_by_value(const struct words_rows *rows, enum words_row_kind kind)
{
	return words_sorted_with(rows, kind, by_value);
}

struct words_sorted
words_sorted_by_session(const struct words_rows *rows, enum words_row_kind kind)
{
	return words_sorted_with(rows, kind, by_session_and_path);
}

struct words_sorted
words_sorted_by_path(const struct words_rows *rows, enum words_row_kind kind)
{
	return words_sorted_with(rows, kind, by_path_and_session);
}

bool
words_sorted_is_new_session(const struct words_sorted *sorted, size_t i)
{
	return i == 0 || sorted->row[i]->id != sorted->row[i - 1]->id;
}

bool
words_sorted_is_new_path(const struct words_sorted *sorted, size_t i)
{
	return i == 0 || compare_paths(sorted->row[i], sorted->row[i - 1]) != 0;
}

size_t
words_sorted_same_values(const struct words_sorted *sorted, size_t at)
{
	size_t end = at + 1;

	while (end < sorted->count &&
	       sorted->row[end]->value == sorted->row[at]->value)
		end++;
	return end - at;
}

/* Distinct hashes: a path that several cores watch counts once. */
static uint64_t
count_paths(const struct words_rows *rows)
{
	const struct words_sorted hashes =
		words_sorted_by_value(rows, WORDS_ROW_WATCH_PATH);
	uint64_t count = 0;

	for (size_t i = 0; i < hashes.count;
	     i += words_sorted_same_values(&hashes, i))
		count++;
	free(hashes.row);
	return count;
}

struct watch_counts
words_watch_summary(const struct words_rows *rows, uint32_t reader_count)
{
	struct words_rows_at at = {0};
	const struct words_row *row;
	struct watch_counts sum = {0};

	while ((row = words_rows_next(rows, &at, WORDS_ROW_WATCH_COUNTS)) !=
	       NULL) {
		const struct watch_counts *counts = words_row_payload(row);

		sum.data_conns += counts->data_conns;
		sum.data_paths += counts->data_paths;
		sum.data_watches += counts->data_watches;
	}
	if (reader_count > 1)
		sum.data_paths = count_paths(rows);
	return sum;
}
