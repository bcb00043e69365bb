/* SPDX-License-Identifier: Apache-2.0 */
/* main - hands the bodies of bench.h to Google Benchmark, whose options this
 * program takes (--benchmark_filter=..., --benchmark_out=...). */
#include <benchmark/benchmark.h>

extern "C" {
#include "perf/micro/bench.h"
}

static void
measure(benchmark::State &state, const struct bench_case *bench)
{
	void *body = bench->setup();
	uint64_t done = 0;
	uint64_t right = 0;

	while (state.KeepRunningBatch(BENCH_BURST)) {
		right += bench->run(body, BENCH_BURST);
		done += BENCH_BURST;
	}
	bench->teardown(body);
	if (right != done)
		state.SkipWithError("operations came out wrong");
	state.SetItemsProcessed(static_cast<int64_t>(done));
}

int
main(int argc, char **argv)
{
	for (uint32_t list = 0; bench_lists[list] != nullptr; list++)
		for (const struct bench_case *bench = bench_lists[list];
		     bench->name != nullptr; bench++) {
			auto *made = benchmark::RegisterBenchmark(
				bench->name, measure, bench);

			if (bench->count_max > 0)
				made->Iterations(
					static_cast<int64_t>(bench->count_max));
		}
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	benchmark::RunSpecifiedBenchmarks();
	benchmark::Shutdown();
	return 0;
}
