/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_collect - each pass is a loop "next row, put it": lists remember where
 * they stand, so a row that does not fit is asked for once more when there is
 * room. A slice looks at so many places and fills at most the chunk.
 */
#include "server/words_collect.h"

#include "znode/watch.h"

/* A place is a cache miss or two: about 10 us. */
#define SLICE_PLACES 64u
#define DATA_MODES   (WATCH_DATA | WATCH_PERSISTENT | WATCH_RECURSIVE)

/* The end of a slice of a list whose cursor is 0 at the end. */
static enum words_progress
progress_of(uint32_t place)
{
	return place == 0 ? WORDS_END : WORDS_MORE;
}

static enum words_progress
collect_conns(struct reader *reader, struct words_cursor *cursor,
	      struct words_rows *rows)
{
	uint32_t budget = SLICE_PLACES;
	uint32_t before = cursor->place;
	struct reader_conn_row conn;

	for (; reader_conn_next(reader, &cursor->place, &budget, &conn);
	     before = cursor->place) {
		const struct words_row row = {.kind = WORDS_ROW_CONN,
					      .bytes = sizeof(conn)};

		if (!words_rows_put(rows, &row, &conn)) {
			cursor->place = before;
			return WORDS_FULL;
		}
	}
	return progress_of(cursor->place);
}

static enum words_progress
collect_watches(struct reader *reader, struct words_cursor *cursor,
		struct words_rows *rows)
{
	uint32_t budget = SLICE_PLACES;
	uint32_t before = cursor->place;
	struct reader_watch_row watch;

	for (; reader_watch_next(reader, &cursor->place, &budget, &watch);
	     before = cursor->place) {
		if (!(watch.modes & DATA_MODES) || watch.path.bytes < 0)
			continue;

		const struct words_row row = {
			.kind = WORDS_ROW_WATCH,
			.bytes = (uint32_t)watch.path.bytes,
			.id = watch.session_id,
		};

		if (!words_rows_put(rows, &row, watch.path.data)) {
			cursor->place = before;
			return WORDS_FULL;
		}
	}
	return progress_of(cursor->place);
}

static enum words_progress
collect_watch_counts(struct reader *reader, struct words_rows *rows)
{
	struct watch_counts counts;
	const struct words_row row = {.kind = WORDS_ROW_WATCH_COUNTS,
				      .bytes = sizeof(counts)};

	watch_counts(reader_watches(reader), &counts);
	return words_rows_put(rows, &row, &counts) ? WORDS_END : WORDS_FULL;
}

/* Several cores may watch one path: only their hashes tell how many paths
 * there are. */
static enum words_progress
collect_watch_hashes(struct reader *reader, struct words_cursor *cursor,
		     struct words_rows *rows)
{
	uint32_t budget = SLICE_PLACES;
	uint32_t before = cursor->place;
	struct reader_watch_row watch;

	if (!cursor->has_counts) {
		if (collect_watch_counts(reader, rows) == WORDS_FULL)
			return WORDS_FULL;
		cursor->has_counts = true;
	}
	for (; reader_watch_next(reader, &cursor->place, &budget, &watch);
	     before = cursor->place) {
		const struct words_row row = {.kind = WORDS_ROW_WATCH_PATH,
					      .value = watch.path_hash};

		if (watch.is_data_path && !words_rows_put(rows, &row, NULL)) {
			cursor->place = before;
			return WORDS_FULL;
		}
	}
	return progress_of(cursor->place);
}

static enum words_progress
collect_sessions(struct zab *zab, struct words_cursor *cursor,
		 struct words_rows *rows)
{
	uint32_t budget = SLICE_PLACES;
	struct zab_session_cursor before = cursor->sessions;
	struct zab_session_row session;

	for (; zab_session_next(zab, &cursor->sessions, &budget, &session);
	     before = cursor->sessions) {
		const bool is_ephemeral = session.path.bytes >= 0;
		const struct words_row row = {
			.kind = is_ephemeral ? WORDS_ROW_EPHEMERAL
					     : WORDS_ROW_SESSION,
			.bytes =
				is_ephemeral ? (uint32_t)session.path.bytes : 0,
			.id = session.session_id,
			.value = session.expires_ms,
		};

		if (!words_rows_put(rows, &row, session.path.data)) {
			cursor->sessions = before;
			return WORDS_FULL;
		}
	}
	return cursor->sessions.sessions.is_done ? WORDS_END : WORDS_MORE;
}

/* At most DIGEST_LOG_ENTRIES of them, 24 bytes each: one slice. */
static enum words_progress
collect_digests(struct zab *zab, struct words_cursor *cursor,
		struct words_rows *rows)
{
	uint64_t before = cursor->position;
	struct digest_log_entry entry;

	for (; zab_digest_next(zab, &cursor->position, &entry);
	     before = cursor->position) {
		const struct words_row row = {.kind = WORDS_ROW_DIGEST,
					      .id = entry.zxid,
					      .value = entry.digest};

		if (!words_rows_put(rows, &row, NULL)) {
			cursor->position = before;
			return WORDS_FULL;
		}
	}
	return WORDS_END;
}

static uint64_t
milli_rate(uint64_t weight, uint64_t window_ms)
{
	return weight * 1000u * 1000u / window_ms;
}

/* At most 2 * TOP_PLACES of them: one slice. */
static enum words_progress
collect_top(struct reader *reader, struct words_cursor *cursor,
	    struct words_rows *rows)
{
	uint32_t before = cursor->place;
	struct reader_top_row top;

	for (; reader_top_next(reader, &cursor->place, &top);
	     before = cursor->place) {
		const struct words_row row = {
			.kind = top.is_client ? WORDS_ROW_TOP_CLIENT
					      : WORDS_ROW_TOP_PATH,
			.bytes = top.place->bytes,
			.id = (int64_t)milli_rate(top.place->excess,
						  top.window_ms),
			.value = milli_rate(top.place->weight, top.window_ms),
		};

		if (!words_rows_put(rows, &row, top.place->name)) {
			cursor->place = before;
			return WORDS_FULL;
		}
	}
	return WORDS_END;
}

/* At most 2 * SLOW_PLACES of them: one slice. */
static enum words_progress
collect_slow(struct reader *reader, struct words_cursor *cursor,
	     struct words_rows *rows)
{
	uint32_t before = cursor->place;
	const struct slow_request *slow;

	for (; (slow = reader_slow_next(reader, &cursor->place)) != NULL;
	     before = cursor->place) {
		const struct words_row row = {.kind = WORDS_ROW_SLOW,
					      .bytes = sizeof(*slow),
					      .value = slow->total_ns};

		if (!words_rows_put(rows, &row, slow)) {
			cursor->place = before;
			return WORDS_FULL;
		}
	}
	return WORDS_END;
}

static enum words_progress
collect_permitted(struct reader *reader, const struct words_cursor *cursor,
		  struct words_rows *rows)
{
	const struct words_row row = {
		.kind = WORDS_ROW_PERMITTED,
		.value = reader_permits_all(reader, cursor->arg),
	};

	return words_rows_put(rows, &row, NULL) ? WORDS_END : WORDS_FULL;
}

/* The row first: when it is there, nothing can go wrong any more. */
static enum words_progress
shed(struct reader *reader, struct words_cursor *cursor,
     struct words_rows *rows)
{
	const int *percentage = cursor->arg;
	struct words_row row = {.kind = WORDS_ROW_SHED};

	row.value = reader_shed(reader, &cursor->place, SLICE_PLACES,
				(uint32_t)*percentage, false);
	if (!words_rows_put(rows, &row, NULL))
		return WORDS_FULL;
	reader_shed(reader, &cursor->place, SLICE_PLACES, (uint32_t)*percentage,
		    true);
	return progress_of(cursor->place);
}

enum words_progress
words_collect(enum words_pass pass, struct reader *reader, struct zab *zab,
	      struct words_cursor *cursor, struct words_rows *rows)
{
	switch (pass) {
	case WORDS_PASS_CONNS:
		return collect_conns(reader, cursor, rows);
	case WORDS_PASS_WATCHES:
		return collect_watches(reader, cursor, rows);
	case WORDS_PASS_WATCH_COUNTS:
		return collect_watch_counts(reader, rows);
	case WORDS_PASS_WATCH_HASHES:
		return collect_watch_hashes(reader, cursor, rows);
	case WORDS_PASS_RESET_CONNS:
		reader_reset_conns(reader, &cursor->place, SLICE_PLACES);
		return progress_of(cursor->place);
	case WORDS_PASS_PING:
		return WORDS_END;
	case WORDS_PASS_TOP:
		return collect_top(reader, cursor, rows);
	case WORDS_PASS_SLOW:
		return collect_slow(reader, cursor, rows);
	case WORDS_PASS_ROOT_ACL:
		return collect_permitted(reader, cursor, rows);
	case WORDS_PASS_SHED:
		return shed(reader, cursor, rows);
	case WORDS_PASS_SESSIONS:
		return collect_sessions(zab, cursor, rows);
	default:
		FAL_ASSERT(pass == WORDS_PASS_DIGESTS);
		return collect_digests(zab, cursor, rows);
	}
}
