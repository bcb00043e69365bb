/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A colon anywhere makes a text an IPv6 address, otherwise a dot makes it
 * IPv4, otherwise it is none. Both are brought to bytes; matching compares
 * the first `bits` bits of two addresses of the same length. A scope ("%eth0")
 * never parses, so link-local peers match no prefix: so it is upstream.
 */
#include "znode/acl_ip.h"

#define GROUPS 8

struct ip_address {
	uint8_t octet[16];
	uint32_t count; /* 4 or 16 */
};

struct ip_prefix {
	struct ip_address address;
	uint32_t bits;
};

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
parse_v4(const uint8_t *at, const uint8_t *end, struct ip_address *out)
{
	out->count = 0;
	for (;;) {
		const uint8_t *dot = memchr(at, '.', (size_t)(end - at));
		const uint8_t *const stop = dot == NULL ? end : dot;
		int32_t value;

		if (out->count == 4 || !parse_number(at, stop, 10, &value) ||
		    value < 0 || value > 255)
			return false;
		out->octet[out->count++] = (uint8_t)value;
		if (dot == NULL)
			return out->count == 4;
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
parse_v6(const uint8_t *at, const uint8_t *end, struct ip_address *out)
{
	const uint8_t *const gap = find_double_colon(at, end);
	uint8_t tail[2 * GROUPS];

	memset(out->octet, 0, sizeof(out->octet));
	out->count = 2 * GROUPS;
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
parse_address(const uint8_t *at, const uint8_t *end, struct ip_address *out)
{
	if (memchr(at, ':', (size_t)(end - at)) != NULL)
		return parse_v6(at, end, out);
	return parse_v4(at, end, out);
}

static bool
parse_prefix(struct jute_slice text, struct ip_prefix *out)
{
	if (text.bytes <= 0)
		return false;
	const uint8_t *const end = text.data + text.bytes;
	const uint8_t *slash = memchr(text.data, '/', (size_t)text.bytes);
	int32_t bits;

	if (!parse_address(text.data, slash == NULL ? end : slash,
			   &out->address))
		return false;
	out->bits = 8 * out->address.count;
	if (slash == NULL)
		return true;
	if (!parse_number(slash + 1, end, 10, &bits) || bits < 0 ||
	    (uint32_t)bits > out->bits)
		return false;
	out->bits = (uint32_t)bits;
	return true;
}

bool
acl_ip_is_valid(struct jute_slice text)
{
	struct ip_prefix prefix;

	return parse_prefix(text, &prefix);
}

bool
acl_ip_matches(struct jute_slice address, struct jute_slice prefix)
{
	struct ip_address peer;
	struct ip_prefix allowed;

	if (address.bytes <= 0 || !parse_prefix(prefix, &allowed) ||
	    !parse_address(address.data, address.data + address.bytes, &peer) ||
	    peer.count != allowed.address.count)
		return false;
	const uint32_t whole = allowed.bits / 8;

	if (memcmp(peer.octet, allowed.address.octet, whole) != 0)
		return false;
	if (allowed.bits % 8 == 0)
		return true;
	const uint32_t mask = 0xFF00u >> (allowed.bits % 8);

	return ((peer.octet[whole] ^ allowed.address.octet[whole]) & mask &
		0xFF) == 0;
}
