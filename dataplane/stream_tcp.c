/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_tcp - the table of connections, their states and their events.
 *
 * A poll lets TCP receive, takes its news into the slots, and visits the slots
 * on the ready list; the visit alone turns fields into events, in a fixed
 * order: OPENED, READABLE, WRITABLE or CLOSED. A connection that has more to
 * say goes back to the end of the list, so a full event array starves nobody.
 * Newcomers come last: a place that ended in this poll is free for them.
 *
 * Slots are freed at the start of the next poll or wait, not where they die:
 * the peer's address of a CLOSED event stays readable, and no index is used
 * again within the iteration that saw its end.
 */
#include "dataplane/stream_tcp.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/time.h"
#include "dataplane/stream_tcp_int.h"
#include "dataplane/tcp_int.h"
#include "drivers/stream_config.h"

#define NO_SLOT UINT32_MAX

/* A visit writes OPENED, READABLE and WRITABLE or CLOSED at most. */
#define VISIT_EVENTS_MAX 3u

/* While the port or the pool is exhausted: the longest sleep. */
#define STUCK_NAP_NS (100 * NS_PER_US)

_Static_assert(VISIT_EVENTS_MAX <= STREAM_EVENTS_MIN, "one visit always fits");

/* ---- slots ---- */

struct stream_tcp_conn *
stream_tcp_new(struct stream_tcp *core, struct tcp_conn *tcp)
{
	uint32_t index = core->free_head;
	struct stream_tcp_conn *conn;
	uint32_t generation = 1;

	if (index != NO_SLOT) {
		generation = core->conns[index].generation;
		core->free_head = core->conns[index].next_free;
	} else if (core->touched < core->base.stream_limit) {
		index = core->touched++;
	} else {
		return NULL;
	}
	conn = &core->conns[index];
	FAL_ASSERT(conn->state == STREAM_TCP_FREE);
	memset(conn, 0, sizeof(*conn));
	conn->generation = generation;
	conn->tcp = tcp;
	conn->rx_wanted = 1;
	conn->frame_bytes_max = core->config.frame_bytes_max;
	stream_tcp_limit_unsent(conn, core->config.unsent_bytes_max);
	list_init(&conn->ready_link);
	list_init(&conn->dirty_link);
	list_init(&conn->end_link);
	core->slot_of[tcp_index(core->tcp, tcp)] = index + 1;
	stream_tcp_count(&core->counters.connections, 1);
	return conn;
}

/* The connection leaves its present state: gauges and limits. */
static void
state_leave(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	if (stream_tcp_is_alive(conn))
		stream_tcp_count(&core->counters.connections, (uint64_t)-1);
	if (stream_tcp_is_lingering(conn))
		stream_tcp_count(&core->counters.lingering, (uint64_t)-1);
	if (conn->has_limit_place)
		stream_limits_leave(conn->limits, &conn->peer);
	conn->has_limit_place = false;
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

static void
bury(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	FAL_ASSERT(conn->tcp == NULL);
	state_leave(core, conn);
	conn->state = STREAM_TCP_DEAD;
	list_del(&conn->ready_link);
	list_del(&conn->dirty_link);
	list_del(&conn->end_link);
	list_add_tail(&core->dead, &conn->end_link);
}

void
stream_tcp_kill(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	FAL_ASSERT(conn->state != STREAM_TCP_FREE);
	if (conn->state == STREAM_TCP_DEAD)
		return;

	const bool is_dead = conn->is_tcp_dead;
	struct tcp_conn *tcp = tcp_take(core, conn);

	if (is_dead)
		tcp_release(core->tcp, tcp);
	else
		tcp_abort(core->tcp, tcp);
	bury(core, conn);
}

/* From alive to CLOSING. */
static void
close_start(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	state_leave(core, conn);
	conn->state = STREAM_TCP_CLOSING;
	conn->is_paused = false;
	conn->deadline_ns = core->now_ns + core->config.linger_ms * NS_PER_MS;
	list_add_tail(&core->lingering, &conn->end_link);
	stream_tcp_count(&core->counters.lingering, 1);
	stream_tcp_rx_drop(core, conn);
	stream_tcp_tx_forget(core, conn);
	stream_tcp_dirty(core, conn);
}

/* CLOSING to LINGERING once the chain is empty; and once the peer has finished
 * too, TCP needs nobody. */
static void
close_advance(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	if (!stream_tcp_is_lingering(conn))
		return;
	if (conn->state == STREAM_TCP_CLOSING) {
		if (conn->tx.bytes != 0)
			return;
		tcp_shutdown(core->tcp, conn->tcp);
		conn->state = STREAM_TCP_LINGERING;
	}
	if (!conn->is_finished)
		return;

	const uint64_t left_ns = conn->deadline_ns > core->now_ns
					 ? conn->deadline_ns - core->now_ns
					 : 0;

	tcp_close(core->tcp, tcp_take(core, conn),
		  (uint32_t)(left_ns / NS_PER_MS) + 1);
	bury(core, conn);
}

void
stream_tcp_fail(struct stream_tcp *core, struct stream_tcp_conn *conn,
		enum stream_reason reason)
{
	FAL_ASSERT(reason != STREAM_NO_REASON);
	if (!stream_tcp_is_alive(conn)) {
		stream_tcp_kill(core, conn);
		return;
	}
	if (conn->reason != STREAM_NO_REASON)
		return; /* The first cause counts. */
	conn->reason = (uint8_t)reason;
	stream_tcp_ready(core, conn);
}

static void
dead_free(struct stream_tcp *core)
{
	while (!list_empty(&core->dead)) {
		struct stream_tcp_conn *conn = list_entry(
			core->dead.next, struct stream_tcp_conn, end_link);

		list_del(&conn->end_link);
		conn->state = STREAM_TCP_FREE;
		conn->generation++;
		if (conn->generation == 0)
			conn->generation = 1;
		conn->next_free = core->free_head;
		core->free_head = stream_tcp_index(core, conn);
	}
}

static void
lingering_expire(struct stream_tcp *core)
{
	while (!list_empty(&core->lingering)) {
		struct stream_tcp_conn *conn = list_entry(
			core->lingering.next, struct stream_tcp_conn, end_link);

		if (conn->deadline_ns > core->now_ns)
			return;
		stream_tcp_count(&core->counters.linger_timeouts, 1);
		stream_tcp_kill(core, conn);
	}
}

/* ---- events ---- */

static inline void
event_put_of(const struct stream_tcp_conn *conn, uint32_t index,
	     enum stream_event_kind kind, enum stream_reason reason,
	     struct stream_event *event)
{
	*event = (struct stream_event){
		.id = (uint64_t)conn->generation << 32 | index,
		.tag = conn->tag,
		.kind = (uint8_t)kind,
		.reason = (uint8_t)reason,
		.is_accepted = conn->is_accepted,
	};
}

static void
event_put(const struct stream_tcp *core, const struct stream_tcp_conn *conn,
	  enum stream_event_kind kind, enum stream_reason reason,
	  struct stream_event *event)
{
	event_put_of(conn, stream_tcp_index(core, conn), kind, reason, event);
}

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
	if (conn->reason != STREAM_NO_REASON) {
		event_put(core, conn, STREAM_CLOSED, conn->reason, event);
		stream_tcp_count(&core->counters.failed, 1);
		stream_tcp_kill(core, conn);
		return;
	}
	event_put(core, conn, STREAM_CLOSED, STREAM_FINISHED, event);
	stream_tcp_count(&core->counters.finished, 1);
	close_start(core, conn);
}

/* Visits an OPEN connection that is off the list. Returns the event count. */
static uint32_t
visit_open(struct stream_tcp *core, struct stream_tcp_conn *conn,
	   struct stream_event *events)
{
	uint32_t count = 0;

	if (!conn->is_opened_told) {
		conn->is_opened_told = true;
		event_put(core, conn, STREAM_OPENED, 0, &events[count++]);
	}
	stream_tcp_rx_note(core, conn);

	const bool is_readable = !conn->is_paused && !conn->is_last_read &&
				 stream_tcp_buffered(conn) >= conn->rx_wanted;

	if (is_readable) {
		event_put(core, conn, STREAM_READABLE, 0, &events[count++]);
		conn->is_last_read = conn->reason != STREAM_NO_REASON;
		stream_tcp_ready(core, conn);
	} else if (conn->reason != STREAM_NO_REASON ||
		   (conn->is_finished && !conn->is_paused)) {
		end_report(core, conn, &events[count++]);
		return count;
	}
	if (conn->wants_writable && conn->reason == STREAM_NO_REASON &&
	    stream_tcp_unsent(core, conn) <= core->config.writable_bytes) {
		conn->wants_writable = false;
		event_put(core, conn, STREAM_WRITABLE, 0, &events[count++]);
	}
	return count;
}

static uint32_t
visit(struct stream_tcp *core, struct stream_tcp_conn *conn,
      struct stream_event *events)
{
	switch (conn->state) {
	case STREAM_TCP_OPEN:
		return visit_open(core, conn, events);
	case STREAM_TCP_CONNECTING:
		if (conn->reason == STREAM_NO_REASON)
			return 0;
		end_report(core, conn, events);
		return 1;
	default:
		FAL_ASSERT(stream_tcp_is_lingering(conn)); /* never dead */
		return 0;
	}
}

/* Looks at each connection of a list once, until `max`; those that have more to
 * say go to the end of the ready list and wait for the next poll. */
static uint32_t
visit_all(struct stream_tcp *core, struct list *list,
	  struct stream_event *events, uint32_t max)
{
	const struct list *last = list->prev;
	bool is_over = last == list;
	uint32_t count = 0;

	while (!is_over && max - count >= VISIT_EVENTS_MAX) {
		struct list *link = list->next;

		is_over = link == last;
		list_del(link);
		count += visit(
			core,
			list_entry(link, struct stream_tcp_conn, ready_link),
			events + count);
	}
	FAL_ASSERT(count <= max);
	return count;
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
		return conn->state == STREAM_TCP_CONNECTING ? STREAM_REFUSED
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
	if (stream_tcp_is_alive(conn) &&
	    tcp_reason(conn->tcp) == TCP_REASON_NONE)
		conn->is_finished = true;
	else
		stream_tcp_fail(core, conn, reason_of(conn));
}

void
stream_tcp_news(struct stream_tcp *core, struct stream_tcp_conn *conn,
		uint32_t news)
{
	if (stream_tcp_is_lingering(conn))
		stream_tcp_rx_drop(core, conn);
	if ((news & TCP_NEWS_OPENED) != 0 &&
	    conn->state == STREAM_TCP_CONNECTING) {
		conn->state = STREAM_TCP_OPEN;
		stream_tcp_dirty(core, conn);
	}
	if ((news & TCP_NEWS_FIN) != 0)
		conn->is_finished = true;
	if ((news & TCP_NEWS_FAILED) != 0)
		news_failed(core, conn);
	if (conn->state == STREAM_TCP_DEAD)
		return;
	if (stream_tcp_is_lingering(conn) || (news & TCP_NEWS_ROOM) != 0)
		stream_tcp_dirty(core, conn);
	if (!stream_tcp_is_lingering(conn))
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
	       stream_tcp_is_plain(conn) && conn->rx == NULL &&
	       conn->tx.head == NULL && list_empty(&conn->ready_link) &&
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
		if (conn->rx_seen < conn->rx_wanted)
			continue;
		event_put_of(conn, slot - 1, STREAM_READABLE, 0,
			     &events[count]);
		event_show(tcp, &events[count++]);
		list_add_tail(&core->told, &conn->ready_link);
	}
	stream_tcp_count(&core->counters.recv_calls, calls);
	stream_tcp_count(&core->counters.recv_bytes, received);
	return count;
}

static void
housekeep(struct stream_tcp *core)
{
	while (!list_empty(&core->told)) {
		struct list *link = core->told.next;

		list_del(link);
		list_add_tail(&core->ready, link);
	}
	if (!list_empty(&core->lingering))
		lingering_expire(core);
	if (!list_empty(&core->dead))
		dead_free(core);
	while (!list_empty(&core->stuck)) {
		struct list *link = core->stuck.next;

		list_del(link);
		list_add_tail(&core->dirty, link);
	}
}

/* ---- operations ---- */

/* How many events may be told before those who wait have had their turn. */
static uint32_t
news_max(const struct stream_tcp *core, uint32_t max)
{
	if (FAL_LIKELY(list_empty(&core->ready)))
		return max;
	return max / 2 >= VISIT_EVENTS_MAX ? max / 2 : 0;
}

static uint32_t
op_poll(struct stream_core *base, uint64_t now_ns, struct stream_event *events,
	uint32_t max)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	uint32_t count;

	FAL_ASSERT(max >= STREAM_EVENTS_MIN);
	stream_tcp_count(&core->counters.polls, 1);
	core->now_ns = now_ns;
	core->reserved = NULL;
	housekeep(core);
	tcp_poll(core->tcp, now_ns);
	count = take_news(core, events, news_max(core, max));
	count += visit_all(core, &core->ready, events + count, max - count);
	if (core->newcomer_head != core->newcomer_tail) {
		struct list fresh;

		list_init(&fresh);
		stream_tcp_admit(core, &fresh,
				 (max - count) / VISIT_EVENTS_MAX);
		count += visit_all(core, &fresh, events + count, max - count);
		FAL_ASSERT(list_empty(&fresh));
	}
	return count;
}

/* Gives the chain to TCP, and finds out whether WRITABLE is owed. */
static void
flush_one(struct stream_tcp *core, struct stream_tcp_conn *conn)
{
	if (conn->state == STREAM_TCP_CONNECTING)
		return; /* The output waits for OPENED. */
	/* Before it is sent: who saw so much unsent may have stopped for it. */
	if (stream_tcp_unsent(core, conn) > core->config.writable_bytes)
		conn->wants_writable = true;
	stream_tcp_tx_forget(core, conn);
	if (conn->is_tcp_dead)
		return;
	if (!stream_tcp_tx_move(core, conn))
		list_add_tail(&core->stuck, &conn->dirty_link);
	if (stream_tcp_unsent(core, conn) <= core->config.writable_bytes &&
	    conn->wants_writable && conn->state == STREAM_TCP_OPEN)
		stream_tcp_ready(core, conn);
	close_advance(core, conn);
}

static void
op_flush(struct stream_core *base)
{
	struct stream_tcp *core = stream_tcp_core_of(base);

	/* Bounded: moving never makes its own connection dirty again. */
	while (!list_empty(&core->dirty)) {
		struct stream_tcp_conn *conn = list_entry(
			core->dirty.next, struct stream_tcp_conn, dirty_link);

		list_del(&conn->dirty_link);
		flush_one(core, conn);
	}
	core->flush_count++;
	stream_tcp_count(&core->counters.send_calls, core->sent_calls);
	stream_tcp_count(&core->counters.send_bytes, core->sent_bytes);
	core->sent_calls = 0;
	core->sent_bytes = 0;
	tcp_flush(core->tcp);
	atomic_store_explicit(&core->counters.buffer_bytes,
			      core->pool.bytes_in_use, memory_order_relaxed);
	atomic_store_explicit(&core->counters.buffer_bytes_peak,
			      core->pool.bytes_peak, memory_order_relaxed);
	atomic_store_explicit(&core->counters.pool_bytes, core->pool.slab_bytes,
			      memory_order_relaxed);
}

static uint64_t
wait_bound(const struct stream_tcp *core, uint64_t timeout_ns)
{
	uint64_t until_ns = tcp_sleep_until_ns(core->tcp);

	if (!list_empty(&core->lingering)) {
		const struct stream_tcp_conn *conn = list_entry(
			core->lingering.next, struct stream_tcp_conn, end_link);

		if (conn->deadline_ns < until_ns)
			until_ns = conn->deadline_ns;
	}

	uint64_t bound_ns =
		until_ns > core->now_ns ? until_ns - core->now_ns : 0;

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
	if (!list_empty(&core->dead))
		dead_free(core);
	if (timeout_ns == 0 || !list_empty(&core->ready) ||
	    !list_empty(&core->told) ||
	    core->newcomer_head != core->newcomer_tail)
		return;

	const uint64_t bound_ns = wait_bound(core, timeout_ns);

	if (bound_ns == 0)
		return;
	stream_tcp_count(&core->counters.waits, 1);
	port_wait(core->port, core->config.doorbell_fd, bound_ns);
}

static void
op_close(struct stream_core *base, stream_id id)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = stream_tcp_alive(core, id);

	if (conn == NULL)
		return;
	stream_tcp_count(&core->counters.closes, 1);
	conn->is_dropped = true;
	if (conn->state == STREAM_TCP_CONNECTING || conn->is_tcp_dead ||
	    conn->reason != STREAM_NO_REASON) {
		stream_tcp_kill(core, conn);
		return;
	}
	list_del(&conn->ready_link);
	close_start(core, conn);
}

static void
op_abort(struct stream_core *base, stream_id id)
{
	struct stream_tcp *core = stream_tcp_core_of(base);
	struct stream_tcp_conn *conn = stream_tcp_alive(core, id);

	if (conn == NULL)
		return;
	stream_tcp_count(&core->counters.aborts, 1);
	conn->is_dropped = true;
	stream_tcp_kill(core, conn);
}

static const struct stream_address *
op_peer(struct stream_core *base, stream_id id)
{
	struct stream_tcp_conn *conn =
		stream_tcp_slot(stream_tcp_core_of(base), id);

	return conn != NULL && conn->state != STREAM_TCP_FREE &&
			       !conn->is_dropped
		       ? &conn->peer
		       : NULL;
}

static void
op_counters_read(struct stream_core *base, struct stream_counters *counters)
{
	struct stream_tcp *core = stream_tcp_core_of(base);

#define STREAM_COUNTER(name, what)                                  \
	counters->name = atomic_load_explicit(&core->counters.name, \
					      memory_order_relaxed);
	STREAM_COUNTERS(STREAM_COUNTER)
#undef STREAM_COUNTER
}

static void
core_free(struct stream_tcp *core)
{
	if (core->tcp != NULL)
		tcp_core_destroy(core->tcp);
	stream_pool_free(&core->pool);
	free(core->newcomers);
	free(core->early_news);
	free(core->slot_of);
	free(core->conns);
	free(core);
}

static void
op_destroy(struct stream_core *base)
{
	struct stream_tcp *core = stream_tcp_core_of(base);

	for (uint32_t i = 0; i < core->touched; i++)
		if (core->conns[i].state != STREAM_TCP_FREE)
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
	.pause = stream_tcp_op_pause,
	.resume = stream_tcp_op_resume,
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
	.peer = op_peer,
	.counters_read = op_counters_read,
	.destroy = op_destroy,
};

/* ---- making one ---- */

static int
core_allocate(struct stream_tcp *core, uint64_t now_ns)
{
	struct tcp_config *tcp = &core->tcp_config;
	const uint32_t limit = core->config.stream_limit;
	int err;

	if (tcp->conn_limit == 0) {
		const uint32_t wanted = limit + limit / 4 + 4096;

		tcp->conn_limit = wanted < 1u << 20 ? wanted : 1u << 20;
	}
	core->newcomer_mask = (uint32_t)bits_pow2_at_least(tcp->conn_limit) - 1;
	/* Untouched memory costs nothing: it is mapped at first use. */
	core->conns = calloc(limit, sizeof(*core->conns));
	core->slot_of = calloc(tcp->conn_limit, sizeof(*core->slot_of));
	core->early_news = calloc(tcp->conn_limit, 1);
	core->newcomers =
		calloc(core->newcomer_mask + 1, sizeof(*core->newcomers));
	if (core->conns == NULL || core->slot_of == NULL ||
	    core->early_news == NULL || core->newcomers == NULL)
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
	struct stream_config complete = *config;
	struct stream_tcp *core;
	int err;

	if (!stream_config_complete(&complete))
		return FAL_EINVAL;
	core = calloc(1, sizeof(*core));
	if (core == NULL)
		return FAL_ENOMEM;
	core->base.ops = &stream_tcp_ops;
	core->base.stream_limit = complete.stream_limit;
	core->port = tcp->port;
	core->config = complete;
	core->tcp_config = *tcp;
	core->now_ns = now_ns;
	core->free_head = NO_SLOT;
	list_init(&core->ready);
	list_init(&core->told);
	list_init(&core->dirty);
	list_init(&core->stuck);
	list_init(&core->lingering);
	list_init(&core->dead);
	stream_pool_init(&core->pool);
	err = core_allocate(core, now_ns);
	if (err != 0) {
		core_free(core);
		return err;
	}
	*out = &core->base;
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
