/* SPDX-License-Identifier: Apache-2.0 */
/* Aside first, then the truncation: nothing is lost by stopping in between. */

#include "store/recover_cut.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/log_reader.h"
#include "store/recover.h"

#define COPY_BYTES (1u << 20)
#define NAME_BYTES 300

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static int
aside_path(char out[FILE_PATH_MAX], const char *dir, const char *name)
{
	char aside[NAME_BYTES];

	if (snprintf(aside, sizeof(aside), RECOVER_CUT_PREFIX "%s", name) >=
	    NAME_BYTES)
		return FAL_ELIMIT;
	return file_path(out, dir, aside);
}

static int
copy_bytes(struct disk_file *from, struct disk_file *to)
{
	uint8_t *buffer = malloc(COPY_BYTES);
	uint64_t at = 0;
	size_t got = 1;
	int err = buffer == NULL ? FAL_ENOMEM : 0;

	while (err == 0 && got > 0) {
		err = disk_read(from, buffer, COPY_BYTES, at, &got);
		if (err == 0 && got > 0)
			err = disk_write(to, buffer, got, at);
		at += got;
	}
	free(buffer);
	return err != 0 ? err : disk_sync(to);
}

static int
keep_copy(struct disk *disk, const char *dir, const char *path)
{
	char copy_path[FILE_PATH_MAX];
	struct disk_file *from = NULL;
	struct disk_file *to = NULL;
	int err = aside_path(copy_path, dir, base_name(path));

	if (err == 0)
		err = disk_open(disk, path, DISK_READ, &from);
	if (err != 0)
		return err;
	err = disk_open(disk, copy_path, DISK_WRITE | DISK_CREATE | DISK_TRUNC,
			&to);
	if (err == 0) {
		err = copy_bytes(from, to);
		disk_close(to);
	}
	disk_close(from);
	return err != 0 ? err : disk_sync_dir(disk, dir);
}

/* Names of data files above a zxid. */
struct above {
	enum file_kind kind;
	uint64_t zxid;
	const char *not_this;
	/* The highest found in one pass. */
	uint64_t found_zxid;
	char found[NAME_BYTES];
};

static void
note_above(void *arg, const char *name)
{
	struct above *above = arg;
	const struct file_name parsed = file_name_parse(name);

	if (parsed.kind != above->kind || parsed.zxid <= above->zxid ||
	    parsed.zxid < above->found_zxid ||
	    strcmp(name, above->not_this) == 0)
		return;
	above->found_zxid = parsed.zxid;
	snprintf(above->found, sizeof(above->found), "%s", name);
}

/* Renames them, the newest first. */
static int
move_aside(struct disk *disk, const char *dir, struct above *above)
{
	char from[FILE_PATH_MAX];
	char to[FILE_PATH_MAX];
	int err;

	for (;;) {
		above->found_zxid = 0;
		above->found[0] = '\0';
		err = disk_list(disk, dir, note_above, above);
		if (err != 0 || above->found[0] == '\0')
			return err;
		err = file_path(from, dir, above->found);
		if (err == 0)
			err = aside_path(to, dir, above->found);
		if (err == 0)
			err = disk_rename(disk, from, to);
		if (err == 0)
			err = disk_sync_dir(disk, dir);
		if (err != 0)
			return err;
	}
}

static int
cut_file(struct disk *disk, const char *log_dir, const struct recover_cut *cut,
	 uint64_t *bytes)
{
	struct disk_file *file = NULL;
	int err = disk_open(disk, cut->path, DISK_WRITE, &file);

	if (err != 0)
		return err;
	err = disk_file_bytes(file, bytes);
	if (err == 0 && *bytes > cut->offset) {
		*bytes -= cut->offset;
		err = disk_truncate(file, cut->offset);
	} else {
		*bytes = 0;
	}
	if (err == 0)
		err = disk_sync(file);
	disk_close(file);
	if (err == 0 && cut->offset < LOG_FILE_HEADER_BYTES)
		err = disk_unlink(disk, cut->path);
	return err != 0 ? err : disk_sync_dir(disk, log_dir);
}

int
recover_cut(struct disk *disk, const char *snap_dir, const char *log_dir,
	    const struct recover_cut *cut, uint64_t *bytes)
{
	const bool has_file = cut->path[0] != '\0';
	struct above above = {.kind = FILE_SNAPSHOT,
			      .zxid = cut->last_zxid,
			      .not_this = base_name(cut->path)};
	int err = 0;

	*bytes = 0;
	if (cut->keeps_copy && has_file)
		err = keep_copy(disk, log_dir, cut->path);
	if (err == 0 && cut->keeps_copy)
		err = move_aside(disk, snap_dir, &above);
	above.kind = FILE_LOG;
	if (err == 0 && cut->keeps_copy)
		err = move_aside(disk, log_dir, &above);
	if (err == 0 && has_file)
		err = cut_file(disk, log_dir, cut, bytes);
	return err;
}
