/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_WIRE_PROTO_MIRROR_H
#define FALCONER_TESTS_WIRE_PROTO_MIRROR_H

/*
 * proto_mirror - decodes frames of the client protocol and encodes what it
 * understood again, field by field. Equal bytes then mean that nothing was
 * lost; the notes tell an observer each field's name and value, so that
 * swapped fields do not go unseen either.
 *
 * Used by the unit tests (golden frames, truncations) and by the fuzz target.
 */

#include "wire/proto.h"

struct proto_mirror {
	struct jute_reader in;
	struct jute_writer out;
	/* Both nullable. name as in the golden files' labels. */
	void (*note_int)(void *context, const char *name, int64_t value);
	void (*note_slice)(void *context, const char *name,
			   struct jute_slice value);
	void *context;
};

/* Each takes a frame without its length word. 0, or FAL_EPROTO when it does
 * not decode; then what is in out means nothing. */
int proto_mirror_connect_request(struct proto_mirror *mirror);
int proto_mirror_connect_response(struct proto_mirror *mirror);
/* op: out, the request's type (also on failure, if the header was whole). */
int proto_mirror_request(struct proto_mirror *mirror,
			 struct proto_request_header *header);
/* The record of a request, without the header. */
int proto_mirror_request_body(struct proto_mirror *mirror, int32_t op);
/* op: type of the request with that xid; OP_NOTIFICATION for xid -1. */
int proto_mirror_reply(struct proto_mirror *mirror, int32_t op);

#endif
