/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_TREE_MODEL_H
#define FALCONER_TESTS_TREE_MODEL_H

/*
 * tree_model - the naive tree: for each path of a fixed universe the list of
 * all its states with the zxid that made each. State at S: the last one with
 * stamp <= S. Undoing: drop the youngest. No sharing, no handles, no index.
 */

#include "znode/tree.h"

#define MODEL_PATH_MAX 64
#define MODEL_DIRS     12
#define MODEL_SUBDIRS  6
#define MODEL_LEAVES   3
#define MODEL_MIDDLE   250  /* children of "/m": one flat block */
#define MODEL_WIDE     3600 /* children of "/w": a table of chunks */
#define MODEL_SESSIONS 5
#define MODEL_NOW      UINT64_MAX /* S of the newest applied state */

struct model_state {
	uint64_t stamp;
	bool exists;
	struct tree_stat stat; /* acl is an index of the test, not an id */
	uint32_t data_seed;
};

struct model_path {
	char text[MODEL_PATH_MAX];
	uint32_t bytes;
	uint32_t parent; /* index; the root's is its own */
	struct model_state *state;
	uint32_t state_count, state_cap;
};

struct model_note {
	uint64_t stamp;
	uint32_t path;
};

struct model {
	struct model_path *path;
	uint32_t path_count;
	uint32_t middle, wide; /* indexes of "/m" and "/w", the last paths */
	struct model_note *journal; /* unpublished changes, oldest first */
	uint64_t journal_count, journal_cap;
};

void model_init(struct model *);
void model_free(struct model *);

const struct model_state *model_at(const struct model *, uint32_t path,
				   uint64_t S);
/* The state to change in transaction `stamp`. */
struct model_state *model_edit(struct model *, uint32_t path, uint64_t stamp);
/* Drops all states with stamp > S. */
void model_undo(struct model *, uint64_t S);
/* Forgets that what is <= S could be undone. */
void model_publish(struct model *, uint64_t S);
/* Drops states that nobody at S or later needs. */
void model_prune(struct model *, uint64_t S);

/* Data is a function of seed and length. */
void model_data(uint32_t seed, int32_t bytes, uint8_t *out);
/* Digest of the state at S, by zlib and from scratch. */
uint64_t model_digest(const struct model *, uint64_t S);
uint64_t model_count(const struct model *, uint64_t S);

#endif
