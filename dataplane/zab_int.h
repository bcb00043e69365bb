/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_ZAB_INT_H
#define FALCONER_DATAPLANE_ZAB_INT_H

/*
 * zab_int - what the files of the ZAB role share.
 *
 *   zab.c        requests, commit, snapshots, the round
 *   zab_timers.c expiry, orphans, containers and TTL nodes
 *   zab_lists.c  what is listed on request: ephemerals, sessions, digests
 *   zab_snapshot.c when a snapshot is due
 *   zab_local.c  local sessions
 *   zab_propose.c a request becomes a transaction
 *   zab_member.c what is different in an ensemble
 *   zab_lend.c   lending to BG
 *
 * Context    the ZAB core.
 */

#include "dataplane/req.h"
#include "dataplane/zab.h"
#include "drivers/clock.h"

/* Lists of waiting requests by session. */
#define ZAB_MATCH_LISTS 1024u
/* An owner of a session that is a learner: its slot, and which of the learners
 * that used it. Above all reader cores, below SESSION_OWNER_NONE. */
#define ZAB_LEARNER_CORE 0x8000u

/* R1a and R1b of a channel. */
#define ZAB_LANES 2u
/* Any path that came in a transaction, and its length word. */
#define ZAB_PATH_TEXT_BYTES (8u << 20)

struct pending {
	int64_t zxid;
	int64_t session_id;
	int32_t type;
	int32_t timeout_ms;
	uint64_t digest;
	struct session_owner owner;
	struct req *req;      /* members: who waits for it here; or NULL */
	uint64_t appended_ns; /* 0: nobody tells the time */
	uint64_t durable_ns;  /* 0: not durable here yet */
	int64_t time_ms;      /* of the transaction; the leader's wall clock */
};

struct zab {
	struct zab_options options;
	struct zab_parts parts;
	struct zab_hooks hooks;

	int64_t appended;  /* highest zxid given out */
	int64_t logged;    /* the same, without marks of epochs */
	int64_t published; /* P, as the writer knows it */
	uint64_t published_digest;
	struct digest_log digests; /* of what was published */
	/* Positions, not indexes. */
	uint64_t pending_first, pending_durable, pending_end;
	struct pending *pending;
	struct txn_result result;
	/* The request that is being made a transaction. If that takes several
	 * rounds (zab_propose.c) nothing else is made or taken meanwhile. */
	struct prep_request made; /* its ids are not followed any more */
	struct jute_writer made_entry;
	uint8_t *made_at;
	uint64_t made_ns;     /* closeSession: since when */
	struct req *made_req; /* whose it is; NULL: nobody's here */
	bool is_midway;
	bool is_applying; /* midway, in an entry of the leader */
	int64_t next_session_id;

	uint64_t txns_since_snapshot, bytes_since_snapshot;
	uint64_t bytes_since_roll;
	uint64_t snapshot_at_txns, snapshot_at_bytes;
	bool is_pinned;
	uint64_t random_state;

	/* Nobody expires before; 0: no delay is known of. */
	uint64_t expire_hold_ms, local_hold_ms;
	uint32_t expire_events; /* of sessions that ended in this round */
	int64_t orphan_after;   /* owners of ephemerals looked at so far */
	bool has_no_orphans;
	uint64_t reap_check_ms, reap_next_ms;
	uint64_t reap_cursor;
	bool is_reaping;
	uint8_t *path_text;

	/* zab_member.c */
	enum zab_mode mode;
	struct zab_quorum quorum;
	int64_t committed;   /* highest zxid known to be so; may be ahead of
				what is appended */
	struct list waiting; /* reqs that were not answered, oldest first */
	struct list syncs;   /* of them: the syncs */
	struct list match[ZAB_MATCH_LISTS]; /* those sent to the leader */
	struct session_table *locals; /* zab_local.c; NULL: there are none */
	bool is_lent; /* tree, sessions, prep and log are BG's */
	uint32_t park_word;

	uint64_t now_ms;
	uint64_t now_ns;      /* 0: nobody tells it, there is no ledger */
	uint64_t append_ns;   /* what the next transactions were appended at */
	uint32_t append_left; /* how many of them; then the clock is asked */
	int64_t wall_ms;
	bool must_ring[ZAB_READERS_MAX]; /* R3 got something this round */
	bool has_committed;              /* the log got something this round */
	uint64_t large_bytes; /* of large requests that became transactions, of
				 this round's learners or clients so far */
	uint32_t turn;        /* the reader whose requests are first */
	struct req *held[ZAB_READERS_MAX]
			[ZAB_LANES]; /* taken, waits for the log */
};

/* Now, for the ledger; 0: nobody tells the time. */
static inline uint64_t
zab_ledger_ns(const struct zab *zab)
{
	return zab->now_ns == 0 ? 0 : clock_now_ns();
}

/*
 * Room in the delta ring that is looked for before a request or an entry of so
 * many bytes is taken. Its events and its reply are at most six times as much:
 * in a multi, deletes of short paths. closeSession may be more; what is larger
 * in the end is put aside by the ring.
 */
static inline uint64_t
zab_delta_room(uint32_t bytes)
{
	return 65536 + 6ull * bytes;
}

/* A multi of a kilobyte is fifty deletes, some 0.1 ms: 64 requests may be
 * little or a second. Those of this size or more count, and when they are so
 * many bytes the round takes no more. */
#define ZAB_LARGE_BYTES       2048u
#define ZAB_ROUND_LARGE_BYTES 65536u

static inline bool
zab_is_round_full(const struct zab *zab)
{
	return zab->large_bytes >= ZAB_ROUND_LARGE_BYTES;
}

/* ---- zab_member.c ---- */

/* Of a member: the transaction is committed, at now_ns (0: not known). */
void zab_member_note_commit(struct zab *, const struct pending *,
			    uint64_t now_ns);

/* ---- zab.c ---- */

/* Where what is known of the next transaction is noted: all of its fields are
 * the caller's to set, then zab_note_appended(). */
static inline struct pending *
zab_pending_next(struct zab *zab)
{
	return &zab->pending[zab->pending_end % ZAB_PENDING_MAX];
}

/* A transaction is in the window: delta record and `pending`, which is
 * zab_pending_next(). */
void zab_note_appended(struct zab *, struct pending *, int32_t cxid,
		       uint16_t delta_flags);
/* For the ledger: what is appended up to zxid is durable here. */
void zab_note_durable(struct zab *, int64_t zxid);
/* Publishes what is appended up to zxid; true if there was any. */
bool zab_publish_to(struct zab *, int64_t zxid);
/* Sends a req back; behind everything appended so far. */
void zab_answer(struct zab *, struct req *, enum req_verdict, int32_t err);
/* The same, behind that zxid. */
void zab_answer_at(struct zab *, struct req *, enum req_verdict, int32_t err,
		   int64_t zxid);
/* Sends it back at once: its connection is closed. */
void zab_close_req(struct zab *, struct req *);
/* The ways of requests that do not differ. False: has to wait. */
bool zab_handle_write(struct zab *, struct req *);
void zab_handle_resume(struct zab *, struct req *);
void zab_handle_detach(struct zab *, struct req *);
void zab_handle_ephemerals(struct zab *, struct req *);
int64_t zab_new_session_id(struct zab *);
/* Closes the connection that speaks for a session here. */
void zab_close_owner(struct zab *, struct session_owner);
void zab_close_other_owner(struct zab *, const struct session *,
			   struct session_owner asker);
bool zab_is_tree_full(const struct zab *);

/* It cannot be one: the tree or the log is full. */
void zab_refuse_write(struct zab *, struct req *);

/* ---- zab_propose.c ---- */

/* Can one more transaction be taken now, with a body of so many bytes? */
enum log_port_room zab_room_for(struct zab *, int32_t type,
				uint32_t body_bytes);
/* Room was found: makes it a transaction. Returns what prep_request() does;
 * FAL_OK also if it will be one some rounds later. */
FAL_MUST_CHECK int zab_propose(struct zab *, const struct prep_request *);
/* The same for a request of a client here. */
FAL_MUST_CHECK int zab_propose_for(struct zab *, const struct prep_request *,
				   struct req *);
/* The same as an error transaction. */
FAL_MUST_CHECK int zab_propose_error(struct zab *, const struct prep_request *,
				     int32_t code);
/* A round's share of what takes several; true if there was any. */
bool zab_go_on(struct zab *);
/* The role is over, or will be soon: takes back what was done, closes who
 * asked. */
void zab_break_off(struct zab *);

/* ---- zab_timers.c ---- */

/* The session's closing failed: it lives for another timeout. */
void zab_keep_session(struct zab *, struct session *);

/* ---- zab_member.c ---- */

/* A request at a member; false: has to wait. */
bool zab_member_take(struct zab *, struct req *);
void zab_member_init(struct zab *);
/* Is a request of this session with the leader? */
bool zab_member_has_waiting(struct zab *, int64_t session_id);
/* All readers are woken at the end of the round. */
void zab_ring_readers(struct zab *);

/* ---- zab_snapshot.c ---- */

void zab_draw_snapshot_limits(struct zab *);
/* Behind a batch of transactions; true if anything was done. */
bool zab_trigger_snapshot(struct zab *);

/* A table of sessions has had somebody due since due_ms: should his time have
 * come long ago, then this process was stopped, or its machine, and what
 * clients have said meanwhile lies in their sockets. Readers get a tick for
 * that before anybody expires; one, however late the next look is, and another
 * only when all who were due have been looked at (the caller clears hold_ms).
 */
bool zab_may_expire(const struct zab *, uint64_t due_ms, uint64_t *hold_ms);

/* ---- zab_timers.c: true if anything was done ---- */
bool zab_expire_sessions(struct zab *);
bool zab_close_orphans(struct zab *);
bool zab_reap_nodes(struct zab *);

/* ---- zab_local.c ---- */

enum zab_local {
	ZAB_LOCAL_NOT,   /* goes the way of all others */
	ZAB_LOCAL_DONE,  /* is answered */
	ZAB_LOCAL_WAITS, /* later again */
};

/* What of a request concerns local sessions. */
enum zab_local zab_local_take(struct zab *, struct req *);
void zab_local_detach(struct zab *, const struct req *);
/* NULL: not a local one. */
struct session *zab_local_find(const struct zab *, int64_t session_id);
/* A session was published: a local one is so no more. */
void zab_local_upgraded(struct zab *, struct session *);
/* Sessions came with a snapshot or a log: those of local ones the same. */
void zab_local_restored(struct zab *);
/* The role ended: nobody is connected, nothing is on its way. */
void zab_local_restart(struct zab *);
bool zab_local_expire(struct zab *);

/* ---- zab_lists.c ---- */

/* getEphemerals: puts the nodes into the req. Returns how to answer it, *err is
 * the error of the reply. */
enum req_verdict zab_list_ephemerals(struct zab *, struct req *, int32_t *err);
/* When the owner of a session last heard of it; a session_heard_fn whose
 * argument is the struct zab. */
uint64_t zab_session_heard(void *zab, const struct session *);

#endif
