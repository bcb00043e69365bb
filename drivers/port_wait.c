/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_wait - see port_wait.h.
 *
 * ppoll() over two descriptors rather than an epoll set: the descriptor of a
 * virtio queue changes whenever the other side comes back, and a core sleeps at
 * most some ten thousand times a second.
 */
#include "drivers/port_wait.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"

#define FDS_MAX 4096

static void
empty(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return; /* somebody else was faster */
}

void
port_wait_fds(int doorbell_fd, int frames_fd, bool is_eventfd,
	      uint64_t timeout_ns)
{
	struct pollfd fds[2] = {
		{.fd = doorbell_fd, .events = POLLIN},
		{.fd = frames_fd, .events = POLLIN},
	};
	const struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_SECOND),
		.tv_nsec = (long)(timeout_ns % NS_PER_SECOND),
	};

	/* ppoll() passes over negative descriptors. An error, a signal above
	 * all, is an early return. */
	if (ppoll(fds, 2, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL) <=
	    0)
		return;
	if ((fds[0].revents & POLLIN) != 0)
		empty(doorbell_fd);
	if (is_eventfd && (fds[1].revents & POLLIN) != 0)
		empty(frames_fd);
}

static int
family_of(int fd)
{
	int family = -1;
	socklen_t bytes = sizeof(family);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes) != 0)
		return -1;
	return family;
}

void
port_fds_note(struct port_fds *fds)
{
	memset(fds, 0, sizeof(*fds));
	for (int fd = 0; fd < FDS_MAX; fd++)
		if (family_of(fd) >= 0)
			fds->open[fd / 64] |= 1ull << (fd % 64);
}

uint32_t
port_fds_new_sockets(const struct port_fds *then, int family, int *found,
		     uint32_t max)
{
	uint32_t count = 0;

	for (int fd = 0; fd < FDS_MAX && count < max; fd++)
		if ((then->open[fd / 64] & 1ull << (fd % 64)) == 0 &&
		    family_of(fd) == family)
			found[count++] = fd;
	return count;
}
