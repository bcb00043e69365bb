/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_DOOR_H
#define FALCONER_DATAPLANE_DOOR_H

/*
 * door - strangers at the ports for servers: connections that did not say yet
 * who they are. The election port and the quorum port have one each, so that
 * port scanners never take the place of a server.
 *
 * Whoever speaks at once finds a place, however many just hold theirs: when all
 * are taken the oldest goes.
 *
 * Context    the core of the stream core.
 * Ownership  streams and stats are lent.
 * Limits     DOOR_PLACES strangers.
 * Errors     who is sent away is counted (falconer_peer_refused) and has a line
 *            in the log.
 * Cost       every call looks at all places.
 */

#include "base/stats.h"
#include "dataplane/peer_address.h"
#include "drivers/stream.h"

#define DOOR_PLACES 64u

struct stranger {
	stream_id id; /* STREAM_NONE: free */
	uint32_t tag; /* of the listener */
	uint64_t since_ms;
};

struct door {
	struct stream_core *streams;
	struct stats_core *stats;
	struct stranger place[DOOR_PLACES];
};

void door_init(struct door *, struct stream_core *, struct stats_core *);
/* Closes all. */
void door_shut(struct door *);

void door_enter(struct door *, stream_id, uint32_t tag, uint64_t now_ms);
/* NULL: it is none. */
struct stranger *door_find(struct door *, stream_id);
/* It hung up before it said who it is. */
void door_left(struct door *, struct stranger *);
/* Sends it away, with a line of the log. */
void door_refuse(struct door *, struct stranger *, enum log_event);
/* The same to all that have been there for limit_ms; returns when the next one
 * is due. */
uint64_t door_expire(struct door *, uint64_t now_ms, uint32_t limit_ms,
		     enum log_event);

/* The answer to a server that is asked to authenticate (SASL) and will not;
 * what cannot be told is not worth another try. */
void door_answer_sasl(struct stream_core *, stream_id);

#endif
