/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_chain - nodes in an array, found again by an open hash of what they are.
 */
#include "sim_chain.h"

#include <stdlib.h>
#include <string.h>

#include "base/fal.h"

static uint32_t
hash_of(uint32_t parent, int64_t zxid, uint64_t value)
{
	uint64_t hash = (uint64_t)parent * 0x9e3779b97f4a7c15ull;

	hash = (hash ^ (uint64_t)zxid) * 0xbf58476d1ce4e5b9ull;
	hash = (hash ^ (hash >> 29) ^ value) * 0x94d049bb133111ebull;
	return (uint32_t)(hash >> 32);
}

void
sim_chain_clear(struct sim_chain *chain)
{
	if (chain->capacity == 0) {
		chain->capacity = 1024;
		chain->node = malloc(chain->capacity * sizeof(*chain->node));
		chain->bucket_count = 4096;
		chain->bucket =
			malloc(chain->bucket_count * sizeof(*chain->bucket));
		FAL_ASSERT(chain->node);
		FAL_ASSERT(chain->bucket);
	}
	memset(chain->bucket, 0, chain->bucket_count * sizeof(*chain->bucket));
	memset(&chain->node[0], 0, sizeof(chain->node[0]));
	chain->count = 1;
}

void
sim_chain_free(struct sim_chain *chain)
{
	free(chain->node);
	free(chain->bucket);
	memset(chain, 0, sizeof(*chain));
}

static void
put_bucket(struct sim_chain *chain, uint32_t index)
{
	const struct sim_node *node = &chain->node[index];
	uint32_t at = hash_of(node->parent, node->zxid, node->value);

	while (chain->bucket[at & (chain->bucket_count - 1)] != 0)
		at++;
	chain->bucket[at & (chain->bucket_count - 1)] = index;
}

static void
grow(struct sim_chain *chain)
{
	chain->capacity *= 2;
	chain->node =
		realloc(chain->node, chain->capacity * sizeof(*chain->node));
	FAL_ASSERT(chain->node);
	chain->bucket_count *= 2;
	free(chain->bucket);
	chain->bucket = calloc(chain->bucket_count, sizeof(*chain->bucket));
	FAL_ASSERT(chain->bucket);
	for (uint32_t i = 1; i < chain->count; i++)
		put_bucket(chain, i);
}

uint32_t
sim_chain_append(struct sim_chain *chain, uint32_t parent, int64_t zxid,
		 uint64_t value)
{
	FAL_ASSERT(parent < chain->count);
	for (uint32_t at = hash_of(parent, zxid, value);; at++) {
		const uint32_t index =
			chain->bucket[at & (chain->bucket_count - 1)];
		const struct sim_node *node = &chain->node[index];

		if (index == 0)
			break;
		if (node->parent == parent && node->zxid == zxid &&
		    node->value == value)
			return index;
	}
	if (chain->count == chain->capacity)
		grow(chain);
	chain->node[chain->count] = (struct sim_node){
		.parent = parent,
		.depth = chain->node[parent].depth + 1,
		.zxid = zxid,
		.value = value,
	};
	put_bucket(chain, chain->count);
	return chain->count++;
}

bool
sim_chain_begins_with(const struct sim_chain *chain, uint32_t node,
		      uint32_t ancestor)
{
	FAL_ASSERT(node < chain->count && ancestor < chain->count);
	while (chain->node[node].depth > chain->node[ancestor].depth)
		node = chain->node[node].parent;
	return node == ancestor;
}

/* ---------------------------------------------------------------- logs --- */

void
sim_log_init(struct sim_log *log, int64_t floor_zxid, uint32_t floor_node)
{
	log->floor_zxid = floor_zxid;
	log->floor_node = floor_node;
	log->count = 0;
}

void
sim_log_free(struct sim_log *log)
{
	free(log->entry);
	memset(log, 0, sizeof(*log));
}

static void
make_room(struct sim_log *log, uint32_t count)
{
	if (count <= log->capacity)
		return;
	while (log->capacity < count)
		log->capacity = log->capacity ? log->capacity * 2 : 256;
	log->entry = realloc(log->entry, log->capacity * sizeof(*log->entry));
	FAL_ASSERT(log->entry);
}

void
sim_log_copy(struct sim_log *to, const struct sim_log *from)
{
	make_room(to, from->count);
	to->floor_zxid = from->floor_zxid;
	to->floor_node = from->floor_node;
	to->count = from->count;
	if (from->count > 0)
		memcpy(to->entry, from->entry,
		       from->count * sizeof(*from->entry));
}

void
sim_log_append(struct sim_log *log, const struct sim_entry *entry)
{
	FAL_ASSERT(entry->zxid > sim_log_last(log));
	make_room(log, log->count + 1);
	log->entry[log->count++] = *entry;
}

void
sim_log_cut(struct sim_log *log, uint32_t count)
{
	FAL_ASSERT(count <= log->count);
	log->count = count;
}

void
sim_log_drop(struct sim_log *log, uint32_t count)
{
	FAL_ASSERT(count <= log->count);
	if (count == 0)
		return;
	log->floor_zxid = log->entry[count - 1].zxid;
	log->floor_node = log->entry[count - 1].node;
	log->count -= count;
	memmove(&log->entry[0], &log->entry[count],
		log->count * sizeof(log->entry[0]));
}

uint32_t
sim_log_count_to(const struct sim_log *log, int64_t zxid)
{
	uint32_t low = 0, high = log->count;

	while (low < high) {
		const uint32_t middle = (low + high) / 2;

		if (log->entry[middle].zxid <= zxid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t
sim_log_node(const struct sim_log *log, uint32_t count)
{
	FAL_ASSERT(count <= log->count);
	return count ? log->entry[count - 1].node : log->floor_node;
}

int64_t
sim_log_zxid(const struct sim_log *log, uint32_t count)
{
	FAL_ASSERT(count <= log->count);
	return count ? log->entry[count - 1].zxid : log->floor_zxid;
}

int64_t
sim_log_last(const struct sim_log *log)
{
	return sim_log_zxid(log, log->count);
}
