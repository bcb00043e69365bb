/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ensemble_hold - entries of a leader until they are applied: because the core
 * holds them until their COMMIT, or because log or delta ring have no room.
 *
 * Digests. A leader's snapshot may hold effects of transactions above its zxid,
 * which follow it; all of them come before NEWLEADER. So digests are compared
 * for what is applied behind that. Nothing is lost by it: a digest is of the
 * whole tree, and one that went wrong before stays wrong.
 *
 * One queue in zxid order. Up to append_to its entries may be applied, the rest
 * is held for the core. In broadcast the queue is empty and an entry goes
 * straight from the packet to the log. When the queue grows above
 * held_bytes_max the leader's connection is not read until it has shrunk.
 */
#include "dataplane/ensemble_int.h"

#include <stdlib.h>
#include <string.h>

void
ensemble_hold(struct ensemble *ensemble, int64_t zxid)
{
	const struct jute_slice bytes = ensemble->entry;

	FAL_ASSERT(bytes.bytes > 0);
	FAL_ASSERT(ensemble->held_last == NULL ||
		   ensemble->held_last->zxid < zxid);

	struct held_entry *held = malloc(sizeof(*held) + (size_t)bytes.bytes);

	FAL_ASSERT(held != NULL);
	held->next = NULL;
	held->zxid = zxid;
	held->bytes = (uint32_t)bytes.bytes;
	memcpy(held->data, bytes.data, (size_t)bytes.bytes);
	if (ensemble->held_first == NULL)
		ensemble->held_first = held;
	else
		ensemble->held_last->next = held;
	ensemble->held_last = held;
	ensemble->held_bytes += held->bytes;
	if (ensemble->held_bytes > ensemble->options.held_bytes_max &&
	    !ensemble->is_leader_paused) {
		ensemble->is_leader_paused = true;
		peer_pause(ensemble->peers, ZAB_LEADER_SLOT);
	}
}

static void
take_first(struct ensemble *ensemble)
{
	struct held_entry *held = ensemble->held_first;

	ensemble->held_first = held->next;
	if (held->next == NULL)
		ensemble->held_last = NULL;
	ensemble->held_bytes -= held->bytes;
	free(held);
	if (ensemble->is_leader_paused && ensemble->lend == LEND_NOTHING &&
	    ensemble->held_bytes < ensemble->options.held_bytes_max / 2) {
		ensemble->is_leader_paused = false;
		peer_resume(ensemble->peers, ZAB_LEADER_SLOT);
	}
}

/* The tree is not what the leader's is: nothing of it may be acknowledged. */
static void
diverged(struct ensemble *ensemble, int64_t zxid)
{
	ensemble_note(ensemble,
		      &(struct ensemble_note){.kind = ENSEMBLE_NOTE_DIVERGED,
					      .zxid = zxid});
	stats_add(ensemble->parts.stats, STAT_DIGEST_MISMATCHES, 1);
	ensemble->hooks.on_diverged(ensemble->hooks.arg, zxid);
	ensemble->has_diverged = true;
	ensemble->must_tell_diverged = true; /* when this step is over */
}

bool
ensemble_step_diverged(struct ensemble *ensemble)
{
	struct zab_event event = {.type = ZAB_EV_DIVERGED};

	if (FAL_LIKELY(!ensemble->must_tell_diverged))
		return false;
	ensemble->must_tell_diverged = false;
	/* None of it will be applied. */
	ensemble->append_to = INT64_MIN;
	ensemble_drop_held(ensemble);
	ensemble_step(ensemble, &event);
	return true;
}

/* What a round applies of it. More than comes in a round, so that the queue
 * gets shorter; of 64 MB at once a second and more would come. */
#define APPLY_BURST       1024u
#define APPLY_BURST_BYTES 131072u

/* False: no room now. */
static bool
apply(struct ensemble *ensemble, int64_t zxid, const uint8_t *entry,
      uint32_t bytes)
{
	if (FAL_UNLIKELY(ensemble->has_diverged))
		return false;
	/* The tree is patched first, and that when all of it is published: who
	 * is up to date does not wait for a pause in the writes. */
	if (FAL_UNLIKELY(ensemble->must_patch) && ensemble->is_serving &&
	    !zab_member_is_applying(ensemble->parts.zab))
		return false;
	switch (zab_member_apply(ensemble->parts.zab, entry, bytes,
				 zxid > ensemble->exact_from)) {
	case FAL_OK:
		return true;
	case FAL_EAGAIN:
		return false;
	case FAL_ECORRUPT:
		diverged(ensemble, zxid);
		return false;
	default:
		ensemble->hooks.on_fatal(
			ensemble->hooks.arg,
			"a transaction of the leader cannot be applied: the "
			"tree is full; raise falconer.tree.maxBytes");
		return false;
	}
}

/* A follower's observers get it when it is committed. What is pushed out for it
 * costs an observer that still needs it its connection. */
static void
keep(struct ensemble *ensemble, int64_t zxid, const uint8_t *entry,
     uint32_t bytes)
{
	if (ensemble_relays(ensemble) && ensemble->is_serving)
		entry_ring_put(ensemble->recent, zxid, entry, bytes);
}

static void
keep_held(struct ensemble *ensemble, int64_t first, int64_t last)
{
	for (const struct held_entry *held = ensemble->held_first;
	     held != NULL && held->zxid <= last; held = held->next)
		if (held->zxid >= first)
			keep(ensemble, held->zxid, held->data, held->bytes);
}

void
ensemble_append(struct ensemble *ensemble, int64_t first, int64_t last)
{
	const struct jute_slice bytes = ensemble->entry;
	const bool is_now = ensemble->held_first == NULL ||
			    ensemble->held_last->zxid < first;

	if (is_now) {
		FAL_ASSERT(first == last && bytes.bytes > 0);
		ensemble->append_to = last;
		keep(ensemble, first, bytes.data, (uint32_t)bytes.bytes);
		if (ensemble->held_first == NULL &&
		    apply(ensemble, first, bytes.data, (uint32_t)bytes.bytes))
			return;
		ensemble_hold(ensemble, first);
		return;
	}
	ensemble->append_to = last;
	keep_held(ensemble, first, last);
	ensemble_apply_held(ensemble);
}

bool
ensemble_is_behind(const struct ensemble *ensemble)
{
	return ensemble->held_first != NULL &&
	       ensemble->held_first->zxid <= ensemble->append_to;
}

bool
ensemble_apply_held(struct ensemble *ensemble)
{
	bool did_work = false;
	uint32_t bytes = 0;

	for (uint32_t i = 0; i < APPLY_BURST && bytes < APPLY_BURST_BYTES &&
			     ensemble_is_behind(ensemble);
	     i++) {
		const struct held_entry *held = ensemble->held_first;

		if (!apply(ensemble, held->zxid, held->data, held->bytes))
			return did_work;
		bytes += held->bytes;
		take_first(ensemble);
		did_work = true;
	}
	if (did_work && !ensemble->is_stepping)
		ensemble_serve_if_ready(ensemble);
	return did_work;
}

/* What may be applied already is history; only what is held goes. */
void
ensemble_drop_held(struct ensemble *ensemble)
{
	struct held_entry **at = &ensemble->held_first;
	struct held_entry *last = NULL;

	while (*at != NULL && (*at)->zxid <= ensemble->append_to) {
		last = *at;
		at = &(*at)->next;
	}
	while (*at != NULL) {
		struct held_entry *held = *at;

		*at = held->next;
		ensemble->held_bytes -= held->bytes;
		free(held);
	}
	ensemble->held_last = last;
}
