/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_check - what must hold, whatever happens.
 *
 * The names are those of quorum-protocol.md section 21 and of architecture.md
 * section 10 (C1..C11). The committed history of the ensemble is one array of
 * nodes by depth; a node stands for a whole history (sim_chain.h), so
 * agreement, total order, primary order, integrity and prefix consistency are
 * one comparison when a server publishes: its node at each depth must be the
 * one that is there.
 *
 * What is said is compared with what the simulated disk would give back after a
 * crash now, and committed history is looked for on those disks: a quorum must
 * hold it at any time. A server with an emptied disk counts until it votes
 * again; the faults empty a minority only.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "sim.h"

/* -------------------------------------------------------- each step --- */

static void
check_epochs(struct sim *sim, const struct sim_server *server)
{
	const struct zab_view *view = &server->view;
	const struct sim_disk *disk = &server->disk;

	if (view->current_epoch > view->accepted_epoch)
		sim_fail(sim, "C2", "s%u: currentEpoch above acceptedEpoch",
			 server->index);
	if (view->accepted_epoch != disk->accepted_epoch ||
	    view->current_epoch != disk->current_epoch)
		sim_fail(sim, "memory==disk",
			 "s%u: epochs %" PRId64 " %" PRId64, server->index,
			 view->accepted_epoch, view->current_epoch);
	if (view->accepted_epoch < server->said_accepted ||
	    view->current_epoch < server->said_current)
		sim_fail(sim, "C2", "s%u: an epoch went back", server->index);
}

void
sim_check_step(struct sim *sim, struct sim_server *server)
{
	const struct zab_view *view = &server->view;

	check_epochs(sim, server);
	if (!server->is_busy && view->last_zxid != sim_log_last(&server->log))
		sim_fail(sim, "memory==core",
			 "s%u: the core ends with %" PRIx64
			 ", the log with %" PRIx64,
			 server->index, (uint64_t)view->last_zxid,
			 (uint64_t)sim_log_last(&server->log));
	if (!server->is_busy &&
	    view->durable_zxid > sim_disk_zxid(&server->disk))
		sim_fail(sim, "L1", "s%u: %" PRIx64 " is not durable",
			 server->index, (uint64_t)view->durable_zxid);
	if (view->committed_zxid != server->published_zxid)
		sim_fail(sim, "C6", "s%u: published %" PRIx64, server->index,
			 (uint64_t)server->published_zxid);
	if (server->is_serving != view->is_serving)
		sim_fail(sim, "state", "s%u: serving was not told",
			 server->index);
	if (view->role == FLE_LEADING && view->phase == ZAB_BROADCAST &&
	    sim->epoch_leader[view->epoch] != server->index + 1)
		sim_fail(sim, "Leadership1", "s%u: epoch %" PRId64,
			 server->index, view->epoch);
	if (view->role == FLE_LEADING && view->phase == ZAB_BROADCAST &&
	    server->disk.current_epoch != view->epoch)
		sim_fail(sim, "C3", "s%u: leads before currentEpoch",
			 server->index);
}

/* How much was committed by leaders of lower epochs. */
static uint32_t
committed_before(const struct sim *sim, int64_t epoch)
{
	uint32_t count = sim->committed_count;

	while (count > 0 && sim->committed_epoch[count - 1] >= epoch)
		count--;
	return count;
}

/* ------------------------------------------------------- durability --- */

void
sim_check_durable(struct sim *sim)
{
	uint32_t holders = 0; /* mask */

	if (sim->committed_count == 0)
		return;
	const uint32_t tip = sim->committed[sim->committed_count - 1];

	for (uint32_t i = 0; i < sim->count; i++) {
		const struct sim_server *server = &sim->server[i];

		if (server->has_forgotten ||
		    sim_chain_begins_with(&sim->chain,
					  sim_disk_node(&server->disk), tip))
			holders |= 1u << i;
	}
	if (!sim_config_decides(sim, holders))
		sim_fail(sim, "C10",
			 "zxid %" PRIx64 " is committed, servers %x hold it",
			 (uint64_t)sim->chain.node[tip].zxid, holders);
}

static void
commit_node(struct sim *sim, const struct sim_server *server, uint32_t node)
{
	const struct sim_node *one = &sim->chain.node[node];

	FAL_ASSERT(one->depth == sim->committed_count + 1);
	if (sim->committed_count > 0) {
		const int64_t last = sim->chain.node[one->parent].zxid;

		if (one->zxid != last + 1 &&
		    (zab_epoch(one->zxid) <= zab_epoch(last) ||
		     zab_counter(one->zxid) != 1))
			sim_fail(sim, "GlobalPrimaryOrder",
				 "s%u: %" PRIx64 " behind %" PRIx64,
				 server->index, (uint64_t)one->zxid,
				 (uint64_t)last);
	}
	if (sim->committed_count == sim->committed_capacity) {
		sim->committed_capacity = sim->committed_capacity
						  ? sim->committed_capacity * 2
						  : 1024;
		sim->committed = realloc(sim->committed,
					 sim->committed_capacity *
						 sizeof(*sim->committed));
		FAL_ASSERT(sim->committed);
		sim->committed_epoch =
			realloc(sim->committed_epoch,
				sim->committed_capacity *
					sizeof(*sim->committed_epoch));
		FAL_ASSERT(sim->committed_epoch);
	}
	sim->committed_epoch[sim->committed_count] = server->told_epoch;
	sim->committed[sim->committed_count++] = node;
	sim->counters.commits++;
	const uint32_t config = sim->op[one->value - 1].config;

	if (config && sim->config[config - 1].version == one->zxid)
		sim->committed_config = config - 1;
	sim_client_committed(sim, one->value, one->depth);
}

/* The node on the way to `node` that is `depth` transactions long. */
static uint32_t
ancestor_at(const struct sim *sim, uint32_t node, uint32_t depth)
{
	while (sim->chain.node[node].depth > depth)
		node = sim->chain.node[node].parent;
	return node;
}

void
sim_check_publish(struct sim *sim, struct sim_server *server, uint32_t node)
{
	const uint32_t depth = sim->chain.node[node].depth;
	uint32_t shared = sim->committed_count;
	const bool is_new = depth > shared;

	if (!sim_chain_begins_with(&sim->chain, node, server->published_node))
		sim_fail(sim, "C6", "s%u: takes back what it published",
			 server->index);
	if (shared > depth)
		shared = depth;
	if (shared > 0 &&
	    ancestor_at(sim, node, shared) != sim->committed[shared - 1])
		sim_fail(sim, "C9 PrefixConsistency",
			 "s%u: publishes another history than others",
			 server->index);
	while (sim->committed_count < depth)
		commit_node(sim, server,
			    ancestor_at(sim, node, sim->committed_count + 1));
	if (is_new)
		sim_check_durable(sim); /* C5 */
	for (uint32_t d = sim->chain.node[server->published_node].depth + 1;
	     d <= depth; d++)
		sim_client_published(
			sim, server,
			sim->chain.node[sim->committed[d - 1]].value, d);
	if (depth > server->published_depth)
		server->published_depth = depth;
}

/* ------------------------------------------------------- what is said --- */

static void
check_learner_says(struct sim *sim, struct sim_server *server,
		   const struct zab_action *action)
{
	const struct sim_disk *disk = &server->disk;
	const int64_t epoch = zab_epoch(action->zxid);

	if (action->packet == QUORUM_ACKEPOCH) {
		if (server->view.epoch > disk->accepted_epoch)
			sim_fail(sim, "C3",
				 "s%u: ACKEPOCH before it is durable",
				 server->index);
		server->said_accepted = disk->accepted_epoch;
	}
	if (action->packet != QUORUM_ACK)
		return;
	if (zab_counter(action->zxid) != 0) {
		if (action->zxid_last > sim_disk_zxid(disk))
			sim_fail(sim, "C3",
				 "s%u: ACK %" PRIx64 " before it is durable",
				 server->index, (uint64_t)action->zxid_last);
		return;
	}
	if (epoch > disk->current_epoch)
		sim_fail(sim, "C3", "s%u: NEWLEADER before currentEpoch",
			 server->index);
	if (server->view.phase != ZAB_BROADCAST &&
	    sim_disk_node(disk) !=
		    sim_log_node(&server->log, server->log.count))
		sim_fail(sim, "C3", "s%u: NEWLEADER before its history",
			 server->index);
	server->said_current = disk->current_epoch;
	for (uint32_t i = 0; i < sim->count; i++) {
		const struct sim_server *leader = &sim->server[i];

		if (sim->epoch_leader[epoch] == i + 1 &&
		    leader->view.role == FLE_LEADING &&
		    leader->view.epoch == epoch &&
		    !sim_chain_begins_with(
			    &sim->chain,
			    sim_log_node(&leader->log, leader->log.count),
			    sim_log_node(&server->log, server->log.count)))
			sim_fail(sim, "ProcessConsistency",
				 "s%u: not a prefix of its leader's history",
				 server->index);
	}
}

void
sim_check_send(struct sim *sim, struct sim_server *server,
	       const struct zab_action *action)
{
	const struct sim_disk *disk = &server->disk;
	const int64_t epoch = zab_epoch(action->zxid);

	if (action->slots & 1ull << ZAB_LEADER_SLOT) {
		check_learner_says(sim, server, action);
		return;
	}
	/* Before the history that is handed over the own promise is kept. */
	if (action->packet == QUORUM_NEWLEADER && epoch != disk->accepted_epoch)
		sim_fail(sim, "C3", "s%u: NEWLEADER before acceptedEpoch",
			 server->index);
}

/* ----------------------------------------------------------- electing --- */

/*
 * Nobody votes for less than it knows, and what it knows is on its disk; so
 * whoever is elected has the best log of those who voted for it. A server that
 * stays out of elections shows -1.
 */
void
sim_check_vote(struct sim *sim, const struct sim_server *server,
	       const struct zab_notification *vote)
{
	const int64_t epoch = server->disk.current_epoch;
	const int64_t zxid = sim_disk_zxid(&server->disk);

	const struct quorum *next = zab_next_config(server->core);

	if (vote->state != FLE_LOOKING || vote->zxid < 0)
		return;
	/* An observer only tells what it heard. */
	if (!quorum_is_voter(zab_config(server->core), server->sid) &&
	    !(next && quorum_is_voter(next, server->sid)))
		return;
	if (sim_genesis_forbids(server))
		sim_fail(sim, "C11", "s%u: votes", server->index);
	if (sim_log_last(&server->log) != zxid)
		sim_fail(sim, "memory==disk",
			 "s%u: votes before its log is durable", server->index);
	if (vote->peer_epoch < epoch ||
	    (vote->peer_epoch == epoch && vote->zxid < zxid))
		sim_fail(sim, "LeaderLogCompleteness",
			 "s%u: has %" PRIx64 " in epoch %" PRId64
			 " and votes for %" PRId64 " with %" PRIx64
			 " in epoch %" PRId64,
			 server->index, (uint64_t)zxid, epoch, vote->leader,
			 (uint64_t)vote->zxid, vote->peer_epoch);
}

/* Among ours nobody breaks the protocol, unless it is made to. */
void
sim_check_end_of(struct sim *sim, const struct sim_server *server, uint32_t why)
{
	if (why == ZAB_WHY_PEER_PROTOCOL && !sim->is_mixed && !sim->was_skipped)
		sim_fail(sim, "messageLegal, stateConsistent, ackConsistent",
			 "s%u: its peer broke the protocol", server->index);
}

/* ------------------------------------------------------------ leading --- */

void
sim_check_propose(struct sim *sim, const struct sim_server *server,
		  int64_t zxid)
{
	const int64_t epoch = zab_epoch(zxid);

	FAL_ASSERT(epoch > 0 && epoch < SIM_EPOCHS_MAX);
	if (sim->epoch_leader[epoch] != server->index + 1)
		sim_fail(sim, "C8", "s%u: proposes in epoch %" PRId64,
			 server->index, epoch);
	if (zab_counter(zxid) != sim->epoch_count[epoch] + 1 ||
	    zab_counter(zxid) > (server->options.counter_max
					 ? server->options.counter_max
					 : ZAB_COUNTER_MAX))
		sim_fail(sim, "C4 LocalPrimaryOrder", "s%u: proposes %" PRIx64,
			 server->index, (uint64_t)zxid);
	sim->epoch_count[epoch]++;
	/* Everything of the epochs before is committed here, too. */
	if (sim->chain.node[server->published_node].depth <
	    committed_before(sim, epoch))
		sim_fail(sim, "PrimaryIntegrity",
			 "s%u: proposes %" PRIx64 " before it committed all",
			 server->index, (uint64_t)zxid);
}

void
sim_check_state(struct sim *sim, struct sim_server *server,
		const struct zab_action *action)
{
	const uint32_t node = sim_log_node(&server->log, server->log.count);

	if (action->epoch > 0)
		server->told_epoch = action->epoch;
	if (action->role != FLE_LEADING || action->phase < ZAB_SYNCHRONIZATION)
		return;
	FAL_ASSERT(action->epoch > 0 && action->epoch < SIM_EPOCHS_MAX);
	uint32_t *leader = &sim->epoch_leader[action->epoch];

	if (sim_genesis_forbids(server))
		sim_fail(sim, "C11", "s%u: leads and must not vote",
			 server->index);
	if (action->phase == ZAB_SYNCHRONIZATION) {
		if (*leader != 0)
			sim_fail(sim, "C1 Leadership2",
				 "s%u: epoch %" PRId64 " is used again",
				 server->index, action->epoch);
		*leader = server->index + 1;
	}
	if (*leader != server->index + 1)
		sim_fail(sim, "C1 Leadership1",
			 "s%u: epoch %" PRId64 " is another's", server->index,
			 action->epoch);
	/* A leader that is outdated may not know yet what a later one has done.
	 */
	const uint32_t count = committed_before(sim, action->epoch);

	if (count > 0 && !sim_chain_begins_with(&sim->chain, node,
						sim->committed[count - 1]))
		sim_fail(sim, "LeaderLogCompleteness",
			 "s%u: leads epoch %" PRId64
			 " without all that is committed",
			 server->index, action->epoch);
}

/* -------------------------------------------------------- begin, end --- */

/* currentEpoch on the disk says that all is there that was committed before
 * that epoch. */
static void
check_current_epoch(struct sim *sim, const struct sim_server *server)
{
	const struct sim_disk *disk = &server->disk;
	const uint32_t count = committed_before(sim, disk->current_epoch);

	if (disk->is_nonvoting || count == 0 ||
	    sim_chain_begins_with(&sim->chain, sim_disk_node(disk),
				  sim->committed[count - 1]))
		return;
	sim_fail(sim, "currentEpoch",
		 "s%u: is %" PRId64 " without the history of that epoch",
		 server->index, disk->current_epoch);
}

void
sim_check_history(struct sim *sim, const struct sim_server *server)
{
	if (!sim_chain_begins_with(&sim->chain, sim_disk_node(&server->disk),
				   server->published_node))
		sim_fail(sim, "CommittedLogDurability",
			 "s%u: loses what it published", server->index);
}

void
sim_check_start(struct sim *sim, const struct sim_server *server)
{
	const struct sim_disk *disk = &server->disk;

	if (disk->accepted_epoch < server->said_accepted ||
	    disk->current_epoch < server->said_current)
		sim_fail(sim, "C2", "s%u: a promise is not on the disk",
			 server->index);
	check_current_epoch(sim, server);
	for (uint32_t i = 0; i < disk->snapshot_count; i++) {
		const uint32_t node = disk->snapshot[i].node;
		const uint32_t depth = sim->chain.node[node].depth;

		/* One that a leader sent may be of a reign that never began */
		if (depth <= sim->committed_count && depth > 0 &&
		    sim->committed[depth - 1] != node &&
		    !disk->snapshot[i].is_of_leader)
			sim_fail(sim, "snapshot",
				 "s%u: a snapshot is of no committed state",
				 server->index);
	}
}

bool
sim_check_is_calm(const struct sim *sim)
{
	const uint32_t tip = sim->committed_count
				     ? sim->committed[sim->committed_count - 1]
				     : 0;

	for (uint32_t i = 0; i < sim->count; i++) {
		const struct sim_server *server = &sim->server[i];

		if (!server->is_up || !server->is_serving ||
		    server->published_node != tip)
			return false;
	}
	return true;
}

void
sim_check_end(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->op_count; i++) {
		const struct sim_op *op = &sim->op[i];

		if (op->kind == SIM_OP_READ || op->kind == SIM_OP_SYNC ||
		    !op->is_acked)
			continue;
		if (op->depth == 0 || op->depth > sim->committed_count ||
		    sim->chain.node[sim->committed[op->depth - 1]].value !=
			    i + 1ull)
			sim_fail(sim, "C10",
				 "write %u was acknowledged and is lost", i);
	}
}
