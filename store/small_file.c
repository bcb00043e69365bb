/* SPDX-License-Identifier: Apache-2.0 */
/* Write aside, sync, rename, sync the directory. */

#include "store/small_file.h"

#include <stdio.h>

#include "store/file_name.h"

#define NAME_BYTES 256

/* flags: more than what it takes to write a new file. */
static int
replace(struct disk *disk, const char *dir, const char *name, uint32_t flags,
	const char *text, size_t bytes)
{
	char path[FILE_PATH_MAX];
	char aside_path[FILE_PATH_MAX];
	char aside[NAME_BYTES];
	struct disk_file *file = NULL;
	int err;

	if (snprintf(aside, sizeof(aside), "%s.tmp", name) >= NAME_BYTES)
		return FAL_ELIMIT;
	err = file_path(path, dir, name);
	if (err == 0)
		err = file_path(aside_path, dir, aside);
	if (err == 0)
		err = disk_open(disk, aside_path,
				DISK_WRITE | DISK_CREATE | DISK_TRUNC | flags,
				&file);
	if (err != 0)
		return err;
	err = disk_write(file, text, bytes, 0);
	if (err == 0)
		err = disk_sync(file);
	disk_close(file);
	if (err == 0)
		err = disk_rename(disk, aside_path, path);
	return err != 0 ? err : disk_sync_dir(disk, dir);
}

int
small_file_replace(struct disk *disk, const char *dir, const char *name,
		   const char *text, size_t bytes)
{
	return replace(disk, dir, name, 0, text, bytes);
}

int
small_file_replace_like(struct disk *disk, const char *dir, const char *name,
			const char *like, const char *text, size_t bytes)
{
	char path[FILE_PATH_MAX];
	struct disk_info info;
	int err = file_path(path, dir, like);

	if (err == 0)
		err = disk_info(disk, path, &info);
	if (err == 0)
		err = replace(disk, dir, name, DISK_MODE_OF(info.mode), text,
			      bytes);
	return err;
}

int
small_file_read(struct disk *disk, const char *dir, const char *name,
		char *text, size_t cap)
{
	char path[FILE_PATH_MAX];
	struct disk_file *file = NULL;
	size_t got = 0;
	int err = file_path(path, dir, name);

	text[0] = '\0';
	if (err == 0)
		err = disk_open(disk, path, DISK_READ, &file);
	if (err != 0)
		return err;
	err = disk_read(file, text, cap, 0, &got);
	text[got] = '\0';
	disk_close(file);
	return err;
}
