/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_DATAPLANE_ACK_TIMES_H
#define FALCONER_DATAPLANE_ACK_TIMES_H

/*
 * ack_times - how long each follower takes to acknowledge the leader's
 * proposals: shows which one is slow, where the quorum's time shows only what
 * clients wait for.
 *
 * Context    ack_times_note(): the writer core. The rest: any thread.
 * Ownership  a plain object without pointers; zero is a valid empty one.
 * Limits     ACK_TIMES_MAX servers since the start; later ones are not counted.
 * Cost       a walk over the servers met, and one hist_record().
 */

#include "base/hist.h"

#define ACK_TIMES_MAX 32u

struct ack_times {
	_Atomic uint32_t rows; /* in use; a row's sid never changes */
	int64_t sid[ACK_TIMES_MAX];
	struct hist hist[ACK_TIMES_MAX]; /* ns */
};

void ack_times_note(struct ack_times *, int64_t sid, uint64_t ns);

/* NULL: there are no more than `index` rows. */
const struct hist *ack_times_row(const struct ack_times *, uint32_t index,
				 int64_t *sid);

#endif
