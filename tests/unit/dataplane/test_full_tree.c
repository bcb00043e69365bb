/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    A tree that is at the end of its memory (falconer.tree.maxBytes)
 *         refuses what would make it larger, in whatever way, and nothing else.
 * Method  Writes until one is refused, then some that shrink it, by the two
 *         roles in one thread (pipeline_rig).
 */
#include "one_rig.h"

#include <stdio.h>
#include <string.h>

/* At the end of the tree's memory what grows is refused, what shrinks is not,
 * and there is room again after it. */
static void
a_full_tree_refuses_what_grows_only(void **state)
{
	struct rig_client a;
	char path[16];
	int32_t err = ZK_OK;
	int count = 0;

	(void)state;
	rig_stop(&rig);
	rig_start_capped(&rig, 4u << 20);
	a = rig_client(&rig);
	for (; err == ZK_OK; count++) {
		snprintf(path, sizeof(path), "/n%d", count);
		rig_create(&a, path, "some data", 0);
		rig_run(&rig);
		err = rig_reply(&a).header.err;
	}
	assert_int_equal(err, ZK_THROTTLEDOP);
	assert_true(count > 100);

	const int32_t grow = rig_set_data(&a, "/n0", "more data than before");
	const int32_t shrink = rig_set_data(&a, "/n0", "less");

	rig_run(&rig);
	rig_expect(&a, grow, ZK_THROTTLEDOP);
	rig_expect(&a, shrink, ZK_OK);
	for (int i = 0; i < 100; i++) {
		uint8_t bytes[64];
		struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

		snprintf(path, sizeof(path), "/n%d", i);
		jute_put_cstr(&body, path);
		jute_put_int(&body, -1);
		rig_request(&a, OP_DELETE, &body);
		rig_run(&rig);
		assert_int_equal(rig_reply(&a).header.err, ZK_OK);
	}
	while (tree_reclaim_grace(rig.tree))
		rig_run(&rig);
	rig_create(&a, "/again", "some data", 0);
	rig_run(&rig);
	assert_int_equal(rig_reply(&a).header.err, ZK_OK);
}

/* A list of `count` identities that no other call brought. */
static int32_t
set_acl(struct rig_client *client, const char *path, uint32_t count)
{
	static uint8_t bytes[1 << 16];
	static uint32_t identity;
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));
	char id[32];

	jute_put_cstr(&body, path);
	jute_put_int(&body, (int32_t)count);
	for (uint32_t i = 0; i < count; i++) {
		snprintf(id, sizeof(id), "user%u:secret", identity++);
		jute_put_int(&body, PERM_ALL);
		jute_put_cstr(&body, "digest");
		jute_put_cstr(&body, id);
	}
	jute_put_int(&body, PERM_ALL);
	jute_put_cstr(&body, "world");
	jute_put_cstr(&body, "anyone");
	be_store32(bytes + 4 + strlen(path), count + 1);
	jute_put_int(&body, -1);
	return rig_request(client, OP_SET_ACL, &body);
}

static void
acls_of_their_own_fill_it_too(void **state)
{
	struct rig_client a;
	char path[16];
	int32_t err = ZK_OK;
	int count = 0;

	(void)state;
	rig_stop(&rig);
	rig_start_capped(&rig, 4u << 20);
	a = rig_client(&rig);
	for (; err == ZK_OK && count < 1000; count++) {
		snprintf(path, sizeof(path), "/n%d", count);
		rig_create(&a, path, "", 0);
		set_acl(&a, path, 500);
		rig_run(&rig);
		const int32_t created = rig_reply(&a).header.err;

		err = rig_reply(&a).header.err;
		if (created != ZK_OK)
			err = created;
	}
	assert_int_equal(err, ZK_THROTTLEDOP);
	assert_in_range(count, 20, 4 << 20 >> 14);

	const int32_t shrink = set_acl(&a, "/n0", 400);
	const int32_t grow = set_acl(&a, "/n1", 501);

	rig_run(&rig);
	rig_expect(&a, shrink, ZK_OK);
	rig_expect(&a, grow, ZK_THROTTLEDOP);
	for (int i = 0; i < 10; i++) {
		snprintf(path, sizeof(path), "/n%d", i);
		set_acl(&a, path, 0);
		rig_run(&rig);
		assert_int_equal(rig_reply(&a).header.err, ZK_OK);
	}
	while (tree_reclaim_grace(rig.tree))
		rig_run(&rig);
	rig_create(&a, "/again", "some data", 0);
	rig_run(&rig);
	assert_int_equal(rig_reply(&a).header.err, ZK_OK);
}

/* Versions and lists that were replaced stay for as long as somebody reads the
 * state they are of; each setData brings one, also of what is no larger. */
static void
what_is_replaced_and_still_read_fills_it_too(void **state)
{
	const uint64_t max = 4u << 20;
	struct rig_client a;
	struct tree_reader *reader;
	char text[901];
	int32_t err = ZK_OK;
	int count = 0;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	rig_stop(&rig);
	rig_start_capped(&rig, max);
	a = rig_client(&rig);
	rig_create(&a, "/n", text, 0);
	rig_create(&a, "/l", "", 0);
	set_acl(&a, "/l", 500);
	rig_run(&rig);
	for (int i = 0; i < 3; i++)
		assert_int_equal(rig_reply(&a).header.err, ZK_OK);
	reader = tree_reader_register(rig.tree);
	assert_non_null(reader);
	tree_reader_pin(reader, (uint64_t)rig.written);
	for (; err == ZK_OK && count < 10000; count++) {
		text[0] = (char)('a' + count % 26);
		rig_set_data(&a, "/n", text);
		rig_run(&rig);
		err = rig_reply(&a).header.err;
	}
	assert_int_equal(err, ZK_THROTTLEDOP);
	assert_in_range(count, 1000, 4200);
	assert_true(tree_bytes_left(rig.tree) > max / 40);

	const int32_t list = set_acl(&a, "/l", 400);

	rig_run(&rig);
	rig_expect(&a, list, ZK_THROTTLEDOP);
	tree_reader_resume(reader);
	tree_reader_offline(reader);
	tree_reader_unregister(reader);
	rig_set_data(&a, "/n", "less");
	rig_run(&rig);
	(void)rig_reply(&a);
	while (tree_reclaim_grace(rig.tree))
		rig_run(&rig);
	rig_set_data(&a, "/n", text);
	rig_run(&rig);
	assert_int_equal(rig_reply(&a).header.err, ZK_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_tree_refuses_what_grows_only),
		TEST(acls_of_their_own_fill_it_too),
		TEST(what_is_replaced_and_still_read_fills_it_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
