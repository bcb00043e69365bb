/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_cookie - SYN cookies (RFC 4987 section 3.6): a flood takes no state.
 *
 * The sequence number of the SYN-ACK is the cookie: 29 bits of a keyed hash
 * over the connection's name, the peer's sequence number, the period, the MSS
 * class and the options; 3 bits of MSS class. What the peer offered beside its
 * MSS travels in the low 6 bits of our timestamp, which it echoes, and is lost
 * without timestamps: then there is no window scale and no SACK.
 *
 *   timestamp  bit 0-3 window shift, 15: none   bit 4 SACK   bit 5 zero
 *
 * A cookie is good for its period of 64 s and the next. Acks are only looked at
 * while cookies are out; forging one takes 2^28 tries on average.
 */

#include "dataplane/tcp_int.h"

#define COOKIE_PERIOD_NS (64 * NS_PER_SECOND)
#define COOKIE_NO_SHIFT  15u
#define COOKIE_SACK      16u
#define COOKIE_NO_TS     64u

static const uint16_t cookie_mss[8] = {TCP_MSS_MIN, 536,  1220, 1360,
				       1400,        1440, 1460, 8940};

static uint32_t
cookie_class(const struct tcp_packet *packet)
{
	uint32_t mss = packet->options.mss;
	uint32_t class = 7;

	if (mss == 0)
		mss = tcp_address_is_ipv4(&packet->source) ? TCP_MSS_DEFAULT4
							   : TCP_MSS_DEFAULT6;
	while (class > 0 && cookie_mss[class] > mss)
		class --;
	return class;
}

/* irs  of the peer; the packet is its SYN or the ack that follows */
static uint32_t
cookie_make(const struct tcp_core *core, const struct tcp_packet *packet,
	    uint32_t irs, uint32_t period, uint32_t class, uint32_t options)
{
	uint32_t words[12];

	memcpy(words, &packet->source, sizeof(packet->source));
	memcpy(words + 4, &packet->destination, sizeof(packet->destination));
	words[8] =
		(uint32_t)packet->source_port << 16 | packet->destination_port;
	words[9] = irs;
	words[10] = period;
	words[11] = class << 8 | options;
	return (uint32_t)tcp_syn_sip(core, words, 12) << 3 | class;
}

/* Answers a SYN without remembering it. */
void
tcp_cookie_send(struct tcp_core *core, const struct tcp_packet *packet)
{
	const struct tcp_options *offered = &packet->options;
	uint32_t period = (uint32_t)(core->now_ns / COOKIE_PERIOD_NS);
	uint32_t class = cookie_class(packet);
	uint32_t own = core->config.port->mtu - tcp_ip_bytes(&packet->source) -
		       TCP_HEADER_BYTES;
	uint32_t bits = COOKIE_NO_TS, value = 0, bytes;
	uint32_t window = core->config.window_bytes;
	uint8_t options[TCP_OPTIONS_MAX];

	if (offered->has_timestamps) {
		bits = offered->has_window_shift ? offered->window_shift
						 : COOKIE_NO_SHIFT;
		bits |= offered->sack_permitted ? COOKIE_SACK : 0u;
		value = (core->now_ts & ~63u) | bits;
		/* Later timestamps must not be older. */
		if (tcp_seq_lt(core->now_ts, value))
			value -= 64;
	}
	bytes = tcp_opt_write_syn(
		options, (uint16_t)own,
		bits < COOKIE_NO_TS && offered->has_window_shift,
		bits < COOKIE_NO_TS && offered->sack_permitted,
		bits < COOKIE_NO_TS, value, offered->ts_value);
	core->counters.cookies_sent++;
	core->cookies_until_ns = core->now_ns + 2 * COOKIE_PERIOD_NS;
	tcp_out_answer(
		core, packet,
		cookie_make(core, packet, packet->seq, period, class, bits),
		packet->seq + 1, TCP_SYN | TCP_ACK,
		window > 65535 ? 65535 : window, options, bytes);
}

static bool
cookie_is_good(const struct tcp_core *core, const struct tcp_packet *packet,
	       uint32_t bits)
{
	uint32_t period = (uint32_t)(core->now_ns / COOKIE_PERIOD_NS);
	uint32_t cookie = packet->ack - 1;

	for (uint32_t i = 0; i < 2; i++) {
		if (cookie_make(core, packet, packet->seq - 1, period - i,
				cookie & 7, bits) == cookie)
			return true;
	}
	return false;
}

/* Makes the connection whose SYN-ACK was a cookie. Returns it, in SYN_RECEIVED
 * and so that the packet will open it, or NULL: it acknowledges no cookie, or
 * there is no block. */
struct tcp_conn *
tcp_cookie_take(struct tcp_core *core, const struct tcp_packet *packet)
{
	const struct tcp_options *options = &packet->options;
	uint32_t bits =
		options->has_timestamps ? options->ts_echo & 63 : COOKIE_NO_TS;
	struct tcp_packet syn = *packet;
	struct tcp_conn *conn;

	if (!cookie_is_good(core, packet, bits))
		return NULL;
	/* What the SYN must have looked like. */
	syn.seq = packet->seq - 1;
	syn.options.mss = cookie_mss[(packet->ack - 1) & 7];
	syn.options.has_window_shift =
		bits < COOKIE_NO_TS && (bits & 15) != COOKIE_NO_SHIFT;
	syn.options.window_shift = bits & 15;
	syn.options.sack_permitted =
		bits < COOKIE_NO_TS && (bits & COOKIE_SACK) != 0;
	conn = tcp_syn_receive(core, &syn);
	if (conn == NULL)
		return NULL;
	core->counters.cookies_accepted++;
	tcp_conn_iss(conn, packet->ack - 1);
	conn->snd_nxt = packet->ack;
	tcp_clear(conn, TCP_SYN_DUE);
	/* What the SYN-ACK promised. */
	conn->rcv_adv = conn->rcv_nxt + (core->config.window_bytes > 65535
						 ? 65535
						 : core->config.window_bytes);
	return conn;
}
