/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim - a run: what is drawn once, the loop, the phases.
 *
 * First the ensemble starts, then faults happen for as many steps as were asked
 * for, then they end: within a bound of virtual time clients must be served by
 * everybody, and everybody must have the same state.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

/* Elections that a calm ensemble may need, in time limits of one. */
#define CALM_ROUNDS 20u
/* Two seeds of so many step bursts at once; the others do what they did before
 * there were any, so what they once showed they show still. */
#define BURSTS_EVERY  16u
#define BURSTS_FIRST  5u
#define BURSTS_SECOND 9u

void
sim_put(struct sim *sim, uint64_t after_us, enum sim_kind kind, uint32_t who,
	uint32_t what, uint32_t serial, int64_t number)
{
	sim_queue_put(&sim->queue, &(struct sim_due){
					   .at_us = sim->now_us + after_us,
					   .kind = kind,
					   .who = who,
					   .what = what,
					   .serial = serial,
					   .number = number,
				   });
}

/* ------------------------------------------------------------- limits --- */

static void
draw_options(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_LIMITS];
	const uint32_t tick_ms = (uint32_t)sim_random_scale(random, 20, 200);

	sim->core_options = (struct zab_core_options){
		.tick_ms = tick_ms,
		.init_limit = (uint32_t)sim_random_in(random, 5, 10),
		.sync_limit = (uint32_t)sim_random_in(random, 3, 5),
		.epoch_wait_ms = sim_random_once_in(random, 4)
					 ? UINT32_MAX
					 : (uint32_t)sim_random_below(
						   random, 2ull * tick_ms),
		.dial_retry_ms = (uint32_t)sim_random_in(random, 1, tick_ms),
		.dial_tries = (uint32_t)sim_random_in(random, 1, 5),
		.outstanding_max = (uint32_t)sim_random_scale(random, 1, 64),
		.limp_still_ms =
			sim_random_once_in(random, 2) ? 0 : 4 * tick_ms,
		.limp_lag_ms = 2 * tick_ms,
		.limp_for_ms = sim_random_once_in(random, 2) ? 0 : 6 * tick_ms,
		.yield_pause_ms =
			(uint32_t)sim_random_below(random, 10ull * tick_ms),
		.is_sync_confirmed = sim_random_once_in(random, 2),
		.is_reconfig_enabled = sim_random_once_in(random, 2),
		.counter_max =
			sim_random_once_in(random, 4)
				? (uint32_t)sim_random_scale(random, 2, 500)
				: 0,
	};
	/* An election takes less time than a leader waits for its followers. */
	sim->core_options.finalize_ms =
		(uint32_t)sim_random_scale(random, 10, tick_ms);
	sim->core_options.notify_min_ms =
		(uint32_t)sim_random_scale(random, 10, tick_ms);
	sim->core_options.notify_max_ms = sim->core_options.notify_min_ms *
					  (uint32_t)sim_random_in(random, 1, 8);
	if (sim_random_once_in(random, 2))
		return;
	sim->core_options.beacon_ms =
		(uint32_t)sim_random_scale(random, 1, tick_ms / 4);
	sim->core_options.beacon_lost_ms =
		sim->core_options.beacon_ms *
		(uint32_t)sim_random_in(random, 3, 10);
}

static void
draw_limits(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_LIMITS];
	struct sim_limits *limits = &sim->limits;
	const uint64_t tick_us = 1000ull * sim->core_options.tick_ms;

	limits->net_us_min = sim_random_scale(random, 10, 500);
	limits->net_us_max =
		limits->net_us_min * sim_random_scale(random, 1, 5);
	limits->net_spike = sim_random_scale(random, 16, 4096);
	limits->disk_us_min = sim_random_scale(random, 1, 500);
	limits->disk_us_max =
		limits->disk_us_min * sim_random_scale(random, 1, 8);
	limits->disk_spike = sim_random_scale(random, 16, 4096);
	limits->snapshot_every =
		sim_random_once_in(random, 4)
			? 0
			: (uint32_t)sim_random_scale(random, 2, 200);
	limits->entry_bytes_max = (uint32_t)sim_random_scale(random, 16, 4096);
	limits->flush_max = (uint32_t)sim_random_scale(random, 1, 64);
	limits->think_us = sim_random_scale(random, tick_us / 20, tick_us * 2);
	limits->reconfig_odds = (uint32_t)sim_random_scale(random, 2, 64);
	limits->fault_us = sim_random_scale(random, 2 * tick_us, 64 * tick_us);
	limits->crash_action =
		(sim->options.faults & 1u << SIM_FAULT_CRASH) &&
				sim_random_once_in(random, 2)
			? (uint32_t)sim_random_scale(random, 100, 10000)
			: 0;
}

/* A place where a crash is likely, in half of the runs. */
static void
draw_crashes(struct sim *sim)
{
	static const enum zab_action_type types[] = {
		ZAB_DO_SEND,
		ZAB_DO_SEND,
		ZAB_DO_SEND,
		ZAB_DO_PERSIST_ACCEPTED,
		ZAB_DO_PERSIST_CURRENT,
		ZAB_DO_STATE,
		ZAB_DO_APPEND,
		ZAB_DO_COMMIT,
		ZAB_DO_INSTALL_SNAPSHOT,
		ZAB_DO_TRUNCATE,
	};
	static const enum quorum_type packets[] = {
		QUORUM_LEADERINFO, QUORUM_ACKEPOCH, QUORUM_NEWLEADER,
		QUORUM_ACK,        QUORUM_UPTODATE, QUORUM_PROPOSAL,
		QUORUM_COMMIT,     QUORUM_DIFF,     QUORUM_FOLLOWERINFO,
	};
	struct sim_random *random = &sim->random[SIM_STREAM_LIMITS];
	struct sim_limits *limits = &sim->limits;

	limits->crash_type = types[sim_random_below(
		random, sizeof(types) / sizeof(types[0]))];
	limits->crash_packet = (int32_t)packets[sim_random_below(
		random, sizeof(packets) / sizeof(packets[0]))];
	limits->crash_odds = (uint32_t)sim_random_scale(random, 2, 64);
	limits->break_packet = (int32_t)packets[sim_random_below(
		random, sizeof(packets) / sizeof(packets[0]))];
	limits->break_odds =
		(sim->options.faults & 1u << SIM_FAULT_BREAK) &&
				sim_random_once_in(random, 2)
			? (uint32_t)sim_random_scale(random, 8, 256)
			: 0;
	if (!(sim->options.faults & 1u << SIM_FAULT_CRASH) ||
	    sim_random_once_in(random, 2))
		limits->crash_odds = 0;
}

static void
draw_servers(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_LIMITS];

	sim->count = (uint32_t)sim_random_in(random, 3, 7);
	sim->voter_count = sim->count;
	if (sim->options.replicas)
		sim->voter_count = sim->options.replicas;
	/* Who asks for a number of replicas gets voters only. */
	sim->count = sim->voter_count;
	if (!sim->options.replicas && sim_random_once_in(random, 3))
		sim->count += (uint32_t)sim_random_in(random, 1, 2);
	sim_config_init(sim);
}

void
sim_init(struct sim *sim, const struct sim_options *options)
{
	sim_net_clear(sim);
	sim->options = *options;
	for (uint32_t i = 0; i < SIM_STREAM_COUNT; i++)
		sim_random_seed(&sim->random[i], options->seed, i);
	sim->now_us = 0;
	sim->conn_serial = 0;
	sim->heal_serial = 0;
	sim->op_count = 0;
	sim->has_sessions = false;
	sim->session_count = 0;
	sim->sessions_alive = 0;
	sim->acked_depth = 0;
	sim->committed_count = 0;
	sim->trace_count = 0;
	sim->has_faults = false;
	sim->are_clients_done = false;
	sim->needs_both_ways = false;
	sim->is_mixed = false;
	sim->has_bursts = options->seed % BURSTS_EVERY == BURSTS_FIRST ||
			  options->seed % BURSTS_EVERY == BURSTS_SECOND;
	sim->has_genesis = false;
	sim->is_genesis_all = false;
	sim->has_id = false;
	sim->letters = 0;
	sim->was_skipped = false;
	sim->flap_serial = 0;
	sim->action_count = 0;
	memset(&sim->limits, 0, sizeof(sim->limits));
	sim->crashes_done = 0;
	memset(sim->client, 0, sizeof(sim->client));
	memset(sim->epoch_leader, 0, sizeof(sim->epoch_leader));
	memset(sim->epoch_count, 0, sizeof(sim->epoch_count));
	memset(&sim->counters, 0, sizeof(sim->counters));
	sim_queue_clear(&sim->queue);
	sim_chain_clear(&sim->chain);
	draw_options(sim);
	/* ZooKeeper's leaders answer a sync without proof that they lead. */
	sim->is_mixed = !sim->core_options.is_sync_confirmed &&
			options->faults != 0 &&
			sim_random_once_in(&sim->random[SIM_STREAM_LIMITS], 3);
	draw_servers(sim);
	draw_limits(sim);
	draw_crashes(sim);
	for (uint32_t i = 0; i < sim->count; i++) {
		sim_server_init(sim, i);
		sim->server[i].view.leader = ZAB_NO_SID;
	}
}

/* --------------------------------------------------------------- loop --- */

static void
finish_history(struct sim *sim, struct sim_server *server)
{
	struct zab_history history;
	struct zab_disk_state state = {.history = &history};
	struct zab_event event = {.type = server->busy_event,
				  .zxid = server->busy_zxid};

	if (server->busy_event != ZAB_EV_RELOADED &&
	    sim_disk_is_full(sim, server)) {
		sim_server_step(sim, server,
				&(struct zab_event){.type = ZAB_EV_LOG_FAILED});
		return;
	}
	server->is_busy = false;
	switch (server->busy_event) {
	case ZAB_EV_TRUNCATED:
		sim_disk_truncate(server, server->busy_zxid);
		sim_log_copy(&server->log, &server->disk.log);
		break;
	case ZAB_EV_SNAP_INSTALLED:
		sim_disk_install(server, server->busy_zxid, server->busy_node);
		sim_log_init(&server->log, server->busy_zxid,
			     server->busy_node);
		event.config = sim_config_of_snapshot(sim, server);
		break;
	default:
		sim_disk_load(server, &history, &state.committed_zxid);
		/* Memory is behind nothing that was published before. */
		state.committed_zxid = 0;
		state.next = sim_config_next(sim, server);
		event.disk = &state;
		break;
	}
	sim_check_history(sim, server);
	sim_check_durable(sim);
	sim_server_step(sim, server, &event);
	sim_net_pump_server(sim, server);
}

static void
finish_snapshot(struct sim *sim, struct sim_server *server)
{
	struct sim_disk *disk = &server->disk;
	uint32_t count;

	server->is_snapshotting = false;
	if (sim_disk_is_full(sim, server))
		return;
	sim_disk_keep_snapshot(disk, server->next_snapshot);
	if (disk->snapshot_count < SIM_SNAPSHOTS_MAX || server->is_busy ||
	    sim_net_feeds_observer(sim, server))
		return;
	count = sim_log_count_to(&disk->log, disk->snapshot[1].zxid);
	if (count > disk->durable_count)
		count = disk->durable_count;
	if (count == 0)
		return;
	sim_log_drop(&disk->log, count);
	sim_log_drop(&server->log, count);
	disk->durable_count -= count;
	sim_server_step(sim, server,
			&(struct zab_event){.type = ZAB_EV_LOG_FLOOR,
					    .zxid = disk->log.floor_zxid});
}

static void
finish_epoch(struct sim *sim, struct sim_server *server,
	     const struct sim_due *due)
{
	const bool is_current = due->what != 0;

	if (sim_disk_is_full(sim, server)) {
		sim_server_step(sim, server,
				&(struct zab_event){.type = ZAB_EV_LOG_FAILED});
		return;
	}
	if (is_current) {
		server->disk.current_epoch = due->number;
		server->disk.current_writing = 0;
	} else {
		server->disk.accepted_epoch = due->number;
		server->disk.accepted_writing = 0;
	}
	sim_server_step(sim, server,
			&(struct zab_event){.type = ZAB_EV_EPOCH_DURABLE,
					    .epoch = due->number,
					    .is_current = is_current});
}

/* A snapshot that does not come: the driver watches the connection itself. */
static void
give_up_loading(struct sim *sim, struct sim_server *server)
{
	if (!server->is_installing || server->conn[ZAB_LEADER_SLOT] == 0)
		return;
	sim_net_close(sim, server, ZAB_LEADER_SLOT);
	sim_server_step(sim, server,
			&(struct zab_event){.type = ZAB_EV_CONN_DOWN,
					    .slot = ZAB_LEADER_SLOT});
}

/* What a server's own disk or timer answers; nobody else is concerned. */
static void
happen_to_server(struct sim *sim, const struct sim_due *due)
{
	struct sim_server *server = &sim->server[due->who];
	const bool is_busy_kind =
		due->kind == SIM_DUE_HISTORY || due->kind == SIM_DUE_LOAD_LIMIT;
	const uint32_t serial = due->kind == SIM_DUE_WAKE ? server->wake_serial
				: due->kind == SIM_DUE_GENESIS_WAKE
					? server->genesis_serial
				: is_busy_kind ? server->busy_serial
					       : server->incarnation;

	if (!server->is_up || serial != due->serial ||
	    sim_server_defers(sim, server, due))
		return;
	switch ((enum sim_kind)due->kind) {
	case SIM_DUE_WAKE:
		sim_server_wake(sim, server, due->serial);
		break;
	case SIM_DUE_GENESIS_FILE:
		sim_genesis_written(sim, server);
		break;
	case SIM_DUE_GENESIS_WAKE:
		sim_genesis_wake(sim, server);
		break;
	case SIM_DUE_LINK:
		sim_genesis_link(sim, server, due->what, due->number != 0);
		sim_server_step(
			sim, server,
			&(struct zab_event){.type = ZAB_EV_FLE_LINK,
					    .sid = sim->server[due->what].sid,
					    .is_up = due->number != 0});
		break;
	case SIM_DUE_FLUSHED:
		sim_disk_flushed(sim, server);
		break;
	case SIM_DUE_EPOCH:
		finish_epoch(sim, server, due);
		break;
	case SIM_DUE_CONFIG:
		sim_config_persisted(sim, server, due);
		break;
	case SIM_DUE_HISTORY:
		finish_history(sim, server);
		break;
	case SIM_DUE_SNAPSHOT:
		finish_snapshot(sim, server);
		break;
	default:
		give_up_loading(sim, server);
		break;
	}
}

static void
expire_everywhere(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->count; i++)
		sim_session_expire(sim, &sim->server[i]);
	sim_put(sim, 500ull * sim->core_options.tick_ms, SIM_DUE_EXPIRE, 0, 0,
		0, 0);
}

static void
happen(struct sim *sim, const struct sim_due *due)
{
	switch ((enum sim_kind)due->kind) {
	case SIM_DUE_MESSAGE:
		if (sim->conn[due->who].is_used &&
		    sim->conn[due->who].serial == due->serial)
			sim_net_pump(sim, due->who, due->what);
		break;
	case SIM_DUE_FLE:
		sim_net_deliver_fle(sim, due);
		break;
	case SIM_DUE_GENESIS:
		sim_genesis_deliver(sim, due);
		break;
	case SIM_DUE_DIAL:
		sim_net_dialed(sim, due);
		break;
	case SIM_DUE_START:
		if (!sim->server[due->who].is_up &&
		    sim->server[due->who].incarnation == due->serial)
			sim_server_start(sim, &sim->server[due->who]);
		break;
	case SIM_DUE_FAULT:
		sim_fault_happen(sim);
		break;
	case SIM_DUE_HEAL:
		sim_fault_heal(sim, due->serial);
		break;
	case SIM_DUE_FLAP:
		sim_fault_flap(sim, due->serial);
		break;
	case SIM_DUE_FORGET:
		sim_plot_forget(sim);
		break;
	case SIM_DUE_RIVAL:
		sim_plot_rival_goes_on(sim, due);
		break;
	case SIM_DUE_CLIENT:
		if (!sim->are_clients_done)
			sim_client_turn(sim, due->who);
		break;
	case SIM_DUE_OP:
		sim_client_op(sim, due);
		break;
	case SIM_DUE_REPLY:
		sim_client_reply(sim, due->who, due->what);
		break;
	case SIM_DUE_HOLDER:
		sim_holder_turn(sim, due->who);
		break;
	case SIM_DUE_BEAT:
	case SIM_DUE_RESUME:
		sim_holder_arrive(sim, due);
		break;
	case SIM_DUE_GREETED:
		sim_holder_greeted(sim, due);
		break;
	case SIM_DUE_EXPIRE:
		expire_everywhere(sim);
		break;
	default:
		happen_to_server(sim, due);
		break;
	}
}

void
sim_turn(struct sim *sim)
{
	struct sim_due due;
	const bool is_due = sim_queue_take(&sim->queue, &due);

	FAL_ASSERT(is_due);
	FAL_ASSERT(due.at_us >= sim->now_us);
	sim->now_us = due.at_us;
	happen(sim, &due);
}

void
sim_turn_until(struct sim *sim, uint64_t end_us)
{
	while (sim->queue.count > 0 && sim->queue.due[0].at_us < end_us)
		sim_turn(sim);
	sim->now_us = end_us;
}

uint64_t
sim_bound_us(const struct sim *sim)
{
	const struct zab_core_options *options = &sim->core_options;
	const uint64_t round_ms =
		(uint64_t)(options->init_limit + options->sync_limit) *
			options->tick_ms +
		options->finalize_ms + options->notify_max_ms;

	return 1000 * (CALM_ROUNDS * round_ms + options->yield_pause_ms);
}

static void
calm_down(struct sim *sim)
{
	uint64_t end_us = sim->now_us + sim_bound_us(sim);
	const uint64_t acked = sim->counters.acked + 3;

	while (sim->counters.acked < acked) {
		if (sim->now_us > end_us)
			sim_fail(sim, "liveness",
				 "nobody serves after the faults have ended");
		sim_turn(sim);
	}
	sim->are_clients_done = true;
	end_us = sim->now_us + sim_bound_us(sim);
	while (!sim_check_is_calm(sim) || !sim_holder_is_calm(sim)) {
		if (sim->now_us > end_us && sim_check_is_calm(sim))
			sim_fail(sim, "sessions",
				 "%u live, and not all of them are held",
				 sim->sessions_alive);
		if (sim->now_us > end_us)
			sim_fail(sim, "liveness",
				 "not everybody serves the same state");
		sim_turn(sim);
	}
	sim_check_end(sim);
}

void
sim_run(struct sim *sim, const struct sim_options *options)
{
	sim_init(sim, options);
	/* In the others an emptied disk is known to be one. */
	sim->has_genesis =
		!sim_random_once_in(&sim->random[SIM_STREAM_GENESIS], 4);
	sim->is_genesis_all =
		sim_random_once_in(&sim->random[SIM_STREAM_GENESIS], 3);
	sim_client_init(sim);
	if (sim_random_once_in(&sim->random[SIM_STREAM_SESSION], 2))
		sim_holder_init(sim);
	for (uint32_t i = 0; i < sim->count; i++)
		sim_server_start(sim, &sim->server[i]);
	sim->has_faults = true;
	sim_fault_next(sim);
	while (sim->counters.steps < options->steps)
		sim_turn(sim);
	sim_fault_end(sim);
	sim->calm_us = sim->now_us;
	calm_down(sim);
}

void
sim_free(struct sim *sim)
{
	sim_net_clear(sim);
	while (sim->free_message) {
		struct sim_message *message = sim->free_message;

		sim->free_message = message->next;
		free(message);
	}
	for (uint32_t i = 0; i < SIM_SERVERS_MAX; i++)
		sim_server_free(&sim->server[i]);
	sim_queue_free(&sim->queue);
	sim_chain_free(&sim->chain);
	free(sim->op);
	free(sim->session);
	free(sim->config);
	free(sim->committed);
	free(sim->committed_epoch);
	memset(sim, 0, sizeof(*sim));
}
