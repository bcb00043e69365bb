/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_PORT_DPDK_H
#define FALCONER_DRIVERS_PORT_DPDK_H

/*
 * port_dpdk - a device of DPDK, shared by the poll cores of the server.
 *
 * Each core gets a struct port of its own. If the device has a queue for each,
 * a core polls its own; if not, core i < queues polls queue i, and the others
 * receive through rings what those hand over, and send through core i mod
 * queues. Whoever receives a frame looks whose it is (drivers/port_steer.h) and
 * hands it over if need be, so it does not matter how the device spreads them.
 *
 * Devices are named as DPDK does: "net_tap0,iface=fal0",
 * "net_vhost0,iface=/run/ falconer.sock", "net_af_packet0,iface=eth1",
 * "net_af_xdp0,iface=eth1", or a PCI address, "0000:03:00.0".
 *
 * A device whose link goes down, or that disappears, takes and gives nothing;
 * port_dpdk_watch() notices, says so, and brings it back when it can.
 *
 * Context    start, stop, watch, counters: the control thread. The ports: one
 *            poll core each.
 * Ownership  ports and pools live from start to stop.
 * Limits     PORT_STEER_CORES_MAX cores; rings of PORT_DPDK_RING frames between
 *            two of them, what is more is dropped and counted.
 * Errors     FAL_EINVAL, FAL_ENOTSUP, FAL_ENOMEM, FAL_EIO, with a sentence that
 *            names the remedy.
 */

#include <stdatomic.h>

#include "drivers/lcore.h"
#include "drivers/port.h"
#include "drivers/port_env.h"
#include "drivers/port_steer.h"

#define PORT_DPDK_RING 1024u

struct port_dpdk;

struct port_dpdk_options {
	const char *device; /* see above */
	uint32_t core_count;
	uint16_t queues_max; /* 0: as many as there are cores */
	uint16_t mtu;        /* bytes of an IP packet */
	uint32_t mbufs;      /* per core */
	uint16_t mbuf_private_bytes;
	bool may_sleep; /* cores block when idle: arm interrupts */
	/* The device is back and its netdev a new one; NULL: nobody cares. */
	void (*on_return)(void *arg);
	void *arg;
};

/* X(name, what it counts), per core; 64 bits each, they only grow. */
#define PORT_COUNTERS(X)                                            \
	X(rx_frames, "frames the core received")                    \
	X(rx_bytes, "bytes of them")                                \
	X(tx_frames, "frames the device took from the core")        \
	X(tx_bytes, "bytes of them")                                \
	X(tx_refused, "frames the device did not take at once")     \
	X(tx_unfit, "frames dropped: the driver cannot send them")  \
	X(handed_over, "frames of other cores passed on to them")   \
	X(taken_over, "frames that other cores passed on to this")  \
	X(hand_over_full, "frames dropped: the ring was full")      \
	X(copies_failed, "copies for all cores that found no mbuf") \
	X(sleeps, "times the core waited for frames")

struct port_dpdk_counters {
#define PORT_COUNTER(name, what) uint64_t name;
	PORT_COUNTERS(PORT_COUNTER)
#undef PORT_COUNTER
};

/* What the device itself counts. */
struct port_dpdk_stats {
	uint64_t rx_missed; /* no descriptor was free */
	uint64_t rx_errors;
	uint64_t tx_errors;
	uint64_t rx_no_mbuf;
	uint64_t link_changes; /* up or down, since start */
	uint64_t losses;       /* times the device disappeared */
	uint32_t mbufs_free;   /* of all pools */
	uint32_t mbufs;        /* in all */
	uint32_t queues;
	bool is_up;
};

/* Makes the device ready; port_env_start() has been called. */
FAL_MUST_CHECK int port_dpdk_start(const struct port_dpdk_options *options,
				   struct port_dpdk **device,
				   struct port_error *error);

/* Stops and frees it; no core polls any more and no frame is held. */
void port_dpdk_stop(struct port_dpdk *device);

/* The port of a core. */
struct port *port_dpdk_port(struct port_dpdk *device, uint32_t core);

/* The pool whose mbufs this core receives and sends. */
struct rte_mempool *port_dpdk_pool(struct port_dpdk *device, uint32_t core);

/* The doorbell that wakes a core when it is handed a frame; lent. Before the
 * cores run. */
void port_dpdk_doorbell(struct port_dpdk *device, uint32_t core,
			struct lcore *lcore);

/* The local ports of a core's own connects. */
uint16_t port_dpdk_range(const struct port_dpdk *device, uint32_t core,
			 uint16_t *count);

/* The name the device has in DPDK, "net_tap0". */
const char *port_dpdk_name(const struct port_dpdk *device);

/* Looks at the link and repairs what can be repaired; every 100 ms or so. */
void port_dpdk_watch(struct port_dpdk *device);

/* Counters of one core; any thread. */
void port_dpdk_counters(const struct port_dpdk *device, uint32_t core,
			struct port_dpdk_counters *counters);

/* Counters of the device. */
void port_dpdk_stats(struct port_dpdk *device, struct port_dpdk_stats *stats);

#endif
