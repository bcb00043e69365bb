/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_tcp - input and output of a connection.
 *
 * Input: bytes lie in the mbufs of TCP until they are consumed; only a frame
 * that is wanted in one piece and lies across mbufs is copied, into a buffer in
 * front of them, exactly as far as it reaches. A frame longer than the window
 * could never come whole that way: once 16 KiB of an incomplete frame have
 * come, they are moved to the buffer and the window opens. The buffer grows by
 * four at most, so a peer that announces a megabyte and sends nothing costs
 * nothing. While mbufs are short all that is unread moves there; what is not
 * asked for yet is still unread to TCP (`rx_lifted`), lest a window open that
 * backpressure has closed.
 *
 * Output: see stream_tcp.h. The chain is filled and moved in order, so a
 * connection writes into mbufs again only when its chain is empty.
 */
#include "dataplane/stream_tcp_int.h"
#include "dataplane/tcp_int.h"

#include <string.h>

/* Room behind a long frame for the start of the next one. */
#define RX_SLACK_BYTES 4096u

/* What one poll looks at and copies while mbufs are short. */
#define SWEEP_SLOTS 256u
#define SWEEP_BYTES (256u << 10)

/* ---- input ---- */

static void
rx_put(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	if (conn->rx == NULL)
		return;
	stream_buf_put(&core->table.pool, conn->rx);
	conn->rx = NULL;
}

/* What was lifted and is not in the buffer any more is read. */
static void
rx_settle(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	const uint32_t here = stream_tcp_gathered(conn);

	if (conn->rx_lifted <= here)
		return;
	conn->rx_seen -= conn->rx_lifted - here;
	tcp_settle(core->tcp, conn->tcp, conn->rx_lifted - here);
	conn->rx_lifted = here;
}

void
stream_tcp_rx_drop(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	rx_put(core, conn);
	rx_settle(core, conn);
	tcp_consume(core->tcp, conn->tcp, tcp_buffered(conn->tcp));
	conn->rx_seen = 0;
}

/* Makes the gather buffer hold `bytes` more at its end. Returns 0 or
 * FAL_ENOMEM (unchanged). */
static int
rx_grow(struct stream_tcp *core, struct stream_tcp_conn *conn, uint32_t bytes)
{
	struct stream_buf *old = conn->rx;
	const uint32_t here = stream_tcp_gathered(conn);
	const uint64_t enough = (uint64_t)here + bytes;
	uint64_t capacity = STREAM_BUF_MEDIUM_BYTES;

	if (old != NULL && stream_buf_room(old) >= bytes)
		return 0;
	if (old != NULL && old->capacity >= enough) {
		memmove(old->data, old->data + old->head, here);
		old->head = 0;
		old->tail = here;
		return 0;
	}
	if (old != NULL)
		capacity = 4 * (uint64_t)old->capacity;
	if (capacity > (uint64_t)conn->slot.rx_wanted + RX_SLACK_BYTES)
		capacity = (uint64_t)conn->slot.rx_wanted + RX_SLACK_BYTES;
	if (capacity < enough)
		capacity = enough;

	struct stream_buf *buf =
		stream_buf_get(&core->table.pool, (uint32_t)capacity);

	if (buf == NULL)
		return FAL_ENOMEM;
	if (old != NULL) {
		memcpy(buf->data, old->data + old->head, here);
		stream_buf_put(&core->table.pool, old);
	}
	buf->tail = here;
	conn->rx = buf;
	return 0;
}

/* Moves the first `bytes` bytes that TCP holds to the gather buffer. Returns 0
 * or FAL_ENOMEM. */
static int
rx_lift(struct stream_tcp *core, struct stream_tcp_conn *conn, uint32_t bytes)
{
	struct tcp_slice slices[16];

	if (rx_grow(core, conn, bytes) != 0)
		return FAL_ENOMEM;
	while (bytes > 0) {
		const uint32_t count = tcp_peek(conn->tcp, slices, 16);
		uint32_t moved = 0;

		FAL_ASSERT(count > 0);
		for (uint32_t i = 0; i < count && moved < bytes; i++) {
			const uint32_t left = bytes - moved;
			const uint32_t here =
				slices[i].bytes < left ? slices[i].bytes : left;

			memcpy(conn->rx->data + conn->rx->tail, slices[i].data,
			       here);
			conn->rx->tail += here;
			moved += here;
		}
		tcp_lift(core->tcp, conn->tcp, moved);
		bytes -= moved;
	}
	return 0;
}

/* Moves the first `bytes` bytes that TCP holds to the gather buffer, and lets
 * the window open for as many. Returns 0 or FAL_ENOMEM. */
static int
rx_gather(struct stream_tcp *core, struct stream_tcp_conn *conn, uint32_t bytes)
{
	if (rx_lift(core, conn, bytes) != 0)
		return FAL_ENOMEM;
	conn->rx_seen -= bytes;
	tcp_settle(core->tcp, conn->tcp, bytes);
	return 0;
}

/* Counts what has come. */
static void
rx_count(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	const uint32_t here = tcp_buffered(conn->tcp);

	if (here != conn->rx_seen) {
		FAL_ASSERT(here > conn->rx_seen);
		stream_count(&core->table.counters.recv_calls, 1);
		stream_count(&core->table.counters.recv_bytes,
			     here - conn->rx_seen);
		conn->rx_seen = here;
	}
}

/* Takes all that was lifted as read: the frame is longer. */
static void
rx_settle_all(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	conn->rx_seen -= conn->rx_lifted;
	tcp_settle(core->tcp, conn->tcp, conn->rx_lifted);
	conn->rx_lifted = 0;
}

void
stream_tcp_rx_note(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	rx_count(core, conn);
	if (conn->slot.is_paused || conn->rx_seen < STREAM_TCP_IN_TCP_BYTES ||
	    stream_tcp_buffered(conn) >= conn->slot.rx_wanted)
		return;
	rx_settle_all(core, conn);
	if (rx_gather(core, conn, conn->rx_seen) != 0)
		stream_tcp_fail(core, conn, STREAM_NO_MEMORY);
}

/* Moves what is unread into ordinary memory; where there is none it stays. */
static uint32_t
rx_spill(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	const uint32_t here = tcp_buffered(conn->tcp) - conn->rx_lifted;

	if (here == 0)
		return 0;
	rx_count(core, conn);
	/* Most have little, and a buffer of its size is enough. Who goes on bit
	 * by bit gets half as much more each time, or all were copied again
	 * with each bit. */
	if (conn->rx == NULL)
		conn->rx = stream_buf_get(&core->table.pool, here);
	else if (stream_buf_room(conn->rx) < here)
		(void)rx_grow(core, conn, here + stream_tcp_gathered(conn) / 2);
	if (conn->rx == NULL || rx_lift(core, conn, here) != 0)
		return 0;
	conn->rx_lifted += here;
	return here;
}

void
stream_tcp_sweep(struct stream_tcp *core)
{
	const bool is_short = tcp_is_short(core->tcp);
	uint32_t bytes = 0;

	if (is_short)
		core->sweep_left = core->table.touched;
	for (uint32_t i = 0;
	     i < SWEEP_SLOTS && bytes < SWEEP_BYTES && core->sweep_left > 0;
	     i++) {
		struct stream_tcp_conn *conn =
			&core->conns[core->sweep_at++ % core->table.touched];

		core->sweep_left--;
		if (conn->slot.state != SLOT_OPEN)
			continue;
		if (is_short)
			bytes += rx_spill(core, conn);
		else
			tcp_settle(core->tcp, conn->tcp, 0);
	}
}

uint32_t
stream_tcp_op_peek(struct stream_core *base, stream_id id,
		   struct stream_slice slices[STREAM_SLICES_MAX])
{
	struct stream_tcp_conn *conn =
		stream_tcp_alive(stream_tcp_core_of(base), id);
	struct tcp_slice in[STREAM_SLICES_MAX];
	uint32_t count = 0, more;
	struct rte_mbuf *mbuf;

	if (conn == NULL)
		return 0;
	mbuf = conn->tcp->rcv_head;
	if (FAL_LIKELY(conn->rx == NULL && mbuf != NULL &&
		       mbuf == conn->tcp->rcv_tail)) {
		slices[0].data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
		slices[0].bytes = mbuf->data_len;
		return 1;
	}
	if (stream_tcp_gathered(conn) > 0) {
		slices[0].data = conn->rx->data + conn->rx->head;
		slices[0].bytes = stream_buf_bytes(conn->rx);
		count = 1;
	}
	more = tcp_peek(conn->tcp, in, STREAM_SLICES_MAX - count);
	for (uint32_t i = 0; i < more; i++) {
		slices[count].data = in[i].data;
		slices[count++].bytes = in[i].bytes;
	}
	return count;
}

/* Sets from how many bytes on READABLE is reported. */
static void
want(struct stream_tcp *core, struct stream_tcp_conn *conn, uint32_t bytes)
{
	if (bytes > conn->slot.frame_bytes_max) {
		stream_tcp_fail(core, conn, STREAM_FRAME_TOO_LONG);
		return;
	}
	conn->slot.rx_wanted = bytes == 0 ? 1 : bytes;
	/* A poll must find out that no more can come, or that there is enough
	 * already. */
	stream_tcp_ready(core, conn);
}

const uint8_t *
stream_tcp_op_pull(struct stream_core *base, stream_id id, uint32_t bytes)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = stream_tcp_alive(core, id);
	struct tcp_slice first;
	uint32_t gathered;

	if (conn == NULL)
		return NULL;
	if (bytes == 0 || bytes > stream_tcp_buffered(conn)) {
		want(core, conn, bytes);
		return NULL;
	}
	gathered = stream_tcp_gathered(conn);
	if (gathered >= bytes)
		return conn->rx->data + conn->rx->head;
	if (gathered == 0 && tcp_peek(conn->tcp, &first, 1) == 1 &&
	    first.bytes >= bytes)
		return first.data;
	/* What no poll has counted yet is counted before it moves. */
	stream_tcp_rx_note(core, conn);
	gathered = stream_tcp_gathered(conn);
	if (gathered < bytes && rx_gather(core, conn, bytes - gathered) != 0) {
		stream_tcp_fail(core, conn, STREAM_NO_MEMORY);
		return NULL;
	}
	return conn->rx->data + conn->rx->head;
}

void
stream_tcp_op_want(struct stream_core *base, stream_id id, uint32_t bytes)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = stream_tcp_alive(core, id);

	if (conn != NULL)
		want(core, conn, bytes);
}

/* Every kind of consume. */
static __attribute__((noinline)) void
rx_consume_any(struct stream_tcp *core, struct stream_tcp_conn *conn,
	       uint32_t bytes)
{
	uint32_t here;

	if (bytes == 0)
		return;
	FAL_ASSERT(bytes <= stream_tcp_buffered(conn));
	conn->slot.rx_wanted = 1;
	here = stream_tcp_gathered(conn);
	here = here < bytes ? here : bytes;
	if (here > 0) {
		conn->rx->head += here;
		if (stream_buf_bytes(conn->rx) == 0)
			rx_put(core, conn);
		rx_settle(core, conn);
	}
	if (bytes > here) {
		stream_tcp_rx_note(core, conn);
		tcp_consume(core->tcp, conn->tcp, bytes - here);
		conn->rx_seen -= bytes - here;
	}
	if (stream_tcp_buffered(conn) > 0 || conn->slot.is_finished)
		stream_tcp_ready(core, conn);
}

void
stream_tcp_op_consume(struct stream_core *base, stream_id id, uint32_t bytes)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = stream_tcp_alive(core, id);

	if (FAL_UNLIKELY(conn == NULL))
		return;
	/* All that a poll has told of, as nearly always: one mbuf, and nothing
	 * is left to say. */
	if (FAL_UNLIKELY(conn->rx != NULL || bytes != conn->rx_seen ||
			 !stream_slot_is_plain(&conn->slot) ||
			 !tcp_consume_usual(core->tcp, conn->tcp, bytes))) {
		rx_consume_any(core, conn, bytes);
		return;
	}
	conn->slot.rx_wanted = 1;
	conn->rx_seen = 0;
	list_del(&conn->slot.ready_link);
}

uint32_t
stream_tcp_op_buffered(struct stream_core *base, stream_id id)
{
	const struct stream_tcp_conn *conn =
		stream_tcp_alive(stream_tcp_core_of(base), id);

	return conn != NULL ? stream_tcp_buffered(conn) : 0;
}

/* ---- output ---- */

void
stream_tcp_tx_drop(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	stream_chain_drop(&conn->slot.tx, &core->table.pool);
	conn->tx_fresh = 0;
}

void
stream_tcp_tx_forget(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	if (core->reserved == conn)
		core->reserved = NULL;
	conn->slot.tx.reserved = 0;
}

static void
tx_count(struct stream_tcp *core, uint32_t bytes)
{
	stream_count(&core->table.counters.send_calls, 1);
	stream_count(&core->table.counters.send_bytes, bytes);
}

/* Counts what was put into the mbuf. A flush has nothing to do for it but when
 * it is much: then WRITABLE is owed. */
static inline void
tx_note_direct(struct stream_tcp *core, struct stream_tcp_conn *conn,
	       uint32_t bytes)
{
	if (conn->tx_flush != core->flush_count) {
		conn->tx_flush = core->flush_count;
		conn->tx_fresh = 0;
		core->sent_calls++;
	}
	conn->tx_fresh += bytes;
	core->sent_bytes += bytes;
	if (FAL_UNLIKELY(conn->tx_fresh > core->table.config.writable_bytes))
		stream_tcp_dirty(core, conn);
}

static void
tx_commit_direct(struct stream_tcp *core, struct stream_tcp_conn *conn,
		 uint32_t bytes)
{
	tcp_commit(core->tcp, conn->tcp, bytes);
	tx_note_direct(core, conn, bytes);
}

bool
stream_tcp_tx_move(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	uint32_t moved = 0;
	bool has_mbufs = true;

	conn->tx_fresh = 0;
	while (conn->slot.tx.bytes > 0 && has_mbufs) {
		const struct stream_buf *buf = conn->slot.tx.head;
		const uint32_t unacked = tcp_unacked(conn->tcp);
		uint32_t room = unacked < STREAM_TCP_SEND_BYTES
					? STREAM_TCP_SEND_BYTES - unacked
					: 0;
		uint32_t taken;

		if (room > stream_buf_bytes(buf))
			room = stream_buf_bytes(buf);
		if (room == 0 && stream_buf_bytes(buf) > 0)
			break; /* TCP_NEWS_ROOM makes it dirty again */
		taken = tcp_write(core->tcp, conn->tcp, buf->data + buf->head,
				  room);
		has_mbufs = taken == room;
		stream_chain_take(&conn->slot.tx, &core->table.pool, taken);
		moved += taken;
	}
	/* Reserved, never committed. */
	if (conn->slot.tx.bytes == 0)
		stream_tcp_tx_drop(core, conn);
	if (moved > 0)
		tx_count(core, moved);
	return has_mbufs;
}

/* How many bytes more are allowed. */
static uint32_t
tx_allowed(const struct stream_tcp *core, const struct stream_tcp_conn *conn)
{
	return conn->slot.unsent_bytes_max - stream_tcp_unsent(core, conn);
}

/* Whether so many bytes more are; else WRITABLE is owed. */
static bool
tx_allows(struct stream_tcp *core, struct stream_tcp_conn *conn, uint32_t bytes)
{
	if (bytes <= tx_allowed(core, conn))
		return true;
	conn->slot.wants_writable = true;
	stream_count(&core->table.counters.unsent_limit_hits, 1);
	/* The flush finds out when there is room. */
	stream_tcp_dirty(core, conn);
	return false;
}

/* Whether output may go into mbufs at once: nothing waits before it. */
static bool
tx_is_direct(const struct stream_tcp *core, const struct stream_tcp_conn *conn,
	     uint32_t bytes)
{
	return conn->slot.tx.bytes == 0 && conn->slot.state == SLOT_OPEN &&
	       (core->reserved == NULL || core->reserved == conn) &&
	       bytes <= tcp_mss(conn->tcp) &&
	       tcp_unacked(conn->tcp) + bytes <= STREAM_TCP_SEND_BYTES;
}

/* Every kind of reserve. */
static __attribute__((noinline)) void *
tx_reserve_any(struct stream_tcp *core, struct stream_tcp_conn *conn,
	       uint32_t bytes, uint32_t *got)
{
	uint32_t room, allowed;
	void *to;

	*got = 0;
	if (conn == NULL)
		return NULL;
	stream_tcp_tx_forget(core, conn);
	if (!tx_allows(core, conn, bytes))
		return NULL;
	allowed = tx_allowed(core, conn);
	if (tx_is_direct(core, conn, bytes)) {
		to = tcp_reserve(core->tcp, conn->tcp, bytes == 0 ? 1 : bytes,
				 &room);
		if (to != NULL) {
			core->reserved = conn;
			conn->slot.tx.reserved =
				room < allowed ? room : allowed;
			*got = conn->slot.tx.reserved;
			return to;
		}
		/* No mbuf is left: ordinary memory, until there is one. */
	}
	to = stream_chain_reserve(&conn->slot.tx, &core->table.pool, bytes,
				  allowed);
	*got = conn->slot.tx.reserved;
	/* So that a flush gives it back if nothing is committed. */
	if (to != NULL)
		stream_tcp_dirty(core, conn);
	return to;
}

void *
stream_tcp_op_reserve(struct stream_core *base, stream_id id, uint32_t bytes,
		      uint32_t *got)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = stream_tcp_alive(core, id);
	struct rte_mbuf *mbuf = NULL;
	struct tcp_conn *tcp;

	/* Nothing waits, and a whole segment more may be under way. */
	if (FAL_UNLIKELY(conn == NULL || conn->slot.tx.head != NULL ||
			 conn->slot.state != SLOT_OPEN ||
			 core->reserved != NULL))
		return tx_reserve_any(core, conn, bytes, got);
	tcp = conn->tcp;
	if (FAL_LIKELY(tcp->snd_end - tcp->snd_una + tcp->mss <=
		       conn->tx_direct_max))
		mbuf = tcp_reserve_usual(core->tcp, tcp, bytes);
	if (FAL_UNLIKELY(mbuf == NULL))
		return tx_reserve_any(core, conn, bytes, got);
	core->reserved = conn;
	conn->slot.tx.reserved = tcp->mss;
	*got = tcp->mss;
	return (uint8_t *)mbuf->buf_addr + RTE_PKTMBUF_HEADROOM;
}

/* Every kind of commit. */
static __attribute__((noinline)) void
tx_commit_any(struct stream_tcp *core, struct stream_tcp_conn *conn,
	      uint32_t used)
{
	if (core->reserved == conn) {
		FAL_ASSERT(used <= conn->slot.tx.reserved);
		stream_tcp_tx_forget(core, conn);
		if (used != 0)
			tx_commit_direct(core, conn, used);
		return;
	}
	stream_chain_commit(&conn->slot.tx, used);
	if (used != 0)
		stream_tcp_dirty(core, conn);
}

void
stream_tcp_op_commit(struct stream_core *base, stream_id id, uint32_t used)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = stream_tcp_alive(core, id);

	if (FAL_UNLIKELY(conn == NULL))
		return;
	if (FAL_UNLIKELY(core->reserved != conn ||
			 used - 1u >= conn->slot.tx.reserved ||
			 core->tcp->spare_for != conn->tcp)) {
		tx_commit_any(core, conn, used);
		return;
	}
	core->reserved = NULL;
	conn->slot.tx.reserved = 0;
	tcp_commit_segment(core->tcp, conn->tcp, used);
	tx_note_direct(core, conn, used);
}

int
stream_tcp_op_write(struct stream_core *base, stream_id id, const void *data,
		    uint32_t bytes)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = stream_tcp_alive(core, id);

	if (conn == NULL)
		return FAL_ECLOSED;
	stream_tcp_tx_forget(core, conn);
	if (bytes == 0)
		return 0;
	if (!tx_allows(core, conn, bytes))
		return FAL_ELIMIT;
	/* A short one goes straight into the mbuf, whole if at all: so much of
	 * it as was taken could not be taken back. */
	if (tx_is_direct(core, conn, bytes)) {
		uint32_t room;
		void *to = tcp_reserve(core->tcp, conn->tcp, bytes, &room);

		if (to != NULL) {
			memcpy(to, data, bytes);
			tx_commit_direct(core, conn, bytes);
			return 0;
		}
	}
	stream_tcp_dirty(core, conn);
	return stream_chain_write(&conn->slot.tx, &core->table.pool, data,
				  bytes);
}

uint32_t
stream_tcp_op_unsent(struct stream_core *base, stream_id id)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	const struct stream_tcp_conn *conn = stream_tcp_alive(core, id);

	return conn != NULL ? stream_tcp_unsent(core, conn) : 0;
}

/* ---- a request and its answer ---- */

/* Nothing happens until the end but a look, so what is given up leaves nothing
 * behind: the mbuf that is written is still in the cache. */
void *
stream_tcp_op_answer_begin(struct stream_core *base, stream_id id,
			   uint32_t bytes, uint32_t *got)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = stream_tcp_slot(core, id);
	struct rte_mbuf *mbuf;
	struct tcp_conn *tcp;

	if (FAL_UNLIKELY(conn == NULL || !stream_slot_is_plain(&conn->slot) ||
			 conn->slot.tx.head != NULL))
		return NULL;
	tcp = conn->tcp;
	if (FAL_UNLIKELY(tcp->snd_end - tcp->snd_una + tcp->mss >
			 conn->tx_direct_max))
		return NULL;
	if (FAL_UNLIKELY(!tcp_answer_may(core->tcp, tcp, bytes)))
		return NULL;
	mbuf = tcp_answer_look(core->tcp);
	core->answering = conn;
	core->answer = mbuf;
	*got = tcp->mss;
	return (uint8_t *)mbuf->buf_addr + RTE_PKTMBUF_HEADROOM;
}

/* What is consumed is not one mbuf, or not one of ours. */
static __attribute__((noinline)) void
answer_end_any(struct stream_tcp *core, uint32_t used, uint32_t consumed)
{
	struct stream_tcp_conn *conn = core->answering;

	tcp_answer_pop(core->tcp, core->answer);
	tcp_answer_take(core->tcp, conn->tcp, core->answer, used);
	tx_note_direct(core, conn, used);
	rx_consume_any(core, conn, consumed);
}

void
stream_tcp_op_answer_end(struct stream_core *base, stream_id id, uint32_t used,
			 uint32_t consumed)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = core->answering;
	struct tcp_conn *tcp = conn->tcp;

	(void)id;
	FAL_ASSERT(used - 1u < tcp->mss);
	if (FAL_UNLIKELY(conn->rx != NULL || consumed != conn->rx_seen ||
			 !tcp_answer_may_swap(core->tcp, tcp, consumed))) {
		answer_end_any(core, used, consumed);
		return;
	}
	conn->slot.rx_wanted = 1;
	conn->rx_seen = 0;
	list_del(&conn->slot.ready_link);
	tcp_answer_swap(core->tcp, tcp, core->answer);
	tcp_answer_take(core->tcp, tcp, core->answer, used);
	tx_note_direct(core, conn, used);
}
