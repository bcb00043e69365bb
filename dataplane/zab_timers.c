/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_timers - what the ZAB role proposes by itself: the close of sessions that
 * were silent too long, of sessions that are gone but left ephemerals, and the
 * removal of containers and TTL nodes.
 */
#include "dataplane/zab_int.h"

#include "base/be.h"
#include "base/log.h"

/* Sessions, containers and TTL nodes looked at per round. */
#define EXPIRE_BURST 256u
#define REAP_BURST   256u
/* Events of those that end in a round, two a node: no more of them end then. */
#define EXPIRE_EVENTS 512u
/* A request for which there was no room is tried again then. */
#define HELD_RETRY_MS 1u

void
zab_keep_session(struct zab *zab, struct session *session)
{
	session->is_closing = false;
	session_add(zab->parts.sessions, session->id, session->timeout_ms,
		    zab->now_ms);
}

/* Expiry is a closeSession like a client's own, but nobody waits for it. */
static void
session_expired(void *arg, struct session *session)
{
	struct zab *zab = arg;
	const struct prep_request request = {
		.session_id = session->id,
		.type = OP_CLOSE_SESSION,
		.owner = session->owner,
	};

	FAL_ASSERT(!zab->is_midway);
	if (zab_room_for(zab, OP_CLOSE_SESSION, 0) != LOG_PORT_READY ||
	    zab_propose(zab, &request) != FAL_OK) {
		zab_keep_session(zab, session);
		zab->has_committed = true; /* wakes the log */
		return;
	}
	if (!zab->is_midway)
		zab->expire_events += zab->result.effect_count;
	stats_add(zab->parts.stats, STAT_SESSIONS_EXPIRED, 1);
	log_post(LOG_SESSION_EXPIRED, (uint64_t)session->id,
		 (uint64_t)session->timeout_ms);
}

bool
zab_may_expire(const struct zab *zab, uint64_t due_ms, uint64_t *hold_ms)
{
	if (zab->now_ms < due_ms) {
		*hold_ms = 0;
		return false;
	}
	if (*hold_ms == 0 && zab->now_ms - due_ms > zab->options.tick_ms)
		*hold_ms = zab->now_ms + zab->options.tick_ms;
	return zab->now_ms >= *hold_ms;
}

/* One by one, until they are many or have had many nodes: what is left of a
 * tick's, of a machine that went away with all its sessions, say, ends in the
 * next rounds. */
bool
zab_expire_sessions(struct zab *zab)
{
	uint32_t visited = 0;

	if (FAL_UNLIKELY(zab->is_midway) ||
	    !zab_may_expire(zab, session_next_due(zab->parts.sessions),
			    &zab->expire_hold_ms))
		return false;

	zab->expire_events = 0;
	while (visited < EXPIRE_BURST && !zab->is_midway &&
	       zab->expire_events < EXPIRE_EVENTS) {
		if (session_expire_due(zab->parts.sessions, zab->now_ms, 1,
				       zab_session_heard, session_expired,
				       zab) == 0) {
			zab->expire_hold_ms = 0; /* nobody is due any more */
			break;
		}
		visited++;
	}
	return visited > 0;
}

/* Ephemerals without a session (a data directory may hold some) go as if it
 * had been closed; one owner a round, once after the start. */
bool
zab_close_orphans(struct zab *zab)
{
	if (FAL_LIKELY(zab->has_no_orphans) ||
	    zab_room_for(zab, OP_CLOSE_SESSION, 0) != LOG_PORT_READY)
		return false;

	const struct prep_request request = {
		.session_id = tree_ephemeral_owner_after(zab->parts.tree,
							 zab->orphan_after),
		.type = OP_CLOSE_SESSION,
		.owner = {.core = SESSION_OWNER_NONE},
	};

	zab->orphan_after = request.session_id;
	zab->has_no_orphans = request.session_id == 0;
	if (zab->has_no_orphans ||
	    session_find(zab->parts.sessions, request.session_id) != NULL)
		return !zab->has_no_orphans;
	if (zab_propose(zab, &request) != FAL_OK)
		zab->has_no_orphans = true; /* the next start tries again */
	return true;
}

static void
propose_reap(struct zab *zab, const struct znode *node)
{
	uint8_t *text = zab->path_text;
	const uint32_t length = tree_path_text(zab->parts.tree, node, text + 4,
					       ZAB_PATH_TEXT_BYTES - 4);

	/* It came with a snapshot, and is too long for a transaction. */
	if (length > ZAB_PATH_TEXT_BYTES - 4)
		return;
	be_store32(text, length);

	const struct prep_request request = {
		.type = OP_DELETE_CONTAINER,
		.body = text,
		.body_bytes = 4 + length,
		.owner = {.core = SESSION_OWNER_NONE},
	};

	if (zab_propose(zab, &request) == FAL_OK &&
	    zab->result.type != OP_ERROR)
		stats_add(zab->parts.stats, STAT_NODES_REAPED, 1);
}

/* client-protocol.md 7.7: a scan per interval, its candidates one by one with
 * a pause between two. */
bool
zab_reap_nodes(struct zab *zab)
{
	if (zab->options.reap_interval_ms == 0)
		return false;
	if (zab->reap_check_ms == 0) /* the first scan is an interval away */
		zab->reap_check_ms =
			zab->now_ms + zab->options.reap_interval_ms;
	if (!zab->is_reaping) {
		if (zab->now_ms < zab->reap_check_ms)
			return false;
		zab->is_reaping = true;
		zab->reap_cursor = 0;
		zab->reap_next_ms = zab->now_ms;
	}
	if (zab->now_ms < zab->reap_next_ms ||
	    zab_room_for(zab, OP_DELETE_CONTAINER, PROTO_MAX_BUFFER_DEFAULT) !=
		    LOG_PORT_READY)
		return false;

	uint32_t budget = REAP_BURST;
	const struct znode *node =
		tree_reap_next(zab->parts.tree, &zab->reap_cursor, &budget,
			       zab->wall_ms, zab->options.reap_never_used_ms);

	if (node != NULL) {
		propose_reap(zab, node);
		zab->reap_next_ms =
			zab->now_ms + 60000u / zab->options.reap_per_minute;
	}
	if (zab->reap_cursor == 0) {
		zab->is_reaping = false;
		zab->reap_check_ms =
			zab->now_ms + zab->options.reap_interval_ms;
	}
	return true;
}

static uint64_t
later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Of what the role does by itself. */
static uint64_t
next_duty_ms(const struct zab *zab)
{
	const uint64_t locals = zab->locals == NULL
					? UINT64_MAX
					: later(session_next_due(zab->locals),
						zab->local_hold_ms);
	uint64_t next;

	if (zab->mode != ZAB_ALONE && zab->mode != ZAB_LEADS) {
		next = zab->quorum.next_timer_ms(zab->quorum.arg);
		return zab->mode == ZAB_LEARNS && locals < next ? locals : next;
	}
	next = later(session_next_due(zab->parts.sessions),
		     zab->expire_hold_ms);
	if (locals < next)
		next = locals;

	const uint64_t reap =
		zab->is_reaping ? zab->reap_next_ms : zab->reap_check_ms;
	const uint64_t quorum =
		zab->mode == ZAB_ALONE
			? UINT64_MAX
			: zab->quorum.next_timer_ms(zab->quorum.arg);

	if (quorum < next)
		next = quorum;
	if (zab->options.reap_interval_ms != 0 && reap < next)
		next = reap;
	return next;
}

static bool
is_holding(const struct zab *zab)
{
	for (uint32_t c = 0; c < zab->parts.channel_count; c++)
		for (uint32_t lane = 0; lane < ZAB_LANES; lane++)
			if (zab->held[c][lane] != NULL)
				return true;
	return false;
}

/* Of what a held request waits for not all rings a bell: readers that walk
 * records make room in the delta ring, and are not to look for who wants it. */
uint64_t
zab_next_timer_ms(const struct zab *zab)
{
	const uint64_t next = next_duty_ms(zab);
	const uint64_t again = zab->now_ms + HELD_RETRY_MS;

	return again < next && is_holding(zab) ? again : next;
}
