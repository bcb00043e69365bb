/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_PROCESS_H
#define FALCONER_PERF_LOAD_PROCESS_H

/* process - CPU time and memory of this process and of others, as Linux tells
 * them. Context: any thread. */

#include <stdbool.h>
#include <stdint.h>

/* Seconds of user and system time of this process. */
double process_own_cpu_seconds(void);
/* The same of another process with all its threads, ended ones too; in steps
 * of a clock tick, 10 ms as a rule. False: no such process. */
bool process_cpu_seconds(int32_t pid, double *out);
/* Resident bytes now and at most. False: no such process. */
bool process_memory(int32_t pid, uint64_t *rss_bytes, uint64_t *peak_bytes);

#endif
