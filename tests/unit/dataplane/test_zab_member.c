/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a member of an ensemble answers its clients as if the leader were
 *         here, tells nobody what is not committed, and gives everything back
 *         when its role ends.
 * Method  the pipeline of pipeline_rig.h with a quorum that the test plays: it
 *         notes what is forwarded, and a second tree, the leader's, makes the
 *         entries that come back.
 */
#include "zab_member_rig.h"

/* ---- the cases
 * ------------------------------------------------------------------- */

static void
who_is_not_serving_hangs_up(void **state)
{
	const struct rig_client client = connecting();

	(void)state;
	assert_true(is_closed(&client));
	assert_int_equal(quorum.count, 0);
}

static void
open_now(void)
{
	zab_member_mark(rig.zab, EPOCH_MARK);
	zab_member_set_mode(rig.zab, ZAB_LEARNS, SERVING_ALL);
}

/* The ZAB core opens, and says so to the world, while a reader is within its
 * round: who comes upon that word must not be told what was true before. */
static void
who_comes_as_the_server_opens_is_served(void **state)
{
	struct rig_client client;

	(void)state;
	rig.streams->meanwhile = open_now;
	client = connecting();
	assert_false(is_closed(&client));
	assert_int_equal(quorum.count, 1);
	assert_int_equal(quorum.note[0].op, OP_CREATE_SESSION);
	leader_answers();
	rig_run(&rig);
	commit();
	assert_int_equal(granted(&client), quorum.note[0].session_id);
}

/* ---- between two leaders ---- */

static void
lose_the_leader(void)
{
	learn();
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	rig_run(&rig);
}

static void
who_comes_between_two_leaders_is_served_by_the_next(void **state)
{
	struct rig_client client;

	(void)state;
	lose_the_leader();
	client = connecting();
	assert_false(is_closed(&client));
	assert_int_equal(quorum.count, 0);
	assert_int_equal(reader_next_timer_ms(rig.reader),
			 rig.now_ms + RIG_AWAIT_MS);
	assert_int_equal(stats_sum(&rig.stats, STAT_CONNECTIONS_AWAITED), 1);
	/* The tree is replaced meanwhile. */
	zab_member_park(rig.zab);
	rig.now_ms += RIG_AWAIT_MS - 1;
	rig_run(&rig);
	assert_true(zab_member_is_alone(rig.zab));
	zab_member_unpark(rig.zab);
	rig_run(&rig);
	assert_false(is_closed(&client));
	zab_member_set_mode(rig.zab, ZAB_LEARNS, SERVING_ALL);
	rig.now_ms += RIG_AWAIT_MS;
	rig_run(&rig);
	assert_int_equal(quorum.count, 1);
	leader_answers();
	commit();
	assert_int_equal(granted(&client), quorum.note[0].session_id);
}

/* Each loss of a leader is waited for once, whatever comes. */
static void
who_comes_between_two_leaders_does_not_wait_for_ever(void **state)
{
	struct rig_client early, late;

	(void)state;
	lose_the_leader();
	early = connecting();
	rig.now_ms += RIG_AWAIT_MS - 1;
	late = connecting();
	zab_member_park(rig.zab);
	rig_run(&rig);
	assert_false(is_closed(&early));
	assert_false(is_closed(&late));
	rig.now_ms++;
	rig_run(&rig);
	assert_true(is_closed(&early));
	assert_true(is_closed(&late));
	zab_member_unpark(rig.zab);
	rig_run(&rig);
	late = connecting();
	assert_true(is_closed(&late));
	assert_int_equal(quorum.count, 0);
	assert_int_equal(stats_sum(&rig.stats, STAT_CONNECTIONS), 0);
}

static void
a_read_only_server_is_for_those_who_take_it(void **state)
{
	struct rig_client waited, late;

	(void)state;
	lose_the_leader();
	waited = connecting();
	assert_false(is_closed(&waited));
	zab_member_set_mode(rig.zab, ZAB_READS, SERVING_READS);
	rig_run(&rig);
	assert_true(is_closed(&waited));
	late = connecting();
	assert_true(is_closed(&late));
	/* Its end is the beginning of something. */
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	rig_run(&rig);
	late = connecting();
	assert_false(is_closed(&late));
}

static void
who_waits_may_go(void **state)
{
	struct rig_client client;

	(void)state;
	lose_the_leader();
	client = connecting();
	fake_finish(rig.streams, client.stream);
	zab_member_set_mode(rig.zab, ZAB_LEARNS, SERVING_ALL);
	rig_run(&rig);
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	rig_run(&rig);
	client = connecting();
	fake_vanish(rig.streams, client.stream);
	rig_run(&rig);
	assert_int_equal(stats_sum(&rig.stats, STAT_CONNECTIONS), 0);
	zab_member_set_mode(rig.zab, ZAB_LEARNS, SERVING_ALL);
	rig_run(&rig);
	client = connecting();
	assert_false(is_closed(&client));
}

static void
a_learner_answers_when_it_is_committed(void **state)
{
	struct rig_client client;
	int32_t xid;

	(void)state;
	learn();
	client = connecting();
	assert_int_equal(quorum.note[0].op, OP_CREATE_SESSION);
	assert_int_equal(quorum.note[0].timeout_ms, RIG_TIMEOUT_MS);
	leader_answers();
	rig_run(&rig);
	assert_int_equal(granted(&client), 0);
	commit();
	assert_int_equal(granted(&client), quorum.note[0].session_id);

	xid = rig_create(&client, "/a", "1", 0);
	rig_run(&rig);
	assert_int_equal(quorum.note[1].cxid, xid);
	leader_answers();
	rig_run(&rig);
	rig_expect_silence(&client);
	commit();
	assert_int_equal(rig_expect(&client, xid, ZK_OK), leader.zxid);
	xid = rig_get_data(&client, "/a", false);
	rig_run(&rig);
	rig_expect_data(&client, xid, "1");
}

static void
an_error_comes_back_in_its_place(void **state)
{
	struct rig_client client;
	int32_t first, second;

	(void)state;
	learn();
	client = connected();
	first = rig_create(&client, "/no/parent", "", 0);
	second = rig_create(&client, "/b", "", 0);
	rig_run(&rig);
	leader_answers();
	leader_answers();
	commit();
	rig_expect(&client, first, ZK_NONODE);
	rig_expect(&client, second, ZK_OK);
}

static void
transactions_of_others_answer_nobody(void **state)
{
	struct rig_client client;
	int32_t xid;

	(void)state;
	learn();
	client = connected();
	xid = rig_get_data(&client, "/theirs", true);
	rig_run(&rig);
	rig_expect(&client, xid, ZK_NONODE);
	leader_creates("/theirs");
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true), 0);
	commit();
	rig_expect_silence(&client);
	xid = rig_get_data(&client, "/theirs", false);
	rig_run(&rig);
	rig_expect_data(&client, xid, "leader's");
}

static void
nothing_overtakes_a_sync(void **state)
{
	struct rig_client client;
	int32_t sync, write;

	(void)state;
	learn();
	client = connected();
	sync = rig_path_op(&client, OP_SYNC, "/");
	write = rig_create(&client, "/s", "", 0);
	rig_run(&rig);
	assert_int_equal(quorum.syncs, 1);
	assert_int_equal(quorum.count, 1); /* the session's own */
	zab_member_synced(rig.zab, 1, leader.zxid);
	rig_run(&rig);
	rig_expect(&client, sync, ZK_OK);
	assert_int_equal(quorum.count, 2);
	leader_answers();
	commit();
	rig_expect(&client, write, ZK_OK);
}

/* Of a leader that breaks its word: only who was told so is told nothing. */
static void
a_sync_that_overtakes_a_write_ends_its_connection(void **state)
{
	struct rig_client client, other;

	(void)state;
	learn();
	client = connected();
	other = connected();
	rig_create(&client, "/s", "", 0);
	rig_path_op(&client, OP_SYNC, "/");
	rig_run(&rig);
	assert_int_equal(quorum.syncs, 1);
	zab_member_synced(rig.zab, 1, leader.zxid);
	rig_run(&rig);
	assert_true(is_closed(&client));
	leader_answers();
	commit();
	assert_false(is_closed(&other));
	assert_int_equal(zab_member_published(rig.zab), leader.zxid);
}

/* The leader had no room for it. */
static void
a_session_that_could_not_be_made_is_not_granted(void **state)
{
	uint8_t bytes[64];
	struct jute_writer entry = jute_writer_of(bytes, sizeof(bytes));
	struct rig_client client;

	(void)state;
	learn();
	client = connecting();
	txn_put_header(&entry, &(struct txn_header){
				       .session_id = quorum.note[0].session_id,
				       .zxid = ++leader.zxid,
				       .type = OP_ERROR});
	jute_put_int(&entry, ZK_THROTTLEDOP);
	assert_int_equal(zab_member_apply(rig.zab, bytes,
					  (uint32_t)jute_written(&entry), true),
			 0);
	commit();
	assert_int_equal(granted(&client), 0);
	assert_true(is_closed(&client));
}

static void
without_room_a_write_waits(void **state)
{
	struct rig_client client;
	int32_t xid;

	(void)state;
	learn();
	client = connected();
	quorum.has_no_room = true;
	xid = rig_create(&client, "/w", "", 0);
	rig_run(&rig);
	assert_int_equal(quorum.count, 1);
	quorum.has_no_room = false;
	rig_run(&rig);
	assert_int_equal(quorum.count, 2);
	leader_answers();
	commit();
	rig_expect(&client, xid, ZK_OK);
}

/* One write is applied, one is with the leader, one sync waits. */
static void
the_end_of_a_role_closes_all(void **state)
{
	struct rig_client a, b, c;
	const int64_t published_before = EPOCH_MARK;

	(void)state;
	learn();
	a = connected();
	b = connected();
	c = connected();
	rig_create(&a, "/tail", "t", 0);
	rig_run(&rig);
	leader_answers();
	rig_create(&a, "/with-leader", "", 0);
	rig_path_op(&b, OP_SYNC, "/");
	rig_run(&rig);
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	rig_run(&rig);
	assert_true(is_closed(&a) && is_closed(&b) && is_closed(&c));
	assert_true(zab_member_published(rig.zab) > published_before);
	assert_true(zab_member_published(rig.zab) < leader.zxid);
	assert_int_equal(zab_member_appended(rig.zab), leader.zxid);

	/* The next leader commits the tail, nobody waits for it. */
	commit();
	assert_int_equal(zab_member_published(rig.zab), leader.zxid);
	quorum.taken = quorum.count;
	zab_member_set_mode(rig.zab, ZAB_LEARNS, SERVING_ALL);
	a = connected();
	const int32_t xid = rig_get_data(&a, "/tail", false);

	rig_run(&rig);
	rig_expect_data(&a, xid, "t");
}

static void
a_tree_that_differs_acknowledges_nothing(void **state)
{
	int64_t written;

	(void)state;
	learn();
	leader_creates("/lost"); /* and never told */
	leader_creates("/told");
	written = rig.written;
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true),
		FAL_ECORRUPT);
	assert_int_equal(rig.written, written);
	assert_int_equal(zab_member_appended(rig.zab), written);
}

/* A stop waits for what is under way, but not for ever: readers end, and the
 * writer still has what they gave it. */
static void
what_a_reader_gave_away_outlives_it(void **state)
{
	struct rig_client client;

	(void)state;
	learn();
	client = connected();
	rig_create(&client, "/committed", "", 0);
	rig_create(&client, "/sent-back", "", 0);
	rig_run(&rig);
	assert_int_equal(quorum.count, quorum.taken + 2);
	reader_leave(rig.reader);
	leader_answers();
	zab_member_commit(rig.zab, leader.zxid);
	assert_int_equal(zab_member_published(rig.zab), leader.zxid);
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	assert_int_equal(ring_count(&rig.channel.unicast), 1);
}

/* A snapshot may hold more than its zxid says. */
static void
what_a_snapshot_holds_already_is_no_difference(void **state)
{
	(void)state;
	learn();
	leader_creates("/not-in-the-log");
	leader_creates("/told");
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, false),
		0);
	assert_int_equal(rig.written, leader.zxid);
}

/* ---- large entries ---- */

#define NODES     1000u
#define NODES_MAX 256u /* a part: see CLOSE_PART */

/* The session of another server's client gets its nodes. */
static void
leader_creates_ephemerals(void)
{
	uint8_t bytes[256];
	char path[32];

	for (uint32_t i = 0; i < NODES; i++) {
		struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));

		snprintf(path, sizeof(path), "/e%06u", i);
		jute_put_cstr(&body, path);
		jute_put_cstr(&body, "");
		jute_put_int(&body, 1);
		jute_put_int(&body, PERM_ALL);
		jute_put_cstr(&body, "world");
		jute_put_cstr(&body, "anyone");
		jute_put_int(&body, CREATE_EPHEMERAL);
		leader_does(77, OP_CREATE, bytes,
			    (uint32_t)jute_written(&body));
		assert_int_equal(zab_member_apply(rig.zab, leader.entry,
						  leader.bytes, true),
				 0);
		commit();
	}
}

static uint32_t
ephemerals(void)
{
	struct tree_counts counts;

	tree_counts(rig.tree, &counts);
	return (uint32_t)counts.ephemerals;
}

/* One transaction, applied in parts: reads are answered in between, writes
 * wait, and it is committed before it is all there. */
static void
a_session_of_many_nodes_closes_in_parts(void **state)
{
	struct rig_client client;
	uint32_t parts = 0;
	int err = FAL_EAGAIN;
	int32_t write = 0;

	(void)state;
	learn();
	client = connected();
	leader_creates_ephemerals();
	leader_does(77, OP_CLOSE_SESSION, NULL, 0);
	const int64_t before = zab_member_appended(rig.zab);

	for (uint32_t had = ephemerals(); err == FAL_EAGAIN; parts++) {
		err = zab_member_apply(rig.zab, leader.entry, leader.bytes,
				       true);
		assert_true(had - ephemerals() <= NODES_MAX);
		had = ephemerals();
		if (err != FAL_EAGAIN)
			break;
		assert_true(zab_member_is_applying(rig.zab));
		assert_true(zab_has_work(rig.zab));
		if (write == 0)
			write = rig_create(&client, "/w", "", 0);
		commit(); /* as far as there is anything */
		assert_int_equal(zab_member_appended(rig.zab), before);
		assert_int_equal(quorum.count, quorum.taken);
	}
	assert_int_equal(err, 0);
	assert_true(parts >= NODES / NODES_MAX);
	assert_false(zab_member_is_applying(rig.zab));
	assert_int_equal(zab_member_published(rig.zab), leader.zxid);
	rig_run(&rig);
	assert_null(session_find(rig.sessions, 77));
	leader_answers();
	commit();
	rig_expect(&client, write, ZK_OK);
}

/* It is in the history that was agreed on, whoever leads next. */
static void
the_end_of_a_role_does_not_end_what_is_applied(void **state)
{
	(void)state;
	learn();
	leader_creates_ephemerals();
	leader_does(77, OP_CLOSE_SESSION, NULL, 0);
	assert_int_equal(
		zab_member_apply(rig.zab, leader.entry, leader.bytes, true),
		FAL_EAGAIN);
	zab_member_set_mode(rig.zab, ZAB_CLOSED, SERVING_CLOSED);
	rig_run(&rig);
	assert_true(zab_member_is_applying(rig.zab));
	assert_false(zab_is_idle(rig.zab));
	while (zab_member_is_applying(rig.zab))
		if (zab_member_apply(rig.zab, leader.entry, leader.bytes,
				     true) == 0)
			break;
	assert_int_equal(ephemerals(), 0);
	assert_int_equal(zab_member_appended(rig.zab), leader.zxid);
	commit();
	assert_int_equal(zab_member_published(rig.zab), leader.zxid);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(who_is_not_serving_hangs_up),
		CASE(who_comes_as_the_server_opens_is_served),
		CASE(who_comes_between_two_leaders_is_served_by_the_next),
		CASE(who_comes_between_two_leaders_does_not_wait_for_ever),
		CASE(a_read_only_server_is_for_those_who_take_it),
		CASE(who_waits_may_go),
		CASE(a_learner_answers_when_it_is_committed),
		CASE(an_error_comes_back_in_its_place),
		CASE(transactions_of_others_answer_nobody),
		CASE(nothing_overtakes_a_sync),
		CASE(a_sync_that_overtakes_a_write_ends_its_connection),
		CASE(a_session_that_could_not_be_made_is_not_granted),
		CASE(without_room_a_write_waits),
		CASE(the_end_of_a_role_closes_all),
		CASE(what_a_reader_gave_away_outlives_it),
		CASE(a_tree_that_differs_acknowledges_nothing),
		CASE(what_a_snapshot_holds_already_is_no_difference),
		CASE(a_session_of_many_nodes_closes_in_parts),
		CASE(the_end_of_a_role_does_not_end_what_is_applied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
