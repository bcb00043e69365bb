/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle_list - one block that grows by doubling up to 1024 handles; then a
 * table of full blocks that grows by doubling. Blocks are not given back until
 * the list is empty: lists of sessions live as long as the session has any.
 */
#include "znode/handle_list.h"

#include <string.h>

#define BLOCK_HANDLES 1024u
#define FIRST_HANDLES 4u
#define FIRST_TABLE   4u

static uint32_t *
place_of(const struct region *region, const struct handle_list *list,
	 uint32_t position)
{
	uint32_t *block = region_at(region, list->block);

	if (list->table_cap != 0) {
		block = region_at(region, block[position / BLOCK_HANDLES]);
		position %= BLOCK_HANDLES;
	}
	return &block[position];
}

/* Replaces an array of `count` words by one of `cap` words; 0: no memory. */
static uint32_t
words_grow(struct region *region, uint32_t from, uint32_t count, uint32_t cap)
{
	const uint32_t to = region_alloc(region, cap * sizeof(uint32_t));

	if (to != 0 && count > 0) {
		memcpy(region_at(region, to), region_at(region, from),
		       count * sizeof(uint32_t));
		region_free(region, from, count * sizeof(uint32_t));
	}
	return to;
}

static int
grow_block(struct region *region, struct handle_list *list)
{
	const uint32_t cap = list->cap == 0 ? FIRST_HANDLES : list->cap * 2;
	const uint32_t block = words_grow(region, list->block, list->cap, cap);

	if (block == 0)
		return FAL_ENOMEM;
	list->block = block;
	list->cap = cap;
	return 0;
}

static int
grow_table(struct region *region, struct handle_list *list)
{
	const uint32_t used = list->cap / BLOCK_HANDLES;

	if (used >= list->table_cap) {
		const uint32_t cap =
			list->table_cap == 0 ? FIRST_TABLE : used * 2;
		const uint32_t table =
			words_grow(region, list->block, list->table_cap, cap);

		if (table == 0)
			return FAL_ENOMEM;
		if (list->table_cap == 0)
			*(uint32_t *)region_at(region, table) = list->block;
		list->block = table;
		list->table_cap = cap;
	}
	const uint32_t block =
		region_alloc(region, BLOCK_HANDLES * sizeof(uint32_t));

	if (block == 0)
		return FAL_ENOMEM;
	((uint32_t *)region_at(region, list->block))[used] = block;
	list->cap += BLOCK_HANDLES;
	return 0;
}

int
handle_list_push(struct region *region, struct handle_list *list,
		 uint32_t handle)
{
	if (list->count == list->cap) {
		const int err = list->cap < BLOCK_HANDLES
					? grow_block(region, list)
					: grow_table(region, list);

		if (err < 0)
			return err;
	}
	*place_of(region, list, list->count) = handle;
	list->count++;
	return 0;
}

uint32_t
handle_list_at(const struct region *region, const struct handle_list *list,
	       uint32_t position)
{
	FAL_ASSERT(position < list->count);
	return *place_of(region, list, position);
}

void
handle_list_copy(const struct region *region, const struct handle_list *list,
		 uint32_t *out)
{
	for (uint32_t at = 0; at < list->count; at += BLOCK_HANDLES) {
		const uint32_t left = list->count - at;
		const uint32_t count =
			left < BLOCK_HANDLES ? left : BLOCK_HANDLES;

		memcpy(out + at, place_of(region, list, at),
		       count * sizeof(*out));
	}
}

uint32_t
handle_list_take(struct region *region, struct handle_list *list,
		 uint32_t position)
{
	FAL_ASSERT(position < list->count);
	list->count--;

	const uint32_t last = *place_of(region, list, list->count);
	uint32_t *hole = place_of(region, list, position);

	if (position == list->count)
		return 0;
	*hole = last;
	return last;
}

void
handle_list_free(struct region *region, struct handle_list *list)
{
	const uint32_t *table = region_at(region, list->block);

	for (uint32_t i = 0;
	     list->table_cap != 0 && i < list->cap / BLOCK_HANDLES; i++)
		region_free(region, table[i], BLOCK_HANDLES * sizeof(uint32_t));
	if (list->table_cap != 0)
		region_free(region, list->block,
			    list->table_cap * sizeof(uint32_t));
	else if (list->cap != 0)
		region_free(region, list->block, list->cap * sizeof(uint32_t));
	*list = (struct handle_list){0};
}
