/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create, create2, createContainer, createTTL: the checks of client-protocol.md
 * 3.3 in their order, first failure wins. The opcode decides the kind that is
 * stored; flags decide "sequential", for plain creates "ephemeral", and take
 * part in the checks.
 *
 * The suffix of a sequential node is the parent's create counter. Tree and log
 * take the counter only when it gets larger; so behind 2147483647, where
 * upstream's pending counter wraps, it stands still. Within one multi the
 * wrapped counter is continued here, because there the names that upstream
 * gives do not depend on timing.
 */
#include "znode/prep_impl.h"

/* Digits of "%010d", sign included, at most. */
#define SUFFIX_BYTES_MAX 11u

static bool
is_sequential(int32_t flags)
{
	return flags == CREATE_PERSISTENT_SEQUENTIAL ||
	       flags == CREATE_EPHEMERAL_SEQUENTIAL ||
	       flags == CREATE_PERSISTENT_SEQUENTIAL_TTL;
}

static bool
is_ephemeral(int32_t flags)
{
	return flags == CREATE_EPHEMERAL ||
	       flags == CREATE_EPHEMERAL_SEQUENTIAL;
}

/* Rows 2 to 5. A createTTL with other flags and a negative ttl passes the
 * check upstream and then kills every replica (section 19, 1). */
static int32_t
check_mode(const struct prep *prep, const struct prep_asker *asker,
	   const struct prep_op *op)
{
	const int64_t ttl = op->type == OP_CREATE_TTL ? op->ttl : -1;

	if (op->flags < CREATE_PERSISTENT ||
	    op->flags > CREATE_PERSISTENT_SEQUENTIAL_TTL)
		return ZK_BADARGUMENTS;
	if (prep_is_ttl_mode(op->flags)) {
		if (!prep->options.has_extended_types)
			return ZK_UNIMPLEMENTED;
		if (ttl < 1 || ttl > PROTO_TTL_MAX)
			return ZK_BADARGUMENTS;
	} else if (op->type == OP_CREATE_TTL) {
		return ZK_BADARGUMENTS;
	}
	/* Of a learner's session the leader only knows that it is not
	 * everybody's; the learner would have told the client better. */
	if (is_ephemeral(op->flags) && asker->is_local_session)
		return asker->is_forwarded ? ZK_SESSIONEXPIRED
					   : ZK_EPHEMERALONLOCALSESSION;
	return asker->session_err;
}

/* Row 6. */
static int32_t
check_shape(struct jute_slice path)
{
	if (path.bytes < 0)
		return ZK_MARSHALLINGERROR;
	if (path.bytes == 0 ||
	    memchr(path.data, '/', (size_t)path.bytes) == NULL ||
	    memchr(path.data, 0, (size_t)path.bytes) != NULL)
		return ZK_BADARGUMENTS;
	return ZK_OK;
}

/* Text before the last slash; "" and "/" are the root. */
static struct tree_path
parent_of(const struct apply *apply, struct jute_slice path)
{
	const uint8_t *slash = memrchr(path.data, '/', (size_t)path.bytes);
	const uint32_t bytes = (uint32_t)(slash - path.data);

	if (bytes == 0 || (bytes == 1 && path.data[0] == '/'))
		return apply->root;
	return tree_path_of(apply->tree, path.data, bytes);
}

/* C's "%010d". Returns the length. */
static uint32_t
put_suffix(uint8_t to[static SUFFIX_BYTES_MAX], int32_t counter)
{
	const bool is_negative = counter < 0;
	uint32_t rest =
		is_negative ? 0u - (uint32_t)counter : (uint32_t)counter;
	uint8_t digits[SUFFIX_BYTES_MAX];
	uint32_t count = 0;
	uint32_t bytes = 0;

	do {
		digits[count++] = (uint8_t)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (is_negative)
		to[bytes++] = '-';
	for (uint32_t pad = count + bytes; pad < 10; pad++)
		to[bytes++] = '0';
	while (count > 0)
		to[bytes++] = digits[--count];
	return bytes;
}

static struct prep_wrapped *
find_wrapped(struct prep *prep, const struct znode *parent)
{
	struct prep_wrapped *all = (void *)prep->wrapped.data;
	const size_t count = prep->wrapped.bytes / sizeof(all[0]);

	for (size_t i = 0; i < count; i++) {
		if (all[i].parent == parent)
			return &all[i];
	}
	return NULL;
}

/* The counter that the next create under `parent` sees. */
static int32_t
pending_cversion(struct prep *prep, const struct znode *parent,
		 const struct tree_stat *stat)
{
	const struct prep_wrapped *wrapped = NULL;

	if (FAL_UNLIKELY(prep->wrapped.bytes > 0))
		wrapped = find_wrapped(prep, parent);
	return wrapped == NULL ? stat->cversion : wrapped->cversion;
}

/* Remembers a counter that went past its end, for the rest of a multi. */
static void
note_wrapped(struct prep *prep, struct znode *parent,
	     const struct tree_stat *stat, int32_t cversion)
{
	if (FAL_LIKELY(cversion > stat->cversion) || !prep->apply.is_multi)
		return;
	struct prep_wrapped *wrapped = find_wrapped(prep, parent);

	if (wrapped == NULL)
		wrapped = (void *)apply_claim(&prep->apply, &prep->wrapped,
					      sizeof(*wrapped));
	if (wrapped != NULL)
		*wrapped = (struct prep_wrapped){parent, cversion};
}

/* The final path: as given, or with the suffix in prep.name. */
static struct jute_slice
final_path(struct prep *prep, const struct prep_op *op, int32_t counter)
{
	if (!is_sequential(op->flags))
		return op->path;
	prep->name.bytes = 0;
	uint8_t *text = apply_claim(&prep->apply, &prep->name,
				    (size_t)op->path.bytes + SUFFIX_BYTES_MAX);

	if (text == NULL)
		return op->path;
	memcpy(text, op->path.data, (size_t)op->path.bytes);
	const uint32_t suffix = put_suffix(text + op->path.bytes, counter);

	return jute_slice_of(text, (size_t)op->path.bytes + suffix);
}

static int64_t
create_owner(const struct prep_asker *asker, const struct prep_op *op)
{
	if (op->type == OP_CREATE_CONTAINER)
		return PROTO_CONTAINER_OWNER;
	if (op->type == OP_CREATE_TTL)
		return PROTO_TTL_MASK | op->ttl;
	return is_ephemeral(op->flags) ? asker->session_id : 0;
}

/* Rows 10 to 13. */
static int32_t
check_place(struct prep *prep, const struct apply_path *path,
	    const struct tree_stat *parent, struct jute_slice data)
{
	struct apply *apply = &prep->apply;

	if (tree_find(apply->tree, path->self) != NULL)
		return ZK_NODEEXISTS;
	if (tree_kind_of(apply->tree, parent->owner) == TREE_EPHEMERAL)
		return ZK_NOCHILDRENFOREPHEMERALS;
	if (!prep->options.enforce_quota)
		return ZK_OK;
	return quota_check(apply->quota,
			   jute_slice_of(path->self.text, path->self.bytes), 1,
			   data.bytes > 0 ? data.bytes : 0);
}

/* All checks passed: make the node, the record and the reply. */
static void
make(struct prep *prep, const struct prep_asker *asker,
     const struct prep_op *op, struct znode *parent,
     const struct tree_stat *stat, const struct apply_path *path,
     int32_t counter, struct txn_record *record)
{
	struct apply *apply = &prep->apply;
	const int32_t cversion = (int32_t)((uint32_t)counter + 1);
	const struct apply_node node = {
		.data = op->data,
		.acl = apply_intern_acl(apply, &record->acl),
		.owner = create_owner(asker, op),
		.parent_cversion = cversion};

	if (node.acl == 0)
		return;
	struct znode *made = apply_create(apply, parent, path, &node);

	if (made == NULL)
		return;
	note_wrapped(prep, parent, stat, cversion);
	record->type = op->type;
	record->path = jute_slice_of(path->self.text, path->self.bytes);
	record->data = op->data;
	record->is_ephemeral = is_ephemeral(op->flags);
	record->parent_cversion = cversion;
	record->ttl = op->ttl;
	apply_reply(apply, op->type, record->path, made);
	apply_count_created(apply, made, path, op->data);
}

int32_t
prep_run_create(struct prep *prep, const struct prep_asker *asker,
		const struct prep_op *op, struct txn_record *record)
{
	struct apply *apply = &prep->apply;
	struct apply_path path;
	struct tree_stat stat;
	int32_t err = check_mode(prep, asker, op);

	if (err == ZK_OK)
		err = check_shape(op->path);
	*record = (struct txn_record){.type = op->type};
	if (err == ZK_OK)
		err = prep_fix_acl(prep, asker, &op->acl, &record->acl);
	if (err != ZK_OK || apply->fail != 0)
		return err;
	path.parent = parent_of(apply, op->path);
	struct znode *parent = tree_find(apply->tree, path.parent);

	if (parent == NULL)
		return ZK_NONODE;
	tree_spec_stat(apply->tree, parent, &stat);
	if (!prep_may(prep, asker, stat.acl, PERM_CREATE))
		return ZK_NOAUTH;
	const int32_t counter = pending_cversion(prep, parent, &stat);
	const struct jute_slice full = final_path(prep, op, counter);

	if (apply->fail != 0)
		return ZK_OK;
	if (!prep_path_is_valid(full.data, (uint32_t)full.bytes))
		return ZK_BADARGUMENTS;
	path.self = tree_path_of(apply->tree, full.data, (uint32_t)full.bytes);
	err = check_place(prep, &path, &stat, op->data);
	if (err != ZK_OK)
		return err;
	make(prep, asker, op, parent, &stat, &path, counter, record);
	return ZK_OK;
}
