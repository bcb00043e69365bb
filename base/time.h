/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_TIME_H
#define FALCONER_BASE_TIME_H

/* time - units. Nobody here reads a clock: `now` is always a parameter, from
 * drivers/clock.h, so that the simulator can lie about it. */

#include <stdint.h>

#define NS_PER_US     1000ull
#define NS_PER_MS     1000000ull
#define NS_PER_SECOND 1000000000ull
#ifndef NS_PER_S /* DPDK's ring headers bring one of type int */
#define NS_PER_S NS_PER_SECOND
#endif

static inline uint64_t
time_ms_to_ns(uint64_t ms)
{
	return ms * NS_PER_MS;
}

static inline uint64_t
time_ns_to_ms(uint64_t ns)
{
	return ns / NS_PER_MS;
}

#endif
