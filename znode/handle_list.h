/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_HANDLE_LIST_H
#define FALCONER_ZNODE_HANDLE_LIST_H

/*
 * handle_list - an unordered list of handles that knows positions.
 *
 * Ephemeral nodes of one session, and all container and TTL nodes: a node
 * remembers its position, so leaving the list is one swap with the last. Blocks
 * of 1024 handles under a table: growing copies at most a table, never the
 * whole list.
 *
 * Context    W.
 * Ownership  blocks live in the region.
 * Errors     FAL_ENOMEM from push: nothing changed.
 */

#include "znode/region.h"

/* All zero is empty. */
struct handle_list {
	uint32_t count;
	uint32_t cap;   /* handles that fit */
	uint32_t block; /* up to one block: handles; above: table of blocks */
	uint32_t table_cap; /* blocks that the table can name; 0: no table */
};

FAL_MUST_CHECK int handle_list_push(struct region *, struct handle_list *,
				    uint32_t handle);
uint32_t handle_list_at(const struct region *, const struct handle_list *,
			uint32_t position);
/* All of them; `out` has room for count. Costs a copy of 4 bytes each. */
void handle_list_copy(const struct region *, const struct handle_list *,
		      uint32_t *out);
/* Takes out what is at `position`; the last takes its place. Returns the
 * handle that moved there, 0 if none did. */
uint32_t handle_list_take(struct region *, struct handle_list *,
			  uint32_t position);
void handle_list_free(struct region *, struct handle_list *);

#endif
