/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append_file - O_APPEND, so that whoever truncates it in place (copytruncate)
 * is no trouble either.
 */
#include "server/append_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int
append_file_open(struct append_file *file, const char *path)
{
	const int fd =
		open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	struct stat info;

	*file = (struct append_file){.path = path, .fd = -1};
	if (fd < 0)
		return FAL_EIO;
	file->fd = fd;
	if (fstat(fd, &info) == 0) {
		file->device = info.st_dev;
		file->inode = info.st_ino;
	}
	return FAL_OK;
}

void
append_file_close(struct append_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

int
append_file_follow_name(struct append_file *file)
{
	struct append_file renewed;
	struct stat info;

	if (stat(file->path, &info) == 0 && info.st_dev == file->device &&
	    info.st_ino == file->inode)
		return FAL_OK;
	if (append_file_open(&renewed, file->path) != FAL_OK)
		return FAL_EIO;
	append_file_close(file);
	*file = renewed;
	return FAL_OK;
}

/* Returns how many bytes went. */
static size_t
write_all(int fd, const char *text, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		const ssize_t n = write(fd, text + done, bytes - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

int
append_file_write(struct append_file *file, const char *text, size_t bytes)
{
	size_t done;

	if (file->ends_within_line && write_all(file->fd, "\n", 1) != 1)
		return FAL_EIO;
	done = write_all(file->fd, text, bytes);
	file->ends_within_line = done > 0 && text[done - 1] != '\n';
	return done == bytes ? FAL_OK : FAL_EIO;
}
