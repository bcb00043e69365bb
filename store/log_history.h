/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_LOG_HISTORY_H
#define FALCONER_STORE_LOG_HISTORY_H

/*
 * log_history - the table of zab_types.h from what the log files really hold.
 *
 * Files older than the snapshot that was loaded count, too, so that a leader
 * that was started again can still give a DIFF. The newest files are read, as
 * many as a budget of bytes allows, and the table begins where the sequence of
 * zxids is without a hole up to the end:
 *
 *   - within an epoch each zxid follows the one before; an epoch begins with
 *     counter 1, whatever was before (a server that joined later by a snapshot
 *     has an epoch that begins in its middle: what is before it is no ancestor
 *     that can be proved)
 *   - a snapshot named by the mark of an epoch (counter 0) was sent by a
 *     leader: log records before it may be of a history that was given up
 *
 * Context    recovery, or BG; blocks.
 * Limits     bytes_max of files are read, the newest file always.
 * Errors     the disk's, FAL_ENOMEM. Damaged files are no error: the table
 *            begins behind them.
 * Source     architecture.md 2.2, disk-format.md 5 and 8, quorum-protocol.md
 *            7.1 and 20 (H3).
 */

#include "consensus/zab_types.h"
#include "drivers/disk.h"

#define LOG_HISTORY_BYTES_DEFAULT (256ull << 20)

struct log_history_options {
	const char *snap_dir; /* dataDir/version-2 */
	const char *log_dir;  /* dataLogDir/version-2 */
	int64_t last_zxid;    /* of recovery: where the table ends */
	uint64_t bytes_max;   /* of files to read; 0: 256 MiB */
};

FAL_MUST_CHECK int log_history_read(struct disk *,
				    const struct log_history_options *,
				    struct zab_history *out);

/*
 * From where on the log is worth sending. A learner that needs more than
 * `factor` times the newest snapshot in log bytes gets the snapshot, unless it
 * misses at most `count` transactions.
 *
 * factor     snapshotSizeFactor; negative: no log file is ever read for a
 *            learner, only the last `count`
 * count      commitLogCount
 * open_bytes bytes used of the newest file; UINT64_MAX: it is as long as it
 *            looks
 *
 * *floor_zxid: transactions up to it are not sent; 0: all that there are.
 */
struct log_worth {
	const char *snap_dir, *log_dir;
	int64_t last_zxid;
	double factor;
	uint32_t count;
	uint64_t open_bytes;
};

FAL_MUST_CHECK int log_history_worth(struct disk *, const struct log_worth *,
				     int64_t *floor_zxid);

#endif
