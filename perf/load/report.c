/* SPDX-License-Identifier: Apache-2.0 */
/* report - percentiles come from base/hist.h, at most 1.6 % above the truth. */
#include "perf/load/report.h"

#include <stdio.h>

#define NS_PER_US_REAL 1e3

static const struct {
	const char *name;
	double share;
} quantiles[] = {
	{"p50", 0.5},     {"p90", 0.9},       {"p99", 0.99},
	{"p99.9", 0.999}, {"p99.99", 0.9999},
};
#define QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

static double
per(double what, double by)
{
	return by > 0 ? what / by : 0;
}

static void
print_json(const struct load_options *options, const struct load_result *result)
{
	const double operations = (double)result->operations;

	printf("{\"mix\": \"%s\", \"connections\": %u, \"pipeline\": %u, "
	       "\"value_bytes\": %u, \"keys\": %u, \"scheduled_rate\": %.1f, ",
	       options->mix_text, options->connections, options->pipeline,
	       options->value_bytes, options->keys, options->rate);
	printf("\"seconds\": %.6f, \"operations\": %llu, \"errors\": %llu, "
	       "\"rate\": %.1f, ",
	       result->seconds, (unsigned long long)result->operations,
	       (unsigned long long)result->errors,
	       per(operations, result->seconds));
	printf("\"client_cpu_seconds\": %.4f, \"server_cpu_seconds\": %.4f, "
	       "\"rate_per_server_cpu\": %.1f, \"server_rss_bytes\": %llu, "
	       "\"server_peak_bytes\": %llu, ",
	       result->client_cpu_seconds, result->server_cpu_seconds,
	       per(operations, result->server_cpu_seconds),
	       (unsigned long long)result->server_rss_bytes,
	       (unsigned long long)result->server_peak_bytes);
	printf("\"latency_us\": {\"mean\": %.2f",
	       summary_mean(&result->latency.summary) / NS_PER_US_REAL);
	for (uint32_t i = 0; i < QUANTILES; i++)
		printf(", \"%s\": %.2f", quantiles[i].name,
		       (double)hist_quantile(&result->latency,
					     quantiles[i].share) /
			       NS_PER_US_REAL);
	printf(", \"max\": %.2f}}\n",
	       (double)summary_highest(&result->latency.summary) /
		       NS_PER_US_REAL);
}

static void
print_text(const struct load_options *options, const struct load_result *result)
{
	const double operations = (double)result->operations;

	printf("%s, %u connections, pipeline %u, %u bytes, %u keys: "
	       "%.0f operations/s for %.2f s",
	       options->mix_text, options->connections, options->pipeline,
	       options->value_bytes, options->keys,
	       per(operations, result->seconds), result->seconds);
	if (result->errors > 0)
		printf(", %llu errors (first: %d)",
		       (unsigned long long)result->errors, result->first_error);
	printf("\nlatency in us: mean %.1f",
	       summary_mean(&result->latency.summary) / NS_PER_US_REAL);
	for (uint32_t i = 0; i < QUANTILES; i++)
		printf(", %s %.1f", quantiles[i].name,
		       (double)hist_quantile(&result->latency,
					     quantiles[i].share) /
			       NS_PER_US_REAL);
	printf(", max %.1f\n",
	       (double)summary_highest(&result->latency.summary) /
		       NS_PER_US_REAL);
	printf("CPU: client %.2f s", result->client_cpu_seconds);
	if (options->server_pid != 0)
		printf(", server %.2f s, %.0f operations per second of it; "
		       "server memory %.1f MB, at most %.1f MB",
		       result->server_cpu_seconds,
		       per(operations, result->server_cpu_seconds),
		       (double)result->server_rss_bytes / 1e6,
		       (double)result->server_peak_bytes / 1e6);
	putchar('\n');
}

void
report_result(const struct load_options *options,
	      const struct load_result *result)
{
	if (options->is_json)
		print_json(options, result);
	else
		print_text(options, result);
}

void
report_histogram(const struct load_options *options, const struct hist *hist)
{
	FILE *file;

	if (options->histogram == NULL)
		return;
	file = fopen(options->histogram, "w");
	if (file == NULL)
		load_die("%s cannot be written", options->histogram);
	for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
		const uint64_t count = atomic_load_explicit(
			&hist->bucket[i], memory_order_relaxed);

		if (count > 0)
			fprintf(file, "%.3f %llu\n",
				(double)hist_bucket_top(i) / NS_PER_US_REAL,
				(unsigned long long)count);
	}
	if (fclose(file) != 0)
		load_die("%s cannot be written", options->histogram);
}

void
report_fill(const struct load_options *options,
	    const struct load_result *result)
{
	if (options->is_json)
		printf("{\"keys\": %u, \"made\": %llu, \"value_bytes\": %u, "
		       "\"seconds\": %.6f, \"rate\": %.1f, "
		       "\"server_cpu_seconds\": %.4f, "
		       "\"server_rss_bytes\": %llu}\n",
		       options->keys, (unsigned long long)result->operations,
		       options->value_bytes, result->seconds,
		       per((double)result->operations, result->seconds),
		       result->server_cpu_seconds,
		       (unsigned long long)result->server_rss_bytes);
	else
		printf("%llu of %u keys made in %.2f s (%.0f/s), "
		       "server CPU %.2f s, memory %.1f MB\n",
		       (unsigned long long)result->operations, options->keys,
		       result->seconds,
		       per((double)result->operations, result->seconds),
		       result->server_cpu_seconds,
		       (double)result->server_rss_bytes / 1e6);
}
