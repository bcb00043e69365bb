/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_member - requests of clients at a leader, a learner, and a server that
 * follows nobody; entries of a leader.
 *
 * Requests under way. A req that became a transaction here, or was sent to the
 * leader, is in `waiting` until it is answered, in the order it came. One that
 * was sent is also in the list `match` of its session, from where the entry
 * that it became takes it: entries of a session come in the order of its
 * requests, so it is the first one there or none. When the role ends all of
 * them are sent back at once, and the records that they were to be answered by
 * are disowned.
 */
#include "dataplane/zab_member.h"

#include "base/log.h"
#include "base/time.h"
#include "dataplane/zab_int.h"

/* What a packet to the leader needs beside the request's body. */
#define FORWARD_MARGIN_BYTES 64u

void
zab_member_init(struct zab *zab)
{
	zab->mode = ZAB_ALONE;
	zab->committed = zab->published;
	list_init(&zab->waiting);
	list_init(&zab->syncs);
	for (uint32_t i = 0; i < ZAB_MATCH_LISTS; i++)
		list_init(&zab->match[i]);
}

void
zab_member_join(struct zab *zab, const struct zab_quorum *quorum,
		int64_t committed)
{
	FAL_ASSERT(zab->parts.serving != NULL);
	zab->quorum = *quorum;
	zab->committed = committed;
	zab->mode = ZAB_CLOSED;
	serving_set(zab->parts.serving, SERVING_CLOSED);
}

void
zab_ring_readers(struct zab *zab)
{
	for (uint32_t c = 0; c < zab->parts.channel_count; c++)
		zab->must_ring[c] = true;
}

/* ---- requests under way ---------------------------------------------------
 */

static struct list *
match_list(struct zab *zab, int64_t session_id)
{
	const uint64_t mixed = (uint64_t)session_id * 0x9E3779B97F4A7C15ull;

	return &zab->match[mixed >> 54];
}

static void
wait_for_entry(struct zab *zab, struct req *req)
{
	list_add_tail(&zab->waiting, &req->waiting_link);
	list_add_tail(match_list(zab, req->session_id), &req->match_link);
}

/* The first of a session that was sent to the leader, as a request or to be
 * revalidated; NULL: none. */
static struct req *
first_of(struct zab *zab, int64_t session_id, bool is_resume)
{
	struct list *lists = match_list(zab, session_id);
	struct list *link;

	list_for_each (link, lists) {
		struct req *req = list_entry(link, struct req, match_link);

		if (req->session_id == session_id &&
		    (req->kind == REQ_RESUME) == is_resume)
			return req;
	}
	return NULL;
}

bool
zab_member_has_waiting(struct zab *zab, int64_t session_id)
{
	struct list *link;

	list_for_each (link, &zab->waiting)
		if (list_entry(link, struct req, waiting_link)->session_id ==
		    session_id)
			return true;
	return false;
}

/* Who waits for this entry; it is out of the list then. */
static struct req *
take_match(struct zab *zab, const struct txn_header *header)
{
	struct req *req = first_of(zab, header->session_id, false);

	if (req == NULL || req->xid != header->cxid ||
	    (req->kind == REQ_CONNECT && header->type != OP_CREATE_SESSION &&
	     header->type != OP_ERROR) ||
	    (req->kind != REQ_CONNECT && header->type == OP_CREATE_SESSION) ||
	    (req->op != OP_CLOSE_SESSION && header->type == OP_CLOSE_SESSION))
		return NULL;
	list_del(&req->match_link);
	return req;
}

static void
send_all_back(struct zab *zab)
{
	for (uint64_t i = zab->pending_first; i < zab->pending_end; i++)
		zab->pending[i % ZAB_PENDING_MAX].req = NULL;
	delta_disown(zab->parts.deltas);
	while (!list_empty(&zab->waiting)) {
		struct req *req =
			list_entry(zab->waiting.next, struct req, waiting_link);

		list_del(&req->waiting_link);
		zab_close_req(zab, req);
	}
	list_init(&zab->syncs);
	for (uint32_t i = 0; i < ZAB_MATCH_LISTS; i++)
		list_init(&zab->match[i]);
}

static void
forget_one(void *arg, uint32_t index)
{
	(void)arg;
	(void)index;
}

/* What was heard in an earlier role is not news for the next leader. */
static void
forget_touched(struct zab *zab)
{
	for (uint32_t c = 0; c < zab->parts.channel_count; c++)
		channel_take_touched(zab->parts.channel[c], forget_one, NULL);
}

void
zab_member_set_mode(struct zab *zab, enum zab_mode mode, uint32_t serving)
{
	FAL_ASSERT(mode != ZAB_ALONE && zab->mode != ZAB_ALONE);
	FAL_ASSERT(mode == ZAB_CLOSED || !zab->is_lent);
	if (mode == zab->mode)
		return;
	/* Readers hear of it before their requests come back. */
	serving_set(zab->parts.serving,
		    mode == ZAB_CLOSED ? SERVING_CLOSED : serving);
	zab->mode = mode;
	forget_touched(zab);
	if (mode == ZAB_CLOSED)
		zab_local_restart(zab);
	if (zab->is_midway)
		zab_break_off(zab);
	if (!list_empty(&zab->waiting))
		send_all_back(zab);
	zab_ring_readers(zab);
}

/* ---- requests that come ----------------------------------------------------
 */

static void
name_session(struct zab *zab, struct req *req)
{
	if (req->session_id == 0)
		req->session_id = zab_new_session_id(zab);
}

/* A sync waits for the core, wherever this server stands. */
static bool
take_sync(struct zab *zab, struct req *req)
{
	list_add_tail(&zab->waiting, &req->waiting_link);
	list_add_tail(&zab->syncs, &req->match_link);
	if (zab->quorum.sync(zab->quorum.arg, req))
		return true;
	list_del(&req->waiting_link);
	list_del(&req->match_link);
	return false;
}

/* Whether a session may come back is the leader's to say. */
static void
revalidate(struct zab *zab, struct req *req)
{
	struct session *session =
		session_find(zab->parts.sessions, req->session_id);

	if (session != NULL && session->owner.core < zab->parts.channel_count) {
		zab_close_owner(zab, session->owner);
		session->owner.core = SESSION_OWNER_NONE;
	}
	if (!req->is_password_ok) {
		zab_answer(zab, req, REQ_ANSWER, ZK_SESSIONEXPIRED);
		return;
	}
	wait_for_entry(zab, req);
	zab->quorum.revalidate(zab->quorum.arg, req->session_id,
			       req->timeout_ms);
}

/* The leader would take it for no packet and hang up on all clients of this
 * server. Told as a leader tells it: in its turn, behind what is on its way. */
static bool
refuse_large(struct zab *zab, struct req *req)
{
	if (zab_member_has_waiting(zab, req->session_id))
		return false;
	zab_refuse_write(zab, req);
	return true;
}

static bool
forward(struct zab *zab, struct req *req)
{
	if (FAL_UNLIKELY(req->body_bytes + FORWARD_MARGIN_BYTES >
			 zab->parts.log.entry_bytes_max))
		return refuse_large(zab, req);
	if (!zab->quorum.forward(zab->quorum.arg, req))
		return false;
	wait_for_entry(zab, req);
	return true;
}

/* As leader or learner. */
static bool
take_serving(struct zab *zab, struct req *req)
{
	const bool leads = zab->mode == ZAB_LEADS;

	switch (req->kind) {
	case REQ_CONNECT:
		name_session(zab, req);
		/* fall through */
	case REQ_WRITE:
		return leads ? zab_handle_write(zab, req) : forward(zab, req);
	case REQ_RESUME:
		if (leads)
			zab_handle_resume(zab, req);
		else
			revalidate(zab, req);
		return true;
	case REQ_SYNC:
		return take_sync(zab, req);
	default:
		FAL_ASSERT(req->kind == REQ_EPHEMERAL);
		zab_handle_ephemerals(zab, req);
		return true;
	}
}

/* Without a leader a session is a number that the connection got; one from
 * before may come back, since nobody may expire it. */
static void
take_read_only(struct zab *zab, struct req *req)
{
	switch (req->kind) {
	case REQ_CONNECT:
		/* The connection is told by the answer to a RESUME. */
		name_session(zab, req);
		req->kind = REQ_RESUME;
		zab_answer(zab, req, REQ_ANSWER, ZK_OK);
		break;
	case REQ_RESUME:
		zab_handle_resume(zab, req);
		break;
	case REQ_EPHEMERAL:
		zab_handle_ephemerals(zab, req);
		break;
	default: /* closeSession; others were refused by the reader */
		if (req->op == OP_CLOSE_SESSION)
			zab_answer(zab, req, REQ_ANSWER, ZK_OK);
		else
			zab_close_req(zab, req);
	}
}

bool
zab_member_take(struct zab *zab, struct req *req)
{
	if (req->kind == REQ_DETACH) {
		zab_local_detach(zab, req);
		if (zab->is_lent)
			zab_close_req(zab, req);
		else
			zab_handle_detach(zab, req);
		return true;
	}
	if (zab->mode == ZAB_LEADS || zab->mode == ZAB_LEARNS) {
		const enum zab_local local = zab_local_take(zab, req);

		if (local != ZAB_LOCAL_NOT)
			return local == ZAB_LOCAL_DONE;
	}
	switch (zab->mode) {
	case ZAB_LEADS:
	case ZAB_LEARNS:
		return take_serving(zab, req);
	case ZAB_READS:
		take_read_only(zab, req);
		return true;
	default:
		FAL_ASSERT(zab->mode == ZAB_CLOSED);
		zab_close_req(zab, req);
		return true;
	}
}

/* ---- answers that are no transaction ---------------------------------------
 */

void
zab_member_synced(struct zab *zab, uint32_t count, int64_t zxid)
{
	for (uint32_t i = 0; i < count && !list_empty(&zab->syncs); i++) {
		struct req *req =
			list_entry(zab->syncs.next, struct req, match_link);

		list_del(&req->match_link);
		list_del(&req->waiting_link);
		zab_answer_at(zab, req, REQ_ANSWER, ZK_OK, zxid);
	}
}

void
zab_member_revalidated(struct zab *zab, int64_t session_id, bool is_valid)
{
	struct req *req = first_of(zab, session_id, true);

	if (req == NULL)
		return;
	list_del(&req->match_link);
	list_del(&req->waiting_link);

	struct session *session = session_find(zab->parts.sessions, session_id);

	if (is_valid && session != NULL)
		session->owner = req->owner;
	zab_answer(zab, req, REQ_ANSWER, is_valid ? ZK_OK : ZK_SESSIONEXPIRED);
}

/* ---- entries of a leader ----------------------------------------------------
 */

static bool
member_has_room(struct zab *zab, uint32_t bytes)
{
	if (zab->pending_end - zab->pending_first >= ZAB_PENDING_MAX ||
	    !delta_can_append(zab->parts.deltas, zab_delta_room(bytes)))
		return false;
	if (zab->parts.log.admit(zab->parts.log.log, bytes) == LOG_PORT_READY)
		return true;
	zab->has_committed = true; /* the log has work to do first */
	return false;
}

/* A session that ends without a word of its client: the connection that
 * speaks for it here is closed. */
static struct session_owner
owner_of_closing(struct zab *zab, const struct txn_header *header)
{
	const struct session_owner nobody = {.core = SESSION_OWNER_NONE};
	const struct session *session;

	if (header->type != OP_CLOSE_SESSION)
		return nobody;
	session = session_find(zab->parts.sessions, header->session_id);
	return session == NULL ? nobody : session->owner;
}

static void
note_entry(struct zab *zab, const struct txn_entry *entry)
{
	const struct txn_header *header = &entry->header;
	struct req *req = take_match(zab, header);
	struct pending *pending = zab_pending_next(zab);

	*pending = (struct pending){
		.zxid = header->zxid,
		.session_id = header->session_id,
		.type = header->type,
		.timeout_ms = header->type == OP_CREATE_SESSION
				      ? entry->record.timeout_ms
				      : 0,
		.digest = zab->result.digest,
		.owner = req == NULL ? owner_of_closing(zab, header)
				     : req->owner,
		.req = req,
		.time_ms = header->time_ms,
	};

	zab_note_appended(zab, pending, header->cxid,
			  req == NULL ? DELTA_INTERNAL : 0);
}

/* The entry's first part, or its next one. */
static int
apply_part(struct zab *zab, const void *data, uint32_t bytes,
	   bool *digest_matches)
{
	uint32_t room = 0;

	if (FAL_UNLIKELY(zab->is_applying))
		return prep_apply_on(zab->parts.prep, digest_matches);
	if (!member_has_room(zab, bytes))
		return FAL_EAGAIN;
	zab->made_at = zab->parts.log.reserve(zab->parts.log.log, &room);
	FAL_ASSERT(room >= bytes);
	memcpy(zab->made_at, data, bytes);

	const int err = prep_apply_some(zab->parts.prep, zab->made_at, bytes,
					&zab->result, digest_matches);

	zab->is_applying = err == FAL_EAGAIN;
	return err;
}

int
zab_member_apply(struct zab *zab, const void *data, uint32_t bytes,
		 bool checks_digest)
{
	struct txn_entry entry;
	bool digest_matches = true;

	FAL_ASSERT(!zab->is_lent && zab->is_midway == zab->is_applying);

	const int err = apply_part(zab, data, bytes, &digest_matches);

	zab->is_applying &= err == FAL_EAGAIN;
	zab->is_midway = zab->is_applying;
	if (err != FAL_OK)
		return err;

	const int decoded = txn_get_entry(zab->made_at, bytes, &entry);

	FAL_ASSERT(decoded == 0); /* as the caller has made sure */
	if (checks_digest && !digest_matches) {
		tree_undo_after(zab->parts.tree, zab->appended);
		return FAL_ECORRUPT;
	}
	note_entry(zab, &entry);
	zab_publish_to(zab, zab->committed);
	return FAL_OK;
}

void
zab_member_note_commit(struct zab *zab, const struct pending *pending,
		       uint64_t now_ns)
{
	const int64_t ms = zab->wall_ms - pending->time_ms;

	if (zab->mode == ZAB_LEADS && pending->appended_ns != 0 &&
	    now_ns > pending->appended_ns) {
		stats_hist_record(zab->parts.stats, HIST_QUORUM_ACK,
				  now_ns - pending->appended_ns);
	} else if (zab->mode == ZAB_LEARNS && ms >= 0) {
		const uint64_t ns = time_ms_to_ns((uint64_t)ms);

		/* With us clients see it the moment it is committed. */
		stats_hist_record(zab->parts.stats, HIST_COMMIT_PROPAGATION,
				  ns);
		stats_hist_record(zab->parts.stats, HIST_PROPAGATION, ns);
	}
}

/* What is not published yet has its place by counting back. */
static uint64_t
appended_ns(const struct zab *zab, int64_t zxid)
{
	struct ledger_times times;

	if (zxid > zab->published && zxid <= zab->logged) {
		const uint64_t back = (uint64_t)(zab->logged - zxid);
		const struct pending *pending =
			&zab->pending[(zab->pending_end - 1 - back) %
				      ZAB_PENDING_MAX];

		return back < zab->pending_end - zab->pending_first &&
				       pending->zxid == zxid
			       ? pending->appended_ns
			       : 0;
	}
	return zab->parts.ledger != NULL && zxid > 0 &&
			       ledger_find(zab->parts.ledger, (uint64_t)zxid,
					   &times)
		       ? times.appended_ns
		       : 0;
}

uint64_t
zab_member_age_ns(const struct zab *zab, int64_t zxid)
{
	const uint64_t made_ns = appended_ns(zab, zxid);
	const uint64_t now_ns = made_ns == 0 ? 0 : zab_ledger_ns(zab);

	return now_ns > made_ns ? now_ns - made_ns : 0;
}

void
zab_member_commit(struct zab *zab, int64_t zxid)
{
	if (zxid > zab->committed)
		zab->committed = zxid;
	zab_publish_to(zab, zxid);
}

void
zab_member_expose(struct zab *zab, int64_t zxid)
{
	FAL_ASSERT(zab->mode == ZAB_CLOSED && zxid <= zab->appended);
	zab_publish_to(zab, zxid);
}

void
zab_member_mark(struct zab *zab, int64_t mark)
{
	if (mark <= zab->published || mark < zab->appended)
		return;
	FAL_ASSERT(zab_is_idle(zab));
	zab->appended = mark;
	zab->published = mark;
	if (mark > zab->committed)
		zab->committed = mark;
	tree_publish(zab->parts.tree, mark);
	delta_publish(zab->parts.deltas, (uint64_t)mark);
	zab_ring_readers(zab);
}

void
zab_member_begin_reign(struct zab *zab, int64_t mark)
{
	zab_member_mark(zab, mark);
	session_restart_all(zab->parts.sessions, zab->now_ms);
	zab->expire_hold_ms = 0;
	zab->has_no_orphans = false;
	zab->orphan_after = 0;
	zab->is_reaping = false;
	zab->reap_check_ms = 0;
}

/* ---- a leader, for its learners ---------------------------------------------
 */

struct session_owner
zab_learner_owner(uint32_t slot, uint32_t serial)
{
	return (struct session_owner){
		.core = (uint16_t)(ZAB_LEARNER_CORE + slot),
		.conn_gen = serial,
	};
}

/* Nobody but the learner waits, so what a client of ours would be told without
 * a transaction is told by one that is an error. */
static int
propose_somehow(struct zab *zab, const struct prep_request *request)
{
	if (zab_is_tree_full(zab) && request->type != OP_CREATE_SESSION &&
	    request->type != OP_CLOSE_SESSION && request->type != OP_DELETE)
		return zab_propose_error(zab, request, ZK_THROTTLEDOP);

	const int err = zab_propose(zab, request);

	if (err == FAL_OK)
		return FAL_OK;
	return zab_propose_error(zab, request,
				 err == FAL_EPROTO ? ZK_UNIMPLEMENTED
						   : ZK_THROTTLEDOP);
}

int
zab_member_propose(struct zab *zab, const struct zab_learner_request *asked)
{
	const struct prep_request request = {
		.session_id = asked->session_id,
		.cxid = asked->cxid,
		.type = asked->op,
		.body = asked->body,
		.body_bytes = asked->body_bytes,
		.ids = asked->ids,
		.owner = asked->owner,
		.timeout_ms = asked->timeout_ms,
		.is_local_session = asked->is_local_session,
		.is_forwarded = true,
	};

	FAL_ASSERT(zab->mode == ZAB_LEADS);
	switch (zab_room_for(zab, request.type, request.body_bytes)) {
	case LOG_PORT_WAIT:
		zab->has_committed = true;
		return FAL_EAGAIN;
	case LOG_PORT_NO_SPACE:
		/* Even an error would need room in the log. BG looks for some,
		 * and rings when it has found it. */
		return FAL_EAGAIN;
	default:
		return propose_somehow(zab, &request);
	}
}

bool
zab_member_is_applying(const struct zab *zab)
{
	return zab->is_applying;
}

bool
zab_member_is_round_full(const struct zab *zab)
{
	return zab_is_round_full(zab);
}

uint32_t
zab_member_session_count(const struct zab *zab)
{
	return session_count(zab->parts.sessions);
}

bool
zab_member_has_session(const struct zab *zab, int64_t session_id)
{
	return session_find(zab->parts.sessions, session_id) != NULL;
}

void
zab_member_touch(struct zab *zab, int64_t session_id, int32_t timeout_ms,
		 struct session_owner learner)
{
	struct session *session = session_find(zab->parts.sessions, session_id);

	if (session == NULL)
		return;

	const struct session_owner owner = session->owner;
	const bool is_its = owner.core == SESSION_OWNER_NONE ||
			    (owner.core == learner.core &&
			     owner.conn_gen == learner.conn_gen);

	/* Nothing is agreed on with a server that the client has left. */
	session_touch(zab->parts.sessions, session, is_its ? timeout_ms : 0,
		      zab->now_ms);
}

bool
zab_member_take_over(struct zab *zab, int64_t session_id, int32_t timeout_ms,
		     struct session_owner owner)
{
	struct session *session = session_find(zab->parts.sessions, session_id);

	if (session == NULL || session->is_closing)
		return false;
	/* A connection that had it here no longer keeps it alive, so it is
	 * closed: a client that is still there comes back. ZooKeeper leaves it
	 * until its next write, and lets its pings count meanwhile. */
	zab_close_owner(zab, session->owner);
	session->owner = owner;
	session_touch(zab->parts.sessions, session, timeout_ms, zab->now_ms);
	return true;
}

/* ---- a learner, for its leader ----------------------------------------------
 */

struct touched {
	struct zab *zab;
	const struct channel *channel;
	void (*fn)(void *arg, int64_t session_id, int32_t timeout_ms);
	void *arg;
};

static void
tell_touched(void *arg, uint32_t index)
{
	const struct touched *touched = arg;
	const struct channel_heard *heard = &touched->channel->heard[index];
	const int64_t session_id =
		atomic_load_explicit(&heard->session_id, memory_order_relaxed);

	if (session_id == 0 || zab_local_find(touched->zab, session_id) != NULL)
		return;
	touched->fn(
		touched->arg, session_id,
		atomic_load_explicit(&heard->timeout_ms, memory_order_relaxed));
}

void
zab_member_each_touched(struct zab *zab,
			void (*fn)(void *arg, int64_t session_id,
				   int32_t timeout_ms),
			void *arg)
{
	for (uint32_t c = 0; c < zab->parts.channel_count; c++) {
		struct touched touched = {.zab = zab,
					  .channel = zab->parts.channel[c],
					  .fn = fn,
					  .arg = arg};

		channel_take_touched(zab->parts.channel[c], tell_touched,
				     &touched);
	}
}

struct jute_slice
zab_member_config(const struct zab *zab, int64_t *zxid)
{
	static const char path[] = "/zookeeper/config";
	struct tree *tree = zab->parts.tree;
	struct tree_stat stat;
	const struct znode *node;

	FAL_ASSERT(!zab->is_lent);
	node = tree_find(tree, tree_path_of(tree, path, sizeof(path) - 1));
	if (node == NULL)
		return (struct jute_slice){.bytes = -1};
	tree_spec_stat(tree, node, &stat);
	*zxid = stat.mzxid;
	return tree_spec_data(tree, node);
}

uint32_t
zab_member_serving(const struct zab *zab)
{
	return serving_load(zab->parts.serving) & SERVING_STATE_MASK;
}

int64_t
zab_member_appended(const struct zab *zab)
{
	return zab->appended;
}

int64_t
zab_member_published(const struct zab *zab)
{
	return zab->published;
}

int64_t
zab_member_durable(const struct zab *zab, int *err)
{
	return zab->parts.log.durable_zxid(zab->parts.log.log, err);
}

void
zab_member_note_durable(struct zab *zab, int64_t zxid)
{
	zab_note_durable(zab, zxid);
}
