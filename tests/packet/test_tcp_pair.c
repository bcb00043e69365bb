/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: two instances deliver byte streams whole over any wire.
 * Method: both sides write random amounts of a pattern that depends on the
 * position, read random amounts and close; the wire (drivers/port_ring.h)
 * loses, doubles, reorders, delays and damages frames by chance. Checked: each
 * byte, the lengths, that both ends close, that no mbuf and no block is left.
 * The environment sets FAL_SEED (the first) and FAL_RUNS (how many).
 */

#include <string.h>

#include "drivers/port_ring.h"
#include "packet_eal.h"
#include "base/time.h"

#define PAIR_BYTES_MAX 100000u

struct side {
	struct tcp_core *core;
	struct tcp_conn *conn;
	uint32_t written, total, read;
	bool is_finished, is_shut, is_gone, is_unopened;
};

static uint64_t pair_random_state;

static uint32_t
pair_random(uint32_t below)
{
	uint64_t z = pair_random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (uint32_t)((z ^ (z >> 31)) % below);
}

static uint8_t
pair_byte(uint32_t at)
{
	return (uint8_t)(at * 2654435761u >> 24);
}

static void
pair_read(struct side *side)
{
	struct tcp_slice slices[4];
	uint32_t count = tcp_peek(side->conn, slices, 4);
	uint32_t taken = 0;

	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t j = 0; j < slices[i].bytes; j++)
			FAL_ASSERT(slices[i].data[j] ==
				   pair_byte(side->read + taken + j));
		taken += slices[i].bytes;
	}
	if (taken > 0 && pair_random(4) == 0)
		taken = 1 + pair_random(taken);
	tcp_consume(side->core, side->conn, taken);
	side->read += taken;
}

static void
pair_write(struct side *side)
{
	uint8_t bytes[5000];
	uint32_t count = 1 + pair_random(sizeof(bytes));

	if (count > side->total - side->written)
		count = side->total - side->written;
	if (tcp_unacked(side->conn) > 60000)
		return;
	for (uint32_t i = 0; i < count; i++)
		bytes[i] = pair_byte(side->written + i);
	side->written += tcp_write(side->core, side->conn, bytes, count);
	if (side->written == side->total && !side->is_shut) {
		side->is_shut = true;
		tcp_shutdown(side->core, side->conn);
	}
}

static void
pair_step(struct side *side, uint64_t now_ns)
{
	struct tcp_conn *conn;
	uint32_t news;

	tcp_poll(side->core, now_ns);
	while ((conn = tcp_next_news(side->core, &news)) != NULL) {
		if ((news & TCP_NEWS_OPENED) != 0)
			side->conn = conn;
		if ((news & TCP_NEWS_FIN) != 0)
			side->is_finished = true;
		if ((news & TCP_NEWS_FAILED) != 0) {
			/* Three SYNs may be lost; otherwise the end comes
			 * after both FINs. */
			side->is_unopened = side->conn == NULL;
			FAL_ASSERT(tcp_reason(conn) ==
				   (side->is_unopened ? TCP_REASON_TIMED_OUT
						      : TCP_REASON_NONE));
			while (!side->is_unopened && tcp_buffered(conn) > 0)
				pair_read(side);
			tcp_release(side->core, conn);
			side->is_gone = true;
		}
	}
	if (side->conn != NULL && !side->is_gone) {
		pair_read(side);
		pair_write(side);
	}
	tcp_flush(side->core);
	/* Whoever sleeps so long misses no timer. */
	FAL_ASSERT(tcp_sleep_until_ns(side->core) <=
		   tcp_next_timer_ns(side->core));
}

static void
pair_start(struct side *side, struct port *port, struct rte_mempool *pool,
	   uint32_t address)
{
	struct tcp_config config = {
		.port = port,
		.pool = pool,
		.address = address,
		.prefix_bits = 24,
		.conn_limit = 4,
		.rto_min_ms = 10,
	};

	for (uint32_t i = 0; i < sizeof(config.secret); i++)
		config.secret[i] = (uint8_t)pair_random(256);
	memset(side, 0, sizeof(*side));
	side->total = pair_random(PAIR_BYTES_MAX);
	FAL_ASSERT(tcp_core_create(&config, NS_PER_SECOND, &side->core) == 0);
}

static void
pair_impair(struct port_ring *ring)
{
	struct port_ring_impairment impairment = {
		.delay_ns = pair_random(2) * pair_random(2000000),
		.reorder_delay_ns = 1 + pair_random(5000000),
	};

	if (pair_random(4) != 0) {
		impairment.loss = (uint16_t)pair_random(80);
		impairment.duplication = (uint16_t)pair_random(100);
		impairment.reorder = (uint16_t)pair_random(200);
		impairment.corruption = (uint16_t)pair_random(50);
	}
	port_ring_impair(ring, &impairment);
}

/* Time goes to the next thing that can happen, at most a millisecond. */
static uint64_t
pair_next_ns(const struct port_ring *ring, uint64_t now_ns)
{
	uint64_t next_ns = port_ring_next_ns(ring);

	if (next_ns > now_ns + NS_PER_MS)
		next_ns = now_ns + NS_PER_MS;
	return next_ns < now_ns + 10000 ? now_ns + 10000 : next_ns;
}

static uint64_t
pair_run(struct rte_mempool *pool, uint64_t seed)
{
	static const uint16_t mtus[] = {576, 1400, 1500};
	struct side sides[2];
	struct port_ring *ring;
	uint64_t now_ns = NS_PER_SECOND;
	uint64_t segments;
	struct tcp_conn *conn;
	struct tcp_address peer = tcp_address_ipv4(0x0a000002);

	pair_random_state = seed;
	FAL_ASSERT(port_ring_create(pool, seed, mtus[pair_random(3)], &ring) ==
		   0);
	pair_impair(ring);
	for (uint32_t i = 0; i < 2; i++)
		pair_start(&sides[i], port_ring_end(ring, i), pool,
			   0x0a000001 + i);
	FAL_ASSERT(tcp_listen(sides[1].core, 2181, 0) == 0);
	FAL_ASSERT(tcp_connect(sides[0].core, &peer, 2181, 0, &conn) == 0);
	tcp_flush(sides[0].core);
	while (!sides[0].is_unopened &&
	       (!sides[0].is_gone || !sides[1].is_gone)) {
		now_ns = pair_next_ns(ring, now_ns);
		pair_step(&sides[0], now_ns);
		pair_step(&sides[1], now_ns);
		/* Ten minutes of the simulated clock: no progress. */
		FAL_ASSERT(now_ns < 600 * NS_PER_SECOND);
	}
	if (!sides[0].is_unopened) {
		FAL_ASSERT(sides[0].read == sides[1].total);
		FAL_ASSERT(sides[1].read == sides[0].total);
	}
	segments = port_ring_counters(ring)->sent;
	for (uint32_t i = 0; i < 2; i++) {
		FAL_ASSERT(sides[0].is_unopened ||
			   (sides[i].is_finished &&
			    tcp_counters(sides[i].core)->conns == 0));
		tcp_core_destroy(sides[i].core);
	}
	port_ring_destroy(ring);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
	return segments;
}

int
main(void)
{
	const char *seed_text = getenv("FAL_SEED");
	const char *runs_text = getenv("FAL_RUNS");
	uint64_t seed = seed_text == NULL ? 1 : strtoull(seed_text, NULL, 10);
	uint64_t runs = runs_text == NULL ? 50 : strtoull(runs_text, NULL, 10);
	struct rte_mempool *pool = packet_eal_pool(4095);
	uint64_t segments = 0;

	for (uint64_t i = 0; i < runs; i++) {
		/* The last line of a failure names what to run again. */
		fprintf(stderr, "FAL_SEED=%lu FAL_RUNS=1\n", seed + i);
		segments += pair_run(pool, seed + i);
	}
	printf("%lu runs, %lu segments\n", runs, segments);
	return 0;
}
