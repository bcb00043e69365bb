/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fle - the election loop of quorum-protocol.md 4.3, one notification a call.
 *
 * Differences to Java, none visible to a peer: the own vote is put into the box
 * directly instead of being sent to oneself; the quiet time before a winner
 * counts is not prolonged by messages that change nothing; it is cut short when
 * every voter agrees or is unreachable; candidates that failed are left alone
 * for a while (fle_shun.c).
 */
#include "consensus/fle.h"

#include <string.h>

#include "consensus/zab_out.h"

void
fle_init(struct fle *fle, const struct fle_options *options)
{
	memset(fle, 0, sizeof(*fle));
	fle->options = *options;
	fle->finalize_at_ms = UINT64_MAX;
	fle->resend_at_ms = UINT64_MAX;
	fle->stall_at_ms = UINT64_MAX;
	fle->word_at_ms = UINT64_MAX;
	fle->proposal.leader = ZAB_NO_SID;
}

static struct fle_vote
vote_of(const struct zab_notification *notification)
{
	return (struct fle_vote){
		.leader = notification->leader,
		.zxid = notification->zxid,
		.round = notification->round,
		.peer_epoch = notification->peer_epoch,
		.state = notification->state,
		.version = notification->version,
	};
}

/* Tells one server our vote; round is that of the vote or of our election. */
static void
send_vote(const struct fle *fle, int64_t to, int32_t state, int64_t round,
	  struct zab_actions *out)
{
	struct zab_action *action = zab_out(out, ZAB_DO_SEND_FLE);

	action->sid = to;
	action->notification = (struct zab_notification){
		.state = state,
		.version = FLE_NOTIFICATION_VERSION,
		.leader = fle->proposal.leader,
		.zxid = fle->proposal.zxid,
		.round = round,
		.peer_epoch = fle->proposal.peer_epoch,
	};
}

static bool
is_shunned(const struct fle *fle, int64_t sid)
{
	return fle->now_ms < fle_shunned_until(fle, sid);
}

/* Votes for itself and had better not be followed now. */
static bool
is_resting(const struct fle *fle)
{
	return fle->proposal.leader == fle->options.sid &&
	       is_shunned(fle, fle->options.sid);
}

/* Should `heard` take the place of `own`? Who rests lets anybody go first who
 * knows as much. */
static bool
is_preferred(const struct fle *fle, const struct quorum_pair *pair,
	     const struct fle_vote *heard, const struct fle_vote *own)
{
	struct fle_vote last = *own;

	if (is_shunned(fle, heard->leader))
		return false;
	if (is_shunned(fle, own->leader))
		last.leader = INT64_MIN;
	return fle_vote_better(pair, heard, &last);
}

/* To every voter of both configurations but this server, each once. */
static void
broadcast(const struct fle *fle, const struct quorum_pair *pair, int32_t state,
	  struct zab_actions *out)
{
	const struct quorum *const both[2] = {&pair->active, &pair->next};
	const uint32_t count = pair->has_next ? 2 : 1;

	if (is_resting(fle))
		return;
	for (uint32_t q = 0; q < count; q++) {
		for (uint32_t i = 0; i < both[q]->member_count; i++) {
			const struct quorum_member *to = &both[q]->member[i];

			if (!to->is_voter || to->sid == fle->options.sid ||
			    (q == 1 && quorum_is_voter(both[0], to->sid)))
				continue;
			send_vote(fle, to->sid, state, fle->round, out);
		}
	}
}

static bool
is_known_down(const struct fle *fle, int64_t sid)
{
	for (uint32_t i = 0; i < fle->down_count; i++)
		if (fle->down[i] == sid)
			return true;
	return false;
}

/* Can no voter of this quorum come with a better vote any more? */
static bool
nobody_is_missing(const struct fle *fle, const struct quorum *quorum)
{
	for (uint32_t i = 0; i < quorum->member_count; i++) {
		const struct quorum_member *member = &quorum->member[i];
		const struct fle_vote *vote;

		if (!member->is_voter)
			continue;
		vote = fle_box_get(&fle->received, member->sid);
		if (vote && fle_vote_equal(vote, &fle->proposal))
			continue;
		if (!is_known_down(fle, member->sid))
			return false;
	}
	return true;
}

static bool
finish(struct fle *fle, const struct fle_vote *outcome)
{
	fle->proposal = *outcome;
	fle_stop(fle);
	return true;
}

/* Does somebody want another one in this round? Then it should not last. */
static void
watch_for_stall(struct fle *fle)
{
	uint32_t agree = 0, dissent = 0;

	for (uint32_t i = 0; i < fle->received.count; i++) {
		const struct fle_vote *vote = &fle->received.vote[i];

		if (vote->state != FLE_LOOKING)
			continue;
		if (fle_vote_equal(vote, &fle->proposal))
			agree++;
		else
			dissent++;
	}
	if (fle->is_silent || dissent == 0)
		fle->stall_at_ms = UINT64_MAX;
	else if (fle->stall_at_ms == UINT64_MAX)
		fle->stall_at_ms = fle->now_ms + fle_stall_ms(fle, agree);
}

/* Looks whether a quorum agrees with the own proposal. */
static bool
judge(struct fle *fle, const struct quorum_pair *pair, uint64_t now_ms)
{
	if (fle->is_silent ||
	    !fle_box_agrees(&fle->received, pair, &fle->proposal)) {
		fle->finalize_at_ms = UINT64_MAX;
		watch_for_stall(fle);
		return false;
	}
	fle->stall_at_ms = UINT64_MAX;
	if (nobody_is_missing(fle, &pair->active) &&
	    (!pair->has_next || nobody_is_missing(fle, &pair->next)))
		return finish(fle, &fle->proposal);
	if (fle->finalize_at_ms == UINT64_MAX)
		fle->finalize_at_ms = now_ms + fle->options.finalize_ms;
	return false;
}

/* Makes `vote` the own proposal and tells everybody. */
static void
propose(struct fle *fle, const struct quorum_pair *pair,
	const struct fle_vote *vote, struct zab_actions *out)
{
	fle->proposal = *vote;
	fle->proposal.round = fle->round;
	fle->proposal.state = FLE_LOOKING;
	fle->proposal.version = FLE_NOTIFICATION_VERSION;
	fle->finalize_at_ms = UINT64_MAX;
	fle->stall_at_ms = UINT64_MAX;
	if (!fle->is_silent && quorum_pair_is_voter(pair, fle->options.sid))
		fle_box_put(&fle->received, fle->options.sid, &fle->proposal);
	broadcast(fle, pair, FLE_LOOKING, out);
	if (is_resting(fle))
		fle->resend_at_ms = fle_shunned_until(fle, fle->options.sid);
}

bool
fle_start(struct fle *fle, const struct quorum_pair *pair, int64_t last_zxid,
	  int64_t current_epoch, bool is_silent, uint64_t now_ms,
	  struct zab_actions *out)
{
	FAL_ASSERT(!fle->is_running);
	fle->now_ms = now_ms;
	fle->round++;
	fle->is_running = 1;
	fle->is_silent = is_silent;
	fle_box_clear(&fle->received);
	fle_box_clear(&fle->outside);
	/* A server that is no voter shows the smallest of everything. */
	fle->initial = (struct fle_vote){INT64_MIN,   INT64_MIN,
					 fle->round,  INT64_MIN,
					 FLE_LOOKING, FLE_NOTIFICATION_VERSION};
	if (quorum_pair_is_voter(pair, fle->options.sid)) {
		fle->initial.leader = fle->options.sid;
		fle->initial.zxid = is_silent ? ZAB_NO_ZXID : last_zxid;
		fle->initial.peer_epoch = is_silent ? -1 : current_epoch;
	}
	fle->interval_ms = fle->options.notify_min_ms;
	fle->resend_at_ms = now_ms + fle->interval_ms;
	propose(fle, pair, &fle->initial, out);
	return judge(fle, pair, now_ms);
}

/* A voter of the next configuration that still watches has no vote to show,
 * but its round counts: it would ignore ours. */
static bool
note_round(struct fle *fle, const struct quorum_pair *pair,
	   const struct fle_vote *vote, uint64_t now_ms,
	   struct zab_actions *out)
{
	if (vote->state != FLE_LOOKING || fle->is_silent ||
	    vote->zxid == ZAB_NO_ZXID || vote->round <= fle->round)
		return false;
	fle->round = vote->round;
	fle->initial.round = vote->round;
	fle_box_clear(&fle->received);
	propose(fle, pair, &fle->initial, out);
	return judge(fle, pair, now_ms);
}

static bool
note_looking(struct fle *fle, const struct quorum_pair *pair, int64_t sid,
	     const struct fle_vote *vote, uint64_t now_ms,
	     struct zab_actions *out)
{
	if (fle->is_silent || vote->zxid == ZAB_NO_ZXID)
		return false;
	if (vote->round < fle->round) {
		if (!is_resting(fle) ||
		    !is_preferred(fle, pair, vote, &fle->proposal))
			return false;
		propose(fle, pair, vote, out); /* in our round */
		return judge(fle, pair, now_ms);
	}
	if (vote->round > fle->round) {
		fle->round = vote->round;
		fle->initial.round = vote->round;
		fle_box_clear(&fle->received);
		propose(fle, pair,
			is_preferred(fle, pair, vote, &fle->initial)
				? vote
				: &fle->initial,
			out);
	} else if (is_preferred(fle, pair, vote, &fle->proposal)) {
		propose(fle, pair, vote, out);
	}
	fle_box_put(&fle->received, sid, vote);
	return judge(fle, pair, now_ms);
}

/* Does a quorum of one configuration follow that leader? To join it, one is
 * enough: a server whose vote the next configuration needs could not count
 * itself, and following promises nothing. */
static bool
is_established(const struct fle *fle, const struct quorum_pair *pair,
	       const struct fle_vote *vote)
{
	if (vote->leader == fle->options.sid)
		return fle_box_agrees(&fle->outside, pair, vote);
	return fle_box_agrees_in(&fle->outside, &pair->active, vote) ||
	       (pair->has_next &&
		fle_box_agrees_in(&fle->outside, &pair->next, vote));
}

/* The sender follows or leads: is there an ensemble to join? */
static bool
note_established(struct fle *fle, const struct quorum_pair *pair, int64_t sid,
		 const struct fle_vote *vote)
{
	const int64_t self = fle->options.sid;

	/* A silent server must not lead, whatever others remember. */
	if (fle->is_silent && vote->leader == self)
		return false;
	if (vote->round == fle->round && !fle->is_silent) {
		fle_box_put(&fle->received, sid, vote);
		if (fle_box_agrees(&fle->received, pair, vote) &&
		    fle_box_confirms(&fle->received, self, fle->round, vote))
			return finish(fle, vote);
	}
	fle_box_put(&fle->outside, sid, vote);
	/* Who cannot hear a quorum follows a leader on its own word, when
	 * nothing better has come for a while. */
	if (!fle->is_silent && sid == vote->leader &&
	    vote->state == FLE_LEADING && fle->word_at_ms == UINT64_MAX) {
		fle->word_at_ms = fle->now_ms + fle_word_ms(fle);
		fle->word_sid = sid;
	}
	if (!is_established(fle, pair, vote) ||
	    !fle_box_confirms(&fle->outside, self, fle->round, vote))
		return false;
	if (vote->round > fle->round)
		fle->round = vote->round;
	return finish(fle, vote);
}

/*
 * What the receiving side owes to a server that is LOOKING, whatever comes of
 * the message: who leads or follows tells so; a voter that is LOOKING too tells
 * its round to who is behind, its vote to who has a worse one and followed a
 * leader when ours came (was_outside), and to
 * who has none, such as observers, whom it does not tell of its own accord. Two
 * servers never both answer each other, or they would do so without end.
 */
static void
answer(const struct fle *fle, const struct quorum_pair *pair, int32_t state,
       int64_t sid, const struct fle_vote *vote, bool was_outside,
       struct zab_actions *out)
{
	const bool is_voter = quorum_pair_is_voter(pair, sid);

	if (fle->proposal.leader == ZAB_NO_SID || vote->state != FLE_LOOKING)
		return;
	if (state != FLE_LOOKING) {
		send_vote(fle, sid, state,
			  is_voter ? fle->proposal.round : fle->round, out);
		return;
	}
	/* Between two elections there is no vote to tell, nor at rest. */
	if (!fle->is_running || is_resting(fle) ||
	    !quorum_pair_is_voter(pair, fle->options.sid))
		return;
	if (vote->round < fle->round ||
	    (was_outside && vote->round == fle->round &&
	     vote->zxid != ZAB_NO_ZXID &&
	     fle_vote_better(pair, &fle->proposal, vote)) ||
	    (!is_voter && !quorum_pair_is_voter(pair, vote->leader)))
		send_vote(fle, sid, state, fle->round, out);
}

static void
mark_up(struct fle *fle, int64_t sid)
{
	for (uint32_t i = 0; i < fle->down_count; i++) {
		if (fle->down[i] != sid)
			continue;
		fle->down[i] = fle->down[--fle->down_count];
		fle->down[fle->down_count] = 0;
		return;
	}
}

bool
fle_note(struct fle *fle, const struct quorum_pair *pair, int32_t state,
	 int64_t sid, const struct zab_notification *notification,
	 uint64_t now_ms, struct zab_actions *out)
{
	const struct fle_vote vote = vote_of(notification);

	FAL_ASSERT(!fle->is_running || state == FLE_LOOKING);
	if (sid == fle->options.sid)
		return false; /* The same sid configured twice. */
	fle->now_ms = now_ms;
	mark_up(fle, sid);
	/* Whom it followed does not count any more. */
	const bool was_outside =
		vote.state == FLE_LOOKING && fle_box_drop(&fle->outside, sid);

	if (fle->word_sid == sid && vote.state != FLE_LEADING)
		fle->word_at_ms = UINT64_MAX; /* It leads no more. */

	answer(fle, pair, state, sid, &vote, was_outside, out);
	if (!fle->is_running || !quorum_pair_is_voter(pair, sid) ||
	    vote.round > FLE_ROUND_MAX)
		return false;
	if (!quorum_pair_is_voter(pair, vote.leader))
		return note_round(fle, pair, &vote, now_ms, out);
	switch (vote.state) {
	case FLE_LOOKING:
		return note_looking(fle, pair, sid, &vote, now_ms, out);
	case FLE_FOLLOWING:
	case FLE_LEADING:
		return note_established(fle, pair, sid, &vote);
	default:
		return false;
	}
}

bool
fle_link(struct fle *fle, const struct quorum_pair *pair, int64_t sid,
	 bool is_up)
{
	mark_up(fle, sid);
	if (is_up || fle->down_count == FLE_BOX_MAX)
		return false;
	fle->down[fle->down_count++] = sid;
	/* Only the end of a quiet time that runs can come earlier by this. */
	if (!fle->is_running || fle->finalize_at_ms == UINT64_MAX)
		return false;
	return judge(fle, pair, 0);
}

/* Some do not agree and will not: another candidate, a new round. */
static bool
try_another(struct fle *fle, const struct quorum_pair *pair,
	    struct zab_actions *out)
{
	fle_shun(fle, fle->proposal.leader, fle->now_ms);
	fle->round++;
	fle->initial.round = fle->round;
	fle_box_clear(&fle->received);
	propose(fle, pair, &fle->initial, out);
	return judge(fle, pair, fle->now_ms);
}

bool
fle_tick(struct fle *fle, const struct quorum_pair *pair, uint64_t now_ms,
	 struct zab_actions *out)
{
	if (!fle->is_running)
		return false;
	fle->now_ms = now_ms;
	if (now_ms >= fle->finalize_at_ms) {
		/* Those who do not hear the others must know it from here. */
		if (fle->proposal.leader == fle->options.sid)
			broadcast(fle, pair, FLE_LEADING, out);
		return finish(fle, &fle->proposal);
	}
	if (now_ms >= fle->word_at_ms)
		return finish(fle, fle_box_get(&fle->outside, fle->word_sid));
	if (now_ms >= fle->stall_at_ms)
		return try_another(fle, pair, out);
	if (now_ms >= fle->resend_at_ms) {
		broadcast(fle, pair, FLE_LOOKING, out);
		fle->interval_ms *= 2;
		if (fle->interval_ms > fle->options.notify_max_ms)
			fle->interval_ms = fle->options.notify_max_ms;
		fle->resend_at_ms = now_ms + fle->interval_ms;
	}
	return false;
}

void
fle_appoint(struct fle *fle, int64_t leader)
{
	FAL_ASSERT(!fle->is_running);
	fle->proposal = (struct fle_vote){.leader = leader,
					  .round = -1,
					  .peer_epoch = -1,
					  .state = FLE_LOOKING,
					  .version = FLE_NOTIFICATION_VERSION};
}

void
fle_set_epoch(struct fle *fle, int64_t epoch)
{
	fle->proposal.peer_epoch = epoch;
}

void
fle_stop(struct fle *fle)
{
	fle->is_running = 0;
	fle->finalize_at_ms = UINT64_MAX;
	fle->resend_at_ms = UINT64_MAX;
	fle->stall_at_ms = UINT64_MAX;
	fle->word_at_ms = UINT64_MAX;
}

uint64_t
fle_wake_ms(const struct fle *fle)
{
	uint64_t wake = fle->resend_at_ms;

	if (fle->finalize_at_ms < wake)
		wake = fle->finalize_at_ms;
	if (fle->word_at_ms < wake)
		wake = fle->word_at_ms;
	return fle->stall_at_ms < wake ? fle->stall_at_ms : wake;
}
