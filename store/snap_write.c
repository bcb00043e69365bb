/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of snapshot.h, field by field, into a snap_sink. The file has its
 * hidden name until everything is synced. A learner gets the same fields
 * through a pipe in the sink's place, without what makes them a file.
 */

#include "store/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "store/snap_form.h"
#include "store/snap_sink.h"

#define HIDDEN_NAME_BYTES 64u

struct snapshot_out {
	struct disk *disk;
	struct snap_sink *sink; /* NULL: a pipe */
	int (*put)(void *arg, const void *data, size_t bytes);
	void *arg;
	int pipe_err;
	char dir[FILE_PATH_MAX];
	char hidden_path[FILE_PATH_MAX];
	char path[FILE_PATH_MAX];
	bool is_install; /* a note may name the hidden file: it stays */
};

static void
put_bytes(struct snapshot_out *out, const void *data, size_t bytes)
{
	if (out->sink != NULL)
		snap_sink_put(out->sink, data, bytes);
	else if (out->pipe_err == 0)
		out->pipe_err = out->put(out->arg, data, bytes);
}

static void
put_int(struct snapshot_out *out, uint32_t v)
{
	uint8_t bytes[4];

	be_store32(bytes, v);
	put_bytes(out, bytes, sizeof(bytes));
}

static void
put_long(struct snapshot_out *out, uint64_t v)
{
	uint8_t bytes[8];

	be_store64(bytes, v);
	put_bytes(out, bytes, sizeof(bytes));
}

static void
put_slice(struct snapshot_out *out, struct jute_slice slice)
{
	put_int(out, (uint32_t)slice.bytes);
	if (slice.bytes > 0)
		put_bytes(out, slice.data, (size_t)slice.bytes);
}

static void
put_seal(struct snapshot_out *out)
{
	put_long(out, snap_sink_adler(out->sink));
	put_slice(out, jute_slice_of("/", 1));
}

static int
create(struct disk *disk, const char *dir, const char *prefix, uint64_t zxid,
       enum file_coding coding, struct snapshot_out **out_ptr)
{
	struct snapshot_out *out = calloc(1, sizeof(*out));
	char name[HIDDEN_NAME_BYTES];
	int err;

	if (out == NULL)
		return FAL_ENOMEM;
	out->disk = disk;
	snprintf(name, sizeof(name), "%ssnapshot.%llx", prefix,
		 (unsigned long long)zxid);
	err = file_path(out->hidden_path, dir, name);
	if (err == 0)
		err = file_path_snapshot(out->path, dir, zxid, coding);
	if (err == 0) {
		memcpy(out->dir, dir, strlen(dir) + 1);
		err = snap_sink_create(disk, out->hidden_path, coding,
				       &out->sink);
	}
	if (err != 0) {
		free(out);
		return err;
	}
	put_int(out, SNAPSHOT_MAGIC);
	put_int(out, SNAPSHOT_VERSION);
	put_long(out, UINT64_MAX); /* dbid -1 */
	*out_ptr = out;
	return 0;
}

int
snapshot_out_create(struct disk *disk, const char *dir, uint64_t zxid,
		    enum file_coding coding, struct snapshot_out **out)
{
	return create(disk, dir, SNAPSHOT_HIDDEN_PREFIX, zxid, coding, out);
}

int
snapshot_out_install(struct disk *disk, const char *dir, uint64_t zxid,
		     struct snapshot_out **out)
{
	const int err = create(disk, dir, SNAPSHOT_INSTALL_PREFIX, zxid,
			       FILE_PLAIN, out);

	if (err == 0)
		(*out)->is_install = true;
	return err;
}

int
snapshot_out_pipe(int (*put)(void *arg, const void *data, size_t bytes),
		  void *arg, struct snapshot_out **out_ptr)
{
	struct snapshot_out *out = calloc(1, sizeof(*out));

	if (out == NULL)
		return FAL_ENOMEM;
	out->put = put;
	out->arg = arg;
	*out_ptr = out;
	return 0;
}

void
snapshot_out_sessions(struct snapshot_out *out,
		      const struct snapshot_session *sessions, uint32_t count)
{
	put_int(out, count);
	for (uint32_t i = 0; i < count; i++) {
		put_long(out, (uint64_t)sessions[i].id);
		put_int(out, (uint32_t)sessions[i].timeout_ms);
	}
}

void
snapshot_out_acls(struct snapshot_out *out, uint32_t count)
{
	put_int(out, count);
}

void
snapshot_out_acl(struct snapshot_out *out, int64_t id,
		 const struct jute_vector *acl)
{
	put_long(out, (uint64_t)id);
	put_int(out, (uint32_t)acl->count);
	if (acl->bytes > 0)
		put_bytes(out, acl->data, acl->bytes);
}

void
snapshot_encode_tail(uint8_t tail[SNAPSHOT_NODE_TAIL_BYTES], int64_t acl_id,
		     const struct tree_stat *stat)
{
	be_store64(tail, (uint64_t)acl_id);
	be_store64(tail + 8, (uint64_t)stat->czxid);
	be_store64(tail + 16, (uint64_t)stat->mzxid);
	be_store64(tail + 24, (uint64_t)stat->ctime);
	be_store64(tail + 32, (uint64_t)stat->mtime);
	be_store32(tail + 40, (uint32_t)stat->version);
	be_store32(tail + 44, (uint32_t)stat->cversion);
	be_store32(tail + 48, (uint32_t)stat->aversion);
	be_store64(tail + 52, (uint64_t)stat->owner);
	be_store64(tail + 60, (uint64_t)stat->pzxid);
}

void
snapshot_out_node(struct snapshot_out *out, struct jute_slice path,
		  struct jute_slice data, int64_t acl_id,
		  const struct tree_stat *stat)
{
	uint8_t tail[SNAPSHOT_NODE_TAIL_BYTES];

	put_slice(out, path);
	put_slice(out, data);
	snapshot_encode_tail(tail, acl_id, stat);
	put_bytes(out, tail, sizeof(tail));
}

void
snapshot_out_raw(struct snapshot_out *out, const void *data, size_t bytes)
{
	put_bytes(out, data, bytes);
}

int
snapshot_out_error(const struct snapshot_out *out)
{
	return out->sink != NULL ? snap_sink_error(out->sink) : out->pipe_err;
}

const char *
snapshot_out_hidden_path(const struct snapshot_out *out)
{
	return out->hidden_path;
}

void
snapshot_out_abort(struct snapshot_out *out)
{
	if (out->sink != NULL) {
		snap_sink_close(out->sink);
		/* What stays behind is removed at the next start. */
		(void)!disk_unlink(out->disk, out->hidden_path);
	}
	free(out);
}

int
snapshot_out_seal(struct snapshot_out *out, const struct snapshot_info *info)
{
	FAL_ASSERT(out->sink != NULL);
	put_slice(out, jute_slice_of("/", 1));
	put_seal(out);
	if (info->has_digest) {
		put_long(out, info->digest_zxid);
		put_int(out, (uint32_t)info->digest_version);
		put_long(out, info->digest);
		put_seal(out);
	}
	if (info->has_last_zxid) {
		put_long(out, info->last_zxid);
		put_seal(out);
	}
	return snap_sink_finish(out->sink);
}

int
snapshot_out_rename(struct snapshot_out *out)
{
	int err = disk_rename(out->disk, out->hidden_path, out->path);

	if (err != 0 && !out->is_install) {
		snapshot_out_abort(out);
		return err;
	}
	/* Without its hidden file the note of an installation would mean that
	 * it is done; the next start removes both in the right order. */
	snap_sink_close(out->sink);
	if (err == 0)
		err = disk_sync_dir(out->disk, out->dir);
	free(out);
	return err;
}

int
snapshot_out_move(struct snapshot_out *out, uint64_t zxid)
{
	char name[HIDDEN_NAME_BYTES], hidden[FILE_PATH_MAX];
	int err;

	snprintf(name, sizeof(name), SNAPSHOT_INSTALL_PREFIX "snapshot.%llx",
		 (unsigned long long)zxid);
	err = file_path(hidden, out->dir, name);
	if (err == 0)
		err = file_path_snapshot(out->path, out->dir, zxid, FILE_PLAIN);
	if (err == 0 && strcmp(hidden, out->hidden_path) != 0)
		err = disk_rename(out->disk, out->hidden_path, hidden);
	if (err != 0)
		return err;
	memcpy(out->hidden_path, hidden, sizeof(hidden));
	return disk_sync_dir(out->disk, out->dir);
}

static int
finish_pipe(struct snapshot_out *out)
{
	int err;

	put_slice(out, jute_slice_of("/", 1));
	put_slice(out, jute_slice_of(QUORUM_SNAP_SIGNATURE,
				     sizeof(QUORUM_SNAP_SIGNATURE) - 1));
	err = out->pipe_err;
	free(out);
	return err;
}

int
snapshot_out_finish(struct snapshot_out *out, const struct snapshot_info *info)
{
	int err;

	if (out->sink == NULL)
		return finish_pipe(out);
	err = snapshot_out_seal(out, info);
	if (err == 0)
		return snapshot_out_rename(out);
	snapshot_out_abort(out);
	return err;
}
