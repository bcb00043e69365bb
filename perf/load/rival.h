/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_RIVAL_H
#define FALCONER_PERF_LOAD_RIVAL_H

/*
 * rival - the same load on servers of another protocol, for comparison: get and
 * set of keys of the same size, driven by the same loop.
 *
 *   redis  RESP, GET and SET
 *   etcd   its JSON gateway over HTTP/1.1, one request at a time: what Debian's
 *          etcd offers to a client without gRPC
 *
 * Context    the one thread of the load program.
 * Errors     a wrong reply ends the program.
 */

#include "perf/load/conn.h"

/* Requests under way while the keys are made. */
#define RIVAL_PIPELINE 64u

void rival_put(struct jute_writer *, const struct load_options *, enum load_op,
	       uint64_t number);
/*
 * Looks for a whole reply at the start of what came in and checks it.
 *
 * Returns its bytes; 0: it is not whole yet
 */
size_t rival_take(const uint8_t *data, size_t bytes,
		  const struct load_options *, enum load_op);
/* Makes the keys; the socket blocks. */
void rival_fill(struct load_conn *, const struct load_options *);

#endif
