/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_snapshot - when a snapshot is due, and what its writer needs from here:
 * the zxid, held in the tree until the writer has pinned it, and a copy of the
 * sessions.
 */
#include "dataplane/zab_int.h"

#include <stdlib.h>

/* xorshift64*: spreads snapshots of several servers, nothing secret. */
static uint64_t
next_random(struct zab *zab)
{
	uint64_t x = zab->random_state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	zab->random_state = x;
	return x * 0x2545F4914F6CDD1Dull;
}

/* disk-format.md section 13: half the setting plus a random part of the other
 * half, drawn again after each snapshot. */
void
zab_draw_snapshot_limits(struct zab *zab)
{
	const uint64_t txns = zab->options.snap_count / 2;
	const uint64_t bytes = zab->options.snap_bytes / 2;

	zab->txns_since_snapshot = 0;
	zab->bytes_since_snapshot = 0;
	zab->snapshot_at_txns = txns + (txns > 0 ? next_random(zab) % txns : 0);
	zab->snapshot_at_bytes =
		bytes == 0 ? UINT64_MAX : bytes + next_random(zab) % bytes;
}

struct session_copy {
	struct zab_session *to;
	uint32_t count;
};

static void
copy_session(void *arg, const struct session *session)
{
	struct session_copy *copy = arg;

	copy->to[copy->count++] = (struct zab_session){
		.id = session->id, .timeout_ms = session->timeout_ms};
}

/* A snapshot never holds what may be taken back. */
bool
zab_may_snapshot(const struct zab *zab)
{
	return !zab->is_lent &&
	       (zab->mode == ZAB_ALONE || zab->published <= zab->committed);
}

bool
zab_start_snapshot(struct zab *zab)
{
	if (!zab_may_snapshot(zab))
		return false;

	const uint32_t count = session_count(zab->parts.sessions);
	struct session_copy copy = {
		.to = malloc((count + 1) * sizeof(struct zab_session))};

	if (copy.to == NULL)
		return false;
	session_for_each(zab->parts.sessions, copy_session, &copy);

	const struct zab_snapshot snapshot = {
		.zxid = zab->published,
		.digest = zab->published_digest,
		.sessions = copy.to,
		.session_count = copy.count,
	};

	/* Pinned before the writer of the snapshot hears of it. */
	if (!zab->is_pinned) {
		tree_hold(zab->parts.tree, (uint64_t)zab->published);
		zab->is_pinned = true;
		if (zab->hooks.start_snapshot(zab->hooks.arg, &snapshot)) {
			stats_add(zab->parts.stats, STAT_SNAPSHOTS, 1);
			return true;
		}
		zab_snapshot_pinned(zab);
	}
	free(copy.to);
	return false;
}

static void
roll_log(struct zab *zab)
{
	zab->parts.log.roll(zab->parts.log.log);
	zab->bytes_since_roll = 0;
}

/* The log rolls at each trigger, also when the last snapshot is still being
 * written (disk-format.md section 13). */
bool
zab_trigger_snapshot(struct zab *zab)
{
	if (zab->txns_since_snapshot <= zab->snapshot_at_txns &&
	    zab->bytes_since_snapshot <= zab->snapshot_at_bytes) {
		if (zab->bytes_since_roll > zab->options.log_file_bytes)
			roll_log(zab); /* txnLogSizeLimitInKb */
		return false;
	}
	roll_log(zab);
	if (zab->parts.log.is_volatile == NULL ||
	    !zab->parts.log.is_volatile(zab->parts.log.log))
		zab_start_snapshot(zab);
	zab_draw_snapshot_limits(zab);
	return true;
}

void
zab_snapshot_pinned(struct zab *zab)
{
	if (zab->is_pinned)
		tree_release(zab->parts.tree);
	zab->is_pinned = false;
}
