/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order inside a step is: look at the old state, change the tree, note the
 * events, update quota usage. The parent's create counter and pzxid are set
 * here and nowhere else, by the rule "only if larger", which makes replay over
 * a fuzzy snapshot end at the same tree (disk-format.md section 8).
 */
#include "znode/apply.h"

#include <stdlib.h>

#include "znode/tree_impl.h"

#define TXN_BYTES_MIN 1024u
/* Nodes of a closeSession that are deleted before others have their turn. */
#define CLOSE_PART 256u

/* One entry world:anyone ALL, without the vector's count. */
static const uint8_t open_acl[] = {0,   0,   0,   31,  0,   0,   0,  5,
				   'w', 'o', 'r', 'l', 'd', 0,   0,  0,
				   6,   'a', 'n', 'y', 'o', 'n', 'e'};

static __attribute__((noinline)) bool
grow(struct apply *apply, struct txn_bytes *bytes, size_t more)
{
	uint64_t cap = bytes->cap < TXN_BYTES_MIN ? TXN_BYTES_MIN : bytes->cap;

	while (cap - bytes->bytes < more)
		cap *= 2;
	uint8_t *data = cap > UINT32_MAX ? NULL : realloc(bytes->data, cap);

	if (data == NULL) {
		apply->fail = FAL_ENOMEM;
		return false;
	}
	bytes->data = data;
	bytes->cap = (uint32_t)cap;
	return true;
}

/* apply_claim(), inline for what each transaction needs. */
static inline uint8_t *
claim(struct apply *apply, struct txn_bytes *bytes, size_t more)
{
	if (FAL_UNLIKELY(more > bytes->cap - bytes->bytes) &&
	    !grow(apply, bytes, more))
		return NULL;
	uint8_t *at = bytes->data + bytes->bytes;

	bytes->bytes += (uint32_t)more;
	return at;
}

uint8_t *
apply_claim(struct apply *apply, struct txn_bytes *bytes, size_t more)
{
	return claim(apply, bytes, more);
}

void
apply_begin(struct apply *apply, struct txn_result *result, int64_t zxid,
	    int64_t session_id)
{
	apply->zxid = zxid;
	apply->session_id = session_id;
	apply->result = result;
	apply->is_multi = false;
	apply->may_pause = false;
	apply->fail = 0;
	if (result == NULL)
		return;
	result->zxid = zxid;
	result->err = ZK_OK;
	result->must_close = false;
	result->reply.bytes = 0;
	result->effects.bytes = 0;
	result->effect_count = 0;
	result->entry_bytes = 0;
	result->digest = 0;
}

bool
apply_path_of(const struct apply *apply, struct jute_slice path,
	      struct apply_path *out)
{
	if (path.bytes < 2)
		return false;
	const uint8_t *slash = memrchr(path.data, '/', (size_t)path.bytes);

	if (slash == NULL)
		return false;
	const uint32_t parent = (uint32_t)(slash - path.data);

	out->self = tree_path_of(apply->tree, path.data, (uint32_t)path.bytes);
	/* "//x" has the parent "/", which is the root as well. */
	if (parent == 0 || (parent == 1 && path.data[0] == '/'))
		out->parent = apply->root;
	else
		out->parent = tree_path_of(apply->tree, path.data, parent);
	return true;
}

struct jute_slice
apply_node_path(struct apply *apply, const struct znode *node)
{
	struct txn_bytes *text = &apply->path_text;

	text->bytes = 0;
	const uint32_t bytes =
		tree_path_text(apply->tree, node, text->data, text->cap);

	if (bytes > text->cap) {
		if (apply_claim(apply, text, bytes) == NULL)
			return (struct jute_slice){.bytes = -1};
		(void)tree_path_text(apply->tree, node, text->data, text->cap);
	}
	return jute_slice_of(text->data, bytes);
}

/* ---- effects and replies ------------------------------------------------- */

/* The tree knows the root as "", watchers know it as "/". */
static void
note_event(struct apply *apply, enum proto_event type, uint32_t tables,
	   const struct tree_path *path, uint32_t acl)
{
	struct txn_result *result = apply->result;
	const bool is_root = path->bytes == 0;
	const uint32_t path_bytes = is_root ? 1 : path->bytes;

	if (result == NULL)
		return;
	const uint32_t bytes = effect_bytes(path_bytes);
	uint8_t *at = claim(apply, &result->effects, bytes);

	if (at == NULL)
		return;
	/* The last word may be padding: nothing undefined may travel. */
	memset(at + bytes - 8, 0, 8);
	const struct effect effect = {.path_hash = path->hash,
				      .acl = acl,
				      .path_bytes = path_bytes,
				      .type = (uint8_t)type,
				      .tables = (uint8_t)tables};

	memcpy(at, &effect, sizeof(effect));
	bytes_copy(at + sizeof(effect),
		   is_root ? (const uint8_t *)"/" : path->text, path_bytes);
	result->effect_count++;
}

static inline void
store_spec_stat(const struct apply *apply, uint8_t *to,
		const struct znode *node)
{
	struct proto_stat shown;
	struct tree_stat stat;

	spec_stat(apply->tree, node, &stat);
	stat_show(apply->tree, &stat, &shown);
	proto_store_stat(to, &shown);
}

static void
put_spec_stat(const struct apply *apply, struct jute_writer *writer,
	      const struct znode *node)
{
	uint8_t *to = jute_claim(writer, PROTO_STAT_BYTES);

	if (to != NULL)
		store_spec_stat(apply, to, node);
}

/* The result type in a multi: creates that answer with a Stat are create2. */
static int32_t
multi_type_of(int32_t type)
{
	switch (type) {
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
		return OP_CREATE2;
	case OP_DELETE_CONTAINER:
		return OP_DELETE;
	default:
		return type;
	}
}

void
apply_reply(struct apply *apply, int32_t type, struct jute_slice path,
	    const struct znode *node)
{
	struct txn_result *result = apply->result;

	if (result == NULL)
		return;
	const struct jute_slice data =
		type == OP_RECONFIG ? tree_spec_data(apply->tree, node)
				    : jute_slice_of("", 0);
	const size_t room = PROTO_MULTI_HEADER_BYTES + PROTO_STAT_BYTES + 8 +
			    (size_t)(path.bytes > 0 ? path.bytes : 0) +
			    (size_t)(data.bytes > 0 ? data.bytes : 0);
	const uint32_t before = result->reply.bytes;
	uint8_t *at = apply_claim(apply, &result->reply, room);

	if (at == NULL)
		return;
	struct jute_writer writer = jute_writer_of(at, room);

	if (apply->is_multi)
		proto_put_multi_header(&writer,
				       &(struct proto_multi_header){
					       .type = multi_type_of(type)});
	if (type == OP_CREATE || multi_type_of(type) == OP_CREATE2)
		jute_put_slice(&writer, path);
	if (type == OP_RECONFIG)
		jute_put_slice(&writer, data);
	if (multi_type_of(type) == OP_CREATE2 || type == OP_SET_DATA ||
	    type == OP_SET_ACL || type == OP_RECONFIG)
		put_spec_stat(apply, &writer, node);
	FAL_ASSERT(!writer.is_full);
	result->reply.bytes = before + (uint32_t)jute_written(&writer);
}

void
apply_reply_stat(struct apply *apply, int32_t type, const struct znode *node)
{
	struct txn_result *result = apply->result;
	uint8_t *at;

	if (FAL_UNLIKELY(apply->is_multi)) {
		apply_reply(apply, type, jute_slice_of("", 0), node);
		return;
	}
	at = result == NULL ? NULL
			    : claim(apply, &result->reply, PROTO_STAT_BYTES);
	if (at != NULL)
		store_spec_stat(apply, at, node);
}

static void
reply_header(struct apply *apply, const struct proto_multi_header *header,
	     bool has_error)
{
	const size_t room = PROTO_MULTI_HEADER_BYTES + (has_error ? 4u : 0u);

	if (apply->result == NULL)
		return;
	uint8_t *at = apply_claim(apply, &apply->result->reply, room);

	if (at == NULL)
		return;
	struct jute_writer writer = jute_writer_of(at, room);

	proto_put_multi_header(&writer, header);
	if (has_error)
		jute_put_int(&writer, header->err);
}

void
apply_reply_error(struct apply *apply, int32_t err)
{
	const struct proto_multi_header header = {.type = OP_ERROR, .err = err};

	reply_header(apply, &header, true);
}

void
apply_reply_end(struct apply *apply)
{
	const struct proto_multi_header header = {
		.type = OP_ERROR, .is_done = true, .err = -1};

	reply_header(apply, &header, false);
}

/* ---- steps --------------------------------------------------------------- */

static void
note_failure(struct apply *apply, int err)
{
	if (err != 0)
		apply->fail = err;
}

static uint32_t
data_bytes(struct jute_slice data)
{
	return data.bytes > 0 ? (uint32_t)data.bytes : 0;
}

/* Raises the parent's create counter, and pzxid along with it. Java's
 * arithmetic: the counter wraps, and is then not larger. */
static void
raise_cversion(struct apply *apply, struct znode *parent,
	       const struct tree_stat *stat, int32_t cversion)
{
	if (cversion == -1)
		cversion = (int32_t)((uint32_t)stat->cversion + 1);
	if (cversion > stat->cversion)
		note_failure(apply, tree_set_parent(apply->tree, parent,
						    cversion, apply->zxid));
}

struct znode *
apply_create(struct apply *apply, struct znode *parent,
	     const struct apply_path *path, const struct apply_node *node)
{
	struct tree_stat stat;
	struct znode *made;

	spec_stat(apply->tree, parent, &stat);
	const int err = tree_insert(apply->tree, parent, path->self, node->data,
				    node->acl, node->owner, &made);

	if (err != 0) {
		apply->fail = err;
		return NULL;
	}
	raise_cversion(apply, parent, &stat, node->parent_cversion);
	note_event(apply, EVENT_NODE_CREATED, EFFECT_TABLE_DATA, &path->self,
		   node->acl);
	note_event(apply, EVENT_NODE_CHILDREN_CHANGED, EFFECT_TABLE_CHILD,
		   &path->parent, stat.acl);
	return made;
}

static void
count_on(struct apply *apply)
{
	const int err = quota_count_on(apply->quota);

	if (err == FAL_EAGAIN)
		return;

	/* What named it may be gone by now. */
	const struct jute_slice text = apply_node_path(apply, apply->counted);

	apply->counted = NULL;
	note_failure(apply, err);
	if (apply->fail == 0)
		note_failure(apply, quota_add(apply->quota, text, 1,
					      apply->counted_bytes));
}

void
apply_count_created(struct apply *apply, struct znode *made,
		    const struct apply_path *path, struct jute_slice data)
{
	const struct jute_slice text =
		jute_slice_of(path->self.text, path->self.bytes);
	const int err = quota_created(apply->quota, made, text);

	if (FAL_UNLIKELY(err == FAL_EAGAIN)) {
		apply->counted = made;
		apply->counted_bytes = data_bytes(data);
		/* What follows in a multi wants to know the number. */
		while (apply->counted != NULL &&
		       (!apply->may_pause || apply->is_multi))
			count_on(apply);
		return;
	}
	note_failure(apply, err);
	note_failure(apply, quota_add(apply->quota, text, 1, data_bytes(data)));
}

/* Appends the children of `dir` to the list of a subtree. */
static void
list_children(struct apply *apply, const struct znode *dir)
{
	uint64_t cursor = 0;
	struct znode *child;

	while (apply->fail == 0 &&
	       (child = tree_spec_child(apply->tree, dir, &cursor)) != NULL) {
		uint8_t *at =
			apply_claim(apply, &apply->subtree, sizeof(child));

		if (at != NULL)
			memcpy(at, &child, sizeof(child));
	}
}

static struct znode *
listed_node(const struct apply *apply, uint32_t index)
{
	struct znode *node;

	memcpy(&node, apply->subtree.data + index * sizeof(node), sizeof(node));
	return node;
}

/* Removes everything below `top`. Only replay over a fuzzy snapshot finds
 * children under a node whose delete comes. Listed level by level, so that the
 * reverse order removes leaves first. */
static void
remove_below(struct apply *apply, const struct znode *top)
{
	apply->subtree.bytes = 0;
	list_children(apply, top);
	for (uint32_t i = 0; i < apply->subtree.bytes / sizeof(struct znode *);
	     i++)
		list_children(apply, listed_node(apply, i));

	uint32_t left = apply->subtree.bytes / (uint32_t)sizeof(struct znode *);

	while (left > 0 && apply->fail == 0)
		note_failure(apply, tree_remove(apply->tree,
						listed_node(apply, --left)));
}

void
apply_delete(struct apply *apply, struct znode *node,
	     const struct apply_path *path)
{
	struct znode *parent = tree_parent(apply->tree, node);
	struct tree_stat stat, parent_stat;

	FAL_ASSERT(parent != NULL);
	spec_stat(apply->tree, node, &stat);
	spec_stat(apply->tree, parent, &parent_stat);
	if (FAL_UNLIKELY(stat.num_children > 0))
		remove_below(apply, node);
	if (apply->fail != 0)
		return;
	const int err = tree_remove(apply->tree, node);

	if (err != 0) {
		apply->fail = err;
		return;
	}
	if (apply->zxid > parent_stat.pzxid)
		note_failure(apply, tree_set_parent(apply->tree, parent,
						    parent_stat.cversion,
						    apply->zxid));
	note_event(apply, EVENT_NODE_DELETED,
		   EFFECT_TABLE_DATA | EFFECT_TABLE_CHILD, &path->self,
		   stat.acl);
	note_event(apply, EVENT_NODE_CHILDREN_CHANGED, EFFECT_TABLE_CHILD,
		   &path->parent, parent_stat.acl);
	const int64_t bytes = stat.data_bytes > 0 ? stat.data_bytes : 0;

	note_failure(apply,
		     quota_add(apply->quota,
			       jute_slice_of(path->self.text, path->self.bytes),
			       -1, -bytes));
}

void
apply_set_data(struct apply *apply, struct znode *node, struct tree_path path,
	       struct jute_slice data, int32_t version)
{
	struct tree_stat stat;

	spec_stat(apply->tree, node, &stat);
	const int err =
		tree_set_data_at(apply->tree, node, path, data, version);

	if (err != 0) {
		apply->fail = err;
		return;
	}
	note_event(apply, EVENT_NODE_DATA_CHANGED, EFFECT_TABLE_DATA, &path,
		   stat.acl);
	const int64_t before = stat.data_bytes > 0 ? stat.data_bytes : 0;

	note_failure(apply, quota_add(apply->quota,
				      jute_slice_of(path.text, path.bytes), 0,
				      (int64_t)data_bytes(data) - before));
}

uint32_t
apply_intern_acl(struct apply *apply, const struct jute_vector *acl)
{
	/* Logs hold null lists where the reference server had none. */
	if (acl->count == -1 ||
	    (acl->count == 1 && acl->bytes == sizeof(open_acl) &&
	     memcmp(acl->data, open_acl, sizeof(open_acl)) == 0))
		return ACL_ID_OPEN;
	const uint32_t id = acl_table_intern(apply->acls, acl);

	if (id == 0)
		apply->fail = FAL_ENOMEM;
	return id;
}

/* ---- records made elsewhere ---------------------------------------------- */

static int64_t
owner_of(struct apply *apply, const struct txn_record *record)
{
	switch (record->type) {
	case OP_CREATE_CONTAINER:
		return PROTO_CONTAINER_OWNER;
	case OP_CREATE_TTL:
		if (record->ttl > 0 && record->ttl <= PROTO_TTL_MAX)
			return PROTO_TTL_MASK | record->ttl;
		/* Kills a Java replica; the log must stay readable here. */
		apply->counts->bad_ttls++;
		return 0;
	default:
		return record->is_ephemeral ? apply->session_id : 0;
	}
}

/* The node of a create is there: its later changes are in the log too, only
 * the ACL and the parent's counters have to be brought up. */
static int32_t
recreate(struct apply *apply, const struct txn_record *record,
	 struct znode *parent, struct znode *node, uint32_t acl)
{
	struct tree_stat stat;

	spec_stat(apply->tree, node, &stat);
	if (stat.acl != acl)
		note_failure(apply, tree_set_acl(apply->tree, node, acl,
						 stat.aversion));
	else
		acl_table_unref(apply->acls, acl);
	if (record->type == OP_CREATE) {
		spec_stat(apply->tree, parent, &stat);
		raise_cversion(apply, parent, &stat, record->parent_cversion);
	}
	return ZK_NODEEXISTS;
}

/* Paths that no server makes would name a node without a name, or the root's
 * child by a second path. */
static bool
is_creatable(struct jute_slice path)
{
	return path.bytes >= 2 && path.data[path.bytes - 1] != '/' &&
	       memcmp(path.data, "//", 2) != 0;
}

static int32_t
apply_create_record(struct apply *apply, const struct txn_record *record)
{
	struct apply_path path;

	if (!is_creatable(record->path) ||
	    !apply_path_of(apply, record->path, &path))
		return ZK_NONODE;
	struct znode *parent = tree_find(apply->tree, path.parent);

	if (parent == NULL)
		return ZK_NONODE;
	const uint32_t acl = apply_intern_acl(apply, &record->acl);

	if (acl == 0)
		return ZK_OK;
	struct znode *node = tree_find(apply->tree, path.self);

	if (FAL_UNLIKELY(node != NULL))
		return recreate(apply, record, parent, node, acl);
	const struct apply_node made = {.data = record->data,
					.acl = acl,
					.owner = owner_of(apply, record),
					.parent_cversion =
						record->parent_cversion};

	node = apply_create(apply, parent, &path, &made);
	if (node == NULL)
		return ZK_OK;
	apply_reply(apply, record->type, record->path, node);
	apply_count_created(apply, node, &path, record->data);
	return ZK_OK;
}

/* Also for paths of a closeSession. An absent node still moves its parent's
 * pzxid: the snapshot replayed over may have missed only the child. */
static int32_t
delete_path(struct apply *apply, struct jute_slice text)
{
	struct apply_path path;
	struct tree_stat stat;

	if (!apply_path_of(apply, text, &path))
		return ZK_NONODE;
	struct znode *node = tree_find(apply->tree, path.self);

	if (node != NULL) {
		apply_delete(apply, node, &path);
		return ZK_OK;
	}
	struct znode *parent = tree_find(apply->tree, path.parent);

	if (parent == NULL)
		return ZK_NONODE;
	spec_stat(apply->tree, parent, &stat);
	if (apply->zxid > stat.pzxid)
		note_failure(apply,
			     tree_set_parent(apply->tree, parent, stat.cversion,
					     apply->zxid));
	return ZK_NONODE;
}

static int32_t
apply_update_record(struct apply *apply, const struct txn_record *record)
{
	const struct tree_path path = tree_path_of(
		apply->tree, record->path.data, data_bytes(record->path));
	struct znode *node = tree_find(apply->tree, path);

	if (node == NULL)
		return ZK_NONODE;
	if (record->type == OP_SET_ACL) {
		const uint32_t acl = apply_intern_acl(apply, &record->acl);

		if (acl != 0)
			note_failure(apply, tree_set_acl(apply->tree, node, acl,
							 record->version));
	} else {
		apply_set_data(apply, node, path, record->data,
			       record->version);
	}
	if (apply->fail == 0)
		apply_reply(apply, record->type, record->path, node);
	return ZK_OK;
}

/* First the paths that the leader saw, then what is left of the session. */
static void
close_part(struct apply *apply)
{
	for (uint32_t i = 0; i < CLOSE_PART && apply->fail == 0; i++) {
		if (apply->close_left > 0) {
			apply->close_left--;
			(void)delete_path(apply,
					  jute_get_slice(&apply->close_paths));
			continue;
		}

		const struct znode *node =
			tree_ephemeral(apply->tree, apply->session_id, 0);

		if (node == NULL) {
			apply->is_closing = false;
			return;
		}

		const struct jute_slice text = apply_node_path(apply, node);

		if (apply->fail == 0)
			(void)delete_path(apply, text);
	}
}

static void
apply_close_record(struct apply *apply, const struct txn_record *record)
{
	apply->close_paths =
		jute_reader_of(record->paths.data, record->paths.bytes);
	apply->close_left = record->has_paths ? record->paths.count : 0;
	apply->is_closing = true;
	do
		close_part(apply);
	while (apply->is_closing && apply->fail == 0 && !apply->may_pause);
}

void
apply_go_on(struct apply *apply)
{
	if (apply->counted != NULL)
		count_on(apply);
	else
		close_part(apply);
}

void
apply_forget(struct apply *apply)
{
	if (apply->counted != NULL)
		quota_count_drop(apply->quota);
	apply->counted = NULL;
	apply->is_closing = false;
}

int32_t
apply_record(struct apply *apply, const struct txn_record *record)
{
	int32_t err = ZK_OK;

	switch (record->type) {
	case OP_CREATE:
	case OP_CREATE2:
	case OP_CREATE_CONTAINER:
	case OP_CREATE_TTL:
		return apply_create_record(apply, record);
	case OP_DELETE:
	case OP_DELETE_CONTAINER:
		err = delete_path(apply, record->path);
		if (err == ZK_OK && apply->is_multi)
			apply_reply(apply, OP_DELETE, record->path, NULL);
		return err;
	case OP_SET_DATA:
	case OP_SET_ACL:
	case OP_RECONFIG:
		return apply_update_record(apply, record);
	case OP_CLOSE_SESSION:
		apply_close_record(apply, record);
		return ZK_OK;
	case OP_CHECK:
		if (apply->is_multi)
			apply_reply(apply, OP_CHECK, record->path, NULL);
		else
			apply->counts->bare_checks++;
		return ZK_OK;
	case OP_ERROR:
		return record->err;
	default:
		return ZK_OK; /* createSession: see prep_publish_session() */
	}
}
