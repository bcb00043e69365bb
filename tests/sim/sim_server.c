/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_server - a process with a core in it.
 *
 * The clock of a server runs at its own rate from its own beginning and may
 * jump ahead, never back. A crash may happen before any single action of a
 * step. What a start finds is what the disk kept.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

uint64_t
sim_server_now_ms(const struct sim *sim, const struct sim_server *server)
{
	return server->base_ms +
	       (sim->now_us - server->base_us) * server->rate_ppm / 1000000000u;
}

void
sim_server_set_rate(struct sim *sim, struct sim_server *server,
		    uint64_t rate_ppm, uint64_t jump_ms)
{
	server->base_ms = sim_server_now_ms(sim, server) + jump_ms;
	server->base_us = sim->now_us;
	server->rate_ppm = rate_ppm;
	server->wake_ms = 0; /* The timer in the queue is of the old rate. */
	server->wake_serial++;
	sim_put(sim, 0, SIM_DUE_WAKE, server->index, 0, server->wake_serial, 0);
}

bool
sim_server_defers(struct sim *sim, const struct sim_server *server,
		  const struct sim_due *due)
{
	if (server->paused_until_us <= sim->now_us)
		return false;
	struct sim_due later = *due;

	later.at_us = server->paused_until_us;
	sim_queue_put_again(&sim->queue, &later);
	return true;
}

static void
arm(struct sim *sim, struct sim_server *server)
{
	const uint64_t wake_ms = zab_wake_ms(server->core);
	uint64_t after_us = 0;

	if (wake_ms == server->wake_ms)
		return;
	server->wake_ms = wake_ms;
	server->wake_serial++;
	if (wake_ms == UINT64_MAX)
		return;
	if (wake_ms > server->base_ms) {
		/* Rounded up: never before the core's own time. */
		const uint64_t at_us =
			server->base_us +
			((wake_ms - server->base_ms) * 1000000000u +
			 server->rate_ppm - 1) /
				server->rate_ppm;

		after_us = at_us > sim->now_us ? at_us - sim->now_us : 0;
	}
	sim_put(sim, after_us, SIM_DUE_WAKE, server->index, 0,
		server->wake_serial, 0);
}

void
sim_server_wake(struct sim *sim, struct sim_server *server, uint32_t serial)
{
	FAL_ASSERT(serial == server->wake_serial);
	server->wake_ms = 0; /* used up */
	sim_server_step(sim, server, &(struct zab_event){.type = ZAB_EV_TICK});
}

static bool
dies_here(struct sim *sim, const struct zab_action *action)
{
	const struct sim_limits *limits = &sim->limits;
	struct sim_random *random = &sim->random[SIM_STREAM_CRASH];

	sim->action_count++;
	if (sim->crashes_done < 4 &&
	    sim->action_count == limits->crash_at[sim->crashes_done]) {
		sim->crashes_done++;
		return true;
	}
	if (!sim->has_faults)
		return false;
	if (limits->crash_action &&
	    sim_random_once_in(random, limits->crash_action))
		return true;
	return limits->crash_odds && action->type == limits->crash_type &&
	       (action->type != ZAB_DO_SEND ||
		action->packet == limits->crash_packet) &&
	       sim_random_once_in(random, limits->crash_odds);
}

static void
step_once(struct sim *sim, struct sim_server *server, struct zab_event *event)
{
	const struct zab_actions *actions = &sim->actions;
	const uint32_t incarnation = server->incarnation;

	event->now_ms = sim_server_now_ms(sim, server);
	sim->counters.steps++;
	sim_trace_event(sim, server, event);
	zab_step(server->core, event, &sim->actions);
	zab_view(server->core, &server->view);
	for (uint32_t i = 0; i < actions->count && server->is_up &&
			     server->incarnation == incarnation;
	     i++) {
		if (dies_here(sim, &actions->action[i])) {
			sim_server_crash(sim, server, false);
			return;
		}
		sim_trace_action(sim, server, &actions->action[i]);
		sim_driver_act(sim, server, event, &actions->action[i]);
	}
	if (!server->is_up)
		return;
	sim_check_step(sim, server);
	sim_disk_flush(sim, server);
	arm(sim, server);
}

void
sim_server_propose(struct sim *sim, struct sim_server *server)
{
	struct zab_event event;

	while (server->is_up && sim_driver_propose(sim, server, &event))
		step_once(sim, server, &event);
}

void
sim_server_step(struct sim *sim, struct sim_server *server,
		struct zab_event *event)
{
	if (!server->is_up)
		return;
	step_once(sim, server, event);
	sim_server_propose(sim, server);
	sim_genesis_settle(sim, server);
}

/* ---------------------------------------------------------- forgetting --- */

void
sim_server_forget(struct sim *sim, struct sim_server *server)
{
	/* Nobody relies on a voter that has promised nothing: a vote is no
	 * promise, and every acknowledgement comes behind an epoch. */
	if (server->disk.accepted_epoch > 0)
		server->has_forgotten = true;
	server->is_wiped = true;
	server->said_accepted = 0;
	server->said_current = 0;
	server->published_depth = 0;
	sim->counters.wipes++;
}

void
sim_server_counts_again(struct sim_server *server)
{
	server->is_wiped = false;
	server->has_forgotten = false;
}

/* ------------------------------------------------------ begin and end --- */

void
sim_server_init(struct sim *sim, uint32_t index)
{
	struct sim_server *server = &sim->server[index];
	const struct sim_server old = *server;

	memset(server, 0, sizeof(*server));
	server->index = index;
	server->sid = (int64_t)index + 1;
	server->core = old.core ? old.core : malloc(zab_core_bytes());
	FAL_ASSERT(server->core);
	server->log = old.log;
	server->held = old.held;
	server->held_capacity = old.held_capacity;
	server->pending = old.pending;
	server->pending_capacity = old.pending_capacity;
	server->disk.log = old.disk.log;
	session_table_destroy(old.sessions);
	sim_disk_init(&server->disk);
	server->options = sim->core_options;
	server->acks_history =
		sim_random_once_in(&sim->random[SIM_STREAM_LIMITS], 3);
	server->options.sid = server->sid;
	/* In half of the ensembles that send beacons some servers do not. */
	if (sim_random_once_in(&sim->random[SIM_STREAM_LIMITS], 4)) {
		server->options.beacon_ms = 0;
		server->options.beacon_lost_ms = 0;
	}
	sim_java_init(sim, server);
	server->disk.slowness =
		(sim->options.faults & 1u << SIM_FAULT_SLOW) &&
				sim_random_once_in(
					&sim->random[SIM_STREAM_LIMITS], 4)
			? sim_random_scale(&sim->random[SIM_STREAM_LIMITS], 2,
					   32)
			: 1;
	server->rate_ppm = 1000000;
	server->base_ms =
		sim_random_below(&sim->random[SIM_STREAM_CLOCK], 1000000);
}

void
sim_server_free(struct sim_server *server)
{
	free(server->core);
	free(server->held);
	free(server->pending);
	sim_session_forget(server);
	sim_log_free(&server->log);
	sim_log_free(&server->disk.log);
	memset(server, 0, sizeof(*server));
}

static void
tell_peers(struct sim *sim, const struct sim_server *server, bool is_up)
{
	for (uint32_t i = 0; i < sim->count; i++) {
		if (i == server->index || !sim->server[i].is_up ||
		    sim->server[i].java != SIM_JAVA_NONE ||
		    sim_random_once_in(&sim->random[SIM_STREAM_NET], 4))
			continue;
		sim_put(sim, sim_net_delay_us(sim), SIM_DUE_LINK, i,
			server->index, sim->server[i].incarnation, is_up);
		if (is_up)
			sim_net_link_up(sim, i, server->index);
	}
}

void
sim_server_start(struct sim *sim, struct sim_server *server)
{
	struct zab_history history;
	struct zab_disk_state state = {
		.accepted_epoch = server->disk.accepted_epoch,
		.current_epoch = server->disk.current_epoch,
		.history = &history,
		.active = &sim->config[server->disk.active_config],
		.is_nonvoting = server->disk.is_nonvoting,
	};

	FAL_ASSERT(!server->is_up);
	server->is_up = true;
	server->incarnation++;
	sim_trace_note(sim, server->index, "starts, durable zxid",
		       sim_disk_zxid(&server->disk));
	sim_check_start(sim, server);
	sim_disk_load(server, &history, &state.committed_zxid);
	state.next = sim_config_next(sim, server);
	if (sim_genesis_init(sim, server))
		state.is_nonvoting = true;
	server->published_zxid = state.committed_zxid;
	server->published_node = 0;
	if (state.committed_zxid > 0)
		server->published_node = sim_log_node(
			&server->log,
			sim_log_count_to(&server->log, state.committed_zxid));
	server->wake_ms = 0;
	const int err = zab_init(server->core, &server->options);

	FAL_ASSERT(err == 0);
	sim_server_step(
		sim, server,
		&(struct zab_event){.type = ZAB_EV_START, .disk = &state});
	sim_genesis_start(sim, server);
	if (server->is_up)
		tell_peers(sim, server, true);
}

void
sim_server_crash(struct sim *sim, struct sim_server *server, bool loses_power)
{
	const uint64_t later =
		sim_random_scale(&sim->random[SIM_STREAM_CRASH], 1000,
				 2000ull * sim->core_options.tick_ms * 10);

	FAL_ASSERT(server->is_up);
	sim->counters.crashes++;
	sim_trace_note(sim, server->index, "crashes", loses_power);
	sim_disk_crash(sim, server);
	for (uint32_t slot = 0; slot <= ZAB_CONNS_MAX; slot++)
		if (server->conn[slot])
			sim_net_lose_end(sim, server->conn[slot] - 1,
					 slot == ZAB_LEADER_SLOT ? 0 : 1,
					 loses_power);
	for (uint32_t i = 0; i < sim->count; i++) {
		sim->fle[server->index][i].is_waiting = false;
		sim->fle[server->index][i].is_kept = false;
	}
	server->is_up = false;
	server->is_serving = false;
	server->is_installing = false;
	server->is_busy = false;
	server->is_snapshotting = false;
	server->is_dialing = false;
	server->newleader_slots = 0;
	server->snap_slots = 0;
	server->paused_until_us = 0;
	server->busy_serial++;
	server->dial_serial++;
	server->wake_serial++;
	server->held_count = 0;
	server->pending_count = 0;
	server->sync_count = 0;
	sim_session_forget(server);
	memset(&server->view, 0, sizeof(server->view));
	server->view.leader = ZAB_NO_SID;
	if (!loses_power)
		tell_peers(sim, server, false);
	sim_check_durable(sim);
	sim_put(sim, later, SIM_DUE_START, server->index, 0,
		server->incarnation, 0);
}
