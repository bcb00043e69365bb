/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip_out - Ethernet and IPv4 headers, the Internet checksum, and the queue in
 * front of the port.
 *
 * The queue holds what one loop iteration sends; the port gets it in bursts.
 * What the port does not take stays for the next flush. A full queue refuses:
 * data then stays with its connection, anything else is lost and counted.
 */

#include "dataplane/tcp_int.h"

/* RFC 1071, over 32-bit words in memory order; an odd last byte is padded. Only
 * the last piece of a sum may be odd. `sum` is 0 or an earlier result. */
uint32_t
ip_sum(uint32_t sum, const void *data, uint32_t bytes)
{
	const uint8_t *at = data;
	uint64_t total = sum;
	uint32_t word;
	uint16_t half;

	for (; bytes >= 4; bytes -= 4, at += 4) {
		memcpy(&word, at, 4);
		total += word;
	}
	if (bytes >= 2) {
		memcpy(&half, at, 2);
		total += half;
		at += 2;
		bytes -= 2;
	}
	if (bytes == 1)
		total += at[0];
	total = (total & UINT32_MAX) + (total >> 32);
	total = (total & UINT32_MAX) + (total >> 32);
	return (uint32_t)total;
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

void
ip_out_ether(struct tcp_core *core, uint8_t *at, const uint8_t *mac,
	     uint16_t type)
{
	memcpy(at, mac, PORT_MAC_BYTES);
	memcpy(at + 6, core->config.port->mac, PORT_MAC_BYTES);
	be_store16(at + 12, type);
}

void
ip_out_header(struct tcp_core *core, uint8_t *at, uint32_t destination,
	      uint8_t protocol, uint32_t payload_bytes)
{
	at[0] = 0x45;
	at[1] = 0;
	be_store16(at + 2, (uint16_t)(TCP_IP_BYTES + payload_bytes));
	be_store16(at + 4, core->ip_id++);
	be_store16(at + 6, 0x4000); /* do not fragment */
	at[8] = 64;
	at[9] = protocol;
	be_store16(at + 10, 0);
	be_store32(at + 12, core->config.address);
	be_store32(at + 16, destination);
	be_store16(at + 10, ip_fold(ip_sum(0, at, TCP_IP_BYTES)));
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
