/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_SMALL_FILE_H
#define FALCONER_STORE_SMALL_FILE_H

/*
 * small_file - files of a few bytes that are replaced as a whole: epochs,
 * markers. New content goes to NAME.tmp, is synced, renamed, and the directory
 * is synced: after a crash the file holds the old or the new content.
 *
 * Context    any thread but poll cores; blocks.
 * Errors     the disk's; FAL_ELIMIT: path too long.
 */

#include "drivers/disk.h"

FAL_MUST_CHECK int small_file_replace(struct disk *, const char *dir,
				      const char *name, const char *text,
				      size_t bytes);

/* The same, for no more eyes than the file `like`, which is there. */
FAL_MUST_CHECK int small_file_replace_like(struct disk *, const char *dir,
					   const char *name, const char *like,
					   const char *text, size_t bytes);

/* Reads the beginning of a file, at most `cap` bytes, and puts a NUL behind
 * it; text has cap + 1 bytes. */
FAL_MUST_CHECK int small_file_read(struct disk *, const char *dir,
				   const char *name, char *text, size_t cap);

#endif
