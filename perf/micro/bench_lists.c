/* SPDX-License-Identifier: Apache-2.0 */
/* bench_lists - the one place that names every list of cases. */
#include "perf/micro/bench.h"

const struct bench_case *const bench_lists[] = {
	bench_checksum_cases, bench_jute_cases, bench_ring_cases,
	bench_read_cases,     bench_prep_cases, bench_watch_cases,
	bench_log_cases,      bench_zab_cases,  NULL,
};
