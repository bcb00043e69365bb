/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_PORT_POOL_H
#define FALCONER_DRIVERS_PORT_POOL_H

/*
 * port_pool - mbufs for a port.
 *
 * DPDK's own pool leaves a gap where an mbuf would cross the end of a page,
 * since a card needs each in one piece of physical memory. In huge pages that
 * is little. In ordinary ones it would be one mbuf in each 4 KiB, for nothing:
 * addresses of devices are virtual ones then (--iova-mode=va), so there is no
 * gap. The af_xdp driver of DPDK gives the kernel an area of count x size bytes
 * as if there were none, and the kernel refuses, or drops, what lies behind its
 * end. Its pool therefore is packed everywhere: the kernel copies there.
 *
 * Each core has a cache of a pool's mbufs, where those that it frees stay.
 * Where one core receives for others its mbufs are freed by them: what lies in
 * their caches it can neither use nor tell from what it can. So together they
 * are a sixteenth of the pool at the most, half of what TCP calls short.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mempool.h>

struct port_pool_options {
	const char *name;       /* of the DPDK object, unique in the process */
	uint32_t count;         /* mbufs */
	uint16_t private_bytes; /* of each mbuf, for its user */
	uint16_t room_bytes;    /* for a frame, headroom included */
	bool is_packed;         /* back to back in one area: af_xdp */
	uint32_t core_count;    /* that take and free them; 0 is 1 */
};

/* Makes a pool. Any thread after port_env_start(). The caller owns it and ends
 * it by rte_mempool_free(). NULL: no memory. */
struct rte_mempool *port_pool_make(const struct port_pool_options *options);

/* Bytes from the start of the first mbuf's object to the end of the last one's:
 * what a driver must cover. */
uint64_t port_pool_span(struct rte_mempool *pool);

#endif
