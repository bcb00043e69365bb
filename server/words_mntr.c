/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words_mntr - metrics as mntr shows them: what stats.def lists, and what tree,
 * log and process tell when asked. Names that ZooKeeper has are ZooKeeper's.
 */
#include "server/words_mntr.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/resource.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "drivers/disk.h"
#include "server/net.h"
#include "server/version.h"

static void
put(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, "zk_%s\t%" PRIu64 "\n", name, value);
}

struct dir_sum {
	struct disk *disk;
	const char *dir;
	uint64_t bytes;
};

static void
add_file(void *arg, const char *name)
{
	struct dir_sum *sum = arg;
	struct disk_info info;
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/%s", sum->dir, name) >=
	    (int)sizeof(path))
		return;
	if (disk_info(sum->disk, path, &info) == FAL_OK && !info.is_dir)
		sum->bytes += info.bytes;
}

uint64_t
words_dir_bytes(const struct server *server, const char *dir)
{
	struct dir_sum sum = {.disk = server->disk, .dir = dir};

	/* A directory that cannot be read counts 0: mntr must not fail. */
	if (disk_list(server->disk, dir, add_file, &sum) != FAL_OK)
		return 0;
	return sum.bytes;
}

static uint64_t
open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t count = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count >= 3 ? count - 3 : 0; /* ".", ".." and this one */
}

static void
put_process(FILE *out, const struct server *server)
{
	struct rlimit files = {0};

	getrlimit(RLIMIT_NOFILE, &files);
	put(out, "open_file_descriptor_count", open_files());
	put(out, "max_file_descriptor_count", files.rlim_cur);
	put(out, "uptime", time_ns_to_ms(clock_now_ns() - server->start_ns));
}

uint64_t
words_node_count(const struct server *server)
{
	struct tree_counts counts;

	tree_counts(server->tree, &counts);
	return counts.nodes + 1;
}

static void
put_tree(FILE *out, const struct server *server)
{
	struct tree_counts counts;

	tree_counts(server->tree, &counts);
	put(out, "znode_count", words_node_count(server));
	put(out, "ephemerals_count", counts.ephemerals);
	put(out, "approximate_data_size", counts.data_bytes);
	put(out, "falconer_container_count", counts.containers);
	put(out, "falconer_ttl_count", counts.ttls);
	put(out, "falconer_version_count", counts.versions);
	put(out, "falconer_tree_used_bytes", counts.used_bytes);
	put(out, "falconer_tree_region_bytes", counts.region_bytes);
	put(out, "falconer_tree_garbage_bytes", counts.garbage_bytes);

	/* What a znode costs over its name and data; paths count whole in
	 * data_bytes, so this is a lower bound. */
	const uint64_t over = counts.used_bytes > counts.data_bytes
				      ? counts.used_bytes - counts.data_bytes
				      : 0;

	put(out, "falconer_bytes_per_znode_over_data",
	    counts.nodes == 0 ? 0 : over / counts.nodes);
}

/* Names that dashboards ask for and that have one true value here: there are
 * no local sessions, no TLS, no connection throttle. */
static void
put_constants(FILE *out)
{
	put(out, "local_sessions", 0);
	put(out, "outstanding_tls_handshake", 0);
	put(out, "non_mtls_remote_conn_count", 0);
	put(out, "non_mtls_local_conn_count", 0);
	fputs("zk_connection_drop_probability\t0.0\n", out);
}

static void
put_log(FILE *out, const struct server *server)
{
	struct txlog_counters counters;

	txlog_counters(server->txlog, &counters);
	put(out, "falconer_log_writes", counters.writes);
	put(out, "falconer_log_records", counters.records);
	put(out, "falconer_log_record_bytes", counters.bytes);
	put(out, "falconer_log_device_bytes", counters.bytes_written);
	put(out, "falconer_log_files", counters.files);
	put(out, "falconer_log_pending_bytes",
	    txlog_pending_bytes(server->txlog));
}

/* What the network driver did: calls per request are recv_calls, send_calls
 * over packets_received. */
static void
put_streams(FILE *out, const struct server *server)
{
	struct stream_counters sum = {0}, one;

	for (uint32_t i = 0; i < server->reader_count; i++) {
		stream_counters_read(server->core[i].streams, &one);
#define STREAM_COUNTER(name, what) sum.name += one.name;
		STREAM_COUNTERS(STREAM_COUNTER)
#undef STREAM_COUNTER
	}
#define STREAM_COUNTER(name, what) put(out, "falconer_net_" #name, sum.name);
	STREAM_COUNTERS(STREAM_COUNTER)
#undef STREAM_COUNTER
}

static void
put_summary(FILE *out, const char *name, const struct summary *summary)
{
	fprintf(out, "zk_avg_%s\t", name);
	words_put_average(out, summary_sum(summary), summary_count(summary));
	fputc('\n', out);
	fprintf(out,
		"zk_min_%s\t%" PRIu64 "\nzk_max_%s\t%" PRIu64
		"\nzk_cnt_%s\t%" PRIu64 "\nzk_sum_%s\t%" PRIu64 "\n",
		name, summary_lowest(summary), name, summary_highest(summary),
		name, summary_count(summary), name, summary_sum(summary));
}

/* srvr's latency has names of its own: avg_latency without cnt and sum. */
static void
put_latency(FILE *out, const struct server *server)
{
	struct summary latency = {0}, response = {0};

	stats_summary_gather(&server->stats, SUMMARY_REQUEST_LATENCY, &latency);
	stats_summary_gather(&server->stats, SUMMARY_RESPONSE_SIZE, &response);
	fputs("zk_avg_latency\t", out);
	words_put_average(out, summary_sum(&latency), summary_count(&latency));
	fputc('\n', out);
	put(out, "min_latency", summary_lowest(&latency));
	put(out, "max_latency", summary_highest(&latency));
	put(out, "min_client_response_size", summary_lowest(&response));
	put(out, "max_client_response_size", summary_highest(&response));
}

static void
put_hist(FILE *out, enum stat_hist which, const struct hist *hist)
{
	const char *name = stats_hist_name(which);
	const struct {
		const char *name;
		double share;
	} quantile[] = {
		{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}};

	put_summary(out, name, &hist->summary);
	for (size_t i = 0; i < sizeof(quantile) / sizeof(quantile[0]); i++)
		fprintf(out, "zk_%s_%s\t%" PRIu64 "\n", quantile[i].name, name,
			hist_quantile(hist, quantile[i].share));
}

static void
put_stats(FILE *out, const struct server *server)
{
	static struct hist hist; /* large; the control thread is alone */

	for (int i = 0; i < STAT_COUNT; i++)
		put(out, stats_name((enum stat)i),
		    stats_sum(&server->stats, (enum stat)i));
	for (int i = 0; i < SUMMARY_COUNT; i++) {
		struct summary summary = {0};

		if (i == SUMMARY_REQUEST_LATENCY || i == SUMMARY_RESPONSE_SIZE)
			continue;
		stats_summary_gather(&server->stats, (enum stat_summary)i,
				     &summary);
		put_summary(out, stats_summary_name((enum stat_summary)i),
			    &summary);
	}
	for (int i = 0; i < HIST_COUNT; i++) {
		hist = (struct hist){0};
		stats_hist_gather(&server->stats, (enum stat_hist)i, &hist);
		put_hist(out, (enum stat_hist)i, &hist);
	}
}

void
words_put_mntr(FILE *out, const struct server *server)
{
	fprintf(out, "zk_version\t%s\nzk_server_state\tstandalone\n",
		VERSION_TEXT);
	put_latency(out, server);
	put_tree(out, server);
	put_process(out, server);
	put_constants(out);
	put_log(out, server);
	put_streams(out, server);
	net_put_mntr(out, server);
	put_stats(out, server);
}
