/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_PORT_RING_H
#define FALCONER_DRIVERS_PORT_RING_H

/*
 * port_ring - two ports in one process joined by a wire that can be bad.
 *
 * Each sent frame is copied into a fresh mbuf of the receiver, so both ends own
 * what they hold, and passes the impairments in this order: loss, corruption
 * (one bit of an IPv4 payload), duplication, extra delay (reorder). All chance
 * comes from one seeded generator: the same calls give the same wire.
 *
 * Context    one thread polls both ends.
 * Ownership  the pair owns frames on the wire; port_ring_destroy() frees them.
 * Limits     PORT_RING_FRAMES frames on the wire a direction; more are lost and
 *            counted, as in a switch.
 * Errors     FAL_ENOMEM from port_ring_create() only; a frame for which there
 *            is no mbuf is lost and counted.
 */

#include "base/fal.h"
#include "drivers/port.h"

#define PORT_RING_FRAMES 1024u

/* Chances in thousandths of a frame; times in ns. */
struct port_ring_impairment {
	uint16_t loss;
	uint16_t corruption;
	uint16_t duplication;
	uint16_t reorder;
	uint64_t delay_ns;         /* of every frame                 */
	uint64_t reorder_delay_ns; /* on top, of frames held back    */
};

struct port_ring_counters {
	uint64_t sent, lost, corrupted, duplicated, reordered, overflows;
};

struct port_ring;

/* Makes a pair; pool serves both directions, lent. */
FAL_MUST_CHECK int port_ring_create(struct rte_mempool *pool, uint64_t seed,
				    uint16_t mtu, struct port_ring **ring);

/* Frees the pair and the frames on the wire. */
void port_ring_destroy(struct port_ring *ring);

/* One end, 0 or 1; its MAC is 02:00:00:00:00:01 or :02. */
struct port *port_ring_end(struct port_ring *ring, uint32_t end);

/* Changes the wire in both directions for frames sent from now on. */
void port_ring_impair(struct port_ring *ring,
		      const struct port_ring_impairment *impairment);

/* When the next frame arrives at an end, UINT64_MAX: none is on the wire. */
uint64_t port_ring_next_ns(const struct port_ring *ring);

/* What has happened on the wire so far. */
const struct port_ring_counters *port_ring_counters(
	const struct port_ring *ring);

#endif
