/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_ACL_TABLE_H
#define FALCONER_ZNODE_ACL_TABLE_H

/*
 * acl_table - interned ACL lists.
 *
 * A list is kept once, as the bytes of its jute vector<ACL> (count included),
 * and nodes hold a number. Lists are immutable, so readers check permissions
 * without a lookup in the tree; numbers of dead lists are reused only after a
 * grace period.
 *
 * Context    W: intern, ref, unref: writer core. R: acl_table_get().
 * Ownership  bytes are copied in; acl_table_get() lends until the reader's
 *            next quiescent point.
 * Limits     2^24 lists.
 * Errors     id 0: out of memory or too many lists.
 * Cost       acl_table_get(): two loads. Interning: a hash of the bytes; malloc
 *            only for a list that is new, and of a long one an index.
 */

#include "wire/proto.h"
#include "znode/acl_index.h"

/* world:anyone ALL; always there, never counted. */
#define ACL_ID_OPEN 1u
/* world:anyone READ; the ACL of /zookeeper/config. */
#define ACL_ID_READ 2u

struct acl_table;

/* An interned list: its elements, already checked. */
struct acl_list {
	struct jute_vector entries;    /* of proto_acl */
	bool is_open;                  /* world:anyone ALL is the first entry */
	const struct acl_index *index; /* of a long list; NULL: there is none */
};

/* Takes an id whose last reference went away, and gives it to
 * acl_table_dispose() once no reader can look at it any more. */
typedef void (*acl_retire_fn)(void *arg, uint32_t id);

/* Makes a table with the two lists above. Trees do this themselves; retire NULL
 * disposes at once. Returns 0, FAL_ENOMEM. */
FAL_MUST_CHECK int acl_table_create(acl_retire_fn, void *arg,
				    struct acl_table **out);
void acl_table_destroy(struct acl_table *);
/* W. Forgets all but the two lists above; no reader may look. */
void acl_table_reset(struct acl_table *);
/* W. Frees a retired id. */
void acl_table_dispose(struct acl_table *, uint32_t id);

/* W. Finds or adds; the caller owns one reference. A null vector is
 * ACL_ID_OPEN. 0: out of memory. */
uint32_t acl_table_intern(struct acl_table *, const struct jute_vector *acl);
void acl_table_ref(struct acl_table *, uint32_t id);
void acl_table_unref(struct acl_table *, uint32_t id);
uint32_t acl_table_count(const struct acl_table *);
/* Any thread. Memory of all lists, those that wait to be disposed of too. */
uint64_t acl_table_bytes(const struct acl_table *);

/* R, W. The list of an id some visible node shows; never NULL for those. */
const struct acl_list *acl_table_get(const struct acl_table *, uint32_t id);

/* BG or W: is there such a list, and not retired? If so it stays readable until
 * the caller's next quiescent state; one that is retired may go at any time. */
bool acl_table_has(const struct acl_table *, uint32_t id);
/* BG or W: enumerates live ids for a snapshot: the smallest id > after, 0 at
 * the end. Ids interned meanwhile may or may not show up. */
uint32_t acl_table_next(const struct acl_table *, uint32_t after);

#endif
