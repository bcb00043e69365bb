/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    each limit on requests holds, costs nobody his session, lets
 *         heartbeats pass, and ends when there is room again.
 * Method  the pipeline rig with limits set and a log that becomes durable when
 *         the test says so.
 */
#include "pipeline_rig.h"

#include <stdio.h>
#include <string.h>

#include "base/time.h"

static struct rig rig;

static void
start(const struct reader_options *limits)
{
	rig_start_limited(&rig, limits);
}

static int
teardown(void **state)
{
	(void)state;
	rig_stop(&rig);
	return 0;
}

static uint64_t
stat(enum stat which)
{
	return stats_sum(&rig.stats, which);
}

static bool
is_closed(const struct rig_client *client)
{
	return rig.streams->stream[client->stream].is_closed;
}

static bool
is_read(const struct rig_client *client)
{
	return !rig.streams->stream[client->stream].is_paused;
}

/* 10 allowed; three clients with 8 writes each. */
static void
beyond_the_global_limit_each_has_one_request_under_way(void **state)
{
	struct rig_client client[3];

	(void)state;
	start(&(struct reader_options){.outstanding_max = 10});
	for (int c = 0; c < 3; c++)
		client[c] = rig_client(&rig);
	rig.is_slow = true;

	const int64_t before = rig.written;

	for (int c = 0; c < 3; c++) {
		char path[32];

		for (int i = 0; i < 8; i++) {
			snprintf(path, sizeof(path), "/n%d-%d", c, i);
			rig_create(&client[c], path, "", 0);
		}
	}
	rig_run(&rig);
	/* Some went over the limit together; nothing like 24 did. */
	assert_in_range(rig.written - before, 10, 14);
	for (int c = 0; c < 3; c++)
		assert_true(rig.written > before);
	for (int i = 0; i < 10; i++)
		rig_sync(&rig);
	assert_int_equal(rig.written - before, 24);
	for (int c = 0; c < 3; c++)
		for (int i = 0; i < 8; i++)
			rig_expect(&client[c], i + 1, ZK_OK);
}

static void
reads_of_others_pass_the_global_limit(void **state)
{
	(void)state;
	start(&(struct reader_options){.outstanding_max = 2});

	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	rig.is_slow = true;
	for (int i = 0; i < 6; i++)
		rig_create(&a, "/a", "", 0);
	rig_run(&rig);
	const int32_t xid = rig_get_data(&b, "/zookeeper", false);

	rig_run(&rig);
	rig_expect(&b, xid, ZK_OK);
	rig_expect_silence(&a);
}

static void
who_finds_the_writer_full_stands_in_line(void **state)
{
	struct rig_client client[5];

	(void)state;
	start(&(struct reader_options){.throttle_requests_max = 3});
	for (int c = 0; c < 5; c++)
		client[c] = rig_client(&rig);
	rig.is_slow = true;

	const int64_t before = rig.written;

	for (int c = 0; c < 5; c++)
		rig_set_data(&client[c], "/zookeeper", "x");
	rig_run(&rig);
	assert_int_equal(rig.written - before, 3);
	assert_int_equal(stat(STAT_THROTTLE_WAITS), 2);
	assert_false(is_read(&client[4]));
	rig_sync(&rig);
	rig_sync(&rig);
	assert_int_equal(rig.written - before, 5);
	for (int c = 0; c < 5; c++)
		rig_expect(&client[c], 1, ZK_OK);
	assert_true(is_read(&client[4]));
}

/* Both wait longer than allowed; one is a read behind its own write. */
static void
who_stood_in_line_too_long_is_told_so_in_its_place(void **state)
{
	(void)state;
	start(&(struct reader_options){.throttle_requests_max = 1,
				       .throttled_op_wait_ms = 500});

	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	rig.is_slow = true;
	const int32_t first = rig_set_data(&a, "/zookeeper", "1");

	rig_run(&rig);
	const int32_t late = rig_set_data(&b, "/zookeeper", "2");

	rig_run(&rig);
	rig.now_ms += 501;
	rig_sync(&rig);
	rig_sync(&rig);
	rig_expect(&a, first, ZK_OK);
	rig_expect(&b, late, ZK_THROTTLEDOP);
	assert_int_equal(stat(STAT_THROTTLED_OPS), 1);
	/* The next one is not late. */
	rig.is_slow = false;
	const int32_t next = rig_set_data(&b, "/zookeeper", "3");

	rig_run(&rig);
	rig_expect(&b, next, ZK_OK);
}

static void
a_stale_request_ends_its_connection(void **state)
{
	(void)state;
	start(&(struct reader_options){.throttle_requests_max = 1,
				       .throttle_drops_stale = true,
				       .is_latency_stale = true});

	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	rig.is_slow = true;
	rig_set_data(&a, "/zookeeper", "1");
	rig_run(&rig);
	rig_set_data(&b, "/zookeeper", "2");
	rig_run(&rig);
	for (int i = 0; i < 11; i++) {
		rig.now_ms += RIG_TIMEOUT_MS / 10;
		rig_bare_op(&a, OP_PING);
		rig_run(&rig);
	}
	/* It stood in line because of us, so its session lives. */
	assert_false(is_closed(&b));
	assert_int_equal(stat(STAT_SESSIONS_EXPIRED), 0);
	const int64_t before = rig.written;

	rig_sync(&rig);
	rig_sync(&rig);
	assert_true(is_closed(&b));
	assert_int_equal(rig.written, before);
	assert_int_equal(stat(STAT_STALE_REQUESTS_DROPPED), 1);
}

static void
heartbeats_pass_the_line(void **state)
{
	(void)state;
	start(&(struct reader_options){.throttle_requests_max = 1});

	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);

	rig.is_slow = true;
	rig_set_data(&a, "/zookeeper", "1");
	rig_run(&rig);
	rig_bare_op(&b, OP_PING);
	rig_set_data(&b, "/zookeeper", "2");
	rig_run(&rig);
	rig_expect(&b, XID_PING, ZK_OK);
}

static void
send_large(struct rig_client *client, uint32_t bytes)
{
	static uint8_t data[100000];
	static uint8_t space[200000];
	struct jute_writer body = jute_writer_of(space, sizeof(space));

	jute_put_cstr(&body, "/zookeeper");
	jute_put_slice(&body, jute_slice_of(data, bytes));
	jute_put_int(&body, -1);
	rig_request(client, OP_SET_DATA, &body);
}

/* A thousand requests may be a gigabyte. */
static void
bytes_under_way_have_a_limit_as_well(void **state)
{
	struct rig_client client[2];

	(void)state;
	start(&(struct reader_options){.outstanding_bytes_max = 100000});
	for (int c = 0; c < 2; c++)
		client[c] = rig_client(&rig);
	rig.is_slow = true;

	const int64_t before = rig.written;

	for (int c = 0; c < 2; c++)
		for (int i = 0; i < 5; i++)
			send_large(&client[c], 30000);
	rig_run(&rig);
	/* Four of the one, and one of the other all the same. */
	assert_int_equal(rig.written - before, 5);
	assert_false(is_read(&client[0]));
	assert_false(is_read(&client[1]));
	for (int i = 0; i < 10; i++)
		rig_sync(&rig);
	assert_int_equal(rig.written - before, 10);
	for (int c = 0; c < 2; c++) {
		for (int i = 0; i < 5; i++)
			rig_expect(&client[c], i + 1, ZK_OK);
		assert_true(is_read(&client[c]));
	}
}

/* Nor does anything else make it stop: its socket does. */
static void
who_reads_no_heartbeat_is_not_given_more(void **state)
{
	struct fake_stream *stream;

	(void)state;
	start(&(struct reader_options){.throttle_requests_max = 0});

	struct rig_client a = rig_client(&rig);

	stream = &rig.streams->stream[a.stream];
	rig.streams->unsent = 1u << 20;
	for (int i = 0; i < 3000; i++)
		rig_bare_op(&a, OP_PING);
	rig_run(&rig);
	assert_false(is_read(&a));
	assert_in_range(stream->out_bytes, 1, 1000 * 20);
	assert_false(is_closed(&a));
	/* It reads after all. */
	rig.streams->unsent = 0;
	stream->is_writable = true;
	rig_run(&rig);
	assert_true(is_read(&a));
	for (int i = 0; i < 3000; i++)
		rig_expect(&a, XID_PING, ZK_OK);
}

static void
one_large_frame_too_many_closes_its_connection(void **state)
{
	(void)state;
	start(&(struct reader_options){.large_threshold = 10000,
				       .large_bytes_max = 100000});

	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	struct rig_client c = rig_client(&rig);

	rig.is_slow = true;
	send_large(&a, 60000);
	rig_run(&rig);
	send_large(&b, 60000);
	send_large(&c, 9000); /* not large */
	rig_run(&rig);
	assert_false(is_closed(&a));
	assert_true(is_closed(&b));
	assert_int_equal(stat(STAT_LARGE_REQUESTS_REJECTED), 1);
	rig_sync(&rig);
	rig_expect(&a, 1, ZK_OK);
	rig_expect(&c, 1, ZK_OK);
	/* Answered, it counts no more. */
	rig.is_slow = false;
	send_large(&a, 60000);
	rig_run(&rig);
	rig_expect(&a, 2, ZK_OK);
}

/* More data than there are reqs; a new client still gets its session. */
static void
a_flood_of_data_leaves_reqs_for_new_sessions(void **state)
{
	struct rig_client client[12];

	(void)state;
	start(&(struct reader_options){0});
	for (int c = 0; c < 12; c++)
		client[c] = rig_client(&rig);
	rig.is_slow = true;
	for (int c = 0; c < 12; c++)
		for (int i = 0; i < 40; i++)
			rig_set_data(&client[c], "/zookeeper", "x");
	rig_run(&rig);
	rig_run(&rig);

	struct rig_client late = rig_client(&rig);

	assert_true(late.session_id != 0);
	/* What needs none is served. */
	const int32_t read = rig_get_data(&late, "/zookeeper", false);

	rig_run(&rig);
	rig_expect(&late, read, ZK_OK);
	rig.is_slow = false;
	for (int i = 0; i < 20; i++)
		rig_sync(&rig);
	for (int c = 0; c < 12; c++)
		for (int i = 0; i < 40; i++)
			rig_expect(&client[c], i + 1, ZK_OK);
}

static int32_t
send_auth(struct rig_client *client, const char *scheme, const char *text)
{
	uint8_t bytes[100];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

	jute_put_int(&body, 0);
	jute_put_cstr(&body, scheme);
	jute_put_cstr(&body, text);
	return rig_request(client, OP_AUTH, &body);
}

static void
an_ensemble_has_its_names(void **state)
{
	(void)state;
	start(&(struct reader_options){.ensemble_names = "red, blue"});

	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	int32_t xid = send_auth(&a, "ensemble", "blue");

	rig_run(&rig);
	rig_expect(&a, xid, ZK_OK);
	xid = send_auth(&a, "ensemble", "");
	rig_run(&rig);
	rig_expect(&a, xid, ZK_OK);
	send_auth(&b, "ensemble", "green");
	rig_run(&rig);
	rig_expect_silence(&b);
	assert_true(is_closed(&b));
	assert_int_equal(stat(STAT_ENSEMBLE_AUTH_SUCCESS), 1);
	assert_int_equal(stat(STAT_ENSEMBLE_AUTH_SKIP), 1);
	assert_int_equal(stat(STAT_ENSEMBLE_AUTH_FAIL), 1);
}

static void
without_a_provider_ensemble_is_no_scheme(void **state)
{
	(void)state;
	start(&(struct reader_options){0});

	struct rig_client a = rig_client(&rig);
	const int32_t xid = send_auth(&a, "ensemble", "blue");

	rig_run(&rig);
	rig_expect(&a, xid, ZK_AUTHFAILED);
	assert_true(is_closed(&a));
}

static void
a_connect_beyond_the_tokens_is_closed_without_a_word(void **state)
{
	uint32_t in = 0;

	(void)state;
	start(&(struct reader_options){.connects = {.tokens_max = 3,
						    .fill_ms = 1000,
						    .fill_count = 1,
						    .freeze_ms = -1}});
	rig_client(&rig); /* its clock starts */
	for (int i = 0; i < 5; i++) {
		struct rig_client client;

		in += rig_try_client(&rig, &client);
	}
	assert_int_equal(in, 2);
	assert_int_equal(stat(STAT_CONNECTIONS_REJECTED), 3);
	rig.now_ms += 1001;
	rig_client(&rig);
}

/* Six tokens are two new sessions, or six where those are local. */
static void
a_new_session_weighs_what_it_is(void **state)
{
	struct reader_options limits = {.connects = {.tokens_max = 6,
						     .fill_ms = 1000,
						     .fill_count = 1,
						     .freeze_ms = -1,
						     .has_weights = true,
						     .weight_global = 3,
						     .weight_local = 1,
						     .weight_renew = 2}};

	(void)state;
	for (int is_local = 0; is_local <= 1; is_local++) {
		uint32_t in = 0;

		limits.connects.has_local = is_local;
		start(&limits);
		for (int i = 0; i < 8; i++) {
			struct rig_client client;

			in += rig_try_client(&rig, &client);
		}
		assert_int_equal(in, is_local ? 6 : 2);
		if (!is_local)
			rig_stop(&rig);
	}
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(beyond_the_global_limit_each_has_one_request_under_way),
		TEST(reads_of_others_pass_the_global_limit),
		TEST(bytes_under_way_have_a_limit_as_well),
		TEST(who_finds_the_writer_full_stands_in_line),
		TEST(who_stood_in_line_too_long_is_told_so_in_its_place),
		TEST(a_stale_request_ends_its_connection),
		TEST(heartbeats_pass_the_line),
		TEST(who_reads_no_heartbeat_is_not_given_more),
		TEST(one_large_frame_too_many_closes_its_connection),
		TEST(a_flood_of_data_leaves_reqs_for_new_sessions),
		TEST(an_ensemble_has_its_names),
		TEST(without_a_provider_ensemble_is_no_scheme),
		TEST(a_connect_beyond_the_tokens_is_closed_without_a_word),
		TEST(a_new_session_weighs_what_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
