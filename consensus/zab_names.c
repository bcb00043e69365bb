/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_names - events, actions, reasons and packets by name, for traces.
 */
#include "consensus/zab.h"

const char *
zab_event_name(uint32_t type)
{
	static const char *const names[ZAB_EV_COUNT] = {
#define ZAB_EVENT(name, text) text,
#include "consensus/zab_event.def"
#undef ZAB_EVENT
	};

	return type < ZAB_EV_COUNT ? names[type] : "unknown event";
}

const char *
zab_action_name(uint32_t type)
{
	static const char *const names[ZAB_DO_COUNT] = {
#define ZAB_ACTION(name, text) text,
#include "consensus/zab_action.def"
#undef ZAB_ACTION
	};

	return type < ZAB_DO_COUNT ? names[type] : "unknown action";
}

const char *
zab_reason_text(uint32_t why)
{
	static const char *const texts[ZAB_WHY_COUNT] = {
#define ZAB_REASON(name, text) text,
#include "consensus/zab_reason.def"
#undef ZAB_REASON
	};

	return why < ZAB_WHY_COUNT ? texts[why] : "unknown reason";
}

const char *
zab_packet_name(int32_t packet)
{
	switch (packet) {
	case QUORUM_REQUEST:
		return "REQUEST";
	case QUORUM_PROPOSAL:
		return "PROPOSAL";
	case QUORUM_ACK:
		return "ACK";
	case QUORUM_COMMIT:
		return "COMMIT";
	case QUORUM_PING:
		return "PING";
	case QUORUM_REVALIDATE:
		return "REVALIDATE";
	case QUORUM_SYNC:
		return "SYNC";
	case QUORUM_INFORM:
		return "INFORM";
	case QUORUM_COMMITANDACTIVATE:
		return "COMMITANDACTIVATE";
	case QUORUM_NEWLEADER:
		return "NEWLEADER";
	case QUORUM_FOLLOWERINFO:
		return "FOLLOWERINFO";
	case QUORUM_UPTODATE:
		return "UPTODATE";
	case QUORUM_DIFF:
		return "DIFF";
	case QUORUM_TRUNC:
		return "TRUNC";
	case QUORUM_SNAP:
		return "SNAP";
	case QUORUM_OBSERVERINFO:
		return "OBSERVERINFO";
	case QUORUM_LEADERINFO:
		return "LEADERINFO";
	case QUORUM_ACKEPOCH:
		return "ACKEPOCH";
	case QUORUM_INFORMANDACTIVATE:
		return "INFORMANDACTIVATE";
	default:
		return "unknown packet";
	}
}
