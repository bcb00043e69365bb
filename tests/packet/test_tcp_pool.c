/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: nobody takes all mbufs. Output leaves those that acks are received
 * into, however much of it there is in one turn of the loop; and what a user
 * does not read is no more than its window. Method: a pool that is smaller than
 * what all connections together want to write; all write before time passes. A
 * sixteenth must be left; when one connection's output is acknowledged another
 * can write. And a peer that goes on with tiny segments, of which nothing is
 * read.
 */

#include "packet_eal.h"
#include "packet_rig.h"

#define POOL_MBUFS  1023u
#define POOL_CONNS  60u
#define POOL_BYTES  50000u
#define POOL_WINDOW 16384u

static struct tcp_conn *conns[POOL_CONNS];
static uint32_t isns[POOL_CONNS];

/* A wire that takes everything: there is no mbuf for a copy. */
static uint16_t
pool_tx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	uint16_t count)
{
	(void)port;
	(void)now_ns;
	for (uint16_t i = 0; i < count; i++)
		rte_pktmbuf_free(frames[i]);
	return count;
}

static void
pool_open(struct rig *rig, uint32_t index)
{
	struct rig_segment syn = {.flags = TCP_SYN, .window = 60000};
	struct rig_segment ack = {.seq = 1, .flags = TCP_ACK, .window = 60000};
	struct rig_segment answer;
	uint32_t news;

	syn.options.mss = 1460;
	rig_peer(rig, (uint16_t)(RIG_PEER_PORT + index));
	rig_receive(rig, &syn);
	tcp_flush(rig->core);
	FAL_ASSERT(rig_next(rig, &answer));
	ack.ack = 1;
	rig_receive(rig, &ack);
	isns[index] = rig->isn;
	conns[index] = tcp_next_news(rig->core, &news);
	FAL_ASSERT(conns[index] != NULL && (news & TCP_NEWS_OPENED) != 0);
}

/* Everybody writes what is taken. Returns how many bytes. */
static uint64_t
pool_write(struct rig *rig)
{
	static const uint8_t bytes[POOL_BYTES];
	uint64_t taken = 0;

	for (uint32_t i = 0; i < POOL_CONNS; i++)
		taken += tcp_write(rig->core, conns[i], bytes, sizeof(bytes));
	return taken;
}

static void
output_leaves_mbufs_for_acks(struct rte_mempool *pool)
{
	static struct rig rig;
	struct rig_options options = {.conn_limit = 2 * POOL_CONNS};
	struct port_ops ops;
	struct rig_segment ack = {.seq = 1, .flags = TCP_ACK, .window = 60000};
	uint64_t taken;

	rig_start(&rig, pool, &options);
	rig.is_left_alone = true;
	for (uint32_t i = 0; i < POOL_CONNS; i++)
		pool_open(&rig, i);
	tcp_flush(rig.core);
	rig_forget(&rig);
	ops = *rig.port.ops;
	ops.tx = pool_tx;
	rig.port.ops = &ops;
	taken = pool_write(&rig);
	FAL_ASSERT(taken > 0 && taken < (uint64_t)POOL_CONNS * POOL_BYTES);
	/* One more is the segment that is being filled. */
	FAL_ASSERT(rte_mempool_avail_count(pool) + 1 >= POOL_MBUFS / 16);
	/* What still fits into segments that are there takes no more. */
	pool_write(&rig);
	FAL_ASSERT(pool_write(&rig) == 0);
	FAL_ASSERT(rte_mempool_avail_count(pool) + 1 >= POOL_MBUFS / 16);

	/* The first ten segments leave and are acknowledged. */
	rig_pass(&rig, 5);
	tcp_flush(rig.core);
	rig_peer(&rig, RIG_PEER_PORT);
	rig.isn = isns[0];
	ack.ack = 1 + 1460 * 5;
	rig_receive(&rig, &ack);
	rig_pass(&rig, 5);
	FAL_ASSERT(pool_write(&rig) >= 1460);
	FAL_ASSERT(rte_mempool_avail_count(pool) + 1 >= POOL_MBUFS / 16);
	rig_stop(&rig);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
}

/* The edge of a window is told in units of 128 bytes; rounding it up with each
 * of these segments would move it as fast as they come. */
static void
tiny_segments_do_not_move_the_edge(struct rte_mempool *pool)
{
	static struct rig rig;
	struct rig_options options = {.window_bytes = POOL_WINDOW};
	struct rig_segment syn = {.flags = TCP_SYN, .window = 60000};
	struct rig_segment data = {.seq = 1,
				   .ack = 1,
				   .flags = TCP_ACK,
				   .window = 60000,
				   .bytes = 100};
	struct rig_segment answer;

	syn.options.mss = 1460;
	syn.options.has_window_shift = true;
	rig_start(&rig, pool, &options);
	rig_receive(&rig, &syn);
	rig_settle(&rig);
	FAL_ASSERT(rig_next(&rig, &answer));
	for (uint32_t i = 0; i < 8 * POOL_WINDOW / 100; i++) {
		rig_receive(&rig, &data);
		data.seq += 100;
		rig_pass(&rig, 3); /* it is acknowledged */
		rig_forget(&rig);
	}
	FAL_ASSERT(tcp_buffered(rig.conn) >= POOL_WINDOW - 100);
	FAL_ASSERT(tcp_buffered(rig.conn) <= 2 * POOL_WINDOW + 128);
	rig_stop(&rig);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
}

static struct rte_mempool *other_pool;

/* A frame that somebody else has received; it is too short for anything. */
static uint16_t
other_rx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	 uint16_t count)
{
	static bool is_over;

	(void)port;
	(void)now_ns;
	if (is_over || count == 0)
		return 0;
	is_over = true;
	frames[0] = rte_pktmbuf_alloc(other_pool);
	FAL_ASSERT(frames[0] != NULL);
	return 1;
}

/* What is unread may be another core's, which cannot make us read it. */
static void
the_pool_of_who_receives_for_us_counts(struct rte_mempool *pool)
{
	static struct rig rig;
	static struct rte_mbuf *taken[POOL_MBUFS];
	const uint32_t count = POOL_MBUFS - POOL_MBUFS / 10;
	struct rig_options options = {0};
	struct port_ops ops;

	other_pool = rte_pktmbuf_pool_create(
		"other", POOL_MBUFS, 0, TCP_POOL_PRIVATE_BYTES,
		RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	FAL_ASSERT(other_pool != NULL);
	rig_start(&rig, pool, &options);
	ops = *rig.port.ops;
	ops.rx = other_rx;
	rig.port.ops = &ops;
	rig_pass(&rig, 3);
	FAL_ASSERT(!tcp_is_short(rig.core));
	FAL_ASSERT(rte_pktmbuf_alloc_bulk(other_pool, taken, count) == 0);
	rig_pass(&rig, 3);
	FAL_ASSERT(tcp_is_short(rig.core));
	FAL_ASSERT(rig.core->output_left > POOL_MBUFS / 2);
	rte_pktmbuf_free_bulk(taken, count);
	rig_pass(&rig, 3);
	FAL_ASSERT(!tcp_is_short(rig.core));
	rig_stop(&rig);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
	FAL_ASSERT(rte_mempool_in_use_count(other_pool) == 0);
	rte_mempool_free(other_pool);
}

int
main(void)
{
	struct rte_mempool *pool = packet_eal_pool(POOL_MBUFS);

	output_leaves_mbufs_for_acks(pool);
	tiny_segments_do_not_move_the_edge(pool);
	the_pool_of_who_receives_for_us_counts(pool);
	return 0;
}
