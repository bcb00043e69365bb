/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    Each connection is told exactly what client-protocol.md section 5
 *         says, once, in the order of the transactions.
 * Method  section 5.2 as a table of modes and events first; then types of
 *         removal, limits, lists. Many watchers are in test_watch_many.c.
 */
#include "watch_rig.h"

static void
add_all(struct watch_table *table, uint32_t conn, const char *text,
	uint32_t modes)
{
	for (uint32_t mode = 1; mode <= 8; mode *= 2)
		if (modes & mode)
			add(table, conn, text, mode);
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

static uint32_t
rows_with_path(struct watch_table *table)
{
	uint32_t cursor = 0, budget = UINT32_MAX, count = 0;
	struct watch_row row;

	while (watch_next(table, &cursor, &budget, &row))
		count += row.path.bytes >= 0;
	return count;
}

/* A path may have a megabyte, and nothing need be there. */
static void
paths_are_kept_up_to_a_limit(void **state)
{
	const uint32_t bytes = 1u << 20;
	const uint32_t room = WATCH_TEXT_BYTES_MAX / bytes;
	struct watch_table *table =
		make_table_with(hash_well, CONNS, 1000, true);
	char *path = malloc(bytes + 1);
	struct watch_counts counts;

	(void)state;
	assert_non_null(path);
	memset(path, 'x', bytes);
	path[bytes] = '\0';
	for (uint32_t i = 0; i < room + 10; i++) {
		path[1] = (char)('0' + i % 64);
		path[2] = (char)('0' + i / 64);
		add(table, 1, path, WATCH_DATA);
	}
	watch_counts(table, &counts);
	assert_int_equal(counts.watchers, room + 10);
	assert_int_equal(rows_with_path(table), room);
	watch_drop_connection(table, 1);
	add(table, 1, path, WATCH_DATA);
	assert_int_equal(rows_with_path(table), 1);
	assert_true(watch_is_consistent(table));
	free(path);
	watch_table_destroy(table);
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
		cmocka_unit_test(paths_are_kept_up_to_a_limit),
		cmocka_unit_test(
			a_list_made_bit_by_bit_has_every_watch_that_stayed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
