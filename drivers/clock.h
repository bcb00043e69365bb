/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_CLOCK_H
#define FALCONER_DRIVERS_CLOCK_H

/*
 * clock - the two times of the process.
 *
 * Monotonic nanoseconds drive every timer and deadline. They come from the time
 * stamp counter where the processor says that it runs at one rate in all states
 * and the kernel itself keeps time with it; otherwise from clock_gettime().
 * Both count from the same origin (boot), so a switch is invisible. Wall clock
 * milliseconds are for ctime, mtime and log lines only.
 *
 * Context    clock_init() once, before other threads start; the rest anywhere.
 * Errors     none: without a usable counter the system's clock is used.
 * Cost       clock_now_ns(): 10 ns with the counter, 25 ns without. Once per
 *            loop iteration is enough; functions below take `now` as parameter.
 */

#include <stdbool.h>
#include <stdint.h>

enum clock_source {
	CLOCK_SOURCE_OS = 0,
	CLOCK_SOURCE_TSC,
};

/* Chooses the source; measures the counter's rate for about 20 ms. Without this
 * call the system's clock is used. Returns what was chosen. */
enum clock_source clock_init(void);

/* Monotonic nanoseconds since boot; never goes back on one thread. */
uint64_t clock_now_ns(void);

/* Milliseconds since 1970, UTC; may jump when the administrator sets it. */
int64_t clock_wall_ms(void);

/* The two sources by name, for their tests: clock_os.c and clock_tsc.c. */
uint64_t clock_os_now_ns(void);

/* Measures the counter against clock_os_now_ns(). Returns false when there is
 * no counter to be trusted; clock_tsc_now_ns() must not be called then. */
bool clock_tsc_calibrate(void);
uint64_t clock_tsc_now_ns(void);

#endif
