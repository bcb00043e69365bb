/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_DISK_H
#define FALCONER_DRIVERS_DISK_H

/*
 * disk - files, as far as log, snapshots and epoch files need them.
 *
 * The store speaks to this table of functions and to nothing else, so that a
 * simulated disk (disk_mem.h) can lose power between any two calls. Three
 * implementations: disk_posix() with plain system calls, disk_uring_create()
 * whose log writes are submitted and polled, disk_mem_create() in memory.
 *
 * A file opened with DISK_LOG is written in whole blocks by disk_submit(), one
 * write at a time, and such a write is durable when it completes. Where the
 * file system has O_DIRECT that is one O_DIRECT|O_DSYNC write (75 us against
 * 83 for write + fdatasync on zero-filled ext4), elsewhere write + fdatasync.
 *
 * A DISK_LOG|DISK_NOSYNC file may be mapped instead: what is stored there is in
 * the page cache, as what is written is, and survives the process as well; but
 * a store into a page that is at hand costs no system call.
 *
 * Context    any thread; one file is used by one thread at a time. Calls block
 *            unless the contrary is said: never on a poll core.
 * Ownership  paths are borrowed. Parts of a submitted write are lent until
 *            disk_poll() returns something else than FAL_EAGAIN.
 * Errors     FAL_ENOENT, FAL_EEXIST, FAL_EACCESS (permission, read-only file
 *            system), FAL_ENOSPC (also quota), FAL_EBUSY (lock), FAL_ENOMEM,
 *            FAL_ENOTSUP, FAL_EIO (everything else). After an error of a
 *            write or sync nothing is known about what is durable: the file
 *            is closed and read again, the call is never repeated.
 */

#include "base/fal.h"

/* Unit of log writes: offset, length and memory are multiples of it. */
#define DISK_BLOCK_BYTES 4096u

enum disk_open_flags {
	DISK_READ = 0,
	DISK_WRITE = 1u << 0,  /* read and write */
	DISK_CREATE = 1u << 1, /* made if it is not there, mode 0644 */
	DISK_TRUNC = 1u << 2,  /* emptied */
	DISK_LOG = 1u << 3,    /* for disk_submit(); implies DISK_WRITE */
	DISK_NOSYNC = 1u << 4, /* with DISK_LOG: forceSync=no, not durable */
	DISK_DIRECT = 1u << 5, /* for disk_write() of whole aligned blocks that
				  should not fill the page cache */
};

/* Beside DISK_CREATE: another mode than 0644, of disk_info.mode; 0: none. As
 * ever the process's umask takes away from it. */
#define DISK_MODE_SHIFT    16
#define DISK_MODE_OF(mode) ((uint32_t)(mode) << DISK_MODE_SHIFT)

struct disk_part {
	const void *data;
	size_t bytes;
};

#define DISK_PARTS_MAX 2

struct disk_info {
	uint64_t bytes;     /* length */
	uint64_t allocated; /* bytes of storage behind it */
	uint32_t owner;     /* user id */
	uint32_t mode;      /* who may: 0..0777 */
	bool is_dir;
};

struct disk;

/* Implementations embed this at the start of their own struct. */
struct disk_file {
	struct disk *disk;
};

typedef void (*disk_name_fn)(void *arg, const char *name);

struct disk_ops {
	int (*open)(struct disk *, const char *path, uint32_t flags,
		    struct disk_file **out);
	void (*close)(struct disk_file *);
	int (*info)(struct disk *, const char *path, struct disk_info *out);
	int (*file_bytes)(struct disk_file *, uint64_t *out);
	int (*read)(struct disk_file *, void *to, size_t bytes, uint64_t at,
		    size_t *got);
	int (*write)(struct disk_file *, const void *from, size_t bytes,
		     uint64_t at);
	int (*submit)(struct disk_file *, const struct disk_part *,
		      uint32_t count, uint64_t at);
	int (*poll)(struct disk_file *);
	int (*sync)(struct disk_file *);
	int (*truncate)(struct disk_file *, uint64_t bytes);
	int (*allocate)(struct disk_file *, uint64_t from, uint64_t to);
	int (*sync_dir)(struct disk *, const char *path);
	int (*sync_volume)(struct disk *, const char *path);
	int (*rename)(struct disk *, const char *from, const char *to);
	int (*unlink)(struct disk *, const char *path);
	int (*mkdir)(struct disk *, const char *path);
	int (*list)(struct disk *, const char *path, disk_name_fn, void *arg);
	int (*free_bytes)(struct disk *, const char *path, uint64_t *out);
	int (*lock)(struct disk *, const char *path, struct disk_file **out);
	void (*pin)(struct disk *, const struct disk_part *, uint32_t count);
	int (*map)(struct disk_file *, uint64_t bytes, uint8_t **out);
	int (*ready)(struct disk_file *, uint8_t *from, uint64_t bytes);
	void (*unmap)(struct disk_file *, uint8_t *map, uint64_t bytes);
};

/* Implementations embed this at the start of their own struct. */
struct disk {
	const struct disk_ops *ops;
	const char *name; /* for logs: "posix", "io_uring", "memory" */
};

/* The one disk of plain system calls; lives as long as the process. */
struct disk *disk_posix(void);

/*
 * A disk whose log writes go through io_uring: registered file, RWF_DSYNC,
 * completions peeked, no threads of its own; everything else as disk_posix().
 * Log files of one such disk are used by one thread.
 *
 * Returns 0, FAL_ENOTSUP (the kernel forbids or lacks io_uring: use
 * disk_posix()), FAL_ENOMEM.
 */
FAL_MUST_CHECK int disk_uring_create(struct disk **out);
/* All its files are closed before. */
void disk_uring_destroy(struct disk *);
/*
 * Median cost of a submitting call in nanoseconds, from `count` (1..1000)
 * durable writes of one block to a file made in `dir` and removed again: the
 * poll core may submit only if this is below about 2000.
 *
 * Returns 0, or the error of the trial file.
 */
FAL_MUST_CHECK int disk_uring_submit_cost(struct disk *, const char *dir,
					  uint32_t count, uint64_t *ns);

/* Opens a file. Returns 0 and gives *out, or an error. */
FAL_MUST_CHECK static inline int
disk_open(struct disk *disk, const char *path, uint32_t flags,
	  struct disk_file **out)
{
	return disk->ops->open(disk, path, flags, out);
}

/* Closes and frees. A submitted write must have been polled to its end. */
static inline void
disk_close(struct disk_file *file)
{
	file->disk->ops->close(file);
}

/* Length, storage and owner of a path. */
FAL_MUST_CHECK static inline int
disk_info(struct disk *disk, const char *path, struct disk_info *out)
{
	return disk->ops->info(disk, path, out);
}

FAL_MUST_CHECK static inline int
disk_file_bytes(struct disk_file *file, uint64_t *out)
{
	return file->disk->ops->file_bytes(file, out);
}

/* Reads up to `bytes`; *got is less only at the end of the file. */
FAL_MUST_CHECK static inline int
disk_read(struct disk_file *file, void *to, size_t bytes, uint64_t at,
	  size_t *got)
{
	return file->disk->ops->read(file, to, bytes, at, got);
}

/* Writes all bytes; durable only after disk_sync(). */
FAL_MUST_CHECK static inline int
disk_write(struct disk_file *file, const void *from, size_t bytes, uint64_t at)
{
	return file->disk->ops->write(file, from, bytes, at);
}

/*
 * Begins one durable write of 1..DISK_PARTS_MAX parts that follow each other
 * at offset `at` of a DISK_LOG file. Addresses, lengths and offset are
 * multiples of DISK_BLOCK_BYTES. At most one write per file is under way.
 * May block until the write is done (disk_posix()).
 *
 * Returns 0, or an error and nothing is under way.
 */
FAL_MUST_CHECK static inline int
disk_submit(struct disk_file *file, const struct disk_part *parts,
	    uint32_t count, uint64_t at)
{
	return file->disk->ops->submit(file, parts, count, at);
}

/* The submitted write: FAL_EAGAIN while under way (does not block), then once
 * 0 (all of it is durable) or its error. */
FAL_MUST_CHECK static inline int
disk_poll(struct disk_file *file)
{
	return file->disk->ops->poll(file);
}

/* Makes the file's bytes and length durable; not its name. */
FAL_MUST_CHECK static inline int
disk_sync(struct disk_file *file)
{
	return file->disk->ops->sync(file);
}

FAL_MUST_CHECK static inline int
disk_truncate(struct disk_file *file, uint64_t bytes)
{
	return file->disk->ops->truncate(file, bytes);
}

/* Reserves storage for [from, to) and makes the file at least `to` long; the
 * range reads as zeros where it was not written. Fast where the file system
 * can (fallocate), else zeros are written. FAL_ENOSPC is told here, not by a
 * later write. */
FAL_MUST_CHECK static inline int
disk_allocate(struct disk_file *file, uint64_t from, uint64_t to)
{
	return file->disk->ops->allocate(file, from, to);
}

/* Makes creations, renames and removals in the directory durable. */
FAL_MUST_CHECK static inline int
disk_sync_dir(struct disk *disk, const char *path)
{
	return disk->ops->sync_dir(disk, path);
}

/* Makes all that was written on the directory's file system durable, whatever
 * way it was written. Takes long. */
FAL_MUST_CHECK static inline int
disk_sync_volume(struct disk *disk, const char *path)
{
	return disk->ops->sync_volume(disk, path);
}

/* Replaces `to` if it exists. */
FAL_MUST_CHECK static inline int
disk_rename(struct disk *disk, const char *from, const char *to)
{
	return disk->ops->rename(disk, from, to);
}

FAL_MUST_CHECK static inline int
disk_unlink(struct disk *disk, const char *path)
{
	return disk->ops->unlink(disk, path);
}

/* Makes one directory, mode 0755. */
FAL_MUST_CHECK static inline int
disk_mkdir(struct disk *disk, const char *path)
{
	return disk->ops->mkdir(disk, path);
}

/* Tells the names in a directory, in no order, without "." and "..". */
FAL_MUST_CHECK static inline int
disk_list(struct disk *disk, const char *path, disk_name_fn fn, void *arg)
{
	return disk->ops->list(disk, path, fn, arg);
}

/* What an unprivileged process may still use of the file system. */
FAL_MUST_CHECK static inline int
disk_free_bytes(struct disk *disk, const char *path, uint64_t *out)
{
	return disk->ops->free_bytes(disk, path, out);
}

/* Takes an exclusive lock that dies with the process; makes the file if
 * needed. Held until disk_close(). FAL_EBUSY: somebody else has it. */
FAL_MUST_CHECK static inline int
disk_lock(struct disk *disk, const char *path, struct disk_file **out)
{
	return disk->ops->lock(disk, path, out);
}

/* A hint: submitted parts will mostly lie in these buffers (1..8), which
 * outlive the disk's files. Replaces an earlier hint; count 0: none. */
static inline void
disk_pin(struct disk *disk, const struct disk_part *buffers, uint32_t count)
{
	disk->ops->pin(disk, buffers, count);
}

/*
 * Maps the first `bytes` of a DISK_LOG|DISK_NOSYNC file, which are allocated,
 * until disk_unmap(). Writes and the map show the same bytes.
 *
 * Returns 0, FAL_ENOTSUP (this disk has no maps, or its file system may find
 * no room for a store, which would be a signal), FAL_ENOMEM.
 */
FAL_MUST_CHECK static inline int
disk_map(struct disk_file *file, uint64_t bytes, uint8_t **out)
{
	return file->disk->ops->map(file, bytes, out);
}

/* Gets the pages of a part of a map ready to be stored into; whole pages. May
 * block. Returns 0, or an error: then stores there might block, or fail. */
FAL_MUST_CHECK static inline int
disk_ready(struct disk_file *file, uint8_t *from, uint64_t bytes)
{
	return file->disk->ops->ready(file, from, bytes);
}

/* Before disk_close(). */
static inline void
disk_unmap(struct disk_file *file, uint8_t *map, uint64_t bytes)
{
	file->disk->ops->unmap(file, map, bytes);
}

#endif
