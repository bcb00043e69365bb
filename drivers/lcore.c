/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lcore - threads, doorbells and the idle ladder.
 *
 * The doorbell is an eventfd. Its counter is drained by lcore_wait() only: a
 * core that waits on it through epoll or io_uring is told about each write
 * anyway. Whoever takes `asleep` from 1 to 0 writes; other producers that come
 * before the sleeper is up find 0 and are spared the system call.
 */
#include "drivers/lcore.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/time.h"

/* How long the ladder's steps last; reasons in lcore.h. */
#define PAUSE_NS       (2 * NS_PER_US)
#define SPIN_NS        (50 * NS_PER_US) /* of policy YIELD */
#define YIELD_UNTIL_NS (200 * NS_PER_US)
#define GAP_SHORT_NS   (250 * NS_PER_US)
/* A round without work takes 1 or 2 us; one that takes longer gave the CPU to
 * somebody. */
#define YIELDED_NS (10 * NS_PER_US)

/* Weight of the newest gap in the moving average: 1/8. */
#define GAP_SHIFT 3

/* A pause of hours must not need minutes of short gaps to be forgotten. */
#define GAP_MAX_NS (8 * GAP_SHORT_NS)

int
lcore_init(struct lcore *lcore)
{
	memset(lcore, 0, sizeof(*lcore));
	atomic_init(&lcore->asleep, 0);
	lcore->cpu = LCORE_ANY_CPU;
	lcore->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return lcore->event_fd >= 0 ? 0 : FAL_ELIMIT;
}

void
lcore_free(struct lcore *lcore)
{
	FAL_ASSERT(!lcore->is_started);
	if (lcore->event_fd >= 0)
		close(lcore->event_fd);
	lcore->event_fd = -1;
}

static int
cpu_set_of(int cpu, cpu_set_t *set)
{
	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return FAL_EINVAL;
	CPU_ZERO(set);
	CPU_SET((size_t)cpu, set);
	return 0;
}

static void
name_copy(char *to, const char *name)
{
	snprintf(to, LCORE_NAME_MAX, "%s", name);
}

/* Timeouts of this thread end when they are due, not up to 50 us later: a sleep
 * of 1 us takes 15 us instead of 74. */
static void
timers_sharpen(void)
{
	(void)prctl(PR_SET_TIMERSLACK, 1);
}

static void *
lcore_main(void *arg)
{
	struct lcore *lcore = arg;

	pthread_setname_np(pthread_self(), lcore->name);
	timers_sharpen();
	return lcore->fn(lcore->arg);
}

/* Creates the thread with all signals blocked. */
static int
thread_create(struct lcore *lcore, const pthread_attr_t *attr)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);

	const int err = pthread_create(&lcore->thread, attr, lcore_main, lcore);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* glibc reports a forbidden or absent CPU here as EINVAL. */
	if (err != 0)
		return err == EINVAL ? FAL_EINVAL : FAL_ENOMEM;
	lcore->is_started = true;
	return 0;
}

int
lcore_start(struct lcore *lcore, int cpu, const char *name, lcore_fn fn,
	    void *arg)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int err = 0;

	FAL_ASSERT(!lcore->is_started);
	if (cpu != LCORE_ANY_CPU && cpu_set_of(cpu, &set) != 0)
		return FAL_EINVAL;
	lcore->fn = fn;
	lcore->arg = arg;
	lcore->cpu = cpu;
	name_copy(lcore->name, name);
	if (pthread_attr_init(&attr) != 0)
		return FAL_ENOMEM;
	if (cpu != LCORE_ANY_CPU &&
	    pthread_attr_setaffinity_np(&attr, sizeof(set), &set) != 0)
		err = FAL_ENOMEM;
	if (err == 0)
		err = thread_create(lcore, &attr);
	pthread_attr_destroy(&attr);
	return err;
}

void *
lcore_join(struct lcore *lcore)
{
	void *result = NULL;

	FAL_ASSERT(lcore->is_started);

	const int err = pthread_join(lcore->thread, &result);

	FAL_ASSERT(err == 0);
	lcore->is_started = false;
	return result;
}

int
lcore_adopt(int cpu, const char *name)
{
	char short_name[LCORE_NAME_MAX];
	cpu_set_t set;

	name_copy(short_name, name);
	if (cpu != LCORE_ANY_CPU &&
	    (cpu_set_of(cpu, &set) != 0 ||
	     pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0))
		return FAL_EINVAL;
	pthread_setname_np(pthread_self(), short_name);
	timers_sharpen();
	return 0;
}

uint32_t
lcore_cpu_count(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;

	const int count = CPU_COUNT(&set);

	return count > 0 ? (uint32_t)count : 1;
}

void
lcore_wake(struct lcore *target)
{
	const uint64_t one = 1;
	const int before = errno; /* this may be a signal handler */
	const ssize_t bytes = write(target->event_fd, &one, sizeof(one));

	/* EAGAIN would mean 2^64-2 unread wakes: then it is readable. */
	FAL_ASSERT(bytes == sizeof(one) || errno == EAGAIN);
	errno = before;
}

bool
lcore_wait(struct lcore *self, uint64_t timeout_ns)
{
	struct pollfd fd = {.fd = self->event_fd, .events = POLLIN};
	struct timespec timeout;
	uint64_t rung;

	timeout.tv_sec = (time_t)(timeout_ns / NS_PER_S);
	timeout.tv_nsec = (long)(timeout_ns % NS_PER_S);
	if (ppoll(&fd, 1, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL) <=
	    0)
		return false;

	const ssize_t bytes = read(self->event_fd, &rung, sizeof(rung));

	return bytes == sizeof(rung);
}

int
idle_policy_parse(const char *text, uint32_t loop_count, bool is_isolated,
		  enum idle_policy *policy)
{
	static const struct {
		const char *text;
		enum idle_policy policy;
	} names[] = {
		{"sleep", IDLE_POLICY_SLEEP},
		{"spin", IDLE_POLICY_SPIN},
		{"pause", IDLE_POLICY_SPIN},
		{"yield", IDLE_POLICY_YIELD},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i].text) == 0) {
			*policy = names[i].policy;
			return 0;
		}
	if (strcmp(text, "auto") != 0)
		return FAL_EINVAL;
	if (loop_count > lcore_cpu_count())
		*policy = IDLE_POLICY_YIELD;
	else
		*policy = is_isolated ? IDLE_POLICY_SPIN : IDLE_POLICY_SLEEP;
	return 0;
}

void
idle_init(struct idle *idle, enum idle_policy policy, uint64_t now_ns)
{
	*idle = (struct idle){
		.policy = policy,
		.worked_ns = now_ns,
		.gap_ns = GAP_MAX_NS,
	};
}

/* Takes the time since the last work into the average. */
static void
gap_note(struct idle *idle, uint64_t now_ns)
{
	uint64_t gap_ns = now_ns - idle->worked_ns;

	if (gap_ns > GAP_MAX_NS)
		gap_ns = GAP_MAX_NS;
	idle->gap_ns -= idle->gap_ns >> GAP_SHIFT;
	idle->gap_ns += gap_ns >> GAP_SHIFT;
	idle->worked_ns = now_ns;
}

/* What SLEEP does after `idle_ns` without work; the round took `round_ns`. */
static enum idle_step
sleep_ladder(const struct idle *idle, uint64_t idle_ns, uint64_t round_ns)
{
	if (idle_ns < PAUSE_NS)
		return IDLE_PAUSE;
	if (idle->gap_ns < GAP_SHORT_NS && idle_ns < YIELD_UNTIL_NS &&
	    round_ns < YIELDED_NS)
		return IDLE_YIELD;
	return IDLE_BLOCK;
}

enum idle_step
idle_step(struct idle *idle, bool has_worked, uint64_t now_ns)
{
	if (has_worked) {
		gap_note(idle, now_ns);
		idle->empty_count = 0;
		return IDLE_SPIN;
	}
	/* The clock may be that of another source at start: never negative. */
	if (idle->empty_count == 0 || now_ns < idle->idle_ns)
		idle->idle_ns = now_ns;
	if (idle->empty_count < UINT32_MAX)
		idle->empty_count++;
	if (idle->empty_count == 1) {
		idle->round_ns = now_ns;
		return IDLE_SPIN;
	}

	const uint64_t idle_ns = now_ns - idle->idle_ns;
	const uint64_t round_ns = now_ns - idle->round_ns;

	idle->round_ns = now_ns;

	switch (idle->policy) {
	case IDLE_POLICY_SPIN:
		return IDLE_PAUSE;
	case IDLE_POLICY_YIELD:
		return idle_ns < SPIN_NS ? IDLE_PAUSE : IDLE_YIELD;
	case IDLE_POLICY_SLEEP:
	default:
		return sleep_ladder(idle, idle_ns, round_ns);
	}
}

/* About 15 ns in which the sibling hyperthread runs undisturbed. */
static inline void
cpu_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void
idle_relax(enum idle_step step)
{
	if (step == IDLE_PAUSE)
		cpu_pause();
	else if (step == IDLE_YIELD)
		sched_yield();
}
