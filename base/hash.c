/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash - multiply-fold over 16-byte steps; the tail is read as two overlapping
 * words so that no byte is read twice with different meaning for one length.
 */
#include "base/hash.h"

#include <string.h>
#include <sys/random.h>

#include "base/fal.h"

void
hash_key_random(struct hash_key *key)
{
	const ssize_t got = getrandom(key, sizeof(*key), 0);

	FAL_ASSERT(got == (ssize_t)sizeof(*key));
	for (int i = 0; i < 4; i++)
		key->word[i] |= 1; /* a zero word would swallow its half */
}

static inline uint64_t
load64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static inline uint64_t
load_short(const uint8_t *at, size_t bytes)
{
	uint64_t v = 0;

	memcpy(&v, at, bytes);
	return v;
}

static inline uint64_t
fold(uint64_t a, uint64_t b)
{
	const __uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t
hash_bytes(const struct hash_key *key, const void *data, size_t bytes)
{
	const uint8_t *at = data;
	uint64_t state = key->word[0] ^ bytes;
	size_t left = bytes;

	for (; left > 16; left -= 16, at += 16)
		state = fold(load64(at) ^ key->word[1], load64(at + 8) ^ state);

	uint64_t low, high;

	if (left > 8) {
		low = load64(at);
		high = load64(at + left - 8);
	} else {
		low = load_short(at, left);
		high = 0;
	}
	state = fold(low ^ key->word[2], high ^ state);
	return fold(state ^ key->word[3], bytes ^ key->word[1]);
}
