/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_CONSENSUS_RANDOM_H
#define FALCONER_TESTS_CONSENSUS_RANDOM_H

/* random - xorshift numbers for tests; FAL_SEED repeats a run, FAL_LONG makes
 * it that many times as long. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline uint64_t
random_start(uint64_t seed_default)
{
	const char *text = getenv("FAL_SEED");
	const uint64_t seed = text ? strtoull(text, NULL, 0) : seed_default;

	printf("FAL_SEED=%" PRIu64 "\n", seed);
	return seed * 0x9e3779b97f4a7c15ull + 1;
}

static inline uint32_t
random_times(void)
{
	const char *text = getenv("FAL_LONG");

	return text ? (uint32_t)strtoul(text, NULL, 0) : 1;
}

static inline uint64_t
random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* 0..limit-1 */
static inline uint32_t
random_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)((random_next(state) >> 32) % limit);
}

#endif
