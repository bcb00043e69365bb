/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transaction entries: the decoder accepts exactly what the model of format
 * strings accepts; what it accepts encodes to as many bytes, less what errors
 * of a multi hold beside their code, and from there on to itself. Input: an
 * entry.
 */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "txn_mirror.h"
#include "txn_model.h"

#define ERROR_BYTES 4u

/* Operations that ZooKeeper left inside of errors: they are passed over. */
static size_t
hidden_bytes(const struct txn_record *record)
{
	struct jute_reader ops;
	size_t hidden = 0;

	if (record->type != OP_MULTI)
		return 0;
	ops = jute_reader_of(record->ops, record->ops_bytes);
	for (int32_t i = 0; i < record->op_count; i++) {
		const int32_t type = jute_get_int(&ops);
		const struct jute_slice body = jute_get_slice(&ops);

		if (type == OP_ERROR)
			hidden += (size_t)body.bytes - ERROR_BYTES;
	}
	FAL_ASSERT(jute_reader_ok(&ops));
	return hidden;
}

/* *encoded: bytes written to out. */
static int
decode_encode(const uint8_t *data, size_t bytes, uint8_t *out, size_t *encoded)
{
	struct jute_writer writer = jute_writer_of(out, bytes);
	struct txn_entry entry;
	const int err = txn_get_entry(data, bytes, &entry);

	FAL_ASSERT(err == FAL_OK || err == FAL_EPROTO);
	if (err == FAL_OK) {
		FAL_ASSERT(txn_mirror(&writer, &entry) == FAL_OK);
		FAL_ASSERT(!writer.is_full);
		*encoded = jute_written(&writer);
		FAL_ASSERT(*encoded + hidden_bytes(&entry.record) == bytes);
	}
	return err;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t *first = malloc(bytes + 1);
	uint8_t *second = malloc(bytes + 1);
	size_t encoded = 0, again = 0;
	const int err = decode_encode(data, bytes, first, &encoded);

	FAL_ASSERT(first != NULL);
	FAL_ASSERT(second != NULL);
	FAL_ASSERT((err == FAL_OK) == txn_model_accepts(data, bytes));
	if (err == FAL_OK) {
		FAL_ASSERT(decode_encode(first, encoded, second, &again) ==
			   FAL_OK);
		FAL_ASSERT(again == encoded);
		FAL_ASSERT(memcmp(first, second, encoded) == 0);
	}
	free(first);
	free(second);
	return 0;
}
