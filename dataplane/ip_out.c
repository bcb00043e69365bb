/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip_out - Ethernet, VLAN and IP headers, the Internet checksum, and the queue
 * in front of the port.
 *
 * The queue holds what one loop iteration sends; the port gets it in bursts.
 * What the port does not take stays for the next flush. A full queue refuses:
 * data then stays with its connection, anything else is lost and counted.
 */

#include "dataplane/tcp_int.h"

typedef uint64_t ip_pair __attribute__((vector_size(16)));

/* RFC 1071, over 32-bit words in memory order, four at a time; an odd last byte
 * is padded. Only the last piece of a sum may be odd. `sum` is 0 or an earlier
 * result. */
uint32_t
ip_sum(uint32_t sum, const void *data, uint32_t bytes)
{
	const ip_pair low = {UINT32_MAX, UINT32_MAX};
	const uint8_t *at = data;
	ip_pair pairs = {sum, 0}, word;
	uint64_t total, tail;
	uint32_t half = 0;

	for (; bytes >= 16; bytes -= 16, at += 16) {
		memcpy(&word, at, 16);
		pairs += (word & low) + (word >> 32);
	}
	total = pairs[0] + pairs[1];
	if (bytes >= 8) {
		memcpy(&tail, at, 8);
		total += (tail & UINT32_MAX) + (tail >> 32);
		at += 8;
		bytes -= 8;
	}
	if (bytes >= 4) {
		memcpy(&half, at, 4);
		total += half;
		at += 4;
		bytes -= 4;
	}
	/* Up to three bytes, in memory order. */
	if (bytes >= 2)
		total += (uint32_t)at[0] | (uint32_t)at[1] << 8;
	if ((bytes & 1) != 0)
		total += (bytes == 3 ? (uint32_t)at[2] : (uint32_t)at[0]);
	total = (total & UINT32_MAX) + (total >> 32);
	return (uint32_t)((total & UINT32_MAX) + (total >> 32));
}

/* The checksum in host order: what be_store16() writes into a header, and 0
 * over a whole good one. */
uint16_t
ip_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return __builtin_bswap16((uint16_t)~sum);
}

/* The checksum of TCP and ICMPv6 with their pseudo headers (RFC 9293 3.1, RFC
 * 8200 8.1), in host order; 0 over a whole good one. */
uint16_t
ip_checksum(const struct tcp_address *source,
	    const struct tcp_address *destination, uint32_t protocol,
	    const void *data, uint32_t bytes)
{
	uint64_t total = 0;

	for (uint32_t i = tcp_address_is_ipv4(source) ? 3 : 0; i < 4; i++) {
		total += __builtin_bswap32(source->word[i]);
		total += __builtin_bswap32(destination->word[i]);
	}
	total += __builtin_bswap32(protocol + bytes);
	total = (total & UINT32_MAX) + (total >> 32);
	total = (total & UINT32_MAX) + (total >> 32);
	return ip_fold(ip_sum((uint32_t)total, data, bytes));
}

/* Writes 16 bytes in network order. */
void
ip_address_write(const struct tcp_address *address, uint8_t *at)
{
	for (uint32_t i = 0; i < 4; i++)
		be_store32(at + 4 * i, address->word[i]);
}

/* Bytes of all headers before TCP or ICMP. */
uint32_t
ip_out_bytes(const struct tcp_core *core, const struct tcp_address *destination)
{
	return core->ether_bytes + tcp_ip_bytes(destination);
}

void
ip_out_ether(const struct tcp_core *core, uint8_t *at, const uint8_t *mac,
	     uint16_t type)
{
	memcpy(at, mac, PORT_MAC_BYTES);
	memcpy(at + 6, core->config.port->mac, PORT_MAC_BYTES);
	if (core->config.vlan != 0) {
		be_store16(at + 12, 0x8100);
		be_store16(at + 14, core->config.vlan);
		at += TCP_VLAN_BYTES;
	}
	be_store16(at + 12, type);
}

/* Of an IPv4 header without options. */
uint32_t
ip_sum_header(const uint8_t *at)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < TCP_IP4_BYTES; i += 4) {
		uint32_t word;

		memcpy(&word, at + i, 4);
		total += word;
	}
	total = (total & UINT32_MAX) + (total >> 32);
	return (uint32_t)((total & UINT32_MAX) + (total >> 32));
}

/* RFC 6864: a packet that is never fragmented needs no identification. */
static void
ip_out_v4(uint8_t *at, uint32_t source, uint32_t destination, uint8_t protocol,
	  uint32_t payload_bytes)
{
	at[0] = 0x45;
	at[1] = 0;
	be_store16(at + 2, (uint16_t)(TCP_IP4_BYTES + payload_bytes));
	be_store16(at + 4, 0);
	be_store16(at + 6, 0x4000); /* do not fragment */
	at[8] = 64;
	at[9] = protocol;
	be_store16(at + 10, 0);
	be_store32(at + 12, source);
	be_store32(at + 16, destination);
	be_store16(at + 10, ip_fold(ip_sum_header(at)));
}

/* Writes ip_out_bytes() of Ethernet and IP header. */
void
ip_out_headers(const struct tcp_core *core, uint8_t *at, const uint8_t *mac,
	       const struct tcp_address *source,
	       const struct tcp_address *destination, uint8_t protocol,
	       uint32_t payload_bytes)
{
	uint8_t *ip = at + core->ether_bytes;

	if (tcp_address_is_ipv4(destination)) {
		ip_out_ether(core, at, mac, 0x0800);
		ip_out_v4(ip, source->word[3], destination->word[3], protocol,
			  payload_bytes);
		return;
	}
	ip_out_ether(core, at, mac, 0x86dd);
	be_store32(ip, 6u << 28);
	be_store16(ip + 4, (uint16_t)payload_bytes);
	ip[6] = protocol;
	ip[7] = 64;
	ip_address_write(source, ip + 8);
	ip_address_write(destination, ip + 24);
}

/* Hands the queue to the port as far as it takes it. */
void
ip_out_flush(struct tcp_core *core)
{
	uint32_t done = 0;

	while (done < core->tx_count) {
		uint32_t left = core->tx_count - done;
		uint16_t count =
			(uint16_t)(left > PORT_BURST_MAX ? PORT_BURST_MAX
							 : left);
		uint16_t taken = port_tx(core->config.port, core->now_ns,
					 core->tx + done, count);

		core->counters.tx_frames += taken;
		done += taken;
		if (taken < count)
			break;
	}
	core->tx_count -= done;
	memmove(core->tx, core->tx + done,
		core->tx_count * sizeof(core->tx[0]));
}

/* Queues a frame, given. Returns false, and frees it, when the queue is full
 * and the port takes nothing. */
bool
ip_out_push(struct tcp_core *core, struct rte_mbuf *mbuf)
{
	if (core->tx_count == TCP_TX_QUEUE)
		ip_out_flush(core);
	if (core->tx_count == TCP_TX_QUEUE) {
		core->counters.tx_full++;
		rte_pktmbuf_free(mbuf);
		return false;
	}
	core->tx[core->tx_count++] = mbuf;
	return true;
}
