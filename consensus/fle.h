/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CONSENSUS_FLE_H
#define FALCONER_CONSENSUS_FLE_H

/*
 * fle - fast leader election: who should lead, by votes.
 *
 * Each server proposes itself, hears others, and changes to the best vote it
 * hears: highest (currentEpoch, last zxid, sid). Votes count within a round;
 * who is in a lower round takes over the higher one. When a quorum agrees with
 * the own proposal, the election waits a moment for a better vote, then it is
 * over. It does not wait when every voter either agrees or is known to be
 * unreachable: nothing better can come.
 *
 * Who comes late finds a quorum that follows a leader which says itself that
 * it leads, and joins it.
 *
 * The election promises nothing: that at most one leader is established in an
 * epoch is the work of discovery. It only picks one that is likely to succeed.
 *
 * A silent election (server without a vote: promises lost, or handing over)
 * shows zxid -1: it counts for nobody, counts nobody who is LOOKING, and can
 * only join a leader that exists.
 *
 * Context    core: called from zab_step() only, hence by one core.
 * Ownership  plain struct of the caller; the pair is borrowed for a call.
 * Limits     FLE_BOX_MAX senders, all members of two configurations.
 * Source     quorum-protocol.md section 4.
 */

#include "consensus/zab.h"

#define FLE_BOX_MAX   (2u * QUORUM_MEMBERS_MAX)
#define FLE_ROUND_MAX (1ll << 62) /* a higher one is no honest count */

/* A vote and, as leader and peer_epoch stand in it, whose. */
struct fle_vote {
	int64_t leader, zxid, round, peer_epoch;
	int32_t state;   /* enum fle_state of who cast it */
	int32_t version; /* of its notification; 0: before 3.4.6 */
};

/* Votes by sender; the newest of each. */
struct fle_box {
	uint32_t count;
	uint32_t reserved; /* zero */
	int64_t sid[FLE_BOX_MAX];
	struct fle_vote vote[FLE_BOX_MAX];
};

/* A candidate that did not work; see fle_shun.c. */
struct fle_grudge {
	int64_t sid;
	uint64_t until_ms;
	uint32_t failures;
	uint32_t reserved; /* zero */
};

struct fle_options {
	int64_t sid;
	uint32_t finalize_ms, notify_min_ms, notify_max_ms;
	uint32_t reserved; /* zero */
};

struct fle {
	struct fle_options options;
	int64_t round; /* of the current or last election, only grows */
	uint32_t is_running;
	uint32_t is_silent;
	struct fle_vote initial;  /* what this server would cast for itself */
	struct fle_vote proposal; /* running: present proposal; else: outcome */
	struct fle_box received;  /* of this round */
	struct fle_box outside;   /* from servers that do not look for one */
	uint64_t finalize_at_ms;  /* UINT64_MAX: no quorum agrees yet */
	uint64_t resend_at_ms;
	uint64_t interval_ms;
	uint64_t now_ms;      /* of the last call that told it */
	uint64_t stall_at_ms; /* others dissent too long then */
	uint64_t word_at_ms;  /* word_sid says it leads: enough then */
	int64_t word_sid;
	uint32_t down_count;
	uint32_t reserved;         /* zero */
	int64_t down[FLE_BOX_MAX]; /* sids known to be unreachable */
	uint32_t grudge_count;
	uint32_t reserved2; /* zero */
	struct fle_grudge grudge[FLE_BOX_MAX];
};

/* ---- fle_votes.c: judging votes ---- */

/* True if a should be preferred to b. A leader without weight never is. */
bool fle_vote_better(const struct quorum_pair *pair, const struct fle_vote *a,
		     const struct fle_vote *b);
/* True if the two say the same. While one of the casters is LOOKING all fields
 * count; of an established ensemble only leader and epoch do. */
bool fle_vote_equal(const struct fle_vote *a, const struct fle_vote *b);

void fle_box_clear(struct fle_box *box);
/* Stores the newest vote of a voter; silently drops a sender too many. */
void fle_box_put(struct fle_box *box, int64_t sid, const struct fle_vote *vote);
/* Forgets the vote of sid. False: there was none. */
bool fle_box_drop(struct fle_box *box, int64_t sid);
/* The vote of sid, NULL if there is none. */
const struct fle_vote *fle_box_get(const struct fle_box *box, int64_t sid);
/* Do those in the box who say the same as `vote` make a quorum of one
 * configuration, or of all that count now? */
bool fle_box_agrees_in(const struct fle_box *box, const struct quorum *quorum,
		       const struct fle_vote *vote);
bool fle_box_agrees(const struct fle_box *box, const struct quorum_pair *pair,
		    const struct fle_vote *vote);
/* May the vote of an established ensemble be believed? Its leader must say
 * itself that it leads; if that leader is this server (self), the round must
 * be that of the running election. */
bool fle_box_confirms(const struct fle_box *box, int64_t self, int64_t round,
		      const struct fle_vote *vote);

/* ---- fle_shun.c: candidates that did not work ---- */

/* That candidate, maybe this server, failed: no votes for it for a while. */
void fle_shun(struct fle *fle, int64_t sid, uint64_t now_ms);
/* A try that began then ended without a leader: what is held against others
 * lasts as much longer, or it would be over before each was tried once. */
void fle_prolong(struct fle *fle, uint64_t began_ms, uint64_t now_ms);
/* There is a leader that works: nothing is held against anybody. */
void fle_forgive(struct fle *fle);
/* Until when no vote for it is taken; 0: nothing is held against it. */
uint64_t fle_shunned_until(const struct fle *fle, int64_t sid);
/* How long voters may dissent in this round from what `agree` of them want. */
uint64_t fle_stall_ms(const struct fle *fle, uint32_t agree);
/* How long to look for a quorum before a leader's own word is enough. */
uint64_t fle_word_ms(const struct fle *fle);

/* ---- fle.c: the election ---- */

void fle_init(struct fle *fle, const struct fle_options *options);

/*
 * Begins an election in a new round and tells every voter.
 *
 * last_zxid, current_epoch  of this server
 * is_silent                 it must not vote
 *
 * Returns true if it is over at once (a single voter).
 */
FAL_MUST_CHECK bool fle_start(struct fle *fle, const struct quorum_pair *pair,
			      int64_t last_zxid, int64_t current_epoch,
			      bool is_silent, uint64_t now_ms,
			      struct zab_actions *out);

/*
 * Takes a notification, in any state of this server.
 *
 * state  own state; not LOOKING: fle->proposal is told to who asks
 *
 * Returns true if the election is over; fle->proposal is the outcome.
 */
FAL_MUST_CHECK bool fle_note(struct fle *fle, const struct quorum_pair *pair,
			     int32_t state, int64_t sid,
			     const struct zab_notification *notification,
			     uint64_t now_ms, struct zab_actions *out);

/* The link to sid is known to be up or down. Returns as fle_note(). */
FAL_MUST_CHECK bool fle_link(struct fle *fle, const struct quorum_pair *pair,
			     int64_t sid, bool is_up);

/* Time passed: sends again, or ends the election. Returns as fle_note(). */
FAL_MUST_CHECK bool fle_tick(struct fle *fle, const struct quorum_pair *pair,
			     uint64_t now_ms, struct zab_actions *out);

/* The outcome came from elsewhere (a reconfiguration names the leader). */
void fle_appoint(struct fle *fle, int64_t leader);
/* The epoch of the leader began: late comers compare votes by it. */
void fle_set_epoch(struct fle *fle, int64_t epoch);
/* Ends the election without an outcome. */
void fle_stop(struct fle *fle);
/* When fle_tick() is due; UINT64_MAX: never. */
uint64_t fle_wake_ms(const struct fle *fle);

#endif
