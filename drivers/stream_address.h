/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_STREAM_ADDRESS_H
#define FALCONER_DRIVERS_STREAM_ADDRESS_H

/*
 * stream_address - an IP address and a port, without any socket header.
 *
 * IPv4-mapped IPv6 addresses (::ffff:a.b.c.d) never appear: whoever makes a
 * stream_address turns them into IPv4, so that one host counts as one host
 * whichever listener it came through. Equal addresses are equal bytes.
 *
 * Context    any thread; plain values.
 * Source     client-protocol.md section 8.1 (text form of identities).
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/be.h"
#include "base/fal.h"

enum stream_family {
	STREAM_ANY = 0, /* all local addresses, IPv6 and IPv4; listeners only */
	STREAM_IPV4 = 4,
	STREAM_IPV6 = 6,
};

struct stream_address {
	uint8_t ip[16];  /* network order; IPv4: the first 4, rest zero    */
	uint32_t scope;  /* IPv6 link-local interface index, 0: none       */
	uint16_t port;   /* host order                                     */
	uint16_t family; /* enum stream_family                             */
};

_Static_assert(sizeof(struct stream_address) == 24, "no padding: memcmp");

/* Longest texts with the trailing NUL: eight groups, %4294967295, and with
 * brackets and port. */
#define STREAM_HOST_TEXT_MAX    (8 * 5 + 11 + 1)
#define STREAM_ADDRESS_TEXT_MAX (STREAM_HOST_TEXT_MAX + 2 + 6)

/* 127.0.0.1 or any other IPv4 address given as a number (0x7f000001). */
static inline struct stream_address
stream_address_ipv4(uint32_t ip, uint16_t port)
{
	return (struct stream_address){
		.ip = {(uint8_t)(ip >> 24), (uint8_t)(ip >> 16),
		       (uint8_t)(ip >> 8), (uint8_t)ip},
		.port = port,
		.family = STREAM_IPV4,
	};
}

/* All local addresses. */
static inline struct stream_address
stream_address_any(uint16_t port)
{
	return (struct stream_address){.port = port, .family = STREAM_ANY};
}

/* Whether it is a wildcard, as 0.0.0.0 and :: are: nothing to dial. */
static inline bool
stream_address_is_any(const struct stream_address *address)
{
	return address->family == STREAM_ANY ||
	       (be_load64(address->ip) == 0 && be_load64(address->ip + 8) == 0);
}

/* An IPv6 address of 16 bytes in network order; IPv4-mapped ones become
 * IPv4. */
struct stream_address stream_address_ipv6(const uint8_t ip[16], uint32_t scope,
					  uint16_t port);

/*
 * Reads a numeric host: "10.0.0.1", "::1", "[::1]", "fe80::1%2", "fe80::1%eth0"
 * or "" for STREAM_ANY. Names are not resolved here.
 *
 * Returns 0           *address is set
 *         FAL_EINVAL  not a numeric host; *address is unchanged
 */
FAL_MUST_CHECK int stream_address_parse(const char *host, uint16_t port,
					struct stream_address *address);

/*
 * Writes the host as Java's getHostAddress() does: dotted IPv4; IPv6 as eight
 * groups in lower-case hex without leading zeros and without "::", "%scope"
 * appended when there is one; STREAM_ANY as 0:0:0:0:0:0:0:0.
 *
 * text  STREAM_HOST_TEXT_MAX bytes, always NUL-terminated
 *
 * Returns the length without the NUL.
 */
uint32_t stream_address_host(const struct stream_address *address, char *text);

/* Writes "host:port", IPv6 hosts in brackets, into STREAM_ADDRESS_TEXT_MAX
 * bytes; returns the length without the NUL. */
uint32_t stream_address_text(const struct stream_address *address, char *text);

/* Whether both name the same host; ports do not count. */
bool stream_address_same_host(const struct stream_address *a,
			      const struct stream_address *b);

#endif
