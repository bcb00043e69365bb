/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_ZNODE_TREE_WORLD_H
#define FALCONER_TESTS_UNIT_ZNODE_TREE_WORLD_H

/*
 * tree_world - the tree beside its model, and readers that hold some S of it:
 * what test_tree_model.c changes and tree_readers.c looks at.
 */

#include "tree_model.h"
#include "znode/tree_impl.h"
#include "znode/walk.h"

#define READERS  4
#define ACLS     6
#define DATA_MAX (1 << 18)

struct child_walk {
	bool is_on;
	uint32_t path;
	uint64_t cursor;
	uint32_t seen;
	uint8_t *is_seen; /* by model path */
};

struct snapshot_walk {
	bool is_on, is_fuzzy;
	uint64_t first_S;
	struct walk walk;
	uint8_t *is_seen;
	uint64_t seen;
};

struct pinned {
	struct tree_reader *reader;
	bool is_online;
	uint64_t S;
	struct child_walk children;
	struct snapshot_walk snapshot;
};

struct world {
	struct tree *tree;
	struct model model;
	uint64_t random;
	uint64_t applied, published;
	_Atomic uint64_t P;
	int64_t time;
	uint32_t acl[ACLS];
	uint64_t region_bytes;
	uint32_t seeds;
	bool is_growing; /* the phase of "/w" */
	struct pinned pinned[READERS];
	uint64_t reads, walks, snapshots, slides, undone, rollbacks, exhausted;
};

static inline uint64_t
random_next(struct world *world)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return world->random;
}

static inline uint32_t
below(struct world *world, uint32_t limit)
{
	return (uint32_t)((random_next(world) >> 16) % limit);
}

static inline struct tree_path
path_of(const struct world *world, uint32_t path)
{
	return tree_path_of(world->tree, world->model.path[path].text,
			    world->model.path[path].bytes);
}

/* Is that the model's state? */
void check_stat(const struct world *, const struct tree_stat *is,
		const struct model_state *should);
void check_data(struct jute_slice data, const struct model_state *should);
/* Reads the path at S and compares all. */
void check_read(struct world *, uint32_t path, uint64_t S);
/* The oldest S that a reader holds, or what is published. */
uint64_t lowest_S(const struct world *);
/* A reader's turn: it may come, go, move on, and walk a few steps. */
void pinned_run(struct world *, struct pinned *);

#endif
