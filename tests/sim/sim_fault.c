/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_fault - what goes wrong, and when.
 *
 * One fault after the other at random distances, drawn from those that are
 * switched on; several may last at a time. Disks are emptied or damaged on a
 * minority of servers at most: more than that no protocol survives, and such a
 * server must have become a voter again before it stops counting. Delays, slow
 * flushes and crashes between two actions are drawn where they happen.
 */
#include <string.h>

#include "sim.h"

const char *
sim_fault_name(uint32_t fault)
{
	static const char *const names[SIM_FAULT_COUNT] = {
#define SIM_FAULT(name, text) text,
#include "sim_fault.def"
#undef SIM_FAULT
	};

	FAL_ASSERT(fault < SIM_FAULT_COUNT);
	return names[fault];
}

void
sim_fault_next(struct sim *sim)
{
	sim_put(sim,
		1 + sim_random_below(&sim->random[SIM_STREAM_FAULT],
				     2 * sim->limits.fault_us),
		SIM_DUE_FAULT, 0, 0, 0, 0);
}

uint64_t
sim_fault_duration_us(struct sim *sim)
{
	const uint64_t tick_us = 1000ull * sim->core_options.tick_ms;

	return sim_random_scale(&sim->random[SIM_STREAM_FAULT], tick_us / 4,
				40 * tick_us);
}

uint32_t
sim_fault_server(struct sim *sim)
{
	/* Who leads is the most interesting one. */
	if (sim_random_once_in(&sim->random[SIM_STREAM_FAULT], 3))
		for (uint32_t i = 0; i < sim->count; i++)
			if (sim->server[i].is_up &&
			    sim->server[i].view.role == FLE_LEADING)
				return i;
	return (uint32_t)sim_random_below(&sim->random[SIM_STREAM_FAULT],
					  sim->count);
}

/* ---------------------------------------------------------------- net --- */

static void
break_one(struct sim *sim)
{
	const uint32_t first = (uint32_t)sim_random_below(
		&sim->random[SIM_STREAM_FAULT], SIM_CONNS_MAX);

	for (uint32_t i = 0; i < SIM_CONNS_MAX; i++) {
		const uint32_t at = (first + i) % SIM_CONNS_MAX;

		if (!sim->conn[at].is_used || sim->conn[at].is_broken)
			continue;
		sim_net_break(sim, at);
		return;
	}
}

static void
cut(struct sim *sim, uint32_t from, uint32_t to)
{
	if (from != to)
		sim->is_cut[from][to] = true;
}

void
sim_fault_heal_later(struct sim *sim)
{
	sim->heal_serial++;
	sim_put(sim, sim_fault_duration_us(sim), SIM_DUE_HEAL, 0, 0,
		sim->heal_serial, 0);
}

/* Random directions, each with the same chance. */
static void
cut_some(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_FAULT];
	const uint64_t once_in = sim_random_in(random, 2, 8);

	for (uint32_t i = 0; i < sim->count; i++)
		for (uint32_t j = 0; j < sim->count; j++)
			if (sim_random_once_in(random, once_in))
				cut(sim, i, j);
	sim_fault_heal_later(sim);
}

/* A link that comes and goes, long enough for neither state to be noticed. */
static void
begin_flapping(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_FAULT];

	sim->flap[0] = sim_fault_server(sim);
	sim->flap[1] = (uint32_t)sim_random_below(random, sim->count);
	sim->flaps_both_ways = sim_random_once_in(random, 2);
	sim->flap_until_us = sim->now_us + sim_fault_duration_us(sim);
	sim->flap_serial++;
	sim_put(sim, 0, SIM_DUE_FLAP, 0, 0, sim->flap_serial, 0);
}

void
sim_fault_flap(struct sim *sim, uint32_t serial)
{
	struct sim_random *random = &sim->random[SIM_STREAM_FAULT];
	const uint64_t tick_us = 1000ull * sim->core_options.tick_ms;
	const uint32_t from = sim->flap[0], to = sim->flap[1];
	bool *is_cut = &sim->is_cut[from][to];

	if (serial != sim->flap_serial || from == to || !sim->has_faults)
		return;
	*is_cut = sim->now_us < sim->flap_until_us && !*is_cut;
	if (sim->flaps_both_ways)
		sim->is_cut[to][from] = *is_cut;
	if (!*is_cut)
		sim_net_pump_all(sim);
	for (uint32_t i = 0; i < SIM_CONNS_MAX; i++) {
		const struct sim_conn *conn = &sim->conn[i];

		if (conn->is_used && !conn->is_broken &&
		    conn->server[0] + conn->server[1] == from + to &&
		    (conn->server[0] == from || conn->server[0] == to) &&
		    sim_random_once_in(random, 8))
			sim_net_break(sim, i);
	}
	if (sim->now_us < sim->flap_until_us)
		sim_put(sim,
			sim_random_scale(random, tick_us / 16, 2 * tick_us),
			SIM_DUE_FLAP, 0, 0, serial, 0);
}

enum { SHAPE_HALVES, SHAPE_ISOLATED, SHAPE_BRIDGE, SHAPE_RING, SHAPES };

/* Two sides; one server alone; two sides and one that sees both; a ring. */
static void
partition(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_FAULT];
	const uint64_t shape = sim_random_below(random, SHAPES);
	const uint32_t one = sim_fault_server(sim);
	const uint64_t side = sim_random_next(random);

	memset(sim->is_cut, 0, sizeof(sim->is_cut));
	for (uint32_t i = 0; i < sim->count; i++) {
		for (uint32_t j = 0; j < sim->count; j++) {
			const bool crosses = (side >> i & 1) != (side >> j & 1);
			const uint32_t apart =
				(i + sim->count - j) % sim->count;

			if ((shape == SHAPE_HALVES && crosses) ||
			    (shape == SHAPE_ISOLATED &&
			     (i == one || j == one)) ||
			    (shape == SHAPE_BRIDGE && crosses && i != one &&
			     j != one) ||
			    (shape == SHAPE_RING && apart != 1 &&
			     apart != sim->count - 1))
				cut(sim, i, j);
		}
	}
	sim_fault_heal_later(sim);
}

void
sim_fault_heal(struct sim *sim, uint32_t serial)
{
	if (serial != sim->heal_serial)
		return;
	memset(sim->is_cut, 0, sizeof(sim->is_cut));
	/* What stood still goes on, or its connections are given up. */
	for (uint32_t i = 0; i < SIM_CONNS_MAX; i++)
		if (sim->conn[i].is_used &&
		    sim_random_once_in(&sim->random[SIM_STREAM_FAULT], 4))
			sim_net_break(sim, i);
	sim_net_pump_all(sim);
}

static void
duplicate(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_FAULT];
	const uint32_t from = (uint32_t)sim_random_below(random, sim->count);

	for (uint32_t to = 0; to < sim->count; to++)
		if (from != to)
			sim_net_link_up(sim, from, to);
}

/* --------------------------------------------------------------- disk --- */

/* May one more server lose what it promised? */
bool
sim_fault_may_lose_promises(const struct sim *sim, uint32_t index)
{
	uint32_t lost = 1u << index | sim_genesis_voteless(sim);

	if (sim->server[index].java != SIM_JAVA_NONE)
		return false;
	for (uint32_t i = 0; i < sim->count; i++)
		lost |= (uint32_t)sim->server[i].is_wiped << i;
	return sim_config_survives(sim, lost) &&
	       sim_genesis_survives(sim, lost);
}

void
sim_fault_wipe(struct sim *sim, struct sim_server *server)
{
	if (!sim_fault_may_lose_promises(sim, server->index))
		return;
	if (server->is_up)
		sim_server_crash(sim, server, false);
	sim_trace_note(sim, server->index, "its disk is emptied", 0);
	sim_server_forget(sim, server);
	sim_disk_wipe(&server->disk);
	/* An observer of the first configuration cannot know what it was. */
	server->disk.is_nonvoting =
		!sim->has_genesis ||
		!quorum_is_voter(&sim->config[0], server->sid);
	sim_check_durable(sim);
	/* A new machine may be there at once. */
	sim_put(sim, sim_net_delay_us(sim), SIM_DUE_START, server->index, 0,
		server->incarnation, 0);
}

/*
 * A crash while records are written, and what reached the disk of them is
 * wrong. Nobody was told of them. At the end it looks like a write that was
 * not finished, else as if something acknowledged was lost.
 */
static void
rot_unacknowledged(struct sim *sim, struct sim_server *server)
{
	struct sim_disk *disk = &server->disk;

	if (!server->is_up || disk->log.count == disk->durable_count ||
	    !sim_fault_may_lose_promises(sim, server->index))
		return;
	sim_trace_note(sim, server->index, "what it writes is damaged at",
		       disk->log.entry[disk->durable_count].zxid);
	sim_log_cut(&disk->log, disk->durable_count);
	sim_server_crash(sim, server, false);
	if (sim_random_once_in(&sim->random[SIM_STREAM_FAULT], 2))
		return;
	disk->is_nonvoting = true;
	sim_server_forget(sim, server);
	sim_check_durable(sim);
}

/* A record that was synced is damaged; the next start finds it. */
static void
rot(struct sim *sim, struct sim_server *server)
{
	struct sim_disk *disk = &server->disk;

	if (sim_random_once_in(&sim->random[SIM_STREAM_FAULT], 3)) {
		rot_unacknowledged(sim, server);
		return;
	}
	if (disk->log.count == 0 ||
	    !sim_fault_may_lose_promises(sim, server->index))
		return;
	if (server->is_up)
		sim_server_crash(sim, server, false);
	const uint32_t at = (uint32_t)sim_random_below(
		&sim->random[SIM_STREAM_FAULT], disk->log.count + 1u);

	if (at == disk->log.count)
		return;
	sim_trace_note(sim, server->index, "its log is damaged at",
		       disk->log.entry[at].zxid);
	sim_log_cut(&disk->log, at);
	disk->durable_count = at;
	disk->is_nonvoting = true;
	sim_server_forget(sim, server);
	sim_check_durable(sim);
}

/* ----------------------------------------------------------- processes --- */

static void
pause_server(struct sim *sim, struct sim_server *server)
{
	if (!server->is_up)
		return;
	const uint64_t until_us = sim->now_us + sim_fault_duration_us(sim);

	if (until_us <= server->paused_until_us)
		return;
	sim_trace_note(sim, server->index, "pauses", 0);
	server->paused_until_us = until_us;
}

static void
change_clock(struct sim *sim, struct sim_server *server)
{
	struct sim_random *random = &sim->random[SIM_STREAM_CLOCK];
	const uint64_t jump_ms = sim_random_once_in(random, 2)
					 ? sim_random_scale(random, 1, 100000)
					 : 0;

	sim_server_set_rate(sim, server, sim_random_in(random, 500000, 2000000),
			    jump_ms);
	sim_trace_note(sim, server->index, "its clock changes, ms",
		       (int64_t)jump_ms);
}

static void
crash(struct sim *sim, struct sim_server *server, bool loses_power)
{
	const bool is_everybody =
		sim_random_once_in(&sim->random[SIM_STREAM_FAULT], 12);

	for (uint32_t i = 0; i < sim->count; i++)
		if ((is_everybody || i == server->index) &&
		    sim->server[i].is_up)
			sim_server_crash(sim, &sim->server[i], loses_power);
}

static void
happen_to_server(struct sim *sim, uint32_t fault, struct sim_server *server)
{
	switch ((enum sim_fault)fault) {
	case SIM_FAULT_CRASH:
		crash(sim, server, false);
		break;
	case SIM_FAULT_POWER:
		crash(sim, server, true);
		break;
	case SIM_FAULT_PAUSE:
		pause_server(sim, server);
		break;
	case SIM_FAULT_SLOW:
		server->disk.slow_until_us =
			sim->now_us + sim_fault_duration_us(sim);
		break;
	case SIM_FAULT_FAIL:
		server->disk.is_failing = true;
		break;
	case SIM_FAULT_FULL:
		sim_trace_note(sim, server->index, "its disk is full", 0);
		server->disk.full_until_us =
			sim->now_us + sim_fault_duration_us(sim);
		break;
	case SIM_FAULT_WIPE:
		sim_fault_wipe(sim, server);
		break;
	case SIM_FAULT_ROT:
		rot(sim, server);
		break;
	case SIM_FAULT_CLOCK:
		change_clock(sim, server);
		break;
	default:
		sim_server_step(sim, server,
				&(struct zab_event){.type = ZAB_EV_YIELD});
		break;
	}
}

void
sim_fault_happen(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_FAULT];
	uint32_t fault;

	if (!sim->has_faults || sim->options.faults == 0)
		return;
	do
		fault = (uint32_t)sim_random_below(random, SIM_FAULT_COUNT);
	while (!(sim->options.faults & 1u << fault));
	switch ((enum sim_fault)fault) {
	case SIM_FAULT_BREAK:
		break_one(sim);
		break;
	case SIM_FAULT_DELAY:
		break; /* Drawn for each message. */
	case SIM_FAULT_CUT:
		cut_some(sim);
		break;
	case SIM_FAULT_PARTITION:
		partition(sim);
		break;
	case SIM_FAULT_FLAP:
		begin_flapping(sim);
		break;
	case SIM_FAULT_DUPLICATE:
		duplicate(sim);
		break;
	case SIM_FAULT_LIE:
		sim_plot_lie(sim);
		break;
	case SIM_FAULT_OUTDATE:
		sim_plot_outdate(sim);
		break;
	case SIM_FAULT_RIVAL:
		sim_plot_rival(sim);
		break;
	case SIM_FAULT_SKIP:
		sim_net_skip(sim,
			     (uint32_t)sim_random_below(random, SIM_CONNS_MAX));
		break;
	default:
		happen_to_server(sim, fault,
				 &sim->server[sim_fault_server(sim)]);
		break;
	}
	sim_fault_next(sim);
}

void
sim_fault_end(struct sim *sim)
{
	sim_trace_note(sim, SIM_NOBODY, "the faults end", 0);
	sim->has_faults = false;
	for (uint32_t i = 0; i < sim->count; i++) {
		struct sim_server *server = &sim->server[i];

		server->disk.slow_until_us = 0;
		server->disk.is_failing = false;
		server->disk.full_until_us = 0;
		sim_server_set_rate(sim, server, 1000000, 0);
		if (!server->is_up)
			sim_server_start(sim, server);
	}
	sim_fault_heal(sim, sim->heal_serial);
}
