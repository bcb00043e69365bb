/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    what four-letter words need from the two roles: the word with its
 *         argument, lists of connections, watches, sessions and digests that
 *         are complete however small the slices are, and a long answer that is
 *         sent bit by bit.
 * Method  both roles in one thread between clients played by the test
 *         (pipeline_rig); the test is the control thread.
 */
#include "one_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/zab_int.h"

static void
a_long_text_is_sent_in_portions_and_a_client_may_vanish(void **state)
{
	enum { BYTES = 200000 };
	static char text[BYTES];
	const uint32_t stream = fake_connect(rig.streams);
	uint32_t sent = 0, portions = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	fake_send(rig.streams, stream, "wchc", 4);
	rig_run(&rig);
	for (; sent < BYTES; portions++) {
		assert_false(rig.streams->stream[stream].is_closed);

		const int32_t taken = reader_send_text(
			rig.reader, rig.word.conn, rig.word.conn_gen,
			text + sent, BYTES - sent);

		assert_true(taken > 0);
		sent += (uint32_t)taken;
		assert_int_equal(rig.streams->stream[stream].out_bytes, sent);
	}
	assert_true(portions > 1);
	assert_true(rig.streams->stream[stream].is_closed);
	assert_int_equal(reader_send_text(rig.reader, rig.word.conn,
					  rig.word.conn_gen, text, BYTES),
			 FAL_ENOENT);
}

/* 12 bytes in any two pieces are one word with its argument. */
static void
stmk_waits_for_its_eight_bytes_however_they_arrive(void **state)
{
	static const uint8_t bytes[12] = {'s', 't', 'm', 'k', 0xff, 0xfe,
					  0,   0,   0,   0,   0x12, 0x34};

	(void)state;
	for (uint32_t cut = 0; cut < sizeof(bytes); cut++) {
		const uint32_t stream = fake_connect(rig.streams);

		rig.words_asked = 0;
		if (cut > 0)
			fake_send(rig.streams, stream, bytes, cut);
		rig_run(&rig);
		assert_int_equal(rig.words_asked, 0);
		assert_false(rig.streams->stream[stream].is_closed);
		fake_send(rig.streams, stream, bytes + cut,
			  (uint32_t)sizeof(bytes) - cut);
		rig_run(&rig);
		assert_int_equal(rig.words_asked, 1);
		assert_int_equal(rig.word.word, READER_WORD_STMK);
		assert_int_equal(rig.word.argument,
				 (int64_t)0xfffe000000001234ull);
		assert_int_equal(reader_send_text(rig.reader, rig.word.conn,
						  rig.word.conn_gen, "", 0),
				 0);
		assert_true(rig.streams->stream[stream].is_closed);
	}
}

static void
half_an_stmk_is_closed_as_a_connection_that_says_nothing(void **state)
{
	const uint32_t stream = fake_connect(rig.streams);

	(void)state;
	fake_send(rig.streams, stream, "stmk\0\0\0", 7);
	rig_run(&rig);
	rig.now_ms += 10000;
	rig_run(&rig);
	assert_int_equal(rig.words_asked, 0);
	assert_true(rig.streams->stream[stream].is_closed);
}

/* The row of a session's connection, asked for with small budgets. */
static struct reader_conn_row
conn_row(int64_t session_id)
{
	struct reader_conn_row row, found = {.session_id = 0};
	uint32_t cursor = 0;

	do {
		uint32_t budget = 3;

		while (reader_conn_next(rig.reader, &cursor, &budget, &row))
			if (row.session_id == session_id) {
				assert_int_equal(found.session_id, 0);
				found = row;
			}
	} while (cursor != 0);
	assert_int_equal(found.session_id, session_id);
	return found;
}

static void
crst_empties_what_cons_shows_of_every_connection(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	uint32_t cursor = 0, calls = 0;

	(void)state;
	rig_create(&a, "/a", "1", 0);
	rig_get_data(&b, "/", false);
	rig_run(&rig);
	assert_int_equal(conn_row(a.session_id).received, 2);
	assert_int_equal(conn_row(a.session_id).last_op, OP_CREATE);
	assert_int_equal(conn_row(b.session_id).last_op, OP_GET_DATA);
	assert_int_equal(conn_row(b.session_id).latency_count, 2);
	do {
		reader_reset_conns(rig.reader, &cursor, 5);
		calls++;
	} while (cursor != 0);
	assert_true(calls > 1);

	const int64_t id[] = {a.session_id, b.session_id};

	for (int i = 0; i < 2; i++) {
		const struct reader_conn_row row = conn_row(id[i]);

		assert_int_equal(row.received + row.sent, 0);
		assert_int_equal(row.last_op, 0);
		assert_int_equal(row.last_cxid, -1);
		assert_int_equal(row.last_zxid, -1);
		assert_int_equal(row.latency_count + row.max_latency_ms +
					 row.min_latency_ms +
					 row.last_latency_ms +
					 row.last_response_ms,
				 0);
		assert_int_equal(row.timeout_ms, RIG_TIMEOUT_MS);
		assert_int_equal(row.interest, 1);
	}
}

static void
a_connection_expires_from_its_last_request_on(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	rig.now_ms += 3000;
	rig_bare_op(&a, OP_PING);
	rig_run(&rig);
	rig.now_ms += 500;
	assert_int_equal(conn_row(a.session_id).expires_ms,
			 rig.now_ms - 500 + RIG_TIMEOUT_MS);
}

static void
watches_are_listed_with_session_and_path(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	struct reader_watch_row row;
	uint32_t cursor = 0, paths = 0, of_a = 0, of_b = 0;

	(void)state;
	rig_get_data(&a, "/", true);
	rig_get_data(&b, "/", true);
	rig_get_data(&b, "/zookeeper", true);
	rig_run(&rig);
	do {
		uint32_t budget = 1;

		while (reader_watch_next(rig.reader, &cursor, &budget, &row)) {
			assert_true(row.path.bytes == 1 ||
				    row.path.bytes == 10);
			paths += row.is_data_path;
			of_a += row.session_id == a.session_id;
			of_b += row.session_id == b.session_id;
		}
	} while (cursor != 0);
	assert_int_equal(paths, 2);
	assert_int_equal(of_a, 1);
	assert_int_equal(of_b, 2);
}

/* Counts sessions and ephemerals of the writer's list, `places` a call. */
static void
expect_sessions(uint32_t places, uint32_t sessions, uint32_t ephemerals)
{
	struct zab_session_cursor cursor = {.ephemerals = 0};
	struct zab_session_row row;
	uint32_t seen_sessions = 0, seen_ephemerals = 0;
	int64_t last = 0;

	while (!cursor.sessions.is_done) {
		uint32_t budget = places;

		while (zab_session_next(rig.zab, &cursor, &budget, &row)) {
			if (row.path.bytes < 0) {
				assert_true(row.expires_ms > rig.now_ms);
				assert_int_equal(row.expires_ms % 1000, 0);
				last = row.session_id;
				seen_sessions++;
				continue;
			}
			assert_int_equal(row.session_id, last);
			assert_memory_equal(row.path.data, "/e", 2);
			seen_ephemerals++;
		}
	}
	assert_int_equal(seen_sessions, sessions);
	assert_int_equal(seen_ephemerals, ephemerals);
}

static void
sessions_are_listed_with_their_committed_ephemerals(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct rig_client b = rig_client(&rig);
	char path[16];

	(void)state;
	for (int i = 0; i < 20; i++) {
		snprintf(path, sizeof(path), "/e%d", i);
		rig_create(i < 15 ? &a : &b, path, "", 1);
		rig_run(&rig);
	}
	expect_sessions(1, 2, 20);
	expect_sessions(7, 2, 20);
	expect_sessions(100000, 2, 20);
	rig.is_slow = true;
	rig_create(&b, "/e-not-durable", "", 1);
	rig_run(&rig);
	expect_sessions(3, 2, 20);
	rig_sync(&rig);
	expect_sessions(3, 2, 21);
	rig_bare_op(&a, OP_CLOSE_SESSION);
	rig_run(&rig); /* closing, not yet committed */
	expect_sessions(3, 1, 6);
	rig_sync(&rig);
	expect_sessions(3, 1, 6);
}

/* Of a snapshot: no transaction holds a path of so many bytes. */
static void
make_long_node(char name, int64_t zxid, int64_t owner)
{
	const uint32_t bytes = ZAB_PATH_TEXT_BYTES + 1;
	char *text = malloc(bytes);
	struct znode *node;

	assert_non_null(text);
	memset(text, name, bytes);
	text[0] = '/';
	tree_txn_begin(rig.tree, zxid, 1);
	assert_int_equal(tree_insert(rig.tree, tree_root(rig.tree),
				     tree_path_of(rig.tree, text, bytes),
				     jute_slice_of("", 0), ACL_ID_OPEN, owner,
				     &node),
			 0);
	(void)tree_txn_end(rig.tree);
	tree_publish(rig.tree, zxid);
	free(text);
}

static void
paths_beyond_all_measure_are_passed_over(void **state)
{
	struct rig_client a = rig_client(&rig);

	(void)state;
	rig_create(&a, "/e", "", 1);
	rig_run(&rig);
	make_long_node('e', rig.written + 1, a.session_id);
	expect_sessions(100, 1, 1);
	make_long_node('t', rig.written + 2, PROTO_TTL_MASK | 1);
	rig.reap_interval_ms = 1000;
	rig_restart_zab(&rig);
	zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	rig.now_ms += 1000;
	zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
}

static void
digests_of_every_128th_zxid_are_remembered(void **state)
{
	struct rig_client a = rig_client(&rig);
	struct digest_log_entry entry;
	uint64_t position = 0, want[4] = {0};
	int64_t zxid = 1; /* of the session */

	(void)state;
	assert_false(zab_digest_next(rig.zab, &position, &entry));
	rig_create(&a, "/a", "1", 0);
	for (zxid = 2; zxid < 4 * DIGEST_LOG_EVERY; zxid++) {
		rig_run(&rig);
		(void)rig_reply(&a);
		if (zxid % DIGEST_LOG_EVERY == 0)
			want[zxid / DIGEST_LOG_EVERY] =
				tree_published_digest(rig.tree);
		rig_set_data(&a, "/a", "2");
	}
	for (int64_t i = 1; i < 4; i++) {
		assert_true(zab_digest_next(rig.zab, &position, &entry));
		assert_int_equal(entry.zxid, i * DIGEST_LOG_EVERY);
		assert_int_equal(entry.digest, want[i]);
		assert_true(entry.digest != 0);
	}
	assert_false(zab_digest_next(rig.zab, &position, &entry));
}

static void
the_digest_log_keeps_the_newest_entries(void **state)
{
	static struct digest_log log;
	struct digest_log_entry entry;
	const int64_t last = 3 * (int64_t)DIGEST_LOG_ENTRIES;
	uint64_t position = 0;

	(void)state;
	for (int64_t i = 1; i <= last * DIGEST_LOG_EVERY; i++)
		digest_log_note(&log, i, (uint64_t)i);
	for (int64_t i = last - (int64_t)DIGEST_LOG_ENTRIES + 1; i <= last;
	     i++) {
		assert_true(digest_log_next(&log, &position, &entry));
		assert_int_equal(entry.zxid, i * DIGEST_LOG_EVERY);
		assert_int_equal(entry.digest, entry.zxid);
	}
	assert_false(digest_log_next(&log, &position, &entry));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_long_text_is_sent_in_portions_and_a_client_may_vanish),
		TEST(stmk_waits_for_its_eight_bytes_however_they_arrive),
		TEST(half_an_stmk_is_closed_as_a_connection_that_says_nothing),
		TEST(crst_empties_what_cons_shows_of_every_connection),
		TEST(a_connection_expires_from_its_last_request_on),
		TEST(watches_are_listed_with_session_and_path),
		TEST(sessions_are_listed_with_their_committed_ephemerals),
		TEST(paths_beyond_all_measure_are_passed_over),
		TEST(digests_of_every_128th_zxid_are_remembered),
		TEST(the_digest_log_keeps_the_newest_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
