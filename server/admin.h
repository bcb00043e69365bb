/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_ADMIN_H
#define FALCONER_SERVER_ADMIN_H

/*
 * admin - the HTTP server for operators: ZooKeeper's /commands, metrics, health
 * and a page to look at.
 *
 *   HTTP thread (libmicrohttpd)          control thread
 *   parses, limits, keeps connections    makes the answers
 *          request --- list, doorbell --->
 *          <--- answer, resume ----------
 *
 * What a poll core has to say is collected the way four-letter words do it
 * (words_gather()); everything else is read where mntr reads it. So HTTP, its
 * malloc and its clients never touch a poll core.
 *
 * The server listens from the beginning of the start: while data is recovered
 * the HTTP thread itself says so, and commands are answered as by a ZooKeeper
 * that does not serve.
 *
 * Context    admin_start() to admin_destroy(): the control thread.
 * Limits     ADMIN_CONNECTIONS_MAX connections in all and 32 KiB of header
 *            each; a request must have come in whole within
 *            admin.idleTimeout, also one that trickles; a bound on what lists
 *            may hold, shared with the words.
 * Errors     FAL_EADDRINUSE-like trouble at the start is a line in
 *            server_error, or a warning when nobody asked for the port.
 */

#include "base/fal.h"

#define ADMIN_CONNECTIONS_MAX 64u
/* Not known how far we are? Then livez and startupz say so. */
#define ADMIN_PORT_DEFAULT 8080

struct server;
struct server_error;
struct admin;

/* Binds and listens, unless the configuration says no. Returns 0, also when
 * there is no HTTP server (server->admin NULL), or what stops the start. */
FAL_MUST_CHECK int admin_start(struct server *, struct server_error *);
/* What the start is at, a literal; shown by /startupz. */
void admin_set_phase(struct admin *, const char *phase);
/* From now on admin_serve() is called in a loop. */
void admin_set_serving(struct admin *);
/* Answers what came in; true if anything was done. */
bool admin_serve(struct admin *);
/* No more requests; those that wait are told that the server stops. But one
 * that is to be answered when the server has stopped keeps the HTTP server,
 * which answers others as before the start, until admin_stop_at_last(). */
void admin_stop(struct admin *);
/* err  how the restore went that is answered now, if there is one */
void admin_stop_at_last(struct admin *, int err);
void admin_destroy(struct admin *);

#endif
