/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: 100,000 idle connections cost what tcp.h says, hold no mbuf, and one of
 * them is found at once; all blocks come back.
 * Method: as many handshakes by hand-made segments, from four addresses; then
 * each connection gets a byte, answers it and is closed by RST. The memory is
 * what the allocator says it has given.
 */

#include <malloc.h>

#include "packet_eal.h"
#include "packet_rig.h"

#define IDLE_CONNS 100000u

static size_t
idle_memory(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* A segment of connection `index`, and what the instance sends for it. */
static void
idle_segment(struct rig *rig, uint32_t index, uint32_t flags, uint32_t seq,
	     uint32_t ack, uint32_t bytes, struct rig_segment *sent)
{
	struct rig_segment segment = {.flags = flags,
				      .seq = seq,
				      .ack = ack,
				      .window = 64000,
				      .bytes = bytes,
				      .patch_count = 1};
	struct rig_patch *patch = &segment.patches[0];

	segment.options.mss = 1460;
	rig->peer_port = (uint16_t)(1024 + index % 50000);
	patch->layer = 'i';
	patch->offset = 12;
	patch->bytes = 4;
	be_store32(patch->data, RIG_PEER + 1 + index / 50000);
	rig_receive(rig, &segment);
	if (sent != NULL)
		FAL_ASSERT(rig_next(rig, sent));
	rig_forget(rig);
}

int
main(void)
{
	static struct rig rig;
	static uint32_t isn[IDLE_CONNS];
	struct rte_mempool *pool = packet_eal_pool(1023);
	struct rig_options options = {.conn_limit = IDLE_CONNS};
	const struct tcp_counters *counters;
	struct rig_segment sent;
	size_t before = idle_memory();

	rig_start(&rig, pool, &options);
	printf("%zu bytes a connection: block %zu, look-up table and lists "
	       "the rest\n",
	       (idle_memory() - before) / IDLE_CONNS, sizeof(struct tcp_conn));
	FAL_ASSERT((idle_memory() - before) / IDLE_CONNS < 300);
	counters = tcp_counters(rig.core);
	for (uint32_t i = 0; i < IDLE_CONNS; i++) {
		rig_peer(&rig, 1);
		idle_segment(&rig, i, TCP_SYN, 0, 0, 0, &sent);
		isn[i] = rig.isn;
		idle_segment(&rig, i, TCP_ACK, 1, 1, 0, NULL);
		FAL_ASSERT(rig.news == TCP_NEWS_OPENED);
	}
	FAL_ASSERT(counters->conns == IDLE_CONNS);
	FAL_ASSERT(counters->accepts == IDLE_CONNS);
	FAL_ASSERT(counters->cookies_sent == 0);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
	/* Full: one more is dropped. */
	rig_peer(&rig, 1);
	idle_segment(&rig, IDLE_CONNS, TCP_SYN, 0, 0, 0, NULL);
	FAL_ASSERT(counters->rx_drop_limit == 1);
	for (uint32_t i = 0; i < IDLE_CONNS; i++) {
		uint32_t index = (uint32_t)((uint64_t)i * 7919 % IDLE_CONNS);

		rig_peer(&rig, 1);
		rig.isn = isn[index];
		rig.has_isn = true;
		idle_segment(&rig, index, TCP_ACK, 1, 1, 1, NULL);
		FAL_ASSERT(tcp_buffered(rig.conn) == 1);
		idle_segment(&rig, index, TCP_RST, 2, 0, 0, NULL);
		FAL_ASSERT(tcp_reason(rig.conn) == TCP_REASON_RESET);
		tcp_release(rig.core, rig.conn);
	}
	FAL_ASSERT(counters->conns == 0);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
	rig_stop(&rig);
	return 0;
}
