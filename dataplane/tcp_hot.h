/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_TCP_HOT_H
#define FALCONER_DATAPLANE_TCP_HOT_H

/*
 * tcp_hot - what every segment does, inline: mbufs from and to the cache of
 * this core, the lists of those with news and output, the Internet checksum.
 *
 * The cache of the pool is looked up once a poll. Until the first one it is one
 * that is empty and full at once, and mbufs go to the pool itself: a core may
 * be made by another thread than the one that polls it.
 */

#include "dataplane/tcp_int.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IP_SUM_IN_C 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define IP_SUM_IN_C 1
#endif
#endif

_Static_assert(RTE_MBUF_F_RX_L4_CKSUM_NONE == (RTE_MBUF_F_RX_L4_CKSUM_GOOD |
					       RTE_MBUF_F_RX_L4_CKSUM_BAD),
	       "see tcp_verdict_of()");

/* What rearm_data says of an empty mbuf that stands alone: where data begins,
 * one reference, one segment, no port. */
#define TCP_MBUF_EMPTY \
	(RTE_PKTMBUF_HEADROOM | 1ull << 16 | 1ull << 32 | 0xffffull << 48)

_Static_assert(offsetof(struct rte_mbuf, port) ==
			       offsetof(struct rte_mbuf, rearm_data) + 6 &&
		       offsetof(struct rte_mbuf, vlan_tci) ==
			       offsetof(struct rte_mbuf, packet_type) + 10,
	       "tcp_mbuf_reset() writes words that several fields share");

/* As rte_pktmbuf_reset(), for an mbuf out of a cache. What its flags say is not
 * there (outer tag, offload lengths) is left as it was. */
static inline void
tcp_mbuf_reset(struct rte_mbuf *mbuf)
{
	const uint64_t empty = TCP_MBUF_EMPTY;

	memcpy(&mbuf->rearm_data, &empty, sizeof(empty));
	mbuf->ol_flags &= RTE_MBUF_F_EXTERNAL;
	memset(&mbuf->packet_type, 0, 12);
}

/* Takes an empty mbuf of one segment; NULL: none is left. */
static inline struct rte_mbuf *
tcp_mbuf_alloc(struct tcp_core *core)
{
	struct rte_mempool_cache *cache = core->cache;
	struct rte_mbuf *mbuf;

	if (FAL_UNLIKELY(cache->len == 0))
		return rte_pktmbuf_alloc(core->config.pool);
	/* What lies in a pool stands alone; the rest is as it was left. */
	mbuf = cache->objs[--cache->len];
	tcp_mbuf_reset(mbuf);
	return mbuf;
}

/* One that others hold, too, or of another pool, or a full cache. */
static __attribute__((noinline, cold)) void
tcp_mbuf_free_rare(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
}

/* Whether nobody else holds an mbuf of our pool. */
static inline bool
tcp_mbuf_is_alone(const struct tcp_core *core, const struct rte_mbuf *mbuf)
{
	uint32_t alone; /* refcnt and nb_segs */

	memcpy(&alone, (const uint8_t *)&mbuf->rearm_data + 2, sizeof(alone));
	return alone == 0x00010001 && mbuf->pool == core->config.pool &&
	       RTE_MBUF_DIRECT(mbuf);
}

/* Gives back one reference of an mbuf that stands alone. */
static inline void
tcp_mbuf_free(struct tcp_core *core, struct rte_mbuf *mbuf)
{
	struct rte_mempool_cache *cache = core->cache;

	if (FAL_UNLIKELY(!tcp_mbuf_is_alone(core, mbuf) ||
			 cache->len >= cache->flushthresh)) {
		tcp_mbuf_free_rare(mbuf);
		return;
	}
	cache->objs[cache->len++] = mbuf;
}

/* The same of a segment of ours, which is of the pool and whole: drivers take
 * references and give them back. */
static inline void
tcp_mbuf_free_own(struct tcp_core *core, struct rte_mbuf *mbuf)
{
	struct rte_mempool_cache *cache = core->cache;

	if (FAL_UNLIKELY(rte_mbuf_refcnt_read(mbuf) != 1 ||
			 cache->len >= cache->flushthresh)) {
		tcp_mbuf_free_rare(mbuf);
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

/* Of tcp_key() and the other words of an address, the first two in one: as
 * base/hash.h does it, for a key of known length. */
static inline uint32_t
tcp_hash(const struct tcp_core *core, uint64_t key, uint64_t high,
	 uint32_t middle)
{
	const uint64_t *secret = core->hash_key.word;
	uint64_t by = secret[1];

	if (high != 0 || middle != 0xffff)
		by ^= hash_fold(high ^ secret[2], middle ^ secret[3]);
	/* Twice: neighbouring ports would be equally far from each other. */
	return (uint32_t)hash_fold(hash_fold(key ^ secret[0], by), secret[0]);
}

/* Tells the user of a connection that has one. */
static inline void
tcp_conn_news_at(struct tcp_core *core, struct tcp_conn *conn, uint32_t index,
		 uint32_t news)
{
	conn->news = (uint8_t)(conn->news | news);
	if ((conn->lists & TCP_IN_NEWS) != 0)
		return;
	conn->lists = (uint8_t)(conn->lists | TCP_IN_NEWS);
	core->news[core->news_tail++ & core->list_mask] = index;
}

/* Tells a connection's user. */
static inline void
tcp_conn_news(struct tcp_core *core, struct tcp_conn *conn, uint32_t news)
{
	if (!tcp_has(conn, TCP_ORPHAN))
		tcp_conn_news_at(core, conn, tcp_index(core, conn), news);
}

/* Puts a connection on the list of those tcp_flush() visits. */
static inline void
tcp_conn_out_at(struct tcp_core *core, struct tcp_conn *conn, uint32_t index)
{
	if ((conn->lists & TCP_IN_OUT) != 0)
		return;
	conn->lists = (uint8_t)(conn->lists | TCP_IN_OUT);
	core->out[core->out_tail++ & core->list_mask] = index;
}

static inline void
tcp_conn_out(struct tcp_core *core, struct tcp_conn *conn)
{
	tcp_conn_out_at(core, conn, tcp_index(core, conn));
}

/* The tick a time is in, with the one after it: a deadline there is not early;
 * never 0. */
static inline uint32_t
tcp_tick_behind(uint64_t ns)
{
	uint32_t tick = (uint32_t)(ns >> TCP_TICK_SHIFT) + 1;

	return tick == 0 ? 1 : tick;
}

/* The tick at which a deadline passes that is `wait_ns` away; never 0. */
static inline uint32_t
tcp_timer_in(const struct tcp_core *core, uint64_t wait_ns)
{
	return tcp_tick_behind(core->now_ns + wait_ns);
}

/* Bytes to promise the peer who has `held` in our buffer. The right edge never
 * moves left, and moves right by two segments or half the buffer at least (RFC
 * 9293 3.8.6.2.2). */
static inline uint32_t
tcp_window_beside(const struct tcp_core *core, const struct tcp_conn *conn,
		  uint32_t held)
{
	uint32_t limit = core->config.window_bytes;
	uint32_t promised = conn->rcv_adv - conn->rcv_nxt;
	uint32_t step = 2u * conn->mss;

	if (FAL_UNLIKELY(conn->rcv_shift == 0 || (int32_t)promised < 0 ||
			 step > limit / 2))
		return tcp_out_window_rare(core, conn, held);
	if (FAL_LIKELY(held + promised + step > limit ||
		       core->pool_level >= TCP_POOL_NO_WINDOW))
		return promised;
	return limit - held;
}

/* Sees to it that the wheel wakes a connection in time. It does already if it
 * comes round before the only deadline there is. */
static inline void
tcp_timer_rearm(struct tcp_core *core, struct tcp_conn *conn)
{
	if (FAL_UNLIKELY((conn->lists & TCP_IN_WHEEL) == 0 ||
			 (conn->ack_deadline | conn->life_deadline) != 0 ||
			 conn->tx_deadline == 0 ||
			 !tcp_seq_le(conn->wheel_tick, conn->tx_deadline)))
		tcp_timer_arm(core, conn);
}

/* How long to wait for an ack before the tail is probed (RFC 8985 7.2); 0: not.
 */
static inline uint32_t
tcp_rack_probe_us(const struct tcp_conn *conn)
{
	const uint32_t flags = TCP_HAS_SACK | TCP_RECOVERY | TCP_TLP_OUT;
	uint32_t wait_us = 2 * conn->srtt_us;

	if ((conn->flags & flags) != TCP_HAS_SACK || conn->srtt_us == 0 ||
	    (conn->backoff | conn->sacked) != 0 ||
	    conn->snd_una == conn->snd_nxt)
		return 0;
	if (conn->snd_nxt - conn->snd_una <= conn->mss)
		wait_us += TCP_TLP_DELAYED_US;
	return wait_us < 1000 ? 1000 : wait_us;
}

/* Settles when `bytes` that came in order are acknowledged (RFC 9293 3.8.6.3,
 * RFC 5681 4.2). Returns whether a turn in tcp_flush() is needed for it. */
static inline bool
tcp_data_ack_due(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes,
		 bool had_hole)
{
	if (bytes >= conn->rcv_mss) {
		conn->rcv_mss = (uint16_t)bytes;
		conn->ack_segments++;
	}
	if (FAL_UNLIKELY(had_hole || conn->ack_segments >= 2)) {
		tcp_set(conn, TCP_ACK_NOW);
		return true;
	}
	if (conn->ack_deadline != 0)
		return false;
	/* The turn in tcp_flush() arms it, unless a reply goes out. */
	conn->ack_deadline = core->ack_tick;
	return true;
}

static inline void
tcp_data_ack(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes,
	     bool had_hole)
{
	if (tcp_data_ack_due(core, conn, bytes, had_hole))
		tcp_conn_out(core, conn);
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
	core->ack_tick = tcp_tick_behind(now_ns + TCP_ACK_DELAY_NS);
	core->calm_options[2] = __builtin_bswap32(core->now_ts);
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

/* Adds two words; and one with up to IP_CHAIN_WORDS. Compilers make two
 * instructions of a word where one would do, and a loop costs a short segment
 * as much as its words: the chain is entered as many words before its end as
 * there are. For that each of its instructions has four bytes: the register is
 * one of the old ones ("R"), and no distance is 0. A build whose sanitizer
 * wants to see the loads, or for another machine, has it in C. */
#define IP_CHAIN_WORDS 31u
#if defined(__x86_64__) && !defined(IP_SUM_IN_C)
static inline uint64_t
ip_sum_two(uint64_t sum, const uint8_t *at)
{
	const struct ip_two {
		uint8_t byte[16];
	} *two = (const void *)at;

	__asm__("addq (%1), %0\n\t"
		"adcq 8(%1), %0\n\t"
		"adcq $0, %0"
		: "+r"(sum)
		: "r"(at), "m"(*two)
		: "cc");
	return sum;
}

static inline uint64_t
ip_sum_chain(uint64_t sum, uint64_t word, const uint8_t *at, uint32_t words)
{
	const uintptr_t end = (uintptr_t)at + 8 * (uintptr_t)words;
	uintptr_t entry;

	__asm__("leaq 2f(%%rip), %1\n\t"
		"subq %3, %1\n\t"
		"addq %4, %0\n\t"
		"jmp *%1\n\t"
		".set ip_distance, -124\n\t"
		".rept 31\n\t"
		"adcq ip_distance(%2), %0\n\t"
		".set ip_distance, ip_distance + 8\n\t"
		".endr\n\t"
		"2: adcq $0, %0"
		: "+r"(sum), "=&r"(entry)
		: "R"(end - 124), "r"(4 * (size_t)words), "rme"(word)
		: "cc", "memory");
	return sum;
}
#else
static inline uint64_t
ip_sum_two(uint64_t sum, const uint8_t *at)
{
	return ip_add(ip_add(sum, ip_load(at)), ip_load(at + 8));
}

static inline uint64_t
ip_sum_chain(uint64_t sum, uint64_t word, const uint8_t *at, uint32_t words)
{
	sum = ip_add(sum, word);
	for (uint32_t i = 0; i < words; i++)
		sum = ip_add(sum, ip_load(at + 8 * (size_t)i));
	return sum;
}
#endif

/* More words than the chain has. */
static __attribute__((noinline)) uint64_t
ip_sum_long(uint64_t sum, uint64_t word, const uint8_t *at, uint32_t words)
{
	for (; words > IP_CHAIN_WORDS; words -= IP_CHAIN_WORDS) {
		sum = ip_sum_chain(sum, word, at, IP_CHAIN_WORDS);
		at += 8 * IP_CHAIN_WORDS;
		word = 0;
	}
	return ip_sum_chain(sum, word, at, words);
}

/* RFC 1071: over 64-bit words in memory order, and one more. */
static inline uint64_t
ip_sum_words(uint64_t sum, uint64_t word, const uint8_t *at, uint32_t words)
{
	if (FAL_UNLIKELY(words > IP_CHAIN_WORDS))
		return ip_sum_long(sum, word, at, words);
	return ip_sum_chain(sum, word, at, words);
}

/* Over a TCP segment behind an IP header without options or extensions, and
 * its pseudo header: `addresses` bytes of both addresses lie in front of it.
 * The last word is what is left of it, one to eight bytes. */
static inline uint64_t
ip_sum_tcp(const uint8_t *tcp, uint32_t bytes, uint32_t addresses)
{
	uint32_t behind = (0u - 8u * bytes) & 63u; /* bits */

	return ip_sum_words(__builtin_bswap32(6 + bytes),
			    ip_load(tcp + bytes - 8) >> behind, tcp - addresses,
			    (addresses + bytes - 1) / 8);
}

/* Whether a sum over something with its checksum is that of a good one, minus
 * zero. Folding keeps the remainder, and nothing that has a version or a
 * protocol in it sums to plain zero. */
static inline bool
ip_sum_is_good(uint64_t sum)
{
	return sum % 0xffff == 0;
}

/* The same over bytes; an odd last one is padded. Only the last piece of a sum
 * may be odd. `sum` is 0 or an earlier result. */
static inline uint64_t
ip_sum(uint64_t sum, const void *data, uint32_t bytes)
{
	uint64_t tail = 0;

	memcpy(&tail, (const uint8_t *)data + (bytes & ~7u), bytes & 7);
	return ip_sum_words(sum, tail, data, bytes / 8);
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

/* Queues a frame, given. Returns false, and frees it, when the queue is full
 * and the port takes nothing. */
static inline bool
ip_out_push(struct tcp_core *core, struct rte_mbuf *mbuf)
{
	if (FAL_UNLIKELY(core->tx_count == TCP_TX_QUEUE))
		return ip_out_push_full(core, mbuf);
	core->tx[core->tx_count++] = mbuf;
	return true;
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

/* ---- what a user's calls come to, nearly always ---- */

/* Whether a connection may send, and as much as ever. */
static inline bool
tcp_may_reserve(const struct tcp_conn *conn)
{
	return FAL_LIKELY(tcp_has(conn, TCP_CALM)) ||
	       (conn->state == TCP_ESTABLISHED &&
		!tcp_has(conn, TCP_FIN_QUEUED) && conn->mss == conn->mss_max);
}

/* An empty mbuf for the first segment that is to be sent; NULL: something is
 * in its way, or short. At most conn->mss bytes. */
static inline struct rte_mbuf *
tcp_reserve_usual(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes)
{
	struct rte_mempool_cache *cache = core->cache;
	struct rte_mbuf *mbuf;

	if (FAL_UNLIKELY(conn->snd_send != NULL || core->spare != NULL ||
			 !tcp_may_reserve(conn) || bytes - 1u >= conn->mss ||
			 core->output_left == 0 || cache->len == 0))
		return NULL;
	core->output_left--;
	mbuf = cache->objs[--cache->len];
	tcp_mbuf_reset(mbuf);
	core->spare = mbuf;
	core->spare_for = conn;
	return mbuf;
}

/* Makes a segment of `bytes` of an mbuf, the last that is to be sent. */
static inline void
tcp_seg_queue(struct tcp_conn *conn, struct rte_mbuf *mbuf, uint32_t bytes)
{
	struct tcp_seg *seg = tcp_seg_of(mbuf);

	seg->next = NULL;
	seg->flags = 0;
	seg->seq = conn->snd_end;
	seg->bytes = (uint16_t)bytes;
	seg->offset = RTE_PKTMBUF_HEADROOM;
	if (FAL_LIKELY(conn->snd_tail == NULL))
		conn->snd_head = mbuf;
	else
		tcp_seg_of(conn->snd_tail)->next = mbuf;
	conn->snd_tail = mbuf;
	conn->snd_end += bytes;
}

/* Queues the spare mbuf as a segment of `bytes`. */
static inline void
tcp_commit_segment(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes)
{
	tcp_seg_queue(conn, core->spare, bytes);
	if (conn->snd_send == NULL)
		conn->snd_send = core->spare;
	core->spare = NULL;
	core->spare_for = NULL;
	tcp_conn_out(core, conn);
}

/* Whether there is an mbuf for the first segment that is to be sent, and
 * nothing in its way, as tcp_reserve_usual() has it. */
static inline bool
tcp_answer_may(const struct tcp_core *core, const struct tcp_conn *conn,
	       uint32_t bytes)
{
	return conn->snd_send == NULL && tcp_may_reserve(conn) &&
	       bytes - 1u < conn->mss && core->output_left != 0 &&
	       core->cache->len != 0;
}

/* That mbuf. It is still in the cache: nobody may take or give one before
 * tcp_answer_take(). */
static inline struct rte_mbuf *
tcp_answer_look(const struct tcp_core *core)
{
	return core->cache->objs[core->cache->len - 1];
}

/* Queues `bytes` of it. */
static inline void
tcp_answer_take(struct tcp_core *core, struct tcp_conn *conn,
		struct rte_mbuf *mbuf, uint32_t bytes)
{
	core->output_left--;
	tcp_mbuf_reset(mbuf);
	tcp_seg_queue(conn, mbuf, bytes);
	conn->snd_send = mbuf;
	tcp_conn_out(core, conn);
}

/* Whether the input is one mbuf of `consumed` bytes that goes into the cache,
 * and an ack is due anyway, which tells what the window is then. */
static inline bool
tcp_answer_may_swap(const struct tcp_core *core, const struct tcp_conn *conn,
		    uint32_t consumed)
{
	const struct rte_mbuf *mbuf = conn->rcv_head;

	return FAL_LIKELY(mbuf != NULL) && FAL_LIKELY(mbuf == conn->rcv_tail) &&
	       FAL_LIKELY(consumed == mbuf->data_len) &&
	       FAL_LIKELY(conn->ack_deadline != 0) &&
	       FAL_LIKELY(tcp_mbuf_is_alone(core, mbuf));
}

/* The input takes the place of the answer there. */
static inline void
tcp_answer_swap(struct tcp_core *core, struct tcp_conn *conn,
		const struct rte_mbuf *answer)
{
	struct rte_mempool_cache *cache = core->cache;
	void **top = &cache->objs[cache->len - 1];

	FAL_ASSERT(*top == answer);
	*top = conn->rcv_head;
	conn->rcv_bytes = 0;
	conn->rcv_head = NULL;
	conn->rcv_tail = NULL;
}

/* Nothing does. */
static inline void
tcp_answer_pop(struct tcp_core *core, const struct rte_mbuf *answer)
{
	struct rte_mempool_cache *cache = core->cache;

	cache->len--;
	FAL_ASSERT(cache->objs[cache->len] == answer);
}

/* Drops `bytes` of the input if that is the one mbuf that is there, and the
 * window does not open by it. */
static inline bool
tcp_consume_usual(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes)
{
	struct rte_mbuf *mbuf = conn->rcv_head;

	if (FAL_UNLIKELY(mbuf == NULL || mbuf != conn->rcv_tail ||
			 bytes != mbuf->data_len ||
			 tcp_window_beside(core, conn, 0) !=
				 conn->rcv_adv - conn->rcv_nxt))
		return false;
	conn->rcv_bytes -= bytes; /* all but what was lifted */
	conn->rcv_head = NULL;
	conn->rcv_tail = NULL;
	tcp_mbuf_free(core, mbuf);
	return true;
}

#endif
