/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index - line buckets with tags, grown bucket by bucket.
 *
 *   bucket = hash & mask        tag = top 16 bits of the hash, 0 becomes 1
 *
 * Insert stores the handle, then the tag (release); remove clears the tag.
 * A slot may be taken again at once: a reader that matched the old tag finds
 * another object behind the handle and refuses it by its hash.
 *
 * While a table is opened, `table` is the new one, table->old the one before,
 * and old buckets below table->moved live in the new. Moved buckets of the old
 * table are never changed again. Why a reader that uses a stale old bucket
 * misses nothing: an object that is only in the new table was inserted after
 * its bucket had been moved, and published later still; the reader loaded its
 * S (acquire) before it looked at table and moved, so if the object is visible
 * at S the reader sees that its bucket was moved. And what it finds stale
 * cannot have been freed: that takes a grace period, which waits for it.
 */
#include "znode/index.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"

/* Average entries per bucket at which the next table is opened: 1 M entries
 * in 131,072 buckets (7.6) still fit, which is 8.4 bytes an entry. */
#define LOAD_MAX 8u

/* ---- slots of one line --------------------------------------------------- */

static uint16_t
slot_tag(const struct index_bucket *bucket, uint32_t slot)
{
	if (slot >= 8)
		return (uint16_t)(atomic_load_explicit(&bucket->tags_tail,
						       memory_order_relaxed) >>
				  (16 * (slot - 8)));
	return (uint16_t)(atomic_load_explicit(&bucket->tags[slot / 4],
					       memory_order_relaxed) >>
			  (16 * (slot % 4)));
}

static void
slot_set_tag(struct index_bucket *bucket, uint32_t slot, uint16_t tag)
{
	/* Release: pairs with the acquire in index_match(). */
	if (slot >= 8) {
		const uint32_t shift = 16 * (slot - 8);
		const uint32_t word = atomic_load_explicit(
			&bucket->tags_tail, memory_order_relaxed);

		atomic_store_explicit(&bucket->tags_tail,
				      (word & ~(0xffffu << shift)) |
					      (uint32_t)tag << shift,
				      memory_order_release);
		return;
	}
	const uint32_t shift = 16 * (slot % 4);
	const uint64_t word = atomic_load_explicit(&bucket->tags[slot / 4],
						   memory_order_relaxed);

	atomic_store_explicit(&bucket->tags[slot / 4],
			      (word & ~(0xffffull << shift)) | (uint64_t)tag
								       << shift,
			      memory_order_release);
}

static void
slot_set(struct index_bucket *bucket, uint32_t slot, uint16_t tag,
	 uint32_t handle)
{
	/* Release: a reader that matched the slot's former tag may load this
	 * handle before it sees the new tag; pairs with probe_next(). */
	atomic_store_explicit(&bucket->handle[slot], handle,
			      memory_order_release);
	slot_set_tag(bucket, slot, tag);
}

static struct index_bucket *
line_after(const struct index *index, const struct index_bucket *bucket)
{
	const uint32_t handle =
		atomic_load_explicit(&bucket->overflow, memory_order_acquire);

	return handle == 0 ? NULL : region_at(index->region, handle);
}

static int
chain_put(struct index *index, struct index_bucket *bucket, uint16_t tag,
	  uint32_t handle)
{
	for (;;) {
		const uint32_t empty =
			index_match(bucket, 0) & ((1u << INDEX_SLOTS) - 1);

		if (empty != 0) {
			slot_set(bucket, (uint32_t)__builtin_ctz(empty), tag,
				 handle);
			return 0;
		}
		struct index_bucket *after = line_after(index, bucket);

		if (after == NULL)
			break;
		bucket = after;
	}
	const uint32_t line_handle =
		region_alloc(index->region, sizeof(struct index_bucket));

	if (line_handle == 0)
		return FAL_ENOMEM;
	struct index_bucket *line = region_at(index->region, line_handle);

	memset(line, 0, sizeof(*line));
	slot_set(line, 0, tag, handle);
	index->stats.overflow_lines++;
	/* Pairs with the acquire in line_after(). */
	atomic_store_explicit(&bucket->overflow, line_handle,
			      memory_order_release);
	return 0;
}

/* ---- tables -------------------------------------------------------------- */

static struct index_table *
table_new(uint64_t bucket_count, bool is_start)
{
	struct index_table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return NULL;
	table->mask = bucket_count - 1;
	table->bytes = bucket_count * sizeof(struct index_bucket);

	void *at = mmap(NULL, table->bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED) {
		free(table);
		return NULL;
	}
	/* A huge page is zeroed at its first touch, 100 us and more: an insert
	 * would pay for it. While a snapshot is loaded nobody waits for one,
	 * and every lookup after it misses fewer translations. */
	(void)madvise(at, table->bytes,
		      is_start ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	table->buckets = at;
	return table;
}

void
index_table_free(struct index_table *table)
{
	(void)munmap(table->buckets, table->bytes);
	free(table);
}

/* One writer; any thread reads. */
static void
table_bytes_add(struct index *index, uint64_t delta)
{
	const uint64_t now =
		atomic_load_explicit(&index->table_bytes, memory_order_relaxed);

	atomic_store_explicit(&index->table_bytes, now + delta,
			      memory_order_relaxed);
}

static struct index_table *
table_now(const struct index *index)
{
	return atomic_load_explicit(&index->table, memory_order_relaxed);
}

int
index_init(struct index *index, struct region *region,
	   const struct index_retire *retire)
{
	*index = (struct index){.region = region, .retire = *retire};

	struct index_table *table = table_new(INDEX_BUCKETS_FIRST, false);

	if (table == NULL)
		return FAL_ENOMEM;
	atomic_store_explicit(&index->table, table, memory_order_relaxed);
	index->grow_at = INDEX_BUCKETS_FIRST * LOAD_MAX;
	atomic_store_explicit(&index->table_bytes, table->bytes,
			      memory_order_relaxed);
	return 0;
}

void
index_free(struct index *index)
{
	struct index_table *table = table_now(index);

	if (table == NULL)
		return;
	struct index_table *old =
		atomic_load_explicit(&table->old, memory_order_relaxed);

	if (old != NULL)
		index_table_free(old);
	index_table_free(table);
	atomic_store_explicit(&index->table, NULL, memory_order_relaxed);
}

/* index_bucket_in() for the writer, who may change what it finds. */
static struct index_bucket *
bucket_to_change(struct index_table *table, uint64_t hash)
{
	struct index_table *old =
		atomic_load_explicit(&table->old, memory_order_relaxed);

	if (old != NULL &&
	    (hash & old->mask) >=
		    atomic_load_explicit(&table->moved, memory_order_relaxed))
		return &old->buckets[hash & old->mask];
	return &table->buckets[hash & table->mask];
}

/* Empties a bucket that no reader can see yet. */
static void
chain_discard(struct index *index, struct index_bucket *bucket)
{
	uint32_t handle =
		atomic_load_explicit(&bucket->overflow, memory_order_relaxed);

	while (handle != 0) {
		const struct index_bucket *line =
			region_at(index->region, handle);
		const uint32_t after = atomic_load_explicit(
			&line->overflow, memory_order_relaxed);

		region_free(index->region, handle, sizeof(*line));
		index->stats.overflow_lines--;
		handle = after;
	}
	memset(bucket, 0, sizeof(*bucket));
}

/* Copies all entries of an old bucket to its new ones, usually two. */
static int
bucket_copy(struct index *index, struct index_table *table,
	    const struct index_bucket *from)
{
	for (; from != NULL; from = line_after(index, from)) {
		for (uint32_t i = 0; i < INDEX_SLOTS; i++)
			if (slot_tag(from, i) != 0)
				__builtin_prefetch(
					region_at(index->region,
						  index_slot_handle(from, i)));
		for (uint32_t i = 0; i < INDEX_SLOTS; i++) {
			if (slot_tag(from, i) == 0)
				continue;
			const uint32_t handle = index_slot_handle(from, i);
			const uint64_t *hash = region_at(index->region, handle);
			struct index_bucket *to =
				&table->buckets[*hash & table->mask];

			if (chain_put(index, to, slot_tag(from, i), handle) < 0)
				return FAL_ENOMEM;
		}
	}
	return 0;
}

/* Moves one bucket; false: no memory for it now. */
static bool
growth_step(struct index *index, struct index_table *table,
	    struct index_table *old)
{
	const uint64_t at =
		atomic_load_explicit(&table->moved, memory_order_relaxed);
	struct index_bucket *from = &old->buckets[at];

	if (bucket_copy(index, table, from) < 0) {
		for (uint64_t to = at; to <= table->mask; to += old->mask + 1)
			chain_discard(index, &table->buckets[to]);
		return false;
	}
	/* Pairs with index_bucket_in(). */
	atomic_store_explicit(&table->moved, at + 1, memory_order_release);

	uint32_t line =
		atomic_load_explicit(&from->overflow, memory_order_relaxed);

	while (line != 0) {
		const struct index_bucket *bucket =
			region_at(index->region, line);
		const uint32_t after = atomic_load_explicit(
			&bucket->overflow, memory_order_relaxed);

		index->stats.overflow_lines--;
		index->retire.line(index->retire.arg, line);
		line = after;
	}
	if (at < old->mask)
		return true;
	/* Pairs with index_bucket_in(). */
	atomic_store_explicit(&table->old, NULL, memory_order_release);
	table_bytes_add(index, 0 - old->bytes);
	index->retire.table(index->retire.arg, old);
	return true;
}

static void
growth_run(struct index *index)
{
	struct index_table *table = table_now(index);
	uint32_t moved = 0;

	while (moved < INDEX_MOVE_PER_INSERT) {
		struct index_table *old =
			atomic_load_explicit(&table->old, memory_order_relaxed);

		if (old == NULL || !growth_step(index, table, old))
			break;
		moved++;
	}
	if (moved > index->stats.moved_max)
		index->stats.moved_max = moved;
}

static void
growth_open(struct index *index)
{
	struct index_table *old = table_now(index);

	/* Still moving: two buckets an insert end long before the new table is
	 * as full, so this is only seen when memory was short. */
	if (atomic_load_explicit(&old->old, memory_order_relaxed) != NULL)
		return;

	const uint64_t double_count = (old->mask + 1) * 2;
	const uint64_t wanted = index->expected / LOAD_MAX;
	const bool is_start = wanted > double_count;
	const uint64_t bucket_count =
		is_start ? bits_pow2_at_least(wanted) : double_count;
	struct index_table *table = table_new(bucket_count, is_start);

	if (table == NULL) {
		/* Longer chains until the next try. */
		index->grow_at += double_count;
		return;
	}
	atomic_store_explicit(&table->old, old, memory_order_relaxed);
	index->grow_at = bucket_count * LOAD_MAX;
	table_bytes_add(index, table->bytes);
	index->stats.grown++;
	/* Pairs with the acquire in index_bucket_of(). */
	atomic_store_explicit(&index->table, table, memory_order_release);
}

int
index_insert(struct index *index, uint64_t hash, uint32_t handle)
{
	growth_run(index);
	if (index->count >= index->grow_at)
		growth_open(index);

	const int err =
		chain_put(index, bucket_to_change(table_now(index), hash),
			  index_tag_of(hash), handle);

	if (err < 0)
		return err;
	index->count++;
	return 0;
}

void
index_expect(struct index *index, uint64_t count)
{
	index->expected = count;
}

void
index_prefetch(const struct index *index, uint64_t hash)
{
	__builtin_prefetch(index_bucket_of(index, hash), 1);
}

void
index_remove(struct index *index, uint64_t hash, uint32_t handle)
{
	struct index_bucket *bucket = bucket_to_change(table_now(index), hash);

	for (; bucket != NULL; bucket = line_after(index, bucket)) {
		uint32_t fits = index_match(bucket, index_tag_of(hash));

		for (; fits != 0; fits &= fits - 1) {
			const uint32_t slot = (uint32_t)__builtin_ctz(fits);

			if (index_slot_handle(bucket, slot) != handle)
				continue;
			slot_set_tag(bucket, slot, 0);
			index->count--;
			return;
		}
	}
	fal_panic(__FILE__, __LINE__, "the index lost an entry");
}

/* ---- sweeping ------------------------------------------------------------ */

static void
line_for_each(const struct index *index, const struct index_bucket *bucket,
	      void (*fn)(void *arg, uint32_t), void *arg)
{
	for (; bucket != NULL; bucket = line_after(index, bucket))
		for (uint32_t i = 0; i < INDEX_SLOTS; i++)
			if (slot_tag(bucket, i) != 0)
				fn(arg, index_slot_handle(bucket, i));
}

void
index_for_each(const struct index *index, void (*fn)(void *arg, uint32_t),
	       void *arg)
{
	const struct index_table *table = table_now(index);
	const struct index_table *old =
		atomic_load_explicit(&table->old, memory_order_relaxed);
	const uint64_t moved =
		atomic_load_explicit(&table->moved, memory_order_relaxed);

	for (uint64_t i = 0; old != NULL && i <= old->mask; i++)
		if (i >= moved)
			line_for_each(index, &old->buckets[i], fn, arg);
	for (uint64_t i = 0; i <= table->mask; i++)
		line_for_each(index, &table->buckets[i], fn, arg);
}
