/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_WATCH_H
#define FALCONER_ZNODE_WATCH_H

/*
 * watch - which connections of this core want to hear about which paths.
 *
 * One table per reader core, for the connections of that core; nobody else
 * looks at it. A watcher is one (connection, path) pair with the modes it has
 * there, so ZooKeeper's two tables are two sets of modes of one entry:
 *
 *      data table   DATA (one-shot), PERSISTENT, RECURSIVE
 *      child table  CHILD (one-shot), PERSISTENT
 *
 * Paths are not stored, only 96 bits of keyed hashes: an event brings its path
 * along. keep_paths stores them for the commands that list watches.
 *
 * Large fan-out. An effect with more than WATCH_DIRECT_MAX candidates becomes
 * a job and is told bit by bit by watch_job_step(). The reader's state S goes
 * on at once: before anything is written to a connection, its share of all
 * jobs is told by watch_deliver_before_output(), so every connection sees its
 * events in order and before the data. Connections that are not served yet are
 * recognised by a number (the newest job they were told of), so starting a job
 * costs the same for any number of watchers.
 *
 * Context    the reader core that owns the table. `deliver` must not call back
 *            into the table.
 * Ownership  paths and effects are borrowed for the call; a job copies its
 *            effect. The ACL an effect names stays readable only as long as
 *            the reader's oldest state is before the effect: see
 *            watch_jobs_pin().
 * Limits     connections and watches as given at creation (reserved address
 *            space, touched as used); WATCH_JOBS_MAX jobs: when there are that
 *            many, watch_has_room() is false and the reader should stop
 *            advancing; an effect that comes nevertheless finishes the oldest
 *            job on the spot. Effects with WATCH_TARGETS_MAX or more watched
 *            paths (itself, ancestors) are told at once, however many watch.
 * Errors     FAL_ELIMIT: no more watches; FAL_ENOMEM: keep_paths only.
 * Cost       add: 40 to 100 ns in cache, 0.45 us among a million others (all
 *            misses); an effect nobody watches: 6 ns, 30 ns among a million,
 *            and one hash for each ancestor of a length at which somebody
 *            watches recursively; a job: 8 to 70 ns a watcher. 69 bytes for
 *            a watch on a path of its own, 32 for each further watcher of a
 *            path, 36 when a path has more than 32; 24 for a connection. No
 *            allocation after creation but for keep_paths and for paths
 *            beyond 488 bytes in jobs.
 * Source     client-protocol.md section 5, architecture.md section 4.
 */

#include "base/fal.h"
#include "base/hash.h"
#include "znode/effect.h"
#include "znode/tree.h"

#define WATCH_DIRECT_MAX  256u
#define WATCH_JOBS_MAX    64u
#define WATCH_TARGETS_MAX 16u
/* Of paths that are kept; a watch of one more is like any other, but for its
 * row, which has none. */
#define WATCH_TEXT_BYTES_MAX (64u << 20)

enum watch_mode {
	WATCH_DATA = 1,  /* one-shot: getData, exists */
	WATCH_CHILD = 2, /* one-shot: getChildren */
	WATCH_PERSISTENT = 4,
	WATCH_RECURSIVE = 8,
};

/* Watcher types of checkWatches and removeWatches. */
enum watch_type {
	WATCH_TYPE_CHILD = 1,
	WATCH_TYPE_DATA = 2,
	WATCH_TYPE_ANY = 3,
	WATCH_TYPE_PERSISTENT = 4,
	WATCH_TYPE_RECURSIVE = 5,
};

struct watch_table;

/*
 * Tells `conn` about an event. effect->path and effect->type are what the
 * notification says, zxid is the transaction. The ACL filter is the callee's:
 * the watch is used up either way.
 */
typedef void (*watch_deliver_fn)(void *arg, uint32_t conn, uint64_t zxid,
				 const struct effect *effect);
/* The hash that effects and tree_path carry: that of tree_path_of() with its
 * tree; the same for "" and "/". A prefix is of one text, whose beginnings are
 * asked for from the shortest on. */
typedef uint64_t (*watch_hash_fn)(const void *arg, struct hash_prefix *,
				  const void *text, uint32_t bytes);

struct watch_options {
	uint32_t conns_max;   /* connections are 0..conns_max-1 */
	uint32_t watches_max; /* (connection, path) pairs, up to 2^28 */
	bool keep_paths;
	const struct hash_key *key; /* of the other 32 bits; NULL: random */
	watch_hash_fn hash;
	const void *hash_arg;
	watch_deliver_fn deliver;
	void *deliver_arg;
};

/*
 * Where a watch of a client's path is kept: `path` is tree_path_of() the text.
 * For reads "" means the root, but ZooKeeper keeps watches of "" under that
 * name, where nothing ever happens; so they get a key of their own.
 */
static inline struct tree_path
watch_path_of(struct tree_path path, int32_t text_bytes)
{
	if (text_bytes <= 0)
		path.hash = ~path.hash;
	return path;
}

struct watch_counts {
	/* A pair with several modes of one table counts once there. */
	uint64_t data_conns, data_paths, data_watches;
	uint64_t child_conns, child_paths, child_watches;
	uint64_t recursive;  /* pairs that have that mode */
	uint64_t paths;      /* known to either table */
	uint64_t watchers;   /* pairs */
	uint64_t used_bytes; /* memory touched, kept paths not included */
	uint32_t jobs;
};

FAL_MUST_CHECK int watch_table_create(const struct watch_options *,
				      struct watch_table **out);
void watch_table_destroy(struct watch_table *);

/*
 * Adds a mode to what `conn` watches at `path`; again is no change. The path
 * may be any string; "" is "/". What jobs owe the connection is told first.
 *
 * mode  one of enum watch_mode
 *
 * Returns 0, FAL_ELIMIT or FAL_ENOMEM (then nothing is registered).
 */
FAL_MUST_CHECK int watch_add(struct watch_table *, uint32_t conn,
			     struct tree_path path, enum watch_mode mode);

/*
 * Does `conn` watch exactly `path` in the way of `type`?
 *
 * type  any number a client may send
 *
 * Returns ZK_OK, ZK_NOWATCHER, or ZK_MARSHALLINGERROR (no such type).
 */
int32_t watch_check(struct watch_table *, uint32_t conn, struct tree_path path,
		    int32_t type);
/* The same answer, and what was found is gone. */
int32_t watch_remove(struct watch_table *, uint32_t conn, struct tree_path path,
		     int32_t type);

/* Forgets all watches of a connection, unheard. */
void watch_drop_connection(struct watch_table *, uint32_t conn);
/* The same in portions of `budget` watches; true when all are gone. Until then
 * the number must not be given to a new connection, and deliveries to it are
 * to be ignored. */
bool watch_drop_step(struct watch_table *, uint32_t conn, uint32_t budget);

/*
 * Tells everybody who watches, each connection once: those at the path in the
 * effect's tables, whose one-shot modes there are used up, and for the data
 * table those who watch an ancestor recursively. Effects come in the order of
 * their transactions.
 */
void watch_fire(struct watch_table *, uint64_t zxid,
		const struct effect *effect);

/* ---- jobs -------------------------------------------------------------- */

/* False: too many jobs, do not process further transactions now. */
bool watch_has_room(const struct watch_table *);
/* Looks at up to `budget` watchers of the oldest jobs; true if some remain. */
bool watch_job_step(struct watch_table *, uint32_t budget);
/* Tells what jobs owe the connection. To be called before anything is put
 * into its output. */
void watch_deliver_before_output(struct watch_table *, uint32_t conn);
/* The zxid of the oldest job: until it is done, the state the reader shows as
 * its oldest must stay below. UINT64_MAX: no job. */
uint64_t watch_jobs_pin(const struct watch_table *);

/* ---- lists -------------------------------------------------------------- */

void watch_counts(const struct watch_table *, struct watch_counts *out);

/* A watcher in a list that is made bit by bit. */
struct watch_row {
	uint32_t conn;
	uint32_t modes; /* enum watch_mode, or-ed */
	/* This one stands for its path; one watcher of a path does. */
	bool is_first;
	uint32_t path_data_count; /* its watchers in the data table */
	uint64_t path_hash;
	/* NULL (bytes -1) without keep_paths, or when there was no
	 * room for it; borrowed. */
	struct jute_slice path;
};

/*
 * Gives the next watcher of a list in no order, in constant time however many
 * watch one path. Watchers that are there from the first call to the last come
 * exactly once; others may be missed.
 *
 * cursor  0 before the first call, 0 again after the last one
 * budget  places that may still be looked at, counted down
 *
 * Returns false when the budget is used up, and at the end.
 */
bool watch_next(const struct watch_table *, uint32_t *cursor, uint32_t *budget,
		struct watch_row *out);

/* Checks every link and every count of the table; for tests. */
bool watch_is_consistent(const struct watch_table *);

#endif
