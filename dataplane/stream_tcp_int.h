/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_STREAM_TCP_INT_H
#define FALCONER_DATAPLANE_STREAM_TCP_INT_H

/*
 * stream_tcp_int - the table of connections that the files of stream_tcp share.
 *
 *          stream_connect()                    accepted
 *   FREE ------------------> CONNECTING ---> OPEN <------ FREE
 *                                |            |
 *                                |            | stream_close(), or CLOSED with
 *                                |            | STREAM_FINISHED was reported
 *                                |            v
 *                                |         CLOSING   the chain goes into TCP,
 *                                |            |      input is thrown away
 *                                |            v
 *                                |         LINGERING FIN is queued in TCP;
 *                                |            |      waits for the peer's
 *                 failure, abort v            v
 *                               DEAD <--------+  until the next poll or wait
 *                                |               (TCP goes on alone)
 *                                v
 *                               FREE   generation + 1
 *
 * The id is alive in CONNECTING and OPEN only. A slot and its block in TCP find
 * each other by conn->tcp and slot_of[]. In DEAD and FREE there is no block.
 *
 * A block that opened without a slot is a newcomer: it waits in a queue until
 * an event can be written for it.
 */

#include <stdatomic.h>
#include <string.h>

#include "base/list.h"
#include "dataplane/stream_tcp.h"
#include "drivers/stream_buf.h"
#include "drivers/stream_chain.h"

#define STREAM_TCP_LISTENERS_MAX 16u

/* How much of an incomplete frame stays in mbufs. */
#define STREAM_TCP_IN_TCP_BYTES 16384u

enum stream_tcp_state {
	STREAM_TCP_FREE = 0,
	STREAM_TCP_CONNECTING,
	STREAM_TCP_OPEN,
	STREAM_TCP_CLOSING,
	STREAM_TCP_LINGERING,
	STREAM_TCP_DEAD,
};

struct stream_tcp_conn {
	struct list ready_link;
	struct list dirty_link;
	struct list end_link; /* in lingering or dead */
	struct tcp_conn *tcp; /* NULL in DEAD and FREE */

	/* what a visit asks: see stream_tcp_is_plain() */
	uint8_t state;       /* enum stream_tcp_state */
	bool is_opened_told; /* OPENED was reported */
	uint8_t reason;      /* enum stream_reason; not 0: it has failed */
	bool is_paused;
	bool is_finished;    /* the peer's FIN is there */
	bool is_last_read;   /* failed, but READABLE was reported */
	bool is_tcp_dead;    /* TCP_NEWS_FAILED: release it, do not abort */
	bool wants_writable; /* WRITABLE is owed */

	uint32_t generation; /* of the present or next use, never 0 */
	uint32_t tag;
	bool is_accepted;
	bool is_dropped;      /* closed or aborted by the owner */
	bool has_limit_place; /* counted in limits */

	/* input: gathered bytes first, then what TCP holds */
	struct stream_buf *rx; /* NULL: nothing is gathered */
	uint32_t rx_wanted;    /* READABLE from so many bytes on, >= 1 */
	uint32_t rx_seen;      /* bytes TCP holds that were counted */
	uint32_t frame_bytes_max;

	/* output: TCP's first, then the chain */
	uint32_t tx_fresh;      /* committed to TCP since flush tx_flush */
	uint32_t tx_flush;      /* core->flush_count of tx_fresh */
	struct stream_chain tx; /* its reserve may lie in an mbuf: `reserved` */
	uint32_t unsent_bytes_max;
	uint32_t tx_direct_max; /* so much may be in TCP */

	uint32_t next_free; /* in FREE: index of the next free slot */
	struct stream_limits *limits;
	struct stream_address peer;
	uint64_t deadline_ns; /* in CLOSING and LINGERING */
};

/* With the block of TCP half a KiB per idle connection. */
_Static_assert(sizeof(struct stream_tcp_conn) == 192, "three cache lines");

struct stream_tcp_listener {
	bool is_used;
	uint32_t use_count;            /* of this place */
	struct stream_listener config; /* port 0 replaced by the real one */
};

struct stream_tcp_counters {
#define STREAM_COUNTER(name, what) _Atomic uint64_t name;
	STREAM_COUNTERS(STREAM_COUNTER)
#undef STREAM_COUNTER
};

struct stream_tcp {
	struct stream_core base; /* first: ops work on the base */
	struct tcp_core *tcp;
	struct port *port;
	struct stream_config config; /* defaults filled in */
	struct tcp_config tcp_config;
	struct stream_tcp_conn *conns; /* stream_limit of them */
	uint32_t *slot_of;             /* by block: slot + 1, 0: none */
	uint8_t *early_news;           /* by block: news before its slot */
	uint32_t *newcomers;           /* ring of blocks, newcomer_mask + 1 */
	uint32_t newcomer_mask, newcomer_head, newcomer_tail;
	uint32_t free_head; /* index, or UINT32_MAX */
	uint32_t touched;   /* slots below were used at least once */
	struct list ready;  /* what the next poll looks at */
	struct list told;   /* READABLE by the last poll, and not consumed */
	struct list dirty;  /* what the next flush looks at */
	struct list stuck;  /* dirty again in the next poll: no mbuf was left */
	struct list lingering;
	struct list dead;
	/* Whose reserve lies in TCP's spare mbuf: there is one for all. */
	struct stream_tcp_conn *reserved;
	/* Who is being answered, and the mbuf that the answer lies in. */
	struct stream_tcp_conn *answering;
	struct rte_mbuf *answer;
	uint64_t now_ns; /* of the last poll */
	uint32_t flush_count;
	/* Counted at the end of a flush, of a poll: see counters. */
	uint64_t sent_calls, sent_bytes;
	struct stream_tcp_listener listeners[STREAM_TCP_LISTENERS_MAX];
	struct stream_pool pool;
	struct stream_tcp_counters counters;
};

static inline struct stream_tcp *
stream_tcp_core_of(struct stream_core *core)
{
	return (struct stream_tcp *)(void *)core;
}

/* One writer, so a plain add that readers see whole. */
static inline void
stream_tcp_count(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_store_explicit(
		counter,
		atomic_load_explicit(counter, memory_order_relaxed) + more,
		memory_order_relaxed);
}

static inline uint32_t
stream_tcp_index(const struct stream_tcp *core,
		 const struct stream_tcp_conn *conn)
{
	return (uint32_t)(conn - core->conns);
}

/* The slot an id was given for, in whatever state; NULL if that is over. */
static inline struct stream_tcp_conn *
stream_tcp_slot(struct stream_tcp *core, stream_id id)
{
	const uint32_t index = stream_index(id);

	if (FAL_UNLIKELY(index >= core->touched))
		return NULL;

	struct stream_tcp_conn *conn = &core->conns[index];

	return conn->generation == id >> 32 ? conn : NULL;
}

static inline bool
stream_tcp_is_alive(const struct stream_tcp_conn *conn)
{
	return conn->state == STREAM_TCP_OPEN ||
	       conn->state == STREAM_TCP_CONNECTING;
}

static inline bool
stream_tcp_is_lingering(const struct stream_tcp_conn *conn)
{
	return conn->state == STREAM_TCP_CLOSING ||
	       conn->state == STREAM_TCP_LINGERING;
}

/* The slot of an id that is alive, else NULL. */
static inline struct stream_tcp_conn *
stream_tcp_alive(struct stream_tcp *core, stream_id id)
{
	struct stream_tcp_conn *conn = stream_tcp_slot(core, id);

	return FAL_LIKELY(conn != NULL && stream_tcp_is_alive(conn)) ? conn
								     : NULL;
}

static inline uint32_t
stream_tcp_gathered(const struct stream_tcp_conn *conn)
{
	return conn->rx == NULL ? 0 : stream_buf_bytes(conn->rx);
}

static inline uint32_t
stream_tcp_buffered(const struct stream_tcp_conn *conn)
{
	return stream_tcp_gathered(conn) + tcp_buffered(conn->tcp);
}

static inline uint32_t
stream_tcp_unsent(const struct stream_tcp *core,
		  const struct stream_tcp_conn *conn)
{
	const bool is_fresh = conn->tx_flush == core->flush_count;

	return conn->tx.bytes + (is_fresh ? conn->tx_fresh : 0);
}

/* Whether it is open and has nothing to say but that there is data: what a
 * visit asks, in one comparison. */
static inline bool
stream_tcp_is_plain(const struct stream_tcp_conn *conn)
{
	static const uint8_t plain[8] = {STREAM_TCP_OPEN, true};

	_Static_assert(offsetof(struct stream_tcp_conn, wants_writable) ==
			       offsetof(struct stream_tcp_conn, state) + 7,
		       "eight bytes, state and is_opened_told first");
	return memcmp(&conn->state, plain, sizeof(plain)) == 0;
}

/* Sets how much may be queued, in TCP and before it. */
static inline void
stream_tcp_limit_unsent(struct stream_tcp_conn *conn, uint32_t bytes)
{
	conn->unsent_bytes_max = bytes;
	conn->tx_direct_max =
		bytes < STREAM_TCP_SEND_BYTES ? bytes : STREAM_TCP_SEND_BYTES;
}

static inline void
stream_tcp_ready(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	if (list_empty(&conn->ready_link))
		list_add_tail(&core->ready, &conn->ready_link);
}

static inline void
stream_tcp_dirty(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	if (list_empty(&conn->dirty_link))
		list_add_tail(&core->dirty, &conn->dirty_link);
}

/* ---- stream_tcp.c ---- */

/* Takes a slot for a block; NULL when stream_limit is reached. The caller sets
 * state, peer, tag and limits. */
struct stream_tcp_conn *stream_tcp_new(struct stream_tcp *core,
				       struct tcp_conn *tcp);

/* Ends it without any further event, with RST if TCP still has it. */
void stream_tcp_kill(struct stream_tcp *core, struct stream_tcp_conn *conn);

/* Notes a failure; CLOSED follows when it is alive, else it is DEAD. */
void stream_tcp_fail(struct stream_tcp *core, struct stream_tcp_conn *conn,
		     enum stream_reason reason);

/* Takes what TCP tells about a connection. */
void stream_tcp_news(struct stream_tcp *core, struct stream_tcp_conn *conn,
		     uint32_t news);

/* ---- stream_tcp_io.c: input and output of a connection ---- */

/* Counts what has come, and moves the start of a long frame out of TCP so that
 * the window opens for its rest. */
void stream_tcp_rx_note(struct stream_tcp *core, struct stream_tcp_conn *conn);

/* Drops all input. */
void stream_tcp_rx_drop(struct stream_tcp *core, struct stream_tcp_conn *conn);

/* Moves the chain into TCP as far as there is room. Returns false when mbufs
 * ran out. */
bool stream_tcp_tx_move(struct stream_tcp *core, struct stream_tcp_conn *conn);

/* Forgets a reserve that was not committed. */
void stream_tcp_tx_forget(struct stream_tcp *core,
			  struct stream_tcp_conn *conn);

/* Drops the chain. */
void stream_tcp_tx_drop(struct stream_tcp *core, struct stream_tcp_conn *conn);

uint32_t stream_tcp_op_peek(struct stream_core *core, stream_id id,
			    struct stream_slice slices[STREAM_SLICES_MAX]);
const uint8_t *stream_tcp_op_pull(struct stream_core *core, stream_id id,
				  uint32_t bytes);
void stream_tcp_op_want(struct stream_core *core, stream_id id, uint32_t bytes);
void stream_tcp_op_consume(struct stream_core *core, stream_id id,
			   uint32_t bytes);
uint32_t stream_tcp_op_buffered(struct stream_core *core, stream_id id);
void stream_tcp_op_pause(struct stream_core *core, stream_id id);
void stream_tcp_op_resume(struct stream_core *core, stream_id id);
void *stream_tcp_op_reserve(struct stream_core *core, stream_id id,
			    uint32_t bytes, uint32_t *got);
void stream_tcp_op_commit(struct stream_core *core, stream_id id,
			  uint32_t used);
int stream_tcp_op_write(struct stream_core *core, stream_id id,
			const void *data, uint32_t bytes);
uint32_t stream_tcp_op_unsent(struct stream_core *core, stream_id id);
void *stream_tcp_op_answer_begin(struct stream_core *core, stream_id id,
				 uint32_t bytes, uint32_t *got);
void stream_tcp_op_answer_end(struct stream_core *core, stream_id id,
			      uint32_t used, uint32_t consumed);

/* ---- stream_tcp_open.c: listeners, newcomers, connects ---- */

/* Queues a block that opened and has no slot. */
void stream_tcp_newcomer(struct stream_tcp *core, struct tcp_conn *tcp,
			 uint32_t news);

/* Admits or refuses newcomers; at most `max` connections are put on the list
 * `fresh`, by their ready_link. */
void stream_tcp_admit(struct stream_tcp *core, struct list *fresh,
		      uint32_t max);

int stream_tcp_op_listen(struct stream_core *core,
			 const struct stream_listener *listener,
			 struct stream_address *bound,
			 struct stream_error *error);
uint32_t stream_tcp_op_unlisten(struct stream_core *core, uint32_t tag);
int stream_tcp_op_connect(struct stream_core *core,
			  const struct stream_target *target, stream_id *id,
			  struct stream_error *error);

#endif
