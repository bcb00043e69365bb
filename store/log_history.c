/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass forward over the files that the budget allows. Whatever does not
 * follow what was before starts the table over, so in the end it holds the
 * longest sequence without a hole that reaches the last record.
 *
 * A file's length says nothing about how much of it is used: the newest one is
 * allocated ahead. Its zeros cost a read at most once, as every file that
 * follows another was cut to its length.
 */

#include "store/log_history.h"

#include "consensus/zab_history.h"
#include "store/file_list.h"
#include "store/log_reader.h"

/* ---- the table ----------------------------------------------------------- */

struct pass {
	struct zab_history *table;
	const struct file_list *snapshots;
	int64_t last_zxid; /* of the caller */
	bool has_begun;
};

/* A mark between two records: where the later epoch was received from a
 * leader, in one piece. */
static bool
is_mark_between(const struct pass *pass, int64_t from, int64_t to)
{
	for (uint32_t i = 0; i < pass->snapshots->count; i++) {
		const int64_t zxid =
			(int64_t)pass->snapshots->entries[i].parsed.zxid;

		if (zxid != 0 && zab_counter(zxid) == 0 && zxid >= from &&
		    zxid < to)
			return true;
	}
	return false;
}

static bool
continues(const struct pass *pass, int64_t zxid)
{
	const int64_t last = pass->table->last_zxid;

	if (!pass->has_begun)
		return false;
	if (zab_epoch(last) == zab_epoch(zxid))
		return zxid == last + 1;
	return zab_counter(zxid) == 1 && !is_mark_between(pass, last, zxid);
}

static void
take_record(struct pass *pass, int64_t zxid)
{
	if (zxid > pass->last_zxid ||
	    (pass->has_begun && zxid <= pass->table->last_zxid))
		return;
	if (!continues(pass, zxid))
		zab_history_init(pass->table, zxid - 1);
	pass->has_begun = true;
	/* A server that was alone counts up to the end of an epoch and over
	 * it. No ensemble has such a transaction, so none shares it. */
	if (zab_history_append(pass->table, zxid) != 0)
		zab_history_init(pass->table, zxid);
}

/* A file that ends badly ends the sequence, if records of it are lost; the
 * next file's first zxid tells. */
static int
read_file(struct disk *disk, const char *dir, const char *name,
	  struct pass *pass)
{
	char path[FILE_PATH_MAX];
	struct log_file *file = NULL;
	struct log_record record;
	int got = file_path(path, dir, name);

	if (got == 0)
		got = log_file_open(disk, path, LOG_ENTRY_BYTES_MAX, &file);
	if (got != 0)
		return got;
	while ((got = log_file_next(file, &record)) > 0 &&
	       record.header.zxid <= pass->last_zxid)
		take_record(pass, record.header.zxid);
	log_file_close(file);
	return got < 0 ? got : 0;
}

/* The first file that the budget allows, the newest one in any case. */
static int
choose_first(struct disk *disk, const char *dir, const struct file_list *logs,
	     uint64_t bytes_max, uint32_t *first)
{
	uint64_t bytes = 0;

	*first = logs->count;
	while (*first > 0) {
		char path[FILE_PATH_MAX];
		struct disk_info info;
		int err = file_path(path, dir, logs->entries[*first - 1].name);

		if (err == 0)
			err = disk_info(disk, path, &info);
		if (err != 0)
			return err;
		bytes += info.bytes;
		if (bytes > bytes_max && *first < logs->count)
			return 0;
		--*first;
	}
	return 0;
}

/* The table must end with what recovery has brought up. */
static void
end_at(struct zab_history *table, const struct pass *pass)
{
	const int64_t last = pass->last_zxid;

	if (!pass->has_begun || table->last_zxid != last)
		zab_history_init(table, last);
}

int
log_history_read(struct disk *disk, const struct log_history_options *options,
		 struct zab_history *out)
{
	const uint64_t bytes_max = options->bytes_max != 0
					   ? options->bytes_max
					   : LOG_HISTORY_BYTES_DEFAULT;
	struct file_list snapshots;
	struct pass pass = {.table = out,
			    .snapshots = &snapshots,
			    .last_zxid = options->last_zxid};
	struct file_list logs = {.count = 0};
	uint32_t first = 0;
	int err = file_list_read(disk, options->snap_dir, FILE_SNAPSHOT,
				 &snapshots);

	zab_history_init(out, 0);
	if (err == 0)
		err = file_list_read(disk, options->log_dir, FILE_LOG, &logs);
	if (err == 0)
		err = choose_first(disk, options->log_dir, &logs, bytes_max,
				   &first);
	for (uint32_t i = first; i < logs.count && err == 0; i++)
		err = read_file(disk, options->log_dir, logs.entries[i].name,
				&pass);
	if (err == 0)
		end_at(out, &pass);
	file_list_free(&snapshots);
	file_list_free(&logs);
	return err;
}

/* ---- what is worth sending ------------------------------------------------
 */

/* Are at most `count` transactions of one epoch above this file's first? An
 * older epoch has more, as far as anybody knows without reading it. */
static bool
is_recent(const struct log_worth *worth, const struct file_entry *log)
{
	const int64_t zxid = (int64_t)log->parsed.zxid;

	return zab_epoch(zxid) == zab_epoch(worth->last_zxid) &&
	       worth->last_zxid - zxid < (int64_t)worth->count;
}

static int
budget_of(struct disk *disk, const struct log_worth *worth, uint64_t *bytes)
{
	struct file_list snapshots;
	struct disk_info info = {.bytes = 0};
	char path[FILE_PATH_MAX];
	int err = file_list_read(disk, worth->snap_dir, FILE_SNAPSHOT,
				 &snapshots);

	if (err == 0 && snapshots.count > 0) {
		err = file_path(path, worth->snap_dir,
				snapshots.entries[snapshots.count - 1].name);
		if (err == 0)
			err = disk_info(disk, path, &info);
	}
	file_list_free(&snapshots);
	*bytes = worth->factor <= 0
			 ? 0
			 : (uint64_t)(worth->factor * (double)info.bytes);
	return err;
}

int
log_history_worth(struct disk *disk, const struct log_worth *worth,
		  int64_t *floor_zxid)
{
	struct file_list logs = {.count = 0};
	uint64_t budget = 0, bytes = 0;
	int err = budget_of(disk, worth, &budget);

	*floor_zxid = 0;
	if (err == 0)
		err = file_list_read(disk, worth->log_dir, FILE_LOG, &logs);
	for (uint32_t i = logs.count; i > 0 && err == 0; i--) {
		const bool is_open = i == logs.count;
		char path[FILE_PATH_MAX];
		struct disk_info info = {.bytes = 0};

		err = file_path(path, worth->log_dir, logs.entries[i - 1].name);
		if (err == 0)
			err = disk_info(disk, path, &info);
		bytes += is_open && worth->open_bytes < info.bytes
				 ? worth->open_bytes
				 : info.bytes;
		/* From the file behind this one on it is cheap enough. */
		if (err == 0 && bytes > budget && !is_open &&
		    !is_recent(worth, &logs.entries[i])) {
			*floor_zxid = (int64_t)logs.entries[i].parsed.zxid - 1;
			break;
		}
	}
	file_list_free(&logs);
	return err;
}
