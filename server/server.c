/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - starting and stopping threads in order, and the control thread's
 * loop. Stopping goes with the flow of a request: readers first, so that what
 * they took is answered, then ZAB, the log, the background.
 */
#include "server/server.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/time.h"
#include "server/admin.h"
#include "server/audit.h"
#include "server/bg.h"
#include "server/core.h"
#include "server/member.h"
#include "server/net.h"
#include "server/recovery.h"
#include "server/replace.h"
#include "server/store_jobs.h"
#include "server/words.h"

/* Poll cores post log events without a doorbell; this is how long a line may
 * take to be seen. */
#define DRAIN_INTERVAL_NS (200 * NS_PER_MS)

int
server_explain(struct server_error *error, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return err;
}

int
server_start(struct server *server, struct server_error *error)
{
	int err = log_thread_start(server);

	if (err == FAL_OK && server->store != NULL)
		err = store_jobs_start(server->store);
	if (err == FAL_OK)
		err = bg_start(server->bg);
	if (err == FAL_OK && server->peer != NULL)
		member_start(server);
	/* ZAB is last in the list and first to run. */
	for (uint32_t i = server->core_count; i > 0 && err == FAL_OK; i--)
		err = core_start(&server->core[i - 1]);
	if (err != FAL_OK)
		return server_explain(error, err,
				      "cannot start a thread: %s; check ulimit "
				      "-u and falconer.cpus",
				      fal_err_str(err));
	return FAL_OK;
}

/* Refusals happen in the network driver, which only counts. */
static void
say_refusals(struct server *server)
{
	struct stream_counters counters;
	uint64_t refused = 0;

	for (uint32_t i = 0; i < server->reader_count; i++) {
		stream_counters_read(server->core[i].streams, &counters);
		refused += counters.refused_host;
	}
	if (refused != server->refused_seen)
		LOG_WARN("%llu connections were refused: maxClientCnxns=%d "
			 "from one address are open; raise it or find the "
			 "client that does not close",
			 (unsigned long long)(refused - server->refused_seen),
			 server->config->client_connections_max);
	server->refused_seen = refused;
}

/* BG tries for the next file time and again, and says nothing. */
static void
say_space(struct server *server)
{
	const int err = txlog_space_error(server->txlog);
	const char *dir = server->data_dir.log_dir;

	if (err == server->space_error_seen)
		return;
	if (err != FAL_OK)
		LOG_ERROR("no next file of the transaction log in %s: %s; "
			  "nothing more is written when this one is full. Make "
			  "room there, no restart is needed",
			  dir, fal_err_str(err));
	else
		LOG_INFO("the transaction log in %s has room again", dir);
	server->space_error_seen = err;
	/* Once: where all disks are full, nobody is helped by more of it. */
	if (err != FAL_OK)
		member_yield(server);
}

static bool
serve_once(struct server *server)
{
	bool did_work = audit_drain(server->audit);

	did_work |= words_serve(server->words);
	did_work |= admin_serve(server->admin);
	return did_work;
}

void
server_run(struct server *server)
{
	admin_set_serving(server->admin);
	while (!atomic_load_explicit(&server->is_stopping,
				     memory_order_acquire)) {
		log_drain();
		member_say(server);
		say_refusals(server);
		say_space(server);
		net_watch(server);
		replace_tidy(server);
		if (serve_once(server))
			continue;
		lcore_sleep_begin(&server->ctl_lcore);
		if (!serve_once(server) &&
		    !atomic_load_explicit(&server->is_stopping,
					  memory_order_acquire))
			lcore_wait(&server->ctl_lcore, DRAIN_INTERVAL_NS);
		lcore_sleep_end(&server->ctl_lcore);
	}
}

void
server_stop_async(struct server *server)
{
	atomic_store_explicit(&server->is_stopping, true, memory_order_release);
	lcore_wake(&server->ctl_lcore);
}

/* Nobody writes any more: the moment to exchange the data. Whoever asked for
 * it is told how it went. */
static void
finish_replace(struct server *server)
{
	const bool is_ready = server->replace != NULL &&
			      replace_state(server->replace) == REPLACE_READY &&
			      server->must_restart;
	const int err = is_ready ? replace_commit(server) : FAL_EAGAIN;

	replace_drop(server);
	admin_stop_at_last(server->admin, err);
}

void
server_stop(struct server *server)
{
	member_hand_over(server);
	admin_stop(server->admin);
	for (uint32_t i = 0; i < server->core_count; i++)
		core_stop(&server->core[i]);
	if (server->log_lcore.is_started)
		log_thread_stop(server);
	if (server->store != NULL)
		store_jobs_stop(server->store);
	if (server->bg != NULL)
		bg_stop(server->bg);
	if (server->txlog != NULL && server->zab != NULL)
		recovery_mark_clean(server);
	finish_replace(server);
	log_drain();
	while (audit_drain(server->audit))
		continue;
}
