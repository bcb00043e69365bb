/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_READER_H
#define FALCONER_DATAPLANE_READER_H

/*
 * reader - the READER role: client connections of one core.
 *
 * Reads are answered here, on the core that received them, at the zxid S the
 * core has reached; writes go to the ZAB core and come back as delta records.
 * One round (architecture.md 1.4):
 *
 *   P' = P; walk the delta records S..P': watch events, then replies; S = P'
 *   receive; frames in bursts: reads at S, writes to R1
 *   send; show S as the oldest state still in use
 *
 * Order per connection is the order of its requests. A read behind a write of
 * the same connection waits and is answered at exactly the zxid that write
 * left, even when the core has learnt of later ones meanwhile.
 *
 * Context    everything here but the counters: the one core that polls.
 * Limits     connections, requests under way and output of a connection are
 *            fixed at creation. At a limit the socket is not read.
 * Source     architecture.md sections 1, 4 and 8; client-protocol.md.
 */

#include "base/stats.h"
#include "dataplane/channel.h"
#include "dataplane/connect_throttle.h"
#include "dataplane/delta.h"
#include "dataplane/ledger.h"
#include "dataplane/serving.h"
#include "dataplane/slow.h"
#include "dataplane/top.h"
#include "drivers/stream.h"
#include "znode/acl.h"
#include "znode/tree.h"

struct reader;

struct reader_options {
	uint32_t conn_limit;
	uint32_t req_count;            /* requests under way, all connections */
	uint32_t outstanding_per_conn; /* unanswered requests of one */
	uint32_t frame_bytes_max;      /* jute.maxbuffer */
	uint32_t slice_bytes_extra;    /* jute.maxbuffer.extrasize */
	int32_t session_timeout_min_ms;
	int32_t session_timeout_max_ms;
	uint32_t newcomer_timeout_ms;  /* a connection without a session */
	const struct acl_options *acl; /* borrowed */
	/* enforce.auth.schemes: only connections with an identity of one of
	 * these (comma list, borrowed) are served; NULL: all are. */
	const char *enforced_schemes;
	/* The scheme `ensemble`: the names that are right (comma list,
	 * borrowed,
	 * "": any is); NULL: there is no such scheme. */
	const char *ensemble_names;
	/* Limits of this core, see admission.c; 0: none. */
	uint32_t outstanding_max;
	uint64_t outstanding_bytes_max;
	uint32_t throttle_requests_max;
	uint32_t throttled_op_wait_ms;
	bool throttle_drops_stale; /* those that is_latency_stale finds */
	bool is_latency_stale;
	int64_t large_threshold;  /* a frame of more bytes is large; <= 0: none
				   */
	uint64_t large_bytes_max; /* of large frames under way */
	struct connect_throttle_options connects;
	uint64_t random_seed;
	bool keeps_watch_paths;
	bool is_stmk_allowed; /* stmk is executed, so its argument is read */
	/* Of an ensemble: writes may take another way than syncs. */
	bool is_member;
	/* How long who connects waits for a leader, await.c; 0: not at all. */
	uint32_t await_ms;
	bool is_acl_eager;   /* refuses here what the leader would, eager.c */
	uint32_t client_tag; /* of stream events that are clients' */
};

/* A four-letter word that came in; the answer is given to
 * reader_send_text(). */
struct reader_word {
	uint32_t word; /* the four bytes, big-endian */
	uint32_t conn, conn_gen;
	uint16_t core;
	int64_t argument; /* of stmk: the eight bytes behind the word */
};

#define READER_WORD_STMK 0x73746d6bu

/* What cons and stat tell of a connection. */
struct reader_conn_row {
	struct stream_address peer;
	uint32_t interest; /* 1: is read from, 4: has unsent output, or-ed */
	uint64_t received, sent, queued;
	int64_t session_id; /* 0: none yet */
	int32_t last_op;
	int32_t last_cxid;
	int64_t last_zxid;
	int32_t timeout_ms;
	int64_t established_wall_ms;
	uint64_t last_response_ms; /* monotonic */
	uint64_t last_latency_ms, min_latency_ms, max_latency_ms;
	uint64_t latency_sum_ms, latency_count;
	uint64_t expires_ms; /* monotonic, if nothing more is heard of it */
};

/* A watch, as wchs, wchc and wchp count and list it. */
struct reader_watch_row {
	int64_t session_id;
	uint32_t modes; /* enum watch_mode, or-ed */
	/* Stands for its path on this core, which has data watches. */
	bool is_data_path;
	uint64_t path_hash;     /* the same on all cores */
	struct jute_slice path; /* null unless keeps_watch_paths; borrowed */
};

/* An update this core has asked for, or the reader that takes care of those
 * nobody asked for; told when it is durable, whatever came of it. All borrowed
 * for the call. */
struct reader_update {
	int32_t op;  /* of the request, or of the transaction */
	int32_t err; /* of the reply */
	int64_t session_id;
	int64_t wall_ms;
	struct stream_address peer; /* family 0: nobody asked */
	const struct auth_ids *ids; /* NULL likewise */
	const uint8_t *body;        /* of the request; NULL likewise */
	uint32_t body_bytes;
	const uint8_t *reply; /* body of the reply */
	uint32_t reply_bytes;
	const void *effects; /* struct effect, one behind the other */
	uint32_t effect_count;
};

struct reader_hooks {
	void *arg;
	/* A four-letter word; false: cannot be taken, close. */
	bool (*on_word)(void *arg, const struct reader_word *);
	/* An event of a stream that is no client's; NULL: there are none. */
	void *other_arg;
	void (*on_other)(void *other_arg, const struct stream_event *,
			 uint64_t now_ms);
	/* For an audit log; NULL: there is none. */
	void *update_arg;
	void (*on_update)(void *update_arg, const struct reader_update *);
};

/* Borrowed for the life of the reader. */
struct reader_parts {
	struct stream_core *streams;
	struct channel *channel;
	struct tree *tree;
	struct delta_ring *deltas;
	const struct ledger *ledger; /* NULL: the stages are not measured */
	struct stats_core *stats;
	const struct serving *serving; /* NULL: all are served, always */
};

/* Created by the thread that will poll: it registers with the tree there.
 * Returns 0, FAL_ENOMEM, FAL_ELIMIT (too many readers). */
FAL_MUST_CHECK int reader_create(const struct reader_options *,
				 const struct reader_parts *,
				 const struct reader_hooks *,
				 struct reader **out);
/* The same thread, at its end: closes all connections, reads nothing any more.
 * What the ZAB core has of it stays. */
void reader_leave(struct reader *);
/* When the ZAB core, too, has ended: requests may still be with it. */
void reader_destroy(struct reader *);

/* One round; true if anything was done. */
bool reader_poll(struct reader *, uint64_t now_ns, int64_t wall_ms);

/* The round's end, when its replies have left: what its reads took. */
void reader_round_done(struct reader *, uint64_t now_ns);

/* Around a sleep: in between nothing of the tree is held.
 * reader_has_work() there tells whether the sleep is still right. */
void reader_pause(struct reader *);
void reader_resume(struct reader *);
bool reader_has_work(const struct reader *);
/* Monotonic ms at which reader_poll() wants to be called at the latest. */
uint64_t reader_next_timer_ms(const struct reader *);

/*
 * Answers a four-letter word: sends as much of the text as the connection takes
 * now, some 64 KiB at most. When that was all of it, closes.
 *
 * Returns how many bytes were taken; fewer than there are: go on later,
 *         FAL_ENOENT  the connection is gone
 */
FAL_MUST_CHECK int32_t reader_send_text(struct reader *, uint32_t conn,
					uint32_t conn_gen, const char *text,
					uint32_t bytes);
/* Closes the connection of a word whose text it does not take. */
void reader_drop_word(struct reader *, uint32_t conn, uint32_t conn_gen);

/*
 * Lists that are made bit by bit: of connections, of watches. Rows that are
 * there from the first call to the last come exactly once.
 *
 * cursor  0 before the first call, 0 again after the last one
 * budget  places that may still be looked at, counted down
 *
 * Returns false when the budget is used up, and at the end.
 */
bool reader_conn_next(struct reader *, uint32_t *cursor, uint32_t *budget,
		      struct reader_conn_row *out);
bool reader_watch_next(struct reader *, uint32_t *cursor, uint32_t *budget,
		       struct reader_watch_row *out);
/* Empties what cons shows of each connection, in portions of `budget` places;
 * cursor as above. */
void reader_reset_conns(struct reader *, uint32_t *cursor, uint32_t budget);

/* What asks most, of the last ten seconds or so. */
struct reader_top_row {
	bool is_client; /* name is a struct stream_address, else a path */
	const struct top_place *place; /* lent until the next poll */
	uint64_t window_ms;            /* what weight and excess are of */
};

/* One row more, in one go; cursor as above, place by place. */
bool reader_top_next(struct reader *, uint32_t *cursor,
		     struct reader_top_row *out);

/* One of this core's slowest requests more, the last ones first; NULL: that was
 * all. Cursor as above, place by place; lent until the next poll. */
const struct slow_request *reader_slow_next(struct reader *, uint32_t *cursor);

/* Whether `ids` may do everything to the root; false while the tree may not be
 * looked at. */
bool reader_permits_all(const struct reader *, const struct auth_ids *ids);
/*
 * Of the next `budget` places' connections that have a session, how many
 * `percentage` per cent are: spread evenly, by place.
 *
 * must_close  closes them and moves the cursor (as above); false: only tells
 */
uint32_t reader_shed(struct reader *, uint32_t *cursor, uint32_t budget,
		     uint32_t percentage, bool must_close);

struct watch_table;
/* For wchs and the counters of mntr. */
const struct watch_table *reader_watches(const struct reader *);

/* Stops taking new connections and requests; requests under way are still
 * answered. True once nothing is under way. */
bool reader_drain(struct reader *);

#endif
