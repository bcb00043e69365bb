/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor DIR [SECONDS [BYTES]] - measures, one behind the other:
 *
 *   echo_block   TCP round trip over loopback, both sides sleep
 *   echo_spin    the same, neither does
 *   append       one durable 4 KiB write into a file in DIR
 *   echo_append  the round trip (both sleep) with the write in it: the floor
 *                of a synced write
 *
 * and prints one JSON object with latencies in microseconds.
 */
#include "perf/floor/floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/clock.h"

#define BLOCKS 4096u /* 16 MiB; a measurement goes round in it */

void
floor_die(const char *what)
{
	perror(what);
	exit(1);
}

static void
print_hist(const char *name, const struct hist *hist, const char *behind)
{
	printf("\"%s\": {\"count\": %llu, \"mean\": %.2f, \"p50\": %.2f, "
	       "\"p90\": %.2f, \"p99\": %.2f}%s",
	       name, (unsigned long long)summary_count(&hist->summary),
	       summary_mean(&hist->summary) / 1e3,
	       (double)hist_quantile(hist, 0.5) / 1e3,
	       (double)hist_quantile(hist, 0.9) / 1e3,
	       (double)hist_quantile(hist, 0.99) / 1e3, behind);
}

static void
measure_echo(const char *name, struct echo_options options, const char *behind)
{
	static struct hist hist;

	memset(&hist, 0, sizeof(hist));
	echo_measure(&options, &hist);
	print_hist(name, &hist, behind);
}

static void
measure_append(struct durable *log, double seconds)
{
	static struct hist hist;
	uint64_t now_ns = clock_os_now_ns();
	const uint64_t end_ns = now_ns + (uint64_t)(seconds * 1e9);

	while (now_ns < end_ns) {
		const uint64_t begin_ns = now_ns;

		durable_append(log);
		now_ns = clock_os_now_ns();
		hist_record(&hist, now_ns - begin_ns);
	}
	print_hist("append", &hist, ", ");
}

int
main(int argc, char **argv)
{
	if (argc < 2 || argc > 4) {
		fputs("usage: floor DIR [SECONDS [BYTES]]\n", stderr);
		return 2;
	}

	const double seconds = argc > 2 ? strtod(argv[2], NULL) : 2;
	const unsigned long bytes = argc > 3 ? strtoul(argv[3], NULL, 10) : 128;

	if (!(seconds > 0) || bytes < 1 || bytes > 4096) {
		fputs("floor: SECONDS above 0, BYTES 1..4096\n", stderr);
		return 2;
	}

	struct durable *log = durable_open(argv[1], BLOCKS);
	const struct echo_options echo = {.bytes = (uint32_t)bytes,
					  .seconds = seconds};
	struct echo_options spin = echo, append = echo;

	spin.spins = true;
	append.log = log;
	putchar('{');
	measure_echo("echo_block", echo, ", ");
	measure_echo("echo_spin", spin, ", ");
	measure_append(log, seconds);
	measure_echo("echo_append", append, "}\n");
	durable_close(log);
	return 0;
}
