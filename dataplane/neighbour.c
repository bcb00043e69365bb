/* SPDX-License-Identifier: Apache-2.0 */
/*
 * neighbour - MAC addresses of stations on the link, of both IP versions.
 *
 * A direct-mapped table: an address has one place, and whoever is resolved
 * later takes it. Only what we asked for creates knowledge; everything else
 * that is heard updates an entry that is there, so strangers cannot fill or
 * empty the table. An entry older than 30 s is asked for again, but used until
 * the answer comes. At most 20 questions a second leave in all, and one a
 * second for an address.
 */

#include "dataplane/tcp_int.h"

#define NEIGHBOUR_FRESH_NS (30 * NS_PER_SECOND)

static struct tcp_neighbour *
neighbour_entry(struct tcp_core *core, const struct tcp_address *address)
{
	uint32_t word = address->word[3] ^ address->word[1] ^ address->word[0];

	return &core->neighbours[(word ^ word >> 8) % TCP_NEIGHBOURS];
}

static void
neighbour_ask(struct tcp_core *core, struct tcp_neighbour *entry)
{
	if (entry->asked_ns != 0 &&
	    core->now_ns - entry->asked_ns < NS_PER_SECOND)
		return;
	if (!tcp_token(core, &core->ask_tokens))
		return;
	entry->asked_ns = core->now_ns;
	if (tcp_address_is_ipv4(&entry->address))
		arp_ask(core, entry->address.word[3]);
	else
		nd_ask(core, &entry->address);
}

/* Notes what an address' owner said, if we wanted to know. */
void
neighbour_learn(struct tcp_core *core, const struct tcp_address *address,
		const uint8_t *mac)
{
	struct tcp_neighbour *entry = neighbour_entry(core, address);

	if (tcp_is_none(address) ||
	    !tcp_address_equal(&entry->address, address))
		return;
	memcpy(entry->mac, mac, PORT_MAC_BYTES);
	entry->is_known = true;
	entry->heard_ns = core->now_ns;
}

/* Whether the first `bits` of two addresses are the same. */
static bool
neighbour_is_same_net(const struct tcp_address *a, const struct tcp_address *b,
		      uint32_t bits)
{
	for (uint32_t i = 0; i < 4 && bits > 0; i++) {
		uint32_t here = bits > 32 ? 32 : bits;

		if (((a->word[i] ^ b->word[i]) >> (32 - here)) != 0)
			return false;
		bits -= here;
	}
	return true;
}

static struct tcp_address
neighbour_hop(const struct tcp_core *core,
	      const struct tcp_address *destination)
{
	const struct tcp_config *config = &core->config;

	if (tcp_address_is_ipv4(destination)) {
		if (config->gateway != 0 &&
		    !neighbour_is_same_net(destination, &core->local4,
					   96u + config->prefix_bits))
			return tcp_address_ipv4(config->gateway);
		return *destination;
	}
	if (!tcp_is_none(&config->gateway6) &&
	    !tcp_is_link_local(destination) &&
	    !neighbour_is_same_net(destination, &core->local6,
				   config->prefix6_bits))
		return config->gateway6;
	return *destination;
}

/*
 * Gives the MAC of the next hop to a destination, asking if need be.
 *
 * Returns false, mac unchanged, as long as it is not known.
 */
bool
neighbour_resolve(struct tcp_core *core, const struct tcp_address *destination,
		  uint8_t *mac)
{
	struct tcp_address hop = neighbour_hop(core, destination);
	struct tcp_neighbour *entry = neighbour_entry(core, &hop);

	if (!tcp_address_equal(&entry->address, &hop)) {
		memset(entry, 0, sizeof(*entry));
		entry->address = hop;
	}
	if (!entry->is_known ||
	    core->now_ns - entry->heard_ns > NEIGHBOUR_FRESH_NS)
		neighbour_ask(core, entry);
	if (entry->is_known)
		memcpy(mac, entry->mac, PORT_MAC_BYTES);
	return entry->is_known;
}
