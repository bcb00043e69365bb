/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_BYTES_H
#define FALCONER_BASE_BYTES_H

/*
 * bytes - comparing, copying and loading the few bytes of a name or of a short
 * value, inline.
 *
 * The C library's functions are made for any length: a call through a table,
 * a choice among a dozen cases. Names of znodes have some ten bytes, their
 * data some hundred. Both functions take words and let the last one overlap
 * those before, so nothing outside of the bytes is touched.
 *
 * Context    any thread; the callers own the bounds.
 * Cost       bytes_equal(): some 10 instructions up to 8 bytes, 5 for each
 *            further 8. bytes_copy(): 10 to 20; longer than BYTES_COPY_MAX is
 *            the C library's, which uses wider registers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/fal.h"

#define BYTES_COPY_MAX 128u

static inline uint64_t
bytes_load64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static inline uint32_t
bytes_load32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* 0..8 bytes as a word; different bytes of one length give different words. */
static inline __attribute__((always_inline)) uint64_t
bytes_load_short(const uint8_t *at, size_t bytes)
{
	if (bytes >= 4)
		return (uint64_t)bytes_load32(at) << 32 |
		       bytes_load32(at + bytes - 4);
	if (bytes == 0)
		return 0;
	return (uint64_t)at[0] << 16 | (uint64_t)at[bytes / 2] << 8 |
	       at[bytes - 1];
}

static inline bool
bytes_equal(const void *a, const void *b, size_t bytes)
{
	const uint8_t *x = a, *y = b;

	if (bytes < 8) {
		if (bytes < 4)
			return bytes_load_short(x, bytes) ==
			       bytes_load_short(y, bytes);
		x += bytes - 4;
		return bytes_load32(a) == bytes_load32(b) &&
		       bytes_load32(x) == bytes_load32(y + bytes - 4);
	}

	/* Names of one kind differ at their end, if at all. */
	const size_t last = bytes - 8;

	if (bytes_load64(x + last) != bytes_load64(y + last))
		return false;
	for (size_t i = 0; i < last; i += 8)
		if (bytes_load64(x + i) != bytes_load64(y + i))
			return false;
	return true;
}

/* So many bytes from the start and as many up to the end: for lengths from
 * `half` to twice that, of constant size for the compiler. */
static inline __attribute__((always_inline)) void
bytes_copy_halves(uint8_t *to, const uint8_t *from, size_t bytes, size_t half)
{
	memcpy(to, from, half);
	memcpy(to + bytes - half, from + bytes - half, half);
}

/* Copies between places that do not overlap. Inline whoever else copies: what
 * one file of a library does must not cost the reads in another a call. */
static inline __attribute__((always_inline)) void
bytes_copy(void *to, const void *from, size_t bytes)
{
	uint8_t *x = to;
	const uint8_t *y = from;

	if (FAL_UNLIKELY(bytes > BYTES_COPY_MAX))
		memcpy(x, y, bytes);
	else if (bytes > 64)
		bytes_copy_halves(x, y, bytes, 64);
	else if (bytes > 32)
		bytes_copy_halves(x, y, bytes, 32);
	else if (bytes > 16)
		bytes_copy_halves(x, y, bytes, 16);
	else if (bytes > 8)
		bytes_copy_halves(x, y, bytes, 8);
	else if (bytes >= 4)
		bytes_copy_halves(x, y, bytes, 4);
	else
		for (size_t i = 0; i < bytes; i++)
			x[i] = y[i];
}

#endif
