/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_SNAPSHOT_JOB_H
#define FALCONER_STORE_SNAPSHOT_JOB_H

/*
 * snapshot_job - writes a snapshot of the living tree, slice by slice.
 *
 * The writer core pins a state: it publishes S, calls tree_hold(S), copies the
 * sessions and the digest, and hands the job to BG. BG reads the tree at S
 * while the writer goes on, so the file shows exactly the state S. A slice is
 * at most 256 nodes; around file writes the reader is paused.
 *
 * If that holds back more garbage than garbage_bytes_max, the pin slides to the
 * present. From there the file is a mixture, as Java's always are: correct
 * after replay of everything above S. A node may then show an ACL that is not
 * in the file's list, which was written before. If it was made since S it is
 * left out with what is below it, as replay makes it; else a tree to which
 * clients always bring new ACLs would never be written. If it is older and has
 * another ACL since, the file is given up (FAL_EAGAIN) and the caller begins
 * again.
 *
 * The same walk makes the bytes for a learner: with a pipe
 * (snapshot_out_pipe()) in the place of a file. What slid cannot begin again
 * then.
 *
 *   ZAB   tree_hold(tree, P); copy sessions, digest; txlog_roll(); job -> BG
 *   BG    snapshot_job_create(); step until it returns <= 0; pinned() is told
 *         once: ZAB may tree_release(); purge_run()
 *
 * Context    BG: the thread that registered the reader.
 * Ownership  options' pointers are lent until snapshot_job_free(); sessions
 *            are read by create only.
 * Limits     memory: a word for each ACL list, a slice, the stack of the walk.
 * Errors     FAL_EAGAIN: begin again; FAL_ENOMEM; the disk's. Nothing with a
 *            final name is left behind by a failed job.
 * Source     architecture.md section 7.
 */

#include <stdatomic.h>

#include "store/snapshot.h"
#include "znode/tree.h"

/* A sixteenth of what the tree may take, at most that. */
#define SNAPSHOT_JOB_GARBAGE_SHARE 16u
#define SNAPSHOT_JOB_GARBAGE_MAX   (256ull << 20)

struct snapshot_job_options {
	struct disk *disk;
	const char *dir; /* dataDir/version-2 */
	enum file_coding coding;
	bool writes_last_zxid; /* serializeLastProcessedZxid.enabled */
	struct tree *tree;
	struct tree_reader *reader; /* offline, or pinned at zxid */
	struct snapshot_out *pipe;  /* NULL: a file is made. Given: freed by the
				       job, also when create fails. disk, dir,
				       coding and writes_last_zxid are ignored */
	bool is_pinned;             /* tree_reader_pin() was called */
	const _Atomic uint64_t *published;
	uint64_t garbage_bytes_max; /* 0: SNAPSHOT_JOB_GARBAGE_.. */

	uint64_t zxid; /* S; tree_hold() is in force */
	bool has_digest;
	uint64_t digest; /* at S */
	const struct snapshot_session *sessions;
	uint32_t session_count;

	/* S is pinned by the reader now: the hold may go. May be NULL. */
	void (*pinned)(void *arg);
	/* After the pin slid: the state of the present. False: unknown, then no
	 * digest is written. May be NULL. */
	bool (*state_now)(void *arg, uint64_t *zxid, uint64_t *digest);
	void *arg;
};

struct snapshot_job;

FAL_MUST_CHECK int snapshot_job_create(const struct snapshot_job_options *,
				       struct snapshot_job **out);
/* Does one slice. Returns 1: call again, 0: the snapshot is durable under its
 * name, or an error. Not to be called again after 0 or an error. */
FAL_MUST_CHECK int snapshot_job_step(struct snapshot_job *);
/* Takes the reader offline; an unfinished file is removed. */
void snapshot_job_free(struct snapshot_job *);
uint64_t snapshot_job_nodes(const struct snapshot_job *);
/* How often the pin slid. */
uint32_t snapshot_job_slides(const struct snapshot_job *);

#endif
