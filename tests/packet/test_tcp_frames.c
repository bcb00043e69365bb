/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever arrives, a frame ends in exactly one counter and no mbuf is
 * lost.
 * Method: good frames (SYN, data, ARP request, ICMP echo) are cut at every
 * length, damaged at random (checksums of half of them mended by telling the
 * instance that the port has judged them good) and given to an instance with a
 * listener; the counters must add up after each. Before, the checksum is
 * compared with a naive one, at all lengths and alignments, and what is kept of
 * an IP header's sum with a whole header's. FAL_SEED sets the start.
 */

#include "packet_eal.h"
#include "packet_rig.h"

static uint64_t frames_random_state;

static uint32_t
frames_random(uint32_t below)
{
	frames_random_state = frames_random_state * 6364136223846793005ull +
			      1442695040888963407ull;
	return (uint32_t)(frames_random_state >> 33) % below;
}

static uint32_t
frames_good(struct rig *rig, uint32_t kind, uint8_t *at)
{
	uint32_t bytes = kind == 0 ? 42 : kind == 1 ? 98 : 74;

	memset(at, 0, bytes);
	memcpy(at, rig->port.mac, 6);
	at[6] = 2;
	be_store16(at + 12, kind == 0 ? 0x0806 : 0x0800);
	if (kind == 0) {
		be_store16(at + 14, 1);
		be_store16(at + 16, 0x0800);
		be_store16(at + 18, 0x0604);
		be_store16(at + 20, 1);
		be_store32(at + 28, RIG_PEER);
		be_store32(at + 38, RIG_ADDRESS);
		return bytes;
	}
	at[14] = 0x45;
	be_store16(at + 16, (uint16_t)(bytes - 14));
	at[22] = 64;
	at[23] = kind == 1 ? 1 : 6;
	be_store32(at + 26, RIG_PEER);
	be_store32(at + 30, RIG_ADDRESS);
	be_store16(at + 24, ip_fold(ip_sum(0, at + 14, 20)));
	at[34] = 8; /* echo, or the high byte of a port */
	if (kind == 1) {
		be_store16(at + 36, ip_fold(ip_sum(0, at + 34, bytes - 34)));
		return bytes;
	}
	be_store16(at + 36, RIG_LISTEN_PORT);
	at[46] = 0x60;
	at[47] = kind == 2 ? TCP_SYN : TCP_ACK | TCP_PSH;
	at[54] = 2;
	at[55] = 4;
	be_store16(at + 56, 1460);
	return bytes;
}

static void
frames_check(const struct rig *rig)
{
	const struct tcp_counters *c = tcp_counters(rig->core);
	uint64_t ends = c->rx_delivered + c->rx_answered;

#define FRAMES_DROP(name, what)                 \
	if (strncmp(#name, "rx_drop_", 8) == 0) \
		ends += c->name;
	TCP_COUNTERS(FRAMES_DROP)
#undef FRAMES_DROP
	FAL_ASSERT(ends == c->rx_frames);
}

static void
frames_give(struct rig *rig, const uint8_t *frame, uint32_t bytes,
	    uint64_t verdict)
{
	rig_receive_raw(rig, frame, bytes, verdict);
	frames_check(rig);
	rig_forget(rig);
}

/* The sum of words that takes many at once, against one of bytes. */
static void
frames_check_sum(void)
{
	uint8_t data[900];

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i % 7 == 0 ? 255 : frames_random(256));
	for (uint32_t at = 0; at < 16; at++) {
		for (uint32_t bytes = 0; bytes < sizeof(data) - 16; bytes++) {
			uint32_t sum = 0;

			for (uint32_t i = 0; i < bytes; i++)
				sum += (uint32_t)data[at + i]
				       << (i % 2 == 0 ? 8 : 0);
			sum = (sum & 0xffff) + (sum >> 16);
			sum = (sum & 0xffff) + (sum >> 16);
			FAL_ASSERT(ip_fold(ip_sum(0, data + at, bytes)) ==
				   (uint16_t)~sum);
		}
	}
}

/* The same of a segment behind its addresses: of IPv4, and of IPv6. */
static void
frames_check_sum_tcp(void)
{
	uint8_t data[900];

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i % 5 == 0 ? 255 : frames_random(256));
	for (uint32_t before = 8; before <= 32; before += 24)
		for (uint32_t bytes = 20; bytes < sizeof(data) - 32; bytes++) {
			uint64_t sum = __builtin_bswap32(6 + bytes);

			sum = ip_sum(sum, data, before + bytes);
			FAL_ASSERT(ip_fold(ip_sum_tcp(data + before, bytes,
						      before)) == ip_fold(sum));
		}
}

/* What is kept of the sum of our IP headers is right for every address: some
 * make it as small as the length that is taken out of it. */
static void
frames_check_head(struct rte_mempool *pool)
{
	struct tcp_config config = {.prefix_bits = 24, .conn_limit = 1};
	struct port port = {.mtu = 1500};
	uint8_t header[TCP_IP4_BYTES];

	config.pool = pool;
	config.port = &port;
	for (uint32_t i = 1; i < 65536; i++) {
		struct tcp_core *core;
		uint64_t sum;

		config.address = 0x0a000000u | i;
		FAL_ASSERT(tcp_core_create(&config, 0, &core) == 0);
		ip_header_write4(header, config.address, RIG_PEER, 6, 100);
		sum = (uint64_t)core->usual.head_sum + RIG_PEER;
		sum += TCP_IP4_BYTES + 100;
		FAL_ASSERT((uint16_t)~ip_fold_sum(sum) ==
			   be_load16(header + 10));
		tcp_core_destroy(core);
	}
}

/* A bad checksum is dropped unless the port knows better; one that it calls bad
 * is dropped whatever it is. */
static void
frames_check_verdicts(struct rig *rig)
{
	static const struct {
		uint64_t verdict;
		bool is_bad, is_dropped;
	} cases[] = {
		{0, false, false},
		{0, true, true},
		{RTE_MBUF_F_RX_L4_CKSUM_GOOD, true, false},
		{RTE_MBUF_F_RX_L4_CKSUM_NONE, true, false},
		{RTE_MBUF_F_RX_L4_CKSUM_BAD, false, true},
	};
	struct tcp_address from = tcp_address_ipv4(RIG_PEER);
	struct tcp_address to = tcp_address_ipv4(RIG_ADDRESS);
	uint8_t frame[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t bytes = frames_good(rig, 3, frame);
		uint64_t dropped = rig_counter(rig, "rx_drop_tcp_checksum");

		be_store16(frame + 50,
			   ip_checksum(&from, &to, 6, frame + 34, bytes - 34));
		if (cases[i].is_bad)
			frame[51] ^= 1;
		frames_give(rig, frame, bytes, cases[i].verdict);
		FAL_ASSERT(rig_counter(rig, "rx_drop_tcp_checksum") ==
			   dropped + (cases[i].is_dropped ? 1 : 0));
	}
}

int
main(void)
{
	static struct rig rig;
	struct rig_options options = {.half_open_limit = 4};
	const char *seed = getenv("FAL_SEED");
	struct rte_mempool *pool = packet_eal_pool(1023);
	uint8_t frame[128];

	frames_random_state = seed == NULL ? 1 : strtoull(seed, NULL, 10);
	printf("FAL_SEED=%lu\n", frames_random_state);
	frames_check_sum();
	frames_check_sum_tcp();
	frames_check_head(pool);
	rig_start(&rig, pool, &options);
	for (uint32_t kind = 0; kind < 4; kind++) {
		uint32_t bytes = frames_good(&rig, kind, frame);

		for (uint32_t cut = 0; cut <= bytes; cut++)
			frames_give(&rig, frame, cut,
				    RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	}
	frames_check_verdicts(&rig);
	/* Whole ones were answered: ARP, echo, and a segment for nobody. */
	FAL_ASSERT(tcp_counters(rig.core)->rx_answered >= 2);
	FAL_ASSERT(tcp_counters(rig.core)->rx_delivered >= 1);
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t bytes = frames_good(&rig, i % 4, frame);

		for (uint32_t j = frames_random(4); j > 0; j--)
			frame[12 + frames_random(bytes - 12)] =
				(uint8_t)frames_random(256);
		if (i % 4 != 0 && frames_random(2) == 0) {
			be_store16(frame + 24, 0);
			be_store16(frame + 24,
				   ip_fold(ip_sum(0, frame + 14, 20)));
		}
		frames_give(&rig, frame, bytes,
			    frames_random(2) == 0 ? RTE_MBUF_F_RX_L4_CKSUM_GOOD
						  : 0);
		if (i % 100 == 0)
			rig_pass(&rig, 20);
	}
	rig_stop(&rig);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
	return 0;
}
