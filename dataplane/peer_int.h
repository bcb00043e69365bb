/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_PEER_INT_H
#define FALCONER_DATAPLANE_PEER_INT_H

/*
 * peer_int - what the files of peer share.
 *
 * peer.c: slots and their life, dials, timers. peer_in.c: strangers, packets
 * and raw bytes. peer_out.c: programs.
 */

#include "dataplane/door.h"
#include "dataplane/peer.h"
#include "dataplane/stream_loan.h"

enum peer_slot_state {
	PEER_FREE = 0,
	PEER_DIALING, /* ZAB_LEADER_SLOT only */
	PEER_UP,
	PEER_FALLEN, /* on_down comes with the next poll */
};

/* A part of a program: a stream, or bytes that wait behind one. */
struct peer_part {
	struct peer_part *next;
	struct store_stream *stream; /* NULL: bytes */
	uint32_t at, bytes;          /* [at, bytes) are still to be sent */
	uint32_t bytes_max;
	uint8_t data[];
};

struct peer_slot {
	uint8_t state; /* enum peer_slot_state */
	uint8_t why;   /* enum peer_down, of a fallen one */
	bool is_master;
	bool is_raw;
	bool is_paused;   /* by peer_pause() */
	bool is_raw_full; /* on_raw left something; tried again in a moment */
	bool is_cut;      /* falls when its stream has been played */
	uint32_t seen_bytes; /* that were buffered at the last peer_heard() */
	stream_id id;
	struct stream_address address;
	struct peer_part *head, *tail;
	uint64_t part_bytes; /* in the byte parts */
};

struct peer_net {
	struct peer_options options;
	struct peer_hooks hooks;
	struct stream_core *streams;
	uint64_t now_ms; /* of the last event or poll */
	struct stream_loan loan;
	/* The dial: connections being opened, STREAM_NONE where it failed. */
	stream_id dial[PEER_ADDRESSES_MAX];
	struct stream_address dial_address[PEER_ADDRESSES_MAX];
	uint64_t dial_ms; /* when it was begun; 0: at the next poll */
	/* Masks of slots that peer_net_poll() has to look at. */
	uint64_t fallen, playing, raw_full;
	uint64_t raw_full_ms; /* when the last of raw_full began to wait */
	struct door door;
	struct peer_slot slot[ZAB_LEADER_SLOT + 1];
};

#define PEER_SLOTS (ZAB_LEADER_SLOT + 1u)
_Static_assert(PEER_SLOTS <= 64, "slots are bits of a mask");

static inline uint64_t
peer_bit(uint32_t slot)
{
	return 1ull << slot;
}

/* ---- peer.c ---- */

/* The slot of a connection, or PEER_SLOTS. */
uint32_t peer_slot_of(const struct peer_net *, stream_id);
/* Gives the connection a free learner's slot, or PEER_SLOTS. */
uint32_t peer_slot_take(struct peer_net *, const struct stranger *);
/* Frees the slot, its connection is closed, and says so to the hook at once. */
void peer_down_now(struct peer_net *, uint32_t slot, enum peer_down why);
/* Aborts the connection; the hook is told by the next poll. */
void peer_fall(struct peer_net *, uint32_t slot, enum peer_down why);

/* ---- peer_in.c ---- */

void peer_stranger_read(struct peer_net *, struct stranger *);
void peer_slot_read(struct peer_net *, uint32_t slot);

/* ---- peer_out.c ---- */

/* Drops the program and its streams. */
void peer_program_drop(struct peer_net *, uint32_t slot);
/* Plays a while; returns when to go on (0: at once), UINT64_MAX: all is out. */
uint64_t peer_program_play(struct peer_net *, uint32_t slot);

#endif
