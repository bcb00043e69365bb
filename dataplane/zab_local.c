/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_local - local sessions (localSessionsEnabled): known to this server
 * alone, so they begin, are kept alive and end without a transaction.
 *
 * Writes of theirs are ordinary ones to the others. The first ephemeral node
 * needs an owner that all servers know: a createSession goes ahead of it, and
 * when that is published the session leaves the local table. A learner sends
 * both, one behind the other; a leader lets the write wait for the session.
 * is_closing of a local session means that its createSession is on its way.
 *
 * They survive an election, which ZooKeeper's do not: their clients come back
 * to this server.
 */
#include "dataplane/zab_int.h"

#define LOCAL_EXPIRE_BURST 256u

struct session *
zab_local_find(const struct zab *zab, int64_t session_id)
{
	return zab->locals == NULL ? NULL
				   : session_find(zab->locals, session_id);
}

static void
tell_count(struct zab *zab)
{
	stats_set(zab->parts.stats, STAT_LOCAL_SESSIONS,
		  session_count(zab->locals));
}

/* The connection is told as one whose session came back. */
static enum zab_local
begin(struct zab *zab, struct req *req)
{
	struct session *session;

	req->session_id = zab_new_session_id(zab);
	session = session_add(zab->locals, req->session_id, req->timeout_ms,
			      zab->now_ms);
	if (session == NULL) {
		zab_close_req(zab, req);
		return ZAB_LOCAL_DONE;
	}
	session->owner = req->owner;
	req->kind = REQ_RESUME;
	zab_answer_at(zab, req, REQ_ANSWER, ZK_OK, zab->published);
	tell_count(zab);
	return ZAB_LOCAL_DONE;
}

static enum zab_local
resume(struct zab *zab, struct session *session, struct req *req)
{
	zab_close_owner(zab, session->owner);
	session->owner.core = SESSION_OWNER_NONE;
	if (req->is_password_ok) {
		session->owner = req->owner;
		session_touch(zab->locals, session, req->timeout_ms,
			      zab->now_ms);
	}
	zab_answer_at(zab, req, REQ_ANSWER,
		      req->is_password_ok ? ZK_OK : ZK_SESSIONEXPIRED,
		      zab->published);
	return ZAB_LOCAL_DONE;
}

static enum zab_local
end(struct zab *zab, const struct session *session, struct req *req)
{
	zab_close_other_owner(zab, session, req->owner);
	session_remove(zab->locals, req->session_id);
	tell_count(zab);
	zab_answer(zab, req, REQ_ANSWER, ZK_OK);
	return ZAB_LOCAL_DONE;
}

/* A learner's way: both go to the leader, in this order. */
static enum zab_local
upgrade_by_leader(struct zab *zab, struct session *session)
{
	const struct req create = {.kind = REQ_CONNECT,
				   .op = OP_CREATE_SESSION,
				   .session_id = session->id,
				   .timeout_ms = session->timeout_ms};

	if (!zab->quorum.forward(zab->quorum.arg, &create))
		return ZAB_LOCAL_WAITS;
	session->is_closing = true;
	return ZAB_LOCAL_NOT;
}

static enum zab_local
upgrade_here(struct zab *zab, struct session *session)
{
	const struct prep_request create = {
		.session_id = session->id,
		.type = OP_CREATE_SESSION,
		.timeout_ms = session->timeout_ms,
		.owner = {.core = SESSION_OWNER_NONE},
	};

	if (zab_room_for(zab, OP_CREATE_SESSION, 0) == LOG_PORT_READY &&
	    zab_propose(zab, &create) == FAL_OK)
		session->is_closing = true;
	return ZAB_LOCAL_WAITS;
}

static enum zab_local
upgrade(struct zab *zab, struct session *session)
{
	const bool is_under_way = session->is_closing;

	if (zab->mode == ZAB_LEADS)
		return is_under_way ? ZAB_LOCAL_WAITS
				    : upgrade_here(zab, session);
	return is_under_way ? ZAB_LOCAL_NOT : upgrade_by_leader(zab, session);
}

/* A leader finds out by itself; of a multi nobody asks before (as ZooKeeper),
 * and the leader answers. In its turn: behind what is on its way. */
static enum zab_local
refuse(struct zab *zab, struct req *req)
{
	if (zab->mode == ZAB_LEADS || req->op == OP_MULTI)
		return ZAB_LOCAL_NOT;
	if (zab_member_has_waiting(zab, req->session_id))
		return ZAB_LOCAL_WAITS;
	zab_answer(zab, req, REQ_ANSWER, ZK_EPHEMERALONLOCALSESSION);
	return ZAB_LOCAL_DONE;
}

enum zab_local
zab_local_take(struct zab *zab, struct req *req)
{
	struct session *session = zab_local_find(zab, req->session_id);

	if (zab->locals == NULL)
		return ZAB_LOCAL_NOT;
	if (req->kind == REQ_CONNECT)
		return begin(zab, req);
	if (session == NULL)
		return ZAB_LOCAL_NOT;
	if (req->kind == REQ_RESUME)
		return resume(zab, session, req);
	if (req->kind != REQ_WRITE)
		return ZAB_LOCAL_NOT;
	if (req->op == OP_CLOSE_SESSION)
		return end(zab, session, req);
	if (!prep_is_ephemeral(req->op, req->body, req->body_bytes))
		return ZAB_LOCAL_NOT;
	return zab->options.may_upgrade_sessions ? upgrade(zab, session)
						 : refuse(zab, req);
}

void
zab_local_detach(struct zab *zab, const struct req *req)
{
	struct session *session = zab_local_find(zab, req->session_id);

	if (session == NULL || session->owner.core != req->owner.core ||
	    session->owner.conn != req->owner.conn ||
	    session->owner.conn_gen != req->owner.conn_gen)
		return;
	session->owner.core = SESSION_OWNER_NONE;
	if (req->heard_ms > session->heard_ms)
		session->heard_ms = req->heard_ms;
}

void
zab_local_upgraded(struct zab *zab, struct session *session)
{
	const struct session *local = zab_local_find(zab, session->id);

	if (local == NULL)
		return;
	session->owner = local->owner;
	session->heard_ms = zab->now_ms;
	session_remove(zab->locals, session->id);
	tell_count(zab);
}

void
zab_local_restored(struct zab *zab)
{
	struct session_cursor cursor = {.has_begun = false};

	while (zab->locals != NULL && !cursor.is_done) {
		uint32_t budget = UINT32_MAX;
		const struct session *local =
			session_next(zab->locals, &cursor, &budget);
		struct session *session =
			local == NULL
				? NULL
				: session_find(zab->parts.sessions, local->id);

		if (session != NULL)
			zab_local_upgraded(zab, session);
	}
}

void
zab_local_restart(struct zab *zab)
{
	if (zab->locals != NULL)
		session_restart_all(zab->locals, zab->now_ms);
	zab->local_hold_ms = 0;
}

static void
expired(void *arg, struct session *session)
{
	struct zab *zab = arg;

	zab_close_owner(zab, session->owner);
	session_remove(zab->locals, session->id);
	stats_add(zab->parts.stats, STAT_SESSIONS_EXPIRED, 1);
}

bool
zab_local_expire(struct zab *zab)
{
	if (zab->locals == NULL ||
	    !zab_may_expire(zab, session_next_due(zab->locals),
			    &zab->local_hold_ms))
		return false;

	const uint32_t visited =
		session_expire_due(zab->locals, zab->now_ms, LOCAL_EXPIRE_BURST,
				   zab_session_heard, expired, zab);

	if (visited < LOCAL_EXPIRE_BURST)
		zab->local_hold_ms = 0; /* nobody is due any more */
	tell_count(zab);
	return visited > 0;
}
