/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FILES: small files that an election or a reconfiguration waits for. Each is
 * a write, two syncs and a rename, in the order in which they were asked for.
 */
#include "server/store_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/time.h"
#include "server/config_file.h"
#include "store/epoch_file.h"
#include "store/genesis_file.h"

/* How often a full ring of events is looked at again. */
#define RETRY_NS (1 * NS_PER_MS)

/* ZAB takes events each round; a full ring does not last. */
static void
tell(struct store_jobs *jobs, const struct store_event *event)
{
	while (!store_events_push(&jobs->files_events, event)) {
		if (atomic_load_explicit(&jobs->files_must_stop,
					 memory_order_relaxed))
			return;
		lcore_wait(&jobs->files_lcore, RETRY_NS);
	}
	lcore_doorbell(jobs->parts.zab_lcore);
}

static void FAL_PRINTF(3, 4)
	fail(struct store_jobs *jobs, int err, const char *format, ...)
{
	struct store_event event = {.kind = STORE_FAILED,
				    .err = err,
				    .text = jobs->files_events.text};
	va_list args;

	va_start(args, format);
	vsnprintf(jobs->files_events.text, STORE_TEXT_BYTES, format, args);
	va_end(args);
	tell(jobs, &event);
}

static void
write_epoch(struct store_jobs *jobs, const struct store_order *order)
{
	const struct restore *restore = &jobs->parts.restore;
	const char *name =
		order->is_current ? EPOCH_FILE_CURRENT : EPOCH_FILE_ACCEPTED;
	const struct store_event event = {.kind = STORE_EPOCH,
					  .epoch = order->zxid,
					  .is_current = order->is_current};
	const int err = epoch_file_write(restore->disk, restore->snap_dir, name,
					 order->zxid);

	if (err == FAL_OK)
		tell(jobs, &event);
	else
		fail(jobs, err,
		     "%.300s/%s cannot be written: %s; free space or mend the "
		     "disk, then start the server again",
		     restore->snap_dir, name, fal_err_str(err));
}

static void
write_genesis(struct store_jobs *jobs, const struct store_order *order)
{
	const struct restore *restore = &jobs->parts.restore;
	const struct store_event event = {.kind = STORE_GENESIS};
	const int err = genesis_file_write(restore->disk, restore->snap_dir,
					   &order->genesis);

	if (err == FAL_OK)
		tell(jobs, &event);
	else
		fail(jobs, err,
		     "%.300s/" GENESIS_FILE_NAME " cannot be written: %s; free "
		     "space or mend the disk, then start the server again",
		     restore->snap_dir, fal_err_str(err));
}

/* Without this file a start finds the configuration in the data, where whoever
 * acknowledges it has it as well (prefer_config_of_data()). So a folder that is
 * not to be written, as a container's often is, is no reason to stop: a change
 * comes to all servers, and would stop all of them. */
static void
write_next(struct store_jobs *jobs, const struct store_order *order)
{
	const struct store_event event = {.kind = STORE_CONFIG,
					  .zxid = order->zxid};
	struct disk *disk = jobs->parts.restore.disk;
	const char *path = jobs->parts.config_path;
	int err = FAL_OK;

	if (order->zxid == 0)
		err = config_file_drop_next(disk, path);
	else if (order->text == NULL)
		err = FAL_ENOMEM;
	else
		err = config_file_write_next(disk, path, order->zxid,
					     order->text, order->bytes);
	if (err != FAL_OK)
		LOG_ERROR("%s" CONFIG_NEXT_SUFFIX
			  " cannot be %s: %s; a restart "
			  "goes by the log. Let this server write that folder",
			  path, order->zxid == 0 ? "removed" : "written",
			  fal_err_str(err));
	if (order->zxid != 0)
		tell(jobs, &event);
}

/* The configuration is in the log and in /zookeeper/config: a file that cannot
 * be written is written again with the next one, and is no reason to stop. But
 * a restart would begin with the old one, which the operator should know. */
static void
activate(struct store_jobs *jobs, const struct store_order *order)
{
	const char *path = jobs->parts.config_path;
	const int err =
		order->text == NULL
			? FAL_ENOMEM
			: config_file_activate(jobs->parts.restore.disk, path,
					       jobs->parts.sid, order->zxid,
					       order->text, order->bytes);

	if (err != FAL_OK)
		LOG_ERROR("configuration 0x%" PRIx64 " is active, but its "
			  "files beside %s cannot be written: %s; a restart "
			  "begins with the one before and learns this one from "
			  "the others",
			  (uint64_t)order->zxid, path, fal_err_str(err));
	else
		LOG_INFO("configuration 0x%" PRIx64 " is active and written",
			 (uint64_t)order->zxid);
}

static void
vote(struct store_jobs *jobs)
{
	const struct restore *restore = &jobs->parts.restore;
	const int err = vote_mark_remove(restore->disk, restore->snap_dir);

	if (err != FAL_OK)
		LOG_WARN("%s/" VOTE_MARK_NAME " cannot be removed: %s; after a "
			 "restart this server waits once more for a leader "
			 "before it votes",
			 restore->snap_dir, fal_err_str(err));
	else
		LOG_INFO("synchronised by a leader: this server votes again");
}

static void
obey(struct store_jobs *jobs, const struct store_order *order)
{
	switch (order->kind) {
	case STORE_DO_EPOCH:
		write_epoch(jobs, order);
		break;
	case STORE_DO_NEXT_CONFIG:
		write_next(jobs, order);
		break;
	case STORE_DO_ACTIVATE:
		activate(jobs, order);
		break;
	case STORE_DO_GENESIS:
		write_genesis(jobs, order);
		break;
	default:
		FAL_ASSERT(order->kind == STORE_DO_VOTER);
		vote(jobs);
		break;
	}
	free(order->text);
}

bool
store_files_run(struct store_jobs *jobs)
{
	const struct store_order *order =
		store_orders_front(&jobs->files_orders);

	if (order == NULL)
		return false;
	obey(jobs, order);
	store_orders_done(&jobs->files_orders);
	return true;
}

static void *
files_main(void *arg)
{
	struct store_jobs *jobs = arg;

	for (;;) {
		while (store_files_run(jobs))
			continue;
		if (atomic_load_explicit(&jobs->files_must_stop,
					 memory_order_acquire))
			return NULL;
		lcore_sleep_begin(&jobs->files_lcore);
		if (store_orders_front(&jobs->files_orders) == NULL &&
		    !atomic_load_explicit(&jobs->files_must_stop,
					  memory_order_acquire))
			lcore_wait(&jobs->files_lcore, UINT64_MAX);
		lcore_sleep_end(&jobs->files_lcore);
	}
}

int
store_files_start(struct store_jobs *jobs)
{
	return lcore_start(&jobs->files_lcore, LCORE_ANY_CPU, "files",
			   files_main, jobs);
}

void
store_files_stop(struct store_jobs *jobs)
{
	if (!jobs->files_lcore.is_started)
		return;
	atomic_store_explicit(&jobs->files_must_stop, true,
			      memory_order_release);
	lcore_wake(&jobs->files_lcore);
	lcore_join(&jobs->files_lcore);
}
