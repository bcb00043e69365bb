/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admission - whether a request is taken off its socket now.
 *
 * Overload is answered by not reading (architecture.md section 8): what is not
 * taken waits in the client's socket, and a connection that rests because of
 * us counts as alive (conn_touch_parked()). From the innermost to the outermost
 * limit:
 *
 *   a connection     falconer.outstanding.perConnection unanswered requests,
 *                    CONN_UNSENT_PAUSE bytes it has not read
 *   all of a core    beyond globalOutstandingLimit, or so many bytes, a
 *                    connection waits until none of its requests is
 *                    unanswered; so each still has its turn, and nobody
 *                    expires
 *   the throttle     request_throttle_max_requests at the writer: further ones
 *                    stand in line, connection by connection, oldest first
 *   large frames     largeRequestMaxBytes of them under way: one more closes
 *                    its connection
 *
 * Heartbeats pass all of them, but for those of a client that has left a
 * thousand answers to earlier ones unread. The last reqs of the pool are for
 * connects and detaches.
 *
 * Of requests that stood in line too long ZooKeeper knows two kinds: older
 * than their session's timeout (stale: dropped with their connection), and
 * older than throttled_op_wait_time (answered THROTTLEDOP in their place).
 */
#include "dataplane/reader_int.h"

/* Beyond these, data has to wait for the sake of the session lane. */
#define REQ_RESERVE_SHARE 16u
/* Hours of heartbeats: whoever reads, however slowly, never sends as many. */
#define UNREAD_PINGS_MAX 1000u

static uint32_t
under_way(const struct reader *reader)
{
	return reader->pool.count - reader->pool.free_count;
}

/* ---- one connection, and all of the core
 * --------------------------------------- */

static bool
is_over_global_limit(const struct reader *reader)
{
	const struct reader_options *options = &reader->options;

	return (options->outstanding_max > 0 &&
		under_way(reader) > options->outstanding_max) ||
	       (options->outstanding_bytes_max > 0 &&
		reader->pool.body_bytes > options->outstanding_bytes_max);
}

bool
admission_may_read(const struct reader *reader, const struct conn *conn)
{
	if (conn->is_long || conn->is_syncing ||
	    conn->queued > reader->options.outstanding_per_conn / 2)
		return false;
	if (conn->queued > 0 && is_over_global_limit(reader))
		return false;
	return stream_unsent(reader->parts.streams, conn->stream) <
	       CONN_UNSENT_PAUSE;
}

bool
admission_has_room(struct reader *reader, struct conn *conn)
{
	if (conn->is_long || conn->is_syncing ||
	    conn->queued >= reader->options.outstanding_per_conn ||
	    stream_unsent(reader->parts.streams, conn->stream) >=
		    CONN_UNSENT_PAUSE ||
	    (conn->queued > 0 && is_over_global_limit(reader))) {
		conn_pause(reader, conn);
		return false;
	}
	return true;
}

/* Without this who asks for nothing but heartbeats, and reads no answer, would
 * be given memory up to the limit of its output. */
bool
admission_of_ping(struct reader *reader, struct conn *conn)
{
	if (FAL_LIKELY(stream_unsent(reader->parts.streams, conn->stream) <
		       CONN_UNSENT_PAUSE)) {
		conn->unread_pings = 0;
		return true;
	}
	if (conn->unread_pings < UNREAD_PINGS_MAX) {
		conn->unread_pings++;
		return true;
	}
	conn_pause(reader, conn);
	return false;
}

/* ---- the throttle ----------------------------------------------------------
 */

static bool
is_full(const struct reader *reader)
{
	const uint32_t max = reader->options.throttle_requests_max;

	return max > 0 && under_way(reader) >= max;
}

enum admission
admission_of_request(struct reader *reader, struct conn *conn, int32_t op)
{
	const struct reader_options *options = &reader->options;
	struct stats_core *stats = reader->parts.stats;

	if (reader->pool.free_count <= reader->pool.count / REQ_RESERVE_SHARE)
		return ADMISSION_WAIT; /* asked again in the next round */
	if (is_full(reader)) {
		if (conn->throttled_ms == 0) {
			conn->throttled_ms = reader->now_ms;
			stats_add(stats, STAT_THROTTLE_WAITS, 1);
		}
		if (list_empty(&conn->wait_link))
			list_add_tail(&reader->throttled, &conn->wait_link);
		conn_pause(reader, conn);
		return ADMISSION_WAIT;
	}
	if (conn->throttled_ms == 0)
		return ADMISSION_GO;

	const uint64_t waited_ms = reader->now_ms - conn->throttled_ms;

	conn->throttled_ms = 0;
	stats_hist_record(stats, HIST_THROTTLE_TIME, waited_ms * NS_PER_MS);
	if (options->is_latency_stale && op != OP_CLOSE_SESSION &&
	    waited_ms > (uint64_t)conn->timeout_ms) {
		stats_add(stats, STAT_STALE_REQUESTS, 1);
		if (options->throttle_drops_stale) {
			stats_add(stats, STAT_STALE_REQUESTS_DROPPED, 1);
			return ADMISSION_DROP;
		}
	}
	if (options->throttled_op_wait_ms > 0 && op != OP_CLOSE_SESSION &&
	    waited_ms > options->throttled_op_wait_ms) {
		stats_add(stats, STAT_THROTTLED_OPS, 1);
		return ADMISSION_REFUSE;
	}
	return ADMISSION_GO;
}

void
admission_wake(struct reader *reader)
{
	uint32_t room = reader->options.throttle_requests_max;

	if (list_empty(&reader->throttled) || is_full(reader))
		return;
	/* As many connections as there is room for; each brings at least one
	 * request, and stands in line again for the next. */
	for (room -= under_way(reader);
	     room > 0 && !list_empty(&reader->throttled); room--) {
		struct conn *conn = list_entry(reader->throttled.next,
					       struct conn, wait_link);

		list_del(&conn->wait_link);
		if (conn->state == CONN_OPEN &&
		    admission_may_read(reader, conn))
			conn_resume(reader, conn);
	}
}

/* ---- large frames
 * ------------------------------------------------------------ */

bool
admission_of_frame(struct reader *reader, uint32_t bytes)
{
	const struct reader_options *options = &reader->options;

	if (!admission_is_large(reader, bytes) ||
	    reader->pool.large_bytes + bytes <= options->large_bytes_max)
		return true;
	stats_add(reader->parts.stats, STAT_LARGE_REQUESTS_REJECTED, 1);
	return false;
}

bool
admission_is_large(const struct reader *reader, uint32_t bytes)
{
	const int64_t threshold = reader->options.large_threshold;

	return threshold > 0 && bytes > threshold;
}
