/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_apply - transactions at a learner.
 *
 * Before UPTODATE a PROPOSAL is held until its COMMIT; then it is history and
 * goes to the log. What is proposed only may not be logged yet: its epoch is
 * not the currentEpoch, which is written after the history and before the
 * acknowledgement of NEWLEADER. Between NEWLEADER and UPTODATE even commits are
 * only remembered, for the history that NEWLEADER closed is being flushed.
 *
 * After UPTODATE a PROPOSAL is logged at once, acknowledged when durable, and
 * published by its COMMIT, which must name the oldest one.
 *
 * What comes a second time is tolerated (a snapshot may be newer than the
 * transactions that are sent after it); a gap never is.
 */
#include "consensus/zab_core.h"

static void
break_off(struct zab_core *core, struct zab_actions *out)
{
	zab_look(core, ZAB_WHY_PEER_PROTOCOL, out);
}

/* The transaction after `zxid` in the log; 0: it is the last one. */
static int64_t
next_logged(const struct zab_core *core, int64_t zxid)
{
	const struct zab_history *history = &core->history;

	if (zxid == history->last_zxid)
		return 0;
	for (uint32_t i = history->row_count; i-- > 0;) {
		const struct zab_row *row = &history->row[i];

		if (row->first_zxid <= zxid && zxid < row->last_zxid)
			return zxid + 1;
		if (row->first_zxid > zxid &&
		    (i == 0 || history->row[i - 1].last_zxid <= zxid))
			return row->first_zxid;
	}
	return 0;
}

/* Has the log, or the snapshot below it, this transaction already? */
static bool
is_known(const struct zab_core *core, int64_t zxid)
{
	return zxid <= core->history.floor_zxid ||
	       zab_history_has(&core->history, zxid);
}

static void
append(struct zab_core *core, int64_t first, int64_t last,
       struct zab_actions *out)
{
	struct zab_action *action = zab_out(out, ZAB_DO_APPEND);

	action->zxid = first;
	action->zxid_last = last;
	core->has_volatile = core->is_volatile;
	for (int64_t zxid = first; zxid <= last; zxid++) {
		const int err = zab_history_append(&core->history, zxid);

		FAL_ASSERT(err == 0);
	}
}

/* Holds what was sent now. False: there is no room, the role has ended. */
static bool
hold(struct zab_core *core, int64_t zxid, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;

	if (!zab_follow_has_held(core))
		follow->held_first = zxid;
	follow->held_last = zxid;
	if (zxid - follow->held_first >=
	    (int64_t)core->options.outstanding_max) {
		zab_look(core, ZAB_WHY_HELD_LIMIT, out);
		return false;
	}
	zab_out_zxid(out, ZAB_DO_HOLD, zxid);
	return true;
}

static int64_t
tail_of(const struct zab_core *core)
{
	return zab_follow_has_held(core) ? core->follow.held_last
					 : core->history.last_zxid;
}

/* May this transaction come next? What is held is of one epoch, and behind
 * NEWLEADER there is only the leader's own. */
static bool
is_next(const struct zab_core *core, const struct zab_event *event)
{
	const int64_t tail = tail_of(core);

	if (zab_epoch(event->zxid) > core->follow.epoch ||
	    !zab_follows(tail, event->zxid))
		return false;
	if (zab_follow_has_held(core) &&
	    zab_epoch(tail) != zab_epoch(event->zxid))
		return false;
	if (core->follow.step > ZAB_FOLLOW_SYNC &&
	    zab_epoch(event->zxid) != core->follow.epoch)
		return false;
	return !event->config || event->config->version == event->zxid;
}

static void
acknowledge_again(struct zab_core *core, int64_t zxid, struct zab_actions *out)
{
	if (core->role == FLE_FOLLOWING && zxid <= core->follow.acked_zxid &&
	    zab_epoch(zxid) == core->follow.epoch)
		zab_out_send(out, ZAB_LEADER_BIT, QUORUM_ACK, zxid, zxid);
}

static void
on_proposal(struct zab_core *core, const struct zab_event *event,
	    struct zab_actions *out)
{
	const int64_t zxid = event->zxid;
	const bool is_active = core->follow.step == ZAB_FOLLOW_ACTIVE;

	if (zxid <= tail_of(core)) {
		if (zxid <= core->history.last_zxid && !is_known(core, zxid))
			break_off(core, out);
		else if (is_active)
			acknowledge_again(core, zxid, out);
		return;
	}
	if (!is_next(core, event)) {
		break_off(core, out);
		return;
	}
	if (is_active)
		append(core, zxid, zxid, out);
	else if (!hold(core, zxid, out))
		return;
	if (event->config)
		zab_reconfig_begin(core, event->config, zxid, out);
}

/* A commit before UPTODATE. False: the role has ended. */
static bool
commit_held(struct zab_core *core, int64_t zxid, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;

	if (zxid <= core->history.last_zxid && is_known(core, zxid))
		return true;
	if (zab_follow_has_held(core) && follow->step == ZAB_FOLLOW_SYNC &&
	    zxid == follow->held_first) {
		append(core, zxid, zxid, out);
		follow->held_first++;
		return true;
	}
	if (zab_follow_has_held(core) && follow->step > ZAB_FOLLOW_SYNC &&
	    zxid <= follow->held_last &&
	    zxid == (follow->held_committed ? follow->held_committed + 1
					    : follow->held_first)) {
		follow->held_committed = zxid;
		return true;
	}
	break_off(core, out);
	return false;
}

/* A commit after UPTODATE. False: the role has ended or nothing happened. */
static bool
commit_logged(struct zab_core *core, int64_t zxid, struct zab_actions *out)
{
	if (zxid <= core->committed_zxid && is_known(core, zxid))
		return false;
	/* C6, C7: exactly the oldest one. */
	if (zxid != next_logged(core, core->committed_zxid)) {
		break_off(core, out);
		return false;
	}
	zab_publish(core, zxid, out);
	return true;
}

static void
on_commit(struct zab_core *core, const struct zab_event *event,
	  struct zab_actions *out)
{
	const bool activates = event->packet == QUORUM_COMMITANDACTIVATE;

	if (core->follow.step == ZAB_FOLLOW_ACTIVE) {
		if (!commit_logged(core, event->zxid, out))
			return;
		if (core->used_slots)
			zab_master_committed(core, event->zxid, activates,
					     event->sid, out);
		if (activates)
			zab_reconfig_commit_follow(core, event->sid, out);
		return;
	}
	/* With history comes NEWLEADER, which brings the configuration; behind
	 * it, coming again is simpler than waiting with it. */
	if (commit_held(core, event->zxid, out) && activates &&
	    core->follow.step > ZAB_FOLLOW_SYNC)
		zab_look(core, ZAB_WHY_RECONFIGURED, out);
}

static void
on_inform(struct zab_core *core, const struct zab_event *event,
	  struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;
	const int64_t zxid = event->zxid;
	const bool activates = event->packet == QUORUM_INFORMANDACTIVATE;

	if (zxid <= tail_of(core)) {
		if (zxid <= core->history.last_zxid && !is_known(core, zxid))
			break_off(core, out);
		return;
	}
	if (core->role != FLE_OBSERVING || !is_next(core, event)) {
		break_off(core, out);
		return;
	}
	if (follow->step == ZAB_FOLLOW_ACTIVE ||
	    (follow->step == ZAB_FOLLOW_SYNC && !zab_follow_has_held(core))) {
		append(core, zxid, zxid, out);
	} else if (follow->step > ZAB_FOLLOW_SYNC &&
		   (!zab_follow_has_held(core) ||
		    follow->held_committed == follow->held_last)) {
		if (!hold(core, zxid, out))
			return;
		follow->held_committed = zxid;
	} else {
		break_off(core, out);
		return;
	}
	if (event->config)
		zab_reconfig_begin(core, event->config, zxid, out);
	if (follow->step == ZAB_FOLLOW_ACTIVE) {
		zab_publish(core, zxid, out);
		if (activates)
			zab_reconfig_commit_follow(core, event->sid, out);
	} else if (activates && follow->step > ZAB_FOLLOW_SYNC) {
		zab_look(core, ZAB_WHY_RECONFIGURED, out);
	}
}

void
zab_apply_packet(struct zab_core *core, const struct zab_event *event,
		 struct zab_actions *out)
{
	switch (event->packet) {
	case QUORUM_PROPOSAL:
		on_proposal(core, event, out);
		break;
	case QUORUM_COMMIT:
	case QUORUM_COMMITANDACTIVATE:
		on_commit(core, event, out);
		break;
	default:
		on_inform(core, event, out);
		break;
	}
}

void
zab_apply_held(struct zab_core *core, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;

	FAL_ASSERT(follow->step == ZAB_FOLLOW_ACTIVE);
	if (!zab_follow_has_held(core))
		return;
	append(core, follow->held_first, follow->held_last, out);
	if (follow->held_committed)
		zab_publish(core, follow->held_committed, out);
	follow->held_first = 1;
	follow->held_last = 0;
	follow->held_committed = 0;
}

void
zab_apply_acks(struct zab_core *core, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;
	int64_t zxid = core->durable_zxid;

	if (core->role != FLE_FOLLOWING)
		return; /* Observers acknowledge nothing. */
	if (core->config_writing != 0 && zxid >= core->config_writing) {
		if (zab_counter(core->config_writing) <= 1)
			return;
		zxid = core->config_writing - 1;
	}
	if (zxid <= follow->acked_zxid)
		return;
	const int64_t first = next_logged(core, follow->acked_zxid);

	FAL_ASSERT(first != 0 && zab_epoch(first) == follow->epoch);
	zab_out_send(out, ZAB_LEADER_BIT, QUORUM_ACK, first, zxid);
	follow->acked_zxid = zxid;
}
