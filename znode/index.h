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

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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

/* Visits every handle, W only; for sweeps that may be slow. */
void index_for_each(const struct index *, void (*fn)(void *arg, uint32_t),
		    void *arg);

/*
 * ---- probing: inline, since every read does it --------------------------
 */

struct index_probe {
	const struct region *region;
	const struct index_bucket *bucket;
	uint64_t hash;
	uint32_t fits; /* bit per slot whose tag fits and was not tried */
};

/* Never 0, which is a free slot. */
static inline uint16_t
index_tag_of(uint64_t hash)
{
	return (uint16_t)(hash >> 48) | 1;
}

static inline uint64_t
index_tags_load(const _Atomic uint64_t *tags)
{
	/* Pairs with the release in slot_set(). */
	return atomic_load_explicit(tags, memory_order_acquire);
}

/* Bits of the slots whose tag is `tag`. */
#if defined(__SSE2__)
static inline uint32_t
index_match(const struct index_bucket *bucket, uint16_t tag)
{
	const __m128i want = _mm_set1_epi16((int16_t)tag);
	const __m128i head =
		_mm_set_epi64x((int64_t)index_tags_load(&bucket->tags[1]),
			       (int64_t)index_tags_load(&bucket->tags[0]));
	const __m128i tail = _mm_cvtsi32_si128((int32_t)atomic_load_explicit(
		&bucket->tags_tail, memory_order_acquire));
	const __m128i both = _mm_packs_epi16(_mm_cmpeq_epi16(head, want),
					     _mm_cmpeq_epi16(tail, want));

	/* Above slot 9 the tail is zero and a tag never is. */
	return (uint32_t)_mm_movemask_epi8(both);
}
#else
static inline uint32_t
index_match_word(uint64_t word, uint16_t tag, uint32_t count)
{
	uint32_t fits = 0;

	for (uint32_t i = 0; i < count; i++)
		fits |= (uint32_t)((uint16_t)(word >> (16 * i)) == tag) << i;
	return fits;
}

static inline uint32_t
index_match(const struct index_bucket *bucket, uint16_t tag)
{
	return index_match_word(index_tags_load(&bucket->tags[0]), tag, 4) |
	       index_match_word(index_tags_load(&bucket->tags[1]), tag, 4)
		       << 4 |
	       index_match_word(atomic_load_explicit(&bucket->tags_tail,
						     memory_order_acquire),
				tag, 2)
		       << 8;
}
#endif

static inline uint32_t
index_slot_handle(const struct index_bucket *bucket, uint32_t slot)
{
	return atomic_load_explicit(&bucket->handle[slot],
				    memory_order_acquire);
}

static inline const struct index_bucket *
index_bucket_in(const struct index_table *table, uint64_t hash)
{
	/* Both pair with the releases in growth_step(). */
	const struct index_table *old =
		atomic_load_explicit(&table->old, memory_order_acquire);

	if (old != NULL &&
	    (hash & old->mask) >=
		    atomic_load_explicit(&table->moved, memory_order_acquire))
		return &old->buckets[hash & old->mask];
	return &table->buckets[hash & table->mask];
}

/* Where readers look for that hash now. */
static inline const struct index_bucket *
index_bucket_of(const struct index *index, uint64_t hash)
{
	/* Pairs with the release in growth_open(). */
	return index_bucket_in(
		atomic_load_explicit(&index->table, memory_order_acquire),
		hash);
}

/* The next object with that hash; 0: no more. */
static inline uint32_t
index_next(struct index_probe *probe)
{
	for (;;) {
		while (probe->fits != 0) {
			const uint32_t slot =
				(uint32_t)__builtin_ctz(probe->fits);

			probe->fits &= probe->fits - 1;

			const uint32_t handle =
				index_slot_handle(probe->bucket, slot);
			const uint64_t *hash = region_at(probe->region, handle);

			if (*hash == probe->hash)
				return handle;
		}
		const uint32_t after = atomic_load_explicit(
			&probe->bucket->overflow, memory_order_acquire);

		if (after == 0)
			return 0;
		probe->bucket = region_at(probe->region, after);
		probe->fits =
			index_match(probe->bucket, index_tag_of(probe->hash));
	}
}

/* The first object with that hash; 0: none. */
static inline uint32_t
index_first(const struct index *index, uint64_t hash, struct index_probe *probe)
{
	probe->region = index->region;
	probe->hash = hash;
	probe->bucket = index_bucket_of(index, hash);
	probe->fits = index_match(probe->bucket, index_tag_of(hash));
	return index_next(probe);
}

#endif
