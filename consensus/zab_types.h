/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CONSENSUS_ZAB_TYPES_H
#define FALCONER_CONSENSUS_ZAB_TYPES_H

/*
 * zab_types - zxids, epochs and the history as a table.
 *
 * A zxid is (epoch << 32) + counter. Transactions of an epoch are numbered 1,
 * 2, 3, ... without a hole, because every one of them (failed requests too)
 * takes the next number. A zxid with counter 0 is no transaction but the mark
 * "epoch begins"; snapshots may be named by it.
 *
 * So the whole log is described by one row per epoch and by the floor: the
 * zxid of the state that the log starts from. The table answers every question
 * about synchronization without reading a file.
 *
 * Source  architecture.md 2.2, quorum-protocol.md sections 1 and 15.
 */

#include "base/fal.h"

#define ZAB_ROWS_MAX    64u
#define ZAB_COUNTER_MAX 0xfffffffell /* 0xffffffff is never used */
#define ZAB_EPOCH_MAX   0x7ffffffell /* Java's epochs are ints */
#define ZAB_NO_ZXID     (-1ll)       /* "I must not vote" on the wire */
#define ZAB_NO_SID      (-1ll)

static inline int64_t
zab_zxid(int64_t epoch, int64_t counter)
{
	return epoch * (1ll << 32) + counter;
}

static inline int64_t
zab_epoch(int64_t zxid)
{
	return zxid >> 32;
}

static inline int64_t
zab_counter(int64_t zxid)
{
	return zxid & 0xffffffffll;
}

struct zab_row {
	int64_t first_zxid, last_zxid; /* same epoch, first <= last */
};

/*
 * What is in the log. Rows ascend; all zxids in them are above floor_zxid.
 * last_zxid is the end of the last row, or floor_zxid if there is no row. More
 * than ZAB_ROWS_MAX epochs: the oldest rows are left out and floor_zxid is
 * raised to the end of the newest one left out.
 */
struct zab_history {
	int64_t floor_zxid; /* state before the first record; 0: empty tree */
	int64_t last_zxid;
	uint32_t row_count;
	uint32_t reserved; /* zero */
	struct zab_row row[ZAB_ROWS_MAX];
};

#endif
