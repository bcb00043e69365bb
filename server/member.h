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
 *   member_reconfig.c configurations that come as text
 *   member_say.c     lines of the log
 *
 * Context    the main thread, but for the hooks of the driver.
 */

#include <pthread.h>

#include "consensus/quorum.h"
#include "dataplane/ensemble.h"
#include "server/server.h"

#define MEMBER_KNOWN_MAX 64u

struct resolver;

/* Tags of stream events; MEMBER_CLIENT_TAG is the client port's. */
enum member_tag {
	MEMBER_CLIENT_TAG = 1,
	MEMBER_FLE_LISTEN_TAG,
	MEMBER_FLE_CONNECT_TAG,
	MEMBER_PEER_LISTEN_TAG,
	MEMBER_PEER_CONNECT_TAG,
	MEMBER_MASTER_TAG, /* observerMasterPort */
};

struct member {
	struct server *server;
	struct resolver *resolver;
	struct ensemble *ensemble;
	struct quorum active, next;
	char text[CONFIG_TEXT_BYTES]; /* of the active configuration */
	/* By id, as the last text says that names it and is not older than the
	 * active one. */
	struct config_server known[MEMBER_KNOWN_MAX];
	uint32_t known_count;
	uint32_t diverged; /* times; the ZAB core's */

	/* The active configuration for those who ask for it. It changes with
	 * a reconfiguration, so nobody waits for this lock. */
	pthread_mutex_t shown_lock;
	char shown[CONFIG_TEXT_BYTES];
	uint32_t shown_number; /* of the text; 0: what the files said */
	/* The control thread's, as read from the text of that number. */
	struct config view;
	uint32_t view_number;
};

/* syncEnabled=false of an observer: it writes no log and no snapshots but those
 * that a leader sends. */
bool member_is_log_volatile(const struct config *);
/* Makes server->peer; the stores and the zab are there. */
FAL_MUST_CHECK int member_create(struct server *, struct server_error *);
/* Listens on the election port, the quorum port and the port for observers. */
FAL_MUST_CHECK int member_listen(struct server *, struct server_error *);
/* START; before the poll cores run. */
void member_start(struct server *);
/* Before the poll cores end: a leader hands over, as far as others are ready.
 * Waits a moment. */
void member_hand_over(struct server *);
/* The same, but does not wait for it. */
void member_yield(struct server *);
void member_destroy(struct server *);

/* Lines for what happened since the last call. */
void member_say(struct server *);

/* ---- member_quorum.c ---- */

/* The members as the core wants them. FAL_EINVAL: it would refuse them. */
FAL_MUST_CHECK int member_quorum_of(const struct config *, struct quorum *out);

/* Of ids, roles and weights, whatever the order of the lines. */
uint64_t member_voters_hash(const struct quorum *);

/* ---- member_reconfig.c; the ZAB core, or before it runs ---- */

void member_remember(struct member *, const struct config *);
/* NULL: no text named it. */
const struct config_server *member_find(const struct member *, int64_t sid);
/* Hooks of the driver. */
bool member_parse_config(void *member, struct jute_slice text,
			 struct quorum *out);
int32_t member_compose_config(void *member, struct jute_slice active,
			      const uint8_t *body, uint32_t body_bytes,
			      int64_t version, char *text);
void member_on_config(void *member, const struct quorum *active,
		      const char *text, uint32_t bytes);

/* The configuration with the members that are active now; the control thread's,
 * until its next call. Of a server alone: what it was started with. */
const struct config *member_view(const struct server *);

/* What srvr, mntr and the admin server call the role: "leader", "follower",
 * "observer", "read-only", "standalone"; NULL: it does not serve. */
const char *member_mode(const struct server *);

#endif
