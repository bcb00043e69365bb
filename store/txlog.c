/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who writes what:
 *
 *   head      ZAB   end of the last record; LOG may write up to here
 *   next      state of the next file: NONE -> READY by LOG or BG (allocated),
 *             READY -> FILLING -> READY by BG for one slice of zeros,
 *             READY -> HELD by ZAB (the current file may be too small),
 *             READY, HELD -> CLAIMED by ZAB (it begins the file in the window),
 *             CLAIMED -> NONE by LOG (the file is log.<zxid> now)
 *   mark      ZAB, before CLAIMED: where the old file ends, the new one starts
 *   durable   LOG   zxid; `kept` is the first position it still needs
 *
 * The state word hands the next file from thread to thread; whoever moved it
 * out of a state owns what comes with it. So there is at most one mark, and
 * LOG never meets a file of which ZAB did not know the size.
 *
 * A file starts at a position that is a multiple of the block size, so file
 * blocks are window blocks. Between the old file's end and the new one's start
 * there are no bytes or at least as many zeros as a record's head, so that a
 * reader of the window sees length 0 and steps to the next block.
 */

#include "store/txlog_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/bits.h"
#include "base/checksum.h"

#define ENTRIES_IN_WINDOW 4u
/* Beside a record: its overhead, a file's header, two blocks of padding and
 * the block that is written again. */
#define ROOM_SLACK (3u * BLOCK + LOG_FILE_HEADER_BYTES + LOG_RECORD_OVERHEAD)

/* ---- creation ------------------------------------------------------------ */

static int
check_options(const struct txlog_options *options, struct txlog *log)
{
	const uint64_t window = options->window_bytes != 0
					? options->window_bytes
					: TXLOG_WINDOW_BYTES_DEFAULT;
	const uint64_t prealloc = options->prealloc_bytes != 0
					  ? options->prealloc_bytes
					  : TXLOG_PREALLOC_DEFAULT;

	log->entry_bytes_max = options->entry_bytes_max != 0
				       ? options->entry_bytes_max
				       : TXLOG_ENTRY_BYTES_DEFAULT;
	if (log->entry_bytes_max < TXN_HEADER_BYTES ||
	    log->entry_bytes_max > LOG_ENTRY_BYTES_MAX ||
	    !bits_is_pow2(window) || options->dir == NULL ||
	    window < ENTRIES_IN_WINDOW * (uint64_t)log->entry_bytes_max +
			     2 * ROOM_SLACK)
		return FAL_EINVAL;
	log->least_bytes = bits_align_up(
		(uint64_t)log->entry_bytes_max + ROOM_SLACK, BLOCK);
	log->prealloc_bytes = prealloc > log->least_bytes
				      ? bits_align_up(prealloc, BLOCK)
				      : log->least_bytes;
	return file_path(log->prealloc_path, options->dir, TXLOG_PREALLOC_NAME);
}

static int
create_memory(struct txlog *log, const struct txlog_options *options)
{
	const uint64_t window = options->window_bytes != 0
					? options->window_bytes
					: TXLOG_WINDOW_BYTES_DEFAULT;
	struct disk_part pinned[2];
	int err = window_create(&log->window, window);

	if (err != 0)
		return err;
	log->bounce = aligned_alloc(BLOCK, BLOCK);
	if (log->bounce == NULL)
		return FAL_ENOMEM;
	memset(log->bounce, 0, BLOCK);
	pinned[0] = (struct disk_part){.data = log->bounce, .bytes = BLOCK};
	pinned[1] = (struct disk_part){.data = txlog_at(log, 0),
				       .bytes = 2 * window};
	disk_pin(log->disk, pinned, 2);
	return 0;
}

int
txlog_create(struct disk *disk, const struct txlog_options *options,
	     struct txlog **out)
{
	struct txlog *log = aligned_alloc(
		FAL_CACHE_LINE_BYTES,
		bits_align_up(sizeof(*log), FAL_CACHE_LINE_BYTES));
	int err;

	if (log == NULL)
		return FAL_ENOMEM;
	memset(log, 0, sizeof(*log));
	log->disk = disk;
	log->durable_notify = options->durable_notify;
	log->arg = options->arg;
	log->hold = TXLOG_HOLD_NOTHING;
	log->last_zxid = options->last_zxid;
	log->origin_zxid = options->last_zxid;
	log->log_open_flags =
		DISK_LOG | (options->has_no_sync ? DISK_NOSYNC : 0u);
	atomic_init(&log->durable_zxid, options->last_zxid);
	err = check_options(options, log);
	atomic_init(&log->is_volatile, options->is_volatile);
	log->is_mappable = options->has_no_sync && !options->is_volatile;
	atomic_init(&log->file_bytes, log->prealloc_bytes);
	if (err == 0)
		memcpy(log->dir, options->dir, strlen(options->dir) + 1);
	if (err == 0)
		err = create_memory(log, options);
	if (err != 0) {
		txlog_destroy(log);
		return err;
	}
	txlog_provide_next(log);
	*out = log;
	return 0;
}

/* Cuts the zeros off and closes. */
static void
close_current(struct txlog *log)
{
	const bool is_volatile = txlog_is_volatile(log);

	while (log->is_flying && !is_volatile &&
	       disk_poll(log->file) == FAL_EAGAIN)
		continue;
	log->is_flying = false;
	if (log->file == NULL)
		return;
	txlog_unmap(log);
	/* Nothing is in the file that was not reported: cut it. */
	if (txlog_error(log) == 0 && log->done == log->head && !is_volatile)
		(void)!disk_truncate(log->file, log->done - log->out_start);
	disk_close(log->file);
	log->file = NULL;
}

/* ZAB's half of a restart. */
static void
restart_window(struct txlog *log, uint64_t last_zxid, uint64_t start)
{
	window_index_clear(&log->window);
	log->file_start = start;
	log->file_end = start;
	log->hold = TXLOG_HOLD_NOTHING;
	log->last_zxid = last_zxid;
	log->last_pos = start;
	log->has_file = false;
	log->has_record = false;
	log->is_roll_wanted = false;
	log->origin_zxid = last_zxid;
	log->origin_pos = start;
	atomic_store_explicit(&log->head, start, memory_order_release);
	if (!log->has_next)
		return;
	log->has_next = false;
	atomic_store_explicit(&log->next_state, NEXT_READY,
			      memory_order_release);
}

void
txlog_keep(struct txlog *log)
{
	/* pairs with acquire in begin_to_keep() */
	atomic_store_explicit(&log->must_keep, true, memory_order_release);
}

bool
txlog_is_volatile(const struct txlog *log)
{
	return atomic_load_explicit(&log->is_volatile, memory_order_relaxed);
}

/* The next file, if there is one, has no storage: it is made anew. */
static void
begin_to_keep(struct txlog *log)
{
	uint32_t ready = NEXT_READY;

	/* pairs with release in txlog_keep() */
	if (!txlog_is_volatile(log) ||
	    !atomic_load_explicit(&log->must_keep, memory_order_acquire))
		return;
	atomic_store_explicit(&log->is_volatile, false, memory_order_relaxed);
	if (!atomic_compare_exchange_strong(&log->next_state, &ready,
					    NEXT_FILLING))
		return;
	disk_close(log->next_file);
	log->next_file = NULL;
	atomic_store(&log->next_state, NEXT_NONE);
	txlog_provide_next(log);
}

int
txlog_restart(struct txlog *log, uint64_t last_zxid)
{
	uint64_t start;

	if (txlog_error(log) != 0)
		return txlog_error(log);
	FAL_ASSERT(log->last_zxid == txlog_durable_zxid(log));
	FAL_ASSERT(!log->is_unnamed && log->next_state != NEXT_CLAIMED);
	/* The files that BG was to cut may be gone, or be others. */
	atomic_store_explicit(
		&log->closed_tail,
		atomic_load_explicit(&log->closed_head, memory_order_relaxed),
		memory_order_release);
	close_current(log);
	start = bits_align_up(log->head, BLOCK);
	restart_window(log, last_zxid, start);
	begin_to_keep(log);
	log->out_start = start;
	log->done = start;
	log->flying = start;
	log->walk = start;
	atomic_store_explicit(&log->kept, start, memory_order_release);
	atomic_store_explicit(&log->durable_zxid, last_zxid,
			      memory_order_release);
	return 0;
}

void
txlog_destroy(struct txlog *log)
{
	if (log == NULL)
		return;
	close_current(log);
	if (log->next_file != NULL) {
		disk_close(log->next_file);
		/* A leftover is emptied at the next start anyway. */
		(void)!disk_unlink(log->disk, log->prealloc_path);
	}
	disk_pin(log->disk, NULL, 0);
	free(log->bounce);
	window_destroy(&log->window);
	free(log);
}

/* ---- ZAB ----------------------------------------------------------------- */

/* ZAB: takes the next file for itself, or has it already. */
static bool
hold_next(struct txlog *log)
{
	uint32_t ready = NEXT_READY;

	if (!log->has_next)
		log->has_next = atomic_compare_exchange_strong(
			&log->next_state, &ready, NEXT_HELD);
	return log->has_next;
}

/* As hold_next(), and if that fails whoever has the file will notify. */
static bool
want_next(struct txlog *log)
{
	if (hold_next(log))
		return true;
	atomic_store(&log->wants_next, true);
	return hold_next(log);
}

/* First position whose bytes must stay. */
static uint64_t
kept_pos(const struct txlog *log)
{
	/* acquire: pairs with release in write_done() */
	const uint64_t kept =
		atomic_load_explicit(&log->kept, memory_order_acquire);

	return log->hold < kept ? log->hold : kept;
}

/* Room for an entry in the window. */
static uint64_t
window_room(const struct txlog *log)
{
	const uint64_t head =
		atomic_load_explicit(&log->head, memory_order_relaxed);
	const uint64_t used = head - kept_pos(log) + ROOM_SLACK;
	const uint64_t size = log->window.bytes;
	const uint64_t room = used < size ? size - used : 0;

	return room < log->entry_bytes_max ? room : log->entry_bytes_max;
}

/* Room in the current file. */
static uint64_t
file_room(const struct txlog *log)
{
	const uint64_t head =
		atomic_load_explicit(&log->head, memory_order_relaxed);
	const uint64_t used = head + LOG_RECORD_OVERHEAD;

	return log->has_file && used < log->file_end ? log->file_end - used : 0;
}

enum txlog_admission
txlog_admit(struct txlog *log, uint32_t bytes)
{
	FAL_ASSERT(bytes <= log->entry_bytes_max);
	if (window_room(log) < bytes || txlog_error(log) != 0)
		return TXLOG_WAIT;
	if (file_room(log) >= bytes || want_next(log))
		return TXLOG_ADMITTED;
	return txlog_space_error(log) != 0 ? TXLOG_NO_SPACE : TXLOG_WAIT;
}

uint8_t *
txlog_reserve(struct txlog *log, uint32_t *room)
{
	const uint64_t head =
		atomic_load_explicit(&log->head, memory_order_relaxed);
	uint64_t bytes = window_room(log);
	uint64_t reach;

	/* The next file always holds the largest entry. */
	if (file_room(log) < bytes && !want_next(log))
		bytes = file_room(log);
	*room = txlog_error(log) == 0 ? (uint32_t)bytes : 0;
	reach = head + ROOM_SLACK + *room;
	if (reach > log->window.bytes &&
	    reach - log->window.bytes > log->clean_from)
		log->clean_from = reach - log->window.bytes;
	return txlog_at(log, head + HEAD_BYTES);
}

/*
 * How much of the next file is used. Allocated storage that was never written
 * costs a commit of the file system's journal with each block, milliseconds
 * instead of a hundred microseconds. So a file whose zeros are not all written
 * yet is used as far as they are, and the one behind it follows sooner.
 */
static uint64_t
usable_bytes(const struct txlog *log)
{
	const uint64_t filled = bits_align_down(log->next_filled, BLOCK);

	return filled >= log->least_bytes ? filled : log->next_bytes;
}

/* Begins the next file in the window; the reserved entry moves with it. */
static void
begin_file(struct txlog *log, uint32_t bytes)
{
	const uint64_t head =
		atomic_load_explicit(&log->head, memory_order_relaxed);
	uint64_t start = bits_align_up(head, BLOCK);
	uint8_t *header, *entry;

	FAL_ASSERT(log->has_next);
	txlog_give_back(log);
	if (start != head && start - head < HEAD_BYTES)
		start += BLOCK;
	/* Both addresses in one mapping: across the end of the ring they
	 * overlap in memory while their addresses do not, and memmove() goes
	 * by addresses. */
	entry = txlog_at(log, head + HEAD_BYTES);
	memmove(entry + (start + LOG_FILE_HEADER_BYTES - head), entry, bytes);
	memset(txlog_at(log, head), 0, (size_t)(start - head));
	header = txlog_at(log, start);
	be_store32(header, LOG_FILE_MAGIC);
	be_store32(header + 4, LOG_FILE_VERSION);
	be_store64(header + 8, 0);
	log->mark_end = head;
	log->mark_start = start;
	log->mark_is_full = !log->is_roll_wanted;
	log->file_start = start;
	log->file_end = start + usable_bytes(log);
	log->has_file = true;
	log->has_next = false;
	log->is_roll_wanted = false;
	/* release: LOG reads the mark after the state, and finds the state when
	 * it has seen the head; pairs with acquires in records_end() */
	atomic_store_explicit(&log->next_state, NEXT_CLAIMED,
			      memory_order_release);
	atomic_store_explicit(&log->head, start + LOG_FILE_HEADER_BYTES,
			      memory_order_release);
}

void
txlog_commit(struct txlog *log, uint32_t bytes, uint64_t zxid)
{
	uint64_t head;
	uint8_t *record;

	FAL_ASSERT(bytes >= TXN_HEADER_BYTES && bytes <= log->entry_bytes_max);
	FAL_ASSERT(zxid > log->last_zxid);
	if (file_room(log) < bytes || (log->is_roll_wanted && hold_next(log)))
		begin_file(log, bytes);
	head = atomic_load_explicit(&log->head, memory_order_relaxed);
	record = txlog_at(log, head);
	FAL_ASSERT(be_load64(record + HEAD_BYTES + ZXID_OFFSET) == zxid);
	be_store64(record, checksum_adler32(CHECKSUM_ADLER32_INIT,
					    record + HEAD_BYTES, bytes));
	be_store32(record + 8, bytes);
	record[HEAD_BYTES + bytes] = LOG_END_OF_RECORD;
	window_index_note(&log->window, zxid, head);
	log->last_zxid = zxid;
	log->last_pos = head;
	log->has_record = true;
	/* release: the record's bytes; pairs with acquire in records_end() */
	atomic_store_explicit(&log->head, head + LOG_RECORD_OVERHEAD + bytes,
			      memory_order_release);
}

int
txlog_append(struct txlog *log, const void *entry, uint32_t bytes,
	     uint64_t zxid)
{
	uint32_t room = 0;
	uint8_t *place;

	if (bytes > log->entry_bytes_max)
		return FAL_EINVAL;
	place = txlog_reserve(log, &room);
	if (room < bytes)
		return FAL_EAGAIN;
	memcpy(place, entry, bytes);
	txlog_commit(log, bytes, zxid);
	return 0;
}

void
txlog_roll(struct txlog *log)
{
	log->is_roll_wanted = log->has_file;
	if (log->is_roll_wanted)
		want_next(log);
}

uint64_t
txlog_last_zxid(const struct txlog *log)
{
	return log->last_zxid;
}

void
txlog_hold(struct txlog *log, uint64_t pos)
{
	log->hold = pos;
}

bool
txlog_read(const struct txlog *log, uint64_t pos, struct txlog_record *out)
{
	const uint64_t head =
		atomic_load_explicit(&log->head, memory_order_relaxed);
	const uint8_t *at;

	if (pos >= head)
		return false;
	at = txlog_at(log, pos);
	if (pos % BLOCK != 0 && be_load32(at + 8) == 0) {
		pos = bits_align_up(pos, BLOCK);
		at = txlog_at(log, pos);
		/* Padding of less than a record's head took a block more. */
		if (be_load32(at) != LOG_FILE_MAGIC)
			pos += BLOCK;
		at = txlog_at(log, pos);
	}
	if (pos % BLOCK == 0 && be_load32(at) == LOG_FILE_MAGIC) {
		pos += LOG_FILE_HEADER_BYTES;
		at += LOG_FILE_HEADER_BYTES;
	}
	out->bytes = be_load32(at + 8);
	out->entry = at + HEAD_BYTES;
	out->zxid = be_load64(out->entry + ZXID_OFFSET);
	out->pos = pos;
	out->next = pos + LOG_RECORD_OVERHEAD + out->bytes;
	FAL_ASSERT(out->next <= head);
	return true;
}

bool
txlog_last(const struct txlog *log, struct txlog_record *out)
{
	return log->has_record && txlog_read(log, log->last_pos, out);
}

bool
txlog_find_after(const struct txlog *log, uint64_t zxid,
		 struct txlog_record *out)
{
	uint64_t pos = 0;

	if (!log->has_record || zxid >= log->last_zxid)
		return false;
	/* From the very first record on, if it is still there. */
	pos = log->origin_pos;
	if ((zxid < log->origin_zxid || log->clean_from > pos) &&
	    !window_index_find(&log->window, zxid, log->clean_from, &pos))
		return false;
	while (txlog_read(log, pos, out) && out->zxid <= zxid)
		pos = out->next;
	return true;
}

uint64_t
txlog_pending_bytes(const struct txlog *log)
{
	return atomic_load_explicit(&log->head, memory_order_relaxed) -
	       atomic_load_explicit(&log->kept, memory_order_relaxed);
}

uint64_t
txlog_window_bytes(const struct txlog *log)
{
	return log->window.bytes;
}

/* ---- any ------------------------------------------------------------------
 */

uint64_t
txlog_durable_zxid(const struct txlog *log)
{
	/* acquire: pairs with release in write_done() */
	return atomic_load_explicit(&log->durable_zxid, memory_order_acquire);
}

int
txlog_error(const struct txlog *log)
{
	return atomic_load_explicit(&log->error, memory_order_acquire);
}

int
txlog_space_error(const struct txlog *log)
{
	return atomic_load_explicit(&log->space_error, memory_order_relaxed);
}

void
txlog_counters(const struct txlog *log, struct txlog_counters *out)
{
	out->writes = atomic_load_explicit(&log->writes, memory_order_relaxed);
	out->records =
		atomic_load_explicit(&log->records, memory_order_relaxed);
	out->bytes = atomic_load_explicit(&log->bytes, memory_order_relaxed);
	out->files = atomic_load_explicit(&log->files, memory_order_relaxed);
	out->bytes_written =
		atomic_load_explicit(&log->bytes_written, memory_order_relaxed);
}
