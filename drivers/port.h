/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_PORT_H
#define FALCONER_DRIVERS_PORT_H

/*
 * port - one rx and one tx queue of an Ethernet port, frames in mbufs.
 *
 * What the TCP/IP of dataplane/ runs on. A poll mode driver, or a pair of rings
 * in one process (drivers/port_ring.h), stands behind the table of functions.
 *
 * Context    one thread polls a port. Time is a parameter, so that a simulated
 *            wire can hold frames back.
 * Ownership  frames from port_rx() are given to the caller. port_tx() takes one
 *            reference of each frame it accepts; what it does not accept stays
 *            the caller's.
 * Limits     PORT_BURST_MAX frames a call.
 * Errors     none: a port that is down takes and gives nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#define PORT_BURST_MAX 32u
#define PORT_MAC_BYTES 6u

struct port;

struct port_ops {
	const char *name;
	uint16_t (*rx)(struct port *port, uint64_t now_ns,
		       struct rte_mbuf **frames, uint16_t count);
	uint16_t (*tx)(struct port *port, uint64_t now_ns,
		       struct rte_mbuf **frames, uint16_t count);
};

/* The head of every implementation's port. */
struct port {
	const struct port_ops *ops;
	uint8_t mac[PORT_MAC_BYTES];
	uint16_t mtu; /* bytes of an IP packet, 576..9000 */
};

/* Receives up to `count` frames; received checksums are judged by ol_flags of
 * each. Returns how many. */
static inline uint16_t
port_rx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	uint16_t count)
{
	return port->ops->rx(port, now_ns, frames, count);
}

/* Sends the first k frames. Returns k. */
static inline uint16_t
port_tx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	uint16_t count)
{
	return port->ops->tx(port, now_ns, frames, count);
}

#endif
