/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefault - looks every millisecond whether the load has come closer, and
 * keeps as far ahead of it as the region allows. There is nothing to wait for:
 * the load must not pay for telling.
 */
#include "server/prefault.h"

#include <time.h>

#include "base/time.h"

static void *
touch_ahead(void *arg)
{
	const struct timespec pause = {.tv_nsec = NS_PER_MS};
	struct prefault *prefault = arg;
	uint64_t at = 0;

	while (!atomic_load_explicit(&prefault->stops, memory_order_relaxed))
		if (!tree_load_touch_ahead(prefault->tree, &at))
			(void)nanosleep(&pause, NULL);
	return NULL;
}

void
prefault_start(struct prefault *prefault, const struct tree *tree)
{
	*prefault = (struct prefault){.tree = tree};
	if (lcore_cpu_count() < 2 || lcore_init(&prefault->lcore) != 0)
		return;
	prefault->is_running =
		lcore_start(&prefault->lcore, LCORE_ANY_CPU, "prefault",
			    touch_ahead, prefault) == 0;
	if (!prefault->is_running)
		lcore_free(&prefault->lcore);
}

void
prefault_stop(struct prefault *prefault)
{
	if (!prefault->is_running)
		return;
	/* The join is what orders. */
	atomic_store_explicit(&prefault->stops, true, memory_order_relaxed);
	(void)lcore_join(&prefault->lcore);
	lcore_free(&prefault->lcore);
	prefault->is_running = false;
}
