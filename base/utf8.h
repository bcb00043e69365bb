/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_UTF8_H
#define FALCONER_BASE_UTF8_H

/* utf8 - which bytes are text (RFC 3629). Any thread; no state. */

#include <stddef.h>
#include <stdint.h>

/* The character of a sequence of that many bytes, 1..4. */
static inline uint32_t
utf8_code(const uint8_t *at, size_t bytes)
{
	uint32_t code = bytes == 1 ? at[0] : at[0] & (0x7fu >> bytes);

	for (size_t i = 1; i < bytes; i++)
		code = code << 6 | (at[i] & 0x3fu);
	return code;
}

/* Bytes of the sequence at `at`, of which `left` (> 0) are there, for a first
 * byte >= 0x80; 0 when it is not one. */
static inline size_t
utf8_sequence_bytes(const uint8_t *at, size_t left)
{
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
	const uint8_t first = at[0];
	const size_t bytes = first >= 0xf8   ? 0
			     : first >= 0xf0 ? 4
			     : first >= 0xe0 ? 3
			     : first >= 0xc0 ? 2
					     : 0;

	if (bytes == 0 || bytes > left)
		return 0;
	for (size_t i = 1; i < bytes; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;

	const uint32_t code = utf8_code(at, bytes);

	if (code < lowest[bytes] || code > 0x10ffff ||
	    (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return bytes;
}

#endif
