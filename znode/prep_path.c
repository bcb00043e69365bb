/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Path rules. They are stated over UTF-16 code units upstream; here the UTF-8
 * bytes are decoded one character at a time, and only where they are not
 * ASCII. Whatever does not decode would be U+FFFD, which is refused, and so is
 * everything beyond U+FFFF, whose halves are surrogates.
 *
 * Nearly all paths are printable ASCII without a component that begins with a
 * dot: that is seen eight bytes at a time, and every other path is walked.
 */
#include "base/bytes.h"
#include "znode/prep.h"
#include "znode/text.h"

static bool
is_allowed(uint32_t point)
{
	return !(point <= 0x1F || (point >= 0x7F && point <= 0x9F) ||
		 (point >= 0xD800 && point <= 0xF8FF) || point >= 0xFFF0);
}

/* A component that is not empty and not one or two dots. */
static bool
is_component(const uint8_t *from, const uint8_t *to)
{
	const size_t bytes = (size_t)(to - from);

	if (bytes == 0 || (bytes == 1 && from[0] == '.'))
		return false;
	return bytes != 2 || from[0] != '.' || from[1] != '.';
}

#define EACH_BYTE 0x0101010101010101ull

/* Are the eight bytes of `next` printable ASCII, and is none of them a slash or
 * a dot behind a slash? `here` are the bytes in front of them, one by one. */
static bool
is_simple_word(uint64_t here, uint64_t next)
{
	/* Sums stay within their byte where the byte is ASCII; where not, the
	 * top bit of that byte says so itself. */
	const uint64_t printable =
		(next + 0x60 * EACH_BYTE) & ~(next + EACH_BYTE) & ~next;
	/* A byte is 0 where a '/' comes before a '/' or '.', 0x2f or 0x2e. */
	const uint64_t apart = (here ^ '/' * EACH_BYTE) |
			       ((next ^ '.' * EACH_BYTE) & 0xfe * EACH_BYTE);
	const uint64_t is_apart =
		((apart & 0x7f * EACH_BYTE) + 0x7f * EACH_BYTE) | apart;

	return (printable & is_apart & 0x80 * EACH_BYTE) == 0x80 * EACH_BYTE;
}

/* Valid at first sight, of at least five bytes; begins with a slash. */
static bool
is_simple(const uint8_t *text, uint32_t bytes)
{
	const uint8_t *const last =
		text + bytes - 1; /* has nothing behind it */
	const uint8_t *at = text;

	if (*last == '/')
		return false;
	if (bytes <= 8) {
		/* Two words of four, which overlap. */
		const uint64_t here = (uint64_t)bytes_load32(last - 4) << 32;
		const uint64_t next = (uint64_t)bytes_load32(last - 3) << 32;

		return is_simple_word(here | bytes_load32(text),
				      next | bytes_load32(text + 1));
	}
	for (; at + 8 < last; at += 8)
		if (!is_simple_word(bytes_load64(at), bytes_load64(at + 1)))
			return false;
	return is_simple_word(bytes_load64(last - 8), bytes_load64(last - 7));
}

bool
prep_path_is_valid(const uint8_t *text, uint32_t bytes)
{
	if (bytes == 0 || text[0] != '/')
		return false;
	if (bytes == 1 || (bytes >= 5 && FAL_LIKELY(is_simple(text, bytes))))
		return true;
	const uint8_t *const end = text + bytes;
	const uint8_t *component = text + 1;

	for (const uint8_t *at = component; at < end;) {
		const uint8_t byte = *at;

		if (byte == '/') {
			if (!is_component(component, at))
				return false;
			component = ++at;
		} else if (byte > 0x1F && byte < 0x7F) {
			at++;
		} else if (!is_allowed(text_next(&at, end))) {
			return false;
		}
	}
	return is_component(component, end);
}
