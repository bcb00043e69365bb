/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build - from a configuration to a server that is ready to start: recover the
 * data, make every object, wire them, bind the port. Whatever fails is told in
 * one line that names the thing and the remedy.
 */
#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "server/admin.h"
#include "server/audit.h"
#include "server/bg.h"
#include "server/descriptors.h"
#include "server/listen.h"
#include "server/member.h"
#include "server/net.h"
#include "server/recovery.h"
#include "server/store_jobs.h"
#include "server/words.h"

/* What writing zeros may add to a start. */
#define START_FILL_NS (250 * NS_PER_MS)
/* Room for connections whose stream is gone and whose requests are not. */
#define GHOST_FACTOR 2u
/* Reqs of a reader; see server/core.c. */
#define REQ_COUNT 8192u

/* ---- what holds the data ----------------------------------------------------
 */

static int
make_tree(struct server *server, struct server_error *error)
{
	const struct config *config = server->config;
	const struct tree_options tree = {
		.bytes_max = config->tree_bytes_max,
		.has_extended_types = config->extended_types_enabled,
		.is_digest_on = config->digest_enabled,
	};
	const struct prep_options prep = {
		.acl = &server->acl,
		.has_extended_types = config->extended_types_enabled,
		.is_digest_on = config->digest_enabled,
		.has_close_paths = config->close_session_txn_enabled,
		.is_reconfig_enabled = config->reconfig_enabled,
		.enforce_quota = config->enforce_quota,
		/* Followers answer from the record. */
		.answers_create2_as_create = !config->is_standalone,
	};

	server->acl = (struct acl_options){
		.skip_acl = config->skip_acl,
		.is_digest_enabled = config->auth_digest_enabled,
		.super_digest = config->super_digest,
		.digest_algorithm = config->digest_algorithm,
	};

	int err = tree_create(&tree, &server->tree);

	if (err == FAL_OK)
		err = session_table_create((uint32_t)config->tick_ms,
					   &server->sessions);
	if (err == FAL_OK)
		err = prep_create(&prep, server->tree, server->sessions,
				  &server->prep);
	if (err != FAL_OK)
		return server_explain(
			error, err,
			"no address space or memory for the tree: %s; "
			"lower falconer.tree.maxBytes, or raise ulimit -v "
			"(vm.overcommit_memory=2 limits it, too)",
			fal_err_str(err));
	return FAL_OK;
}

static void
durable_notify(void *arg)
{
	struct server *server = arg;

	/* The ZAB role is on the last core. */
	lcore_doorbell(&server->core[server->core_count - 1].lcore);
}

/* The first file's zeros are written before the first record needs them, as
 * far as a start may take (store/txlog.c, usable_bytes()). */
static void
fill_first_file(struct server *server)
{
	const uint64_t until_ns = clock_now_ns() + START_FILL_NS;

	while (clock_now_ns() < until_ns && txlog_prepare(server->txlog))
		continue;
}

static void
say_sync(const struct server *server)
{
	if (member_is_log_volatile(server->config))
		LOG_INFO("syncEnabled=false: this observer writes no log and "
			 "takes no snapshots; after a restart a leader sends "
			 "what is missing since 0x%llx",
			 (unsigned long long)server->last_zxid);
}

static int
make_log(struct server *server, struct server_error *error)
{
	const struct config *config = server->config;
	const struct txlog_options options = {
		.dir = server->data_dir.log_dir,
		.window_bytes = (uint64_t)config->window_mb << 20,
		.prealloc_bytes = (uint64_t)config->log_prealloc_kb << 10,
		.entry_bytes_max = SERVER_ENTRY_BYTES_MAX,
		.has_no_sync = !config->fsync_enabled,
		.is_volatile = member_is_log_volatile(config),
		.last_zxid = (uint64_t)server->last_zxid,
		.durable_notify = durable_notify,
		.arg = server,
	};
	const int err = txlog_create(server->disk, &options, &server->txlog);

	if (err == FAL_ENOMEM)
		return server_explain(error, err,
				      "no memory for falconer.window.mb=%u: "
				      "check ulimit -v and ulimit -f",
				      config->window_mb);
	if (err != FAL_OK)
		return server_explain(
			error, err, "cannot write the log in %s: %s",
			server->data_dir.log_dir, fal_err_str(err));
	fill_first_file(server);
	say_sync(server);
	if (!config->fsync_enabled)
		LOG_WARN("forceSync=no: acknowledged writes can be lost when "
			 "the machine stops; a crash of this process alone "
			 "loses nothing");
	return FAL_OK;
}

/* Plain system calls in the LOG thread, unless io_uring is asked for. */
static int
choose_disk(struct server *server, struct server_error *error)
{
	server->disk = disk_posix();
	if (server->config->log_io != CONFIG_LOG_IO_URING)
		return FAL_OK;
	if (disk_uring_create(&server->disk) == FAL_OK)
		return FAL_OK;
	return server_explain(
		error, FAL_ENOTSUP,
		"falconer.log.io=uring: this kernel does not allow "
		"io_uring; use auto or thread");
}

/* ---- cores
 * ------------------------------------------------------------------- */

/* One core with both roles, or N readers and ZAB on a core of its own, last.
 */
static void
plan_cores(struct server *server)
{
	const struct config *config = server->config;
	const bool is_spread = config->reader_cores > 0;

	server->reader_count = is_spread ? config->reader_cores : 1;
	server->core_count = is_spread ? server->reader_count + 1 : 1;
	for (uint32_t i = 0; i < server->core_count; i++) {
		struct server_core *core = &server->core[i];

		core->server = server;
		core->index = i;
		core->has_reader = i < server->reader_count;
		core->has_zab = i == server->core_count - 1;
		core->cpu =
			i < config->cpu_count ? config->cpu[i] : LCORE_ANY_CPU;
	}
}

static int
make_core(struct server *server, struct server_core *core,
	  struct server_error *error)
{
	int err = lcore_init(&core->lcore);

	if (err != FAL_OK)
		return server_explain(error, err,
				      "no descriptors left: ulimit -n");
	if (!core->has_reader)
		return server->config->is_standalone
			       ? FAL_OK
			       : net_make_streams(server, core, error);
	err = channel_init(&core->channel, (uint16_t)core->index, REQ_COUNT,
			   GHOST_FACTOR * server->config->core_connections_max);
	if (err != FAL_OK)
		return server_explain(error, err, "out of memory");
	core->channel.reader_lcore = &core->lcore;
	core->channel.zab_lcore = &server->core[server->core_count - 1].lcore;
	return net_make_streams(server, core, error);
}

/* Of all clients together; 0: each core has its own limit and that is all. The
 * kernel's sockets take descriptors, our own TCP has none. */
static uint32_t
connections_max(const struct server *server, uint32_t capacity)
{
	const uint32_t wanted = (uint32_t)server->config->connections_max;
	const uint64_t room =
		server->net != NULL ? UINT64_MAX : descriptors_for_clients();

	return room < (wanted > 0 ? wanted : capacity) ? (uint32_t)room
						       : wanted;
}

static int
make_cores(struct server *server, struct server_error *error)
{
	const struct config *config = server->config;

	for (uint32_t i = 0; i < server->core_count; i++) {
		const int err = make_core(server, &server->core[i], error);

		if (err != FAL_OK)
			return err;
	}

	const uint32_t capacity =
		server->reader_count * config->core_connections_max;
	const int per_host = config->client_connections_max;
	const int err = stream_limits_create(
		capacity, connections_max(server, capacity),
		per_host > 0 ? (uint32_t)per_host : 0, &server->limits);

	if (err != FAL_OK)
		return server_explain(error, err, "out of memory");
	return FAL_OK;
}

/* Every reader core listens on the port; the first makes sure that no other
 * process does. */
static int
listen_clients(struct server *server, struct server_error *error)
{
	const struct config *config = server->config;
	struct stream_listener listener = {
		.tag = MEMBER_CLIENT_TAG,
		.backlog = config->client_backlog,
		.is_shared = server->reader_count > 1,
		.keepalive = config->client_keepalive,
		.limits = server->limits,
	};
	char text[64];
	const int parsed = listen_address(
		config->client_address == NULL ? "" : config->client_address,
		(uint16_t)config->client_port, &listener.address, text,
		sizeof(text));

	if (parsed != FAL_OK)
		return server_explain(error, parsed,
				      "clientPortAddress=%s: %s; choose a name "
				      "or an address of this machine",
				      config->client_address, text);
	for (uint32_t i = 0; i < server->reader_count; i++) {
		struct stream_error why = {0};

		listener.is_first = i == 0;

		const int err = stream_listen(server->core[i].streams,
					      &listener, &server->bound, &why);

		if (err != FAL_OK)
			return server_explain(
				error, err, "clientPort=%d: %s; %s",
				config->client_port, why.text,
				listen_remedy(err, server->net != NULL));
		listener.address.port = server->bound.port;
	}
	return FAL_OK;
}

/* ---- the ZAB role
 * ------------------------------------------------------------- */

static void
log_failed(void *arg, int err)
{
	const struct server *server = arg;

	LOG_ERROR("the transaction log in %s failed: %s; nothing more can be "
		  "acknowledged, the server stops. Check the disk, then start "
		  "it again: what was acknowledged is on it",
		  server->data_dir.log_dir, fal_err_str(err));
	_Exit(EXIT_FAILURE);
}

static int
make_zab(struct server *server, struct server_error *error)
{
	const struct config *config = server->config;
	struct zab_parts parts = {
		.tree = server->tree,
		.prep = server->prep,
		.sessions = server->sessions,
		.deltas = server->deltas,
		.ledger = server->ledger,
		.log = log_thread_port(server),
		.channel_count = server->reader_count,
		.stats = &server->stats.core[server->core_count - 1],
		.serving = config->is_standalone ? NULL : &server->serving,
	};
	const struct zab_hooks hooks = {
		.arg = server->bg,
		.start_snapshot = bg_snapshot,
		.on_fatal = log_failed,
		.fatal_arg = server,
	};
	const struct zab_options options = {
		.tick_ms = (uint32_t)config->tick_ms,
		.snap_count = (uint64_t)config->snap_count,
		.snap_bytes = config->snap_log_kb_max <= 0
				      ? 0
				      : (uint64_t)config->snap_log_kb_max << 10,
		.log_file_bytes = config->log_file_kb_max <= 0
					  ? 0
					  : (uint64_t)config->log_file_kb_max
						    << 10,
		.reap_interval_ms = (uint64_t)config->container_check_ms,
		.reap_per_minute = (uint32_t)config->container_per_minute_max,
		.reap_never_used_ms = config->container_never_used_ms,
		.tree_bytes_max = config->tree_bytes_max,
		/* What Java's standalone server has in its session ids. */
		.server_id = config->is_standalone ? 1 : (uint8_t)config->myid,
		.has_local_sessions = !config->is_standalone &&
				      config->local_sessions_enabled,
		.may_upgrade_sessions = config->local_sessions_upgrading,
		.random_seed = (uint64_t)server->start_wall_ms,
	};

	for (uint32_t i = 0; i < server->reader_count; i++)
		parts.channel[i] = &server->core[i].channel;

	const int err = zab_create(&options, &parts, &hooks, server->last_zxid,
				   &server->zab);

	if (err != FAL_OK)
		return server_explain(error, err, "out of memory");
	return FAL_OK;
}

static int
make_rest(struct server *server, struct server_error *error)
{
	int err = delta_ring_create(DELTA_RECORDS_DEFAULT, DELTA_ARENA_DEFAULT,
				    ZAB_READERS_MAX, &server->deltas);

	if (server_has_ledger) {
		server->ledger = aligned_alloc(FAL_CACHE_LINE_BYTES,
					       sizeof(*server->ledger));
		if (server->ledger == NULL)
			return server_explain(error, FAL_ENOMEM,
					      "out of memory");
		memset(server->ledger, 0, sizeof(*server->ledger));
	}
	if (err == FAL_OK) {
		delta_restart(server->deltas, (uint64_t)server->last_zxid);
		err = words_create(server, &server->words);
	}
	if (err == FAL_OK)
		err = bg_create(server, &server->bg);
	if (err == FAL_OK)
		err = server_make_store(server);
	if (err != FAL_OK)
		return server_explain(error, err, "out of memory");
	err = make_zab(server, error);
	if (err != FAL_OK || server->config->is_standalone)
		return err;
	return member_create(server, error);
}

int
server_build(struct server *server, const struct config *config,
	     struct server_error *error)
{
	clock_init();
	*server = (struct server){
		.config = config,
		.start_wall_ms = clock_wall_ms(),
		.start_ns = clock_now_ns(),
	};
	plan_cores(server);
	if (choose_disk(server, error) != FAL_OK)
		return FAL_ENOTSUP;
	/* LOG, BG and the control thread count in blocks of their own, behind
	 * the cores'. */
	if (stats_init(&server->stats, server->core_count + 3) != FAL_OK ||
	    lcore_init(&server->ctl_lcore) != FAL_OK ||
	    lcore_init(&server->log_lcore) != FAL_OK)
		return server_explain(error, FAL_ENOMEM,
				      "out of memory or descriptors");

	int err = admin_start(server, error);

	if (err == FAL_OK)
		err = make_tree(server, error);
	admin_set_phase(server->admin, "recovering the data");
	if (err == FAL_OK)
		err = recovery_run(server, error);
	admin_set_phase(server->admin, "data recovered, starting");
	if (err == FAL_OK)
		err = make_log(server, error);
	if (err == FAL_OK)
		err = audit_create(server, &server->audit, error);
	if (err == FAL_OK)
		err = net_start(server, error);
	if (err == FAL_OK)
		err = make_cores(server, error);
	if (err == FAL_OK)
		err = make_rest(server, error);
	if (err == FAL_OK)
		err = listen_clients(server, error);
	if (err == FAL_OK && !config->is_standalone)
		err = member_listen(server, error);
	return err;
}

static void
free_core(struct server_core *core)
{
	reader_destroy(core->loop.reader);
	if (core->streams != NULL)
		stream_destroy(core->streams);
	if (core->channel.heard != NULL)
		channel_destroy(&core->channel);
	lcore_free(&core->lcore);
}

void
server_free(struct server *server)
{
	admin_destroy(server->admin);
	member_destroy(server);
	zab_destroy(server->zab);
	store_jobs_destroy(server->store);
	if (server->bg != NULL)
		bg_destroy(server->bg);
	words_destroy(server->words);
	audit_destroy(server->audit);
	for (uint32_t i = 0; i < server->core_count; i++)
		free_core(&server->core[i]);
	net_stop(server);
	if (server->limits != NULL)
		stream_limits_destroy(server->limits);
	if (server->deltas != NULL)
		delta_ring_destroy(server->deltas);
	free(server->ledger);
	if (server->txlog != NULL)
		txlog_destroy(server->txlog);
	if (server->prep != NULL)
		prep_destroy(server->prep);
	if (server->sessions != NULL)
		session_table_destroy(server->sessions);
	if (server->tree != NULL)
		tree_destroy(server->tree);
	recovery_free(server);
	if (server->disk != NULL && server->disk != disk_posix())
		disk_uring_destroy(server->disk);
	lcore_free(&server->ctl_lcore);
	lcore_free(&server->log_lcore);
	stats_free(&server->stats);
}
