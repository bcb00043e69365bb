/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    Usage of quota roots is kept as ZooKeeper keeps it: text of the
 *         stats node only, deepest root only, recounted when the stats node is
 *         made; hard limits refuse with enforceQuota and never without;
 *         garbage in either node hurts nobody (client-protocol.md 9.3, 19).
 * Method  writes of every kind below one and two quota roots, the text of the
 *         stats nodes read after each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prep_world.h"
#include "znode/quota_sums.h"

#define LIMITS "zookeeper_limits"
#define STATS  "zookeeper_stats"

static const struct prep_options enforcing = {.has_extended_types = true,
					      .is_digest_on = true,
					      .has_close_paths = true,
					      .enforce_quota = true};

static void
assert_text(struct world *world, const char *path, const char *expected)
{
	struct znode *node =
		tree_find(world->tree, tree_path_of(world->tree, path,
						    (uint32_t)strlen(path)));

	assert_non_null(node);
	const struct jute_slice data = tree_spec_data(world->tree, node);

	assert_int_equal(data.bytes, strlen(expected));
	assert_memory_equal(data.data, expected, strlen(expected));
}

/* Makes `root` (one component) a quota root with that text of limits. */
static void
make_root(struct world *world, const char *root, const char *limits)
{
	char path[128];

	snprintf(path, sizeof(path), "/zookeeper/quota%s", root);
	assert_int_equal(world_create(world, OP_CREATE, path, 0), ZK_OK);
	snprintf(path, sizeof(path), "/zookeeper/quota%s/" LIMITS, root);
	assert_int_equal(world_create(world, OP_CREATE, path, 0), ZK_OK);
	assert_int_equal(world_set(world, path, limits, -1), ZK_OK);
	snprintf(path, sizeof(path), "/zookeeper/quota%s/" STATS, root);
	assert_int_equal(world_create(world, OP_CREATE, path, 0), ZK_OK);
}

static void
stats_follow_every_change_below_the_root(void **state)
{
	(void)state;
	struct world world;
	struct tree_stat before, after;
	const char *const stats = "/zookeeper/quota/a/" STATS;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/a/b", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/ab", 0), ZK_OK);
	make_root(&world, "/a", "count=9,bytes=99");
	/* "/a" and "/a/b" with one byte each; not "/ab". */
	assert_text(&world, stats, "count=2,bytes=2");
	world_stat(&world, stats, &before);
	assert_int_equal(world_create(&world, OP_CREATE, "/a/b/c", 0), ZK_OK);
	assert_int_equal(world.result.effect_count, 2);
	assert_text(&world, stats, "count=3,bytes=3");
	assert_int_equal(world_set(&world, "/a/b/c", "hello", -1), ZK_OK);
	assert_int_equal(world.result.effect_count, 1);
	assert_text(&world, stats, "count=3,bytes=7");
	assert_int_equal(world_set(&world, "/a", NULL, -1), ZK_OK);
	assert_text(&world, stats, "count=3,bytes=6");
	assert_int_equal(world_create(&world, OP_CREATE, "/ab/x", 0), ZK_OK);
	assert_int_equal(world_set(&world, "/", "y", -1), ZK_OK);
	assert_text(&world, stats, "count=3,bytes=6");
	assert_int_equal(world_delete(&world, "/a/b/c", -1), ZK_OK);
	assert_text(&world, stats, "count=2,bytes=1");
	assert_int_equal(world_create(&world, OP_CREATE, "/a/e", 1), ZK_OK);
	assert_text(&world, stats, "count=3,bytes=2");
	world_body(&world);
	assert_int_equal(world_run(&world, OP_CLOSE_SESSION), ZK_OK);
	assert_text(&world, stats, "count=2,bytes=1");
	/* Data only: nothing else of the stats node moved. */
	world_stat(&world, stats, &after);
	before.data_bytes = after.data_bytes;
	assert_memory_equal(&before, &after, sizeof(before));
	world_close(&world);
}

static void
the_deepest_root_counts_alone(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/a/b", 0), ZK_OK);
	make_root(&world, "/a", "count=9,bytes=99");
	make_root(&world, "/a/b", "count=9,bytes=99");
	assert_int_equal(world_create(&world, OP_CREATE, "/a/b/c", 0), ZK_OK);
	assert_text(&world, "/zookeeper/quota/a/" STATS, "count=2,bytes=2");
	assert_text(&world, "/zookeeper/quota/a/b/" STATS, "count=2,bytes=2");
	/* Without its limits a root is none, and the outer one counts. */
	assert_int_equal(
		world_delete(&world, "/zookeeper/quota/a/b/" LIMITS, -1),
		ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/a/b/d", 0), ZK_OK);
	assert_text(&world, "/zookeeper/quota/a/" STATS, "count=3,bytes=3");
	assert_text(&world, "/zookeeper/quota/a/b/" STATS, "count=2,bytes=2");
	world_close(&world);
}

static void
a_failed_multi_is_not_counted(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	make_root(&world, "/a", "count=9,bytes=99");
	world_body(&world);
	world_add_create(&world, OP_CREATE, "/a/x", 0);
	world_add_set(&world, "/a", "longer", -1);
	world_add_check(&world, "/a", 77);
	assert_int_equal(world_run_multi(&world), ZK_OK);
	assert_text(&world, "/zookeeper/quota/a/" STATS, "count=1,bytes=1");
	world_close(&world);
}

static void
hard_limits_refuse_and_soft_ones_do_not(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, &enforcing);
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	make_root(&world, "/a",
		  "count=1,bytes=1=;byteHardLimit=5;countHardLimit=3");
	assert_int_equal(world_create(&world, OP_CREATE, "/a/1", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/a/2", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/a/3", 0), -125);
	assert_int_equal(world_create_ttl(&world, "/a/3", 5, 1), -125);
	/* Existence comes before the quota. */
	assert_int_equal(world_create(&world, OP_CREATE, "/a/2", 0), -110);
	/* Three bytes are used: five are allowed, also exactly. */
	assert_int_equal(world_set(&world, "/a/1", "123", -1), ZK_OK);
	assert_int_equal(world_set(&world, "/a/1", "1234", -1), -125);
	/* The quota comes before the version. */
	assert_int_equal(world_set(&world, "/a/1", "1234", 77), -125);
	assert_int_equal(world_set(&world, "/a/1", "123", 77), -103);
	assert_int_equal(world_set(&world, "/a/1", NULL, -1), ZK_OK);
	assert_int_equal(world_delete(&world, "/a/2", -1), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/a/3", 0), ZK_OK);
	world_close(&world);
	/* The same without enforceQuota. */
	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	make_root(&world, "/a", "count=1,bytes=1=;countHardLimit=1");
	assert_int_equal(world_create(&world, OP_CREATE, "/a/1", 0), ZK_OK);
	world_close(&world);
}

static void
garbage_in_quota_nodes_is_no_limit_and_no_harm(void **state)
{
	(void)state;
	static const char *const garbage[] = {
		"",
		"=",
		";;,,",
		"count",
		"count=",
		"count=x,bytes=y",
		"countHardLimit=99999999999999999999",
		"countHardLimit=-",
		"byteHardLimit==;=",
		NULL,
	};
	struct world world;

	world_open(&world, &enforcing);
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	make_root(&world, "/a", "count=1,bytes=1");
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		assert_int_equal(world_set(&world, "/zookeeper/quota/a/" LIMITS,
					   garbage[i], -1),
				 ZK_OK);
		assert_int_equal(world_set(&world, "/zookeeper/quota/a/" STATS,
					   garbage[i], -1),
				 ZK_OK);
		assert_int_equal(world_create(&world, OP_CREATE, "/a/s", 2),
				 ZK_OK);
	}
	/* Nothing was there, one node and byte were added to -1 and -1. */
	assert_text(&world, "/zookeeper/quota/a/" STATS, "count=0,bytes=0");
	assert_int_equal(world_set(&world, "/zookeeper/quota/a/" STATS,
				   "bytes=9223372036854775807;count=7,,"
				   "countHardLimit=5=;byteHardLimit=6",
				   -1),
			 ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/a/s", 2), ZK_OK);
	assert_text(&world, "/zookeeper/quota/a/" STATS,
		    "count=8,bytes=-9223372036854775808="
		    ";byteHardLimit=6;countHardLimit=5");
	assert_int_equal(world_set(&world, "/zookeeper/quota/a/" STATS,
				   "count=1,bytes=1=;countHardLimit=5", -1),
			 ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/a/s", 2), ZK_OK);
	assert_text(&world, "/zookeeper/quota/a/" STATS,
		    "count=2,bytes=2=;countHardLimit=5");
	world_close(&world);
}

static void
stats_of_the_root_and_of_missing_paths(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	/* Counts the tree, but the root is no quota root. */
	assert_int_equal(
		world_create(&world, OP_CREATE, "/zookeeper/quota/" STATS, 0),
		ZK_OK);
	assert_text(&world, "/zookeeper/quota/" STATS, "count=5,bytes=1");
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	assert_text(&world, "/zookeeper/quota/" STATS, "count=5,bytes=1");
	make_root(&world, "/missing", "count=1,bytes=1");
	assert_text(&world, "/zookeeper/quota/missing/" STATS,
		    "count=0,bytes=0");
	world_close(&world);
}

static void
recounting_walks_wide_and_deep_trees(void **state)
{
	(void)state;
	struct world world;
	char path[1024] = "/a";

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	for (int i = 0; i < 1500; i++)
		assert_int_equal(world_create(&world, OP_CREATE, "/a/w", 2),
				 ZK_OK);
	for (int i = 0; i < 150; i++) {
		strcat(path, "/d");
		assert_int_equal(world_create(&world, OP_CREATE, path, 0),
				 ZK_OK);
	}
	make_root(&world, "/a", "count=1,bytes=1");
	assert_text(&world, "/zookeeper/quota/a/" STATS,
		    "count=1651,bytes=1651");
	world_close(&world);
}

static int64_t
row_of(const struct namespace_counts *counts, const char *name)
{
	struct jute_slice row;
	int64_t count;

	for (uint32_t i = 0; namespace_counts_row(counts, i, &row, &count); i++)
		if (jute_slice_equal(row, jute_slice_of(name, strlen(name))))
			return count;
	fail_msg("no row %s", name);
	return 0;
}

static void
gather(struct world *world, struct quota_sums *out)
{
	_Atomic uint64_t published;
	struct tree_reader *reader = tree_reader_register(world->tree);

	assert_non_null(reader);
	world_publish(world);
	atomic_init(&published, (uint64_t)world->zxid);
	memset(out, 0, sizeof(*out));
	assert_int_equal(
		quota_sums_gather(world->tree, reader,
				  tree_reader_online(reader, &published), out),
		0);
	tree_reader_unregister(reader);
}

/* Hard before soft, -1 added as a number, and what is not a leaf of one of the
 * two names left out: QuotaMetricsUtils of ZooKeeper 3.9. */
static void
sums_are_by_top_node(void **state)
{
	(void)state;
	struct quota_sums sums;
	struct world world;
	char path[64];

	world_open(&world, NULL);
	gather(&world, &sums);
	assert_int_equal(sums.count_limit.rows, 0);
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/a/b", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/c", 0), ZK_OK);
	make_root(&world, "/a",
		  "count=10,bytes=20=;byteHardLimit=30;countHardLimit=0");
	make_root(&world, "/a/b", "count=5,bytes=-1");
	make_root(&world, "/c", "count=-1,bytes=-1");
	gather(&world, &sums);
	assert_int_equal(row_of(&sums.count_limit, "a"), 0 + 5);
	assert_int_equal(row_of(&sums.bytes_limit, "a"), 30 - 1);
	assert_int_equal(row_of(&sums.count_usage, "a"), 2 + 1);
	assert_int_equal(row_of(&sums.bytes_usage, "a"), 2 + 1);
	assert_int_equal(row_of(&sums.count_limit, "c"), -1);
	assert_int_equal(row_of(&sums.count_usage, "c"), 1);
	assert_int_equal(sums.count_limit.rows, 2);
	/* No quota any more; more nodes than the walk visits in one slice. */
	assert_int_equal(world_create(&world, OP_CREATE,
				      "/zookeeper/quota/c/" LIMITS "/x", 0),
			 ZK_OK);
	for (int i = 0; i < 1500; i++) {
		snprintf(path, sizeof(path), "/zookeeper/quota/c/n%04d", i);
		assert_int_equal(world_create(&world, OP_CREATE, path, 0),
				 ZK_OK);
	}
	gather(&world, &sums);
	assert_int_equal(sums.count_limit.rows, 1);
	assert_int_equal(row_of(&sums.count_usage, "c"), 1);
	world_close(&world);
}

/* ---- in parts ---------------------------------------------------------------
 */

#define CHILDREN 6000u
#define LEFT     1500u

/* /a with children that are there, and others that were deleted and wait to be
 * unlinked: so far they have places among them, and without them those who stay
 * have other ones. */
static void
open_large(struct world *world)
{
	char path[32];

	world_open(world, NULL);
	assert_int_equal(world_create(world, OP_CREATE, "/a", 0), ZK_OK);
	for (uint32_t i = 0; i < CHILDREN; i++) {
		snprintf(path, sizeof(path), "/a/c%04u", i);
		assert_int_equal(world_create(world, OP_CREATE, path, 0),
				 ZK_OK);
	}
	assert_int_equal(
		world_create(world, OP_CREATE, "/zookeeper/quota/a", 0), ZK_OK);
	world->is_held_back = true;
	for (uint32_t i = 0; i < CHILDREN; i++) {
		if (i % (CHILDREN / LEFT) == 0)
			continue;
		snprintf(path, sizeof(path), "/a/c%04u", i);
		assert_int_equal(world_delete(world, path, -1), ZK_OK);
	}
	tree_publish(world->tree, world->zxid);
}

/* Begins to make the stats node: what prep_request() returned. */
static int
begin_stats(struct world *world, const struct prep_request *given,
	    struct jute_writer *entry)
{
	struct prep_request request = *given;
	struct jute_writer *body = world_body(world);

	jute_put_cstr(body, "/zookeeper/quota/a/" STATS);
	jute_put_cstr(body, "x");
	jute_put_int(body, 1);
	proto_put_acl(body, &world_open_acl);
	jute_put_int(body, 0);
	request.body = world->body;
	request.body_bytes = (uint32_t)jute_written(body);
	const int err = prep_request(world->prep, &request, world->zxid + 1,
				     world->time_ms + 1, entry, &world->result);

	/* Who asked may be gone. */
	memset(world->body, 0xee, request.body_bytes);
	return err;
}

static struct prep_request
request_for(const struct world *world)
{
	return (struct prep_request){.session_id = world->session_id,
				     .type = OP_CREATE,
				     .ids = world->ids,
				     .owner = world->owner};
}

/* Each child is entered and left: not all of that in one go, by the leader or
 * by who follows, and what is unlinked in between counts nothing twice. */
static void
a_large_subtree_is_counted_in_parts(void **state)
{
	struct world leader, follower;
	uint32_t parts = 0, follower_parts = 0;
	bool matches = true;

	(void)state;
	open_large(&leader);
	open_large(&follower);

	const struct prep_request request = request_for(&leader);
	struct jute_writer entry =
		jute_writer_of(leader.entry, leader.entry_cap);
	int err = begin_stats(&leader, &request, &entry);

	for (; err == FAL_EAGAIN; parts++) {
		tree_reclaim(leader.tree, UINT32_MAX);
		err = prep_go_on(leader.prep);
	}
	assert_int_equal(err, 0);
	assert_int_equal(parts, 2 * LEFT / 1024);
	leader.zxid++;
	world_publish(&leader);
	assert_text(&leader, "/zookeeper/quota/a/" STATS,
		    "count=1501,bytes=1501");

	err = prep_apply_some(follower.prep, leader.entry,
			      leader.result.entry_bytes, &follower.result,
			      &matches);
	for (; err == FAL_EAGAIN; follower_parts++) {
		tree_reclaim(follower.tree, UINT32_MAX);
		err = prep_apply_on(follower.prep, &matches);
	}
	assert_int_equal(err, 0);
	assert_true(matches);
	assert_int_equal(follower_parts, parts);
	follower.zxid++;
	world_publish(&follower);
	assert_text(&follower, "/zookeeper/quota/a/" STATS,
		    "count=1501,bytes=1501");
	world_close(&follower);
	world_close(&leader);
}

static void
a_count_that_is_given_up_leaves_nothing(void **state)
{
	struct world world;

	(void)state;
	open_large(&world);

	const struct prep_request request = request_for(&world);
	const uint64_t digest = tree_published_digest(world.tree);
	struct jute_writer entry = jute_writer_of(world.entry, world.entry_cap);

	assert_int_equal(begin_stats(&world, &request, &entry), FAL_EAGAIN);
	assert_int_equal(prep_go_on(world.prep), FAL_EAGAIN);
	prep_abandon(world.prep);
	assert_false(world_has(&world, "/zookeeper/quota/a/" STATS));
	world.is_held_back = false;
	assert_int_equal(world_create(&world, OP_CREATE, "/b", 0), ZK_OK);
	assert_int_equal(world_delete(&world, "/b", -1), ZK_OK);
	assert_true(tree_published_digest(world.tree) != digest); /* pzxid */
	/* In a multi nothing waits. */
	world_body(&world);
	world_add_create(&world, OP_CREATE, "/zookeeper/quota/a/" STATS, 0);
	world_add_set(&world, "/a", "long", -1);
	assert_int_equal(world_run_multi(&world), ZK_OK);
	assert_text(&world, "/zookeeper/quota/a/" STATS,
		    "count=1501,bytes=1501");
	world_close(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stats_follow_every_change_below_the_root),
		cmocka_unit_test(the_deepest_root_counts_alone),
		cmocka_unit_test(a_failed_multi_is_not_counted),
		cmocka_unit_test(hard_limits_refuse_and_soft_ones_do_not),
		cmocka_unit_test(
			garbage_in_quota_nodes_is_no_limit_and_no_harm),
		cmocka_unit_test(stats_of_the_root_and_of_missing_paths),
		cmocka_unit_test(recounting_walks_wide_and_deep_trees),
		cmocka_unit_test(sums_are_by_top_node),
		cmocka_unit_test(a_large_subtree_is_counted_in_parts),
		cmocka_unit_test(a_count_that_is_given_up_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
