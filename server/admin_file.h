/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_ADMIN_FILE_H
#define FALCONER_SERVER_ADMIN_FILE_H

/*
 * admin_file - what the admin server asks of files and volumes. Apart from its
 * users because <sys/stat.h> and base/stats.h both own the tag `stat`.
 *
 * Context    any thread; blocks.
 */

#include <stdint.h>

#include "base/fal.h"

/* Opens for reading; *bytes is its length. -1: it cannot be opened. */
int admin_file_open(const char *path, uint64_t *bytes);
void admin_file_close(int fd);
/* When it was last changed, seconds since 1970; 0: it is not there. */
int64_t admin_file_seconds(const char *path);
/* Room of the volume that holds `path`. FAL_EIO: cannot be told. */
FAL_MUST_CHECK int admin_file_volume(const char *path, uint64_t *total_bytes,
				     uint64_t *free_bytes);

#endif
