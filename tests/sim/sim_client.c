/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_client - clients that write, read and sync, and remember everything.
 *
 * Every write has a value of its own and its place in the committed history is
 * the order that all must agree to, so a history of writes is linearizable if
 * and only if each write stands behind everything that was acknowledged before
 * it was asked for. Within a session writes stand in the order in which they
 * were asked for, and a client never sees an older state than it saw before.
 *
 * A client whose server stops serving is disconnected; what it had asked for
 * may happen or not. It connects to a server that is not behind what it has
 * seen, as ZooKeeper's clients do.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

void
sim_client_init(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_CLIENT];

	sim->client_count = (uint32_t)sim_random_in(random, 2, SIM_CLIENTS_MAX);
	for (uint32_t i = 0; i < sim->client_count; i++) {
		sim->client[i] = (struct sim_client){
			.server = SIM_NOBODY,
			.pipeline = (uint32_t)sim_random_in(random, 1, 4),
			.reads = 1,
			.syncs = 1};
		/* The first one writes; some others mostly look, and notice
		 * whom they ask: a write waits for the commit. */
		if (i > 0 && sim_random_once_in(random, 2)) {
			sim->client[i].reads = 2;
			sim->client[i].syncs =
				(uint32_t)sim_random_in(random, 4, 8);
		}
		sim_put(sim, sim_random_below(random, 1000), SIM_DUE_CLIENT, i,
			0, 0, 0);
	}
}

static bool
is_connected(const struct sim *sim, const struct sim_client *client)
{
	if (client->server == SIM_NOBODY)
		return false;
	const struct sim_server *server = &sim->server[client->server];

	return server->is_up && server->is_serving &&
	       server->reign == client->reign;
}

void
sim_client_connect(struct sim *sim, uint32_t index, uint32_t server)
{
	struct sim_client *client = &sim->client[index];

	client->server = server;
	client->reign = sim->server[server].reign;
	client->session++;
	client->number = 0;
	client->last_write = 0;
	client->outstanding = 0;
	client->heard_us = 0;
}

static void
connect_somewhere(struct sim *sim, uint32_t index)
{
	struct sim_client *client = &sim->client[index];
	const uint32_t first = (uint32_t)sim_random_below(
		&sim->random[SIM_STREAM_CLIENT], sim->count);

	client->server = SIM_NOBODY;
	for (uint32_t i = 0; i < sim->count; i++) {
		const struct sim_server *server =
			&sim->server[(first + i) % sim->count];
		const uint32_t depth =
			sim->chain.node[server->published_node].depth;

		if (!server->is_up || !server->is_serving ||
		    depth < client->seen_depth)
			continue;
		sim_client_connect(sim, index, server->index);
		return;
	}
}

uint32_t
sim_client_new_op(struct sim *sim, const struct sim_op *model)
{
	const uint32_t op = sim->op_count++;

	if (op == sim->op_capacity) {
		sim->op_capacity =
			sim->op_capacity ? sim->op_capacity * 2 : 1024;
		sim->op = realloc(sim->op, sim->op_capacity * sizeof(*sim->op));
		FAL_ASSERT(sim->op);
	}
	sim->op[op] = *model;
	return op;
}

uint32_t
sim_client_invoke(struct sim *sim, uint32_t index, enum sim_op_kind kind)
{
	struct sim_client *client = &sim->client[index];

	FAL_ASSERT(is_connected(sim, client));
	const uint32_t op = sim_client_new_op(
		sim, &(struct sim_op){.kind = kind,
				      .client = index,
				      .server = client->server,
				      .reign = client->reign,
				      .session = client->session,
				      .number = ++client->number,
				      .before = client->last_write,
				      .known_depth = sim->acked_depth,
				      .invoked_us = sim->now_us});

	if (kind == SIM_OP_RECONFIG)
		sim->op[op].config = 1 + sim_config_draw(sim);
	if (kind == SIM_OP_WRITE || kind == SIM_OP_RECONFIG)
		client->last_write = op + 1;
	client->outstanding++;
	/* The connection of a client keeps the order of its requests. */
	uint64_t at_us = sim->now_us + sim_net_delay_us(sim);

	if (at_us < client->last_us)
		at_us = client->last_us;
	client->last_us = at_us;
	sim_put(sim, at_us - sim->now_us, SIM_DUE_OP, op, 0, 0, 0);
	return op;
}

void
sim_client_turn(struct sim *sim, uint32_t index)
{
	struct sim_client *client = &sim->client[index];
	struct sim_random *random = &sim->random[SIM_STREAM_CLIENT];

	if (!is_connected(sim, client))
		connect_somewhere(sim, index);
	if (client->server != SIM_NOBODY &&
	    client->outstanding < client->pipeline) {
		const uint64_t coin = sim_random_below(random, 10);

		const bool reconfigures =
			sim->core_options.is_reconfig_enabled &&
			sim->has_faults &&
			sim_random_once_in(random, sim->limits.reconfig_odds);

		(void)sim_client_invoke(sim, index,
					reconfigures           ? SIM_OP_RECONFIG
					: coin < client->reads ? SIM_OP_READ
					: coin < client->reads + client->syncs
						? SIM_OP_SYNC
						: SIM_OP_WRITE);
	}
	sim_put(sim, 1 + sim_random_below(random, 2 * sim->limits.think_us),
		SIM_DUE_CLIENT, index, 0, 0, 0);
}

static bool
is_served(const struct sim *sim, const struct sim_op *op)
{
	const struct sim_server *server = &sim->server[op->server];

	return server->is_up && server->is_serving &&
	       server->reign == op->reign;
}

/* Answers go to a client that is still there; it never goes back in time. */
static void
reply(struct sim *sim, uint32_t index, uint32_t depth)
{
	struct sim_client *client = &sim->client[sim->op[index].client];
	uint64_t at_us = sim->now_us + sim_net_delay_us(sim);

	/* A new connection does not wait for answers of the last one. */
	if (!sim->op[index].held && client->session == sim->op[index].session) {
		if (at_us < client->heard_us)
			at_us = client->heard_us;
		client->heard_us = at_us;
	}
	sim_put(sim, at_us - sim->now_us, SIM_DUE_REPLY, index, depth, 0, 0);
}

void
sim_client_op(struct sim *sim, const struct sim_due *due)
{
	struct sim_op *op = &sim->op[due->who];
	struct sim_server *server = &sim->server[op->server];

	if (!is_served(sim, op) || sim_server_defers(sim, server, due))
		return;
	if (op->held) {
		/* A newer connection of that client has closed this one. */
		if (server->heard[op->client].connection > op->session)
			return;
		sim_session_heard(sim, server, op->client, op->session,
				  op->held);
	}
	if (op->kind == SIM_OP_READ) {
		reply(sim, due->who,
		      sim->chain.node[server->published_node].depth);
		return;
	}
	if (op->kind == SIM_OP_SYNC) {
		if (server->sync_count == SIM_SYNCS_MAX)
			return;
		server->sync[server->sync_count++] = due->who;
	}
	if (server->view.role == FLE_LEADING)
		sim_driver_request(sim, server, due->who, ZAB_SELF_SLOT);
	else
		sim_net_send(sim, server, ZAB_LEADER_SLOT,
			     &(struct sim_message){.type = QUORUM_REQUEST,
						   .op = due->who + 1});
}

void
sim_client_reply(struct sim *sim, uint32_t index, uint32_t depth)
{
	struct sim_op *op = &sim->op[index];
	struct sim_client *client = &sim->client[op->client];

	if (op->held) {
		op->is_acked = true;
		sim_holder_reply(sim, op, depth);
		return;
	}
	if (client->session != op->session || op->is_acked)
		return;
	op->is_acked = true;
	op->acked_us = sim->now_us;
	client->outstanding--;
	if (op->kind == SIM_OP_WRITE || op->kind == SIM_OP_RECONFIG)
		sim->counters.acked++;
	else if (op->kind == SIM_OP_READ)
		sim->counters.reads++;
	else
		sim->counters.syncs++;
	if (op->kind == SIM_OP_SYNC && sim->core_options.is_sync_confirmed &&
	    depth < op->known_depth)
		sim_fail(sim, "linearizable sync",
			 "client %u reads %u, %u was acknowledged before",
			 op->client, depth, op->known_depth);
	if (depth < client->seen_depth)
		sim_fail(sim, "session order",
			 "client %u sees %u, it saw %u before", op->client,
			 depth, client->seen_depth);
	client->seen_depth = depth;
	if (depth > sim->acked_depth)
		sim->acked_depth = depth;
}

void
sim_client_committed(struct sim *sim, uint64_t value, uint32_t depth)
{
	FAL_ASSERT(value > 0 && value <= sim->op_count);
	struct sim_op *op = &sim->op[value - 1];
	struct sim_client *client = &sim->client[op->client];

	if (op->depth != 0)
		sim_fail(sim, "once", "write %u is committed twice",
			 (uint32_t)value - 1);
	op->depth = depth;
	if (depth <= op->known_depth)
		sim_fail(sim, "linearizable writes",
			 "write %u is before what was acknowledged before it",
			 (uint32_t)value - 1);
	if (op->held) {
		sim_session_committed(sim, (uint32_t)value - 1, depth);
		return;
	}
	if (op->session == client->committed_session &&
	    op->number <= client->committed_number)
		sim_fail(sim, "session order", "write %u of client %u",
			 (uint32_t)value - 1, op->client);
	client->committed_session = op->session;
	client->committed_number = op->number;
}

void
sim_client_published(struct sim *sim, struct sim_server *server, uint64_t value,
		     uint32_t depth)
{
	const struct sim_op *op = &sim->op[value - 1];

	if (op->held)
		sim_session_published(sim, server, (uint32_t)value - 1, depth);
	if (op->server == server->index && op->reign == server->reign &&
	    op->kind != SIM_OP_EXPIRE)
		reply(sim, (uint32_t)value - 1, depth);
}

void
sim_client_synced(struct sim *sim, struct sim_server *server, uint32_t count)
{
	const uint32_t depth = sim->chain.node[server->published_node].depth;

	if (count > server->sync_count)
		sim_fail(sim, "sync", "s%u: %u syncs done, %u asked",
			 server->index, count, server->sync_count);
	for (uint32_t i = 0; i < count; i++) {
		const uint32_t before = sim->op[server->sync[i]].before;

		if (before && (sim->op[before - 1].depth == 0 ||
			       sim->op[before - 1].depth > depth))
			sim_fail(sim, "sync",
				 "s%u: a sync is answered before write %u",
				 server->index, before - 1);
		reply(sim, server->sync[i], depth);
	}
	server->sync_count -= count;
	memmove(&server->sync[0], &server->sync[count],
		server->sync_count * sizeof(server->sync[0]));
}
