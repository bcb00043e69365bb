/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_lead - the leader: from elected to established, then proposals.
 *
 *   EPOCHS   a quorum of voters has told its accepted epoch: the new epoch is
 *            one above all that were heard
 *   ACKS     LEADERINFO is out; a quorum takes the epoch with ACKEPOCH, and so
 *            does this server, when its acceptedEpoch is written
 *   SYNC     learners get history and NEWLEADER; a quorum acknowledges it, and
 *            so does this server, whose log was durable before, when its
 *            currentEpoch is written
 *   ACTIVE   established: what the log held is committed; proposals begin
 *
 * Before ACTIVE each step has a deadline; afterwards the leader must hear a
 * quorum. Any failure ends in a new election, never in a retry within the
 * epoch: an epoch is used once.
 *
 * What a leader tells of an epoch is an offer; only its own promise and its own
 * history count, and for these it waits as for those of others, so its disk and
 * theirs work at the same time. After a crash it may offer the same epoch anew:
 * nobody led in it, for want of this very promise, and who took the first offer
 * does not count in the second.
 *
 * Every function that may end the role returns right after it did.
 */
#include "consensus/zab_core.h"

struct quorum_seat
zab_own_seat(const struct zab_core *core)
{
	return quorum_pair_seat(&core->pair, core->options.sid);
}

/* An idle leader begins a new epoch when less than this share of the zxids is
 * left. */
#define ROLL_SHARE 4096

static struct quorum_votes
electors_of(const struct zab_core *core)
{
	const struct fle *fle = &core->fle;
	struct quorum_votes votes = {0, 0};

	for (uint32_t i = 0; i < fle->received.count; i++)
		if (fle_vote_equal(&fle->received.vote[i], &fle->proposal))
			quorum_votes_add(
				&votes, quorum_pair_seat(&core->pair,
							 fle->received.sid[i]));
	return votes;
}

void
zab_lead_begin(struct zab_core *core, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;

	FAL_ASSERT(!core->is_nonvoting);
	FAL_ASSERT(core->durable_zxid == core->history.last_zxid);
	memset(lead, 0, sizeof(*lead));
	core->role = FLE_LEADING;
	core->phase = ZAB_DISCOVERY;
	core->leader = core->options.sid;
	lead->began_ms = core->now_ms;
	lead->deadline_ms = core->now_ms + zab_init_ms(core);
	lead->ping_ms = core->now_ms + (core->options.tick_ms + 1) / 2;
	lead->highest_accepted = core->accepted_epoch > core->highest_heard
					 ? core->accepted_epoch
					 : core->highest_heard;
	lead->elected_epoch = core->current_epoch;
	lead->base_zxid = core->history.last_zxid;
	lead->electors = electors_of(core);
	lead->lag_ms = core->now_ms;
	lead->lagging_ms = ZAB_NEVER;
	zab_tell_state(core, ZAB_WHY_ELECTED, out);
	zab_learners_take_over(core, out);
}

/* This server and the learners that are at `station` or further. */
static struct quorum_votes
votes_from(const struct zab_core *core, enum zab_station station,
	   bool with_self)
{
	struct quorum_votes votes = {0, 0};

	if (with_self)
		quorum_votes_add(&votes, zab_own_seat(core));
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++)
		if (core->learner[i].station >= station)
			quorum_votes_add(&votes, core->learner[i].seat);
	return votes;
}

bool
zab_lead_others_suffice(const struct zab_core *core)
{
	return core->lead.step == ZAB_LEAD_ACTIVE &&
	       quorum_pair_has(&core->pair,
			       votes_from(core, ZAB_ST_ACTIVE, false));
}

static void
next_step(struct zab_core *core, enum zab_lead_step step)
{
	FAL_ASSERT(step == core->lead.step + 1);
	core->lead.step = step;
	core->lead.deadline_ms = core->now_ms + zab_init_ms(core);
}

static void
fix_epoch(struct zab_core *core, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;

	if (!quorum_pair_has(&core->pair, votes_from(core, ZAB_ST_INFO, true)))
		return;
	if (lead->highest_accepted >= ZAB_EPOCH_MAX) {
		zab_die(core, ZAB_WHY_EPOCH_LIMIT, out);
		return;
	}
	lead->epoch = lead->highest_accepted + 1;
	FAL_ASSERT(lead->epoch > zab_epoch(lead->base_zxid));
	next_step(core, ZAB_LEAD_ACKS);
	zab_persist_accepted(core, lead->epoch, out);
	zab_learners_send_epoch(core, out);
}

void
zab_lead_accepted(struct zab_core *core, struct zab_actions *out)
{
	FAL_ASSERT(core->lead.step == ZAB_LEAD_ACKS);
	FAL_ASSERT(core->accepted_epoch == core->lead.epoch);
	quorum_votes_add(&core->lead.epoch_acks, zab_own_seat(core));
	zab_lead_advance(core, out);
}

/* The own acknowledgement of NEWLEADER, once everything it stands for is
 * durable. */
static void
acknowledge_newleader(struct zab_core *core)
{
	if (core->current_epoch == core->lead.epoch &&
	    core->config_writing == 0 &&
	    core->durable_zxid == core->history.last_zxid)
		quorum_votes_add(&core->lead.newleader_acks,
				 zab_own_seat(core));
}

static void
synchronize(struct zab_core *core, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;

	next_step(core, ZAB_LEAD_SYNC);
	zab_persist_current(core, lead->epoch, out);
	core->phase = ZAB_SYNCHRONIZATION;
	zab_acks_init(&lead->acks, lead->base_zxid);
	if (core->options.is_reconfig_enabled && !core->pair.has_next &&
	    core->pair.active.version == 0) {
		/* The first leader ever gives the static configuration a
		 * version, so that later ones are newer. */
		core->pair.next = core->pair.active;
		core->pair.next.version = zab_zxid(lead->epoch, 0);
		core->pair.has_next = 1;
		zab_persist_config(core, core->pair.next.version, out);
		lead->newleader_acks = (struct quorum_votes){0, 0};
		zab_learners_reseat(core);
	}
	if (core->pair.has_next)
		zab_acks_begin_next(&lead->acks, lead->base_zxid);
	zab_tell_state(core, ZAB_WHY_ELECTED, out);
	zab_learners_sync(core, out);
}

void
zab_lead_current(struct zab_core *core, struct zab_actions *out)
{
	FAL_ASSERT(core->lead.step == ZAB_LEAD_SYNC);
	FAL_ASSERT(core->current_epoch == core->lead.epoch);
	acknowledge_newleader(core);
	zab_lead_advance(core, out);
}

static void
establish(struct zab_core *core, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;

	/* C8: nothing is proposed before a quorum holds the history. */
	FAL_ASSERT(lead->acks.proposed_zxid == lead->base_zxid);
	lead->step = ZAB_LEAD_ACTIVE;
	lead->deadline_ms = ZAB_NEVER;
	core->phase = ZAB_BROADCAST;
	core->is_serving = true;
	fle_set_epoch(&core->fle, lead->epoch);
	fle_forgive(&core->fle);
	zab_beacon_judge(core);
	zab_publish(core, lead->base_zxid, out);
	zab_tell_state(core, ZAB_WHY_ESTABLISHED, out);
	zab_learners_activate(core, out);
	if (core->pair.has_next && !zab_reconfig_commit_lead(core, out))
		return;
	zab_syncs_answer(core, out);
}

void
zab_lead_advance(struct zab_core *core, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;

	FAL_ASSERT(core->role == FLE_LEADING);
	switch ((enum zab_lead_step)lead->step) {
	case ZAB_LEAD_EPOCHS:
		fix_epoch(core, out);
		break;
	case ZAB_LEAD_ACKS:
		if (core->accepted_epoch == lead->epoch &&
		    quorum_pair_has(&core->pair, lead->epoch_acks))
			synchronize(core, out);
		break;
	case ZAB_LEAD_SYNC:
		if (core->current_epoch == lead->epoch &&
		    quorum_pair_has(&core->pair, lead->newleader_acks))
			establish(core, out);
		break;
	case ZAB_LEAD_ACTIVE:
		break;
	}
}

/* ---------------------------------------------------------- broadcast --- */

static void
step_down(struct zab_core *core, struct zab_actions *out)
{
	const enum zab_reason why = core->lead.yield_why;

	if (core->lead.yield_pauses)
		core->abstain_until_ms =
			core->now_ms + core->options.yield_pause_ms;
	zab_look(core, why, out);
}

static bool
is_all_committed(const struct zab_core *core)
{
	return core->lead.acks.committed_zxid == core->lead.acks.proposed_zxid;
}

void
zab_lead_yield(struct zab_core *core, enum zab_reason why, bool pauses,
	       struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;

	FAL_ASSERT(lead->step == ZAB_LEAD_ACTIVE);
	if (!lead->is_yielding) {
		lead->is_yielding = true;
		lead->yield_why = (uint16_t)why;
		lead->yield_pauses = pauses;
		lead->yield_by_ms = core->now_ms + zab_sync_ms(core);
	}
	if (is_all_committed(core))
		step_down(core, out);
}

void
zab_lead_propose(struct zab_core *core, const struct zab_event *event,
		 struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	const uint32_t count = event->count > 1 ? event->count : 1;
	const int64_t first = event->zxid;
	const int64_t last = first + count - 1;

	FAL_ASSERT(first > 0);
	FAL_ASSERT(first == zab_next_zxid(core, event->config));
	FAL_ASSERT(count == 1 ||
		   (!event->config && count <= zab_proposals_max(core)));
	if (core->durable_zxid == core->history.last_zxid)
		lead->durable_moved_ms = core->now_ms; /* begins to wait */

	const int err = zab_history_append_all(&core->history, first, last);

	FAL_ASSERT(err == 0);
	zab_acks_propose(&lead->acks, last);
	if (lead->proposal_slots)
		zab_out_send(out, lead->proposal_slots, QUORUM_PROPOSAL, first,
			     last);
	if (event->config)
		zab_reconfig_begin(core, event->config, first, out);
	if (zab_counter(last) == zab_counter_max(core))
		zab_lead_yield(core, ZAB_WHY_ROLLOVER, false, out);
}

/* Tells followers and observers, and publishes. */
static void
announce(struct zab_core *core, int64_t after, int64_t last,
	 struct zab_actions *out)
{
	const struct zab_lead *lead = &core->lead;
	const int64_t first = zab_next_in_epoch(after, lead->epoch);

	if (first > last)
		return;
	if (lead->commit_slots)
		zab_out_send(out, lead->commit_slots, QUORUM_COMMIT, first,
			     last);
	if (lead->inform_slots)
		zab_out_send(out, lead->inform_slots, QUORUM_INFORM, first,
			     last);
	zab_publish(core, last, out);
}

/* The commit point has moved on from `after`. False: the role has ended. */
static bool
commit(struct zab_core *core, int64_t after, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	struct zab_acks *acks = &lead->acks;

	while (core->pair.has_next && acks->next_zxid > after &&
	       acks->next_zxid <= acks->committed_zxid) {
		const int64_t reconfig = acks->next_zxid;

		if (zab_counter(reconfig) > 1)
			announce(core, after, reconfig - 1, out);
		if (!zab_reconfig_commit_lead(core, out))
			return false;
		after = reconfig;
		/* What follows needs the new configuration only. */
		(void)zab_acks_recount(acks, &core->pair);
	}
	announce(core, after, acks->committed_zxid, out);
	if (lead->sync_runs)
		zab_syncs_answer(core, out);
	if (lead->is_yielding && is_all_committed(core)) {
		step_down(core, out);
		return false;
	}
	return true;
}

int
zab_lead_ack(struct zab_core *core, struct quorum_seat seat, int64_t zxid,
	     struct zab_actions *out)
{
	struct zab_acks *acks = &core->lead.acks;
	const int64_t after = acks->committed_zxid;
	const int moved = zab_acks_note(acks, &core->pair, seat, zxid);

	if (moved < 0)
		return moved;
	if (moved > 0)
		(void)commit(core, after, out);
	return 0;
}

/* One commit point at a time is followed until it is durable here. */
static void
note_lag(struct zab_core *core)
{
	struct zab_lead *lead = &core->lead;

	if (core->durable_zxid < lead->lag_zxid)
		return;
	if (core->now_ms - lead->lag_ms < core->options.limp_lag_ms)
		lead->lagging_ms = ZAB_NEVER;
	lead->lag_zxid = lead->acks.committed_zxid;
	lead->lag_ms = core->now_ms;
}

void
zab_lead_durable(struct zab_core *core, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	int64_t zxid = core->durable_zxid;

	if (lead->step == ZAB_LEAD_SYNC) {
		acknowledge_newleader(core);
		zab_lead_advance(core, out);
	}
	if (core->role != FLE_LEADING || lead->step != ZAB_LEAD_ACTIVE)
		return;
	lead->durable_moved_ms = core->now_ms;
	note_lag(core);
	/* Its own acknowledgement of a reconfiguration waits for the file. */
	if (core->config_writing != 0 && zxid >= core->config_writing) {
		if (zab_counter(core->config_writing) <= 1)
			return;
		zxid = core->config_writing - 1;
	}
	if (zxid <= lead->base_zxid)
		return;

	const int err = zab_lead_ack(core, zab_own_seat(core), zxid, out);

	FAL_ASSERT(err == 0);
}

/* ------------------------------------------------------------- timers --- */

void
zab_lead_heard_looking(struct zab_core *core, int64_t sid, int64_t round,
		       int64_t leader, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	const struct quorum_seat seat = quorum_pair_seat(&core->pair, sid);
	const struct fle_vote *vote = &core->fle.proposal;

	if (lead->step != ZAB_LEAD_EPOCHS ||
	    core->options.epoch_wait_ms == UINT32_MAX)
		return;
	if (seat.active == QUORUM_NO_SEAT ||
	    !(lead->electors.active & 1u << seat.active))
		return;
	if (round < vote->round ||
	    (round == vote->round && leader == vote->leader))
		return;
	lead->is_disloyal = true;
	if (core->now_ms - lead->began_ms >= core->options.epoch_wait_ms)
		zab_look(core, ZAB_WHY_DISLOYAL, out);
}

/* Does the own disk hold up what others could do faster? */
static bool
disk_limps(struct zab_core *core)
{
	struct zab_lead *lead = &core->lead;
	const struct zab_core_options *options = &core->options;
	const uint64_t now = core->now_ms;

	if (core->durable_zxid < core->history.last_zxid &&
	    options->limp_still_ms &&
	    now - lead->durable_moved_ms >= options->limp_still_ms)
		return true;
	if (options->limp_lag_ms == 0 || options->limp_for_ms == 0)
		return false;
	if (core->durable_zxid < lead->lag_zxid &&
	    now - lead->lag_ms >= options->limp_lag_ms &&
	    lead->lagging_ms == ZAB_NEVER)
		lead->lagging_ms = now;
	return lead->lagging_ms != ZAB_NEVER &&
	       now - lead->lagging_ms >= options->limp_for_ms;
}

/* This server and those that are heard: silence is looked for on the way. */
static struct quorum_votes
votes_heard(struct zab_core *core)
{
	struct quorum_votes votes = {0, 0};

	quorum_votes_add(&votes, zab_own_seat(core));
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		struct zab_learner *learner = &core->learner[i];

		if (learner->station >= ZAB_ST_INFO &&
		    !zab_beacon_is_lost(core, &learner->beacon))
			quorum_votes_add(&votes, learner->seat);
	}
	return votes;
}

/* Is this server still followed by a quorum? False: the role has ended. */
static bool
check_quorum(struct zab_core *core, struct zab_actions *out)
{
	if (quorum_pair_has(&core->pair, votes_heard(core)))
		return true;
	/* By ticks alone it would still be? Then it was impatient. */
	zab_look(core,
		 quorum_pair_has(&core->pair,
				 votes_from(core, ZAB_ST_INFO, true))
			 ? ZAB_WHY_BEACONS_LOST
			 : ZAB_WHY_QUORUM_LOST,
		 out);
	return false;
}

static void
check_reign(struct zab_core *core, struct zab_actions *out)
{
	/* What is outstanding may wait for the very server that cannot follow
	 * in this epoch. The next leader brings it to an end. */
	if (core->lead.is_yielding && core->now_ms >= core->lead.yield_by_ms) {
		step_down(core, out);
		return;
	}
	if (disk_limps(core) && zab_lead_others_suffice(core)) {
		zab_lead_yield(core, ZAB_WHY_DISK_LIMPS, true, out);
		return;
	}
	if (zab_counter(core->lead.acks.proposed_zxid) >=
		    zab_counter_max(core) -
			    zab_counter_max(core) / ROLL_SHARE &&
	    zab_epoch(core->lead.acks.proposed_zxid) == core->lead.epoch &&
	    is_all_committed(core))
		zab_lead_yield(core, ZAB_WHY_ROLLOVER, false, out);
}

static bool
has_missed_deadline(struct zab_core *core, struct zab_actions *out)
{
	static const enum zab_reason why[] = {
		[ZAB_LEAD_EPOCHS] = ZAB_WHY_NO_EPOCH_QUORUM,
		[ZAB_LEAD_ACKS] = ZAB_WHY_NO_ACK_QUORUM,
		[ZAB_LEAD_SYNC] = ZAB_WHY_NO_SYNC_QUORUM,
	};
	const struct zab_lead *lead = &core->lead;

	if (lead->step == ZAB_LEAD_ACTIVE || core->now_ms < lead->deadline_ms)
		return false;
	zab_look(core, why[lead->step], out);
	return true;
}

static void
on_half_tick(struct zab_core *core, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;

	lead->ping_ms = core->now_ms + (core->options.tick_ms + 1) / 2;
	lead->beacon_at_ms = core->now_ms + core->options.beacon_ms;
	zab_learners_check(core, out);
	if (lead->step != ZAB_LEAD_ACTIVE) {
		zab_learners_ping(core, lead->beacon_slots, out);
		return;
	}
	if (!check_quorum(core, out))
		return;
	check_reign(core, out);
	if (core->role == FLE_LEADING)
		zab_learners_ping(core, UINT64_MAX, out);
}

void
zab_lead_tick(struct zab_core *core, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;

	if (has_missed_deadline(core, out))
		return;
	if (lead->is_disloyal && lead->step == ZAB_LEAD_EPOCHS &&
	    core->now_ms - lead->began_ms >= core->options.epoch_wait_ms) {
		zab_look(core, ZAB_WHY_DISLOYAL, out);
		return;
	}
	if (core->now_ms >= lead->ping_ms) {
		on_half_tick(core, out);
	} else if (lead->has_beacons && core->now_ms >= lead->beacon_at_ms) {
		lead->beacon_at_ms = core->now_ms + core->options.beacon_ms;
		if (lead->step != ZAB_LEAD_ACTIVE || check_quorum(core, out))
			zab_learners_ping(core, lead->beacon_slots, out);
	}
}

uint64_t
zab_lead_wake_ms(const struct zab_core *core)
{
	const struct zab_lead *lead = &core->lead;
	uint64_t wake = lead->ping_ms;

	if (lead->deadline_ms < wake)
		wake = lead->deadline_ms;
	if (lead->has_beacons && lead->beacon_at_ms < wake)
		wake = lead->beacon_at_ms;
	if (lead->is_disloyal && lead->step == ZAB_LEAD_EPOCHS) {
		const uint64_t end =
			lead->began_ms + core->options.epoch_wait_ms;

		if (end < wake)
			wake = end;
	}
	return wake;
}
