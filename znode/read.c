/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read - look up, check READ on the version's ACL, encode.
 *
 * A list that is world:anyone ALL, which nearly all are, is known by its id and
 * costs no look at the table.
 */
#include "znode/read.h"

#include <string.h>

#include "znode/tree_impl.h"

static inline bool
acl_is_permitting(struct tree *tree, uint32_t acl, const struct auth_ids *ids,
		  int32_t perms)
{
	return acl == ACL_ID_OPEN ||
	       acl_permits(acl_table_get(tree_acls(tree), acl), ids, perms);
}

bool
read_permits(struct tree *tree, const struct znode *node, uint64_t S,
	     const struct auth_ids *ids, int32_t perms)
{
	struct tree_stat stat;

	tree_stat_at(tree, node, S, &stat);
	return acl_is_permitting(tree, stat.acl, ids, perms);
}

int32_t
read_find(struct tree *tree, uint64_t S, const struct tree_path *path,
	  const struct auth_ids *ids, int32_t perms, const struct znode **node,
	  struct tree_stat *stat)
{
	*node = tree_lookup(tree, *path, S);
	if (*node == NULL)
		return ZK_NONODE;
	tree_stat_at(tree, *node, S, stat);
	return acl_is_permitting(tree, stat->acl, ids, perms) ? ZK_OK
							      : ZK_NOAUTH;
}

static void
put_stat(const struct tree *tree, const struct tree_stat *stat,
	 struct jute_writer *out)
{
	struct proto_stat shown;

	tree_stat_show(tree, stat, &shown);
	proto_put_stat(out, &shown);
}

int32_t
read_exists(struct tree *tree, uint64_t S, const struct tree_path *path,
	    const struct auth_ids *ids, struct jute_writer *out)
{
	const struct znode *node;
	struct tree_stat stat;

	if (path->bytes > 0 && memchr(path->text, 0, path->bytes) != NULL)
		return ZK_BADARGUMENTS;

	const int32_t err =
		read_find(tree, S, path, ids, PERM_READ, &node, &stat);

	if (err == ZK_OK)
		put_stat(tree, &stat, out);
	return err;
}

/* In one piece from the version to the reply, with one look at the room. */
int32_t
read_get_data(struct tree *tree, uint64_t S, const struct tree_path *path,
	      const struct auth_ids *ids, struct jute_writer *out)
{
	const struct znode *node = node_lookup(tree, path, S);

	if (node == NULL)
		return ZK_NONODE;

	const struct version *version = version_at(tree, node, S);

	if (FAL_UNLIKELY(
		    !acl_is_permitting(tree, version->acl, ids, PERM_READ)))
		return ZK_NOAUTH;

	const struct jute_slice data = version_data(&tree->region, version);
	const uint32_t bytes = data.bytes > 0 ? (uint32_t)data.bytes : 0;
	uint8_t *to = jute_claim(out, 4 + (size_t)bytes + PROTO_STAT_BYTES);
	struct tree_stat stat;
	struct proto_stat shown;

	if (to == NULL)
		return ZK_OK; /* out->is_full says the rest */
	be_store32(to, (uint32_t)data.bytes);
	bytes_copy(to + 4, data.data, bytes);
	version_stat(node, version, &stat);
	stat.data_bytes = (int32_t)bytes; /* as it is shown, null or not */
	stat_show(tree, &stat, &shown);
	proto_store_stat(to + 4 + bytes, &shown);
	return ZK_OK;
}

int32_t
read_get_children(struct tree *tree, uint64_t S, const struct tree_path *path,
		  const struct auth_ids *ids, bool has_stat,
		  uint32_t children_max, struct jute_writer *out)
{
	const struct znode *node, *child;
	struct jute_slice name;
	struct tree_stat stat;
	uint64_t cursor = 0;
	uint32_t count = 0;
	const int32_t err =
		read_find(tree, S, path, ids, PERM_READ, &node, &stat);

	if (err != ZK_OK)
		return err;
	if (stat.num_children > children_max)
		return READ_IS_LONG;
	jute_put_int(out, (int32_t)stat.num_children);
	while (!out->is_full &&
	       tree_child_next(tree, node, S, &cursor, &name, &child)) {
		jute_put_slice(out, name);
		count++;
	}
	/* What the parent says and what the array shows are one state. */
	FAL_ASSERT(out->is_full || count == stat.num_children);
	if (has_stat)
		put_stat(tree, &stat, out);
	return ZK_OK;
}

int32_t
read_get_acl(struct tree *tree, uint64_t S, const struct tree_path *path,
	     const struct auth_ids *ids, struct jute_writer *out)
{
	const struct znode *node;
	struct tree_stat stat;
	const int32_t err = read_find(tree, S, path, ids,
				      PERM_READ | PERM_ADMIN, &node, &stat);

	if (err != ZK_OK)
		return err;
	acl_put_shown(out, acl_table_get(tree_acls(tree), stat.acl),
		      acl_is_permitting(tree, stat.acl, ids, PERM_ADMIN));
	put_stat(tree, &stat, out);
	return ZK_OK;
}
