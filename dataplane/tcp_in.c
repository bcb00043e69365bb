/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_in - segment arrival, in the order of RFC 9293 section 3.10.7:
 * timestamps (RFC 7323 5.3), sequence number, RST, SYN, ACK, payload, FIN, with
 * the stricter RST, SYN and ACK rules of RFC 5961. The URG bit is ignored: its
 * bytes are part of the stream.
 */

#include "dataplane/tcp_int.h"

static void
tcp_in_ack_now(struct tcp_core *core, struct tcp_conn *conn)
{
	tcp_set(conn, TCP_ACK_NOW);
	tcp_conn_out(core, conn);
}

/* An ack to whoever sent something unexpected. If that came from another card
 * than ours goes to, the peer's machine may have been replaced: the next hop is
 * looked up, and as long as it is not known the sender itself is answered. */
static void
tcp_in_ack_sender(struct tcp_core *core, struct tcp_conn *conn,
		  const struct tcp_packet *packet)
{
	if (memcmp(conn->mac, packet->mac, PORT_MAC_BYTES) == 0 ||
	    neighbour_resolve(core, &conn->remote, conn->mac))
		tcp_in_ack_now(core, conn);
	else
		tcp_out_answer(
			core, packet, conn->snd_nxt, conn->rcv_nxt, TCP_ACK,
			(conn->rcv_adv - conn->rcv_nxt) >> conn->rcv_shift,
			NULL, 0);
}

/* RFC 5961 section 7, counted per connection: one global counter tells an
 * attacker about others. */
static void
tcp_in_challenge(struct tcp_core *core, struct tcp_conn *conn,
		 const struct tcp_packet *packet)
{
	uint16_t second = (uint16_t)(core->now_ns / NS_PER_SECOND);

	if (conn->challenge_second != second) {
		conn->challenge_second = second;
		conn->challenge_count = 0;
	}
	if (conn->challenge_count >= TCP_CHALLENGE_MAX)
		return;
	conn->challenge_count++;
	core->counters.challenge_acks++;
	tcp_in_ack_sender(core, conn, packet);
}

/* Our SYN was answered; settles what the two sides agreed on. */
static void
tcp_in_agree(struct tcp_core *core, struct tcp_conn *conn,
	     const struct tcp_packet *packet)
{
	const struct tcp_options *options = &packet->options;

	conn->rcv_nxt = packet->seq + 1;
	conn->rcv_adv = conn->rcv_nxt;
	conn->last_ack_sent = conn->rcv_nxt;
	conn->snd_wnd = packet->window;
	conn->snd_wnd_max = packet->window;
	conn->snd_wl1 = packet->seq;
	if (!options->has_timestamps)
		tcp_clear(conn, TCP_HAS_TS);
	conn->ts_recent = options->ts_value;
	if (!options->sack_permitted)
		tcp_clear(conn, TCP_HAS_SACK);
	if (options->has_window_shift)
		conn->snd_shift = options->window_shift;
	else
		conn->rcv_shift = 0;
	tcp_conn_mss(core, conn, options->mss);
}

/* RFC 9293 3.10.7.3 */
static void
tcp_in_syn_sent(struct tcp_core *core, struct tcp_conn *conn,
		struct tcp_packet *packet)
{
	bool has_ack = (packet->flags & TCP_ACK) != 0;

	if (has_ack && packet->ack != conn->snd_nxt) {
		if ((packet->flags & TCP_RST) == 0)
			tcp_out_refuse(core, packet);
		return;
	}
	if ((packet->flags & TCP_RST) != 0) {
		if (has_ack) {
			core->counters.resets_received++;
			tcp_conn_end(core, conn, TCP_REASON_REFUSED);
		}
		return;
	}
	if ((packet->flags & TCP_SYN) == 0)
		return;
	tcp_in_agree(core, conn, packet);
	if (has_ack) {
		conn->snd_una = packet->ack;
		tcp_conn_establish(core, conn);
		tcp_in_ack_now(core, conn);
		return;
	}
	/* Both sides opened at once. */
	conn->state = TCP_SYN_RECEIVED;
	tcp_set(conn, TCP_SYN_DUE);
	tcp_conn_out(core, conn);
}

/* The four cases of RFC 9293 table 6. */
static bool
tcp_in_is_acceptable(const struct tcp_conn *conn,
		     const struct tcp_packet *packet)
{
	uint32_t length = packet->bytes +
			  ((packet->flags & TCP_SYN) != 0 ? 1u : 0u) +
			  ((packet->flags & TCP_FIN) != 0 ? 1u : 0u);
	uint32_t edge = conn->rcv_adv;
	uint32_t last = packet->seq + length - 1;

	if (!tcp_seq_lt(conn->rcv_nxt, edge))
		return length == 0 && packet->seq == conn->rcv_nxt;
	if (tcp_seq_le(conn->rcv_nxt, packet->seq) &&
	    tcp_seq_lt(packet->seq, edge))
		return true;
	return length > 0 && tcp_seq_le(conn->rcv_nxt, last) &&
	       tcp_seq_lt(last, edge);
}

/* An ack for a segment that is not acceptable. For those that carry nothing the
 * rate is limited: two ends that disagree would answer each other for ever. */
static void
tcp_in_answer_stray(struct tcp_core *core, struct tcp_conn *conn,
		    const struct tcp_packet *packet)
{
	if (packet->bytes > 0 || (packet->flags & (TCP_SYN | TCP_FIN)) != 0)
		tcp_in_ack_sender(core, conn, packet);
	else
		tcp_in_challenge(core, conn, packet);
}

/* Timestamps: RFC 7323 3.2 and 5.3. Returns whether the segment goes on. */
static bool
tcp_in_timestamps(struct tcp_core *core, struct tcp_conn *conn,
		  const struct tcp_packet *packet)
{
	if (!tcp_has(conn, TCP_HAS_TS) || (packet->flags & TCP_RST) != 0)
		return true;
	if (!packet->options.has_timestamps)
		return false;
	if (tcp_seq_lt(packet->options.ts_value, conn->ts_recent)) {
		core->counters.paws++;
		tcp_in_answer_stray(core, conn, packet);
		return false;
	}
	return true;
}

/* A new SYN for a connection in TIME-WAIT (RFC 6191, RFC 9293 3.6.1). */
static bool
tcp_in_reopens(struct tcp_core *core, const struct tcp_conn *conn,
	       const struct tcp_packet *packet)
{
	uint32_t flags = TCP_SYN | TCP_ACK | TCP_RST;

	if (conn->state != TCP_TIME_WAIT ||
	    (packet->flags & flags) != TCP_SYN ||
	    tcp_syn_listener(core, &packet->destination, conn->local_port) ==
		    NULL)
		return false;
	if (tcp_has(conn, TCP_HAS_TS) && packet->options.has_timestamps)
		return tcp_seq_lt(conn->ts_recent, packet->options.ts_value) ||
		       (conn->ts_recent == packet->options.ts_value &&
			tcp_seq_lt(conn->rcv_nxt, packet->seq));
	return tcp_seq_lt(conn->rcv_nxt, packet->seq);
}

/* RFC 5961 section 3. */
static void
tcp_in_reset(struct tcp_core *core, struct tcp_conn *conn,
	     const struct tcp_packet *packet)
{
	/* RFC 1337: a RST does not cut TIME-WAIT short. */
	if (conn->state == TCP_TIME_WAIT)
		return;
	if (packet->seq != conn->rcv_nxt) {
		tcp_in_challenge(core, conn, packet);
		return;
	}
	core->counters.resets_received++;
	if (conn->state == TCP_SYN_RECEIVED)
		tcp_conn_end(core, conn, TCP_REASON_REFUSED);
	else if (conn->state >= TCP_CLOSING)
		/* Both FINs have passed: the streams are whole. */
		tcp_conn_end(core, conn, TCP_REASON_NONE);
	else
		tcp_conn_end(core, conn, TCP_REASON_RESET);
}

/* RFC 9293 3.10.7.4, fifth: SYN_RECEIVED. */
static bool
tcp_in_opens(struct tcp_core *core, struct tcp_conn *conn,
	     const struct tcp_packet *packet)
{
	if (packet->ack != conn->snd_nxt) {
		tcp_out_refuse(core, packet);
		return false;
	}
	conn->snd_una = packet->ack;
	/* RFC 7323 2.2: the window of a SYN is never scaled. */
	conn->snd_wnd = packet->window;
	if ((packet->flags & TCP_SYN) == 0)
		conn->snd_wnd <<= conn->snd_shift;
	conn->snd_wnd_max = conn->snd_wnd;
	conn->snd_wl1 = packet->seq;
	tcp_conn_establish(core, conn);
	return true;
}

/* Takes the window of a segment; `field` is not scaled yet. */
void
tcp_in_window(struct tcp_core *core, struct tcp_conn *conn, uint32_t seq,
	      uint32_t ack, uint32_t field)
{
	uint32_t window = field << conn->snd_shift;

	/* SND.WL2 is in snd_una: what acknowledges less is an older segment. */
	if (!tcp_seq_lt(conn->snd_wl1, seq) &&
	    !(conn->snd_wl1 == seq && ack == conn->snd_una))
		return;
	if (window > conn->snd_wnd) {
		if (conn->snd_wnd == 0) {
			conn->backoff = 0;
			conn->tx_deadline = 0;
		}
		tcp_conn_out(core, conn);
	}
	conn->snd_wnd = window;
	if (window > conn->snd_wnd_max)
		conn->snd_wnd_max = window;
	conn->snd_wl1 = seq;
}

/* Our FIN is acknowledged. Returns whether the segment goes on. */
static bool
tcp_in_fin_acked(struct tcp_core *core, struct tcp_conn *conn)
{
	switch (conn->state) {
	case TCP_FIN_WAIT_1:
		conn->state = TCP_FIN_WAIT_2;
		return true;
	case TCP_CLOSING:
		tcp_time_wait_enter(core, conn);
		return true;
	case TCP_LAST_ACK:
		tcp_conn_end(core, conn, TCP_REASON_NONE);
		return false;
	default:
		return true;
	}
}

/* Returns whether the segment goes on. */
static bool
tcp_in_ack(struct tcp_core *core, struct tcp_conn *conn,
	   const struct tcp_packet *packet)
{
	uint32_t oldest = conn->snd_una - conn->snd_wnd_max;

	if (conn->state == TCP_SYN_RECEIVED &&
	    !tcp_in_opens(core, conn, packet))
		return false;
	/* RFC 5961 section 5 */
	if (tcp_seq_lt(conn->snd_nxt, packet->ack) ||
	    tcp_seq_lt(packet->ack, oldest)) {
		core->counters.ack_unacceptable++;
		tcp_in_challenge(core, conn, packet);
		return false;
	}
	/* All is acknowledged; where loss recovery keeps its state, the list of
	 * those in TIME-WAIT is by now. */
	if (conn->state == TCP_TIME_WAIT)
		return true;
	conn->probes = 0;
	tcp_loss_ack(core, conn, packet);
	tcp_in_window(core, conn, packet->seq, packet->ack, packet->window);
	if (tcp_has(conn, TCP_FIN_SENT) && conn->snd_una == conn->snd_end + 1)
		return tcp_in_fin_acked(core, conn);
	return true;
}

static void
tcp_in_fin(struct tcp_core *core, struct tcp_conn *conn)
{
	conn->rcv_nxt++;
	tcp_set(conn, TCP_FIN_SEEN);
	tcp_in_ack_now(core, conn);
	tcp_conn_news(core, conn, TCP_NEWS_FIN);
	switch (conn->state) {
	case TCP_ESTABLISHED:
		conn->state = TCP_CLOSE_WAIT;
		break;
	case TCP_FIN_WAIT_1:
		conn->state = TCP_CLOSING;
		break;
	case TCP_FIN_WAIT_2:
		tcp_time_wait_enter(core, conn);
		break;
	default:
		break;
	}
}

static void
tcp_in_text(struct tcp_core *core, struct tcp_conn *conn,
	    struct tcp_packet *packet)
{
	uint32_t end = packet->seq + packet->bytes;

	if (conn->state == TCP_TIME_WAIT) {
		/* Only the peer's FIN again gets here; RFC 9293: 2 MSL anew. */
		if ((packet->flags & TCP_FIN) != 0)
			tcp_time_wait_enter(core, conn);
		return;
	}
	if (tcp_has(conn, TCP_FIN_SEEN))
		return;
	if (packet->bytes > 0)
		tcp_data_in(core, conn, packet);
	if ((packet->flags & TCP_FIN) == 0)
		return;
	/* A FIN behind a hole comes again, the sooner the better. */
	if (conn->rcv_nxt == end)
		tcp_in_fin(core, conn);
	else
		tcp_in_ack_now(core, conn);
}

/* The peer's SYN again in SYN-RECEIVED: ours was lost. With an ack it is the
 * second half of a simultaneous open (RFC 9293 figure 8). */
static void
tcp_in_syn_again(struct tcp_core *core, struct tcp_conn *conn,
		 const struct tcp_packet *packet)
{
	if ((packet->flags & TCP_ACK) == 0) {
		tcp_set(conn, TCP_SYN_DUE);
		tcp_conn_out(core, conn);
	} else if (tcp_in_opens(core, conn, packet)) {
		tcp_in_ack_now(core, conn);
	}
}

static void
tcp_in_unacceptable(struct tcp_core *core, struct tcp_conn *conn,
		    const struct tcp_packet *packet)
{
	core->counters.outside_window++;
	if ((packet->flags & TCP_RST) != 0)
		return;
	if (conn->state == TCP_SYN_RECEIVED &&
	    packet->seq == conn->rcv_nxt - 1 &&
	    (packet->flags & TCP_SYN) != 0) {
		tcp_in_syn_again(core, conn, packet);
		return;
	}
	if (conn->state == TCP_TIME_WAIT && (packet->flags & TCP_FIN) != 0)
		tcp_time_wait_enter(core, conn);
	/* RFC 2883 section 4: a duplicate below rcv_nxt is reported. */
	if (packet->bytes > 0 && tcp_has(conn, TCP_HAS_SACK) &&
	    tcp_seq_le(packet->seq + packet->bytes, conn->rcv_nxt)) {
		conn->dsack.left = packet->seq;
		conn->dsack.right = packet->seq + packet->bytes;
		tcp_set(conn, TCP_DSACK);
	}
	tcp_in_answer_stray(core, conn, packet);
}

/* RFC 9293 3.10.7.4 */
static void
tcp_in_synchronized(struct tcp_core *core, struct tcp_conn *conn,
		    struct tcp_packet *packet)
{
	if (!tcp_in_timestamps(core, conn, packet))
		return;
	/* With a closed window valid ACK and RST still count. */
	if (!tcp_in_is_acceptable(conn, packet)) {
		bool counts = packet->seq == conn->rcv_nxt &&
			      (packet->flags & (TCP_ACK | TCP_SYN)) == TCP_ACK;

		tcp_in_unacceptable(core, conn, packet);
		if (counts && (packet->flags & TCP_RST) == 0 &&
		    conn->state >= TCP_ESTABLISHED)
			tcp_in_ack(core, conn, packet);
		return;
	}
	if (tcp_has(conn, TCP_HAS_TS) && packet->options.has_timestamps &&
	    tcp_seq_le(packet->seq, conn->last_ack_sent))
		conn->ts_recent = packet->options.ts_value;
	if ((packet->flags & TCP_RST) != 0) {
		tcp_in_reset(core, conn, packet);
		return;
	}
	if ((packet->flags & TCP_SYN) != 0) {
		/* RFC 5961 section 4 */
		tcp_in_challenge(core, conn, packet);
		return;
	}
	if ((packet->flags & TCP_ACK) == 0)
		return;
	if (tcp_in_ack(core, conn, packet))
		tcp_in_text(core, conn, packet);
}

/* An ack to a listener while cookies are out. What acknowledges none may be the
 * second segment of a client whose first one was lost: silence lets it come
 * again, where a RST would end it. */
static void
tcp_in_cookie(struct tcp_core *core, struct tcp_packet *packet)
{
	struct tcp_conn *conn = tcp_cookie_take(core, packet);

	if (conn == NULL) {
		core->counters.rx_drop_cookie++;
		return;
	}
	core->counters.rx_delivered++;
	tcp_in_synchronized(core, conn, packet);
}

static void
tcp_in_nobody(struct tcp_core *core, struct tcp_packet *packet)
{
	if ((packet->flags & TCP_RST) != 0) {
		core->counters.rx_drop_no_listener++;
		return;
	}
	if ((packet->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
	    (packet->flags & TCP_FIN) == 0 &&
	    tcp_syn_listener(core, &packet->destination,
			     packet->destination_port) != NULL) {
		tcp_syn_in(core, packet);
		return;
	}
	if (core->now_ns < core->cookies_until_ns &&
	    (packet->flags & (TCP_SYN | TCP_ACK)) == TCP_ACK &&
	    tcp_syn_listener(core, &packet->destination,
			     packet->destination_port) != NULL) {
		tcp_in_cookie(core, packet);
		return;
	}
	/* A flood of what belongs to nobody is not answered in full. */
	if (!tcp_token(core, &core->reset_tokens)) {
		core->counters.rx_drop_limit++;
		return;
	}
	core->counters.rx_answered++;
	tcp_out_refuse(core, packet);
}

/* Begins anew in the place of a TIME-WAIT, above the numbers it has used. */
static void
tcp_in_reopen(struct tcp_core *core, struct tcp_conn *old,
	      struct tcp_packet *packet)
{
	uint32_t floor = old->snd_nxt;
	struct tcp_conn *conn;

	/* Takes it out of the table also if a user still holds it. */
	tcp_conn_end(core, old, TCP_REASON_NONE);
	tcp_in_nobody(core, packet);
	conn = tcp_conn_of(core, packet);
	if (conn != NULL && !tcp_seq_lt(floor, conn->snd_una))
		tcp_conn_iss(conn, floor + 65537);
}

/* Takes a segment whose header and checksum are good. Whoever keeps the mbuf
 * sets packet->mbuf to NULL; the caller frees it otherwise. */
void
tcp_in(struct tcp_core *core, struct tcp_packet *packet)
{
	struct tcp_conn *conn = tcp_conn_of(core, packet);

	if (conn != NULL && tcp_in_reopens(core, conn, packet)) {
		tcp_in_reopen(core, conn, packet);
		return;
	}
	if (conn == NULL) {
		tcp_in_nobody(core, packet);
		return;
	}
	core->counters.rx_delivered++;
	tcp_stir(conn);
	if (conn->keepalive_ms != 0 && !tcp_has(conn, TCP_ORPHAN) &&
	    conn->state < TCP_TIME_WAIT)
		conn->life_deadline =
			tcp_timer_in(core, conn->keepalive_ms * NS_PER_MS);
	if (conn->state == TCP_SYN_SENT)
		tcp_in_syn_sent(core, conn, packet);
	else
		tcp_in_synchronized(core, conn, packet);
}
