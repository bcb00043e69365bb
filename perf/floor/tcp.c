/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp - the least that a TCP can do: the floor of an answer over a device of
 * DPDK. Two processes, one connection that is open from the start, 64 bytes
 * there and back, one round trip under way; neither side ever sleeps.
 *
 *   tcpfloor serve DEVICE CPU           answers until it is killed
 *   tcpfloor ask DEVICE CPU SECONDS     prints latencies as perf/floor
 *
 * What every TCP has to do with a segment is there: checksums of IP and TCP are
 * verified and made in software, the connection is looked up by both addresses
 * and ports, sequence numbers are compared, what is not acknowledged stays
 * queued and is sent again when a timer says so. What makes one robust is not:
 * options, windows, congestion control, states, errors. Nothing of Falconer's
 * own TCP or driver is used.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "base/fal.h"
#include "base/hist.h"
#include "drivers/clock.h"

#define BYTES       64u
#define BURST       32u
#define MBUFS       4095u
#define CACHE       128u
#define DESCRIPTORS 256u
#define CONNS       64u /* places of the look-up; a power of two */
#define WARM_UP     1000u
#define SERVER_IP   RTE_IPV4(10, 99, 0, 2)
#define CLIENT_IP   RTE_IPV4(10, 99, 0, 1)
#define SERVER_PORT 7u
#define CLIENT_PORT 4096u
#define AGAIN_NS    100000000ull /* until a segment is sent again */
#define PATIENCE_NS 20000000000ull

struct segment {
	struct rte_ether_hdr ether;
	struct rte_ipv4_hdr ip;
	struct rte_tcp_hdr tcp;
	uint8_t data[BYTES];
} __attribute__((packed, aligned(2)));

struct conn {
	uint32_t local_ip, remote_ip;
	uint16_t local_port, remote_port;
	uint32_t snd_una, snd_nxt, rcv_nxt;
	struct rte_mbuf *unacked; /* sent, may be needed again */
	uint64_t again_ns;        /* when; 0: nothing is under way */
};

static struct rte_mempool *pool;
static struct rte_ether_addr mac;
static uint16_t device;
static struct conn conns[CONNS];
static struct rte_mbuf *out[BURST];
static uint16_t out_count;

_Noreturn static void
die(const char *what)
{
	fprintf(stderr, "tcpfloor: %s\n", what);
	exit(1);
}

/* ---- device ---- */

static void
device_open(const char *name)
{
	char vdev[256], prefix[64];
	char *argv[] = {(char[]){"tcpfloor"},
			(char[]){"--no-huge"},
			(char[]){"-m"},
			(char[]){"80"},
			(char[]){"--no-pci"},
			(char[]){"--iova-mode=va"},
			(char[]){"--log-level=1"},
			(char[]){"--lcores=0@(0-1)"},
			prefix,
			vdev};
	struct rte_eth_conf conf = {0};
	uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;

	snprintf(vdev, sizeof(vdev), "--vdev=%s", name);
	snprintf(prefix, sizeof(prefix), "--file-prefix=tcpfloor.%d", getpid());
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])), argv) < 0)
		die("no EAL");
	pool = rte_pktmbuf_pool_create("tcpfloor", MBUFS, CACHE, 0,
				       RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	device = rte_eth_find_next(0);
	if (pool == NULL || device == RTE_MAX_ETHPORTS ||
	    rte_eth_dev_configure(device, 1, 1, &conf) != 0 ||
	    rte_eth_dev_adjust_nb_rx_tx_desc(device, &rx, &tx) != 0 ||
	    rte_eth_rx_queue_setup(device, 0, rx, 0, NULL, pool) != 0 ||
	    rte_eth_tx_queue_setup(device, 0, tx, 0, NULL) != 0 ||
	    rte_eth_dev_start(device) != 0 ||
	    rte_eth_macaddr_get(device, &mac) != 0)
		die("no device");
}

static void
pin(uint32_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		die("no such processor");
}

/* The device looks at a connection of its own in this call alone. */
static void
watch_link(uint64_t now_ns)
{
	static uint64_t next_ns;
	struct rte_eth_link link;

	if (now_ns < next_ns)
		return;
	next_ns = now_ns + AGAIN_NS;
	(void)rte_eth_link_get_nowait(device, &link);
}

/* ---- connections ---- */

/* Where the search for a connection begins. */
static uint32_t
place_of(uint32_t remote_ip, uint16_t remote_port, uint16_t local_port)
{
	const uint64_t key = remote_ip | (uint64_t)remote_port << 32 |
			     (uint64_t)local_port << 48;

	return (uint32_t)((key * 0x9e3779b97f4a7c15ull) >> 32) & (CONNS - 1);
}

static struct conn *
conn_open(bool is_server)
{
	const struct conn made = {
		.local_ip = is_server ? SERVER_IP : CLIENT_IP,
		.remote_ip = is_server ? CLIENT_IP : SERVER_IP,
		.local_port = is_server ? SERVER_PORT : CLIENT_PORT,
		.remote_port = is_server ? CLIENT_PORT : SERVER_PORT,
	};
	struct conn *conn = &conns[place_of(made.remote_ip, made.remote_port,
					    made.local_port)];

	*conn = made;
	return conn;
}

static struct conn *
conn_find(const struct segment *in)
{
	const uint32_t remote_ip = rte_be_to_cpu_32(in->ip.src_addr);
	const uint32_t local_ip = rte_be_to_cpu_32(in->ip.dst_addr);
	const uint16_t remote_port = rte_be_to_cpu_16(in->tcp.src_port);
	const uint16_t local_port = rte_be_to_cpu_16(in->tcp.dst_port);
	uint32_t at = place_of(remote_ip, remote_port, local_port);

	for (uint32_t i = 0; i < CONNS; i++, at = (at + 1) & (CONNS - 1)) {
		struct conn *conn = &conns[at];

		if (conn->remote_ip == remote_ip &&
		    conn->local_ip == local_ip &&
		    conn->remote_port == remote_port &&
		    conn->local_port == local_port)
			return conn;
		if (conn->remote_ip == 0)
			return NULL;
	}
	return NULL;
}

/* ---- segments ---- */

static void
flush(void)
{
	uint16_t sent = 0;

	if (out_count > 0)
		sent = rte_eth_tx_burst(device, 0, out, out_count);
	/* What a device that is not up takes not is sent again in time. */
	for (; sent < out_count; sent++)
		rte_pktmbuf_free(out[sent]);
	out_count = 0;
}

/* Writes the headers of what is queued and hands it over. */
static void
transmit(struct conn *conn, uint64_t now_ns)
{
	struct rte_mbuf *mbuf = conn->unacked;
	struct segment *at = rte_pktmbuf_mtod(mbuf, struct segment *);

	memset(&at->ether.dst_addr, 0xff, sizeof(at->ether.dst_addr));
	at->ether.src_addr = mac;
	at->ether.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	at->ip = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		.total_length = rte_cpu_to_be_16(sizeof(*at) -
						 sizeof(struct rte_ether_hdr)),
		.fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_TCP,
		.src_addr = rte_cpu_to_be_32(conn->local_ip),
		.dst_addr = rte_cpu_to_be_32(conn->remote_ip),
	};
	at->ip.hdr_checksum = rte_ipv4_cksum(&at->ip);
	at->tcp = (struct rte_tcp_hdr){
		.src_port = rte_cpu_to_be_16(conn->local_port),
		.dst_port = rte_cpu_to_be_16(conn->remote_port),
		.sent_seq = rte_cpu_to_be_32(conn->snd_una),
		.recv_ack = rte_cpu_to_be_32(conn->rcv_nxt),
		.data_off = sizeof(struct rte_tcp_hdr) / 4 << 4,
		.tcp_flags = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG,
		.rx_win = rte_cpu_to_be_16(65535),
	};
	at->tcp.cksum = rte_ipv4_udptcp_cksum(&at->ip, &at->tcp);
	conn->again_ns = now_ns + AGAIN_NS;
	rte_mbuf_refcnt_update(mbuf, 1);
	if (out_count == BURST)
		flush();
	out[out_count++] = mbuf;
}

/* Sends BYTES, the first four of them `number`, on a connection that has
 * nothing under way. */
static void
conn_send(struct conn *conn, uint32_t number, uint64_t now_ns)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
	struct segment *at;

	if (mbuf == NULL)
		die("no mbuf");
	at = (struct segment *)rte_pktmbuf_append(mbuf, sizeof(*at));
	if (at == NULL)
		die("no room in an mbuf");
	memset(at->data, 0, sizeof(at->data));
	memcpy(at->data, &number, sizeof(number));
	conn->unacked = mbuf;
	conn->snd_nxt = conn->snd_una + BYTES;
	transmit(conn, now_ns);
}

/* Takes a frame. Returns the connection that has got new bytes by it, or
 * NULL. */
static struct conn *
take(const struct rte_mbuf *mbuf, uint32_t *number)
{
	const struct segment *in =
		rte_pktmbuf_mtod(mbuf, const struct segment *);
	struct conn *conn;
	uint32_t ack;

	if (mbuf->data_len < sizeof(*in) ||
	    in->ether.ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
	    in->ip.version_ihl != RTE_IPV4_VHL_DEF ||
	    in->ip.next_proto_id != IPPROTO_TCP ||
	    in->ip.total_length !=
		    rte_cpu_to_be_16(sizeof(*in) - sizeof(in->ether)) ||
	    rte_raw_cksum(&in->ip, sizeof(in->ip)) != 0xffff ||
	    rte_ipv4_udptcp_cksum(&in->ip, &in->tcp) != 0)
		return NULL;
	conn = conn_find(in);
	if (conn == NULL || (in->tcp.tcp_flags & RTE_TCP_ACK_FLAG) == 0)
		return NULL;
	ack = rte_be_to_cpu_32(in->tcp.recv_ack);
	if (conn->unacked != NULL && ack == conn->snd_nxt) {
		rte_pktmbuf_free(conn->unacked);
		conn->unacked = NULL;
		conn->snd_una = ack;
		conn->again_ns = 0;
	}
	if (rte_be_to_cpu_32(in->tcp.sent_seq) != conn->rcv_nxt) {
		/* Seen before: the answer was lost, or is under way. */
		if (conn->unacked != NULL)
			conn->again_ns = 1;
		return NULL;
	}
	conn->rcv_nxt += BYTES;
	memcpy(number, in->data, sizeof(*number));
	return conn;
}

/* Who has waited too long for an ack sends again. */
static void
timers(struct conn *conn, uint64_t now_ns)
{
	/* The device may still hold what it was given. */
	if (conn->again_ns != 0 && now_ns >= conn->again_ns &&
	    rte_mbuf_refcnt_read(conn->unacked) == 1)
		transmit(conn, now_ns);
}

/* ---- both sides ---- */

static void
serve(void)
{
	struct conn *const own = conn_open(true);
	struct rte_mbuf *frames[BURST];

	for (;;) {
		const uint64_t now_ns = clock_now_ns();
		const uint16_t count =
			rte_eth_rx_burst(device, 0, frames, BURST);

		for (uint16_t i = 0; i < count; i++) {
			uint32_t number;
			struct conn *conn = take(frames[i], &number);

			rte_pktmbuf_free(frames[i]);
			if (conn != NULL && conn->unacked == NULL)
				conn_send(conn, number, now_ns);
		}
		timers(own, now_ns);
		watch_link(now_ns);
		flush();
	}
}

static void
ask_once(struct conn *own, uint32_t number)
{
	struct rte_mbuf *frames[BURST];
	uint64_t now_ns = clock_now_ns();
	const uint64_t end_ns = now_ns + PATIENCE_NS;
	bool is_there = false;

	conn_send(own, number, now_ns);
	flush();
	while (!is_there) {
		const uint16_t count =
			rte_eth_rx_burst(device, 0, frames, BURST);

		for (uint16_t i = 0; i < count; i++) {
			uint32_t got;
			const struct conn *conn = take(frames[i], &got);

			is_there |= conn != NULL && got == number;
			rte_pktmbuf_free(frames[i]);
		}
		now_ns = clock_now_ns();
		timers(own, now_ns);
		watch_link(now_ns);
		flush();
		if (now_ns > end_ns)
			die("nobody answers");
	}
}

static void
ask(double seconds)
{
	static struct hist hist;
	struct conn *const own = conn_open(false);
	uint64_t now_ns, end_ns = 0;
	uint32_t number = 0;

	do {
		const uint64_t sent_ns = clock_now_ns();

		ask_once(own, ++number);
		now_ns = clock_now_ns();
		if (number > WARM_UP)
			hist_record(&hist, now_ns - sent_ns);
		else
			end_ns = now_ns + (uint64_t)(seconds * 1e9);
	} while (now_ns < end_ns);
	printf("{\"tcp-floor\": {\"count\": %llu, \"p50\": %.3f, "
	       "\"p99\": %.3f, \"p99.9\": %.3f}}\n",
	       (unsigned long long)summary_count(&hist.summary),
	       (double)hist_quantile(&hist, 0.5) / 1e3,
	       (double)hist_quantile(&hist, 0.99) / 1e3,
	       (double)hist_quantile(&hist, 0.999) / 1e3);
}

int
main(int argc, char **argv)
{
	const bool asks = argc == 5 && strcmp(argv[1], "ask") == 0;

	if (!asks && !(argc == 4 && strcmp(argv[1], "serve") == 0))
		die("tcpfloor serve DEVICE CPU, or ask DEVICE CPU SECONDS");
	clock_init();
	device_open(argv[2]);
	pin((uint32_t)strtoul(argv[3], NULL, 10));
	if (asks)
		ask(strtod(argv[4], NULL));
	else
		serve();
	return 0;
}
