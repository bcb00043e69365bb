/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: transaction entries are read as ZooKeeper wrote them; anything else is
 * FAL_EPROTO.
 * Method: all records of all captured logs (tests/golden/disk/) decode and
 * encode to themselves; the annotated first records of one log are compared
 * field by field. Then truncations of every record and bytes changed at
 * random, from memory of exactly that size, where a model of format strings
 * says what must decode.
 */
#include "txn_rig.h"

/* Called with each intact record of each log. */
typedef void record_visit(const char *path, const uint8_t *entry, size_t bytes);

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
	};

	return cmocka_run_group_tests(tests, logs_find, logs_forget);
}
