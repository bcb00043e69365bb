/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_lists - answers that are made of collected rows: dump, the watch lists
 * and hash. Rows come core by core and in no order; words_sorted.h puts them
 * into the groups that the texts show.
 */
#include "server/words_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "server/words_sorted.h"

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

static void
put_sets_head(FILE *out, const char *name, const struct words_sorted *sorted)
{
	size_t groups = 0;

	for (size_t i = 0; i < sorted->count;
	     i += words_sorted_same_values(sorted, i))
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
	const struct words_sorted sessions =
		words_sorted_by_value(ask->rows, WORDS_ROW_SESSION);

	fputs("SessionTracker dump:\n", out);
	put_sets_head(out, "Session", &sessions);
	for (size_t i = 0, size; i < sessions.count; i += size) {
		size = words_sorted_same_values(&sessions, i);
		put_set_head(out, size, sessions.row[i]->value);
		for (size_t k = 0; k < size; k++)
			fprintf(out, "\t0x%" PRIx64 "\n",
				(uint64_t)sessions.row[i + k]->id);
	}
	free(sessions.row);
}

static void
put_ephemerals(FILE *out, const struct words_ask *ask)
{
	const struct words_sorted nodes =
		words_sorted_by_session(ask->rows, WORDS_ROW_EPHEMERAL);
	size_t sessions = 0;

	for (size_t i = 0; i < nodes.count; i++)
		sessions += words_sorted_is_new_session(&nodes, i);
	fprintf(out, "ephemeral nodes dump:\nSessions with Ephemerals (%zu):\n",
		sessions);
	for (size_t i = 0; i < nodes.count; i++) {
		if (words_sorted_is_new_session(&nodes, i))
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
	const struct reader_conn_row *one =
		words_row_payload(words_sorted_row(a));
	const struct reader_conn_row *other =
		words_row_payload(words_sorted_row(b));

	return one->expires_ms < other->expires_ms
		       ? -1
		       : one->expires_ms > other->expires_ms;
}

static size_t
conn_group_size(const struct words_ask *ask, const struct words_sorted *conns,
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
	const struct words_sorted conns =
		words_sorted_with(ask->rows, WORDS_ROW_CONN, by_expiry);
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

void
words_put_wchs(FILE *out, const struct words_ask *ask)
{
	const struct watch_counts sum =
		words_watch_summary(ask->rows, ask->server->reader_count);

	fprintf(out,
		"%" PRIu64 " connections watching %" PRIu64
		" paths\nTotal watches:%" PRIu64 "\n",
		sum.data_conns, sum.data_paths, sum.data_watches);
}

void
words_put_wchc(FILE *out, const struct words_ask *ask)
{
	const struct words_sorted watches =
		words_sorted_by_session(ask->rows, WORDS_ROW_WATCH);

	for (size_t i = 0; i < watches.count; i++) {
		if (words_sorted_is_new_session(&watches, i))
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
	const struct words_sorted watches =
		words_sorted_by_path(ask->rows, WORDS_ROW_WATCH);

	for (size_t i = 0; i < watches.count; i++) {
		if (words_sorted_is_new_path(&watches, i)) {
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
