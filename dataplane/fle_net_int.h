/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_FLE_NET_INT_H
#define FALCONER_DATAPLANE_FLE_NET_INT_H

/*
 * fle_net_int - what the files of fle_net share.
 *
 * fle_net.c holds servers, messages and timers, fle_net_conn.c connections:
 * who may stay, and what comes in.
 */

#include "dataplane/door.h"
#include "dataplane/fle_net.h"
#include "dataplane/stream_loan.h"
#include "wire/frame.h"

/* A frame of ours. */
#define FLE_MESSAGE_BYTES_MAX \
	(4u + FLE_NOTIFICATION_BYTES_FIXED + FLE_NET_CONFIG_BYTES_MAX)
/* A frame of the register with its length. */
#define FLE_GENESIS_BYTES (FRAME_LENGTH_BYTES + GENESIS_FRAME_BYTES)
/* Of one connection; behind this a newer message replaces the one that waits.
 * Some messages fit, so that an answer right behind another is not late. */
#define FLE_UNSENT_BYTES_MAX 65536u
/* Dials for a server that is in no configuration. */
#define FLE_STRANGER_DIALS 3u
/* After a knock, how long at least the other side may take to dial. */
#define FLE_KNOCK_MS 500u
/* A message that waits for room in a connection is looked at again then. */
#define FLE_ROOM_MS 5u

struct fle_message {
	uint8_t *data;  /* FLE_MESSAGE_BYTES_MAX reserved */
	uint32_t bytes; /* 0: none */
};

struct fle_peer {
	int64_t sid;
	bool is_used;
	bool is_member; /* fle_net_connect() named it */
	bool must_dial; /* it asked to be dialed */
	int8_t told;    /* by the hook link: 1 up, -1 down, 0 nothing yet */
	uint32_t dials; /* that failed since a message came or was asked for */
	stream_id conn; /* the connection of the two of us, or STREAM_NONE */
	stream_id dial; /* one that is being opened */
	uint64_t dial_ms;     /* when it was begun; 0: at the next poll */
	uint64_t retry_at_ms; /* no dial before */
	uint32_t retry_ms;    /* the next pause */
	uint64_t last_use;    /* for who has to go; see fle_net.uses */
	struct fle_message waiting, delivered;
	bool speaks_genesis;    /* on conn */
	uint32_t genesis_waits; /* mask of types */
	uint8_t genesis[GENESIS_TYPES][FLE_GENESIS_BYTES];
	uint32_t address_count, address_next;
	struct stream_address address[PEER_ADDRESSES_MAX];
	uint32_t hello_bytes; /* of the text it introduced itself with */
	uint8_t hello[FLE_HELLO_TEXT_BYTES_MAX];
};

struct fle_net {
	struct fle_net_options options;
	struct fle_net_hooks hooks;
	struct stream_core *streams;
	uint64_t now_ms;  /* of the last event or poll */
	uint64_t wake_ms; /* what the last poll returned */
	uint64_t uses;
	bool is_due; /* something changed since */
	struct stream_loan loan;
	uint8_t *memory; /* all messages */
	uint8_t hello[FLE_HELLO_BYTES_MAX];
	uint32_t hello_bytes;
	struct door door;
	struct fle_peer peer[FLE_NET_PEERS_MAX];
};

/* ---- fle_net.c ---- */

struct fle_peer *fle_peer_find(struct fle_net *, int64_t sid);
struct fle_peer *fle_peer_of_stream(struct fle_net *, stream_id);
/* Finds or makes a place; a stranger (is_own false) gets only one that nobody
 * needs. NULL: there is none. */
struct fle_peer *fle_peer_get(struct fle_net *, int64_t sid, bool is_own);
/* Writes what waits if the connection has room. What it is told of the register
 * goes first. */
void fle_peer_write(struct fle_net *, struct fle_peer *);
/* A connection is there: what waits, or what was delivered last, goes out. */
void fle_peer_up(struct fle_net *, struct fle_peer *, stream_id);
/* Tells the hook if that is news. The last thing done with the peer: the hook
 * may drop it. */
void fle_peer_tell(struct fle_net *, struct fle_peer *, bool is_up);
/* Starts a dial unless one is under way or it is too early. */
void fle_peer_dial(struct fle_net *, struct fle_peer *);
/* The dial came to nothing: the next address, or a pause. */
void fle_peer_dial_failed(struct fle_net *, struct fle_peer *);
/* Doubles the pause before the next dial, which is at_least_ms away; who is in
 * no configuration is given up after FLE_STRANGER_DIALS of them. */
void fle_peer_back_off(struct fle_net *, struct fle_peer *,
		       uint32_t at_least_ms);

#endif
