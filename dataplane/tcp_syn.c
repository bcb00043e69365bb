/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_syn - opening: listeners, initial sequence numbers, active opens.
 *
 * The initial sequence number is a 4 us clock plus SipHash-2-4 of the
 * connection's name under a secret (RFC 6528), so one connection's numbers say
 * nothing about another's and a new incarnation starts above the old one.
 * Local ports of active opens are taken in turn from a start that depends on
 * the secret and the destination (RFC 6056, algorithm 3).
 *
 * A SYN for a listener takes a block in SYN_RECEIVED, which belongs to nobody
 * until the handshake ends. Above half_open_limit SYNs are answered with a
 * cookie (tcp_cookie.c), so a flood takes no block from anybody.
 */

#include "dataplane/tcp_int.h"

static inline uint64_t
tcp_syn_rotate(uint64_t v, uint32_t by)
{
	return v << by | v >> (64 - by);
}

static void
tcp_syn_sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = tcp_syn_rotate(v[1], 13) ^ v[0];
	v[0] = tcp_syn_rotate(v[0], 32);
	v[2] += v[3];
	v[3] = tcp_syn_rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = tcp_syn_rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = tcp_syn_rotate(v[1], 17) ^ v[2];
	v[2] = tcp_syn_rotate(v[2], 32);
}

/* SipHash-2-4 under the secret; an odd last word goes with the length. */
uint64_t
tcp_syn_sip(const struct tcp_core *core, const uint32_t *words, uint32_t count)
{
	uint64_t k0 = be_load64(core->config.secret);
	uint64_t k1 = be_load64(core->config.secret + 8);
	uint64_t last = (uint64_t)(4 * count) << 56;
	uint64_t v[4] = {
		k0 ^ 0x736f6d6570736575ull,
		k1 ^ 0x646f72616e646f6dull,
		k0 ^ 0x6c7967656e657261ull,
		k1 ^ 0x7465646279746573ull,
	};

	if ((count & 1) != 0)
		last |= words[count - 1];
	for (uint32_t i = 0; i <= count / 2; i++) {
		uint64_t block =
			i == count / 2
				? last
				: words[2 * i] | (uint64_t)words[2 * i + 1]
							 << 32;

		v[3] ^= block;
		tcp_syn_sip_round(v);
		tcp_syn_sip_round(v);
		v[0] ^= block;
	}
	v[2] ^= 0xff;
	for (uint32_t i = 0; i < 4; i++)
		tcp_syn_sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint32_t
tcp_syn_isn(const struct tcp_core *core, const struct tcp_address *remote,
	    const struct tcp_address *local, uint16_t remote_port,
	    uint16_t local_port)
{
	uint32_t words[9];

	memcpy(words, remote, sizeof(*remote));
	memcpy(words + 4, local, sizeof(*local));
	words[8] = (uint32_t)remote_port << 16 | local_port;
	return (uint32_t)tcp_syn_sip(core, words, 9) +
	       (uint32_t)(core->now_ns / (4 * NS_PER_US));
}

/* Whether a listener's addresses and others have one in common; all zero are
 * all. */
static bool
tcp_syn_overlaps(const struct tcp_listener *listener,
		 const struct tcp_address *other)
{
	return tcp_is_none(&listener->address) || tcp_is_none(other) ||
	       tcp_address_equal(&listener->address, other);
}

struct tcp_listener *
tcp_syn_listener(struct tcp_core *core, const struct tcp_address *local,
		 uint16_t port)
{
	for (uint32_t i = 0; i < TCP_LISTENERS_MAX; i++) {
		struct tcp_listener *listener = &core->listeners[i];

		if (listener->port == port && tcp_syn_overlaps(listener, local))
			return listener;
	}
	return NULL;
}

int
tcp_listen_on(struct tcp_core *core, const struct tcp_address *address,
	      uint16_t port, uint32_t tag)
{
	FAL_ASSERT(port != 0);
	if (tcp_syn_listener(core, address, port) != NULL)
		return FAL_EBUSY;
	for (uint32_t i = 0; i < TCP_LISTENERS_MAX; i++) {
		struct tcp_listener *listener = &core->listeners[i];

		if (listener->port != 0)
			continue;
		listener->address = *address;
		listener->port = port;
		listener->tag = tag;
		return 0;
	}
	return FAL_ELIMIT;
}

int
tcp_listen(struct tcp_core *core, uint16_t port, uint32_t tag)
{
	static const struct tcp_address all;

	return tcp_listen_on(core, &all, port, tag);
}

bool
tcp_unlisten(struct tcp_core *core, uint16_t port, uint32_t tag)
{
	for (uint32_t i = 0; i < TCP_LISTENERS_MAX; i++) {
		struct tcp_listener *listener = &core->listeners[i];

		if (listener->port != port || listener->tag != tag)
			continue;
		listener->port = 0;
		return port != 0;
	}
	return false;
}

/* Makes a block in SYN_RECEIVED of a SYN; NULL: there is none. */
struct tcp_conn *
tcp_syn_receive(struct tcp_core *core, const struct tcp_packet *packet)
{
	const struct tcp_options *options = &packet->options;
	struct tcp_listener *listener = tcp_syn_listener(
		core, &packet->destination, packet->destination_port);
	struct tcp_conn *conn;

	FAL_ASSERT(listener != NULL);
	conn = tcp_conn_new(core, &packet->source, &packet->destination,
			    packet->source_port, packet->destination_port);
	if (conn == NULL)
		return NULL;
	core->counters.half_open++;
	tcp_set(conn, TCP_PASSIVE | TCP_SYN_DUE | TCP_HAS_MAC);
	memcpy(conn->mac, packet->mac, sizeof(conn->mac));
	conn->state = TCP_SYN_RECEIVED;
	conn->tag = listener->tag;
	conn->rcv_nxt = packet->seq + 1;
	conn->last_ack_sent = conn->rcv_nxt;
	conn->rcv_adv = conn->rcv_nxt;
	conn->snd_wnd = packet->window; /* never scaled in a SYN */
	conn->snd_wl1 = packet->seq;
	if (options->has_timestamps) {
		tcp_set(conn, TCP_HAS_TS);
		conn->ts_recent = options->ts_value;
	}
	if (options->sack_permitted)
		tcp_set(conn, TCP_HAS_SACK);
	if (options->has_window_shift) {
		conn->snd_shift = options->window_shift;
		conn->rcv_shift = TCP_WINDOW_SHIFT;
	}
	tcp_conn_mss(core, conn, options->mss);
	return conn;
}

/* RFC 9293 3.10.7.2, LISTEN: a SYN without ACK and RST. The caller has looked
 * at those two. Data of a SYN is left for the peer to send again. */
void
tcp_syn_in(struct tcp_core *core, struct tcp_packet *packet)
{
	struct tcp_conn *conn;

	if (core->pool_level >= TCP_POOL_NO_OPEN) {
		core->counters.rx_drop_limit++;
		return;
	}
	if (core->counters.half_open >= core->config.half_open_limit) {
		core->counters.rx_answered++;
		tcp_cookie_send(core, packet);
		return;
	}
	conn = tcp_syn_receive(core, packet);
	if (conn == NULL) {
		core->counters.rx_drop_limit++;
		return;
	}
	core->counters.rx_delivered++;
	tcp_conn_out(core, conn);
}

static uint16_t
tcp_syn_port(struct tcp_core *core, const struct tcp_address *remote,
	     const struct tcp_address *local, uint16_t port)
{
	uint32_t count = core->config.local_port_count;
	uint32_t words[5];
	uint32_t start;

	memcpy(words, remote, sizeof(*remote));
	words[4] = port;
	start = (uint32_t)tcp_syn_sip(core, words, 5);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t offset = (start + core->port_next++) % count;
		uint16_t own =
			(uint16_t)(core->config.local_port_first + offset);

		if (tcp_syn_listener(core, local, own) == NULL &&
		    tcp_conn_find(core, remote, local, port, own) == NULL)
			return own;
	}
	return 0;
}

/* The address of ours that talks to another, or NULL: nobody can be there. */
static const struct tcp_address *
tcp_syn_local(const struct tcp_core *core, const struct tcp_address *to)
{
	uint32_t ip = to->word[3];
	uint32_t last = ip;

	if (tcp_address_is_ipv4(to))
		return core->config.address == 0 || ip >> 24 == 0 ||
				       ip >= 0xe0000000u || ip >> 24 == 127 ||
				       ip == core->config.address
			       ? NULL
			       : &core->local4;
	last |= to->word[0] | to->word[1] | to->word[2];
	if (tcp_is_none(&core->local6) || to->word[0] >> 24 == 0xff ||
	    last <= 1 || tcp_address_equal(to, &core->local6) ||
	    tcp_address_equal(to, &core->link6))
		return NULL;
	return tcp_is_link_local(to) ? &core->link6 : &core->local6;
}

int
tcp_connect(struct tcp_core *core, const struct tcp_address *address,
	    uint16_t port, uint32_t tag, struct tcp_conn **conn)
{
	const struct tcp_address *local = tcp_syn_local(core, address);
	struct tcp_conn *made;
	uint16_t own;

	if (local == NULL || port == 0)
		return FAL_EINVAL;
	own = tcp_syn_port(core, address, local, port);
	if (own == 0)
		return FAL_ELIMIT;
	made = tcp_conn_new(core, address, local, port, own);
	if (made == NULL)
		return FAL_ELIMIT;
	core->counters.connects++;
	tcp_clear(made, TCP_ORPHAN);
	/* Until the peer has answered we offer everything. */
	tcp_set(made, TCP_SYN_DUE | TCP_HAS_TS | TCP_HAS_SACK);
	made->state = TCP_SYN_SENT;
	made->tag = tag;
	made->rcv_shift = TCP_WINDOW_SHIFT;
	tcp_conn_out(core, made);
	*conn = made;
	return 0;
}
