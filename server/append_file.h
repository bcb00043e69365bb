/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_APPEND_FILE_H
#define FALCONER_SERVER_APPEND_FILE_H

/*
 * append_file - a text file that grows, and that others may rename while it
 * does (logrotate without a signal).
 *
 * Context    one thread; blocks.
 * Errors     FAL_EIO, with errno as the system left it.
 */

#include <stddef.h>
#include <sys/types.h>

#include "base/fal.h"

struct append_file {
	const char *path; /* borrowed */
	int fd;
	dev_t device;
	ino_t inode;
	bool ends_within_line; /* a write failed on its way */
};

FAL_MUST_CHECK int append_file_open(struct append_file *, const char *path);
void append_file_close(struct append_file *);
/* If the name is no longer this file's, makes a new file of that name. */
FAL_MUST_CHECK int append_file_follow_name(struct append_file *);
/* Whole lines: all of them or FAL_EIO. Then a part may be there, which the next
 * write ends. */
FAL_MUST_CHECK int append_file_write(struct append_file *, const char *text,
				     size_t bytes);

#endif
