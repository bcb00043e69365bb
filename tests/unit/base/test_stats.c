/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    percentiles are within 1/64 of the truth and never below it; sums
 *         over cores are exact; a reset empties what it should and nothing
 *         else, without a core losing later counts.
 * Method  bucket borders by hand, then random values beside a sorted array;
 *         cores as real threads for what is shared (TSan).
 */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/stats.h"

static uint64_t
next_random(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t
seed_of_run(void)
{
	const char *given = getenv("FAL_SEED");
	const uint64_t seed =
		given != NULL ? strtoull(given, NULL, 0) : 20260131;

	printf("seed: FAL_SEED=%" PRIu64 "\n", seed);
	return seed;
}

static void
buckets_follow_each_other_without_gap(void **state)
{
	uint64_t value = 0;

	(void)state;
	for (uint32_t b = 0; b < HIST_BUCKETS; b++) {
		const uint64_t top = hist_bucket_top(b);

		assert_true(top >= value);
		assert_int_equal(hist_bucket_of(value), b);
		assert_int_equal(hist_bucket_of(top), b);
		/* the promised precision: a bucket is 1/64 of its values */
		assert_true((top - value) * HIST_SUBS <= value);
		value = top + 1;
	}
	assert_int_equal(value - 1, HIST_VALUE_MAX);
	assert_int_equal(hist_bucket_of(UINT64_MAX), HIST_BUCKETS - 1);
}

static void
an_empty_histogram_answers_zero(void **state)
{
	static struct hist hist;

	(void)state;
	assert_int_equal(hist_quantile(&hist, 0.0), 0);
	assert_int_equal(hist_quantile(&hist, 1.0), 0);
	assert_true(summary_mean(&hist.summary) == 0.0);
}

static void
small_values_have_exact_percentiles(void **state)
{
	static struct hist hist;

	(void)state;
	for (uint64_t v = 1; v <= 50; v++)
		hist_record(&hist, v);
	assert_int_equal(hist_quantile(&hist, 0.0), 1);
	assert_int_equal(hist_quantile(&hist, 0.5), 25);
	assert_int_equal(hist_quantile(&hist, 0.51), 26);
	assert_int_equal(hist_quantile(&hist, 1.0), 50);
	assert_int_equal(hist.summary.count, 50);
	assert_int_equal(hist.summary.sum, 50 * 51 / 2);
	assert_int_equal(hist.summary.smallest, 1);
	assert_int_equal(hist.summary.largest, 50);
	assert_true(summary_mean(&hist.summary) == 25.5);
}

static void
values_beyond_the_range_keep_an_exact_maximum(void **state)
{
	static struct hist hist;

	(void)state;
	hist_record(&hist, UINT64_MAX);
	hist_record(&hist, 5);
	assert_int_equal(hist_quantile(&hist, 1.0), UINT64_MAX);
	assert_int_equal(hist_quantile(&hist, 0.5), 5);
}

static int
by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
agrees_with_a_sorted_array(void **state)
{
	enum { VALUES = 5000 };
	static uint64_t value[VALUES];
	static const double shares[] = {0.001, 0.1,   0.5,    0.9,
					0.99,  0.999, 0.9999, 1.0};
	uint64_t seed = seed_of_run();

	(void)state;
	for (uint32_t round = 0; round < 50; round++) {
		static struct hist part[2], whole;
		const uint32_t count =
			1 + (uint32_t)(next_random(&seed) % VALUES);

		hist_reset(&part[0]);
		hist_reset(&part[1]);
		hist_reset(&whole);
		for (uint32_t i = 0; i < count; i++) {
			const uint32_t bits =
				(uint32_t)(next_random(&seed) % 40) + 24;

			value[i] = next_random(&seed) >> bits;
			hist_record(&part[i % 2], value[i]);
		}
		hist_merge(&whole, &part[0]);
		hist_merge(&whole, &part[1]);
		qsort(value, count, sizeof(value[0]), by_value);
		for (size_t s = 0; s < sizeof(shares) / sizeof(shares[0]);
		     s++) {
			uint32_t rank = 0;

			while ((double)rank < shares[s] * (double)count)
				rank++;
			const uint64_t exact = value[rank - 1];
			const uint64_t got = hist_quantile(&whole, shares[s]);

			assert_true(got >= exact);
			assert_true((got - exact) * HIST_SUBS <= exact);
		}
		assert_int_equal(whole.summary.count, count);
		assert_int_equal(whole.summary.smallest, value[0]);
		assert_int_equal(whole.summary.largest, value[count - 1]);
	}
}

static void
sums_and_peaks_follow_their_kind(void **state)
{
	struct stats stats;

	(void)state;
	assert_int_equal(stats_init(&stats, 3), FAL_OK);
	stats_add(&stats.core[0], STAT_READS, 5);
	stats_add(&stats.core[2], STAT_READS, 7);
	stats_set(&stats.core[0], STAT_CONNECTIONS, 4);
	stats_set(&stats.core[1], STAT_CONNECTIONS, 9);
	stats_sub(&stats.core[1], STAT_CONNECTIONS, 2);
	stats_peak(&stats.core[0], STAT_RING_PEAK, 8);
	stats_peak(&stats.core[1], STAT_RING_PEAK, 6);
	stats_peak(&stats.core[1], STAT_RING_PEAK, 3);
	assert_int_equal(stats_sum(&stats, STAT_READS), 12);
	assert_int_equal(stats_sum(&stats, STAT_CONNECTIONS), 11);
	assert_int_equal(stats_sum(&stats, STAT_RING_PEAK), 8);
	assert_int_equal(stats_sum(&stats, STAT_UPDATES), 0);
	stats_free(&stats);
}

static void
a_reset_empties_what_srst_resets_and_nothing_else(void **state)
{
	struct stats stats;
	struct summary latency = {0};

	(void)state;
	assert_int_equal(stats_init(&stats, 2), FAL_OK);
	for (uint32_t i = 0; i < 2; i++) {
		stats_add(&stats.core[i], STAT_PACKETS_RECEIVED, 3);
		stats_add(&stats.core[i], STAT_READS, 3);
		stats_set(&stats.core[i], STAT_CONNECTIONS, 3);
		stats_summary_record(&stats.core[i], SUMMARY_REQUEST_LATENCY,
				     40);
		stats_summary_record(&stats.core[i], SUMMARY_SYNC_BATCH, 2);
	}
	stats_reset(&stats);
	stats_reset_poll(&stats.core[0]);
	assert_int_equal(stats_sum(&stats, STAT_PACKETS_RECEIVED), 3);
	stats_reset_poll(&stats.core[1]);
	assert_int_equal(stats_sum(&stats, STAT_PACKETS_RECEIVED), 0);
	assert_int_equal(stats_sum(&stats, STAT_READS), 6);
	assert_int_equal(stats_sum(&stats, STAT_CONNECTIONS), 6);
	stats_summary_gather(&stats, SUMMARY_REQUEST_LATENCY, &latency);
	assert_int_equal(latency.count, 0);
	stats_summary_gather(&stats, SUMMARY_SYNC_BATCH, &latency);
	assert_int_equal(latency.count, 2);
	/* Obeyed once: what comes later stays. */
	stats_add(&stats.core[0], STAT_PACKETS_RECEIVED, 1);
	stats_reset_poll(&stats.core[0]);
	assert_int_equal(stats_sum(&stats, STAT_PACKETS_RECEIVED), 1);
	stats_free(&stats);
}

static void
every_name_is_there_and_unique(void **state)
{
	static char name[STAT_COUNT + SUMMARY_COUNT + HIST_COUNT][128];
	uint32_t count = 0;

	(void)state;
	for (uint32_t i = 0; i < STAT_COUNT; i++)
		strcpy(name[count++], stats_name((enum stat)i));
	for (uint32_t i = 0; i < SUMMARY_COUNT; i++)
		strcpy(name[count++], stats_summary_name((enum stat_summary)i));
	for (uint32_t i = 0; i < HIST_COUNT; i++)
		snprintf(name[count++], sizeof(name[0]), "%s{%s}",
			 stats_hist_name((enum stat_hist)i),
			 stats_hist_label((enum stat_hist)i));
	for (uint32_t i = 0; i < count; i++) {
		assert_true(strlen(name[i]) > 0);
		for (uint32_t j = 0; j < i; j++)
			assert_string_not_equal(name[i], name[j]);
	}
	assert_int_equal(stats_kind(STAT_RING_PEAK), STAT_KIND_PEAK);
}

#define COUNTS 200000u

static void *
count_many(void *arg)
{
	struct stats_core *core = arg;

	for (uint32_t i = 0; i < COUNTS; i++) {
		stats_reset_poll(core);
		stats_add(core, STAT_READS, 1);
		stats_hist_record(core, HIST_READ_LATENCY, i);
	}
	return NULL;
}

static void
sums_taken_meanwhile_only_grow_and_end_exact(void **state)
{
	static struct hist hist;
	pthread_t thread[2];
	struct stats stats;
	uint64_t seen = 0;

	(void)state;
	assert_int_equal(stats_init(&stats, 2), FAL_OK);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, count_many,
						&stats.core[i]),
				 0);
	for (uint32_t i = 0; i < 200; i++) {
		const uint64_t now = stats_sum(&stats, STAT_READS);

		assert_true(now >= seen);
		seen = now;
		hist_reset(&hist);
		stats_hist_gather(&stats, HIST_READ_LATENCY, &hist);
		stats_reset(&stats);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	hist_reset(&hist);
	stats_hist_gather(&stats, HIST_READ_LATENCY, &hist);
	assert_int_equal(stats_sum(&stats, STAT_READS), 2 * COUNTS);
	assert_int_equal(hist.summary.count, 2 * COUNTS);
	assert_int_equal(hist_quantile(&hist, 1.0), COUNTS - 1);
	stats_free(&stats);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_follow_each_other_without_gap),
		cmocka_unit_test(an_empty_histogram_answers_zero),
		cmocka_unit_test(small_values_have_exact_percentiles),
		cmocka_unit_test(values_beyond_the_range_keep_an_exact_maximum),
		cmocka_unit_test(agrees_with_a_sorted_array),
		cmocka_unit_test(sums_and_peaks_follow_their_kind),
		cmocka_unit_test(
			a_reset_empties_what_srst_resets_and_nothing_else),
		cmocka_unit_test(every_name_is_there_and_unique),
		cmocka_unit_test(sums_taken_meanwhile_only_grow_and_end_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
