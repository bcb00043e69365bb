/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_socket - the life of a connection that has a descriptor.
 *
 * A visit receives once before it tells what is to be read.
 */
#include "drivers/stream_socket.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int
socket_core_create(const struct stream_config *config,
		   const struct stream_ops *ops,
		   const struct socket_driver *driver, size_t bytes,
		   struct socket_core **out)
{
	struct socket_core *core;
	int err;

	FAL_ASSERT(bytes >= sizeof(*core));
	core = calloc(1, bytes);
	if (core == NULL)
		return FAL_ENOMEM;
	err = stream_table_init(&core->table, ops, config,
				sizeof(*core->conns));
	core->reserve_fd = err == 0 ? socket_reserve_open() : -1;
	if (err == 0 && core->reserve_fd < 0)
		err = FAL_ELIMIT;
	if (err != 0) {
		stream_table_free(&core->table);
		free(core);
		return err;
	}
	core->conns = core->table.slots;
	core->driver = driver;
	for (uint32_t i = 0; i < SOCKET_LISTENERS_MAX; i++)
		core->listeners[i].fd = -1;
	*out = core;
	return 0;
}

void
socket_core_free(struct socket_core *core)
{
	FAL_ASSERT(list_empty(&core->table.dead));
	for (uint32_t i = 0; i < core->table.touched; i++)
		FAL_ASSERT(core->conns[i].slot.state == SLOT_FREE);
	if (core->reserve_fd >= 0)
		close(core->reserve_fd);
	stream_table_free(&core->table);
	free(core);
}

struct socket_conn *
socket_new(struct socket_core *core, int fd)
{
	struct socket_conn *conn =
		socket_conn_of(stream_slot_take(&core->table));

	if (conn != NULL)
		conn->fd = fd;
	return conn;
}

void
socket_free(struct socket_core *core, struct socket_conn *conn)
{
	socket_rx_drop(core, conn);
	stream_chain_drop(&conn->slot.tx, &core->table.pool);
	if (conn->is_reset_wanted)
		socket_reset_fd(conn->fd);
	else
		close(conn->fd);
	conn->fd = -1;
	stream_slot_free(&core->table, &conn->slot);
}

void
socket_kill(struct socket_core *core, struct socket_conn *conn, bool with_reset)
{
	FAL_ASSERT(conn->slot.state != SLOT_FREE);
	if (conn->slot.state == SLOT_DEAD)
		return;
	conn->is_reset_wanted |= with_reset;
	stream_slot_bury(&core->table, &conn->slot);
}

/* From alive to CLOSING. */
static void
close_start(struct socket_core *core, struct socket_conn *conn)
{
	stream_slot_close(&core->table, &conn->slot);
	/* Input that came while it was paused is to be thrown away. */
	socket_ready(core, conn);
}

void
socket_close_advance(struct socket_core *core, struct socket_conn *conn)
{
	if (!stream_slot_is_lingering(&conn->slot))
		return;
	if (conn->slot.state == SLOT_CLOSING) {
		if (conn->slot.tx.bytes != 0)
			return;
		/* The FIN goes even if the peer's came first. */
		if (shutdown(conn->fd, SHUT_WR) != 0) {
			socket_kill(core, conn, false);
			return;
		}
		conn->slot.state = SLOT_LINGERING;
	}
	if (conn->slot.is_finished)
		socket_kill(core, conn, false);
}

void
socket_fail(struct socket_core *core, struct socket_conn *conn,
	    enum stream_reason reason)
{
	if (!stream_slot_is_alive(&conn->slot))
		socket_kill(core, conn, false);
	else if (stream_slot_fail(&core->table, &conn->slot, reason))
		conn->is_reset_wanted = reason == STREAM_NO_MEMORY ||
					reason == STREAM_FRAME_TOO_LONG;
}

void
socket_finish(struct socket_core *core, struct socket_conn *conn)
{
	conn->slot.is_finished = true;
	conn->has_input = false;
	if (stream_slot_is_alive(&conn->slot))
		socket_ready(core, conn);
	else
		socket_dirty(core, conn);
}

static void
dead_free(struct socket_core *core)
{
	struct list *link, *after;

	list_for_each_safe (link, after, &core->table.dead) {
		struct socket_conn *conn =
			list_entry(link, struct socket_conn, slot.end_link);

		if (core->driver->detach(core, conn))
			socket_free(core, conn);
	}
}

void
socket_housekeep(struct socket_core *core, uint64_t now_ns)
{
	struct stream_slot *slot;

	core->table.now_ns = now_ns;
	while ((slot = stream_table_overdue(&core->table)) != NULL)
		socket_kill(core, socket_conn_of(slot), true);
	if (!list_empty(&core->table.dead))
		dead_free(core);
	socket_listeners_wake(core);
}

/* Reports CLOSED and lets the connection go its last way. */
static void
end_report(struct socket_core *core, struct socket_conn *conn,
	   struct stream_event *event)
{
	if (stream_slot_tell_end(&core->table, &conn->slot, event))
		socket_kill(core, conn, conn->is_reset_wanted);
	else
		close_start(core, conn);
}

/* Receives for a connection that has not ended. */
static void
receive(struct socket_core *core, struct socket_conn *conn)
{
	if (!conn->has_input || conn->slot.is_finished ||
	    conn->slot.reason != STREAM_NO_REASON)
		return;
	if (conn->slot.is_paused)
		core->driver->hold(core, conn);
	else
		core->driver->receive(core, conn);
}

/* Visits an OPEN connection that is off the list. Returns the event count. */
static uint32_t
visit_open(struct socket_core *core, struct socket_conn *conn,
	   struct stream_event *events)
{
	struct stream_slot *slot = &conn->slot;
	const uint32_t index = socket_index(core, conn);
	uint32_t count = 0;

	if (!slot->is_opened_told) {
		slot->is_opened_told = true;
		stream_slot_tell(slot, index, STREAM_OPENED, &events[count++]);
	}
	receive(core, conn);

	const bool is_readable =
		stream_slot_is_readable(slot, socket_buffered(conn));

	if (is_readable) {
		stream_slot_tell(slot, index, STREAM_READABLE,
				 &events[count++]);
		slot->is_last_read = slot->reason != STREAM_NO_REASON;
	} else if (stream_slot_is_over(slot)) {
		end_report(core, conn, &events[count++]);
		return count;
	}
	if (stream_slot_pays_writable(&core->table, slot, slot->tx.bytes))
		stream_slot_tell(slot, index, STREAM_WRITABLE,
				 &events[count++]);
	if (is_readable || (conn->has_input && !slot->is_paused))
		socket_ready(core, conn);
	return count;
}

/* Throws away what comes for one that is closed. */
static void
visit_lingering(struct socket_core *core, struct socket_conn *conn)
{
	socket_rx_drop(core, conn);
	if (conn->has_input && !conn->slot.is_finished)
		core->driver->drain(core, conn);
	if (conn->has_input && !conn->slot.is_finished &&
	    stream_slot_is_lingering(&conn->slot))
		socket_ready(core, conn);
}

static uint32_t
visit(struct stream_table *table, struct stream_slot *slot,
      struct stream_event *events)
{
	struct socket_core *core = socket_core_of(&table->base);
	struct socket_conn *conn = socket_conn_of(slot);

	switch (slot->state) {
	case SLOT_OPEN:
		return visit_open(core, conn, events);
	case SLOT_CONNECTING:
		if (slot->reason == STREAM_NO_REASON)
			return 0;
		end_report(core, conn, events);
		return 1;
	case SLOT_CLOSING:
	case SLOT_LINGERING:
		visit_lingering(core, conn);
		return 0;
	default:
		FAL_ASSERT(slot->state == SLOT_OPEN); /* never dead */
		return 0;
	}
}

uint32_t
socket_visit_ready(struct socket_core *core, struct list *before,
		   struct stream_event *events, uint32_t max)
{
	/* What goes back to the end of the list waits for the next poll. */
	return stream_slots_visit(&core->table, before, core->table.ready.prev,
				  visit, events, max);
}

uint64_t
socket_wait_bound(const struct socket_core *core, uint64_t timeout_ns)
{
	uint64_t bound = stream_table_wait_bound(&core->table, timeout_ns);

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
	for (uint32_t i = 0; i < core->table.touched; i++)
		if (core->conns[i].slot.state != SLOT_FREE)
			socket_kill(core, &core->conns[i], true);
}

/* Sends what is unsent, and finds out whether WRITABLE is owed for it. */
static void
flush_one(struct socket_core *core, struct socket_conn *conn)
{
	if (conn->slot.state == SLOT_CONNECTING)
		return; /* The output waits for OPENED. */
	/* Before it is sent: who saw so much unsent may have stopped for it. */
	if (conn->slot.tx.bytes > core->table.config.writable_bytes)
		conn->slot.wants_writable = true;
	if (conn->slot.tx.bytes != 0 && !conn->is_blocked &&
	    conn->slot.reason == STREAM_NO_REASON)
		core->driver->send(core, conn);
	if (conn->slot.tx.bytes == 0 && conn->slot.tx.head != NULL)
		stream_chain_drop(
			&conn->slot.tx,
			&core->table.pool); /* Reserved, never committed. */
	if (conn->slot.tx.bytes <= core->table.config.writable_bytes &&
	    conn->slot.wants_writable && conn->slot.state == SLOT_OPEN)
		socket_ready(core, conn);
	socket_close_advance(core, conn);
}

void
socket_op_flush(struct stream_core *base)
{
	struct socket_core *core = socket_core_of(base);

	/* Bounded: a send never makes its own connection dirty again. */
	while (!list_empty(&core->table.dirty)) {
		struct socket_conn *conn =
			list_entry(core->table.dirty.next, struct socket_conn,
				   slot.dirty_link);

		list_del(&conn->slot.dirty_link);
		flush_one(core, conn);
	}
	stream_table_gauge(&core->table);
}

void
socket_op_close(struct stream_core *base, stream_id id)
{
	struct socket_core *core = socket_core_of(base);
	struct socket_conn *conn = socket_alive(core, id);

	if (conn == NULL)
		return;
	stream_count(&core->table.counters.closes, 1);
	conn->slot.is_dropped = true;
	if (conn->slot.state == SLOT_CONNECTING ||
	    conn->slot.reason != STREAM_NO_REASON)
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
	stream_count(&core->table.counters.aborts, 1);
	conn->slot.is_dropped = true;
	socket_kill(core, conn, true);
}
