/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_read - a whole read as a core with a port of its own runs it: from the
 * frame with the request to the frame with the reply, which is an ack as well.
 * What is counted is one round of the reader: it takes frames from the port,
 * serves, and gives frames to the port. The port is two arrays; checksums are
 * verified and made in software. Clients are another instance of our TCP, which
 * is not counted; nor are the copies of frames between both.
 */
#include "perf/gates/gate.h"

#include <stdlib.h>

#include "base/time.h"
#include "dataplane/stream_tcp.h"
#include "perf/micro/must.h"
#include "tests/packet/packet_eal.h"
#include "tests/unit/dataplane/pipeline_rig.h"

#define READ_CONNS_MAX   32u /* what a turn finds at most */
#define READ_SERVER      0x0a000005u
#define READ_CLIENT      0x0a000001u
#define READ_FRAMES      256u
#define READ_ROUNDS      50u /* of both sides until something has come */
#define READ_ROUND_NS    (5 * NS_PER_US)
#define READ_REPLY_BYTES (4u + 16u) /* length, xid, zxid, err */

_Static_assert(BENCH_BURST % READ_CONNS_MAX == 0, "whole turns");

struct read_end {
	struct port port;
	struct rte_mbuf *in[READ_FRAMES], *out[READ_FRAMES];
	uint32_t in_count, in_taken, out_count;
};

struct read_state {
	struct read_end server, client;
	struct stream_core *streams;
	struct tcp_core *tcp; /* of the clients */
	struct rte_mempool *pool;
	struct tcp_conn *conn[READ_CONNS_MAX];
	uint32_t conn_count;
	uint64_t now_ns;
	int32_t xid;
	struct rig rig; /* last: it is large */
};

static uint16_t
read_rx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	uint16_t count)
{
	struct read_end *end = (struct read_end *)port;
	uint32_t left = end->in_count - end->in_taken;

	(void)now_ns;
	if (left < count)
		count = (uint16_t)left;
	memcpy(frames, end->in + end->in_taken, count * sizeof(frames[0]));
	end->in_taken += count;
	return count;
}

static uint16_t
read_tx(struct port *port, uint64_t now_ns, struct rte_mbuf **frames,
	uint16_t count)
{
	struct read_end *end = (struct read_end *)port;

	(void)now_ns;
	if (count > READ_FRAMES - end->out_count)
		count = (uint16_t)(READ_FRAMES - end->out_count);
	memcpy(end->out + end->out_count, frames, count * sizeof(frames[0]));
	end->out_count += count;
	return count;
}

static const struct port_ops read_ops = {
	.name = "read",
	.rx = read_rx,
	.tx = read_tx,
};

static void
read_end_init(struct read_end *end, uint8_t station)
{
	end->port.ops = &read_ops;
	end->port.mtu = 1500;
	end->port.mac[0] = 2;
	end->port.mac[5] = station;
}

/* Copies what one end sent to where the other receives. */
static void
read_carry(struct read_state *state, struct read_end *from, struct read_end *to)
{
	BENCH_MUST(to->in_taken == to->in_count);
	to->in_taken = 0;
	to->in_count = from->out_count;
	for (uint32_t i = 0; i < from->out_count; i++) {
		const struct rte_mbuf *sent = from->out[i];
		struct rte_mbuf *copy = rte_pktmbuf_alloc(state->pool);
		void *at;

		BENCH_MUST(copy != NULL);
		at = rte_pktmbuf_append(copy, sent->data_len);
		BENCH_MUST(at != NULL);
		memcpy(at, rte_pktmbuf_mtod(sent, const void *),
		       sent->data_len);
		rte_pktmbuf_free(from->out[i]);
		to->in[i] = copy;
	}
	from->out_count = 0;
}

/* What the clients do in a turn; news are looked at elsewhere. */
static void
read_client_turn(struct read_state *state)
{
	uint32_t news;

	read_carry(state, &state->server, &state->client);
	tcp_poll(state->tcp, state->now_ns);
	while (tcp_next_news(state->tcp, &news) != NULL)
		BENCH_MUST((news & (TCP_NEWS_FAILED | TCP_NEWS_FIN)) == 0);
	tcp_flush(state->tcp);
	read_carry(state, &state->client, &state->server);
}

/* The server's turn of all roles: for what is not counted. Time passes so that
 * who asks for an address tries again. */
static void
read_server_turn(struct read_state *state)
{
	state->now_ns += NS_PER_MS;
	state->rig.now_ms = state->now_ns / NS_PER_MS;
	reader_poll(state->rig.reader, state->now_ns,
		    (int64_t)state->rig.now_ms);
	zab_note_time(state->rig.zab, state->now_ns);
	zab_poll(state->rig.zab, state->rig.now_ms, (int64_t)state->rig.now_ms);
	state->rig.durable = state->rig.written;
}

static void
read_send(struct read_state *state, uint32_t index,
	  const struct jute_writer *frame)
{
	uint32_t bytes = (uint32_t)jute_written(frame);
	uint8_t length[4];

	be_store32(length, bytes);
	BENCH_MUST(tcp_write(state->tcp, state->conn[index], length, 4) == 4);
	BENCH_MUST(tcp_write(state->tcp, state->conn[index], frame->start,
			     bytes) == bytes);
	tcp_flush(state->tcp);
}

/* Lets both sides run until the client's next frame is there, and drops it. */
static void
read_await(struct read_state *state, uint32_t index)
{
	struct tcp_slice slice;

	for (uint32_t i = 0; i < READ_ROUNDS; i++) {
		read_client_turn(state);
		if (tcp_peek(state->conn[index], &slice, 1) == 1) {
			tcp_consume(state->tcp, state->conn[index],
				    slice.bytes);
			return;
		}
		read_server_turn(state);
	}
	fal_panic(__FILE__, __LINE__, "no answer");
}

static void
read_connect(struct read_state *state, uint32_t index)
{
	const uint8_t zero[PROTO_PASSWORD_BYTES] = {0};
	const struct tcp_address server = tcp_address_ipv4(READ_SERVER);
	const struct proto_connect_request request = {
		.timeout_ms = RIG_TIMEOUT_MS,
		.password = jute_slice_of(zero, sizeof(zero)),
		.has_read_only = true,
	};
	uint8_t bytes[128];
	struct jute_writer frame = jute_writer_of(bytes, sizeof(bytes));

	BENCH_MUST(tcp_connect(state->tcp, &server, 2181, 0,
			       &state->conn[index]) == 0);
	for (uint32_t i = 0; i < READ_ROUNDS; i++) {
		tcp_flush(state->tcp);
		read_client_turn(state);
		read_server_turn(state);
	}
	proto_put_connect_request(&frame, &request);
	read_send(state, index, &frame);
	read_await(state, index);
}

static void
read_create_node(struct read_state *state)
{
	const struct proto_request_header header = {.xid = ++state->xid,
						    .type = OP_CREATE};
	uint8_t bytes[256];
	struct jute_writer frame = jute_writer_of(bytes, sizeof(bytes));

	proto_put_request_header(&frame, &header);
	jute_put_cstr(&frame, "/gate");
	jute_put_cstr(&frame, "value");
	jute_put_int(&frame, 1);
	jute_put_int(&frame, PERM_ALL);
	jute_put_cstr(&frame, "world");
	jute_put_cstr(&frame, "anyone");
	jute_put_int(&frame, 0);
	read_send(state, 0, &frame);
	read_await(state, 0);
}

static struct read_state *
read_setup(uint32_t conn_count)
{
	static struct rte_mempool *pool;
	struct read_state *state = calloc(1, sizeof(*state));
	const struct stream_config config = {.stream_limit = FAKE_STREAMS,
					     .doorbell_fd = -1};
	const struct stream_listener listener = {
		.address = stream_address_ipv4(READ_SERVER, 2181)};
	struct tcp_config tcp = {.prefix_bits = 24};
	struct stream_address bound;

	BENCH_MUST(state != NULL);
	if (pool == NULL)
		pool = packet_eal_pool(8191);
	state->pool = pool;
	state->now_ns = 1000 * NS_PER_SECOND;
	state->conn_count = conn_count;
	read_end_init(&state->server, 5);
	read_end_init(&state->client, 1);
	tcp.pool = pool;
	tcp.port = &state->server.port;
	tcp.address = READ_SERVER;
	BENCH_MUST(stream_tcp_create(&config, &tcp, state->now_ns,
				     &state->streams) == 0);
	BENCH_MUST(stream_listen(state->streams, &listener, &bound, NULL) == 0);
	tcp.port = &state->client.port;
	tcp.address = READ_CLIENT;
	tcp.conn_limit = 2 * READ_CONNS_MAX;
	BENCH_MUST(tcp_core_create(&tcp, state->now_ns, &state->tcp) == 0);
	rig_start_over(&state->rig, state->streams);
	for (uint32_t i = 0; i < conn_count; i++)
		read_connect(state, i);
	read_create_node(state);
	return state;
}

static void *
read_setup_one(void)
{
	return read_setup(1);
}

static void *
read_setup_burst(void)
{
	return read_setup(READ_CONNS_MAX);
}

static void
read_teardown(void *arg)
{
	struct read_state *state = arg;

	rig_stop(&state->rig);
	stream_destroy(state->streams);
	tcp_core_destroy(state->tcp);
	free(state);
}

/* Whether the reply to `xid`, and nothing else, has come. */
static bool
read_is_right(struct read_state *state, uint32_t index, int32_t xid)
{
	struct tcp_slice slice = {0};
	bool is_right;

	is_right = tcp_peek(state->conn[index], &slice, 1) == 1 &&
		   slice.bytes > READ_REPLY_BYTES &&
		   be_load32(slice.data) == slice.bytes - 4 &&
		   be_load32(slice.data + 4) == (uint32_t)xid &&
		   be_load32(slice.data + 16) == 0;
	tcp_consume(state->tcp, state->conn[index], slice.bytes);
	return is_right;
}

static uint64_t
read_run(void *arg, uint64_t count)
{
	struct read_state *state = arg;
	uint64_t right = 0;

	for (uint64_t done = 0; done < count; done += state->conn_count) {
		const struct proto_request_header header = {
			.xid = ++state->xid, .type = OP_GET_DATA};
		uint8_t bytes[64];
		struct jute_writer frame = jute_writer_of(bytes, sizeof(bytes));

		proto_put_request_header(&frame, &header);
		jute_put_cstr(&frame, "/gate");
		jute_put_bool(&frame, false);
		for (uint32_t i = 0; i < state->conn_count; i++)
			read_send(state, i, &frame);
		read_carry(state, &state->client, &state->server);
		state->now_ns += READ_ROUND_NS;
		gate_begin();
		reader_poll(state->rig.reader, state->now_ns,
			    (int64_t)state->rig.now_ms);
		gate_end();
		BENCH_MUST(state->server.out_count == state->conn_count);
		read_carry(state, &state->server, &state->client);
		tcp_poll(state->tcp, state->now_ns);
		for (uint32_t i = 0; i < state->conn_count; i++)
			right += read_is_right(state, i, header.xid);
	}
	return right;
}

const struct bench_case gate_tcp_cases[] = {
	{"tcp/read", read_setup_one, read_run, read_teardown, 0},
	{"tcp/read_burst32", read_setup_burst, read_run, read_teardown, 0},
	{0},
};
