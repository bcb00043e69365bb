/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nd - neighbour discovery (RFC 4861): solicitations and advertisements.
 *
 *   0 type  1 code  2 checksum  4 flags  8 target address  24 options
 *   option: type, length in units of 8, value; 1 source and 2 target MAC
 *
 * A hop limit of 255 proves that the sender is on the link (section 7.1). The
 * router comes from the configuration: advertisements and redirects of routers
 * are dropped, and so are all messages of malformed options. Addresses come
 * from the configuration too, but somebody else's duplicate address detection
 * is answered.
 */

#include "dataplane/tcp_int.h"

enum { ND_SOLICITATION = 135, ND_ADVERTISEMENT = 136 };
enum { ND_SOLICITED = 0x40, ND_OVERRIDE = 0x20 };

#define ND_BYTES        24u
#define ND_OPTION_BYTES 8u

static const struct tcp_address nd_all_nodes = {{0xff020000u, 0, 0, 1}};

/* ff02::1:ffxx:xxxx with the last 24 bits of the address. */
static struct tcp_address
nd_group(const struct tcp_address *address)
{
	return (struct tcp_address){
		{0xff020000u, 0, 1, 0xff000000u | address->word[3]}};
}

/* Whether `group` is what solicitations of an address are sent to. */
bool
nd_is_group_of(const struct tcp_address *group,
	       const struct tcp_address *address)
{
	struct tcp_address own = nd_group(address);

	return tcp_address_equal(group, &own);
}

/* RFC 2464 section 7. */
static void
nd_group_mac(const struct tcp_address *group, uint8_t *mac)
{
	mac[0] = 0x33;
	mac[1] = 0x33;
	be_store32(mac + 2, group->word[3]);
}

static void
nd_send(struct tcp_core *core, uint8_t type, uint8_t flags, const uint8_t *mac,
	const struct tcp_address *source, const struct tcp_address *destination,
	const struct tcp_address *target)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(core->config.pool);
	uint32_t bytes = ND_BYTES + ND_OPTION_BYTES;
	uint32_t header = core->ether_bytes + TCP_IP6_BYTES;
	uint8_t *at, *icmp;

	if (mbuf == NULL) {
		core->counters.tx_no_mbuf++;
		return;
	}
	at = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)(header + bytes));
	FAL_ASSERT(at != NULL);
	ip_out_headers(core, at, mac, source, destination, 58, bytes);
	at[core->ether_bytes + 7] = 255;
	icmp = at + header;
	memset(icmp, 0, bytes);
	icmp[0] = type;
	icmp[4] = flags;
	ip_address_write(target, icmp + 8);
	icmp[24] = type == ND_SOLICITATION ? 1 : 2;
	icmp[25] = 1;
	memcpy(icmp + 26, core->config.port->mac, PORT_MAC_BYTES);
	be_store16(icmp + 2, ip_checksum(source, destination, 58, icmp, bytes));
	ip_out_push(core, mbuf);
}

/* Asks the group of an address who has it. */
void
nd_ask(struct tcp_core *core, const struct tcp_address *address)
{
	struct tcp_address group = nd_group(address);
	uint8_t mac[PORT_MAC_BYTES];

	nd_group_mac(&group, mac);
	nd_send(core, ND_SOLICITATION, 0, mac,
		tcp_is_link_local(address) ? &core->link6 : &core->local6,
		&group, address);
}

/* Finds the MAC in the options. Returns false when they are malformed; *mac is
 * NULL when there is none. */
static bool
nd_option(const uint8_t *icmp, uint32_t bytes, uint8_t wanted,
	  const uint8_t **mac)
{
	uint32_t at = ND_BYTES;

	*mac = NULL;
	while (at < bytes) {
		uint32_t length;

		if (bytes - at < 2)
			return false;
		length = 8u * icmp[at + 1];
		if (length == 0 || length > bytes - at)
			return false;
		if (icmp[at] == wanted && length == ND_OPTION_BYTES &&
		    (icmp[at + 2] & 1) == 0)
			*mac = icmp + at + 2;
		at += length;
	}
	return true;
}

/* RFC 4861 7.2.3, 7.2.4; false: dropped. */
static bool
nd_solicitation(struct tcp_core *core, const struct ip_frame *frame,
		const uint8_t *icmp, uint32_t bytes)
{
	struct tcp_address source = tcp_address_ipv6(frame->ip + 8);
	struct tcp_address destination = tcp_address_ipv6(frame->ip + 24);
	struct tcp_address target = tcp_address_ipv6(icmp + 8);
	bool is_probe = tcp_is_none(&source);
	uint8_t group_mac[PORT_MAC_BYTES];
	const uint8_t *mac;

	if (!nd_option(icmp, bytes, 1, &mac) ||
	    (!tcp_address_equal(&target, &core->local6) &&
	     !tcp_address_equal(&target, &core->link6)))
		return false;
	if (is_probe && (mac != NULL || !nd_is_group_of(&destination, &target)))
		return false;
	core->counters.rx_answered++;
	if (is_probe) {
		/* Duplicate address detection: it is taken (RFC 4862 5.4). */
		nd_group_mac(&nd_all_nodes, group_mac);
		nd_send(core, ND_ADVERTISEMENT, ND_OVERRIDE, group_mac, &target,
			&nd_all_nodes, &target);
		return true;
	}
	if (mac != NULL)
		neighbour_learn(core, &source, mac);
	nd_send(core, ND_ADVERTISEMENT, ND_SOLICITED | ND_OVERRIDE,
		mac != NULL ? mac : frame->mac, &target, &source, &target);
	return true;
}

/* RFC 4861 7.2.5; false: dropped. */
static bool
nd_advertisement(struct tcp_core *core, const struct ip_frame *frame,
		 const uint8_t *icmp, uint32_t bytes)
{
	struct tcp_address target = tcp_address_ipv6(icmp + 8);
	const uint8_t *mac;

	if (target.word[0] >> 24 == 0xff ||
	    (frame->is_group && (icmp[4] & ND_SOLICITED) != 0) ||
	    !nd_option(icmp, bytes, 2, &mac))
		return false;
	core->counters.rx_answered++;
	/* Without the option the sender's own MAC is meant (unicast only). */
	if (mac != NULL || !frame->is_group)
		neighbour_learn(core, &target, mac != NULL ? mac : frame->mac);
	return true;
}

/* Takes an ICMPv6 message of neighbour discovery whose checksum is good. */
void
nd_in(struct tcp_core *core, const struct ip_frame *frame, const uint8_t *icmp,
      uint32_t bytes)
{
	bool is_taken = false;

	if (frame->ip[7] == 255 && bytes >= ND_BYTES && icmp[1] == 0) {
		if (icmp[0] == ND_SOLICITATION)
			is_taken = nd_solicitation(core, frame, icmp, bytes);
		else if (icmp[0] == ND_ADVERTISEMENT)
			is_taken = nd_advertisement(core, frame, icmp, bytes);
	}
	if (!is_taken)
		core->counters.rx_drop_nd++;
}
