/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_PERF_LOAD_WAIT_H
#define FALCONER_PERF_LOAD_WAIT_H

/*
 * wait - which connections have news: from one epoll of their sockets, or from
 * the streams of --port.
 *
 * Context    one thread.
 * Errors     end the program.
 */

#include "perf/load/conn.h"

#define WAIT_EVENTS_MAX 256u

struct load_wait {
	int epoll_fd; /* -1: streams */
	bool spins;
};

void wait_open(struct load_wait *, const struct load_options *);
void wait_close(struct load_wait *);
/* Watches a connection for input, and for room while `wants_room`. Streams
 * tell of input by themselves, and take all output at once. */
void wait_add(struct load_wait *, const struct load_conn *, bool wants_room);
void wait_change(struct load_wait *, const struct load_conn *, bool wants_room);
/*
 * Waits up to timeout_ns; not at all with --spin.
 *
 * index  out, WAIT_EVENTS_MAX entries: the connections
 *
 * Returns how many there are
 */
uint32_t wait_for(struct load_wait *, uint32_t *index, uint64_t timeout_ns);

#endif
