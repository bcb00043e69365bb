/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_HIST_H
#define FALCONER_BASE_HIST_H

/*
 * hist - what became of many values: count, sum, extremes, and a log-linear
 * histogram for percentiles.
 *
 * Values below 64 have a bucket each; above, every octave (2^k .. 2^(k+1)-1)
 * is cut into 64 equal buckets. So a percentile is at most 1/64 = 1.6 % above
 * the true value, over 12 decades and in 18 KB, and recording is a shift and
 * three additions. HdrHistogram does the same; its C library is not packaged.
 *
 * Context    *_record() and *_reset(): the one owner thread of the object.
 *            *_merge() from it and the queries: any thread; they see each
 *            word whole, though not all words of one moment.
 * Ownership  plain objects without pointers; zero is a valid empty one.
 * Limits     values above HIST_VALUE_MAX count in the last bucket, while
 *            `largest` stays exact.
 * Cost       hist_record(): about 3 ns, inline, no locked instruction. Queries
 * walk the HIST_BUCKETS words.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "base/fal.h"

#define HIST_SUB_BITS 6u /* 64 buckets an octave */
#define HIST_SUBS     (1u << HIST_SUB_BITS)
#define HIST_OCTAVES  34u /* above the first 64 values */
#define HIST_BUCKETS  ((HIST_OCTAVES + 1) * HIST_SUBS)
#define HIST_VALUE_MAX \
	((1ull << (HIST_OCTAVES + HIST_SUB_BITS)) - 1) /* in ns: 18 minutes */

/* Count, sum and extremes; `smallest` is valid once count > 0. */
struct summary {
	_Atomic uint64_t count;
	_Atomic uint64_t sum;
	_Atomic uint64_t smallest;
	_Atomic uint64_t largest;
};

struct hist {
	struct summary summary;
	_Atomic uint64_t bucket[HIST_BUCKETS];
};

/* Adds n to a word that only the caller's thread writes. */
static inline void
hist_word_add(_Atomic uint64_t *word, uint64_t n)
{
	/* Load and store instead of a locked add: there is one writer. */
	atomic_store_explicit(
		word, atomic_load_explicit(word, memory_order_relaxed) + n,
		memory_order_relaxed);
}

/* The bucket that counts `value`, 0..HIST_BUCKETS-1. */
static inline uint32_t
hist_bucket_of(uint64_t value)
{
	if (value < HIST_SUBS)
		return (uint32_t)value;
	if (value > HIST_VALUE_MAX)
		return HIST_BUCKETS - 1;

	const uint32_t top = 63u - (uint32_t)__builtin_clzll(value);
	const uint32_t shift = top - HIST_SUB_BITS;

	/* The top bit of value >> shift is set and stands for the octave. */
	return shift * HIST_SUBS + (uint32_t)(value >> shift);
}

/* The highest value that `bucket` counts. */
uint64_t hist_bucket_top(uint32_t bucket);

/* `count` times the same value. */
static inline void
summary_record_many(struct summary *summary, uint64_t value, uint64_t count)
{
	const uint64_t before =
		atomic_load_explicit(&summary->count, memory_order_relaxed);

	if (FAL_UNLIKELY(before == 0 ||
			 value < atomic_load_explicit(&summary->smallest,
						      memory_order_relaxed)))
		atomic_store_explicit(&summary->smallest, value,
				      memory_order_relaxed);
	if (FAL_UNLIKELY(value > atomic_load_explicit(&summary->largest,
						      memory_order_relaxed)))
		atomic_store_explicit(&summary->largest, value,
				      memory_order_relaxed);
	hist_word_add(&summary->sum, value * count);
	atomic_store_explicit(&summary->count, before + count,
			      memory_order_relaxed);
}

/* `count` values (> 0) of which sum and extremes are known. */
static inline void
summary_record_all(struct summary *summary, uint64_t count, uint64_t sum,
		   uint64_t smallest, uint64_t largest)
{
	summary_record_many(summary, smallest, 1);
	summary_record_many(summary, largest, 0);
	hist_word_add(&summary->sum, sum - smallest);
	hist_word_add(&summary->count, count - 1);
}

static inline void
summary_record(struct summary *summary, uint64_t value)
{
	summary_record_many(summary, value, 1);
}

void summary_reset(struct summary *summary);

/* Adds `from`, possibly written meanwhile, to `into`, which the caller owns. */
void summary_merge(struct summary *into, const struct summary *from);

/* What was recorded; 0 when empty. */
static inline uint64_t
summary_count(const struct summary *summary)
{
	return atomic_load_explicit(&summary->count, memory_order_relaxed);
}

static inline uint64_t
summary_sum(const struct summary *summary)
{
	return atomic_load_explicit(&summary->sum, memory_order_relaxed);
}

static inline uint64_t
summary_lowest(const struct summary *summary)
{
	return summary_count(summary) == 0
		       ? 0
		       : atomic_load_explicit(&summary->smallest,
					      memory_order_relaxed);
}

static inline uint64_t
summary_highest(const struct summary *summary)
{
	return atomic_load_explicit(&summary->largest, memory_order_relaxed);
}

/* The mean, 0 when empty. */
double summary_mean(const struct summary *summary);

/* `count` times the same value: a burst that was answered together. */
static inline void
hist_record_many(struct hist *hist, uint64_t value, uint64_t count)
{
	hist_word_add(&hist->bucket[hist_bucket_of(value)], count);
	summary_record_many(&hist->summary, value, count);
}

static inline void
hist_record(struct hist *hist, uint64_t value)
{
	hist_record_many(hist, value, 1);
}

void hist_reset(struct hist *hist);
void hist_merge(struct hist *into, const struct hist *from);

/*
 * The lowest value that at least `share` of the recorded ones do not exceed,
 * rounded up to the top of its bucket but never above the largest recorded.
 *
 * share  0.0 .. 1.0; 0.5 is the median
 *
 * Returns 0 when the histogram is empty.
 */
uint64_t hist_quantile(const struct hist *hist, double share);

#endif
