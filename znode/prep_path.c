/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Path rules. They are stated over UTF-16 code units upstream; here the UTF-8
 * bytes are decoded one character at a time, and only where they are not
 * ASCII. Whatever does not decode would be U+FFFD, which is refused, and so is
 * everything beyond U+FFFF, whose halves are surrogates.
 */
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

bool
prep_path_is_valid(const uint8_t *text, uint32_t bytes)
{
	if (bytes == 0 || text[0] != '/')
		return false;
	if (bytes == 1)
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
