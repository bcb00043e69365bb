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
 * Context    BG; blocks.
 * Source     disk-format.md section 11.
 */

#include "drivers/disk.h"

#define PURGE_RETAIN_MIN 3u

struct purge_result {
	uint32_t snapshots, logs; /* removed */
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

#endif
