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
 * instead. A server founds (may vote with zxid 0) if it proposed and a quorum
 * accepted, or if it had itself accepted, durably, the value that FOUNDED or
 * EXISTS names: its disk was then not emptied since. Any other server that
 * hears EXISTS or FOUNDED joins: it stays at -1.
 *
 * A quorum is a majority of the voters, or all of them (is_all): a majority
 * cannot tell a voter that was emptied from one that was never started, if
 * those who know are down; all of them can.
 *
 * Driver
 *   - Actions are done in order. Nothing of PERSIST may be lost by a crash
 *     after GENESIS_EV_DURABLE. When genesis_is_noted() is true the core may
 *     be started, non-voting: what a leader then writes to the disk cannot be
 *     taken for data of a voter after a crash.
 *   - Messages may be lost and repeated, but one that was meant for a former
 *     process of the receiver must not arrive: what waits for a connection is
 *     forgotten when the connection breaks.
 *   - A voter that turns out to be a ZooKeeper cannot answer; GENESIS_FOREIGN
 *     is then the outcome, and the caller does what ZooKeeper does.
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
};

/*
 * The frame on the election port, big endian:
 *
 *   0  4  GENESIS_MAGIC, where a notification has the sender's state
 *   4  1  type
 *   5  1  zero
 *   6  2  features, zero
 *   8  4  ballot
 *  12  4  accepted ballot; PROMISE only
 *  16 16  ensemble id; PROMISE, ACCEPT, FOUNDED, EXISTS
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

/* What the disk holds; all zero on an empty one. */
struct genesis_state {
	uint32_t promised;
	uint32_t accepted_ballot;     /* 0: none */
	uint8_t id[GENESIS_ID_BYTES]; /* accepted or founded */
	uint32_t is_member;           /* founded, or joined and synchronized */
	uint32_t is_joining; /* began empty: data here proves nothing before
				is_member */
};

enum genesis_outcome {
	GENESIS_UNDECIDED = 0,
	GENESIS_FOUNDS, /* a new ensemble: vote with zxid 0 */
	GENESIS_JOINS,  /* it exists: stay non-voting until synchronized */
	GENESIS_FOREIGN,
	GENESIS_CONFLICT, /* the voter lists differ: for the operator */
};

struct genesis_options {
	int64_t sid;                 /* own, a voter */
	const struct quorum *voters; /* of START; borrowed for genesis_init() */
	uint64_t voters_hash;        /* of sids, roles and addresses */
	uint8_t id[GENESIS_ID_BYTES]; /* random: what it would propose */
	bool has_data;     /* there is a tree: answer EXISTS, propose nothing */
	bool is_all;       /* a quorum is everybody */
	uint32_t retry_ms; /* first retry; later ones come slower */
};

enum genesis_event_type {
	GENESIS_EV_START,
	GENESIS_EV_TICK,
	GENESIS_EV_MESSAGE, /* sid, message */
	GENESIS_EV_DURABLE, /* the last PERSIST is done */
	GENESIS_EV_FOREIGN, /* sid: a voter does not know this protocol */
};

struct genesis_event {
	uint32_t type; /* enum genesis_event_type */
	uint64_t now_ms;
	int64_t sid;
	struct genesis_message message;
};

enum genesis_action_type {
	GENESIS_SEND,    /* sid, message */
	GENESIS_PERSIST, /* state; answered by DURABLE */
	GENESIS_DONE,    /* outcome; id is in genesis.state */
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

struct genesis {
	int64_t sid;
	uint64_t voters_hash;
	uint8_t own_id[GENESIS_ID_BYTES];
	uint32_t voter_count, own_index;
	int64_t voter[QUORUM_MEMBERS_MAX]; /* ascending */
	uint32_t quorum;                   /* how many must agree */
	bool has_data, is_started;
	uint32_t writes;  /* under way */
	uint32_t outcome; /* enum genesis_outcome */
	uint32_t retry_ms;
	struct genesis_state state; /* durable, or being written */
	/* What is sent when the write is done, and to whom. */
	bool has_reply;
	int64_t reply_to;
	struct genesis_message reply;
	uint32_t next_outcome; /* when the write is done */
	bool has_told_conflict;
	/* The own proposal. */
	uint32_t ballot; /* 0: none */
	bool is_accepting;
	uint32_t answers; /* mask of voters */
	uint32_t best_ballot;
	uint8_t value[GENESIS_ID_BYTES];
	uint32_t attempts, highest_seen;
	uint64_t retry_at_ms;
};

/*
 * Makes a register from what the disk holds.
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

/* Is it on the disk that this server began empty, or is it a member? */
bool genesis_is_noted(const struct genesis *genesis);

/* When the next TICK is due; UINT64_MAX: never. */
uint64_t genesis_wake_ms(const struct genesis *genesis);

/* A leader has synchronized this server (VOTER_AGAIN of zab.h), or, after
 * GENESIS_FOREIGN, it serves for the first time: it is a member from now on.
 * id: the ensemble's as the leader told it; zero if it did not. Emits
 * PERSIST. */
void genesis_adopt(struct genesis *genesis, const uint8_t id[GENESIS_ID_BYTES],
		   struct genesis_actions *actions);

/* Writes a frame. */
void genesis_put(const struct genesis_message *message,
		 uint8_t frame[GENESIS_FRAME_BYTES]);
/* Reads one. FAL_EPROTO: it is none of ours (a notification, or garbage). */
FAL_MUST_CHECK int genesis_get(const void *frame, size_t bytes,
			       struct genesis_message *message);

#endif
