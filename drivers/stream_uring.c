/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_uring - stream.h over kernel sockets and io_uring.
 *
 * Requests of one connection: at most one receive, one send, one poll. A
 * receive takes its buffer from a ring of provided buffers when bytes arrive,
 * so an idle connection holds none; the bytes are copied into the connection's
 * input buffer at once (a few ns for a request, and frames stay contiguous) and
 * the provided buffer goes back. Only while a long frame is awaited the receive
 * goes straight into the input buffer, which then must not move.
 *
 * Receives are single-shot: one is submitted when there is room for what it may
 * bring. That keeps the peer's window honest, which a multishot receive would
 * not: it goes on until its cancellation is through.
 *
 * One submission per loop, in flush; with DEFER_TASKRUN it also runs what is to
 * be completed, so a busy loop makes one system call for any number of
 * connections and an idle poll makes none: the kernel raises a flag in memory
 * when there is something to run.
 *
 * Sockets are blocking here: io_uring answers EAGAIN for non-blocking ones
 * instead of waiting. A closed connection keeps its slot until all its requests
 * came back.
 *
 * The ring belongs to the thread that polls first (SINGLE_ISSUER); until then
 * requests of listeners only gather in memory.
 */
#include "drivers/stream_uring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/time.h"

#define SQ_ENTRIES 512u
#define CQ_ENTRIES 8192u

#define DESTROY_PATIENCE_NS (100 * NS_PER_MS)

/* ---- completions ---- */

static bool
is_done_with(const struct socket_conn *conn)
{
	return conn->slot.state == SLOT_DEAD;
}

static bool
takes_input(const struct socket_conn *conn)
{
	return conn->slot.state == SLOT_OPEN ||
	       conn->slot.state == SLOT_CONNECTING;
}

/* Takes the bytes of a receive that succeeded; `data` is NULL when they are in
 * place. */
static void
input_take(struct socket_core *core, struct socket_conn *conn,
	   const uint8_t *data, uint32_t bytes)
{
	conn->has_input = true;
	socket_ready(core, conn);
	if (!takes_input(conn))
		return;
	stream_count(&core->table.counters.recv_bytes, bytes);
	if (data == NULL)
		conn->rx->tail += bytes;
	else if (socket_rx_append(core, conn, data, bytes) != 0)
		socket_fail(core, conn, STREAM_NO_MEMORY);
}

static void
receive_done(struct uring_core *self, struct socket_conn *conn, int result,
	     uint32_t flags)
{
	struct socket_core *core = &self->shared;
	const bool is_provided = (flags & IORING_CQE_F_BUFFER) != 0;
	const uint32_t buffer = flags >> IORING_CQE_BUFFER_SHIFT;

	conn->is_receiving = false;
	conn->receives_in_place = false;
	conn->has_more = (flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
	if (!is_done_with(conn)) {
		if (result != -ENOBUFS && result != -ECANCELED)
			stream_count(&core->table.counters.recv_calls, 1);
		if (result > 0) {
			input_take(core, conn,
				   is_provided ? uring_buffer_at(self, buffer)
					       : NULL,
				   (uint32_t)result);
		} else if (result == 0) {
			socket_finish(core, conn);
		} else if (result == -ENOBUFS || result == -ECANCELED ||
			   result == -EINTR || result == -EAGAIN) {
			conn->has_input = true;
			socket_ready(core, conn);
		} else {
			socket_fail(core, conn, socket_reason_of(-result));
		}
	}
	if (!is_done_with(conn))
		socket_rx_trim(core, conn);
	if (is_provided)
		uring_buffer_provide(self, buffer);
}

static void
send_done(struct socket_core *core, struct socket_conn *conn, int result)
{
	conn->is_sending = false;
	if (is_done_with(conn))
		return;
	if (result < 0 && result != -EINTR && result != -EAGAIN &&
	    result != -ECANCELED) {
		socket_fail(core, conn, socket_reason_of(-result));
		return;
	}
	if (result > 0) {
		stream_count(&core->table.counters.send_bytes,
			     (uint64_t)result);
		stream_chain_take(&conn->slot.tx, &core->table.pool,
				  (uint32_t)result);
	}
	/* Sends the rest, or finishes what waited for the output to leave. */
	socket_dirty(core, conn);
}

static void
poll_done(struct socket_core *core, struct socket_conn *conn)
{
	int error = 0;
	socklen_t bytes = sizeof(error);

	conn->is_polled = false;
	if (conn->slot.state == SLOT_CONNECTING) {
		socket_connect_check(core, conn);
		if (conn->slot.state == SLOT_OPEN)
			uring_blocking_set(conn->fd, true);
		return;
	}
	/* A failure while it was paused; else the receive tells it. */
	if (is_done_with(conn) || !conn->slot.is_paused)
		return;
	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 &&
	    error != 0)
		socket_fail(core, conn, socket_reason_of(error));
}

/* The accept of a listener has ended with an error: sheds or rests. */
static void
accept_failed(struct socket_core *core, uint32_t place, int error)
{
	struct socket_listener *listener = &core->listeners[place];
	const bool has_no_file = error == EMFILE || error == ENFILE;

	uring_blocking_set(listener->fd, false);

	const bool goes_on = socket_accept_failed(core, place, error);

	/* A new accept would fail at once, even if nobody is waiting: it wants
	 * a descriptor before it looks. */
	if (has_no_file && !goes_on && listener->rest_until_ns == 0)
		socket_listener_rest(core, place);
	if (listener->rest_until_ns == 0)
		(void)core->driver->watch(core, place);
}

static void
accept_done(struct uring_core *self, uint32_t place, uint32_t generation,
	    const struct io_uring_cqe *cqe)
{
	struct socket_core *core = &self->shared;
	struct socket_listener *listener = &core->listeners[place];
	const bool is_ours =
		listener->fd >= 0 && listener->generation == generation;

	if (cqe->res >= 0)
		self->arrivals[self->arrival_count++] = (struct uring_arrival){
			.fd = cqe->res,
			.listener = place,
			.generation = generation,
		};
	if (!is_ours || (cqe->flags & IORING_CQE_F_MORE) != 0)
		return;
	listener->is_armed = false;
	if (listener->rest_until_ns != 0)
		return;
	if (cqe->res >= 0)
		(void)core->driver->watch(core, place);
	else
		accept_failed(core, place, -cqe->res);
}

static void
conn_done(struct uring_core *self, enum uring_operation operation,
	  const struct io_uring_cqe *cqe)
{
	struct socket_core *core = &self->shared;
	const uint32_t index = uring_key_index(cqe->user_data);

	FAL_ASSERT(index < core->table.touched);

	struct socket_conn *conn = &core->conns[index];

	/* The slot waits for its requests, so it is the same connection. */
	FAL_ASSERT(conn->slot.generation ==
		   uring_key_generation(cqe->user_data));
	FAL_ASSERT(conn->slot.state != SLOT_FREE);
	if (operation == URING_RECEIVE)
		receive_done(self, conn, cqe->res, cqe->flags);
	else if (operation == URING_SEND)
		send_done(core, conn, cqe->res);
	else
		poll_done(core, conn);
}

static void
completion_handle(struct uring_core *self, const struct io_uring_cqe *cqe)
{
	const enum uring_operation operation =
		uring_key_operation(cqe->user_data);

	switch (operation) {
	case URING_RECEIVE:
	case URING_SEND:
	case URING_POLL:
		conn_done(self, operation, cqe);
		break;
	case URING_ACCEPT:
		accept_done(self, uring_key_index(cqe->user_data),
			    uring_key_generation(cqe->user_data), cqe);
		break;
	case URING_DOORBELL:
		self->has_rung = true;
		if ((cqe->flags & IORING_CQE_F_MORE) == 0)
			self->is_doorbell_armed = false;
		break;
	case URING_CANCEL:
	default:
		break;
	}
}

/* Whether the kernel has something to run or to hand over that shows only after
 * a system call. */
static bool
needs_entry(const struct uring_core *self)
{
	const unsigned flags =
		__atomic_load_n(self->ring.sq.kflags, __ATOMIC_ACQUIRE);

	return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static void
completions_handle(struct uring_core *self)
{
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;

	if (needs_entry(self))
		(void)io_uring_get_events(&self->ring);
	io_uring_for_each_cqe(&self->ring, head, cqe)
	{
		if (count == URING_COMPLETIONS_MAX)
			break;
		completion_handle(self, cqe);
		count++;
	}
	io_uring_cq_advance(&self->ring, count);
}

static void
arrivals_admit(struct uring_core *self)
{
	struct socket_core *core = &self->shared;

	for (uint32_t i = 0; i < self->arrival_count; i++) {
		const struct uring_arrival *arrival = &self->arrivals[i];
		const struct socket_listener *listener =
			&core->listeners[arrival->listener];

		if (listener->fd >= 0 &&
		    listener->generation == arrival->generation)
			socket_admit(core, arrival->listener, arrival->fd,
				     NULL);
		else
			socket_reset_fd(arrival->fd);
	}
	self->arrival_count = 0;
}

/* ---- operations ---- */

/* The first call of the polling thread makes the ring its own. */
static void
enable(struct uring_core *self)
{
	if (FAL_LIKELY(self->is_enabled))
		return;

	/* liburing 2.3 declares a function for this but does not export it. */
	const long err = syscall(SYS_io_uring_register, self->ring.ring_fd,
				 IORING_REGISTER_ENABLE_RINGS, NULL, 0);

	FAL_ASSERT(err == 0);
	self->is_enabled = true;
	self->owner = pthread_self();
	uring_doorbell_arm(self);
	uring_submit(self);
}

static uint32_t
op_poll(struct stream_core *base, uint64_t now_ns, struct stream_event *events,
	uint32_t max)
{
	struct socket_core *core = socket_core_of(base);
	struct uring_core *self = uring_core_of(core);
	uint32_t count;

	FAL_ASSERT(max >= STREAM_EVENTS_MIN);
	enable(self);
	stream_count(&core->table.counters.polls, 1);
	socket_housekeep(core, now_ns);
	completions_handle(self);
	/* Ends before beginnings: a host that reconnects at its limit finds its
	 * old place free. */
	count = socket_visit_ready(core, &core->table.ready, events, max);
	if (self->arrival_count != 0) {
		struct list *last = core->table.ready.prev;

		arrivals_admit(self);
		count += socket_visit_ready(core, last, events + count,
					    max - count);
	}
	return count;
}

static void
op_flush(struct stream_core *base)
{
	struct uring_core *self = uring_core_of(socket_core_of(base));

	enable(self);
	socket_op_flush(base);
	if (io_uring_sq_ready(&self->ring) != 0)
		uring_submit(self);
}

static void
op_wait(struct stream_core *base, uint64_t timeout_ns)
{
	struct socket_core *core = socket_core_of(base);
	struct uring_core *self = uring_core_of(core);
	struct __kernel_timespec timeout;
	struct io_uring_cqe *cqe;

	enable(self);
	uring_doorbell_arm(self);
	socket_housekeep(core, core->table.now_ns);
	op_flush(base);
	if (self->has_rung || !list_empty(&core->table.ready) ||
	    io_uring_cq_ready(&self->ring) != 0) {
		self->has_rung = false;
		return;
	}
	timeout_ns = socket_wait_bound(core, timeout_ns);
	if (timeout_ns == 0)
		return;
	stream_count(&core->table.counters.waits, 1);
	if (timeout_ns == UINT64_MAX) {
		(void)io_uring_submit_and_wait(&self->ring, 1);
		return;
	}
	timeout.tv_sec = (int64_t)(timeout_ns / NS_PER_S);
	timeout.tv_nsec = (int64_t)(timeout_ns % NS_PER_S);
	(void)io_uring_submit_and_wait_timeout(&self->ring, &cqe, 1, &timeout,
					       NULL);
}

/* Waits until the kernel has let go of all connections, for a while. */
static void
destroy_gently(struct uring_core *self)
{
	struct socket_core *core = &self->shared;
	const struct timespec nap = {.tv_nsec = 100000};
	uint64_t naps = DESTROY_PATIENCE_NS / (uint64_t)nap.tv_nsec;

	while (naps-- > 0) {
		socket_housekeep(core, core->table.now_ns);
		if (list_empty(&core->table.dead))
			return;
		uring_submit(self);
		completions_handle(self);
		arrivals_admit(self);
		if (!list_empty(&core->table.dead))
			nanosleep(&nap, NULL);
	}
}

/* After the ring is gone no request is in flight any more. */
static void
requests_forget(struct socket_core *core)
{
	for (uint32_t i = 0; i < core->table.touched; i++) {
		struct socket_conn *conn = &core->conns[i];

		conn->is_receiving = false;
		conn->receives_in_place = false;
		conn->is_sending = false;
		conn->is_polled = false;
	}
}

static void
op_destroy(struct stream_core *base)
{
	struct socket_core *core = socket_core_of(base);
	struct uring_core *self = uring_core_of(core);

	for (uint32_t i = 0; i < SOCKET_LISTENERS_MAX; i++) {
		struct socket_listener *listener = &core->listeners[i];

		if (listener->fd < 0)
			continue;
		(void)shutdown(listener->fd, SHUT_RDWR);
		close(listener->fd);
		listener->fd = -1;
		listener->rest_until_ns = 0;
	}
	socket_kill_all(core);
	if (self->is_enabled && pthread_equal(self->owner, pthread_self()))
		destroy_gently(self);
	io_uring_queue_exit(&self->ring);
	requests_forget(core);
	socket_housekeep(core, core->table.now_ns);
	arrivals_admit(self);
	free(self->buffer_ring);
	free(self->buffer_data);
	socket_core_free(core);
}

static const struct stream_ops uring_ops = {
	.name = "io_uring",
	.poll = op_poll,
	.flush = op_flush,
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

/* ---- creation ---- */

/* Makes the ring. DEFER_TASKRUN came with Linux 6.1; multishot accept, provided
 * buffer rings and polling first are older, so it stands for all of them.
 * Returns 0 or -errno. */
static int
ring_create(struct io_uring *ring)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
			 IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		.cq_entries = CQ_ENTRIES,
	};
	const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG |
				IORING_FEAT_SUBMIT_STABLE;
	const int err = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);

	if (err != 0)
		return err;
	if ((params.features & needed) == needed)
		return 0;
	io_uring_queue_exit(ring);
	return -EOPNOTSUPP;
}

/* Provided buffers are touched, and thus paid for, when first filled. */
static int
buffers_create(struct uring_core *self)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct io_uring_buf_reg registration = {
		.ring_entries = URING_BUFFERS,
		.bgid = URING_BUFFER_GROUP,
	};

	self->buffer_ring = aligned_alloc(
		page, URING_BUFFERS * sizeof(struct io_uring_buf));
	self->buffer_data =
		aligned_alloc(page, URING_BUFFERS * URING_BUFFER_BYTES);
	if (self->buffer_ring == NULL || self->buffer_data == NULL)
		return -ENOMEM;
	registration.ring_addr = (uint64_t)(uintptr_t)self->buffer_ring;
	io_uring_buf_ring_init(self->buffer_ring);

	const int err =
		io_uring_register_buf_ring(&self->ring, &registration, 0);

	for (uint32_t i = 0; err == 0 && i < URING_BUFFERS; i++)
		uring_buffer_provide(self, i);
	return err;
}

int
stream_uring_create(const struct stream_config *config,
		    struct stream_core **out)
{
	struct socket_core *core;
	struct uring_core *self;
	int err = socket_core_create(config, &uring_ops, &uring_driver,
				     sizeof(*self), &core);

	if (err != 0)
		return err;
	self = uring_core_of(core);
	err = ring_create(&self->ring);
	if (err != 0) {
		socket_core_free(core);
		return err == -ENOMEM                     ? FAL_ENOMEM
		       : err == -EMFILE || err == -ENFILE ? FAL_ELIMIT
							  : FAL_ENOTSUP;
	}
	err = buffers_create(self);
	if (err != 0) {
		io_uring_queue_exit(&self->ring);
		free(self->buffer_ring);
		free(self->buffer_data);
		socket_core_free(core);
		return err == -ENOMEM ? FAL_ENOMEM : FAL_ENOTSUP;
	}
	*out = &core->table.base;
	return 0;
}

bool
stream_uring_probe(struct stream_error *error)
{
	struct io_uring ring;
	const int err = ring_create(&ring);
	char why[64];

	if (error != NULL)
		error->text[0] = 0;
	if (err == 0) {
		io_uring_queue_exit(&ring);
		return true;
	}
	if (error != NULL)
		snprintf(error->text, sizeof(error->text),
			 "io_uring with deferred task running: %s",
			 strerror_r(-err, why, sizeof(why)));
	return false;
}
