/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_thread - the LOG role: writes what gathered in the window, one write at
 * a time. While batches come one after the other it lets others run and looks
 * again, because waking a thread costs more than a write; else it sleeps (the
 * ladder of drivers/lcore.h).
 */
#include "server/server.h"

#include "base/log.h"
#include "base/time.h"
#include "drivers/clock.h"
#include "server/bg.h"
#include "server/store_jobs.h"

/* Longest sleep: a refused append retries, a clock is no doorbell. */
#define SLEEP_NS (100 * NS_PER_MS)

/* One step of the log, with what it took; true if there was one. */
static bool
write_gathered(struct server *server)
{
	struct stats_core *stats = server_log_stats(server);
	struct txlog_counters before, after;
	const uint64_t start_ns = clock_now_ns();

	txlog_counters(server->txlog, &before);
	if (!txlog_poll(server->txlog))
		return false;

	const uint64_t took_ns = clock_now_ns() - start_ns;

	stats_reset_poll(stats);
	txlog_counters(server->txlog, &after);
	if (after.writes == before.writes)
		return true;
	stats_hist_record(stats, HIST_FSYNC_TIME, took_ns);
	stats_summary_record(stats, SUMMARY_SYNC_BATCH,
			     after.records - before.records);
	if (time_ns_to_ms(took_ns) >=
	    (uint64_t)server->config->fsync_warning_ms) {
		stats_add(stats, STAT_FSYNC_SLOW, 1);
		log_post(LOG_SYNC_SLOW, time_ns_to_ms(took_ns),
			 after.bytes - before.bytes);
	}
	return true;
}

/* BG, which may be about to have the log to itself, need not wait for it. */
static void
stand_still(struct server *server)
{
	/* release: what LOG did; pairs with acquire in log_thread_park() */
	atomic_store_explicit(&server->log_is_parked, true,
			      memory_order_release);
	lcore_wake(bg_lcore(server->bg));
}

/* Until BG says otherwise. False: all stops, and the log is BG's. */
static bool
stand_by(struct server *server)
{
	stand_still(server);
	/* acquire: what BG did; pairs with release in log_thread_resume() */
	while (atomic_load_explicit(&server->log_must_park,
				    memory_order_acquire)) {
		if (atomic_load_explicit(&server->log_must_stop,
					 memory_order_acquire))
			return false;
		lcore_wait(&server->log_lcore, SLEEP_NS);
	}
	atomic_store_explicit(&server->log_is_parked, false,
			      memory_order_release);
	return true;
}

static void *
log_main(void *arg)
{
	struct server *server = arg;
	struct idle idle;

	idle_init(&idle, IDLE_POLICY_SLEEP, clock_now_ns());
	for (;;) {
		const bool has_worked = write_gathered(server);
		const enum idle_step step =
			idle_step(&idle, has_worked, clock_now_ns());

		if (has_worked)
			continue;
		/* Also at the end: with io_uring the kernel gives up what a
		 * thread that is gone has under way. */
		if (txlog_is_writing(server->txlog)) {
			idle_relax(IDLE_YIELD);
			continue;
		}
		if (atomic_load_explicit(&server->log_must_stop,
					 memory_order_acquire)) {
			stand_still(server);
			return NULL;
		}
		if (atomic_load_explicit(&server->log_must_park,
					 memory_order_relaxed) &&
		    !stand_by(server))
			return NULL;
		if (step != IDLE_BLOCK) {
			idle_relax(IDLE_YIELD);
			continue;
		}
		lcore_sleep_begin(&server->log_lcore);
		if (!write_gathered(server))
			lcore_wait(&server->log_lcore, SLEEP_NS);
		lcore_sleep_end(&server->log_lcore);
	}
}

int
log_thread_start(struct server *server)
{
	return lcore_start(&server->log_lcore, LCORE_ANY_CPU, "log", log_main,
			   server);
}

void
log_thread_stop(struct server *server)
{
	atomic_store_explicit(&server->log_must_stop, true,
			      memory_order_release);
	lcore_doorbell(&server->log_lcore);
	lcore_join(&server->log_lcore);
}

void
log_thread_park(struct server *server)
{
	atomic_store_explicit(&server->log_must_park, true,
			      memory_order_relaxed);
	lcore_wake(&server->log_lcore);
	/* acquire: pairs with release in stand_still() */
	while (!atomic_load_explicit(&server->log_is_parked,
				     memory_order_acquire))
		lcore_wait(bg_lcore(server->bg), NS_PER_MS);
}

void
log_thread_resume(struct server *server)
{
	/* release: pairs with acquire in stand_by() */
	atomic_store_explicit(&server->log_must_park, false,
			      memory_order_release);
	lcore_wake(&server->log_lcore);
	/* The next park must not see this one. */
	while (atomic_load_explicit(&server->log_is_parked,
				    memory_order_acquire) &&
	       !atomic_load_explicit(&server->log_must_stop,
				     memory_order_relaxed))
		lcore_wait(bg_lcore(server->bg), NS_PER_MS);
}

/* ---- the port ------------------------------------------------------------ */

static enum log_port_room
port_admit(void *arg, uint32_t bytes)
{
	const struct server *server = arg;

	switch (txlog_admit(server->txlog, bytes)) {
	case TXLOG_ADMITTED:
		return LOG_PORT_READY;
	case TXLOG_WAIT:
		return LOG_PORT_WAIT;
	default:
		return LOG_PORT_NO_SPACE;
	}
}

static uint8_t *
port_reserve(void *arg, uint32_t *room)
{
	const struct server *server = arg;

	return txlog_reserve(server->txlog, room);
}

static void
port_commit(void *arg, uint32_t entry_bytes, int64_t zxid)
{
	const struct server *server = arg;

	txlog_commit(server->txlog, entry_bytes, (uint64_t)zxid);
	if (server->store != NULL)
		store_jobs_note(server->store, zxid);
}

static void
port_kick(void *arg)
{
	struct server *server = arg;

	if (!txlog_settle(server->txlog))
		lcore_doorbell(&server->log_lcore);
}

static int64_t
port_durable_zxid(void *arg, int *err)
{
	struct server *server = arg;

	/* Without flushes they may be this core's to store: LOG has handed the
	 * file over since they were committed. */
	if (!server->config->fsync_enabled &&
	    txlog_durable_zxid(server->txlog) != txlog_last_zxid(server->txlog))
		port_kick(server);
	*err = txlog_error(server->txlog);
	return (int64_t)txlog_durable_zxid(server->txlog);
}

static void
port_roll(void *arg)
{
	const struct server *server = arg;

	txlog_roll(server->txlog);
}

static bool
port_is_volatile(const void *arg)
{
	const struct server *server = arg;

	return txlog_is_volatile(server->txlog);
}

struct log_port
log_thread_port(struct server *server)
{
	return (struct log_port){
		.log = server,
		.entry_bytes_max = SERVER_ENTRY_BYTES_MAX,
		.admit = port_admit,
		.reserve = port_reserve,
		.commit = port_commit,
		.kick = port_kick,
		.durable_zxid = port_durable_zxid,
		.roll = port_roll,
		.is_volatile = port_is_volatile,
	};
}
