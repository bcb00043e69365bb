/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_FILL_H
#define FALCONER_PERF_LOAD_FILL_H

/*
 * fill - makes the keys that a run works with: pipelined multis of creates on
 * one connection. Keys that are there from an earlier run are left alone.
 *
 * Context    before the run, while the connection's socket blocks.
 * Errors     end the program: a server that refuses, keys with other values.
 */

#include "perf/load/conn.h"

/* Multis under way at once. */
#define FILL_PIPELINE 4u

/* Bytes of the largest frame that a fill sends. */
size_t fill_request_bytes(const struct load_options *);
/* True when the keys were made now, false when they were there. */
bool fill_keys(struct load_conn *, const struct load_options *);

#endif
