/* SPDX-License-Identifier: Apache-2.0 */
/* listen - see listen.h. */
#include "server/listen.h"

#include "drivers/resolve.h"

/* More of one name do not matter: one is taken. */
#define ADDRESSES_MAX 16u

struct stream_address
listen_widened(struct stream_address address)
{
	return stream_address_is_any(&address)
		       ? stream_address_any(address.port)
		       : address;
}

int
listen_address(const char *host, uint16_t port, struct stream_address *address,
	       char *why, size_t why_bytes)
{
	struct stream_address found[ADDRESSES_MAX];

	if (stream_address_parse(host, port, address) == FAL_OK) {
		*address = listen_widened(*address);
		return FAL_OK;
	}

	const int count =
		resolve_host(host, found, ADDRESSES_MAX, why, why_bytes);
	int first = 0;

	if (count <= 0)
		return count;
	for (int i = count - 1; i >= 0; i--)
		if (found[i].family == STREAM_IPV4)
			first = i;
	*address = found[first];
	address->port = port;
	return FAL_OK;
}

const char *
listen_remedy(int err, bool is_on_port)
{
	if (is_on_port && err == FAL_EINVAL)
		return "with falconer.dataplane=dpdk the server has the "
		       "addresses of falconer.dpdk.address; leave this one "
		       "out, or choose one of those";
	switch (err) {
	case FAL_EBUSY:
		return "stop the other program, or choose another port";
	case FAL_EACCESS:
		return "ports below 1024 need root or CAP_NET_BIND_SERVICE "
		       "(AmbientCapabilities of a unit)";
	case FAL_EINVAL:
		return "the address is none of this machine's (ip address "
		       "lists them)";
	default:
		return "choose another port";
	}
}
