/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve - requests of an open connection.
 *
 * Reads, watch operations, auth and ping are answered here; writes, sync and
 * getEphemerals go to the ZAB core. Anything that has an unanswered request in
 * front of it joins the connection's queue, except ping: a heartbeat never
 * waits behind data, and clients do not order it.
 *
 * A reply is formed in place, behind the space of its header, in the stream's
 * output buffer. One that does not fit is formed once more in the scratch
 * buffer; forming has no side effects, watches are registered afterwards.
 */
#include "dataplane/reader_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "znode/prep.h"
#include "znode/read.h"

/* First guess of a reply's size: less than a segment of nearly any path, so
 * that it is written where it leaves. And the limit of what is tried. */
#define REPLY_GUESS_BYTES  512u
#define REPLY_GUESS_GROWTH 32u
#define SCRATCH_BYTES_MAX  (1u << 30)

bool
serve_path_of(const uint8_t *frame, uint32_t bytes, struct jute_slice *path)
{
	if (bytes < PROTO_REQUEST_HEADER_BYTES + 4)
		return false;
	switch ((int32_t)be_load32(frame + 4)) {
	case OP_EXISTS:
	case OP_GET_DATA:
	case OP_GET_ACL:
	case OP_GET_CHILDREN:
	case OP_GET_CHILDREN2:
		break;
	default:
		return false;
	}

	struct jute_reader body =
		jute_reader_of(frame + PROTO_REQUEST_HEADER_BYTES,
			       bytes - PROTO_REQUEST_HEADER_BYTES);

	*path = jute_get_slice(&body);
	return jute_reader_ok(&body) && path->bytes >= 0;
}

uint8_t *
serve_scratch(struct reader *reader, uint32_t bytes)
{
	if (bytes <= reader->scratch_bytes)
		return reader->scratch;

	uint8_t *grown = realloc(reader->scratch, bytes);

	if (grown == NULL)
		return NULL;
	reader->scratch = grown;
	reader->scratch_bytes = bytes;
	return grown;
}

static struct tree_path
path_of(const struct reader *reader, const struct local_op *op,
	struct jute_slice path)
{
	if (op->aim != NULL)
		return op->aim->path;
	return tree_path_of(reader->parts.tree, path.data,
			    path.bytes < 0 ? 0 : (uint32_t)path.bytes);
}

/* No path at all, which is not the root's "": ZooKeeper stumbles over it. One
 * that was looked up ahead is none of these. */
static bool
is_null(const struct local_op *op, struct jute_slice path)
{
	return op->aim == NULL && path.bytes < 0;
}

static struct jute_reader
body_of(const struct reader *reader, const struct local_op *op)
{
	struct jute_reader body = jute_reader_of(op->body, op->body_bytes);
	const uint64_t max = (uint64_t)reader->options.frame_bytes_max +
			     reader->options.slice_bytes_extra;

	if (max < INT32_MAX)
		body.slice_bytes_max = (int32_t)max;
	return body;
}

/* ---- forming bodies: no side effects ---- */

/*
 * Decodes path and watch of a read. A path that was hashed for the burst is
 * known to lie in the body (serve_path_of()), so all that is to be seen is
 * whether the watch's byte is behind it.
 */
static inline bool
get_path_watch(const struct reader *reader, const struct local_op *op,
	       struct proto_path_watch *out)
{
	if (FAL_LIKELY(op->aim != NULL)) {
		const uint32_t bytes = be_load32(op->body);

		out->path = jute_slice_of(op->body + 4, bytes);
		if (FAL_UNLIKELY(op->body_bytes - 4 == bytes))
			return false;
		out->has_watch = op->body[4 + bytes] != 0;
		return true;
	}

	struct jute_reader body = body_of(reader, op);

	return proto_get_path_watch(&body, out) == 0;
}

static int32_t
form_path_read(struct reader *reader, const struct local_op *op,
	       struct jute_writer *out)
{
	struct proto_path_watch request;
	struct tree *tree = reader->parts.tree;

	if (!get_path_watch(reader, op, &request) || is_null(op, request.path))
		return ZK_MARSHALLINGERROR;

	if (op->op == OP_GET_DATA && FAL_LIKELY(op->aim != NULL))
		return read_get_data_aimed(tree, reader->S, op->aim, op->ids,
					   out);

	const struct tree_path path = path_of(reader, op, request.path);

	switch (op->op) {
	case OP_EXISTS:
		return read_exists(tree, reader->S, &path, op->ids, out);
	case OP_GET_DATA:
		return read_get_data(tree, reader->S, &path, op->ids, out);
	case OP_GET_CHILDREN:
		return read_get_children(tree, reader->S, &path, op->ids, false,
					 op->children_max, out);
	default:
		FAL_ASSERT(op->op == OP_GET_CHILDREN2);
		return read_get_children(tree, reader->S, &path, op->ids, true,
					 op->children_max, out);
	}
}

static int32_t
form_get_acl(struct reader *reader, const struct local_op *op,
	     struct jute_writer *out)
{
	struct jute_reader body = body_of(reader, op);
	struct jute_slice text;

	if (proto_get_path(&body, &text) != 0 || is_null(op, text))
		return ZK_MARSHALLINGERROR;

	const struct tree_path path = path_of(reader, op, text);

	return read_get_acl(reader->parts.tree, reader->S, &path, op->ids, out);
}

static int32_t
form_body(struct reader *reader, const struct local_op *op,
	  struct jute_writer *out)
{
	switch (op->op) {
	case OP_EXISTS:
	case OP_GET_DATA:
	case OP_GET_CHILDREN:
	case OP_GET_CHILDREN2:
		return form_path_read(reader, op, out);
	case OP_GET_ACL:
		return form_get_acl(reader, op, out);
	case OP_WHO_AM_I:
		auth_ids_put_who_am_i(out, op->ids);
		return ZK_OK;
	default:
		FAL_ASSERT(op->op == OP_SASL);
		/* No SASL configured: a null token and nothing else. */
		jute_put_int(out, -1);
		return ZK_OK;
	}
}

/* ---- replying ---- */

/* Forms header and body into `space`; returns the frame's bytes, 0 if it does
 * not fit. */
static uint32_t
form_reply(struct reader *reader, const struct local_op *op, uint8_t *space,
	   uint32_t bytes, int32_t *err)
{
	struct jute_writer out =
		jute_writer_of(space + REPLY_OVERHEAD, bytes - REPLY_OVERHEAD);

	*err = form_body(reader, op, &out);
	if (*err == READ_IS_LONG)
		return 0;
	if (*err != ZK_OK)
		out = jute_writer_of(space + REPLY_OVERHEAD, 0);
	if (out.is_full)
		return 0;

	const uint32_t frame = REPLY_OVERHEAD + (uint32_t)jute_written(&out);
	struct jute_writer head = jute_writer_of(space, REPLY_OVERHEAD);

	jute_put_int(&head, (int32_t)(frame - 4));
	proto_put_reply_header(
		&head,
		&(struct proto_reply_header){
			.xid = op->xid,
			.zxid = op->op == OP_SASL ? 0 : (int64_t)reader->S,
			.err = *err,
		});
	return frame;
}

/* The reply is larger than the space in the stream: form it aside. */
static int32_t
reply_aside(struct reader *reader, struct conn *conn, const struct local_op *op)
{
	uint32_t bytes = 4 * STREAM_BUFFER_BYTES;
	int32_t err = ZK_OK;

	while (bytes <= SCRATCH_BYTES_MAX) {
		uint8_t *space = serve_scratch(reader, bytes);

		if (space == NULL)
			break;

		const uint32_t frame =
			form_reply(reader, op, space, bytes, &err);

		if (frame > 0) {
			conn_send(reader, conn, space, frame);
			return err;
		}
		bytes *= 2;
	}
	conn_abort(reader, conn);
	return ZK_MARSHALLINGERROR;
}

static int32_t
reply_formed(struct reader *reader, struct conn *conn,
	     const struct local_op *op)
{
	struct stream_core *streams = reader->parts.streams;
	uint32_t frame = 0, got = 0;
	int32_t err = ZK_OK;

	events_before_output(reader, conn);
	/* In the segment that leaves, or in a piece of its own. */
	for (uint32_t wanted = REPLY_GUESS_BYTES;
	     frame == 0 && err != READ_IS_LONG && wanted <= STREAM_BUFFER_BYTES;
	     wanted *= REPLY_GUESS_GROWTH) {
		uint8_t *space =
			stream_reserve(streams, conn->stream, wanted, &got);

		if (space == NULL)
			break;
		frame = form_reply(reader, op, space, got, &err);
	}
	if (err == READ_IS_LONG) {
		listing_serve(reader, conn, op);
		return ZK_OK;
	}
	if (frame == 0)
		return reply_aside(reader, conn, op); /* judges the limit */
	stream_commit(streams, conn->stream, frame);
	account_sent(reader, conn, frame);
	return err;
}

static void
register_watch(struct reader *reader, struct conn *conn,
	       const struct local_op *op, int32_t err)
{
	struct proto_path_watch request;

	switch (op->op) {
	case OP_EXISTS:
		if (err != ZK_OK && err != ZK_NONODE)
			return;
		break;
	case OP_GET_DATA:
	case OP_GET_CHILDREN:
	case OP_GET_CHILDREN2:
		if (err != ZK_OK)
			return;
		break;
	default:
		return;
	}
	if (!get_path_watch(reader, op, &request) || !request.has_watch ||
	    conn->stream == STREAM_NONE)
		return;
	events_register(reader, conn, op->op,
			watch_path_of(path_of(reader, op, request.path),
				      request.path.bytes));
}

/* addWatch, checkWatches, removeWatches: a path and a number. */
static void
serve_watch_op(struct reader *reader, struct conn *conn,
	       const struct local_op *op)
{
	struct jute_reader body = body_of(reader, op);
	struct proto_path_int request;
	int32_t err = ZK_MARSHALLINGERROR;
	const uint8_t add_watch_body[4] = {0};

	if (proto_get_path_int(&body, &request) == 0) {
		const struct tree_path path = watch_path_of(
			path_of(reader, op, request.path), request.path.bytes);

		err = op->op == OP_ADD_WATCH
			      ? events_add(reader, conn, request.value, path)
			      : events_check(reader, conn, op->op,
					     request.value, path);
	}

	const bool has_body = op->op == OP_ADD_WATCH && err == ZK_OK;

	conn_reply(reader, conn, op->xid, (int64_t)reader->S, err,
		   add_watch_body, has_body ? sizeof(add_watch_body) : 0);
}

/* Answers at S, or begins to. */
static void
serve_local(struct reader *reader, struct conn *conn, struct local_op *op)
{
	/* Behind a request that may be long nothing was let in; others may have
	 * writes behind them, and have to be answered at once. */
	const bool may_be_long = op->req == NULL || op->req->is_long;

	if (may_be_long)
		conn->is_long = false;
	op->children_max = may_be_long ? LISTING_DIRECT_MAX : UINT32_MAX;
	switch (op->op) {
	case OP_ADD_WATCH:
	case OP_CHECK_WATCHES:
	case OP_REMOVE_WATCHES:
		serve_watch_op(reader, conn, op);
		break;
	case OP_SET_WATCHES:
	case OP_SET_WATCHES2:
		rewatch_serve(reader, conn, op);
		break;
	case OP_GET_ALL_CHILDREN_NUMBER:
		count_serve(reader, conn, op);
		break;
	case OP_MULTI_READ:
		listing_serve_multi(reader, conn, op);
		break;
	default: {
		const int32_t err = reply_formed(reader, conn, op);

		register_watch(reader, conn, op, err);
	}
	}
	account_read(reader);
	if (conn->is_long)
		return; /* accounted for when it is answered */
	conn_account(reader, conn, op->op, op->xid, (int64_t)reader->S,
		     op->received_ns);
}

/* ---- answers that are known before their turn ---- */

static int64_t
ready_zxid(const struct reader *reader, int32_t err, int32_t op)
{
	if (op == OP_AUTH || err == ZK_SESSIONCLOSEDREQUIRESASLAUTH)
		return 0;
	return err == ZK_UNIMPLEMENTED ? -1 : (int64_t)reader->S;
}

/* Errors that end the connection behind their reply. */
static bool
is_final(int32_t err)
{
	return err == ZK_UNIMPLEMENTED || err == ZK_AUTHFAILED ||
	       err == ZK_SESSIONCLOSEDREQUIRESASLAUTH;
}

static void
reply_ready(struct reader *reader, struct conn *conn, int32_t xid, int32_t op,
	    int32_t err)
{
	conn_reply(reader, conn, op == OP_PING ? XID_PING : xid,
		   ready_zxid(reader, err, op), err, NULL, 0);
	if (is_final(err))
		conn_leave(reader, conn);
}

/* Answers err now, or in its turn. False: no room. */
static bool
answer_ready(struct reader *reader, struct conn *conn,
	     const struct proto_request_header *header, int32_t err)
{
	if (conn->head == NULL) {
		reply_ready(reader, conn, header->xid, header->type, err);
		return true;
	}

	struct req *req = req_new(&reader->pool, NULL, 0, NULL);

	if (req == NULL)
		return false;
	req->kind = REQ_LOCAL;
	req->state = REQ_IS_READY;
	req->xid = header->xid;
	req->op = header->type;
	req->err = err;
	conn_queue_push(conn, req);
	if (is_final(err))
		conn_leave(reader, conn);
	return true;
}

bool
serve_queued(struct reader *reader, struct conn *conn, struct req *req)
{
	if (req->state == REQ_IS_READY) {
		reply_ready(reader, conn, req->xid, req->op, req->err);
		return false;
	}

	struct local_op op = local_op_of(req);

	serve_local(reader, conn, &op);
	return conn->head == req;
}

/* ---- frames ---- */

static bool
queue_req(struct reader *reader, struct conn *conn, enum req_kind kind,
	  const struct local_op *op)
{
	struct req *req =
		req_new(&reader->pool, op->body, op->body_bytes, conn->ids);

	if (req == NULL)
		return false;
	req->kind = (uint8_t)kind;
	req->state = kind == REQ_LOCAL ? REQ_IS_LOCAL : REQ_IS_SENT;
	if (admission_is_large(reader, op->frame_bytes)) {
		req->large_bytes = op->frame_bytes;
		reader->pool.large_bytes += op->frame_bytes;
	}
	req->xid = op->xid;
	req->op = op->op;
	req->session_id = conn->session_id;
	req->received_ns = op->received_ns;
	req->owner = (struct session_owner){
		.core = reader->parts.channel->core,
		.conn = conn->index,
		.conn_gen = conn->gen,
	};
	if (kind != REQ_LOCAL && !answer_submit(reader, req)) {
		req_free(&reader->pool, req);
		return false;
	}
	conn_queue_push(conn, req);
	return true;
}

static bool
serve_write(struct reader *reader, struct conn *conn,
	    const struct proto_request_header *header,
	    const struct local_op *op)
{
	int32_t err = ZK_MARSHALLINGERROR;

	if (prep_check_syntax(op->op, op->body, op->body_bytes) == 0)
		err = FAL_UNLIKELY(reader->options.is_acl_eager)
			      ? eager_check(reader, conn, op)
			      : ZK_OK;
	if (err != ZK_OK)
		return answer_ready(reader, conn, header, err);
	/* A local session ends without a transaction: behind all writes. */
	if (op->op == OP_CLOSE_SESSION && reader->options.is_member &&
	    conn->head != NULL) {
		conn_pause(reader, conn);
		return false;
	}
	if (!queue_req(reader, conn, REQ_WRITE, op))
		return false;
	if (op->op == OP_CLOSE_SESSION)
		conn_leave(reader, conn); /* what comes behind is discarded */
	return true;
}

/* Is `text` one of the comma list? */
static bool
is_listed(const char *list, struct jute_slice text)
{
	for (const char *at = list; *at != 0;) {
		const size_t bytes = strcspn(at, ",");

		if (bytes == (size_t)text.bytes &&
		    memcmp(at, text.data, bytes) == 0)
			return true;
		at += bytes;
		at += strspn(at, ", ");
	}
	return false;
}

static bool
is_ensemble_auth(const struct reader *reader,
		 const struct proto_auth_request *request)
{
	return reader->options.ensemble_names != NULL &&
	       jute_slice_equal(request->scheme, jute_slice_of("ensemble", 8));
}

/* The client says which ensemble it means, and gets no identity for it. */
static bool
is_right_ensemble(struct reader *reader,
		  const struct proto_auth_request *request)
{
	const char *names = reader->options.ensemble_names;
	enum stat outcome = STAT_ENSEMBLE_AUTH_SKIP;

	if (request->auth.bytes > 0 && *names != 0)
		outcome = is_listed(names, request->auth)
				  ? STAT_ENSEMBLE_AUTH_SUCCESS
				  : STAT_ENSEMBLE_AUTH_FAIL;
	stats_add(reader->parts.stats, outcome, 1);
	return outcome != STAT_ENSEMBLE_AUTH_FAIL;
}

/* The new identities count from here on; the answer keeps its place. */
static bool
serve_auth(struct reader *reader, struct conn *conn,
	   const struct proto_request_header *header, const struct local_op *op)
{
	struct jute_reader body = body_of(reader, op);
	struct proto_auth_request request;
	struct auth_ids *list = NULL;
	int32_t err;

	if (conn->head != NULL && reader->pool.free_count == 0)
		return false;
	err = proto_get_auth(&body, &request) == 0 ? ZK_OK
						   : ZK_MARSHALLINGERROR;
	if (err == ZK_OK && is_ensemble_auth(reader, &request)) {
		if (is_right_ensemble(reader, &request))
			return answer_ready(reader, conn, header, ZK_OK);
		conn_close(reader, conn); /* so that it tries elsewhere */
		return true;
	}
	if (err == ZK_OK)
		err = auth_ids_add(reader->options.acl, conn->ids->list,
				   &request, &list);
	if (err == ZK_OK) {
		struct req_ids *ids = req_ids_new(list);

		if (ids == NULL)
			return false;
		req_ids_unref(conn->ids);
		conn->ids = ids;
	} else if (err == ZK_AUTHFAILED) {
		stats_add(reader->parts.stats, STAT_AUTH_FAILED, 1);
	}
	return answer_ready(reader, conn, header, err);
}

/* May the answer take more than a round? Then nothing is let in behind it. */
static bool
may_be_long(const struct reader *reader, const struct local_op *op)
{
	const struct tree *tree = reader->parts.tree;
	const struct znode *node;
	struct jute_reader body;
	struct jute_slice text;
	struct tree_stat stat;

	switch (op->op) {
	case OP_GET_ALL_CHILDREN_NUMBER:
	case OP_MULTI_READ:
		return true;
	case OP_SET_WATCHES:
	case OP_SET_WATCHES2:
		return rewatch_is_long(op);
	case OP_GET_CHILDREN:
	case OP_GET_CHILDREN2:
		break;
	default:
		return false;
	}
	body = body_of(reader, op);
	text = jute_get_slice(&body);
	if (!jute_reader_ok(&body))
		return false;
	node = tree_lookup(tree, path_of(reader, op, text), reader->S);
	if (node == NULL)
		return false;
	tree_stat_at(tree, node, reader->S, &stat);
	/* It may grow until its turn; half of the limit is room for that. */
	return stat.num_children > LISTING_DIRECT_MAX / 2;
}

/* A read: now, or behind what is unanswered. False: no room, ask again. */
static bool
serve_read(struct reader *reader, struct conn *conn, struct local_op *op)
{
	if (conn->head == NULL) {
		/* A job would need a req. */
		if (reader->pool.free_count == 0 && may_be_long(reader, op))
			return false;
		serve_local(reader, conn, op);
		return true;
	}
	if (!queue_req(reader, conn, REQ_LOCAL, op))
		return false;
	conn->tail->is_long = may_be_long(reader, op);
	conn->is_long = conn->tail->is_long;
	return true;
}

/* Limits on what goes to the writer or waits for it. False: the request does
 * not go there; *is_taken is what serve_frame() returns. */
static bool
may_queue(struct reader *reader, struct conn *conn,
	  const struct proto_request_header *header, bool *is_taken)
{
	*is_taken = false;
	switch (admission_of_request(reader, conn, header->type)) {
	case ADMISSION_WAIT:
		return false;
	case ADMISSION_DROP:
		conn_close(reader, conn);
		*is_taken = true;
		return false;
	case ADMISSION_REFUSE:
		*is_taken = answer_ready(reader, conn, header, ZK_THROTTLEDOP);
		return false;
	default:
		return true;
	}
}

/* client-protocol.md 8.6: has the connection shown who it is? */
static bool
is_admitted(const struct reader *reader, const struct conn *conn)
{
	const struct auth_ids *ids = conn->ids->list;

	if (FAL_LIKELY(reader->options.enforced_schemes == NULL))
		return true;
	for (uint32_t i = 0; i < ids->count; i++)
		if (is_listed(reader->options.enforced_schemes,
			      ids->id[i].scheme))
			return true;
	return false;
}

/* At a learner the writes in front may still be on their way to the leader,
 * and the writer's lists are without them: first they, then the list. */
static bool
serve_ephemerals(struct reader *reader, struct conn *conn,
		 const struct local_op *op)
{
	if (reader->options.is_member && conn->head != NULL) {
		conn_pause(reader, conn);
		return false;
	}
	if (!queue_req(reader, conn, REQ_EPHEMERAL, op))
		return false;
	conn->tail->is_long = true; /* there may be any number of them */
	conn->is_long = true;
	return true;
}

/* A read-only server takes no writes; the client shall find a better one. */
static bool
refuse_write(struct reader *reader, struct conn *conn,
	     const struct proto_request_header *header)
{
	return answer_ready(reader, conn, header, ZK_NOTREADONLY);
}

/* A request of a connection that may ask, other than ping. */
static bool
serve_admitted(struct reader *reader, struct conn *conn,
	       const struct proto_request_header *header, struct local_op *op,
	       enum op_class class)
{
	bool is_taken;

	if (!admission_has_room(reader, conn))
		return false;
	if (FAL_UNLIKELY(attend_state(reader) == SERVING_READS) &&
	    (class == OP_CLASS_SYNC ||
	     (class == OP_CLASS_WRITE && header->type != OP_CLOSE_SESSION)))
		return refuse_write(reader, conn, header);
	if (class != OP_CLASS_AUTH &&
	    (class != OP_CLASS_LOCAL || conn->head != NULL) &&
	    !may_queue(reader, conn, header, &is_taken))
		return is_taken;
	switch (class) {
	case OP_CLASS_LOCAL:
		return serve_read(reader, conn, op);
	case OP_CLASS_WRITE:
		return serve_write(reader, conn, header, op);
	case OP_CLASS_SYNC:
		if (!queue_req(reader, conn, REQ_SYNC, op))
			return false;
		conn->is_syncing = reader->options.is_member;
		return true;
	case OP_CLASS_EPHEMERAL:
		return serve_ephemerals(reader, conn, op);
	case OP_CLASS_AUTH:
		return serve_auth(reader, conn, header, op);
	default:
		return answer_ready(reader, conn, header, ZK_UNIMPLEMENTED);
	}
}

bool
serve_frame(struct reader *reader, struct conn *conn, const uint8_t *frame,
	    uint32_t bytes, const struct tree_aim *aim)
{
	const struct proto_request_header header = {
		.xid = (int32_t)be_load32(frame),
		.type = (int32_t)be_load32(frame + 4),
	};
	struct local_op op = {
		.xid = header.xid,
		.op = header.type,
		.body = frame + PROTO_REQUEST_HEADER_BYTES,
		.body_bytes = bytes - PROTO_REQUEST_HEADER_BYTES,
		.frame_bytes = bytes,
		.ids = conn->ids->list,
		.ids_counted = conn->ids,
		.received_ns = reader->now_ns,
		.aim = aim,
	};
	const enum op_class class = op_classify(header.type);

	if (class != OP_CLASS_AUTH && header.type != OP_SASL)
		conn_touch(reader, conn);
	if (class != OP_CLASS_AUTH && header.type != OP_SASL &&
	    !is_admitted(reader, conn))
		return answer_ready(reader, conn, &header,
				    ZK_SESSIONCLOSEDREQUIRESASLAUTH);
	if (class == OP_CLASS_PING) {
		if (!admission_of_ping(reader, conn))
			return false;
		conn_reply_ping(reader, conn, (int64_t)reader->S);
		conn_account(reader, conn, OP_PING, -1, (int64_t)reader->S,
			     op.received_ns);
		return true;
	}
	return serve_admitted(reader, conn, &header, &op, class);
}
