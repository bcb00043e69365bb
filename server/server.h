/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_SERVER_H
#define FALCONER_SERVER_SERVER_H

/*
 * server - all objects of a running server, and how they are wired.
 *
 *   main thread   CTL: signals, log lines, four-letter words
 *   core threads  READER and ZAB roles, by configuration on one core or many
 *   LOG           store/txlog.h
 *   BG            next log file, snapshots, grace periods, purge
 *
 * Context    server_build() to server_free(): the main thread.
 */

#include "base/stats.h"
#include "dataplane/loop.h"
#include "server/config.h"
#include "store/data_dir.h"
#include "store/txlog.h"

/* The largest transaction: a closeSession with some 100,000 ephemerals. */
#define SERVER_ENTRY_BYTES_MAX (8u << 20)

struct words;
struct bg;
struct net;
struct member;
struct audit;
struct admin;
struct recovery_member;
struct store_jobs;
struct replace;

/* A poll core and what it runs. */
struct server_core {
	struct server *server;
	uint32_t index;
	bool has_reader, has_zab;
	int cpu;
	struct lcore lcore;
	struct stream_core *streams;
	struct channel channel; /* of its reader */
	struct loop loop;
	_Atomic bool must_stop;
	_Atomic int started; /* 0: not yet, 1: polling, < 0: fal_err */
};

struct server {
	const struct config *config;
	struct disk *disk;
	struct acl_options acl;
	struct tree *tree;
	struct session_table *sessions;
	struct prep *prep;
	struct delta_ring *deltas;
	struct ledger *ledger; /* NULL: see server_has_ledger */
	struct txlog *txlog;
	struct zab *zab;
	struct stream_limits *limits;
	struct words *words;
	struct bg *bg;
	struct net *net;     /* NULL: the kernel's sockets */
	struct member *peer; /* of a member of an ensemble; else NULL */
	struct serving serving;
	struct audit *audit;      /* NULL: not asked for */
	struct admin *admin;      /* NULL: no HTTP server */
	struct store_jobs *store; /* of a member of an ensemble; else NULL */
	struct stats stats;       /* a block per poll core */

	struct server_core core[ZAB_READERS_MAX + 1];
	uint32_t core_count;
	uint32_t reader_count;

	struct lcore ctl_lcore; /* the main thread's doorbell */
	struct lcore log_lcore;
	_Atomic bool log_must_stop;
	_Atomic bool log_must_park, log_is_parked;
	_Atomic bool is_stopping; /* a signal came, or the data change */
	struct replace *replace;  /* a restore under way; else NULL */
	bool must_restart;        /* after the stop: the data were replaced */
	uint64_t restart_from_ns; /* when that was asked for */

	uint64_t refused_seen; /* connections over maxClientCnxns */
	int space_error_seen;  /* why the log had no next file */
	int64_t trace_mask;    /* of gtmk and stmk; the control thread's */
	int64_t start_wall_ms;
	uint64_t start_ns;
	int64_t last_zxid;           /* of recovery */
	struct stream_address bound; /* of the client port */
	const char *stream_name;
	struct data_dir data_dir;
	bool has_data_dir;              /* opened and locked */
	bool must_snapshot;             /* recovery asks for one soon */
	struct recovery_member *member; /* what the disk held at the start */
};

/* Text for the operator when something cannot be built. */
struct server_error {
	char text[FILE_PATH_MAX + 1024];
};

/* Writes that text and returns err. */
int server_explain(struct server_error *error, int err, const char *format, ...)
	FAL_PRINTF(3, 4);

/* Recovers the data, makes all objects, listens. Returns 0 or a fal_err with
 * a line that names the thing and the remedy. */
FAL_MUST_CHECK int server_build(struct server *, const struct config *,
				struct server_error *);
/* Starts all threads. */
FAL_MUST_CHECK int server_start(struct server *, struct server_error *);
/* Serves words and log lines until a signal (or server_stop_async()). */
void server_run(struct server *);
/* Stops all threads in order: readers, ZAB, log, background. */
void server_stop(struct server *);
void server_free(struct server *);

/* May be called from a signal handler. */
void server_stop_async(struct server *);

/* Where LOG and BG count. */
static inline struct stats_core *
server_log_stats(struct server *server)
{
	return &server->stats.core[server->core_count];
}

static inline struct stats_core *
server_bg_stats(struct server *server)
{
	return &server->stats.core[server->core_count + 1];
}

/* And the control thread. */
static inline struct stats_core *
server_ctl_stats(struct server *server)
{
	return &server->stats.core[server->core_count + 2];
}

/* ---- store_build.c: server->store, of a member of an ensemble ---- */
FAL_MUST_CHECK int server_make_store(struct server *);

/* ---- log_thread.c ---- */
FAL_MUST_CHECK int log_thread_start(struct server *);
void log_thread_stop(struct server *);
/* BG: LOG finishes the write under way and stands still until resumed. */
void log_thread_park(struct server *);
void log_thread_resume(struct server *);
/* txlog behind dataplane's log_port. */
struct log_port log_thread_port(struct server *);

/* ledger_on.c: false in a server that is measured without the ledger. */
extern const bool server_has_ledger;

#endif
