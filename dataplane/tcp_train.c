/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_train - full segments that leave together, as one frame that the port
 * cuts (TSO).
 *
 * What is queued stays as it is: an mbuf for each segment, with its own fate.
 * The frame is an mbuf of headers and one for each segment that refers to the
 * payload there (rte_pktmbuf_attach). So a segment is acknowledged, marked lost
 * and sent again as if it had left alone, and not before the driver has let go
 * of the train: until then its mbuf has a second reference.
 *
 * Every segment but the last one has the full size, since the port cuts there;
 * options are in all of them, so none is sent that belongs into one only (SACK
 * blocks). IPv4 only: the drivers that cut in software know nothing else.
 */
#include "dataplane/tcp_int.h"

/* A frame's headers; less would not be worth its mbuf. */
#define TRAIN_SEGMENTS_MIN 2u
/* Cards take no more pieces than some 40, and other connections wait. */
#define TRAIN_SEGMENTS_MAX 32u
/* An IPv4 packet, headers included. */
#define TRAIN_BYTES_MAX (65535u - TCP_IP4_BYTES - 60u)

/* The segments that leave together, from the first unsent one on. */
struct train {
	uint32_t count, bytes;
	const struct tcp_seg *last;
};

static struct train
train_find(const struct tcp_conn *conn, uint32_t max)
{
	struct rte_mbuf *mbuf = conn->snd_send;
	struct train train = {0};

	if (max > TRAIN_SEGMENTS_MAX)
		max = TRAIN_SEGMENTS_MAX;
	while (train.count < max && mbuf != NULL) {
		const struct tcp_seg *seg = tcp_seg_of(mbuf);
		const uint32_t end = seg->seq + seg->bytes - conn->snd_una;

		/* What does not fit both windows is for tcp_out_permitted(). */
		if (seg->bytes > conn->mss || end > conn->cwnd ||
		    end > conn->snd_wnd || rte_mbuf_refcnt_read(mbuf) != 1 ||
		    train.bytes + seg->bytes > TRAIN_BYTES_MAX)
			break;
		train.count++;
		train.bytes += seg->bytes;
		train.last = seg;
		if (seg->bytes < conn->mss)
			break;
		mbuf = seg->next;
	}
	return train;
}

/* Mbufs that refer to the payload of `count` segments, as a chain; NULL: too
 * few are left. */
static struct rte_mbuf *
train_refer(struct tcp_core *core, const struct tcp_conn *conn, uint32_t count)
{
	struct rte_mbuf *mbuf = conn->snd_send, *first = NULL;
	struct rte_mbuf **last = &first;

	for (uint32_t i = 0; i < count; i++) {
		const struct tcp_seg *seg = tcp_seg_of(mbuf);
		struct rte_mbuf *piece = tcp_mbuf_alloc(core);

		if (piece == NULL) {
			rte_pktmbuf_free(first);
			return NULL;
		}
		rte_pktmbuf_attach(piece, mbuf);
		piece->data_off = seg->offset;
		piece->data_len = seg->bytes;
		*last = piece;
		last = &piece->next;
		mbuf = seg->next;
	}
	return first;
}

/* Puts the chain behind headers that were written for no payload. */
static void
train_couple(const struct tcp_core *core, const struct train *train,
	     struct rte_mbuf *head, struct rte_mbuf *first, uint16_t mss)
{
	uint8_t *ip = rte_pktmbuf_mtod(head, uint8_t *) + core->ether_bytes;
	uint16_t sum;

	head->next = first;
	head->nb_segs = (uint16_t)(train->count + 1);
	head->pkt_len += train->bytes;
	head->tso_segsz = mss;
	head->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM;
	be_store16(ip + 2, (uint16_t)(be_load16(ip + 2) + train->bytes));
	be_store16(ip + 10, 0);
	/* The pseudo header has no length: that of each segment is another. */
	sum = (uint16_t)ip_fold_sum(
		ip_sum(__builtin_bswap32(6), ip + TCP_IP4_BYTES - 8, 8));
	memcpy(ip + TCP_IP4_BYTES + 16, &sum, sizeof(sum));
}

static void
train_leaves(struct tcp_core *core, struct tcp_conn *conn,
	     const struct train *train)
{
	/* As tcp_out_next() has it: for persist, or the tail is another now. */
	if (conn->snd_una == conn->snd_nxt || tcp_has(conn, TCP_TIMER_TLP))
		conn->tx_deadline = 0;
	for (uint32_t i = 0; i < train->count; i++) {
		struct tcp_seg *seg = tcp_seg_of(conn->snd_send);

		seg->sent_us = core->now_us;
		seg->sent_ts = core->now_ts;
		conn->snd_nxt = seg->seq + seg->bytes;
		conn->snd_send = seg->next;
	}
	core->counters.tx_trains++;
}

uint32_t
tcp_train_send(struct tcp_core *core, struct tcp_conn *conn, uint32_t max)
{
	struct rte_mbuf *first, *head;
	struct train train;
	uint32_t flags;

	if (core->pool_level != TCP_POOL_GOOD || conn->runs != NULL ||
	    tcp_has(conn, TCP_DSACK | TCP_TLP_DUE) ||
	    !tcp_address_is_ipv4(&conn->remote))
		return 0;
	train = train_find(conn, max);
	if (train.count < TRAIN_SEGMENTS_MIN ||
	    core->output_left <= train.count)
		return 0;
	first = train_refer(core, conn, train.count);
	head = first == NULL ? NULL : tcp_mbuf_alloc(core);
	flags = TCP_ACK | (uint32_t)(train.last->next == NULL) * TCP_PSH;
	if (head == NULL ||
	    !tcp_out_head(core, conn, head, tcp_seg_of(conn->snd_send)->seq,
			  flags)) {
		rte_pktmbuf_free(first);
		return 0;
	}
	/* It is still in our queue. */
	train_couple(core, &train, head, first, conn->mss);
	train_leaves(core, conn, &train);
	core->output_left -= train.count + 1;
	return train.count;
}
