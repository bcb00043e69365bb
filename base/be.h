/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_BE_H
#define FALCONER_BASE_BE_H

/* be - unaligned big-endian loads and stores: the byte order of every
 * ZooKeeper wire and disk format. Any thread; no checks, callers own bounds. */

#include <stdint.h>
#include <string.h>

static inline uint16_t
be_load16(const void *from)
{
	uint16_t v;

	memcpy(&v, from, sizeof(v));
	return __builtin_bswap16(v);
}

static inline uint32_t
be_load32(const void *from)
{
	uint32_t v;

	memcpy(&v, from, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint64_t
be_load64(const void *from)
{
	uint64_t v;

	memcpy(&v, from, sizeof(v));
	return __builtin_bswap64(v);
}

static inline void
be_store16(void *to, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(to, &v, sizeof(v));
}

static inline void
be_store32(void *to, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(to, &v, sizeof(v));
}

static inline void
be_store64(void *to, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(to, &v, sizeof(v));
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "be.h swaps: add the identity case for big-endian machines");

#endif
