/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_fast - header prediction: the segment that nearly all are.
 *
 * A connection is established, nothing is lost or out of order, the next bytes
 * come, perhaps an ack of whole segments that were sent once. Such a segment
 * passes every test of ip_in.c and tcp_in.c and takes few of their branches.
 * Here it is recognised by comparing words of its headers, and what those files
 * would do to the connection is done at once.
 *
 * First everything is looked at and nothing changed; whatever is not as
 * expected, a bad checksum included, goes the long way from its beginning. So
 * this file has no drops, no answers and no rules of its own, and
 * tests/packet/test_tcp_fast.c holds it to the long way, segment by segment.
 *
 *   Ethernet  0 destination  6 source  12 type (0x8100: tag at 14, type at 16)
 *   IPv4      20 bytes: no options       IPv6  40 bytes: no extensions
 *   TCP       20 bytes, then nothing or padding, padding, timestamps
 *
 * Of a frame with timestamps over IPv4 and without a tag, what has to be there
 * lies in three pieces of 16 bytes (struct tcp_usual), each a load, a compare
 * and a mask; all others are looked at field by field.
 */

#include "dataplane/tcp_calm.h"
#include "dataplane/tcp_int.h"

#define FAST_PROTOCOL   6u
#define FAST_STATION    0x0000ffffffffffffull /* six bytes of a word */
#define FAST_GROUP      0x0001000000000000ull /* of the seventh's station */
#define FAST_TIMESTAMPS 0x0101080au
#define FAST_TS_BYTES   12u
#define FAST_BYTES_MIN \
	(TCP_ETHER_BYTES + TCP_VLAN_BYTES + TCP_IP4_BYTES + TCP_HEADER_BYTES)

/* Where the pieces of struct tcp_usual are in a frame. */
enum { FAST_PIECE_0 = 0, FAST_PIECE_1 = 20, FAST_PIECE_2 = 42 };

_Static_assert(FAST_PIECE_2 + 16 <= FAST_BYTES_MIN, "every frame has them");

typedef uint64_t fast_piece __attribute__((vector_size(16)));

/* Who sent a segment: the words of its address, the first two in one. */
struct fast_remote {
	uint64_t high;
	uint32_t middle, last;
};

/* What a port may say of a frame that matters here; 0 is usual. */
#define FAST_SAID                                                    \
	(RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_L4_CKSUM_GOOD | \
	 RTE_MBUF_F_RX_L4_CKSUM_BAD)

static inline fast_piece
fast_differs(const struct tcp_usual *usual, uint32_t piece, const uint8_t *at)
{
	const void *wanted = usual->want[piece], *masked = usual->mask[piece];
	fast_piece there, want, mask;

	memcpy(&there, at, sizeof(there));
	memcpy(&want, __builtin_assume_aligned(wanted, 16), sizeof(want));
	memcpy(&mask, __builtin_assume_aligned(masked, 16), sizeof(mask));
	return (there ^ want) & mask;
}

#ifdef __SSE4_1__
static inline bool
fast_is_zero(fast_piece piece)
{
	typedef long long pair __attribute__((vector_size(16)));

	return __builtin_ia32_ptestz128((pair)piece, (pair)piece) != 0;
}
#else
static inline bool
fast_is_zero(fast_piece piece)
{
	return (piece[0] | piece[1]) == 0;
}
#endif

/* Whether a frame is for us, over IPv4 without options, has the flags of data,
 * and timestamps where everybody puts them. */
static inline bool
fast_is_usual(const struct tcp_core *core, const uint8_t *at)
{
	const struct tcp_usual *usual = &core->usual;

	return fast_is_zero(fast_differs(usual, 0, at + FAST_PIECE_0) |
			    fast_differs(usual, 1, at + FAST_PIECE_1) |
			    fast_differs(usual, 2, at + FAST_PIECE_2));
}

/* Byte `offset` of a frame has to be `want` where `mask` is set. */
static void
fast_want(struct tcp_usual *usual, uint32_t offset, uint8_t want, uint8_t mask)
{
	uint32_t piece = offset >= FAST_PIECE_2   ? 2
			 : offset >= FAST_PIECE_1 ? 1
						  : 0;
	const uint32_t first[] = {FAST_PIECE_0, FAST_PIECE_1, FAST_PIECE_2};

	usual->want[piece][offset - first[piece]] = want;
	usual->mask[piece][offset - first[piece]] = mask;
}

static void
fast_prepare_head(struct tcp_core *core)
{
	struct tcp_usual *usual = &core->usual;
	uint8_t header[TCP_IP4_BYTES];

	ip_header_write4(header, core->config.address, 0, FAST_PROTOCOL, 0);
	memcpy(usual->head, core->config.port->mac, PORT_MAC_BYTES);
	be_store16(usual->head + 6, 0x0800);
	memcpy(usual->head + 8, header, 8);
	/* Its checksum is the sum of the others, the length included; as many
	 * times 0xffff more as keep it from getting below zero. */
	usual->head_sum =
		(~be_load16(header + 10) & 0xffffu) + 0xffffu - TCP_IP4_BYTES;
	usual->source = __builtin_bswap32(core->config.address);
	core->calm_options[1] = __builtin_bswap32(FAST_TIMESTAMPS);
}

/* Says what is usual. Also once a tick: a device that comes back may have
 * another MAC. With a VLAN no frame is. */
void
tcp_fast_prepare(struct tcp_core *core)
{
	struct tcp_usual *usual = &core->usual;
	const bool is_tagged = core->config.vlan != 0;
	const uint32_t ip = TCP_ETHER_BYTES, tcp = ip + TCP_IP4_BYTES;

	fast_prepare_head(core);
	for (uint32_t i = 0; i < PORT_MAC_BYTES; i++)
		fast_want(usual, i, core->config.port->mac[i], 0xff);
	fast_want(usual, PORT_MAC_BYTES, 0, 0x01); /* from no group */
	fast_want(usual, 12, 0x08, 0xff);
	fast_want(usual, 13, 0x00, 0xff);
	fast_want(usual, ip, is_tagged ? 0 : 0x45, 0xff);
	fast_want(usual, ip + 6, 0, 0x3f); /* no fragment */
	fast_want(usual, ip + 7, 0, 0xff);
	fast_want(usual, ip + 9, FAST_PROTOCOL, 0xff);
	for (uint32_t i = 0; i < 4; i++)
		fast_want(usual, ip + 16 + i,
			  (uint8_t)(core->config.address >> (24 - 8 * i)),
			  0xff);
	fast_want(usual, tcp + 12, 0x80, 0xff);
	fast_want(usual, tcp + 13, TCP_ACK, (uint8_t)~TCP_PSH);
	for (uint32_t i = 0; i < 4; i++)
		fast_want(usual, tcp + TCP_HEADER_BYTES + i,
			  (uint8_t)(FAST_TIMESTAMPS >> (24 - 8 * i)), 0xff);
}

/* Where the packet of a frame to us begins; 0: look again. */
static inline uint32_t
fast_ether(const struct tcp_core *core, const struct rte_mbuf *mbuf,
	   const uint8_t *at)
{
	uint64_t there = ip_load(at);
	uint64_t own = ip_load(core->config.port->mac);
	uint64_t stripped = mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED;
	uint32_t vlan = core->config.vlan;

	if ((((there ^ own) & FAST_STATION) | (there & FAST_GROUP)) != 0)
		return 0;
	if (FAL_LIKELY((vlan | stripped) == 0))
		return TCP_ETHER_BYTES;
	if (stripped != 0)
		return (mbuf->vlan_tci & 0xfffu) == vlan ? TCP_ETHER_BYTES : 0;
	if ((be_load32(at + 12) & 0xffff0fffu) != (0x81000000u | vlan))
		return 0;
	return TCP_ETHER_BYTES + TCP_VLAN_BYTES;
}

static inline bool
fast_checksum(const struct rte_mbuf *mbuf, const uint8_t *tcp, uint32_t bytes,
	      uint32_t addresses)
{
	enum tcp_verdict verdict = tcp_verdict_of(mbuf);

	if (verdict == TCP_VERDICT_GOOD)
		return true;
	return verdict == TCP_VERDICT_NONE &&
	       ip_sum_is_good(ip_sum_tcp(tcp, bytes, addresses));
}

/* The connection of a segment to one of our addresses, or NULL. Which address
 * is told apart later: who talks to the link-local one is not expected. */
static inline struct tcp_conn *
fast_find(const struct tcp_core *core, const uint8_t *tcp,
	  const struct fast_remote *remote)
{
	uint32_t ports = be_load32(tcp);
	uint64_t key = tcp_key(remote->last, 0, 0) |
		       (uint64_t)(ports << 16 | ports >> 16) << 32;
	uint32_t at = tcp_hash(core, key, remote->high, remote->middle) &
		      core->table_mask;

	while (core->table[at] != 0) {
		struct tcp_conn *conn = &core->conns[core->table[at] - 1];
		uint64_t high, low;

		memcpy(&low, &conn->remote.word[3], sizeof(low));
		memcpy(&high, conn->remote.word, sizeof(high));
		if (low == key && high == remote->high &&
		    conn->remote.word[2] == remote->middle)
			return conn;
		at = (at + 1) & core->table_mask;
	}
	return NULL;
}

/* Whether `ack` covers nothing but whole segments that were sent once and in
 * order, which the loss recovery has nothing to learn from. */
static inline bool
fast_expects_ack(const struct tcp_conn *conn, uint32_t ack)
{
	const struct rte_mbuf *mbuf = conn->snd_head;
	const struct tcp_seg *seg;

	if (ack == conn->snd_una)
		return true;
	if (FAL_UNLIKELY(ack - conn->snd_una > conn->snd_nxt - conn->snd_una))
		return false;
	seg = tcp_seg_of_const(mbuf);
	/* What overtook it shows that the path reorders: see tcp_rack.c. */
	if (tcp_has(conn, TCP_RACK_KNOWN) &&
	    FAL_UNLIKELY(tcp_seq_le(seg->sent_us, conn->rack.sent_us)) &&
	    (seg->sent_us != conn->rack.sent_us ||
	     tcp_seq_lt(seg->seq + seg->bytes, conn->rack.end)))
		return false;
	do {
		seg = tcp_seg_of_const(mbuf);
		if (seg->flags != 0 || tcp_seq_lt(ack, seg->seq + seg->bytes))
			return false;
		mbuf = seg->next;
	} while (seg->seq + seg->bytes != ack);
	return true;
}

static inline bool
fast_expects(const struct tcp_conn *conn, const uint8_t *tcp, uint32_t bytes,
	     bool has_ts)
{
	uint32_t flags = TCP_HAS_SACK;
	uint32_t payload = bytes - TCP_HEADER_BYTES;

	if (has_ts) {
		payload -= FAST_TS_BYTES;
		flags |= TCP_HAS_TS;
		if (tcp_seq_lt(be_load32(tcp + 24), conn->ts_recent))
			return false;
	}
	return conn->state == TCP_ESTABLISHED &&
	       (conn->flags & (TCP_HAS_SACK | TCP_HAS_TS | TCP_FAST_NOT)) ==
		       flags &&
	       (conn->sacked | conn->lost | conn->dupacks) == 0 &&
	       conn->runs == NULL && be_load32(tcp + 4) == conn->rcv_nxt &&
	       (int32_t)(conn->rcv_adv - conn->rcv_nxt - payload) >= 0 &&
	       fast_expects_ack(conn, be_load32(tcp + 8));
}

/* What tcp_loss_ack() does about an ack of whole segments. */
static inline void
fast_ack(struct tcp_core *core, struct tcp_conn *conn, uint32_t ack)
{
	uint32_t acked = ack - conn->snd_una;
	uint32_t flight = conn->snd_nxt - conn->snd_una;
	struct rte_mbuf *mbuf = conn->snd_head;
	const struct tcp_seg *seg;
	struct rte_mbuf *next;
	uint32_t sent_us, end;

	do {
		seg = tcp_seg_of(mbuf);
		next = seg->next;
		end = seg->seq + seg->bytes;
		sent_us = seg->sent_us;
		tcp_mbuf_free_own(core, mbuf);
		mbuf = next;
	} while (end != ack);
	conn->snd_head = mbuf;
	if (mbuf == NULL)
		conn->snd_tail = NULL;
	tcp_loss_rtt(conn, core->now_us - sent_us);
	conn->rack.sent_us = sent_us;
	conn->rack.end = ack;
	conn->rack_rtt_us = core->now_us - sent_us;
	conn->snd_una = ack;
	conn->backoff = 0;
	if (FAL_UNLIKELY(flight + conn->mss >= conn->cwnd))
		tcp_cubic_grow(core, conn, acked);
	conn->tx_deadline = 0;
	tcp_clear(conn, TCP_TIMER_RACK | TCP_TIMER_TLP);
	tcp_set(conn, TCP_RACK_KNOWN);
}

/* Gives the segment to the connection that expects it. */
static inline __attribute__((always_inline)) void
fast_take(struct tcp_core *core, struct tcp_conn *conn, struct rte_mbuf *mbuf,
	  const uint8_t *tcp, uint32_t bytes, bool has_ts)
{
	uint32_t ack = be_load32(tcp + 8);
	uint32_t header = TCP_HEADER_BYTES + (has_ts ? FAST_TS_BYTES : 0);
	uint32_t window = (uint32_t)be_load16(tcp + 14) << conn->snd_shift;
	uint32_t index = tcp_index(core, conn);
	bool has_turn;
	uint32_t news = 0;

	core->counters.rx_delivered++;
	core->counters.expected++;
	if (FAL_UNLIKELY(conn->keepalive_ms != 0))
		conn->life_deadline =
			tcp_timer_in(core, conn->keepalive_ms * NS_PER_MS);
	if (has_ts && conn->last_ack_sent == conn->rcv_nxt)
		conn->ts_recent = be_load32(tcp + 24);
	conn->probes = 0;
	if (ack != conn->snd_una) {
		fast_ack(core, conn, ack);
		news = TCP_NEWS_ROOM;
	}
	if (FAL_UNLIKELY(window != conn->snd_wnd))
		tcp_in_window(core, conn, conn->rcv_nxt, ack,
			      be_load16(tcp + 14));
	else if (tcp_seq_lt(conn->snd_wl1, conn->rcv_nxt))
		conn->snd_wl1 = conn->rcv_nxt;
	has_turn = news != 0 || conn->snd_send != NULL;
	bytes -= header;
	if (bytes == 0) {
		if (has_turn)
			tcp_conn_out_at(core, conn, index);
		tcp_mbuf_free(core, mbuf);
		if (news != 0)
			tcp_conn_news_at(core, conn, index, news);
		return;
	}
	mbuf->data_off =
		(uint16_t)(tcp + header - (const uint8_t *)mbuf->buf_addr);
	mbuf->data_len = (uint16_t)bytes;
	mbuf->pkt_len = bytes;
	if (FAL_LIKELY(conn->rcv_tail == NULL)) {
		conn->rcv_nxt += bytes;
		conn->rcv_bytes += bytes;
		tcp_seg_of(mbuf)->next = NULL;
		conn->rcv_head = mbuf;
		conn->rcv_tail = mbuf;
	} else {
		tcp_data_append(core, conn, mbuf);
	}
	if (tcp_data_ack_due(core, conn, bytes, false) || has_turn)
		tcp_conn_out_at(core, conn, index);
	tcp_conn_news_at(core, conn, index, news | TCP_NEWS_DATA);
}

/* Takes a segment with the flags and options of data; the compiler makes one
 * for each that may be. */
static inline __attribute__((always_inline)) bool
fast_segment(struct tcp_core *core, struct rte_mbuf *mbuf, const uint8_t *tcp,
	     uint32_t bytes, uint32_t addresses,
	     const struct fast_remote *remote, bool has_ts)
{
	struct tcp_conn *conn;

	if (FAL_UNLIKELY(!fast_checksum(mbuf, tcp, bytes, addresses)))
		return false;
	conn = fast_find(core, tcp, remote);
	if (FAL_UNLIKELY(conn == NULL ||
			 !fast_expects(conn, tcp, bytes, has_ts)))
		return false;
	fast_take(core, conn, mbuf, tcp, bytes, has_ts);
	if (!tcp_has(conn, TCP_CALM))
		tcp_calm_try(core, conn);
	return true;
}

/* Takes a segment that lies behind an IP header without options. */
static inline bool
fast_tcp(struct tcp_core *core, struct rte_mbuf *mbuf, const uint8_t *tcp,
	 uint32_t bytes, uint32_t addresses, const struct fast_remote *remote)
{
	uint32_t word = be_load32(tcp + 12) >> 16 & ~TCP_PSH;

	if (FAL_LIKELY(word == (0x8000 | TCP_ACK)))
		return bytes >= TCP_HEADER_BYTES + FAST_TS_BYTES &&
		       be_load32(tcp + TCP_HEADER_BYTES) == FAST_TIMESTAMPS &&
		       fast_segment(core, mbuf, tcp, bytes, addresses, remote,
				    true);
	return word == (0x5000 | TCP_ACK) &&
	       fast_segment(core, mbuf, tcp, bytes, addresses, remote, false);
}

/* The sum over an IPv4 header without options. */
static inline uint64_t
fast_ip4_sum(const uint8_t *ip)
{
	uint32_t last;

	memcpy(&last, ip + 16, sizeof(last));
	return ip_sum_two(last, ip);
}

/* Whether the length of an IPv4 packet leaves `least` bytes to TCP and is
 * there, and whether the header's checksum is right. */
static inline bool
fast_ip4_is_whole(const uint8_t *ip, uint32_t bytes, uint32_t least)
{
	uint32_t total = be_load16(ip + 2);

	return total <= bytes && total >= TCP_IP4_BYTES + least &&
	       ip_sum_is_good(fast_ip4_sum(ip));
}

static inline struct fast_remote
fast_remote4(const uint8_t *ip)
{
	return (struct fast_remote){
		.middle = 0xffff,
		.last = be_load32(ip + 12),
	};
}

static __attribute__((noinline)) bool
fast_ip4(struct tcp_core *core, struct rte_mbuf *mbuf, const uint8_t *ip,
	 uint32_t bytes)
{
	const struct fast_remote remote = fast_remote4(ip);

	/* The fragment's flags and place, and the protocol. */
	if (FAL_UNLIKELY(ip[0] != 0x45 ||
			 (be_load32(ip + 6) & 0x3fff00ffu) != FAST_PROTOCOL ||
			 be_load32(ip + 16) != core->config.address ||
			 !fast_ip4_is_whole(ip, bytes, TCP_HEADER_BYTES)))
		return false;
	return fast_tcp(core, mbuf, ip + TCP_IP4_BYTES,
			be_load16(ip + 2) - TCP_IP4_BYTES, 8, &remote);
}

static __attribute__((noinline)) bool
fast_ip6(struct tcp_core *core, struct rte_mbuf *mbuf, const uint8_t *ip,
	 uint32_t bytes)
{
	const struct tcp_address local = tcp_address_ipv6(ip + 24);
	uint32_t payload = be_load16(ip + 4);
	struct fast_remote remote = {
		.high = (uint64_t)be_load32(ip + 12) << 32 | be_load32(ip + 8),
		.middle = be_load32(ip + 16),
		.last = be_load32(ip + 20),
	};

	if (FAL_UNLIKELY(ip[0] >> 4 != 6 || ip[6] != FAST_PROTOCOL ||
			 payload > bytes - TCP_IP6_BYTES ||
			 payload < TCP_HEADER_BYTES ||
			 !tcp_address_equal(&local, &core->local6) ||
			 (remote.high == 0 && remote.middle == 0xffff)))
		return false;
	return fast_tcp(core, mbuf, ip + TCP_IP6_BYTES, payload, 32, &remote);
}

/* Looks at a frame field by field. */
static __attribute__((noinline)) bool
fast_other(struct tcp_core *core, struct rte_mbuf *mbuf, const uint8_t *at,
	   uint32_t bytes)
{
	uint32_t offset = fast_ether(core, mbuf, at);
	uint32_t type;

	if (FAL_UNLIKELY(offset == 0 || !core->is_fast))
		return false;
	type = be_load16(at + offset - 2);
	bytes -= offset;
	if (type == 0x0800)
		return fast_ip4(core, mbuf, at + offset, bytes);
	return type == 0x86dd && bytes >= TCP_IP6_BYTES + TCP_HEADER_BYTES &&
	       fast_ip6(core, mbuf, at + offset, bytes);
}

/* Takes a usual segment of a connection that is not calm, or of one that is
 * and does not expect it quite like that. */
static __attribute__((noinline)) bool
fast_usual(struct tcp_core *core, struct rte_mbuf *mbuf, const uint8_t *ip)
{
	const struct fast_remote remote = fast_remote4(ip);

	return core->is_fast && fast_segment(core, mbuf, ip + TCP_IP4_BYTES,
					     be_load16(ip + 2) - TCP_IP4_BYTES,
					     8, &remote, true);
}

/* Takes a received frame if it is one that is expected. Returns false, and has
 * changed nothing, if it is not. `calm` counts those of calm connections. */
static inline __attribute__((always_inline)) bool
fast_in(struct tcp_core *core, struct rte_mbuf *mbuf, uint32_t *calm)
{
	const uint8_t *at = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	const uint8_t *ip = at + TCP_ETHER_BYTES, *tcp = ip + TCP_IP4_BYTES;
	uint64_t said = mbuf->ol_flags & FAST_SAID;
	uint32_t bytes = mbuf->data_len;
	struct tcp_conn *conn;

	if (FAL_UNLIKELY(bytes < FAST_BYTES_MIN || mbuf->nb_segs != 1))
		return false;
	if (FAL_UNLIKELY(!fast_is_usual(core, at)))
		return fast_other(core, mbuf, at, bytes);
	if (FAL_UNLIKELY(!fast_ip4_is_whole(ip, bytes - TCP_ETHER_BYTES,
					    TCP_CALM_HEADER)))
		return false;
	bytes = be_load16(ip + 2) - TCP_IP4_BYTES;
	if (FAL_LIKELY(said == 0)) {
		if (FAL_UNLIKELY(!ip_sum_is_good(ip_sum_tcp(tcp, bytes, 8))))
			return false;
	} else if (said != RTE_MBUF_F_RX_L4_CKSUM_GOOD) {
		return fast_other(core, mbuf, at, mbuf->data_len);
	}
	conn = tcp_calm_find(core, tcp, be_load32(ip + 12));
	if (FAL_UNLIKELY(conn == NULL || !tcp_calm_in(core, conn, mbuf, tcp,
						      bytes - TCP_CALM_HEADER)))
		return fast_usual(core, mbuf, ip);
	(*calm)++;
	return true;
}

/* Takes the frames of a burst, given, at the time that tcp_now() noted. */
void
tcp_input_burst(struct tcp_core *core, struct rte_mbuf *const *frames,
		uint32_t count)
{
	uint32_t calm = 0;

	core->counters.rx_frames += count;
	for (uint32_t i = 0; i < count; i++)
		if (FAL_UNLIKELY(!fast_in(core, frames[i], &calm)))
			ip_in_frame(core, frames[i]);
	core->counters.rx_delivered += calm;
	core->counters.expected += calm;
}

void
tcp_input(struct tcp_core *core, struct rte_mbuf *mbuf, uint64_t now_ns)
{
	tcp_now(core, now_ns);
	tcp_input_burst(core, &mbuf, 1);
}
