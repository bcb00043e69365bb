/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_relay - a follower between its observers and the leader.
 *
 * The leader knows this server only. So what observers ask goes out on the one
 * connection to it, between what the own clients ask:
 *
 *   REQUEST     as it came. Its transaction comes back to all; the observer
 *               finds the client that waits. Only of a sync the answer is for
 *               one, the oldest that asked: a queue says who that was
 *   REVALIDATE  the same, with a queue of its own
 *   PING        touched sessions wait for the next PING to the leader
 *
 * A queue remembers an owner, not a pointer: who hung up meanwhile has another
 * serial, and his answer is for nobody. Without observer masters nothing is
 * queued; answers belong to the own clients.
 */
#include "dataplane/ensemble_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"

#define TOUCHES_ROOM_MIN 256u

int
ensemble_relay_init(struct ensemble *ensemble)
{
	const size_t bytes = RELAY_OWNERS_MAX * sizeof(struct relay_owner);

	if (!ensemble->options.core.has_observer_masters)
		return FAL_OK;
	ensemble->syncs.owner = malloc(bytes);
	ensemble->resumes.owner = malloc(bytes);
	return ensemble->syncs.owner == NULL || ensemble->resumes.owner == NULL
		       ? FAL_ENOMEM
		       : FAL_OK;
}

void
ensemble_relay_free(struct ensemble *ensemble)
{
	free(ensemble->syncs.owner);
	free(ensemble->resumes.owner);
	free(ensemble->touch);
}

bool
ensemble_relays(const struct ensemble *ensemble)
{
	return ensemble->options.core.has_observer_masters &&
	       ensemble->role == FLE_FOLLOWING;
}

void
ensemble_relay_reset(struct ensemble *ensemble)
{
	ensemble->syncs.head = ensemble->syncs.tail = 0;
	ensemble->resumes.head = ensemble->resumes.tail = 0;
	ensemble->touch_count = 0;
	entry_ring_clear(ensemble->recent);
}

/* ---- who asked
 * ------------------------------------------------------------------ */

static bool
is_full(const struct relay_queue *queue)
{
	return queue->head - queue->tail == RELAY_OWNERS_MAX;
}

static void
push(struct ensemble *ensemble, struct relay_queue *queue, uint32_t slot,
     int64_t session_id)
{
	FAL_ASSERT(!is_full(queue));
	queue->owner[queue->head++ % RELAY_OWNERS_MAX] = (struct relay_owner){
		.slot = slot,
		.serial = slot < ZAB_CONNS_MAX ? ensemble->learner[slot].serial
					       : 0,
		.session_id = session_id};
}

/* The oldest; false: nobody waits. */
static bool
pop(struct relay_queue *queue, struct relay_owner *out)
{
	if (queue->head == queue->tail)
		return false;
	*out = queue->owner[queue->tail++ % RELAY_OWNERS_MAX];
	return true;
}

static bool
is_there(const struct ensemble *ensemble, const struct relay_owner *owner)
{
	return owner->serial == ensemble->learner[owner->slot].serial;
}

/* ---- of observers
 * ------------------------------------------------------------------ */

static bool
has_touch_room(struct ensemble *ensemble)
{
	const uint32_t room = ensemble->touch_room < TOUCHES_ROOM_MIN
				      ? TOUCHES_ROOM_MIN
				      : 2 * ensemble->touch_room;
	struct quorum_touch *grown;

	if (ensemble->touch_count < ensemble->touch_room)
		return true;
	if (room > RELAY_TOUCHES_MAX)
		return false;
	grown = realloc(ensemble->touch, room * sizeof(*grown));
	if (grown == NULL)
		return false;
	ensemble->touch = grown;
	ensemble->touch_room = room;
	return true;
}

/* A session that is forgotten for want of room is told by its next PING. */
void
ensemble_relay_touches(struct ensemble *ensemble,
		       const struct quorum_packet *packet)
{
	const int count = quorum_packet_touch_count(packet->data);

	for (int i = 0; i < count && has_touch_room(ensemble); i++)
		ensemble->touch[ensemble->touch_count++] =
			quorum_packet_touch_at(packet->data, (uint32_t)i);
}

void
ensemble_relay_each_touched(struct ensemble *ensemble,
			    void (*fn)(void *arg, int64_t session_id,
				       int32_t timeout_ms),
			    void *arg)
{
	for (uint32_t i = 0; i < ensemble->touch_count; i++)
		fn(arg, ensemble->touch[i].session_id,
		   ensemble->touch[i].timeout_ms);
	ensemble->touch_count = 0;
}

void
ensemble_relay_revalidate(struct ensemble *ensemble, uint32_t slot,
			  const struct quorum_touch *asked)
{
	if (is_full(&ensemble->resumes)) {
		ensemble_break(ensemble, slot, PEER_SLOW);
		return;
	}
	push(ensemble, &ensemble->resumes, slot, asked->session_id);
	ensemble_send_revalidate(ensemble, asked->session_id,
				 asked->timeout_ms);
}

bool
ensemble_relay_request(struct ensemble *ensemble, uint32_t slot,
		       const struct learner_request *request)
{
	const struct quorum_request asked = {
		.session_id = request->session_id,
		.cxid = request->cxid,
		.op = request->op,
		.body = jute_slice_of(request->body, request->body_bytes),
	};
	const bool is_sync = request->op == OP_SYNC;

	if ((is_sync && is_full(&ensemble->syncs)) ||
	    !ensemble_send_request(ensemble, &asked, request->ids))
		return false;
	if (is_sync)
		push(ensemble, &ensemble->syncs, slot, request->session_id);
	return true;
}

/* ---- of the own clients
 * ------------------------------------------------------------------ */

bool
ensemble_forward(void *arg, const struct req *req)
{
	struct ensemble *ensemble = arg;
	const bool is_connect = req->kind == REQ_CONNECT;
	const bool has_ids =
		!is_connect && req->ids != NULL && req->op != OP_CLOSE_SESSION;
	const bool is_sync = req->kind == REQ_SYNC;
	const bool is_counted = is_sync && ensemble_relays(ensemble);
	uint8_t timeout[4];
	const struct quorum_request request = {
		.session_id = req->session_id,
		.cxid = req->xid,
		.op = is_sync ? OP_SYNC : req->op,
		.body = is_connect ? jute_slice_of(timeout, sizeof(timeout))
				   : jute_slice_of(req->body, req->body_bytes),
	};

	be_store32(timeout, (uint32_t)req->timeout_ms);
	if ((is_counted && is_full(&ensemble->syncs)) ||
	    !ensemble_send_request(ensemble, &request,
				   has_ids ? req->ids->list : NULL))
		return false;
	if (is_counted)
		push(ensemble, &ensemble->syncs, ZAB_SELF_SLOT,
		     req->session_id);
	return true;
}

void
ensemble_revalidate(void *arg, int64_t session_id, int32_t timeout_ms)
{
	struct ensemble *ensemble = arg;

	if (ensemble_relays(ensemble)) {
		/* As many as connections may wait: then the leader is not
		 * well. */
		if (is_full(&ensemble->resumes)) {
			ensemble_break(ensemble, ZAB_LEADER_SLOT, PEER_SLOW);
			return;
		}
		push(ensemble, &ensemble->resumes, ZAB_SELF_SLOT, session_id);
	}
	ensemble_send_revalidate(ensemble, session_id, timeout_ms);
}

/* ---- answers
 * ------------------------------------------------------------------ */

static void
send_sync(struct ensemble *ensemble, uint32_t slot)
{
	const struct zab_action action = {.type = ZAB_DO_SEND,
					  .packet = QUORUM_SYNC,
					  .slots = 1ull << slot,
					  .count = 1};

	ensemble_send(ensemble, &action);
}

void
ensemble_relay_synced(struct ensemble *ensemble,
		      const struct zab_action *action)
{
	struct relay_owner owner;

	if (!ensemble_relays(ensemble)) {
		zab_member_synced(ensemble->parts.zab, action->count,
				  action->zxid);
		return;
	}
	for (uint32_t i = 0; i < action->count; i++) {
		if (!pop(&ensemble->syncs, &owner))
			return;
		if (owner.slot == ZAB_SELF_SLOT)
			zab_member_synced(ensemble->parts.zab, 1, action->zxid);
		else if (is_there(ensemble, &owner))
			send_sync(ensemble, owner.slot);
	}
}

bool
ensemble_relay_revalidated(struct ensemble *ensemble,
			   const struct quorum_revalidated *answer)
{
	struct relay_owner owner = {.slot = ZAB_SELF_SLOT};

	if (ensemble_relays(ensemble) &&
	    (!pop(&ensemble->resumes, &owner) ||
	     owner.session_id != answer->session_id))
		return false;
	if (owner.slot == ZAB_SELF_SLOT)
		zab_member_revalidated(ensemble->parts.zab, answer->session_id,
				       answer->is_valid);
	else if (is_there(ensemble, &owner))
		ensemble_send_revalidated(ensemble, owner.slot,
					  answer->session_id, answer->is_valid);
	return true;
}
