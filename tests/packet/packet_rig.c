/* SPDX-License-Identifier: Apache-2.0 */
/* packet_rig - see packet_rig.h. */

#include "packet_rig.h"

#include <stdlib.h>

static const uint8_t rig_mac[PORT_MAC_BYTES] = {2, 0, 0, 0, 0, 1};

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

static uint16_t
rig_port_tx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	    uint16_t count)
{
	struct rig *rig = (struct rig *)(void *)port;

	(void)now_ns;
	for (uint16_t i = 0; i < count; i++) {
		/* A copy: the instance may write its mbuf again. */
		FAL_ASSERT(rig->sent_count < RIG_FRAMES);
		rig->sent[rig->sent_count++] =
			rte_pktmbuf_copy(frames[i], rig->pool, 0, UINT32_MAX);
		rte_pktmbuf_free(frames[i]);
	}
	return count;
}

static const struct port_ops rig_port_ops = {
	.name = "rig",
	.rx = rig_port_rx,
	.tx = rig_port_tx,
};

void
rig_start(struct rig *rig, struct rte_mempool *pool)
{
	struct tcp_config config = {
		.port = &rig->port,
		.pool = pool,
		.address = RIG_ADDRESS,
		.prefix_bits = 24,
		.secret = "fifteen letters",
		.conn_limit = 8,
		.half_open_limit = 4,
	};

	memset(rig, 0, sizeof(*rig));
	rig->port.ops = &rig_port_ops;
	rig->port.mtu = 1500;
	rig->port.mac[0] = 2;
	rig->port.mac[5] = 5;
	rig->pool = pool;
	rig->now_ns = 1000 * NS_PER_SECOND;
	rig->peer_port = RIG_PEER_PORT;
	rig->local_port = RIG_LISTEN_PORT;
	FAL_ASSERT(tcp_core_create(&config, rig->now_ns, &rig->core) == 0);
	FAL_ASSERT(tcp_listen(rig->core, RIG_LISTEN_PORT, 7) == 0);
}

void
rig_stop(struct rig *rig)
{
	tcp_core_destroy(rig->core);
	for (; rig->sent_at < rig->sent_count; rig->sent_at++)
		rte_pktmbuf_free(rig->sent[rig->sent_at]);
}

void
rig_settle(struct rig *rig)
{
	struct tcp_conn *conn;
	uint32_t news;

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
	uint32_t bytes = 0;

	if ((segment->flags & TCP_SYN) == 0)
		return tcp_opt_write(at, options->has_timestamps,
				     options->ts_value, options->ts_echo,
				     options->sacks, options->sack_count);
	if (options->mss != 0)
		bytes = tcp_opt_write_syn(
			at, options->mss, options->has_window_shift,
			options->sack_permitted, options->has_timestamps,
			options->ts_value, options->ts_echo);
	return bytes;
}

void
rig_receive(struct rig *rig, const struct rig_segment *segment)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(rig->pool);
	uint8_t options[TCP_OPTIONS_MAX], pseudo[12];
	uint32_t option_bytes = rig_write_options(options, segment);
	uint32_t tcp_bytes = 20 + option_bytes + segment->bytes;
	uint8_t *at =
		(uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)(34 + tcp_bytes));
	uint8_t *ip = at + 14, *tcp = at + 34;

	memset(at, 0, 34 + tcp_bytes);
	memcpy(at, rig->port.mac, 6);
	memcpy(at + 6, rig_mac, 6);
	be_store16(at + 12, 0x0800);
	ip[0] = 0x45;
	be_store16(ip + 2, (uint16_t)(20 + tcp_bytes));
	ip[8] = 64;
	ip[9] = 6;
	be_store32(ip + 12, RIG_PEER);
	be_store32(ip + 16, RIG_ADDRESS);
	be_store16(ip + 10, ip_fold(ip_sum(0, ip, 20)));
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
	memcpy(pseudo, ip + 12, 8);
	be_store16(pseudo + 8, 6);
	be_store16(pseudo + 10, (uint16_t)tcp_bytes);
	be_store16(tcp + 16,
		   ip_fold(ip_sum(ip_sum(0, pseudo, 12), tcp, tcp_bytes)));
	tcp_input(rig->core, mbuf, rig->now_ns);
	rig_settle(rig);
}

static void
rig_answer_arp(struct rig *rig)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(rig->pool);
	uint8_t *at = (uint8_t *)rte_pktmbuf_append(mbuf, 42);

	memset(at, 0, 42);
	memcpy(at, rig->port.mac, 6);
	memcpy(at + 6, rig_mac, 6);
	be_store16(at + 12, 0x0806);
	be_store16(at + 14, 1);
	be_store16(at + 16, 0x0800);
	be_store16(at + 18, 0x0604);
	be_store16(at + 20, 2);
	memcpy(at + 22, rig_mac, 6);
	be_store32(at + 28, RIG_PEER);
	be_store32(at + 38, RIG_ADDRESS);
	tcp_input(rig->core, mbuf, rig->now_ns);
	rig_pass(rig, 30);
}

bool
rig_next(struct rig *rig, struct rig_segment *segment)
{
	while (rig->sent_at < rig->sent_count) {
		struct rte_mbuf *mbuf = rig->sent[rig->sent_at++];
		const uint8_t *at = rte_pktmbuf_mtod(mbuf, const uint8_t *);
		const uint8_t *tcp = at + 34;
		uint32_t header;

		if (be_load16(at + 12) == 0x0806) {
			rte_pktmbuf_free(mbuf);
			rig_answer_arp(rig);
			continue;
		}
		header = (uint32_t)(tcp[12] >> 4) * 4;
		memset(segment, 0, sizeof(*segment));
		FAL_ASSERT(tcp_opt_parse(tcp + 20, header - 20,
					 &segment->options));
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
		segment->bytes = be_load16(at + 16) - 20u - header;
		rte_pktmbuf_free(mbuf);
		return true;
	}
	return false;
}
