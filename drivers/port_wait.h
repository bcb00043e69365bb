/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_PORT_WAIT_H
#define FALCONER_DRIVERS_PORT_WAIT_H

/*
 * port_wait - sleeping until a doorbell rings or a descriptor becomes readable,
 * and finding the descriptors that drivers of DPDK keep to themselves.
 *
 * Context    the core that owns the port; finding: while no other thread opens
 *            or closes descriptors.
 */

#include <stdbool.h>
#include <stdint.h>

/*
 * Blocks until one of both is readable or the time is over.
 *
 * doorbell_fd   eventfd, emptied when it rang; -1: none
 * frames_fd     -1: none
 * is_eventfd    frames_fd is one too: emptied as well
 * timeout_ns    UINT64_MAX: no limit
 */
void port_wait_fds(int doorbell_fd, int frames_fd, bool is_eventfd,
		   uint64_t timeout_ns);

/* Descriptors that were open at some time. */
struct port_fds {
	uint64_t open[64]; /* bit per descriptor below 4096 */
};

/* Notes what is open now. */
void port_fds_note(struct port_fds *fds);

/* Writes the sockets of an address family (AF_PACKET, AF_XDP) that are open now
 * and were not then, lowest first, into found[]; returns how many. */
uint32_t port_fds_new_sockets(const struct port_fds *then, int family,
			      int *found, uint32_t max);

#endif
