/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip_in - frames in: Ethernet, IPv4, and the TCP header up to its options.
 *
 *   Ethernet  0 destination  6 source  12 type
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

/* RFC 7126: source routes are dropped; other options are skipped. */
static bool
ip_in_has_source_route(const uint8_t *options, uint32_t bytes)
{
	uint32_t i = 0;

	while (i < bytes && options[i] != 0) {
		if (options[i] == 131 || options[i] == 137)
			return true;
		if (options[i] == 1) {
			i++;
			continue;
		}
		if (bytes - i < 2 || options[i + 1] < 2)
			return false;
		i += options[i + 1];
	}
	return false;
}

/* RFC 1122 3.2.1.3: no host sends from these. */
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

static bool
ip_in_tcp_checksum(const uint8_t *ip, const uint8_t *tcp, uint32_t bytes)
{
	uint8_t pseudo[12];

	memcpy(pseudo, ip + 12, 8);
	be_store16(pseudo + 8, IP_PROTOCOL_TCP);
	be_store16(pseudo + 10, (uint16_t)bytes);
	return ip_fold(ip_sum(ip_sum(0, pseudo, 12), tcp, bytes)) == 0;
}

/* Returns the mbuf unless somebody kept it. */
static struct rte_mbuf *
ip_in_tcp(struct tcp_core *core, struct rte_mbuf *mbuf, const uint8_t *ip,
	  uint32_t header_bytes, uint32_t bytes)
{
	const uint8_t *tcp = ip + header_bytes;
	uint64_t judged = mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	struct tcp_packet packet = {.mbuf = mbuf};
	uint32_t tcp_header;

	if (bytes < TCP_HEADER_BYTES) {
		core->counters.rx_drop_tcp_header++;
		return mbuf;
	}
	if (judged == RTE_MBUF_F_RX_L4_CKSUM_BAD ||
	    (judged != RTE_MBUF_F_RX_L4_CKSUM_GOOD &&
	     !ip_in_tcp_checksum(ip, tcp, bytes))) {
		core->counters.rx_drop_tcp_checksum++;
		return mbuf;
	}
	tcp_header = (uint32_t)(tcp[12] >> 4) * 4;
	packet.source_port = be_load16(tcp);
	packet.destination_port = be_load16(tcp + 2);
	if (tcp_header < TCP_HEADER_BYTES || tcp_header > bytes ||
	    packet.source_port == 0 || packet.destination_port == 0 ||
	    !tcp_opt_parse(tcp + TCP_HEADER_BYTES,
			   tcp_header - TCP_HEADER_BYTES, &packet.options)) {
		core->counters.rx_drop_tcp_header++;
		return mbuf;
	}
	packet.mac = ip - TCP_ETHER_BYTES + PORT_MAC_BYTES;
	packet.source = be_load32(ip + 12);
	packet.destination = be_load32(ip + 16);
	packet.seq = be_load32(tcp + 4);
	packet.ack = be_load32(tcp + 8);
	packet.flags = tcp[13];
	packet.window = be_load16(tcp + 14);
	packet.bytes = (uint16_t)(bytes - tcp_header);
	packet.offset = (uint16_t)(TCP_ETHER_BYTES + header_bytes + tcp_header);
	/* Padding of short frames is no payload. */
	rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->data_len - packet.offset -
					  packet.bytes));
	tcp_in(core, &packet);
	return packet.mbuf;
}

/* Where an IPv4 packet is dropped, or NULL: it is good. */
static uint64_t *
ip_in_check(struct tcp_core *core, const uint8_t *ip, uint32_t bytes)
{
	struct tcp_counters *counters = &core->counters;
	uint32_t header = (uint32_t)(ip[0] & 15) * 4;
	uint32_t total = be_load16(ip + 2);

	if (ip[0] >> 4 != 4 || header < TCP_IP_BYTES || header > total ||
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
	if (ip_in_has_source_route(ip + TCP_IP_BYTES, header - TCP_IP_BYTES))
		return &counters->rx_drop_source_route;
	return NULL;
}

static struct rte_mbuf *
ip_in_v4(struct tcp_core *core, struct rte_mbuf *mbuf, const uint8_t *frame,
	 uint32_t frame_bytes)
{
	const uint8_t *ip = frame + TCP_ETHER_BYTES;
	uint32_t header, payload;
	uint64_t *drop;

	if (frame_bytes < TCP_ETHER_BYTES + TCP_IP_BYTES) {
		core->counters.rx_drop_short++;
		return mbuf;
	}
	drop = ip_in_check(core, ip, frame_bytes - TCP_ETHER_BYTES);
	if (drop != NULL) {
		(*drop)++;
		return mbuf;
	}
	header = (uint32_t)(ip[0] & 15) * 4;
	payload = be_load16(ip + 2) - header;
	if (ip[9] == IP_PROTOCOL_TCP)
		return ip_in_tcp(core, mbuf, ip, header, payload);
	if (ip[9] == IP_PROTOCOL_ICMP)
		icmp_in(core, frame, header, payload);
	else
		core->counters.rx_drop_protocol++;
	return mbuf;
}

void
tcp_input(struct tcp_core *core, struct rte_mbuf *mbuf, uint64_t now_ns)
{
	const uint8_t *frame = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint32_t bytes = mbuf->data_len;

	core->now_ns = now_ns;
	core->counters.rx_frames++;
	/* One segment: what does not fit one mbuf is longer than our MTU. */
	if (bytes < TCP_ETHER_BYTES || mbuf->nb_segs != 1) {
		core->counters.rx_drop_short++;
	} else if (be_load16(frame + 12) == 0x0806) {
		arp_in(core, frame, bytes);
	} else if (be_load16(frame + 12) != 0x0800) {
		core->counters.rx_drop_ethertype++;
	} else if (memcmp(frame, core->config.port->mac, PORT_MAC_BYTES) != 0) {
		core->counters.rx_drop_dst_mac++;
	} else {
		mbuf = ip_in_v4(core, mbuf, frame, bytes);
	}
	rte_pktmbuf_free(mbuf);
}
