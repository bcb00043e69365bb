/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_STORE_FILE_LIST_H
#define FALCONER_STORE_FILE_LIST_H

/*
 * file_list - the logs or the snapshots of a directory, in the order of their
 * zxids. A directory's own order means nothing, and what is to be read, kept
 * or removed is always a run of this one.
 *
 * Context    any thread.
 * Ownership  the list is the caller's; file_list_free() gives it back.
 * Limits     as many files as memory takes.
 * Source     disk-format.md section 1.
 */

#include "drivers/disk.h"
#include "store/file_name.h"

struct file_entry {
	struct file_name parsed;
	char name[40]; /* as found in the directory */
};

struct file_list {
	struct file_entry *entries;
	uint32_t count;
};

/*
 * Lists the files of one kind, ascending; of snapshots of one state the plain
 * one comes last, as it is the one to prefer.
 *
 * Returns 0, an error of the directory or FAL_ENOMEM; the list is empty then.
 */
FAL_MUST_CHECK int file_list_read(struct disk *, const char *dir,
				  enum file_kind kind, struct file_list *out);

/* Leaves it empty; an empty one may be freed, too. */
void file_list_free(struct file_list *);

/* Index of the last file that starts at or before zxid; 0 if all are later. */
uint32_t file_list_floor(const struct file_list *, uint64_t zxid);

#endif
