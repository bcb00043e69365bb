/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_BG_H
#define FALCONER_SERVER_BG_H

/*
 * bg - the BG role: an ordinary sleeping thread for everything that blocks:
 * the next log file, snapshots, grace periods of the tree, purge.
 *
 * A snapshot is handed over so: the ZAB core holds the tree at the snapshot's
 * zxid, tells BG, BG comes online as a reader at that zxid and tells back, the
 * ZAB core lets go. From then on BG's own watermark protects what it reads.
 *
 * Context    bg_start(), bg_stop(): main thread. bg_snapshot(), bg_poll_zab(),
 *            bg_has_work_for_zab(): ZAB core.
 */

#include "server/server.h"

struct bg;
struct quota_sums;

FAL_MUST_CHECK int bg_create(struct server *, struct bg **out);
FAL_MUST_CHECK int bg_start(struct bg *);
/* Ends a snapshot that is being written (it is dropped), then the thread. */
void bg_stop(struct bg *);
void bg_destroy(struct bg *);

/* zab_hooks.start_snapshot. */
bool bg_snapshot(void *bg, const struct zab_snapshot *);
bool bg_poll_zab(struct bg *);
bool bg_has_work_for_zab(const struct bg *);
struct lcore *bg_lcore(struct bg *);
/* ---- of a member of an ensemble (server/store_jobs.h) ---- */
/* ZAB: tree, sessions and log are BG's from now on, and back: meanwhile
 * bg_poll_zab() does nothing, and no snapshot is held for BG. */
void bg_lend(void *bg);
void bg_take_back(void *bg);
/* BG: gives up the snapshot file that is being written. */
void bg_drop_snapshot(void *bg);
/* Snapshots written since the start; any thread. */
uint64_t bg_snapshot_count(const struct bg *);

/* How the last snapshot ended; any thread. */
struct bg_snapshot_end {
	uint64_t number; /* of snapshots begun; 0: none has ended yet */
	int err;         /* 0: it is on disk */
	uint64_t zxid;
	int64_t wall_ms;
	uint64_t took_ms;
	uint64_t nodes;
};
void bg_snapshot_last(struct bg *, struct bg_snapshot_end *);
/* Asks for a snapshot that begins after this call; it is the one whose number
 * is returned, or a later one. Rings ctl_lcore when one has ended. Any thread.
 */
uint64_t bg_snapshot_ask(struct bg *);
/* Limits and usage of quotas (znode/quota_sums.h); the control thread. Waits
 * for BG, 100 ms at most, then they are those of the last time. */
void bg_quota_sums(struct bg *, struct quota_sums *out);

#endif
