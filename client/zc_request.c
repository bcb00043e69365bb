/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zc_request - one function for each operation: count the bytes, begin a
 * frame, encode the record, end it.
 */
#include "client/zc_int.h"

#include <stdlib.h>
#include <string.h>

#define PATH_BYTES_MAX (1u << 20)
/* Record fields of fixed size: every operation has fewer. */
#define FIXED_BYTES 64u

static const struct zc_acl open_acl = {
	.perms = ZC_ALL, .scheme = "world", .id = "anyone"};

/* ---- paths and lists ------------------------------------------------------
 */

/* The server checks the rest: dots, empty parts, control characters. */
int
zc_path_check(const char *path, size_t *bytes)
{
	if (path == NULL || path[0] != '/')
		return FAL_EINVAL;
	*bytes = strlen(path);
	if (*bytes > PATH_BYTES_MAX || (*bytes > 1 && path[*bytes - 1] == '/'))
		return FAL_EINVAL;
	return FAL_OK;
}

void
zc_put_path(struct zc *zc, struct jute_writer *writer, const char *path)
{
	size_t bytes = strlen(path);

	/* The root of a chroot is the chroot itself. */
	if (bytes == 1 && zc->chroot_bytes > 0)
		bytes = 0;
	jute_put_int(writer, (int32_t)(zc->chroot_bytes + bytes));
	jute_put_raw(writer, zc->chroot, zc->chroot_bytes);
	jute_put_raw(writer, path, bytes);
}

static void
get_acl(const struct zc_create *options, const struct zc_acl **acl,
	uint32_t *count)
{
	const bool is_open = options == NULL || options->acl == NULL;

	*acl = is_open ? &open_acl : options->acl;
	*count = is_open ? 1 : options->acl_count;
}

size_t
zc_acl_bytes(const struct zc_create *options)
{
	const struct zc_acl *acl;
	uint32_t count;
	size_t bytes = 4;

	get_acl(options, &acl, &count);
	for (uint32_t i = 0; i < count; i++)
		bytes += 12 + strlen(acl[i].scheme) + strlen(acl[i].id);
	return bytes;
}

void
zc_put_acl(struct jute_writer *writer, const struct zc_create *options)
{
	const struct zc_acl *acl;
	uint32_t count;

	get_acl(options, &acl, &count);
	jute_put_int(writer, (int32_t)count);
	for (uint32_t i = 0; i < count; i++) {
		jute_put_int(writer, acl[i].perms);
		jute_put_cstr(writer, acl[i].scheme);
		jute_put_cstr(writer, acl[i].id);
	}
}

static void
put_data(struct jute_writer *writer, const void *data, uint32_t bytes)
{
	jute_put_int(writer, data == NULL ? -1 : (int32_t)bytes);
	if (data != NULL)
		jute_put_raw(writer, data, bytes);
}

/* ---- frames of common shapes ----------------------------------------------
 */

static int
begin(struct zc *zc, int32_t op, const char *path, size_t more_bytes,
      struct zc_frame *frame)
{
	size_t bytes;
	int err = zc_path_check(path, &bytes);

	if (err == FAL_OK)
		err = zc_frame_begin(zc, op,
				     zc->chroot_bytes + bytes + more_bytes +
					     FIXED_BYTES,
				     frame);
	if (err == FAL_OK)
		zc_put_path(zc, &frame->writer, path);
	return err;
}

static int
send_path(struct zc *zc, int32_t op, const char *path, zc_done_fn done,
	  void *arg)
{
	struct zc_frame frame;
	const int err = begin(zc, op, path, 0, &frame);

	if (err == FAL_OK)
		zc_frame_end(zc, &frame, op, done, arg, NULL);
	return err;
}

static int
send_path_int(struct zc *zc, int32_t op, const char *path, int32_t value,
	      struct zc_watcher *watcher, zc_done_fn done, void *arg)
{
	struct zc_frame frame;
	const int err = begin(zc, op, path, 0, &frame);

	if (err != FAL_OK) {
		free(watcher);
		return err;
	}
	jute_put_int(&frame.writer, value);
	zc_frame_end(zc, &frame, op, done, arg, watcher);
	return FAL_OK;
}

/* A read that may set a watch. */
static int
send_read(struct zc *zc, int32_t op, enum zc_watch_kind kind, const char *path,
	  const struct zc_watch *watch, zc_done_fn done, void *arg)
{
	struct zc_watcher *watcher = NULL;
	struct zc_frame frame;
	int err = FAL_OK;

	if (watch != NULL) {
		size_t bytes;

		err = zc_path_check(path, &bytes);
		if (err != FAL_OK)
			return err;
		watcher = zc_watcher_new(zc, path, kind, watch);
		if (watcher == NULL)
			return FAL_ENOMEM;
	}
	err = begin(zc, op, path, 0, &frame);
	if (err != FAL_OK) {
		free(watcher);
		return err;
	}
	jute_put_bool(&frame.writer, watch != NULL);
	zc_frame_end(zc, &frame, op, done, arg, watcher);
	return FAL_OK;
}

/* ---- operations ------------------------------------------------------------
 */

int32_t
zc_create_op(const struct zc_create *options, int32_t op_plain)
{
	switch (options == NULL ? ZC_PERSISTENT : options->mode) {
	case ZC_CONTAINER:
		return OP_CREATE_CONTAINER;
	case ZC_PERSISTENT_TTL:
	case ZC_PERSISTENT_SEQUENTIAL_TTL:
		return OP_CREATE_TTL;
	default:
		return op_plain;
	}
}

int
zc_create(struct zc *zc, const char *path, const void *data, uint32_t bytes,
	  const struct zc_create *options, zc_done_fn done, void *arg)
{
	const int32_t op = zc_create_op(options, OP_CREATE2);
	struct zc_frame frame;
	const int err =
		begin(zc, op, path, bytes + zc_acl_bytes(options), &frame);

	if (err != FAL_OK)
		return err;
	put_data(&frame.writer, data, bytes);
	zc_put_acl(&frame.writer, options);
	jute_put_int(&frame.writer,
		     options == NULL ? ZC_PERSISTENT : (int32_t)options->mode);
	if (op == OP_CREATE_TTL)
		jute_put_long(&frame.writer, options->ttl_ms);
	zc_frame_end(zc, &frame, op, done, arg, NULL);
	return FAL_OK;
}

int
zc_delete(struct zc *zc, const char *path, int32_t version, zc_done_fn done,
	  void *arg)
{
	return send_path_int(zc, OP_DELETE, path, version, NULL, done, arg);
}

int
zc_exists(struct zc *zc, const char *path, const struct zc_watch *watch,
	  zc_done_fn done, void *arg)
{
	return send_read(zc, OP_EXISTS, ZC_KIND_DATA, path, watch, done, arg);
}

int
zc_get(struct zc *zc, const char *path, const struct zc_watch *watch,
       zc_done_fn done, void *arg)
{
	return send_read(zc, OP_GET_DATA, ZC_KIND_DATA, path, watch, done, arg);
}

int
zc_children(struct zc *zc, const char *path, const struct zc_watch *watch,
	    zc_done_fn done, void *arg)
{
	return send_read(zc, OP_GET_CHILDREN2, ZC_KIND_CHILD, path, watch, done,
			 arg);
}

int
zc_set(struct zc *zc, const char *path, const void *data, uint32_t bytes,
       int32_t version, zc_done_fn done, void *arg)
{
	struct zc_frame frame;
	const int err = begin(zc, OP_SET_DATA, path, bytes, &frame);

	if (err != FAL_OK)
		return err;
	put_data(&frame.writer, data, bytes);
	jute_put_int(&frame.writer, version);
	zc_frame_end(zc, &frame, OP_SET_DATA, done, arg, NULL);
	return FAL_OK;
}

int
zc_all_children_number(struct zc *zc, const char *path, zc_done_fn done,
		       void *arg)
{
	return send_path(zc, OP_GET_ALL_CHILDREN_NUMBER, path, done, arg);
}

int
zc_ephemerals(struct zc *zc, const char *path, zc_done_fn done, void *arg)
{
	return send_path(zc, OP_GET_EPHEMERALS, path, done, arg);
}

int
zc_get_acl(struct zc *zc, const char *path, zc_done_fn done, void *arg)
{
	return send_path(zc, OP_GET_ACL, path, done, arg);
}

int
zc_set_acl(struct zc *zc, const char *path, const struct zc_acl *acl,
	   uint32_t acl_count, int32_t aversion, zc_done_fn done, void *arg)
{
	const struct zc_create list = {.acl = acl, .acl_count = acl_count};
	struct zc_frame frame;
	const int err = acl == NULL ? FAL_EINVAL
				    : begin(zc, OP_SET_ACL, path,
					    zc_acl_bytes(&list), &frame);

	if (err != FAL_OK)
		return err;
	zc_put_acl(&frame.writer, &list);
	jute_put_int(&frame.writer, aversion);
	zc_frame_end(zc, &frame, OP_SET_ACL, done, arg, NULL);
	return FAL_OK;
}

int
zc_sync(struct zc *zc, const char *path, zc_done_fn done, void *arg)
{
	return send_path(zc, OP_SYNC, path, done, arg);
}

int
zc_who_am_i(struct zc *zc, zc_done_fn done, void *arg)
{
	struct zc_frame frame;
	const int err = zc_frame_begin(zc, OP_WHO_AM_I, 0, &frame);

	if (err == FAL_OK)
		zc_frame_end(zc, &frame, OP_WHO_AM_I, done, arg, NULL);
	return err;
}

/* ---- identities ------------------------------------------------------------
 */

static struct zc_auth *
new_auth(const char *scheme, const void *data, uint32_t bytes)
{
	struct zc_auth *auth = malloc(sizeof(*auth) + bytes);

	if (auth == NULL)
		return NULL;
	*auth = (struct zc_auth){.scheme = strdup(scheme), .bytes = bytes};
	if (auth->scheme == NULL) {
		free(auth);
		return NULL;
	}
	if (bytes > 0)
		memcpy(auth->data, data, bytes);
	return auth;
}

static size_t
auth_bytes(const struct zc_auth *auth)
{
	return 12 + strlen(auth->scheme) + auth->bytes;
}

static void
put_auth(struct jute_writer *writer, const struct zc_auth *auth)
{
	proto_put_auth(writer,
		       &(struct proto_auth_request){
			       .scheme = jute_slice_of(auth->scheme,
						       strlen(auth->scheme)),
			       .auth = jute_slice_of(auth->data, auth->bytes),
		       });
}

bool
zc_send_auth(struct zc *zc, const struct zc_auth *auth)
{
	struct zc_frame frame;

	if (!zc_frame_begin_own(zc, XID_AUTH, OP_AUTH, auth_bytes(auth),
				&frame))
		return false;
	put_auth(&frame.writer, auth);
	zc_frame_end_own(zc, &frame);
	return true;
}

int
zc_add_auth(struct zc *zc, const char *scheme, const void *data, uint32_t bytes,
	    zc_done_fn done, void *arg)
{
	struct zc_auth *auth = new_auth(scheme, data, bytes);
	struct zc_auth **end = &zc->auths;
	struct zc_frame frame;
	int err = FAL_ENOMEM;

	if (auth != NULL)
		err = zc_frame_begin(zc, OP_AUTH, auth_bytes(auth), &frame);
	if (err != FAL_OK) {
		if (auth != NULL)
			free(auth->scheme);
		free(auth);
		return err;
	}
	while (*end != NULL)
		end = &(*end)->next;
	*end = auth;
	put_auth(&frame.writer, auth);
	zc_frame_end(zc, &frame, OP_AUTH, done, arg, NULL);
	return FAL_OK;
}

/* ---- watches ----------------------------------------------------------------
 */

int
zc_add_watch(struct zc *zc, const char *path, enum zc_watch_mode mode,
	     const struct zc_watch *watch, zc_done_fn done, void *arg)
{
	const enum zc_watch_kind kind = mode == ZC_WATCH_RECURSIVE
						? ZC_KIND_RECURSIVE
						: ZC_KIND_PERSISTENT;
	struct zc_watcher *watcher;
	size_t bytes;
	const int err =
		watch == NULL ? FAL_EINVAL : zc_path_check(path, &bytes);

	if (err != FAL_OK)
		return err;
	watcher = zc_watcher_new(zc, path, kind, watch);
	if (watcher == NULL)
		return FAL_ENOMEM;
	return send_path_int(zc, OP_ADD_WATCH, path, (int32_t)mode, watcher,
			     done, arg);
}

int
zc_remove_watches(struct zc *zc, const char *path, enum zc_watch_type type,
		  zc_done_fn done, void *arg)
{
	/* Remembers the path; what is removed is decided by the type. */
	const struct zc_watch nobody = {0};
	struct zc_watcher *what;
	size_t bytes;
	const int err = zc_path_check(path, &bytes);

	if (err != FAL_OK)
		return err;
	what = zc_watcher_new(zc, path, ZC_KIND_DATA, &nobody);
	if (what == NULL)
		return FAL_ENOMEM;
	what->type = (uint8_t)type;
	return send_path_int(zc, OP_REMOVE_WATCHES, path, (int32_t)type, what,
			     done, arg);
}

/* ---- membership
 * -------------------------------------------------------------- */

static void
put_text(struct jute_writer *writer, const char *text)
{
	if (text == NULL)
		jute_put_int(writer, -1);
	else
		jute_put_cstr(writer, text);
}

int
zc_reconfig(struct zc *zc, const char *joining, const char *leaving,
	    const char *members, int64_t version, zc_done_fn done, void *arg)
{
	const char *const text[] = {joining, leaving, members};
	struct zc_frame frame;
	size_t bytes = FIXED_BYTES;
	int err;

	for (uint32_t i = 0; i < 3; i++)
		bytes += text[i] == NULL ? 0 : strlen(text[i]);
	err = zc_frame_begin(zc, OP_RECONFIG, bytes, &frame);
	if (err != FAL_OK)
		return err;
	for (uint32_t i = 0; i < 3; i++)
		put_text(&frame.writer, text[i]);
	jute_put_long(&frame.writer, version);
	zc_frame_end(zc, &frame, OP_RECONFIG, done, arg, NULL);
	return FAL_OK;
}
