/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_socket - the table of connections, their states and their events.
 *
 * Everything that happens to a connection sets a field and puts it on the ready
 * list; socket_visit_ready() alone turns fields into events, in a fixed order:
 * OPENED, then one receive, then READABLE, WRITABLE, CLOSED. A connection that
 * may have more to say goes back to the end of the list, so a full event array
 * starves nobody.
 *
 * Slots are freed at the start of the next poll or wait, not where they die:
 * the peer's address of a CLOSED event stays readable, and no index is used
 * again within the iteration that saw its end.
 */
#include "drivers/stream_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "drivers/stream_config.h"

#define NO_SLOT UINT32_MAX

/* A visit writes OPENED, READABLE and WRITABLE or CLOSED at most. */
#define VISIT_EVENTS_MAX 3u

_Static_assert(VISIT_EVENTS_MAX <= STREAM_EVENTS_MIN, "one visit always fits");

int
socket_core_create(const struct stream_config *config,
		   const struct stream_ops *ops,
		   const struct socket_driver *driver, size_t bytes,
		   struct socket_core **out)
{
	struct stream_config complete = *config;
	struct socket_core *core;

	FAL_ASSERT(bytes >= sizeof(*core));
	if (!stream_config_complete(&complete))
		return FAL_EINVAL;
	core = calloc(1, bytes);
	if (core == NULL)
		return FAL_ENOMEM;
	/* Untouched slots cost no memory: the system maps them at first use. */
	core->conns = calloc(complete.stream_limit, sizeof(*core->conns));
	core->reserve_fd = socket_reserve_open();
	if (core->conns == NULL || core->reserve_fd < 0) {
		const int err = core->conns == NULL ? FAL_ENOMEM : FAL_ELIMIT;

		if (core->reserve_fd >= 0)
			close(core->reserve_fd);
		free(core->conns);
		free(core);
		return err;
	}
	core->base.ops = ops;
	core->base.stream_limit = complete.stream_limit;
	core->driver = driver;
	core->config = complete;
	core->free_head = NO_SLOT;
	list_init(&core->ready);
	list_init(&core->dirty);
	list_init(&core->lingering);
	list_init(&core->dead);
	stream_pool_init(&core->pool);
	for (uint32_t i = 0; i < SOCKET_LISTENERS_MAX; i++)
		core->listeners[i].fd = -1;
	*out = core;
	return 0;
}

void
socket_core_free(struct socket_core *core)
{
	FAL_ASSERT(list_empty(&core->dead));
	for (uint32_t i = 0; i < core->touched; i++)
		FAL_ASSERT(core->conns[i].state == SOCKET_FREE);
	if (core->reserve_fd >= 0)
		close(core->reserve_fd);
	stream_pool_free(&core->pool);
	free(core->conns);
	free(core);
}

struct socket_conn *
socket_new(struct socket_core *core, int fd)
{
	uint32_t index = core->free_head;
	struct socket_conn *conn;
	uint32_t generation = 1;

	if (index != NO_SLOT) {
		generation = core->conns[index].generation;
		core->free_head = core->conns[index].next_free;
	} else if (core->touched < core->base.stream_limit) {
		index = core->touched++;
	} else {
		return NULL;
	}
	conn = &core->conns[index];
	FAL_ASSERT(conn->state == SOCKET_FREE);
	memset(conn, 0, sizeof(*conn));
	conn->generation = generation;
	conn->fd = fd;
	conn->rx_wanted = 1;
	conn->frame_bytes_max = core->config.frame_bytes_max;
	conn->unsent_bytes_max = core->config.unsent_bytes_max;
	list_init(&conn->ready_link);
	list_init(&conn->dirty_link);
	list_init(&conn->end_link);
	socket_count(&core->counters.connections, 1);
	return conn;
}

void
socket_free(struct socket_core *core, struct socket_conn *conn)
{
	FAL_ASSERT(conn->state == SOCKET_DEAD);
	list_del(&conn->ready_link);
	list_del(&conn->dirty_link);
	list_del(&conn->end_link);
	socket_rx_drop(core, conn);
	stream_chain_drop(&conn->tx, &core->pool);
	if (conn->is_reset_wanted)
		socket_reset_fd(conn->fd);
	else
		close(conn->fd);
	conn->fd = -1;
	conn->state = SOCKET_FREE;
	conn->generation++;
	if (conn->generation == 0)
		conn->generation = 1;
	conn->next_free = core->free_head;
	core->free_head = socket_index(core, conn);
}

static bool
is_alive(const struct socket_conn *conn)
{
	return conn->state == SOCKET_OPEN || conn->state == SOCKET_CONNECTING;
}

static bool
is_lingering(const struct socket_conn *conn)
{
	return conn->state == SOCKET_CLOSING || conn->state == SOCKET_LINGERING;
}

/* The connection leaves its present state: gauges and limits. */
static void
state_leave(struct socket_core *core, struct socket_conn *conn)
{
	if (is_alive(conn))
		socket_count(&core->counters.connections, (uint64_t)-1);
	if (is_lingering(conn))
		socket_count(&core->counters.lingering, (uint64_t)-1);
	if (conn->has_limit_place)
		stream_limits_leave(conn->limits, &conn->peer);
	conn->has_limit_place = false;
}

void
socket_kill(struct socket_core *core, struct socket_conn *conn, bool with_reset)
{
	FAL_ASSERT(conn->state != SOCKET_FREE);
	if (conn->state == SOCKET_DEAD)
		return;
	state_leave(core, conn);
	conn->state = SOCKET_DEAD;
	conn->is_reset_wanted |= with_reset;
	list_del(&conn->ready_link);
	list_del(&conn->dirty_link);
	list_del(&conn->end_link);
	list_add_tail(&core->dead, &conn->end_link);
}

/* From alive to CLOSING. */
static void
close_start(struct socket_core *core, struct socket_conn *conn)
{
	state_leave(core, conn);
	conn->state = SOCKET_CLOSING;
	conn->is_paused = false;
	conn->deadline_ns = core->now_ns + core->config.linger_ms * NS_PER_MS;
	list_add_tail(&core->lingering, &conn->end_link);
	socket_count(&core->counters.lingering, 1);
	socket_dirty(core, conn);
	/* Input that came while it was paused is to be thrown away. */
	socket_ready(core, conn);
}

void
socket_close_advance(struct socket_core *core, struct socket_conn *conn)
{
	if (!is_lingering(conn))
		return;
	if (conn->state == SOCKET_CLOSING) {
		if (conn->tx.bytes != 0)
			return;
		/* The FIN goes even if the peer's came first. */
		if (shutdown(conn->fd, SHUT_WR) != 0) {
			socket_kill(core, conn, false);
			return;
		}
		conn->state = SOCKET_LINGERING;
	}
	if (conn->is_finished)
		socket_kill(core, conn, false);
}

void
socket_fail(struct socket_core *core, struct socket_conn *conn,
	    enum stream_reason reason)
{
	FAL_ASSERT(reason != STREAM_NO_REASON);
	if (!is_alive(conn)) {
		socket_kill(core, conn, false);
		return;
	}
	if (conn->reason != STREAM_NO_REASON)
		return; /* The first cause counts. */
	conn->reason = (uint8_t)reason;
	conn->is_reset_wanted =
		reason == STREAM_NO_MEMORY || reason == STREAM_FRAME_TOO_LONG;
	socket_ready(core, conn);
}

void
socket_finish(struct socket_core *core, struct socket_conn *conn)
{
	conn->is_finished = true;
	conn->has_input = false;
	if (is_alive(conn))
		socket_ready(core, conn);
	else
		socket_dirty(core, conn);
}

static void
dead_free(struct socket_core *core)
{
	struct list *link, *after;

	list_for_each_safe (link, after, &core->dead) {
		struct socket_conn *conn =
			list_entry(link, struct socket_conn, end_link);

		if (core->driver->detach(core, conn))
			socket_free(core, conn);
	}
}

static void
lingering_expire(struct socket_core *core)
{
	while (!list_empty(&core->lingering)) {
		struct socket_conn *conn = list_entry(
			core->lingering.next, struct socket_conn, end_link);

		if (conn->deadline_ns > core->now_ns)
			return;
		socket_count(&core->counters.linger_timeouts, 1);
		socket_kill(core, conn, true);
	}
}

void
socket_housekeep(struct socket_core *core, uint64_t now_ns)
{
	core->now_ns = now_ns;
	if (!list_empty(&core->lingering))
		lingering_expire(core);
	if (!list_empty(&core->dead))
		dead_free(core);
	socket_listeners_wake(core);
}

static void
event_put(const struct socket_core *core, const struct socket_conn *conn,
	  enum stream_event_kind kind, enum stream_reason reason,
	  struct stream_event *event)
{
	*event = (struct stream_event){
		.id = socket_id(core, conn),
		.tag = conn->tag,
		.kind = (uint8_t)kind,
		.reason = (uint8_t)reason,
		.is_accepted = conn->is_accepted,
	};
}

/* Whether CLOSED is due now that this visit has or has not said READABLE. */
static bool
is_end_due(const struct socket_conn *conn, bool is_readable)
{
	if (is_readable)
		return false;
	return conn->reason != STREAM_NO_REASON ||
	       (conn->is_finished && !conn->is_paused);
}

/* Reports CLOSED and lets the connection go its last way. */
static void
end_report(struct socket_core *core, struct socket_conn *conn,
	   struct stream_event *event)
{
	if (conn->reason != STREAM_NO_REASON) {
		event_put(core, conn, STREAM_CLOSED, conn->reason, event);
		socket_count(&core->counters.failed, 1);
		socket_kill(core, conn, conn->is_reset_wanted);
		return;
	}
	event_put(core, conn, STREAM_CLOSED, STREAM_FINISHED, event);
	socket_count(&core->counters.finished, 1);
	close_start(core, conn);
}

static bool
is_readable_now(const struct socket_conn *conn)
{
	if (conn->is_paused || conn->is_last_read)
		return false;
	return socket_buffered(conn) >= conn->rx_wanted;
}

/* Visits an OPEN connection that is off the list. Returns the event count. */
static uint32_t
visit_open(struct socket_core *core, struct socket_conn *conn,
	   struct stream_event *events)
{
	uint32_t count = 0;

	if (!conn->is_opened_told) {
		conn->is_opened_told = true;
		event_put(core, conn, STREAM_OPENED, 0, &events[count++]);
	}
	if (conn->has_input && !conn->is_finished &&
	    conn->reason == STREAM_NO_REASON) {
		if (conn->is_paused)
			core->driver->hold(core, conn);
		else
			core->driver->receive(core, conn);
	}

	const bool is_readable = is_readable_now(conn);

	if (is_readable) {
		event_put(core, conn, STREAM_READABLE, 0, &events[count++]);
		conn->is_last_read = conn->reason != STREAM_NO_REASON;
	}
	if (is_end_due(conn, is_readable)) {
		end_report(core, conn, &events[count++]);
		return count;
	}
	if (conn->wants_writable && conn->reason == STREAM_NO_REASON &&
	    conn->tx.bytes <= core->config.writable_bytes) {
		conn->wants_writable = false;
		event_put(core, conn, STREAM_WRITABLE, 0, &events[count++]);
	}
	if (is_readable || (conn->has_input && !conn->is_paused))
		socket_ready(core, conn);
	return count;
}

static uint32_t
visit(struct socket_core *core, struct socket_conn *conn,
      struct stream_event *events)
{
	switch (conn->state) {
	case SOCKET_OPEN:
		return visit_open(core, conn, events);
	case SOCKET_CONNECTING:
		if (conn->reason == STREAM_NO_REASON)
			return 0;
		end_report(core, conn, events);
		return 1;
	case SOCKET_CLOSING:
	case SOCKET_LINGERING:
		socket_rx_drop(core, conn);
		if (conn->has_input && !conn->is_finished)
			core->driver->drain(core, conn);
		if (conn->has_input && !conn->is_finished && is_lingering(conn))
			socket_ready(core, conn);
		return 0;
	default:
		FAL_ASSERT(conn->state == SOCKET_OPEN); /* never dead */
		return 0;
	}
}

uint32_t
socket_visit_ready(struct socket_core *core, struct list *before,
		   struct stream_event *events, uint32_t max)
{
	/* What goes back to the end of the list waits for the next poll. */
	const struct list *last = core->ready.prev;
	uint32_t count = 0;
	bool is_over = before == last;

	while (!is_over && max - count >= VISIT_EVENTS_MAX) {
		struct list *link = before->next;

		is_over = link == last;
		list_del(link);
		count += visit(core,
			       list_entry(link, struct socket_conn, ready_link),
			       events + count);
	}
	FAL_ASSERT(count <= max);
	return count;
}

uint64_t
socket_wait_bound(const struct socket_core *core, uint64_t timeout_ns)
{
	uint64_t bound = timeout_ns;

	if (!list_empty(&core->lingering)) {
		const struct socket_conn *conn = list_entry(
			core->lingering.next, struct socket_conn, end_link);
		const uint64_t left = conn->deadline_ns > core->now_ns
					      ? conn->deadline_ns - core->now_ns
					      : 0;

		bound = left < bound ? left : bound;
	}
	for (uint32_t i = 0; i < SOCKET_LISTENERS_MAX; i++)
		if (core->listeners[i].fd >= 0 &&
		    core->listeners[i].rest_until_ns != 0 &&
		    bound > SOCKET_ACCEPT_REST_NS)
			bound = SOCKET_ACCEPT_REST_NS;
	return bound;
}

void
socket_kill_all(struct socket_core *core)
{
	for (uint32_t i = 0; i < core->touched; i++)
		if (core->conns[i].state != SOCKET_FREE)
			socket_kill(core, &core->conns[i], true);
}

/* Sends what is unsent, and finds out whether WRITABLE is owed for it. */
static void
flush_one(struct socket_core *core, struct socket_conn *conn)
{
	if (conn->state == SOCKET_CONNECTING)
		return; /* The output waits for OPENED. */
	/* Before it is sent: who saw so much unsent may have stopped for it. */
	if (conn->tx.bytes > core->config.writable_bytes)
		conn->wants_writable = true;
	if (conn->tx.bytes != 0 && !conn->is_blocked &&
	    conn->reason == STREAM_NO_REASON)
		core->driver->send(core, conn);
	if (conn->tx.bytes == 0 && conn->tx.head != NULL)
		stream_chain_drop(&conn->tx,
				  &core->pool); /* Reserved, never committed. */
	if (conn->tx.bytes <= core->config.writable_bytes &&
	    conn->wants_writable && conn->state == SOCKET_OPEN)
		socket_ready(core, conn);
	socket_close_advance(core, conn);
}

void
socket_op_flush(struct stream_core *base)
{
	struct socket_core *core = socket_core_of(base);

	/* Bounded: a send never makes its own connection dirty again. */
	while (!list_empty(&core->dirty)) {
		struct socket_conn *conn = list_entry(
			core->dirty.next, struct socket_conn, dirty_link);

		list_del(&conn->dirty_link);
		flush_one(core, conn);
	}
	socket_gauge_set(&core->counters.buffer_bytes, core->pool.bytes_in_use);
	socket_gauge_set(&core->counters.buffer_bytes_peak,
			 core->pool.bytes_peak);
	socket_gauge_set(&core->counters.pool_bytes, core->pool.slab_bytes);
}

void
socket_op_close(struct stream_core *base, stream_id id)
{
	struct socket_core *core = socket_core_of(base);
	struct socket_conn *conn = socket_alive(core, id);

	if (conn == NULL)
		return;
	socket_count(&core->counters.closes, 1);
	conn->is_dropped = true;
	if (conn->state == SOCKET_CONNECTING ||
	    conn->reason != STREAM_NO_REASON)
		socket_kill(core, conn, true);
	else
		close_start(core, conn);
}

void
socket_op_abort(struct stream_core *base, stream_id id)
{
	struct socket_core *core = socket_core_of(base);
	struct socket_conn *conn = socket_alive(core, id);

	if (conn == NULL)
		return;
	socket_count(&core->counters.aborts, 1);
	conn->is_dropped = true;
	socket_kill(core, conn, true);
}

const struct stream_address *
socket_op_peer(struct stream_core *base, stream_id id)
{
	struct socket_conn *conn = socket_of(socket_core_of(base), id);

	return conn != NULL && conn->state != SOCKET_FREE && !conn->is_dropped
		       ? &conn->peer
		       : NULL;
}

void
socket_op_counters_read(struct stream_core *base,
			struct stream_counters *counters)
{
	struct socket_core *core = socket_core_of(base);

#define STREAM_COUNTER(name, what)                                  \
	counters->name = atomic_load_explicit(&core->counters.name, \
					      memory_order_relaxed);
	STREAM_COUNTERS(STREAM_COUNTER)
#undef STREAM_COUNTER
}

const char *
stream_reason_str(uint32_t reason)
{
	static const char *const texts[] = {
		[STREAM_NO_REASON] = "open",
		[STREAM_FINISHED] = "finished by the peer",
		[STREAM_RESET] = "reset by the peer",
		[STREAM_TIMED_OUT] = "timed out",
		[STREAM_REFUSED] = "connection refused",
		[STREAM_UNREACHABLE] = "host or network unreachable",
		[STREAM_FRAME_TOO_LONG] = "frame too long",
		[STREAM_NO_MEMORY] = "out of memory",
		[STREAM_FAILED] = "failed",
	};

	return reason < sizeof(texts) / sizeof(texts[0]) ? texts[reason]
							 : "unknown reason";
}
