/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_disk - what a server finds after a crash.
 *
 * The log file grows by records of random size. A flush makes durable what was
 * written when it began. A crash meanwhile lets each sector of 512 bytes that
 * is not durable yet keep its old or its new contents, each by a coin of its
 * own; a record survives with all of its sectors, and the log ends before the
 * first one that did not. Small files are replaced in one go, so a crash leaves
 * the old or the new one.
 *
 * Snapshots: two are kept, and the log from the older one on. What is below
 * goes, and LOG_FLOOR tells the core.
 */
#include <string.h>

#include "consensus/zab_history.h"
#include "sim.h"

#define SECTOR_BYTES 512u

void
sim_disk_init(struct sim_disk *disk)
{
	struct sim_log log = disk->log;
	const uint64_t slowness = disk->slowness;

	sim_log_init(&log, 0, 0);
	memset(disk, 0, sizeof(*disk));
	disk->log = log;
	disk->slowness = slowness;
}

void
sim_disk_wipe(struct sim_disk *disk)
{
	sim_disk_init(disk);
	disk->is_nonvoting = true;
}

uint64_t
sim_disk_delay_us(struct sim *sim, struct sim_server *server)
{
	struct sim_random *random = &sim->random[SIM_STREAM_DISK];
	const struct sim_limits *limits = &sim->limits;
	uint64_t delay =
		sim_random_in(random, limits->disk_us_min, limits->disk_us_max);

	if (server->disk.slow_until_us > sim->now_us)
		delay *= sim_random_scale(random, 8, 1000);
	else if (sim->has_faults &&
		 (sim->options.faults & 1u << SIM_FAULT_SLOW) &&
		 sim_random_once_in(random, limits->disk_spike))
		delay *= sim_random_scale(random, 2, 200);
	else if (sim->has_faults && server->disk.slowness)
		delay *= server->disk.slowness;
	return delay;
}

bool
sim_disk_is_full(const struct sim *sim, const struct sim_server *server)
{
	return server->disk.full_until_us > sim->now_us;
}

/* ---------------------------------------------------------------- log --- */

void
sim_disk_flush(struct sim *sim, struct sim_server *server)
{
	struct sim_disk *disk = &server->disk;
	struct sim_random *random = &sim->random[SIM_STREAM_DISK];
	uint64_t end =
		disk->log.count ? disk->log.entry[disk->log.count - 1].end : 0;

	if (disk->is_flushing || server->is_busy ||
	    disk->log.count == server->log.count)
		return;
	FAL_ASSERT(disk->log.floor_zxid == server->log.floor_zxid);
	FAL_ASSERT(disk->log.count == disk->durable_count);
	for (uint32_t i = 0;
	     disk->log.count < server->log.count && i < sim->limits.flush_max;
	     i++) {
		struct sim_entry entry = server->log.entry[disk->log.count];

		entry.begin = end;
		end += 1 +
		       sim_random_below(random, sim->limits.entry_bytes_max);
		entry.end = end;
		sim_log_append(&disk->log, &entry);
	}
	disk->is_flushing = true;
	sim_put(sim,
		sim_java_flushes_at_once(server)
			? 0
			: sim_disk_delay_us(sim, server),
		SIM_DUE_FLUSHED, server->index, 0, server->incarnation, 0);
}

void
sim_disk_flushed(struct sim *sim, struct sim_server *server)
{
	struct sim_disk *disk = &server->disk;

	FAL_ASSERT(disk->is_flushing);
	disk->is_flushing = false;
	if (disk->is_failing || sim_disk_is_full(sim, server)) {
		disk->is_failing = false;
		sim_disk_crash(sim, server); /* Nobody knows what was written */
		sim_server_step(sim, server,
				&(struct zab_event){.type = ZAB_EV_LOG_FAILED});
		return;
	}
	disk->durable_count = disk->log.count;
	sim_server_step(sim, server,
			&(struct zab_event){.type = ZAB_EV_LOG_DURABLE,
					    .zxid = sim_log_last(&disk->log)});
}

static void
lose_unsynced(struct sim *sim, struct sim_disk *disk)
{
	struct sim_random *random = &sim->random[SIM_STREAM_CRASH];
	uint64_t sector = UINT64_MAX;
	bool survives = false;

	for (uint32_t i = disk->durable_count; i < disk->log.count; i++) {
		const struct sim_entry *entry = &disk->log.entry[i];

		for (uint64_t s = entry->begin / SECTOR_BYTES;
		     s <= (entry->end - 1) / SECTOR_BYTES; s++) {
			if (s != sector)
				survives = sim_random_once_in(random, 2);
			sector = s;
			if (!survives) {
				sim_log_cut(&disk->log, i);
				return;
			}
		}
	}
}

void
sim_disk_crash(struct sim *sim, struct sim_server *server)
{
	struct sim_disk *disk = &server->disk;
	struct sim_random *random = &sim->random[SIM_STREAM_CRASH];

	lose_unsynced(sim, disk);
	disk->durable_count = disk->log.count;
	disk->is_flushing = false;
	if (disk->accepted_writing && sim_random_once_in(random, 2))
		disk->accepted_epoch = disk->accepted_writing;
	if (disk->current_writing && sim_random_once_in(random, 2))
		disk->current_epoch = disk->current_writing;
	disk->accepted_writing = 0;
	disk->current_writing = 0;
	sim_config_crash(sim, disk);
	sim_genesis_crash(sim, disk);
	if (!server->is_busy || server->is_installing)
		return;
	if (server->busy_event == ZAB_EV_TRUNCATED &&
	    sim_random_once_in(random, 2))
		sim_disk_truncate(server, server->busy_zxid);
	else if (server->busy_event == ZAB_EV_SNAP_INSTALLED &&
		 sim_random_once_in(random, 2))
		sim_disk_install(server, server->busy_zxid, server->busy_node);
}

void
sim_disk_load(struct sim_server *server, struct zab_history *history,
	      int64_t *committed_zxid)
{
	struct sim_disk *disk = &server->disk;
	const struct sim_snapshot *snapshot = &disk->snapshot[0];

	*committed_zxid = 0;
	if (disk->snapshot_count > 0) {
		/* One that a leader sent may hold what was never committed. */
		for (uint32_t i = 0; i < disk->snapshot_count; i++)
			if (!disk->snapshot[i].is_of_leader &&
			    *committed_zxid == 0)
				*committed_zxid = disk->snapshot[i].zxid;
		/* A log that ends before the snapshot is of no use. */
		if (sim_log_last(&disk->log) < snapshot->zxid) {
			sim_log_init(&disk->log, snapshot->zxid,
				     snapshot->node);
			disk->durable_count = 0;
		}
	}
	FAL_ASSERT(disk->durable_count == disk->log.count);
	sim_log_copy(&server->log, &disk->log);
	zab_history_init(history, disk->log.floor_zxid);
	for (uint32_t i = 0; i < disk->log.count; i++) {
		const int err =
			zab_history_append(history, disk->log.entry[i].zxid);

		FAL_ASSERT(err == 0);
	}
}

void
sim_disk_truncate(struct sim_server *server, int64_t zxid)
{
	struct sim_disk *disk = &server->disk;

	while (disk->snapshot_count > 0 && disk->snapshot[0].zxid > zxid) {
		disk->snapshot[0] = disk->snapshot[1];
		disk->snapshot_count--;
	}
	sim_log_cut(&disk->log, sim_log_count_to(&disk->log, zxid));
	disk->durable_count = disk->log.count;
}

void
sim_disk_install(struct sim_server *server, int64_t zxid, uint32_t node)
{
	struct sim_disk *disk = &server->disk;

	disk->snapshot[0] = (struct sim_snapshot){
		.zxid = zxid, .node = node, .is_of_leader = true};
	disk->snapshot_count = 1;
	sim_log_init(&disk->log, zxid, node);
	disk->durable_count = 0;
}

void
sim_disk_keep_snapshot(struct sim_disk *disk, struct sim_snapshot one)
{
	if (disk->snapshot_count > 0 && one.zxid <= disk->snapshot[0].zxid)
		return;
	disk->snapshot[1] = disk->snapshot[0];
	disk->snapshot[0] = one;
	if (disk->snapshot_count < SIM_SNAPSHOTS_MAX)
		disk->snapshot_count++;
}

int64_t
sim_disk_zxid(const struct sim_disk *disk)
{
	const int64_t last = sim_log_zxid(&disk->log, disk->durable_count);

	if (disk->snapshot_count > 0 && disk->snapshot[0].zxid > last)
		return disk->snapshot[0].zxid;
	return last;
}

uint32_t
sim_disk_node(const struct sim_disk *disk)
{
	if (disk->snapshot_count > 0 &&
	    disk->snapshot[0].zxid >
		    sim_log_zxid(&disk->log, disk->durable_count))
		return disk->snapshot[0].node;
	return sim_log_node(&disk->log, disk->durable_count);
}
