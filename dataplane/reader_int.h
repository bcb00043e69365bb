/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_READER_INT_H
#define FALCONER_DATAPLANE_READER_INT_H

/*
 * reader_int - what the files of the READER role share.
 *
 *   reader.c   the round, timers, four-letter words
 *   conn.c     connections: life, the queue that keeps the order
 *   conn_in.c  what comes in from a client: frames, bursts of them
 *   conn_out.c what goes out to a client
 *   connect.c  ConnectRequest, sessions that come back
 *   admission.c  limits: what is taken off its socket now
 *   serve.c    requests that are answered on this core
 *   express.c  the read that nearly all of them are, in fewer steps
 *   op_class.c   who answers which request
 *   events.c   watches: registering, firing
 *   job.c      requests that take several rounds, which are:
 *   count.c    getAllChildrenNumber
 *   listing.c  getChildren of large directories, multiRead
 *   rewatch.c  setWatches
 *   answer.c   what comes back from the ZAB core
 *   attend.c   whether clients are served at all
 *   await.c    clients that come while nobody leads
 *   account.c  what is counted of each answered request
 *   sample.c   which paths and clients ask most
 *
 * Context    the reader's core.
 */

#include "base/list.h"
#include "base/time.h"
#include "dataplane/reader.h"
#include "dataplane/req.h"
#include "dataplane/slow.h"
#include "dataplane/top.h"
#include "znode/watch.h"

/* A burst's frames are looked at together, so that cache misses overlap. */
#define BATCH_MAX 32u
/* Output a connection may have unsent before its requests are held back. */
#define CONN_UNSENT_PAUSE (1u << 20)
#define WORD_BYTES        4u /* of a frame's length, or a four-letter word */
#define REPLY_OVERHEAD    (WORD_BYTES + PROTO_REPLY_HEADER_BYTES)

enum conn_state {
	CONN_FREE = 0,
	CONN_NEWCOMER,   /* nothing said yet */
	CONN_CONNECTING, /* its ConnectRequest is at the ZAB core */
	CONN_OPEN,
	CONN_WORD,    /* waits for a four-letter word's text */
	CONN_LEAVING, /* no more requests; closes after its last answer */
	CONN_GHOST,   /* the stream is gone, requests are still under way */
};

struct conn {
	stream_id stream; /* STREAM_NONE: gone */
	uint32_t index;
	uint32_t gen;
	/* what the next request has to wait for: see express.c */
	uint8_t state; /* enum conn_state */
	bool is_paused;
	bool is_long;      /* a job's request is queued: nothing overtakes it */
	bool is_shedding;  /* a ghost with watches left: reader.shedding */
	bool must_detach;  /* the ZAB core is yet to hear it is gone */
	bool is_overrun;   /* an event did not fit: to be closed */
	bool is_held_back; /* this batch: a frame could not be taken */
	bool is_syncing;   /* a sync is queued: a write could overtake it */
	bool was_held_back; /* the last batch */
	bool has_read_only_byte;
	bool is_read_only;   /* the client takes a read-only server */
	uint32_t seen_bytes; /* this batch: frames looked at */
	uint32_t done_bytes; /* this batch: frames carried out */
	int32_t timeout_ms;
	int64_t session_id;
	struct req_ids *ids;
	struct req *head, *tail; /* answers are sent in this order */
	uint32_t queued;
	uint32_t unread_pings; /* answered while too much was unsent */
	struct list link;      /* newcomers, overrun, detaching, or free */
	struct list park_link; /* reader.parked while we do not read it, or
				  reader.shedding */
	struct list wait_link; /* reader.throttled, or reader.awaiting */
	uint64_t throttled_ms; /* since when its next request waits; 0: not */
	struct held_output *held; /* conn_out.c; NULL: nothing is held back */
	uint64_t parked_ms;       /* since when */
	uint64_t touched_ms;      /* when the ZAB core was last told of it */
	uint64_t opened_ms;
	struct stream_address peer;
	/* For cons and stat. */
	uint64_t received, sent;
	int64_t established_wall_ms;
	int32_t last_op, last_cxid;
	int64_t last_zxid;
	uint64_t last_response_ms;
	uint64_t last_latency_ms, min_latency_ms, max_latency_ms;
	uint64_t latency_sum_ms, latency_count;
};

/* ---- account.c ---- */

#define ACCOUNT_OP_FIRST (-11) /* closeSession */
#define ACCOUNT_OPS      128   /* the highest is whoAmI, 107 */
#define ACCOUNT_NONE     0xffu
#define ACCOUNT_LATE_MAX 256u

struct account_late {
	uint64_t received_ns;
	uint32_t count; /* neighbours of one round are one entry */
	uint8_t hist;
};

/* Stations of an update. Those that went together passed them together, so a
 * burst is a few runs of equal ones. */
struct account_stations {
	uint64_t received_ns, sent_ns, taken_ns;
	struct ledger_times at;
};

/* What the round's requests are counted as when it ends. */
struct account {
	uint8_t hist_of_op[ACCOUNT_OPS]; /* enum stat_hist, or ACCOUNT_NONE */
	uint64_t now_any;                /* bits: now_count is not 0 */
	uint32_t now_count[HIST_COUNT];  /* came, or began, in this round */
	uint32_t slow_open;  /* bits: places of slow.now taken in it */
	uint32_t late_count; /* came in earlier ones */
	uint32_t run_count;  /* updates that passed the stations of `run` */
	struct account_stations run;
	struct account_late late[ACCOUNT_LATE_MAX];
};

_Static_assert(HIST_COUNT <= 64, "now_any has a bit for each");

/* ---- sample.c ---- */

#define SAMPLE_WINDOW_MS 10000u

struct sampler {
	uint32_t left;     /* frames until the next one is looked at */
	uint32_t gap;      /* what that one counts for */
	uint32_t interval; /* of gaps, on average */
	uint32_t taken;    /* samples of this step */
	uint64_t random;
	uint64_t step_start_ms;
	uint64_t window_start_ms;
	uint64_t window_ms; /* length of the last whole window; 0: none yet */
	uint64_t seen;      /* frames of this window */
	struct top paths, clients;
};

/* A frame of a burst. */
struct batch_item {
	struct conn *conn;
	uint32_t conn_gen;
	const uint8_t *frame; /* behind the length word; borrowed */
	uint32_t bytes;
	bool is_lookup;  /* aim is set */
	bool is_express; /* for express_serve() */
	struct tree_aim aim;
};

/* What a run of requests that express.c answered comes to. */
struct express_run {
	uint32_t count;
	uint32_t smallest, largest, last; /* sizes of replies */
	uint64_t in_bytes, out_bytes;
};

struct reader {
	struct reader_options options;
	struct reader_parts parts;
	struct reader_hooks hooks;
	struct tree_reader *tree_reader;
	struct delta_cursor *cursor;
	struct watch_table *watches;
	const _Atomic uint64_t *published;
	uint64_t S;
	uint64_t now_ns, now_ms;
	int64_t wall_ms;

	struct conn *conns;
	uint32_t conn_count; /* places, ghosts included */
	uint32_t live_count;
	uint32_t *conn_of_stream; /* stream index -> conn index */
	struct list free_conns, newcomers, overrun, detaching;
	struct list parked;
	uint64_t parked_touch_ms; /* when they were last taken as alive */
	struct list shedding;     /* ghosts with watches left */
	struct list throttled;    /* wait for room, oldest first */
	struct list awaiting;     /* await.c */
	uint64_t await_until_ms;  /* the end of their waiting */
	struct connect_throttle connects;
	struct list jobs;        /* job.c: in the order of their turns */
	struct list pinned_jobs; /* those that read one state, oldest first */
	struct sink *listing_sink;
	struct req_pool pool;
	void *unicast_head; /* taken from R3, waits for its fence */
	bool is_draining, has_left;
	uint32_t serving_word; /* as last acted upon */
	bool is_parked;        /* offline: the tree may not be touched */
	bool is_hanging_up;    /* on its clients, place by place */
	uint32_t hang_up_at;
	struct account account;
	struct slow slow;
	struct sampler sampler;
	uint64_t delivered; /* watch events written so far */
	/* A record whose events are not all told yet, or NULL: see answer.c. */
	const struct delta *telling;
	const uint8_t *told_at;
	uint32_t told;       /* of its effects */
	uint32_t tell_left;  /* effects of this round */
	uint64_t tell_until; /* `delivered` that ends it */
	bool must_ring_zab;  /* R1 got something this round */
	bool is_in_burst;
	uint64_t burst_ns; /* when its first request was handed on; 0: none */

	struct batch_item batch[BATCH_MAX];
	uint32_t batch_count;
	uint32_t express_lengths; /* see there; 0: nothing goes that way */
	struct express_run express;
	struct stream_event events[256];

	/* Replies too large for the stream's own space are formed here. */
	uint8_t *scratch;
	uint32_t scratch_bytes;
};

/* A read of the tree on behalf of a connection. */
struct local_op {
	int32_t xid, op;
	const uint8_t *body;
	uint32_t body_bytes;
	uint32_t frame_bytes; /* header and body */
	const struct auth_ids *ids;
	struct req_ids *ids_counted; /* whose list that is */
	uint64_t received_ns;
	const struct tree_aim *aim; /* already hashed, or NULL */
	struct req *req;       /* it waited in the queue; NULL: it did not */
	uint32_t children_max; /* getChildren of more is made in slices */
};

/* The same of a request that waited. */
static inline struct local_op
local_op_of(struct req *req)
{
	return (struct local_op){
		.xid = req->xid,
		.op = req->op,
		.body = req->body,
		.body_bytes = req->body_bytes,
		.ids = req->ids->list,
		.ids_counted = req->ids,
		.received_ns = req->received_ns,
		.req = req,
	};
}

/* Events that wait behind a reply which is being made. */
struct held_output {
	uint32_t bytes, cap;
	bool is_mid_frame; /* part of that reply is out */
	uint8_t data[];
};

/* ---- job.c: see there ---- */
struct job;
struct job_ops {
	/* One slice, on an open connection. Returns 1: goes on, 0: answered;
	 * or an error: the connection is to be closed. */
	int (*step)(struct reader *, struct conn *, struct job *);
	/* Gives back what the job holds, not the job. */
	void (*free)(struct reader *, struct job *);
};
#define JOB_ANY_STATE UINT64_MAX
struct job {
	const struct job_ops *ops;
	uint64_t S; /* the state it reads, or JOB_ANY_STATE */
	uint32_t conn, conn_gen;
	struct req *req; /* at the head of the connection's queue */
	struct list turn, pin;
};
void job_init(struct job *, const struct job_ops *, uint64_t S);
/* Queues the request for the job, which is malloc'ed and given. False: no req
 * left; nothing happened. */
bool job_begin(struct reader *, struct conn *, const struct local_op *,
	       struct job *);
/* A round's share; true if there was any. */
bool jobs_step(struct reader *);
/* The oldest state that a job still reads; UINT64_MAX: none. */
uint64_t jobs_oldest(const struct reader *);
void jobs_free_all(struct reader *);

/* ---- conn.c ---- */
int conn_table_init(struct reader *);
void conn_table_free(struct reader *);
void conn_opened(struct reader *, const struct stream_event *);
void conn_closed(struct reader *, stream_id);
void conn_writable(struct reader *, stream_id);
/* Closes the stream: after what is queued was sent, or at once. */
void conn_close(struct reader *, struct conn *);
void conn_abort(struct reader *, struct conn *);
/* No more requests are read; closes once nothing is queued. */
void conn_leave(struct reader *, struct conn *);
struct conn *conn_of(struct reader *, uint32_t index, uint32_t gen);
/* The connection of a stream, or NULL. */
struct conn *conn_of_stream(struct reader *, stream_id);
void conn_queue_push(struct conn *, struct req *);
/* In front of all: a request whose turn it was needs more time. */
void conn_queue_push_head(struct conn *, struct req *);
/* Takes the head off, frees it, and answers what waited for it alone. */
void conn_queue_pop(struct reader *, struct conn *);
/* Takes a request of a ghost from anywhere in its queue and frees it. */
void conn_queue_remove(struct reader *, struct conn *, struct req *);
/* Connections that end of their own accord in a round: each costs two or three
 * system calls, some 10 us. */
#define CONN_CLOSE_BURST 64u

/* One that is served: no newcomer, and none for a four-letter word. */
static inline bool
conn_is_client(const struct conn *conn)
{
	return conn->stream != STREAM_NONE && conn->state != CONN_WORD &&
	       conn->state != CONN_NEWCOMER;
}

/* Closes some clients, all of them in some rounds. False: there are more. */
bool conn_close_clients(struct reader *);
void conn_pause(struct reader *, struct conn *);
void conn_resume(struct reader *, struct conn *);
/* Closes connections that could not take an event. */
void conn_abort_overrun(struct reader *);
/* Sessions whose socket is not read because of us do not expire for it. */
void conn_touch_parked(struct reader *);
/* Monotonic ms of the next such touch; UINT64_MAX: nobody is parked. */
uint64_t conn_next_touch_ms(const struct reader *);
/* Detaches that did not fit the session lane; true if any was sent. */
bool conn_send_detaches(struct reader *);

/* A portion of the watches of connections that are gone; true if any. */
bool conn_shed_watches(struct reader *);

/* ---- conn_in.c ---- */
void conn_run_batch(struct reader *);
/* Puts what has come on the burst, every kind of input; the second, where the
 * event does not show what there is. */
void conn_read_any(struct reader *, struct conn *, stream_id);
void conn_read_peeked(struct reader *, struct conn *, stream_id);

/* ---- conn_out.c ---- */
/* Too much is unsent: the connection ends. */
void conn_output_refused(struct reader *, struct conn *);
/* From here on events wait, until conn_release(). False: no memory. */
bool conn_hold(struct conn *);
void conn_release(struct reader *, struct conn *);
/* A part of the frame that events wait for. False: the connection is gone. */
bool conn_write_frame_part(struct reader *, struct conn *, const void *data,
			   uint32_t bytes);
/* Counts a frame that was written in parts. */
void conn_note_frame(struct reader *, struct conn *, int64_t zxid,
		     uint64_t bytes);
/* Space for a short frame, in its place; NULL: too much is unsent. */
uint8_t *conn_reserve(struct reader *, struct conn *, uint32_t bytes,
		      uint32_t *got);
void conn_commit(struct reader *, struct conn *, uint32_t bytes);
void conn_reply_ping(struct reader *, struct conn *, int64_t zxid);
/* A reply with a known body. */
void conn_reply(struct reader *, struct conn *, int32_t xid, int64_t zxid,
		int32_t err, const void *body, uint32_t body_bytes);
/* A whole frame, length word included. */
void conn_send(struct reader *, struct conn *, const void *frame,
	       uint32_t bytes);
/* What crst does to it. */
void conn_reset_stats(struct conn *);

/* ---- account.c ---- */
void account_init(struct account *);
/* A request was answered. Returns its place if it is one of the slowest, for
 * who knows its stages; else NULL. */
struct slow_request *conn_account(struct reader *, struct conn *, int32_t op,
				  int32_t xid, int64_t zxid,
				  uint64_t received_ns);
/* An update, a read was answered: what readlatency, updatelatency and the
 * stages show. `slow` is what conn_account() returned. */
void account_update(struct reader *, const struct req *, uint64_t zxid,
		    struct slow_request *slow);
void account_read(struct reader *);
/* So many reads that express.c answered in the round they came in. */
void account_express(struct reader *, uint32_t count);
/* A frame of so many bytes, length word included, was put into the output. */
void account_sent(struct reader *, struct conn *, uint64_t frame_bytes);

/* ---- express.c ---- */
/* How many lengths of frames it takes. */
uint32_t express_lengths(const struct reader_options *);
/* Puts a frame, which is all that came, on the batch if it is one for it. */
bool express_take(struct reader *, struct conn *, const uint8_t *at,
		  uint32_t bytes);
/* Answers such frames up to the first that is none, or is for serve_frame()
 * after all. Returns how many; their `conn` is NULL then. */
uint32_t express_run(struct reader *, struct batch_item *, uint32_t count);
/* Around a run of those. */
void express_begin(struct reader *);
void express_end(struct reader *);

/* ---- sample.c ---- */
void sample_init(struct sampler *);
/* Begins the next window if it is time. */
void sample_turn(struct sampler *, uint64_t now_ms);
/* The path that a request is about; false: it has none. Of a multi the first
 * operation's. Borrowed from the body. */
bool sample_path(int32_t op, const uint8_t *body, uint32_t bytes,
		 struct jute_slice *path);
/* It is this frame's turn to be looked at. */
void sample_frame(struct reader *, const struct conn *, const uint8_t *frame,
		  uint32_t bytes);

/* ---- admission.c ---- */
enum admission {
	ADMISSION_GO,
	ADMISSION_WAIT,   /* stands in line; ask again */
	ADMISSION_REFUSE, /* answer THROTTLEDOP */
	ADMISSION_DROP,   /* close the connection */
};
/* May a connection that rests be read again? */
bool admission_may_read(const struct reader *, const struct conn *);
/* Room for a request that may have to be queued; false: ask again. */
bool admission_has_room(struct reader *, struct conn *);
/* The same for a heartbeat. */
bool admission_of_ping(struct reader *, struct conn *);
/* Of a request that goes to the writer or waits for it. */
enum admission admission_of_request(struct reader *, struct conn *, int32_t op);
/* Once a round: those who stand in line and have room. */
void admission_wake(struct reader *);
/* False: too large beside the large frames under way. */
bool admission_of_frame(struct reader *, uint32_t bytes);
bool admission_is_large(const struct reader *, uint32_t bytes);

/* ---- eager.c ---- */

/* Of a write whose syntax is good: ZK_OK, or why it is refused here. */
int32_t eager_check(struct reader *, const struct conn *,
		    const struct local_op *);

/* ---- connect.c ---- */
/* Returns false when it cannot be taken now (no req): ask again. */
bool connect_request(struct reader *, struct conn *, const uint8_t *frame,
		     uint32_t bytes);
void connect_granted(struct reader *, struct conn *, int64_t session_id);
void connect_refused(struct reader *, struct conn *);

/* ---- op_class.c ---- */
enum op_class {
	OP_CLASS_UNKNOWN,
	OP_CLASS_LOCAL,
	OP_CLASS_WRITE,
	OP_CLASS_SYNC,
	OP_CLASS_EPHEMERAL,
	OP_CLASS_PING,
	OP_CLASS_AUTH,
};
enum op_class op_classify(int32_t op);

/* ---- serve.c ---- */
/* One frame of an open connection. False: no room now, ask again. */
bool serve_frame(struct reader *, struct conn *, const uint8_t *frame,
		 uint32_t bytes, const struct tree_aim *);
/* A LOCAL or READY req that reached the head. True: it was kept, for a job. */
bool serve_queued(struct reader *, struct conn *, struct req *);
/* The path of a request that looks one node up, for prefetching. */
bool serve_path_of(const uint8_t *frame, uint32_t bytes,
		   struct jute_slice *path);
/* Grows the scratch buffer; NULL: out of memory. */
uint8_t *serve_scratch(struct reader *, uint32_t bytes);

/* ---- events.c ---- */
int events_init(struct reader *);
void events_free(struct reader *);
/* Goes on with large fan-outs; true if there was one. */
bool events_step(struct reader *, uint32_t budget);
bool events_have_work(const struct reader *);
void events_tell_gauges(struct reader *);
/* The oldest state this core still needs: S, or what a fan-out needs. */
uint64_t events_oldest(const struct reader *);
/* False: too many fan-outs are under way to walk further records. */
bool events_have_room(const struct reader *);
/* What a round tells: effects that may concern nobody, at 20 to 100 ns each,
 * and events, at 300. */
#define TELL_EFFECTS 4096u
#define TELL_EVENTS  1024u

/* From reader.told on. False: the round has told enough. */
bool events_of_record(struct reader *, const struct delta *);
/* Registers what a successful (or exists) read asked for. */
void events_register(struct reader *, struct conn *, int32_t op,
		     struct tree_path path);
int32_t events_add(struct reader *, struct conn *, int32_t mode,
		   struct tree_path path);
int32_t events_check(struct reader *, struct conn *, int32_t op, int32_t type,
		     struct tree_path path);
/* An event that the client missed: zxid -1, no ACL filter. */
void events_deliver_missed(void *reader, uint32_t conn, enum proto_event type,
			   struct jute_slice path);
/* Before anything is written to the connection: its share of large fan-outs
 * that are under way. */
void events_before_output(struct reader *, struct conn *);
/* Forgets a portion of its watches; true: all are gone. */
bool events_drop_some(struct reader *, struct conn *);

/* ---- count.c, listing.c, rewatch.c ---- */
/* Each answers at once, or begins a job. */
void count_serve(struct reader *, struct conn *, const struct local_op *);
void rewatch_serve(struct reader *, struct conn *, const struct local_op *);
bool rewatch_is_long(const struct local_op *);
/* getChildren of more than LISTING_DIRECT_MAX names; it was found and may be
 * read. Always a job. */
void listing_serve(struct reader *, struct conn *, const struct local_op *);
void listing_serve_multi(struct reader *, struct conn *,
			 const struct local_op *);
/* getEphemerals that came back with its nodes, at the head of its connection's
 * queue. True: it stays there, for a job. */
bool listing_serve_ephemerals(struct reader *, struct conn *, struct req *);
bool listing_init(struct reader *);
void listing_destroy(struct reader *);
/* Names that are written in one go. */
#define LISTING_DIRECT_MAX 256u

/* ---- attend.c ---- */
/* Follows the word of dataplane/serving.h. False: the reader is parked, and
 * nothing of the tree or the delta ring may be touched in this round. */
bool attend_follow(struct reader *);
/* SERVING_CLOSED, SERVING_ALL or SERVING_READS. */
static inline uint32_t
attend_state(const struct reader *reader)
{
	return reader->serving_word & SERVING_STATE_MASK;
}

/* The session is alive. Once a millisecond: the ZAB core is not told anything
 * finer, and the words it reads stay where they are in between. */
static inline void
conn_touch(struct reader *reader, struct conn *conn)
{
	if (conn->touched_ms == reader->now_ms)
		return;
	conn->touched_ms = reader->now_ms;
	channel_touch(reader->parts.channel, conn->index, reader->now_ms);
}

/* Whether the word has changed since attend_follow() looked. */
static inline bool
attend_is_due(const struct reader *reader)
{
	return reader->parts.serving != NULL &&
	       serving_load(reader->parts.serving) != reader->serving_word;
}

/* ---- await.c: see there ---- */
/* From now on the server serves nobody. */
void await_begin(struct reader *);
/* True: the newcomer waits; its ConnectRequest is to stay where it is. */
bool await_serving(struct reader *, struct conn *);
/* Serves again: those who wait are read. */
void await_end(struct reader *);
/* Hangs up on those who have waited long enough; true if any. */
bool await_step(struct reader *);
uint64_t await_next_timer_ms(const struct reader *);

/* ---- answer.c ---- */
/* Delta records up to P, unicasts in their places; true if any. */
bool answer_poll(struct reader *);
bool answer_has_work(const struct reader *);
/* Hands a req to the ZAB core; false: the lane is full. */
bool answer_submit(struct reader *, struct req *);

#endif
