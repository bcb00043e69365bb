/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    The table of a history says what a list of zxids would say; a plan
 *         brings every learner to exactly the leader's history, never with a
 *         hole, never keeping what the leader does not have.
 * Method  the rows of the decision table one by one; then random trees of
 *         epochs: each epoch extends some prefix of an older one, learners hold
 *         any prefix of any branch, and the plan is carried out on lists.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/zab_history.h"
#include "consensus/zab_sync.h"
#include "tests/unit/consensus/random.h"

#define Z(epoch, counter) ((int64_t)(epoch) * (1ll << 32) + (counter))

/* ------------------------------------------------------------ history --- */

static struct zab_history
history_of(int64_t floor_zxid, const struct zab_row *rows, uint32_t count)
{
	struct zab_history history;

	zab_history_init(&history, floor_zxid);
	for (uint32_t i = 0; i < count; i++)
		for (int64_t z = rows[i].first_zxid; z <= rows[i].last_zxid;
		     z++)
			assert_int_equal(zab_history_append(&history, z), 0);
	assert_true(zab_history_is_sound(&history));
	return history;
}

static void
only_the_next_zxid_or_a_higher_epoch_follows(void **state)
{
	(void)state;
	assert_true(zab_follows(Z(1, 1), Z(1, 2)));
	assert_false(zab_follows(Z(1, 1), Z(1, 1)));
	assert_false(zab_follows(Z(1, 1), Z(1, 3)));
	assert_true(zab_follows(Z(1, 5), Z(2, 1)));
	assert_true(zab_follows(Z(1, 5), Z(3, 7)));
	assert_false(zab_follows(Z(2, 5), Z(1, 6)));
	assert_false(zab_follows(Z(1, 5), Z(2, 0)));
	assert_true(zab_follows(Z(1, 0), Z(1, 1)));
	assert_true(zab_follows(Z(1, 0xfffffffd), Z(1, 0xfffffffe)));
	assert_false(zab_follows(Z(1, 0xfffffffe), Z(1, 0xffffffff)));
	assert_false(zab_follows(Z(1, 1), Z(ZAB_EPOCH_MAX + 1, 1)));
}

static void
a_65th_epoch_raises_the_floor(void **state)
{
	struct zab_history history;

	(void)state;
	zab_history_init(&history, 0);
	for (int64_t epoch = 1; epoch <= ZAB_ROWS_MAX + 2; epoch++) {
		assert_int_equal(zab_history_append(&history, Z(epoch, 1)), 0);
		assert_int_equal(zab_history_append(&history, Z(epoch, 2)), 0);
	}
	assert_true(zab_history_is_sound(&history));
	assert_int_equal(history.row_count, ZAB_ROWS_MAX);
	assert_int_equal(history.floor_zxid, Z(2, 2));
	assert_true(zab_history_has(&history, Z(3, 1)));
	assert_false(zab_history_has(&history, Z(2, 1)));
}

static void
a_hole_is_not_covered(void **state)
{
	const struct zab_row rows[] = {{Z(1, 1), Z(1, 3)}, {Z(2, 4), Z(2, 6)}};
	const struct zab_history history = history_of(0, rows, 2);

	(void)state;
	assert_true(zab_history_covers(&history, Z(1, 1), Z(1, 3)));
	assert_true(zab_history_covers(&history, Z(2, 4), Z(2, 6)));
	assert_false(zab_history_covers(&history, Z(1, 3), Z(2, 4)));
	assert_false(zab_history_covers(&history, Z(1, 4), Z(2, 4)));
}

static bool
list_has(const int64_t *list, uint32_t count, int64_t zxid)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i] == zxid)
			return true;
	return false;
}

static void
compare_with_list(const struct zab_history *history, const int64_t *list,
		  uint32_t count, int64_t floor_zxid)
{
	assert_true(zab_history_is_sound(history));
	assert_int_equal(history->floor_zxid, floor_zxid);
	assert_int_equal(history->last_zxid,
			 count ? list[count - 1] : floor_zxid);
	for (int64_t epoch = 0; epoch < 10; epoch++) {
		int64_t last = zab_epoch(floor_zxid) <= epoch ? floor_zxid
							      : ZAB_NO_ZXID;

		for (int64_t n = 0; n < 8; n++)
			assert_int_equal(
				zab_history_has(history, Z(epoch, n)),
				Z(epoch, n) == floor_zxid ||
					list_has(list, count, Z(epoch, n)));
		for (uint32_t i = 0; i < count; i++)
			if (zab_epoch(list[i]) <= epoch)
				last = list[i];
		assert_int_equal(zab_history_last_of(history, epoch), last);
	}
}

static void
the_table_agrees_with_a_list(void **state)
{
	uint64_t seed = random_start(3);

	(void)state;
	for (uint32_t run = 0; run < 300 * random_times(); run++) {
		struct zab_history history;
		int64_t list[64], floor_zxid = 0;
		uint32_t count = 0;

		zab_history_init(&history, 0);
		for (uint32_t step = 0; step < 40; step++) {
			const int64_t zxid = Z(random_below(&seed, 10),
					       random_below(&seed, 8));
			const int64_t last =
				count ? list[count - 1] : floor_zxid;

			if (random_below(&seed, 3)) {
				const int64_t next = random_below(&seed, 3)
							     ? last + 1
							     : zxid;

				if (zab_history_append(&history, next) == 0)
					list[count++] = next;
				else
					assert_false(zab_follows(last, next));
			} else if (count && random_below(&seed, 2)) {
				const uint32_t keep =
					random_below(&seed, count);

				zab_history_cut(&history, list[keep]);
				count = keep + 1;
			} else {
				uint32_t gone = 0;

				zab_history_raise_floor(&history, zxid);
				if (zxid > floor_zxid)
					floor_zxid = zxid < last ? zxid : last;
				while (gone < count && list[gone] <= floor_zxid)
					gone++;
				count -= gone;
				memmove(list, list + gone,
					count * sizeof(list[0]));
			}
			compare_with_list(&history, list, count, floor_zxid);
		}
	}
}

/* --------------------------------------------------------------- plans --- */

static void
expect_plan(struct zab_sync_plan plan, enum zab_sync_kind kind, int64_t zxid,
	    int64_t from, int64_t to)
{
	assert_int_equal(plan.kind, kind);
	assert_int_equal(plan.zxid, zxid);
	assert_int_equal(plan.from, from);
	assert_int_equal(plan.to, to);
}

/* Epochs 1 (1..8), 3 (1..2), elected with currentEpoch 3, leads epoch 5. */
static const struct zab_row example[] = {{Z(1, 1), Z(1, 8)},
					 {Z(3, 1), Z(3, 2)}};

static void
the_decision_table_holds_row_by_row(void **state)
{
	const struct zab_history h = history_of(0, example, 2);
	const int64_t to = Z(3, 2);

	(void)state;
	expect_plan(zab_sync_plan(&h, -1, to, 5, 3), ZAB_SYNC_SNAP, to, to, to);
	expect_plan(zab_sync_plan(&h, to, to, 5, 3), ZAB_SYNC_DIFF, to, to, to);
	expect_plan(zab_sync_plan(&h, 0, to, 5, 3), ZAB_SYNC_SNAP, to, to, to);
	expect_plan(zab_sync_plan(&h, Z(1, 3), to, 5, 3), ZAB_SYNC_DIFF, to,
		    Z(1, 3), to);
	expect_plan(zab_sync_plan(&h, Z(1, 9), to, 5, 3), ZAB_SYNC_TRUNC,
		    Z(1, 8), Z(1, 8), to);
	expect_plan(zab_sync_plan(&h, Z(3, 4), to, 5, 3), ZAB_SYNC_TRUNC,
		    Z(3, 2), Z(3, 2), to);
	expect_plan(zab_sync_plan(&h, Z(2, 1), to, 5, 3), ZAB_SYNC_SNAP, to, to,
		    to);
	expect_plan(zab_sync_plan(&h, Z(4, 1), to, 5, 3), ZAB_SYNC_SNAP, to, to,
		    to);
}

static void
marks_of_epochs_are_no_transactions(void **state)
{
	const struct zab_history h = history_of(0, example, 2);
	const int64_t to = Z(3, 2);

	(void)state;
	expect_plan(zab_sync_plan(&h, Z(3, 0), to, 5, 3), ZAB_SYNC_DIFF, to,
		    Z(1, 8), to);
	expect_plan(zab_sync_plan(&h, Z(2, 0), to, 5, 3), ZAB_SYNC_DIFF, to,
		    Z(1, 8), to);
	expect_plan(zab_sync_plan(&h, Z(4, 0), to, 5, 3), ZAB_SYNC_SNAP, to, to,
		    to);
	expect_plan(zab_sync_plan(&h, Z(4, 0), to, 5, 4), ZAB_SYNC_DIFF, to, to,
		    to);
}

static void
below_the_floor_there_is_only_a_snapshot(void **state)
{
	struct zab_history h = history_of(0, example, 2);
	const int64_t to = Z(3, 2);

	(void)state;
	zab_history_raise_floor(&h, Z(1, 5));
	expect_plan(zab_sync_plan(&h, Z(1, 4), to, 5, 3), ZAB_SYNC_SNAP, to, to,
		    to);
	expect_plan(zab_sync_plan(&h, Z(1, 5), to, 5, 3), ZAB_SYNC_DIFF, to,
		    Z(1, 5), to);
	zab_history_raise_floor(&h, Z(1, 8));
	expect_plan(zab_sync_plan(&h, Z(1, 9), to, 5, 3), ZAB_SYNC_TRUNC,
		    Z(1, 8), Z(1, 8), to);
}

static void
an_epoch_that_begins_in_its_middle_needs_a_snapshot(void **state)
{
	const struct zab_row rows[] = {{Z(1, 1), Z(1, 8)}, {Z(3, 5), Z(3, 9)}};
	const struct zab_history h = history_of(0, rows, 2);

	(void)state;
	expect_plan(zab_sync_plan(&h, Z(1, 3), Z(3, 9), 5, 3), ZAB_SYNC_SNAP,
		    Z(3, 9), Z(3, 9), Z(3, 9));
	expect_plan(zab_sync_plan(&h, Z(3, 6), Z(3, 9), 5, 3), ZAB_SYNC_DIFF,
		    Z(3, 9), Z(3, 6), Z(3, 9));
	/* Also behind a TRUNC; and a mark is nothing that could be kept. */
	expect_plan(zab_sync_plan(&h, Z(1, 9), Z(3, 9), 5, 3), ZAB_SYNC_SNAP,
		    Z(3, 9), Z(3, 9), Z(3, 9));
	struct zab_history marked;

	zab_history_init(&marked, Z(2, 0));
	assert_int_equal(zab_history_append(&marked, Z(3, 1)), 0);
	expect_plan(zab_sync_plan(&marked, Z(2, 4), Z(3, 1), 5, 3),
		    ZAB_SYNC_SNAP, Z(3, 1), Z(3, 1), Z(3, 1));
}

static void
a_tail_of_the_own_epoch_is_sent_again(void **state)
{
	const struct zab_row rows[] = {{Z(1, 1), Z(1, 8)}, {Z(5, 1), Z(5, 9)}};
	const struct zab_history h = history_of(0, rows, 2);
	struct zab_history fresh;

	(void)state;
	expect_plan(zab_sync_plan(&h, Z(5, 7), Z(5, 4), 5, 1), ZAB_SYNC_TRUNC,
		    Z(5, 4), Z(5, 4), Z(5, 4));
	/* Nothing of the epoch is committed: back to its base. */
	expect_plan(zab_sync_plan(&h, Z(5, 7), Z(1, 8), 5, 1), ZAB_SYNC_TRUNC,
		    Z(1, 8), Z(1, 8), Z(1, 8));
	/* The base is no transaction, it cannot be cut at. */
	zab_history_init(&fresh, 0);
	assert_int_equal(zab_history_append(&fresh, Z(1, 1)), 0);
	expect_plan(zab_sync_plan(&fresh, Z(1, 1), 0, 1, 0), ZAB_SYNC_SNAP, 0,
		    0, 0);
}

/* ------------------------------------------------- plans on random trees ---
 */

enum { EPOCHS = 7, PER_EPOCH = 4, LIST = EPOCHS * PER_EPOCH };

struct list {
	int64_t zxid[LIST];
	uint32_t count;
};

/* branch[e]: the longest history that the leader of epoch e had. */
static void
make_branches(struct list *branch, uint64_t *seed)
{
	memset(branch, 0, sizeof(*branch) * (EPOCHS + 1));
	for (int64_t epoch = 1; epoch <= EPOCHS; epoch++) {
		struct list *own = &branch[epoch];
		const uint32_t more = random_below(seed, PER_EPOCH + 1);

		*own = branch[random_below(seed, (uint32_t)epoch)];
		own->count =
			own->count ? random_below(seed, own->count + 1) : 0;
		for (uint32_t i = 1; i <= more; i++)
			own->zxid[own->count++] = Z(epoch, i);
	}
}

static struct zab_history
table_of(const struct list *list)
{
	struct zab_history history;

	zab_history_init(&history, 0);
	for (uint32_t i = 0; i < list->count; i++)
		assert_int_equal(zab_history_append(&history, list->zxid[i]),
				 0);
	return history;
}

/* Carries a DIFF or TRUNC out on the learner's list. */
static void
carry_out(const struct zab_sync_plan *plan, const struct list *leader,
	  struct list *learner)
{
	if (plan->kind == ZAB_SYNC_TRUNC) {
		assert_true(
			list_has(learner->zxid, learner->count, plan->zxid));
		while (learner->zxid[learner->count - 1] != plan->zxid)
			learner->count--;
	}
	for (uint32_t i = 0; i < leader->count; i++)
		if (leader->zxid[i] > plan->from && leader->zxid[i] <= plan->to)
			learner->zxid[learner->count++] = leader->zxid[i];
}

static void
every_plan_leads_to_the_leaders_history(void **state)
{
	uint64_t seed = random_start(4);
	uint32_t seen[3] = {0, 0, 0};

	(void)state;
	for (uint32_t run = 0; run < 20000 * random_times(); run++) {
		struct list branch[EPOCHS + 1];

		make_branches(branch, &seed);
		const struct list *leader =
			&branch[1 + random_below(&seed, EPOCHS)];
		struct list learner = branch[1 + random_below(&seed, EPOCHS)];

		if (leader->count == 0 || learner.count == 0)
			continue;
		learner.count = 1 + random_below(&seed, learner.count);
		struct zab_history history = table_of(leader);
		const int64_t to = history.last_zxid;

		if (random_below(&seed, 3) == 0)
			zab_history_raise_floor(&history,
						leader->zxid[random_below(
							&seed, leader->count)]);
		const struct zab_sync_plan plan =
			zab_sync_plan(&history, learner.zxid[learner.count - 1],
				      to, EPOCHS + 1, zab_epoch(to));

		seen[plan.kind]++;
		assert_int_equal(plan.to, to);
		if (plan.kind == ZAB_SYNC_SNAP)
			continue;
		carry_out(&plan, leader, &learner);
		assert_int_equal(learner.count, leader->count);
		assert_memory_equal(learner.zxid, leader->zxid,
				    leader->count * sizeof(int64_t));
	}
	for (uint32_t kind = 0; kind < 3; kind++)
		assert_true(seen[kind] > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_next_zxid_or_a_higher_epoch_follows),
		cmocka_unit_test(a_65th_epoch_raises_the_floor),
		cmocka_unit_test(a_hole_is_not_covered),
		cmocka_unit_test(the_table_agrees_with_a_list),
		cmocka_unit_test(the_decision_table_holds_row_by_row),
		cmocka_unit_test(marks_of_epochs_are_no_transactions),
		cmocka_unit_test(below_the_floor_there_is_only_a_snapshot),
		cmocka_unit_test(
			an_epoch_that_begins_in_its_middle_needs_a_snapshot),
		cmocka_unit_test(a_tail_of_the_own_epoch_is_sent_again),
		cmocka_unit_test(every_plan_leads_to_the_leaders_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
