/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree below /zookeeper/quota mirrors the paths that have quotas, so the
 * deepest root of a path is found by walking both from the top: it stops at
 * the first component that the mirror does not have. The text of a mirrored
 * path lives in one buffer; the name of a limits or stats node is laid over
 * its tail and taken away again. A walk reads the path once: there may be many
 * thousands of components, and it is made for each write below.
 */
#include "znode/quota.h"

#include <stdlib.h>

#include "znode/quota_text.h"
#include "znode/tree_impl.h"
#include "znode/walk.h"

#define NAME_BYTES_MAX (sizeof(QUOTA_LIMITS) - 1)
/* Steps of a walk, one or two a node: some 0.3 ms. */
#define COUNT_PART 1024u

struct quota {
	struct tree *tree;
	struct tree_path dir;
	uint8_t *text; /* QUOTA_DIR, path, room for a name */
	size_t cap;
	bool is_checking; /* looks at what was before the open transaction */
	/* A walk; `at` NULL: it is at its end. */
	struct znode *at;
	struct quota_track usage; /* so far */
	uint64_t *cursor;         /* stack */
	size_t depth, depth_max;
	struct znode *counted; /* the stats node that it is for */
	struct namespace_counts refused;
};

int
quota_create(struct tree *tree, struct quota **out)
{
	struct quota *quota = calloc(1, sizeof(*quota));

	if (quota == NULL)
		return FAL_ENOMEM;
	quota->tree = tree;
	quota->dir = tree_path_of(tree, QUOTA_DIR, QUOTA_DIR_BYTES);
	*out = quota;
	return 0;
}

void
quota_destroy(struct quota *quota)
{
	if (quota == NULL)
		return;
	free(quota->text);
	free(quota->cursor);
	free(quota);
}

static int
put_track(struct quota *quota, struct znode *node,
	  const struct quota_track *track)
{
	char text[QUOTA_TEXT_BYTES_MAX];

	return tree_set_data_quietly(quota->tree, node,
				     quota_track_text(track, text));
}

static int64_t
add_wrapping(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* ---- roots --------------------------------------------------------------- */

/* A node of the mirrored path. */
struct place {
	struct znode *node; /* NULL: there is none */
	size_t bytes;       /* of its path, in quota->text */
	struct hash_prefix hashed;
};

static struct znode *
find_dir(const struct quota *quota)
{
	return quota->is_checking ? tree_find_before(quota->tree, quota->dir)
				  : tree_find_kept(quota->tree, quota->dir);
}

/* May be true for nothing. */
static bool
is_used(const struct quota *quota)
{
	if (quota->is_checking)
		return true;

	const struct znode *dir = find_dir(quota);

	return dir != NULL && spec_of(quota->tree, dir)->num_children > 0;
}

/* Puts the mirrored path into quota->text. */
static int
put_mirrored(struct quota *quota, struct jute_slice path)
{
	const size_t need =
		QUOTA_DIR_BYTES + (size_t)path.bytes + NAME_BYTES_MAX;

	if (need > quota->cap) {
		uint8_t *text = realloc(quota->text, 2 * need);

		if (text == NULL)
			return FAL_ENOMEM;
		quota->text = text;
		quota->cap = 2 * need;
	}
	memcpy(quota->text, QUOTA_DIR, QUOTA_DIR_BYTES);
	memcpy(quota->text + QUOTA_DIR_BYTES, path.data, (size_t)path.bytes);
	return 0;
}

static struct znode *
find_child(const struct quota *quota, const struct znode *parent,
	   struct hash_prefix *hashed, size_t bytes)
{
	const struct tree_path path = tree_prefix_of(
		quota->tree, hashed, quota->text, (uint32_t)bytes);

	return quota->is_checking
		       ? tree_find_child_before(quota->tree, parent, path)
		       : tree_find_child(quota->tree, parent, path);
}

/* The node `name` under a place. */
static struct znode *
find_named(struct quota *quota, const struct place *place, const char *name)
{
	uint8_t *const tail = quota->text + place->bytes;
	const size_t name_bytes = strlen(name);
	struct hash_prefix hashed = place->hashed;
	uint8_t kept[NAME_BYTES_MAX];

	memcpy(kept, tail, name_bytes);
	memcpy(tail, name, name_bytes);
	struct znode *node = find_child(quota, place->node, &hashed,
					place->bytes + name_bytes);

	memcpy(tail, kept, name_bytes);
	return node;
}

/* The mirrored deepest root of `path`, if it has one. */
static int
find_root(struct quota *quota, struct jute_slice path, struct place *root)
{
	root->node = NULL;
	if (path.bytes < 2 || path.data[0] != '/' || !is_used(quota))
		return 0;
	const int err = put_mirrored(quota, path);

	if (err != 0)
		return err;
	const size_t bytes = QUOTA_DIR_BYTES + (size_t)path.bytes;
	struct place at = {.node = find_dir(quota), .bytes = QUOTA_DIR_BYTES};

	while (at.node != NULL && at.bytes < bytes) {
		const uint8_t *slash = memchr(quota->text + at.bytes + 1, '/',
					      bytes - at.bytes - 1);

		at.bytes =
			slash == NULL ? bytes : (size_t)(slash - quota->text);
		at.node = find_child(quota, at.node, &at.hashed, at.bytes);
		if (at.node != NULL &&
		    find_named(quota, &at, QUOTA_LIMITS) != NULL)
			*root = at;
	}
	return 0;
}

/* Is `value` plus `more` above the hard limit? */
static bool
exceeds(int64_t value, int64_t more, int64_t hard)
{
	return more != 0 && hard > -1 && add_wrapping(value, more) > hard;
}

static int32_t
check(struct quota *quota, struct jute_slice path, int64_t nodes, int64_t bytes)
{
	struct place root;

	/* Out of memory: no answer is no refusal, the step will meet it. */
	if (find_root(quota, path, &root) != 0 || root.node == NULL)
		return ZK_OK;
	const struct znode *limits = find_named(quota, &root, QUOTA_LIMITS);
	const struct znode *stats = find_named(quota, &root, QUOTA_STATS);

	if (limits == NULL || stats == NULL)
		return ZK_OK;
	const struct quota_track limit =
		quota_track_parse(tree_data_before(quota->tree, limits));
	const struct quota_track usage =
		quota_track_parse(tree_data_before(quota->tree, stats));

	if (exceeds(usage.count, nodes, limit.count_hard) ||
	    exceeds(usage.bytes, bytes, limit.bytes_hard)) {
		namespace_counts_add(&quota->refused, path, 1);
		return ZK_QUOTAEXCEEDED;
	}
	return ZK_OK;
}

int32_t
quota_check(struct quota *quota, struct jute_slice path, int64_t nodes,
	    int64_t bytes)
{
	quota->is_checking = true;

	const int32_t err = check(quota, path, nodes, bytes);

	quota->is_checking = false;
	return err;
}

const struct namespace_counts *
quota_refused(const struct quota *quota)
{
	return &quota->refused;
}

static __attribute__((noinline)) int
add(struct quota *quota, struct jute_slice path, int64_t nodes, int64_t bytes)
{
	struct place root;
	const int err = find_root(quota, path, &root);

	if (err != 0 || root.node == NULL)
		return err;
	struct znode *stats = find_named(quota, &root, QUOTA_STATS);

	if (stats == NULL)
		return 0;
	struct quota_track usage =
		quota_track_parse(tree_spec_data(quota->tree, stats));

	usage.count = add_wrapping(usage.count, nodes);
	usage.bytes = add_wrapping(usage.bytes, bytes);
	return put_track(quota, stats, &usage);
}

int
quota_add(struct quota *quota, struct jute_slice path, int64_t nodes,
	  int64_t bytes)
{
	return FAL_LIKELY(!is_used(quota)) ? 0 : add(quota, path, nodes, bytes);
}

/* ---- counting ------------------------------------------------------------ */

/* Enters a node of a walk: counts it, and makes room for its cursor. */
static int
enter(struct quota *quota, struct znode *node)
{
	const struct jute_slice data = tree_spec_data(quota->tree, node);
	const size_t depth = quota->depth;

	if (depth == quota->depth_max) {
		const size_t more = depth == 0 ? 64 : 2 * depth;
		uint64_t *cursor =
			realloc(quota->cursor, more * sizeof(cursor[0]));

		if (cursor == NULL) {
			quota->at = NULL;
			return FAL_ENOMEM;
		}
		quota->cursor = cursor;
		quota->depth_max = more;
	}
	quota->cursor[depth] = 0;
	quota->at = node;
	quota->usage.count++;
	quota->usage.bytes += data.bytes > 0 ? data.bytes : 0;
	return 0;
}

/* Begins to count `top`, which need not be there, and all below. */
static int
count_begin(struct quota *quota, struct znode *top)
{
	quota->usage = (struct quota_track){
		.count = 0, .bytes = 0, .count_hard = -1, .bytes_hard = -1};
	quota->at = NULL;
	quota->depth = 0;
	return top == NULL ? 0 : enter(quota, top);
}

/* Depth first. */
static int
count_some(struct quota *quota, uint32_t steps)
{
	int err = 0;

	for (; quota->at != NULL && steps > 0 && err == 0; steps--) {
		struct znode *child = tree_spec_child(
			quota->tree, quota->at, &quota->cursor[quota->depth]);

		if (child != NULL) {
			quota->depth++;
			err = enter(quota, child);
		} else if (quota->depth == 0) {
			quota->at = NULL;
		} else {
			quota->at = tree_parent(quota->tree, quota->at);
			quota->depth--;
		}
	}
	return quota->at != NULL ? FAL_EAGAIN : err;
}

int
quota_created(struct quota *quota, struct znode *node, struct jute_slice path)
{
	const size_t name_bytes = sizeof(QUOTA_STATS) - 1;
	const size_t bytes = (size_t)path.bytes;

	if (FAL_LIKELY(bytes < QUOTA_DIR_BYTES + name_bytes) ||
	    memcmp(path.data, QUOTA_DIR "/", QUOTA_DIR_BYTES + 1) != 0 ||
	    memcmp(path.data + bytes - name_bytes, QUOTA_STATS, name_bytes) !=
		    0)
		return 0;

	const struct tree_path top =
		tree_path_of(quota->tree, path.data + QUOTA_DIR_BYTES,
			     (uint32_t)(bytes - QUOTA_DIR_BYTES - name_bytes));
	const int err = count_begin(quota, tree_find(quota->tree, top));

	quota->counted = node;
	return err != 0 ? err : quota_count_on(quota);
}

int
quota_count_on(struct quota *quota)
{
	const int err = count_some(quota, COUNT_PART);

	tree_keep_places(quota->tree, err == FAL_EAGAIN);
	return err != 0 ? err : put_track(quota, quota->counted, &quota->usage);
}

void
quota_count_drop(struct quota *quota)
{
	quota->at = NULL;
	tree_keep_places(quota->tree, false);
}

/* If the item is the limits of a root whose usage is told. */
static int
recount_item(struct quota *quota, const struct walk_item *item)
{
	const size_t name_bytes = sizeof(QUOTA_LIMITS) - 1;
	char text[QUOTA_TEXT_BYTES_MAX];
	struct tree_stat stat;

	if (item->path_bytes < QUOTA_DIR_BYTES + name_bytes ||
	    memcmp(item->path + item->path_bytes - name_bytes, QUOTA_LIMITS,
		   name_bytes) != 0)
		return 0;
	const struct jute_slice path =
		jute_slice_of(item->path + QUOTA_DIR_BYTES,
			      item->path_bytes - QUOTA_DIR_BYTES - name_bytes);
	int err = put_mirrored(quota, path);

	if (err != 0)
		return err;
	struct place root = {.bytes = QUOTA_DIR_BYTES + (size_t)path.bytes};

	root.node =
		tree_find(quota->tree, tree_path_of(quota->tree, quota->text,
						    (uint32_t)root.bytes));
	if (root.node == NULL)
		return 0;
	struct znode *stats = find_named(quota, &root, QUOTA_STATS);

	if (stats == NULL)
		return 0;
	err = count_begin(quota, tree_find(quota->tree,
					   tree_path_of(quota->tree, path.data,
							(uint32_t)path.bytes)));
	if (err == 0)
		do
			err = count_some(quota, UINT32_MAX);
		while (err == FAL_EAGAIN);
	if (err != 0)
		return err;
	tree_spec_stat(quota->tree, stats, &stat);
	return tree_patch(quota->tree, stats,
			  quota_track_text(&quota->usage, text), &stat);
}

int
quota_recount(struct tree *tree)
{
	struct walk_item item;
	struct quota *quota;
	struct walk walk;
	int got = quota_create(tree, &quota);

	if (got < 0)
		return got;
	got = walk_init(&walk, tree, tree->published, quota->dir);
	while (got == 0 && (got = walk_next(&walk, &item)) > 0)
		got = recount_item(quota, &item);
	walk_free(&walk);
	quota_destroy(quota);
	return got;
}
