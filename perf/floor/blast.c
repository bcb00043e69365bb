/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blast - one frame to each of many connections: what a fan-out of watch events
 * cannot do without. A server thread sends on a signal, the caller waits on
 * epoll for the last of them.
 */
#include "perf/floor/floor.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/clock.h"
#include "perf/floor/sock.h"

#define EVENTS_MAX 256

struct blast {
	const struct blast_options *options;
	int listen_fd;
	int *fd; /* of the server's side; the first one carries the signal */
};

static void *
serve(void *arg)
{
	struct blast *blast = arg;
	uint8_t frame[256] = {0};

	for (uint32_t i = 0; i <= blast->options->connections; i++)
		blast->fd[i] = sock_accept(blast->listen_fd);
	while (sock_read(blast->fd[0], frame, 1))
		for (uint32_t i = 1; i <= blast->options->connections; i++)
			sock_send(blast->fd[i], frame, blast->options->bytes);
	for (uint32_t i = 0; i <= blast->options->connections; i++)
		close(blast->fd[i]);
	return NULL;
}

static void
await_all(int epoll_fd, uint64_t bytes)
{
	struct epoll_event events[EVENTS_MAX];
	uint8_t in[4096];

	while (bytes > 0) {
		const int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			const ssize_t got = recv(events[i].data.fd, in,
						 sizeof(in), MSG_DONTWAIT);

			if (got == 0 || (got < 0 && errno != EAGAIN))
				floor_die("recv");
			bytes -= got > 0 ? (uint64_t)got : 0;
		}
	}
}

static void
rounds(const struct blast_options *options, int signal_fd, int epoll_fd,
       struct hist *out)
{
	uint64_t now_ns = clock_os_now_ns();
	const uint64_t end_ns = now_ns + (uint64_t)(options->seconds * 1e9);
	const uint8_t signal = 1;

	while (now_ns < end_ns) {
		const uint64_t begin_ns = now_ns;

		sock_send(signal_fd, &signal, 1);
		await_all(epoll_fd,
			  (uint64_t)options->connections * options->bytes);
		now_ns = clock_os_now_ns();
		hist_record(out, now_ns - begin_ns);
	}
}

void
blast_measure(const struct blast_options *options, struct hist *out)
{
	struct blast blast = {.options = options};
	int *mine = malloc((options->connections + 1) * sizeof(*mine));
	const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	pthread_t thread;
	uint16_t port;

	blast.fd = malloc((options->connections + 1) * sizeof(*blast.fd));
	if (mine == NULL || blast.fd == NULL || epoll_fd < 0)
		floor_die("blast");
	blast.listen_fd = sock_listen(&port);
	if (pthread_create(&thread, NULL, serve, &blast) != 0)
		floor_die("pthread_create");
	for (uint32_t i = 0; i <= options->connections; i++) {
		struct epoll_event event = {.events = EPOLLIN};

		mine[i] = sock_connect(port);
		event.data.fd = mine[i];
		if (i > 0 &&
		    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, mine[i], &event) != 0)
			floor_die("epoll_ctl");
	}
	rounds(options, mine[0], epoll_fd, out);
	for (uint32_t i = 0; i <= options->connections; i++)
		close(mine[i]);
	pthread_join(thread, NULL);
	close(blast.listen_fd);
	close(epoll_fd);
	free(mine);
	free(blast.fd);
}
