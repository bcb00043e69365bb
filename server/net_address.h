/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_NET_ADDRESS_H
#define FALCONER_SERVER_NET_ADDRESS_H

/*
 * net_address - lists of addresses in settings: "10.0.0.5/24,fd00::5/64".
 *
 * At most one of each family, and none that no host may have: wildcards,
 * loopback, multicast, the first and the last of a network of IPv4.
 */

#include "drivers/stream_address.h"

struct net_address {
	struct stream_address address; /* family STREAM_ANY: none */
	uint8_t prefix_bits;
};

struct net_addresses {
	struct net_address ipv4, ipv6;
};

/*
 * Reads a list.
 *
 * text        NULL: an empty one
 * has_prefix  each address is followed by /bits
 *
 * Returns 0 or FAL_EINVAL.
 */
FAL_MUST_CHECK int net_addresses_parse(const char *text, bool has_prefix,
				       struct net_addresses *addresses);

#endif
