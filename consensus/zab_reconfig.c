/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_reconfig - dynamic configurations.
 *
 * A reconfiguration is a transaction. From its proposal on there are two
 * configurations, and everything decided needs a quorum of both; when it is
 * committed the new one is active alone. The version of a configuration is the
 * zxid of its transaction, so "is it in my log?" tells whether a next
 * configuration is still alive.
 *
 * With the commit the leader names who shall lead the new ensemble: itself if
 * it is a voter there at the same address, else the voter that acknowledged
 * most. The others follow that server without an election.
 *
 * Source  quorum-protocol.md section 14.
 */
#include "consensus/zab_core.h"

bool
zab_is_observer(const struct zab_core *core)
{
	const struct quorum *active = &core->pair.active;
	const int index = quorum_find(active, core->options.sid);

	return index >= 0 && !active->member[index].is_voter;
}

static void
forget_next(struct zab_core *core)
{
	memset(&core->pair.next, 0, sizeof(core->pair.next));
	core->pair.has_next = 0;
}

static void
config_activate(struct zab_core *core, int64_t designated,
		struct zab_actions *out)
{
	quorum_pair_activate(&core->pair);
	zab_out_zxid(out, ZAB_DO_ACTIVATE_CONFIG, core->pair.active.version);
	out->action[out->count - 1].sid = designated;
}

void
zab_reconfig_begin(struct zab_core *core, const struct quorum *config,
		   int64_t zxid, struct zab_actions *out)
{
	FAL_ASSERT(config->version == zxid);
	FAL_ASSERT(config->voters != 0);
	/* A leader proposes another one when the last is decided: what
	 * NEWLEADER brought, or what came with its history. */
	if (core->role != FLE_LEADING && core->pair.has_next &&
	    (core->pair.next.version == core->follow.config_version ||
	     (core->pair.next.version < zxid &&
	      core->pair.next.version <= core->history.last_zxid))) {
		config_activate(core, ZAB_NO_SID, out);
		core->follow.config_version = -1;
	}
	core->pair.next = *config;
	core->pair.has_next = 1;
	zab_persist_config(core, zxid, out);
	if (core->role == FLE_LEADING) {
		zab_acks_begin_next(&core->lead.acks, zxid);
		zab_learners_reseat(core);
	}
}

/* The file goes, too, or a start would find it again when the log has long
 * gone on. The first configuration, whose counter is 0, is no transaction. */
static void
lose_next(struct zab_core *core, struct zab_actions *out)
{
	const int64_t version = core->pair.next.version;

	forget_next(core);
	if (zab_counter(version) != 0)
		zab_out_zxid(out, ZAB_DO_PERSIST_CONFIG, 0);
}

void
zab_reconfig_drop_lost(struct zab_core *core, struct zab_actions *out)
{
	const struct zab_history *history = &core->history;
	const int64_t version = core->pair.next.version;

	if (!core->pair.has_next)
		return;
	/* A log that went on without it says so as far back as it reaches. */
	if (version > history->last_zxid ||
	    (version > history->floor_zxid && zab_counter(version) != 0 &&
	     !zab_history_has(history, version)))
		lose_next(core, out);
}

void
zab_reconfig_note_snapshot(struct zab_core *core, const struct quorum *config,
			   struct zab_actions *out)
{
	const struct quorum_pair *pair = &core->pair;

	if (pair->has_next && pair->next.version <= core->history.floor_zxid &&
	    (!config || config->version != pair->next.version))
		lose_next(core, out);
}

/* ------------------------------------------------------------- leader --- */

/* Observers acknowledge nothing; who became one a moment ago still has the
 * connection of a follower, for a moment. Who was let in without a vote has it
 * again when UPTODATE has reached it. */
static bool
can_acknowledge(const struct zab_core *core, const struct zab_learner *learner)
{
	const struct quorum *active = &core->pair.active;
	const int index = quorum_find(active, learner->sid);

	return learner->is_up_to_date && !learner->is_observer &&
	       (index < 0 || active->member[index].is_voter);
}

bool
zab_reconfig_is_possible(const struct zab_core *core,
			 const struct quorum *config)
{
	uint32_t members = 0;

	if (!core->options.is_reconfig_enabled || core->pair.has_next)
		return false;
	for (uint32_t i = 0; i < config->member_count; i++) {
		bool is_synced = config->member[i].sid == core->options.sid;

		for (uint32_t j = 0; j < ZAB_CONNS_MAX && !is_synced; j++) {
			const struct zab_learner *learner = &core->learner[j];

			is_synced = learner->sid == config->member[i].sid &&
				    can_acknowledge(core, learner);
		}
		members |= (uint32_t)is_synced << i;
	}
	return quorum_has(config, members);
}

/* Who leads the next configuration. */
static int64_t
designate(const struct zab_core *core)
{
	const struct quorum *next = &core->pair.next;
	const int own_next = quorum_find(next, core->options.sid);
	const int own = quorum_find(&core->pair.active, core->options.sid);
	int64_t best = ZAB_NO_SID, best_zxid = -1;

	if (own_next >= 0 && next->member[own_next].is_voter &&
	    (own < 0 || core->pair.active.member[own].address ==
				next->member[own_next].address))
		return core->options.sid;
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		const struct zab_learner *learner = &core->learner[i];
		const int64_t acked =
			zab_acks_of(&core->lead.acks, learner->seat);

		if (learner->station == ZAB_ST_ACTIVE &&
		    !learner->is_observer &&
		    learner->seat.next != QUORUM_NO_SEAT &&
		    quorum_weight(next, learner->sid) > 0 &&
		    acked > best_zxid) {
			best = learner->sid;
			best_zxid = acked;
		}
	}
	return best;
}

static void
announce_activation(struct zab_core *core, int64_t zxid, int64_t designated,
		    struct zab_actions *out)
{
	const struct zab_lead *lead = &core->lead;

	if (lead->commit_slots)
		zab_out_send(out, lead->commit_slots, QUORUM_COMMITANDACTIVATE,
			     zxid, zxid)
			->sid = designated;
	if (lead->inform_slots)
		zab_out_send(out, lead->inform_slots, QUORUM_INFORMANDACTIVATE,
			     zxid, zxid)
			->sid = designated;
	zab_publish(core, zxid, out);
	/* Who is being synchronized was told the old configuration. */
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++)
		if (core->learner[i].station == ZAB_ST_SYNCING ||
		    core->learner[i].station == ZAB_ST_SYNCED)
			zab_learner_close(core, i, ZAB_WHY_RECONFIGURED, out);
}

bool
zab_reconfig_commit_lead(struct zab_core *core, struct zab_actions *out)
{
	const int64_t zxid = core->lead.acks.next_zxid;
	const bool is_proposal = zxid > core->lead.base_zxid;
	const int64_t designated = designate(core);

	FAL_ASSERT(core->pair.has_next);
	if (is_proposal)
		announce_activation(core, zxid, designated, out);
	config_activate(core, designated, out);
	zab_acks_activate(&core->lead.acks);
	zab_learners_reseat(core);
	if (designated == core->options.sid)
		return true;
	/* A configuration that a predecessor left was decided by NEWLEADER,
	 * where nobody is named: an election finds the leader. */
	if (is_proposal)
		core->appointed = designated;
	zab_look(core, ZAB_WHY_RECONFIGURED, out);
	return false;
}

/* ------------------------------------------------------------ learner --- */

void
zab_reconfig_commit_follow(struct zab_core *core, int64_t designated,
			   struct zab_actions *out)
{
	if (!core->pair.has_next)
		return; /* Activated before, with NEWLEADER. */
	config_activate(core, designated, out);
	const bool has_role_changed =
		zab_is_observer(core) != (core->role == FLE_OBSERVING);
	const bool has_leader_changed =
		designated != ZAB_NO_SID && designated != core->leader;

	if (!has_role_changed && !has_leader_changed)
		return;
	core->appointed = designated;
	zab_look(core, ZAB_WHY_RECONFIGURED, out);
}

void
zab_reconfig_note_newleader(struct zab_core *core, const struct quorum *config,
			    struct zab_actions *out)
{
	struct quorum_pair *pair = &core->pair;
	const bool is_next_held = pair->has_next && zab_follow_has_held(core) &&
				  pair->next.version >= core->follow.held_first;

	if (!core->options.is_reconfig_enabled || !config)
		return;
	if (config->version > pair->active.version) {
		if (is_next_held && pair->next.version != config->version) {
			/* Decided, and the next one is proposed behind it. */
			pair->active = *config;
			zab_out_zxid(out, ZAB_DO_ACTIVATE_CONFIG,
				     config->version);
			out->action[out->count - 1].sid = ZAB_NO_SID;
			return;
		}
		if (!pair->has_next || pair->next.version != config->version) {
			pair->next = *config;
			pair->has_next = 1;
			zab_persist_config(core, config->version, out);
		}
		core->follow.config_version = config->version;
	} else if (pair->has_next && !is_next_held) {
		/* The leader never heard of it: it is lost. */
		forget_next(core);
		zab_out_zxid(out, ZAB_DO_PERSIST_CONFIG, 0);
	}
}

bool
zab_reconfig_adopt(struct zab_core *core, const struct quorum *config,
		   struct zab_actions *out)
{
	struct quorum_pair *pair = &core->pair;

	if (!core->options.is_reconfig_enabled ||
	    config->version <= pair->active.version)
		return false;
	const bool is_same = quorum_equal(config, &pair->active);

	pair->active = *config;
	if (pair->has_next && pair->next.version <= config->version)
		forget_next(core);
	zab_out_zxid(out, ZAB_DO_ACTIVATE_CONFIG, config->version);
	out->action[out->count - 1].sid = ZAB_NO_SID;
	return !is_same;
}
