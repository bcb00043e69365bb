/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch_list - counts and lists for wchs, wchc, wchp, and the check of the
 * whole structure that tests call after every step.
 */
#include <string.h>

#include "znode/watch.h"
#include "znode/watch_table.h"

void
watch_counts(const struct watch_table *table, struct watch_counts *out)
{
	*out = table->counts;
	out->jobs = table->job_count;
	out->used_bytes =
		(uint64_t)table->path_used * sizeof(struct watch_path) +
		(uint64_t)table->watcher_used * sizeof(struct watcher) +
		(uint64_t)table->slots.count *
			(sizeof(uint32_t) + sizeof(uint16_t)) +
		(uint64_t)table->pairs.count * sizeof(uint32_t) +
		table->text_bytes;
}

static struct jute_slice
path_text(const struct watch_table *table, uint32_t path)
{
	uint32_t bytes;

	if (table->text == NULL || table->text[path] == NULL)
		return (struct jute_slice){.data = NULL, .bytes = -1};
	memcpy(&bytes, table->text[path], sizeof(bytes));
	return jute_slice_of(table->text[path] + sizeof(bytes), bytes);
}

bool
watch_next(const struct watch_table *table, uint32_t *cursor, uint32_t *budget,
	   struct watch_row *out)
{
	while (*budget > 0 && *cursor < table->watcher_used) {
		const uint32_t id = ++*cursor;
		const struct watcher *watcher = &table->watcher[id];

		const struct watch_path *path = &table->path[watcher->path];

		--*budget;
		if (watcher->path == 0)
			continue;
		*out = (struct watch_row){
			.conn = watcher->conn,
			.modes = watcher->bits & WATCH_MODES,
			.is_first = path->head == id,
			.path_data_count = path->data_count,
			.path_hash = path->hash,
			.path = path_text(table, watcher->path),
		};
		return true;
	}
	if (*cursor >= table->watcher_used)
		*cursor = 0;
	return false;
}

/* The watchers of one path against its counts and the pair index. */
static bool
path_is_consistent(const struct watch_table *table, uint32_t path,
		   struct watch_counts *sum, uint32_t *pairs)
{
	const struct watch_path *entry = &table->path[path];
	uint32_t before = 0, data = 0, child = 0, recursive = 0;
	uint32_t in_pairs = 0, all = 0;

	for (uint32_t id = entry->head; id != 0;
	     id = table->watcher[id].path_next) {
		const struct watcher *watcher = &table->watcher[id];
		const uint32_t modes = watcher->bits & WATCH_MODES;

		if (watcher->path != path || watcher->path_prev != before ||
		    modes == 0 ||
		    watch_pair_find(table, path, watcher->conn) != id)
			return false;
		data += (modes & WATCH_DATA_MODES) != 0;
		child += (modes & WATCH_CHILD_MODES) != 0;
		recursive += (modes & WATCH_RECURSIVE) != 0;
		in_pairs += (watcher->bits & WATCHER_IN_PAIRS) != 0;
		all++;
		before = id;
	}
	*pairs += in_pairs;
	sum->recursive += recursive;
	sum->watchers += all;
	sum->data_watches += data;
	sum->child_watches += child;
	sum->data_paths += data > 0;
	sum->child_paths += child > 0;
	return data == entry->data_count && child == entry->child_count &&
	       recursive == entry->recursive_count && all > 0 &&
	       (in_pairs == 0 || in_pairs == all);
}

static bool
conns_are_consistent(const struct watch_table *table, struct watch_counts *sum)
{
	uint64_t all = 0;

	for (uint32_t conn = 0; conn < table->options.conns_max; conn++) {
		uint32_t before = 0, data = 0, child = 0;

		for (uint32_t id = table->conn[conn].head; id != 0;
		     id = table->watcher[id].conn_next) {
			const struct watcher *watcher = &table->watcher[id];

			if (watcher->conn != conn ||
			    watcher->conn_prev != before)
				return false;
			data += (watcher->bits & WATCH_DATA_MODES) != 0;
			child += (watcher->bits & WATCH_CHILD_MODES) != 0;
			before = id;
			all++;
		}
		if (data != table->conn[conn].data_count ||
		    child != table->conn[conn].child_count)
			return false;
		sum->data_conns += data > 0;
		sum->child_conns += child > 0;
	}
	return all == table->counts.watchers;
}

static bool
counts_are_equal(const struct watch_counts *a, const struct watch_counts *b)
{
	return a->data_conns == b->data_conns &&
	       a->data_paths == b->data_paths &&
	       a->data_watches == b->data_watches &&
	       a->child_conns == b->child_conns &&
	       a->child_paths == b->child_paths &&
	       a->child_watches == b->child_watches &&
	       a->recursive == b->recursive && a->paths == b->paths &&
	       a->watchers == b->watchers;
}

bool
watch_is_consistent(const struct watch_table *table)
{
	struct watch_counts sum = {.jobs = 0};
	uint32_t pairs = 0;

	for (uint32_t i = 0; i < table->slots.count; i++) {
		uint32_t tags = 0;

		for (uint32_t id = table->slot[i]; id != 0;
		     id = table->path[id].chain) {
			const uint64_t hash = table->path[id].hash;

			if (watch_slot_of(&table->slots, hash) != i ||
			    !path_is_consistent(table, id, &sum, &pairs))
				return false;
			tags |= watch_tag_of(hash);
			sum.paths++;
		}
		if (tags != table->tags[i])
			return false;
	}
	return conns_are_consistent(table, &sum) &&
	       counts_are_equal(&sum, &table->counts) &&
	       table->slots.entries == sum.paths &&
	       table->pairs.entries == pairs;
}
