/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_LINE_TRACE_H
#define FALCONER_TESTS_LINE_TRACE_H

/*
 * line_trace - which cache lines a piece of code loads from and stores into,
 * every one of them, in libraries too.
 *
 * While the code runs, all memory that can be written to is mapped so that each
 * access faults; a fault notes the line, opens the page for that one
 * instruction (the trap flag of x86-64) and closes it again behind it. What
 * belongs to a core is told by an actor, a number: roles that are cores of
 * their own elsewhere run one after the other here, and the lines that two of
 * them use are what their cores would have to give to each other.
 *
 * Not seen are the stack and the thread's own variables (the page of its
 * control block), which no other core knows; and of an access over the end of
 * a line only its first line.
 *
 * Context    one thread, the only one of the program. No system call of the
 *            code may be given a pointer to memory other than the stack.
 * Limits     LINE_TRACE_LINES lines, asserted.
 * Cost       some 10 us an access.
 */

#include <stdbool.h>
#include <stdint.h>

#define LINE_TRACE_LINES (1u << 16)
#define LINE_BYTES       64u

struct line {
	uintptr_t at;          /* 0: none */
	uint8_t loads, stores; /* a bit for each actor that did */
	bool is_static;        /* of a program's or library's variables */
	uintptr_t store_at;    /* of its first store... */
	uintptr_t store_code;  /* ...and the instruction */
};

/* Forgets all lines. */
void line_trace_clear(void);
/* Runs work(arg) as that actor (0..7), adding to the lines. */
void line_trace(uint32_t actor, void (*work)(void *arg), void *arg);
/* Calls fn for every line, in no order. */
void line_trace_each(void (*fn)(void *arg, const struct line *), void *arg);

#endif
