/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    what stands around the consensus core keeps what the core promised:
 *         nothing that came too early, at the end of a role, or in the middle
 * of a synchronization stops it, is lost, or grows without end. Method  the
 * driver over connections in memory; the test is the other servers, the disk,
 * and the readers' turn.
 */
#include "ensemble_rig.h"

#include <malloc.h>

#define SESSION 0x0100000000000001ll

static int
nothing(void **state)
{
	(void)state;
	return 0;
}

/* ---- a leader ---------------------------------------------------------------
 */

/* The first configuration with a version is written into the tree before this
 * leader serves, and that needs the readers; its learners serve meanwhile. */
static void
a_request_that_comes_before_the_leader_serves_waits(void **state)
{
	const struct rig_wishes wishes = {.sid = 3, .has_reconfig = true};
	struct quorum_packet packet;
	uint32_t index;

	(void)state;
	begin(&wishes);
	index = lead();
	expect(index, QUORUM_UPTODATE, &packet);
	assert_int_equal(zab_member_mode(rig.zab), ZAB_CLOSED);
	says_create_session(index, SESSION, 5000);
	run_zab();
	assert_false(received(index, &packet) &&
		     packet.type == QUORUM_PROPOSAL);
	run();
	assert_int_equal(it.restored, 1);
	assert_int_equal(zab_member_mode(rig.zab), ZAB_LEADS);
	expect(index, QUORUM_PROPOSAL, &packet);
	assert_int_equal(packet.zxid, EPOCH_1 + 1);
}

static void
requests_that_wait_count_with_their_identities(void **state)
{
	const struct rig_wishes wishes = {
		.sid = 3, .outstanding_max = 1, .queue_bytes_max = 1u << 20};
	uint32_t index;

	(void)state;
	begin(&wishes);
	index = lead();
	run();
	/* Not acknowledged, so nothing else is proposed. */
	says_create_session(index, SESSION, 5000);
	run();
	for (int32_t i = 0; i < 8; i++)
		says_delete(index, SESSION, i, 60000);
	run();
	assert_false(it.net->stream[index].is_closed);
	for (int32_t i = 8; i < 24; i++)
		says_delete(index, SESSION, i, 60000);
	run();
	assert_true(it.net->stream[index].is_closed);
}

/* What is refused for its identities counts for little, and is little. */
static void
a_request_with_too_many_identities_weighs_nothing(void **state)
{
	const struct rig_wishes wishes = {
		.sid = 3, .outstanding_max = 1, .queue_bytes_max = 1u << 20};
	static uint8_t space[1u << 20], body[60000];
	uint32_t index;

	(void)state;
	begin(&wishes);
	index = lead();
	run();
	says_create_session(index, SESSION, 5000);
	run();
	for (int32_t i = 0; i < 64; i++) {
		struct jute_writer writer =
			jute_writer_of(space, sizeof(space));
		const struct quorum_request request = {
			.session_id = SESSION,
			.cxid = i,
			.op = OP_DELETE,
			.body = jute_slice_of(body, sizeof(body)),
		};
		const size_t mark =
			quorum_packet_begin(&writer, QUORUM_REQUEST, -1);

		quorum_packet_put_request(&writer, &request);
		quorum_packet_end(&writer, mark, NULL);
		writer.at -= sizeof(int32_t);
		jute_put_int(&writer, 33);
		for (int32_t n = 0; n < 33; n++) {
			jute_put_cstr(&writer, "ip");
			jute_put_int(&writer, 4);
			jute_put_int(&writer, n);
		}
		fake_send(it.net, index, space,
			  (uint32_t)jute_written(&writer));
		run_zab();
	}
	for (struct learner_request *at = it.ensemble->learner[0].first;
	     at != NULL; at = at->next) {
		assert_int_equal(at->body_bytes, 0);
		assert_true(malloc_usable_size(at) < sizeof(body));
	}
	assert_false(it.net->stream[index].is_closed);
}

/* The session is gone before its first write comes; those behind it are other
 * clients'. */
static void
a_session_that_did_not_last_holds_nobody_up(void **state)
{
	const struct rig_wishes wishes = {.sid = 3, .has_local_sessions = true};
	struct quorum_packet packet;
	uint32_t index;
	int64_t zxid = EPOCH_1;

	(void)state;
	begin(&wishes);
	index = lead();
	run();
	says_create_session(index, SESSION, 2000);
	run();
	says(index, QUORUM_ACK, ++zxid);
	run();
	assert_true(zab_member_has_session(rig.zab, SESSION));
	for (int ms = 0; ms < 6000; ms += 500) {
		says(index, QUORUM_PING, -1);
		pass(500);
	}
	says(index, QUORUM_ACK, ++zxid);
	run();
	assert_false(zab_member_has_session(rig.zab, SESSION));
	says_delete(index, SESSION, 7, 0);
	says_create_session(index, SESSION + 1, 5000);
	run();
	while (received(index, &packet))
		if (packet.type == QUORUM_PROPOSAL)
			zxid = packet.zxid;
	assert_int_equal(zxid, EPOCH_1 + 4);
}

static int32_t
timeout_of(int64_t session_id)
{
	return session_find(rig.sessions, session_id)->timeout_ms;
}

/* Servers need not have the same limits, nor a client the same wish each time:
 * what counts is what the server of its connection has told it. */
static void
a_learner_says_what_was_agreed_with_its_clients(void **state)
{
	const struct rig_wishes wishes = {.sid = 3};
	struct quorum_packet packet;
	uint32_t one, two;

	(void)state;
	begin(&wishes);
	one = lead();
	two = learner_comes(2);
	run();
	says_create_session(one, SESSION, 4000);
	run();
	says(one, QUORUM_ACK, EPOCH_1 + 1);
	run();
	assert_int_equal(timeout_of(SESSION), 4000);
	says_touch(two, QUORUM_REVALIDATE, SESSION, 20000);
	run();
	expect(two, QUORUM_REVALIDATE, &packet);
	assert_int_equal(timeout_of(SESSION), 20000);
	/* What its last server still says is no news. */
	says_touch(one, QUORUM_PING, SESSION, 4000);
	run();
	assert_int_equal(timeout_of(SESSION), 20000);
	/* A leader that was not there then hears it with the next PING. */
	session_restart_all(rig.sessions, rig.now_ms);
	says_touch(two, QUORUM_PING, SESSION, 30000);
	run();
	assert_int_equal(timeout_of(SESSION), 30000);
	says_touch(two, QUORUM_PING, SESSION, 0);
	run();
	assert_int_equal(timeout_of(SESSION), 30000);
}

/* ---- the end of a reign ----------------------------------------------------
 */

/* Three servers; a write that a learner asked for is proposed, and the leader
 * was asked to hand over. Returns its connection. */
static uint32_t
hand_over(bool shares_core, uint32_t *other)
{
	const struct rig_wishes wishes = {.sid = 3, .shares_core = shares_core};
	struct quorum_packet packet;
	uint32_t index;

	begin(&wishes);
	index = lead();
	*other = learner_comes(2);
	run();
	says_create_session(index, SESSION, 4000);
	run();
	expect(index, QUORUM_PROPOSAL, &packet);
	ensemble_yield(it.ensemble);
	run();
	assert_int_equal(zab_member_mode(rig.zab), ZAB_LEADS);
	return index;
}

/* A COMMIT may wait for the reader's turn; not for the next reign. */
static void
the_last_commit_goes_out_before_the_connection_ends(void **state)
{
	struct quorum_packet packet;
	uint32_t other;
	const uint32_t index = hand_over(true, &other);

	(void)state;
	says(index, QUORUM_ACK, EPOCH_1 + 1);
	run();
	assert_int_equal(zab_member_mode(rig.zab), ZAB_CLOSED);
	assert_true(it.net->stream[index].is_closed);
	expect(index, QUORUM_COMMIT, &packet);
	assert_int_equal(packet.zxid, EPOCH_1 + 1);
	expect(other, QUORUM_COMMIT, &packet);
}

/* The place of a connection that broke was taken anew when the reign ended: the
 * newcomer is gone with it, and its place is free. */
static void
who_comes_as_the_reign_ends_leaves_a_free_place(void **state)
{
	uint32_t other, late[2];
	const uint32_t index = hand_over(false, &other);

	(void)state;
	ensemble_break(it.ensemble, 1, PEER_SLOW);
	says(index, QUORUM_ACK, EPOCH_1 + 1);
	says_info(fake_connect(it.net), 2, 0);
	run_zab();
	assert_int_equal(zab_member_mode(rig.zab), ZAB_CLOSED);
	for (int i = 0; i < 2; i++) {
		late[i] = fake_connect(it.net);
		says_info(late[i], i + 1, 0);
	}
	run_zab();
	assert_false(it.net->stream[late[0]].is_closed);
	assert_false(it.net->stream[late[1]].is_closed);
}

#define EPHEMERALS 1000u

/* A learner's client makes so many in one transaction. */
static void
says_ephemerals(uint32_t index, int64_t session_id, int32_t cxid)
{
	static uint8_t bytes[EPHEMERALS * 64];
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));
	char path[32];

	for (uint32_t i = 0; i < EPHEMERALS; i++) {
		snprintf(path, sizeof(path), "/e%06u", i);
		proto_put_multi_header(
			&body, &(struct proto_multi_header){.type = OP_CREATE,
							    .err = -1});
		jute_put_cstr(&body, path);
		jute_put_cstr(&body, "");
		jute_put_int(&body, 1);
		jute_put_int(&body, PERM_ALL);
		jute_put_cstr(&body, "world");
		jute_put_cstr(&body, "anyone");
		jute_put_int(&body, 1); /* ephemeral */
	}
	proto_put_multi_header(
		&body, &(struct proto_multi_header){
			       .type = OP_ERROR, .is_done = true, .err = -1});
	assert_false(body.is_full);
	says_request(index, session_id, cxid, OP_MULTI, &body, 0);
}

static uint64_t
ephemerals(void)
{
	struct tree_counts counts;

	tree_counts(rig.tree, &counts);
	return counts.ephemerals;
}

/* A voter that has promised itself to a later epoch makes the leader hand over
 * as soon as what is proposed is committed; meanwhile nothing more is, and not
 * what is half done either. */
static void
what_is_half_done_as_a_reign_ends_is_taken_back(void **state)
{
	const struct rig_wishes wishes = {.sid = 3};
	uint8_t info[20] = {0};
	const struct jute_writer empty = jute_writer_of(info, 0);
	uint32_t index;

	(void)state;
	begin(&wishes);
	index = lead();
	run();
	says_create_session(index, SESSION, 60000);
	run();
	says(index, QUORUM_ACK, EPOCH_1 + 1);
	run();
	says_ephemerals(index, SESSION, 1);
	run();
	says(index, QUORUM_ACK, EPOCH_1 + 2);
	run();
	assert_int_equal(ephemerals(), EPHEMERALS);
	says_delete(index, SESSION, 2, 0); /* is not acknowledged yet */
	says_request(index, SESSION, 3, OP_CLOSE_SESSION, &empty, 0);
	for (int i = 0; i < 2; i++)
		zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
	assert_in_range(ephemerals(), 1, EPHEMERALS - 1);
	be_store64(info, 2);
	be_store32(info + 8, QUORUM_PROTOCOL_VERSION);
	says_with(fake_connect(it.net), QUORUM_FOLLOWERINFO, 5ll << 32, info,
		  sizeof(info));
	run();
	assert_int_equal(zab_member_mode(rig.zab), ZAB_LEADS);
	assert_int_equal(ephemerals(), EPHEMERALS);
	says(index, QUORUM_ACK, EPOCH_1 + 3);
	run();
	assert_int_equal(zab_member_mode(rig.zab), ZAB_CLOSED);
	assert_int_equal(zab_member_published(rig.zab), EPOCH_1 + 3);
	assert_true(zab_member_has_session(rig.zab, SESSION));
}

/* ---- nobody leads ----------------------------------------------------------
 */

/* When it is about to vote, say, and its disk had kept it from that. */
static void
a_read_only_server_may_have_to_read_its_disk_again(void **state)
{
	const struct rig_wishes wishes = {.sid = 1};

	(void)state;
	begin(&wishes);
	zab_member_set_mode(rig.zab, ZAB_READS, SERVING_READS);
	ensemble_want_lend(it.ensemble, LEND_RELOAD, 0);
	assert_int_equal(zab_member_mode(rig.zab), ZAB_CLOSED);
	run();
	assert_int_equal(it.reloads, 1);
	assert_true(zab_member_is_lent(rig.zab));
}

/* ---- configurations of a learner -------------------------------------------
 */

#define OLDER (EPOCH_1 + 1)
#define NEWER ((2ll << 32) + 1)

/* It has missed a configuration, and comes while the next one is proposed. */
static uint32_t
come_between_two_configurations(void)
{
	const struct rig_wishes wishes = {.sid = 1, .has_reconfig = true};
	uint32_t index;

	begin(&wishes);
	index = find_leader(2);
	says(index, QUORUM_DIFF, OLDER);
	says_reconfig(index, OLDER);
	says(index, QUORUM_COMMIT, OLDER);
	says_reconfig(index, NEWER);
	run();
	return index;
}

static void
a_configuration_that_is_proposed_outlives_the_one_before(void **state)
{
	const uint32_t index = come_between_two_configurations();
	struct quorum_packet packet;
	uint8_t sid[8];

	(void)state;
	says_with(index, QUORUM_NEWLEADER, 2ll << 32, "version=100000001", 17);
	run();
	expect(index, QUORUM_ACK, &packet);
	says(index, QUORUM_UPTODATE, -1);
	run();
	assert_int_equal(it.activated, OLDER);
	assert_int_equal(zab_member_mode(rig.zab), ZAB_LEARNS);
	be_store64(sid, 2);
	says_with(index, QUORUM_COMMITANDACTIVATE, NEWER, sid, sizeof(sid));
	run();
	assert_int_equal(it.activated, NEWER);
	assert_string_equal(it.activated_text, "version=200000001");
	/* Their transactions have written the config node. */
	assert_int_equal(it.restored, 0);
}

/* What its log holds needs a quorum, whatever becomes of the next one. */
static void
a_configuration_of_the_history_is_not_forgotten(void **state)
{
	const uint32_t index = come_between_two_configurations();

	(void)state;
	fake_vanish(it.net, index);
	run();
	assert_int_equal(it.ensemble->role, FLE_LOOKING);
	assert_int_equal(zab_config(it.ensemble->core)->version, OLDER);
	assert_null(zab_next_config(it.ensemble->core));
}

/* An error: a transaction of which nothing comes. */
static void
says_error(uint32_t index, int64_t zxid)
{
	uint8_t bytes[64];
	struct jute_writer entry = jute_writer_of(bytes, sizeof(bytes));

	txn_put_header(&entry, &(struct txn_header){.session_id = 77,
						    .cxid = 1,
						    .zxid = zxid,
						    .time_ms = 1000,
						    .type = OP_ERROR});
	jute_put_int(&entry, ZK_NONODE);
	says_with(index, QUORUM_PROPOSAL, zxid, bytes, jute_written(&entry));
}

/* To write it into the tree all of that must be published, and under load
 * something is always on its way. */
static void
the_first_configuration_does_not_wait_for_a_pause(void **state)
{
	const struct rig_wishes wishes = {.sid = 1, .has_reconfig = true};
	struct quorum_packet packet;
	int64_t zxid = EPOCH_1;
	uint32_t index;

	(void)state;
	begin(&wishes);
	index = find_leader(1);
	says(index, QUORUM_DIFF, 0);
	says_with(index, QUORUM_NEWLEADER, EPOCH_1, "version=100000000", 17);
	run_zab();
	expect(index, QUORUM_ACK, &packet);
	says(index, QUORUM_UPTODATE, -1);
	says_error(index, ++zxid);
	run_zab();
	assert_int_equal(zab_member_mode(rig.zab), ZAB_CLOSED);
	for (int i = 0; i < 5; i++) {
		says_error(index, zxid + 1);
		says(index, QUORUM_COMMIT, zxid++);
		run();
	}
	assert_int_equal(it.restored, 1);
	assert_int_equal(zab_member_mode(rig.zab), ZAB_LEARNS);
	assert_int_equal(zab_member_appended(rig.zab), zxid);
	assert_int_equal(zab_member_published(rig.zab), zxid - 1);
	for (int64_t acked = EPOCH_1 + 1; acked <= zxid; acked++) {
		expect(index, QUORUM_ACK, &packet);
		if (packet.zxid == EPOCH_1)
			expect(index, QUORUM_ACK, &packet);
		assert_int_equal(packet.zxid, acked);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, nothing, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_request_that_comes_before_the_leader_serves_waits),
		CASE(requests_that_wait_count_with_their_identities),
		CASE(a_request_with_too_many_identities_weighs_nothing),
		CASE(a_session_that_did_not_last_holds_nobody_up),
		CASE(a_learner_says_what_was_agreed_with_its_clients),
		CASE(the_last_commit_goes_out_before_the_connection_ends),
		CASE(who_comes_as_the_reign_ends_leaves_a_free_place),
		CASE(what_is_half_done_as_a_reign_ends_is_taken_back),
		CASE(a_read_only_server_may_have_to_read_its_disk_again),
		CASE(a_configuration_that_is_proposed_outlives_the_one_before),
		CASE(a_configuration_of_the_history_is_not_forgotten),
		CASE(the_first_configuration_does_not_wait_for_a_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
