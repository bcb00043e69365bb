/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chaos - random faults on a rig, then calm: all must agree and serve.
 *
 * Each round does one thing: proposes, kills (sometimes before a random action,
 * between two effects of one step), starts, cuts or heals links, holds disks,
 * lets time pass. What one seed does is the same every time.
 */
#include "tests/script/chaos.h"

#define CALM_MS           60000u
#define CALM_MESSAGES_MAX 20000u /* PINGs are a few hundred */

static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint32_t
below(uint64_t *seed, uint32_t limit)
{
	return (uint32_t)(next_random(seed) >> 33) % limit;
}

static void
step_slowly(struct rig *rig, uint64_t until_ms)
{
	while (rig->violation[0] == '\0' && rig_step(rig, until_ms))
		;
	if (rig->now_ms < until_ms)
		rig->now_ms = until_ms;
}

static void
propose_somewhere(struct rig *rig, uint64_t *seed)
{
	for (uint32_t i = 0; i < rig->count; i++)
		for (uint32_t n = below(seed, 3); n > 0; n--)
			(void)rig_propose(rig, i, NULL);
}

/* Some servers shall vote, the others only watch. */
static void
reconfigure(struct rig *rig, uint64_t *seed)
{
	const int leader = rig_leader(rig);
	struct quorum config = {.member_count = rig->count};
	uint32_t voters = 0;

	for (uint32_t i = 0; i < rig->count; i++) {
		config.member[i] =
			(struct quorum_member){.sid = i + 1,
					       .address = i + 1,
					       .weight = 1,
					       .is_voter = below(seed, 3) > 0};
		voters += config.member[i].is_voter;
	}
	/* A server in no configuration would be known to nobody. */
	if (leader >= 0 && voters > 0 && quorum_check(&config) == 0 &&
	    rig->config_count < RIG_CONFIGS)
		(void)rig_propose(rig, (uint32_t)leader, &config);
}

static void
cut_somewhere(struct rig *rig, uint64_t *seed)
{
	for (uint32_t i = 0; i < rig->count; i++)
		for (uint32_t j = 0; j < rig->count; j++)
			rig->is_cut[i][j] = i != j && below(seed, 4) == 0;
}

static void
raise_floor(struct rig *rig, uint32_t index)
{
	struct rig_server *server = &rig->server[index];
	const struct rig_log *log = &server->log;
	struct zab_event event = {.type = ZAB_EV_LOG_FLOOR};

	for (uint32_t i = 0; i < log->durable; i++)
		if (log->entry[i].zxid <= server->committed_zxid)
			event.zxid = log->entry[i].zxid;
	if (!server->is_up || event.zxid == 0)
		return;
	server->log.floor_zxid = event.zxid;
	rig_event(rig, index, &event);
}

static void
disturb(struct rig *rig, uint64_t *seed)
{
	const uint32_t index = below(seed, rig->count);
	struct rig_server *server = &rig->server[index];

	switch (below(seed, 13)) {
	case 0:
		rig_crash(rig, index);
		break;
	case 1:
	case 2:
		if (!server->is_up)
			rig_start(rig, index);
		break;
	case 3:
		server->crash_action = 1 + below(seed, ZAB_DO_COUNT);
		server->crash_packet = 0;
		break;
	case 4:
		cut_somewhere(rig, seed);
		break;
	case 5:
	case 6:
		for (uint32_t i = 0; i < rig->count; i++)
			for (uint32_t j = 0; j < rig->count; j++)
				rig->is_cut[i][j] = false;
		break;
	case 7:
		server->is_disk_held = !server->is_disk_held;
		break;
	case 8:
		raise_floor(rig, index);
		break;
	case 9: {
		struct zab_event event = {.type = ZAB_EV_YIELD};

		if (server->is_up)
			rig_event(rig, index, &event);
		break;
	}
	case 10:
		reconfigure(rig, seed);
		break;
	default:
		propose_somewhere(rig, seed);
		break;
	}
}

/* Everything works and everybody is up: a minute of it. */
static void
calm(struct rig *rig)
{
	const uint64_t messages = rig->messages;

	for (uint32_t i = 0; i < rig->count; i++) {
		struct rig_server *server = &rig->server[i];

		for (uint32_t j = 0; j < rig->count; j++)
			rig->is_cut[i][j] = false;
		server->is_disk_held = false;
		server->crash_action = 0;
		if (!server->is_up)
			rig_start(rig, i);
	}
	step_slowly(rig, rig->now_ms + CALM_MS);
	if (rig->messages - messages > CALM_MESSAGES_MAX &&
	    rig->violation[0] == '\0')
		snprintf(rig->violation, sizeof(rig->violation),
			 "%llu messages in the calm",
			 (unsigned long long)(rig->messages - messages));
}

static void
expect_agreement(struct rig *rig)
{
	const int leader = rig_leader(rig);

	if (rig->violation[0])
		return;
	if (leader < 0) {
		snprintf(rig->violation, sizeof(rig->violation),
			 "nobody leads after the calm");
		return;
	}
	(void)rig_propose(rig, (uint32_t)leader, NULL);
	step_slowly(rig, rig->now_ms + 5000);
	for (uint32_t i = 0; i < rig->count; i++) {
		const struct rig_server *server = &rig->server[i];
		const struct rig_log *log = &rig->server[leader].log;

		if (rig->violation[0])
			return;
		if (server->is_serving && log->count == server->log.count &&
		    server->committed_zxid ==
			    rig->server[leader].committed_zxid &&
		    server->committed_zxid == log->entry[log->count - 1].zxid)
			continue;
		snprintf(rig->violation, sizeof(rig->violation),
			 "server %u differs after the calm", i + 1);
	}
}

uint32_t
chaos_run(struct rig *rig, uint64_t seed, uint32_t rounds)
{
	seed = seed * 0x9e3779b97f4a7c15ull + 1;
	for (uint32_t i = 0; i < rig->count; i++)
		rig_start(rig, i);
	for (uint32_t i = 0; i < rounds && !rig->violation[0]; i++) {
		disturb(rig, &seed);
		step_slowly(rig, rig->now_ms + (below(&seed, 3)
							? below(&seed, 40)
							: below(&seed, 4000)));
	}
	calm(rig);
	expect_agreement(rig);
	return rig->committed.count;
}
