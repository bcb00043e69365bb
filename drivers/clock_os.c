/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - what the system says, and the choice of the monotonic source.
 *
 * The choice is made once, before threads start, and read without any
 * synchronisation afterwards.
 */
#include "drivers/clock.h"

#include <time.h>

#include "base/fal.h"
#include "base/time.h"

static bool uses_tsc;

uint64_t
clock_os_now_ns(void)
{
	struct timespec now;
	const int err = clock_gettime(CLOCK_MONOTONIC, &now);

	FAL_ASSERT(err == 0);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

enum clock_source
clock_init(void)
{
	uses_tsc = clock_tsc_calibrate();
	return uses_tsc ? CLOCK_SOURCE_TSC : CLOCK_SOURCE_OS;
}

uint64_t
clock_now_ns(void)
{
	return uses_tsc ? clock_tsc_now_ns() : clock_os_now_ns();
}

int64_t
clock_wall_ms(void)
{
	struct timespec now;
	const int err = clock_gettime(CLOCK_REALTIME, &now);

	FAL_ASSERT(err == 0);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / (long)NS_PER_MS;
}
