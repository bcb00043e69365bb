/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_epoll - stream.h over kernel sockets and epoll.
 *
 * Connections are registered once, edge-triggered, for input: pausing means not
 * to receive, so it costs no system call, and the edge is remembered in
 * has_input. A receive that returns less than was asked for has emptied the
 * socket; the next byte makes a new edge. Output is subscribed when the first
 * send of a connection meets a full socket, and stays so.
 *
 * Listeners are level-triggered: after a burst the rest is told again. The
 * doorbell is edge-triggered: each write of it ends a wait, nobody reads it.
 *
 * stream_wait() leaves the events it got in the core; the next poll takes them
 * and saves its own epoll_wait().
 */
#include "drivers/stream_socket.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"

#define EVENTS_MAX 256

/* Bytes thrown away per visit of a closing connection. */
#define DRAIN_BYTES (1u << 20)

/* What an event's 64 bits name: the id of a connection (generation above, never
 * 0), or with generation 0 one of these. */
#define KEY_DOORBELL UINT64_C(0xffffffff)
#define KEY_LISTENER UINT64_C(0)

struct epoll_core {
	struct socket_core shared; /* first */
	int epoll_fd;
	uint32_t event_count;   /* left by stream_wait(); UINT32_MAX: none */
	uint32_t listeners_due; /* bit i: listener i has news */
	bool has_pwait2;
	bool has_rung; /* the doorbell, since the last wait ended */
	struct epoll_event events[EVENTS_MAX];
};

_Static_assert(SOCKET_LISTENERS_MAX <= 32, "bits of listeners_due");

#define NOT_COLLECTED UINT32_MAX

static struct epoll_core *
epoll_core_of(struct socket_core *core)
{
	return (struct epoll_core *)(void *)core;
}

static int
control(struct socket_core *core, int operation, int fd, uint32_t events,
	uint64_t key)
{
	struct epoll_event event = {.events = events, .data.u64 = key};

	return epoll_ctl(epoll_core_of(core)->epoll_fd, operation, fd, &event);
}

/* ---- driver ---- */

static int
epoll_attach(struct socket_core *core, struct socket_conn *conn)
{
	uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET;

	if (conn->slot.state == SLOT_CONNECTING) {
		events |= EPOLLOUT;
		conn->watches_output = true;
	}
	return control(core, EPOLL_CTL_ADD, conn->fd, events,
		       socket_id(core, conn)) == 0
		       ? 0
		       : FAL_ENOMEM;
}

static void
epoll_receive(struct socket_core *core, struct socket_conn *conn)
{
	const uint32_t room = socket_rx_room(core, conn);

	if (room == 0)
		return;

	const ssize_t bytes =
		recv(conn->fd, conn->rx->data + conn->rx->tail, room, 0);

	stream_count(&core->table.counters.recv_calls, 1);
	if (bytes > 0) {
		stream_count(&core->table.counters.recv_bytes, (uint64_t)bytes);
		conn->rx->tail += (uint32_t)bytes;
		if ((uint32_t)bytes < room && !conn->sees_end)
			conn->has_input = false;
		return;
	}
	if (bytes == 0)
		socket_finish(core, conn);
	else if (errno == EAGAIN)
		conn->has_input = false;
	else if (errno != EINTR)
		socket_fail(core, conn, socket_reason_of(errno));
	socket_rx_trim(core, conn);
}

static void
epoll_hold(struct socket_core *core, struct socket_conn *conn)
{
	/* EPOLLERR is always told. */
	(void)core;
	(void)conn;
}

static void
epoll_drain(struct socket_core *core, struct socket_conn *conn)
{
	/* TCP drops the bytes without copying them. */
	const ssize_t bytes = recv(conn->fd, NULL, DRAIN_BYTES, MSG_TRUNC);

	stream_count(&core->table.counters.recv_calls, 1);
	if (bytes > 0)
		return; /* The next one finds the end, or EAGAIN. */
	if (bytes == 0)
		socket_finish(core, conn);
	else if (errno == EAGAIN)
		conn->has_input = false;
	else if (errno != EINTR)
		socket_fail(core, conn, socket_reason_of(errno));
}

/* One send over the chain; returns what send(2) returns and in *asked how much
 * was offered. */
static ssize_t
send_chain(const struct socket_conn *conn, size_t *asked)
{
	const struct stream_buf *buf = conn->slot.tx.head;
	struct iovec pieces[SOCKET_SEND_BUFFERS];
	struct msghdr message = {.msg_iov = pieces};
	size_t count = 0;

	*asked = stream_buf_bytes(buf);
	if (buf->next == NULL)
		return send(conn->fd, buf->data + buf->head, *asked,
			    MSG_NOSIGNAL);
	*asked = 0;
	for (; buf != NULL && count < SOCKET_SEND_BUFFERS; buf = buf->next) {
		/* The system only reads what it sends. */
		pieces[count].iov_base =
			(void *)(uintptr_t)(buf->data + buf->head);
		pieces[count].iov_len = stream_buf_bytes(buf);
		*asked += pieces[count].iov_len;
		count++;
	}
	message.msg_iovlen = count;
	return sendmsg(conn->fd, &message, MSG_NOSIGNAL);
}

/* The socket is full: makes sure that room in it is told. */
static void
output_watch(struct socket_core *core, struct socket_conn *conn)
{
	conn->is_blocked = true;
	if (conn->watches_output)
		return;
	/* A change tells the present state once more, so room that appeared
	 * meanwhile is not missed. */
	if (control(core, EPOLL_CTL_MOD, conn->fd,
		    EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		    socket_id(core, conn)) != 0) {
		socket_fail(core, conn, STREAM_NO_MEMORY);
		return;
	}
	conn->watches_output = true;
}

static void
epoll_send(struct socket_core *core, struct socket_conn *conn)
{
	/* More than one round only for chains longer than a batch; the size of
	 * the socket's buffer ends it. Only a send that was not taken whole
	 * makes the system tell when there is room. */
	while (conn->slot.tx.bytes != 0) {
		size_t asked;
		const ssize_t bytes = send_chain(conn, &asked);

		stream_count(&core->table.counters.send_calls, 1);
		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes < 0) {
			if (errno == EAGAIN)
				output_watch(core, conn);
			else
				socket_fail(core, conn,
					    socket_reason_of(errno));
			return;
		}
		stream_count(&core->table.counters.send_bytes, (uint64_t)bytes);
		stream_chain_take(&conn->slot.tx, &core->table.pool,
				  (uint32_t)bytes);
		if ((size_t)bytes < asked) {
			output_watch(core, conn);
			return;
		}
	}
}

static bool
epoll_detach(struct socket_core *core, struct socket_conn *conn)
{
	/* Closing the descriptor takes it out of the epoll set. */
	(void)core;
	(void)conn;
	return true;
}

static int
epoll_watch(struct socket_core *core, uint32_t listener)
{
	return control(core, EPOLL_CTL_ADD, core->listeners[listener].fd,
		       EPOLLIN, KEY_LISTENER + listener) == 0
		       ? 0
		       : FAL_ENOMEM;
}

static void
epoll_unwatch(struct socket_core *core, uint32_t listener)
{
	(void)control(core, EPOLL_CTL_DEL, core->listeners[listener].fd, 0, 0);
}

static const struct socket_driver epoll_driver = {
	.attach = epoll_attach,
	.receive = epoll_receive,
	.hold = epoll_hold,
	.drain = epoll_drain,
	.send = epoll_send,
	.detach = epoll_detach,
	.watch = epoll_watch,
	.unwatch = epoll_unwatch,
};

/* ---- operations ---- */

/* A paused connection is not received from, so its failure is asked for. */
static void
paused_check(struct socket_core *core, struct socket_conn *conn)
{
	int error = 0;
	socklen_t bytes = sizeof(error);

	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 &&
	    error != 0)
		socket_fail(core, conn, socket_reason_of(error));
}

/* Takes one event of a connection into its fields. */
static void
conn_note(struct socket_core *core, struct socket_conn *conn, uint32_t events)
{
	if (conn->slot.state == SLOT_CONNECTING) {
		if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0)
			return;
		socket_connect_check(core, conn);
		if (conn->slot.state != SLOT_OPEN)
			return;
	}
	if ((events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0)
		conn->sees_end = true;
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0) {
		conn->has_input = true;
		socket_ready(core, conn);
	}
	if ((events & EPOLLOUT) != 0 && conn->is_blocked) {
		conn->is_blocked = false;
		socket_dirty(core, conn);
	}
	if ((events & EPOLLERR) != 0 && conn->slot.is_paused)
		paused_check(core, conn);
}

static void
events_note(struct epoll_core *self)
{
	struct socket_core *core = &self->shared;

	for (uint32_t i = 0; i < self->event_count; i++) {
		const uint64_t key = self->events[i].data.u64;

		if (key >> 32 == 0) {
			if (key == KEY_DOORBELL)
				self->has_rung = true;
			else
				self->listeners_due |= 1u << (key & 31);
			continue;
		}

		struct socket_conn *conn = socket_of(core, key);

		if (conn != NULL && conn->slot.state != SLOT_FREE &&
		    conn->slot.state != SLOT_DEAD)
			conn_note(core, conn, self->events[i].events);
	}
	self->event_count = NOT_COLLECTED;
}

/* Accepts a burst from every listener that has news. */
static void
listeners_serve(struct epoll_core *self)
{
	struct socket_core *core = &self->shared;

	while (self->listeners_due != 0) {
		const uint32_t i = (uint32_t)__builtin_ctz(self->listeners_due);
		uint32_t left = SOCKET_ACCEPT_BURST;

		self->listeners_due &= self->listeners_due - 1;
		if (core->listeners[i].fd < 0)
			continue;
		while (left > 0 && socket_accept(core, i))
			left--;
	}
}

static void
collect(struct epoll_core *self, int timeout_ms)
{
	const int count = epoll_wait(self->epoll_fd, self->events, EVENTS_MAX,
				     timeout_ms);

	self->event_count = count > 0 ? (uint32_t)count : 0;
}

static uint32_t
op_poll(struct stream_core *base, uint64_t now_ns, struct stream_event *events,
	uint32_t max)
{
	struct socket_core *core = socket_core_of(base);
	struct epoll_core *self = epoll_core_of(core);
	uint32_t count;

	FAL_ASSERT(max >= STREAM_EVENTS_MIN);
	stream_count(&core->table.counters.polls, 1);
	socket_housekeep(core, now_ns);
	if (self->event_count == NOT_COLLECTED)
		collect(self, 0);
	events_note(self);
	/* Ends before beginnings: a host that reconnects at its limit finds its
	 * old place free. */
	count = socket_visit_ready(core, &core->table.ready, events, max);
	if (self->listeners_due != 0) {
		struct list *last = core->table.ready.prev;

		listeners_serve(self);
		count += socket_visit_ready(core, last, events + count,
					    max - count);
	}
	return count;
}

/* Sleeps with the finest timeout the system has; milliseconds are rounded up so
 * that a short rest is not a busy loop. */
static void
collect_slowly(struct epoll_core *self, uint64_t timeout_ns)
{
	const struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_S),
		.tv_nsec = (long)(timeout_ns % NS_PER_S),
	};
	int count;

	if (!self->has_pwait2) {
		const uint64_t ms = timeout_ns / NS_PER_MS + 1;

		collect(self, ms > INT32_MAX ? -1 : (int)ms);
		return;
	}
	count = epoll_pwait2(self->epoll_fd, self->events, EVENTS_MAX,
			     timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);
	if (count < 0 && errno == ENOSYS)
		self->has_pwait2 = false;
	self->event_count = count > 0 ? (uint32_t)count : 0;
}

static void
op_wait(struct stream_core *base, uint64_t timeout_ns)
{
	struct socket_core *core = socket_core_of(base);
	struct epoll_core *self = epoll_core_of(core);

	socket_op_flush(base);
	socket_housekeep(core, core->table.now_ns);
	/* A ring that a poll has met counts too: the work may have come after
	 * the caller looked. */
	if (self->has_rung || self->event_count != NOT_COLLECTED ||
	    !list_empty(&core->table.ready)) {
		self->has_rung = false;
		return;
	}
	timeout_ns = socket_wait_bound(core, timeout_ns);
	if (timeout_ns == 0)
		return;
	stream_count(&core->table.counters.waits, 1);
	collect_slowly(self, timeout_ns);
}

static void
op_destroy(struct stream_core *base)
{
	struct socket_core *core = socket_core_of(base);
	struct epoll_core *self = epoll_core_of(core);

	for (uint32_t i = 0; i < SOCKET_LISTENERS_MAX; i++)
		if (core->listeners[i].fd >= 0)
			close(core->listeners[i].fd);
	socket_kill_all(core);
	for (uint32_t i = 0; i < SOCKET_LISTENERS_MAX; i++) {
		core->listeners[i].fd = -1;
		core->listeners[i].rest_until_ns = 0;
	}
	socket_housekeep(core, core->table.now_ns);
	close(self->epoll_fd);
	socket_core_free(core);
}

static const struct stream_ops epoll_ops = {
	.name = "epoll",
	.poll = op_poll,
	.flush = socket_op_flush,
	.wait = op_wait,
	.peek = socket_op_peek,
	.pull = socket_op_pull,
	.want = socket_op_want,
	.consume = socket_op_consume,
	.buffered = socket_op_buffered,
	.pause = stream_table_op_pause,
	.resume = stream_table_op_resume,
	.reserve = socket_op_reserve,
	.commit = socket_op_commit,
	.write = socket_op_write,
	.unsent = socket_op_unsent,
	.listen = socket_op_listen,
	.unlisten = socket_op_unlisten,
	.connect = socket_op_connect,
	.close = socket_op_close,
	.abort = socket_op_abort,
	.peer = stream_table_op_peer,
	.counters_read = stream_table_op_counters_read,
	.destroy = op_destroy,
};

int
stream_epoll_create(const struct stream_config *config,
		    struct stream_core **out)
{
	struct socket_core *core;
	struct epoll_core *self;
	const int err = socket_core_create(config, &epoll_ops, &epoll_driver,
					   sizeof(*self), &core);

	if (err != 0)
		return err;
	self = epoll_core_of(core);
	self->event_count = NOT_COLLECTED;
	self->has_pwait2 = true;
	self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (self->epoll_fd < 0) {
		socket_core_free(core);
		return FAL_ELIMIT;
	}
	if (config->doorbell_fd >= 0 &&
	    control(core, EPOLL_CTL_ADD, config->doorbell_fd, EPOLLIN | EPOLLET,
		    KEY_DOORBELL) != 0) {
		close(self->epoll_fd);
		socket_core_free(core);
		return FAL_EINVAL;
	}
	*out = &core->table.base;
	return 0;
}
