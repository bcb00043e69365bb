/* SPDX-License-Identifier: Apache-2.0 */
/*
 * await - clients that come while a leader is being elected.
 *
 * A server that serves nobody hangs up, so that a client tries another. But
 * when a leader dies all servers lose it at once and have the next in some tens
 * of ms, while whoever was hung up by one after the other pauses: ZooKeeper's
 * Java client for up to a second before each attempt, others once they are
 * through their list. So for options.await_ms behind the moment in which this
 * server stopped serving, ConnectRequests stay unread; they are judged as ever
 * when it serves again, and hung up if it does not in that time. A server that
 * has not served yet, or not for long, makes nobody wait.
 *
 * One who waits is a newcomer that is not read: it counts as a connection in
 * every limit, and the time is far below a newcomer's. All that wait do so for
 * the same moment, hence one deadline.
 */
#include "dataplane/reader_int.h"

void
await_begin(struct reader *reader)
{
	reader->await_until_ms = reader->now_ms + reader->options.await_ms;
}

bool
await_serving(struct reader *reader, struct conn *conn)
{
	FAL_ASSERT(conn->state == CONN_NEWCOMER);
	if (attend_state(reader) != SERVING_CLOSED ||
	    reader->now_ms >= reader->await_until_ms)
		return false;
	FAL_ASSERT(list_empty(&conn->wait_link));
	list_add_tail(&reader->awaiting, &conn->wait_link);
	conn_pause(reader, conn);
	stats_add(reader->parts.stats, STAT_CONNECTIONS_AWAITED, 1);
	return true;
}

void
await_end(struct reader *reader)
{
	while (!list_empty(&reader->awaiting)) {
		struct conn *conn = list_entry(reader->awaiting.next,
					       struct conn, wait_link);

		list_del(&conn->wait_link);
		conn_resume(reader, conn);
	}
}

bool
await_step(struct reader *reader)
{
	if (FAL_LIKELY(list_empty(&reader->awaiting)) ||
	    reader->now_ms < reader->await_until_ms)
		return false;
	for (uint32_t i = 0;
	     i < CONN_CLOSE_BURST && !list_empty(&reader->awaiting); i++) {
		struct conn *conn = list_entry(reader->awaiting.next,
					       struct conn, wait_link);

		stats_add(reader->parts.stats, STAT_CONNECTIONS_REJECTED, 1);
		conn_close(reader, conn); /* out of the list, too */
	}
	return true;
}

uint64_t
await_next_timer_ms(const struct reader *reader)
{
	return list_empty(&reader->awaiting) ? UINT64_MAX
					     : reader->await_until_ms;
}
