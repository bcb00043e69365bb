/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_STREAM_TCP_INT_H
#define FALCONER_DATAPLANE_STREAM_TCP_INT_H

/*
 * stream_tcp_int - the table of connections that the files of stream_tcp share.
 *
 * A slot of stream_table.h and its block in TCP find each other by conn->tcp
 * and slot_of[]. In CLOSING the chain goes into TCP, in LINGERING the FIN is
 * queued there; in DEAD and FREE there is no block, and TCP goes on alone.
 *
 * A block that opened without a slot is a newcomer: it waits in a queue until
 * an event can be written for it.
 */

#include "dataplane/stream_tcp.h"
#include "drivers/stream_table.h"

#define STREAM_TCP_LISTENERS_MAX 16u

/* How much of an incomplete frame stays in mbufs. */
#define STREAM_TCP_IN_TCP_BYTES 16384u

struct stream_tcp_conn {
	struct stream_slot slot; /* first; its reserve may lie in an mbuf */
	struct tcp_conn *tcp;    /* NULL in DEAD and FREE */
	struct stream_buf *rx;   /* gathered input, before what TCP holds */
	uint32_t rx_seen;        /* bytes buffered in TCP that were counted */
	uint32_t tx_fresh;       /* committed to TCP since flush tx_flush */
	uint32_t tx_flush;       /* core->flush_count of tx_fresh */
	uint32_t tx_direct_max;  /* so much may be in TCP */
	/* TCP has given it up: release the block, do not abort it. It has
	 * failed or is finished then. */
	bool is_tcp_dead;
	uint32_t rx_lifted; /* of rx: to TCP they are unread */
};

/* With the block of TCP half a KiB per idle connection. */
_Static_assert(sizeof(struct stream_tcp_conn) == 192, "three cache lines");

struct stream_tcp_listener {
	bool is_used;
	uint32_t use_count;            /* of this place */
	struct stream_listener config; /* port 0 replaced by the real one */
};

struct stream_tcp {
	struct stream_table table; /* first: ops work on its base */
	struct tcp_core *tcp;
	struct port *port;
	struct tcp_config tcp_config;
	struct stream_tcp_conn *conns; /* the table's slots */
	uint32_t *slot_of;             /* by block: slot + 1, 0: none */
	uint8_t *early_news;           /* by block: news before its slot */
	uint32_t *newcomers;           /* ring of blocks, newcomer_mask + 1 */
	uint32_t newcomer_mask, newcomer_head, newcomer_tail;
	struct list told;  /* READABLE by the last poll, and not consumed */
	struct list stuck; /* dirty again in the next poll: no mbuf was left */
	/* Whose reserve lies in TCP's spare mbuf: there is one for all. */
	struct stream_tcp_conn *reserved;
	/* Who is being answered, and the mbuf that the answer lies in. */
	struct stream_tcp_conn *answering;
	struct rte_mbuf *answer;
	uint32_t flush_count;
	/* Slots that are to be looked at because mbufs are short or were, and
	 * the next of them: see stream_tcp_sweep(). */
	uint32_t sweep_left, sweep_at;
	/* Counted at the end of a flush, of a poll: see counters. */
	uint64_t sent_calls, sent_bytes;
	struct stream_tcp_listener listeners[STREAM_TCP_LISTENERS_MAX];
};

static inline struct stream_tcp *
stream_tcp_core_of(struct stream_core *core)
{
	return (struct stream_tcp *)(void *)core;
}

static inline struct stream_tcp_conn *
stream_tcp_conn_of(struct stream_slot *slot)
{
	return (struct stream_tcp_conn *)(void *)slot;
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
	return stream_tcp_conn_of(stream_slot_of(
		&core->table, id, sizeof(struct stream_tcp_conn)));
}

/* The slot of an id that is alive, else NULL. */
static inline struct stream_tcp_conn *
stream_tcp_alive(struct stream_tcp *core, stream_id id)
{
	struct stream_tcp_conn *conn = stream_tcp_slot(core, id);

	return FAL_LIKELY(conn != NULL && stream_slot_is_alive(&conn->slot))
		       ? conn
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
	return stream_tcp_gathered(conn) + tcp_buffered(conn->tcp) -
	       conn->rx_lifted;
}

static inline uint32_t
stream_tcp_unsent(const struct stream_tcp *core,
		  const struct stream_tcp_conn *conn)
{
	const bool is_fresh = conn->tx_flush == core->flush_count;

	return conn->slot.tx.bytes + (is_fresh ? conn->tx_fresh : 0);
}

/* How much may be in TCP follows from how much may be queued in all. */
static inline void
stream_tcp_limit_direct(struct stream_tcp_conn *conn)
{
	const uint32_t all = conn->slot.unsent_bytes_max;

	conn->tx_direct_max =
		all < STREAM_TCP_SEND_BYTES ? all : STREAM_TCP_SEND_BYTES;
}

static inline void
stream_tcp_ready(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	stream_slot_ready(&core->table, &conn->slot);
}

static inline void
stream_tcp_dirty(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	stream_slot_dirty(&core->table, &conn->slot);
}

/* ---- stream_tcp.c ---- */

/* Takes a slot for a block; NULL when stream_limit is reached. The caller makes
 * it accepted or connecting, and limits what may be in TCP. */
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

/* Looks at some slots while mbufs are short, and once at all of them when they
 * are not any more: what is unread moves into ordinary memory, and windows that
 * stayed closed open. */
void stream_tcp_sweep(struct stream_tcp *core);

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
