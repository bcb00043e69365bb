/* SPDX-License-Identifier: Apache-2.0 */
/*
 * genesis - proposer, acceptor and learner of the register, in one server.
 *
 * A ballot is (attempt << 5) + index of the proposer in the voter list, so no
 * two servers use the same one. An acceptor has one write under way at a time
 * and answers when it is done; what comes meanwhile is dropped, for whoever
 * asked asks again. Competing proposers are kept apart by their index: a lower
 * one begins earlier and retries sooner.
 *
 * The own acceptor is asked like the others, only without a message, so the
 * own promise is durable before it counts.
 */
#include "consensus/genesis.h"

#include <string.h>

#include "base/be.h"

#define BALLOT_INDEX_BITS 5u
#define ATTEMPTS_MAX      ((1u << (32 - BALLOT_INDEX_BITS)) - 1)
#define RETRY_STEPS_MAX   8u

static_assert(QUORUM_MEMBERS_MAX <= 1u << BALLOT_INDEX_BITS,
	      "a ballot names its proposer");
static_assert(4 + 1 + 1 + 2 + 4 + 4 + GENESIS_ID_BYTES + 8 ==
		      GENESIS_FRAME_BYTES,
	      "the frame is full");

/* -------------------------------------------------------------- bytes --- */

void
genesis_put(const struct genesis_message *message,
	    uint8_t frame[GENESIS_FRAME_BYTES])
{
	memset(frame, 0, GENESIS_FRAME_BYTES);
	be_store32(frame, GENESIS_MAGIC);
	frame[4] = (uint8_t)message->type;
	be_store16(frame + 6, message->features);
	be_store32(frame + 8, message->ballot);
	be_store32(frame + 12, message->accepted_ballot);
	memcpy(frame + 16, message->id, GENESIS_ID_BYTES);
	be_store64(frame + 32, message->voters_hash);
}

int
genesis_get(const void *frame, size_t bytes, struct genesis_message *message)
{
	const uint8_t *at = frame;

	if (bytes != GENESIS_FRAME_BYTES || be_load32(at) != GENESIS_MAGIC ||
	    at[4] < GENESIS_PREPARE || at[4] > GENESIS_DIFFERS)
		return FAL_EPROTO;
	memset(message, 0, sizeof(*message));
	message->type = at[4];
	message->features = be_load16(at + 6);
	message->ballot = be_load32(at + 8);
	message->accepted_ballot = be_load32(at + 12);
	memcpy(message->id, at + 16, GENESIS_ID_BYTES);
	message->voters_hash = be_load64(at + 32);
	return 0;
}

/* ------------------------------------------------------------ actions --- */

static struct genesis_action *
push(struct genesis_actions *out, enum genesis_action_type type)
{
	FAL_ASSERT(out->count < GENESIS_ACTIONS_MAX);
	struct genesis_action *action = &out->action[out->count++];

	memset(action, 0, sizeof(*action));
	action->type = type;
	return action;
}

static void
send(struct genesis *genesis, int64_t to, enum genesis_type type,
     uint32_t ballot, const uint8_t *id, struct genesis_actions *out)
{
	struct genesis_action *action = push(out, GENESIS_SEND);

	action->sid = to;
	action->message.type = type;
	action->message.ballot = ballot;
	action->message.voters_hash = genesis->voters_hash;
	if (id)
		memcpy(action->message.id, id, GENESIS_ID_BYTES);
}

static void
send_to_others(struct genesis *genesis, enum genesis_type type, uint32_t ballot,
	       const uint8_t *id, struct genesis_actions *out)
{
	for (uint32_t i = 0; i < genesis->voter_count; i++)
		if (i != genesis->own_index)
			send(genesis, genesis->voter[i], type, ballot, id, out);
}

static void
persist(struct genesis *genesis, struct genesis_actions *out)
{
	genesis->writes++;
	push(out, GENESIS_PERSIST)->state = genesis->state;
}

static void
tell_outcome(struct genesis *genesis, enum genesis_outcome outcome,
	     struct genesis_actions *out)
{
	genesis->outcome = outcome;
	push(out, GENESIS_DONE)->outcome = outcome;
}

static bool
same_id(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, GENESIS_ID_BYTES) == 0;
}

/* ------------------------------------------------------------ founding --- */

/* The value is chosen, and this server had accepted it. */
static void
found(struct genesis *genesis, struct genesis_actions *out)
{
	FAL_ASSERT(genesis->state.accepted_ballot != 0);
	genesis->state.is_member = 1;
	genesis->next_outcome = GENESIS_FOUNDS;
	genesis->has_reply = false;
	persist(genesis, out);
}

static int
index_of(const struct genesis *genesis, int64_t sid)
{
	for (uint32_t i = 0; i < genesis->voter_count; i++)
		if (genesis->voter[i] == sid)
			return (int)i;
	return -1;
}

/* Phase 2: the value that may have been chosen before, or the own one. */
static void
begin_accepting(struct genesis *genesis, struct genesis_actions *out)
{
	if (genesis->writes > 0 || genesis->state.promised > genesis->ballot)
		return; /* A later ballot is on its way: it will be retried. */
	genesis->is_accepting = true;
	genesis->answers = 0;
	send_to_others(genesis, GENESIS_ACCEPT, genesis->ballot, genesis->value,
		       out);
	genesis->state.accepted_ballot = genesis->ballot;
	memcpy(genesis->state.id, genesis->value, GENESIS_ID_BYTES);
	genesis->has_reply = true;
	genesis->reply_to = genesis->sid;
	persist(genesis, out);
}

/* A voter answered our ballot; the own acceptor's answers come here, too. */
static void
take_answer(struct genesis *genesis, uint32_t index,
	    struct genesis_actions *out)
{
	genesis->answers |= 1u << index;
	if ((uint32_t)__builtin_popcount(genesis->answers) < genesis->quorum)
		return;
	if (!genesis->is_accepting)
		begin_accepting(genesis, out);
	else if (genesis->state.accepted_ballot == genesis->ballot &&
		 genesis->writes == 0)
		found(genesis, out);
}

static void
take_promise(struct genesis *genesis, uint32_t index, uint32_t accepted_ballot,
	     const uint8_t *id, struct genesis_actions *out)
{
	if (genesis->is_accepting)
		return;
	if (accepted_ballot > genesis->best_ballot) {
		genesis->best_ballot = accepted_ballot;
		memcpy(genesis->value, id, GENESIS_ID_BYTES);
	}
	take_answer(genesis, index, out);
}

static uint64_t
retry_after(const struct genesis *genesis)
{
	const uint32_t steps = genesis->attempts < RETRY_STEPS_MAX
				       ? genesis->attempts
				       : RETRY_STEPS_MAX;

	return (uint64_t)genesis->retry_ms * (1 + steps) +
	       (uint64_t)genesis->retry_ms * genesis->own_index * (1 + steps) /
		       2;
}

/* Phase 1, with a ballot above all that were seen. */
static void
propose(struct genesis *genesis, uint64_t now_ms, struct genesis_actions *out)
{
	const uint32_t attempt =
		(genesis->highest_seen >> BALLOT_INDEX_BITS) + 1;

	genesis->retry_at_ms = now_ms + retry_after(genesis);
	if (genesis->writes > 0 || attempt > ATTEMPTS_MAX)
		return;
	genesis->attempts++;
	genesis->ballot = (attempt << BALLOT_INDEX_BITS) + genesis->own_index;
	genesis->highest_seen = genesis->ballot;
	genesis->is_accepting = false;
	genesis->answers = 0;
	genesis->best_ballot = genesis->state.accepted_ballot;
	memcpy(genesis->value,
	       genesis->best_ballot ? genesis->state.id : genesis->own_id,
	       GENESIS_ID_BYTES);
	FAL_ASSERT(genesis->ballot > genesis->state.promised);
	send_to_others(genesis, GENESIS_PREPARE, genesis->ballot, NULL, out);
	genesis->state.promised = genesis->ballot;
	genesis->has_reply = true;
	genesis->reply_to = genesis->sid;
	persist(genesis, out);
}

/* ----------------------------------------------------------- acceptor --- */

static void
note_ballot(struct genesis *genesis, uint32_t ballot)
{
	if (ballot > genesis->highest_seen)
		genesis->highest_seen = ballot;
}

static void
accept_later(struct genesis *genesis, int64_t to, enum genesis_type type,
	     uint32_t ballot, struct genesis_actions *out)
{
	genesis->has_reply = true;
	genesis->reply_to = to;
	memset(&genesis->reply, 0, sizeof(genesis->reply));
	genesis->reply.type = type;
	genesis->reply.ballot = ballot;
	genesis->reply.voters_hash = genesis->voters_hash;
	if (type == GENESIS_PROMISE) {
		genesis->reply.accepted_ballot = genesis->state.accepted_ballot;
		memcpy(genesis->reply.id, genesis->state.id, GENESIS_ID_BYTES);
	}
	persist(genesis, out);
}

static void
on_prepare(struct genesis *genesis, int64_t from, uint32_t ballot,
	   uint64_t now_ms, struct genesis_actions *out)
{
	if (ballot <= genesis->state.promised) {
		send(genesis, from, GENESIS_REFUSED, genesis->state.promised,
		     NULL, out);
		return;
	}
	genesis->state.promised = ballot;
	/* Somebody is at it: do not compete at once. */
	genesis->retry_at_ms = now_ms + retry_after(genesis);
	accept_later(genesis, from, GENESIS_PROMISE, ballot, out);
}

static void
on_accept(struct genesis *genesis, int64_t from,
	  const struct genesis_message *message, struct genesis_actions *out)
{
	/* Only what was promised to exactly this ballot: stricter than Paxos
	 * must be, but an emptied server then accepts nothing it did not see
	 * prepared. */
	if (message->ballot != genesis->state.promised) {
		send(genesis, from, GENESIS_REFUSED, genesis->state.promised,
		     NULL, out);
		return;
	}
	genesis->state.accepted_ballot = message->ballot;
	memcpy(genesis->state.id, message->id, GENESIS_ID_BYTES);
	accept_later(genesis, from, GENESIS_ACCEPTED, message->ballot, out);
}

/* ------------------------------------------------------------- learner --- */

static void
on_exists(struct genesis *genesis, const uint8_t *id,
	  struct genesis_actions *out)
{
	if (genesis->writes > 0)
		return; /* It will be said again. */
	if (genesis->state.accepted_ballot != 0 &&
	    same_id(genesis->state.id, id)) {
		found(genesis, out);
		return;
	}
	memcpy(genesis->value, id, GENESIS_ID_BYTES);
	genesis->ballot = 0;
	tell_outcome(genesis, GENESIS_JOINS, out);
}

static void
on_differs(struct genesis *genesis, int64_t from, bool answers,
	   struct genesis_actions *out)
{
	if (answers)
		send(genesis, from, GENESIS_DIFFERS, 0, NULL, out);
	if (genesis->has_told_conflict || genesis->outcome != GENESIS_UNDECIDED)
		return;
	genesis->has_told_conflict = true;
	push(out, GENESIS_DONE)->outcome = GENESIS_CONFLICT;
}

/* Decided or not to decide: everybody is told what there is. */
static void
answer_decided(struct genesis *genesis, int64_t from, uint32_t type,
	       struct genesis_actions *out)
{
	if (type != GENESIS_PREPARE && type != GENESIS_ACCEPT)
		return;
	if (genesis->outcome == GENESIS_FOUNDS)
		send(genesis, from, GENESIS_EXISTS, 0, genesis->state.id, out);
	else if (genesis->outcome == GENESIS_JOINS)
		send(genesis, from, GENESIS_EXISTS, 0, genesis->value, out);
}

static void
on_message(struct genesis *genesis, const struct genesis_event *event,
	   struct genesis_actions *out)
{
	const struct genesis_message *message = &event->message;
	const int index = index_of(genesis, event->sid);
	const bool is_ours =
		genesis->ballot != 0 && message->ballot == genesis->ballot;

	if (index < 0 || event->sid == genesis->sid)
		return;
	if (message->type == GENESIS_DIFFERS ||
	    message->voters_hash != genesis->voters_hash) {
		on_differs(genesis, event->sid,
			   message->type != GENESIS_DIFFERS, out);
		return;
	}
	if (genesis->outcome != GENESIS_UNDECIDED) {
		answer_decided(genesis, event->sid, message->type, out);
		return;
	}
	if (message->type == GENESIS_PREPARE ||
	    message->type == GENESIS_REFUSED)
		note_ballot(genesis, message->ballot);
	switch (message->type) {
	case GENESIS_PREPARE:
		if (genesis->writes == 0)
			on_prepare(genesis, event->sid, message->ballot,
				   event->now_ms, out);
		break;
	case GENESIS_ACCEPT:
		if (genesis->writes == 0)
			on_accept(genesis, event->sid, message, out);
		break;
	case GENESIS_PROMISE:
		if (is_ours)
			take_promise(genesis, (uint32_t)index,
				     message->accepted_ballot, message->id,
				     out);
		break;
	case GENESIS_ACCEPTED:
		if (is_ours && genesis->is_accepting)
			take_answer(genesis, (uint32_t)index, out);
		break;
	case GENESIS_FOUNDED:
	case GENESIS_EXISTS:
		on_exists(genesis, message->id, out);
		break;
	default:
		break;
	}
}

/* -------------------------------------------------------------- events --- */

static void
on_durable(struct genesis *genesis, struct genesis_actions *out)
{
	const bool has_reply = genesis->has_reply;

	FAL_ASSERT(genesis->writes > 0);
	genesis->writes--;
	genesis->has_reply = false;
	if (genesis->next_outcome == GENESIS_FOUNDS) {
		genesis->next_outcome = GENESIS_UNDECIDED;
		tell_outcome(genesis, GENESIS_FOUNDS, out);
		send_to_others(genesis, GENESIS_FOUNDED, 0, genesis->state.id,
			       out);
		return;
	}
	if (!has_reply || genesis->outcome != GENESIS_UNDECIDED)
		return;
	if (genesis->reply_to != genesis->sid) {
		struct genesis_action *action = push(out, GENESIS_SEND);

		action->sid = genesis->reply_to;
		action->message = genesis->reply;
	} else {
		take_answer(genesis, genesis->own_index, out);
	}
}

static void
on_start(struct genesis *genesis, uint64_t now_ms, struct genesis_actions *out)
{
	FAL_ASSERT(!genesis->is_started);
	genesis->is_started = true;
	/* The lowest index begins at once, the others wait for it a little. */
	genesis->retry_at_ms =
		now_ms + (uint64_t)genesis->retry_ms * genesis->own_index / 2;
	if (genesis->state.is_member ||
	    (genesis->has_data && !genesis->state.is_joining)) {
		tell_outcome(genesis, GENESIS_FOUNDS, out);
	} else if (genesis->has_data) {
		memcpy(genesis->value, genesis->state.id, GENESIS_ID_BYTES);
		tell_outcome(genesis, GENESIS_JOINS, out);
	} else if (!genesis->state.is_joining) {
		genesis->state.is_joining = 1;
		persist(genesis, out);
	}
}

int
genesis_init(struct genesis *genesis, const struct genesis_options *options,
	     const struct genesis_state *state)
{
	const struct quorum *voters = options->voters;

	if (!quorum_is_voter(voters, options->sid) || options->retry_ms == 0)
		return FAL_EINVAL;
	memset(genesis, 0, sizeof(*genesis));
	genesis->sid = options->sid;
	genesis->voters_hash = options->voters_hash;
	memcpy(genesis->own_id, options->id, GENESIS_ID_BYTES);
	genesis->has_data = options->has_data;
	genesis->retry_ms = options->retry_ms;
	genesis->state = *state;
	genesis->highest_seen = state->promised;
	for (uint32_t i = 0; i < voters->member_count; i++) {
		uint32_t at = genesis->voter_count;

		if (!voters->member[i].is_voter)
			continue;
		for (; at > 0 && genesis->voter[at - 1] > voters->member[i].sid;
		     at--)
			genesis->voter[at] = genesis->voter[at - 1];
		genesis->voter[at] = voters->member[i].sid;
		genesis->voter_count++;
	}
	genesis->own_index = (uint32_t)index_of(genesis, options->sid);
	genesis->quorum = options->is_all ? genesis->voter_count
					  : genesis->voter_count / 2 + 1;
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
		on_start(genesis, event->now_ms, actions);
		break;
	case GENESIS_EV_TICK:
		if (genesis->outcome == GENESIS_UNDECIDED &&
		    event->now_ms >= genesis->retry_at_ms)
			propose(genesis, event->now_ms, actions);
		break;
	case GENESIS_EV_MESSAGE:
		on_message(genesis, event, actions);
		break;
	case GENESIS_EV_DURABLE:
		on_durable(genesis, actions);
		break;
	case GENESIS_EV_FOREIGN:
		if (genesis->outcome == GENESIS_UNDECIDED)
			tell_outcome(genesis, GENESIS_FOREIGN, actions);
		break;
	}
	FAL_ASSERT(genesis->state.accepted_ballot <= genesis->state.promised);
}

bool
genesis_is_noted(const struct genesis *genesis)
{
	return genesis->is_started &&
	       (genesis->outcome != GENESIS_UNDECIDED ||
		(genesis->state.is_joining &&
		 !(genesis->writes > 0 && genesis->state.promised == 0)));
}

uint64_t
genesis_wake_ms(const struct genesis *genesis)
{
	return genesis->outcome == GENESIS_UNDECIDED ? genesis->retry_at_ms
						     : UINT64_MAX;
}

void
genesis_adopt(struct genesis *genesis, const uint8_t id[GENESIS_ID_BYTES],
	      struct genesis_actions *actions)
{
	actions->count = 0;
	if (genesis->state.is_member)
		return;
	genesis->state.is_member = 1;
	memcpy(genesis->state.id, id, GENESIS_ID_BYTES);
	genesis->has_reply = false;
	genesis->next_outcome = GENESIS_UNDECIDED;
	genesis->outcome = GENESIS_JOINS;
	memcpy(genesis->value, id, GENESIS_ID_BYTES);
	persist(genesis, actions);
}
