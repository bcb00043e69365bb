/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer - what comes back from the ZAB core, in order.
 *
 * Two sources are merged: delta records (transactions, R2) and unicasts (R3).
 * A unicast carries a fence: it is answered when S has reached it and before
 * the next record. The ZAB core queues a unicast before it publishes a later
 * record, so a reader that sees the record sees the unicast too; replies of
 * one connection therefore come in the order of its requests, which is
 * asserted at the head of its queue. One answer is a leader's word: that of a
 * sync, which may come before that of a write in front of it, if not from a
 * leader that is sound. Nothing can be told in its order then.
 *
 * S walks record by record: events of record z, then its reply, then reads
 * that waited for that reply, all at S = z.
 *
 * A record may have any number of events: a closeSession of 50,000 ephemerals
 * has 100,000, and each may be for some dozens of connections. They are told in
 * rounds. In between no client of this core is served, since some have heard of
 * z and others have not; but streams of others, peers, are.
 */
#include "dataplane/reader_int.h"

#include "base/log.h"
#include "drivers/clock.h"
#include "znode/text.h"

/* A round's share, so that receiving is never starved. */
#define RECORD_BURST 256u

/* For the ledger: one time for a burst, whose requests the other core will find
 * together. 0: nobody wants to know. */
static uint64_t
sent_ns(struct reader *reader)
{
	if (reader->parts.ledger == NULL)
		return 0;
	if (!reader->is_in_burst)
		return clock_now_ns();
	if (reader->burst_ns == 0)
		reader->burst_ns = clock_now_ns();
	return reader->burst_ns;
}

bool
answer_submit(struct reader *reader, struct req *req)
{
	struct channel *channel = reader->parts.channel;
	const bool is_session = req->kind == REQ_CONNECT ||
				req->kind == REQ_RESUME ||
				req->kind == REQ_DETACH;

	req->sent_ns = sent_ns(reader);
	if (!ring_push(is_session ? &channel->session_lane
				  : &channel->data_lane,
		       req)) {
		stats_add(reader->parts.stats, STAT_RING_FULL, 1);
		return false;
	}
	reader->must_ring_zab = true;
	return true;
}

/* ---- unicasts ------------------------------------------------------------ */

/* Malformed text comes back as ZooKeeper's strings would hold it. */
static void
reply_decoded(struct reader *reader, struct conn *conn, const struct req *req,
	      struct jute_slice path)
{
	const uint32_t room = 4 + 3 * (uint32_t)path.bytes;
	uint8_t *space = serve_scratch(reader, room);

	if (space == NULL) {
		conn_abort(reader, conn);
		return;
	}

	struct jute_writer out = jute_writer_of(space, room);

	jute_put_int(&out, 0);
	text_put(&out, path, TEXT_CESU8);
	FAL_ASSERT(!out.is_full);

	const uint32_t bytes = (uint32_t)jute_written(&out);

	be_store32(space, bytes - 4);
	conn_reply(reader, conn, req->xid, (int64_t)reader->S, req->err, space,
		   bytes);
}

static void
answer_sync(struct reader *reader, struct conn *conn, struct req *req)
{
	struct jute_reader body = jute_reader_of(req->body, req->body_bytes);
	struct jute_slice path;

	if (proto_get_path(&body, &path) != 0) {
		conn_reply(reader, conn, req->xid, (int64_t)reader->S,
			   ZK_MARSHALLINGERROR, NULL, 0);
		return;
	}
	if (!text_is_normal(path)) {
		reply_decoded(reader, conn, req, path);
		return;
	}
	/* The path as it came, null too. */
	conn_reply(reader, conn, req->xid, (int64_t)reader->S, req->err,
		   req->body, (uint32_t)(body.at - req->body));
}

/* True: it was kept, for a job. */
static bool
answer_unicast_req(struct reader *reader, struct conn *conn, struct req *req)
{
	switch (req->kind) {
	case REQ_RESUME:
		if (req->err == ZK_OK)
			connect_granted(reader, conn, req->session_id);
		else
			connect_refused(reader, conn);
		return false;
	case REQ_SYNC:
		answer_sync(reader, conn, req);
		break;
	default:
		if (req->kind == REQ_EPHEMERAL && req->err == ZK_OK) {
			if (listing_serve_ephemerals(reader, conn, req))
				return true;
			break;
		}
		conn_reply(reader, conn, req->xid, (int64_t)reader->S, req->err,
			   NULL, 0);
	}
	conn_account(reader, conn, req->op, req->xid, (int64_t)reader->S,
		     req->received_ns);
	return false;
}

static void
handle_close_token(struct reader *reader, const void *entry)
{
	struct conn *conn = conn_of(reader, req_close_token_conn(entry),
				    req_close_token_gen(entry));

	if (conn != NULL)
		conn_close(reader, conn);
}

static void
handle_unicast(struct reader *reader, struct req *req)
{
	if (req->kind == REQ_DETACH) {
		req_free(&reader->pool, req);
		return;
	}

	struct conn *conn =
		conn_of(reader, req->owner.conn, req->owner.conn_gen);

	FAL_ASSERT(conn != NULL);
	if (req->verdict == REQ_CLOSE ||
	    (conn->head != req && req->kind == REQ_SYNC))
		conn_close(reader, conn);
	/* Nobody waits for the answers of a ghost, nor for their order. */
	if (conn->stream == STREAM_NONE) {
		stats_add(reader->parts.stats, STAT_STALE_REPLIES, 1);
		conn_queue_remove(reader, conn, req);
		return;
	}
	FAL_ASSERT(conn->head == req);
	if (req->kind == REQ_SYNC)
		conn->is_syncing = false;
	if (req->kind == REQ_EPHEMERAL)
		conn->is_long = false;
	if (req->verdict == REQ_ANSWER && answer_unicast_req(reader, conn, req))
		return;
	conn_queue_pop(reader, conn);
}

static bool
has_unicast(const struct reader *reader)
{
	return reader->unicast_head != NULL ||
	       ring_count(&reader->parts.channel->unicast) > 0;
}

/* All unicasts whose fence is at most S. */
static bool
drain_unicasts(struct reader *reader)
{
	bool did_work = false;

	for (;;) {
		if (reader->unicast_head == NULL)
			reader->unicast_head =
				ring_pop(&reader->parts.channel->unicast);

		void *entry = reader->unicast_head;

		if (entry == NULL)
			return did_work;
		if (req_is_close_token(entry)) {
			reader->unicast_head = NULL;
			handle_close_token(reader, entry);
		} else {
			struct req *req = entry;

			/* When nobody is served the state that an answer
			 * belongs to may never come. */
			if (req->fence > reader->S &&
			    attend_state(reader) != SERVING_CLOSED)
				return did_work;
			reader->unicast_head = NULL;
			handle_unicast(reader, req);
		}
		did_work = true;
	}
}

/* ---- records ----------------------------------------------------------------
 */

static void
reply_to(struct reader *reader, struct conn *conn, const struct delta *record)
{
	const struct req *req = conn->head;

	FAL_ASSERT(req != NULL && req->state == REQ_IS_SENT);
	FAL_ASSERT(req->xid == record->cxid);
	if (conn->stream != STREAM_NONE) {
		if ((record->flags & DELTA_MUST_CLOSE) ||
		    (req->kind == REQ_CONNECT && record->err != ZK_OK)) {
			conn_close(reader, conn);
		} else if (req->kind == REQ_CONNECT) {
			connect_granted(reader, conn, record->session_id);
		} else {
			if (record->type == OP_CLOSE_SESSION)
				conn->session_id = 0; /* nothing to detach */
			conn_reply(reader, conn, record->cxid,
				   (int64_t)record->zxid, record->err,
				   delta_reply(record), record->reply_bytes);
			account_update(reader, req, record->zxid,
				       conn_account(reader, conn, req->op,
						    record->cxid,
						    (int64_t)record->zxid,
						    req->received_ns));
		}
	} else {
		stats_add(reader->parts.stats, STAT_STALE_REPLIES, 1);
	}
	conn_queue_pop(reader, conn);
}

/* Each record is told by one reader: who asked, or the first. */
static void
tell_update(struct reader *reader, const struct delta *record)
{
	const uint16_t self = reader->parts.channel->core;
	const bool is_asked = !(record->flags & DELTA_INTERNAL) &&
			      record->origin_core != SESSION_OWNER_NONE;
	struct reader_update update = {
		.op = record->type,
		.err = record->err,
		.session_id = record->session_id,
		.wall_ms = reader->wall_ms,
		.reply = delta_reply(record),
		.reply_bytes = record->reply_bytes,
		.effects = delta_effects(record),
		.effect_count = record->effect_count,
	};

	if (self != (is_asked ? record->origin_core : 0))
		return;
	if (is_asked) {
		const struct conn *conn =
			conn_of(reader, record->conn, record->conn_gen);
		const struct req *req = conn == NULL ? NULL : conn->head;

		FAL_ASSERT(req != NULL);
		update.op = req->op;
		update.peer = conn->peer;
		update.ids = req->ids == NULL ? NULL : req->ids->list;
		update.body = req->body;
		update.body_bytes = req->body_bytes;
	}
	reader->hooks.on_update(reader->hooks.update_arg, &update);
}

/* Its events are told. */
static void
finish_record(struct reader *reader, const struct delta *record)
{
	reader->S = record->zxid;
	if (record->origin_core != reader->parts.channel->core)
		return;

	struct conn *conn = conn_of(reader, record->conn, record->conn_gen);

	if (record->flags & DELTA_INTERNAL) {
		/* The session expired; its connection is told by closing. */
		if (conn != NULL)
			conn_close(reader, conn);
		return;
	}
	FAL_ASSERT(conn != NULL);
	reply_to(reader, conn, record);
}

/* False: there is more of it, for the next round. */
static bool
handle_record(struct reader *reader, const struct delta *record)
{
	if (reader->hooks.on_update != NULL)
		tell_update(reader, record);
	if (record->effect_count > 0 &&
	    FAL_UNLIKELY(!events_of_record(reader, record))) {
		reader->telling = record;
		return false;
	}
	finish_record(reader, record);
	return true;
}

/* The same of the one that an earlier round began with. */
static bool
handle_rest(struct reader *reader)
{
	const struct delta *record = reader->telling;

	if (record == NULL)
		return true;
	if (!events_of_record(reader, record))
		return false;
	reader->telling = NULL;
	finish_record(reader, record);
	return true;
}

/* A record that begins has half a round's share, or it would be cut for those
 * before it, and clients served the less often. */
static bool
has_told_enough(const struct reader *reader)
{
	return reader->tell_left < TELL_EFFECTS / 2 ||
	       reader->delivered + TELL_EVENTS / 2 > reader->tell_until;
}

bool
answer_poll(struct reader *reader)
{
	const uint64_t limit =
		atomic_load_explicit(reader->published, memory_order_acquire);
	bool did_work = false;

	/* Whom the rest of a record is told belongs before all else. */
	if (FAL_LIKELY(reader->telling == NULL))
		did_work = drain_unicasts(reader);
	if (limit == reader->S)
		return did_work;
	reader->tell_left = TELL_EFFECTS;
	reader->tell_until = reader->delivered + TELL_EVENTS;
	if (FAL_UNLIKELY(!handle_rest(reader)))
		return true;
	for (uint32_t i = 0; i < RECORD_BURST; i++) {
		if (!events_have_room(reader) || has_told_enough(reader))
			break;
		const struct delta *record = delta_next(reader->cursor, limit);
		if (record == NULL) {
			reader->S = limit;
			break;
		}
		/* Unicasts with a fence below this record come first; they
		 * were queued before it was published. */
		if (FAL_UNLIKELY(has_unicast(reader)))
			drain_unicasts(reader);
		if (FAL_UNLIKELY(!handle_record(reader, record)))
			return true; /* nor is the cursor's place given up */
	}
	drain_unicasts(reader);
	delta_cursor_advance(reader->cursor);
	return true;
}

bool
answer_has_work(const struct reader *reader)
{
	return atomic_load_explicit(reader->published, memory_order_acquire) !=
		       reader->S ||
	       ring_count(&reader->parts.channel->unicast) > 0;
}
