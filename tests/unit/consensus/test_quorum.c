/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    Sets decide exactly as ZooKeeper's verifiers say, two quorums always
 *         share a voter, and what an operator may write wrongly is refused.
 * Method  the measured example of the protocol notes, all subsets of random
 *         ensembles against counting without masks, all pairs of quorums.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/quorum.h"
#include "tests/unit/consensus/random.h"

static struct quorum
majority_of(uint32_t voters, uint32_t observers)
{
	struct quorum quorum = {0};

	quorum.member_count = voters + observers;
	for (uint32_t i = 0; i < quorum.member_count; i++) {
		quorum.member[i].sid = 10 + i;
		quorum.member[i].address = i;
		quorum.member[i].is_voter = i < voters;
	}
	assert_int_equal(quorum_check(&quorum), 0);
	return quorum;
}

static void
a_majority_is_more_than_half_of_the_voters(void **state)
{
	(void)state;
	for (uint32_t voters = 1; voters <= 9; voters++) {
		const struct quorum quorum = majority_of(voters, 2);

		for (uint32_t set = 0; set < 1u << (voters + 2); set++) {
			uint32_t votes = 0;

			for (uint32_t i = 0; i < voters; i++)
				votes += set >> i & 1;
			assert_int_equal(quorum_has(&quorum, set),
					 2 * votes > voters);
		}
	}
}

/* Groups {1,2}, {3,4 without weight}, {5}. */
static struct quorum
measured_groups(void)
{
	static const uint32_t group[5] = {0, 0, 1, 1, 2};
	struct quorum quorum = {.kind = QUORUM_HIERARCHICAL, .member_count = 5};

	for (uint32_t i = 0; i < 5; i++)
		quorum.member[i] =
			(struct quorum_member){.sid = i + 1,
					       .weight = i == 3 ? 0 : 1,
					       .group = group[i],
					       .is_voter = 1};
	assert_int_equal(quorum_check(&quorum), 0);
	return quorum;
}

static void
groups_decide_as_measured(void **state)
{
	const struct quorum quorum = measured_groups();

	(void)state;
	assert_true(quorum_has(&quorum, 0x07));  /* 1 2 3 */
	assert_true(quorum_has(&quorum, 0x14));  /* 3 5 */
	assert_false(quorum_has(&quorum, 0x0b)); /* 1 2 4: one group */
	assert_false(quorum_has(&quorum, 0x19)); /* 1 4 5: half of group one */
	assert_int_equal(quorum_weight(&quorum, 4), 0);
	assert_int_equal(quorum_weight(&quorum, 5), 1);
	assert_int_equal(quorum_weight(&quorum, 6), 0);
}

static struct quorum
random_groups(uint64_t *seed)
{
	struct quorum quorum;

	do {
		memset(&quorum, 0, sizeof(quorum));
		quorum.kind = QUORUM_HIERARCHICAL;
		quorum.member_count = 1 + random_below(seed, 9);
		for (uint32_t i = 0; i < quorum.member_count; i++)
			quorum.member[i] = (struct quorum_member){
				.sid = i,
				.weight = random_below(seed, 4),
				.group = random_below(seed, 4),
				.is_voter = random_below(seed, 5) > 0};
	} while (quorum_check(&quorum) != 0);
	return quorum;
}

static bool
naive_groups(const struct quorum *quorum, uint32_t set)
{
	uint32_t groups = 0, decided = 0;

	for (uint32_t g = 0; g < 4; g++) {
		uint32_t all = 0, present = 0;

		for (uint32_t i = 0; i < quorum->member_count; i++) {
			const struct quorum_member *m = &quorum->member[i];

			if (m->group != g || !m->is_voter)
				continue;
			all += m->weight;
			present += set >> i & 1 ? m->weight : 0;
		}
		if (all == 0)
			continue;
		groups++;
		decided += 2 * present > all;
	}
	return 2 * decided > groups;
}

static void
groups_agree_with_counting_and_their_quorums_meet(void **state)
{
	uint64_t seed = random_start(1);

	(void)state;
	for (uint32_t n = 0; n < 200 * random_times(); n++) {
		const struct quorum quorum = random_groups(&seed);
		const uint32_t sets = 1u << quorum.member_count;

		for (uint32_t a = 0; a < sets; a++) {
			assert_int_equal(quorum_has(&quorum, a),
					 naive_groups(&quorum, a));
			if (quorum_has(&quorum, a))
				assert_false(quorum_has(&quorum, ~a));
		}
	}
}

static void
nonsense_is_refused_and_changes_nothing(void **state)
{
	struct quorum quorum = majority_of(3, 0), before;

	(void)state;
	quorum.member[2].sid = quorum.member[0].sid;
	before = quorum;
	assert_int_equal(quorum_check(&quorum), FAL_EINVAL);
	assert_memory_equal(&quorum, &before, sizeof(quorum));
	quorum = majority_of(3, 0);
	quorum.member[1].sid = -1;
	assert_int_equal(quorum_check(&quorum), FAL_EINVAL);
	quorum = majority_of(3, 0);
	quorum.member_count = QUORUM_MEMBERS_MAX + 1;
	assert_int_equal(quorum_check(&quorum), FAL_EINVAL);
	quorum = majority_of(3, 0);
	quorum.kind = 2;
	assert_int_equal(quorum_check(&quorum), FAL_EINVAL);
	memset(&quorum, 0, sizeof(quorum));
	assert_int_equal(quorum_check(&quorum), FAL_EINVAL);
	quorum = measured_groups();
	quorum.member[0].group = QUORUM_GROUPS_MAX;
	assert_int_equal(quorum_check(&quorum), FAL_EINVAL);
	quorum = measured_groups();
	quorum.member[0].weight = QUORUM_WEIGHT_MAX + 1;
	assert_int_equal(quorum_check(&quorum), FAL_EINVAL);
	quorum = measured_groups();
	for (uint32_t i = 0; i < 5; i++)
		quorum.member[i].weight = 0;
	assert_int_equal(quorum_check(&quorum), FAL_EINVAL);
}

static void
configurations_are_equal_by_version_or_by_members(void **state)
{
	struct quorum a = majority_of(3, 1), b = majority_of(3, 1);
	struct quorum_member first = b.member[0];

	(void)state;
	a.version = 1;
	b.version = 2;
	assert_true(quorum_equal(&a, &b));
	b.member[0] = b.member[2];
	b.member[2] = first; /* The order does not matter. */
	assert_true(quorum_equal(&a, &b));
	b.member[1].address = 99;
	assert_false(quorum_equal(&a, &b));
	b.version = 1;
	assert_true(quorum_equal(&a, &b));
}

static void
a_pair_needs_both_until_the_next_one_is_active(void **state)
{
	struct quorum_pair pair = {.active = majority_of(3, 0)};
	struct quorum_votes votes = {0, 0};

	(void)state;
	pair.next = majority_of(3, 0); /* of 12, 13, 14 */
	for (uint32_t i = 0; i < 3; i++)
		pair.next.member[i].sid = 12 + i;
	pair.has_next = 1;
	quorum_votes_add(&votes, quorum_pair_seat(&pair, 10));
	quorum_votes_add(&votes, quorum_pair_seat(&pair, 11));
	quorum_votes_add(&votes, quorum_pair_seat(&pair, 99));
	assert_false(quorum_pair_has(&pair, votes));
	quorum_votes_add(&votes, quorum_pair_seat(&pair, 12));
	assert_false(quorum_pair_has(&pair, votes));
	quorum_votes_add(&votes, quorum_pair_seat(&pair, 14));
	assert_true(quorum_pair_has(&pair, votes));
	assert_true(quorum_pair_is_voter(&pair, 14));
	assert_true(quorum_pair_is_voter(&pair, 10));
	quorum_pair_activate(&pair);
	assert_false(pair.has_next);
	assert_false(quorum_pair_is_voter(&pair, 10));
	assert_int_equal(quorum_pair_seat(&pair, 12).active, 0);
	assert_int_equal(quorum_pair_seat(&pair, 12).next, QUORUM_NO_SEAT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_majority_is_more_than_half_of_the_voters),
		cmocka_unit_test(groups_decide_as_measured),
		cmocka_unit_test(
			groups_agree_with_counting_and_their_quorums_meet),
		cmocka_unit_test(nonsense_is_refused_and_changes_nothing),
		cmocka_unit_test(
			configurations_are_equal_by_version_or_by_members),
		cmocka_unit_test(
			a_pair_needs_both_until_the_next_one_is_active),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
