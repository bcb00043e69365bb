/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_lists - answers that are made of collected rows: dump, the watch lists
 * and hash. Rows come core by core and in no order; here they are sorted into
 * the groups that the texts show.
 */
#include "server/words_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "znode/watch.h"

/* Sorted rows of a kind; row NULL and count 0 when there is no memory. */
struct sorted {
	const struct words_row **row;
	size_t count;
};

typedef int (*compare_fn)(const void *, const void *);

static struct sorted
sorted_rows(const struct words_ask *ask, enum words_row_kind kind,
	    compare_fn compare)
{
	struct sorted sorted = {.count = 0};

	sorted.row = words_rows_array(ask->rows, kind, &sorted.count);
	if (sorted.count > 1)
		qsort(sorted.row, sorted.count, sizeof(struct words_row *),
		      compare);
	return sorted;
}

static const struct words_row *
row_of(const void *element)
{
	return *(const struct words_row *const *)element;
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
by_value(const void *a, const void *b)
{
	return compare_numbers(row_of(a)->value, row_of(b)->value);
}

static int
by_session_and_path(const void *a, const void *b)
{
	const int order = compare_numbers((uint64_t)row_of(a)->id,
					  (uint64_t)row_of(b)->id);

	return order != 0 ? order : compare_paths(row_of(a), row_of(b));
}

static int
by_path_and_session(const void *a, const void *b)
{
	const int order = compare_paths(row_of(a), row_of(b));

	return order != 0 ? order
			  : compare_numbers((uint64_t)row_of(a)->id,
					    (uint64_t)row_of(b)->id);
}

static void
put_path(FILE *out, const struct words_row *row)
{
	fwrite(words_row_payload(row), 1, row->bytes, out);
}

/* ---- dump ---------------------------------------------------------------- */

/* How Java prints a date. */
static void
put_date(FILE *out, uint64_t monotonic_ms)
{
	const int64_t ahead_ms =
		(int64_t)monotonic_ms - (int64_t)time_ns_to_ms(clock_now_ns());
	const time_t seconds = (time_t)((clock_wall_ms() + ahead_ms) / 1000);
	struct tm tm;
	char text[64] = "?";

	if (localtime_r(&seconds, &tm) != NULL)
		strftime(text, sizeof(text), "%a %b %d %H:%M:%S %Z %Y", &tm);
	fputs(text, out);
}

/* The size of the group that starts at `at`: rows with one value. */
static size_t
group_size(const struct sorted *sorted, size_t at)
{
	size_t end = at + 1;

	while (end < sorted->count &&
	       sorted->row[end]->value == sorted->row[at]->value)
		end++;
	return end - at;
}

static void
put_sets_head(FILE *out, const char *name, const struct sorted *sorted)
{
	size_t groups = 0;

	for (size_t i = 0; i < sorted->count; i += group_size(sorted, i))
		groups++;
	fprintf(out, "%s Sets (%zu)/(%zu):\n", name, groups, sorted->count);
}

static void
put_set_head(FILE *out, size_t count, uint64_t expires_ms)
{
	fprintf(out, "%zu expire at ", count);
	put_date(out, expires_ms);
	fputs(":\n", out);
}

static void
put_sessions(FILE *out, const struct words_ask *ask)
{
	const struct sorted sessions =
		sorted_rows(ask, WORDS_ROW_SESSION, by_value);

	fputs("SessionTracker dump:\n", out);
	put_sets_head(out, "Session", &sessions);
	for (size_t i = 0, size; i < sessions.count; i += size) {
		size = group_size(&sessions, i);
		put_set_head(out, size, sessions.row[i]->value);
		for (size_t k = 0; k < size; k++)
			fprintf(out, "\t0x%" PRIx64 "\n",
				(uint64_t)sessions.row[i + k]->id);
	}
	free(sessions.row);
}

/* The session of sorted row i, or its path, differs from that of the row
 * before: a new group. */
static bool
is_new_session(const struct sorted *sorted, size_t i)
{
	return i == 0 || sorted->row[i]->id != sorted->row[i - 1]->id;
}

static bool
is_new_path(const struct sorted *sorted, size_t i)
{
	return i == 0 || compare_paths(sorted->row[i], sorted->row[i - 1]) != 0;
}

static void
put_ephemerals(FILE *out, const struct words_ask *ask)
{
	const struct sorted nodes =
		sorted_rows(ask, WORDS_ROW_EPHEMERAL, by_session_and_path);
	size_t sessions = 0;

	for (size_t i = 0; i < nodes.count; i++)
		sessions += is_new_session(&nodes, i);
	fprintf(out, "ephemeral nodes dump:\nSessions with Ephemerals (%zu):\n",
		sessions);
	for (size_t i = 0; i < nodes.count; i++) {
		if (is_new_session(&nodes, i))
			fprintf(out, "0x%" PRIx64 ":\n",
				(uint64_t)nodes.row[i]->id);
		fputc('\t', out);
		put_path(out, nodes.row[i]);
		fputc('\n', out);
	}
	free(nodes.row);
}

/* In a server's tick, as sessions are. */
static uint64_t
tick_of(const struct words_ask *ask, const struct words_row *row)
{
	const struct reader_conn_row *conn = words_row_payload(row);
	const uint64_t tick_ms = (uint64_t)ask->server->config->tick_ms;

	return (conn->expires_ms / tick_ms + 1) * tick_ms;
}

/* Two rows of one array. */
static int
by_expiry(const void *a, const void *b)
{
	const struct reader_conn_row *one = words_row_payload(row_of(a));
	const struct reader_conn_row *other = words_row_payload(row_of(b));

	return compare_numbers(one->expires_ms, other->expires_ms);
}

static size_t
conn_group_size(const struct words_ask *ask, const struct sorted *conns,
		size_t at)
{
	const uint64_t tick = tick_of(ask, conns->row[at]);
	size_t end = at + 1;

	while (end < conns->count && tick_of(ask, conns->row[end]) == tick)
		end++;
	return end - at;
}

static void
put_conns(FILE *out, const struct words_ask *ask)
{
	const struct sorted conns = sorted_rows(ask, WORDS_ROW_CONN, by_expiry);
	char address[STREAM_ADDRESS_TEXT_MAX];
	size_t groups = 0;

	for (size_t i = 0; i < conns.count;
	     i += conn_group_size(ask, &conns, i))
		groups++;
	fprintf(out, "Connections dump:\nConnections Sets (%zu)/(%zu):\n",
		groups, conns.count);
	for (size_t i = 0, size; i < conns.count; i += size) {
		size = conn_group_size(ask, &conns, i);
		put_set_head(out, size, tick_of(ask, conns.row[i]));
		for (size_t k = 0; k < size; k++) {
			const struct reader_conn_row *conn =
				words_row_payload(conns.row[i + k]);

			stream_address_text(&conn->peer, address);
			fprintf(out, "\tip: /%s sessionId: 0x%" PRIx64 "\n",
				address, (uint64_t)conn->session_id);
		}
	}
	free(conns.row);
}

void
words_put_dump(FILE *out, const struct words_ask *ask)
{
	put_sessions(out, ask);
	put_ephemerals(out, ask);
	put_conns(out, ask);
}

/* ---- watches --------------------------------------------------------------
 */

/* Distinct hashes: a path that several cores watch counts once. */
static uint64_t
count_paths(const struct words_ask *ask)
{
	const struct sorted hashes =
		sorted_rows(ask, WORDS_ROW_WATCH_PATH, by_value);
	uint64_t count = 0;

	for (size_t i = 0; i < hashes.count; i += group_size(&hashes, i))
		count++;
	free(hashes.row);
	return count;
}

void
words_put_wchs(FILE *out, const struct words_ask *ask)
{
	struct words_rows_at at = {0};
	const struct words_row *row;
	uint64_t conns = 0, paths = 0, watches = 0;

	while ((row = words_rows_next(ask->rows, &at,
				      WORDS_ROW_WATCH_COUNTS)) != NULL) {
		const struct watch_counts *counts = words_row_payload(row);

		conns += counts->data_conns;
		paths += counts->data_paths;
		watches += counts->data_watches;
	}
	if (ask->server->reader_count > 1)
		paths = count_paths(ask);
	fprintf(out,
		"%" PRIu64 " connections watching %" PRIu64
		" paths\nTotal watches:%" PRIu64 "\n",
		conns, paths, watches);
}

void
words_put_wchc(FILE *out, const struct words_ask *ask)
{
	const struct sorted watches =
		sorted_rows(ask, WORDS_ROW_WATCH, by_session_and_path);

	for (size_t i = 0; i < watches.count; i++) {
		if (is_new_session(&watches, i))
			fprintf(out, "0x%" PRIx64 "\n",
				(uint64_t)watches.row[i]->id);
		fputc('\t', out);
		put_path(out, watches.row[i]);
		fputc('\n', out);
	}
	fputc('\n', out);
	free(watches.row);
}

void
words_put_wchp(FILE *out, const struct words_ask *ask)
{
	const struct sorted watches =
		sorted_rows(ask, WORDS_ROW_WATCH, by_path_and_session);

	for (size_t i = 0; i < watches.count; i++) {
		if (is_new_path(&watches, i)) {
			put_path(out, watches.row[i]);
			fputc('\n', out);
		}
		fprintf(out, "\t0x%" PRIx64 "\n", (uint64_t)watches.row[i]->id);
	}
	fputc('\n', out);
	free(watches.row);
}

/* ---- hash ----------------------------------------------------------------
 */

void
words_put_hash(FILE *out, const struct words_ask *ask)
{
	struct words_rows_at at = {0};
	const struct words_row *row;

	if (!ask->server->config->digest_enabled)
		return; /* then there are zxids and no digests */
	while ((row = words_rows_next(ask->rows, &at, WORDS_ROW_DIGEST)) !=
	       NULL)
		fprintf(out, "%" PRIx64 ": %" PRId64 "\n", (uint64_t)row->id,
			(int64_t)row->value);
}
