/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_REPORT_H
#define FALCONER_PERF_LOAD_REPORT_H

/* report - the result as text for people or as one JSON object for programs,
 * to standard output. Context: any. */

#include "perf/load/run.h"

void report_result(const struct load_options *, const struct load_result *);
/* The latencies as a histogram, to options->histogram; nothing without it. */
void report_histogram(const struct load_options *, const struct hist *);
/* After --fill. */
void report_fill(const struct load_options *, const struct load_result *);

#endif
