/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work of one request and its reply, for an instruction counter: a segment
 * of 60 bytes comes in, its bytes are read, 60 bytes are written and leave in
 * a segment that acknowledges them and is acknowledged by the next. 1,000
 * connections take turns. Between the marks of the counter is one_turn() only:
 * frames, with good checksums that are verified in software, are made before;
 * mbufs are allocated and freed inside.
 *
 *   tcp_segment [ipv6] [burst] [offload]
 *
 * under callgrind; perf/tcp/count does it. With `offload` the port verifies and
 * makes the checksums of TCP.
 *
 * A turn is an iteration of a core's loop. It finds one frame, or with `burst`
 * as many as a busy core does.
 */

#include "dataplane/tcp_int.h"
#include "tests/packet/packet_eal.h"

#define SEGMENT_CONNS 1000u
#define SEGMENT_TURNS 20u
#define SEGMENT_BYTES 60u
#define SEGMENT_BURST 25u

static bool is_ipv6, is_open, has_offload;
static uint32_t isn[SEGMENT_CONNS];

static uint16_t
segment_rx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	   uint16_t count)
{
	(void)port;
	(void)now_ns;
	(void)frames;
	(void)count;
	return 0;
}

/* Notes the number of a SYN-ACK, by the port it goes to. */
static uint16_t
segment_tx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	   uint16_t count)
{
	(void)port;
	(void)now_ns;
	for (uint16_t i = 0; i < count && is_open; i++)
		rte_pktmbuf_free(frames[i]);
	for (uint16_t i = 0; i < count && !is_open; i++) {
		const uint8_t *tcp = rte_pktmbuf_mtod(frames[i], uint8_t *) +
				     14 + (is_ipv6 ? 40 : 20);

		if ((tcp[13] & TCP_SYN) != 0)
			isn[be_load16(tcp + 2) - 1024u] = be_load32(tcp + 4);
		rte_pktmbuf_free(frames[i]);
	}
	return count;
}

static const struct port_ops segment_ops = {
	.name = "segment",
	.rx = segment_rx,
	.tx = segment_tx,
};

/* A segment of connection `index`; with SYN it offers everything. */
static struct rte_mbuf *
segment_make(struct rte_mempool *pool, const struct port *port, uint32_t index,
	     uint32_t flags, uint32_t seq, uint32_t ack, uint32_t bytes)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
	uint32_t below = 14 + (is_ipv6 ? 40 : 20);
	uint32_t options = (flags & TCP_SYN) != 0 ? 24 : 12;
	uint32_t tcp_bytes = 20 + options + bytes;
	uint8_t *at = (uint8_t *)rte_pktmbuf_append(
		mbuf, (uint16_t)(below + tcp_bytes));
	uint8_t *ip = at + 14, *tcp = at + below;
	struct tcp_address from = tcp_address_ipv4(0x0a000001);
	struct tcp_address to = tcp_address_ipv4(0x0a000005);

	memset(at, 0, below + tcp_bytes);
	memcpy(at, port->mac, 6);
	at[6] = 2;
	be_store16(at + 12, is_ipv6 ? 0x86dd : 0x0800);
	if (is_ipv6) {
		from = (struct tcp_address){{0xfd000000u, 0, 0, 1}};
		to = (struct tcp_address){{0xfd000000u, 0, 0, 5}};
		ip[0] = 0x60;
		be_store16(ip + 4, (uint16_t)tcp_bytes);
		ip[6] = 6;
		ip[7] = 64;
		ip_address_write(&from, ip + 8);
		ip_address_write(&to, ip + 24);
	} else {
		ip[0] = 0x45;
		be_store16(ip + 2, (uint16_t)(20 + tcp_bytes));
		ip[8] = 64;
		ip[9] = 6;
		be_store32(ip + 12, from.word[3]);
		be_store32(ip + 16, to.word[3]);
		be_store16(ip + 10, ip_fold(ip_sum(0, ip, 20)));
	}
	be_store16(tcp, (uint16_t)(1024 + index));
	be_store16(tcp + 2, 2181);
	be_store32(tcp + 4, seq);
	be_store32(tcp + 8, ack);
	tcp[12] = (uint8_t)((20 + options) << 2);
	tcp[13] = (uint8_t)flags;
	be_store16(tcp + 14, 64000);
	if ((flags & TCP_SYN) != 0)
		tcp_opt_write_syn(tcp + 20, 1440, true, true, true, 100, 0);
	else
		tcp_opt_write(tcp + 20, true, 101, 0, NULL, 0);
	be_store16(tcp + 16, ip_checksum(&from, &to, 6, tcp, tcp_bytes));
	return mbuf;
}

/* Sends back what a connection has, by the inline parts of the user's calls, as
 * the streams do. */
static inline void
echo(struct tcp_core *core, struct tcp_conn *conn)
{
	struct tcp_slice slice;
	struct rte_mbuf *out;
	void *to;
	uint32_t got;

	FAL_ASSERT(tcp_peek(conn, &slice, 1) == 1);
	out = tcp_reserve_usual(core, conn, SEGMENT_BYTES);
	to = out != NULL ? (uint8_t *)out->buf_addr + RTE_PKTMBUF_HEADROOM
			 : tcp_reserve(core, conn, SEGMENT_BYTES, &got);
	FAL_ASSERT(to != NULL);
	memcpy(to, slice.data, SEGMENT_BYTES);
	if (core->spare_for == conn)
		tcp_commit_segment(core, conn, SEGMENT_BYTES);
	else
		tcp_commit(core, conn, SEGMENT_BYTES);
	if (!tcp_consume_usual(core, conn, slice.bytes))
		tcp_consume(core, conn, slice.bytes);
}

/* What is counted: one iteration of a loop that found `count` frames. Not
 * inlined: the counter knows it by its name. */
static __attribute__((noinline)) void
one_turn(struct tcp_core *core, struct rte_mbuf **frames, uint32_t count,
	 uint64_t now_ns)
{
	struct tcp_conn *conn;
	uint32_t news;

	tcp_now(core, now_ns);
	tcp_input_burst(core, frames, count);
	while ((conn = tcp_next_news(core, &news)) != NULL)
		echo(core, conn);
	tcp_flush(core);
}

static void
segment_open(struct tcp_core *core, struct rte_mempool *pool,
	     const struct port *port, uint64_t now_ns)
{
	uint32_t news;

	for (uint32_t i = 0; i < SEGMENT_CONNS; i++) {
		tcp_input(core, segment_make(pool, port, i, TCP_SYN, 0, 0, 0),
			  now_ns);
		tcp_flush(core);
		tcp_input(
			core,
			segment_make(pool, port, i, TCP_ACK, 1, isn[i] + 1, 0),
			now_ns);
		FAL_ASSERT(tcp_next_news(core, &news) != NULL);
		tcp_flush(core);
	}
}

int
main(int argc, char **argv)
{
	static struct port port = {.ops = &segment_ops, .mtu = 1500};
	static struct rte_mbuf *frames[SEGMENT_CONNS];
	struct rte_mempool *pool = packet_eal_pool(8191);
	struct tcp_config config = {
		.port = &port,
		.pool = pool,
		.address = 0x0a000005,
		.prefix_bits = 24,
		.address6 = {{0xfd000000u, 0, 0, 5}},
		.conn_limit = 2 * SEGMENT_CONNS,
	};
	uint64_t now_ns = 1000 * NS_PER_SECOND;
	uint32_t burst = 1;
	struct tcp_core *core;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "ipv6") == 0)
			is_ipv6 = true;
		else if (strcmp(argv[i], "burst") == 0)
			burst = SEGMENT_BURST;
		else if (strcmp(argv[i], "offload") == 0)
			has_offload = true;
	}
	port.mac[0] = 2;
	FAL_ASSERT(tcp_core_create(&config, now_ns, &core) == 0);
	FAL_ASSERT(tcp_listen(core, 2181, 0) == 0);
	segment_open(core, pool, &port, now_ns);
	tcp_poll(core, now_ns);
	is_open = true;
	if (has_offload)
		port.tx_offloads = PORT_TX_TCP_CHECKSUM;
	for (uint32_t turn = 0; turn < SEGMENT_TURNS; turn++) {
		uint32_t done = turn * SEGMENT_BYTES;

		for (uint32_t i = 0; i < SEGMENT_CONNS; i++)
			frames[i] = segment_make(
				pool, &port, i, TCP_ACK | TCP_PSH, 1 + done,
				isn[i] + 1 + done, SEGMENT_BYTES);
		for (uint32_t i = 0; i < SEGMENT_CONNS && has_offload; i++)
			frames[i]->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		for (uint32_t i = 0; i < SEGMENT_CONNS; i += burst) {
			now_ns += 1000;
			one_turn(core, frames + i, burst, now_ns);
		}
	}
	FAL_ASSERT(tcp_counters(core)->retransmits == 0);
	printf("%u segments\n", SEGMENT_TURNS * SEGMENT_CONNS);
	tcp_core_destroy(core);
	return 0;
}
