/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy is made from a second reading of the file, not from the scratch
 * tree: it then needs no walk of a tree, and what the two readings see cannot
 * differ, as nobody else knows the file.
 *
 * The order of commit() is that of a leader's snapshot
 * (server/store_install.c):
 *
 *   hidden name of the zxid, synced     the disk is as it was
 *   note, rename, sync                  a start completes what follows
 *   logs and snapshots before go aside  done
 */
#include "store/snap_replace.h"

#include <stdlib.h>
#include <string.h>

#include "store/log_cut.h"

struct snap_replace {
	struct disk *disk;
	char snap_dir[FILE_PATH_MAX];
	struct snapshot_info info; /* of the first reading */
	struct snapshot_out *out;

	struct snapshot_session *sessions;
	uint32_t session_count, session_cap;
	bool has_told_head; /* sessions and the count of ACLs are written */
};

/* ---- the coding ------------------------------------------------------------
 */

/* The name says nothing: what the first bytes are. */
static int
find_coding(struct disk *disk, const char *path, enum file_coding *coding)
{
	uint8_t head[8] = {0};
	struct disk_file *file = NULL;
	size_t got = 0;
	int err = disk_open(disk, path, DISK_READ, &file);

	if (err != 0)
		return err;
	err = disk_read(file, head, sizeof(head), 0, &got);
	disk_close(file);
	*coding = FILE_PLAIN;
	if (got >= 2 && head[0] == 0x1f && head[1] == 0x8b)
		*coding = FILE_GZ;
	else if (got == 8 && memcmp(head, "\x82SNAPPY", 8) == 0)
		*coding = FILE_SNAPPY;
	return err;
}

/* ---- the copy --------------------------------------------------------------
 */

static int
take_session(void *arg, int64_t id, int32_t timeout_ms)
{
	struct snap_replace *replace = arg;

	if (replace->session_count == replace->session_cap) {
		const uint32_t cap = replace->session_cap * 2 + 64;
		void *more = realloc(replace->sessions,
				     cap * sizeof(*replace->sessions));

		if (more == NULL)
			return FAL_ENOMEM;
		replace->sessions = more;
		replace->session_cap = cap;
	}
	replace->sessions[replace->session_count++] =
		(struct snapshot_session){.id = id, .timeout_ms = timeout_ms};
	return 0;
}

/* What stands before the first ACL or node. */
static void
tell_head(struct snap_replace *replace)
{
	if (replace->has_told_head)
		return;
	replace->has_told_head = true;
	snapshot_out_sessions(replace->out, replace->sessions,
			      replace->session_count);
	snapshot_out_acls(replace->out, (uint32_t)replace->info.acls);
}

static int
copy_acl(void *arg, int64_t id, const struct jute_vector *acl)
{
	struct snap_replace *replace = arg;

	tell_head(replace);
	snapshot_out_acl(replace->out, id, acl);
	return snapshot_out_error(replace->out);
}

static int
copy_node(void *arg, struct jute_slice path, struct jute_slice data,
	  int64_t acl_id, const struct tree_stat *stat)
{
	struct snap_replace *replace = arg;

	tell_head(replace);
	snapshot_out_node(replace->out, path, data, acl_id, stat);
	return snapshot_out_error(replace->out);
}

static int
make_copy(struct snap_replace *replace,
	  const struct snap_replace_options *options, enum file_coding coding,
	  struct snapshot_fault *fault)
{
	const struct snapshot_visitor visitor = {
		.arg = replace, .acl = copy_acl, .node = copy_node};
	const struct snapshot_info nothing = {.has_digest = false};
	struct snapshot_info info;
	int err =
		snapshot_out_install(options->disk, options->snap_dir,
				     snap_replace_zxid(replace), &replace->out);

	if (err != 0)
		return err;
	err = snapshot_scan(options->disk, options->path, coding, &visitor,
			    &info, fault);
	tell_head(replace); /* of a file without nodes */
	return err != 0 ? err : snapshot_out_seal(replace->out, &nothing);
}

int
snap_replace_prepare(const struct snap_replace_options *options,
		     struct snap_replace **out, struct snapshot_fault *fault)
{
	struct snap_replace *replace = calloc(1, sizeof(*replace));
	enum file_coding coding = FILE_PLAIN;
	int err = replace == NULL ? FAL_ENOMEM : 0;

	*fault = (struct snapshot_fault){.what = "none"};
	if (err == 0 && strlen(options->snap_dir) >= FILE_PATH_MAX)
		err = FAL_ELIMIT;
	if (err == 0) {
		replace->disk = options->disk;
		memcpy(replace->snap_dir, options->snap_dir,
		       strlen(options->snap_dir) + 1);
		err = find_coding(options->disk, options->path, &coding);
	}
	if (err == 0)
		err = snapshot_load(options->disk, options->path, coding, 0,
				    options->scratch, take_session, replace,
				    &replace->info, fault);
	if (err == 0)
		err = make_copy(replace, options, coding, fault);
	if (err != 0) {
		snap_replace_abort(replace);
		return err;
	}
	*out = replace;
	return 0;
}

const struct snapshot_info *
snap_replace_info(const struct snap_replace *replace)
{
	return &replace->info;
}

uint64_t
snap_replace_zxid(const struct snap_replace *replace)
{
	if (replace->info.has_last_zxid)
		return replace->info.last_zxid;
	return replace->info.has_digest ? replace->info.digest_zxid : 0;
}

void
snap_replace_abort(struct snap_replace *replace)
{
	if (replace == NULL)
		return;
	if (replace->out != NULL)
		snapshot_out_abort(replace->out);
	free(replace->sessions);
	free(replace);
}

int
snap_replace_commit(struct snap_replace *replace, const char *log_dir,
		    uint64_t zxid)
{
	struct snapshot_out *out = replace->out;
	bool retired = false;
	int err = snapshot_out_move(out, zxid);

	if (err == 0)
		err = retire_note(replace->disk, replace->snap_dir, zxid);
	if (err == 0) {
		replace->out = NULL; /* rename() frees it in any case */
		err = snapshot_out_rename(out);
	}
	if (err == 0)
		err = retire_complete(replace->disk, replace->snap_dir, log_dir,
				      &retired);
	snap_replace_abort(replace);
	return err;
}
