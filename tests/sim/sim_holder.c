/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_holder - clients that live for their session: they ping, make
 * ephemerals, move to another server, fall silent for longer than they may,
 * close their session, or lose it and begin a new one.
 *
 * A connection is a number; what comes from an older one, or to it, is void.
 * As long as faults last they do all of this; then they only ping, so whoever
 * is attached must not be expired, and what nobody holds must.
 */
#include <stdlib.h>

#include "sim.h"

/* Of its timeout: so often it pings. */
#define BEATS 4u

static bool
is_there(const struct sim *sim, const struct sim_holder *holder)
{
	if (holder->server == SIM_NOBODY)
		return false;
	const struct sim_server *server = &sim->server[holder->server];

	return server->is_up && server->is_serving &&
	       server->reign == holder->reign;
}

static void
leave(struct sim_holder *holder)
{
	holder->server = SIM_NOBODY;
	holder->is_attached = false;
}

/* In the order of the connection. */
static uint64_t
arrival_us(struct sim *sim, struct sim_holder *holder)
{
	uint64_t at_us = sim->now_us + sim_net_delay_us(sim);

	if (at_us < holder->last_us)
		at_us = holder->last_us;
	holder->last_us = at_us;
	return at_us - sim->now_us;
}

/* A ping, or the word that its session comes back. */
static void
say(struct sim *sim, uint32_t index, enum sim_kind kind)
{
	struct sim_holder *holder = &sim->holder[index];

	sim_put(sim, arrival_us(sim, holder), kind, index, holder->server,
		holder->connection, holder->session);
}

static void
ask(struct sim *sim, uint32_t index, enum sim_op_kind kind)
{
	struct sim_holder *holder = &sim->holder[index];
	const uint32_t op = sim_client_new_op(
		sim, &(struct sim_op){.kind = kind,
				      .client = index,
				      .server = holder->server,
				      .reign = holder->reign,
				      .session = holder->connection,
				      .number = ++holder->number,
				      .held = holder->session,
				      .known_depth = sim->acked_depth,
				      .invoked_us = sim->now_us});

	sim_put(sim, arrival_us(sim, holder), SIM_DUE_OP, op, 0, 0, 0);
}

/* ------------------------------------------------------------ connecting ---
 */

static uint32_t
new_session(struct sim *sim, uint32_t holder)
{
	if (sim->session_count == sim->session_capacity) {
		sim->session_capacity =
			sim->session_capacity ? 2 * sim->session_capacity : 64;
		sim->session =
			realloc(sim->session,
				sim->session_capacity * sizeof(*sim->session));
		FAL_ASSERT(sim->session);
	}
	sim->session[sim->session_count] = (struct sim_session){
		.holder = holder,
		.timeout_ms = (int32_t)(sim->holder[holder].timeout_us / 1000)};
	return ++sim->session_count;
}

static void
connect_somewhere(struct sim *sim, uint32_t index)
{
	struct sim_holder *holder = &sim->holder[index];
	const uint32_t first = (uint32_t)sim_random_below(
		&sim->random[SIM_STREAM_SESSION], sim->count);

	if (holder->session == 0 && !sim->has_faults)
		return;
	for (uint32_t i = 0; i < sim->count; i++) {
		const struct sim_server *server =
			&sim->server[(first + i) % sim->count];

		if (!server->is_up || !server->is_serving ||
		    sim->chain.node[server->published_node].depth <
			    holder->seen_depth)
			continue;
		holder->server = server->index;
		holder->reign = server->reign;
		holder->connection++;
		holder->number = 0;
		holder->last_us = 0;
		holder->began_us = sim->now_us;
		break;
	}
	if (holder->server == SIM_NOBODY)
		return;
	if (holder->session) {
		say(sim, index, SIM_DUE_RESUME);
		return;
	}
	holder->session = new_session(sim, index);
	ask(sim, index, SIM_OP_OPEN);
	/* It is its own when the answer comes. */
	holder->opening = holder->session;
	holder->session = 0;
}

/* Between two ephemerals: the first one goes with the session, whether it is
 * committed by then or not, and the second comes too late. */
static void
end_session(struct sim *sim, uint32_t index)
{
	ask(sim, index, SIM_OP_EPHEMERAL);
	ask(sim, index, SIM_OP_CLOSE);
	ask(sim, index, SIM_OP_EPHEMERAL);
}

static void
live(struct sim *sim, uint32_t index)
{
	struct sim_holder *holder = &sim->holder[index];
	struct sim_random *random = &sim->random[SIM_STREAM_SESSION];

	say(sim, index, SIM_DUE_BEAT);
	if (!sim->has_faults)
		return;
	if (sim_random_once_in(random, 3))
		ask(sim, index, SIM_OP_EPHEMERAL);
	else if (sim_random_once_in(random, 24))
		end_session(sim, index);
	else if (sim_random_once_in(random, 8))
		leave(holder); /* and comes back elsewhere */
	else if (sim_random_once_in(random, 24))
		holder->silent_until_us =
			sim->now_us +
			sim_random_below(random, 4 * holder->timeout_us);
}

void
sim_holder_turn(struct sim *sim, uint32_t index)
{
	struct sim_holder *holder = &sim->holder[index];

	if (!is_there(sim, holder))
		leave(holder);
	/* Who is not answered tries another one. */
	if (holder->server != SIM_NOBODY && !holder->is_attached &&
	    sim->now_us > holder->began_us + holder->timeout_us / BEATS)
		leave(holder);
	if (sim->now_us < holder->silent_until_us && sim->has_faults)
		;
	else if (holder->server == SIM_NOBODY)
		connect_somewhere(sim, index);
	else if (holder->is_attached)
		live(sim, index);
	sim_put(sim, holder->timeout_us / BEATS, SIM_DUE_HOLDER, index, 0, 0,
		0);
}

/* --------------------------------------------------------------- answers ---
 */

void
sim_holder_arrive(struct sim *sim, const struct sim_due *due)
{
	const struct sim_holder *holder = &sim->holder[due->who];
	struct sim_server *server = &sim->server[due->what];

	if (!server->is_up || !server->is_serving ||
	    sim_server_defers(sim, server, due))
		return;
	/* Also when its client has given up by now. */
	if (due->kind == SIM_DUE_RESUME)
		sim_session_resume(sim, server, due->who, due->serial,
				   (uint32_t)due->number);
	else if (holder->connection == due->serial && is_there(sim, holder) &&
		 holder->is_attached)
		sim_session_heard(sim, server, due->who, due->serial,
				  (uint32_t)due->number);
}

void
sim_holder_greet(struct sim *sim, const struct sim_server *server,
		 uint32_t index, uint32_t connection, bool is_valid)
{
	struct sim_holder *holder = &sim->holder[index];

	if (holder->server != server->index ||
	    holder->connection != connection || !is_there(sim, holder))
		return;
	sim_put(sim, sim_net_delay_us(sim), SIM_DUE_GREETED, index, is_valid,
		connection, 0);
}

void
sim_holder_greeted(struct sim *sim, const struct sim_due *due)
{
	struct sim_holder *holder = &sim->holder[due->who];

	if (holder->connection != due->serial || !is_there(sim, holder))
		return;
	if (due->what) {
		holder->is_attached = true;
		holder->attached_us = sim->now_us;
		/* What it asked for elsewhere may still be on its way. */
		if (sim->has_faults)
			ask(sim, due->who, SIM_OP_EPHEMERAL);
		return;
	}
	holder->session = 0;
	leave(holder);
}

void
sim_holder_reply(struct sim *sim, const struct sim_op *op, uint32_t depth)
{
	struct sim_holder *holder = &sim->holder[op->client];

	if (depth > holder->seen_depth)
		holder->seen_depth = depth;
	if (holder->connection != op->session || !is_there(sim, holder))
		return;
	if (op->kind == SIM_OP_OPEN && holder->opening == op->held) {
		holder->session = op->held;
		holder->opening = 0;
		holder->is_attached = true;
		holder->attached_us = sim->now_us;
	} else if (op->is_refused) {
		leave(holder);
	} else if (op->kind == SIM_OP_CLOSE) {
		holder->session = 0;
		leave(holder);
	}
}

/* Its connection to that server is closed. */
void
sim_holder_hang_up(struct sim *sim, const struct sim_server *server,
		   uint32_t held, uint32_t except)
{
	struct sim_holder *holder = &sim->holder[sim->session[held - 1].holder];

	if (holder->session == held && holder->server == server->index &&
	    holder->is_attached && holder->connection != except)
		leave(holder);
}

/* ---------------------------------------------------------------- checks ---
 */

/* Both ends have it, and nothing is in its way. A leader that was replaced and
 * has not noticed keeps its clients, and so does who follows a dead line. */
static bool
is_connected(const struct sim *sim, const struct sim_server *server,
	     const struct sim_server *leader)
{
	const uint32_t index = server->conn[ZAB_LEADER_SLOT];

	if (server == leader)
		return true;
	if (index == 0)
		return false;
	const struct sim_conn *conn = &sim->conn[index - 1];

	return conn->server[1] == leader->index && !conn->is_broken &&
	       conn->is_open[0] && conn->is_open[1];
}

void
sim_holder_check_overdue(struct sim *sim, const struct sim_server *leader,
			 uint32_t held)
{
	const struct sim_holder *holder =
		&sim->holder[sim->session[held - 1].holder];
	uint64_t since_us = holder->attached_us;

	if (sim->has_faults || holder->session != held ||
	    !holder->is_attached || !is_there(sim, holder))
		return;
	if (!is_connected(sim, &sim->server[holder->server], leader))
		return;

	if (since_us < sim->calm_us)
		since_us = sim->calm_us;
	if (since_us < leader->paused_until_us)
		since_us = leader->paused_until_us;
	if (since_us < sim->server[holder->server].paused_until_us)
		since_us = sim->server[holder->server].paused_until_us;
	if (sim->now_us > since_us + holder->timeout_us)
		sim_fail(sim, "live session",
			 "s%u: expires session %u, whose client pings s%u",
			 leader->index, held, holder->server);
}

bool
sim_holder_is_calm(const struct sim *sim)
{
	uint32_t attached = 0;

	if (!sim->has_sessions)
		return true;
	for (uint32_t i = 0; i < SIM_HOLDERS_MAX; i++) {
		const struct sim_holder *holder = &sim->holder[i];

		if (holder->session == 0)
			continue;
		if (!holder->is_attached || !is_there(sim, holder))
			return false;
		attached++;
	}
	return attached == sim->sessions_alive;
}

void
sim_holder_init(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_SESSION];

	sim->has_sessions = true;
	for (uint32_t i = 0; i < SIM_HOLDERS_MAX; i++) {
		sim->holder[i] = (struct sim_holder){
			.server = SIM_NOBODY,
			.timeout_us = 1000ull * sim->core_options.tick_ms *
				      sim_random_in(random, 4, 20)};
		sim_put(sim, sim_random_below(random, 1000), SIM_DUE_HOLDER, i,
			0, 0, 0);
	}
	sim_put(sim, 500ull * sim->core_options.tick_ms, SIM_DUE_EXPIRE, 0, 0,
		0, 0);
}
