/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: transaction entries are read as ZooKeeper wrote them and written as
 * ZooKeeper would; anything else is FAL_EPROTO.
 * Method: all records of all captured logs (tests/golden/disk/) decode and
 * encode to themselves; the annotated first records of one log are compared
 * field by field. Then truncations of every record and bytes changed at
 * random, from memory of exactly that size, where a model of format strings
 * says what must decode. Random records of all types go out and come back.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ftw.h>
#include <zlib.h>

#include "wire/txn.h"

#include "random.h"
#include "txn_mirror.h"
#include "txn_model.h"
#include "vector_file.h"

#define FILE_HEADER_BYTES 16
#define ENTRY_BYTES_MAX   8192
#define LOG_FILES_MAX     256

/* Called with each intact record of each log. */
typedef void record_visit(const char *path, const uint8_t *entry, size_t bytes);

static char *log_paths[LOG_FILES_MAX];
static size_t log_count;

static int
log_collect(const char *path, const struct stat *stat, int flag,
	    struct FTW *walk)
{
	(void)stat;
	if (flag == FTW_F && strncmp(path + walk->base, "log.", 4) == 0) {
		assert_true(log_count < LOG_FILES_MAX);
		log_paths[log_count++] = strdup(path);
	}
	return 0;
}

static int
compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
logs_find(void **state)
{
	(void)state;
	if (nftw(GOLDEN_DIR "/disk", log_collect, 16, FTW_PHYS) != 0)
		return -1;
	qsort(log_paths, log_count, sizeof(log_paths[0]), compare_paths);
	return 0;
}

static int
logs_forget(void **state)
{
	(void)state;
	while (log_count > 0)
		free(log_paths[--log_count]);
	return 0;
}

static uint32_t
log_visit(const char *path, record_visit *visit)
{
	size_t bytes, at = FILE_HEADER_BYTES;
	uint8_t *data = vector_read_bytes(path, &bytes);
	uint32_t count = 0;

	while (at + 12 <= bytes) {
		const uint64_t crc = be_load64(data + at);
		const uint32_t entry_bytes = be_load32(data + at + 8);
		const uint8_t *entry = data + at + 12;

		/* damaged on purpose: the rest is the store's problem */
		if (entry_bytes == 0 || entry_bytes > bytes - at - 12)
			break;
		if (adler32(1, entry, entry_bytes) == crc) {
			visit(path, entry, entry_bytes);
			count++;
		}
		at += 12 + entry_bytes + 1;
	}
	free(data);
	return count;
}

static uint32_t
logs_visit(const char *name_part, record_visit *visit)
{
	uint32_t count = 0;

	for (size_t i = 0; i < log_count; i++) {
		if (strstr(log_paths[i], name_part) != NULL)
			count += log_visit(log_paths[i], visit);
	}
	return count;
}

/* Decodes a copy of exactly that size; on success out is its encoding. */
static int
decode_exact(const uint8_t *data, size_t bytes, uint8_t *out, size_t *out_bytes)
{
	uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
	struct jute_writer writer = jute_writer_of(out, bytes);
	struct txn_entry entry;
	int err;

	assert_non_null(copy);
	memcpy(copy, data, bytes);
	err = txn_get_entry(copy, bytes, &entry);
	assert_true(err == FAL_OK || err == FAL_EPROTO);
	if (err == FAL_OK) {
		assert_int_equal(txn_mirror(&writer, &entry), FAL_OK);
		assert_false(writer.is_full);
	}
	*out_bytes = jute_written(&writer);
	free(copy);
	return err;
}

/* ---- golden records ---- */

static uint32_t type_seen[256], failed_multis, v0_creates, bare_closes;

static void
note_multi(const struct txn_record *record)
{
	struct jute_reader ops = jute_reader_of(record->ops, record->ops_bytes);
	bool has_error = false;

	for (int32_t i = 0; i < record->op_count; i++) {
		struct txn_record op;

		assert_int_equal(txn_get_multi_op(&ops, &op), FAL_OK);
		if (op.type == OP_ERROR && !has_error)
			assert_true(op.err <= 0);
		has_error = has_error || op.type == OP_ERROR;
	}
	failed_multis += has_error;
}

static void
visit_golden(const char *path, const uint8_t *data, size_t bytes)
{
	uint8_t *again = malloc(bytes);
	size_t again_bytes;
	struct txn_entry entry;

	assert_non_null(again);
	assert_true(txn_model_accepts(data, bytes));
	if (decode_exact(data, bytes, again, &again_bytes) != FAL_OK)
		fail_msg("%s: a record does not decode", path);
	assert_int_equal(again_bytes, bytes);
	assert_memory_equal(again, data, bytes);
	assert_int_equal(txn_get_entry(data, bytes, &entry), FAL_OK);
	assert_false(entry.header.type == OP_ERROR && entry.has_digest);
	type_seen[(uint8_t)entry.header.type]++;
	v0_creates += entry.record.is_v0;
	bare_closes += entry.header.type == OP_CLOSE_SESSION &&
		       !entry.record.has_paths;
	if (entry.header.type == OP_MULTI)
		note_multi(&entry.record);
	free(again);
}

static void
every_logged_record_decodes_and_encodes_to_itself(void **state)
{
	static const int32_t types[] = {
		OP_CREATE_SESSION,
		OP_CLOSE_SESSION,
		OP_ERROR,
		OP_CREATE,
		OP_CREATE2,
		OP_CREATE_TTL,
		OP_CREATE_CONTAINER,
		OP_DELETE,
		OP_SET_DATA,
		OP_RECONFIG,
		OP_SET_ACL,
		OP_CHECK,
		OP_MULTI,
	};
	uint32_t count;

	(void)state;
	count = logs_visit("log.", visit_golden);
	printf("%u records in %zu logs; %u V0 creates, %u bare closeSessions, "
	       "%u failed multis\n",
	       count, log_count, v0_creates, bare_closes, failed_multis);
	assert_true(log_count >= 30 && count >= 800);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (type_seen[(uint8_t)types[i]] == 0)
			fail_msg("no record of type %d", types[i]);
	}
	assert_true(v0_creates >= 2 && bare_closes >= 2 && failed_multis >= 1);
}

static struct txn_entry annotated[2];
static uint8_t annotated_bytes[2][256];
static size_t annotated_count;

static void
visit_annotated(const char *path, const uint8_t *data, size_t bytes)
{
	(void)path;
	if (annotated_count >= 2)
		return;
	assert_true(bytes <= sizeof(annotated_bytes[0]));
	memcpy(annotated_bytes[annotated_count], data, bytes);
	assert_int_equal(txn_get_entry(annotated_bytes[annotated_count], bytes,
				       &annotated[annotated_count]),
			 FAL_OK);
	annotated_count++;
}

static void
the_annotated_records_have_the_documented_fields(void **state)
{
	const struct txn_entry *entry = annotated;
	struct jute_reader reader;
	struct proto_acl acl;

	(void)state;
	logs_visit("txn-types/log.100000001", visit_annotated);
	assert_int_equal(annotated_count, 2);
	assert_int_equal(entry->header.session_id, 0x1000010f5c60000);
	assert_int_equal(entry->header.cxid, 0);
	assert_int_equal(entry->header.zxid, 0x100000001);
	assert_int_equal(entry->header.time_ms, 0x1a205b490c8);
	assert_int_equal(entry->record.type, OP_CREATE_SESSION);
	assert_int_equal(entry->record.timeout_ms, 10000);
	assert_true(entry->has_digest);
	assert_int_equal(entry->digest_version, 2);
	assert_int_equal(entry->digest, 0x51c6d660);
	entry++;
	assert_int_equal(entry->header.cxid, 1);
	assert_int_equal(entry->header.zxid, 0x100000002);
	assert_int_equal(entry->record.type, OP_CREATE);
	assert_true(
		jute_slice_equal(entry->record.path, jute_slice_of("/a", 2)));
	assert_true(jute_slice_equal(entry->record.data,
				     jute_slice_of("alpha", 5)));
	assert_false(entry->record.is_ephemeral);
	assert_false(entry->record.is_v0);
	assert_int_equal(entry->record.parent_cversion, 1);
	assert_int_equal(entry->record.acl.count, 1);
	reader =
		jute_reader_of(entry->record.acl.data, entry->record.acl.bytes);
	assert_int_equal(proto_get_acl(&reader, &acl), FAL_OK);
	assert_int_equal(acl.perms, PERM_ALL);
	assert_true(jute_slice_equal(acl.scheme, jute_slice_of("world", 5)));
	assert_true(jute_slice_equal(acl.id, jute_slice_of("anyone", 6)));
	assert_int_equal(entry->digest, 0x15aea9355);
}

/* ---- broken records ---- */

static uint32_t truncation_count;

static void
check_against_model(const char *path, const uint8_t *data, size_t bytes)
{
	uint8_t *first = malloc(bytes + 1), *second = malloc(bytes + 1);
	size_t first_bytes, second_bytes;
	const int err = decode_exact(data, bytes, first, &first_bytes);

	assert_non_null(first);
	assert_non_null(second);
	if ((err == FAL_OK) != txn_model_accepts(data, bytes))
		fail_msg("%s: %zu bytes of a type %d give %d", path, bytes,
			 (int32_t)be_load32(data + 28), err);
	if (err == FAL_OK) {
		assert_int_equal(
			decode_exact(first, first_bytes, second, &second_bytes),
			FAL_OK);
		assert_int_equal(first_bytes, second_bytes);
		assert_memory_equal(first, second, first_bytes);
	}
	free(first);
	free(second);
}

static void
visit_truncations(const char *path, const uint8_t *data, size_t bytes)
{
	if (bytes > 1024)
		return;
	for (size_t n = 0; n < bytes; n++) {
		uint8_t out[1024];
		size_t out_bytes;

		if (n >= TXN_HEADER_BYTES)
			check_against_model(path, data, n);
		else
			assert_int_equal(decode_exact(data, n, out, &out_bytes),
					 FAL_EPROTO);
		truncation_count++;
	}
}

static void
every_truncation_decodes_only_where_the_model_says(void **state)
{
	(void)state;
	logs_visit("txn-types/", visit_truncations);
	logs_visit("no-closesession-body/", visit_truncations);
	logs_visit("synthetic-v0/", visit_truncations);
	logs_visit("reconfig/", visit_truncations);
	printf("%u truncations\n", truncation_count);
	assert_true(truncation_count > 4000);
}

static struct random mutation_random;

static void
visit_mutations(const char *path, const uint8_t *data, size_t bytes)
{
	static const uint32_t words[] = {0,          1,          2,
					 0xffffffff, 0xfffffffe, 0x7fffffff};
	uint8_t *copy = malloc(bytes);

	assert_non_null(copy);
	for (int round = 0; round < 60 && bytes <= 1024; round++) {
		const uint32_t at = 28 + random_below(&mutation_random,
						      (uint32_t)bytes - 28 - 3);
		size_t kept = bytes;

		memcpy(copy, data, bytes);
		if (random_below(&mutation_random, 2) == 0)
			be_store32(copy + at,
				   words[random_below(&mutation_random, 6)]);
		else
			copy[at] = (uint8_t)random_next(&mutation_random);
		if (random_below(&mutation_random, 3) == 0)
			kept -= random_below(&mutation_random,
					     (uint32_t)bytes - 31);
		check_against_model(path, copy, kept);
	}
	free(copy);
}

static void
changed_records_decode_only_where_the_model_says(void **state)
{
	(void)state;
	mutation_random = random_start(3);
	logs_visit("txn-types/", visit_mutations);
	logs_visit("no-closesession-body/", visit_mutations);
	logs_visit("synthetic-v0/", visit_mutations);
}

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
		cmocka_unit_test(
			every_logged_record_decodes_and_encodes_to_itself),
		cmocka_unit_test(
			the_annotated_records_have_the_documented_fields),
		cmocka_unit_test(
			every_truncation_decodes_only_where_the_model_says),
		cmocka_unit_test(
			changed_records_decode_only_where_the_model_says),
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
