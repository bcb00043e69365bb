/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_SIM_RANDOM_H
#define FALCONER_TESTS_SIM_RANDOM_H

/*
 * sim_random - independent streams of random numbers out of one seed.
 *
 * Each concern (network, disk, crashes, ...) draws from a stream of its own, so
 * switching one kind of fault off does not shuffle the others. The generator is
 * splitmix64: any state is a good state, so a stream is seeded by mixing.
 */

#include <stdbool.h>
#include <stdint.h>

enum sim_stream {
	SIM_STREAM_LIMITS, /* what is drawn once per run */
	SIM_STREAM_NET,
	SIM_STREAM_DISK,
	SIM_STREAM_CRASH,
	SIM_STREAM_CLOCK,
	SIM_STREAM_CLIENT,
	SIM_STREAM_FAULT, /* when and which */
	SIM_STREAM_GENESIS,
	SIM_STREAM_SESSION,
	SIM_STREAM_COUNT
};

struct sim_random {
	uint64_t state;
};

static inline uint64_t
sim_random_next(struct sim_random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline void
sim_random_seed(struct sim_random *random, uint64_t seed, uint32_t stream)
{
	random->state = seed;
	random->state = sim_random_next(random) + stream;
	random->state = sim_random_next(random);
}

/* 0..count-1; count > 0. The bias of the modulus does not matter here. */
static inline uint64_t
sim_random_below(struct sim_random *random, uint64_t count)
{
	return sim_random_next(random) % count;
}

/* low..high */
static inline uint64_t
sim_random_in(struct sim_random *random, uint64_t low, uint64_t high)
{
	return low + sim_random_below(random, high - low + 1);
}

/* True once in `count` times on average. */
static inline bool
sim_random_once_in(struct sim_random *random, uint64_t count)
{
	return sim_random_below(random, count) == 0;
}

/* Log-uniform in low..high: each order of magnitude is equally likely. */
static inline uint64_t
sim_random_scale(struct sim_random *random, uint64_t low, uint64_t high)
{
	uint32_t doublings = 0;

	while (low << (doublings + 1) <= high)
		doublings++;
	const uint64_t from = low << sim_random_below(random, doublings + 1u);

	return sim_random_in(random, from, from * 2 < high ? from * 2 : high);
}

#endif
