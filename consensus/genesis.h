/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CONSENSUS_GENESIS_H
#define FALCONER_CONSENSUS_GENESIS_H

/*
 * genesis - one decision at first boot: which ensemble is this?
 *
 * An empty disk may mean two things: a new ensemble, or a member whose disk was
 * emptied. The second must not vote: it promised and acknowledged things that
 * it no longer knows of, and with a peer that missed them it would form a
 * quorum that never saw them. So an empty server shows zxid -1 in elections
 * (START.is_nonvoting of zab.h) until this register says that the ensemble is
 * new, or a leader has synchronized it.
 *
 * The register is single-decree Paxos among the configured voters. The value is
 * a 128-bit ensemble id, together with a hash of the voter list that all must
 * agree on from the start. Every empty server proposes:
 *
 *   phase 1  PREPARE(ballot) -> PROMISE(ballot, what was accepted before)
 *   phase 2  ACCEPT(ballot, value) -> ACCEPTED(ballot)
 *   learn    FOUNDED(value)
 *
 * An acceptor that belongs to an ensemble, or holds data, answers EXISTS
 * instead, to whoever asks. When a value is chosen (the proposer knows, others
 * hear FOUNDED or EXISTS) those found, and may vote with zxid 0, that are its
 * witnesses: their disks hold it since before it could be in use, so they were
 * not emptied after. Any other server joins: it stays at -1. With its quorum of
 * promises a proposer waits a moment (grace_ms) for those whose link is not
 * known to be down, so that servers that start together found together.
 *
 * Whoever accepts a value becomes its witness if the ballot is fresh: nobody
 * had accepted anything before, as far as its promises tell, or every voter has
 * promised, hence none belongs to an ensemble. A proposal that finds a value
 * and is not fresh goes on only if a quorum are witnesses of it; else it waits
 * for more promises. Without this, a server that accepted and never learned
 * what came of it would help an emptied one to found the ensemble again.
 *
 * A quorum is one of the voters' quorum system, or all of them (is_all): a
 * quorum cannot tell a voter that was emptied from one that was never started,
 * if those who know are down; all of them can.
 *
 * A voter that does not speak this (a ZooKeeper) votes with an empty disk and
 * is never asked; what it says in elections is looked at (FOREIGN). An epoch or
 * a transaction in it, or a leader, means EXISTS; an empty history counts as
 * its consent. What is founded with such consent has no id that others can be
 * judged by: it is loose.
 *
 * An operator may vouch for an empty server (GENESIS_VOUCHED): it votes from
 * the start, and takes part in the register all the same. Or forbid it to found
 * anything (is_passive).
 *
 * Driver
 *   - Before anything else is written to an empty disk, GENESIS_EMPTY or
 *     GENESIS_VOUCHED is on it, in state.began: what a leader then writes
 *     cannot be taken for data of a voter after a crash.
 *   - Actions are done in order. Nothing of PERSIST may be lost by a crash
 *     after GENESIS_EV_DURABLE.
 *   - The first frame of each connection is HELLO, from both sides: who sends
 *     a notification before it is foreign.
 *   - Messages may be lost and repeated, but one that was meant for a former
 *     process of the receiver must not arrive: what waits for a connection is
 *     forgotten when the connection breaks.
 *
 * Context    one thread; pure like zab.h.
 * Ownership  plain struct of the caller; nothing is kept.
 * Limits     QUORUM_MEMBERS_MAX voters, 2^27 attempts.
 * Cost       two round trips and three writes a server when nobody competes.
 * Source     architecture.md 2.5; L. Lamport, Paxos Made Simple, section 2.
 */

#include "consensus/quorum.h"

#define GENESIS_ID_BYTES    16u
#define GENESIS_FRAME_BYTES 40u
#define GENESIS_MAGIC       0x46474e31u /* "FGN1": no state that Java knows */
#define GENESIS_LOOSE       1u          /* feature: the id proves nothing */
#define GENESIS_FRESH       2u /* feature: makes witnesses, or is one */
#define GENESIS_ACTIONS_MAX (3 * QUORUM_MEMBERS_MAX + 8)

enum genesis_type {
	GENESIS_PREPARE = 1,
	GENESIS_PROMISE = 2,
	GENESIS_ACCEPT = 3,
	GENESIS_ACCEPTED = 4,
	GENESIS_REFUSED = 5, /* ballot: the one that was promised */
	GENESIS_FOUNDED = 6,
	GENESIS_EXISTS = 7,
	GENESIS_DIFFERS = 8, /* the voter lists are not the same */
	GENESIS_HELLO = 9,   /* I speak this; id: of my ensemble, or zero */
	GENESIS_TYPES,
};

/*
 * The frame on the election port, big endian:
 *
 *   0  4  GENESIS_MAGIC, where a notification has the sender's state
 *   4  1  type
 *   5  1  zero
 *   6  2  features: GENESIS_LOOSE of FOUNDED, EXISTS; GENESIS_FRESH of
 *         ACCEPT: the ballot is fresh; of PROMISE: a witness of the id
 *   8  4  ballot
 *  12  4  accepted ballot; PROMISE only
 *  16 16  ensemble id; PROMISE, ACCEPT, FOUNDED, EXISTS, HELLO
 *  32  8  hash of the voter list
 */
struct genesis_message {
	uint32_t type; /* enum genesis_type */
	uint32_t ballot;
	uint32_t accepted_ballot;
	uint16_t features;
	uint8_t id[GENESIS_ID_BYTES];
	uint64_t voters_hash;
};

enum genesis_began {
	GENESIS_WITH_DATA = 0, /* before this register was */
	GENESIS_EMPTY = 1,     /* data here proves nothing before is_member */
	GENESIS_VOUCHED = 2,   /* empty, and the operator says it may vote */
};

enum genesis_membership {
	GENESIS_NO_MEMBER = 0,
	GENESIS_MEMBER = 1,       /* founded, or joined and synchronized */
	GENESIS_LOOSE_MEMBER = 2, /* the same; the id proves nothing */
};

/* What the disk holds; all zero on an empty one. */
struct genesis_state {
	uint32_t promised;
	uint32_t accepted_ballot;     /* 0: none */
	uint8_t id[GENESIS_ID_BYTES]; /* accepted, founded or joined */
	uint32_t is_member;           /* enum genesis_membership */
	uint32_t began;               /* enum genesis_began */
	uint32_t is_witness;          /* of id */
};

enum genesis_outcome {
	GENESIS_UNDECIDED = 0,
	GENESIS_FOUNDS,   /* a new ensemble, or a member: may vote */
	GENESIS_JOINS,    /* it exists: stay non-voting until synchronized */
	GENESIS_CONFLICT, /* the voter lists differ: for the operator */
};

struct genesis_options {
	int64_t sid;                 /* own, a voter */
	const struct quorum *voters; /* of START; borrowed for genesis_init() */
	uint64_t voters_hash;        /* of sids, roles, groups and weights; not
					of addresses, which differ with where
					one stands */
	uint8_t id[GENESIS_ID_BYTES]; /* random, not zero: what it proposes */
	bool has_data;                /* there is a history: answer EXISTS */
	bool is_all;                  /* a quorum is everybody */
	bool is_passive;              /* empty, and must not found */
	uint32_t retry_ms;            /* first retry; later ones come slower */
	uint32_t grace_ms;            /* with a quorum, for the others */
};

enum genesis_event_type {
	GENESIS_EV_START,
	GENESIS_EV_TICK,
	GENESIS_EV_MESSAGE, /* sid, message */
	GENESIS_EV_DURABLE, /* the oldest PERSIST is done */
	GENESIS_EV_FOREIGN, /* sid (any), looks, zxid, epoch: a notification of
			       a server that does not speak this */
	GENESIS_EV_LINK,    /* sid, is_up: its election link is known to be so
			     */
};

struct genesis_event {
	uint32_t type; /* enum genesis_event_type */
	bool is_up;
	bool looks; /* for a leader; it has none */
	uint64_t now_ms;
	int64_t sid;
	int64_t zxid, epoch; /* of its vote */
	struct genesis_message message;
};

enum genesis_action_type {
	GENESIS_SEND,    /* sid, message */
	GENESIS_PERSIST, /* state; answered by DURABLE */
	GENESIS_DONE,    /* outcome; sid: who said it exists or differs, or -1
			  */
};

struct genesis_action {
	uint32_t type;    /* enum genesis_action_type */
	uint32_t outcome; /* enum genesis_outcome */
	int64_t sid;
	struct genesis_message message;
	struct genesis_state state;
};

struct genesis_actions {
	uint32_t count;
	struct genesis_action action[GENESIS_ACTIONS_MAX];
};

/* What came while the disk was writing; the newest of each kind. */
struct genesis_waiting {
	bool has_request; /* PREPARE or ACCEPT */
	int64_t request_from;
	struct genesis_message request;
	bool has_exists;
	int64_t exists_from;
	struct genesis_message exists;
};

struct genesis {
	int64_t sid;
	uint64_t voters_hash;
	uint8_t own_id[GENESIS_ID_BYTES];
	struct quorum voters;
	uint32_t own_rank, own_bit; /* in order of sids; mask of members */
	bool has_data, is_all, is_passive, is_started;
	uint32_t writes;  /* under way */
	uint32_t outcome; /* enum genesis_outcome */
	uint32_t retry_ms, grace_ms;
	struct genesis_state state; /* durable, or being written */
	/* What is sent when the write is done, and to whom. */
	bool has_reply;
	int64_t reply_to;
	struct genesis_message reply;
	struct genesis_waiting waiting;
	bool is_founding; /* the write under way makes it a member */
	bool has_told_conflict;
	/* Masks of members. */
	uint32_t foreign, fresh; /* do not speak this; of them: empty */
	uint32_t down;           /* known to be out of reach */
	/* The own proposal. */
	uint32_t ballot; /* 0: none */
	bool is_accepting;
	bool is_grace_over;
	uint32_t answers; /* mask of members */
	uint32_t best_ballot;
	uint32_t witnesses;              /* of value, among who promised */
	uint8_t value[GENESIS_ID_BYTES]; /* proposed, or of what exists */
	bool is_loose;                   /* what exists is */
	uint32_t attempts, highest_seen;
	uint64_t retry_at_ms, grace_at_ms; /* grace 0: no quorum yet */
};

/*
 * Makes a register from what the disk holds; without has_data, state->began
 * says that it was empty.
 *
 * FAL_EINVAL  the server is no voter
 */
FAL_MUST_CHECK int genesis_init(struct genesis *genesis,
				const struct genesis_options *options,
				const struct genesis_state *state);

/* Takes one event and replaces *actions by what it leads to. Keeps answering
 * others after it is done. */
void genesis_step(struct genesis *genesis, const struct genesis_event *event,
		  struct genesis_actions *actions);

/* May this server show its zxid in elections? */
bool genesis_may_vote(const struct genesis *genesis);

/* When the next TICK is due; UINT64_MAX: never. */
uint64_t genesis_wake_ms(const struct genesis *genesis);

/* A leader has synchronized this server (VOTER_AGAIN of zab.h), or it serves
 * for the first time: it is a member from now on. Emits PERSIST unless it was
 * one. */
void genesis_adopt(struct genesis *genesis, struct genesis_actions *actions);

/*
 * The same for an observer, which has no register: a leader has synchronized
 * it, and a reconfiguration may make it a voter while it runs. Without a note
 * it would be one without a vote at its next start, for ever if the others are
 * no quorum.
 *
 * Returns true if *state has changed and is to be written.
 */
bool genesis_adopt_observer(struct genesis_state *state);

/* The first frame of a connection. */
void genesis_hello(const struct genesis *genesis, struct genesis_message *out);
/* Is the sender's ensemble another one than ours, as far as both know theirs?
 * Such servers have nothing to tell each other. */
bool genesis_is_stranger(const struct genesis *genesis,
			 const struct genesis_message *message);

/* Writes a frame. */
void genesis_put(const struct genesis_message *message,
		 uint8_t frame[GENESIS_FRAME_BYTES]);
/* Reads one. FAL_EPROTO: it is none of ours (a notification, or garbage). */
FAL_MUST_CHECK int genesis_get(const void *frame, size_t bytes,
			       struct genesis_message *message);

#endif
