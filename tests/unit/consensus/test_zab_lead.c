/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    What a leader must not count: a promise that may have been given to
 *         another leader, the acknowledgements of a server without a vote, and
 *         those of a log that it may have cut meanwhile; and what it must
 *         refuse from its learners.
 * Method  one core is made leader of three by hand, packet by packet; its disk
 *         answers when the test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/zab.h"

#define SELF 3

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

/* The n-th action of that type (and packet, if not 0) of the last step. */
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
packet(struct bench *b, uint32_t slot, int32_t type, int64_t zxid, int64_t sid,
       int64_t epoch)
{
	give(b, (struct zab_event){.type = ZAB_EV_PACKET,
				   .slot = slot,
				   .packet = type,
				   .zxid = zxid,
				   .sid = sid,
				   .epoch = epoch});
}

static void
durable(struct bench *b, int64_t epoch, bool is_current)
{
	give(b, (struct zab_event){.type = ZAB_EV_EPOCH_DURABLE,
				   .epoch = epoch,
				   .is_current = is_current});
}

/* Elected, with an empty log. */
static void
set_up_with(struct bench *b, bool forces_snapshots, uint32_t epoch_wait_ms)
{
	struct zab_history history = {0};
	struct quorum voters = {.member_count = 3};
	struct zab_disk_state disk = {.history = &history, .active = &voters};
	const struct zab_core_options options = {.sid = SELF,
						 .tick_ms = 2000,
						 .init_limit = 5,
						 .sync_limit = 2,
						 .finalize_ms = 200,
						 .notify_min_ms = 200,
						 .notify_max_ms = 1600,
						 .epoch_wait_ms = epoch_wait_ms,
						 .dial_retry_ms = 100,
						 .dial_tries = 5,
						 .outstanding_max = 3,
						 .beacon_ms = 20,
						 .beacon_lost_ms = 60,
						 .forces_snapshots =
							 forces_snapshots};

	for (uint32_t i = 0; i < 3; i++)
		voters.member[i] = (struct quorum_member){
			.sid = i + 1, .weight = 1, .is_voter = 1};
	assert_int_equal(quorum_check(&voters), 0);
	b->now_ms = 1000;
	b->core = calloc(1, zab_core_bytes());
	assert_non_null(b->core);
	assert_int_equal(zab_init(b->core, &options), 0);
	give(b, (struct zab_event){.type = ZAB_EV_START, .disk = &disk});
	for (int64_t sid = 1; sid <= 2; sid++)
		give(b, (struct zab_event){.type = ZAB_EV_FLE,
					   .sid = sid,
					   .notification = {FLE_LOOKING, 2,
							    SELF, 0, 1, 0}});
	assert_int_equal(find(b, ZAB_DO_STATE, 0)->role, FLE_LEADING);
}

static void
set_up(struct bench *b)
{
	set_up_with(b, false, UINT32_MAX);
}

static void
tear_down(struct bench *b)
{
	free(b->core);
}

static void
connect(struct bench *b, uint32_t slot, int64_t sid)
{
	give(b, (struct zab_event){.type = ZAB_EV_CONN_UP, .slot = slot});
	packet(b, slot, QUORUM_FOLLOWERINFO, 0, sid, 0);
}

/* Epoch 1 is on the disk, and server 1 in slot 0 was told. */
static void
reach_discovery(struct bench *b)
{
	connect(b, 0, 1);
	assert_int_equal(find(b, ZAB_DO_PERSIST_ACCEPTED, 0)->epoch, 1);
	assert_non_null(find(b, ZAB_DO_SEND, QUORUM_LEADERINFO));
	durable(b, 1, false);
}

/* Server 1 is synchronized, the leader established. */
static void
reach_broadcast(struct bench *b)
{
	reach_discovery(b);
	packet(b, 0, QUORUM_ACKEPOCH, 0, 0, 0);
	assert_int_equal(find(b, ZAB_DO_PERSIST_CURRENT, 0)->epoch, 1);
	assert_non_null(find(b, ZAB_DO_SEND, QUORUM_NEWLEADER));
	durable(b, 1, true);
	packet(b, 0, QUORUM_ACK, zab_zxid(1, 0), 0, 0);
	assert_true(find(b, ZAB_DO_STATE, 0)->is_serving);
}

static void
propose(struct bench *b, int64_t counter)
{
	assert_int_equal(zab_next_zxid(b->core, NULL), zab_zxid(1, counter));
	give(b, (struct zab_event){.type = ZAB_EV_PROPOSE,
				   .zxid = zab_zxid(1, counter)});
}

/* Whatever the others' disks did: its own counts among them, and it must. */
static void
a_leader_waits_for_its_own_disk(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	connect(&b, 0, 1);
	connect(&b, 1, 2);
	packet(&b, 0, QUORUM_ACKEPOCH, 0, 0, 0);
	packet(&b, 1, QUORUM_ACKEPOCH, 0, 0, 0);
	assert_null(find(&b, ZAB_DO_PERSIST_CURRENT, 0));
	durable(&b, 1, false);
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_NEWLEADER)->slots, 1);
	packet(&b, 0, QUORUM_ACK, zab_zxid(1, 0), 0, 0);
	packet(&b, 1, QUORUM_ACK, zab_zxid(1, 0), 0, 0);
	assert_null(find(&b, ZAB_DO_STATE, 0));
	durable(&b, 1, true);
	assert_true(find(&b, ZAB_DO_STATE, 0)->is_serving);
	tear_down(&b);
}

static void
a_promise_given_before_does_not_count_again(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	reach_discovery(&b);
	packet(&b, 0, QUORUM_ACKEPOCH, 0, 0, -1);
	assert_null(find(&b, ZAB_DO_PERSIST_CURRENT, 0));
	/* Another voter that promises now does. */
	connect(&b, 1, 2);
	packet(&b, 1, QUORUM_ACKEPOCH, 0, 0, 0);
	assert_non_null(find(&b, ZAB_DO_PERSIST_CURRENT, 0));
	tear_down(&b);
}

static void
a_server_without_a_vote_neither_promises_nor_holds_history(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	reach_discovery(&b);
	connect(&b, 1, 2);
	packet(&b, 1, QUORUM_ACKEPOCH, -1, 0, -1);
	assert_null(find(&b, ZAB_DO_PERSIST_CURRENT, 0));
	packet(&b, 0, QUORUM_ACKEPOCH, 0, 0, 0);
	durable(&b, 1, true);
	/* Its acknowledgement of NEWLEADER is not the quorum's. */
	packet(&b, 1, QUORUM_ACK, zab_zxid(1, 0), 0, 0);
	assert_null(find(&b, ZAB_DO_STATE, 0));
	packet(&b, 0, QUORUM_ACK, zab_zxid(1, 0), 0, 0);
	assert_true(find(&b, ZAB_DO_STATE, 0)->is_serving);
	/* The voter is let in, the other one after a PING of the voter. */
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_UPTODATE)->slots, 1);
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_PING)->slots, 1);
	/* What a voter says of its own accord answers nothing. */
	packet(&b, 0, QUORUM_PING, ZAB_NO_ZXID, 0, 0);
	assert_null(find(&b, ZAB_DO_SEND, QUORUM_UPTODATE));
	packet(&b, 0, QUORUM_PING, 0, 0, 0);
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_UPTODATE)->slots, 2);
	/* From now on it counts. */
	propose(&b, 1);
	packet(&b, 1, QUORUM_ACK, zab_zxid(1, 1), 0, 0);
	assert_null(find(&b, ZAB_DO_COMMIT, 0));
	packet(&b, 0, QUORUM_ACK, zab_zxid(1, 1), 0, 0);
	assert_non_null(find(&b, ZAB_DO_COMMIT, 0));
	tear_down(&b);
}

/* ZooKeeper under zookeeper.db.autocreate=false, with an empty disk. */
static void
a_server_that_was_not_initialized_gets_a_snapshot(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	reach_broadcast(&b);
	give(&b, (struct zab_event){.type = ZAB_EV_CONN_UP, .slot = 1});
	packet(&b, 1, QUORUM_FOLLOWERINFO, zab_zxid(-1, 0), 2, 0);
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_LEADERINFO)->slots, 2);
	packet(&b, 1, QUORUM_ACKEPOCH, -1, 0, -1);
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_SNAP)->slots, 2);
	tear_down(&b);
}

static void
who_reconnects_must_acknowledge_again(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	reach_broadcast(&b);
	propose(&b, 1);
	give(&b, (struct zab_event){.type = ZAB_EV_LOG_DURABLE,
				    .zxid = zab_zxid(1, 1)});
	packet(&b, 0, QUORUM_ACK, zab_zxid(1, 1), 0, 0);
	assert_non_null(find(&b, ZAB_DO_COMMIT, 0));
	propose(&b, 2);
	packet(&b, 0, QUORUM_ACK, zab_zxid(1, 2), 0, 0);
	give(&b, (struct zab_event){.type = ZAB_EV_CONN_DOWN, .slot = 0});
	connect(&b, 0, 1);
	packet(&b, 0, QUORUM_ACKEPOCH, zab_zxid(1, 2), 0, -1);
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_TRUNC)->zxid,
			 zab_zxid(1, 1));
	/* It may have cut 1:2 now: the own disk alone is no quorum. */
	give(&b, (struct zab_event){.type = ZAB_EV_LOG_DURABLE,
				    .zxid = zab_zxid(1, 2)});
	assert_null(find(&b, ZAB_DO_COMMIT, 0));
	packet(&b, 0, QUORUM_ACK, zab_zxid(1, 0), 0, 0);
	packet(&b, 0, QUORUM_ACK, zab_zxid(1, 2), 0, 0);
	assert_int_equal(find(&b, ZAB_DO_COMMIT, 0)->zxid, zab_zxid(1, 2));
	tear_down(&b);
}

/* The learner holds all that is committed, so it would get an empty DIFF; it
 * misses nothing that a snapshot could bring, and gets one nevertheless. */
static void
snapshots_may_be_forced_on_everybody(void **state)
{
	for (int forces = 0; forces < 2; forces++) {
		struct bench b;
		const struct zab_action *snapshot;

		(void)state;
		set_up_with(&b, forces != 0, UINT32_MAX);
		reach_broadcast(&b);
		propose(&b, 1);
		give(&b, (struct zab_event){.type = ZAB_EV_LOG_DURABLE,
					    .zxid = zab_zxid(1, 1)});
		packet(&b, 0, QUORUM_ACK, zab_zxid(1, 1), 0, 0);
		give(&b,
		     (struct zab_event){.type = ZAB_EV_CONN_DOWN, .slot = 0});
		connect(&b, 0, 1);
		packet(&b, 0, QUORUM_ACKEPOCH, zab_zxid(1, 1), 0, -1);
		snapshot = find(&b, ZAB_DO_STREAM_SNAPSHOT, 0);
		assert_int_equal(snapshot != NULL, forces);
		assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_SNAP) != NULL,
				 forces);
		assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_DIFF) != NULL,
				 !forces);
		if (snapshot != NULL)
			assert_int_equal(snapshot->zxid, zab_zxid(1, 1));
		tear_down(&b);
	}
}

static void
acknowledgements_of_nothing_end_the_connection(void **state)
{
	const int64_t wrong[] = {zab_zxid(1, 3), zab_zxid(2, 0), zab_zxid(0, 9),
				 zab_zxid(2, 1)};

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		struct bench b;

		set_up(&b);
		reach_broadcast(&b);
		propose(&b, 1);
		packet(&b, 0, QUORUM_ACK, wrong[i], 0, 0);
		assert_int_equal(find(&b, ZAB_DO_CLOSE, 0)->slots, 1);
		assert_null(find(&b, ZAB_DO_COMMIT, 0));
		tear_down(&b);
	}
}

static void
a_newleader_ack_for_another_epoch_ends_the_connection(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	reach_discovery(&b);
	packet(&b, 0, QUORUM_ACKEPOCH, 0, 0, 0);
	durable(&b, 1, true);
	packet(&b, 0, QUORUM_ACK, zab_zxid(2, 0), 0, 0);
	assert_int_equal(find(&b, ZAB_DO_CLOSE, 0)->slots, 1);
	tear_down(&b);
}

static void
the_outstanding_limit_refuses_proposals(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	assert_int_equal(zab_next_zxid(b.core, NULL), 0);
	reach_broadcast(&b);
	for (int64_t n = 1; n <= 3; n++)
		propose(&b, n);
	assert_int_equal(zab_next_zxid(b.core, NULL), 0);
	packet(&b, 0, QUORUM_ACK, zab_zxid(1, 1), 0, 0);
	give(&b, (struct zab_event){.type = ZAB_EV_LOG_DURABLE,
				    .zxid = zab_zxid(1, 1)});
	assert_int_equal(zab_next_zxid(b.core, NULL), zab_zxid(1, 4));
	tear_down(&b);
}

/* How many packets of that type the last step sent to that slot, and the last
 * zxid of them. */
static uint32_t
sent(const struct bench *b, uint32_t slot, int32_t type, int64_t *last)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < b->out.count; i++) {
		const struct zab_action *action = &b->out.action[i];

		if (action->type != ZAB_DO_SEND || action->packet != type ||
		    !(action->slots & 1ull << slot))
			continue;
		count += (uint32_t)(action->zxid_last - action->zxid) + 1;
		*last = action->zxid_last;
	}
	return count;
}

/* Two leaders hear of the same: one of each transaction and ACK by itself, one
 * of the burst in a step and of the last ACK. They send the same packets, and
 * are the same afterwards. */
static void
a_burst_in_one_step_is_as_good_as_many(void **state)
{
	struct bench one, all;
	uint32_t proposals = 0, commits = 0;
	int64_t last = 0;

	(void)state;
	set_up(&one);
	set_up(&all);
	reach_broadcast(&one);
	reach_broadcast(&all);
	for (int64_t first = 1; first < 30; first += 3) {
		const struct zab_event flushed = {
			.type = ZAB_EV_LOG_DURABLE,
			.zxid = zab_zxid(1, first + 2)};

		proposals = 0;
		commits = 0;
		for (int64_t n = first; n < first + 3; n++) {
			propose(&one, n);
			proposals += sent(&one, 0, QUORUM_PROPOSAL, &last);
		}
		give(&one, flushed);
		for (int64_t n = first; n < first + 3; n++) {
			packet(&one, 0, QUORUM_ACK, zab_zxid(1, n), 0, 0);
			commits += sent(&one, 0, QUORUM_COMMIT, &last);
		}
		assert_int_equal(proposals, 3);
		assert_int_equal(commits, 3);
		assert_int_equal(zab_proposals_max(all.core), 3);
		give(&all, (struct zab_event){.type = ZAB_EV_PROPOSE,
					      .zxid = zab_zxid(1, first),
					      .count = 3});
		assert_int_equal(sent(&all, 0, QUORUM_PROPOSAL, &last), 3);
		assert_int_equal(last, zab_zxid(1, first + 2));
		assert_int_equal(zab_proposals_max(all.core), 0);
		give(&all, flushed);
		packet(&all, 0, QUORUM_ACK, flushed.zxid, 0, 0);
		assert_int_equal(sent(&all, 0, QUORUM_COMMIT, &last), 3);
		assert_int_equal(last, flushed.zxid);
		assert_memory_equal(one.core, all.core, zab_core_bytes());
	}
	tear_down(&one);
	tear_down(&all);
}

static void
the_same_server_again_replaces_its_older_connection(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	reach_broadcast(&b);
	connect(&b, 5, 1);
	assert_int_equal(find(&b, ZAB_DO_CLOSE, 0)->slots, 1);
	assert_int_equal(zab_learner_sid(b.core, 5), 1);
	assert_int_equal(zab_learner_sid(b.core, 0), ZAB_NO_SID);
	tear_down(&b);
}

static void
impossible_epochs_are_refused(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	give(&b, (struct zab_event){.type = ZAB_EV_CONN_UP, .slot = 0});
	packet(&b, 0, QUORUM_FOLLOWERINFO, zab_zxid(ZAB_EPOCH_MAX, 0), 1, 0);
	assert_int_equal(find(&b, ZAB_DO_CLOSE, 0)->slots, 1);
	give(&b, (struct zab_event){.type = ZAB_EV_CONN_UP, .slot = 1});
	packet(&b, 1, QUORUM_FOLLOWERINFO, zab_zxid(-2, 0), 1, 0);
	assert_int_equal(find(&b, ZAB_DO_CLOSE, 0)->slots, 2);
	tear_down(&b);
}

/* One tick after another until `end_ms`; true if the leader stepped down. */
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

/* Server 1 sends beacons; it is synchronized. */
static void
reach_broadcast_with_beacons(struct bench *b)
{
	give(b, (struct zab_event){.type = ZAB_EV_CONN_UP, .slot = 0});
	give(b, (struct zab_event){.type = ZAB_EV_PACKET,
				   .packet = QUORUM_FOLLOWERINFO,
				   .sid = 1,
				   .beacon_ms = 20});
	assert_int_equal(find(b, ZAB_DO_SEND, QUORUM_LEADERINFO)->beacon_ms,
			 20);
	durable(b, 1, false);
	packet(b, 0, QUORUM_ACKEPOCH, 0, 0, 0);
	durable(b, 1, true);
	packet(b, 0, QUORUM_ACK, zab_zxid(1, 0), 0, 0);
}

static void
only_who_sends_beacons_is_missed_early(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	reach_broadcast(&b);
	/* A peer without them: two PINGs a tick, and patience. */
	assert_int_equal(zab_wake_ms(b.core), 2000);
	assert_false(ticks_until(&b, 3900));
	tear_down(&b);

	set_up(&b);
	reach_broadcast_with_beacons(&b);
	b.now_ms = 1020;
	give(&b, (struct zab_event){.type = ZAB_EV_TICK});
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_PING)->slots, 1);
	/* Not before it has answered once: it may be far away. */
	assert_false(ticks_until(&b, 1500));
	packet(&b, 0, QUORUM_PING, 0, 0, 0);
	assert_false(ticks_until(&b, 1599));
	assert_true(ticks_until(&b, 1640));
	assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why, ZAB_WHY_BEACONS_LOST);
	tear_down(&b);
}

static void
who_was_asleep_itself_blames_nobody(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	reach_broadcast_with_beacons(&b);
	assert_false(ticks_until(&b, 1100));
	packet(&b, 0, QUORUM_PING, 0, 0, 0);
	b.now_ms = 1900; /* stopped meanwhile: the tick comes first */
	give(&b, (struct zab_event){.type = ZAB_EV_TICK});
	assert_null(find(&b, ZAB_DO_STATE, 0));
	packet(&b, 0, QUORUM_PING, 0, 0, 0);
	assert_false(ticks_until(&b, 1999));
	/* Bytes without a packet prove it, too. */
	give(&b, (struct zab_event){.type = ZAB_EV_HEARD, .slot = 0});
	assert_false(ticks_until(&b, 2098));
	assert_true(ticks_until(&b, 2140));
	tear_down(&b);
}

/* Its echoes come late, behind megabytes on their way to it. */
static void
a_follower_that_says_that_it_lives_is_not_missed(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	reach_broadcast_with_beacons(&b);
	assert_false(ticks_until(&b, 1100));
	packet(&b, 0, QUORUM_PING, 0, 0, 0);
	for (uint32_t i = 0; i < 200; i++) {
		assert_false(ticks_until(&b, b.now_ms + 40));
		packet(&b, 0, QUORUM_PING, ZAB_NO_ZXID, 0, 0);
	}
	assert_true(ticks_until(&b, b.now_ms + 141));
	assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why, ZAB_WHY_BEACONS_LOST);
	tear_down(&b);
}

/* It told so: the time is its own until it says something else. */
static void
a_follower_that_says_that_it_is_busy_is_not_missed(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	reach_broadcast_with_beacons(&b);
	assert_false(ticks_until(&b, 1100));
	packet(&b, 0, QUORUM_PING, 0, 0, 0);
	packet(&b, 0, QUORUM_PING, ZAB_NO_ZXID - 300, 0, 0);
	/* Bytes of that PING may be told once more. */
	give(&b, (struct zab_event){.type = ZAB_EV_HEARD, .slot = 0});
	assert_false(ticks_until(&b, b.now_ms + 399));
	assert_true(ticks_until(&b, b.now_ms + 42));
	assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why, ZAB_WHY_BEACONS_LOST);
	tear_down(&b);

	set_up(&b);
	reach_broadcast_with_beacons(&b);
	assert_false(ticks_until(&b, 1100));
	packet(&b, 0, QUORUM_PING, 0, 0, 0);
	packet(&b, 0, QUORUM_PING, ZAB_NO_ZXID - 300, 0, 0);
	packet(&b, 0, QUORUM_PING, ZAB_NO_ZXID, 0, 0);
	assert_true(ticks_until(&b, b.now_ms + 141));
	tear_down(&b);

	/* Whatever it says, it is not waited for longer than half a second. */
	set_up(&b);
	reach_broadcast_with_beacons(&b);
	assert_false(ticks_until(&b, 1100));
	packet(&b, 0, QUORUM_PING, 0, 0, 0);
	packet(&b, 0, QUORUM_PING, INT64_MIN, 0, 0);
	assert_false(ticks_until(&b, b.now_ms + 599));
	assert_true(ticks_until(&b, b.now_ms + 42));
	tear_down(&b);
}

static void
a_leader_that_will_be_busy_tells_who_sends_beacons(void **state)
{
	const struct zab_action *said;
	struct bench b;

	(void)state;
	set_up(&b);
	reach_broadcast(&b);
	give(&b, (struct zab_event){.type = ZAB_EV_BUSY, .busy_ms = 40});
	assert_null(find(&b, ZAB_DO_SEND, QUORUM_PING));
	tear_down(&b);

	set_up(&b);
	reach_broadcast_with_beacons(&b);
	give(&b, (struct zab_event){.type = ZAB_EV_BUSY, .busy_ms = 40});
	said = find(&b, ZAB_DO_SEND, QUORUM_PING);
	assert_non_null(said);
	assert_int_equal(said->slots, 1);
	assert_int_equal(said->zxid, ZAB_NO_ZXID - 40);
	assert_int_equal(said->zxid_last, said->zxid);
	give(&b, (struct zab_event){.type = ZAB_EV_BUSY, .busy_ms = 0});
	assert_null(find(&b, ZAB_DO_SEND, QUORUM_PING));
	tear_down(&b);
}

/* As a follower: see test_zab_follow.c. */
static void
a_leader_without_cpu_does_not_step_down(void **state)
{
	uint64_t end_ms;
	struct bench b;

	(void)state;
	set_up(&b);
	reach_broadcast_with_beacons(&b);
	assert_false(ticks_until(&b, 1100));
	packet(&b, 0, QUORUM_PING, 0, 0, 0);
	end_ms = b.now_ms + 210;
	while (b.now_ms < end_ms) {
		assert_false(ticks_until(&b, b.now_ms + 10));
		b.now_ms += 60;
		give(&b, (struct zab_event){.type = ZAB_EV_TICK});
		assert_null(find(&b, ZAB_DO_STATE, 0));
	}
	packet(&b, 0, QUORUM_PING, 0, 0, 0);
	assert_true(ticks_until(&b, b.now_ms + 141));
	assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why, ZAB_WHY_BEACONS_LOST);
	tear_down(&b);
}

/* leader.maxTimeToWaitForEpoch: a voter that chose somebody else is waited for
 * so long, but not longer, and for ever where nothing is set. */
static void
a_leader_waits_for_voters_that_left_as_long_as_it_was_told(void **state)
{
	static const uint32_t waits[] = {150, 1700, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct bench b;
		struct zab_view view;

		set_up_with(&b, false, waits[i]);
		give(&b, (struct zab_event){
				 .type = ZAB_EV_FLE,
				 .sid = 2,
				 .notification = {FLE_LOOKING, 3, 2, 0, 2, 0}});
		zab_view(b.core, &view);
		assert_int_equal(view.role, FLE_LEADING);
		if (waits[i] == UINT32_MAX) {
			b.now_ms += 5000;
			give(&b, (struct zab_event){.type = ZAB_EV_TICK});
			zab_view(b.core, &view);
			assert_int_equal(view.role, FLE_LEADING);
		} else {
			b.now_ms += waits[i] - 1;
			give(&b, (struct zab_event){.type = ZAB_EV_TICK});
			zab_view(b.core, &view);
			assert_int_equal(view.role, FLE_LEADING);
			b.now_ms += 1;
			give(&b, (struct zab_event){.type = ZAB_EV_TICK});
			assert_int_equal(find(&b, ZAB_DO_STATE, 0)->why,
					 ZAB_WHY_DISLOYAL);
		}
		tear_down(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leader_waits_for_its_own_disk),
		cmocka_unit_test(a_promise_given_before_does_not_count_again),
		cmocka_unit_test(
			a_server_without_a_vote_neither_promises_nor_holds_history),
		cmocka_unit_test(
			a_server_that_was_not_initialized_gets_a_snapshot),
		cmocka_unit_test(who_reconnects_must_acknowledge_again),
		cmocka_unit_test(snapshots_may_be_forced_on_everybody),
		cmocka_unit_test(
			acknowledgements_of_nothing_end_the_connection),
		cmocka_unit_test(
			a_newleader_ack_for_another_epoch_ends_the_connection),
		cmocka_unit_test(the_outstanding_limit_refuses_proposals),
		cmocka_unit_test(a_burst_in_one_step_is_as_good_as_many),
		cmocka_unit_test(
			the_same_server_again_replaces_its_older_connection),
		cmocka_unit_test(impossible_epochs_are_refused),
		cmocka_unit_test(only_who_sends_beacons_is_missed_early),
		cmocka_unit_test(
			a_follower_that_says_that_it_is_busy_is_not_missed),
		cmocka_unit_test(
			a_leader_that_will_be_busy_tells_who_sends_beacons),
		cmocka_unit_test(who_was_asleep_itself_blames_nobody),
		cmocka_unit_test(
			a_follower_that_says_that_it_lives_is_not_missed),
		cmocka_unit_test(a_leader_without_cpu_does_not_step_down),
		cmocka_unit_test(
			a_leader_waits_for_voters_that_left_as_long_as_it_was_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
