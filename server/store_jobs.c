/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lending. An order that takes the whole of tree, sessions and log is obeyed
 * between two slices of BG: LOG is parked, the snapshot file under way is given
 * up, streams end, and then BG alone is left. The event that ends the loan
 * carries everything back: its ring's release pairs with ZAB's acquire.
 *
 * A reload overtakes an installation: BG gives that up, and what it may have
 * told already is passed over by ZAB.
 */
#include "server/store_jobs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "consensus/zab_history.h"
#include "server/store_int.h"
#include "store/file_list.h"
#include "store/log_cut.h"
#include "store/log_history.h"

/* ---- rings -----------------------------------------------------------------
 */

bool
store_events_push(struct store_events *events, const struct store_event *event)
{
	const uint32_t head =
		atomic_load_explicit(&events->head, memory_order_relaxed);
	/* acquire: ZAB has done with the place; pairs with pop_event() */
	const uint32_t tail =
		atomic_load_explicit(&events->tail, memory_order_acquire);

	if (head - tail == STORE_EVENTS)
		return false;
	events->event[head % STORE_EVENTS] = *event;
	/* release: pairs with acquire in pop_event() */
	atomic_store_explicit(&events->head, head + 1, memory_order_release);
	return true;
}

static bool
has_events(const struct store_events *events)
{
	return atomic_load_explicit(&events->head, memory_order_acquire) !=
	       atomic_load_explicit(&events->tail, memory_order_relaxed);
}

static bool
pop_event(struct store_events *events, struct store_event *out)
{
	const uint32_t tail =
		atomic_load_explicit(&events->tail, memory_order_relaxed);

	if (!has_events(events))
		return false;
	*out = events->event[tail % STORE_EVENTS];
	atomic_store_explicit(&events->tail, tail + 1, memory_order_release);
	return true;
}

static bool
has_order_room(const struct store_orders *orders)
{
	return atomic_load_explicit(&orders->head, memory_order_relaxed) -
		       atomic_load_explicit(&orders->tail,
					    memory_order_acquire) <
	       STORE_ORDERS;
}

void
store_orders_push(struct store_orders *orders, const struct store_order *order)
{
	const uint32_t head =
		atomic_load_explicit(&orders->head, memory_order_relaxed);

	FAL_ASSERT(has_order_room(orders));
	orders->order[head % STORE_ORDERS] = *order;
	/* release: pairs with acquire in store_orders_front() */
	atomic_store_explicit(&orders->head, head + 1, memory_order_release);
}

const struct store_order *
store_orders_front(const struct store_orders *orders)
{
	const uint32_t tail =
		atomic_load_explicit(&orders->tail, memory_order_relaxed);

	if (atomic_load_explicit(&orders->head, memory_order_acquire) == tail)
		return NULL;
	return &orders->order[tail % STORE_ORDERS];
}

void
store_orders_done(struct store_orders *orders)
{
	const uint32_t tail =
		atomic_load_explicit(&orders->tail, memory_order_relaxed);

	/* release: the place is free; pairs with acquire in push */
	atomic_store_explicit(&orders->tail, tail + 1, memory_order_release);
}

/* ---- BG: events
 * -------------------------------------------------------------- */

void
store_tell(struct store_jobs *jobs, const struct store_event *event)
{
	const bool is_told = store_events_push(&jobs->bg_events, event);

	/* At most two per order, and few orders. */
	FAL_ASSERT(is_told);
	lcore_doorbell(jobs->parts.zab_lcore);
}

static void
end_loan(struct store_jobs *jobs)
{
	jobs->has_lent = false;
	if (jobs->parts.resume_log != NULL)
		jobs->parts.resume_log(jobs->parts.arg);
}

void
store_give_back(struct store_jobs *jobs, enum store_event_kind kind,
		int64_t zxid)
{
	const struct store_event event = {.kind = kind, .zxid = zxid};

	end_loan(jobs);
	/* What was known of the files before is void. */
	atomic_store_explicit(&jobs->floor, 0, memory_order_relaxed);
	store_tell(jobs, &event);
}

void
store_fail_bg(struct store_jobs *jobs, int err, const char *format, ...)
{
	struct store_event event = {.kind = STORE_FAILED, .err = err};
	va_list args;

	va_start(args, format);
	vsnprintf(jobs->bg_events.text, STORE_TEXT_BYTES, format, args);
	va_end(args);
	event.text = jobs->bg_events.text;
	store_tell(jobs, &event);
}

/* ---- BG: what takes everything
 * ------------------------------------------------ */

static int
begin_loan(struct store_jobs *jobs)
{
	if (jobs->has_lent)
		return FAL_OK;
	jobs->has_lent = true;
	if (jobs->parts.park_log != NULL)
		jobs->parts.park_log(jobs->parts.arg);
	if (jobs->parts.drop_snapshot != NULL)
		jobs->parts.drop_snapshot(jobs->parts.arg);
	store_flows_break(jobs);
	/* The file that was written is closed. */
	return txlog_restart(jobs->parts.txlog,
			     txlog_last_zxid(jobs->parts.txlog));
}

/* Tree, sessions and history as the disk has them. */
static int
load(struct store_jobs *jobs)
{
	struct restore_result *result = &jobs->result;
	int err = restore_run(&jobs->parts.restore, result);

	if (err == FAL_OK && result->outcome.message[0] != '\0')
		LOG_WARN("%s", result->outcome.message);
	jobs->found = result->history;
	return err;
}

static void
obey_truncate(struct store_jobs *jobs, int64_t zxid)
{
	const struct restore *restore = &jobs->parts.restore;
	int err = log_cut_after(restore->disk, restore->snap_dir,
				restore->log_dir, (uint64_t)zxid);

	if (err != FAL_OK) {
		store_fail_bg(
			jobs, err,
			"the log in %.300s cannot be cut behind "
			"transaction 0x%" PRIx64 ", which the leader asks "
			"for: %s; free space or mend the disk, then start "
			"the server again",
			restore->log_dir, (uint64_t)zxid, fal_err_str(err));
		return;
	}
	err = load(jobs);
	if (err == FAL_OK && (jobs->result.outcome.last_zxid != (uint64_t)zxid))
		err = FAL_ECORRUPT;
	if (err == FAL_OK)
		err = txlog_restart(jobs->parts.txlog, (uint64_t)zxid);
	if (err != FAL_OK) {
		store_fail_bg(jobs, err,
			      "after the log was cut behind 0x%" PRIx64
			      " recovery ends at 0x%" PRIx64 ": %.600s",
			      (uint64_t)zxid, jobs->result.outcome.last_zxid,
			      jobs->result.outcome.message);
		return;
	}
	LOG_INFO("the leader has taken back all transactions behind 0x%" PRIx64,
		 (uint64_t)zxid);
	store_give_back(jobs, STORE_TRUNCATED, zxid);
}

static void
obey_reload(struct store_jobs *jobs)
{
	const uint64_t durable = txlog_last_zxid(jobs->parts.txlog);
	const struct recover_outcome *outcome = &jobs->result.outcome;
	int err;

	store_install_abort(&jobs->install);
	err = load(jobs);
	/* What was reported durable is not on the disk any more: who goes on
	 * forgets what it acknowledged. The next start finds the damage. */
	if (err == FAL_OK && outcome->last_zxid < durable)
		err = FAL_ECORRUPT;
	if (err == FAL_OK)
		err = txlog_restart(jobs->parts.txlog, outcome->last_zxid);
	if (err != FAL_OK) {
		store_fail_bg(jobs, err,
			      "recovery ends at 0x%" PRIx64 ", but 0x%" PRIx64
			      " was durable: %.600s",
			      outcome->last_zxid, durable, outcome->message);
		return;
	}
	store_give_back(jobs, STORE_RELOADED, 0);
}

static void
obey(struct store_jobs *jobs, const struct store_order *order)
{
	int err = begin_loan(jobs);

	if (err != FAL_OK) {
		store_fail_bg(jobs, err, "the transaction log has failed: %s",
			      fal_err_str(err));
		return;
	}
	switch (order->kind) {
	case STORE_DO_TRUNCATE:
		obey_truncate(jobs, order->zxid);
		break;
	case STORE_DO_INSTALL:
		err = store_install_begin(jobs, order->zxid);
		if (err != FAL_OK)
			store_fail_bg(jobs, err,
				      "the leader's snapshot cannot be "
				      "written in %.300s: %s",
				      jobs->parts.restore.snap_dir,
				      fal_err_str(err));
		break;
	default:
		FAL_ASSERT(order->kind == STORE_DO_RELOAD);
		obey_reload(jobs);
		break;
	}
}

/* ---- BG: what is worth sending
 * ------------------------------------------------ */

static void
raise_floor(struct store_jobs *jobs, int64_t zxid)
{
	if (zxid <= atomic_load_explicit(&jobs->floor, memory_order_relaxed))
		return;
	/* release: pairs with acquire in next_floor() */
	atomic_store_explicit(&jobs->floor, zxid, memory_order_release);
	lcore_doorbell(jobs->parts.zab_lcore);
}

void
store_jobs_lost(struct store_jobs *jobs, int64_t zxid)
{
	raise_floor(jobs, zxid);
}

/* The oldest log that is there begins the history. */
static void
raise_to_oldest(struct store_jobs *jobs)
{
	struct file_list logs;

	if (file_list_read(jobs->parts.restore.disk,
			   jobs->parts.restore.log_dir, FILE_LOG,
			   &logs) == FAL_OK &&
	    logs.count > 0)
		raise_floor(jobs, (int64_t)logs.entries[0].parsed.zxid - 1);
	file_list_free(&logs);
}

void
store_jobs_files_changed(struct store_jobs *jobs, bool logs_removed)
{
	const struct restore *restore = &jobs->parts.restore;
	const int64_t last = (int64_t)atomic_load_explicit(
		jobs->parts.published, memory_order_acquire);
	const struct log_worth worth = {
		.snap_dir = restore->snap_dir,
		.log_dir = restore->log_dir,
		.last_zxid = last,
		.factor = jobs->parts.worth_factor,
		.count = jobs->parts.worth_count,
		.open_bytes = 0,
	};
	int64_t floor = 0;

	if (!restore->is_member)
		return;
	if (logs_removed)
		raise_to_oldest(jobs);
	if (log_history_worth(restore->disk, &worth, &floor) == FAL_OK)
		raise_floor(jobs, floor);
}

/* ---- BG: the loop
 * --------------------------------------------------------------- */

int
store_jobs_attach(struct store_jobs *jobs)
{
	const uint32_t wanted = jobs->parts.snapshots_max < STORE_READERS_MAX
					? jobs->parts.snapshots_max
					: STORE_READERS_MAX;

	while (jobs->reader_count < wanted) {
		struct tree_reader *reader =
			tree_reader_register(jobs->parts.restore.tree);

		if (reader == NULL)
			break;
		jobs->reader[jobs->reader_count] = reader;
		/* release: ZAB may take it; pairs with take_reader() */
		atomic_store_explicit(&jobs->reader_busy[jobs->reader_count++],
				      0, memory_order_release);
	}
	return jobs->reader_count > 0 ? FAL_OK : FAL_ELIMIT;
}

void
store_jobs_detach(struct store_jobs *jobs)
{
	store_install_abort(&jobs->install);
	store_flows_break(jobs);
	for (uint32_t i = 0; i < jobs->reader_count; i++)
		tree_reader_unregister(jobs->reader[i]);
	jobs->reader_count = 0;
}

bool
store_jobs_run(struct store_jobs *jobs)
{
	const struct store_order *order = store_orders_front(&jobs->bg_orders);

	if (order != NULL) {
		obey(jobs, order);
		store_orders_done(&jobs->bg_orders);
		return true;
	}
	if (jobs->has_lent)
		return store_install_run(jobs);
	return store_flows_run(jobs);
}

bool
store_jobs_is_lent(const struct store_jobs *jobs)
{
	return jobs->has_lent || store_orders_front(&jobs->bg_orders) != NULL;
}

bool
store_jobs_has_work(struct store_jobs *jobs)
{
	const struct store_install *install = &jobs->install;

	if (store_orders_front(&jobs->bg_orders) != NULL)
		return true;
	if (jobs->has_lent)
		return install->out != NULL &&
		       (atomic_load_explicit(&install->is_whole,
					     memory_order_acquire) ||
			atomic_load_explicit(&install->head,
					     memory_order_acquire) -
					atomic_load_explicit(
						&install->tail,
						memory_order_relaxed) >
				SNAP_FORM_TAIL_BYTES);
	return store_flows_have_work(jobs);
}

/* ---- the port
 * ------------------------------------------------------------------- */

static void
late_remove(struct store_jobs *jobs, uint32_t at)
{
	jobs->late_count--;
	memmove(&jobs->late[at], &jobs->late[at + 1],
		(jobs->late_count - at) * sizeof(jobs->late[0]));
}

/* Does the younger one say all that counts? Who asked for a configuration waits
 * for the last one only; that one is dropped is told to nobody. */
static bool
is_overtaken(const struct store_order *old, const struct store_order *young)
{
	if (old->kind != young->kind)
		return false;
	return old->kind == STORE_DO_ACTIVATE ||
	       (old->kind == STORE_DO_NEXT_CONFIG &&
		(old->zxid == 0) == (young->zxid == 0));
}

/* Others may name configurations faster than our disk writes them. */
static void
order_late(struct store_jobs *jobs, const struct store_order *order)
{
	for (uint32_t i = 0; i < jobs->late_count; i++) {
		if (!is_overtaken(&jobs->late[i], order))
			continue;
		free(jobs->late[i].text);
		late_remove(jobs, i);
		break;
	}
	/* Of the other kinds the core has few under way at a time. */
	FAL_ASSERT(jobs->late_count < STORE_LATE_MAX);
	jobs->late[jobs->late_count++] = *order;
}

static void
order_files(struct store_jobs *jobs, const struct store_order *order)
{
	if (jobs->late_count == 0 && has_order_room(&jobs->files_orders))
		store_orders_push(&jobs->files_orders, order);
	else
		order_late(jobs, order);
	lcore_doorbell(&jobs->files_lcore);
}

static void
push_late(struct store_jobs *jobs)
{
	while (jobs->late_count > 0 && has_order_room(&jobs->files_orders)) {
		store_orders_push(&jobs->files_orders, &jobs->late[0]);
		late_remove(jobs, 0);
		lcore_doorbell(&jobs->files_lcore);
	}
}

static void
order_bg(struct store_jobs *jobs, enum store_order_kind kind, int64_t zxid)
{
	const struct store_order order = {.kind = kind, .zxid = zxid};

	if (!jobs->is_lent && jobs->parts.lend != NULL)
		jobs->parts.lend(jobs->parts.arg);
	jobs->is_lent = true;
	store_orders_push(&jobs->bg_orders, &order);
	lcore_doorbell(jobs->parts.bg_lcore);
}

static void
port_persist_epoch(void *store, bool is_current, int64_t epoch)
{
	const struct store_order order = {.kind = STORE_DO_EPOCH,
					  .is_current = is_current,
					  .zxid = epoch};

	order_files(store, &order);
}

/* The text is copied; out of memory is told by a NULL text of some bytes. */
static void
order_config(struct store_jobs *jobs, enum store_order_kind kind,
	     int64_t version, const void *text, uint32_t bytes)
{
	struct store_order order = {
		.kind = kind, .zxid = version, .bytes = bytes};

	if (bytes > 0)
		order.text = malloc(bytes);
	if (order.text != NULL)
		memcpy(order.text, text, bytes);
	order_files(jobs, &order);
}

static void
port_persist_config(void *store, int64_t version, const void *text,
		    uint32_t bytes)
{
	order_config(store, STORE_DO_NEXT_CONFIG, version, text, bytes);
}

static void
port_activate_config(void *store, int64_t version, const void *text,
		     uint32_t bytes)
{
	order_config(store, STORE_DO_ACTIVATE, version, text, bytes);
}

static void
port_voter_again(void *store)
{
	const struct store_order order = {.kind = STORE_DO_VOTER};

	order_files(store, &order);
}

static void
port_persist_genesis(void *store, const struct genesis_state *state)
{
	const struct store_order order = {.kind = STORE_DO_GENESIS,
					  .genesis = *state};

	order_files(store, &order);
}

static void
port_truncate(void *store, int64_t zxid)
{
	order_bg(store, STORE_DO_TRUNCATE, zxid);
}

static void
port_install_begin(void *store, int64_t zxid)
{
	struct store_jobs *jobs = store;

	store_install_reset(&jobs->install);
	order_bg(jobs, STORE_DO_INSTALL, zxid);
}

static int32_t
port_install_push(void *store, const uint8_t *data, uint32_t bytes,
		  bool *is_end)
{
	return store_install_push(store, data, bytes, is_end);
}

static void
port_keep_log(void *store)
{
	struct store_jobs *jobs = store;

	txlog_keep(jobs->parts.txlog);
}

static void
port_reload(void *store)
{
	struct store_jobs *jobs = store;

	jobs->reloads++;
	order_bg(jobs, STORE_DO_RELOAD, 0);
}

/* What the disk holds, and everything is back. */
static void
take_back(struct store_jobs *jobs, struct store_event *event)
{
	jobs->rows = jobs->found;
	jobs->told = jobs->found;
	event->disk = (struct zab_disk_state){.history = &jobs->told};
	/* The history is another one. */
	jobs->floor_told = jobs->rows.floor_zxid;
	jobs->is_lent = false;
	if (jobs->parts.take_back != NULL)
		jobs->parts.take_back(jobs->parts.arg);
}

/* False: it is void. */
static bool
take_bg_event(struct store_jobs *jobs, struct store_event *event)
{
	switch (event->kind) {
	case STORE_INSTALLED:
	case STORE_REFUSED:
		if (jobs->reloads > 0)
			return false;
		if (event->kind == STORE_INSTALLED)
			take_back(jobs, event);
		return true;
	case STORE_RELOADED:
		if (--jobs->reloads > 0)
			return false;
		take_back(jobs, event);
		return true;
	case STORE_TRUNCATED:
		if (jobs->reloads > 0)
			return false;
		take_back(jobs, event);
		return true;
	default:
		return true;
	}
}

static bool
next_floor(struct store_jobs *jobs, struct store_event *out)
{
	/* acquire: pairs with release in raise_floor() */
	const int64_t floor =
		atomic_load_explicit(&jobs->floor, memory_order_acquire);

	if (floor <= jobs->floor_told || jobs->is_lent)
		return false;
	jobs->floor_told = floor;
	*out = (struct store_event){.kind = STORE_FLOOR, .zxid = floor};
	return true;
}

static bool
port_next(void *store, struct store_event *out)
{
	struct store_jobs *jobs = store;

	push_late(jobs);
	while (pop_event(&jobs->bg_events, out))
		if (take_bg_event(jobs, out))
			return true;
	return pop_event(&jobs->files_events, out) || next_floor(jobs, out);
}

static bool
port_has_event(const void *store)
{
	const struct store_jobs *jobs = store;

	return has_events(&jobs->bg_events) ||
	       has_events(&jobs->files_events) ||
	       (!jobs->is_lent &&
		atomic_load_explicit(&jobs->floor, memory_order_acquire) >
			jobs->floor_told);
}

struct store_port
store_jobs_port(struct store_jobs *jobs)
{
	return (struct store_port){
		.store = jobs,
		.persist_epoch = port_persist_epoch,
		.persist_config = port_persist_config,
		.activate_config = port_activate_config,
		.persist_genesis = port_persist_genesis,
		.voter_again = port_voter_again,
		.truncate = port_truncate,
		.install_begin = port_install_begin,
		.install_push = port_install_push,
		.keep_log = port_keep_log,
		.reload = port_reload,
		.open_history = store_history_open,
		.open_snapshot = store_snapshot_open,
		.next = port_next,
		.has_event = port_has_event,
	};
}

void
store_jobs_note(struct store_jobs *jobs, int64_t zxid)
{
	/* A leader's first zxid of an epoch may be any; the window asserts
	 * that they grow. */
	const int err = zab_history_append(&jobs->rows, zxid);

	FAL_ASSERT(err == FAL_OK);
}

/* ---- life
 * ------------------------------------------------------------------------ */

int
store_jobs_create(const struct store_parts *parts, struct store_jobs **out)
{
	/* A doorbell has a line of its own. */
	struct store_jobs *jobs =
		aligned_alloc(_Alignof(struct store_jobs), sizeof(*jobs));
	int err;

	if (jobs == NULL)
		return FAL_ENOMEM;
	memset(jobs, 0, sizeof(*jobs));
	jobs->parts = *parts;
	jobs->rows = *parts->history;
	jobs->floor_told = jobs->rows.floor_zxid;
	for (uint32_t i = 0; i < STORE_READERS_MAX; i++)
		atomic_init(&jobs->reader_busy[i], 1);
	err = store_install_init(&jobs->install);
	if (err == FAL_OK)
		err = ring_init(&jobs->opened, "store", STORE_ORDERS);
	if (err == FAL_OK)
		err = lcore_init(&jobs->files_lcore);
	if (err != FAL_OK) {
		store_jobs_destroy(jobs);
		return err;
	}
	*out = jobs;
	return FAL_OK;
}

int
store_jobs_start(struct store_jobs *jobs)
{
	return store_files_start(jobs);
}

void
store_jobs_stop(struct store_jobs *jobs)
{
	store_files_stop(jobs);
}

static void
free_orders(struct store_orders *orders)
{
	const struct store_order *order;

	while ((order = store_orders_front(orders)) != NULL) {
		free(order->text);
		store_orders_done(orders);
	}
}

void
store_jobs_destroy(struct store_jobs *jobs)
{
	if (jobs == NULL)
		return;
	if (jobs->opened.impl != NULL) {
		store_flows_free(jobs);
		ring_free(&jobs->opened);
	}
	free_orders(&jobs->bg_orders);
	free_orders(&jobs->files_orders);
	while (jobs->late_count > 0)
		free(jobs->late[--jobs->late_count].text);
	store_install_free(&jobs->install);
	lcore_free(&jobs->files_lcore);
	free(jobs);
}
