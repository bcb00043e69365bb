/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set_watches - the table of client-protocol.md 5.5, path by path.
 *
 * Paths are taken in bursts: first all hash buckets of a burst are fetched,
 * then all nodes, then they are looked at, so that their cache misses overlap.
 */
#include "znode/set_watches.h"

#define BURST 8u

enum {
	LIST_DATA,
	LIST_EXIST,
	LIST_CHILD,
	LIST_PERSISTENT,
	LIST_RECURSIVE,
	LIST_END
};

static void
list_enter(struct set_watches *job, uint32_t list)
{
	const struct jute_vector *paths;

	job->list = list;
	job->left = 0;
	if (list == LIST_END)
		return;
	paths = &job->request->paths[list];
	job->left = paths->count > 0 ? (uint32_t)paths->count : 0;
	job->at = jute_reader_of(paths->data, paths->bytes);
}

/* As the client wrote it, and as the tree looks it up. */
struct named {
	struct jute_slice text;
	struct tree_path path;
};

/* Takes up to `max` paths of the current list; null ones are left out. */
static uint32_t
paths_take(struct set_watches *job, const struct tree *tree,
	   struct named *named, uint32_t max, uint32_t *looked_at)
{
	uint32_t count = 0;

	*looked_at = 0;
	while (*looked_at < max && job->left > 0) {
		const struct jute_slice text = jute_get_slice(&job->at);

		job->left--;
		(*looked_at)++;
		if (text.bytes < 0)
			continue;
		named[count].text = text;
		named[count].path =
			tree_path_of(tree, text.data, (uint32_t)text.bytes);
		tree_prefetch_bucket(tree, named[count].path.hash);
		count++;
	}
	FAL_ASSERT(jute_reader_ok(&job->at)); /* the decoder checked it */
	for (uint32_t i = 0; i < count; i++)
		tree_prefetch_node(tree, named[i].path.hash);
	return count;
}

/* The event that the watch would have brought, or 0. */
static int32_t
missed(const struct set_watches *job, const struct set_watches_world *world,
       struct tree_path path)
{
	const struct znode *node = tree_lookup(world->tree, path, world->S);
	const int64_t seen = job->request->relative_zxid;
	struct tree_stat stat;

	if (job->list == LIST_EXIST)
		return node != NULL ? EVENT_NODE_CREATED : 0;
	if (node == NULL)
		return EVENT_NODE_DELETED;
	tree_stat_at(world->tree, node, world->S, &stat);
	if (job->list == LIST_DATA)
		return stat.mzxid > seen ? EVENT_NODE_DATA_CHANGED : 0;
	return stat.pzxid > seen ? EVENT_NODE_CHILDREN_CHANGED : 0;
}

static int
path_decide(const struct set_watches *job,
	    const struct set_watches_world *world, const struct named *named)
{
	static const enum watch_mode mode[LIST_END] = {
		WATCH_DATA, WATCH_DATA, WATCH_CHILD, WATCH_PERSISTENT,
		WATCH_RECURSIVE};
	int32_t event = 0;

	if (job->list <= LIST_CHILD)
		event = missed(job, world, named->path);
	if (event == 0)
		return watch_add(world->watches, world->conn,
				 watch_path_of(named->path, named->text.bytes),
				 mode[job->list]);
	world->deliver(world->arg, world->conn, (enum proto_event)event,
		       named->text);
	return 0;
}

void
set_watches_begin(struct set_watches *job,
		  const struct proto_set_watches *request)
{
	job->request = request;
	list_enter(job, LIST_DATA);
}

int
set_watches_step(struct set_watches *job, const struct set_watches_world *world,
		 uint32_t budget)
{
	struct named named[BURST];

	/* Events of before go out before those that are told here. */
	watch_deliver_before_output(world->watches, world->conn);
	while (job->list < LIST_END && budget > 0) {
		const uint32_t max = budget < BURST ? budget : BURST;
		uint32_t looked_at;
		const uint32_t count =
			paths_take(job, world->tree, named, max, &looked_at);

		for (uint32_t i = 0; i < count; i++) {
			const int rc = path_decide(job, world, &named[i]);

			if (rc != 0)
				return rc;
		}
		budget -= looked_at;
		while (job->list < LIST_END && job->left == 0)
			list_enter(job, job->list + 1);
	}
	return job->list < LIST_END ? 1 : 0;
}
