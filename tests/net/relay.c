/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay - lets programs that know sockets only reach a server through a device
 * of DPDK: connections to a port of the loopback go on over our own TCP.
 *
 *   relay DEVICE ADDRESS/BITS SERVER PORT [awake]
 *
 * DEVICE as in falconer.dpdk.port, for example "net_virtio_user0,path=/tmp/s,
 * server=1" towards a server on net_vhost. Listens on 127.0.0.1:PORT and
 * connects to SERVER:PORT. Prints "relays" when it does. With "awake" it never
 * asks the other side to be woken, which would be a system call there. So every
 * suite that drives the server with other people's clients can do it over
 * virtio, as a program with the client library on such a device would.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/time.h"
#include "far.h"

#define PAIRS_MAX   1024u
#define EVENTS_MAX  64u
#define WATCH_NS    (50 * NS_PER_MS)
#define IDLE_NAP_NS (100 * NS_PER_US)

enum side { NEAR, FAR, SIDES };

/* other[i]: the connection on the other side, by the index of this one's. */
struct relay {
	struct stream_core *core[SIDES];
	stream_id other[SIDES][PAIRS_MAX];
	struct stream_target server;
	struct far far;
};

static volatile sig_atomic_t is_over;

static void
on_signal(int number)
{
	(void)number;
	is_over = 1;
}

static void
die(const char *what)
{
	fprintf(stderr, "relay: %s\n", what);
	exit(1);
}

static void
pair_up(struct relay *relay, stream_id near)
{
	stream_id far;

	if (stream_connect(relay->core[FAR], &relay->server, &far, NULL) != 0) {
		stream_abort(relay->core[NEAR], near);
		return;
	}
	relay->other[NEAR][stream_index(near)] = far;
	relay->other[FAR][stream_index(far)] = near;
}

static void
carry(struct relay *relay, enum side from, stream_id id)
{
	struct stream_core *to = relay->core[1 - from];
	const stream_id other = relay->other[from][stream_index(id)];
	struct stream_slice slices[STREAM_SLICES_MAX];
	const uint32_t count = stream_peek(relay->core[from], id, slices);
	uint32_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (stream_write(to, other, slices[i].data, slices[i].bytes) !=
		    0)
			break; /* its limit: the rest in a later poll */
		bytes += slices[i].bytes;
	}
	stream_consume(relay->core[from], id, bytes);
}

static uint32_t
serve(struct relay *relay, enum side side)
{
	struct stream_event events[EVENTS_MAX];
	const uint32_t count = stream_poll(relay->core[side], clock_now_ns(),
					   events, EVENTS_MAX);

	for (uint32_t i = 0; i < count; i++) {
		const stream_id id = events[i].id;
		const uint32_t index = stream_index(id);

		if (events[i].kind == STREAM_OPENED && side == NEAR)
			pair_up(relay, id);
		else if (events[i].kind == STREAM_READABLE)
			carry(relay, side, id);
		else if (events[i].kind != STREAM_CLOSED)
			continue;
		else if (events[i].reason == STREAM_FINISHED)
			stream_close(relay->core[1 - side],
				     relay->other[side][index]);
		else
			stream_abort(relay->core[1 - side],
				     relay->other[side][index]);
	}
	return count;
}

static void
make_near(struct relay *relay, uint16_t port)
{
	const struct stream_config config = {.stream_limit = PAIRS_MAX,
					     .doorbell_fd = -1};
	const struct stream_listener listener = {
		.address = stream_address_ipv4(0x7f000001, port)};
	struct stream_error error;

	if (stream_epoll_create(&config, &relay->core[NEAR]) != 0)
		die("no sockets");
	if (stream_listen(relay->core[NEAR], &listener, NULL, &error) != 0)
		die(error.text);
}

int
main(int argc, char **argv)
{
	static struct relay relay;
	uint64_t watch_ns = 0;

	if (argc != 5 && (argc != 6 || strcmp(argv[5], "awake") != 0))
		die("usage: relay DEVICE ADDRESS/BITS SERVER PORT [awake]");
	signal(SIGTERM, on_signal);
	clock_init();
	if (stream_address_parse(argv[3], (uint16_t)atoi(argv[4]),
				 &relay.server.address) != 0)
		die("SERVER: a numeric address");
	far_make(&relay.far, argv[1], argv[2], argc == 5, PAIRS_MAX);
	relay.core[FAR] = relay.far.streams;
	make_near(&relay, relay.server.address.port);
	printf("relays\n");
	fflush(stdout);
	while (!is_over) {
		const uint64_t now_ns = clock_now_ns();
		const uint32_t count = serve(&relay, NEAR) + serve(&relay, FAR);

		stream_flush(relay.core[NEAR]);
		stream_flush(relay.core[FAR]);
		if (now_ns > watch_ns) {
			port_dpdk_watch(relay.far.device);
			watch_ns = now_ns + WATCH_NS;
		}
		if (count == 0)
			stream_wait(relay.core[FAR], IDLE_NAP_NS);
	}
	stream_destroy(relay.core[NEAR]);
	stream_destroy(relay.core[FAR]);
	port_dpdk_stop(relay.far.device);
	port_env_stop();
	return 0;
}
