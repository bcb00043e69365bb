/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_FLE_NET_H
#define FALCONER_DATAPLANE_FLE_NET_H

/*
 * fle_net - the election port, 3888: one connection for each pair of servers.
 *
 * The larger sid's dial survives: who is dialed by a smaller sid hangs up and
 * dials back. One slot per sid holds the newest notification only; the last one
 * that was delivered is kept for a connection that breaks and comes again,
 * until fle_net_forget(). Servers that are not members may connect, too: the
 * hello carries the address to dial back.
 *
 * Names become addresses elsewhere: where to dial is asked of a hook before
 * each dial, which must not block. A sid without an address is asked for again
 * at each retry. Whom fle_net_connect() named is dialed until it is there; for
 * others a message waits for three dials and is dropped then.
 *
 * A dial to a larger sid is only a knock: the hello goes out, then we hang up
 * and wait to be dialed.
 *
 * Beside notifications go frames of consensus/genesis.h, which ZooKeeper's
 * servers read over. GENESIS_HELLO is the first of each connection from both
 * sides: who did not say it before a notification does not speak that protocol
 * (fle_net_speaks_genesis()). Of each type the newest frame waits for a
 * connection, and is forgotten when a connection breaks.
 *
 * Context    the ZAB core. Hooks may call everything here but destroy, on_event
 *            and poll.
 * Ownership  the stream core is lent for the life; events of the own tags are
 *            handed in by who polls it.
 * Limits     FLE_NET_PEERS_MAX sids at a time; a stranger too many is hung up.
 *            A connection that says no whole hello within hello_ms is closed,
 *            as is one that announces a frame outside of 1..524288 bytes; of
 *            DOOR_PLACES that have not said theirs the oldest goes.
 * Errors     whatever a peer does ends at most its connection: a log line and
 *            a counter (falconer_peer_...). Sids that cannot be (own, negative,
 *            the one of observers before 3.4) are hung up. SASL is refused with
 *            the answer "error".
 * Cost       one frame is encoded and copied for each send; memory for all
 *            messages is reserved at creation.
 * Source     quorum-protocol.md section 3.
 */

#include "base/stats.h"
#include "consensus/genesis.h"
#include "consensus/zab.h"
#include "dataplane/peer_address.h"
#include "drivers/stream.h"
#include "wire/fle_msg.h"

#define FLE_NET_PEERS_MAX 64u
/* Of the own configuration's text; asserted. */
#define FLE_NET_CONFIG_BYTES_MAX 65536u

struct fle_net;

struct fle_net_options {
	int64_t sid;
	/* What the hello says: host:port of our election address as configured,
	 * several joined by '|' with is_v2. Copied. */
	const char *own_addresses;
	bool is_v2;            /* multiAddress.enabled */
	uint32_t connect_ms;   /* zookeeper.cnxTimeout: 5000 */
	uint32_t hello_ms;     /* for a whole hello: syncLimit ticks */
	uint32_t retry_min_ms; /* first pause before a failed dial is repeated;
				  doubles up to retry_max_ms */
	uint32_t retry_max_ms;
	uint32_t listen_tag, connect_tag; /* of stream events */
	bool keepalive;
	struct stats_core *stats; /* of the ZAB core; lent */
};

struct fle_net_hooks {
	void *arg;
	/* A whole notification of a server; config borrowed, may be null. */
	void (*receive)(void *arg, int64_t sid,
			const struct fle_notification *);
	/* What our first frame says; NULL: there is none. */
	void (*hello)(void *arg, struct genesis_message *out);
	/* A frame of the register; NULL with hello. False: the server belongs
	 * to another ensemble, its connection is hung up. */
	bool (*genesis)(void *arg, int64_t sid, const struct genesis_message *);
	/* The connection to a server is up (its hello is checked, or ours is
	 * sent and the connection stays) or is gone or cannot be had. Told when
	 * it changes. */
	void (*link)(void *arg, int64_t sid, bool is_up);
	/* Where sid listens for elections: up to PEER_ADDRESSES_MAX, in the
	 * order to try. 0: not known (yet). */
	uint32_t (*addresses)(void *arg, int64_t sid,
			      struct stream_address out[PEER_ADDRESSES_MAX]);
	/* The same for the text of a hello of a server that is in no
	 * configuration ("host:port|host:port"); may be NULL. */
	uint32_t (*resolve)(void *arg, struct jute_slice text,
			    struct stream_address out[PEER_ADDRESSES_MAX]);
};

FAL_MUST_CHECK int fle_net_create(const struct fle_net_options *,
				  struct stream_core *,
				  const struct fle_net_hooks *,
				  struct fle_net **out);
/* Hangs up everywhere; the stream core is still there. */
void fle_net_destroy(struct fle_net *);

/* What a listener of the election port needs beside address and backlog. */
void fle_net_listener(const struct fle_net *, struct stream_listener *out);

/* Sends to sid, instead of what still waits for it; dials if there is no
 * connection. Nothing is sent to the own sid. config: text of the own active
 * configuration, copied. */
void fle_net_send(struct fle_net *, int64_t sid,
		  const struct zab_notification *, struct jute_slice config);
/* The same for a frame of the register; whoever is no member gets it only if
 * it is connected. */
void fle_net_send_genesis(struct fle_net *, int64_t sid,
			  const struct genesis_message *);
/* Has the server, on its present connection, spoken of the register? */
bool fle_net_speaks_genesis(const struct fle_net *, int64_t sid);
/* The election ended: delivered messages are not repeated any more. */
void fle_net_forget(struct fle_net *);
/* Dials whom a configuration names without waiting for a message to send. */
void fle_net_connect(struct fle_net *, int64_t sid);
/* The server is in no configuration any more: hangs up, forgets it. */
void fle_net_drop(struct fle_net *, int64_t sid);
bool fle_net_is_up(const struct fle_net *, int64_t sid);

/* An event with one of the own tags. */
void fle_net_on_event(struct fle_net *, const struct stream_event *,
		      uint64_t now_ms);
/* Timers, and what waits. Called in each iteration of the loop, after events
 * and sends; returns when it has something to do next (monotonic ms). */
uint64_t fle_net_poll(struct fle_net *, uint64_t now_ms);

#endif
