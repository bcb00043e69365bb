/* SPDX-License-Identifier: Apache-2.0 */
/*
 * icmp - RFC 792, as far as a host of TCP connections needs it, and what both
 * versions of ICMP share.
 *
 *   0 type  1 code  2 checksum  4 depends on the type  8 quoted packet
 *
 * Echo is answered, at most 100 a second. "Fragmentation needed" (type 3, code
 * 4) lowers the MSS, and an unreachable ends a connect, only if the quoted
 * sequence number is in flight (RFC 5927): a blind attacker does not know it.
 * An established connection ignores unreachables (RFC 1122 4.2.3.9), and a MTU
 * below the version's minimum counts as that minimum. Source quench and
 * redirects are dropped (RFC 6633; the router comes from the configuration).
 */

#include "dataplane/tcp_int.h"

/* Answers an echo request of either version. */
void
icmp_echo(struct tcp_core *core, const struct ip_frame *frame,
	  const struct tcp_address *source,
	  const struct tcp_address *destination, const uint8_t *icmp,
	  uint32_t bytes)
{
	bool is_ipv4 = tcp_address_is_ipv4(source);
	uint32_t header = ip_out_bytes(core, source);
	struct rte_mbuf *mbuf = NULL;
	uint8_t *at = NULL, *reply;

	if (tcp_token(core, &core->icmp_tokens))
		mbuf = rte_pktmbuf_alloc(core->config.pool);
	if (mbuf != NULL)
		at = (uint8_t *)rte_pktmbuf_append(mbuf,
						   (uint16_t)(header + bytes));
	if (at == NULL) {
		rte_pktmbuf_free(mbuf);
		core->counters.rx_drop_icmp++;
		return;
	}
	core->counters.rx_answered++;
	ip_out_headers(core, at, frame->mac, destination, source,
		       is_ipv4 ? 1 : 58, bytes);
	reply = at + header;
	memcpy(reply, icmp, bytes);
	reply[0] = is_ipv4 ? 0 : 129;
	be_store16(reply + 2, 0);
	if (is_ipv4)
		be_store16(reply + 2, ip_fold(ip_sum(0, reply, bytes)));
	else
		be_store16(reply + 2,
			   ip_checksum(destination, source, 58, reply, bytes));
	ip_out_push(core, mbuf);
}

/*
 * Acts on an error about a segment of ours.
 *
 * tcp  its first 8 bytes as quoted
 * mtu  the next hop's, 0: the destination is unreachable
 */
void
icmp_error(struct tcp_core *core, const struct tcp_address *local,
	   const struct tcp_address *remote, const uint8_t *tcp, uint32_t mtu)
{
	struct tcp_conn *conn = tcp_conn_find(
		core, remote, local, be_load16(tcp + 2), be_load16(tcp));
	uint32_t seq = be_load32(tcp + 4);

	if (conn == NULL || tcp_seq_lt(seq, conn->snd_una) ||
	    !tcp_seq_lt(seq, conn->snd_nxt)) {
		core->counters.rx_drop_icmp++;
		return;
	}
	core->counters.rx_delivered++;
	if (mtu != 0)
		tcp_conn_mss_set(core, conn, mtu);
	else if (conn->state == TCP_SYN_SENT)
		tcp_conn_end(core, conn, TCP_REASON_UNREACHABLE);
}

/* The quote: an IPv4 header of ours and 8 bytes of TCP. */
static void
icmp_quote(struct tcp_core *core, const uint8_t *icmp, uint32_t bytes)
{
	const uint8_t *ip = icmp + 8;
	uint32_t header = 0, mtu = 0;
	struct tcp_address remote;

	if (bytes >= 8 + TCP_IP4_BYTES)
		header = (uint32_t)(ip[0] & 15) * 4;
	if (header < TCP_IP4_BYTES || bytes < 8 + header + 8 ||
	    ip[0] >> 4 != 4 || ip[9] != 6 ||
	    be_load32(ip + 12) != core->config.address) {
		core->counters.rx_drop_icmp++;
		return;
	}
	remote = tcp_address_ipv4(be_load32(ip + 16));
	if (icmp[1] == 4) {
		/* Routers older than RFC 1191 say 0. */
		mtu = be_load16(icmp + 6);
		mtu = mtu < 576 ? 576 : mtu;
	}
	icmp_error(core, &core->local4, &remote, ip + header, mtu);
}

/* Takes an IPv4 packet of protocol ICMP; bytes of it behind the IP header. */
void
icmp_in(struct tcp_core *core, const struct ip_frame *frame,
	const uint8_t *icmp, uint32_t bytes)
{
	struct tcp_address source = tcp_address_ipv4(be_load32(frame->ip + 12));

	if (bytes < 8 || ip_fold(ip_sum(0, icmp, bytes)) != 0)
		core->counters.rx_drop_icmp++;
	else if (icmp[0] == 8 && icmp[1] == 0)
		icmp_echo(core, frame, &source, &core->local4, icmp, bytes);
	else if (icmp[0] == 3)
		icmp_quote(core, icmp, bytes);
	else
		core->counters.rx_drop_icmp++;
}
