/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32 by folding: the message is a polynomial over GF(2), kept as a 128-bit
 * remainder. One carry-less multiplication moves a 64-bit half of it over a
 * fixed distance (a multiplication by x^distance mod P), where the next block
 * is added. Four remainders run side by side over distances of 64 bytes, then
 * are joined over 16; a tail of less than a block slides through by a byte
 * shuffle. 128 -> 64 -> 32 bits by the same step, the last one by Barrett.
 * Constants (bit-reflected): x^(n) mod P for n = 544, 480 (64 bytes), 160, 96
 * (16 bytes), 64; see Gopal et al., "Fast CRC Computation for Generic
 * Polynomials Using PCLMULQDQ", Intel, 2009.
 *
 * Adler-32 by 32-byte blocks: a' = a + sum b[i], s' = s + 32 a + sum
 * (32 - i) b[i]; the inner sums by SAD and multiply-add, the modulo once per
 * 5536 bytes, before 32 bits can overflow (zlib's bound is 5552).
 *
 * Both are compiled for their instruction set by attribute and chosen once at
 * start; until then and elsewhere zlib does the work.
 */

#include "base/checksum.h"

#include <stdbool.h>
#include <string.h>

#include <zlib.h>

#if defined(__x86_64__)

#include <immintrin.h>

#define ADLER_MODULO      65521u
#define ADLER_CHUNK_BYTES 5536u /* a multiple of 32 below 5552 */

#define CRC_TARGET   __attribute__((target("pclmul,sse4.1,ssse3")))
#define ADLER_TARGET __attribute__((target("avx2")))

static bool has_pclmul;
static bool has_avx2;

__attribute__((constructor)) static void
checksum_choose(void)
{
	__builtin_cpu_init();
	has_pclmul = __builtin_cpu_supports("pclmul") &&
		     __builtin_cpu_supports("sse4.1");
	has_avx2 = __builtin_cpu_supports("avx2");
}

static inline uint64_t
load_le(const uint8_t *from, size_t bytes)
{
	uint64_t v = 0;

	memcpy(&v, from, bytes);
	return v;
}

static inline CRC_TARGET __m128i
load_block(const uint8_t *from)
{
	return _mm_loadu_si128((const __m128i *)(const void *)from);
}

/* Moves the remainder over the distance of `by` and adds the next block. */
static inline CRC_TARGET __m128i
crc_fold(__m128i rest, __m128i by, __m128i next)
{
	const __m128i low = _mm_clmulepi64_si128(rest, by, 0x00);
	const __m128i high = _mm_clmulepi64_si128(rest, by, 0x11);

	return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* The remainder of 128 bits modulo P: the CRC register. */
static inline CRC_TARGET uint32_t
crc_reduce(__m128i rest)
{
	const __m128i by_16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
	const __m128i by_8 = _mm_set_epi64x(0, 0x163cd6124);
	const __m128i barrett = _mm_set_epi64x(0x1f7011641, 0x1db710641);
	const __m128i low_32 = _mm_setr_epi32(-1, 0, -1, 0);
	__m128i quotient;

	rest = _mm_xor_si128(_mm_clmulepi64_si128(rest, by_16, 0x10),
			     _mm_srli_si128(rest, 8));
	rest = _mm_xor_si128(
		_mm_clmulepi64_si128(_mm_and_si128(rest, low_32), by_8, 0x00),
		_mm_srli_si128(rest, 4));
	quotient = _mm_clmulepi64_si128(_mm_and_si128(rest, low_32), barrett,
					0x10);
	quotient = _mm_clmulepi64_si128(_mm_and_si128(quotient, low_32),
					barrett, 0x00);
	rest = _mm_xor_si128(rest, quotient);
	return (uint32_t)_mm_extract_epi32(rest, 1);
}

/* 0..3 bytes by table: too short for a block, the register reaches beyond. A
 * function of its own: what it saves for its call no other length pays. */
static __attribute__((noinline)) uint32_t
crc_bytes(uint32_t crc, const uint8_t *at, size_t bytes)
{
	const z_crc_t *table = get_crc_table();
	uint32_t reg = ~crc;

	for (size_t i = 0; i < bytes; i++)
		reg = (uint32_t)table[(reg ^ at[i]) & 0xff] ^ (reg >> 8);
	return ~reg;
}

/* 4..15 bytes: one block with zeros in front, which change nothing. */
static inline CRC_TARGET uint32_t
crc_short(uint32_t reg, const uint8_t *at, size_t bytes)
{
	uint64_t low = 0;
	uint64_t high;

	if (bytes < 8) {
		high = load_le(at, 4) | load_le(at + bytes - 4, 4)
						<< (8 * (bytes - 4));
		high = (high ^ reg) << (64 - 8 * bytes);
	} else if (bytes == 8) {
		high = load_le(at, 8) ^ reg;
	} else {
		const uint64_t first = load_le(at, 8) ^ reg;

		low = first << (128 - 8 * bytes);
		/* What the shift drops belongs to the upper half; the loaded
		 * tail has those bytes without the register. */
		high = load_le(at + bytes - 8, 8);
		high ^= (uint64_t)reg >> (8 * (bytes - 8));
	}
	return crc_reduce(_mm_set_epi64x((long long)high, (long long)low));
}

static const uint8_t shuffle_window[48] = {
	0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
	0x80, 0x80, 0x80, 0x80, 0,    1,    2,    3,    4,    5,    6,    7,
	8,    9,    10,   11,   12,   13,   14,   15,   0x80, 0x80, 0x80, 0x80,
	0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};

/* Adds the last 1..15 bytes, which end at `end`: the first `bytes` bytes of
 * the remainder are moved over, the others and the tail make the block. At
 * least 16 bytes of message lie before `end`. */
static inline CRC_TARGET __m128i
crc_tail(__m128i rest, const uint8_t *end, size_t bytes, __m128i by)
{
	const __m128i up = load_block(shuffle_window + bytes);
	const __m128i down = load_block(shuffle_window + 16 + bytes);
	const __m128i front = _mm_shuffle_epi8(rest, up);
	const __m128i back = _mm_shuffle_epi8(rest, down);
	/* Bytes that `down` clears (top bit set) come from the message. */
	const __m128i next = _mm_blendv_epi8(back, load_block(end - 16), down);

	return crc_fold(front, by, next);
}

static inline CRC_TARGET uint32_t
crc_long(uint32_t reg, const uint8_t *at, size_t bytes)
{
	const __m128i by_64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
	const __m128i by_16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
	__m128i rest =
		_mm_xor_si128(load_block(at), _mm_cvtsi32_si128((int)reg));

	at += 16;
	bytes -= 16;
	if (bytes >= 112) {
		__m128i b = load_block(at);
		__m128i c = load_block(at + 16);
		__m128i d = load_block(at + 32);

		at += 48;
		bytes -= 48;
		for (; bytes >= 64; at += 64, bytes -= 64) {
			rest = crc_fold(rest, by_64, load_block(at));
			b = crc_fold(b, by_64, load_block(at + 16));
			c = crc_fold(c, by_64, load_block(at + 32));
			d = crc_fold(d, by_64, load_block(at + 48));
		}
		rest = crc_fold(rest, by_16, b);
		rest = crc_fold(rest, by_16, c);
		rest = crc_fold(rest, by_16, d);
	}
	for (; bytes >= 16; at += 16, bytes -= 16)
		rest = crc_fold(rest, by_16, load_block(at));
	if (bytes > 0)
		rest = crc_tail(rest, at + bytes, bytes, by_16);
	return crc_reduce(rest);
}

/* By any length, in one function: inlining ends where the set changes. */
static CRC_TARGET uint32_t
crc_folded(uint32_t crc, const uint8_t *at, size_t bytes)
{
	if (bytes >= 16)
		return ~crc_long(~crc, at, bytes);
	if (bytes >= 4)
		return ~crc_short(~crc, at, bytes);
	return crc_bytes(crc, at, bytes);
}

static inline ADLER_TARGET uint32_t
sum_lanes(__m256i v)
{
	__m128i x = _mm_add_epi32(_mm256_castsi256_si128(v),
				  _mm256_extracti128_si256(v, 1));

	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1));
	return (uint32_t)_mm_cvtsi128_si32(x);
}

/* Whole blocks of 32 bytes, at most ADLER_CHUNK_BYTES. */
static inline ADLER_TARGET void
adler_blocks(uint32_t *a, uint32_t *s, const uint8_t *at, size_t bytes)
{
	const __m256i weights = _mm256_setr_epi8(
		32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17,
		16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1);
	const __m256i ones = _mm256_set1_epi16(1);
	__m256i sum = _mm256_setzero_si256();
	__m256i sums_before = _mm256_setzero_si256();
	__m256i weighted = _mm256_setzero_si256();
	const uint8_t *end = at + bytes;

	*s += *a * (uint32_t)bytes;
	for (; at < end; at += 32) {
		const __m256i block =
			_mm256_loadu_si256((const __m256i *)(const void *)at);

		sums_before = _mm256_add_epi32(sums_before, sum);
		sum = _mm256_add_epi32(
			sum, _mm256_sad_epu8(block, _mm256_setzero_si256()));
		weighted = _mm256_add_epi32(
			weighted,
			_mm256_madd_epi16(_mm256_maddubs_epi16(block, weights),
					  ones));
	}
	*a += sum_lanes(sum);
	*s += 32 * sum_lanes(sums_before) + sum_lanes(weighted);
}

static ADLER_TARGET uint32_t
adler_avx2(uint32_t adler, const uint8_t *at, size_t bytes)
{
	uint32_t a = adler & 0xffff;
	uint32_t s = adler >> 16;

	while (bytes > 0) {
		const size_t chunk =
			bytes < ADLER_CHUNK_BYTES ? bytes : ADLER_CHUNK_BYTES;
		const size_t blocks = chunk & ~(size_t)31;

		if (blocks > 0)
			adler_blocks(&a, &s, at, blocks);
		for (size_t i = blocks; i < chunk; i++) {
			a += at[i];
			s += a;
		}
		a %= ADLER_MODULO;
		s %= ADLER_MODULO;
		at += chunk;
		bytes -= chunk;
	}
	return s << 16 | a;
}

uint32_t
checksum_crc32(uint32_t crc, const void *data, size_t bytes)
{
	if (!has_pclmul)
		return bytes == 0 ? crc : (uint32_t)crc32_z(crc, data, bytes);
	return crc_folded(crc, data, bytes);
}

uint32_t
checksum_adler32(uint32_t adler, const void *data, size_t bytes)
{
	if (!has_avx2)
		return bytes == 0 ? adler
				  : (uint32_t)adler32_z(adler, data, bytes);
	return adler_avx2(adler, data, bytes);
}

#else

uint32_t
checksum_crc32(uint32_t crc, const void *data, size_t bytes)
{
	return bytes == 0 ? crc : (uint32_t)crc32_z(crc, data, bytes);
}

uint32_t
checksum_adler32(uint32_t adler, const void *data, size_t bytes)
{
	return bytes == 0 ? adler : (uint32_t)adler32_z(adler, data, bytes);
}

#endif
