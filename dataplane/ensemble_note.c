/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_note - two ways for what an operator wants to know: notes, a ring
 * to the control thread, which makes lines of them; and the status, a copy
 * behind a serial number that is odd while it is being written. Words of the
 * copy are atomic, so a torn one is only ever thrown away.
 */
#include "dataplane/ensemble_int.h"

#include <stdlib.h>
#include <string.h>

#define STATUS_WORDS                                               \
	((sizeof(struct ensemble_status) + sizeof(uint64_t) - 1) / \
	 sizeof(uint64_t))

int
ensemble_note_init(struct ensemble *ensemble)
{
	ensemble->status_words =
		calloc(STATUS_WORDS, sizeof(*ensemble->status_words));
	ensemble->acks = calloc(1, sizeof(*ensemble->acks));
	return ensemble->status_words == NULL || ensemble->acks == NULL
		       ? FAL_ENOMEM
		       : FAL_OK;
}

void
ensemble_note(struct ensemble *ensemble, const struct ensemble_note *note)
{
	const uint32_t head = atomic_load_explicit(&ensemble->note_head,
						   memory_order_relaxed);
	/* pairs with release in ensemble_next_note() */
	const uint32_t tail = atomic_load_explicit(&ensemble->note_tail,
						   memory_order_acquire);

	if (head - tail == ENSEMBLE_NOTES) {
		stats_add(ensemble->parts.stats, STAT_NOTES_DROPPED, 1);
		return;
	}
	ensemble->note[head % ENSEMBLE_NOTES] = *note;
	ensemble->note[head % ENSEMBLE_NOTES].wall_ms = ensemble->wall_ms;
	/* pairs with acquire in ensemble_next_note() */
	atomic_store_explicit(&ensemble->note_head, head + 1,
			      memory_order_release);
}

bool
ensemble_next_note(struct ensemble *ensemble, struct ensemble_note *out)
{
	const uint32_t tail = atomic_load_explicit(&ensemble->note_tail,
						   memory_order_relaxed);

	/* pairs with release in ensemble_note() */
	if (tail ==
	    atomic_load_explicit(&ensemble->note_head, memory_order_acquire))
		return false;
	*out = ensemble->note[tail % ENSEMBLE_NOTES];
	/* pairs with acquire in ensemble_note() */
	atomic_store_explicit(&ensemble->note_tail, tail + 1,
			      memory_order_release);
	return true;
}

/* ---- status
 * -------------------------------------------------------------------- */

static void
collect_learners(struct ensemble *ensemble, struct ensemble_status *status)
{
	status->learner_count = 0;
	for (uint32_t slot = 0; slot < ZAB_CONNS_MAX; slot++) {
		const struct stream_address *address =
			peer_address(ensemble->peers, slot);
		struct ensemble_learner *learner;

		if (!(status->view.learners & 1ull << slot))
			continue;
		learner = &status->learner[status->learner_count++];
		*learner = (struct ensemble_learner){
			.sid = zab_learner_sid(ensemble->core, slot),
			.is_synced = (status->view.synced & 1ull << slot) != 0,
			.is_observer = ensemble->learner[slot].is_observer,
			.queued_bytes =
				peer_queued_bytes(ensemble->peers, slot),
		};
		if (address != NULL)
			learner->address = *address;
	}
}

static void
store_words(struct ensemble *ensemble)
{
	uint64_t words[STATUS_WORDS] = {0};
	const uint64_t serial = atomic_load_explicit(&ensemble->status_serial,
						     memory_order_relaxed);

	memcpy(words, &ensemble->status, sizeof(ensemble->status));
	atomic_store_explicit(&ensemble->status_serial, serial + 1,
			      memory_order_relaxed);
	/* pairs with the acquire fence in ensemble_status() */
	atomic_thread_fence(memory_order_release);
	for (uint32_t i = 0; i < STATUS_WORDS; i++)
		atomic_store_explicit(&ensemble->status_words[i], words[i],
				      memory_order_relaxed);
	/* pairs with acquire in ensemble_status() */
	atomic_store_explicit(&ensemble->status_serial, serial + 2,
			      memory_order_release);
}

void
ensemble_tell_status(struct ensemble *ensemble)
{
	struct ensemble_status *status = &ensemble->status;

	ensemble->is_status_old = false;
	zab_view(ensemble->core, &status->view);
	status->since_ms = ensemble->since_ms;
	status->looking_since_ms = ensemble->looking_since_ms;
	status->election_ms = ensemble->election_ms;
	status->elections = ensemble->elections;
	status->serving = zab_member_serving(ensemble->parts.zab);
	status->is_open = zab_member_mode(ensemble->parts.zab) == ZAB_LEADS ||
			  zab_member_mode(ensemble->parts.zab) == ZAB_LEARNS;
	status->members = *zab_config(ensemble->core);
	collect_learners(ensemble, status);
	store_words(ensemble);
}

const struct ack_times *
ensemble_ack_times(const struct ensemble *ensemble)
{
	return ensemble->acks;
}

void
ensemble_status(const struct ensemble *ensemble, struct ensemble_status *out)
{
	uint64_t words[STATUS_WORDS];
	uint64_t before, after;

	do {
		/* pairs with release in store_words() */
		before = atomic_load_explicit(&ensemble->status_serial,
					      memory_order_acquire);
		for (uint32_t i = 0; i < STATUS_WORDS; i++)
			words[i] =
				atomic_load_explicit(&ensemble->status_words[i],
						     memory_order_relaxed);
		/* pairs with the release fence in store_words() */
		atomic_thread_fence(memory_order_acquire);
		after = atomic_load_explicit(&ensemble->status_serial,
					     memory_order_relaxed);
	} while (before != after || before % 2 != 0);
	memcpy(out, words, sizeof(*out));
}
