/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_MICRO_MUST_H
#define FALCONER_PERF_MICRO_MUST_H

/* must - for setting benchmarks up. Context: any. */

#include "base/fal.h"

/* Ends the program: this benchmark cannot be set up here. */
#define BENCH_MUST(cond)                                      \
	do {                                                  \
		if (FAL_UNLIKELY(!(cond)))                    \
			fal_panic(__FILE__, __LINE__, #cond); \
	} while (0)

#endif
