/* SPDX-License-Identifier: Apache-2.0 */
/*
 * icmp6 - RFC 4443: echo, errors about our segments, neighbour discovery.
 *
 *   0 type  1 code  2 checksum (with pseudo header)  4 MTU  8 quoted packet
 *
 * "Packet too big" (2) and "destination unreachable" (1) are believed as in
 * icmp.c. A smaller MTU than 1280 is not (RFC 8201 section 4).
 */

#include "dataplane/tcp_int.h"

enum {
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_ECHO = 128,
	ICMP6_ND_FIRST = 133,
	ICMP6_ND_LAST = 137
};

/* The quote: an IPv6 header of ours and 8 bytes of TCP. */
static void
icmp6_quote(struct tcp_core *core, const uint8_t *icmp, uint32_t bytes)
{
	const uint8_t *ip = icmp + 8;
	struct tcp_address local, remote;
	uint32_t mtu = 0;

	if (bytes < 8 + TCP_IP6_BYTES + 8 || ip[0] >> 4 != 6 || ip[6] != 6) {
		core->counters.rx_drop_icmp++;
		return;
	}
	local = tcp_address_ipv6(ip + 8);
	remote = tcp_address_ipv6(ip + 24);
	if (icmp[0] == ICMP6_TOO_BIG) {
		mtu = be_load32(icmp + 4);
		mtu = mtu < 1280 ? 1280 : mtu;
	}
	icmp_error(core, &local, &remote, ip + TCP_IP6_BYTES, mtu);
}

/* Takes an IPv6 packet of protocol ICMP; bytes of it behind the headers. */
void
icmp6_in(struct tcp_core *core, const struct ip_frame *frame,
	 const struct tcp_address *source,
	 const struct tcp_address *destination, const uint8_t *icmp,
	 uint32_t bytes)
{
	if (bytes < 8 || ip_checksum(source, destination, 58, icmp, bytes) != 0)
		core->counters.rx_drop_icmp++;
	else if (icmp[0] >= ICMP6_ND_FIRST && icmp[0] <= ICMP6_ND_LAST)
		nd_in(core, frame, icmp, bytes);
	else if (frame->is_group || destination->word[0] >> 24 == 0xff ||
		 tcp_is_none(source))
		core->counters.rx_drop_icmp++;
	else if (icmp[0] == ICMP6_ECHO && icmp[1] == 0)
		icmp_echo(core, frame, source, destination, icmp, bytes);
	else if (icmp[0] == ICMP6_UNREACHABLE || icmp[0] == ICMP6_TOO_BIG)
		icmp6_quote(core, icmp, bytes);
	else
		core->counters.rx_drop_icmp++;
}
