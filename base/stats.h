/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_STATS_H
#define FALCONER_BASE_STATS_H

/*
 * stats - counters, gauges and latencies, kept per core and added up on
 * demand.
 *
 * Each core owns a block that only it writes, so counting is a plain addition
 * in its own cache line: no locked instruction and no line that moves between
 * cores. Whoever answers mntr adds the blocks up; that is rare and may cost
 * the owners a cache miss each. The list of what is counted is stats.def.
 *
 * Context    stats_add/set/peak/..._record() and stats_reset_poll(): the core
 *            that owns the block. stats_sum(), *_gather(), stats_reset():
 *            any thread, the control thread as a rule.
 * Ownership  struct stats owns the blocks; they live from stats_init() to
 *            stats_free(), which comes after the cores have ended.
 * Limits     STATS_CORES_MAX blocks.
 * Cost       stats_add(): two instructions. A block is about 500 KB, most of it
 *            histograms of which a few lines are warm.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "base/fal.h"
#include "base/hist.h"

#define STATS_CORES_MAX 64u

enum stat {
#define STAT(name, kind, metric) name,
#include "base/stats.def"
#undef STAT
	STAT_COUNT,
};

enum stat_summary {
#define STAT_SUMMARY(name, kind, metric) name,
#include "base/stats.def"
#undef STAT_SUMMARY
	SUMMARY_COUNT,
};

enum stat_hist {
#define STAT_HIST(name, metric, label) name,
#include "base/stats.def"
#undef STAT_HIST
	HIST_COUNT,
};

/* How the words of all cores become one number, see stats.def. */
enum stat_kind {
	STAT_KIND_COUNTER,
	STAT_KIND_SINCE_RESET,
	STAT_KIND_GAUGE,
	STAT_KIND_PEAK,
};

struct stats_core {
	/* Written by the owner. */
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t word[STAT_COUNT];
	struct summary summary[SUMMARY_COUNT];
	struct hist hist[HIST_COUNT];
	uint64_t reset_done; /* the last reset_asked that was obeyed */
	/* Written by whoever wants a reset. */
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint64_t reset_asked;
};

struct stats {
	struct stats_core *core; /* core_count entries */
	uint32_t core_count;     /* 1..STATS_CORES_MAX */
};

/* Makes zeroed blocks for core_count cores (1..STATS_CORES_MAX).
 * Returns 0 or FAL_ENOMEM. */
FAL_MUST_CHECK int stats_init(struct stats *stats, uint32_t core_count);
void stats_free(struct stats *stats);

static inline void
stats_add(struct stats_core *core, enum stat stat, uint64_t n)
{
	hist_word_add(&core->word[stat], n);
}

/* For gauges that go down. */
static inline void
stats_sub(struct stats_core *core, enum stat stat, uint64_t n)
{
	hist_word_add(&core->word[stat], 0 - n);
}

static inline void
stats_set(struct stats_core *core, enum stat stat, uint64_t v)
{
	atomic_store_explicit(&core->word[stat], v, memory_order_relaxed);
}

/* Raises the word to v if it is lower. */
static inline void
stats_peak(struct stats_core *core, enum stat stat, uint64_t v)
{
	if (atomic_load_explicit(&core->word[stat], memory_order_relaxed) < v)
		stats_set(core, stat, v);
}

static inline void
stats_summary_record(struct stats_core *core, enum stat_summary which,
		     uint64_t value)
{
	summary_record(&core->summary[which], value);
}

static inline void
stats_hist_record(struct stats_core *core, enum stat_hist which, uint64_t value)
{
	hist_record(&core->hist[which], value);
}

void stats_reset_obey(struct stats_core *core);

/* Obeys a reset that was asked for; once per poll iteration. */
static inline void
stats_reset_poll(struct stats_core *core)
{
	if (FAL_UNLIKELY(atomic_load_explicit(&core->reset_asked,
					      memory_order_relaxed) !=
			 core->reset_done))
		stats_reset_obey(core);
}

/* Asks every core to empty what counts since the last reset. It is done when
 * the cores have polled; what is recorded until then is lost. One thread. */
void stats_reset(struct stats *stats);

/* The word of all cores as its kind says: the sum, or the highest. */
uint64_t stats_sum(const struct stats *stats, enum stat stat);

/* Adds the cores' values into *into, which the caller has zeroed. */
void stats_summary_gather(const struct stats *stats, enum stat_summary which,
			  struct summary *into);
void stats_hist_gather(const struct stats *stats, enum stat_hist which,
		       struct hist *into);

/* Names as mntr shows them without zk_; valid for ever. */
const char *stats_name(enum stat stat);
const char *stats_summary_name(enum stat_summary which);
const char *stats_hist_name(enum stat_hist which);
const char *stats_hist_label(enum stat_hist which); /* "": none */
enum stat_kind stats_kind(enum stat stat);
enum stat_kind stats_summary_kind(enum stat_summary which);

#endif
