/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_data - received payload: in order to the input, out of order to a sorted
 * list, and what SACK says about that list.
 *
 * The mbuf the frame came in is kept and trimmed to its payload. Payloads of
 * less than 256 bytes are copied behind the last mbuf of the input when there
 * is room, so that a flood of tiny segments does not pin one mbuf each. The
 * out-of-order list never overlaps: what is there already is cut off on
 * arrival.
 */

#include "dataplane/tcp_int.h"

#define TCP_DATA_COPY_MAX 256u

static void
tcp_data_append(struct tcp_conn *conn, struct rte_mbuf *mbuf)
{
	struct rte_mbuf *tail = conn->rcv_tail;
	uint32_t bytes = mbuf->data_len;

	conn->rcv_nxt += bytes;
	/* The owner has gone: nobody will read it. */
	if (tcp_has(conn, TCP_ORPHAN)) {
		rte_pktmbuf_free(mbuf);
		return;
	}
	conn->rcv_bytes += bytes;
	if (tail != NULL && bytes < TCP_DATA_COPY_MAX &&
	    rte_pktmbuf_tailroom(tail) >= bytes) {
		memcpy((uint8_t *)rte_pktmbuf_append(tail, (uint16_t)bytes),
		       rte_pktmbuf_mtod(mbuf, const uint8_t *), bytes);
		rte_pktmbuf_free(mbuf);
		return;
	}
	tcp_seg_of(mbuf)->next = NULL;
	if (tail == NULL)
		conn->rcv_head = mbuf;
	else
		tcp_seg_of(tail)->next = mbuf;
	conn->rcv_tail = mbuf;
}

/* Moves what has become contiguous from the list to the input. */
static void
tcp_data_drain(struct tcp_core *core, struct tcp_conn *conn)
{
	while (conn->ooo_head != NULL) {
		struct rte_mbuf *mbuf = conn->ooo_head;
		struct tcp_seg *seg = tcp_seg_of(mbuf);
		uint32_t cut = conn->rcv_nxt - seg->seq;

		if (tcp_seq_lt(conn->rcv_nxt, seg->seq))
			return;
		conn->ooo_head = seg->next;
		conn->ooo_count--;
		core->counters.kept--;
		if (cut >= mbuf->data_len) {
			rte_pktmbuf_free(mbuf);
			continue;
		}
		rte_pktmbuf_adj(mbuf, (uint16_t)cut);
		tcp_data_append(conn, mbuf);
	}
}

static void
tcp_data_dsack(struct tcp_conn *conn, uint32_t left, uint32_t right)
{
	conn->dsack.left = left;
	conn->dsack.right = right;
	tcp_set(conn, TCP_DSACK);
}

/* Puts [seq, seq + data_len) into the list; the mbuf is given. */
static void
tcp_data_keep(struct tcp_core *core, struct tcp_conn *conn,
	      struct rte_mbuf *mbuf, uint32_t seq)
{
	struct rte_mbuf *before = NULL, *after = conn->ooo_head;
	uint32_t end = seq + mbuf->data_len;
	struct tcp_seg *seg = tcp_seg_of(mbuf);

	while (after != NULL && tcp_seq_le(tcp_seg_of(after)->seq, seq)) {
		uint32_t there = tcp_seg_of(after)->seq + after->data_len;

		if (tcp_seq_lt(seq, there)) {
			uint32_t cut = there - seq;

			tcp_data_dsack(conn, seq,
				       tcp_seq_lt(there, end) ? there : end);
			if (cut >= mbuf->data_len) {
				rte_pktmbuf_free(mbuf);
				return;
			}
			rte_pktmbuf_adj(mbuf, (uint16_t)cut);
			seq = there;
		}
		before = after;
		after = tcp_seg_of(after)->next;
	}
	if (after != NULL && tcp_seq_lt(tcp_seg_of(after)->seq, end))
		rte_pktmbuf_trim(mbuf,
				 (uint16_t)(end - tcp_seg_of(after)->seq));
	if (conn->ooo_count >= TCP_OOO_MAX ||
	    core->pool_level >= TCP_POOL_NO_WINDOW ||
	    core->counters.kept >= core->config.pool->size / 10) {
		core->counters.out_of_order_drops++;
		rte_pktmbuf_free(mbuf);
		return;
	}
	core->counters.out_of_order++;
	core->counters.kept++;
	seg->seq = seq;
	seg->next = after;
	if (before == NULL)
		conn->ooo_head = mbuf;
	else
		tcp_seg_of(before)->next = mbuf;
	conn->ooo_count++;
	conn->ooo_recent = seq;
}

/* Takes the payload of a segment that has passed the checks: cuts it to the
 * window, keeps it, and settles when the ack goes out (RFC 9293 3.8.6.3, RFC
 * 5681 4.2). The FIN is left to the caller. */
void
tcp_data_in(struct tcp_core *core, struct tcp_conn *conn,
	    struct tcp_packet *packet)
{
	struct rte_mbuf *mbuf = packet->mbuf;
	uint32_t seq = packet->seq;
	uint32_t edge = conn->rcv_adv;
	uint32_t bytes = packet->bytes;
	bool had_hole = conn->ooo_head != NULL;

	if (tcp_seq_lt(seq, conn->rcv_nxt)) {
		uint32_t cut = conn->rcv_nxt - seq;

		FAL_ASSERT(cut <= bytes);
		tcp_data_dsack(conn, seq, conn->rcv_nxt);
		tcp_set(conn, TCP_ACK_NOW);
		tcp_conn_out(core, conn);
		packet->offset = (uint16_t)(packet->offset + cut);
		seq += cut;
		bytes -= cut;
	}
	if (tcp_seq_lt(edge, seq + bytes))
		bytes = tcp_seq_lt(seq, edge) ? edge - seq : 0;
	if (bytes == 0)
		return;
	rte_pktmbuf_adj(mbuf, packet->offset);
	if (mbuf->data_len > bytes)
		rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->data_len - bytes));
	packet->mbuf = NULL;
	if (seq != conn->rcv_nxt) {
		tcp_data_keep(core, conn, mbuf, seq);
		tcp_set(conn, TCP_ACK_NOW);
		tcp_conn_out(core, conn);
		return;
	}
	tcp_data_append(conn, mbuf);
	tcp_data_drain(core, conn);
	tcp_conn_news(core, conn, TCP_NEWS_DATA);
	if (packet->bytes > conn->rcv_mss)
		conn->rcv_mss = packet->bytes;
	if (packet->bytes >= conn->rcv_mss)
		conn->ack_segments++;
	if (had_hole || conn->ack_segments >= 2) {
		tcp_set(conn, TCP_ACK_NOW);
		tcp_conn_out(core, conn);
	} else if (conn->ack_deadline == 0) {
		conn->ack_deadline = tcp_timer_in(core, TCP_ACK_DELAY_NS);
		tcp_timer_arm(core, conn);
	}
}

/* Blocks to report: a duplicate first (RFC 2883), then the block with the
 * latest arrival (RFC 2018 section 4), then the others. */
uint32_t
tcp_data_sacks(const struct tcp_conn *conn, struct tcp_sack *sacks,
	       uint32_t max)
{
	struct rte_mbuf *mbuf = conn->ooo_head;
	uint32_t count = 0, first;

	if (tcp_has(conn, TCP_DSACK))
		sacks[count++] = conn->dsack;
	first = count;
	while (mbuf != NULL) {
		struct tcp_sack block = {tcp_seg_of(mbuf)->seq, 0};
		bool is_recent;

		block.right = block.left;
		while (mbuf != NULL && tcp_seg_of(mbuf)->seq == block.right) {
			block.right += mbuf->data_len;
			mbuf = tcp_seg_of(mbuf)->next;
		}
		is_recent = tcp_seq_le(block.left, conn->ooo_recent) &&
			    tcp_seq_lt(conn->ooo_recent, block.right);
		if (count < max) {
			sacks[count++] = block;
			if (is_recent && count > first + 1) {
				sacks[count - 1] = sacks[first];
				sacks[first] = block;
			}
		} else if (is_recent && first < max) {
			sacks[first] = block;
		}
	}
	return count;
}

static void
tcp_data_free(struct rte_mbuf **head)
{
	while (*head != NULL) {
		struct rte_mbuf *mbuf = *head;

		*head = tcp_seg_of(mbuf)->next;
		rte_pktmbuf_free(mbuf);
	}
}

/* Frees all input. */
void
tcp_data_drop(struct tcp_core *core, struct tcp_conn *conn)
{
	core->counters.kept -= conn->ooo_count;
	tcp_data_free(&conn->rcv_head);
	tcp_data_free(&conn->ooo_head);
	conn->rcv_tail = NULL;
	conn->rcv_bytes = 0;
	conn->ooo_count = 0;
}

uint32_t
tcp_buffered(const struct tcp_conn *conn)
{
	return conn->rcv_bytes;
}

uint32_t
tcp_peek(const struct tcp_conn *conn, struct tcp_slice *slices, uint32_t max)
{
	struct rte_mbuf *mbuf = conn->rcv_head;
	uint32_t count = 0;

	for (; mbuf != NULL && count < max; count++) {
		slices[count].data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
		slices[count].bytes = mbuf->data_len;
		mbuf = tcp_seg_of(mbuf)->next;
	}
	return count;
}

void
tcp_consume(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes)
{
	FAL_ASSERT(bytes <= conn->rcv_bytes);
	conn->rcv_bytes -= bytes;
	while (bytes > 0) {
		struct rte_mbuf *mbuf = conn->rcv_head;

		if (bytes < mbuf->data_len) {
			rte_pktmbuf_adj(mbuf, (uint16_t)bytes);
			break;
		}
		bytes -= mbuf->data_len;
		conn->rcv_head = tcp_seg_of(mbuf)->next;
		if (conn->rcv_head == NULL)
			conn->rcv_tail = NULL;
		rte_pktmbuf_free(mbuf);
	}
	/* RFC 9293 3.8.6.2.2: a window that has grown enough is announced. */
	if (conn->state >= TCP_ESTABLISHED && !tcp_has(conn, TCP_FIN_SEEN) &&
	    tcp_out_window(core, conn) != conn->rcv_adv - conn->rcv_nxt) {
		tcp_set(conn, TCP_ACK_NOW);
		tcp_conn_out(core, conn);
	}
}
