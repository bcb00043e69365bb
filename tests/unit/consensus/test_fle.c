/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    Votes are ordered and compared as ZooKeeper does; an election ends
 *         with the best vote of those who can talk, soon when all agree, late
 *         comers join only an ensemble whose leader says that it leads, and who
 *         must not vote neither counts nor is counted.
 * Method  single rules by hand; then elections among cores of the election
 *         alone, with messages in random order and random links.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/fle.h"
#include "tests/unit/consensus/random.h"

#define SERVERS 5u

static struct quorum_pair
voters(uint32_t count)
{
	struct quorum_pair pair = {.active = {.member_count = count}};

	for (uint32_t i = 0; i < count; i++)
		pair.active.member[i] = (struct quorum_member){
			.sid = i + 1, .weight = 1, .is_voter = 1};
	assert_int_equal(quorum_check(&pair.active), 0);
	return pair;
}

static struct fle_vote
vote(int32_t state, int64_t leader, int64_t zxid, int64_t round, int64_t epoch)
{
	return (struct fle_vote){leader, zxid, round, epoch, state, 2};
}

static struct zab_notification
said(int32_t state, int64_t leader, int64_t zxid, int64_t round, int64_t epoch)
{
	return (struct zab_notification){state, 2, leader, zxid, round, epoch};
}

static struct fle
make(int64_t sid)
{
	struct fle fle;

	fle_init(&fle, &(struct fle_options){.sid = sid,
					     .finalize_ms = 200,
					     .notify_min_ms = 200,
					     .notify_max_ms = 1600});
	return fle;
}

static void
epoch_beats_zxid_beats_sid(void **state)
{
	const struct quorum_pair pair = voters(5);
	const struct fle_vote low = vote(FLE_LOOKING, 3, 7, 1, 2);
	struct fle_vote high = low;

	(void)state;
	assert_false(fle_vote_better(&pair, &high, &low));
	high.leader = 4;
	assert_true(fle_vote_better(&pair, &high, &low));
	high = vote(FLE_LOOKING, 1, 8, 1, 2);
	assert_true(fle_vote_better(&pair, &high, &low));
	assert_false(fle_vote_better(&pair, &low, &high));
	high = vote(FLE_LOOKING, 1, 0, 1, 3);
	assert_true(fle_vote_better(&pair, &high, &low));
	/* Observers show the smallest of everything. */
	high = vote(FLE_LOOKING, INT64_MIN, INT64_MIN, 1, INT64_MIN);
	assert_true(fle_vote_better(&pair, &low, &high));
	high = vote(FLE_LOOKING, 9, 100, 1, 100);
	assert_false(fle_vote_better(&pair, &high, &low)); /* no voter */
}

static void
a_weightless_server_never_leads(void **state)
{
	struct quorum_pair pair = voters(3);
	const struct fle_vote best = vote(FLE_LOOKING, 3, 100, 1, 9);
	const struct fle_vote low = vote(FLE_LOOKING, 1, 1, 1, 1);

	(void)state;
	pair.active.kind = QUORUM_HIERARCHICAL;
	pair.active.member[2].weight = 0;
	assert_int_equal(quorum_check(&pair.active), 0);
	assert_false(fle_vote_better(&pair, &best, &low));
	/* It keeps voting for itself, alone, and joins the others later. */
	assert_false(fle_vote_better(&pair, &low, &best));
}

static void
votes_of_a_running_ensemble_agree_in_leader_and_epoch(void **state)
{
	const struct fle_vote looking = vote(FLE_LOOKING, 3, 7, 1, 2);
	const struct fle_vote following = vote(FLE_FOLLOWING, 3, 9, 4, 2);
	struct fle_vote other = vote(FLE_LEADING, 3, 1, 2, 2);

	(void)state;
	assert_true(fle_vote_equal(&following, &other));
	other.peer_epoch = 3;
	assert_false(fle_vote_equal(&following, &other));
	other.version = 0;
	assert_true(fle_vote_equal(&following, &other));
	assert_false(fle_vote_equal(&looking, &following));
	other = looking;
	assert_true(fle_vote_equal(&looking, &other));
	other.round = 2;
	assert_false(fle_vote_equal(&looking, &other));
}

static void
a_dead_leader_is_not_believed(void **state)
{
	const struct quorum_pair pair = voters(5);
	struct zab_actions out = {0};
	struct fle fle = make(1);
	struct zab_notification n = said(FLE_FOLLOWING, 5, 7, 3, 2);

	(void)state;
	assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 1, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 3, &n, 1, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 4, &n, 1, &out));
	n.state = FLE_LEADING;
	assert_true(fle_note(&fle, &pair, FLE_LOOKING, 5, &n, 1, &out));
	assert_int_equal(fle.proposal.leader, 5);
	assert_int_equal(fle.round, 3);
	assert_false(fle.is_running);
}

static void
others_cannot_make_it_lead_by_an_old_memory(void **state)
{
	const struct quorum_pair pair = voters(3);
	struct zab_actions out = {0};
	struct fle fle = make(3);
	const struct zab_notification n = said(FLE_FOLLOWING, 3, 7, 9, 2);

	(void)state;
	assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 1, &n, 1, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 1, &out));
	assert_true(fle.is_running);
}

static void
it_waits_for_a_voter_that_may_come_but_not_for_one_that_is_down(void **state)
{
	const struct quorum_pair pair = voters(3);
	const struct zab_notification n = said(FLE_LOOKING, 2, 7, 1, 2);

	(void)state;
	for (uint32_t with_link = 0; with_link < 2; with_link++) {
		struct zab_actions out = {0};
		struct fle fle = make(1);

		assert_false(fle_start(&fle, &pair, 7, 2, false, 10, &out));
		assert_false(
			fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 20, &out));
		assert_int_equal(fle.proposal.leader, 2);
		if (with_link) {
			assert_true(fle_link(&fle, &pair, 3, false));
			continue;
		}
		assert_int_equal(fle_wake_ms(&fle), 210); /* sends again */
		assert_false(fle_tick(&fle, &pair, 219, &out));
		assert_true(fle_tick(&fle, &pair, 220, &out));
		assert_int_equal(fle.proposal.leader, 2);
	}
}

static void
a_better_vote_within_the_quiet_time_is_taken(void **state)
{
	const struct quorum_pair pair = voters(3);
	struct zab_actions out = {0};
	struct fle fle = make(1);
	struct zab_notification n = said(FLE_LOOKING, 2, 7, 1, 2);

	(void)state;
	assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 1, &out));
	n = said(FLE_LOOKING, 3, 8, 1, 2);
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 3, &n, 150, &out));
	assert_int_equal(fle.proposal.leader, 3);
	/* A quorum (1 and 3) agrees on 3 now; 2 may still say something. */
	assert_false(fle_tick(&fle, &pair, 201, &out));
	assert_true(fle_tick(&fle, &pair, 350, &out));
	assert_int_equal(fle.proposal.leader, 3);
}

static void
a_higher_round_replaces_what_was_heard(void **state)
{
	const struct quorum_pair pair = voters(3);
	struct zab_actions out = {0};
	struct fle fle = make(3);
	struct zab_notification n = said(FLE_LOOKING, 2, 5, 6, 2);

	(void)state;
	assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 1, &out));
	assert_int_equal(fle.round, 6);
	assert_int_equal(fle.proposal.leader, 3); /* its own is better */
	n.round = 2;
	out.count = 0;
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 1, &n, 1, &out));
	assert_null(fle_box_get(&fle.received, 1));
	assert_int_equal(out.count, 1); /* told the round */
	assert_int_equal(out.action[0].sid, 1);
	assert_int_equal(out.action[0].notification.round, 6);
}

static void
who_must_not_vote_only_joins(void **state)
{
	const struct quorum_pair pair = voters(3);
	struct zab_actions out = {0};
	struct fle fle = make(1);
	struct zab_notification n = said(FLE_LOOKING, 2, 7, 1, 2);

	(void)state;
	assert_false(fle_start(&fle, &pair, 99, 9, true, 0, &out));
	assert_int_equal(out.action[0].notification.zxid, ZAB_NO_ZXID);
	assert_int_equal(out.action[0].notification.leader, 1);
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 1, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 3, &n, 1, &out));
	assert_false(fle_tick(&fle, &pair, 1000, &out));
	n = said(FLE_FOLLOWING, 2, 7, 4, 2);
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 3, &n, 1, &out));
	n.state = FLE_LEADING;
	assert_true(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 1, &out));
	assert_int_equal(fle.proposal.leader, 2);
	/* And nobody counts it. */
	fle = make(2);
	n = said(FLE_LOOKING, 1, ZAB_NO_ZXID, 1, -1);
	assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 1, &n, 1, &out));
	assert_null(fle_box_get(&fle.received, 1));
}

static void
the_same_sid_twice_and_strangers_change_nothing(void **state)
{
	const struct quorum_pair pair = voters(3);
	struct zab_actions out = {0};
	struct fle fle = make(3);
	struct zab_notification n = said(FLE_LOOKING, 2, 99, 1, 9);

	(void)state;
	assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 3, &n, 1, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 77, &n, 1, &out));
	n.leader = 55;
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 1, &n, 1, &out));
	assert_int_equal(fle.received.count, 1);
	assert_int_equal(fle.proposal.leader, 3);
	/* Nor can anybody make the round overflow. */
	n = said(FLE_LOOKING, 2, 99, INT64_MAX, 9);
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 1, &out));
	n.state = FLE_LEADING;
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 1, &out));
	assert_int_equal(fle.round, 1);
	/* An observer, which has no vote, is told ours. */
	out.count = 0;
	n = said(FLE_LOOKING, INT64_MIN, INT64_MIN, 1, INT64_MIN);
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 77, &n, 1, &out));
	assert_int_equal(out.count, 1);
	assert_int_equal(out.action[0].sid, 77);
	assert_int_equal(out.action[0].notification.leader, 3);
	/* Who does not look for a leader needs no answer. */
	n.state = FLE_OBSERVING;
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 77, &n, 1, &out));
	assert_int_equal(out.count, 1);
}

static void
messages_are_sent_again_ever_more_slowly(void **state)
{
	const struct quorum_pair pair = voters(3);
	struct zab_actions out = {0};
	struct fle fle = make(1);
	const uint64_t due[] = {200, 600, 1400, 3000, 4600};

	(void)state;
	assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(fle_wake_ms(&fle), due[i]);
		out.count = 0;
		assert_false(fle_tick(&fle, &pair, due[i], &out));
		assert_int_equal(out.count, 2);
	}
}

static void
a_single_voter_elects_itself_at_once(void **state)
{
	const struct quorum_pair pair = voters(1);
	struct zab_actions out = {0};
	struct fle fle = make(1);

	(void)state;
	assert_true(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	assert_int_equal(fle.proposal.leader, 1);
}

/* -------------------------------------------------- elections at random --- */

struct election {
	struct quorum_pair pair;
	struct fle fle[SERVERS];
	bool is_over[SERVERS];
	bool is_cut[SERVERS][SERVERS];
	/* The newest message from, to. */
	bool has_message[SERVERS][SERVERS];
	struct zab_notification message[SERVERS][SERVERS];
};

static void
take(struct election *e, uint32_t from, const struct zab_actions *out)
{
	for (uint32_t i = 0; i < out->count; i++) {
		const uint32_t to = (uint32_t)out->action[i].sid - 1;

		e->has_message[from][to] = true;
		e->message[from][to] = out->action[i].notification;
	}
}

static void
deliver(struct election *e, uint32_t from, uint32_t to, uint64_t now)
{
	struct zab_actions out = {0};
	const int32_t state = !e->is_over[to] ? FLE_LOOKING
			      : e->fle[to].proposal.leader == to + 1
				      ? FLE_LEADING
				      : FLE_FOLLOWING;

	e->has_message[from][to] = false;
	if (fle_note(&e->fle[to], &e->pair, state, from + 1,
		     &e->message[from][to], now, &out))
		e->is_over[to] = true;
	take(e, to, &out);
}

static void
run_election(struct election *e, uint64_t *seed)
{
	uint64_t now = 0;

	for (uint32_t step = 0; step < 4000; step++) {
		const uint32_t from = random_below(seed, SERVERS);
		const uint32_t to = random_below(seed, SERVERS);
		struct zab_actions out = {0};

		if (from != to && e->has_message[from][to] &&
		    !e->is_cut[from][to])
			deliver(e, from, to, now);
		now += random_below(seed, 2);
		if (!e->is_over[to] &&
		    fle_tick(&e->fle[to], &e->pair, now, &out))
			e->is_over[to] = true;
		take(e, to, &out);
	}
}

static void
who_can_talk_elects_the_best_of_them(void **state)
{
	uint64_t seed = random_start(5);

	(void)state;
	for (uint32_t run = 0; run < 400 * random_times(); run++) {
		static struct election e;
		uint32_t up = 0;
		uint32_t best = SERVERS;
		int64_t zxid[SERVERS], epoch[SERVERS];

		memset(&e, 0, sizeof(e));
		e.pair = voters(SERVERS);
		while (__builtin_popcount(up) < 3)
			up = random_below(&seed, 1u << SERVERS);
		for (uint32_t i = 0; i < SERVERS; i++) {
			struct zab_actions out = {0};

			for (uint32_t j = 0; j < SERVERS; j++)
				e.is_cut[i][j] = !(up >> i & up >> j & 1);
			e.fle[i] = make(i + 1);
			e.fle[i].round = random_below(&seed, 3);
			zxid[i] = random_below(&seed, 3);
			epoch[i] = random_below(&seed, 2);
			assert_false(fle_start(&e.fle[i], &e.pair, zxid[i],
					       epoch[i], false, 0, &out));
			take(&e, i, &out);
			if (!(up >> i & 1))
				continue;
			if (best == SERVERS || epoch[i] > epoch[best] ||
			    (epoch[i] == epoch[best] && zxid[i] >= zxid[best]))
				best = i;
		}
		run_election(&e, &seed);
		for (uint32_t i = 0; i < SERVERS; i++) {
			assert_int_equal(e.is_over[i], up >> i & 1);
			if (e.is_over[i])
				assert_int_equal(e.fle[i].proposal.leader,
						 best + 1);
		}
	}
}

static uint32_t
count_sent(const struct zab_actions *out, int32_t state)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < out->count; i++)
		count += out->action[i].type == ZAB_DO_SEND_FLE &&
			 out->action[i].notification.state == state;
	return count;
}

/* 2 wants 4, which 1 cannot reach: 1 must not be won for 4 again and again. */
static void
a_candidate_that_failed_is_left_alone_for_a_while(void **state)
{
	const struct quorum_pair pair = voters(5);
	struct zab_notification n = said(FLE_LOOKING, 4, 7, 1, 2);
	struct zab_actions out = {0};
	struct fle fle = make(1);

	(void)state;
	fle_shun(&fle, 4, 0);
	const uint64_t until = fle_shunned_until(&fle, 4);

	assert_true(until >= 800);
	assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 1, &out));
	assert_int_equal(fle.proposal.leader, 1);
	n.round = 2; /* nor in a higher round */
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 2, &out));
	assert_int_equal(fle.round, 2);
	assert_int_equal(fle.proposal.leader, 1);
	n.leader = 3;
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 3, &out));
	assert_int_equal(fle.proposal.leader, 3);
	n.leader = 4;
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, until, &out));
	assert_int_equal(fle.proposal.leader, 4);
	/* The next time it takes longer; a leader that works ends it. */
	fle_shun(&fle, 4, 0);
	assert_true(fle_shunned_until(&fle, 4) >= 1600);
	fle_forgive(&fle);
	assert_int_equal(fle_shunned_until(&fle, 4), 0);
}

static void
who_failed_itself_lets_another_go_first_who_knows_as_much(void **state)
{
	const struct quorum_pair pair = voters(5);
	struct zab_notification n = said(FLE_LOOKING, 2, 6, 1, 2);
	struct zab_actions out = {0};
	struct fle fle = make(4);

	(void)state;
	fle_shun(&fle, 4, 0);
	assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	assert_int_equal(count_sent(&out, FLE_LOOKING), 0); /* it rests */
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 2, &n, 1, &out));
	assert_int_equal(fle.proposal.leader, 4); /* 2 knows less */
	n = said(FLE_LOOKING, 1, 7, 0, 2); /* and it need not know the round */
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 1, &n, 2, &out));
	assert_int_equal(fle.proposal.leader, 1);
	assert_int_equal(fle.proposal.round, fle.round);
	assert_int_equal(count_sent(&out, FLE_LOOKING), 4);
}

static void
dissent_that_lasts_ends_a_candidacy(void **state)
{
	const struct quorum_pair pair = voters(3);
	const struct zab_notification n = said(FLE_LOOKING, 1, 7, 1, 2);
	struct zab_actions out = {0};
	struct fle fle = make(3);

	(void)state;
	assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	assert_int_equal(fle.stall_at_ms, UINT64_MAX); /* nobody dissents */
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 1, &n, 1, &out));
	const uint64_t end = fle.stall_at_ms;

	assert_true(end < 2000);
	assert_false(fle_tick(&fle, &pair, end - 1, &out));
	assert_int_equal(fle.round, 1);
	assert_false(fle_tick(&fle, &pair, end, &out));
	assert_int_equal(fle.round, 2);
	out.count = 0;
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 1, &n, end + 1, &out));
	assert_int_equal(fle.proposal.leader, 1);
}

/* The only one that it hears leads: no quorum of witnesses will ever come. */
static void
the_word_of_a_leader_is_enough_after_a_while(void **state)
{
	const struct quorum_pair pair = voters(5);
	struct zab_notification n = said(FLE_LEADING, 3, 7, 4, 2);
	struct zab_actions out = {0};

	(void)state;
	for (uint32_t is_over = 0; is_over < 2; is_over++) {
		struct fle fle = make(1);

		n.state = FLE_LEADING;
		assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
		assert_false(
			fle_note(&fle, &pair, FLE_LOOKING, 3, &n, 50, &out));
		assert_false(fle_tick(&fle, &pair, 249, &out));
		if (is_over) { /* it leads no more */
			n.state = FLE_LOOKING;
			n.round = 1;
			assert_false(fle_note(&fle, &pair, FLE_LOOKING, 3, &n,
					      249, &out));
		}
		assert_int_equal(fle_tick(&fle, &pair, 250, &out), !is_over);
		assert_int_equal(fle.proposal.leader, 3);
	}
	/* It leads no more, and tells so as one who may not vote. */
	struct fle other = make(1);

	n.state = FLE_LEADING;
	assert_false(fle_start(&other, &pair, 7, 2, false, 0, &out));
	assert_false(fle_note(&other, &pair, FLE_LOOKING, 3, &n, 50, &out));
	n = said(FLE_LOOKING, INT64_MIN, INT64_MIN, 1, INT64_MIN);
	assert_false(fle_note(&other, &pair, FLE_LOOKING, 3, &n, 60, &out));
	assert_false(fle_tick(&other, &pair, 250, &out));
	n = said(FLE_LEADING, 3, 7, 4, 2);
	/* Not for a server without a vote: it needs a quorum without it. */
	struct fle fle = make(1);

	n.state = FLE_LEADING;
	assert_false(fle_start(&fle, &pair, 7, 2, true, 0, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 3, &n, 50, &out));
	assert_false(fle_tick(&fle, &pair, 5000, &out));
}

/* Our vote came while it still followed somebody, and was not looked at. */
static void
who_begins_later_is_told_a_better_vote(void **state)
{
	const struct quorum_pair pair = voters(3);
	struct zab_notification n = said(FLE_FOLLOWING, 3, 7, 1, 2);
	struct zab_actions out = {0};
	struct fle fle = make(2);

	(void)state;
	assert_false(fle_start(&fle, &pair, 7, 2, false, 0, &out));
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 1, &n, 1, &out));
	out.count = 0;
	n = said(FLE_LOOKING, 1, 7, 1, 2);
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 1, &n, 2, &out));
	assert_int_equal(out.count, 1);
	assert_int_equal(out.action[0].sid, 1);
	assert_false(fle_note(&fle, &pair, FLE_LOOKING, 1, &n, 3, &out));
	assert_int_equal(out.count, 1); /* once */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_candidate_that_failed_is_left_alone_for_a_while),
		cmocka_unit_test(
			who_failed_itself_lets_another_go_first_who_knows_as_much),
		cmocka_unit_test(dissent_that_lasts_ends_a_candidacy),
		cmocka_unit_test(the_word_of_a_leader_is_enough_after_a_while),
		cmocka_unit_test(who_begins_later_is_told_a_better_vote),
		cmocka_unit_test(epoch_beats_zxid_beats_sid),
		cmocka_unit_test(a_weightless_server_never_leads),
		cmocka_unit_test(
			votes_of_a_running_ensemble_agree_in_leader_and_epoch),
		cmocka_unit_test(a_dead_leader_is_not_believed),
		cmocka_unit_test(others_cannot_make_it_lead_by_an_old_memory),
		cmocka_unit_test(
			it_waits_for_a_voter_that_may_come_but_not_for_one_that_is_down),
		cmocka_unit_test(a_better_vote_within_the_quiet_time_is_taken),
		cmocka_unit_test(a_higher_round_replaces_what_was_heard),
		cmocka_unit_test(who_must_not_vote_only_joins),
		cmocka_unit_test(
			the_same_sid_twice_and_strangers_change_nothing),
		cmocka_unit_test(messages_are_sent_again_ever_more_slowly),
		cmocka_unit_test(a_single_voter_elects_itself_at_once),
		cmocka_unit_test(who_can_talk_elects_the_best_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
