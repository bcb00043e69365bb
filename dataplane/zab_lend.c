/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_lend - tree, sessions, prep and log go to BG and come back.
 *
 * Readers are asked to park first; each answers with the word it was asked by.
 * What is in the window is durable then, and nobody waits for anything. What
 * comes back is the state of another zxid, and all counts begin there.
 */
#include "dataplane/zab_member.h"

#include "dataplane/zab_int.h"

void
zab_member_park(struct zab *zab)
{
	FAL_ASSERT(zab->mode == ZAB_CLOSED);
	if (zab->park_word != 0)
		return;
	zab->park_word = serving_set(zab->parts.serving,
				     SERVING_CLOSED | SERVING_PARKED);
	zab_ring_readers(zab);
}

static bool
is_parked(const struct zab *zab)
{
	for (uint32_t c = 0; c < zab->parts.channel_count; c++) {
		/* pairs with release in attend.c */
		if (atomic_load_explicit(&zab->parts.channel[c]->parked,
					 memory_order_acquire) !=
		    zab->park_word)
			return false;
	}
	return zab->park_word != 0;
}

bool
zab_member_lend(struct zab *zab)
{
	int err = FAL_OK;

	FAL_ASSERT(!zab->is_lent);
	if (!is_parked(zab) || zab->is_pinned ||
	    zab_member_durable(zab, &err) < zab->logged)
		return false;
	FAL_ASSERT(list_empty(&zab->waiting));
	zab->is_lent = true;
	return true;
}

bool
zab_member_is_alone(const struct zab *zab)
{
	return !zab->is_lent && is_parked(zab) && !zab->is_pinned &&
	       zab_is_idle(zab);
}

void
zab_member_unpark(struct zab *zab)
{
	FAL_ASSERT(!zab->is_lent);
	zab->park_word = 0;
	serving_set(zab->parts.serving, SERVING_CLOSED);
	zab_ring_readers(zab);
}

enum zab_mode
zab_member_mode(const struct zab *zab)
{
	return zab->mode;
}

bool
zab_member_is_lent(const struct zab *zab)
{
	return zab->is_lent;
}

void
zab_member_restore(struct zab *zab, int64_t last_zxid, int64_t committed)
{
	FAL_ASSERT(zab->is_lent);
	zab->is_lent = false;
	zab->park_word = 0;
	zab->appended = last_zxid;
	zab->logged = last_zxid;
	zab->published = last_zxid;
	zab->committed = committed;
	zab->published_digest = tree_published_digest(zab->parts.tree);
	zab->digests = (struct digest_log){0};
	zab->pending_first = zab->pending_end;
	zab->pending_durable = zab->pending_end;
	zab->has_committed = false;
	zab_local_restored(zab);
	delta_restart(zab->parts.deltas, (uint64_t)last_zxid);
	serving_set(zab->parts.serving, SERVING_CLOSED);
	zab_ring_readers(zab);
}
