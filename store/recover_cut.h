/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_RECOVER_CUT_H
#define FALCONER_STORE_RECOVER_CUT_H

/*
 * recover_cut - takes the end of a history off the disk.
 *
 * What was never acknowledged is truncated. What may have been is kept aside
 * first: a copy of the file that is cut, and everything above the last good
 * transaction under a name that begins with RECOVER_CUT_PREFIX. Files go aside
 * newest first, so a crash in between leaves a history without a hole; running
 * it again completes it.
 *
 * Context    recovery; blocks.
 */

#include "drivers/disk.h"
#include "store/file_name.h"

struct recover_cut {
	char path[FILE_PATH_MAX]; /* log to cut; "": none */
	uint64_t offset;          /* its new length; below a header: removed */
	bool keeps_copy;
	uint64_t last_zxid; /* with keeps_copy: what is above goes aside */
};

/* Returns 0 and how many bytes the file lost, or the disk's error. */
FAL_MUST_CHECK int recover_cut(struct disk *, const char *snap_dir,
			       const char *log_dir, const struct recover_cut *,
			       uint64_t *bytes);

#endif
