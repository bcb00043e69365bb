/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect - the ConnectRequest: a new session, or one that comes back.
 *
 * Checks are in the order of client-protocol.md 2.3. Both ways lead through
 * the ZAB core (session lane): a new session is a transaction, a session that
 * comes back changes its owner. Until the answer is there nothing more is read
 * from the connection; bytes behind the request wait in its buffer.
 */
#include "dataplane/reader_int.h"

#include <string.h>

#include "base/log.h"

static int32_t
negotiate_timeout(const struct reader_options *options, int32_t wanted_ms)
{
	if (wanted_ms < options->session_timeout_min_ms)
		return options->session_timeout_min_ms;
	if (wanted_ms > options->session_timeout_max_ms)
		return options->session_timeout_max_ms;
	return wanted_ms;
}

static bool
is_password_of(const struct proto_connect_request *request)
{
	uint8_t password[PROTO_PASSWORD_BYTES];

	if (request->password.bytes != PROTO_PASSWORD_BYTES)
		return false;
	proto_session_password(request->session_id, password);
	return memcmp(password, request->password.data, sizeof(password)) == 0;
}

static void
heard_start(struct reader *reader, const struct conn *conn)
{
	struct channel_heard *heard =
		&reader->parts.channel->heard[conn->index];

	atomic_store_explicit(&heard->gen, conn->gen, memory_order_relaxed);
	atomic_store_explicit(&heard->timeout_ms, conn->timeout_ms,
			      memory_order_relaxed);
	atomic_store_explicit(&heard->session_id, conn->session_id,
			      memory_order_relaxed);
	channel_touch(reader->parts.channel, conn->index, reader->now_ms);
}

/* Sends the request to the ZAB core; false: no room, try again. */
static bool
submit(struct reader *reader, struct conn *conn,
       const struct proto_connect_request *request)
{
	struct req *req = req_new(&reader->pool, NULL, 0, NULL);

	if (req == NULL)
		return false;
	req->kind = request->session_id == 0 ? REQ_CONNECT : REQ_RESUME;
	req->state = REQ_IS_SENT;
	req->op = OP_CREATE_SESSION;
	req->session_id = request->session_id;
	req->timeout_ms = conn->timeout_ms;
	req->is_password_ok =
		request->session_id != 0 && is_password_of(request);
	req->received_ns = reader->now_ns;
	req->owner = (struct session_owner){
		.core = reader->parts.channel->core,
		.conn = conn->index,
		.conn_gen = conn->gen,
	};
	if (!answer_submit(reader, req)) {
		req_free(&reader->pool, req);
		return false;
	}
	conn_queue_push(conn, req);
	return true;
}

/* A server that is not serving hangs up, so that the client tries another (but
 * see await.c); a read-only one takes those who say that they want no more. */
static bool
is_welcome(struct reader *reader, const struct proto_connect_request *request)
{
	const uint32_t state = attend_state(reader);

	if (FAL_LIKELY(state == SERVING_ALL) ||
	    (state == SERVING_READS && request->is_read_only))
		return true;
	stats_add(reader->parts.stats, STAT_CONNECTIONS_REJECTED, 1);
	return false;
}

static enum connect_kind
kind_of(const struct reader *reader,
	const struct proto_connect_request *request)
{
	if (request->session_id != 0)
		return CONNECT_RENEW;
	return reader->options.connects.has_local ? CONNECT_LOCAL
						  : CONNECT_GLOBAL;
}

/* client-protocol.md 7.10. A request that could not be taken for want of a req
 * comes here again, and pays once. */
static bool
is_let_in(struct reader *reader, const struct proto_connect_request *request)
{
	struct connect_throttle *throttle = &reader->connects;
	struct stats_core *stats = reader->parts.stats;

	if (throttle->options.tokens_max == 0 || reader->pool.free_count == 0)
		return true;

	const bool is_in = connect_throttle_admit(
		throttle, kind_of(reader, request), reader->now_ms);

	stats_set(stats, STAT_CONNECT_DROP_PPM,
		  (uint64_t)(throttle->drop * 1e6));
	if (is_in)
		stats_summary_record(stats, SUMMARY_TOKEN_DEFICIT,
				     connect_throttle_deficit(throttle));
	else
		stats_add(stats, STAT_CONNECTIONS_REJECTED, 1);
	return is_in;
}

bool
connect_request(struct reader *reader, struct conn *conn, const uint8_t *frame,
		uint32_t bytes)
{
	struct jute_reader body = jute_reader_of(frame, bytes);
	struct proto_connect_request request;
	const uint64_t published =
		atomic_load_explicit(reader->published, memory_order_acquire);

	if (proto_get_connect_request(&body, &request) != 0) {
		log_post(LOG_FRAME_MALFORMED, 0, 0);
		stats_add(reader->parts.stats, STAT_FRAMES_MALFORMED, 1);
		conn_close(reader, conn);
		return true;
	}
	/* What this round believes is old; whoever comes because the server
	 * says that it serves is judged by the next. */
	if (attend_is_due(reader))
		return false;
	if (await_serving(reader, conn))
		return false;
	if (!is_let_in(reader, &request)) {
		conn_close(reader, conn);
		return true;
	}
	if (request.last_zxid_seen > (int64_t)published) {
		log_post(LOG_CONNECT_ZXID_AHEAD,
			 (uint64_t)request.last_zxid_seen, published);
		conn_close(reader, conn);
		return true;
	}
	if (!is_welcome(reader, &request)) {
		conn_close(reader, conn);
		return true;
	}
	conn->has_read_only_byte = request.has_read_only;
	conn->timeout_ms =
		negotiate_timeout(&reader->options, request.timeout_ms);
	heard_start(reader, conn);
	if (!submit(reader, conn, &request))
		return false;
	stats_add(reader->parts.stats, STAT_CONNECTION_REQUESTS, 1);
	if (request.session_id != 0)
		stats_add(reader->parts.stats, STAT_REVALIDATIONS, 1);
	list_del(&conn->link); /* no newcomer any more */
	conn->state = CONN_CONNECTING;
	conn_pause(reader, conn);
	return true;
}

static void
send_response(struct reader *reader, struct conn *conn,
	      const struct proto_connect_response *response)
{
	uint8_t frame[64];
	struct jute_writer writer = jute_writer_of(frame, sizeof(frame));

	jute_put_int(&writer, 0);
	proto_put_connect_response(&writer, response);
	FAL_ASSERT(!writer.is_full);

	const uint32_t bytes = (uint32_t)jute_written(&writer);

	be_store32(frame, bytes - 4);
	conn_send(reader, conn, frame, bytes);
}

void
connect_granted(struct reader *reader, struct conn *conn, int64_t session_id)
{
	struct proto_connect_response response = {
		.timeout_ms = conn->timeout_ms,
		.session_id = session_id,
		.has_read_only = conn->has_read_only_byte,
		.is_read_only = attend_state(reader) == SERVING_READS,
	};

	proto_session_password(session_id, response.password);
	conn->session_id = session_id;
	if (conn->state == CONN_CONNECTING)
		conn->state = CONN_OPEN;
	heard_start(reader, conn);
	send_response(reader, conn, &response);
	conn_account(reader, conn, OP_CREATE_SESSION, 0, (int64_t)reader->S,
		     conn->head->received_ns);
	if (conn->state == CONN_OPEN)
		conn_resume(reader, conn);
}

/* One answer for unknown, expired and wrong password: all zero, then close. */
void
connect_refused(struct reader *reader, struct conn *conn)
{
	const struct proto_connect_response response = {
		.has_read_only = conn->has_read_only_byte};

	log_post(LOG_CONNECT_REFUSED, (uint64_t)conn->head->session_id,
		 (uint64_t)(int64_t)FAL_ENOENT);
	send_response(reader, conn, &response);
	conn_close(reader, conn);
}
