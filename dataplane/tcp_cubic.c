/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_cubic - how the congestion window grows (RFC 9438) and what a loss makes
 * of it.
 *
 * Slow start doubles by bytes acknowledged (RFC 5681 3.1, RFC 3465 with L = 2).
 * After a loss the window is 0.7 of the flight and grows over time, not over
 * acks: W(t) = C (t - K)^3 + W_max in segments and seconds, C = 0.4, with K so
 * that it begins where it is; but at least as fast as Reno on the same path
 * would. W_max is the window before the loss (undo_cwnd), the beginning is
 * ssthresh, so that only the time is kept. The RFC's fast convergence is left
 * out: our paths are shared by few.
 */

#include "dataplane/tcp_int.h"

#define CUBIC_TIME_MAX_MS 60000

/* The integer cube root. */
static uint32_t
tcp_cubic_root(uint64_t of)
{
	uint64_t root = 0;

	for (int32_t shift = 20; shift >= 0; shift--) {
		uint64_t next = root | 1ull << shift;

		if (next * next * next <= of)
			root = next;
	}
	return (uint32_t)root;
}

/* W(t) in bytes; 0 when it would be negative. */
static uint32_t
tcp_cubic_curve(const struct tcp_conn *conn, uint32_t since_ms)
{
	uint32_t top = conn->undo_cwnd;
	uint64_t drop =
		top > conn->ssthresh ? (top - conn->ssthresh) / conn->mss : 0;
	/* K = cbrt(drop / C) s = cbrt(2.5 * 10^9 * drop) ms */
	int64_t time_ms =
		(int64_t)since_ms - tcp_cubic_root(drop * 2500000000ull);
	int64_t bytes;

	if (time_ms > CUBIC_TIME_MAX_MS)
		time_ms = CUBIC_TIME_MAX_MS;
	if (time_ms < -CUBIC_TIME_MAX_MS)
		time_ms = -CUBIC_TIME_MAX_MS;
	bytes = time_ms * time_ms * time_ms / 10000 * 4 / 100 * conn->mss /
		10000;
	bytes += top > conn->ssthresh ? top : conn->ssthresh;
	if (bytes > TCP_CWND_MAX)
		bytes = TCP_CWND_MAX;
	return bytes < 0 ? 0 : (uint32_t)bytes;
}

/* What Reno with the same 0.7 would have: 0.53 segments a round trip. */
static uint32_t
tcp_cubic_reno(const struct tcp_conn *conn, uint32_t since_ms)
{
	uint64_t srtt_us = conn->srtt_us < 100 ? 100 : conn->srtt_us;
	uint64_t bytes =
		530ull * since_ms * conn->mss / srtt_us + conn->ssthresh;

	return bytes > TCP_CWND_MAX ? TCP_CWND_MAX : (uint32_t)bytes;
}

/* An ack of `acked` bytes came while the window was used. */
void
tcp_cubic_grow(struct tcp_core *core, struct tcp_conn *conn, uint32_t acked)
{
	uint32_t mss = conn->mss, cwnd = conn->cwnd;
	uint32_t since_ms, curve, target;

	if (cwnd < conn->ssthresh) {
		conn->cwnd += acked > 2 * mss ? 2 * mss : acked;
		conn->cubic_start = 0;
		return;
	}
	if (conn->cubic_start == 0)
		conn->cubic_start = tcp_timer_in(core, 0);
	since_ms = tcp_timer_in(core, conn->srtt_us * NS_PER_US) -
		   conn->cubic_start;
	target = tcp_cubic_reno(conn, since_ms);
	curve = tcp_cubic_curve(conn, since_ms);
	if (target < curve)
		target = curve;
	if (target > cwnd + cwnd / 2)
		target = cwnd + cwnd / 2;
	if (acked > cwnd)
		acked = cwnd;
	if (target > cwnd)
		cwnd += (uint32_t)((uint64_t)(target - cwnd) * acked / cwnd);
	conn->cwnd = cwnd > TCP_CWND_MAX ? TCP_CWND_MAX : cwnd;
}

/* The threshold after a loss; remembers what was before. */
void
tcp_cubic_loss(struct tcp_conn *conn)
{
	uint32_t part =
		(uint32_t)((uint64_t)(conn->snd_nxt - conn->snd_una) * 7 / 10);

	conn->undo_cwnd = conn->cwnd;
	conn->undo_count = 0;
	tcp_clear(conn, TCP_UNDO_START | TCP_UNDO_SENT);
	if (conn->ssthresh == UINT32_MAX)
		tcp_set(conn, TCP_UNDO_START);
	conn->cubic_start = 0;
	conn->ssthresh = part < 2u * conn->mss ? 2u * conn->mss : part;
}

/* The loss was none. */
void
tcp_cubic_undo(struct tcp_conn *conn)
{
	if (conn->cwnd < conn->undo_cwnd)
		conn->cwnd = conn->undo_cwnd;
	conn->ssthresh =
		tcp_has(conn, TCP_UNDO_START) ? UINT32_MAX : conn->cwnd;
	conn->cubic_start = 0;
}
