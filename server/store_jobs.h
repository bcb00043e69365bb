/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_STORE_JOBS_H
#define FALCONER_SERVER_STORE_JOBS_H

/*
 * store_jobs - dataplane/store_port.h on top of store/.
 *
 *   ZAB   the functions of the port; they ask and never wait
 *   BG    what takes the whole of tree, sessions and log (truncation, a
 *         leader's snapshot, reload), and what reads for learners (snapshots,
 *         histories), a slice at a time
 *   FILES a thread of its own for epochs, configurations and the register of
 *         genesis: an election waits for these, and must not wait behind the
 *         sync of a snapshot
 *
 *   store_jobs.c     the port, events, lending
 *   store_files.c    FILES
 *   store_install.c  a leader's snapshot, from bytes to the disk and the tree
 *   store_stream.c   chunks from BG to a learner's connection; snapshots
 *   store_history.c  histories, from files and window
 *   config_file.c    .dynamic.next, .dynamic.<version>, the static file
 *
 * Memory   a learner's stream holds STORE_CHUNKS_MAX chunks of about
 *          STORE_CHUNK_BYTES; a leader's snapshot passes through
 *          STORE_INSTALL_BYTES.
 *
 * Context    store_jobs_create() .. destroy(): the main thread, BG not running.
 *            store_jobs_run(), .._attach(), .._detach(), .._floor(): BG. The
 *            port and store_jobs_note(): ZAB.
 */

#include "dataplane/store_port.h"
#include "drivers/lcore.h"
#include "server/restore.h"
#include "store/txlog.h"

#define STORE_CHUNK_BYTES   (256u << 10)
#define STORE_CHUNKS_MAX    8u
#define STORE_INSTALL_BYTES (4u << 20)
#define STORE_READERS_MAX   12u

struct store_jobs;

/* Borrowed for the life of the jobs. */
struct store_parts {
	struct restore restore; /* a copy */
	struct txlog *txlog;
	const _Atomic uint64_t *published; /* P */
	struct lcore *zab_lcore, *bg_lcore;
	const char *config_path;           /* zoo.cfg */
	int64_t sid;                       /* own */
	uint32_t snapshots_max;            /* leader.maxConcurrentSnapSyncs */
	double worth_factor;               /* snapshotSizeFactor */
	uint32_t worth_count;              /* commitLogCount */
	const struct zab_history *history; /* of recovery; copied */

	/* Any of them may be NULL. */
	void *arg;
	/* ZAB: the objects are lent from now on, and back. */
	void (*lend)(void *arg);
	void (*take_back)(void *arg);
	/* BG: LOG stands still between these two. */
	void (*park_log)(void *arg);
	void (*resume_log)(void *arg);
	/* BG: gives up a snapshot file that is being written. */
	void (*drop_snapshot)(void *arg);
};

FAL_MUST_CHECK int store_jobs_create(const struct store_parts *,
				     struct store_jobs **out);
/* Starts FILES. */
FAL_MUST_CHECK int store_jobs_start(struct store_jobs *);
/* Ends FILES when it has done what was asked. BG has stopped or will. */
void store_jobs_stop(struct store_jobs *);
void store_jobs_destroy(struct store_jobs *);

struct store_port store_jobs_port(struct store_jobs *);
/* ZAB. A transaction was appended: what open_history() may be asked for. */
void store_jobs_note(struct store_jobs *, int64_t zxid);

/* BG: when the thread begins and ends. */
FAL_MUST_CHECK int store_jobs_attach(struct store_jobs *);
void store_jobs_detach(struct store_jobs *);
/* BG: a slice of whatever waits; true if there was something. */
bool store_jobs_run(struct store_jobs *);
bool store_jobs_has_work(struct store_jobs *);
/* BG: everything is lent, or about to be taken. */
bool store_jobs_is_lent(const struct store_jobs *);
/* BG: records above this zxid must stay on the disk: somebody reads them.
 * UINT64_MAX: nobody does. */
uint64_t store_jobs_reads_above(const struct store_jobs *);
/* BG: a snapshot was written (logs_removed: or old logs went): what is worth
 * sending from the log may have changed. */
void store_jobs_files_changed(struct store_jobs *, bool logs_removed);

#endif
