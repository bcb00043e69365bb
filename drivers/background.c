/* SPDX-License-Identifier: Apache-2.0 */
/*
 * background - one sched_setattr(): SCHED_BATCH does not preempt when it wakes,
 * nice is the share, and sched_runtime is the turn (Linux 6.12; ignored
 * before). glibc has no wrapper.
 */
#include "drivers/background.h"

#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURN_NS 100000u /* the least that the kernel takes */

/* struct sched_attr of the kernel, first version: sched_setattr(2). */
struct attributes {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

_Static_assert(sizeof(struct attributes) == 48, "SCHED_ATTR_SIZE_VER0");

void
background_begin(void)
{
	struct attributes now;

	memset(&now, 0, sizeof(now));
	if (syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) != 0 ||
	    (now.policy != SCHED_OTHER && now.policy != SCHED_BATCH))
		return; /* Whoever started us wants it so. */
	now.size = sizeof(now);
	now.policy = SCHED_BATCH;
	now.flags = 0;
	if (now.nice < BACKGROUND_NICE)
		now.nice = BACKGROUND_NICE;
	now.runtime = TURN_NS;
	(void)syscall(SYS_sched_setattr, 0, &now, 0);
}
