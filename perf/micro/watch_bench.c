/* SPDX-License-Identifier: Apache-2.0 */
/* watch_bench - a one-shot watch set and fired, and events that nobody waits
 * for, in a table that holds many other watches. */
#include "perf/micro/bench.h"

#include <stdlib.h>
#include <string.h>

#include "perf/micro/must.h"
#include "perf/micro/nodes.h"
#include "znode/watch.h"

#define CONNS   1024u
#define WATCHED 100000u /* paths 0.. that somebody watches all the time */
#define FREE    100000u /* paths behind them that nobody watches */

struct watches {
	struct watch_table *table;
	struct tree *tree; /* for its hash */
	uint64_t heard;
	uint32_t next;
	union {
		struct effect head;
		uint8_t bytes[128];
	} effect;
};

static void
hear(void *arg, uint32_t conn, uint64_t zxid, const struct effect *effect)
{
	struct watches *watches = arg;

	(void)conn;
	(void)zxid;
	(void)effect;
	watches->heard++;
}

static uint64_t
hash_path(const void *arg, struct hash_prefix *prefix, const void *text,
	  uint32_t bytes)
{
	return tree_prefix_of(arg, prefix, text, bytes).hash;
}

static struct tree_path
path_in(const struct watches *watches, const struct nodes_path *path)
{
	return tree_path_of(watches->tree, path->text, path->bytes);
}

static void *
watches_setup(void)
{
	struct watches *watches = calloc(1, sizeof(*watches));
	const struct tree_options tree_options = {.region_bytes = 1ull << 26};

	BENCH_MUST(watches != NULL);
	BENCH_MUST(tree_create(&tree_options, &watches->tree) == 0);

	const struct watch_options options = {.conns_max = CONNS,
					      .watches_max = 1u << 20,
					      .hash = hash_path,
					      .hash_arg = watches->tree,
					      .deliver = hear,
					      .deliver_arg = watches};

	BENCH_MUST(watch_table_create(&options, &watches->table) == 0);
	for (uint32_t i = 0; i < WATCHED; i++) {
		const struct nodes_path path = nodes_path_of(i);

		BENCH_MUST(watch_add(watches->table, i % CONNS,
				     path_in(watches, &path), WATCH_DATA) == 0);
	}
	return watches;
}

static void
watches_teardown(void *state)
{
	struct watches *watches = state;

	watch_table_destroy(watches->table);
	tree_destroy(watches->tree);
	free(watches);
}

static void
fire(struct watches *watches, const struct nodes_path *path, uint64_t hash)
{
	struct effect *effect = &watches->effect.head;

	*effect = (struct effect){.path_hash = hash,
				  .path_bytes = path->bytes,
				  .type = EVENT_NODE_DATA_CHANGED,
				  .tables = EFFECT_TABLE_DATA};
	memcpy(effect->path, path->text, path->bytes);
	watch_fire(watches->table, 1, effect);
}

static struct nodes_path
unwatched_path(struct watches *watches)
{
	return nodes_path_of(WATCHED + watches->next++ % FREE);
}

static uint64_t
set_and_fire(void *state, uint64_t count)
{
	struct watches *watches = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++) {
		const struct nodes_path path = unwatched_path(watches);
		const struct tree_path named = path_in(watches, &path);

		watches->heard = 0;
		BENCH_MUST(watch_add(watches->table, (uint32_t)i % CONNS, named,
				     WATCH_DATA) == 0);
		fire(watches, &path, named.hash);
		right += watches->heard == 1;
	}
	return right;
}

static uint64_t
fire_unheard(void *state, uint64_t count)
{
	struct watches *watches = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++) {
		const struct nodes_path path = unwatched_path(watches);

		watches->heard = 0;
		fire(watches, &path, path_in(watches, &path).hash);
		right += watches->heard == 0;
	}
	return right;
}

/* ---- a path of many components, beside a recursive watch of a long one --- */

enum { LEVELS = 1000, LEVEL_BYTES = 2 };

struct deep {
	struct watches *watches;
	struct effect *effect;
};

static void *
deep_setup(void)
{
	struct deep *deep = calloc(1, sizeof(*deep));
	char text[LEVELS * LEVEL_BYTES + 1] = "";

	BENCH_MUST(deep != NULL);
	deep->watches = watches_setup();
	for (int i = 0; i < LEVELS; i++)
		strcat(text, i < LEVELS / 2 ? "/b" : "/a");
	/* Not an ancestor of what is fired. */
	BENCH_MUST(watch_add(deep->watches->table, 1,
			     tree_path_of(deep->watches->tree, text, LEVELS),
			     WATCH_RECURSIVE) == 0);
	for (int i = 0; i < LEVELS; i++)
		memcpy(text + i * LEVEL_BYTES, "/a", LEVEL_BYTES);
	deep->effect = calloc(1, sizeof(*deep->effect) + sizeof(text));
	BENCH_MUST(deep->effect != NULL);
	*deep->effect = (struct effect){
		.path_hash = tree_path_of(deep->watches->tree, text,
					  sizeof(text) - 1)
				     .hash,
		.path_bytes = sizeof(text) - 1,
		.type = EVENT_NODE_DATA_CHANGED,
		.tables = EFFECT_TABLE_DATA};
	memcpy(deep->effect->path, text, sizeof(text) - 1);
	return deep;
}

static void
deep_teardown(void *state)
{
	struct deep *deep = state;

	watches_teardown(deep->watches);
	free(deep->effect);
	free(deep);
}

static uint64_t
fire_deep(void *state, uint64_t count)
{
	struct deep *deep = state;

	deep->watches->heard = 0;
	for (uint64_t i = 0; i < count; i++)
		watch_fire(deep->watches->table, 1, deep->effect);
	return deep->watches->heard == 0 ? count : 0;
}

const struct bench_case bench_watch_cases[] = {
	{"watch/add_and_fire", watches_setup, set_and_fire, watches_teardown,
	 0},
	{"watch/fire_unheard", watches_setup, fire_unheard, watches_teardown,
	 0},
	{"watch/fire_deep", deep_setup, fire_deep, deep_teardown, 0},
	{0},
};
