/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: transaction entries are written as ZooKeeper would, and what no server
 * may write is refused.
 * Method: random records of all types go out and come back; ambiguities one by
 * one.
 */
#include "txn_rig.h"

/* ---- random records ---- */

struct scratch {
	uint8_t data[ENTRY_BYTES_MAX];
	size_t used;
};

static struct jute_slice
random_slice(struct random *random, struct scratch *scratch, bool may_be_null)
{
	const uint32_t n = random_below(random, 20);
	uint8_t *at = scratch->data + scratch->used;

	if (may_be_null && n == 0)
		return (struct jute_slice){.bytes = -1};
	for (uint32_t i = 0; i < n; i++)
		at[i] = (uint8_t)random_next(random);
	if (!may_be_null)
		at[0] = '/';
	scratch->used += n == 0 ? 1 : n;
	return jute_slice_of(at, may_be_null ? n - 1 : (n == 0 ? 1 : n));
}

static struct jute_vector
random_vector(struct random *random, struct scratch *scratch, bool of_acl)
{
	uint8_t encoded[1024];
	struct jute_writer writer = jute_writer_of(encoded, sizeof(encoded));
	struct jute_vector vector;

	vector.count = (int32_t)random_below(random, 6) - (of_acl ? 1 : 0);
	for (int32_t i = 0; i < vector.count; i++) {
		if (of_acl) {
			jute_put_int(&writer, (int32_t)random_next(random));
			jute_put_slice(&writer,
				       random_slice(random, scratch, true));
			jute_put_slice(&writer,
				       random_slice(random, scratch, true));
		} else {
			jute_put_slice(&writer,
				       random_slice(random, scratch, false));
		}
	}
	vector.data = scratch->data + scratch->used;
	vector.bytes = (uint32_t)jute_written(&writer);
	memcpy(scratch->data + scratch->used, encoded, vector.bytes);
	scratch->used += vector.bytes;
	assert_true(scratch->used < sizeof(scratch->data) - 1024);
	return vector;
}

/* Fills only the fields that the type has. */
static struct txn_record
random_record(struct random *random, struct scratch *scratch, int32_t type)
{
	struct txn_record record = {.type = type};
	const char *shape = txn_model_shape(type);
	const int32_t number = (int32_t)random_next(random);

	if (strchr(shape, 'p') != NULL)
		record.path = random_slice(random, scratch, false);
	if (strchr(shape, 'd') != NULL)
		record.data = random_slice(random, scratch, true);
	if (strchr(shape, 'A') != NULL)
		record.acl = random_vector(random, scratch, true);
	if (strchr(shape, 'b') != NULL)
		record.is_ephemeral = random_below(random, 2) == 1;
	switch (type) {
	case OP_CREATE_SESSION:
		record.timeout_ms = number;
		break;
	case OP_CLOSE_SESSION:
		record.paths = random_vector(random, scratch, false);
		record.has_paths = true;
		break;
	case OP_ERROR:
		record.err = number;
		break;
	case OP_CREATE_TTL:
		record.ttl = (int64_t)random_next(random);
		record.parent_cversion = number;
		break;
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
		/* -1 must not be taken for a V0 record */
		record.parent_cversion =
			random_below(random, 4) == 0 ? -1 : number;
		break;
	case OP_DELETE:
	case OP_DELETE_CONTAINER:
		break;
	default:
		record.version = number;
	}
	return record;
}

static void
assert_vector_equal(const struct jute_vector *a, const struct jute_vector *b)
{
	assert_int_equal(a->count, b->count);
	assert_int_equal(a->bytes, b->bytes);
	if (a->bytes > 0)
		assert_memory_equal(a->data, b->data, a->bytes);
}

static void
assert_record_equal(const struct txn_record *a, const struct txn_record *b)
{
	assert_int_equal(a->type, b->type);
	assert_true(jute_slice_equal(a->path, b->path));
	assert_true(jute_slice_equal(a->data, b->data));
	assert_vector_equal(&a->acl, &b->acl);
	assert_int_equal(a->is_ephemeral, b->is_ephemeral);
	assert_int_equal(a->is_v0, b->is_v0);
	assert_int_equal(a->parent_cversion, b->parent_cversion);
	assert_int_equal(a->ttl, b->ttl);
	assert_int_equal(a->version, b->version);
	assert_int_equal(a->err, b->err);
	assert_int_equal(a->timeout_ms, b->timeout_ms);
	assert_int_equal(a->has_paths, b->has_paths);
	assert_vector_equal(&a->paths, &b->paths);
}

static void
random_records_come_back_as_they_were(void **state)
{
	static const int32_t types[] = {
		OP_CREATE_SESSION, OP_CLOSE_SESSION,    OP_ERROR,
		OP_CREATE,         OP_CREATE2,          OP_CREATE_TTL,
		OP_DELETE,         OP_CREATE_CONTAINER, OP_DELETE_CONTAINER,
		OP_SET_DATA,       OP_RECONFIG,         OP_SET_ACL,
		OP_CHECK};
	struct random random = random_start(4);

	(void)state;
	for (int round = 0; round < 5000; round++) {
		const int32_t type = types[random_below(&random, 13)];
		struct scratch scratch = {.used = 0};
		struct txn_record record =
			random_record(&random, &scratch, type);
		const struct txn_header header = {
			.session_id = (int64_t)random_next(&random),
			.cxid = (int32_t)random_next(&random),
			.zxid = (int64_t)random_next(&random),
			.time_ms = (int64_t)random_next(&random),
			.type = type,
		};
		const uint64_t digest = random_next(&random);
		const bool has_digest = random_below(&random, 2) == 1;
		uint8_t bytes[ENTRY_BYTES_MAX];
		struct jute_writer writer =
			jute_writer_of(bytes, sizeof(bytes));
		struct txn_entry entry;

		txn_put_header(&writer, &header);
		txn_put_record(&writer, &record);
		if (has_digest)
			txn_put_digest(&writer, digest);
		assert_false(writer.is_full);
		assert_true(txn_model_accepts(bytes, jute_written(&writer)));
		assert_int_equal(
			txn_get_entry(bytes, jute_written(&writer), &entry),
			FAL_OK);
		assert_int_equal(entry.header.session_id, header.session_id);
		assert_int_equal(entry.header.cxid, header.cxid);
		assert_int_equal(entry.header.zxid, header.zxid);
		assert_int_equal(entry.header.time_ms, header.time_ms);
		assert_int_equal(entry.header.type, header.type);
		assert_record_equal(&entry.record, &record);
		assert_int_equal(entry.has_digest, has_digest);
		assert_true(!has_digest || entry.digest == digest);
	}
}

static void
random_multis_come_back_operation_by_operation(void **state)
{
	static const int32_t types[] = {OP_CREATE,
					OP_CREATE2,
					OP_CREATE_TTL,
					OP_DELETE,
					OP_CREATE_CONTAINER,
					OP_DELETE_CONTAINER,
					OP_SET_DATA,
					OP_CHECK,
					OP_ERROR};
	struct random random = random_start(5);

	(void)state;
	for (int round = 0; round < 1000; round++) {
		struct scratch scratch = {.used = 0};
		struct txn_record ops[6];
		const int32_t count = (int32_t)random_below(&random, 7);
		const struct txn_header header = {.type = OP_MULTI};
		uint8_t bytes[ENTRY_BYTES_MAX];
		struct jute_writer writer =
			jute_writer_of(bytes, sizeof(bytes));
		struct txn_entry entry;
		struct jute_reader reader;

		txn_put_header(&writer, &header);
		txn_put_record(&writer,
			       &(struct txn_record){.type = OP_MULTI,
						    .op_count = count});
		for (int32_t i = 0; i < count; i++) {
			size_t mark;

			ops[i] = random_record(&random, &scratch,
					       types[random_below(&random, 9)]);
			mark = txn_put_multi_op_begin(&writer, ops[i].type);
			txn_put_record(&writer, &ops[i]);
			txn_put_multi_op_end(&writer, mark);
		}
		assert_false(writer.is_full);
		assert_int_equal(
			txn_get_entry(bytes, jute_written(&writer), &entry),
			FAL_OK);
		assert_int_equal(entry.record.op_count, count);
		reader = jute_reader_of(entry.record.ops,
					entry.record.ops_bytes);
		for (int32_t i = 0; i < count; i++) {
			struct txn_record op;

			assert_int_equal(txn_get_multi_op(&reader, &op),
					 FAL_OK);
			assert_record_equal(&op, &ops[i]);
		}
		assert_int_equal(jute_reader_left(&reader), 0);
	}
}

/* ---- ambiguities and refusals ---- */

/* An entry with that type and these bytes behind the header. */
static int
decode_with_body(int32_t type, const void *body, size_t bytes,
		 struct txn_entry *entry)
{
	static uint8_t data[256];
	struct jute_writer writer = jute_writer_of(data, sizeof(data));

	txn_put_header(&writer, &(struct txn_header){.type = type});
	jute_put_raw(&writer, body, bytes);
	assert_false(writer.is_full);
	return txn_get_entry(data, jute_written(&writer), entry);
}

static void
a_lone_digest_behind_close_session_is_never_a_body(void **state)
{
	static const uint64_t digests[] = {0,
					   1,
					   4,
					   0x2f,
					   0x100000000,
					   0x0000000100002f61,
					   0x200000000,
					   0x300000000,
					   0x400000000,
					   0x000000042f2f2f2f,
					   UINT64_MAX,
					   0xffffffff00000000,
					   0xdb9b5a8012345678,
					   0x7fffffffffffffff};

	(void)state;
	for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
		uint8_t body[TXN_DIGEST_BYTES];
		struct jute_writer writer = jute_writer_of(body, sizeof(body));
		struct txn_entry entry;

		txn_put_digest(&writer, digests[i]);
		assert_int_equal(decode_with_body(OP_CLOSE_SESSION, body,
						  sizeof(body), &entry),
				 FAL_OK);
		assert_false(entry.record.has_paths);
		assert_true(entry.has_digest);
		assert_int_equal(entry.digest, digests[i]);
	}
}

static void
an_empty_close_session_body_differs_from_none(void **state)
{
	static const uint8_t body[4 + TXN_DIGEST_BYTES] = {[7] = 2, [15] = 9};
	struct txn_entry entry;

	(void)state;
	assert_int_equal(decode_with_body(OP_CLOSE_SESSION, "", 0, &entry),
			 FAL_OK);
	assert_false(entry.record.has_paths);
	assert_int_equal(decode_with_body(OP_CLOSE_SESSION, body, 4, &entry),
			 FAL_OK);
	assert_true(entry.record.has_paths);
	assert_int_equal(entry.record.paths.count, 0);
	assert_int_equal(
		decode_with_body(OP_CLOSE_SESSION, body, sizeof(body), &entry),
		FAL_OK);
	assert_true(entry.record.has_paths);
	assert_int_equal(entry.digest, 9);
}

static void
null_paths_and_unknown_types_are_refused(void **state)
{
	static const uint8_t null_path[32] = {0xff, 0xff, 0xff, 0xff};
	static const int32_t types[] = {
		0,  3,  4,  6,  8,  9,  10,  11,        12,       17,
		18, 22, 23, 99, -2, -9, -12, INT32_MIN, INT32_MAX};
	static const struct {
		int32_t type;
		size_t bytes;
	} nulls[] = {{OP_DELETE, 4},   {OP_DELETE_CONTAINER, 4},
		     {OP_CHECK, 8},    {OP_SET_DATA, 12},
		     {OP_SET_ACL, 12}, {OP_CREATE_CONTAINER, 16}};
	struct txn_entry entry;

	(void)state;
	for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++) {
		const uint8_t empty_path[32] = {0};

		assert_int_equal(decode_with_body(nulls[i].type, null_path,
						  nulls[i].bytes, &entry),
				 FAL_EPROTO);
		assert_int_equal(decode_with_body(nulls[i].type, empty_path,
						  nulls[i].bytes, &entry),
				 FAL_OK);
	}
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (size_t n = 0; n <= sizeof(null_path); n++)
			assert_int_equal(decode_with_body(types[i], null_path,
							  n, &entry),
					 FAL_EPROTO);
	}
}

static int
decode_multi_of_one(int32_t count, int32_t type, const void *body,
		    int32_t bytes)
{
	uint8_t data[128];
	struct jute_writer writer = jute_writer_of(data, sizeof(data));
	struct txn_entry entry;

	jute_put_int(&writer, count);
	jute_put_int(&writer, type);
	jute_put_slice(&writer, (struct jute_slice){body, bytes});
	return decode_with_body(OP_MULTI, data, jute_written(&writer), &entry);
}

/* As a ZooKeeper 3.8.0 leader sent it in a DIFF: a failed multi whose first
 * operation, a good create, was marked as an error in its memory. */
static void
an_error_of_a_multi_may_hold_the_operation(void **state)
{
	static const char create[] = "\0\0\0\x11/multi/multi0.16\0\0\0\x9"
				     "multi0.16\0\0\0\1\0\0\0\x1f\0\0\0\5"
				     "world\0\0\0\6anyone\0\x1f\xff\xff\xff";
	uint8_t data[256];
	struct jute_writer writer = jute_writer_of(data, sizeof(data));
	struct jute_reader ops;
	struct txn_entry entry;
	struct txn_record op;

	(void)state;
	jute_put_int(&writer, 2);
	jute_put_int(&writer, OP_ERROR);
	jute_put_slice(&writer, jute_slice_of(create, sizeof(create) - 1));
	jute_put_int(&writer, OP_ERROR);
	jute_put_int(&writer, 4);
	jute_put_int(&writer, ZK_NODEEXISTS);
	assert_int_equal(
		decode_with_body(OP_MULTI, data, jute_written(&writer), &entry),
		FAL_OK);
	ops = jute_reader_of(entry.record.ops, entry.record.ops_bytes);
	assert_int_equal(txn_get_multi_op(&ops, &op), FAL_OK);
	assert_int_equal(op.type, OP_ERROR);
	assert_int_equal(op.err, ZK_OK);
	assert_int_equal(txn_get_multi_op(&ops, &op), FAL_OK);
	assert_int_equal(op.err, ZK_NODEEXISTS);
}

static void
a_multi_refuses_what_no_multi_may_hold(void **state)
{
	static const uint8_t zeros[32] = {0};
	static const uint8_t ones[4] = {0xff, 0xff, 0xff, 0xff};
	static const int32_t types[] = {OP_MULTI,         OP_SET_ACL,
					OP_RECONFIG,      OP_CREATE_SESSION,
					OP_CLOSE_SESSION, OP_GET_DATA};

	(void)state;
	assert_int_equal(decode_multi_of_one(1, OP_ERROR, zeros, 4), FAL_OK);
	assert_int_equal(decode_multi_of_one(1, OP_ERROR, zeros, 3),
			 FAL_EPROTO);
	assert_int_equal(decode_multi_of_one(-1, OP_ERROR, zeros, 4),
			 FAL_EPROTO);
	assert_int_equal(decode_multi_of_one(INT32_MAX, OP_ERROR, zeros, 4),
			 FAL_EPROTO);
	/* a null path that ends the operation, and no operation at all */
	assert_int_equal(decode_multi_of_one(1, OP_DELETE, zeros, 4), FAL_OK);
	assert_int_equal(decode_multi_of_one(1, OP_DELETE, ones, 4),
			 FAL_EPROTO);
	assert_int_equal(decode_multi_of_one(1, OP_DELETE, NULL, -1),
			 FAL_EPROTO);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (int32_t n = 0; n <= (int32_t)sizeof(zeros); n++)
			assert_int_equal(
				decode_multi_of_one(1, types[i], zeros, n),
				FAL_EPROTO);
	}
}

static void
a_full_writer_is_told_by_the_multi_too(void **state)
{
	(void)state;
	for (size_t room = 0; room < 20; room++) {
		uint8_t *data = malloc(room == 0 ? 1 : room);
		struct jute_writer writer;
		size_t mark;

		assert_non_null(data);
		writer = jute_writer_of(data, room);
		mark = txn_put_multi_op_begin(&writer, OP_ERROR);
		txn_put_record(&writer, &(struct txn_record){.type = OP_ERROR});
		txn_put_multi_op_end(&writer, mark);
		assert_int_equal(writer.is_full, room < 12);
		free(data);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_records_come_back_as_they_were),
		cmocka_unit_test(
			random_multis_come_back_operation_by_operation),
		cmocka_unit_test(
			a_lone_digest_behind_close_session_is_never_a_body),
		cmocka_unit_test(an_empty_close_session_body_differs_from_none),
		cmocka_unit_test(null_paths_and_unknown_types_are_refused),
		cmocka_unit_test(an_error_of_a_multi_may_hold_the_operation),
		cmocka_unit_test(a_multi_refuses_what_no_multi_may_hold),
		cmocka_unit_test(a_full_writer_is_told_by_the_multi_too),
	};

	return cmocka_run_group_tests(tests, logs_find, logs_forget);
}
