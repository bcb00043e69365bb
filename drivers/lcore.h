/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DRIVERS_LCORE_H
#define FALCONER_DRIVERS_LCORE_H

/*
 * lcore - a named, pinned thread with a doorbell, and the idle ladder.
 *
 * The doorbell makes rings usable by a core that may sleep. Sleeper and
 * producer each write one word and read the other's, with a full fence between:
 *
 *   sleeper                             producer
 *   lcore_sleep_begin(): asleep = 1     publish the work (ring, word)
 *                        fence          lcore_doorbell(): fence
 *   look at all rings once more                           read asleep
 *   nothing: block on event_fd                            1: write event_fd
 *   lcore_sleep_end():   asleep = 0
 *
 * Of two such pairs at least one side sees the other, so work is never left
 * lying beside a sleeping core (Dekker's argument). A producer that finds
 * asleep = 1 takes it back to 0, so a burst of doorbells costs one write.
 *
 * A poll loop with its streams:
 *
 *   lcore_sleep_begin(self);
 *   if (!work_left(...))                      rings, timers, QSBR offline ...
 *           stream_wait(streams, until_next_timer_ns);
 *   lcore_sleep_end(self);
 *
 * Threads without streams (LOG, BG) do the same with lcore_wait() in the place
 * of stream_wait().
 *
 * Context    lcore_doorbell(): any thread. lcore_start(), lcore_join(): the
 *            thread that owns the struct. The rest: the core itself.
 * Ownership  struct lcore is the caller's and must not move once initialised.
 * Cost       lcore_doorbell(): a fence and a shared read, about 16 ns (nothing
 *            but a read when the core never sleeps); 1 us when it wakes.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fal.h"

#define LCORE_NAME_MAX 16 /* of the kernel, with the NUL */

/* cpu value for a thread that may run anywhere. */
#define LCORE_ANY_CPU (-1)

typedef void *(*lcore_fn)(void *arg);

struct lcore {
	/* Written by the core when it sleeps and wakes, by producers when they
	 * wake it; on a line of its own because all producers read it. */
	_Alignas(FAL_CACHE_LINE_BYTES) _Atomic uint32_t asleep;
	/* 1: lcore_doorbell() does nothing, for policies that never block. Set
	 * before the first producer starts. */
	uint32_t never_sleeps;
	int event_fd; /* wakes the core; for stream_config.doorbell_fd */
	_Alignas(FAL_CACHE_LINE_BYTES) pthread_t thread;
	lcore_fn fn;
	void *arg;
	int cpu;
	bool is_started;
	char name[LCORE_NAME_MAX];
};

/* Makes the doorbell; the thread comes with lcore_start(), or is the caller's
 * own. Returns 0 or FAL_ELIMIT (no descriptors). */
FAL_MUST_CHECK int lcore_init(struct lcore *lcore);

/* Closes the doorbell; no producer may use it any more and the thread is
 * joined. */
void lcore_free(struct lcore *lcore);

/*
 * Starts the thread.
 *
 * cpu   number of a CPU this process may use, or LCORE_ANY_CPU
 * name  at most LCORE_NAME_MAX - 1 bytes are used; seen in ps and perf
 * fn    its result is what lcore_join() returns
 *
 * All signals are blocked in it: they belong to the control thread.
 *
 * Returns 0
 *         FAL_EINVAL  no such CPU for us; no thread runs
 *         FAL_ENOMEM  the system refuses a thread
 */
FAL_MUST_CHECK int lcore_start(struct lcore *lcore, int cpu, const char *name,
			       lcore_fn fn, void *arg);

/* Waits until the thread has ended; returns the result of its function. */
void *lcore_join(struct lcore *lcore);

/* Pins and names the calling thread as lcore_start() does, for a core that runs
 * on the main thread. Returns 0 or FAL_EINVAL. */
FAL_MUST_CHECK int lcore_adopt(int cpu, const char *name);

/* CPUs this process may run on, at least 1. */
uint32_t lcore_cpu_count(void);

/* Wakes a core unconditionally: its present or its next wait ends. For rare
 * orders such as to stop; async-signal-safe. Costs a system call each time,
 * which lcore_doorbell() saves when the core is up. */
void lcore_wake(struct lcore *target);

#if defined(__SANITIZE_THREAD__)
/* gcc warns that its race detector does not model fences. It need not: the
 * data goes through rings that synchronise by themselves. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif

/* Tells a core that work was published for it. Once per batch. */
static inline void
lcore_doorbell(struct lcore *target)
{
	if (target->never_sleeps)
		return;
	/* Pairs with the fence in lcore_sleep_begin(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (FAL_LIKELY(atomic_load_explicit(&target->asleep,
					    memory_order_relaxed) == 0))
		return;
	/* Of several producers one writes. */
	if (atomic_exchange_explicit(&target->asleep, 0,
				     memory_order_relaxed) != 0)
		lcore_wake(target);
}

/* Announces that the core is about to block. After it: look once more at
 * everything that rings this doorbell, then stream_wait() or lcore_wait(). */
static inline void
lcore_sleep_begin(struct lcore *self)
{
	FAL_ASSERT(!self->never_sleeps);
	atomic_store_explicit(&self->asleep, 1, memory_order_relaxed);
	/* Pairs with the fence in lcore_doorbell(). */
	atomic_thread_fence(memory_order_seq_cst);
}

#if defined(__SANITIZE_THREAD__)
#pragma GCC diagnostic pop
#endif

static inline void
lcore_sleep_end(struct lcore *self)
{
	atomic_store_explicit(&self->asleep, 0, memory_order_relaxed);
}

/* Blocks until the doorbell rings or the time is over; UINT64_MAX: no limit.
 * Between lcore_sleep_begin() and lcore_sleep_end(). Returns whether it rang
 * (possibly for work that was seen already). */
bool lcore_wait(struct lcore *self, uint64_t timeout_ns);

/* ---- the idle ladder ---- */

enum idle_policy {
	IDLE_POLICY_SLEEP = 0, /* spin, yield, block: the default           */
	IDLE_POLICY_SPIN,      /* spin, pause; never gives the CPU away     */
	IDLE_POLICY_YIELD,     /* spin, then yield after each empty poll    */
};

enum idle_step {
	IDLE_SPIN = 0, /* poll again at once                              */
	IDLE_PAUSE,    /* poll again after a pause instruction            */
	IDLE_YIELD,    /* give the CPU to who waits for it, poll again    */
	IDLE_BLOCK,    /* sleep: the loop does it, in the order above     */
};

/* One per loop. */
struct idle {
	enum idle_policy policy;
	uint32_t empty_count; /* empty polls since the last work           */
	uint64_t idle_ns;     /* when the first of them was; 0: not idle   */
	uint64_t worked_ns;   /* when work was last seen                   */
	uint64_t round_ns;    /* when the last empty poll was              */
	uint64_t gap_ns;      /* moving average of time between work       */
};

/*
 * Reads a policy: "spin", "pause" (as spin), "yield", "sleep" or "auto", which
 * depends on the machine: yield when there are more poll loops than CPUs,
 * spin when is_isolated, sleep otherwise.
 *
 * loop_count   poll loops of this process
 * is_isolated  the CPUs of the loops are kept free of others
 *
 * Returns 0 or FAL_EINVAL (*policy unchanged).
 */
FAL_MUST_CHECK int idle_policy_parse(const char *text, uint32_t loop_count,
				     bool is_isolated,
				     enum idle_policy *policy);

void idle_init(struct idle *idle, enum idle_policy policy, uint64_t now_ns);

/*
 * Takes note of one loop iteration and tells what to do before the next one.
 * The ladder starts again whenever there was work; waking up is not work.
 *
 * has_worked  this iteration found something to do
 *
 * SLEEP: spins 2 us; then yields up to 200 us if work has been coming more
 * often than every 250 us, since a sleep would pay the wake each time; then
 * blocks. A yield that comes back late gave the CPU to somebody, and then it
 * blocks at once: with three servers on two CPUs, spinning 50 us instead was
 * most of a write's CPU time and more than half of its latency, since whoever
 * was waited for found no CPU.
 */
enum idle_step idle_step(struct idle *idle, bool has_worked, uint64_t now_ns);

/* Carries out SPIN, PAUSE and YIELD; does nothing for BLOCK. */
void idle_relax(enum idle_step step);

#endif
