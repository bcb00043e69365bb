/* SPDX-License-Identifier: Apache-2.0 */
/* own - see own.h. */

#include "own.h"

#include <stdio.h>

#include "base/time.h"

#define OWN_UNACKED_MAX (4u << 20)

static uint16_t
own_rx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
       uint16_t count)
{
	struct own *own = (struct own *)(void *)port;
	uint8_t data[LINK_FRAME_MAX];
	uint16_t taken = 0;

	while (taken < count) {
		uint32_t bytes = link_get(own->link, own->end, data, now_ns);
		struct rte_mbuf *mbuf;
		char *at = NULL;

		if (bytes == 0)
			break;
		mbuf = rte_pktmbuf_alloc(own->pool);
		if (mbuf != NULL)
			at = rte_pktmbuf_append(mbuf, (uint16_t)bytes);
		if (at == NULL) {
			rte_pktmbuf_free(mbuf);
			continue;
		}
		memcpy(at, data, bytes);
		frames[taken++] = mbuf;
	}
	return taken;
}

static uint16_t
own_tx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
       uint16_t count)
{
	struct own *own = (struct own *)(void *)port;

	for (uint16_t i = 0; i < count; i++) {
		FAL_ASSERT(frames[i]->nb_segs == 1);
		link_put(own->link, own->end,
			 rte_pktmbuf_mtod(frames[i], const uint8_t *),
			 frames[i]->data_len, now_ns);
		rte_pktmbuf_free(frames[i]);
	}
	return count;
}

static const struct port_ops own_ops = {
	.name = "own",
	.rx = own_rx,
	.tx = own_tx,
};

void
own_create(struct own *own, struct link *link, unsigned end,
	   struct rte_mempool *pool, uint8_t host, uint32_t mtu,
	   uint32_t window_bytes, uint64_t now_ns)
{
	struct tcp_config config = {
		.port = &own->port,
		.pool = pool,
		.address = 0x0a4d0000u | host,
		.prefix_bits = 24,
		.conn_limit = OWN_CONNS_MAX,
		.window_bytes = window_bytes,
	};

	memset(own, 0, sizeof(*own));
	own->port.ops = &own_ops;
	own->port.mtu = (uint16_t)mtu;
	own->port.mac[0] = 2;
	own->port.mac[5] = host;
	own->link = link;
	own->end = end;
	own->host = host;
	own->pool = pool;
	if (mtu >= 1280) {
		config.address6.word[0] = 0xfd770000u;
		config.address6.word[3] = host;
	}
	for (uint32_t i = 0; i < sizeof(config.secret); i++)
		config.secret[i] = (uint8_t)(now_ns >> i);
	FAL_ASSERT(tcp_core_create(&config, now_ns, &own->core) == 0);
}

void
own_destroy(struct own *own)
{
	const struct tcp_counters *c = tcp_counters(own->core);

	fprintf(stderr,
		"  sent %lu, again %lu, recoveries %lu, undone %lu, timeouts "
		"%lu, tails %lu, challenges %lu, kept %lu, refused %lu\n",
		c->tx_frames, c->retransmits, c->recoveries, c->undone,
		c->rto_timeouts, c->tail_probes, c->challenge_acks,
		c->out_of_order, c->out_of_order_drops);
	tcp_core_destroy(own->core);
	FAL_ASSERT(rte_mempool_in_use_count(own->pool) == 0);
}

void
own_serve(struct own *own, uint32_t conns)
{
	own->expected = conns;
	FAL_ASSERT(tcp_listen(own->core, 7000, 0) == 0);
}

void
own_call(struct own *own, uint8_t host, bool is_ipv6, const struct talk *talk)
{
	struct tcp_address to = tcp_address_ipv4(0x0a4d0000u | host);

	if (is_ipv6)
		to = (struct tcp_address){{0xfd770000u, 0, 0, host}};
	own->expected = talk->conns;
	for (uint32_t i = 0; i < talk->conns; i++) {
		struct tcp_conn *conn;
		struct own_conn *it;

		FAL_ASSERT(tcp_connect(own->core, &to, 7000, 0, &conn) == 0);
		it = &own->conns[tcp_index(own->core, conn)];
		memset(it, 0, sizeof(*it));
		it->is_client = true;
		it->talk = *talk;
	}
	tcp_flush(own->core);
}

static void
own_fail(struct own *own, const char *what)
{
	fprintf(stderr, "own end: %s\n", what);
	own->failures++;
}

static uint32_t
own_say(const struct own_conn *it)
{
	return it->is_client ? it->talk.up : it->talk.down;
}

static uint32_t
own_hear(const struct own_conn *it)
{
	return it->is_client ? it->talk.down : it->talk.up;
}

/* Copies exactly so many bytes out of the input, if they are there. */
static bool
own_take(struct own *own, struct own_conn *it, void *data, uint32_t bytes)
{
	struct tcp_slice slices[16];
	uint32_t count = tcp_peek(it->conn, slices, 16);
	uint32_t taken = 0;

	if (tcp_buffered(it->conn) < bytes)
		return false;
	for (uint32_t i = 0; i < count && taken < bytes; i++) {
		uint32_t part = slices[i].bytes < bytes - taken
					? slices[i].bytes
					: bytes - taken;

		memcpy((uint8_t *)data + taken, slices[i].data, part);
		taken += part;
	}
	if (taken < bytes)
		return false;
	tcp_consume(own->core, it->conn, bytes);
	return true;
}

/* The talk, then the pings. Returns whether the streams may begin. */
static bool
own_ping(struct own *own, struct own_conn *it)
{
	uint8_t ping[TALK_PING_BYTES], came[TALK_PING_BYTES];

	if (it->head_bytes == 0) {
		if (it->is_client)
			tcp_write(own->core, it->conn, &it->talk,
				  sizeof(it->talk));
		else if (!own_take(own, it, &it->talk, sizeof(it->talk)))
			return false;
		it->head_bytes = sizeof(it->talk);
		memset(ping, 0, sizeof(ping));
		if (it->is_client && it->talk.pings > 0)
			tcp_write(own->core, it->conn, ping, sizeof(ping));
	}
	while (it->pings < it->talk.pings) {
		if (!own_take(own, it, came, sizeof(came)))
			return false;
		memset(ping, (int)it->pings, sizeof(ping));
		if (memcmp(ping, came, sizeof(ping)) != 0)
			own_fail(own, "wrong bytes in a ping");
		it->pings++;
		if (it->is_client)
			memset(ping, (int)it->pings, sizeof(ping));
		if (!it->is_client || it->pings < it->talk.pings)
			tcp_write(own->core, it->conn, ping, sizeof(ping));
	}
	return true;
}

static void
own_read(struct own *own, struct own_conn *it)
{
	struct tcp_slice slices[16];
	uint32_t count, taken;

	do {
		count = tcp_peek(it->conn, slices, 16);
		taken = 0;
		for (uint32_t i = 0; i < count; i++) {
			if (memcmp(slices[i].data,
				   talk_pattern() + it->heard % TALK_PATTERN,
				   slices[i].bytes) != 0)
				own_fail(own, "wrong bytes in a stream");
			it->heard += slices[i].bytes;
			taken += slices[i].bytes;
		}
		tcp_consume(own->core, it->conn, taken);
	} while (count == 16);
}

static void
own_write(struct own *own, struct own_conn *it)
{
	uint32_t total = own_say(it);
	/* All together leave the pool enough for pings. */
	uint32_t limit = OWN_UNACKED_MAX / own->expected < 1u << 20
				 ? OWN_UNACKED_MAX / own->expected
				 : 1u << 20;

	while (it->said < total && tcp_unacked(it->conn) < limit) {
		uint32_t bytes = total - it->said;
		uint32_t put;

		bytes = bytes > 16000 ? 16000 : bytes;
		put = tcp_write(own->core, it->conn,
				talk_pattern() + it->said % TALK_PATTERN,
				bytes);
		it->said += put;
		/* The pool is low. Of a connection with nothing under way no
		 * news will come. */
		it->is_stuck = put < bytes;
		if (it->is_stuck)
			return;
	}
	if (it->said == total && !it->is_shut) {
		it->is_shut = true;
		tcp_shutdown(own->core, it->conn);
	}
}

static void
own_step(struct own *own, struct own_conn *it)
{
	if (own_ping(own, it)) {
		own_read(own, it);
		if (tcp_reason(it->conn) == TCP_REASON_NONE)
			own_write(own, it);
	}
	if (it->has_fin && it->is_shut && tcp_unacked(it->conn) == 0) {
		if (it->heard != own_hear(it))
			own_fail(own, "a stream is not whole");
		tcp_close(own->core, it->conn, 10000);
		it->conn = NULL;
		own->done++;
	}
}

static void
own_end(struct own *own, struct own_conn *it, struct tcp_conn *conn)
{
	if (it->conn != NULL)
		own_step(own, it);
	if (it->conn == NULL && it->has_fin)
		return;
	if (tcp_reason(conn) != TCP_REASON_NONE || it->heard != own_hear(it)) {
		fprintf(stderr, "reason %d, heard %u of %u, said %u of %u\n",
			tcp_reason(conn), it->heard, own_hear(it), it->said,
			own_say(it));
		own_fail(own, "a connection failed");
	}
	it->conn = NULL;
	own->done++;
	tcp_release(own->core, conn);
}

void
own_poll(struct own *own, uint64_t now_ns)
{
	struct tcp_conn *conn;
	uint32_t news;

	tcp_poll(own->core, now_ns);
	while ((conn = tcp_next_news(own->core, &news)) != NULL) {
		struct own_conn *it = &own->conns[tcp_index(own->core, conn)];

		if ((news & TCP_NEWS_OPENED) != 0) {
			if (tcp_tag(conn) == 0 && !it->is_client)
				memset(it, 0, sizeof(*it));
			it->conn = conn;
		}
		if ((news & TCP_NEWS_FIN) != 0)
			it->has_fin = true;
		if ((news & TCP_NEWS_FAILED) != 0)
			own_end(own, it, conn);
		else if (it->conn != NULL)
			own_step(own, it);
	}
	for (uint32_t i = 0; i < OWN_CONNS_MAX; i++) {
		struct own_conn *it = &own->conns[i];

		if (it->conn != NULL && it->is_stuck &&
		    tcp_reason(it->conn) == TCP_REASON_NONE)
			own_write(own, it);
	}
	tcp_flush(own->core);
}
