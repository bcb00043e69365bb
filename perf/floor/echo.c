/* SPDX-License-Identifier: Apache-2.0 */
/*
 * echo - a TCP server that answers with what it got, and a client that waits
 * for the answer. One thread each; TCP_NODELAY on both sides.
 */
#include "perf/floor/floor.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/clock.h"
#include "perf/floor/sock.h"

#define ECHO_BYTES_MAX 65536u

struct echo_server {
	const struct echo_options *options;
	int listen_fd;
};

/* Reads exactly `bytes`; false at the end of the stream. With an epoll
 * descriptor (>= 0) it sleeps there, as an event loop does. */
static bool
read_all(int fd, int epoll_fd, bool spins, uint8_t *to, uint32_t bytes)
{
	uint32_t have = 0;

	while (have < bytes) {
		struct epoll_event event;

		if (epoll_fd >= 0 && epoll_wait(epoll_fd, &event, 1, -1) < 0 &&
		    errno != EINTR)
			floor_die("epoll_wait");

		const ssize_t got = recv(fd, to + have, bytes - have,
					 spins ? MSG_DONTWAIT : 0);

		if (got == 0)
			return false;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			floor_die("recv");
		have += got > 0 ? (uint32_t)got : 0;
	}
	return true;
}

static int
epoll_on(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		floor_die("epoll");
	return epoll_fd;
}

static void *
serve(void *arg)
{
	const struct echo_server *server = arg;
	const struct echo_options *options = server->options;
	const int fd = sock_accept(server->listen_fd);
	uint8_t bytes[ECHO_BYTES_MAX];
	const int epoll_fd = options->spins ? -1 : epoll_on(fd);

	while (read_all(fd, epoll_fd, options->spins, bytes, options->bytes)) {
		if (options->log != NULL)
			durable_append(options->log);
		sock_send(fd, bytes, options->bytes);
	}
	if (epoll_fd >= 0)
		close(epoll_fd);
	close(fd);
	return NULL;
}

static void
ask(int fd, const struct echo_options *options, struct hist *out)
{
	uint8_t bytes[ECHO_BYTES_MAX] = {0};
	uint64_t now_ns = clock_os_now_ns();
	const uint64_t end_ns = now_ns + (uint64_t)(options->seconds * 1e9);

	while (now_ns < end_ns) {
		const uint64_t sent_ns = now_ns;

		sock_send(fd, bytes, options->bytes);
		if (!read_all(fd, -1, options->spins, bytes, options->bytes))
			floor_die("the server went away");
		now_ns = clock_os_now_ns();
		hist_record(out, now_ns - sent_ns);
	}
}

void
echo_measure(const struct echo_options *options, struct hist *out)
{
	uint16_t port;
	struct echo_server server = {.options = options,
				     .listen_fd = sock_listen(&port)};
	pthread_t thread;

	FAL_ASSERT(options->bytes >= 1 && options->bytes <= ECHO_BYTES_MAX);
	if (pthread_create(&thread, NULL, serve, &server) != 0)
		floor_die("pthread_create");

	const int fd = sock_connect(port);

	ask(fd, options, out);
	close(fd);
	pthread_join(thread, NULL);
	close(server.listen_fd);
}
