/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transaction entries.
 *
 *   offset  size
 *   0       8     session id
 *   8       4     cxid
 *   12      8     zxid
 *   20      8     time, ms
 *   28      4     type
 *   32      n     record, by type
 *   32+n    0|12  int version 2, long tree digest
 *
 * No length says where the record ends, so the record's own fields do, and
 * what is left must be nothing or a digest. Two old shapes end early:
 *
 * - A create of before 3.4 (V0) stops behind the ephemeral flag. It is taken
 *   as such only if the entry stops there, too: nobody wrote V0 with digests.
 * - A closeSession may have no body. The body is tried first and believed if
 *   all its paths start with a slash and the rest is nothing or a digest. A
 *   lone digest never passes: 12 bytes would have to hold two paths, of which
 *   at least one would be empty.
 */

#include "wire/txn.h"

#include "base/bytes.h"

/* An error code. */
#define ERROR_BYTES 4

static bool
txn_is_tail_bytes(size_t left)
{
	return left == 0 || left == TXN_DIGEST_BYTES;
}

static int
txn_reader_verdict(const struct jute_reader *reader)
{
	return FAL_LIKELY(jute_reader_ok(reader)) ? FAL_OK : FAL_EPROTO;
}

/* A path is never null: whoever applies transactions relies on it. */
static struct jute_slice
txn_read_path(struct jute_reader *reader)
{
	const struct jute_slice path = jute_get_slice(reader);

	if (path.bytes < 0)
		reader->is_bad = true;
	return path;
}

static void
txn_read_acl(struct jute_reader *reader, struct jute_vector *out)
{
	if (proto_get_acl_vector(reader, out) != FAL_OK)
		reader->is_bad = true;
}

/* create 1, create2 15, createContainer 19, createTTL 21 */
static void
txn_read_create(struct jute_reader *reader, struct txn_record *out)
{
	out->path = txn_read_path(reader);
	out->data = jute_get_slice(reader);
	txn_read_acl(reader, &out->acl);
	if (out->type == OP_CREATE || out->type == OP_CREATE2)
		out->is_ephemeral = jute_get_bool(reader);
	if (out->type == OP_CREATE && jute_reader_ok(reader) &&
	    jute_reader_left(reader) == 0) {
		out->is_v0 = true;
		out->parent_cversion = -1;
		return;
	}
	out->parent_cversion = jute_get_int(reader);
	if (out->type == OP_CREATE_TTL)
		out->ttl = jute_get_long(reader);
}

/* Leaves the reader where it was if there is no body. */
static void
txn_read_close_session(struct jute_reader *reader, struct txn_record *out)
{
	struct jute_reader body = *reader;
	struct jute_reader elements;
	struct jute_vector paths;

	if (proto_get_string_vector(&body, &paths) != FAL_OK ||
	    paths.count < 0 || !txn_is_tail_bytes(jute_reader_left(&body)))
		return;
	elements = jute_reader_of(paths.data, paths.bytes);
	for (int32_t i = 0; i < paths.count; i++) {
		const struct jute_slice path = jute_get_slice(&elements);

		if (path.bytes <= 0 || path.data[0] != '/')
			return;
	}
	out->has_paths = true;
	out->paths = paths;
	*reader = body;
}

static bool
txn_is_multi_op(int32_t type)
{
	switch (type) {
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
	case OP_DELETE:
	case OP_DELETE_CONTAINER:
	case OP_SET_DATA:
	case OP_CHECK:
	case OP_ERROR:
		return true;
	default:
		return false;
	}
}

/* Reads any record but multi; leaves the tail. An unknown type is bad. */
static void
txn_read_record(struct jute_reader *reader, struct txn_record *out)
{
	switch (out->type) {
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
		txn_read_create(reader, out);
		break;
	case OP_DELETE:
	case OP_DELETE_CONTAINER:
		out->path = txn_read_path(reader);
		break;
	case OP_SET_DATA:
	case OP_RECONFIG:
		out->path = txn_read_path(reader);
		out->data = jute_get_slice(reader);
		out->version = jute_get_int(reader);
		break;
	case OP_SET_ACL:
		out->path = txn_read_path(reader);
		txn_read_acl(reader, &out->acl);
		out->version = jute_get_int(reader);
		break;
	case OP_CHECK:
		out->path = txn_read_path(reader);
		out->version = jute_get_int(reader);
		break;
	case OP_CREATE_SESSION:
		out->timeout_ms = jute_get_int(reader);
		break;
	case OP_CLOSE_SESSION:
		txn_read_close_session(reader, out);
		break;
	case OP_ERROR:
		out->err = jute_get_int(reader);
		break;
	default:
		reader->is_bad = true;
	}
}

static void
txn_record_init(struct txn_record *out, int32_t type)
{
	memset(out, 0, sizeof(*out));
	out->type = type;
}

/* Every operation takes 8 bytes at least, so a wild count ends soon. */
static void
txn_read_multi(struct jute_reader *reader, struct txn_record *out)
{
	struct txn_record op;

	out->op_count = jute_get_int(reader);
	if (out->op_count < 0)
		reader->is_bad = true;
	out->ops = reader->at;
	for (int32_t i = 0; i < out->op_count && jute_reader_ok(reader); i++) {
		if (txn_get_multi_op(reader, &op) != FAL_OK)
			reader->is_bad = true;
	}
	out->ops_bytes = (uint32_t)(reader->at - out->ops);
}

static void
txn_read_header(struct jute_reader *reader, struct txn_header *out)
{
	out->session_id = jute_get_long(reader);
	out->cxid = jute_get_int(reader);
	out->zxid = jute_get_long(reader);
	out->time_ms = jute_get_long(reader);
	out->type = jute_get_int(reader);
}

int
txn_get_entry(const void *data, size_t bytes, struct txn_entry *out)
{
	struct jute_reader reader = jute_reader_of(data, bytes);

	memset(out, 0, sizeof(*out));
	txn_read_header(&reader, &out->header);
	txn_record_init(&out->record, out->header.type);
	if (out->header.type == OP_MULTI)
		txn_read_multi(&reader, &out->record);
	else
		txn_read_record(&reader, &out->record);
	if (!jute_reader_ok(&reader) ||
	    !txn_is_tail_bytes(jute_reader_left(&reader)))
		return FAL_EPROTO;
	out->has_digest = jute_reader_left(&reader) > 0;
	if (out->has_digest) {
		out->digest_version = jute_get_int(&reader);
		out->digest = (uint64_t)jute_get_long(&reader);
	}
	return txn_reader_verdict(&reader);
}

int
txn_get_record(struct jute_reader *reader, int32_t type, struct txn_record *out)
{
	txn_record_init(out, type);
	txn_read_record(reader, out);
	return jute_reader_left(reader) > 0 ? FAL_EPROTO
					    : txn_reader_verdict(reader);
}

int
txn_get_multi_op(struct jute_reader *ops, struct txn_record *out)
{
	const int32_t type = jute_get_int(ops);
	const struct jute_slice body = jute_get_slice(ops);
	struct jute_reader reader;

	if (!jute_reader_ok(ops) || body.bytes < 0 || !txn_is_multi_op(type))
		return FAL_EPROTO;
	/* ZooKeeper marks the good operations in front of the one that failed
	 * as errors when it applies the multi, in the object that it then
	 * sends to learners: the record of the operation stays inside. */
	if (type == OP_ERROR && body.bytes > ERROR_BYTES) {
		txn_record_init(out, type);
		return FAL_OK;
	}
	reader = jute_reader_of(body.data, (size_t)body.bytes);
	return txn_get_record(&reader, type, out);
}

void
txn_put_header(struct jute_writer *writer, const struct txn_header *header)
{
	uint8_t *to = jute_claim(writer, TXN_HEADER_BYTES);

	if (to == NULL)
		return;
	be_store64(to, (uint64_t)header->session_id);
	be_store32(to + 8, (uint32_t)header->cxid);
	be_store64(to + 12, (uint64_t)header->zxid);
	be_store64(to + 20, (uint64_t)header->time_ms);
	be_store32(to + 28, (uint32_t)header->type);
}

static void
txn_put_create(struct jute_writer *writer, const struct txn_record *record)
{
	jute_put_slice(writer, record->path);
	jute_put_slice(writer, record->data);
	proto_put_vector(writer, &record->acl);
	if (record->type == OP_CREATE || record->type == OP_CREATE2)
		jute_put_bool(writer, record->is_ephemeral);
	if (record->is_v0)
		return;
	jute_put_int(writer, record->parent_cversion);
	if (record->type == OP_CREATE_TTL)
		jute_put_long(writer, record->ttl);
}

/* Where the next field goes. */
static uint8_t *
store_slice(uint8_t *to, struct jute_slice slice)
{
	be_store32(to, (uint32_t)(slice.bytes < 0 ? -1 : slice.bytes));
	to += sizeof(int32_t);
	if (slice.bytes <= 0)
		return to;
	bytes_copy(to, slice.data, (size_t)slice.bytes);
	return to + slice.bytes;
}

/* Most of all records: room is looked for once. */
void
txn_put_set_data(struct jute_writer *writer, struct jute_slice path,
		 struct jute_slice data, int32_t version)
{
	const size_t bytes = 3 * sizeof(int32_t) +
			     (size_t)(path.bytes > 0 ? path.bytes : 0) +
			     (size_t)(data.bytes > 0 ? data.bytes : 0);
	uint8_t *to = jute_claim(writer, bytes);

	if (to == NULL)
		return;
	to = store_slice(to, path);
	to = store_slice(to, data);
	be_store32(to, (uint32_t)version);
}

void
txn_put_record(struct jute_writer *writer, const struct txn_record *record)
{
	switch (record->type) {
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
		txn_put_create(writer, record);
		break;
	case OP_DELETE:
	case OP_DELETE_CONTAINER:
		jute_put_slice(writer, record->path);
		break;
	case OP_SET_DATA:
	case OP_RECONFIG:
		txn_put_set_data(writer, record->path, record->data,
				 record->version);
		break;
	case OP_SET_ACL:
		jute_put_slice(writer, record->path);
		proto_put_vector(writer, &record->acl);
		jute_put_int(writer, record->version);
		break;
	case OP_CHECK:
		jute_put_slice(writer, record->path);
		jute_put_int(writer, record->version);
		break;
	case OP_CREATE_SESSION:
		jute_put_int(writer, record->timeout_ms);
		break;
	case OP_CLOSE_SESSION:
		if (record->has_paths)
			proto_put_vector(writer, &record->paths);
		break;
	case OP_ERROR:
		jute_put_int(writer, record->err);
		break;
	case OP_MULTI:
		jute_put_int(writer, record->op_count);
		break;
	default:
		fal_panic(__FILE__, __LINE__, "record of unknown type");
	}
}

size_t
txn_put_multi_op_begin(struct jute_writer *writer, int32_t type)
{
	jute_put_int(writer, type);
	jute_put_int(writer, 0); /* the length, filled in at the end */
	return jute_written(writer);
}

void
txn_put_multi_op_end(struct jute_writer *writer, size_t mark)
{
	const size_t bytes = jute_written(writer) - mark;

	/* When the writer is full the mark may be that of a word that never
	 * got in, and what stands before it is not ours. */
	if (writer->is_full)
		return;
	FAL_ASSERT(mark >= sizeof(int32_t));
	be_store32(writer->start + mark - sizeof(int32_t), (uint32_t)bytes);
}

void
txn_put_digest(struct jute_writer *writer, uint64_t tree_digest)
{
	uint8_t *to = jute_claim(writer, TXN_DIGEST_BYTES);

	if (to == NULL)
		return;
	be_store32(to, TXN_DIGEST_VERSION);
	be_store64(to + 4, tree_digest);
}
