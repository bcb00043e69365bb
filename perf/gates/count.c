/* SPDX-License-Identifier: Apache-2.0 */
/*
 * count [CASE...] - runs each case (or those named) under callgrind and has it
 * dump what was collected under the case's name, for gates.py:
 *
 *   valgrind --tool=callgrind --instr-atstart=no --collect-atstart=no count
 *
 * Caches of the data path are warm: each case runs once before it is counted.
 */
#include "perf/gates/gate.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <valgrind/callgrind.h>

#include "perf/micro/nodes.h"

/* Instructions do not depend on what the caches hold. */
#define GATE_NODES 5000u

void
gate_begin(void)
{
	CALLGRIND_TOGGLE_COLLECT;
}

void
gate_end(void)
{
	CALLGRIND_TOGGLE_COLLECT;
}

static bool
is_wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc == 1;
}

/* False: an operation came out wrong. */
static bool
count_case(const struct bench_case *bench, bool collects_itself)
{
	void *state = bench->setup();
	uint64_t right;

	/* Setting up a tree of many nodes at full cost would take minutes. */
	CALLGRIND_START_INSTRUMENTATION;
	right = bench->run(state, BENCH_BURST);
	CALLGRIND_ZERO_STATS;
	if (!collects_itself)
		gate_begin();
	right += bench->run(state, GATE_COUNT);
	if (!collects_itself)
		gate_end();
	CALLGRIND_DUMP_STATS_AT(bench->name);
	CALLGRIND_STOP_INSTRUMENTATION;
	bench->teardown(state);
	if (right == BENCH_BURST + GATE_COUNT)
		return true;
	fprintf(stderr, "%s: wrong result\n", bench->name);
	return false;
}

static bool
count_list(const struct bench_case *list, bool collects_itself, int argc,
	   char **argv)
{
	bool is_right = true;

	for (; list->name != NULL; list++)
		if (is_wanted(list->name, argc, argv))
			is_right &= count_case(list, collects_itself);
	return is_right;
}

int
main(int argc, char **argv)
{
	bool is_right;

	nodes_count = GATE_NODES;
	is_right = count_list(gate_pipeline_cases, true, argc, argv);
	is_right &= count_list(gate_tcp_cases, true, argc, argv);

	for (uint32_t i = 0; bench_lists[i] != NULL; i++)
		/* How much a log writes at once is the disk's to say. */
		if (bench_lists[i] != bench_log_cases)
			is_right &=
				count_list(bench_lists[i], false, argc, argv);
	return is_right ? 0 : 1;
}
