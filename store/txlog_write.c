/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LOG's side: gathers, writes, publishes. The cursor `walk` follows the records
 * by their lengths, so a write may end inside a record: it counts once its last
 * byte is on disk.
 */

#include "store/txlog_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/bits.h"

/* ---- LOG -------------------------------------------------------------------
 */

static void
count(_Atomic uint64_t *counter, uint64_t n)
{
	/* One writer: no read-modify-write is needed. */
	atomic_store_explicit(
		counter,
		atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

/* Up to where the current file may be written; *is_closed: it gets no more. */
static uint64_t
records_end(const struct txlog *log, bool *is_closed)
{
	/* The head first: a head behind the mark implies CLAIMED. */
	const uint64_t head =
		atomic_load_explicit(&log->head, memory_order_acquire);
	const bool has_mark =
		!log->is_unnamed &&
		atomic_load_explicit(&log->next_state, memory_order_acquire) ==
			NEXT_CLAIMED;

	*is_closed = has_mark;
	return has_mark ? log->mark_end : head;
}

/* Counts the records that end at or before `done`. */
static uint64_t
walk_records(struct txlog *log, uint64_t done, uint64_t *zxid)
{
	uint64_t records = 0;

	while (log->walk + LOG_RECORD_OVERHEAD <= done) {
		const uint8_t *at = txlog_at(log, log->walk);
		const uint64_t next =
			log->walk + LOG_RECORD_OVERHEAD + be_load32(at + 8);

		if (next > done)
			break;
		*zxid = be_load64(at + HEAD_BYTES + ZXID_OFFSET);
		count(&log->bytes, next - log->walk);
		log->walk = next;
		records++;
	}
	return records;
}

/* Gives the synced file its name. A file that has it may only be one without
 * a record that is worth anything. */
static int
name_file(struct txlog *log)
{
	const uint64_t zxid =
		be_load64(txlog_at(log, log->out_start + LOG_FILE_HEADER_BYTES +
						HEAD_BYTES) +
			  ZXID_OFFSET);
	char path[FILE_PATH_MAX];
	struct log_record record;
	struct log_file *old = NULL;
	int err = file_path_log(path, log->dir, zxid);

	log->out_zxid = zxid;
	if (txlog_is_volatile(log))
		return err;
	if (err == 0)
		err = disk_sync(log->file);
	if (err != 0)
		return err;
	err = log_file_open(log->disk, path, LOG_ENTRY_BYTES_MAX, &old);
	if (err == 0) {
		err = log_file_next(old, &record);
		log_file_close(old);
		if (err != 0)
			return err < 0 ? err : FAL_EEXIST;
	} else if (err != FAL_ENOENT) {
		return err;
	}
	err = disk_rename(log->disk, log->prealloc_path, path);
	if (err == 0)
		err = disk_sync_dir(log->disk, log->dir);
	return err;
}

void
txlog_written(struct txlog *log, uint64_t end)
{
	uint64_t zxid = 0;
	uint64_t records;

	count(&log->writes, 1);
	log->done = end;
	records = walk_records(log, end, &zxid);
	count(&log->records, records);
	/* The last block will be written again, and the record that is not
	 * complete yet is still to be looked at. */
	atomic_store_explicit(
		&log->kept,
		bits_align_down(log->walk < end ? log->walk : end, BLOCK),
		memory_order_release);
	if (records > 0)
		/* release: pairs with acquire in txlog_durable_zxid() */
		atomic_store_explicit(&log->durable_zxid, zxid,
				      memory_order_release);
}

/* The write in flight is durable. */
static void
write_done(struct txlog *log)
{
	const uint64_t before =
		atomic_load_explicit(&log->durable_zxid, memory_order_relaxed);

	log->is_flying = false;
	if (log->is_unnamed) {
		const int err = name_file(log);

		if (err != 0) {
			txlog_fail(log, err);
			return;
		}
		log->is_unnamed = false;
		count(&log->files, !txlog_is_volatile(log));
		txlog_map(log);
		atomic_store_explicit(&log->next_state, NEXT_NONE,
				      memory_order_release);
	}
	txlog_written(log, log->flying);
	if (atomic_load_explicit(&log->durable_zxid, memory_order_relaxed) !=
	    before)
		txlog_notify(log);
}

/* Begins one write of [done, end), at most TXLOG_WRITE_BYTES_MAX. */
static bool
write_begin(struct txlog *log, uint64_t end)
{
	const uint64_t start = bits_align_down(log->done, BLOCK);
	struct disk_part parts[DISK_PARTS_MAX];
	uint32_t part_count = 0;
	uint64_t full;
	int err;

	FAL_ASSERT(log->done < end && start >= log->out_start);
	if (txlog_is_volatile(log)) {
		log->flying = end;
		log->is_flying = true;
		return true;
	}
	if (end - start > TXLOG_WRITE_BYTES_MAX)
		end = start + TXLOG_WRITE_BYTES_MAX;
	full = bits_align_down(end, BLOCK);
	if (full > start) {
		parts[part_count++] =
			(struct disk_part){.data = txlog_at(log, start),
					   .bytes = (size_t)(full - start)};
	}
	if (end > full) {
		memcpy(log->bounce, txlog_at(log, full), (size_t)(end - full));
		memset(log->bounce + (end - full), 0,
		       (size_t)(BLOCK - (end - full)));
		parts[part_count++] =
			(struct disk_part){.data = log->bounce, .bytes = BLOCK};
	}
	log->flying = end;
	err = disk_submit(log->file, parts, part_count, start - log->out_start);
	if (err != 0) {
		txlog_fail(log, err);
		return false;
	}
	count(&log->bytes_written, bits_align_up(end, BLOCK) - start);
	log->is_flying = true;
	return true;
}

/* A quarter more than this file used, twice as much if it was not enough. Where
 * snapshots roll the log early, most of a full file's zeros would be written
 * for nothing, and its storage be given back again. */
static void
note_use(struct txlog *log)
{
	const uint64_t used = log->mark_end - log->out_start;
	const uint64_t more = log->mark_is_full ? used : used / 4;
	uint64_t bytes = bits_align_up(used + more, BLOCK);

	if (bytes < log->least_bytes)
		bytes = log->least_bytes;
	if (bytes > log->prealloc_bytes)
		bytes = log->prealloc_bytes;
	atomic_store_explicit(&log->file_bytes, bytes, memory_order_relaxed);
}

/* BG cuts the zeros behind the last record off and frees their storage. */
static void
close_file(struct txlog *log)
{
	const uint32_t head =
		atomic_load_explicit(&log->closed_head, memory_order_relaxed);

	note_use(log);
	txlog_unmap(log);
	disk_close(log->file);
	log->file = NULL;
	/* acquire: pairs with release in txlog_trim() */
	if (head - atomic_load_explicit(&log->closed_tail,
					memory_order_acquire) ==
	    CLOSED_MAX)
		return;
	log->closed[head & (CLOSED_MAX - 1)] = (struct txlog_closed){
		.zxid = log->out_zxid,
		.bytes = log->mark_end - log->out_start,
	};
	/* release: pairs with acquire in txlog_closed() */
	atomic_store_explicit(&log->closed_head, head + 1,
			      memory_order_release);
}

/* Goes on to the file that ZAB claimed. */
static bool
open_claimed(struct txlog *log)
{
	int err;

	if (log->file != NULL && !txlog_is_volatile(log))
		close_file(log);
	else if (log->file != NULL)
		disk_close(log->file);
	disk_close(log->next_file);
	log->next_file = NULL;
	log->out_bytes = log->next_bytes;
	err = disk_open(log->disk, log->prealloc_path, log->log_open_flags,
			&log->file);
	if (err != 0) {
		txlog_fail(log, err);
		return false;
	}
	log->out_start = log->mark_start;
	log->done = log->mark_start;
	log->walk = log->mark_start + LOG_FILE_HEADER_BYTES;
	log->is_unnamed = true;
	return true;
}

/* Completes the write in flight; true if there is none any more. */
static bool
write_complete(struct txlog *log)
{
	int err;

	if (!log->is_flying)
		return true;
	err = txlog_is_volatile(log) ? 0 : disk_poll(log->file);
	if (err == FAL_EAGAIN)
		return false;
	if (err == 0) {
		write_done(log);
		return true;
	}
	log->is_flying = false;
	txlog_fail(log, err);
	return true;
}

/* LOG sees to it itself when an append waits and BG has not come by. */
static bool
provide_if_wanted(struct txlog *log)
{
	return atomic_load_explicit(&log->wants_next, memory_order_relaxed) &&
	       txlog_space_error(log) == 0 && txlog_provide_next(log);
}

bool
txlog_poll(struct txlog *log)
{
	const bool was_flying = log->is_flying;
	bool is_closed = false;
	uint64_t end;

	if (txlog_is_zabs(log)) {
		const bool has_made = provide_if_wanted(log);

		return txlog_get_ready(log) || has_made;
	}
	if (!write_complete(log) || txlog_error(log) != 0)
		return false;
	end = records_end(log, &is_closed);
	if (end == log->done && is_closed) {
		if (!open_claimed(log))
			return false;
		end = records_end(log, &is_closed);
	}
	/* A claimed file whose first record is not committed yet. */
	if (end <= log->done || end == log->out_start + LOG_FILE_HEADER_BYTES)
		return provide_if_wanted(log) ||
		       (end == log->done && txlog_hand_over(log, end)) ||
		       was_flying;
	if (!write_begin(log, end))
		return false;
	write_complete(log);
	provide_if_wanted(log);
	return true;
}

bool
txlog_is_writing(const struct txlog *log)
{
	return log->is_flying;
}
