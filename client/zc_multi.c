/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zc_multi - several operations in one request.
 *
 * request := { MultiHeader(op, 0, -1) | record }* MultiHeader(-1, 1, -1)
 *
 * Plain creates go out as create, not create2: members of an ensemble before
 * 3.9 lose a multi that holds the latter (quorum-protocol.md section 18).
 */
#include "client/zc_int.h"

#include <string.h>

/* Fixed fields and header of one operation: fewer. */
#define OP_FIXED_BYTES 64u

static int32_t
op_of(const struct zc_op *op)
{
	switch (op->type) {
	case ZC_OP_CREATE:
		return zc_create_op(op->create, OP_CREATE);
	case ZC_OP_DELETE:
		return OP_DELETE;
	case ZC_OP_SET:
		return OP_SET_DATA;
	case ZC_OP_CHECK:
		return OP_CHECK;
	case ZC_OP_GET:
		return OP_GET_DATA;
	default:
		return OP_GET_CHILDREN;
	}
}

static bool
is_read(const struct zc_op *op)
{
	return op->type == ZC_OP_GET || op->type == ZC_OP_CHILDREN;
}

static int
count_bytes(struct zc *zc, const struct zc_op *ops, uint32_t count,
	    bool are_reads, size_t *bytes)
{
	*bytes = PROTO_MULTI_HEADER_BYTES;
	for (uint32_t i = 0; i < count; i++) {
		size_t path_bytes;
		const int err = zc_path_check(ops[i].path, &path_bytes);

		if (err != FAL_OK)
			return err;
		if (is_read(&ops[i]) != are_reads)
			return FAL_EINVAL;
		*bytes += OP_FIXED_BYTES + zc->chroot_bytes + path_bytes;
		*bytes += ops[i].bytes;
		if (ops[i].type == ZC_OP_CREATE)
			*bytes += zc_acl_bytes(ops[i].create);
	}
	return FAL_OK;
}

static void
put_data(struct jute_writer *writer, const struct zc_op *op)
{
	jute_put_int(writer, op->data == NULL ? -1 : (int32_t)op->bytes);
	if (op->data != NULL)
		jute_put_raw(writer, op->data, op->bytes);
}

static void
put_create(struct jute_writer *writer, const struct zc_op *op, int32_t type)
{
	const struct zc_create *create = op->create;

	put_data(writer, op);
	zc_put_acl(writer, create);
	jute_put_int(writer,
		     create == NULL ? ZC_PERSISTENT : (int32_t)create->mode);
	if (type == OP_CREATE_TTL)
		jute_put_long(writer, create->ttl_ms);
}

static void
put_op(struct zc *zc, struct jute_writer *writer, const struct zc_op *op)
{
	const int32_t type = op_of(op);

	proto_put_multi_header(
		writer, &(struct proto_multi_header){.type = type, .err = -1});
	zc_put_path(zc, writer, op->path);
	switch (op->type) {
	case ZC_OP_CREATE:
		put_create(writer, op, type);
		break;
	case ZC_OP_SET:
		put_data(writer, op);
		jute_put_int(writer, op->version);
		break;
	case ZC_OP_DELETE:
	case ZC_OP_CHECK:
		jute_put_int(writer, op->version);
		break;
	default:
		jute_put_bool(writer, false); /* no watch */
	}
}

static int
send_multi(struct zc *zc, int32_t op, const struct zc_op *ops, uint32_t count,
	   zc_done_fn done, void *arg)
{
	struct zc_frame frame;
	size_t bytes = 0;
	int err = count_bytes(zc, ops, count, op == OP_MULTI_READ, &bytes);

	if (err == FAL_OK)
		err = zc_frame_begin(zc, op, bytes, &frame);
	if (err != FAL_OK)
		return err;
	for (uint32_t i = 0; i < count; i++)
		put_op(zc, &frame.writer, &ops[i]);
	proto_put_multi_header(&frame.writer,
			       &(struct proto_multi_header){
				       .type = -1, .is_done = true, .err = -1});
	zc_frame_end(zc, &frame, op, done, arg, NULL);
	return FAL_OK;
}

int
zc_multi(struct zc *zc, const struct zc_op *ops, uint32_t count,
	 zc_done_fn done, void *arg)
{
	return send_multi(zc, OP_MULTI, ops, count, done, arg);
}

int
zc_multi_read(struct zc *zc, const struct zc_op *ops, uint32_t count,
	      zc_done_fn done, void *arg)
{
	return send_multi(zc, OP_MULTI_READ, ops, count, done, arg);
}
