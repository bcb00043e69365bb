/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_alloc - a table of kept blocks; a linear search, as there are some
 * dozens.
 */
#include "fuzz_alloc.h"

#include <sanitizer/asan_interface.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fal.h"

#undef malloc
#undef calloc
#undef aligned_alloc
#undef free

#define BLOCKS_MAX  512u
#define BLOCK_ALIGN 4096u
/* Of larger blocks only so much is poisoned at either end, and the kernel
 * zeroes the pages that were used. */
#define EDGE_BYTES (64u << 10)

static struct block {
	void *at;
	size_t bytes;
	int is_used;
} block[BLOCKS_MAX];
static unsigned block_count;

static void
set_poison(const struct block *one, int is_poisoned)
{
	const size_t edge =
		one->bytes < 2 * EDGE_BYTES ? one->bytes / 2 : EDGE_BYTES;
	char *end = (char *)one->at + one->bytes;

	if (is_poisoned) {
		ASAN_POISON_MEMORY_REGION(one->at, edge);
		ASAN_POISON_MEMORY_REGION(end - edge, edge);
	} else {
		ASAN_UNPOISON_MEMORY_REGION(one->at, edge);
		ASAN_UNPOISON_MEMORY_REGION(end - edge, edge);
	}
}

static void *
take(size_t bytes)
{
	struct block *new;

	for (unsigned i = 0; i < block_count; i++) {
		if (block[i].is_used || block[i].bytes != bytes)
			continue;
		block[i].is_used = 1;
		set_poison(&block[i], 0);
		return block[i].at;
	}
	if (block_count == BLOCKS_MAX)
		return NULL;
	new = &block[block_count];
	if (posix_memalign(&new->at, BLOCK_ALIGN, bytes) != 0)
		return NULL;
	new->bytes = bytes;
	new->is_used = 1;
	block_count++;
	return new->at;
}

static void
zero_pages(void *at, size_t bytes)
{
	const size_t whole = bytes - bytes % BLOCK_ALIGN;

	FAL_ASSERT(madvise(at, whole, MADV_DONTNEED) == 0);
	memset((char *)at + whole, 0, bytes - whole);
}

void *
fuzz_malloc(size_t bytes)
{
	return bytes < FUZZ_KEPT_BYTES ? malloc(bytes) : take(bytes);
}

void *
fuzz_calloc(size_t count, size_t bytes)
{
	void *at;

	if (count * bytes < FUZZ_KEPT_BYTES)
		return calloc(count, bytes);
	at = take(count * bytes);
	if (at != NULL && count * bytes < 2 * EDGE_BYTES)
		memset(at, 0, count * bytes);
	else if (at != NULL)
		zero_pages(at, count * bytes);
	return at;
}

void *
fuzz_aligned_alloc(size_t alignment, size_t bytes)
{
	FAL_ASSERT(alignment <= BLOCK_ALIGN);
	return bytes < FUZZ_KEPT_BYTES ? aligned_alloc(alignment, bytes)
				       : take(bytes);
}

void
fuzz_free(void *at)
{
	/* What is not aligned is none of them. */
	const unsigned count =
		(uintptr_t)at % BLOCK_ALIGN == 0 ? block_count : 0;

	if (at == NULL)
		return;
	for (unsigned i = 0; i < count; i++) {
		if (block[i].at != at)
			continue;
		FAL_ASSERT(block[i].is_used);
		block[i].is_used = 0;
		set_poison(&block[i], 1);
		return;
	}
	free(at);
}
