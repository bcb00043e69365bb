/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single operations other than creates: decode, check in the order of
 * client-protocol.md section 3, apply. Also what upstream refuses while it
 * decodes the operations of a multi, which differs from what it refuses later.
 */
#include "znode/prep_impl.h"
#include "znode/tree_impl.h"

/* No log takes an entry of more. Each of thousands of `auth` entries stands for
 * all identities of a connection: 50,000 times 64 KiB in one request. */
#define FIXED_ACL_BYTES_MAX (8u << 20)

/* ---- decoding ------------------------------------------------------------ */

static int
get_create(struct jute_reader *reader, int32_t type, struct prep_op *out)
{
	struct proto_create_request request;
	const int err = proto_get_create(reader, type, &request);

	*out = (struct prep_op){.type = type,
				.path = request.path,
				.data = request.data,
				.acl = request.acl,
				.flags = request.flags,
				.ttl = request.ttl};
	return err;
}

static int
get_set_acl(struct jute_reader *reader, struct prep_op *out)
{
	struct proto_set_acl_request request;
	const int err = proto_get_set_acl(reader, &request);

	*out = (struct prep_op){.type = OP_SET_ACL,
				.path = request.path,
				.acl = request.acl,
				.version = request.version};
	return err;
}

static int
get_path_version(struct jute_reader *reader, int32_t type, struct prep_op *out)
{
	struct proto_path_version request;
	const int err = proto_get_path_version(reader, &request);

	*out = (struct prep_op){
		.type = type, .path = request.path, .version = request.version};
	return err;
}

int
prep_get_op(struct jute_reader *reader, int32_t type, struct prep_op *out)
{
	switch (type) {
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
		return get_create(reader, type, out);
	case OP_DELETE:
	case OP_CHECK:
		return get_path_version(reader, type, out);
	case OP_SET_DATA:
		return prep_get_set_data(reader, out);
	case OP_SET_ACL:
		return get_set_acl(reader, out);
	case OP_DELETE_CONTAINER:
		*out = (struct prep_op){.type = type};
		return proto_get_path(reader, &out->path);
	default:
		return FAL_EPROTO;
	}
}

/*
 * In a multi the flags have a say in what is made, and upstream builds its
 * objects while decoding: flags out of range, TTL flags without a ttl and
 * null lists are decoding errors there, except under createTTL.
 */
static int
settle_multi_create(struct prep_op *op)
{
	if (op->type == OP_CREATE_TTL) {
		if (prep_is_ttl_mode(op->flags))
			return 1;
		op->type = OP_CREATE;
		op->ttl = -1;
	} else if (op->flags < CREATE_PERSISTENT ||
		   op->flags > CREATE_CONTAINER || op->acl.count == -1) {
		return FAL_EPROTO;
	}
	if (op->flags == CREATE_CONTAINER)
		op->type = OP_CREATE_CONTAINER;
	return 1;
}

int
prep_get_multi_op(struct jute_reader *reader, struct prep_op *out)
{
	struct proto_multi_header header;

	if (proto_get_multi_header(reader, &header) != 0)
		return FAL_EPROTO;
	if (header.is_done)
		return 0;
	switch (header.type) {
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
	case OP_DELETE:
	case OP_SET_DATA:
	case OP_CHECK:
		break;
	default:
		return FAL_EPROTO; /* reads too: they belong to multiRead */
	}
	if (prep_get_op(reader, header.type, out) != 0 || out->path.bytes < 0)
		return FAL_EPROTO;
	if (header.type == OP_DELETE || header.type == OP_SET_DATA ||
	    header.type == OP_CHECK)
		return 1;
	return settle_multi_create(out);
}

/* ---- checks -------------------------------------------------------------- */

bool
prep_may(const struct prep *prep, const struct prep_asker *asker, uint32_t acl,
	 int32_t perms)
{
	if (FAL_LIKELY(acl == ACL_ID_OPEN))
		return true;
	return acl_permits(acl_table_get(prep->apply.acls, acl), asker->ids,
			   perms);
}

int32_t
prep_fix_acl(struct prep *prep, const struct prep_asker *asker,
	     const struct jute_vector *given, struct jute_vector *fixed)
{
	struct apply *apply = &prep->apply;
	struct jute_writer writer;
	int32_t err;

	for (;;) {
		writer = jute_writer_of(prep->acl.data, prep->acl.cap);
		err = acl_fix(prep->options.acl, given, asker->ids, &writer);
		if (FAL_LIKELY(!writer.is_full))
			break;
		if (prep->acl.cap >= FIXED_ACL_BYTES_MAX) {
			apply->fail = FAL_ENOSPC;
			return ZK_OK;
		}
		/* Full, so one more byte doubles it. */
		prep->acl.bytes = prep->acl.cap;
		if (apply_claim(apply, &prep->acl, 1) == NULL)
			return ZK_OK;
	}
	if (err != ZK_OK)
		return err;
	fixed->data = writer.start + 4;
	fixed->count = (int32_t)be_load32(writer.start);
	fixed->bytes = (uint32_t)jute_written(&writer) - 4;
	return ZK_OK;
}

/* The next version, or the refusal. -1 is skipped, because as a condition it
 * means "any". */
static int32_t
next_version(int32_t current, int32_t expected, int32_t *next)
{
	if (expected != -1 && expected != current)
		return ZK_BADVERSION;
	*next = (int32_t)((uint32_t)current + 1);
	if (*next == -1)
		*next = 0;
	return ZK_OK;
}

static bool
is_special(struct jute_slice path)
{
	static const char *const special[] = {
		"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"};

	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		const struct jute_slice one =
			jute_slice_of(special[i], strlen(special[i]));

		if (jute_slice_equal(path, one))
			return true;
	}
	return false;
}

/* Deletes validate no more than this. Null goes wrong upstream. */
static int32_t
split_for_delete(struct prep *prep, struct jute_slice path,
		 struct apply_path *out)
{
	if (path.bytes < 0)
		return ZK_MARSHALLINGERROR;
	if (is_special(path) ||
	    memchr(path.data, 0, (size_t)path.bytes) != NULL ||
	    !apply_path_of(&prep->apply, path, out))
		return ZK_BADARGUMENTS;
	return ZK_OK;
}

static int32_t
run_delete(struct prep *prep, const struct prep_asker *asker,
	   const struct prep_op *op, struct txn_record *record)
{
	struct apply *apply = &prep->apply;
	struct apply_path path;
	struct tree_stat stat;
	int32_t version;

	if (asker->session_err != ZK_OK)
		return asker->session_err;
	const int32_t err = split_for_delete(prep, op->path, &path);

	if (err != ZK_OK)
		return err;
	/* A node that is there has its parent there: one lookup. */
	struct znode *node = tree_find(apply->tree, path.self);
	struct znode *parent = node != NULL
				       ? tree_parent(apply->tree, node)
				       : tree_find(apply->tree, path.parent);

	if (parent == NULL)
		return ZK_NONODE;
	spec_stat(apply->tree, parent, &stat);
	if (!prep_may(prep, asker, stat.acl, PERM_DELETE))
		return ZK_NOAUTH;
	if (node == NULL)
		return ZK_NONODE;
	spec_stat(apply->tree, node, &stat);
	if (next_version(stat.version, op->version, &version) != ZK_OK)
		return ZK_BADVERSION;
	if (stat.num_children > 0)
		return ZK_NOTEMPTY;
	apply_delete(apply, node, &path);
	*record = (struct txn_record){.type = OP_DELETE, .path = op->path};
	if (apply->is_multi)
		apply_reply(apply, OP_DELETE, op->path, NULL);
	return ZK_OK;
}

/* Internal: containers and TTL nodes that are due. No session, no ACL. */
static int32_t
run_delete_container(struct prep *prep, const struct prep_op *op,
		     struct txn_record *record)
{
	struct apply *apply = &prep->apply;
	struct apply_path path;
	struct tree_stat stat;
	const int32_t err = split_for_delete(prep, op->path, &path);

	if (err != ZK_OK)
		return err;
	struct znode *node = tree_find(apply->tree, path.self);

	if (node == NULL)
		return ZK_NONODE;
	spec_stat(apply->tree, node, &stat);
	if (stat.num_children > 0)
		return ZK_NOTEMPTY;
	if (tree_kind_of(apply->tree, stat.owner) == TREE_EPHEMERAL)
		return ZK_BADVERSION;
	apply_delete(apply, node, &path);
	*record = (struct txn_record){.type = OP_DELETE_CONTAINER,
				      .path = op->path};
	return ZK_OK;
}

/* What setData, setACL and check begin with. node: out, NULL if missing. */
static int32_t
find_valid(struct prep *prep, const struct prep_asker *asker,
	   const struct prep_op *op, struct tree_path *path)
{
	if (asker->session_err != ZK_OK)
		return asker->session_err;
	if (op->path.bytes < 0 ||
	    !prep_path_is_valid(op->path.data, (uint32_t)op->path.bytes))
		return ZK_BADARGUMENTS;
	*path = tree_path_of(prep->apply.tree, op->path.data,
			     (uint32_t)op->path.bytes);
	return ZK_OK;
}

int32_t
prep_set_data(struct prep *prep, const struct prep_asker *asker,
	      const struct prep_op *op, int32_t *version)
{
	struct apply *apply = &prep->apply;
	struct tree_path path;
	struct tree_stat stat;
	int32_t err = find_valid(prep, asker, op, &path);

	if (err != ZK_OK)
		return err;
	struct znode *node = tree_find(apply->tree, path);

	if (node == NULL)
		return ZK_NONODE;
	spec_stat(apply->tree, node, &stat);
	if (!prep_may(prep, asker, stat.acl, PERM_WRITE))
		return ZK_NOAUTH;
	if (prep->options.enforce_quota) {
		const int64_t before =
			stat.data_bytes > 0 ? stat.data_bytes : 0;
		const int64_t after = op->data.bytes > 0 ? op->data.bytes : 0;

		err = quota_check(apply->quota, op->path, 0, after - before);
		if (err != ZK_OK)
			return err;
	}
	err = next_version(stat.version, op->version, version);
	if (err != ZK_OK)
		return err;
	apply_set_data(apply, node, path, op->data, *version);
	if (apply->fail == 0)
		apply_reply_stat(apply, OP_SET_DATA, node);
	return ZK_OK;
}

static int32_t
run_set_data(struct prep *prep, const struct prep_asker *asker,
	     const struct prep_op *op, struct txn_record *record)
{
	int32_t version;
	const int32_t err = prep_set_data(prep, asker, op, &version);

	if (err == ZK_OK)
		*record = (struct txn_record){.type = OP_SET_DATA,
					      .path = op->path,
					      .data = op->data,
					      .version = version};
	return err;
}

static int32_t
run_set_acl(struct prep *prep, const struct prep_asker *asker,
	    const struct prep_op *op, struct txn_record *record)
{
	struct apply *apply = &prep->apply;
	struct tree_path path;
	struct tree_stat stat;
	struct jute_vector fixed;
	int32_t version;
	int32_t err = find_valid(prep, asker, op, &path);

	if (err != ZK_OK)
		return err;
	err = prep_fix_acl(prep, asker, &op->acl, &fixed);
	if (err != ZK_OK || apply->fail != 0)
		return err;
	struct znode *node = tree_find(apply->tree, path);

	if (node == NULL)
		return ZK_NONODE;
	spec_stat(apply->tree, node, &stat);
	if (!prep_may(prep, asker, stat.acl, PERM_ADMIN))
		return ZK_NOAUTH;
	err = next_version(stat.aversion, op->version, &version);
	if (err != ZK_OK)
		return err;
	const uint32_t acl = apply_intern_acl(apply, &fixed);

	if (acl == 0)
		return ZK_OK;
	const int failed = tree_set_acl(apply->tree, node, acl, version);

	if (failed != 0)
		apply->fail = failed;
	*record = (struct txn_record){.type = OP_SET_ACL,
				      .path = op->path,
				      .acl = fixed,
				      .version = version};
	if (apply->fail == 0)
		apply_reply(apply, OP_SET_ACL, op->path, node);
	return ZK_OK;
}

static int32_t
run_check(struct prep *prep, const struct prep_asker *asker,
	  const struct prep_op *op, struct txn_record *record)
{
	struct apply *apply = &prep->apply;
	struct tree_path path;
	struct tree_stat stat;
	int32_t version;
	const int32_t err = find_valid(prep, asker, op, &path);

	if (err != ZK_OK)
		return err;
	struct znode *node = tree_find(apply->tree, path);

	if (node == NULL)
		return ZK_NONODE;
	spec_stat(apply->tree, node, &stat);
	if (!prep_may(prep, asker, stat.acl, PERM_READ))
		return ZK_NOAUTH;
	if (next_version(stat.version, op->version, &version) != ZK_OK)
		return ZK_BADVERSION;
	*record = (struct txn_record){
		.type = OP_CHECK, .path = op->path, .version = version};
	apply_reply(apply, OP_CHECK, op->path, NULL);
	return ZK_OK;
}

int32_t
prep_run_op(struct prep *prep, const struct prep_asker *asker,
	    const struct prep_op *op, struct txn_record *record)
{
	switch (op->type) {
	case OP_DELETE:
		return run_delete(prep, asker, op, record);
	case OP_DELETE_CONTAINER:
		return run_delete_container(prep, op, record);
	case OP_SET_DATA:
		return run_set_data(prep, asker, op, record);
	case OP_SET_ACL:
		return run_set_acl(prep, asker, op, record);
	case OP_CHECK:
		return run_check(prep, asker, op, record);
	default:
		return prep_run_create(prep, asker, op, record);
	}
}
