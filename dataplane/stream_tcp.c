/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_tcp - the life of a connection that TCP of ours carries.
 *
 * A poll lets TCP receive, takes its news into the slots, and visits the slots
 * on the ready list. Newcomers come last: a place that ended in this poll is
 * free for them.
 */
#include "dataplane/stream_tcp.h"

#include <stdlib.h>

#include "base/bits.h"
#include "base/time.h"
#include "dataplane/stream_tcp_int.h"
#include "dataplane/tcp_int.h"

/* While the port or the pool is exhausted: the longest sleep. */
#define STUCK_NAP_NS (100 * NS_PER_US)

/* ---- slots ---- */

struct stream_tcp_conn *
stream_tcp_new(struct stream_tcp *core, struct tcp_conn *tcp)
{
	struct stream_tcp_conn *conn =
		stream_tcp_conn_of(stream_slot_take(&core->table));

	if (conn == NULL)
		return NULL;
	conn->tcp = tcp;
	core->slot_of[tcp_index(core->tcp, tcp)] =
		stream_tcp_index(core, conn) + 1;
	return conn;
}

/* Takes the block off the slot; whoever calls gives it back to TCP. */
static struct tcp_conn *
tcp_take(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	struct tcp_conn *tcp = conn->tcp;

	stream_tcp_tx_forget(core, conn);
	stream_tcp_rx_drop(core, conn);
	stream_tcp_tx_drop(core, conn);
	core->slot_of[tcp_index(core->tcp, tcp)] = 0;
	conn->tcp = NULL;
	return tcp;
}

void
stream_tcp_kill(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	FAL_ASSERT(conn->slot.state != SLOT_FREE);
	if (conn->slot.state == SLOT_DEAD)
		return;

	const bool is_dead = conn->is_tcp_dead;
	struct tcp_conn *tcp = tcp_take(core, conn);

	if (is_dead)
		tcp_release(core->tcp, tcp);
	else
		tcp_abort(core->tcp, tcp);
	stream_slot_bury(&core->table, &conn->slot);
}

/* From alive to CLOSING. */
static void
close_start(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	stream_slot_close(&core->table, &conn->slot);
	stream_tcp_rx_drop(core, conn);
	stream_tcp_tx_forget(core, conn);
}

/* CLOSING to LINGERING once the chain is empty; and once the peer has finished
 * too, TCP needs nobody. */
static void
close_advance(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	if (!stream_slot_is_lingering(&conn->slot))
		return;
	if (conn->slot.state == SLOT_CLOSING) {
		if (conn->slot.tx.bytes != 0)
			return;
		tcp_shutdown(core->tcp, conn->tcp);
		conn->slot.state = SLOT_LINGERING;
	}
	if (!conn->slot.is_finished)
		return;

	const uint64_t left_ns =
		conn->slot.deadline_ns > core->table.now_ns
			? conn->slot.deadline_ns - core->table.now_ns
			: 0;

	tcp_close(core->tcp, tcp_take(core, conn),
		  (uint32_t)(left_ns / NS_PER_MS) + 1);
	stream_slot_bury(&core->table, &conn->slot);
}

void
stream_tcp_fail(struct stream_tcp *core, struct stream_tcp_conn *conn,
		enum stream_reason reason)
{
	if (stream_slot_is_alive(&conn->slot))
		(void)stream_slot_fail(&core->table, &conn->slot, reason);
	else
		stream_tcp_kill(core, conn);
}

static void
dead_free(struct stream_tcp *core)
{
	while (!list_empty(&core->table.dead)) {
		struct stream_slot *slot = list_entry(
			core->table.dead.next, struct stream_slot, end_link);

		FAL_ASSERT(stream_tcp_conn_of(slot)->tcp == NULL);
		stream_slot_free(&core->table, slot);
	}
}

/* ---- events ---- */

/* Says where the input is, if it lies in one mbuf. */
static inline void
event_show(const struct tcp_conn *tcp, struct stream_event *event)
{
	const struct rte_mbuf *mbuf = tcp->rcv_head;

	if (FAL_UNLIKELY(mbuf != tcp->rcv_tail))
		return;
	event->data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	event->bytes = mbuf->data_len;
}

/* Reports CLOSED and lets the connection go its last way. */
static void
end_report(struct stream_tcp *core, struct stream_tcp_conn *conn,
	   struct stream_event *event)
{
	if (stream_slot_tell_end(&core->table, &conn->slot, event))
		stream_tcp_kill(core, conn);
	else
		close_start(core, conn);
}

/* Visits an OPEN connection that is off the list. Returns the event count. */
static uint32_t
visit_open(struct stream_tcp *core, struct stream_tcp_conn *conn,
	   struct stream_event *events)
{
	struct stream_slot *slot = &conn->slot;
	const uint32_t index = stream_tcp_index(core, conn);
	uint32_t count = 0;

	if (!slot->is_opened_told) {
		slot->is_opened_told = true;
		stream_slot_tell(slot, index, STREAM_OPENED, &events[count++]);
	}
	stream_tcp_rx_note(core, conn);
	if (stream_slot_is_readable(slot, stream_tcp_buffered(conn))) {
		stream_slot_tell(slot, index, STREAM_READABLE,
				 &events[count++]);
		slot->is_last_read = slot->reason != STREAM_NO_REASON;
		stream_tcp_ready(core, conn);
	} else if (stream_slot_is_over(slot)) {
		end_report(core, conn, &events[count++]);
		return count;
	}
	if (stream_slot_pays_writable(&core->table, slot,
				      stream_tcp_unsent(core, conn)))
		stream_slot_tell(slot, index, STREAM_WRITABLE,
				 &events[count++]);
	return count;
}

static uint32_t
visit(struct stream_table *table, struct stream_slot *slot,
      struct stream_event *events)
{
	struct stream_tcp *core = stream_tcp_core_of(&table->base);
	struct stream_tcp_conn *conn = stream_tcp_conn_of(slot);

	switch (slot->state) {
	case SLOT_OPEN:
		return visit_open(core, conn, events);
	case SLOT_CONNECTING:
		if (slot->reason == STREAM_NO_REASON)
			return 0;
		end_report(core, conn, events);
		return 1;
	default:
		FAL_ASSERT(stream_slot_is_lingering(slot)); /* never dead */
		return 0;
	}
}

static enum stream_reason
reason_of(const struct stream_tcp_conn *conn)
{
	switch (tcp_reason(conn->tcp)) {
	case TCP_REASON_REFUSED:
		return STREAM_REFUSED;
	case TCP_REASON_TIMED_OUT:
		return STREAM_TIMED_OUT;
	case TCP_REASON_UNREACHABLE:
		return STREAM_UNREACHABLE;
	case TCP_REASON_RESET:
		return conn->slot.state == SLOT_CONNECTING ? STREAM_REFUSED
							   : STREAM_RESET;
	default:
		return STREAM_FINISHED;
	}
}

/* TCP has given up the connection, or both sides have finished. */
static void
news_failed(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	conn->is_tcp_dead = true;
	if (stream_slot_is_alive(&conn->slot) &&
	    tcp_reason(conn->tcp) == TCP_REASON_NONE)
		conn->slot.is_finished = true;
	else
		stream_tcp_fail(core, conn, reason_of(conn));
}

void
stream_tcp_news(struct stream_tcp *core, struct stream_tcp_conn *conn,
		uint32_t news)
{
	if (stream_slot_is_lingering(&conn->slot))
		stream_tcp_rx_drop(core, conn);
	if ((news & TCP_NEWS_OPENED) != 0 &&
	    conn->slot.state == SLOT_CONNECTING) {
		conn->slot.state = SLOT_OPEN;
		stream_tcp_dirty(core, conn);
	}
	if ((news & TCP_NEWS_FIN) != 0)
		conn->slot.is_finished = true;
	if ((news & TCP_NEWS_FAILED) != 0)
		news_failed(core, conn);
	if (conn->slot.state == SLOT_DEAD)
		return;
	if (stream_slot_is_lingering(&conn->slot) ||
	    (news & TCP_NEWS_ROOM) != 0)
		stream_tcp_dirty(core, conn);
	if (!stream_slot_is_lingering(&conn->slot))
		stream_tcp_ready(core, conn);
}

/* Whether all that the news of a connection comes to is that there is data to
 * be read. One with a chain may go on writing, one that is wanted in a piece
 * may have to be gathered. */
static inline bool
is_only_data(const struct stream_tcp_conn *conn, const struct tcp_conn *tcp,
	     uint32_t news)
{
	return (news & ~(uint32_t)(TCP_NEWS_DATA | TCP_NEWS_ROOM)) == 0 &&
	       stream_slot_is_plain(&conn->slot) && conn->rx == NULL &&
	       conn->slot.tx.head == NULL &&
	       list_empty(&conn->slot.ready_link) &&
	       tcp_buffered(tcp) < STREAM_TCP_IN_TCP_BYTES;
}

/* Takes the news of all connections. Whoever has data and nothing else to say
 * is told at once, as far as `max` events reach; the others become ready. */
static uint32_t
take_news(struct stream_tcp *core, struct stream_event *events, uint32_t max)
{
	uint64_t received = 0, calls = 0;
	struct tcp_conn *tcp;
	uint32_t news, count = 0;

	while ((tcp = tcp_next_news(core->tcp, &news)) != NULL) {
		const uint32_t slot = core->slot_of[tcp_index(core->tcp, tcp)];
		struct stream_tcp_conn *conn = &core->conns[slot - 1];

		if (FAL_UNLIKELY(slot == 0)) {
			stream_tcp_newcomer(core, tcp, news);
			continue;
		}
		if (FAL_UNLIKELY(count == max ||
				 !is_only_data(conn, tcp, news))) {
			stream_tcp_news(core, conn, news);
			continue;
		}
		/* As stream_tcp_rx_note(), of what is not so much that it would
		 * have to be gathered. */
		calls += tcp_buffered(tcp) != conn->rx_seen;
		received += tcp_buffered(tcp) - conn->rx_seen;
		conn->rx_seen = tcp_buffered(tcp);
		if (conn->rx_seen < conn->slot.rx_wanted)
			continue;
		stream_slot_tell(&conn->slot, slot - 1, STREAM_READABLE,
				 &events[count]);
		event_show(tcp, &events[count++]);
		list_add_tail(&core->told, &conn->slot.ready_link);
	}
	stream_count(&core->table.counters.recv_calls, calls);
	stream_count(&core->table.counters.recv_bytes, received);
	return count;
}

static void
housekeep(struct stream_tcp *core)
{
	struct stream_slot *overdue;

	while (!list_empty(&core->told)) {
		struct list *link = core->told.next;

		list_del(link);
		list_add_tail(&core->table.ready, link);
	}
	while ((overdue = stream_table_overdue(&core->table)) != NULL)
		stream_tcp_kill(core, stream_tcp_conn_of(overdue));
	dead_free(core);
	while (!list_empty(&core->stuck)) {
		struct list *link = core->stuck.next;

		list_del(link);
		list_add_tail(&core->table.dirty, link);
	}
}

/* ---- operations ---- */

/* How many events may be told before those who wait have had their turn. */
static uint32_t
news_max(const struct stream_tcp *core, uint32_t max)
{
	if (FAL_LIKELY(list_empty(&core->table.ready)))
		return max;
	return max / 2 >= STREAM_VISIT_EVENTS_MAX ? max / 2 : 0;
}

static uint32_t
op_poll(struct stream_core *base, uint64_t now_ns, struct stream_event *events,
	uint32_t max)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	uint32_t count;

	FAL_ASSERT(max >= STREAM_EVENTS_MIN);
	stream_count(&core->table.counters.polls, 1);
	core->table.now_ns = now_ns;
	core->reserved = NULL;
	housekeep(core);
	if (FAL_UNLIKELY(tcp_is_short(core->tcp) || core->sweep_left > 0))
		stream_tcp_sweep(core);
	tcp_poll(core->tcp, now_ns);
	count = take_news(core, events, news_max(core, max));
	count += stream_slots_visit(&core->table, &core->table.ready,
				    core->table.ready.prev, visit,
				    events + count, max - count);
	if (core->newcomer_head != core->newcomer_tail) {
		struct list fresh;

		list_init(&fresh);
		stream_tcp_admit(core, &fresh,
				 (max - count) / STREAM_VISIT_EVENTS_MAX);
		count += stream_slots_visit(&core->table, &fresh, fresh.prev,
					    visit, events + count, max - count);
		FAL_ASSERT(list_empty(&fresh));
	}
	return count;
}

/* Gives the chain to TCP, and finds out whether WRITABLE is owed. */
static void
flush_one(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	if (conn->slot.state == SLOT_CONNECTING)
		return; /* The output waits for OPENED. */
	/* Before it is sent: who saw so much unsent may have stopped for it. */
	if (stream_tcp_unsent(core, conn) > core->table.config.writable_bytes)
		conn->slot.wants_writable = true;
	stream_tcp_tx_forget(core, conn);
	if (conn->is_tcp_dead)
		return;
	if (!stream_tcp_tx_move(core, conn))
		list_add_tail(&core->stuck, &conn->slot.dirty_link);
	if (stream_tcp_unsent(core, conn) <=
		    core->table.config.writable_bytes &&
	    conn->slot.wants_writable && conn->slot.state == SLOT_OPEN)
		stream_tcp_ready(core, conn);
	close_advance(core, conn);
}

static void
op_flush(struct stream_core *base)
{
	struct stream_tcp *core = stream_tcp_core_of(base);

	/* Bounded: moving never makes its own connection dirty again. */
	while (!list_empty(&core->table.dirty)) {
		struct stream_tcp_conn *conn =
			list_entry(core->table.dirty.next,
				   struct stream_tcp_conn, slot.dirty_link);

		list_del(&conn->slot.dirty_link);
		flush_one(core, conn);
	}
	core->flush_count++;
	stream_count(&core->table.counters.send_calls, core->sent_calls);
	stream_count(&core->table.counters.send_bytes, core->sent_bytes);
	core->sent_calls = 0;
	core->sent_bytes = 0;
	tcp_flush(core->tcp);
	stream_table_gauge(&core->table);
}

static uint64_t
wait_bound(const struct stream_tcp *core, uint64_t timeout_ns)
{
	const uint64_t until_ns = tcp_sleep_until_ns(core->tcp);
	const uint64_t now_ns = core->table.now_ns;
	uint64_t bound_ns = until_ns > now_ns ? until_ns - now_ns : 0;

	bound_ns = stream_table_wait_bound(&core->table, bound_ns);
	/* Nothing is due, but something could not be sent. */
	if (!list_empty(&core->stuck) || until_ns == 0)
		bound_ns = STUCK_NAP_NS;
	return bound_ns < timeout_ns ? bound_ns : timeout_ns;
}

static void
op_wait(struct stream_core *base, uint64_t timeout_ns)
{
	struct stream_tcp *core = stream_tcp_core_of(base);

	op_flush(base);
	dead_free(core);
	if (timeout_ns == 0 || !list_empty(&core->table.ready) ||
	    !list_empty(&core->told) ||
	    core->newcomer_head != core->newcomer_tail)
		return;

	const uint64_t bound_ns = wait_bound(core, timeout_ns);

	if (bound_ns == 0)
		return;
	stream_count(&core->table.counters.waits, 1);
	port_wait(core->port, core->table.config.doorbell_fd, bound_ns);
}

static void
op_close(struct stream_core *base, stream_id id)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = stream_tcp_alive(core, id);

	if (conn == NULL)
		return;
	stream_count(&core->table.counters.closes, 1);
	conn->slot.is_dropped = true;
	if (conn->slot.state == SLOT_CONNECTING || conn->is_tcp_dead ||
	    conn->slot.reason != STREAM_NO_REASON) {
		stream_tcp_kill(core, conn);
		return;
	}
	list_del(&conn->slot.ready_link);
	close_start(core, conn);
}

static void
op_abort(struct stream_core *base, stream_id id)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = stream_tcp_alive(core, id);

	if (conn == NULL)
		return;
	stream_count(&core->table.counters.aborts, 1);
	conn->slot.is_dropped = true;
	stream_tcp_kill(core, conn);
}

static void
core_free(struct stream_tcp *core)
{
	if (core->tcp != NULL)
		tcp_core_destroy(core->tcp);
	stream_table_free(&core->table);
	free(core->newcomers);
	free(core->early_news);
	free(core->slot_of);
	free(core);
}

static void
op_destroy(struct stream_core *base)
{
	struct stream_tcp *core = stream_tcp_core_of(base);

	for (uint32_t i = 0; i < core->table.touched; i++)
		if (core->conns[i].slot.state != SLOT_FREE)
			stream_tcp_kill(core, &core->conns[i]);
	tcp_flush(core->tcp);
	core_free(core);
}

static const struct stream_ops stream_tcp_ops = {
	.name = "tcp",
	.poll = op_poll,
	.flush = op_flush,
	.wait = op_wait,
	.peek = stream_tcp_op_peek,
	.pull = stream_tcp_op_pull,
	.want = stream_tcp_op_want,
	.consume = stream_tcp_op_consume,
	.buffered = stream_tcp_op_buffered,
	.pause = stream_table_op_pause,
	.resume = stream_table_op_resume,
	.reserve = stream_tcp_op_reserve,
	.commit = stream_tcp_op_commit,
	.write = stream_tcp_op_write,
	.unsent = stream_tcp_op_unsent,
	.answer_begin = stream_tcp_op_answer_begin,
	.answer_end = stream_tcp_op_answer_end,
	.listen = stream_tcp_op_listen,
	.unlisten = stream_tcp_op_unlisten,
	.connect = stream_tcp_op_connect,
	.close = op_close,
	.abort = op_abort,
	.peer = stream_table_op_peer,
	.counters_read = stream_table_op_counters_read,
	.destroy = op_destroy,
};

/* ---- making one ---- */

/* Makes TCP, and what belongs to its blocks. Returns 0 or why not. */
static int
blocks_create(struct stream_tcp *core, uint64_t now_ns)
{
	struct tcp_config *tcp = &core->tcp_config;
	const uint32_t limit = core->table.config.stream_limit;
	int err;

	if (tcp->conn_limit == 0) {
		const uint32_t wanted = limit + limit / 4 + 4096;

		tcp->conn_limit = wanted < 1u << 20 ? wanted : 1u << 20;
	}
	core->newcomer_mask = (uint32_t)bits_pow2_at_least(tcp->conn_limit) - 1;
	core->slot_of = calloc(tcp->conn_limit, sizeof(*core->slot_of));
	core->early_news = calloc(tcp->conn_limit, 1);
	core->newcomers =
		calloc(core->newcomer_mask + 1, sizeof(*core->newcomers));
	if (core->slot_of == NULL || core->early_news == NULL ||
	    core->newcomers == NULL)
		return FAL_ENOMEM;
	err = tcp_core_create(tcp, now_ns, &core->tcp);
	if (err != 0)
		core->tcp = NULL;
	return err;
}

int
stream_tcp_create(const struct stream_config *config,
		  const struct tcp_config *tcp, uint64_t now_ns,
		  struct stream_core **out)
{
	struct stream_tcp *core = calloc(1, sizeof(*core));
	int err;

	if (core == NULL)
		return FAL_ENOMEM;
	core->port = tcp->port;
	core->tcp_config = *tcp;
	core->table.now_ns = now_ns;
	list_init(&core->told);
	list_init(&core->stuck);
	err = stream_table_init(&core->table, &stream_tcp_ops, config,
				sizeof(*core->conns));
	core->conns = core->table.slots;
	if (err == 0)
		err = blocks_create(core, now_ns);
	if (err != 0) {
		core_free(core);
		return err;
	}
	*out = &core->table.base;
	return 0;
}

struct tcp_core *
stream_tcp_of(struct stream_core *core)
{
	FAL_ASSERT(core->ops == &stream_tcp_ops);
	return stream_tcp_core_of(core)->tcp;
}

void
stream_tcp_counters(struct stream_core *core, struct tcp_counters *counters)
{
	const struct tcp_counters *from = tcp_counters(stream_tcp_of(core));

	/* Words that their owner adds to with plain stores: each is whole. */
#define TCP_COUNTER(name, what) \
	counters->name = __atomic_load_n(&from->name, __ATOMIC_RELAXED);
	TCP_COUNTERS(TCP_COUNTER)
#undef TCP_COUNTER
}
