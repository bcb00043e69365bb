/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CONSENSUS_ZAB_HISTORY_H
#define FALCONER_CONSENSUS_ZAB_HISTORY_H

/*
 * zab_history - the table of zab_types.h kept up to date, and asked.
 *
 * Context    core: pure; each call works on the table of the caller.
 * Errors     only what a peer can cause: FAL_EPROTO, table unchanged.
 * Cost       append: constant, except that a 65th epoch moves the rows once.
 */

#include "consensus/zab_types.h"

/* A log without records that starts from the state at floor_zxid. */
void zab_history_init(struct zab_history *history, int64_t floor_zxid);

/* Is the table as zab_types.h says? */
bool zab_history_is_sound(const struct zab_history *history);

/* May a transaction `zxid` come after `last`: next counter, or a higher epoch
 * with any counter but 0? (Java's test hooks start epochs anywhere.) */
bool zab_follows(int64_t last, int64_t zxid);

/* Adds a transaction. FAL_EPROTO: it does not follow. */
FAL_MUST_CHECK int zab_history_append(struct zab_history *history,
				      int64_t zxid);

/* Adds first..last, of one epoch. The same. */
FAL_MUST_CHECK int zab_history_append_all(struct zab_history *history,
					  int64_t first, int64_t last);

/* Forgets everything above zxid. zxid is floor_zxid or in the table. */
void zab_history_cut(struct zab_history *history, int64_t zxid);

/* Transactions up to zxid can no longer be read. Lower than the floor is: no
 * change; above last_zxid: the last one. */
void zab_history_raise_floor(struct zab_history *history, int64_t zxid);

/* Is zxid the floor or a transaction of the table? */
bool zab_history_has(const struct zab_history *history, int64_t zxid);

/* The highest zxid of the table (or the floor) whose epoch is at most `epoch`.
 * ZAB_NO_ZXID: all of them are of higher epochs. */
int64_t zab_history_last_of(const struct zab_history *history, int64_t epoch);

/* Are the transactions in (from, to] all in the table, with no epoch that
 * begins in its middle? from: in the table or the floor. */
bool zab_history_covers(const struct zab_history *history, int64_t from,
			int64_t to);

#endif
