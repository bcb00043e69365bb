/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_dpdk_io - frames between the device, its queues and the cores.
 *
 * A core that sends for others does so in its rx, where it comes by in every
 * round. What the device does not take stays with the sender: the next rounds
 * try again, and when the ring before it is full, TCP keeps its segments.
 */
#include "drivers/port_dpdk_int.h"

#include <string.h>

#include <rte_ethdev.h>

#include "base/time.h"
#include "drivers/port_wait.h"

/* Sleeps of ports where nothing tells that a frame is there. */
#define MUTE_NAP_NS (200 * NS_PER_US)

/* ---- handing over ---- */

static void
wake(struct port_dpdk_core *to)
{
	if (to->doorbell != NULL)
		lcore_doorbell(to->doorbell);
}

/* Frames that one burst leaves for other cores. */
struct batches {
	uint32_t cores; /* bit per core with a batch */
	uint16_t count[PORT_STEER_CORES_MAX];
	struct rte_mbuf *frames[PORT_STEER_CORES_MAX][PORT_BURST_MAX];
};

static void
batch_add(struct batches *batches, uint32_t to, struct rte_mbuf *frame)
{
	if ((batches->cores & 1u << to) == 0) {
		batches->cores |= 1u << to;
		batches->count[to] = 0;
	}
	batches->frames[to][batches->count[to]++] = frame;
}

static void
batches_send(struct port_dpdk_core *core, struct batches *batches)
{
	while (batches->cores != 0) {
		const uint32_t to = (uint32_t)__builtin_ctz(batches->cores);
		const uint32_t count = batches->count[to];
		const uint32_t taken = rte_ring_sp_enqueue_burst(
			core->to[to], (void **)batches->frames[to], count,
			NULL);

		batches->cores &= batches->cores - 1;
		port_dpdk_count(&core->counters.handed_over, taken);
		/* TCP repairs it, as it would behind a full switch. */
		port_dpdk_count(&core->counters.hand_over_full, count - taken);
		rte_pktmbuf_free_bulk(batches->frames[to] + taken,
				      count - taken);
		wake(&core->device->cores[to]);
	}
}

/* A copy for each of the others. */
static void
batch_copies(struct port_dpdk_core *core, struct batches *batches,
	     struct rte_mbuf *frame)
{
	for (uint32_t to = 0; to < core->device->options.core_count; to++) {
		struct rte_mbuf *copy;

		if (to == core->index)
			continue;
		copy = rte_pktmbuf_copy(frame, core->pool, 0, UINT32_MAX);
		if (copy == NULL)
			port_dpdk_count(&core->counters.copies_failed, 1);
		else
			batch_add(batches, to, copy);
	}
}

/* Keeps this core's frames, in order, and hands over the others'. Returns how
 * many are kept. */
static uint16_t
sort(struct port_dpdk_core *core, struct rte_mbuf **frames, uint16_t count)
{
	const struct port_dpdk *device = core->device;
	struct batches batches;
	uint16_t kept = 0;

	batches.cores = 0;
	for (uint16_t i = 0; i < count; i++) {
		const bool is_chosen =
			device->has_rss &&
			(frames[i]->ol_flags & RTE_MBUF_F_RX_RSS_HASH) != 0;
		const uint32_t home = port_steer_home(
			&device->steer,
			rte_pktmbuf_mtod(frames[i], const uint8_t *),
			frames[i]->data_len, core->index, is_chosen);

		if (home == PORT_STEER_ALL)
			batch_copies(core, &batches, frames[i]);
		if (home == PORT_STEER_ALL || home == core->index)
			frames[kept++] = frames[i];
		else
			batch_add(&batches, home, frames[i]);
	}
	batches_send(core, &batches);
	return kept;
}

/* Takes what other cores have handed over. */
static uint16_t
take_over(struct port_dpdk_core *core, struct rte_mbuf **frames, uint16_t count)
{
	struct port_dpdk *device = core->device;
	uint16_t taken = 0;

	for (uint32_t i = 0; i < device->queue_count && taken < count; i++) {
		struct rte_ring *ring = device->cores[i].to[core->index];

		if (ring != NULL)
			taken = (uint16_t)(taken +
					   rte_ring_sc_dequeue_burst(
						   ring,
						   (void **)(frames + taken),
						   count - taken, NULL));
	}
	if (taken > 0)
		port_dpdk_count(&core->counters.taken_over, taken);
	return taken;
}

static bool
has_frames_from_others(const struct port_dpdk_core *core)
{
	const struct port_dpdk *device = core->device;

	for (uint32_t i = 0; i < device->options.core_count; i++) {
		const struct port_dpdk_core *other = &device->cores[i];

		if (other->to[core->index] != NULL &&
		    !rte_ring_empty(other->to[core->index]))
			return true;
		if (other->out != NULL && other->sender == core->index &&
		    !rte_ring_empty(other->out))
			return true;
	}
	return false;
}

/* ---- sending ---- */

static uint64_t
bytes_of(struct rte_mbuf **frames, uint16_t count)
{
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < count; i++)
		bytes += rte_pktmbuf_pkt_len(frames[i]);
	return bytes;
}

/* Shows frames to whoever captures. */
static void
show(struct port_dpdk_core *core, struct rte_mbuf *const *frames,
     uint16_t count)
{
	/* Pairs with the release in capture_begin(). */
	struct port_capture *capture = atomic_load_explicit(
		&core->device->capture, memory_order_acquire);

	if (FAL_UNLIKELY(capture != NULL))
		port_capture_frames(capture, core->index, frames, count);
}

/* Lets the driver look at frames of which it is to cut some. Returns how many
 * it is able to send; if that is not even the first one, drops it. */
static uint16_t
prepare_burst(struct port_dpdk_core *core, struct rte_mbuf **frames,
	      uint16_t count)
{
	const uint16_t fit = rte_eth_tx_prepare(core->device->port_id,
						core->queue, frames, count);

	if (FAL_UNLIKELY(fit == 0)) {
		rte_pktmbuf_free(frames[0]);
		port_dpdk_count(&core->counters.tx_unfit, 1);
	}
	return fit;
}

/* Sends the first k frames through the core's queue; returns k. */
static uint16_t
send_burst(struct port_dpdk_core *core, struct rte_mbuf **frames,
	   uint16_t count)
{
	uint64_t bytes;

	if ((core->device->tx_offloads & PORT_TX_TCP_SEGMENTS) != 0) {
		count = prepare_burst(core, frames, count);
		if (FAL_UNLIKELY(count == 0))
			return 1;
	}
	/* Counted before: the driver frees what it takes. */
	bytes = bytes_of(frames, count);
	/* Shown before for the same reason, and again if sent again. */
	show(core, frames, count);

	const uint16_t taken = rte_eth_tx_burst(core->device->port_id,
						core->queue, frames, count);

	if (taken < count) {
		bytes -= bytes_of(frames + taken, (uint16_t)(count - taken));
		port_dpdk_count(&core->counters.tx_refused,
				(uint64_t)count - taken);
	}
	port_dpdk_count(&core->counters.tx_frames, taken);
	port_dpdk_count(&core->counters.tx_bytes, bytes);
	return taken;
}

/* Sends for one core that has no queue, as far as the device takes it. */
static void
send_for_one(struct port_dpdk_core *core, struct rte_ring *out)
{
	for (;;) {
		uint16_t taken;

		if (core->unsent_count == 0)
			core->unsent_count =
				(uint16_t)rte_ring_sc_dequeue_burst(
					out, (void **)core->unsent,
					PORT_BURST_MAX, NULL);
		if (core->unsent_count == 0)
			return;
		taken = send_burst(core, core->unsent, core->unsent_count);
		core->unsent_count = (uint16_t)(core->unsent_count - taken);
		memmove(core->unsent, core->unsent + taken,
			core->unsent_count * sizeof(core->unsent[0]));
		if (core->unsent_count > 0)
			return;
	}
}

static void
send_for_others(struct port_dpdk_core *core)
{
	struct port_dpdk *device = core->device;

	for (uint32_t i = device->queue_count; i < device->options.core_count;
	     i++)
		if (device->cores[i].sender == core->index)
			send_for_one(core, device->cores[i].out);
}

void
port_dpdk_send_rest(struct port_dpdk *device)
{
	if (!atomic_load_explicit(&device->is_open, memory_order_relaxed))
		return;
	for (uint32_t i = 0; i < device->queue_count; i++)
		send_for_others(&device->cores[i]);
}

/* ---- the port ---- */

static uint16_t
take_stash(struct port_dpdk_core *core, struct rte_mbuf **frames,
	   uint16_t count)
{
	const uint16_t left = (uint16_t)(core->stash_count - core->stash_at);
	const uint16_t taken = left < count ? left : count;

	memcpy(frames, core->stash + core->stash_at, taken * sizeof(frames[0]));
	core->stash_at = (uint16_t)(core->stash_at + taken);
	if (core->stash_at == core->stash_count) {
		core->stash_at = 0;
		core->stash_count = 0;
	}
	return taken;
}

static uint16_t
receive(struct port_dpdk_core *core, struct rte_mbuf **frames, uint16_t count)
{
	uint16_t received;

	if (core->stash_count > 0)
		return take_stash(core, frames, count);
	received = rte_eth_rx_burst(core->device->port_id, core->queue, frames,
				    count);
	if (received == 0)
		return 0;
	port_dpdk_count(&core->counters.rx_frames, received);
	port_dpdk_count(&core->counters.rx_bytes, bytes_of(frames, received));
	show(core, frames, received);
	return received;
}

static uint16_t
op_rx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
      uint16_t count)
{
	struct port_dpdk_core *core = port_dpdk_core_of(port);
	const bool is_alone = core->device->options.core_count == 1;
	uint16_t taken = 0;

	(void)now_ns;
	if (FAL_LIKELY(port_dpdk_pass_gate(core)) &&
	    core->queue != PORT_DPDK_NONE) {
		taken = receive(core, frames, count);
		if (!is_alone) {
			taken = sort(core, frames, taken);
			send_for_others(core);
		}
	}
	if (!is_alone)
		taken = (uint16_t)(taken +
				   take_over(core, frames + taken,
					     (uint16_t)(count - taken)));
	return taken;
}

static uint16_t
op_tx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
      uint16_t count)
{
	struct port_dpdk_core *core = port_dpdk_core_of(port);
	uint16_t taken;

	(void)now_ns;
	if (!port_dpdk_pass_gate(core))
		return 0;
	if (core->queue != PORT_DPDK_NONE)
		return send_burst(core, frames, count);
	taken = (uint16_t)rte_ring_sp_enqueue_burst(core->out, (void **)frames,
						    count, NULL);
	port_dpdk_count(&core->counters.tx_refused, (uint64_t)count - taken);
	if (taken > 0)
		wake(&core->device->cores[core->sender]);
	return taken;
}

static void
op_claim(struct port *port, uint16_t local_port, bool is_claimed)
{
	struct port_dpdk_core *core = port_dpdk_core_of(port);

	/* More ports than places: core 0 gets the frames, and says so by RST,
	 * which a test of the configuration shows at once. */
	port_steer_claim(&core->device->steer, core->index, local_port,
			 is_claimed);
}

/* ---- sleeping ---- */

/* The descriptor that becomes readable when a frame comes; -1: none. */
static int
arm(struct port_dpdk_core *core)
{
	const struct port_dpdk *device = core->device;

	if (core->queue == PORT_DPDK_NONE)
		return -1;
	if (device->kind == PORT_DPDK_PACKET || device->kind == PORT_DPDK_XDP)
		return core->frames_fd;
	if (!device->has_interrupts)
		return -1;
	if (device->kind == PORT_DPDK_OTHER &&
	    rte_eth_dev_rx_intr_enable(device->port_id, core->queue) != 0)
		return -1;
	return rte_eth_dev_rx_intr_ctl_q_get_fd(device->port_id, core->queue);
}

static void
disarm(struct port_dpdk_core *core)
{
	const struct port_dpdk *device = core->device;

	if (core->queue != PORT_DPDK_NONE && device->has_interrupts &&
	    device->kind == PORT_DPDK_OTHER)
		rte_eth_dev_rx_intr_disable(device->port_id, core->queue);
}

/* The last look before a sleep: frames that came before the descriptor was
 * armed would not make it readable. */
static bool
has_frames(struct port_dpdk_core *core)
{
	if (core->queue == PORT_DPDK_NONE)
		return false;
	if (core->stash_count == 0) {
		core->stash_count = receive(core, core->stash, PORT_BURST_MAX);
		core->stash_at = 0;
	}
	return core->stash_count > 0;
}

static void
op_wait(struct port *port, int doorbell_fd, uint64_t timeout_ns)
{
	struct port_dpdk_core *core = port_dpdk_core_of(port);
	const struct port_dpdk *device = core->device;
	int fd = -1;

	if (port_dpdk_pass_gate(core)) {
		fd = arm(core);
		if (has_frames(core) || has_frames_from_others(core)) {
			disarm(core);
			return;
		}
		if (fd < 0 && core->queue != PORT_DPDK_NONE &&
		    timeout_ns > MUTE_NAP_NS)
			timeout_ns = MUTE_NAP_NS;
	}
	port_dpdk_count(&core->counters.sleeps, 1);
	port_wait_fds(doorbell_fd, fd, device->kind == PORT_DPDK_OTHER,
		      timeout_ns);
	if (fd >= 0 && port_dpdk_pass_gate(core))
		disarm(core);
}

const struct port_ops port_dpdk_ops = {
	.name = "dpdk",
	.rx = op_rx,
	.tx = op_tx,
	.wait = op_wait,
	.claim = op_claim,
};

static void
ring_drop(struct rte_ring *ring)
{
	void *frame;

	while (ring != NULL && rte_ring_sc_dequeue(ring, &frame) == 0)
		rte_pktmbuf_free(frame);
}

void
port_dpdk_drop(struct port_dpdk_core *core)
{
	for (uint32_t i = 0; i < PORT_STEER_CORES_MAX; i++)
		ring_drop(core->to[i]);
	ring_drop(core->out);
	for (; core->stash_at < core->stash_count; core->stash_at++)
		rte_pktmbuf_free(core->stash[core->stash_at]);
	core->stash_at = 0;
	core->stash_count = 0;
	while (core->unsent_count > 0)
		rte_pktmbuf_free(core->unsent[--core->unsent_count]);
}
