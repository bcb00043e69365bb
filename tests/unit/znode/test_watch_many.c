/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    The same promises when an event has so many watchers that it is told
 *         in portions, and whatever comes between.
 * Method  fan-outs that are interrupted by every operation; last random
 *         operations beside a model that keeps a mode set per (connection,
 *         path) and a queue of expected events per connection. The model also
 *         runs with a path hash of two bits, so that chains and equal hashes
 *         are the rule. The seed is printed; FAL_SEED sets it,
 *         FAL_WATCH_STEPS the length.
 */
#include "watch_rig.h"

static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint64_t
hash_badly(const void *arg, struct hash_prefix *prefix, const void *text,
	   uint32_t bytes)
{
	return hash_well(arg, prefix, text, bytes) & 3;
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
