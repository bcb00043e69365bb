/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp - the instance: making it, its loop, and what users ask of connections.
 */

#include "dataplane/tcp.h"

#include <stdlib.h>

#include "base/bits.h"
#include "dataplane/tcp_int.h"

/* Nothing is in it, and nothing fits in. */
struct rte_mempool_cache tcp_no_cache;

static int
tcp_core_check(struct tcp_config *config)
{
	if (config->conn_limit == 0 || config->conn_limit > 1u << 20 ||
	    config->prefix_bits > 32 || config->prefix6_bits > 128 ||
	    config->vlan > 4094 || config->port->mtu < 576 ||
	    rte_pktmbuf_priv_size(config->pool) < TCP_POOL_PRIVATE_BYTES)
		return FAL_EINVAL;
	if (tcp_is_none(&config->address6) ? config->address == 0
					   : config->port->mtu < 1280)
		return FAL_EINVAL;
	if (config->half_open_limit == 0)
		config->half_open_limit = 4096;
	if (config->half_open_limit > config->conn_limit / 2)
		config->half_open_limit = config->conn_limit / 2;
	if (config->prefix6_bits == 0)
		config->prefix6_bits = 64;
	if (config->window_bytes == 0)
		config->window_bytes = 65536;
	if (config->window_bytes > 65535u << TCP_WINDOW_SHIFT)
		return FAL_EINVAL;
	if (config->rto_min_ms == 0)
		config->rto_min_ms = 60;
	if (config->time_wait_ms == 0)
		config->time_wait_ms = 2000;
	/* As Linux has them. */
	if (config->local_port_first == 0)
		config->local_port_first = 32768;
	if (config->local_port_count == 0)
		config->local_port_count =
			(uint16_t)(61000 - config->local_port_first);
	if ((uint32_t)config->local_port_first + config->local_port_count >
	    65536)
		return FAL_EINVAL;
	return 0;
}

/* Our addresses; the link-local one is made of the MAC (RFC 4291, appendix A).
 */
static void
tcp_core_addresses(struct tcp_core *core)
{
	const uint8_t *mac = core->config.port->mac;

	core->ether_bytes =
		TCP_ETHER_BYTES + (core->config.vlan != 0 ? TCP_VLAN_BYTES : 0);
	if (core->config.address != 0)
		core->local4 = tcp_address_ipv4(core->config.address);
	core->local6 = core->config.address6;
	if (tcp_is_none(&core->local6))
		return;
	core->link6.word[0] = 0xfe800000u;
	core->link6.word[2] = (uint32_t)(mac[0] ^ 2) << 24 |
			      (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 |
			      0xff;
	core->link6.word[3] = 0xfe000000u | (uint32_t)mac[3] << 16 |
			      (uint32_t)mac[4] << 8 | mac[5];
}

static void
tcp_core_free(struct tcp_core *core)
{
	free(core->table);
	free(core->conns);
	free(core->out);
	free(core->news);
	free(core);
}

int
tcp_core_create(const struct tcp_config *config, uint64_t now_ns,
		struct tcp_core **core)
{
	struct tcp_core *made = calloc(1, sizeof(*made));
	uint32_t slots;

	if (made == NULL)
		return FAL_ENOMEM;
	made->config = *config;
	if (tcp_core_check(&made->config) != 0) {
		free(made);
		return FAL_EINVAL;
	}
	slots = (uint32_t)bits_pow2_at_least(2ull * config->conn_limit);
	made->table_mask = slots - 1;
	made->table = calloc(slots, sizeof(made->table[0]));
	made->conns = calloc(config->conn_limit, sizeof(made->conns[0]));
	made->list_mask = (uint32_t)bits_pow2_at_least(config->conn_limit) - 1;
	made->out = calloc(made->list_mask + 1, sizeof(made->out[0]));
	made->news = calloc(made->list_mask + 1, sizeof(made->news[0]));
	if (made->table == NULL || made->conns == NULL || made->out == NULL ||
	    made->news == NULL) {
		tcp_core_free(made);
		return FAL_ENOMEM;
	}
	for (uint32_t i = 0; i < config->conn_limit; i++)
		made->conns[i].wheel_next =
			i + 1 < config->conn_limit ? i + 1 : TCP_NONE;
	for (uint32_t i = 0; i < 4; i++)
		made->hash_key.word[i] =
			be_load64(config->secret + 8 * (i % 2)) ^
			0x9e3779b97f4a7c15ull * (i + 1);
	memset(made->wheel, 0xff, sizeof(made->wheel));
	tcp_core_addresses(made);
	made->cache = &tcp_no_cache;
	made->is_fast = true;
	made->rto_min_us = made->config.rto_min_ms > TCP_RTO_MAX_US / 1000
				   ? TCP_RTO_MAX_US
				   : made->config.rto_min_ms * 1000;
	tcp_fast_prepare(made);
	made->time_wait_head = TCP_NONE;
	made->time_wait_tail = TCP_NONE;
	made->tick = (uint32_t)(now_ns >> TCP_TICK_SHIFT);
	made->ts_offset = (uint32_t)tcp_syn_sip(made, NULL, 0);
	made->now_ns = UINT64_MAX;
	tcp_now(made, now_ns);
	*core = made;
	return 0;
}

void
tcp_core_destroy(struct tcp_core *core)
{
	for (uint32_t i = 0; i < core->tx_count; i++)
		rte_pktmbuf_free(core->tx[i]);
	for (uint32_t i = 0; i < core->config.conn_limit; i++) {
		tcp_loss_drop(&core->conns[i]);
		tcp_data_drop(core, &core->conns[i]);
	}
	rte_pktmbuf_free(core->spare);
	tcp_core_free(core);
}

void
tcp_poll(struct tcp_core *core, uint64_t now_ns)
{
	struct rte_mbuf *frames[PORT_BURST_MAX];

	FAL_ASSERT(now_ns >= core->now_ns);
	tcp_now(core, now_ns);
	core->cache =
		rte_mempool_default_cache(core->config.pool, rte_lcore_id());
	if (FAL_UNLIKELY(core->cache == NULL))
		core->cache = &tcp_no_cache;
	for (uint32_t i = 0; i < 8; i++) {
		uint16_t count = port_rx(core->config.port, now_ns, frames,
					 PORT_BURST_MAX);

		FAL_PROBE1(rx_burst, count);
		if (FAL_UNLIKELY(count > 0 &&
				 frames[0]->pool != core->config.pool))
			core->pool_of_other = frames[0]->pool;
		tcp_input_burst(core, frames, count);
		if (count < PORT_BURST_MAX)
			break;
	}
	tcp_timer_run(core);
}

bool
tcp_is_short(const struct tcp_core *core)
{
	return core->pool_level >= TCP_POOL_NO_WINDOW;
}

static bool
tcp_can_send(const struct tcp_conn *conn)
{
	return !tcp_has(conn, TCP_FIN_QUEUED) &&
	       (FAL_LIKELY(conn->state == TCP_ESTABLISHED) ||
		conn->state == TCP_CLOSE_WAIT);
}

/* Whether an mbuf may be taken for output. Counted, since all connections may
 * write within a tick: a pool that output has emptied cannot receive the acks
 * that would fill it again. */
static inline bool
tcp_may_write(struct tcp_core *core)
{
	if (FAL_UNLIKELY(core->output_left == 0)) {
		if (core->pool_level < TCP_POOL_NO_WRITE)
			tcp_timer_look_at_pool(core);
		if (core->output_left == 0)
			return false;
	}
	core->output_left--;
	return true;
}

/* RFC 1191 6.3: now and then the path is tried for more. */
static __attribute__((noinline)) void
tcp_reserve_mss(const struct tcp_core *core, struct tcp_conn *conn)
{
	if ((uint16_t)(core->now_ns / (60 * NS_PER_SECOND) -
		       conn->mss_minute) >= TCP_PATH_MINUTES)
		conn->mss = conn->mss_max;
}

/* The same when it is not the first segment to be sent, or something is short.
 */
static __attribute__((noinline)) void *
tcp_reserve_rare(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes,
		 uint32_t *got)
{
	FAL_ASSERT(bytes > 0);
	if (conn->mss != conn->mss_max)
		tcp_reserve_mss(core, conn);
	core->spare_for = NULL;
	*got = 0;
	if (!tcp_can_send(conn) || bytes > conn->mss)
		return NULL;
	if (conn->snd_send != NULL) {
		struct rte_mbuf *tail = conn->snd_tail;
		struct tcp_seg *seg = tcp_seg_of(tail);
		uint32_t used = (uint32_t)(seg->offset - RTE_PKTMBUF_HEADROOM) +
				seg->bytes;

		/* An unsent tail was never trimmed: used is its bytes. */
		if (used + bytes <= conn->mss) {
			*got = conn->mss - used;
			return (uint8_t *)tail->buf_addr + seg->offset +
			       seg->bytes;
		}
	}
	if (core->spare == NULL && tcp_may_write(core))
		core->spare = tcp_mbuf_alloc(core);
	if (core->spare == NULL) {
		core->counters.tx_no_mbuf++;
		return NULL;
	}
	core->spare_for = conn;
	*got = conn->mss;
	return (uint8_t *)core->spare->buf_addr + RTE_PKTMBUF_HEADROOM;
}

void *
tcp_reserve(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes,
	    uint32_t *got)
{
	struct rte_mbuf *mbuf = tcp_reserve_usual(core, conn, bytes);

	if (FAL_UNLIKELY(mbuf == NULL))
		return tcp_reserve_rare(core, conn, bytes, got);
	*got = conn->mss;
	return (uint8_t *)mbuf->buf_addr + RTE_PKTMBUF_HEADROOM;
}

void
tcp_commit(struct tcp_core *core, struct tcp_conn *conn, uint32_t bytes)
{
	struct tcp_seg *seg;

	if (bytes == 0 || !tcp_can_send(conn))
		return;
	FAL_ASSERT(bytes <= conn->mss);
	if (FAL_LIKELY(core->spare_for == conn)) {
		tcp_commit_segment(core, conn, bytes);
		return;
	}
	FAL_ASSERT(conn->snd_send != NULL);
	seg = tcp_seg_of(conn->snd_tail);
	seg->bytes = (uint16_t)(seg->bytes + bytes);
	conn->snd_end += bytes;
	tcp_conn_out(core, conn);
}

uint32_t
tcp_write(struct tcp_core *core, struct tcp_conn *conn, const void *data,
	  uint32_t bytes)
{
	const uint8_t *from = data;
	uint32_t taken = 0;

	while (taken < bytes) {
		uint32_t got;
		void *to = tcp_reserve(core, conn, 1, &got);

		if (to == NULL)
			break;
		if (got > bytes - taken)
			got = bytes - taken;
		memcpy(to, from + taken, got);
		tcp_commit(core, conn, got);
		taken += got;
	}
	return taken;
}

uint32_t
tcp_unacked(const struct tcp_conn *conn)
{
	/* Behind an acknowledged FIN snd_una is one further than the data. */
	if (conn->state < TCP_ESTABLISHED ||
	    !tcp_seq_lt(conn->snd_una, conn->snd_end))
		return 0;
	return conn->snd_end - conn->snd_una;
}

void
tcp_keepalive(struct tcp_core *core, struct tcp_conn *conn, uint32_t idle_ms)
{
	tcp_stir(conn);
	conn->keepalive_ms = idle_ms;
	if (conn->state >= TCP_TIME_WAIT || tcp_has(conn, TCP_ORPHAN))
		return;
	conn->life_deadline =
		idle_ms == 0 ? 0 : tcp_timer_in(core, idle_ms * NS_PER_MS);
	tcp_timer_arm(core, conn);
}

void
tcp_shutdown(struct tcp_core *core, struct tcp_conn *conn)
{
	if (!tcp_can_send(conn))
		return;
	tcp_stir(conn);
	tcp_set(conn, TCP_FIN_QUEUED);
	tcp_conn_out(core, conn);
}

void
tcp_close(struct tcp_core *core, struct tcp_conn *conn, uint32_t linger_ms)
{
	FAL_ASSERT(!tcp_has(conn, TCP_ORPHAN));
	if (conn->state < TCP_ESTABLISHED) {
		tcp_abort(core, conn);
		return;
	}
	tcp_shutdown(core, conn);
	tcp_stir(conn);
	tcp_set(conn, TCP_ORPHAN);
	conn->news = 0;
	tcp_data_drop(core, conn);
	if (conn->state == TCP_TIME_WAIT)
		tcp_time_wait_list(core, conn);
	else
		conn->life_deadline = tcp_timer_in(core, linger_ms * NS_PER_MS);
	tcp_timer_arm(core, conn);
	tcp_conn_out(core, conn);
}

void
tcp_abort(struct tcp_core *core, struct tcp_conn *conn)
{
	FAL_ASSERT(!tcp_has(conn, TCP_ORPHAN));
	if (conn->state != TCP_TIME_WAIT)
		tcp_out_reset(core, conn);
	tcp_conn_free(core, conn);
}

void
tcp_release(struct tcp_core *core, struct tcp_conn *conn)
{
	FAL_ASSERT(conn->state == TCP_CLOSED);
	tcp_conn_free(core, conn);
}

const struct tcp_counters *
tcp_counters(const struct tcp_core *core)
{
	return &core->counters;
}
