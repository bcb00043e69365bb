/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_WORDS_SORTED_H
#define FALCONER_SERVER_WORDS_SORTED_H

/*
 * words_sorted - collected rows in the groups that answers show. Rows come core
 * by core and in no order.
 *
 * Context    control thread.
 * Ownership  `row` is malloc'ed and the caller's; NULL and count 0 when there
 *            is no memory. What it points to is the rows'.
 */

#include "server/words_rows.h"
#include "znode/watch.h"

struct words_sorted {
	const struct words_row **row;
	size_t count;
};

struct words_sorted words_sorted_by_value(const struct words_rows *,
					  enum words_row_kind);
/* Rows with a path: by session, then path; by path, then session. */
struct words_sorted words_sorted_by_session(const struct words_rows *,
					    enum words_row_kind);
struct words_sorted words_sorted_by_path(const struct words_rows *,
					 enum words_row_kind);

/* Row i begins a group: differs from the row before it. */
bool words_sorted_is_new_session(const struct words_sorted *, size_t i);
bool words_sorted_is_new_path(const struct words_sorted *, size_t i);
/* Rows from `at` on with the value of that row. */
size_t words_sorted_same_values(const struct words_sorted *, size_t at);

/* data_conns, data_paths and data_watches of all reader cores; of several,
 * a path that more than one watch counts once. */
struct watch_counts words_watch_summary(const struct words_rows *,
					uint32_t reader_count);

/* Of words_sorted.c's neighbours with an order of their own. */
typedef int (*words_compare_fn)(const void *, const void *);
struct words_sorted words_sorted_with(const struct words_rows *,
				      enum words_row_kind, words_compare_fn);
static inline const struct words_row *
words_sorted_row(const void *element)
{
	return *(const struct words_row *const *)element;
}

#endif
