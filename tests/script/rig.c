/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig - time, network and disks around the cores; see rig.h.
 *
 * rig_step() looks for whatever is due first: disks, then connections, then
 * election messages, then dials, then timers, each in the order of servers.
 * With a handful of servers a search is simpler than a queue, and its order is
 * plain to see.
 */
#include "tests/script/rig.h"

#include <stdlib.h>
#include <string.h>

#include "tests/script/rig_internal.h"

void
rig_print_zxid(FILE *out, int64_t zxid)
{
	if (zxid < 0)
		fprintf(out, "%lld", (long long)zxid);
	else
		fprintf(out, "%lld:%lld", (long long)zab_epoch(zxid),
			(long long)zab_counter(zxid));
}

const char *
rig_role_name(uint32_t role)
{
	static const char *const names[] = {"LOOKING", "FOLLOWING", "LEADING",
					    "OBSERVING"};

	return names[role];
}

const char *
rig_phase_name(uint32_t phase)
{
	static const char *const names[] = {"ELECTION", "DISCOVERY",
					    "SYNCHRONIZATION", "BROADCAST"};

	return names[phase];
}

void *
rig_alloc(size_t bytes)
{
	void *memory = calloc(1, bytes);

	FAL_ASSERT(memory != NULL);
	return memory;
}

void
rig_init(struct rig *rig, FILE *out, uint32_t voters, uint32_t observers)
{
	memset(rig, 0, sizeof(*rig));
	rig->out = out;
	rig->count = voters + observers;
	FAL_ASSERT(rig->count <= RIG_SERVERS);
	rig->now_ms = 1000;
	rig->net_ms = 1;
	rig->disk_ms = 1;
	rig->options = (struct zab_core_options){
		.tick_ms = 2000,
		.init_limit = 5,
		.sync_limit = 2,
		.finalize_ms = 200,
		.notify_min_ms = 200,
		.notify_max_ms = 3200,
		.epoch_wait_ms = 1000,
		.dial_retry_ms = 100,
		.dial_tries = 5,
		.outstanding_max = 1000,
		.limp_still_ms = 2000,
		.limp_lag_ms = 1000,
		.limp_for_ms = 3000,
		.yield_pause_ms = 2000,
	};
	rig->config.member_count = rig->count;
	for (uint32_t i = 0; i < rig->count; i++) {
		rig->config.member[i].sid = i + 1;
		rig->config.member[i].address = i + 1;
		rig->config.member[i].weight = 1;
		rig->config.member[i].is_voter = i < voters;
		rig->server[i].sid = i + 1;
		rig->server[i].core = rig_alloc(zab_core_bytes());
	}
	const int err = quorum_check(&rig->config);

	FAL_ASSERT(err == 0);
	for (uint32_t i = 0; i < rig->count; i++)
		rig->server[i].active = rig->config;
}

static void
free_packet(struct rig_packet *packet)
{
	free(packet->snapshot);
	free(packet);
}

static void
clear_queue(struct rig_conn *conn, uint32_t end)
{
	while (conn->head[end]) {
		struct rig_packet *packet = conn->head[end];

		conn->head[end] = packet->next;
		free_packet(packet);
	}
	conn->tail[end] = NULL;
}

void
rig_free(struct rig *rig)
{
	for (uint32_t i = 0; i < RIG_CONNS; i++) {
		clear_queue(&rig->conn[i], 0);
		clear_queue(&rig->conn[i], 1);
	}
	for (uint32_t i = 0; i < rig->count; i++) {
		for (uint32_t j = 0; j < rig->server[i].op_count; j++)
			free(rig->server[i].op[j].snapshot);
		free(rig->server[i].core);
	}
}

/* -------------------------------------------------------- connections --- */

void
rig_push(struct rig *rig, struct rig_conn *conn, uint32_t end,
	 struct rig_packet *packet)
{
	packet->due_ms = rig->now_ms + rig->net_ms;
	packet->next = NULL;
	if (conn->tail[end])
		conn->tail[end]->next = packet;
	else
		conn->head[end] = packet;
	conn->tail[end] = packet;
}

/* One end lets go; the other hears of it behind what is on its way. */
void
rig_let_go(struct rig *rig, struct rig_conn *conn, uint32_t end)
{
	if (!conn->is_open[end])
		return;
	conn->is_open[end] = false;
	clear_queue(conn, end);
	if (conn->is_open[!end]) {
		struct rig_packet *packet = rig_alloc(sizeof(*packet));

		packet->type = RIG_CLOSED;
		rig_push(rig, conn, !end, packet);
	} else {
		clear_queue(conn, !end);
		conn->is_used = false;
	}
}

/* Index + 1 of the connection behind a slot of the server; 0: none. */
uint32_t *
rig_slot(struct rig_server *server, uint32_t slot)
{
	return slot == ZAB_LEADER_SLOT ? &server->leader_conn
				       : &server->learner_conn[slot];
}

static uint32_t
free_conn(struct rig *rig)
{
	for (uint32_t i = 0; i < RIG_CONNS; i++) {
		struct rig_conn *conn = &rig->conn[i];

		if (conn->is_used)
			continue;
		clear_queue(conn, 0);
		clear_queue(conn, 1);
		memset(conn, 0, sizeof(*conn));
		return i;
	}
	fal_panic(__FILE__, __LINE__, "no connection is left");
}

static uint32_t
free_slot(const struct rig_server *server)
{
	uint32_t slot = 0;

	while (slot < ZAB_CONNS_MAX && server->learner_conn[slot])
		slot++;
	FAL_ASSERT(slot < ZAB_CONNS_MAX);
	return slot;
}

static void
dial_answer(struct rig *rig, uint32_t index)
{
	struct rig_server *server = &rig->server[index];
	const uint32_t to = (uint32_t)(server->dial_sid - 1);
	struct zab_event event = {.type = ZAB_EV_CONN_DOWN,
				  .slot = ZAB_LEADER_SLOT};

	server->dial_ms = 0;
	if (rig->is_cut[index][to] || rig->is_cut[to][index])
		return; /* Lost: the core's own deadline ends it. */
	if (!rig->server[to].is_up) {
		rig_event(rig, index, &event);
		return;
	}
	const uint32_t at = free_conn(rig);
	struct rig_conn *conn = &rig->conn[at];

	conn->is_used = true;
	conn->end[0] = index;
	conn->end[1] = to;
	conn->slot = free_slot(&rig->server[to]);
	conn->is_open[0] = conn->is_open[1] = true;
	server->leader_conn = at + 1;
	rig->server[to].learner_conn[conn->slot] = at + 1;
	struct zab_event up = {.type = ZAB_EV_CONN_UP,
			       .slot = conn->slot,
			       .is_master = server->dial_is_master};

	rig_event(rig, to, &up);
	event.type = ZAB_EV_CONN_UP;
	if (server->is_up && server->leader_conn == at + 1)
		rig_event(rig, index, &event);
}

/* Is the packet at the head of a queue held by a script? */
static bool
is_held(struct rig *rig, const struct rig_conn *conn, uint32_t end,
	const struct rig_packet *packet)
{
	for (uint32_t i = 0; i < rig->hold_count; i++) {
		struct rig_hold *hold = &rig->hold[i];

		if (hold->from != conn->end[!end] || hold->to != conn->end[end])
			continue;
		if (hold->packet == packet->type)
			hold->is_hit = true;
		if (hold->is_hit)
			return true;
	}
	return false;
}

static bool
is_deliverable(struct rig *rig, struct rig_conn *conn, uint32_t end,
	       uint64_t until_ms)
{
	const struct rig_packet *packet = conn->head[end];
	const struct rig_server *to = &rig->server[conn->end[end]];

	if (!conn->is_used || !packet || packet->due_ms > until_ms ||
	    rig->is_cut[conn->end[!end]][conn->end[end]])
		return false;
	if (end == 0 && packet->type != RIG_CLOSED && to->op_count > 0)
		/* Packets wait while the disk is changed under the core. */
		for (uint32_t i = 0; i < to->op_count; i++)
			if (to->op[i].kind >= RIG_DISK_TRUNCATE)
				return false;
	return !is_held(rig, conn, end, packet);
}

static void
deliver_packet(struct rig *rig, struct rig_conn *conn, uint32_t end)
{
	struct rig_packet *packet = conn->head[end];
	const uint32_t index = conn->end[end];
	struct rig_server *to = &rig->server[index];
	const uint32_t slot = end == 0 ? ZAB_LEADER_SLOT : conn->slot;

	conn->head[end] = packet->next;
	if (!conn->head[end])
		conn->tail[end] = NULL;
	struct zab_event event = {.type = ZAB_EV_PACKET,
				  .slot = slot,
				  .packet = packet->type,
				  .zxid = packet->zxid,
				  .sid = packet->sid,
				  .epoch = packet->epoch,
				  .config_version = packet->config_version};

	if (packet->has_config)
		event.config = &packet->config;
	if (packet->type == RIG_CLOSED) {
		event.type = ZAB_EV_CONN_DOWN;
		*rig_slot(to, slot) = 0;
		to->is_installing = to->is_installing && end != 0;
		rig_let_go(rig, conn, end);
		rig_event(rig, index, &event);
	} else if (packet->type == RIG_STREAM) {
		rig_install(rig, index, packet->snapshot);
		packet->snapshot = NULL;
	} else {
		rig->messages++;
		to->arriving = packet->entry;
		rig_event(rig, index, &event);
	}
	free_packet(packet);
}

static bool
step_network(struct rig *rig, uint64_t due_ms)
{
	for (uint32_t i = 0; i < RIG_CONNS; i++) {
		for (uint32_t end = 0; end < 2; end++) {
			struct rig_conn *conn = &rig->conn[i];

			if (is_deliverable(rig, conn, end, due_ms) &&
			    conn->head[end]->due_ms == due_ms) {
				deliver_packet(rig, conn, end);
				return true;
			}
		}
	}
	return false;
}

static uint64_t
network_due(struct rig *rig)
{
	uint64_t due = UINT64_MAX;

	for (uint32_t i = 0; i < RIG_CONNS; i++)
		for (uint32_t end = 0; end < 2; end++)
			if (is_deliverable(rig, &rig->conn[i], end, due))
				due = rig->conn[i].head[end]->due_ms;
	return due;
}

/* ----------------------------------------------------------- election --- */

static bool
fle_is_deliverable(const struct rig *rig, uint32_t from, uint32_t to)
{
	return rig->fle[from][to].is_waiting && rig->server[to].is_up &&
	       !rig->is_cut[from][to];
}

static uint64_t
election_due(const struct rig *rig)
{
	uint64_t due = UINT64_MAX;

	for (uint32_t i = 0; i < rig->count; i++) {
		for (uint32_t j = 0; j < rig->count; j++) {
			if (fle_is_deliverable(rig, i, j) &&
			    rig->fle[i][j].due_ms < due)
				due = rig->fle[i][j].due_ms;
			if (rig->link_down_ms[i][j] &&
			    rig->link_down_ms[i][j] < due)
				due = rig->link_down_ms[i][j];
		}
	}
	return due;
}

static bool
step_election(struct rig *rig, uint64_t due_ms)
{
	for (uint32_t i = 0; i < rig->count; i++) {
		for (uint32_t j = 0; j < rig->count; j++) {
			struct rig_fle *fle = &rig->fle[i][j];
			const struct rig_server *from = &rig->server[i];
			struct zab_event event = {.sid = from->sid};

			if (fle_is_deliverable(rig, i, j) &&
			    fle->due_ms <= due_ms) {
				fle->is_waiting = false;
				event.type = ZAB_EV_FLE;
				event.notification = fle->notification;
				if (from->active.version >
				    zab_config(rig->server[j].core)->version)
					event.config = &from->active;
				rig_event(rig, j, &event);
				return true;
			}
			if (rig->link_down_ms[j][i] &&
			    rig->link_down_ms[j][i] <= due_ms) {
				rig->link_down_ms[j][i] = 0;
				event.type = ZAB_EV_FLE_LINK;
				rig_event(rig, j, &event);
				return true;
			}
		}
	}
	return false;
}

/* --------------------------------------------------------------- time --- */

static uint64_t
own_due(struct rig *rig, uint32_t index, bool with_timers)
{
	const struct rig_server *server = &rig->server[index];
	uint64_t due = UINT64_MAX;

	if (!server->is_up)
		return due;
	for (uint32_t i = 0; i < server->op_count; i++)
		if (!server->is_disk_held && server->op[i].due_ms < due)
			due = server->op[i].due_ms;
	if (server->dial_ms && server->dial_ms < due)
		due = server->dial_ms;
	if (with_timers && zab_wake_ms(server->core) < due)
		due = zab_wake_ms(server->core);
	return due;
}

static bool
step_server(struct rig *rig, uint32_t index, uint64_t due_ms)
{
	struct rig_server *server = &rig->server[index];
	struct zab_event tick = {.type = ZAB_EV_TICK};

	if (!server->is_up)
		return false;
	if (rig_disk_step(rig, index, due_ms))
		return true;
	if (server->dial_ms && server->dial_ms <= due_ms) {
		dial_answer(rig, index);
		return true;
	}
	if (zab_wake_ms(server->core) <= due_ms) {
		rig_event(rig, index, &tick);
		return true;
	}
	return false;
}

static uint64_t
next_due(struct rig *rig, bool with_timers)
{
	const uint64_t network = network_due(rig);
	const uint64_t election = election_due(rig);
	uint64_t due = network < election ? network : election;

	for (uint32_t i = 0; i < rig->count; i++) {
		const uint64_t own = own_due(rig, i, with_timers);

		if (own < due)
			due = own;
	}
	return due < rig->now_ms ? rig->now_ms : due;
}

static bool
step_at(struct rig *rig, uint64_t due)
{
	rig->now_ms = due;
	for (uint32_t i = 0; i < rig->count; i++)
		if (rig_disk_step(rig, i, due))
			return true;
	const uint64_t network = network_due(rig);

	if (network <= due)
		return step_network(rig, network);
	if (step_election(rig, due))
		return true;
	for (uint32_t i = 0; i < rig->count; i++)
		if (step_server(rig, i, due))
			return true;
	return false;
}

bool
rig_step(struct rig *rig, uint64_t until_ms)
{
	const uint64_t due = next_due(rig, true);

	if (due > until_ms)
		return false;
	return step_at(rig, due);
}

void
rig_run(struct rig *rig, uint64_t for_ms)
{
	const uint64_t until = rig->now_ms + for_ms;

	if (for_ms > 0) {
		while (rig_step(rig, until))
			;
		rig->now_ms = until;
		return;
	}
	for (;;) {
		const uint64_t due = next_due(rig, false);

		/* Timers that fire on the way belong to the run. */
		if (due == UINT64_MAX || !step_at(rig, next_due(rig, true)))
			return;
	}
}
