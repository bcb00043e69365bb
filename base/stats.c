/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats - the blocks, their sums and their names. The tables below come from
 * stats.def, so a new line there needs no change here.
 *
 * A reset cannot zero another core's words: the owner might be between load
 * and store and bring the old value back. So it is asked for, and the owner
 * obeys at its next poll.
 */
#include "base/stats.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *metric;
	enum stat_kind kind;
} stat_info[STAT_COUNT] = {
#define STAT(name, kind_, metric_) \
	[name] = {.metric = (metric_), .kind = STAT_KIND_##kind_},
#include "base/stats.def"
#undef STAT
};

static const struct {
	const char *metric;
	enum stat_kind kind;
} summary_info[SUMMARY_COUNT] = {
#define STAT_SUMMARY(name, kind_, metric_) \
	[name] = {.metric = (metric_), .kind = STAT_KIND_##kind_},
#include "base/stats.def"
#undef STAT_SUMMARY
};

static const struct {
	const char *metric;
	const char *label;
} hist_info[HIST_COUNT] = {
#define STAT_HIST(name, metric_, label_) \
	[name] = {.metric = (metric_), .label = (label_)},
#include "base/stats.def"
#undef STAT_HIST
};

_Static_assert(sizeof(struct stats_core) % FAL_CACHE_LINE_BYTES == 0,
	       "blocks of two cores share no cache line");

int
stats_init(struct stats *stats, uint32_t core_count)
{
	FAL_ASSERT(core_count >= 1 && core_count <= STATS_CORES_MAX);

	const size_t bytes = core_count * sizeof(struct stats_core);

	stats->core = aligned_alloc(FAL_CACHE_LINE_BYTES, bytes);
	if (stats->core == NULL)
		return FAL_ENOMEM;
	memset(stats->core, 0, bytes);
	stats->core_count = core_count;
	return FAL_OK;
}

void
stats_free(struct stats *stats)
{
	free(stats->core);
	stats->core = NULL;
	stats->core_count = 0;
}

void
stats_reset_obey(struct stats_core *core)
{
	core->reset_done =
		atomic_load_explicit(&core->reset_asked, memory_order_relaxed);
	for (uint32_t i = 0; i < STAT_COUNT; i++)
		if (stat_info[i].kind == STAT_KIND_SINCE_RESET)
			stats_set(core, (enum stat)i, 0);
	for (uint32_t i = 0; i < SUMMARY_COUNT; i++)
		if (summary_info[i].kind == STAT_KIND_SINCE_RESET)
			summary_reset(&core->summary[i]);
}

void
stats_reset(struct stats *stats)
{
	for (uint32_t i = 0; i < stats->core_count; i++)
		hist_word_add(&stats->core[i].reset_asked, 1);
}

uint64_t
stats_sum(const struct stats *stats, enum stat stat)
{
	uint64_t sum = 0, highest = 0;

	FAL_ASSERT(stat < STAT_COUNT);
	for (uint32_t i = 0; i < stats->core_count; i++) {
		const uint64_t v = atomic_load_explicit(
			&stats->core[i].word[stat], memory_order_relaxed);

		sum += v;
		highest = v > highest ? v : highest;
	}
	return stat_info[stat].kind == STAT_KIND_PEAK ? highest : sum;
}

void
stats_summary_gather(const struct stats *stats, enum stat_summary which,
		     struct summary *into)
{
	FAL_ASSERT(which < SUMMARY_COUNT);
	for (uint32_t i = 0; i < stats->core_count; i++)
		summary_merge(into, &stats->core[i].summary[which]);
}

void
stats_hist_gather(const struct stats *stats, enum stat_hist which,
		  struct hist *into)
{
	FAL_ASSERT(which < HIST_COUNT);
	for (uint32_t i = 0; i < stats->core_count; i++)
		hist_merge(into, &stats->core[i].hist[which]);
}

const char *
stats_name(enum stat stat)
{
	FAL_ASSERT(stat < STAT_COUNT);
	return stat_info[stat].metric;
}

const char *
stats_summary_name(enum stat_summary which)
{
	FAL_ASSERT(which < SUMMARY_COUNT);
	return summary_info[which].metric;
}

const char *
stats_hist_name(enum stat_hist which)
{
	FAL_ASSERT(which < HIST_COUNT);
	return hist_info[which].metric;
}

const char *
stats_hist_label(enum stat_hist which)
{
	FAL_ASSERT(which < HIST_COUNT);
	return hist_info[which].label;
}

enum stat_kind
stats_kind(enum stat stat)
{
	FAL_ASSERT(stat < STAT_COUNT);
	return stat_info[stat].kind;
}

enum stat_kind
stats_summary_kind(enum stat_summary which)
{
	FAL_ASSERT(which < SUMMARY_COUNT);
	return summary_info[which].kind;
}
