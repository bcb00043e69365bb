/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region - size classes over one reserved range.
 *
 *   class 0..63   16, 32, .. 1024 bytes
 *   class 64..    eight steps per doubling: 1152, 1280, .. 2048, 2304, ..
 *
 * Up to 8 KiB blocks are cut from slabs of 64 KiB per class; larger ones come
 * from the top of the range, aligned to pages. A free block holds the handle of
 * the next one in its first bytes. Free blocks of 64 KiB and more keep their
 * pages only while fewer than BACKED_MAX of the class do: a client that
 * rewrites one large node does not fault its pages in again and again, and a
 * burst of large nodes does not stay resident.
 *
 * When the range is used up a class takes a free block of a larger one.
 *
 * A fault of a 4 KiB page costs a start more than the node that causes it, so a
 * snapshot is loaded into huge pages (region_expect()), and another thread may
 * fault them in meanwhile (region_touch_ahead()): a virtual machine whose host
 * takes free memory back zeroes them at 0.7 GB/s. Afterwards pages are small
 * again: no request shall wait for 2 MiB, and what a big free block gives back
 * must not be collapsed into a huge page anew.
 *
 * Merging neighbours was left out on purpose: it would touch foreign lines at
 * each free and make the cost of an allocation depend on history.
 */
#include "znode/region.h"

#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"

#define PAGE_BYTES      4096ull
#define SLAB_BYTES      (64ull << 10)
#define SLAB_BLOCK_MAX  (8ull << 10)
#define BIG_BYTES       (64ull << 10)
#define BACKED_MAX      4u
#define SMALL_BYTES_MAX 1024ull
#define SMALL_LOG2      10u
#define POISON_BYTE     0xdb

/* What lies in a free block. Small blocks use `next` alone. */
struct free_block {
	uint32_t next;
	uint32_t is_backed;
};

_Static_assert(sizeof(struct free_block) <= REGION_GRANULE_BYTES,
	       "the smallest block holds a link");
_Static_assert(REGION_BYTES_DEFAULT / REGION_GRANULE_BYTES == 1ull << 32,
	       "handles have 32 bits");

static uint32_t
class_of(uint64_t bytes)
{
	if (bytes <= SMALL_BYTES_MAX)
		return (uint32_t)((bytes - 1) / REGION_GRANULE_BYTES);

	const uint32_t log2 = 63u - (uint32_t)__builtin_clzll(bytes - 1);
	const uint64_t step = ((bytes - 1) >> (log2 - 3)) & 7u;

	return REGION_SMALL_CLASSES +
	       (log2 - SMALL_LOG2) * REGION_STEPS_PER_DOUBLE + (uint32_t)step;
}

static uint64_t
bytes_of_class(uint32_t class)
{
	if (class < REGION_SMALL_CLASSES)
		return (class + 1ull) * REGION_GRANULE_BYTES;

	const uint32_t above = class - REGION_SMALL_CLASSES;
	const uint32_t log2 = above / REGION_STEPS_PER_DOUBLE + SMALL_LOG2;
	const uint64_t step = above % REGION_STEPS_PER_DOUBLE;

	return (1ull << log2) + ((step + 1) << (log2 - 3));
}

static void
counter_add(_Atomic uint64_t *counter, uint64_t delta)
{
	/* One writer; any thread reads. */
	const uint64_t now =
		atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + delta, memory_order_relaxed);
}

int
region_init(struct region *region, uint64_t bytes)
{
	*region = (struct region){.reserved_bytes = bytes};
	if (bytes == 0)
		region->reserved_bytes = REGION_BYTES_DEFAULT;
	if (region->reserved_bytes > REGION_BYTES_DEFAULT ||
	    region->reserved_bytes % (1ull << 20) != 0)
		return FAL_EINVAL;

	void *base = mmap(NULL, region->reserved_bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return FAL_ENOMEM;
	region->base = base;
	region->top = REGION_HANDLE_MIN * REGION_GRANULE_BYTES;
	return 0;
}

void
region_free_all(struct region *region)
{
	if (region->base != NULL)
		(void)munmap(region->base, region->reserved_bytes);
	region->base = NULL;
}

void
region_reset(struct region *region)
{
	(void)madvise(region->base, region->top, MADV_DONTNEED);
	region->top = REGION_HANDLE_MIN * REGION_GRANULE_BYTES;
	memset(region->classes, 0, sizeof(region->classes));
	atomic_store_explicit(&region->used_bytes, 0, memory_order_relaxed);
	atomic_store_explicit(&region->touched_bytes, 0, memory_order_relaxed);
}

void
region_expect(struct region *region, uint64_t bytes)
{
	if (bytes > region->reserved_bytes)
		return;
	bytes = bits_align_up(bytes, REGION_STEP_BYTES);
	if (bytes > region->reserved_bytes)
		return;
	if (bytes > region->advised_bytes) {
		/* Refused on machines without huge pages: no harm. */
		(void)madvise(region->base, bytes, MADV_HUGEPAGE);
		region->advised_bytes = bytes;
	}
	/* Pairs with region_touch_ahead(): advised before touched. */
	atomic_store_explicit(&region->expected_bytes, bytes,
			      memory_order_release);
}

void
region_settle(struct region *region)
{
	atomic_store_explicit(&region->expected_bytes, 0, memory_order_relaxed);
	if (region->advised_bytes > 0)
		(void)madvise(region->base, region->advised_bytes,
			      MADV_NOHUGEPAGE);
	region->advised_bytes = 0;
}

bool
region_touch_ahead(const struct region *region, uint64_t *at)
{
	/* Pairs with region_expect(). */
	const uint64_t expected = atomic_load_explicit(&region->expected_bytes,
						       memory_order_acquire);
	const uint64_t touched =
		bits_align_down(atomic_load_explicit(&region->touched_bytes,
						     memory_order_relaxed),
				REGION_STEP_BYTES);

	if (*at < touched || *at > touched + REGION_AHEAD_BYTES)
		*at = touched;
	if (*at >= expected || *at == touched + REGION_AHEAD_BYTES)
		return false;
	*at += REGION_STEP_BYTES;
	/* Unknown before Linux 5.14: then W's own touch does it. */
	return madvise(region->base + *at - REGION_STEP_BYTES,
		       REGION_STEP_BYTES, MADV_POPULATE_WRITE) == 0;
}

static uint64_t
cut_from_top(struct region *region, uint64_t bytes, uint64_t align)
{
	const uint64_t at = bits_align_up(region->top, align);

	if (at > region->reserved_bytes || bytes > region->reserved_bytes - at)
		return 0;
	region->top = at + bytes;
	atomic_store_explicit(&region->touched_bytes, region->top,
			      memory_order_relaxed);
	return at;
}

/* Takes the first free block of a class; the class has one. */
static uint32_t
pop_free(struct region *region, uint32_t index)
{
	struct region_class *class = &region->classes[index];
	const uint32_t handle = class->free;
	const struct free_block *block = region_at(region, handle);

	if (bytes_of_class(index) >= BIG_BYTES && block->is_backed)
		class->backed_count--;
	class->free = block->next;
	return handle;
}

/* The range is used up: a free block of a larger class. It changes its class
 * for good, so that a full tree can still make the small versions that
 * deleting takes. Offset and size; 0: none. */
static uint64_t
steal_larger(struct region *region, uint32_t index, uint64_t *bytes)
{
	while (++index < REGION_CLASSES) {
		if (region->classes[index].free == 0)
			continue;
		*bytes = bytes_of_class(index);
		return (uint64_t)pop_free(region, index) * REGION_GRANULE_BYTES;
	}
	return 0;
}

/* A block that is on no free list; offset, 0: used up. */
static uint64_t
cut_block(struct region *region, uint32_t index)
{
	struct region_class *class = &region->classes[index];
	const uint64_t bytes = bytes_of_class(index);

	if (bytes > SLAB_BLOCK_MAX) {
		uint64_t stolen;
		const uint64_t at = cut_from_top(region, bytes, PAGE_BYTES);

		return at != 0 ? at : steal_larger(region, index, &stolen);
	}
	if (class->slab_end - class->slab_at < bytes) {
		uint64_t slab_bytes = SLAB_BYTES;
		uint64_t slab = cut_from_top(region, SLAB_BYTES, PAGE_BYTES);

		if (slab == 0)
			slab = steal_larger(region, index, &slab_bytes);
		if (slab == 0)
			return 0;
		class->slab_at = slab;
		class->slab_end = slab + slab_bytes;
	}
	const uint64_t at = class->slab_at;

	class->slab_at += bytes;
	return at;
}

uint32_t
region_alloc(struct region *region, uint64_t bytes)
{
	FAL_ASSERT(bytes > 0);
	if (bytes > REGION_BLOCK_BYTES_MAX)
		return 0;

	const uint32_t index = class_of(bytes);
	const uint64_t class_bytes = bytes_of_class(index);
	uint32_t handle;

	if (region->classes[index].free != 0) {
		handle = pop_free(region, index);
	} else {
		const uint64_t at = cut_block(region, index);

		if (at == 0)
			return 0;
		handle = (uint32_t)(at / REGION_GRANULE_BYTES);
	}
	counter_add(&region->used_bytes, class_bytes);
	FAL_ASSERT(handle >= REGION_HANDLE_MIN);
	return handle;
}

void
region_free(struct region *region, uint32_t handle, uint64_t bytes)
{
	FAL_ASSERT(handle >= REGION_HANDLE_MIN && bytes > 0);

	const uint32_t index = class_of(bytes);
	struct region_class *class = &region->classes[index];
	const uint64_t class_bytes = bytes_of_class(index);
	struct free_block *block = region_at(region, handle);

	if (region->poisons)
		memset(block, POISON_BYTE, class_bytes);
	block->next = class->free;
	if (class_bytes >= BIG_BYTES) {
		block->is_backed = class->backed_count < BACKED_MAX;
		if (block->is_backed)
			class->backed_count++;
		else
			(void)madvise((uint8_t *)block + PAGE_BYTES,
				      class_bytes - PAGE_BYTES, MADV_DONTNEED);
	}
	class->free = handle;
	counter_add(&region->used_bytes, 0 - class_bytes);
}

uint64_t
region_class_bytes(uint64_t bytes)
{
	return bytes_of_class(class_of(bytes));
}
