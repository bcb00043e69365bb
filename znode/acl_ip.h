/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_ACL_IP_H
#define FALCONER_ZNODE_ACL_IP_H

/*
 * acl_ip - addresses and prefixes as ids of scheme ip.
 *
 * "a.b.c.d" or eight groups of hex with at most one "::", either with "/bits"
 * behind it in an ACL. Numbers are read as Java reads them: leading zeros and
 * a plus sign are fine.
 *
 * Context    any thread; no allocation.
 * Source     client-protocol.md sections 8.4 and 8.5.
 */

#include "wire/jute.h"

/* An address, or as many bits of one. No padding: compared as bytes. */
struct acl_ip {
	uint8_t octet[16];
	uint32_t octets; /* 4 or 16; octets behind are 0 */
	uint32_t bits;
};

/* Parses an address with an optional prefix length; bits beyond it are kept.
 * False: it is none. */
bool acl_ip_parse(struct jute_slice text, struct acl_ip *out);
/* The same of an address alone: no "/bits". */
bool acl_ip_parse_address(struct jute_slice text, struct acl_ip *out);

/* Cuts to so many bits: those behind become 0. */
void acl_ip_cut(struct acl_ip *, uint32_t bits);

/* True if `text` is an address with an optional prefix length. */
bool acl_ip_is_valid(struct jute_slice text);

/* True if the peer's address lies in the ACL's prefix. False also when either
 * does not parse or the families differ. */
bool acl_ip_matches(struct jute_slice address, struct jute_slice prefix);

#endif
