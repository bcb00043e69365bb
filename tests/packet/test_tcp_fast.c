/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a segment that header prediction takes (dataplane/tcp_fast.c) leaves
 * everything as it would have been without.
 * Method: two instances with one secret live through the same life, one of them
 * with every segment going the long way. A peer that knows the block of the
 * connection sends mostly what is expected and sometimes what is a little off:
 * numbers, window, flags, options, lengths, damage; the user reads and writes;
 * time passes. After each step the blocks, the queues, the counters and every
 * byte sent are the same. The environment sets FAL_SEED (the first) and
 * FAL_RUNS (how many).
 */

#include <string.h>

#include "packet_eal.h"
#include "packet_rig.h"

#define FAST_STEPS     300u
#define FAST_CLOCK_TS  5000u
#define FAST_BYTES_MAX 1400u

struct life {
	struct rig rigs[2]; /* the fast one first */
	uint32_t clock_ms;  /* of the peer */
	uint32_t window;
	bool has_ts, has_sack;
};

static uint64_t fast_random_state;

static uint32_t
fast_random(uint32_t below)
{
	uint64_t z = fast_random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (uint32_t)((z ^ (z >> 31)) % below);
}

static bool
fast_one_in(uint32_t n)
{
	return fast_random(n) == 0;
}

static struct tcp_conn *
life_conn(struct life *life, uint32_t i)
{
	return tcp_at(life->rigs[i].core, 0);
}

/* A block without what differs from one instance to the other. */
static struct tcp_conn
fast_plain(const struct tcp_conn *conn)
{
	struct tcp_conn plain = *conn;

	plain.snd_head = NULL;
	plain.snd_tail = NULL;
	plain.snd_send = NULL;
	plain.rcv_head = NULL;
	plain.rcv_tail = NULL;
	plain.runs = NULL;
	/* Never said of the other one. */
	plain.flags &= ~(uint32_t)TCP_CALM;
	plain.ip_sum = 0;
	plain.tcp_sum = 0;
	return plain;
}

static void
fast_same_output(const struct tcp_conn *a, const struct tcp_conn *b)
{
	struct rte_mbuf *x = a->snd_head, *y = b->snd_head;

	while (x != NULL) {
		const struct tcp_seg *s = tcp_seg_of(x), *t;

		FAL_ASSERT(y != NULL);
		t = tcp_seg_of(y);
		FAL_ASSERT((x == a->snd_send) == (y == b->snd_send));
		FAL_ASSERT(s->seq == t->seq && s->bytes == t->bytes);
		FAL_ASSERT(s->flags == t->flags && s->offset == t->offset);
		FAL_ASSERT(x == a->snd_tail || s->next != NULL);
		x = s->next;
		y = t->next;
	}
	FAL_ASSERT(y == NULL);
}

static void
fast_same_input(const struct tcp_conn *a, const struct tcp_conn *b)
{
	struct tcp_slice x[64], y[64];
	uint32_t count = tcp_peek(a, x, 64);

	FAL_ASSERT(tcp_peek(b, y, 64) == count);
	for (uint32_t i = 0; i < count; i++) {
		FAL_ASSERT(x[i].bytes == y[i].bytes);
		FAL_ASSERT(memcmp(x[i].data, y[i].data, x[i].bytes) == 0);
	}
}

static void
fast_same_sent(struct life *life)
{
	struct rig *a = &life->rigs[0], *b = &life->rigs[1];

	FAL_ASSERT(a->sent_count == b->sent_count);
	for (uint32_t i = 0; i < a->sent_count; i++) {
		const struct rte_mbuf *x = a->sent[i], *y = b->sent[i];

		FAL_ASSERT(x->data_len == y->data_len);
		FAL_ASSERT(memcmp(rte_pktmbuf_mtod(x, const uint8_t *),
				  rte_pktmbuf_mtod(y, const uint8_t *),
				  x->data_len) == 0);
	}
	rig_forget(a);
	rig_forget(b);
}

static void
fast_same(struct life *life)
{
	struct tcp_conn *a = life_conn(life, 0), *b = life_conn(life, 1);
	struct tcp_conn plain_a = fast_plain(a), plain_b = fast_plain(b);
	struct tcp_counters x = *tcp_counters(life->rigs[0].core);
	struct tcp_counters y = *tcp_counters(life->rigs[1].core);

	x.expected = 0;
	FAL_ASSERT(y.expected == 0);
	FAL_ASSERT(memcmp(&plain_a, &plain_b, sizeof(plain_a)) == 0);
	FAL_ASSERT(memcmp(&x, &y, sizeof(x)) == 0);
	fast_same_output(a, b);
	fast_same_input(a, b);
	fast_same_sent(life);
}

static void
life_receive(struct life *life, const struct rig_segment *segment)
{
	rig_receive(&life->rigs[0], segment);
	rig_receive(&life->rigs[1], segment);
}

static void
life_flush(struct life *life)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct rig *rig = &life->rigs[i];
		struct tcp_conn *conn;
		uint32_t news;

		rig->news = 0;
		while ((conn = tcp_next_news(rig->core, &news)) != NULL)
			rig->news |= news;
		tcp_flush(rig->core);
	}
	FAL_ASSERT(life->rigs[0].news == life->rigs[1].news);
	fast_same(life);
}

static void
life_pass(struct life *life, uint32_t us)
{
	life->clock_ms += us / 1000;
	for (uint32_t i = 0; i < 2; i++) {
		life->rigs[i].now_ns += us * NS_PER_US;
		tcp_poll(life->rigs[i].core, life->rigs[i].now_ns);
	}
}

/* What the port of both does. */
static uint32_t
fast_offloads(void)
{
	static const uint32_t offloads[] = {0, PORT_TX_TCP_CHECKSUM,
					    PORT_TX_TCP_CHECKSUM |
						    PORT_TX_TCP_SEGMENTS};

	return offloads[fast_random(3)];
}

static void
life_open(struct life *life, struct rte_mempool *pool)
{
	struct rig_options options = {
		.is_ipv6 = fast_one_in(3),
		.vlan = fast_one_in(4) ? 5 : 0,
		.conn_limit = 2,
		.tx_offloads = fast_offloads(),
	};
	struct rig_segment syn = {.flags = TCP_SYN, .window = 60000};
	struct rig_segment ack = {.seq = 1, .ack = 1, .flags = TCP_ACK};

	life->has_ts = !fast_one_in(4);
	life->has_sack = !fast_one_in(4);
	life->window = 500;
	syn.options.mss = 1400;
	syn.options.has_timestamps = life->has_ts;
	syn.options.ts_value = FAST_CLOCK_TS;
	syn.options.sack_permitted = life->has_sack;
	syn.options.has_window_shift = true;
	syn.options.window_shift = 7;
	ack.window = life->window;
	for (uint32_t i = 0; i < 2; i++) {
		rig_start(&life->rigs[i], pool, &options);
		life->rigs[i].is_left_alone = true;
		life->rigs[i].core->is_fast = i == 0;
	}
	life_receive(life, &syn);
	life_flush(life);
	ack.ack = life_conn(life, 0)->snd_nxt;
	ack.options.has_timestamps = life->has_ts;
	ack.options.ts_value = FAST_CLOCK_TS;
	life_receive(life, &ack);
	life_flush(life);
	FAL_ASSERT(life_conn(life, 0)->state == TCP_ESTABLISHED);
}

/* Where the peer may say that it has got to. */
static uint32_t
fast_ack_of(const struct tcp_conn *conn)
{
	uint32_t flight = conn->snd_nxt - conn->snd_una;
	const struct rte_mbuf *mbuf = conn->snd_head;

	if (flight == 0 || fast_one_in(5))
		return conn->snd_una;
	if (fast_one_in(20))
		return conn->snd_una + fast_random(flight + 1);
	if (mbuf != conn->snd_send && fast_one_in(2))
		return tcp_seg_of_const(mbuf)->seq +
		       tcp_seg_of_const(mbuf)->bytes;
	return conn->snd_nxt;
}

/* Something about a segment that is not as usual. */
static void
fast_spoil(struct life *life, struct rig_segment *segment)
{
	const struct tcp_conn *conn = life_conn(life, 0);
	static const uint8_t flags[] = {TCP_PSH, 0x20,    0x40,   0x80,
					TCP_SYN, TCP_FIN, TCP_RST};
	struct rig_patch *patch = &segment->patches[0];
	struct tcp_sack *sack = &segment->options.sacks[0];

	switch (fast_random(12)) {
	case 0:
		segment->seq += fast_random(3000);
		break;
	case 1:
		segment->seq -= fast_random(500);
		break;
	case 2:
		segment->ack += fast_random(2000) - 1000;
		break;
	case 3:
		life->window = fast_one_in(3) ? 0 : fast_random(600);
		segment->window = life->window;
		break;
	case 4:
		/* The last three end the connection, so they are rare. */
		segment->flags |= flags[fast_random(fast_one_in(20) ? 7 : 4)];
		break;
	case 5:
		segment->options.ts_value -= fast_random(2000);
		break;
	case 6:
		segment->options.has_timestamps ^= true;
		break;
	case 7:
		if (conn->snd_nxt == conn->snd_una)
			break;
		sack->left = segment->ack +
			     fast_random(conn->snd_nxt - conn->snd_una);
		sack->right = conn->snd_nxt - life->rigs[0].isn;
		segment->options.sack_count = 1;
		break;
	case 8:
		segment->pad = fast_random(20);
		break;
	case 9:
		segment->bytes = fast_random(FAST_BYTES_MAX);
		break;
	default:
		*patch = (struct rig_patch){
			.layer = fast_one_in(2) ? 'i' : 't',
			.is_late = fast_one_in(2),
			.offset = (uint16_t)fast_random(20),
			.bytes = 1,
			.data = {(uint8_t)fast_random(256)},
		};
		segment->patch_count = 1;
	}
}

static void
life_segment(struct life *life)
{
	const struct tcp_conn *conn = life_conn(life, 0);
	struct rig_segment segment = {
		.seq = conn->rcv_nxt - RIG_PEER_ISN,
		.ack = fast_ack_of(conn) - life->rigs[0].isn,
		.flags = TCP_ACK,
		.window = life->window,
	};

	if (!fast_one_in(3))
		segment.bytes =
			fast_random(fast_one_in(4) ? FAST_BYTES_MAX : 100);
	segment.options.has_timestamps = life->has_ts;
	segment.options.ts_value = FAST_CLOCK_TS + life->clock_ms;
	segment.options.ts_echo = conn->ts_recent;
	if (fast_one_in(4))
		fast_spoil(life, &segment);
	life_receive(life, &segment);
}

static void
life_use(struct life *life)
{
	uint8_t bytes[3000];
	uint32_t take = tcp_buffered(life_conn(life, 0));
	uint32_t give = fast_random(fast_one_in(3) ? sizeof(bytes) : 80);

	take = fast_one_in(3) ? fast_random(take + 1) : take;
	memset(bytes, (int)give, sizeof(bytes));
	for (uint32_t i = 0; i < 2; i++) {
		struct tcp_conn *conn = life_conn(life, i);

		if (conn->state == TCP_FREE)
			continue;
		tcp_consume(life->rigs[i].core, conn, take);
		if (tcp_unacked(conn) < 20000)
			tcp_write(life->rigs[i].core, conn, bytes, give);
	}
}

/* Returns how many segments were expected; adds how many were of calm
 * connections. */
static uint64_t
life_run(struct rte_mempool *pool, uint64_t seed, uint64_t *calm)
{
	static struct life life;
	uint64_t expected;

	memset(&life, 0, sizeof(life));
	fast_random_state = seed;
	life_open(&life, pool);
	for (uint32_t step = 0; step < FAST_STEPS; step++) {
		*calm += tcp_has(life_conn(&life, 0), TCP_CALM);
		FAL_ASSERT(!tcp_has(life_conn(&life, 1), TCP_CALM));
		life_segment(&life);
		fast_same(&life);
		if (!fast_one_in(3))
			life_use(&life);
		if (fast_one_in(4))
			life_pass(&life,
				  fast_random(fast_one_in(9) ? 200000 : 3000));
		if (!fast_one_in(4))
			life_flush(&life);
	}
	expected = tcp_counters(life.rigs[0].core)->expected;
	rig_stop(&life.rigs[0]);
	rig_stop(&life.rigs[1]);
	FAL_ASSERT(rte_mempool_in_use_count(pool) == 0);
	return expected;
}

int
main(void)
{
	const char *seed_text = getenv("FAL_SEED");
	const char *runs_text = getenv("FAL_RUNS");
	uint64_t seed = seed_text == NULL ? 1 : strtoull(seed_text, NULL, 10);
	uint64_t runs = runs_text == NULL ? 200 : strtoull(runs_text, NULL, 10);
	struct rte_mempool *pool = packet_eal_pool(8191);
	uint64_t expected = 0, calm = 0;

	for (uint64_t i = 0; i < runs; i++) {
		fprintf(stderr, "FAL_SEED=%llu FAL_RUNS=1\n",
			(unsigned long long)(seed + i));
		expected += life_run(pool, seed + i, &calm);
	}
	printf("%llu lives, %llu segments were expected, %llu came when calm\n",
	       (unsigned long long)runs, (unsigned long long)expected,
	       (unsigned long long)calm);
	/* Else nothing was compared. */
	FAL_ASSERT(expected > runs * FAST_STEPS / 10);
	FAL_ASSERT(runs < 100 || calm > runs * FAST_STEPS / 20);
	return 0;
}
