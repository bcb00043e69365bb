/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_out - what a connection sends when its turn in tcp_flush() comes.
 *
 * Order: a due SYN; what is marked lost, as far as the congestion window
 * permits; new data; FIN; and if none of these carried it, the ack. So replies
 * of one loop iteration share segments, acks ride on them, and several acks
 * collapse into one. There is no Nagle timer (RFC 9293 3.7.4 permits that).
 */

#include "dataplane/tcp_calm.h"
#include "dataplane/tcp_int.h"

/* The same for a small buffer, a peer without window scale, or one that has
 * sent beyond the edge. */
__attribute__((noinline)) uint32_t
tcp_out_window_rare(const struct tcp_core *core, const struct tcp_conn *conn,
		    uint32_t held)
{
	uint32_t limit = core->config.window_bytes;
	uint32_t promised = conn->rcv_adv - conn->rcv_nxt;
	uint32_t step = 2u * conn->mss;

	if (conn->rcv_shift == 0 && limit > 65535)
		limit = 65535;
	if ((int32_t)promised < 0)
		promised = 0;
	if (step > limit / 2)
		step = limit / 2;
	if (held + promised + step > limit ||
	    core->pool_level >= TCP_POOL_NO_WINDOW)
		return promised;
	return limit - held;
}

/* What goes into the window field; the peer is then promised that much. It is
 * rounded up, so that the edge does not move left. But with each small segment
 * it moves right by that: not for a user who has more than the buffer unread.
 * Such a peer sees it move left by less than a unit (RFC 7323 2.4), and what is
 * sent up to where it was is still taken. */
static inline uint32_t
tcp_out_window_field(struct tcp_core *core, struct tcp_conn *conn, bool is_syn)
{
	uint32_t window = tcp_window_beside(core, conn, conn->rcv_bytes);
	uint32_t shift = is_syn ? 0 : conn->rcv_shift;
	uint32_t field = (window + (1u << shift) - 1) >> shift;

	if (FAL_UNLIKELY(conn->rcv_bytes > core->config.window_bytes))
		return window >> shift;
	if (FAL_UNLIKELY(field > 65535))
		field = 65535;
	conn->rcv_adv = conn->rcv_nxt + (field << shift);
	return field;
}

static uint32_t
tcp_out_options_syn(struct tcp_core *core, struct tcp_conn *conn, uint8_t *at)
{
	uint32_t mss = core->config.port->mtu - tcp_ip_bytes(&conn->remote) -
		       TCP_HEADER_BYTES;

	return tcp_opt_write_syn(at, (uint16_t)mss, conn->rcv_shift != 0,
				 tcp_has(conn, TCP_HAS_SACK),
				 tcp_has(conn, TCP_HAS_TS), core->now_ts,
				 conn->ts_recent);
}

/* With SACK blocks. */
static uint32_t
tcp_out_options_sacks(struct tcp_core *core, struct tcp_conn *conn,
		      uint32_t payload_bytes, uint8_t *at)
{
	bool has_ts = tcp_has(conn, TCP_HAS_TS);
	struct tcp_sack sacks[TCP_SACKS_MAX];
	uint32_t count = tcp_data_sacks(conn, sacks, has_ts ? 3 : 4);

	/* A full segment has no room for what is reported. */
	if (payload_bytes + 4 + 8 * count > conn->mss)
		count = 0;
	if (count > 0)
		tcp_clear(conn, TCP_DSACK);
	return tcp_opt_write(at, has_ts, core->now_ts, conn->ts_recent, sacks,
			     count);
}

static bool
tcp_out_has_sacks(const struct tcp_conn *conn)
{
	return (conn->runs != NULL || tcp_has(conn, TCP_DSACK)) &&
	       tcp_has(conn, TCP_HAS_SACK);
}

/* Ethernet without a tag and IPv4, before a TCP segment of `bytes`. The head of
 * struct tcp_usual begins at our MAC, and its last eight bytes at IP. */
static inline void
tcp_out_headers_usual(const struct tcp_core *core, const struct tcp_conn *conn,
		      uint8_t *at, uint32_t bytes)
{
	const struct tcp_usual *usual = &core->usual;
	uint32_t remote = conn->remote.word[3];
	uint64_t sum = (uint64_t)usual->head_sum + TCP_IP4_BYTES + bytes;
	uint8_t *ip = at + TCP_ETHER_BYTES;

	memcpy(at, conn->mac, 8); /* and two bytes that the next ones cover */
	memcpy(at + PORT_MAC_BYTES, usual->head, sizeof(usual->head));
	be_store16(ip + 2, (uint16_t)(TCP_IP4_BYTES + bytes));
	be_store32(ip + 8, 64u << 24 | 6u << 16 |
				   (~ip_fold_sum(sum + remote) & 0xffff));
	be_store32(ip + 12, core->local4.word[3]);
	be_store32(ip + 16, remote);
}

/* The same with a tag, or over IPv6. */
static inline void
tcp_out_headers(const struct tcp_core *core, const struct tcp_conn *conn,
		uint8_t *at, uint32_t bytes)
{
	uint8_t *ip = at + core->ether_bytes;

	if (tcp_address_is_ipv4(&conn->remote)) {
		ip_out_ether(core, at, conn->mac, 0x0800);
		ip_header_write4(ip, core->local4.word[3], conn->remote.word[3],
				 6, bytes);
		return;
	}
	ip_out_ether(core, at, conn->mac, 0x86dd);
	ip_header_write6(ip, tcp_local(core, conn), &conn->remote, 6, bytes);
}

/* Writes the checksum, or leaves it to the port. */
static inline void
tcp_out_checksum(struct tcp_core *core, struct rte_mbuf *mbuf, uint8_t *tcp,
		 uint32_t bytes, bool is_ipv4)
{
	const uint64_t flags = RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4 |
			       RTE_MBUF_F_TX_IPV6;
	uint32_t addresses = is_ipv4 ? 8 : 32;
	uint16_t sum;

	/* A segment that is sent again has them, and the port may be another
	 * by now. */
	if (FAL_UNLIKELY((mbuf->ol_flags & flags) != 0))
		mbuf->ol_flags &= ~flags;
	if ((core->config.port->tx_offloads & PORT_TX_TCP_CHECKSUM) != 0) {
		core->counters.tx_offloaded++;
		mbuf->ol_flags |=
			RTE_MBUF_F_TX_TCP_CKSUM |
			(is_ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
		mbuf->tx_offload = rte_mbuf_tx_offload(
			core->ether_bytes,
			is_ipv4 ? TCP_IP4_BYTES : TCP_IP6_BYTES,
			(uint64_t)(tcp[12] >> 4) * 4, 0, 0, 0, 0);
		sum = (uint16_t)ip_fold_sum(ip_sum(__builtin_bswap32(6 + bytes),
						   tcp - addresses, addresses));
	} else {
		sum = (uint16_t)~ip_fold_sum(ip_sum_tcp(tcp, bytes, addresses));
	}
	memcpy(tcp + 16, &sum, sizeof(sum));
}

/* What a segment carries: `bytes` at `offset` of the mbuf's buffer. */
struct out_payload {
	uint32_t seq;
	uint16_t offset, bytes;
};

/* Writes headers before the payload and pushes the mbuf, given.
 *
 * options   NULL: timestamps
 * is_usual  IPv4, no tag; a constant, as is is_ipv4: the compiler then makes
 *           one function of each kind
 */
static inline __attribute__((always_inline)) bool
tcp_out_frame_of(struct tcp_core *core, struct tcp_conn *conn,
		 struct rte_mbuf *mbuf, struct out_payload payload,
		 uint32_t flags, const uint8_t *options, uint32_t option_bytes,
		 bool is_ipv4, bool is_usual)
{
	uint32_t header = TCP_HEADER_BYTES + option_bytes;
	uint32_t tcp_bytes = header + payload.bytes;
	uint32_t below = (is_usual ? TCP_ETHER_BYTES : core->ether_bytes) +
			 (is_ipv4 ? TCP_IP4_BYTES : TCP_IP6_BYTES);
	uint8_t *tcp = (uint8_t *)mbuf->buf_addr + payload.offset - header;
	uint32_t window = 0;

	FAL_ASSERT(below + header <= payload.offset);
	mbuf->data_off = (uint16_t)(payload.offset - header - below);
	mbuf->data_len = (uint16_t)(below + tcp_bytes);
	mbuf->pkt_len = below + tcp_bytes;
	if (is_usual)
		tcp_out_headers_usual(core, conn, tcp - below, tcp_bytes);
	else
		tcp_out_headers(core, conn, tcp - below, tcp_bytes);
	if ((flags & TCP_RST) == 0)
		window = tcp_out_window_field(core, conn,
					      (flags & TCP_SYN) != 0);
	be_store32(tcp, (uint32_t)conn->local_port << 16 | conn->remote_port);
	be_store32(tcp + 4, payload.seq);
	be_store32(tcp + 8, (flags & TCP_ACK) != 0 ? conn->rcv_nxt : 0);
	be_store32(tcp + 12, header << 26 | flags << 16 | window);
	be_store32(tcp + 16, 0);
	if (options == NULL) {
		be_store32(tcp + 20, 0x0101080a);
		be_store32(tcp + 24, core->now_ts);
		be_store32(tcp + 28, conn->ts_recent);
	} else {
		memcpy(tcp + TCP_HEADER_BYTES, options, option_bytes);
	}
	tcp_out_checksum(core, mbuf, tcp, tcp_bytes, is_ipv4);
	if ((flags & TCP_ACK) != 0) {
		conn->last_ack_sent = conn->rcv_nxt;
		conn->ack_deadline = 0;
		conn->ack_segments = 0;
		tcp_clear(conn, TCP_ACK_NOW);
	}
	return ip_out_push(core, mbuf);
}

/* The same for what is not the usual: SYN, no timestamps, SACK, IPv6, a tag. */
static __attribute__((noinline)) bool
tcp_out_frame_rare(struct tcp_core *core, struct tcp_conn *conn,
		   struct rte_mbuf *mbuf, struct out_payload payload,
		   uint32_t flags)
{
	uint8_t options[TCP_OPTIONS_MAX];
	uint32_t bytes;

	if ((flags & TCP_SYN) != 0)
		bytes = tcp_out_options_syn(core, conn, options);
	else if (tcp_out_has_sacks(conn))
		bytes = tcp_out_options_sacks(core, conn, payload.bytes,
					      options);
	else
		bytes = tcp_opt_write(options, tcp_has(conn, TCP_HAS_TS),
				      core->now_ts, conn->ts_recent, NULL, 0);
	if (tcp_address_is_ipv4(&conn->remote))
		return tcp_out_frame_of(core, conn, mbuf, payload, flags,
					options, bytes, true, false);
	return tcp_out_frame_of(core, conn, mbuf, payload, flags, options,
				bytes, false, false);
}

static inline __attribute__((always_inline)) bool
tcp_out_frame(struct tcp_core *core, struct tcp_conn *conn,
	      struct rte_mbuf *mbuf, struct out_payload payload, uint32_t flags)
{
	if (FAL_UNLIKELY((flags & TCP_SYN) != 0 || conn->runs != NULL ||
			 (conn->flags & (TCP_HAS_TS | TCP_DSACK)) !=
				 TCP_HAS_TS ||
			 core->ether_bytes != TCP_ETHER_BYTES ||
			 !tcp_address_is_ipv4(&conn->remote)))
		return tcp_out_frame_rare(core, conn, mbuf, payload, flags);
	return tcp_out_frame_of(core, conn, mbuf, payload, flags, NULL, 12,
				true, true);
}

/* Sends a segment without payload. */
static __attribute__((noinline)) bool
tcp_out_empty(struct tcp_core *core, struct tcp_conn *conn, uint32_t seq,
	      uint32_t flags)
{
	struct out_payload none = {.seq = seq, .offset = RTE_PKTMBUF_HEADROOM};
	struct rte_mbuf *mbuf = tcp_mbuf_alloc(core);

	if (mbuf == NULL) {
		core->counters.tx_no_mbuf++;
		return false;
	}
	return tcp_out_frame(core, conn, mbuf, none, flags);
}

/* Queues the headers of a segment whose payload comes behind them, see
 * tcp_train.c. The mbuf is given; false: it is gone. */
bool
tcp_out_head(struct tcp_core *core, struct tcp_conn *conn,
	     struct rte_mbuf *mbuf, uint32_t seq, uint32_t flags)
{
	struct out_payload none = {.seq = seq, .offset = RTE_PKTMBUF_HEADROOM};

	return tcp_out_frame_rare(core, conn, mbuf, none, flags);
}

/* Sends a queued segment; false: the driver still holds it or takes no more. */
static inline __attribute__((always_inline)) bool
tcp_out_segment_inline(struct tcp_core *core, struct tcp_conn *conn,
		       struct rte_mbuf *mbuf)
{
	struct tcp_seg *seg = tcp_seg_of(mbuf);
	struct out_payload payload = {seg->seq, seg->offset, seg->bytes};
	/* The last one that is queued pushes. */
	uint32_t flags = TCP_ACK | (uint32_t)(seg->next == NULL) * TCP_PSH;

	if (rte_mbuf_refcnt_read(mbuf) != 1)
		return false;
	rte_mbuf_refcnt_set(mbuf, 2);
	if (!tcp_out_frame(core, conn, mbuf, payload, flags))
		return false;
	seg->sent_us = core->now_us;
	seg->sent_ts = core->now_ts;
	return true;
}

static __attribute__((noinline)) bool
tcp_out_segment(struct tcp_core *core, struct tcp_conn *conn,
		struct rte_mbuf *mbuf)
{
	return tcp_out_segment_inline(core, conn, mbuf);
}

/* Cuts a queued segment so that `bytes` stay in it. */
static bool
tcp_out_split(struct tcp_core *core, struct tcp_conn *conn,
	      struct rte_mbuf *mbuf, uint32_t bytes)
{
	struct tcp_seg *seg = tcp_seg_of(mbuf);
	struct rte_mbuf *rest = rte_pktmbuf_alloc(core->config.pool);
	struct tcp_seg *rest_seg;

	FAL_ASSERT(bytes > 0 && bytes < seg->bytes);
	if (rest == NULL) {
		core->counters.tx_no_mbuf++;
		return false;
	}
	rest_seg = tcp_seg_of(rest);
	*rest_seg = *seg;
	rest_seg->seq = seg->seq + bytes;
	rest_seg->bytes = (uint16_t)(seg->bytes - bytes);
	rest_seg->offset = RTE_PKTMBUF_HEADROOM;
	memcpy((uint8_t *)rest->buf_addr + rest_seg->offset,
	       (uint8_t *)mbuf->buf_addr + seg->offset + bytes,
	       rest_seg->bytes);
	seg->bytes = (uint16_t)bytes;
	seg->next = rest;
	if (conn->snd_tail == mbuf)
		conn->snd_tail = rest;
	return true;
}

static bool
tcp_out_has_mac(struct tcp_core *core, struct tcp_conn *conn)
{
	if (!tcp_has(conn, TCP_HAS_MAC) &&
	    neighbour_resolve(core, &conn->remote, conn->mac))
		tcp_set(conn, TCP_HAS_MAC);
	return tcp_has(conn, TCP_HAS_MAC);
}

static void
tcp_out_syn(struct tcp_core *core, struct tcp_conn *conn)
{
	uint64_t rto_ns = tcp_loss_rto_us(core, conn) * NS_PER_US;

	if (!tcp_out_has_mac(core, conn)) {
		/* Three seconds for the neighbour to answer. */
		if (++conn->probes > 150) {
			tcp_conn_end(core, conn, TCP_REASON_UNREACHABLE);
			return;
		}
		conn->tx_deadline = tcp_timer_in(core, 20 * NS_PER_MS);
		tcp_timer_arm(core, conn);
		return;
	}
	tcp_clear(conn, TCP_SYN_DUE);
	tcp_out_empty(core, conn, conn->snd_una,
		      conn->state == TCP_SYN_SENT ? TCP_SYN
						  : TCP_SYN | TCP_ACK);
	conn->snd_nxt = conn->snd_una + 1;
	conn->tx_deadline = tcp_timer_in(core, rto_ns << conn->backoff);
	tcp_timer_arm(core, conn);
}

static void
tcp_out_again(struct tcp_core *core, struct tcp_conn *conn)
{
	struct rte_mbuf *mbuf = conn->snd_head;

	while (conn->lost > 0 && mbuf != NULL && mbuf != conn->snd_send) {
		struct tcp_seg *seg = tcp_seg_of(mbuf);
		uint32_t pipe = tcp_loss_pipe(conn);

		if ((seg->flags & TCP_SEG_LOST) != 0) {
			if (pipe > 0 && pipe + seg->bytes > conn->cwnd)
				return;
			/* The path may have shrunk since (RFC 1191). */
			if (seg->bytes > conn->mss &&
			    !tcp_out_split(core, conn, mbuf, conn->mss))
				return;
			if (!tcp_out_segment(core, conn, mbuf)) {
				tcp_conn_out(core, conn);
				return;
			}
			core->counters.retransmits++;
			FAL_PROBE3(retransmit, conn->remote_port, seg->seq,
				   seg->bytes);
			conn->undo_count++;
			tcp_set(conn, TCP_UNDO_SENT);
			conn->lost -= seg->bytes;
			seg->flags = (uint8_t)((seg->flags | TCP_SEG_AGAIN) &
					       ~TCP_SEG_LOST);
		}
		mbuf = seg->next;
	}
}

/* The same with every rule. */
static __attribute__((noinline)) uint32_t
tcp_out_permitted_part(const struct tcp_conn *conn, const struct tcp_seg *seg)
{
	uint32_t pipe = tcp_loss_pipe(conn);
	uint32_t edge = conn->snd_una + conn->snd_wnd;
	uint32_t usable = 0;
	uint32_t bytes = seg->bytes > conn->mss ? conn->mss : seg->bytes;

	if (pipe > 0 && pipe + bytes > conn->cwnd &&
	    !tcp_has(conn, TCP_TLP_DUE))
		return 0;
	if (tcp_seq_lt(seg->seq, edge))
		usable = edge - seg->seq;
	if (usable >= bytes)
		return bytes;
	/* RFC 9293 3.8.6.2.1: a part only if it is half of the largest window
	 * seen, or the persist timer has fired. */
	if (conn->snd_una != conn->snd_nxt)
		return 0;
	if (usable < conn->snd_wnd_max / 2 && conn->probes == 0)
		return 0;
	return usable;
}

/* How much of the first unsent segment may go now; 0: none. What fits both
 * windows beside all that was sent, lost or not, goes whole. */
static inline uint32_t
tcp_out_permitted(const struct tcp_conn *conn, const struct tcp_seg *seg)
{
	uint32_t end = seg->seq + seg->bytes - conn->snd_una;

	if (FAL_LIKELY(seg->bytes <= conn->mss && end <= conn->cwnd &&
		       end <= conn->snd_wnd))
		return seg->bytes;
	return tcp_out_permitted_part(conn, seg);
}

/* A probe of the tail has left. */
static void
tcp_out_probed(struct tcp_core *core, struct tcp_conn *conn)
{
	core->counters.tail_probes++;
	tcp_clear(conn, TCP_TLP_DUE);
	tcp_set(conn, TCP_TLP_OUT);
	conn->tlp_end = conn->snd_nxt;
}

/* Probes with the last segment when there was nothing new to probe with. */
static void
tcp_out_tail(struct tcp_core *core, struct tcp_conn *conn)
{
	struct rte_mbuf *mbuf = conn->snd_head;
	struct tcp_seg *seg;

	tcp_clear(conn, TCP_TLP_DUE);
	if (conn->snd_una == conn->snd_nxt)
		return;
	if (tcp_has(conn, TCP_FIN_SENT)) {
		tcp_set(conn, TCP_FIN_LOST);
	} else {
		if (mbuf == conn->snd_send)
			return;
		while (tcp_seg_of(mbuf)->next != conn->snd_send)
			mbuf = tcp_seg_of(mbuf)->next;
		seg = tcp_seg_of(mbuf);
		if (!tcp_out_segment(core, conn, mbuf))
			return;
		core->counters.retransmits++;
		FAL_PROBE3(retransmit, conn->remote_port, seg->seq, seg->bytes);
		seg->flags |= TCP_SEG_AGAIN;
	}
	tcp_out_probed(core, conn);
	tcp_set(conn, TCP_TLP_AGAIN);
}

/* Sends the first unsent segment, as much of it as is permitted. Returns
 * whether the next one may be tried. */
static inline __attribute__((always_inline)) bool
tcp_out_next(struct tcp_core *core, struct tcp_conn *conn)
{
	struct rte_mbuf *mbuf = conn->snd_send;
	struct tcp_seg *seg = tcp_seg_of(mbuf);
	uint32_t bytes = tcp_out_permitted(conn, seg);

	if (bytes == 0)
		return false;
	if (FAL_UNLIKELY(bytes < seg->bytes) &&
	    !tcp_out_split(core, conn, mbuf, bytes))
		return false;
	if (!tcp_out_segment_inline(core, conn, mbuf)) {
		tcp_conn_out(core, conn);
		return false;
	}
	/* It was for persist; or the tail is another one now. */
	if (conn->snd_una == conn->snd_nxt || tcp_has(conn, TCP_TIMER_TLP))
		conn->tx_deadline = 0;
	conn->snd_nxt = seg->seq + seg->bytes;
	conn->snd_send = seg->next;
	if (FAL_UNLIKELY(tcp_has(conn, TCP_TLP_DUE)))
		tcp_out_probed(core, conn);
	return true;
}

/* Sends what is new, but for `sent` segments of this turn. */
static __attribute__((noinline)) void
tcp_out_new(struct tcp_core *core, struct tcp_conn *conn, uint32_t sent)
{
	bool has_trains =
		(core->config.port->tx_offloads & PORT_TX_TCP_SEGMENTS) != 0;
	uint32_t count;

	for (; conn->snd_send != NULL; sent += count) {
		/* Others shall have their turn: the rest in the next loop. */
		if (sent == 64) {
			if (tcp_out_permitted(conn,
					      tcp_seg_of(conn->snd_send)) > 0)
				tcp_conn_out(core, conn);
			return;
		}
		count = has_trains ? tcp_train_send(core, conn, 64 - sent) : 0;
		if (count > 0)
			continue;
		if (!tcp_out_next(core, conn))
			return;
		count = 1;
	}
}

static void
tcp_out_fin(struct tcp_core *core, struct tcp_conn *conn)
{
	bool is_first = !tcp_has(conn, TCP_FIN_SENT);

	if (!tcp_has(conn, TCP_FIN_QUEUED) || conn->snd_send != NULL)
		return;
	if (!is_first && !tcp_has(conn, TCP_FIN_LOST))
		return;
	if (is_first && conn->snd_una != conn->snd_nxt &&
	    !tcp_seq_lt(conn->snd_end, conn->snd_una + conn->snd_wnd))
		return;
	if (!tcp_out_empty(core, conn, conn->snd_end, TCP_FIN | TCP_ACK)) {
		tcp_conn_out(core, conn);
		return;
	}
	tcp_clear(conn, TCP_FIN_LOST);
	tcp_set(conn, TCP_FIN_SENT);
	if (!is_first)
		return;
	if (conn->snd_una == conn->snd_nxt)
		conn->tx_deadline = 0;
	conn->snd_nxt = conn->snd_end + 1;
	conn->state =
		conn->state == TCP_CLOSE_WAIT ? TCP_LAST_ACK : TCP_FIN_WAIT_1;
}

__attribute__((noinline)) void
tcp_out_arm_rare(struct tcp_core *core, struct tcp_conn *conn)
{
	bool has_unsent =
		conn->snd_send != NULL ||
		(tcp_has(conn, TCP_FIN_QUEUED) && !tcp_has(conn, TCP_FIN_SENT));
	bool is_flying = conn->snd_una != conn->snd_nxt;
	uint64_t wait_us, limit_us, probe_us;

	if (!is_flying && !has_unsent) {
		conn->tx_deadline = 0;
		tcp_clear(conn, TCP_TIMER_RACK | TCP_TIMER_TLP);
	} else if (conn->tx_deadline == 0) {
		wait_us = tcp_loss_rto_us(core, conn);
		if (FAL_UNLIKELY(conn->backoff != 0)) {
			wait_us <<= conn->backoff > 10 ? 10 : conn->backoff;
			limit_us = (is_flying ? 1ull : 6ull) * TCP_RTO_MAX_US;
			wait_us = wait_us > limit_us ? limit_us : wait_us;
		}
		probe_us = tcp_rack_probe_us(conn);
		tcp_clear(conn, TCP_TIMER_RACK | TCP_TIMER_TLP);
		if (probe_us != 0 && probe_us < wait_us) {
			tcp_set(conn, TCP_TIMER_TLP);
			wait_us = probe_us;
		}
		conn->tx_deadline = tcp_timer_in(core, wait_us * NS_PER_US);
	}
	tcp_timer_arm(core, conn);
}

/* Says when the connection is to be looked at if nothing happens. After a
 * segment on a path without trouble that is when its tail is probed, which is
 * before any timeout. */
static inline void
tcp_out_arm(struct tcp_core *core, struct tcp_conn *conn)
{
	uint32_t probe_us = tcp_rack_probe_us(conn);

	if (FAL_UNLIKELY(conn->tx_deadline != 0 ||
			 probe_us - 1 >= core->rto_min_us - 1)) {
		tcp_out_arm_rare(core, conn);
		return;
	}
	tcp_clear(conn, TCP_TIMER_RACK);
	tcp_set(conn, TCP_TIMER_TLP);
	conn->tx_deadline = tcp_timer_in(core, (uint64_t)probe_us * NS_PER_US);
	tcp_timer_rearm(core, conn);
}

/* A connection that opens, has ended, or has something special to send. */
static __attribute__((noinline)) void
tcp_out_rare(struct tcp_core *core, struct tcp_conn *conn)
{
	if (conn->state <= TCP_CLOSED)
		return;
	if (tcp_has(conn, TCP_SYN_DUE)) {
		tcp_out_syn(core, conn);
		return;
	}
	if (conn->state <= TCP_SYN_RECEIVED) {
		if (tcp_has(conn, TCP_ACK_NOW))
			tcp_out_empty(core, conn, conn->snd_nxt, TCP_ACK);
		return;
	}
	if (tcp_has(conn, TCP_PROBE_DUE)) {
		/* One byte below what the peer expects makes it answer. */
		tcp_clear(conn, TCP_PROBE_DUE);
		core->counters.probes++;
		tcp_out_empty(core, conn, conn->snd_una - 1, TCP_ACK);
	}
	if (conn->state != TCP_TIME_WAIT) {
		tcp_out_again(core, conn);
		tcp_out_new(core, conn, 0);
		if (tcp_has(conn, TCP_TLP_DUE))
			tcp_out_tail(core, conn);
		tcp_out_fin(core, conn);
	}
	if (tcp_has(conn, TCP_ACK_NOW))
		tcp_out_empty(core, conn, conn->snd_nxt, TCP_ACK);
	if (conn->state != TCP_TIME_WAIT)
		tcp_out_arm(core, conn);
}

static __attribute__((noinline)) void
tcp_out(struct tcp_core *core, struct tcp_conn *conn)
{
	if (FAL_UNLIKELY(conn->state != TCP_ESTABLISHED || conn->lost != 0 ||
			 tcp_has(conn, TCP_PROBE_DUE | TCP_TLP_DUE |
					       TCP_FIN_QUEUED))) {
		tcp_out_rare(core, conn);
		return;
	}
	if (conn->snd_send != NULL && tcp_out_next(core, conn) &&
	    FAL_UNLIKELY(conn->snd_send != NULL))
		tcp_out_new(core, conn, 1);
	if (tcp_has(conn, TCP_ACK_NOW))
		tcp_out_empty(core, conn, conn->snd_nxt, TCP_ACK);
	tcp_out_arm(core, conn);
}

void
tcp_flush(struct tcp_core *core)
{
	/* Who gets on the list meanwhile waits for the next flush. */
	const uint32_t end = core->out_tail;

	while (core->out_head != end) {
		uint32_t at = core->out_head++ & core->list_mask;
		struct tcp_conn *conn = &core->conns[core->out[at]];

		conn->lists = (uint8_t)(conn->lists & ~TCP_IN_OUT);
		if (FAL_UNLIKELY(!tcp_has(conn, TCP_CALM) ||
				 !tcp_calm_out(core, conn)))
			tcp_out(core, conn);
	}
	ip_out_flush(core);
}

/* RST on a connection we give up. */
void
tcp_out_reset(struct tcp_core *core, struct tcp_conn *conn)
{
	if (conn->state <= TCP_SYN_SENT || !tcp_has(conn, TCP_HAS_MAC))
		return;
	core->counters.resets_sent++;
	tcp_out_empty(core, conn, conn->snd_nxt, TCP_RST | TCP_ACK);
}

/* Answers a segment that belongs to no connection, to where it came from. */
void
tcp_out_answer(struct tcp_core *core, const struct tcp_packet *packet,
	       uint32_t seq, uint32_t ack, uint32_t flags, uint32_t window,
	       const uint8_t *options, uint32_t option_bytes)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(core->config.pool);
	uint32_t below = ip_out_bytes(core, &packet->source);
	uint32_t bytes = TCP_HEADER_BYTES + option_bytes;
	uint8_t *at, *tcp;

	if (mbuf == NULL) {
		core->counters.tx_no_mbuf++;
		return;
	}
	at = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)(below + bytes));
	FAL_ASSERT(at != NULL);
	tcp = at + below;
	ip_out_headers(core, at, packet->mac, &packet->destination,
		       &packet->source, 6, bytes);
	be_store16(tcp, packet->destination_port);
	be_store16(tcp + 2, packet->source_port);
	be_store32(tcp + 4, seq);
	be_store32(tcp + 8, ack);
	tcp[12] = (uint8_t)(bytes << 2);
	tcp[13] = (uint8_t)flags;
	be_store16(tcp + 14, (uint16_t)window);
	be_store32(tcp + 16, 0);
	if (option_bytes > 0)
		memcpy(tcp + TCP_HEADER_BYTES, options, option_bytes);
	be_store16(tcp + 16, ip_checksum(&packet->destination, &packet->source,
					 6, tcp, bytes));
	ip_out_push(core, mbuf);
}

/* RST to a segment that belongs to no connection (RFC 9293 3.5.2, group 1). */
void
tcp_out_refuse(struct tcp_core *core, const struct tcp_packet *packet)
{
	uint32_t end = packet->seq + packet->bytes +
		       ((packet->flags & TCP_SYN) != 0) +
		       ((packet->flags & TCP_FIN) != 0);

	core->counters.resets_sent++;
	if ((packet->flags & TCP_ACK) != 0)
		tcp_out_answer(core, packet, packet->ack, 0, TCP_RST, 0, NULL,
			       0);
	else
		tcp_out_answer(core, packet, 0, end, TCP_RST | TCP_ACK, 0, NULL,
			       0);
}
