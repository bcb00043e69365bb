/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip6_in - IPv6 packets in (RFC 8200).
 *
 *   0 version, class, flow  4 payload length  6 next header  7 hop limit
 *   8 source  24 destination  40 extension headers
 *   extension: next header, length in units of 8 beyond the first, options
 *   option: type, length, value; the type's top bits say what to do with an
 *   unknown one: 0 skip, others discard
 *
 * At most 8 extension headers of 128 bytes in all. Hop-by-hop and destination
 * options are looked through; routing headers are refused (RFC 5095), as are
 * fragments, atomic ones too: no TCP of today sends them.
 */

#include "dataplane/tcp_int.h"

#define IP6_EXTENSIONS_MAX      8u
#define IP6_EXTENSION_BYTES_MAX 128u

enum {
	IP6_HOP_BY_HOP = 0,
	IP6_TCP = 6,
	IP6_ROUTING = 43,
	IP6_FRAGMENT = 44,
	IP6_ICMP = 58,
	IP6_OPTIONS = 60
};

/* Whether no option of a header asks for the packet to be discarded. */
static bool
ip6_in_options(const uint8_t *at, uint32_t bytes)
{
	uint32_t i = 2;

	while (i < bytes) {
		if (at[i] == 0) { /* Pad1 */
			i++;
			continue;
		}
		if (bytes - i < 2 || at[i + 1] > bytes - i - 2 ||
		    at[i] >> 6 != 0)
			return false;
		i += 2u + at[i + 1];
	}
	return true;
}

/* Walks the extension headers. Returns the counter of the drop or NULL; then
 * *next is what is at *offset. */
static uint64_t *
ip6_in_extensions(struct tcp_counters *counters, const uint8_t *ip,
		  uint32_t end, uint32_t *offset, uint8_t *next)
{
	uint32_t first = *offset;

	for (uint32_t i = 0;; i++) {
		const uint8_t *at = ip + *offset;
		uint32_t bytes;

		if (*next == IP6_FRAGMENT)
			return &counters->rx_drop_fragment;
		if (*next == IP6_ROUTING)
			return &counters->rx_drop_source_route;
		if (*next != IP6_OPTIONS && *next != IP6_HOP_BY_HOP)
			return NULL;
		if (i == IP6_EXTENSIONS_MAX ||
		    (*next == IP6_HOP_BY_HOP && i > 0) || end - *offset < 8)
			return &counters->rx_drop_extension;
		bytes = 8u + 8u * at[1];
		if (bytes > end - *offset ||
		    *offset + bytes - first > IP6_EXTENSION_BYTES_MAX ||
		    !ip6_in_options(at, bytes))
			return &counters->rx_drop_extension;
		*next = at[0];
		*offset += bytes;
	}
}

/* Nobody sends from a group, the loopback, a mapped IPv4 address (it would be
 * one of IPv4's inside), or ours. No address at all: only as a question. */
static bool
ip6_in_is_bad_source(const struct tcp_core *core,
		     const struct tcp_address *source)
{
	return source->word[0] >> 24 == 0xff || tcp_address_is_ipv4(source) ||
	       (source->word[0] == 0 && source->word[1] == 0 &&
		source->word[2] == 0 && source->word[3] == 1) ||
	       tcp_address_equal(source, &core->local6) ||
	       tcp_address_equal(source, &core->link6);
}

static bool
ip6_in_is_ours(const struct tcp_core *core, const struct ip_frame *frame,
	       const struct tcp_address *destination)
{
	if (!frame->is_group)
		return tcp_address_equal(destination, &core->local6) ||
		       tcp_address_equal(destination, &core->link6);
	return nd_is_group_of(destination, &core->local6) ||
	       nd_is_group_of(destination, &core->link6) ||
	       (destination->word[0] == 0xff020000u &&
		destination->word[1] == 0 && destination->word[2] == 0 &&
		destination->word[3] == 1);
}

/* Takes a frame of type IPv6. */
void
ip6_in(struct tcp_core *core, struct ip_frame *frame)
{
	struct tcp_counters *counters = &core->counters;
	const uint8_t *ip = frame->ip;
	struct tcp_address source, destination;
	uint32_t offset = TCP_IP6_BYTES, end;
	uint64_t *drop = NULL;
	uint8_t next;

	if (frame->bytes < TCP_IP6_BYTES) {
		counters->rx_drop_short++;
		return;
	}
	end = TCP_IP6_BYTES + be_load16(ip + 4);
	source = tcp_address_ipv6(ip + 8);
	destination = tcp_address_ipv6(ip + 24);
	next = ip[6];
	if (ip[0] >> 4 != 6 || end > frame->bytes)
		drop = &counters->rx_drop_ip_header;
	else if (ip6_in_is_bad_source(core, &source))
		drop = &counters->rx_drop_ip_source;
	else if (!ip6_in_is_ours(core, frame, &destination))
		drop = &counters->rx_drop_ip_destination;
	else
		drop = ip6_in_extensions(counters, ip, end, &offset, &next);
	if (drop == NULL && next != IP6_ICMP && next != IP6_TCP)
		drop = &counters->rx_drop_protocol;
	if (drop == NULL && next == IP6_TCP && tcp_is_none(&source))
		drop = &counters->rx_drop_ip_source;
	if (drop == NULL && next == IP6_TCP && frame->is_group)
		drop = &counters->rx_drop_ip_destination;
	if (drop != NULL)
		(*drop)++;
	else if (next == IP6_TCP)
		ip_in_tcp(core, frame, &source, &destination, ip + offset,
			  end - offset);
	else
		icmp6_in(core, frame, &source, &destination, ip + offset,
			 end - offset);
}
