/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: on a port that cuts segments (TSO) long output leaves in few frames,
 * byte for byte the same, and a segment in a frame that the driver still holds
 * is neither sent again nor freed.
 * Method: an instance on the rig's wire, whose card cuts. The wire may also
 * hold everything, as a driver whose queue is full of frames does.
 */
#include <stdio.h>

#include "packet_eal.h"
#include "packet_rig.h"

#define TRAIN_BYTES 300000u
#define TRAIN_MSS   1448u /* with timestamps */

static struct rig rig;
static const struct port_ops *rig_ops;
static struct rte_mbuf *held[RIG_FRAMES];
static uint32_t held_count, frame_count;
static bool is_holding;

static uint16_t
train_tx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	 uint16_t count)
{
	frame_count += count;
	if (!is_holding)
		return rig_ops->tx(port, now_ns, frames, count);
	FAL_ASSERT(held_count + count <= RIG_FRAMES);
	memcpy(held + held_count, frames, count * sizeof(frames[0]));
	held_count += count;
	return count;
}

/* What was held leaves; with is_lost nobody receives it. */
static void
train_release(bool is_lost)
{
	is_holding = false;
	for (uint32_t i = 0; i < held_count; i++) {
		if (is_lost)
			rte_pktmbuf_free(held[i]);
		else
			rig_ops->tx(&rig.port, rig.now_ns, &held[i], 1);
	}
	held_count = 0;
}

static uint8_t
byte_at(uint32_t at)
{
	return (uint8_t)(at * 7 + at / 251);
}

static void
train_ack(uint32_t ack, uint32_t sack_left, uint32_t sack_right)
{
	struct rig_segment segment = {
		.seq = 1, .ack = ack, .flags = TCP_ACK, .window = 60000};

	segment.options.has_timestamps = true;
	segment.options.ts_value = 1 + (uint32_t)(rig.now_ns / NS_PER_MS);
	segment.options.ts_echo = rig.ts_echo;
	if (sack_left != sack_right) {
		segment.options.sack_count = 1;
		segment.options.sacks[0].left = rig.isn + sack_left;
		segment.options.sacks[0].right = rig.isn + sack_right;
	}
	rig_receive(&rig, &segment);
}

/* A connection with a window of 480,000 bytes. */
static void
train_open(struct rte_mempool *pool)
{
	static struct port_ops ops;
	const struct rig_options options = {
		.tx_offloads = PORT_TX_TCP_CHECKSUM | PORT_TX_TCP_SEGMENTS};
	struct rig_segment syn = {.flags = TCP_SYN, .window = 60000};
	struct rig_segment answer;

	rig_start(&rig, pool, &options);
	rig_ops = rig.port.ops;
	ops = *rig_ops;
	ops.tx = train_tx;
	rig.port.ops = &ops;
	syn.options.mss = 1460;
	syn.options.has_timestamps = true;
	syn.options.ts_value = 1;
	syn.options.sack_permitted = true;
	syn.options.has_window_shift = true;
	syn.options.window_shift = 3;
	rig_receive(&rig, &syn);
	rig_settle(&rig);
	FAL_ASSERT(rig_next(&rig, &answer));
	train_ack(1, 0, 0);
	rig_settle(&rig);
	FAL_ASSERT(rig.conn != NULL);
	frame_count = 0;
}

/* Copies the payload of the segment that is next; false: there is none. */
static bool
train_copy(uint8_t *copy)
{
	for (uint32_t i = rig.sent_at; i < rig.sent_count; i++) {
		const uint8_t *at =
			rte_pktmbuf_mtod(rig.sent[i], const uint8_t *);
		const uint8_t *tcp = at + 14 + 20;

		if (be_load16(at + 12) != 0x0800)
			continue;
		memcpy(copy, tcp + (tcp[12] >> 4) * 4, TRAIN_MSS);
		return true;
	}
	return false;
}

/* Takes all segments that were sent; asserts their bytes. Returns the end of
 * the furthest that follows what was received without a hole. */
static uint32_t
train_receive(uint32_t next, uint32_t *segments)
{
	struct rig_segment segment;
	uint8_t copy[RIG_FRAME_MAX];

	while (train_copy(copy) && rig_next(&rig, &segment)) {
		for (uint32_t i = 0; i < segment.bytes; i++)
			FAL_ASSERT(copy[i] == byte_at(segment.seq - 1 + i));
		FAL_ASSERT(segment.bytes <= TRAIN_MSS);
		*segments += segment.bytes > 0;
		if (segment.seq == next)
			next += segment.bytes;
	}
	rig_forget(&rig);
	return next;
}

static uint32_t
train_write(uint32_t from)
{
	uint8_t bytes[10000];
	uint32_t count = TRAIN_BYTES - from;

	if (count > sizeof(bytes))
		count = sizeof(bytes);
	for (uint32_t i = 0; i < count; i++)
		bytes[i] = byte_at(from + i);
	return tcp_write(rig.core, rig.conn, bytes, count);
}

/* As much as the first windows need to be wide. Returns what is sent, all of it
 * acknowledged. */
static uint32_t
train_run(uint32_t written, uint32_t bytes, uint32_t *segments)
{
	uint32_t next = written + 1;

	while (next - 1 < bytes) {
		while (written < bytes) {
			const uint32_t more = train_write(written);

			if (more == 0)
				break;
			written += more;
		}
		tcp_flush(rig.core);
		next = train_receive(next, segments);
		rig_pass(&rig, 1);
		train_ack(next, 0, 0);
	}
	rig_settle(&rig);
	return next - 1;
}

static void
long_output_leaves_in_few_frames(struct rte_mempool *pool)
{
	uint32_t segments = 0;

	train_open(pool);
	train_run(0, TRAIN_BYTES, &segments);
	printf("%u segments in %u frames, %llu of them trains\n", segments,
	       frame_count, (unsigned long long)rig.core->counters.tx_trains);
	FAL_ASSERT(segments >= TRAIN_BYTES / TRAIN_MSS);
	FAL_ASSERT(frame_count * 3 < segments);
	FAL_ASSERT(rig.core->counters.retransmits == 0);
	rig_stop(&rig);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
}

/* The wire drops a whole burst that the driver holds for long; of its last
 * part the peer says that it came. */
static void
what_is_held_is_not_sent_again(struct rte_mempool *pool)
{
	uint32_t segments = 0, at, end;

	train_open(pool);
	at = train_run(0, TRAIN_BYTES / 2, &segments);
	is_holding = true;
	for (end = at; end < at + 30000;)
		end += train_write(end);
	tcp_flush(rig.core);
	FAL_ASSERT(held_count > 0 && rig.conn->snd_send == NULL);
	rig_pass(&rig, 40);
	train_ack(at + 1, end + 1 - 2 * TRAIN_MSS, end + 1);
	tcp_flush(rig.core);
	rig_pass(&rig, 2000); /* timeouts, too */
	tcp_flush(rig.core);
	FAL_ASSERT(rig.core->counters.retransmits == 0);
	FAL_ASSERT(rig.conn->lost > 0);
	train_release(true);
	rig_pass(&rig, 2000);
	FAL_ASSERT(train_run(end, TRAIN_BYTES, &segments) == TRAIN_BYTES);
	FAL_ASSERT(rig.core->counters.retransmits > 0);
	rig_stop(&rig);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
}

static void
a_connection_ends_before_its_train(struct rte_mempool *pool)
{
	uint32_t segments = 0, at;

	train_open(pool);
	at = train_run(0, TRAIN_BYTES / 2, &segments);
	is_holding = true;
	for (uint32_t end = at; end < at + 30000;)
		end += train_write(end);
	tcp_flush(rig.core);
	FAL_ASSERT(held_count > 0);
	tcp_abort(rig.core, rig.conn);
	tcp_flush(rig.core);
	train_release(false);
	train_receive(at + 1, &segments);
	rig_stop(&rig);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
}

int
main(void)
{
	struct rte_mempool *pool = packet_eal_pool(4095);

	long_output_leaves_in_few_frames(pool);
	what_is_held_is_not_sent_again(pool);
	a_connection_ends_before_its_train(pool);
	return 0;
}
