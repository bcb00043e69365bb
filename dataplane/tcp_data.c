/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_data - received payload: in order to the input, out of order to runs, and
 * what SACK says about those.
 *
 * The mbuf the frame came in is kept and trimmed to its payload. Payloads of
 * less than 256 bytes are copied behind the last mbuf of the input when there
 * is room, so that a flood of tiny segments does not pin one mbuf each. A run
 * is contiguous input behind a hole; the list of runs is sorted, does not
 * overlap (what is there already is cut off on arrival) and has at most
 * TCP_RUNS_MAX elements, so that no segment costs more than a walk over those.
 */

#include "dataplane/tcp_int.h"

#define TCP_DATA_COPY_MAX 256u

/* Copies a small payload behind `tail` and frees its mbuf, if there is room. */
static bool
tcp_data_copy(struct tcp_core *core, struct rte_mbuf *tail,
	      struct rte_mbuf *mbuf)
{
	uint16_t bytes = mbuf->data_len;

	if (bytes >= TCP_DATA_COPY_MAX || rte_pktmbuf_tailroom(tail) < bytes)
		return false;
	memcpy((uint8_t *)rte_pktmbuf_append(tail, bytes),
	       rte_pktmbuf_mtod(mbuf, const uint8_t *), bytes);
	tcp_mbuf_free(core, mbuf);
	return true;
}

/* Takes payload, given, that begins at rcv_nxt. */
void
tcp_data_append(struct tcp_core *core, struct tcp_conn *conn,
		struct rte_mbuf *mbuf)
{
	struct rte_mbuf *tail = conn->rcv_tail;
	uint32_t bytes = mbuf->data_len;

	conn->rcv_nxt += bytes;
	/* The owner has gone: nobody will read it. */
	if (tcp_has(conn, TCP_ORPHAN)) {
		tcp_mbuf_free(core, mbuf);
		return;
	}
	conn->rcv_bytes += bytes;
	/* See tcp_out_window_field(). */
	if (FAL_UNLIKELY(conn->rcv_bytes > core->config.window_bytes))
		tcp_stir(conn);
	if (tail != NULL && tcp_data_copy(core, tail, mbuf))
		return;
	tcp_seg_of(mbuf)->next = NULL;
	if (tail == NULL)
		conn->rcv_head = mbuf;
	else
		tcp_seg_of(tail)->next = mbuf;
	conn->rcv_tail = mbuf;
}

/* Moves what has become contiguous from the runs to the input. */
static void
tcp_data_drain(struct tcp_core *core, struct tcp_conn *conn)
{
	while (conn->runs != NULL) {
		struct rte_mbuf *mbuf = conn->runs;
		struct tcp_seg *run = tcp_seg_of(mbuf);
		uint32_t cut = conn->rcv_nxt - run->seq;

		if (tcp_seq_lt(conn->rcv_nxt, run->seq))
			return;
		conn->runs = run->run_next;
		conn->run_count--;
		while (mbuf != NULL) {
			struct rte_mbuf *next = tcp_seg_of(mbuf)->next;

			core->counters.kept--;
			if (cut >= mbuf->data_len) {
				cut -= mbuf->data_len;
				rte_pktmbuf_free(mbuf);
			} else {
				rte_pktmbuf_adj(mbuf, (uint16_t)cut);
				cut = 0;
				tcp_data_append(core, conn, mbuf);
			}
			mbuf = next;
		}
	}
}

static void
tcp_data_dsack(struct tcp_conn *conn, uint32_t left, uint32_t right)
{
	conn->dsack.left = left;
	conn->dsack.right = right;
	tcp_set(conn, TCP_DSACK);
}

/* The hole behind a run may be filled: then the next run becomes part of it. */
static void
tcp_data_join(struct tcp_conn *conn, struct tcp_seg *run)
{
	struct rte_mbuf *next = run->run_next;

	if (next == NULL || tcp_seg_of(next)->seq != run->run_end)
		return;
	tcp_seg_of(run->run_tail)->next = next;
	run->run_tail = tcp_seg_of(next)->run_tail;
	run->run_end = tcp_seg_of(next)->run_end;
	run->run_next = tcp_seg_of(next)->run_next;
	conn->run_count--;
}

/* Appends to a run what begins in it or at its end; the mbuf is given. */
static void
tcp_data_extend(struct tcp_core *core, struct tcp_conn *conn,
		struct tcp_seg *run, struct rte_mbuf *mbuf, uint32_t seq)
{
	uint32_t end = seq + mbuf->data_len;

	if (tcp_seq_lt(seq, run->run_end))
		tcp_data_dsack(conn, seq,
			       tcp_seq_lt(end, run->run_end) ? end
							     : run->run_end);
	if (tcp_seq_le(end, run->run_end)) {
		rte_pktmbuf_free(mbuf);
		return;
	}
	rte_pktmbuf_adj(mbuf, (uint16_t)(run->run_end - seq));
	run->run_end = end;
	if (!tcp_data_copy(core, run->run_tail, mbuf)) {
		tcp_seg_of(mbuf)->next = NULL;
		tcp_seg_of(run->run_tail)->next = mbuf;
		run->run_tail = mbuf;
		core->counters.kept++;
	}
	tcp_data_join(conn, run);
}

static bool
tcp_data_may_keep(const struct tcp_core *core, const struct tcp_conn *conn)
{
	return conn->run_count < TCP_RUNS_MAX &&
	       core->pool_level < TCP_POOL_NO_WINDOW &&
	       core->counters.kept < core->config.pool->size / 10;
}

/* Puts [seq, seq + data_len) into the runs; the mbuf is given. */
static void
tcp_data_keep(struct tcp_core *core, struct tcp_conn *conn,
	      struct rte_mbuf *mbuf, uint32_t seq)
{
	struct rte_mbuf *before = NULL, *at = conn->runs, *after;
	struct tcp_seg *seg = tcp_seg_of(mbuf);

	while (at != NULL && tcp_seq_lt(tcp_seg_of(at)->run_end, seq)) {
		before = at;
		at = tcp_seg_of(at)->run_next;
	}
	after = at;
	if (at != NULL && tcp_seq_le(tcp_seg_of(at)->seq, seq))
		after = tcp_seg_of(at)->run_next;
	/* What lies behind the beginning of the next run comes again. */
	if (after != NULL &&
	    tcp_seq_lt(tcp_seg_of(after)->seq, seq + mbuf->data_len))
		rte_pktmbuf_trim(mbuf, (uint16_t)(seq + mbuf->data_len -
						  tcp_seg_of(after)->seq));
	if (!tcp_data_may_keep(core, conn)) {
		core->counters.out_of_order_drops++;
		rte_pktmbuf_free(mbuf);
		return;
	}
	core->counters.out_of_order++;
	conn->ooo_recent = seq;
	if (after != at) {
		tcp_data_extend(core, conn, tcp_seg_of(at), mbuf, seq);
		return;
	}
	seg->next = NULL;
	seg->seq = seq;
	seg->run_tail = mbuf;
	seg->run_end = seq + mbuf->data_len;
	seg->run_next = after;
	conn->run_count++;
	core->counters.kept++;
	if (before == NULL)
		conn->runs = mbuf;
	else
		tcp_seg_of(before)->run_next = mbuf;
	tcp_data_join(conn, seg);
}

/* Takes the payload of a segment that has passed the checks: cuts it to the
 * window and keeps it. The FIN is left to the caller. */
void
tcp_data_in(struct tcp_core *core, struct tcp_conn *conn,
	    struct tcp_packet *packet)
{
	struct rte_mbuf *mbuf = packet->mbuf;
	uint32_t seq = packet->seq;
	uint32_t edge = conn->rcv_adv;
	uint32_t bytes = packet->bytes;
	bool had_hole = conn->runs != NULL;

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
	tcp_data_append(core, conn, mbuf);
	tcp_data_drain(core, conn);
	tcp_conn_news(core, conn, TCP_NEWS_DATA);
	tcp_data_ack(core, conn, packet->bytes, had_hole);
}

/* Blocks to report: a duplicate first (RFC 2883), then the block with the
 * latest arrival (RFC 2018 section 4), then the others. */
uint32_t
tcp_data_sacks(const struct tcp_conn *conn, struct tcp_sack *sacks,
	       uint32_t max)
{
	struct rte_mbuf *mbuf = conn->runs;
	uint32_t count = 0, first;

	if (tcp_has(conn, TCP_DSACK))
		sacks[count++] = conn->dsack;
	first = count;
	for (; mbuf != NULL; mbuf = tcp_seg_of(mbuf)->run_next) {
		const struct tcp_seg *run = tcp_seg_of(mbuf);
		struct tcp_sack block = {run->seq, run->run_end};
		bool is_recent = tcp_seq_le(block.left, conn->ooo_recent) &&
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

static uint32_t
tcp_data_free(struct rte_mbuf *mbuf)
{
	uint32_t count = 0;

	while (mbuf != NULL) {
		struct rte_mbuf *next = tcp_seg_of(mbuf)->next;

		rte_pktmbuf_free(mbuf);
		mbuf = next;
		count++;
	}
	return count;
}

/* Frees all input. */
void
tcp_data_drop(struct tcp_core *core, struct tcp_conn *conn)
{
	tcp_data_free(conn->rcv_head);
	while (conn->runs != NULL) {
		struct rte_mbuf *run = conn->runs;

		conn->runs = tcp_seg_of(run)->run_next;
		core->counters.kept -= tcp_data_free(run);
	}
	conn->rcv_head = NULL;
	conn->rcv_tail = NULL;
	conn->rcv_bytes = 0;
	conn->run_count = 0;
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
tcp_lift(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes)
{
	FAL_ASSERT(bytes <= conn->rcv_bytes);
	while (bytes > 0) {
		struct rte_mbuf *mbuf = conn->rcv_head;

		FAL_ASSERT(mbuf != NULL);
		if (bytes < mbuf->data_len) {
			rte_pktmbuf_adj(mbuf, (uint16_t)bytes);
			break;
		}
		bytes -= mbuf->data_len;
		conn->rcv_head = tcp_seg_of(mbuf)->next;
		if (conn->rcv_head == NULL)
			conn->rcv_tail = NULL;
		tcp_mbuf_free(core, mbuf);
	}
}

void
tcp_settle(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes)
{
	FAL_ASSERT(bytes <= conn->rcv_bytes);
	conn->rcv_bytes -= bytes;
	/* RFC 9293 3.8.6.2.2: a window that has grown enough is announced. */
	if (tcp_window_beside(core, conn, conn->rcv_bytes) !=
		    conn->rcv_adv - conn->rcv_nxt &&
	    conn->state >= TCP_ESTABLISHED && !tcp_has(conn, TCP_FIN_SEEN)) {
		tcp_set(conn, TCP_ACK_NOW);
		tcp_conn_out(core, conn);
	}
}

/* The same when it is not all that is there, or the window opens. */
static __attribute__((noinline)) void
tcp_consume_rare(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes)
{
	tcp_lift(core, conn, bytes);
	tcp_settle(core, conn, bytes);
}

void
tcp_consume(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes)
{
	if (FAL_UNLIKELY(!tcp_consume_usual(core, conn, bytes)))
		tcp_consume_rare(core, conn, bytes);
}
