/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    Each write is refused for the first reason in the order that real
 *         servers have (client-protocol.md 3.3, 3.5, 3.8, 3.9), and leaves
 *         exactly the tree, entry, reply and events it owes.
 * Method  requests that fail two checks of adjacent rows at once: the earlier
 *         one wins. Then the good cases, field by field. Test numbers are
 *         those of client-protocol.md section 15.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prep_world.h"
#include "znode/prep_impl.h"

/* Two lists: everybody reads, and nobody does anything. */
#define READ_ONLY world_acl(PERM_READ, "world", "anyone")
#define LOCKED    world_acl(PERM_ALL, "digest", "bob:x")

static const struct proto_acl empty_acl;

static void
make_read_only(struct world *world, const char *path)
{
	const struct proto_acl acl = READ_ONLY;

	assert_int_equal(world_create_acl(world, path, &acl, 1), ZK_OK);
}

static bool
slice_is(struct jute_slice slice, const char *text)
{
	return jute_slice_equal(slice, jute_slice_of(text, strlen(text)));
}

/* ---- create -------------------------------------------------------------- */

/* One create with everything to say. */
struct create_row {
	int32_t err;
	int32_t op, flags;
	int64_t ttl;
	const char *path;
	bool has_bad_acl, is_closing;
};

static int32_t
run_create_row(struct world *world, const struct create_row *row)
{
	struct jute_writer *body = world_body(world);

	if (row->path == NULL)
		jute_put_int(body, -1);
	else
		jute_put_cstr(body, row->path);
	jute_put_int(body, -1);
	jute_put_int(body, row->has_bad_acl ? 0 : 1);
	if (!row->has_bad_acl)
		proto_put_acl(body, &world_open_acl);
	jute_put_int(body, row->flags);
	if (row->op == OP_CREATE_TTL)
		jute_put_long(body, row->ttl);
	session_find(world->sessions, WORLD_SESSION)->is_closing =
		row->is_closing;
	const int32_t err = world_run(world, row->op);

	session_find(world->sessions, WORLD_SESSION)->is_closing = false;
	return err;
}

static void
creates_are_refused_in_the_order_of_the_table(void **state)
{
	(void)state;
	static const struct create_row row[] = {
		/* 2: flags, before the ttl, the session, the path */
		{-8, OP_CREATE, 7, 0, "/f", false, true},
		{-8, OP_CREATE, -1, 0, NULL, true, true},
		/* 4: ttl, before the session (3 has a world of its own) */
		{-8, OP_CREATE_TTL, 5, 0, "/t", false, true},
		{-8, OP_CREATE_TTL, 5, -1, "/t", false, true},
		{-8, OP_CREATE_TTL, 5, 1ll << 40, "/t", false, true},
		{-8, OP_CREATE, 5, 0, "/t", false, true},
		{-8, OP_CREATE2, 6, 0, "/t", false, true},
		{-8, OP_CREATE_CONTAINER, 5, 0, "/t", false, true},
		{-8, OP_CREATE_TTL, 0, 0, "/t", false, true},
		/* section 19: this one kills the reference server */
		{-8, OP_CREATE_TTL, 0, -1, "/t", false, true},
		{-8, OP_CREATE_TTL, 4, -1, "/t", false, false},
		/* 5: session, before the path */
		{-112, OP_CREATE, 0, 0, NULL, true, true},
		{-112, OP_CREATE, 1, 0, "nope", true, true},
		/* 6: path, before the ACL */
		{-5, OP_CREATE, 0, 0, NULL, true, false},
		{-8, OP_CREATE, 0, 0, "nope", true, false},
		{-8, OP_CREATE, 0, 0, "", true, false},
		/* 7: ACL, before the parent */
		{-114, OP_CREATE, 0, 0, "/missing/x", true, false},
		{-114, OP_CREATE, 0, 0, "/", true, false},
		/* 8: parent, before the rest of the path */
		{-101, OP_CREATE, 0, 0, "/a//x", false, false},
		{-101, OP_CREATE, 0, 0, "/missing/.", false, false},
		{-101, OP_CREATE, 0, 0, "x/y", false, false},
		/* 9: permission, before the rest of the path */
		{-102, OP_CREATE, 0, 0, "/ro/.", false, false},
		{-102, OP_CREATE, 0, 0, "/ro/child", false, false},
		/* 10: path, before existence */
		{-8, OP_CREATE, 0, 0, "//a", false, false},
		{-8, OP_CREATE, 0, 0, "/a/", false, false},
		{-8, OP_CREATE, 0, 0, "/a/..", false, false},
		/* 11: existence, before the parent's kind */
		{-110, OP_CREATE, 0, 0, "/", false, false},
		{-110, OP_CREATE, 0, 0, "/a", false, false},
		{-110, OP_CREATE2, 0, 0, "/zookeeper", false, false},
		/* 12 */
		{-108, OP_CREATE, 0, 0, "/eph/x", false, false},
		{-108, OP_CREATE, 2, 0, "/eph/", false, false},
	};
	struct world world;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/eph", 1), ZK_OK);
	make_read_only(&world, "/ro");
	const uint64_t digest = world.result.digest;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const int32_t err = run_create_row(&world, &row[i]);

		if (err != row[i].err)
			fail_msg("row %zu: %d, not %d", i, err, row[i].err);
		world_assert_refused(&world, row[i].err);
		assert_true(world.result.digest == digest);
	}
	world_close(&world);
}

static void
ttl_nodes_need_the_extended_types(void **state)
{
	(void)state;
	const struct prep_options plain = {.is_digest_on = true};
	struct world world;

	world_open(&world, &plain);
	/* Before the ttl is looked at, and with any opcode. */
	assert_int_equal(world_create_ttl(&world, "/t", 5, 0), -6);
	assert_int_equal(world_create_ttl(&world, "/t", 6, 1), -6);
	assert_int_equal(world_create(&world, OP_CREATE, "/t", 5), -6);
	assert_int_equal(world_create_ttl(&world, "/t", 0, -1), -8);
	world_close(&world);
}

static void
null_data_and_empty_data_are_kept_apart(void **state)
{
	(void)state;
	struct world world;
	struct tree_stat stat;

	world_open(&world, NULL);
	for (int32_t bytes = -1; bytes <= 0; bytes++) {
		struct jute_writer *body = world_body(&world);

		jute_put_cstr(body, bytes < 0 ? "/null" : "/empty");
		jute_put_int(body, bytes);
		jute_put_int(body, 1);
		proto_put_acl(body, &world_open_acl);
		jute_put_int(body, 0);
		assert_int_equal(world_run(&world, OP_CREATE), ZK_OK);
		assert_int_equal(world_entry(&world).record.data.bytes, bytes);
		world_stat(&world, bytes < 0 ? "/null" : "/empty", &stat);
		assert_int_equal(stat.data_bytes, bytes);
	}
	world_close(&world);
}

static void
a_create_leaves_node_parent_entry_and_reply(void **state)
{
	(void)state;
	struct world world;
	struct tree_stat stat;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	assert_string_equal(world_made(&world), "/a");
	assert_int_equal(world.result.reply.bytes, 4 + 2);
	world_stat(&world, "/a", &stat);
	assert_int_equal(stat.czxid, 1);
	assert_int_equal(stat.mzxid, 1);
	assert_int_equal(stat.pzxid, 1);
	assert_int_equal(stat.ctime, world.time_ms);
	assert_int_equal(stat.mtime, world.time_ms);
	assert_int_equal(stat.version, 0);
	assert_int_equal(stat.cversion, 0);
	assert_int_equal(stat.aversion, 0);
	assert_int_equal(stat.owner, 0);
	assert_int_equal(stat.acl, ACL_ID_OPEN);
	/* The root: counter from 0 to 1, pzxid, nothing else. */
	world_stat(&world, "/", &stat);
	assert_int_equal(stat.cversion, 1);
	assert_int_equal(stat.pzxid, 1);
	assert_int_equal(stat.mzxid, 0);
	assert_int_equal(stat.version, 0);
	const struct txn_entry entry = world_entry(&world);

	assert_int_equal(entry.header.session_id, WORLD_SESSION);
	assert_int_equal(entry.header.cxid, 1);
	assert_int_equal(entry.header.time_ms, world.time_ms);
	assert_int_equal(entry.header.type, OP_CREATE);
	assert_true(slice_is(entry.record.path, "/a"));
	assert_true(slice_is(entry.record.data, "x"));
	assert_int_equal(entry.record.acl.count, 1);
	assert_false(entry.record.is_ephemeral);
	assert_int_equal(entry.record.parent_cversion, 1);
	assert_true(entry.has_digest);
	assert_true(entry.digest == world.result.digest);
	/* create2 answers with the Stat. */
	assert_int_equal(world_create(&world, OP_CREATE2, "/a/b", 0), ZK_OK);
	assert_int_equal(world.result.reply.bytes, 4 + 4 + PROTO_STAT_BYTES);
	assert_int_equal(world_entry(&world).header.type, OP_CREATE2);
	world_close(&world);
}

static void
the_opcode_decides_what_kind_is_stored(void **state)
{
	(void)state;
	static const struct {
		int32_t op, flags;
		const char *path, *made;
		int64_t owner;
	} row[] = {
		{OP_CREATE, 0, "/p", "/p", 0},
		{OP_CREATE, 1, "/e", "/e", WORLD_SESSION},
		{OP_CREATE2, 3, "/s", "/s0000000002", WORLD_SESSION},
		{OP_CREATE, 4, "/c4", "/c4", 0},
		{OP_CREATE2, 4, "/d4", "/d4", 0},
		{OP_CREATE_CONTAINER, 0, "/c0", "/c0", PROTO_CONTAINER_OWNER},
		{OP_CREATE_CONTAINER, 1, "/c1", "/c1", PROTO_CONTAINER_OWNER},
		{OP_CREATE_CONTAINER, 2, "/c2", "/c20000000007",
		 PROTO_CONTAINER_OWNER},
		{OP_CREATE_CONTAINER, 4, "/c", "/c", PROTO_CONTAINER_OWNER},
	};
	struct world world;
	struct tree_stat stat;

	world_open(&world, NULL);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(world_create(&world, row[i].op, row[i].path,
					      row[i].flags),
				 ZK_OK);
		assert_string_equal(world_made(&world), row[i].made);
		world_stat(&world, row[i].made, &stat);
		assert_true(stat.owner == row[i].owner);
		assert_int_equal(world_entry(&world).record.is_ephemeral,
				 row[i].owner == WORLD_SESSION);
	}
	assert_int_equal(world_create_ttl(&world, "/t", 5, PROTO_TTL_MAX),
			 ZK_OK);
	world_stat(&world, "/t", &stat);
	assert_true(stat.owner == (PROTO_TTL_MASK | PROTO_TTL_MAX));
	assert_int_equal(world_entry(&world).record.ttl, PROTO_TTL_MAX);
	assert_int_equal(world_create_ttl(&world, "/t", 6, 1), ZK_OK);
	assert_string_equal(world_made(&world), "/t0000000010");
	/* 25: below a container and a TTL node, fine */
	assert_int_equal(world_create(&world, OP_CREATE, "/c/x", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/t/x", 0), ZK_OK);
	world_close(&world);
}

static void
suffixes_count_creations_of_all_kinds(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	/* The initial children of the root did not count. */
	assert_int_equal(world_create(&world, OP_CREATE, "/q", 2), ZK_OK);
	assert_string_equal(world_made(&world), "/q0000000000");
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/a", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/b", 0), ZK_OK);
	assert_int_equal(world_delete(&world, "/d/a", -1), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/c", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/b", 0), -110);
	assert_int_equal(world_create(&world, OP_CREATE2, "/d/", 2), ZK_OK);
	assert_string_equal(world_made(&world), "/d/0000000003");
	assert_int_equal(world_create(&world, OP_CREATE, "/d/.", 2), ZK_OK);
	assert_string_equal(world_made(&world), "/d/.0000000004");
	world_close(&world);
}

static void
creates_in_flight_see_each_other(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	world.is_held_back = true;
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/s", 2), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/s", 2), ZK_OK);
	assert_string_equal(world_made(&world), "/d/s0000000001");
	assert_int_equal(world_delete(&world, "/d/s0000000000", 0), ZK_OK);
	assert_int_equal(world_delete(&world, "/d/s0000000000", 0), -101);
	world_publish(&world);
	assert_true(world_has(&world, "/d/s0000000001"));
	world_close(&world);
}

/* ---- paths --------------------------------------------------------------- */

/* Paths are looked at in words: whatever stands in front and behind, the part
 * decides. */
static void
assert_valid_at_each_place(const char *part, bool is_valid)
{
	static const char letters[] = "/abcdefghijklmnopqrstuvwxyz";
	char path[64 + sizeof(letters)];

	for (int before = 1; before <= 20; before++) {
		for (int behind = 1; behind <= 20; behind++) {
			const int front = before == 1 ? 0 : before;
			const int back = behind == 1 ? 0 : behind;
			const int bytes =
				snprintf(path, sizeof(path), "%.*s%s%.*s",
					 front, letters, part, back, letters);

			if (prep_path_is_valid((const uint8_t *)path,
					       (uint32_t)bytes) != is_valid)
				fail_msg("path %s", path);
		}
	}
}

static void
paths_follow_the_rules_of_section_10(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		bool is_valid;
	} row[] = {
		{"/", true},
		{"/a", true},
		{"/a/b", true},
		{"/...", true},
		{"/.b", true},
		{"/b.", true},
		{"/a..", true},
		{"/a/..b", true},
		{"/ ", true},
		{"/~", true},
		{"/\xC3\xA9", true},
		{"/\xC2\xA0", true},
		{"/\xE2\x80\xA8", true},
		{"/\xEF\xA4\x80", true},
		{"/\xEF\xBF\xAF", true},
		{"/\xED\x9F\xBF", true},
		{"", false},
		{"a", false},
		{"a/b", false},
		{"//", false},
		{"/a/", false},
		{"/a//b", false},
		{"/.", false},
		{"/..", false},
		{"/a/.", false},
		{"/a/..", false},
		{"/./a", false},
		{"/../a", false},
		{"/\x01", false},
		{"/\x1F", false},
		{"/\x7F", false},
		{"/\xC2\x80", false},
		{"/\xC2\x9F", false},
		{"/\xEE\x80\x80", false},
		{"/\xEF\xA3\xBF", false},
		{"/\xEF\xBF\xB0", false},
		{"/\xEF\xBF\xBD", false},
		{"/\xF0\x9F\x98\x80", false},
		{"/\xFF", false},
		{"/\xC0\xAF", false},
		{"/\xED\xA0\xBD\xED\xB8\x80", false},
		{"/a\xC3", false},
		{"/a\xE2\x82", false},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const bool is_valid =
			prep_path_is_valid((const uint8_t *)row[i].path,
					   (uint32_t)strlen(row[i].path));

		if (is_valid != row[i].is_valid)
			fail_msg("path %zu", i);
		if (row[i].path[0] == '/' && row[i].path[1] != 0)
			assert_valid_at_each_place(row[i].path,
						   row[i].is_valid);
	}
	assert_false(prep_path_is_valid((const uint8_t *)"/a\0b", 4));
}

static void
a_nul_byte_in_a_path_is_a_bad_argument(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	struct jute_writer *body = world_body(&world);

	jute_put_int(body, 3);
	jute_put_raw(body, "/\0x", 3);
	jute_put_int(body, -1);
	assert_int_equal(world_run(&world, OP_DELETE), -8);
	world_close(&world);
}

/* ---- delete, setData, setACL --------------------------------------------- */

static void
deletes_are_refused_in_order(void **state)
{
	(void)state;
	static const struct {
		int32_t err;
		const char *path;
		int32_t version;
	} row[] = {
		{-8, "", -1},
		{-8, "nope", -1},
		{-8, "/", 9},
		{-8, "/zookeeper", -1},
		{-8, "/zookeeper/quota", 9},
		{-8, "/zookeeper/config", -1},
		{-5, NULL, -1},
		{-101, "/missing/x", -1},
		{-101, "/w/", -1},
		{-101, "//", -1},
		{-102, "/ro/missing", -1},
		{-102, "/ro/kept", 9},
		{-101, "/w/missing", 9},
		{-103, "/w", 9},
		{-103, "/w", -2},
		{-111, "/w", 0},
		{-111, "/w", -1},
	};
	struct world world;
	const struct proto_acl create_only =
		world_acl(PERM_CREATE, "world", "anyone");

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/w", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/w/child", 0), ZK_OK);
	assert_int_equal(world_create_acl(&world, "/ro", &create_only, 1),
			 ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/ro/kept", 0), ZK_OK);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const int32_t err =
			world_delete(&world, row[i].path, row[i].version);

		if (err != row[i].err)
			fail_msg("row %zu: %d", i, err);
		world_assert_refused(&world, row[i].err);
	}
	session_find(world.sessions, WORLD_SESSION)->is_closing = true;
	assert_int_equal(world_delete(&world, "nope", -1), -112);
	world_close(&world);
}

static void
a_delete_moves_pzxid_but_not_the_counter(void **state)
{
	(void)state;
	struct world world;
	struct tree_stat stat;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/w", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/w/a", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/w/b", 0), ZK_OK);
	assert_int_equal(world_delete(&world, "/w/a", 0), ZK_OK);
	assert_int_equal(world.result.reply.bytes, 0);
	assert_int_equal(world_entry(&world).header.type, OP_DELETE);
	assert_false(world_has(&world, "/w/a"));
	world_stat(&world, "/w", &stat);
	assert_int_equal(stat.cversion, 2);
	assert_int_equal(stat.num_children, 1);
	assert_int_equal(stat.pzxid, world.zxid);
	assert_int_equal(stat.mzxid, 1);
	/* A child of /zookeeper other than the special ones. */
	assert_int_equal(world_create(&world, OP_CREATE, "/zookeeper/x", 0),
			 ZK_OK);
	assert_int_equal(world_delete(&world, "/zookeeper/x", -1), ZK_OK);
	world_close(&world);
}

static void
set_data_is_refused_in_order(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/w", 0), ZK_OK);
	make_read_only(&world, "/ro");
	assert_int_equal(world_set(&world, NULL, "y", 9), -8);
	assert_int_equal(world_set(&world, "/w/", "y", 9), -8);
	assert_int_equal(world_set(&world, "/missing", "y", 9), -101);
	assert_int_equal(world_set(&world, "/ro", "y", 9), -102);
	assert_int_equal(world_set(&world, "/w", "y", 9), -103);
	assert_int_equal(world_set(&world, "/w", "y", -2), -103);
	world_assert_refused(&world, -103);
	assert_int_equal(world_set(&world, "/zookeeper/config", "y", -1), -102);
	session_find(world.sessions, WORLD_SESSION)->is_closing = true;
	assert_int_equal(world_set(&world, "/w/", "y", 9), -112);
	world_close(&world);
}

static void
set_data_counts_versions_and_moves_times(void **state)
{
	(void)state;
	struct world world;
	struct tree_stat stat;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/w", 0), ZK_OK);
	assert_int_equal(world_set(&world, "/w", "hello", 0), ZK_OK);
	assert_int_equal(world.result.reply.bytes, PROTO_STAT_BYTES);
	assert_int_equal(world_entry(&world).record.version, 1);
	world_stat(&world, "/w", &stat);
	assert_int_equal(stat.version, 1);
	assert_int_equal(stat.mzxid, 2);
	assert_int_equal(stat.czxid, 1);
	assert_int_equal(stat.mtime, world.time_ms);
	assert_int_equal(stat.ctime, world.time_ms - 1);
	assert_int_equal(stat.data_bytes, 5);
	assert_int_equal(world_set(&world, "/w", NULL, -1), ZK_OK);
	world_stat(&world, "/w", &stat);
	assert_int_equal(stat.version, 2);
	assert_int_equal(stat.data_bytes, -1);
	assert_int_equal(world_set(&world, "/", "root", 0), ZK_OK);
	assert_int_equal(world_set(&world, "/zookeeper", "z", 0), ZK_OK);
	world_close(&world);
}

/* 30: versions near the ends, put there by an entry as a log has it. */
static void
versions_wrap_and_skip_minus_one(void **state)
{
	(void)state;
	static const struct {
		int32_t before, after;
	} row[] = {{INT32_MAX, INT32_MIN},
		   {-2, 0},
		   {-3, -2},
		   {INT32_MIN, INT32_MIN + 1}};
	struct world world;
	struct tree_stat stat;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/w", 0), ZK_OK);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		uint8_t memory[128];
		bool matches = true;
		struct jute_writer entry =
			jute_writer_of(memory, sizeof(memory));

		txn_put_header(&entry,
			       &(struct txn_header){.zxid = ++world.zxid,
						    .type = OP_SET_DATA});
		txn_put_record(&entry, &(struct txn_record){
					       .type = OP_SET_DATA,
					       .path = jute_slice_of("/w", 2),
					       .version = row[i].before});
		assert_int_equal(prep_apply(world.prep, memory,
					    (uint32_t)jute_written(&entry),
					    NULL, &matches),
				 0);
		world_publish(&world);
		assert_int_equal(world_set(&world, "/w", "y", row[i].before),
				 ZK_OK);
		world_stat(&world, "/w", &stat);
		assert_int_equal(stat.version, row[i].after);
	}
	world_close(&world);
}

static void
set_acl_is_refused_in_order_and_changes_aversion_alone(void **state)
{
	(void)state;
	struct world world;
	struct tree_stat before, after;
	const struct proto_acl locked = LOCKED;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/w", 0), ZK_OK);
	make_read_only(&world, "/ro");
	assert_int_equal(world_set_acl(&world, "/w/", &empty_acl, 0, 9), -8);
	assert_int_equal(world_set_acl(&world, "/missing", &empty_acl, 0, 9),
			 -114);
	assert_int_equal(world_set_acl(&world, "/missing", NULL, 0, 9), -114);
	assert_int_equal(world_set_acl(&world, "/missing", &locked, 1, 9),
			 -101);
	assert_int_equal(world_set_acl(&world, "/ro", &locked, 1, 9), -102);
	assert_int_equal(world_set_acl(&world, "/w", &locked, 1, 9), -103);
	world_assert_refused(&world, -103);
	world_stat(&world, "/w", &before);
	assert_int_equal(world_set_acl(&world, "/w", &locked, 1, 0), ZK_OK);
	assert_int_equal(world.result.reply.bytes, PROTO_STAT_BYTES);
	assert_int_equal(world.result.effect_count, 0);
	assert_int_equal(world_entry(&world).record.version, 1);
	world_stat(&world, "/w", &after);
	assert_int_equal(after.aversion, 1);
	before.aversion = 1;
	before.acl = after.acl;
	assert_memory_equal(&before, &after, sizeof(before));
	/* And the lock holds. */
	assert_int_equal(world_set_acl(&world, "/w", &locked, 1, 9), -102);
	/* The node's own ACL does not protect it from deletion. */
	assert_int_equal(world_delete(&world, "/w", -1), ZK_OK);
	world_close(&world);
}

/* ---- effects ------------------------------------------------------------- */

static const struct effect *
effect_at(const struct world *world, uint32_t index)
{
	uint32_t at = 0;

	assert_true(index < world->result.effect_count);
	for (; index > 0; index--) {
		const struct effect *effect =
			(const void *)(world->result.effects.data + at);

		at += effect_bytes(effect->path_bytes);
	}
	return (const void *)(world->result.effects.data + at);
}

static void
assert_effect(const struct world *world, uint32_t index, uint8_t type,
	      uint8_t tables, const char *path, uint32_t acl)
{
	const struct effect *effect = effect_at(world, index);

	assert_int_equal(effect->type, type);
	assert_int_equal(effect->tables, tables);
	assert_int_equal(effect->path_bytes, strlen(path));
	assert_memory_equal(effect->path, path, strlen(path));
	assert_int_equal(effect->acl, acl);
	assert_true(
		effect->path_hash ==
		tree_path_of(world->tree, path, (uint32_t)strlen(path)).hash);
}

static void
events_come_in_the_order_of_section_5_2(void **state)
{
	(void)state;
	struct world world;
	struct tree_stat stat;
	const struct proto_acl read[] = {
		READ_ONLY, world_acl(PERM_ALL, "ip", "127.0.0.1")};

	world_open(&world, NULL);
	assert_int_equal(world_create_acl(&world, "/p", read, 2), -114 * 0);
	world_stat(&world, "/p", &stat);
	assert_int_equal(world.result.effect_count, 2);
	assert_effect(&world, 0, EVENT_NODE_CREATED, EFFECT_TABLE_DATA, "/p",
		      stat.acl);
	assert_effect(&world, 1, EVENT_NODE_CHILDREN_CHANGED,
		      EFFECT_TABLE_CHILD, "/", ACL_ID_OPEN);
	assert_int_equal(world_create(&world, OP_CREATE, "/p/c", 0), ZK_OK);
	assert_effect(&world, 0, EVENT_NODE_CREATED, EFFECT_TABLE_DATA, "/p/c",
		      ACL_ID_OPEN);
	assert_effect(&world, 1, EVENT_NODE_CHILDREN_CHANGED,
		      EFFECT_TABLE_CHILD, "/p", stat.acl);
	assert_int_equal(world_set(&world, "/p", "y", -1), ZK_OK);
	assert_int_equal(world.result.effect_count, 1);
	assert_effect(&world, 0, EVENT_NODE_DATA_CHANGED, EFFECT_TABLE_DATA,
		      "/p", stat.acl);
	assert_int_equal(world_set(&world, "/", "y", -1), ZK_OK);
	assert_effect(&world, 0, EVENT_NODE_DATA_CHANGED, EFFECT_TABLE_DATA,
		      "/", ACL_ID_OPEN);
	assert_int_equal(world_delete(&world, "/p/c", -1), ZK_OK);
	assert_int_equal(world.result.effect_count, 2);
	assert_effect(&world, 0, EVENT_NODE_DELETED,
		      EFFECT_TABLE_DATA | EFFECT_TABLE_CHILD, "/p/c",
		      ACL_ID_OPEN);
	assert_effect(&world, 1, EVENT_NODE_CHILDREN_CHANGED,
		      EFFECT_TABLE_CHILD, "/p", stat.acl);
	assert_int_equal(world.result.effects.bytes,
			 effect_bytes(4) + effect_bytes(2));
	world_close(&world);
}

/* One request must not make the writer write gigabytes, nor keep them. */
static void
an_acl_that_grows_out_of_all_bounds_is_no_transaction(void **state)
{
	(void)state;
	static uint8_t body[WORLD_BODY_BYTES];
	static char name[4096];
	struct jute_writer writer = jute_writer_of(body, sizeof(body));
	struct auth_ids *ids;
	struct world world;

	world_open(&world, NULL);
	ids = auth_ids_new(&world.acl_options, NULL);
	memset(name, 'x', sizeof(name) - 1);
	for (char c = 'a'; c < 'n'; c++) {
		name[0] = c;

		struct auth_ids *more =
			auth_ids_with(ids, jute_slice_of("digest", 6),
				      jute_slice_of(name, sizeof(name) - 1));

		assert_non_null(more);
		auth_ids_free(ids);
		ids = more;
	}
	world.ids = ids;
	jute_put_cstr(&writer, "/grown");
	jute_put_int(&writer, -1);
	jute_put_int(&writer, 20000);
	for (uint32_t i = 0; i < 20000; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%u", i);
		proto_put_acl(&writer,
			      &(struct proto_acl){
				      .perms = PERM_ALL,
				      .scheme = jute_slice_of("auth", 4),
				      .id = jute_slice_of(id, strlen(id))});
	}
	jute_put_int(&writer, 0);
	assert_false(writer.is_full);
	assert_int_equal(
		world_try(&world, OP_CREATE, body, jute_written(&writer)),
		FAL_ENOSPC);
	assert_true(world.prep->acl.cap <= 16u << 20);
	assert_false(world_has(&world, "/grown"));
	assert_int_equal(world_create(&world, OP_CREATE, "/next", 0), ZK_OK);
	world.ids = world.nobody;
	auth_ids_free(ids);
	world_close(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creates_are_refused_in_the_order_of_the_table),
		cmocka_unit_test(ttl_nodes_need_the_extended_types),
		cmocka_unit_test(null_data_and_empty_data_are_kept_apart),
		cmocka_unit_test(a_create_leaves_node_parent_entry_and_reply),
		cmocka_unit_test(the_opcode_decides_what_kind_is_stored),
		cmocka_unit_test(suffixes_count_creations_of_all_kinds),
		cmocka_unit_test(creates_in_flight_see_each_other),
		cmocka_unit_test(paths_follow_the_rules_of_section_10),
		cmocka_unit_test(a_nul_byte_in_a_path_is_a_bad_argument),
		cmocka_unit_test(deletes_are_refused_in_order),
		cmocka_unit_test(a_delete_moves_pzxid_but_not_the_counter),
		cmocka_unit_test(set_data_is_refused_in_order),
		cmocka_unit_test(set_data_counts_versions_and_moves_times),
		cmocka_unit_test(versions_wrap_and_skip_minus_one),
		cmocka_unit_test(
			set_acl_is_refused_in_order_and_changes_aversion_alone),
		cmocka_unit_test(events_come_in_the_order_of_section_5_2),
		cmocka_unit_test(
			an_acl_that_grows_out_of_all_bounds_is_no_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
