/* SPDX-License-Identifier: Apache-2.0 */
/* store_build - store_jobs.h wired to a server: of a member of an ensemble. */
#include "server/bg.h"
#include "server/recovery.h"
#include "server/store_jobs.h"

static void
park_log(void *arg)
{
	struct server *server = arg;

	log_thread_park(server);
}

static void
resume_log(void *arg)
{
	struct server *server = arg;

	log_thread_resume(server);
}

static void
lend(void *arg)
{
	const struct server *server = arg;

	bg_lend(server->bg);
}

static void
take_back(void *arg)
{
	const struct server *server = arg;

	bg_take_back(server->bg);
}

static void
drop_snapshot(void *arg)
{
	const struct server *server = arg;

	bg_drop_snapshot(server->bg);
}

int
server_make_store(struct server *server)
{
	const struct config *config = server->config;
	const struct store_parts parts = {
		.restore = recovery_restore(server),
		.txlog = server->txlog,
		.published = delta_published(server->deltas),
		.zab_lcore = &server->core[server->core_count - 1].lcore,
		.bg_lcore = bg_lcore(server->bg),
		.config_path = config->path,
		.sid = config->myid,
		.snapshots_max = (uint32_t)config->snap_syncs_max,
		.worth_factor = config->snapshot_size_factor,
		.worth_count = (uint32_t)config->commit_log_count,
		.history = &server->member->found.history,
		.arg = server,
		.lend = lend,
		.take_back = take_back,
		.park_log = park_log,
		.resume_log = resume_log,
		.drop_snapshot = drop_snapshot,
	};

	if (config->is_standalone)
		return FAL_OK;
	return store_jobs_create(&parts, &server->store);
}
