/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_TCP_HOT_H
#define FALCONER_DATAPLANE_TCP_HOT_H

/*
 * tcp_hot - what every segment does, inline: mbufs from and to the cache of
 * this core, the lists of those with news and output, the Internet checksum.
 *
 * The cache of the pool is looked up once a poll. Until the first one there is
 * none, and mbufs go to the pool itself: a core may be made by another thread
 * than the one that polls it.
 */

#include "dataplane/tcp_int.h"

_Static_assert(RTE_MBUF_F_RX_L4_CKSUM_NONE == (RTE_MBUF_F_RX_L4_CKSUM_GOOD |
					       RTE_MBUF_F_RX_L4_CKSUM_BAD),
	       "see tcp_verdict_of()");

/* Takes an empty mbuf of one segment; NULL: none is left. */
static inline struct rte_mbuf *
tcp_mbuf_alloc(struct tcp_core *core)
{
	struct rte_mempool_cache *cache = core->cache;
	struct rte_mbuf *mbuf;

	if (FAL_UNLIKELY(cache == NULL || cache->len == 0))
		return rte_pktmbuf_alloc(core->config.pool);
	/* What lies in a pool stands alone; the rest is as it was left. */
	mbuf = cache->objs[--cache->len];
	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	mbuf->ol_flags &= RTE_MBUF_F_EXTERNAL;
	mbuf->packet_type = 0;
	mbuf->pkt_len = 0;
	mbuf->data_len = 0;
	mbuf->vlan_tci = 0;
	mbuf->vlan_tci_outer = 0;
	mbuf->tx_offload = 0;
	mbuf->port = RTE_MBUF_PORT_INVALID;
	return mbuf;
}

/* Gives back one reference of an mbuf that stands alone. */
static inline void
tcp_mbuf_free(struct tcp_core *core, struct rte_mbuf *mbuf)
{
	struct rte_mempool_cache *cache = core->cache;

	uint32_t alone; /* refcnt and nb_segs */

	memcpy(&alone, (const uint8_t *)&mbuf->rearm_data + 2, sizeof(alone));
	if (FAL_UNLIKELY(alone != 0x00010001 || cache == NULL ||
			 mbuf->pool != core->config.pool ||
			 !RTE_MBUF_DIRECT(mbuf) ||
			 cache->len >= cache->flushthresh)) {
		rte_pktmbuf_free(mbuf);
		return;
	}
	cache->objs[cache->len++] = mbuf;
}

/* The last word of a remote address, and the ports, as a block has them. */
static inline uint64_t
tcp_key(uint32_t word, uint16_t remote_port, uint16_t local_port)
{
	return word | (uint64_t)remote_port << 32 | (uint64_t)local_port << 48;
}

/* As base/hash.h does it, for a key of known length. */
static inline uint64_t
tcp_hash_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of tcp_key() and the other words of an address, the first two in one. */
static inline uint32_t
tcp_hash(const struct tcp_core *core, uint64_t key, uint64_t high,
	 uint32_t middle)
{
	const uint64_t *secret = core->hash_key.word;
	uint64_t hash = secret[2];

	if (high != 0 || middle != 0xffff)
		hash ^= tcp_hash_mix(high ^ secret[2], middle ^ secret[3]);
	hash = tcp_hash_mix(key ^ secret[0], hash ^ secret[1]);
	return (uint32_t)tcp_hash_mix(hash ^ secret[3], secret[0]);
}

/* Tells a connection's user. */
static inline void
tcp_conn_news(struct tcp_core *core, struct tcp_conn *conn, uint32_t news)
{
	uint32_t index = tcp_index(core, conn);

	if (tcp_has(conn, TCP_ORPHAN))
		return;
	conn->news = (uint8_t)(conn->news | news);
	if ((conn->lists & TCP_IN_NEWS) != 0)
		return;
	conn->lists = (uint8_t)(conn->lists | TCP_IN_NEWS);
	conn->news_next = TCP_NONE;
	if (core->news_tail == TCP_NONE)
		core->news_head = index;
	else
		core->conns[core->news_tail].news_next = index;
	core->news_tail = index;
}

/* Puts a connection on the list of those tcp_flush() visits. */
static inline void
tcp_conn_out(struct tcp_core *core, struct tcp_conn *conn)
{
	uint32_t index = tcp_index(core, conn);

	if ((conn->lists & TCP_IN_OUT) != 0)
		return;
	conn->lists = (uint8_t)(conn->lists | TCP_IN_OUT);
	conn->out_next = TCP_NONE;
	if (core->out_tail == TCP_NONE)
		core->out_head = index;
	else
		core->conns[core->out_tail].out_next = index;
	core->out_tail = index;
}

/* The tick at which a deadline passes that is `wait_ns` away; never 0. */
static inline uint32_t
tcp_timer_in(const struct tcp_core *core, uint64_t wait_ns)
{
	uint64_t tick = ((core->now_ns + wait_ns) >> TCP_TICK_SHIFT) + 1;

	return (uint32_t)tick == 0 ? 1 : (uint32_t)tick;
}

/* Settles when `bytes` that came in order are acknowledged (RFC 9293 3.8.6.3,
 * RFC 5681 4.2). */
static inline void
tcp_data_ack(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes,
	     bool had_hole)
{
	if (bytes >= conn->rcv_mss) {
		conn->rcv_mss = (uint16_t)bytes;
		conn->ack_segments++;
	}
	if (FAL_UNLIKELY(had_hole || conn->ack_segments >= 2)) {
		tcp_set(conn, TCP_ACK_NOW);
		tcp_conn_out(core, conn);
	} else if (conn->ack_deadline == 0) {
		/* The turn in tcp_flush() arms it, unless a reply goes out. */
		conn->ack_deadline = tcp_timer_in(core, TCP_ACK_DELAY_NS);
		tcp_conn_out(core, conn);
	}
}

/* Notes what time it is. */
static inline void
tcp_now(struct tcp_core *core, uint64_t now_ns)
{
	if (now_ns == core->now_ns)
		return;
	core->now_ns = now_ns;
	core->now_us = (uint32_t)(now_ns / NS_PER_US);
	core->now_ts = (uint32_t)(now_ns / NS_PER_MS) + core->ts_offset;
}

static inline uint64_t
ip_load(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* The end-around carry of one's complement. */
static inline uint64_t
ip_add(uint64_t a, uint64_t b)
{
	uint64_t sum = a + b;

	return sum + (sum < a);
}

/* RFC 1071, over 64-bit words in memory order. Written so that a word is an add
 * and an add with carry. */
static inline uint64_t
ip_sum_words(uint64_t sum, const uint8_t *at, uint32_t words)
{
	uint64_t carries = 0;
	uint64_t word;

	for (; words >= 4; words -= 4, at += 32) {
		word = ip_load(at);
		sum += word;
		carries += sum < word;
		word = ip_load(at + 8);
		sum += word;
		carries += sum < word;
		word = ip_load(at + 16);
		sum += word;
		carries += sum < word;
		word = ip_load(at + 24);
		sum += word;
		carries += sum < word;
	}
	for (; words > 0; words--, at += 8) {
		word = ip_load(at);
		sum += word;
		carries += sum < word;
	}
	return ip_add(sum, carries);
}

/* The same over bytes; an odd last one is padded. Only the last piece of a sum
 * may be odd. `sum` is 0 or an earlier result. */
static inline uint64_t
ip_sum(uint64_t sum, const void *data, uint32_t bytes)
{
	uint64_t tail = 0;

	memcpy(&tail, (const uint8_t *)data + (bytes & ~7u), bytes & 7);
	return ip_add(ip_sum_words(sum, data, bytes / 8), tail);
}

/* The sum as 16 bits: two halves are added twice, and the carry of the lower
 * half is the end-around carry of the upper. */
static inline uint32_t
ip_fold_sum(uint64_t sum)
{
	uint32_t half;

	sum += sum >> 32 | sum << 32;
	half = (uint32_t)(sum >> 32);
	half += half >> 16 | half << 16;
	return half >> 16;
}

/* The checksum in host order: what be_store16() writes into a header, and 0
 * over a whole good one. */
static inline uint16_t
ip_fold(uint64_t sum)
{
	return __builtin_bswap16((uint16_t)~ip_fold_sum(sum));
}

/* Writes 16 bytes in network order. */
static inline void
ip_address_write(const struct tcp_address *address, uint8_t *at)
{
	for (uint32_t i = 0; i < 4; i++)
		be_store32(at + 4 * i, address->word[i]);
}

/* RFC 6864: a packet that is never fragmented needs no identification. */
static inline void
ip_header_write4(uint8_t *at, uint32_t source, uint32_t destination,
		 uint8_t protocol, uint32_t payload_bytes)
{
	uint32_t bytes = TCP_IP4_BYTES + payload_bytes;
	uint64_t sum = 0x4500u + bytes + 0x4000u + (64u << 8 | protocol);

	sum += (uint64_t)source + destination;
	be_store32(at, 0x45u << 24 | bytes);
	be_store32(at + 4, 0x4000); /* do not fragment */
	be_store32(at + 8, 64u << 24 | (uint32_t)protocol << 16 |
				   (~ip_fold_sum(sum) & 0xffff));
	be_store32(at + 12, source);
	be_store32(at + 16, destination);
}

static inline void
ip_header_write6(uint8_t *at, const struct tcp_address *source,
		 const struct tcp_address *destination, uint8_t protocol,
		 uint32_t payload_bytes)
{
	be_store32(at, 6u << 28);
	be_store32(at + 4, payload_bytes << 16 | (uint32_t)protocol << 8 | 64);
	ip_address_write(source, at + 8);
	ip_address_write(destination, at + 24);
}

/* What the port says about the TCP checksum of a received frame. */
enum tcp_verdict { TCP_VERDICT_NONE, TCP_VERDICT_GOOD, TCP_VERDICT_BAD };

/* "Not correct in the frame, but the frame is good" (DPDK's L4_CKSUM_NONE) is
 * what a virtio peer sends who leaves checksums to the port; it has both bits.
 */
static inline enum tcp_verdict
tcp_verdict_of(const struct rte_mbuf *mbuf)
{
	if ((mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_GOOD) != 0)
		return TCP_VERDICT_GOOD;
	return (mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_BAD) != 0
		       ? TCP_VERDICT_BAD
		       : TCP_VERDICT_NONE;
}

#endif
