/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that fails on demand, under any program: LD_PRELOAD.
 *
 *   FAULT_DISK_CONTROL  a file of 4096 bytes, struct control, that the bench
 *                       changes while the program runs
 *   FAULT_DISK_ROOT     only files below this folder are concerned
 *   FAULT_DISK_UNDO     a file to which every write appends what it overwrote,
 *                       and every flush that it made its file durable; so the
 *                       bench can take back what a power cut would have lost
 *                       (disk_shim.py)
 *
 * io_uring goes past this; programs under test are told not to use it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
	uint32_t write_error; /* errno of each write, 0: none */
	uint32_t sync_error;  /* errno of each flush, 0: none */
	uint32_t sync_delay_ms;
	uint32_t must_record; /* into FAULT_DISK_UNDO */
	/* Counted by the shim. */
	_Atomic uint32_t writes, syncs, failures;
};

enum record_kind { RECORD_WRITE = 1, RECORD_SYNC = 2 };

/* Followed by the path and, of a write, the bytes that were there. */
struct record {
	uint32_t kind, path_bytes;
	uint64_t inode;
	uint64_t offset;   /* SYNC: records before this place are durable */
	uint64_t old_size; /* of the file */
	uint64_t old_bytes;
};

static struct control *control;
static const char *root;
static size_t root_bytes;
static int undo_fd = -1;
static pthread_mutex_t undo_lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fallocate)(int, int, off_t, off_t);
static int (*real_posix_fallocate)(int, off_t, off_t);

static void *
next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void
shim_start(void)
{
	const char *path = getenv("FAULT_DISK_CONTROL");
	const char *undo = getenv("FAULT_DISK_UNDO");
	int fd;

	*(void **)&real_write = next("write");
	*(void **)&real_pwrite = next("pwrite64");
	*(void **)&real_writev = next("writev");
	*(void **)&real_pwritev = next("pwritev64");
	*(void **)&real_fsync = next("fsync");
	*(void **)&real_fdatasync = next("fdatasync");
	*(void **)&real_ftruncate = next("ftruncate64");
	*(void **)&real_fallocate = next("fallocate64");
	*(void **)&real_posix_fallocate = next("posix_fallocate64");
	root = getenv("FAULT_DISK_ROOT");
	if (path == NULL || root == NULL)
		return;
	root_bytes = strlen(root);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		abort();
	control = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		abort();
	close(fd);
	if (undo != NULL)
		undo_fd = open(undo, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			       0600);
}

/* The path of a file that is concerned; false: it is not. */
static bool
is_ours(int fd, char path[4096])
{
	char link[64];
	ssize_t n;

	if (control == NULL)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, 4095);
	if (n < (ssize_t)root_bytes)
		return false;
	path[n] = '\0';
	return memcmp(path, root, root_bytes) == 0;
}

static bool
fails(uint32_t error)
{
	if (error == 0)
		return false;
	atomic_fetch_add(&control->failures, 1);
	errno = (int)error;
	return true;
}

static void
put(const void *data, size_t bytes)
{
	const uint8_t *at = data;

	while (bytes > 0) {
		const ssize_t n = real_write(undo_fd, at, bytes);

		if (n < 0)
			abort();
		at += n;
		bytes -= (size_t)n;
	}
}

/* Called with the lock held, before the write. */
static void
record_write(int fd, const char *path, off_t offset, size_t bytes)
{
	struct record record = {.kind = RECORD_WRITE,
				.path_bytes = (uint32_t)strlen(path)};
	struct stat status;
	uint8_t *old = NULL;
	ssize_t got = 0;

	if (fstat(fd, &status) != 0)
		return;
	if (offset < status.st_size) {
		/* The descriptor may be for writing only. */
		const int in = open(path, O_RDONLY | O_CLOEXEC);

		if ((off_t)bytes > status.st_size - offset)
			bytes = (size_t)(status.st_size - offset);
		old = malloc(bytes);
		got = in >= 0 && old != NULL ? pread(in, old, bytes, offset)
					     : 0;
		if (in >= 0)
			close(in);
	}
	record.inode = status.st_ino;
	record.offset = (uint64_t)offset;
	record.old_size = (uint64_t)status.st_size;
	record.old_bytes = got > 0 ? (uint64_t)got : 0;
	put(&record, sizeof(record));
	put(path, record.path_bytes);
	put(old, record.old_bytes);
	free(old);
}

static bool
records(void)
{
	return undo_fd >= 0 && control->must_record != 0;
}

static size_t
iov_bytes(const struct iovec *iov, int count)
{
	size_t bytes = 0;

	for (int i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

static void
sync_delay(void)
{
	const uint32_t ms = control->sync_delay_ms;
	const struct timespec delay = {.tv_sec = ms / 1000,
				       .tv_nsec = ms % 1000 * 1000000l};

	if (ms != 0)
		nanosleep(&delay, NULL);
}

/* A write of all kinds; offset -1: at the file's position. */
static ssize_t
write_any(int fd, const struct iovec *iov, int count, off_t offset)
{
	char path[4096];
	bool is_durable;
	ssize_t got;

	if (!is_ours(fd, path))
		return offset < 0 ? real_writev(fd, iov, count)
				  : real_pwritev(fd, iov, count, offset);
	atomic_fetch_add(&control->writes, 1);
	/* With O_DSYNC the write is its own flush. */
	is_durable = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
	if (is_durable) {
		atomic_fetch_add(&control->syncs, 1);
		sync_delay();
	}
	if (fails(control->write_error) ||
	    (is_durable && fails(control->sync_error)))
		return -1;
	pthread_mutex_lock(&undo_lock);
	if (!is_durable && records()) {
		off_t at = offset;

		if (at < 0)
			at = fcntl(fd, F_GETFL) & O_APPEND
				     ? lseek(fd, 0, SEEK_END)
				     : lseek(fd, 0, SEEK_CUR);
		record_write(fd, path, at, iov_bytes(iov, count));
	}
	got = offset < 0 ? real_writev(fd, iov, count)
			 : real_pwritev(fd, iov, count, offset);
	pthread_mutex_unlock(&undo_lock);
	return got;
}

ssize_t
write(int fd, const void *data, size_t bytes)
{
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)data,
				  .iov_len = bytes};

	if (control == NULL)
		return real_write(fd, data, bytes);
	return write_any(fd, &iov, 1, -1);
}

ssize_t
pwrite64(int fd, const void *data, size_t bytes, off_t offset)
{
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)data,
				  .iov_len = bytes};

	if (control == NULL)
		return real_pwrite(fd, data, bytes, offset);
	return write_any(fd, &iov, 1, offset);
}

ssize_t
writev(int fd, const struct iovec *iov, int count)
{
	return write_any(fd, iov, count, -1);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int count, off_t offset)
{
	return write_any(fd, iov, count, offset);
}

static int
sync_any(int fd, int (*real)(int))
{
	char path[4096];
	struct record record = {.kind = RECORD_SYNC};
	struct stat status;
	int result;

	if (!is_ours(fd, path))
		return real(fd);
	atomic_fetch_add(&control->syncs, 1);
	sync_delay();
	if (fails(control->sync_error))
		return -1;
	/* What is written from now on may not be in this flush. */
	if (records() && fstat(undo_fd, &status) == 0)
		record.offset = (uint64_t)status.st_size;
	result = real(fd);
	if (result == 0 && records() && fstat(fd, &status) == 0) {
		pthread_mutex_lock(&undo_lock);
		record.inode = status.st_ino;
		put(&record, sizeof(record));
		pthread_mutex_unlock(&undo_lock);
	}
	return result;
}

int
fsync(int fd)
{
	return sync_any(fd, real_fsync);
}

int
fdatasync(int fd)
{
	return sync_any(fd, real_fdatasync);
}

int
ftruncate64(int fd, off_t bytes)
{
	char path[4096];
	struct stat status;
	int result;

	if (!is_ours(fd, path))
		return real_ftruncate(fd, bytes);
	if (fails(control->write_error))
		return -1;
	pthread_mutex_lock(&undo_lock);
	if (records() && fstat(fd, &status) == 0)
		record_write(fd, path, bytes,
			     status.st_size > bytes
				     ? (size_t)(status.st_size - bytes)
				     : 0);
	result = real_ftruncate(fd, bytes);
	pthread_mutex_unlock(&undo_lock);
	return result;
}

int
fallocate64(int fd, int mode, off_t offset, off_t bytes)
{
	char path[4096];

	if (is_ours(fd, path) && fails(control->write_error))
		return -1;
	return real_fallocate(fd, mode, offset, bytes);
}

int
posix_fallocate64(int fd, off_t offset, off_t bytes)
{
	char path[4096];

	if (is_ours(fd, path) && fails(control->write_error))
		return errno;
	return real_posix_fallocate(fd, offset, bytes);
}

/* On this machine off_t has 64 bits under either name. */
_Static_assert(sizeof(off_t) == 8, "one implementation for both names");
ssize_t pwrite(int, const void *, size_t, off_t)
	__attribute__((alias("pwrite64")));
ssize_t pwritev(int, const struct iovec *, int, off_t)
	__attribute__((alias("pwritev64")));
int ftruncate(int, off_t) __attribute__((alias("ftruncate64")));
int fallocate(int, int, off_t, off_t) __attribute__((alias("fallocate64")));
int posix_fallocate(int, off_t, off_t)
	__attribute__((alias("posix_fallocate64")));
