/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_SNAP_REPLACE_H
#define FALCONER_STORE_SNAP_REPLACE_H

/*
 * snap_replace - a snapshot from outside takes the place of all data of a
 * server that goes on with its history of zxids.
 *
 *   prepare   the file is read twice: into a tree of its own, which proves that
 *             a start can load it, and into a hidden copy that is complete and
 *             durable. The data of the server is untouched.
 *   commit    the copy becomes the state of a given zxid, all other files go
 *             aside (store/log_cut.h). A crash leaves the state before or the
 *             state after: retire_complete() at the next start.
 *
 * The copy carries neither digest nor last zxid: both belong to the history
 * that the snapshot comes from, and its place in ours is told by its name.
 *
 * Context    prepare: any thread, blocks; the tree is its own. commit: while
 *            the log is closed and nobody writes snapshots.
 * Limits     memory for the scratch tree: that of the data in the file.
 * Errors     FAL_ECORRUPT: the file cannot be loaded, the fault says why;
 *            FAL_ENOMEM; the disk's. After an error of commit the next start
 *            finds one of the two states.
 */

#include "store/snapshot.h"

struct snap_replace;

struct snap_replace_options {
	struct disk *disk;
	const char *snap_dir; /* where the copy is made */
	const char *path;     /* the file; plain, gz or snappy by its content */
	struct tree *scratch; /* empty; filled with what the file holds */
};

FAL_MUST_CHECK int snap_replace_prepare(const struct snap_replace_options *,
					struct snap_replace **out,
					struct snapshot_fault *);
/* What was in the file. has_last_zxid, has_digest: as it came. */
const struct snapshot_info *snap_replace_info(const struct snap_replace *);
/* The zxid that the file says it is of; 0: it does not say. */
uint64_t snap_replace_zxid(const struct snap_replace *);
/* Frees the object in any case. */
FAL_MUST_CHECK int snap_replace_commit(struct snap_replace *,
				       const char *log_dir, uint64_t zxid);
/* Removes the copy and frees the object. */
void snap_replace_abort(struct snap_replace *);

#endif
