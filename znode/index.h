/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_INDEX_H
#define FALCONER_ZNODE_INDEX_H

/*
 * index - from a 64-bit hash to the objects that have it.
 *
 * One bucket is one cache line: ten 16-bit tags, ten handles, and the handle of
 * an overflow line. A lookup compares all tags at once and touches an object
 * only when its tag fits, so a miss costs one cache miss and a hit two. The
 * index knows nothing of paths: it offers candidates whose full hash is equal,
 * the caller decides. Two objects of one path may be there at once (a deleted
 * node that some reader still needs, and its successor).
 *
 * Growth is incremental: a table of twice the size is opened and each insert
 * moves INDEX_MOVE_PER_INSERT buckets over, so no insert pays for the whole.
 * Whoever knows how many entries are to come says so with index_expect().
 *
 * Context    W: insert, remove. R: index_first(), index_next(), wait-free; a
 *            reader loads its S before it probes (see index.c).
 * Ownership  objects start with their hash (uint64_t) and live in the region.
 *            What readers may still see goes to the retire callbacks, which
 *            free it after a grace period.
 * Limits     none but memory; buckets overflow into chained lines.
 * Errors     FAL_ENOMEM from index_insert(): nothing was inserted.
 */

#include "znode/region.h"

#define INDEX_SLOTS           10u
#define INDEX_MOVE_PER_INSERT 2u
#define INDEX_BUCKETS_FIRST   64u

struct index_bucket {
	/* Tags 0-3, 4-7 and 8-9; 0 is an empty slot. Written as whole words,
	 * so that a reader's wide load has a store of the same size. */
	_Atomic uint64_t tags[2];
	_Atomic uint32_t tags_tail;
	_Atomic uint32_t overflow; /* handle of one more line, 0: none */
	_Atomic uint32_t handle[INDEX_SLOTS];
};

_Static_assert(sizeof(struct index_bucket) == FAL_CACHE_LINE_BYTES,
	       "a bucket is one line");

struct index_table {
	struct index_bucket *buckets;
	uint64_t mask;
	uint64_t bytes;                    /* of the mapping */
	_Atomic(struct index_table *) old; /* being moved from, or NULL */
	_Atomic uint64_t moved;   /* buckets of old that live here now */
	struct index_table *next; /* link for whoever retires it */
};

struct index_stats {
	uint64_t grown; /* tables opened */
	uint64_t overflow_lines;
	uint32_t moved_max; /* buckets moved by one insert, at most */
};

/* Both take things that readers may still look at. */
struct index_retire {
	void (*line)(void *arg, uint32_t handle); /* one bucket's bytes */
	void (*table)(void *arg, struct index_table *);
	void *arg;
};

struct index {
	_Atomic(struct index_table *) table;
	struct region *region;
	struct index_retire retire;
	uint64_t count;
	uint64_t grow_at;  /* count that asks for the next table */
	uint64_t expected; /* entries, see index_expect() */
	_Atomic uint64_t table_bytes;
	struct index_stats stats;
};

/* Returns 0, FAL_ENOMEM. */
FAL_MUST_CHECK int index_init(struct index *, struct region *,
			      const struct index_retire *);
/* Frees tables; overflow lines die with the region. */
void index_free(struct index *);
/* Frees a retired table, after its grace period. Any thread. */
void index_table_free(struct index_table *);

FAL_MUST_CHECK int index_insert(struct index *, uint64_t hash, uint32_t handle);
/* W. About so many entries are to come: the next table is made for them at
 * once, of huge pages, whose zeroing only a start can afford. 0: nobody knows.
 */
void index_expect(struct index *, uint64_t count);
/* W. Fetches the line that an insert of that hash will write. */
void index_prefetch(const struct index *, uint64_t hash);
/* Takes out an entry that is there. */
void index_remove(struct index *, uint64_t hash, uint32_t handle);

/* ---- probing ------------------------------------------------------------ */

struct index_probe {
	const struct region *region;
	const struct index_bucket *bucket;
	uint64_t hash;
	uint32_t fits; /* bit per slot whose tag fits and was not tried */
};

uint16_t index_tag_of(uint64_t hash);
/* Bits of the slots whose tag is `tag`. */
uint32_t index_match(const struct index_bucket *, uint16_t tag);
/* Where readers look for that hash now. */
const struct index_bucket *index_bucket_of(const struct index *, uint64_t hash);

/* The first, the next object with that hash; 0: no more. */
uint32_t index_first(const struct index *, uint64_t hash, struct index_probe *);
uint32_t index_next(struct index_probe *);

/* Visits every handle, W only; for sweeps that may be slow. */
void index_for_each(const struct index *, void (*fn)(void *arg, uint32_t),
		    void *arg);

#endif
