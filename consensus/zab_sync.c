/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_sync - the decision table of zab_sync.h, a line a branch.
 */
#include "consensus/zab_sync.h"

#include "consensus/zab_history.h"

static struct zab_sync_plan
plan_snap(int64_t to)
{
	return (struct zab_sync_plan){ZAB_SYNC_SNAP, to, to, to};
}

static struct zab_sync_plan
plan_diff(const struct zab_history *history, int64_t from, int64_t to)
{
	if (!zab_history_covers(history, from, to))
		return plan_snap(to);
	return (struct zab_sync_plan){ZAB_SYNC_DIFF, to, from, to};
}

static struct zab_sync_plan
plan_trunc(const struct zab_history *history, int64_t keep, int64_t to)
{
	/* A mark is no record: the learner could not find it in its log. */
	if (keep <= 0 || zab_counter(keep) == 0 ||
	    !zab_history_covers(history, keep, to))
		return plan_snap(to);
	return (struct zab_sync_plan){ZAB_SYNC_TRUNC, keep, keep, to};
}

/* P names the beginning of an epoch: what lies before it is committed, and
 * whoever was a member of that epoch agrees on it. */
static struct zab_sync_plan
plan_from_mark(const struct zab_history *history, int64_t mark, int64_t to,
	       int64_t elected_epoch)
{
	const int64_t epoch = zab_epoch(mark);

	if (mark == history->floor_zxid)
		return plan_diff(history, mark, to);
	if (epoch > elected_epoch)
		return plan_snap(to);
	const int64_t from = zab_history_last_of(history, epoch - 1);

	if (from < 0 || from > to)
		return plan_snap(to);
	return plan_diff(history, from, to);
}

struct zab_sync_plan
zab_sync_plan(const struct zab_history *history, int64_t learner_zxid,
	      int64_t to, int64_t epoch, int64_t elected_epoch)
{
	FAL_ASSERT(to <= history->last_zxid);
	FAL_ASSERT(zab_history_has(history, to) || to <= history->floor_zxid);

	if (learner_zxid < 0)
		return plan_snap(to);
	if (learner_zxid == to)
		return (struct zab_sync_plan){ZAB_SYNC_DIFF, to, to, to};
	if (learner_zxid == 0)
		return plan_snap(to);
	if (zab_counter(learner_zxid) == 0)
		return plan_from_mark(history, learner_zxid, to, elected_epoch);
	/* Only this leader gave out zxids of its epoch, so below that tail the
	 * learner holds what we hold. */
	if (zab_epoch(learner_zxid) == epoch && learner_zxid > to)
		return plan_trunc(history, to, to);
	if (learner_zxid <= to && zab_history_has(history, learner_zxid))
		return plan_diff(history, learner_zxid, to);

	const int64_t last =
		zab_history_last_of(history, zab_epoch(learner_zxid));

	if (last >= 0 && zab_epoch(last) == zab_epoch(learner_zxid) &&
	    learner_zxid > last && last <= to)
		return plan_trunc(history, last, to);
	return plan_snap(to);
}
