/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_master - a follower's side of its observers' connections.
 *
 *   CONNECTED -OBSERVERINFO-> LEADERINFO -> EPOCH -ACKEPOCH-> ACKED
 *   -> history, NEWLEADER -> SYNCING -ACK-> UPTODATE, INFORM -> ACTIVE
 *
 * It speaks as a leader does, but decides nothing: the epoch is its leader's,
 * no acknowledgement is counted, and nothing is handed on that is not committed
 * and durable here. What is committed and not durable yet follows as INFORM.
 *
 * An observer may come from a server that was further: what it holds beyond
 * that is committed, and is not taken back. It waits until this follower has it
 * too (Java's masters send TRUNC).
 *
 * Beacons are not sent: an observer that misses its master looks for another
 * within sync_limit, and nobody's writes wait for it.
 */
#include "consensus/zab_core.h"

/* What may be handed over as history. */
static int64_t
reach(const struct zab_core *core)
{
	const int64_t zxid = core->committed_zxid < core->durable_zxid
				     ? core->committed_zxid
				     : core->durable_zxid;

	FAL_ASSERT(zxid >= core->follow.base_zxid);
	return zxid;
}

static bool
is_master(const struct zab_core *core)
{
	return core->options.has_observer_masters &&
	       core->role == FLE_FOLLOWING &&
	       core->follow.step == ZAB_FOLLOW_ACTIVE;
}

void
zab_master_up(struct zab_core *core, uint32_t slot, struct zab_actions *out)
{
	if (!is_master(core)) {
		zab_out_close(out, zab_slot_bit(slot), ZAB_WHY_NO_MASTER);
		return;
	}
	if (core->used_slots == 0)
		core->follow.ping_ms = core->now_ms + core->options.tick_ms / 2;
	zab_learner_up(core, slot);
	core->learner[slot].deadline_ms = core->now_ms + zab_init_ms(core);
}

static void
on_info(struct zab_core *core, const struct zab_event *event,
	struct zab_actions *out)
{
	struct zab_learner *learner = &core->learner[event->slot];
	const int64_t zxid = zab_zxid(core->follow.epoch, 0);

	if (event->packet != QUORUM_OBSERVERINFO) {
		zab_learner_close(core, event->slot, ZAB_WHY_NO_MASTER, out);
		return;
	}
	if (!zab_learner_take_info(core, event, out))
		return;
	if (learner->accepted_epoch > core->follow.epoch) {
		zab_learner_close(core, event->slot, ZAB_WHY_MASTER_BEHIND,
				  out);
		return;
	}
	learner->station = ZAB_ST_EPOCH;
	zab_out_send(out, zab_slot_bit(event->slot), QUORUM_LEADERINFO, zxid,
		     zxid);
}

/* Unless it has to wait until this server knows as much. */
static void
sync_observer(struct zab_core *core, uint32_t slot, struct zab_actions *out)
{
	struct zab_learner *learner = &core->learner[slot];
	const int64_t epoch = core->follow.epoch;
	const int64_t to = reach(core);

	FAL_ASSERT(learner->station == ZAB_ST_ACKED);
	if (zab_epoch(learner->zxid) == epoch &&
	    zab_counter(learner->zxid) != 0 && learner->zxid > to)
		return;
	const struct zab_sync_plan plan = zab_sync_plan(
		&core->history, zab_learner_known_zxid(core, slot), to, epoch,
		zab_epoch(core->follow.base_zxid));

	zab_learner_send_plan(zab_slot_bit(slot), &plan, out);
	zab_out_send(out, zab_slot_bit(slot), QUORUM_NEWLEADER,
		     zab_zxid(epoch, 0), zab_zxid(epoch, 0))
		->config_version = core->pair.active.version;
	learner->announced_zxid = to;
	learner->station = ZAB_ST_SYNCING;
	learner->deadline_ms =
		core->now_ms + zab_init_ms(core) + zab_sync_ms(core);
}

/* A voter without a vote gets it back from a leader only, which proves first
 * that its reign holds. */
static bool
may_sync(const struct zab_core *core, const struct zab_event *event)
{
	const struct zab_learner *learner = &core->learner[event->slot];

	return event->zxid >= 0 ||
	       !quorum_pair_is_voter(&core->pair, learner->sid);
}

static void
on_ack_epoch(struct zab_core *core, const struct zab_event *event,
	     struct zab_actions *out)
{
	struct zab_learner *learner = &core->learner[event->slot];
	enum zab_reason why = ZAB_WHY_NONE;

	if (learner->station != ZAB_ST_EPOCH || event->epoch < -1)
		why = ZAB_WHY_PEER_PROTOCOL;
	else if (zab_epoch(event->zxid) > core->follow.epoch)
		why = ZAB_WHY_MASTER_BEHIND;
	else if (!may_sync(core, event))
		why = ZAB_WHY_NO_MASTER;
	if (why != ZAB_WHY_NONE) {
		zab_learner_close(core, event->slot, why, out);
		return;
	}
	learner->station = ZAB_ST_ACKED;
	learner->zxid = event->zxid;
	sync_observer(core, event->slot, out);
}

static void
activate(struct zab_core *core, uint32_t slot, struct zab_actions *out)
{
	struct zab_learner *learner = &core->learner[slot];
	const uint64_t bit = zab_slot_bit(slot);
	const int64_t last = core->committed_zxid;

	zab_out_send(out, bit, QUORUM_UPTODATE, -1, -1);
	if (last > learner->announced_zxid)
		zab_out_send(out, bit, QUORUM_INFORM,
			     zab_next_in_epoch(learner->announced_zxid,
					       core->follow.epoch),
			     last);
	core->follow.inform_slots |= bit;
	learner->station = ZAB_ST_ACTIVE;
	learner->deadline_ms = core->now_ms + zab_sync_ms(core);
}

static void
on_ack(struct zab_core *core, const struct zab_event *event,
       struct zab_actions *out)
{
	struct zab_learner *learner = &core->learner[event->slot];
	const bool is_mark = zab_counter(event->zxid) == 0;
	/* Of transactions only older servers speak, and of history only. */
	const bool is_known =
		is_mark ? event->zxid == zab_zxid(core->follow.epoch, 0)
			: event->zxid <= core->committed_zxid;

	if (learner->station < ZAB_ST_SYNCING || !is_known)
		zab_learner_close(core, event->slot, ZAB_WHY_PEER_PROTOCOL,
				  out);
	else if (is_mark && learner->station == ZAB_ST_SYNCING)
		activate(core, event->slot, out);
}

void
zab_master_packet(struct zab_core *core, const struct zab_event *event,
		  struct zab_actions *out)
{
	struct zab_learner *learner = &core->learner[event->slot];

	if (learner->station == ZAB_ST_FREE)
		return;
	FAL_ASSERT(is_master(core));
	if (learner->station == ZAB_ST_ACTIVE)
		learner->deadline_ms = core->now_ms + zab_sync_ms(core);
	switch (event->packet) {
	case QUORUM_FOLLOWERINFO:
	case QUORUM_OBSERVERINFO:
		on_info(core, event, out);
		break;
	case QUORUM_ACKEPOCH:
		on_ack_epoch(core, event, out);
		break;
	case QUORUM_ACK:
		on_ack(core, event, out);
		break;
	default:
		/* Requests and sessions: they only prove that it lives. */
		if (learner->station < ZAB_ST_ACTIVE)
			zab_learner_close(core, event->slot,
					  ZAB_WHY_PEER_PROTOCOL, out);
		break;
	}
}

void
zab_master_durable(struct zab_core *core, struct zab_actions *out)
{
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++)
		if (core->learner[i].station == ZAB_ST_ACKED)
			sync_observer(core, i, out);
}

void
zab_master_committed(struct zab_core *core, int64_t zxid, bool activates,
		     int64_t designated, struct zab_actions *out)
{
	const uint64_t slots = core->follow.inform_slots;

	if (slots && activates)
		zab_out_send(out, slots, QUORUM_INFORMANDACTIVATE, zxid, zxid)
			->sid = designated;
	else if (slots)
		zab_out_send(out, slots, QUORUM_INFORM, zxid, zxid);
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		if (core->learner[i].station == ZAB_ST_ACKED)
			sync_observer(core, i, out);
		/* It was told the old configuration. */
		if (activates && core->learner[i].station == ZAB_ST_SYNCING)
			zab_learner_close(core, i, ZAB_WHY_RECONFIGURED, out);
	}
}

void
zab_master_tick(struct zab_core *core, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;
	const int64_t zxid = core->committed_zxid;

	if (core->used_slots == 0 || core->now_ms < follow->ping_ms)
		return;
	follow->ping_ms = core->now_ms + core->options.tick_ms / 2;
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		const struct zab_learner *learner = &core->learner[i];

		if (learner->station != ZAB_ST_FREE &&
		    core->now_ms >= learner->deadline_ms)
			zab_learner_close(core, i,
					  learner->station == ZAB_ST_ACKED
						  ? ZAB_WHY_MASTER_BEHIND
						  : ZAB_WHY_PEER_SILENT,
					  out);
	}
	if (follow->inform_slots)
		zab_out_send(out, follow->inform_slots, QUORUM_PING, zxid,
			     zxid);
}
