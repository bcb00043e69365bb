/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_dpdk - what the control thread sees of a device: its ports, its link,
 * its counters.
 */
#include "drivers/port_dpdk.h"

#include <net/if.h>
#include <stdlib.h>
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

/* ---- the device comes and goes ---- */

/* Passes that a core must make after the gate has closed: the first may have
 * begun before, the second looked at it before our store was seen. */
#define PASSES 3u

/* Cores pass every round; a longer pause is a stall, looked at again later. */
#define PASS_WAIT_US 1000000u

/* Looks in a row that must miss the device: one may fall between its end and
 * its replacement. */
#define MISSED_MAX 2u

/* Waits until each core has passed the gate, so that it does nothing any more
 * that it began before. */
static bool
wait_passes(struct port_dpdk *device)
{
	uint64_t passes[PORT_STEER_CORES_MAX];
	uint32_t waited_us = 0;

	for (uint32_t i = 0; i < device->options.core_count; i++) {
		passes[i] = atomic_load_explicit(&device->cores[i].gate_passes,
						 memory_order_acquire);
		if (device->cores[i].doorbell != NULL)
			lcore_wake(device->cores[i].doorbell);
	}
	for (uint32_t i = 0; i < device->options.core_count;) {
		const uint64_t now = atomic_load_explicit(
			&device->cores[i].gate_passes, memory_order_acquire);

		if (now - passes[i] >= PASSES) {
			i++;
			continue;
		}
		if (waited_us >= PASS_WAIT_US)
			return false;
		/* It may have gone to sleep again. */
		if (device->cores[i].doorbell != NULL)
			lcore_wake(device->cores[i].doorbell);
		usleep(100);
		waited_us += 100;
	}
	return true;
}

/* Closes the gate and waits until no core touches the device. */
static bool
shut_out(struct port_dpdk *device)
{
	atomic_store_explicit(&device->is_open, false, memory_order_seq_cst);
	return wait_passes(device);
}

static void
lose(struct port_dpdk *device)
{
	LOG_WARN("port %s: the device is gone; clients are served again when "
		 "it is back",
		 device->name);
	device->losses++;
	atomic_store_explicit(&device->is_up, false, memory_order_relaxed);
	if (!shut_out(device)) {
		LOG_WARN("port %s: a core does not let go of it", device->name);
		device->missed = 0;
		atomic_store_explicit(&device->is_open, true,
				      memory_order_release);
		return;
	}
	port_dpdk_close(device);
	device->is_gone = true;
}

/* Whether it is worth asking the driver, which says so loudly if not. */
static bool
may_be_back(struct port_dpdk *device)
{
	char netdev[IF_NAMESIZE];

	if (device->kind == PORT_DPDK_XDP || device->kind == PORT_DPDK_PACKET)
		return port_dpdk_argument(device->options.device, "iface",
					  netdev, sizeof(netdev)) &&
		       if_nametoindex(netdev) != 0;
	/* A process on the other side: every five looks. */
	return device->kind == PORT_DPDK_TAP || ++device->missed % 5 == 0;
}

static void
find_again(struct port_dpdk *device)
{
	struct port_error error;

	if (!may_be_back(device) || port_dpdk_open(device, &error) != 0)
		return;
	device->is_gone = false;
	device->missed = 0;
	if (device->options.on_return != NULL)
		device->options.on_return(device->options.arg);
	atomic_store_explicit(&device->is_open, true, memory_order_release);
	LOG_INFO("port %s: the device is back", device->name);
}

/* Whether what stands behind the device has gone for good: the netdev was
 * deleted, or the process on the other side of a virtio-user that only
 * connects once. */
static bool
is_lost(const struct port_dpdk *device, bool is_up)
{
	char text[IF_NAMESIZE];

	if (device->kind == PORT_DPDK_TAP || device->kind == PORT_DPDK_XDP ||
	    device->kind == PORT_DPDK_PACKET)
		return port_dpdk_argument(device->options.device, "iface", text,
					  sizeof(text)) &&
		       if_nametoindex(text) == 0;
	return !is_up && strncmp(device->name, "net_virtio_user", 15) == 0 &&
	       !port_dpdk_argument(device->options.device, "server", text,
				   sizeof(text));
}

static void
note_link(struct port_dpdk *device, bool is_up)
{
	if (is_up == atomic_load_explicit(&device->is_up, memory_order_relaxed))
		return;
	atomic_store_explicit(&device->is_up, is_up, memory_order_relaxed);
	device->link_changes++;
	if (is_up)
		LOG_INFO("port %s: the link is up", device->name);
	else
		LOG_WARN("port %s: the link is down; clients are served again "
			 "when it is up",
			 device->name);
}

/* ---- captures ---- */

static void
capture_end(struct port_dpdk *device)
{
	struct port_capture *capture = atomic_exchange_explicit(
		&device->capture, NULL, memory_order_seq_cst);
	uint64_t written, lost;

	if (capture == NULL)
		return;
	/* A core that stalls may hold it still: then it is never freed. */
	if (!wait_passes(device))
		return;
	if (port_capture_drain(capture) != 0)
		LOG_WARN("port %s: the capture could not be written",
			 device->name);
	port_capture_counts(capture, &written, &lost);
	port_capture_stop(capture);
	LOG_INFO("port %s: the capture ended, %llu frames, %llu found no room",
		 device->name, (unsigned long long)written,
		 (unsigned long long)lost);
}

/* order  "FILE[,FILTER]", changed */
static void
capture_begin(struct port_dpdk *device, char *order)
{
	char *comma = strchr(order, ',');
	struct port_capture *capture;
	int err;

	if (comma != NULL)
		*comma = '\0';
	err = port_capture_start(order, comma != NULL ? comma + 1 : NULL,
				 device->options.core_count, &capture);
	if (err != 0) {
		LOG_WARN("port %s: no capture into %.200s: %s", device->name,
			 order, fal_err_str(err));
		return;
	}
	/* Pairs with the acquire in show(). */
	atomic_store_explicit(&device->capture, capture, memory_order_release);
	LOG_INFO("port %s: captures into %.200s", device->name, order);
}

static void
capture_serve(struct port_dpdk *device)
{
	struct port_capture *capture =
		atomic_load_explicit(&device->capture, memory_order_relaxed);
	/* Pairs with the exchange in port_telemetry.c. */
	char *order = atomic_exchange_explicit(&device->order, NULL,
					       memory_order_acq_rel);

	if (order != NULL) {
		capture_end(device);
		if (order[0] != '\0')
			capture_begin(device, order);
		free(order);
	} else if (capture != NULL && port_capture_drain(capture) != 0) {
		LOG_WARN("port %s: the capture cannot be written",
			 device->name);
		capture_end(device);
	}
}

void
port_dpdk_watch(struct port_dpdk *device)
{
	struct rte_eth_link link = {0};
	bool is_up;

	capture_serve(device);
	if (device->is_gone) {
		find_again(device);
		return;
	}
	/* For virtio-user with server=1 this call is what reconnects it. */
	is_up = rte_eth_link_get_nowait(device->port_id, &link) == 0 &&
		link.link_status == RTE_ETH_LINK_UP;
	if (!is_lost(device, is_up)) {
		device->missed = 0;
		note_link(device, is_up);
		return;
	}
	if (++device->missed >= MISSED_MAX)
		lose(device);
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
