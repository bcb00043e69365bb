/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_act - what the core wants done, an action a line.
 */
#include "dataplane/ensemble_int.h"

/* As a reign begins all sessions are looked at, and the owners of ephemerals
 * are sorted: some cache misses each. By ensemble_busy() that is 1 us a
 * session. */
#define REIGN_BYTES_PER_SESSION 4u

static void
close_slots(struct ensemble *ensemble, const struct zab_action *action)
{
	struct ensemble_note note = {.kind = ENSEMBLE_NOTE_CLOSE,
				     .sid = ZAB_NO_SID,
				     .action = *action};

	/* What was sent before still goes out. */
	ensemble_late_overtaken(ensemble, action->slots);
	for (uint32_t slot = 0; slot <= ZAB_LEADER_SLOT; slot++) {
		if (!(action->slots & 1ull << slot))
			continue;
		note.slot = slot;
		if (action->why == ZAB_WHY_PEER_AGAIN)
			peer_address_log(LOG_QUORUM_AGAIN,
					 peer_address(ensemble->peers, slot));
		if (slot < ZAB_CONNS_MAX)
			ensemble_learner_gone(ensemble, slot);
		else
			ensemble->is_leader_paused = false;
		peer_close(ensemble->peers, slot);
	}
	ensemble->closed_slots |= action->slots;
	ensemble->broken_slots &= ~action->slots;
	ensemble->is_status_old = true;
	ensemble_note(ensemble, &note);
}

/* An address that is not known (yet) is a dial that failed. */
static void
dial(struct ensemble *ensemble, const struct zab_action *action)
{
	const struct ensemble_note note = {.kind = ENSEMBLE_NOTE_MASTER,
					   .slot = ZAB_LEADER_SLOT,
					   .sid = action->sid};
	struct stream_address address[PEER_ADDRESSES_MAX];
	const uint32_t count = ensemble->hooks.addresses(
		ensemble->hooks.arg, action->sid,
		action->is_master ? ENSEMBLE_MASTER_PORT : ENSEMBLE_QUORUM_PORT,
		address);

	if (action->is_master)
		ensemble_note(ensemble, &note);
	ensemble->is_leader_paused = false;
	if (count == 0)
		ensemble->broken_slots |= 1ull << ZAB_LEADER_SLOT;
	else
		peer_dial(ensemble->peers, address, count);
}

/* ---- states ----------------------------------------------------------------
 */

/* It serves now, after so long. */
static void
note_serving(struct ensemble *ensemble, uint32_t role)
{
	struct stats_core *stats = ensemble->parts.stats;
	const uint64_t away_ms = ensemble->now_ms - ensemble->lost_ms;
	const uint64_t sync_ms = ensemble->now_ms - ensemble->sync_since_ms;

	stats_summary_record(stats, SUMMARY_UNAVAILABLE_TIME, away_ms);
	if (role == FLE_LEADING)
		stats_summary_record(stats, SUMMARY_LEADER_UNAVAILABLE_TIME,
				     away_ms);
	else if (role == FLE_FOLLOWING)
		stats_summary_record(stats, SUMMARY_FOLLOWER_SYNC_TIME,
				     sync_ms);
	else
		stats_summary_record(stats, SUMMARY_OBSERVER_SYNC_TIME,
				     sync_ms);
}

static void
note_times(struct ensemble *ensemble, const struct zab_action *state)
{
	const uint64_t now_ms = ensemble->now_ms;

	if (state->role != ensemble->role || state->phase != ensemble->phase ||
	    state->is_serving != ensemble->is_serving)
		ensemble->since_ms = now_ms;
	if (state->role == FLE_LOOKING && ensemble->role != FLE_LOOKING)
		ensemble->looking_since_ms = now_ms;
	if (state->role != FLE_LOOKING && ensemble->role == FLE_LOOKING) {
		ensemble->election_ms = now_ms - ensemble->looking_since_ms;
		ensemble->elections++;
		stats_summary_record(ensemble->parts.stats,
				     SUMMARY_ELECTION_TIME,
				     ensemble->election_ms);
	}
	if (state->role == FLE_LOOKING)
		stats_add(ensemble->parts.stats, STAT_LOOKING, 1);
	if (state->role == FLE_LOOKING && state->why == ZAB_WHY_DISLOYAL)
		stats_add(ensemble->parts.stats, STAT_QUIT_DISLOYAL, 1);
	if (!state->is_serving && ensemble->is_serving)
		ensemble->lost_ms = now_ms;
	if (state->phase == ZAB_SYNCHRONIZATION &&
	    ensemble->phase != ZAB_SYNCHRONIZATION)
		ensemble->sync_since_ms = now_ms;
	if (state->is_serving && !ensemble->is_serving)
		note_serving(ensemble, state->role);
}

static void
tell_reign(struct ensemble *ensemble)
{
	const uint64_t bytes = (uint64_t)REIGN_BYTES_PER_SESSION *
			       zab_member_session_count(ensemble->parts.zab);

	if (bytes >= ZAB_BUSY_BYTES)
		ensemble_busy(ensemble, bytes > UINT32_MAX ? UINT32_MAX
							   : (uint32_t)bytes);
}

static void
serve(struct ensemble *ensemble)
{
	const int64_t mark = zab_zxid(ensemble->epoch, 0);
	const bool is_leader = ensemble->role == FLE_LEADING;

	ensemble->must_serve = false;
	if (is_leader)
		tell_reign(ensemble);
	/* What was stepped with that may have ended it. */
	if (!ensemble->is_serving)
		return;
	if (is_leader) {
		entry_ring_clear(ensemble->recent);
		ensemble->committed = mark;
		zab_member_begin_reign(ensemble->parts.zab, mark);
	} else {
		zab_member_mark(ensemble->parts.zab, mark);
	}
	zab_member_set_mode(
		ensemble->parts.zab, is_leader ? ZAB_LEADS : ZAB_LEARNS,
		is_leader && !ensemble->options.leader_serves ? SERVING_CLOSED
							      : SERVING_ALL);
	ensemble->is_status_old = true;
}

void
ensemble_serve_if_ready(struct ensemble *ensemble)
{
	if (ensemble->must_serve && !ensemble_is_behind(ensemble) &&
	    !ensemble->must_patch)
		serve(ensemble);
}

static void
change_state(struct ensemble *ensemble, const struct zab_action *state)
{
	const bool was_serving = ensemble->is_serving;
	const struct ensemble_note note = {.kind = ENSEMBLE_NOTE_STATE,
					   .action = *state};

	note_times(ensemble, state);
	ensemble->role = state->role;
	ensemble->phase = state->phase;
	ensemble->epoch = state->epoch;
	ensemble->is_serving = state->is_serving;
	ensemble->is_status_old = true;
	ensemble_note(ensemble, &note);
	if (state->role == FLE_LOOKING)
		ensemble->exact_from = INT64_MAX;
	if (!state->is_serving) {
		ensemble->must_serve = false;
		ensemble_relay_reset(ensemble);
		zab_member_set_mode(ensemble->parts.zab, ZAB_CLOSED,
				    SERVING_CLOSED);
	} else if (!was_serving) {
		ensemble->must_serve = true; /* behind this step's actions */
		ensemble_genesis_serves(ensemble);
	}
}

static void
die(struct ensemble *ensemble, const struct zab_action *action)
{
	const struct store_port *store = &ensemble->parts.store;
	struct store_event answer;

	/* BG knows better what went wrong, if it was BG. */
	while (store->next(store->store, &answer))
		if (answer.kind == STORE_FAILED)
			ensemble->hooks.on_fatal(ensemble->hooks.arg,
						 answer.text);
	ensemble->hooks.on_fatal(ensemble->hooks.arg,
				 zab_reason_text(action->why));
}

/* ---- the list
 * ----------------------------------------------------------------- */

static void
act_on_disk(struct ensemble *ensemble, const struct zab_action *action)
{
	const struct store_port *store = &ensemble->parts.store;

	switch ((enum zab_action_type)action->type) {
	case ZAB_DO_TRUNCATE:
		ensemble_want_lend(ensemble, LEND_TRUNCATE, action->zxid);
		break;
	case ZAB_DO_INSTALL_SNAPSHOT:
		ensemble_want_lend(ensemble, LEND_INSTALL, action->zxid);
		break;
	case ZAB_DO_KEEP_LOG:
		store->keep_log(store->store);
		break;
	case ZAB_DO_RELOAD:
		ensemble_want_lend(ensemble, LEND_RELOAD, 0);
		break;
	case ZAB_DO_PERSIST_ACCEPTED:
		store->persist_epoch(store->store, false, action->epoch);
		break;
	case ZAB_DO_PERSIST_CURRENT:
		store->persist_epoch(store->store, true, action->epoch);
		break;
	case ZAB_DO_PERSIST_CONFIG:
		ensemble_config_persist(ensemble, action->zxid);
		break;
	case ZAB_DO_ACTIVATE_CONFIG:
		ensemble_config_activate(ensemble, action->zxid);
		break;
	case ZAB_DO_VOTER_AGAIN:
		store->voter_again(store->store);
		ensemble_genesis_adopt(ensemble);
		break;
	default:
		FAL_ASSERT(action->type == ZAB_DO_FATAL);
		die(ensemble, action);
	}
}

static void
act_on_history(struct ensemble *ensemble, const struct zab_action *action)
{
	switch ((enum zab_action_type)action->type) {
	case ZAB_DO_HOLD:
		ensemble_hold(ensemble, action->zxid);
		break;
	case ZAB_DO_DROP_HELD:
		ensemble_drop_held(ensemble);
		break;
	case ZAB_DO_APPEND:
		ensemble_append(ensemble, action->zxid, action->zxid_last);
		break;
	case ZAB_DO_COMMIT:
		if (action->zxid > ensemble->committed)
			ensemble->committed = action->zxid;
		stats_add(ensemble->parts.stats, STAT_COMMITS, 1);
		zab_member_commit(ensemble->parts.zab, action->zxid);
		break;
	case ZAB_DO_SYNC_DONE:
		ensemble_relay_synced(ensemble, action);
		break;
	default:
		act_on_disk(ensemble, action);
	}
}

void
ensemble_act(struct ensemble *ensemble, const struct zab_event *event,
	     const struct zab_action *action)
{
	(void)event;
	switch ((enum zab_action_type)action->type) {
	case ZAB_DO_SEND_FLE:
		fle_net_send(ensemble->fle, action->sid, &action->notification,
			     ensemble_config_active(ensemble));
		break;
	case ZAB_DO_FORGET_FLE:
		fle_net_forget(ensemble->fle);
		break;
	case ZAB_DO_DIAL:
		dial(ensemble, action);
		break;
	case ZAB_DO_CLOSE:
		close_slots(ensemble, action);
		break;
	case ZAB_DO_SEND:
		if (!ensemble_late_take(ensemble, action))
			ensemble_send(ensemble, action);
		break;
	case ZAB_DO_STREAM_HISTORY:
		ensemble_stream_history(ensemble, action);
		break;
	case ZAB_DO_STREAM_SNAPSHOT:
		ensemble_stream_snapshot(ensemble, action);
		break;
	case ZAB_DO_STATE:
		change_state(ensemble, action);
		break;
	default:
		act_on_history(ensemble, action);
	}
}
