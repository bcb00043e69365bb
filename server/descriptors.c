/* SPDX-License-Identifier: Apache-2.0 */
#include "server/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Not for clients, but no more than a quarter. */
#define KEPT_PLACES 128u
/* 512 KiB of the kernel's memory. */
#define TABLE_PLACES 65536u

static void
grow_table(uint64_t places)
{
	const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;

	/* The highest one makes the table; it stays when that is closed. */
	const int high = fcntl(fd, F_DUPFD_CLOEXEC, (int)places - 1);

	if (high >= 0)
		close(high);
	close(fd);
}

void
descriptors_take_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

uint64_t
descriptors_prepare(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return 0;
	if (files.rlim_cur < files.rlim_max) {
		const rlim_t before = files.rlim_cur;

		files.rlim_cur = files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &files) != 0)
			files.rlim_cur = before;
	}
	grow_table(files.rlim_cur < TABLE_PLACES ? files.rlim_cur
						 : TABLE_PLACES);
	return files.rlim_cur;
}

uint64_t
descriptors_for_clients(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0 ||
	    files.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return files.rlim_cur - (files.rlim_cur / 4 < KEPT_PLACES
					 ? files.rlim_cur / 4
					 : KEPT_PLACES);
}
