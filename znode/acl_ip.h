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

/* True if `text` is an address with an optional prefix length. */
bool acl_ip_is_valid(struct jute_slice text);

/* True if the peer's address lies in the ACL's prefix. False also when either
 * does not parse or the families differ. */
bool acl_ip_matches(struct jute_slice address, struct jute_slice prefix);

#endif
