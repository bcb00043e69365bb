/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eager - zookeeper.enableEagerACLCheck: a member of an ensemble refuses a
 * write that the ACLs it knows forbid before the leader hears of it, so that
 * it costs no transaction.
 *
 * As in ZooKeeper only create, create2, delete, setData and setACL are looked
 * at, and whatever is wrong with a request otherwise is the leader's to say.
 * Unlike there, a request behind unanswered ones of its connection is left to
 * the leader, too: they may change what would be looked at.
 */
#include "dataplane/reader_int.h"

#include "znode/read.h"

/* A list that needs more is checked by the leader alone. */
#define FIXED_ACL_BYTES 2048u

/* What a write needs, and of which node. */
struct need {
	struct jute_slice path;
	int32_t perm;
	bool has_acl;
	struct jute_vector acl;
};

/* The path up to its last slash; null: there is none. */
static struct jute_slice
parent_of(struct jute_slice path)
{
	int32_t bytes = path.bytes;

	while (bytes > 0 && path.data[bytes - 1] != '/')
		bytes--;
	if (bytes <= 0)
		return (struct jute_slice){.bytes = -1};
	return jute_slice_of(path.data, bytes == 1 ? 1 : (uint32_t)bytes - 1);
}

/* False: nothing is looked at. */
static bool
find_need(int32_t op, struct jute_reader *body, struct need *need)
{
	struct proto_create_request create;
	struct proto_path_version delete;
	struct proto_set_data_request set_data;
	struct proto_set_acl_request set_acl;

	*need = (struct need){.has_acl = false};
	switch (op) {
	case OP_CREATE:
	case OP_CREATE2:
		if (proto_get_create(body, op, &create) != 0)
			return false;
		need->path = parent_of(create.path);
		need->perm = PERM_CREATE;
		need->has_acl = true;
		need->acl = create.acl;
		break;
	case OP_DELETE:
		if (proto_get_path_version(body, &delete) != 0)
			return false;
		need->path = parent_of(delete.path);
		need->perm = PERM_DELETE;
		break;
	case OP_SET_DATA:
		if (proto_get_set_data(body, &set_data) != 0)
			return false;
		need->path = set_data.path;
		need->perm = PERM_WRITE;
		break;
	case OP_SET_ACL:
		if (proto_get_set_acl(body, &set_acl) != 0)
			return false;
		need->path = set_acl.path;
		need->perm = PERM_ADMIN;
		need->has_acl = true;
		need->acl = set_acl.acl;
		break;
	default:
		return false;
	}
	return need->path.bytes > 0;
}

static bool
is_invalid_acl(const struct reader *reader, const struct need *need,
	       const struct auth_ids *ids)
{
	uint8_t fixed[FIXED_ACL_BYTES];
	struct jute_writer writer = jute_writer_of(fixed, sizeof(fixed));

	return acl_fix(reader->options.acl, &need->acl, ids, &writer) ==
	       ZK_INVALIDACL;
}

int32_t
eager_check(struct reader *reader, const struct conn *conn,
	    const struct local_op *op)
{
	struct jute_reader body = jute_reader_of(op->body, op->body_bytes);
	const struct auth_ids *ids = conn->ids->list;
	const struct znode *node;
	struct tree_stat stat;
	struct need need;
	int32_t err;

	if (conn->head != NULL || !find_need(op->op, &body, &need))
		return ZK_OK;
	if (need.has_acl && is_invalid_acl(reader, &need, ids))
		return ZK_INVALIDACL;

	const struct tree_path path = tree_path_of(
		reader->parts.tree, need.path.data, (uint32_t)need.path.bytes);

	err = read_find(reader->parts.tree, reader->S, &path, ids, need.perm,
			&node, &stat);
	return err == ZK_NOAUTH ? err : ZK_OK;
}
