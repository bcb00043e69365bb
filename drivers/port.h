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
 *            wire can hold frames back. port_claim() may be called by another
 *            before that thread runs.
 * Ownership  frames from port_rx() are given to the caller. port_tx() takes one
 *            reference of each frame it accepts; what it does not accept stays
 *            the caller's.
 * Limits     PORT_BURST_MAX frames a call.
 * Errors     none: a port that is down takes and gives nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "base/fal.h"

#define PORT_BURST_MAX 32u
#define PORT_MAC_BYTES 6u

struct port;

struct port_ops {
	const char *name;
	uint16_t (*rx)(struct port *port, uint64_t now_ns,
		       struct rte_mbuf **frames, uint16_t count);
	uint16_t (*tx)(struct port *port, uint64_t now_ns,
		       struct rte_mbuf **frames, uint16_t count);
	/* NULL: the port is never waited for */
	void (*wait)(struct port *port, int doorbell_fd, uint64_t timeout_ns);
	/* NULL: nobody shares the port */
	void (*claim)(struct port *port, uint16_t local_port, bool is_claimed);
};

/*
 * What the sender may leave to the port, frame by frame, as DPDK has it: the
 * flags and lengths of the mbuf say so.
 *
 * PORT_TX_TCP_CHECKSUM  the checksum of TCP over either IP; its field holds the
 *                       sum of the pseudo header
 * PORT_TX_TCP_SEGMENTS  that, and cutting a chain of mbufs over IPv4 into
 *                       segments; the sum is without a length, the checksum of
 *                       IP is the port's as well
 */
enum port_tx_offload {
	PORT_TX_TCP_CHECKSUM = 1,
	PORT_TX_TCP_SEGMENTS = 2,
};

/* The head of every implementation's port. */
struct port {
	const struct port_ops *ops;
	uint8_t mac[PORT_MAC_BYTES];
	uint16_t mtu;         /* bytes of an IP packet, 576..9000 */
	uint32_t tx_offloads; /* enum port_tx_offload */
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

/*
 * Sleeps until a frame may be there, the doorbell rings or the time is over;
 * may return early without a cause.
 *
 * doorbell_fd  an eventfd, emptied when it rang; -1: none
 * timeout_ns   UINT64_MAX: no limit
 */
static inline void
port_wait(struct port *port, int doorbell_fd, uint64_t timeout_ns)
{
	FAL_ASSERT(port->ops->wait != NULL);
	port->ops->wait(port, doorbell_fd, timeout_ns);
}

/* Tells that the TCP on this port listens on a local port, or no longer does:
 * where several cores share a device, frames for it are steered here. */
static inline void
port_claim(struct port *port, uint16_t local_port, bool is_claimed)
{
	if (port->ops->claim != NULL)
		port->ops->claim(port, local_port, is_claimed);
}

#endif
