/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a reader finds the times of a transaction or none, never those of
 *         another; the slowest requests are kept, of this window and the last.
 * Method  every place of the ledger is used twice, then one thread writes while
 *         another reads times that are functions of the zxid; random totals
 *         beside a sorted copy of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "dataplane/ledger.h"
#include "dataplane/slow.h"

#define ROUNDS 400000u

static struct ledger ledger;
static struct slow slow;

static struct ledger_times
times_of(uint64_t zxid)
{
	return (struct ledger_times){.appended_ns = zxid * 3,
				     .durable_ns = zxid * 5,
				     .published_ns = zxid * 7};
}

static void
note(uint64_t zxid)
{
	const struct ledger_times times = times_of(zxid);

	ledger_note(&ledger, (int64_t)zxid, &times);
}

static void
assert_is(uint64_t zxid, const struct ledger_times *got)
{
	const struct ledger_times want = times_of(zxid);

	assert_memory_equal(got, &want, sizeof(want));
}

static void
test_newest_are_found(void **state)
{
	const uint64_t first = (7ull << 32) + 1;
	struct ledger_times got;

	(void)state;
	for (uint64_t z = first; z < first + 2 * LEDGER_PLACES; z++) {
		assert_false(ledger_find(&ledger, z, &got));
		note(z);
	}
	for (uint64_t z = first; z < first + 2 * LEDGER_PLACES; z++) {
		const bool is_there = z >= first + LEDGER_PLACES;

		assert_int_equal(ledger_find(&ledger, z, &got), is_there);
		if (is_there)
			assert_is(z, &got);
	}
}

/* One place only, so that the reader meets the writer in it. */
static void *
write_one_place(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; i <= ROUNDS; i++)
		note(i * LEDGER_PLACES);
	return NULL;
}

static void
test_reader_beside_writer(void **state)
{
	pthread_t writer;
	struct ledger_times got;

	(void)state;
	assert_int_equal(pthread_create(&writer, NULL, write_one_place, NULL),
			 0);
	for (uint64_t i = 1; i <= ROUNDS; i++)
		if (ledger_find(&ledger, i * LEDGER_PLACES, &got))
			assert_is(i * LEDGER_PLACES, &got);
	pthread_join(writer, NULL);
	assert_true(
		ledger_find(&ledger, (uint64_t)ROUNDS * LEDGER_PLACES, &got));
}

static int
by_size(const void *a, const void *b)
{
	const uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

	return one > other ? -1 : one < other;
}

static void
assert_are(const struct slow_window *window, const uint64_t *sorted,
	   uint32_t count)
{
	uint64_t got[SLOW_PLACES];

	assert_int_equal(window->count, count);
	for (uint32_t i = 0; i < count; i++)
		got[i] = window->request[i].total_ns;
	qsort(got, count, sizeof(got[0]), by_size);
	assert_memory_equal(got, sorted, count * sizeof(got[0]));
}

static void
test_slowest_are_kept(void **state)
{
	uint64_t total[500], early[2] = {900, 800};

	(void)state;
	srandom(11);
	for (uint32_t i = 0; i < 500; i++) {
		total[i] = (uint64_t)random() % 100000;
		slow_place(&slow, 1000, total[i]);
	}
	qsort(total, 500, sizeof(total[0]), by_size);
	assert_are(&slow.now, total, SLOW_PLACES);
	assert_null(slow_place(&slow, 1000, total[SLOW_PLACES - 1]));

	slow_place(&slow, SLOW_WINDOW_MS, early[1]);
	slow_place(&slow, SLOW_WINDOW_MS + 1, early[0]);
	assert_are(&slow.now, early, 2);
	assert_are(&slow.before, total, SLOW_PLACES);
	/* Nothing for two windows: all of it is old. */
	slow_turn(&slow, 4 * SLOW_WINDOW_MS);
	assert_are(&slow.now, NULL, 0);
	assert_are(&slow.before, NULL, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest_are_found),
		cmocka_unit_test(test_reader_beside_writer),
		cmocka_unit_test(test_slowest_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
