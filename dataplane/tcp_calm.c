/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_calm - connections that nothing has to be asked about.
 *
 * A segment passes some forty questions whose answer is nearly always the same
 * and changes seldom: is the connection established, is something lost, does it
 * close, what options and which IP has it. TCP_CALM stands for the answers to
 * all of them, so that a segment in and one out ask for one bit (tcp_calm.h).
 *
 * A connection becomes calm when tcp_fast.c has taken a segment of it the way
 * of every question. Whatever may change one of the answers stirs it before: a
 * segment that goes the long way, a timer, the user's close and keepalive, a
 * smaller MSS, the end. It is calm again with the next segment as expected.
 */

#include "dataplane/tcp_calm.h"

#define CALM_HAS (TCP_HAS_TS | TCP_HAS_SACK | TCP_RACK_KNOWN)
/* More than tcp_fast.c: what tcp_out.c has to do yet, and a timer that
 * tcp_calm_acked() does not stop. */
#define CALM_NOT                                                     \
	(TCP_FAST_NOT | TCP_DSACK | TCP_PROBE_DUE | TCP_TIMER_RACK | \
	 TCP_TLP_DUE)

/* Whether TCP_CALM may be said of a connection. */
bool
tcp_calm_holds(const struct tcp_core *core, const struct tcp_conn *conn)
{
	return conn->state == TCP_ESTABLISHED &&
	       (conn->flags & (CALM_HAS | CALM_NOT)) == CALM_HAS &&
	       (conn->sacked | conn->lost | conn->dupacks | conn->backoff |
		conn->probes | conn->keepalive_ms) == 0 &&
	       conn->life_deadline == 0 && conn->runs == NULL &&
	       (conn->rcv_head == conn->rcv_tail ||
		conn->rcv_bytes <= core->config.window_bytes) &&
	       conn->srtt_us != 0 && conn->mss == conn->mss_max &&
	       2u * conn->mss <= core->config.window_bytes / 2 &&
	       conn->rcv_shift == TCP_WINDOW_SHIFT &&
	       tcp_seq_le(conn->rcv_nxt, conn->rcv_adv) &&
	       tcp_seq_le(conn->snd_wl1, conn->rcv_nxt) &&
	       tcp_address_is_ipv4(&conn->remote) &&
	       core->ether_bytes == TCP_ETHER_BYTES;
}

/* The sums of what all its headers have. Folded: of IP to 16 bits, in host
 * order, and of TCP to 32. */
static void
tcp_calm_sum(const struct tcp_core *core, struct tcp_conn *conn)
{
	uint32_t remote = conn->remote.word[3];
	uint64_t sum = __builtin_bswap32(6);

	conn->ip_sum = ip_fold_sum((uint64_t)core->usual.head_sum + remote);
	sum += core->usual.source;
	sum += __builtin_bswap32(remote);
	sum += __builtin_bswap32((uint32_t)conn->local_port << 16 |
				 conn->remote_port);
	sum += core->calm_options[1];
	sum = (sum & UINT32_MAX) + (sum >> 32);
	conn->tcp_sum = (uint32_t)(sum + (sum >> 32));
}

/* Says that a connection is calm if it is. */
void
tcp_calm_try(struct tcp_core *core, struct tcp_conn *conn)
{
	if (!core->is_fast || !tcp_calm_holds(core, conn))
		return;
	tcp_calm_sum(core, conn);
	tcp_set(conn, TCP_CALM);
}
