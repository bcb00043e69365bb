/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn - sockets without Nagle; output gathers in one buffer and leaves with
 * one send() per turn of the loop, input is parsed where it was received.
 */
#include "perf/load/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "perf/load/bypass.h"
#include "perf/load/rival.h"
#include "wire/frame.h"
#include "wire/proto.h"

#define IN_BYTES_MIN (64u << 10)
#define FRAME_MAX    (16 << 20)
#define PORT_EVENTS  64u

static void *
must_allocate(size_t bytes)
{
	void *memory = malloc(bytes);

	if (memory == NULL)
		load_die("out of memory");
	return memory;
}

static uint32_t
power_of_two(uint32_t least)
{
	uint32_t cap = 1;

	while (cap < least)
		cap *= 2;
	return cap;
}

static void
put_hello(struct load_conn *conn, const struct load_options *options)
{
	struct jute_writer writer = conn_writer(conn);

	request_put_connect(&writer, options->timeout_ms);
	conn_wrote(conn, &writer);
}

bool
conn_take_hello(struct load_conn *conn)
{
	const struct frame_limits any = {.bytes_min = 0,
					 .bytes_max = FRAME_MAX};
	struct proto_connect_response response;
	struct jute_slice body;
	size_t frame_bytes;
	const int got =
		frame_get(conn->in, conn->in_bytes, any, &body, &frame_bytes);

	if (got < 0)
		load_die("a frame of impossible length");
	if (got == 0)
		return false;

	struct jute_reader reader =
		jute_reader_of(body.data, (size_t)body.bytes);

	if (proto_get_connect_response(&reader, &response) != 0 ||
	    response.session_id == 0 || response.timeout_ms <= 0)
		load_die("connection %u: no session granted", conn->index);
	conn_drop(conn, frame_bytes);
	return true;
}

static void
prepare(struct load_conn *conn, const struct load_options *options,
	uint32_t index, uint32_t pending_max, size_t request_bytes)
{
	*conn = (struct load_conn){.index = index,
				   .next_xid = 1,
				   .is_on_port = options->port != NULL};
	conn->pending_cap = power_of_two(pending_max);
	conn->pending =
		must_allocate(conn->pending_cap * sizeof(*conn->pending));
	conn->out_cap = (pending_max + 2u) * request_bytes;
	conn->out = must_allocate(conn->out_cap);
	conn->in_cap = IN_BYTES_MIN + 2 * request_bytes;
	conn->in = must_allocate(conn->in_cap);
	conn->fd = -1;
}

static void
connect_to(struct load_conn *conn, const struct load_options *options,
	   int flags)
{
	const int one = 1;

	conn->blocks = (flags & SOCK_NONBLOCK) == 0;
	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (conn->fd < 0)
		load_die("connection %u: %s", conn->index, strerror(errno));
	if (connect(conn->fd, (const struct sockaddr *)&options->address,
		    sizeof(options->address)) != 0 &&
	    errno != EINPROGRESS)
		load_die("connection %u: %s", conn->index, strerror(errno));
	if (setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) !=
	    0)
		load_die("TCP_NODELAY: %s", strerror(errno));
}

void
conn_open(struct load_conn *conn, const struct load_options *options,
	  uint32_t index, uint32_t pending_max, size_t request_bytes)
{
	prepare(conn, options, index, pending_max, request_bytes);
	conn->blocks = true;
	if (conn->is_on_port)
		bypass_connect(options, index);
	else
		connect_to(conn, options, 0);
	if (options->protocol != LOAD_ZOOKEEPER)
		return;
	put_hello(conn, options);
	if (!conn_flush(conn, 0))
		load_die("the connect request does not leave");
	while (!conn_take_hello(conn))
		conn_receive(conn);
}

void
conn_prepare(struct load_conn *conn, const struct load_options *options,
	     uint32_t index, size_t request_bytes)
{
	prepare(conn, options, index, 1, request_bytes);
	memset(conn->in, 0, IN_BYTES_MIN);
	memset(conn->out, 0, conn->out_cap);
}

void
conn_begin(struct load_conn *conn, const struct load_options *options)
{
	connect_to(conn, options, SOCK_NONBLOCK);
	put_hello(conn, options);
}

void
conn_unblock(struct load_conn *conn)
{
	conn->blocks = false;
	if (conn->is_on_port)
		return;

	const int flags = fcntl(conn->fd, F_GETFL);

	if (flags < 0 || fcntl(conn->fd, F_SETFL, flags | O_NONBLOCK) != 0)
		load_die("O_NONBLOCK: %s", strerror(errno));
}

void
conn_say_farewell(struct load_conn *conn)
{
	struct jute_writer writer = conn_writer(conn);
	const size_t mark = frame_begin(&writer);
	const struct proto_request_header header = {.xid = conn->next_xid,
						    .type = OP_CLOSE_SESSION};

	proto_put_request_header(&writer, &header);
	frame_end(&writer, mark);
	conn_wrote(conn, &writer);
	(void)conn_flush(conn, 0);
}

void
conn_close(struct load_conn *conn)
{
	if (conn->is_on_port)
		bypass_disconnect(conn->index);
	else
		close(conn->fd);
	free(conn->pending);
	free(conn->out);
	free(conn->in);
}

struct jute_writer
conn_writer(struct load_conn *conn)
{
	return jute_writer_of(conn->out + conn->out_end,
			      conn->out_cap - conn->out_end);
}

void
conn_wrote(struct load_conn *conn, const struct jute_writer *writer)
{
	if (writer->is_full)
		load_die("the output buffer is too small");
	conn->out_end += jute_written(writer);
}

int32_t
conn_expect(struct load_conn *conn, enum load_op op, uint64_t at_ns,
	    uint32_t created)
{
	FAL_ASSERT(conn_pending(conn) < conn->pending_cap);

	const int32_t xid = conn->next_xid;

	conn->next_xid = xid == INT32_MAX ? 1 : xid + 1;
	conn->pending[conn->pending_end++ & (conn->pending_cap - 1)] =
		(struct load_pending){.at_ns = at_ns,
				      .xid = xid,
				      .op = op,
				      .created = created};
	return xid;
}

bool
conn_flush(struct load_conn *conn, uint64_t now_ns)
{
	conn->sent_ns = now_ns;
	if (conn->is_on_port) {
		bypass_send(conn->index, conn->out, conn->out_end);
		conn->out_end = 0;
		return true;
	}
	while (conn->out_first < conn->out_end) {
		const ssize_t sent =
			send(conn->fd, conn->out + conn->out_first,
			     conn->out_end - conn->out_first, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0)
			load_die("connection %u: %s", conn->index,
				 strerror(errno));
		conn->out_first += (size_t)sent;
	}
	if (conn->out_first > 0) {
		memmove(conn->out, conn->out + conn->out_first,
			conn->out_end - conn->out_first);
		conn->out_end -= conn->out_first;
		conn->out_first = 0;
	}
	return conn->out_end == 0;
}

/* Over the port: as a socket that blocks would, if this one does. */
static size_t
receive_on_port(struct load_conn *conn)
{
	uint32_t ignored[PORT_EVENTS];
	size_t got;

	while ((got = bypass_receive(conn->index, conn->in + conn->in_bytes,
				     conn->in_cap - conn->in_bytes)) == 0 &&
	       conn->blocks)
		(void)bypass_wait(ignored, PORT_EVENTS, NS_PER_MS);
	conn->in_bytes += got;
	return got;
}

size_t
conn_receive(struct load_conn *conn)
{
	ssize_t got;

	if (conn->is_on_port)
		return receive_on_port(conn);
	do {
		got = recv(conn->fd, conn->in + conn->in_bytes,
			   conn->in_cap - conn->in_bytes, 0);
	} while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got < 0)
		load_die("connection %u: %s", conn->index, strerror(errno));
	if (got == 0)
		load_die("connection %u: the server closed it", conn->index);
	conn->in_bytes += (size_t)got;
	return (size_t)got;
}

static struct load_pending *
oldest(struct load_conn *conn)
{
	return &conn->pending[conn->pending_first & (conn->pending_cap - 1)];
}

/* Compares with the head of the queue. */
static void
check_reply(struct load_conn *conn, const struct load_options *options,
	    const struct proto_reply_header *header, struct jute_reader *body,
	    struct load_reply *out)
{
	if (conn_pending(conn) == 0)
		load_die("connection %u: a reply nobody asked for (xid %d)",
			 conn->index, header->xid);
	out->request = *oldest(conn);
	conn->pending_first++;
	out->err = header->err;
	if (header->xid != out->request.xid)
		load_die("connection %u: xid %d instead of %d", conn->index,
			 header->xid, out->request.xid);
	if (header->zxid < conn->last_zxid)
		load_die("connection %u: zxid went back", conn->index);
	conn->last_zxid = header->zxid;
	if (header->err == ZK_OK &&
	    !request_reply_is_right(out->request.op, options, body,
				    out->request.created))
		load_die("connection %u: wrong body of a reply, xid %d",
			 conn->index, header->xid);
}

static bool
next_of_rival(struct load_conn *conn, const struct load_options *options,
	      size_t *at, struct load_reply *out)
{
	size_t bytes;

	if (conn_pending(conn) == 0 || *at == conn->in_bytes)
		return false;
	bytes = rival_take(conn->in + *at, conn->in_bytes - *at, options,
			   oldest(conn)->op);
	if (bytes == 0)
		return false;
	*at += bytes;
	*out = (struct load_reply){.request = *oldest(conn)};
	conn->pending_first++;
	return true;
}

bool
conn_next_reply(struct load_conn *conn, const struct load_options *options,
		size_t *at, struct load_reply *out)
{
	const struct frame_limits limits = {
		.bytes_min = PROTO_REPLY_HEADER_BYTES, .bytes_max = FRAME_MAX};
	struct proto_reply_header header;
	struct jute_slice frame;
	size_t frame_bytes;

	if (options->protocol != LOAD_ZOOKEEPER)
		return next_of_rival(conn, options, at, out);
	for (;;) {
		const int got = frame_get(conn->in + *at, conn->in_bytes - *at,
					  limits, &frame, &frame_bytes);

		if (got < 0)
			load_die("a reply of impossible length");
		if (got == 0)
			return false;
		*at += frame_bytes;

		struct jute_reader body =
			jute_reader_of(frame.data, (size_t)frame.bytes);

		if (proto_get_reply_header(&body, &header) != 0)
			load_die("a reply without a header");
		if (header.xid == XID_PING)
			continue;
		if (header.xid == XID_NOTIFICATION) {
			conn->notified++;
			continue;
		}
		check_reply(conn, options, &header, &body, out);
		return true;
	}
}

void
conn_drop(struct load_conn *conn, size_t bytes)
{
	FAL_ASSERT(bytes <= conn->in_bytes);
	memmove(conn->in, conn->in + bytes, conn->in_bytes - bytes);
	conn->in_bytes -= bytes;
	if (conn->in_bytes == conn->in_cap)
		load_die("a reply larger than the input buffer");
}
