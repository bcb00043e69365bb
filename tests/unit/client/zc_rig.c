/* SPDX-License-Identifier: Apache-2.0 */
/* zc_rig - the server's side of test_zc.c. */
#include "zc_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "drivers/stream.h"
#include "wire/frame.h"

static void
on_state(void *arg, struct zc *zc, enum zc_state state)
{
	struct rig *rig = arg;

	(void)zc;
	rig->state = state;
	rig->state_changes++;
}

static void
rig_listen(struct rig *rig)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr =
					      htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(address);

	rig->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_true(rig->listener >= 0);
	assert_int_equal(bind(rig->listener, (void *)&address, bytes), 0);
	assert_int_equal(listen(rig->listener, 8), 0);
	assert_int_equal(getsockname(rig->listener, (void *)&address, &bytes),
			 0);
	rig->port = ntohs(address.sin_port);
	snprintf(rig->servers, sizeof(rig->servers), "127.0.0.1:%u", rig->port);
}

void
rig_step(struct rig *rig)
{
	zc_loop_step(rig->loop, STEP_MS);
}

static void
rig_accept(struct rig *rig)
{
	for (int i = 0; i < STEPS_MAX; i++) {
		rig_step(rig);
		rig->peer = accept(rig->listener, NULL, NULL);
		if (rig->peer >= 0)
			return;
	}
	fail_msg("the client does not connect");
}

/* Exactly so many bytes, while the client is being stepped. */
static void
rig_read(struct rig *rig, uint8_t *to, size_t bytes)
{
	size_t got = 0;

	for (int i = 0; i < STEPS_MAX && got < bytes; i++) {
		const ssize_t n =
			recv(rig->peer, to + got, bytes - got, MSG_DONTWAIT);

		if (n > 0)
			got += (size_t)n;
		else if (n == 0)
			fail_msg("the client hung up");
		else
			rig_step(rig);
	}
	assert_int_equal(got, bytes);
}

static struct jute_reader
rig_frame(struct rig *rig)
{
	rig_read(rig, rig->in, 4);

	const uint32_t bytes = be_load32(rig->in);

	assert_true(bytes <= FRAME_MAX);
	rig_read(rig, rig->in, bytes);
	return jute_reader_of(rig->in, bytes);
}

/* The next request, which must be of that type; returns its body. */
struct jute_reader
rig_request(struct rig *rig, int32_t op, int32_t *xid)
{
	struct jute_reader body = rig_frame(rig);
	struct proto_request_header header;

	assert_int_equal(proto_get_request_header(&body, &header), 0);
	assert_int_equal(header.type, op);
	if (xid != NULL)
		*xid = header.xid;
	return body;
}

static struct jute_writer *
rig_begin(struct rig *rig)
{
	rig->writer = jute_writer_of(rig->out, sizeof(rig->out));
	rig->mark = frame_begin(&rig->writer);
	return &rig->writer;
}

struct jute_writer *
rig_begin_reply(struct rig *rig, int32_t xid, int64_t zxid, int32_t err)
{
	struct jute_writer *writer = rig_begin(rig);

	proto_put_reply_header(writer,
			       &(struct proto_reply_header){
				       .xid = xid, .zxid = zxid, .err = err});
	return writer;
}

void
rig_send(struct rig *rig)
{
	frame_end(&rig->writer, rig->mark);
	const size_t bytes = jute_written(&rig->writer);

	assert_int_equal(send(rig->peer, rig->out, bytes, MSG_NOSIGNAL),
			 (ssize_t)bytes);
}

void
rig_reply(struct rig *rig, int32_t xid, int64_t zxid, int32_t err)
{
	rig_begin_reply(rig, xid, zxid, err);
	rig_send(rig);
}

void
rig_event(struct rig *rig, int32_t type, const char *path)
{
	struct jute_writer *writer =
		rig_begin_reply(rig, XID_NOTIFICATION, -1, 0);

	proto_put_watcher_event(
		writer, &(struct proto_watcher_event){
				.type = type,
				.state = PROTO_STATE_SYNC_CONNECTED,
				.path = jute_slice_of(path, strlen(path))});
	rig_send(rig);
}

/* Takes the ConnectRequest and grants (or, timeout 0, refuses) it. */
struct proto_connect_request
rig_greet(struct rig *rig, int32_t timeout_ms)
{
	struct proto_connect_request request;
	struct proto_connect_response response = {
		.timeout_ms = timeout_ms,
		.session_id = timeout_ms == 0 ? 0 : SESSION,
		.has_read_only = true,
		.is_read_only = rig->is_read_only,
	};
	struct jute_reader body;

	rig_accept(rig);
	body = rig_frame(rig);
	assert_int_equal(proto_get_connect_request(&body, &request), 0);
	if (timeout_ms != 0)
		proto_session_password(SESSION, response.password);
	proto_put_connect_response(rig_begin(rig), &response);
	rig_send(rig);
	return request;
}

void
rig_wait_state(struct rig *rig, enum zc_state state)
{
	for (int i = 0; i < STEPS_MAX && rig->state != state; i++)
		rig_step(rig);
	assert_int_equal(rig->state, state);
}

void
rig_hang_up(struct rig *rig)
{
	close(rig->peer);
	rig->peer = -1;
}

int
rig_setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	const struct zc_options options = {
		.timeout_ms = TIMEOUT_MS, .on_state = on_state, .arg = rig};

	rig->peer = -1;
	rig->state = ZC_CONNECTING;
	rig_listen(rig);
	assert_int_equal(zc_loop_create(NULL, &rig->loop), 0);
	assert_int_equal(zc_open(rig->loop, rig->servers, &options, &rig->zc),
			 0);
	*state = rig;
	return 0;
}

int
rig_teardown(void **state)
{
	struct rig *rig = *state;

	zc_loop_destroy(rig->loop);
	close(rig->listener);
	if (rig->peer >= 0)
		close(rig->peer);
	free(rig);
	return 0;
}
