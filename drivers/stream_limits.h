/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_STREAM_LIMITS_H
#define FALCONER_DRIVERS_STREAM_LIMITS_H

/*
 * stream_limits - how many connections there may be, in all and per host.
 *
 * One object for all cores that accept on a port (maxCnxns, maxClientCnxns).
 * Accepting and closing are rare and cost system calls anyway, so a mutex
 * guards an open-addressing table host -> count; polling never takes it. The
 * table is keyed with a random hash: hosts cannot choose to collide.
 *
 * Context    any thread.
 * Limits     the table has room for `total` hosts at least, so it is never
 *            full; removing moves entries back, so it never ages.
 * Cost       one uncontended lock, 1-2 cache lines.
 */

#include <stdint.h>

#include "base/fal.h"
#include "drivers/stream_address.h"

struct stream_limits;

enum stream_verdict {
	STREAM_ADMITTED = 0,
	STREAM_OVER_TOTAL, /* the limit on all connections */
	STREAM_OVER_HOST,  /* the limit per host           */
};

/*
 * Makes a table.
 *
 * capacity  how many connections all cores together can hold: the sum of their
 *           stream_limit; 1..2^22
 * total     limit on all connections, 0: none
 * per_host  limit for one address, 0: none
 *
 * Returns 0, FAL_EINVAL (capacity) or FAL_ENOMEM.
 */
FAL_MUST_CHECK int stream_limits_create(uint32_t capacity, uint32_t total,
					uint32_t per_host,
					struct stream_limits **limits);

/* Frees it; every connection that was admitted has left. */
void stream_limits_destroy(struct stream_limits *limits);

/* Changes the limits; those who are in stay in. */
void stream_limits_set(struct stream_limits *limits, uint32_t total,
		       uint32_t per_host);

/* Counts a connection from this host (its port does not matter), unless a limit
 * forbids it. Called by the implementations of stream.h. */
FAL_MUST_CHECK enum stream_verdict stream_limits_enter(
	struct stream_limits *limits, const struct stream_address *address);

/* Takes back one stream_limits_enter() that admitted. */
void stream_limits_leave(struct stream_limits *limits,
			 const struct stream_address *address);

/* How many are in, in all (host NULL) or from one host. */
uint32_t stream_limits_count(struct stream_limits *limits,
			     const struct stream_address *host);

#endif
