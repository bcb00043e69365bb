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
 * Context    the thread itself; lasts until it ends (an ordinary user cannot
 *            take it back).
 * Errors     none: where the kernel lacks a part, that part has no effect.
 */

/* Nice, that is a third of what others get of a processor they want, too; not
 * less, since a log file that is made ahead is awaited in the end. */
#define BACKGROUND_NICE 5

void background_begin(void);

#endif
