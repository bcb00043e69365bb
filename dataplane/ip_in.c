/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip_in - frames in: Ethernet, VLAN, IPv4, and the TCP header up to its
 * options.
 *
 *   Ethernet  0 destination  6 source  12 type (0x8100: tag at 14, type at 16)
 *   IPv4      0 version, header words  2 total length  6 flags, offset
 *             9 protocol  10 checksum  12 source  16 destination  20 options
 *   TCP       0 ports  4 sequence  8 ack  12 header words  13 flags
 *             14 window  16 checksum  18 urgent pointer  20 options
 *
 * Nothing is forwarded and nothing is reassembled. Every frame ends in exactly
 * one counter: delivered, answered, or one rx_drop_.
 */

#include "dataplane/tcp_int.h"

enum { IP_PROTOCOL_ICMP = 1, IP_PROTOCOL_TCP = 6 };
enum { IP_TYPE_V4 = 0x0800, IP_TYPE_ARP = 0x0806, IP_TYPE_V6 = 0x86dd };

/* RFC 7126: source routes are dropped, other options skipped; malformed ones
 * count as a bad header. NULL: good. */
static uint64_t *
ip_in_options(struct tcp_counters *counters, const uint8_t *options,
	      uint32_t bytes)
{
	uint32_t i = 0;

	while (i < bytes && options[i] != 0) {
		if (options[i] == 131 || options[i] == 137)
			return &counters->rx_drop_source_route;
		if (options[i] == 1) {
			i++;
			continue;
		}
		if (bytes - i < 2 || options[i + 1] < 2 ||
		    options[i + 1] > bytes - i)
			return &counters->rx_drop_ip_header;
		i += options[i + 1];
	}
	return NULL;
}

/* RFC 1122 3.2.1.3: no host sends from these. Our own address is the land
 * attack. */
static bool
ip_in_is_bad_source(const struct tcp_core *core, uint32_t source)
{
	uint32_t prefix = core->config.prefix_bits;
	uint32_t host = prefix == 0 ? UINT32_MAX
				    : (uint32_t)((1ull << (32 - prefix)) - 1);

	return source >> 24 == 0 || source >> 24 == 127 ||
	       source >= 0xe0000000u || source == core->config.address ||
	       (prefix < 31 && source == (core->config.address | host));
}

/* Takes the payload of a good IP packet of protocol TCP. */
void
ip_in_tcp(struct tcp_core *core, struct ip_frame *frame,
	  const struct tcp_address *source,
	  const struct tcp_address *destination, const uint8_t *tcp,
	  uint32_t bytes)
{
	struct rte_mbuf *mbuf = frame->mbuf;
	enum tcp_verdict verdict = tcp_verdict_of(mbuf);
	struct tcp_packet packet;
	uint32_t header;

	if (bytes < TCP_HEADER_BYTES) {
		core->counters.rx_drop_tcp_header++;
		return;
	}
	if (verdict == TCP_VERDICT_BAD ||
	    (verdict == TCP_VERDICT_NONE &&
	     ip_checksum(source, destination, IP_PROTOCOL_TCP, tcp, bytes) !=
		     0)) {
		core->counters.rx_drop_tcp_checksum++;
		return;
	}
	header = (uint32_t)(tcp[12] >> 4) * 4;
	packet.source_port = be_load16(tcp);
	packet.destination_port = be_load16(tcp + 2);
	if (header < TCP_HEADER_BYTES || header > bytes ||
	    packet.source_port == 0 || packet.destination_port == 0 ||
	    !tcp_opt_parse(tcp + TCP_HEADER_BYTES, header - TCP_HEADER_BYTES,
			   &packet.options)) {
		core->counters.rx_drop_tcp_header++;
		return;
	}
	packet.mbuf = mbuf;
	packet.mac = frame->mac;
	packet.source = *source;
	packet.destination = *destination;
	packet.seq = be_load32(tcp + 4);
	packet.ack = be_load32(tcp + 8);
	packet.flags = tcp[13];
	packet.window = be_load16(tcp + 14);
	packet.bytes = (uint16_t)(bytes - header);
	packet.offset =
		(uint16_t)(tcp + header - rte_pktmbuf_mtod(mbuf, uint8_t *));
	/* Padding of short frames is no payload. */
	rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->data_len - packet.offset -
					  packet.bytes));
	tcp_in(core, &packet);
	frame->mbuf = packet.mbuf;
}

/* Where an IPv4 packet is dropped, or NULL: it is good. */
static uint64_t *
ip_in_check(struct tcp_core *core, const uint8_t *ip, uint32_t bytes)
{
	struct tcp_counters *counters = &core->counters;
	uint32_t header = (uint32_t)(ip[0] & 15) * 4;
	uint32_t total = be_load16(ip + 2);

	if (ip[0] >> 4 != 4 || header < TCP_IP4_BYTES || header > total ||
	    total > bytes)
		return &counters->rx_drop_ip_header;
	if (ip_fold(ip_sum(0, ip, header)) != 0)
		return &counters->rx_drop_ip_checksum;
	if (ip_in_is_bad_source(core, be_load32(ip + 12)))
		return &counters->rx_drop_ip_source;
	if (be_load32(ip + 16) != core->config.address)
		return &counters->rx_drop_ip_destination;
	if ((be_load16(ip + 6) & 0x3fff) != 0)
		return &counters->rx_drop_fragment;
	if (header > TCP_IP4_BYTES)
		return ip_in_options(counters, ip + TCP_IP4_BYTES,
				     header - TCP_IP4_BYTES);
	return NULL;
}

static void
ip_in_v4(struct tcp_core *core, struct ip_frame *frame)
{
	const uint8_t *ip = frame->ip;
	struct tcp_address source;
	uint32_t header, payload;
	uint64_t *drop;

	if (frame->is_group) {
		core->counters.rx_drop_dst_mac++;
		return;
	}
	if (frame->bytes < TCP_IP4_BYTES) {
		core->counters.rx_drop_short++;
		return;
	}
	drop = ip_in_check(core, ip, frame->bytes);
	if (drop != NULL) {
		(*drop)++;
		return;
	}
	header = (uint32_t)(ip[0] & 15) * 4;
	payload = be_load16(ip + 2) - header;
	if (ip[9] == IP_PROTOCOL_TCP) {
		source = tcp_address_ipv4(be_load32(ip + 12));
		ip_in_tcp(core, frame, &source, &core->local4, ip + header,
			  payload);
	} else if (ip[9] == IP_PROTOCOL_ICMP) {
		icmp_in(core, frame, ip + header, payload);
	} else {
		core->counters.rx_drop_protocol++;
	}
}

/* Looks at the tag, if there is one; returns the type behind it, and where the
 * packet begins. A priority tag (VLAN 0) counts as none. */
static uint32_t
ip_in_tag(const struct rte_mbuf *mbuf, const uint8_t *at, uint32_t *offset,
	  uint32_t *vlan)
{
	uint32_t type = be_load16(at + 12);

	*offset = TCP_ETHER_BYTES;
	*vlan = 0;
	if ((mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) {
		*vlan = mbuf->vlan_tci & 0xfffu;
	} else if (type == 0x8100 &&
		   mbuf->data_len >= TCP_ETHER_BYTES + TCP_VLAN_BYTES) {
		*offset += TCP_VLAN_BYTES;
		*vlan = be_load16(at + 14) & 0xfffu;
		type = be_load16(at + 16);
	}
	return type;
}

static void
ip_in_ether(struct tcp_core *core, struct ip_frame *frame)
{
	struct rte_mbuf *mbuf = frame->mbuf;
	const uint8_t *at = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint32_t type, offset, vlan;

	/* One segment: what does not fit one mbuf is longer than our MTU. */
	if (mbuf->data_len < TCP_ETHER_BYTES || mbuf->nb_segs != 1) {
		core->counters.rx_drop_short++;
		return;
	}
	type = ip_in_tag(mbuf, at, &offset, &vlan);
	frame->mac = at + PORT_MAC_BYTES;
	frame->ip = at + offset;
	frame->bytes = mbuf->data_len - offset;
	frame->is_group = (at[0] & 1) != 0;
	if (vlan != core->config.vlan)
		core->counters.rx_drop_vlan++;
	else if ((frame->mac[0] & 1) != 0)
		core->counters.rx_drop_src_mac++;
	else if (!frame->is_group &&
		 memcmp(at, core->config.port->mac, PORT_MAC_BYTES) != 0)
		core->counters.rx_drop_dst_mac++;
	else if (type == IP_TYPE_V4)
		ip_in_v4(core, frame);
	else if (type == IP_TYPE_V6 && !tcp_is_none(&core->local6))
		ip6_in(core, frame);
	else if (type == IP_TYPE_ARP)
		arp_in(core, frame);
	else
		core->counters.rx_drop_ethertype++;
}

/* A frame that is not what is expected. */
__attribute__((noinline)) void
ip_in_frame(struct tcp_core *core, struct rte_mbuf *mbuf)
{
	struct ip_frame frame = {.mbuf = mbuf};

	ip_in_ether(core, &frame);
	rte_pktmbuf_free(frame.mbuf);
}
