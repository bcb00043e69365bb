/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve - getaddrinfo() for stream addresses. One socket type is asked for,
 * or every address would come three times.
 */
#include "drivers/resolve.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static bool
address_of(const struct sockaddr *from, struct stream_address *out)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (from->sa_family == AF_INET) {
		memcpy(&v4, from, sizeof(v4));
		*out = stream_address_ipv4(ntohl(v4.sin_addr.s_addr), 0);
		return true;
	}
	if (from->sa_family != AF_INET6)
		return false;
	memcpy(&v6, from, sizeof(v6));
	*out = stream_address_ipv6(v6.sin6_addr.s6_addr, v6.sin6_scope_id, 0);
	return true;
}

static bool
is_among(const struct stream_address *list, int count,
	 const struct stream_address *address)
{
	for (int i = 0; i < count; i++)
		if (memcmp(&list[i], address, sizeof(*address)) == 0)
			return true;
	return false;
}

int
resolve_host(const char *host, struct stream_address *out, uint32_t max,
	     char *why, size_t why_bytes)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found = NULL;
	const int err = getaddrinfo(host, NULL, &hints, &found);
	int count = 0;

	FAL_ASSERT(max >= 1);
	if (err != 0) {
		snprintf(why, why_bytes, "%s", gai_strerror(err));
		return err == EAI_NONAME || err == EAI_FAIL ? FAL_ENOENT
							    : FAL_EAGAIN;
	}
	for (const struct addrinfo *it = found; it != NULL && count < (int)max;
	     it = it->ai_next) {
		struct stream_address address;

		if (address_of(it->ai_addr, &address) &&
		    !is_among(out, count, &address))
			out[count++] = address;
	}
	freeaddrinfo(found);
	if (count > 0)
		return count;
	snprintf(why, why_bytes, "it has no IP address");
	return FAL_ENOENT;
}
