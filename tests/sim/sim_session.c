/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_session - sessions at the servers: the table of znode/session.h in each,
 * and the rules by which dataplane/ has it used.
 *
 * A session comes and goes by transactions alone, so which ones live is a
 * matter of the published depth. Only a leader that serves looks whose time is
 * over; it hears of its own clients, of a learner's by the touches in each PING
 * that comes back, and of who moves by REVALIDATE. A leader that begins gives
 * everybody a full timeout.
 *
 * What the leader ought to know is kept beside (known_ms, told), written where
 * it becomes true and not where a table is kept: no session may expire before
 * its timeout has passed since then by the leader's clock.
 */
#include <inttypes.h>
#include <string.h>

#include "sim.h"

#define EXPIRE_BURST 64u

enum { OWNER_CLIENT, OWNER_LEARNER }; /* session_owner.core */

static bool
leads(const struct sim_server *server)
{
	return server->is_up && server->is_serving &&
	       server->view.role == FLE_LEADING;
}

static bool
lives_at(const struct sim_session *session, uint32_t depth)
{
	return session->created_depth != 0 && session->created_depth <= depth &&
	       (session->closed_depth == 0 || session->closed_depth > depth);
}

static void
know(struct sim *sim, const struct sim_server *server, uint32_t number)
{
	sim->session[number - 1].known_ms[server->index] =
		sim_server_now_ms(sim, server);
}

/* ------------------------------------------------------- the table's life ---
 */

void
sim_session_begin_serving(struct sim *sim, struct sim_server *server)
{
	const uint32_t depth = sim->chain.node[server->published_node].depth;
	const uint64_t now_ms = sim_server_now_ms(sim, server);

	if (!sim->has_sessions)
		return;
	if (server->sessions == NULL &&
	    session_table_create(sim->core_options.tick_ms,
				 &server->sessions) != 0)
		FAL_ASSERT(false);
	for (uint32_t i = 0; i < sim->session_count; i++) {
		if (!lives_at(&sim->session[i], depth))
			session_remove(server->sessions, i + 1);
		else if (session_find(server->sessions, i + 1) == NULL)
			(void)session_add(server->sessions, i + 1,
					  sim->session[i].timeout_ms, now_ms);
	}
	memset(server->heard, 0, sizeof(server->heard));
	memset(server->touched, 0, sizeof(server->touched));
	memset(server->told, 0, sizeof(server->told));
	if (server->view.role != FLE_LEADING)
		return;
	session_restart_all(server->sessions, now_ms);
	for (uint32_t i = 0; i < sim->session_count; i++)
		know(sim, server, i + 1);
}

void
sim_session_forget(struct sim_server *server)
{
	session_table_destroy(server->sessions);
	server->sessions = NULL;
}

static void
check_table(struct sim *sim, const struct sim_server *server, uint32_t depth)
{
	if (depth == sim->committed_count &&
	    session_count(server->sessions) != sim->sessions_alive)
		sim_fail(sim, "sessions", "s%u: has %u sessions of %u",
			 server->index, session_count(server->sessions),
			 sim->sessions_alive);
}

void
sim_session_published(struct sim *sim, struct sim_server *server,
		      uint32_t index, uint32_t depth)
{
	const struct sim_op *op = &sim->op[index];

	if (!op->held || !server->is_serving || op->is_refused)
		return;
	if (op->kind == SIM_OP_OPEN) {
		struct session *session =
			session_add(server->sessions, op->held,
				    sim->session[op->held - 1].timeout_ms,
				    sim_server_now_ms(sim, server));

		FAL_ASSERT(session);
		if (op->proposed_by == server->index + 1 &&
		    op->proposed_reign == server->reign)
			session->owner = op->owner;
		know(sim, server, op->held);
	} else if (op->kind == SIM_OP_CLOSE || op->kind == SIM_OP_EXPIRE) {
		session_remove(server->sessions, op->held);
		sim_holder_hang_up(sim, server, op->held, 0);
	}
	check_table(sim, server, depth);
}

/* ------------------------------------------------------------- proposals ---
 */

static struct session_owner
owner_of(const struct sim_op *op, const struct sim_pending *pending)
{
	if (pending->slot == ZAB_SELF_SLOT)
		return (struct session_owner){.core = OWNER_CLIENT,
					      .conn = op->client,
					      .conn_gen = op->session};
	return (struct session_owner){.core = OWNER_LEARNER,
				      .conn = pending->slot,
				      .conn_gen = pending->serial};
}

/* Ephemerals as they will be when all that is proposed is published. */
static uint32_t
count_ephemerals(const struct sim *sim, const struct sim_server *server,
		 uint32_t held)
{
	uint32_t count = sim->session[held - 1].ephemerals;
	uint32_t node = sim_log_node(&server->log, server->log.count);

	for (; node != server->published_node;
	     node = sim->chain.node[node].parent) {
		const struct sim_op *op =
			&sim->op[sim->chain.node[node].value - 1];

		count += op->held == held && op->kind == SIM_OP_EPHEMERAL &&
			 !op->is_refused;
	}
	return count;
}

void
sim_session_judge(struct sim *sim, struct sim_server *server,
		  const struct sim_pending *pending)
{
	struct sim_op *op = &sim->op[pending->op];
	const bool closes =
		op->kind == SIM_OP_CLOSE || op->kind == SIM_OP_EXPIRE;

	if (!op->held)
		return;
	op->proposed_by = server->index + 1;
	op->proposed_reign = server->reign;
	op->owner = owner_of(op, pending);
	if (op->kind == SIM_OP_EXPIRE &&
	    (pending->slot != ZAB_SELF_SLOT || op->server != server->index))
		sim_fail(sim, "S4", "session %u is expired by s%u, s%u leads",
			 op->held, op->server, server->index);
	if (op->kind == SIM_OP_EPHEMERAL || op->kind == SIM_OP_CLOSE)
		op->is_refused = session_check(server->sessions, op->held,
					       op->owner) != 0;
	if (!closes || op->is_refused)
		return;
	struct session *session = session_find(server->sessions, op->held);

	FAL_ASSERT(session);
	session->is_closing = true;
	sim->session[op->held - 1].closing_epoch = server->view.epoch;
	op->ephemerals = count_ephemerals(sim, server, op->held);
}

void
sim_session_committed(struct sim *sim, uint32_t index, uint32_t depth)
{
	const struct sim_op *op = &sim->op[index];
	struct sim_session *session = &sim->session[op->held - 1];

	if (op->is_refused)
		return;
	if (op->kind == SIM_OP_OPEN) {
		session->created_depth = depth;
		sim->sessions_alive++;
		sim->counters.sessions++;
		return;
	}
	if (!lives_at(session, depth))
		sim_fail(sim, "S5", "%u of session %u, which does not live",
			 index, op->held);
	if (op->kind != SIM_OP_EXPIRE) {
		const uint64_t place = (uint64_t)op->session << 32 | op->number;

		if (place <= session->place)
			sim_fail(sim, "S1", "%u of session %u comes late",
				 index, op->held);
		session->place = place;
	}
	if (op->kind == SIM_OP_EPHEMERAL) {
		session->ephemerals++;
		return;
	}
	if (op->ephemerals != session->ephemerals)
		sim_fail(sim, "ephemerals", "session %u ends with %u of its %u",
			 op->held, op->ephemerals, session->ephemerals);
	session->closed_depth = depth;
	sim->sessions_alive--;
	sim->counters.expired += op->kind == SIM_OP_EXPIRE;
}

/* ---------------------------------------------------------------- expiry ---
 */

struct overdue {
	const struct sim *sim;
	const struct sim_server *server;
	uint32_t count, held[EXPIRE_BURST];
};

static uint64_t
heard(void *arg, const struct session *session)
{
	const struct overdue *overdue = arg;
	const struct session_owner *owner = &session->owner;

	if (owner->core != OWNER_CLIENT)
		return 0; /* nobody, or a learner: touches raise heard_ms */
	const struct sim_heard *line = &overdue->server->heard[owner->conn];

	return line->connection == owner->conn_gen ? line->ms : 0;
}

static void
note_overdue(void *arg, struct session *session)
{
	struct overdue *overdue = arg;

	overdue->held[overdue->count++] = (uint32_t)session->id;
}

static void
check_overdue(struct sim *sim, const struct sim_server *server, uint32_t held)
{
	struct sim_session *session = &sim->session[held - 1];
	const uint64_t known_ms = session->known_ms[server->index];

	if (server->view.role != FLE_LEADING)
		sim_fail(sim, "S4", "s%u: does not lead and expires session %u",
			 server->index, held);
	if (sim_server_now_ms(sim, server) <=
	    known_ms + (uint64_t)session->timeout_ms)
		sim_fail(sim, "early expiry",
			 "s%u: session %u, heard at %" PRIu64 ", is over at "
			 "%" PRIu64 " after %d ms",
			 server->index, held, known_ms,
			 sim_server_now_ms(sim, server), session->timeout_ms);
	sim_holder_check_overdue(sim, server, held);
	session->closing_epoch = server->view.epoch;
}

static void
expire(struct sim *sim, struct sim_server *server, uint32_t held)
{
	const uint32_t op = sim_client_new_op(
		sim, &(struct sim_op){.kind = SIM_OP_EXPIRE,
				      .client = sim->session[held - 1].holder,
				      .server = server->index,
				      .reign = server->reign,
				      .held = held,
				      .known_depth = sim->acked_depth,
				      .invoked_us = sim->now_us});

	if (server->view.role == FLE_LEADING)
		sim_driver_request(sim, server, op, ZAB_SELF_SLOT);
	else
		sim_net_send(sim, server, ZAB_LEADER_SLOT,
			     &(struct sim_message){.type = QUORUM_REQUEST,
						   .op = op + 1});
}

void
sim_session_expire(struct sim *sim, struct sim_server *server)
{
	struct overdue overdue = {.sim = sim, .server = server};
	const uint32_t reign = server->reign;

	if (!server->is_up || !server->is_serving ||
	    server->view.role != FLE_LEADING ||
	    server->paused_until_us > sim->now_us)
		return;
	(void)session_expire_due(server->sessions,
				 sim_server_now_ms(sim, server), EXPIRE_BURST,
				 heard, note_overdue, &overdue);
	for (uint32_t i = 0; i < overdue.count; i++)
		check_overdue(sim, server, overdue.held[i]);
	/* A step may end the role, and the table with it. */
	for (uint32_t i = 0; i < overdue.count && server->is_up &&
			     server->is_serving && server->reign == reign;
	     i++)
		expire(sim, server, overdue.held[i]);
}

/* ------------------------------------------------------ touches and moves ---
 */

void
sim_session_heard(struct sim *sim, struct sim_server *server, uint32_t holder,
		  uint32_t connection, uint32_t held)
{
	server->heard[holder] = (struct sim_heard){
		.connection = connection, .ms = sim_server_now_ms(sim, server)};
	server->touched[holder] = held;
	server->told[holder] = held;
	if (leads(server) && sim->holder[holder].connection == connection)
		know(sim, server, held);
}

void
sim_session_put_touches(struct sim_server *server, struct sim_message *ping)
{
	for (uint32_t i = 0; i < SIM_HOLDERS_MAX; i++) {
		ping->touch[i] = server->touched[i];
		ping->told[i] = server->told[i];
	}
	/* They are told once. */
	memset(server->touched, 0, sizeof(server->touched));
	memset(server->told, 0, sizeof(server->told));
}

static void
take_touches(struct sim *sim, struct sim_server *server,
	     const struct sim_message *ping)
{
	for (uint32_t i = 0; i < SIM_HOLDERS_MAX; i++) {
		struct session *session =
			session_find(server->sessions, ping->touch[i]);

		if (session)
			session->heard_ms = sim_server_now_ms(sim, server);
		if (ping->told[i])
			know(sim, server, ping->told[i]);
	}
}

/* The leader's word on who moves; `owner` speaks for it from now on. */
static bool
take_over(struct sim *sim, struct sim_server *server, uint32_t held,
	  struct session_owner owner)
{
	struct session *session = session_find(server->sessions, held);
	const bool is_valid = session != NULL && !session->is_closing;
	const struct sim_session *known = &sim->session[held - 1];
	const bool lives =
		lives_at(known, sim->chain.node[server->published_node].depth);

	if (is_valid && (!lives || known->closing_epoch == server->view.epoch))
		sim_fail(sim, "S2", "s%u: session %u comes back from the dead",
			 server->index, held);
	if (!is_valid && lives && known->closing_epoch != server->view.epoch)
		sim_fail(sim, "S2", "s%u: session %u is said to be over",
			 server->index, held);
	if (!is_valid)
		return false;
	sim->counters.moves += owner.core == OWNER_LEARNER;
	/* Its pings here would count no longer. */
	if (owner.core == OWNER_LEARNER)
		sim_holder_hang_up(sim, server, held, 0);
	session->owner = owner;
	session->heard_ms = sim_server_now_ms(sim, server);
	know(sim, server, held);
	return true;
}

void
sim_session_resume(struct sim *sim, struct sim_server *server, uint32_t holder,
		   uint32_t connection, uint32_t held)
{
	const struct session_owner owner = {
		.core = OWNER_CLIENT, .conn = holder, .conn_gen = connection};

	/* Another connection of the same client is closed. */
	sim_holder_hang_up(sim, server, held, connection);
	server->heard[holder] = (struct sim_heard){
		.connection = connection, .ms = sim_server_now_ms(sim, server)};
	if (server->view.role == FLE_LEADING)
		sim_holder_greet(sim, server, holder, connection,
				 take_over(sim, server, held, owner));
	else
		sim_net_send(sim, server, ZAB_LEADER_SLOT,
			     &(struct sim_message){.type = QUORUM_REVALIDATE,
						   .held = held,
						   .holder = holder,
						   .connection = connection});
}

void
sim_session_packet(struct sim *sim, struct sim_server *server, uint32_t slot,
		   const struct sim_message *message)
{
	struct sim_message answer = *message;

	if (!sim->has_sessions || !server->is_up || !server->is_serving ||
	    server->conn[slot] == 0)
		return;
	if (slot == ZAB_LEADER_SLOT) {
		if (message->type == QUORUM_REVALIDATE)
			sim_holder_greet(sim, server, message->holder,
					 message->connection,
					 message->is_valid);
		return;
	}
	if (!leads(server))
		return;
	if (message->type == QUORUM_PING) {
		take_touches(sim, server, message);
	} else if (message->type == QUORUM_REVALIDATE) {
		answer.is_valid = take_over(
			sim, server, message->held,
			(struct session_owner){
				.core = OWNER_LEARNER,
				.conn = slot,
				.conn_gen = sim->conn[server->conn[slot] - 1]
						    .serial});
		sim_net_send(sim, server, slot, &answer);
	}
}
