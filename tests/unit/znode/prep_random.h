/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_ZNODE_PREP_RANDOM_H
#define FALCONER_TESTS_ZNODE_PREP_RANDOM_H

/*
 * prep_random - random writes over a small set of paths, and comparison of
 * whole trees. Small, so that requests meet: about half of them are refused.
 */

#include "prep_world.h"
#include "random.h"

/* Runs one random request of a random session. Returns its prep_request(). */
int prep_random_request(struct world *, struct random *);

/* Fails unless both trees show the writer the same nodes: path, data, stat and
 * ACL. */
void prep_assert_same_tree(struct world *a, struct world *b);

#endif
