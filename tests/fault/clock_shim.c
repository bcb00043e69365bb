/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wall clock that jumps on demand, under any program: LD_PRELOAD.
 *
 *   FAULT_CLOCK_CONTROL  a file of 4096 bytes, struct control, that the bench
 *                        changes while the program runs
 *
 * Only the wall clock: an administrator or NTP cannot set the monotonic one.
 * Waits for a time of the wall clock go to the kernel's own clock, past this;
 * so a program that waits with a deadline made of a wrong clock waits for as
 * long as the jump was, which is what this bench wants to see.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000

struct control {
	_Atomic int64_t offset_ns; /* added to the wall clock */
	_Atomic uint32_t reads;    /* counted by the shim */
};

static struct control *control;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void
shim_start(void)
{
	const char *path = getenv("FAULT_CLOCK_CONTROL");
	int fd;

	*(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	if (path == NULL)
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		abort();
	control = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		abort();
	close(fd);
}

int
clock_gettime(clockid_t id, struct timespec *now)
{
	int64_t offset, ns;
	int result;

	/* Other libraries' constructors may come first. */
	if (real_clock_gettime == NULL)
		shim_start();
	result = real_clock_gettime(id, now);
	if (result != 0 || control == NULL ||
	    (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
		return result;
	atomic_fetch_add(&control->reads, 1);
	offset = atomic_load(&control->offset_ns);
	ns = now->tv_nsec + offset % NS_PER_S;
	now->tv_sec += offset / NS_PER_S;
	if (ns < 0 || ns >= NS_PER_S) {
		now->tv_sec += ns < 0 ? -1 : 1;
		ns += ns < 0 ? NS_PER_S : -NS_PER_S;
	}
	now->tv_nsec = ns;
	return 0;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec at;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &at) != 0)
		return -1;
	now->tv_sec = at.tv_sec;
	now->tv_usec = at.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec at;

	if (clock_gettime(CLOCK_REALTIME, &at) != 0)
		return -1;
	if (out != NULL)
		*out = at.tv_sec;
	return at.tv_sec;
}
