/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CONSENSUS_ZAB_SYNC_H
#define FALCONER_CONSENSUS_ZAB_SYNC_H

/*
 * zab_sync - how a leader brings a learner to its own history.
 *
 * The learner told P, the last zxid of its log. `to` is what the leader hands
 * over as history: its committed zxid, or, before it is established, the end of
 * its log (which the NEWLEADER quorum commits). The first line that fits:
 *
 *   P                                        plan
 *   -1 (must not vote)                       SNAP
 *   == to                                    DIFF, nothing to send
 *   0 (empty server)                         SNAP
 *   in this leader's own epoch, above `to`   TRUNC(to): the tail of proposals
 *                                            follows again; SNAP if `to` is no
 *                                            transaction
 *   a mark e<<32, e <= the leader's          DIFF from the last transaction
 *   currentEpoch before this epoch           before e
 *   another mark                             SNAP
 *   in the table, <= to                      DIFF from P
 *   above the table's last of its epoch      TRUNC to that last, then from it
 *   anything else (epoch unknown, below the  SNAP
 *   floor)
 *
 * A DIFF or TRUNC whose transactions are not all in the table, or cross an
 * epoch that does not begin with 1, becomes a SNAP: never a DIFF with a hole.
 *
 * Why P in the table is enough: who logged a transaction of epoch e has, below
 * it, exactly the history of e's leader, and so has this leader.
 *
 * Context    core: pure.
 * Cost       three walks over at most ZAB_ROWS_MAX rows.
 * Source     architecture.md 2.2, quorum-protocol.md 7.1.
 */

#include "consensus/zab_types.h"

enum zab_sync_kind {
	ZAB_SYNC_DIFF,
	ZAB_SYNC_TRUNC,
	ZAB_SYNC_SNAP,
};

struct zab_sync_plan {
	enum zab_sync_kind kind;
	int64_t zxid; /* of the packet */
	/* History to send: (from, to]; from == to: none. */
	int64_t from, to;
};

/*
 * learner_zxid   P; peer input, any value
 * to             committed, in *history; not above history->last_zxid
 * epoch          of this leader; transactions above `to` may be of it
 * elected_epoch  the leader's currentEpoch before this one
 */
struct zab_sync_plan zab_sync_plan(const struct zab_history *history,
				   int64_t learner_zxid, int64_t to,
				   int64_t epoch, int64_t elected_epoch);

#endif
