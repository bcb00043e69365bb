/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_EFFECT_H
#define FALCONER_ZNODE_EFFECT_H

/*
 * effect - one watch event that a transaction causes, as it travels from the
 * writer to all reader cores.
 *
 * Effects of one transaction lie one behind the other, each padded to 8 bytes,
 * in the order of client-protocol.md 5.2. The ACL travels along because an
 * event is delivered only to connections that may READ (the ACL of the node,
 * before removal; of the parent for children events).
 *
 *   create P (parent Q)   CREATED on data(P); CHILDREN on child(Q)
 *   delete P              DELETED on data(P) then child(P), each connection
 *                         once (one effect with both tables); CHILDREN on
 *                         child(Q)
 *   setData P             DATA_CHANGED on data(P)
 *
 * Context    writer core makes them, reader cores read them; plain bytes.
 */

#include "base/fal.h"

#define EFFECT_TABLE_DATA  1u
#define EFFECT_TABLE_CHILD 2u

struct effect {
	uint64_t path_hash; /* tree_path_of() of the shown path */
	uint32_t acl;       /* acl_table id; readable until the record passed */
	uint32_t path_bytes;
	uint8_t type;   /* enum proto_event */
	uint8_t tables; /* EFFECT_TABLE_*; DATA is told first */
	uint8_t reserved[6];
	uint8_t path[]; /* as clients see it: the root is "/" */
};

_Static_assert(sizeof(struct effect) == 24, "effects are 8-byte multiples");

/* Bytes of an effect with a path of that length, padding included. */
static inline uint32_t
effect_bytes(uint32_t path_bytes)
{
	return (uint32_t)((sizeof(struct effect) + path_bytes + 7u) & ~7u);
}

#endif
