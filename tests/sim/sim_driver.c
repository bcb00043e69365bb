/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_driver - executes the actions of a core, one at a time.
 *
 * The rules are those of consensus/zab.h, section "Driver"; nothing here knows
 * the protocol. The state of a server is the node of its history (sim_chain.h).
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* ------------------------------------------------------------ sending --- */

static void
send_range(struct sim *sim, struct sim_server *server, uint32_t slot,
	   struct sim_message *message, int64_t last)
{
	const struct sim_log *log = &server->log;
	uint32_t at = sim_log_count_to(log, message->zxid - 1);

	/* All of the range must be there: the core knows the log. */
	FAL_ASSERT(at < log->count);
	FAL_ASSERT(log->entry[at].zxid == message->zxid);
	for (; at < log->count && log->entry[at].zxid <= last; at++) {
		message->entry = log->entry[at];
		message->config = log->entry[at].config;
		message->zxid = log->entry[at].zxid;
		sim_net_send(sim, server, slot, message);
	}
	FAL_ASSERT(log->entry[at - 1].zxid == last);
}

/* Java's servers log what comes with DIFF and acknowledge it one by one, some
 * of it before they acknowledge NEWLEADER and some behind it. */
static void
ack_newleader_as_java(struct sim *sim, struct sim_server *server,
		      const struct sim_message *newleader)
{
	const struct sim_log *log = &server->log;
	const uint32_t first = sim_log_count_to(log, server->sync_zxid);
	const uint32_t turn =
		first + (uint32_t)sim_random_below(&sim->random[SIM_STREAM_NET],
						   log->count - first + 1u);

	for (uint32_t i = first; i <= log->count; i++) {
		if (i == turn)
			sim_net_send(sim, server, ZAB_LEADER_SLOT, newleader);
		if (i < log->count)
			sim_net_send(sim, server, ZAB_LEADER_SLOT,
				     &(struct sim_message){
					     .type = QUORUM_ACK,
					     .zxid = log->entry[i].zxid});
	}
}

static uint32_t
config_of_newleader(struct sim *sim, const struct sim_server *server,
		    const struct zab_action *action)
{
	const struct quorum *next = zab_next_config(server->core);
	const struct quorum *config = zab_config(server->core);

	if (next && next->version == action->config_version)
		config = next;
	FAL_ASSERT(config->version == action->config_version);
	return 1 + sim_config_find(sim, config);
}

static void
send_one(struct sim *sim, struct sim_server *server,
	 const struct zab_action *action, uint32_t slot)
{
	struct sim_message message = {
		.type = action->packet,
		.zxid = action->zxid,
		.sid = action->packet == QUORUM_FOLLOWERINFO ||
				       action->packet == QUORUM_OBSERVERINFO
			       ? server->sid
			       : action->sid,
		.epoch = action->epoch,
		.beacon_ms = action->beacon_ms,
		.config_version = zab_config(server->core)->version,
	};

	if (action->packet == QUORUM_PROPOSAL ||
	    action->packet == QUORUM_INFORM ||
	    action->packet == QUORUM_INFORMANDACTIVATE) {
		send_range(sim, server, slot, &message, action->zxid_last);
		return;
	}
	if (sim->has_sessions && action->packet == QUORUM_PING &&
	    slot == ZAB_LEADER_SLOT)
		sim_session_put_touches(server, &message);
	if (action->packet == QUORUM_NEWLEADER)
		message.config = config_of_newleader(sim, server, action);
	if (server->acks_history && action->packet == QUORUM_ACK &&
	    slot == ZAB_LEADER_SLOT && zab_counter(action->zxid) == 0 &&
	    server->view.phase == ZAB_SYNCHRONIZATION &&
	    server->view.role == FLE_FOLLOWING) {
		ack_newleader_as_java(sim, server, &message);
		return;
	}
	for (; message.zxid <= action->zxid_last; message.zxid++)
		for (uint32_t i = 0; i < action->count; i++)
			sim_net_send(sim, server, slot, &message);
}

static void
send_history(struct sim *sim, struct sim_server *server, uint32_t slot,
	     int64_t after, int64_t last)
{
	const struct sim_log *log = &server->log;
	uint32_t at = sim_log_count_to(log, after);

	FAL_ASSERT(after >= log->floor_zxid);
	for (; at < log->count && log->entry[at].zxid <= last; at++) {
		struct sim_message message = {.type = QUORUM_PROPOSAL,
					      .zxid = log->entry[at].zxid,
					      .entry = log->entry[at],
					      .config = log->entry[at].config};

		sim_net_send(sim, server, slot, &message);
		message.type = QUORUM_COMMIT;
		sim_net_send(sim, server, slot, &message);
	}
	FAL_ASSERT(sim_log_zxid(log, at) == last);
}

static void
send_snapshot(struct sim *sim, struct sim_server *server, uint32_t slot,
	      int64_t zxid)
{
	struct sim_message message = {.type = SIM_MSG_SNAPSHOT, .zxid = zxid};

	if (server->published_zxid > zxid)
		message.zxid = server->published_zxid;
	message.entry.node = sim_log_node(
		&server->log, sim_log_count_to(&server->log, message.zxid));
	sim_net_send(sim, server, slot, &message);
}

static void
send_snap_instead(struct sim *sim, struct sim_server *server, uint32_t slot,
		  int64_t zxid)
{
	server->snap_slots &= ~(1ull << slot);
	sim_net_send(sim, server, slot,
		     &(struct sim_message){.type = QUORUM_SNAP, .zxid = zxid});
	send_snapshot(sim, server, slot, zxid);
}

static void
send_to_slots(struct sim *sim, struct sim_server *server,
	      const struct zab_action *action)
{
	for (uint32_t slot = 0; slot <= ZAB_CONNS_MAX; slot++) {
		if (!(action->slots & 1ull << slot))
			continue;
		if (action->type == ZAB_DO_SEND)
			send_one(sim, server, action, slot);
		else if (action->type == ZAB_DO_STREAM_HISTORY &&
			 (server->snap_slots & 1ull << slot))
			send_snap_instead(sim, server, slot, action->zxid_last);
		else if (action->type == ZAB_DO_STREAM_HISTORY)
			send_history(sim, server, slot, action->zxid,
				     action->zxid_last);
		else if (action->type == ZAB_DO_STREAM_SNAPSHOT)
			send_snapshot(sim, server, slot, action->zxid);
		else
			sim_net_close(sim, server, slot);
	}
}

/* ---------------------------------------------------------- histories --- */

static void
append_entry(struct sim *sim, struct sim_server *server,
	     const struct sim_entry *from)
{
	struct sim_entry entry = *from;

	entry.node = sim_chain_append(
		&sim->chain, sim_log_node(&server->log, server->log.count),
		entry.zxid, entry.value);
	sim_log_append(&server->log, &entry);
}

static void
hold(struct sim_server *server, int64_t zxid)
{
	FAL_ASSERT(server->arriving.zxid == zxid);
	if (server->held_count == server->held_capacity) {
		server->held_capacity =
			server->held_capacity ? server->held_capacity * 2 : 64;
		server->held =
			realloc(server->held,
				server->held_capacity * sizeof(*server->held));
		FAL_ASSERT(server->held);
	}
	server->held[server->held_count++] = server->arriving;
}

static void
append(struct sim *sim, struct sim_server *server, int64_t first, int64_t last)
{
	uint32_t count = 0;

	if (server->held_count == 0) {
		FAL_ASSERT(first == last);
		FAL_ASSERT(server->arriving.zxid == first);
		append_entry(sim, server, &server->arriving);
		return;
	}
	for (int64_t zxid = first; zxid <= last; zxid++, count++) {
		FAL_ASSERT(count < server->held_count);
		FAL_ASSERT(server->held[count].zxid == zxid);
		append_entry(sim, server, &server->held[count]);
	}
	server->held_count -= count;
	memmove(&server->held[0], &server->held[count],
		server->held_count * sizeof(server->held[0]));
}

static void
begin_snapshot(struct sim *sim, struct sim_server *server)
{
	const uint32_t depth = sim->chain.node[server->published_node].depth;
	const struct sim_disk *disk = &server->disk;
	const uint32_t last =
		disk->snapshot_count
			? sim->chain.node[disk->snapshot[0].node].depth
			: 0;

	if (server->is_snapshotting || sim->limits.snapshot_every == 0 ||
	    depth < last + sim->limits.snapshot_every)
		return;
	server->is_snapshotting = true;
	server->next_snapshot.zxid = server->published_zxid;
	server->next_snapshot.node = server->published_node;
	sim_put(sim, 4 * sim_disk_delay_us(sim, server), SIM_DUE_SNAPSHOT,
		server->index, 0, server->incarnation, 0);
}

static void
publish(struct sim *sim, struct sim_server *server, int64_t zxid)
{
	const uint32_t node = sim_log_node(
		&server->log, sim_log_count_to(&server->log, zxid));

	FAL_ASSERT(zxid <= sim_log_last(&server->log));
	sim_check_publish(sim, server, node);
	server->published_zxid = zxid;
	server->published_node = node;
	for (uint32_t i = 0; i < server->disk.snapshot_count; i++)
		if (server->disk.snapshot[i].zxid <= zxid)
			server->disk.snapshot[i].is_of_leader = false;
	begin_snapshot(sim, server);
}

/* -------------------------------------------------------------- disk --- */

static void
begin_busy(struct sim *sim, struct sim_server *server,
	   enum zab_event_type answer, int64_t zxid)
{
	/* Given up: it may have happened already when that becomes known. */
	if (answer == ZAB_EV_RELOADED && !server->is_installing &&
	    sim_random_once_in(&sim->random[SIM_STREAM_DISK], 2))
		sim_disk_install(server, server->busy_zxid, server->busy_node);
	server->is_busy = true;
	server->busy_event = answer;
	server->busy_zxid = zxid;
	server->busy_serial++;
	server->is_installing = answer == ZAB_EV_SNAP_INSTALLED;
	if (!server->is_installing) {
		sim_put(sim, sim_disk_delay_us(sim, server), SIM_DUE_HISTORY,
			server->index, 0, server->busy_serial, 0);
		return;
	}
	sim_put(sim,
		1000ull * server->options.init_limit * server->options.tick_ms,
		SIM_DUE_LOAD_LIMIT, server->index, 0, server->busy_serial, 0);
}

static void
persist_epoch(struct sim *sim, struct sim_server *server, int64_t epoch,
	      bool is_current)
{
	int64_t *writing = is_current ? &server->disk.current_writing
				      : &server->disk.accepted_writing;

	FAL_ASSERT(*writing == 0);
	*writing = epoch;
	sim_put(sim, sim_disk_delay_us(sim, server), SIM_DUE_EPOCH,
		server->index, is_current, server->incarnation, epoch);
}

static void
change_state(struct sim *sim, struct sim_server *server,
	     const struct zab_action *action)
{
	sim_check_state(sim, server, action);
	sim_check_end_of(sim, server, action->why);
	if (action->role == FLE_LOOKING)
		sim->counters.elections++;
	if (action->role != FLE_LEADING && action->phase == ZAB_SYNCHRONIZATION)
		server->sync_zxid = sim_log_last(&server->log);
	if (action->is_serving && !server->is_serving) {
		server->reign++;
		sim_genesis_serves(sim, server);
		sim_session_begin_serving(sim, server);
	}
	if (!action->is_serving) {
		server->pending_count = 0;
		server->sync_count = 0;
	}
	server->is_serving = action->is_serving;
}

static void
act_on_disk(struct sim *sim, struct sim_server *server,
	    const struct zab_event *event, const struct zab_action *action)
{
	switch ((enum zab_action_type)action->type) {
	case ZAB_DO_TRUNCATE:
		sim->counters.truncs++;
		begin_busy(sim, server, ZAB_EV_TRUNCATED, action->zxid);
		break;
	case ZAB_DO_INSTALL_SNAPSHOT:
		sim->counters.snapshots++;
		begin_busy(sim, server, ZAB_EV_SNAP_INSTALLED, action->zxid);
		break;
	case ZAB_DO_KEEP_LOG: /* the logs of the simulator are always kept */
		break;
	case ZAB_DO_RELOAD:
		begin_busy(sim, server, ZAB_EV_RELOADED, 0);
		break;
	case ZAB_DO_PERSIST_ACCEPTED:
		persist_epoch(sim, server, action->epoch, false);
		break;
	case ZAB_DO_PERSIST_CURRENT:
		persist_epoch(sim, server, action->epoch, true);
		break;
	case ZAB_DO_PERSIST_CONFIG:
		sim_config_persist(sim, server, event, action->zxid);
		break;
	case ZAB_DO_ACTIVATE_CONFIG:
		sim_config_activate(sim, server);
		break;
	case ZAB_DO_VOTER_AGAIN:
		server->disk.is_nonvoting = false;
		sim_genesis_adopt(sim, server);
		sim_server_counts_again(server);
		sim_check_durable(sim);
		break;
	default:
		sim_fail(sim, "driver", "unknown action %u", action->type);
	}
}

/* Sends, in the way of that server. */
static void
send(struct sim *sim, struct sim_server *server,
     const struct zab_action *action)
{
	struct zab_action early = *action;

	early.slots = sim_java_early_commits(server, action);
	if (early.slots)
		send_to_slots(sim, server, &early);
	if (!sim_java_sends_snapshot(sim, server, action))
		send_to_slots(sim, server, action);
}

void
sim_driver_act(struct sim *sim, struct sim_server *server,
	       const struct zab_event *event, const struct zab_action *action)
{
	switch ((enum zab_action_type)action->type) {
	case ZAB_DO_SEND_FLE:
		sim_check_vote(sim, server, &action->notification);
		sim_net_send_fle(sim, server, action);
		break;
	case ZAB_DO_FORGET_FLE:
		for (uint32_t i = 0; i < sim->count; i++)
			sim->fle[server->index][i].is_kept = false;
		break;
	case ZAB_DO_DIAL:
		sim_net_dial(sim, server, action->sid);
		break;
	case ZAB_DO_SEND:
		sim_check_send(sim, server, action);
		send(sim, server, action);
		break;
	case ZAB_DO_CLOSE:
		sim_check_end_of(sim, server, action->why);
		send_to_slots(sim, server, action);
		break;
	case ZAB_DO_STREAM_HISTORY:
	case ZAB_DO_STREAM_SNAPSHOT:
		send_to_slots(sim, server, action);
		break;
	case ZAB_DO_HOLD:
		hold(server, action->zxid);
		break;
	case ZAB_DO_DROP_HELD:
		server->held_count = 0;
		break;
	case ZAB_DO_APPEND:
		append(sim, server, action->zxid, action->zxid_last);
		break;
	case ZAB_DO_COMMIT:
		publish(sim, server, action->zxid);
		break;
	case ZAB_DO_SYNC_DONE:
		sim_client_synced(sim, server, action->count);
		break;
	case ZAB_DO_STATE:
		change_state(sim, server, action);
		break;
	case ZAB_DO_FATAL:
		sim_server_crash(sim, server, false);
		break;
	default:
		act_on_disk(sim, server, event, action);
		break;
	}
}

/* ------------------------------------------------- requests of clients --- */

static uint32_t
serial_of(const struct sim *sim, const struct sim_server *server, uint32_t slot)
{
	if (slot == ZAB_SELF_SLOT || server->conn[slot] == 0)
		return 0;
	return sim->conn[server->conn[slot] - 1].serial;
}

void
sim_driver_request(struct sim *sim, struct sim_server *server, uint32_t op,
		   uint32_t slot)
{
	if (server->pending_count == server->pending_capacity) {
		server->pending_capacity =
			server->pending_capacity ? server->pending_capacity * 2
						 : 64;
		server->pending = realloc(server->pending,
					  server->pending_capacity *
						  sizeof(*server->pending));
		FAL_ASSERT(server->pending);
	}
	server->pending[server->pending_count++] = (struct sim_pending){
		.op = op,
		.slot = slot,
		.serial = serial_of(sim, server, slot),
	};
	sim_server_propose(sim, server);
}

/* A write becomes the next transaction, as soon as the core takes one. */
static bool
propose(struct sim *sim, struct sim_server *server,
	const struct sim_pending *pending, struct zab_event *event)
{
	const uint32_t op = pending->op;
	const uint32_t config = sim->op[op].config;
	struct sim_entry entry = {.zxid = zab_next_zxid(server->core, NULL),
				  .value = op + 1ull};
	const int64_t zxid = entry.zxid;

	if (zxid == 0)
		return false;
	/* A reconfiguration that is refused is a transaction all the same. */
	if (config && sim_config_is_sane(sim, &sim->config[config - 1]) &&
	    zab_next_zxid(server->core, &sim->config[config - 1])) {
		sim->config[config - 1].version = zxid;
		entry.config = config;
	}
	sim_session_judge(sim, server, pending);
	sim_check_propose(sim, server, zxid);
	append_entry(sim, server, &entry);
	*event = (struct zab_event){
		.type = ZAB_EV_PROPOSE,
		.zxid = zxid,
		.config = entry.config ? &sim->config[config - 1] : NULL};
	return true;
}

static void
drop_pending(struct sim_server *server)
{
	server->pending_count--;
	memmove(&server->pending[0], &server->pending[1],
		server->pending_count * sizeof(server->pending[0]));
}

/* Writes that wait behind it go into the same step, as far as the core takes
 * them. */
static void
propose_burst(struct sim *sim, struct sim_server *server,
	      struct zab_event *event)
{
	const uint32_t max =
		sim->has_bursts ? zab_proposals_max(server->core) : 1;

	event->count = 1;
	while (!event->config && event->count < max &&
	       server->pending_count > 0) {
		const struct sim_pending *one = &server->pending[0];
		const struct sim_entry entry = {.zxid = event->zxid +
							event->count,
						.value = one->op + 1ull};

		if (sim->op[one->op].kind == SIM_OP_SYNC ||
		    sim->op[one->op].config)
			return;
		sim_session_judge(sim, server, one);
		sim_check_propose(sim, server, entry.zxid);
		append_entry(sim, server, &entry);
		event->count++;
		drop_pending(server);
	}
}

bool
sim_driver_propose(struct sim *sim, struct sim_server *server,
		   struct zab_event *event)
{
	while (server->pending_count > 0) {
		const struct sim_pending one = server->pending[0];
		const bool is_write = sim->op[one.op].kind != SIM_OP_SYNC;

		if (is_write && !propose(sim, server, &one, event))
			return false;
		drop_pending(server);
		if (is_write) {
			propose_burst(sim, server, event);
			return true;
		}
		*event = (struct zab_event){.type = ZAB_EV_SYNC,
					    .slot = one.slot};
		/* The learner that asked may be gone, and its slot reused. */
		if (one.serial == serial_of(sim, server, one.slot))
			return true;
	}
	return false;
}
