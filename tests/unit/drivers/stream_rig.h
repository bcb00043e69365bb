/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_STREAM_RIG_H
#define FALCONER_TESTS_STREAM_RIG_H

/*
 * stream_rig - a core of stream.h under test and plain blocking sockets as its
 * clients, in one thread. What a client sends over the loopback is in the
 * core's socket before send() returns, so few polls are needed; all waiting is
 * bounded by RIG_PATIENCE_NS.
 *
 * The implementation is the program's first argument: "epoll", "io_uring", or
 * "tcp": our own TCP on a tap device, in a network namespace of the test's own,
 * with Linux's TCP as the other side (stream_rig_tcp.h). There nothing happens
 * by itself, so whoever waits for the other side pumps.
 */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "drivers/stream.h"
#include "stream_rig_tcp.h"

#define RIG_PATIENCE_NS (10 * NS_PER_S)
#define RIG_TAG         77u
#define RIG_EVENTS      64u
#define RIG_SKIP        77 /* exit status that means "not run" */

struct rig {
	struct stream_core *core;
	uint16_t port;
	int doorbell_fd;
	uint64_t skew_ns; /* time that passes faster than it does */
	uint32_t event_count;
	uint32_t event_next;
	struct stream_event events[RIG_EVENTS];
};

static bool rig_is_uring;
static bool rig_is_tcp;

/* For what only sockets of the kernel have. */
#define RIG_SOCKETS_ONLY()      \
	do {                    \
		if (rig_is_tcp) \
			skip(); \
	} while (0)

/* Input that lies ready although nobody consumes it, at most. */
static inline uint64_t
rig_hoard_bytes(void)
{
	return rig_is_tcp ? 65536 + 8192 : 2 * STREAM_BUFFER_BYTES;
}

static inline int
rig_core_create(const struct stream_config *config, struct stream_core **core)
{
	if (rig_is_tcp)
		return rig_tcp_core_create(config, core);
	return rig_is_uring ? stream_uring_create(config, core)
			    : stream_epoll_create(config, core);
}

static inline void
rig_core_destroy(struct stream_core *core)
{
	if (rig_is_tcp)
		rig_tcp_forget(core);
	stream_destroy(core);
}

/* Where the core sees its clients come from. */
static inline uint32_t
rig_client_ip(const struct rig *rig)
{
	return rig_is_tcp ? rig_tcp_kernel_address(rig->core) : 0x7f000001;
}

static inline uint64_t
rig_now(const struct rig *rig)
{
	rig_tcp_skew_ns = rig->skew_ns;
	return clock_os_now_ns() + rig->skew_ns;
}

/* Lets the cores' TCP work while a client waits; no event is lost by it. */
static inline void
rig_pump(void)
{
	if (rig_is_tcp)
		rig_tcp_pump();
	usleep(20);
}

static inline struct stream_config
rig_config(void)
{
	return (struct stream_config){.stream_limit = 64, .doorbell_fd = -1};
}

static inline struct stream_listener
rig_listener(void)
{
	return (struct stream_listener){
		.address = rig_is_tcp ? stream_address_any(0)
				      : stream_address_ipv4(0x7f000001, 0),
		.tag = RIG_TAG,
	};
}

/* A core with one listener on a port of the system's choice. */
static inline void
rig_open(struct rig *rig, const struct stream_config *config,
	 const struct stream_listener *listener)
{
	struct stream_config complete = *config;
	struct stream_address bound;
	struct stream_error error;

	memset(rig, 0, sizeof(*rig));
	rig->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(rig->doorbell_fd >= 0);
	complete.doorbell_fd = rig->doorbell_fd;
	assert_int_equal(rig_core_create(&complete, &rig->core), 0);
	assert_int_equal(stream_listen(rig->core, listener, &bound, &error), 0);
	assert_string_equal(error.text, "");
	assert_int_not_equal(bound.port, 0);
	rig->port = bound.port;
	if (rig_is_tcp)
		rig_tcp_note_port(rig->core, bound.port);
}

static inline void
rig_start(struct rig *rig)
{
	const struct stream_config config = rig_config();
	const struct stream_listener listener = rig_listener();

	rig_open(rig, &config, &listener);
}

static inline void
rig_stop(struct rig *rig)
{
	rig_core_destroy(rig->core);
	close(rig->doorbell_fd);
}

static inline struct stream_counters
rig_counters(const struct rig *rig)
{
	struct stream_counters counters;

	stream_counters_read(rig->core, &counters);
	return counters;
}

/* One loop iteration: flushes what the test did, polls. */
static inline uint32_t
rig_poll(struct rig *rig)
{
	stream_flush(rig->core);
	rig->event_next = 0;
	rig->event_count =
		stream_poll(rig->core, rig_now(rig), rig->events, RIG_EVENTS);
	return rig->event_count;
}

/* The next event, whatever it is. */
static inline struct stream_event
rig_event(struct rig *rig)
{
	const uint64_t deadline_ns = clock_os_now_ns() + RIG_PATIENCE_NS;

	while (rig->event_next == rig->event_count) {
		assert_true(clock_os_now_ns() < deadline_ns);
		if (rig_poll(rig) == 0)
			usleep(20);
	}
	return rig->events[rig->event_next++];
}

/* The next event, which must be of this kind; its id. */
static inline stream_id
rig_expect(struct rig *rig, enum stream_event_kind kind)
{
	const struct stream_event event = rig_event(rig);

	assert_int_equal(event.kind, kind);
	return event.id;
}

static inline void
rig_expect_closed(struct rig *rig, stream_id id, enum stream_reason reason)
{
	const struct stream_event event = rig_event(rig);

	assert_int_equal(event.kind, STREAM_CLOSED);
	assert_int_equal(event.reason, reason);
	assert_true(event.id == id);
}

/* Some iterations in which nothing may happen. */
static inline void
rig_expect_silence(struct rig *rig)
{
	assert_int_equal(rig->event_next, rig->event_count);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(rig_poll(rig), 0);
		usleep(100);
	}
}

/* Polls on, whatever comes, until a counter has reached a value. */
#define RIG_AWAIT_COUNTER(rig, name, value)                                  \
	do {                                                                 \
		const uint64_t end_ns = clock_os_now_ns() + RIG_PATIENCE_NS; \
		while (rig_counters(rig).name != (value)) {                  \
			assert_true(clock_os_now_ns() < end_ns);             \
			rig_poll(rig);                                       \
			usleep(20);                                          \
		}                                                            \
		(rig)->event_next = (rig)->event_count;                      \
	} while (0)

/* All slots are free again and no buffer is out. */
static inline void
rig_expect_empty(struct rig *rig)
{
	RIG_AWAIT_COUNTER(rig, connections, 0);
	RIG_AWAIT_COUNTER(rig, lingering, 0);
	RIG_AWAIT_COUNTER(rig, buffer_bytes, 0);
}

/* ---- the client's side ---- */

static inline void
client_patience(int fd)
{
	const struct timeval patience = {.tv_sec = 10};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
				    sizeof(patience)),
			 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
				    sizeof(patience)),
			 0);
}

/* recv_bytes: size of the client's receive buffer, 0: the system's. Returns 0
 * or -1 with errno, *fd open in either case. */
static inline int
client_connect(uint16_t port, int recv_bytes, int *fd)
{
	const int one = 1;
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(rig_is_tcp ? rig_tcp_address(port)
						    : INADDR_LOOPBACK),
	};

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(*fd >= 0);
	if (recv_bytes != 0)
		assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_RCVBUF,
					    &recv_bytes, sizeof(recv_bytes)),
				 0);
	setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* The end of an earlier io_uring interrupts its thread; without a
	 * timeout the call is restarted. */
	return rig_is_tcp ? rig_tcp_connect(*fd, &address)
			  : connect(*fd, (const struct sockaddr *)&address,
				    sizeof(address));
}

static inline int
client_open_narrow(uint16_t port, int recv_bytes)
{
	int fd;

	assert_int_equal(client_connect(port, recv_bytes, &fd), 0);
	client_patience(fd);
	return fd;
}

static inline int
client_open(uint16_t port)
{
	return client_open_narrow(port, 0);
}

/* A client and the id the core gave it. */
static inline stream_id
rig_accept(struct rig *rig, int *client)
{
	*client = client_open(rig->port);
	return rig_expect(rig, STREAM_OPENED);
}

static inline void
client_send(int fd, const void *data, size_t bytes)
{
	if (rig_is_tcp) {
		rig_tcp_send(fd, data, bytes);
		return;
	}
	assert_int_equal(send(fd, data, bytes, MSG_NOSIGNAL), bytes);
}

static inline void
client_recv(int fd, void *data, size_t bytes)
{
	const uint64_t deadline_ns = clock_os_now_ns() + RIG_PATIENCE_NS;
	uint8_t *at = data;

	while (bytes > 0) {
		const ssize_t got = recv(
			fd, at, bytes, rig_is_tcp ? MSG_DONTWAIT : MSG_WAITALL);

		if (got < 0 && rig_is_tcp && errno == EAGAIN &&
		    clock_os_now_ns() < deadline_ns) {
			rig_pump();
			continue;
		}
		if (got < 0 && errno == EINTR)
			continue;
		assert_true(got > 0);
		at += got;
		bytes -= (size_t)got;
	}
}

/* Receives at the client while the core works on; NULL: there is none. No event
 * may happen meanwhile. */
static inline ssize_t
client_recv_polling(struct rig *rig, int fd, void *data, size_t bytes)
{
	const uint64_t deadline_ns = clock_os_now_ns() + RIG_PATIENCE_NS;

	for (;;) {
		const ssize_t got = recv(fd, data, bytes, MSG_DONTWAIT);

		if (got >= 0 || (errno != EAGAIN && errno != EINTR))
			return got;
		assert_true(clock_os_now_ns() < deadline_ns);
		if (rig != NULL)
			assert_int_equal(rig_poll(rig), 0);
		rig_pump();
	}
}

/* Asserts that the server's FIN comes next. */
static inline void
client_expect_end(struct rig *rig, int fd)
{
	uint8_t byte;

	assert_int_equal(client_recv_polling(rig, fd, &byte, 1), 0);
}

/* Asserts that the connection is reset, possibly after some bytes. */
static inline void
client_expect_reset(struct rig *rig, int fd)
{
	uint8_t bytes[4096];
	ssize_t got;

	do
		got = client_recv_polling(rig, fd, bytes, sizeof(bytes));
	while (got > 0);
	assert_int_equal(got, -1);
	assert_int_equal(errno, ECONNRESET);
}

/* The same of one that is yet to be made; the server's thread may be faster
 * than the look at what became of it. */
static inline void
client_expect_refusal(uint16_t port)
{
	int fd;

	if (client_connect(port, 0, &fd) == 0) {
		client_patience(fd);
		client_expect_reset(NULL, fd);
	} else {
		assert_int_equal(errno, ECONNRESET);
	}
	close(fd);
}

static inline void
client_reset(int fd)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};

	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
	close(fd);
}

/* Byte i of a text that repeats late (251 is prime). */
static inline uint8_t
pattern(uint64_t i)
{
	return (uint8_t)(i % 251 + i / 65536);
}

static inline void
pattern_fill(uint8_t *data, uint64_t from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		data[i] = pattern(from + i);
}

static inline void
pattern_check(const uint8_t *data, uint64_t from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (data[i] != pattern(from + i))
			fail_msg("byte %llu differs",
				 (unsigned long long)(from + i));
}

/* Random numbers with a seed that can be repeated: FAL_SEED. */
static inline uint64_t
rig_seed(void)
{
	const char *given = getenv("FAL_SEED");
	const uint64_t seed =
		given != NULL ? strtoull(given, NULL, 0) : clock_os_now_ns();

	print_message("FAL_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

static inline uint64_t
rig_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15u;

	uint64_t z = *state;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Chooses the implementation; ends the program when it cannot run here. */
static inline void
rig_main(int argc, char **argv)
{
	struct stream_error error;

	rig_is_uring = argc > 1 && strcmp(argv[1], "io_uring") == 0;
	rig_is_tcp = argc > 1 && strcmp(argv[1], "tcp") == 0;
	if (argc != 2 ||
	    (!rig_is_uring && !rig_is_tcp && strcmp(argv[1], "epoll") != 0)) {
		fprintf(stderr, "usage: %s epoll|io_uring|tcp\n", argv[0]);
		exit(2);
	}
	if (rig_is_tcp && !rig_tcp_start(&error)) {
		fprintf(stderr, "NOT TESTED, no tap device here: %s\n",
			error.text);
		exit(RIG_SKIP);
	}
	if (rig_is_uring && !stream_uring_probe(&error)) {
		fprintf(stderr, "NOT TESTED, no io_uring here: %s\n",
			error.text);
		exit(RIG_SKIP);
	}
}

#endif
