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

struct hash_key {
	uint64_t word[4];
};

/* Fills the key from the kernel's random source. */
void hash_key_random(struct hash_key *key);

/* 64-bit hash of `bytes` bytes at `data`. */
uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t bytes);

#endif
