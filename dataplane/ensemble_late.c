/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_late - a leader's client is answered before its learners hear of it.
 *
 * What a round makes leaves in the order it was made: where ZAB and a reader
 * share a core, COMMITs first, each a send that wakes another process, and with
 * the next round the reply that a client waits for. So COMMITs of a few
 * transactions wait for the reader's turn, and leave with ZAB's next one, or
 * before anything else to the same learner, its end included. In a burst nobody
 * waits for one reply, and theirs leave at once.
 */
#include "dataplane/ensemble_int.h"

/* A burst: more transactions than this. */
#define LATE_MAX 4

bool
ensemble_late_take(struct ensemble *ensemble, const struct zab_action *action)
{
	if (ensemble->parts.owns_streams || action->packet != QUORUM_COMMIT ||
	    action->zxid_last - action->zxid >= LATE_MAX)
		return false;
	ensemble_late_send(ensemble);
	ensemble->late = *action;
	return true;
}

void
ensemble_late_send(struct ensemble *ensemble)
{
	struct zab_action late;

	if (FAL_LIKELY(ensemble->late.slots == 0))
		return;
	late = ensemble->late;
	ensemble->late.slots = 0;
	ensemble_send(ensemble, &late);
}
