/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_java - servers that behave on the wire as ZooKeeper's.
 *
 * Their core is ours; what they say and when is changed on its way:
 *
 *   3.8, follower  history is acknowledged one by one, some before NEWLEADER's
 *                  acknowledgement and some behind it; that acknowledgement
 *                  does not wait for the disk. Since such a server cannot keep
 *                  the promise, it does not crash in between here: its disk is
 *                  quick then
 *   both, leader   COMMIT is sent between NEWLEADER and UPTODATE, too, and
 *                  again behind it; who would get TRUNC with history gets SNAP
 *   both           no beacons, nothing known of links, so elections wait
 *
 * Such servers vote with an empty disk, so theirs is never emptied.
 */
#include "sim.h"

void
sim_java_init(struct sim *sim, struct sim_server *server)
{
	struct sim_random *random = &sim->random[SIM_STREAM_LIMITS];

	server->java = SIM_JAVA_NONE;
	if (!sim->is_mixed || sim_random_once_in(random, 2))
		return;
	server->java =
		sim_random_once_in(random, 2) ? SIM_JAVA_3_8 : SIM_JAVA_3_10;
	server->acks_history = server->java == SIM_JAVA_3_8;
	server->options.beacon_ms = 0;
	server->options.beacon_lost_ms = 0;
	server->options.limp_still_ms = 0;
	server->options.limp_lag_ms = 0;
}

bool
sim_java_flushes_at_once(const struct sim_server *server)
{
	return server->java == SIM_JAVA_3_8 &&
	       server->view.role == FLE_FOLLOWING &&
	       server->view.phase == ZAB_SYNCHRONIZATION;
}

/* Does history for that slot follow behind the action? */
static bool
has_history(const struct sim *sim, const struct zab_action *trunc)
{
	const struct zab_actions *all = &sim->actions;

	for (uint32_t i = 0; i < all->count; i++)
		if (all->action[i].type == ZAB_DO_STREAM_HISTORY &&
		    all->action[i].slots == trunc->slots)
			return true;
	return false;
}

bool
sim_java_sends_snapshot(const struct sim *sim, struct sim_server *server,
			const struct zab_action *action)
{
	if (server->java == SIM_JAVA_NONE)
		return false;
	if (action->type == ZAB_DO_SEND && action->packet == QUORUM_TRUNC &&
	    has_history(sim, action)) {
		server->snap_slots |= action->slots;
		return true;
	}
	return false;
}

uint64_t
sim_java_early_commits(struct sim_server *server,
		       const struct zab_action *action)
{
	if (server->java == SIM_JAVA_NONE || action->type != ZAB_DO_SEND ||
	    (action->slots & 1ull << ZAB_LEADER_SLOT))
		return 0;
	if (action->packet == QUORUM_NEWLEADER)
		server->newleader_slots |= action->slots;
	else if (action->packet == QUORUM_UPTODATE)
		server->newleader_slots &= ~action->slots;
	return action->packet == QUORUM_COMMIT
		       ? server->newleader_slots & ~action->slots
		       : 0;
}

void
sim_java_closed(struct sim_server *server, uint32_t slot)
{
	server->newleader_slots &= ~(1ull << slot);
	server->snap_slots &= ~(1ull << slot);
}
