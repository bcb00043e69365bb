/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_GATES_GATE_H
#define FALCONER_PERF_GATES_GATE_H

/*
 * gate - counting the instructions of a piece of the data path.
 *
 * The program runs under callgrind, which collects only between gate_begin()
 * and gate_end(); what a case prepares and looks at stands outside. Without
 * callgrind all of it runs and nothing is counted.
 *
 * Context    one thread.
 */

#include "perf/micro/bench.h"

/* Operations of one case; a multiple of BENCH_BURST. */
#define GATE_COUNT 1024u

void gate_begin(void);
void gate_end(void);

/* Cases that call gate_begin() and gate_end() themselves. */
extern const struct bench_case gate_pipeline_cases[];
extern const struct bench_case gate_tcp_cases[];

#endif
