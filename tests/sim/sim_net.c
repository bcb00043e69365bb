/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_net - connections as two queues, notifications as one slot per pair.
 *
 * Inside a connection bytes come in order or not at all, as with TCP: every
 * message has a due time, never before that of the one ahead of it. A cut
 * direction stops the queue, and it goes on when the cut heals. When a
 * connection breaks each end gets a prefix of what was on its way and then the
 * end, each in its own time. A machine that loses power says nothing: its peer
 * goes on sending into the void.
 *
 * Notifications are kept one per pair, the newest; one that was delivered is
 * delivered again when the connection comes up anew, until the sender's
 * election ends.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

uint64_t
sim_net_delay_us(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_NET];
	const struct sim_limits *limits = &sim->limits;
	const uint64_t delay =
		sim_random_in(random, limits->net_us_min, limits->net_us_max);

	if (sim->has_faults && (sim->options.faults & 1u << SIM_FAULT_DELAY) &&
	    sim_random_once_in(random, limits->net_spike))
		return delay * sim_random_scale(random, 2, 1000);
	return delay;
}

static struct sim_message *
new_message(struct sim *sim)
{
	struct sim_message *message = sim->free_message;

	if (message) {
		sim->free_message = message->next;
		return message;
	}
	message = malloc(sizeof(*message));
	FAL_ASSERT(message);
	return message;
}

static void
drop_messages(struct sim *sim, struct sim_conn *conn, uint32_t end,
	      uint32_t kept)
{
	struct sim_message **at = &conn->head[end];

	conn->tail[end] = NULL;
	for (; *at && kept > 0; kept--) {
		conn->tail[end] = *at;
		at = &(*at)->next;
	}
	while (*at) {
		struct sim_message *message = *at;

		*at = message->next;
		message->next = sim->free_message;
		sim->free_message = message;
	}
}

static void
put_message(struct sim *sim, uint32_t index, uint32_t end,
	    const struct sim_message *model)
{
	struct sim_conn *conn = &sim->conn[index];
	struct sim_message *message = new_message(sim);

	*message = *model;
	message->next = NULL;
	message->due_us = sim->now_us + sim_net_delay_us(sim);
	if (message->due_us < conn->last_us[end])
		message->due_us = conn->last_us[end];
	conn->last_us[end] = message->due_us;
	if (conn->tail[end])
		conn->tail[end]->next = message;
	else
		conn->head[end] = message;
	conn->tail[end] = message;
	sim->counters.messages++;
	sim_put(sim, message->due_us - sim->now_us, SIM_DUE_MESSAGE, index, end,
		conn->serial, 0);
}

static void
free_if_over(struct sim *sim, uint32_t index)
{
	struct sim_conn *conn = &sim->conn[index];

	if (conn->is_open[0] || conn->is_open[1])
		return;
	drop_messages(sim, conn, 0, 0);
	drop_messages(sim, conn, 1, 0);
	conn->is_used = false;
}

static void
close_end(struct sim *sim, uint32_t index, uint32_t end)
{
	struct sim_conn *conn = &sim->conn[index];

	FAL_ASSERT(conn->is_open[end]);
	conn->is_open[end] = false;
	sim->server[conn->server[end]].conn[conn->slot[end]] = 0;
}

void
sim_net_send(struct sim *sim, struct sim_server *server, uint32_t slot,
	     const struct sim_message *message)
{
	const uint32_t index = server->conn[slot];

	if (index == 0)
		return;
	struct sim_conn *conn = &sim->conn[index - 1];

	if (!conn->is_broken)
		put_message(sim, index - 1, slot == ZAB_LEADER_SLOT ? 1 : 0,
			    message);
}

void
sim_net_close(struct sim *sim, struct sim_server *server, uint32_t slot)
{
	const uint32_t index = server->conn[slot];

	if (slot == ZAB_LEADER_SLOT && server->is_dialing) {
		server->is_dialing = false;
		server->dial_serial++;
	}
	if (index == 0)
		return;
	struct sim_conn *conn = &sim->conn[index - 1];
	const uint32_t end = slot == ZAB_LEADER_SLOT ? 0 : 1;

	close_end(sim, index - 1, end);
	if (slot != ZAB_LEADER_SLOT)
		sim_java_closed(server, slot);
	if (conn->is_open[!end] && !conn->is_broken)
		put_message(sim, index - 1, !end,
			    &(struct sim_message){.type = SIM_MSG_CLOSED});
	free_if_over(sim, index - 1);
}

/* What was sent to that end is lost from some message on; then it ends. */
static void
end_queue(struct sim *sim, uint32_t index, uint32_t end)
{
	struct sim_conn *conn = &sim->conn[index];
	uint32_t count = 0;

	for (struct sim_message *m = conn->head[end]; m; m = m->next)
		count++;
	drop_messages(sim, conn, end,
		      (uint32_t)sim_random_below(&sim->random[SIM_STREAM_NET],
						 count + 1u));
	put_message(sim, index, end,
		    &(struct sim_message){.type = SIM_MSG_CLOSED});
}

void
sim_net_break(struct sim *sim, uint32_t index)
{
	struct sim_conn *conn = &sim->conn[index];
	struct sim_random *random = &sim->random[SIM_STREAM_NET];
	/* Half open: one end never hears of it. */
	const uint64_t untold = sim_random_below(random, 6);

	if (!conn->is_used || conn->is_broken)
		return;
	conn->is_broken = true;
	for (uint32_t end = 0; end < 2; end++)
		if (conn->is_open[end] && end != untold)
			end_queue(sim, index, end);
}

void
sim_net_break_unheard(struct sim *sim, uint32_t index)
{
	struct sim_conn *conn = &sim->conn[index];

	if (!conn->is_used || conn->is_broken)
		return;
	conn->is_broken = true;
	drop_messages(sim, conn, 1, 0);
	if (conn->is_open[0])
		end_queue(sim, index, 0);
}

void
sim_net_lose_end(struct sim *sim, uint32_t index, uint32_t end, bool is_silent)
{
	struct sim_conn *conn = &sim->conn[index];

	close_end(sim, index, end);
	if (conn->is_open[!end] && !conn->is_broken && !is_silent) {
		conn->is_broken = true;
		end_queue(sim, index, !end);
	}
	free_if_over(sim, index);
}

static bool
skip_one(struct sim *sim, struct sim_conn *conn)
{
	struct sim_message **at = &conn->head[0];

	/* Not the first one of an epoch: ZooKeeper's leaders can be told to
	 * begin elsewhere, so that is no gap to a follower. */
	while (*at && (((*at)->type != QUORUM_PROPOSAL &&
			(*at)->type != QUORUM_COMMIT) ||
		       zab_counter((*at)->zxid) == 1))
		at = &(*at)->next;
	struct sim_message *message = *at;

	/* Behind it the gap must show, and a COMMIT's before a sync is answered
	 * by what it should have published. */
	if (!message || !message->next ||
	    (message->type == QUORUM_COMMIT &&
	     message->next->type != QUORUM_COMMIT))
		return false;
	*at = message->next;
	message->next = sim->free_message;
	sim->free_message = message;
	return true;
}

void
sim_net_skip(struct sim *sim, uint32_t first)
{
	for (uint32_t i = 0; i < SIM_CONNS_MAX; i++) {
		const uint32_t at = (first + i) % SIM_CONNS_MAX;
		struct sim_conn *conn = &sim->conn[at];

		if (conn->is_used && conn->is_open[0] &&
		    sim->server[conn->server[0]].view.phase == ZAB_BROADCAST &&
		    skip_one(sim, conn)) {
			sim_trace_note(sim, conn->server[0],
				       "is not sent a packet", 0);
			sim->was_skipped = true;
			return;
		}
	}
}

/* ----------------------------------------------------------- delivery --- */

/* Does this packet of its leader show a gap? */
static bool
is_gap(const struct sim_server *server, const struct sim_message *message)
{
	const struct sim_log *log = &server->log;
	const uint32_t published =
		sim_log_count_to(log, server->published_zxid);

	if (server->view.role != FLE_FOLLOWING ||
	    server->view.phase != ZAB_BROADCAST)
		return false;
	if (message->type == QUORUM_PROPOSAL)
		return zab_epoch(message->zxid) ==
			       zab_epoch(sim_log_last(log)) &&
		       message->zxid > sim_log_last(log) + 1;
	return message->type == QUORUM_COMMIT &&
	       message->zxid > server->published_zxid &&
	       (published == log->count ||
		log->entry[published].zxid != message->zxid);
}

static void
deliver(struct sim *sim, struct sim_server *server, uint32_t slot,
	const struct sim_message *message)
{
	struct zab_event event = {
		.type = ZAB_EV_PACKET,
		.slot = slot,
		.packet = message->type,
		.zxid = message->zxid,
		.sid = message->sid,
		.epoch = message->epoch,
		.config_version = message->config_version,
		.beacon_ms = message->beacon_ms,
		.config = message->config ? &sim->config[message->config - 1]
					  : NULL,
	};

	if (message->type == SIM_MSG_SNAPSHOT) {
		server->busy_zxid = message->zxid;
		server->busy_node = message->entry.node;
		server->is_installing = false;
		sim_put(sim, sim_disk_delay_us(sim, server), SIM_DUE_HISTORY,
			server->index, 0, server->busy_serial, 0);
		return;
	}
	if (message->type == QUORUM_OBSERVERINFO)
		sim->conn[server->conn[slot] - 1].is_observer = true;
	const bool must_leave =
		slot == ZAB_LEADER_SLOT && is_gap(server, message);
	const uint32_t incarnation = server->incarnation;

	server->arriving = message->entry;
	sim_server_step(sim, server, &event);
	if (must_leave && server->is_up && server->incarnation == incarnation &&
	    server->view.phase == ZAB_BROADCAST)
		sim_fail(sim, "C7 proposalConsistent, commitConsistent",
			 "s%u: takes %" PRIx64 " out of order", server->index,
			 (uint64_t)message->zxid);
	sim_session_packet(sim, server, slot, message);
	if (message->type == QUORUM_REQUEST && server->is_up &&
	    server->view.role == FLE_LEADING)
		sim_driver_request(sim, server, message->op - 1, slot);
}

/* May the message at the head be handed to that end now? */
static bool
is_ready(struct sim *sim, uint32_t index, uint32_t end)
{
	const struct sim_conn *conn = &sim->conn[index];
	const struct sim_message *message = conn->head[end];
	const struct sim_server *server = &sim->server[conn->server[end]];

	if (!message || message->due_us > sim->now_us)
		return false;
	if (!conn->is_open[end])
		return true;
	if (sim->is_cut[conn->server[!end]][conn->server[end]])
		return false;
	if (server->paused_until_us > sim->now_us) {
		sim_put(sim, server->paused_until_us - sim->now_us,
			SIM_DUE_MESSAGE, index, end, conn->serial, 0);
		return false;
	}
	if (end == 0 && server->is_busy)
		return message->type == SIM_MSG_CLOSED ||
		       (message->type == SIM_MSG_SNAPSHOT &&
			server->is_installing);
	return true;
}

/* An ACK that the next one makes needless: both are there. */
static bool
is_covered(struct sim *sim, uint32_t index, uint32_t end,
	   const struct sim_message *message)
{
	const struct sim_message *next = sim->conn[index].head[end];

	return sim->has_bursts && message->type == QUORUM_ACK &&
	       zab_counter(message->zxid) != 0 && next &&
	       next->type == QUORUM_ACK && next->zxid == message->zxid + 1 &&
	       zab_counter(next->zxid) != 0 && is_ready(sim, index, end);
}

static void
break_behind(struct sim *sim, uint32_t index, uint32_t serial,
	     const struct sim_message *message)
{
	const struct sim_limits *limits = &sim->limits;

	if (sim->has_faults && limits->break_odds &&
	    message->type == limits->break_packet &&
	    sim_random_once_in(&sim->random[SIM_STREAM_FAULT],
			       limits->break_odds) &&
	    sim->conn[index].serial == serial)
		sim_net_break(sim, index);
}

void
sim_net_pump(struct sim *sim, uint32_t index, uint32_t end)
{
	struct sim_conn *conn = &sim->conn[index];
	const uint32_t serial = conn->serial;

	while (conn->is_used && conn->serial == serial &&
	       is_ready(sim, index, end)) {
		struct sim_message *head = conn->head[end];
		struct sim_server *server = &sim->server[conn->server[end]];
		const struct sim_message message = *head;
		const uint32_t slot = conn->slot[end];

		conn->head[end] = head->next;
		if (!head->next)
			conn->tail[end] = NULL;
		head->next = sim->free_message;
		sim->free_message = head;
		if (!conn->is_open[end])
			continue;
		if (message.type != SIM_MSG_CLOSED) {
			/* A load that was given up leaves its stream behind. */
			if ((message.type != SIM_MSG_SNAPSHOT ||
			     server->is_installing) &&
			    !is_covered(sim, index, end, &message))
				deliver(sim, server, slot, &message);
			break_behind(sim, index, serial, &message);
			continue;
		}
		close_end(sim, index, end);
		if (end == 1)
			sim_java_closed(server, slot);
		free_if_over(sim, index);
		sim_server_step(sim, server,
				&(struct zab_event){.type = ZAB_EV_CONN_DOWN,
						    .slot = slot});
		return;
	}
}

void
sim_net_pump_server(struct sim *sim, struct sim_server *server)
{
	if (server->conn[ZAB_LEADER_SLOT])
		sim_net_pump(sim, server->conn[ZAB_LEADER_SLOT] - 1, 0);
}

void
sim_net_pump_all(struct sim *sim)
{
	for (uint32_t i = 0; i < SIM_CONNS_MAX; i++)
		for (uint32_t end = 0; end < 2; end++)
			if (sim->conn[i].is_used)
				sim_net_pump(sim, i, end);
	for (uint32_t i = 0; i < sim->count; i++)
		for (uint32_t j = 0; j < sim->count; j++)
			if (i != j && sim->fle[i][j].is_waiting)
				sim_put(sim, sim_net_delay_us(sim), SIM_DUE_FLE,
					i, j, sim->fle[i][j].serial, 0);
}

/* What an observer that is being let in will be sent must not be purged. */
bool
sim_net_feeds_observer(const struct sim *sim, const struct sim_server *server)
{
	for (uint32_t slot = 0; slot < ZAB_CONNS_MAX; slot++)
		if (server->conn[slot] &&
		    sim->conn[server->conn[slot] - 1].is_observer)
			return true;
	return false;
}

/* -------------------------------------------------------- connecting --- */

void
sim_net_dial(struct sim *sim, struct sim_server *server, int64_t sid)
{
	server->is_dialing = true;
	server->dial_serial++;
	sim_put(sim, 2 * sim_net_delay_us(sim), SIM_DUE_DIAL, server->index, 0,
		server->dial_serial, sid);
}

static uint32_t
new_conn(struct sim *sim, const struct sim_server *learner,
	 struct sim_server *leader)
{
	uint32_t slot = 0, index = 0;

	while (slot < ZAB_CONNS_MAX && leader->conn[slot])
		slot++;
	while (index < SIM_CONNS_MAX && sim->conn[index].is_used)
		index++;
	FAL_ASSERT(index < SIM_CONNS_MAX);
	if (slot == ZAB_CONNS_MAX)
		return SIM_CONNS_MAX;
	sim->conn[index] = (struct sim_conn){
		.is_used = true,
		.serial = ++sim->conn_serial,
		.server = {learner->index, leader->index},
		.slot = {ZAB_LEADER_SLOT, slot},
		.is_open = {true, true},
	};
	leader->conn[slot] = index + 1;
	return index;
}

static bool
is_listening(struct sim *sim, const struct sim_server *from,
	     const struct sim_server *to)
{
	if (!to->is_up || from == to || sim->is_cut[from->index][to->index] ||
	    sim->is_cut[to->index][from->index])
		return false;
	/* A port may be open a little before or after its server leads. */
	return to->view.role == FLE_LEADING ||
	       sim_random_once_in(&sim->random[SIM_STREAM_NET], 8);
}

void
sim_net_dialed(struct sim *sim, const struct sim_due *due)
{
	struct sim_server *server = &sim->server[due->who];
	struct sim_server *leader = NULL;
	struct zab_event event = {.type = ZAB_EV_CONN_DOWN,
				  .slot = ZAB_LEADER_SLOT};

	if (!server->is_up || server->dial_serial != due->serial ||
	    sim_server_defers(sim, server, due))
		return;
	server->is_dialing = false;
	for (uint32_t i = 0; i < sim->count; i++)
		if (sim->server[i].sid == due->number)
			leader = &sim->server[i];
	FAL_ASSERT(leader);
	const uint32_t index = is_listening(sim, server, leader)
				       ? new_conn(sim, server, leader)
				       : SIM_CONNS_MAX;

	if (index < SIM_CONNS_MAX) {
		server->conn[ZAB_LEADER_SLOT] = index + 1;
		sim_server_step(
			sim, leader,
			&(struct zab_event){.type = ZAB_EV_CONN_UP,
					    .slot = sim->conn[index].slot[1]});
		event.type = ZAB_EV_CONN_UP;
	}
	sim_server_step(sim, server, &event);
}

/* ------------------------------------------------------ notifications --- */

void
sim_net_send_fle(struct sim *sim, struct sim_server *server,
		 const struct zab_action *action)
{
	uint32_t to = 0;

	while (to < sim->count && sim->server[to].sid != action->sid)
		to++;
	FAL_ASSERT(to < sim->count);
	struct sim_fle *fle = &sim->fle[server->index][to];

	fle->is_waiting = true;
	fle->is_kept = false;
	fle->notification = action->notification;
	fle->config = sim_config_find(sim, zab_config(server->core));
	fle->serial++;
	sim_put(sim, sim_net_delay_us(sim), SIM_DUE_FLE, server->index, to,
		fle->serial, 0);
}

void
sim_net_deliver_fle(struct sim *sim, const struct sim_due *due)
{
	struct sim_fle *fle = &sim->fle[due->who][due->what];
	struct sim_server *to = &sim->server[due->what];

	if ((!fle->is_waiting && !fle->is_kept) || fle->serial != due->serial ||
	    sim->is_cut[due->who][due->what] ||
	    (sim->needs_both_ways && sim->is_cut[due->what][due->who]))
		return;
	if (!to->is_up) {
		sim_put(sim, sim_net_delay_us(sim), SIM_DUE_LINK, due->who,
			due->what, sim->server[due->who].incarnation, 0);
		return;
	}
	if (sim_server_defers(sim, to, due))
		return;
	fle->is_waiting = false;
	fle->is_kept = true;
	struct zab_event event = {.type = ZAB_EV_FLE,
				  .sid = sim->server[due->who].sid,
				  .notification = fle->notification};

	sim_genesis_heard(sim, to, due->who, &fle->notification);
	if (sim->config[fle->config].version > to->view.config_version)
		event.config = &sim->config[fle->config];
	sim_server_step(sim, to, &event);
}

void
sim_net_link_up(struct sim *sim, uint32_t from, uint32_t to)
{
	const struct sim_fle *fle = &sim->fle[from][to];

	if (fle->is_waiting || fle->is_kept)
		sim_put(sim, sim_net_delay_us(sim), SIM_DUE_FLE, from, to,
			fle->serial, 0);
}

void
sim_net_clear(struct sim *sim)
{
	for (uint32_t i = 0; i < SIM_CONNS_MAX; i++) {
		if (!sim->conn[i].is_used)
			continue;
		drop_messages(sim, &sim->conn[i], 0, 0);
		drop_messages(sim, &sim->conn[i], 1, 0);
	}
	memset(sim->conn, 0, sizeof(sim->conn));
	memset(sim->fle, 0, sizeof(sim->fle));
	memset(sim->is_cut, 0, sizeof(sim->is_cut));
}
