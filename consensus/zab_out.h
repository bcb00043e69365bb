/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_CONSENSUS_ZAB_OUT_H
#define FALCONER_CONSENSUS_ZAB_OUT_H

/*
 * zab_out - appending actions. Internal to consensus/.
 *
 * A step is bounded: at most one plan of 5 actions for each learner, one
 * notification for each member of two configurations, and a few dozen more;
 * the assert proves it.
 */

#include <string.h>

#include "consensus/zab.h"

static_assert(ZAB_ACTIONS_MAX >=
		      5 * ZAB_CONNS_MAX + 4 * QUORUM_MEMBERS_MAX + 64,
	      "room for the largest step");
static_assert(ZAB_LEADER_SLOT < 64, "slots are bits of a uint64_t");

static inline struct zab_action *
zab_out(struct zab_actions *out, enum zab_action_type type)
{
	FAL_ASSERT(out->count < ZAB_ACTIONS_MAX);
	struct zab_action *action = &out->action[out->count++];

	memset(action, 0, sizeof(*action));
	action->type = type;
	return action;
}

static inline void
zab_out_zxid(struct zab_actions *out, enum zab_action_type type, int64_t zxid)
{
	struct zab_action *action = zab_out(out, type);

	action->zxid = zxid;
	action->zxid_last = zxid;
}

/* One packet for each zxid in first..last to each of the slots, if any. */
static inline struct zab_action *
zab_out_send(struct zab_actions *out, uint64_t slots, enum quorum_type packet,
	     int64_t first, int64_t last)
{
	struct zab_action *action = zab_out(out, ZAB_DO_SEND);

	action->slots = slots;
	action->packet = (int32_t)packet;
	action->zxid = first;
	action->zxid_last = last;
	action->count = 1;
	return action;
}

static inline void
zab_out_close(struct zab_actions *out, uint64_t slots, enum zab_reason why)
{
	if (slots == 0)
		return;
	struct zab_action *action = zab_out(out, ZAB_DO_CLOSE);

	action->slots = slots;
	action->why = (uint16_t)why;
}

static inline uint64_t
zab_slot_bit(uint32_t slot)
{
	return 1ull << slot;
}

#define ZAB_LEADER_BIT (1ull << ZAB_LEADER_SLOT)

#endif
