/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_syncs - sync requests, and PING rounds that prove leadership.
 *
 * A sync is answered when everything proposed before it is committed. Requests
 * of one connection wait in order, those for the same zxid as one run; when
 * the runs of a connection are used up, further requests join its last run and
 * wait a little longer than they must: late is allowed, early is not.
 *
 * A PING round is confirmed when a quorum, this server included, has echoed a
 * PING that was sent after the round began. One round is on its way at a time;
 * whoever comes meanwhile waits for the next one.
 */
#include "consensus/zab_core.h"

static struct zab_syncs *
syncs_of(struct zab_core *core, uint32_t slot)
{
	if (slot == ZAB_SELF_SLOT)
		return &core->lead.own_syncs;
	FAL_ASSERT(slot < ZAB_CONNS_MAX);
	return core->learner[slot].station == ZAB_ST_ACTIVE
		       ? &core->learner[slot].syncs
		       : NULL;
}

static void
add_sync(struct zab_core *core, struct zab_syncs *syncs, int64_t zxid,
	 uint64_t round)
{
	struct zab_sync_run *run = NULL;

	if (syncs->count > 0)
		run = &syncs->run[syncs->count - 1];
	if (run && (syncs->count == ZAB_SYNC_RUNS ||
		    (run->zxid == zxid && run->round == round))) {
		run->zxid = zxid;
		run->round = round;
		run->count++;
		return;
	}
	syncs->run[syncs->count++] =
		(struct zab_sync_run){.zxid = zxid, .round = round, .count = 1};
	core->lead.sync_runs++;
}

void
zab_sync_request(struct zab_core *core, uint32_t slot, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	struct zab_syncs *syncs;
	uint64_t round = 0;

	if (lead->step != ZAB_LEAD_ACTIVE)
		return;
	syncs = syncs_of(core, slot);
	if (!syncs)
		return;
	if (core->options.is_sync_confirmed)
		round = zab_confirm_want(core);
	add_sync(core, syncs, lead->acks.proposed_zxid, round);
	if (round)
		zab_confirm_begin(core, out);
	zab_syncs_answer(core, out);
}

/* How many of the oldest requests may be answered; takes them away. */
static uint32_t
take_done(struct zab_core *core, struct zab_syncs *syncs)
{
	const struct zab_lead *lead = &core->lead;
	uint32_t done = 0, runs = 0;

	while (runs < syncs->count &&
	       syncs->run[runs].zxid <= lead->acks.committed_zxid &&
	       syncs->run[runs].round <= lead->round_done)
		done += syncs->run[runs++].count;
	if (runs == 0)
		return 0;
	syncs->count -= runs;
	core->lead.sync_runs -= runs;
	memmove(&syncs->run[0], &syncs->run[runs],
		syncs->count * sizeof(syncs->run[0]));
	memset(&syncs->run[syncs->count], 0, runs * sizeof(syncs->run[0]));
	return done;
}

void
zab_syncs_answer(struct zab_core *core, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	uint32_t done;

	if (lead->sync_runs == 0)
		return;
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		done = take_done(core, &core->learner[i].syncs);
		if (done)
			zab_out_send(out, zab_slot_bit(i), QUORUM_SYNC, 0, 0)
				->count = done;
	}
	done = take_done(core, &lead->own_syncs);
	if (done) {
		zab_out_zxid(out, ZAB_DO_SYNC_DONE, core->committed_zxid);
		out->action[out->count - 1].count = done;
	}
}

uint64_t
zab_confirm_want(struct zab_core *core)
{
	core->lead.round_wanted = core->lead.round_begun + 1;
	return core->lead.round_wanted;
}

void
zab_confirm_begin(struct zab_core *core, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;

	if (lead->step != ZAB_LEAD_ACTIVE ||
	    lead->round_begun > lead->round_done)
		return;
	lead->round_begun++;
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++)
		core->learner[i].confirm_ping = 0;
	zab_learners_ping(core, UINT64_MAX, out);
	zab_confirm_note(core, out);
}

void
zab_confirm_note(struct zab_core *core, struct zab_actions *out)
{
	struct zab_lead *lead = &core->lead;
	struct quorum_votes votes = {0, 0};

	if (lead->round_begun == lead->round_done)
		return;
	quorum_votes_add(&votes, zab_own_seat(core));
	for (uint32_t i = 0; i < ZAB_CONNS_MAX; i++) {
		const struct zab_learner *learner = &core->learner[i];

		if (learner->confirm_ping &&
		    learner->pings_echoed >= learner->confirm_ping)
			quorum_votes_add(&votes, learner->seat);
	}
	if (!quorum_pair_has(&core->pair, votes))
		return;
	lead->round_done = lead->round_begun;
	zab_syncs_answer(core, out);
	zab_learners_activate(core, out);
	/* Those who came meanwhile wait for a round of their own. */
	if (lead->round_wanted > lead->round_done)
		zab_confirm_begin(core, out);
}
