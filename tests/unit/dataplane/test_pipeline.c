/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    the READER and ZAB roles together keep what clients are promised:
 *         nothing is answered before it is durable, replies come in the order
 *         of the requests, a read sees exactly the writes in front of it, an
 *         event precedes what shows its change, and what cannot be done now
 *         costs nobody else anything.
 * Method  both roles in one thread between clients played by the test and a
 *         log that becomes durable when the test says so (pipeline_rig).
 */
#include "one_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jemalloc/jemalloc.h>

#include "base/time.h"
#include "dataplane/reader_int.h"

static void
a_write_is_answered_only_when_it_is_durable(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	rig.is_slow = true;

	const int32_t xid = rig_create(&a, "/a", "1", 0);

	rig_run(&rig);
	rig_expect_silence(&a);
	rig_sync(&rig);
	assert_int_equal(rig_expect(&a, xid, ZK_OK), rig.written);
}

static void
another_client_does_not_see_what_is_not_durable(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	(void)state;
	rig.is_slow = true;
	rig_create(&a, "/a", "1", 0);
	rig_run(&rig);

	int32_t xid = rig_get_data(&b, "/a", false);

	rig_run(&rig);
	rig_expect(&b, xid, ZK_NONODE);
	rig_sync(&rig);
	xid = rig_get_data(&b, "/a", false);
	rig_run(&rig);
	rig_expect_data(&b, xid, "1");
}

/* The read in the middle is answered when both writes are published; it must
 * show the first one and not the second. */
static void
a_read_between_two_writes_sees_the_first_only(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	rig.is_slow = true;

	const int32_t create = rig_create(&a, "/a", "1", 0);
	const int32_t read_1 = rig_get_data(&a, "/a", false);
	const int32_t set = rig_set_data(&a, "/a", "2");
	const int32_t read_2 = rig_get_data(&a, "/a", false);

	rig_run(&rig);
	rig_expect_silence(&a);
	rig_sync(&rig);
	rig_expect(&a, create, ZK_OK);
	rig_expect_data(&a, read_1, "1");
	rig_expect(&a, set, ZK_OK);
	rig_expect_data(&a, read_2, "2");
}

static void
a_read_of_another_client_does_not_wait(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	(void)state;
	rig.is_slow = true;
	rig_create(&a, "/a", "1", 0);

	const int32_t xid = rig_path_op(&b, OP_GET_ALL_CHILDREN_NUMBER, "/");

	rig_run(&rig);
	rig_expect(&b, xid, ZK_OK);
}

static void
a_ping_does_not_wait_behind_a_write(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	rig.is_slow = true;

	const int32_t xid = rig_create(&a, "/a", "1", 0);

	rig_bare_op(&a, OP_PING);
	rig_run(&rig);
	rig_expect(&a, XID_PING, ZK_OK);
	rig_expect_silence(&a);
	rig_sync(&rig);
	rig_expect(&a, xid, ZK_OK);
}

static void
sync_keeps_its_place_between_writes(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	rig.is_slow = true;

	const int32_t first = rig_create(&a, "/a", "1", 0);
	const int32_t sync = rig_path_op(&a, OP_SYNC, "/a");
	const int32_t second = rig_set_data(&a, "/a", "2");

	rig_run(&rig);
	rig_expect_silence(&a);
	rig_sync(&rig);

	const int64_t zxid = rig_expect(&a, first, ZK_OK);

	assert_int_equal(rig_expect(&a, sync, ZK_OK), zxid);
	assert_int_equal(rig_expect(&a, second, ZK_OK), zxid + 1);
}

static void
the_own_event_comes_before_the_reply(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	rig_create(&a, "/a", "1", 0);
	rig_get_data(&a, "/a", true);
	rig_run(&rig);
	(void)rig_reply(&a);
	(void)rig_reply(&a);

	const int32_t set = rig_set_data(&a, "/a", "2");

	rig_run(&rig);

	struct rig_reply event = rig_reply(&a);
	struct proto_watcher_event what;

	assert_int_equal(event.header.xid, XID_NOTIFICATION);
	assert_int_equal(event.header.zxid, rig.written);
	assert_int_equal(proto_get_watcher_event(&event.body, &what), 0);
	assert_int_equal(what.type, EVENT_NODE_DATA_CHANGED);
	assert_int_equal(rig_expect(&a, set, ZK_OK), rig.written);
}

static void
a_full_disk_refuses_writes_and_serves_reads(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	rig_create(&a, "/a", "1", 0);
	rig_run(&rig);
	(void)rig_reply(&a);
	rig.has_no_space = true;

	const int64_t before = rig.written;
	const int32_t refused = rig_set_data(&a, "/a", "2");
	const int32_t read = rig_get_data(&a, "/a", false);

	rig_run(&rig);
	rig_expect(&a, refused, ZK_THROTTLEDOP);
	rig_expect_data(&a, read, "1");
	assert_int_equal(rig.written, before);
	rig.has_no_space = false;

	const int32_t again = rig_set_data(&a, "/a", "3");

	rig_run(&rig);
	rig_expect(&a, again, ZK_OK);
}

static void
requests_behind_close_session_have_no_effect(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;

	const int32_t close = rig_bare_op(&a, OP_CLOSE_SESSION);

	rig_create(&a, "/late", "1", 0);
	rig_run(&rig);
	rig_expect(&a, close, ZK_OK);
	rig_expect_silence(&a);
	assert_true(rig.streams->stream[a.stream].is_closed);
	assert_null(tree_find(rig.tree, tree_path_of(rig.tree, "/late", 5)));
	assert_null(session_find(rig.sessions, a.session_id));
}

static void
a_client_that_vanished_leaves_its_write_and_no_reply(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	(void)state;
	rig.is_slow = true;
	rig_create(&a, "/a", "1", 0);
	rig_run(&rig);
	fake_vanish(rig.streams, a.stream);
	rig_run(&rig);
	rig_sync(&rig);

	const int32_t xid = rig_get_data(&b, "/a", false);

	rig_run(&rig);
	rig_expect_data(&b, xid, "1");
	/* Its session has no connection and lives until it expires. */
	assert_int_equal(session_find(rig.sessions, a.session_id)->owner.core,
			 SESSION_OWNER_NONE);
}

static void
a_silent_session_expires_with_its_ephemerals(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	(void)state;
	rig_create(&a, "/e", "1", CREATE_EPHEMERAL);
	rig_run(&rig);
	(void)rig_reply(&a);
	for (int i = 0; i < 4; i++) {
		rig.now_ms += 3000;
		rig_bare_op(&b, OP_PING);
		rig_run(&rig);
		rig_expect(&b, XID_PING, ZK_OK);
	}
	assert_null(session_find(rig.sessions, a.session_id));
	assert_non_null(session_find(rig.sessions, b.session_id));
	assert_true(rig.streams->stream[a.stream].is_closed);

	const int32_t xid = rig_get_data(&b, "/e", false);

	rig_run(&rig);
	rig_expect(&b, xid, ZK_NONODE);
}

static void
ephemerals_without_a_session_go_at_the_start(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	(void)state;
	rig_create(&a, "/orphan", "1", CREATE_EPHEMERAL);
	rig_create(&b, "/kept", "1", CREATE_EPHEMERAL);
	rig_run(&rig);
	(void)rig_reply(&a);
	(void)rig_reply(&b);
	session_remove(rig.sessions, a.session_id);
	rig_restart_zab(&rig);
	rig_run(&rig);

	const int32_t orphan = rig_get_data(&b, "/orphan", false);
	const int32_t kept = rig_get_data(&b, "/kept", false);

	rig_run(&rig);
	rig_expect(&b, orphan, ZK_NONODE);
	rig_expect_data(&b, kept, "1");
}

static void
resuming_a_session_closes_its_old_connection(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = {.rig = &rig,
			       .stream = fake_connect(rig.streams)};
	uint8_t password[PROTO_PASSWORD_BYTES], bytes[128];
	struct jute_writer frame = jute_writer_of(bytes, sizeof(bytes));
	uint32_t got = 0;
	uint8_t word[4];

	(void)state;
	proto_session_password(a.session_id, password);
	proto_put_connect_request(
		&frame,
		&(struct proto_connect_request){
			.timeout_ms = RIG_TIMEOUT_MS,
			.session_id = a.session_id,
			.password = jute_slice_of(password, sizeof(password)),
		});
	be_store32(word, (uint32_t)jute_written(&frame));
	fake_send(rig.streams, b.stream, word, 4);
	fake_send(rig.streams, b.stream, bytes, (uint32_t)jute_written(&frame));
	rig_run(&rig);
	assert_true(rig.streams->stream[a.stream].is_closed);

	const uint8_t *reply = fake_receive(rig.streams, b.stream, &got);

	assert_non_null(reply);

	struct jute_reader reader = jute_reader_of(reply, got);
	struct proto_connect_response response;

	assert_int_equal(proto_get_connect_response(&reader, &response), 0);
	assert_int_equal(response.session_id, a.session_id);
	assert_false(response.has_read_only); /* the request had none */

	const int32_t xid = rig_create(&b, "/b", "1", 0);

	rig_run(&rig);
	rig_expect(&b, xid, ZK_OK);
}

static void
a_batch_of_writes_is_one_kick_of_the_log(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	rig_create(&a, "/a", "1", 0);
	rig_run(&rig);
	(void)rig_reply(&a);

	const uint32_t kicks = rig.kicks, commits = rig.commits;

	for (int i = 0; i < 20; i++)
		rig_set_data(&a, "/a", "x");
	rig_run(&rig);
	assert_int_equal(rig.commits, commits + 20);
	assert_int_equal(rig.kicks, kicks + 1);
}

/* A connection may have 32 requests unanswered here; the rest waits in the
 * socket and nothing is lost or out of order. */
static void
a_deep_pipeline_is_held_back_and_completed(void **state)
{
	enum { COUNT = 500 };
	struct rig_client a = rig_client(&rig);
	int32_t xid[COUNT];

	(void)state;
	rig.is_slow = true;
	xid[0] = rig_create(&a, "/a", "1", 0);
	for (int i = 1; i < COUNT; i++)
		xid[i] = i % 3 == 0 ? rig_get_data(&a, "/a", false)
				    : rig_set_data(&a, "/a", "x");
	rig_run(&rig);
	assert_true(rig.commits <= 2 + 32);
	for (int i = 0; i < COUNT; i++)
		rig_sync(&rig);
	for (int i = 0; i < COUNT; i++)
		rig_expect(&a, xid[i], ZK_OK);
	rig_expect_silence(&a);
}

/* The heartbeats of a client whose socket we do not read lie there unread: for
 * three of its timeouts that does not count against it. */
static void
a_session_that_we_hold_back_does_not_expire_soon(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	rig.is_slow = true;
	for (int i = 0; i < 100; i++)
		rig_create(&a, "/same", "1", 0);
	for (int ms = 0; ms < 3 * RIG_TIMEOUT_MS; ms += 500) {
		rig_run(&rig);
		rig.now_ms += 500;
	}
	assert_false(session_find(rig.sessions, a.session_id)->is_closing);
	for (int ms = 0; ms < 2 * RIG_TIMEOUT_MS; ms += 500) {
		rig_run(&rig);
		rig.now_ms += 500;
	}
	assert_true(session_find(rig.sessions, a.session_id)->is_closing);
}

/* The count is large enough to take several rounds; the write behind it must
 * neither overtake it nor be lost. */
static void
a_write_behind_a_long_count_keeps_its_place(void **state)
{
	enum { NODES = 2000 };
	struct rig_client a = rig_client(&rig);
	char path[16];

	(void)state;
	for (int i = 0; i < NODES; i++) {
		snprintf(path, sizeof(path), "/n%d", i);
		rig_create(&a, path, "", 0);
		rig_run(&rig);
		(void)rig_reply(&a);
	}
	rig.is_slow = true;

	const int32_t first = rig_set_data(&a, "/n1", "1");
	const int32_t count = rig_path_op(&a, OP_GET_ALL_CHILDREN_NUMBER, "/");
	const int32_t second = rig_set_data(&a, "/n1", "2");
	const int32_t read = rig_get_data(&a, "/n1", false);

	for (int i = 0; i < 10; i++)
		rig_sync(&rig);
	rig_expect(&a, first, ZK_OK);

	struct rig_reply reply = rig_reply(&a);

	assert_int_equal(reply.header.xid, count);
	/* /zookeeper, its config and quota too */
	assert_int_equal(jute_get_int(&reply.body), NODES + 3);
	rig_expect(&a, second, ZK_OK);
	rig_expect_data(&a, read, "2");
}

static uint64_t
allocations(void)
{
	uint64_t bytes = 0;
	size_t size = sizeof(bytes);

	assert_int_equal(mallctl("thread.allocated", &bytes, &size, NULL, 0),
			 0);
	return bytes;
}

/* A sanitizer's allocator takes jemalloc's place; then nothing is counted. */
static void
skip_unless_allocations_count(void)
{
	const uint64_t before = allocations();
	void *volatile block = malloc(100);

	free(block);
	if (allocations() == before)
		skip();
}

static void
reads_allocate_nothing(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	skip_unless_allocations_count();
	rig_create(&a, "/a", "1", 0);
	rig_get_data(&a, "/a", false);
	rig_path_op(&a, OP_GET_ACL, "/a");
	rig_run(&rig);
	for (int i = 0; i < 3; i++)
		(void)rig_reply(&a);
	for (int i = 0; i < 30; i++)
		rig_get_data(&a, "/a", false);
	for (int i = 0; i < 30; i++)
		rig_path_op(&a, OP_GET_ACL, "/a");

	const uint64_t before = allocations();

	rig_run(&rig);
	assert_int_equal(allocations(), before);
	for (int i = 0; i < 60; i++)
		assert_int_equal(rig_reply(&a).header.err, ZK_OK);
}

static void
small_writes_allocate_nothing_once_warm(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	skip_unless_allocations_count();
	rig_create(&a, "/a", "1", 0);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 30; i++)
			rig_set_data(&a, "/a", "some data of a usual length");
		rig_run(&rig);
	}

	for (int i = 0; i < 30; i++)
		rig_set_data(&a, "/a", "some data of a usual length");

	const uint64_t before = allocations();

	rig_run(&rig);
	assert_int_equal(allocations(), before);
}

static void
bytes_that_break_the_protocol_close_that_connection_only(void **state)
{
	static const uint8_t negative[4] = {0xff, 0xff, 0xff, 0xff};
	static const uint8_t short_frame[8] = {0, 0, 0, 4, 0, 0, 0, 1};
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	struct rig_client c = rig_client(&rig);

	(void)state;
	fake_send(rig.streams, a.stream, negative, sizeof(negative));
	fake_send(rig.streams, b.stream, short_frame, sizeof(short_frame));
	rig_run(&rig);
	assert_true(rig.streams->stream[a.stream].is_closed);
	assert_true(rig.streams->stream[b.stream].is_closed);

	const int32_t xid = rig_create(&c, "/c", "1", 0);

	rig_run(&rig);
	rig_expect(&c, xid, ZK_OK);
}

static void
operations_that_clients_may_not_use_are_refused_in_order(void **state)
{
	static const int32_t ops[] = {
		OP_CHECK, OP_DELETE_CONTAINER, OP_CREATE_SESSION, 10, 888,
		OP_ERROR};

	(void)state;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		struct rig_client a = rig_client(&rig);
		char path[8];

		snprintf(path, sizeof(path), "/n%zu", i);

		const int32_t create = rig_create(&a, path, "1", 0);
		const int32_t xid = rig_path_op(&a, ops[i], path);

		rig_run(&rig);
		rig_expect(&a, create, ZK_OK);
		assert_int_equal(rig_expect(&a, xid, ZK_UNIMPLEMENTED), -1);
		assert_true(rig.streams->stream[a.stream].is_closed);
	}
}

static void
a_word_is_handed_on_and_its_text_closes(void **state)
{
	const uint32_t stream = fake_connect(rig.streams);

	(void)state;
	fake_send(rig.streams, stream, "ruok", 4);
	rig_run(&rig);
	assert_int_equal(rig.words_asked, 1);
	assert_int_equal(reader_send_text(rig.reader, rig.word.conn,
					  rig.word.conn_gen, "imok", 4),
			 4);
	assert_int_equal(rig.streams->stream[stream].out_bytes, 4);
	assert_true(rig.streams->stream[stream].is_closed);
}

static void
a_connection_that_says_nothing_is_closed_in_time(void **state)
{
	const uint32_t stream = fake_connect(rig.streams);

	(void)state;
	rig_run(&rig);
	rig.now_ms += 9999;
	rig_run(&rig);
	assert_false(rig.streams->stream[stream].is_closed);
	rig.now_ms += 1;
	rig_run(&rig);
	assert_true(rig.streams->stream[stream].is_closed);
}

static const struct hist *
hist_of(enum stat_hist which)
{
	return &rig.stats.core[0].hist[which];
}

/* The end of the rounds so far, so many ns after their beginning. */
static void
end_round(uint64_t ns)
{
	reader_round_done(rig.reader, rig.now_ms * NS_PER_MS + ns);
}

static void
latencies_run_from_arrival_to_the_end_of_the_replys_round(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	end_round(0);
	rig.is_slow = true;
	rig_create(&a, "/a", "1", 0);
	rig_run(&rig);
	end_round(0);
	assert_int_equal(summary_count(&hist_of(HIST_OP_CREATE)->summary), 0);
	rig.now_ms += 7;
	rig_sync(&rig);
	end_round(300);
	for (int i = 0; i < 3; i++)
		rig_get_data(&a, "/a", false);
	rig_run(&rig);
	end_round(500);
	assert_int_equal(summary_count(&hist_of(HIST_OP_CREATE)->summary), 1);
	assert_int_equal(summary_sum(&hist_of(HIST_OP_CREATE)->summary),
			 7 * NS_PER_MS + 300);
	assert_int_equal(summary_sum(&hist_of(HIST_UPDATE_LATENCY)->summary),
			 7 * NS_PER_MS + 300);
	assert_int_equal(summary_count(&hist_of(HIST_OP_GET_DATA)->summary), 3);
	assert_int_equal(summary_sum(&hist_of(HIST_OP_GET_DATA)->summary),
			 3 * 500);
	assert_int_equal(summary_count(&hist_of(HIST_READ_LATENCY)->summary),
			 3);
	assert_int_equal(
		summary_count(&hist_of(HIST_OP_CREATE_SESSION)->summary), 1);
}

static uint64_t
weight_of(const char *path)
{
	struct reader_top_row row;
	uint32_t cursor = 0;
	uint64_t weight = 0;

	while (reader_top_next(rig.reader, &cursor, &row))
		if (!row.is_client && row.place->bytes == strlen(path) &&
		    memcmp(row.place->name, path, strlen(path)) == 0)
			weight = row.place->weight;
	return weight;
}

static void
paths_and_clients_that_ask_most_are_known_by_window(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct reader_top_row row;
	uint32_t cursor = 0;
	bool has_client = false;

	(void)state;
	rig_create(&a, "/a", "1", 0);
	rig_run(&rig);
	for (int i = 0; i < 20; i++) {
		rig_get_data(&a, "/a", false);
		rig_path_op(&a, OP_EXISTS, "/b");
		rig_path_op(&a, OP_EXISTS, "/b");
		rig_run(&rig);
		rig.now_ms += 20;
	}
	/* A quiet core looks at every frame. */
	assert_int_equal(weight_of("/a"), 21);
	assert_int_equal(weight_of("/b"), 40);
	while (reader_top_next(rig.reader, &cursor, &row))
		has_client |= row.is_client;
	assert_true(has_client);
	/* The window before is shown until the next one is whole. */
	rig.now_ms += 10001;
	rig_get_data(&a, "/a", false);
	rig_run(&rig);
	assert_int_equal(weight_of("/b"), 40);
	rig.now_ms += 10001;
	rig_bare_op(&a, OP_PING);
	rig_run(&rig);
	assert_int_equal(weight_of("/b"), 0);
	assert_int_equal(weight_of("/a"), 1);
}

static void
a_busy_core_looks_at_few_frames_and_counts_them_all(void **state)
{
	struct rig_client a = rig_client(&rig);
	const uint64_t asked = 40000;
	uint64_t of_a, of_b;

	(void)state;
	rig_create(&a, "/a", "1", 0);
	rig_run(&rig);
	for (uint64_t i = 0; i < asked; i++) {
		rig_get_data(&a, i % 4 == 3 ? "/b" : "/a", false);
		reader_poll(rig.reader, rig.now_ms * NS_PER_MS,
			    (int64_t)rig.now_ms);
		rig_reply(&a);
	}
	/* All of it in a moment: one in a thousand is looked at by now. */
	assert_int_equal(rig.reader->sampler.interval, 1024);
	of_a = weight_of("/a");
	of_b = weight_of("/b");
	assert_in_range(of_a + of_b, asked - 2048, asked);
	assert_in_range(of_a, asked / 2, asked * 7 / 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_write_is_answered_only_when_it_is_durable),
		TEST(another_client_does_not_see_what_is_not_durable),
		TEST(a_read_between_two_writes_sees_the_first_only),
		TEST(a_read_of_another_client_does_not_wait),
		TEST(a_ping_does_not_wait_behind_a_write),
		TEST(sync_keeps_its_place_between_writes),
		TEST(the_own_event_comes_before_the_reply),
		TEST(a_full_disk_refuses_writes_and_serves_reads),
		TEST(requests_behind_close_session_have_no_effect),
		TEST(a_client_that_vanished_leaves_its_write_and_no_reply),
		TEST(a_silent_session_expires_with_its_ephemerals),
		TEST(ephemerals_without_a_session_go_at_the_start),
		TEST(resuming_a_session_closes_its_old_connection),
		TEST(a_batch_of_writes_is_one_kick_of_the_log),
		TEST(a_deep_pipeline_is_held_back_and_completed),
		TEST(a_session_that_we_hold_back_does_not_expire_soon),
		TEST(a_write_behind_a_long_count_keeps_its_place),
		TEST(reads_allocate_nothing),
		TEST(small_writes_allocate_nothing_once_warm),
		TEST(bytes_that_break_the_protocol_close_that_connection_only),
		TEST(operations_that_clients_may_not_use_are_refused_in_order),
		TEST(a_word_is_handed_on_and_its_text_closes),
		TEST(a_connection_that_says_nothing_is_closed_in_time),
		TEST(latencies_run_from_arrival_to_the_end_of_the_replys_round),
		TEST(paths_and_clients_that_ask_most_are_known_by_window),
		TEST(a_busy_core_looks_at_few_frames_and_counts_them_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
