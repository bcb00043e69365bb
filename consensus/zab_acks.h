/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CONSENSUS_ZAB_ACKS_H
#define FALCONER_CONSENSUS_ZAB_ACKS_H

/*
 * zab_acks - which voter has persisted what, and what is committed by that.
 *
 * Why one number per voter is enough: a follower logs proposals in zxid order
 * and acknowledges them in that order on one FIFO connection, so "voter v
 * acknowledged z" means that v holds every proposal of this epoch up to z.
 * The commit point is then the highest mark that a quorum has reached. The
 * leader's own disk is one voter like the others.
 *
 * While a reconfiguration proposed at next_zxid is on its way, everything from
 * there on needs a quorum of the next configuration as well.
 *
 * Context    core: called from zab_step() only.
 * Ownership  the caller owns the struct; the pair is borrowed for the call.
 * Cost       zab_acks_note(): voters^2 compares for each configuration.
 */

#include "consensus/quorum.h"
#include "consensus/zab_types.h"

struct zab_acks {
	int64_t proposed_zxid;  /* highest handed to the log */
	int64_t committed_zxid; /* <= proposed_zxid, only grows */
	int64_t next_zxid; /* the reconfiguration; <= committed: all above */
	/* By index of the member in each configuration; 0: none. */
	int64_t active[QUORUM_MEMBERS_MAX];
	int64_t next[QUORUM_MEMBERS_MAX];
};

/* Starts a reign at base_zxid, which is committed: a quorum holds it. */
void zab_acks_init(struct zab_acks *acks, int64_t base_zxid);

/* Records that the proposals up to zxid go to the log. Zxids come in order. */
void zab_acks_propose(struct zab_acks *acks, int64_t zxid);

/* pair->next has just become part of the pair by the proposal `zxid`, or, with
 * an interrupted reconfiguration, by nothing newer than the base. */
void zab_acks_begin_next(struct zab_acks *acks, int64_t zxid);
/* pair->next is pair->active now. */
void zab_acks_activate(struct zab_acks *acks);

/*
 * Records an acknowledgement and tells whether the commit point moved.
 *
 * zxid  as found in the ACK packet: peer input, checked here
 *
 * Returns 1           committed_zxid has grown; announce up to it
 *         0           no news (duplicate, no seat, or no quorum yet)
 *         FAL_EPROTO  never proposed in this reign: drop the connection;
 *                     *acks is unchanged
 */
FAL_MUST_CHECK int zab_acks_note(struct zab_acks *acks,
				 const struct quorum_pair *pair,
				 struct quorum_seat seat, int64_t zxid);

/* The pair has changed: counts again. Returns 1 if committed_zxid has grown,
 * else 0. */
int zab_acks_recount(struct zab_acks *acks, const struct quorum_pair *pair);

/* The voter's log may be shorter from now on (it reconnects and may be
 * truncated): nothing that is not committed yet counts for it. */
void zab_acks_forget(struct zab_acks *acks, struct quorum_seat seat);

/* How far the voter in that seat came; 0: no seat or nothing. */
int64_t zab_acks_of(const struct zab_acks *acks, struct quorum_seat seat);

#endif
