/* SPDX-License-Identifier: Apache-2.0 */
/* wait - epoll_pwait2(), whose timeout is as fine as an open loop needs. */
#include "perf/load/wait.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "perf/load/bypass.h"

void
wait_open(struct load_wait *wait, const struct load_options *options)
{
	*wait = (struct load_wait){.epoll_fd = -1, .spins = options->spins};
	if (options->port != NULL)
		return;
	wait->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (wait->epoll_fd < 0)
		load_die("epoll_create1: %s", strerror(errno));
}

void
wait_close(struct load_wait *wait)
{
	if (wait->epoll_fd >= 0)
		close(wait->epoll_fd);
	wait->epoll_fd = -1;
}

static void
control(struct load_wait *wait, const struct load_conn *conn, bool wants_room,
	int op)
{
	struct epoll_event event = {.events = EPOLLIN |
					      (wants_room ? EPOLLOUT : 0u),
				    .data.u32 = conn->index};

	if (wait->epoll_fd >= 0 &&
	    epoll_ctl(wait->epoll_fd, op, conn->fd, &event) != 0)
		load_die("epoll_ctl: %s", strerror(errno));
}

void
wait_add(struct load_wait *wait, const struct load_conn *conn, bool wants_room)
{
	control(wait, conn, wants_room, EPOLL_CTL_ADD);
}

void
wait_change(struct load_wait *wait, const struct load_conn *conn,
	    bool wants_room)
{
	control(wait, conn, wants_room, EPOLL_CTL_MOD);
}

uint32_t
wait_for(struct load_wait *wait, uint32_t *index, uint64_t timeout_ns)
{
	struct epoll_event events[WAIT_EVENTS_MAX];

	if (wait->spins)
		timeout_ns = 0;
	if (wait->epoll_fd < 0)
		return bypass_wait(index, WAIT_EVENTS_MAX, timeout_ns);

	const struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_SECOND),
		.tv_nsec = (long)(timeout_ns % NS_PER_SECOND)};
	const int got = epoll_pwait2(wait->epoll_fd, events, WAIT_EVENTS_MAX,
				     &timeout, NULL);

	if (got < 0 && errno != EINTR)
		load_die("epoll_pwait2: %s", strerror(errno));
	for (int i = 0; i < got; i++)
		index[i] = events[i].data.u32;
	return got < 0 ? 0 : (uint32_t)got;
}
