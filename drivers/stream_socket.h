/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_STREAM_SOCKET_H
#define FALCONER_DRIVERS_STREAM_SOCKET_H

/*
 * stream_socket - what the epoll and the io_uring implementation of stream.h
 * share: descriptors, buffers and states of the connections in stream_table.h.
 * Included by stream_*.c only.
 *
 * What differs is in struct socket_driver: how readiness is learned and how
 * bytes are moved. Both copy into the same kind of input buffer, one piece per
 * connection, present only while there are unconsumed bytes.
 *
 * Context    the core's thread, see stream.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/fal.h"
#include "drivers/stream_table.h"

#define SOCKET_LISTENERS_MAX 16u

/* A listener that cannot even shed connections rests this long. */
#define SOCKET_ACCEPT_REST_NS (100ull * 1000 * 1000)

/* Connections accepted in one poll per listener: bounds the iteration. */
#define SOCKET_ACCEPT_BURST 64u

/* Buffers of a chain that go into one send. */
#define SOCKET_SEND_BUFFERS 64u

struct socket_conn {
	struct stream_slot slot; /* first */
	struct stream_buf *rx;   /* input; NULL: nothing is buffered */
	int fd;                  /* -1 in FREE */

	/* epoll: a receive would not be in vain, as far as we know; uring: a
	 * receive is to be submitted. */
	bool has_input;
	bool sees_end;        /* epoll: FIN or failure comes behind the input */
	bool is_blocked;      /* the system took less than all output */
	bool is_reset_wanted; /* end with RST, not FIN */

	/* The implementation's own. */
	bool watches_output;    /* epoll: EPOLLOUT is subscribed */
	bool is_receiving;      /* uring: a receive is in flight */
	bool receives_in_place; /* uring: into rx, which must not move */
	bool has_more;          /* uring: the last receive left bytes behind */
	bool is_sending;        /* uring: a send is in flight */
	bool is_polled;         /* uring: a poll is in flight */
	bool is_cancelled;      /* uring: a cancel was submitted */
};

/* Part of the target of half a KiB per idle connection. */
_Static_assert(sizeof(struct socket_conn) <= 192, "three cache lines");

struct socket_listener {
	int fd; /* -1: the place is free */
	uint32_t generation;
	struct stream_listener config;
	uint64_t rest_until_ns; /* not 0: not accepting until then */
	bool is_armed;          /* uring: a multishot accept is in flight */
};

struct socket_core;

struct socket_driver {
	/* Starts watching a new connection. Returns 0 or a FAL_E. */
	int (*attach)(struct socket_core *core, struct socket_conn *conn);
	/* Receives (or sees to it that something will be received); has_input
	 * is set, there is no FIN, no failure. */
	void (*receive)(struct socket_core *core, struct socket_conn *conn);
	/* The same in CLOSING and LINGERING, where input is thrown away. */
	void (*drain)(struct socket_core *core, struct socket_conn *conn);
	/* Sees to it that the failure of a paused connection is learned. */
	void (*hold)(struct socket_core *core, struct socket_conn *conn);
	/* Sends from tx; there is something unsent. */
	void (*send)(struct socket_core *core, struct socket_conn *conn);
	/* Lets go of a DEAD connection. Returns false while the system still
	 * uses its buffers or descriptor: it is asked again at the next poll.
	 */
	bool (*detach)(struct socket_core *core, struct socket_conn *conn);
	/* Starts and stops watching a listener. */
	int (*watch)(struct socket_core *core, uint32_t listener);
	void (*unwatch)(struct socket_core *core, uint32_t listener);
};

struct socket_core {
	struct stream_table table; /* first: ops work on its base */
	const struct socket_driver *driver;
	struct socket_conn *conns; /* the table's slots */
	int reserve_fd; /* spent when descriptors run out; -1: spent */
	uint32_t listener_generation;
	struct socket_listener listeners[SOCKET_LISTENERS_MAX];
};

static inline struct socket_core *
socket_core_of(struct stream_core *core)
{
	return (struct socket_core *)(void *)core;
}

static inline struct socket_conn *
socket_conn_of(struct stream_slot *slot)
{
	return (struct socket_conn *)(void *)slot;
}

static inline uint32_t
socket_index(const struct socket_core *core, const struct socket_conn *conn)
{
	return (uint32_t)(conn - core->conns);
}

static inline stream_id
socket_id(const struct socket_core *core, const struct socket_conn *conn)
{
	return (uint64_t)conn->slot.generation << 32 | socket_index(core, conn);
}

/* The slot an id was given for, in whatever state; NULL if that is over. */
static inline struct socket_conn *
socket_of(struct socket_core *core, stream_id id)
{
	return socket_conn_of(
		stream_slot_of(&core->table, id, sizeof(struct socket_conn)));
}

/* The slot of an id that is alive, else NULL. */
static inline struct socket_conn *
socket_alive(struct socket_core *core, stream_id id)
{
	struct socket_conn *conn = socket_of(core, id);

	return FAL_LIKELY(conn != NULL && stream_slot_is_alive(&conn->slot))
		       ? conn
		       : NULL;
}

static inline uint32_t
socket_buffered(const struct socket_conn *conn)
{
	return conn->rx == NULL ? 0 : stream_buf_bytes(conn->rx);
}

/* Makes the next poll look at it. */
static inline void
socket_ready(struct socket_core *core, struct socket_conn *conn)
{
	stream_slot_ready(&core->table, &conn->slot);
}

/* Makes the next flush look at it. */
static inline void
socket_dirty(struct socket_core *core, struct socket_conn *conn)
{
	stream_slot_dirty(&core->table, &conn->slot);
}

/* ---- stream_socket.c: the life of a connection ---- */

/* Sets up everything but the implementation's part, which follows it in the
 * object of `bytes` bytes. Returns 0, FAL_EINVAL, FAL_ENOMEM, FAL_ELIMIT. */
FAL_MUST_CHECK int socket_core_create(const struct stream_config *config,
				      const struct stream_ops *ops,
				      const struct socket_driver *driver,
				      size_t bytes, struct socket_core **core);

/* Frees what socket_core_create() made, after all sockets are FREE. */
void socket_core_free(struct socket_core *core);

/* Takes a slot for a descriptor; NULL when stream_limit is reached. The caller
 * sets state, peer, tag and limits. */
struct socket_conn *socket_new(struct socket_core *core, int fd);

/* Makes a slot whose descriptor nobody uses any more FREE; closes the
 * descriptor. */
void socket_free(struct socket_core *core, struct socket_conn *conn);

/* Ends it without any further event; with_reset: RST instead of FIN. The slot
 * goes at the next poll. */
void socket_kill(struct socket_core *core, struct socket_conn *conn,
		 bool with_reset);

/* Notes a failure; CLOSED follows when it is alive, else it is DEAD. */
void socket_fail(struct socket_core *core, struct socket_conn *conn,
		 enum stream_reason reason);

/* Notes the peer's FIN. */
void socket_finish(struct socket_core *core, struct socket_conn *conn);

/* Turns CLOSING into LINGERING once everything is sent, and into DEAD once the
 * peer has finished too. */
void socket_close_advance(struct socket_core *core, struct socket_conn *conn);

/* The start of every poll and wait: frees the dead, ends those whose time is
 * over, wakes listeners that rested. */
void socket_housekeep(struct socket_core *core, uint64_t now_ns);

/* Looks at each connection that is on the ready list behind `before` (a link of
 * the list, or its head) once and writes events until `max`; returns how many.
 * Those that have more to say are put at the end for the next poll. */
uint32_t socket_visit_ready(struct socket_core *core, struct list *before,
			    struct stream_event *events, uint32_t max);

/* How long a wait may last at most because of deadlines. */
uint64_t socket_wait_bound(const struct socket_core *core, uint64_t timeout_ns);

/* Ends all connections at once; socket_housekeep() frees them. */
void socket_kill_all(struct socket_core *core);

/* Operations of stream.h that are the same for all. */
void socket_op_flush(struct stream_core *core);
void socket_op_close(struct stream_core *core, stream_id id);
void socket_op_abort(struct stream_core *core, stream_id id);

/* ---- stream_socket_io.c: buffers of a connection ---- */

/* Makes room behind the buffered input. Returns how many bytes may be received
 * into conn->rx at its tail; 0: enough is buffered for now, or there is no
 * memory (then it has failed). */
uint32_t socket_rx_room(struct socket_core *core, struct socket_conn *conn);

/* Appends received bytes. Returns 0 or FAL_ENOMEM. */
FAL_MUST_CHECK int socket_rx_append(struct socket_core *core,
				    struct socket_conn *conn, const void *data,
				    uint32_t bytes);

/* Gives the input buffer back when nothing is in it. */
void socket_rx_trim(struct socket_core *core, struct socket_conn *conn);

/* Drops all input. */
void socket_rx_drop(struct socket_core *core, struct socket_conn *conn);

uint32_t socket_op_peek(struct stream_core *core, stream_id id,
			struct stream_slice slices[STREAM_SLICES_MAX]);
const uint8_t *socket_op_pull(struct stream_core *core, stream_id id,
			      uint32_t bytes);
void socket_op_want(struct stream_core *core, stream_id id, uint32_t bytes);
void socket_op_consume(struct stream_core *core, stream_id id, uint32_t bytes);
uint32_t socket_op_buffered(struct stream_core *core, stream_id id);
void *socket_op_reserve(struct stream_core *core, stream_id id, uint32_t bytes,
			uint32_t *got);
void socket_op_commit(struct stream_core *core, stream_id id, uint32_t used);
int socket_op_write(struct stream_core *core, stream_id id, const void *data,
		    uint32_t bytes);
uint32_t socket_op_unsent(struct stream_core *core, stream_id id);

/* ---- stream_accept.c: descriptors, listeners, connects ---- */

/* The reason for an errno of recv, send or connect. */
enum stream_reason socket_reason_of(int error);

/* Accepts one connection of a listener, non-blocking. Returns whether to go
 * on. */
bool socket_accept(struct socket_core *core, uint32_t listener);

/* Decides about an accepted descriptor: makes it a connection, or resets it.
 * Takes the descriptor in both cases. peer NULL: asks the system. */
void socket_admit(struct socket_core *core, uint32_t listener, int fd,
		  const struct stream_address *peer);

/* An accept failed with this errno: sheds a connection by means of the reserve
 * descriptor, or lets the listener rest. Returns whether to go on accepting. */
bool socket_accept_failed(struct socket_core *core, uint32_t listener,
			  int error);

/* Stops accepting on a listener for SOCKET_ACCEPT_REST_NS. */
void socket_listener_rest(struct socket_core *core, uint32_t listener);

/* Looks how the connect of a CONNECTING socket ended, when it has. */
void socket_connect_check(struct socket_core *core, struct socket_conn *conn);

/* Opens a reserve descriptor; -1 when there is none left. */
int socket_reserve_open(void);

/* Closes a descriptor with RST. */
void socket_reset_fd(int fd);

/* Wakes listeners whose rest is over. */
void socket_listeners_wake(struct socket_core *core);

int socket_op_listen(struct stream_core *core,
		     const struct stream_listener *listener,
		     struct stream_address *bound, struct stream_error *error);
uint32_t socket_op_unlisten(struct stream_core *core, uint32_t tag);
int socket_op_connect(struct stream_core *core,
		      const struct stream_target *target, stream_id *id,
		      struct stream_error *error);

#endif
