/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_PEER_H
#define FALCONER_DATAPLANE_PEER_H

/*
 * peer - the quorum port, 2888: learners that came to us, and the one leader
 * that we dialed.
 *
 * A follower may serve observers on a port of its own, whose connections are
 * learners, too (peer_is_master()).
 *
 * Connections are the slots of consensus/zab.h: 0..ZAB_CONNS_MAX-1 for
 * learners, ZAB_LEADER_SLOT for the leader. This layer knows packets and their
 * order, not what they mean.
 *
 * Out: a connection is a program of parts that are played in order: packets
 * (bytes) and streams (struct store_stream: a history or a snapshot, made by BG
 * while it is sent). Packets behind a stream wait in memory, up to
 * queue_bytes_max; a connection that exceeds it is closed, the peer comes back
 * and is synchronized again. If a stream is being played then, what waits is
 * dropped, and the connection is closed in order behind the stream: with that
 * the peer needs less the next time, without it it would begin anew.
 *
 * In: whole packets are handed to a hook, one after the other; the hook may
 * pause the slot, or turn it to raw bytes for a snapshot. More of the same
 * burst is given when it returns.
 *
 * Who connects is a stranger until its first packet is there, and takes a slot
 * only if that is FOLLOWERINFO or OBSERVERINFO: on_up, and the packet follows.
 * Port scanners never reach the core.
 *
 * Context    the ZAB core. Hooks may call everything here but destroy, on_event
 *            and poll.
 * Ownership  the stream core is lent. A store_stream is given.
 * Limits     ZAB_CONNS_MAX learners; a connection too many is refused, as is
 *            one without a first packet for first_ms. Of DOOR_PLACES the
 *            oldest goes. Data of a packet up to packet_bytes_max, of a first
 *            one up to PEER_FIRST_BYTES_MAX.
 * Errors     a peer's bad bytes: the on_down hook with PEER_PROTOCOL. Before
 *            the first packet: hung up, a log line, a counter
 *            (falconer_peer_...). SASL is refused with the answer "error".
 * Cost       a packet to n slots is encoded once and copied n times. Allocates
 *            for packets that wait behind a stream only.
 * Source     quorum-protocol.md section 5, architecture.md 2.2 (TX program).
 */

#include "base/stats.h"
#include "consensus/zab.h"
#include "dataplane/peer_address.h"
#include "dataplane/store_port.h"
#include "drivers/stream.h"
#include "wire/quorum_packet.h"

#define PEER_FIRST_BYTES_MAX 4096u

struct peer_net;

enum peer_down {
	PEER_BROKEN,   /* by the network or the other side */
	PEER_PROTOCOL, /* bytes that are no packet */
	PEER_SLOW,     /* its queue grew above queue_bytes_max */
	PEER_REFUSED,  /* our dial failed */
	PEER_SOURCE,   /* its stream failed: the file could not be read */
};

struct peer_options {
	uint32_t listen_tag, connect_tag; /* of stream events */
	uint32_t master_tag; /* of the port for observers; 0: there is none */
	uint32_t packet_bytes_max;
	uint64_t queue_bytes_max; /* 0: 64 MiB */
	uint32_t connect_ms;      /* a dial takes no longer */
	uint32_t first_ms;        /* a learner says something within this */
	bool keepalive;
	struct stats_core *stats; /* of the ZAB core; lent */
};

struct peer_hooks {
	void *arg;
	/* A learner connected (its slot was free) and its first packet comes
	 * next, or our dial succeeded. */
	void (*on_up)(void *arg, uint32_t slot);
	/* Not called after peer_close(). */
	void (*on_down)(void *arg, uint32_t slot, enum peer_down why);
	/* A whole packet, borrowed. `raw`: its bytes as they came. */
	void (*on_packet)(void *arg, uint32_t slot,
			  const struct quorum_packet *, struct jute_slice raw);
	/* Of a slot that is raw: returns how many bytes were taken, up to
	 * `bytes`; less: the rest is given again later. */
	uint32_t (*on_raw)(void *arg, uint32_t slot, const uint8_t *data,
			   uint32_t bytes);
};

FAL_MUST_CHECK int peer_net_create(const struct peer_options *,
				   struct stream_core *,
				   const struct peer_hooks *,
				   struct peer_net **out);
/* Hangs up everywhere, ends the streams; the stream core is still there. */
void peer_net_destroy(struct peer_net *);

/* What a listener of the quorum port needs beside address and backlog. */
void peer_net_listener(const struct peer_net *, struct stream_listener *out);
/* The same of the port for observers. */
void peer_net_master_listener(const struct peer_net *,
			      struct stream_listener *out);

/* Dials a leader: ZAB_LEADER_SLOT, which must be free. All addresses at once,
 * the first that answers is kept. on_up or on_down follows, never before this
 * returns. */
void peer_dial(struct peer_net *, const struct stream_address *,
	       uint32_t count);
/* What was queued still goes out as far as the peer takes it, but not what
 * waits for or behind a stream; the slot is free at once, no hook is called.
 * Ends a dial, too. Harmless for a free slot. */
void peer_close(struct peer_net *, uint32_t slot);
bool peer_is_up(const struct peer_net *, uint32_t slot);
/* Did this learner come to the port for observers? */
bool peer_is_master(const struct peer_net *, uint32_t slot);
/* Where the other side is; NULL: the slot is free. */
const struct stream_address *peer_address(const struct peer_net *,
					  uint32_t slot);

/* Appends bytes (whole packets) to the programs of all slots in the mask. A
 * slot that is free, or falls for it (on_down comes with the next
 * peer_net_poll()), is passed over. */
void peer_send(struct peer_net *, uint64_t slots, const void *packets,
	       uint32_t bytes);
/* Appends a stream to the program of one slot. */
void peer_send_stream(struct peer_net *, uint32_t slot, struct store_stream *);
/* Bytes that wait in memory, for the leader's flow control and metrics. */
uint64_t peer_queued_bytes(const struct peer_net *, uint32_t slot);

/* Who lives, as far as one can tell: masks of the slots that brought bytes
 * since this was asked last, though no packet may be whole, and of those that
 * are not read now. */
uint64_t peer_heard(struct peer_net *, uint64_t *unread);

/* Stops and resumes reading. */
void peer_pause(struct peer_net *, uint32_t slot);
void peer_resume(struct peer_net *, uint32_t slot);
/* What follows the packet being handled is raw, until told otherwise (which may
 * be inside of on_raw: the rest of the burst is packets again). */
void peer_set_raw(struct peer_net *, uint32_t slot, bool is_raw);

/* An event with one of the own tags. */
void peer_on_event(struct peer_net *, const struct stream_event *,
		   uint64_t now_ms);
/* Plays streams, timers, on_down of what fell. Called in each iteration of the
 * loop, after events and sends; returns when it has something to do next
 * (monotonic ms; 0: at once, a stream can go on). */
uint64_t peer_net_poll(struct peer_net *, uint64_t now_ms);

#endif
