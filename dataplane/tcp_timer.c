/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_timer - one wheel per core, one entry per connection.
 *
 * A connection has three deadlines: tx (handshake, retransmission, persist),
 * ack (delayed ack) and life (keepalive, FIN-WAIT-2, TIME-WAIT, linger). The
 * wheel holds the earliest, rounded up to a tick of 2^20 ns. Arming later than
 * the slot a connection is in only stores the deadline: when the slot comes up
 * the connection moves on. So a request and its reply cost no list work.
 * Deadlines further away than the wheel reaches (4.3 s) wait in its last slot.
 */

#include "dataplane/tcp_int.h"

/* The earliest deadline or 0. */
static uint32_t
tcp_timer_earliest(const struct tcp_conn *conn)
{
	uint32_t first = conn->tx_deadline;

	if (conn->ack_deadline != 0 &&
	    (first == 0 || tcp_seq_lt(conn->ack_deadline, first)))
		first = conn->ack_deadline;
	if (conn->life_deadline != 0 &&
	    (first == 0 || tcp_seq_lt(conn->life_deadline, first)))
		first = conn->life_deadline;
	return first;
}

static bool
tcp_timer_is_due(const struct tcp_core *core, uint32_t deadline)
{
	return deadline != 0 && tcp_seq_le(deadline, core->tick);
}

void
tcp_timer_unlink(struct tcp_core *core, struct tcp_conn *conn)
{
	if ((conn->lists & TCP_IN_WHEEL) == 0)
		return;
	if (conn->wheel_prev == TCP_NONE)
		core->wheel[conn->wheel_tick % TCP_WHEEL_SLOTS] =
			conn->wheel_next;
	else
		core->conns[conn->wheel_prev].wheel_next = conn->wheel_next;
	if (conn->wheel_next != TCP_NONE)
		core->conns[conn->wheel_next].wheel_prev = conn->wheel_prev;
	conn->lists = (uint8_t)(conn->lists & ~TCP_IN_WHEEL);
}

void
tcp_timer_arm(struct tcp_core *core, struct tcp_conn *conn)
{
	uint32_t first = tcp_timer_earliest(conn);
	uint32_t ahead = first - core->tick;
	uint32_t index, *slot;

	if (first == 0 || ((conn->lists & TCP_IN_WHEEL) != 0 &&
			   tcp_seq_le(conn->wheel_tick, first)))
		return;
	index = tcp_index(core, conn);
	if (tcp_seq_le(first, core->tick))
		ahead = 1;
	else if (ahead > TCP_WHEEL_SLOTS - 1)
		ahead = TCP_WHEEL_SLOTS - 1;
	if ((conn->lists & TCP_IN_WHEEL) != 0) {
		if (conn->wheel_tick - core->tick <= ahead)
			return;
		tcp_timer_unlink(core, conn);
	}
	conn->wheel_tick = core->tick + ahead;
	slot = &core->wheel[conn->wheel_tick % TCP_WHEEL_SLOTS];
	conn->wheel_prev = TCP_NONE;
	conn->wheel_next = *slot;
	if (*slot != TCP_NONE)
		core->conns[*slot].wheel_prev = index;
	*slot = index;
	conn->lists = (uint8_t)(conn->lists | TCP_IN_WHEEL);
}

/* Starts 2 MSL; the user's input is kept until it lets go. */
void
tcp_time_wait_enter(struct tcp_core *core, struct tcp_conn *conn)
{
	tcp_time_wait_leave(core, conn);
	conn->state = TCP_TIME_WAIT;
	conn->tx_deadline = 0;
	conn->life_deadline =
		tcp_timer_in(core, core->config.time_wait_ms * NS_PER_MS);
	tcp_timer_arm(core, conn);
	if (tcp_has(conn, TCP_ORPHAN))
		tcp_time_wait_list(core, conn);
}

/* Puts an orphan in TIME-WAIT behind those that will be recycled earlier. */
void
tcp_time_wait_list(struct tcp_core *core, struct tcp_conn *conn)
{
	uint32_t index = tcp_index(core, conn);

	FAL_ASSERT((conn->lists & TCP_IN_TIME_WAIT) == 0);
	conn->lists = (uint8_t)(conn->lists | TCP_IN_TIME_WAIT);
	conn->time_wait_next = TCP_NONE;
	conn->time_wait_prev = core->time_wait_tail;
	if (core->time_wait_tail == TCP_NONE)
		core->time_wait_head = index;
	else
		core->conns[core->time_wait_tail].time_wait_next = index;
	core->time_wait_tail = index;
	core->counters.time_waits++;
}

/* Takes a block out of that list if it is there. */
void
tcp_time_wait_leave(struct tcp_core *core, struct tcp_conn *conn)
{
	if ((conn->lists & TCP_IN_TIME_WAIT) == 0)
		return;
	if (conn->time_wait_prev == TCP_NONE)
		core->time_wait_head = conn->time_wait_next;
	else
		core->conns[conn->time_wait_prev].time_wait_next =
			conn->time_wait_next;
	if (conn->time_wait_next == TCP_NONE)
		core->time_wait_tail = conn->time_wait_prev;
	else
		core->conns[conn->time_wait_next].time_wait_prev =
			conn->time_wait_prev;
	conn->lists = (uint8_t)(conn->lists & ~TCP_IN_TIME_WAIT);
	core->counters.time_waits--;
}

/* Keepalive, as RFC 9293 3.8.4: one probe a second, five without an answer. */
static void
tcp_timer_keepalive(struct tcp_core *core, struct tcp_conn *conn)
{
	if (conn->probes >= 5) {
		core->counters.timed_out++;
		tcp_out_reset(core, conn);
		tcp_conn_end(core, conn, TCP_REASON_TIMED_OUT);
		return;
	}
	conn->probes++;
	conn->life_deadline = tcp_timer_in(core, NS_PER_SECOND);
	tcp_set(conn, TCP_PROBE_DUE);
	tcp_conn_out(core, conn);
}

static void
tcp_timer_life(struct tcp_core *core, struct tcp_conn *conn)
{
	conn->life_deadline = 0;
	if (conn->state == TCP_TIME_WAIT) {
		tcp_conn_end(core, conn, TCP_REASON_NONE);
	} else if (tcp_has(conn, TCP_ORPHAN)) {
		tcp_out_reset(core, conn);
		tcp_conn_free(core, conn);
	} else if (conn->keepalive_ms != 0) {
		tcp_timer_keepalive(core, conn);
	}
}

static void
tcp_timer_fire(struct tcp_core *core, struct tcp_conn *conn)
{
	tcp_stir(conn);
	if (tcp_timer_is_due(core, conn->ack_deadline)) {
		conn->ack_deadline = 0;
		tcp_set(conn, TCP_ACK_NOW);
		tcp_conn_out(core, conn);
	}
	if (tcp_timer_is_due(core, conn->tx_deadline))
		tcp_loss_timeout(core, conn);
	if (tcp_timer_is_due(core, conn->life_deadline))
		tcp_timer_life(core, conn);
	if (conn->state != TCP_FREE && conn->state != TCP_CLOSED)
		tcp_timer_arm(core, conn);
}

static uint32_t
tcp_timer_level(uint32_t left, uint32_t size)
{
	return left <= size / 16 ? TCP_POOL_NO_WRITE
	       : left < size / 8 ? TCP_POOL_NO_WINDOW
	       : left < size / 4 ? TCP_POOL_NO_OPEN
				 : TCP_POOL_GOOD;
}

/* What we keep unread are mbufs of the one who receives for us; output is our
 * own. */
static void
tcp_timer_look_at_other(struct tcp_core *core)
{
	const struct rte_mempool *other = core->pool_of_other;
	uint32_t level =
		tcp_timer_level(rte_mempool_avail_count(other), other->size);

	if (level > TCP_POOL_NO_WINDOW)
		level = TCP_POOL_NO_WINDOW;
	if (level > core->pool_level)
		core->pool_level = level;
}

/* Once a tick, and when output has taken what it may between two looks: the
 * count walks the caches of all lcores. */
void
tcp_timer_look_at_pool(struct tcp_core *core)
{
	uint32_t left = rte_mempool_avail_count(core->config.pool);
	uint32_t size = core->config.pool->size;
	uint32_t kept = size / 16;

	core->pool_level = tcp_timer_level(left, size);
	core->output_left = left > kept ? left - kept : 0;
	if (FAL_UNLIKELY(core->pool_of_other != NULL))
		tcp_timer_look_at_other(core);
}

/* Fires what is due at core->now_ns. A core that slept longer than the wheel
 * turns visits each slot once. */
void
tcp_timer_run(struct tcp_core *core)
{
	uint32_t now_tick = (uint32_t)(core->now_ns >> TCP_TICK_SHIFT);
	uint32_t turns = now_tick - core->tick;

	if (turns > 0) {
		tcp_timer_look_at_pool(core);
		tcp_fast_prepare(core);
	}
	if (turns > TCP_WHEEL_SLOTS) {
		core->tick = now_tick - TCP_WHEEL_SLOTS;
		turns = TCP_WHEEL_SLOTS;
	}
	for (uint32_t i = 0; i < turns; i++) {
		uint32_t *slot = &core->wheel[++core->tick % TCP_WHEEL_SLOTS];

		/* Arming goes to a later slot at least, so this ends. */
		while (*slot != TCP_NONE) {
			struct tcp_conn *conn = &core->conns[*slot];

			conn->wheel_tick = core->tick;
			tcp_timer_unlink(core, conn);
			tcp_timer_fire(core, conn);
		}
	}
}

uint64_t
tcp_next_timer_ns(const struct tcp_core *core)
{
	uint32_t first = 0;
	uint64_t now = core->now_ns >> TCP_TICK_SHIFT;

	for (uint32_t i = 0; i < core->config.conn_limit; i++) {
		const struct tcp_conn *conn = &core->conns[i];
		uint32_t at = 0;

		if (conn->state != TCP_FREE && conn->state != TCP_CLOSED)
			at = tcp_timer_earliest(conn);
		if (at != 0 && (first == 0 || tcp_seq_lt(at, first)))
			first = at;
	}
	if (first == 0)
		return UINT64_MAX;
	if (tcp_seq_lt(first, (uint32_t)now))
		first = (uint32_t)now;
	return (now + (first - (uint32_t)now)) << TCP_TICK_SHIFT;
}

uint64_t
tcp_sleep_until_ns(const struct tcp_core *core)
{
	if (core->out_head != core->out_tail ||
	    core->news_head != core->news_tail || core->tx_count > 0)
		return 0;
	for (uint32_t i = 1; i < TCP_WHEEL_SLOTS; i++) {
		const uint32_t tick = core->tick + i;

		/* now_ns counts in 64 bits, ticks in 32: the distance is what
		 * they have in common. */
		if (core->wheel[tick % TCP_WHEEL_SLOTS] != TCP_NONE)
			return ((core->now_ns >> TCP_TICK_SHIFT) + i)
			       << TCP_TICK_SHIFT;
	}
	return ((core->now_ns >> TCP_TICK_SHIFT) + TCP_WHEEL_SLOTS)
	       << TCP_TICK_SHIFT;
}
