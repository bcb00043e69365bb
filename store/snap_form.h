/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_SNAP_FORM_H
#define FALCONER_STORE_SNAP_FORM_H

/*
 * snap_form - finds the end of a snapshot that comes over a connection.
 *
 *   int n | n x (long session, int timeout_ms)
 *   int n | n x (long acl id, vector<ACL>)
 *   (ustring path, buffer data, long acl id, stat 60 bytes)*
 *   ustring "/" | ustring "BenWasHere"
 *
 * Nothing tells how long it is and packets follow at once, so lengths are
 * followed as the bytes come, in pieces of any size, and nothing is kept. What
 * the bytes mean is for whoever loads them.
 *
 * Context    any thread; pure.
 * Limits     a path or data up to half of SNAPSHOT_FIELD_MAX, an ACL up to it.
 * Errors     FAL_EPROTO: this is no snapshot; final.
 * Source     quorum-protocol.md 7.3, disk-format.md 6.1.
 */

#include "base/fal.h"
#include "wire/quorum_packet.h"

/* The end marker and the signature, with their lengths. */
#define SNAP_FORM_TAIL_BYTES (5u + 4u + 10u)

struct snap_form {
	uint32_t state;
	int err;
	uint32_t need; /* bytes until the next step */
	uint32_t have; /* of a number, in `number` */
	uint64_t number;
	uint32_t left; /* elements of the list */
	uint32_t acl_left, acl_bytes;
	uint64_t taken;
	uint64_t nodes;
};

void snap_form_init(struct snap_form *);
/* Looks at bytes: returns how many belong to the snapshot, up to all of them,
 * or FAL_EPROTO. */
FAL_MUST_CHECK int64_t snap_form_take(struct snap_form *, const uint8_t *data,
				      uint32_t bytes);
/* Its last byte was taken. */
bool snap_form_is_done(const struct snap_form *);
/* All that was taken. When done the last SNAP_FORM_TAIL_BYTES of them are no
 * part of a file. */
uint64_t snap_form_bytes(const struct snap_form *);

#endif
