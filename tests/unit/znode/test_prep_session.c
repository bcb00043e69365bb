/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    Sessions decide whose writes count and what goes when they end;
 *         internal and administrative requests follow their own rules; and a
 *         request that does not decode, fit or find room changes nothing
 *         (client-protocol.md 3.17, 7.2 to 7.7, 8.4).
 * Method  one case each, looked at from result, entry, session table and tree;
 *         every length of a body cut short and of a log window too small.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prep_world.h"

#define LOCKED world_acl(PERM_ALL, "digest", "bob:x")

static bool
slice_is(struct jute_slice slice, const char *text)
{
	return jute_slice_equal(slice, jute_slice_of(text, strlen(text)));
}

/* ---- sessions ------------------------------------------------------------ */

static void
requests_of_unknown_sessions_are_dropped(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	const int64_t before = world.zxid;

	world.session_id = 77;
	world_body(&world);
	world_add_set(&world, "/", "y", -1);
	assert_int_equal(world_try(&world, OP_MULTI, world.body,
				   jute_written(&world.request)),
			 FAL_ENOENT);
	assert_int_equal(world.zxid, before);
	world.session_id = WORLD_SESSION;
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	world_close(&world);
}

static void
a_moved_session_closes_the_connection_and_takes_a_zxid(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	assert_false(world.result.must_close);
	world.owner.conn = 2;
	assert_int_equal(world_set(&world, "/a", "y", -1), ZK_SESSIONMOVED);
	world_assert_refused(&world, ZK_SESSIONMOVED);
	assert_true(world.result.must_close);
	world_body(&world);
	world_add_check(&world, "/a", 0);
	assert_int_equal(world_run_multi(&world), ZK_OK);
	assert_true(world.result.must_close);
	world.owner.conn = 1;
	assert_int_equal(world_set(&world, "/a", "y", -1), ZK_OK);
	assert_false(world.result.must_close);
	world_close(&world);
}

static void
local_sessions_write_all_but_ephemerals(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	world.session_id = 77;
	world.is_local_session = true;
	assert_int_equal(world_create(&world, OP_CREATE, "/a", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/e", 1), -120);
	world_assert_refused(&world, -120);
	assert_int_equal(world_create(&world, OP_CREATE2, "/e", 3), -120);
	assert_int_equal(world_create(&world, OP_CREATE_CONTAINER, "/c", 4),
			 ZK_OK);
	assert_int_equal(world_create_ttl(&world, "/t", 5, 1), ZK_OK);
	world_close(&world);
}

static void
create_session_is_a_transaction_with_a_timeout(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	world.session_id = 99;
	world_body(&world);
	assert_int_equal(world_run(&world, OP_CREATE_SESSION), ZK_OK);
	assert_int_equal(world.result.reply.bytes, 0);
	const struct txn_entry entry = world_entry(&world);

	assert_int_equal(entry.header.type, OP_CREATE_SESSION);
	assert_int_equal(entry.header.session_id, 99);
	assert_int_equal(entry.record.timeout_ms, 10000);
	assert_true(entry.has_digest);
	/* The digest of the fresh tree, measured. */
	assert_true(entry.digest == 0x51c6d660);
	assert_non_null(session_find(world.sessions, 99));
	assert_int_equal(world_create(&world, OP_CREATE, "/e", 1), ZK_OK);
	world_close(&world);
}

#define MANY 1000u

static void
make_many(struct world *world)
{
	char path[32];

	assert_int_equal(world_create(world, OP_CREATE, "/d", 0), ZK_OK);
	for (uint32_t i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "/d/%u", i);
		assert_int_equal(world_create(world, OP_CREATE, path, 1),
				 ZK_OK);
	}
}

/* Begins to close WORLD_SESSION. */
static int
begin_closing(struct world *world, struct prep_request *request,
	      struct jute_writer *entry)
{
	*entry = jute_writer_of(world->entry, world->entry_cap);
	*request = (struct prep_request){.session_id = WORLD_SESSION,
					 .type = OP_CLOSE_SESSION};
	return prep_request(world->prep, request, world->zxid + 1,
			    world->time_ms + 1, entry, &world->result);
}

static uint32_t
left(struct world *world)
{
	return tree_ephemeral_count(world->tree, WORLD_SESSION);
}

/* One transaction in parts: the entry and the events are those of a replica
 * that applies it in one go, digest included, and what was before is read and
 * published in between. */
static void
a_session_of_many_nodes_closes_in_steps(void **state)
{
	(void)state;
	struct world world, other;
	struct prep_request request;
	struct jute_writer entry;
	uint32_t before = MANY, steps = 1;
	bool digest_matches = true;
	int err;

	world_open(&world, NULL);
	world_open(&other, NULL);
	make_many(&world);
	make_many(&other);
	world.is_held_back = true;
	assert_int_equal(world_set(&world, "/d", "late", -1), ZK_OK);
	other.time_ms = world.time_ms - 1;
	assert_int_equal(world_set(&other, "/d", "late", -1), ZK_OK);
	const struct tree_path first = tree_path_of(world.tree, "/d/0", 4);

	err = begin_closing(&world, &request, &entry);
	tree_publish(world.tree, world.zxid);
	for (; err == FAL_EAGAIN; steps++) {
		assert_true(left(&world) < before);
		assert_true(before - left(&world) <= 256);
		before = left(&world);
		assert_non_null(
			tree_lookup(world.tree, first, (uint64_t)world.zxid));
		assert_false(session_find(world.sessions, WORLD_SESSION)
				     ->is_closing);
		err = prep_go_on(world.prep);
	}
	assert_int_equal(err, 0);
	assert_true(steps >= MANY / 256);
	assert_int_equal(left(&world), 0);
	assert_true(session_find(world.sessions, WORLD_SESSION)->is_closing);
	world.entry_bytes = world.result.entry_bytes;
	assert_int_equal(world_entry(&world).record.paths.count, MANY);

	assert_int_equal(prep_apply(other.prep, world.entry, world.entry_bytes,
				    &other.result, &digest_matches),
			 0);
	assert_true(digest_matches);
	assert_int_equal(other.result.digest, world.result.digest);
	assert_int_equal(other.result.effect_count, world.result.effect_count);
	tree_publish(world.tree, world.zxid + 1);
	assert_null(tree_lookup(world.tree, first, (uint64_t)world.zxid + 1));
	world_close(&world);
	world_close(&other);
}

/* Given up between two parts, and for want of room in the log. */
static void
a_closing_that_is_given_up_leaves_nothing(void **state)
{
	(void)state;
	struct world world, other;
	struct prep_request request;
	struct jute_writer entry;
	int err;

	world_open(&world, NULL);
	world_open(&other, NULL);
	make_many(&world);
	make_many(&other);
	assert_int_equal(begin_closing(&world, &request, &entry), FAL_EAGAIN);
	assert_int_equal(prep_go_on(world.prep), FAL_EAGAIN);
	prep_abandon(world.prep);
	assert_int_equal(left(&world), MANY);
	assert_ptr_equal(entry.at, world.entry);

	world.entry_cap = 6000;
	err = begin_closing(&world, &request, &entry);
	while (err == FAL_EAGAIN)
		err = prep_go_on(world.prep);
	assert_int_equal(err, FAL_ENOSPC);
	assert_int_equal(left(&world), MANY);
	assert_false(session_find(world.sessions, WORLD_SESSION)->is_closing);

	/* As if nothing had been: the digests stay equal. */
	assert_int_equal(world_create(&world, OP_CREATE, "/x", 1), ZK_OK);
	assert_int_equal(world_create(&other, OP_CREATE, "/x", 1), ZK_OK);
	assert_int_equal(world.result.digest, other.result.digest);
	world_close(&world);
	world_close(&other);
}

static void
closing_a_session_deletes_its_ephemerals(void **state)
{
	(void)state;
	struct world world;
	struct tree_stat stat;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/kept", 0), ZK_OK);
	world.session_id = WORLD_OTHER_SESSION;
	assert_int_equal(world_create(&world, OP_CREATE, "/d/other", 1), ZK_OK);
	world.session_id = WORLD_SESSION;
	world.is_held_back = true; /* pending ones count too */
	assert_int_equal(world_create(&world, OP_CREATE, "/d/e1", 1), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/e2", 1), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/d/e3", 1), ZK_OK);
	assert_int_equal(world_delete(&world, "/d/e2", -1), ZK_OK);
	world_body(&world);
	assert_int_equal(world_run(&world, OP_CLOSE_SESSION), ZK_OK);
	assert_int_equal(world.result.effect_count, 4);
	const struct txn_entry entry = world_entry(&world);

	assert_int_equal(entry.header.type, OP_CLOSE_SESSION);
	assert_true(entry.record.has_paths);
	assert_int_equal(entry.record.paths.count, 2);
	assert_false(world_has(&world, "/d/e1"));
	assert_false(world_has(&world, "/d/e3"));
	assert_true(world_has(&world, "/d/other"));
	assert_true(world_has(&world, "/d/kept"));
	world_stat(&world, "/d", &stat);
	assert_int_equal(stat.cversion, 5);
	assert_int_equal(stat.num_children, 2);
	assert_int_equal(stat.pzxid, world.zxid);
	/* Until it is published the session is closing, then it is gone. */
	assert_int_equal(world_create(&world, OP_CREATE, "/d/e4", 1), -112);
	world.is_held_back = false;
	world_publish(&world);
	prep_publish_session(world.prep, OP_CLOSE_SESSION, WORLD_SESSION, 0, 1);
	assert_null(session_find(world.sessions, WORLD_SESSION));
	world_close(&world);
}

static void
close_paths_can_be_left_out(void **state)
{
	(void)state;
	const struct prep_options options = {.is_digest_on = true};
	struct world world;

	world_open(&world, &options);
	assert_int_equal(world_create(&world, OP_CREATE, "/e", 1), ZK_OK);
	world_body(&world);
	assert_int_equal(world_run(&world, OP_CLOSE_SESSION), ZK_OK);
	assert_int_equal(world.entry_bytes,
			 TXN_HEADER_BYTES + TXN_DIGEST_BYTES);
	assert_false(world_has(&world, "/e"));
	world_close(&world);
}

/* ---- internal and administrative requests -------------------------------- */

static int32_t
delete_container(struct world *world, const char *path)
{
	jute_put_cstr(world_body(world), path);
	return world_run(world, OP_DELETE_CONTAINER);
}

static void
reaping_asks_neither_session_nor_acl(void **state)
{
	(void)state;
	struct world world;
	const struct proto_acl locked = LOCKED;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE_CONTAINER, "/c", 4),
			 ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/c/x", 0), ZK_OK);
	assert_int_equal(world_create(&world, OP_CREATE, "/e", 1), ZK_OK);
	world.session_id = 0;
	assert_int_equal(delete_container(&world, "c"), -8);
	assert_int_equal(delete_container(&world, "/zookeeper/quota"), -8);
	assert_int_equal(delete_container(&world, "/missing"), -101);
	assert_int_equal(delete_container(&world, "/c"), -111);
	assert_int_equal(delete_container(&world, "/e"), -103);
	world.session_id = WORLD_SESSION;
	assert_int_equal(world_delete(&world, "/c/x", -1), ZK_OK);
	assert_int_equal(world_set_acl(&world, "/", &locked, 1, -1), ZK_OK);
	world.session_id = 0;
	world.ids = NULL;
	assert_int_equal(delete_container(&world, "/c"), ZK_OK);
	assert_int_equal(world_entry(&world).header.type, OP_DELETE_CONTAINER);
	assert_int_equal(world.result.effect_count, 2);
	assert_false(world_has(&world, "/c"));
	world_close(&world);
}

static void
standalone_reconfig_is_disabled_or_unimplemented(void **state)
{
	(void)state;
	struct world world;

	for (int is_enabled = 0; is_enabled < 2; is_enabled++) {
		const struct prep_options options = {.is_digest_on = true,
						     .is_reconfig_enabled =
							     is_enabled != 0};

		world_open(&world, &options);
		proto_put_reconfig(world_body(&world),
				   &(struct proto_reconfig_request){
					   .joining = {.bytes = -1},
					   .leaving = jute_slice_of("3", 1),
					   .new_members = {.bytes = -1},
					   .cur_config_id = -1});
		assert_int_equal(world_run(&world, OP_RECONFIG),
				 is_enabled != 0 ? -6 : -123);
		session_find(world.sessions, WORLD_SESSION)->is_closing = true;
		assert_int_equal(world_run(&world, OP_RECONFIG),
				 is_enabled != 0 ? -112 : -123);
		world_close(&world);
	}
}

static void
acls_of_creates_are_expanded_and_enforced(void **state)
{
	(void)state;
	struct world world;
	struct auth_ids *bob = NULL;
	const struct proto_auth_request request = {
		.scheme = jute_slice_of("digest", 6),
		.auth = jute_slice_of("bob:pw", 6)};
	const struct proto_acl given = world_acl(PERM_ALL, "auth", "");

	world_open(&world, NULL);
	assert_int_equal(world_create_acl(&world, "/sec", &given, 1), -114);
	assert_int_equal(
		auth_ids_add(&world.acl_options, world.nobody, &request, &bob),
		ZK_OK);
	world.ids = bob;
	assert_int_equal(world_create_acl(&world, "/sec", &given, 1), ZK_OK);
	struct txn_entry entry = world_entry(&world);
	struct jute_reader reader =
		jute_reader_of(entry.record.acl.data, entry.record.acl.bytes);
	struct proto_acl written;

	assert_int_equal(proto_get_acl(&reader, &written), 0);
	assert_int_equal(written.perms, PERM_ALL);
	assert_true(slice_is(written.scheme, "digest"));
	assert_true(slice_is(written.id, "bob:ikIaKsbtGweaHnb/jKn7OHqbunM="));
	assert_int_equal(world_set(&world, "/sec", "y", -1), ZK_OK);
	world.ids = world.nobody;
	assert_int_equal(world_set(&world, "/sec", "y", -1), -102);
	assert_int_equal(world_create(&world, OP_CREATE, "/sec/x", 0), -102);
	auth_ids_free(bob);
	world_close(&world);
}

/* ---- what does not fit, what does not decode ----------------------------- */

static void
bodies_that_do_not_decode_take_no_zxid(void **state)
{
	(void)state;
	static const int32_t types[] = {
		OP_CREATE,   OP_CREATE2, OP_CREATE_TTL, OP_DELETE,
		OP_SET_DATA, OP_SET_ACL, OP_RECONFIG,   OP_CREATE_CONTAINER};
	struct world world;

	world_open(&world, NULL);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint8_t body[3] = {0};

		for (size_t bytes = 0; bytes <= sizeof(body); bytes++) {
			assert_int_equal(
				world_try(&world, types[i], body, bytes),
				FAL_EPROTO);
			assert_int_equal(prep_check_syntax(types[i], body,
							   (uint32_t)bytes),
					 FAL_EPROTO);
		}
	}
	assert_int_equal(world_try(&world, OP_GET_DATA, "", 0), FAL_EPROTO);
	/* A check on its own decodes, but is no request. */
	world_body(&world);
	jute_put_cstr(&world.request, "/");
	jute_put_int(&world.request, -1);
	assert_int_equal(world_try(&world, OP_CHECK, world.body,
				   jute_written(&world.request)),
			 FAL_EPROTO);
	assert_int_equal(world.zxid, 0);
	world_close(&world);
}

static void
a_create_cut_anywhere_does_not_decode(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	assert_int_equal(world_create_ttl(&world, "/t", 5, 9), ZK_OK);
	const size_t bytes = jute_written(&world.request);

	for (size_t cut = 0; cut < bytes; cut++)
		assert_int_equal(prep_check_syntax(OP_CREATE_TTL, world.body,
						   (uint32_t)cut),
				 FAL_EPROTO);
	assert_int_equal(
		prep_check_syntax(OP_CREATE_TTL, world.body, (uint32_t)bytes),
		0);
	world_close(&world);
}

static void
an_entry_that_does_not_fit_leaves_nothing_behind(void **state)
{
	(void)state;
	struct world world;

	world_open(&world, NULL);
	assert_int_equal(world_create(&world, OP_CREATE, "/w", 0), ZK_OK);
	const uint64_t digest = world.result.digest;

	/* A create of "/w/e", ephemeral, and then a multi around it. */
	assert_int_equal(world_create(&world, OP_CREATE, "/w/e", 1), ZK_OK);
	const uint32_t need = world.entry_bytes;
	const size_t bytes = jute_written(&world.request);

	assert_int_equal(world_delete(&world, "/w/e", -1), ZK_OK);
	const uint64_t after = world.result.digest;

	assert_true(after != digest);
	(void)world_create(&world, OP_CREATE, "/w", 0); /* refill the body */
	struct jute_writer *body = world_body(&world);

	jute_put_cstr(body, "/w/e");
	jute_put_cstr(body, "x");
	jute_put_int(body, 1);
	proto_put_acl(body, &world_open_acl);
	jute_put_int(body, 1);
	assert_int_equal(jute_written(body), bytes);
	for (uint32_t cap = 0; cap < need; cap++) {
		world.entry_cap = cap;
		assert_int_equal(
			world_try(&world, OP_CREATE, world.body, bytes),
			FAL_ENOSPC);
		assert_false(world_has(&world, "/w/e"));
		assert_null(tree_ephemeral(world.tree, WORLD_SESSION, 0));
	}
	world.entry_cap = need;
	assert_int_equal(world_try(&world, OP_CREATE, world.body, bytes), 0);
	/* closeSession: the mark must not stay when it did not fit. */
	for (uint32_t cap = 0; cap < TXN_HEADER_BYTES + 4 + 8 + 12; cap++) {
		world.entry_cap = cap;
		assert_int_equal(world_try(&world, OP_CLOSE_SESSION, NULL, 0),
				 FAL_ENOSPC);
		assert_true(world_has(&world, "/w/e"));
		assert_false(session_find(world.sessions, WORLD_SESSION)
				     ->is_closing);
	}
	world.entry_cap = WORLD_ENTRY_BYTES;
	assert_int_equal(world_set(&world, "/w", "y", -1), ZK_OK);
	world_close(&world);
}

static void
a_full_tree_refuses_without_a_trace(void **state)
{
	(void)state;
	struct world world;
	uint64_t digest = 0;
	int err;

	world_open_sized(&world, NULL, 4u << 20);
	assert_int_equal(world_create(&world, OP_CREATE, "/d", 0), ZK_OK);
	do {
		struct jute_writer *body = world_body(&world);

		digest = world.result.digest;
		jute_put_cstr(body, "/d/s");
		jute_put_int(body, 1000);
		memset(jute_claim(body, 1000), 'x', 1000);
		jute_put_int(body, 1);
		proto_put_acl(body, &world_open_acl);
		jute_put_int(body, 2);
		err = world_try(&world, OP_CREATE, world.body,
				jute_written(body));
	} while (err == 0);
	assert_int_equal(err, FAL_ENOMEM);
	assert_true(world.zxid > 1000);
	/* A multi that runs into it half-way. */
	world_body(&world);
	for (int i = 0; i < 10000; i++)
		world_add_create(&world, OP_CREATE, "/d/m", 2);
	const struct proto_multi_header end = {
		.type = OP_ERROR, .is_done = true, .err = -1};

	proto_put_multi_header(&world.request, &end);
	err = world_try(&world, OP_MULTI, world.body,
			jute_written(&world.request));
	assert_int_equal(err, FAL_ENOMEM);
	/* The tree is as it was: an error transaction shows its digest. */
	assert_int_equal(world_delete(&world, "/missing", -1), -101);
	assert_true(world.result.digest == digest);
	world_close(&world);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_of_unknown_sessions_are_dropped),
		cmocka_unit_test(
			a_moved_session_closes_the_connection_and_takes_a_zxid),
		cmocka_unit_test(local_sessions_write_all_but_ephemerals),
		cmocka_unit_test(
			create_session_is_a_transaction_with_a_timeout),
		cmocka_unit_test(closing_a_session_deletes_its_ephemerals),
		cmocka_unit_test(a_session_of_many_nodes_closes_in_steps),
		cmocka_unit_test(a_closing_that_is_given_up_leaves_nothing),
		cmocka_unit_test(close_paths_can_be_left_out),
		cmocka_unit_test(reaping_asks_neither_session_nor_acl),
		cmocka_unit_test(
			standalone_reconfig_is_disabled_or_unimplemented),
		cmocka_unit_test(acls_of_creates_are_expanded_and_enforced),
		cmocka_unit_test(bodies_that_do_not_decode_take_no_zxid),
		cmocka_unit_test(a_create_cut_anywhere_does_not_decode),
		cmocka_unit_test(
			an_entry_that_does_not_fit_leaves_nothing_behind),
		cmocka_unit_test(a_full_tree_refuses_without_a_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
