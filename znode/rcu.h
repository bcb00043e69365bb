/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_RCU_H
#define FALCONER_ZNODE_RCU_H

/*
 * rcu - grace periods: the one place that knows which library gives them.
 *
 * liburcu's QSBR flavour: a reader costs a load and a compare per loop, and a
 * grace period waits until every online thread has passed a quiescent state.
 * The library keeps its state per thread, a tree keeps it per reader; a thread
 * that runs several readers (simulator, tests) counts them here, and it is
 * quiescent only when its one online reader says so.
 *
 * Context    each function acts for the calling thread.
 * Cost       rcu_thread_quiescent(): 0.3 ns; 0.4-7 us while grace periods run
 *            back to back, hence at most one per millisecond.
 */

#include <stdatomic.h>

#include <urcu/urcu-qsbr.h>

#include "base/fal.h"

struct rcu_thread {
	uint32_t registered_count;
	uint32_t online_count;
};

/*
 * A full fence, for store-then-load handshakes. ThreadSanitizer knows no
 * fences; a read-modify-write orders as much and it does know those.
 */
#if defined(__SANITIZE_THREAD__)
#define RCU_HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RCU_HAS_TSAN 1
#endif
#endif

#ifdef RCU_HAS_TSAN
static inline void
rcu_fence(void)
{
	static _Atomic uint32_t line;

	atomic_fetch_add_explicit(&line, 1, memory_order_seq_cst);
}
#else
static inline void
rcu_fence(void)
{
	atomic_thread_fence(memory_order_seq_cst);
}
#endif

/* Of the calling thread; defined in tree_reclaim.c. */
extern _Thread_local struct rcu_thread rcu_thread;

/* Starts offline. */
static inline void
rcu_thread_register(void)
{
	if (rcu_thread.registered_count++ > 0)
		return;
	urcu_qsbr_register_thread();
	urcu_qsbr_thread_offline();
}

static inline void
rcu_thread_unregister(void)
{
	FAL_ASSERT(rcu_thread.registered_count > 0);
	if (--rcu_thread.registered_count == 0)
		urcu_qsbr_unregister_thread();
}

static inline void
rcu_thread_online(void)
{
	if (rcu_thread.online_count++ == 0)
		urcu_qsbr_thread_online();
}

static inline void
rcu_thread_offline(void)
{
	FAL_ASSERT(rcu_thread.online_count > 0);
	if (--rcu_thread.online_count == 0)
		urcu_qsbr_thread_offline();
}

static inline void
rcu_thread_quiescent(void)
{
	if (rcu_thread.online_count == 1)
		urcu_qsbr_quiescent_state();
}

/* Blocks until every thread online now has been quiescent. */
static inline void
rcu_grace_period(void)
{
	urcu_qsbr_synchronize_rcu();
}

#endif
