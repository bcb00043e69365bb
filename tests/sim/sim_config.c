/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_config - configurations of the ensemble: drawn, named, kept on disks.
 *
 * A configuration is an index; its version is the zxid of its transaction, so
 * one version must mean one configuration everywhere. Two small files of each
 * server hold the active one and the next one. A crash may take back the newest
 * change of each.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static uint32_t
add(struct sim *sim, const struct quorum *config)
{
	if (sim->config_count == sim->config_capacity) {
		sim->config_capacity =
			sim->config_capacity ? 2 * sim->config_capacity : 16;
		sim->config = realloc(sim->config,
				      sim->config_capacity * sizeof(*config));
		FAL_ASSERT(sim->config);
	}
	sim->config[sim->config_count] = *config;
	return sim->config_count++;
}

/* Weights and groups, or just voters; false if nobody could decide. */
static bool
draw(struct sim *sim, struct sim_random *random, struct quorum *config,
     uint32_t voters)
{
	const uint32_t groups = (uint32_t)sim_random_in(random, 1, 3);

	memset(config, 0, sizeof(*config));
	/* Groups are not reconfigured: who weighs nothing here and something
	 * there would be voted for by some only. */
	config->kind = !sim->core_options.is_reconfig_enabled &&
				       sim_random_once_in(random, 4)
			       ? QUORUM_HIERARCHICAL
			       : QUORUM_MAJORITY;
	config->member_count = sim->count;
	for (uint32_t i = 0; i < sim->count; i++)
		config->member[i] = (struct quorum_member){
			.sid = (int64_t)i + 1,
			.address = i + 1,
			.weight =
				config->kind == QUORUM_MAJORITY
					? 1
					: (uint32_t)sim_random_below(random, 4),
			.group = config->kind == QUORUM_MAJORITY
					 ? 0
					 : (uint32_t)sim_random_below(random,
								      groups),
			.is_voter = voters >> i & 1,
		};
	return quorum_check(config) == 0;
}

void
sim_config_init(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_LIMITS];
	const uint32_t voters = (1u << sim->voter_count) - 1;
	struct quorum config;

	while (!draw(sim, random, &config, voters) ||
	       (sim->options.replicas && config.kind != QUORUM_MAJORITY))
		;
	sim->config_count = 0;
	sim->committed_config = 0;
	(void)add(sim, &config);
}

uint32_t
sim_config_draw(struct sim *sim)
{
	struct sim_random *random = &sim->random[SIM_STREAM_CLIENT];
	struct quorum config;
	uint32_t voters;

	do
		voters = (uint32_t)(sim_random_next(random) |
				    sim_random_next(random)) &
			 ((1u << sim->count) - 1);
	while (__builtin_popcount(voters) < 2 ||
	       !draw(sim, random, &config, voters));
	return add(sim, &config);
}

uint32_t
sim_config_find(struct sim *sim, const struct quorum *config)
{
	for (uint32_t i = 0; i < sim->config_count; i++) {
		if (sim->config[i].version != config->version ||
		    (i > 0 && config->version == 0))
			continue;
		if (memcmp(&sim->config[i], config, sizeof(*config)) != 0)
			sim_fail(sim, "configuration",
				 "version %" PRIx64 " means two",
				 (uint64_t)config->version);
		return i;
	}
	return add(sim, config);
}

/* --------------------------------------------------------------- disk --- */

void
sim_config_persist(struct sim *sim, struct sim_server *server,
		   const struct zab_event *event, int64_t version)
{
	struct sim_disk *disk = &server->disk;
	uint64_t due_us = sim->now_us + sim_disk_delay_us(sim, server);

	if (version == 0) {
		disk->next_config = 0;
		disk->config_writing = 0;
		disk->config_serial++;
		return;
	}
	const struct quorum *config =
		event->config ? event->config : zab_next_config(server->core);

	FAL_ASSERT(config && config->version == version);
	disk->config_writing = 1 + sim_config_find(sim, config);
	if (due_us < disk->config_due_us)
		due_us = disk->config_due_us; /* in order */
	disk->config_due_us = due_us;
	sim_put(sim, due_us - sim->now_us, SIM_DUE_CONFIG, server->index,
		disk->config_serial, server->incarnation, disk->config_writing);
}

void
sim_config_persisted(struct sim *sim, struct sim_server *server,
		     const struct sim_due *due)
{
	struct sim_disk *disk = &server->disk;

	if (sim_disk_is_full(sim, server)) {
		sim_server_step(sim, server,
				&(struct zab_event){.type = ZAB_EV_LOG_FAILED});
		return;
	}
	if (due->what == disk->config_serial) {
		disk->next_config = (uint32_t)due->number;
		if (disk->config_writing == disk->next_config)
			disk->config_writing = 0;
	}
	sim_server_step(sim, server,
			&(struct zab_event){
				.type = ZAB_EV_CONFIG_DURABLE,
				.zxid = sim->config[due->number - 1].version});
}

/* Is there such a transaction, committed or about to be by this leader? The
 * first configuration, whose counter is 0, has none. */
static bool
is_history(const struct sim *sim, const struct sim_server *server,
	   int64_t version)
{
	const struct sim_log *log = &server->log;
	const uint32_t count = sim_log_count_to(log, version);

	if (zab_counter(version) == 0 ||
	    (count > 0 && log->entry[count - 1].zxid == version))
		return true;
	for (uint32_t i = sim->committed_count; i > 0; i--)
		if (sim->chain.node[sim->committed[i - 1]].zxid == version)
			return true;
	return false;
}

void
sim_config_activate(struct sim *sim, struct sim_server *server)
{
	struct sim_disk *disk = &server->disk;
	const int64_t version = zab_config(server->core)->version;

	if (!is_history(sim, server, version))
		sim_fail(sim, "configuration",
			 "s%u: activates %" PRIx64 ", which nobody committed",
			 server->index, (uint64_t)version);
	if (sim->now_us >= disk->activated_us) {
		disk->old_config = disk->active_config;
		disk->old_next_config = disk->next_config;
	}
	disk->activated_us = sim->now_us + sim_disk_delay_us(sim, server);
	disk->active_config = sim_config_find(sim, zab_config(server->core));
	if (disk->next_config &&
	    sim->config[disk->next_config - 1].version <=
		    sim->config[disk->active_config].version)
		disk->next_config = 0;
	sim->counters.reconfigs++;
}

/* The newest configuration above the active one in that history; 1 + index. */
static uint32_t
find_in_history(const struct sim *sim, const struct sim_disk *disk,
		uint32_t node)
{
	const int64_t active = sim->config[disk->active_config].version;

	while (node != 0 && sim->chain.node[node].zxid > active) {
		const struct sim_node *one = &sim->chain.node[node];
		const uint32_t config = sim->op[one->value - 1].config;

		if (config && sim->config[config - 1].version == one->zxid)
			return config;
		node = one->parent;
	}
	return 0;
}

const struct quorum *
sim_config_next(struct sim *sim, const struct sim_server *server)
{
	const struct sim_disk *disk = &server->disk;
	const uint32_t logged = find_in_history(sim, disk, sim_disk_node(disk));
	const uint32_t covered =
		find_in_history(sim, disk, disk->log.floor_node);
	uint32_t next = disk->next_config;

	if (!sim->core_options.is_reconfig_enabled)
		return NULL;
	if (next && next != covered &&
	    zab_counter(sim->config[next - 1].version) != 0 &&
	    sim->config[next - 1].version <= disk->log.floor_zxid)
		next = 0; /* was cut off before that snapshot */
	if (logged && (next == 0 || sim->config[next - 1].version <
					    sim->config[logged - 1].version))
		next = logged;
	return next ? &sim->config[next - 1] : NULL;
}

const struct quorum *
sim_config_of_snapshot(const struct sim *sim, const struct sim_server *server)
{
	const uint32_t config = find_in_history(sim, &server->disk,
						sim_disk_node(&server->disk));

	return config && sim->core_options.is_reconfig_enabled
		       ? &sim->config[config - 1]
		       : NULL;
}

void
sim_config_crash(struct sim *sim, struct sim_disk *disk)
{
	struct sim_random *random = &sim->random[SIM_STREAM_CRASH];

	if (sim->now_us < disk->activated_us && sim_random_once_in(random, 2)) {
		disk->active_config = disk->old_config;
		disk->next_config = disk->old_next_config;
	}
	if (disk->config_writing && sim_random_once_in(random, 2))
		disk->next_config = disk->config_writing;
	disk->config_writing = 0;
	disk->config_due_us = 0;
	disk->activated_us = 0;
	disk->config_serial++;
}

/* -------------------------------------------------------------- checks --- */

bool
sim_config_decides(const struct sim *sim, uint32_t servers)
{
	return quorum_has(&sim->config[sim->committed_config], servers);
}

bool
sim_config_survives(const struct sim *sim, uint32_t lost)
{
	int64_t oldest = INT64_MAX;

	for (uint32_t i = 0; i < sim->count; i++) {
		const uint32_t active = sim->server[i].disk.active_config;

		if (sim->config[active].version < oldest)
			oldest = sim->config[active].version;
	}
	for (uint32_t i = 0; i < sim->config_count; i++) {
		const struct quorum *config = &sim->config[i];

		/* Version 0 is the first one, or was never proposed. */
		if (config->version >= oldest &&
		    (i == 0 || config->version > 0) &&
		    !quorum_has(config, ~lost))
			return false;
	}
	return true;
}

bool
sim_config_is_sane(const struct sim *sim, const struct quorum *config)
{
	uint32_t lost = sim_genesis_voteless(sim);

	for (uint32_t i = 0; i < sim->count; i++)
		lost |= (uint32_t)sim->server[i].is_wiped << i;
	return quorum_has(config, ~lost);
}
