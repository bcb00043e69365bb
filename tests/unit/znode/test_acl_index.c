/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    A long ACL list allows what it would if it were read entry by entry,
 *         whoever asks; and what lists take is memory of the tree.
 * Method  Random lists over few schemes, ids and prefixes, so that most
 *         questions have several answers: interned, which gives them an index,
 *         beside the same list without. Some are cut in the middle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "random.h"
#include "znode/acl.h"
#include "znode/tree.h"

#define LISTS       300
#define ENTRIES_MAX 400
#define LIST_BYTES  65536
#define IDS         8
#define QUESTIONS   60

static struct random rng;

static struct jute_slice
slice_of(const char *text)
{
	if (text == NULL)
		return (struct jute_slice){.bytes = -1};
	return jute_slice_of(text, strlen(text));
}

#define ONE_OF(list) \
	(list)[random_below(&rng, sizeof(list) / sizeof((list)[0]))]

static const char *
random_scheme(void)
{
	static const char *const schemes[] = {"ip",    "ip",   "ip", "digest",
					      "sasl",  "x509", "",   NULL,
					      "world", "worl"};

	return ONE_OF(schemes);
}

static void
put_address(char text[64], bool may_be_prefix)
{
	static const char *const v6[] = {"::1", "fe80::", "fe80::1:0",
					 "fe80:0:0:8000::"};
	size_t bytes;

	if (random_below(&rng, 3) == 0)
		bytes = (size_t)snprintf(text, 64, "%s", ONE_OF(v6));
	else
		bytes = (size_t)snprintf(text, 64, "10.%u.0.%u",
					 (unsigned)random_below(&rng, 2) * 128,
					 (unsigned)random_below(&rng, 4));
	if (may_be_prefix && random_below(&rng, 2) == 0)
		snprintf(text + bytes, 64 - bytes, "/%u",
			 (unsigned)random_below(&rng, 140));
}

/* NULL, or a text that lasts until the next call. */
static const char *
random_id(const char *scheme, bool may_be_prefix)
{
	static const char *const ids[] = {"anyone", "super", "bob:x", "bob",
					  "",       NULL,    "bob:"};
	static char text[64];

	if (scheme != NULL && strcmp(scheme, "ip") == 0 &&
	    random_below(&rng, 20) != 0) {
		put_address(text, may_be_prefix);
		return text;
	}
	if (random_below(&rng, 2) == 0)
		return ONE_OF(ids);
	snprintf(text, sizeof(text), "user%u",
		 (unsigned)random_below(&rng, 200));
	return text;
}

/* A list; its last entries may be missing. */
static struct jute_vector
random_list(uint8_t *memory)
{
	const int32_t count = 1 + (int32_t)random_below(&rng, ENTRIES_MAX);
	struct jute_writer writer = jute_writer_of(memory, LIST_BYTES);

	for (int32_t i = 0; i < count; i++) {
		const char *scheme = random_scheme();
		const struct proto_acl entry = {
			.perms = (int32_t)random_below(&rng, 32),
			.scheme = slice_of(scheme),
			.id = slice_of(random_id(scheme, true))};

		proto_put_acl(&writer, &entry);
	}
	assert_false(writer.is_full);
	const uint32_t bytes = (uint32_t)jute_written(&writer);

	return (struct jute_vector){
		.data = memory,
		.count = count,
		.bytes = random_below(&rng, 10) == 0
				 ? (uint32_t)random_below(&rng, bytes)
				 : bytes};
}

static struct auth_ids *
random_ids(void)
{
	static const struct acl_options options;
	struct auth_ids *ids = auth_ids_new(&options, NULL);
	const uint32_t count = (uint32_t)random_below(&rng, IDS);

	for (uint32_t i = 0; i < count; i++) {
		const char *scheme = random_scheme();
		const char *id = random_id(scheme, random_below(&rng, 20) == 0);
		struct auth_ids *more;

		more = auth_ids_with(ids,
				     slice_of(scheme == NULL ? "" : scheme),
				     slice_of(id == NULL ? "" : id));
		assert_non_null(more);
		auth_ids_free(ids);
		ids = more;
	}
	return ids;
}

static void
an_index_allows_what_the_list_does(void **state)
{
	uint8_t *memory = malloc(LIST_BYTES);
	struct acl_table *table = NULL;
	uint32_t indexed = 0, allowed = 0;

	(void)state;
	rng = random_start(20261130);
	assert_int_equal(acl_table_create(NULL, NULL, &table), 0);
	for (int i = 0; i < LISTS; i++) {
		const struct jute_vector entries = random_list(memory);
		const struct acl_list plain = {.entries = entries};
		const uint32_t id = acl_table_intern(table, &entries);
		const struct acl_list *list = acl_table_get(table, id);

		indexed += list->index != NULL;
		for (int k = 0; k < QUESTIONS; k++) {
			struct auth_ids *ids = random_ids();
			const int32_t perms = 1 << random_below(&rng, 5);
			const bool want = acl_permits(&plain, ids, perms);

			assert_int_equal(acl_permits(list, ids, perms), want);
			allowed += want;
			auth_ids_free(ids);
		}
		acl_table_unref(table, id);
	}
	assert_in_range(indexed, LISTS / 2, LISTS - 1);
	assert_in_range(allowed, LISTS * QUESTIONS / 10,
			LISTS * QUESTIONS * 9 / 10);
	acl_table_destroy(table);
	free(memory);
}

static void
lists_are_memory_of_the_tree(void **state)
{
	const struct tree_options options = {.bytes_max = 64u << 20};
	uint8_t *memory = malloc(LIST_BYTES);
	struct tree *tree = NULL;
	struct jute_vector entries;

	(void)state;
	rng = random_start(1);
	assert_int_equal(tree_create(&options, &tree), 0);
	do {
		entries = random_list(memory);
	} while (entries.bytes < 1000);
	const uint64_t before = tree_bytes_left(tree);
	const uint32_t id = acl_table_intern(tree_acls(tree), &entries);

	assert_in_range(before - tree_bytes_left(tree), entries.bytes,
			entries.bytes + 512 + 24u * (uint32_t)entries.count);
	assert_int_equal(acl_table_intern(tree_acls(tree), &entries), id);
	acl_table_unref(tree_acls(tree), id);
	assert_true(tree_bytes_left(tree) < before);
	acl_table_unref(tree_acls(tree), id);
	tree_reclaim(tree, UINT32_MAX);
	tree_reclaim(tree, UINT32_MAX);
	assert_int_equal(tree_bytes_left(tree), before);
	tree_destroy(tree);
	free(memory);
}

static void
note_retired(void *arg, uint32_t id)
{
	*(uint32_t *)arg = id;
}

/* Who writes a snapshot has seen a quiescent state since it was retired, and
 * would read it while it is freed. */
static void
a_retired_list_is_enumerated_no_more(void **state)
{
	uint8_t *memory = malloc(LIST_BYTES);
	struct acl_table *table = NULL;
	uint32_t retired = 0;

	(void)state;
	rng = random_start(2);
	assert_int_equal(acl_table_create(note_retired, &retired, &table), 0);

	const struct jute_vector entries = random_list(memory);
	const uint32_t id = acl_table_intern(table, &entries);

	assert_int_equal(acl_table_next(table, id - 1), id);
	assert_true(acl_table_has(table, id));
	acl_table_unref(table, id);
	assert_int_equal(retired, id);
	assert_int_equal(acl_table_next(table, id - 1), 0);
	assert_false(acl_table_has(table, id));
	/* Who has a node at an older state may still ask. */
	assert_int_equal(acl_table_get(table, id)->entries.count,
			 entries.count);
	acl_table_dispose(table, id);
	assert_int_equal(acl_table_intern(table, &entries), id);
	assert_int_equal(acl_table_next(table, id - 1), id);
	acl_table_destroy(table);
	free(memory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_index_allows_what_the_list_does),
		cmocka_unit_test(lists_are_memory_of_the_tree),
		cmocka_unit_test(a_retired_list_is_enumerated_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
