/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn - client connections: their life, their queue.
 *
 * The queue holds requests that wait (dataplane/req.h). An empty queue means
 * that a read is answered straight from the receive buffer.
 *
 * A connection whose stream died with requests under way stays as a ghost
 * until they came back: their reqs name it.
 */
#include "dataplane/reader_int.h"

#include <stdlib.h>

#include "base/log.h"

#define CONN_NONE UINT32_MAX
/* See conn_touch_parked(). */
#define PARK_TIMEOUTS 3u
#define PARK_TOUCH_MS 500u

int
conn_table_init(struct reader *reader)
{
	/* Ghosts need places of their own, or a storm of closes would refuse
	 * new connections. */
	const uint32_t streams = stream_limit(reader->parts.streams);

	reader->conn_count = reader->parts.channel->conn_limit;
	reader->conns = calloc(reader->conn_count, sizeof(*reader->conns));
	reader->conn_of_stream =
		malloc(streams * sizeof(*reader->conn_of_stream));
	list_init(&reader->free_conns);
	list_init(&reader->newcomers);
	list_init(&reader->overrun);
	list_init(&reader->jobs);
	list_init(&reader->pinned_jobs);
	list_init(&reader->shedding);
	list_init(&reader->throttled);
	list_init(&reader->awaiting);
	list_init(&reader->parked);
	list_init(&reader->detaching);
	if (reader->conns == NULL || reader->conn_of_stream == NULL)
		return FAL_ENOMEM;
	for (uint32_t i = 0; i < streams; i++)
		reader->conn_of_stream[i] = CONN_NONE;
	for (uint32_t i = 0; i < reader->conn_count; i++) {
		struct conn *conn = &reader->conns[i];

		conn->index = i;
		list_init(&conn->link);
		list_init(&conn->park_link);
		list_init(&conn->wait_link);
		list_add_tail(&reader->free_conns, &conn->link);
	}
	return FAL_OK;
}

void
conn_table_free(struct reader *reader)
{
	for (uint32_t i = 0; reader->conns != NULL && i < reader->conn_count;
	     i++) {
		struct conn *conn = &reader->conns[i];

		while (conn->head != NULL) {
			struct req *req = conn->head;

			conn->head = req->next;
			req_free(&reader->pool, req);
		}
		free(conn->held);
		if (conn->ids != NULL)
			req_ids_unref(conn->ids);
	}
	free(reader->conns);
	free(reader->conn_of_stream);
}

struct conn *
conn_of(struct reader *reader, uint32_t index, uint32_t gen)
{
	if (index >= reader->conn_count)
		return NULL;

	struct conn *conn = &reader->conns[index];

	return conn->gen == gen && conn->state != CONN_FREE ? conn : NULL;
}

struct conn *
conn_of_stream(struct reader *reader, stream_id id)
{
	const uint32_t index = reader->conn_of_stream[stream_index(id)];

	if (index == CONN_NONE)
		return NULL;

	struct conn *conn = &reader->conns[index];

	return conn->stream == id ? conn : NULL;
}

/* ---- opening and closing ------------------------------------------------ */

void
conn_opened(struct reader *reader, const struct stream_event *event)
{
	const struct stream_address *peer =
		stream_peer(reader->parts.streams, event->id);
	char host[STREAM_HOST_TEXT_MAX];

	if (peer == NULL)
		return;
	if (list_empty(&reader->free_conns) || reader->is_draining) {
		stream_abort(reader->parts.streams, event->id);
		stats_add(reader->parts.stats, STAT_CONNECTIONS_REJECTED, 1);
		log_post(LOG_CONN_TABLE_FULL, reader->live_count,
			 reader->conn_count);
		return;
	}

	struct conn *conn =
		list_entry(reader->free_conns.next, struct conn, link);
	const struct stream_address address = *peer;

	stream_address_host(&address, host);

	struct auth_ids *list = auth_ids_new(reader->options.acl, host);
	struct req_ids *ids = list == NULL ? NULL : req_ids_new(list);

	if (ids == NULL) {
		stream_abort(reader->parts.streams, event->id);
		return;
	}

	const uint32_t index = conn->index;
	const uint32_t gen = conn->gen + 1;

	list_del(&conn->link);
	*conn = (struct conn){
		.stream = event->id,
		.index = index,
		.gen = gen,
		.state = CONN_NEWCOMER,
		.ids = ids,
		.opened_ms = reader->now_ms,
		.peer = address,
		.established_wall_ms = reader->wall_ms,
		.last_cxid = -1,
		.min_latency_ms = UINT64_MAX,
	};
	list_init(&conn->park_link);
	list_init(&conn->wait_link);
	list_add_tail(&reader->newcomers, &conn->link);
	reader->conn_of_stream[stream_index(event->id)] = index;
	reader->live_count++;
	stats_set(reader->parts.stats, STAT_CONNECTIONS, reader->live_count);
}

/* The place goes back once nobody can name it any more. */
static void
conn_free_if_done(struct reader *reader, struct conn *conn)
{
	if (conn->state != CONN_GHOST || conn->head != NULL ||
	    conn->must_detach || conn->is_shedding)
		return;
	if (conn->ids != NULL)
		req_ids_unref(conn->ids);
	conn->ids = NULL;
	conn->state = CONN_FREE;
	list_del(&conn->link);
	list_add_tail(&reader->free_conns, &conn->link);
}

static bool
send_detach(struct reader *reader, struct conn *conn)
{
	struct req *req = req_new(&reader->pool, NULL, 0, NULL);

	if (req == NULL)
		return false;
	req->kind = REQ_DETACH;
	req->session_id = conn->session_id;
	req->owner = (struct session_owner){
		.core = reader->parts.channel->core,
		.conn = conn->index,
		.conn_gen = conn->gen,
	};
	req->heard_ms = atomic_load_explicit(
		&reader->parts.channel->heard[conn->index].ms,
		memory_order_relaxed);
	if (answer_submit(reader, req))
		return true;
	req_free(&reader->pool, req);
	return false;
}

bool
conn_send_detaches(struct reader *reader)
{
	bool did_work = false;

	while (!list_empty(&reader->detaching)) {
		struct conn *conn =
			list_entry(reader->detaching.next, struct conn, link);

		if (!send_detach(reader, conn))
			break;
		list_del(&conn->link);
		conn->must_detach = false;
		conn_free_if_done(reader, conn);
		did_work = true;
	}
	return did_work;
}

bool
conn_shed_watches(struct reader *reader)
{
	if (list_empty(&reader->shedding))
		return false;

	struct conn *conn =
		list_entry(reader->shedding.next, struct conn, park_link);

	if (events_drop_some(reader, conn)) {
		list_del(&conn->park_link);
		conn->is_shedding = false;
		conn_free_if_done(reader, conn);
	}
	return true;
}

/* The stream is gone or about to be: what is left is bookkeeping. Requests
 * that only wait here are dropped, those at the ZAB core come back. */
static void
conn_become_ghost(struct reader *reader, struct conn *conn)
{
	struct req *sent_head = NULL, **sent_end = &sent_head;

	free(conn->held);
	conn->held = NULL;
	atomic_store_explicit(
		&reader->parts.channel->heard[conn->index].session_id, 0,
		memory_order_relaxed);
	reader->conn_of_stream[stream_index(conn->stream)] = CONN_NONE;
	conn->stream = STREAM_NONE;
	list_del(&conn->link);
	list_del(&conn->park_link);
	list_del(&conn->wait_link);
	/* Most have few watches or none; a hundred thousand take rounds. */
	if (!events_drop_some(reader, conn)) {
		conn->is_shedding = true;
		list_add_tail(&reader->shedding, &conn->park_link);
	}
	if (conn->state == CONN_OPEN || conn->state == CONN_LEAVING)
		conn->must_detach = conn->session_id != 0;
	conn->state = CONN_GHOST;
	conn->tail = NULL;
	conn->queued = 0;
	for (struct req *req = conn->head, *next; req != NULL; req = next) {
		next = req->next;
		if (req->state != REQ_IS_SENT) {
			req_free(&reader->pool, req);
			continue;
		}
		req->next = NULL;
		*sent_end = req;
		sent_end = &req->next;
		conn->tail = req;
		conn->queued++;
	}
	conn->head = sent_head;
	if (conn->must_detach)
		list_add_tail(&reader->detaching, &conn->link);
	FAL_ASSERT(reader->live_count > 0);
	reader->live_count--;
	stats_set(reader->parts.stats, STAT_CONNECTIONS, reader->live_count);
	conn_free_if_done(reader, conn);
}

void
conn_closed(struct reader *reader, stream_id id)
{
	struct conn *conn = conn_of_stream(reader, id);

	if (conn == NULL)
		return;
	stats_add(reader->parts.stats, STAT_CONNECTIONS_DROPPED, 1);
	conn_become_ghost(reader, conn);
}

void
conn_close(struct reader *reader, struct conn *conn)
{
	if (conn->stream == STREAM_NONE)
		return;
	stream_close(reader->parts.streams, conn->stream);
	conn_become_ghost(reader, conn);
}

void
conn_abort(struct reader *reader, struct conn *conn)
{
	if (conn->stream == STREAM_NONE)
		return;
	stream_abort(reader->parts.streams, conn->stream);
	conn_become_ghost(reader, conn);
}

bool
conn_close_clients(struct reader *reader)
{
	uint32_t closed = 0;

	while (reader->hang_up_at < reader->conn_count) {
		struct conn *conn = &reader->conns[reader->hang_up_at];

		if (conn_is_client(conn)) {
			if (closed == CONN_CLOSE_BURST)
				return false;
			conn_close(reader, conn);
			closed++;
		}
		reader->hang_up_at++;
	}
	reader->hang_up_at = 0;
	return true;
}

void
conn_leave(struct reader *reader, struct conn *conn)
{
	if (conn->stream == STREAM_NONE)
		return;
	if (conn->head == NULL) {
		conn_close(reader, conn);
		return;
	}
	conn->state = CONN_LEAVING;
	conn_pause(reader, conn);
}

void
conn_pause(struct reader *reader, struct conn *conn)
{
	if (conn->is_paused)
		return;
	conn->is_paused = true;
	stream_pause(reader->parts.streams, conn->stream);
	if (conn->state == CONN_OPEN) {
		conn->parked_ms = reader->now_ms;
		list_add_tail(&reader->parked, &conn->park_link);
	}
}

void
conn_resume(struct reader *reader, struct conn *conn)
{
	if (!conn->is_paused || conn->stream == STREAM_NONE)
		return;
	conn->is_paused = false;
	list_del(&conn->park_link);
	stream_resume(reader->parts.streams, conn->stream);
}

void
conn_writable(struct reader *reader, stream_id id)
{
	struct conn *conn = conn_of_stream(reader, id);

	if (conn != NULL && conn->state == CONN_OPEN &&
	    list_empty(&conn->wait_link) && admission_may_read(reader, conn))
		conn_resume(reader, conn);
}

/*
 * A heartbeat that lies unread in a socket we do not read is no sign of death:
 * overload must not expire sessions. For PARK_TIMEOUTS of its own timeouts a
 * parked connection counts as heard; one that is parked longer, because its
 * client reads nothing, is on its own (architecture.md section 8).
 */
void
conn_touch_parked(struct reader *reader)
{
	struct list *link;

	if (reader->now_ms < conn_next_touch_ms(reader))
		return;
	reader->parked_touch_ms = reader->now_ms;
	list_for_each (link, &reader->parked) {
		const struct conn *conn =
			list_entry(link, struct conn, park_link);

		if (reader->now_ms - conn->parked_ms <=
		    PARK_TIMEOUTS * (uint64_t)conn->timeout_ms)
			channel_touch(reader->parts.channel, conn->index,
				      reader->now_ms);
	}
}

uint64_t
conn_next_touch_ms(const struct reader *reader)
{
	return list_empty(&reader->parked)
		       ? UINT64_MAX
		       : reader->parked_touch_ms + PARK_TOUCH_MS;
}

/* ---- what cons shows
 * ------------------------------------------------------------- */

void
conn_reset_stats(struct conn *conn)
{
	conn->received = 0;
	conn->sent = 0;
	conn->last_op = 0; /* shown as NA */
	conn->last_cxid = -1;
	conn->last_zxid = -1;
	conn->last_response_ms = 0;
	conn->last_latency_ms = 0;
	conn->min_latency_ms = UINT64_MAX;
	conn->max_latency_ms = 0;
	conn->latency_sum_ms = 0;
	conn->latency_count = 0;
}

/* ---- the queue ------------------------------------------------------------
 */

void
conn_queue_push(struct conn *conn, struct req *req)
{
	req->next = NULL;
	if (conn->tail == NULL)
		conn->head = req;
	else
		conn->tail->next = req;
	conn->tail = req;
	conn->queued++;
}

void
conn_queue_push_head(struct conn *conn, struct req *req)
{
	req->next = conn->head;
	if (conn->head == NULL)
		conn->tail = req;
	conn->head = req;
	conn->queued++;
}

static struct req *
take_head(struct conn *conn)
{
	struct req *req = conn->head;

	FAL_ASSERT(req != NULL && conn->queued > 0);
	conn->head = req->next;
	if (conn->head == NULL)
		conn->tail = NULL;
	conn->queued--;
	return req;
}

void
conn_queue_pop(struct reader *reader, struct conn *conn)
{
	uint32_t let_go = 0;

	req_free(&reader->pool, take_head(conn));
	const uint32_t waiting = conn->queued;

	while (conn->stream != STREAM_NONE && conn->head != NULL &&
	       conn->head->state != REQ_IS_SENT) {
		/* Off the queue before it is served: serving may close the
		 * connection, which frees what waits there. */
		struct req *req = take_head(conn);

		if (req->state == REQ_IS_LOCAL) {
			let_go++;
			stats_hist_record(reader->parts.stats, HIST_READ_WAIT,
					  reader->now_ns - req->received_ns);
		}
		if (!serve_queued(reader, conn, req))
			req_free(&reader->pool, req);
	}
	if (let_go > 0) {
		stats_summary_record(reader->parts.stats, SUMMARY_WAITING,
				     waiting);
		stats_summary_record(reader->parts.stats, SUMMARY_LET_GO,
				     let_go);
	}
	if (conn->state == CONN_GHOST) {
		conn_free_if_done(reader, conn);
		return;
	}
	if (conn->state == CONN_LEAVING) {
		if (conn->head == NULL)
			conn_close(reader, conn);
		return;
	}
	if (conn->is_paused && conn->state == CONN_OPEN &&
	    list_empty(&conn->wait_link) && admission_may_read(reader, conn))
		conn_resume(reader, conn);
}

void
conn_queue_remove(struct reader *reader, struct conn *conn, struct req *req)
{
	struct req **at = &conn->head, *before = NULL;

	FAL_ASSERT(conn->state == CONN_GHOST);
	while (*at != req) {
		FAL_ASSERT(*at != NULL);
		before = *at;
		at = &before->next;
	}
	*at = req->next;
	if (conn->tail == req)
		conn->tail = before;
	conn->queued--;
	req_free(&reader->pool, req);
	conn_free_if_done(reader, conn);
}
