/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_WATCH_TABLE_H
#define FALCONER_ZNODE_WATCH_TABLE_H

/*
 * watch_table - the inside of watch: entries, lists and the two indexes.
 *
 *   slot[] --> path --> path         chains of the path index
 *               |
 *             head
 *               v
 *            watcher <-> watcher     all who watch the path, newest first
 *               ^
 *               |  each also in the list of its connection
 *             conn[]
 *
 * Entries are numbers into arrays of reserved address space, which cost 4
 * bytes a link and never move. 0 is nobody.
 *
 * Both indexes are linear hash tables (Litwin 1980): they grow by one slot at
 * a time, splitting one chain, so no registration pays for a million others.
 * Beside the slots of the path index lie 16 tag bits for each: the union of
 * one bit per entry of its chain. An effect that nobody watches is mostly
 * answered by them, without a look at the chain. They take 2 MB for a million
 * watched paths; unlike a Bloom filter they forget exactly what is removed.
 *
 * The second index finds (connection, path) among the watchers of a crowded
 * path. Its entries are watchers of paths with more than CROWD_AT of them; all
 * of a path or none. Walking the list is cheaper below that.
 *
 * Context    included by watch*.c only.
 */

#include "base/fal.h"
#include "znode/watch.h"

#define WATCH_DATA_MODES  (WATCH_DATA | WATCH_PERSISTENT | WATCH_RECURSIVE)
#define WATCH_CHILD_MODES (WATCH_CHILD | WATCH_PERSISTENT)
#define WATCH_MODES       15u

/* bits of a watcher: its modes, then: */
#define WATCHER_IN_PAIRS     16u
#define WATCHER_LENGTH_SHIFT 8u
/* Path lengths from here on share one counter of recursive watches. */
#define WATCH_LENGTH_MAX 255u

struct watch_path {
	uint64_t hash;
	uint32_t more_hash;
	uint32_t head;  /* watcher */
	uint32_t chain; /* path of the same slot; next free path */
	uint32_t data_count, child_count; /* watchers per table */
	uint32_t recursive_count;
};

struct watcher {
	uint32_t path; /* 0: free */
	uint32_t conn;
	uint32_t path_next, path_prev; /* path_next: also next free watcher */
	uint32_t conn_next, conn_prev;
	uint32_t pair_chain;
	uint32_t bits;
};

struct watch_conn {
	uint64_t mark; /* newest job or fire this connection was told of */
	uint32_t head; /* watcher */
	uint32_t data_count, child_count;
	uint32_t reserved;
};

_Static_assert(sizeof(struct watch_path) == 32, "two to a cache line");
_Static_assert(sizeof(struct watcher) == 32, "two to a cache line");
_Static_assert(sizeof(struct watch_conn) == 24, "no padding");

/* How many slots a linear hash table has: base <= count < 2 * base. */
struct watch_slots {
	uint32_t base; /* power of two */
	uint32_t count;
	uint32_t entries;
};

/* One large effect that is being told. */
struct watch_job {
	uint64_t seq;
	uint64_t zxid;
	struct effect *effect; /* own copy */
	uint32_t effect_cap;
	uint32_t cursor; /* next watcher of the current target */
	uint32_t target_at, target_count;
	uint32_t target[WATCH_TARGETS_MAX]; /* paths */
	bool has_exact; /* target[0] is the path itself, not an ancestor */
};

struct watch_table {
	struct watch_options options;
	struct hash_key key;
	uint64_t seq; /* of the newest fire or job */

	struct watch_path *path;
	struct watcher *watcher;
	struct watch_conn *conn;
	uint32_t *slot; /* path */
	uint16_t *tags; /* by slot */
	uint32_t *pair;
	uint8_t **text; /* by path, with keep_paths: length, then bytes; NULL:
			   beyond WATCH_TEXT_BYTES_MAX */
	uint64_t text_bytes;

	struct watch_slots slots, pairs;
	uint32_t path_used, path_free; /* highest number ever, first free */
	uint32_t watcher_used, watcher_free;
	struct watch_counts counts;
	uint32_t recursive_by_length[WATCH_LENGTH_MAX + 1];

	uint64_t newest_job; /* seq */
	uint32_t job_count, job_first;
	struct watch_job job[WATCH_JOBS_MAX];
};

/* The job_index-th job by age. */
static inline struct watch_job *
watch_job_at(struct watch_table *table, uint32_t index)
{
	return &table->job[(table->job_first + index) % WATCH_JOBS_MAX];
}

static inline uint32_t
watch_slot_of(const struct watch_slots *slots, uint64_t hash)
{
	const uint32_t slot = (uint32_t)hash & (2 * slots->base - 1);

	return slot < slots->count ? slot : slot & (slots->base - 1);
}

static inline uint32_t
watch_tag_of(uint64_t hash)
{
	return 1u << (hash >> 60);
}

/* False: certainly nobody watches a path of that hash. */
static inline bool
watch_may_have(const struct watch_table *table, uint64_t hash)
{
	return table->tags[watch_slot_of(&table->slots, hash)] &
	       watch_tag_of(hash);
}

/* Makes and frees the arrays. */
FAL_MUST_CHECK int watch_arrays_create(struct watch_table *);
void watch_arrays_destroy(struct watch_table *);

/* The entry of a path, or 0. */
uint32_t watch_path_find(const struct watch_table *, struct tree_path);
/* The same of beginnings of one path, from the shortest on. */
uint32_t watch_ancestor_find(const struct watch_table *, struct tree_path,
			     struct hash_prefix *);
/* The watcher of a connection at a path entry, or 0. */
uint32_t watch_pair_find(const struct watch_table *, uint32_t path,
			 uint32_t conn);
/* Finds or makes both entries with no mode yet; 0 or FAL_ELIMIT, FAL_ENOMEM. */
FAL_MUST_CHECK int watch_pair_make(struct watch_table *, uint32_t conn,
				   struct tree_path path, uint32_t *watcher);
/* Sets the modes of a watcher and all counts; without any it is freed, and its
 * path with it if it was the last. */
void watch_modes_set(struct watch_table *, uint32_t watcher, uint32_t modes);

/* Uses up what `tables` (EFFECT_TABLE_*) of an effect at exactly the watcher's
 * path uses up; true if the connection is to be told. */
static inline bool
watch_consume(struct watch_table *table, uint32_t watcher, uint32_t tables)
{
	const uint32_t modes = table->watcher[watcher].bits & WATCH_MODES;
	uint32_t wanted = 0, after = modes;

	if (tables & EFFECT_TABLE_DATA) {
		wanted |= WATCH_DATA_MODES;
		after &= ~(uint32_t)WATCH_DATA;
	}
	if (tables & EFFECT_TABLE_CHILD) {
		wanted |= WATCH_CHILD_MODES;
		after &= ~(uint32_t)WATCH_CHILD;
	}
	if (after != modes)
		watch_modes_set(table, watcher, after);
	return (modes & wanted) != 0;
}

/* Makes a job of an effect; false: no memory for its copy. */
bool watch_job_start(struct watch_table *, uint64_t zxid,
		     const struct effect *effect, const uint32_t *target,
		     uint32_t target_count, bool has_exact);
/* Tells a connection everything jobs owe it. */
void watch_settle(struct watch_table *, uint32_t conn);
/* A watcher is about to be freed: no job may stand there. */
void watch_jobs_forget_watcher(struct watch_table *, uint32_t watcher);

static inline bool
watch_owes(const struct watch_table *table, uint32_t conn)
{
	return table->job_count > 0 &&
	       table->conn[conn].mark < table->newest_job;
}

#endif
