/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_AUDIT_EVENT_H
#define FALCONER_SERVER_AUDIT_EVENT_H

/*
 * audit_event - from an answered update to the lines of the audit log, in two
 * halves: what a reader core takes down, and what the control thread makes of
 * it.
 *
 * Context    audit_events_of(): reader core; no allocation, no text formatting.
 *            audit_put_line(): any thread.
 */

#include <stdio.h>

#include "dataplane/reader.h"

enum audit_operation {
	AUDIT_CREATE,
	AUDIT_DELETE,
	AUDIT_SET_DATA,
	AUDIT_SET_ACL,
	AUDIT_MULTI,
	AUDIT_RECONFIG,
	AUDIT_EPHEMERAL_DELETION,
};

/* One line. The texts follow the struct: path, user, acl. */
struct audit_event {
	uint32_t bytes; /* with the texts, a multiple of 8; 0: a wrap */
	uint8_t operation;
	bool is_success;
	int8_t create_flags; /* enum proto_create_flags; -1: does not apply */
	bool has_path;
	int64_t session_id;
	int64_t wall_ms;
	struct stream_address peer; /* family 0: the server itself */
	uint32_t path_bytes;
	uint32_t user_bytes;
	uint32_t acl_bytes; /* a vector<ACL> */
	uint32_t reserved;
};

_Static_assert(sizeof(struct audit_event) % 8 == 0, "texts are aligned");

/* What one event is made of, before it is copied. */
struct audit_parts {
	struct audit_event event;
	struct jute_slice path;
	const struct auth_ids *ids; /* NULL: the server itself */
	struct jute_slice acl;      /* bytes of a vector<ACL>; bytes 0: none */
};

/* Calls take() for each line the update is worth, in order. */
void audit_events_of(const struct reader_update *,
		     void (*take)(void *arg, const struct audit_parts *),
		     void *arg);

/* The users as ZooKeeper names them: of an identity user:secret the user, the
 * address last. Returns bytes, at most `room`. */
uint32_t audit_user_text(const struct auth_ids *, char *text, uint32_t room);

/* A line without the time in front: session=... to result=..., no newline.
 * texts: path, user, acl; server_user: who the server runs as. */
void audit_put_line(FILE *out, const struct audit_event *, const char *texts,
		    const char *server_user);

#endif
