/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger - see ledger.h. A place that is overwritten while a reader reads it
 * changes its zxid first and last: 0 in between.
 */
#include "dataplane/ledger.h"

void
ledger_note(struct ledger *ledger, int64_t zxid,
	    const struct ledger_times *times)
{
	struct ledger_place *place =
		&ledger->place[(uint64_t)zxid % LEDGER_PLACES];

	atomic_store_explicit(&place->zxid, 0, memory_order_relaxed);
	/* Pairs with the acquire fence in ledger_find(): who sees a new time
	 * sees the 0, or what came after it. */
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&place->appended_ns, times->appended_ns,
			      memory_order_relaxed);
	atomic_store_explicit(&place->durable_ns, times->durable_ns,
			      memory_order_relaxed);
	atomic_store_explicit(&place->published_ns, times->published_ns,
			      memory_order_relaxed);
	/* Pairs with the acquire in ledger_find(). */
	atomic_store_explicit(&place->zxid, (uint64_t)zxid,
			      memory_order_release);
}

bool
ledger_find(const struct ledger *ledger, uint64_t zxid,
	    struct ledger_times *out)
{
	const struct ledger_place *place = &ledger->place[zxid % LEDGER_PLACES];

	if (atomic_load_explicit(&place->zxid, memory_order_acquire) != zxid)
		return false;
	out->appended_ns =
		atomic_load_explicit(&place->appended_ns, memory_order_relaxed);
	out->durable_ns =
		atomic_load_explicit(&place->durable_ns, memory_order_relaxed);
	out->published_ns = atomic_load_explicit(&place->published_ns,
						 memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&place->zxid, memory_order_relaxed) == zxid;
}
