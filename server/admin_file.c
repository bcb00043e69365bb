/* SPDX-License-Identifier: Apache-2.0 */
/* admin_file - thin wrappers of the system's calls. */
#include "server/admin_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int
admin_file_open(const char *path, uint64_t *bytes)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat info;

	if (fd < 0)
		return -1;
	if (fstat(fd, &info) != 0) {
		close(fd);
		return -1;
	}
	*bytes = (uint64_t)info.st_size;
	return fd;
}

void
admin_file_close(int fd)
{
	close(fd);
}

int64_t
admin_file_seconds(const char *path)
{
	struct stat info;

	return stat(path, &info) == 0 ? (int64_t)info.st_mtime : 0;
}

int
admin_file_volume(const char *path, uint64_t *total_bytes, uint64_t *free_bytes)
{
	struct statvfs info;

	if (statvfs(path, &info) != 0)
		return FAL_EIO;
	*total_bytes = (uint64_t)info.f_blocks * info.f_frsize;
	*free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
	return FAL_OK;
}
