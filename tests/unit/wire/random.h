/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_WIRE_RANDOM_H
#define FALCONER_TESTS_WIRE_RANDOM_H

/* random - xorshift numbers for tests; FAL_SEED repeats a run. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct random {
	uint64_t state;
};

/* Takes the seed from FAL_SEED or the default and prints it. */
static inline struct random
random_start(uint64_t seed_default)
{
	const char *text = getenv("FAL_SEED");
	const uint64_t seed =
		text != NULL ? strtoull(text, NULL, 0) : seed_default;

	printf("FAL_SEED=%" PRIu64 "\n", seed);
	return (struct random){.state = seed * 0x9E3779B97F4A7C15ull + 1};
}

static inline uint64_t
random_next(struct random *random)
{
	random->state ^= random->state << 13;
	random->state ^= random->state >> 7;
	random->state ^= random->state << 17;
	return random->state;
}

/* 0..limit-1 */
static inline uint32_t
random_below(struct random *random, uint32_t limit)
{
	return (uint32_t)((random_next(random) >> 32) % limit);
}

#endif
