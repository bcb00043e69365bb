/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_WIRE_QUORUM_AUTH_H
#define FALCONER_WIRE_QUORUM_AUTH_H

/*
 * quorum_auth - SASL packets between servers, on both ports.
 *
 *   long 0x5F2435013501EDCC | int status | buffer token
 *
 * The dialer is the SASL client. On the election port the exchange follows the
 * initial message, on the learner port it precedes FOLLOWERINFO. A server that
 * does not require authentication looks at the first 8 bytes: no magic, no
 * exchange.
 *
 * Context    any thread; no allocation, no globals.
 * Ownership  the token points into the decoded bytes.
 * Source     quorum-protocol.md section 16.
 */

#include "wire/jute.h"

#define QUORUM_AUTH_MAGIC           0x5F2435013501EDCCll
#define QUORUM_AUTH_TOKEN_BYTES_MAX 65536

enum quorum_auth_status {
	QUORUM_AUTH_IN_PROGRESS = 0,
	QUORUM_AUTH_SUCCESS = 1,
	QUORUM_AUTH_ERROR = -1,
};

struct quorum_auth {
	int32_t status;
	struct jute_slice token; /* bytes -1: null */
};

/*
 * Decodes the packet at the start of a stream's bytes.
 *
 * packet_bytes  out, when 1: size of the packet; when 0: how many bytes there
 *               must be before asking again
 *
 * 1           a whole packet
 * 0           not yet
 * FAL_ENOENT  the first 8 bytes are not the magic: some other protocol
 * FAL_EPROTO  bad token length
 */
FAL_MUST_CHECK int quorum_auth_get(const void *data, size_t bytes,
				   struct quorum_auth *out,
				   size_t *packet_bytes);

void quorum_auth_put(struct jute_writer *, const struct quorum_auth *);

#endif
