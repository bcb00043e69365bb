/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_SIM_QUEUE_H
#define FALCONER_TESTS_SIM_QUEUE_H

/*
 * sim_queue - what is due when: a binary heap by (virtual time, sequence).
 *
 * Two things due at the same time come out in the order they were put in, so a
 * run depends on nothing but its seed.
 *
 * Ownership  grows by itself; sim_queue_free() gives the memory back.
 */

#include <stdbool.h>
#include <stdint.h>

struct sim_due {
	uint64_t at_us;
	uint64_t sequence; /* set by sim_queue_put() */
	uint32_t kind;
	uint32_t who;    /* by kind: server, connection, client */
	uint32_t what;   /* by kind */
	uint32_t serial; /* of what it was meant for: stale ones are dropped */
	int64_t number;
};

struct sim_queue {
	struct sim_due *due;
	uint32_t count, capacity;
	uint64_t sequence;
};

void sim_queue_put(struct sim_queue *queue, const struct sim_due *due);
/* Puts something back that was taken, for later: it keeps its sequence and so
 * its place before what came after it. */
void sim_queue_put_again(struct sim_queue *queue, const struct sim_due *due);
/* Takes what is due first. False: nothing is. */
bool sim_queue_take(struct sim_queue *queue, struct sim_due *out);
void sim_queue_clear(struct sim_queue *queue);
void sim_queue_free(struct sim_queue *queue);

#endif
