/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CLIENT_ZC_H
#define FALCONER_CLIENT_ZC_H

/*
 * zc - a client of Falconer and ZooKeeper servers: asynchronous, without
 * threads, on the caller's poll loop.
 *
 *   struct zc_loop *loop;                 one thread's connections
 *   struct zc *zc;                        one session
 *
 *   zc_loop_create(NULL, &loop);
 *   zc_open(loop, "10.0.0.1:2181,10.0.0.2:2181/app", NULL, &zc);
 *   zc_get(zc, "/config", &watch, on_config, app);
 *   for (;;)
 *           zc_loop_step(loop, 100);      callbacks come from in here
 *
 * A request is encoded at once, straight into the connection's output, and
 * answered by one call of its zc_done_fn, always: with the server's result, or
 * with ZC_CONNECTIONLOSS when the connection broke before the reply (it may
 * have been carried out), or with ZC_CLOSING. Replies come in the order of the
 * requests; a watch's event comes before any reply that shows the change.
 *
 * A session survives its connections: the client goes from server to server
 * until one takes the session on, and registers its watches again. Requests
 * made meanwhile wait, up to backlog_bytes_max. When the session has expired
 * everything fails with ZC_SESSIONEXPIRED and a new zc_open() is needed:
 * ephemerals and locks are gone, only the application knows what follows.
 *
 * future.h waits for a reply where blocking is allowed.
 *
 * Context    one thread for each loop and all that is opened on it. Callbacks
 *            may call everything here but zc_loop_step() and
 *            zc_loop_destroy().
 * Ownership  paths, data and ACLs are borrowed for the call. What a reply
 *            points to is valid during the callback.
 * Limits     sessions for each loop, backlog, a frame: see the options.
 * Errors     0 or a negative enum fal_err (base/fal.h, which is installed, too)
 *            of the call itself, then no callback comes; results of the
 *            server: enum zc_err in the reply.
 * Cost       no allocation for a request without a watch once buffers have
 *            grown; one send for all requests of a step and connection.
 * Source     client-protocol.md sections 2 to 9.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zc_loop;
struct zc;

/* Results: ZooKeeper's numbers. */
enum zc_err {
	ZC_OK = 0,
	ZC_RUNTIMEINCONSISTENCY = -2,
	ZC_CONNECTIONLOSS = -4, /* made here: the outcome is unknown */
	ZC_MARSHALLINGERROR = -5,
	ZC_UNIMPLEMENTED = -6,
	ZC_OPERATIONTIMEOUT = -7, /* made here: zc_future_wait() gave up */
	ZC_BADARGUMENTS = -8,
	ZC_NEWCONFIGNOQUORUM = -13,
	ZC_RECONFIGINPROGRESS = -14,
	ZC_NONODE = -101,
	ZC_NOAUTH = -102,
	ZC_BADVERSION = -103,
	ZC_NOCHILDRENFOREPHEMERALS = -108,
	ZC_NODEEXISTS = -110,
	ZC_NOTEMPTY = -111,
	ZC_SESSIONEXPIRED = -112,
	ZC_INVALIDACL = -114,
	ZC_AUTHFAILED = -115,
	ZC_CLOSING = -116, /* made here: zc_close() or zc_free() */
	ZC_SESSIONMOVED = -118,
	ZC_NOTREADONLY = -119,
	ZC_EPHEMERALONLOCALSESSION = -120,
	ZC_NOWATCHER = -121,
	ZC_RECONFIGDISABLED = -123,
	ZC_SESSIONCLOSEDREQUIRESASLAUTH = -124,
	ZC_QUOTAEXCEEDED = -125,
	ZC_THROTTLEDOP = -127,
};

/* A sentence for a result. */
const char *zc_err_str(int32_t err);

enum zc_state {
	ZC_CONNECTING = 1, /* no server yet, or the connection broke */
	ZC_CONNECTED,
	ZC_CONNECTED_READ_ONLY, /* a server without a quorum: reads only */
	ZC_EXPIRED,             /* final */
	ZC_AUTH_REFUSED,        /* final: an identity was refused */
	ZC_CLOSED,              /* final: zc_close() is done */
};

/* Borrowed text or bytes, not NUL-terminated; data NULL: null. */
struct zc_bytes {
	const uint8_t *data;
	uint32_t bytes;
};

struct zc_stat {
	int64_t czxid, mzxid, ctime, mtime;
	int32_t version, cversion, aversion;
	int64_t ephemeral_owner;
	int32_t data_length, num_children;
	int64_t pzxid;
};

enum zc_perm {
	ZC_READ = 1,
	ZC_WRITE = 2,
	ZC_CREATE = 4,
	ZC_DELETE = 8,
	ZC_ADMIN = 16,
	ZC_ALL = 31,
};

struct zc_acl {
	int32_t perms; /* enum zc_perm, or-ed */
	const char *scheme, *id;
};

/* ------------------------------------------------------------- replies --- */

/* What a server said; valid during the callback. Fields that an operation does
 * not have are null or 0. */
struct zc_reply {
	int32_t err;          /* enum zc_err */
	int64_t zxid;         /* the state that the reply shows */
	struct zc_bytes path; /* create: the path made, sync: the path */
	struct zc_bytes data; /* get */
	bool has_stat;
	struct zc_stat stat;
	int32_t number;         /* all_children_number */
	uint32_t element_count; /* of lists: children, ACL, multi, ... */
	/* For zc_reply_next_...(). */
	struct zc_reply_rest {
		const uint8_t *at;
		const uint8_t *end;
		uint32_t left;
		uint32_t chroot_bytes;
	} rest;
};

/* The next child (a name), ephemeral (a path); false: no more. */
bool zc_reply_next_text(struct zc_reply *, struct zc_bytes *out);
/* The next entry of an ACL, or identity of who_am_i (perms 0). */
struct zc_reply_acl {
	int32_t perms;
	struct zc_bytes scheme, id;
};
bool zc_reply_next_acl(struct zc_reply *, struct zc_reply_acl *out);
/* The next result of a multi or multi_read, as a reply of its own. */
bool zc_reply_next_result(struct zc_reply *, struct zc_reply *out);

typedef void (*zc_done_fn)(void *arg, struct zc_reply *reply);

/* ------------------------------------------------------------- watches --- */

enum zc_event {
	ZC_NODE_CREATED = 1,
	ZC_NODE_DELETED = 2,
	ZC_NODE_DATA_CHANGED = 3,
	ZC_NODE_CHILDREN_CHANGED = 4,
};

/* The path as it was given, or (recursive watches) of the node below it. */
typedef void (*zc_watch_fn)(void *arg, enum zc_event event,
			    struct zc_bytes path);

/* What to call; NULL in place of it: no watch. The same pair of function and
 * argument on one path and kind is one watch. */
struct zc_watch {
	zc_watch_fn fn;
	void *arg;
};

enum zc_watch_mode {
	ZC_WATCH_PERSISTENT = 0,
	ZC_WATCH_RECURSIVE = 1,
};

/* Which watches of a path are removed or looked for. */
enum zc_watch_type {
	ZC_WATCHES_CHILDREN = 1,
	ZC_WATCHES_DATA = 2,
	ZC_WATCHES_ANY = 3,
	ZC_WATCHES_PERSISTENT = 4,
	ZC_WATCHES_PERSISTENT_RECURSIVE = 5,
};

/* ----------------------------------------------------------- the loop --- */

enum zc_net {
	ZC_NET_EPOLL = 0,
	ZC_NET_URING,
};

struct zc_loop_options {
	uint32_t sessions_max; /* 0: 64 */
	enum zc_net net;
	/* How long a step looks for news before it sleeps. A wake costs more
	 * than a read over a TCP of our own; 0: it sleeps at once. */
	uint32_t spin_us;
};

/* options: NULL: the defaults. Returns 0, FAL_ENOMEM, FAL_ELIMIT (no
 * descriptors), FAL_ENOTSUP (no io_uring here). */
int zc_loop_create(const struct zc_loop_options *options, struct zc_loop **out);

struct stream_core;
/* The same on streams of the caller's (a TCP of our own on a DPDK port): the
 * loop owns and destroys them. */
int zc_loop_create_on(const struct zc_loop_options *options,
		      struct stream_core *streams, struct zc_loop **out);

/* Frees the loop and, without their callbacks, all that is open on it. */
void zc_loop_destroy(struct zc_loop *);

/*
 * Receives, calls back, sends; when there is nothing to do it waits up to
 * wait_ms (0: not at all, for callers that spin), of which it looks for news
 * the first spin_us and sleeps the rest.
 *
 * Returns true if anything happened.
 */
bool zc_loop_step(struct zc_loop *, uint32_t wait_ms);

/* ------------------------------------------------------------ sessions --- */

struct zc_options {
	int32_t timeout_ms; /* asked for; 0: 10000 */
	/* Take a server without a quorum, too. A session that began there is
	 * another one, with another id, when there is a quorum again. */
	bool may_read_only;
	/* Tells of each change of the state. May be NULL. */
	void (*on_state)(void *arg, struct zc *zc, enum zc_state state);
	void *arg;
	uint32_t backlog_bytes_max; /* requests that wait; 0: 16 MiB */
	uint32_t frame_bytes_max;   /* of a reply; 0: 64 MiB */
	/* A session to take up again (zc_session()); 0: a new one. */
	int64_t session_id;
	uint8_t password[16];
};

/*
 * Begins a session.
 *
 * servers  "host:port,host:port/chroot"; port 2181 when there is none; IPv6 in
 *          brackets; blanks around an element are passed over. Names are
 *          resolved here, which may block, and the order is drawn by lot.
 * options  NULL: the defaults
 *
 * Returns 0
 *         FAL_EINVAL  not such a text, or a bad chroot
 *         FAL_ENOENT  none of the names has an address
 *         FAL_ELIMIT  sessions_max
 *         FAL_ENOMEM
 */
int zc_open(struct zc_loop *, const char *servers,
	    const struct zc_options *options, struct zc **out);
/* Says farewell to the server, so that ephemerals go at once; the state
 * becomes ZC_CLOSED, then zc_free(). Without a connection, or when it breaks
 * before the answer: ZC_CLOSED at once, the session ends by its timeout. done
 * may be NULL. */
int zc_close(struct zc *, zc_done_fn done, void *arg);
/* Drops the connection; what waits is answered with ZC_CLOSING first. */
void zc_free(struct zc *);

enum zc_state zc_state(const struct zc *);
/* Id and password for zc_options; id 0: no session yet. */
int64_t zc_session(const struct zc *, uint8_t password[16]);
/* As negotiated. */
int32_t zc_timeout_ms(const struct zc *);
/* The newest state that a reply has shown. */
int64_t zc_last_zxid(const struct zc *);
/* Requests that wait for their replies. */
uint32_t zc_outstanding(const struct zc *);

/* ------------------------------------------------------------ requests --- */

/*
 * All of them: path begins with '/', relative to the chroot.
 *
 * Returns 0           done will be called
 *         FAL_EINVAL  not a path, or an argument out of its range
 *         FAL_ELIMIT  backlog_bytes_max
 *         FAL_ECLOSED the state is final
 *         FAL_ENOMEM
 */

enum zc_create_mode {
	ZC_PERSISTENT = 0,
	ZC_EPHEMERAL = 1,
	ZC_PERSISTENT_SEQUENTIAL = 2,
	ZC_EPHEMERAL_SEQUENTIAL = 3,
	ZC_CONTAINER = 4,
	ZC_PERSISTENT_TTL = 5,
	ZC_PERSISTENT_SEQUENTIAL_TTL = 6,
};

struct zc_create {
	enum zc_create_mode mode;
	const struct zc_acl *acl; /* NULL: everything for everybody */
	uint32_t acl_count;
	int64_t ttl_ms; /* of the TTL modes */
};

/* options NULL: persistent, open to everybody. Reply: path, stat. */
int zc_create(struct zc *, const char *path, const void *data, uint32_t bytes,
	      const struct zc_create *options, zc_done_fn, void *arg);
/* version -1: any. */
int zc_delete(struct zc *, const char *path, int32_t version, zc_done_fn,
	      void *arg);
/* Reply: stat. NONODE sets the watch, too. */
int zc_exists(struct zc *, const char *path, const struct zc_watch *,
	      zc_done_fn, void *arg);
/* Reply: data, stat. */
int zc_get(struct zc *, const char *path, const struct zc_watch *, zc_done_fn,
	   void *arg);
/* data NULL: null. Reply: stat. */
int zc_set(struct zc *, const char *path, const void *data, uint32_t bytes,
	   int32_t version, zc_done_fn, void *arg);
/* Reply: list of names, stat. */
int zc_children(struct zc *, const char *path, const struct zc_watch *,
		zc_done_fn, void *arg);
/* Reply: number, of all nodes below. */
int zc_all_children_number(struct zc *, const char *path, zc_done_fn,
			   void *arg);
/* Reply: list of the session's ephemerals below path. */
int zc_ephemerals(struct zc *, const char *path, zc_done_fn, void *arg);
/* Reply: list of ACLs, stat. */
int zc_get_acl(struct zc *, const char *path, zc_done_fn, void *arg);
int zc_set_acl(struct zc *, const char *path, const struct zc_acl *acl,
	       uint32_t acl_count, int32_t aversion, zc_done_fn, void *arg);
/* Later reads show everything that was committed before. */
int zc_sync(struct zc *, const char *path, zc_done_fn, void *arg);
/* Reply: list of identities. */
int zc_who_am_i(struct zc *, zc_done_fn, void *arg);
/* Presents an identity, again at each new connection. */
int zc_add_auth(struct zc *, const char *scheme, const void *auth,
		uint32_t bytes, zc_done_fn, void *arg);

int zc_add_watch(struct zc *, const char *path, enum zc_watch_mode,
		 const struct zc_watch *, zc_done_fn, void *arg);
/* Removes all watches of that type from the path, here and at the server. */
int zc_remove_watches(struct zc *, const char *path, enum zc_watch_type,
		      zc_done_fn, void *arg);

/* texts as in ZooKeeper's reconfig; NULL: none. version -1: any. Reply: data,
 * stat of the new configuration. */
int zc_reconfig(struct zc *, const char *joining, const char *leaving,
		const char *members, int64_t version, zc_done_fn, void *arg);

enum zc_op_type {
	ZC_OP_CREATE,
	ZC_OP_DELETE,
	ZC_OP_SET,
	ZC_OP_CHECK,
	ZC_OP_GET,      /* multi_read only */
	ZC_OP_CHILDREN, /* multi_read only */
};

struct zc_op {
	enum zc_op_type type;
	const char *path;
	const void *data;
	uint32_t bytes;
	int32_t version;
	const struct zc_create *create; /* as in zc_create() */
};

/* All or nothing. Reply: list of results; err is that of the first that
 * failed. */
int zc_multi(struct zc *, const struct zc_op *, uint32_t count, zc_done_fn,
	     void *arg);
/* Reads of one state; each with its own result. */
int zc_multi_read(struct zc *, const struct zc_op *, uint32_t count, zc_done_fn,
		  void *arg);

#endif
