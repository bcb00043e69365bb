/* SPDX-License-Identifier: Apache-2.0 */
/* kernel - see kernel.h. */

#include "kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fal.h"

#define KERNEL_CONNS_MAX  256u
#define KERNEL_PATIENCE_S 60

/* As in linux/ipv6.h, which does not go together with netinet/in.h. */
struct kernel_in6_ifreq {
	struct in6_addr address;
	uint32_t prefix;
	int index;
};

const uint8_t *
talk_pattern(void)
{
	static uint8_t pattern[2 * TALK_PATTERN];

	if (pattern[1] == 0) {
		for (uint32_t i = 0; i < 2 * TALK_PATTERN; i++)
			pattern[i] = (uint8_t)((i % TALK_PATTERN + 1) *
						       2654435761u >>
					       24);
	}
	return pattern;
}

static void
kernel_sysctl(const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	close(fd);
}

/* An IPv6 address becomes usable in the background; two seconds at most. */
static bool
kernel_wait(int fd, const struct in6_addr *address)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6,
				    .sin6_addr = *address};

	for (uint32_t i = 0; i < 2000; i++) {
		if (bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
			return true;
		poll(NULL, 0, 1);
	}
	return false;
}

static const char *
kernel_tap(struct kernel *kernel, uint32_t mtu)
{
	struct ifreq request = {.ifr_name = "tap0",
				.ifr_flags = IFF_TAP | IFF_NO_PI};
	struct sockaddr_in *ip =
		(struct sockaddr_in *)(void *)&request.ifr_addr;
	struct kernel_in6_ifreq request6 = {.prefix = 64};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
	bool is_good;

	kernel->tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (kernel->tap < 0 || ioctl(kernel->tap, TUNSETIFF, &request) != 0)
		return "no tap device (/dev/net/tun)";
	kernel_sysctl("ipv6/conf/all/accept_dad", "0");
	kernel_sysctl("ipv6/conf/tap0/accept_dad", "0");
	kernel_sysctl("ipv6/conf/tap0/router_solicitations", "0");
	request.ifr_mtu = (int)mtu;
	is_good = ioctl(fd, SIOCSIFMTU, &request) == 0;
	memset(&request.ifr_addr, 0, sizeof(request.ifr_addr));
	ip->sin_family = AF_INET;
	ip->sin_addr.s_addr = htonl(0x0a4d0000u | kernel->host);
	is_good = is_good && ioctl(fd, SIOCSIFADDR, &request) == 0;
	ip->sin_addr.s_addr = htonl(0xffffff00u);
	is_good = is_good && ioctl(fd, SIOCSIFNETMASK, &request) == 0;
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	is_good = is_good && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	is_good = is_good && ioctl(fd, SIOCGIFINDEX, &request) == 0;
	request6.index = request.ifr_ifindex;
	request6.address.s6_addr[0] = 0xfd;
	request6.address.s6_addr[1] = 0x77;
	request6.address.s6_addr[15] = kernel->host;
	if (mtu >= 1280 && fd6 >= 0)
		is_good = is_good && ioctl(fd6, SIOCSIFADDR, &request6) == 0;
	is_good =
		is_good && (mtu < 1280 || kernel_wait(fd6, &request6.address));
	close(fd);
	close(fd6);
	return is_good ? NULL : "the tap device cannot be configured";
}

const char *
kernel_create(struct kernel *kernel, uint8_t host, uint32_t mtu,
	      uint32_t without)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	const char *why = NULL;

	kernel->host = host;
	kernel->tap = -1;
	kernel->namespace = -1;
	if (own < 0 || unshare(CLONE_NEWNET) != 0) {
		close(own);
		return "network namespaces need root or a user namespace";
	}
	kernel->namespace =
		open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	why = kernel_tap(kernel, mtu);
	if ((without & KERNEL_WITHOUT_SACK) != 0)
		kernel_sysctl("ipv4/tcp_sack", "0");
	if ((without & KERNEL_WITHOUT_TIMESTAMPS) != 0)
		kernel_sysctl("ipv4/tcp_timestamps", "0");
	if ((without & KERNEL_WITHOUT_SCALING) != 0)
		kernel_sysctl("ipv4/tcp_window_scaling", "0");
	FAL_ASSERT(setns(own, CLONE_NEWNET) == 0);
	close(own);
	return why;
}

void
kernel_destroy(struct kernel *kernel)
{
	if (kernel->tap >= 0)
		close(kernel->tap);
	if (kernel->namespace >= 0)
		close(kernel->namespace);
}

struct kernel_conn {
	struct kernel_side *side;
	pthread_t thread;
	int fd; /* of the server's; -1: to be opened */
};

struct kernel_side {
	int namespace;
	uint8_t host;
	bool is_ipv6;
	struct talk talk;
	char cc[16];
	int listener;
	pthread_t acceptor;
	struct kernel_conn conns[KERNEL_CONNS_MAX];
	_Atomic uint32_t done, failures;
};

/* Sends or receives exactly so many bytes. */
static bool
kernel_all(int fd, void *data, uint32_t bytes, bool is_send)
{
	uint8_t *at = data;

	while (bytes > 0) {
		ssize_t got = is_send ? send(fd, at, bytes, MSG_NOSIGNAL)
				      : recv(fd, at, bytes, 0);

		if (got <= 0)
			return false;
		at += got;
		bytes -= (uint32_t)got;
	}
	return true;
}

static bool
kernel_receive(int fd, uint32_t *received, bool *is_over)
{
	static _Thread_local uint8_t data[TALK_PATTERN];
	ssize_t got = recv(fd, data, sizeof(data), MSG_DONTWAIT);

	if (got < 0)
		return errno == EAGAIN;
	if (memcmp(data, talk_pattern() + *received % TALK_PATTERN,
		   (size_t)got) != 0)
		return false;
	*is_over = got == 0;
	*received += (uint32_t)got;
	return true;
}

/* The two streams; each direction ends on its own. */
static bool
kernel_streams(int fd, uint32_t out, uint32_t in)
{
	uint32_t sent = 0, received = 0;
	bool is_shut = false, is_over = false;

	while (!is_shut || !is_over) {
		struct pollfd poller = {.fd = fd};

		if (sent == out && !is_shut) {
			is_shut = true;
			if (shutdown(fd, SHUT_WR) != 0)
				return false;
			continue;
		}
		poller.events = (short)((is_over ? 0 : POLLIN) |
					(is_shut ? 0 : POLLOUT));
		if (poll(&poller, 1, KERNEL_PATIENCE_S * 1000) <= 0)
			return false;
		if ((poller.revents & POLLOUT) != 0) {
			uint32_t at = sent % TALK_PATTERN;
			uint32_t bytes = TALK_PATTERN;
			ssize_t put;

			bytes = bytes > out - sent ? out - sent : bytes;
			put = send(fd, talk_pattern() + at, bytes,
				   MSG_DONTWAIT | MSG_NOSIGNAL);
			if (put < 0 && errno != EAGAIN)
				return false;
			sent += put < 0 ? 0 : (uint32_t)put;
		}
		if ((poller.revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
		    !kernel_receive(fd, &received, &is_over))
			return false;
	}
	return received == in;
}

static bool
kernel_talk(int fd, bool is_client, struct talk talk)
{
	uint8_t ping[TALK_PING_BYTES], back[TALK_PING_BYTES];

	if (!kernel_all(fd, &talk, sizeof(talk), is_client))
		return false;
	for (uint32_t i = 0; i < talk.pings; i++) {
		memset(ping, (int)i, sizeof(ping));
		if (is_client && !kernel_all(fd, ping, sizeof(ping), true))
			return false;
		if (!kernel_all(fd, back, sizeof(back), false) ||
		    memcmp(ping, back, sizeof(ping)) != 0)
			return false;
		if (!is_client && !kernel_all(fd, ping, sizeof(ping), true))
			return false;
	}
	return is_client ? kernel_streams(fd, talk.up, talk.down)
			 : kernel_streams(fd, talk.down, talk.up);
}

static socklen_t
kernel_name(struct sockaddr_storage *name, bool is_ipv6, uint8_t host)
{
	struct sockaddr_in *ip4 = (struct sockaddr_in *)(void *)name;
	struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)(void *)name;

	memset(name, 0, sizeof(*name));
	if (!is_ipv6) {
		ip4->sin_family = AF_INET;
		ip4->sin_port = htons(7000);
		ip4->sin_addr.s_addr = htonl(0x0a4d0000u | host);
		return sizeof(*ip4);
	}
	ip6->sin6_family = AF_INET6;
	ip6->sin6_port = htons(7000);
	ip6->sin6_addr.s6_addr[0] = 0xfd;
	ip6->sin6_addr.s6_addr[1] = 0x77;
	ip6->sin6_addr.s6_addr[15] = host;
	return sizeof(*ip6);
}

static void
kernel_prepare(const struct kernel_side *side, int fd)
{
	struct timeval patience = {.tv_sec = KERNEL_PATIENCE_S};
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, side->cc,
		       (socklen_t)strlen(side->cc)) != 0)
		fprintf(stderr, "no congestion control %s\n", side->cc);
}

static void *
kernel_conn_run(void *argument)
{
	struct kernel_conn *conn = argument;
	struct kernel_side *side = conn->side;
	bool is_client = conn->fd < 0;
	struct sockaddr_storage name;
	socklen_t bytes;
	bool is_good = true;

	if (is_client) {
		FAL_ASSERT(setns(side->namespace, CLONE_NEWNET) == 0);
		bytes = kernel_name(&name, side->is_ipv6, side->host);
		conn->fd = socket(side->is_ipv6 ? AF_INET6 : AF_INET,
				  SOCK_STREAM, 0);
		kernel_prepare(side, conn->fd);
		is_good =
			connect(conn->fd, (struct sockaddr *)&name, bytes) == 0;
	}
	is_good = is_good && kernel_talk(conn->fd, is_client, side->talk);
	if (!is_good) {
		fprintf(stderr, "kernel %s: %s\n",
			is_client ? "client" : "server", strerror(errno));
		atomic_fetch_add(&side->failures, 1);
	}
	close(conn->fd);
	atomic_fetch_add(&side->done, 1);
	return NULL;
}

static void *
kernel_accept_run(void *argument)
{
	struct kernel_side *side = argument;

	for (uint32_t i = 0; i < side->talk.conns; i++) {
		struct kernel_conn *conn = &side->conns[i];

		conn->fd = accept(side->listener, NULL, NULL);
		if (conn->fd < 0) {
			uint32_t left = side->talk.conns - i;

			fprintf(stderr, "accept: %s\n", strerror(errno));
			atomic_fetch_add(&side->failures, left);
			atomic_fetch_add(&side->done, left);
			break;
		}
		kernel_prepare(side, conn->fd);
		FAL_ASSERT(pthread_create(&conn->thread, NULL, kernel_conn_run,
					  conn) == 0);
	}
	return NULL;
}

static struct kernel_side *
kernel_side_new(const struct kernel *kernel, uint8_t host, bool is_ipv6,
		const struct talk *talk, const char *cc)
{
	struct kernel_side *side = calloc(1, sizeof(*side));

	FAL_ASSERT(side != NULL);
	FAL_ASSERT(talk->conns <= KERNEL_CONNS_MAX);
	talk_pattern();
	side->namespace = kernel->namespace;
	side->host = host;
	side->is_ipv6 = is_ipv6;
	side->talk = *talk;
	side->listener = -1;
	snprintf(side->cc, sizeof(side->cc), "%s", cc);
	for (uint32_t i = 0; i < talk->conns; i++) {
		side->conns[i].side = side;
		side->conns[i].fd = -1;
	}
	return side;
}

struct kernel_side *
kernel_serve(const struct kernel *kernel, bool is_ipv6, const struct talk *talk,
	     const char *cc)
{
	struct kernel_side *side =
		kernel_side_new(kernel, kernel->host, is_ipv6, talk, cc);
	int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	struct sockaddr_storage name;
	socklen_t bytes = kernel_name(&name, is_ipv6, kernel->host);
	int one = 1;

	/* A socket stays in the namespace it was made in. */
	FAL_ASSERT(setns(kernel->namespace, CLONE_NEWNET) == 0);
	side->listener = socket(is_ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	FAL_ASSERT(setns(own, CLONE_NEWNET) == 0);
	close(own);
	setsockopt(side->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	kernel_prepare(side, side->listener);
	FAL_ASSERT(bind(side->listener, (struct sockaddr *)&name, bytes) == 0);
	FAL_ASSERT(listen(side->listener, 256) == 0);
	FAL_ASSERT(pthread_create(&side->acceptor, NULL, kernel_accept_run,
				  side) == 0);
	return side;
}

struct kernel_side *
kernel_call(const struct kernel *kernel, uint8_t host, bool is_ipv6,
	    const struct talk *talk, const char *cc)
{
	struct kernel_side *side =
		kernel_side_new(kernel, host, is_ipv6, talk, cc);

	for (uint32_t i = 0; i < talk->conns; i++)
		FAL_ASSERT(pthread_create(&side->conns[i].thread, NULL,
					  kernel_conn_run,
					  &side->conns[i]) == 0);
	return side;
}

bool
kernel_is_done(const struct kernel_side *side, uint32_t *failures)
{
	*failures = atomic_load(&side->failures);
	return atomic_load(&side->done) == side->talk.conns;
}

void
kernel_end(struct kernel_side *side)
{
	if (side->listener >= 0)
		pthread_join(side->acceptor, NULL);
	for (uint32_t i = 0; i < side->talk.conns; i++) {
		if (side->conns[i].fd >= 0 || side->listener < 0)
			pthread_join(side->conns[i].thread, NULL);
	}
	if (side->listener >= 0)
		close(side->listener);
	free(side);
}
