/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_falc - the answer to falc: one screen about what is Falconer's own:
 * cores, rings between them, log, tree. For people; programs read mntr.
 *
 * Everything is read from counters and cursors that any thread may look at, so
 * the figures are of one moment only nearly.
 */
#include "server/words_text.h"

#include <inttypes.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "server/version.h"
#include "server/words_mntr.h"

static uint64_t
count_of(const struct server *server, uint32_t core, enum stat which)
{
	return atomic_load_explicit(&server->stats.core[core].word[which],
				    memory_order_relaxed);
}

/* ns as us, with one decimal below 100. */
static void
put_us(FILE *out, uint64_t ns)
{
	if (ns < 100 * NS_PER_US)
		fprintf(out, " %8.1f", (double)ns / NS_PER_US);
	else
		fprintf(out, " %8llu", (unsigned long long)(ns / NS_PER_US));
}

static void
put_core(FILE *out, const struct server *server, uint32_t index)
{
	const struct server_core *core = &server->core[index];
	const struct hist *loop =
		&server->stats.core[index].hist[HIST_LOOP_TIME];
	char cpu[16] = "any";

	if (core->cpu != LCORE_ANY_CPU)
		snprintf(cpu, sizeof(cpu), "%d", core->cpu);
	fprintf(out,
		"%4" PRIu32 " %4s %-10s %7" PRIu64 " %12" PRIu64 " %12" PRIu64
		" %10" PRIu64 " %6" PRIu64,
		index, cpu,
		core->has_reader ? core->has_zab ? "READER+ZAB" : "READER"
				 : "ZAB",
		count_of(server, index, STAT_CONNECTIONS),
		count_of(server, index, STAT_READS),
		count_of(server, index, STAT_LOOP_ITERATIONS),
		count_of(server, index, STAT_LOOP_SLEEPS),
		count_of(server, index, STAT_LOOP_STALLS));
	put_us(out, hist_quantile(loop, 0.5));
	put_us(out, hist_quantile(loop, 0.99));
	put_us(out, summary_highest(&loop->summary));
	fputc('\n', out);
}

static void
put_cores(FILE *out, const struct server *server)
{
	fprintf(out, "\ncore  cpu roles        conns        reads       rounds "
		     "    sleeps stalls  p50 us   p99 us   max us\n");
	for (uint32_t i = 0; i < server->core_count; i++)
		put_core(out, server, i);
}

static void
put_ring(FILE *out, const char *name, uint32_t core, const struct ring *ring)
{
	const uint32_t count = ring_count(ring);

	fprintf(out, "%4" PRIu32 " %-26s %8" PRIu32 " of %" PRIu32 "\n", core,
		name, count, count + ring_free_count(ring));
}

static void
put_rings(FILE *out, const struct server *server)
{
	fputs("\ncore ring                         queued\n", out);
	for (uint32_t i = 0; i < server->reader_count; i++) {
		const struct channel *channel = &server->core[i].channel;

		put_ring(out, "R1a sessions to ZAB", i, &channel->session_lane);
		put_ring(out, "R1b requests to ZAB", i, &channel->data_lane);
		put_ring(out, "R3 answers from ZAB", i, &channel->unicast);
	}
	fprintf(out,
		" all R2 transactions            %5" PRIu64
		" applied, not published\n",
		stats_sum(&server->stats, STAT_PROPOSALS_OUTSTANDING));
	fprintf(out, "full rings met: %" PRIu64 "\n",
		stats_sum(&server->stats, STAT_RING_FULL));
}

static void
put_log(FILE *out, struct server *server)
{
	const struct hist *sync =
		&server_log_stats(server)->hist[HIST_FSYNC_TIME];
	struct txlog_counters counters;

	txlog_counters(server->txlog, &counters);
	fprintf(out,
		"\nlog  %s, window %" PRId32 " MB, waiting %" PRIu64
		" bytes, files %" PRIu64 "\n     %" PRIu64
		" records in %" PRIu64 " writes, %" PRIu64
		" bytes to the device\n     write us p50/p99/max",
		server->config->fsync_enabled ? "synced" : "NOT synced",
		server->config->window_mb, txlog_pending_bytes(server->txlog),
		counters.files, counters.records, counters.writes,
		counters.bytes_written);
	put_us(out, hist_quantile(sync, 0.5));
	put_us(out, hist_quantile(sync, 0.99));
	put_us(out, summary_highest(&sync->summary));
	fprintf(out,
		"\n     snapshots %" PRIu64 ", transactions %" PRIu64
		" (%" PRIu64 " failed)\n",
		stats_sum(&server->stats, STAT_SNAPSHOTS),
		stats_sum(&server->stats, STAT_TXNS),
		stats_sum(&server->stats, STAT_ERROR_TXNS));
}

static void
put_tree(FILE *out, const struct server *server)
{
	struct tree_counts counts;

	tree_counts(server->tree, &counts);
	fprintf(out,
		"\ntree %" PRIu64 " nodes (%" PRIu64 " ephemeral, %" PRIu64
		" container, %" PRIu64 " TTL), %" PRIu64
		" versions\n     %" PRIu64 " bytes used, limit %" PRIu64
		"; %" PRIu64 " touched\n     %" PRIu64
		" bytes of names and data, index %" PRIu64 ", ACLs %" PRIu64
		", garbage %" PRIu64 "\n",
		counts.nodes, counts.ephemerals, counts.containers, counts.ttls,
		counts.versions, counts.used_bytes,
		server->config->tree_bytes_max, counts.region_bytes,
		counts.data_bytes, counts.index_bytes, counts.acl_bytes,
		counts.garbage_bytes);
	fprintf(out,
		"watches %" PRIu64 " at %" PRIu64 " paths, %" PRIu64
		" bytes; sessions %" PRIu64 "\n",
		stats_sum(&server->stats, STAT_WATCHES),
		stats_sum(&server->stats, STAT_WATCH_PATHS),
		stats_sum(&server->stats, STAT_WATCH_TABLE_BYTES),
		stats_sum(&server->stats, STAT_GLOBAL_SESSIONS));
}

void
words_put_falc(FILE *out, struct server *server)
{
	const uint64_t up_s =
		(clock_now_ns() - server->start_ns) / NS_PER_SECOND;

	fprintf(out,
		"falconer %s\nnetwork %s, up %" PRIu64 " h %" PRIu64
		" min %" PRIu64 " s, zxid 0x%" PRIx64 "\n",
		VERSION_TEXT, server->stream_name, up_s / 3600, up_s / 60 % 60,
		up_s % 60,
		atomic_load_explicit(delta_published(server->deltas),
				     memory_order_acquire));
	put_cores(out, server);
	put_rings(out, server);
	put_log(out, server);
	put_tree(out, server);
}
