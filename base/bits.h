/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_BITS_H
#define FALCONER_BASE_BITS_H

/* bits - powers of two and alignment. Any thread. */

#include <stdbool.h>
#include <stdint.h>

static inline bool
bits_is_pow2(uint64_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* The smallest power of two >= v; v in 1..2^63. */
static inline uint64_t
bits_pow2_at_least(uint64_t v)
{
	return v <= 1 ? 1 : 1ull << (64 - __builtin_clzll(v - 1));
}

/* v rounded up to a multiple of `to`, a power of two. */
static inline uint64_t
bits_align_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) & ~(to - 1);
}

static inline uint64_t
bits_align_down(uint64_t v, uint64_t to)
{
	return v & ~(to - 1);
}

#endif
