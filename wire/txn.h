/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_WIRE_TXN_H
#define FALCONER_WIRE_TXN_H

/*
 * txn - transaction entries as logged and proposed.
 *
 *   entry := TxnHeader (32 bytes) | record | TxnDigest (12 bytes, optional)
 *
 * The entry is byte-identical in log files and in PROPOSAL packets. After the
 * record 0 or 12 bytes remain, anything else is corruption; a closeSession may
 * lack its body (disk-format.md section 3, "ambiguity").
 *
 * What a decoded record promises: paths are never null; data and acl may be
 * (null data is kept apart from empty data; a null acl means world:anyone
 * all). A check on its own decodes, since such logs exist and an import must
 * name them; never write one.
 *
 * Context    any thread; no allocation, no globals.
 * Ownership  slices and vectors point into the decoded bytes.
 * Errors     decoders return 0 or FAL_EPROTO (then *out is unspecified).
 *            Encoders stick in the writer: look at is_full.
 * Cost       one pass over the bytes.
 * Source     disk-format.md sections 2 and 3.
 */

#include "wire/proto.h"

#define TXN_HEADER_BYTES   32
#define TXN_DIGEST_BYTES   12
#define TXN_DIGEST_VERSION 2

struct txn_header {
	int64_t session_id;
	int32_t cxid;
	int64_t zxid;
	int64_t time_ms; /* leader's wall clock, since 1970 */
	int32_t type;
};

/* One record; which fields count is decided by type. */
struct txn_record {
	int32_t type;
	struct jute_slice path, data;
	struct jute_vector acl;
	bool is_ephemeral;
	bool is_v0;               /* create without parent_cversion */
	int32_t parent_cversion;  /* -1 also when is_v0 */
	int64_t ttl;              /* createTTL */
	int32_t version;          /* setData, setACL, check: new version */
	int32_t err;              /* error */
	int32_t timeout_ms;       /* createSession */
	bool has_paths;           /* closeSession: body was there */
	struct jute_vector paths; /* closeSession: ustrings */
	int32_t op_count;         /* multi */
	const uint8_t *ops;       /* multi: first (type, buffer) */
	uint32_t ops_bytes;
};

struct txn_entry {
	struct txn_header header;
	struct txn_record record;
	bool has_digest;
	int32_t digest_version;
	uint64_t digest;
};

/* Decodes a whole entry of `bytes` bytes. Returns 0 or FAL_EPROTO. Multi
 * operations are checked one by one too. */
FAL_MUST_CHECK int txn_get_entry(const void *data, size_t bytes,
				 struct txn_entry *out);

/* Decodes one record of the given type that fills the reader to its end (the
 * body of a multi's operation). Multis are FAL_EPROTO here. */
FAL_MUST_CHECK int txn_get_record(struct jute_reader *, int32_t type,
				  struct txn_record *out);

/* Next operation of a multi. *ops is a reader over record.ops; call op_count
 * times. Only creates, deletes, setData, check and error may stand there. */
FAL_MUST_CHECK int txn_get_multi_op(struct jute_reader *ops,
				    struct txn_record *out);

void txn_put_header(struct jute_writer *, const struct txn_header *);
/* Writes the record's body (no type). For a multi: only the count; the caller
 * follows with txn_put_multi_op_begin/end around each record. */
void txn_put_record(struct jute_writer *, const struct txn_record *);
/* The same of a setData, without a record around it. */
void txn_put_set_data(struct jute_writer *, struct jute_slice path,
		      struct jute_slice data, int32_t version);
/* Writes the type and leaves room for the buffer's length; returns a mark for
 * txn_put_multi_op_end(), which fills the length in. */
size_t txn_put_multi_op_begin(struct jute_writer *, int32_t type);
void txn_put_multi_op_end(struct jute_writer *, size_t mark);
void txn_put_digest(struct jute_writer *, uint64_t tree_digest);

#endif
