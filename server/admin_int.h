/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_ADMIN_INT_H
#define FALCONER_SERVER_ADMIN_INT_H

/*
 * admin_int - what the files of the admin server share.
 *
 *   admin.c           life, routes, and the way of a request through them
 *   admin_http.c      the HTTP thread: libmicrohttpd, limits, answers
 *   admin_commands.c  the table of /commands and those that need no rows
 *   admin_lists.c     commands made of collected rows
 *   admin_member.c    commands about the ensemble
 *   admin_auth.c      who may run a command that changes something
 *   admin_snapshot.c  the command snapshot
 *   admin_restore.c   the command restore
 *   admin_health.c    livez, readyz, startupz
 *   admin_status.c    what the page shows
 *   admin_history.c   rates and latencies of the last ten minutes
 */

#include <stdatomic.h>
#include <stdio.h>

#include "server/admin.h"
#include "server/json.h"
#include "server/server.h"
#include "server/words.h"

#define ADMIN_PATH_BYTES 256u
#define ADMIN_AUTH_BYTES 1024u
#define ADMIN_BODY_BYTES 4096u /* of a POST; only shed_connections reads it */
#define ADMIN_NAME_BYTES 64u
#define ADMIN_TIMEOUT_NS (30ull * 1000000000ull) /* of an answer */
#define ADMIN_NOT_SERVING \
	"This ZooKeeper instance is not currently serving requests"

enum {
	ADMIN_OK = 200,
	ADMIN_BAD_REQUEST = 400,
	ADMIN_UNAUTHORIZED = 401,
	ADMIN_FORBIDDEN = 403,
	ADMIN_NOT_FOUND = 404,
	ADMIN_BAD_METHOD = 405,
	ADMIN_TOO_MANY = 429,
	ADMIN_ERROR = 500,
	ADMIN_NOT_BUILT = 501,
	ADMIN_UNAVAILABLE = 503,
};

enum admin_method { ADMIN_GET, ADMIN_POST, ADMIN_OTHER };

/* Of a request whose body goes elsewhere than into the request. */
enum admin_body_state {
	ADMIN_BODY_SMALL = 0, /* no such request */
	ADMIN_BODY_ASKED,     /* the control thread says whether it may come */
	ADMIN_BODY_GRANTED,
	ADMIN_BODY_COMING,
	ADMIN_BODY_WHOLE,
};

struct admin_command;
struct admin_http;
struct replace;

/* From the first line of a request to the last byte of its answer. */
struct admin_request {
	/* ---- the HTTP thread fills */
	struct admin_http *http;
	void *connection; /* struct MHD_Connection */
	enum admin_method method;
	bool is_metrics_only; /* came by metricsProvider.httpPort */
	bool is_too_long;     /* path or header cut: not to be carried out */
	bool is_body_cut;     /* beyond ADMIN_BODY_BYTES */
	char path[ADMIN_PATH_BYTES];
	char trace_mask[ADMIN_NAME_BYTES];
	char streaming[ADMIN_NAME_BYTES];
	char since[ADMIN_NAME_BYTES];
	bool has_authorization;
	char authorization[ADMIN_AUTH_BYTES];
	char peer[STREAM_HOST_TEXT_MAX];
	enum admin_body_state body_state; /* GRANTED: the control thread */
	uint32_t body_bytes;
	char body[ADMIN_BODY_BYTES + 1];

	/* ---- the control thread */
	struct admin *admin;
	const struct admin_command *command;
	struct auth_ids *ids;                  /* owned; NULL: none shown */
	void (*go_on)(struct admin_request *); /* once it is authorised */
	bool is_authorised;
	uint64_t deadline_ns;
	bool (*poll)(struct admin_request *); /* true: it was answered */
	uint64_t ticket;                      /* of a snapshot */
	/* Of a restore; NULL: it was refused or has failed. */
	struct replace *replace;
	struct server *replace_server;
	uint64_t restored_zxid;
	int percentage; /* of shed_connections */
	/* A list that waits for rows, and nobody any more if it took too long
	 */
	struct admin_gather *gather;

	/* ---- the answer; given to the HTTP thread by admin_finish() */
	unsigned status;
	const char *content_type;
	char *text; /* malloc'ed */
	size_t bytes;
	int fd; /* -1; else what follows the text's place */
	uint64_t fd_bytes;
	char last_zxid[32];     /* header; "": none */
	char snapshot_size[32]; /* likewise */

	/* ---- between the two, under admin_http's lock */
	bool is_done;
	struct admin_request *next; /* of those that came in, or that wait */
};

/* ---- admin_http.c ---- */

/* Listens on address:port. `prefix` is for messages. Returns 0 or FAL_EIO with
 * a reason. */
FAL_MUST_CHECK int admin_http_start(struct admin *, const char *address,
				    int port, bool is_metrics_only,
				    struct admin_http **out, char *why,
				    size_t why_bytes);
/* All requests are answered; nothing more is asked. */
void admin_http_stop(struct admin_http *);
/* The next request that came in; NULL: none. Control thread. */
struct admin_request *admin_http_take(struct admin_http *);
/* The body may come: replace_put() gets it. The request comes back whole. */
void admin_http_take_body(struct admin_request *);
/* Waits until all answers are sent, some seconds at most. */
void admin_http_flush(struct admin_http *);
/* The answer is complete: sends it. The request is not ours any more. */
void admin_http_give(struct admin_request *);
/* Drops connections whose request does not come. */
void admin_http_sweep(struct admin_http *, uint64_t now_ns);

/* ---- admin.c ---- */

/* May be called by the HTTP thread. */
bool admin_is_serving(const struct admin *);
const char *admin_phase(const struct admin *);
const struct server *admin_server(const struct admin *);
/* Of the control thread. */
struct server *admin_server_to_change(struct admin *);
/* Does the body go elsewhere, and wants to be allowed first? HTTP thread. */
bool admin_is_upload(const struct admin_request *);
/* A request while the control thread does not answer: HTTP thread. */
void admin_answer_unserved(struct admin_request *);

/* Hands an answer over. text: malloc'ed, given; NULL: out of memory. */
void admin_finish(struct admin_request *, unsigned status,
		  const char *content_type, char *text, size_t bytes);
/* The same from a stream in memory that was written to. */
struct admin_text {
	FILE *out;
	char *text;
	size_t bytes;
};
bool admin_text_begin(struct admin_text *);
void admin_text_finish(struct admin_text *, struct admin_request *,
		       unsigned status, const char *content_type);
/* A command's answer that is an error alone, or a text/plain line. */
void admin_finish_error(struct admin_request *, unsigned status,
			const char *error);
void admin_finish_plain(struct admin_request *, unsigned status,
			const char *text);

/* Collects rows for a request, then calls rows_fn with them, or NULL. */
typedef void (*admin_rows_fn)(struct admin_request *,
			      const struct words_rows *);
void admin_gather(struct admin_request *, const struct words_plan *,
		  const void *pass_arg, admin_rows_fn);
/* The request waits until poll() has answered it. */
void admin_wait(struct admin_request *, bool (*poll)(struct admin_request *));
/* The request is answered by admin_stop_at_last(). */
void admin_answer_at_end(struct admin_request *);

/* ---- admin_commands.c ---- */

struct admin_answer {
	struct server *server;
	const struct admin_request *request;
	const struct words_rows *rows;
	struct json *json;
	const char *error; /* out; NULL: null */
};

typedef void (*admin_put_fn)(struct admin_answer *);

struct admin_command {
	const char *name, *alias[2];
	struct words_plan plan;
	admin_put_fn put;
	/* Instead of put, for what is no JSON or takes its time. */
	void (*start)(struct admin_request *);
	bool needs_auth;
	bool is_post;
	bool takes_upload;
	bool is_always; /* also when the server does not serve */
	/* Without auth only where this four-letter word is allowed. */
	const char *word;
};

/* NULL: no command of that name or alias. */
const struct admin_command *admin_command_find(const char *name);
void admin_put_command_list(FILE *out, const char *url);
/* The request's command, with the rows its plan asked for. */
void admin_run_command(struct admin_request *, const struct words_rows *);

/* ---- admin_lists.c ---- */
void admin_put_connections(struct admin_answer *);
void admin_put_stats_connections(struct admin_answer *);
void admin_put_dump(struct admin_answer *);
void admin_put_watches(struct admin_answer *);
void admin_put_watches_by_path(struct admin_answer *);
void admin_put_watch_summary(struct admin_answer *);
void admin_put_hash(struct admin_answer *);
void admin_put_slow(struct admin_answer *);

/* ---- admin_member.c ---- */
void admin_put_is_read_only(struct admin_answer *);
void admin_put_leader(struct admin_answer *);
void admin_put_observers(struct admin_answer *);
void admin_put_voting_view(struct admin_answer *);
void admin_put_zabstate(struct admin_answer *);

/* ---- admin_auth.c ---- */
/* Checks the header, then the root's ACL; answers, or calls go_on(). */
void admin_authorise(struct admin_request *,
		     void (*go_on)(struct admin_request *));

/* ---- admin_snapshot.c ---- */
void admin_start_snapshot(struct admin_request *);
/* Looks whether it is there; true: the request was answered. */
bool admin_poll_snapshot(struct admin_request *);
void admin_put_last_snapshot(struct admin_answer *);

/* ---- admin_restore.c ---- */
void admin_start_restore(struct admin_request *);
/* The body is there. */
void admin_restore_whole(struct admin_request *);
bool admin_poll_restore(struct admin_request *);
void admin_put_restore(struct admin_answer *);

/* ---- admin_health.c ---- */
void admin_livez(struct admin_request *);
void admin_readyz(struct admin_request *);
void admin_startupz(struct admin_request *);
struct health_check {
	const char *name;
	bool is_good;
	char reason[256];
};
#define HEALTH_CHECKS 4u
/* What readyz looks at; returns how many. */
uint32_t health_checks(const struct server *, struct health_check *);

/* ---- admin_status.c ---- */
void admin_status(struct admin_request *);

/* ---- admin_history.c ---- */
struct admin_history;
struct admin_history *admin_history_create(void);
void admin_history_destroy(struct admin_history *);
void admin_history_poll(struct admin_history *, const struct server *,
			uint64_t now_ns);
/* Samples with a number above `since`. */
void admin_history_put(const struct admin_history *, struct json *,
		       uint64_t since);
const struct admin_history *admin_history_of(const struct admin *);

#endif
