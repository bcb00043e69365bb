/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig_trace - events and actions as lines of text:
 *
 *   1 < PROPOSAL 1:1 from 3        what happened to server 1
 *   1   append 1:1                 what it wants done
 *
 * PINGs, ticks without effect and, unless asked for, the election are left out.
 */
#include "tests/script/rig.h"
#include "tests/script/rig_internal.h"

static bool
is_election(uint32_t type)
{
	return type == ZAB_EV_FLE || type == ZAB_EV_FLE_LINK;
}

static int64_t
sid_behind(struct rig *rig, struct rig_server *server, uint32_t slot)
{
	const uint32_t at = *rig_slot(server, slot);

	if (at == 0)
		return -1;
	const struct rig_conn *conn = &rig->conn[at - 1];

	return rig->server[conn->end[slot == ZAB_LEADER_SLOT]].sid;
}

static void
print_number(FILE *out, const char *before, int64_t zxid)
{
	fprintf(out, "%s", before);
	rig_print_zxid(out, zxid);
}

static void
print_vote(FILE *out, const struct zab_notification *said)
{
	fprintf(out, " %s leader=%lld", rig_role_name((uint32_t)said->state),
		(long long)said->leader);
	print_number(out, " zxid=", said->zxid);
	fprintf(out, " round=%lld epoch=%lld", (long long)said->round,
		(long long)said->peer_epoch);
}

static void
print_packet_event(struct rig *rig, struct rig_server *server,
		   const struct zab_event *event)
{
	FILE *out = rig->out;

	fprintf(out, "%s", zab_packet_name(event->packet));
	if (event->packet != QUORUM_UPTODATE && event->packet != QUORUM_SYNC)
		print_number(out, " ", event->zxid);
	if (event->packet == QUORUM_ACKEPOCH)
		fprintf(out, " epoch=%lld", (long long)event->epoch);
	fprintf(out, " from %lld",
		(long long)sid_behind(rig, server, event->slot));
}

void
rig_trace_event(struct rig *rig, uint32_t index, const struct zab_event *event,
		uint32_t action_count)
{
	struct rig_server *server = &rig->server[index];
	FILE *out = rig->out;

	if (!rig->is_tracing ||
	    (is_election(event->type) && !rig->traces_election) ||
	    (event->type == ZAB_EV_TICK && action_count == 0) ||
	    (event->type == ZAB_EV_PACKET && event->packet == QUORUM_PING))
		return;
	fprintf(out, "%lld < ", (long long)server->sid);
	switch (event->type) {
	case ZAB_EV_PACKET:
		print_packet_event(rig, server, event);
		break;
	case ZAB_EV_FLE:
		fprintf(out, "fle from %lld:", (long long)event->sid);
		print_vote(out, &event->notification);
		break;
	case ZAB_EV_CONN_UP:
		fprintf(out, "connected with %lld",
			(long long)sid_behind(rig, server, event->slot));
		break;
	case ZAB_EV_EPOCH_DURABLE:
		fprintf(out, "%s-durable %lld",
			event->is_current ? "currentEpoch" : "acceptedEpoch",
			(long long)event->epoch);
		break;
	case ZAB_EV_PROPOSE:
	case ZAB_EV_LOG_DURABLE:
	case ZAB_EV_CONFIG_DURABLE:
	case ZAB_EV_TRUNCATED:
	case ZAB_EV_SNAP_INSTALLED:
		fprintf(out, "%s", zab_event_name(event->type));
		print_number(out, " ", event->zxid);
		break;
	default:
		fprintf(out, "%s", zab_event_name(event->type));
		break;
	}
	fprintf(out, "\n");
}

static void
print_slots(struct rig *rig, struct rig_server *server, uint64_t slots)
{
	for (uint32_t slot = 0; slot < 64; slot++)
		if (slots & 1ull << slot)
			fprintf(rig->out, " %lld",
				(long long)sid_behind(rig, server, slot));
}

static void
print_range(FILE *out, const struct zab_action *action)
{
	print_number(out, " ", action->zxid);
	if (action->zxid_last > action->zxid)
		print_number(out, "..", action->zxid_last);
}

static void
print_send(struct rig *rig, struct rig_server *server,
	   const struct zab_action *action)
{
	FILE *out = rig->out;

	print_slots(rig, server, action->slots);
	fprintf(out, " %s", zab_packet_name(action->packet));
	if (action->packet != QUORUM_UPTODATE && action->packet != QUORUM_SYNC)
		print_range(out, action);
	if (action->packet == QUORUM_ACKEPOCH)
		fprintf(out, " epoch=%lld", (long long)action->epoch);
	if (action->packet == QUORUM_COMMITANDACTIVATE ||
	    action->packet == QUORUM_INFORMANDACTIVATE)
		fprintf(out, " leader=%lld", (long long)action->sid);
	if (action->count > 1)
		fprintf(out, " x%u", action->count);
}

static void
print_state(FILE *out, const struct zab_action *action)
{
	fprintf(out, " %s %s", rig_role_name(action->role),
		rig_phase_name(action->phase));
	if (action->sid >= 0)
		fprintf(out, " leader=%lld", (long long)action->sid);
	if (action->epoch > 0)
		fprintf(out, " epoch=%lld", (long long)action->epoch);
	if (action->is_serving)
		fprintf(out, " serving");
	fprintf(out, ": %s", zab_reason_text(action->why));
}

static bool
is_left_out(const struct rig *rig, const struct zab_action *action)
{
	if (!rig->is_tracing)
		return true;
	if (action->type == ZAB_DO_SEND && action->packet == QUORUM_PING)
		return true;
	return (action->type == ZAB_DO_SEND_FLE ||
		action->type == ZAB_DO_FORGET_FLE) &&
	       !rig->traces_election;
}

void
rig_trace_action(struct rig *rig, uint32_t index,
		 const struct zab_action *action)
{
	struct rig_server *server = &rig->server[index];
	FILE *out = rig->out;

	if (is_left_out(rig, action))
		return;
	fprintf(out, "%lld   %s", (long long)server->sid,
		zab_action_name(action->type));
	switch (action->type) {
	case ZAB_DO_SEND_FLE:
		fprintf(out, " %lld", (long long)action->sid);
		print_vote(out, &action->notification);
		break;
	case ZAB_DO_DIAL:
		fprintf(out, " %lld%s", (long long)action->sid,
			action->is_master ? " (observer master)" : "");
		break;
	case ZAB_DO_CLOSE:
		print_slots(rig, server, action->slots);
		fprintf(out, ": %s", zab_reason_text(action->why));
		break;
	case ZAB_DO_SEND:
		print_send(rig, server, action);
		break;
	case ZAB_DO_STREAM_HISTORY:
	case ZAB_DO_STREAM_SNAPSHOT:
		print_slots(rig, server, action->slots);
		print_range(out, action);
		break;
	case ZAB_DO_PERSIST_ACCEPTED:
	case ZAB_DO_PERSIST_CURRENT:
		fprintf(out, " %lld", (long long)action->epoch);
		break;
	case ZAB_DO_ACTIVATE_CONFIG:
		print_range(out, action);
		fprintf(out, " leader=%lld", (long long)action->sid);
		break;
	case ZAB_DO_SYNC_DONE:
		print_range(out, action);
		fprintf(out, " x%u", action->count);
		break;
	case ZAB_DO_STATE:
		print_state(out, action);
		break;
	case ZAB_DO_FATAL:
		fprintf(out, ": %s", zab_reason_text(action->why));
		break;
	case ZAB_DO_DROP_HELD:
	case ZAB_DO_KEEP_LOG:
	case ZAB_DO_RELOAD:
	case ZAB_DO_VOTER_AGAIN:
	case ZAB_DO_FORGET_FLE:
		break;
	default:
		print_range(out, action);
		break;
	}
	fprintf(out, "\n");
}
