/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_LOOP_H
#define FALCONER_DATAPLANE_LOOP_H

/*
 * loop - a poll core: a list of roles, polled in turn, and the idle ladder.
 *
 * One-core mode is a loop with the reader and the ZAB role; spread mode is a
 * loop per reader and one for ZAB. The roles do not know which it is.
 *
 * Context    loop_run() is the body of a core's thread.
 * Source     architecture.md 1.1, dataplane.md section 12.
 */

#include "dataplane/reader.h"
#include "dataplane/zab.h"
#include "drivers/lcore.h"

/* What server/ adds to a loop: words for the control thread, snapshots. */
struct loop_hook {
	/* Once a round; true if anything was done. */
	bool (*poll)(void *arg, uint64_t now_ns);
	bool (*has_work)(void *arg);
	void *arg;
};

struct loop {
	struct lcore *lcore;
	uint32_t core;               /* number, for log lines */
	struct stream_core *streams; /* NULL: no sockets on this core */
	struct reader *reader;       /* or NULL */
	struct zab *zab;             /* or NULL */
	struct loop_hook hook;       /* functions may be NULL */
	struct stats_core *stats;
	enum idle_policy idle_policy;
	const _Atomic bool *must_stop;
};

/* Polls until *must_stop is set and everything under way is answered (bounded
 * by a few seconds). */
void loop_run(struct loop *);

#endif
