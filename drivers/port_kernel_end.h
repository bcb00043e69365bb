/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_PORT_KERNEL_END_H
#define FALCONER_DRIVERS_PORT_KERNEL_END_H

/*
 * port_kernel_end - the kernel's side of a tap device: an address of its own, a
 * MAC of its own, up.
 *
 * A tap device appears in the kernel with the MAC of our port; two stations
 * with one MAC cannot talk, and a bridge keeps what is sent to the MAC of one
 * of its ports, so the kernel's is changed. With an address there, ordinary
 * programs of this machine reach the server without further commands.
 *
 * Context    the control thread; needs CAP_NET_ADMIN.
 */

#include "drivers/port_env.h"
#include "drivers/stream_address.h"

/* Gives the netdev of a port with this MAC another MAC, and brings it up.
 * Returns 0, FAL_EINVAL (no such netdev) or FAL_EIO (refused). */
FAL_MUST_CHECK int port_kernel_end_up(const char *netdev, const uint8_t mac[6],
				      struct port_error *error);

/* Gives it an address; prefix_bits of the network both ends are in. Returns as
 * above; an address it has already is fine. */
FAL_MUST_CHECK int port_kernel_end_address(const char *netdev,
					   const struct stream_address *address,
					   uint32_t prefix_bits,
					   struct port_error *error);

#endif
