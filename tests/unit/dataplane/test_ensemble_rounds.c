/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a member's core is never away from its peers for long: of what comes
 *         in heaps it does a bounded share a round.
 * Method  as test_ensemble.c, and a look at each round.
 */
#include "ensemble_rig.h"

#define SESSION 0x0100000000000001ll

static int
nothing(void **state)
{
	(void)state;
	return 0;
}

static void
one_round(void)
{
	zab_poll(rig.zab, rig.now_ms, (int64_t)rig.now_ms);
}

/* See ZAB_ROUND_LARGE_BYTES. */
#define LARGE_BYTES 20000u
#define LARGES      40u
#define LARGES_MAX  4u

static void
large_requests_of_learners_are_taken_some_a_round(void **state)
{
	static uint8_t bytes[LARGE_BYTES];
	const struct rig_wishes wishes = {.sid = 3};
	struct jute_writer body = jute_writer_of(bytes, sizeof(bytes));
	uint32_t index, rounds = 0;

	(void)state;
	begin(&wishes);
	index = lead();
	run();
	assert_int_equal(zab_member_mode(rig.zab), ZAB_LEADS);
	says_create_session(index, SESSION, 5000);
	run();
	jute_put_cstr(&body, "/none");
	jute_put_int(&body, LARGE_BYTES - 20);
	body.at = bytes + LARGE_BYTES - 4;
	jute_put_int(&body, -1);
	/* They wait for the disk, all of them. */
	rig.has_no_space = true;
	for (uint32_t i = 0; i < LARGES; i++)
		says_request(index, SESSION, (int32_t)i, OP_SET_DATA, &body, 0);
	run();
	rig.has_no_space = false;
	for (int64_t before = rig.written, last = before + LARGES;
	     rig.written < last; before = rig.written) {
		one_round();
		assert_in_range(rig.written - before, 1, LARGES_MAX);
		rounds++;
	}
	assert_int_equal(rounds, LARGES / LARGES_MAX);
}

/* A large transaction of which nothing comes. */
static void
says_large(uint32_t index, int64_t zxid)
{
	static uint8_t bytes[LARGE_BYTES + 200], data[LARGE_BYTES];
	struct jute_writer entry = jute_writer_of(bytes, sizeof(bytes));

	txn_put_header(&entry, &(struct txn_header){.session_id = 77,
						    .cxid = 1,
						    .zxid = zxid,
						    .time_ms = 1000,
						    .type = OP_SET_DATA});
	txn_put_set_data(&entry, jute_slice_of("/none", 5),
			 jute_slice_of(data, sizeof(data)), 1);
	says_with(index, QUORUM_PROPOSAL, zxid, bytes, jute_written(&entry));
}

/* See APPLY_BURST_BYTES. */
#define APPLIED_MAX 7u

/* A follower whose disk had a pause has much to catch up with. */
static void
entries_that_waited_are_applied_some_a_round(void **state)
{
	const struct rig_wishes wishes = {.sid = 1};
	uint32_t index, rounds = 0;

	(void)state;
	begin(&wishes);
	index = follow();
	rig.has_no_space = true;
	for (int64_t i = 1; i <= LARGES; i++)
		says_large(index, EPOCH_1 + i);
	run();
	assert_int_equal(zab_member_appended(rig.zab), EPOCH_1);
	rig.has_no_space = false;
	for (int64_t before = EPOCH_1; before < EPOCH_1 + LARGES; rounds++) {
		one_round();
		assert_in_range(rig.written - before, 1, APPLIED_MAX);
		before = rig.written;
	}
	assert_int_equal(rounds, (LARGES + APPLIED_MAX - 1) / APPLIED_MAX);
	assert_int_equal(zab_member_appended(rig.zab), EPOCH_1 + LARGES);
}

static void
says_record(uint32_t index, int64_t zxid, const struct txn_record *record)
{
	static uint8_t bytes[65536];
	struct jute_writer entry = jute_writer_of(bytes, sizeof(bytes));

	txn_put_header(&entry, &(struct txn_header){.session_id = SESSION,
						    .cxid = (int32_t)zxid,
						    .zxid = zxid,
						    .time_ms = 1000,
						    .type = record->type});
	txn_put_record(&entry, record);
	says_with(index, QUORUM_PROPOSAL, zxid, bytes, jute_written(&entry));
}

static uint32_t
ephemerals(void)
{
	struct tree_counts counts;

	tree_counts(rig.tree, &counts);
	return (uint32_t)counts.ephemerals;
}

#define NODES     700u
#define NODES_MAX 256u

/* What a follower applies of one transaction, too; what comes behind it waits,
 * and all of it is acknowledged in its order. */
static void
a_session_of_many_nodes_closes_some_a_round(void **state)
{
	const struct rig_wishes wishes = {.sid = 1};
	struct txn_record record = {.type = OP_CREATE_SESSION,
				    .timeout_ms = 5000};
	int64_t zxid = EPOCH_1 + 1;
	uint32_t index, rounds = 0;
	char path[32];

	(void)state;
	begin(&wishes);
	index = follow();
	says_record(index, zxid, &record);
	for (uint32_t i = 0; i < NODES; i++) {
		snprintf(path, sizeof(path), "/e%06u", i);
		record = (struct txn_record){.type = OP_CREATE,
					     .path = jute_slice_of(path, 8),
					     .acl = {.count = -1},
					     .is_ephemeral = true,
					     .parent_cversion = (int32_t)i + 1};
		says_record(index, ++zxid, &record);
	}
	for (int64_t committed = EPOCH_1 + 1; committed <= zxid; committed++)
		says(index, QUORUM_COMMIT, committed);
	run();
	assert_int_equal(zab_member_published(rig.zab), zxid);
	assert_int_equal(ephemerals(), NODES);
	says_record(index, zxid + 1,
		    &(struct txn_record){.type = OP_CLOSE_SESSION});
	says(index, QUORUM_COMMIT, zxid + 1);
	says_large(index, zxid + 2);
	for (uint32_t had = NODES; rig.written < zxid + 2; rounds++) {
		assert_true(rounds < 10);
		one_round();
		assert_true(had - ephemerals() <= 2 * NODES_MAX);
		had = ephemerals();
		assert_true(rig.written < zxid + 1 || had == 0);
	}
	assert_int_equal(rounds, 2);
	run();
	assert_int_equal(zab_member_published(rig.zab), zxid + 1);
	assert_int_equal(zab_member_appended(rig.zab), zxid + 2);
}

/* A learner that knows beacons. */
static void
says_beacons(uint32_t index, int64_t sid, uint32_t beacon_ms)
{
	uint8_t bytes[28];

	be_store64(bytes, (uint64_t)sid);
	be_store32(bytes + 8, QUORUM_PROTOCOL_VERSION);
	be_store64(bytes + 12, 0);
	be_store32(bytes + 20, 0x46414c43); /* see ensemble_beacon_of() */
	be_store32(bytes + 24, beacon_ms);
	says_with(index, QUORUM_FOLLOWERINFO, 0, bytes, sizeof(bytes));
}

#define SESSIONS 40000u

/* That all of them begin anew is one go: it says how long before. */
static void
a_leader_of_many_sessions_says_that_it_is_busy(void **state)
{
	const struct rig_wishes wishes = {.sid = 3, .beacon_ms = 20};
	struct quorum_packet packet;
	int64_t busy_ms = 0;
	uint32_t index;

	(void)state;
	begin(&wishes);
	for (int64_t i = 1; i <= SESSIONS; i++)
		assert_non_null(session_add(rig.sessions, i, 5000, rig.now_ms));
	vote(1, FLE_LOOKING, 3);
	vote(2, FLE_LOOKING, 3);
	index = fake_connect(it.net);
	says_beacons(index, 1, 20);
	run_zab();
	expect(index, QUORUM_LEADERINFO, &packet);
	says_int(index, QUORUM_ACKEPOCH, 0, 0);
	run_zab();
	expect(index, QUORUM_NEWLEADER, &packet);
	says(index, QUORUM_ACK, EPOCH_1);
	run_zab();
	assert_int_equal(zab_member_mode(rig.zab), ZAB_LEADS);
	while (received(index, &packet))
		if (packet.type == QUORUM_PING && packet.zxid < -1)
			busy_ms = -1 - packet.zxid;
	assert_int_equal(busy_ms, 4 * SESSIONS / 4096);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, nothing, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(large_requests_of_learners_are_taken_some_a_round),
		TEST(entries_that_waited_are_applied_some_a_round),
		TEST(a_session_of_many_nodes_closes_some_a_round),
		TEST(a_leader_of_many_sessions_says_that_it_is_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
