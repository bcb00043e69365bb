/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the index offers every entry that was inserted and not removed, and no
 * other, also while it grows; growth is paid for in bounded steps.
 *
 * Method: random inserts and removes beside an array, with hashes drawn from a
 * small set (equal hashes), from sets that fall into one bucket (overflow
 * lines) and at random. No insert may move more than INDEX_MOVE_PER_INSERT
 * buckets; that bound is asserted, the worst time is only printed, since other
 * programs share the machine. FAL_SEED sets the seed, FAL_INDEX_ENTRIES the
 * size of the timed run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "znode/index.h"

#define ENTRIES         30000u
#define ENTRIES_DEFAULT 300000u

struct entry {
	uint64_t hash;
	uint32_t handle; /* 0: not in the index */
};

struct fixture {
	struct region region;
	struct index index;
	uint64_t lines_retired, tables_retired;
	struct index_table *retired;
};

static uint64_t random_state;

static uint64_t
random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x9e3779b97f4a7c15ull;
}

static uint64_t
env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoull(text, NULL, 0);
}

static int
seed_random(void **state)
{
	(void)state;
	random_state = env_number("FAL_SEED", 99) * 2 + 1;
	print_message("seed %llu\n", (unsigned long long)random_state / 2);
	return 0;
}

static void
retire_line(void *arg, uint32_t handle)
{
	struct fixture *fixture = arg;

	fixture->lines_retired++;
	region_free(&fixture->region, handle, sizeof(struct index_bucket));
}

static void
retire_table(void *arg, struct index_table *table)
{
	struct fixture *fixture = arg;

	/* Unmapping takes a while; the tree leaves it to another thread. */
	fixture->tables_retired++;
	table->next = fixture->retired;
	fixture->retired = table;
}

static void
fixture_init(struct fixture *fixture, uint64_t region_bytes)
{
	const struct index_retire retire = {
		.line = retire_line, .table = retire_table, .arg = fixture};

	memset(fixture, 0, sizeof(*fixture));
	assert_int_equal(region_init(&fixture->region, region_bytes), 0);
	fixture->region.poisons = true;
	assert_int_equal(index_init(&fixture->index, &fixture->region, &retire),
			 0);
}

static void
fixture_free(struct fixture *fixture)
{
	while (fixture->retired != NULL) {
		struct index_table *table = fixture->retired;

		fixture->retired = table->next;
		index_table_free(table);
	}
	index_free(&fixture->index);
	region_free_all(&fixture->region);
}

static uint32_t
object_make(struct fixture *fixture, uint64_t hash)
{
	const uint32_t handle = region_alloc(&fixture->region, 16);

	if (handle != 0)
		*(uint64_t *)region_at(&fixture->region, handle) = hash;
	return handle;
}

static bool
is_found(const struct fixture *fixture, uint64_t hash, uint32_t handle)
{
	struct index_probe probe;
	uint32_t at = index_first(&fixture->index, hash, &probe);
	uint32_t times = 0;

	for (; at != 0; at = index_next(&probe))
		times += at == handle;
	assert_true(times <= 1);
	return times == 1;
}

static uint64_t
random_hash(void)
{
	switch (random_next() >> 60) {
	case 0:
		return random_next() >> 62; /* equal hashes */
	case 1:
		/* One bucket and few tags: long chains. */
		return (random_next() >> 62) << 48 |
		       (random_next() >> 50) << 32 | 5;
	case 2:
		return random_next() & 0x0000ffffffffffffull; /* tag 0 */
	default:
		return random_next();
	}
}

static void
count_one(void *arg, uint32_t handle)
{
	(void)handle;
	++*(uint64_t *)arg;
}

static void
what_was_inserted_is_found_and_nothing_else(void **state)
{
	static struct entry entry[ENTRIES];
	static struct fixture fixture;
	uint64_t count = 0, visited = 0;

	(void)state;
	fixture_init(&fixture, 0);
	for (uint32_t i = 0; i < 400000; i++) {
		struct entry *one = &entry[(random_next() >> 32) % ENTRIES];

		if (one->handle == 0) {
			one->hash = random_hash();
			one->handle = object_make(&fixture, one->hash);
			assert_int_equal(index_insert(&fixture.index, one->hash,
						      one->handle),
					 0);
			count++;
		} else if (random_next() >> 62 == 0) {
			index_remove(&fixture.index, one->hash, one->handle);
			assert_false(
				is_found(&fixture, one->hash, one->handle));
			region_free(&fixture.region, one->handle, 16);
			one->handle = 0;
			count--;
		}
		const struct entry *other =
			&entry[(random_next() >> 32) % ENTRIES];

		if (other->handle != 0)
			assert_true(
				is_found(&fixture, other->hash, other->handle));
		assert_int_equal(fixture.index.count, count);
	}
	for (uint32_t i = 0; i < ENTRIES; i++)
		if (entry[i].handle != 0)
			assert_true(is_found(&fixture, entry[i].hash,
					     entry[i].handle));
	index_for_each(&fixture.index, count_one, &visited);
	assert_int_equal(visited, count);
	assert_true(fixture.index.stats.grown > 4);
	assert_true(fixture.tables_retired > 3);
	assert_true(fixture.lines_retired > 0);
	assert_true(fixture.index.stats.moved_max <= INDEX_MOVE_PER_INSERT);
	fixture_free(&fixture);
}

static void
an_insert_without_memory_changes_nothing(void **state)
{
	static struct fixture fixture;
	static struct entry entry[80000];
	uint32_t count = 0, failed = 0;

	(void)state;
	fixture_init(&fixture, 1 << 20);
	while (count < 80000) {
		struct entry *one = &entry[count];

		/* All in one chain, until lines run out. */
		one->hash = (uint64_t)count << 32 | 7;
		one->handle = object_make(&fixture, one->hash);
		if (one->handle == 0)
			break;
		if (index_insert(&fixture.index, one->hash, one->handle) < 0) {
			assert_false(
				is_found(&fixture, one->hash, one->handle));
			failed++;
			region_free(&fixture.region, one->handle, 16);
			break;
		}
		count++;
		assert_int_equal(fixture.index.count, count);
		if (count == 3000)
			break; /* quadratic */
	}
	/* Now with nothing left but what other classes can give. */
	while (region_alloc(&fixture.region, sizeof(struct index_bucket)) != 0)
		;
	for (uint32_t i = 0; i < 20 && failed == 0; i++) {
		const uint32_t handle = object_make(&fixture, 7);

		if (handle == 0)
			break;
		if (index_insert(&fixture.index, 7, handle) < 0)
			failed++;
	}
	assert_true(failed > 0);
	for (uint32_t i = 0; i < count; i++)
		assert_true(is_found(&fixture, entry[i].hash, entry[i].handle));
	fixture_free(&fixture);
}

static uint64_t
now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void
no_insert_pays_for_growth(void **state)
{
	static struct fixture fixture;
	const uint64_t entries =
		env_number("FAL_INDEX_ENTRIES", ENTRIES_DEFAULT);
	uint64_t worst = 0, total = 0;

	(void)state;
	fixture_init(&fixture, 0);
	for (uint64_t i = 0; i < entries; i++) {
		const uint64_t hash = random_next();
		const uint32_t handle = object_make(&fixture, hash);
		const uint64_t before = now_ns();

		assert_int_equal(index_insert(&fixture.index, hash, handle), 0);

		const uint64_t took = now_ns() - before;

		total += took;
		if (took > worst)
			worst = took;
	}
	print_message("%llu inserts: %llu ns each, worst %llu ns, %llu tables, "
		      "%llu overflow lines, %.1f bytes an entry\n",
		      (unsigned long long)entries,
		      (unsigned long long)(total / entries),
		      (unsigned long long)worst,
		      (unsigned long long)fixture.index.stats.grown,
		      (unsigned long long)fixture.index.stats.overflow_lines,
		      (double)(atomic_load(&fixture.index.table_bytes) +
			       fixture.index.stats.overflow_lines * 64) /
			      (double)entries);
	assert_true(fixture.index.stats.moved_max > 0);
	assert_true(fixture.index.stats.moved_max <= INDEX_MOVE_PER_INSERT);
	fixture_free(&fixture);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_inserted_is_found_and_nothing_else),
		cmocka_unit_test(an_insert_without_memory_changes_nothing),
		cmocka_unit_test(no_insert_pays_for_growth),
	};

	return cmocka_run_group_tests(tests, seed_random, NULL);
}
