/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_burst - what comes in bursts is stepped once.
 *
 * Own proposals of a round are one PROPOSE, so they leave as one range; and
 * ACKs of consecutive zxids from one follower, as its log writes a batch of
 * them, are the last one of these: it says what all of them say, for a follower
 * acknowledges in order. Neither waits: the next step of another kind, and the
 * end of the round at the latest, takes what has gathered. Until then zxids
 * are counted on from what the core allowed when the burst began.
 *
 * A leader alone may do so with what it receives; what is sent, and so what a
 * ZooKeeper sees, is the same packet for packet.
 */
#include "dataplane/ensemble_int.h"

int64_t
ensemble_burst_next_zxid(const struct ensemble *ensemble)
{
	const struct ensemble_burst *burst = &ensemble->burst;

	if (burst->count == 0)
		return zab_next_zxid(ensemble->core, NULL);
	return burst->count < burst->room ? burst->first + burst->count : 0;
}

void
ensemble_burst_propose(struct ensemble *ensemble, int64_t zxid)
{
	struct ensemble_burst *burst = &ensemble->burst;

	if (burst->count == 0) {
		burst->first = zxid;
		burst->room = zab_proposals_max(ensemble->core);
	}
	FAL_ASSERT(zxid == burst->first + burst->count);
	burst->count++;
}

static bool
continues(const struct ensemble_burst *burst, uint32_t slot, int64_t zxid)
{
	return burst->has_ack && burst->ack_slot == slot &&
	       burst->ack_zxid + 1 == zxid;
}

bool
ensemble_burst_ack(struct ensemble *ensemble, uint32_t slot, int64_t zxid)
{
	struct ensemble_burst *burst = &ensemble->burst;

	/* Those of NEWLEADER and UPTODATE are something else. */
	if (ensemble->role != FLE_LEADING || zab_counter(zxid) == 0)
		return false;
	if (!continues(burst, slot, zxid))
		ensemble_burst_step(ensemble);
	burst->has_ack = true;
	burst->ack_slot = slot;
	burst->ack_zxid = zxid;
	return true;
}

void
ensemble_burst_step(struct ensemble *ensemble)
{
	struct ensemble_burst *burst = &ensemble->burst;
	struct zab_event proposals = {.type = ZAB_EV_PROPOSE,
				      .zxid = burst->first,
				      .count = burst->count};
	struct zab_event ack = {.type = ZAB_EV_PACKET,
				.slot = burst->ack_slot,
				.packet = QUORUM_ACK,
				.zxid = burst->ack_zxid};
	const bool has_ack = burst->has_ack;

	/* First: each step takes what has gathered before it. */
	*burst = (struct ensemble_burst){.count = 0};
	if (proposals.count > 0)
		ensemble_step(ensemble, &proposals);
	if (has_ack)
		ensemble_step(ensemble, &ack);
}
