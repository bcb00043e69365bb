/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_genesis - the register of consensus/genesis.h in the simulated servers:
 * its messages, its file, and what it lets the core do.
 *
 * A disk that was emptied is just empty: whether the server may vote is what
 * the register makes of it. Messages are lost when a direction is cut or the
 * receiver's process is another one by then; of writes under way a crash keeps
 * some.
 *
 * At most one id is ever founded (loose ones aside), and who was emptied after
 * it had promised an epoch never founds, as long as those who know of the
 * ensemble are a quorum; with is_genesis_all it is enough that ZAB survives.
 * Who was emptied before has nothing to forget but the register's own promises:
 * it may found, however late it hears that it does.
 */
#include <string.h>

#include "sim.h"

static bool
is_voter(const struct sim *sim, const struct sim_server *server)
{
	return quorum_is_voter(&sim->config[server->disk.active_config],
			       server->sid);
}

static bool
has_history(const struct sim_disk *disk)
{
	return sim_disk_zxid(disk) > 0 || disk->current_epoch > 0;
}

/* Would it tell who asks that the ensemble exists, or which id it has? */
static bool
knows(const struct sim *sim, const struct sim_server *server)
{
	const struct genesis_state *state = &server->disk.genesis;

	if (server->java != SIM_JAVA_NONE)
		return has_history(&server->disk);
	if (state->began == GENESIS_WITH_DATA)
		return server->disk.has_snapshot;
	return state->is_member ||
	       (state->accepted_ballot != 0 && sim->has_id &&
		memcmp(state->id, sim->id, GENESIS_ID_BYTES) == 0);
}

/* Would it start with a vote now? A disk that says so counts, nothing else: who
 * was synchronized and has not written so yet is without one after a crash. */
static bool
has_vote(const struct sim *sim, const struct sim_server *server)
{
	const struct genesis_state *state = &server->disk.genesis;

	return server->java != SIM_JAVA_NONE ||
	       state->began == GENESIS_WITH_DATA || state->is_member ||
	       (state->is_witness &&
		memcmp(state->id, sim->id, GENESIS_ID_BYTES) == 0);
}

uint32_t
sim_genesis_voteless(const struct sim *sim)
{
	uint32_t voteless = 0;

	if (!sim->has_genesis || !sim->has_id)
		return 0;
	for (uint32_t i = 0; i < sim->count; i++)
		voteless |= (uint32_t)!has_vote(sim, &sim->server[i]) << i;
	return voteless;
}

bool
sim_genesis_survives(const struct sim *sim, uint32_t lost)
{
	uint32_t known = 0;

	if (!sim->has_genesis || sim->is_genesis_all)
		return true;
	for (uint32_t i = 0; i < sim->count; i++)
		known |= (uint32_t)knows(sim, &sim->server[i]) << i;
	return quorum_has(&sim->config[0], known & ~lost);
}

/* ----------------------------------------------------------- messages --- */

static void
send(struct sim *sim, const struct sim_server *from, int64_t sid,
     const struct genesis_message *message)
{
	struct sim_genesis_message *letter;
	uint32_t to = 0;

	while (to < sim->count && sim->server[to].sid != sid)
		to++;
	FAL_ASSERT(to < sim->count);
	if (!sim->server[to].is_up || !sim->server[to].has_genesis ||
	    sim->is_cut[from->index][to])
		return;
	letter = &sim->letter[sim->letters % SIM_LETTERS_MAX];
	letter->message = *message;
	letter->from = from->index;
	letter->incarnation = sim->server[to].incarnation;
	sim_put(sim, sim_net_delay_us(sim), SIM_DUE_GENESIS, to,
		sim->letters % SIM_LETTERS_MAX, sim->letters, 0);
	letter->serial = sim->letters++;
}

static void
say_hello(struct sim *sim, const struct sim_server *from,
	  const struct sim_server *to)
{
	struct genesis_message hello;

	genesis_hello(&from->genesis, &hello);
	send(sim, from, to->sid, &hello);
}

/* ------------------------------------------------------------ actions --- */

static void
persist(struct sim *sim, struct sim_server *server,
	const struct genesis_state *state)
{
	struct sim_disk *disk = &server->disk;

	FAL_ASSERT(disk->genesis_writes < SIM_GENESIS_WRITES_MAX);
	disk->genesis_writing[disk->genesis_writes++] = *state;
	if (disk->genesis_writes == 1)
		sim_put(sim, sim_disk_delay_us(sim, server),
			SIM_DUE_GENESIS_FILE, server->index, 0,
			server->incarnation, 0);
}

static void
conclude(struct sim *sim, struct sim_server *server, uint32_t outcome)
{
	const struct genesis_state *state = &server->genesis.state;

	sim_trace_note(sim, server->index, "genesis is over", outcome);
	if (outcome != GENESIS_FOUNDS || !server->is_genesis_awaited)
		return;
	sim->counters.founders++;
	if (server->has_forgotten)
		sim_fail(sim, "genesis",
			 "s%u: was emptied, and founds as if it were new",
			 server->index);
	if (state->is_member != GENESIS_MEMBER)
		return;
	if (sim->has_id && memcmp(sim->id, state->id, GENESIS_ID_BYTES) != 0)
		sim_fail(sim, "genesis", "s%u: founds a second ensemble",
			 server->index);
	sim->has_id = true;
	memcpy(sim->id, state->id, GENESIS_ID_BYTES);
}

static void
act_all(struct sim *sim, struct sim_server *server)
{
	/* A copy: what is done may lead to a step. */
	const struct genesis_actions actions = sim->genesis_actions;

	for (uint32_t i = 0; i < actions.count; i++) {
		const struct genesis_action *action = &actions.action[i];

		if (action->type == GENESIS_SEND)
			send(sim, server, action->sid, &action->message);
		else if (action->type == GENESIS_PERSIST)
			persist(sim, server, &action->state);
		else if (action->outcome != GENESIS_CONFLICT)
			conclude(sim, server, action->outcome);
	}
}

static void
arm(struct sim *sim, struct sim_server *server)
{
	const uint64_t wake_ms = genesis_wake_ms(&server->genesis);
	const uint64_t now_ms = sim_server_now_ms(sim, server);

	server->genesis_serial++;
	if (wake_ms == UINT64_MAX)
		return;
	/* Its clock may be quick or slow: then it looks again. */
	sim_put(sim, wake_ms > now_ms ? 1000 * (wake_ms - now_ms) : 1000,
		SIM_DUE_GENESIS_WAKE, server->index, 0, server->genesis_serial,
		0);
}

void
sim_genesis_settle(struct sim *sim, struct sim_server *server)
{
	if (!server->is_up || !server->is_genesis_awaited ||
	    server->view.role != FLE_LOOKING ||
	    !genesis_may_vote(&server->genesis))
		return;
	server->is_genesis_awaited = false;
	sim_server_counts_again(server);
	sim_server_step(sim, server,
			&(struct zab_event){.type = ZAB_EV_MAY_VOTE});
}

static void
step(struct sim *sim, struct sim_server *server, struct genesis_event *event)
{
	if (!server->is_up || !server->has_genesis)
		return;
	event->now_ms = sim_server_now_ms(sim, server);
	genesis_step(&server->genesis, event, &sim->genesis_actions);
	act_all(sim, server);
	arm(sim, server);
	sim_genesis_settle(sim, server);
}

/* ------------------------------------------------------------- events --- */

void
sim_genesis_deliver(struct sim *sim, const struct sim_due *due)
{
	const struct sim_genesis_message letter = sim->letter[due->what];
	struct sim_server *server = &sim->server[due->who];

	if (letter.serial != due->serial || !server->is_up ||
	    server->incarnation != letter.incarnation ||
	    sim->is_cut[letter.from][due->who] ||
	    (sim->needs_both_ways && sim->is_cut[due->who][letter.from]) ||
	    sim_server_defers(sim, server, due))
		return;
	step(sim, server,
	     &(struct genesis_event){.type = GENESIS_EV_MESSAGE,
				     .sid = sim->server[letter.from].sid,
				     .message = letter.message});
}

void
sim_genesis_written(struct sim *sim, struct sim_server *server)
{
	struct sim_disk *disk = &server->disk;

	FAL_ASSERT(disk->genesis_writes > 0);
	disk->genesis = disk->genesis_writing[0];
	disk->genesis_writes--;
	memmove(&disk->genesis_writing[0], &disk->genesis_writing[1],
		disk->genesis_writes * sizeof(disk->genesis));
	if (disk->genesis_writes > 0)
		sim_put(sim, sim_disk_delay_us(sim, server),
			SIM_DUE_GENESIS_FILE, server->index, 0,
			server->incarnation, 0);
	step(sim, server, &(struct genesis_event){.type = GENESIS_EV_DURABLE});
}

void
sim_genesis_crash(struct sim *sim, struct sim_disk *disk)
{
	for (uint32_t i = 0; i < disk->genesis_writes; i++) {
		if (sim_random_once_in(&sim->random[SIM_STREAM_GENESIS], 2))
			break;
		disk->genesis = disk->genesis_writing[i];
	}
	disk->genesis_writes = 0;
}

void
sim_genesis_wake(struct sim *sim, struct sim_server *server)
{
	step(sim, server, &(struct genesis_event){.type = GENESIS_EV_TICK});
}

void
sim_genesis_link(struct sim *sim, struct sim_server *server, uint32_t who,
		 bool is_up)
{
	step(sim, server,
	     &(struct genesis_event){.type = GENESIS_EV_LINK,
				     .sid = sim->server[who].sid,
				     .is_up = is_up});
}

void
sim_genesis_heard(struct sim *sim, struct sim_server *server, uint32_t who,
		  const struct zab_notification *said)
{
	/* Who is told that there is an ensemble, and there is none, waits for
	 * it: that is the safe side, and no birth to be judged. */
	if (sim->server[who].java == SIM_JAVA_NONE ||
	    zab_epoch(said->zxid) == SIM_LIE_EPOCH)
		return;
	step(sim, server,
	     &(struct genesis_event){.type = GENESIS_EV_FOREIGN,
				     .sid = sim->server[who].sid,
				     .looks = said->state == FLE_LOOKING,
				     .zxid = said->zxid,
				     .epoch = said->peer_epoch});
}

/* --------------------------------------------------------------- life --- */

bool
sim_genesis_init(struct sim *sim, struct sim_server *server)
{
	struct sim_random *random = &sim->random[SIM_STREAM_GENESIS];
	struct sim_disk *disk = &server->disk;
	struct genesis_options options = {
		.sid = server->sid,
		.voters = &sim->config[disk->active_config],
		.voters_hash = 1,
		.is_all = sim->is_genesis_all,
		.is_passive = disk->is_nonvoting,
		.retry_ms = 1 + server->options.tick_ms / 2,
		.grace_ms = server->options.finalize_ms,
	};
	const uint64_t id = sim_random_next(random) | 1;

	server->has_genesis = false;
	server->is_genesis_awaited = false;
	if (!sim->has_genesis || server->java != SIM_JAVA_NONE)
		return false;
	/* The file is the first thing on an empty disk. */
	if (is_voter(sim, server) && !disk->has_snapshot &&
	    disk->genesis.began == GENESIS_WITH_DATA)
		disk->genesis.began = GENESIS_EMPTY;
	disk->has_snapshot = true;
	if (!is_voter(sim, server))
		return false;
	options.has_data =
		disk->genesis.began == GENESIS_WITH_DATA || has_history(disk);
	memcpy(options.id, &id, sizeof(id));
	server->has_genesis =
		genesis_init(&server->genesis, &options, &disk->genesis) == 0;
	FAL_ASSERT(server->has_genesis);
	server->is_genesis_awaited =
		!genesis_may_vote(&server->genesis) && !disk->is_nonvoting;
	return server->is_genesis_awaited;
}

void
sim_genesis_start(struct sim *sim, struct sim_server *server)
{
	if (!server->is_up || !server->has_genesis)
		return;
	step(sim, server, &(struct genesis_event){.type = GENESIS_EV_START});
	for (uint32_t i = 0; i < sim->count; i++) {
		const struct sim_server *other = &sim->server[i];

		if (i == server->index || !other->is_up || !other->has_genesis)
			continue;
		say_hello(sim, server, other);
		if (!sim->is_cut[server->index][i])
			say_hello(sim, other, server);
	}
}

void
sim_genesis_adopt(struct sim *sim, struct sim_server *server)
{
	if (!server->has_genesis)
		return;
	server->is_genesis_awaited = false;
	genesis_adopt(&server->genesis, &sim->genesis_actions);
	act_all(sim, server);
}

void
sim_genesis_serves(struct sim *sim, struct sim_server *server)
{
	struct genesis_state state = server->disk.genesis;

	if (sim->has_genesis && server->java == SIM_JAVA_NONE &&
	    !server->has_genesis && server->disk.genesis_writes == 0 &&
	    genesis_adopt_observer(&state))
		persist(sim, server, &state);
}

/* Must it not vote, as far as the disk and the register say? */
bool
sim_genesis_forbids(const struct sim_server *server)
{
	return server->disk.is_nonvoting || server->is_genesis_awaited;
}
