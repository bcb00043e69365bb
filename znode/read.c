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

/* In one piece from the version to the reply, with one look at the room.
 * Returns the bytes of the body; of one that does not fit nothing is written.
 */
static inline __attribute__((always_inline)) size_t
put_data(struct tree *tree, uint64_t S, const struct tree_path *path,
	 const struct znode *guess, const struct auth_ids *ids, uint8_t *to,
	 size_t room, int32_t *err)
{
	const struct znode *node = node_lookup_from(tree, guess, path, S);

	*err = ZK_NONODE;
	if (node == NULL)
		return 0;

	const struct version *version = version_at(tree, node, S);

	*err = ZK_NOAUTH;
	if (FAL_UNLIKELY(
		    !acl_is_permitting(tree, version->acl, ids, PERM_READ)))
		return 0;

	const struct jute_slice data = version_data(&tree->region, version);
	size_t bytes = (uint32_t)data.bytes;
	struct tree_stat stat;
	struct proto_stat shown;

	*err = ZK_OK;
	if (FAL_UNLIKELY(data.bytes < 0))
		bytes = 0;
	if (FAL_UNLIKELY(4 + bytes + PROTO_STAT_BYTES > room))
		return 4 + bytes + PROTO_STAT_BYTES;
	be_store32(to, (uint32_t)data.bytes);
	bytes_copy(to + 4, data.data, bytes);
	version_stat(node, version, &stat);
	stat.data_bytes = (int32_t)bytes; /* as it is shown, null or not */
	stat_show(tree, &stat, &shown);
	proto_store_stat(to + 4 + bytes, &shown);
	return 4 + bytes + PROTO_STAT_BYTES;
}

static inline __attribute__((always_inline)) int32_t
get_data(struct tree *tree, uint64_t S, const struct tree_path *path,
	 const struct znode *guess, const struct auth_ids *ids,
	 struct jute_writer *out)
{
	const size_t room = out->is_full ? 0 : (size_t)(out->end - out->at);
	int32_t err;
	const size_t bytes =
		put_data(tree, S, path, guess, ids, out->at, room, &err);

	if (err == ZK_OK)
		(void)jute_claim(out, bytes); /* else out->is_full */
	return err;
}

int32_t
read_get_data(struct tree *tree, uint64_t S, const struct tree_path *path,
	      const struct auth_ids *ids, struct jute_writer *out)
{
	return get_data(tree, S, path, node_guess(tree, path->hash), ids, out);
}

int32_t
read_get_data_aimed(struct tree *tree, uint64_t S, const struct tree_aim *aim,
		    const struct auth_ids *ids, struct jute_writer *out)
{
	return get_data(tree, S, &aim->path, aim->guess, ids, out);
}

uint32_t
read_data_at(struct tree *tree, uint64_t S, const struct tree_aim *aim,
	     const struct auth_ids *ids, uint8_t *to, uint32_t room)
{
	int32_t err;
	const size_t bytes =
		put_data(tree, S, &aim->path, aim->guess, ids, to, room, &err);

	return bytes <= room ? (uint32_t)bytes : 0;
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
