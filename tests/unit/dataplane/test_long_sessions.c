/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    what belongs to a session may be much, and costs each round a bounded
 *         share: its ephemerals, its end, its watches.
 * Method  as test_long.c.
 */
#include "long_rig.h"

static uint8_t space[2u << 20];

/* ---- ephemerals ------------------------------------------------------------
 */

#define EPHEMERALS 3000u

/* "/e000000" with its length word. */
#define EPHEMERAL_BYTES 12u

static void
make_ephemerals(struct rig_client *client, uint32_t count)
{
	char path[32];

	for (uint32_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/e%06u", i);
		const int32_t xid = rig_create(client, path, "", 1);

		rig_run(&rig);
		rig_expect(client, xid, ZK_OK);
	}
}

/* Each /e%06u from `from` on is there, once. */
static void
expect_ephemerals(struct rig_reply *reply, uint32_t from, uint32_t count)
{
	bool *seen = calloc(count, sizeof(*seen));

	assert_int_equal(jute_get_int(&reply->body), (int32_t)count);
	for (uint32_t i = 0; i < count; i++) {
		const struct jute_slice path = jute_get_slice(&reply->body);
		char text[9] = {0};

		assert_int_equal(path.bytes, 8);
		memcpy(text, path.data, 8);
		const unsigned long at = strtoul(text + 2, NULL, 10) - from;

		assert_true(at < count && !seen[at]);
		seen[at] = true;
	}
	assert_ptr_equal(reply->body.at, reply->body.end);
	free(seen);
}

/* The writer's share is a copy of handles; the reader names some a round. The
 * write behind the list is not let in front of it. */
static void
ephemerals_are_named_some_a_round(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	uint32_t rounds = 0;

	(void)state;
	make_ephemerals(&a, EPHEMERALS);
	const int32_t xid = rig_path_op(&a, OP_GET_EPHEMERALS, "/");
	const int32_t behind = rig_create(&a, "/behind", "", 1);
	uint32_t before = out_bytes(&a);

	for (int i = 0; i < 2; i++) {
		one_reader_round();
		zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	}
	do {
		/* Others are served in between. */
		const int32_t other = rig_get_data(&b, "/", false);

		one_reader_round();
		rig_expect(&b, other, ZK_OK);
		assert_true(out_bytes(&a) - before <=
			    NAMES_MAX * EPHEMERAL_BYTES + HEAD_BYTES);
		before = out_bytes(&a);
		rounds++;
		assert_true(rounds < 100);
	} while (out_bytes(&a) < EPHEMERALS * EPHEMERAL_BYTES);
	/* Measured, then written. */
	assert_true(rounds >= 2 * (EPHEMERALS / NAMES_MAX));
	rig_run(&rig);

	struct rig_reply reply = rig_reply(&a);

	assert_int_equal(reply.header.xid, xid);
	assert_int_equal(reply.header.err, ZK_OK);
	expect_ephemerals(&reply, 0, EPHEMERALS);
	rig_expect(&a, behind, ZK_OK);
}

/* Somebody else deletes what is in the list, and the memory of the nodes is
 * asked back, while it is made. */
static void
a_long_list_of_ephemerals_is_one_state(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	char path[32];

	(void)state;
	make_ephemerals(&a, EPHEMERALS);
	const int64_t zxid = rig.written;
	const int32_t xid = rig_path_op(&a, OP_GET_EPHEMERALS, "");

	for (uint32_t i = 0; i < 10; i++) {
		for (uint32_t k = 0; k < 30; k++) {
			uint8_t bytes[64];
			struct jute_writer body =
				jute_writer_of(bytes, sizeof(bytes));

			snprintf(path, sizeof(path), "/e%06u",
				 EPHEMERALS - 1 - 300 + i * 30 + k);
			jute_put_cstr(&body, path);
			jute_put_int(&body, -1);
			rig_request(&b, OP_DELETE, &body);
		}
		one_reader_round();
		for (int k = 0; k < 3; k++)
			zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	}
	while (reader_has_work(rig.reader))
		rig_run(&rig);
	rig_run(&rig);
	assert_int_equal(rig.written, zxid + 300);

	struct rig_reply reply = rig_reply(&a);

	assert_int_equal(reply.header.xid, xid);
	assert_int_equal(reply.header.zxid, zxid);
	expect_ephemerals(&reply, 0, EPHEMERALS);
	const int32_t again = rig_path_op(&a, OP_GET_EPHEMERALS, "/e0029");

	for (int i = 0; i < 40; i++)
		rig_run(&rig);
	reply = rig_reply(&a);
	assert_int_equal(reply.header.xid, again);
	/* Of 2900 to 2999 the last alone was left. */
	expect_ephemerals(&reply, 2999, 1);
}

static void
a_client_that_leaves_before_its_ephemerals_costs_nothing(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	(void)state;
	make_ephemerals(&a, 1000);
	rig_path_op(&a, OP_GET_EPHEMERALS, "/");
	for (int i = 0; i < 3; i++) {
		one_reader_round();
		zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	}
	fake_vanish(rig.streams, a.stream);
	rig_run(&rig);
	assert_false(reader_has_work(rig.reader));
	create(&b, "/next");
}

static uint64_t
ephemerals(void)
{
	struct tree_counts counts;

	tree_counts(rig.tree, &counts);
	return counts.ephemerals;
}

static void
one_writer_round(void)
{
	zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
}

/* It is one transaction, made in parts: what was before it is committed and
 * read in between, the write behind it waits, and a watcher hears of its nodes
 * behind the answers of before. */
static void
a_session_of_many_nodes_closes_some_a_round(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	struct rig_client c = rig_client(&rig);
	uint32_t rounds = 0;

	(void)state;
	make_ephemerals(&a, EPHEMERALS);
	rig.is_slow = true;
	const int32_t early = rig_create(&b, "/early", "", 0);
	const int32_t watch = rig_get_data(&c, "/e000007", true);

	one_reader_round();
	one_writer_round();
	rig_expect(&c, watch, ZK_OK);
	const int64_t zxid = rig.written;

	const int32_t closing = rig_bare_op(&a, OP_CLOSE_SESSION);

	one_reader_round();
	one_writer_round();
	rig.durable = zxid; /* of /early: told in the middle of the other */
	const int32_t late = rig_create(&b, "/late", "", 0);

	for (uint64_t before = ephemerals(); before > 0;
	     before = ephemerals()) {
		assert_int_equal(rig.written, zxid);
		one_writer_round();
		assert_true(before - ephemerals() <= NAMES_MAX);
		const int32_t read = rig_get_data(&c, "/e000007", false);

		one_reader_round();
		rig_expect(&c, read, ZK_OK);
		assert_true(zab_has_work(rig.zab));
		rounds++;
	}
	assert_true(rounds + 1 >= EPHEMERALS / NAMES_MAX);
	assert_int_equal(rig_expect(&b, early, ZK_OK), zxid);
	rig_expect_silence(&b);
	for (int i = 0; i < 3; i++)
		rig_sync(&rig);
	rig_expect(&a, closing, ZK_OK);
	assert_int_equal(rig_expect(&b, late, ZK_OK), zxid + 2);

	struct rig_reply event = rig_reply(&c);

	assert_int_equal(event.header.xid, XID_NOTIFICATION);
	assert_int_equal(event.header.zxid, zxid + 1);
}

/* Two that are silent: the one with many nodes does not cost the other its end,
 * and nobody is told twice. */
static void
sessions_of_many_nodes_expire_too(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	struct rig_client c;

	(void)state;
	make_ephemerals(&a, EPHEMERALS);
	const int32_t xid = rig_create(&b, "/of-b", "", 1);

	rig_run(&rig);
	rig_expect(&b, xid, ZK_OK);
	const int64_t zxid = rig.written;

	rig.now_ms += 3 * RIG_TIMEOUT_MS;
	rig_run(&rig); /* so late that nobody expires for a tick */
	rig.now_ms += RIG_TICK_MS;
	for (uint32_t i = 0; i < 2 * EPHEMERALS / NAMES_MAX; i++)
		rig_run(&rig);
	assert_int_equal(ephemerals(), 0);
	assert_int_equal(rig.written, zxid + 2);
	c = rig_client(&rig);
	create(&c, "/next");
}

/* Those of a machine that went away are due in the same tick: a few hundred
 * nodes of them go a round, whether few sessions have them or many. */
static void
sessions_that_end_together_do_so_some_a_round(void **state)
{
	const uint32_t sessions = 20, nodes = 150, many = 2;
	struct rig_client a;
	uint32_t rounds = 0;
	char path[32];

	(void)state;
	for (uint32_t i = 0; i < sessions + many; i++) {
		const uint32_t count = i < sessions ? nodes : EPHEMERALS / 2;

		a = rig_client(&rig);
		for (uint32_t k = 0; k < count; k++) {
			snprintf(path, sizeof(path), "/e%02u%04u", i, k);
			const int32_t xid = rig_create(&a, path, "", 1);

			rig_run(&rig);
			rig_expect(&a, xid, ZK_OK);
		}
	}
	const int64_t zxid = rig.written;

	rig.now_ms += 3 * RIG_TIMEOUT_MS;
	rig_run(&rig); /* so late that nobody expires for a tick */
	rig.now_ms += RIG_TICK_MS;
	for (uint64_t before = ephemerals(); before > 0; rounds++) {
		one_writer_round();
		assert_true(rounds < 100);
		assert_in_range(before - ephemerals(), 0,
				2 * NAMES_MAX + nodes);
		before = ephemerals();
	}
	rig_run(&rig);
	assert_int_equal(rig.written, zxid + sessions + many);
}

/* See TELL_EVENTS. */
#define TOLD_MAX 1024u

/* The transaction is one, what it tells may be anything. Who has heard a part
 * of it reads neither the state before nor comes before the others, so nobody
 * is served in between. */
static void
events_of_a_closed_session_are_told_some_a_round(void **state)
{
	uint8_t bytes[32];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	struct rig_client c = rig_client(&rig);
	uint32_t rounds = 0;

	(void)state;
	make_ephemerals(&a, EPHEMERALS);
	jute_put_cstr(&body, "/");
	jute_put_int(&body, 1);
	const int32_t watch = rig_request(&b, OP_ADD_WATCH, &body);

	rig_run(&rig);
	rig_expect(&b, watch, ZK_OK);
	const int32_t closing = rig_bare_op(&a, OP_CLOSE_SESSION);

	one_reader_round();
	while (ephemerals() > 0)
		one_writer_round();
	for (int i = 0; i < 3; i++)
		one_writer_round();

	const int64_t zxid = rig.written;
	uint64_t before = stats_sum(&rig.stats, STAT_WATCH_EVENTS);
	const uint64_t end = before + EPHEMERALS;
	int32_t heard = 0, other = 0;

	while (before < end) {
		one_reader_round();
		const uint64_t now = stats_sum(&rig.stats, STAT_WATCH_EVENTS);

		assert_in_range(now - before, 1, TOLD_MAX);
		before = now;
		if (rounds++ == 0) {
			heard = rig_get_data(&b, "/e002999", false);
			other = rig_get_data(&c, "/e002999", false);
		}
		if (before < end)
			rig_expect_silence(&c);
		assert_true(rounds < 50);
	}
	assert_int_equal(rounds, EPHEMERALS / TOLD_MAX + 1);
	rig_run(&rig);
	rig_expect(&a, closing, ZK_OK);
	for (uint32_t i = 0; i < EPHEMERALS; i++) {
		const struct rig_reply event = rig_reply(&b);

		assert_int_equal(event.header.xid, XID_NOTIFICATION);
		assert_int_equal(event.header.zxid, zxid);
	}
	rig_expect(&b, heard, ZK_NONODE);
	assert_int_equal(rig_expect(&c, other, ZK_NONODE), zxid);
}

/* An entry that is too large for the log: the session stays. */
static void
a_session_of_too_many_nodes_is_not_closed(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	const uint32_t count = 400, bytes = 6000;
	char *path = malloc(bytes + 16);

	(void)state;
	assert_non_null(path);
	for (uint32_t i = 0; i < count; i++) {
		struct jute_writer body = jute_writer_of(space, sizeof(space));

		memset(path, 'x', bytes);
		snprintf(path + bytes, 16, "%06u", i);
		path[0] = '/';
		jute_put_cstr(&body, path);
		jute_put_cstr(&body, "");
		jute_put_int(&body, 1);
		jute_put_int(&body, PERM_ALL);
		jute_put_cstr(&body, "world");
		jute_put_cstr(&body, "anyone");
		jute_put_int(&body, 1);
		const int32_t xid = rig_request(&a, OP_CREATE, &body);

		rig_run(&rig);
		rig_expect(&a, xid, ZK_OK);
	}
	free(path);
	const int64_t zxid = rig.written;
	const int32_t xid = rig_bare_op(&a, OP_CLOSE_SESSION);

	for (int i = 0; i < 3; i++)
		rig_run(&rig);
	rig_expect(&a, xid, ZK_THROTTLEDOP);
	assert_int_equal(ephemerals(), count);
	assert_int_equal(rig.written, zxid);
	create(&b, "/next");
	assert_int_equal(rig.written, zxid + 1);
}

static void
put_read(struct jute_writer *body, int32_t type, const char *path)
{
	proto_put_multi_header(
		body, &(struct proto_multi_header){.type = type, .err = -1});
	jute_put_cstr(body, path);
	jute_put_bool(body, false);
}

static void
put_multi_end(struct jute_writer *body)
{
	proto_put_multi_header(
		body, &(struct proto_multi_header){
			      .type = OP_ERROR, .is_done = true, .err = -1});
}

/* Thousands of results, among them a large directory and a failed read. */
static void
a_long_multi_read_is_made_in_slices(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct jute_writer body = jute_writer_of(space, sizeof(space));
	const uint32_t reads = 2000;
	uint32_t rounds = 0;

	(void)state;
	make_large_directory(&a, 700);
	for (uint32_t i = 0; i < reads; i++)
		put_read(&body, OP_GET_DATA, i == 7 ? "/none" : "/d");
	put_read(&body, OP_GET_CHILDREN, "/d");
	put_multi_end(&body);

	const int32_t xid = rig_request(&a, OP_MULTI_READ, &body);

	do {
		one_reader_round();
		rounds++;
		assert_true(rounds < 100);
	} while (reader_has_work(rig.reader));
	assert_true(rounds >= 2 * ((reads + 700) / NAMES_MAX));

	struct rig_reply reply = rig_reply(&a);
	struct proto_multi_header header;

	assert_int_equal(reply.header.xid, xid);
	assert_int_equal(reply.header.err, ZK_OK);
	for (uint32_t i = 0; i < reads; i++) {
		assert_int_equal(proto_get_multi_header(&reply.body, &header),
				 0);
		assert_int_equal(header.type, i == 7 ? OP_ERROR : OP_GET_DATA);
		if (i == 7) {
			assert_int_equal(jute_get_int(&reply.body), ZK_NONODE);
			continue;
		}
		assert_int_equal(jute_get_slice(&reply.body).bytes, 0);
		jute_take(&reply.body, PROTO_STAT_BYTES);
	}
	assert_int_equal(proto_get_multi_header(&reply.body, &header), 0);
	assert_int_equal(header.type, OP_GET_CHILDREN);
	expect_names(&reply.body, 700);
	assert_int_equal(proto_get_multi_header(&reply.body, &header), 0);
	assert_true(header.is_done);
	assert_ptr_equal(reply.body.at, reply.body.end);
}

/* The state that it reads is kept for as long as it takes, and what is replaced
 * meanwhile with it. */
static void
a_long_multi_read_is_measured_by_its_results(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct jute_writer body = jute_writer_of(space, sizeof(space));
	enum { READS = 2000, DATA_BYTES = 900 };
	const uint32_t slices = READS * DATA_BYTES / (64u << 10);
	char data[DATA_BYTES + 1];
	uint32_t rounds = 0;

	(void)state;
	memset(data, 'x', DATA_BYTES);
	data[DATA_BYTES] = '\0';
	rig_create(&a, "/d", data, 0);
	rig_run(&rig);
	assert_int_equal(rig_reply(&a).header.err, ZK_OK);
	for (uint32_t i = 0; i < READS; i++)
		put_read(&body, OP_GET_DATA, "/d");
	put_multi_end(&body);
	rig_request(&a, OP_MULTI_READ, &body);
	do {
		one_reader_round();
		rounds++;
	} while (reader_has_work(rig.reader) && rounds < 1000);
	assert_in_range(rounds, slices, slices * 3 / 2);
	assert_int_equal(rig_reply(&a).header.err, ZK_OK);
}

/* What is wrong with it is found at its end only: nothing of it was sent. */
static void
a_long_multi_read_that_breaks_off_is_refused_whole(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct jute_writer body = jute_writer_of(space, sizeof(space));

	(void)state;
	create(&a, "/d");
	for (uint32_t i = 0; i < 1000; i++)
		put_read(&body, OP_GET_DATA, "/d");
	put_read(&body, OP_SET_DATA, "/d");
	put_multi_end(&body);

	const int32_t xid = rig_request(&a, OP_MULTI_READ, &body);
	const int32_t next = rig_get_data(&a, "/d", false);

	for (int i = 0; i < 5; i++)
		rig_run(&rig);
	rig_expect(&a, xid, ZK_MARSHALLINGERROR);
	rig_expect(&a, next, ZK_OK);
}

/* 30,000 watches of a client that comes back. */
static void
watches_by_the_thousand_are_registered_some_a_round(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct jute_writer body = jute_writer_of(space, sizeof(space));
	const uint32_t count = 30000;
	char path[32];

	(void)state;
	create(&a, "/here");
	jute_put_long(&body, rig.written);
	jute_put_int(&body, 1); /* data: unchanged */
	jute_put_cstr(&body, "/here");
	jute_put_int(&body, (int32_t)count); /* exist: not there */
	for (uint32_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/none/%05u", i);
		jute_put_cstr(&body, path);
	}
	jute_put_int(&body, 1); /* child: gone */
	jute_put_cstr(&body, "/gone");

	const int32_t xid = rig_request(&a, OP_SET_WATCHES, &body);
	uint64_t before = watchers();
	uint32_t rounds = 0;

	do {
		one_reader_round();
		assert_true(watchers() - before <= REWATCH_MAX);
		before = watchers();
		rounds++;
	} while (reader_has_work(rig.reader));
	assert_true(rounds >= count / REWATCH_MAX);
	assert_int_equal(watchers(), count + 1);

	struct rig_reply reply = rig_reply(&a);

	assert_int_equal(reply.header.xid, XID_NOTIFICATION);
	assert_int_equal(reply.header.zxid, -1);
	rig_expect(&a, xid, ZK_OK);
}

static void
watches_of_a_closed_connection_go_some_a_round(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	const uint32_t count = 20000;
	char path[32];

	(void)state;
	create(&a, "/d");
	for (uint32_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/none/%05u", i);
		rig_get_data(&b, path, true);
		uint8_t bytes[64];
		struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

		jute_put_cstr(&body, path);
		jute_put_bool(&body, true);
		rig_request(&b, OP_EXISTS, &body);
		if (i % 16 == 15)
			rig_run(&rig);
		if (i % 1024 == 1023) /* nobody reads what it gets */
			rig.streams->stream[b.stream].out_bytes = 0;
	}
	rig_run(&rig);
	assert_int_equal(watchers(), count);
	fake_vanish(rig.streams, b.stream);

	uint64_t before = watchers();
	uint32_t rounds = 0;

	while (watchers() > 0) {
		one_reader_round();
		assert_true(before - watchers() <= 2 * DROP_MAX);
		before = watchers();
		rounds++;
		/* Changes there concern nobody, and others are served. */
		if (rounds == 3) {
			create(&a, "/none");
			create(&a, "/none/00777");
			before = watchers();
		}
	}
	assert_true(rounds >= count / (2 * DROP_MAX) / 2);
	rig_run(&rig);
	assert_false(reader_has_work(rig.reader));
	/* Its place serves again. */
	for (uint32_t i = 0; i < FAKE_STREAMS; i++) {
		struct rig_client c = rig_client(&rig);

		fake_vanish(rig.streams, c.stream);
		rig_run(&rig);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ephemerals_are_named_some_a_round),
		TEST(a_long_list_of_ephemerals_is_one_state),
		TEST(a_client_that_leaves_before_its_ephemerals_costs_nothing),
		TEST(a_session_of_many_nodes_closes_some_a_round),
		TEST(sessions_of_many_nodes_expire_too),
		TEST(sessions_that_end_together_do_so_some_a_round),
		TEST(events_of_a_closed_session_are_told_some_a_round),
		TEST(a_session_of_too_many_nodes_is_not_closed),
		TEST(a_long_multi_read_is_made_in_slices),
		TEST(a_long_multi_read_is_measured_by_its_results),
		TEST(a_long_multi_read_that_breaks_off_is_refused_whole),
		TEST(watches_by_the_thousand_are_registered_some_a_round),
		TEST(watches_of_a_closed_connection_go_some_a_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
