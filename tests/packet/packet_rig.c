/* SPDX-License-Identifier: Apache-2.0 */
/* packet_rig - see packet_rig.h. */

#include "packet_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include <rte_ip.h>

static uint16_t
rig_port_rx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	    uint16_t count)
{
	(void)port;
	(void)now_ns;
	(void)frames;
	(void)count;
	return 0;
}

/* Does what a card would: completes the checksum of TCP. */
static void
rig_card(struct rte_mbuf *frame)
{
	uint8_t *ip = rte_pktmbuf_mtod(frame, uint8_t *) + frame->l2_len;
	uint8_t *tcp = ip + frame->l3_len;
	uint32_t bytes =
		frame->data_len - (uint32_t)(frame->l2_len + frame->l3_len);
	bool is_ipv4 = (frame->ol_flags & RTE_MBUF_F_TX_IPV4) != 0;
	uint16_t sum;

	if ((frame->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM) == 0)
		return;
	FAL_ASSERT(is_ipv4 != ((frame->ol_flags & RTE_MBUF_F_TX_IPV6) != 0));
	FAL_ASSERT(ip[0] >> 4 == (is_ipv4 ? 4 : 6));
	FAL_ASSERT(frame->l4_len == (tcp[12] >> 4) * 4);
	memcpy(&sum, tcp + 16, sizeof(sum));
	FAL_ASSERT(sum == (is_ipv4 ? rte_ipv4_phdr_cksum((void *)ip, 0)
				   : rte_ipv6_phdr_cksum((void *)ip, 0)));
	be_store16(tcp + 16, ip_fold(ip_sum(0, tcp, bytes)));
}

/* Adds the length to the sum of a pseudo header. */
static void
rig_length_sum(uint8_t *tcp, uint32_t bytes)
{
	uint32_t sum = be_load16(tcp + 16) + bytes;

	be_store16(tcp + 16, (uint16_t)(sum + (sum >> 16)));
}

/* Does what a card would with a chain: one frame for each segment. Only the
 * last one pushes. */
static void
rig_cut(struct rig *rig, const struct rte_mbuf *train)
{
	const uint32_t below = (uint32_t)(train->l2_len + train->l3_len);
	const uint32_t header = below + train->l4_len;
	const uint32_t bytes = train->pkt_len - header;
	uint8_t head[RIG_FRAME_MAX], room[RIG_FRAME_MAX];

	FAL_ASSERT(train->data_len == header && train->tso_segsz > 0);
	FAL_ASSERT((train->ol_flags & RTE_MBUF_F_TX_IPV4) != 0 &&
		   (train->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) != 0);
	memcpy(head, rte_pktmbuf_mtod(train, const void *), header);
	FAL_ASSERT(be_load16(head + train->l2_len + 2) ==
		   train->pkt_len - train->l2_len);
	FAL_ASSERT(be_load16(head + train->l2_len + 10) == 0);
	for (uint32_t at = 0; at < bytes; at += train->tso_segsz) {
		const uint32_t left = bytes - at;
		const uint32_t size =
			left < train->tso_segsz ? left : train->tso_segsz;
		struct rte_mbuf *frame = rte_pktmbuf_alloc(rig->pool);
		uint8_t *to = (uint8_t *)rte_pktmbuf_append(
			frame, (uint16_t)(header + size));
		uint8_t *ip = to + train->l2_len, *tcp = to + below;
		const void *from =
			rte_pktmbuf_read(train, header + at, size, room);

		memcpy(to, head, header);
		memcpy(to + header, from, size);
		be_store32(tcp + 4, be_load32(tcp + 4) + at);
		if (size < left)
			tcp[13] = (uint8_t)(tcp[13] & ~TCP_PSH);
		be_store16(ip + 2,
			   (uint16_t)(train->l3_len + train->l4_len + size));
		be_store16(ip + 10, ip_fold(ip_sum(0, ip, train->l3_len)));
		frame->ol_flags = train->ol_flags & ~RTE_MBUF_F_TX_TCP_SEG;
		frame->tx_offload = train->tx_offload;
		rig_length_sum(tcp, train->l4_len + size);
		FAL_ASSERT(rig->sent_count < RIG_FRAMES);
		rig->sent[rig->sent_count++] = frame;
		rig_card(frame);
	}
}

static uint16_t
rig_port_tx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	    uint16_t count)
{
	struct rig *rig = (struct rig *)(void *)port;

	(void)now_ns;
	for (uint16_t i = 0; i < count; i++) {
		if (frames[i]->nb_segs > 1) {
			rig_cut(rig, frames[i]);
			rte_pktmbuf_free(frames[i]);
			continue;
		}
		/* A copy: the instance may write its mbuf again. */
		FAL_ASSERT(rig->sent_count < RIG_FRAMES);
		rig->sent[rig->sent_count++] =
			rte_pktmbuf_copy(frames[i], rig->pool, 0, UINT32_MAX);
		rig_card(rig->sent[rig->sent_count - 1]);
		rte_pktmbuf_free(frames[i]);
	}
	return count;
}

static const struct port_ops rig_port_ops = {
	.name = "rig",
	.rx = rig_port_rx,
	.tx = rig_port_tx,
};

static struct tcp_address
rig_address(const struct rig *rig, uint32_t host)
{
	if (rig->options.is_ipv6)
		return (struct tcp_address){{0xfd000000u, 0, 0, host}};
	return tcp_address_ipv4(0x0a000000u | host);
}

void
rig_start(struct rig *rig, struct rte_mempool *pool,
	  const struct rig_options *options)
{
	struct tcp_config config = {
		.port = &rig->port,
		.pool = pool,
		.address = RIG_ADDRESS,
		.prefix_bits = 24,
		.address6 = {{0xfd000000u, 0, 0, 5}},
		.secret = "fifteen letters",
		.vlan = options->vlan,
		.window_bytes = options->window_bytes,
		.conn_limit = options->conn_limit,
		.half_open_limit = options->half_open_limit,
	};

	memset(rig, 0, sizeof(*rig));
	rig->options = *options;
	rig->port.ops = &rig_port_ops;
	rig->port.mtu = options->mtu == 0 ? 1500 : options->mtu;
	rig->port.tx_offloads = options->tx_offloads;
	rig->port.mac[0] = 2;
	rig->port.mac[5] = 5;
	rig_station(rig, 1);
	rig->pool = pool;
	rig->now_ns = 1000 * NS_PER_SECOND;
	rig->peer_port = RIG_PEER_PORT;
	rig->local_port = RIG_LISTEN_PORT;
	if (config.conn_limit == 0)
		config.conn_limit = 8;
	FAL_ASSERT(tcp_core_create(&config, rig->now_ns, &rig->core) == 0);
	FAL_ASSERT(tcp_listen(rig->core, RIG_LISTEN_PORT, 7) == 0);
}

void
rig_forget(struct rig *rig)
{
	for (; rig->sent_at < rig->sent_count; rig->sent_at++)
		rte_pktmbuf_free(rig->sent[rig->sent_at]);
	rig->sent_at = 0;
	rig->sent_count = 0;
}

void
rig_stop(struct rig *rig)
{
	tcp_core_destroy(rig->core);
	rig_forget(rig);
}

void
rig_peer(struct rig *rig, uint16_t port)
{
	rig->peer_port = port;
	rig->local_port = RIG_LISTEN_PORT;
	rig->has_isn = false;
	rig->isn = 0;
	rig->news = 0;
}

void
rig_settle(struct rig *rig)
{
	struct tcp_conn *conn;
	uint32_t news;

	if (rig->is_left_alone)
		return;
	while ((conn = tcp_next_news(rig->core, &news)) != NULL) {
		rig->conn = conn;
		rig->news |= news;
	}
	tcp_flush(rig->core);
}

void
rig_pass(struct rig *rig, uint32_t ms)
{
	for (uint32_t i = 0; i < ms; i++) {
		rig->now_ns += NS_PER_MS;
		tcp_poll(rig->core, rig->now_ns);
		rig_settle(rig);
	}
}

static uint32_t
rig_write_options(uint8_t *at, const struct rig_segment *segment)
{
	const struct tcp_options *options = &segment->options;

	if (segment->has_raw_options) {
		memcpy(at, segment->raw_options, segment->raw_option_bytes);
		return segment->raw_option_bytes;
	}
	if ((segment->flags & TCP_SYN) == 0)
		return tcp_opt_write(at, options->has_timestamps,
				     options->ts_value, options->ts_echo,
				     options->sacks, options->sack_count);
	if (options->mss == 0)
		return 0;
	return tcp_opt_write_syn(at, options->mss, options->has_window_shift,
				 options->sack_permitted,
				 options->has_timestamps, options->ts_value,
				 options->ts_echo);
}

static void
rig_apply(const struct rig_segment *segment, uint8_t *frame, uint32_t ip,
	  uint32_t payload, bool is_late)
{
	for (uint32_t i = 0; i < segment->patch_count; i++) {
		const struct rig_patch *patch = &segment->patches[i];
		uint32_t base = patch->layer == 'e'   ? 0
				: patch->layer == 'i' ? ip
						      : payload;

		if (patch->is_late == is_late)
			memcpy(frame + base + patch->offset, patch->data,
			       patch->bytes);
	}
}

static void
rig_exact_free(void *buffer, void *shared)
{
	free(buffer);
	free(shared);
}

/* A frame in a buffer of the allocator that ends where the frame ends, so that
 * AddressSanitizer sees a read behind it. */
static void
rig_exact(struct rte_mbuf *mbuf, uint32_t bytes)
{
	struct rte_mbuf_ext_shared_info *shared = malloc(sizeof(*shared));
	void *buffer = malloc(bytes == 0 ? 1 : bytes);

	FAL_ASSERT(shared != NULL);
	FAL_ASSERT(buffer != NULL);
	shared->free_cb = rig_exact_free;
	shared->fcb_opaque = shared;
	rte_mbuf_ext_refcnt_set(shared, 1);
	rte_pktmbuf_attach_extbuf(mbuf, buffer, 0, (uint16_t)bytes, shared);
	mbuf->data_off = 0;
}

void
rig_receive_raw(struct rig *rig, const uint8_t *data, uint32_t bytes,
		uint64_t verdict)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(rig->pool);
	uint8_t *at;

	FAL_ASSERT(mbuf != NULL);
	if (rig->is_exact)
		rig_exact(mbuf, bytes);
	at = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)bytes);
	FAL_ASSERT(at != NULL);
	memcpy(at, data, bytes);
	mbuf->ol_flags |= verdict;
	tcp_input(rig->core, mbuf, rig->now_ns);
	rig_settle(rig);
}

static uint32_t
rig_write_ether(const struct rig *rig, const struct rig_segment *segment,
		uint8_t *at)
{
	static const uint8_t group[2] = {0x33, 0x33};
	uint32_t bytes = 12;

	memcpy(at, rig->port.mac, 6);
	if (segment->is_group)
		memcpy(at, group, 2);
	memcpy(at + 6, rig->peer_mac, 6);
	if (rig->options.vlan != 0 || segment->has_tag) {
		be_store16(at + 12, 0x8100);
		be_store16(at + 14,
			   segment->has_tag ? segment->tag : rig->options.vlan);
		bytes += 4;
	}
	be_store16(at + bytes, rig->options.is_ipv6 ? 0x86dd : 0x0800);
	return bytes + 2;
}

/* Writes IP around a payload that is there, with the sums; then cuts or pads
 * and gives it. */
static void
rig_give(struct rig *rig, const struct rig_segment *segment, uint8_t *frame,
	 uint32_t ip, uint32_t bytes, uint8_t protocol)
{
	uint32_t header = rig->options.is_ipv6 ? 40 : 20;
	uint8_t *at = frame + ip;
	uint8_t *payload = at + header + segment->extension_bytes;
	uint32_t sum_at = protocol == 6 ? 16 : 2;
	uint32_t total = ip + header + segment->extension_bytes + bytes;
	struct tcp_address from = rig_address(rig, 1);
	struct tcp_address to = rig_address(rig, 5);

	if (rig->options.is_ipv6) {
		at[0] = 0x60;
		be_store16(at + 4,
			   (uint16_t)(segment->extension_bytes + bytes));
		at[6] = protocol;
		at[7] = 255;
		ip_address_write(&from, at + 8);
		ip_address_write(&to, at + 24);
	} else {
		at[0] = (uint8_t)(0x45 + segment->extension_bytes / 4);
		be_store16(at + 2, (uint16_t)(total - ip));
		at[8] = 64;
		at[9] = protocol;
		be_store32(at + 12, from.word[3]);
		be_store32(at + 16, to.word[3]);
	}
	memcpy(at + header, segment->extension, segment->extension_bytes);
	rig_apply(segment, frame, ip, (uint32_t)(payload - frame), false);
	if (rig->options.is_ipv6) {
		from = tcp_address_ipv6(at + 8);
		to = tcp_address_ipv6(at + 24);
	} else {
		from = tcp_address_ipv4(be_load32(at + 12));
		to = tcp_address_ipv4(be_load32(at + 16));
		be_store16(at + 10,
			   ip_fold(ip_sum(0, at,
					  header + segment->extension_bytes)));
	}
	be_store16(payload + sum_at,
		   protocol == 1
			   ? ip_fold(ip_sum(0, payload, bytes))
			   : ip_checksum(&from, &to, protocol, payload, bytes));
	rig_apply(segment, frame, ip, (uint32_t)(payload - frame), true);
	total = segment->cut != 0 ? segment->cut : total + segment->pad;
	rig_receive_raw(rig, frame, total, 0);
}

void
rig_receive(struct rig *rig, const struct rig_segment *segment)
{
	uint8_t frame[RIG_FRAME_MAX] = {0}, options[TCP_OPTIONS_MAX];
	uint32_t option_bytes = rig_write_options(options, segment);
	uint32_t ip = rig_write_ether(rig, segment, frame);
	uint32_t header = rig->options.is_ipv6 ? 40 : 20;
	uint8_t *tcp = frame + ip + header + segment->extension_bytes;

	FAL_ASSERT(segment->bytes <= 1700);
	be_store16(tcp, rig->peer_port);
	be_store16(tcp + 2, rig->local_port);
	be_store32(tcp + 4, RIG_PEER_ISN + segment->seq);
	be_store32(tcp + 8, (segment->flags & TCP_ACK) != 0
				    ? rig->isn + segment->ack
				    : 0);
	tcp[12] = (uint8_t)((20 + option_bytes) << 2);
	tcp[13] = (uint8_t)segment->flags;
	be_store16(tcp + 14, (uint16_t)segment->window);
	memcpy(tcp + 20, options, option_bytes);
	for (uint32_t i = 0; i < segment->bytes; i++)
		tcp[20 + option_bytes + i] = (uint8_t)(segment->seq + i);
	rig_give(rig, segment, frame, ip, 20 + option_bytes + segment->bytes,
		 6);
}

void
rig_receive_icmp(struct rig *rig, const struct rig_segment *segment,
		 uint8_t type, uint8_t code, uint32_t word)
{
	uint8_t frame[RIG_FRAME_MAX] = {0};
	uint32_t ip = rig_write_ether(rig, segment, frame);
	uint32_t header = rig->options.is_ipv6 ? 40 : 20;
	uint8_t *icmp = frame + ip + header + segment->extension_bytes;
	uint8_t *quote = icmp + 8, *tcp = quote + header;
	struct tcp_address from = rig_address(rig, 5);
	struct tcp_address to = rig_address(rig, 1);
	bool is_error = type == 3 || type == 1 || type == 2;
	uint32_t bytes = 8 + (is_error ? header + 8 : segment->bytes);

	icmp[0] = type;
	icmp[1] = code;
	be_store32(icmp + 4, word);
	if (is_error && rig->options.is_ipv6) {
		quote[0] = 0x60;
		quote[6] = 6;
		ip_address_write(&from, quote + 8);
		ip_address_write(&to, quote + 24);
	} else if (is_error) {
		quote[0] = 0x45;
		quote[9] = 6;
		be_store32(quote + 12, from.word[3]);
		be_store32(quote + 16, to.word[3]);
	}
	if (is_error) {
		be_store16(tcp, rig->local_port);
		be_store16(tcp + 2, rig->peer_port);
		be_store32(tcp + 4, rig->isn + segment->seq);
	}
	rig_give(rig, segment, frame, ip, bytes, rig->options.is_ipv6 ? 58 : 1);
}

static void
rig_answer_arp(struct rig *rig)
{
	uint8_t frame[46] = {0};
	struct rig_segment none = {0};
	uint8_t *at = frame + rig_write_ether(rig, &none, frame);

	be_store16(at - 2, 0x0806);
	be_store16(at, 1);
	be_store16(at + 2, 0x0800);
	be_store16(at + 4, 0x0604);
	be_store16(at + 6, 2);
	memcpy(at + 8, rig->peer_mac, 6);
	be_store32(at + 14, RIG_PEER);
	be_store32(at + 24, RIG_ADDRESS);
	rig_receive_raw(rig, frame, (uint32_t)(at + 28 - frame), 0);
	rig_pass(rig, 30);
}

static void
rig_answer_nd(struct rig *rig)
{
	uint8_t frame[RIG_FRAME_MAX] = {0};
	struct rig_segment none = {0};
	struct tcp_address target = rig_address(rig, 1);
	uint32_t ip = rig_write_ether(rig, &none, frame);
	uint8_t *icmp = frame + ip + 40;

	icmp[0] = 136;
	icmp[4] = 0x60;
	ip_address_write(&target, icmp + 8);
	icmp[24] = 2;
	icmp[25] = 1;
	memcpy(icmp + 26, rig->peer_mac, 6);
	rig_give(rig, &none, frame, ip, 32, 58);
	rig_pass(rig, 30);
}

/* Both checksums of what the instance sent. */
static void
rig_check_sums(const uint8_t *ip, bool is_ipv4, uint8_t protocol,
	       const uint8_t *payload, uint32_t bytes)
{
	struct tcp_address from, to;

	if (is_ipv4) {
		FAL_ASSERT(ip_fold(ip_sum(0, ip, 20)) == 0);
		from = tcp_address_ipv4(be_load32(ip + 12));
		to = tcp_address_ipv4(be_load32(ip + 16));
	} else {
		from = tcp_address_ipv6(ip + 8);
		to = tcp_address_ipv6(ip + 24);
	}
	if (protocol == 1)
		FAL_ASSERT(ip_fold(ip_sum(0, payload, bytes)) == 0);
	else
		FAL_ASSERT(ip_checksum(&from, &to, protocol, payload, bytes) ==
			   0);
}

/* Takes the TCP header apart. */
static void
rig_read_tcp(struct rig *rig, const uint8_t *tcp, uint32_t bytes,
	     struct rig_segment *segment)
{
	uint32_t header = (uint32_t)(tcp[12] >> 4) * 4;

	FAL_ASSERT(tcp_opt_parse(tcp + 20, header - 20, &segment->options));
	segment->flags = tcp[13];
	if ((segment->flags & TCP_SYN) != 0 && !rig->has_isn) {
		rig->isn = be_load32(tcp + 4);
		rig->has_isn = true;
		rig->local_port = be_load16(tcp);
		rig->peer_port = be_load16(tcp + 2);
	}
	segment->seq = be_load32(tcp + 4) - rig->isn;
	segment->ack = (segment->flags & TCP_ACK) != 0
			       ? be_load32(tcp + 8) - RIG_PEER_ISN
			       : 0;
	segment->window = be_load16(tcp + 14);
	segment->bytes = bytes - header;
	rig->ts_echo = segment->options.ts_value;
}

void
rig_station(struct rig *rig, uint8_t number)
{
	memset(rig->peer_mac, 0, sizeof(rig->peer_mac));
	rig->peer_mac[0] = 2;
	rig->peer_mac[5] = number;
}

/* For the peer's card, or for a group. */
static bool
rig_is_heard(const struct rig *rig, const uint8_t *frame)
{
	return (frame[0] & 1) != 0 ||
	       memcmp(frame, rig->peer_mac, PORT_MAC_BYTES) == 0;
}

bool
rig_next(struct rig *rig, struct rig_segment *segment)
{
	while (rig->sent_at < rig->sent_count) {
		struct rte_mbuf *mbuf = rig->sent[rig->sent_at++];
		const uint8_t *at = rte_pktmbuf_mtod(mbuf, const uint8_t *);
		uint32_t type = be_load16(at + 12), bytes;
		const uint8_t *payload;

		memset(segment, 0, sizeof(*segment));
		if (!rig_is_heard(rig, at)) {
			rte_pktmbuf_free(mbuf);
			continue;
		}
		if (type == 0x8100) {
			segment->vlan = be_load16(at + 14);
			type = be_load16(at + 16);
			at += 4;
		}
		at += 14;
		if (type == 0x0806) {
			bool is_request = at[7] == 1;

			rte_pktmbuf_free(mbuf);
			if (is_request)
				rig_answer_arp(rig);
			continue;
		}
		segment->protocol = type == 0x86dd ? at[6] : at[9];
		payload = at + (type == 0x86dd ? 40 : 20);
		bytes = type == 0x86dd ? be_load16(at + 4)
				       : be_load16(at + 2) - 20u;
		rig_check_sums(at, type != 0x86dd, segment->protocol, payload,
			       bytes);
		if (segment->protocol == 6) {
			rig_read_tcp(rig, payload, bytes, segment);
		} else {
			segment->icmp_type = payload[0];
			segment->bytes = bytes - 8;
		}
		rte_pktmbuf_free(mbuf);
		if (segment->protocol == 58 && segment->icmp_type == 135) {
			rig_answer_nd(rig);
			continue;
		}
		return true;
	}
	return false;
}

bool
rig_read(struct rig *rig, uint32_t bytes)
{
	struct tcp_slice slices[64];
	uint32_t count = tcp_peek(rig->conn, slices, 64), at = 0;

	for (uint32_t i = 0; i < count && at < bytes; i++) {
		for (uint32_t j = 0; j < slices[i].bytes && at < bytes; j++) {
			if (slices[i].data[j] !=
			    (uint8_t)(1 + rig->consumed + at))
				return false;
			at++;
		}
	}
	if (at < bytes)
		return false;
	rig->consumed += bytes;
	tcp_consume(rig->core, rig->conn, bytes);
	return true;
}

uint64_t
rig_counter(const struct rig *rig, const char *name)
{
	const struct tcp_counters *c = tcp_counters(rig->core);

#define RIG_COUNTER(field, what)       \
	if (strcmp(name, #field) == 0) \
		return c->field;
	TCP_COUNTERS(RIG_COUNTER)
#undef RIG_COUNTER
	fprintf(stderr, "no counter %s\n", name);
	exit(2);
}
