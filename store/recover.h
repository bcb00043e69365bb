/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_RECOVER_H
#define FALCONER_STORE_RECOVER_H

/*
 * recover - from the files of a data directory to the last state.
 *
 *   1. the newest snapshot that can be read and verifies is loaded; S is the
 *      zxid of its name
 *   2. every transaction above S is replayed, in order, without a gap
 *   3. what a crash left behind the last record is cut off
 *
 * A crash leaves at most one write of 256 KB unfinished (txlog.h), so a bad
 * record ends the log as a *torn tail* if it lies in the last file, nothing
 * that is not zero lies further than one write behind it, and, where good
 * records follow it, a sector between them never reached the disk. A torn tail
 * was never acknowledged by us; it is cut. Everything else is *damage*: bytes
 * that were durable are gone. So is any end before the zxid that a clean stop
 * has noted in its marker.
 *
 * Damage refuses a standalone start with a message that names file, offset and
 * remedy; a member of an ensemble starts with what is good (nothing, if there
 * is no snapshot), must not vote and lets the leader synchronise it
 * (is_damaged). Nothing is changed on disk then, unless the loss is accepted:
 * what is cut off is kept aside under names that begin with "falconer.cut.".
 * The caller notes that the server must not vote, and accepts it (restore.h).
 *
 * Context    one thread, before the log is created and readers run; blocks.
 * Ownership  the tree is the caller's; its content is replaced.
 * Errors     FAL_ECORRUPT: refused, message says why; the disk's; FAL_ENOMEM.
 *            The files are unchanged after an error, except that an earlier
 *            cut may have been completed.
 * Source     architecture.md 6.2 and 7, disk-format.md sections 5, 7, 8, 15.
 */

#include "drivers/disk.h"
#include "store/file_name.h"
#include "store/snapshot.h"
#include "wire/txn.h"
#include "znode/tree.h"

#define RECOVER_MESSAGE_BYTES 1024u
#define RECOVER_CLEAN_NAME    "falconer.clean"
#define RECOVER_CUT_PREFIX    "falconer.cut."

/* What apply() returns when the transaction was applied, but its digest and
 * the tree's differ. */
#define RECOVER_DIGEST_DIFFERS 1

struct recover_options {
	const char *snap_dir;    /* dataDir/version-2 */
	const char *log_dir;     /* dataLogDir/version-2 */
	bool is_member;          /* of an ensemble: damage does not refuse */
	bool accepts_loss;       /* cut at damage and go on */
	bool trusts_no_snapshot; /* snapshot.trust.empty */
	bool is_digest_on;       /* the tree keeps a digest: compare */
	bool ignores_digest;     /* operator: start in spite of differences */
	uint64_t
		until_zxid; /* operator: cut everything behind it; 0: nothing */
	uint32_t entry_bytes_max; /* 0: 64 MiB */

	/* A session of the snapshot. May be NULL. */
	int (*session)(void *arg, int64_t id, int32_t timeout_ms);
	/* All sessions told so far are void: another snapshot is tried. */
	void (*forget_sessions)(void *arg);
	/* Applies and publishes one entry, sessions included. Returns 0,
	 * RECOVER_DIGEST_DIFFERS, or an error: FAL_EPROTO when it does not
	 * decode, FAL_ENOMEM. */
	int (*apply)(void *arg, const void *entry, uint32_t bytes,
		     const struct txn_header *);
	void *arg;
};

struct recover_outcome {
	bool is_empty; /* there was no data: a fresh database, zxid 0 */
	bool has_snapshot;
	uint64_t snapshot_zxid;
	char snapshot_path[FILE_PATH_MAX];
	struct snapshot_info snapshot;
	uint32_t snapshots_refused; /* newer ones that did not verify */
	uint64_t last_zxid;
	uint64_t replayed; /* transactions */
	bool was_clean_stop;

	bool has_cut; /* a torn tail was cut, or what the operator named */
	char cut_path[FILE_PATH_MAX];
	uint64_t cut_offset, cut_bytes;

	bool is_damaged;    /* must not vote before it is synchronised */
	bool must_snapshot; /* write a snapshot as soon as possible */
	uint64_t digests_compared;
	uint64_t digests_different;
	uint64_t digest_zxid; /* of the first difference */

	/* Why it was refused, or what the operator should know; "" if
	 * nothing. One line. */
	char message[RECOVER_MESSAGE_BYTES];
};

/* Does all of the above. Returns 0 or an error; *outcome is filled as far as
 * it came, message always. */
FAL_MUST_CHECK int recover_run(struct disk *, const struct recover_options *,
			       struct tree *, struct recover_outcome *);

/* Notes that everything up to last_zxid is durable and the server stops. To be
 * called after the last append; recover_run() takes the note away. */
FAL_MUST_CHECK int recover_note_clean_stop(struct disk *, const char *log_dir,
					   uint64_t last_zxid);

/* Takes the note away; also to be called when the leader has synchronised a
 * damaged member, whose note may name transactions that are no more. */
FAL_MUST_CHECK int recover_forget_clean_stop(struct disk *,
					     const char *log_dir);

/* Tells whether a bad end of the last log file is a torn tail.
 *
 * end, rest   from log_file_end(), log_file_inspect()
 * bad_bytes   what the bad record says it needs, overhead included; 0: it
 *             makes no sense
 */
struct log_rest;
bool recover_is_torn(const struct log_rest *, uint64_t bad_bytes);

#endif
