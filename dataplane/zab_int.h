/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_ZAB_INT_H
#define FALCONER_DATAPLANE_ZAB_INT_H

/*
 * zab_int - what the files of the ZAB role share.
 *
 *   zab.c        requests, commit, snapshots, the round
 *   zab_timers.c expiry, orphans, containers and TTL nodes
 *   zab_lists.c  what is listed on request: ephemerals, sessions, digests
 *
 * Context    the ZAB core.
 */

#include "dataplane/req.h"
#include "dataplane/zab.h"

/* R1a and R1b of a channel. */
#define ZAB_LANES 2u
/* Any path that came in a frame, and its length word. */
#define ZAB_PATH_TEXT_BYTES (8u << 20)

struct pending {
	int64_t zxid;
	int64_t session_id;
	int32_t type;
	int32_t timeout_ms;
	uint64_t digest;
	struct session_owner owner;
};

struct zab {
	struct zab_options options;
	struct zab_parts parts;
	struct zab_hooks hooks;

	int64_t appended;  /* highest zxid given out */
	int64_t published; /* P, as the writer knows it */
	uint64_t published_digest;
	struct digest_log digests;           /* of what was published */
	uint64_t pending_first, pending_end; /* positions, not indexes */
	struct pending *pending;
	struct txn_result result;
	int64_t next_session_id;

	uint64_t txns_since_snapshot, bytes_since_snapshot;
	uint64_t snapshot_at_txns, snapshot_at_bytes;
	bool is_pinned;
	uint64_t random_state;

	int64_t orphan_after; /* owners of ephemerals looked at so far */
	bool has_no_orphans;
	uint64_t reap_check_ms, reap_next_ms;
	uint64_t reap_cursor;
	bool is_reaping;
	uint8_t *path_text;

	uint64_t now_ms;
	int64_t wall_ms;
	bool must_ring[ZAB_READERS_MAX]; /* R3 got something this round */
	bool has_committed;              /* the log got something this round */
	struct req *held[ZAB_READERS_MAX]
			[ZAB_LANES]; /* taken, waits for the log */
};

/* ---- zab.c ---- */

/* Can one more transaction be taken now, with a body of so many bytes? */
enum log_port_room zab_room_for(struct zab *, int32_t type,
				uint32_t body_bytes);
/* Room was found: makes it a transaction. Returns what prep_request() does. */
FAL_MUST_CHECK int zab_propose(struct zab *, const struct prep_request *);

/* ---- zab_timers.c: true if anything was done ---- */
bool zab_expire_sessions(struct zab *);
bool zab_close_orphans(struct zab *);
bool zab_reap_nodes(struct zab *);

/* ---- zab_lists.c ---- */

/* getEphemerals: puts the reply into the req. Returns how to answer it, *err is
 * the error of the reply. */
enum req_verdict zab_list_ephemerals(struct zab *, struct req *, int32_t *err);
/* When the owner of a session last heard of it; a session_heard_fn whose
 * argument is the struct zab. */
uint64_t zab_session_heard(void *zab, const struct session *);

#endif
