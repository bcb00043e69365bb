/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_RESTORE_H
#define FALCONER_SERVER_RESTORE_H

/*
 * restore - tree, sessions and prep brought to the state of the files: at the
 * start, and again when a leader has cut or replaced the history.
 *
 * store/recover.h bound to the objects of a server, and what a member of an
 * ensemble needs beside it: the installation of a leader's snapshot that a
 * crash interrupted is completed, the table of the history is read, and damage
 * becomes a mark on the disk (store/vote_mark.h) before the damaged part goes
 * aside, so that the server cannot forget that it must not vote.
 *
 * Context    the main thread before all others, or BG while the ZAB core has
 *            lent the objects; blocks.
 * Errors     recover_run()'s; outcome.message says why in words.
 */

#include "consensus/zab_types.h"
#include "store/recover.h"
#include "store/vote_mark.h"
#include "znode/prep.h"

/* Borrowed. */
struct restore {
	struct disk *disk;
	const char *snap_dir, *log_dir;
	struct tree *tree;
	struct session_table *sessions;
	struct prep *prep;
	bool is_member;
	bool is_digest_on, trusts_no_snapshot;
	/* An operator's word, for a start only; see store/recover.h. Who
	 * accepts the loss lets a member vote, too. */
	bool accepts_loss, ignores_digest;
	uint64_t until_zxid;
	uint32_t applied;        /* kept here */
	uint64_t replay_from_ms; /* likewise; 0: nothing was replayed */
};

struct restore_result {
	struct recover_outcome outcome;
	uint64_t snapshot_ms, replay_ms; /* what the two parts took */
	/* Of a member. */
	struct zab_history history;
	bool is_nonvoting;
	char reason[VOTE_REASON_BYTES]; /* why; "" if it may vote */
};

FAL_MUST_CHECK int restore_run(struct restore *, struct restore_result *out);

/* Replaces tree and sessions by the content of one snapshot file, as state
 * zxid. FAL_ECORRUPT: it cannot be loaded, fault says why; the tree holds a
 * part. */
FAL_MUST_CHECK int restore_load(struct restore *, const char *path,
				uint64_t zxid, struct snapshot_info *,
				struct snapshot_fault *);

#endif
