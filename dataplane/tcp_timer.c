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

static uint64_t
tcp_timer_earliest(const struct tcp_conn *conn)
{
	uint64_t first = UINT64_MAX;

	if (conn->tx_deadline_ns != 0)
		first = conn->tx_deadline_ns;
	if (conn->ack_deadline_ns != 0 && conn->ack_deadline_ns < first)
		first = conn->ack_deadline_ns;
	if (conn->life_deadline_ns != 0 && conn->life_deadline_ns < first)
		first = conn->life_deadline_ns;
	return first;
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
	uint64_t first = tcp_timer_earliest(conn);
	uint32_t index = tcp_index(core, conn);
	uint32_t ahead = TCP_WHEEL_SLOTS - 1;
	uint64_t tick;
	uint32_t *slot;

	if (first == UINT64_MAX)
		return;
	tick = (first >> TCP_TICK_SHIFT) + 1;
	if (tick <= core->tick)
		ahead = 1;
	else if (tick - core->tick < ahead)
		ahead = (uint32_t)(tick - core->tick);
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
	conn->state = TCP_TIME_WAIT;
	conn->tx_deadline_ns = 0;
	conn->life_deadline_ns =
		core->now_ns + core->config.time_wait_ms * NS_PER_MS;
	tcp_timer_arm(core, conn);
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
	conn->life_deadline_ns = core->now_ns + NS_PER_SECOND;
	tcp_set(conn, TCP_PROBE_DUE);
	tcp_conn_out(core, conn);
}

static void
tcp_timer_life(struct tcp_core *core, struct tcp_conn *conn)
{
	conn->life_deadline_ns = 0;
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
	uint64_t now_ns = core->now_ns;

	if (conn->ack_deadline_ns != 0 && conn->ack_deadline_ns <= now_ns) {
		conn->ack_deadline_ns = 0;
		tcp_set(conn, TCP_ACK_NOW);
		tcp_conn_out(core, conn);
	}
	if (conn->tx_deadline_ns != 0 && conn->tx_deadline_ns <= now_ns)
		tcp_loss_timeout(core, conn);
	if (conn->life_deadline_ns != 0 && conn->life_deadline_ns <= now_ns)
		tcp_timer_life(core, conn);
	if (conn->state != TCP_FREE && conn->state != TCP_CLOSED)
		tcp_timer_arm(core, conn);
}

/* Fires what is due at core->now_ns. A core that slept longer than the wheel
 * turns visits each slot once. */
void
tcp_timer_run(struct tcp_core *core)
{
	uint32_t now_tick = (uint32_t)(core->now_ns >> TCP_TICK_SHIFT);
	uint32_t turns = now_tick - core->tick;

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
	uint64_t next_ns = UINT64_MAX;

	for (uint32_t i = 0; i < core->config.conn_limit; i++) {
		const struct tcp_conn *conn = &core->conns[i];
		uint64_t at = UINT64_MAX;

		if (conn->state != TCP_FREE && conn->state != TCP_CLOSED)
			at = tcp_timer_earliest(conn);
		if (at < next_ns)
			next_ns = at;
	}
	/* Timers fire at the end of their tick. */
	if (next_ns == UINT64_MAX)
		return next_ns;
	return ((next_ns >> TCP_TICK_SHIFT) + 1) << TCP_TICK_SHIFT;
}

uint64_t
tcp_sleep_until_ns(const struct tcp_core *core)
{
	if (core->out_head != TCP_NONE || core->news_head != TCP_NONE ||
	    core->tx_count > 0)
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
