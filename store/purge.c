/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oldest snapshot to keep sets the line L. Logs go from the oldest on, so
 * a crash in between leaves no hole in what is left.
 */

#include "store/purge.h"

#include <stdlib.h>
#include <string.h>

#include "store/log_reader.h"
#include "store/snapshot.h"

struct snapshot_name {
	struct file_name parsed;
	bool is_complete;
};

struct lister {
	struct snapshot_name *names;
	uint32_t count, cap;
	int err;
};

static void
note_name(void *arg, const char *name)
{
	struct lister *lister = arg;
	const struct file_name parsed = file_name_parse(name);

	if (parsed.kind != FILE_SNAPSHOT || lister->err != 0)
		return;
	if (lister->count == lister->cap) {
		const uint32_t cap = lister->cap == 0 ? 64 : 2 * lister->cap;
		struct snapshot_name *larger =
			realloc(lister->names, cap * sizeof(*larger));

		if (larger == NULL) {
			lister->err = FAL_ENOMEM;
			return;
		}
		lister->names = larger;
		lister->cap = cap;
	}
	lister->names[lister->count++] =
		(struct snapshot_name){.parsed = parsed};
}

/* Newest first. */
static int
compare_names(const void *a, const void *b)
{
	const struct snapshot_name *left = a;
	const struct snapshot_name *right = b;

	return left->parsed.zxid > right->parsed.zxid
		       ? -1
		       : left->parsed.zxid < right->parsed.zxid;
}

/* Tests names until `retain` complete ones are found; *line is the zxid of the
 * last one found. */
static int
find_line(struct disk *disk, const char *dir, struct lister *lister,
	  uint32_t retain, uint64_t *line, bool *has_line)
{
	char path[FILE_PATH_MAX];
	uint32_t complete = 0;

	*has_line = false;
	for (uint32_t i = 0; i < lister->count && complete < retain; i++) {
		struct snapshot_name *name = &lister->names[i];
		int err = file_path_snapshot(path, dir, name->parsed.zxid,
					     name->parsed.coding);

		if (err == 0)
			err = snapshot_test(disk, path, name->parsed.coding);
		if (err != 0 && err != FAL_ECORRUPT)
			return err;
		name->is_complete = err == 0;
		if (!name->is_complete)
			continue;
		*line = name->parsed.zxid;
		*has_line = true;
		complete++;
	}
	return 0;
}

static int
remove_snapshots(struct disk *disk, const char *dir,
		 const struct lister *lister, uint64_t line,
		 struct purge_result *result)
{
	char path[FILE_PATH_MAX];
	int err = 0;

	for (uint32_t i = lister->count; i > 0 && err == 0; i--) {
		const struct file_name *name = &lister->names[i - 1].parsed;

		if (name->zxid >= line)
			break;
		err = file_path_snapshot(path, dir, name->zxid, name->coding);
		if (err == 0)
			err = disk_unlink(disk, path);
		if (err == 0)
			result->snapshots++;
	}
	return err;
}

static int
remove_logs(struct disk *disk, const char *dir, uint64_t line,
	    struct purge_result *result)
{
	char path[FILE_PATH_MAX];
	struct log_name *names = NULL;
	uint32_t count = 0;
	uint32_t keep_from;
	int err = log_list(disk, dir, &names, &count);

	if (err != 0)
		return err;
	keep_from = log_list_floor(names, count, line);
	for (uint32_t i = 0; i < keep_from && err == 0; i++) {
		err = file_path(path, dir, names[i].name);
		if (err == 0)
			err = disk_unlink(disk, path);
		if (err == 0)
			result->logs++;
	}
	free(names);
	return err;
}

int
purge_run(struct disk *disk, const char *snap_dir, const char *log_dir,
	  uint32_t retain, uint64_t floor, struct purge_result *result)
{
	struct lister lister = {.err = 0};
	uint64_t line = 0;
	bool has_line = false;
	int err = disk_list(disk, snap_dir, note_name, &lister);

	*result = (struct purge_result){.snapshots = 0};
	if (err == 0)
		err = lister.err;
	if (err == 0 && lister.count > 0) {
		qsort(lister.names, lister.count, sizeof(*lister.names),
		      compare_names);
		err = find_line(disk, snap_dir, &lister,
				retain < PURGE_RETAIN_MIN ? PURGE_RETAIN_MIN
							  : retain,
				&line, &has_line);
	}
	if (err == 0 && has_line) {
		err = remove_logs(disk, log_dir, line < floor ? line : floor,
				  result);
		if (err == 0)
			err = remove_snapshots(disk, snap_dir, &lister, line,
					       result);
		if (err == 0 && result->snapshots + result->logs > 0) {
			err = disk_sync_dir(disk, snap_dir);
			if (err == 0)
				err = disk_sync_dir(disk, log_dir);
		}
	}
	free(lister.names);
	return err;
}
