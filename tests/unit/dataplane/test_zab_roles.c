/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    sessions of a member, and what changes with its role.
 * Method  as test_zab_member.c: the test plays the others.
 */
#include "zab_member_rig.h"

/* ---- the cases
 * ------------------------------------------------------------------- */

static void
an_expired_session_loses_its_connection(void **state)
{
	struct rig_client client;

	(void)state;
	learn();
	client = connected();
	leader_does(client.session_id, OP_CLOSE_SESSION, NULL, 0);
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true), 0);
	rig_run(&rig);
	assert_false(is_closed(&client));
	commit();
	assert_true(is_closed(&client));
}

/* A closeSession of the leader's own has the xid 0, which clients may use, too:
 * it is no answer to what one asked meanwhile. */
static void
an_expiry_answers_no_request_of_xid_0(void **state)
{
	struct rig_client client;

	(void)state;
	learn();
	client = connected();
	client.next_xid = 0;
	rig_set_data(&client, "/", "1");
	rig_run(&rig);
	leader_does(client.session_id, OP_CLOSE_SESSION, NULL, 0);
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true), 0);
	commit();
	rig_expect_silence(&client);
	assert_true(is_closed(&client));
}

/* However silent: the leader alone knows what others have heard of it. */
static void
a_learner_expires_nobody(void **state)
{
	struct rig_client client;
	int64_t written;

	(void)state;
	learn();
	client = connected();
	written = rig.written;
	for (int ms = 0; ms < 10 * RIG_TIMEOUT_MS; ms += 1000) {
		rig.now_ms += 1000;
		rig_run(&rig);
	}
	assert_int_equal(rig.written, written);
	assert_non_null(session_find(rig.sessions, client.session_id));
	assert_false(session_find(rig.sessions, client.session_id)->is_closing);
}

static void
count_touched(void *arg, int64_t session_id, int32_t timeout_ms)
{
	assert_true(session_id != 0);
	assert_int_equal(timeout_ms, RIG_TIMEOUT_MS);
	++*(uint32_t *)arg;
}

static void
only_who_was_heard_is_told_to_the_leader(void **state)
{
	struct rig_client a, b;
	uint32_t count = 0;

	(void)state;
	learn();
	a = connected();
	b = connected();
	rig.now_ms += 1000;
	rig_run(&rig);
	zab_member_each_touched(rig.zab, count_touched, &count);
	assert_int_equal(count, 2);
	rig.now_ms += 1000;
	rig_bare_op(&a, OP_PING);
	rig_run(&rig);
	count = 0;
	zab_member_each_touched(rig.zab, count_touched, &count);
	assert_int_equal(count, 1);
	assert_false(is_closed(&b));
}

static void
the_configuration_of_the_data_is_told_with_its_zxid(void **state)
{
	static const char path[] = "/zookeeper/config";
	static const char text[] = "server.1=a:1:2:participant";
	const struct tree_stat stat = {.mzxid = EPOCH_MARK + 7};
	struct jute_slice found;
	struct znode *node;
	int64_t zxid = 0;

	(void)state;
	node = tree_find(rig.tree,
			 tree_path_of(rig.tree, path, sizeof(path) - 1));
	assert_non_null(node);
	assert_int_equal(tree_patch(rig.tree, node,
				    jute_slice_of(text, sizeof(text) - 1),
				    &stat),
			 0);
	found = zab_member_config(rig.zab, &zxid);
	assert_int_equal(zxid, EPOCH_MARK + 7);
	assert_int_equal(found.bytes, sizeof(text) - 1);
	assert_memory_equal(found.data, text, sizeof(text) - 1);
}

static void
a_leader_makes_errors_for_its_learners(void **state)
{
	const struct zab_learner_request asked = {
		.session_id = 4711, /* nobody knows it */
		.cxid = 9,
		.op = OP_SET_DATA,
		.owner = zab_learner_owner(2, 5),
	};
	struct txn_entry entry;

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	quorum.has_no_room = true;
	assert_int_equal(zab_member_propose(rig.zab, &asked), FAL_EAGAIN);
	quorum.has_no_room = false;
	assert_int_equal(zab_member_propose(rig.zab, &asked), 0);
	assert_int_equal(quorum.proposed, 1);
	assert_int_equal(txn_get_entry(rig.entry, 36, &entry), 0);
	assert_int_equal(entry.header.type, OP_ERROR);
	assert_int_equal(entry.header.session_id, 4711);
	assert_int_equal(entry.header.cxid, 9);
	assert_int_equal(entry.record.err, ZK_MARSHALLINGERROR);
}

/* A leader that stops leading in the middle of a long transaction: nothing of
 * it is left, and who asked is gone like all others. */
static void
the_end_of_a_role_ends_a_long_transaction(void **state)
{
	struct rig_client a;
	struct tree_counts counts;
	char path[32];

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	a = connecting();
	zab_member_commit(rig.zab, quorum.next_zxid - 1);
	rig_run(&rig);
	assert_true(granted(&a) != 0);
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/e%06u", i);
		const int32_t xid = rig_create(&a, path, "", 1);

		rig_run(&rig);
		zab_member_commit(rig.zab, quorum.next_zxid - 1);
		rig_run(&rig);
		rig_expect(&a, xid, ZK_OK);
	}
	const int64_t zxid = zab_member_appended(rig.zab);

	rig_bare_op(&a, OP_CLOSE_SESSION);
	reader_poll(rig.reader, rig.now_ms * NS_PER_MS, (int64_t)rig.now_ms);
	for (int i = 0; i < 2; i++)
		zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	tree_counts(rig.tree, &counts);
	assert_in_range(counts.ephemerals, 1, 999);
	assert_false(zab_is_idle(rig.zab));
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	tree_counts(rig.tree, &counts);
	assert_int_equal(counts.ephemerals, 1000);
	assert_true(zab_is_idle(rig.zab));
	assert_int_equal(zab_member_appended(rig.zab), zxid);
	rig_run(&rig);
	assert_true(is_closed(&a));
	assert_true(zab_member_has_session(rig.zab, a.session_id));
}

static void
a_session_has_one_owner(void **state)
{
	const struct session_owner two = zab_learner_owner(2, 5);
	const struct session_owner three = zab_learner_owner(3, 6);
	struct zab_learner_request asked = {
		.session_id = 4711,
		.op = OP_CREATE_SESSION,
		.timeout_ms = 5000,
		.owner = two,
	};
	uint8_t body[64];
	struct jute_writer writer = jute_writer_of(body, sizeof(body));
	struct txn_entry entry;

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	assert_int_equal(zab_member_propose(rig.zab, &asked), 0);
	zab_member_commit(rig.zab, EPOCH_MARK + 1);
	jute_put_cstr(&writer, "/none");
	jute_put_int(&writer, -1);
	asked.op = OP_DELETE;
	asked.body = body;
	asked.body_bytes = (uint32_t)jute_written(&writer);
	assert_int_equal(zab_member_propose(rig.zab, &asked), 0);
	assert_int_equal(txn_get_entry(rig.entry, 36, &entry), 0);
	assert_int_equal(entry.record.err, ZK_NONODE);
	assert_true(zab_member_take_over(rig.zab, 4711, 5000, three));
	assert_false(zab_member_take_over(rig.zab, 4712, 5000, three));
	assert_int_equal(zab_member_propose(rig.zab, &asked), 0);
	assert_int_equal(txn_get_entry(rig.entry, 36, &entry), 0);
	assert_int_equal(entry.record.err, ZK_SESSIONMOVED);
}

static void
let_pass(int ms)
{
	for (int i = 0; i < ms; i += RIG_TICK_MS) {
		rig.now_ms += RIG_TICK_MS;
		rig_run(&rig);
	}
}

/* After maxSessionTimeout was raised, say: the client was told 30 s and speaks
 * every 10, so it must not be judged by the 5 s that its session began with. */
static void
a_session_lives_by_the_timeout_of_its_last_connection(void **state)
{
	const struct session_owner two = zab_learner_owner(2, 5);
	const struct zab_learner_request asked = {
		.session_id = 4711,
		.op = OP_CREATE_SESSION,
		.timeout_ms = 5000,
		.owner = two,
	};
	const struct session *session;

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	assert_int_equal(zab_member_propose(rig.zab, &asked), 0);
	zab_member_commit(rig.zab, EPOCH_MARK + 1);
	session = session_find(rig.sessions, 4711);
	assert_true(zab_member_take_over(rig.zab, 4711, 30000, two));
	let_pass(20000);
	assert_false(session->is_closing);
	/* The same of a new leader, who knows what the log says. */
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	session_add(rig.sessions, 4711, 5000, rig.now_ms);
	zab_member_touch(rig.zab, 4711, 30000, two);
	let_pass(20000);
	assert_false(session->is_closing);
	zab_member_touch(rig.zab, 4711, 5000, two);
	let_pass(7000);
	assert_true(session->is_closing);
}

/* Also if its reader has had no turn since: a leader that hands over leaves
 * nobody in doubt. */
static void
what_is_committed_is_answered_though_the_role_ends(void **state)
{
	struct rig_client client;
	int32_t first, second;

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	client = connecting();
	zab_member_commit(rig.zab, quorum.next_zxid - 1);
	rig_run(&rig);
	assert_true(granted(&client) != 0);
	first = rig_create(&client, "/a", "", 0);
	second = rig_create(&client, "/b", "", 0);
	rig_run(&rig);
	rig_expect_silence(&client);
	zab_member_commit(rig.zab, quorum.next_zxid - 1);
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	rig_run(&rig);
	rig_expect(&client, first, ZK_OK);
	rig_expect(&client, second, ZK_OK);
	assert_true(is_closed(&client));
}

/* Else it would ping in vain, and its session expire: only who owns a session
 * keeps it alive. */
static void
a_session_that_moves_leaves_no_connection_behind(void **state)
{
	struct rig_client client;
	int64_t session_id;

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	client = connecting();
	zab_member_commit(rig.zab, EPOCH_MARK + 1);
	rig_run(&rig);
	session_id = granted(&client);
	assert_true(session_id != 0);
	assert_false(is_closed(&client));
	assert_true(zab_member_take_over(rig.zab, session_id, RIG_TIMEOUT_MS,
					 zab_learner_owner(2, 5)));
	rig_run(&rig);
	assert_true(is_closed(&client));
	assert_non_null(session_find(rig.sessions, session_id));
}

/* The client came back here while its connection to another server closed the
 * session: it would ping a session that is not there for ever. */
static void
a_session_closed_elsewhere_leaves_no_connection_behind(void **state)
{
	struct zab_learner_request asked = {
		.op = OP_CLOSE_SESSION,
		.owner = zab_learner_owner(2, 5),
	};
	struct rig_client client;

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	client = connecting();
	zab_member_commit(rig.zab, EPOCH_MARK + 1);
	rig_run(&rig);
	asked.session_id = granted(&client);
	assert_int_equal(zab_member_propose(rig.zab, &asked), 0);
	rig_run(&rig);
	assert_false(is_closed(&client));
	zab_member_commit(rig.zab, EPOCH_MARK + 2);
	rig_run(&rig);
	assert_null(session_find(rig.sessions, asked.session_id));
	assert_true(is_closed(&client));
}

static void
what_is_lent_comes_back_as_it_is_then(void **state)
{
	struct rig_client client;

	(void)state;
	learn();
	client = connected();
	rig_create(&client, "/tail", "", 0);
	rig_run(&rig);
	leader_answers(); /* never committed */
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	zab_member_park(rig.zab);
	assert_false(zab_member_lend(rig.zab)); /* the reader is still there */
	rig_run(&rig);
	assert_true(zab_member_lend(rig.zab));
	assert_true(zab_member_is_lent(rig.zab));
	rig_run(&rig);

	/* BG: the tail is cut. */
	tree_undo_after(rig.tree, EPOCH_MARK + 2);
	rig.written = EPOCH_MARK + 2;
	rig.durable = EPOCH_MARK + 2;
	zab_member_restore(rig.zab, EPOCH_MARK + 2, EPOCH_MARK + 2);
	assert_false(zab_member_is_lent(rig.zab));
	/* Asked again before the reader came back. */
	zab_member_park(rig.zab);
	assert_false(zab_member_is_alone(rig.zab));
	rig_run(&rig);
	assert_true(zab_member_is_alone(rig.zab));
	zab_member_unpark(rig.zab);
	rig_run(&rig);
	assert_int_equal(zab_member_appended(rig.zab), EPOCH_MARK + 2);
	assert_int_equal(zab_member_published(rig.zab), EPOCH_MARK + 2);
	zab_member_set_mode(rig.zab, ZAB_LEARNS, SERVING_ALL);
	quorum.taken = quorum.count;
	client = connecting();
	assert_int_equal(quorum.count, quorum.taken + 1);
}

/* BG gives back what it had, up to here. */
static void
comes_back(int64_t zxid)
{
	rig.written = zxid;
	rig.durable = zxid;
	zab_member_restore(rig.zab, zxid, zxid);
}

/* What comes with a leader's history is published before anybody is served; if
 * that leader is lost at once, a reader that had no turn since then hears only
 * of the next time that it is to leave. */
static void
a_reader_that_stays_away_holds_no_record_back(void **state)
{
	(void)state;
	learn();
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	zab_member_park(rig.zab);
	rig_run(&rig);
	assert_true(zab_member_lend(rig.zab));
	comes_back(EPOCH_MARK + 1);
	leader_creates("/history");
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true), 0);
	zab_member_expose(rig.zab, leader.zxid);
	zab_member_park(rig.zab);
	rig_run(&rig);
	assert_true(zab_member_lend(rig.zab));
	comes_back(leader.zxid);
	rig_run(&rig);
	assert_int_equal(zab_member_published(rig.zab), leader.zxid);
}

static void
reads_only_are_served_without_a_leader(void **state)
{
	struct rig_client client;

	(void)state;
	learn();
	leader_creates("/kept");
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true), 0);
	commit();
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	zab_member_set_mode(rig.zab, ZAB_READS, SERVING_READS);
	rig_run(&rig);
	client = connecting(); /* did not say that it takes this */
	assert_true(is_closed(&client));
}

#define CLIENTS    150u
#define CLOSED_MAX 64u /* a round: CONN_CLOSE_BURST */

static uint32_t
closed_of(const struct rig_client *clients)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < CLIENTS; i++)
		count += is_closed(&clients[i]);
	return count;
}

static void
one_reader_round(void)
{
	reader_poll(rig.reader, rig.now_ms * NS_PER_MS, (int64_t)rig.now_ms);
}

/* The core may be the one that votes. Whose turn has not come is not served
 * either, and who comes meanwhile waits. */
static void
clients_of_a_role_that_ended_are_closed_some_a_round(void **state)
{
	static struct rig_client clients[CLIENTS];
	struct rig_client late;
	uint32_t rounds = 0;

	(void)state;
	zab_member_begin_reign(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		clients[i] = connecting();
		zab_member_commit(rig.zab, quorum.next_zxid - 1);
		rig_run(&rig);
		assert_true(granted(&clients[i]) != 0);
	}
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	one_reader_round();
	assert_int_equal(closed_of(clients), CLOSED_MAX);
	assert_true(reader_has_work(rig.reader));
	assert_false(is_closed(&clients[CLIENTS - 1]));
	rig_get_data(&clients[CLIENTS - 1], "/", false);
	for (uint32_t before = CLOSED_MAX; before < CLIENTS; rounds++) {
		one_reader_round();
		assert_in_range(closed_of(clients) - before, 1, CLOSED_MAX + 1);
		before = closed_of(clients);
	}
	assert_int_equal(rounds, 2);
	rig_expect_silence(&clients[CLIENTS - 1]);
	rig_run(&rig);
	late = connecting();
	assert_false(is_closed(&late));
	zab_member_set_mode(rig.zab, ZAB_LEADS, SERVING_ALL);
	rig_run(&rig);
	zab_member_commit(rig.zab, quorum.next_zxid - 1);
	rig_run(&rig);
	assert_true(granted(&late) != 0);
}

static void
who_never_says_who_he_is_is_closed_some_a_round(void **state)
{
	struct rig_client clients[CLIENTS];
	uint32_t before = 0;

	(void)state;
	learn();
	for (uint32_t i = 0; i < CLIENTS; i++)
		clients[i] = (struct rig_client){
			.rig = &rig, .stream = fake_connect(rig.streams)};
	rig_run(&rig);
	rig.now_ms += 2 * RIG_TIMEOUT_MS;
	for (uint32_t i = 0; i < CLIENTS / CLOSED_MAX + 1; i++) {
		one_reader_round();
		assert_in_range(closed_of(clients) - before, 1, CLOSED_MAX);
		before = closed_of(clients);
	}
	assert_int_equal(before, CLIENTS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_expired_session_loses_its_connection),
		CASE(an_expiry_answers_no_request_of_xid_0),
		CASE(a_learner_expires_nobody),
		CASE(only_who_was_heard_is_told_to_the_leader),
		CASE(the_configuration_of_the_data_is_told_with_its_zxid),
		CASE(a_leader_makes_errors_for_its_learners),
		CASE(the_end_of_a_role_ends_a_long_transaction),
		CASE(a_session_has_one_owner),
		CASE(a_session_lives_by_the_timeout_of_its_last_connection),
		CASE(what_is_committed_is_answered_though_the_role_ends),
		CASE(a_session_that_moves_leaves_no_connection_behind),
		CASE(a_session_closed_elsewhere_leaves_no_connection_behind),
		CASE(what_is_lent_comes_back_as_it_is_then),
		CASE(a_reader_that_stays_away_holds_no_record_back),
		CASE(reads_only_are_served_without_a_leader),
		CASE(clients_of_a_role_that_ended_are_closed_some_a_round),
		CASE(who_never_says_who_he_is_is_closed_some_a_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
