/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    What a follower must not believe: gaps, commits out of order, a
 *         history shorter than announced, a leader that takes back what is
 *         published, transactions of another epoch; and what it must tolerate.
 * Method  one core is made follower of server 3 by hand, packet by packet, its
 *         disk answers at once or when the test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/zab.h"

#define LEADER 3
#define LIMIT  4 /* outstanding_max */

struct bench {
	struct zab_core *core;
	uint64_t now_ms;
	struct zab_actions out;
};

static void
give(struct bench *b, struct zab_event event)
{
	event.now_ms = b->now_ms;
	zab_step(b->core, &event, &b->out);
}

static const struct zab_action *
find(const struct bench *b, enum zab_action_type type, int32_t packet)
{
	for (uint32_t i = 0; i < b->out.count; i++)
		if (b->out.action[i].type == type &&
		    (packet == 0 || b->out.action[i].packet == packet))
			return &b->out.action[i];
	return NULL;
}

static void
packet(struct bench *b, int32_t type, int64_t zxid)
{
	give(b, (struct zab_event){.type = ZAB_EV_PACKET,
				   .slot = ZAB_LEADER_SLOT,
				   .packet = type,
				   .zxid = zxid});
}

static void
flush(struct bench *b, int64_t zxid)
{
	give(b, (struct zab_event){.type = ZAB_EV_LOG_DURABLE, .zxid = zxid});
}

/* A log of 1:1 to 1:4, currentEpoch 1; the leader was elected and is dialled.
 */
static void
dial_leader(struct bench *b, uint32_t pause_ms)
{
	struct zab_history history = {
		.last_zxid = zab_zxid(1, 4),
		.row_count = 1,
		.row = {{zab_zxid(1, 1), zab_zxid(1, 4)}}};
	struct quorum voters = {.member_count = 3};
	struct zab_disk_state disk = {.history = &history,
				      .active = &voters,
				      .accepted_epoch = 1,
				      .current_epoch = 1,
				      .committed_zxid = zab_zxid(1, 2)};
	const struct zab_core_options options = {.sid = 1,
						 .tick_ms = 2000,
						 .init_limit = 5,
						 .sync_limit = 2,
						 .finalize_ms = 200,
						 .notify_min_ms = 200,
						 .notify_max_ms = 1600,
						 .dial_retry_ms = pause_ms,
						 .dial_tries = 5,
						 .outstanding_max = LIMIT,
						 .beacon_ms = 20,
						 .beacon_lost_ms = 60};

	for (uint32_t i = 0; i < 3; i++)
		voters.member[i] = (struct quorum_member){
			.sid = i + 1, .weight = 1, .is_voter = 1};
	assert_int_equal(quorum_check(&voters), 0);
	b->now_ms = 1000;
	b->core = calloc(1, zab_core_bytes());
	assert_non_null(b->core);
	assert_int_equal(zab_init(b->core, &options), 0);
	give(b, (struct zab_event){.type = ZAB_EV_START, .disk = &disk});
	for (int64_t sid = 2; sid <= 3; sid++)
		give(b, (struct zab_event){
				.type = ZAB_EV_FLE,
				.sid = sid,
				.notification = {sid == 3 ? FLE_LEADING
							  : FLE_FOLLOWING,
						 2, LEADER, 0, 7, 2}});
	assert_int_equal(find(b, ZAB_DO_DIAL, 0)->sid, LEADER);
}

/* ACKEPOCH for epoch 2 was sent. */
static void
set_up_with_beacons(struct bench *b, uint32_t beacon_ms)
{
	dial_leader(b, 100);
	give(b, (struct zab_event){.type = ZAB_EV_CONN_UP,
				   .slot = ZAB_LEADER_SLOT});
	give(b, (struct zab_event){.type = ZAB_EV_PACKET,
				   .slot = ZAB_LEADER_SLOT,
				   .packet = QUORUM_LEADERINFO,
				   .zxid = zab_zxid(2, 0),
				   .beacon_ms = beacon_ms});
	assert_null(find(b, ZAB_DO_SEND, 0)); /* not before it is durable */
	give(b, (struct zab_event){.type = ZAB_EV_EPOCH_DURABLE, .epoch = 2});
	assert_int_equal(find(b, ZAB_DO_SEND, QUORUM_ACKEPOCH)->epoch, 1);
}

static void
set_up(struct bench *b)
{
	set_up_with_beacons(b, 0);
}

static void
tear_down(struct bench *b)
{
	free(b->core);
}

/* NEWLEADER came and is acknowledged. */
static void
become_ready(struct bench *b)
{
	packet(b, QUORUM_NEWLEADER, zab_zxid(2, 0));
	assert_null(find(b, ZAB_DO_SEND, 0));
	give(b, (struct zab_event){.type = ZAB_EV_EPOCH_DURABLE,
				   .epoch = 2,
				   .is_current = true});
	assert_int_equal(find(b, ZAB_DO_SEND, QUORUM_ACK)->zxid,
			 zab_zxid(2, 0));
}

static void
become_active(struct bench *b)
{
	packet(b, QUORUM_DIFF, zab_zxid(1, 4));
	become_ready(b);
	packet(b, QUORUM_UPTODATE, -1);
	assert_int_equal(find(b, ZAB_DO_COMMIT, 0)->zxid, zab_zxid(1, 4));
}

static void
expect_refusal(struct bench *b, enum zab_reason why)
{
	assert_int_equal(find(b, ZAB_DO_CLOSE, 0)->slots,
			 1ull << ZAB_LEADER_SLOT);
	assert_int_equal(find(b, ZAB_DO_CLOSE, 0)->why, why);
	assert_int_equal(find(b, ZAB_DO_STATE, 0)->role, FLE_LOOKING);
	tear_down(b);
}

static void
a_commit_must_name_the_oldest(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	become_active(&b);
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 2));
	packet(&b, QUORUM_COMMIT, zab_zxid(2, 2));
	assert_null(find(&b, ZAB_DO_COMMIT, 0));
	expect_refusal(&b, ZAB_WHY_PEER_PROTOCOL);

	set_up(&b);
	become_active(&b);
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	packet(&b, QUORUM_COMMIT, zab_zxid(2, 2)); /* never proposed */
	expect_refusal(&b, ZAB_WHY_PEER_PROTOCOL);
}

static void
a_commit_of_what_is_held_must_name_the_oldest(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 4));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 2));
	packet(&b, QUORUM_COMMIT, zab_zxid(2, 2));
	assert_null(find(&b, ZAB_DO_APPEND, 0));
	expect_refusal(&b, ZAB_WHY_PEER_PROTOCOL);

	set_up(&b);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 4));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 2));
	become_ready(&b);
	packet(&b, QUORUM_COMMIT, zab_zxid(2, 2));
	expect_refusal(&b, ZAB_WHY_PEER_PROTOCOL);
}

static void
commits_behind_newleader_are_remembered(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 4));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 2));
	become_ready(&b);
	packet(&b, QUORUM_COMMIT, zab_zxid(2, 1));
	assert_int_equal(b.out.count, 0);
	packet(&b, QUORUM_UPTODATE, -1);
	assert_int_equal(find(&b, ZAB_DO_APPEND, 0)->zxid, zab_zxid(2, 1));
	assert_int_equal(find(&b, ZAB_DO_APPEND, 0)->zxid_last, zab_zxid(2, 2));
	assert_int_equal(b.out.action[b.out.count - 1].type, ZAB_DO_COMMIT);
	assert_int_equal(b.out.action[b.out.count - 1].zxid, zab_zxid(2, 1));
	flush(&b, zab_zxid(2, 2));
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_ACK)->zxid,
			 zab_zxid(2, 1));
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_ACK)->zxid_last,
			 zab_zxid(2, 2));
	tear_down(&b);
}

static void
a_gap_and_a_foreign_epoch_are_refused(void **state)
{
	const int64_t wrong[] = {zab_zxid(2, 3), zab_zxid(3, 1),
				 zab_zxid(1, 5)};
	struct bench b;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		set_up(&b);
		become_active(&b);
		packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
		packet(&b, QUORUM_PROPOSAL, wrong[i]);
		expect_refusal(&b, ZAB_WHY_PEER_PROTOCOL);
	}
	set_up(&b);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 6));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(1, 6));
	expect_refusal(&b, ZAB_WHY_PEER_PROTOCOL);
}

static void
a_proposal_that_is_known_is_acknowledged_again(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	become_active(&b);
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	assert_int_equal(b.out.count, 0); /* it will be, when durable */
	flush(&b, zab_zxid(2, 1));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	assert_int_equal(b.out.count, 1);
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_ACK)->zxid,
			 zab_zxid(2, 1));
	packet(&b, QUORUM_COMMIT, zab_zxid(2, 1));
	packet(&b, QUORUM_COMMIT, zab_zxid(2, 1));
	assert_int_equal(b.out.count, 0);
	tear_down(&b);
}

static void
less_than_diff_announced_is_refused(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 6));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(1, 5));
	packet(&b, QUORUM_COMMIT, zab_zxid(1, 5));
	packet(&b, QUORUM_NEWLEADER, zab_zxid(2, 0));
	expect_refusal(&b, ZAB_WHY_PEER_PROTOCOL);
}

static void
what_is_committed_is_not_taken_back(void **state)
{
	const int32_t types[] = {QUORUM_TRUNC, QUORUM_SNAP};
	struct bench b;

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		set_up(&b);
		packet(&b, types[i], zab_zxid(1, 1));
		assert_null(find(&b, ZAB_DO_TRUNCATE, 0));
		assert_null(find(&b, ZAB_DO_INSTALL_SNAPSHOT, 0));
		expect_refusal(&b, ZAB_WHY_PEER_TAKES_BACK);
	}
	set_up(&b);
	packet(&b, QUORUM_TRUNC, zab_zxid(1, 3));
	assert_int_equal(find(&b, ZAB_DO_TRUNCATE, 0)->zxid, zab_zxid(1, 3));
	tear_down(&b);
}

/* The driver looks after it meanwhile; what the leader said behind it is still
 * to be read when it is there. */
static void
a_snapshot_may_take_longer_than_the_limit(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	packet(&b, QUORUM_SNAP, zab_zxid(1, 9));
	b.now_ms += 60000;
	give(&b, (struct zab_event){.type = ZAB_EV_SNAP_INSTALLED,
				    .zxid = zab_zxid(1, 9)});
	give(&b, (struct zab_event){.type = ZAB_EV_TICK});
	assert_null(find(&b, ZAB_DO_CLOSE, 0));
	packet(&b, QUORUM_NEWLEADER, zab_zxid(2, 0));
	assert_int_equal(find(&b, ZAB_DO_PERSIST_CURRENT, 0)->epoch, 2);
	tear_down(&b);
}

/* It would be on the disk before NEWLEADER is wrong: with a log of a higher
 * epoch than any that was accepted, which no start takes. */
static void
nothing_is_newer_than_its_leader(void **state)
{
	const int32_t types[] = {QUORUM_DIFF, QUORUM_SNAP};
	struct bench b;

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		set_up(&b);
		packet(&b, types[i], zab_zxid(3, 1));
		assert_null(find(&b, ZAB_DO_INSTALL_SNAPSHOT, 0));
		expect_refusal(&b, ZAB_WHY_PEER_PROTOCOL);
	}
}

static void
the_history_is_flushed_before_the_epoch_is_written(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 5));
	packet(&b, QUORUM_PROPOSAL, zab_zxid(1, 5));
	packet(&b, QUORUM_COMMIT, zab_zxid(1, 5));
	assert_int_equal(find(&b, ZAB_DO_APPEND, 0)->zxid, zab_zxid(1, 5));
	packet(&b, QUORUM_NEWLEADER, zab_zxid(2, 0));
	assert_int_equal(b.out.count, 0);
	flush(&b, zab_zxid(1, 5));
	assert_int_equal(b.out.count, 1);
	assert_int_equal(find(&b, ZAB_DO_PERSIST_CURRENT, 0)->epoch, 2);
	tear_down(&b);
}

static void
pings_are_answered_only_by_a_member(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 4));
	packet(&b, QUORUM_PING, zab_zxid(2, 0));
	assert_int_equal(b.out.count, 0);
	become_ready(&b);
	packet(&b, QUORUM_PING, zab_zxid(2, 0));
	assert_int_equal(b.out.count, 0);
	packet(&b, QUORUM_UPTODATE, -1);
	packet(&b, QUORUM_PING, zab_zxid(2, 0));
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_PING)->zxid,
			 zab_zxid(2, 0));
	tear_down(&b);
}

static void
packets_out_of_turn_end_the_connection(void **state)
{
	static const int32_t early[] = {QUORUM_UPTODATE, QUORUM_NEWLEADER,
					QUORUM_PROPOSAL, QUORUM_COMMIT,
					QUORUM_LEADERINFO};
	struct bench b;

	(void)state;
	for (uint32_t i = 0; i < 5; i++) {
		set_up(&b);
		packet(&b, early[i], zab_zxid(2, 0));
		expect_refusal(&b, ZAB_WHY_PEER_PROTOCOL);
	}
	set_up(&b);
	become_active(&b);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 4));
	expect_refusal(&b, ZAB_WHY_PEER_PROTOCOL);
	set_up(&b);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 4));
	packet(&b, QUORUM_NEWLEADER, zab_zxid(3, 0));
	expect_refusal(&b, ZAB_WHY_PEER_PROTOCOL);
}

static void
too_much_that_is_held_ends_the_connection(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 4));
	for (int64_t n = 1; n <= LIMIT; n++) {
		packet(&b, QUORUM_PROPOSAL, zab_zxid(2, n));
		assert_non_null(find(&b, ZAB_DO_HOLD, 0));
	}
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, LIMIT + 1));
	assert_non_null(find(&b, ZAB_DO_DROP_HELD, 0));
	expect_refusal(&b, ZAB_WHY_HELD_LIMIT);
}

/* One tick after another until `end_ms`; true if it left its leader. */
static bool
ticks_until(struct bench *b, uint64_t end_ms)
{
	while (b->now_ms < end_ms) {
		b->now_ms = zab_wake_ms(b->core) < end_ms ? zab_wake_ms(b->core)
							  : end_ms;
		give(b, (struct zab_event){.type = ZAB_EV_TICK});
		if (find(b, ZAB_DO_STATE, 0))
			return true;
	}
	return false;
}

/* In the voice of server 2, which looks for a leader, too. */
static void
hear_vote_for(struct bench *b, int64_t leader, int64_t round)
{
	give(b, (struct zab_event){.type = ZAB_EV_FLE,
				   .sid = 2,
				   .notification = {FLE_LOOKING, 2, leader,
						    zab_zxid(1, 4), round, 2}});
}

static void
a_silent_leader_is_left_and_not_waited_for(void **state)
{
	struct bench b;
	struct zab_view view;

	(void)state;
	set_up(&b);
	become_active(&b);
	packet(&b, QUORUM_PING, zab_zxid(2, 0));
	assert_false(ticks_until(&b, 4900)); /* a leader without beacons */
	tear_down(&b);

	set_up_with_beacons(&b, 20);
	become_active(&b);
	assert_false(ticks_until(&b, 1900)); /* none came yet */
	packet(&b, QUORUM_PING, zab_zxid(2, 0));
	assert_false(ticks_until(&b, 1999));
	give(&b,
	     (struct zab_event){.type = ZAB_EV_HEARD, .slot = ZAB_LEADER_SLOT});
	assert_false(ticks_until(&b, 2118)); /* it was late before */
	assert_true(ticks_until(&b, 2120));
	assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why, ZAB_WHY_BEACONS_LOST);
	/* Two of three agree and the third one is the silent one. */
	zab_view(b.core, &view);
	hear_vote_for(&b, 2, view.round);
	assert_non_null(find(&b, ZAB_DO_DIAL, 0));
	assert_int_equal(find(&b, ZAB_DO_DIAL, 0)->sid, 2);
	tear_down(&b);
}

static void
the_limit_follows_the_evenness_of_beacons(void **state)
{
	struct bench b;

	(void)state;
	for (uint32_t late_ms = 0; late_ms <= 15; late_ms += 15) {
		set_up_with_beacons(&b, 20);
		become_active(&b);
		for (uint32_t i = 0; i < 1500; i++) {
			/* A late one among many that are not. */
			b.now_ms += 20;
			if (i == 1490) {
				give(&b,
				     (struct zab_event){.type = ZAB_EV_TICK});
				b.now_ms += late_ms;
			}
			packet(&b, QUORUM_PING, zab_zxid(2, 0));
		}
		assert_false(ticks_until(&b, b.now_ms + 59 + late_ms * 3 / 2));
		assert_true(ticks_until(&b, b.now_ms + 2 + late_ms));
		assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why,
				 ZAB_WHY_BEACONS_LOST);
		tear_down(&b);
	}
}

/* A megabyte on a narrow link: bytes come, and for long no whole packet. */
static void
bytes_of_a_leader_keep_its_follower_that_says_so(void **state)
{
	uint64_t said_ms;
	struct bench b;

	(void)state;
	set_up_with_beacons(&b, 20);
	become_active(&b);
	packet(&b, QUORUM_PING, zab_zxid(2, 0));
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_PING)->zxid,
			 zab_zxid(2, 0));
	said_ms = b.now_ms;
	/* Beyond syncLimit. */
	for (uint32_t i = 0; i < 5000 / 20; i++) {
		const struct zab_action *said;

		b.now_ms += 20;
		give(&b, (struct zab_event){.type = ZAB_EV_HEARD,
					    .slot = ZAB_LEADER_SLOT,
					    .is_up = true});
		give(&b, (struct zab_event){.type = ZAB_EV_TICK});
		assert_null(find(&b, ZAB_DO_STATE, 0));
		said = find(&b, ZAB_DO_SEND, QUORUM_PING);
		if (said != NULL) {
			assert_int_equal(said->slots, 1ull << ZAB_LEADER_SLOT);
			assert_int_equal(said->zxid, ZAB_NO_ZXID);
			said_ms = b.now_ms;
		}
		assert_in_range(b.now_ms - said_ms, 0, 40);
	}
	/* What is not read is an excuse for want of beacons, and no more. */
	for (uint32_t i = 0; i < 3900 / 20; i++) {
		b.now_ms += 20;
		give(&b, (struct zab_event){.type = ZAB_EV_HEARD,
					    .slot = ZAB_LEADER_SLOT});
		give(&b, (struct zab_event){.type = ZAB_EV_TICK});
		assert_null(find(&b, ZAB_DO_STATE, 0));
	}
	assert_true(ticks_until(&b, b.now_ms + 101));
	assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why, ZAB_WHY_PEER_SILENT);
	tear_down(&b);
	/* A leader that sends none would take it for an answer. */
	set_up(&b);
	become_active(&b);
	packet(&b, QUORUM_PING, zab_zxid(2, 0));
	b.now_ms += 1000;
	give(&b, (struct zab_event){.type = ZAB_EV_TICK});
	assert_null(find(&b, ZAB_DO_SEND, QUORUM_PING));
	tear_down(&b);
}

/* A request of a megabyte is worked on: no beacon, and nothing is wrong. */
static void
a_leader_that_said_that_it_is_busy_is_not_left(void **state)
{
	const struct zab_action *said;
	struct bench b;

	(void)state;
	set_up_with_beacons(&b, 20);
	become_active(&b);
	packet(&b, QUORUM_PING, zab_zxid(2, 0));
	packet(&b, QUORUM_PING, ZAB_NO_ZXID - 250);
	/* It is no question, and an echo would be taken for an answer. */
	assert_null(find(&b, ZAB_DO_SEND, QUORUM_PING));
	assert_false(ticks_until(&b, b.now_ms + 60 + 250 - 1));
	/* That it was silent says nothing of how evenly beacons come. */
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	assert_true(ticks_until(&b, b.now_ms + 141));
	assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why, ZAB_WHY_BEACONS_LOST);
	tear_down(&b);

	set_up_with_beacons(&b, 20);
	become_active(&b);
	/* One without beacons is told nothing. */
	give(&b, (struct zab_event){.type = ZAB_EV_BUSY, .busy_ms = 30});
	assert_null(find(&b, ZAB_DO_SEND, QUORUM_PING));
	packet(&b, QUORUM_PING, zab_zxid(2, 0));
	give(&b, (struct zab_event){.type = ZAB_EV_BUSY, .busy_ms = 30});
	said = find(&b, ZAB_DO_SEND, QUORUM_PING);
	assert_non_null(said);
	assert_int_equal(said->slots, 1ull << ZAB_LEADER_SLOT);
	assert_int_equal(said->zxid, ZAB_NO_ZXID - 30);
	tear_down(&b);
}

/* No CPU for 60 ms of each 70: its time goes by as slowly as it runs. */
static void
a_follower_without_cpu_does_not_blame_its_leader(void **state)
{
	uint64_t end_ms;
	struct bench b;

	(void)state;
	set_up_with_beacons(&b, 20);
	become_active(&b);
	packet(&b, QUORUM_PING, zab_zxid(2, 0));
	end_ms = b.now_ms + 210;
	while (b.now_ms < end_ms) {
		assert_false(ticks_until(&b, b.now_ms + 10));
		b.now_ms += 60;
		give(&b, (struct zab_event){.type = ZAB_EV_TICK});
		assert_null(find(&b, ZAB_DO_STATE, 0));
	}
	/* A leader that speaks once in a while is none that died ... */
	packet(&b, QUORUM_PING, zab_zxid(2, 0));
	b.now_ms += 3000;
	give(&b, (struct zab_event){.type = ZAB_EV_TICK});
	assert_null(find(&b, ZAB_DO_STATE, 0));
	/* ... and once there is a CPU again, one that is silent is left. */
	assert_true(ticks_until(&b, b.now_ms + 101));
	assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why, ZAB_WHY_BEACONS_LOST);
	tear_down(&b);
}

/* 2:1 was given to the log and is refused there: the tree differs. */
static void
a_diverged_follower_forgets_and_asks_for_a_snapshot(void **state)
{
	struct zab_history history = {
		.last_zxid = zab_zxid(1, 4),
		.row_count = 1,
		.row = {{zab_zxid(1, 1), zab_zxid(1, 4)}}};
	const struct zab_disk_state disk = {.history = &history};
	struct zab_view view;
	struct bench b;

	(void)state;
	set_up(&b);
	become_active(&b);
	packet(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	assert_non_null(find(&b, ZAB_DO_APPEND, 0));
	packet(&b, QUORUM_COMMIT, zab_zxid(2, 1)); /* the others have it */
	give(&b, (struct zab_event){.type = ZAB_EV_DIVERGED});
	assert_int_equal(find(&b, ZAB_DO_STATE, 0)->role, FLE_LOOKING);
	assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why, ZAB_WHY_DIVERGED);
	assert_int_equal(find(&b, ZAB_DO_CLOSE, 0)->slots,
			 1ull << ZAB_LEADER_SLOT);
	/* Clients are gone before the tree is. */
	assert_int_equal(b.out.action[b.out.count - 1].type, ZAB_DO_RELOAD);
	assert_null(find(&b, ZAB_DO_SEND_FLE, 0)); /* no vote meanwhile */

	give(&b, (struct zab_event){.type = ZAB_EV_RELOADED, .disk = &disk});
	zab_view(b.core, &view);
	assert_true(view.is_nonvoting);
	assert_int_equal(find(&b, ZAB_DO_SEND_FLE, 0)->notification.zxid, -1);
	for (int64_t sid = 2; sid <= 3; sid++)
		give(&b, (struct zab_event){
				 .type = ZAB_EV_FLE,
				 .sid = sid,
				 .notification = {sid == 3 ? FLE_LEADING
							   : FLE_FOLLOWING,
						  2, LEADER, 0, 7, 2}});
	assert_int_equal(find(&b, ZAB_DO_DIAL, 0)->sid, LEADER);
	give(&b, (struct zab_event){.type = ZAB_EV_CONN_UP,
				    .slot = ZAB_LEADER_SLOT});
	packet(&b, QUORUM_LEADERINFO, zab_zxid(2, 0));
	/* It has nothing that counts, and promises nothing. */
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_ACKEPOCH)->zxid, -1);
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_ACKEPOCH)->epoch, -1);
	tear_down(&b);
}

/* leaderConnectDelayDuringRetryMs: the pause between two dials. */
static void
a_leader_that_does_not_listen_is_dialled_after_the_pause_that_is_set(
	void **state)
{
	static const uint32_t pauses[] = {30, 700};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct bench b;

		dial_leader(&b, pauses[i]);
		for (int dial = 1; dial < 5; dial++) {
			give(&b, (struct zab_event){.type = ZAB_EV_CONN_DOWN,
						    .slot = ZAB_LEADER_SLOT});
			assert_null(find(&b, ZAB_DO_DIAL, 0));
			b.now_ms += pauses[i] - 1;
			give(&b, (struct zab_event){.type = ZAB_EV_TICK});
			assert_null(find(&b, ZAB_DO_DIAL, 0));
			b.now_ms += 1;
			give(&b, (struct zab_event){.type = ZAB_EV_TICK});
			assert_int_equal(find(&b, ZAB_DO_DIAL, 0)->sid, LEADER);
		}
		give(&b, (struct zab_event){.type = ZAB_EV_CONN_DOWN,
					    .slot = ZAB_LEADER_SLOT});
		assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why,
				 ZAB_WHY_DIAL_LIMIT);
		tear_down(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_commit_must_name_the_oldest),
		cmocka_unit_test(a_commit_of_what_is_held_must_name_the_oldest),
		cmocka_unit_test(commits_behind_newleader_are_remembered),
		cmocka_unit_test(a_gap_and_a_foreign_epoch_are_refused),
		cmocka_unit_test(
			a_proposal_that_is_known_is_acknowledged_again),
		cmocka_unit_test(less_than_diff_announced_is_refused),
		cmocka_unit_test(what_is_committed_is_not_taken_back),
		cmocka_unit_test(a_snapshot_may_take_longer_than_the_limit),
		cmocka_unit_test(nothing_is_newer_than_its_leader),
		cmocka_unit_test(
			the_history_is_flushed_before_the_epoch_is_written),
		cmocka_unit_test(pings_are_answered_only_by_a_member),
		cmocka_unit_test(packets_out_of_turn_end_the_connection),
		cmocka_unit_test(a_silent_leader_is_left_and_not_waited_for),
		cmocka_unit_test(the_limit_follows_the_evenness_of_beacons),
		cmocka_unit_test(
			a_leader_that_said_that_it_is_busy_is_not_left),
		cmocka_unit_test(
			bytes_of_a_leader_keep_its_follower_that_says_so),
		cmocka_unit_test(
			a_follower_without_cpu_does_not_blame_its_leader),
		cmocka_unit_test(
			a_diverged_follower_forgets_and_asks_for_a_snapshot),
		cmocka_unit_test(too_much_that_is_held_ends_the_connection),
		cmocka_unit_test(
			a_leader_that_does_not_listen_is_dialled_after_the_pause_that_is_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
