/* SPDX-License-Identifier: Apache-2.0 */
/* Two small files; what cannot be understood counts against the vote. */

#include "store/vote_mark.h"

#include <stdio.h>
#include <string.h>

#include "store/file_name.h"
#include "store/small_file.h"

int
vote_mark_write(struct disk *disk, const char *dir, const char *reason)
{
	char text[VOTE_REASON_BYTES];

	snprintf(text, sizeof(text) - 1, "%s", reason);
	text[strcspn(text, "\n")] = '\0';
	strcat(text, "\n");
	return small_file_replace(disk, dir, VOTE_MARK_NAME, text,
				  strlen(text));
}

int
vote_mark_read(struct disk *disk, const char *dir, char *reason)
{
	const int err = small_file_read(disk, dir, VOTE_MARK_NAME, reason,
					VOTE_REASON_BYTES - 1);

	reason[strcspn(reason, "\n")] = '\0';
	return err;
}

static int
remove_file(struct disk *disk, const char *dir, const char *name)
{
	char path[FILE_PATH_MAX];
	int err = file_path(path, dir, name);

	if (err == 0)
		err = disk_unlink(disk, path);
	if (err == FAL_ENOENT)
		return 0;
	return err != 0 ? err : disk_sync_dir(disk, dir);
}

int
vote_mark_remove(struct disk *disk, const char *dir)
{
	return remove_file(disk, dir, VOTE_MARK_NAME);
}

int
vote_dirty_write(struct disk *disk, const char *dir, const char *boot_id)
{
	return small_file_replace(disk, dir, VOTE_DIRTY_NAME, boot_id,
				  strlen(boot_id));
}

int
vote_dirty_remove(struct disk *disk, const char *dir)
{
	return remove_file(disk, dir, VOTE_DIRTY_NAME);
}

int
vote_dirty_check(struct disk *disk, const char *dir, const char *boot_id,
		 bool *is_lost)
{
	char text[VOTE_BOOT_ID_BYTES + 1] = "";
	const int err = small_file_read(disk, dir, VOTE_DIRTY_NAME, text,
					VOTE_BOOT_ID_BYTES);

	*is_lost = false;
	if (err == FAL_ENOENT)
		return 0;
	*is_lost = boot_id[0] == '\0' || strcmp(text, boot_id) != 0;
	return err;
}
