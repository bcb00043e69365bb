/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    fle_net and peer understand what real servers say, in every way the
 *         network may cut it, and say it in the same bytes.
 * Method  real sockets and the epoll driver. Each captured connection
 *         (tests/golden/quorum/) is played from both sides: the dialer's bytes
 *         to our listener, the other side's bytes to a connection we dialed, in
 *         pieces of random sizes. What comes out of the hooks is encoded again
 *         and must be the capture; it is also sent through our connection and
 *         must arrive as the capture. Then two servers that dial each other at
 *         the same time, in random order, again and again.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/stats.h"
#include "base/time.h"
#include "dataplane/fle_net.h"
#include "dataplane/peer.h"
#include "drivers/clock.h"
#include "wire/frame.h"
#include "wire/quorum_auth.h"

#include "random.h"
#include "vector_file.h"

#define LISTEN_TAG  1u
#define CONNECT_TAG 2u
#define PATIENCE_MS 10000u
#define OUT_MAX     65536u

/* A poll core with one of the two ports. */
struct node {
	struct stream_core *core;
	struct stats stats;
	struct fle_net *fle;
	struct peer_net *peer;
	uint16_t port;      /* where it listens */
	uint16_t dial_port; /* where everybody else does */
	uint8_t out[OUT_MAX];
	uint32_t out_bytes; /* what came in, encoded again */
	uint32_t messages, ups;
	uint32_t slot;
};

static struct random rng;
static uint32_t played;

static uint64_t
now_ms(void)
{
	return clock_now_ns() / NS_PER_MS;
}

/* ---- hooks -------------------------------------------------------------- */

static void
append(struct node *node, const void *data, size_t bytes)
{
	assert_true(node->out_bytes + bytes <= sizeof(node->out));
	memcpy(node->out + node->out_bytes, data, bytes);
	node->out_bytes += (uint32_t)bytes;
}

static void
on_notification(void *arg, int64_t sid, const struct fle_notification *n)
{
	struct node *node = arg;
	uint8_t frame[1024];
	struct jute_writer writer = jute_writer_of(frame, sizeof(frame));
	const size_t mark = frame_begin(&writer);

	(void)sid;
	fle_notification_put(&writer, n);
	frame_end(&writer, mark);
	append(node, frame, jute_written(&writer));
	node->messages++;
}

static void
on_link(void *arg, int64_t sid, bool is_up)
{
	struct node *node = arg;

	(void)sid;
	node->ups += is_up ? 1 : 0;
}

static uint32_t
addresses(void *arg, int64_t sid, struct stream_address out[PEER_ADDRESSES_MAX])
{
	const struct node *node = arg;

	(void)sid;
	out[0] = stream_address_ipv4(0x7f000001, node->dial_port);
	return node->dial_port != 0 ? 1 : 0;
}

static void
on_up(void *arg, uint32_t slot)
{
	struct node *node = arg;

	node->ups++;
	node->slot = slot;
}

static void
on_down(void *arg, uint32_t slot, enum peer_down why)
{
	(void)arg;
	(void)slot;
	(void)why;
}

static void
on_packet(void *arg, uint32_t slot, const struct quorum_packet *packet,
	  struct jute_slice raw)
{
	struct node *node = arg;
	struct jute_writer writer =
		jute_writer_of(node->out + node->out_bytes,
			       sizeof(node->out) - node->out_bytes);

	quorum_packet_put(&writer, packet);
	assert_int_equal(jute_written(&writer), raw.bytes);
	node->out_bytes += (uint32_t)raw.bytes;
	node->messages++;
	if (packet->type == QUORUM_SNAP)
		peer_set_raw(node->peer, slot, true);
}

/* Takes some of it, to the end of the signature. */
static uint32_t
on_raw(void *arg, uint32_t slot, const uint8_t *data, uint32_t bytes)
{
	static const uint8_t end[] = "\0\0\0\x0a" QUORUM_SNAP_SIGNATURE;
	struct node *node = arg;
	uint32_t n = 0;

	while (n < bytes && random_below(&rng, 500) != 0) {
		append(node, data + n++, 1);
		if (node->out_bytes >= sizeof(end) - 1 &&
		    memcmp(node->out + node->out_bytes - (sizeof(end) - 1), end,
			   sizeof(end) - 1) == 0) {
			peer_set_raw(node->peer, slot, false);
			break;
		}
	}
	return n;
}

/* ---- nodes -------------------------------------------------------------- */

static void
node_listen(struct node *node)
{
	struct stream_listener listener = {
		.address = stream_address_ipv4(0x7f000001, 0)};
	struct stream_address bound;

	if (node->fle != NULL)
		fle_net_listener(node->fle, &listener);
	else
		peer_net_listener(node->peer, &listener);
	assert_int_equal(stream_listen(node->core, &listener, &bound, NULL), 0);
	node->port = bound.port;
}

static struct node *
node_new(void)
{
	const struct stream_config config = {.stream_limit = 256,
					     .doorbell_fd = -1};
	struct node *node = calloc(1, sizeof(*node));

	assert_non_null(node);
	assert_int_equal(stats_init(&node->stats, 1), 0);
	assert_int_equal(stream_epoll_create(&config, &node->core), 0);
	return node;
}

/* own: as in the hello */
static struct node *
fle_node(int64_t sid, const char *own, bool is_v2)
{
	struct node *node = node_new();
	const struct fle_net_hooks hooks = {.arg = node,
					    .receive = on_notification,
					    .link = on_link,
					    .addresses = addresses};
	const struct fle_net_options options = {
		.sid = sid,
		.own_addresses = own,
		.is_v2 = is_v2,
		.connect_ms = 5000,
		.hello_ms = 5000,
		.retry_min_ms = 5,
		.retry_max_ms = 20,
		.listen_tag = LISTEN_TAG,
		.connect_tag = CONNECT_TAG,
		.stats = &node->stats.core[0],
	};

	assert_int_equal(
		fle_net_create(&options, node->core, &hooks, &node->fle), 0);
	node_listen(node);
	return node;
}

static struct node *
peer_node(void)
{
	struct node *node = node_new();
	const struct peer_hooks hooks = {.arg = node,
					 .on_up = on_up,
					 .on_down = on_down,
					 .on_packet = on_packet,
					 .on_raw = on_raw};
	const struct peer_options options = {
		.listen_tag = LISTEN_TAG,
		.connect_tag = CONNECT_TAG,
		.packet_bytes_max = QUORUM_PACKET_DATA_BYTES_MAX,
		.connect_ms = 5000,
		.first_ms = 5000,
		.stats = &node->stats.core[0],
	};

	assert_int_equal(
		peer_net_create(&options, node->core, &hooks, &node->peer), 0);
	node_listen(node);
	return node;
}

static void
node_free(struct node *node)
{
	if (node->fle != NULL)
		fle_net_destroy(node->fle);
	if (node->peer != NULL)
		peer_net_destroy(node->peer);
	stream_destroy(node->core);
	stats_free(&node->stats);
	free(node);
}

/* One iteration of the node's loop. */
static void
node_turn(struct node *node)
{
	struct stream_event events[16];
	const uint32_t count =
		stream_poll(node->core, clock_now_ns(), events, 16);

	for (uint32_t i = 0; i < count; i++) {
		if (node->fle != NULL)
			fle_net_on_event(node->fle, &events[i], now_ms());
		else
			peer_on_event(node->peer, &events[i], now_ms());
	}
	if (node->fle != NULL)
		(void)fle_net_poll(node->fle, now_ms());
	else
		(void)peer_net_poll(node->peer, now_ms());
	stream_flush(node->core);
}

/* ---- the other side: a plain socket ------------------------------------- */

static int
socket_new(void)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int one = 1;

	assert_true(fd >= 0);
	assert_int_equal(
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
	return fd;
}

static struct sockaddr_in
loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int
plain_connect(uint16_t port)
{
	const int fd = socket_new();
	const struct sockaddr_in to = loopback(port);

	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)),
			 0);
	return fd;
}

static int
plain_listen(uint16_t *port)
{
	const int fd = socket_new();
	struct sockaddr_in at = loopback(0);
	socklen_t bytes = sizeof(at);

	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* Accepts while the node goes on dialing. */
static int
plain_accept(int fd, struct node *node)
{
	const uint64_t end_ms = now_ms() + PATIENCE_MS;
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (poll(&poll_fd, 1, 0) == 0) {
		assert_true(now_ms() < end_ms);
		node_turn(node);
	}
	fd = accept(fd, NULL, NULL);
	assert_true(fd >= 0);
	return fd;
}

/* Sends in pieces of random sizes, with iterations of the node between. */
static void
plain_send(int fd, struct node *node, const uint8_t *data, size_t bytes)
{
	const uint32_t piece_max = 1 + random_below(&rng, 3000);

	for (size_t at = 0; at < bytes;) {
		size_t n = 1 + random_below(&rng, piece_max);

		n = n < bytes - at ? n : bytes - at;
		assert_int_equal(send(fd, data + at, n, MSG_NOSIGNAL), n);
		at += n;
		for (uint32_t i = random_below(&rng, 3); i > 0; i--)
			node_turn(node);
	}
}

/* Receives exactly these bytes from the node. */
static void
plain_expect(int fd, struct node *node, const uint8_t *data, size_t bytes)
{
	const uint64_t end_ms = now_ms() + PATIENCE_MS;
	uint8_t *got = malloc(bytes);
	size_t at = 0;

	assert_non_null(got);
	while (at < bytes) {
		const ssize_t n = recv(fd, got + at, bytes - at, MSG_DONTWAIT);

		assert_true(n != 0 && now_ms() < end_ms);
		at += n > 0 ? (size_t)n : 0;
		node_turn(node);
	}
	assert_memory_equal(got, data, bytes);
	free(got);
}

/* The node hangs up, having said these bytes. */
static void
plain_expect_end(int fd, struct node *node, const uint8_t *data, size_t bytes)
{
	const uint64_t end_ms = now_ms() + PATIENCE_MS;
	uint8_t byte;

	plain_expect(fd, node, data, bytes);
	while (recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && now_ms() < end_ms)
		node_turn(node);
	assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) <= 0);
	assert_true(now_ms() < end_ms);
}

static void
expect_out(struct node *node, const uint8_t *data, size_t bytes)
{
	const uint64_t end_ms = now_ms() + PATIENCE_MS;

	while (node->out_bytes < bytes) {
		assert_true(now_ms() < end_ms);
		node_turn(node);
	}
	assert_int_equal(node->out_bytes, bytes);
	assert_memory_equal(node->out, data, bytes);
}

/* ---- captures ----------------------------------------------------------- */

struct capture {
	uint8_t *dialer, *other;
	size_t dialer_bytes, other_bytes;
};

static struct capture
capture_read(const char *path)
{
	struct capture capture;
	char other[1024];
	char *dot;

	assert_true(snprintf(other, sizeof(other), "%s", path) <
		    (int)sizeof(other));
	dot = strstr(other, ".c2s.bin");
	assert_non_null(dot);
	memcpy(dot, ".s2c.bin", 8);
	capture.dialer = vector_read_bytes(path, &capture.dialer_bytes);
	capture.other = vector_read_bytes(other, &capture.other_bytes);
	return capture;
}

static void
capture_free(struct capture *capture)
{
	free(capture->dialer);
	free(capture->other);
}

static const uint8_t sasl_answer[] =
	"\x5f\x24\x35\x01\x35\x01\xed\xcc\xff\xff\xff\xff\xff\xff\xff\xff";

static bool
is_sasl(const uint8_t *data, size_t bytes)
{
	return bytes >= 8 && memcmp(data, sasl_answer, 8) == 0;
}

/* Sends each notification of a captured stream through sid's connection. */
static void
say_captured(struct node *node, int64_t sid, int fd, const uint8_t *data,
	     size_t bytes)
{
	while (bytes > 0) {
		struct fle_notification n;
		struct jute_slice body;
		size_t frame;

		assert_int_equal(frame_get(data, bytes, frame_limits_election(),
					   &body, &frame),
				 1);
		assert_int_equal(
			fle_notification_get(body.data, (size_t)body.bytes, &n),
			0);

		const struct zab_notification said = {.state = n.state,
						      .version = n.version,
						      .leader = n.leader,
						      .zxid = n.zxid,
						      .round = n.round,
						      .peer_epoch =
							      n.peer_epoch};

		fle_net_send(node->fle, sid, &said, n.config);
		plain_expect(fd, node, data, frame);
		data += frame;
		bytes -= frame;
	}
}

/* The dialer's bytes to our listener; ours are what the other side said. */
static void
play_election_to_us(const struct capture *capture,
		    const struct fle_hello *hello, size_t hello_bytes)
{
	struct node *node = fle_node(hello->sid - 1, "127.0.0.1:1", false);
	const uint8_t *rest = capture->dialer + hello_bytes;
	const size_t rest_bytes = capture->dialer_bytes - hello_bytes;
	const int fd = plain_connect(node->port);

	plain_send(fd, node, capture->dialer, capture->dialer_bytes);
	if (is_sasl(rest, rest_bytes)) {
		plain_expect_end(fd, node, sasl_answer,
				 sizeof(sasl_answer) - 1);
		assert_int_equal(node->messages, 0);
	} else {
		expect_out(node, rest, rest_bytes);
		say_captured(node, hello->sid, fd, capture->other,
			     capture->other_bytes);
	}
	close(fd);
	node_free(node);
}

/* We dial and say what the dialer said; the other side's bytes come in. */
static void
play_election_from_us(const struct capture *capture,
		      const struct fle_hello *hello, size_t hello_bytes)
{
	const bool is_v2 = hello->protocol_version == FLE_PROTOCOL_V2;
	char text[FLE_HELLO_TEXT_BYTES_MAX + 1];
	struct node *node;
	int listener, fd;

	if (is_sasl(capture->dialer + hello_bytes,
		    capture->dialer_bytes - hello_bytes))
		return;
	memcpy(text, hello->addresses.data, (size_t)hello->addresses.bytes);
	text[hello->addresses.bytes] = '\0';
	node = fle_node(hello->sid, text, is_v2);
	listener = plain_listen(&node->dial_port);
	fle_net_connect(node->fle, hello->sid - 1);
	fd = plain_accept(listener, node);
	plain_expect(fd, node, capture->dialer, hello_bytes);
	say_captured(node, hello->sid - 1, fd, capture->dialer + hello_bytes,
		     capture->dialer_bytes - hello_bytes);
	plain_send(fd, node, capture->other, capture->other_bytes);
	expect_out(node, capture->other, capture->other_bytes);
	close(fd);
	close(listener);
	node_free(node);
}

static void
play_election(const char *path, void *context)
{
	struct capture capture;
	struct fle_hello hello;
	size_t hello_bytes;

	(void)context;
	if (strstr(path, "election") == NULL)
		return;
	capture = capture_read(path);
	assert_int_equal(fle_hello_get(capture.dialer, capture.dialer_bytes,
				       &hello, &hello_bytes),
			 1);
	play_election_to_us(&capture, &hello, hello_bytes);
	play_election_from_us(&capture, &hello, hello_bytes);
	capture_free(&capture);
	played++;
}

static void
captured_elections_are_understood_and_said_again(void **state)
{
	(void)state;
	played = 0;
	(void)vector_files_visit(GOLDEN_DIR "/quorum", ".c2s.bin",
				 play_election, NULL);
	assert_true(played >= 18);
}

/* ---- learners ----------------------------------------------------------- */

static void
play_learner_to_us(const struct capture *capture)
{
	struct node *node = peer_node();
	const int fd = plain_connect(node->port);

	plain_send(fd, node, capture->dialer, capture->dialer_bytes);
	if (is_sasl(capture->dialer, capture->dialer_bytes)) {
		plain_expect_end(fd, node, sasl_answer,
				 sizeof(sasl_answer) - 1);
		assert_int_equal(node->ups, 0);
	} else {
		expect_out(node, capture->dialer, capture->dialer_bytes);
		assert_int_equal(node->ups, 1);
		peer_send(node->peer, 1ull << node->slot, capture->other,
			  (uint32_t)capture->other_bytes);
		plain_expect(fd, node, capture->other, capture->other_bytes);
	}
	close(fd);
	node_free(node);
}

static void
play_learner_from_us(const struct capture *capture)
{
	struct node *node = peer_node();
	const int listener = plain_listen(&node->dial_port);
	const struct stream_address address =
		stream_address_ipv4(0x7f000001, node->dial_port);
	int fd;

	peer_dial(node->peer, &address, 1);
	fd = plain_accept(listener, node);
	while (node->ups == 0)
		node_turn(node);
	peer_send(node->peer, 1ull << ZAB_LEADER_SLOT, capture->dialer,
		  (uint32_t)capture->dialer_bytes);
	plain_expect(fd, node, capture->dialer, capture->dialer_bytes);
	plain_send(fd, node, capture->other, capture->other_bytes);
	expect_out(node, capture->other, capture->other_bytes);
	close(fd);
	close(listener);
	node_free(node);
}

static void
play_learner(const char *path, void *context)
{
	struct capture capture;

	(void)context;
	if (strstr(path, "election") != NULL)
		return;
	capture = capture_read(path);
	play_learner_to_us(&capture);
	if (!is_sasl(capture.dialer, capture.dialer_bytes))
		play_learner_from_us(&capture);
	capture_free(&capture);
	played++;
}

static void
captured_learners_are_understood_and_said_again(void **state)
{
	(void)state;
	played = 0;
	(void)vector_files_visit(GOLDEN_DIR "/quorum", ".c2s.bin", play_learner,
				 NULL);
	assert_true(played >= 19);
}

/* ---- two that dial at once ---------------------------------------------- */

/* Both loops, in random order, until both have a connection and a message of
 * this round has gone both ways. */
static void
converge(struct node *const node[2], int64_t round)
{
	const uint64_t end_ms = now_ms() + PATIENCE_MS;
	const struct zab_notification n = {.round = round};

	node[0]->messages = node[1]->messages = 0;
	node[0]->out_bytes = node[1]->out_bytes = 0;
	fle_net_send(node[0]->fle, 2, &n, jute_slice_of("a", 1));
	fle_net_send(node[1]->fle, 1, &n, jute_slice_of("b", 1));
	while (node[0]->messages == 0 || node[1]->messages == 0) {
		assert_true(now_ms() < end_ms);
		node_turn(node[random_below(&rng, 2)]);
	}
}

static uint32_t
connections(const struct node *node)
{
	struct stream_counters counters;

	stream_counters_read(node->core, &counters);
	return (uint32_t)(counters.connections - counters.lingering);
}

static void
two_that_dial_at_once_agree_on_one_connection(void **state)
{
	(void)state;
	for (int round = 0; round < 100; round++) {
		struct node *node[2];
		uint64_t end_ms;
		uint32_t ups;

		node[0] = fle_node(1, "127.0.0.1:1", false);
		node[1] = fle_node(2, "127.0.0.1:1", false);
		node[0]->dial_port = node[1]->port;
		node[1]->dial_port = node[0]->port;
		fle_net_connect(node[0]->fle, 2);
		fle_net_connect(node[1]->fle, 1);
		for (uint32_t i = random_below(&rng, 20); i > 0; i--)
			node_turn(node[random_below(&rng, 2)]);
		converge(node, round);
		/* It settles: one connection, and none is made any more. */
		end_ms = now_ms() + PATIENCE_MS;
		do {
			ups = node[0]->ups + node[1]->ups;
			for (int i = 0; i < 200; i++) {
				node_turn(node[0]);
				node_turn(node[1]);
			}
			assert_true(now_ms() < end_ms);
		} while (connections(node[0]) != 1 ||
			 connections(node[1]) != 1 ||
			 ups != node[0]->ups + node[1]->ups);
		assert_true(fle_net_is_up(node[0]->fle, 2));
		assert_true(fle_net_is_up(node[1]->fle, 1));
		node_free(node[0]);
		/* One that comes back is taken up again. */
		node[0] = fle_node(1, "127.0.0.1:1", false);
		node[0]->dial_port = node[1]->port;
		node[1]->dial_port = node[0]->port;
		fle_net_connect(node[0]->fle, 2);
		converge(node, round);
		node_free(node[0]);
		node_free(node[1]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			captured_elections_are_understood_and_said_again),
		cmocka_unit_test(
			captured_learners_are_understood_and_said_again),
		cmocka_unit_test(two_that_dial_at_once_agree_on_one_connection),
	};

	rng = random_start(clock_now_ns());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
