/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    our port layer runs on DPDK's drivers for a file of frames and for
 *         shared memory, which are there for tests only: net_pcap, net_memif.
 * Method  pcap: a file with an ARP request and an echo request is received by
 *         an instance of our TCP/IP, and the file it sends to holds the answer
 *         to each. memif: both ends in this process; frames with numbers go
 *         both ways and arrive whole and in order. Peers that close are not
 *         tried: the driver of DPDK 22.11 can crash when they do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/be.h"
#include "base/time.h"
#include "dataplane/tcp.h"
#include "drivers/clock.h"
#include "drivers/port_dpdk.h"

#define OWN         0x0a000005u
#define PEER        0x0a000001u
#define PCAP_MAGIC  0xa1b2c3d4u
#define FRAMES      200u
#define PATIENCE_NS (10 * NS_PER_SECOND)

static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 9};

static struct port_dpdk *
start(const char *device, uint32_t core_count)
{
	const struct port_dpdk_options options = {
		.device = device,
		.core_count = core_count,
		.mtu = 1500,
		.mbufs = 1023,
		.mbuf_private_bytes = TCP_POOL_PRIVATE_BYTES,
	};
	struct port_error error = {""};
	struct port_dpdk *made;

	if (port_dpdk_start(&options, &made, &error) != 0)
		fail_msg("%s: %s", device, error.text);
	return made;
}

/* ---- pcap -------------------------------------------------------------------
 */

static void
put_frame(FILE *file, const uint8_t *frame, uint32_t bytes)
{
	const uint32_t head[4] = {0, 0, bytes, bytes};

	assert_int_equal(fwrite(head, sizeof(head), 1, file), 1);
	assert_int_equal(fwrite(frame, bytes, 1, file), 1);
}

static uint16_t
sum_of(const uint8_t *at, uint32_t bytes)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < bytes; i += 2)
		sum += be_load16(at + i);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static void
put_arp(FILE *file)
{
	uint8_t frame[42] = {0};

	memset(frame, 0xff, 6);
	memcpy(frame + 6, peer_mac, 6);
	be_store16(frame + 12, 0x0806);
	be_store32(frame + 14, 0x00010800);
	be_store32(frame + 18, 0x06040001); /* request */
	memcpy(frame + 22, peer_mac, 6);
	be_store32(frame + 28, PEER);
	be_store32(frame + 38, OWN);
	put_frame(file, frame, sizeof(frame));
}

static void
put_echo(FILE *file, const uint8_t *own_mac)
{
	uint8_t frame[14 + 20 + 12] = {0};
	uint8_t *ip = frame + 14, *icmp = ip + 20;

	memcpy(frame, own_mac, 6);
	memcpy(frame + 6, peer_mac, 6);
	be_store16(frame + 12, 0x0800);
	be_store32(ip, 0x45000000u + 32);
	be_store32(ip + 8, 64u << 24 | 1u << 16);
	be_store32(ip + 12, PEER);
	be_store32(ip + 16, OWN);
	be_store16(ip + 10, sum_of(ip, 20));
	icmp[0] = 8;
	be_store32(icmp + 4, 0x12340001);
	be_store32(icmp + 8, 0xfeedbeef);
	be_store16(icmp + 2, sum_of(icmp, 12));
	put_frame(file, frame, sizeof(frame));
}

static void
make_input(const char *path, const uint8_t *own_mac)
{
	const uint32_t head[6] = {PCAP_MAGIC, 2 | 4 << 16, 0, 0, 65535, 1};
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(head, sizeof(head), 1, file), 1);
	put_arp(file);
	put_echo(file, own_mac);
	assert_int_equal(fclose(file), 0);
}

/* Reads the next frame of a file; returns its bytes, 0 at the end. */
static uint32_t
take_frame(FILE *file, uint8_t *frame, uint32_t room)
{
	uint32_t head[4];

	if (fread(head, sizeof(head), 1, file) != 1)
		return 0;
	assert_true(head[2] <= room);
	assert_int_equal(fread(frame, head[2], 1, file), 1);
	return head[2];
}

static void
check_output(const char *path, const uint8_t *own_mac)
{
	FILE *file = fopen(path, "r");
	uint8_t frame[2048];
	uint32_t head[6];

	assert_non_null(file);
	assert_int_equal(fread(head, sizeof(head), 1, file), 1);
	assert_int_equal(take_frame(file, frame, sizeof(frame)), 42);
	assert_memory_equal(frame, peer_mac, 6);
	assert_int_equal(be_load16(frame + 12), 0x0806);
	assert_int_equal(be_load16(frame + 20), 2); /* reply */
	assert_memory_equal(frame + 22, own_mac, 6);
	assert_int_equal(take_frame(file, frame, sizeof(frame)), 46);
	assert_int_equal(be_load32(frame + 30), PEER);
	assert_int_equal(frame[34], 0); /* echo reply */
	assert_int_equal(be_load32(frame + 42), 0xfeedbeef);
	assert_int_equal(take_frame(file, frame, sizeof(frame)), 0);
	fclose(file);
}

static void
test_frames_of_a_file_are_answered_into_another(void **state)
{
	/* What the driver gives its first port. */
	static const uint8_t own_mac[6] = {2, 'p', 'c', 'a', 'p', 0};
	char folder[] = "/tmp/port-pmd-XXXXXX";
	char in[64], out[64], device[200];
	struct tcp_config config = {
		.address = OWN,
		.prefix_bits = 24,
		.conn_limit = 4,
	};
	struct tcp_core *core;
	struct port_dpdk *port;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(in, sizeof(in), "%s/in", folder);
	snprintf(out, sizeof(out), "%s/out", folder);
	make_input(in, own_mac);
	snprintf(device, sizeof(device), "net_pcap0,rx_pcap=%s,tx_pcap=%s", in,
		 out);
	port = start(device, 1);
	config.port = port_dpdk_port(port, 0);
	config.pool = port_dpdk_pool(port, 0);
	assert_memory_equal(config.port->mac, own_mac, 6);
	assert_int_equal(tcp_core_create(&config, NS_PER_SECOND, &core), 0);
	for (uint64_t i = 1; i <= 20; i++) {
		tcp_poll(core, NS_PER_SECOND + i * NS_PER_MS);
		tcp_flush(core);
	}
	assert_int_equal(tcp_counters(core)->rx_frames, 2);
	assert_int_equal(tcp_counters(core)->rx_answered, 2);
	tcp_core_destroy(core);
	port_dpdk_stop(port);
	check_output(out, own_mac);
	assert_int_equal(unlink(in) | unlink(out) | rmdir(folder), 0);
}

/* The last that a core says is that its connections end, and nobody sends it
 * for a core without a queue when all have ended. */
static void
test_what_a_core_without_a_queue_said_last_is_sent(void **state)
{
	char folder[] = "/tmp/port-pmd-XXXXXX";
	char in[64], out[64], device[200];
	const uint8_t no_mac[6] = {0};
	uint8_t sent[60], frame[2048];
	uint32_t head[6];
	struct port_dpdk *port;
	struct rte_mbuf *mbuf;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(in, sizeof(in), "%s/in", folder);
	snprintf(out, sizeof(out), "%s/out", folder);
	make_input(in, no_mac);
	snprintf(device, sizeof(device), "net_pcap1,rx_pcap=%s,tx_pcap=%s", in,
		 out);
	port = start(device, 2);
	mbuf = rte_pktmbuf_alloc(port_dpdk_pool(port, 1));
	assert_non_null(mbuf);
	memset(sent, 7, sizeof(sent));
	memcpy(rte_pktmbuf_append(mbuf, sizeof(sent)), sent, sizeof(sent));
	assert_int_equal(port_tx(port_dpdk_port(port, 1), 0, &mbuf, 1), 1);
	port_dpdk_stop(port);
	file = fopen(out, "r");
	assert_non_null(file);
	assert_int_equal(fread(head, sizeof(head), 1, file), 1);
	assert_int_equal(take_frame(file, frame, sizeof(frame)), sizeof(sent));
	assert_memory_equal(frame, sent, sizeof(sent));
	fclose(file);
	assert_int_equal(unlink(in) | unlink(out) | rmdir(folder), 0);
}

/* ---- memif ------------------------------------------------------------------
 */

static void
send_number(struct port_dpdk *from, uint32_t number)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(port_dpdk_pool(from, 0));
	uint8_t *at;

	assert_non_null(frame);
	at = (uint8_t *)rte_pktmbuf_append(frame, 60);
	memset(at, (int)(number & 0xff), 60);
	be_store32(at + 14, number);
	if (port_tx(port_dpdk_port(from, 0), 0, &frame, 1) != 1)
		rte_pktmbuf_free(frame);
}

/* The number of the next frame, which must be whole; 0: none has come. */
static uint32_t
take_number(struct port_dpdk *to)
{
	struct rte_mbuf *frame;
	uint32_t number;

	if (port_rx(port_dpdk_port(to, 0), 0, &frame, 1) != 1)
		return 0;
	assert_int_equal(frame->data_len, 60);
	number = be_load32(rte_pktmbuf_mtod(frame, uint8_t *) + 14);
	assert_int_equal(rte_pktmbuf_mtod(frame, uint8_t *)[59], number & 0xff);
	rte_pktmbuf_free(frame);
	return number;
}

/* Sends number 1 until it arrives: the ends have to find each other. */
static void
join(struct port_dpdk *from, struct port_dpdk *to)
{
	const uint64_t end_ns = clock_now_ns() + PATIENCE_NS;

	while (take_number(to) != 1) {
		assert_true(clock_now_ns() < end_ns);
		port_dpdk_watch(from);
		port_dpdk_watch(to);
		send_number(from, 1);
	}
	while (take_number(to) != 0)
		continue;
}

static void
send_all(struct port_dpdk *from, struct port_dpdk *to)
{
	join(from, to);
	for (uint32_t i = 2; i < FRAMES; i++) {
		const uint64_t end_ns = clock_now_ns() + PATIENCE_NS;
		uint32_t number;

		send_number(from, i);
		while ((number = take_number(to)) == 0)
			assert_true(clock_now_ns() < end_ns);
		assert_int_equal(number, i);
	}
}

static void
test_frames_pass_shared_memory_both_ways(void **state)
{
	char folder[] = "/tmp/port-pmd-XXXXXX";
	char socket[64], device[200];
	struct port_dpdk *server, *client;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(socket, sizeof(socket), "%s/memif", folder);
	snprintf(device, sizeof(device),
		 "net_memif0,role=server,id=0,socket-abstract=no,socket=%s",
		 socket);
	server = start(device, 1);
	snprintf(device, sizeof(device),
		 "net_memif1,role=client,id=0,socket-abstract=no,socket=%s",
		 socket);
	client = start(device, 1);
	send_all(client, server);
	send_all(server, client);
	port_dpdk_stop(client);
	port_dpdk_stop(server);
	unlink(socket);
	rmdir(folder);
}

int
main(void)
{
	const struct port_env_options env = {.memory_mb = 160};
	struct port_error error = {""};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_frames_of_a_file_are_answered_into_another),
		cmocka_unit_test(
			test_what_a_core_without_a_queue_said_last_is_sent),
		cmocka_unit_test(test_frames_pass_shared_memory_both_ways),
	};

	clock_init();
	if (port_env_start(&env, &error) != 0 || port_env_attach() != 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
