/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member_say - notes of the driver become lines of the log, and its status the
 * words that clients ask for.
 */
#include "server/member.h"

#include "base/log.h"
#include "base/time.h"

static const char *
role_text(const struct zab_action *state)
{
	switch ((enum fle_state)state->role) {
	case FLE_FOLLOWING:
		return "follows";
	case FLE_LEADING:
		return "leads";
	case FLE_OBSERVING:
		return "observes";
	default:
		return "looks for a leader";
	}
}

static void
say_state(const struct zab_action *state)
{
	const char *serving = state->is_serving ? ", serving" : "";

	if (state->role == FLE_LOOKING)
		LOG_INFO("ensemble: looks for a leader (%s)",
			 zab_reason_text(state->why));
	else if (state->role == FLE_LEADING)
		LOG_INFO("ensemble: leads, epoch %lld%s (%s)",
			 (long long)state->epoch, serving,
			 zab_reason_text(state->why));
	else
		LOG_INFO("ensemble: %s server %lld, epoch %lld%s (%s)",
			 role_text(state), (long long)state->sid,
			 (long long)state->epoch, serving,
			 zab_reason_text(state->why));
}

static const char *
down_text(uint32_t why)
{
	switch ((enum peer_down)why) {
	case PEER_BROKEN:
		return "broken";
	case PEER_PROTOCOL:
		return "its bytes are no packets";
	case PEER_SLOW:
		return "it does not take what is sent";
	case PEER_REFUSED:
		return "it cannot be reached";
	default:
		return "what it needs could not be read";
	}
}

static void
say_down(const struct ensemble_note *note)
{
	if (note->slot == ZAB_LEADER_SLOT)
		LOG_INFO("ensemble: connection to the leader or master: %s",
			 down_text(note->why));
	else
		LOG_INFO("ensemble: connection of server %lld: %s",
			 (long long)note->sid, down_text(note->why));
}

static void
say_genesis(const struct ensemble_note *note)
{
	const long long sid = (long long)note->sid;

	switch ((enum genesis_outcome)note->why) {
	case GENESIS_UNDECIDED:
		LOG_INFO("ensemble: the disk of this server was empty: it does "
			 "not vote before a quorum has said that the ensemble "
			 "is new, or a leader has synchronised it");
		break;
	case GENESIS_FOUNDS:
		LOG_INFO("ensemble: it is new, and this server votes");
		break;
	case GENESIS_JOINS:
		if (note->sid >= 0)
			LOG_WARN("ensemble: the disk of this server was empty, "
				 "but the ensemble exists already, as server "
				 "%lld says: it does not vote before a leader "
				 "whom others elect has synchronised it",
				 sid);
		else
			LOG_WARN("ensemble: the disk of this server was empty "
				 "once and no leader has synchronised it to "
				 "the end: it does not vote before one has");
		break;
	case GENESIS_CONFLICT:
		LOG_WARN("ensemble: server %lld has other voters in its "
			 "server lines; as long as it has, the two found no "
			 "ensemble together",
			 sid);
		break;
	}
}

static void
say_lend(const struct ensemble_note *note)
{
	/* In the order of what the driver asks for: see ensemble_lend.c. */
	static const char *const text[] = {"", "cuts its log at",
					   "takes the leader's snapshot of",
					   "reads its data again; zxid"};

	LOG_INFO("ensemble: %s 0x%llx", text[note->why & 3],
		 (unsigned long long)note->zxid);
}

static void
say(const struct ensemble_note *note)
{
	switch (note->kind) {
	case ENSEMBLE_NOTE_STATE:
		say_state(&note->action);
		break;
	case ENSEMBLE_NOTE_CLOSE:
		LOG_INFO("ensemble: closes a connection (%s)",
			 zab_reason_text(note->action.why));
		break;
	case ENSEMBLE_NOTE_DOWN:
		say_down(note);
		break;
	case ENSEMBLE_NOTE_GENESIS:
		say_genesis(note);
		break;
	case ENSEMBLE_NOTE_LEND:
		say_lend(note);
		break;
	case ENSEMBLE_NOTE_MASTER:
		LOG_INFO("ensemble: observes through server %lld, if that "
			 "follows",
			 (long long)note->sid);
		break;
	case ENSEMBLE_NOTE_DIVERGED:
		break; /* the hook has said it */
	}
}

/* Each line has the time of what it tells: an election is shorter than the
 * pause between two looks at the notes. */
void
member_say(struct server *server)
{
	struct ensemble_note note;

	if (server->peer == NULL || server->peer->ensemble == NULL)
		return;
	while (ensemble_next_note(server->peer->ensemble, &note)) {
		log_date(time_ms_to_ns((uint64_t)note.wall_ms));
		say(&note);
	}
	log_date(0);
}

const char *
member_mode(const struct server *server)
{
	struct ensemble_status status;

	if (server->peer == NULL)
		return "standalone";
	ensemble_status(server->peer->ensemble, &status);
	if (status.serving == SERVING_READS)
		return "read-only";
	if (!status.is_open)
		return NULL;
	switch ((enum fle_state)status.view.role) {
	case FLE_LEADING:
		return "leader";
	case FLE_FOLLOWING:
		return "follower";
	case FLE_OBSERVING:
		return "observer";
	default:
		return NULL;
	}
}
