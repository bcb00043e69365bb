/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core - the thread of a poll core. The reader object is made here, on its own
 * thread, because that registers it with the tree's grace periods.
 */
#include "server/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "drivers/clock.h"
#include "server/audit.h"
#include "server/bg.h"
#include "server/machine.h"
#include "server/member.h"
#include "server/net.h"
#include "server/words.h"

/* A poll core's reqs: what all its connections may have under way. */
#define REQ_COUNT 8192u
/* What requests under way may take, all cores together: as much as the window
 * has, so more would only wait. */
#define REQ_BYTES_MAX (64u << 20)

/* What one of the cores has of a limit on the whole server: its share, and at
 * least 1 of a limit that is set. */
static uint32_t
share_of(const struct server *server, int64_t limit)
{
	const int64_t share = limit / server->reader_count;

	if (limit <= 0)
		return 0;
	if (share > UINT32_MAX)
		return UINT32_MAX;
	return share < 1 ? 1 : (uint32_t)share;
}

static struct connect_throttle_options
connect_options_of(const struct server *server)
{
	const struct config *config = server->config;
	const uint64_t fill_ms =
		(uint64_t)config->connect_fill_ms * server->reader_count;

	return (struct connect_throttle_options){
		.tokens_max = share_of(server, config->connect_tokens),
		.fill_ms =
			fill_ms < UINT32_MAX ? (uint32_t)fill_ms : UINT32_MAX,
		.fill_count = (uint32_t)config->connect_fill_count,
		.freeze_ms = config->connect_freeze_ms,
		.drop_increase = config->connect_drop_increase,
		.drop_decrease = config->connect_drop_decrease,
		.decrease_ratio = config->connect_decrease_ratio,
		.has_weights = config->connect_weight_enabled,
		.has_local = !config->is_standalone &&
			     config->local_sessions_enabled,
		.weight_global = (uint32_t)config->connect_weight_global,
		.weight_local = (uint32_t)config->connect_weight_local,
		.weight_renew = (uint32_t)config->connect_weight_renew,
	};
}

static struct reader_options
reader_options_of(const struct server *server)
{
	const struct config *config = server->config;

	return (struct reader_options){
		.conn_limit = config->core_connections_max,
		.req_count = REQ_COUNT,
		.outstanding_per_conn = config->connection_outstanding_max,
		.frame_bytes_max = (uint32_t)config->frame_bytes_max,
		.slice_bytes_extra = (uint32_t)config->frame_extra_bytes,
		.session_timeout_min_ms = config->session_timeout_min_ms,
		.session_timeout_max_ms = config->session_timeout_max_ms,
		.newcomer_timeout_ms = (uint32_t)config->sessionless_timeout_ms,
		.acl = &server->acl,
		.enforced_schemes = config->enforce_auth_enabled
					    ? config->enforce_auth_schemes
					    : NULL,
		.ensemble_names = config->auth_ensemble_enabled
					  ? config->ensemble_auth_names
					  : NULL,
		.outstanding_max = share_of(
			server,
			config_voter_share(config, config->outstanding_max)),
		.outstanding_bytes_max = share_of(server, REQ_BYTES_MAX),
		.throttle_requests_max =
			share_of(server, config->throttle_requests_max),
		.throttled_op_wait_ms = (uint32_t)config->throttled_op_wait_ms,
		.throttle_drops_stale = config->throttle_drop_stale,
		.is_latency_stale = config->stale_latency_check,
		.large_threshold = config->large_request_threshold,
		.large_bytes_max =
			share_of(server, config->large_request_bytes_max),
		.connects = connect_options_of(server),
		.random_seed = server->start_ns,
		.keeps_watch_paths = core_keeps_watch_paths(config),
		.is_stmk_allowed = config_word_allowed(config, "stmk"),
		.is_member = !config->is_standalone,
		.await_ms = (uint32_t)config->failover_hold_ms,
		.is_acl_eager =
			!config->is_standalone && config->eager_acl_check,
		.client_tag = MEMBER_CLIENT_TAG,
	};
}

/* wchc and wchp list paths, and the admin commands watches and
 * watches_by_path; only where somebody has asked for one of them they are worth
 * their memory. */
bool
core_keeps_watch_paths(const struct config *config)
{
	return config_word_allowed(config, "wchc") ||
	       config_word_allowed(config, "wchp") ||
	       (config->admin_enabled &&
		config_is_written(config, "admin.enableServer"));
}

static bool
hook_poll(void *arg, uint64_t now_ns)
{
	struct server_core *core = arg;
	bool did_work = words_port_poll(
		words_port(core->server->words, core->index), now_ns);

	if (core->has_zab)
		did_work |= bg_poll_zab(core->server->bg);
	return did_work;
}

static bool
hook_has_work(void *arg)
{
	const struct server_core *core = arg;

	return words_port_has_work(
		       words_port(core->server->words, core->index)) ||
	       (core->has_zab && bg_has_work_for_zab(core->server->bg));
}

static int
make_reader(struct server_core *core)
{
	struct server *server = core->server;
	struct words_port *port = words_port(server->words, core->index);
	const struct reader_options options = reader_options_of(server);
	const struct reader_parts parts = {
		.streams = core->streams,
		.channel = &core->channel,
		.tree = server->tree,
		.deltas = server->deltas,
		.ledger = server->ledger,
		.stats = &server->stats.core[core->index],
		.serving = server->peer == NULL ? NULL : &server->serving,
	};
	struct audit_port *audit = audit_port(server->audit, core->index);
	const struct reader_hooks hooks = {
		.arg = port,
		.on_word = words_port_ask,
		.update_arg = audit,
		.on_update = audit == NULL ? NULL : audit_note_update,
		.other_arg =
			server->peer == NULL ? NULL : server->peer->ensemble,
		/* With one core, peers are on the clients' streams. */
		.on_other = server->peer == NULL || !core->has_zab
				    ? NULL
				    : ensemble_on_event,
	};

	return reader_create(&options, &parts, &hooks, &core->loop.reader);
}

static void *
core_main(void *arg)
{
	struct server_core *core = arg;
	struct server *server = core->server;
	int err = log_attach();

	if (err == FAL_OK)
		err = net_attach(server);
	if (err == FAL_OK && core->has_reader)
		err = make_reader(core);
	if (core->has_zab)
		core->loop.zab = server->zab;
	words_port_attach(words_port(server->words, core->index),
			  core->loop.reader, core->loop.zab, &core->lcore);
	core->loop.hook = (struct loop_hook){
		.poll = hook_poll, .has_work = hook_has_work, .arg = core};
	atomic_store_explicit(&core->started, err == FAL_OK ? 1 : err,
			      memory_order_release);
	if (err == FAL_OK)
		loop_run(&core->loop);
	/* Its memory goes with the server's: the ZAB core may have requests
	 * that were not answered in time. */
	reader_leave(core->loop.reader);
	net_detach(server);
	log_detach();
	return NULL;
}

static enum idle_policy
idle_policy_of(const struct server *server)
{
	const char *const text[] = {
		[CONFIG_IDLE_AUTO] = "auto",
		[CONFIG_IDLE_SPIN] = "spin",
		[CONFIG_IDLE_YIELD] = "yield",
		[CONFIG_IDLE_SLEEP] = "sleep",
	};
	enum idle_policy policy = IDLE_POLICY_SLEEP;

	if (idle_policy_parse(text[server->config->idle], server->core_count,
			      machine_is_isolated("", server->config->cpu,
						  server->config->cpu_count),
			      &policy) != FAL_OK)
		return IDLE_POLICY_SLEEP;
	return policy;
}

int
core_start(struct server_core *core)
{
	struct server *server = core->server;
	char name[LCORE_NAME_MAX];

	core->loop.lcore = &core->lcore;
	core->loop.core = core->index;
	core->loop.streams = core->streams;
	core->loop.stats = &server->stats.core[core->index];
	core->loop.idle_policy = idle_policy_of(server);
	core->loop.must_stop = &core->must_stop;
	core->lcore.never_sleeps =
		core->loop.idle_policy == IDLE_POLICY_SLEEP ? 0 : 1;
	snprintf(name, sizeof(name), "%s%u",
		 core->has_reader ? "reader" : "zab", core->index);

	const int err =
		lcore_start(&core->lcore, core->cpu, name, core_main, core);

	if (err != FAL_OK)
		return err;
	for (;;) {
		const int started = atomic_load_explicit(&core->started,
							 memory_order_acquire);

		if (started != 0)
			return started > 0 ? FAL_OK : started;
		usleep(50);
	}
}

void
core_stop(struct server_core *core)
{
	if (!core->lcore.is_started)
		return;
	atomic_store_explicit(&core->must_stop, true, memory_order_release);
	lcore_wake(&core->lcore);
	lcore_join(&core->lcore);
}
