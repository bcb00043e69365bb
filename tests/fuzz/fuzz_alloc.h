/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_FUZZ_ALLOC_H
#define FALCONER_TESTS_FUZZ_ALLOC_H

/*
 * fuzz_alloc - large blocks of memory are kept from input to input.
 *
 * A target that makes and frees a whole server for each input spends most of
 * its time on a few blocks of hundreds of kilobytes: AddressSanitizer maps,
 * poisons and unmaps them each time, and the kernel zeroes their pages. Blocks
 * from FUZZ_KEPT_BYTES on are therefore poisoned when they are freed and given
 * out again to who asks for the same size. They are watched as before: what is
 * freed cannot be touched, and bytes behind the end neither.
 *
 * Included in front of every file of such a target (c_args, -include).
 */

#include <stdlib.h>

#define FUZZ_KEPT_BYTES (32u << 10)

void *fuzz_malloc(size_t bytes);
void *fuzz_calloc(size_t count, size_t bytes);
void *fuzz_aligned_alloc(size_t alignment, size_t bytes);
void fuzz_free(void *);

#define malloc        fuzz_malloc
#define calloc        fuzz_calloc
#define aligned_alloc fuzz_aligned_alloc
#define free          fuzz_free

#endif
