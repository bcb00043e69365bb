/* SPDX-License-Identifier: Apache-2.0 */
/* net_address - see net_address.h. */
#include "server/net_address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEM_BYTES_MAX 64

/* Reads "/24" or nothing at `at`. */
static bool
parse_prefix(const char *at, bool has_prefix, unsigned bits_max, uint8_t *bits)
{
	char *end;
	unsigned long value;

	if (!has_prefix) {
		*bits = (uint8_t)bits_max;
		return *at == '\0';
	}
	if (*at != '/' || at[1] < '0' || at[1] > '9')
		return false;
	value = strtoul(at + 1, &end, 10);
	*bits = (uint8_t)value;
	return *end == '\0' && value >= 1 && value <= bits_max;
}

/* Whether all bits behind the first `from` of 4 bytes are alike. */
static bool
is_end_of_network(const uint8_t *ip, uint32_t from)
{
	const uint32_t host = be_load32(ip) << from;

	return host == 0 || host == UINT32_MAX << from;
}

/* Whether a host may have it: neither a wildcard, loopback or multicast, nor,
 * of IPv4, the first or the last of its network. */
static bool
is_of_host(const struct stream_address *address, uint32_t bits)
{
	const uint8_t *ip = address->ip;

	if (stream_address_is_any(address))
		return false;
	if (address->family == STREAM_IPV6)
		return ip[0] != 0xff && (be_load64(ip) | be_load64(ip + 8)) > 1;
	return ip[0] != 0 && ip[0] != 127 && ip[0] < 224 &&
	       (bits > 30 || !is_end_of_network(ip, bits));
}

static int
parse_item(const char *item, bool has_prefix, struct net_addresses *addresses)
{
	const size_t host_bytes = strcspn(item, "/");
	char host[ITEM_BYTES_MAX];
	struct stream_address address;
	struct net_address *into;
	bool is_ipv4;

	snprintf(host, sizeof(host), "%.*s", (int)host_bytes, item);
	if (host[0] == '\0' || stream_address_parse(host, 0, &address) != 0)
		return FAL_EINVAL;
	is_ipv4 = address.family == STREAM_IPV4;
	into = is_ipv4 ? &addresses->ipv4 : &addresses->ipv6;
	if (into->address.family != STREAM_ANY ||
	    !parse_prefix(item + host_bytes, has_prefix, is_ipv4 ? 32 : 128,
			  &into->prefix_bits) ||
	    !is_of_host(&address, into->prefix_bits))
		return FAL_EINVAL;
	into->address = address;
	return 0;
}

int
net_addresses_parse(const char *text, bool has_prefix,
		    struct net_addresses *addresses)
{
	memset(addresses, 0, sizeof(*addresses));
	if (text == NULL)
		return 0;
	for (;;) {
		const size_t blanks = strspn(text, " \t");
		const size_t bytes = strcspn(text + blanks, ", \t");
		char item[ITEM_BYTES_MAX];
		const char *end = text + blanks + bytes;

		end += strspn(end, " \t");
		snprintf(item, sizeof(item), "%.*s", (int)bytes, text + blanks);
		if (bytes >= sizeof(item) ||
		    parse_item(item, has_prefix, addresses) != 0)
			return FAL_EINVAL;
		if (*end == '\0')
			return 0;
		if (*end != ',')
			return FAL_EINVAL;
		text = end + 1;
	}
}
