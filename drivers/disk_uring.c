/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring disk: only log writes differ from disk_posix.c.
 *
 * One ring, one write per log file in flight, completions peeked. A write is
 * one SQE with RWF_DSYNC; a linked fdatasync would double the time (156 us
 * against 77-104). The file sits in the registered table if there is room. A
 * write of one part inside pinned memory goes out as WRITE_FIXED, which is the
 * common small batch (the bounce block alone); two parts are a WRITEV. Both
 * registrations are tries: RLIMIT_MEMLOCK may forbid them, and then the plain
 * requests do.
 *
 * A short write is finished with plain calls: it means trouble (space, quota),
 * and the error then says which.
 */

#include "drivers/disk_posix.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"

#define URING_ENTRIES  16u
#define URING_FILES    8u
#define PINNED_MAX     8u
#define TRIAL_MAX      1000u
#define TRIAL_NAME     "falconer.trial"
#define TRIAL_PATH_MAX 4096u

struct disk_uring {
	struct disk base;
	struct disk_ops ops;
	struct io_uring ring;
	bool has_files;
	bool is_slot_used[URING_FILES];
	struct iovec pinned[PINNED_MAX];
	uint32_t pinned_count; /* registered; 0: none */
};

struct uring_write {
	struct disk_posix_file file; /* first: the handle is this */
	struct iovec vec[DISK_PARTS_MAX];
	uint32_t vec_count;
	uint64_t at;
	size_t bytes;
	bool is_done;
};

static struct disk_uring *
uring_of(struct disk *disk)
{
	return (struct disk_uring *)(void *)disk;
}

static struct uring_write *
write_of(struct disk_file *file)
{
	return (struct uring_write *)(void *)file;
}

/* Log files have a larger handle than the others; `slot` tells them apart:
 * SLOT_PLAIN or above for log files, SLOT_NONE for the rest. */
#define SLOT_NONE  (-1)
#define SLOT_PLAIN (-2)

static bool
is_log_file(const struct disk_posix_file *file)
{
	return file->slot != SLOT_NONE;
}

static void
take_slot(struct disk_uring *uring, struct disk_posix_file *file)
{
	for (uint32_t i = 0; uring->has_files && i < URING_FILES; i++) {
		if (uring->is_slot_used[i] ||
		    io_uring_register_files_update(&uring->ring, i, &file->fd,
						   1) != 1)
			continue;
		uring->is_slot_used[i] = true;
		file->slot = (int32_t)i;
		return;
	}
}

static int
uring_open(struct disk *disk, const char *path, uint32_t flags,
	   struct disk_file **out)
{
	struct disk_file *plain = NULL;
	struct uring_write *write;
	int err = disk_posix_ops.open(disk, path, flags, &plain);

	if (err != 0 || (flags & DISK_LOG) == 0) {
		*out = plain;
		return err;
	}
	write = calloc(1, sizeof(*write));
	if (write == NULL) {
		disk_posix_ops.close(plain);
		return FAL_ENOMEM;
	}
	write->file = *disk_posix_file_of(plain);
	free(plain);
	write->file.slot = SLOT_PLAIN;
	take_slot(uring_of(disk), &write->file);
	*out = &write->file.base;
	return 0;
}

static void
uring_close(struct disk_file *base)
{
	struct disk_posix_file *file = disk_posix_file_of(base);
	struct disk_uring *uring = uring_of(base->disk);
	int none = -1;

	if (file->slot >= 0) {
		io_uring_register_files_update(&uring->ring,
					       (uint32_t)file->slot, &none, 1);
		uring->is_slot_used[file->slot] = false;
	}
	disk_posix_ops.close(base);
}

static int
pinned_index(const struct disk_uring *uring, const struct iovec *vec)
{
	const uint8_t *from = vec->iov_base;

	for (uint32_t i = 0; i < uring->pinned_count; i++) {
		const uint8_t *base = uring->pinned[i].iov_base;

		if (from >= base &&
		    from + vec->iov_len <= base + uring->pinned[i].iov_len)
			return (int)i;
	}
	return -1;
}

static void
prepare_write(struct disk_uring *uring, struct uring_write *write,
	      struct io_uring_sqe *sqe, bool is_durable)
{
	const bool has_slot = write->file.slot >= 0;
	const int fd = has_slot ? write->file.slot : write->file.fd;
	const int pinned = write->vec_count == 1
				   ? pinned_index(uring, &write->vec[0])
				   : -1;

	if (pinned >= 0)
		io_uring_prep_write_fixed(sqe, fd, write->vec[0].iov_base,
					  (unsigned)write->vec[0].iov_len,
					  write->at, pinned);
	else
		io_uring_prep_writev(sqe, fd, write->vec, write->vec_count,
				     write->at);
	sqe->rw_flags = is_durable ? RWF_DSYNC : 0;
	if (has_slot)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, write);
}

static int
uring_submit(struct disk_file *base, const struct disk_part *parts,
	     uint32_t count, uint64_t at)
{
	struct disk_uring *uring = uring_of(base->disk);
	struct uring_write *write = write_of(base);
	struct io_uring_sqe *sqe;
	int n;

	FAL_ASSERT(is_log_file(&write->file) && !write->file.is_submitted);
	FAL_ASSERT(count >= 1 && count <= DISK_PARTS_MAX);
	FAL_ASSERT(at % DISK_BLOCK_BYTES == 0);
	write->at = at;
	write->bytes = 0;
	write->vec_count = count;
	write->is_done = false;
	for (uint32_t i = 0; i < count; i++) {
		FAL_ASSERT(parts[i].bytes % DISK_BLOCK_BYTES == 0);
		write->vec[i] = (struct iovec){
			.iov_base = (void *)(uintptr_t)parts[i].data,
			.iov_len = parts[i].bytes};
		write->bytes += parts[i].bytes;
	}
	sqe = io_uring_get_sqe(&uring->ring);
	if (sqe == NULL)
		return FAL_EAGAIN;
	prepare_write(uring, write, sqe, write->file.is_durable);
	do
		n = io_uring_submit(&uring->ring);
	while (n == -EINTR || n == -EAGAIN);
	if (n != 1)
		return n < 0 ? disk_posix_error(-n) : FAL_EIO;
	write->file.is_submitted = true;
	return 0;
}

/* Writes what a short write left, and makes all of it durable. */
static int
finish_short(struct uring_write *write, size_t done)
{
	size_t skip = done;
	uint64_t at = write->at;
	int err = 0;

	for (uint32_t i = 0; i < write->vec_count && err == 0; i++) {
		const struct iovec *vec = &write->vec[i];
		const size_t from = skip < vec->iov_len ? skip : vec->iov_len;

		skip -= from;
		err = disk_posix_ops.write(&write->file.base,
					   (uint8_t *)vec->iov_base + from,
					   vec->iov_len - from, at + from);
		at += vec->iov_len;
	}
	if (err == 0 && write->file.is_durable)
		err = disk_posix_ops.sync(&write->file.base);
	return err;
}

static void
reap(struct disk_uring *uring)
{
	struct io_uring_cqe *cqe = NULL;

	while (io_uring_peek_cqe(&uring->ring, &cqe) == 0) {
		struct uring_write *write = io_uring_cqe_get_data(cqe);

		write->file.result = cqe->res;
		write->is_done = true;
		io_uring_cqe_seen(&uring->ring, cqe);
	}
}

static int
uring_poll(struct disk_file *base)
{
	struct uring_write *write = write_of(base);
	int result;

	FAL_ASSERT(write->file.is_submitted);
	if (!write->is_done)
		reap(uring_of(base->disk));
	if (!write->is_done)
		return FAL_EAGAIN;
	write->file.is_submitted = false;
	result = write->file.result;
	if (result == -EINTR || result == -EAGAIN || result == -EINVAL)
		result = 0; /* nothing was written: plain calls do it */
	if (result < 0)
		return disk_posix_error(-result);
	return (size_t)result == write->bytes
		       ? 0
		       : finish_short(write, (size_t)result);
}

static void
uring_pin(struct disk *disk, const struct disk_part *buffers, uint32_t count)
{
	struct disk_uring *uring = uring_of(disk);
	uint32_t tried;

	FAL_ASSERT(count <= PINNED_MAX);
	if (uring->pinned_count > 0)
		io_uring_unregister_buffers(&uring->ring);
	uring->pinned_count = 0;
	for (uint32_t i = 0; i < count; i++)
		uring->pinned[i] = (struct iovec){
			.iov_base = (void *)(uintptr_t)buffers[i].data,
			.iov_len = buffers[i].bytes};
	/* Large ones come last: without them the small ones may still fit the
	 * limit of locked memory. */
	for (tried = count; tried > 0; tried--) {
		if (io_uring_register_buffers(&uring->ring, uring->pinned,
					      tried) != 0)
			continue;
		uring->pinned_count = tried;
		return;
	}
}

/* Everything that is not a log write. Calls of disk_posix.c on files whose
 * handle begins with a disk_posix_file. */
static struct disk_ops
make_ops(void)
{
	struct disk_ops ops = disk_posix_ops;

	ops.open = uring_open;
	ops.close = uring_close;
	ops.submit = uring_submit;
	ops.poll = uring_poll;
	ops.pin = uring_pin;
	return ops;
}

int
disk_uring_create(struct disk **out)
{
	struct disk_uring *uring = calloc(1, sizeof(*uring));
	int none[URING_FILES];
	int n;

	if (uring == NULL)
		return FAL_ENOMEM;
	n = io_uring_queue_init(URING_ENTRIES, &uring->ring, 0);
	if (n != 0) {
		free(uring);
		return n == -ENOMEM ? FAL_ENOMEM : FAL_ENOTSUP;
	}
	for (uint32_t i = 0; i < URING_FILES; i++)
		none[i] = -1;
	uring->has_files =
		io_uring_register_files(&uring->ring, none, URING_FILES) == 0;
	uring->ops = make_ops();
	uring->base.ops = &uring->ops;
	uring->base.name = "io_uring";
	*out = &uring->base;
	return 0;
}

void
disk_uring_destroy(struct disk *disk)
{
	struct disk_uring *uring = uring_of(disk);

	io_uring_queue_exit(&uring->ring);
	free(uring);
}

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int
compare_ns(const void *a, const void *b)
{
	const uint64_t *left = a;
	const uint64_t *right = b;

	return *left < *right ? -1 : *left > *right;
}

/* Times the submitting calls of `count` writes to the trial file. */
static int
time_submits(struct disk_file *file, uint32_t count, uint64_t *ns)
{
	static _Alignas(DISK_BLOCK_BYTES) uint8_t block[DISK_BLOCK_BYTES];
	const struct disk_part part = {.data = block, .bytes = sizeof(block)};
	uint64_t taken[TRIAL_MAX];
	int err = disk_allocate(file, 0, (uint64_t)count * sizeof(block));

	for (uint32_t i = 0; i < count && err == 0; i++) {
		const uint64_t start = now_ns();

		err = disk_submit(file, &part, 1, (uint64_t)i * sizeof(block));
		taken[i] = now_ns() - start;
		if (err != 0)
			break;
		do
			err = disk_poll(file);
		while (err == FAL_EAGAIN);
	}
	if (err != 0)
		return err;
	qsort(taken, count, sizeof(taken[0]), compare_ns);
	*ns = taken[count / 2];
	return 0;
}

int
disk_uring_submit_cost(struct disk *disk, const char *dir, uint32_t count,
		       uint64_t *ns)
{
	char path[TRIAL_PATH_MAX];
	struct disk_file *file = NULL;
	int err;

	FAL_ASSERT(count >= 1 && count <= TRIAL_MAX);
	if (snprintf(path, sizeof(path), "%s/%s", dir, TRIAL_NAME) >=
	    (int)sizeof(path))
		return FAL_ELIMIT;
	err = disk_open(disk, path, DISK_LOG | DISK_CREATE | DISK_TRUNC, &file);
	if (err != 0)
		return err;
	err = time_submits(file, count, ns);
	disk_close(file);
	return disk_unlink(disk, path) != 0 && err == 0 ? FAL_EIO : err;
}
