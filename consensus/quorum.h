/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CONSENSUS_QUORUM_H
#define FALCONER_CONSENSUS_QUORUM_H

/*
 * quorum - who the members of an ensemble are and which sets of them decide.
 *
 * Two systems behind one question, quorum_has():
 *   majority      more than half of the voters;
 *   hierarchical  more than half of the groups (those without any weight left
 *                 out), each with more than half of its weight.
 * Any two quorums of one system share a voter. All of ZAB rests on that, and
 * nothing else in consensus/ knows how it is achieved.
 *
 * While a reconfiguration is on its way two systems hold at once: the active
 * one and the one that comes next (struct quorum_pair); a decision then needs
 * a quorum of both. A seat says where a server sits in the two, a set of votes
 * is one bit mask for each.
 *
 * Context    core: pure, no pointers inside, any thread.
 * Ownership  plain values of the caller.
 * Limits     QUORUM_MEMBERS_MAX members of both kinds, QUORUM_GROUPS_MAX
 *            groups; quorum_check() refuses more.
 * Errors     FAL_EINVAL from quorum_check() only; everything else expects a
 *            checked quorum.
 * Cost       quorum_has(): one population count for a majority, one pass over
 *            the members for groups.
 * Source     quorum-protocol.md sections 13 and 14.
 */

#include "base/fal.h"

#define QUORUM_MEMBERS_MAX 32u
#define QUORUM_GROUPS_MAX  16u
#define QUORUM_WEIGHT_MAX  1000000u
#define QUORUM_NO_SEAT     0xffu

enum quorum_kind {
	QUORUM_MAJORITY = 0,
	QUORUM_HIERARCHICAL = 1,
};

struct quorum_member {
	int64_t sid;       /* >= 0, each once */
	uint64_t address;  /* stands for the quorum address: equal if and only
			      if the addresses are; made by the caller */
	uint32_t weight;   /* hierarchical: 0..QUORUM_WEIGHT_MAX; else 1 */
	uint32_t group;    /* hierarchical: 0..QUORUM_GROUPS_MAX-1; else 0 */
	uint32_t is_voter; /* 1: participant, 0: observer */
	uint32_t reserved; /* zero */
};

struct quorum {
	int64_t version; /* of the dynamic configuration; 0: the static one */
	uint32_t kind;   /* enum quorum_kind */
	uint32_t member_count;
	uint32_t voters;   /* mask of members; set by quorum_check() */
	uint32_t reserved; /* zero */
	struct quorum_member member[QUORUM_MEMBERS_MAX];
};

struct quorum_pair {
	struct quorum active;
	struct quorum next; /* all zero without has_next */
	uint32_t has_next;  /* a newer configuration is on its way */
	uint32_t reserved;  /* zero */
};

/* Where a server sits: index of its member, or QUORUM_NO_SEAT. Only voters
 * have a seat. */
struct quorum_seat {
	uint8_t active, next;
};

struct quorum_votes {
	uint32_t active, next;
};

/*
 * Checks what an operator or a peer wrote, and sets voters.
 *
 * Returns 0
 *         FAL_EINVAL  no voter, a sid twice or negative, too many members,
 *                     unknown kind, weight or group out of range, no weight at
 *                     all; *quorum is unchanged
 */
FAL_MUST_CHECK int quorum_check(struct quorum *quorum);

/* Index of the member with this sid, or -1. */
int quorum_find(const struct quorum *quorum, int64_t sid);
/* True for a participant of this quorum. */
bool quorum_is_voter(const struct quorum *quorum, int64_t sid);
/* Weight of a voter; 0 for others. Who weighs nothing never leads. */
uint32_t quorum_weight(const struct quorum *quorum, int64_t sid);
/* Does the set of members (mask; observers in it do not count) decide? */
bool quorum_has(const struct quorum *quorum, uint32_t members);
/* Same version, or the same members in the same roles at the same addresses. */
bool quorum_equal(const struct quorum *a, const struct quorum *b);

struct quorum_seat quorum_pair_seat(const struct quorum_pair *pair,
				    int64_t sid);
/* True for a voter of either configuration. */
bool quorum_pair_is_voter(const struct quorum_pair *pair, int64_t sid);
/* Adds the server in that seat; nothing happens without a seat. */
void quorum_votes_add(struct quorum_votes *votes, struct quorum_seat seat);
/* Decides in the active configuration, and in the next one if there is. */
bool quorum_pair_has(const struct quorum_pair *pair, struct quorum_votes votes);
/* The next configuration takes the place of the active one. */
void quorum_pair_activate(struct quorum_pair *pair);

#endif
