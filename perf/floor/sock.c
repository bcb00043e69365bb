/* SPDX-License-Identifier: Apache-2.0 */
/* sock - the same few calls for all floors. */
#include "perf/floor/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "perf/floor/floor.h"

static struct sockaddr_in
loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

void
sock_no_delay(int fd)
{
	const int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
		floor_die("TCP_NODELAY");
}

int
sock_listen(uint16_t *port)
{
	struct sockaddr_in address = loopback(0);
	socklen_t bytes = sizeof(address);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, bytes) != 0 ||
	    listen(fd, SOMAXCONN) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
		floor_die("listen");
	*port = ntohs(address.sin_port);
	return fd;
}

int
sock_accept(int listen_fd)
{
	const int fd = accept(listen_fd, NULL, NULL);

	if (fd < 0)
		floor_die("accept");
	sock_no_delay(fd);
	return fd;
}

int
sock_connect(uint16_t port)
{
	const struct sockaddr_in address = loopback(port);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address,
			      sizeof(address)) != 0)
		floor_die("connect");
	sock_no_delay(fd);
	return fd;
}

bool
sock_read(int fd, uint8_t *to, uint32_t bytes)
{
	uint32_t have = 0;

	while (have < bytes) {
		const ssize_t got = recv(fd, to + have, bytes - have, 0);

		if (got == 0)
			return false;
		if (got < 0 && errno != EINTR)
			floor_die("recv");
		have += got > 0 ? (uint32_t)got : 0;
	}
	return true;
}

void
sock_send(int fd, const uint8_t *from, uint32_t bytes)
{
	if (send(fd, from, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		floor_die("send");
}
