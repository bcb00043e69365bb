/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storm - many connections at once, each of which asks one thing and gets one
 * answer: what a storm of sessions cannot do without. As perf/load --storm does
 * it: connect and send to each, then wait for the answers. The server is one
 * thread that accepts, receives and sends, and knows nothing.
 */
#include "perf/floor/floor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/clock.h"
#include "perf/floor/sock.h"

#define EVENTS_MAX   256
#define ASK_BYTES    49u /* the connect request of a session, its length too */
#define ANSWER_BYTES 41u

struct storm {
	const struct storm_options *options;
	int listen_fd;
	int epoll_fd; /* of the server */
	int *fd;      /* of the client */
};

/* Else the kernel's table grows while connections are made, which waits for
 * all processors each time. */
static void
make_room(uint32_t descriptors)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		floor_die("getrlimit");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) != 0)
		floor_die("setrlimit");

	const int high = fcntl(0, F_DUPFD_CLOEXEC, (int)descriptors);

	if (high < 0)
		floor_die("storm: too few descriptors (ulimit -Hn)");
	close(high);
}

static void
watch(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		floor_die("epoll_ctl");
}

static void
accept_all(struct storm *storm)
{
	for (;;) {
		const int fd = accept4(storm->listen_fd, NULL, NULL,
				       SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0)
			floor_die("accept4");
		sock_no_delay(fd);
		watch(storm->epoll_fd, fd);
	}
}

static void
answer(int fd)
{
	static const uint8_t answer[ANSWER_BYTES];
	uint8_t ask[ASK_BYTES];
	const ssize_t got = recv(fd, ask, sizeof(ask), 0);

	if (got == (ssize_t)ASK_BYTES)
		sock_send(fd, answer, ANSWER_BYTES);
	else if (got >= 0 || errno != EAGAIN)
		close(fd);
}

/* Until the listener is shut down. */
static void *
serve(void *arg)
{
	struct storm *storm = arg;
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		const int count =
			epoll_wait(storm->epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd != storm->listen_fd)
				answer(events[i].data.fd);
			else if (events[i].events & EPOLLHUP)
				return NULL;
			else
				accept_all(storm);
		}
	}
}

static void
ask_all(struct storm *storm, uint16_t port, int epoll_fd)
{
	static const uint8_t ask[ASK_BYTES];

	for (uint32_t i = 0; i < storm->options->connections; i++) {
		storm->fd[i] = sock_connect(port);
		sock_send(storm->fd[i], ask, ASK_BYTES);
		watch(epoll_fd, storm->fd[i]);
	}
}

static void
await_answers(struct storm *storm, int epoll_fd)
{
	struct epoll_event events[EVENTS_MAX];
	uint8_t answer[ANSWER_BYTES];
	uint32_t left = storm->options->connections;

	while (left > 0) {
		const int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			if (!sock_read(events[i].data.fd, answer, ANSWER_BYTES))
				floor_die("storm: closed");
			left--;
		}
	}
}

static uint64_t
one(struct storm *storm, uint16_t port)
{
	const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	const uint64_t begin_ns = clock_os_now_ns();

	if (epoll_fd < 0)
		floor_die("epoll_create1");
	ask_all(storm, port, epoll_fd);
	await_answers(storm, epoll_fd);

	const uint64_t took_ns = clock_os_now_ns() - begin_ns;

	for (uint32_t i = 0; i < storm->options->connections; i++)
		close(storm->fd[i]);
	close(epoll_fd);
	return took_ns;
}

void
storm_measure(const struct storm_options *options, struct hist *out)
{
	const uint64_t end_ns =
		clock_os_now_ns() + (uint64_t)(options->seconds * 1e9);
	struct storm storm = {.options = options,
			      .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
			      .fd = calloc(options->connections, sizeof(int))};
	pthread_t thread;
	uint16_t port;

	/* Both sides are this process; what closed last may linger. */
	make_room(4 * options->connections);
	storm.listen_fd = sock_listen(&port);
	if (storm.fd == NULL || storm.epoll_fd < 0 ||
	    fcntl(storm.listen_fd, F_SETFL, O_NONBLOCK) != 0)
		floor_die("storm");
	watch(storm.epoll_fd, storm.listen_fd);
	if (pthread_create(&thread, NULL, serve, &storm) != 0)
		floor_die("pthread_create");
	do
		hist_record(out, one(&storm, port));
	while (clock_os_now_ns() < end_ns);
	shutdown(storm.listen_fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(storm.listen_fd);
	close(storm.epoll_fd);
	free(storm.fd);
}
