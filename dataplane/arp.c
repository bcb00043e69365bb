/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arp - RFC 826 for one address; offsets behind the Ethernet header.
 *
 *   0 hardware type  2 protocol type  4 lengths 6, 4  6 operation
 *   8 sender MAC  14 sender address  18 target MAC  24 target address
 */

#include "dataplane/tcp_int.h"

#define ARP_BYTES 28u

static void
arp_send(struct tcp_core *core, uint16_t operation, const uint8_t *ether,
	 const uint8_t *mac, uint32_t address)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(core->config.pool);
	uint8_t *at;

	if (mbuf == NULL) {
		core->counters.tx_no_mbuf++;
		return;
	}
	at = (uint8_t *)rte_pktmbuf_append(
		mbuf, (uint16_t)(core->ether_bytes + ARP_BYTES));
	FAL_ASSERT(at != NULL);
	ip_out_ether(core, at, ether, 0x0806);
	at += core->ether_bytes;
	be_store16(at, 1);
	be_store16(at + 2, 0x0800);
	be_store16(at + 4, 0x0604);
	be_store16(at + 6, operation);
	memcpy(at + 8, core->config.port->mac, PORT_MAC_BYTES);
	be_store32(at + 14, core->config.address);
	memcpy(at + 18, mac, PORT_MAC_BYTES);
	be_store32(at + 24, address);
	ip_out_push(core, mbuf);
}

/* Asks all stations who has an address. */
void
arp_ask(struct tcp_core *core, uint32_t address)
{
	static const uint8_t all[PORT_MAC_BYTES] = {255, 255, 255,
						    255, 255, 255};
	static const uint8_t none[PORT_MAC_BYTES];

	arp_send(core, 1, all, none, address);
}

/* Takes a frame of type ARP. */
void
arp_in(struct tcp_core *core, const struct ip_frame *frame)
{
	const uint8_t *arp = frame->ip;
	struct tcp_address sender;
	uint32_t operation;

	if (frame->bytes < ARP_BYTES || core->config.address == 0 ||
	    be_load16(arp) != 1 || be_load16(arp + 2) != 0x0800 ||
	    be_load16(arp + 4) != 0x0604 || (arp[8] & 1) != 0) {
		core->counters.rx_drop_arp++;
		return;
	}
	operation = be_load16(arp + 6);
	sender = tcp_address_ipv4(be_load32(arp + 14));
	neighbour_learn(core, &sender, arp + 8);
	if (be_load32(arp + 24) != core->config.address || operation > 2 ||
	    operation == 0 || sender.word[3] == core->config.address) {
		core->counters.rx_drop_arp++;
		return;
	}
	core->counters.rx_answered++;
	if (operation == 1)
		arp_send(core, 2, arp + 8, arp + 8, sender.word[3]);
}
