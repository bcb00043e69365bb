/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files are found by listing a directory anew for each one: there are few, and
 * the order (newest first) then does not depend on what a crash has left.
 */

#include "store/log_cut.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/file_name.h"
#include "store/log_reader.h"
#include "store/small_file.h"
#include "store/snapshot.h"

#define NAME_BYTES      300
#define NOTE_BYTES_MAX  32u
#define FILES_TRIED_MAX 1000000u

/* ---- finding files --------------------------------------------------------
 */

/* The data file of a kind with the highest zxid in (above, below), but not
 * the plain one of that zxid; "": none. */
struct wanted {
	enum file_kind kind;
	uint64_t above, below;
	uint64_t not_zxid; /* UINT64_MAX: no exception */
	bool takes_zero;   /* snapshot.0, log.0 count, too */
	struct file_name found;
	char name[NAME_BYTES];
};

static void
note_wanted(void *arg, const char *name)
{
	struct wanted *wanted = arg;
	const struct file_name parsed = file_name_parse(name);
	const bool is_above = parsed.zxid > wanted->above ||
			      (wanted->takes_zero && parsed.zxid == 0);

	const bool is_excepted =
		parsed.zxid == wanted->not_zxid && parsed.coding == FILE_PLAIN;

	if (parsed.kind != wanted->kind || !is_above ||
	    parsed.zxid >= wanted->below || is_excepted ||
	    (wanted->name[0] != '\0' && parsed.zxid < wanted->found.zxid))
		return;
	wanted->found = parsed;
	snprintf(wanted->name, sizeof(wanted->name), "%s", name);
}

static int
find(struct disk *disk, const char *dir, struct wanted *wanted, bool *is_found)
{
	int err;

	wanted->name[0] = '\0';
	err = disk_list(disk, dir, note_wanted, wanted);
	*is_found = wanted->name[0] != '\0';
	return err;
}

/* ---- going aside -----------------------------------------------------------
 */

static int
move_aside(struct disk *disk, const char *dir, const char *name)
{
	char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
	char aside[NAME_BYTES];
	int err = snprintf(aside, sizeof(aside), RETIRE_PREFIX "%s", name) <
				  NAME_BYTES
			  ? 0
			  : FAL_ELIMIT;

	if (err == 0)
		err = file_path(from, dir, name);
	if (err == 0)
		err = file_path(to, dir, aside);
	return err != 0 ? err : disk_rename(disk, from, to);
}

/* All that are wanted, each durably gone before the next one. */
static int
move_all_aside(struct disk *disk, const char *dir, struct wanted *wanted)
{
	bool is_found = true;
	int err = 0;

	for (uint32_t i = 0; i < FILES_TRIED_MAX; i++) {
		err = find(disk, dir, wanted, &is_found);
		if (err != 0 || !is_found)
			return err;
		err = move_aside(disk, dir, wanted->name);
		if (err == 0)
			err = disk_sync_dir(disk, dir);
		if (err != 0)
			return err;
	}
	return FAL_ELIMIT;
}

static void
note_stale(void *arg, const char *name)
{
	char *found = arg;

	if (strncmp(name, RETIRE_PREFIX, sizeof(RETIRE_PREFIX) - 1) == 0)
		snprintf(found, NAME_BYTES, "%s", name);
}

/* The generation before: nobody looked at it since. */
static int
remove_stale(struct disk *disk, const char *dir)
{
	for (uint32_t i = 0; i < FILES_TRIED_MAX; i++) {
		char path[FILE_PATH_MAX];
		char name[NAME_BYTES] = "";
		int err = disk_list(disk, dir, note_stale, name);

		if (err != 0 || name[0] == '\0')
			return err;
		err = file_path(path, dir, name);
		if (err == 0)
			err = disk_unlink(disk, path);
		if (err != 0)
			return err;
	}
	return FAL_ELIMIT;
}

/* ---- truncation -------------------------------------------------------------
 */

/* Where to cut the last file that stays. */
struct cut_place {
	char path[FILE_PATH_MAX]; /* "": no log begins so early */
	uint64_t end;             /* behind the last record up to zxid */
	bool has_zxid;
};

/* Reads the file up to zxid. */
static int
find_record(struct disk *disk, uint64_t zxid, struct cut_place *place)
{
	struct log_file *file = NULL;
	struct log_record record;
	int got = log_file_open(disk, place->path, LOG_ENTRY_BYTES_MAX, &file);

	if (got != 0)
		return got;
	place->end = LOG_FILE_HEADER_BYTES;
	while ((got = log_file_next(file, &record)) > 0 &&
	       (uint64_t)record.header.zxid <= zxid) {
		place->end = log_file_offset(file);
		place->has_zxid = (uint64_t)record.header.zxid == zxid;
	}
	log_file_close(file);
	return got < 0 ? got : 0;
}

/* Is there a snapshot of exactly that state, or one before it? */
static int
find_base(struct disk *disk, const char *dir, uint64_t zxid, bool *is_exact,
	  bool *is_before)
{
	struct wanted wanted = {.kind = FILE_SNAPSHOT,
				.below = zxid + 1,
				.not_zxid = UINT64_MAX,
				.takes_zero = true};
	bool is_found = true;
	int err = 0;

	*is_exact = false;
	*is_before = false;
	for (uint32_t i = 0; i < FILES_TRIED_MAX; i++) {
		char path[FILE_PATH_MAX];

		err = find(disk, dir, &wanted, &is_found);
		if (err != 0 || !is_found)
			return err;
		err = file_path(path, dir, wanted.name);
		if (err == 0)
			err = snapshot_test(disk, path, wanted.found.coding);
		if (err == 0) {
			*is_before = true;
			*is_exact = wanted.found.zxid == zxid;
			return 0;
		}
		if (err != FAL_ECORRUPT)
			return err;
		wanted.below = wanted.found.zxid;
	}
	return FAL_ELIMIT;
}

static int
find_place(struct disk *disk, const char *snap_dir, const char *log_dir,
	   uint64_t zxid, struct cut_place *place)
{
	struct wanted wanted = {.kind = FILE_LOG,
				.below = zxid + 1,
				.not_zxid = UINT64_MAX,
				.takes_zero = true};
	bool is_exact = false, is_before = false, is_found = false;
	int err = find_base(disk, snap_dir, zxid, &is_exact, &is_before);

	memset(place, 0, sizeof(*place));
	if (err == 0 && !is_before)
		return FAL_ENOENT;
	if (err == 0)
		err = find(disk, log_dir, &wanted, &is_found);
	if (err == 0 && is_found)
		err = file_path(place->path, log_dir, wanted.name);
	if (err == 0 && is_found)
		err = find_record(disk, zxid, place);
	if (err == 0 && !place->has_zxid && !is_exact)
		err = FAL_ENOENT;
	return err;
}

static int
remove_logs_above(struct disk *disk, const char *dir, uint64_t zxid)
{
	struct wanted wanted = {.kind = FILE_LOG,
				.above = zxid,
				.below = UINT64_MAX,
				.not_zxid = UINT64_MAX};
	bool is_found = true;

	for (uint32_t i = 0; i < FILES_TRIED_MAX; i++) {
		char path[FILE_PATH_MAX];
		int err = find(disk, dir, &wanted, &is_found);

		if (err != 0 || !is_found)
			return err;
		err = file_path(path, dir, wanted.name);
		if (err == 0)
			err = disk_unlink(disk, path);
		if (err == 0)
			err = disk_sync_dir(disk, dir);
		if (err != 0)
			return err;
	}
	return FAL_ELIMIT;
}

static int
cut_file(struct disk *disk, const char *dir, const struct cut_place *place)
{
	struct disk_file *file = NULL;
	int err = disk_open(disk, place->path, DISK_WRITE, &file);

	if (err != 0)
		return err;
	err = disk_truncate(file, place->end);
	if (err == 0)
		err = disk_sync(file);
	disk_close(file);
	return err != 0 ? err : disk_sync_dir(disk, dir);
}

int
log_cut_after(struct disk *disk, const char *snap_dir, const char *log_dir,
	      uint64_t zxid)
{
	struct wanted snapshots = {.kind = FILE_SNAPSHOT,
				   .above = zxid,
				   .below = UINT64_MAX,
				   .not_zxid = UINT64_MAX};
	struct cut_place place;
	int err = find_place(disk, snap_dir, log_dir, zxid, &place);

	if (err == 0)
		err = remove_stale(disk, snap_dir);
	if (err == 0)
		err = move_all_aside(disk, snap_dir, &snapshots);
	if (err == 0)
		err = remove_logs_above(disk, log_dir, zxid);
	if (err == 0 && place.path[0] != '\0')
		err = cut_file(disk, log_dir, &place);
	return err;
}

/* ---- replacement ------------------------------------------------------------
 */

int
retire_note(struct disk *disk, const char *snap_dir, uint64_t zxid)
{
	char text[NOTE_BYTES_MAX];
	const int bytes = snprintf(text, sizeof(text), "0x%" PRIx64 "\n", zxid);

	return small_file_replace(disk, snap_dir, RETIRE_NOTE_NAME, text,
				  (size_t)bytes);
}

static int
read_note(struct disk *disk, const char *dir, uint64_t *zxid, bool *has_note)
{
	char text[NOTE_BYTES_MAX + 1] = "";
	char *end = NULL;
	const int err = small_file_read(disk, dir, RETIRE_NOTE_NAME, text,
					NOTE_BYTES_MAX);

	*has_note = err == 0;
	if (err != 0)
		return err == FAL_ENOENT ? 0 : err;
	*zxid = strtoull(text, &end, 16);
	return end != text && *end == '\n' ? 0 : FAL_ECORRUPT;
}

static int
remove_note(struct disk *disk, const char *dir)
{
	char path[FILE_PATH_MAX];
	int err = file_path(path, dir, RETIRE_NOTE_NAME);

	if (err == 0)
		err = disk_unlink(disk, path);
	return err != 0 ? err : disk_sync_dir(disk, dir);
}

int
retire_make_room(struct disk *disk, const char *snap_dir, const char *log_dir)
{
	const int err = remove_stale(disk, log_dir);

	return err != 0 ? err : remove_stale(disk, snap_dir);
}

/* The snapshot is durable under its name: nothing else is needed. */
static int
retire_others(struct disk *disk, const char *snap_dir, const char *log_dir,
	      uint64_t zxid)
{
	struct wanted wanted = {.kind = FILE_LOG,
				.below = UINT64_MAX,
				.not_zxid = UINT64_MAX,
				.takes_zero = true};
	int err = retire_make_room(disk, snap_dir, log_dir);

	if (err == 0)
		err = move_all_aside(disk, log_dir, &wanted);
	wanted.kind = FILE_SNAPSHOT;
	wanted.not_zxid = zxid;
	if (err == 0)
		err = move_all_aside(disk, snap_dir, &wanted);
	return err;
}

int
retire_forget(struct disk *disk, const char *snap_dir)
{
	const int err = remove_note(disk, snap_dir);

	return err == FAL_ENOENT ? 0 : err;
}

static int
exists(struct disk *disk, const char *path, bool *is_there)
{
	struct disk_info info;
	const int err = disk_info(disk, path, &info);

	*is_there = err == 0;
	return err == FAL_ENOENT ? 0 : err;
}

/* Did the snapshot that the note names get its name? One of that name may have
 * been there before. */
static int
is_renamed(struct disk *disk, const char *dir, uint64_t zxid, bool *is_done)
{
	char name[NAME_BYTES], hidden[FILE_PATH_MAX], path[FILE_PATH_MAX];
	bool is_there = false, is_hidden = false;
	int err = file_path_snapshot(path, dir, zxid, FILE_PLAIN);

	snprintf(name, sizeof(name),
		 SNAPSHOT_INSTALL_PREFIX "snapshot.%" PRIx64, zxid);
	if (err == 0)
		err = file_path(hidden, dir, name);
	if (err == 0)
		err = exists(disk, hidden, &is_hidden);
	if (err == 0)
		err = exists(disk, path, &is_there);
	*is_done = is_there && !is_hidden;
	return err;
}

int
retire_complete(struct disk *disk, const char *snap_dir, const char *log_dir,
		bool *retired)
{
	uint64_t zxid = 0;
	bool has_note = false;
	int err = read_note(disk, snap_dir, &zxid, &has_note);

	*retired = false;
	if (err != 0 || !has_note)
		return err;
	err = is_renamed(disk, snap_dir, zxid, retired);
	if (err == 0 && *retired)
		err = retire_others(disk, snap_dir, log_dir, zxid);
	return err != 0 ? err : remove_note(disk, snap_dir);
}
