/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multi: decode all, then run one after the other into the entry. Each
 * operation sees the tree as the ones before left it. At the first refusal the
 * tree is rolled back; the records before it stay in the entry as they are,
 * its own becomes an error record with the code, the later ones error records
 * with RUNTIMEINCONSISTENCY. That is how the reference server writes it, and
 * "any error element: apply nothing" is how it is read (disk-format.md 3).
 */
#include "znode/prep_impl.h"

/* Counts the operations; FAL_EPROTO if the body does not decode. */
static int
count_ops(const struct prep_request *request, uint32_t *count)
{
	struct jute_reader reader =
		jute_reader_of(request->body, request->body_bytes);
	struct prep_op op;
	int more;

	*count = 0;
	while ((more = prep_get_multi_op(&reader, &op)) > 0)
		(*count)++;
	return more;
}

static void
put_op(struct jute_writer *entry, const struct txn_record *record)
{
	const size_t mark = txn_put_multi_op_begin(entry, record->type);

	txn_put_record(entry, record);
	txn_put_multi_op_end(entry, mark);
}

/* Writes the rest of a multi whose operation `failed` was refused, and the
 * reply of all. */
static void
put_failure(struct prep *prep, struct jute_writer *entry, uint32_t failed,
	    uint32_t count, int32_t err)
{
	struct apply *apply = &prep->apply;
	struct txn_result *result = apply->result;

	result->reply.bytes = 0;
	result->effects.bytes = 0;
	result->effect_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct txn_record record = {.type = OP_ERROR};

		if (i == failed)
			record.err = err;
		else if (i > failed)
			record.err = ZK_RUNTIMEINCONSISTENCY;
		if (i >= failed)
			put_op(entry, &record);
		apply_reply_error(apply, record.err);
	}
}

int32_t
prep_run_multi(struct prep *prep, const struct prep_asker *asker,
	       const struct prep_request *request, struct jute_writer *entry)
{
	struct apply *apply = &prep->apply;
	struct jute_reader reader =
		jute_reader_of(request->body, request->body_bytes);
	uint32_t count;
	int32_t err = ZK_OK;

	if (count_ops(request, &count) != 0)
		return ZK_MARSHALLINGERROR;
	apply->is_multi = true;
	txn_put_record(entry, &(struct txn_record){.type = OP_MULTI,
						   .op_count = (int32_t)count});
	for (uint32_t i = 0; i < count; i++) {
		struct prep_op op;
		struct txn_record record;

		if (prep_get_multi_op(&reader, &op) <= 0)
			return ZK_MARSHALLINGERROR; /* counted just now */
		if (op.type == OP_CREATE2 &&
		    prep->options.answers_create2_as_create)
			op.type = OP_CREATE;
		err = prep_run_op(prep, asker, &op, &record);
		if (apply->fail != 0)
			return ZK_OK;
		/* Upstream's own accidents end the whole request. */
		if (err == ZK_MARSHALLINGERROR)
			return err;
		if (err != ZK_OK) {
			tree_txn_rollback(apply->tree);
			put_failure(prep, entry, i, count, err);
			break;
		}
		/* ZooKeeper before 3.9 skips a create2 in a multi, of a leader
		 * and of a log, and says nothing. */
		if (record.type == OP_CREATE2)
			record.type = OP_CREATE;
		put_op(entry, &record);
		if (entry->is_full)
			break;
	}
	apply_reply_end(apply);
	if (err == ZK_SESSIONMOVED)
		apply->result->must_close = true;
	return ZK_OK;
}
