/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_SESSION_H
#define FALCONER_ZNODE_SESSION_H

/*
 * session - the global sessions and when they expire.
 *
 * A touch is one store by the reader core to a line of its own; nothing
 * travels per ping. Expiry is lazy: when a bucket of the wheel is due the
 * writer asks (through a callback) when each member was last heard and either
 * moves it on or reports it as expired. Deadlines are rounded as ZooKeeper
 * does: (floor((heard + timeout) / tick) + 1) * tick.
 *
 * Context    writer core.
 * Ownership  the table owns its sessions; a pointer is good until the session
 *            is removed. owner, is_closing and heard_ms are the caller's to
 *            set; the rest is read only.
 * Limits     memory only. A table that cannot grow its index keeps working
 *            with longer chains.
 * Cost       find, add, remove: one chain of about one entry; the index grows
 *            a few chains per added session, never in one go.
 * Source     client-protocol.md section 7, architecture.md section 5.
 */

#include "base/fal.h"
#include "base/list.h"

/* Which connection (or learner) speaks for a session. */
struct session_owner {
	uint16_t core;     /* reader core; SESSION_OWNER_NONE: nobody */
	uint16_t reserved; /* zero */
	uint32_t conn;
	uint32_t conn_gen;
};

#define SESSION_OWNER_NONE UINT16_MAX

struct session {
	int64_t id;
	int32_t timeout_ms;
	bool is_closing; /* a closeSession is under way: refuse its writes */
	struct session_owner owner;
	uint64_t heard_ms;   /* as known here; the owner's line may be newer */
	uint64_t expires_ms; /* its bucket */
	struct list bucket;  /* link in the wheel */
};

struct session_table;

/* When the session was last heard of by its owner, monotonic ms; 0: the owner
 * does not know it any more (then heard_ms alone counts). */
typedef uint64_t (*session_heard_fn)(void *arg, const struct session *);
/* Told about an expired session; it is marked closing before and has left the
 * wheel. May add and remove sessions, this one too. */
typedef void (*session_expired_fn)(void *arg, struct session *);

FAL_MUST_CHECK int session_table_create(uint32_t tick_ms,
					struct session_table **out);
void session_table_destroy(struct session_table *);

/* Adds (or updates the timeout of) a session, tracked with a full timeout
 * from now_ms. A negative timeout counts as 0. A session that is closing stays
 * closing. NULL: out of memory. */
struct session *session_add(struct session_table *, int64_t id,
			    int32_t timeout_ms, uint64_t now_ms);
/* Who speaks for it heard of it at now_ms, and agreed with it on that timeout,
 * which counts from here on; 0: as before. */
void session_touch(struct session_table *, struct session *, int32_t timeout_ms,
		   uint64_t now_ms);
struct session *session_find(struct session_table *, int64_t id);
void session_remove(struct session_table *, int64_t id);
uint32_t session_count(const struct session_table *);

/* A new leader starts over: every session gets a full timeout from now_ms, no
 * owner, and is not closing (an unpublished closeSession is gone). */
void session_restart_all(struct session_table *, uint64_t now_ms);

/*
 * May `owner` write for this session?
 *
 * Returns 0, ZK_SESSIONEXPIRED (closing), ZK_UNKNOWNSESSION, or
 * ZK_SESSIONMOVED (another owner). A session without owner takes this one.
 */
int32_t session_check(struct session_table *, int64_t id,
		      struct session_owner owner);

/* Runs all buckets that are due at now_ms, at most `max` sessions looked at;
 * call again until it returns less than max. Closing sessions are dropped from
 * the wheel without a word. */
uint32_t session_expire_due(struct session_table *, uint64_t now_ms,
			    uint32_t max, session_heard_fn, session_expired_fn,
			    void *arg);
/* Monotonic ms of the next due bucket; UINT64_MAX: none. Too early (never too
 * late) when a timeout is beyond 1024 ticks. */
uint64_t session_next_due(const struct session_table *);

/* The bucket (monotonic ms) in which a session is looked at that was last heard
 * of at heard_ms or, if that is later, at its own heard_ms. */
uint64_t session_deadline(const struct session_table *, const struct session *,
			  uint64_t heard_ms);

/* Where a list of sessions stands that is made bit by bit. */
struct session_cursor {
	const void *slab;
	uint32_t place;
	bool has_begun, is_done;
};

/*
 * Gives the next session of a list in no order. Sessions that are there from
 * the first call to the last come exactly once; others may be missed.
 *
 * cursor  zeroed before the first call
 * budget  places that may still be looked at, counted down
 *
 * Returns NULL when the budget is used up, and at the end: cursor->is_done.
 * Cost: one place may cost one cache miss.
 */
const struct session *session_next(const struct session_table *,
				   struct session_cursor *, uint32_t *budget);

/* Visits all sessions in no order; the callback must not add or remove. */
void session_for_each(const struct session_table *,
		      void (*fn)(void *arg, const struct session *), void *arg);

#endif
