/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_LOG_CUT_H
#define FALCONER_STORE_LOG_CUT_H

/*
 * log_cut - a leader takes back the end of this server's history.
 *
 * Truncation. Snapshots above the new end go first (a snapshot of what was
 * never committed would bring it back: hazard H1), then log files above it,
 * newest first, then the file that holds the last transaction is cut behind
 * it. Whatever step a crash interrupts, what is left is a history without a
 * hole that a leader can judge again.
 *
 * Replacement. A leader's snapshot takes the place of everything. What was on
 * the disk before may not be its ancestor and must never be replayed behind it
 * (H3), so it goes aside: after a note that names the new snapshot, because
 * between the snapshot's rename and the last file that goes aside both are
 * there. retire_complete() finishes at the next start what the note tells. As
 * long as the snapshot's hidden file is there the note means nothing: whoever
 * removes the file removes the note first.
 *
 * Snapshots go aside under names that begin with RETIRE_PREFIX; one generation
 * of them is kept. Log files are removed by a truncation, as Java does.
 *
 * Context    BG or recovery, while the log is closed; blocks.
 * Errors     the disk's; FAL_ENOENT: see below. An error in the middle leaves
 *            what a crash would.
 * Source     disk-format.md 10 and 14 (W6), quorum-protocol.md 20.
 */

#include "drivers/disk.h"

#define RETIRE_PREFIX    "falconer.stale."
#define RETIRE_NOTE_NAME "falconer.install"

/*
 * Ends the history with zxid, durably.
 *
 * FAL_ENOENT  it cannot: no transaction and no snapshot of that zxid, or no
 *             snapshot to start from. Nothing was changed
 */
FAL_MUST_CHECK int log_cut_after(struct disk *, const char *snap_dir,
				 const char *log_dir, uint64_t zxid);

/* What went aside the time before goes: room for a leader's snapshot. */
FAL_MUST_CHECK int retire_make_room(struct disk *, const char *snap_dir,
				    const char *log_dir);
/* Before a leader's snapshot gets its final name. */
FAL_MUST_CHECK int retire_note(struct disk *, const char *snap_dir,
			       uint64_t zxid);
/* The snapshot did not come to be. */
FAL_MUST_CHECK int retire_forget(struct disk *, const char *snap_dir);
/* After: all logs and all other snapshots go aside, then the note. Without a
 * note: nothing. With a note whose snapshot is not there: the note goes.
 * *retired: there was something to do. */
FAL_MUST_CHECK int retire_complete(struct disk *, const char *snap_dir,
				   const char *log_dir, bool *retired);

#endif
