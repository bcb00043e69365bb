/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_learners - what learners want of their leader beside the log: their
 * clients' requests made transactions, their sessions kept alive. A follower's
 * observers want the same, and get it from the leader (ensemble_relay.c).
 *
 * Requests of a learner are taken in their order, that is what it matches the
 * transactions with that come back. They wait in a queue of the learner while
 * there is no room for a proposal, and while a sync of the same learner is not
 * answered: a sync that waits for proof of leadership must not be overtaken by
 * the commit of a later write, since a learner answers its client in order.
 * Learners have turns, a burst each.
 *
 * Nothing here closes a connection for what a request says: what is wrong with
 * it becomes an error transaction, for which a client waits.
 */
#include "dataplane/ensemble_int.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_BURST 64u

void
ensemble_learner_up(struct ensemble *ensemble, uint32_t slot)
{
	ensemble->learner[slot] =
		(struct learner){.serial = ++ensemble->next_serial};
}

static void
request_free(struct learner_request *request)
{
	if (request->ids != NULL)
		auth_ids_free(request->ids);
	free(request);
}

void
ensemble_learner_gone(struct ensemble *ensemble, uint32_t slot)
{
	struct learner *learner = &ensemble->learner[slot];

	while (learner->first != NULL) {
		struct learner_request *request = learner->first;

		learner->first = request->next;
		request_free(request);
	}
	*learner = (struct learner){.serial = ++ensemble->next_serial};
}

/* ---- queueing
 * ------------------------------------------------------------------ */

/* Identities as they are in the packet, count included. */
static int
read_ids(const struct ensemble *ensemble, const struct jute_vector *authinfo,
	 struct auth_ids **out)
{
	*out = NULL;
	if (authinfo->count < 0)
		return FAL_OK;

	struct jute_reader reader =
		jute_reader_of(authinfo->data - sizeof(int32_t),
			       authinfo->bytes + sizeof(int32_t));

	return auth_ids_get(ensemble->parts.acl, &reader, out);
}

static struct learner_request *
request_new(const struct ensemble *ensemble, const struct quorum_packet *packet,
	    const struct quorum_request *asked)
{
	struct learner_request *request;
	struct auth_ids *ids;
	uint32_t body_bytes = (uint32_t)asked->body.bytes;
	const int err = read_ids(ensemble, &packet->authinfo, &ids);

	/* More identities than we know: without a body it becomes an error
	 * transaction, here or at our leader. */
	if (err == FAL_ELIMIT)
		body_bytes = 0;
	else if (err != FAL_OK)
		return NULL;
	request = malloc(sizeof(*request) + body_bytes);
	if (request == NULL) {
		if (ids != NULL)
			auth_ids_free(ids);
		return NULL;
	}
	*request = (struct learner_request){
		.session_id = asked->session_id,
		.cxid = asked->cxid,
		.op = asked->op,
		.body_bytes = body_bytes,
		.ids = ids,
	};
	if (body_bytes > 0)
		memcpy(request->body, asked->body.data, body_bytes);
	return request;
}

/* What it takes of queue_bytes_max. */
static uint64_t
weight_of(const struct learner_request *request)
{
	return sizeof(*request) + request->body_bytes +
	       (request->ids != NULL ? request->ids->bytes : 0);
}

static void
queue_request(struct ensemble *ensemble, uint32_t slot,
	      const struct quorum_packet *packet)
{
	struct learner *learner = &ensemble->learner[slot];
	struct quorum_request asked;
	struct learner_request *request = NULL;

	if (quorum_packet_get_request(packet->data, &asked) == 0)
		request = request_new(ensemble, packet, &asked);
	if (request == NULL) {
		ensemble_break(ensemble, slot, PEER_PROTOCOL);
		return;
	}
	if (learner->first == NULL)
		learner->first = request;
	else
		learner->last->next = request;
	learner->last = request;
	learner->queued_bytes += weight_of(request);
	if (learner->queued_bytes > ensemble->options.queue_bytes_max)
		ensemble_break(ensemble, slot, PEER_SLOW);
}

/* ---- sessions
 * -------------------------------------------------------------------- */

/* Of the sessions that this learner speaks for. */
static struct session_owner
owner_of(const struct ensemble *ensemble, uint32_t slot)
{
	return zab_learner_owner(slot, ensemble->learner[slot].serial);
}

static void
take_touches(struct ensemble *ensemble, uint32_t slot,
	     const struct quorum_packet *packet)
{
	const int count = quorum_packet_touch_count(packet->data);

	if (count < 0) {
		ensemble_break(ensemble, slot, PEER_PROTOCOL);
		return;
	}
	if (ensemble->role != FLE_LEADING) {
		ensemble_relay_touches(ensemble, packet);
		return;
	}
	for (int i = 0; i < count; i++) {
		const struct quorum_touch touch =
			quorum_packet_touch_at(packet->data, (uint32_t)i);

		zab_member_touch(ensemble->parts.zab, touch.session_id,
				 touch.timeout_ms, owner_of(ensemble, slot));
	}
}

static void
revalidate(struct ensemble *ensemble, uint32_t slot,
	   const struct quorum_packet *packet)
{
	struct quorum_touch asked;

	if (quorum_packet_get_revalidate(packet->data, &asked) != 0) {
		ensemble_break(ensemble, slot, PEER_PROTOCOL);
		return;
	}
	if (ensemble->role != FLE_LEADING) {
		ensemble_relay_revalidate(ensemble, slot, &asked);
		return;
	}
	stats_add(ensemble->parts.stats, STAT_REVALIDATED, 1);
	ensemble_send_revalidated(
		ensemble, slot, asked.session_id,
		zab_member_take_over(ensemble->parts.zab, asked.session_id,
				     asked.timeout_ms,
				     owner_of(ensemble, slot)));
}

/* Does somebody get answers from here? */
static bool
has_learners(const struct ensemble *ensemble)
{
	return ensemble->is_serving &&
	       (ensemble->role == FLE_LEADING || ensemble_relays(ensemble));
}

void
ensemble_learner_packet(struct ensemble *ensemble, uint32_t slot,
			const struct quorum_packet *packet)
{
	if (!has_learners(ensemble))
		return;
	switch (packet->type) {
	case QUORUM_REQUEST:
		queue_request(ensemble, slot, packet);
		break;
	case QUORUM_PING:
		take_touches(ensemble, slot, packet);
		break;
	case QUORUM_REVALIDATE:
		revalidate(ensemble, slot, packet);
		break;
	default:
		break;
	}
}

/* ---- proposing
 * ---------------------------------------------------------------------- */

/* A session of another server that we do not know is local to that one. */
static bool
is_local_session(const struct ensemble *ensemble, int64_t session_id)
{
	return ensemble->options.is_local_sessions &&
	       (uint8_t)((uint64_t)session_id >> 56) !=
		       ensemble->options.server_id &&
	       !zab_member_has_session(ensemble->parts.zab, session_id);
}

static int32_t
timeout_of(const struct learner_request *request)
{
	struct jute_reader body =
		jute_reader_of(request->body, request->body_bytes);

	return request->op == OP_CREATE_SESSION ? jute_get_int(&body) : 0;
}

static int
propose(struct ensemble *ensemble, uint32_t slot,
	const struct learner_request *request)
{
	const struct zab_learner_request asked = {
		.session_id = request->session_id,
		.cxid = request->cxid,
		.op = request->op,
		.body = request->body,
		.body_bytes = request->body_bytes,
		.ids = request->ids,
		.owner = owner_of(ensemble, slot),
		.timeout_ms = timeout_of(request),
		.is_local_session =
			is_local_session(ensemble, request->session_id),
	};

	return zab_member_propose(ensemble->parts.zab, &asked);
}

static void
sync_of_learner(struct ensemble *ensemble, uint32_t slot)
{
	struct zab_event event = {.type = ZAB_EV_SYNC, .slot = slot};

	if (ensemble->options.core.is_sync_confirmed)
		ensemble->learner[slot].syncs++;
	ensemble_step(ensemble, &event);
}

/* Must the first request of the learner wait for its own syncs? */
static bool
is_held_by_sync(const struct learner *learner)
{
	return learner->syncs > 0 && learner->first->op != OP_SYNC;
}

/* Must it wait until its session is known to all? Whatever became of it by
 * then, those behind are not held up. */
static bool
is_held_by_session(const struct ensemble *ensemble, struct learner *learner)
{
	if (FAL_LIKELY(learner->creating == 0) ||
	    learner->first->session_id != learner->creating)
		return false;
	if (zab_member_published(ensemble->parts.zab) < learner->created_zxid)
		return true;
	learner->creating = 0;
	return false;
}

static void
drop_first(struct learner *learner)
{
	struct learner_request *request = learner->first;

	learner->first = request->next;
	learner->queued_bytes -= weight_of(request);
	request_free(request);
}

static bool
relay_first(struct ensemble *ensemble, uint32_t slot)
{
	struct learner *learner = &ensemble->learner[slot];

	if (!ensemble_relay_request(ensemble, slot, learner->first))
		return false;
	drop_first(learner);
	return true;
}

/* The first request of a learner; false: it has to wait. */
static bool
run_first(struct ensemble *ensemble, uint32_t slot)
{
	struct learner *learner = &ensemble->learner[slot];
	struct learner_request *request = learner->first;
	const bool is_sync = request->op == OP_SYNC;

	if (ensemble->role != FLE_LEADING)
		return relay_first(ensemble, slot);
	if (is_held_by_sync(learner) || is_held_by_session(ensemble, learner))
		return false;
	if (!is_sync && propose(ensemble, slot, request) == FAL_EAGAIN)
		return false;
	/* A step may have ended the role, and the queue with it. */
	if (learner->first != request)
		return false;
	if (request->op == OP_CREATE_SESSION &&
	    ensemble->options.is_local_sessions) {
		learner->creating = request->session_id;
		learner->created_zxid =
			zab_member_appended(ensemble->parts.zab);
	}
	drop_first(learner);
	if (is_sync)
		sync_of_learner(ensemble, slot);
	return true;
}

/* A leader that is established may have to patch its tree first, while its
 * learners serve already: what they ask waits. */
static bool
may_run(const struct ensemble *ensemble)
{
	return has_learners(ensemble) &&
	       (ensemble->role != FLE_LEADING ||
		zab_member_mode(ensemble->parts.zab) == ZAB_LEADS);
}

bool
ensemble_run_learners(struct ensemble *ensemble)
{
	bool did_work = false;

	if (!may_run(ensemble))
		return false;
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		const uint32_t slot = (ensemble->turn + i) % ZAB_CONNS_MAX;

		for (uint32_t n = 0; n < REQUEST_BURST; n++) {
			if (ensemble->learner[slot].first == NULL ||
			    !run_first(ensemble, slot))
				break;
			did_work = true;
			/* Large ones: the next learner's are first then. */
			if (zab_member_is_round_full(ensemble->parts.zab)) {
				ensemble->turn = (slot + 1) % ZAB_CONNS_MAX;
				return true;
			}
		}
	}
	ensemble->turn = (ensemble->turn + 1) % ZAB_CONNS_MAX;
	return did_work;
}

bool
ensemble_learners_have_work(const struct ensemble *ensemble)
{
	for (uint32_t slot = 0; slot < ZAB_CONNS_MAX; slot++) {
		const struct learner *learner = &ensemble->learner[slot];

		if (learner->first != NULL && !is_held_by_sync(learner))
			return true;
	}
	return false;
}
