/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_PORT_STEER_H
#define FALCONER_DRIVERS_PORT_STEER_H

/*
 * port_steer - which core a received frame belongs to.
 *
 * A connection lives on one core for life, and every core can tell which from
 * the frame alone, so that it does not matter which queue of a device brought
 * it there:
 *
 *   to a local port that one core listens on      that core (2888, 3888)
 *   to a local port that several listen on        one of them, by a hash of
 *                                                 the connection; with RSS in
 *                                                 the device the one it chose
 *   to a local port of our own connects           the core whose range it is in
 *   ARP replies and neighbour advertisements      all cores: each has a table
 *   ICMP errors                                   as the segment they quote;
 *                                                 all, where RSS has chosen
 *   everything else                               core 0, which answers pings,
 *                                                 ARP and strangers
 *
 * Context    port_steer_claim(): before frames for the port come, any thread;
 *            port_steer_home(): any core, wait-free.
 * Limits     PORT_STEER_CORES_MAX cores, 16 local ports that are listened on.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fal.h"

#define PORT_STEER_CORES_MAX 17u
#define PORT_STEER_PORTS_MAX 16u
#define PORT_STEER_ALL       UINT32_MAX

/* Local ports of own connects: each core has a range of its own. */
#define PORT_STEER_FIRST 32768u
#define PORT_STEER_COUNT 16384u

struct port_steer_claim {
	_Atomic uint32_t local_port; /* 0: free */
	_Atomic uint32_t cores;      /* bit per core that listens */
};

struct port_steer {
	uint32_t core_count;
	struct port_steer_claim claims[PORT_STEER_PORTS_MAX];
};

void port_steer_init(struct port_steer *steer, uint32_t core_count);

/* A core begins or ends listening on a port. Returns false when too many ports
 * are listened on: frames for it go to core 0. */
bool port_steer_claim(struct port_steer *steer, uint32_t core,
		      uint16_t local_port, bool is_claimed);

/* The first port of a core's range of local ports, and how many there are. */
uint16_t port_steer_range(const struct port_steer *steer, uint32_t core,
			  uint16_t *count);

/*
 * Tells whose a frame is.
 *
 * frame       bytes from the Ethernet header on, borrowed
 * self        the core that received it
 * is_chosen   the device's RSS brought it here: of several cores that listen on
 *             a port, self is as good as any, and stays it; an error about
 *             such a connection may be any one's
 *
 * Returns a core, or PORT_STEER_ALL: a copy for each.
 */
uint32_t port_steer_home(const struct port_steer *steer, const uint8_t *frame,
			 uint32_t bytes, uint32_t self, bool is_chosen);

#endif
