/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder accepts exactly the well-formed UTF-8 of the Unicode standard.
 * Malformed input is cut into pieces as java.lang.String does: a bad lead byte
 * is a piece of its own; a good lead takes the continuation bytes that could
 * still belong to a character with it; a three-byte surrogate is one piece.
 * At the end of the text a cut-off character is one piece, whatever it holds.
 */
#include "znode/text.h"

static bool
is_continuation(uint8_t byte)
{
	return (byte & 0xC0) == 0x80;
}

/* Two bytes: C2..DF. at is behind the lead. */
static uint32_t
next_of_two(uint8_t lead, const uint8_t **at, const uint8_t *end)
{
	if (*at == end || !is_continuation(**at))
		return TEXT_REPLACEMENT;
	return (uint32_t)(lead & 0x1F) << 6 | (*(*at)++ & 0x3Fu);
}

/* Three bytes: E0..EF. */
static uint32_t
next_of_three(uint8_t lead, const uint8_t **at, const uint8_t *end)
{
	const uint8_t *from = *at;

	if (from == end)
		return TEXT_REPLACEMENT;
	if (!is_continuation(from[0]) || (lead == 0xE0 && from[0] < 0xA0))
		return TEXT_REPLACEMENT;
	if (end - from < 2) {
		*at = end;
		return TEXT_REPLACEMENT;
	}
	if (!is_continuation(from[1])) {
		*at = from + 1;
		return TEXT_REPLACEMENT;
	}
	*at = from + 2;
	const uint32_t point = (uint32_t)(lead & 0x0F) << 12 |
			       (from[0] & 0x3Fu) << 6 | (from[1] & 0x3Fu);

	return point >= 0xD800 && point <= 0xDFFF ? TEXT_REPLACEMENT : point;
}

/* Four bytes: F0..F4; F5..F7 are single malformed bytes. */
static uint32_t
next_of_four(uint8_t lead, const uint8_t **at, const uint8_t *end)
{
	const uint8_t *from = *at;

	if (lead > 0xF4 || from == end)
		return TEXT_REPLACEMENT;
	if (!is_continuation(from[0]) || (lead == 0xF0 && from[0] < 0x90) ||
	    (lead == 0xF4 && from[0] > 0x8F))
		return TEXT_REPLACEMENT;
	if (end - from < 2 || !is_continuation(from[1])) {
		*at = from + 1;
		return TEXT_REPLACEMENT;
	}
	if (end - from < 3) {
		*at = end;
		return TEXT_REPLACEMENT;
	}
	if (!is_continuation(from[2])) {
		*at = from + 2;
		return TEXT_REPLACEMENT;
	}
	*at = from + 3;
	return (uint32_t)(lead & 0x07) << 18 | (from[0] & 0x3Fu) << 12 |
	       (from[1] & 0x3Fu) << 6 | (from[2] & 0x3Fu);
}

uint32_t
text_next(const uint8_t **at, const uint8_t *end)
{
	FAL_ASSERT(*at < end);
	const uint8_t lead = *(*at)++;

	if (lead < 0x80)
		return lead;
	if (lead >= 0xC2 && lead <= 0xDF)
		return next_of_two(lead, at, end);
	if (lead >= 0xE0 && lead <= 0xEF)
		return next_of_three(lead, at, end);
	if (lead >= 0xF0 && lead <= 0xF7)
		return next_of_four(lead, at, end);
	return TEXT_REPLACEMENT;
}

/* One to three bytes of a code unit below 0x10000. */
static void
put_unit(struct jute_writer *writer, uint32_t unit)
{
	uint8_t bytes[3];
	size_t count = 0;

	if (unit < 0x80) {
		bytes[count++] = (uint8_t)unit;
	} else if (unit < 0x800) {
		bytes[count++] = (uint8_t)(0xC0 | unit >> 6);
		bytes[count++] = (uint8_t)(0x80 | (unit & 0x3F));
	} else {
		bytes[count++] = (uint8_t)(0xE0 | unit >> 12);
		bytes[count++] = (uint8_t)(0x80 | (unit >> 6 & 0x3F));
		bytes[count++] = (uint8_t)(0x80 | (unit & 0x3F));
	}
	jute_put_raw(writer, bytes, count);
}

static void
put_beyond_bmp(struct jute_writer *writer, uint32_t point, enum text_form form)
{
	if (form == TEXT_CESU8) {
		put_unit(writer, 0xD800 + ((point - 0x10000) >> 10));
		put_unit(writer, 0xDC00 + ((point - 0x10000) & 0x3FF));
		return;
	}
	const uint8_t bytes[4] = {(uint8_t)(0xF0 | point >> 18),
				  (uint8_t)(0x80 | (point >> 12 & 0x3F)),
				  (uint8_t)(0x80 | (point >> 6 & 0x3F)),
				  (uint8_t)(0x80 | (point & 0x3F))};

	jute_put_raw(writer, bytes, sizeof(bytes));
}

void
text_put(struct jute_writer *writer, struct jute_slice text,
	 enum text_form form)
{
	if (text.bytes <= 0)
		return;
	const uint8_t *at = text.data;
	const uint8_t *const end = at + text.bytes;

	while (at < end) {
		const uint32_t point = text_next(&at, end);

		if (point < 0x10000)
			put_unit(writer, point);
		else
			put_beyond_bmp(writer, point, form);
	}
}

bool
text_is_normal(struct jute_slice text)
{
	if (text.bytes <= 0)
		return true;
	const uint8_t *at = text.data;
	const uint8_t *const end = at + text.bytes;

	while (at < end) {
		if (*at < 0x80) {
			at++;
			continue;
		}
		const uint8_t *const from = at;
		const uint32_t point = text_next(&at, end);

		if (point > 0xFFFF)
			return false;
		/* A real U+FFFD is normal, a replaced piece is not. */
		if (point == TEXT_REPLACEMENT &&
		    (at - from != 3 || memcmp(from, "\xEF\xBF\xBD", 3) != 0))
			return false;
	}
	return true;
}
