/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics - the walk, and its flat form. What has no counter in stats.def is
 * asked here: tree, log, network, process.
 */
#include "server/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "drivers/disk.h"
#include "server/audit.h"
#include "server/metrics_member.h"
#include "server/metrics_quota.h"
#include "server/net.h"
#include "server/words_mntr.h"

/* A metric, its parts' prefixes, and a key. */
#define NAME_BYTES 256

/* ---- the walk ------------------------------------------------------------ */

static void
gauge(const struct metrics_sink *sink, const char *name, uint64_t value)
{
	sink->number(sink->arg, name, METRIC_GAUGE, value);
}

static void
counter(const struct metrics_sink *sink, const char *name, uint64_t value)
{
	sink->number(sink->arg, name, METRIC_COUNTER, value);
}

static double
mean_of(const struct summary *summary)
{
	return summary_mean(summary);
}

/* srvr's latency and the sizes of replies have names of their own. */
static void
visit_basics(const struct server *server, const struct metrics_sink *sink)
{
	struct summary latency = {0}, response = {0}, proposal = {0};

	stats_summary_gather(&server->stats, SUMMARY_REQUEST_LATENCY, &latency);
	stats_summary_gather(&server->stats, SUMMARY_RESPONSE_SIZE, &response);
	stats_summary_gather(&server->stats, SUMMARY_PROPOSAL_BYTES, &proposal);
	sink->real(sink->arg, "avg_latency", METRIC_GAUGE, mean_of(&latency));
	gauge(sink, "min_latency", summary_lowest(&latency));
	gauge(sink, "max_latency", summary_highest(&latency));
	gauge(sink, "min_client_response_size", summary_lowest(&response));
	gauge(sink, "max_client_response_size", summary_highest(&response));
	gauge(sink, "min_proposal_size", summary_lowest(&proposal));
	gauge(sink, "max_proposal_size", summary_highest(&proposal));
}

static void
visit_tree(const struct server *server, const struct metrics_sink *sink)
{
	struct tree_counts counts;

	tree_counts(server->tree, &counts);

	/* What a znode costs over its name and data; paths count whole in
	 * data_bytes, so this is a lower bound. */
	const uint64_t over = counts.used_bytes > counts.data_bytes
				      ? counts.used_bytes - counts.data_bytes
				      : 0;

	gauge(sink, "znode_count", words_node_count(server));
	gauge(sink, "ephemerals_count", counts.ephemerals);
	gauge(sink, "approximate_data_size", counts.data_bytes);
	gauge(sink, "falconer_containers", counts.containers);
	gauge(sink, "falconer_ttl_nodes", counts.ttls);
	counter(sink, "ttl_node_created_count", counts.ttls_created);
	counter(sink, "ttl_node_deleted_count", counts.ttls_deleted);
	gauge(sink, "falconer_versions", counts.versions);
	gauge(sink, "falconer_tree_used_bytes", counts.used_bytes);
	gauge(sink, "falconer_tree_acl_bytes", counts.acl_bytes);
	gauge(sink, "falconer_tree_index_bytes", counts.index_bytes);
	gauge(sink, "falconer_tree_region_bytes", counts.region_bytes);
	gauge(sink, "falconer_tree_garbage_bytes", counts.garbage_bytes);
	gauge(sink, "falconer_tree_limit_bytes",
	      server->config->tree_bytes_max);
	gauge(sink, "falconer_bytes_per_znode_over_data",
	      counts.nodes == 0 ? 0 : over / counts.nodes);
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

/* Bytes of address space and of memory; 0 if the kernel does not say. */
static void
read_memory(uint64_t *virtual_bytes, uint64_t *resident_bytes)
{
	const uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	FILE *file = fopen("/proc/self/statm", "re");

	*virtual_bytes = *resident_bytes = 0;
	if (file == NULL)
		return;
	if (fscanf(file, "%" SCNu64 " %" SCNu64, virtual_bytes,
		   resident_bytes) == 2) {
		*virtual_bytes *= page_bytes;
		*resident_bytes *= page_bytes;
	}
	fclose(file);
}

static double
seconds_of(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* The names that Prometheus' client libraries give every process; ZooKeeper's
 * provider has them beside its own. */
static void
visit_prometheus_process(const struct server *server,
			 const struct metrics_sink *sink, uint64_t files,
			 uint64_t files_max)
{
	const uint64_t age_ns = clock_now_ns() - server->start_ns;
	uint64_t virtual_bytes, resident_bytes;
	struct rusage usage = {0};

	getrusage(RUSAGE_SELF, &usage);
	read_memory(&virtual_bytes, &resident_bytes);
	sink->real(sink->arg, "process_cpu_seconds_total", METRIC_COUNTER,
		   seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
	sink->real(sink->arg, "process_start_time_seconds", METRIC_GAUGE,
		   (double)(clock_wall_ms() - (int64_t)time_ns_to_ms(age_ns)) /
			   1e3);
	gauge(sink, "process_virtual_memory_bytes", virtual_bytes);
	gauge(sink, "process_resident_memory_bytes", resident_bytes);
	gauge(sink, "process_open_fds", files);
	gauge(sink, "process_max_fds", files_max);
}

static void
visit_process(const struct server *server, const struct metrics_sink *sink)
{
	const uint64_t files = open_files();
	struct rlimit limit = {0};

	getrlimit(RLIMIT_NOFILE, &limit);
	gauge(sink, "open_file_descriptor_count", files);
	gauge(sink, "max_file_descriptor_count", limit.rlim_cur);
	visit_prometheus_process(server, sink, files, limit.rlim_cur);
	gauge(sink, "uptime", time_ns_to_ms(clock_now_ns() - server->start_ns));
	counter(sink, "falconer_log_lines_dropped", log_dropped());
	counter(sink, "falconer_audit_written", audit_written(server->audit));
	counter(sink, "falconer_audit_dropped", audit_dropped(server->audit));
}

/* Names that dashboards ask for and that have one true value here: there are
 * no TLS, no watch cleaner, no cache of replies, no pool of threads that could
 * be empty, no JVM that could pause; nothing waits between a commit and what
 * other servers' clients wrote being seen; and a check comes in a multi only.
 */
static void
visit_constants(const struct metrics_sink *sink)
{
	static const char *const gauges[] = {
		"outstanding_tls_handshake",
		"non_mtls_remote_conn_count",
		"non_mtls_local_conn_count",
	};
	static const char *const counters[] = {
		"dead_watchers_queued",
		"dead_watchers_cleared",
		"unrecoverable_error_count",
		"unsuccessful_handshake",
		"tls_handshake_exceeded",
		"insecure_admin_count",
		"response_packet_cache_hits",
		"response_packet_cache_misses",
		"response_packet_get_children_cache_hits",
		"response_packet_get_children_cache_misses",
		"op_count_check",
	};
	static const char *const summaries[] = {
		"time_waiting_empty_pool_in_commit_processor_read_ms",
		"server_write_committed_time_ms",
		"jvm_pause_time_ms",
	};
	static const struct hist never; /* large */

	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
		gauge(sink, gauges[i], 0);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		counter(sink, counters[i], 0);
	for (size_t i = 0; i < sizeof(summaries) / sizeof(summaries[0]); i++)
		sink->latency(sink->arg, summaries[i], "", &never);
}

/* Kept as a whole number by the cores; the highest of them counts. */
static void
visit_drop_probability(const struct server *server,
		       const struct metrics_sink *sink)
{
	sink->real(sink->arg, "connection_drop_probability", METRIC_GAUGE,
		   (double)stats_sum(&server->stats, STAT_CONNECT_DROP_PPM) /
			   1e6);
}

static void
visit_log(const struct server *server, const struct metrics_sink *sink)
{
	struct txlog_counters counters;

	txlog_counters(server->txlog, &counters);
	counter(sink, "falconer_log_writes", counters.writes);
	counter(sink, "falconer_log_records", counters.records);
	counter(sink, "sync_processor_request_queued", counters.records);
	counter(sink, "falconer_log_record_bytes", counters.bytes);
	counter(sink, "falconer_log_device_bytes", counters.bytes_written);
	counter(sink, "falconer_log_files", counters.files);
	gauge(sink, "falconer_log_without_room",
	      txlog_space_error(server->txlog) != FAL_OK);
	gauge(sink, "falconer_log_pending_bytes",
	      txlog_pending_bytes(server->txlog));
}

/* What the network driver did: calls per request are recv_calls, send_calls
 * over packets_received. Of members the core that writes has peers. */
static void
visit_streams(const struct server *server, const struct metrics_sink *sink)
{
	struct stream_counters sum = {0}, one;

	for (uint32_t i = 0; i < server->core_count; i++) {
		if (server->core[i].streams == NULL)
			continue;
		stream_counters_read(server->core[i].streams, &one);
#define STREAM_COUNTER(name, what) sum.name += one.name;
		STREAM_COUNTERS(STREAM_COUNTER)
#undef STREAM_COUNTER
	}
#define STREAM_COUNTER(name, what)                                    \
	sink->number(sink->arg, "falconer_net_" #name,                \
		     strncmp(what, "gauge", 5) == 0 ? METRIC_GAUGE    \
						    : METRIC_COUNTER, \
		     sum.name);
	STREAM_COUNTERS(STREAM_COUNTER)
#undef STREAM_COUNTER
}

static void
take_net(void *arg, const char *name, bool is_gauge, uint64_t value)
{
	const struct metrics_sink *sink = arg;

	sink->number(sink->arg, name, is_gauge ? METRIC_GAUGE : METRIC_COUNTER,
		     value);
}

/* 3.10 counts requests by operation; so do our histograms. */
static void
visit_op_counts(const struct metrics_sink *sink, const char *name,
		const char *label, const struct hist *hist)
{
	char text[NAME_BYTES];

	if (strcmp(name, "falconer_operation_ns") != 0)
		return;
	snprintf(text, sizeof(text), "op_count_%s", label);
	counter(sink, text, summary_count(&hist->summary));
}

/* The stages under the names of ZooKeeper's, behind all others: metrics of one
 * name stand together. */
static void
visit_stage_names(const struct server *server, const struct metrics_sink *sink,
		  struct hist *hist)
{
	static const struct {
		enum stat_hist hist;
		const char *name;
	} names[] = {
		{HIST_STAGE_RING, "prep_processor_queue_time_ms"},
		{HIST_STAGE_PREPARE, "prep_process_time"},
		{HIST_STAGE_LOG, "sync_processor_queue_and_flush_time_ms"},
		{HIST_STAGE_QUORUM, "write_commitproc_time_ms"},
		{HIST_STAGE_PUBLISH, "local_write_committed_time_ms"},
		{HIST_STAGE_REPLY, "write_final_proc_time_ms"},
		{HIST_READ_LATENCY, "read_final_proc_time_ms"},
		{HIST_LOOP_TIME, "commit_process_time"},
		{HIST_FSYNC_TIME, "sync_process_time"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		*hist = (struct hist){0};
		stats_hist_gather(&server->stats, names[i].hist, hist);
		sink->latency(sink->arg, names[i].name, "", hist);
	}
}

/* Transactions on their way, as ZooKeeper counts them. */
static void
visit_changes(const struct server *server, const struct metrics_sink *sink)
{
	const uint64_t made = stats_sum(&server->stats, STAT_TXNS);
	const uint64_t left =
		stats_sum(&server->stats, STAT_PROPOSALS_OUTSTANDING);

	counter(sink, "prep_processor_request_queued",
		stats_sum(&server->stats, STAT_UPDATES));
	counter(sink, "outstanding_changes_queued", made);
	counter(sink, "outstanding_changes_removed",
		made > left ? made - left : 0);
	counter(sink, "request_commit_queued", made > left ? made - left : 0);
}

static void
visit_hists(const struct server *server, const struct metrics_sink *sink)
{
	static struct hist hist; /* large; the control thread is alone */
	uint64_t ops = 0;

	for (int i = 0; i < HIST_COUNT; i++) {
		const char *name = stats_hist_name((enum stat_hist)i);
		const char *label = stats_hist_label((enum stat_hist)i);

		hist = (struct hist){0};
		stats_hist_gather(&server->stats, (enum stat_hist)i, &hist);
		sink->latency(sink->arg, name, label, &hist);
		visit_op_counts(sink, name, label, &hist);
		if (strcmp(name, "falconer_operation_ns") == 0)
			ops += summary_count(&hist.summary);
	}
	visit_stage_names(server, sink, &hist);
	counter(sink, "op_count_total", ops);
}

static void
visit_stats(const struct server *server, const struct metrics_sink *sink)
{
	for (int i = 0; i < STAT_COUNT; i++)
		sink->number(sink->arg, stats_name((enum stat)i),
			     stats_kind((enum stat)i) == STAT_KIND_COUNTER
				     ? METRIC_COUNTER
				     : METRIC_GAUGE,
			     stats_sum(&server->stats, (enum stat)i));
	for (int i = 0; i < SUMMARY_COUNT; i++) {
		struct summary summary = {0};

		if (i == SUMMARY_REQUEST_LATENCY ||
		    i == SUMMARY_RESPONSE_SIZE || i == SUMMARY_PROPOSAL_BYTES)
			continue;
		stats_summary_gather(&server->stats, (enum stat_summary)i,
				     &summary);
		sink->summary(sink->arg,
			      stats_summary_name((enum stat_summary)i),
			      &summary);
	}
}

void
metrics_visit(const struct server *server, const struct metrics_sink *sink)
{
	struct metrics_sink own = *sink;

	visit_basics(server, sink);
	visit_tree(server, sink);
	visit_process(server, sink);
	visit_constants(sink);
	visit_drop_probability(server, sink);
	visit_log(server, sink);
	visit_changes(server, sink);
	visit_streams(server, sink);
	net_visit(server, take_net, &own);
	metrics_visit_member(server, sink);
	metrics_visit_quotas(server, sink);
	visit_stats(server, sink);
	visit_hists(server, sink);
}

bool
metrics_is_ns(const char *name)
{
	const size_t bytes = strlen(name);

	return bytes > 3 && strcmp(name + bytes - 3, "_ns") == 0;
}

/* ---- flat ---------------------------------------------------------------- */

struct flat {
	metrics_flat_fn put;
	void *arg;
};

static void
flat_text(const struct flat *flat, const char *prefix, const char *label,
	  const char *name, const char *text)
{
	char full[NAME_BYTES];

	/* A set puts its key in front, as ZooKeeper's do. */
	snprintf(full, sizeof(full), "%s%s%s%s", prefix, label,
		 label[0] == 0 ? "" : "_", name);
	flat->put(flat->arg, full, text);
}

static void
flat_count(const struct flat *flat, const char *prefix, const char *label,
	   const char *name, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	flat_text(flat, prefix, label, name, text);
}

static void
flat_mean(const struct flat *flat, const char *label, const char *name,
	  double mean)
{
	char text[WORDS_AVERAGE_BYTES];

	words_average_text(text, mean);
	flat_text(flat, "avg_", label, name, text);
}

static void
flat_number(void *arg, const char *name, enum metric_kind kind, uint64_t value)
{
	(void)kind;
	flat_count(arg, "", "", name, value);
}

static void
flat_real(void *arg, const char *name, enum metric_kind kind, double value)
{
	char text[WORDS_AVERAGE_BYTES];

	(void)kind;
	words_average_text(text, value);
	flat_text(arg, "", "", name, text);
}

static void
flat_summary(void *arg, const char *name, const struct summary *summary)
{
	flat_mean(arg, "", name, mean_of(summary));
	flat_count(arg, "min_", "", name, summary_lowest(summary));
	flat_count(arg, "max_", "", name, summary_highest(summary));
	flat_count(arg, "cnt_", "", name, summary_count(summary));
	flat_count(arg, "sum_", "", name, summary_sum(summary));
}

static void
flat_latency(void *arg, const char *name, const char *label,
	     const struct hist *hist)
{
	static const struct {
		const char *prefix;
		double share;
	} quantile[] = {{"p50_", 0.5},
			{"p95_", 0.95},
			{"p99_", 0.99},
			{"p999_", 0.999}};
	const struct summary *summary = &hist->summary;
	const uint64_t unit = metrics_is_ns(name) ? 1 : NS_PER_MS;

	flat_mean(arg, label, name, mean_of(summary) / (double)unit);
	flat_count(arg, "min_", label, name, summary_lowest(summary) / unit);
	flat_count(arg, "max_", label, name, summary_highest(summary) / unit);
	flat_count(arg, "cnt_", label, name, summary_count(summary));
	flat_count(arg, "sum_", label, name, summary_sum(summary) / unit);
	for (size_t i = 0; i < sizeof(quantile) / sizeof(quantile[0]); i++)
		flat_count(arg, quantile[i].prefix, label, name,
			   hist_quantile(hist, quantile[i].share) / unit);
}

static void
flat_set_number(void *arg, const char *name, enum metric_kind kind,
		const char *key, int64_t value)
{
	char text[32];

	(void)kind;
	snprintf(text, sizeof(text), "%" PRId64, value);
	flat_text(arg, "", key, name, text);
}

static void
flat_set_latency(void *arg, const char *name, const char *key,
		 const struct hist *hist)
{
	flat_latency(arg, name, key, hist);
}

void
metrics_visit_flat(const struct server *server, metrics_flat_fn put, void *arg)
{
	struct flat flat = {.put = put, .arg = arg};
	const struct metrics_sink sink = {
		.arg = &flat,
		.number = flat_number,
		.real = flat_real,
		.summary = flat_summary,
		.latency = flat_latency,
		.set_number = flat_set_number,
		.set_latency = flat_set_latency,
	};

	metrics_visit(server, &sink);
}
