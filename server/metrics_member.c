/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_member - numbers of a member of an ensemble, under ZooKeeper's names;
 * a leader has more of them than a learner, as there.
 */
#include "server/metrics_member.h"

#include <inttypes.h>

#include "base/time.h"
#include "drivers/clock.h"
#include "server/member.h"

static void
gauge(const struct metrics_sink *sink, const char *name, uint64_t value)
{
	sink->number(sink->arg, name, METRIC_GAUGE, value);
}

static uint64_t
synced_observers(const struct ensemble_status *status)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < status->learner_count; i++)
		count += status->learner[i].is_observer &&
			 status->learner[i].is_synced;
	return count;
}

/* A follower may have observers of its own; an observer says whose it is. */
static void
visit_learner(const struct ensemble_status *status,
	      const struct metrics_sink *sink)
{
	gauge(sink, "synced_observers", synced_observers(status));
	if (status->view.is_serving && status->view.role == FLE_OBSERVING)
		gauge(sink, "observer_master_id",
		      (uint64_t)status->view.master);
}

static void
visit_leader(const struct ensemble_status *status,
	     const struct metrics_sink *sink)
{
	const struct quorum *members = &status->members;
	uint64_t followers = 0, non_voting = 0;

	for (uint32_t i = 0; i < status->learner_count; i++) {
		const struct ensemble_learner *learner = &status->learner[i];

		if (!learner->is_synced || learner->is_observer)
			continue;
		followers++;
		non_voting += !quorum_is_voter(members, learner->sid);
	}
	gauge(sink, "learners", status->learner_count);
	gauge(sink, "synced_followers", followers);
	gauge(sink, "synced_non_voting_followers", non_voting);
	gauge(sink, "synced_observers", synced_observers(status));
	gauge(sink, "pending_syncs", 0); /* each is answered or gone soon */
	gauge(sink, "leader_uptime",
	      time_ns_to_ms(clock_now_ns()) - status->since_ms);
}

static void
visit_queues(const struct ensemble_status *status,
	     const struct metrics_sink *sink)
{
	for (uint32_t i = 0; i < status->learner_count; i++) {
		char key[24];

		snprintf(key, sizeof(key), "%" PRId64, status->learner[i].sid);
		sink->set_number(sink->arg, "falconer_learner_queued_bytes",
				 METRIC_GAUGE, key,
				 (int64_t)status->learner[i].queued_bytes);
	}
}

static void
visit_acks(const struct server *server, const struct metrics_sink *sink)
{
	const struct ack_times *times =
		ensemble_ack_times(server->peer->ensemble);
	const struct hist *hist;
	int64_t sid;

	for (uint32_t i = 0; (hist = ack_times_row(times, i, &sid)) != NULL;
	     i++) {
		char key[24];

		snprintf(key, sizeof(key), "%" PRId64, sid);
		sink->set_latency(sink->arg, "ack_latency", key, hist);
	}
}

void
metrics_visit_member(const struct server *server,
		     const struct metrics_sink *sink)
{
	struct ensemble_status status;

	if (server->peer == NULL)
		return;
	ensemble_status(server->peer->ensemble, &status);
	gauge(sink, "quorum_size", status.members.member_count);
	gauge(sink, "falconer_epoch", (uint64_t)status.view.current_epoch);
	gauge(sink, "falconer_held_proposals", status.view.held_count);
	if (status.view.is_serving && status.view.role == FLE_LEADING)
		visit_leader(&status, sink);
	else
		visit_learner(&status, sink);
	visit_queues(&status, sink);
	visit_acks(server, sink);
}

const char *
metrics_peer_state(const struct server *server)
{
	static const char *const text[4][4] = {
		[FLE_LOOKING] = {"looking", "looking", "looking", "looking"},
		[FLE_FOLLOWING] = {"following - election",
				   "following - discovery",
				   "following - synchronization",
				   "following - broadcast"},
		[FLE_LEADING] = {"leading - election", "leading - discovery",
				 "leading - synchronization",
				 "leading - broadcast"},
		[FLE_OBSERVING] = {"observing - election",
				   "observing - discovery",
				   "observing - synchronization",
				   "observing - broadcast"},
	};
	struct ensemble_status status;

	if (server->peer == NULL)
		return NULL;
	ensemble_status(server->peer->ensemble, &status);
	return text[status.view.role & 3][status.view.phase & 3];
}
