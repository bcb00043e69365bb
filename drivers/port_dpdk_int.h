/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_PORT_DPDK_INT_H
#define FALCONER_DRIVERS_PORT_DPDK_INT_H

/*
 * port_dpdk_int - what the files of port_dpdk share.
 *
 *   core a            rings                      core b
 *   rx burst  --> not a's? --> to[b] of a ------> taken in rx of b
 *   tx        --> no queue of its own: out ------> sent in rx of b, its sender
 *
 * The gate: cores may touch the device while `is_open` is set. Whoever wants to
 * replace it closes the gate, wakes the cores, and waits until each has passed
 * the gate once more (port_dpdk_passed()).
 */

#include <rte_ring.h>

#include "drivers/port_capture.h"
#include "drivers/port_dpdk.h"

#define PORT_DPDK_NONE UINT16_MAX

enum port_dpdk_kind {
	PORT_DPDK_OTHER = 0, /* cards, virtio: interrupts by eventfd        */
	PORT_DPDK_TAP,       /* the descriptor of the device is readable    */
	PORT_DPDK_PACKET,    /* af_packet: the socket is found by search    */
	PORT_DPDK_XDP,       /* af_xdp: likewise                            */
	PORT_DPDK_MUTE,      /* nothing tells that a frame is there         */
};

/* One per core. Written by its core; the counters are read by others. */
struct port_dpdk_core {
	_Alignas(FAL_CACHE_LINE_BYTES) struct port port; /* first */
	struct port_dpdk *device;
	uint16_t index;
	uint16_t queue;  /* PORT_DPDK_NONE: it has none */
	uint16_t sender; /* the core that sends for it, itself if it can */
	int frames_fd;   /* -1: none, or asked from DPDK each time */
	struct rte_mempool *pool;
	struct lcore *doorbell;
	/* What this core hands over, by receiver; NULL to itself. */
	struct rte_ring *to[PORT_STEER_CORES_MAX];
	/* What others want this core to send; NULL if it has a queue. */
	struct rte_ring *out;
	/* Frames that arrived while it went to sleep. */
	struct rte_mbuf *stash[PORT_BURST_MAX];
	uint16_t stash_count, stash_at;
	/* Taken from a ring of senders, refused by the device so far. */
	struct rte_mbuf *unsent[PORT_BURST_MAX];
	uint16_t unsent_count;
	_Atomic uint64_t gate_passes;
	struct {
#define PORT_COUNTER(name, what) _Atomic uint64_t name;
		PORT_COUNTERS(PORT_COUNTER)
#undef PORT_COUNTER
	} counters;
};

struct port_dpdk {
	struct port_dpdk_options options;
	uint32_t serial; /* part of the names of its pools and rings */
	enum port_dpdk_kind kind;
	char name[64]; /* of the device in DPDK */
	char *device;  /* the whole text of the option */
	uint16_t port_id;
	uint32_t tx_offloads; /* enum port_tx_offload */
	uint16_t queue_count;
	bool has_rss;
	bool has_interrupts;
	bool is_gone;    /* closed; looked for again by port_dpdk_watch() */
	bool has_mac;    /* of the first start; kept when the device returns */
	uint32_t missed; /* looks in a row at a device that is not there */
	_Atomic bool is_open;
	_Atomic bool is_up;
	uint64_t link_changes, losses;
	/* What the cores note frames in; NULL: nothing. */
	struct port_capture *_Atomic capture;
	/* "FILE[,FILTER]" or "" (stop), left by telemetry, freed by who takes
	 * it. */
	char *_Atomic order;
	struct port_steer steer;
	struct port_dpdk_core cores[PORT_STEER_CORES_MAX];
};

static inline struct port_dpdk_core *
port_dpdk_core_of(struct port *port)
{
	return (struct port_dpdk_core *)(void *)port;
}

static inline void
port_dpdk_count(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_store_explicit(
		counter,
		atomic_load_explicit(counter, memory_order_relaxed) + more,
		memory_order_relaxed);
}

/* Whether the core may touch the device in this call; notes that it looked. */
static inline bool
port_dpdk_pass_gate(struct port_dpdk_core *core)
{
	/* Pairs with the acquire of whoever waits for the passes: what this
	 * core did to the device before is over. */
	atomic_store_explicit(
		&core->gate_passes,
		atomic_load_explicit(&core->gate_passes, memory_order_relaxed) +
			1,
		memory_order_release);
	return atomic_load_explicit(&core->device->is_open,
				    memory_order_acquire);
}

/* ---- port_dpdk_io.c: frames ---- */

extern const struct port_ops port_dpdk_ops;

/* What cores without a queue have sent at last; when no core polls any more. */
void port_dpdk_send_rest(struct port_dpdk *device);
/* Frees what a core holds in rings and stash. */
void port_dpdk_drop(struct port_dpdk_core *core);

/* ---- port_telemetry.c: dpdk-telemetry.py ---- */

/* Answers for this device from now on; NULL: for none. */
void port_dpdk_telemetry(struct port_dpdk *device);

/* ---- port_dpdk_device.c: probing, queues, link ---- */

/* Writes the value of "key=value" among a device's arguments. */
bool port_dpdk_argument(const char *device, const char *key, char *value,
			size_t room);

/* Finds or makes the device and starts its queues. */
FAL_MUST_CHECK int port_dpdk_open(struct port_dpdk *device,
				  struct port_error *error);
void port_dpdk_close(struct port_dpdk *device);

#endif
