/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    A multi is one transaction or none: its operations see each other,
 *         share a zxid, and after a refusal neither tree nor counters nor
 *         watchers know of it, while entry and reply are those of the
 *         reference server (client-protocol.md 3.14, disk-format.md 3).
 * Method  the rows of the table of section 3.14 and the test cases 38 to 47,
 *         looked at from the entry, the reply, the events and the tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prep_world.h"

/* A reply is a list of results: type, err and the body's bytes. */
struct result {
	int32_t type, err;
	uint32_t bytes;
};

static uint32_t
body_bytes(int32_t type, struct jute_reader *reader)
{
	const uint8_t *const from = reader->at;

	switch (type) {
	case OP_CREATE:
		(void)jute_get_slice(reader);
		break;
	case OP_CREATE2:
		(void)jute_get_slice(reader);
		(void)jute_take(reader, PROTO_STAT_BYTES);
		break;
	case OP_SET_DATA:
		(void)jute_take(reader, PROTO_STAT_BYTES);
		break;
	case OP_ERROR:
		(void)jute_get_int(reader);
		break;
	default:
		break;
	}
	return (uint32_t)(reader->at - from);
}

/* The reply must be exactly these results and the end marker. */
static void
assert_results(const struct world *world, const struct result *expected,
	       uint32_t count)
{
	struct jute_reader reader = jute_reader_of(world->result.reply.data,
						   world->result.reply.bytes);
	struct proto_multi_header header;

	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(proto_get_multi_header(&reader, &header), 0);
		assert_false(header.is_done);
		assert_int_equal(header.type, expected[i].type);
		assert_int_equal(header.err, expected[i].err);
		assert_int_equal(body_bytes(header.type, &reader),
				 expected[i].bytes);
	}
	assert_int_equal(proto_get_multi_header(&reader, &header), 0);
	assert_true(header.is_done);
	assert_int_equal(header.type, -1);
	assert_int_equal(header.err, -1);
	assert_int_equal(jute_reader_left(&reader), 0);
}

/* The entry's operations by type, and error codes for errors. */
static void
assert_entry(const struct world *world, const int32_t *types,
	     const int32_t *errs, int32_t count)
{
	struct txn_entry entry;

	assert_int_equal(
		txn_get_entry(world->entry, world->entry_bytes, &entry), 0);
	assert_int_equal(entry.header.type, OP_MULTI);
	assert_int_equal(entry.record.op_count, count);
	assert_true(entry.has_digest);
	assert_true(entry.digest == world->result.digest);
	struct jute_reader ops =
		jute_reader_of(entry.record.ops, entry.record.ops_bytes);

	for (int32_t i = 0; i < count; i++) {
		struct txn_record op;

		assert_int_equal(txn_get_multi_op(&ops, &op), 0);
		assert_int_equal(op.type, types[i]);
		if (op.type == OP_ERROR)
			assert_int_equal(op.err, errs[i]);
	}
}

static void
operations_see_each_other(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	world_body(&world);
	world_add_create(&world, OP_CREATE, "/a", 0);
	world_add_create(&world, OP_CREATE2, "/a/b", 0);
	world_add_set(&world, "/a/b", "one", 0);
	world_add_set(&world, "/a/b", "two", 1);
	world_add_check(&world, "/a/b", 2);
	world_add_delete(&world, "/a/b", 2);
	world_add_delete(&world, "/a", 0);
	assert_int_equal(world_run_multi(&world), ZK_OK);
	const struct result expected[] = {
		{OP_CREATE, 0, 4 + 2},
		{OP_CREATE2, 0, 4 + 4 + PROTO_STAT_BYTES},
		{OP_SET_DATA, 0, PROTO_STAT_BYTES},
		{OP_SET_DATA, 0, PROTO_STAT_BYTES},
		{OP_CHECK, 0, 0},
		{OP_DELETE, 0, 0},
		{OP_DELETE, 0, 0}};
	const int32_t types[] = {OP_CREATE, OP_CREATE, OP_SET_DATA, OP_SET_DATA,
				 OP_CHECK,  OP_DELETE, OP_DELETE};

	assert_results(&world, expected, 7);
	assert_entry(&world, types, NULL, 7);
	assert_false(world_has(&world, "/a"));
	assert_int_equal(world.zxid, 1);
	/* create 2, create 2, set, set, delete 2, delete 2 */
	assert_int_equal(world.result.effect_count, 10);
	world_close(&world);
}

static void
a_refusal_undoes_all_and_tells_each_operation(void **state)
{
	(void)state;
	struct world world;
	struct tree_stat before, after;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	world_stat(&world, "/d", &before);
	const uint64_t digest = world.result.digest;

	world_body(&world);
	world_add_create(&world, OP_CREATE, "/d/s", 2);
	world_add_create(&world, OP_CREATE, "/d/e", 1);
	world_add_set(&world, "/d", "y", 0);
	world_add_check(&world, "/d", 9);
	world_add_delete(&world, "/d", -1);
	world_add_delete(&world, "/missing", -1);
	assert_int_equal(world_run_multi(&world), ZK_OK);
	const struct result expected[] = {
		{OP_ERROR, 0, 4},    {OP_ERROR, 0, 4},  {OP_ERROR, 0, 4},
		{OP_ERROR, -103, 4}, {OP_ERROR, -2, 4}, {OP_ERROR, -2, 4}};
	const int32_t types[] = {OP_CREATE, OP_CREATE, OP_SET_DATA,
				 OP_ERROR,  OP_ERROR,  OP_ERROR};
	const int32_t errs[] = {0, 0, 0, -103, -2, -2};

	assert_results(&world, expected, 6);
	assert_entry(&world, types, errs, 6);
	assert_int_equal(world.result.type, OP_MULTI);
	assert_int_equal(world.result.effect_count, 0);
	assert_int_equal(world.result.effects.bytes, 0);
	assert_true(world.result.digest == digest);
	world_stat(&world, "/d", &after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_null(tree_ephemeral(world.tree, WORLD_SESSION, 0));
	/* The next suffix is as if nothing had been. */
	assert_int_equal(world_create(&world, OP_CREATE, "/d/s", 2), ZK_OK);
	assert_string_equal(world_made(&world), "/d/s0000000000");
	assert_int_equal(world.zxid, 3);
	world_close(&world);
}

static void
an_empty_multi_takes_a_zxid(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	world_body(&world);
	assert_int_equal(world_run_multi(&world), ZK_OK);
	assert_results(&world, NULL, 0);
	assert_entry(&world, NULL, NULL, 0);
	assert_int_equal(world.zxid, 1);
	world_close(&world);
}

/* Runs what is in the body, without adding an end marker. */
static void
assert_undecodable(struct world *world)
{
	const int64_t before = world->zxid;
	struct txn_entry entry;

	assert_int_equal(world_run(world, OP_MULTI), ZK_MARSHALLINGERROR);
	assert_int_equal(world->zxid, before + 1);
	assert_int_equal(world->result.type, OP_ERROR);
	assert_int_equal(world->result.reply.bytes, 0);
	assert_int_equal(
		txn_get_entry(world->entry, world->entry_bytes, &entry), 0);
	assert_int_equal(entry.header.type, OP_ERROR);
	assert_int_equal(entry.record.err, ZK_MARSHALLINGERROR);
	assert_int_equal(world->result.effect_count, 0);
}

static void
put_head(struct jute_writer *body, int32_t type, bool is_done)
{
	const struct proto_multi_header header = {
		.type = type, .is_done = is_done, .err = -1};

	proto_put_multi_header(body, &header);
}

static void
what_upstream_refuses_while_decoding_is_one_error(void **state)
{
	(void)state;
	static const int32_t types[] = {
		OP_SET_ACL, OP_SYNC,         OP_GET_DATA,
		OP_MULTI,   OP_ERROR,        OP_RECONFIG,
		99,         OP_GET_CHILDREN, OP_DELETE_CONTAINER};
	struct world world;
	struct jute_writer *body;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/m1", 0), ZK_OK);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		body = world_body(&world);
		world_add_create(&world, OP_CREATE, "/gone", 0);
		put_head(body, types[i], false);
		jute_put_cstr(body, "/m1");
		jute_put_int(body, 0);
		put_head(body, OP_ERROR, true);
		assert_undecodable(&world);
		assert_false(world_has(&world, "/gone"));
	}
	/* No end marker, at any length. */
	world_body(&world);
	world_add_create(&world, OP_CREATE, "/gone", 0);
	const size_t bytes = jute_written(&world.request);

	for (size_t cut = 0; cut <= bytes; cut += cut < 9 ? 1 : 7) {
		world.request.at = world.body + cut;
		assert_undecodable(&world);
	}
	/* Flags that are no mode, or one with a ttl. */
	for (int32_t flags = -1; flags <= 7; flags++) {
		if (flags >= 0 && flags <= 4)
			continue;
		for (int i = 0; i < 3; i++) {
			const int32_t op = i == 0   ? OP_CREATE
					   : i == 1 ? OP_CREATE2
						    : OP_CREATE_CONTAINER;

			body = world_body(&world);
			world_add_create(&world, op, "/gone", flags);
			put_head(body, OP_ERROR, true);
			assert_undecodable(&world);
		}
	}
	/* Null paths. */
	body = world_body(&world);
	world_add_create(&world, OP_CREATE, NULL, 0);
	put_head(body, OP_ERROR, true);
	assert_undecodable(&world);
	body = world_body(&world);
	world_add_check(&world, NULL, 0);
	put_head(body, OP_ERROR, true);
	assert_undecodable(&world);
	world_close(&world);
}

static void
a_null_list_does_not_decode_an_empty_one_does(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	for (int32_t count = -1; count <= 0; count++) {
		struct jute_writer *body = world_body(&world);

		put_head(body, OP_CREATE, false);
		jute_put_cstr(body, "/a");
		jute_put_int(body, -1);
		jute_put_int(body, count);
		jute_put_int(body, 0);
		if (count == -1) {
			put_head(body, OP_ERROR, true);
			assert_undecodable(&world);
			continue;
		}
		assert_int_equal(world_run_multi(&world), ZK_OK);
		assert_results(&world, &(struct result){OP_ERROR, -114, 4}, 1);
	}
	world_close(&world);
}

static void
flags_decide_about_containers_and_ttl_nodes(void **state)
{
	(void)state;
	static const struct {
		int32_t op, flags;
		int32_t type; /* of the record */
		int64_t owner;
	} row[] = {
		{OP_CREATE, 4, OP_CREATE_CONTAINER, PROTO_CONTAINER_OWNER},
		{OP_CREATE2, 4, OP_CREATE_CONTAINER, PROTO_CONTAINER_OWNER},
		{OP_CREATE_CONTAINER, 4, OP_CREATE_CONTAINER,
		 PROTO_CONTAINER_OWNER},
		{OP_CREATE_CONTAINER, 0, OP_CREATE_CONTAINER,
		 PROTO_CONTAINER_OWNER},
		{OP_CREATE_CONTAINER, 1, OP_CREATE_CONTAINER,
		 PROTO_CONTAINER_OWNER},
		{OP_CREATE_TTL, 0, OP_CREATE, 0},
		{OP_CREATE_TTL, 1, OP_CREATE, WORLD_SESSION},
		{OP_CREATE_TTL, 4, OP_CREATE_CONTAINER, PROTO_CONTAINER_OWNER},
		{OP_CREATE_TTL, 5, OP_CREATE_TTL, PROTO_TTL_MASK | 1000},
		{OP_CREATE2, 1, OP_CREATE, WORLD_SESSION},
	};
	struct world world;
	struct tree_stat stat;

	world_open(&world, NULL);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		world_body(&world);
		world_add_create(&world, row[i].op, "/n", row[i].flags);
		assert_int_equal(world_run_multi(&world), ZK_OK);
		assert_entry(&world, &row[i].type, NULL, 1);
		const bool has_stat =
			row[i].op == OP_CREATE2 || row[i].type != OP_CREATE;
		const struct result expected = {
			has_stat ? OP_CREATE2 : OP_CREATE, 0,
			6u + (has_stat ? PROTO_STAT_BYTES : 0u)};

		assert_results(&world, &expected, 1);
		world_stat(&world, "/n", &stat);
		assert_true(stat.owner == row[i].owner);
		assert_int_equal(world_delete(&world, "/n", -1), ZK_OK);
	}
	/* Flags out of range are an operation's error under createTTL. */
	world_body(&world);
	world_add_create(&world, OP_CREATE_TTL, "/n", 7);
	assert_int_equal(world_run_multi(&world), ZK_OK);
	assert_results(&world, &(struct result){OP_ERROR, -8, 4}, 1);
	world_close(&world);
}

/* The record is a create in any case: see operations_see_each_other(). */
static void
who_has_but_records_answers_a_create2_as_create(void **state)
{
	(void)state;
	const struct prep_options options = {.is_digest_on = true,
					     .answers_create2_as_create = true};
	struct world world;
	const int32_t type = OP_CREATE;

	world_open(&world, &options);
	world_body(&world);
	world_add_create(&world, OP_CREATE2, "/n", 0);
	assert_int_equal(world_run_multi(&world), ZK_OK);
	assert_entry(&world, &type, NULL, 1);
	assert_results(&world, &(struct result){OP_CREATE, 0, 6}, 1);
	world_close(&world);
}

static void
closing_sessions_and_null_ids_in_a_multi(void **state)
{
	(void)state;
	struct world world;
	const struct proto_acl null_id = world_acl(31, "digest", NULL);

	world_open(&world, NULL);
	session_find(world.sessions, WORLD_SESSION)->is_closing = true;
	world_body(&world);
	world_add_create(&world, OP_CREATE, "/e", 1);
	world_add_check(&world, "/", -1);
	assert_int_equal(world_run_multi(&world), ZK_OK);
	const struct result expected[] = {{OP_ERROR, -112, 4},
					  {OP_ERROR, -2, 4}};

	assert_results(&world, expected, 2);
	session_find(world.sessions, WORLD_SESSION)->is_closing = false;
	/* A null pointer upstream ends the request, not the operation. */
	struct jute_writer *body = world_body(&world);

	world_add_create(&world, OP_CREATE, "/gone", 0);
	put_head(body, OP_CREATE, false);
	jute_put_cstr(body, "/n");
	jute_put_int(body, -1);
	jute_put_int(body, 1);
	proto_put_acl(body, &null_id);
	jute_put_int(body, 0);
	put_head(body, OP_ERROR, true);
	assert_undecodable(&world);
	assert_false(world_has(&world, "/gone"));
	world_close(&world);
}

/* ---- the end of the counter ---------------------------------------------- */

/* An entry as a log has it: makes `path` with that counter in its parent. */
static void
apply_create_entry(struct world *world, const char *path, int32_t cversion)
{
	uint8_t memory[256];
	uint8_t acl[64];
	bool matches = true;
	struct jute_writer acl_writer = jute_writer_of(acl, sizeof(acl));
	struct jute_writer entry = jute_writer_of(memory, sizeof(memory));

	proto_put_acl(&acl_writer, &world_open_acl);
	txn_put_header(&entry, &(struct txn_header){.zxid = ++world->zxid,
						    .type = OP_CREATE});
	txn_put_record(
		&entry,
		&(struct txn_record){
			.type = OP_CREATE,
			.path = jute_slice_of(path, strlen(path)),
			.data = {.bytes = -1},
			.acl = {.data = acl,
				.count = 1,
				.bytes = (uint32_t)jute_written(&acl_writer)},
			.parent_cversion = cversion});
	assert_int_equal(prep_apply(world->prep, memory,
				    (uint32_t)jute_written(&entry), NULL,
				    &matches),
			 0);
	world_publish(world);
}

static void
suffixes_stand_still_at_the_end_of_the_counter(void **state)
{
	(void)state;
	struct world world;
	struct tree_stat stat;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	apply_create_entry(&world, "/d/first", INT32_MAX - 1);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/s", 2), ZK_OK);
	assert_string_equal(world_made(&world), "/d/s2147483646");
	assert_int_equal(world_create(&world, OP_CREATE, "/d/s", 2), ZK_OK);
	assert_string_equal(world_made(&world), "/d/s2147483647");
	world_stat(&world, "/d", &stat);
	assert_int_equal(stat.cversion, INT32_MAX);
	assert_int_equal(stat.pzxid, world.zxid - 1);
	const int64_t stuck = stat.pzxid;

	assert_int_equal(world_create(&world, OP_CREATE, "/d/s", 2), -110);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/t", 2), ZK_OK);
	assert_string_equal(world_made(&world), "/d/t2147483647");
	world_stat(&world, "/d", &stat);
	assert_int_equal(stat.cversion, INT32_MAX);
	assert_int_equal(stat.pzxid, stuck);
	world_close(&world);
}

static void
within_a_multi_the_counter_wraps(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	apply_create_entry(&world, "/d/first", INT32_MAX);
	for (int round = 0; round < 2; round++) {
		world_body(&world);
		for (int i = 0; i < 3; i++)
			world_add_create(&world, OP_CREATE, "/d/s", 2);
		assert_int_equal(world_run_multi(&world), ZK_OK);
		/* The second round meets the names of the first. */
		if (round == 1)
			assert_results(
				&world,
				(const struct result[]){{OP_ERROR, -110, 4},
							{OP_ERROR, -2, 4},
							{OP_ERROR, -2, 4}},
				3);
	}
	assert_true(world_has(&world, "/d/s2147483647"));
	assert_true(world_has(&world, "/d/s-2147483648"));
	assert_true(world_has(&world, "/d/s-2147483647"));
	world_close(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_see_each_other),
		cmocka_unit_test(a_refusal_undoes_all_and_tells_each_operation),
		cmocka_unit_test(an_empty_multi_takes_a_zxid),
		cmocka_unit_test(
			what_upstream_refuses_while_decoding_is_one_error),
		cmocka_unit_test(a_null_list_does_not_decode_an_empty_one_does),
		cmocka_unit_test(flags_decide_about_containers_and_ttl_nodes),
		cmocka_unit_test(
			who_has_but_records_answers_a_create2_as_create),
		cmocka_unit_test(closing_sessions_and_null_ids_in_a_multi),
		cmocka_unit_test(
			suffixes_stand_still_at_the_end_of_the_counter),
		cmocka_unit_test(within_a_multi_the_counter_wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
