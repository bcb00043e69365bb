/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that comes next: made and allocated by LOG or BG, zeroed by BG a
 * slice at a time, claimed by ZAB. Whoever moves its state from NONE or READY
 * to FILLING owns it until giving it back.
 *
 * Zeros are written although allocated storage reads as zeros: an append to
 * storage that was written before takes 75 us, to unwritten storage 108. Not
 * where nobody waits for the storage.
 */

#include "store/file_cut.h"
#include "store/txlog_internal.h"

/* A write of the log that comes behind one of these waits for all of it. */
#define FILL_BYTES (128u << 10)

/* Removed, because a part of it would keep the last bytes of the volume from
 * everybody else; what cannot be removed is emptied by the next attempt. */
static void
discard_next(struct txlog *log)
{
	disk_close(log->next_file);
	log->next_file = NULL;
	(void)!disk_unlink(log->disk, log->prealloc_path);
}

/* Opens and allocates it; the caller owns the state (NONE -> FILLING). */
static int
make_next(struct txlog *log)
{
	int err = disk_open(log->disk, log->prealloc_path,
			    DISK_WRITE | DISK_CREATE | DISK_TRUNC | DISK_DIRECT,
			    &log->next_file);

	if (err != 0)
		return err;
	log->next_bytes =
		atomic_load_explicit(&log->file_bytes, memory_order_relaxed);
	err = txlog_is_volatile(log)
		      ? 0
		      : disk_allocate(log->next_file, 0, log->next_bytes);
	if (err == 0) {
		log->next_filled = 0;
		return 0;
	}
	discard_next(log);
	return err;
}

void
txlog_fail(struct txlog *log, int err)
{
	FAL_ASSERT(err < 0);
	/* release: pairs with acquire in txlog_error() */
	atomic_store_explicit(&log->error, err, memory_order_release);
	txlog_notify(log);
}

/* LOG or BG: ends FILLING. Sequentially consistent, as want_next(): either
 * this sees the wish, or the wisher sees the state. */
static void
give_back(struct txlog *log, enum next_state state)
{
	atomic_store(&log->next_state, (uint32_t)state);
	if (atomic_exchange(&log->wants_next, false))
		txlog_notify(log);
}

/* LOG or BG. True if the next file came to be. */
bool
txlog_provide_next(struct txlog *log)
{
	uint32_t none = NEXT_NONE;
	int err;

	if (!atomic_compare_exchange_strong_explicit(
		    &log->next_state, &none, NEXT_FILLING, memory_order_acq_rel,
		    memory_order_relaxed))
		return false;
	err = make_next(log);
	atomic_store_explicit(&log->space_error, err, memory_order_relaxed);
	give_back(log, err == 0 ? NEXT_READY : NEXT_NONE);
	return err == 0;
}

/* BG: zeros one slice; between slices ZAB may claim the file. */
static bool
fill_next(struct txlog *log)
{
	static const _Alignas(DISK_BLOCK_BYTES) uint8_t zeros[FILL_BYTES];
	uint32_t ready = NEXT_READY;
	uint64_t left;
	int err = 0;

	if (!atomic_compare_exchange_strong_explicit(
		    &log->next_state, &ready, NEXT_FILLING,
		    memory_order_acq_rel, memory_order_relaxed))
		return false;
	left = txlog_is_volatile(log) || log->is_mappable
		       ? 0
		       : log->next_bytes - log->next_filled;
	if (left > 0) {
		const size_t bytes =
			left < FILL_BYTES ? (size_t)left : FILL_BYTES;

		err = disk_write(log->next_file, zeros, bytes,
				 log->next_filled);
		log->next_filled += bytes;
		left -= bytes;
		/* The extents became ordinary ones: commit that now, not with
		 * the first record. */
		if (err == 0 && left == 0)
			err = disk_sync(log->next_file);
	}
	if (err != 0) {
		discard_next(log);
		atomic_store_explicit(&log->space_error, err,
				      memory_order_relaxed);
	}
	give_back(log, err == 0 ? NEXT_READY : NEXT_NONE);
	return err == 0 && left > 0;
}

uint32_t
txlog_closed(const struct txlog *log)
{
	/* acquire: pairs with release in close_file() */
	return atomic_load_explicit(&log->closed_head, memory_order_acquire) -
	       atomic_load_explicit(&log->closed_tail, memory_order_relaxed);
}

/* Larger pieces where files are closed faster than they are cut. */
static uint64_t
piece_bytes(uint32_t waiting)
{
	return (uint64_t)FILE_CUT_BYTES << (waiting < 8 ? waiting - 1 : 7);
}

/*
 * In pieces (store/file_cut.h), and none while LOG waits for the directory.
 * Opened anew for each step: the file may be moved aside between two. Whether a
 * step succeeds and when it becomes durable does not matter.
 */
bool
txlog_trim(struct txlog *log)
{
	const uint32_t waiting = txlog_closed(log);
	const uint32_t tail =
		atomic_load_explicit(&log->closed_tail, memory_order_relaxed);
	const struct txlog_closed *closed =
		&log->closed[tail & (CLOSED_MAX - 1)];
	char path[FILE_PATH_MAX];
	struct disk_file *file = NULL;
	bool has_more = false;

	if (waiting == 0 || txlog_error(log) != 0)
		return false;
	if (atomic_load_explicit(&log->next_state, memory_order_relaxed) ==
	    NEXT_CLAIMED)
		return true;
	if (file_path_log(path, log->dir, closed->zxid) == 0 &&
	    disk_open(log->disk, path, DISK_WRITE, &file) == 0) {
		has_more = file_cut_step(file, closed->bytes,
					 piece_bytes(waiting));
		disk_close(file);
	}
	if (!has_more)
		/* release: pairs with acquire in close_file() */
		atomic_store_explicit(&log->closed_tail, tail + 1,
				      memory_order_release);
	return has_more || waiting > 1;
}

bool
txlog_prepare(struct txlog *log)
{
	const uint32_t state =
		atomic_load_explicit(&log->next_state, memory_order_relaxed);

	if (txlog_error(log) != 0)
		return false;
	if (state == NEXT_NONE)
		return txlog_provide_next(log);
	return state == NEXT_READY && fill_next(log);
}
