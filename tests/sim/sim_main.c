/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim - runs seeds of the simulator.
 *
 *   sim --seed 17 --trace               one run, every event told
 *   sim --seed 1 --seeds 2000 --jobs 2  many, in two processes
 *   sim --kept tests/sim/kept.txt       those that a file names
 *
 * A failure prints the last events, the seed, the step and the invariant, and
 * ends with status 1; an assert of the core does the same.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

struct totals {
	uint64_t seeds;
	struct sim_counters counters;
};

static struct sim *running;

static void
on_abort(int signal_number)
{
	(void)signal_number;
	signal(SIGABRT, SIG_DFL);
	sim_fail(running, "assert", "see above");
}

static void
usage(FILE *out)
{
	fprintf(out,
		"usage: sim [--seed N] [--seeds N] [--jobs N] [--steps N]\n"
		"           [--replicas 3..7] [--faults all|none|LIST]"
		" [--trace] [--minutes N]\n"
		"           [--kept FILE]\n"
		"faults:");
	for (uint32_t i = 0; i < SIM_FAULT_COUNT; i++)
		fprintf(out, " %s", sim_fault_name(i));
	fputc('\n', out);
}

static bool
parse_faults(const char *text, uint32_t *faults)
{
	*faults = 0;
	if (strcmp(text, "none") == 0)
		return true;
	if (strcmp(text, "all") == 0) {
		*faults = SIM_FAULTS_ALL;
		return true;
	}
	while (*text) {
		const size_t bytes = strcspn(text, ",");
		uint32_t i = 0;

		while (i < SIM_FAULT_COUNT &&
		       (strlen(sim_fault_name(i)) != bytes ||
			strncmp(sim_fault_name(i), text, bytes) != 0))
			i++;
		if (i == SIM_FAULT_COUNT)
			return false;
		*faults |= 1u << i;
		text += bytes + (text[bytes] == ',');
	}
	return true;
}

static void
add_counters(struct sim_counters *sum, const struct sim_counters *one)
{
	/* All are uint64_t. */
	uint64_t *to = (uint64_t *)(void *)sum;
	const uint64_t *from = (const uint64_t *)(const void *)one;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
		to[i] += from[i];
}

/* These seeds have a star, too, when they are done. */
#define STAR_EVERY 8u

struct plan {
	struct sim_options options;
	uint64_t seeds;
	uint64_t jobs;
	time_t end;       /* 0: by seeds */
	const char *kept; /* a file with lines of seed and steps; NULL */
};

/* Every jobs-th seed from the first + job on. */
static struct totals
run_share(const struct plan *plan, uint64_t job)
{
	static struct sim sim;
	struct sim_options options = plan->options;
	struct totals totals = {0};

	running = &sim;
	signal(SIGABRT, on_abort);
	for (uint64_t i = job;
	     plan->end ? time(NULL) < plan->end : i < plan->seeds;
	     i += plan->jobs) {
		options.seed = plan->options.seed + i;
		sim_run(&sim, &options);
		totals.seeds++;
		add_counters(&totals.counters, &sim.counters);
		if (options.seed % STAR_EVERY == 0)
			sim_star_run(&sim, options.seed);
	}
	sim_free(&sim);
	return totals;
}

/* The seeds of a file, one a line; what is behind the numbers is for readers.
 */
static int
run_kept(const struct plan *plan, struct totals *totals)
{
	struct plan one = *plan;
	FILE *file = fopen(plan->kept, "r");
	char line[256];

	if (file == NULL) {
		perror(plan->kept);
		return 1;
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		struct totals ran;

		if (sscanf(line, "%" SCNu64 " %" SCNu64, &one.options.seed,
			   &one.options.steps) != 2)
			continue;
		one.seeds = 1;
		one.jobs = 1;
		ran = run_share(&one, 0);
		totals->seeds += ran.seeds;
		add_counters(&totals->counters, &ran.counters);
	}
	(void)fclose(file);
	return totals->seeds == 0;
}

static int
run_jobs(const struct plan *plan, struct totals *totals)
{
	int ends[2], failed = 0, status;
	struct totals one;

	if (pipe(ends) != 0)
		return 1;
	for (uint64_t job = 0; job < plan->jobs; job++) {
		const pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid > 0)
			continue;
		one = run_share(plan, job);
		if (write(ends[1], &one, sizeof(one)) != sizeof(one))
			_exit(1);
		_exit(0);
	}
	close(ends[1]);
	while (wait(&status) > 0)
		failed |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	while (read(ends[0], &one, sizeof(one)) == sizeof(one)) {
		totals->seeds += one.seeds;
		add_counters(&totals->counters, &one.counters);
	}
	close(ends[0]);
	return failed;
}

static void
tell(const struct plan *plan, const struct totals *totals, double seconds)
{
	const struct sim_counters *c = &totals->counters;

	if (plan->kept)
		printf("sim: seeds %" PRIu64 " of %s", totals->seeds,
		       plan->kept);
	else
		printf("sim: seeds %" PRIu64 "..%" PRIu64, plan->options.seed,
		       plan->options.seed + totals->seeds - 1);
	printf(": %" PRIu64 " steps, %" PRIu64 " transactions, %" PRIu64
	       " acknowledged, %" PRIu64 " reads, %" PRIu64 " syncs\n",
	       c->steps, c->commits, c->acked, c->reads, c->syncs);
	printf("sim: %" PRIu64 " elections, %" PRIu64 " crashes, %" PRIu64
	       " disks lost, %" PRIu64 " founders, %" PRIu64 " TRUNC, %" PRIu64
	       " SNAP, %" PRIu64 " configurations activated, %" PRIu64
	       " messages\n",
	       c->elections, c->crashes, c->wipes, c->founders, c->truncs,
	       c->snapshots, c->reconfigs, c->messages);
	printf("sim: %" PRIu64 " sessions, %" PRIu64
	       " of them expired, %" PRIu64 " times taken over by REVALIDATE\n",
	       c->sessions, c->expired, c->moves);
	printf("sim: %.1f s, %.0f steps/s, %.0f transactions/s\n", seconds,
	       (double)c->steps / seconds, (double)c->commits / seconds);
}

static bool
parse(int argc, char **argv, struct plan *plan)
{
	static const struct option longs[] = {
		{"seed", 1, NULL, 's'},     {"seeds", 1, NULL, 'n'},
		{"jobs", 1, NULL, 'j'},     {"steps", 1, NULL, 'c'},
		{"replicas", 1, NULL, 'r'}, {"faults", 1, NULL, 'f'},
		{"trace", 0, NULL, 't'},    {"minutes", 1, NULL, 'm'},
		{"kept", 1, NULL, 'k'},     {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		const double number = optarg ? strtod(optarg, NULL) : 0;

		if (option == 's')
			plan->options.seed = strtoull(optarg, NULL, 0);
		else if (option == 'n')
			plan->seeds = (uint64_t)number;
		else if (option == 'j')
			plan->jobs = (uint64_t)number;
		else if (option == 'c') /* as in 1e6 */
			plan->options.steps = (uint64_t)number;
		else if (option == 'r')
			plan->options.replicas = (uint32_t)number;
		else if (option == 'k')
			plan->kept = optarg;
		else if (option == 't')
			plan->options.is_tracing = true;
		else if (option == 'm')
			plan->end = time(NULL) + (time_t)(number * 60);
		else if (option != 'f' ||
			 !parse_faults(optarg, &plan->options.faults))
			return false;
	}
	return optind == argc && plan->jobs > 0 && plan->seeds > 0 &&
	       plan->options.replicas <= SIM_SERVERS_MAX;
}

int
main(int argc, char **argv)
{
	struct plan plan = {
		.options = {.seed = 1,
			    .steps = 10000,
			    .faults = SIM_FAULTS_ALL},
		.seeds = 1,
		.jobs = 1,
	};
	struct totals totals = {0};
	struct timespec begin, end;

	if (!parse(argc, argv, &plan)) {
		usage(stderr);
		return 2;
	}
	clock_gettime(CLOCK_MONOTONIC, &begin);
	const int failed =
		plan.kept ? run_kept(&plan, &totals) : run_jobs(&plan, &totals);

	clock_gettime(CLOCK_MONOTONIC, &end);
	if (!failed)
		tell(&plan, &totals,
		     (double)(end.tv_sec - begin.tv_sec) +
			     (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	return failed;
}
