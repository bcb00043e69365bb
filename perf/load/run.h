/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_RUN_H
#define FALCONER_PERF_LOAD_RUN_H

/*
 * run - the measured part: all connections on one epoll, one thread.
 *
 * Closed loop: each connection has `pipeline` requests under way; a reply makes
 * room for the next. Open loop: requests fall due on a fixed schedule whatever
 * the replies do, and latency counts from the scheduled time, so that a server
 * that stalls cannot hide it by slowing its client down. When all requests that
 * `pipeline` allows are under way the schedule goes on and its requests wait.
 *
 * A run has three phases: warm-up, measured, and until the last reply. Counted
 * are the replies that arrive in the measured phase. With a number of
 * operations given all of the run is measured.
 *
 * Context    one thread.
 * Errors     a wrong reply ends the program; errors of ZooKeeper are counted.
 */

#include "base/hist.h"
#include "perf/load/conn.h"

struct load_result {
	struct hist latency; /* ns */
	uint64_t operations;
	uint64_t errors;
	int32_t first_error; /* 0: none */
	double seconds;
	double client_cpu_seconds;
	double server_cpu_seconds; /* 0 without --server-pid */
	uint64_t server_rss_bytes, server_peak_bytes;
};

/* Runs over open connections, all unblocked; none has a request under way. */
void run_load(const struct load_options *, struct load_conn *conns,
	      struct load_result *out);

#endif
