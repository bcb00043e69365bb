/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_follow - a follower or observer until it is up to date.
 *
 *   DIAL, DIALING  reaches the leader's port; a few tries, one deadline
 *   INFO     told its acceptedEpoch, waits for LEADERINFO
 *   ACCEPT   acceptedEpoch is being written: the promise
 *   ACKED    ACKEPOCH is out with the end of its log
 *   SYNC     DIFF, TRUNC or SNAP, then history
 *   FLUSH    NEWLEADER came: log, snapshot and configuration become durable
 *   CURRENT  only then currentEpoch is written, which vouches for them
 *   READY    only then NEWLEADER is acknowledged
 *   ACTIVE   UPTODATE came
 *
 * PINGs are not answered before ACTIVE: a leader takes the first packet after
 * NEWLEADER for its acknowledgement.
 */
#include "consensus/zab_core.h"

bool
zab_follow_has_held(const struct zab_core *core)
{
	return core->follow.held_first <= core->follow.held_last;
}

/*
 * Whom to connect to. An observer that uses observer masters takes the voters
 * in turn, each observer beginning at another; the leader is left out, and
 * comes last, as the one that it can always follow.
 */
static void
choose_master(struct zab_core *core)
{
	const struct quorum *active = &core->pair.active;
	int64_t masters[QUORUM_MEMBERS_MAX];
	uint32_t count = 0;

	core->follow.master = core->leader;
	if (core->role != FLE_OBSERVING || !core->options.has_observer_masters)
		return;
	for (uint32_t i = 0; i < active->member_count; i++)
		if (active->member[i].is_voter &&
		    active->member[i].sid != core->leader)
			masters[count++] = active->member[i].sid;
	const uint32_t turn = core->master_turn++ % (count + 1);

	if (turn < count)
		core->follow.master =
			masters[((uint64_t)core->options.sid + turn) % count];
}

static void
dial(struct zab_core *core, struct zab_actions *out)
{
	struct zab_action *action = zab_out(out, ZAB_DO_DIAL);

	core->follow.step = ZAB_FOLLOW_DIALING;
	core->follow.dials++;
	action->sid = core->follow.master;
	action->is_master = core->follow.master != core->leader;
}

void
zab_follow_begin(struct zab_core *core, int64_t leader, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;

	memset(follow, 0, sizeof(*follow));
	zab_learners_close_all(core, ZAB_WHY_NOT_LEADING, out);
	core->role = zab_is_observer(core) ? FLE_OBSERVING : FLE_FOLLOWING;
	core->phase = ZAB_DISCOVERY;
	core->leader = leader;
	follow->held_first = 1;
	follow->held_last = 0;
	follow->config_version = -1;
	follow->began_ms = core->now_ms;
	follow->deadline_ms = core->now_ms + zab_init_ms(core);
	choose_master(core);
	zab_tell_state(core, ZAB_WHY_ELECTED, out);
	dial(core, out);
}

void
zab_follow_up(struct zab_core *core, struct zab_actions *out)
{
	const int64_t zxid = zab_zxid(core->accepted_epoch, 0);

	if (core->follow.step != ZAB_FOLLOW_DIALING)
		return;
	core->follow.step = ZAB_FOLLOW_INFO;
	core->follow.deadline_ms = core->now_ms + zab_init_ms(core);
	zab_out_send(out, ZAB_LEADER_BIT,
		     core->role == FLE_OBSERVING ? QUORUM_OBSERVERINFO
						 : QUORUM_FOLLOWERINFO,
		     zxid, zxid)
		->beacon_ms = core->options.beacon_ms;
}

void
zab_follow_down(struct zab_core *core, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;
	const uint64_t again = core->now_ms + core->options.dial_retry_ms;

	if (follow->step == ZAB_FOLLOW_DIAL)
		return;
	/* Before it spoke it may just not have known yet that it leads. */
	if (follow->step > ZAB_FOLLOW_INFO) {
		follow->step = ZAB_FOLLOW_DIAL; /* nothing to close */
		zab_look(core, ZAB_WHY_PEER_GONE, out);
		return;
	}
	follow->step = ZAB_FOLLOW_DIAL;
	follow->dial_ms = again;
	if (follow->dials >= core->options.dial_tries ||
	    again >= follow->deadline_ms)
		zab_look(core, ZAB_WHY_DIAL_LIMIT, out);
}

/* ---------------------------------------------------------- discovery --- */

/*
 * Did a TRUNC of this very leader fail? It has judged our history before it
 * sent the TRUNC, and we are not ahead; so it may be told zxid 0, for which it
 * sends a snapshot, without losing anything. Another leader must judge again.
 */
static bool
is_trunc_impossible(const struct zab_core *core)
{
	return core->snapshot_epoch != 0 &&
	       core->snapshot_epoch == core->follow.epoch;
}

static bool
must_get_snapshot(const struct zab_core *core)
{
	return core->is_nonvoting || is_trunc_impossible(core);
}

static void
send_ack_epoch(struct zab_core *core, struct zab_actions *out)
{
	const bool is_void = core->is_nonvoting;
	int64_t zxid = core->history.last_zxid;

	if (is_void)
		zxid = ZAB_NO_ZXID;
	else if (is_trunc_impossible(core))
		zxid = 0;
	/* C3: the promise is durable before it is given. */
	FAL_ASSERT(core->accepted_epoch == core->follow.epoch);
	FAL_ASSERT(core->durable_zxid == core->history.last_zxid);
	core->follow.step = ZAB_FOLLOW_ACKED;
	zab_out_send(out, ZAB_LEADER_BIT, QUORUM_ACKEPOCH, zxid, zxid)->epoch =
		is_void ? -1 : core->follow.reply_epoch;
}

static void
on_leader_info(struct zab_core *core, const struct zab_event *event,
	       struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;
	const int64_t epoch = zab_epoch(event->zxid);

	if (epoch > ZAB_EPOCH_MAX || epoch <= 0) {
		zab_look(core, ZAB_WHY_PEER_PROTOCOL, out);
		return;
	}
	if (epoch < core->accepted_epoch) {
		zab_look(core, ZAB_WHY_PEER_EPOCH, out);
		return;
	}
	follow->epoch = epoch;
	zab_beacon_expect(core, &follow->beacon, event->beacon_ms);
	if (epoch == core->accepted_epoch) {
		/* Promised before, maybe to another leader: not again. */
		follow->reply_epoch = -1;
		send_ack_epoch(core, out);
		return;
	}
	follow->reply_epoch = core->current_epoch;
	follow->step = ZAB_FOLLOW_ACCEPT;
	zab_persist_accepted(core, epoch, out);
}

void
zab_follow_accepted(struct zab_core *core, struct zab_actions *out)
{
	if (core->follow.step == ZAB_FOLLOW_ACCEPT)
		send_ack_epoch(core, out);
}

/* ---------------------------------------------------- synchronization --- */

/* Comes to the same leader anew; an election might not find it. */
static void
dial_again(struct zab_core *core, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;

	FAL_ASSERT(!zab_follow_has_held(core));
	follow->dials = 0;
	follow->deadline_ms = core->now_ms + zab_init_ms(core);
	follow->epoch = 0;
	follow->reply_epoch = 0;
	zab_beacon_expect(core, &follow->beacon, 0);
	core->phase = ZAB_DISCOVERY;
	zab_tell_state(core, ZAB_WHY_CANNOT_TRUNCATE, out);
	dial(core, out);
}

static void
on_trunc(struct zab_core *core, int64_t zxid, struct zab_actions *out)
{
	if (zxid == core->history.last_zxid)
		return;
	if (zxid > core->history.last_zxid || zxid < 0) {
		zab_look(core, ZAB_WHY_PEER_PROTOCOL, out);
		return;
	}
	if (!zab_history_has(&core->history, zxid)) {
		core->snapshot_epoch = core->follow.epoch;
		zab_out_close(out, ZAB_LEADER_BIT, ZAB_WHY_CANNOT_TRUNCATE);
		dial_again(core, out);
		return;
	}
	if (core->has_volatile) {
		zab_reload(core, ZAB_WHY_LOG_NOT_KEPT, out);
		return;
	}
	core->busy = ZAB_TRUNCATING;
	core->busy_zxid = zxid;
	zab_out_zxid(out, ZAB_DO_TRUNCATE, zxid);
}

static void
on_sync_begin(struct zab_core *core, const struct zab_event *event,
	      struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;

	/* Nothing is older than its leader: such a snapshot would be on the
	 * disk before NEWLEADER shows what is wrong, and no start would take
	 * it. */
	if ((event->packet != QUORUM_SNAP && must_get_snapshot(core)) ||
	    zab_epoch(event->zxid) > core->follow.epoch) {
		zab_look(core, ZAB_WHY_PEER_PROTOCOL, out);
		return;
	}
	/* A mark says where an epoch begins, nothing about transactions. */
	if (event->zxid < core->committed_zxid &&
	    (event->packet != QUORUM_DIFF || zab_counter(event->zxid) != 0)) {
		zab_look(core, ZAB_WHY_PEER_TAKES_BACK, out);
		return;
	}
	follow->step = ZAB_FOLLOW_SYNC;
	core->phase = ZAB_SYNCHRONIZATION;
	zab_tell_state(core, ZAB_WHY_ELECTED, out);
	if (event->packet == QUORUM_TRUNC) {
		on_trunc(core, event->zxid, out);
	} else if (event->packet == QUORUM_SNAP) {
		core->busy = ZAB_INSTALLING;
		core->busy_zxid = event->zxid;
		zab_out_zxid(out, ZAB_DO_INSTALL_SNAPSHOT, event->zxid);
	} else if (zab_counter(event->zxid) != 0) {
		follow->promised_zxid = event->zxid;
	}
}

static void
become_ready(struct zab_core *core, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;
	const int64_t zxid = zab_zxid(follow->epoch, 0);

	/* C3: history, then currentEpoch, then the acknowledgement. */
	FAL_ASSERT(core->durable_zxid == core->history.last_zxid);
	FAL_ASSERT(core->current_epoch == follow->epoch);
	FAL_ASSERT(core->busy == ZAB_IDLE);
	follow->step = ZAB_FOLLOW_READY;
	follow->acked_zxid = core->history.last_zxid;
	follow->deadline_ms = core->now_ms + zab_sync_ms(core);
	zab_out_send(out, ZAB_LEADER_BIT, QUORUM_ACK, zxid, zxid);
}

void
zab_follow_flush(struct zab_core *core, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;

	if (follow->step != ZAB_FOLLOW_FLUSH || core->config_writing != 0 ||
	    core->durable_zxid != core->history.last_zxid)
		return;
	/* What is in memory only is vouched for in memory only. */
	if (core->has_volatile)
		core->current_epoch = follow->epoch;
	if (core->current_epoch == follow->epoch) {
		become_ready(core, out);
		return;
	}
	follow->step = ZAB_FOLLOW_CURRENT;
	zab_persist_current(core, follow->epoch, out);
}

void
zab_follow_current(struct zab_core *core, struct zab_actions *out)
{
	if (core->follow.step == ZAB_FOLLOW_CURRENT)
		become_ready(core, out);
}

static void
on_newleader(struct zab_core *core, const struct zab_event *event,
	     struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;

	if (follow->step != ZAB_FOLLOW_SYNC ||
	    event->zxid != zab_zxid(follow->epoch, 0) ||
	    core->history.last_zxid < follow->promised_zxid ||
	    zab_epoch(core->history.last_zxid) > follow->epoch ||
	    (zab_follow_has_held(core) &&
	     zab_epoch(follow->held_first) != follow->epoch)) {
		zab_look(core, ZAB_WHY_PEER_PROTOCOL, out);
		return;
	}
	/* A voter for this leader, though it did not know: the acknowledgement
	 * counts, so what it is for must be on the disk. */
	if (core->is_volatile && event->config != NULL &&
	    quorum_is_voter(event->config, core->options.sid)) {
		core->must_keep_log = true;
		zab_look(core, ZAB_WHY_LOG_NOT_KEPT, out);
		return;
	}
	zab_reconfig_note_newleader(core, event->config, out);
	follow->step = ZAB_FOLLOW_FLUSH;
	zab_follow_flush(core, out);
}

static void
on_uptodate(struct zab_core *core, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;
	const int64_t config = follow->config_version;
	const int64_t zxid = zab_zxid(follow->epoch, 0);

	if (follow->step != ZAB_FOLLOW_READY) {
		zab_look(core, ZAB_WHY_PEER_PROTOCOL, out);
		return;
	}
	/* Not one that is only proposed: it is in no history yet. */
	const bool is_decided =
		config >= 0 &&
		(zab_counter(config) == 0 || config <= core->history.last_zxid);

	/* First: with the acknowledgement the leader takes it for a voter. */
	if (core->is_nonvoting) {
		core->is_nonvoting = false;
		zab_out(out, ZAB_DO_VOTER_AGAIN);
	}
	zab_out_send(out, ZAB_LEADER_BIT, QUORUM_ACK, zxid, zxid);
	follow->step = ZAB_FOLLOW_ACTIVE;
	follow->base_zxid = core->history.last_zxid;
	core->phase = ZAB_BROADCAST;
	core->is_serving = true;
	fle_set_epoch(&core->fle, follow->epoch);
	fle_forgive(&core->fle);
	zab_beacon_judge(core);
	zab_publish(core, core->history.last_zxid, out);
	zab_tell_state(core, ZAB_WHY_UP_TO_DATE, out);
	zab_apply_held(core, out);
	if (is_decided)
		zab_reconfig_commit_follow(core, ZAB_NO_SID, out);
	else if (zab_is_observer(core) != (core->role == FLE_OBSERVING))
		zab_look(core, ZAB_WHY_RECONFIGURED, out);
}

/* ------------------------------------------------------------ packets --- */

static void
on_discovery(struct zab_core *core, const struct zab_event *event,
	     struct zab_actions *out)
{
	const uint32_t step = core->follow.step;
	const bool begins_sync = event->packet == QUORUM_DIFF ||
				 event->packet == QUORUM_TRUNC ||
				 event->packet == QUORUM_SNAP;

	if (step == ZAB_FOLLOW_INFO && event->packet == QUORUM_LEADERINFO)
		on_leader_info(core, event, out);
	else if (step == ZAB_FOLLOW_ACKED && begins_sync)
		on_sync_begin(core, event, out);
	else if (event->packet != QUORUM_PING)
		zab_look(core, ZAB_WHY_PEER_PROTOCOL, out);
}

static void
on_sync_done(struct zab_core *core, struct zab_actions *out)
{
	zab_out_zxid(out, ZAB_DO_SYNC_DONE, core->committed_zxid);
	out->action[out->count - 1].count = 1;
}

void
zab_follow_heard(struct zab_core *core)
{
	struct zab_follow *follow = &core->follow;

	if (follow->step >= ZAB_FOLLOW_INFO)
		follow->deadline_ms =
			core->now_ms + (follow->step >= ZAB_FOLLOW_READY
						? zab_sync_ms(core)
						: zab_init_ms(core));
	zab_beacon_heard(core, &follow->beacon);
}

/* Echoes a beacon, or says one of its own accord: zxid -1. */
static void
say_ping(struct zab_core *core, int64_t zxid, struct zab_actions *out)
{
	core->follow.said_ms = core->now_ms;
	zab_out_send(out, ZAB_LEADER_BIT, QUORUM_PING, zxid, zxid);
}

void
zab_follow_packet(struct zab_core *core, const struct zab_event *event,
		  struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;
	const bool is_active = follow->step == ZAB_FOLLOW_ACTIVE;

	FAL_ASSERT(core->busy == ZAB_IDLE);
	if (follow->step < ZAB_FOLLOW_INFO)
		return;
	zab_follow_heard(core);
	if (zab_beacon_takes(&follow->beacon, event))
		return;
	if (event->packet == QUORUM_PING)
		zab_beacon_watch(core, &follow->beacon);
	if (follow->step < ZAB_FOLLOW_SYNC) {
		on_discovery(core, event, out);
		return;
	}
	switch (event->packet) {
	case QUORUM_PROPOSAL:
	case QUORUM_COMMIT:
	case QUORUM_COMMITANDACTIVATE:
	case QUORUM_INFORM:
	case QUORUM_INFORMANDACTIVATE:
		zab_apply_packet(core, event, out);
		break;
	case QUORUM_NEWLEADER:
		on_newleader(core, event, out);
		break;
	case QUORUM_UPTODATE:
		on_uptodate(core, out);
		break;
	case QUORUM_PING:
		if (is_active)
			say_ping(core, event->zxid, out);
		break;
	case QUORUM_SYNC:
		if (is_active)
			on_sync_done(core, out);
		break;
	case QUORUM_DIFF:
	case QUORUM_TRUNC:
	case QUORUM_SNAP:
	case QUORUM_LEADERINFO:
		zab_look(core, ZAB_WHY_PEER_PROTOCOL, out);
		break;
	default:
		break; /* Sessions, or a type that is newer than we are. */
	}
}

/* ------------------------------------------------------------- timers --- */

void
zab_follow_tick(struct zab_core *core, struct zab_actions *out)
{
	struct zab_follow *follow = &core->follow;

	if (core->busy != ZAB_IDLE)
		return; /* The driver reads a snapshot, or writes. */
	if (core->now_ms >= follow->deadline_ms)
		zab_look(core,
			 follow->step <= ZAB_FOLLOW_DIALING
				 ? ZAB_WHY_DIAL_LIMIT
				 : ZAB_WHY_PEER_SILENT,
			 out);
	else if (zab_beacon_is_lost(core, &follow->beacon))
		zab_look(core, ZAB_WHY_BEACONS_LOST, out);
	else if (follow->step == ZAB_FOLLOW_DIAL &&
		 core->now_ms >= follow->dial_ms) {
		choose_master(core);
		dial(core, out);
	} else if (follow->step == ZAB_FOLLOW_ACTIVE) {
		if (zab_beacon_is_due(core, &follow->beacon, follow->said_ms))
			say_ping(core, ZAB_NO_ZXID, out);
		zab_master_tick(core, out);
	}
}

uint64_t
zab_follow_wake_ms(const struct zab_core *core)
{
	const struct zab_follow *follow = &core->follow;
	uint64_t wake = follow->deadline_ms;

	if (core->busy != ZAB_IDLE)
		return ZAB_NEVER;
	if (follow->step == ZAB_FOLLOW_DIAL && follow->dial_ms < wake)
		wake = follow->dial_ms;
	if (zab_beacon_look_ms(core, &follow->beacon) < wake)
		wake = zab_beacon_look_ms(core, &follow->beacon);
	if (zab_beacon_due_ms(core) < wake)
		wake = zab_beacon_due_ms(core);
	if (zab_master_wake_ms(core) < wake)
		wake = zab_master_wake_ms(core);
	return wake;
}
