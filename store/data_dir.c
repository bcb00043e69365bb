/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories are made one level at a time, each made durable in its parent
 * before anything is put into it.
 */

#include "store/data_dir.h"

#include <stdio.h>
#include <string.h>

#include "store/log_cut.h"
#include "store/recover.h"
#include "store/snapshot.h"
#include "store/txlog.h"

#define NAME_BYTES 300

struct finder {
	uint32_t logs, snapshots;
	char hidden[NAME_BYTES]; /* a left-over; "": none */
};

static int
refuse(char *message, const char *path, int err, const char *what)
{
	snprintf(message, DATA_DIR_MESSAGE_BYTES, "%.300s: %s%s%s", path,
		 fal_err_str(err), what[0] == '\0' ? "" : ": ", what);
	return err;
}

/* Cuts the last component off; false: there is none left to make. */
static bool
parent_of(const char *path, char out[FILE_PATH_MAX])
{
	size_t bytes = strlen(path);

	while (bytes > 1 && path[bytes - 1] == '/')
		bytes--;
	while (bytes > 0 && path[bytes - 1] != '/')
		bytes--;
	while (bytes > 1 && path[bytes - 1] == '/')
		bytes--;
	if (bytes == 0)
		snprintf(out, FILE_PATH_MAX, ".");
	else
		snprintf(out, FILE_PATH_MAX, "%.*s", (int)bytes, path);
	return bytes > 1 || (bytes == 0 && strcmp(path, ".") != 0);
}

/* Makes the first directory that is missing on the way to `path`; *is_there
 * when none is. */
static int
make_one(struct disk *disk, const char *path, bool *is_there)
{
	char missing[FILE_PATH_MAX];
	char parent[FILE_PATH_MAX];
	struct disk_info info;
	int err = disk_info(disk, path, &info);

	*is_there = err == 0;
	if (err != FAL_ENOENT)
		return err == 0 && !info.is_dir ? FAL_EINVAL : err;
	snprintf(missing, sizeof(missing), "%s", path);
	while (parent_of(missing, parent) &&
	       disk_info(disk, parent, &info) == FAL_ENOENT)
		memcpy(missing, parent, sizeof(missing));
	err = disk_mkdir(disk, missing);
	if (err == FAL_EEXIST)
		err = 0;
	return err != 0 ? err : disk_sync_dir(disk, parent);
}

/* Names what is in the way: the last directory on the way to `path` that is
 * there. */
static int
refuse_dir(struct disk *disk, const char *path, int err, char *message)
{
	char at[FILE_PATH_MAX], parent[FILE_PATH_MAX];
	char what[2 * NAME_BYTES];
	struct disk_info info = {.owner = 0};

	snprintf(at, sizeof(at), "%s", path);
	while (disk_info(disk, at, &info) != 0 && parent_of(at, parent))
		memcpy(at, parent, sizeof(at));
	if (!info.is_dir)
		snprintf(what, sizeof(what), "%.300s is no directory", at);
	else if (err == FAL_EACCESS)
		snprintf(what, sizeof(what),
			 "make it, or let the user that runs the server write "
			 "in %.300s, which belongs to user %u",
			 at, info.owner);
	else
		snprintf(what, sizeof(what),
			 "it cannot be made in %.300s, choose another place",
			 at);
	return refuse(message, path, err, what);
}

static int
ensure_dir(struct disk *disk, const char *path, bool may_create, char *message)
{
	struct disk_info info;
	bool is_there = false;
	int err = 0;

	if (!may_create) {
		err = disk_info(disk, path, &info);
		if (err == 0 && !info.is_dir)
			err = FAL_EINVAL;
		return err == 0 ? 0
				: refuse(message, path, err,
					 "make it, as "
					 "zookeeper.datadir.autocreate is off");
	}
	while (err == 0 && !is_there)
		err = make_one(disk, path, &is_there);
	return err == 0 ? 0 : refuse_dir(disk, path, err, message);
}

static void
note_name(void *arg, const char *name)
{
	struct finder *finder = arg;
	const enum file_kind kind = file_name_parse(name).kind;

	finder->logs += kind == FILE_LOG;
	finder->snapshots += kind == FILE_SNAPSHOT;
	if (strncmp(name, SNAPSHOT_HIDDEN_PREFIX,
		    sizeof(SNAPSHOT_HIDDEN_PREFIX) - 1) == 0)
		snprintf(finder->hidden, sizeof(finder->hidden), "%s", name);
}

static int
find_files(struct disk *disk, const char *dir, struct finder *finder,
	   char *message)
{
	const int err = disk_list(disk, dir, note_name, finder);

	return err == 0 ? 0
			: refuse(message, dir, err,
				 "the server must be able to read it");
}

/* Logs among the snapshots or the other way round: dataDir and dataLogDir were
 * exchanged or changed, and half of the data would not be seen. */
static int
check_mix_up(const struct data_dir *dirs, char *message)
{
	struct finder snap = {.logs = 0};
	struct finder log = {.logs = 0};
	int err = find_files(dirs->disk, dirs->snap_dir, &snap, message);

	if (err == 0)
		err = find_files(dirs->disk, dirs->log_dir, &log, message);
	if (err != 0 || strcmp(dirs->snap_dir, dirs->log_dir) == 0)
		return err;
	if (snap.logs > 0)
		return refuse(message, dirs->snap_dir, FAL_EINVAL,
			      "transaction logs lie in dataDir: move them to "
			      "dataLogDir, or correct the configuration");
	if (log.snapshots > 0)
		return refuse(message, dirs->log_dir, FAL_EINVAL,
			      "snapshots lie in dataLogDir: move them to "
			      "dataDir, or correct the configuration");
	return 0;
}

static int
take_lock(struct disk *disk, const char *dir, struct disk_file **out,
	  char *message)
{
	char path[FILE_PATH_MAX];
	char what[NAME_BYTES];
	struct disk_info info = {.owner = 0};
	int err = file_path(path, dir, DATA_DIR_LOCK);

	if (err == 0)
		err = disk_lock(disk, path, out);
	if (err == 0)
		return 0;
	*out = NULL;
	if (err == FAL_EBUSY)
		return refuse(message, path, err,
			      "another server runs on this directory");
	if (err == FAL_EACCESS && disk_info(disk, dir, &info) == 0) {
		snprintf(what, sizeof(what),
			 "the directory belongs to user %u; run as that user "
			 "or change its owner",
			 info.owner);
		return refuse(message, path, err, what);
	}
	return refuse(message, path, err, "");
}

/* Snapshots that were not finished; one name per pass. */
static int
remove_hidden(const struct data_dir *dirs, char *message)
{
	char path[FILE_PATH_MAX];

	for (;;) {
		struct finder finder = {.logs = 0};
		int err = find_files(dirs->disk, dirs->snap_dir, &finder,
				     message);

		if (err != 0 || finder.hidden[0] == '\0')
			return err;
		/* A leader's snapshot that did not come to be. */
		if (strncmp(finder.hidden, SNAPSHOT_INSTALL_PREFIX,
			    sizeof(SNAPSHOT_INSTALL_PREFIX) - 1) == 0)
			err = retire_forget(dirs->disk, dirs->snap_dir);
		if (err == 0)
			err = file_path(path, dirs->snap_dir, finder.hidden);
		if (err == 0)
			err = disk_unlink(dirs->disk, path);
		if (err != 0)
			return refuse(message, path, err,
				      "a left-over that cannot be removed");
	}
}

/* Without doubled and trailing slashes, as Java sees it: whether two
 * directories are one is told by their names. */
static int
plain_path(char out[FILE_PATH_MAX], const char *path)
{
	size_t bytes = 0;

	for (; *path != '\0'; path++) {
		if (*path == '/' && bytes > 0 && out[bytes - 1] == '/')
			continue;
		if (bytes + 1 == FILE_PATH_MAX)
			return FAL_ELIMIT;
		out[bytes++] = *path;
	}
	while (bytes > 1 && out[bytes - 1] == '/')
		bytes--;
	out[bytes] = '\0';
	return 0;
}

static int
set_paths(struct data_dir *dirs, const struct data_dir_options *options,
	  char *message)
{
	const bool is_one =
		options->log_dir == NULL || options->log_dir[0] == '\0';
	char log_dir[FILE_PATH_MAX];
	int err = plain_path(dirs->data_dir, options->data_dir);

	if (err == 0)
		err = plain_path(log_dir,
				 is_one ? options->data_dir : options->log_dir);
	if (err == 0)
		err = file_path(dirs->snap_dir, dirs->data_dir,
				DATA_DIR_VERSION);
	if (err == 0)
		err = file_path(dirs->log_dir, log_dir, DATA_DIR_VERSION);
	return err == 0 ? 0
			: refuse(message, options->data_dir, err,
				 "the path is too long");
}

int
data_dir_open(struct disk *disk, const struct data_dir_options *options,
	      struct data_dir *dirs, char *message)
{
	int err;

	memset(dirs, 0, sizeof(*dirs));
	message[0] = '\0';
	dirs->disk = disk;
	err = set_paths(dirs, options, message);
	if (err == 0)
		err = ensure_dir(disk, dirs->snap_dir, options->may_create,
				 message);
	if (err == 0)
		err = ensure_dir(disk, dirs->log_dir, options->may_create,
				 message);
	if (err == 0)
		err = check_mix_up(dirs, message);
	if (err == 0)
		err = take_lock(disk, dirs->snap_dir, &dirs->snap_lock,
				message);
	if (err == 0 && strcmp(dirs->snap_dir, dirs->log_dir) != 0)
		err = take_lock(disk, dirs->log_dir, &dirs->log_lock, message);
	if (err == 0)
		err = remove_hidden(dirs, message);
	if (err != 0)
		data_dir_close(dirs);
	return err;
}

void
data_dir_close(struct data_dir *dirs)
{
	if (dirs->log_lock != NULL)
		disk_close(dirs->log_lock);
	if (dirs->snap_lock != NULL)
		disk_close(dirs->snap_lock);
	dirs->log_lock = NULL;
	dirs->snap_lock = NULL;
}
