/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_SET_WATCHES_H
#define FALCONER_ZNODE_SET_WATCHES_H

/*
 * set_watches - what a client that reconnected has missed (setWatches 101,
 * setWatches2 105).
 *
 * The client names the last zxid it saw and the watches it had. For each path
 * the state S of this core says whether the watch would have fired meanwhile:
 * then the event is told at once, else the watch is registered.
 *
 *   list            node missing      node exists, changed   not changed
 *   0 data          NodeDeleted       NodeDataChanged        register data
 *   1 exist         register data     NodeCreated            NodeCreated
 *   2 child         NodeDeleted       NodeChildrenChanged    register child
 *   3 persistent    register          register               register
 *   4 recursive     register          register               register
 *
 * A list may hold tens of thousands of paths, so the work is done in portions;
 * S may have moved in between, each path is decided as of its own portion. A
 * null path is passed over.
 *
 * Context    the reader core that owns the table, online, S its state.
 * Ownership  the request's bytes are borrowed until set_watches_step() returns
 *            0 or an error.
 * Errors     FAL_ELIMIT, FAL_ENOMEM from watch_add(): what was registered so
 *            far stays; close the connection.
 * Cost       a lookup and a registration per path: 0.2 to 0.6 us.
 * Source     client-protocol.md 5.5.
 */

#include "znode/tree.h"
#include "znode/watch.h"

/* Tells `conn` that it missed an event; zxid -1, no ACL filter. */
typedef void (*set_watches_deliver_fn)(void *arg, uint32_t conn,
				       enum proto_event type,
				       struct jute_slice path);

struct set_watches_world {
	const struct tree *tree;
	uint64_t S;
	struct watch_table *watches;
	uint32_t conn;
	set_watches_deliver_fn deliver;
	void *arg;
};

struct set_watches {
	const struct proto_set_watches *request;
	uint32_t list;         /* 0..5; 5: done */
	uint32_t left;         /* paths of this list */
	struct jute_reader at; /* in this list */
};

/* Starts at the first path. The request was decoded without error. */
void set_watches_begin(struct set_watches *,
		       const struct proto_set_watches *request);

/* Goes on for up to `budget` paths. Returns 1: more is left; 0: done, send the
 * reply; or an error. */
FAL_MUST_CHECK int set_watches_step(struct set_watches *,
				    const struct set_watches_world *,
				    uint32_t budget);

#endif
