/* SPDX-License-Identifier: Apache-2.0 */
/*
 * icmp - RFC 792, as far as a host of TCP connections needs it.
 *
 *   0 type  1 code  2 checksum  4 depends on the type  8 quoted packet
 *
 * Echo is answered, at most 100 a second. "Fragmentation needed" (type 3, code
 * 4) lowers the MSS, and an unreachable ends a connect, only if the quoted
 * sequence number is in flight (RFC 5927): a blind attacker does not know it.
 * An established connection ignores unreachables (RFC 1122 4.2.3.9).
 */

#include "dataplane/tcp_int.h"

static void
icmp_echo(struct tcp_core *core, const uint8_t *frame, const uint8_t *icmp,
	  uint32_t bytes)
{
	struct rte_mbuf *mbuf;
	uint8_t *at, *reply;

	if (core->now_ns - core->icmp_second_ns >= NS_PER_SECOND) {
		core->icmp_second_ns = core->now_ns;
		core->icmp_tokens = 100;
	}
	mbuf = core->icmp_tokens == 0 ? NULL
				      : rte_pktmbuf_alloc(core->config.pool);
	at = mbuf == NULL ? NULL
			  : (uint8_t *)rte_pktmbuf_append(
				    mbuf, (uint16_t)(TCP_ETHER_BYTES +
						     TCP_IP_BYTES + bytes));
	if (at == NULL) {
		rte_pktmbuf_free(mbuf);
		core->counters.rx_drop_icmp++;
		return;
	}
	core->icmp_tokens--;
	core->counters.rx_answered++;
	reply = at + TCP_ETHER_BYTES + TCP_IP_BYTES;
	ip_out_ether(core, at, frame + PORT_MAC_BYTES, 0x0800);
	ip_out_header(core, at + TCP_ETHER_BYTES,
		      be_load32(frame + TCP_ETHER_BYTES + 12), 1, bytes);
	memcpy(reply, icmp, bytes);
	reply[0] = 0;
	be_store16(reply + 2, 0);
	be_store16(reply + 2, ip_fold(ip_sum(0, reply, bytes)));
	ip_out_push(core, mbuf);
}

/* RFC 1191: the next hop's MTU, at least 576 for us. */
static void
icmp_too_big(struct tcp_core *core, struct tcp_conn *conn, uint32_t mtu)
{
	uint32_t mss;

	if (mtu < 576)
		mtu = 576;
	mss = mtu - TCP_IP_BYTES - TCP_HEADER_BYTES -
	      (tcp_has(conn, TCP_HAS_TS) ? 12u : 0u);
	if (mss >= conn->mss)
		return;
	conn->mss = (uint16_t)mss;
	if (conn->state > TCP_SYN_RECEIVED && conn->snd_head != conn->snd_send)
		tcp_loss_timeout(core, conn);
}

static void
icmp_error(struct tcp_core *core, const uint8_t *icmp, uint32_t bytes)
{
	const uint8_t *ip = icmp + 8, *tcp;
	struct tcp_conn *conn = NULL;
	uint32_t header, seq = 0;

	/* The quote: an IPv4 header and 8 bytes of TCP. */
	if (bytes >= 8 + TCP_IP_BYTES + 8 && ip[0] >> 4 == 4 && ip[9] == 6 &&
	    be_load32(ip + 12) == core->config.address) {
		header = (uint32_t)(ip[0] & 15) * 4;
		if (header >= TCP_IP_BYTES && 8 + header + 8 <= bytes) {
			tcp = ip + header;
			seq = be_load32(tcp + 4);
			conn = tcp_conn_find(core, be_load32(ip + 16),
					     be_load16(tcp + 2),
					     be_load16(tcp));
		}
	}
	if (conn == NULL || tcp_seq_lt(seq, conn->snd_una) ||
	    !tcp_seq_lt(seq, conn->snd_nxt)) {
		core->counters.rx_drop_icmp++;
		return;
	}
	core->counters.rx_delivered++;
	if (icmp[1] == 4)
		icmp_too_big(core, conn, be_load16(icmp + 6));
	else if (conn->state == TCP_SYN_SENT)
		tcp_conn_end(core, conn, TCP_REASON_UNREACHABLE);
}

/* Takes an IPv4 packet of protocol ICMP; bytes of it behind the IP header. */
void
icmp_in(struct tcp_core *core, const uint8_t *frame, uint32_t header_bytes,
	uint32_t bytes)
{
	const uint8_t *icmp = frame + TCP_ETHER_BYTES + header_bytes;

	if (bytes < 8 || ip_fold(ip_sum(0, icmp, bytes)) != 0)
		core->counters.rx_drop_icmp++;
	else if (icmp[0] == 8 && icmp[1] == 0)
		icmp_echo(core, frame, icmp, bytes);
	else if (icmp[0] == 3)
		icmp_error(core, icmp, bytes);
	else
		core->counters.rx_drop_icmp++;
}
