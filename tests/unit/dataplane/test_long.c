/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a request that takes long costs every round a bounded share, is
 *         answered as of one state, and keeps its place: behind what came
 *         before it, in front of its events.
 * Method  the pipeline rig, one reader_poll() at a time: what a round did is
 *         counted (names written, watches registered or dropped), never timed.
 */
#include "long_rig.h"

#define CHILDREN 3000u

static int32_t
get_children(struct rig_client *client, int32_t op, bool has_watch)
{
	uint8_t bytes[64];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

	jute_put_cstr(&body, "/d");
	jute_put_bool(&body, has_watch);
	return rig_request(client, op, &body);
}

static void
a_large_directory_is_listed_some_names_a_round(void **state)
{
	struct rig_client a = rig_client(&rig);
	uint32_t rounds = 0;

	(void)state;
	make_large_directory(&a, CHILDREN);

	const int32_t xid = get_children(&a, OP_GET_CHILDREN2, false);
	uint32_t before = out_bytes(&a);

	do {
		one_reader_round();
		assert_true(out_bytes(&a) - before <= NAMES_MAX * NAME_BYTES +
							      HEAD_BYTES +
							      PROTO_STAT_BYTES);
		before = out_bytes(&a);
		rounds++;
		assert_true(rounds < 100);
	} while (reader_has_work(rig.reader));
	/* Measured, then written. */
	assert_true(rounds >= 2 * (CHILDREN / NAMES_MAX));

	struct rig_reply reply = rig_reply(&a);

	assert_int_equal(reply.header.xid, xid);
	assert_int_equal(reply.header.err, ZK_OK);
	expect_names(&reply.body, CHILDREN);
	assert_int_equal(reply.body.end - reply.body.at, PROTO_STAT_BYTES);
}

/* Changes come while the list is made: they are not in it, and are told behind
 * it; the read behind it waits. */
static void
a_long_list_is_one_state_and_its_events_come_behind_it(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	(void)state;
	make_large_directory(&a, CHILDREN);

	const int64_t before = rig.written;
	const int32_t list = get_children(&b, OP_GET_CHILDREN, true);

	for (int i = 0; i < 5; i++)
		one_reader_round();
	const int32_t made = rig_create(&a, "/d/new", "", 0);
	const int32_t gone = rig_path_op(&a, OP_GET_ALL_CHILDREN_NUMBER, "/d");

	one_reader_round();
	for (int i = 0; i < 2; i++) /* applied, then committed */
		zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	one_reader_round();
	rig_expect(&a, made, ZK_OK); /* others are answered meanwhile */
	rig_bare_op(&b, OP_PING);
	const int32_t read = rig_get_data(&b, "/d", false);

	while (reader_has_work(rig.reader))
		rig_run(&rig);
	rig_run(&rig);
	rig_expect(&a, gone, ZK_OK);

	/* The heartbeat did not wait for the list. */
	rig_expect(&b, XID_PING, ZK_OK);

	struct rig_reply reply = rig_reply(&b);

	assert_int_equal(reply.header.xid, list);
	assert_int_equal(reply.header.zxid, before);
	expect_names(&reply.body, CHILDREN);
	reply = rig_reply(&b);
	assert_int_equal(reply.header.xid, XID_NOTIFICATION);
	assert_int_equal(reply.header.zxid, before + 1);
	assert_int_equal(rig_expect(&b, read, ZK_OK), before + 1);
}

static void
a_heartbeat_never_comes_into_the_middle_of_a_frame(void **state)
{
	struct rig_client a = rig_client(&rig);
	uint32_t pings = 0, lists = 0;

	(void)state;
	make_large_directory(&a, CHILDREN);
	const int32_t list = get_children(&a, OP_GET_CHILDREN, false);

	one_reader_round();
	while (reader_has_work(rig.reader)) {
		rig_bare_op(&a, OP_PING);
		one_reader_round();
		pings++;
	}
	rig_run(&rig);
	/* rig_reply() would stumble over bytes that are no frame. */
	for (uint32_t i = 0; i < pings + 1; i++) {
		struct rig_reply reply = rig_reply(&a);

		if (reply.header.xid == XID_PING)
			continue;
		assert_int_equal(reply.header.xid, list);
		expect_names(&reply.body, CHILDREN);
		lists++;
	}
	assert_int_equal(lists, 1);
	rig_expect_silence(&a);
}

/* Behind a write the list waits for it, and a write behind the list for the
 * list. */
static void
writes_around_a_long_list_keep_their_places(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	make_large_directory(&a, CHILDREN);
	rig.is_slow = true;

	const int32_t first = rig_set_data(&a, "/d", "1");
	const int32_t list = get_children(&a, OP_GET_CHILDREN, false);
	const int32_t second = rig_set_data(&a, "/d", "2");

	rig_run(&rig);
	rig_expect_silence(&a);
	for (int i = 0; i < 40; i++)
		rig_sync(&rig);

	const int64_t zxid = rig_expect(&a, first, ZK_OK);
	struct rig_reply reply = rig_reply(&a);

	assert_int_equal(reply.header.xid, list);
	assert_int_equal(reply.header.zxid, zxid);
	assert_int_equal(rig_expect(&a, second, ZK_OK), zxid + 1);
}

/* The read between the two writes is answered while the list still waits: that
 * must not let the third write in. */
static void
nothing_gets_behind_a_list_that_waits(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	make_large_directory(&a, CHILDREN);
	rig.is_slow = true;

	const int32_t first = rig_set_data(&a, "/d", "1");
	const int32_t read = rig_get_data(&a, "/d", false);

	rig_run(&rig);
	const int64_t durable = rig.written;
	const int32_t second = rig_set_data(&a, "/d", "2");
	const int32_t list = get_children(&a, OP_GET_CHILDREN, false);

	rig_run(&rig);
	rig.durable = durable;
	const int32_t third = rig_set_data(&a, "/d", "3");

	rig_run(&rig);
	rig_expect(&a, first, ZK_OK);
	rig_expect_data(&a, read, "1");
	for (int i = 0; i < 40; i++)
		rig_sync(&rig);
	const int64_t zxid = rig_expect(&a, second, ZK_OK);

	assert_int_equal(rig_expect(&a, list, ZK_OK), zxid);
	assert_int_equal(rig_expect(&a, third, ZK_OK), zxid + 1);
}

static void
a_client_that_leaves_in_the_middle_of_its_list_costs_nothing(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	(void)state;
	make_large_directory(&a, CHILDREN);
	get_children(&b, OP_GET_CHILDREN, true);
	for (int i = 0; i < 3; i++)
		one_reader_round();
	fake_vanish(rig.streams, b.stream);
	rig_run(&rig);
	assert_false(reader_has_work(rig.reader));
	assert_int_equal(watchers(), 0);
	create(&a, "/d/new");
}

/* ---- containers ------------------------------------------------------------
 */

#define CONTAINERS 1000u
#define REAP_MS    1000u

static void
create_container(struct rig_client *client, const char *path)
{
	uint8_t bytes[128];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

	jute_put_cstr(&body, path);
	jute_put_cstr(&body, "");
	jute_put_int(&body, 1);
	jute_put_int(&body, PERM_ALL);
	jute_put_cstr(&body, "world");
	jute_put_cstr(&body, "anyone");
	jute_put_int(&body, CREATE_CONTAINER);
	const int32_t xid = rig_request(client, OP_CREATE_CONTAINER, &body);

	rig_run(&rig);
	rig_expect(client, xid, ZK_OK);
}

static void
remove_node(struct rig_client *client, const char *path)
{
	uint8_t bytes[128];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

	jute_put_cstr(&body, path);
	jute_put_int(&body, -1);
	const int32_t xid = rig_request(client, OP_DELETE, &body);

	rig_run(&rig);
	rig_expect(client, xid, ZK_OK);
}

/* However many there are that nothing is to be done about: a leader that looks
 * at a million of them at once is taken for dead. */
static void
containers_are_looked_at_some_a_round(void **state)
{
	struct rig_client a = rig_client(&rig);
	char path[32];
	uint32_t rounds = 0;

	(void)state;
	create_container(&a, "/due");
	create(&a, "/due/child");
	for (uint32_t i = 0; i < CONTAINERS; i++) {
		snprintf(path, sizeof(path), "/n%06u", i);
		create_container(&a, path);
	}
	remove_node(&a, "/due/child");
	rig.reap_interval_ms = REAP_MS;
	rig_restart_zab(&rig);
	zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	rig.now_ms += REAP_MS;

	const int64_t written = rig.written;

	do {
		assert_int_equal(rig.written, written);
		zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
		rounds++;
		assert_true(rounds < 100);
	} while (zab_next_timer_ms(rig.zab) <= rig.now_ms);
	assert_in_range(rounds, CONTAINERS / 256, 2 * CONTAINERS / 256);
	/* It stands at the end of what is looked at. */
	assert_int_equal(rig.written, written + 1);
}

/* ---- records ---------------------------------------------------------------
 */

#define LARGE_OPS 2050u /* 109 bytes of events and reply each */
#define LARGES    8u

/* Multis whose events and replies are a fifth of the delta ring's arena each.
 */
static void
make_large(struct jute_writer *body)
{
	for (uint32_t i = 0; i < LARGE_OPS; i++) {
		proto_put_multi_header(
			body, &(struct proto_multi_header){.type = OP_SET_DATA,
							   .err = -1});
		jute_put_cstr(body, "/d");
		jute_put_cstr(body, "");
		jute_put_int(body, -1);
	}
	proto_put_multi_header(
		body, &(struct proto_multi_header){
			      .type = OP_ERROR, .is_done = true, .err = -1});
}

/* While the disk has its pause those for which there is no room wait. */
static void
large_records_find_room_while_none_is_committed(void **state)
{
	static uint8_t bytes[1 << 16];
	struct rig_client a = rig_client(&rig);
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));
	int32_t xid[LARGES];

	(void)state;
	create(&a, "/d");
	make_large(&body);
	rig.is_slow = true;
	for (uint32_t i = 0; i < LARGES; i++)
		xid[i] = rig_request(&a, OP_MULTI, &body);
	rig_run(&rig);
	assert_in_range(rig.written - rig.durable, 3, LARGES - 1);
	for (uint32_t i = 0; i < LARGES; i++)
		rig_sync(&rig);
	for (uint32_t i = 0; i < LARGES; i++)
		rig_expect(&a, xid[i], ZK_OK);
}

/* See ZAB_ROUND_LARGE_BYTES. */
#define WRITE_BYTES  20000u
#define WRITES       20u
#define WRITES_MAX   4u
#define SMALL_WRITES 30u

/* A burst of small writes is some 0.1 ms, one of multis may be a second. */
static void
large_writes_are_taken_some_a_round(void **state)
{
	static uint8_t data[WRITE_BYTES], bytes[WRITE_BYTES + 100];
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));
	uint32_t rounds = 0;

	(void)state;
	create(&a, "/d");
	jute_put_cstr(&body, "/d");
	jute_put_slice(&body, jute_slice_of(data, sizeof(data)));
	jute_put_int(&body, -1);
	for (uint32_t i = 0; i < WRITES; i++)
		rig_request(&a, OP_SET_DATA, &body);
	for (uint32_t i = 0; i < WRITES; i++)
		one_reader_round();
	for (int64_t before = rig.written, end = before + WRITES;
	     rig.written < end; before = rig.written) {
		zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
		assert_in_range(rig.written - before, 1, WRITES_MAX);
		rounds++;
	}
	assert_int_equal(rounds, WRITES / WRITES_MAX);

	const int64_t before = rig.written;

	for (uint32_t i = 0; i < SMALL_WRITES; i++)
		rig_set_data(&b, "/d", "");
	one_reader_round();
	zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	assert_int_equal(rig.written - before, SMALL_WRITES);
}

/* A writer whose readers make room after it has looked: it sleeps, since there
 * is nothing that it could do, and not for long, since nobody wakes it. */
static void
a_writer_without_room_looks_again_soon(void **state)
{
	static uint8_t bytes[1 << 16];
	struct rig_client a = rig_client(&rig);
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));
	int64_t written;

	(void)state;
	create(&a, "/d");
	make_large(&body);
	rig.is_slow = true;
	for (uint32_t i = 0; i < LARGES; i++)
		rig_request(&a, OP_MULTI, &body);
	rig_run(&rig);
	written = rig.written;
	rig.durable = written;
	zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	assert_int_equal(rig.written, written);
	assert_false(zab_has_work(rig.zab));
	assert_int_equal(zab_next_timer_ms(rig.zab), rig.now_ms + 1);
	while (reader_has_work(rig.reader))
		one_reader_round();
	rig.now_ms++;
	zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	assert_true(rig.written > written);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_large_directory_is_listed_some_names_a_round),
		TEST(a_long_list_is_one_state_and_its_events_come_behind_it),
		TEST(a_heartbeat_never_comes_into_the_middle_of_a_frame),
		TEST(writes_around_a_long_list_keep_their_places),
		TEST(nothing_gets_behind_a_list_that_waits),
		TEST(a_client_that_leaves_in_the_middle_of_its_list_costs_nothing),
		TEST(containers_are_looked_at_some_a_round),
		TEST(large_records_find_room_while_none_is_committed),
		TEST(large_writes_are_taken_some_a_round),
		TEST(a_writer_without_room_looks_again_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
