/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_ZAB_H
#define FALCONER_DATAPLANE_ZAB_H

/*
 * zab - the ZAB role: the one writer of tree, session table and log window.
 *
 *   R1 -> prep (validate, apply invisibly, serialise) -> log window, delta
 *   record -> durable -> publish: tree, sessions, then P -> readers
 *
 * A standalone server commits what its own log made durable. In an ensemble
 * the consensus core decides instead (struct zab_quorum, dataplane/
 * zab_member.h); everything before and after that one decision is this code.
 *
 * Context    zab_poll() is called by one core, the owner of all objects in
 *            struct zab_parts. Nothing here blocks or makes a system call,
 *            doorbells of sleeping cores apart.
 * Limits     ZAB_PENDING_MAX transactions applied and not yet published; the
 *            window and the delta ring bound it too. At a limit requests stay
 *            in R1 and sockets stop being read.
 * Errors     a dead log ends the process through the on_fatal hook: a server
 *            that does not know what is durable must not answer.
 * Source     architecture.md sections 1.4, 1.5, 5 and 8.
 */

#include "base/stats.h"
#include "dataplane/channel.h"
#include "dataplane/delta.h"
#include "dataplane/digest_log.h"
#include "dataplane/ledger.h"
#include "dataplane/log_port.h"
#include "znode/prep.h"

#define ZAB_READERS_MAX 16u
#define ZAB_PENDING_MAX 65536u
/* A request or transaction of so many bytes may keep the core for longer than
 * peers bear silence. */
#define ZAB_BUSY_BYTES 131072u

struct zab;

/* A session as a snapshot keeps it. */
struct zab_session {
	int64_t id;
	int32_t timeout_ms;
};

/* What a snapshot needs from the writer, taken between two transactions. */
struct zab_snapshot {
	int64_t zxid; /* published; pinned until zab_snapshot_pinned() */
	uint64_t digest;
	struct zab_session *sessions; /* malloc'ed, given to the hook */
	uint32_t session_count;
};

struct zab_hooks {
	void *arg;
	/* Starts writing a snapshot in the background; owns the sessions when
	 * it returns true. False: too busy, asked again at the next trigger. */
	bool (*start_snapshot)(void *arg, const struct zab_snapshot *);
	/* Never returns: the log failed with this fal_err. */
	void (*on_fatal)(void *fatal_arg, int err);
	void *fatal_arg;
};

/* What a member of an ensemble does with requests. */
enum zab_mode {
	ZAB_ALONE,  /* standalone */
	ZAB_CLOSED, /* refuses: nobody leads, or this server is not ready */
	ZAB_LEADS,
	ZAB_LEARNS, /* sends writes to the leader */
	ZAB_READS,  /* without a leader: reads only */
};

struct req;

/* Who decides in an ensemble, as the ZAB role sees it. All functions are called
 * in zab_poll(). */
struct zab_quorum {
	void *arg;
	/* Before requests are taken and behind them. */
	bool (*poll)(void *arg, uint64_t now_ms, int64_t wall_ms);
	void (*flush)(void *arg, uint64_t now_ms);
	bool (*has_work)(const void *arg);
	uint64_t (*next_timer_ms)(const void *arg);
	/* LEADS: the zxid that the next transaction must have; 0: none may be
	 * proposed now. */
	int64_t (*next_zxid)(void *arg, uint32_t entry_bytes);
	/* LEADS: the transaction that is about to go into the window; entry is
	 * borrowed. */
	void (*keep)(void *arg, int64_t zxid, const uint8_t *entry,
		     uint32_t entry_bytes);
	/* LEADS: it is in the window. */
	void (*proposed)(void *arg, int64_t zxid);
	/* LEADS: before a request of ZAB_BUSY_BYTES or more. */
	void (*busy)(void *arg, uint32_t body_bytes);
	/* LEADS: what a reconfig asks for, as text; or the code of its reply.
	 * The next transaction proposed is it. */
	int32_t (*reconfigure)(void *arg, const uint8_t *body,
			       uint32_t body_bytes, struct jute_slice *config);
	/* LEARNS: sends a write to the leader; false: no room. */
	bool (*forward)(void *arg, const struct req *);
	/* LEADS, LEARNS: one more sync; false: no room. */
	bool (*sync)(void *arg, const struct req *);
	/* LEARNS: may this session come back here? */
	void (*revalidate)(void *arg, int64_t session_id, int32_t timeout_ms);
};

struct zab_options {
	uint32_t tick_ms;
	uint64_t snap_count;       /* transactions, about, per snapshot */
	uint64_t snap_bytes;       /* log bytes, about; 0: no such limit */
	uint64_t log_file_bytes;   /* a log file is rolled beyond; 0: never */
	uint64_t reap_interval_ms; /* containers and TTL nodes; 0: never */
	uint32_t reap_per_minute;
	int64_t reap_never_used_ms;
	uint64_t tree_bytes_max; /* for the operator's line */
	uint8_t server_id;       /* top byte of session ids */
	/* Members: localSessionsEnabled, localSessionsUpgradingEnabled. */
	bool has_local_sessions, may_upgrade_sessions;
	uint64_t random_seed;
};

/* Borrowed for the life of the zab. */
struct zab_parts {
	struct tree *tree;
	struct prep *prep;
	struct session_table *sessions;
	struct delta_ring *deltas;
	struct ledger *ledger; /* NULL: the stages are not measured */
	struct log_port log;
	struct channel *channel[ZAB_READERS_MAX];
	uint32_t channel_count;
	struct stats_core *stats;
	struct serving *serving; /* members of an ensemble; else NULL */
};

FAL_MUST_CHECK int zab_create(const struct zab_options *,
			      const struct zab_parts *,
			      const struct zab_hooks *, int64_t last_zxid,
			      struct zab **out);
void zab_destroy(struct zab *);

/*
 * One round. now_ms is monotonic, wall_ms since 1970.
 * Returns true if anything was done.
 */
bool zab_poll(struct zab *, uint64_t now_ms, int64_t wall_ms);
/* Before zab_poll(), if stages shall be measured: the monotonic clock that
 * reqs carry too. */
void zab_note_time(struct zab *, uint64_t now_ns);

/* Anything waiting in a ring or in the log? Asked between "asleep" and the
 * sleep itself. */
bool zab_has_work(const struct zab *);

/* Monotonic ms at which zab_poll() wants to be called at the latest. */
uint64_t zab_next_timer_ms(const struct zab *);

/* No transaction is applied and unpublished. */
bool zab_is_idle(const struct zab *);
int64_t zab_last_zxid(const struct zab *);

/* Is all that is published certain to stay, and here? ZAB core. */
bool zab_may_snapshot(const struct zab *);
/* Starts a snapshot of the published state now; false: it may not be taken, one
 * is being written, or memory is short. ZAB core. */
bool zab_start_snapshot(struct zab *);

/* The snapshot's writer pinned its own zxid (or is done): releases the pin
 * that the ZAB core holds for it. ZAB core. */
void zab_snapshot_pinned(struct zab *);

/* ---- lists for the operator; ZAB core --------------------------------- */

/* All zero before the first call; is_done of .sessions: the end. */
struct zab_session_cursor {
	struct session_cursor sessions;
	int64_t session_id;  /* whose ephemerals are being told */
	uint32_t ephemerals; /* how many of them are left */
};

/* A session, or an ephemeral of the session told last. */
struct zab_session_row {
	int64_t session_id;
	uint64_t expires_ms;    /* monotonic, if nothing more is heard; 0: an
				   ephemeral */
	struct jute_slice path; /* null: a session; valid until the next call */
};

/*
 * Gives the next row of a list of sessions and ephemerals that is made bit by
 * bit. Sessions that close meanwhile may be missed.
 *
 * budget  places that may still be looked at, counted down
 *
 * Returns false when the budget is used up, and at the end.
 */
bool zab_session_next(struct zab *, struct zab_session_cursor *,
		      uint32_t *budget, struct zab_session_row *out);

/* As digest_log_next(). */
bool zab_digest_next(const struct zab *, uint64_t *position,
		     struct digest_log_entry *out);

#endif
