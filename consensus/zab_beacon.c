/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_beacon - who is silent, seen far earlier than by ticks.
 *
 * Two looks at least an interval apart must both find the peer silent, the
 * second one when its time is over: a server that was stopped itself (a busy
 * machine, a debugger) takes its first look, reads what waits in its sockets,
 * and finds at the second that nobody was silent but itself.
 *
 * Being away: whoever watches wants a step every interval. One that comes late
 * by half of it or more says that this server was not run (no CPU, stopped):
 * that time is nobody's silence, since who lacks a CPU here lacks it as the
 * peer, too, where both are on one machine.
 *
 * Jitter: where beacons come unevenly (a machine with more servers than CPUs, a
 * network with queues) the limit is longer by twice what they were late at the
 * most lately; at first by two thirds, until that is known.
 *
 * Patience: a server that left its leader and serves under the same one again
 * was wrong, so the next time it waits twice as long, up to sync_limit. Another
 * leader means that it was right, and its patience is the first one again.
 *
 * Megabytes on a slow link: a beacon behind them comes late, so bytes count as
 * well as packets (HEARD), and a learner that has no beacon to echo says one of
 * its own. That one names no zxid: it must not pass for an echo, which proves
 * leadership (zab_syncs.c).
 *
 * Work that takes long: one request of a megabyte can keep the only thread that
 * says beacons for longer than the limit. Who sees such work coming says so
 * first, in a PING with zxid -1 - ms, and is given that time in addition until
 * its next packet: no more than BUSY_MAX_MS, for it may die meanwhile.
 *
 * Nothing of this can hurt: any server may look for a leader at any time.
 */
#include "consensus/zab_core.h"

#define DOUBT_MAX  8u
#define JITTER_ONE 256u
/* Each beacon takes so much of what is remembered: half of it in 3.5 s with
 * beacons every 20 ms. */
#define JITTER_FADES 256u
#define BUSY_MAX_MS  500u

static uint64_t
interval_ms(const struct zab_core *core, const struct zab_beacon *beacon)
{
	return beacon->peer_ms > core->options.beacon_ms
		       ? beacon->peer_ms
		       : core->options.beacon_ms;
}

/* Twice as long as beacons were late, but no longer than the limit itself. */
static uint64_t
grace_ms(const struct zab_core *core, const struct zab_beacon *beacon)
{
	const uint64_t grace =
		(2 * (uint64_t)beacon->jitter + JITTER_ONE - 1) / JITTER_ONE;

	return grace < core->options.beacon_lost_ms
		       ? grace
		       : core->options.beacon_lost_ms;
}

/* How long a peer may be silent. */
static uint64_t
limit_ms(const struct zab_core *core, const struct zab_beacon *beacon)
{
	uint64_t limit = (core->options.beacon_lost_ms + grace_ms(core, beacon))
			 << core->beacon_doubt;

	if (limit < 3 * interval_ms(core, beacon))
		limit = 3 * interval_ms(core, beacon);
	limit += beacon->busy_ms;
	return limit < zab_sync_ms(core) ? limit : zab_sync_ms(core);
}

void
zab_beacon_expect(struct zab_core *core, struct zab_beacon *beacon,
		  uint32_t peer_ms)
{
	memset(beacon, 0, sizeof(*beacon));
	if (core->options.beacon_ms)
		beacon->peer_ms = peer_ms;
	/* Before it is known how evenly they come. */
	beacon->jitter = core->options.beacon_lost_ms * JITTER_ONE / 3;
}

/* The silence that ends now was longer than an interval. */
static void
note_jitter(const struct zab_core *core, struct zab_beacon *beacon)
{
	const uint64_t gap = core->now_ms - beacon->heard_ms -
			     (core->away_ms - beacon->heard_away_ms);
	const uint64_t interval = interval_ms(core, beacon);
	const uint64_t most = core->options.beacon_lost_ms;
	uint64_t late = gap > interval ? gap - interval : 0;

	if (late > most)
		late = most;
	if (late * JITTER_ONE > beacon->jitter)
		beacon->jitter = (uint32_t)late * JITTER_ONE;
}

void
zab_beacon_watch(struct zab_core *core, struct zab_beacon *beacon)
{
	if (beacon->peer_ms == 0)
		return;
	zab_beacon_heard(core, beacon);
	beacon->is_watched = true;
	beacon->jitter -= (beacon->jitter + JITTER_FADES - 1) / JITTER_FADES;
}

void
zab_beacon_heard(struct zab_core *core, struct zab_beacon *beacon)
{
	if (beacon->is_watched && beacon->busy_ms == 0 &&
	    core->now_ms - beacon->heard_ms > beacon->peer_ms)
		note_jitter(core, beacon);
	beacon->heard_ms = core->now_ms;
	beacon->heard_away_ms = core->away_ms;
	beacon->has_doubt = false;
}

bool
zab_beacon_takes(struct zab_beacon *beacon, const struct zab_event *event)
{
	const bool is_busy =
		event->packet == QUORUM_PING && event->zxid < ZAB_NO_ZXID;

	if (!is_busy)
		beacon->busy_ms = 0;
	else if (event->zxid < ZAB_NO_ZXID - (int64_t)BUSY_MAX_MS)
		beacon->busy_ms = BUSY_MAX_MS;
	else
		beacon->busy_ms = (uint32_t)(ZAB_NO_ZXID - event->zxid);
	return is_busy;
}

void
zab_beacon_busy(struct zab_core *core, uint32_t busy_ms,
		struct zab_actions *out)
{
	const int64_t zxid = ZAB_NO_ZXID - (int64_t)busy_ms;
	uint64_t slots = 0;

	if (busy_ms == 0)
		return;
	if (core->role == FLE_LEADING)
		slots = core->lead.beacon_slots;
	else if (core->follow.step == ZAB_FOLLOW_ACTIVE &&
		 core->follow.beacon.is_watched)
		slots = ZAB_LEADER_BIT;
	if (slots)
		zab_out_send(out, slots, QUORUM_PING, zxid, zxid);
}

bool
zab_beacon_is_due(const struct zab_core *core, const struct zab_beacon *beacon,
		  uint64_t said_ms)
{
	const uint64_t interval = interval_ms(core, beacon);

	return beacon->is_watched &&
	       core->now_ms >= said_ms + interval + (interval + 1) / 2;
}

/* When the next look is due. */
static uint64_t
look_ms(const struct zab_core *core, const struct zab_beacon *beacon)
{
	const uint64_t interval = interval_ms(core, beacon);
	const uint64_t away = core->away_ms - beacon->heard_away_ms;
	const uint64_t end = beacon->heard_ms + limit_ms(core, beacon) + away;

	if (!beacon->is_watched)
		return ZAB_NEVER;
	if (!beacon->has_doubt)
		return end - interval;
	return beacon->doubted_ms + interval > end
		       ? beacon->doubted_ms + interval
		       : end;
}

bool
zab_beacon_is_lost(struct zab_core *core, struct zab_beacon *beacon)
{
	if (core->now_ms < look_ms(core, beacon))
		return false;
	if (beacon->has_doubt)
		return true;
	beacon->has_doubt = true;
	beacon->doubted_ms = core->now_ms;
	return false;
}

uint64_t
zab_beacon_look_ms(const struct zab_core *core, const struct zab_beacon *beacon)
{
	return look_ms(core, beacon);
}

static bool
is_watching(const struct zab_core *core)
{
	return core->role == FLE_LEADING ? core->lead.has_beacons
					 : core->follow.beacon.is_watched;
}

void
zab_beacon_note_absence(struct zab_core *core, uint64_t now_ms)
{
	const uint64_t interval = core->options.beacon_ms;
	const uint64_t gap = now_ms - core->now_ms;

	if (is_watching(core) && gap >= interval + (interval + 1) / 2)
		core->away_ms += gap - interval;
}

uint64_t
zab_beacon_due_ms(const struct zab_core *core)
{
	return is_watching(core) ? core->now_ms + core->options.beacon_ms
				 : ZAB_NEVER;
}

void
zab_beacon_blame(struct zab_core *core)
{
	core->beacon_blamed = core->leader;
}

void
zab_beacon_judge(struct zab_core *core)
{
	if (core->beacon_blamed == ZAB_NO_SID)
		return;
	if (core->beacon_blamed != core->leader)
		core->beacon_doubt = 0;
	else if (core->beacon_doubt < DOUBT_MAX)
		core->beacon_doubt++;
	core->beacon_blamed = ZAB_NO_SID;
}
