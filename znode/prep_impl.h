/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_PREP_IMPL_H
#define FALCONER_ZNODE_PREP_IMPL_H

/*
 * prep_impl - what the files of prep share; nobody else includes it.
 *
 * A request is decoded to struct prep_op (or several, in a multi), each op is
 * checked and applied by prep_run_op(), which gives the record to be written.
 */

#include "znode/apply.h"

/* A sequential create in a multi, under a parent whose counter is at its end:
 * the counter that the next one sees (client-protocol.md 3.4). */
struct prep_wrapped {
	struct znode *parent;
	int32_t cversion;
};

/* A request under way. */
struct prep_run {
	struct prep *prep;
	const struct prep_request *request;
	struct jute_writer *entry;
	uint8_t *start; /* of the entry */
	struct txn_header header;
	/* closeSession: where the number of paths goes, or NULL. */
	uint8_t *count_at;
	uint32_t count;
	bool has_more; /* goes on in prep_go_on() */
};

struct prep {
	struct prep_options options;
	struct session_table *sessions;
	struct apply apply;
	struct prep_counts counts;
	struct txn_bytes acl;     /* the list of the op under way, fixed */
	struct txn_bytes name;    /* the path of a sequential create */
	struct txn_bytes wrapped; /* of struct prep_wrapped */
	struct prep_run open;     /* if has_more: between two steps */
	/* An entry of which a part was applied: see apply_has_more(). */
	struct txn_entry applied;
	uint32_t applied_bytes;
};

/* One operation, decoded. type is that of the transaction's record; what a
 * setData does not have is not set in one. */
struct prep_op {
	int32_t type;
	struct jute_slice path, data;
	struct jute_vector acl;
	int32_t flags, version;
	int64_t ttl;
};

static inline bool
prep_is_ttl_mode(int32_t flags)
{
	return flags == CREATE_PERSISTENT_TTL ||
	       flags == CREATE_PERSISTENT_SEQUENTIAL_TTL;
}

/* Who asks. */
struct prep_asker {
	const struct auth_ids *ids;
	int64_t session_id;
	int32_t session_err; /* ZK_OK, or what its writes are refused with */
	bool is_local_session;
	bool is_forwarded;
};

/* Decodes the body of a create of any kind, delete, setData, setACL or check
 * (type is the opcode). Returns 0, FAL_EPROTO. */
FAL_MUST_CHECK int prep_get_op(struct jute_reader *, int32_t type,
			       struct prep_op *out);
/* That of a setData: most of all, inline. */
FAL_MUST_CHECK static inline int
prep_get_set_data(struct jute_reader *reader, struct prep_op *out)
{
	struct proto_set_data_request request;
	const int err = proto_get_set_data(reader, &request);

	out->type = OP_SET_DATA;
	out->path = request.path;
	out->data = request.data;
	out->version = request.version;
	return err;
}
/* The next operation of a multi: 1, 0 at the end marker, FAL_EPROTO (also for
 * what upstream refuses while decoding). */
FAL_MUST_CHECK int prep_get_multi_op(struct jute_reader *, struct prep_op *out);

/*
 * Checks an op in the order of client-protocol.md section 3 and applies it.
 *
 * record  out: what to write; points into the op and into buffers of prep that
 *         live until the next call
 *
 * Returns ZK_OK or the code; apply.fail is set for trouble of kind two.
 */
int32_t prep_run_op(struct prep *, const struct prep_asker *,
		    const struct prep_op *, struct txn_record *record);
/* The same of a setData; version: out, the node's next one. */
int32_t prep_set_data(struct prep *, const struct prep_asker *,
		      const struct prep_op *, int32_t *version);
int32_t prep_run_create(struct prep *, const struct prep_asker *,
			const struct prep_op *, struct txn_record *record);

/* Checks and expands a list into prep.acl; *fixed points there. */
int32_t prep_fix_acl(struct prep *, const struct prep_asker *,
		     const struct jute_vector *given,
		     struct jute_vector *fixed);

/* May the asker do `perms` under the ACL with that id? */
bool prep_may(const struct prep *, const struct prep_asker *, uint32_t acl,
	      int32_t perms);

/* Runs a whole multi into `entry`. Returns ZK_OK, or a code that makes the
 * whole transaction an error; apply.fail as above. */
int32_t prep_run_multi(struct prep *, const struct prep_asker *,
		       const struct prep_request *, struct jute_writer *entry);

#endif
