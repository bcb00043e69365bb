/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    Each connection is told exactly what client-protocol.md section 5
 *         says, once, in the order of the transactions, also when an event has
 *         so many watchers that it is told in portions.
 * Method  section 5.2 as a table of modes and events first; then types of
 *         removal, limits, lists; then fan-outs that are interrupted by every
 *         operation; last random operations beside a model that keeps a mode
 *         set per (connection, path) and a queue of expected events per
 *         connection. The model also runs with a path hash of two bits, so
 *         that chains and equal hashes are the rule. The seed is printed;
 *         FAL_SEED sets it, FAL_WATCH_STEPS the length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "znode/watch.h"

enum { CONNS = 600, QUEUE = 512, PATH_MAX_BYTES = 2000 };

static const struct hash_key test_key = {
	.word = {0x9e3779b97f4a7c15, 0xd6e8feb86659fd93, 0xa0761d6478bd642f,
		 0xe7037ed1a0b428db}};

/* What a connection must be told next. */
struct expected {
	uint64_t zxid;
	uint8_t type;
	uint32_t path_bytes;
	uint32_t path_sum; /* of its bytes, enough to tell test paths apart */
};

static struct queue {
	struct expected event[QUEUE];
	uint32_t head, tail;
} queues[CONNS];

static uint64_t told_count;
static bool expects; /* compare with the queues, not only count */

static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint64_t
hash_well(const void *arg, const void *text, uint32_t bytes)
{
	const bool is_root = bytes == 1 && *(const char *)text == '/';

	(void)arg;
	return hash_bytes(&test_key, text, is_root ? 0 : bytes);
}

static uint64_t
hash_badly(const void *arg, const void *text, uint32_t bytes)
{
	return hash_well(arg, text, bytes) & 3;
}

static uint32_t
sum_of(const uint8_t *text, uint32_t bytes)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < bytes; i++)
		sum = sum * 31 + text[i];
	return sum;
}

static void
deliver(void *arg, uint32_t conn, uint64_t zxid, const struct effect *effect)
{
	struct queue *queue = &queues[conn % CONNS];

	(void)arg;
	told_count++;
	if (!expects)
		return;
	assert_true(queue->head != queue->tail); /* nothing was expected */
	const struct expected *next = &queue->event[queue->head++ % QUEUE];

	assert_int_equal(next->zxid, zxid);
	assert_int_equal(next->type, effect->type);
	assert_int_equal(next->path_bytes, effect->path_bytes);
	assert_int_equal(next->path_sum,
			 sum_of(effect->path, effect->path_bytes));
}

static struct watch_table *
make_table_with(watch_hash_fn hash, uint32_t conns_max, uint32_t watches_max,
		bool keep_paths)
{
	const struct watch_options options = {.conns_max = conns_max,
					      .watches_max = watches_max,
					      .keep_paths = keep_paths,
					      .key = &test_key,
					      .hash = hash,
					      .deliver = deliver};
	struct watch_table *table;

	memset(queues, 0, sizeof(queues));
	told_count = 0;
	expects = false;
	assert_int_equal(watch_table_create(&options, &table), 0);
	return table;
}

static struct watch_table *
make_table(void)
{
	return make_table_with(hash_well, CONNS, 100000, false);
}

static struct tree_path
path_with(watch_hash_fn hash, const char *text)
{
	const uint32_t bytes = (uint32_t)strlen(text);

	return (struct tree_path){.text = (const uint8_t *)text,
				  .bytes = bytes,
				  .hash = hash(NULL, text, bytes)};
}

static struct tree_path
path_of(const char *text)
{
	return path_with(hash_well, text);
}

static const struct effect *
effect_with(watch_hash_fn hash, uint8_t type, const char *text)
{
	static uint64_t memory[(sizeof(struct effect) + PATH_MAX_BYTES) / 8];
	struct effect *effect = (struct effect *)(void *)memory;
	const uint32_t bytes = (uint32_t)strlen(text);

	assert_true(bytes <= PATH_MAX_BYTES);
	memset(memory, 0, sizeof(memory));
	effect->path_hash = hash(NULL, text, bytes);
	effect->path_bytes = bytes;
	effect->type = type;
	effect->tables = EFFECT_TABLE_DATA;
	if (type == EVENT_NODE_CHILDREN_CHANGED)
		effect->tables = EFFECT_TABLE_CHILD;
	else if (type == EVENT_NODE_DELETED)
		effect->tables = EFFECT_TABLE_DATA | EFFECT_TABLE_CHILD;
	memcpy(effect->path, text, bytes);
	return effect;
}

static void
add(struct watch_table *table, uint32_t conn, const char *text, uint32_t mode)
{
	assert_int_equal(
		watch_add(table, conn, path_of(text), (enum watch_mode)mode),
		0);
}

static void
add_all(struct watch_table *table, uint32_t conn, const char *text,
	uint32_t modes)
{
	for (uint32_t mode = 1; mode <= 8; mode *= 2)
		if (modes & mode)
			add(table, conn, text, mode);
}

/* Fires and returns how many were told at once. */
static uint64_t
fire(struct watch_table *table, uint8_t type, const char *text)
{
	const uint64_t before = told_count;

	watch_fire(table, 1, effect_with(hash_well, type, text));
	return told_count - before;
}

/* The modes of a connection at a path, by asking for each type. */
static uint32_t
modes_at(struct watch_table *table, uint32_t conn, const char *text)
{
	static const uint32_t mode_of_type[] = {
		0, WATCH_CHILD,      WATCH_DATA,
		0, WATCH_PERSISTENT, WATCH_RECURSIVE};
	uint32_t modes = 0;

	for (int32_t type = 1; type <= 5; type++)
		if (mode_of_type[type] != 0 &&
		    watch_check(table, conn, path_of(text), type) == ZK_OK)
			modes |= mode_of_type[type];
	assert_int_equal(watch_check(table, conn, path_of(text), 3),
			 modes != 0 ? ZK_OK : ZK_NOWATCHER);
	return modes;
}

/* ---- section 5.2 --------------------------------------------------------- */

struct row {
	uint8_t type;
	const char *path; /* the watch is at /p */
	uint32_t told;    /* modes that make it told */
	uint32_t used;    /* one-shot modes that are used up */
};

static const struct row rows[] = {
	{EVENT_NODE_CREATED, "/p",
	 WATCH_DATA | WATCH_PERSISTENT | WATCH_RECURSIVE, WATCH_DATA},
	{EVENT_NODE_DATA_CHANGED, "/p",
	 WATCH_DATA | WATCH_PERSISTENT | WATCH_RECURSIVE, WATCH_DATA},
	{EVENT_NODE_DELETED, "/p",
	 WATCH_DATA | WATCH_CHILD | WATCH_PERSISTENT | WATCH_RECURSIVE,
	 WATCH_DATA | WATCH_CHILD},
	{EVENT_NODE_CHILDREN_CHANGED, "/p", WATCH_CHILD | WATCH_PERSISTENT,
	 WATCH_CHILD},
	{EVENT_NODE_CREATED, "/p/x", WATCH_RECURSIVE, 0},
	{EVENT_NODE_DELETED, "/p/x/y/z", WATCH_RECURSIVE, 0},
	{EVENT_NODE_DATA_CHANGED, "/p/x/y", WATCH_RECURSIVE, 0},
	{EVENT_NODE_CHILDREN_CHANGED, "/p/x", 0, 0},
	{EVENT_NODE_DATA_CHANGED, "/", 0, 0},
	{EVENT_NODE_CHILDREN_CHANGED, "/", 0, 0},
	{EVENT_NODE_DELETED, "/px", 0, 0},
	{EVENT_NODE_DELETED, "/pxy/z", 0, 0},
	{EVENT_NODE_DELETED, "/q/p", 0, 0},
};

static void
every_set_of_modes_hears_what_the_table_says(void **state)
{
	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		for (uint32_t modes = 1; modes <= 15; modes++) {
			struct watch_table *table = make_table();
			const struct row *row = &rows[r];
			const bool is_told = (modes & row->told) != 0;

			add_all(table, 7, "/p", modes);
			add_all(table, 8, "/other", modes);
			assert_int_equal(fire(table, row->type, row->path),
					 is_told);
			assert_int_equal(modes_at(table, 7, "/p"),
					 modes & ~row->used);
			/* Once more: only what stays is told. */
			assert_int_equal(fire(table, row->type, row->path),
					 (modes & ~row->used & row->told) != 0);
			assert_int_equal(modes_at(table, 8, "/other"), modes);
			assert_true(watch_is_consistent(table));
			watch_table_destroy(table);
		}
	}
}

static void
deleting_a_watched_child_tells_two_events(void **state)
{
	struct watch_table *table = make_table();

	(void)state;
	add(table, 1, "/q/p", WATCH_DATA);
	add(table, 1, "/q/p", WATCH_CHILD);
	add(table, 1, "/q", WATCH_CHILD);
	assert_int_equal(fire(table, EVENT_NODE_DELETED, "/q/p"), 1);
	assert_int_equal(fire(table, EVENT_NODE_CHILDREN_CHANGED, "/q"), 1);
	assert_int_equal(fire(table, EVENT_NODE_DELETED, "/q/p"), 0);
	assert_int_equal(fire(table, EVENT_NODE_CHILDREN_CHANGED, "/q"), 0);
	watch_table_destroy(table);
}

static void
a_recursive_watch_on_the_root_sees_all_data_events(void **state)
{
	struct watch_table *table = make_table();

	(void)state;
	add(table, 1, "/", WATCH_RECURSIVE);
	assert_int_equal(fire(table, EVENT_NODE_CREATED, "/a"), 1);
	assert_int_equal(fire(table, EVENT_NODE_CREATED, "/a/b/c/d"), 1);
	assert_int_equal(
		fire(table, EVENT_NODE_DATA_CHANGED, "/zookeeper/config"), 1);
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, "/"), 1);
	assert_int_equal(fire(table, EVENT_NODE_CHILDREN_CHANGED, "/"), 0);
	assert_int_equal(fire(table, EVENT_NODE_CHILDREN_CHANGED, "/a"), 0);
	watch_table_destroy(table);
}

static void
several_matching_watches_of_a_connection_are_one_event(void **state)
{
	struct watch_table *table = make_table();

	(void)state;
	add(table, 1, "/", WATCH_RECURSIVE);
	add(table, 1, "/a", WATCH_RECURSIVE);
	add(table, 1, "/a/b", WATCH_RECURSIVE);
	add(table, 1, "/a/b", WATCH_PERSISTENT);
	add(table, 1, "/a/b", WATCH_DATA);
	add(table, 1, "/a/b", WATCH_CHILD);
	add(table, 2, "/a", WATCH_RECURSIVE);
	assert_int_equal(fire(table, EVENT_NODE_DELETED, "/a/b"), 2);
	assert_int_equal(modes_at(table, 1, "/a/b"),
			 WATCH_RECURSIVE | WATCH_PERSISTENT);
	watch_table_destroy(table);
}

static void
long_paths_and_many_watched_ancestors_are_all_told(void **state)
{
	struct watch_table *table = make_table();
	char path[PATH_MAX_BYTES + 1] = "";

	(void)state;
	/* 100 levels of 19 bytes: beyond the counted lengths and beyond the
	 * ancestors a job would take. */
	for (uint32_t i = 0; i < 100; i++) {
		snprintf(path + strlen(path), sizeof(path) - strlen(path),
			 "/level-of-the-%05u", i);
		if (i < 99)
			add(table, i, path, WATCH_RECURSIVE);
	}
	add(table, 300, path, WATCH_DATA);
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, path), 100);
	/* One level up: its own watch and those above. */
	*strrchr(path, '/') = '\0';
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, path), 99);
	for (uint32_t i = 0; i < 99; i++)
		watch_drop_connection(table, i);
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, path), 0);
	assert_true(watch_is_consistent(table));
	watch_table_destroy(table);
}

static void
any_string_may_be_watched_and_matches_only_itself(void **state)
{
	struct watch_table *table = make_table();

	(void)state;
	add(table, 2, "no/slash", WATCH_PERSISTENT);
	add(table, 3, "/a/", WATCH_RECURSIVE);
	add(table, 4, "//", WATCH_RECURSIVE);
	assert_int_equal(fire(table, EVENT_NODE_CREATED, "/a"), 0);
	assert_int_equal(fire(table, EVENT_NODE_CREATED, "/a/b"), 0);
	/* But the root has two names. */
	add(table, 1, "", WATCH_RECURSIVE);
	assert_int_equal(watch_check(table, 1, path_of("/"), 3), ZK_OK);
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, "/"), 1);
	assert_int_equal(fire(table, EVENT_NODE_CREATED, "/a"), 1);
	assert_int_equal(watch_remove(table, 1, path_of("/"), 5), ZK_OK);
	assert_int_equal(watch_check(table, 1, path_of(""), 3), ZK_NOWATCHER);
	assert_int_equal(watch_remove(table, 3, path_of("/a/"), 3), ZK_OK);
	watch_table_destroy(table);
}

/* ---- registration and removal -------------------------------------------- */

static void
registering_twice_is_one_event(void **state)
{
	struct watch_table *table = make_table();
	struct watch_counts counts;

	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		add(table, 1, "/a", WATCH_DATA);
	watch_counts(table, &counts);
	assert_int_equal(counts.watchers, 1);
	assert_int_equal(counts.data_watches, 1);
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, "/a"), 1);
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, "/a"), 0);
	watch_counts(table, &counts);
	assert_int_equal(counts.watchers, 0);
	assert_int_equal(counts.paths, 0);
	watch_table_destroy(table);
}

static void
each_type_removes_its_modes_once(void **state)
{
	static const uint32_t removed[] = {
		0,  WATCH_CHILD,      WATCH_DATA,
		15, WATCH_PERSISTENT, WATCH_RECURSIVE};

	(void)state;
	for (int32_t type = 1; type <= 5; type++) {
		for (uint32_t modes = 1; modes <= 15; modes++) {
			struct watch_table *table = make_table();
			const bool finds = (modes & removed[type]) != 0;

			add_all(table, 1, "/a", modes);
			add_all(table, 2, "/a", 15);
			assert_int_equal(
				watch_check(table, 1, path_of("/a"), type),
				finds ? ZK_OK : ZK_NOWATCHER);
			assert_int_equal(
				watch_remove(table, 1, path_of("/a"), type),
				finds ? ZK_OK : ZK_NOWATCHER);
			assert_int_equal(modes_at(table, 1, "/a"),
					 modes & ~removed[type]);
			assert_int_equal(
				watch_remove(table, 1, path_of("/a"), type),
				ZK_NOWATCHER);
			assert_int_equal(modes_at(table, 2, "/a"), 15);
			assert_true(watch_is_consistent(table));
			watch_table_destroy(table);
		}
	}
}

static void
other_types_are_no_types(void **state)
{
	static const int32_t types[] = {0, -1, 6, INT32_MIN, INT32_MAX};
	struct watch_table *table = make_table();

	(void)state;
	add_all(table, 1, "/a", 15);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		assert_int_equal(watch_check(table, 1, path_of("/a"), types[i]),
				 ZK_MARSHALLINGERROR);
		assert_int_equal(
			watch_remove(table, 1, path_of("/a"), types[i]),
			ZK_MARSHALLINGERROR);
	}
	assert_int_equal(modes_at(table, 1, "/a"), 15);
	watch_table_destroy(table);
}

static void
a_connection_that_goes_takes_its_watches_along(void **state)
{
	struct watch_table *table = make_table();
	struct watch_counts counts;
	char path[32];

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/n%u", i);
		add_all(table, 1, path, 1 + i % 15);
		add(table, 2, path, WATCH_DATA);
	}
	assert_false(watch_drop_step(table, 1, 999));
	assert_true(watch_drop_step(table, 1, 1));
	assert_true(watch_is_consistent(table));
	watch_counts(table, &counts);
	assert_int_equal(counts.watchers, 1000);
	assert_int_equal(counts.recursive, 0);
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/n%u", i);
		assert_int_equal(fire(table, EVENT_NODE_DELETED, path), 1);
	}
	watch_table_destroy(table);
}

static void
the_limit_refuses_and_leaves_the_table_as_it_was(void **state)
{
	struct watch_table *table = make_table_with(hash_well, 4, 3, false);

	(void)state;
	add(table, 0, "/a", WATCH_DATA);
	add(table, 1, "/a", WATCH_DATA);
	add(table, 0, "/b", WATCH_DATA);
	assert_int_equal(watch_add(table, 2, path_of("/a"), WATCH_DATA),
			 FAL_ELIMIT);
	assert_int_equal(watch_add(table, 2, path_of("/c"), WATCH_DATA),
			 FAL_ELIMIT);
	assert_true(watch_is_consistent(table));
	/* A further mode of a watcher that is there needs no room. */
	add(table, 0, "/b", WATCH_CHILD);
	watch_drop_connection(table, 0);
	add(table, 2, "/c", WATCH_DATA);
	assert_int_equal(fire(table, EVENT_NODE_CREATED, "/c"), 1);
	watch_table_destroy(table);
}

/* ---- counts and lists -----------------------------------------------------
 */

static void
counts_both_tables_as_wchs_wants_them(void **state)
{
	struct watch_table *table = make_table();
	struct watch_counts counts;

	(void)state;
	add(table, 1, "/a", WATCH_DATA);
	add(table, 1, "/a", WATCH_PERSISTENT); /* same pair, also child */
	add(table, 1, "/b", WATCH_RECURSIVE);
	add(table, 2, "/b", WATCH_DATA);
	add(table, 3, "/b", WATCH_CHILD);
	add(table, 4, "/c", WATCH_CHILD);
	watch_counts(table, &counts);
	assert_int_equal(counts.data_conns, 2);
	assert_int_equal(counts.data_paths, 2);
	assert_int_equal(counts.data_watches, 3);
	assert_int_equal(counts.child_conns, 3);
	assert_int_equal(counts.child_paths, 3);
	assert_int_equal(counts.child_watches, 3);
	assert_int_equal(counts.recursive, 1);
	assert_int_equal(counts.paths, 3);
	assert_int_equal(counts.watchers, 5);
	watch_table_destroy(table);
}

struct visited {
	uint32_t count, modes_sum, path_sum;
	bool has_paths;
};

static void
visit(struct visited *visited, const struct watch_row *row)
{
	assert_true(row->conn < CONNS);
	visited->count++;
	visited->modes_sum += row->modes * (row->conn + 1);
	if (!visited->has_paths) {
		assert_int_equal(row->path.bytes, -1);
		return;
	}
	assert_true(row->path.bytes >= 0);
	visited->path_sum += sum_of(row->path.data, (uint32_t)row->path.bytes) *
			     (row->conn + 1);
}

static void
lists_every_watch_with_its_path_if_kept(void **state)
{
	(void)state;
	for (int keeps = 0; keeps <= 1; keeps++) {
		struct watch_table *table =
			make_table_with(hash_well, CONNS, 1000, keeps);
		struct visited all = {.has_paths = keeps};
		uint32_t of_99 = 0;
		uint32_t path_sum = 0, modes_sum = 0, cursor = 0;
		char path[32];

		for (uint32_t i = 0; i < 50; i++) {
			snprintf(path, sizeof(path), "/node-%u", i);
			add_all(table, i, path, 1 + i % 15);
			add(table, 99, path, WATCH_DATA);
			if (i % 5 == 0) { /* freed numbers are reused */
				watch_drop_connection(table, i);
				add_all(table, i, path, 1 + i % 15);
			}
			modes_sum += (1 + i % 15) * (i + 1) + 100;
			path_sum += (i + 101) * sum_of((uint8_t *)path,
						       (uint32_t)strlen(path));
		}
		do {
			struct watch_row row;
			uint32_t budget = 7;

			while (watch_next(table, &cursor, &budget, &row)) {
				visit(&all, &row);
				of_99 += row.conn == 99;
			}
		} while (cursor != 0);
		assert_int_equal(all.count, 100);
		assert_int_equal(all.modes_sum, modes_sum);
		assert_int_equal(all.path_sum, keeps ? path_sum : 0);
		assert_int_equal(of_99, 50);
		watch_table_destroy(table);
	}
}

/* 90 connections at one path and 60 paths of one connection, some of which
 * come and go between the slices. */
static void
a_list_made_bit_by_bit_has_every_watch_that_stayed_once(void **state)
{
	(void)state;
	for (uint32_t places = 1; places < 400; places = places * 5 + 2) {
		struct watch_table *table =
			make_table_with(hash_well, CONNS, 1000, true);
		uint32_t at_path[CONNS] = {0}, cursor = 0, comes = 0;
		uint32_t paths = 0, firsts = 0, budget;
		struct watch_row row;
		char path[32];

		for (uint32_t i = 0; i < 90; i++)
			add(table, i, "/crowd", WATCH_CHILD | WATCH_DATA);
		for (uint32_t i = 0; i < 60; i++) {
			snprintf(path, sizeof(path), "/node-%u", i);
			add(table, 95, path, WATCH_DATA);
		}
		do {
			budget = places;
			while (watch_next(table, &cursor, &budget, &row)) {
				paths += row.conn == 95;
				at_path[row.conn]++;
				firsts += row.is_first &&
					  row.path_data_count == 90;
				if (row.conn < 90)
					assert_memory_equal(row.path.data,
							    "/crowd", 6);
			}
			watch_drop_connection(table, 98);
			snprintf(path, sizeof(path), "/new-%u", comes++);
			add(table, 98, path, WATCH_DATA);
		} while (cursor != 0);
		for (uint32_t i = 0; i < 90; i++)
			assert_int_equal(at_path[i], 1);
		assert_int_equal(paths, 60);
		assert_int_equal(firsts, 1);
		watch_table_destroy(table);
	}
}

/* ---- large fan-outs ------------------------------------------------------ */

static void
expect(uint32_t conn, uint64_t zxid, uint8_t type, const char *text)
{
	struct queue *queue = &queues[conn % CONNS];
	const uint32_t bytes = (uint32_t)strlen(text);

	assert_true(queue->tail - queue->head < QUEUE);
	queue->event[queue->tail++ % QUEUE] = (struct expected){
		.zxid = zxid,
		.type = type,
		.path_bytes = bytes,
		.path_sum = sum_of((const uint8_t *)text, bytes)};
}

static bool
is_quiet(uint32_t conn)
{
	return queues[conn].head == queues[conn].tail;
}

static void
finish_jobs(struct watch_table *table)
{
	while (watch_job_step(table, 64))
		;
}

static void
more_than_256_watchers_are_told_in_portions(void **state)
{
	struct watch_table *table = make_table();

	(void)state;
	for (uint32_t conn = 0; conn < 256; conn++)
		add(table, conn, "/a", WATCH_PERSISTENT);
	for (uint32_t conn = 0; conn < 256; conn++)
		add(table, conn, "/b", WATCH_DATA);
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, "/b"), 256);
	for (uint32_t conn = 0; conn < 257; conn++)
		add(table, conn, "/b", WATCH_DATA);
	assert_int_equal(watch_jobs_pin(table), UINT64_MAX);
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, "/b"), 0);
	assert_int_equal(watch_jobs_pin(table), 1);
	assert_true(watch_job_step(table, 100));
	assert_int_equal(told_count, 256 + 100);
	assert_true(watch_job_step(table, 100));
	assert_int_equal(told_count, 256 + 200);
	assert_false(watch_job_step(table, 100));
	assert_int_equal(told_count, 256 + 257);
	assert_int_equal(watch_jobs_pin(table), UINT64_MAX);
	assert_true(watch_is_consistent(table));
	watch_table_destroy(table);
}

static void
a_connection_is_told_its_share_before_its_output(void **state)
{
	struct watch_table *table = make_table();

	(void)state;
	for (uint32_t conn = 0; conn < 500; conn++)
		add(table, conn, "/a", WATCH_DATA);
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, "/a"), 0);
	watch_deliver_before_output(table, 77);
	assert_int_equal(told_count, 1);
	watch_deliver_before_output(table, 77);
	watch_deliver_before_output(table, 555); /* is owed nothing */
	assert_int_equal(told_count, 1);
	/* The one-shot watch is used up; a new one is for later events. */
	assert_int_equal(modes_at(table, 77, "/a"), 0);
	add(table, 77, "/a", WATCH_DATA);
	/* Asking and removing settle first, too: nothing to find. */
	assert_int_equal(watch_check(table, 78, path_of("/a"), 2),
			 ZK_NOWATCHER);
	assert_int_equal(told_count, 2);
	assert_int_equal(watch_remove(table, 79, path_of("/a"), 3),
			 ZK_NOWATCHER);
	assert_int_equal(told_count, 3);
	watch_drop_connection(table, 80);
	finish_jobs(table);
	assert_int_equal(told_count, 499);
	assert_int_equal(modes_at(table, 77, "/a"), WATCH_DATA);
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, "/a"), 1);
	watch_table_destroy(table);
}

static void
a_path_may_vanish_and_return_while_its_job_runs(void **state)
{
	struct watch_table *table = make_table();

	(void)state;
	for (uint32_t conn = 0; conn < 400; conn++)
		add(table, conn, "/a", WATCH_DATA);
	assert_int_equal(fire(table, EVENT_NODE_DATA_CHANGED, "/a"), 0);
	assert_true(watch_job_step(table, 10));
	for (uint32_t conn = 0; conn < 400; conn++)
		watch_drop_connection(table, conn);
	/* The number of the path is given to another one. */
	for (uint32_t conn = 0; conn < 400; conn++)
		add(table, conn, "/other", WATCH_DATA);
	finish_jobs(table);
	assert_int_equal(told_count, 10);
	assert_true(watch_is_consistent(table));
	watch_table_destroy(table);
}

static void
a_small_event_behind_a_large_one_is_told_in_order(void **state)
{
	struct watch_table *table = make_table();

	(void)state;
	for (uint32_t conn = 0; conn < 500; conn++)
		add(table, conn, "/a", WATCH_DATA);
	add(table, 3, "/b", WATCH_DATA);
	add(table, 4, "/a", WATCH_RECURSIVE);
	expects = true;
	for (uint32_t conn = 0; conn < 500; conn++)
		expect(conn, 10, EVENT_NODE_DELETED, "/a");
	expect(3, 11, EVENT_NODE_DATA_CHANGED, "/b");
	watch_fire(table, 10, effect_with(hash_well, EVENT_NODE_DELETED, "/a"));
	watch_fire(table, 11,
		   effect_with(hash_well, EVENT_NODE_DATA_CHANGED, "/b"));
	assert_true(is_quiet(3));
	expect(4, 12, EVENT_NODE_CREATED, "/a/x");
	watch_fire(table, 12,
		   effect_with(hash_well, EVENT_NODE_CREATED, "/a/x"));
	finish_jobs(table);
	for (uint32_t conn = 0; conn < 500; conn++)
		assert_true(is_quiet(conn));
	watch_table_destroy(table);
}

static void
more_jobs_than_room_finish_the_oldest(void **state)
{
	struct watch_table *table = make_table();

	(void)state;
	for (uint32_t conn = 0; conn < 300; conn++)
		add(table, conn, "/a", WATCH_PERSISTENT);
	expects = true;
	for (uint64_t zxid = 1; zxid <= 200; zxid++) {
		assert_int_equal(watch_has_room(table), zxid <= 64);
		for (uint32_t conn = 0; conn < 300; conn++)
			expect(conn, zxid, EVENT_NODE_DATA_CHANGED, "/a");
		watch_fire(
			table, zxid,
			effect_with(hash_well, EVENT_NODE_DATA_CHANGED, "/a"));
	}
	assert_int_equal(told_count, 300 * (200 - 64));
	assert_int_equal(watch_jobs_pin(table), 200 - 63);
	finish_jobs(table);
	for (uint32_t conn = 0; conn < 300; conn++)
		assert_true(is_quiet(conn));
	watch_table_destroy(table);
}

static void
a_job_keeps_a_long_path_for_as_long_as_it_runs(void **state)
{
	struct watch_table *table = make_table();
	char path[1501];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	for (uint32_t conn = 0; conn < 400; conn++) {
		add(table, conn, path, WATCH_DATA);
		expect(conn, 5, EVENT_NODE_CREATED, path);
	}
	expects = true;
	watch_fire(table, 5, effect_with(hash_well, EVENT_NODE_CREATED, path));
	(void)effect_with(hash_well, EVENT_NODE_DELETED, "/gone");
	finish_jobs(table);
	for (uint32_t conn = 0; conn < 400; conn++)
		assert_true(is_quiet(conn));
	watch_table_destroy(table);
}

static void
many_recursive_watchers_are_told_in_portions(void **state)
{
	struct watch_table *table = make_table();

	(void)state;
	for (uint32_t conn = 0; conn < 400; conn++) {
		add(table, conn, "/", WATCH_RECURSIVE);
		if (conn % 2)
			add(table, conn, "/a", WATCH_RECURSIVE);
		if (conn % 3 == 0)
			add(table, conn, "/a/b", WATCH_DATA);
	}
	assert_int_equal(fire(table, EVENT_NODE_DELETED, "/a/b"), 0);
	watch_deliver_before_output(table, 9);
	assert_int_equal(told_count, 1);
	finish_jobs(table);
	assert_int_equal(told_count, 400);
	watch_table_destroy(table);
}

enum { CROWD = 100000 };

static uint64_t crowd_last[CROWD];
static uint32_t crowd_told[CROWD];

static void
deliver_to_crowd(void *arg, uint32_t conn, uint64_t zxid,
		 const struct effect *effect)
{
	(void)arg;
	assert_true(zxid > crowd_last[conn]);
	assert_int_equal(effect->path_bytes, 6);
	crowd_last[conn] = zxid;
	crowd_told[conn]++;
}

static void
a_hundred_thousand_are_told_once_and_in_order(void **state)
{
	const struct watch_options options = {.conns_max = CROWD,
					      .watches_max = CROWD,
					      .hash = hash_well,
					      .deliver = deliver_to_crowd};
	struct watch_table *table;
	uint64_t seed = 99;

	(void)state;
	assert_int_equal(watch_table_create(&options, &table), 0);
	memset(crowd_last, 0, sizeof(crowd_last));
	memset(crowd_told, 0, sizeof(crowd_told));
	for (uint32_t conn = 0; conn < CROWD; conn++)
		add(table, conn, "/crowd",
		    conn % 2 ? WATCH_PERSISTENT : WATCH_DATA);
	/* Ten events; in between some connections write and register. */
	for (uint64_t zxid = 1; zxid <= 10; zxid++) {
		watch_fire(table, zxid,
			   effect_with(hash_well, EVENT_NODE_DATA_CHANGED,
				       "/crowd"));
		for (int i = 0; i < 1000; i++) {
			const uint32_t conn =
				(uint32_t)(next_random(&seed) % CROWD);

			watch_deliver_before_output(table, conn);
			if (conn % 2)
				assert_int_equal(crowd_last[conn], zxid);
			else
				assert_true(crowd_told[conn] > 0);
		}
		(void)watch_job_step(table, 30000);
	}
	finish_jobs(table);
	for (uint32_t conn = 0; conn < CROWD; conn++)
		assert_int_equal(crowd_told[conn], conn % 2 ? 10 : 1);
	watch_table_destroy(table);
}

/* ---- the model ------------------------------------------------------------
 */

static const char *const model_path[] = {"/",      "/a",  "/a/b", "/a/b/c",
					 "/a/b/d", "/ab", "/b",   "/b/c/d/e/f"};

enum { MODEL_PATHS = sizeof(model_path) / sizeof(model_path[0]) };

static struct model {
	struct watch_table *table;
	watch_hash_fn hash;
	uint64_t seed, zxid;
	uint32_t conns; /* in use */
	uint8_t modes[CONNS][MODEL_PATHS];
} model;

static bool
is_ancestor(const char *above, const char *path)
{
	const size_t bytes = strcmp(above, "/") == 0 ? 0 : strlen(above);

	return strlen(path) > bytes + 1 && strncmp(above, path, bytes) == 0 &&
	       path[bytes] == '/';
}

static void
model_fire(struct model *m)
{
	const uint8_t type = (uint8_t)(1 + next_random(&m->seed) % 4);
	const uint32_t at = (uint32_t)(next_random(&m->seed) % MODEL_PATHS);
	uint32_t told_by = WATCH_DATA | WATCH_PERSISTENT | WATCH_RECURSIVE;
	uint32_t used = WATCH_DATA;

	if (type == EVENT_NODE_CHILDREN_CHANGED) {
		told_by = WATCH_CHILD | WATCH_PERSISTENT;
		used = WATCH_CHILD;
	} else if (type == EVENT_NODE_DELETED) {
		told_by |= WATCH_CHILD;
		used |= WATCH_CHILD;
	}
	m->zxid += next_random(&m->seed) % 2; /* several effects of one */
	for (uint32_t conn = 0; conn < m->conns; conn++) {
		bool is_told = (m->modes[conn][at] & told_by) != 0;

		m->modes[conn][at] &= (uint8_t)~used;
		for (uint32_t p = 0; p < MODEL_PATHS; p++)
			if (type != EVENT_NODE_CHILDREN_CHANGED &&
			    (m->modes[conn][p] & WATCH_RECURSIVE) &&
			    is_ancestor(model_path[p], model_path[at]))
				is_told = true;
		if (is_told)
			expect(conn, m->zxid, type, model_path[at]);
	}
	watch_fire(m->table, m->zxid,
		   effect_with(m->hash, type, model_path[at]));
}

static void
model_conn_step(struct model *m)
{
	static const uint32_t mode_of_type[] = {
		0,  WATCH_CHILD,      WATCH_DATA,
		15, WATCH_PERSISTENT, WATCH_RECURSIVE};
	const uint32_t conn = (uint32_t)(next_random(&m->seed) % m->conns);
	const uint32_t at = (uint32_t)(next_random(&m->seed) % MODEL_PATHS);
	const struct tree_path path = path_with(m->hash, model_path[at]);
	const uint64_t what = next_random(&m->seed) % 16;
	const int32_t type = 1 + (int32_t)(next_random(&m->seed) % 5);
	const uint32_t mode = 1u << (next_random(&m->seed) % 4);
	const uint32_t found = m->modes[conn][at] & mode_of_type[type];

	if (what < 9) {
		assert_int_equal(
			watch_add(m->table, conn, path, (enum watch_mode)mode),
			0);
		m->modes[conn][at] |= (uint8_t)mode;
	} else if (what < 11) {
		assert_int_equal(watch_remove(m->table, conn, path, type),
				 found ? ZK_OK : ZK_NOWATCHER);
		m->modes[conn][at] &= (uint8_t)~mode_of_type[type];
	} else if (what < 13) {
		assert_int_equal(watch_check(m->table, conn, path, type),
				 found ? ZK_OK : ZK_NOWATCHER);
	} else if (what < 15) {
		watch_deliver_before_output(m->table, conn);
	} else {
		watch_drop_connection(m->table, conn);
		memset(m->modes[conn], 0, MODEL_PATHS);
		queues[conn].head = queues[conn].tail;
	}
	assert_true(is_quiet(conn)); /* nothing is owed any more */
}

static void
model_run(watch_hash_fn hash, uint64_t seed, uint32_t conns, uint64_t steps)
{
	memset(&model, 0, sizeof(model));
	model.table = make_table_with(hash, CONNS, 100000, false);
	model.hash = hash;
	model.seed = seed;
	model.conns = conns;
	expects = true;
	for (uint64_t step = 0; step < steps; step++) {
		const uint64_t what = next_random(&model.seed) % 1024;

		if (what < 12) {
			model_fire(&model);
		} else if (what < 60) {
			(void)watch_job_step(
				model.table,
				(uint32_t)(next_random(&model.seed) % 100));
		} else {
			model_conn_step(&model);
		}
		if (step % 512 == 0)
			assert_true(watch_is_consistent(model.table));
	}
	finish_jobs(model.table);
	for (uint32_t conn = 0; conn < conns; conn++)
		assert_true(is_quiet(conn));
	assert_true(told_count > 0);
	watch_table_destroy(model.table);
}

static void
agrees_with_the_model(void **state)
{
	const char *env = getenv("FAL_SEED");
	const char *env_steps = getenv("FAL_WATCH_STEPS");
	const uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : 8841;
	const uint64_t steps =
		env_steps != NULL ? strtoull(env_steps, NULL, 0) : 60000;

	(void)state;
	print_message("seed %llu (FAL_SEED)\n", (unsigned long long)seed);
	model_run(hash_well, seed, CONNS, steps);
	model_run(hash_badly, seed + 1, CONNS, steps);
	/* Few connections: lists around the edge of being crowded. */
	model_run(hash_well, seed + 2, 40, steps);
	model_run(hash_badly, seed + 3, 3, steps);
}

static void
finds_every_path_while_the_index_grows_and_shrinks(void **state)
{
	struct watch_table *table = make_table();
	char path[32];

	(void)state;
	for (uint32_t i = 0; i < 20000; i++) {
		snprintf(path, sizeof(path), "/some/node-%u", i);
		add(table, i % CONNS, path, WATCH_DATA);
		snprintf(path, sizeof(path), "/some/node-%u", i / 2);
		assert_int_equal(
			watch_check(table, i / 2 % CONNS, path_of(path), 2),
			ZK_OK);
	}
	assert_true(watch_is_consistent(table));
	for (uint32_t i = 0; i < 20000; i += 2) {
		snprintf(path, sizeof(path), "/some/node-%u", i);
		assert_int_equal(fire(table, EVENT_NODE_CREATED, path), 1);
	}
	assert_true(watch_is_consistent(table));
	for (uint32_t i = 0; i < 20000; i++) {
		snprintf(path, sizeof(path), "/some/node-%u", i);
		assert_int_equal(fire(table, EVENT_NODE_CREATED, path), i % 2);
	}
	watch_table_destroy(table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_set_of_modes_hears_what_the_table_says),
		cmocka_unit_test(deleting_a_watched_child_tells_two_events),
		cmocka_unit_test(
			a_recursive_watch_on_the_root_sees_all_data_events),
		cmocka_unit_test(
			several_matching_watches_of_a_connection_are_one_event),
		cmocka_unit_test(
			long_paths_and_many_watched_ancestors_are_all_told),
		cmocka_unit_test(
			any_string_may_be_watched_and_matches_only_itself),
		cmocka_unit_test(registering_twice_is_one_event),
		cmocka_unit_test(each_type_removes_its_modes_once),
		cmocka_unit_test(other_types_are_no_types),
		cmocka_unit_test(
			a_connection_that_goes_takes_its_watches_along),
		cmocka_unit_test(
			the_limit_refuses_and_leaves_the_table_as_it_was),
		cmocka_unit_test(counts_both_tables_as_wchs_wants_them),
		cmocka_unit_test(lists_every_watch_with_its_path_if_kept),
		cmocka_unit_test(
			a_list_made_bit_by_bit_has_every_watch_that_stayed_once),
		cmocka_unit_test(more_than_256_watchers_are_told_in_portions),
		cmocka_unit_test(
			a_connection_is_told_its_share_before_its_output),
		cmocka_unit_test(
			a_path_may_vanish_and_return_while_its_job_runs),
		cmocka_unit_test(
			a_small_event_behind_a_large_one_is_told_in_order),
		cmocka_unit_test(more_jobs_than_room_finish_the_oldest),
		cmocka_unit_test(
			a_job_keeps_a_long_path_for_as_long_as_it_runs),
		cmocka_unit_test(many_recursive_watchers_are_told_in_portions),
		cmocka_unit_test(a_hundred_thousand_are_told_once_and_in_order),
		cmocka_unit_test(
			finds_every_path_while_the_index_grows_and_shrinks),
		cmocka_unit_test(agrees_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
