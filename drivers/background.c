/* SPDX-License-Identifier: Apache-2.0 */
/*
 * background - one sched_setattr(): SCHED_BATCH does not preempt when it wakes,
 * nice is the share, and sched_runtime is the turn (Linux 6.12; ignored
 * before). glibc has no wrapper.
 *
 * Whether the processor is wanted is seen by being preempted: the kernel counts
 * involuntary switches of a thread, and makes none when there is nobody to
 * switch to.
 */
#include "drivers/background.h"

#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fal.h"
#include "base/time.h"
#include "drivers/clock.h"

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

struct usage {
	uint64_t cpu_ns, preempted;
};

static uint64_t
ns_of(struct timeval time)
{
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_usec * 1000;
}

static struct usage
usage_now(void)
{
	struct rusage usage;
	const int err = getrusage(RUSAGE_THREAD, &usage);

	FAL_ASSERT(err == 0);
	return (struct usage){
		.cpu_ns = ns_of(usage.ru_utime) + ns_of(usage.ru_stime),
		.preempted = (uint64_t)usage.ru_nivcsw,
	};
}

void
background_pace_begin(struct background_pace *pace)
{
	const struct usage usage = usage_now();

	*pace = (struct background_pace){.cpu_ns = usage.cpu_ns,
					 .preempted = usage.preempted};
}

uint64_t
background_pace_judge(struct background_pace *pace, uint64_t cpu_ns,
		      uint64_t preempted, uint64_t now_ns, uint32_t percent)
{
	const uint64_t used_ns = cpu_ns - pace->cpu_ns;

	FAL_ASSERT(percent >= 1 && percent <= 100);
	if (preempted != pace->preempted)
		pace->wanted_till = now_ns + BACKGROUND_WANTED_NS;
	pace->cpu_ns = cpu_ns;
	pace->preempted = preempted;
	return now_ns < pace->wanted_till ? used_ns * (100 - percent) / percent
					  : 0;
}

uint64_t
background_pace_rest_ns(struct background_pace *pace, uint32_t percent)
{
	const struct usage usage = usage_now();

	return background_pace_judge(pace, usage.cpu_ns, usage.preempted,
				     clock_now_ns(), percent);
}
