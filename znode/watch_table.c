/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch_table - links, counts and growth of the watch table.
 *
 * Everything that changes a list goes through watch_pair_make() and
 * watch_modes_set(): the first links an entry without modes, the second keeps
 * all counts and unlinks the entry when its last mode goes. So a watcher is in
 * exactly one path list and one connection list from beginning to end.
 */
#include "znode/watch_table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"

#define SLOTS_START 64u
/* Weight (watchers of both tables) at which a path's watchers enter the pair
 * index, and at which they leave it: far apart, for no flapping. */
#define CROWD_AT 32u
#define CALM_AT  8u

static void *
reserve(uint64_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static void
release(void *at, uint64_t bytes)
{
	if (at != NULL)
		(void)munmap(at, bytes);
}

/* Entry 0 is nobody. */
static uint64_t
entries_max(const struct watch_table *table)
{
	return (uint64_t)table->options.watches_max + 1;
}

static uint32_t
slots_max(const struct watch_table *table)
{
	const uint64_t max = bits_pow2_at_least(table->options.watches_max);

	return max < SLOTS_START ? SLOTS_START : (uint32_t)max;
}

int
watch_arrays_create(struct watch_table *table)
{
	const uint64_t entries = entries_max(table);
	const uint64_t slots = slots_max(table);
	const uint64_t conns = table->options.conns_max;

	table->path = reserve(entries * sizeof(struct watch_path));
	table->watcher = reserve(entries * sizeof(struct watcher));
	table->conn = reserve(conns * sizeof(struct watch_conn));
	table->slot = reserve(slots * sizeof(uint32_t));
	table->tags = reserve(slots * sizeof(uint16_t));
	table->pair = reserve(slots * sizeof(uint32_t));
	if (table->options.keep_paths)
		table->text = reserve(entries * sizeof(uint8_t *));
	table->slots =
		(struct watch_slots){.base = SLOTS_START, .count = SLOTS_START};
	table->pairs = table->slots;
	if (table->path == NULL || table->watcher == NULL ||
	    table->conn == NULL || table->slot == NULL || table->tags == NULL ||
	    table->pair == NULL ||
	    (table->options.keep_paths && table->text == NULL))
		return FAL_ENOMEM;
	return 0;
}

void
watch_arrays_destroy(struct watch_table *table)
{
	const uint64_t entries = entries_max(table);
	const uint64_t slots = slots_max(table);

	for (uint32_t i = 1; table->text != NULL && i <= table->path_used; i++)
		free(table->text[i]);
	release(table->text, entries * sizeof(uint8_t *));
	release(table->pair, slots * sizeof(uint32_t));
	release(table->tags, slots * sizeof(uint16_t));
	release(table->slot, slots * sizeof(uint32_t));
	release(table->conn,
		table->options.conns_max * sizeof(struct watch_conn));
	release(table->watcher, entries * sizeof(struct watcher));
	release(table->path, entries * sizeof(struct watch_path));
}

/* ---- path index ---------------------------------------------------------- */

static uint32_t
more_hash(const struct watch_table *table, struct tree_path path)
{
	return (uint32_t)hash_bytes(&table->key, path.text, path.bytes);
}

uint32_t
watch_ancestor_find(const struct watch_table *table, struct tree_path path,
		    struct hash_prefix *more)
{
	if (!watch_may_have(table, path.hash))
		return 0;

	uint32_t id = table->slot[watch_slot_of(&table->slots, path.hash)];

	for (; id != 0; id = table->path[id].chain) {
		const struct watch_path *entry = &table->path[id];

		if (entry->hash == path.hash &&
		    entry->more_hash == (uint32_t)hash_prefix(&table->key, more,
							      path.text,
							      path.bytes))
			return id;
	}
	return 0;
}

uint32_t
watch_path_find(const struct watch_table *table, struct tree_path path)
{
	struct hash_prefix more = {0};

	return watch_ancestor_find(table, path, &more);
}

static void
slot_put(struct watch_table *table, uint32_t id)
{
	const uint64_t hash = table->path[id].hash;
	const uint32_t slot = watch_slot_of(&table->slots, hash);

	table->path[id].chain = table->slot[slot];
	table->slot[slot] = id;
	table->tags[slot] |= (uint16_t)watch_tag_of(hash);
}

/* Splits the chain whose turn it is over two slots. */
static void
slots_grow(struct watch_table *table)
{
	struct watch_slots *slots = &table->slots;

	if (slots->entries <= slots->count + slots->count / 4 ||
	    slots->count == slots_max(table))
		return;

	const uint32_t from = slots->count - slots->base;
	uint32_t id = table->slot[from];

	table->slot[from] = 0;
	table->tags[from] = 0;
	slots->count++;
	while (id != 0) {
		const uint32_t after = table->path[id].chain;

		slot_put(table, id);
		id = after;
	}
	if (slots->count == 2 * slots->base)
		slots->base *= 2;
}

/* Takes the path out of its chain; the tags are those of who stays. */
static void
slot_remove(struct watch_table *table, uint32_t id)
{
	const uint32_t slot =
		watch_slot_of(&table->slots, table->path[id].hash);
	uint32_t *link = &table->slot[slot];
	uint32_t tags = 0;

	while (*link != 0) {
		struct watch_path *entry = &table->path[*link];

		if (*link == id) {
			*link = entry->chain;
			continue;
		}
		tags |= watch_tag_of(entry->hash);
		link = &entry->chain;
	}
	table->tags[slot] = (uint16_t)tags;
}

/* Paths that came before stay; who asks for a list is told the rest without. */
static bool
may_keep(const struct watch_table *table, struct tree_path path)
{
	return table->text != NULL &&
	       path.bytes <= WATCH_TEXT_BYTES_MAX - table->text_bytes;
}

/* keep_paths: length in front, as paths may hold any byte. */
static uint8_t *
text_of(struct watch_table *table, struct tree_path path)
{
	uint8_t *text = malloc(sizeof(uint32_t) + path.bytes);

	if (text == NULL)
		return NULL;
	table->text_bytes += path.bytes;
	memcpy(text, &path.bytes, sizeof(uint32_t));
	if (path.bytes > 0)
		memcpy(text + sizeof(uint32_t), path.text, path.bytes);
	return text;
}

/* The caller made sure that there is room: paths are never more than
 * watchers. 0: no memory to keep the text. */
static uint32_t
path_make(struct watch_table *table, struct tree_path path)
{
	uint8_t *text = NULL;
	uint32_t id = table->path_free;

	if (may_keep(table, path)) {
		text = text_of(table, path);
		if (text == NULL)
			return 0;
	}
	if (id != 0)
		table->path_free = table->path[id].chain;
	else
		id = ++table->path_used;
	FAL_ASSERT(id < entries_max(table));
	table->path[id] = (struct watch_path){
		.hash = path.hash,
		.more_hash = more_hash(table, path),
	};
	if (table->text != NULL)
		table->text[id] = text;
	table->slots.entries++;
	slots_grow(table);
	slot_put(table, id);
	table->counts.paths++;
	return id;
}

static void
path_free(struct watch_table *table, uint32_t id)
{
	FAL_ASSERT(table->path[id].data_count == 0);
	FAL_ASSERT(table->path[id].child_count == 0);
	slot_remove(table, id);
	if (table->text != NULL && table->text[id] != NULL) {
		uint32_t bytes;

		memcpy(&bytes, table->text[id], sizeof(bytes));
		table->text_bytes -= bytes;
		free(table->text[id]);
		table->text[id] = NULL;
	}
	table->path[id].chain = table->path_free;
	table->path_free = id;
	table->slots.entries--;
	table->counts.paths--;
}

/* ---- pair index ---------------------------------------------------------- */

static uint64_t
pair_hash(uint32_t path, uint32_t conn)
{
	const uint64_t pair = (uint64_t)path << 32 | conn;

	return (pair * 0x9e3779b97f4a7c15ull) >> 29;
}

static uint32_t *
pair_head(struct watch_table *table, const struct watcher *watcher)
{
	const uint64_t hash = pair_hash(watcher->path, watcher->conn);

	return &table->pair[watch_slot_of(&table->pairs, hash)];
}

static void
pairs_grow(struct watch_table *table)
{
	struct watch_slots *slots = &table->pairs;

	if (slots->entries <= slots->count || slots->count == slots_max(table))
		return;

	uint32_t *from = &table->pair[slots->count - slots->base];
	uint32_t id = *from;

	*from = 0;
	slots->count++;
	while (id != 0) {
		struct watcher *watcher = &table->watcher[id];
		const uint32_t after = watcher->pair_chain;
		uint32_t *head = pair_head(table, watcher);

		watcher->pair_chain = *head;
		*head = id;
		id = after;
	}
	if (slots->count == 2 * slots->base)
		slots->base *= 2;
}

static void
pair_put(struct watch_table *table, uint32_t id)
{
	struct watcher *watcher = &table->watcher[id];

	table->pairs.entries++;
	pairs_grow(table);

	uint32_t *head = pair_head(table, watcher);

	watcher->bits |= WATCHER_IN_PAIRS;
	watcher->pair_chain = *head;
	*head = id;
}

static void
pair_remove(struct watch_table *table, uint32_t id)
{
	struct watcher *watcher = &table->watcher[id];
	uint32_t *link = pair_head(table, watcher);

	while (*link != id) {
		FAL_ASSERT(*link != 0);
		link = &table->watcher[*link].pair_chain;
	}
	*link = watcher->pair_chain;
	watcher->bits &= ~WATCHER_IN_PAIRS;
	table->pairs.entries--;
}

/* All watchers of a path are in the pair index, or none. */
static bool
is_crowded(const struct watch_table *table, uint32_t path)
{
	const uint32_t head = table->path[path].head;

	return head != 0 && (table->watcher[head].bits & WATCHER_IN_PAIRS);
}

/* Looks whether the path has become crowded or calm. */
static void
crowd_update(struct watch_table *table, uint32_t path)
{
	const struct watch_path *entry = &table->path[path];
	const uint64_t weight =
		(uint64_t)entry->data_count + entry->child_count;
	const bool was = is_crowded(table, path);

	if (was ? weight > CALM_AT : weight <= CROWD_AT)
		return;
	for (uint32_t id = entry->head; id != 0;
	     id = table->watcher[id].path_next) {
		if (was)
			pair_remove(table, id);
		else
			pair_put(table, id);
	}
}

uint32_t
watch_pair_find(const struct watch_table *table, uint32_t path, uint32_t conn)
{
	const struct watcher *all = table->watcher;
	uint32_t id;

	if (!is_crowded(table, path)) {
		id = table->path[path].head;
		while (id != 0 && all[id].conn != conn)
			id = all[id].path_next;
		return id;
	}
	id = table->pair[watch_slot_of(&table->pairs, pair_hash(path, conn))];
	while (id != 0 && (all[id].path != path || all[id].conn != conn))
		id = all[id].pair_chain;
	return id;
}

/* ---- watchers ------------------------------------------------------------ */

static void
watcher_link(struct watch_table *table, uint32_t id)
{
	struct watcher *all = table->watcher;
	struct watch_path *path = &table->path[all[id].path];
	struct watch_conn *conn = &table->conn[all[id].conn];
	const bool in_pairs = is_crowded(table, all[id].path);

	all[id].path_next = path->head;
	if (path->head != 0)
		all[path->head].path_prev = id;
	path->head = id;
	all[id].conn_next = conn->head;
	if (conn->head != 0)
		all[conn->head].conn_prev = id;
	conn->head = id;
	if (in_pairs)
		pair_put(table, id);
}

static void
watcher_unlink(struct watch_table *table, uint32_t id)
{
	struct watcher *all = table->watcher;
	const struct watcher *own = &all[id];

	watch_jobs_forget_watcher(table, id);
	if (own->bits & WATCHER_IN_PAIRS)
		pair_remove(table, id);
	if (own->path_prev != 0)
		all[own->path_prev].path_next = own->path_next;
	else
		table->path[own->path].head = own->path_next;
	if (own->path_next != 0)
		all[own->path_next].path_prev = own->path_prev;
	if (own->conn_prev != 0)
		all[own->conn_prev].conn_next = own->conn_next;
	else
		table->conn[own->conn].head = own->conn_next;
	if (own->conn_next != 0)
		all[own->conn_next].conn_prev = own->conn_prev;
}

static void
watcher_free(struct watch_table *table, uint32_t id)
{
	const uint32_t path = table->watcher[id].path;

	watcher_unlink(table, id);
	table->watcher[id].path = 0;
	table->watcher[id].path_next = table->watcher_free;
	table->watcher_free = id;
	table->counts.watchers--;
	if (table->path[path].head == 0)
		path_free(table, path);
	else
		crowd_update(table, path);
}

int
watch_pair_make(struct watch_table *table, uint32_t conn, struct tree_path path,
		uint32_t *out)
{
	uint32_t path_id = watch_path_find(table, path);
	uint32_t id = path_id == 0 ? 0 : watch_pair_find(table, path_id, conn);

	*out = id;
	if (id != 0)
		return 0;
	if (table->counts.watchers >= table->options.watches_max)
		return FAL_ELIMIT;
	if (path_id == 0)
		path_id = path_make(table, path);
	if (path_id == 0)
		return FAL_ENOMEM;
	id = table->watcher_free;
	if (id != 0)
		table->watcher_free = table->watcher[id].path_next;
	else
		id = ++table->watcher_used;
	FAL_ASSERT(id < entries_max(table));

	const uint32_t length =
		path.bytes < WATCH_LENGTH_MAX ? path.bytes : WATCH_LENGTH_MAX;

	table->watcher[id] =
		(struct watcher){.path = path_id,
				 .conn = conn,
				 .bits = length << WATCHER_LENGTH_SHIFT};
	watcher_link(table, id);
	table->counts.watchers++;
	*out = id;
	return 0;
}

/* One table's counts when a watcher enters or leaves it. */
struct table_counts {
	uint32_t *of_path, *of_conn;
	uint64_t *paths, *conns, *watches;
};

static void
counts_move(const struct table_counts *counts, bool had, bool has)
{
	if (has && !had) {
		*counts->paths += (*counts->of_path)++ == 0;
		*counts->conns += (*counts->of_conn)++ == 0;
		(*counts->watches)++;
	} else if (had && !has) {
		FAL_ASSERT(*counts->of_path > 0);
		FAL_ASSERT(*counts->of_conn > 0);
		*counts->paths -= --(*counts->of_path) == 0;
		*counts->conns -= --(*counts->of_conn) == 0;
		(*counts->watches)--;
	}
}

void
watch_modes_set(struct watch_table *table, uint32_t id, uint32_t modes)
{
	struct watcher *watcher = &table->watcher[id];
	const uint32_t old = watcher->bits & WATCH_MODES;
	struct watch_path *path = &table->path[watcher->path];
	struct watch_conn *conn = &table->conn[watcher->conn];
	struct watch_counts *all = &table->counts;
	const struct table_counts data = {&path->data_count, &conn->data_count,
					  &all->data_paths, &all->data_conns,
					  &all->data_watches};
	const struct table_counts child = {
		&path->child_count, &conn->child_count, &all->child_paths,
		&all->child_conns, &all->child_watches};

	counts_move(&data, old & WATCH_DATA_MODES, modes & WATCH_DATA_MODES);
	counts_move(&child, old & WATCH_CHILD_MODES, modes & WATCH_CHILD_MODES);
	if ((old ^ modes) & WATCH_RECURSIVE) {
		uint32_t *same_length =
			&table->recursive_by_length[watcher->bits >>
						    WATCHER_LENGTH_SHIFT];
		const bool has = modes & WATCH_RECURSIVE;

		FAL_ASSERT(has || path->recursive_count > 0);
		path->recursive_count += has ? 1u : UINT32_MAX;
		*same_length += has ? 1u : UINT32_MAX;
		all->recursive += has ? 1u : UINT64_MAX;
	}
	watcher->bits = (watcher->bits & ~WATCH_MODES) | modes;
	if (modes == 0)
		watcher_free(table, id);
	else
		crowd_update(table, watcher->path);
}
