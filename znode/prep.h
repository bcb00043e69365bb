/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_ZNODE_PREP_H
#define FALCONER_ZNODE_PREP_H

/*
 * prep - a write request becomes a transaction; a transaction changes the tree.
 *
 * prep_request() is the leader's (and the standalone server's) way: checks in
 * the order of client-protocol.md section 3, applies to the tree as invisible
 * versions, writes the entry (header, record, digest) and the reply, all in
 * one pass. A refused request is an `error` transaction: it takes its zxid and
 * is logged like any other.
 *
 * prep_apply() is the follower's and recovery's way: an entry that somebody
 * else made is applied, idempotently where disk-format.md section 7 asks for
 * it. Both share the steps of apply.c and make the same effects and replies.
 *
 * Sessions change when a transaction is published (prep_publish_session()),
 * not when it is applied; prep only marks them closing.
 *
 * Context    writer core.
 * Ownership  struct txn_result is the caller's and is reused call by call; its
 *            buffers grow (malloc) to the largest result seen and stay.
 * Limits     an entry that does not fit `entry` is undone: FAL_ENOSPC.
 */

#include "znode/namespace_counts.h"
#include "znode/acl.h"
#include "znode/effect.h"
#include "znode/session.h"
#include "znode/tree.h"
#include "wire/txn.h"

struct prep_options {
	const struct acl_options *acl;
	bool has_extended_types; /* TTL nodes allowed */
	bool is_digest_on;       /* TxnDigest behind each entry */
	bool has_close_paths;    /* closeSessionTxn.enabled */
	bool is_reconfig_enabled;
	bool answers_create2_as_create; /* in multis, as who has but records */
	bool enforce_quota;             /* refuse what exceeds a hard limit */
};

/* Oddities met in entries that others made; for metrics. */
struct prep_counts {
	uint64_t bad_ttls;    /* createTTL applied as a plain node */
	uint64_t bare_checks; /* check outside a multi, ignored */
};

struct prep;

/* A growing byte buffer, owned by the txn_result. */
struct txn_bytes {
	uint8_t *data;
	uint32_t bytes, cap;
};

/* Zeroed by the caller before its first use. */
struct txn_result {
	int64_t zxid;
	int32_t type;    /* of the entry written */
	int32_t err;     /* reply header; 0 also for a failed multi */
	bool must_close; /* SESSIONMOVED: close the connection, no reply */
	struct txn_bytes reply;   /* reply body, without the header */
	struct txn_bytes effects; /* struct effect, one behind the other */
	uint32_t effect_count;
	uint32_t entry_bytes;
	uint64_t digest; /* tree digest after this transaction */
};

struct prep_request {
	int64_t session_id;
	int32_t cxid;        /* the request's xid */
	int32_t type;        /* OP_CREATE .. OP_MULTI, OP_CLOSE_SESSION,
				OP_CREATE_SESSION, OP_DELETE_CONTAINER */
	const uint8_t *body; /* behind the request header, borrowed */
	uint32_t body_bytes;
	const struct auth_ids *ids; /* borrowed; NULL for internal requests */
	struct session_owner owner; /* who asks; compared with the session's */
	int32_t timeout_ms;         /* OP_CREATE_SESSION */
	bool is_local_session; /* known to the asking server only: not looked
				  up here, no ephemerals (-120) */
	/* OP_RECONFIG at a leader: what it was understood as, or why not. */
	int32_t config_err;
	struct jute_slice config; /* text; null: there is no quorum here */
	bool is_forwarded; /* by a learner, which waits for a transaction:
			      what would be dropped or answered without one
			      is an error transaction */
};

FAL_MUST_CHECK int prep_create(const struct prep_options *, struct tree *,
			       struct session_table *, struct prep **out);
void prep_destroy(struct prep *);
void prep_get_counts(const struct prep *, struct prep_counts *out);
/* Operations refused by a quota, since the start. Any thread. */
const struct namespace_counts *prep_quota_refused(const struct prep *);

/*
 * Validates, applies, serialises.
 *
 * zxid, time_ms  of the transaction; the zxid is used up when 0 is returned
 * entry          where the entry goes (the log window); borrowed
 *
 * Returns 0           result and entry are filled
 *         FAL_EPROTO  the body does not decode: answer MARSHALLINGERROR, no
 *                     zxid is used (a multi: error transaction, returns 0)
 *         FAL_ENOSPC  the entry does not fit; nothing happened
 *         FAL_ENOMEM  the tree is full; nothing happened
 *         FAL_ENOENT  no such session: drop the request silently
 *         FAL_EAGAIN  a closeSession with many ephemerals, or a quota's stats
 *                     node above many nodes: a first part of them is deleted,
 *                     or counted, in an open transaction. Nothing but
 *                     prep_go_on() or prep_abandon() may follow; request, entry
 *                     and result stay where they are, but not the request's
 *                     body and identities. What was applied before may be
 *                     published meanwhile.
 */
FAL_MUST_CHECK int prep_request(struct prep *, const struct prep_request *,
				int64_t zxid, int64_t time_ms,
				struct jute_writer *entry,
				struct txn_result *result);

/* The next part. Returns FAL_EAGAIN: goes on; else as prep_request(). */
FAL_MUST_CHECK int prep_go_on(struct prep *);
/* Takes back what was done so far, all of it. */
void prep_abandon(struct prep *);

/* Makes the request an `error` transaction with that code, whatever it asks
 * for. Returns as prep_request(): 0, FAL_ENOSPC, FAL_ENOMEM. */
FAL_MUST_CHECK int prep_refuse(struct prep *, const struct prep_request *,
			       int64_t zxid, int64_t time_ms, int32_t err,
			       struct jute_writer *entry,
			       struct txn_result *result);

/*
 * Applies an entry that was made elsewhere (log replay, PROPOSAL). Its zxid
 * must be larger than that of any transaction applied before: whoever reads a
 * log skips repeated records.
 *
 * result  may be NULL when nobody wants effects and reply (recovery)
 *
 * Returns 0, FAL_EPROTO (the entry does not decode), FAL_ENOMEM. Errors of
 * the operations themselves are results, not errors (replay is idempotent).
 * *digest_matches is set to false when the entry has a digest of our version
 * and the tree's differs.
 */
FAL_MUST_CHECK int prep_apply(struct prep *, const void *entry, uint32_t bytes,
			      struct txn_result *result, bool *digest_matches);

/* The same in parts. FAL_EAGAIN: a first one is applied, nothing but
 * prep_apply_on() may follow; entry and result stay where they are. */
FAL_MUST_CHECK int prep_apply_some(struct prep *, const void *entry,
				   uint32_t bytes, struct txn_result *result,
				   bool *digest_matches);
/* The next part: as prep_apply_some(). */
FAL_MUST_CHECK int prep_apply_on(struct prep *, bool *digest_matches);

/* Carries the session part of a published transaction out: createSession adds,
 * closeSession removes. Called in zxid order with the published entries. */
void prep_publish_session(struct prep *, int32_t type, int64_t session_id,
			  int32_t timeout_ms, uint64_t now_ms);

/* Syntax check of a write's body, for reader cores (no state; any thread):
 * 0 or FAL_EPROTO = MARSHALLINGERROR. A multi always passes: one that does not
 * decode is numbered and logged, as upstream does. */
FAL_MUST_CHECK int prep_check_syntax(int32_t type, const void *body,
				     uint32_t bytes);

/* Would this write make an ephemeral node? Of a body that does not decode: no.
 * Any thread. */
bool prep_is_ephemeral(int32_t type, const void *body, uint32_t bytes);

/* Path rules of client-protocol.md section 10. */
bool prep_path_is_valid(const uint8_t *text, uint32_t bytes);

void txn_result_free(struct txn_result *);

#endif
