/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_QUOTA_SUMS_H
#define FALCONER_ZNODE_QUOTA_SUMS_H

/*
 * quota_sums - limits and usage of all quotas, added up by top node, as
 * ZooKeeper's metrics quota_*_per_namespace have them: a hard limit before a
 * soft one, and -1 ("none") is added like any number.
 *
 * Context    R: a reader of the tree that is online at S or older; it is paused
 *            between slices, so that grace periods go on, and online after.
 * Limits     those of namespace_counts.
 * Errors     FAL_ENOMEM: the sums are of what was walked before.
 * Cost       100 ns for each node below QUOTA_DIR; 37 KB, the caller's.
 */

#include "znode/namespace_counts.h"
#include "znode/tree.h"

struct quota_sums {
	struct namespace_counts count_limit, bytes_limit;
	struct namespace_counts count_usage, bytes_usage;
};

/* out: empty (all zero) at first. */
FAL_MUST_CHECK int quota_sums_gather(const struct tree *, struct tree_reader *,
				     uint64_t S, struct quota_sums *out);

#endif
