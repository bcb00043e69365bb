/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_REPLACE_H
#define FALCONER_SERVER_REPLACE_H

/*
 * replace - the data of a running server give way to a snapshot that somebody
 * sends (the admin command restore).
 *
 *   UPLOADING  bytes go into a hidden file of dataDir; the server serves
 *   CHECKING   a thread loads them into a tree of its own and makes a durable
 *              copy (store/snap_replace.h); the server serves
 *   READY      the server stops in order, the copy takes the place of all
 *              logs and snapshots, and the process starts itself again
 *
 * A start is what brings tree, sessions, log and readers to one state anyway,
 * and is the only place that does; a second way, for a server that goes on
 * while its tree is exchanged, would have to be as good. Clients see what they
 * see when a server is restarted.
 *
 * The restored state is that of the last zxid that this server has given out
 * (of a lone server: or of the snapshot's, if that is higher), so that no
 * client has seen more than the server knows, and members that restore the same
 * snapshot one by one stay in step.
 *
 * Context    the control thread, unless said otherwise. One at a time.
 * Errors     FAL_EBUSY: one is under way; the disk's. Whatever fails before
 *            READY leaves the server as it was.
 */

#include "server/server.h"

enum replace_state {
	REPLACE_UPLOADING,
	REPLACE_ABANDONED, /* the upload will not be completed */
	REPLACE_CHECKING,
	REPLACE_REFUSED, /* see replace_why() */
	REPLACE_READY,
};

struct replace;

/* Begins an upload; server->replace from now on. */
FAL_MUST_CHECK int replace_begin(struct server *, struct replace **out);
/* The next bytes; any one thread. Errors are kept for replace_check(). */
void replace_put(struct replace *, const void *data, size_t bytes);
/* Whoever sent has gone. Any thread; replace_tidy() clears up. */
void replace_abandon(struct replace *);
/* Drops an upload that was given up: what came of it may be gigabytes. */
void replace_tidy(struct server *);
/* All bytes are there. 0: CHECKING; ctl_lcore is rung when it is over. */
FAL_MUST_CHECK int replace_check(struct replace *);
enum replace_state replace_state(const struct replace *);
/* Of REFUSED, one line. */
const char *replace_why(const struct replace *);
uint64_t replace_bytes(const struct replace *);
/* Of READY: what the snapshot says of itself; 0: nothing. */
uint64_t replace_zxid(const struct replace *);
/* All other threads have ended and the log is closed: puts the snapshot in the
 * place of everything. On an error the next start finds the old data or the
 * new. */
FAL_MUST_CHECK int replace_commit(struct server *);
/* Drops what is under way, if anything is. */
void replace_drop(struct server *);

#endif
