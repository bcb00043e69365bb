/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_star - links that are missing for good. Wherever some server is linked
 * with a quorum both ways, a leader must come, stay, and commit; elsewhere
 * nobody may lead. test_places.c goes through masks of cuts; some seeds try one
 * more, in the shape that is the hardest: one server sees all, and the others
 * hear each other one way at most.
 */
#include "tests/sim/sim.h"

#include <inttypes.h>

/* Time that candidates who block each other may need, in that of one
 * ensemble. */
#define STAR_BOUNDS 8u
/* Part of that time in which every limit has run out several times. */
#define STAR_STAYS 5u

uint32_t
sim_leader_of(const struct sim *sim)
{
	for (uint32_t i = 0; i < sim->count; i++)
		if (sim->server[i].is_up && sim->server[i].is_serving &&
		    sim->server[i].view.role == FLE_LEADING)
			return i;
	return SIM_NOBODY;
}

void
sim_begin_plain(struct sim_server *server)
{
	struct zab_core_options *options = &server->options;

	options->beacon_ms = 0;
	options->beacon_lost_ms = 0;
	options->counter_max = 0;
	options->is_reconfig_enabled = false;
}

static void
cut_mask(struct sim *sim, uint64_t mask)
{
	uint32_t bit = 0;

	for (uint32_t i = 0; i < sim->count; i++)
		for (uint32_t j = 0; j < sim->count; j++)
			if (i != j)
				sim->is_cut[i][j] = mask >> bit++ & 1;
}

static bool
is_centre(const struct sim *sim, uint32_t server)
{
	uint32_t linked = 0;

	for (uint32_t i = 0; i < sim->count; i++)
		linked += i == server ||
			  (!sim->is_cut[server][i] && !sim->is_cut[i][server]);
	return 2 * linked > sim->count;
}

static bool
has_centre(const struct sim *sim)
{
	for (uint32_t i = 0; i < sim->count; i++)
		if (is_centre(sim, i))
			return true;
	return false;
}

static void
begin(struct sim *sim, uint64_t seed, uint32_t replicas, uint64_t mask,
      bool needs_both_ways)
{
	const struct sim_options options = {
		.seed = seed, .replicas = replicas, .steps = 1};

	sim_init(sim, &options);
	sim->needs_both_ways = needs_both_ways;
	cut_mask(sim, mask);
	for (uint32_t i = 0; i < sim->count; i++) {
		sim_begin_plain(&sim->server[i]);
		sim_server_start(sim, &sim->server[i]);
	}
}

/* It stays, in its epoch, and a write of its client is committed. */
static void
must_stay(struct sim *sim, uint32_t leader)
{
	const int64_t epoch = sim->server[leader].view.epoch;
	uint32_t op;

	sim_client_connect(sim, 0, leader);
	op = sim_client_invoke(sim, 0, SIM_OP_WRITE);
	sim_turn_until(sim, sim->now_us + sim_bound_us(sim) / STAR_STAYS);
	if (sim_leader_of(sim) != leader ||
	    sim->server[leader].view.epoch != epoch)
		sim_fail(sim, "liveness", "s%u does not stay the leader",
			 leader);
	if (!sim->op[op].is_acked)
		sim_fail(sim, "liveness", "s%u leads and commits nothing",
			 leader);
}

uint64_t
sim_star_find(struct sim *sim, uint64_t seed, uint32_t replicas, uint64_t mask,
	      bool needs_both_ways)
{
	uint32_t leader = SIM_NOBODY;
	uint64_t end_us, led_ms;
	bool may_lead;

	begin(sim, seed, replicas, mask, needs_both_ways);
	may_lead = has_centre(sim);
	end_us = may_lead ? STAR_BOUNDS * sim_bound_us(sim)
			  : sim_bound_us(sim) / STAR_STAYS;
	while (leader == SIM_NOBODY && sim->now_us <= end_us) {
		sim_turn_until(sim, sim->now_us + 100000);
		leader = sim_leader_of(sim);
	}
	if (!may_lead && leader != SIM_NOBODY)
		sim_fail(sim, "liveness", "s%u leads without a quorum", leader);
	if (leader == SIM_NOBODY)
		return may_lead ? UINT64_MAX : 0;
	led_ms = sim->now_us / 1000;
	must_stay(sim, leader);
	return led_ms;
}

/* Between two leaves: cut both ways, or one of them. */
static uint64_t
draw_star(struct sim_random *random, uint32_t replicas)
{
	const uint32_t centre = (uint32_t)sim_random_below(random, replicas);
	bool is_cut[SIM_SERVERS_MAX][SIM_SERVERS_MAX] = {{false}};
	uint64_t mask = 0;
	uint32_t bit = 0;

	for (uint32_t i = 0; i < replicas; i++)
		for (uint32_t j = 0; j < i; j++) {
			const uint64_t which = sim_random_below(random, 3);

			if (i == centre || j == centre)
				continue;
			is_cut[i][j] = which != 0;
			is_cut[j][i] = which != 1;
		}
	for (uint32_t i = 0; i < replicas; i++)
		for (uint32_t j = 0; j < replicas; j++)
			if (i != j)
				mask |= (uint64_t)is_cut[i][j] << bit++;
	return mask;
}

void
sim_star_run(struct sim *sim, uint64_t seed)
{
	struct sim_random random;
	uint32_t replicas;
	uint64_t mask;

	sim_random_seed(&random, seed, 0);
	replicas = sim_random_once_in(&random, 3) ? 7 : 5;
	mask = draw_star(&random, replicas);
	if (sim_star_find(sim, seed, replicas, mask, true) == UINT64_MAX)
		sim_fail(sim, "liveness",
			 "nobody leads though one server sees all, mask "
			 "%" PRIx64,
			 mask);
}
