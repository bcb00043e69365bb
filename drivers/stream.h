/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_STREAM_H
#define FALCONER_DRIVERS_STREAM_H

/*
 * stream - byte streams of one core, whatever carries them.
 *
 * Connection code (clients, peers, the client library) sees this file only.
 * Behind it are kernel sockets on epoll, kernel sockets on io_uring, or a TCP
 * of our own; server/ picks one at run time through the table of functions.
 *
 * A loop iteration of the owner:
 *
 *   count = stream_poll(core, now_ns, events, max);
 *   for each event
 *       OPENED    set up what belongs to events[i].id
 *       READABLE  stream_pull()/stream_peek(), handle frames,
 *                 stream_consume(), stream_reserve() + stream_commit()
 *       WRITABLE  go on writing what a full connection refused
 *       CLOSED    forget the id
 *   stream_flush(core);
 *   nothing to do for long: stream_wait(core, timeout_ns)
 *
 * READABLE is a level: it is reported by every poll as long as the connection
 * is not paused and holds at least as many bytes as are wanted. Wanted is 1
 * byte at first; stream_pull() that cannot be satisfied and stream_want() raise
 * it, so that half a frame does not keep the loop awake; stream_consume() sets
 * it back to 1. A caller that leaves bytes and neither wants more nor pauses is
 * asked again in the next poll (that is how work is cut into slices).
 *
 * The end of a connection:
 *  - the peer finishes (FIN): what arrived before stays READABLE; as soon as
 *    fewer bytes than wanted are left, CLOSED with STREAM_FINISHED. Output that
 *    is still queued is sent in the background, then the connection goes.
 *  - the connection fails (RST, keepalive, no memory): bytes that came before
 *    are reported as READABLE once more at most, CLOSED comes in the same or in
 *    the next poll, even for a paused connection. Queued output is lost.
 *  - the owner calls stream_close() or stream_abort(): the id is dead at once
 *    and no CLOSED follows.
 * A dead or invented id is harmless in every call (see each one).
 *
 * Context    one core object belongs to one thread: the one that polls. It may
 *            be created and given its listeners by another thread before.
 *            stream_counters_read() may be called from anywhere.
 * Ownership  slices and reserved space are borrowed from the core, see the
 *            functions. Events are the caller's array.
 * Limits     connections per core, bytes of a frame, unsent bytes of a
 *            connection: struct stream_config; per host: struct stream_limits.
 * Errors     negative enum fal_err, never errno. Never logs: counters instead.
 * Cost       kernel sockets: per poll one epoll_wait (none with io_uring when
 *            something is there), per readable connection and poll at most one
 *            recv, per dirty connection and flush at most one send. No
 *            allocation once the buffer pools have grown to the load, except
 *            for frames and reserves above STREAM_BUFFER_BYTES.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/fal.h"
#include "drivers/stream_address.h"
#include "drivers/stream_limits.h"

/* (generation << 32 | index). The generation starts at 1 and grows with each
 * use of the index, so 0 names no connection ever. */
typedef uint64_t stream_id;

#define STREAM_NONE ((stream_id)0)

/* Payload of the larger pooled buffers: reserves up to this size never
 * allocate. */
#define STREAM_BUFFER_BYTES 16384u

/* stream_peek() gives at most this many slices. */
#define STREAM_SLICES_MAX 4u

/* The smallest array stream_poll() accepts; 64 or more is sensible. */
#define STREAM_EVENTS_MIN 4u

enum stream_event_kind {
	STREAM_OPENED = 1, /* accepted, or an own connect succeeded      */
	STREAM_READABLE,   /* at least the wanted bytes can be peeked    */
	STREAM_WRITABLE,   /* a full connection has room again           */
	STREAM_CLOSED,     /* the id is dead; reason tells why           */
};

enum stream_reason {
	STREAM_NO_REASON = 0,  /* events other than CLOSED                  */
	STREAM_FINISHED,       /* the peer sent FIN, its input is consumed  */
	STREAM_RESET,          /* RST, or a write after the peer was gone   */
	STREAM_TIMED_OUT,      /* retransmission, keepalive, connect timers */
	STREAM_REFUSED,        /* connect: nobody listens there             */
	STREAM_UNREACHABLE,    /* connect or later: no route to the peer    */
	STREAM_FRAME_TOO_LONG, /* stream_pull() above frame_bytes_max       */
	STREAM_NO_MEMORY,      /* a buffer could not be had                 */
	STREAM_FAILED,         /* any other error of the system             */
};

struct stream_event {
	stream_id id;
	uint32_t tag;     /* of the listener or of stream_connect()     */
	uint8_t kind;     /* enum stream_event_kind                     */
	uint8_t reason;   /* enum stream_reason                         */
	bool is_accepted; /* true: by a listener; false: own connect    */
	uint8_t reserved; /* zero                                       */
	/* READABLE only: the input, if all of it lies in one piece, as
	 * stream_peek() would give it; else NULL, and 0. */
	uint32_t bytes;
	const uint8_t *data;
};

/* Borrowed bytes. */
struct stream_slice {
	const uint8_t *data;
	uint32_t bytes;
};

/* What a core is made of. Zero means the default where one is named. */
struct stream_config {
	/* Connections at a time, 1..2^20; those that linger count too. */
	uint32_t stream_limit;
	/* Default 1 MiB + 4: largest contiguous view of a connection's input.
	 */
	uint32_t frame_bytes_max;
	/* Default 64 MiB: queued output of one connection. */
	uint32_t unsent_bytes_max;
	/* Default 64 KiB: WRITABLE when unsent falls to this after it was above
	 * it when a flush began, or after a refused reserve or write. */
	uint32_t writable_bytes;
	/* Default 5000: how long a closed connection may take to send and to
	 * see the peer's FIN before it is reset. */
	uint32_t linger_ms;
	/* Eventfd that ends stream_wait(), lent for the life of the core; -1:
	 * none. */
	int doorbell_fd;
};

/* Where and how to accept. */
struct stream_listener {
	struct stream_address address; /* port 0: the system picks one */
	uint32_t tag;                  /* given back in events */
	int backlog;                   /* <= 0: the system's maximum */
	/* SO_REUSEPORT: every core has its own listener on this address. */
	bool is_shared;
	/* With is_shared: the first of them; makes sure that nobody else, not
	 * even with SO_REUSEPORT, listens there. */
	bool is_first;
	bool keepalive; /* SO_KEEPALIVE on accepted connections */
	/* Lent while listening and while a connection of it lives; NULL: no
	 * limits but the core's. */
	struct stream_limits *limits;
	uint32_t frame_bytes_max;  /* 0: as in stream_config */
	uint32_t unsent_bytes_max; /* 0: as in stream_config */
};

/* Whom to connect to. */
struct stream_target {
	struct stream_address address; /* not STREAM_ANY */
	uint32_t tag;                  /* given back in events */
	bool keepalive;
	uint32_t frame_bytes_max;  /* 0: as in stream_config */
	uint32_t unsent_bytes_max; /* 0: as in stream_config */
};

/* A sentence for the log, e.g. "bind 127.0.0.1:2181: Address already in use".
 * Empty when there was no error. */
struct stream_error {
	char text[160];
};

/* X(name, what it counts); 64 bits each, they only grow, except for those
 * marked as gauges. */
#define STREAM_COUNTERS(X)                                                   \
	X(polls, "stream_poll() calls")                                      \
	X(waits, "times the core went to sleep in stream_wait()")            \
	X(recv_calls, "receives that were tried or completed")               \
	X(recv_bytes, "bytes received")                                      \
	X(send_calls, "sends that were tried")                               \
	X(send_bytes, "bytes the system took for sending")                   \
	X(accepts, "connections accepted and kept")                          \
	X(connects, "own connects that were started")                        \
	X(refused_total, "reset at accept: limit on all connections")        \
	X(refused_host, "reset at accept: limit per host")                   \
	X(refused_core, "reset at accept: stream_limit of the core")         \
	X(accept_no_file, "accepts that failed for want of descriptors")     \
	X(accept_errors, "accepts that failed otherwise")                    \
	X(finished, "CLOSED events: finished by the peer")                   \
	X(failed, "CLOSED events: any other reason")                         \
	X(closes, "stream_close() calls that met a live connection")         \
	X(aborts, "stream_abort() calls that met a live connection")         \
	X(linger_timeouts, "closed connections reset after linger_ms")       \
	X(unsent_limit_hits, "reserves and writes refused: too much unsent") \
	X(pauses, "stream_pause() calls that changed something")             \
	X(connections, "gauge: open or being opened")                        \
	X(lingering, "gauge: closed, not yet gone")                          \
	X(buffer_bytes, "gauge: bytes in buffers now")                       \
	X(buffer_bytes_peak, "gauge: highest buffer_bytes so far")           \
	X(pool_bytes, "gauge: memory of the buffer pools, used or not")

struct stream_counters {
#define STREAM_COUNTER(name, what) uint64_t name;
	STREAM_COUNTERS(STREAM_COUNTER)
#undef STREAM_COUNTER
};

struct stream_core;

/* What an implementation provides; see the functions below for the meaning. */
struct stream_ops {
	const char *name; /* "epoll", "io_uring" */
	uint32_t (*poll)(struct stream_core *core, uint64_t now_ns,
			 struct stream_event *events, uint32_t max);
	void (*flush)(struct stream_core *core);
	void (*wait)(struct stream_core *core, uint64_t timeout_ns);
	uint32_t (*peek)(struct stream_core *core, stream_id id,
			 struct stream_slice slices[STREAM_SLICES_MAX]);
	const uint8_t *(*pull)(struct stream_core *core, stream_id id,
			       uint32_t bytes);
	void (*want)(struct stream_core *core, stream_id id, uint32_t bytes);
	void (*consume)(struct stream_core *core, stream_id id, uint32_t bytes);
	uint32_t (*buffered)(struct stream_core *core, stream_id id);
	void (*pause)(struct stream_core *core, stream_id id);
	void (*resume)(struct stream_core *core, stream_id id);
	void *(*reserve)(struct stream_core *core, stream_id id, uint32_t bytes,
			 uint32_t *got);
	void (*commit)(struct stream_core *core, stream_id id, uint32_t used);
	int (*write)(struct stream_core *core, stream_id id, const void *data,
		     uint32_t bytes);
	uint32_t (*unsent)(struct stream_core *core, stream_id id);
	/* Both or neither. */
	void *(*answer_begin)(struct stream_core *core, stream_id id,
			      uint32_t bytes, uint32_t *got);
	void (*answer_end)(struct stream_core *core, stream_id id,
			   uint32_t used, uint32_t consumed);
	int (*listen)(struct stream_core *core,
		      const struct stream_listener *listener,
		      struct stream_address *bound, struct stream_error *error);
	uint32_t (*unlisten)(struct stream_core *core, uint32_t tag);
	int (*connect)(struct stream_core *core,
		       const struct stream_target *target, stream_id *id,
		       struct stream_error *error);
	void (*close)(struct stream_core *core, stream_id id);
	void (*abort)(struct stream_core *core, stream_id id);
	const struct stream_address *(*peer)(struct stream_core *core,
					     stream_id id);
	void (*counters_read)(struct stream_core *core,
			      struct stream_counters *counters);
	void (*destroy)(struct stream_core *core);
};

/* The head of every implementation's core. */
struct stream_core {
	const struct stream_ops *ops;
	uint32_t stream_limit;
};

/* The dense part of an id, 0..stream_limit-1: for arrays beside the core. An
 * index is used again only after its connection is closed. */
static inline uint32_t
stream_index(stream_id id)
{
	return (uint32_t)id;
}

/* How many connections the core can hold; fixed at creation. */
static inline uint32_t
stream_limit(const struct stream_core *core)
{
	return core->stream_limit;
}

/*
 * Receives what is there and reports what happened.
 *
 * now_ns  monotonic time of this iteration; never goes back
 * events  out, max entries; an id appears at most once with each kind, kinds of
 *         one id in the order of enum stream_event_kind
 * max     >= STREAM_EVENTS_MIN. What does not fit is reported by the next poll;
 *         no connection starves.
 *
 * Slices, pulled views and reserved space of before are no longer valid.
 *
 * Returns how many events were written.
 */
static inline uint32_t
stream_poll(struct stream_core *core, uint64_t now_ns,
	    struct stream_event *events, uint32_t max)
{
	return core->ops->poll(core, now_ns, events, max);
}

/* Hands all committed output to the system: one send per connection (one more
 * for each further MiB). What the system does not take goes out in later
 * flushes by itself. Once per loop, after the events; also among them, when
 * what was said must leave before long work. */
static inline void
stream_flush(struct stream_core *core)
{
	core->ops->flush(core);
}

/*
 * Sleeps until a connection has news, the doorbell rings or the time is over;
 * flushes before. Call it after a poll without events; it does not sleep when
 * something is left to be reported, nor when the doorbell has rung since the
 * last wait, even if a poll came in between. May return early without a cause.
 *
 * timeout_ns  0: does not sleep; UINT64_MAX: no limit
 */
static inline void
stream_wait(struct stream_core *core, uint64_t timeout_ns)
{
	core->ops->wait(core, timeout_ns);
}

/*
 * Gives the buffered input in place, oldest first.
 *
 * slices  out; valid until the next consume, pull or want of this id or the
 *         next stream_poll()
 *
 * Returns how many slices were set, 0 when there is no input or the id is dead.
 * The slices may hold less than all input (never less than its first byte).
 */
static inline uint32_t
stream_peek(struct stream_core *core, stream_id id,
	    struct stream_slice slices[STREAM_SLICES_MAX])
{
	return core->ops->peek(core, id, slices);
}

/*
 * Gives the first `bytes` bytes of the input in one piece.
 *
 * bytes  1..frame_bytes_max of the connection. More than that closes it: CLOSED
 *        with STREAM_FRAME_TOO_LONG follows (check lengths before, this is the
 *        net below).
 *
 * Returns a view, valid as long as slices of stream_peek() are; more bytes may
 *         follow it in memory, stream_buffered() tells how many there are in
 *         all, but only `bytes` are promised
 *         NULL: fewer are buffered, and READABLE comes when they are (as with
 *         stream_want()); or the id is dead
 */
static inline const uint8_t *
stream_pull(struct stream_core *core, stream_id id, uint32_t bytes)
{
	return core->ops->pull(core, id, bytes);
}

/* Asks for READABLE only when `bytes` bytes are buffered (or no more can come);
 * range as in stream_pull(). Lasts until the next consume. The input buffer
 * grows with the bytes that arrive, not with the promise. */
static inline void
stream_want(struct stream_core *core, stream_id id, uint32_t bytes)
{
	core->ops->want(core, id, bytes);
}

/* Drops the first `bytes` bytes of the input, at most what is buffered (more
 * is a bug and asserted). Nothing happens for a dead id. */
static inline void
stream_consume(struct stream_core *core, stream_id id, uint32_t bytes)
{
	core->ops->consume(core, id, bytes);
}

/* Bytes that are buffered and not consumed; 0 for a dead id. */
static inline uint32_t
stream_buffered(struct stream_core *core, stream_id id)
{
	return core->ops->buffered(core, id);
}

/* Stops receiving and reporting READABLE, FIN too; the peer's window closes.
 * Failures are still reported. */
static inline void
stream_pause(struct stream_core *core, stream_id id)
{
	core->ops->pause(core, id);
}

/* Ends stream_pause(): READABLE comes with the next poll if bytes are there. */
static inline void
stream_resume(struct stream_core *core, stream_id id)
{
	core->ops->resume(core, id);
}

/*
 * Gives contiguous space at the end of the connection's output.
 *
 * bytes  how much is needed at least; above STREAM_BUFFER_BYTES it is allocated
 * got    out, how much there is, >= bytes; 0 when NULL is returned
 *
 * Returns the space, valid until commit, the next reserve or write of this id,
 *         stream_flush() or stream_poll(); alignment 1
 *         NULL: unsent + bytes would pass unsent_bytes_max (WRITABLE comes when
 *         there is room), no memory, or a dead id
 */
static inline void *
stream_reserve(struct stream_core *core, stream_id id, uint32_t bytes,
	       uint32_t *got)
{
	return core->ops->reserve(core, id, bytes, got);
}

/* Queues the first `used` bytes of the reserved space, at most `got` (more is a
 * bug and asserted). Nothing happens for a dead id. */
static inline void
stream_commit(struct stream_core *core, stream_id id, uint32_t used)
{
	core->ops->commit(core, id, used);
}

/*
 * Queues a copy of any number of bytes: all or nothing.
 *
 * Returns 0
 *         FAL_ELIMIT   unsent_bytes_max would be passed
 *         FAL_ENOMEM   nothing is queued
 *         FAL_ECLOSED  the id is dead
 */
FAL_MUST_CHECK static inline int
stream_write(struct stream_core *core, stream_id id, const void *data,
	     uint32_t bytes)
{
	return core->ops->write(core, id, data, bytes);
}

/* Bytes committed but not yet taken by the system; 0 for a dead id. */
static inline uint32_t
stream_unsent(struct stream_core *core, stream_id id)
{
	return core->ops->unsent(core, id);
}

/* stream_reserve() for who answers a request and has nothing unsent: NULL, too,
 * if there is, or if it would take more than a look. Until stream_answer_end()
 * nothing that changes a connection is asked of the core; it may be left out,
 * and then nothing has happened. */
static inline void *
stream_answer_begin(struct stream_core *core, stream_id id, uint32_t bytes,
		    uint32_t *got)
{
	if (FAL_LIKELY(core->ops->answer_begin != NULL))
		return core->ops->answer_begin(core, id, bytes, got);
	if (stream_unsent(core, id) > 0)
		return NULL;
	return stream_reserve(core, id, bytes, got);
}

/* stream_commit() of `used` (> 0) bytes of that, and stream_consume() of the
 * request they answer. */
static inline void
stream_answer_end(struct stream_core *core, stream_id id, uint32_t used,
		  uint32_t consumed)
{
	if (FAL_LIKELY(core->ops->answer_end != NULL)) {
		core->ops->answer_end(core, id, used, consumed);
		return;
	}
	stream_commit(core, id, used);
	stream_consume(core, id, consumed);
}

/*
 * Starts accepting; SO_REUSEADDR always, TCP_NODELAY on what is accepted.
 *
 * bound  out, nullable: the address with the port in use
 * error  out, nullable: what to tell the operator
 *
 * Returns 0
 *         FAL_EBUSY    the port is taken
 *         FAL_EINVAL   no such local address
 *         FAL_ELIMIT   no descriptors, or more than 16 listeners
 *         FAL_EIO      anything else (missing privileges too)
 */
FAL_MUST_CHECK static inline int
stream_listen(struct stream_core *core, const struct stream_listener *listener,
	      struct stream_address *bound, struct stream_error *error)
{
	return core->ops->listen(core, listener, bound, error);
}

/* Closes the listeners with this tag; connections they accepted live on.
 * Returns how many there were. */
static inline uint32_t
stream_unlisten(struct stream_core *core, uint32_t tag)
{
	return core->ops->unlisten(core, tag);
}

/*
 * Starts a connection. OPENED (is_accepted false) or CLOSED follows in a later
 * poll, never before this returns; until then output may be queued already. No
 * timer beside the system's own: the caller aborts what takes too long.
 *
 * id     out
 * error  out, nullable
 *
 * Returns 0
 *         FAL_ELIMIT   stream_limit or the descriptors are used up
 *         FAL_EINVAL   not an address one can connect to
 *         FAL_ENOMEM
 *         FAL_EIO      refused by the system at once (no route, ...)
 */
FAL_MUST_CHECK static inline int
stream_connect(struct stream_core *core, const struct stream_target *target,
	       stream_id *id, struct stream_error *error)
{
	return core->ops->connect(core, target, id, error);
}

/* Ends a connection in order: what is queued is sent, then FIN; further input
 * is thrown away; after linger_ms it is reset. One that has not opened yet is
 * aborted. The id is dead at once and no event follows. Its place in struct
 * stream_limits is free at once. */
static inline void
stream_close(struct stream_core *core, stream_id id)
{
	core->ops->close(core, id);
}

/* Ends a connection at once with RST; queued output is lost. The id is dead and
 * no event follows. */
static inline void
stream_abort(struct stream_core *core, stream_id id)
{
	core->ops->abort(core, id);
}

/* The other side. Valid from OPENED (own connects: from stream_connect()) until
 * the poll or wait after CLOSED was reported, so it may be logged then; NULL
 * once the connection is forgotten. */
static inline const struct stream_address *
stream_peer(struct stream_core *core, stream_id id)
{
	return core->ops->peer(core, id);
}

/* Copies the counters. Any thread: each is read whole, together they are a
 * little apart. */
static inline void
stream_counters_read(struct stream_core *core, struct stream_counters *counters)
{
	core->ops->counters_read(core, counters);
}

/* Resets all connections, closes all listeners and frees everything. The
 * polling thread has ended or is the caller. */
static inline void
stream_destroy(struct stream_core *core)
{
	core->ops->destroy(core);
}

/* A word or two for the log ("reset by the peer"). */
const char *stream_reason_str(uint32_t reason);

/*
 * Implementations. Each makes a core from the same configuration.
 *
 * Returns 0            *core is set; free it with stream_destroy()
 *         FAL_EINVAL   stream_limit is out of range, or limits contradict
 *         FAL_ENOMEM
 *         FAL_ELIMIT   no descriptors left
 *         FAL_ENOTSUP  the probe fails (io_uring only)
 */
FAL_MUST_CHECK int stream_epoll_create(const struct stream_config *config,
				       struct stream_core **core);
FAL_MUST_CHECK int stream_uring_create(const struct stream_config *config,
				       struct stream_core **core);

/* Whether this kernel lets us use io_uring with all that is needed; many
 * containers do not. error, nullable, says what is missing. */
bool stream_uring_probe(struct stream_error *error);

#endif
