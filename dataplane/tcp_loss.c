/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_loss - what acknowledgements say about sent segments, and what silence
 * says.
 *
 * Each sent segment carries its fate: SACKed, lost, sent again. Two byte sums,
 * sacked and lost, are kept beside the list, so that
 *
 *   pipe = (snd_nxt - snd_una) - sacked - lost
 *
 * as in RFC 6675; a lost segment that is sent again leaves `lost`. Recovery
 * begins when something is lost, as tcp_rack.c judges, and ends when what was
 * sent at its beginning is acknowledged. Peers without SACK get RFC 6582
 * (NewReno): duplicate acks count as segments that left the network, a partial
 * ack names the next lost one.
 */

#include "dataplane/tcp_int.h"

uint32_t
tcp_loss_pipe(const struct tcp_conn *conn)
{
	uint32_t flight = conn->snd_nxt - conn->snd_una;
	uint32_t left = conn->sacked + conn->lost +
			(tcp_has(conn, TCP_FIN_LOST) ? 1u : 0u);

	if (!tcp_has(conn, TCP_HAS_SACK) && tcp_has(conn, TCP_RECOVERY))
		left += (uint32_t)conn->dupacks * conn->mss;
	return flight > left ? flight - left : 0;
}

/* RFC 6298 section 2, in microseconds. */
void
tcp_loss_rtt(struct tcp_conn *conn, uint32_t rtt_us)
{
	if (rtt_us > TCP_RTO_MAX_US)
		rtt_us = TCP_RTO_MAX_US;
	if (rtt_us == 0)
		rtt_us = 1;
	if (FAL_UNLIKELY(conn->srtt_us == 0)) {
		conn->srtt_us = rtt_us;
		conn->rttvar_us = rtt_us / 2;
	} else {
		uint32_t delta = conn->srtt_us > rtt_us
					 ? conn->srtt_us - rtt_us
					 : rtt_us - conn->srtt_us;

		conn->rttvar_us = (3 * conn->rttvar_us + delta) / 4;
		conn->srtt_us = (7 * conn->srtt_us + rtt_us) / 8;
	}
}

/* RFC 6298 (2.3), between the configured minimum and our maximum. A lost SYN
 * leaves one second, where (5.7) has three. */
uint32_t
tcp_loss_rto_us(const struct tcp_core *core, const struct tcp_conn *conn)
{
	uint64_t rto_us = conn->srtt_us + 4ull * conn->rttvar_us;

	if (conn->srtt_us == 0)
		return TCP_RTO_FIRST_US;
	if (rto_us < core->rto_min_us)
		rto_us = core->rto_min_us;
	return rto_us > TCP_RTO_MAX_US ? TCP_RTO_MAX_US : (uint32_t)rto_us;
}

static void
tcp_loss_uncount(struct tcp_conn *conn, const struct tcp_seg *seg,
		 uint32_t bytes)
{
	if ((seg->flags & TCP_SEG_SACKED) != 0)
		conn->sacked -= bytes;
	if ((seg->flags & TCP_SEG_LOST) != 0)
		conn->lost -= bytes;
}

/* Frees what `ack` covers; the RTT comes from the last whole segment that was
 * sent once (Karn). */
static void
tcp_loss_pop(struct tcp_core *core, struct tcp_conn *conn,
	     const struct tcp_packet *packet,
	     const struct tcp_rack_mark *latest)
{
	uint32_t ack = packet->ack;
	uint32_t sent_us = 0;
	bool has_rtt = false;

	while (conn->snd_head != conn->snd_send) {
		struct rte_mbuf *mbuf = conn->snd_head;
		struct tcp_seg *seg = tcp_seg_of(mbuf);
		uint32_t bytes = ack - seg->seq;

		if (!tcp_seq_lt(seg->seq, ack))
			break;
		if (bytes < seg->bytes) {
			tcp_loss_uncount(conn, seg, bytes);
			seg->seq = ack;
			seg->offset = (uint16_t)(seg->offset + bytes);
			seg->bytes = (uint16_t)(seg->bytes - bytes);
			break;
		}
		tcp_loss_uncount(conn, seg, seg->bytes);
		if ((seg->flags & TCP_SEG_SACKED) == 0)
			tcp_rack_delivered(core, conn, seg, packet, latest);
		if ((seg->flags & (TCP_SEG_AGAIN | TCP_SEG_SACKED)) == 0) {
			sent_us = seg->sent_us;
			has_rtt = true;
		}
		conn->snd_head = seg->next;
		if (conn->snd_head == NULL)
			conn->snd_tail = NULL;
		tcp_mbuf_free(core, mbuf);
	}
	if (has_rtt)
		tcp_loss_rtt(conn, core->now_us - sent_us);
}

void
tcp_loss_mark(struct tcp_conn *conn, struct tcp_seg *seg)
{
	if ((seg->flags & (TCP_SEG_SACKED | TCP_SEG_LOST)) != 0)
		return;
	seg->flags |= TCP_SEG_LOST;
	conn->lost += seg->bytes;
}

static void
tcp_loss_mark_head(struct tcp_conn *conn)
{
	if (conn->snd_head != conn->snd_send)
		tcp_loss_mark(conn, tcp_seg_of(conn->snd_head));
	else if (tcp_has(conn, TCP_FIN_SENT))
		tcp_set(conn, TCP_FIN_LOST);
}

void
tcp_loss_enter(struct tcp_core *core, struct tcp_conn *conn)
{
	tcp_cubic_loss(conn);
	conn->cwnd = conn->ssthresh;
	conn->recover = conn->snd_nxt;
	tcp_set(conn, TCP_RECOVERY);
	core->counters.recoveries++;
}

/* RFC 6582 3.2: beside the one that was sent again a partial ack covers only
 * segments that duplicate acks have announced. */
static void
tcp_loss_deflate(struct tcp_conn *conn, uint32_t acked)
{
	uint32_t announced = acked / conn->mss;

	announced = announced > 0 ? announced - 1 : 0;
	if (!tcp_has(conn, TCP_RECOVERY) || announced > conn->dupacks)
		conn->dupacks = 0;
	else
		conn->dupacks = (uint8_t)(conn->dupacks - announced);
}

static void
tcp_loss_advance(struct tcp_core *core, struct tcp_conn *conn,
		 const struct tcp_packet *packet,
		 const struct tcp_rack_mark *latest)
{
	uint32_t ack = packet->ack;
	uint32_t acked = ack - conn->snd_una;
	bool was_full = conn->snd_nxt - conn->snd_una + conn->mss >= conn->cwnd;

	tcp_loss_pop(core, conn, packet, latest);
	conn->snd_una = ack;
	conn->backoff = 0;
	tcp_loss_deflate(conn, acked);
	if (tcp_has(conn, TCP_RECOVERY)) {
		if (tcp_seq_le(conn->recover, ack)) {
			if (!tcp_has(conn, TCP_LOSS))
				conn->cwnd = conn->ssthresh;
			tcp_clear(conn, TCP_RECOVERY | TCP_LOSS);
			conn->dupacks = 0;
			tcp_rack_recovered(core, conn);
		} else if (tcp_has(conn, TCP_LOSS)) {
			tcp_cubic_grow(core, conn, acked);
		} else if (!tcp_has(conn, TCP_HAS_SACK)) {
			tcp_loss_mark_head(conn);
		}
	} else if (was_full) {
		/* RFC 7661: a window that is not used tells nothing. */
		tcp_cubic_grow(core, conn, acked);
	}
	/* RFC 6298 (5.2), (5.3): tcp_out() arms what is needed next. */
	conn->tx_deadline = 0;
	tcp_clear(conn, TCP_TIMER_RACK | TCP_TIMER_TLP);
	tcp_conn_out(core, conn);
	tcp_conn_news(core, conn, TCP_NEWS_ROOM);
}

/* Marks whole segments inside a block that lies in what was sent. */
static void
tcp_loss_sack(struct tcp_core *core, struct tcp_conn *conn,
	      const struct tcp_packet *packet, const struct tcp_sack *sack,
	      const struct tcp_rack_mark *latest)
{
	struct rte_mbuf *mbuf;

	if (!tcp_seq_lt(sack->left, sack->right) ||
	    !tcp_seq_lt(conn->snd_una, sack->left) ||
	    !tcp_seq_le(sack->right, conn->snd_nxt))
		return; /* D-SACK or nonsense */
	for (mbuf = conn->snd_head; mbuf != conn->snd_send;
	     mbuf = tcp_seg_of(mbuf)->next) {
		struct tcp_seg *seg = tcp_seg_of(mbuf);

		if (!tcp_seq_lt(seg->seq, sack->right))
			return;
		if (tcp_seq_lt(seg->seq, sack->left) ||
		    tcp_seq_lt(sack->right, seg->seq + seg->bytes) ||
		    (seg->flags & TCP_SEG_SACKED) != 0)
			continue;
		tcp_rack_delivered(core, conn, seg, packet, latest);
		tcp_loss_uncount(conn, seg, seg->bytes);
		seg->flags = (uint8_t)((seg->flags | TCP_SEG_SACKED) &
				       ~TCP_SEG_LOST);
		conn->sacked += seg->bytes;
	}
}

/* RFC 5681 section 2. With SACK a duplicate ack is one that reports something
 * new (RFC 6675 section 2); others are copies that the network made. */
static bool
tcp_loss_is_duplicate(const struct tcp_conn *conn,
		      const struct tcp_packet *packet)
{
	return packet->ack == conn->snd_una && conn->snd_nxt != conn->snd_una &&
	       packet->bytes == 0 && (packet->flags & TCP_FIN) == 0 &&
	       !tcp_has(conn, TCP_HAS_SACK) &&
	       (uint32_t)packet->window << conn->snd_shift == conn->snd_wnd;
}

/* What the SACK blocks say; the first may report a duplicate (RFC 2883). */
static void
tcp_loss_sacks(struct tcp_core *core, struct tcp_conn *conn,
	       const struct tcp_packet *packet,
	       const struct tcp_rack_mark *latest)
{
	const struct tcp_sack *sacks = packet->options.sacks;
	uint32_t count = packet->options.sack_count;
	uint32_t before = conn->sacked;

	if (tcp_seq_le(sacks[0].right, packet->ack) ||
	    (count > 1 && tcp_seq_le(sacks[1].left, sacks[0].left) &&
	     tcp_seq_le(sacks[0].right, sacks[1].right)))
		tcp_rack_duplicate(core, conn, &sacks[0]);
	for (uint32_t i = 0; i < count; i++)
		tcp_loss_sack(core, conn, packet, &sacks[i], latest);
	if (conn->sacked > before && conn->dupacks < UINT8_MAX)
		conn->dupacks++;
}

/* Takes an acceptable ack; called before the window is updated. */
void
tcp_loss_ack(struct tcp_core *core, struct tcp_conn *conn,
	     const struct tcp_packet *packet)
{
	struct tcp_rack_mark latest = conn->rack;

	if (tcp_seq_lt(conn->snd_una, packet->ack)) {
		tcp_loss_advance(core, conn, packet, &latest);
	} else if (tcp_loss_is_duplicate(conn, packet)) {
		if (conn->dupacks < UINT8_MAX)
			conn->dupacks++;
		if (conn->dupacks == 3 && !tcp_has(conn, TCP_RECOVERY)) {
			tcp_loss_mark_head(conn);
			tcp_loss_enter(core, conn);
		}
	}
	if (tcp_has(conn, TCP_HAS_SACK)) {
		if (packet->options.sack_count > 0)
			tcp_loss_sacks(core, conn, packet, &latest);
		if (conn->sacked > 0 || tcp_has(conn, TCP_RECOVERY))
			tcp_rack_look(core, conn);
		tcp_rack_probe_acked(core, conn, packet->ack);
	}
	if (conn->lost > 0 || conn->snd_send != NULL ||
	    tcp_has(conn, TCP_FIN_QUEUED))
		tcp_conn_out(core, conn);
}

static void
tcp_loss_syn_timeout(struct tcp_core *core, struct tcp_conn *conn)
{
	if (!tcp_has(conn, TCP_SYN_DUE) &&
	    ++conn->backoff >= TCP_SYN_TRIES_MAX) {
		core->counters.timed_out++;
		tcp_conn_end(core, conn, TCP_REASON_TIMED_OUT);
		return;
	}
	tcp_set(conn, TCP_SYN_DUE);
	tcp_conn_out(core, conn);
}

static void
tcp_loss_all(struct tcp_core *core, struct tcp_conn *conn)
{
	struct rte_mbuf *mbuf;

	core->counters.rto_timeouts++;
	/* RFC 5681 (4): only the first timeout of a segment counts. */
	if (conn->backoff == 1)
		tcp_cubic_loss(conn);
	tcp_clear(conn, TCP_TLP_OUT | TCP_TLP_AGAIN);
	conn->cwnd = conn->mss;
	conn->dupacks = 0;
	conn->recover = conn->snd_nxt;
	tcp_set(conn, TCP_RECOVERY | TCP_LOSS);
	/* RFC 2018 section 8: the receiver may have dropped what it SACKed. */
	conn->sacked = 0;
	conn->lost = 0;
	for (mbuf = conn->snd_head; mbuf != conn->snd_send;
	     mbuf = tcp_seg_of(mbuf)->next) {
		struct tcp_seg *seg = tcp_seg_of(mbuf);

		seg->flags = TCP_SEG_AGAIN;
		tcp_loss_mark(conn, seg);
	}
	if (tcp_has(conn, TCP_FIN_SENT))
		tcp_set(conn, TCP_FIN_LOST);
	/* The next hop may have got another card: ask anew. */
	neighbour_resolve(core, &conn->remote, conn->mac);
}

/* The tx deadline has passed. */
void
tcp_loss_timeout(struct tcp_core *core, struct tcp_conn *conn)
{
	bool is_rack = tcp_has(conn, TCP_TIMER_RACK);
	bool is_tlp = tcp_has(conn, TCP_TIMER_TLP);

	conn->tx_deadline = 0;
	tcp_clear(conn, TCP_TIMER_RACK | TCP_TIMER_TLP);
	if (conn->state <= TCP_SYN_RECEIVED) {
		tcp_loss_syn_timeout(core, conn);
		return;
	}
	if (is_rack || is_tlp) {
		if (is_rack)
			tcp_rack_look(core, conn);
		else
			tcp_set(conn, TCP_TLP_DUE);
		tcp_conn_out(core, conn);
		return;
	}
	conn->backoff++;
	FAL_PROBE2(rto, conn->remote_port, conn->backoff);
	if (conn->snd_una != conn->snd_nxt) {
		if (conn->backoff > TCP_RETRIES_MAX) {
			core->counters.timed_out++;
			tcp_out_reset(core, conn);
			tcp_conn_end(core, conn, TCP_REASON_TIMED_OUT);
			return;
		}
		tcp_loss_all(core, conn);
	} else {
		/* RFC 9293 3.8.6.1: a closed window is probed for ever, as long
		 * as the probes are answered. */
		if (++conn->probes > TCP_RETRIES_MAX) {
			core->counters.timed_out++;
			tcp_out_reset(core, conn);
			tcp_conn_end(core, conn, TCP_REASON_TIMED_OUT);
			return;
		}
		if (conn->backoff > 10)
			conn->backoff = 10;
		tcp_set(conn, TCP_PROBE_DUE);
	}
	tcp_conn_out(core, conn);
}

/* Segments larger than the MSS are under way to where they do not fit: they go
 * again, cut. It is no congestion (RFC 1191 section 6.4). */
void
tcp_loss_too_big(struct tcp_core *core, struct tcp_conn *conn)
{
	struct rte_mbuf *mbuf;

	for (mbuf = conn->snd_head; mbuf != conn->snd_send;
	     mbuf = tcp_seg_of(mbuf)->next) {
		struct tcp_seg *seg = tcp_seg_of(mbuf);

		if (seg->bytes > conn->mss)
			tcp_loss_mark(conn, seg);
	}
	tcp_conn_out(core, conn);
}

/* Frees the output. */
void
tcp_loss_drop(struct tcp_conn *conn)
{
	while (conn->snd_head != NULL) {
		struct rte_mbuf *mbuf = conn->snd_head;

		conn->snd_head = tcp_seg_of(mbuf)->next;
		rte_pktmbuf_free(mbuf);
	}
	conn->snd_tail = NULL;
	conn->snd_send = NULL;
	conn->sacked = 0;
	conn->lost = 0;
}
