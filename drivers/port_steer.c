/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_steer - see port_steer.h.
 *
 *   Ethernet  12 type, or 0x8100 and a tag of 4 bytes
 *   IPv4      0 version, header words  9 protocol  12 source  16 destination
 *   IPv6      6 next header  8 source  24 destination  40 payload
 *
 * A frame that is malformed goes to core 0, whose TCP/IP drops and counts it.
 */
#include "drivers/port_steer.h"

#include <string.h>

#include "base/be.h"

enum {
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_VLAN = 0x8100,
	TYPE_IPV6 = 0x86dd,
	PROTOCOL_HOP_BY_HOP = 0,
	PROTOCOL_ICMP = 1,
	PROTOCOL_TCP = 6,
	PROTOCOL_ICMP6 = 58,
	PROTOCOL_OPTIONS = 60,
};

#define EXTENSIONS_MAX 8u

/* What a frame says; `is_tcp` false: nothing that tells its core. */
struct flow {
	bool is_tcp;
	bool is_quoted; /* in an ICMP error */
	bool is_for_all;
	uint16_t local_port, remote_port;
	uint32_t remote; /* folded to a word */
};

void
port_steer_init(struct port_steer *steer, uint32_t core_count)
{
	FAL_ASSERT(core_count >= 1 && core_count <= PORT_STEER_CORES_MAX);
	memset(steer, 0, sizeof(*steer));
	steer->core_count = core_count;
}

static struct port_steer_claim *
claim_of(struct port_steer *steer, uint32_t local_port)
{
	for (uint32_t i = 0; i < PORT_STEER_PORTS_MAX; i++) {
		if (atomic_load_explicit(&steer->claims[i].local_port,
					 memory_order_relaxed) == local_port)
			return &steer->claims[i];
	}
	return NULL;
}

bool
port_steer_claim(struct port_steer *steer, uint32_t core, uint16_t local_port,
		 bool is_claimed)
{
	struct port_steer_claim *claim = claim_of(steer, local_port);
	uint32_t cores;

	FAL_ASSERT(core < steer->core_count && local_port != 0);
	if (claim == NULL)
		claim = is_claimed ? claim_of(steer, 0) : NULL;
	if (claim == NULL)
		return !is_claimed;
	cores = atomic_load_explicit(&claim->cores, memory_order_relaxed);
	cores = is_claimed ? cores | 1u << core : cores & ~(1u << core);
	atomic_store_explicit(&claim->cores, cores, memory_order_relaxed);
	/* Pairs with the acquire in cores_of(): who sees the port sees its
	 * cores. */
	atomic_store_explicit(&claim->local_port, cores == 0 ? 0 : local_port,
			      memory_order_release);
	return true;
}

uint16_t
port_steer_range(const struct port_steer *steer, uint32_t core, uint16_t *count)
{
	const uint32_t each = PORT_STEER_COUNT / steer->core_count;

	*count = (uint16_t)each;
	return (uint16_t)(PORT_STEER_FIRST + core * each);
}

/* ---- what a frame says ---- */

static void
flow_tcp(const uint8_t *tcp, uint32_t bytes, bool is_quoted, struct flow *flow)
{
	if (bytes < 4)
		return;
	flow->is_tcp = true;
	flow->is_quoted = is_quoted;
	/* A quoted segment is one of ours. */
	flow->remote_port = be_load16(tcp + (is_quoted ? 2 : 0));
	flow->local_port = be_load16(tcp + (is_quoted ? 0 : 2));
}

static uint32_t
fold(const uint8_t *ip, uint32_t bytes)
{
	uint32_t folded = 0;

	for (uint32_t i = 0; i < bytes; i += 4)
		folded = folded * 31 + be_load32(ip + i);
	return folded;
}

static void
flow_ipv4(const uint8_t *ip, uint32_t bytes, bool is_quoted, struct flow *flow)
{
	uint32_t header;

	if (bytes < 20)
		return;
	header = (uint32_t)(ip[0] & 15) * 4;
	if (header < 20 || header > bytes)
		return;
	flow->remote = fold(ip + (is_quoted ? 16 : 12), 4);
	if (ip[9] == PROTOCOL_TCP)
		flow_tcp(ip + header, bytes - header, is_quoted, flow);
	/* 8 bytes of ICMP header, then the packet that was in trouble. */
	else if (ip[9] == PROTOCOL_ICMP && !is_quoted && bytes > header + 8 &&
		 ip[header] == 3)
		flow_ipv4(ip + header + 8, bytes - header - 8, true, flow);
}

static void
flow_ipv6(const uint8_t *ip, uint32_t bytes, bool is_quoted, struct flow *flow)
{
	uint32_t at = 40;
	uint8_t next;

	if (bytes < 40)
		return;
	next = ip[6];
	flow->remote = fold(ip + (is_quoted ? 24 : 8), 16);
	for (uint32_t i = 0;
	     i < EXTENSIONS_MAX &&
	     (next == PROTOCOL_HOP_BY_HOP || next == PROTOCOL_OPTIONS);
	     i++) {
		if (at + 8 > bytes)
			return;
		next = ip[at];
		at += 8u * (ip[at + 1] + 1u);
	}
	if (at >= bytes)
		return;
	if (next == PROTOCOL_TCP)
		flow_tcp(ip + at, bytes - at, is_quoted, flow);
	else if (next == PROTOCOL_ICMP6 && ip[at] == 136)
		flow->is_for_all = true; /* neighbour advertisement */
	else if (next == PROTOCOL_ICMP6 && ip[at] < 128 && !is_quoted &&
		 bytes > at + 8)
		flow_ipv6(ip + at + 8, bytes - at - 8, true, flow);
}

static struct flow
flow_of(const uint8_t *frame, uint32_t bytes)
{
	struct flow flow = {0};
	uint32_t at = 14;
	uint32_t type;

	if (bytes < at)
		return flow;
	type = be_load16(frame + 12);
	if (type == TYPE_VLAN && bytes >= at + 4) {
		type = be_load16(frame + 16);
		at += 4;
	}
	if (type == TYPE_ARP)
		flow.is_for_all = bytes >= at + 8 &&
				  be_load16(frame + at + 6) == 2; /* reply */
	else if (type == TYPE_IPV4)
		flow_ipv4(frame + at, bytes - at, false, &flow);
	else if (type == TYPE_IPV6)
		flow_ipv6(frame + at, bytes - at, false, &flow);
	return flow;
}

/* ---- and whose it is ---- */

static uint32_t
cores_of(const struct port_steer *steer, uint32_t local_port)
{
	for (uint32_t i = 0; i < PORT_STEER_PORTS_MAX; i++) {
		const struct port_steer_claim *claim = &steer->claims[i];

		if (atomic_load_explicit(&claim->local_port,
					 memory_order_acquire) == local_port)
			return atomic_load_explicit(&claim->cores,
						    memory_order_relaxed);
	}
	return 0;
}

/* The n-th of the cores, n by a hash of who is on the other side. */
static uint32_t
pick(uint32_t cores, const struct flow *flow)
{
	uint64_t hash = (uint64_t)flow->remote << 16 | flow->remote_port;
	uint32_t n;

	hash *= 0x9e3779b97f4a7c15ull;
	n = (uint32_t)((hash >> 32) * (uint64_t)__builtin_popcount(cores) >>
		       32);
	while (n-- > 0)
		cores &= cores - 1;
	return (uint32_t)__builtin_ctz(cores);
}

uint32_t
port_steer_home(const struct port_steer *steer, const uint8_t *frame,
		uint32_t bytes, uint32_t self, bool is_chosen)
{
	const struct flow flow = flow_of(frame, bytes);
	const uint32_t each = PORT_STEER_COUNT / steer->core_count;
	uint32_t cores;

	if (flow.is_for_all)
		return PORT_STEER_ALL;
	if (!flow.is_tcp || flow.local_port == 0)
		return 0;
	cores = cores_of(steer, flow.local_port);
	/* The device has chosen a core for the router that sends the error, and
	 * which one it chose for the connection only that core knows. */
	if (flow.is_quoted && is_chosen && (cores & (cores - 1)) != 0)
		return PORT_STEER_ALL;
	if (cores != 0)
		return is_chosen && (cores & 1u << self) != 0
			       ? self
			       : pick(cores, &flow);
	if (flow.local_port >= PORT_STEER_FIRST &&
	    flow.local_port < PORT_STEER_FIRST + each * steer->core_count)
		return (flow.local_port - PORT_STEER_FIRST) / each;
	return 0;
}
