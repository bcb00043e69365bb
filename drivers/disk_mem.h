/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_DISK_MEM_H
#define FALCONER_DRIVERS_DISK_MEM_H

/*
 * disk_mem - a disk in memory that fails and loses power on request.
 *
 * It keeps what a program sees and what would be there after power loss apart:
 * bytes reach the platter at disk_sync() or with a completed log write, names
 * at disk_sync_dir(). disk_mem_crash() settles everything in between by
 * chance, sector by sector and name by name, as a disk may. Any operation can
 * be made to fail, and log writes to stay under way for some polls.
 *
 * Used by the store's tests and by the simulator in place of drivers/disk.h's
 * real ones.
 *
 * Context    one thread at a time. Deterministic: same calls, same seed, same
 *            outcome.
 * Ownership  disk_mem_destroy() frees everything; open files are closed
 *            before, except after disk_mem_crash() (then handles are dead and
 *            only disk_close() may be called on them).
 * Limits     memory; names without subtleties (no links, "a/b" as given).
 */

#include "drivers/disk.h"

#define DISK_MEM_SECTOR_BYTES 512u

struct disk_mem;

FAL_MUST_CHECK int disk_mem_create(uint64_t seed, struct disk_mem **out);
void disk_mem_destroy(struct disk_mem *);
/* The face for the store. */
struct disk *disk_mem_disk(struct disk_mem *);

/* The operation `countdown` operations from now (0: the next) and, if
 * is_forever, all behind it return `err`; a failing write may have written a
 * part. Counted are operations that change or sync something. */
void disk_mem_fail_at(struct disk_mem *, uint64_t countdown, int err,
		      bool is_forever);
void disk_mem_fail_never(struct disk_mem *);
/* How many such operations there were. */
uint64_t disk_mem_operations(const struct disk_mem *);

/* Completed polls a submitted write takes (0: done at the first). */
void disk_mem_slow(struct disk_mem *, uint32_t polls);
/* Bytes that may still be allocated; UINT64_MAX: endless (the start). */
void disk_mem_space(struct disk_mem *, uint64_t bytes);

/* How unsynced sectors and names fare in a crash. */
enum disk_mem_fate {
	DISK_MEM_LOSE_ALL, /* nothing that was not synced survives */
	DISK_MEM_KEEP_ALL, /* everything does (the process died, not the power)
			    */
	DISK_MEM_BY_CHANCE,
};

/* Power loss: afterwards the disk shows only what survived. Write in flight
 * count as unsynced. */
void disk_mem_crash(struct disk_mem *, enum disk_mem_fate);

/* Direct access to a file's bytes, for damage on purpose. NULL: no such file.
 * Valid until the file is changed. */
uint8_t *disk_mem_bytes(struct disk_mem *, const char *path, size_t *bytes);

/* Copies all files and directories of `from` as they are seen (all synced). */
FAL_MUST_CHECK int disk_mem_copy(const struct disk_mem *from, uint64_t seed,
				 struct disk_mem **out);
/* Makes a file with these bytes, synced. Its directory must exist. */
FAL_MUST_CHECK int disk_mem_put(struct disk_mem *, const char *path,
				const void *data, size_t bytes);

#endif
