/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    An entry made elsewhere gives the tree that its maker has: entries
 *         of real servers down to the digest, entries of prep down to replies
 *         and events; and replay over a snapshot that was taken while
 *         transactions went on ends at the same tree (disk-format.md 7, 8).
 * Method  the captured logs; random requests through prep into one tree and
 *         their entries through prep_apply() into a second one; the same with
 *         a fuzzy snapshot in between, dumped node by node as the reference
 *         server does. Seeds are printed; FAL_SEED sets one, FAL_ROUNDS the
 *         length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prep_random.h"
#include "vector_file.h"

static uint32_t
rounds(uint32_t usual)
{
	const char *text = getenv("FAL_ROUNDS");

	return text == NULL ? usual : (uint32_t)strtoul(text, NULL, 0);
}

/* ---- captured logs ------------------------------------------------------- */

struct replay {
	struct world world;
	uint32_t entries, mismatches, digests;
};

/* Applies all entries of a log file (format: disk-format.md section 2). */
static void
replay_file(struct replay *replay, const char *name)
{
	char path[512];
	size_t bytes;

	snprintf(path, sizeof(path), "%s/disk/%s", GOLDEN_DIR, name);
	uint8_t *file = vector_read_bytes(path, &bytes);
	struct jute_reader reader = jute_reader_of(file, bytes);

	(void)jute_take(&reader, 16);
	for (;;) {
		(void)jute_get_long(&reader);
		const int32_t length = jute_get_int(&reader);

		if (!jute_reader_ok(&reader) || length <= 0)
			break;
		const uint8_t *entry = jute_take(&reader, (size_t)length);
		bool matches = true;

		assert_int_equal(jute_get_byte(&reader), 'B');
		assert_int_equal(prep_apply(replay->world.prep, entry,
					    (uint32_t)length,
					    &replay->world.result, &matches),
				 0);
		replay->world.zxid = replay->world.result.zxid;
		world_publish(&replay->world);
		replay->entries++;
		replay->mismatches += !matches;
	}
	free(file);
}

static void
replay_open(struct replay *replay)
{
	memset(replay, 0, sizeof(*replay));
	world_open(&replay->world, NULL);
}

static void
entries_of_every_type_give_the_digests_of_their_maker(void **state)
{
	(void)state;
	struct replay replay;

	replay_open(&replay);
	replay_file(&replay, "txn-types/log.100000001");
	assert_int_equal(replay.entries, 38);
	assert_int_equal(replay.mismatches, 0);
	assert_int_equal(replay.world.zxid, 0x100000026);
	world_close(&replay.world);
}

static void
the_full_fixture_ends_at_its_digest(void **state)
{
	(void)state;
	struct replay replay;
	struct tree_counts counts;

	replay_open(&replay);
	replay_file(&replay, "fixture-full/server1/version-2/log.100000001");
	replay_file(&replay, "fixture-full/server1/version-2/log.100000027");
	replay_file(&replay, "fixture-full/server1/version-2/log.100000049");
	replay_file(&replay, "fixture-full/server1/version-2/log.100000071");
	assert_int_equal(replay.mismatches, 0);
	assert_int_equal(replay.world.zxid, 0x10000007e);
	assert_true(replay.world.result.digest == 0x244c60d22a);
	tree_counts(replay.world.tree, &counts);
	assert_int_equal(counts.nodes, 78);
	world_close(&replay.world);
}

static void
other_captured_logs_replay_without_a_mismatch(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint32_t entries;
	} row[] = {
		{"reconfig/version-2/log.100000001", 12},
		{"rollover/log.1fffffff1", 44},
		{"no-closesession-body/log.1", 5},
		{"no-digest/log.1", 5},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct replay replay;

		replay_open(&replay);
		replay_file(&replay, row[i].name);
		assert_int_equal(replay.mismatches, 0);
		assert_int_equal(replay.entries, row[i].entries);
		world_close(&replay.world);
	}
}

static void
creates_without_a_counter_and_closes_without_a_body(void **state)
{
	(void)state;
	struct replay replay;
	struct tree_stat stat;

	replay_open(&replay);
	replay_file(&replay, "synthetic-v0/log.1");
	assert_int_equal(replay.world.zxid, 4);
	assert_true(world_has(&replay.world, "/v0"));
	assert_false(world_has(&replay.world, "/v0/eph"));
	world_stat(&replay.world, "/v0", &stat);
	assert_int_equal(stat.cversion, 1);
	assert_int_equal(stat.pzxid, 4);
	world_close(&replay.world);
}

static void
a_bare_check_is_counted_and_changes_nothing(void **state)
{
	(void)state;
	struct replay replay;
	struct prep_counts counts;

	replay_open(&replay);
	replay_file(&replay, "bare-check/log.100000001");
	prep_get_counts(replay.world.prep, &counts);
	assert_int_equal(counts.bare_checks, 1);
	assert_int_equal(replay.mismatches, 0);
	world_close(&replay.world);
}

/* ---- single entries ------------------------------------------------------ */

/* Applies one record under the next zxid. Returns the result's code. */
static int32_t
apply_one(struct world *world, const struct txn_record *record)
{
	static uint8_t memory[4096];
	struct jute_writer entry = jute_writer_of(memory, sizeof(memory));
	bool matches = true;

	txn_put_header(&entry,
		       &(struct txn_header){.session_id = world->session_id,
					    .zxid = ++world->zxid,
					    .time_ms = ++world->time_ms,
					    .type = record->type});
	txn_put_record(&entry, record);
	assert_int_equal(prep_apply(world->prep, memory,
				    (uint32_t)jute_written(&entry),
				    &world->result, &matches),
			 0);
	world_publish(world);
	return world->result.err;
}

static struct txn_record
create_record(int32_t type, const char *path, int32_t cversion)
{
	return (struct txn_record){.type = type,
				   .path = jute_slice_of(path, strlen(path)),
				   .data = jute_slice_of("new", 3),
				   .acl = {.count = -1},
				   .parent_cversion = cversion,
				   .ttl = 1};
}

static void
a_create_of_a_node_that_is_there_mends_acl_and_parent(void **state)
{
	(void)state;
	static const int32_t types[] = {OP_CREATE, OP_CREATE2,
					OP_CREATE_CONTAINER, OP_CREATE_TTL};
	struct world world;
	struct tree_stat before, after, parent;
	const struct proto_acl locked = world_acl(31, "digest", "a:b");

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct txn_record record =
			create_record(types[i], "/d/n", 100 + (int32_t)i);

		assert_int_equal(world_create_acl(&world, "/d/n", &locked, 1),
				 ZK_OK);
		world_stat(&world, "/d/n", &before);
		world_stat(&world, "/d", &parent);
		assert_int_equal(apply_one(&world, &record), ZK_NODEEXISTS);
		assert_int_equal(world.result.effect_count, 0);
		assert_int_equal(world.result.reply.bytes, 0);
		world_stat(&world, "/d/n", &after);
		assert_int_equal(after.acl, ACL_ID_OPEN);
		before.acl = after.acl;
		assert_memory_equal(&before, &after, sizeof(before));
		world_stat(&world, "/d", &after);
		/* Only type 1 mends the parent. */
		if (types[i] == OP_CREATE) {
			parent.cversion = 100;
			parent.pzxid = world.zxid;
		}
		assert_memory_equal(&parent, &after, sizeof(parent));
		assert_int_equal(world_delete(&world, "/d/n", -1), ZK_OK);
	}
	/* A counter that is not larger changes nothing. */
	assert_int_equal(world_create(&world, OP_CREATE, "/d/n", 0), ZK_OK);
	world_stat(&world, "/d", &parent);
	const struct txn_record old = create_record(OP_CREATE, "/d/n", 5);

	assert_int_equal(apply_one(&world, &old), ZK_NODEEXISTS);
	world_stat(&world, "/d", &after);
	assert_memory_equal(&parent, &after, sizeof(parent));
	world_close(&world);
}

static void
absent_nodes_and_parents_are_results(void **state)
{
	(void)state;
	struct world world;
	struct tree_stat stat;
	struct txn_record record;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	record = create_record(OP_CREATE, "/missing/n", 1);
	assert_int_equal(apply_one(&world, &record), ZK_NONODE);
	static const int32_t types[] = {OP_DELETE, OP_DELETE_CONTAINER};

	for (int i = 0; i < 2; i++) {
		record = create_record(types[i], "/missing/n", 0);
		assert_int_equal(apply_one(&world, &record), ZK_NONODE);
		/* The parent's pzxid moves although the child is gone. */
		record = create_record(types[i], "/d/n", 0);
		assert_int_equal(apply_one(&world, &record), ZK_NONODE);
		world_stat(&world, "/d", &stat);
		assert_int_equal(stat.pzxid, world.zxid);
		assert_int_equal(stat.cversion, 0);
		assert_int_equal(world.result.effect_count, 0);
	}
	record = create_record(OP_SET_DATA, "/d/n", 0);
	assert_int_equal(apply_one(&world, &record), ZK_NONODE);
	record.type = OP_SET_ACL;
	assert_int_equal(apply_one(&world, &record), ZK_NONODE);
	world_close(&world);
}

static void
paths_that_no_server_makes_do_no_harm(void **state)
{
	(void)state;
	static const char *const paths[] = {"",    "/",   "//",   "//x", "x",
					    "x/y", "/d/", "/d//", "/",   "d/"};
	static const int32_t types[] = {OP_CREATE,   OP_CREATE2, OP_DELETE,
					OP_SET_DATA, OP_SET_ACL, OP_CHECK};
	struct world world;
	struct tree_counts counts;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		for (size_t k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
			const struct txn_record record =
				create_record(types[k], paths[i], 1);

			(void)apply_one(&world, &record);
		}
	}
	tree_counts(world.tree, &counts);
	assert_int_equal(counts.nodes, 5);
	world_close(&world);
}

static void
a_ttl_that_kills_java_makes_a_plain_node(void **state)
{
	(void)state;
	static const int64_t ttls[] = {0, -1, 1ll << 40, INT64_MIN};
	struct world world;
	struct tree_stat stat;
	struct prep_counts counts;

	world_open(&world, NULL);
	for (size_t i = 0; i < sizeof(ttls) / sizeof(ttls[0]); i++) {
		struct txn_record record =
			create_record(OP_CREATE_TTL, "/t", (int32_t)i + 1);

		record.ttl = ttls[i];
		assert_int_equal(apply_one(&world, &record), ZK_OK);
		world_stat(&world, "/t", &stat);
		assert_int_equal(stat.owner, 0);
		assert_int_equal(world_delete(&world, "/t", -1), ZK_OK);
		prep_get_counts(world.prep, &counts);
		assert_int_equal(counts.bad_ttls, i + 1);
	}
	struct txn_record longest = create_record(OP_CREATE_TTL, "/t", 9);

	longest.ttl = PROTO_TTL_MAX;
	assert_int_equal(apply_one(&world, &longest), ZK_OK);
	world_stat(&world, "/t", &stat);
	assert_true(stat.owner == (PROTO_TTL_MASK | PROTO_TTL_MAX));
	prep_get_counts(world.prep, &counts);
	assert_int_equal(counts.bad_ttls, 4);
	world_close(&world);
}

static void
a_delete_over_a_fuzzy_snapshot_takes_the_subtree(void **state)
{
	(void)state;
	struct world world;
	struct txn_record record = create_record(OP_DELETE, "/d", 0);

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	const uint64_t digest = world.result.digest;

	assert_int_equal(world_create(&world, OP_CREATE, "/d/a", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/b", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/a/x", 1), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/a/y", 0), ZK_OK);
	assert_int_equal(apply_one(&world, &record), ZK_OK);
	assert_int_equal(world.result.effect_count, 2);
	assert_false(world_has(&world, "/d"));
	assert_false(world_has(&world, "/d/a/y"));
	assert_null(tree_ephemeral(world.tree, WORLD_SESSION, 0));
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	assert_true(world.result.digest != digest);
	assert_false(world_has(&world, "/d/a"));
	world_close(&world);
}

static void
entries_that_do_not_decode_change_nothing(void **state)
{
	(void)state;
	struct world world, other;

	world_open(&world, NULL);
	world_open(&other, NULL);
	world_body(&world);
	world_add_create(&world, OP_CREATE, "/a", 0);
	world_add_create(&world, OP_CREATE, "/a/b", 0);
	assert_int_equal(world_run_multi(&world), ZK_OK);
	for (uint32_t cut = 0; cut < world.entry_bytes; cut++) {
		bool matches = true;

		/* Without its digest an entry is whole. */
		if (cut == world.entry_bytes - TXN_DIGEST_BYTES)
			continue;
		assert_int_equal(prep_apply(other.prep, world.entry, cut,
					    &other.result, &matches),
				 FAL_EPROTO);
	}
	assert_false(world_has(&other, "/a"));
	world_close(&other);
	world_close(&world);
}

static void
digests_of_our_version_are_compared_and_no_others(void **state)
{
	(void)state;
	static const struct {
		int32_t version;
		uint64_t change;
		bool matches;
	} row[] = {{2, 0, true}, {2, 1, false}, {1, 1, true}, {3, 1, true}};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct world world, other;
		bool matches = true;

		world_open(&world, NULL);
		world_open(&other, NULL);
		assert_int_equal(world_create(&world, OP_CREATE, "/a", 0),
				 ZK_OK);
		uint8_t *digest =
			world.entry + world.entry_bytes - TXN_DIGEST_BYTES;

		be_store32(digest, (uint32_t)row[i].version);
		be_store64(digest + 4, be_load64(digest + 4) + row[i].change);
		assert_int_equal(prep_apply(other.prep, world.entry,
					    world.entry_bytes, &other.result,
					    &matches),
				 0);
		assert_int_equal(matches, row[i].matches);
		assert_true(world_has(&other, "/a"));
		world_close(&other);
		world_close(&world);
	}
}

/* ---- leader and follower ------------------------------------------------- */

static void
assert_same_effects(const struct world *a, const struct world *b)
{
	assert_int_equal(a->result.effect_count, b->result.effect_count);
	assert_int_equal(a->result.effects.bytes, b->result.effects.bytes);
	/* Without paths in the entry each replica takes its own order. */
	if (a->result.type == OP_CLOSE_SESSION && !a->options.has_close_paths)
		return;
	uint32_t at = 0;

	for (uint32_t i = 0; i < a->result.effect_count; i++) {
		const struct effect *one =
			(const void *)(a->result.effects.data + at);
		const struct effect *two =
			(const void *)(b->result.effects.data + at);
		const struct acl_list *acl_one =
			acl_table_get(tree_acls(a->tree), one->acl);
		const struct acl_list *acl_two =
			acl_table_get(tree_acls(b->tree), two->acl);

		/* Hashes are keyed per tree, ACL numbers are local. */
		assert_int_equal(one->type, two->type);
		assert_int_equal(one->tables, two->tables);
		assert_int_equal(one->path_bytes, two->path_bytes);
		assert_memory_equal(one->path, two->path, one->path_bytes);
		assert_int_equal(acl_one->entries.bytes,
				 acl_two->entries.bytes);
		assert_memory_equal(acl_one->entries.data,
				    acl_two->entries.data,
				    acl_one->entries.bytes);
		at += effect_bytes(one->path_bytes);
	}
}

/* Applies the leader's last entry to a follower; result compared if wanted. */
static void
follow(struct world *leader, struct world *follower, bool wants_result)
{
	bool matches = true;

	assert_int_equal(
		prep_apply(follower->prep, leader->entry, leader->entry_bytes,
			   wants_result ? &follower->result : NULL, &matches),
		0);
	assert_true(matches);
	follower->zxid = leader->zxid;
	if (!wants_result)
		return;
	assert_int_equal(leader->result.type, follower->result.type);
	assert_int_equal(leader->result.err, follower->result.err);
	assert_int_equal(leader->result.must_close,
			 follower->result.must_close);
	assert_true(leader->result.digest == follower->result.digest);
	assert_int_equal(leader->result.reply.bytes,
			 follower->result.reply.bytes);
	assert_memory_equal(leader->result.reply.data,
			    follower->result.reply.data,
			    leader->result.reply.bytes);
	assert_same_effects(leader, follower);
}

static void
publish_all(struct world *leader, struct world *follower)
{
	world_publish(leader);
	world_publish(follower);
}

static void
lead_and_follow(struct prep_options options, uint64_t seed, uint32_t count)
{
	struct random random = random_start(seed);
	struct world leader, follower, recovered;
	uint32_t refused = 0, good_multis = 0, bad_multis = 0;

	world_open(&leader, &options);
	options.enforce_quota = false;
	world_open(&follower, &options);
	world_open(&recovered, &options);
	leader.is_held_back = true;
	for (uint32_t i = 0; i < count; i++) {
		const uint64_t digest = leader.result.digest;

		assert_int_equal(prep_random_request(&leader, &random), 0);
		follow(&leader, &follower, true);
		follow(&leader, &recovered, false);
		refused += leader.result.type == OP_ERROR;
		if (leader.result.type == OP_MULTI) {
			const bool has_failed =
				leader.result.reply.bytes >= 9 &&
				(int32_t)be_load32(leader.result.reply.data) ==
					OP_ERROR &&
				leader.result.reply.data[4] == 0;

			good_multis += !has_failed;
			bad_multis += has_failed;
			if (has_failed && i > 0)
				assert_true(leader.result.digest == digest);
		}
		if (leader.result.type == OP_ERROR && i > 0)
			assert_true(leader.result.digest == digest);
		prep_publish_session(leader.prep, leader.result.type,
				     leader.session_id, 10000, 1);
		if (random_below(&random, 4) == 0) {
			publish_all(&leader, &follower);
			world_publish(&recovered);
		}
		if (i % 1000 == 999) {
			prep_assert_same_tree(&leader, &follower);
			prep_assert_same_tree(&leader, &recovered);
		}
	}
	/* The mix must not degenerate. */
	assert_true(refused > count / 20 && refused < count * 9 / 10);
	assert_true(good_multis > count / 50 && bad_multis > count / 50);
	world_close(&recovered);
	world_close(&follower);
	world_close(&leader);
}

static void
a_follower_gets_the_tree_replies_and_events(void **state)
{
	(void)state;
	struct prep_options options = {.has_extended_types = true,
				       .is_digest_on = true,
				       .has_close_paths = true,
				       .answers_create2_as_create = true,
				       .enforce_quota = true};

	lead_and_follow(options, 1, rounds(20000));
	options.has_close_paths = false;
	lead_and_follow(options, 3, rounds(5000));
	options.is_digest_on = false;
	options.has_extended_types = false;
	lead_and_follow(options, 4, rounds(5000));
}

/* ---- fuzzy snapshots ----------------------------------------------------- */

struct fuzzy {
	struct world *leader;
	struct world *loaded;
	struct random *random;
	uint8_t *log; /* entries made while the dump goes on: bytes, entry */
	uint32_t log_bytes;
};

#define FUZZY_LOG_BYTES (8u << 20)

static void
leader_goes_on(struct fuzzy *fuzzy, uint32_t requests)
{
	struct world *leader = fuzzy->leader;

	for (; requests > 0; requests--) {
		assert_int_equal(prep_random_request(leader, fuzzy->random), 0);
		assert_true(fuzzy->log_bytes + 4 + leader->entry_bytes <=
			    FUZZY_LOG_BYTES);
		uint8_t *to = fuzzy->log + fuzzy->log_bytes;

		memcpy(to, &leader->entry_bytes, 4);
		memcpy(to + 4, leader->entry, leader->entry_bytes);
		fuzzy->log_bytes += 4 + leader->entry_bytes;
	}
}

/* Writes one node into the snapshot. False: it is gone. */
static bool
dump_node(struct fuzzy *fuzzy, const char *path, char (*names)[32],
	  uint32_t *name_count)
{
	struct world *leader = fuzzy->leader;
	struct tree_stat stat;
	uint64_t cursor = 0;
	struct znode *child;
	struct znode *node =
		tree_find(leader->tree, tree_path_of(leader->tree, path,
						     (uint32_t)strlen(path)));

	if (node == NULL)
		return false;
	tree_spec_stat(leader->tree, node, &stat);
	const struct acl_list *acl =
		acl_table_get(tree_acls(leader->tree), stat.acl);

	stat.acl =
		acl_table_intern(tree_acls(fuzzy->loaded->tree), &acl->entries);
	assert_int_equal(tree_load_node(fuzzy->loaded->tree, path,
					(uint32_t)strlen(path),
					tree_spec_data(leader->tree, node),
					&stat),
			 0);
	*name_count = 0;
	while ((child = tree_spec_child(leader->tree, node, &cursor)) != NULL) {
		char text[256];
		const uint32_t bytes = tree_path_text(
			leader->tree, child, (uint8_t *)text, sizeof(text) - 1);

		text[bytes] = '\0';
		assert_true(*name_count < 512);
		snprintf(names[(*name_count)++], 32, "%s",
			 strrchr(text, '/') + 1);
	}
	return true;
}

/* As the reference server does it: a node and its children's names at once,
 * then child by child, while writes go on. */
static void
dump_subtree(struct fuzzy *fuzzy, const char *path)
{
	char(*names)[32] = malloc(512 * sizeof(*names));
	uint32_t count;

	if (dump_node(fuzzy, path, names, &count)) {
		for (uint32_t i = 0; i < count; i++) {
			char child[300];

			snprintf(child, sizeof(child), "%s/%s", path, names[i]);
			leader_goes_on(fuzzy, random_below(fuzzy->random, 3));
			dump_subtree(fuzzy, child);
		}
	}
	free(names);
}

static void
replay_log(struct fuzzy *fuzzy)
{
	uint32_t at = 0;

	while (at < fuzzy->log_bytes) {
		uint32_t bytes;
		bool matches; /* not before the end is reached */

		memcpy(&bytes, fuzzy->log + at, 4);
		assert_int_equal(prep_apply(fuzzy->loaded->prep,
					    fuzzy->log + at + 4, bytes, NULL,
					    &matches),
				 0);
		at += 4 + bytes;
	}
}

/* Stats nodes of quotas are local state and recounted elsewhere; a fuzzy dump
 * counts them twice. So these runs compare digests, which leave them out. */
static void
replay_over_a_fuzzy_snapshot_ends_the_same(void **state)
{
	(void)state;
	struct random random = random_start(2);
	const uint32_t count = rounds(400);

	for (uint32_t i = 0; i < count; i++) {
		struct world leader, loaded;
		struct fuzzy fuzzy = {.leader = &leader,
				      .loaded = &loaded,
				      .random = &random,
				      .log = malloc(FUZZY_LOG_BYTES)};

		world_open(&leader, NULL);
		world_open(&loaded, NULL);
		leader_goes_on(&fuzzy, random_below(&random, 60));
		fuzzy.log_bytes = 0;
		const int64_t start = leader.zxid;

		tree_load_begin(loaded.tree);
		dump_subtree(&fuzzy, "");
		assert_int_equal(tree_load_end(loaded.tree, start), 0);
		leader_goes_on(&fuzzy, random_below(&random, 5));
		replay_log(&fuzzy);
		loaded.zxid = leader.zxid;
		world_publish(&loaded);
		/* The last transaction's digest is the tree's. */
		assert_true(tree_published_digest(loaded.tree) ==
			    tree_published_digest(leader.tree));
		struct tree_counts one, two;

		tree_counts(leader.tree, &one);
		tree_counts(loaded.tree, &two);
		assert_int_equal(one.nodes, two.nodes);
		assert_int_equal(one.ephemerals, two.ephemerals);
		world_close(&loaded);
		world_close(&leader);
		free(fuzzy.log);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			entries_of_every_type_give_the_digests_of_their_maker),
		cmocka_unit_test(the_full_fixture_ends_at_its_digest),
		cmocka_unit_test(other_captured_logs_replay_without_a_mismatch),
		cmocka_unit_test(
			creates_without_a_counter_and_closes_without_a_body),
		cmocka_unit_test(a_bare_check_is_counted_and_changes_nothing),
		cmocka_unit_test(
			a_create_of_a_node_that_is_there_mends_acl_and_parent),
		cmocka_unit_test(absent_nodes_and_parents_are_results),
		cmocka_unit_test(paths_that_no_server_makes_do_no_harm),
		cmocka_unit_test(a_ttl_that_kills_java_makes_a_plain_node),
		cmocka_unit_test(
			a_delete_over_a_fuzzy_snapshot_takes_the_subtree),
		cmocka_unit_test(entries_that_do_not_decode_change_nothing),
		cmocka_unit_test(
			digests_of_our_version_are_compared_and_no_others),
		cmocka_unit_test(a_follower_gets_the_tree_replies_and_events),
		cmocka_unit_test(replay_over_a_fuzzy_snapshot_ends_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
