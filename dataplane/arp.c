/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arp - RFC 826 for one address.
 *
 *   14 hardware type  16 protocol type  18 lengths 6, 4  20 operation
 *   22 sender MAC  28 sender address  32 target MAC  38 target address
 *
 * A direct-mapped table: an address has one place, and whoever is resolved
 * later takes it. Only what we asked for creates knowledge; a request to us or
 * an unsolicited reply updates an entry that is there. At most 20 requests a
 * second leave in all, and one a second for an address.
 */

#include "dataplane/tcp_int.h"

#define ARP_FRAME_BYTES 42u
#define ARP_FRESH_NS    (30 * NS_PER_SECOND)

static struct tcp_arp_entry *
arp_entry(struct tcp_core *core, uint32_t address)
{
	return &core->arp[(address ^ address >> 8) % TCP_ARP_ENTRIES];
}

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
	at = (uint8_t *)rte_pktmbuf_append(mbuf, ARP_FRAME_BYTES);
	FAL_ASSERT(at != NULL);
	ip_out_ether(core, at, ether, 0x0806);
	be_store16(at + 14, 1);
	be_store16(at + 16, 0x0800);
	be_store16(at + 18, 0x0604);
	be_store16(at + 20, operation);
	memcpy(at + 22, core->config.port->mac, PORT_MAC_BYTES);
	be_store32(at + 28, core->config.address);
	memcpy(at + 32, mac, PORT_MAC_BYTES);
	be_store32(at + 38, address);
	ip_out_push(core, mbuf);
}

static void
arp_ask(struct tcp_core *core, struct tcp_arp_entry *entry)
{
	static const uint8_t all[PORT_MAC_BYTES] = {255, 255, 255,
						    255, 255, 255};
	static const uint8_t none[PORT_MAC_BYTES];

	if (core->now_ns - core->arp_second_ns >= NS_PER_SECOND) {
		core->arp_second_ns = core->now_ns;
		core->arp_tokens = 20;
	}
	if (core->arp_tokens == 0 ||
	    (entry->asked_ns != 0 &&
	     core->now_ns - entry->asked_ns < NS_PER_SECOND))
		return;
	core->arp_tokens--;
	entry->asked_ns = core->now_ns;
	arp_send(core, 1, all, none, entry->address);
}

/* Takes a frame of type ARP. */
void
arp_in(struct tcp_core *core, const uint8_t *frame, uint32_t bytes)
{
	struct tcp_arp_entry *entry;
	uint32_t sender, target;
	uint16_t operation;

	if (bytes < ARP_FRAME_BYTES || be_load16(frame + 14) != 1 ||
	    be_load16(frame + 16) != 0x0800 ||
	    be_load16(frame + 18) != 0x0604 || (frame[22] & 1) != 0) {
		core->counters.rx_drop_arp++;
		return;
	}
	operation = be_load16(frame + 20);
	sender = be_load32(frame + 28);
	target = be_load32(frame + 38);
	entry = arp_entry(core, sender);
	if (sender != 0 && entry->address == sender) {
		memcpy(entry->mac, frame + 22, PORT_MAC_BYTES);
		entry->is_known = true;
		entry->heard_ns = core->now_ns;
	}
	if (target != core->config.address || operation > 2 ||
	    sender == core->config.address) {
		core->counters.rx_drop_arp++;
		return;
	}
	core->counters.rx_answered++;
	if (operation == 1)
		arp_send(core, 2, frame + 22, frame + 22, sender);
}

/*
 * Gives the MAC of the next hop to a destination, asking if need be.
 *
 * Returns false, mac unchanged, as long as it is not known.
 */
bool
arp_resolve(struct tcp_core *core, uint32_t destination, uint8_t *mac)
{
	const struct tcp_config *config = &core->config;
	uint32_t hop = destination;
	uint32_t mask = config->prefix_bits == 0
				? 0
				: UINT32_MAX << (32 - config->prefix_bits);
	struct tcp_arp_entry *entry;

	if (((destination ^ config->address) & mask) != 0 &&
	    config->gateway != 0)
		hop = config->gateway;
	entry = arp_entry(core, hop);
	if (entry->address != hop) {
		memset(entry, 0, sizeof(*entry));
		entry->address = hop;
	}
	if (!entry->is_known || core->now_ns - entry->heard_ns > ARP_FRESH_NS)
		arp_ask(core, entry);
	if (entry->is_known)
		memcpy(mac, entry->mac, PORT_MAC_BYTES);
	return entry->is_known;
}
