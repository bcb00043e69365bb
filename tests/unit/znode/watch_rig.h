/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_ZNODE_WATCH_RIG_H
#define FALCONER_TESTS_UNIT_ZNODE_WATCH_RIG_H

/*
 * watch_rig - a table of watches and a log of what its connections are told.
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

static inline uint64_t
hash_well(const void *arg, struct hash_prefix *prefix, const void *text,
	  uint32_t bytes)
{
	const bool is_root = bytes == 1 && *(const char *)text == '/';

	(void)arg;
	return hash_prefix(&test_key, prefix, text, is_root ? 0 : bytes);
}

static inline uint32_t
sum_of(const uint8_t *text, uint32_t bytes)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < bytes; i++)
		sum = sum * 31 + text[i];
	return sum;
}

static inline void
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

static inline struct watch_table *
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

static inline struct watch_table *
make_table(void)
{
	return make_table_with(hash_well, CONNS, 100000, false);
}

static inline struct tree_path
path_with(watch_hash_fn hash, const char *text)
{
	const uint32_t bytes = (uint32_t)strlen(text);

	return (struct tree_path){
		.text = (const uint8_t *)text,
		.bytes = bytes,
		.hash = hash(NULL, &(struct hash_prefix){0}, text, bytes)};
}

static inline struct tree_path
path_of(const char *text)
{
	return path_with(hash_well, text);
}

static inline const struct effect *
effect_with(watch_hash_fn hash, uint8_t type, const char *text)
{
	static uint64_t memory[(sizeof(struct effect) + PATH_MAX_BYTES) / 8];
	struct effect *effect = (struct effect *)(void *)memory;
	const uint32_t bytes = (uint32_t)strlen(text);

	assert_true(bytes <= PATH_MAX_BYTES);
	memset(memory, 0, sizeof(memory));
	effect->path_hash = hash(NULL, &(struct hash_prefix){0}, text, bytes);
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

static inline void
add(struct watch_table *table, uint32_t conn, const char *text, uint32_t mode)
{
	assert_int_equal(
		watch_add(table, conn, path_of(text), (enum watch_mode)mode),
		0);
}

/* Fires and returns how many were told at once. */
static inline uint64_t
fire(struct watch_table *table, uint8_t type, const char *text)
{
	const uint64_t before = told_count;

	watch_fire(table, 1, effect_with(hash_well, type, text));
	return told_count - before;
}

/* The modes of a connection at a path, by asking for each type. */
static inline uint32_t
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

#endif
