/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab - the loop of the one writer. A request is validated, applied and
 * serialised in one pass (znode/prep.h); its delta record is appended at the
 * same moment, invisible. What is left for the commit is to move numbers:
 * publish pub pointers, carry the session table, release-store P.
 *
 * `pending` remembers, per applied and unpublished transaction, what its
 * publication needs. It is a ring in zxid order; a standalone server pops it
 * up to what its log made durable.
 */
#include "dataplane/zab_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/probe.h"
#include "base/time.h"

/* Per round and reader; keeps a round short when everybody floods. */
#define DATA_BURST    64u
#define SESSION_BURST 64u
/* Transactions that share a look at the clock, some 10 us. */
#define APPENDS_A_TIME 8u
/* Garbage freed per round. */
#define RECLAIM_BURST 64u

int
zab_create(const struct zab_options *options, const struct zab_parts *parts,
	   const struct zab_hooks *hooks, int64_t last_zxid, struct zab **out)
{
	FAL_ASSERT(parts->channel_count >= 1);
	FAL_ASSERT(parts->channel_count <= ZAB_READERS_MAX);

	struct zab *zab = calloc(1, sizeof(*zab));

	if (zab == NULL)
		return FAL_ENOMEM;
	zab->options = *options;
	if (options->log_file_bytes == 0)
		zab->options.log_file_bytes = UINT64_MAX;
	zab->parts = *parts;
	zab->hooks = *hooks;
	zab->appended = last_zxid;
	zab->logged = last_zxid;
	zab->published = last_zxid;
	zab->published_digest = tree_published_digest(parts->tree);
	zab->random_state = options->random_seed | 1u;
	zab->pending = calloc(ZAB_PENDING_MAX, sizeof(*zab->pending));
	zab->path_text = malloc(ZAB_PATH_TEXT_BYTES);
	if (zab->pending == NULL || zab->path_text == NULL ||
	    (options->has_local_sessions &&
	     session_table_create(options->tick_ms, &zab->locals) != FAL_OK)) {
		zab_destroy(zab);
		return FAL_ENOMEM;
	}
	zab_draw_snapshot_limits(zab);
	zab_member_init(zab);
	*out = zab;
	return FAL_OK;
}

void
zab_destroy(struct zab *zab)
{
	if (zab == NULL)
		return;
	txn_result_free(&zab->result);
	if (zab->locals != NULL)
		session_table_destroy(zab->locals);
	free(zab->pending);
	free(zab->path_text);
	free(zab);
}

/* ---- sessions' ids ------------------------------------------------------ */

/*
 * client-protocol.md 7.1: server id in the top byte, 40 bits of a millisecond
 * clock, then a counter. The wall clock serves as the clock: it goes on over
 * restarts and reboots, which a monotonic one does not.
 */
int64_t
zab_new_session_id(struct zab *zab)
{
	if (zab->next_session_id == 0) {
		const uint64_t clock = ((uint64_t)zab->wall_ms << 24) >> 8;

		zab->next_session_id =
			(int64_t)(clock |
				  ((uint64_t)zab->options.server_id << 56));
	}
	while (zab->next_session_id == PROTO_CONTAINER_OWNER ||
	       session_find(zab->parts.sessions, zab->next_session_id) != NULL)
		zab->next_session_id++;
	return zab->next_session_id++;
}

/* ---- answers by R3 ------------------------------------------------------- */

static void
unicast(struct zab *zab, uint16_t core, void *entry)
{
	FAL_ASSERT(core < zab->parts.channel_count);
	const bool is_queued =
		ring_push(&zab->parts.channel[core]->unicast, entry);

	FAL_ASSERT(is_queued); /* sized for every req and connection */
	zab->must_ring[core] = true;
}

/* Sends the req back. It is answered once everything appended so far is
 * published, so that its place among the transactions is kept. */
void
zab_answer(struct zab *zab, struct req *req, enum req_verdict verdict,
	   int32_t err)
{
	zab_answer_at(zab, req, verdict, err, zab->appended);
}

void
zab_answer_at(struct zab *zab, struct req *req, enum req_verdict verdict,
	      int32_t err, int64_t zxid)
{
	req->verdict = (uint8_t)verdict;
	req->err = err;
	req->fence = (uint64_t)zxid;
	unicast(zab, req->owner.core, req);
}

void
zab_close_req(struct zab *zab, struct req *req)
{
	zab_answer_at(zab, req, REQ_CLOSE, ZK_OK, 0);
}

/* ---- one transaction ------------------------------------------------------
 */

/* For the ledger: one time for a few transactions of a burst. */
static uint64_t
append_ns(struct zab *zab)
{
	if (zab->append_left == 0) {
		zab->append_left = APPENDS_A_TIME;
		zab->append_ns = zab_ledger_ns(zab);
	}
	zab->append_left--;
	return zab->append_ns;
}

/* Also sets when that was. */
void
zab_note_appended(struct zab *zab, struct pending *pending, int32_t cxid,
		  uint16_t delta_flags)
{
	const struct txn_result *result = &zab->result;
	const struct session_owner owner = pending->owner;
	const struct delta delta = {
		.zxid = (uint64_t)pending->zxid,
		.session_id = pending->session_id,
		.cxid = cxid,
		.type = result->type,
		.err = result->err,
		.origin_core = owner.core,
		.flags =
			(uint16_t)(delta_flags |
				   (result->must_close ? DELTA_MUST_CLOSE : 0)),
		.conn = owner.conn,
		.conn_gen = owner.conn_gen,
		.effect_count = result->effect_count,
		.effects_bytes = result->effects.bytes,
		.reply_bytes = result->reply.bytes,
	};

	zab->parts.log.commit(zab->parts.log.log, result->entry_bytes,
			      pending->zxid);
	const int err = delta_append(zab->parts.deltas, &delta,
				     result->effects.data, result->reply.data);

	/* Logged and not told to the readers would be a lost reply: only a
	 * large blob can fail here, for want of memory, and then the process
	 * must not go on. */
	FAL_ASSERT(err == FAL_OK);

	pending->appended_ns = append_ns(zab);
	FAL_PROBE4(append, pending->zxid, result->type, result->entry_bytes,
		   pending->session_id);
	zab->pending_end++;
	zab->appended = pending->zxid;
	zab->logged = pending->zxid;
	zab->has_committed = true;
	zab->txns_since_snapshot++;
	zab->bytes_since_snapshot += result->entry_bytes;
	zab->bytes_since_roll += result->entry_bytes;
	stats_add(zab->parts.stats, STAT_TXNS, 1);
	if (result->type == OP_ERROR)
		stats_add(zab->parts.stats, STAT_ERROR_TXNS, 1);
	stats_summary_record(zab->parts.stats, SUMMARY_PROPOSAL_BYTES,
			     result->entry_bytes);
}

static struct prep_request
request_of(const struct zab *zab, const struct req *req)
{
	return (struct prep_request){
		.session_id = req->session_id,
		.cxid = req->xid,
		.type = req->op,
		.body = req->body,
		.body_bytes = req->body_bytes,
		.ids = req->ids == NULL ? NULL : req->ids->list,
		.owner = req->owner,
		.timeout_ms = req->timeout_ms,
		.is_local_session =
			zab_local_find(zab, req->session_id) != NULL,
	};
}

static struct znode *
node_of(const struct zab *zab, struct jute_slice path)
{
	if (path.bytes < 0)
		return NULL;
	return tree_find(
		zab->parts.tree,
		tree_path_of(zab->parts.tree, path.data, (uint32_t)path.bytes));
}

static bool
is_growing_data(const struct zab *zab, struct jute_reader *body)
{
	struct proto_set_data_request set;

	if (proto_get_set_data(body, &set) != 0)
		return false;
	const struct znode *node = node_of(zab, set.path);

	return node != NULL &&
	       set.data.bytes > tree_spec_data(zab->parts.tree, node).bytes;
}

static bool
is_growing_acl(const struct zab *zab, struct jute_reader *body)
{
	struct proto_set_acl_request set;
	struct tree_stat stat;

	if (proto_get_set_acl(body, &set) != 0)
		return false;
	const struct znode *node = node_of(zab, set.path);

	if (node == NULL)
		return false;
	tree_spec_stat(zab->parts.tree, node, &stat);
	return set.acl.bytes >
	       acl_table_get(tree_acls(zab->parts.tree), stat.acl)
		       ->entries.bytes;
}

/* What is replaced is memory until all who read it have gone on: however small
 * the new one is, for now the tree gets larger by it. */
static bool
may_replace(const struct zab *zab)
{
	return tree_bytes_left(zab->parts.tree) >=
	       zab->options.tree_bytes_max / 20;
}

/* Does the request make the tree larger? Of a multi that is assumed. */
static bool
is_growing(const struct zab *zab, const struct req *req)
{
	struct jute_reader body = jute_reader_of(req->body, req->body_bytes);

	switch (req->op) {
	case OP_CREATE_SESSION: /* who would delete otherwise? */
	case OP_CLOSE_SESSION:
	case OP_DELETE:
		return false;
	case OP_SET_ACL:
		return !may_replace(zab) || is_growing_acl(zab, &body);
	case OP_SET_DATA:
		return !may_replace(zab) || is_growing_data(zab, &body);
	default:
		return true;
	}
}

/* The last tenth of the tree's memory is kept for what shrinks it, and for
 * what a follower must apply (architecture.md section 8). */
bool
zab_is_tree_full(const struct zab *zab)
{
	return tree_bytes_left(zab->parts.tree) <
	       zab->options.tree_bytes_max / 10;
}

void
zab_refuse_write(struct zab *zab, struct req *req)
{
	stats_add(zab->parts.stats, STAT_THROTTLED_OPS, 1);
	if (zab_is_tree_full(zab))
		log_post(LOG_TREE_FULL,
			 zab->options.tree_bytes_max -
				 tree_bytes_left(zab->parts.tree),
			 zab->options.tree_bytes_max);
	zab_answer(zab, req, req->kind == REQ_CONNECT ? REQ_CLOSE : REQ_ANSWER,
		   ZK_THROTTLEDOP);
}

/* False: there is no room in window or delta ring, the req has to wait. */
bool
zab_handle_write(struct zab *zab, struct req *req)
{
	const struct prep_request request = request_of(zab, req);

	if (FAL_UNLIKELY(zab_is_tree_full(zab)) && is_growing(zab, req)) {
		zab_refuse_write(zab, req);
		return true;
	}
	switch (zab_room_for(zab, request.type, request.body_bytes)) {
	case LOG_PORT_WAIT:
		zab->has_committed = true; /* the log has work to do first */
		return false;
	case LOG_PORT_NO_SPACE:
		zab->has_committed = true; /* so that space is looked for */
		zab_refuse_write(zab, req);
		return true;
	default:
		break;
	}
	switch (zab_propose_for(zab, &request, req)) {
	case FAL_OK: /* answered by its delta record, or in some rounds */
		break;
	case FAL_EPROTO:
		zab_answer(zab, req, REQ_ANSWER, ZK_MARSHALLINGERROR);
		break;
	case FAL_ENOENT:
		zab_answer(zab, req, REQ_DROP, 0);
		break;
	default: /* the tree is full, or the entry larger than any may be */
		zab_refuse_write(zab, req);
	}
	return true;
}

void
zab_handle_ephemerals(struct zab *zab, struct req *req)
{
	int32_t err = ZK_OK;
	const enum req_verdict verdict = zab_list_ephemerals(zab, req, &err);

	zab_answer(zab, req, verdict, err);
}

/* ---- session lane ---------------------------------------------------------
 */

static bool
is_same_owner(struct session_owner a, struct session_owner b)
{
	return a.core == b.core && a.conn == b.conn && a.conn_gen == b.conn_gen;
}

void
zab_close_owner(struct zab *zab, struct session_owner owner)
{
	if (owner.core >= zab->parts.channel_count)
		return; /* nobody, or a learner */
	unicast(zab, owner.core, req_close_token(owner.conn, owner.conn_gen));
}

/* A session ends, by this connection or none. Its client may have come back by
 * another one meanwhile, which would hold on to nothing. */
void
zab_close_other_owner(struct zab *zab, const struct session *session,
		      struct session_owner asker)
{
	if (!is_same_owner(session->owner, asker))
		zab_close_owner(zab, session->owner);
}

/*
 * A client comes back with a session id (client-protocol.md 2.3 step 7). The
 * connection that held the session is closed first, also when the password
 * turns out wrong: ZooKeeper does so.
 */
void
zab_handle_resume(struct zab *zab, struct req *req)
{
	struct session *session =
		session_find(zab->parts.sessions, req->session_id);

	if (session != NULL && !is_same_owner(session->owner, req->owner)) {
		zab_close_owner(zab, session->owner);
		session->owner.core = SESSION_OWNER_NONE;
	}
	if (session == NULL || session->is_closing || !req->is_password_ok) {
		zab_answer(zab, req, REQ_ANSWER, ZK_SESSIONEXPIRED);
		return;
	}
	session->owner = req->owner;
	session_touch(zab->parts.sessions, session, req->timeout_ms,
		      zab->now_ms);
	zab_answer(zab, req, REQ_ANSWER, ZK_OK);
}

/* A connection is gone; its session lives on until it expires. */
void
zab_handle_detach(struct zab *zab, struct req *req)
{
	struct session *session =
		session_find(zab->parts.sessions, req->session_id);

	if (session != NULL && is_same_owner(session->owner, req->owner)) {
		session->owner.core = SESSION_OWNER_NONE;
		if (req->heard_ms > session->heard_ms)
			session->heard_ms = req->heard_ms;
	}
	zab_answer(zab, req, REQ_DROP, 0);
}

/* False: has to wait. */
static bool
handle_req(struct zab *zab, struct req *req)
{
	if (FAL_UNLIKELY(zab->mode != ZAB_ALONE))
		return zab_member_take(zab, req);
	switch (req->kind) {
	case REQ_CONNECT:
		if (req->session_id == 0)
			req->session_id = zab_new_session_id(zab);
		return zab_handle_write(zab, req);
	case REQ_WRITE:
		return zab_handle_write(zab, req);
	case REQ_RESUME:
		zab_handle_resume(zab, req);
		return true;
	case REQ_DETACH:
		zab_handle_detach(zab, req);
		return true;
	case REQ_SYNC:
		/* Standalone: a no-op that keeps its place. */
		zab_answer(zab, req, REQ_ANSWER, ZK_OK);
		return true;
	default:
		FAL_ASSERT(req->kind == REQ_EPHEMERAL);
		zab_handle_ephemerals(zab, req);
		return true;
	}
}

/* A burst from one lane of one reader. */
static bool
take_lane(struct zab *zab, uint32_t c, uint32_t lane)
{
	struct channel *channel = zab->parts.channel[c];
	struct ring *ring =
		lane == 0 ? &channel->session_lane : &channel->data_lane;
	const uint32_t burst = lane == 0 ? SESSION_BURST : DATA_BURST;
	bool did_work = false;
	uint64_t now_ns = 0; /* one time for all: they waited together */

	for (uint32_t i = 0;
	     i < burst && !zab->is_midway && !zab_is_round_full(zab); i++) {
		struct req *req = zab->held[c][lane];

		if (req == NULL) {
			req = ring_pop(ring);
			if (req == NULL)
				break;
			if (now_ns == 0) {
				now_ns = zab_ledger_ns(zab);
				zab->append_left = 0; /* not before it */
				stats_summary_record(zab->parts.stats,
						     SUMMARY_PREP_QUEUE,
						     1 + ring_count(ring));
			}
			req->taken_ns = now_ns;
		}
		zab->held[c][lane] = handle_req(zab, req) ? NULL : req;
		if (zab->held[c][lane] != NULL)
			break;
		did_work = true;
	}
	return did_work;
}

/* Session lanes of all readers first, then a burst of data from each. */
static bool
take_requests(struct zab *zab)
{
	const uint32_t count = zab->parts.channel_count;
	bool did_work = false;

	zab->large_bytes = 0; /* learners had theirs */
	for (uint32_t lane = 0; lane < ZAB_LANES; lane++)
		for (uint32_t i = 0; i < count; i++)
			did_work |=
				take_lane(zab, (zab->turn + i) % count, lane);
	if (FAL_UNLIKELY(zab_is_round_full(zab)))
		zab->turn = (zab->turn + 1) % count;
	return did_work;
}

/* ---- commit ----------------------------------------------------------------
 */

static void
publish_session(struct zab *zab, const struct pending *pending)
{
	struct session *session;

	if (pending->type != OP_CREATE_SESSION &&
	    pending->type != OP_CLOSE_SESSION)
		return;
	session = session_find(zab->parts.sessions, pending->session_id);
	if (pending->type == OP_CLOSE_SESSION && session != NULL)
		zab_close_other_owner(zab, session, pending->owner);
	prep_publish_session(zab->parts.prep, pending->type,
			     pending->session_id, pending->timeout_ms,
			     zab->now_ms);
	if (pending->type == OP_CREATE_SESSION) {
		session =
			session_find(zab->parts.sessions, pending->session_id);
		FAL_ASSERT(session != NULL);
		session->owner = pending->owner;
		zab_local_upgraded(zab, session);
	}
	stats_set(zab->parts.stats, STAT_GLOBAL_SESSIONS,
		  session_count(zab->parts.sessions));
}

void
zab_note_durable(struct zab *zab, int64_t zxid)
{
	const uint64_t now_ns = zab_ledger_ns(zab);

	FAL_PROBE1(durable, zxid);
	if (zab->pending_durable < zab->pending_first)
		zab->pending_durable = zab->pending_first;
	for (; zab->pending_durable < zab->pending_end;
	     zab->pending_durable++) {
		struct pending *pending =
			&zab->pending[zab->pending_durable % ZAB_PENDING_MAX];

		if (pending->zxid > zxid)
			break;
		pending->durable_ns = now_ns;
	}
}

static void
note_in_ledger(struct zab *zab, const struct pending *pending, uint64_t now_ns)
{
	const struct ledger_times times = {
		.appended_ns = pending->appended_ns,
		.durable_ns =
			pending->durable_ns == 0 ? now_ns : pending->durable_ns,
		.published_ns = now_ns,
	};

	if (zab->parts.ledger != NULL && pending->appended_ns != 0)
		ledger_note(zab->parts.ledger, pending->zxid, &times);
}

/* Everything up to `zxid` is committed: one batch, one store of P. */
bool
zab_publish_to(struct zab *zab, int64_t zxid)
{
	const uint64_t first = zab->pending_first;
	uint64_t now_ns;

	if (zxid <= zab->published || zab->pending_first == zab->pending_end)
		return false;
	now_ns = zab_ledger_ns(zab);
	while (zab->pending_first < zab->pending_end) {
		const struct pending *pending =
			&zab->pending[zab->pending_first % ZAB_PENDING_MAX];

		if (pending->zxid > zxid)
			break;
		publish_session(zab, pending);
		if (pending->req != NULL) /* the reader's, once published */
			list_del(&pending->req->waiting_link);
		note_in_ledger(zab, pending, now_ns);
		if (zab->mode != ZAB_ALONE)
			zab_member_note_commit(zab, pending, now_ns);
		zab->published = pending->zxid;
		zab->published_digest = pending->digest;
		digest_log_note(&zab->digests, pending->zxid, pending->digest);
		zab->pending_first++;
	}
	FAL_PROBE1(publish, zab->published);
	tree_publish(zab->parts.tree, zab->published);
	delta_publish(zab->parts.deltas, (uint64_t)zab->published);
	for (uint32_t c = 0; c < zab->parts.channel_count; c++)
		zab->must_ring[c] = true;
	stats_add(zab->parts.stats, STAT_PUBLICATIONS, 1);
	stats_summary_record(zab->parts.stats, SUMMARY_COMMIT_BATCH,
			     zab->pending_first - first);
	return true;
}

static bool
commit_durable(struct zab *zab)
{
	int err = FAL_OK;
	const int64_t durable =
		zab->parts.log.durable_zxid(zab->parts.log.log, &err);

	if (FAL_UNLIKELY(err != FAL_OK))
		zab->hooks.on_fatal(zab->hooks.fatal_arg, err);
	if (durable > zab->published)
		zab_note_durable(zab, durable);
	return zab_publish_to(zab, durable);
}

/* ---- the round
 * ----------------------------------------------------------------- */

static void
ring_doorbells(struct zab *zab)
{
	for (uint32_t c = 0; c < zab->parts.channel_count; c++) {
		if (!zab->must_ring[c])
			continue;
		zab->must_ring[c] = false;
		lcore_doorbell(zab->parts.channel[c]->reader_lcore);
	}
}

/* What a leader or standalone server proposes by itself. */
static bool
run_timers(struct zab *zab)
{
	bool did_work = false;

	if (zab->mode == ZAB_LEADS || zab->mode == ZAB_LEARNS)
		did_work |= zab_local_expire(zab);
	if (zab->mode != ZAB_ALONE && zab->mode != ZAB_LEADS)
		return did_work;
	did_work |= zab_close_orphans(zab);
	did_work |= zab_expire_sessions(zab);
	did_work |= zab_reap_nodes(zab);
	return did_work;
}

/* What waits for the disk. */
static void
note_log_queue(struct zab *zab)
{
	const uint64_t durable = zab->pending_durable < zab->pending_first
					 ? zab->pending_first
					 : zab->pending_durable;

	if (durable < zab->pending_end)
		stats_summary_record(zab->parts.stats, SUMMARY_SYNC_QUEUE,
				     zab->pending_end - durable);
}

bool
zab_poll(struct zab *zab, uint64_t now_ms, int64_t wall_ms)
{
	bool did_work = false;

	zab->now_ms = now_ms;
	zab->wall_ms = wall_ms;
	zab->append_left = 0;
	zab->large_bytes = 0;
	if (zab->mode == ZAB_ALONE)
		did_work |= commit_durable(zab);
	else
		did_work |= zab->quorum.poll(zab->quorum.arg, now_ms, wall_ms);
	if (FAL_UNLIKELY(zab->is_midway)) {
		did_work |= zab_go_on(zab);
	} else {
		did_work |= take_requests(zab);
		did_work |= run_timers(zab);
	}
	/* Proposals first: the others write theirs while we wake our LOG. */
	if (zab->mode != ZAB_ALONE)
		zab->quorum.flush(zab->quorum.arg, now_ms);
	if (zab->has_committed && !zab->is_lent) {
		zab->has_committed = false;
		zab->parts.log.kick(zab->parts.log.log);
		note_log_queue(zab);
		did_work |= !zab->is_midway && zab_trigger_snapshot(zab);
	}
	ring_doorbells(zab);
	if (!zab->is_lent)
		tree_reclaim(zab->parts.tree, RECLAIM_BURST);
	stats_set(zab->parts.stats, STAT_PROPOSALS_OUTSTANDING,
		  zab->pending_end - zab->pending_first);
	return did_work;
}

/* Behind one that waits for room nothing is taken: see zab_next_timer_ms(). */
static bool
may_take(const struct zab *zab, uint32_t c, uint32_t lane,
	 const struct ring *ring)
{
	return zab->held[c][lane] == NULL && ring_count(ring) > 0;
}

bool
zab_has_work(const struct zab *zab)
{
	int err = FAL_OK;

	if (zab->is_midway)
		return true;
	for (uint32_t c = 0; c < zab->parts.channel_count; c++) {
		const struct channel *channel = zab->parts.channel[c];

		if (may_take(zab, c, 0, &channel->session_lane) ||
		    may_take(zab, c, 1, &channel->data_lane))
			return true;
	}
	if (zab->mode != ZAB_ALONE)
		return zab->quorum.has_work(zab->quorum.arg);
	if (zab->pending_first == zab->pending_end)
		return false;
	return zab->parts.log.durable_zxid(zab->parts.log.log, &err) >
		       zab->published ||
	       err != FAL_OK;
}

bool
zab_is_idle(const struct zab *zab)
{
	return zab->pending_first == zab->pending_end && !zab->is_midway;
}

int64_t
zab_last_zxid(const struct zab *zab)
{
	return zab->appended;
}
