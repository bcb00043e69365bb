/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_PEER_ADDRESS_H
#define FALCONER_DATAPLANE_PEER_ADDRESS_H

/* peer_address - how many addresses one server may have (multiAddress). */

#define PEER_ADDRESSES_MAX 4u

#endif
