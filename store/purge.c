/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oldest snapshot to keep sets the line L. Logs go from the oldest on, so
 * a crash in between leaves no hole in what is left.
 */

#include "store/purge.h"

#include "store/file_cut.h"
#include "store/file_list.h"
#include "store/snapshot.h"

/* Tests snapshots, the newest first, until `retain` complete ones are found;
 * *line is the zxid of the last one found. */
static int
find_line(struct disk *disk, const char *dir, const struct file_list *snapshots,
	  uint32_t retain, uint64_t *line, bool *has_line)
{
	char path[FILE_PATH_MAX];
	uint32_t complete = 0;

	*has_line = false;
	for (uint32_t i = snapshots->count; i > 0 && complete < retain; i--) {
		const struct file_entry *entry = &snapshots->entries[i - 1];
		int err = file_path(path, dir, entry->name);

		if (err == 0)
			err = snapshot_test(disk, path, entry->parsed.coding);
		if (err == FAL_ECORRUPT)
			continue;
		if (err != 0)
			return err;
		*line = entry->parsed.zxid;
		*has_line = true;
		complete++;
	}
	return 0;
}

static int
remove_file(struct disk *disk, const char *path, struct purge_result *result)
{
	struct disk_file *file = NULL;
	const bool is_open = disk_open(disk, path, DISK_WRITE, &file) == 0;
	const int err = disk_unlink(disk, path);

	if (!is_open)
		return err;
	if (err == 0 && result->gone_count < PURGE_GONE_MAX)
		result->gone[result->gone_count++] = file;
	else
		disk_close(file);
	return err;
}

static int
remove_snapshots(struct disk *disk, const char *dir,
		 const struct file_list *snapshots, uint64_t line,
		 struct purge_result *result)
{
	char path[FILE_PATH_MAX];
	int err = 0;

	for (uint32_t i = 0; i < snapshots->count && err == 0; i++) {
		const struct file_entry *entry = &snapshots->entries[i];

		if (entry->parsed.zxid >= line)
			break;
		err = file_path(path, dir, entry->name);
		if (err == 0)
			err = remove_file(disk, path, result);
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
	struct file_list logs;
	uint32_t keep_from;
	int err = file_list_read(disk, dir, FILE_LOG, &logs);

	if (err != 0)
		return err;
	keep_from = file_list_floor(&logs, line);
	for (uint32_t i = 0; i < keep_from && err == 0; i++) {
		err = file_path(path, dir, logs.entries[i].name);
		if (err == 0)
			err = remove_file(disk, path, result);
		if (err == 0)
			result->logs++;
	}
	file_list_free(&logs);
	return err;
}

int
purge_run(struct disk *disk, const char *snap_dir, const char *log_dir,
	  uint32_t retain, uint64_t floor, struct purge_result *result)
{
	struct file_list snapshots;
	uint64_t line = 0;
	bool has_line = false;
	int err = file_list_read(disk, snap_dir, FILE_SNAPSHOT, &snapshots);

	*result = (struct purge_result){.snapshots = 0};
	if (err == 0)
		err = find_line(disk, snap_dir, &snapshots,
				retain < PURGE_RETAIN_MIN ? PURGE_RETAIN_MIN
							  : retain,
				&line, &has_line);
	if (err == 0 && has_line) {
		err = remove_logs(disk, log_dir, line < floor ? line : floor,
				  result);
		if (err == 0)
			err = remove_snapshots(disk, snap_dir, &snapshots, line,
					       result);
		if (err == 0 && result->snapshots + result->logs > 0) {
			err = disk_sync_dir(disk, snap_dir);
			if (err == 0)
				err = disk_sync_dir(disk, log_dir);
		}
	}
	file_list_free(&snapshots);
	return err;
}

bool
purge_shrink(struct purge_result *result)
{
	if (result->gone_count == 0)
		return false;
	if (file_cut_step(result->gone[result->gone_count - 1], 0,
			  FILE_CUT_BYTES))
		return true;
	disk_close(result->gone[--result->gone_count]);
	return result->gone_count > 0;
}

void
purge_close(struct purge_result *result)
{
	while (result->gone_count > 0)
		disk_close(result->gone[--result->gone_count]);
}
