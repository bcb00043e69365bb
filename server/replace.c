/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replace - the steps of a restore that are no HTTP. The upload's name begins
 * like that of every unfinished snapshot, so a start after a crash removes it.
 */
#include "server/replace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/snap_replace.h"

#define UPLOAD_NAME SNAPSHOT_HIDDEN_PREFIX "restore"
#define WHY_BYTES   (FILE_PATH_MAX + 256u)

struct replace {
	struct server *server;
	char path[FILE_PATH_MAX];
	struct disk_file *file;
	uint64_t bytes;
	int upload_err; /* the first */

	struct lcore lcore; /* of the check */
	_Atomic int state;  /* enum replace_state */
	char why[WHY_BYTES];
	struct snap_replace *copy;
};

static void
set_state(struct replace *replace, enum replace_state state)
{
	/* release: what the state promises; pairs with replace_state() */
	atomic_store_explicit(&replace->state, (int)state,
			      memory_order_release);
}

enum replace_state
replace_state(const struct replace *replace)
{
	return (enum replace_state)atomic_load_explicit(&replace->state,
							memory_order_acquire);
}

const char *
replace_why(const struct replace *replace)
{
	return replace->why;
}

uint64_t
replace_bytes(const struct replace *replace)
{
	return replace->bytes;
}

uint64_t
replace_zxid(const struct replace *replace)
{
	return snap_replace_zxid(replace->copy);
}

/* ---- the upload ------------------------------------------------------------
 */

int
replace_begin(struct server *server, struct replace **out)
{
	struct replace *replace;
	int err;

	replace_tidy(server);
	if (server->replace != NULL)
		return FAL_EBUSY;
	replace = calloc(1, sizeof(*replace));
	if (replace == NULL)
		return FAL_ENOMEM;
	replace->server = server;
	err = file_path(replace->path, server->data_dir.snap_dir, UPLOAD_NAME);
	if (err == FAL_OK)
		err = disk_open(server->disk, replace->path,
				DISK_WRITE | DISK_CREATE | DISK_TRUNC,
				&replace->file);
	if (err == FAL_OK)
		err = lcore_init(&replace->lcore);
	if (err != FAL_OK) {
		if (replace->file != NULL)
			disk_close(replace->file);
		free(replace);
		return err;
	}
	set_state(replace, REPLACE_UPLOADING);
	server->replace = replace;
	*out = replace;
	return FAL_OK;
}

void
replace_put(struct replace *replace, const void *data, size_t bytes)
{
	if (replace->upload_err == FAL_OK)
		replace->upload_err =
			disk_write(replace->file, data, bytes, replace->bytes);
	replace->bytes += bytes;
}

void
replace_abandon(struct replace *replace)
{
	set_state(replace, REPLACE_ABANDONED);
}

/* ---- the check -------------------------------------------------------------
 */

static void
refuse(struct replace *replace, int err, const struct snapshot_fault *fault)
{
	if (err == FAL_ECORRUPT)
		snprintf(replace->why, sizeof(replace->why),
			 "the snapshot cannot be loaded: %s, at byte %" PRIu64,
			 fault->what, fault->offset);
	else if (err == FAL_ENOMEM)
		snprintf(replace->why, sizeof(replace->why),
			 "the snapshot needs more memory than there is beside "
			 "the data it replaces, or than "
			 "falconer.tree.maxBytes");
	else
		snprintf(replace->why, sizeof(replace->why),
			 "the snapshot cannot be kept in %s: %s; make room or "
			 "mend the disk",
			 replace->server->data_dir.snap_dir, fal_err_str(err));
	set_state(replace, REPLACE_REFUSED);
}

static void *
check_main(void *arg)
{
	struct replace *replace = arg;
	struct server *server = replace->server;
	const struct tree_options tree = {
		.bytes_max = server->config->tree_bytes_max,
		.has_extended_types = server->config->extended_types_enabled,
	};
	struct snap_replace_options options = {
		.disk = server->disk,
		.snap_dir = server->data_dir.snap_dir,
		.path = replace->path,
	};
	struct snapshot_fault fault = {.what = "none"};
	int err = tree_create(&tree, &options.scratch);

	if (err == FAL_OK) {
		err = snap_replace_prepare(&options, &replace->copy, &fault);
		tree_destroy(options.scratch);
	}
	/* Room for what comes. */
	if (disk_unlink(server->disk, replace->path) != FAL_OK)
		LOG_WARN("%s cannot be removed; the next start tries again",
			 replace->path);
	if (err != FAL_OK)
		refuse(replace, err, &fault);
	else
		set_state(replace, REPLACE_READY);
	lcore_doorbell(&server->ctl_lcore);
	return NULL;
}

int
replace_check(struct replace *replace)
{
	disk_close(replace->file);
	replace->file = NULL;
	if (replace->upload_err != FAL_OK)
		return replace->upload_err;
	set_state(replace, REPLACE_CHECKING);
	return lcore_start(&replace->lcore, LCORE_ANY_CPU, "restore",
			   check_main, replace);
}

/* ---- the end ---------------------------------------------------------------
 */

static uint64_t
zxid_of(const struct server *server)
{
	const uint64_t own = (uint64_t)zab_last_zxid(server->zab);
	const uint64_t theirs = replace_zxid(server->replace);

	return server->config->is_standalone && theirs > own ? theirs : own;
}

int
replace_commit(struct server *server)
{
	struct replace *replace = server->replace;
	const uint64_t zxid = zxid_of(server);
	int err;

	FAL_ASSERT(replace_state(replace) == REPLACE_READY);
	err = snap_replace_commit(replace->copy, server->data_dir.log_dir,
				  zxid);
	replace->copy = NULL;
	if (err == FAL_OK)
		LOG_INFO("the data in %s were replaced; they are those of zxid "
			 "0x%" PRIx64 " now",
			 server->data_dir.snap_dir, zxid);
	else
		LOG_ERROR("the data in %s could not be replaced: %s; mend the "
			  "disk, the next start finds the old data or the new",
			  server->data_dir.snap_dir, fal_err_str(err));
	return err;
}

void
replace_tidy(struct server *server)
{
	if (server->replace != NULL &&
	    replace_state(server->replace) == REPLACE_ABANDONED)
		replace_drop(server);
}

void
replace_drop(struct server *server)
{
	struct replace *replace = server->replace;

	if (replace == NULL)
		return;
	server->replace = NULL;
	if (replace->lcore.is_started)
		lcore_join(&replace->lcore);
	else
		(void)!disk_unlink(server->disk, replace->path);
	if (replace->file != NULL)
		disk_close(replace->file);
	snap_replace_abort(replace->copy);
	lcore_free(&replace->lcore);
	free(replace);
}
