/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_load - nodes of a snapshot, in the order of the file.
 *
 * Snapshots are written depth first, so the parent of a node is an ancestor of
 * the node before it: those are kept on a stack with the ends of their paths,
 * and finding the parent costs one comparison of bytes instead of a lookup. An
 * order that jumps is served by a lookup.
 *
 * A node goes into the index TREE_LOAD_LATE nodes later: its line is fetched
 * meanwhile, and that line is what a node would otherwise wait for longest.
 * Whether a path exists already is seen then, too.
 *
 * What is loaded is published at once, with stamp 0: it is older than whatever
 * follows, and a czxid above the snapshot's zxid (a fuzzy file) does not hide
 * a node.
 */
#include "znode/tree_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "znode/digest.h"

/* The first nodes of a file say little about more than so many times as many
 * bytes; what they foretell for less is believed. */
#define LOAD_SCALE_MAX 1e7

static void
load_forget(struct tree_load *load)
{
	load->step_count = 0;
	load->path_bytes = 0;
}

void
tree_load_begin(struct tree *tree)
{
	struct index_retire retire;

	FAL_ASSERT(!tree->is_open);
	for (uint32_t i = 0; i < TREE_READERS_MAX; i++)
		FAL_ASSERT(atomic_load_explicit(&tree->reader[i].low,
						memory_order_acquire) ==
			   TREE_S_NONE);
	garbage_drop(tree);
	fifo_clear(&tree->undo);
	acl_table_reset(tree->acls);
	index_free(&tree->index);
	owners_free(tree);
	region_settle(&tree->region);
	region_reset(&tree->region);
	memset(&tree->counters, 0, sizeof(tree->counters));
	tree->root = 0;
	tree->kept = 0;
	tree->hold = TREE_S_NONE;
	tree->applied = 0;
	tree->published = 0;
	tree->digest = 0;
	tree->published_digest = 0;
	load_forget(&tree->load);
	tree->load.late_count = 0;
	index_callbacks(tree, &retire);
	/* Their first tables are small; without them tree_load_node() says
	 * that memory is out. */
	if (index_init(&tree->index, &tree->region, &retire) < 0 ||
	    owners_init(tree) < 0)
		tree->load.broken = FAL_ENOMEM;
	else
		tree->load.broken = 0;
}

void
tree_load_expect(struct tree *tree, uint64_t done, uint64_t total)
{
	const double scale = done == 0 ? 0 : (double)total / (double)done;
	const uint64_t nodes = atomic_load_explicit(&tree->counters.nodes,
						    memory_order_relaxed);

	if (scale < 1 || scale > LOAD_SCALE_MAX)
		return;
	index_expect(&tree->index, (uint64_t)((double)nodes * scale));
	region_expect(&tree->region,
		      (uint64_t)((double)tree->region.top * scale));
}

bool
tree_load_touch_ahead(const struct tree *tree, uint64_t *at)
{
	return region_touch_ahead(&tree->region, at);
}

/* ---- the index, later ---------------------------------------------------- */

/* Two nodes of one parent and one name are one path. */
static bool
load_is_there(struct tree *tree, const struct znode *node)
{
	struct index_probe probe;
	uint32_t handle = index_first(&tree->index, node->hash, &probe);

	for (; handle != 0; handle = index_next(&probe)) {
		const struct znode *other = node_at(tree, handle);

		if (other->parent == node->parent &&
		    other->name_bytes == node->name_bytes &&
		    memcmp(other->name, node->name, node->name_bytes) == 0)
			return true;
	}
	return false;
}

static int
load_index_oldest(struct tree *tree)
{
	struct tree_load *load = &tree->load;
	const uint32_t handle = load->late[load->late_first];
	const struct znode *node = node_at(tree, handle);

	FAL_ASSERT(load->late_count > 0);
	load->late_first = (load->late_first + 1) % TREE_LOAD_LATE;
	load->late_count--;
	load->broken = load_is_there(tree, node)
			       ? FAL_ECORRUPT
			       : index_insert(&tree->index, node->hash, handle);
	return load->broken;
}

/* Before anything is looked up. */
static int
load_index_all(struct tree *tree)
{
	while (tree->load.broken == 0 && tree->load.late_count > 0)
		(void)load_index_oldest(tree);
	return tree->load.broken;
}

static int
load_index_later(struct tree *tree, const struct znode *node)
{
	struct tree_load *load = &tree->load;

	if (load->late_count == TREE_LOAD_LATE && load_index_oldest(tree) < 0)
		return load->broken;
	index_prefetch(&tree->index, node->hash);
	load->late[(load->late_first + load->late_count++) % TREE_LOAD_LATE] =
		handle_of(tree, node);
	return 0;
}

/* ---- the stack of ancestors ---------------------------------------------- */

static int
load_remember(struct tree_load *load, uint32_t node, const void *path,
	      uint32_t path_bytes)
{
	if (load->step_count == load->step_cap) {
		const uint32_t cap =
			load->step_cap == 0 ? 64 : load->step_cap * 2;
		struct tree_load_step *step =
			realloc(load->step, cap * sizeof(*step));

		if (step == NULL)
			return FAL_ENOMEM;
		load->step = step;
		load->step_cap = cap;
	}
	if (path_bytes > load->path_cap) {
		const uint32_t cap =
			(uint32_t)bits_pow2_at_least(path_bytes + 256u);
		uint8_t *text = realloc(load->path, cap);

		if (text == NULL)
			return FAL_ENOMEM;
		load->path = text;
		load->path_cap = cap;
	}
	if (path_bytes > 0)
		memcpy(load->path, path, path_bytes);
	load->path_bytes = path_bytes;
	load->step[load->step_count++] =
		(struct tree_load_step){.node = node, .path_bytes = path_bytes};
	return 0;
}

/* The parent of `path`, whose own path is its first parent_bytes bytes. */
static struct znode *
load_parent(struct tree *tree, const uint8_t *path, uint32_t parent_bytes)
{
	struct tree_load *load = &tree->load;

	while (load->step_count > 0 &&
	       load->step[load->step_count - 1].path_bytes > parent_bytes)
		load->step_count--;
	if (load->step_count > 0) {
		const struct tree_load_step *top =
			&load->step[load->step_count - 1];

		if (top->path_bytes == parent_bytes &&
		    (parent_bytes == 0 ||
		     memcmp(load->path, path, parent_bytes) == 0))
			return node_at(tree, top->node);
	}
	/* A jump: what is on the stack is of no more use. */
	load_forget(load);
	if (load_index_all(tree) < 0)
		return NULL;

	struct znode *parent =
		tree_find(tree, tree_path_of(tree, path, parent_bytes));

	/* Not remembering costs a lookup next time. */
	if (parent != NULL)
		(void)load_remember(load, handle_of(tree, parent), path,
				    parent_bytes);
	return parent;
}

/* ---- nodes --------------------------------------------------------------- */

static int
load_checked(struct tree *tree, struct znode *parent,
	     const struct tree_new *new)
{
	struct znode *node;

	if (node_make(tree, parent, new, &node) < 0)
		return FAL_ENOMEM;
	struct version *version = spec_of(tree, node);

	if (member_add(tree, node) < 0) {
		version->acl = 0; /* stays with the caller */
		tree->load.broken = FAL_ENOMEM;
		return FAL_ENOMEM;
	}

	if (parent != NULL)
		spec_of(tree, parent)->num_children++;
	else
		tree->root = handle_of(tree, node);
	version_digest(tree, node, version);
	tree->digest += version->crc;
	tree->published_digest += version->crc;
	node_count(tree, node,
		   (int64_t) new->path.bytes +
			   (new->data.bytes > 0 ? new->data.bytes : 0));
	if (tree_kind_of(tree, node->owner) == TREE_TTL)
		count_up(&tree->counters.ttls_created, UINT64_MAX);
	atomic_store_explicit(&node->pub, node->spec, memory_order_release);

	/* The node has its reference to the ACL: what fails from here on fails
	 * the load, not this call. */
	if (parent != NULL)
		(void)load_index_later(tree, node);
	if (load_remember(&tree->load, handle_of(tree, node), new->path.text,
			  new->path.bytes) < 0)
		tree->load.broken = FAL_ENOMEM;
	return 0;
}

int
tree_load_node(struct tree *tree, const void *path, uint32_t path_bytes,
	       struct jute_slice data, const struct tree_stat *stat)
{
	const uint8_t *text = path;
	struct tree_new new = {
		.data = data,
		.stat = *stat,
		.flags = ZNODE_LOADED,
		.is_indexed_later = true,
	};

	if (tree->load.broken < 0)
		return tree->load.broken;
	if (path_bytes == 0) {
		if (tree->root != 0)
			return FAL_ECORRUPT;
		new.path = tree_path_of(tree, text, 0);
		return load_checked(tree, NULL, &new);
	}
	uint32_t parent_bytes = path_bytes;

	while (parent_bytes > 0 && text[parent_bytes - 1] != '/')
		parent_bytes--;
	if (parent_bytes == 0 || parent_bytes == path_bytes)
		return FAL_ECORRUPT; /* no slash, or nothing behind it */
	parent_bytes--;
	/* The root's name is empty in its children's paths, and not "/". */
	if (tree->root == 0 || parent_bytes == 1)
		return FAL_ECORRUPT;
	struct znode *parent = load_parent(tree, text, parent_bytes);

	new.path = tree_path_of(tree, text, path_bytes);
	if (parent == NULL)
		return tree->load.broken < 0 ? tree->load.broken : FAL_ECORRUPT;
	return load_checked(tree, parent, &new);
}

static int
load_missing(struct tree *tree, const char *path, uint32_t acl,
	     int32_t aversion)
{
	const uint32_t bytes = (uint32_t)strlen(path);
	const struct tree_stat stat = {.acl = acl, .aversion = aversion};

	if (load_index_all(tree) < 0)
		return tree->load.broken;
	if (tree_find(tree, tree_path_of(tree, path, bytes)) != NULL)
		return 0;
	return tree_load_node(tree, path, bytes, (struct jute_slice){0}, &stat);
}

int
tree_load_end(struct tree *tree, int64_t zxid)
{
	if (tree->root == 0)
		return FAL_ECORRUPT;

	int err = load_missing(tree, "/zookeeper", ACL_ID_OPEN, 0);

	if (err == 0)
		err = load_missing(tree, "/zookeeper/quota", ACL_ID_OPEN, 0);
	if (err == 0)
		err = load_missing(tree, "/zookeeper/config", ACL_ID_READ, -1);
	if (err == 0)
		err = load_index_all(tree);
	if (err < 0)
		return err;
	load_forget(&tree->load);
	index_expect(&tree->index, 0);
	region_settle(&tree->region);
	tree->applied = (uint64_t)zxid;
	tree->published = (uint64_t)zxid;
	return 0;
}

int
tree_patch(struct tree *tree, struct znode *node, struct jute_slice data,
	   const struct tree_stat *stat)
{
	struct version *version = spec_of(tree, node);
	const uint32_t path_bytes = tree_path_bytes(tree, node);
	const int32_t before =
		version->data_bytes > 0 ? version->data_bytes : 0;

	FAL_ASSERT(!tree->is_open && tree->undo.count == 0);
	if (tree_scratch(tree, path_bytes) < 0 ||
	    version_put_data(tree, version, data) < 0)
		return FAL_ENOMEM;
	node->czxid = stat->czxid;
	node->ctime = stat->ctime;
	version->mzxid = stat->mzxid;
	version->pzxid = stat->pzxid;
	version->mtime = stat->mtime;
	version->version = stat->version;
	version->cversion = stat->cversion;
	version->aversion = stat->aversion;
	(void)tree_path_text(tree, node, tree->scratch, path_bytes);
	version->crc_pd =
		digest_path_data(tree->scratch, path_bytes,
				 version_data(&tree->region, version));

	const uint32_t crc = version->crc;

	version_digest(tree, node, version);
	tree->digest += (uint64_t)version->crc - crc;
	tree->published_digest = tree->digest;
	count_up(&tree->counters.data_bytes,
		 (uint64_t)(int64_t)(data.bytes > 0 ? data.bytes : 0) -
			 (uint64_t)before);
	return 0;
}
