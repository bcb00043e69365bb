/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_QUOTA_REPORT_H
#define FALCONER_SERVER_QUOTA_REPORT_H

/*
 * quota_report - limits and usage of quotas for the control thread's metrics.
 *
 * They are nodes of the tree, which the control thread does not read: BG adds
 * them up when it is asked, since it is BG who loads another tree into this
 * one, and so never walks a tree half loaded.
 *
 * Context    quota_report_ask(): any thread that may wait, one at a time. The
 *            rest: BG.
 * Ownership  a plain object within bg; its sums are malloc'ed.
 * Limits     the asker waits 100 ms at most: while BG is busy it gets the sums
 *            of the last time.
 */

#include <pthread.h>

#include "znode/quota_sums.h"

struct quota_report {
	pthread_mutex_t lock;
	pthread_cond_t is_done;
	uint64_t asked, done;       /* under the lock */
	struct quota_sums *sums;    /* of `done`, under the lock */
	struct quota_sums *next;    /* BG's */
	struct tree_reader *reader; /* BG's, offline between runs */
};

FAL_MUST_CHECK int quota_report_init(struct quota_report *);
void quota_report_free(struct quota_report *);

bool quota_report_is_asked(struct quota_report *);
/* Answers who waits, of the newest published state. */
void quota_report_run(struct quota_report *, const struct tree *,
		      const _Atomic uint64_t *published);

/* wake: makes BG look. The sums are copied into `out`; all zero if there never
 * were any. */
void quota_report_ask(struct quota_report *, void (*wake)(void *arg), void *arg,
		      struct quota_sums *out);

#endif
