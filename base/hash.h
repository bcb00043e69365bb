/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_HASH_H
#define FALCONER_BASE_HASH_H

/*
 * hash - keyed hash of a path.
 *
 * Paths are chosen by clients, so the key is random per process: nobody can
 * prepare paths that fall into one bucket. Multiply-fold (as in wyhash's
 * public description): two 64-bit words are xored with key material and
 * multiplied to 128 bits, halves folded by xor. About 6 ns for 36 bytes.
 *
 * Context    any thread; the key is read-only after start.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct hash_key {
	uint64_t word[4];
};

/* Fills the key from the kernel's random source. */
void hash_key_random(struct hash_key *key);

static inline uint64_t
hash_fold(uint64_t a, uint64_t b)
{
#if defined(__x86_64__)
	uint64_t low, high;

	/* gcc 12 keeps halves of a __uint128_t in memory. */
	__asm__("mulq %3" : "=a"(low), "=d"(high) : "%0"(a), "rm"(b) : "cc");
	return low ^ high;
#else
	const __uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
#endif
}

/* The last words, and the length. */
static inline __attribute__((always_inline)) uint64_t
hash_end(const struct hash_key *key, uint64_t state, uint64_t low,
	 uint64_t high, size_t bytes)
{
	state = hash_fold(low ^ key->word[2], high ^ state);
	return hash_fold(state ^ key->word[3], bytes ^ key->word[1]);
}

/* 64-bit hash of `bytes` bytes at `data`. Inline: each request hashes a path.
 * Beyond 16 bytes the last two words overlap those before; as the length is
 * hashed behind them, no two inputs are read as the same words. */
static inline __attribute__((always_inline)) uint64_t
hash_bytes(const struct hash_key *key, const void *data, size_t bytes)
{
	const uint8_t *at = data;
	uint64_t state = key->word[0];
	uint64_t low, high;

	if (bytes > 16) {
		const uint8_t *last = at + bytes - 16;

		do {
			state = hash_fold(bytes_load64(at) ^ key->word[1],
					  bytes_load64(at + 8) ^ state);
			at += 16;
		} while (at < last);
		low = bytes_load64(last);
		high = bytes_load64(last + 8);
	} else if (bytes >= 8) {
		low = bytes_load64(at);
		high = bytes_load64(at + bytes - 8);
	} else {
		low = bytes_load_short(at, bytes);
		high = 0;
	}
	return hash_end(key, state, low, high, bytes);
}

/* What was hashed of a text so far; all zero at its beginning. */
struct hash_prefix {
	uint64_t state;
	size_t done;
};

/* hash_bytes() of longer and longer beginnings of one text, at the cost of what
 * each has more than the one before: for each ancestor of a path, which may be
 * many thousands of them. */
static inline uint64_t
hash_prefix(const struct hash_key *key, struct hash_prefix *prefix,
	    const void *data, size_t bytes)
{
	const uint8_t *text = data;

	if (bytes <= 16)
		return hash_bytes(key, data, bytes);
	if (prefix->done == 0)
		prefix->state = key->word[0];
	for (; prefix->done + 16 < bytes; prefix->done += 16) {
		const uint8_t *at = text + prefix->done;

		prefix->state = hash_fold(bytes_load64(at) ^ key->word[1],
					  bytes_load64(at + 8) ^ prefix->state);
	}
	const uint8_t *last = text + bytes - 16;

	return hash_end(key, prefix->state, bytes_load64(last),
			bytes_load64(last + 8), bytes);
}

#endif
