/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_LISTEN_H
#define FALCONER_SERVER_LISTEN_H

/*
 * listen - where a port of this server is opened, and what an operator may do
 * when it cannot be.
 *
 * clientPortAddress and its like may be names, as in ZooKeeper: the first
 * address that the system's resolver knows counts, one of IPv4 before one of
 * IPv6, which is Java's order.
 *
 * Context    one thread, at start; a name may take as long as the resolver.
 */

#include <stdbool.h>
#include <stddef.h>

#include "drivers/stream_address.h"

/* What an address means to who listens: 0.0.0.0 is all of IPv6, too, as it is
 * in Java; others are as they are. */
struct stream_address listen_widened(struct stream_address);

/*
 * Finds the address to listen on, widened.
 *
 * host  numeric, a name, or "" for all local addresses
 * why   out, why_bytes: a few words when there is none
 *
 * Returns 0; FAL_ENOENT, FAL_EAGAIN as resolve_host() does.
 */
FAL_MUST_CHECK int listen_address(const char *host, uint16_t port,
				  struct stream_address *address, char *why,
				  size_t why_bytes);

/* What helps when listening ended with `err`, of stream_listen(); is_on_port:
 * on our own TCP (server/net.h) and not on the kernel's. */
const char *listen_remedy(int err, bool is_on_port);

#endif
