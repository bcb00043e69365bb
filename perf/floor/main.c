/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor DIR [SECONDS [BYTES [NAME...]]] - measures all of these, or those
 * named, and prints one JSON object with latencies in microseconds:
 *
 *   echo_block    TCP round trip over loopback, both sides sleep
 *   echo_spin     the same, neither does
 *   append        one durable 4 KiB write into a file in DIR
 *   echo_append   the round trip (both sleep) with the write in it: the floor
 *                 of a synced write
 *   relay         a write through a leader and two followers, no disk
 *   relay_append  the same with a durable write in each
 *   blast         one frame to each of 1000 connections, until the last
 *   storm         1000 connections at once, one question each, until the last
 *                 answer
 *   hop           a word to the other processor and back
 *   hiccup        turns of an empty loop: what the machine takes away
 */
#include "perf/floor/floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/clock.h"

#define BLOCKS            4096u /* 16 MiB; a measurement goes round in it */
#define BLAST_CONNECTIONS 1000u
#define STORM_CONNECTIONS 1000u
#define BLAST_BYTES       64u /* about a watch event */

struct run {
	const char *dir;
	double seconds;
	uint32_t bytes;
};

void
floor_die(const char *what)
{
	perror(what);
	exit(1);
}

static void
print_hist(const char *name, const struct hist *hist, const char *before)
{
	static const struct {
		const char *name;
		double share;
	} quantiles[] = {{"p50", 0.5},
			 {"p90", 0.9},
			 {"p99", 0.99},
			 {"p99.9", 0.999},
			 {"p99.99", 0.9999}};

	printf("%s\"%s\": {\"count\": %llu, \"mean\": %.3f", before, name,
	       (unsigned long long)summary_count(&hist->summary),
	       summary_mean(&hist->summary) / 1e3);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
		printf(", \"%s\": %.3f", quantiles[i].name,
		       (double)hist_quantile(hist, quantiles[i].share) / 1e3);
	printf(", \"max\": %.3f}",
	       (double)summary_highest(&hist->summary) / 1e3);
}

/* ---- one function for each floor
 * --------------------------------------------- */

static void
echo(const struct run *run, bool spins, struct durable *log, struct hist *out)
{
	const struct echo_options options = {.bytes = run->bytes,
					     .seconds = run->seconds,
					     .spins = spins,
					     .log = log};

	echo_measure(&options, out);
}

static void
echo_block(const struct run *run, struct hist *out)
{
	echo(run, false, NULL, out);
}

static void
echo_spin(const struct run *run, struct hist *out)
{
	echo(run, true, NULL, out);
}

static void
echo_append(const struct run *run, struct hist *out)
{
	struct durable *log = durable_open(run->dir, BLOCKS);

	echo(run, false, log, out);
	durable_close(log);
}

static void
append(const struct run *run, struct hist *out)
{
	struct durable *log = durable_open(run->dir, BLOCKS);
	uint64_t now_ns = clock_os_now_ns();
	const uint64_t end_ns = now_ns + (uint64_t)(run->seconds * 1e9);

	while (now_ns < end_ns) {
		const uint64_t begin_ns = now_ns;

		durable_append(log);
		now_ns = clock_os_now_ns();
		hist_record(out, now_ns - begin_ns);
	}
	durable_close(log);
}

static void
relay(const struct run *run, struct hist *out)
{
	const struct relay_options options = {.bytes = run->bytes,
					      .seconds = run->seconds};

	relay_measure(&options, out);
}

static void
relay_append(const struct run *run, struct hist *out)
{
	struct relay_options options = {.bytes = run->bytes,
					.seconds = run->seconds};

	for (uint32_t i = 0; i < 3; i++)
		options.log[i] = durable_open(run->dir, BLOCKS);
	relay_measure(&options, out);
	for (uint32_t i = 0; i < 3; i++)
		durable_close(options.log[i]);
}

static void
blast(const struct run *run, struct hist *out)
{
	const struct blast_options options = {.connections = BLAST_CONNECTIONS,
					      .bytes = BLAST_BYTES,
					      .seconds = run->seconds};

	blast_measure(&options, out);
}

static void
storm(const struct run *run, struct hist *out)
{
	const struct storm_options options = {.connections = STORM_CONNECTIONS,
					      .seconds = run->seconds};

	storm_measure(&options, out);
}

static void
hop(const struct run *run, struct hist *out)
{
	hop_measure(run->seconds, out);
}

static void
hiccup(const struct run *run, struct hist *out)
{
	hiccup_measure(run->seconds, out);
}

static const struct {
	const char *name;
	void (*measure)(const struct run *, struct hist *out);
} floors[] = {
	{"echo_block", echo_block},
	{"echo_spin", echo_spin},
	{"append", append},
	{"echo_append", echo_append},
	{"relay", relay},
	{"relay_append", relay_append},
	{"blast", blast},
	{"storm", storm},
	{"hop", hop},
	{"hiccup", hiccup},
};

static bool
is_wanted(const char *name, int argc, char **argv)
{
	for (int i = 4; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc <= 4;
}

int
main(int argc, char **argv)
{
	static struct hist hist;
	const char *before = "{";
	struct run run = {.seconds = 2, .bytes = 128};

	if (argc < 2 || argv[1][0] == '-') {
		fputs("usage: floor DIR [SECONDS [BYTES [NAME...]]]\n", stderr);
		return 2;
	}
	run.dir = argv[1];
	if (argc > 2)
		run.seconds = strtod(argv[2], NULL);
	if (argc > 3)
		run.bytes = (uint32_t)strtoul(argv[3], NULL, 10);
	if (!(run.seconds > 0) || run.bytes < 1 || run.bytes > 4096) {
		fputs("floor: SECONDS above 0, BYTES 1..4096\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < sizeof(floors) / sizeof(floors[0]); i++) {
		if (!is_wanted(floors[i].name, argc, argv))
			continue;
		memset(&hist, 0, sizeof(hist));
		floors[i].measure(&run, &hist);
		print_hist(floors[i].name, &hist, before);
		before = ", ";
	}
	puts("}");
	return 0;
}
