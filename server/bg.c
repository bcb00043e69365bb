/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bg - the background thread's loop: a slice of whatever waits, then sleep.
 * A snapshot of a large tree takes seconds; the next log file and grace
 * periods have their turn between its slices, and it rests between them where
 * processors are short.
 */
#include "server/bg.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/time.h"
#include "drivers/background.h"
#include "drivers/clock.h"
#include "server/quota_report.h"
#include "server/recovery.h"
#include "server/store_jobs.h"
#include "store/purge.h"
#include "store/snapshot_job.h"

/* How long garbage or a missing log file may wait; a wake-up costs some 20 us,
 * so this is a tenth of a percent of a CPU. */
#define BUSY_WAIT_NS (20 * NS_PER_MS)
#define IDLE_WAIT_NS (200 * NS_PER_MS)
/* Grace periods wake readers: at most one a millisecond. */
#define GRACE_INTERVAL_NS (1 * NS_PER_MS)
#define TRIM_INTERVAL_NS  (20 * NS_PER_MS)

enum snapshot_state {
	SNAPSHOT_IDLE,
	SNAPSHOT_ASKED,  /* ZAB -> BG: `asked` is filled */
	SNAPSHOT_PINNED, /* BG -> ZAB: the hold may go; writing goes on */
	SNAPSHOT_WRITING,
	SNAPSHOT_FAILED, /* BG -> ZAB: the hold may go, nothing was written */
};

struct bg {
	struct server *server;
	struct lcore lcore;
	_Atomic bool must_stop;
	struct tree_reader *reader;

	_Atomic int state;           /* enum snapshot_state */
	_Atomic bool wants_snapshot; /* BG -> ZAB: please start one */
	struct zab_snapshot asked;
	struct snapshot_session *sessions;
	struct snapshot_job *job;
	uint64_t job_start_ns;
	struct background_pace pace;
	uint64_t rest_until_ns; /* the job's next slice is due then */
	_Atomic uint64_t snapshot_count;
	_Atomic uint64_t begun; /* snapshots; the ZAB core counts */
	/* BG tells, others look: rare, and no poll core's. */
	pthread_mutex_t end_lock;
	struct bg_snapshot_end end;

	uint64_t grace_ns; /* of the last grace period */
	uint64_t purge_ns; /* when to purge next */
	struct purge_result purged;
	uint64_t trim_ns; /* of the last step of run_trim() */
	uint64_t seen_zxid;
	bool is_lent; /* ZAB's */
	struct quota_report quotas;
};

static void
set_state(struct bg *bg, enum snapshot_state state)
{
	/* Pairs with the acquires in get_state(). */
	atomic_store_explicit(&bg->state, (int)state, memory_order_release);
}

static enum snapshot_state
get_state(const struct bg *bg)
{
	return (enum snapshot_state)atomic_load_explicit(&bg->state,
							 memory_order_acquire);
}

static struct lcore *
zab_lcore(const struct bg *bg)
{
	return &bg->server->core[bg->server->core_count - 1].lcore;
}

/* ---- snapshots, BG's side --------------------------------------------------
 */

static void
on_pinned(void *arg)
{
	struct bg *bg = arg;

	set_state(bg, SNAPSHOT_PINNED);
	lcore_doorbell(zab_lcore(bg));
}

static enum file_coding
coding_of(const struct config *config)
{
	switch (config->snap_compression) {
	case CONFIG_SNAP_GZIP:
		return FILE_GZ;
	case CONFIG_SNAP_SNAPPY:
		return FILE_SNAPPY;
	default:
		return FILE_PLAIN;
	}
}

static int
job_begin(struct bg *bg)
{
	const struct server *server = bg->server;
	const struct zab_snapshot *asked = &bg->asked;
	struct snapshot_session *sessions =
		malloc((asked->session_count + 1) * sizeof(*sessions));

	if (sessions == NULL)
		return FAL_ENOMEM;
	for (uint32_t i = 0; i < asked->session_count; i++)
		sessions[i] = (struct snapshot_session){
			.id = asked->sessions[i].id,
			.timeout_ms = asked->sessions[i].timeout_ms,
		};
	bg->sessions = sessions;
	bg->job_start_ns = clock_now_ns();
	bg->rest_until_ns = 0;
	background_pace_begin(&bg->pace);

	const struct snapshot_job_options options = {
		.disk = server->disk,
		.dir = server->data_dir.snap_dir,
		.coding = coding_of(server->config),
		.writes_last_zxid = server->config->snap_last_zxid_enabled,
		.tree = server->tree,
		.reader = bg->reader,
		.published = delta_published(server->deltas),
		.zxid = (uint64_t)asked->zxid,
		.has_digest = server->config->digest_enabled,
		.digest = asked->digest,
		.sessions = sessions,
		.session_count = asked->session_count,
		.pinned = on_pinned,
		.arg = bg,
	};

	return snapshot_job_create(&options, &bg->job);
}

static void
note_end(struct bg *bg, int err, uint64_t ms)
{
	pthread_mutex_lock(&bg->end_lock);
	bg->end = (struct bg_snapshot_end){
		.number =
			atomic_load_explicit(&bg->begun, memory_order_relaxed),
		.err = err,
		.zxid = (uint64_t)bg->asked.zxid,
		.wall_ms = clock_wall_ms(),
		.took_ms = ms,
		.nodes = bg->job == NULL ? 0 : snapshot_job_nodes(bg->job),
	};
	pthread_mutex_unlock(&bg->end_lock);
	lcore_doorbell(&bg->server->ctl_lcore);
}

static void
job_end(struct bg *bg, int err)
{
	const uint64_t ms = time_ns_to_ms(clock_now_ns() - bg->job_start_ns);

	stats_summary_record(server_bg_stats(bg->server), SUMMARY_SNAPSHOT_TIME,
			     ms);
	note_end(bg, err, ms);
	if (err == FAL_OK) {
		atomic_fetch_add_explicit(&bg->snapshot_count, 1,
					  memory_order_relaxed);
		if (bg->server->store != NULL)
			store_jobs_files_changed(bg->server->store, false);
		LOG_INFO("snapshot of zxid 0x%llx written: %llu nodes in "
			 "%llu ms",
			 (unsigned long long)bg->asked.zxid,
			 (unsigned long long)snapshot_job_nodes(bg->job),
			 (unsigned long long)ms);
	} else if (err == FAL_EAGAIN) {
		atomic_store_explicit(&bg->wants_snapshot, true,
				      memory_order_release);
	} else {
		stats_add(server_bg_stats(bg->server), STAT_SNAPSHOTS_FAILED,
			  1);
		LOG_ERROR("snapshot of zxid 0x%llx in %s failed: %s; make room "
			  "there or mend the disk. The next one is tried in "
			  "time, until then no log can be purged",
			  (unsigned long long)bg->asked.zxid,
			  bg->server->data_dir.snap_dir, fal_err_str(err));
	}
	if (bg->job != NULL)
		snapshot_job_free(bg->job);
	bg->job = NULL;
	free(bg->sessions);
	free(bg->asked.sessions);
	bg->sessions = NULL;
	bg->asked = (struct zab_snapshot){0};
	set_state(bg, SNAPSHOT_FAILED); /* the ZAB core makes it idle */
	lcore_doorbell(zab_lcore(bg));
}

/* ZAB does not touch the state then. */
static bool
is_lent(const struct bg *bg)
{
	return bg->server->store != NULL &&
	       store_jobs_is_lent(bg->server->store);
}

/* Between two slices, so that a snapshot leaves the processors to requests. */
static bool
is_resting(const struct bg *bg)
{
	return bg->job != NULL && clock_now_ns() < bg->rest_until_ns;
}

static void
rest(struct bg *bg)
{
	const uint64_t rest_ns = background_pace_rest_ns(
		&bg->pace, bg->server->config->snapshot_cpu_percent);

	bg->rest_until_ns = rest_ns == 0 ? 0 : clock_now_ns() + rest_ns;
}

/* A slice of a snapshot; true if there is one. */
static bool
run_snapshot(struct bg *bg)
{
	int left;

	if (is_resting(bg))
		return false;

	if (bg->job == NULL) {
		if (get_state(bg) != SNAPSHOT_ASKED)
			return false;

		const int err = job_begin(bg);

		if (err != FAL_OK)
			job_end(bg, err);
		return true;
	}
	left = snapshot_job_step(bg->job);
	/* Finished only when the ZAB core has let its hold go, or has lent
	 * everything meanwhile. */
	if (left <= 0 && get_state(bg) == SNAPSHOT_PINNED)
		while (get_state(bg) == SNAPSHOT_PINNED && !is_lent(bg) &&
		       !atomic_load_explicit(&bg->must_stop,
					     memory_order_relaxed))
			lcore_wait(&bg->lcore, NS_PER_MS);
	if (left <= 0)
		job_end(bg, left);
	else
		rest(bg);
	return true;
}

/* The state is BG's alone while everything is lent. One that has not ended is
 * owed to whoever asked for it, so another follows the loan. */
void
bg_drop_snapshot(void *arg)
{
	struct bg *bg = arg;

	if (bg->job != NULL || get_state(bg) == SNAPSHOT_ASKED)
		atomic_store_explicit(&bg->wants_snapshot, true,
				      memory_order_release);
	if (bg->job != NULL)
		snapshot_job_free(bg->job);
	bg->job = NULL;
	free(bg->sessions);
	free(bg->asked.sessions);
	bg->sessions = NULL;
	bg->asked = (struct zab_snapshot){0};
	set_state(bg, SNAPSHOT_IDLE);
}

/* ---- snapshots, the ZAB core's side
 * ------------------------------------------- */

void
bg_lend(void *arg)
{
	struct bg *bg = arg;

	bg->is_lent = true;
	zab_snapshot_pinned(bg->server->zab); /* nothing is reclaimed now */
}

void
bg_take_back(void *arg)
{
	struct bg *bg = arg;

	bg->is_lent = false;
}

bool
bg_snapshot(void *arg, const struct zab_snapshot *snapshot)
{
	struct bg *bg = arg;

	if (get_state(bg) != SNAPSHOT_IDLE || bg->is_lent)
		return false;
	bg->asked = *snapshot;
	atomic_fetch_add_explicit(&bg->begun, 1, memory_order_relaxed);
	set_state(bg, SNAPSHOT_ASKED);
	lcore_doorbell(&bg->lcore);
	return true;
}

/* Is one wanted that may begin? One that may not yet keeps nobody awake: what
 * it waits for is a round of ZAB's own. */
static bool
is_due(const struct bg *bg)
{
	return atomic_load_explicit(&bg->wants_snapshot,
				    memory_order_acquire) &&
	       zab_may_snapshot(bg->server->zab);
}

bool
bg_has_work_for_zab(const struct bg *bg)
{
	const enum snapshot_state state = get_state(bg);

	if (bg->is_lent)
		return false;
	return state == SNAPSHOT_PINNED || state == SNAPSHOT_FAILED ||
	       (state == SNAPSHOT_IDLE && is_due(bg));
}

/* The wish goes before the snapshot begins: one that comes meanwhile is for the
 * next (bg_snapshot_ask()). */
static bool
grant(struct bg *bg)
{
	atomic_store_explicit(&bg->wants_snapshot, false, memory_order_relaxed);
	if (zab_start_snapshot(bg->server->zab))
		return true;
	atomic_store_explicit(&bg->wants_snapshot, true, memory_order_relaxed);
	return false;
}

bool
bg_poll_zab(struct bg *bg)
{
	struct zab *zab = bg->server->zab;

	if (bg->is_lent)
		return false;
	switch (get_state(bg)) {
	case SNAPSHOT_PINNED:
		zab_snapshot_pinned(zab);
		set_state(bg, SNAPSHOT_WRITING);
		return true;
	case SNAPSHOT_FAILED:
		zab_snapshot_pinned(zab); /* harmless when it is gone */
		set_state(bg, SNAPSHOT_IDLE);
		return true;
	case SNAPSHOT_IDLE:
		return is_due(bg) && grant(bg);
	default:
		return false;
	}
}

uint64_t
bg_snapshot_count(const struct bg *bg)
{
	return atomic_load_explicit(&bg->snapshot_count, memory_order_relaxed);
}

void
bg_snapshot_last(struct bg *bg, struct bg_snapshot_end *out)
{
	pthread_mutex_lock(&bg->end_lock);
	*out = bg->end;
	pthread_mutex_unlock(&bg->end_lock);
}

/* The next one to begin; should that happen between the two lines, it began
 * after the call as well. */
uint64_t
bg_snapshot_ask(struct bg *bg)
{
	const uint64_t next =
		atomic_load_explicit(&bg->begun, memory_order_acquire) + 1;

	atomic_store_explicit(&bg->wants_snapshot, true, memory_order_release);
	lcore_doorbell(zab_lcore(bg));
	return next;
}

/* ---- the rest
 * ------------------------------------------------------------------- */

/* Purge looks at the ends of snapshots alone. Where that was not enough for a
 * start, the one that it took may be the only one that can be read, until BG
 * has written another. */
static bool
is_purge_safe(const struct bg *bg)
{
	const struct recovery_member *member = bg->server->member;

	return member->found.outcome.snapshots_refused == 0 ||
	       bg_snapshot_count(bg) > 0;
}

static void
run_purge(struct bg *bg, uint64_t now_ns)
{
	const struct server *server = bg->server;
	const struct config *config = server->config;
	struct purge_result *result = &bg->purged;

	if (config->purge_interval_ms == 0 || now_ns < bg->purge_ns ||
	    result->gone_count > 0 || !is_purge_safe(bg))
		return;
	bg->purge_ns =
		now_ns + time_ms_to_ns((uint64_t)config->purge_interval_ms);

	const int err = purge_run(
		server->disk, server->data_dir.snap_dir,
		server->data_dir.log_dir, (uint32_t)config->purge_retain_count,
		server->store != NULL ? store_jobs_reads_above(server->store)
				      : UINT64_MAX,
		result);

	if (err != FAL_OK)
		LOG_WARN("purging old files in %s: %s; it is tried again "
			 "after autopurge.purgeInterval, make room by hand "
			 "until then",
			 server->data_dir.data_dir, fal_err_str(err));
	else if (result->snapshots + result->logs > 0)
		LOG_INFO("purged %u snapshots and %u logs", result->snapshots,
			 result->logs);
	if (result->logs > 0 && server->store != NULL)
		store_jobs_files_changed(server->store, true);
}

static bool
run_grace(struct bg *bg, uint64_t now_ns)
{
	if (now_ns - bg->grace_ns < GRACE_INTERVAL_NS)
		return false;
	if (!tree_reclaim_grace(bg->server->tree))
		return false;
	bg->grace_ns = now_ns;
	return true;
}

/* No work to go on with: a step, and the log has the device again. */
static void
run_trim(struct bg *bg, uint64_t now_ns)
{
	if (now_ns - bg->trim_ns < TRIM_INTERVAL_NS &&
	    txlog_closed(bg->server->txlog) < 2)
		return;
	bg->trim_ns = now_ns;
	if (!txlog_trim(bg->server->txlog))
		(void)purge_shrink(&bg->purged);
}

/* No walk over a tree that is being exchanged. */
static bool
run_quotas(struct bg *bg)
{
	if (is_lent(bg) || !quota_report_is_asked(&bg->quotas))
		return false;
	quota_report_run(&bg->quotas, bg->server->tree,
			 delta_published(bg->server->deltas));
	return true;
}

static bool
has_orders(struct bg *bg)
{
	return (bg->server->store != NULL &&
		store_jobs_has_work(bg->server->store)) ||
	       (!is_lent(bg) && quota_report_is_asked(&bg->quotas));
}

static uint64_t
wait_ns(struct bg *bg)
{
	const uint64_t zxid = atomic_load_explicit(
		delta_published(bg->server->deltas), memory_order_relaxed);
	const bool is_idle = zxid == bg->seen_zxid;

	if (bg->job != NULL) {
		const uint64_t now_ns = clock_now_ns();

		return now_ns < bg->rest_until_ns ? bg->rest_until_ns - now_ns
						  : 1;
	}
	bg->seen_zxid = zxid;
	return is_idle ? IDLE_WAIT_NS : BUSY_WAIT_NS;
}

static void *
bg_main(void *arg)
{
	struct bg *bg = arg;

	background_begin();
	bg->reader = tree_reader_register(bg->server->tree);
	bg->quotas.reader = tree_reader_register(bg->server->tree);
	/* places are kept for them */
	FAL_ASSERT(bg->reader != NULL && bg->quotas.reader != NULL);
	if (bg->server->store != NULL &&
	    store_jobs_attach(bg->server->store) != FAL_OK)
		LOG_ERROR("no reader is left for learners: none gets a "
			  "snapshot; lower falconer.cores");
	while (!atomic_load_explicit(&bg->must_stop, memory_order_relaxed)) {
		const uint64_t now_ns = clock_now_ns();
		bool did_work = run_grace(bg, now_ns);

		if (bg->server->store != NULL)
			did_work |= store_jobs_run(bg->server->store);
		did_work |= txlog_prepare(bg->server->txlog);
		did_work |= run_snapshot(bg);
		did_work |= run_quotas(bg);
		run_trim(bg, now_ns);
		run_purge(bg, now_ns);
		if (did_work)
			continue;
		lcore_sleep_begin(&bg->lcore);
		if (get_state(bg) != SNAPSHOT_ASKED && !has_orders(bg))
			lcore_wait(&bg->lcore, wait_ns(bg));
		lcore_sleep_end(&bg->lcore);
	}
	if (bg->job != NULL)
		snapshot_job_free(bg->job);
	purge_close(&bg->purged);
	if (bg->server->store != NULL)
		store_jobs_detach(bg->server->store);
	tree_reader_unregister(bg->quotas.reader);
	tree_reader_unregister(bg->reader);
	return NULL;
}

int
bg_create(struct server *server, struct bg **out)
{
	struct bg *bg = calloc(1, sizeof(*bg));

	if (bg == NULL)
		return FAL_ENOMEM;
	bg->server = server;
	pthread_mutex_init(&bg->end_lock, NULL);
	atomic_store_explicit(&bg->wants_snapshot, server->must_snapshot,
			      memory_order_relaxed);

	int err = quota_report_init(&bg->quotas);

	if (err == FAL_OK) {
		err = lcore_init(&bg->lcore);
		if (err != FAL_OK)
			quota_report_free(&bg->quotas);
	}
	if (err != FAL_OK) {
		free(bg);
		return err;
	}
	*out = bg;
	return FAL_OK;
}

int
bg_start(struct bg *bg)
{
	return lcore_start(&bg->lcore, LCORE_ANY_CPU, "bg", bg_main, bg);
}

void
bg_stop(struct bg *bg)
{
	if (!bg->lcore.is_started)
		return;
	atomic_store_explicit(&bg->must_stop, true, memory_order_relaxed);
	lcore_wake(&bg->lcore);
	lcore_join(&bg->lcore);
}

struct lcore *
bg_lcore(struct bg *bg)
{
	return &bg->lcore;
}

static void
wake(void *arg)
{
	struct bg *bg = arg;

	lcore_wake(&bg->lcore);
}

void
bg_quota_sums(struct bg *bg, struct quota_sums *out)
{
	quota_report_ask(&bg->quotas, wake, bg, out);
}

void
bg_destroy(struct bg *bg)
{
	quota_report_free(&bg->quotas);
	lcore_free(&bg->lcore);
	pthread_mutex_destroy(&bg->end_lock);
	free(bg->sessions);
	free(bg->asked.sessions);
	free(bg);
}
