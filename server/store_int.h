/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_STORE_INT_H
#define FALCONER_SERVER_STORE_INT_H

/* store_int - what the files of store_jobs share. */

#include <stdatomic.h>

#include "base/ring.h"
#include "server/store_jobs.h"
#include "store/snap_form.h"
#include "store/snapshot_job.h"

#define STORE_TEXT_BYTES 1024u
#define STORE_EVENTS     16u /* power of two */
#define STORE_ORDERS     64u /* power of two */
#define STORE_LATE_MAX   16u

/* ---- events: one ring per thread that makes them --------------------------
 */

struct store_events {
	struct store_event event[STORE_EVENTS];
	_Atomic uint32_t head; /* the maker's */
	_Atomic uint32_t tail; /* ZAB's */
	/* Of the failure; there is at most one, and it is the last event. */
	char text[STORE_TEXT_BYTES];
};

/* False: full, try again later. */
bool store_events_push(struct store_events *, const struct store_event *);

/* ---- orders of ZAB ----------------------------------------------------------
 */

enum store_order_kind {
	STORE_DO_EPOCH, /* zxid: the epoch */
	STORE_DO_NEXT_CONFIG,
	STORE_DO_ACTIVATE,
	STORE_DO_VOTER,
	STORE_DO_GENESIS,
	STORE_DO_TRUNCATE,
	STORE_DO_INSTALL,
	STORE_DO_RELOAD,
};

struct store_order {
	enum store_order_kind kind;
	bool is_current;
	int64_t zxid;
	struct genesis_state genesis;
	char *text; /* malloc'ed by ZAB; it is freed by the thread that obeys */
	uint32_t bytes;
};

struct store_orders {
	struct store_order order[STORE_ORDERS];
	_Atomic uint32_t head; /* ZAB's */
	_Atomic uint32_t tail; /* the thread's */
};

/* There must be room: of those that BG gets there are few at a time. */
void store_orders_push(struct store_orders *, const struct store_order *);
/* The oldest; NULL: none. It stays until store_orders_done(). */
const struct store_order *store_orders_front(const struct store_orders *);
void store_orders_done(struct store_orders *);

/* ---- a leader's snapshot ----------------------------------------------------
 */

struct store_install {
	/* ZAB. */
	struct snap_form form;
	uint8_t *buffer;       /* STORE_INSTALL_BYTES, a ring */
	_Atomic uint64_t head; /* bytes that came; ZAB's */
	_Atomic bool is_whole; /* all came */
	/* BG. */
	_Atomic uint64_t tail;
	struct snapshot_out *out; /* NULL: none under way */
	int64_t zxid;
};

FAL_MUST_CHECK int store_install_init(struct store_install *);
void store_install_free(struct store_install *);
/* ZAB: before the order is given. */
void store_install_reset(struct store_install *);
int32_t store_install_push(struct store_jobs *, const uint8_t *data,
			   uint32_t bytes, bool *is_end);
/* BG. */
int store_install_begin(struct store_jobs *, int64_t zxid);
void store_install_abort(struct store_install *);
/* A slice; true if there was something. */
bool store_install_run(struct store_jobs *);

/* ---- streams
 * ------------------------------------------------------------------
 */

struct store_chunk {
	uint32_t bytes, used;
	uint8_t data[];
};

enum store_stream_kind { STORE_SNAPSHOT_STREAM, STORE_HISTORY_STREAM };

struct store_flow {
	struct store_stream stream; /* first */
	struct store_jobs *jobs;
	enum store_stream_kind kind;
	struct ring made;            /* BG -> ZAB: chunks */
	struct ring spent;           /* ZAB -> BG */
	struct store_chunk *current; /* ZAB's */
	_Atomic bool is_closed;      /* by ZAB */
	_Atomic int state;           /* by BG: 0, 1 all was made, < 0 */

	/* BG. */
	struct store_flow *next;
	uint32_t flying; /* chunks that are with ZAB */
	struct store_chunk *filling;
	uint32_t filling_cap;

	/* Snapshots. */
	struct tree_reader *reader;
	uint32_t reader_index;
	struct snapshot_job *job;
	int64_t zxid;
	struct snapshot_session *sessions; /* malloc'ed by ZAB */
	uint32_t session_count;

	/* Histories. */
	int64_t last;
	struct zab_history rows; /* what must be sent */
	int64_t given;           /* ZAB's: up to here */
	uint8_t *staged;         /* ZAB's: packets from the window */
	uint32_t staged_bytes, staged_used, staged_cap;
	bool is_reading;           /* ZAB's: BG was asked */
	_Atomic int64_t read_from; /* ZAB -> BG; -1: nothing to read */
	int64_t reading;           /* BG's: given so far; -1: not reading */
	int64_t read_end;          /* BG's: of this run */
	struct log_chain *chain;
	_Atomic int64_t needs_above; /* the records that must stay */
};

/* A place for `bytes` more in the chunk that is being filled; NULL: no
 * memory. BG. */
uint8_t *store_flow_claim(struct store_flow *, uint32_t bytes);
/* Hands the chunk over, if there is one. */
void store_flow_flush(struct store_flow *);
/* May another chunk be made? */
bool store_flow_has_room(struct store_flow *);
/* Nothing more will be made: 1, or an error. */
void store_flow_end(struct store_flow *, int state);
/* ZAB: what waits in chunks. */
uint32_t store_flow_peek(struct store_flow *, const uint8_t **data);
void store_flow_consume(struct store_flow *, uint32_t bytes);
struct store_flow *store_flow_create(struct store_jobs *,
				     enum store_stream_kind);
void store_flow_close(struct store_stream *);

struct store_stream *store_snapshot_open(void *store, int64_t *zxid);
struct store_stream *store_history_open(void *store, int64_t after,
					int64_t last);
/* BG: a slice of one; true if there was something. */
bool store_snapshot_step(struct store_flow *);
bool store_history_step(struct store_flow *);
/* BG: frees what the kind has. */
void store_snapshot_release(struct store_flow *);
void store_history_release(struct store_flow *);
/* BG: all streams: a slice each. All of them end, as nothing can be read. */
bool store_flows_run(struct store_jobs *);
bool store_flows_have_work(struct store_jobs *);
void store_flows_break(struct store_jobs *);
/* When BG and ZAB have ended. */
void store_flows_free(struct store_jobs *);

/* ---- the whole
 * ------------------------------------------------------------------
 */

struct store_jobs {
	struct store_parts parts;

	/* ZAB. */
	struct store_events bg_events, files_events;
	struct zab_history rows; /* of the log; while lent: BG's */
	struct zab_history told; /* what the last event's disk shows */
	bool is_lent;
	uint32_t reloads; /* asked and not answered */
	int64_t floor_told;
	bool has_failed;
	/* For FILES, without a place yet; oldest first. */
	struct store_order late[STORE_LATE_MAX];
	uint32_t late_count;

	/* ZAB -> BG, ZAB -> FILES. */
	struct store_orders bg_orders, files_orders;
	struct store_install install;
	struct ring opened; /* streams */
	_Atomic uint32_t reader_busy[STORE_READERS_MAX];

	/* BG -> ZAB. */
	_Atomic int64_t floor;
	struct zab_history found; /* while lent */

	/* BG. */
	struct tree_reader *reader[STORE_READERS_MAX];
	uint32_t reader_count;
	struct store_flow *flows;
	bool has_lent; /* LOG is parked */
	struct restore_result result;

	/* FILES. */
	struct lcore files_lcore;
	_Atomic bool files_must_stop;
};

/* FILES. */
FAL_MUST_CHECK int store_files_start(struct store_jobs *);
void store_files_stop(struct store_jobs *);
/* Obeys the oldest order; false: there is none. */
bool store_files_run(struct store_jobs *);

/* BG: ends a loan with an event (EVENT_KIND with disk), or with a failure. */
void store_give_back(struct store_jobs *, enum store_event_kind kind,
		     int64_t zxid);
void store_fail_bg(struct store_jobs *, int err, const char *format, ...)
	FAL_PRINTF(3, 4);
/* BG: transactions up to zxid cannot be read. */
void store_jobs_lost(struct store_jobs *, int64_t zxid);
/* BG: an event without disk; the loan goes on. */
void store_tell(struct store_jobs *, const struct store_event *event);

#endif
