/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - monotonic time from the time stamp counter.
 *
 * Trusted only if CPUID promises an invariant rate (leaf 0x80000007, EDX bit 8)
 * and the kernel keeps time with the same counter: it has watched it for
 * longer than we can, and takes it away when CPUs disagree.
 *
 * The rate is measured between two pairs (counter, system time) some 20 ms
 * apart. A pair is the best of several tries: the one with the fewest ticks
 * between two reads of the counter around the system call, so that a preempted
 * try does not count. The error is then about 50 ns in 20 ms, 2.5 ppm, less
 * than what NTP does to the system's clock.
 *
 * ns = base_ns + ((ticks - base_ticks) * mult >> 32), in 128 bits: no overflow
 * for centuries.
 */
#include "drivers/clock.h"

#include <string.h>

#include "base/fal.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "base/time.h"

#define CALIBRATION_NS (20 * NS_PER_MS)
#define SAMPLE_TRIES   16

struct sample {
	uint64_t ticks;
	uint64_t ns;
};

static struct {
	uint64_t base_ticks;
	uint64_t base_ns;
	uint64_t mult; /* nanoseconds per tick, times 2^32; 0: unusable */
} tsc;

static bool
is_invariant(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(0x80000007u, &a, &b, &c, &d) != 0 &&
	       (d & 1u << 8) != 0;
}

/* Whether the kernel's own clock is this counter. */
static bool
kernel_trusts_it(void)
{
	char name[8] = {0};
	const int fd = open("/sys/devices/system/clocksource/clocksource0/"
			    "current_clocksource",
			    O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;

	const ssize_t bytes = read(fd, name, sizeof(name) - 1);

	close(fd);
	return bytes == 4 && memcmp(name, "tsc\n", 4) == 0;
}

static struct sample
sample_take(void)
{
	struct sample best = {0, 0};
	uint64_t width = UINT64_MAX;

	for (int i = 0; i < SAMPLE_TRIES; i++) {
		const uint64_t before = __rdtsc();
		const uint64_t ns = clock_os_now_ns();
		const uint64_t after = __rdtsc();

		if (after - before >= width)
			continue;
		width = after - before;
		best.ticks = before + width / 2;
		best.ns = ns;
	}
	return best;
}

bool
clock_tsc_calibrate(void)
{
	const struct timespec pause = {.tv_nsec = CALIBRATION_NS};

	tsc.mult = 0;
	if (!is_invariant() || !kernel_trusts_it())
		return false;

	const struct sample first = sample_take();

	nanosleep(&pause, NULL);

	const struct sample last = sample_take();

	if (last.ticks <= first.ticks || last.ns <= first.ns)
		return false;

	const uint64_t mult =
		(uint64_t)(((unsigned __int128)(last.ns - first.ns) << 32) /
			   (last.ticks - first.ticks));

	/* 0.1 to 10 ticks a nanosecond are processors; else we measured
	 * nonsense. */
	if (mult < (1ull << 32) / 10 || mult > 10 * (1ull << 32))
		return false;
	tsc.base_ticks = last.ticks;
	tsc.base_ns = last.ns;
	tsc.mult = mult;
	return true;
}

uint64_t
clock_tsc_now_ns(void)
{
	FAL_ASSERT(tsc.mult != 0);

	/* A core whose counter is a few ticks behind the one that calibrated
	 * must not see a huge difference right after the start. */
	const uint64_t now = __rdtsc();
	const uint64_t ticks = now > tsc.base_ticks ? now - tsc.base_ticks : 0;

	return tsc.base_ns +
	       (uint64_t)(((unsigned __int128)ticks * tsc.mult) >> 32);
}

#else

bool
clock_tsc_calibrate(void)
{
	return false;
}

uint64_t
clock_tsc_now_ns(void)
{
	fal_panic(__FILE__, __LINE__, "no counter to be trusted");
}

#endif
