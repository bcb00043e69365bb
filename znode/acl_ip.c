/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A colon anywhere makes a text an IPv6 address, otherwise a dot makes it
 * IPv4, otherwise it is none. Both are brought to bytes; matching compares
 * the first `bits` bits of two addresses of the same length. A scope ("%eth0")
 * never parses, so link-local peers match no prefix: so it is upstream.
 */
#include "znode/acl_ip.h"

#define GROUPS 8

static int
digit_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

/* Sign and digits, nothing else. False also above a million. */
static bool
parse_number(const uint8_t *at, const uint8_t *end, int radix, int32_t *out)
{
	int32_t value = 0;
	const bool is_negative = at < end && *at == '-';

	if (at < end && (*at == '-' || *at == '+'))
		at++;
	if (at == end)
		return false;
	for (; at < end; at++) {
		const int digit = digit_of(*at);

		if (digit >= radix || value > 1000000)
			return false;
		value = value * radix + digit;
	}
	*out = is_negative ? -value : value;
	return true;
}

static bool
parse_v4(const uint8_t *at, const uint8_t *end, struct acl_ip *out)
{
	out->octets = 0;
	for (;;) {
		const uint8_t *dot = memchr(at, '.', (size_t)(end - at));
		const uint8_t *const stop = dot == NULL ? end : dot;
		int32_t value;

		if (out->octets == 4 || !parse_number(at, stop, 10, &value) ||
		    value < 0 || value > 255)
			return false;
		out->octet[out->octets++] = (uint8_t)value;
		if (dot == NULL)
			return out->octets == 4;
		at = dot + 1;
	}
}

/* Groups divided by single colons; an empty range has none. Returns how many,
 * or -1. */
static int
parse_groups(const uint8_t *at, const uint8_t *end, uint8_t *octets)
{
	int count = 0;

	if (at == end)
		return 0;
	for (;;) {
		const uint8_t *colon = memchr(at, ':', (size_t)(end - at));
		const uint8_t *const stop = colon == NULL ? end : colon;
		int32_t value;

		if (count == GROUPS || stop - at > 4 ||
		    !parse_number(at, stop, 16, &value))
			return -1;
		octets[2 * count] = (uint8_t)((uint32_t)value >> 8);
		octets[2 * count + 1] = (uint8_t)value;
		count++;
		if (colon == NULL)
			return count;
		at = colon + 1;
	}
}

static const uint8_t *
find_double_colon(const uint8_t *at, const uint8_t *end)
{
	for (; end - at >= 2; at++) {
		if (at[0] == ':' && at[1] == ':')
			return at;
	}
	return NULL;
}

static bool
parse_v6(const uint8_t *at, const uint8_t *end, struct acl_ip *out)
{
	const uint8_t *const gap = find_double_colon(at, end);
	uint8_t tail[2 * GROUPS];

	out->octets = 2 * GROUPS;
	if (gap == NULL)
		return parse_groups(at, end, out->octet) == GROUPS;
	if (find_double_colon(gap + 2, end) != NULL)
		return false;
	const int before = parse_groups(at, gap, out->octet);
	const int after = parse_groups(gap + 2, end, tail);

	if (before < 0 || after < 0 || before + after >= GROUPS)
		return false;
	memcpy(out->octet + 2 * (GROUPS - after), tail, 2 * (size_t)after);
	return true;
}

static bool
parse_address(const uint8_t *at, const uint8_t *end, struct acl_ip *out)
{
	memset(out->octet, 0, sizeof(out->octet));
	if (memchr(at, ':', (size_t)(end - at)) != NULL)
		return parse_v6(at, end, out);
	return parse_v4(at, end, out);
}

bool
acl_ip_parse_address(struct jute_slice text, struct acl_ip *out)
{
	if (text.bytes <= 0 ||
	    !parse_address(text.data, text.data + text.bytes, out))
		return false;
	out->bits = 8 * out->octets;
	return true;
}

bool
acl_ip_parse(struct jute_slice text, struct acl_ip *out)
{
	const uint8_t *slash =
		text.bytes <= 0 ? NULL
				: memchr(text.data, '/', (size_t)text.bytes);
	int32_t bits;

	if (slash == NULL)
		return acl_ip_parse_address(text, out);
	if (!acl_ip_parse_address(
		    jute_slice_of(text.data, (size_t)(slash - text.data)),
		    out) ||
	    !parse_number(slash + 1, text.data + text.bytes, 10, &bits) ||
	    bits < 0 || (uint32_t)bits > out->bits)
		return false;
	out->bits = (uint32_t)bits;
	return true;
}

void
acl_ip_cut(struct acl_ip *address, uint32_t bits)
{
	const uint32_t whole = bits / 8;

	address->bits = bits;
	if (whole == address->octets)
		return;
	address->octet[whole] &= (uint8_t)(0xFF00u >> (bits % 8));
	memset(address->octet + whole + 1, 0, address->octets - whole - 1);
}

bool
acl_ip_is_valid(struct jute_slice text)
{
	struct acl_ip prefix;

	return acl_ip_parse(text, &prefix);
}

bool
acl_ip_matches(struct jute_slice address, struct jute_slice prefix)
{
	struct acl_ip peer, allowed;

	if (!acl_ip_parse(prefix, &allowed) ||
	    !acl_ip_parse_address(address, &peer) ||
	    peer.octets != allowed.octets)
		return false;
	acl_ip_cut(&peer, allowed.bits);
	acl_ip_cut(&allowed, allowed.bits);
	return memcmp(peer.octet, allowed.octet, peer.octets) == 0;
}
