/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transaction entries: the decoder accepts exactly what the model of format
 * strings accepts; what it accepts encodes to as many bytes, and from there on
 * to itself. Input: an entry.
 */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "txn_mirror.h"
#include "txn_model.h"

static int
decode_encode(const uint8_t *data, size_t bytes, uint8_t *out)
{
	struct jute_writer writer = jute_writer_of(out, bytes);
	struct txn_entry entry;
	const int err = txn_get_entry(data, bytes, &entry);

	FAL_ASSERT(err == FAL_OK || err == FAL_EPROTO);
	if (err == FAL_OK) {
		FAL_ASSERT(txn_mirror(&writer, &entry) == FAL_OK);
		FAL_ASSERT(!writer.is_full);
		FAL_ASSERT(jute_written(&writer) == bytes);
	}
	return err;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t *first = malloc(bytes + 1);
	uint8_t *second = malloc(bytes + 1);
	const int err = decode_encode(data, bytes, first);

	FAL_ASSERT(first != NULL);
	FAL_ASSERT(second != NULL);
	FAL_ASSERT((err == FAL_OK) == txn_model_accepts(data, bytes));
	if (err == FAL_OK) {
		FAL_ASSERT(decode_encode(first, bytes, second) == FAL_OK);
		FAL_ASSERT(memcmp(first, second, bytes) == 0);
	}
	free(first);
	free(second);
	return 0;
}
