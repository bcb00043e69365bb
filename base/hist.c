/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hist - merging and percentiles; recording and bucket arithmetic are in the
 * header. Bucket b >= 64 stands for the values v with v >> shift == sub, where
 * shift = b / 64 - 1 and sub = 64 + b % 64.
 */
#include "base/hist.h"

static inline uint64_t
word_get(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void
word_set(_Atomic uint64_t *word, uint64_t v)
{
	atomic_store_explicit(word, v, memory_order_relaxed);
}

uint64_t
hist_bucket_top(uint32_t bucket)
{
	FAL_ASSERT(bucket < HIST_BUCKETS);
	if (bucket < HIST_SUBS)
		return bucket;

	const uint32_t shift = bucket / HIST_SUBS - 1;
	const uint64_t sub = HIST_SUBS + bucket % HIST_SUBS;

	return ((sub + 1) << shift) - 1;
}

void
summary_reset(struct summary *summary)
{
	word_set(&summary->count, 0);
	word_set(&summary->sum, 0);
	word_set(&summary->smallest, 0);
	word_set(&summary->largest, 0);
}

void
summary_merge(struct summary *into, const struct summary *from)
{
	const uint64_t count = word_get(&from->count);
	const uint64_t smallest = word_get(&from->smallest);
	const uint64_t largest = word_get(&from->largest);

	if (count == 0)
		return;
	if (word_get(&into->count) == 0 || smallest < word_get(&into->smallest))
		word_set(&into->smallest, smallest);
	if (largest > word_get(&into->largest))
		word_set(&into->largest, largest);
	hist_word_add(&into->sum, word_get(&from->sum));
	hist_word_add(&into->count, count);
}

double
summary_mean(const struct summary *summary)
{
	const uint64_t count = word_get(&summary->count);

	return count == 0 ? 0.0
			  : (double)word_get(&summary->sum) / (double)count;
}

void
hist_reset(struct hist *hist)
{
	for (uint32_t b = 0; b < HIST_BUCKETS; b++)
		word_set(&hist->bucket[b], 0);
	summary_reset(&hist->summary);
}

void
hist_merge(struct hist *into, const struct hist *from)
{
	summary_merge(&into->summary, &from->summary);
	for (uint32_t b = 0; b < HIST_BUCKETS; b++)
		hist_word_add(&into->bucket[b], word_get(&from->bucket[b]));
}

uint64_t
hist_quantile(const struct hist *hist, double share)
{
	const uint64_t largest = word_get(&hist->summary.largest);
	uint64_t count = 0, seen = 0;

	FAL_ASSERT(share >= 0.0 && share <= 1.0);
	/* Counted here and not taken from the summary: the owner may be between
	 * its two stores. */
	for (uint32_t b = 0; b < HIST_BUCKETS; b++)
		count += word_get(&hist->bucket[b]);
	if (count == 0)
		return 0;

	const double exact = share * (double)count;
	uint64_t rank = (uint64_t)exact;

	if ((double)rank < exact || rank == 0)
		rank++;
	for (uint32_t b = 0; b < HIST_BUCKETS - 1; b++) {
		seen += word_get(&hist->bucket[b]);
		if (seen < rank)
			continue;
		const uint64_t top = hist_bucket_top(b);

		return top < largest ? top : largest;
	}
	return largest;
}
