/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    What a follower that serves observers must not believe of them, and
 *         what it must not tell them: nothing that is not committed and durable
 *         here, nothing to who is no observer, nothing once it has no leader.
 * Method  one core is made follower of server 3 by hand; server 4 and others
 *         observe through it, packet by packet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/zab.h"

#define LEADER   3
#define OBSERVER 4
#define TICK_MS  2000

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
packet_of(struct bench *b, uint32_t slot, int32_t type, int64_t zxid,
	  int64_t number)
{
	give(b, (struct zab_event){.type = ZAB_EV_PACKET,
				   .slot = slot,
				   .packet = type,
				   .zxid = zxid,
				   .sid = number,
				   .epoch = number});
}

static void
from_leader(struct bench *b, int32_t type, int64_t zxid)
{
	packet_of(b, ZAB_LEADER_SLOT, type, zxid, 0);
}

static void
flush(struct bench *b, int64_t zxid)
{
	give(b, (struct zab_event){.type = ZAB_EV_LOG_DURABLE, .zxid = zxid});
}

static void
tick(struct bench *b, uint64_t ms)
{
	b->now_ms += ms;
	give(b, (struct zab_event){.type = ZAB_EV_TICK});
}

/* Three voters and an observer; this one is 1 and has 1:1 to 1:4. */
static void
make(struct bench *b, struct zab_core_options options)
{
	struct zab_history history = {
		.last_zxid = zab_zxid(1, 4),
		.row_count = 1,
		.row = {{zab_zxid(1, 1), zab_zxid(1, 4)}}};
	struct quorum members = {.member_count = 4};
	struct zab_disk_state disk = {.history = &history,
				      .active = &members,
				      .accepted_epoch = 1,
				      .current_epoch = 1,
				      .committed_zxid = zab_zxid(1, 2)};

	for (uint32_t i = 0; i < 4; i++)
		members.member[i] = (struct quorum_member){
			.sid = i + 1, .weight = 1, .is_voter = i < 3};
	assert_int_equal(quorum_check(&members), 0);
	options.tick_ms = TICK_MS;
	options.init_limit = 5;
	options.sync_limit = 2;
	options.finalize_ms = 200;
	options.notify_min_ms = 200;
	options.notify_max_ms = 1600;
	options.dial_retry_ms = 100;
	options.dial_tries = 5;
	options.outstanding_max = 100;
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
	assert_non_null(find(b, ZAB_DO_DIAL, 0));
}

static void
be_followed(struct bench *b)
{
	give(b, (struct zab_event){.type = ZAB_EV_CONN_UP,
				   .slot = ZAB_LEADER_SLOT});
	from_leader(b, QUORUM_LEADERINFO, zab_zxid(2, 0));
	give(b, (struct zab_event){.type = ZAB_EV_EPOCH_DURABLE, .epoch = 2});
	from_leader(b, QUORUM_DIFF, zab_zxid(1, 4));
	from_leader(b, QUORUM_NEWLEADER, zab_zxid(2, 0));
	give(b, (struct zab_event){.type = ZAB_EV_EPOCH_DURABLE,
				   .epoch = 2,
				   .is_current = true});
}

/* A follower in broadcast that serves observers. */
static void
set_up(struct bench *b)
{
	make(b,
	     (struct zab_core_options){.sid = 1, .has_observer_masters = true});
	be_followed(b);
	from_leader(b, QUORUM_UPTODATE, -1);
	assert_non_null(find(b, ZAB_DO_STATE, 0));
	assert_true(find(b, ZAB_DO_STATE, 0)->is_serving);
}

static void
tear_down(struct bench *b)
{
	free(b->core);
}

static void
come(struct bench *b, uint32_t slot, bool is_master)
{
	give(b, (struct zab_event){.type = ZAB_EV_CONN_UP,
				   .slot = slot,
				   .is_master = is_master});
}

static void
ask(struct bench *b, uint32_t slot, int64_t sid, int64_t accepted)
{
	come(b, slot, true);
	assert_int_equal(b->out.count, 0);
	packet_of(b, slot, QUORUM_OBSERVERINFO, zab_zxid(accepted, 0), sid);
}

/* Up to ACTIVE; it holds zxid. */
static void
observe(struct bench *b, uint32_t slot, int64_t zxid)
{
	ask(b, slot, OBSERVER, 2);
	packet_of(b, slot, QUORUM_ACKEPOCH, zxid, -1);
	packet_of(b, slot, QUORUM_ACK, zab_zxid(2, 0), 0);
	assert_non_null(find(b, ZAB_DO_SEND, QUORUM_UPTODATE));
}

static void
assert_closed(const struct bench *b, uint32_t slot, enum zab_reason why)
{
	const struct zab_action *close = find(b, ZAB_DO_CLOSE, 0);

	assert_non_null(close);
	assert_int_equal(close->slots, 1ull << slot);
	assert_string_equal(zab_reason_text(close->why), zab_reason_text(why));
}

static void
an_observer_is_synchronized_and_informed(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	ask(&b, 0, OBSERVER, 1);
	const struct zab_action *send =
		find(&b, ZAB_DO_SEND, QUORUM_LEADERINFO);

	assert_non_null(send);
	assert_int_equal(send->zxid, zab_zxid(2, 0));
	assert_int_equal(send->beacon_ms, 0);
	packet_of(&b, 0, QUORUM_ACKEPOCH, zab_zxid(1, 2), 1);
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_DIFF)->zxid,
			 zab_zxid(1, 4));
	send = find(&b, ZAB_DO_STREAM_HISTORY, 0);
	assert_int_equal(send->zxid, zab_zxid(1, 2));
	assert_int_equal(send->zxid_last, zab_zxid(1, 4));
	assert_non_null(find(&b, ZAB_DO_SEND, QUORUM_NEWLEADER));
	packet_of(&b, 0, QUORUM_ACK, zab_zxid(2, 0), 0);
	assert_non_null(find(&b, ZAB_DO_SEND, QUORUM_UPTODATE));
	assert_null(find(&b, ZAB_DO_SEND, QUORUM_INFORM));
	packet_of(&b, 0, QUORUM_ACK, zab_zxid(2, 0), 0); /* of UPTODATE */
	assert_int_equal(b.out.count, 0);
	from_leader(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	assert_null(find(&b, ZAB_DO_SEND, QUORUM_INFORM));
	from_leader(&b, QUORUM_COMMIT, zab_zxid(2, 1));
	send = find(&b, ZAB_DO_SEND, QUORUM_INFORM);
	assert_int_equal(send->slots, 1);
	assert_int_equal(send->zxid, zab_zxid(2, 1));
	tear_down(&b);
}

static void
history_is_what_is_committed_and_durable(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	for (int64_t n = 1; n <= 3; n++)
		from_leader(&b, QUORUM_PROPOSAL, zab_zxid(2, n));
	flush(&b, zab_zxid(2, 1));
	from_leader(&b, QUORUM_COMMIT, zab_zxid(2, 1));
	from_leader(&b, QUORUM_COMMIT, zab_zxid(2, 2));
	ask(&b, 0, OBSERVER, 2);
	packet_of(&b, 0, QUORUM_ACKEPOCH, zab_zxid(1, 4), -1);
	assert_int_equal(find(&b, ZAB_DO_STREAM_HISTORY, 0)->zxid_last,
			 zab_zxid(2, 1));
	from_leader(&b, QUORUM_COMMIT, zab_zxid(2, 3));
	assert_null(find(&b, ZAB_DO_SEND, 0)); /* not before its ACK */
	packet_of(&b, 0, QUORUM_ACK, zab_zxid(2, 0), 0);
	const struct zab_action *send = find(&b, ZAB_DO_SEND, QUORUM_INFORM);

	assert_int_equal(send->zxid, zab_zxid(2, 2));
	assert_int_equal(send->zxid_last, zab_zxid(2, 3));
	tear_down(&b);
}

static void
who_is_further_waits_and_is_not_cut(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	from_leader(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	flush(&b, zab_zxid(2, 1));
	ask(&b, 0, OBSERVER, 2);
	packet_of(&b, 0, QUORUM_ACKEPOCH, zab_zxid(2, 1), -1);
	assert_int_equal(b.out.count, 0);
	from_leader(&b, QUORUM_COMMIT, zab_zxid(2, 1));
	assert_int_equal(find(&b, ZAB_DO_SEND, QUORUM_DIFF)->zxid,
			 zab_zxid(2, 1));
	/* Another one waits in vain. */
	ask(&b, 1, 5, 2);
	packet_of(&b, 1, QUORUM_ACKEPOCH, zab_zxid(2, 9), -1);
	assert_int_equal(b.out.count, 0);
	for (int i = 0; i < 5 && find(&b, ZAB_DO_CLOSE, 0) == NULL; i++) {
		from_leader(&b, QUORUM_PING, zab_zxid(2, 1));
		tick(&b, TICK_MS);
	}
	assert_closed(&b, 1, ZAB_WHY_MASTER_BEHIND);
	tear_down(&b);
}

static void
strangers_are_sent_away(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	come(&b, 0, true);
	packet_of(&b, 0, QUORUM_FOLLOWERINFO, zab_zxid(1, 0), OBSERVER);
	assert_closed(&b, 0, ZAB_WHY_NO_MASTER);
	ask(&b, 0, OBSERVER, 3); /* knows a later epoch */
	assert_closed(&b, 0, ZAB_WHY_MASTER_BEHIND);
	ask(&b, 0, OBSERVER, 2);
	packet_of(&b, 0, QUORUM_ACKEPOCH, zab_zxid(3, 1), -1);
	assert_closed(&b, 0, ZAB_WHY_MASTER_BEHIND);
	ask(&b, 0, 1, 1); /* this very server */
	assert_closed(&b, 0, ZAB_WHY_PEER_PROTOCOL);
	come(&b, 0, true);
	packet_of(&b, 0, QUORUM_ACKEPOCH, zab_zxid(1, 4), -1);
	assert_closed(&b, 0, ZAB_WHY_PEER_PROTOCOL);
	come(&b, 0, true);
	packet_of(&b, 0, QUORUM_REQUEST, -1, 0);
	assert_closed(&b, 0, ZAB_WHY_PEER_PROTOCOL);
	come(&b, 0, false); /* at the quorum port */
	assert_closed(&b, 0, ZAB_WHY_NOT_LEADING);
	tear_down(&b);
}

static void
acknowledgements_of_nothing_are_refused(void **state)
{
	const int64_t wrong[] = {zab_zxid(1, 0), zab_zxid(3, 0),
				 zab_zxid(2, 7)};
	struct bench b;

	(void)state;
	set_up(&b);
	for (size_t i = 0; i < 3; i++) {
		ask(&b, 0, OBSERVER, 2);
		packet_of(&b, 0, QUORUM_ACKEPOCH, zab_zxid(1, 4), -1);
		packet_of(&b, 0, QUORUM_ACK, wrong[i], 0);
		assert_closed(&b, 0, ZAB_WHY_PEER_PROTOCOL);
	}
	/* Before it was told what there is to acknowledge. */
	ask(&b, 0, OBSERVER, 2);
	packet_of(&b, 0, QUORUM_ACK, zab_zxid(2, 0), 0);
	assert_closed(&b, 0, ZAB_WHY_PEER_PROTOCOL);
	/* Older servers acknowledge their history. */
	ask(&b, 0, OBSERVER, 2);
	packet_of(&b, 0, QUORUM_ACKEPOCH, zab_zxid(1, 2), -1);
	packet_of(&b, 0, QUORUM_ACK, zab_zxid(1, 3), 0);
	assert_int_equal(b.out.count, 0);
	tear_down(&b);
}

/* Its vote comes back from a leader that has proved that its reign holds. */
static void
a_voter_without_a_vote_is_not_synchronized(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	ask(&b, 0, 2, 1);
	packet_of(&b, 0, QUORUM_ACKEPOCH, -1, -1);
	assert_closed(&b, 0, ZAB_WHY_NO_MASTER);
	ask(&b, 0, OBSERVER, 1);
	packet_of(&b, 0, QUORUM_ACKEPOCH, -1, -1);
	assert_non_null(find(&b, ZAB_DO_SEND, QUORUM_SNAP));
	tear_down(&b);
}

static void
only_a_follower_in_broadcast_is_a_master(void **state)
{
	struct bench b;

	(void)state;
	make(&b,
	     (struct zab_core_options){.sid = 1, .has_observer_masters = true});
	come(&b, 0, true);
	assert_closed(&b, 0, ZAB_WHY_NO_MASTER);
	be_followed(&b);
	come(&b, 0, true);
	assert_closed(&b, 0, ZAB_WHY_NO_MASTER);
	from_leader(&b, QUORUM_UPTODATE, -1);
	observe(&b, 0, zab_zxid(1, 4));
	/* The leader is lost, and its observers go with it. */
	give(&b, (struct zab_event){.type = ZAB_EV_CONN_DOWN,
				    .slot = ZAB_LEADER_SLOT});
	assert_closed(&b, 0, ZAB_WHY_NO_MASTER);
	come(&b, 0, true);
	assert_closed(&b, 0, ZAB_WHY_NO_MASTER);
	tear_down(&b);
	make(&b, (struct zab_core_options){.sid = 1});
	be_followed(&b);
	from_leader(&b, QUORUM_UPTODATE, -1);
	come(&b, 0, true);
	assert_closed(&b, 0, ZAB_WHY_NO_MASTER);
	tear_down(&b);
}

static void
pings_go_out_and_silence_is_noticed(void **state)
{
	struct bench b;
	uint32_t pings = 0;

	(void)state;
	set_up(&b);
	observe(&b, 5, zab_zxid(1, 4));
	for (int i = 0; i < 8; i++) {
		from_leader(&b, QUORUM_PING, zab_zxid(2, 0));
		packet_of(&b, 5, QUORUM_PING, zab_zxid(1, 4), 0);
		tick(&b, TICK_MS / 2);
		pings += find(&b, ZAB_DO_SEND, QUORUM_PING) != NULL;
		assert_true(zab_wake_ms(b.core) <= b.now_ms + TICK_MS / 2);
	}
	assert_int_equal(pings, 8);
	for (int i = 0; i < 4 && find(&b, ZAB_DO_CLOSE, 0) == NULL; i++) {
		from_leader(&b, QUORUM_PING, zab_zxid(2, 0));
		tick(&b, TICK_MS / 2);
	}
	assert_closed(&b, 5, ZAB_WHY_PEER_SILENT);
	tear_down(&b);
}

static void
the_same_observer_again_replaces_itself(void **state)
{
	struct bench b;
	struct zab_view view;

	(void)state;
	set_up(&b);
	observe(&b, 0, zab_zxid(1, 4));
	ask(&b, 1, OBSERVER, 2);
	assert_closed(&b, 0, ZAB_WHY_PEER_AGAIN);
	zab_view(b.core, &view);
	assert_int_equal(view.learners, 2);
	assert_int_equal(view.synced, 0);
	assert_int_equal(view.master, LEADER);
	from_leader(&b, QUORUM_PROPOSAL, zab_zxid(2, 1));
	from_leader(&b, QUORUM_COMMIT, zab_zxid(2, 1));
	assert_null(find(&b, ZAB_DO_SEND, QUORUM_INFORM));
	tear_down(&b);
}

/* Followers first, each dial another one, the leader last. */
static void
an_observer_takes_masters_in_turn(void **state)
{
	const int64_t wanted[] = {2, 3, 1, 2, 3};
	struct bench b;
	const struct zab_action *dial;

	(void)state;
	make(&b, (struct zab_core_options){.sid = OBSERVER,
					   .has_observer_masters = true});
	dial = find(&b, ZAB_DO_DIAL, 0);
	assert_int_equal(dial->sid, 1);
	assert_true(dial->is_master);
	for (size_t i = 0; i < 4; i++) {
		give(&b, (struct zab_event){.type = ZAB_EV_CONN_DOWN,
					    .slot = ZAB_LEADER_SLOT});
		tick(&b, 100);
		dial = find(&b, ZAB_DO_DIAL, 0);
		assert_non_null(dial);
		assert_int_equal(dial->sid, wanted[i]);
		assert_int_equal(dial->is_master, wanted[i] != LEADER);
	}
	tear_down(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_observer_is_synchronized_and_informed),
		cmocka_unit_test(history_is_what_is_committed_and_durable),
		cmocka_unit_test(who_is_further_waits_and_is_not_cut),
		cmocka_unit_test(strangers_are_sent_away),
		cmocka_unit_test(acknowledgements_of_nothing_are_refused),
		cmocka_unit_test(a_voter_without_a_vote_is_not_synchronized),
		cmocka_unit_test(only_a_follower_in_broadcast_is_a_master),
		cmocka_unit_test(pings_go_out_and_silence_is_noticed),
		cmocka_unit_test(the_same_observer_again_replaces_itself),
		cmocka_unit_test(an_observer_takes_masters_in_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
