/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_prometheus - the text format, as promtool wants it.
 *
 * ZooKeeper's gauges and summaries keep their names. Its counters come twice:
 * as 3.10 names them, with _total, and untyped as 3.9 did, so that dashboards
 * of both work. Prometheus reserves the suffix _count for parts of summaries;
 * gauges that have it (znode_count) are therefore untyped too.
 *
 * Latencies under ZooKeeper's names are summaries in ms, with percentiles
 * since the start, which cannot be added up over servers or windows of time.
 * So each is there a second time as a histogram in seconds, and ours are only
 * that. Buckets end at powers of two of a ns, where ours do: counts are exact.
 */
#include "server/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "base/time.h"

#define NAME_BYTES 128
/* 1.024 us to 17 s */
#define EXPONENT_FIRST 10u
#define EXPONENT_LAST  34u

static const double shares[] = {0.5, 0.9, 0.95, 0.99, 0.999};
#define SHARES (sizeof(shares) / sizeof(shares[0]))

struct prometheus {
	FILE *out;
	char family[NAME_BYTES]; /* of labels, that was begun last */
};

static bool
ends_with(const char *text, const char *end)
{
	const size_t bytes = strlen(text), end_bytes = strlen(end);

	return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

/* What to say of a name beyond the name. */
static const struct {
	const char *name, *help;
} helps[] = {
	{"avg_latency", "Mean time to answer a request, ms, since srst."},
	{"min_latency", "Shortest time to answer a request, ms, since srst."},
	{"max_latency", "Longest time to answer a request, ms, since srst."},
	{"uptime", "Milliseconds since the start."},
	{"znode_count", "Nodes, the root counted twice as ZooKeeper does."},
	{"watch_count", "Watches set."},
	{"ephemerals_count", "Ephemeral nodes."},
	{"approximate_data_size", "Bytes of all paths and data."},
	{"num_alive_connections", "Client connections open."},
	{"outstanding_requests", "Requests taken and not answered."},
	{"global_sessions", "Sessions."},
	{"readlatency", "Time to answer a read, ms, percentiles since start."},
	{"updatelatency",
	 "Time to answer an update, ms, percentiles since start."},
	{"fsynctime", "Time of a write of the log, ms."},
	{"snapshottime", "Time to write a snapshot, ms."},
	{"dbinittime", "Time to recover the data at start, ms."},
	{"falconer_operation_seconds",
	 "From a request's arrival until its reply has left, by operation."},
	{"falconer_stage_seconds",
	 "Where an update's time goes: decode, ring, prepare, log, quorum, "
	 "publish, reply."},
	{"falconer_read_seconds", "Time to answer a read."},
	{"falconer_update_seconds", "Time to answer an update."},
	{"falconer_fsync_seconds", "Time of a write of the log."},
	{"falconer_loop_seconds", "Time of a poll round that did work."},
	{"falconer_tree_limit_bytes", "falconer.tree.maxBytes."},
	{"falconer_audit_dropped_total",
	 "Audit lines lost because the ring to the writer was full."},
};

static const char *
help_of(const char *name)
{
	for (size_t i = 0; i < sizeof(helps) / sizeof(helps[0]); i++)
		if (strcmp(helps[i].name, name) == 0)
			return helps[i].help;
	return NULL;
}

static void
put_head(FILE *out, const char *name, const char *type)
{
	const char *help = help_of(name);

	if (help != NULL)
		fprintf(out, "# HELP %s %s\n", name, help);
	else
		fprintf(out, "# HELP %s See docs/admin.md, metrics.\n", name);
	fprintf(out, "# TYPE %s %s\n", name, type);
}

static void
put_number(void *arg, const char *name, enum metric_kind kind, uint64_t value)
{
	FILE *out = ((struct prometheus *)arg)->out;
	const bool is_ours = strncmp(name, "falconer_", 9) == 0;
	const bool has_total = ends_with(name, "_total");
	char total[NAME_BYTES];

	if (kind == METRIC_COUNTER) {
		snprintf(total, sizeof(total), "%s%s", name,
			 has_total ? "" : "_total");
		put_head(out, total, "counter");
		fprintf(out, "%s %" PRIu64 "\n", total, value);
		if (is_ours || has_total)
			return;
	}
	put_head(out, name,
		 kind == METRIC_COUNTER || ends_with(name, "_count") ? "untyped"
								     : "gauge");
	fprintf(out, "%s %" PRIu64 "\n", name, value);
}

static void
put_real(void *arg, const char *name, enum metric_kind kind, double value)
{
	FILE *out = ((struct prometheus *)arg)->out;

	put_head(out, name, kind == METRIC_COUNTER ? "counter" : "gauge");
	fprintf(out, "%s %.13g\n", name, value);
}

static void
put_summary(void *arg, const char *name, const struct summary *summary)
{
	FILE *out = ((struct prometheus *)arg)->out;

	put_head(out, name, "summary");
	fprintf(out, "%s_sum %" PRIu64 "\n%s_count %" PRIu64 "\n", name,
		summary_sum(summary), name, summary_count(summary));
}

/* Under ZooKeeper's name: ms. */
static void
put_quantiles(FILE *out, const char *name, const struct hist *hist)
{
	put_head(out, name, "summary");
	for (size_t i = 0; i < SHARES; i++)
		fprintf(out, "%s{quantile=\"%g\"} %.10g\n", name, shares[i],
			(double)hist_quantile(hist, shares[i]) / NS_PER_MS);
	fprintf(out, "%s_sum %.10g\n%s_count %" PRIu64 "\n", name,
		(double)summary_sum(&hist->summary) / NS_PER_MS, name,
		summary_count(&hist->summary));
}

/* The buckets up to 2^exponent ns hold so many. */
static uint64_t
count_below(const struct hist *hist, uint32_t *bucket, uint32_t exponent)
{
	uint64_t count = 0;

	for (; *bucket < HIST_BUCKETS &&
	       hist_bucket_top(*bucket) < 1ull << exponent;
	     ++*bucket)
		count += atomic_load_explicit(&hist->bucket[*bucket],
					      memory_order_relaxed);
	return count;
}

static void
put_buckets(FILE *out, const char *name, const char *labels,
	    const struct hist *hist)
{
	const char *comma = labels[0] == 0 ? "" : ",";
	uint64_t count = 0;
	uint32_t bucket = 0;

	for (uint32_t e = EXPONENT_FIRST; e <= EXPONENT_LAST; e++) {
		count += count_below(hist, &bucket, e);
		fprintf(out, "%s_bucket{%s%sle=\"%.10g\"} %" PRIu64 "\n", name,
			labels, comma, (double)(1ull << e) / NS_PER_SECOND,
			count);
	}
	/* The sum of the buckets, not summary.count: the owner may be between
	 * its two stores. */
	count += count_below(hist, &bucket, 63);
	fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels,
		comma, count);
	fprintf(out, "%s_sum%s%s%s %.10g\n", name, labels[0] == 0 ? "" : "{",
		labels, labels[0] == 0 ? "" : "}",
		(double)summary_sum(&hist->summary) / NS_PER_SECOND);
	fprintf(out, "%s_count%s%s%s %" PRIu64 "\n", name,
		labels[0] == 0 ? "" : "{", labels, labels[0] == 0 ? "" : "}",
		count);
}

/* True: of another name than the one before. */
static bool
begins_family(struct prometheus *prometheus, const char *name)
{
	if (strcmp(prometheus->family, name) == 0)
		return false;
	snprintf(prometheus->family, NAME_BYTES, "%s", name);
	return true;
}

/*
 * The histogram of a latency: falconer_stage_ns, ring is
 * falconer_stage_seconds{stage="ring"}; readlatency is falconer_read_seconds.
 * False: it has none, because those of a stage hold the same.
 */
static bool
histogram_of(const char *name, const char *label, char family[NAME_BYTES],
	     char labels[NAME_BYTES])
{
	static const struct {
		const char *from, *to;
	} own[] = {
		{"readlatency", "falconer_read"},
		{"updatelatency", "falconer_update"},
		{"fsynctime", "falconer_fsync"},
		{"proposal_latency", "falconer_proposal"},
		{"commit_propagation_latency", "falconer_commit_propagation"},
		{"propagation_latency", "falconer_propagation"},
		{"quorum_ack_latency", "falconer_quorum_ack"},
	};
	int bytes = (int)strlen(name) - 3; /* without _ns */

	labels[0] = 0;
	if (metrics_is_ns(name)) {
		snprintf(family, NAME_BYTES, "%.*s_seconds", bytes, name);
		if (label[0] != 0)
			snprintf(labels, NAME_BYTES, "%.*s=\"%s\"", bytes - 9,
				 name + 9, label);
		return true;
	}
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (strcmp(own[i].from, name) != 0)
			continue;
		snprintf(family, NAME_BYTES, "%s_seconds", own[i].to);
		return true;
	}
	return false;
}

static void
put_latency(void *arg, const char *name, const char *label,
	    const struct hist *hist)
{
	struct prometheus *prometheus = arg;
	char family[NAME_BYTES], labels[NAME_BYTES];

	/* promtool takes no unit _ms; these are in falconer_stage_seconds. */
	if (ends_with(name, "_ms"))
		return;
	if (!metrics_is_ns(name))
		put_quantiles(prometheus->out, name, hist);
	if (!histogram_of(name, label, family, labels))
		return;
	if (begins_family(prometheus, family))
		put_head(prometheus->out, family, "histogram");
	put_buckets(prometheus->out, family, labels, hist);
}

/* A label's value, as the format escapes it. */
static void
put_key(FILE *out, const char *key)
{
	fputs("key=\"", out);
	for (; *key != 0; key++) {
		if (*key == '"' || *key == '\\')
			fputc('\\', out);
		fputc(*key, out);
	}
	fputc('"', out);
}

static void
put_set_number(void *arg, const char *name, enum metric_kind kind,
	       const char *key, int64_t value)
{
	struct prometheus *prometheus = arg;
	const bool is_counter = kind == METRIC_COUNTER;
	const char *end = is_counter ? "_total" : "";
	char full[NAME_BYTES];

	snprintf(full, sizeof(full), "%s%s", name, end);
	if (begins_family(prometheus, full))
		put_head(prometheus->out, full,
			 is_counter ? "counter" : "gauge");
	fprintf(prometheus->out, "%s{", full);
	put_key(prometheus->out, key);
	fprintf(prometheus->out, "} %" PRId64 "\n", value);
}

static void
put_set_latency(void *arg, const char *name, const char *key,
		const struct hist *hist)
{
	struct prometheus *prometheus = arg;
	FILE *out = prometheus->out;

	if (begins_family(prometheus, name))
		put_head(out, name, "summary");
	for (size_t i = 0; i < SHARES; i++) {
		fprintf(out, "%s{", name);
		put_key(out, key);
		fprintf(out, ",quantile=\"%g\"} %.10g\n", shares[i],
			(double)hist_quantile(hist, shares[i]) / NS_PER_MS);
	}
	fprintf(out, "%s_sum{", name);
	put_key(out, key);
	fprintf(out, "} %.10g\n%s_count{",
		(double)summary_sum(&hist->summary) / NS_PER_MS, name);
	put_key(out, key);
	fprintf(out, "} %" PRIu64 "\n", summary_count(&hist->summary));
}

void
metrics_put_prometheus(FILE *out, const struct server *server)
{
	struct prometheus prometheus = {.out = out};
	const struct metrics_sink sink = {
		.arg = &prometheus,
		.number = put_number,
		.real = put_real,
		.summary = put_summary,
		.latency = put_latency,
		.set_number = put_set_number,
		.set_latency = put_set_latency,
	};

	metrics_visit(server, &sink);
}
