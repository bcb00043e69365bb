/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_learners - the leader's side of each connection.
 *
 *   CONNECTED -FOLLOWERINFO-> INFO -> LEADERINFO -> EPOCH -ACKEPOCH-> ACKED
 *   -> history, proposals on their way, NEWLEADER -> SYNCING
 *   -ACK-> SYNCED -> UPTODATE -> ACTIVE
 *
 * From SYNCING on a follower gets every PROPOSAL. COMMIT and INFORM wait for
 * UPTODATE, then come as one range: there are servers that cannot take a
 * COMMIT between NEWLEADER and UPTODATE, and none that needs it.
 *
 * Acknowledgements of transactions that come before the one of NEWLEADER, or
 * for history that needs none, are ignored: older servers send them.
 *
 * A learner that must not vote (zxid -1) has no seat. It gets one, and
 * UPTODATE, when a PING round begun after it came was answered by a quorum
 * without it: so this reign was not replaced by one that its lost promises
 * helped to found.
 */
#include "consensus/zab_core.h"

static const struct quorum_seat NO_SEAT = {QUORUM_NO_SEAT, QUORUM_NO_SEAT};

/* A leader gives a learner time to be synchronized. Who is still LOOKING may
 * lead in a moment; if not, the learner should look again soon. */
static uint64_t
patience_ms(const struct zab_core *core)
{
	if (core->role == FLE_LEADING)
		return zab_init_ms(core) + zab_sync_ms(core);
	return (uint64_t)core->options.dial_retry_ms * core->options.dial_tries;
}

void
zab_learner_up(struct zab_core *core, uint32_t slot)
{
	struct zab_learner *learner = &core->learner[slot];

	FAL_ASSERT(learner->station == ZAB_ST_FREE);
	memset(learner, 0, sizeof(*learner));
	learner->station = ZAB_ST_CONNECTED;
	learner->sid = ZAB_NO_SID;
	learner->seat = NO_SEAT;
	learner->deadline_ms = core->now_ms + patience_ms(core);
	core->used_slots |= zab_slot_bit(slot);
}

void
zab_learner_drop(struct zab_core *core, uint32_t slot)
{
	struct zab_lead *lead = &core->lead;
	struct zab_learner *learner = &core->learner[slot];
	const uint64_t others = ~zab_slot_bit(slot);

	if (learner->station == ZAB_ST_FREE)
		return;
	/* Its log may be cut when it comes back. */
	zab_acks_forget(&lead->acks, learner->seat);
	lead->sync_runs -= learner->syncs.count;
	core->used_slots &= others;
	lead->proposal_slots &= others;
	lead->commit_slots &= others;
	lead->inform_slots &= others;
	lead->beacon_slots &= others;
	core->follow.inform_slots &= others;
	memset(learner, 0, sizeof(*learner));
}

void
zab_learner_close(struct zab_core *core, uint32_t slot, enum zab_reason why,
		  struct zab_actions *out)
{
	zab_learner_drop(core, slot);
	zab_out_close(out, zab_slot_bit(slot), why);
}

void
zab_learners_reseat(struct zab_core *core)
{
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		struct zab_learner *learner = &core->learner[i];

		if (learner->station >= ZAB_ST_INFO && !learner->is_nonvoting)
			learner->seat =
				quorum_pair_seat(&core->pair, learner->sid);
	}
}

/* ---------------------------------------------------------- discovery --- */

static void
send_epoch(struct zab_core *core, uint32_t slot, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	const int64_t zxid = zab_zxid(lead->epoch, 0);

	core->learner[slot].station = ZAB_ST_EPOCH;
	zab_out_send(out, zab_slot_bit(slot), QUORUM_LEADERINFO, zxid, zxid)
		->beacon_ms = core->options.beacon_ms;
	if (core->learner[slot].beacon.peer_ms == 0)
		return;
	if (!lead->has_beacons)
		lead->beacon_at_ms = core->now_ms + core->options.beacon_ms;
	lead->has_beacons = true;
	lead->beacon_slots |= zab_slot_bit(slot);
}

void
zab_learners_send_epoch(struct zab_core *core, struct zab_actions *out)
{
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++)
		if (core->learner[i].station == ZAB_ST_INFO)
			send_epoch(core, i, out);
}

static void
close_older(struct zab_core *core, uint32_t slot, int64_t sid,
	    struct zab_actions *out)
{
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++)
		if (i != slot && core->learner[i].station >= ZAB_ST_INFO &&
		    core->learner[i].sid == sid)
			zab_learner_close(core, i, ZAB_WHY_PEER_AGAIN, out);
}

/* What a learner told counts in this reign. */
static void
count_info(struct zab_core *core, uint32_t slot, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	struct zab_learner *learner = &core->learner[slot];
	const int64_t accepted = learner->accepted_epoch;

	/* Every learner's promise raises the epoch, observers' too. */
	if (lead->step == ZAB_LEAD_EPOCHS && accepted > lead->highest_accepted)
		lead->highest_accepted = accepted;
	if (lead->step >= ZAB_LEAD_ACKS)
		send_epoch(core, slot, out);
	else
		zab_lead_advance(core, out);
	/* This member cannot follow in this epoch, for good. A new epoch above
	 * its promise costs one election. */
	if (lead->step == ZAB_LEAD_ACTIVE && accepted > lead->epoch &&
	    quorum_find(&core->pair.active, learner->sid) >= 0)
		zab_lead_yield(core, ZAB_WHY_VOTER_PROMISED, false, out);
}

bool
zab_learner_take_info(struct zab_core *core, const struct zab_event *event,
		      struct zab_actions *out)
{
	struct zab_learner *learner = &core->learner[event->slot];
	const int64_t accepted = zab_epoch(event->zxid);

	/* -1 is the epoch of a ZooKeeper that was not initialized. */
	if (learner->station != ZAB_ST_CONNECTED || event->sid < 0 ||
	    event->sid == core->options.sid || accepted < -1 ||
	    accepted >= ZAB_EPOCH_MAX) {
		zab_learner_close(core, event->slot, ZAB_WHY_PEER_PROTOCOL,
				  out);
		return false;
	}
	if (event->config_version > core->pair.active.version) {
		zab_learner_close(core, event->slot, ZAB_WHY_PEER_CONFIG, out);
		return false;
	}
	close_older(core, event->slot, event->sid, out);
	learner->station = ZAB_ST_INFO;
	learner->sid = event->sid;
	learner->accepted_epoch = accepted;
	zab_beacon_expect(core, &learner->beacon, event->beacon_ms);
	learner->is_observer = event->packet == QUORUM_OBSERVERINFO;
	/* By sid: a voter may not know yet that it is no observer any more. */
	learner->seat = quorum_pair_seat(&core->pair, event->sid);
	if (quorum_find(&core->pair.active, event->sid) >= 0 &&
	    accepted > core->highest_heard)
		core->highest_heard = accepted;
	return true;
}

static void
learner_on_info(struct zab_core *core, const struct zab_event *event,
		struct zab_actions *out)
{
	if (zab_learner_take_info(core, event, out) &&
	    core->role == FLE_LEADING)
		count_info(core, event->slot, out);
}

void
zab_learners_take_over(struct zab_core *core, struct zab_actions *out)
{
	zab_learners_reseat(core);
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		struct zab_learner *learner = &core->learner[i];

		if (learner->station == ZAB_ST_FREE)
			continue;
		learner->deadline_ms = core->now_ms + patience_ms(core);
		if (learner->accepted_epoch > core->lead.highest_accepted)
			core->lead.highest_accepted = learner->accepted_epoch;
	}
	zab_lead_advance(core, out);
}

void
zab_learners_close_all(struct zab_core *core, enum zab_reason why,
		       struct zab_actions *out)
{
	zab_out_close(out, core->used_slots, why);
	core->used_slots = 0;
	memset(core->learner, 0, sizeof(core->learner));
}

void
zab_learners_expire(struct zab_core *core, struct zab_actions *out)
{
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++)
		if (core->learner[i].station != ZAB_ST_FREE &&
		    core->now_ms >= core->learner[i].deadline_ms)
			zab_learner_close(core, i, ZAB_WHY_NOT_LEADING, out);
}

uint64_t
zab_learners_expire_ms(const struct zab_core *core)
{
	uint64_t first = ZAB_NEVER;

	for (uint32_t i = 0; i < ZAB_CONNS_MAX && core->used_slots; i++)
		if (core->learner[i].station != ZAB_ST_FREE &&
		    core->learner[i].deadline_ms < first)
			first = core->learner[i].deadline_ms;
	return first;
}

/* Does it know more than this leader did when it was elected? */
static bool
is_ahead(const struct zab_core *core, int64_t epoch, int64_t zxid)
{
	const struct zab_lead *lead = &core->lead;

	if (epoch == -1)
		return false;
	if (epoch != lead->elected_epoch)
		return epoch > lead->elected_epoch;
	return zxid > lead->base_zxid;
}

static void sync_learner(struct zab_core *core, uint32_t slot,
			 struct zab_actions *out);

static void
learner_on_ack_epoch(struct zab_core *core, const struct zab_event *event,
		     struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	struct zab_learner *learner = &core->learner[event->slot];

	if (learner->station != ZAB_ST_EPOCH || event->epoch < -1) {
		zab_learner_close(core, event->slot, ZAB_WHY_PEER_PROTOCOL,
				  out);
		return;
	}
	/* During this epoch a follower may come back with its transactions, but
	 * with none that another leader gave it who chose the same epoch. */
	if ((zab_epoch(event->zxid) == lead->epoch &&
	     event->zxid > core->history.last_zxid) ||
	    (lead->step < ZAB_LEAD_SYNC &&
	     is_ahead(core, event->epoch, event->zxid))) {
		zab_learner_close(core, event->slot, ZAB_WHY_PEER_AHEAD, out);
		return;
	}
	learner->station = ZAB_ST_ACKED;
	learner->zxid = event->zxid;
	if (event->zxid < 0) {
		learner->is_nonvoting = true;
		learner->seat = NO_SEAT;
		learner->confirm_round = UINT64_MAX; /* none yet */
	}
	if (event->epoch != -1)
		quorum_votes_add(&lead->epoch_acks, learner->seat);
	if (lead->step >= ZAB_LEAD_SYNC)
		sync_learner(core, event->slot, out);
	else
		zab_lead_advance(core, out);
}

/* ---------------------------------------------------- synchronization --- */

void
zab_learner_send_plan(uint64_t slots, const struct zab_sync_plan *plan,
		      struct zab_actions *out)
{
	static const enum quorum_type packet[] = {
		[ZAB_SYNC_DIFF] = QUORUM_DIFF,
		[ZAB_SYNC_TRUNC] = QUORUM_TRUNC,
		[ZAB_SYNC_SNAP] = QUORUM_SNAP,
	};
	struct zab_action *action;

	zab_out_send(out, slots, packet[plan->kind], plan->zxid, plan->zxid);
	if (plan->kind == ZAB_SYNC_SNAP) {
		action = zab_out(out, ZAB_DO_STREAM_SNAPSHOT);
		action->slots = slots;
		action->zxid = plan->to;
		action->zxid_last = plan->to;
	} else if (plan->from < plan->to) {
		action = zab_out(out, ZAB_DO_STREAM_HISTORY);
		action->slots = slots;
		action->zxid = plan->from;
		action->zxid_last = plan->to;
	}
}

int64_t
zab_learner_known_zxid(const struct zab_core *core, uint32_t slot)
{
	return core->options.forces_snapshots ? -1 : core->learner[slot].zxid;
}

static void
sync_learner(struct zab_core *core, uint32_t slot, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	struct zab_learner *learner = &core->learner[slot];
	const uint64_t bit = zab_slot_bit(slot);
	const int64_t to = lead->acks.committed_zxid;
	const struct zab_sync_plan plan = zab_sync_plan(
		&core->history, zab_learner_known_zxid(core, slot), to,
		lead->epoch, lead->elected_epoch);

	FAL_ASSERT(learner->station == ZAB_ST_ACKED);
	/* What it acknowledged on an older connection may be cut now. */
	zab_acks_forget(&lead->acks, learner->seat);
	zab_learner_send_plan(bit, &plan, out);
	learner->announced_zxid = to;
	if (!learner->is_observer) {
		if (lead->acks.proposed_zxid > to)
			zab_out_send(out, bit, QUORUM_PROPOSAL,
				     zab_next_in_epoch(to, lead->epoch),
				     lead->acks.proposed_zxid);
		lead->proposal_slots |= bit;
	}
	/* A configuration that is only proposed comes as PROPOSAL; one that a
	 * predecessor left comes with NEWLEADER and is decided by it. */
	zab_out_send(out, bit, QUORUM_NEWLEADER, zab_zxid(lead->epoch, 0),
		     zab_zxid(lead->epoch, 0))
		->config_version =
		lead->step < ZAB_LEAD_ACTIVE && core->pair.has_next
			? core->pair.next.version
			: core->pair.active.version;
	learner->station = ZAB_ST_SYNCING;
	learner->deadline_ms =
		core->now_ms + zab_init_ms(core) + zab_sync_ms(core);
}

void
zab_learners_sync(struct zab_core *core, struct zab_actions *out)
{
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++)
		if (core->learner[i].station == ZAB_ST_ACKED)
			sync_learner(core, i, out);
}

/* A non-voting learner needs proof that this reign still holds. */
static bool
may_activate(struct zab_core *core, struct zab_learner *learner,
	     struct zab_actions *out)
{
	if (!learner->is_nonvoting ||
	    !quorum_pair_is_voter(&core->pair, learner->sid))
		return true;
	if (learner->confirm_round == UINT64_MAX) {
		learner->confirm_round = zab_confirm_want(core);
		zab_confirm_begin(core, out);
	}
	if (core->lead.round_done < learner->confirm_round)
		return false;
	learner->is_nonvoting = false;
	learner->seat = quorum_pair_seat(&core->pair, learner->sid);
	return true;
}

static void
learner_activate(struct zab_core *core, uint32_t slot, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	struct zab_learner *learner = &core->learner[slot];
	const uint64_t bit = zab_slot_bit(slot);
	const int64_t last = lead->acks.committed_zxid;

	/* All of its history is durable there, without an ACK for each. */
	const int moved = zab_acks_note(&lead->acks, &core->pair, learner->seat,
					learner->announced_zxid);

	FAL_ASSERT(moved == 0); /* It was committed before. */
	zab_out_send(out, bit, QUORUM_UPTODATE, -1, -1);
	if (last > learner->announced_zxid)
		zab_out_send(
			out, bit,
			learner->is_observer ? QUORUM_INFORM : QUORUM_COMMIT,
			zab_next_in_epoch(learner->announced_zxid, lead->epoch),
			last);
	if (learner->is_observer)
		lead->inform_slots |= bit;
	else
		lead->commit_slots |= bit;
	learner->station = ZAB_ST_ACTIVE;
	/* Who had no vote may die before it knows that it has one again. */
	learner->is_up_to_date = learner->confirm_round == 0;
	learner->deadline_ms = core->now_ms + zab_sync_ms(core);
}

void
zab_learners_activate(struct zab_core *core, struct zab_actions *out)
{
	if (core->lead.step != ZAB_LEAD_ACTIVE)
		return;
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		struct zab_learner *learner = &core->learner[i];

		/* Asking may have confirmed and activated it already. */
		if (learner->station == ZAB_ST_SYNCED &&
		    may_activate(core, learner, out) &&
		    learner->station == ZAB_ST_SYNCED)
			learner_activate(core, i, out);
	}
}

/* ---------------------------------------------------------- broadcast --- */

static void
on_newleader_ack(struct zab_core *core, uint32_t slot, struct zab_actions *out)
{
	struct zab_learner *learner = &core->learner[slot];

	learner->station = ZAB_ST_SYNCED;
	if (core->lead.step == ZAB_LEAD_ACTIVE) {
		zab_learners_activate(core, out);
		return;
	}
	quorum_votes_add(&core->lead.newleader_acks, learner->seat);
	zab_lead_advance(core, out);
}

static void
learner_on_ack(struct zab_core *core, const struct zab_event *event,
	       struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	struct zab_learner *learner = &core->learner[event->slot];
	bool is_good = learner->station >= ZAB_ST_SYNCING;

	if (is_good && zab_counter(event->zxid) == 0) {
		is_good = event->zxid == zab_zxid(lead->epoch, 0);
		if (is_good && learner->station == ZAB_ST_SYNCING) {
			on_newleader_ack(core, event->slot, out);
			return;
		}
		learner->is_up_to_date |= learner->station == ZAB_ST_ACTIVE;
	} else if (is_good && learner->station == ZAB_ST_SYNCING) {
		is_good = event->zxid <= lead->acks.proposed_zxid;
	} else if (is_good && event->zxid > lead->base_zxid) {
		is_good = lead->step == ZAB_LEAD_ACTIVE &&
			  zab_epoch(event->zxid) == lead->epoch &&
			  zab_lead_ack(core, learner->seat, event->zxid, out) ==
				  0;
	}
	if (!is_good)
		zab_learner_close(core, event->slot, ZAB_WHY_PEER_PROTOCOL,
				  out);
}

static void
on_ping(struct zab_core *core, const struct zab_event *event,
	struct zab_actions *out)
{
	struct zab_learner *learner = &core->learner[event->slot];

	/* A peer may say more than it was asked. */
	if (event->zxid == ZAB_NO_ZXID ||
	    learner->pings_echoed == learner->pings_sent)
		return;
	learner->pings_echoed++;
	zab_beacon_watch(core, &learner->beacon);
	if (learner->confirm_ping)
		zab_confirm_note(core, out);
}

void
zab_learner_heard(struct zab_core *core, uint32_t slot)
{
	struct zab_learner *learner = &core->learner[slot];

	if (learner->station == ZAB_ST_ACTIVE)
		learner->deadline_ms = core->now_ms + zab_sync_ms(core);
	zab_beacon_heard(core, &learner->beacon);
}

void
zab_learner_packet(struct zab_core *core, const struct zab_event *event,
		   struct zab_actions *out)
{
	struct zab_learner *learner = &core->learner[event->slot];

	if (learner->station == ZAB_ST_FREE)
		return;
	if (core->role != FLE_LEADING && event->packet != QUORUM_FOLLOWERINFO &&
	    event->packet != QUORUM_OBSERVERINFO) {
		zab_learner_close(core, event->slot, ZAB_WHY_PEER_PROTOCOL,
				  out);
		return;
	}
	zab_learner_heard(core, event->slot);
	if (zab_beacon_takes(&learner->beacon, event))
		return;
	switch (event->packet) {
	case QUORUM_FOLLOWERINFO:
	case QUORUM_OBSERVERINFO:
		learner_on_info(core, event, out);
		break;
	case QUORUM_ACKEPOCH:
		learner_on_ack_epoch(core, event, out);
		break;
	case QUORUM_ACK:
		learner_on_ack(core, event, out);
		break;
	case QUORUM_PING:
		on_ping(core, event, out);
		break;
	default:
		/* Requests and sessions: they only prove that it lives. */
		if (learner->station < ZAB_ST_SYNCED)
			zab_learner_close(core, event->slot,
					  ZAB_WHY_PEER_PROTOCOL, out);
		break;
	}
}

void
zab_learners_ping(struct zab_core *core, uint64_t wanted,
		  struct zab_actions *out)
{
	const int64_t zxid =
		zab_epoch(core->lead.acks.proposed_zxid) == core->lead.epoch
			? core->lead.acks.proposed_zxid
			: zab_zxid(core->lead.epoch, 0);
	uint64_t slots = 0;

	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		struct zab_learner *learner = &core->learner[i];

		if (!(wanted & zab_slot_bit(i)))
			continue;
		/* Those who send beacons can take one at any time. */
		if (learner->station == ZAB_ST_ACTIVE)
			learner->pings_sent++;
		else if (!(core->lead.beacon_slots & zab_slot_bit(i)))
			continue;
		slots |= zab_slot_bit(i);
		if (learner->station != ZAB_ST_ACTIVE)
			continue;
		if (core->lead.round_begun > core->lead.round_done &&
		    learner->confirm_ping == 0)
			learner->confirm_ping = learner->pings_sent;
	}
	if (slots)
		zab_out_send(out, slots, QUORUM_PING, zxid, zxid);
}

/* Has its oldest unacknowledged proposal been waiting for too long? */
static bool
is_slow(struct zab_core *core, struct zab_learner *learner)
{
	const struct zab_acks *acks = &core->lead.acks;
	const int64_t acked = zab_acks_of(acks, learner->seat);

	if (acked >= learner->probe_zxid) {
		learner->probe_zxid = acks->proposed_zxid;
		learner->probe_ms = core->now_ms;
		return false;
	}
	return core->now_ms - learner->probe_ms > zab_sync_ms(core);
}

void
zab_learners_check(struct zab_core *core, struct zab_actions *out)
{
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		struct zab_learner *learner = &core->learner[i];

		if (learner->station == ZAB_ST_FREE)
			continue;
		if (core->now_ms >= learner->deadline_ms)
			zab_learner_close(core, i, ZAB_WHY_PEER_SILENT, out);
		else if (learner->station == ZAB_ST_ACTIVE &&
			 !learner->is_observer &&
			 learner->seat.active != QUORUM_NO_SEAT &&
			 core->lead.acks.proposed_zxid > core->lead.base_zxid &&
			 is_slow(core, learner))
			zab_learner_close(core, i, ZAB_WHY_PEER_SLOW, out);
	}
}
