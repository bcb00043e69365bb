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

/* The checksum of TCP and ICMPv6 with their pseudo headers (RFC 9293 3.1, RFC
 * 8200 8.1), in host order; 0 over a whole good one. */
uint16_t
ip_checksum(const struct tcp_address *source,
	    const struct tcp_address *destination, uint32_t protocol,
	    const void *data, uint32_t bytes)
{
	uint64_t total = __builtin_bswap32(protocol + bytes);

	for (uint32_t i = tcp_address_is_ipv4(source) ? 3 : 0; i < 4; i++) {
		total += __builtin_bswap32(source->word[i]);
		total += __builtin_bswap32(destination->word[i]);
	}
	return ip_fold(ip_sum(total, data, bytes));
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
		ip_header_write4(ip, source->word[3], destination->word[3],
				 protocol, payload_bytes);
		return;
	}
	ip_out_ether(core, at, mac, 0x86dd);
	ip_header_write6(ip, source, destination, protocol, payload_bytes);
}

/* Drops the first `done` frames of the queue, which the port has. */
static __attribute__((noinline)) void
ip_out_keep_rest(struct tcp_core *core, uint32_t done)
{
	core->tx_count -= done;
	memmove(core->tx, core->tx + done,
		core->tx_count * sizeof(core->tx[0]));
}

/* Hands the queue to the port as far as it takes it. */
void
ip_out_flush(struct tcp_core *core)
{
	uint32_t done = 0, count, taken;

	if (core->tx_count == 0)
		return;
	do {
		count = core->tx_count - done;
		if (FAL_UNLIKELY(count > PORT_BURST_MAX))
			count = PORT_BURST_MAX;
		taken = port_tx(core->config.port, core->now_ns,
				core->tx + done, (uint16_t)count);
		core->counters.tx_frames += taken;
		done += taken;
	} while (FAL_UNLIKELY(done < core->tx_count && taken == count));
	if (FAL_LIKELY(done == core->tx_count))
		core->tx_count = 0;
	else
		ip_out_keep_rest(core, done);
}

/* The same as ip_out_push() with a full queue. */
__attribute__((noinline)) bool
ip_out_push_full(struct tcp_core *core, struct rte_mbuf *mbuf)
{
	ip_out_flush(core);
	if (core->tx_count == TCP_TX_QUEUE) {
		core->counters.tx_full++;
		rte_pktmbuf_free(mbuf);
		return false;
	}
	core->tx[core->tx_count++] = mbuf;
	return true;
}
