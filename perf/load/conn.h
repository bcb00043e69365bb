/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_CONN_H
#define FALCONER_PERF_LOAD_CONN_H

/*
 * conn - one client connection with its session: buffers, and the queue of
 * requests whose replies are due.
 *
 * Replies come in the order of the requests, so the queue is a FIFO and each
 * reply is compared with its head.
 *
 * Context    the one thread of the load program.
 * Ownership  conn_open() allocates, conn_close() frees.
 * Errors     anything wrong with the server or the socket ends the program.
 */

#include <stddef.h>

#include "perf/load/request.h"

struct load_pending {
	uint64_t at_ns; /* sent, or in open loop scheduled */
	int32_t xid;
	enum load_op op;
	uint32_t created; /* operations of a multi */
};

struct load_conn {
	int fd;
	uint32_t index;
	int32_t next_xid;
	int64_t last_zxid;  /* replies may not go back */
	uint64_t own_count; /* creates and deletes sent */
	uint64_t sent_ns;   /* last, for pings */
	uint64_t notified;  /* watch events that came */
	struct load_pending *pending;
	uint32_t pending_cap; /* power of two */
	uint32_t pending_first, pending_end;
	uint8_t *out;
	size_t out_first, out_end, out_cap;
	uint8_t *in;
	size_t in_bytes, in_cap;
	bool waits_for_room; /* EPOLLOUT is asked for */
	bool is_on_port;     /* a stream of bypass.h, no socket */
	bool blocks;         /* conn_receive() waits for bytes */
};

static inline uint32_t
conn_pending(const struct load_conn *conn)
{
	return conn->pending_end - conn->pending_first;
}

/* Connects, makes a session. request_bytes: most bytes of one frame. The
 * socket blocks until conn_unblock(). */
void conn_open(struct load_conn *, const struct load_options *, uint32_t index,
	       uint32_t pending_max, size_t request_bytes);
void conn_unblock(struct load_conn *);
/* The same in two parts. The first one takes what memory it needs, which is no
 * server's business; the second one connects without waiting: the hello leaves
 * with the first conn_flush() of a connected socket, conn_take_hello() is true
 * once the session is there. */
void conn_prepare(struct load_conn *, const struct load_options *,
		  uint32_t index, size_t request_bytes);
void conn_begin(struct load_conn *, const struct load_options *);
bool conn_take_hello(struct load_conn *);
/* Closes the socket; the session ends by its timeout, unless the farewell was
 * said: a closeSession whose reply is waited for. */
void conn_say_farewell(struct load_conn *);
void conn_close(struct load_conn *);

/* The writer for one more frame; conn_wrote() takes it over. */
struct jute_writer conn_writer(struct load_conn *);
void conn_wrote(struct load_conn *, const struct jute_writer *);
/* Notes a request whose reply is due. Returns the xid it has to carry. */
int32_t conn_expect(struct load_conn *, enum load_op, uint64_t at_ns,
		    uint32_t created);

/* Sends what fits; true when all is out. */
bool conn_flush(struct load_conn *, uint64_t now_ns);
/* Reads once; 0 when nothing is there (non-blocking). */
size_t conn_receive(struct load_conn *);

/* What became of one request. */
struct load_reply {
	struct load_pending request;
	int32_t err;
};

/*
 * Takes the next whole reply out of what was received and checks it.
 *
 * at   offset into conn->in, starts at 0; conn_drop() afterwards
 *
 * Returns true  *out is filled; false: no whole reply is left
 */
bool conn_next_reply(struct load_conn *, const struct load_options *,
		     size_t *at, struct load_reply *out);
void conn_drop(struct load_conn *, size_t bytes);

#endif
