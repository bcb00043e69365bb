/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_RESOLVER_H
#define FALCONER_SERVER_RESOLVER_H

/*
 * resolver - names of other servers, for a core that must not wait for DNS.
 *
 * Asking for a name gives at once what is known of it and makes a thread look
 * it up again, so that each dial leads to a fresh answer for the next. A name
 * that cannot be looked up keeps the addresses it had: the name server may be
 * what is down. Numeric hosts need no look-up.
 *
 * Context    resolver_get*(): one thread, the ZAB core (before it runs: the one
 *            that starts it); never blocks. The rest: the main thread.
 * Limits     RESOLVER_NAMES_MAX names, the one not asked for longest makes
 *            room; RESOLVER_ADDRESSES_MAX addresses of a name.
 * Errors     a name that cannot be looked up is a warning, once until it can.
 * Cost       resolver_get(): a pass over the names, a system call to wake the
 *            thread.
 */

#include "dataplane/peer_address.h"
#include "server/config.h"
#include "wire/jute.h"

#define RESOLVER_NAMES_MAX     64u
#define RESOLVER_ADDRESSES_MAX PEER_ADDRESSES_MAX

struct resolver;

/* Blocks; like resolve_host(). */
typedef int (*resolver_look_up)(const char *host, struct stream_address *out,
				uint32_t max, char *why, size_t why_bytes);

/* look_up: resolve_host(), or a test's. 0, FAL_ENOMEM, FAL_ELIMIT (no
 * thread). */
FAL_MUST_CHECK int resolver_create(resolver_look_up look_up,
				   struct resolver **out);
/* Ends the thread; one that is stuck in a look-up is left behind, with its
 * memory, for the process to end. */
void resolver_destroy(struct resolver *);

/*
 * What is known of a host, with this port.
 *
 * out  RESOLVER_ADDRESSES_MAX entries
 *
 * Returns how many addresses there are; 0: none known, or not yet.
 */
uint32_t resolver_get(struct resolver *, const char *host, size_t host_bytes,
		      uint16_t port, struct stream_address *out);
/* The same for all addresses of a server, up to PEER_ADDRESSES_MAX. */
uint32_t resolver_get_all(struct resolver *, const struct config_address *list,
			  uint32_t count,
			  struct stream_address out[PEER_ADDRESSES_MAX]);
/* The same for the text of a hello; fle_net_hooks.resolve with the resolver as
 * its argument. */
uint32_t resolver_get_text(void *resolver, struct jute_slice text,
			   struct stream_address out[PEER_ADDRESSES_MAX]);

/* Waits until every name asked for is answered, at most this long: so that the
 * first dial has addresses. */
void resolver_wait(struct resolver *, uint32_t timeout_ms);

#endif
