/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_plot - faults that aim: several things go wrong in the order in which
 * they hurt.
 *
 * Some promises are broken only by a chain of accidents that random faults meet
 * once in a thousand runs. Here such a chain is begun on purpose; when its
 * parts happen is drawn.
 */
#include <string.h>

#include "sim.h"

static void
cut_off(struct sim *sim, uint32_t one)
{
	for (uint32_t i = 0; i < sim->count; i++) {
		sim->is_cut[i][one] = i != one;
		sim->is_cut[one][i] = i != one;
	}
}

/* ------------------------------------------------------------- elections ---
 */

/* Of several leaders the one that is outdated, else any server. */
static uint32_t
outdated_leader(struct sim *sim)
{
	uint32_t leaders = 0, oldest = SIM_NOBODY;

	for (uint32_t i = 0; i < sim->count; i++) {
		if (!sim->server[i].is_serving ||
		    sim->server[i].view.role != FLE_LEADING)
			continue;
		leaders++;
		if (oldest == SIM_NOBODY ||
		    sim->server[i].view.epoch < sim->server[oldest].view.epoch)
			oldest = i;
	}
	return leaders > 1 ? oldest : sim_fault_server(sim);
}

/* `to` hears from all others that they want `one`, or that it leads them. */
static void
tell(struct sim *sim, uint32_t to, const struct sim_server *one, bool leads)
{
	struct zab_event event = {.type = ZAB_EV_FLE};
	int64_t round = 0;

	for (uint32_t i = 0; i < sim->count; i++)
		if (sim->server[i].view.round > round)
			round = sim->server[i].view.round;
	event.notification = (struct zab_notification){
		.state = FLE_LOOKING,
		.version = FLE_NOTIFICATION_VERSION,
		.leader = one->sid,
		.zxid = zab_zxid(SIM_LIE_EPOCH, 1),
		.round = round + 1,
		.peer_epoch = SIM_LIE_EPOCH,
	};
	for (uint32_t from = 0; from < sim->count; from++) {
		if (from == to || sim->server[to].paused_until_us > sim->now_us)
			continue;
		event.sid = sim->server[from].sid;
		if (leads)
			event.notification.state = from == one->index
							   ? FLE_LEADING
							   : FLE_FOLLOWING;
		sim_server_step(sim, &sim->server[to], &event);
	}
}

/*
 * Elections promise nothing, so anybody may win one: servers are told votes
 * that nobody cast. Whoever is looking hears that all others want `one`, or
 * that `one`, which leads or believes so, leads them.
 */
void
sim_plot_lie(struct sim *sim)
{
	const struct sim_server *one = &sim->server[outdated_leader(sim)];
	const bool leads = one->view.role == FLE_LEADING;

	if (!one->is_up)
		return;
	sim_trace_note(sim, one->index, "is said to be the best", 0);
	for (uint32_t to = 0; to < sim->count; to++)
		tell(sim, to, one, leads);
}

/* A new process on the same disk, whose peers noticed nothing. */
static void
restart(struct sim *sim, struct sim_server *server)
{
	if (server->is_up)
		sim_server_crash(sim, server, true);
	server->incarnation++;
	sim_server_start(sim, server);
}

/* ----------------------------------------------------------------- plots ---
 */

/* A client of that server asks for what only it will hear of. */
static void
ask_for_reconfig(struct sim *sim, uint32_t server)
{
	if (!sim->core_options.is_reconfig_enabled ||
	    sim_random_once_in(&sim->random[SIM_STREAM_FAULT], 2))
		return;
	for (uint32_t i = 0; i < sim->client_count; i++) {
		const struct sim_client *client = &sim->client[i];

		if (client->server != server ||
		    client->reign != sim->server[server].reign)
			continue;
		(void)sim_client_invoke(sim, i, SIM_OP_RECONFIG);
		return;
	}
}

void
sim_plot_outdate(struct sim *sim)
{
	const uint64_t tick_us = 1000ull * sim->core_options.tick_ms;
	uint32_t old = 0;

	while (old < sim->count && (!sim->server[old].is_serving ||
				    sim->server[old].view.role != FLE_LEADING))
		old++;
	if (old == sim->count)
		return;
	sim_trace_note(sim, sim->server[old].index, "is cut off", 0);
	ask_for_reconfig(sim, old);
	cut_off(sim, old);
	for (uint32_t slot = 0; slot < ZAB_CONNS_MAX; slot++)
		if (sim->server[old].conn[slot])
			sim_net_break_unheard(sim,
					      sim->server[old].conn[slot] - 1);
	sim_fault_heal_later(sim);
	sim_put(sim,
		sim_random_scale(&sim->random[SIM_STREAM_FAULT], tick_us / 2,
				 4 * tick_us),
		SIM_DUE_FORGET, 0, 0, 0, 0);
}

void
sim_plot_forget(struct sim *sim)
{
	const uint32_t old = outdated_leader(sim);
	uint32_t one = (uint32_t)sim_random_below(
		&sim->random[SIM_STREAM_FAULT], sim->count);

	/* Only if there is another leader, and one that follows it. */
	if (!sim->has_faults || !(sim->options.faults & 1u << SIM_FAULT_WIPE) ||
	    !sim->server[old].is_serving)
		return;
	for (uint32_t i = 0; i < sim->count; i++, one++) {
		struct sim_server *server = &sim->server[one % sim->count];

		if (!server->is_up || server->view.role != FLE_FOLLOWING ||
		    server->view.epoch <= sim->server[old].view.epoch ||
		    !sim_fault_may_lose_promises(sim, server->index))
			continue;
		sim_fault_wipe(sim, server);
		server->incarnation++;
		cut_off(sim, server->index);
		sim->is_cut[server->index][old] = false;
		sim->is_cut[old][server->index] = false;
		sim_fault_heal_later(sim);
		sim_server_start(sim, server);
		sim_plot_lie(sim);
		return;
	}
}

/*
 * Two servers that were both elected choose the same epoch, one after the
 * other, because who was told by the first has forgotten or was not told yet.
 * Then those who promised it to the second come to the first.
 */
void
sim_plot_rival(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_FAULT];
	const uint32_t first = sim_fault_server(sim);
	const uint32_t second = (uint32_t)sim_random_below(random, sim->count);

	if (first == second)
		return;
	sim_trace_note(sim, first, "gets a rival", second);
	for (uint32_t i = 0; i < sim->count; i++)
		restart(sim, &sim->server[i]);
	sim_put(sim, 0, SIM_DUE_RIVAL, first, second, 0, 0);
}

void
sim_plot_rival_goes_on(struct sim *sim, const struct sim_due *due)
{
	struct sim_random *random = &sim->random[SIM_STREAM_FAULT];
	const uint64_t step_us =
		sim->limits.net_us_max + sim->limits.disk_us_max;
	const uint32_t chosen = due->number == 1 ? due->what : due->who;
	const uint32_t other = due->number == 1 ? due->who : due->what;

	if (!sim->has_faults)
		return;
	memset(sim->is_cut, 0, sizeof(sim->is_cut));
	cut_off(sim, other);
	for (uint32_t i = 0; i < sim->count; i++) {
		if (i == due->who || i == due->what)
			continue;
		if (due->number > 0)
			restart(sim, &sim->server[i]);
		tell(sim, i, &sim->server[chosen], due->number == 2);
	}
	if (due->number < 2) {
		tell(sim, chosen, &sim->server[chosen], false);
		sim_put(sim, sim_random_scale(random, step_us, 16 * step_us),
			SIM_DUE_RIVAL, due->who, due->what, 0, due->number + 1);
		return;
	}
	sim_fault_heal_later(sim);
}
