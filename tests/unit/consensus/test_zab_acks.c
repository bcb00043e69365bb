/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    zab_acks never announces a proposal that no quorum holds, and
 *         announces each one as soon as a quorum does; with a configuration on
 *         its way, a quorum of both from that proposal on.
 * Method  first the cases a reader wants to see, then random histories compared
 *         with a model too simple to be wrong: a table of who holds what,
 *         searched from the top after every step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/zab_acks.h"
#include "tests/unit/consensus/random.h"

#define Z(n) zab_zxid(1, (n))

static struct quorum
voters_from(int64_t first_sid, uint32_t count)
{
	struct quorum quorum = {.member_count = count};

	for (uint32_t i = 0; i < count; i++)
		quorum.member[i] = (struct quorum_member){
			.sid = first_sid + i, .weight = 1, .is_voter = 1};
	assert_int_equal(quorum_check(&quorum), 0);
	return quorum;
}

static void
commits_with_the_second_of_three(void **state)
{
	const struct quorum_pair pair = {.active = voters_from(0, 3)};
	struct zab_acks acks;

	(void)state;
	zab_acks_init(&acks, Z(0));
	zab_acks_propose(&acks, Z(1));
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 0), Z(1)),
		0);
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 2), Z(1)),
		1);
	assert_int_equal(acks.committed_zxid, Z(1));
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 1), Z(1)),
		0);
}

static void
refuses_what_was_never_proposed(void **state)
{
	const struct quorum_pair pair = {.active = voters_from(0, 3)};
	struct zab_acks acks, before;

	(void)state;
	zab_acks_init(&acks, Z(0));
	zab_acks_propose(&acks, Z(1));
	before = acks;
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 1), Z(2)),
		FAL_EPROTO);
	assert_memory_equal(&acks, &before, sizeof(acks));
}

static void
who_has_no_seat_does_not_count(void **state)
{
	const struct quorum_pair pair = {.active = voters_from(0, 1)};
	struct zab_acks acks;

	(void)state;
	zab_acks_init(&acks, Z(0));
	zab_acks_propose(&acks, Z(1));
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 7), Z(1)),
		0);
	assert_int_equal(acks.committed_zxid, Z(0));
}

static void
a_truncated_voter_must_acknowledge_again(void **state)
{
	const struct quorum_pair pair = {.active = voters_from(0, 3)};
	struct zab_acks acks;

	(void)state;
	zab_acks_init(&acks, Z(0));
	zab_acks_propose(&acks, Z(1));
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 1), Z(1)),
		0);
	zab_acks_forget(&acks, quorum_pair_seat(&pair, 1));
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 0), Z(1)),
		0);
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 1), Z(1)),
		1);
}

static void
before_the_reconfiguration_the_old_quorum_suffices(void **state)
{
	struct quorum_pair pair = {.active = voters_from(0, 3)};
	struct zab_acks acks;

	(void)state;
	zab_acks_init(&acks, Z(0));
	zab_acks_propose(&acks, Z(1));
	zab_acks_propose(&acks, Z(2));
	pair.next = voters_from(2, 3); /* 2, 3, 4 */
	pair.has_next = 1;
	zab_acks_begin_next(&acks, Z(2));
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 0), Z(2)),
		0);
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 1), Z(2)),
		1);
	assert_int_equal(acks.committed_zxid, Z(1));
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 2), Z(2)),
		0);
	assert_int_equal(
		zab_acks_note(&acks, &pair, quorum_pair_seat(&pair, 4), Z(2)),
		1);
	assert_int_equal(acks.committed_zxid, Z(2));
}

/* ------------------------------------------------------ random histories ---
 */

enum { STEPS = 300, SERVERS = 8 };

struct model {
	bool holds[SERVERS][STEPS + 1];
	uint32_t proposed, committed, next_at; /* next_at 0: none */
};

static bool
quorum_holds(const struct quorum *quorum, const struct model *model, uint32_t n)
{
	uint32_t holders = 0;

	for (uint32_t i = 0; i < quorum->member_count; i++)
		holders += model->holds[quorum->member[i].sid][n];
	return 2 * holders > quorum->member_count;
}

static uint32_t
model_committed(const struct model *model, const struct quorum_pair *pair)
{
	for (uint32_t n = model->proposed; n > model->committed; n--) {
		if (!quorum_holds(&pair->active, model, n))
			continue;
		if (model->next_at == 0 || n < model->next_at ||
		    quorum_holds(&pair->next, model, n))
			return n;
	}
	return model->committed;
}

static void
begin_next(struct model *model, struct quorum_pair *pair, struct zab_acks *acks,
	   uint64_t *seed)
{
	const uint32_t count = 1 + random_below(seed, 5);

	pair->next =
		voters_from(random_below(seed, SERVERS - count + 1), count);
	pair->has_next = 1;
	model->next_at = model->proposed;
	zab_acks_begin_next(acks, Z(model->proposed));
}

static void
random_histories_agree_with_the_model(void **state)
{
	uint64_t seed = random_start(2);

	(void)state;
	for (uint32_t run = 0; run < 300 * random_times(); run++) {
		static struct model model;
		struct quorum_pair pair = {
			.active = voters_from(0, 1 + random_below(&seed, 7))};
		struct zab_acks acks;

		memset(&model, 0, sizeof(model));
		zab_acks_init(&acks, Z(0));
		for (uint32_t step = 0; step < STEPS; step++) {
			if (random_below(&seed, 4) == 0 ||
			    model.proposed == 0) {
				zab_acks_propose(&acks, Z(++model.proposed));
				if (!pair.has_next &&
				    random_below(&seed, 20) == 0)
					begin_next(&model, &pair, &acks, &seed);
				continue;
			}
			const uint32_t v = random_below(&seed, SERVERS);
			const uint32_t n =
				1 + random_below(&seed, model.proposed);
			uint32_t before = model.committed;

			for (uint32_t i = 1; i <= n; i++)
				model.holds[v][i] = true;
			model.committed = model_committed(&model, &pair);
			assert_int_equal(
				zab_acks_note(&acks, &pair,
					      quorum_pair_seat(&pair, v), Z(n)),
				model.committed > before);
			assert_int_equal(acks.committed_zxid,
					 Z(model.committed));
			if (model.next_at == 0 ||
			    model.committed < model.next_at)
				continue;
			quorum_pair_activate(&pair);
			zab_acks_activate(&acks);
			model.next_at = 0;
			before = model.committed;
			model.committed = model_committed(&model, &pair);
			assert_int_equal(zab_acks_recount(&acks, &pair),
					 model.committed > before);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commits_with_the_second_of_three),
		cmocka_unit_test(refuses_what_was_never_proposed),
		cmocka_unit_test(who_has_no_seat_does_not_count),
		cmocka_unit_test(a_truncated_voter_must_acknowledge_again),
		cmocka_unit_test(
			before_the_reconfiguration_the_old_quorum_suffices),
		cmocka_unit_test(random_histories_agree_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
