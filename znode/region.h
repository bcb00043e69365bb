/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_REGION_H
#define FALCONER_ZNODE_REGION_H

/*
 * region - the memory of one tree: a reserved range of addresses, handed out
 * in size classes and named by 32-bit handles.
 *
 * A handle is (address - base) / 16. It halves every link of the tree and lets
 * readers follow links without a base register per object. Blocks of one class
 * come from slabs and go back to a free list of their class; nothing is ever
 * merged, so freeing and allocating are a few instructions and never search.
 * The range is reserved without backing; pages appear on first touch, and big
 * free blocks give theirs back.
 *
 * Context    W: everything but region_at() and the counters.
 *            R: region_at() on handles that the tree published.
 * Ownership  the caller frees with the size it asked for (any size of the same
 *            class will do).
 * Limits     64 GiB (2^32 granules); one block at most REGION_BLOCK_BYTES_MAX.
 * Errors     handle 0: the range is used up.
 * Cost       about 5 ns from the free list; a page fault (0.3-1 us) per fresh
 *            4 KiB; madvise for the fifth and later free big block of a class.
 */

#include <stdatomic.h>

#include "base/fal.h"

#define REGION_GRANULE_BYTES 16u
/* Values below are never handles: children arrays mark holes with them. */
#define REGION_HANDLE_MIN       1024u
#define REGION_BYTES_DEFAULT    (64ull << 30)
#define REGION_STEP_BYTES       (2ull << 20)
#define REGION_AHEAD_BYTES      (32ull << 20)
#define REGION_BLOCK_BYTES_MAX  (1ull << 30)
#define REGION_SMALL_CLASSES    64u /* 16, 32, .. 1024 bytes */
#define REGION_STEPS_PER_DOUBLE 8u  /* above: at most 12.5 % waste */
#define REGION_CLASSES          (REGION_SMALL_CLASSES + 20u * REGION_STEPS_PER_DOUBLE)

struct region_class {
	uint32_t free;         /* first free block, 0: none */
	uint32_t backed_count; /* big classes: free blocks that kept pages */
	uint64_t slab_at, slab_end; /* rest of the newest slab, offsets */
};

struct region {
	uint8_t *base;
	uint64_t reserved_bytes;
	uint64_t top;           /* offset of what was never handed out */
	bool poisons;           /* freed memory is overwritten, for tests */
	uint64_t advised_bytes; /* at the start: huge pages */
	_Atomic uint64_t expected_bytes; /* see region_expect() */
	_Atomic uint64_t used_bytes;     /* live blocks, class sizes */
	_Atomic uint64_t touched_bytes;  /* cut from the range at any time */
	struct region_class classes[REGION_CLASSES];
};

/* Reserves `bytes` (a multiple of 1 MiB; 0: 64 GiB) of address space.
 * Returns 0, FAL_EINVAL, FAL_ENOMEM. */
FAL_MUST_CHECK int region_init(struct region *, uint64_t bytes);
void region_free_all(struct region *);
/* Back to empty: all handles die, all pages go back. */
void region_reset(struct region *);

/* About so many bytes from the start of the range are used soon: they come as
 * huge pages where the machine has them. The last word counts. region_settle()
 * ends that for what was
 * not touched by then; pages stay as they are. */
void region_expect(struct region *, uint64_t bytes);
void region_settle(struct region *);
/*
 * Makes the next expected pages present, while W fills those before them:
 * REGION_STEP_BYTES a call, never more than REGION_AHEAD_BYTES ahead of W.
 *
 * at  of the caller, 0 at first: how far it is
 *
 * Context  any one thread, while the region lives.
 *
 * Returns false  nothing is to be done now
 */
bool region_touch_ahead(const struct region *, uint64_t *at);

/* Hands out a block of at least `bytes` (1..REGION_BLOCK_BYTES_MAX),
 * uninitialised. 0: used up. */
uint32_t region_alloc(struct region *, uint64_t bytes);
void region_free(struct region *, uint32_t handle, uint64_t bytes);
/* The bytes of the class that serves `bytes`. */
uint64_t region_class_bytes(uint64_t bytes);

static inline void *
region_at(const struct region *region, uint32_t handle)
{
	return region->base + (uint64_t)handle * REGION_GRANULE_BYTES;
}

static inline uint32_t
region_handle_of(const struct region *region, const void *at)
{
	return (uint32_t)((uint64_t)((const uint8_t *)at - region->base) /
			  REGION_GRANULE_BYTES);
}

#endif
