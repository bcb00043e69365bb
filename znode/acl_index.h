/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_ACL_INDEX_H
#define FALCONER_ZNODE_ACL_INDEX_H

/*
 * acl_index - what a long ACL list allows an identity, without reading it.
 *
 * A request may bring a list of 65,000 entries, and another one as many
 * operations on the node that has it, from a connection of 32 identities:
 * comparing each with each would hold a core for minutes. The index is a hash
 * of scheme and id; of ip prefixes, of their bits, one lookup for each length
 * that occurs.
 *
 * Context    built once, by the writer, before anybody else sees the list;
 *            read by any number of cores.
 * Ownership  the caller's memory, acl_index_bytes() of it; entries are borrowed
 *            and must live as long.
 * Limits     lists of less than 4 GB.
 * Cost       a lookup: one probe; of an address, one for each length of prefix
 *            in the list (at most 33 of IPv4, 129 of IPv6). 12 to 24 bytes an
 *            entry.
 */

#include "base/hash.h"
#include "wire/proto.h"

struct acl_index;

/* Bytes an index of that list takes, a multiple of 8; 0: the list is short, and
 * read faster as it is. */
size_t acl_index_bytes(const struct jute_vector *entries);

/* Makes an index in zeroed memory that is aligned to 8 bytes. Entries behind
 * one that does not decode are left out: nobody reads beyond it. */
struct acl_index *acl_index_build(void *memory, const struct hash_key *,
				  const struct jute_vector *entries);

/* The permissions of everybody, by world:anyone. */
int32_t acl_index_anyone(const struct acl_index *);

/* The permissions that entries give to an identity; those of everybody are not
 * among them. */
int32_t acl_index_perms(const struct acl_index *, struct jute_slice scheme,
			struct jute_slice id);

#endif
