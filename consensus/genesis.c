/* SPDX-License-Identifier: Apache-2.0 */
/*
 * genesis - proposer, acceptor and learner of the register, in one server.
 *
 * A ballot is (attempt << 5) + rank of the proposer among the voters' sids, so
 * no two servers use the same one. An acceptor has one write under way at a
 * time and answers when it is done; of what comes meanwhile the newest request
 * waits. Competing proposers are kept apart by their rank: a lower one begins
 * earlier and retries sooner. A proposal that nobody contests is repeated with
 * the same ballot, so a server that waits alone writes nothing.
 *
 * The own acceptor is asked like the others, only without a message, so the
 * own promise is durable before it counts. Whatever an event was, advance()
 * looks at its end whether the own proposal has what it needs.
 */
#include "consensus/genesis.h"

#include <string.h>

#define BALLOT_RANK_BITS 5u
#define ATTEMPTS_MAX     ((1u << (32 - BALLOT_RANK_BITS)) - 1)
#define RETRY_STEPS_MAX  8u
#define NOBODY           (-1ll)

static_assert(QUORUM_MEMBERS_MAX <= 1u << BALLOT_RANK_BITS,
	      "a ballot names its proposer");
static const uint8_t no_id[GENESIS_ID_BYTES];

/* ------------------------------------------------------------ actions --- */

static struct genesis_action *
push(struct genesis_actions *out, enum genesis_action_type type)
{
	FAL_ASSERT(out->count < GENESIS_ACTIONS_MAX);
	struct genesis_action *action = &out->action[out->count++];

	memset(action, 0, sizeof(*action));
	action->type = type;
	action->sid = NOBODY;
	return action;
}

static void
send(const struct genesis *genesis, int64_t to, enum genesis_type type,
     uint32_t ballot, const uint8_t *id, struct genesis_actions *out)
{
	struct genesis_action *action = push(out, GENESIS_SEND);

	action->sid = to;
	action->message.type = type;
	action->message.ballot = ballot;
	action->message.voters_hash = genesis->voters_hash;
	if ((genesis->is_loose ||
	     genesis->state.is_member == GENESIS_LOOSE_MEMBER) &&
	    (type == GENESIS_FOUNDED || type == GENESIS_EXISTS))
		action->message.features = GENESIS_LOOSE;
	memcpy(action->message.id, id, GENESIS_ID_BYTES);
}

/* To all voters that would understand it and are not in `except`. */
static void
send_to_others(const struct genesis *genesis, enum genesis_type type,
	       uint32_t ballot, const uint8_t *id, uint32_t except,
	       struct genesis_actions *out)
{
	const struct quorum *voters = &genesis->voters;
	const uint32_t to = voters->voters & ~except & ~genesis->foreign &
			    ~genesis->own_bit;

	for (uint32_t i = 0; i < voters->member_count; i++)
		if (to >> i & 1)
			send(genesis, voters->member[i].sid, type, ballot, id,
			     out);
}

static void
persist(struct genesis *genesis, struct genesis_actions *out)
{
	genesis->writes++;
	push(out, GENESIS_PERSIST)->state = genesis->state;
}

static void
tell_outcome(struct genesis *genesis, enum genesis_outcome outcome, int64_t who,
	     struct genesis_actions *out)
{
	struct genesis_action *action = push(out, GENESIS_DONE);

	action->outcome = outcome;
	action->sid = who;
	if (outcome == GENESIS_CONFLICT)
		return;
	genesis->outcome = outcome;
	genesis->ballot = 0;
}

static bool
same_id(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, GENESIS_ID_BYTES) == 0;
}

/* The mask of one voter; 0: it is none. */
static uint32_t
bit_of(const struct genesis *genesis, int64_t sid)
{
	const int index = quorum_find(&genesis->voters, sid);

	return index < 0 ? 0 : genesis->voters.voters & 1u << index;
}

/* ------------------------------------------------------------ founding --- */

/* The value is chosen, and this server had accepted it. */
static void
found(struct genesis *genesis, bool is_loose, struct genesis_actions *out)
{
	FAL_ASSERT(genesis->state.accepted_ballot != 0);
	FAL_ASSERT(genesis->writes == 0);
	genesis->state.is_member =
		is_loose ? GENESIS_LOOSE_MEMBER : GENESIS_MEMBER;
	genesis->is_founding = true;
	genesis->has_reply = false;
	persist(genesis, out);
}

/* The disk will hold that value. */
static void
accept(struct genesis *genesis, uint32_t ballot, const uint8_t *id,
       bool is_fresh)
{
	struct genesis_state *state = &genesis->state;

	state->is_witness =
		is_fresh || (state->is_witness && state->accepted_ballot != 0 &&
			     same_id(state->id, id));
	state->accepted_ballot = ballot;
	memcpy(state->id, id, GENESIS_ID_BYTES);
}

/* Has every voter answered, in its way? */
static bool
has_everybody(const struct genesis *genesis)
{
	const uint32_t who = genesis->answers | genesis->fresh;

	return (who & genesis->voters.voters) == genesis->voters.voters;
}

/* Phase 2: the value that may have been chosen before, or the own one. */
static void
begin_accepting(struct genesis *genesis, struct genesis_actions *out)
{
	const bool is_fresh =
		genesis->best_ballot == 0 || has_everybody(genesis);
	const uint32_t first = out->count;

	send_to_others(genesis, GENESIS_ACCEPT, genesis->ballot, genesis->value,
		       0, out);
	for (uint32_t i = first; i < out->count && is_fresh; i++)
		out->action[i].message.features = GENESIS_FRESH;
	genesis->is_accepting = true;
	genesis->answers = 0;
	accept(genesis, genesis->ballot, genesis->value, is_fresh);
	genesis->has_reply = true;
	genesis->reply_to = genesis->sid;
	persist(genesis, out);
}

/* Do these voters decide? */
static bool
decides(const struct genesis *genesis, uint32_t who)
{
	if (genesis->is_all)
		return (who & genesis->voters.voters) == genesis->voters.voters;
	return quorum_has(&genesis->voters, who);
}

/* With a quorum of promises: for whom else is it worth to wait? */
static bool
is_grace_over(struct genesis *genesis, uint64_t now_ms)
{
	const uint32_t settled =
		genesis->answers | genesis->fresh | genesis->down;

	if (genesis->is_grace_over ||
	    (settled & genesis->voters.voters) == genesis->voters.voters)
		return true;
	if (genesis->grace_at_ms == 0)
		genesis->grace_at_ms = now_ms + genesis->grace_ms;
	genesis->is_grace_over = now_ms >= genesis->grace_at_ms;
	return genesis->is_grace_over;
}

/* May the value of this proposal be chosen? One that was found must end with a
 * quorum that votes, or nobody would ever be synchronized. */
static bool
may_choose(const struct genesis *genesis)
{
	return genesis->best_ballot == 0 || has_everybody(genesis) ||
	       decides(genesis, genesis->witnesses | genesis->fresh);
}

/* The value is chosen; is this server one of its witnesses? */
static void
genesis_conclude(struct genesis *genesis, bool is_loose, int64_t who,
		 struct genesis_actions *out)
{
	if (genesis->state.is_witness) {
		found(genesis, is_loose, out);
		return;
	}
	memcpy(genesis->value, genesis->state.id, GENESIS_ID_BYTES);
	genesis->is_loose = is_loose;
	tell_outcome(genesis, GENESIS_JOINS, who, out);
}

/* Has the own proposal what it needs for its next step? The own answer is
 * among those that count: it is the proof that the own disk has it. */
static void
advance(struct genesis *genesis, uint64_t now_ms, struct genesis_actions *out)
{
	if (genesis->outcome != GENESIS_UNDECIDED || genesis->ballot == 0 ||
	    genesis->writes > 0 || !(genesis->answers & genesis->own_bit) ||
	    !decides(genesis, genesis->answers | genesis->fresh))
		return;
	if (genesis->is_accepting) {
		if (genesis->state.accepted_ballot == genesis->ballot)
			genesis_conclude(genesis,
					 !decides(genesis, genesis->answers),
					 NOBODY, out);
	} else if (genesis->state.promised == genesis->ballot &&
		   is_grace_over(genesis, now_ms) && may_choose(genesis)) {
		begin_accepting(genesis, out);
	}
}

static void
take_promise(struct genesis *genesis, uint32_t bit,
	     const struct genesis_message *message)
{
	if (genesis->is_accepting)
		return;
	if (message->accepted_ballot > genesis->best_ballot) {
		genesis->best_ballot = message->accepted_ballot;
		if (!same_id(genesis->value, message->id))
			genesis->witnesses = 0;
		memcpy(genesis->value, message->id, GENESIS_ID_BYTES);
	}
	if (message->accepted_ballot != 0 &&
	    (message->features & GENESIS_FRESH) &&
	    same_id(genesis->value, message->id))
		genesis->witnesses |= bit;
	genesis->answers |= bit;
}

static uint64_t
retry_after(const struct genesis *genesis)
{
	const uint32_t steps = genesis->attempts < RETRY_STEPS_MAX
				       ? genesis->attempts
				       : RETRY_STEPS_MAX;

	return (uint64_t)genesis->retry_ms * (1 + steps) +
	       (uint64_t)genesis->retry_ms * genesis->own_rank * (1 + steps) /
		       2;
}

/* Phase 1, with a ballot above all that were seen. */
static void
propose_anew(struct genesis *genesis, struct genesis_actions *out)
{
	const uint32_t attempt =
		(genesis->highest_seen >> BALLOT_RANK_BITS) + 1;

	if (attempt > ATTEMPTS_MAX)
		return;
	genesis->ballot = (attempt << BALLOT_RANK_BITS) + genesis->own_rank;
	genesis->highest_seen = genesis->ballot;
	genesis->is_accepting = false;
	genesis->answers = 0;
	genesis->grace_at_ms = 0;
	genesis->is_grace_over = false;
	genesis->witnesses = genesis->state.is_witness ? genesis->own_bit : 0;
	genesis->best_ballot = genesis->state.accepted_ballot;
	memcpy(genesis->value,
	       genesis->best_ballot ? genesis->state.id : genesis->own_id,
	       GENESIS_ID_BYTES);
	FAL_ASSERT(genesis->ballot > genesis->state.promised);
	send_to_others(genesis, GENESIS_PREPARE, genesis->ballot, no_id, 0,
		       out);
	genesis->state.promised = genesis->ballot;
	genesis->has_reply = true;
	genesis->reply_to = genesis->sid;
	persist(genesis, out);
}

/* Nobody was in the way: the answers, or the question, may be lost. */
static bool
is_uncontested(const struct genesis *genesis)
{
	return genesis->ballot != 0 && !genesis->is_accepting &&
	       genesis->highest_seen == genesis->ballot &&
	       genesis->state.promised == genesis->ballot;
}

static void
retry(struct genesis *genesis, uint64_t now_ms, struct genesis_actions *out)
{
	if (genesis->is_passive || now_ms < genesis->retry_at_ms)
		return;
	genesis->retry_at_ms = now_ms + retry_after(genesis);
	if (genesis->writes > 0)
		return;
	genesis->attempts++;
	if (is_uncontested(genesis))
		send_to_others(genesis, GENESIS_PREPARE, genesis->ballot, no_id,
			       genesis->answers, out);
	else
		propose_anew(genesis, out);
}

/* ----------------------------------------------------------- acceptor --- */

static void
make_reply(struct genesis *genesis, int64_t to, enum genesis_type type,
	   uint32_t ballot)
{
	genesis->has_reply = true;
	genesis->reply_to = to;
	memset(&genesis->reply, 0, sizeof(genesis->reply));
	genesis->reply.type = type;
	genesis->reply.ballot = ballot;
	genesis->reply.voters_hash = genesis->voters_hash;
	if (type == GENESIS_PROMISE && genesis->state.accepted_ballot != 0) {
		genesis->reply.accepted_ballot = genesis->state.accepted_ballot;
		memcpy(genesis->reply.id, genesis->state.id, GENESIS_ID_BYTES);
		genesis->reply.features =
			genesis->state.is_witness ? GENESIS_FRESH : 0;
	}
}

static void
send_reply(struct genesis *genesis, struct genesis_actions *out)
{
	struct genesis_action *action = push(out, GENESIS_SEND);

	action->sid = genesis->reply_to;
	action->message = genesis->reply;
	genesis->has_reply = false;
}

static void
on_prepare(struct genesis *genesis, int64_t from, uint32_t ballot,
	   uint64_t now_ms, struct genesis_actions *out)
{
	if (ballot > genesis->highest_seen)
		genesis->highest_seen = ballot;
	if (ballot == genesis->state.promised &&
	    genesis->state.accepted_ballot < ballot &&
	    ballot != genesis->ballot) {
		/* The answer was lost; nothing has changed since. */
		make_reply(genesis, from, GENESIS_PROMISE, ballot);
		send_reply(genesis, out);
		return;
	}
	if (ballot <= genesis->state.promised) {
		send(genesis, from, GENESIS_REFUSED, genesis->state.promised,
		     no_id, out);
		return;
	}
	genesis->state.promised = ballot;
	/* Somebody is at it: do not compete at once. */
	genesis->retry_at_ms = now_ms + retry_after(genesis);
	make_reply(genesis, from, GENESIS_PROMISE, ballot);
	persist(genesis, out);
}

static void
on_accept(struct genesis *genesis, int64_t from,
	  const struct genesis_message *message, struct genesis_actions *out)
{
	/* Only what was promised to exactly this ballot: stricter than Paxos
	 * must be, but an emptied server then accepts nothing it did not see
	 * prepared. */
	if (message->ballot == 0 ||
	    message->ballot != genesis->state.promised ||
	    same_id(message->id, no_id)) {
		send(genesis, from, GENESIS_REFUSED, genesis->state.promised,
		     no_id, out);
		return;
	}
	accept(genesis, message->ballot, message->id,
	       message->features & GENESIS_FRESH);
	make_reply(genesis, from, GENESIS_ACCEPTED, message->ballot);
	persist(genesis, out);
}

/* ------------------------------------------------------------- learner --- */

/* from says that an ensemble exists, message (or NULL) which one. */
static void
on_exists(struct genesis *genesis, int64_t from,
	  const struct genesis_message *message, struct genesis_actions *out)
{
	static const struct genesis_message unknown;
	const struct genesis_message *said = message ? message : &unknown;
	const bool is_loose = said->features & GENESIS_LOOSE;

	if (genesis->writes > 0) {
		genesis->waiting.has_exists = true;
		genesis->waiting.exists_from = from;
		genesis->waiting.exists = *said;
		return;
	}
	if (genesis->state.accepted_ballot != 0 &&
	    same_id(genesis->state.id, said->id)) {
		genesis_conclude(genesis, is_loose, from, out);
		return;
	}
	memcpy(genesis->value, said->id, GENESIS_ID_BYTES);
	genesis->is_loose = is_loose;
	tell_outcome(genesis, GENESIS_JOINS, from, out);
}

static void
on_differs(struct genesis *genesis, int64_t from, bool answers,
	   struct genesis_actions *out)
{
	if (answers)
		send(genesis, from, GENESIS_DIFFERS, 0, no_id, out);
	if (genesis->has_told_conflict)
		return;
	genesis->has_told_conflict = true;
	tell_outcome(genesis, GENESIS_CONFLICT, from, out);
}

/* Nothing is to be decided any more: whoever asks is told what there is. */
static void
answer_decided(struct genesis *genesis, int64_t from, uint32_t type,
	       struct genesis_actions *out)
{
	if (type != GENESIS_PREPARE && type != GENESIS_ACCEPT)
		return;
	send(genesis, from, GENESIS_EXISTS, 0,
	     genesis->state.is_member ? genesis->state.id : genesis->value,
	     out);
}

/* It began anew before it was synchronized, and has forgotten what it joins. */
static void
learn_id(struct genesis *genesis, const struct genesis_message *message)
{
	if (genesis->outcome == GENESIS_JOINS && !genesis->state.is_member &&
	    message->type == GENESIS_HELLO && same_id(genesis->value, no_id))
		memcpy(genesis->value, message->id, GENESIS_ID_BYTES);
}

/* A new connection: what that voter has not answered is asked again. */
static void
remind(struct genesis *genesis, int64_t sid, uint32_t bit,
       struct genesis_actions *out)
{
	if (genesis->ballot == 0 || !bit || (genesis->answers & bit))
		return;
	/* What it accepted, or not, it will ask for itself. */
	if (!genesis->is_accepting &&
	    genesis->state.promised == genesis->ballot)
		send(genesis, sid, GENESIS_PREPARE, genesis->ballot, no_id,
		     out);
}

static void
on_request(struct genesis *genesis, int64_t from,
	   const struct genesis_message *message, uint64_t now_ms,
	   struct genesis_actions *out)
{
	struct genesis_waiting *waiting = &genesis->waiting;

	if (genesis->writes > 0) {
		if (waiting->has_request &&
		    waiting->request.ballot > message->ballot)
			return; /* It will be asked again. */
		waiting->has_request = true;
		waiting->request_from = from;
		waiting->request = *message;
	} else if (message->type == GENESIS_PREPARE) {
		on_prepare(genesis, from, message->ballot, now_ms, out);
	} else {
		on_accept(genesis, from, message, out);
	}
}

/* Of a voter whose list is ours, while nothing is decided. */
static void
on_paxos(struct genesis *genesis, const struct genesis_event *event,
	 struct genesis_actions *out)
{
	const struct genesis_message *message = &event->message;
	const uint32_t bit = bit_of(genesis, event->sid);
	const bool is_ours =
		genesis->ballot != 0 && message->ballot == genesis->ballot;

	switch (message->type) {
	case GENESIS_PREPARE:
	case GENESIS_ACCEPT:
		on_request(genesis, event->sid, message, event->now_ms, out);
		break;
	case GENESIS_PROMISE:
		if (is_ours)
			take_promise(genesis, bit, message);
		break;
	case GENESIS_ACCEPTED:
		if (is_ours && genesis->is_accepting)
			genesis->answers |= bit;
		break;
	case GENESIS_REFUSED:
		if (message->ballot > genesis->highest_seen)
			genesis->highest_seen = message->ballot;
		break;
	default:
		break;
	}
}

static void
on_message(struct genesis *genesis, const struct genesis_event *event,
	   struct genesis_actions *out)
{
	const struct genesis_message *message = &event->message;
	const uint32_t bit = bit_of(genesis, event->sid);
	const bool is_news = message->type == GENESIS_FOUNDED ||
			     message->type == GENESIS_EXISTS;

	if (event->sid == genesis->sid)
		return;
	genesis->foreign &= ~bit;
	genesis->fresh &= ~bit;
	genesis->down &= ~bit;
	if (genesis->outcome != GENESIS_UNDECIDED) {
		if (quorum_find(&genesis->voters, event->sid) >= 0)
			learn_id(genesis, message);
		answer_decided(genesis, event->sid, message->type, out);
	} else if (message->type == GENESIS_HELLO) {
		remind(genesis, event->sid, bit, out);
	} else if (is_news) {
		/* True whatever its voters are, if it is one of ours. */
		if (quorum_find(&genesis->voters, event->sid) >= 0)
			on_exists(genesis, event->sid, message, out);
	} else if (!bit || genesis->is_passive) {
		return;
	} else if (message->type == GENESIS_DIFFERS ||
		   message->voters_hash != genesis->voters_hash) {
		on_differs(genesis, event->sid,
			   message->type != GENESIS_DIFFERS, out);
	} else {
		on_paxos(genesis, event, out);
	}
}

/* -------------------------------------------------------------- events --- */

static void
on_durable(struct genesis *genesis, struct genesis_actions *out)
{
	FAL_ASSERT(genesis->writes > 0);
	genesis->writes--;
	if (genesis->is_founding) {
		genesis->is_founding = false;
		tell_outcome(genesis, GENESIS_FOUNDS, NOBODY, out);
		send_to_others(genesis, GENESIS_FOUNDED, 0, genesis->state.id,
			       0, out);
		return;
	}
	if (!genesis->has_reply || genesis->outcome != GENESIS_UNDECIDED)
		return;
	if (genesis->reply_to != genesis->sid) {
		send_reply(genesis, out);
		return;
	}
	genesis->has_reply = false;
	genesis->answers |= genesis->own_bit;
}

/* What came during the write. */
static void
take_waiting(struct genesis *genesis, uint64_t now_ms,
	     struct genesis_actions *out)
{
	struct genesis_waiting *waiting = &genesis->waiting;
	struct genesis_event event = {.type = GENESIS_EV_MESSAGE,
				      .now_ms = now_ms};

	if (genesis->writes > 0)
		return;
	if (waiting->has_exists && genesis->outcome == GENESIS_UNDECIDED)
		on_exists(genesis, waiting->exists_from, &waiting->exists, out);
	waiting->has_exists = false;
	if (!waiting->has_request || genesis->writes > 0)
		return;
	waiting->has_request = false;
	event.sid = waiting->request_from;
	event.message = waiting->request;
	on_message(genesis, &event, out);
}

/* It votes with an empty disk, whatever we do; what it shows is looked at. */
static void
on_foreign(struct genesis *genesis, const struct genesis_event *event,
	   struct genesis_actions *out)
{
	const uint32_t bit = bit_of(genesis, event->sid);
	const bool has_history = event->zxid > 0 || event->epoch > 0;

	if (quorum_find(&genesis->voters, event->sid) < 0)
		return;
	genesis->down &= ~bit;
	genesis->foreign |= bit;
	if (genesis->outcome != GENESIS_UNDECIDED)
		return;
	genesis->fresh &= ~bit;
	if (has_history)
		on_exists(genesis, event->sid, NULL, out);
	else if (event->looks && event->zxid == 0 && event->epoch == 0)
		genesis->fresh |= bit;
}

static void
on_link(struct genesis *genesis, int64_t sid, bool is_up)
{
	const uint32_t bit = bit_of(genesis, sid);

	genesis->down &= ~bit;
	if (is_up)
		return;
	/* Who comes next may be another program. */
	genesis->down |= bit;
	genesis->foreign &= ~bit;
	genesis->fresh &= ~bit;
}

static void
genesis_on_start(struct genesis *genesis, uint64_t now_ms,
		 struct genesis_actions *out)
{
	FAL_ASSERT(!genesis->is_started);
	genesis->is_started = true;
	/* The lowest rank begins at once, the others wait for it a little. */
	genesis->retry_at_ms =
		now_ms + (uint64_t)genesis->retry_ms * genesis->own_rank / 2;
	if (genesis->state.is_member ||
	    (genesis->has_data && genesis->state.began != GENESIS_EMPTY)) {
		tell_outcome(genesis, GENESIS_FOUNDS, NOBODY, out);
	} else if (genesis->has_data) {
		/* Of a leader that did not finish: it exists. */
		tell_outcome(genesis, GENESIS_JOINS, NOBODY, out);
	} else {
		FAL_ASSERT(genesis->state.began != GENESIS_WITH_DATA);
		retry(genesis, now_ms, out);
	}
}

int
genesis_init(struct genesis *genesis, const struct genesis_options *options,
	     const struct genesis_state *state)
{
	const struct quorum *voters = options->voters;

	if (!quorum_is_voter(voters, options->sid) || options->retry_ms == 0)
		return FAL_EINVAL;
	FAL_ASSERT(!same_id(options->id, no_id));
	memset(genesis, 0, sizeof(*genesis));
	genesis->sid = options->sid;
	genesis->voters = *voters;
	genesis->voters_hash = options->voters_hash;
	memcpy(genesis->own_id, options->id, GENESIS_ID_BYTES);
	genesis->has_data = options->has_data;
	genesis->is_all = options->is_all;
	genesis->is_passive = options->is_passive;
	genesis->retry_ms = options->retry_ms;
	genesis->grace_ms = options->grace_ms;
	genesis->state = *state;
	genesis->highest_seen = state->promised;
	genesis->own_bit = bit_of(genesis, options->sid);
	for (uint32_t i = 0; i < voters->member_count; i++)
		genesis->own_rank += voters->member[i].is_voter &&
				     voters->member[i].sid < options->sid;
	return 0;
}

void
genesis_step(struct genesis *genesis, const struct genesis_event *event,
	     struct genesis_actions *actions)
{
	actions->count = 0;
	FAL_ASSERT(genesis->is_started || event->type == GENESIS_EV_START);
	switch ((enum genesis_event_type)event->type) {
	case GENESIS_EV_START:
		genesis_on_start(genesis, event->now_ms, actions);
		break;
	case GENESIS_EV_TICK:
		break;
	case GENESIS_EV_MESSAGE:
		on_message(genesis, event, actions);
		break;
	case GENESIS_EV_DURABLE:
		on_durable(genesis, actions);
		take_waiting(genesis, event->now_ms, actions);
		break;
	case GENESIS_EV_FOREIGN:
		on_foreign(genesis, event, actions);
		break;
	case GENESIS_EV_LINK:
		on_link(genesis, event->sid, event->is_up);
		break;
	}
	advance(genesis, event->now_ms, actions);
	if (genesis->outcome == GENESIS_UNDECIDED)
		retry(genesis, event->now_ms, actions);
	FAL_ASSERT(genesis->state.accepted_ballot <= genesis->state.promised);
}

bool
genesis_may_vote(const struct genesis *genesis)
{
	return genesis->outcome == GENESIS_FOUNDS ||
	       (genesis->state.is_member && !genesis->is_founding) ||
	       genesis->state.began == GENESIS_VOUCHED ||
	       (genesis->has_data && genesis->state.began != GENESIS_EMPTY);
}

uint64_t
genesis_wake_ms(const struct genesis *genesis)
{
	uint64_t wake = genesis->retry_at_ms;

	if (genesis->outcome != GENESIS_UNDECIDED || genesis->is_passive)
		return UINT64_MAX;
	if (genesis->writes == 0 && !genesis->is_accepting &&
	    genesis->state.promised == genesis->ballot &&
	    genesis->grace_at_ms != 0 && !genesis->is_grace_over &&
	    genesis->grace_at_ms < wake)
		wake = genesis->grace_at_ms;
	return wake;
}

void
genesis_adopt(struct genesis *genesis, struct genesis_actions *actions)
{
	actions->count = 0;
	if (genesis->state.is_member)
		return;
	if (genesis->outcome != GENESIS_JOINS)
		memset(genesis->value, 0, GENESIS_ID_BYTES);
	genesis->outcome = GENESIS_JOINS;
	genesis->ballot = 0;
	genesis->has_reply = false;
	genesis->state.is_member =
		genesis->is_loose || same_id(genesis->value, no_id)
			? GENESIS_LOOSE_MEMBER
			: GENESIS_MEMBER;
	memcpy(genesis->state.id, genesis->value, GENESIS_ID_BYTES);
	persist(genesis, actions);
}

bool
genesis_adopt_observer(struct genesis_state *state)
{
	if (state->is_member || state->began == GENESIS_WITH_DATA)
		return false;
	state->is_member = GENESIS_LOOSE_MEMBER;
	memset(state->id, 0, GENESIS_ID_BYTES);
	return true;
}

void
genesis_hello(const struct genesis *genesis, struct genesis_message *out)
{
	memset(out, 0, sizeof(*out));
	out->type = GENESIS_HELLO;
	out->voters_hash = genesis->voters_hash;
	if (genesis->state.is_member == GENESIS_MEMBER)
		memcpy(out->id, genesis->state.id, GENESIS_ID_BYTES);
}

bool
genesis_is_stranger(const struct genesis *genesis,
		    const struct genesis_message *message)
{
	const bool is_told = message->type == GENESIS_HELLO ||
			     message->type == GENESIS_FOUNDED ||
			     message->type == GENESIS_EXISTS;

	return is_told && genesis->state.is_member == GENESIS_MEMBER &&
	       !(message->features & GENESIS_LOOSE) &&
	       !same_id(message->id, no_id) &&
	       !same_id(message->id, genesis->state.id);
}
