/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log that need not be durable, written without a system call.
 *
 * With forceSync=no a record has to survive the process, not the machine: that
 * it does once it is in the page cache. The current file is mapped, and ZAB
 * stores its records there itself, so that nobody is woken for a write and
 * nobody waited for. What may block stays LOG's: files are made, named and
 * closed, and pages got ready ahead of the records.
 *
 *   writer  who writes the current file, and owns what says how far it is
 *           (done, walk, kept, durable):
 *           LOG -> ZAB by LOG (the file has its name, nothing is left to write)
 *           ZAB -> LOG by ZAB (the file ends, or pages are not ready)
 *   ready   bytes of the file whose pages are ready; moved by LOG
 *
 * A page that the kernel writes back in the meantime is protected until the
 * next store, which then costs a fault; a record meets a page that is new.
 */

#include "store/txlog_internal.h"

#include <string.h>

#include "base/bits.h"

/* Got ready at a time; asked for when less than half of it is left. */
#define READY_BYTES (1u << 20)

static uint32_t
writer_of(const struct txlog *log)
{
	/* acquire: what the other did before it handed over */
	return atomic_load_explicit(&log->writer, memory_order_acquire);
}

bool
txlog_is_zabs(const struct txlog *log)
{
	return log->is_mappable && writer_of(log) == WRITER_ZAB;
}

/* ---- LOG ----------------------------------------------------------------- */

/* Pages for what comes behind position `pos`. False: they cannot be had. */
static bool
get_ready(struct txlog *log, uint64_t pos)
{
	uint64_t ready =
		atomic_load_explicit(&log->ready, memory_order_relaxed);
	uint64_t end;

	if (ready < bits_align_down(pos - log->out_start, BLOCK))
		ready = bits_align_down(pos - log->out_start, BLOCK);
	end = ready + READY_BYTES;
	if (end > log->out_bytes)
		end = log->out_bytes;
	if (ready < end &&
	    disk_ready(log->file, log->map + ready, end - ready) != 0) {
		log->is_map_spent = true;
		return false;
	}
	/* release: pairs with acquire in store_records() */
	atomic_store_explicit(&log->ready, end, memory_order_release);
	return true;
}

void
txlog_map(struct txlog *log)
{
	if (!log->is_mappable ||
	    disk_map(log->file, log->out_bytes, &log->map) != 0)
		return;
	log->is_map_spent = false;
	atomic_store_explicit(&log->ready, 0, memory_order_relaxed);
}

void
txlog_unmap(struct txlog *log)
{
	atomic_store_explicit(&log->writer, WRITER_LOG, memory_order_relaxed);
	atomic_store_explicit(&log->wants_pages, false, memory_order_relaxed);
	if (log->map == NULL)
		return;
	disk_unmap(log->file, log->map, log->out_bytes);
	log->map = NULL;
}

bool
txlog_hand_over(struct txlog *log, uint64_t end)
{
	FAL_ASSERT(end == log->done);
	if (log->map == NULL || log->is_map_spent || log->is_unnamed ||
	    log->walk != log->done || !get_ready(log, log->done))
		return false;
	/* release: pairs with acquire in writer_of() */
	atomic_store_explicit(&log->writer, WRITER_ZAB, memory_order_release);
	/* Either ZAB sees the word, or this what it has committed since. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&log->head, memory_order_relaxed) != end)
		txlog_notify(log);
	return true;
}

bool
txlog_get_ready(struct txlog *log)
{
	if (!atomic_load_explicit(&log->wants_pages, memory_order_relaxed))
		return false;
	atomic_store_explicit(&log->wants_pages, false, memory_order_relaxed);
	return !log->is_map_spent && get_ready(log, log->out_start);
}

/* ---- ZAB ----------------------------------------------------------------- */

/* [done, head) into the map. False: LOG has to write, because pages are not
 * ready, or because it handed over a file when the next one had just begun. */
static bool
store_records(struct txlog *log)
{
	const uint64_t head =
		atomic_load_explicit(&log->head, memory_order_relaxed);
	/* acquire: pairs with release in get_ready() */
	const uint64_t ready =
		atomic_load_explicit(&log->ready, memory_order_acquire);
	const uint64_t end = head - log->out_start;

	if (log->out_start != log->file_start || end > ready)
		return false;
	memcpy(log->map + (log->done - log->out_start),
	       txlog_at(log, log->done), (size_t)(head - log->done));
	txlog_written(log, head);
	if (ready < log->out_bytes && ready - end < READY_BYTES / 2)
		atomic_store_explicit(&log->wants_pages, true,
				      memory_order_relaxed);
	return true;
}

static void
hand_back(struct txlog *log)
{
	/* release: pairs with acquire in writer_of() */
	atomic_store_explicit(&log->writer, WRITER_LOG, memory_order_release);
}

void
txlog_give_back(struct txlog *log)
{
	if (!txlog_is_zabs(log))
		return;
	/* What it does not store, LOG writes. */
	(void)!store_records(log);
	hand_back(log);
}

bool
txlog_settle(struct txlog *log)
{
	if (!log->is_mappable)
		return false;
	if (txlog_durable_zxid(log) != log->last_zxid) {
		/* Pairs with the fence in txlog_hand_over(). */
		atomic_thread_fence(memory_order_seq_cst);
		if (writer_of(log) != WRITER_ZAB)
			return false;
		if (!store_records(log)) {
			hand_back(log);
			return false;
		}
	}
	return !atomic_load_explicit(&log->wants_pages, memory_order_relaxed) &&
	       !atomic_load_explicit(&log->wants_next, memory_order_relaxed);
}
