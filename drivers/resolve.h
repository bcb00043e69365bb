/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_RESOLVE_H
#define FALCONER_DRIVERS_RESOLVE_H

/*
 * resolve - host names to addresses, by the system's resolver (hosts file,
 * DNS, whatever nsswitch.conf says).
 *
 * Context    any thread that may block, for as long as the resolver likes:
 *            half a minute when no name server answers.
 */

#include "drivers/stream_address.h"

/*
 * Asks for the addresses of a host; numeric ones are understood, too.
 *
 * out   max entries (at least 1), port 0, each once, in the system's order
 * why   out, why_bytes: a few words for the operator when there are none
 *
 * Returns how many there are (more than max: the first)
 *         FAL_ENOENT   there is no such name
 *         FAL_EAGAIN   nobody could be asked
 */
FAL_MUST_CHECK int resolve_host(const char *host, struct stream_address *out,
				uint32_t max, char *why, size_t why_bytes);

#endif
