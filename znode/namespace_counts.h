/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_NAMESPACE_COUNTS_H
#define FALCONER_ZNODE_NAMESPACE_COUNTS_H

/*
 * namespace_counts - a counter for each top node of the tree ("namespace" in
 * ZooKeeper's metrics: of /a/b it is a).
 *
 * Names come from clients, so their number is bounded: the first that are met
 * have a row each, all later ones share the last row, whose name is
 * NAMESPACE_OTHERS.
 *
 * Context    namespace_counts_add(): the writer core. The rest: any thread.
 * Ownership  a plain object without pointers; zero is a valid empty one.
 * Limits     NAMESPACE_ROWS_MAX rows; a name longer than NAMESPACE_BYTES_MAX
 *            counts as one of the others.
 * Cost       a walk over the rows in use: for what is rare.
 */

#include <stdatomic.h>

#include "base/fal.h"
#include "wire/jute.h"

#define NAMESPACE_ROWS_MAX  64u
#define NAMESPACE_BYTES_MAX 120u
#define NAMESPACE_OTHERS    "(others)"

struct namespace_row {
	uint8_t name[NAMESPACE_BYTES_MAX];
	uint32_t name_bytes;
	_Atomic int64_t count; /* wraps */
};

struct namespace_counts {
	_Atomic uint32_t rows; /* in use; a row's name never changes */
	struct namespace_row row[NAMESPACE_ROWS_MAX];
};

/* Adds n. path: an absolute one; the root belongs to no namespace and is not
 * counted. */
void namespace_counts_add(struct namespace_counts *, struct jute_slice path,
			  int64_t n);

/* False: there are no more than `index` rows. The name stays valid. */
bool namespace_counts_row(const struct namespace_counts *, uint32_t index,
			  struct jute_slice *name, int64_t *count);

#endif
