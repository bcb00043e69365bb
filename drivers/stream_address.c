/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_address - text forms of addresses.
 *
 * Java prints IPv6 with all eight groups, C's inet_ntop() does not, and ACLs
 * compare these texts, so the groups are written here by hand. Reading is left
 * to inet_pton(), which is stricter than the resolver.
 */
#include "drivers/stream_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_COUNT 8

static const uint8_t ipv4_mapped[12] = {[10] = 0xff, [11] = 0xff};

struct stream_address
stream_address_ipv6(const uint8_t ip[16], uint32_t scope, uint16_t port)
{
	struct stream_address address = {.port = port};

	if (memcmp(ip, ipv4_mapped, sizeof(ipv4_mapped)) == 0) {
		memcpy(address.ip, ip + sizeof(ipv4_mapped), 4);
		address.family = STREAM_IPV4;
		return address;
	}
	memcpy(address.ip, ip, 16);
	address.scope = scope;
	address.family = STREAM_IPV6;
	return address;
}

/* "eth0" or "2" -> 2; 0 when it is neither. */
static uint32_t
scope_parse(const char *text)
{
	const uint32_t by_name = if_nametoindex(text);
	char *end;

	if (by_name != 0)
		return by_name;
	if (text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;

	const unsigned long number = strtoul(text, &end, 10);

	return *end == 0 && errno == 0 && number <= UINT32_MAX
		       ? (uint32_t)number
		       : 0;
}

/* Copies `host` without brackets and cuts the scope off. Returns false when it
 * is too long to be a numeric host or the scope is none. */
static bool
host_split(const char *host, char *text, size_t text_bytes, uint32_t *scope)
{
	size_t bytes = strlen(host);

	if (bytes >= 2 && host[0] == '[' && host[bytes - 1] == ']') {
		host++;
		bytes -= 2;
	}
	if (bytes >= text_bytes)
		return false;
	memcpy(text, host, bytes);
	text[bytes] = 0;
	*scope = 0;

	char *percent = strchr(text, '%');

	if (percent == NULL)
		return true;
	*percent = 0;
	*scope = scope_parse(percent + 1);
	return *scope != 0;
}

int
stream_address_parse(const char *host, uint16_t port,
		     struct stream_address *address)
{
	char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
	uint32_t scope;
	uint8_t ip[16];

	if (host[0] == 0) {
		*address = stream_address_any(port);
		return 0;
	}
	if (!host_split(host, text, sizeof(text), &scope))
		return FAL_EINVAL;
	if (inet_pton(AF_INET6, text, ip) == 1) {
		*address = stream_address_ipv6(ip, scope, port);
		return 0;
	}
	if (host[0] == '[' || scope != 0 || inet_pton(AF_INET, text, ip) != 1)
		return FAL_EINVAL;
	*address = (struct stream_address){.port = port, .family = STREAM_IPV4};
	memcpy(address->ip, ip, 4);
	return 0;
}

uint32_t
stream_address_host(const struct stream_address *address, char *text)
{
	const uint8_t *ip = address->ip;
	int used = 0;

	if (address->family == STREAM_IPV4)
		return (uint32_t)snprintf(text, STREAM_HOST_TEXT_MAX,
					  "%u.%u.%u.%u", ip[0], ip[1], ip[2],
					  ip[3]);
	for (int group = 0; group < GROUP_COUNT; group++)
		used += snprintf(text + used,
				 (size_t)(STREAM_HOST_TEXT_MAX - used), "%s%x",
				 group == 0 ? "" : ":",
				 ip[2 * group] << 8 | ip[2 * group + 1]);
	if (address->scope != 0)
		used += snprintf(text + used,
				 (size_t)(STREAM_HOST_TEXT_MAX - used), "%%%u",
				 address->scope);
	FAL_ASSERT(used < STREAM_HOST_TEXT_MAX);
	return (uint32_t)used;
}

uint32_t
stream_address_text(const struct stream_address *address, char *text)
{
	const bool has_brackets = address->family != STREAM_IPV4;
	char host[STREAM_HOST_TEXT_MAX];

	stream_address_host(address, host);
	return (uint32_t)snprintf(text, STREAM_ADDRESS_TEXT_MAX,
				  has_brackets ? "[%s]:%u" : "%s:%u", host,
				  address->port);
}

bool
stream_address_same_host(const struct stream_address *a,
			 const struct stream_address *b)
{
	return a->family == b->family && a->scope == b->scope &&
	       memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}
