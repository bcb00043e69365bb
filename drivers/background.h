/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_BACKGROUND_H
#define FALCONER_DRIVERS_BACKGROUND_H

/*
 * background - a thread whose work nobody waits for gets out of the way of
 * those whose work is awaited.
 *
 * With as many busy threads as processors a snapshot takes turns with the poll
 * cores, and the turn of an ordinary thread is 3 ms: every request of that time
 * waits for it. A background thread has a smaller share of a contended
 * processor, short turns, and never interrupts who runs when it wakes.
 *
 * That is the kernel's part. A share of a third is still enough to double the
 * waits of a server that needs all its processors, so long work is done in
 * pieces with rests between them (struct background_pace). Nobody rests where
 * nobody else wants the processor.
 *
 * Context    the thread itself; lasts until it ends (an ordinary user cannot
 *            take it back).
 * Errors     none: where the kernel lacks a part, that part has no effect.
 * Cost       a piece: one getrusage() and one look at the clock.
 */

#include <stdbool.h>
#include <stdint.h>

/* Nice, that is a third of what others get of a processor they want, too; not
 * less, since a log file that is made ahead is awaited in the end. */
#define BACKGROUND_NICE 5

void background_begin(void);

/* One preemption says that the processor is wanted, for so long. Pieces are
 * shorter than a turn, so most of them end without one. */
#define BACKGROUND_WANTED_NS 20000000u

struct background_pace {
	uint64_t cpu_ns;      /* of the thread, when the last piece ended */
	uint64_t preempted;   /* times, until then */
	uint64_t wanted_till; /* monotonic ns: the processor is wanted */
};

/* Before the first piece. */
void background_pace_begin(struct background_pace *);

/*
 * A piece has ended.
 *
 * percent  1..100: of a processor, pieces and rests together
 *
 * Returns how long to rest before the next one, in ns; 0: the processor is not
 *         wanted by anybody else, as far as is known, or percent is 100.
 */
uint64_t background_pace_rest_ns(struct background_pace *, uint32_t percent);

/* The same from what is known: what the thread has used and how often it was
 * preempted so far. */
uint64_t background_pace_judge(struct background_pace *, uint64_t cpu_ns,
			       uint64_t preempted, uint64_t now_ns,
			       uint32_t percent);

#endif
