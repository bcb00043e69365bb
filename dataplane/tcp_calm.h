/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_TCP_CALM_H
#define FALCONER_DATAPLANE_TCP_CALM_H

/*
 * tcp_calm - what a segment in and the segment that answers it come to on a
 * connection that is calm: see tcp_calm.c for what that is.
 *
 * Each function looks first and changes nothing; false: it is for tcp_fast.c or
 * tcp_out.c to do, which ask everything. What they would do to the connection
 * is done here, as tests/packet/test_tcp_fast.c sees to.
 */

#include "dataplane/tcp_int.h"

/* A connection that has one of these is not where tcp_fast.c expects it. It is
 * not calm either: tcp_calm.c has these and more. */
#define TCP_FAST_NOT                                                        \
	(TCP_FIN_QUEUED | TCP_FIN_SENT | TCP_FIN_LOST | TCP_RECOVERY |      \
	 TCP_LOSS | TCP_ORPHAN | TCP_FIN_SEEN | TCP_SYN_DUE | TCP_TLP_OUT | \
	 TCP_TLP_AGAIN | TCP_LINK_LOCAL)

#define TCP_CALM_TS_BYTES 12u /* of options: two of padding, timestamps */
#define TCP_CALM_HEADER   (TCP_HEADER_BYTES + TCP_CALM_TS_BYTES)
#define TCP_CALM_BELOW    (TCP_ETHER_BYTES + TCP_IP4_BYTES)

_Static_assert(TCP_CALM_BELOW + TCP_CALM_HEADER <= RTE_PKTMBUF_HEADROOM,
	       "headers lie before the payload");
_Static_assert(offsetof(struct tcp_seg, sent_ts) ==
			       offsetof(struct tcp_seg, sent_us) + 4 &&
		       offsetof(struct tcp_core, now_ts) ==
			       offsetof(struct tcp_core, now_us) + 4,
	       "when a segment is sent is noted as one word");

/* ---- in ---- */

/* The calm connection of a segment from `remote`, or NULL. */
static inline struct tcp_conn *
tcp_calm_find(const struct tcp_core *core, const uint8_t *tcp, uint32_t remote)
{
	uint32_t ports = be_load32(tcp);
	uint64_t key = remote | (uint64_t)(ports << 16 | ports >> 16) << 32;
	uint32_t at = tcp_hash(core, key, 0, 0xffff) & core->table_mask;

	while (core->table[at] != 0) {
		struct tcp_conn *conn = &core->conns[core->table[at] - 1];
		uint64_t there;

		memcpy(&there, &conn->remote.word[3], sizeof(there));
		if (there == key)
			return tcp_has(conn, TCP_CALM) ? conn : NULL;
		at = (at + 1) & core->table_mask;
	}
	return NULL;
}

/* Whether `ack` covers nothing, or the oldest segment, in the order in which
 * all were sent. */
static inline bool
tcp_calm_expects_ack(const struct tcp_conn *conn, uint32_t ack)
{
	const struct tcp_seg *seg;
	uint32_t sent_us;

	if (ack == conn->snd_una)
		return true;
	if (FAL_UNLIKELY(ack - conn->snd_una > conn->snd_nxt - conn->snd_una))
		return false;
	seg = tcp_seg_of_const(conn->snd_head);
	sent_us = seg->sent_us;
	return seg->flags == 0 && seg->seq + seg->bytes == ack &&
	       (FAL_LIKELY(tcp_seq_lt(conn->rack.sent_us, sent_us)) ||
		(sent_us == conn->rack.sent_us &&
		 tcp_seq_le(conn->rack.end, ack)));
}

/* Whether a segment with timestamps is the next one. */
static inline bool
tcp_calm_expects(const struct tcp_conn *conn, const uint8_t *tcp,
		 uint32_t payload)
{
	return be_load32(tcp + 4) == conn->rcv_nxt &&
	       !tcp_seq_lt(be_load32(tcp + 24), conn->ts_recent) &&
	       (int32_t)(conn->rcv_adv - conn->rcv_nxt - payload) >= 0 &&
	       tcp_calm_expects_ack(conn, be_load32(tcp + 8));
}

/* The oldest segment is acknowledged. */
static inline void
tcp_calm_acked(struct tcp_core *core, struct tcp_conn *conn, uint32_t ack)
{
	struct rte_mbuf *mbuf = conn->snd_head;
	const struct tcp_seg *seg = tcp_seg_of(mbuf);
	uint32_t flight = conn->snd_nxt - conn->snd_una;
	uint32_t sent_us = seg->sent_us;

	conn->snd_head = seg->next;
	if (FAL_LIKELY(seg->next == NULL))
		conn->snd_tail = NULL;
	tcp_mbuf_free_own(core, mbuf);
	tcp_loss_rtt(conn, core->now_us - sent_us);
	conn->rack.sent_us = sent_us;
	conn->rack.end = ack;
	conn->rack_rtt_us = core->now_us - sent_us;
	if (FAL_UNLIKELY(flight + conn->mss >= conn->cwnd))
		tcp_cubic_grow(core, conn, ack - conn->snd_una);
	conn->snd_una = ack;
	conn->tx_deadline = 0;
	tcp_clear(conn, TCP_TIMER_TLP);
}

/* Queues the payload for the user. */
static inline void
tcp_calm_append(struct tcp_core *core, struct tcp_conn *conn,
		struct rte_mbuf *mbuf, uint32_t payload)
{
	mbuf->data_off =
		(uint16_t)(mbuf->data_off + TCP_CALM_BELOW + TCP_CALM_HEADER);
	mbuf->data_len = (uint16_t)payload;
	mbuf->pkt_len = payload;
	if (FAL_UNLIKELY(conn->rcv_tail != NULL)) {
		tcp_data_append(core, conn, mbuf);
		return;
	}
	conn->rcv_nxt += payload;
	conn->rcv_bytes += payload;
	tcp_seg_of(mbuf)->next = NULL;
	conn->rcv_head = mbuf;
	conn->rcv_tail = mbuf;
}

/* Takes the segment of a frame if it is the next one. */
static inline __attribute__((always_inline)) bool
tcp_calm_in(struct tcp_core *core, struct tcp_conn *conn, struct rte_mbuf *mbuf,
	    const uint8_t *tcp, uint32_t payload)
{
	uint32_t index = tcp_index(core, conn);
	uint32_t ack = be_load32(tcp + 8);
	uint32_t window = be_load16(tcp + 14);
	uint32_t news = 0;
	bool has_turn;

	if (FAL_UNLIKELY(!tcp_calm_expects(conn, tcp, payload)))
		return false;
	FAL_ASSERT_SLOW(tcp_calm_holds(core, conn));
	if (conn->last_ack_sent == conn->rcv_nxt)
		conn->ts_recent = be_load32(tcp + 24);
	if (ack != conn->snd_una) {
		tcp_calm_acked(core, conn, ack);
		news = TCP_NEWS_ROOM;
	}
	if (FAL_UNLIKELY(window << conn->snd_shift != conn->snd_wnd))
		tcp_in_window(core, conn, conn->rcv_nxt, ack, window);
	else
		conn->snd_wl1 = conn->rcv_nxt;
	has_turn = news != 0 || conn->snd_send != NULL;
	if (FAL_UNLIKELY(payload == 0)) {
		if (has_turn)
			tcp_conn_out_at(core, conn, index);
		tcp_mbuf_free(core, mbuf);
		if (news != 0)
			tcp_conn_news_at(core, conn, index, news);
		return true;
	}
	tcp_calm_append(core, conn, mbuf, payload);
	if (tcp_data_ack_due(core, conn, payload, false) || has_turn)
		tcp_conn_out_at(core, conn, index);
	tcp_conn_news_at(core, conn, index, news | TCP_NEWS_DATA);
	return true;
}

/* ---- out ---- */

/* As tcp_out_window_field(). */
static inline uint32_t
tcp_calm_window_field(const struct tcp_core *core, struct tcp_conn *conn)
{
	uint32_t limit = core->config.window_bytes;
	uint32_t window = conn->rcv_adv - conn->rcv_nxt;
	uint32_t field;

	if (FAL_UNLIKELY(conn->rcv_bytes + window + 2u * conn->mss <= limit &&
			 core->pool_level < TCP_POOL_NO_WINDOW))
		window = limit - conn->rcv_bytes;
	field = (window + (1u << TCP_WINDOW_SHIFT) - 1) >> TCP_WINDOW_SHIFT;
	conn->rcv_adv = conn->rcv_nxt + (field << TCP_WINDOW_SHIFT);
	return field;
}

/* Ethernet and IPv4. */
static inline void
tcp_calm_write_below(const struct tcp_core *core, const struct tcp_conn *conn,
		     uint8_t *at, uint32_t bytes)
{
	const struct tcp_usual *usual = &core->usual;
	uint8_t *ip = at + TCP_ETHER_BYTES;
	uint32_t sum = conn->ip_sum + bytes;

	memcpy(at, conn->mac, 8); /* and two bytes that the next ones cover */
	memcpy(at + PORT_MAC_BYTES, usual->head, sizeof(usual->head));
	be_store16(ip + 2, (uint16_t)bytes);
	sum += sum >> 16;
	be_store32(ip + 8, 64u << 24 | 6u << 16 | (~sum & 0xffff));
	memcpy(ip + 12, &usual->source, sizeof(usual->source));
	be_store32(ip + 16, conn->remote.word[3]);
}

/* A word of the header, in network order; what is written is added up as well:
 * loads of what has just been stored in smaller pieces would have to wait. */
static inline uint64_t
tcp_calm_put(uint8_t *at, uint32_t value)
{
	uint32_t word = __builtin_bswap32(value);

	memcpy(at, &word, sizeof(word));
	return word;
}

/* The checksum of a segment of `bytes`, whose header adds up to `sum`. */
static inline void
tcp_calm_checksum(struct rte_mbuf *mbuf, uint8_t *tcp, uint32_t payload,
		  uint64_t sum)
{
	uint8_t *data = tcp + TCP_CALM_HEADER;
	uint16_t folded;

	/* What it was queued with, when its port was another. */
	mbuf->ol_flags &= ~(uint64_t)(RTE_MBUF_F_TX_TCP_CKSUM |
				      RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
	/* There is room for a whole last word: see tcp_conn_mss(). */
	memset(data + payload, 0, 8);
	sum = ip_sum_words(sum, __builtin_bswap32(TCP_CALM_HEADER + payload),
			   data, (payload + 7) / 8);
	folded = (uint16_t)~ip_fold_sum(sum);
	memcpy(tcp + 16, &folded, sizeof(folded));
}

/* The same for a port that makes it. */
static inline void
tcp_calm_checksum_offload(struct tcp_core *core, struct rte_mbuf *mbuf,
			  uint8_t *tcp, uint32_t payload)
{
	uint64_t sum = __builtin_bswap32(6 + TCP_CALM_HEADER + payload);
	uint16_t folded = (uint16_t)ip_fold_sum(ip_sum(sum, tcp - 8, 8));

	core->counters.tx_offloaded++;
	mbuf->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
	mbuf->tx_offload = rte_mbuf_tx_offload(TCP_ETHER_BYTES, TCP_IP4_BYTES,
					       TCP_CALM_HEADER, 0, 0, 0, 0);
	memcpy(tcp + 16, &folded, sizeof(folded));
}

/* Writes the headers of a queued segment. */
static inline void
tcp_calm_write(struct tcp_core *core, struct tcp_conn *conn,
	       struct rte_mbuf *mbuf, const struct tcp_seg *seg)
{
	uint32_t payload = seg->bytes;
	uint32_t offset = seg->offset - TCP_CALM_HEADER;
	uint8_t *tcp = (uint8_t *)mbuf->buf_addr + offset;
	uint64_t sum = conn->tcp_sum;

	mbuf->data_off = (uint16_t)(offset - TCP_CALM_BELOW);
	mbuf->data_len = (uint16_t)(TCP_CALM_BELOW + TCP_CALM_HEADER + payload);
	mbuf->pkt_len = TCP_CALM_BELOW + TCP_CALM_HEADER + payload;
	tcp_calm_write_below(core, conn, tcp - TCP_CALM_BELOW,
			     TCP_IP4_BYTES + TCP_CALM_HEADER + payload);
	be_store32(tcp, (uint32_t)conn->local_port << 16 | conn->remote_port);
	sum += tcp_calm_put(tcp + 4, seg->seq);
	sum += tcp_calm_put(tcp + 8, conn->rcv_nxt);
	sum += tcp_calm_put(tcp + 12,
			    TCP_CALM_HEADER << 26 | (TCP_ACK | TCP_PSH) << 16 |
				    tcp_calm_window_field(core, conn));
	memcpy(tcp + 16, core->calm_options, sizeof(core->calm_options));
	sum += core->calm_options[2];
	sum += tcp_calm_put(tcp + 28, conn->ts_recent);
	if ((core->config.port->tx_offloads & PORT_TX_TCP_CHECKSUM) == 0)
		tcp_calm_checksum(mbuf, tcp, payload, sum);
	else
		tcp_calm_checksum_offload(core, mbuf, tcp, payload);
}

/* When its tail is to be probed, as tcp_out_arm() has it; `flight` is not 0. */
static inline void
tcp_calm_arm(struct tcp_core *core, struct tcp_conn *conn, uint32_t flight)
{
	uint32_t wait_us = 2 * conn->srtt_us;

	if (flight <= conn->mss)
		wait_us += TCP_TLP_DELAYED_US;
	if (wait_us < 1000)
		wait_us = 1000;
	if (FAL_UNLIKELY(wait_us >= core->rto_min_us)) {
		conn->tx_deadline = 0;
		tcp_out_arm_rare(core, conn);
		return;
	}
	tcp_set(conn, TCP_TIMER_TLP);
	conn->tx_deadline = tcp_timer_in(core, (uint64_t)wait_us * NS_PER_US);
	/* There is no other deadline: see tcp_timer_rearm(). */
	if (FAL_UNLIKELY((conn->lists & TCP_IN_WHEEL) == 0 ||
			 !tcp_seq_le(conn->wheel_tick, conn->tx_deadline)))
		tcp_timer_arm(core, conn);
}

/* Sends what a connection has queued if that is one segment, and both windows
 * have room for it. */
static inline __attribute__((always_inline)) bool
tcp_calm_out(struct tcp_core *core, struct tcp_conn *conn)
{
	struct rte_mbuf *mbuf = conn->snd_send;
	struct tcp_seg *seg = tcp_seg_of(mbuf);
	uint32_t una = conn->snd_una, nxt = conn->snd_nxt, end;

	if (FAL_UNLIKELY(mbuf == NULL || seg->next != NULL ||
			 rte_mbuf_refcnt_read(mbuf) != 1 ||
			 core->tx_count == TCP_TX_QUEUE))
		return false;
	end = seg->seq + seg->bytes;
	if (FAL_UNLIKELY(end - una > conn->cwnd || end - una > conn->snd_wnd))
		return false;
	FAL_ASSERT_SLOW(tcp_calm_holds(core, conn));
	FAL_ASSERT_SLOW(seg->bytes > 0 && seg->bytes <= conn->mss &&
			seg->offset >= RTE_PKTMBUF_HEADROOM);
	rte_mbuf_refcnt_set(mbuf, 2);
	tcp_calm_write(core, conn, mbuf, seg);
	core->tx[core->tx_count++] = mbuf;
	memcpy(&seg->sent_us, &core->now_us, 8);
	conn->last_ack_sent = conn->rcv_nxt;
	conn->ack_deadline = 0;
	conn->ack_segments = 0;
	tcp_clear(conn, TCP_ACK_NOW);
	conn->snd_nxt = end;
	conn->snd_send = NULL;
	/* It was for persist; or the tail is another one now. */
	if (una == nxt || tcp_has(conn, TCP_TIMER_TLP) ||
	    conn->tx_deadline == 0)
		tcp_calm_arm(core, conn, end - una);
	else
		tcp_out_arm_rare(core, conn);
	return true;
}

#endif
