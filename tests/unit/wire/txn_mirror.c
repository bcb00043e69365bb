/* SPDX-License-Identifier: Apache-2.0 */
/* Multis are the reason for a file: their operations go out one by one. */

#include "txn_mirror.h"

int
txn_mirror(struct jute_writer *writer, const struct txn_entry *entry)
{
	const struct txn_record *record = &entry->record;

	txn_put_header(writer, &entry->header);
	txn_put_record(writer, record);
	if (record->type == OP_MULTI) {
		struct jute_reader ops =
			jute_reader_of(record->ops, record->ops_bytes);

		for (int32_t i = 0; i < record->op_count; i++) {
			struct txn_record op;
			size_t mark;

			if (txn_get_multi_op(&ops, &op) != FAL_OK)
				return FAL_EPROTO;
			mark = txn_put_multi_op_begin(writer, op.type);
			txn_put_record(writer, &op);
			txn_put_multi_op_end(writer, mark);
		}
		if (jute_reader_left(&ops) != 0)
			return FAL_EPROTO;
	}
	if (entry->has_digest)
		txn_put_digest(writer, entry->digest);
	return FAL_OK;
}
