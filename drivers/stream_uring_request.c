/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_uring - requests: what is submitted for connections and listeners.
 *
 * Requests gather in the submission queue until the flush of the loop; when the
 * queue is full it is submitted in between. Whatever a request points to stays
 * where it is: payload until its completion, descriptions of chains until the
 * submission.
 */
#include "drivers/stream_uring.h"

#include <fcntl.h>
#include <poll.h>

/* A connection with so much unconsumed input is not received from. */
#define INPUT_ENOUGH (STREAM_BUFFER_BYTES / 2)

/* Submissions to try when the queue stays full: the kernel may be short of
 * memory for a moment. */
#define SUBMIT_TRIES 100

static uint64_t
conn_key(const struct socket_core *core, const struct socket_conn *conn,
	 enum uring_operation operation)
{
	return uring_key(operation, conn->slot.generation,
			 socket_index(core, conn));
}

void
uring_submit(struct uring_core *self)
{
	/* Completions that do not fit are kept by the kernel; errors of single
	 * requests come as completions. */
	(void)io_uring_submit_and_get_events(&self->ring);
	self->chain_count = 0;
}

/* An empty request; when the queue is full it is submitted first. */
static struct io_uring_sqe *
request_get(struct uring_core *self)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

	for (int i = 0; sqe == NULL && i < SUBMIT_TRIES; i++) {
		uring_submit(self);
		sqe = io_uring_get_sqe(&self->ring);
	}
	FAL_ASSERT(sqe != NULL);
	return sqe;
}

void
uring_blocking_set(int fd, bool is_blocking)
{
	const int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		(void)fcntl(fd, F_SETFL,
			    is_blocking ? flags & ~O_NONBLOCK
					: flags | O_NONBLOCK);
}

void
uring_buffer_provide(struct uring_core *self, uint32_t buffer)
{
	io_uring_buf_ring_add(self->buffer_ring, uring_buffer_at(self, buffer),
			      URING_BUFFER_BYTES, (unsigned short)buffer,
			      URING_BUFFERS - 1, 0);
	io_uring_buf_ring_advance(self->buffer_ring, 1);
}

static void
poll_start(struct socket_core *core, struct socket_conn *conn, unsigned events)
{
	struct io_uring_sqe *sqe = request_get(uring_core_of(core));

	FAL_ASSERT(!conn->is_polled);
	io_uring_prep_poll_add(sqe, conn->fd, events);
	sqe->user_data = conn_key(core, conn, URING_POLL);
	conn->is_polled = true;
}

static int
uring_attach(struct socket_core *core, struct socket_conn *conn)
{
	/* has_input means here: a receive is to be submitted. */
	conn->has_input = true;
	if (conn->slot.state == SLOT_CONNECTING)
		poll_start(core, conn, POLLOUT);
	return 0;
}

static struct io_uring_sqe *
receive_start(struct socket_core *core, struct socket_conn *conn, void *data,
	      uint32_t bytes)
{
	struct io_uring_sqe *sqe = request_get(uring_core_of(core));

	io_uring_prep_recv(sqe, conn->fd, data, bytes, 0);
	/* Most of the time nothing is there yet: saves the vain attempt. */
	if (!conn->has_more)
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	sqe->user_data = conn_key(core, conn, URING_RECEIVE);
	conn->is_receiving = true;
	conn->has_input = false;
	return sqe;
}

static void
provided_receive_start(struct socket_core *core, struct socket_conn *conn)
{
	struct io_uring_sqe *sqe = receive_start(core, conn, NULL, 0);

	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = URING_BUFFER_GROUP;
}

static void
uring_receive(struct socket_core *core, struct socket_conn *conn)
{
	const uint32_t buffered = socket_buffered(conn);

	FAL_ASSERT(!conn->is_receiving);
	if (buffered >= conn->slot.rx_wanted && buffered > INPUT_ENOUGH)
		return;
	if (conn->slot.rx_wanted <= buffered + URING_BUFFER_BYTES) {
		provided_receive_start(core, conn);
		return;
	}

	const uint32_t room = socket_rx_room(core, conn);

	if (room == 0)
		return;
	receive_start(core, conn, conn->rx->data + conn->rx->tail, room);
	conn->receives_in_place = true;
}

static void
uring_hold(struct socket_core *core, struct socket_conn *conn)
{
	/* POLLERR is always told. */
	if (!conn->is_polled)
		poll_start(core, conn, 0);
}

static void
uring_drain(struct socket_core *core, struct socket_conn *conn)
{
	provided_receive_start(core, conn);
}

/* Describes the chain in one of the messages of this submission. */
static struct msghdr *
chain_describe(struct uring_core *self, const struct socket_conn *conn)
{
	FAL_ASSERT(self->chain_count < URING_CHAINS_MAX);

	struct iovec *pieces = self->pieces[self->chain_count];
	struct msghdr *message = &self->messages[self->chain_count++];
	size_t count = 0;

	for (const struct stream_buf *buf = conn->slot.tx.head;
	     buf != NULL && count < SOCKET_SEND_BUFFERS; buf = buf->next) {
		/* The system only reads what it sends. */
		pieces[count].iov_base =
			(void *)(uintptr_t)(buf->data + buf->head);
		pieces[count].iov_len = stream_buf_bytes(buf);
		count++;
	}
	*message = (struct msghdr){.msg_iov = pieces, .msg_iovlen = count};
	return message;
}

static void
uring_send(struct socket_core *core, struct socket_conn *conn)
{
	struct uring_core *self = uring_core_of(core);
	const struct stream_buf *buf = conn->slot.tx.head;
	struct io_uring_sqe *sqe;

	if (conn->is_sending)
		return; /* Its completion makes the connection dirty again. */
	if (self->chain_count == URING_CHAINS_MAX)
		uring_submit(self);
	/* Before the chain is described: a full queue is submitted here. */
	sqe = request_get(self);
	if (buf->next == NULL)
		io_uring_prep_send(sqe, conn->fd, buf->data + buf->head,
				   stream_buf_bytes(buf), MSG_NOSIGNAL);
	else
		io_uring_prep_sendmsg(sqe, conn->fd, chain_describe(self, conn),
				      MSG_NOSIGNAL);
	sqe->user_data = conn_key(core, conn, URING_SEND);
	conn->is_sending = true;
	stream_count(&core->table.counters.send_calls, 1);
}

static bool
uring_detach(struct socket_core *core, struct socket_conn *conn)
{
	struct io_uring_sqe *sqe;

	if (!conn->is_receiving && !conn->is_sending && !conn->is_polled)
		return true;
	if (conn->is_cancelled)
		return false;
	sqe = request_get(uring_core_of(core));
	io_uring_prep_cancel_fd(sqe, conn->fd, IORING_ASYNC_CANCEL_ALL);
	sqe->user_data = uring_key(URING_CANCEL, 0, 0);
	conn->is_cancelled = true;
	return false;
}

static int
uring_watch(struct socket_core *core, uint32_t place)
{
	struct socket_listener *listener = &core->listeners[place];
	struct io_uring_sqe *sqe = request_get(uring_core_of(core));

	FAL_ASSERT(!listener->is_armed);
	uring_blocking_set(listener->fd, true);
	io_uring_prep_multishot_accept(sqe, listener->fd, NULL, NULL,
				       SOCK_CLOEXEC);
	sqe->user_data = uring_key(URING_ACCEPT, listener->generation, place);
	listener->is_armed = true;
	return 0;
}

static void
uring_unwatch(struct socket_core *core, uint32_t place)
{
	struct socket_listener *listener = &core->listeners[place];
	struct io_uring_sqe *sqe;

	if (!listener->is_armed)
		return;
	sqe = request_get(uring_core_of(core));
	io_uring_prep_cancel64(
		sqe, uring_key(URING_ACCEPT, listener->generation, place), 0);
	sqe->user_data = uring_key(URING_CANCEL, 0, 0);
	listener->is_armed = false;
}

void
uring_doorbell_arm(struct uring_core *self)
{
	struct io_uring_sqe *sqe;

	if (self->is_doorbell_armed ||
	    self->shared.table.config.doorbell_fd < 0)
		return;
	sqe = request_get(self);
	io_uring_prep_poll_multishot(sqe, self->shared.table.config.doorbell_fd,
				     POLLIN);
	sqe->user_data = uring_key(URING_DOORBELL, 0, 0);
	self->is_doorbell_armed = true;
}

const struct socket_driver uring_driver = {
	.attach = uring_attach,
	.receive = uring_receive,
	.hold = uring_hold,
	.drain = uring_drain,
	.send = uring_send,
	.detach = uring_detach,
	.watch = uring_watch,
	.unwatch = uring_unwatch,
};
