/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_SERVER_PREFAULT_H
#define FALCONER_SERVER_PREFAULT_H

/*
 * prefault - a thread that brings up the tree's memory while a snapshot is
 * loaded: zeroing pages is about half of what a load costs, and a machine that
 * starts a server has a processor to spare.
 *
 * Context    the thread that recovers, during recovery alone.
 * Ownership  the struct and the tree are the caller's and stay until
 *            prefault_stop().
 * Errors     none: without the thread the load faults its pages in itself.
 */

#include "drivers/lcore.h"
#include "znode/tree.h"

struct prefault {
	struct lcore lcore;
	const struct tree *tree;
	_Atomic bool stops;
	bool is_running;
};

void prefault_start(struct prefault *, const struct tree *);
void prefault_stop(struct prefault *);

#endif
