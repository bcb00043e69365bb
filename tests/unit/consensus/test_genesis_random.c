/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    At most one ensemble id is ever founded.
 * Method  random runs of five with loss, repetition, reordering, crashes
 *         between write and answer, and emptied disks.
 */
#include "genesis_rig.h"

/* ------------------------------------------------------------- at random ---
 */

/* How many that founded, or hold the founded value, have kept their disk. */
static uint32_t
witnesses(const struct world *w)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < w->count; i++)
		count += memcmp(w->disk[i].id, w->id, GENESIS_ID_BYTES) == 0 &&
			 w->disk[i].accepted_ballot != 0;
	return count;
}

static void
disturb(struct world *w, uint64_t *seed)
{
	const uint32_t i = random_below(seed, w->count);

	switch (random_below(seed, 12)) {
	case 0:
		if (w->is_up[i])
			stop(w, i);
		break;
	case 1:
	case 2:
		if (!w->is_up[i])
			start(w, i);
		break;
	case 3: /* Emptying a majority is outside of every guarantee. */
		if (!w->is_up[i] && w->has_founded &&
		    witnesses(w) > w->count / 2 + 1)
			wipe(w, i);
		break;
	case 4:
		w->now += random_below(seed, 300);
		break;
	case 5:
		if (w->letters > 0) {
			w->letters--;
			memmove(&w->letter[0], &w->letter[1],
				w->letters * sizeof(w->letter[0]));
		}
		break;
	default:
		break;
	}
}

static void
one_id_whatever_happens(void **state)
{
	uint64_t seed = random_start(6);
	uint32_t founded = 0;

	(void)state;
	for (uint32_t run_index = 0; run_index < 2000 * random_times();
	     run_index++) {
		static struct world w;

		make_world(&w, 3 + 2 * random_below(&seed, 2));
		for (uint32_t step = 0; step < 600; step++) {
			const uint32_t i = random_below(&seed, w.count);

			disturb(&w, &seed);
			if (random_below(&seed, 2))
				(void)finish_write(&w, i);
			if (w.letters > 0)
				deliver(&w, random_below(&seed, w.letters),
					random_below(&seed, 8) == 0);
			if (w.is_up[i] &&
			    genesis_wake_ms(&w.genesis[i]) <= w.now)
				event(&w, i,
				      (struct genesis_event){
					      .type = GENESIS_EV_TICK});
		}
		/* Calm: all start, and know after a while. */
		w.letters = 0;
		for (uint32_t i = 0; i < w.count; i++)
			if (!w.is_up[i])
				start(&w, i);
		run(&w, 20000);
		assert_true(w.has_founded);
		for (uint32_t i = 0; i < w.count; i++) {
			assert_true(w.outcome[i] == GENESIS_FOUNDS ||
				    w.outcome[i] == GENESIS_JOINS);
			founded += w.outcome[i] == GENESIS_FOUNDS;
		}
	}
	assert_true(founded > 2000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_id_whatever_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
