/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_DISK_POSIX_H
#define FALCONER_DRIVERS_DISK_POSIX_H

/* disk_posix - what disk_uring.c shares with disk_posix.c: file descriptors,
 * and the operations that do not differ. Only for those two files. */

#include "drivers/disk.h"

struct disk_posix_file {
	struct disk_file base;
	int fd;
	bool is_direct;    /* O_DIRECT: blocks only */
	bool is_durable;   /* submitted writes must be durable */
	bool needs_fdsync; /* ... and are not by themselves */
	int result;        /* of the submitted write, for disk_poll() */
	bool is_submitted;
	int32_t slot; /* used by disk_uring.c */
};

extern const struct disk_ops disk_posix_ops;

/* enum fal_err for an errno value. */
int disk_posix_error(int error);

static inline struct disk_posix_file *
disk_posix_file_of(struct disk_file *file)
{
	return (struct disk_posix_file *)(void *)file;
}

#endif
