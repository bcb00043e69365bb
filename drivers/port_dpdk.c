/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_dpdk - what the control thread sees of a device: its ports, its link,
 * its counters.
 */
#include "drivers/port_dpdk.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "base/log.h"
#include "drivers/port_dpdk_int.h"

struct port *
port_dpdk_port(struct port_dpdk *device, uint32_t core)
{
	FAL_ASSERT(core < device->options.core_count);
	return &device->cores[core].port;
}

struct rte_mempool *
port_dpdk_pool(struct port_dpdk *device, uint32_t core)
{
	FAL_ASSERT(core < device->options.core_count);
	return device->cores[core].pool;
}

void
port_dpdk_doorbell(struct port_dpdk *device, uint32_t core, struct lcore *lcore)
{
	FAL_ASSERT(core < device->options.core_count);
	device->cores[core].doorbell = lcore;
}

uint16_t
port_dpdk_range(const struct port_dpdk *device, uint32_t core, uint16_t *count)
{
	return port_steer_range(&device->steer, core, count);
}

const char *
port_dpdk_name(const struct port_dpdk *device)
{
	return device->name;
}

void
port_dpdk_watch(struct port_dpdk *device)
{
	struct rte_eth_link link;
	bool is_up;

	/* For virtio-user this call is also what reconnects it. */
	if (rte_eth_link_get_nowait(device->port_id, &link) != 0)
		return;
	is_up = link.link_status == RTE_ETH_LINK_UP;
	if (is_up == atomic_load_explicit(&device->is_up, memory_order_relaxed))
		return;
	atomic_store_explicit(&device->is_up, is_up, memory_order_relaxed);
	device->link_changes++;
	if (is_up)
		LOG_INFO("port %s: the link is up", device->name);
	else
		LOG_WARN("port %s: the link is down; clients are served again "
			 "when it is back",
			 device->name);
}

void
port_dpdk_counters(const struct port_dpdk *device, uint32_t core,
		   struct port_dpdk_counters *counters)
{
	const struct port_dpdk_core *from = &device->cores[core];

#define PORT_COUNTER(name, what)                                    \
	counters->name = atomic_load_explicit(&from->counters.name, \
					      memory_order_relaxed);
	PORT_COUNTERS(PORT_COUNTER)
#undef PORT_COUNTER
}

void
port_dpdk_stats(struct port_dpdk *device, struct port_dpdk_stats *stats)
{
	struct rte_eth_stats from;

	memset(stats, 0, sizeof(*stats));
	if (!device->is_gone &&
	    rte_eth_stats_get(device->port_id, &from) == 0) {
		stats->rx_missed = from.imissed;
		stats->rx_errors = from.ierrors;
		stats->tx_errors = from.oerrors;
		stats->rx_no_mbuf = from.rx_nombuf;
	}
	stats->link_changes = device->link_changes;
	stats->losses = device->losses;
	stats->queues = device->queue_count;
	stats->is_up =
		atomic_load_explicit(&device->is_up, memory_order_relaxed);
	for (uint32_t i = 0; i < device->options.core_count; i++) {
		stats->mbufs += device->options.mbufs;
		stats->mbufs_free +=
			rte_mempool_avail_count(device->cores[i].pool);
	}
}
