/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_propose - a request becomes a transaction: is there room, znode/prep.h,
 * then the log and, invisible yet, the readers.
 *
 * A closeSession with many ephemerals, or statistics of a quota above many
 * nodes, take several rounds. From its first step to its last no other request
 * is taken, since each comes behind it in the order of zxids; but what is
 * durable is published, peers are heard and answered, and a reader on the same
 * core has its rounds.
 */
#include "dataplane/zab_int.h"

#include "base/time.h"

/* What an entry needs beside its body: headers, digest, a listed default. */
#define ENTRY_MARGIN_BYTES 65536u

/* Hands the applied transaction to the log and, invisible yet, to the
 * readers. */
static void
append(struct zab *zab, const struct prep_request *request, struct req *req)
{
	const struct txn_result *result = &zab->result;
	const bool is_internal =
		request->ids == NULL && request->type != OP_CREATE_SESSION;
	struct pending *pending = zab_pending_next(zab);

	*pending = (struct pending){
		.zxid = result->zxid,
		.session_id = request->session_id,
		.type = result->type,
		.timeout_ms = request->timeout_ms,
		.digest = result->digest,
		.owner = request->owner,
		.req = req,
	};

	zab_note_appended(zab, pending, request->cxid,
			  is_internal ? DELTA_INTERNAL : 0);
}

/* What an entry for this request may need. closeSession lists the ephemerals,
 * of which there may be any number. */
static uint32_t
entry_bytes_of(const struct zab *zab, int32_t type, uint32_t body_bytes)
{
	const uint32_t max = zab->parts.log.entry_bytes_max;
	const uint64_t bytes = ENTRY_MARGIN_BYTES + 2ull * body_bytes;

	if (type == OP_CLOSE_SESSION || bytes > max)
		return max;
	return (uint32_t)bytes;
}

/* 0: none may be taken now. */
static int64_t
next_zxid(struct zab *zab, uint32_t entry_bytes)
{
	return zab->mode == ZAB_ALONE
		       ? zab->appended + 1
		       : zab->quorum.next_zxid(zab->quorum.arg, entry_bytes);
}

/* Can one more transaction be taken now? */
enum log_port_room
zab_room_for(struct zab *zab, int32_t type, uint32_t body_bytes)
{
	const uint32_t bytes = entry_bytes_of(zab, type, body_bytes);

	if (zab->is_midway ||
	    zab->pending_end - zab->pending_first >= ZAB_PENDING_MAX ||
	    !delta_can_append(zab->parts.deltas, zab_delta_room(body_bytes)) ||
	    next_zxid(zab, bytes) == 0)
		return LOG_PORT_WAIT;
	return zab->parts.log.admit(zab->parts.log.log, bytes);
}

/* The request in `made` became a transaction. */
static void
take_made(struct zab *zab)
{
	const int64_t zxid = zab->result.zxid;
	struct req *req = zab->made_req;

	if (zab->made.type == OP_CLOSE_SESSION)
		stats_summary_record(
			zab->parts.stats, SUMMARY_CLOSE_PREP_TIME,
			time_ns_to_ms(zab_ledger_ns(zab) - zab->made_ns));
	if (zab->mode == ZAB_ALONE) {
		append(zab, &zab->made, NULL);
		return;
	}
	/* The log may move it. */
	zab->quorum.keep(zab->quorum.arg, zxid, zab->made_at,
			 zab->result.entry_bytes);
	append(zab, &zab->made, req);
	if (req != NULL)
		list_add_tail(&zab->waiting, &req->waiting_link);
	zab->quorum.proposed(zab->quorum.arg, zxid);
}

/* Where the next entry goes. */
static void
reserve(struct zab *zab, const struct prep_request *request, struct req *req)
{
	uint32_t room = 0;

	FAL_ASSERT(!zab->is_midway);
	zab->made = *request;
	zab->made_req = req;
	if (request->type == OP_CLOSE_SESSION)
		zab->made_ns = zab_ledger_ns(zab);
	zab->made_at = zab->parts.log.reserve(zab->parts.log.log, &room);
	zab->made_entry = jute_writer_of(zab->made_at, room);
}

static void
note_large(struct zab *zab, uint32_t body_bytes)
{
	zab->large_bytes += body_bytes;
	if (body_bytes >= ZAB_BUSY_BYTES && zab->mode == ZAB_LEADS)
		zab->quorum.busy(zab->quorum.arg, body_bytes);
}

int
zab_propose_for(struct zab *zab, const struct prep_request *request,
		struct req *req)
{
	const int64_t zxid = next_zxid(zab, 0);
	struct prep_request *made = &zab->made;

	FAL_ASSERT(zxid > zab->appended);
	if (FAL_UNLIKELY(request->body_bytes >= ZAB_LARGE_BYTES))
		note_large(zab, request->body_bytes);
	reserve(zab, request, req);
	if (FAL_UNLIKELY(made->type == OP_RECONFIG) && zab->mode == ZAB_LEADS)
		made->config_err = zab->quorum.reconfigure(
			zab->quorum.arg, made->body, made->body_bytes,
			&made->config);

	const int err = prep_request(zab->parts.prep, made, zxid, zab->wall_ms,
				     &zab->made_entry, &zab->result);

	if (FAL_UNLIKELY(err == FAL_EAGAIN)) {
		zab->is_midway = true;
		return FAL_OK;
	}
	if (err == FAL_OK)
		take_made(zab);
	return err;
}

int
zab_propose(struct zab *zab, const struct prep_request *request)
{
	return zab_propose_for(zab, request, NULL);
}

int
zab_propose_error(struct zab *zab, const struct prep_request *request,
		  int32_t code)
{
	reserve(zab, request, NULL);

	const int err =
		prep_refuse(zab->parts.prep, request, next_zxid(zab, 0),
			    zab->wall_ms, code, &zab->made_entry, &zab->result);

	if (err == FAL_OK)
		take_made(zab);
	return err;
}

/* ---- in several rounds -----------------------------------------------------
 */

/* It cannot be finished: the log's window or the tree's memory is too small. */
static void
give_up(struct zab *zab)
{
	struct session *session =
		session_find(zab->parts.sessions, zab->made.session_id);

	if (zab->made_req != NULL) {
		zab_refuse_write(zab, zab->made_req);
	} else if (zab->made.is_forwarded) {
		/* Its learner waits for an entry. There is room for one. */
		const int err =
			zab_propose_error(zab, &zab->made, ZK_THROTTLEDOP);

		FAL_ASSERT(err == FAL_OK);
	} else if (session != NULL) {
		zab_keep_session(zab, session);
	} else {
		zab->has_no_orphans = true; /* the next start tries again */
	}
}

bool
zab_go_on(struct zab *zab)
{
	int err;

	if (!zab->is_midway)
		return false;
	if (zab->is_applying)
		return true; /* the quorum's poll goes on with it */
	/* A leader that is about to hand over proposes nothing any more. */
	if (FAL_UNLIKELY(next_zxid(zab, 0) == 0)) {
		zab_break_off(zab);
		return true;
	}
	err = prep_go_on(zab->parts.prep);
	if (err == FAL_EAGAIN)
		return true;
	zab->is_midway = false;
	if (err == FAL_OK)
		take_made(zab);
	else
		give_up(zab);
	return true;
}

void
zab_break_off(struct zab *zab)
{
	struct session *session =
		session_find(zab->parts.sessions, zab->made.session_id);

	FAL_ASSERT(zab->is_midway);
	if (zab->is_applying)
		return; /* it is history, whoever leads: applied to its end */
	zab->is_midway = false;
	prep_abandon(zab->parts.prep);
	if (zab->made_req != NULL)
		zab_close_req(zab, zab->made_req);
	else if (session != NULL)
		session->is_closing = false;
}
