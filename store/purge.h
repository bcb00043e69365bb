/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_PURGE_H
#define FALCONER_STORE_PURGE_H

/*
 * purge - removes snapshots and logs that are no longer needed.
 *
 * Of the snapshots that look complete the `retain` newest stay. Every log stays
 * that may hold a transaction above the oldest of those. Without a complete
 * snapshot nothing goes. Files with other names are never touched.
 *
 * A removed file gives its storage back afterwards, in pieces (file_cut.h): to
 * unlink 256 MB at once took 330 ms on a device that is told of it, and a
 * synced write beside that 244 ms. Until then the result holds it open.
 *
 * Context    BG; blocks.
 * Ownership  the result is the caller's, and has nothing left when
 *            purge_shrink() says so or after purge_close().
 * Source     disk-format.md section 11.
 */

#include "drivers/disk.h"

#define PURGE_RETAIN_MIN 3u

/* Of more files in one run the rest is freed at once. */
#define PURGE_GONE_MAX 64u

struct purge_result {
	uint32_t snapshots, logs; /* removed */
	uint32_t gone_count;
	struct disk_file *gone[PURGE_GONE_MAX]; /* removed, still open */
};

/*
 * retain     autopurge.snapRetainCount; below PURGE_RETAIN_MIN counts as that
 * floor      records above this zxid stay in any case (a peer reads them);
 *            UINT64_MAX: no such wish
 *
 * Returns 0, FAL_ENOMEM, or the disk's error (what was removed stays so).
 */
FAL_MUST_CHECK int purge_run(struct disk *, const char *snap_dir,
			     const char *log_dir, uint32_t retain,
			     uint64_t floor, struct purge_result *);
/* Frees one piece of what was removed; true: there is more. Let some time pass,
 * the log shares the device. */
bool purge_shrink(struct purge_result *);
/* Frees the rest at once. */
void purge_close(struct purge_result *);

#endif
