/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire - round trips between two processes over a device of DPDK, one under
 * way, neither side ever sleeps: what is left of a server's answer when the
 * server is taken away.
 *
 *   wire serve DEVICE frame|tcp CPU           answers until it is killed
 *   wire ask DEVICE frame|tcp CPU SECONDS     prints latencies as perf/floor
 *
 *   frame  an Ethernet frame of 64 bytes and back: the device and our driver
 *   tcp    64 bytes and back on a connection of our TCP (dataplane/tcp.h)
 *
 * Neither needs root or huge pages. perf/bypass.py runs them over vhost-user
 * beside a server.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"
#include "base/time.h"
#include "dataplane/tcp.h"
#include "drivers/clock.h"
#include "drivers/port_dpdk.h"

#define WIRE_BYTES       64u
#define WIRE_PORT        7u
#define WIRE_SERVER      0x0a630002u /* 10.99.0.2 */
#define WIRE_CLIENT      0x0a630001u
#define WIRE_TYPE        0x88b5u /* IEEE 802: local experiments */
#define WIRE_PATIENCE_NS (20 * NS_PER_SECOND)
#define WIRE_RESEND_NS   (100 * NS_PER_MS)
#define WIRE_WARM_UP     1000u

struct wire {
	struct port_dpdk *device;
	struct port *port;
	struct rte_mempool *pool;
};

_Noreturn static void
wire_die(const char *what)
{
	fprintf(stderr, "wire: %s\n", what);
	exit(1);
}

static void
wire_pin(uint32_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		wire_die("no such processor");
}

static struct wire
wire_open(const char *name)
{
	const struct port_env_options env = {.memory_mb = 80};
	const struct port_dpdk_options options = {
		.device = name,
		.core_count = 1,
		.mtu = 1500,
		.mbufs = 8191,
		.mbuf_private_bytes = TCP_POOL_PRIVATE_BYTES,
	};
	struct port_error error;
	struct wire wire;

	if (port_env_start(&env, &error) != 0 || port_env_attach() != 0 ||
	    port_dpdk_start(&options, &wire.device, &error) != 0)
		wire_die(error.text);
	wire.port = port_dpdk_port(wire.device, 0);
	wire.pool = port_dpdk_pool(wire.device, 0);
	return wire;
}

/* Looks at the link every 100 ms, as the server does. */
static void
wire_watch(const struct wire *wire, uint64_t now_ns)
{
	static uint64_t next_ns;

	if (now_ns < next_ns)
		return;
	next_ns = now_ns + 100 * NS_PER_MS;
	port_dpdk_watch(wire->device);
}

/* ---- frames ---------------------------------------------------------------
 */

static bool
frame_is_ours(const struct rte_mbuf *frame)
{
	return frame->data_len >= 18 &&
	       be_load16(rte_pktmbuf_mtod(frame, uint8_t *) + 12) == WIRE_TYPE;
}

static void
frame_serve(const struct wire *wire)
{
	struct rte_mbuf *frames[PORT_BURST_MAX];

	for (;;) {
		uint64_t now_ns = clock_now_ns();
		uint16_t count =
			port_rx(wire->port, now_ns, frames, PORT_BURST_MAX);

		wire_watch(wire, now_ns);
		for (uint16_t i = 0; i < count; i++) {
			uint8_t *at = rte_pktmbuf_mtod(frames[i], uint8_t *);

			memcpy(at, at + 6, 6);
			memcpy(at + 6, wire->port->mac, 6);
			if (!frame_is_ours(frames[i]) ||
			    port_tx(wire->port, now_ns, &frames[i], 1) != 1)
				rte_pktmbuf_free(frames[i]);
		}
	}
}

static void
frame_send(const struct wire *wire, uint64_t now_ns, uint32_t number)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(wire->pool);
	uint8_t *at;

	if (frame == NULL)
		wire_die("no mbuf");
	at = (uint8_t *)rte_pktmbuf_append(frame, WIRE_BYTES);
	if (at == NULL)
		wire_die("no room in an mbuf");
	memset(at, 0xff, 6); /* the server's is not known */
	memcpy(at + 6, wire->port->mac, 6);
	be_store16(at + 12, WIRE_TYPE);
	be_store32(at + 14, number);
	if (port_tx(wire->port, now_ns, &frame, 1) != 1)
		rte_pktmbuf_free(frame);
}

/* Takes what has come; whether frame `number` is among it. */
static bool
frame_receive(const struct wire *wire, uint64_t now_ns, uint32_t number)
{
	struct rte_mbuf *frames[PORT_BURST_MAX];
	uint16_t count = port_rx(wire->port, now_ns, frames, PORT_BURST_MAX);
	bool is_there = false;

	for (uint16_t i = 0; i < count; i++) {
		const uint8_t *at = rte_pktmbuf_mtod(frames[i], uint8_t *);

		is_there |= frame_is_ours(frames[i]) &&
			    be_load32(at + 14) == number;
		rte_pktmbuf_free(frames[i]);
	}
	return is_there;
}

static void
frame_ask_once(const struct wire *wire, uint32_t number)
{
	uint64_t now_ns = clock_now_ns();
	const uint64_t end_ns = now_ns + WIRE_PATIENCE_NS;
	uint64_t again_ns = 0;

	while (!frame_receive(wire, now_ns, number)) {
		/* Frames before the other side is there are lost. */
		if (now_ns >= again_ns) {
			frame_send(wire, now_ns, number);
			again_ns = now_ns + WIRE_RESEND_NS;
		}
		wire_watch(wire, now_ns);
		now_ns = clock_now_ns();
		if (now_ns > end_ns)
			wire_die("nobody answers");
	}
}

/* ---- TCP --------------------------------------------------------------------
 */

static struct tcp_core *
echo_core(const struct wire *wire, uint32_t address)
{
	const struct tcp_config config = {
		.port = wire->port,
		.pool = wire->pool,
		.address = address,
		.prefix_bits = 24,
		.secret = "perf/wire",
		.conn_limit = 64,
	};
	struct tcp_core *core;

	if (tcp_core_create(&config, clock_now_ns(), &core) != 0)
		wire_die("no TCP");
	return core;
}

/* Sends back what a connection has. */
static void
echo_answer(struct tcp_core *core, struct tcp_conn *conn, uint32_t news)
{
	struct tcp_slice slice;

	if ((news & TCP_NEWS_FAILED) != 0) {
		tcp_release(core, conn);
		return;
	}
	if ((news & TCP_NEWS_FIN) != 0) {
		tcp_close(core, conn, 1000);
		return;
	}
	while (tcp_peek(conn, &slice, 1) == 1) {
		if (tcp_write(core, conn, slice.data, slice.bytes) !=
		    slice.bytes)
			wire_die("no room for an answer");
		tcp_consume(core, conn, slice.bytes);
	}
}

static void
echo_serve(const struct wire *wire)
{
	struct tcp_core *core = echo_core(wire, WIRE_SERVER);

	if (tcp_listen(core, WIRE_PORT, 0) != 0)
		wire_die("no listener");
	for (;;) {
		uint64_t now_ns = clock_now_ns();
		struct tcp_conn *conn;
		uint32_t news;

		wire_watch(wire, now_ns);
		tcp_poll(core, now_ns);
		while ((conn = tcp_next_news(core, &news)) != NULL)
			echo_answer(core, conn, news);
		tcp_flush(core);
	}
}

static struct tcp_core *echo_client;
static struct tcp_conn *echo_conn;

/* One turn of the client. Returns what happened. */
static uint32_t
echo_turn(const struct wire *wire)
{
	uint64_t now_ns = clock_now_ns();
	uint32_t news, all = 0;

	wire_watch(wire, now_ns);
	tcp_poll(echo_client, now_ns);
	while (tcp_next_news(echo_client, &news) != NULL)
		all |= news;
	tcp_flush(echo_client);
	return all;
}

static void
echo_open(const struct wire *wire)
{
	const struct tcp_address server = tcp_address_ipv4(WIRE_SERVER);
	const uint64_t end_ns = clock_now_ns() + WIRE_PATIENCE_NS;
	uint32_t news = TCP_NEWS_FAILED;

	echo_client = echo_core(wire, WIRE_CLIENT);
	while ((news & TCP_NEWS_OPENED) == 0) {
		if (clock_now_ns() > end_ns)
			wire_die("nobody answers");
		if ((news & TCP_NEWS_FAILED) != 0 &&
		    tcp_connect(echo_client, &server, WIRE_PORT, 0,
				&echo_conn) != 0)
			wire_die("no connection");
		news = echo_turn(wire);
		if ((news & TCP_NEWS_FAILED) != 0)
			tcp_release(echo_client, echo_conn);
	}
}

static void
echo_ask_once(const struct wire *wire, uint32_t number)
{
	uint8_t bytes[WIRE_BYTES] = {0};
	struct tcp_slice slice;
	uint32_t got = 0;

	be_store32(bytes, number);
	if (tcp_write(echo_client, echo_conn, bytes, WIRE_BYTES) != WIRE_BYTES)
		wire_die("no room for a question");
	tcp_flush(echo_client);
	while (got < WIRE_BYTES) {
		if ((echo_turn(wire) & (TCP_NEWS_FAILED | TCP_NEWS_FIN)) != 0)
			wire_die("the other side went away");
		while (tcp_peek(echo_conn, &slice, 1) == 1) {
			got += slice.bytes;
			tcp_consume(echo_client, echo_conn, slice.bytes);
		}
	}
}

/* ---- both -------------------------------------------------------------------
 */

static void
wire_print(const char *name, const struct hist *hist)
{
	printf("{\"%s\": {\"count\": %llu, \"p50\": %.3f, \"p99\": %.3f, "
	       "\"p99.9\": %.3f}}\n",
	       name, (unsigned long long)summary_count(&hist->summary),
	       (double)hist_quantile(hist, 0.5) / 1e3,
	       (double)hist_quantile(hist, 0.99) / 1e3,
	       (double)hist_quantile(hist, 0.999) / 1e3);
}

static void
wire_ask(const struct wire *wire, const char *what, double seconds)
{
	static struct hist hist;
	const bool is_tcp = strcmp(what, "tcp") == 0;
	uint64_t now_ns, end_ns = 0;
	uint32_t number = 0;

	if (is_tcp)
		echo_open(wire);
	do {
		const uint64_t sent_ns = clock_now_ns();

		if (is_tcp)
			echo_ask_once(wire, ++number);
		else
			frame_ask_once(wire, ++number);
		now_ns = clock_now_ns();
		if (number > WIRE_WARM_UP)
			hist_record(&hist, now_ns - sent_ns);
		else
			end_ns = now_ns + (uint64_t)(seconds * 1e9);
	} while (now_ns < end_ns);
	wire_print(what, &hist);
}

int
main(int argc, char **argv)
{
	const bool asks = argc == 6 && strcmp(argv[1], "ask") == 0;
	struct wire wire;
	bool is_frame;

	if (!asks && !(argc == 5 && strcmp(argv[1], "serve") == 0))
		wire_die("wire serve DEVICE frame|tcp CPU, or ask ... SECONDS");
	is_frame = strcmp(argv[3], "frame") == 0;
	if (!is_frame && strcmp(argv[3], "tcp") != 0)
		wire_die("frame or tcp");
	clock_init();
	wire = wire_open(argv[2]);
	wire_pin((uint32_t)strtoul(argv[4], NULL, 10));
	if (asks)
		wire_ask(&wire, argv[3], strtod(argv[5], NULL));
	else if (is_frame)
		frame_serve(&wire);
	else
		echo_serve(&wire);
	return 0;
}
