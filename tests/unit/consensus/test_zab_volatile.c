/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    An observer whose log is in memory only promises nothing that a crash
 *         takes away: no currentEpoch on the disk for what is not there, no
 *         truncation of what is not there, and no vote before it is back at
 *         what the disk holds.
 * Method  one core is made an observer by hand; its disk holds 1:1 to 1:4.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/zab.h"

#define LEADER 3
#define OWN    4

struct bench {
	struct zab_core *core;
	struct quorum members;
	struct zab_history history;
	struct zab_actions out;
};

static void
give(struct bench *b, struct zab_event event)
{
	event.now_ms = 1000;
	zab_step(b->core, &event, &b->out);
}

static const struct zab_action *
find(const struct bench *b, enum zab_action_type type)
{
	for (uint32_t i = 0; i < b->out.count; i++)
		if (b->out.action[i].type == type)
			return &b->out.action[i];
	return NULL;
}

static void
packet(struct bench *b, int32_t type, int64_t zxid, const struct quorum *config)
{
	give(b, (struct zab_event){.type = ZAB_EV_PACKET,
				   .slot = ZAB_LEADER_SLOT,
				   .packet = type,
				   .zxid = zxid,
				   .sid = -1,
				   .config = config});
}

static void
elect(struct bench *b, int64_t epoch, int64_t round)
{
	memset(&b->out, 0, sizeof(b->out));
	/* As many as it takes: three of four voters, or two of three. */
	for (int64_t sid = 3; sid >= 1 && !find(b, ZAB_DO_DIAL); sid--)
		give(b, (struct zab_event){
				.type = ZAB_EV_FLE,
				.sid = sid,
				.notification = {sid == 3 ? FLE_LEADING
							  : FLE_FOLLOWING,
						 2, LEADER, 0, round, epoch}});
	assert_non_null(find(b, ZAB_DO_DIAL));
	give(b, (struct zab_event){.type = ZAB_EV_CONN_UP,
				   .slot = ZAB_LEADER_SLOT});
	packet(b, QUORUM_LEADERINFO, zab_zxid(epoch, 0), NULL);
	if (find(b, ZAB_DO_PERSIST_ACCEPTED))
		give(b, (struct zab_event){.type = ZAB_EV_EPOCH_DURABLE,
					   .epoch = epoch});
}

/* The history has come, NEWLEADER has not. */
static void
get_history(struct bench *b)
{
	const struct zab_core_options options = {.sid = OWN,
						 .tick_ms = 2000,
						 .init_limit = 5,
						 .sync_limit = 2,
						 .finalize_ms = 200,
						 .notify_min_ms = 200,
						 .notify_max_ms = 1600,
						 .dial_retry_ms = 100,
						 .dial_tries = 5,
						 .outstanding_max = 100,
						 .is_reconfig_enabled = true,
						 .is_log_volatile = true};
	struct zab_disk_state disk = {.history = &b->history,
				      .active = &b->members,
				      .accepted_epoch = 1,
				      .current_epoch = 1,
				      .committed_zxid = zab_zxid(1, 4)};

	memset(b, 0, sizeof(*b));
	b->history =
		(struct zab_history){.last_zxid = zab_zxid(1, 4),
				     .row_count = 1,
				     .row = {{zab_zxid(1, 1), zab_zxid(1, 4)}}};
	b->members.member_count = 4;
	for (uint32_t i = 0; i < 4; i++)
		b->members.member[i] = (struct quorum_member){
			.sid = i + 1, .weight = 1, .is_voter = i < 3};
	assert_int_equal(quorum_check(&b->members), 0);
	b->core = calloc(1, zab_core_bytes());
	assert_non_null(b->core);
	assert_int_equal(zab_init(b->core, &options), 0);
	give(b, (struct zab_event){.type = ZAB_EV_START, .disk = &disk});
	elect(b, 2, 7);
	packet(b, QUORUM_DIFF, zab_zxid(1, 5), NULL);
	packet(b, QUORUM_PROPOSAL, zab_zxid(1, 5), NULL);
	packet(b, QUORUM_COMMIT, zab_zxid(1, 5), NULL);
	give(b, (struct zab_event){.type = ZAB_EV_LOG_DURABLE,
				   .zxid = zab_zxid(1, 5)});
}

static void
set_up(struct bench *b)
{
	get_history(b);
	packet(b, QUORUM_NEWLEADER, zab_zxid(2, 0), NULL);
}

static void
end_connection(struct bench *b)
{
	give(b, (struct zab_event){.type = ZAB_EV_CONN_DOWN,
				   .slot = ZAB_LEADER_SLOT});
}

static void
reloaded(struct bench *b)
{
	const struct zab_disk_state disk = {.history = &b->history,
					    .committed_zxid = zab_zxid(1, 4)};

	give(b, (struct zab_event){.type = ZAB_EV_RELOADED, .disk = &disk});
}

static void
the_disk_does_not_vouch_for_memory(void **state)
{
	struct bench b;
	struct zab_view view;

	(void)state;
	set_up(&b);
	assert_null(find(&b, ZAB_DO_PERSIST_CURRENT));
	assert_int_equal(find(&b, ZAB_DO_SEND)->packet, QUORUM_ACK);
	packet(&b, QUORUM_UPTODATE, -1, NULL);
	zab_view(b.core, &view);
	assert_true(view.is_serving);
	assert_int_equal(view.committed_zxid, zab_zxid(1, 5));
	free(b.core);
}

/* A snapshot is on the disk, and so is the epoch that it belongs to. */
static void
a_snapshot_is_kept_with_its_epoch(void **state)
{
	struct bench b;

	(void)state;
	set_up(&b);
	packet(&b, QUORUM_UPTODATE, -1, NULL);
	end_connection(&b);
	elect(&b, 3, 8);
	packet(&b, QUORUM_SNAP, zab_zxid(2, 9), NULL);
	give(&b, (struct zab_event){.type = ZAB_EV_SNAP_INSTALLED,
				    .zxid = zab_zxid(2, 9)});
	packet(&b, QUORUM_NEWLEADER, zab_zxid(3, 0), NULL);
	assert_int_equal(find(&b, ZAB_DO_PERSIST_CURRENT)->epoch, 3);
	free(b.core);
}

static void
what_is_only_in_memory_is_not_cut_but_read_again(void **state)
{
	struct bench b;
	struct zab_view view;

	(void)state;
	set_up(&b);
	end_connection(&b); /* 1:5 was never committed */
	elect(&b, 3, 8);
	packet(&b, QUORUM_TRUNC, zab_zxid(1, 4), NULL);
	assert_null(find(&b, ZAB_DO_TRUNCATE));
	assert_non_null(find(&b, ZAB_DO_CLOSE));
	assert_int_equal(b.out.action[b.out.count - 1].type, ZAB_DO_RELOAD);
	reloaded(&b);
	zab_view(b.core, &view);
	assert_int_equal(view.last_zxid, zab_zxid(1, 4));
	/* The next leader may cut what the disk does hold. */
	elect(&b, 3, 9);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 4), NULL);
	assert_null(find(&b, ZAB_DO_CLOSE));
	free(b.core);
}

static void
who_becomes_a_voter_goes_back_to_its_disk(void **state)
{
	struct bench b;
	struct quorum voters;
	struct zab_view view;

	(void)state;
	set_up(&b);
	packet(&b, QUORUM_UPTODATE, -1, NULL);
	voters = b.members;
	voters.member[OWN - 1].is_voter = 1;
	voters.version = zab_zxid(2, 1);
	assert_int_equal(quorum_check(&voters), 0);
	packet(&b, QUORUM_INFORMANDACTIVATE, zab_zxid(2, 1), &voters);
	give(&b, (struct zab_event){.type = ZAB_EV_LOG_DURABLE,
				    .zxid = zab_zxid(2, 1)});
	give(&b, (struct zab_event){.type = ZAB_EV_CONFIG_DURABLE,
				    .zxid = zab_zxid(2, 1)});
	assert_non_null(find(&b, ZAB_DO_KEEP_LOG));
	assert_int_equal(b.out.action[b.out.count - 1].type, ZAB_DO_RELOAD);
	assert_null(find(&b, ZAB_DO_SEND_FLE)); /* no vote before */
	reloaded(&b);
	assert_int_equal(find(&b, ZAB_DO_SEND_FLE)->notification.zxid,
			 zab_zxid(1, 4));
	zab_view(b.core, &view);
	assert_int_equal(view.current_epoch, 1);
	assert_int_equal(view.accepted_epoch, 2);
	/* From now on like any other. */
	elect(&b, 3, 9);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 5), NULL);
	packet(&b, QUORUM_PROPOSAL, zab_zxid(1, 5), NULL);
	packet(&b, QUORUM_COMMIT, zab_zxid(1, 5), NULL);
	give(&b, (struct zab_event){.type = ZAB_EV_LOG_DURABLE,
				    .zxid = zab_zxid(1, 5)});
	packet(&b, QUORUM_NEWLEADER, zab_zxid(3, 0), NULL);
	assert_int_equal(find(&b, ZAB_DO_PERSIST_CURRENT)->epoch, 3);
	free(b.core);
}

/* The leader found a reconfiguration in its log that makes this server a voter,
 * and counts its acknowledgement for it. */
static void
who_is_counted_as_a_voter_keeps_its_log_first(void **state)
{
	struct bench b;
	struct quorum voters;

	(void)state;
	get_history(&b);
	voters = b.members;
	voters.member[OWN - 1].is_voter = 1;
	voters.version = zab_zxid(1, 5);
	assert_int_equal(quorum_check(&voters), 0);
	packet(&b, QUORUM_NEWLEADER, zab_zxid(2, 0), &voters);
	assert_null(find(&b, ZAB_DO_SEND)); /* no acknowledgement */
	assert_non_null(find(&b, ZAB_DO_CLOSE));
	assert_non_null(find(&b, ZAB_DO_KEEP_LOG));
	assert_int_equal(b.out.action[b.out.count - 1].type, ZAB_DO_RELOAD);
	reloaded(&b);
	/* An observer still, that keeps what it acknowledges. */
	elect(&b, 2, 8);
	packet(&b, QUORUM_DIFF, zab_zxid(1, 5), NULL);
	packet(&b, QUORUM_PROPOSAL, zab_zxid(1, 5), NULL);
	packet(&b, QUORUM_COMMIT, zab_zxid(1, 5), NULL);
	give(&b, (struct zab_event){.type = ZAB_EV_LOG_DURABLE,
				    .zxid = zab_zxid(1, 5)});
	packet(&b, QUORUM_NEWLEADER, zab_zxid(2, 0), &voters);
	give(&b, (struct zab_event){.type = ZAB_EV_CONFIG_DURABLE,
				    .zxid = zab_zxid(1, 5)});
	assert_int_equal(find(&b, ZAB_DO_PERSIST_CURRENT)->epoch, 2);
	give(&b, (struct zab_event){.type = ZAB_EV_EPOCH_DURABLE,
				    .epoch = 2,
				    .is_current = true});
	assert_int_equal(find(&b, ZAB_DO_SEND)->packet, QUORUM_ACK);
	free(b.core);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_disk_does_not_vouch_for_memory),
		cmocka_unit_test(a_snapshot_is_kept_with_its_epoch),
		cmocka_unit_test(
			what_is_only_in_memory_is_not_cut_but_read_again),
		cmocka_unit_test(who_becomes_a_voter_goes_back_to_its_disk),
		cmocka_unit_test(who_is_counted_as_a_voter_keeps_its_log_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
