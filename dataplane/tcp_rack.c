/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_rack - loss by time instead of by count (RFC 8985), for peers with SACK.
 *
 * What was sent a reordering window before something that has been delivered
 * is lost, whether it was sent once or again. The window is zero until the path
 * has been seen to reorder and three segments have passed a hole; then it is a
 * quarter of the round trip, and another quarter for each duplicate the peer
 * reports (RFC 2883), up to a round trip; 16 recoveries without one take it
 * back. Where the RFC has the smallest round trip we take the smoothed one: a
 * block has no room for both, and in a data centre they are alike.
 *
 * A tail that was lost whole leaves nothing to compare with. So two round trips
 * after the last segment went out one more is sent, new data or the tail again
 * (TLP): its ack tells what is missing. Times are in units of 1 us and wrap.
 *
 * Reports of duplicates also say when all of a recovery was for nothing; then
 * the congestion window is what it was before (RFC 3708).
 */

#include "dataplane/tcp_int.h"

#define RACK_PERSIST  16u
#define RACK_MULT_MAX 4u

/* Whether (time, sequence) a was sent before b. */
static bool
tcp_rack_is_before(uint32_t a_us, uint32_t a_end, uint32_t b_us, uint32_t b_end)
{
	return tcp_seq_lt(a_us, b_us) ||
	       (a_us == b_us && tcp_seq_lt(a_end, b_end));
}

/* Notes a segment that has just been delivered (6.2, steps 1 to 3). `latest`
 * is what was the latest before the ack that says so. */
void
tcp_rack_delivered(struct tcp_core *core, struct tcp_conn *conn,
		   const struct tcp_seg *seg, const struct tcp_packet *packet,
		   const struct tcp_rack_mark *latest)
{
	uint32_t sent_us = seg->sent_us;
	uint32_t rtt_us = core->now_us - sent_us;
	uint32_t end = seg->seq + seg->bytes;

	if ((seg->flags & TCP_SEG_AGAIN) != 0) {
		/* The ack may be of what was sent first. */
		if (packet->options.has_timestamps &&
		    tcp_has(conn, TCP_HAS_TS) &&
		    tcp_seq_lt(packet->options.ts_echo, seg->sent_ts))
			return;
		if (rtt_us < conn->srtt_us / 2)
			return;
	} else if (tcp_has(conn, TCP_RACK_KNOWN) &&
		   tcp_rack_is_before(sent_us, end, latest->sent_us,
				      latest->end)) {
		tcp_set(conn, TCP_REORDERS);
	}
	if (!tcp_has(conn, TCP_RACK_KNOWN) ||
	    tcp_rack_is_before(conn->rack.sent_us, conn->rack.end, sent_us,
			       end)) {
		conn->rack.sent_us = sent_us;
		conn->rack.end = end;
		conn->rack_rtt_us = rtt_us;
		tcp_set(conn, TCP_RACK_KNOWN);
	}
}

static uint32_t
tcp_rack_window_us(const struct tcp_conn *conn)
{
	uint32_t quarters = conn->rack_mult == 0 ? 1 : conn->rack_mult;
	uint32_t rtt_us =
		conn->srtt_us == 0 ? conn->rack_rtt_us : conn->srtt_us;

	if (!tcp_has(conn, TCP_REORDERS) &&
	    (tcp_has(conn, TCP_RECOVERY) || conn->dupacks >= 3 ||
	     conn->sacked > 2u * conn->mss))
		return 0;
	return quarters * (rtt_us / 4);
}

/* Marks what is lost by now (6.2, step 5). Returns in how many microseconds
 * more may be; 0: nothing waits. */
static uint32_t
tcp_rack_detect(struct tcp_core *core, struct tcp_conn *conn)
{
	uint32_t patience_us = conn->rack_rtt_us + tcp_rack_window_us(conn);
	uint32_t now_us = core->now_us;
	uint32_t wait_us = 0;
	struct rte_mbuf *mbuf;

	for (mbuf = conn->snd_head; mbuf != conn->snd_send;
	     mbuf = tcp_seg_of(mbuf)->next) {
		struct tcp_seg *seg = tcp_seg_of(mbuf);
		uint32_t sent_us = seg->sent_us;
		uint32_t due_us = sent_us + patience_us;

		if ((seg->flags & (TCP_SEG_SACKED | TCP_SEG_LOST)) != 0 ||
		    !tcp_rack_is_before(sent_us, seg->seq + seg->bytes,
					conn->rack.sent_us, conn->rack.end))
			continue;
		if (tcp_seq_le(due_us, now_us))
			tcp_loss_mark(conn, seg);
		else if (due_us - now_us > wait_us)
			wait_us = due_us - now_us;
	}
	return wait_us;
}

/* Looks for losses after an ack or when the reordering window has passed. */
void
tcp_rack_look(struct tcp_core *core, struct tcp_conn *conn)
{
	uint32_t wait_us;

	if (!tcp_has(conn, TCP_RACK_KNOWN) || conn->snd_head == conn->snd_send)
		return;
	wait_us = tcp_rack_detect(core, conn);
	if (conn->lost > 0 && !tcp_has(conn, TCP_RECOVERY))
		tcp_loss_enter(core, conn);
	if (wait_us > 0) {
		tcp_set(conn, TCP_TIMER_RACK);
		tcp_clear(conn, TCP_TIMER_TLP);
		conn->tx_deadline = tcp_timer_in(core, wait_us * NS_PER_US);
		tcp_timer_arm(core, conn);
	}
}

/* The peer got something twice: RFC 2883, and what follows from it. */
void
tcp_rack_duplicate(struct tcp_core *core, struct tcp_conn *conn,
		   const struct tcp_sack *sack)
{
	if (conn->rack_mult < RACK_MULT_MAX)
		conn->rack_mult++;
	conn->rack_persist = RACK_PERSIST;
	if (tcp_has(conn, TCP_TLP_AGAIN) && sack->right == conn->tlp_end)
		tcp_clear(conn, TCP_TLP_OUT | TCP_TLP_AGAIN);
	if (conn->undo_count == 0 || --conn->undo_count > 0)
		return;
	core->counters.undone++;
	tcp_cubic_undo(conn);
	if (conn->lost == 0)
		tcp_clear(conn, TCP_RECOVERY | TCP_LOSS);
}

/* A recovery has ended. When nothing was sent again the acks were only late. */
void
tcp_rack_recovered(struct tcp_core *core, struct tcp_conn *conn)
{
	if (!tcp_has(conn, TCP_UNDO_SENT)) {
		core->counters.undone++;
		tcp_cubic_undo(conn);
	}
	if (conn->rack_persist > 0 && --conn->rack_persist == 0)
		conn->rack_mult = 0;
}

/* An ack came while a probe was out (7.4). */
void
tcp_rack_probe_acked(struct tcp_core *core, struct tcp_conn *conn, uint32_t ack)
{
	if (!tcp_has(conn, TCP_TLP_OUT) || tcp_seq_lt(ack, conn->tlp_end))
		return;
	if (tcp_has(conn, TCP_TLP_AGAIN) && ack == conn->tlp_end)
		return; /* not known yet which of the two it was */
	/* The probe has repaired a loss: congestion it was all the same. */
	if (tcp_has(conn, TCP_TLP_AGAIN) && !tcp_has(conn, TCP_RECOVERY)) {
		tcp_loss_enter(core, conn);
		tcp_clear(conn, TCP_RECOVERY);
	}
	tcp_clear(conn, TCP_TLP_OUT | TCP_TLP_AGAIN);
}
