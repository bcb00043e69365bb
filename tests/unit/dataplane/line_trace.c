/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line_trace - all that the handlers touch is in `state`, whose pages stay
 * open, and on a stack of their own in it; they call no function of the C
 * library, whose variables are closed, but the kernel itself.
 *
 * A fault opens its page for reading if it was a load and for both if it was a
 * store, and asks for a trap after the instruction. An instruction with two
 * operands in closed pages, or a load and a store in one, faults as often as
 * it needs before it is through.
 */
#include "line_trace.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/fal.h"

#define PAGE_BYTES  4096u
#define RANGES_MAX  256u
#define OPEN_MAX    8u
#define STACK_BYTES 65536u
#define TRAP_FLAG   0x100
#define FAULT_STORE 2 /* bit of the error code of a page fault */

struct range {
	uintptr_t begin, end;
	bool is_static;
	uintptr_t static_end; /* behind it the heap may begin */
};

static _Alignas(PAGE_BYTES) struct {
	struct line line[LINE_TRACE_LINES];
	uint32_t line_count;
	struct range range[RANGES_MAX];
	uint32_t range_count;
	uintptr_t open[OPEN_MAX];
	uint32_t open_count;
	uint8_t actor_bit;
	struct sigaction old_fault, old_trap;
	_Alignas(PAGE_BYTES) uint8_t stack[STACK_BYTES];
} state;

_Static_assert(sizeof(state) % PAGE_BYTES == 0, "whole pages");

/* mprotect() without the C library; ends the program if the kernel refuses. */
static void
protect(uintptr_t begin, uintptr_t bytes, long protection)
{
	long result = SYS_mprotect;

	__asm__ volatile("syscall"
			 : "+a"(result)
			 : "D"(begin), "S"(bytes), "d"(protection)
			 : "rcx", "r11", "memory");
	if (result != 0)
		__builtin_trap();
}

static const struct range *
range_of(uintptr_t at)
{
	for (uint32_t i = 0; i < state.range_count; i++)
		if (at >= state.range[i].begin && at < state.range[i].end)
			return &state.range[i];
	return NULL;
}

static void
note(uintptr_t at, uintptr_t code, bool is_store, bool is_static)
{
	const uintptr_t line_at = at & ~(uintptr_t)(LINE_BYTES - 1);
	uint32_t i = (uint32_t)((line_at / LINE_BYTES) * 0x9e3779b1u) %
		     LINE_TRACE_LINES;
	struct line *line;

	while (state.line[i].at != 0 && state.line[i].at != line_at)
		i = (i + 1) % LINE_TRACE_LINES;
	line = &state.line[i];
	if (line->at == 0) {
		if (++state.line_count == LINE_TRACE_LINES / 2)
			__builtin_trap();
		line->at = line_at;
		line->is_static = is_static;
	}
	if (!is_store) {
		line->loads |= state.actor_bit;
		return;
	}
	if (line->store_code == 0) {
		line->store_at = at;
		line->store_code = code;
	}
	line->stores |= state.actor_bit;
}

static void
on_fault(int signal_number, siginfo_t *info, void *context)
{
	greg_t *const regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	const uintptr_t at = (uintptr_t)info->si_addr;
	const bool is_store = (regs[REG_ERR] & FAULT_STORE) != 0;
	const struct range *range = range_of(at);

	(void)signal_number;
	/* A fault of the program itself, or an instruction without end. */
	if (range == NULL || state.open_count == OPEN_MAX)
		__builtin_trap();
	note(at, (uintptr_t)regs[REG_RIP], is_store,
	     range->is_static && at < range->static_end);
	state.open[state.open_count] = at & ~(uintptr_t)(PAGE_BYTES - 1);
	protect(state.open[state.open_count++], PAGE_BYTES,
		is_store ? PROT_READ | PROT_WRITE : PROT_READ);
	regs[REG_EFL] |= TRAP_FLAG;
}

static void
on_trap(int signal_number, siginfo_t *info, void *context)
{
	greg_t *const regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)signal_number;
	(void)info;
	while (state.open_count > 0)
		protect(state.open[--state.open_count], PAGE_BYTES, PROT_NONE);
	regs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

/* Where addresses are not random, variables and heap are one range. */
static uintptr_t
static_end(uintptr_t begin, uintptr_t end)
{
	extern char _end;

	return begin < (uintptr_t)&_end && end > (uintptr_t)&_end
		       ? (uintptr_t)&_end
		       : end;
}

static void
add_range(uintptr_t begin, uintptr_t end, bool is_static)
{
	if (begin >= end)
		return;
	FAL_ASSERT(state.range_count < RANGES_MAX);
	state.range[state.range_count++] =
		(struct range){.begin = begin,
			       .end = end,
			       .is_static = is_static,
			       .static_end = static_end(begin, end)};
}

/* Whether there are variables of the program in it, which the kernel's list
 * gives a name only as far as the file goes. */
static bool
is_of_program(uintptr_t begin, uintptr_t end)
{
	extern char __data_start, _end;

	return begin < (uintptr_t)&_end && end > (uintptr_t)&__data_start;
}

/* What can be written to, but for this file's state, the stack, and the pages
 * of the thread's own variables and its control block behind them, into which
 * the kernel writes, too. */
static void
find_ranges(void)
{
	const uintptr_t own_begin = (uintptr_t)&state;
	const uintptr_t own_end = own_begin + sizeof(state);
	const uintptr_t stack = (uintptr_t)__builtin_frame_address(0);
	const uintptr_t thread =
		(uintptr_t)pthread_self() & ~(uintptr_t)(PAGE_BYTES - 1);
	FILE *const maps = fopen("/proc/self/maps", "re");
	char text[512];

	FAL_ASSERT(maps != NULL);
	state.range_count = 0;
	while (fgets(text, sizeof(text), maps) != NULL) {
		uintptr_t begin, end;
		char mode[8];

		if (sscanf(text, "%lx-%lx %7s", &begin, &end, mode) != 3 ||
		    strncmp(mode, "rw", 2) != 0 ||
		    (stack >= begin && stack < end))
			continue;

		const bool is_static =
			strchr(text, '/') != NULL || is_of_program(begin, end);

		if (own_begin >= begin && own_end <= end) {
			add_range(begin, own_begin, is_static);
			add_range(own_end, end, is_static);
		} else if (thread >= begin && thread < end) {
			add_range(begin, thread - PAGE_BYTES, is_static);
			add_range(thread + 2 * PAGE_BYTES, end, is_static);
		} else {
			add_range(begin, end, is_static);
		}
	}
	fclose(maps);
}

static void
catch_signals(void)
{
	const stack_t stack = {.ss_sp = state.stack, .ss_size = STACK_BYTES};
	struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};

	FAL_ASSERT(sigaltstack(&stack, NULL) == 0);
	action.sa_sigaction = on_fault;
	FAL_ASSERT(sigaction(SIGSEGV, &action, &state.old_fault) == 0);
	action.sa_sigaction = on_trap;
	FAL_ASSERT(sigaction(SIGTRAP, &action, &state.old_trap) == 0);
}

static void
release_signals(void)
{
	const stack_t none = {.ss_flags = SS_DISABLE};

	FAL_ASSERT(sigaction(SIGSEGV, &state.old_fault, NULL) == 0);
	FAL_ASSERT(sigaction(SIGTRAP, &state.old_trap, NULL) == 0);
	FAL_ASSERT(sigaltstack(&none, NULL) == 0);
}

void
line_trace_clear(void)
{
	memset(state.line, 0, sizeof(state.line));
	state.line_count = 0;
}

void
line_trace(uint32_t actor, void (*work)(void *arg), void *arg)
{
	FAL_ASSERT(actor < 8);
	state.actor_bit = (uint8_t)(1u << actor);
	catch_signals();
	find_ranges();
	for (uint32_t i = 0; i < state.range_count; i++)
		protect(state.range[i].begin,
			state.range[i].end - state.range[i].begin, PROT_NONE);
	work(arg);
	for (uint32_t i = 0; i < state.range_count; i++)
		protect(state.range[i].begin,
			state.range[i].end - state.range[i].begin,
			PROT_READ | PROT_WRITE);
	release_signals();
}

void
line_trace_each(void (*fn)(void *arg, const struct line *), void *arg)
{
	for (uint32_t i = 0; i < LINE_TRACE_LINES; i++)
		if (state.line[i].at != 0)
			fn(arg, &state.line[i]);
}
