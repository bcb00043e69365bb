/* SPDX-License-Identifier: Apache-2.0 */
/* quota_text - pairs "key=number", divided by runs of ',' and ';'. */
#include "znode/quota_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Decimal with an optional sign; -1 for anything else. Digits are gathered on
 * the negative side, which reaches one further. */
static int64_t
parse_limit(const uint8_t *at, const uint8_t *end)
{
	const bool is_negative = at < end && *at == '-';
	int64_t value = 0;

	if (at < end && (*at == '-' || *at == '+'))
		at++;
	if (at == end)
		return -1;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9' ||
		    __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, *at - '0', &value))
			return -1;
	}
	if (is_negative)
		return value;
	return value == INT64_MIN ? -1 : -value;
}

/* "key=number", possibly with more '=' behind. */
static void
parse_pair(const uint8_t *at, const uint8_t *end, struct quota_track *out)
{
	const uint8_t *equals = memchr(at, '=', (size_t)(end - at));

	if (equals == NULL)
		return;
	const uint8_t *stop =
		memchr(equals + 1, '=', (size_t)(end - equals - 1));
	const struct jute_slice key = jute_slice_of(at, (size_t)(equals - at));
	const int64_t value =
		parse_limit(equals + 1, stop == NULL ? end : stop);

	if (jute_slice_equal(key, jute_slice_of("count", 5))) {
		out->count = value;
	} else if (jute_slice_equal(key, jute_slice_of("bytes", 5))) {
		out->bytes = value;
	} else if (jute_slice_equal(key, jute_slice_of("countHardLimit", 14))) {
		out->count_hard = value;
		out->has_count_hard = true;
	} else if (jute_slice_equal(key, jute_slice_of("byteHardLimit", 13))) {
		out->bytes_hard = value;
		out->has_bytes_hard = true;
	}
}

struct quota_track
quota_track_parse(struct jute_slice text)
{
	struct quota_track track = {
		.count = -1, .bytes = -1, .count_hard = -1, .bytes_hard = -1};

	if (text.bytes <= 0)
		return track;
	const uint8_t *at = text.data;
	const uint8_t *const end = at + text.bytes;

	while (at < end) {
		const uint8_t *stop = at;

		while (stop < end && *stop != ',' && *stop != ';')
			stop++;
		parse_pair(at, stop, &track);
		at = stop + 1;
	}
	return track;
}

struct jute_slice
quota_track_text(const struct quota_track *track,
		 char text[QUOTA_TEXT_BYTES_MAX])
{
	size_t bytes = (size_t)snprintf(text, QUOTA_TEXT_BYTES_MAX,
					"count=%" PRId64 ",bytes=%" PRId64,
					track->count, track->bytes);

	if (track->has_bytes_hard || track->has_count_hard)
		text[bytes++] = '=';
	if (track->has_bytes_hard)
		bytes += (size_t)snprintf(
			text + bytes, QUOTA_TEXT_BYTES_MAX - bytes,
			";byteHardLimit=%" PRId64, track->bytes_hard);
	if (track->has_count_hard)
		bytes += (size_t)snprintf(
			text + bytes, QUOTA_TEXT_BYTES_MAX - bytes,
			";countHardLimit=%" PRId64, track->count_hard);
	FAL_ASSERT(bytes < QUOTA_TEXT_BYTES_MAX);
	return jute_slice_of(text, bytes);
}
