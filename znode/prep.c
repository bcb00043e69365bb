/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request, one transaction:
 *
 *   decode -> begin -> header into the entry -> checks and steps -> record
 *   -> end (digest) -> digest into the entry
 *
 * A refusal rewinds the entry and writes an `error` transaction in its place;
 * it takes the zxid all the same, since other replicas count. Error
 * transactions carry no digest (disk-format.md section 2).
 *
 * A closeSession deletes any number of nodes, and a quota's statistics count
 * any number. Each stays one transaction, open in the tree from the first step
 * to the last; nothing else is applied meanwhile.
 *
 * A multi that does not decode is an error transaction too, because upstream
 * numbers it before it decodes; other bodies that do not decode take no zxid.
 */
#include "znode/prep.h"

#include <stdlib.h>

#include "znode/prep_impl.h"

/* Ephemerals that one step deletes: a few hundred microseconds. */
#define CLOSE_STEP 256u

int
prep_create(const struct prep_options *options, struct tree *tree,
	    struct session_table *sessions, struct prep **out)
{
	struct prep *prep = calloc(1, sizeof(*prep));

	if (prep == NULL)
		return FAL_ENOMEM;
	const int err = quota_create(tree, &prep->apply.quota);

	if (err != 0) {
		free(prep);
		return err;
	}
	prep->options = *options;
	prep->sessions = sessions;
	prep->apply.tree = tree;
	prep->apply.acls = tree_acls(tree);
	prep->apply.root = tree_path_of(tree, "/", 1);
	prep->apply.counts = &prep->counts;
	/* Lists are written there without asking first. */
	if (apply_claim(&prep->apply, &prep->acl, 1) == NULL) {
		prep_destroy(prep);
		return FAL_ENOMEM;
	}
	*out = prep;
	return 0;
}

void
prep_destroy(struct prep *prep)
{
	if (prep == NULL)
		return;
	quota_destroy(prep->apply.quota);
	free(prep->apply.path_text.data);
	free(prep->apply.subtree.data);
	free(prep->acl.data);
	free(prep->name.data);
	free(prep->wrapped.data);
	free(prep);
}

void
prep_get_counts(const struct prep *prep, struct prep_counts *out)
{
	*out = prep->counts;
}

const struct namespace_counts *
prep_quota_refused(const struct prep *prep)
{
	return quota_refused(prep->apply.quota);
}

void
txn_result_free(struct txn_result *result)
{
	free(result->reply.data);
	free(result->effects.data);
	result->reply = (struct txn_bytes){.data = NULL};
	result->effects = (struct txn_bytes){.data = NULL};
}

/* Closes a transaction as if it had never been opened: its zxid may come
 * again. */
static void
abandon(struct apply *apply)
{
	apply_forget(apply);
	tree_txn_rollback(apply->tree);
	(void)tree_txn_end(apply->tree);
	tree_undo_after(apply->tree, apply->zxid - 1);
}

/* ---- parts of a request -------------------------------------------------- */

/* Decodes what is decoded before a zxid is taken. */
static int
decode(const struct prep_request *request, struct prep_op *op)
{
	struct jute_reader reader =
		jute_reader_of(request->body, request->body_bytes);
	struct proto_reconfig_request reconfig;

	if (FAL_LIKELY(request->type == OP_SET_DATA))
		return prep_get_set_data(&reader, op);
	switch (request->type) {
	case OP_MULTI:
	case OP_CREATE_SESSION:
	case OP_CLOSE_SESSION:
		*op = (struct prep_op){.type = request->type};
		return 0;
	case OP_RECONFIG:
		*op = (struct prep_op){.type = request->type};
		return proto_get_reconfig(&reader, &reconfig);
	case OP_CHECK:
		return FAL_EPROTO; /* only inside a multi: section 19, 4 */
	default:
		return prep_get_op(&reader, request->type, op);
	}
}

/* Types that a session need not stand behind. closeSession is one: the expiry
 * of a session asks for it without being its owner. */
static bool
needs_session(const struct prep_request *request)
{
	return request->type != OP_CREATE_SESSION &&
	       request->type != OP_CLOSE_SESSION &&
	       request->type != OP_DELETE_CONTAINER &&
	       !request->is_local_session;
}

static void
put_header(struct prep_run *run, int32_t type)
{
	run->header.type = type;
	run->prep->apply.result->type = type;
	txn_put_header(run->entry, &run->header);
}

/* Takes back what was done and written, leaves an error transaction. */
static void
put_error(struct prep_run *run, int32_t err)
{
	struct txn_result *result = run->prep->apply.result;

	tree_txn_rollback(run->prep->apply.tree);
	run->entry->at = run->start;
	result->reply.bytes = 0;
	result->effects.bytes = 0;
	result->effect_count = 0;
	result->err = err;
	result->must_close |= err == ZK_SESSIONMOVED;
	put_header(run, OP_ERROR);
	txn_put_record(run->entry,
		       &(struct txn_record){.type = OP_ERROR, .err = err});
}

static void
run_create_session(struct prep_run *run)
{
	txn_put_record(
		run->entry,
		&(struct txn_record){.type = OP_CREATE_SESSION,
				     .timeout_ms = run->request->timeout_ms});
}

/*
 * Deletes a step's share of the session's ephemerals one by one and lists their
 * paths as they go: the tree's order is the order of the list, so replicas tell
 * their watchers in the same order.
 */
static void
close_some(struct prep_run *run)
{
	struct apply *apply = &run->prep->apply;

	run->has_more = false;
	for (uint32_t i = 0; i < CLOSE_STEP; i++) {
		struct znode *node =
			tree_ephemeral(apply->tree, apply->session_id, 0);

		if (node == NULL) {
			if (run->count_at != NULL)
				be_store32(run->count_at, run->count);
			return;
		}

		const struct jute_slice text = apply_node_path(apply, node);
		struct apply_path path;

		if (apply->fail != 0 || run->entry->is_full ||
		    !apply_path_of(apply, text, &path))
			return;
		apply_delete(apply, node, &path);
		if (run->count_at != NULL)
			jute_put_slice(run->entry, text);
		run->count++;
	}
	run->has_more = true;
}

static void
run_close_session(struct prep_run *run)
{
	if (run->prep->options.has_close_paths)
		run->count_at = jute_claim(run->entry, sizeof(uint32_t));
	close_some(run);
}

/* From now on writes of the session are refused; not before it is certain that
 * the transaction stands. */
static void
mark_closing(const struct prep_run *run)
{
	struct session *session =
		session_find(run->prep->sessions, run->request->session_id);

	if (session != NULL)
		session->is_closing = true;
}

#define CONFIG_NODE "/zookeeper/config"

/* The new text becomes the data of the config node; its data version is always
 * -1. A standalone server has no quorum to change. */
static int32_t
set_config(struct prep_run *run, const struct prep_asker *asker)
{
	struct apply *apply = &run->prep->apply;
	const struct jute_slice path =
		jute_slice_of(CONFIG_NODE, sizeof(CONFIG_NODE) - 1);
	const struct tree_path at =
		tree_path_of(apply->tree, CONFIG_NODE, sizeof(CONFIG_NODE) - 1);
	struct znode *node = tree_find(apply->tree, at);
	struct tree_stat stat;

	if (node == NULL)
		return ZK_NONODE;
	tree_spec_stat(apply->tree, node, &stat);
	if (!prep_may(run->prep, asker, stat.acl, PERM_WRITE))
		return ZK_NOAUTH;
	apply_set_data(apply, node, at, run->request->config, -1);
	txn_put_record(run->entry,
		       &(struct txn_record){.type = OP_RECONFIG,
					    .path = path,
					    .data = run->request->config,
					    .version = -1});
	if (apply->fail == 0)
		apply_reply(apply, OP_RECONFIG, path, node);
	return ZK_OK;
}

static int32_t
run_reconfig(struct prep_run *run, const struct prep_asker *asker)
{
	if (!run->prep->options.is_reconfig_enabled)
		return ZK_RECONFIGDISABLED;
	if (asker->session_err != ZK_OK)
		return asker->session_err;
	if (run->request->config_err != ZK_OK)
		return run->request->config_err;
	if (run->request->config.data == NULL)
		return ZK_UNIMPLEMENTED;
	return set_config(run, asker);
}

static int32_t
put_set_data(struct prep_run *run, const struct prep_asker *asker,
	     const struct prep_op *op)
{
	int32_t version;
	const int32_t err = prep_set_data(run->prep, asker, op, &version);

	if (err == ZK_OK && run->prep->apply.fail == 0)
		txn_put_set_data(run->entry, op->path, op->data, version);
	return err;
}

static int32_t
run_single(struct prep_run *run, const struct prep_asker *asker,
	   const struct prep_op *op)
{
	struct txn_record record;
	const int32_t err = prep_run_op(run->prep, asker, op, &record);

	if (err == ZK_OK && run->prep->apply.fail == 0)
		txn_put_record(run->entry, &record);
	return err;
}

static int32_t
run_by_type(struct prep_run *run, const struct prep_asker *asker,
	    const struct prep_op *op)
{
	if (FAL_LIKELY(run->request->type == OP_SET_DATA))
		return put_set_data(run, asker, op);
	switch (run->request->type) {
	case OP_CREATE_SESSION:
		run_create_session(run);
		return ZK_OK;
	case OP_CLOSE_SESSION:
		run_close_session(run);
		return ZK_OK;
	case OP_RECONFIG:
		return run_reconfig(run, asker);
	case OP_MULTI:
		return prep_run_multi(run->prep, asker, run->request,
				      run->entry);
	default:
		return run_single(run, asker, op);
	}
}

/* Room for the digest is looked for before the transaction is closed: after
 * that it could not be taken back. */
static int
finish(struct prep_run *run)
{
	struct prep *prep = run->prep;
	struct apply *apply = &prep->apply;
	const bool has_digest =
		prep->options.is_digest_on && run->header.type != OP_ERROR;
	const size_t room = (size_t)(run->entry->end - run->entry->at);

	if (apply->fail == 0 &&
	    (run->entry->is_full || (has_digest && room < TXN_DIGEST_BYTES)))
		apply->fail = FAL_ENOSPC;
	if (apply->fail != 0) {
		abandon(apply);
		run->entry->at = run->start;
		return apply->fail;
	}
	apply->result->digest = tree_txn_end(apply->tree);
	if (has_digest)
		txn_put_digest(run->entry, apply->result->digest);
	apply->result->entry_bytes = (uint32_t)(run->entry->at - run->start);
	if (run->header.type == OP_CLOSE_SESSION)
		mark_closing(run);
	return 0;
}

static struct prep_run
run_of(struct prep *prep, const struct prep_request *request, int64_t zxid,
       int64_t time_ms, struct jute_writer *entry)
{
	return (struct prep_run){.prep = prep,
				 .request = request,
				 .entry = entry,
				 .start = entry->at,
				 .header = {.session_id = request->session_id,
					    .cxid = request->cxid,
					    .zxid = zxid,
					    .time_ms = time_ms}};
}

/* What is left waits for prep_go_on(). */
static int
pause_or_finish(struct prep_run *run)
{
	run->has_more |= apply_has_more(&run->prep->apply);
	if (!run->has_more || run->prep->apply.fail != 0)
		return finish(run);
	run->prep->open = *run;
	return FAL_EAGAIN;
}

int
prep_go_on(struct prep *prep)
{
	struct prep_run run = prep->open;

	FAL_ASSERT(prep->open.has_more);
	prep->open.has_more = false;
	run.has_more = false;
	if (apply_has_more(&prep->apply))
		apply_go_on(&prep->apply);
	else
		close_some(&run);
	return pause_or_finish(&run);
}

void
prep_abandon(struct prep *prep)
{
	FAL_ASSERT(prep->open.has_more);
	prep->open.has_more = false;
	abandon(&prep->apply);
	prep->open.entry->at = prep->open.start;
}

int
prep_refuse(struct prep *prep, const struct prep_request *request, int64_t zxid,
	    int64_t time_ms, int32_t err, struct jute_writer *entry,
	    struct txn_result *result)
{
	struct prep_run run = run_of(prep, request, zxid, time_ms, entry);

	apply_begin(&prep->apply, result, zxid, request->session_id);
	tree_txn_begin(prep->apply.tree, zxid, time_ms);
	put_error(&run, err);
	return finish(&run);
}

int
prep_request(struct prep *prep, const struct prep_request *request,
	     int64_t zxid, int64_t time_ms, struct jute_writer *entry,
	     struct txn_result *result)
{
	struct prep_run run = run_of(prep, request, zxid, time_ms, entry);
	struct prep_asker asker = {.ids = request->ids,
				   .session_id = request->session_id,
				   .is_local_session =
					   request->is_local_session,
				   .is_forwarded = request->is_forwarded};
	struct prep_op op;

	FAL_ASSERT(!prep->open.has_more);
	if (decode(request, &op) != 0)
		return request->is_forwarded
			       ? prep_refuse(prep, request, zxid, time_ms,
					     ZK_MARSHALLINGERROR, entry, result)
			       : FAL_EPROTO;
	if (needs_session(request))
		asker.session_err = session_check(
			prep->sessions, request->session_id, request->owner);
	if (asker.session_err == ZK_UNKNOWNSESSION) {
		if (!request->is_forwarded)
			return FAL_ENOENT;
		asker.session_err = ZK_SESSIONEXPIRED;
	}
	apply_begin(&prep->apply, result, zxid, request->session_id);
	prep->apply.may_pause = true;
	prep->wrapped.bytes = 0;
	tree_txn_begin(prep->apply.tree, zxid, time_ms);
	put_header(&run, request->type);
	const int32_t err = run_by_type(&run, &asker, &op);

	if (err != ZK_OK && prep->apply.fail == 0)
		put_error(&run, err);
	return pause_or_finish(&run);
}

/* ---- entries made elsewhere ---------------------------------------------- */

/* Does a multi hold an error, so that nothing of it counts? */
static bool
is_failed_multi(const struct txn_record *multi)
{
	struct jute_reader ops = jute_reader_of(multi->ops, multi->ops_bytes);

	for (int32_t i = 0; i < multi->op_count; i++) {
		struct txn_record op;

		if (txn_get_multi_op(&ops, &op) != 0 || op.type == OP_ERROR)
			return true;
	}
	return false;
}

/* The codes are in the error records; operations before the first one were
 * good. must_close: a SESSIONMOVED among them. */
static void
reply_failed_multi(struct apply *apply, const struct txn_record *multi)
{
	struct jute_reader ops = jute_reader_of(multi->ops, multi->ops_bytes);

	for (int32_t i = 0; i < multi->op_count; i++) {
		struct txn_record op;
		const int err = txn_get_multi_op(&ops, &op);

		FAL_ASSERT(err == 0);
		const int32_t code = op.type == OP_ERROR ? op.err : ZK_OK;

		apply_reply_error(apply, code);
		if (apply->result != NULL && code == ZK_SESSIONMOVED)
			apply->result->must_close = true;
	}
}

static void
apply_multi(struct apply *apply, const struct txn_record *multi)
{
	struct jute_reader ops = jute_reader_of(multi->ops, multi->ops_bytes);

	apply->is_multi = true;
	if (is_failed_multi(multi)) {
		reply_failed_multi(apply, multi);
		apply_reply_end(apply);
		return;
	}
	for (int32_t i = 0; i < multi->op_count && apply->fail == 0; i++) {
		struct txn_record op;
		const int err = txn_get_multi_op(&ops, &op);

		FAL_ASSERT(err == 0); /* txn_get_entry() checked them all */
		const int32_t code = apply_record(apply, &op);

		if (code != ZK_OK)
			apply_reply_error(apply, code);
	}
	apply_reply_end(apply);
}

static void
apply_entry(struct apply *apply, const struct txn_entry *entry)
{
	if (entry->header.type == OP_MULTI) {
		apply_multi(apply, &entry->record);
		return;
	}
	const int32_t err = apply_record(apply, &entry->record);

	if (apply->result == NULL)
		return;
	apply->result->err = err;
	apply->result->must_close = err == ZK_SESSIONMOVED;
	if (err != ZK_OK)
		apply->result->reply.bytes = 0;
}

/* What was applied of an entry is all of it, or the rest waits. */
static int
pause_or_end(struct prep *prep, const struct txn_entry *entry, uint32_t bytes,
	     bool *digest_matches)
{
	struct apply *apply = &prep->apply;

	if (apply->fail != 0) {
		abandon(apply);
		return apply->fail;
	}
	if (FAL_UNLIKELY(apply_has_more(apply))) {
		if (entry != &prep->applied)
			prep->applied = *entry;
		prep->applied_bytes = bytes;
		return FAL_EAGAIN;
	}
	const uint64_t digest = tree_txn_end(apply->tree);

	if (prep->options.is_digest_on && entry->has_digest &&
	    entry->digest_version == TXN_DIGEST_VERSION &&
	    entry->digest != digest)
		*digest_matches = false;
	if (apply->result != NULL) {
		apply->result->type = entry->header.type;
		apply->result->digest = digest;
		apply->result->entry_bytes = bytes;
	}
	return 0;
}

int
prep_apply_some(struct prep *prep, const void *data, uint32_t bytes,
		struct txn_result *result, bool *digest_matches)
{
	struct apply *apply = &prep->apply;
	struct txn_entry entry;

	FAL_ASSERT(!apply_has_more(apply));
	if (txn_get_entry(data, bytes, &entry) != 0)
		return FAL_EPROTO;
	apply_begin(apply, result, entry.header.zxid, entry.header.session_id);
	apply->may_pause = true;
	tree_txn_begin(apply->tree, entry.header.zxid, entry.header.time_ms);
	apply_entry(apply, &entry);
	return pause_or_end(prep, &entry, bytes, digest_matches);
}

int
prep_apply_on(struct prep *prep, bool *digest_matches)
{
	FAL_ASSERT(apply_has_more(&prep->apply));
	apply_go_on(&prep->apply);
	return pause_or_end(prep, &prep->applied, prep->applied_bytes,
			    digest_matches);
}

int
prep_apply(struct prep *prep, const void *data, uint32_t bytes,
	   struct txn_result *result, bool *digest_matches)
{
	int err = prep_apply_some(prep, data, bytes, result, digest_matches);

	while (err == FAL_EAGAIN)
		err = prep_apply_on(prep, digest_matches);
	return err;
}

void
prep_publish_session(struct prep *prep, int32_t type, int64_t session_id,
		     int32_t timeout_ms, uint64_t now_ms)
{
	if (type == OP_CLOSE_SESSION) {
		session_remove(prep->sessions, session_id);
	} else if (type == OP_CREATE_SESSION) {
		/* All replicas have this session: going on without it would
		 * be going apart from them. */
		const struct session *added = session_add(
			prep->sessions, session_id, timeout_ms, now_ms);

		FAL_ASSERT(added != NULL);
	}
}

int
prep_check_syntax(int32_t type, const void *body, uint32_t bytes)
{
	const struct prep_request request = {
		.type = type, .body = body, .body_bytes = bytes};
	struct prep_op op;

	return decode(&request, &op) == 0 ? 0 : FAL_EPROTO;
}

static bool
is_ephemeral_op(const struct prep_op *op)
{
	return (op->type == OP_CREATE || op->type == OP_CREATE2) &&
	       (op->flags == CREATE_EPHEMERAL ||
		op->flags == CREATE_EPHEMERAL_SEQUENTIAL);
}

bool
prep_is_ephemeral(int32_t type, const void *body, uint32_t bytes)
{
	struct jute_reader reader = jute_reader_of(body, bytes);
	struct prep_op op;

	if (type == OP_CREATE || type == OP_CREATE2)
		return prep_get_op(&reader, type, &op) == 0 &&
		       is_ephemeral_op(&op);
	if (type != OP_MULTI)
		return false;
	while (prep_get_multi_op(&reader, &op) == 1)
		if (is_ephemeral_op(&op))
			return true;
	return false;
}
