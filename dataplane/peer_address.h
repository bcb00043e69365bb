/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_PEER_ADDRESS_H
#define FALCONER_DATAPLANE_PEER_ADDRESS_H

/* peer_address - addresses of other servers: how many one may have
 * (multiAddress), and how they come into log lines. */

#include "base/be.h"
#include "base/log.h"
#include "drivers/stream_address.h"

#define PEER_ADDRESSES_MAX 4u

/* Posts an event whose words are an address; NULL shows as "::". */
static inline void
peer_address_log(enum log_event event, const struct stream_address *address)
{
	uint64_t high = 0, low = 0;

	if (address != NULL && address->family == STREAM_IPV4) {
		low = 0xffff00000000u | be_load32(address->ip);
	} else if (address != NULL && address->family == STREAM_IPV6) {
		high = be_load64(address->ip);
		low = be_load64(address->ip + 8);
	}
	log_post(event, high, low);
}

#endif
