/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_MODES_H
#define FALCONER_PERF_LOAD_MODES_H

/*
 * modes - measurements that are no mix of requests.
 *
 *   fan-out  all connections but the first watch one node, the first changes
 *            it, round after round. Recorded: from the send of the change until
 *            the last has its notification
 *   storm    all sessions are asked for at once. Recorded: from the first
 *            connect to each session's answer
 *   idle     sessions that send nothing but pings, for --seconds; told is what
 *            CPU and memory they cost the server
 *
 * Context    one thread; each ends the program when anything is wrong.
 */

#include "perf/load/run.h"

/* conns: open and unblocked, 2 at least. */
void modes_fanout(const struct load_options *, struct load_conn *conns,
		  struct load_result *out);
/* conns: room for all; they are opened here. */
void modes_storm(const struct load_options *, struct load_conn *conns,
		 struct load_result *out);
/* conns: open and unblocked. */
void modes_idle(const struct load_options *, struct load_conn *conns,
		struct load_result *out);

#endif
