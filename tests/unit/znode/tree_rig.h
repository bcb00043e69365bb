/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_ZNODE_TREE_RIG_H
#define FALCONER_TESTS_UNIT_ZNODE_TREE_RIG_H

/*
 * tree_rig - a tree of its own for each test, and transactions of one change.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "znode/digest.h"
#include "znode/read.h"
#include "znode/walk.h"

struct fixture {
	struct tree *tree;
	_Atomic uint64_t P;
	int64_t zxid;
};

static inline struct tree_path
path_of(const struct fixture *f, const char *text)
{
	return tree_path_of(f->tree, text, (uint32_t)strlen(text));
}

/* Valid until the next call. */
static inline const struct tree_path *
at(const struct fixture *f, const char *text)
{
	static struct tree_path path;

	path = path_of(f, text);
	return &path;
}

static inline int
setup(void **state)
{
	const struct tree_options options = {
		.is_digest_on = true,
		.has_extended_types = true,
		.poisons_freed = true,
	};
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return f == NULL ? -1 : tree_create(&options, &f->tree);
}

static inline int
teardown(void **state)
{
	struct fixture *f = *state;

	tree_destroy(f->tree);
	free(f);
	return 0;
}

static inline void
begin(struct fixture *f)
{
	f->zxid++;
	tree_txn_begin(f->tree, f->zxid, 1000 + f->zxid);
}

static inline void
finish(struct fixture *f)
{
	(void)tree_txn_end(f->tree);
	tree_publish(f->tree, f->zxid);
	atomic_store(&f->P, (uint64_t)f->zxid);
}

static inline struct znode *
insert(struct fixture *f, const char *path, const char *data, int64_t owner)
{
	const char *slash = strrchr(path, '/');
	struct znode *parent = tree_find(
		f->tree, tree_path_of(f->tree, path, (uint32_t)(slash - path)));
	struct znode *node = NULL;
	struct tree_stat stat;

	assert_non_null(parent);
	assert_int_equal(tree_insert(f->tree, parent, path_of(f, path),
				     jute_slice_of(data, strlen(data)),
				     ACL_ID_OPEN, owner, &node),
			 0);
	tree_spec_stat(f->tree, parent, &stat);
	assert_int_equal(
		tree_set_parent(f->tree, parent, stat.cversion + 1, f->zxid),
		0);
	return node;
}

static inline void
create(struct fixture *f, const char *path, const char *data, int64_t owner)
{
	begin(f);
	(void)insert(f, path, data, owner);
	finish(f);
}

static inline void
set(struct fixture *f, const char *path, const char *data)
{
	begin(f);
	assert_int_equal(tree_set_data(f->tree,
				       tree_find(f->tree, path_of(f, path)),
				       jute_slice_of(data, strlen(data)), 1),
			 0);
	finish(f);
}

static inline void
remove_path(struct fixture *f, const char *path)
{
	begin(f);
	assert_int_equal(
		tree_remove(f->tree, tree_find(f->tree, path_of(f, path))), 0);
	finish(f);
}

static inline bool
exists_at(const struct fixture *f, const char *path, int64_t S)
{
	return tree_lookup(f->tree, path_of(f, path), (uint64_t)S) != NULL;
}

static inline void
assert_data_at(const struct fixture *f, const char *path, int64_t S,
	       const char *data)
{
	const struct znode *node =
		tree_lookup(f->tree, path_of(f, path), (uint64_t)S);
	struct jute_slice is;

	assert_non_null(node);
	is = tree_data_at(f->tree, node, (uint64_t)S);
	assert_int_equal(is.bytes, strlen(data));
	assert_memory_equal(is.data, data, strlen(data));
}

static inline struct tree_counts
counts_of(const struct fixture *f)
{
	struct tree_counts counts;

	tree_counts(f->tree, &counts);
	return counts;
}

/* ---- golden -------------------------------------------------------------- */

static inline void
assert_fresh(const struct fixture *f, const char *path, int32_t cversion,
	     int32_t aversion, int32_t num_children, uint32_t acl)
{
	const struct znode *node = tree_lookup(f->tree, path_of(f, path), 0);
	struct proto_stat stat;
	struct tree_stat stored;

	assert_non_null(node);
	tree_proto_stat_at(f->tree, node, 0, &stat);
	tree_stat_at(f->tree, node, 0, &stored);
	assert_int_equal(stat.cversion, cversion);
	assert_int_equal(stat.aversion, aversion);
	assert_int_equal(stat.num_children, num_children);
	assert_int_equal(stat.czxid | stat.mzxid | stat.pzxid | stat.ctime |
				 stat.mtime | stat.version |
				 stat.ephemeral_owner | stat.data_length,
			 0);
	assert_int_equal(stored.acl, acl);
	assert_int_equal(tree_data_at(f->tree, node, 0).bytes, 0);
}

/* ---- replies ------------------------------------------------------------- */

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
