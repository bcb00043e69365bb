/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    the parts that the simulator trusts do what they say, the same seed
 *         is the same run, and what the protocol promises about delays and
 *         about who can be reached is true.
 * Method  queue, histories and disk against models that are plainer than they
 *         are; the core in a world without faults whose network takes exactly
 *         one millisecond and whose disks take no time; all 64 ways to cut the
 *         directions between three servers. Of the 2^20 ways for five servers
 *         some run, or FAL_SIM_MASKS many (1048576: all, for hours).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim.h"

static struct sim sim;

/* ---------------------------------------------------------------- parts --- */

static void
the_queue_gives_what_is_due_first_and_keeps_the_order(void **state)
{
	struct sim_queue queue = {0};
	struct sim_random random;
	struct sim_due due, last = {0};

	(void)state;
	sim_random_seed(&random, 1, 0);
	for (uint32_t round = 0; round < 100; round++) {
		const uint32_t count = (uint32_t)sim_random_in(&random, 1, 300);

		for (uint32_t i = 0; i < count; i++)
			sim_queue_put(&queue, &(struct sim_due){
						      .at_us = sim_random_below(
							      &random, 50),
						      .who = i});
		for (uint32_t i = 0; i < count; i++) {
			assert_true(sim_queue_take(&queue, &due));
			if (i > 0)
				assert_true(last.at_us < due.at_us ||
					    (last.at_us == due.at_us &&
					     last.who < due.who));
			last = due;
		}
		assert_false(sim_queue_take(&queue, &due));
	}
	sim_queue_free(&queue);
}

static void
what_is_put_off_keeps_its_place_before_what_came_later(void **state)
{
	struct sim_queue queue = {0};
	struct sim_due due;

	(void)state;
	sim_queue_put(&queue, &(struct sim_due){.at_us = 1, .who = 1});
	sim_queue_put(&queue, &(struct sim_due){.at_us = 5, .who = 2});
	assert_true(sim_queue_take(&queue, &due));
	due.at_us = 5;
	sim_queue_put_again(&queue, &due);
	assert_true(sim_queue_take(&queue, &due));
	assert_int_equal(due.who, 1);
	sim_queue_free(&queue);
}

static void
a_history_is_one_node_and_begins_with_its_prefixes(void **state)
{
	struct sim_chain chain = {0};
	uint32_t left[3000], node = 0;

	(void)state;
	sim_chain_clear(&chain);
	for (uint32_t i = 0; i < 3000; i++) {
		node = sim_chain_append(&chain, node, i + 1, 7 * i);
		left[i] = node;
	}
	/* The same again gives the same nodes. */
	node = 0;
	for (uint32_t i = 0; i < 3000; i++) {
		node = sim_chain_append(&chain, node, i + 1, 7 * i);
		assert_int_equal(node, left[i]);
	}
	for (uint32_t i = 0; i < 3000; i += 7)
		assert_true(sim_chain_begins_with(&chain, node, left[i]));
	/* Same zxids, one other value: another history from there on. */
	uint32_t other = sim_chain_append(&chain, left[9], 11, 1);

	other = sim_chain_append(&chain, other, 12, 7 * 11);
	assert_true(sim_chain_begins_with(&chain, other, left[9]));
	assert_false(sim_chain_begins_with(&chain, other, left[10]));
	assert_int_not_equal(other, left[11]);
	sim_chain_free(&chain);
}

static void
a_log_is_cut_and_dropped_where_it_was_told(void **state)
{
	struct sim_log log = {0};

	(void)state;
	sim_log_init(&log, 10, 3);
	for (uint32_t i = 1; i <= 20; i++)
		sim_log_append(&log, &(struct sim_entry){.zxid = 10 + 2 * i,
							 .node = 100 + i});
	assert_int_equal(sim_log_last(&log), 50);
	assert_int_equal(sim_log_count_to(&log, 10), 0);
	assert_int_equal(sim_log_count_to(&log, 12), 1);
	assert_int_equal(sim_log_count_to(&log, 13), 1);
	sim_log_drop(&log, 5);
	assert_int_equal(log.floor_zxid, 20);
	assert_int_equal(sim_log_node(&log, 0), 105);
	sim_log_cut(&log, sim_log_count_to(&log, 30));
	assert_int_equal(sim_log_last(&log), 30);
	sim_log_free(&log);
}

static struct sim_options
options_of(uint64_t seed, uint32_t replicas, uint32_t faults)
{
	return (struct sim_options){.seed = seed,
				    .replicas = replicas,
				    .faults = faults,
				    .steps = 3000};
}

/* A crash keeps all that was flushed, and a prefix of the rest. */
static void
a_crash_tears_only_what_was_not_flushed(void **state)
{
	const struct sim_options options = options_of(3, 3, 0);
	uint32_t lengths = 0;

	(void)state;
	sim_init(&sim, &options);
	struct sim_disk *disk = &sim.server[0].disk;

	for (uint32_t round = 0; round < 200; round++) {
		sim_disk_init(disk);
		for (uint32_t i = 1; i <= 8; i++)
			sim_log_append(&disk->log, &(struct sim_entry){
							   .zxid = i,
							   .node = 0,
							   .begin = 700 * i,
							   .end = 700 * i + 700,
						   });
		disk->durable_count = 3;
		sim_disk_crash(&sim, &sim.server[0]);
		assert_in_range(disk->log.count, 3, 8);
		assert_int_equal(disk->durable_count, disk->log.count);
		lengths |= 1u << disk->log.count;
	}
	assert_int_equal(lengths & 0x38, 0x38); /* 3, 4 and 5 all happen */
}

static void
the_same_seed_is_the_same_run(void **state)
{
	const struct sim_options options = options_of(5, 5, SIM_FAULTS_ALL);
	struct sim_counters first;
	uint64_t end_us;

	(void)state;
	sim_run(&sim, &options);
	first = sim.counters;
	end_us = sim.now_us;
	sim_run(&sim, &options);
	assert_memory_equal(&first, &sim.counters, sizeof(first));
	assert_int_equal(end_us, sim.now_us);
}

/* --------------------------------------------------------------- delays --- */

#define DELAY_US 1000u

/* Servers with a network of exactly one delay and disks without any. */
static void
begin_asking(uint32_t replicas, bool asks, bool is_all)
{
	const struct sim_options options = options_of(1, replicas, 0);

	sim_init(&sim, &options);
	sim.has_genesis = asks;
	sim.is_genesis_all = is_all;
	sim.core_options.is_sync_confirmed = true;
	sim.limits.net_us_min = DELAY_US;
	sim.limits.net_us_max = DELAY_US;
	sim.limits.disk_us_min = 0;
	sim.limits.disk_us_max = 0;
	sim.limits.snapshot_every = 0;
	for (uint32_t i = 0; i < replicas; i++) {
		sim.server[i].options.tick_ms = 200;
		sim.server[i].options.is_sync_confirmed = true;
		sim.server[i].options.finalize_ms = 50;
		sim.server[i].options.notify_min_ms = 50;
		sim.server[i].options.notify_max_ms = 400;
		sim.server[i].options.outstanding_max = 64;
	}
	for (uint32_t i = 0; i < replicas; i++)
		sim_server_start(&sim, &sim.server[i]);
	sim_turn_until(&sim, 5000000);
	assert_true(sim_check_is_calm(&sim));
}

static void
begin_exact(uint32_t replicas)
{
	begin_asking(replicas, false, false);
}

static uint64_t
delays_of_a_write_at(uint32_t server)
{
	sim_client_connect(&sim, 0, server);
	const uint32_t op = sim_client_invoke(&sim, 0, SIM_OP_WRITE);

	sim_turn_until(&sim, sim.now_us + 20 * DELAY_US);
	assert_true(sim.op[op].is_acked);
	assert_int_equal(
		(sim.op[op].acked_us - sim.op[op].invoked_us) % DELAY_US, 0);
	return (sim.op[op].acked_us - sim.op[op].invoked_us) / DELAY_US;
}

static void
a_write_takes_four_delays_at_the_leader_and_six_at_a_follower(void **state)
{
	(void)state;
	for (uint32_t replicas = 3; replicas <= 7; replicas += 2) {
		begin_exact(replicas);
		const uint32_t leader = sim_leader_of(&sim);

		assert_int_not_equal(leader, SIM_NOBODY);
		for (uint32_t i = 0; i < replicas; i++)
			assert_int_equal(delays_of_a_write_at(i),
					 i == leader ? 4 : 6);
	}
}

static void
an_election_settles_in_four_round_trips_after_detection(void **state)
{
	(void)state;
	for (uint32_t replicas = 3; replicas <= 7; replicas += 2) {
		begin_exact(replicas);
		const uint32_t leader = sim_leader_of(&sim);
		uint64_t detected_us = SIM_NEVER;
		bool is_settled = false;

		sim_server_crash(&sim, &sim.server[leader], false);
		sim.server[leader].incarnation++; /* stays down */
		while (!is_settled) {
			sim_turn(&sim);
			is_settled = true;
			for (uint32_t i = 0; i < replicas; i++) {
				const struct zab_view *view =
					&sim.server[i].view;

				if (i == leader)
					continue;
				if (view->role == FLE_LOOKING &&
				    detected_us == SIM_NEVER)
					detected_us = sim.now_us;
				is_settled =
					is_settled &&
					view->role != FLE_LOOKING &&
					view->leader != sim.server[leader].sid;
			}
		}
		assert_true(sim.now_us - detected_us <= 8 * DELAY_US);
	}
}

/* Virtual ms from the moment the leader is gone until another one serves. */
static uint64_t
failover_ms(uint32_t replicas, bool is_frozen)
{
	begin_exact(replicas);
	for (uint32_t i = 0; i < replicas; i++) {
		sim_server_crash(&sim, &sim.server[i], false);
		sim.server[i].incarnation++;
		sim.server[i].options.finalize_ms = 200;
		sim.server[i].options.notify_min_ms = 200;
		sim.server[i].options.notify_max_ms = 1600;
		sim.server[i].options.tick_ms = 2000;
		sim.server[i].options.dial_retry_ms = 100;
		sim.server[i].options.beacon_ms = 20;
		sim.server[i].options.beacon_lost_ms = 100;
		sim.limits.disk_us_min = 500;
		sim.limits.disk_us_max = 500;
		sim_server_start(&sim, &sim.server[i]);
	}
	sim_turn_until(&sim, sim.now_us + 5000000);
	assert_true(sim_check_is_calm(&sim));
	const uint32_t leader = sim_leader_of(&sim);
	const uint64_t gone_us = sim.now_us;

	assert_int_not_equal(leader, SIM_NOBODY);
	if (is_frozen) {
		sim.server[leader].paused_until_us = gone_us + 10000000;
	} else {
		sim_server_crash(&sim, &sim.server[leader], false);
		sim.server[leader].incarnation++; /* stays down */
	}
	for (;;) {
		sim_turn(&sim);
		assert_true(sim.now_us < gone_us + 9000000);
		for (uint32_t i = 0; i < replicas; i++)
			if (i != leader && sim.server[i].is_serving &&
			    sim.server[i].view.role == FLE_LEADING)
				return (sim.now_us - gone_us) / 1000;
	}
}

/* With the beacons that are the default, ticks of two seconds. */
static void
a_leader_is_replaced_soon_after_it_died_or_froze(void **state)
{
	(void)state;
	for (uint32_t replicas = 3; replicas <= 7; replicas += 2) {
		const uint64_t killed = failover_ms(replicas, false);
		const uint64_t frozen = failover_ms(replicas, true);

		print_message("%u replicas: killed %u ms, frozen %u ms\n",
			      replicas, (unsigned)killed, (unsigned)frozen);
		assert_true(killed < 100);
		assert_true(frozen < 200);
	}
}

/* ------------------------------------------------- disks and partitions --- */

static void
stop(uint32_t server)
{
	sim_server_crash(&sim, &sim.server[server], false);
	sim.server[server].incarnation++; /* Nobody starts it but the test. */
}

static void
start_an_emptied_and_a_stale_one(void)
{
	const uint32_t stale = 0, emptied = 1, third = 2;

	stop(stale);
	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim));
	assert_true(delays_of_a_write_at(third) > 0);
	stop(emptied);
	stop(third);
	sim_disk_wipe(&sim.server[emptied].disk);
	sim.server[emptied].disk.is_nonvoting = !sim.has_genesis;
	sim.server[emptied].is_wiped = true;
	sim.server[emptied].said_accepted = 0;
	sim.server[emptied].said_current = 0;
	sim_server_start(&sim, &sim.server[emptied]);
	sim_server_start(&sim, &sim.server[stale]);
	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim));
	assert_false(sim.server[emptied].is_serving);
	assert_false(sim.server[stale].is_serving);
	assert_true(sim.server[emptied].view.is_nonvoting);
	sim_server_start(&sim, &sim.server[third]);
	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim));
	assert_true(sim_check_is_calm(&sim));
	assert_false(sim.server[emptied].view.is_nonvoting);
	sim_check_end(&sim);
}

/*
 * One server stopped; a write acknowledged by the other two; both stopped, one
 * of them emptied; the emptied one and the stale one started. The emptied one
 * is known to be so by a mark, or it asks.
 */
static void
an_emptied_and_a_stale_server_are_no_quorum(void **state)
{
	(void)state;
	for (uint32_t how = 0; how < 3; how++) {
		begin_asking(3, how > 0, how == 2);
		start_an_emptied_and_a_stale_one();
	}
}

/* The first boot of those who are there; who comes later joins. */
static void
two_of_three_found_and_the_third_joins(void **state)
{
	const struct sim_options options = options_of(1, 3, 0);

	(void)state;
	sim_init(&sim, &options);
	sim.has_genesis = true;
	sim_client_init(&sim);
	sim_server_start(&sim, &sim.server[1]);
	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim));
	assert_true(sim.server[1].view.is_nonvoting);
	sim_server_start(&sim, &sim.server[2]);
	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim));
	assert_true(sim.server[1].is_serving && sim.server[2].is_serving);
	assert_int_equal(sim.counters.founders, 2);
	sim_server_start(&sim, &sim.server[0]);
	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim));
	assert_true(sim.server[0].is_serving);
	assert_int_equal(sim.counters.founders, 2);
	assert_int_equal(sim.server[0].disk.genesis.is_member, GENESIS_MEMBER);
	assert_memory_equal(sim.server[0].disk.genesis.id, sim.id,
			    GENESIS_ID_BYTES);
}

/*
 * The server with the highest sid has the epoch of the others and a shorter
 * log: it is not elected, not even to be sent away by those who know more.
 */
static void
the_longest_log_is_elected(void **state)
{
	const uint32_t shorter = 2, leader = 1;

	(void)state;
	begin_exact(3);
	stop(shorter);
	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim));
	assert_int_equal(sim_leader_of(&sim), leader);
	sim_server_start(&sim, &sim.server[shorter]);
	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim));
	assert_true(sim.server[shorter].is_serving);
	stop(shorter);
	assert_true(delays_of_a_write_at(leader) > 0);
	for (uint32_t i = 0; i < shorter; i++)
		stop(i);
	for (uint32_t i = 0; i < 3; i++)
		sim_server_start(&sim, &sim.server[i]);
	while (sim_leader_of(&sim) == SIM_NOBODY) {
		sim_turn(&sim);
		assert_int_not_equal(sim.server[shorter].view.role,
				     FLE_LEADING);
	}
	assert_int_equal(sim_leader_of(&sim), leader);
}

/* Loses power and comes back at once, with or without its disk. */
static void
restart_silently(uint32_t index, bool is_emptied)
{
	struct sim_server *server = &sim.server[index];

	sim_server_crash(&sim, server, true);
	server->incarnation++;
	if (is_emptied) {
		sim_disk_wipe(&server->disk);
		server->is_wiped = true;
		server->said_accepted = 0;
		server->said_current = 0;
	}
	sim_server_start(&sim, server);
}

/* Tells a server that all others follow that leader, or vote for it. */
static void
tell(uint32_t to, uint32_t leader, bool leads)
{
	struct zab_event event = {
		.type = ZAB_EV_FLE,
		.notification = {.version = FLE_NOTIFICATION_VERSION,
				 .leader = sim.server[leader].sid,
				 .zxid = zab_zxid(SIM_LIE_EPOCH, 1),
				 .round = sim.server[to].view.round + 1,
				 .peer_epoch = SIM_LIE_EPOCH}};

	for (uint32_t from = 0; from < sim.count; from++) {
		if (from == to)
			continue;
		event.sid = sim.server[from].sid;
		if (leads)
			event.notification.state =
				from == leader ? FLE_LEADING : FLE_FOLLOWING;
		sim_server_step(&sim, &sim.server[to], &event);
	}
}

/*
 * A leader that is outdated and does not know it, a quorum that has gone on
 * without it, and one of that quorum, emptied, which comes to the old leader
 * and has forgotten what it promised to the new one.
 */
static void
an_emptied_server_does_not_help_an_outdated_leader(void **state)
{
	const uint32_t old = 2, next = 1, emptied = 0;

	(void)state;
	begin_exact(3);
	assert_int_equal(sim_leader_of(&sim), old);
	for (uint32_t i = 0; i < 2; i++) {
		sim.is_cut[old][i] = true;
		sim.is_cut[i][old] = true;
	}
	restart_silently(next, false);
	restart_silently(emptied, false);
	sim_turn_until(&sim, sim.now_us + 300000);
	assert_true(sim.server[old].is_serving);
	assert_true(sim.server[next].is_serving);
	assert_int_equal(sim.server[next].view.role, FLE_LEADING);
	assert_true(delays_of_a_write_at(next) > 0);
	/* Nor does it answer a sync now. */
	sim_client_connect(&sim, 1, old);
	const uint32_t sync = sim_client_invoke(&sim, 1, SIM_OP_SYNC);

	sim_turn_until(&sim, sim.now_us + 20 * DELAY_US);
	assert_false(sim.op[sync].is_acked);
	memset(sim.is_cut, 0, sizeof(sim.is_cut));
	for (uint32_t i = 0; i < 3; i++) {
		sim.is_cut[next][i] = i != next;
		sim.is_cut[i][next] = i != next;
	}
	restart_silently(emptied, true);
	tell(emptied, old, true);
	sim_client_connect(&sim, 0, old);
	sim_turn_until(&sim, sim.now_us + 50000);
	assert_true(sim.server[old].is_serving);
	assert_int_equal(sim.server[emptied].view.leader, sim.server[old].sid);
	assert_false(sim.server[emptied].is_serving);
	const uint32_t op = sim_client_invoke(&sim, 0, SIM_OP_WRITE);

	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim));
	assert_false(sim.op[op].is_acked);
	assert_int_equal(sim_leader_of(&sim), SIM_NOBODY);
	memset(sim.is_cut, 0, sizeof(sim.is_cut));
	sim_net_pump_all(&sim);
	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim));
	assert_true(sim_check_is_calm(&sim));
	sim_check_end(&sim);
}

static void
cut_all_but(uint32_t a, uint32_t b)
{
	for (uint32_t i = 0; i < sim.count; i++)
		for (uint32_t j = 0; j < sim.count; j++)
			sim.is_cut[i][j] = i != j && !(i == a && j == b) &&
					   !(i == b && j == a);
}

/*
 * Two servers that were elected and chose the same epoch, and one voter that
 * promises it to the second after it promised it to the first.
 */
static void
a_promise_is_given_once(void **state)
{
	const uint32_t first = 0, second = 2, voter = 1;
	const struct sim_options options = options_of(1, 3, 0);

	(void)state;
	sim_init(&sim, &options);
	sim.needs_both_ways = true;
	for (uint32_t i = 0; i < 3; i++)
		sim_server_start(&sim, &sim.server[i]);
	cut_all_but(first, voter);
	tell(first, first, false);
	tell(voter, first, false);
	while (sim.server[first].disk.accepted_epoch != 1)
		sim_turn(&sim);
	assert_int_equal(sim.server[voter].disk.accepted_epoch, 0);
	restart_silently(voter, false);
	cut_all_but(second, voter);
	tell(second, second, false);
	tell(voter, second, false);
	while (sim.server[second].disk.current_epoch != 1)
		sim_turn(&sim);
	assert_int_equal(sim.server[voter].disk.current_epoch, 0);
	restart_silently(voter, false);
	cut_all_but(first, voter);
	assert_int_equal(sim.server[first].view.role, FLE_LEADING);
	tell(voter, first, true);
	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim) / 20);
	assert_int_not_equal(sim.epoch_leader[1], first + 1);
	memset(sim.is_cut, 0, sizeof(sim.is_cut));
	sim_net_pump_all(&sim);
	sim_turn_until(&sim, sim.now_us + sim_bound_us(&sim));
	assert_true(sim_check_is_calm(&sim));
}

/* The same with words of its own for what does not hold. */
static uint64_t
find_leader(uint32_t replicas, uint32_t mask, bool needs_both_ways)
{
	const uint64_t led_ms =
		sim_star_find(&sim, mask, replicas, mask, needs_both_ways);

	if (led_ms == UINT64_MAX)
		print_message("replicas %u mask %x: nobody leads\n", replicas,
			      mask);
	return led_ms;
}

static void
a_stable_leader_comes_for_each_of_64_masks(void **state)
{
	(void)state;
	for (uint32_t mask = 0; mask < 64; mask++) {
		assert_true(find_leader(3, mask, true) < UINT64_MAX);
		assert_true(find_leader(3, mask, false) < UINT64_MAX);
	}
}

/* Server 1 sees all, the others see only it; trying one of them takes longer
 * than it was held against the one before that it failed. */
static void
the_middle_of_a_star_leads(void **state)
{
	static const uint32_t masks[] = {0x28e60, 0x6c660, 0x80ec0};

	(void)state;
	for (uint32_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++)
		assert_true(find_leader(5, masks[i], true) < UINT64_MAX);
}

/*
 * Three servers, two transactions, crashes between any two actions: every
 * place for one crash, every pair of places, and some of those with three and
 * four: every n-th, FAL_SIM_CRASH_THIRD and _FOURTH say n. The order of
 * messages is the one of equal delays. Returns how many actions a run took.
 */
static uint64_t
run_with_crashes(const uint64_t crash_at[4])
{
	const struct sim_options options = options_of(1, 3, 0);
	uint32_t written = 0;

	sim_init(&sim, &options);
	sim.limits.net_us_min = DELAY_US;
	sim.limits.net_us_max = DELAY_US;
	sim.limits.disk_us_min = 300;
	sim.limits.disk_us_max = 300;
	sim.limits.snapshot_every = 1;
	memcpy(sim.limits.crash_at, crash_at, 4 * sizeof(crash_at[0]));
	for (uint32_t i = 0; i < 3; i++) {
		sim_begin_plain(&sim.server[i]);
		sim_server_start(&sim, &sim.server[i]);
	}
	while (written < 2 || sim.crashes_done < 4 ||
	       !sim_check_is_calm(&sim)) {
		const uint32_t leader = sim_leader_of(&sim);

		if (leader != SIM_NOBODY && written < 2) {
			sim_client_connect(&sim, 0, leader);
			(void)sim_client_invoke(&sim, 0, SIM_OP_WRITE);
			written++;
		}
		sim_turn_until(&sim, sim.now_us + 5 * DELAY_US);
		if (written == 2 && sim.server[0].is_up &&
		    sim_check_is_calm(&sim))
			break;
		if (sim.now_us > 20 * sim_bound_us(&sim))
			fail_msg("crashes at %u %u %u %u: not calm",
				 (uint32_t)crash_at[0], (uint32_t)crash_at[1],
				 (uint32_t)crash_at[2], (uint32_t)crash_at[3]);
	}
	sim_check_end(&sim);
	return sim.action_count;
}

static uint32_t
number_of(const char *name, uint32_t otherwise)
{
	const char *text = getenv(name);

	return text ? (uint32_t)strtoul(text, NULL, 0) : otherwise;
}

/*
 * After so many crashes one more, at every place up to `end` where the run with
 * these crashes ended; of the third and the fourth one only some places, which
 * differ from case to case. Returns the number of runs.
 */
static uint64_t
crash_again(const uint64_t crash_at[4], uint32_t count, uint64_t end)
{
	const uint64_t step = count == 2 ? number_of("FAL_SIM_CRASH_THIRD", 100)
			      : count == 3
				      ? number_of("FAL_SIM_CRASH_FOURTH", 100)
				      : 1;
	const uint64_t last = count > 0 ? crash_at[count - 1] : 0;
	uint64_t next[4], runs = 0;

	memcpy(next, crash_at, sizeof(next));
	for (uint64_t at = last + 1 + (7 * last + 13 * end) % step; at <= end;
	     at += step, runs++) {
		next[count] = at;
		const uint64_t next_end = run_with_crashes(next);

		if (count < 3)
			runs += crash_again(next, count + 1, next_end);
	}
	return runs;
}

static void
no_place_for_crashes_does_harm(void **state)
{
	const uint64_t none[4] = {0};
	const uint64_t places = run_with_crashes(none);
	const uint64_t runs = crash_again(none, 0, places);

	(void)state;
	print_message("%u places for a crash, %u runs with up to four\n",
		      (uint32_t)places, (uint32_t)runs);
}

/* With both directions needed for anything, 2^20 masks are 2^10 graphs. */
static void
a_stable_leader_comes_for_each_graph_of_five(void **state)
{
	uint32_t missed = 0;

	(void)state;
	for (uint32_t graph = 0; graph < 1024; graph++) {
		uint32_t mask = 0, bit = 0, pair = 0;
		uint32_t cut[5][5] = {{0}};

		for (uint32_t i = 0; i < 5; i++)
			for (uint32_t j = i + 1; j < 5; j++) {
				cut[i][j] = graph >> pair & 1;
				cut[j][i] = graph >> pair++ & 1;
			}
		for (uint32_t i = 0; i < 5; i++)
			for (uint32_t j = 0; j < 5; j++)
				if (i != j)
					mask |= cut[i][j] << bit++;
		missed += find_leader(5, mask, true) == UINT64_MAX;
	}
	assert_int_equal(missed, 0);
}

/* How many masks of five servers; FAL_SIM_MASKS=1048576 is all of them, and
 * FAL_SIM_MASKS_FROM and _STEP divide them among processes. */
static void
a_stable_leader_comes_for_masks_of_five(void **state)
{
	const char *text = getenv("FAL_SIM_MASKS");
	const char *from = getenv("FAL_SIM_MASKS_FROM");
	const char *by = getenv("FAL_SIM_MASKS_STEP");
	const uint32_t count = text ? (uint32_t)strtoul(text, NULL, 0) : 500;
	const uint32_t step = by ? (uint32_t)strtoul(by, NULL, 0) : 1;
	struct sim_random random;
	uint64_t longest = 0;
	uint32_t done = 0, led = 0, missed = 0;

	(void)state;
	sim_random_seed(&random, 7, 0);
	for (uint32_t i = from ? (uint32_t)strtoul(from, NULL, 0) : 0;
	     i < count; i += step, done++) {
		/* Few cuts are more interesting than many. */
		const uint64_t some =
			sim_random_next(&random) & sim_random_next(&random);
		const uint64_t ms = find_leader(
			5, count == 1u << 20 ? i : (uint32_t)some & 0xfffff,
			true);

		missed += ms == UINT64_MAX;
		led += ms > 0 && ms < UINT64_MAX;
		if (ms > longest && ms < UINT64_MAX)
			longest = ms;
	}
	print_message("%u masks, a leader for %u of them, after %u ms at "
		      "most\n",
		      done, led, (uint32_t)longest);
	assert_int_equal(missed, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			the_queue_gives_what_is_due_first_and_keeps_the_order),
		cmocka_unit_test(
			what_is_put_off_keeps_its_place_before_what_came_later),
		cmocka_unit_test(
			a_history_is_one_node_and_begins_with_its_prefixes),
		cmocka_unit_test(a_log_is_cut_and_dropped_where_it_was_told),
		cmocka_unit_test(a_crash_tears_only_what_was_not_flushed),
		cmocka_unit_test(the_same_seed_is_the_same_run),
		cmocka_unit_test(
			a_write_takes_four_delays_at_the_leader_and_six_at_a_follower),
		cmocka_unit_test(
			an_election_settles_in_four_round_trips_after_detection),
		cmocka_unit_test(
			a_leader_is_replaced_soon_after_it_died_or_froze),
		cmocka_unit_test(an_emptied_and_a_stale_server_are_no_quorum),
		cmocka_unit_test(two_of_three_found_and_the_third_joins),
		cmocka_unit_test(a_promise_is_given_once),
		cmocka_unit_test(the_longest_log_is_elected),
		cmocka_unit_test(
			an_emptied_server_does_not_help_an_outdated_leader),
		cmocka_unit_test(a_stable_leader_comes_for_each_of_64_masks),
		cmocka_unit_test(the_middle_of_a_star_leads),
		cmocka_unit_test(no_place_for_crashes_does_harm),
		cmocka_unit_test(a_stable_leader_comes_for_each_graph_of_five),
		cmocka_unit_test(a_stable_leader_comes_for_masks_of_five),
	};
	const int failed = cmocka_run_group_tests(tests, NULL, NULL);

	sim_free(&sim);
	return failed;
}
