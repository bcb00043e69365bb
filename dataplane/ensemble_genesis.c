/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_genesis - the driver of the register (consensus/genesis.h): may a
 * server that began empty vote?
 *
 * Its frames go over the election port; notifications of servers that do not
 * speak it are shown to it, too. While it is undecided the core is non-voting;
 * when it founds, the core is told MAY_VOTE as soon as it looks for a leader.
 * VOTER_AGAIN of the core, or serving for the first time, makes the server a
 * member for good; an observer, too, that one day may be a voter.
 *
 * Links are told by fle_net while it sends, which may be in the middle of a
 * step: such news wait for the next round.
 */
#include "dataplane/ensemble_int.h"

static void
act(struct ensemble *ensemble, const struct genesis_action *action)
{
	const struct store_port *store = &ensemble->parts.store;

	switch ((enum genesis_action_type)action->type) {
	case GENESIS_SEND:
		fle_net_send_genesis(ensemble->fle, action->sid,
				     &action->message);
		break;
	case GENESIS_PERSIST:
		store->persist_genesis(store->store, &action->state);
		break;
	case GENESIS_DONE:
		/* Members are so at each start. */
		if (!ensemble->is_genesis_awaited &&
		    action->outcome != GENESIS_CONFLICT)
			break;
		ensemble_note(ensemble, &(struct ensemble_note){
						.kind = ENSEMBLE_NOTE_GENESIS,
						.why = action->outcome,
						.sid = action->sid});
		break;
	}
}

static void
act_all(struct ensemble *ensemble)
{
	const struct genesis_actions *actions = &ensemble->genesis_actions;

	for (uint32_t i = 0; i < actions->count; i++)
		act(ensemble, &actions->action[i]);
}

static void
step(struct ensemble *ensemble, struct genesis_event *event)
{
	FAL_ASSERT(!ensemble->is_genesis_stepping);
	ensemble->is_genesis_stepping = true;
	event->now_ms = ensemble->now_ms;
	genesis_step(&ensemble->genesis, event, &ensemble->genesis_actions);
	act_all(ensemble);
	ensemble->is_genesis_stepping = false;
}

void
ensemble_genesis_hello(void *arg, struct genesis_message *out)
{
	const struct ensemble *ensemble = arg;

	if (ensemble->has_genesis)
		genesis_hello(&ensemble->genesis, out);
	else
		*out = (struct genesis_message){.type = GENESIS_HELLO};
}

bool
ensemble_genesis_message(void *arg, int64_t sid,
			 const struct genesis_message *message)
{
	struct ensemble *ensemble = arg;
	struct genesis_event event = {
		.type = GENESIS_EV_MESSAGE, .sid = sid, .message = *message};

	if (!ensemble->has_genesis)
		return true;
	if (genesis_is_stranger(&ensemble->genesis, message))
		return false;
	step(ensemble, &event);
	return true;
}

void
ensemble_genesis_notification(struct ensemble *ensemble, int64_t sid,
			      const struct fle_notification *said)
{
	struct genesis_event event = {
		.type = GENESIS_EV_FOREIGN,
		.sid = sid,
		.looks = said->state == FLE_LOOKING,
		.zxid = said->zxid,
		.epoch = said->peer_epoch,
	};

	if (ensemble->has_genesis &&
	    !fle_net_speaks_genesis(ensemble->fle, sid))
		step(ensemble, &event);
}

void
ensemble_genesis_link(struct ensemble *ensemble, int64_t sid, bool is_up)
{
	struct genesis_event event = {
		.type = GENESIS_EV_LINK, .sid = sid, .is_up = is_up};

	if (ensemble->has_genesis)
		step(ensemble, &event);
}

void
ensemble_genesis_durable(struct ensemble *ensemble)
{
	struct genesis_event event = {.type = GENESIS_EV_DURABLE};

	if (ensemble->has_genesis)
		step(ensemble, &event);
}

/* The core alone knows when it may; genesis alone knows whether. */
static bool
step_may_vote(struct ensemble *ensemble)
{
	struct zab_event event = {.type = ZAB_EV_MAY_VOTE};

	if (!ensemble->is_genesis_awaited || ensemble->role != FLE_LOOKING ||
	    !genesis_may_vote(&ensemble->genesis))
		return false;
	ensemble->is_genesis_awaited = false;
	ensemble_step(ensemble, &event);
	return true;
}

bool
ensemble_poll_genesis(struct ensemble *ensemble)
{
	struct genesis_event event = {.type = GENESIS_EV_TICK};
	bool did_work = false;

	if (!ensemble->has_genesis)
		return false;
	if (ensemble->now_ms >= genesis_wake_ms(&ensemble->genesis)) {
		step(ensemble, &event);
		did_work = true;
	}
	return step_may_vote(ensemble) || did_work;
}

uint64_t
ensemble_genesis_wake_ms(const struct ensemble *ensemble)
{
	return ensemble->has_genesis ? genesis_wake_ms(&ensemble->genesis)
				     : UINT64_MAX;
}

/* A leader has synchronized this server. */
void
ensemble_genesis_adopt(struct ensemble *ensemble)
{
	if (!ensemble->has_genesis)
		return;
	FAL_ASSERT(!ensemble->is_genesis_stepping);
	ensemble->is_genesis_awaited = false;
	genesis_adopt(&ensemble->genesis, &ensemble->genesis_actions);
	act_all(ensemble);
}

void
ensemble_genesis_serves(struct ensemble *ensemble)
{
	const struct store_port *store = &ensemble->parts.store;
	struct genesis_state *state = &ensemble->genesis.state;

	if (!ensemble->has_genesis) {
		if (genesis_adopt_observer(state))
			store->persist_genesis(store->store, state);
	} else if (state->began == GENESIS_VOUCHED) {
		ensemble_genesis_adopt(ensemble);
	}
}

bool
ensemble_genesis_init(struct ensemble *ensemble,
		      const struct zab_disk_state *disk,
		      const struct ensemble_genesis *setup)
{
	struct genesis_options options = setup->options;

	options.sid = ensemble->options.core.sid;
	options.voters = disk->active;
	/* Who may not vote for another reason founds nothing. */
	options.is_passive = disk->is_nonvoting;
	if (genesis_init(&ensemble->genesis, &options, &setup->state) !=
	    FAL_OK) {
		ensemble->genesis.state = setup->state;
		return false; /* an observer */
	}
	ensemble->has_genesis = true;
	if (genesis_may_vote(&ensemble->genesis) || disk->is_nonvoting)
		return false;
	ensemble->is_genesis_awaited = true;
	return true;
}

void
ensemble_genesis_start(struct ensemble *ensemble)
{
	struct genesis_event event = {.type = GENESIS_EV_START};

	if (!ensemble->has_genesis)
		return;
	step(ensemble, &event);
	if (ensemble->is_genesis_awaited &&
	    ensemble->genesis.outcome == GENESIS_UNDECIDED)
		ensemble_note(ensemble, &(struct ensemble_note){
						.kind = ENSEMBLE_NOTE_GENESIS,
						.why = GENESIS_UNDECIDED,
						.sid = ZAB_NO_SID});
}
