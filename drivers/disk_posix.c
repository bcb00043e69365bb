/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain disk: one system call per operation, in the caller's thread.
 *
 * Log files are opened O_DIRECT|O_DSYNC. A file system without O_DIRECT says
 * EINVAL at open (some only at the first write); then the file is opened
 * buffered and fdatasync() follows each write. Reads and everything else go
 * through the page cache: a log file is read when nobody writes it. So do the
 * writes of a log that need not be durable (forceSync=no): waiting for the
 * device, which O_DIRECT does, is what they are to be spared.
 */

#include "drivers/disk_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FILE_MODE       0644
#define DIR_MODE        0755
#define STAT_BLOCK      512u
#define ZERO_STEP_BYTES (1u << 20)

_Static_assert(ZERO_STEP_BYTES % DISK_BLOCK_BYTES == 0, "whole blocks");

int
disk_posix_error(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return FAL_ENOENT;
	case EEXIST:
		return FAL_EEXIST;
	case EACCES:
	case EPERM:
	case EROFS:
		return FAL_EACCESS;
	case ENOSPC:
	case EDQUOT:
		return FAL_ENOSPC;
	case EWOULDBLOCK:
		return FAL_EBUSY;
	case ENOMEM:
		return FAL_ENOMEM;
	case EMFILE:
	case ENFILE:
		return FAL_ENFILE;
	case EOPNOTSUPP:
	case ENOSYS:
		return FAL_ENOTSUP;
	default:
		return FAL_EIO;
	}
}

static int
open_flags_of(uint32_t flags)
{
	int result = O_CLOEXEC;

	if (flags & (DISK_WRITE | DISK_LOG | DISK_DIRECT))
		result |= O_RDWR;
	if (flags & DISK_CREATE)
		result |= O_CREAT;
	if (flags & DISK_TRUNC)
		result |= O_TRUNC;
	return result;
}

static mode_t
mode_of(uint32_t flags)
{
	const uint32_t mode = flags >> DISK_MODE_SHIFT;

	return mode != 0 ? mode : FILE_MODE;
}

static int
posix_open(struct disk *disk, const char *path, uint32_t flags,
	   struct disk_file **out)
{
	const bool is_log = (flags & DISK_LOG) != 0;
	const bool is_durable = is_log && (flags & DISK_NOSYNC) == 0;
	const int plain = open_flags_of(flags);
	const int sync = is_durable ? O_DSYNC : 0;
	const bool wants_direct = is_durable || (flags & DISK_DIRECT) != 0;
	struct disk_posix_file *file = calloc(1, sizeof(*file));
	int fd = -1;

	if (file == NULL)
		return FAL_ENOMEM;
	if (wants_direct)
		fd = open(path, plain | O_DIRECT | sync, mode_of(flags));
	file->is_direct = fd >= 0;
	if (fd < 0 && (!wants_direct || errno == EINVAL)) {
		fd = open(path, plain, mode_of(flags));
		file->needs_fdsync = is_durable;
	}
	if (fd < 0) {
		const int error = errno;

		free(file);
		return disk_posix_error(error);
	}
	file->base.disk = disk;
	file->fd = fd;
	file->is_durable = is_durable;
	file->slot = -1;
	*out = &file->base;
	return 0;
}

static void
posix_close(struct disk_file *base)
{
	struct disk_posix_file *file = disk_posix_file_of(base);

	FAL_ASSERT(!file->is_submitted);
	close(file->fd);
	free(file);
}

static int
posix_info(struct disk *disk, const char *path, struct disk_info *out)
{
	struct stat stat_buf;

	(void)disk;
	if (stat(path, &stat_buf) != 0)
		return disk_posix_error(errno);
	out->bytes = (uint64_t)stat_buf.st_size;
	out->allocated = (uint64_t)stat_buf.st_blocks * STAT_BLOCK;
	out->owner = stat_buf.st_uid;
	out->mode = stat_buf.st_mode & 0777;
	out->is_dir = S_ISDIR(stat_buf.st_mode);
	return 0;
}

static int
posix_file_bytes(struct disk_file *base, uint64_t *out)
{
	struct stat stat_buf;

	if (fstat(disk_posix_file_of(base)->fd, &stat_buf) != 0)
		return disk_posix_error(errno);
	*out = (uint64_t)stat_buf.st_size;
	return 0;
}

static int
posix_read(struct disk_file *base, void *to, size_t bytes, uint64_t at,
	   size_t *got)
{
	const int fd = disk_posix_file_of(base)->fd;
	uint8_t *out = to;

	*got = 0;
	while (*got < bytes) {
		const ssize_t n =
			pread(fd, out + *got, bytes - *got, (off_t)(at + *got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return disk_posix_error(errno);
		if (n == 0)
			break;
		*got += (size_t)n;
	}
	return 0;
}

/* Leaves O_DIRECT when the file system took it at open but not at write. */
static bool
leave_direct(struct disk_posix_file *file)
{
	const int flags = fcntl(file->fd, F_GETFL);

	if (!file->is_direct || flags < 0 ||
	    fcntl(file->fd, F_SETFL, flags & ~O_DIRECT) != 0)
		return false;
	file->is_direct = false;
	/* O_DSYNC of open() stays in force, so no fdatasync is owed. */
	return true;
}

static int
write_all(struct disk_posix_file *file, struct iovec *vec, int count,
	  uint64_t at)
{
	while (count > 0) {
		ssize_t n = pwritev(file->fd, vec, count, (off_t)at);

		if (n < 0 &&
		    (errno == EINTR || (errno == EINVAL && leave_direct(file))))
			continue;
		if (n < 0)
			return disk_posix_error(errno);
		if (n == 0)
			return FAL_EIO;
		at += (uint64_t)n;
		while (count > 0 && (size_t)n >= vec->iov_len) {
			n -= (ssize_t)vec->iov_len;
			vec++;
			count--;
		}
		if (count > 0) {
			vec->iov_base = (uint8_t *)vec->iov_base + n;
			vec->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/* iovec has no const; pwritev() only reads. */
static struct iovec
iovec_of(const void *data, size_t bytes)
{
	return (struct iovec){.iov_base = (void *)(uintptr_t)data,
			      .iov_len = bytes};
}

static int
posix_write(struct disk_file *base, const void *from, size_t bytes, uint64_t at)
{
	struct iovec vec = iovec_of(from, bytes);

	return write_all(disk_posix_file_of(base), &vec, bytes == 0 ? 0 : 1,
			 at);
}

static int
posix_submit(struct disk_file *base, const struct disk_part *parts,
	     uint32_t count, uint64_t at)
{
	struct disk_posix_file *file = disk_posix_file_of(base);
	struct iovec vec[DISK_PARTS_MAX];

	FAL_ASSERT(!file->is_submitted);
	FAL_ASSERT(count >= 1 && count <= DISK_PARTS_MAX);
	FAL_ASSERT(at % DISK_BLOCK_BYTES == 0);
	for (uint32_t i = 0; i < count; i++) {
		FAL_ASSERT(parts[i].bytes % DISK_BLOCK_BYTES == 0);
		vec[i] = iovec_of(parts[i].data, parts[i].bytes);
	}
	file->result = write_all(file, vec, (int)count, at);
	if (file->result == 0 && file->needs_fdsync && fdatasync(file->fd) != 0)
		file->result = disk_posix_error(errno);
	file->is_submitted = true;
	return 0;
}

static int
posix_poll(struct disk_file *base)
{
	struct disk_posix_file *file = disk_posix_file_of(base);

	FAL_ASSERT(file->is_submitted);
	file->is_submitted = false;
	return file->result;
}

static int
posix_sync(struct disk_file *base)
{
	return fsync(disk_posix_file_of(base)->fd) == 0
		       ? 0
		       : disk_posix_error(errno);
}

static int
posix_truncate(struct disk_file *base, uint64_t bytes)
{
	return ftruncate(disk_posix_file_of(base)->fd, (off_t)bytes) == 0
		       ? 0
		       : disk_posix_error(errno);
}

static int
write_zeros(struct disk_file *base, uint64_t from, uint64_t to)
{
	static const _Alignas(DISK_BLOCK_BYTES) uint8_t zeros[ZERO_STEP_BYTES];
	int err = 0;

	while (err == 0 && from < to) {
		const uint64_t left = to - from;
		const size_t step =
			left < ZERO_STEP_BYTES ? (size_t)left : ZERO_STEP_BYTES;

		err = posix_write(base, zeros, step, from);
		from += step;
	}
	return err;
}

static int
posix_allocate(struct disk_file *base, uint64_t from, uint64_t to)
{
	const int fd = disk_posix_file_of(base)->fd;
	uint64_t bytes = 0;
	int err;

	FAL_ASSERT(from <= to);
	while (fallocate(fd, 0, (off_t)from, (off_t)(to - from)) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EOPNOTSUPP)
			return disk_posix_error(errno);
		err = posix_file_bytes(base, &bytes);
		if (err != 0)
			return err;
		/* Only behind the end: what is inside was written. */
		return write_zeros(base, bytes > from ? bytes : from, to);
	}
	return 0;
}

static int
sync_through(const char *dir, int (*sync_it)(int fd))
{
	const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return disk_posix_error(errno);
	if (sync_it(fd) != 0)
		err = disk_posix_error(errno);
	close(fd);
	return err;
}

static int
posix_sync_dir(struct disk *disk, const char *path)
{
	(void)disk;
	return sync_through(path, fsync);
}

static int
posix_sync_volume(struct disk *disk, const char *path)
{
	(void)disk;
	return sync_through(path, syncfs);
}

static int
posix_rename(struct disk *disk, const char *from, const char *to)
{
	(void)disk;
	return rename(from, to) == 0 ? 0 : disk_posix_error(errno);
}

static int
posix_unlink(struct disk *disk, const char *path)
{
	(void)disk;
	return unlink(path) == 0 ? 0 : disk_posix_error(errno);
}

static int
posix_mkdir(struct disk *disk, const char *path)
{
	(void)disk;
	return mkdir(path, DIR_MODE) == 0 ? 0 : disk_posix_error(errno);
}

static int
posix_list(struct disk *disk, const char *path, disk_name_fn fn, void *arg)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int err;

	(void)disk;
	if (dir == NULL)
		return disk_posix_error(errno);
	for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0)
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			fn(arg, entry->d_name);
	err = errno == 0 ? 0 : disk_posix_error(errno);
	closedir(dir);
	return err;
}

static int
posix_free_bytes(struct disk *disk, const char *path, uint64_t *out)
{
	struct statvfs stat_buf;

	(void)disk;
	if (statvfs(path, &stat_buf) != 0)
		return disk_posix_error(errno);
	*out = (uint64_t)stat_buf.f_bavail * stat_buf.f_frsize;
	return 0;
}

static int
posix_lock(struct disk *disk, const char *path, struct disk_file **out)
{
	int err = posix_open(disk, path, DISK_WRITE | DISK_CREATE, out);

	if (err != 0)
		return err;
	if (flock(disk_posix_file_of(*out)->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	err = disk_posix_error(errno);
	posix_close(*out);
	*out = NULL;
	return err;
}

static void
posix_pin(struct disk *disk, const struct disk_part *buffers, uint32_t count)
{
	(void)disk;
	(void)buffers;
	(void)count;
}

/* ---- maps --------------------------------------------------------------- */

/* File systems that write allocated storage where it is. One that copies on
 * write needs room for each store, and has SIGBUS for a process when there is
 * none. */
static bool
stores_in_place(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0)
		return false;
	return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
	       fs.f_type == TMPFS_MAGIC;
}

static int
posix_map(struct disk_file *base, uint64_t bytes, uint8_t **out)
{
	const int fd = disk_posix_file_of(base)->fd;
	void *map;

	FAL_ASSERT(!disk_posix_file_of(base)->is_durable);
	if (!stores_in_place(fd))
		return FAL_ENOTSUP;
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return disk_posix_error(errno);
	*out = map;
	return 0;
}

static int
posix_ready(struct disk_file *base, uint8_t *from, uint64_t bytes)
{
	(void)base;
	while (madvise(from, bytes, MADV_POPULATE_WRITE) != 0)
		if (errno != EINTR && errno != EAGAIN)
			return disk_posix_error(errno);
	return 0;
}

static void
posix_unmap(struct disk_file *base, uint8_t *map, uint64_t bytes)
{
	(void)base;
	munmap(map, bytes);
}

const struct disk_ops disk_posix_ops = {
	.open = posix_open,
	.close = posix_close,
	.info = posix_info,
	.file_bytes = posix_file_bytes,
	.read = posix_read,
	.write = posix_write,
	.submit = posix_submit,
	.poll = posix_poll,
	.sync = posix_sync,
	.truncate = posix_truncate,
	.allocate = posix_allocate,
	.sync_dir = posix_sync_dir,
	.sync_volume = posix_sync_volume,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.mkdir = posix_mkdir,
	.list = posix_list,
	.free_bytes = posix_free_bytes,
	.lock = posix_lock,
	.pin = posix_pin,
	.map = posix_map,
	.ready = posix_ready,
	.unmap = posix_unmap,
};

struct disk *
disk_posix(void)
{
	static struct disk disk = {.ops = &disk_posix_ops, .name = "posix"};

	return &disk;
}
