/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_RECOVERY_H
#define FALCONER_SERVER_RECOVERY_H

/*
 * recovery - the data directory's contents into tree and session table.
 *
 * Context    main thread, before any other thread exists (and after they have
 *            ended, for recovery_mark_clean()).
 */

#include "server/server.h"

/* Opens and locks the directories, loads the newest snapshot, replays the log.
 * Sets data_dir, last_zxid and
 * must_snapshot. */
FAL_MUST_CHECK int recovery_run(struct server *, struct server_error *);
/* After an orderly stop: notes that the log ends cleanly. */
void recovery_mark_clean(struct server *);
/* Unlocks the directories. */
void recovery_free(struct server *);

#endif
