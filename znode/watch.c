/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch - registering, asking, removing and firing.
 *
 * An effect is matched against the path itself and, when it is one of the data
 * table, against the proper ancestors. Those are probed only at lengths at
 * which a recursive watch exists (a counter per length up to 254 bytes, one
 * for all longer ones), so that a single cache of a client on /services costs
 * each effect one hash, not one per component; and all hashes together read the
 * path once, which may have many thousands of components.
 *
 * Both tables of an effect are served in one walk over the path's watchers:
 * the order among connections is free and each is told once, so "data table
 * first, then child table without those told" is the same set of events.
 */
#include "znode/watch.h"

#include <stdlib.h>
#include <string.h>

#include "znode/watch_table.h"

#define WATCHES_LIMIT     (1u << 28)
#define JOB_EFFECT_PREPAY 512u

/* The path entries an effect concerns, found one after the other. */
struct targets {
	const struct effect *effect;
	bool has_exact;
	uint32_t at; /* next byte of the path to look at for a slash */
	struct hash_prefix hashed, more_hashed; /* of the ancestors so far */
};

static struct tree_path
effect_path(const struct effect *effect)
{
	return (struct tree_path){.text = effect->path,
				  .bytes = effect->path_bytes,
				  .hash = effect->path_hash};
}

/* The root is "/" here, as effects name it; tree_path_of() makes it "". */
static struct tree_path
as_shown(struct tree_path path)
{
	if (path.bytes == 0) {
		path.text = (const uint8_t *)"/";
		path.bytes = 1;
	}
	return path;
}

static bool
has_recursive(const struct watch_table *table, uint32_t bytes)
{
	return table->recursive_by_length[bytes < WATCH_LENGTH_MAX
						  ? bytes
						  : WATCH_LENGTH_MAX] > 0;
}

/* The entry at the effect's own path if somebody there may match, or 0. */
static uint32_t
target_exact(const struct watch_table *table, const struct effect *effect)
{
	const uint32_t id = watch_path_find(table, effect_path(effect));

	if (id == 0)
		return 0;
	if ((effect->tables & EFFECT_TABLE_DATA) &&
	    table->path[id].data_count > 0)
		return id;
	if ((effect->tables & EFFECT_TABLE_CHILD) &&
	    table->path[id].child_count > 0)
		return id;
	return 0;
}

/* The next ancestor, from the root down, that somebody watches recursively;
 * 0: no more. */
static uint32_t
target_next_ancestor(const struct watch_table *table, struct targets *targets)
{
	const struct effect *effect = targets->effect;
	const struct watch_options *options = &table->options;

	/* The last byte is never the slash behind an ancestor. */
	while (targets->at + 1 < effect->path_bytes) {
		const uint32_t slash = targets->at++;
		const uint32_t bytes = slash == 0 ? 1 : slash;

		if (effect->path[slash] != '/' || !has_recursive(table, bytes))
			continue;
		const struct tree_path path = {
			.text = effect->path,
			.bytes = bytes,
			.hash = options->hash(options->hash_arg,
					      &targets->hashed, effect->path,
					      bytes)};
		const uint32_t id =
			watch_ancestor_find(table, path, &targets->more_hashed);

		if (id != 0 && table->path[id].recursive_count > 0)
			return id;
	}
	return 0;
}

/* Fills `found` with up to WATCH_TARGETS_MAX further ancestors. */
static uint32_t
targets_collect(const struct watch_table *table, struct targets *targets,
		uint32_t *found, uint32_t count)
{
	if (!(targets->effect->tables & EFFECT_TABLE_DATA) ||
	    table->counts.recursive == 0)
		return count;
	while (count < WATCH_TARGETS_MAX) {
		const uint32_t id = target_next_ancestor(table, targets);

		if (id == 0)
			break;
		found[count++] = id;
	}
	return count;
}

static void
tell(struct watch_table *table, uint32_t conn, uint64_t zxid,
     const struct effect *effect)
{
	if (table->conn[conn].mark == table->seq)
		return; /* told of this effect already */
	table->conn[conn].mark = table->seq;
	table->options.deliver(table->options.deliver_arg, conn, zxid, effect);
}

/* Modes of a watcher that match, at the path itself or at an ancestor. */
static uint32_t
modes_wanted(const struct effect *effect, bool is_exact)
{
	uint32_t modes = 0;

	if (!is_exact)
		return WATCH_RECURSIVE;
	if (effect->tables & EFFECT_TABLE_DATA)
		modes |= WATCH_DATA_MODES;
	if (effect->tables & EFFECT_TABLE_CHILD)
		modes |= WATCH_CHILD_MODES;
	return modes;
}

static void
fire_target(struct watch_table *table, uint32_t path, bool is_exact,
	    uint64_t zxid, const struct effect *effect)
{
	const uint32_t wanted = modes_wanted(effect, is_exact);
	uint32_t after;

	for (uint32_t id = table->path[path].head; id != 0; id = after) {
		const struct watcher *watcher = &table->watcher[id];
		const uint32_t conn = watcher->conn;

		after = watcher->path_next;
		if (!(watcher->bits & wanted))
			continue;
		if (FAL_UNLIKELY(watch_owes(table, conn))) {
			watch_settle(table, conn);
			/* An older event may have used this watch up. */
			if (watcher->path != path || !(watcher->bits & wanted))
				continue;
		}
		if (is_exact)
			(void)watch_consume(table, id, effect->tables);
		tell(table, conn, zxid, effect);
	}
}

/* Somebody may watch: finds out who. */
static __attribute__((noinline)) void
fire_matching(struct watch_table *table, uint64_t zxid,
	      const struct effect *effect)
{
	struct targets targets = {.effect = effect};
	uint32_t target[WATCH_TARGETS_MAX];
	const uint32_t exact = target_exact(table, effect);
	uint32_t count = 0;
	uint64_t candidates = 0;

	if (exact != 0)
		target[count++] = exact;
	count = targets_collect(table, &targets, target, count);
	if (count == 0)
		return;
	/* The work is the lists' length, whoever of them matches. */
	for (uint32_t i = 0; i < count; i++)
		candidates += (uint64_t)table->path[target[i]].data_count +
			      table->path[target[i]].child_count;
	if (candidates > WATCH_DIRECT_MAX && count < WATCH_TARGETS_MAX &&
	    watch_job_start(table, zxid, effect, target, count, exact != 0))
		return;

	table->seq++;
	while (count > 0) {
		for (uint32_t i = 0; i < count; i++)
			fire_target(table, target[i], target[i] == exact, zxid,
				    effect);
		count = count < WATCH_TARGETS_MAX
				? 0
				: targets_collect(table, &targets, target, 0);
	}
}

void
watch_fire(struct watch_table *table, uint64_t zxid,
	   const struct effect *effect)
{
	if (FAL_LIKELY(!watch_may_have(table, effect->path_hash)) &&
	    (table->counts.recursive == 0 ||
	     !(effect->tables & EFFECT_TABLE_DATA)))
		return;
	fire_matching(table, zxid, effect);
}

int
watch_table_create(const struct watch_options *options,
		   struct watch_table **out)
{
	FAL_ASSERT(options->hash != NULL);
	FAL_ASSERT(options->deliver != NULL);
	FAL_ASSERT(options->conns_max > 0);
	FAL_ASSERT(options->watches_max > 0);
	FAL_ASSERT(options->watches_max <= WATCHES_LIMIT);
	struct watch_table *table = calloc(1, sizeof(*table));

	*out = NULL;
	if (table == NULL)
		return FAL_ENOMEM;
	table->options = *options;
	if (options->key != NULL)
		table->key = *options->key;
	else
		hash_key_random(&table->key);
	table->options.key = NULL; /* borrowed for this call only */
	int rc = watch_arrays_create(table);

	for (uint32_t i = 0; rc == 0 && i < WATCH_JOBS_MAX; i++) {
		table->job[i].effect = malloc(JOB_EFFECT_PREPAY);
		table->job[i].effect_cap = JOB_EFFECT_PREPAY;
		if (table->job[i].effect == NULL)
			rc = FAL_ENOMEM;
	}
	if (rc != 0) {
		watch_table_destroy(table);
		return rc;
	}
	*out = table;
	return 0;
}

void
watch_table_destroy(struct watch_table *table)
{
	if (table == NULL)
		return;
	for (uint32_t i = 0; i < WATCH_JOBS_MAX; i++)
		free(table->job[i].effect);
	watch_arrays_destroy(table);
	free(table);
}

int
watch_add(struct watch_table *table, uint32_t conn, struct tree_path path,
	  enum watch_mode mode)
{
	uint32_t id;

	FAL_ASSERT(conn < table->options.conns_max);
	FAL_ASSERT(((uint32_t)mode & ~WATCH_MODES) == 0 && mode != 0);
	/* The new watch must not hear of what happened before it. */
	watch_deliver_before_output(table, conn);

	const int rc = watch_pair_make(table, conn, as_shown(path), &id);

	if (rc != 0)
		return rc;
	const uint32_t old = table->watcher[id].bits & WATCH_MODES;

	if ((old & (uint32_t)mode) == 0)
		watch_modes_set(table, id, old | (uint32_t)mode);
	return 0;
}

/* Modes that a watcher type means; 0: no such type. */
static uint32_t
modes_of_type(int32_t type)
{
	switch (type) {
	case WATCH_TYPE_CHILD:
		return WATCH_CHILD;
	case WATCH_TYPE_DATA:
		return WATCH_DATA;
	case WATCH_TYPE_ANY:
		return WATCH_MODES;
	case WATCH_TYPE_PERSISTENT:
		return WATCH_PERSISTENT;
	case WATCH_TYPE_RECURSIVE:
		return WATCH_RECURSIVE;
	default:
		return 0;
	}
}

/* The connection's watcher at exactly that path, or 0. */
static uint32_t
watcher_find(struct watch_table *table, uint32_t conn, struct tree_path path)
{
	/* What it was owed may use up what is asked for. */
	watch_deliver_before_output(table, conn);

	const uint32_t id = watch_path_find(table, as_shown(path));

	return id == 0 ? 0 : watch_pair_find(table, id, conn);
}

int32_t
watch_check(struct watch_table *table, uint32_t conn, struct tree_path path,
	    int32_t type)
{
	const uint32_t modes = modes_of_type(type);

	if (modes == 0)
		return ZK_MARSHALLINGERROR;
	const uint32_t id = watcher_find(table, conn, path);

	if (id == 0 || (table->watcher[id].bits & modes) == 0)
		return ZK_NOWATCHER;
	return ZK_OK;
}

int32_t
watch_remove(struct watch_table *table, uint32_t conn, struct tree_path path,
	     int32_t type)
{
	const int32_t answer = watch_check(table, conn, path, type);

	if (answer != ZK_OK)
		return answer;
	const uint32_t id = watcher_find(table, conn, path);
	const uint32_t old = table->watcher[id].bits & WATCH_MODES;

	watch_modes_set(table, id, old & ~modes_of_type(type));
	return ZK_OK;
}

bool
watch_drop_step(struct watch_table *table, uint32_t conn, uint32_t budget)
{
	FAL_ASSERT(conn < table->options.conns_max);
	for (; budget > 0 && table->conn[conn].head != 0; budget--)
		watch_modes_set(table, table->conn[conn].head, 0);
	return table->conn[conn].head == 0;
}

void
watch_drop_connection(struct watch_table *table, uint32_t conn)
{
	while (!watch_drop_step(table, conn, UINT32_MAX))
		;
}
