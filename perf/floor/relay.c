/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay - what a replicated write cannot do without: client -> leader -> two
 * followers -> leader -> client. The answer leaves when the leader and one
 * follower have it, which is a majority of three; with a log each of them has
 * written it durably before it counts.
 *
 * Four threads, blocking sockets, TCP_NODELAY. The leader sends to both
 * followers first and writes its own log while they work.
 */
#include "perf/floor/floor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/clock.h"
#include "perf/floor/sock.h"

#define FOLLOWERS  2u
#define BYTES_MAX  4096u
#define ONE_SECOND 1000

struct relay {
	const struct relay_options *options;
	int client_fd;
	int follower_fd[FOLLOWERS];
	uint32_t owed[FOLLOWERS]; /* bytes of answers that are to come */
};

struct follower {
	const struct relay_options *options;
	struct durable *log;
	int listen_fd;
};

static void *
follow(void *arg)
{
	const struct follower *follower = arg;
	const int fd = sock_accept(follower->listen_fd);
	uint8_t bytes[BYTES_MAX];

	while (sock_read(fd, bytes, follower->options->bytes)) {
		if (follower->log != NULL)
			durable_append(follower->log);
		sock_send(fd, bytes, follower->options->bytes);
	}
	close(fd);
	return NULL;
}

/* Reads what a follower has answered; true when it owes nothing more. */
static bool
take_answer(struct relay *relay, uint32_t index)
{
	uint8_t bytes[BYTES_MAX];
	const ssize_t got = recv(relay->follower_fd[index], bytes,
				 relay->owed[index], MSG_DONTWAIT);

	if (got == 0)
		floor_die("a follower went away");
	if (got < 0 && errno != EAGAIN && errno != EINTR)
		floor_die("recv");
	if (got > 0)
		relay->owed[index] -= (uint32_t)got;
	return relay->owed[index] == 0;
}

/* Waits until one of them, or all, owe nothing. */
static void
await_answers(struct relay *relay, uint32_t enough)
{
	for (;;) {
		struct pollfd fds[FOLLOWERS];
		uint32_t done = 0;

		for (uint32_t i = 0; i < FOLLOWERS; i++) {
			if (relay->owed[i] == 0 || take_answer(relay, i))
				done++;
			fds[i] = (struct pollfd){
				.fd = relay->owed[i] == 0
					      ? -1
					      : relay->follower_fd[i],
				.events = POLLIN};
		}
		if (done >= enough)
			return;
		if (poll(fds, FOLLOWERS, ONE_SECOND) < 0 && errno != EINTR)
			floor_die("poll");
	}
}

static void
serve(struct relay *relay)
{
	const struct relay_options *options = relay->options;
	uint8_t bytes[BYTES_MAX];

	while (sock_read(relay->client_fd, bytes, options->bytes)) {
		await_answers(relay, FOLLOWERS); /* of the last round */
		for (uint32_t i = 0; i < FOLLOWERS; i++) {
			sock_send(relay->follower_fd[i], bytes, options->bytes);
			relay->owed[i] = options->bytes;
		}
		if (options->log[0] != NULL)
			durable_append(options->log[0]);
		await_answers(relay, 1);
		sock_send(relay->client_fd, bytes, options->bytes);
	}
	await_answers(relay, FOLLOWERS);
}

struct leader {
	const struct relay_options *options;
	int listen_fd;
	uint16_t follower_port[FOLLOWERS];
};

static void *
lead(void *arg)
{
	const struct leader *leader = arg;
	struct relay relay = {.options = leader->options};

	for (uint32_t i = 0; i < FOLLOWERS; i++)
		relay.follower_fd[i] = sock_connect(leader->follower_port[i]);
	relay.client_fd = sock_accept(leader->listen_fd);
	serve(&relay);
	close(relay.client_fd);
	for (uint32_t i = 0; i < FOLLOWERS; i++)
		close(relay.follower_fd[i]);
	return NULL;
}

static void
ask(uint16_t port, const struct relay_options *options, struct hist *out)
{
	const int fd = sock_connect(port);
	uint8_t bytes[BYTES_MAX] = {0};
	uint64_t now_ns = clock_os_now_ns();
	const uint64_t end_ns = now_ns + (uint64_t)(options->seconds * 1e9);

	while (now_ns < end_ns) {
		const uint64_t sent_ns = now_ns;

		sock_send(fd, bytes, options->bytes);
		if (!sock_read(fd, bytes, options->bytes))
			floor_die("the leader went away");
		now_ns = clock_os_now_ns();
		hist_record(out, now_ns - sent_ns);
	}
	close(fd);
}

void
relay_measure(const struct relay_options *options, struct hist *out)
{
	struct follower follower[FOLLOWERS];
	struct leader leader = {.options = options};
	pthread_t thread[FOLLOWERS + 1];
	uint16_t port;

	FAL_ASSERT(options->bytes >= 1 && options->bytes <= BYTES_MAX);
	for (uint32_t i = 0; i < FOLLOWERS; i++) {
		follower[i] = (struct follower){
			.options = options,
			.log = options->log[i + 1],
			.listen_fd = sock_listen(&leader.follower_port[i])};
		if (pthread_create(&thread[i], NULL, follow, &follower[i]) != 0)
			floor_die("pthread_create");
	}
	leader.listen_fd = sock_listen(&port);
	if (pthread_create(&thread[FOLLOWERS], NULL, lead, &leader) != 0)
		floor_die("pthread_create");
	ask(port, options, out);
	for (uint32_t i = 0; i <= FOLLOWERS; i++)
		pthread_join(thread[i], NULL);
	for (uint32_t i = 0; i < FOLLOWERS; i++)
		close(follower[i].listen_fd);
	close(leader.listen_fd);
}
