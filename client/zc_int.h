/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CLIENT_ZC_INT_H
#define FALCONER_CLIENT_ZC_INT_H

/*
 * zc_int - what the files of the client share.
 *
 *   zc.c         sessions: connecting, keeping alive, going elsewhere
 *   zc_loop.c    one thread's connections
 *   zc_servers.c the text of zc_open()
 *   zc_frame.c   requests on their way: the queue, the backlog
 *   zc_request.c one function for each operation
 *   zc_multi.c   multi and multi_read
 *   zc_reply.c   what a server said
 *   zc_watch.c   watches: registering, firing, registering again
 *   future.c     waiting
 */

#include "base/hash.h"
#include "client/zc.h"
#include "drivers/stream.h"
#include "wire/proto.h"

#define ZC_SERVERS_MAX         64u
#define ZC_TIMEOUT_DEFAULT_MS  10000
#define ZC_BACKLOG_DEFAULT     (16u << 20)
#define ZC_FRAME_BYTES_DEFAULT (64u << 20)

/* ------------------------------------------------------------- requests --- */

/* A request whose reply is due; a ring in the order of sending. */
struct zc_pending {
	int32_t xid, op;
	bool is_answered; /* out of its order; done with */
	zc_done_fn done;
	void *arg;
	struct zc_watcher *watcher; /* to be registered; owned. Or NULL */
};

/* Bytes that grow at the end and go from the front. */
struct zc_buffer {
	uint8_t *data;
	uint32_t first, end, cap;
};

/* A request being encoded. */
struct zc_frame {
	struct jute_writer writer;
	size_t mark;
	int32_t xid;
	bool is_direct; /* in the stream's output, else in the backlog */
};

/* -------------------------------------------------------------- watches --- */

enum zc_watch_kind {
	ZC_KIND_DATA,
	ZC_KIND_EXIST,
	ZC_KIND_CHILD,
	ZC_KIND_PERSISTENT,
	ZC_KIND_RECURSIVE,
	ZC_KINDS,
};

struct zc_watcher {
	struct zc_watcher *next;     /* of the chain */
	struct zc_watcher *next_due; /* while its event is told */
	uint64_t hash;
	zc_watch_fn fn;
	void *arg;
	uint8_t kind; /* enum zc_watch_kind */
	uint8_t type; /* enum zc_watch_type, of a removal */
	bool is_due;
	bool is_dead; /* removed while it is due */
	uint32_t bytes;
	uint8_t path[]; /* as the server knows it, no NUL */
};

struct zc_watches {
	struct zc_watcher **chain;
	uint32_t chain_count; /* power of two; 0 before the first watch */
	uint32_t count;
	uint32_t of_kind[ZC_KINDS];
};

/* ------------------------------------------------------------- sessions --- */

/* An identity, presented at each connection. */
struct zc_auth {
	struct zc_auth *next;
	bool is_sent; /* with a request of its own */
	char *scheme;
	uint32_t bytes;
	uint8_t data[];
};

enum zc_link {
	ZC_LINK_NONE,      /* waits until dial_ms */
	ZC_LINK_DIALING,   /* until deadline_ms */
	ZC_LINK_HANDSHAKE, /* ConnectRequest is out; until deadline_ms */
	ZC_LINK_OPEN,
};

struct zc {
	struct zc_loop *loop;
	uint32_t index; /* in the loop; the tag of its streams */
	struct zc_options options;
	enum zc_state state;
	bool is_freed;   /* at the end of the step */
	bool is_closing; /* zc_close() was asked for */
	/* Another server may know it: not what one without a quorum gave. */
	bool is_resumable;

	struct stream_address server[ZC_SERVERS_MAX];
	uint32_t server_count, server_next;
	uint32_t refusals; /* dials in a row that led nowhere */
	char *chroot;      /* "" or "/a/b" */
	uint32_t chroot_bytes;

	enum zc_link link;
	stream_id stream;
	uint64_t dial_ms, deadline_ms;
	uint64_t heard_ms, sent_ms;

	int64_t session_id;
	uint8_t password[PROTO_PASSWORD_BYTES];
	int32_t timeout_ms; /* negotiated, or as asked for */
	int64_t last_zxid;

	int32_t next_xid;
	struct zc_pending *pending; /* ring */
	uint32_t pending_cap;       /* power of two, or 0 */
	uint32_t first, sent, end;  /* positions: [first, sent) are out,
				       [sent, end) are in the backlog */
	struct zc_buffer backlog;
	struct zc_auth *auths; /* in the order of zc_add_auth() */
	uint32_t auths_due;    /* own auth packets without a reply */
	struct zc_watches watches;
	struct zc_watcher *due; /* watches_fire() under way */
};

/* ---- zc.c ---- */
void zc_on_event(struct zc *, const struct stream_event *);
/* Timers; returns when it wants to be called again. */
uint64_t zc_poll(struct zc *, uint64_t now_ms);
/* Answers all that waits, ends the connection. */
void zc_end(struct zc *, enum zc_state, int32_t err);
void zc_destroy(struct zc *);
void zc_set_state(struct zc *, enum zc_state);
/* The connection is of no use: drop it, go elsewhere. */
void zc_lose(struct zc *);

/* ---- zc_loop.c ---- */
struct stream_core *zc_loop_streams(struct zc_loop *);
uint64_t zc_loop_now_ms(const struct zc_loop *);
uint32_t zc_loop_random(struct zc_loop *);
const struct hash_key *zc_loop_key(const struct zc_loop *);
/* A place for a session; FAL_ELIMIT. */
int zc_loop_add(struct zc_loop *, struct zc *);
/* It is freed when nobody is inside any more. */
void zc_loop_remove(struct zc_loop *, struct zc *);
/* Between the two callbacks come, and what they free stays. */
void zc_loop_enter(struct zc_loop *);
void zc_loop_leave(struct zc_loop *);

/* ---- zc_servers.c ---- */
int zc_servers_parse(struct zc *, const char *text);

/* ---- zc_frame.c ---- */
/* Begins a frame of at most `bytes` behind its request header. */
FAL_MUST_CHECK int zc_frame_begin(struct zc *, int32_t op, size_t bytes,
				  struct zc_frame *);
/* Sends it or lets it wait. watcher: given, or NULL. */
void zc_frame_end(struct zc *, struct zc_frame *, int32_t op, zc_done_fn,
		  void *arg, struct zc_watcher *);
/* A frame that is not asked for by a request, not counted and never waits:
 * ping, auth, setWatches. False: the connection does not take it. */
bool zc_frame_begin_own(struct zc *, int32_t xid, int32_t op, size_t bytes,
			struct zc_frame *);
void zc_frame_end_own(struct zc *, struct zc_frame *);
/* Sends what waits, as far as the connection takes it. */
void zc_frame_flush(struct zc *);
/* The request that a reply belongs to; NULL: none. */
struct zc_pending *zc_frame_find(struct zc *, int32_t xid);
/* It is answered: forgets it. */
void zc_frame_done(struct zc *, struct zc_pending *);
/* Answers with err: those that were sent, or all of them. */
void zc_frame_fail(struct zc *, bool are_all, int32_t err);

/* ---- zc_request.c ---- */
/* Checks a path; *bytes without the chroot. 0, FAL_EINVAL. */
int zc_path_check(const char *path, size_t *bytes);
void zc_put_path(struct zc *, struct jute_writer *, const char *path);
/* Bytes of zc_put_acl(). */
size_t zc_acl_bytes(const struct zc_create *);
void zc_put_acl(struct jute_writer *, const struct zc_create *);
/* The request and operation code of a create; op_plain without container and
 * TTL. */
int32_t zc_create_op(const struct zc_create *, int32_t op_plain);
/* Presents an identity on a new connection. */
bool zc_send_auth(struct zc *, const struct zc_auth *);

/* ---- zc_reply.c ---- */
/* Fills what the body of a good reply holds. False: it does not decode. */
bool zc_reply_decode(struct zc *, int32_t op, struct jute_reader *body,
		     struct zc_reply *out);

/* ---- zc_watch.c ---- */
struct zc_watcher *zc_watcher_new(struct zc *, const char *path,
				  enum zc_watch_kind, const struct zc_watch *);
/* Takes the watcher over, as the result of its request says. False: no
 * memory, it is lost. */
bool zc_watch_register(struct zc *, struct zc_watcher *, int32_t op,
		       int32_t err);
void zc_watch_fire(struct zc *, int32_t event, struct jute_slice path);
void zc_watch_remove(struct zc *, const struct zc_watcher *what, int32_t type);
/* Tells the new connection of all watches. False: it does not take it. */
bool zc_watch_register_again(struct zc *);
void zc_watch_free(struct zc *);

#endif
