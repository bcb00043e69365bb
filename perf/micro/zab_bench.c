/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zab_bench - the consensus core's share of one write among three servers.
 *
 * A core is made leader, or follower, by hand, packet by packet; beacons are on
 * and syncs are confirmed, as in a server. One operation is all that a write
 * brings to it:
 *
 *   leader    PROPOSE, the own log durable, ACK of one follower, which commits,
 *             ACK of the other; a burst of them comes in one step of each kind,
 *             as the driver makes it of what one round of it proposes and reads
 *   follower  PROPOSAL, the own log durable, COMMIT
 */
#include <stdbool.h>
#include <stdlib.h>

#include "consensus/zab.h"
#include "perf/micro/bench.h"
#include "perf/micro/must.h"

#define SERVERS 3u
#define EPOCH   1
/* As many as perf/gates/pipeline.c has under way. */
#define BURST 32u

_Static_assert(BENCH_BURST % BURST == 0, "whole bursts");

struct write {
	struct zab_core *core;
	struct zab_actions out;
	uint64_t now_ms;
	int64_t zxid;
};

static void
give(struct write *write, struct zab_event event)
{
	event.now_ms = write->now_ms;
	zab_step(write->core, &event, &write->out);
}

static void
packet(struct write *write, uint32_t slot, int32_t type, int64_t zxid)
{
	give(write, (struct zab_event){.type = ZAB_EV_PACKET,
				       .slot = slot,
				       .packet = type,
				       .zxid = zxid,
				       .beacon_ms = 20,
				       .sid = (int64_t)slot + 1});
}

static void
durable(struct write *write, bool is_current)
{
	give(write, (struct zab_event){.type = ZAB_EV_EPOCH_DURABLE,
				       .epoch = EPOCH,
				       .is_current = is_current});
}

/* A server `sid` of three, and all of them vote for server 3. */
static struct write *
elect(int64_t sid)
{
	struct write *write = calloc(1, sizeof(*write));
	struct zab_history history = {0};
	struct quorum voters = {.member_count = SERVERS};
	const struct zab_disk_state disk = {.history = &history,
					    .active = &voters};
	const struct zab_core_options options = {.sid = sid,
						 .tick_ms = 2000,
						 .init_limit = 10,
						 .sync_limit = 5,
						 .finalize_ms = 200,
						 .notify_min_ms = 200,
						 .notify_max_ms = 1600,
						 .epoch_wait_ms = UINT32_MAX,
						 .dial_retry_ms = 100,
						 .dial_tries = 5,
						 .outstanding_max = 4096,
						 .limp_still_ms = 2000,
						 .limp_lag_ms = 1000,
						 .limp_for_ms = 3000,
						 .beacon_ms = 20,
						 .beacon_lost_ms = 100,
						 .is_sync_confirmed = true};

	BENCH_MUST(write != NULL);
	for (uint32_t i = 0; i < SERVERS; i++)
		voters.member[i] = (struct quorum_member){
			.sid = i + 1, .weight = 1, .is_voter = 1};
	BENCH_MUST(quorum_check(&voters) == 0);
	write->now_ms = 1000;
	write->zxid = zab_zxid(EPOCH, 0);
	write->core = calloc(1, zab_core_bytes());
	BENCH_MUST(write->core != NULL);
	BENCH_MUST(zab_init(write->core, &options) == 0);
	give(write, (struct zab_event){.type = ZAB_EV_START, .disk = &disk});
	for (int64_t from = 1; from <= SERVERS; from++)
		if (from != sid)
			give(write,
			     (struct zab_event){.type = ZAB_EV_FLE,
						.sid = from,
						.notification = {FLE_LOOKING, 2,
								 SERVERS, 0, 1,
								 0}});
	return write;
}

static void *
leader_setup(void)
{
	struct write *write = elect(SERVERS);

	for (uint32_t slot = 0; slot < SERVERS - 1; slot++) {
		give(write,
		     (struct zab_event){.type = ZAB_EV_CONN_UP, .slot = slot});
		packet(write, slot, QUORUM_FOLLOWERINFO, 0);
	}
	durable(write, false);
	for (uint32_t slot = 0; slot < SERVERS - 1; slot++)
		packet(write, slot, QUORUM_ACKEPOCH, 0);
	durable(write, true);
	for (uint32_t slot = 0; slot < SERVERS - 1; slot++)
		packet(write, slot, QUORUM_ACK, write->zxid);
	BENCH_MUST(zab_next_zxid(write->core, NULL) == write->zxid + 1);
	return write;
}

static bool
commits(const struct write *write)
{
	for (uint32_t i = 0; i < write->out.count; i++)
		if (write->out.action[i].type == ZAB_DO_COMMIT)
			return write->out.action[i].zxid == write->zxid;
	return false;
}

/* So many writes under way together. */
static uint64_t
lead(struct write *write, uint64_t count, uint32_t burst)
{
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i += burst) {
		const int64_t first = zab_next_zxid(write->core, NULL);

		write->zxid = first + burst - 1;
		give(write, (struct zab_event){.type = ZAB_EV_PROPOSE,
					       .zxid = first,
					       .count = burst});
		give(write, (struct zab_event){.type = ZAB_EV_LOG_DURABLE,
					       .zxid = write->zxid});
		packet(write, 0, QUORUM_ACK, write->zxid);
		right += commits(write) ? burst : 0;
		packet(write, 1, QUORUM_ACK, write->zxid);
	}
	return right;
}

static uint64_t
leader_run(void *state, uint64_t count)
{
	return lead(state, count, 1);
}

static uint64_t
leader_burst_run(void *state, uint64_t count)
{
	return lead(state, count, BURST);
}

static void *
follower_setup(void)
{
	struct write *write = elect(1);
	const uint32_t slot = ZAB_LEADER_SLOT;

	give(write, (struct zab_event){.type = ZAB_EV_FLE,
				       .sid = SERVERS,
				       .notification = {FLE_LEADING, 2, SERVERS,
							0, 1, 0}});
	give(write, (struct zab_event){.type = ZAB_EV_CONN_UP, .slot = slot});
	packet(write, slot, QUORUM_LEADERINFO, write->zxid);
	durable(write, false);
	packet(write, slot, QUORUM_DIFF, 0);
	packet(write, slot, QUORUM_NEWLEADER, write->zxid);
	durable(write, true);
	packet(write, slot, QUORUM_UPTODATE, -1);
	return write;
}

static uint64_t
follower_run(void *state, uint64_t count)
{
	struct write *write = state;
	uint64_t right = 0;

	for (uint64_t i = 0; i < count; i++) {
		write->zxid++;
		packet(write, ZAB_LEADER_SLOT, QUORUM_PROPOSAL, write->zxid);
		give(write, (struct zab_event){.type = ZAB_EV_LOG_DURABLE,
					       .zxid = write->zxid});
		packet(write, ZAB_LEADER_SLOT, QUORUM_COMMIT, write->zxid);
		right += commits(write);
	}
	return right;
}

static void
teardown(void *state)
{
	struct write *write = state;

	free(write->core);
	free(write);
}

const struct bench_case bench_zab_cases[] = {
	{"zab/leader_write", leader_setup, leader_run, teardown, 0},
	{"zab/leader_write_burst32", leader_setup, leader_burst_run, teardown,
	 0},
	{"zab/follower_write", follower_setup, follower_run, teardown, 0},
	{0},
};
