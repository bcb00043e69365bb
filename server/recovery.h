/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_RECOVERY_H
#define FALCONER_SERVER_RECOVERY_H

/*
 * recovery - the data directory's contents into tree and session table.
 *
 * Context    main thread, before any other thread exists (and after they have
 *            ended, for recovery_mark_clean()).
 */

#include "consensus/zab.h"
#include "server/restore.h"
#include "server/server.h"
#include "store/epoch_file.h"
#include "store/genesis_file.h"

#define RECOVERY_NEXT_BYTES 65536u

/* What the disk held at the start; server->member, from recovery_run() on. */
struct recovery_member {
	struct restore_result found;
	/* Of a member of an ensemble. */
	struct epoch_pair epochs;
	struct genesis_state genesis;
	bool has_history; /* more than a disk that began empty */
	bool has_next;    /* a configuration that is not active yet */
	int64_t next_version;
	char next_text[RECOVERY_NEXT_BYTES]; /* as it is in the file */
};

/* START of the consensus core. `active` and `next` stay NULL: the caller makes
 * `next` of server->member->next_text. committed_zxid is 0: nothing on the disk
 * proves a commit. history lives as long as the server. */
void recovery_disk_state(const struct server *, struct zab_disk_state *out);
/* The objects of the server, for a later restore_run(). */
struct restore recovery_restore(struct server *);

/* Opens and locks the directories, loads the newest snapshot, replays the log.
 * Sets data_dir, last_zxid, must_snapshot and member. A member of an ensemble
 * also gets its epochs, and what keeps it from voting. */
FAL_MUST_CHECK int recovery_run(struct server *, struct server_error *);
/* After an orderly stop: notes that the log ends cleanly. */
void recovery_mark_clean(struct server *);
/* Unlocks the directories. */
void recovery_free(struct server *);

#endif
