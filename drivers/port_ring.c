/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_ring - see port_ring.h.
 *
 * Each direction is an array sorted by arrival time. Frames mostly arrive in
 * the order they are sent, so an insertion from the back moves little.
 */

#include "drivers/port_ring.h"

#include <stdlib.h>
#include <string.h>

struct port_ring_frame {
	uint64_t arrives_ns;
	struct rte_mbuf *mbuf;
};

struct port_ring_end {
	struct port port; /* first: the ops cast back */
	struct port_ring *ring;
	uint32_t index;
	uint32_t count; /* frames that travel towards this end */
	struct port_ring_frame frames[PORT_RING_FRAMES];
};

struct port_ring {
	struct rte_mempool *pool;
	uint64_t random;
	struct port_ring_impairment impairment;
	struct port_ring_counters counters;
	struct port_ring_end ends[2];
};

/* splitmix64, by its public description. */
static uint64_t
port_ring_random(struct port_ring *ring)
{
	uint64_t z = ring->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static bool
port_ring_chance(struct port_ring *ring, uint16_t thousandths)
{
	return thousandths != 0 && port_ring_random(ring) % 1000 < thousandths;
}

static void
port_ring_insert(struct port_ring *ring, struct port_ring_end *to,
		 struct rte_mbuf *mbuf, uint64_t arrives_ns)
{
	uint32_t at = to->count;

	if (to->count == PORT_RING_FRAMES) {
		ring->counters.overflows++;
		rte_pktmbuf_free(mbuf);
		return;
	}
	for (; at > 0 && to->frames[at - 1].arrives_ns > arrives_ns; at--)
		to->frames[at] = to->frames[at - 1];
	to->frames[at].arrives_ns = arrives_ns;
	to->frames[at].mbuf = mbuf;
	to->count++;
}

static void
port_ring_carry(struct port_ring *ring, struct port_ring_end *to,
		const struct rte_mbuf *sent, uint64_t now_ns)
{
	const struct port_ring_impairment *bad = &ring->impairment;
	uint64_t arrives_ns = now_ns + bad->delay_ns;
	struct rte_mbuf *copy = rte_pktmbuf_alloc(ring->pool);
	uint8_t *bytes = NULL;

	if (copy != NULL)
		bytes = (uint8_t *)rte_pktmbuf_append(copy, sent->data_len);
	if (bytes == NULL) {
		rte_pktmbuf_free(copy);
		ring->counters.overflows++;
		return;
	}
	memcpy(bytes, rte_pktmbuf_mtod(sent, const uint8_t *), sent->data_len);
	/* IPv4 payload only: ARP has no checksum but Ethernet's. */
	if (port_ring_chance(ring, bad->corruption) && sent->data_len > 34 &&
	    bytes[12] == 8 && bytes[13] == 0) {
		uint64_t bit = 34 * 8 + port_ring_random(ring) %
						((sent->data_len - 34u) * 8ull);

		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		ring->counters.corrupted++;
	}
	if (port_ring_chance(ring, bad->reorder)) {
		arrives_ns += bad->reorder_delay_ns;
		ring->counters.reordered++;
	}
	port_ring_insert(ring, to, copy, arrives_ns);
}

static uint16_t
port_ring_tx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	     uint16_t count)
{
	struct port_ring_end *from = (struct port_ring_end *)(void *)port;
	struct port_ring *ring = from->ring;
	struct port_ring_end *to = &ring->ends[1 - from->index];

	for (uint16_t i = 0; i < count; i++) {
		ring->counters.sent++;
		if (port_ring_chance(ring, ring->impairment.loss)) {
			ring->counters.lost++;
		} else {
			port_ring_carry(ring, to, frames[i], now_ns);
			if (port_ring_chance(ring,
					     ring->impairment.duplication)) {
				ring->counters.duplicated++;
				port_ring_carry(ring, to, frames[i], now_ns);
			}
		}
		rte_pktmbuf_free(frames[i]);
	}
	return count;
}

static uint16_t
port_ring_rx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	     uint16_t count)
{
	struct port_ring_end *end = (struct port_ring_end *)(void *)port;
	uint16_t taken = 0;

	while (taken < count && taken < end->count &&
	       end->frames[taken].arrives_ns <= now_ns) {
		frames[taken] = end->frames[taken].mbuf;
		taken++;
	}
	end->count -= taken;
	memmove(end->frames, end->frames + taken,
		end->count * sizeof(end->frames[0]));
	return taken;
}

static const struct port_ops port_ring_ops = {
	.name = "ring",
	.rx = port_ring_rx,
	.tx = port_ring_tx,
};

int
port_ring_create(struct rte_mempool *pool, uint64_t seed, uint16_t mtu,
		 struct port_ring **ring)
{
	struct port_ring *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return FAL_ENOMEM;
	made->pool = pool;
	made->random = seed;
	for (uint32_t i = 0; i < 2; i++) {
		struct port_ring_end *end = &made->ends[i];

		end->ring = made;
		end->index = i;
		end->port.ops = &port_ring_ops;
		end->port.mtu = mtu;
		end->port.mac[0] = 2;
		end->port.mac[5] = (uint8_t)(i + 1);
	}
	*ring = made;
	return 0;
}

void
port_ring_destroy(struct port_ring *ring)
{
	for (uint32_t i = 0; i < 2; i++) {
		for (uint32_t j = 0; j < ring->ends[i].count; j++)
			rte_pktmbuf_free(ring->ends[i].frames[j].mbuf);
	}
	free(ring);
}

struct port *
port_ring_end(struct port_ring *ring, uint32_t end)
{
	FAL_ASSERT(end < 2);
	return &ring->ends[end].port;
}

void
port_ring_impair(struct port_ring *ring,
		 const struct port_ring_impairment *impairment)
{
	ring->impairment = *impairment;
}

uint64_t
port_ring_next_ns(const struct port_ring *ring)
{
	uint64_t next_ns = UINT64_MAX;

	for (uint32_t i = 0; i < 2; i++) {
		const struct port_ring_end *end = &ring->ends[i];

		if (end->count > 0 && end->frames[0].arrives_ns < next_ns)
			next_ns = end->frames[0].arrives_ns;
	}
	return next_ns;
}

const struct port_ring_counters *
port_ring_counters(const struct port_ring *ring)
{
	return &ring->counters;
}
