/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab - dispatch of events and what all roles share: start, the way back to an
 * election, promises on their way to the disk.
 *
 * Between two roles a server settles: whatever the old role asked of the disk
 * must be answered and the log must be durable to its end before the next vote
 * is cast, so a vote never names what a crash could take away, and no answer
 * meant for the old role reaches the new one.
 */
#include "consensus/zab.h"

#include "consensus/zab_core.h"

size_t
zab_core_bytes(void)
{
	return sizeof(struct zab_core);
}

int
zab_init(struct zab_core *core, const struct zab_core_options *options)
{
	if (options->sid < 0 || options->tick_ms == 0 ||
	    options->init_limit == 0 || options->sync_limit == 0 ||
	    options->notify_min_ms == 0 ||
	    options->notify_max_ms < options->notify_min_ms ||
	    options->dial_tries == 0 || options->outstanding_max == 0 ||
	    options->outstanding_max > 1u << 20 ||
	    options->counter_max > ZAB_COUNTER_MAX ||
	    options->beacon_lost_ms / 3 < options->beacon_ms)
		return FAL_EINVAL;
	memset(core, 0, sizeof(*core));
	core->options = *options;
	core->leader = ZAB_NO_SID;
	core->appointed = ZAB_NO_SID;
	core->beacon_blamed = ZAB_NO_SID;
	fle_init(&core->fle, &(struct fle_options){
				     .sid = options->sid,
				     .finalize_ms = options->finalize_ms,
				     .notify_min_ms = options->notify_min_ms,
				     .notify_max_ms = options->notify_max_ms});
	return 0;
}

void
zab_tell_state(struct zab_core *core, enum zab_reason why,
	       struct zab_actions *out)
{
	struct zab_action *action = zab_out(out, ZAB_DO_STATE);

	action->role = core->role;
	action->phase = core->phase;
	action->is_serving = core->is_serving;
	action->sid = core->leader;
	action->why = (uint16_t)why;
	if (core->role == FLE_LEADING)
		action->epoch = core->lead.epoch;
	else if (core->role != FLE_LOOKING)
		action->epoch = core->follow.epoch;
}

void
zab_die(struct zab_core *core, enum zab_reason why, struct zab_actions *out)
{
	core->is_dead = true;
	core->is_serving = false;
	zab_out(out, ZAB_DO_FATAL)->why = (uint16_t)why;
}

void
zab_persist_accepted(struct zab_core *core, int64_t epoch,
		     struct zab_actions *out)
{
	FAL_ASSERT(epoch > core->accepted_epoch);
	FAL_ASSERT(core->accepted_writing == 0);
	core->accepted_writing = epoch;
	zab_out(out, ZAB_DO_PERSIST_ACCEPTED)->epoch = epoch;
}

void
zab_persist_current(struct zab_core *core, int64_t epoch,
		    struct zab_actions *out)
{
	FAL_ASSERT(epoch > core->current_epoch);
	FAL_ASSERT(epoch <= core->accepted_epoch);
	FAL_ASSERT(core->durable_zxid == core->history.last_zxid);
	FAL_ASSERT(core->current_writing == 0);
	core->current_writing = epoch;
	zab_out(out, ZAB_DO_PERSIST_CURRENT)->epoch = epoch;
}

void
zab_persist_config(struct zab_core *core, int64_t version,
		   struct zab_actions *out)
{
	core->config_writing = version;
	zab_out_zxid(out, ZAB_DO_PERSIST_CONFIG, version);
}

void
zab_publish(struct zab_core *core, int64_t zxid, struct zab_actions *out)
{
	FAL_ASSERT(zxid <= core->history.last_zxid);
	if (zxid <= core->committed_zxid)
		return;
	core->committed_zxid = zxid;
	zab_out_zxid(out, ZAB_DO_COMMIT, zxid);
}

int64_t
zab_next_in_epoch(int64_t zxid, int64_t epoch)
{
	FAL_ASSERT(zab_epoch(zxid) <= epoch);
	return zab_epoch(zxid) == epoch ? zxid + 1 : zab_zxid(epoch, 1);
}

static void
conclude(struct zab_core *core, struct zab_actions *out)
{
	const int64_t leader = core->fle.proposal.leader;

	FAL_ASSERT(core->role == FLE_LOOKING);
	core->appointed = ZAB_NO_SID;
	zab_out(out, ZAB_DO_FORGET_FLE);
	if (leader == core->options.sid)
		zab_lead_begin(core, out);
	else
		zab_follow_begin(core, leader, out);
}

static bool
must_be_silent(const struct zab_core *core)
{
	return core->is_nonvoting || core->now_ms < core->abstain_until_ms;
}

static void
elect(struct zab_core *core, struct zab_actions *out)
{
	if (fle_start(&core->fle, &core->pair, core->history.last_zxid,
		      core->current_epoch, must_be_silent(core), core->now_ms,
		      out))
		conclude(core, out);
}

/* Is the disk at rest, and does it hold all that memory holds? */
static bool
is_settled(const struct zab_core *core)
{
	return core->busy == ZAB_IDLE && core->accepted_writing == 0 &&
	       core->current_writing == 0 && core->config_writing == 0 &&
	       core->durable_zxid == core->history.last_zxid;
}

/* An observer that kept no log votes from now on, or is counted by a leader of
 * which it does not know yet that it may; it names only what a crash leaves. */
static void
keep_log(struct zab_core *core, struct zab_actions *out)
{
	core->is_volatile = false;
	core->must_keep_log = false;
	core->current_epoch = core->kept_epoch;
	core->busy = ZAB_RELOADING;
	zab_out(out, ZAB_DO_KEEP_LOG);
	zab_out(out, ZAB_DO_RELOAD);
}

static void
settle(struct zab_core *core, struct zab_actions *out)
{
	if (core->role != FLE_LOOKING || core->fle.is_running ||
	    !is_settled(core))
		return;
	if (core->is_volatile &&
	    (core->must_keep_log || !zab_is_observer(core))) {
		keep_log(core, out);
		return;
	}
	FAL_ASSERT(core->current_epoch <= core->accepted_epoch);
	if (core->appointed == ZAB_NO_SID || must_be_silent(core)) {
		elect(core, out);
		return;
	}
	fle_appoint(&core->fle, core->appointed);
	conclude(core, out);
}

/* It is silent: the election need not wait for its vote, and if it leads again
 * it was not that silent. */
static void
miss_leader(struct zab_core *core)
{
	zab_beacon_blame(core);
	if (core->leader == core->options.sid)
		return;
	const bool is_over =
		fle_link(&core->fle, &core->pair, core->leader, false);

	FAL_ASSERT(!is_over); /* None is running. */
}

/* Who was elected in vain should not be elected again at once. */
static void
shun_failed(struct zab_core *core, enum zab_reason why)
{
	const bool is_own =
		core->role == FLE_LEADING &&
		(why == ZAB_WHY_NO_EPOCH_QUORUM ||
		 why == ZAB_WHY_NO_ACK_QUORUM || why == ZAB_WHY_NO_SYNC_QUORUM);
	const bool is_other =
		core->role == FLE_FOLLOWING && !core->is_serving &&
		(why == ZAB_WHY_DIAL_LIMIT || why == ZAB_WHY_PEER_SILENT);

	if (is_own || is_other)
		fle_shun(&core->fle, core->leader, core->now_ms);
}

void
zab_look(struct zab_core *core, enum zab_reason why, struct zab_actions *out)
{
	if (core->role != FLE_LOOKING)
		zab_learners_close_all(
			core,
			core->role == FLE_LEADING ? why : ZAB_WHY_NO_MASTER,
			out);
	if (core->role != FLE_LEADING && core->role != FLE_LOOKING &&
	    core->follow.step >= ZAB_FOLLOW_DIALING)
		zab_out_close(out, ZAB_LEADER_BIT, why);
	if (core->role != FLE_LOOKING && core->role != FLE_LEADING &&
	    zab_follow_has_held(core))
		zab_out(out, ZAB_DO_DROP_HELD);
	if (core->busy == ZAB_INSTALLING) {
		zab_out(out, ZAB_DO_RELOAD);
		core->busy = ZAB_RELOADING;
	}
	if (core->role != FLE_LOOKING)
		fle_prolong(&core->fle,
			    core->role == FLE_LEADING ? core->lead.began_ms
						      : core->follow.began_ms,
			    core->now_ms);
	if (why == ZAB_WHY_BEACONS_LOST)
		miss_leader(core);
	else
		shun_failed(core, why);
	memset(&core->lead, 0, sizeof(core->lead));
	memset(&core->follow, 0, sizeof(core->follow));
	core->role = FLE_LOOKING;
	core->phase = ZAB_ELECTION;
	core->is_serving = false;
	core->leader = ZAB_NO_SID;
	zab_reconfig_drop_lost(core, out);
	zab_tell_state(core, why, out);
	settle(core, out);
}

void
zab_reload(struct zab_core *core, enum zab_reason why, struct zab_actions *out)
{
	FAL_ASSERT(core->busy != ZAB_RELOADING);
	core->busy = ZAB_RELOADING;
	if (core->role != FLE_LOOKING)
		zab_look(core, why, out);
	fle_stop(&core->fle);
	zab_out(out, ZAB_DO_RELOAD);
}

/* ------------------------------------------------------------- events --- */

static void
take_history(struct zab_core *core, const struct zab_disk_state *disk)
{
	FAL_ASSERT(zab_history_is_sound(disk->history));
	core->history = *disk->history;
	core->durable_zxid = core->history.last_zxid;
	/* What was in memory only comes back from a leader. */
	if (core->has_volatile &&
	    core->committed_zxid > core->history.last_zxid)
		core->committed_zxid = core->history.last_zxid;
	core->has_volatile = false;
	if (disk->committed_zxid > core->committed_zxid)
		core->committed_zxid = disk->committed_zxid;
	FAL_ASSERT(core->committed_zxid <= core->history.last_zxid);
}

/* The log or the snapshot holds this configuration. */
static void
take_next(struct zab_core *core, const struct quorum *next)
{
	struct quorum_pair *pair = &core->pair;

	if (!next || next->version <= pair->active.version ||
	    (pair->has_next && next->version <= pair->next.version))
		return;
	pair->next = *next;
	pair->has_next = 1;
}

static void
on_start(struct zab_core *core, const struct zab_event *event,
	 struct zab_actions *out)
{
	const struct zab_disk_state *disk = event->disk;

	FAL_ASSERT(!core->is_started);
	FAL_ASSERT(disk->current_epoch <= disk->accepted_epoch);
	FAL_ASSERT(disk->active->voters != 0);
	core->is_started = true;
	core->accepted_epoch = disk->accepted_epoch;
	core->current_epoch = disk->current_epoch;
	core->kept_epoch = disk->current_epoch;
	core->is_volatile = core->options.is_log_volatile;
	core->is_nonvoting = disk->is_nonvoting;
	take_history(core, disk);
	/* A crash between the synchronized history and currentEpoch leaves a
	 * log of a higher epoch, but never of one that was not accepted. */
	FAL_ASSERT(zab_epoch(core->history.last_zxid) <= core->accepted_epoch ||
		   core->is_nonvoting);
	core->pair.active = *disk->active;
	take_next(core, disk->next);
	zab_look(core, ZAB_WHY_STARTED, out);
}

static void
on_tick(struct zab_core *core, struct zab_actions *out)
{
	if (core->role == FLE_LEADING) {
		zab_lead_tick(core, out);
		return;
	}
	if (core->role != FLE_LOOKING) {
		zab_follow_tick(core, out);
		return;
	}
	zab_learners_expire(core, out);
	if (core->fle.is_running && core->fle.is_silent &&
	    !must_be_silent(core)) {
		fle_stop(&core->fle);
		elect(core, out);
	} else if (fle_tick(&core->fle, &core->pair, core->now_ms, out)) {
		conclude(core, out);
	}
}

static void
on_fle(struct zab_core *core, const struct zab_event *event,
       struct zab_actions *out)
{
	const struct zab_notification *said = &event->notification;

	if (event->config && core->role == FLE_LOOKING &&
	    zab_reconfig_adopt(core, event->config, out) &&
	    core->fle.is_running) {
		fle_stop(&core->fle);
		settle(core, out);
		if (core->role != FLE_LOOKING)
			return;
	}
	if (fle_note(&core->fle, &core->pair, core->role, event->sid, said,
		     core->now_ms, out))
		conclude(core, out);
	else if (core->role == FLE_LEADING && said->state == FLE_LOOKING)
		zab_lead_heard_looking(core, event->sid, said->round,
				       said->leader, out);
	else if (core->role == FLE_FOLLOWING && said->state == FLE_LOOKING &&
		 event->sid == core->leader &&
		 said->round > core->fle.proposal.round &&
		 core->follow.step <= ZAB_FOLLOW_INFO)
		zab_look(core, ZAB_WHY_LEADER_LOOKS, out);
}

static void
on_conn(struct zab_core *core, const struct zab_event *event, bool is_up,
	struct zab_actions *out)
{
	const bool is_learner =
		core->role == FLE_FOLLOWING || core->role == FLE_OBSERVING;

	if (event->slot == ZAB_LEADER_SLOT) {
		if (is_learner && is_up)
			zab_follow_up(core, out);
		else if (is_learner)
			zab_follow_down(core, out);
		else if (is_up)
			zab_out_close(out, ZAB_LEADER_BIT, ZAB_WHY_NOT_LEADING);
		return;
	}
	FAL_ASSERT(event->slot < ZAB_CONNS_MAX);
	/* Who is LOOKING may lead in a moment: early learners wait. */
	if (!is_up)
		zab_learner_drop(core, event->slot);
	else if (event->is_master)
		zab_master_up(core, event->slot, out);
	else if (is_learner)
		zab_out_close(out, zab_slot_bit(event->slot),
			      ZAB_WHY_NOT_LEADING);
	else
		zab_learner_up(core, event->slot);
}

static void
on_packet(struct zab_core *core, const struct zab_event *event,
	  struct zab_actions *out)
{
	if (event->slot == ZAB_LEADER_SLOT) {
		if (core->role == FLE_FOLLOWING || core->role == FLE_OBSERVING)
			zab_follow_packet(core, event, out);
		return;
	}
	FAL_ASSERT(event->slot < ZAB_CONNS_MAX);
	if (core->role == FLE_LEADING || core->role == FLE_LOOKING)
		zab_learner_packet(core, event, out);
	else
		zab_master_packet(core, event, out);
}

static void
on_heard(struct zab_core *core, uint32_t slot, bool has_come)
{
	const bool is_leader = slot == ZAB_LEADER_SLOT;

	FAL_ASSERT(is_leader || slot < ZAB_CONNS_MAX);
	if (!has_come)
		zab_beacon_heard(core, is_leader ? &core->follow.beacon
						 : &core->learner[slot].beacon);
	else if (is_leader)
		zab_follow_heard(core);
	else
		zab_learner_heard(core, slot);
}

static void
on_log_durable(struct zab_core *core, const struct zab_event *event,
	       struct zab_actions *out)
{
	/* What becomes of the log meanwhile is told by the answer. */
	if (core->busy != ZAB_IDLE || event->zxid <= core->durable_zxid)
		return;
	FAL_ASSERT(event->zxid <= core->history.last_zxid);
	core->durable_zxid = event->zxid;
	if (core->role == FLE_LEADING)
		zab_lead_durable(core, out);
	else if (core->role == FLE_LOOKING)
		settle(core, out);
	else if (core->follow.step != ZAB_FOLLOW_ACTIVE)
		zab_follow_flush(core, out);
	else {
		zab_apply_acks(core, out);
		if (core->used_slots)
			zab_master_durable(core, out);
	}
}

static void
on_epoch_durable(struct zab_core *core, const struct zab_event *event,
		 struct zab_actions *out)
{
	if (event->is_current) {
		FAL_ASSERT(event->epoch == core->current_writing);
		core->current_epoch = event->epoch;
		core->kept_epoch = event->epoch;
		core->current_writing = 0;
		if (core->role == FLE_LEADING)
			zab_lead_current(core, out);
		else if (core->role != FLE_LOOKING)
			zab_follow_current(core, out);
	} else {
		FAL_ASSERT(event->epoch == core->accepted_writing);
		core->accepted_epoch = event->epoch;
		core->accepted_writing = 0;
		if (core->role == FLE_LEADING)
			zab_lead_accepted(core, out);
		else if (core->role != FLE_LOOKING)
			zab_follow_accepted(core, out);
	}
	FAL_ASSERT(core->current_epoch <= core->accepted_epoch);
	settle(core, out);
}

static void
on_config_durable(struct zab_core *core, const struct zab_event *event,
		  struct zab_actions *out)
{
	if (event->zxid != core->config_writing)
		return; /* A newer one is on its way. */
	core->config_writing = 0;
	if (core->role == FLE_LEADING)
		zab_lead_durable(core, out);
	else if (core->role == FLE_LOOKING)
		settle(core, out);
	else if (core->follow.step == ZAB_FOLLOW_ACTIVE)
		zab_apply_acks(core, out);
	else
		zab_follow_flush(core, out);
}

/* The disk did what TRUNCATE, INSTALL_SNAPSHOT or RELOAD asked for. */
static void
on_history(struct zab_core *core, const struct zab_event *event,
	   struct zab_actions *out)
{
	switch (event->type) {
	case ZAB_EV_TRUNCATED:
		FAL_ASSERT(core->busy == ZAB_TRUNCATING);
		FAL_ASSERT(event->zxid == core->busy_zxid);
		zab_history_cut(&core->history, event->zxid);
		core->durable_zxid = event->zxid;
		break;
	case ZAB_EV_SNAP_INSTALLED:
		/* It may cross our RELOAD, which then tells what there is. */
		if (core->busy != ZAB_INSTALLING)
			return;
		zab_history_init(&core->history, event->zxid);
		core->durable_zxid = event->zxid;
		core->has_volatile = false;
		core->snapshot_epoch = 0;
		zab_reconfig_note_snapshot(core, event->config, out);
		take_next(core, event->config);
		break;
	default:
		FAL_ASSERT(core->busy == ZAB_RELOADING);
		take_history(core, event->disk);
		take_next(core, event->disk->next);
		break;
	}
	core->busy = ZAB_IDLE;
	core->busy_zxid = 0;
	zab_follow_heard(core); /* nothing was read */
	FAL_ASSERT(core->committed_zxid <= core->history.last_zxid);
	zab_reconfig_drop_lost(core, out);
	settle(core, out);
}

/* Nothing of this role may be acknowledged any more; a leader's snapshot
 * replaces all of it, as after a loss. */
static void
on_diverged(struct zab_core *core, struct zab_actions *out)
{
	FAL_ASSERT(core->role != FLE_LEADING);
	core->is_nonvoting = true;
	/* What is committed beyond the disk comes back with the snapshot. */
	if (core->committed_zxid > core->durable_zxid)
		core->committed_zxid = core->durable_zxid;
	if (core->busy != ZAB_RELOADING)
		zab_reload(core, ZAB_WHY_DIVERGED, out);
}

static void
on_may_vote(struct zab_core *core, struct zab_actions *out)
{
	if (!core->is_nonvoting || core->role != FLE_LOOKING)
		return;
	core->is_nonvoting = false;
	if (core->fle.is_running) {
		fle_stop(&core->fle);
		elect(core, out);
	}
}

static void
on_sync(struct zab_core *core, uint32_t slot, struct zab_actions *out)
{
	if (core->role == FLE_LEADING)
		zab_sync_request(core, slot, out);
}

static void
on_yield(struct zab_core *core, struct zab_actions *out)
{
	if (core->role == FLE_LEADING && zab_lead_others_suffice(core))
		zab_lead_yield(core, ZAB_WHY_YIELDED, true, out);
}

static void
dispatch(struct zab_core *core, const struct zab_event *event,
	 struct zab_actions *out)
{
	switch ((enum zab_event_type)event->type) {
	case ZAB_EV_START:
		on_start(core, event, out);
		break;
	case ZAB_EV_TICK:
		on_tick(core, out);
		break;
	case ZAB_EV_FLE:
		on_fle(core, event, out);
		break;
	case ZAB_EV_FLE_LINK:
		if (fle_link(&core->fle, &core->pair, event->sid, event->is_up))
			conclude(core, out);
		break;
	case ZAB_EV_CONN_UP:
	case ZAB_EV_CONN_DOWN:
		on_conn(core, event, event->type == ZAB_EV_CONN_UP, out);
		break;
	case ZAB_EV_PACKET:
		on_packet(core, event, out);
		break;
	case ZAB_EV_HEARD:
		on_heard(core, event->slot, event->is_up);
		break;
	case ZAB_EV_BUSY:
		zab_beacon_busy(core, event->busy_ms, out);
		break;
	case ZAB_EV_PROPOSE:
		zab_lead_propose(core, event, out);
		break;
	case ZAB_EV_SYNC:
		on_sync(core, event->slot, out);
		break;
	case ZAB_EV_LOG_DURABLE:
		on_log_durable(core, event, out);
		break;
	case ZAB_EV_EPOCH_DURABLE:
		on_epoch_durable(core, event, out);
		break;
	case ZAB_EV_CONFIG_DURABLE:
		on_config_durable(core, event, out);
		break;
	case ZAB_EV_TRUNCATED:
	case ZAB_EV_SNAP_INSTALLED:
	case ZAB_EV_RELOADED:
		on_history(core, event, out);
		break;
	case ZAB_EV_DIVERGED:
		on_diverged(core, out);
		break;
	case ZAB_EV_LOG_FLOOR:
		zab_history_raise_floor(&core->history, event->zxid);
		break;
	case ZAB_EV_LOG_FAILED:
		zab_die(core, ZAB_WHY_LOG_FAILED, out);
		break;
	case ZAB_EV_MAY_VOTE:
		on_may_vote(core, out);
		break;
	case ZAB_EV_YIELD:
		on_yield(core, out);
		break;
	case ZAB_EV_COUNT:
		FAL_ASSERT(event->type != ZAB_EV_COUNT);
	}
}

void
zab_step(struct zab_core *core, const struct zab_event *event,
	 struct zab_actions *actions)
{
	actions->count = 0;
	FAL_ASSERT(core->is_started || event->type == ZAB_EV_START);
	FAL_ASSERT(event->now_ms >= core->now_ms);
	if (event->now_ms - core->now_ms > core->options.beacon_ms)
		zab_beacon_note_absence(core, event->now_ms);
	core->now_ms = event->now_ms;
	if (core->is_dead)
		return;
	dispatch(core, event, actions);
	FAL_ASSERT(core->durable_zxid <= core->history.last_zxid);
	FAL_ASSERT(core->committed_zxid <= core->history.last_zxid);
	FAL_ASSERT_SLOW(zab_history_is_sound(&core->history));
}

/* -------------------------------------------------------------- looks --- */

uint64_t
zab_wake_ms(const struct zab_core *core)
{
	uint64_t wake;

	if (core->is_dead)
		return ZAB_NEVER;
	if (core->role == FLE_LEADING)
		return zab_lead_wake_ms(core);
	if (core->role != FLE_LOOKING)
		return zab_follow_wake_ms(core);
	wake = fle_wake_ms(&core->fle);
	if (zab_learners_expire_ms(core) < wake)
		wake = zab_learners_expire_ms(core);
	if (core->fle.is_running && core->fle.is_silent &&
	    !core->is_nonvoting && core->abstain_until_ms < wake)
		wake = core->abstain_until_ms;
	return wake;
}

/* Of the transactions that are not committed. */
static int64_t
outstanding(const struct zab_core *core)
{
	const struct zab_lead *lead = &core->lead;

	return zab_next_in_epoch(lead->acks.proposed_zxid, lead->epoch) -
	       zab_next_in_epoch(lead->acks.committed_zxid, lead->epoch);
}

uint32_t
zab_proposals_max(const struct zab_core *core)
{
	const int64_t zxid = zab_next_zxid(core, NULL);

	if (zxid == 0)
		return 0;

	const int64_t room =
		(int64_t)core->options.outstanding_max - outstanding(core);
	const int64_t left = zab_counter_max(core) - zab_counter(zxid) + 1;

	return (uint32_t)(room < left ? room : left);
}

int64_t
zab_next_zxid(const struct zab_core *core, const struct quorum *config)
{
	const struct zab_lead *lead = &core->lead;

	if (core->is_dead || core->role != FLE_LEADING ||
	    lead->step != ZAB_LEAD_ACTIVE || lead->is_yielding ||
	    outstanding(core) >= (int64_t)core->options.outstanding_max)
		return 0;

	const int64_t zxid =
		zab_next_in_epoch(lead->acks.proposed_zxid, lead->epoch);

	if (config && !zab_reconfig_is_possible(core, config))
		return 0;
	FAL_ASSERT(zab_counter(zxid) <= zab_counter_max(core));
	return zxid;
}

void
zab_view(const struct zab_core *core, struct zab_view *out)
{
	memset(out, 0, sizeof(*out));
	out->sid = core->options.sid;
	out->role = core->role;
	out->phase = core->phase;
	out->is_serving = core->is_serving;
	out->is_nonvoting = core->is_nonvoting;
	out->is_dead = core->is_dead;
	out->leader = core->leader;
	out->accepted_epoch = core->accepted_epoch;
	out->current_epoch = core->current_epoch;
	out->last_zxid = core->history.last_zxid;
	out->durable_zxid = core->durable_zxid;
	out->committed_zxid = core->committed_zxid;
	out->round = core->fle.round;
	out->master = ZAB_NO_SID;
	out->config_version = core->pair.active.version;
	out->next_config_version =
		core->pair.has_next ? core->pair.next.version : -1;
	if (core->role == FLE_LEADING) {
		out->epoch = core->lead.epoch;
		out->is_yielding = core->lead.is_yielding;
		out->proposed_zxid = core->lead.acks.proposed_zxid;
	} else if (core->role != FLE_LOOKING) {
		out->epoch = core->follow.epoch;
		out->master = core->follow.master;
		if (zab_follow_has_held(core))
			out->held_count = (uint32_t)(core->follow.held_last -
						     core->follow.held_first) +
					  1;
	}
	if (core->role == FLE_LOOKING)
		return;
	out->learners = core->used_slots;
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++)
		if (core->learner[i].station == ZAB_ST_ACTIVE)
			out->synced |= zab_slot_bit(i);
}

int64_t
zab_learner_sid(const struct zab_core *core, uint32_t slot)
{
	if (slot >= ZAB_CONNS_MAX || core->learner[slot].station < ZAB_ST_INFO)
		return ZAB_NO_SID;
	return core->learner[slot].sid;
}

const struct quorum *
zab_config(const struct zab_core *core)
{
	return &core->pair.active;
}

const struct quorum *
zab_next_config(const struct zab_core *core)
{
	return core->pair.has_next ? &core->pair.next : NULL;
}
