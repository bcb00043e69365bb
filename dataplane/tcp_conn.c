/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_conn - the control blocks: allocation, look-up, lists of those with
 * something to say.
 *
 * All blocks are allocated at start. The look-up table has twice as many slots
 * as there are blocks, linear probing and removal by moving back, so it is
 * never full and does not age. A block in the out or news list may be freed and
 * used anew before its turn comes; then its new user is looked at once in vain.
 */

#include "dataplane/tcp_int.h"

#include <stdlib.h>

#include "base/bits.h"

static uint32_t
tcp_conn_hash(const struct tcp_core *core, const struct tcp_address *remote,
	      uint16_t remote_port, uint16_t local_port)
{
	uint64_t high;

	memcpy(&high, remote->word, sizeof(high));
	return tcp_hash(core, tcp_key(remote->word[3], remote_port, local_port),
			high, remote->word[2]);
}

struct tcp_conn *
tcp_conn_find(struct tcp_core *core, const struct tcp_address *remote,
	      const struct tcp_address *local, uint16_t remote_port,
	      uint16_t local_port)
{
	uint32_t at = tcp_conn_hash(core, remote, remote_port, local_port) &
		      core->table_mask;

	while (core->table[at] != 0) {
		struct tcp_conn *conn = &core->conns[core->table[at] - 1];
		const struct tcp_address *own = tcp_local(core, conn);

		if (conn->remote_port == remote_port &&
		    conn->local_port == local_port &&
		    tcp_address_equal(&conn->remote, remote) &&
		    (own == local || tcp_address_equal(own, local)))
			return conn;
		at = (at + 1) & core->table_mask;
	}
	return NULL;
}

/* The connection a packet belongs to, or NULL. */
struct tcp_conn *
tcp_conn_of(struct tcp_core *core, const struct tcp_packet *packet)
{
	return tcp_conn_find(core, &packet->source, &packet->destination,
			     packet->source_port, packet->destination_port);
}

static void
tcp_conn_table_remove(struct tcp_core *core, const struct tcp_conn *conn)
{
	uint32_t mask = core->table_mask;
	uint32_t index = tcp_index(core, conn) + 1;
	uint32_t hole = conn->hash & mask;
	uint32_t at;

	while (core->table[hole] != index) {
		if (core->table[hole] == 0)
			return; /* taken out before */
		hole = (hole + 1) & mask;
	}
	core->table[hole] = 0;
	for (at = (hole + 1) & mask; core->table[at] != 0;
	     at = (at + 1) & mask) {
		uint32_t home = core->conns[core->table[at] - 1].hash & mask;

		/* An entry moves unless its home lies behind the hole. */
		if (((at - home) & mask) >= ((at - hole) & mask)) {
			core->table[hole] = core->table[at];
			core->table[at] = 0;
			hole = at;
		}
	}
}

/* Settles the initial sequence number of a connection that has sent nothing. */
void
tcp_conn_iss(struct tcp_conn *conn, uint32_t iss)
{
	conn->snd_una = iss;
	conn->snd_nxt = iss;
	conn->snd_end = iss + 1;
}

/* Gives a block in the table, an orphan in state CLOSED; NULL: none left. */
struct tcp_conn *
tcp_conn_new(struct tcp_core *core, const struct tcp_address *remote,
	     const struct tcp_address *local, uint16_t remote_port,
	     uint16_t local_port)
{
	struct tcp_conn *conn;
	uint32_t at;
	uint8_t lists;

	/* The oldest TIME-WAIT has done most of its duty. */
	if (core->free_head == TCP_NONE && core->time_wait_head != TCP_NONE)
		tcp_conn_free(core, &core->conns[core->time_wait_head]);
	if (core->free_head == TCP_NONE)
		return NULL;
	conn = &core->conns[core->free_head];
	core->free_head = conn->wheel_next;
	lists = conn->lists;
	memset(conn, 0, sizeof(*conn));
	conn->lists = lists;
	conn->state = TCP_CLOSED;
	conn->flags = TCP_ORPHAN;
	if (tcp_address_equal(local, &core->link6))
		tcp_set(conn, TCP_LINK_LOCAL);
	conn->remote = *remote;
	conn->remote_port = remote_port;
	conn->local_port = local_port;
	conn->hash = tcp_conn_hash(core, remote, remote_port, local_port);
	conn->mss = TCP_MSS_DEFAULT4;
	conn->mss_max = conn->mss;
	conn->rcv_mss = TCP_MSS_DEFAULT4;
	tcp_conn_iss(conn,
		     tcp_syn_isn(core, remote, local, remote_port, local_port));
	for (at = conn->hash & core->table_mask; core->table[at] != 0;
	     at = (at + 1) & core->table_mask)
		;
	core->table[at] = tcp_index(core, conn) + 1;
	core->counters.conns++;
	return conn;
}

static void
tcp_conn_empty(struct tcp_core *core, struct tcp_conn *conn)
{
	if (tcp_has(conn, TCP_PASSIVE)) {
		tcp_clear(conn, TCP_PASSIVE);
		core->counters.half_open--;
	}
	tcp_timer_unlink(core, conn);
	tcp_time_wait_leave(core, conn);
	tcp_conn_table_remove(core, conn);
	tcp_loss_drop(conn);
	conn->tx_deadline = 0;
	conn->ack_deadline = 0;
	conn->life_deadline = 0;
}

void
tcp_conn_free(struct tcp_core *core, struct tcp_conn *conn)
{
	FAL_ASSERT(conn->state != TCP_FREE);
	tcp_conn_empty(core, conn);
	tcp_data_drop(core, conn);
	conn->state = TCP_FREE;
	conn->news = 0;
	conn->flags = 0;
	conn->wheel_next = core->free_head;
	core->free_head = tcp_index(core, conn);
	core->counters.conns--;
}

/* Ends a connection without a word to the peer. The user keeps its input and is
 * told; a block without user is free at once. */
void
tcp_conn_end(struct tcp_core *core, struct tcp_conn *conn,
	     enum tcp_reason reason)
{
	FAL_PROBE3(tcp_end, conn->local_port, conn->remote_port, reason);
	if (tcp_has(conn, TCP_ORPHAN)) {
		tcp_conn_free(core, conn);
		return;
	}
	tcp_conn_empty(core, conn);
	tcp_stir(conn);
	conn->state = TCP_CLOSED;
	conn->reason = (uint8_t)reason;
	tcp_conn_news(core, conn, TCP_NEWS_FAILED);
}

/* The handshake is over: congestion control starts (RFC 6928: IW10). */
void
tcp_conn_establish(struct tcp_core *core, struct tcp_conn *conn)
{
	uint32_t mss = conn->mss;

	FAL_PROBE2(tcp_open, conn->local_port, conn->remote_port);
	if (tcp_has(conn, TCP_PASSIVE)) {
		tcp_clear(conn, TCP_PASSIVE | TCP_ORPHAN);
		core->counters.half_open--;
		core->counters.accepts++;
	}
	conn->state = TCP_ESTABLISHED;
	conn->backoff = 0;
	conn->tx_deadline = 0;
	conn->ssthresh = UINT32_MAX;
	conn->cwnd = 10 * mss > 14600 ? (2 * mss > 14600 ? 2 * mss : 14600)
				      : 10 * mss;
	tcp_conn_news(core, conn, TCP_NEWS_OPENED);
	tcp_conn_out(core, conn);
}

/* Settles the payload of a full segment, 0: the peer named no MSS. */
void
tcp_conn_mss(struct tcp_core *core, struct tcp_conn *conn, uint16_t offered)
{
	uint32_t headers = tcp_ip_bytes(&conn->remote) + TCP_HEADER_BYTES;
	uint32_t mss = headers == TCP_IP4_BYTES + TCP_HEADER_BYTES
			       ? TCP_MSS_DEFAULT4
			       : TCP_MSS_DEFAULT6;
	uint32_t own = core->config.port->mtu - headers;
	/* A word is left behind the payload: see tcp_calm_checksum(). */
	uint32_t room = rte_pktmbuf_data_room_size(core->config.pool) -
			RTE_PKTMBUF_HEADROOM - 8;

	mss = offered != 0 ? offered : mss;
	mss = mss < TCP_MSS_MIN ? TCP_MSS_MIN : mss;
	mss = mss > own ? own : mss;
	mss = mss > room ? room : mss;
	/* RFC 6691: options come out of the segment, not on top. */
	if (tcp_has(conn, TCP_HAS_TS))
		mss -= 12;
	conn->mss = (uint16_t)mss;
	conn->mss_max = conn->mss;
}

/* A router on the path takes no more than `mtu` (RFC 1191, RFC 8201). */
void
tcp_conn_mss_set(struct tcp_core *core, struct tcp_conn *conn, uint32_t mtu)
{
	uint32_t headers = tcp_ip_bytes(&conn->remote) + TCP_HEADER_BYTES +
			   (tcp_has(conn, TCP_HAS_TS) ? 12u : 0u);

	FAL_ASSERT(mtu >= 576);
	if (mtu - headers >= conn->mss)
		return;
	core->counters.path_mtu++;
	tcp_stir(conn);
	conn->mss = (uint16_t)(mtu - headers);
	conn->mss_minute = (uint16_t)(core->now_ns / (60 * NS_PER_SECOND));
	tcp_loss_too_big(core, conn);
}

struct tcp_conn *
tcp_next_news(struct tcp_core *core, uint32_t *news)
{
	while (core->news_head != core->news_tail) {
		uint32_t at = core->news_head++ & core->list_mask;
		struct tcp_conn *conn = &core->conns[core->news[at]];

		conn->lists = (uint8_t)(conn->lists & ~TCP_IN_NEWS);
		*news = conn->news;
		conn->news = 0;
		if (*news != 0 && conn->state != TCP_FREE)
			return conn;
	}
	return NULL;
}

uint32_t
tcp_index(const struct tcp_core *core, const struct tcp_conn *conn)
{
	return (uint32_t)(conn - core->conns);
}

struct tcp_conn *
tcp_at(struct tcp_core *core, uint32_t index)
{
	FAL_ASSERT(index < core->config.conn_limit);
	return &core->conns[index];
}

uint32_t
tcp_tag(const struct tcp_conn *conn)
{
	return conn->tag;
}

enum tcp_reason
tcp_reason(const struct tcp_conn *conn)
{
	return (enum tcp_reason)conn->reason;
}

void
tcp_peer(const struct tcp_conn *conn, struct tcp_address *address,
	 uint16_t *port)
{
	*address = conn->remote;
	*port = conn->remote_port;
}

uint32_t
tcp_mss(const struct tcp_conn *conn)
{
	return conn->mss;
}
