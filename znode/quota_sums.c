/* SPDX-License-Identifier: Apache-2.0 */
/* quota_sums - a walk below QUOTA_DIR for nodes of the two names. */
#include "znode/quota_sums.h"

#include <string.h>

#include "znode/quota_text.h"
#include "znode/walk.h"

#define SLICE 1024u

/* The path that has the quota, if the item is its node of that name; the root
 * has none of its own: as in ZooKeeper its quota counts under that name. */
static bool
is_named(const struct walk_item *item, const char *name,
	 struct jute_slice *path)
{
	const size_t name_bytes = strlen(name);
	const size_t bytes = item->path_bytes;

	if (bytes < QUOTA_DIR_BYTES + name_bytes ||
	    memcmp(item->path + bytes - name_bytes, name, name_bytes) != 0)
		return false;
	*path = jute_slice_of(item->path + QUOTA_DIR_BYTES,
			      bytes - QUOTA_DIR_BYTES);
	return item->stat.num_children == 0 && item->data.bytes >= 0;
}

static int64_t
limit_of(int64_t hard, int64_t soft)
{
	return hard > -1 ? hard : soft;
}

static void
add_item(const struct walk_item *item, struct quota_sums *out)
{
	const struct quota_track track = quota_track_parse(item->data);
	struct jute_slice path;

	if (is_named(item, QUOTA_LIMITS, &path)) {
		namespace_counts_add(&out->count_limit, path,
				     limit_of(track.count_hard, track.count));
		namespace_counts_add(&out->bytes_limit, path,
				     limit_of(track.bytes_hard, track.bytes));
	} else if (is_named(item, QUOTA_STATS, &path)) {
		namespace_counts_add(&out->count_usage, path, track.count);
		namespace_counts_add(&out->bytes_usage, path, track.bytes);
	}
}

int
quota_sums_gather(const struct tree *tree, struct tree_reader *reader,
		  uint64_t S, struct quota_sums *out)
{
	const struct tree_path top =
		tree_path_of(tree, QUOTA_DIR, QUOTA_DIR_BYTES);
	struct walk_item item;
	struct walk walk;
	int got = walk_init(&walk, tree, S, top);

	if (got < 0)
		return got;
	for (uint32_t i = 1; (got = walk_next(&walk, &item)) > 0; i++) {
		add_item(&item, out);
		if (i % SLICE == 0) {
			tree_reader_pause(reader);
			tree_reader_resume(reader);
		}
	}
	walk_free(&walk);
	return got;
}
