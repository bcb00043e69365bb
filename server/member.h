/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_MEMBER_H
#define FALCONER_SERVER_MEMBER_H

/*
 * member - a server of an ensemble: the driver of the consensus core
 * (dataplane/ensemble.h) made from the configuration, its two ports, and what
 * the log says about it.
 *
 *   member.c         from configuration to driver
 *   member_quorum.c  configurations as the core knows them, from server lines
 *   member_say.c     lines of the log
 *
 * Context    the main thread, but for the hooks of the driver.
 */

#include "consensus/quorum.h"
#include "dataplane/ensemble.h"
#include "server/server.h"

struct resolver;

/* Tags of stream events; MEMBER_CLIENT_TAG is the client port's. */
enum member_tag {
	MEMBER_CLIENT_TAG = 1,
	MEMBER_FLE_LISTEN_TAG,
	MEMBER_FLE_CONNECT_TAG,
	MEMBER_PEER_LISTEN_TAG,
	MEMBER_PEER_CONNECT_TAG,
};

struct member {
	struct server *server;
	struct resolver *resolver;
	struct ensemble *ensemble;
	struct quorum active, next;
	char text[CONFIG_TEXT_BYTES]; /* of the active configuration */
	int64_t role_told; /* epoch and role of the last line, to say changes */
};

/* Makes server->peer; the stores and the zab are there. */
FAL_MUST_CHECK int member_create(struct server *, struct server_error *);
/* Listens on the election port and the quorum port. */
FAL_MUST_CHECK int member_listen(struct server *, struct server_error *);
/* START; before the poll cores run. */
void member_start(struct server *);
void member_destroy(struct server *);

/* Lines for what happened since the last call. */
void member_say(struct server *);

/* ---- member_quorum.c ---- */

/* The members as the core wants them. FAL_EINVAL: it would refuse them. */
FAL_MUST_CHECK int member_quorum_of(const struct config *, struct quorum *out);

/* What srvr, mntr and the admin server call the role: "leader", "follower",
 * "observer", "read-only", "standalone"; NULL: it does not serve. */
const char *member_mode(const struct server *);

#endif
