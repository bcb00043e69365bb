/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_ZAB_MEMBER_H
#define FALCONER_DATAPLANE_ZAB_MEMBER_H

/*
 * zab_member - the ZAB role as a member of an ensemble: what the driver of the
 * consensus core (dataplane/ensemble.h) makes it do.
 *
 * A leader proposes with zxids that the core gives out. A learner sends its
 * clients' writes to the leader; they come back as entries, are applied here
 * in zxid order, and each finds the request that waits for it by session and
 * xid. Both publish what the core says is committed, and not before.
 *
 * Context    the ZAB core, mostly inside of zab_quorum.poll().
 * Ownership  entries and requests are borrowed for the call.
 */

#include "dataplane/serving.h"
#include "dataplane/zab.h"

/* Makes the server a member; before the first zab_poll(). committed: what is
 * known to be so. */
void zab_member_join(struct zab *, const struct zab_quorum *,
		     int64_t committed);

/*
 * Changes what is done with requests. To ZAB_CLOSED: all requests under way
 * come back to their readers, which close the connections; what was proposed
 * stays applied, until a leader commits it or takes it back. Out of it:
 * clients are served as `serving` says (SERVING_...).
 */
void zab_member_set_mode(struct zab *, enum zab_mode, uint32_t serving);

/* A leader begins: sessions start over with a full timeout, ephemerals without
 * a session are looked for, and the published state is at least `mark`. */
void zab_member_begin_reign(struct zab *, int64_t mark);
/* The published state is at least `mark`, the zxid that an epoch begins with.
 * Everything appended is published. */
void zab_member_mark(struct zab *, int64_t mark);

/*
 * Applies an entry that the leader made, and hands it to the log.
 *
 * checks_digest  the tree is the leader's of the transaction before: then it
 *                must be so after this one, too
 *
 * Returns 0
 *         FAL_EAGAIN    no room in log or delta ring, or a part of a large one
 *                       is applied: later again, with the same entry
 *         FAL_ENOMEM    the tree is full: this server cannot go on
 *         FAL_ECORRUPT  its digest says that our tree differs from the
 *                       leader's; nothing is logged
 */
FAL_MUST_CHECK int zab_member_apply(struct zab *, const void *entry,
				    uint32_t bytes, bool checks_digest);
/* Is a part of one applied, and the rest waits? */
bool zab_member_is_applying(const struct zab *);

/* Everything up to zxid is committed; published as far as it is appended, the
 * rest when it comes. */
void zab_member_commit(struct zab *, int64_t zxid);
/* Publishes more than is committed, while no clients are served: what a new
 * leader's snapshots for its learners must hold. */
void zab_member_expose(struct zab *, int64_t zxid);

/* So many of our clients' oldest syncs are answered, at zxid or later. */
void zab_member_synced(struct zab *, uint32_t count, int64_t zxid);
/* The leader's answer to zab_quorum.revalidate(). */
void zab_member_revalidated(struct zab *, int64_t session_id, bool is_valid);

/* ---- a leader, for its learners ---- */

struct zab_learner_request {
	int64_t session_id;
	int32_t cxid, op;
	const uint8_t *body;
	uint32_t body_bytes;
	const struct auth_ids *ids; /* NULL: none */
	struct session_owner owner; /* zab_learner_owner() */
	int32_t timeout_ms;         /* createSession */
	bool is_local_session;
};

struct session_owner zab_learner_owner(uint32_t slot, uint32_t serial);
/* Makes a transaction of it, whatever is wrong with it. FAL_EAGAIN: no room
 * now. */
FAL_MUST_CHECK int zab_member_propose(struct zab *,
				      const struct zab_learner_request *);
/* Has this round made transactions of as many large ones as a round may? */
bool zab_member_is_round_full(const struct zab *);
uint32_t zab_member_session_count(const struct zab *);
bool zab_member_has_session(const struct zab *, int64_t session_id);
/* A learner heard of that session; the timeout is what it agreed on with the
 * client, maybe another one than the session began with. It counts if the
 * session is that learner's, or nobody's. */
void zab_member_touch(struct zab *, int64_t session_id, int32_t timeout_ms,
		      struct session_owner learner);
/* A client comes back at a learner: false if there is no such session. */
bool zab_member_take_over(struct zab *, int64_t session_id, int32_t timeout_ms,
			  struct session_owner);

/* ---- a learner, for its leader ---- */

/* Tells the sessions that were heard since the last call. */
void zab_member_each_touched(struct zab *,
			     void (*fn)(void *arg, int64_t session_id,
					int32_t timeout_ms),
			     void *arg);

/* ---- lending tree, sessions, prep and log to BG (dataplane/store_port.h) */

/* Readers shall leave the tree; mode is ZAB_CLOSED. */
void zab_member_park(struct zab *);
/* They have, and nothing waits in the log: BG may have it all. Says so once. */
bool zab_member_lend(struct zab *);
bool zab_member_is_lent(const struct zab *);
/* Parked, nothing unpublished, nothing held: the tree may be patched. */
bool zab_member_is_alone(const struct zab *);
/* Readers may come back; nothing was lent. */
void zab_member_unpark(struct zab *);
enum zab_mode zab_member_mode(const struct zab *);
/* All is back, in the state of last_zxid; committed: what is known to be. */
void zab_member_restore(struct zab *, int64_t last_zxid, int64_t committed);

/* What /zookeeper/config holds, and the zxid that wrote it; null: there is no
 * such node. Valid until the tree changes. The tree is not lent. */
struct jute_slice zab_member_config(const struct zab *, int64_t *zxid);

/* SERVING_CLOSED, SERVING_ALL or SERVING_READS. */
uint32_t zab_member_serving(const struct zab *);
int64_t zab_member_appended(const struct zab *);
int64_t zab_member_published(const struct zab *);
/* Of the log; *err as in log_port.h. */
int64_t zab_member_durable(const struct zab *, int *err);
/* For the ledger: what was appended up to zxid has become durable. */
void zab_member_note_durable(struct zab *, int64_t zxid);
/* ns since that transaction was made here; 0: not known (any more). */
uint64_t zab_member_age_ns(const struct zab *, int64_t zxid);

#endif
