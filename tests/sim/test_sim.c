/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    the parts that the simulator trusts do what they say, the same seed
 *         is the same run, and what the protocol promises about delays is
 *         true.
 * Method  queue, histories and disk against models that are plainer than they
 *         are; the core in a world without faults whose network takes exactly
 *         one millisecond and whose disks take no time. test_scenarios.c and
 *         test_places.c belong to the same program.
 */
#include <stdlib.h>
#include <string.h>

#include "test_sim.h"

struct sim test_sim;

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

struct sim_options
test_options(uint64_t seed, uint32_t replicas, uint32_t faults)
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
	const struct sim_options options = test_options(3, 3, 0);
	uint32_t lengths = 0;

	(void)state;
	sim_init(&test_sim, &options);
	struct sim_disk *disk = &test_sim.server[0].disk;

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
		sim_disk_crash(&test_sim, &test_sim.server[0]);
		assert_in_range(disk->log.count, 3, 8);
		assert_int_equal(disk->durable_count, disk->log.count);
		lengths |= 1u << disk->log.count;
	}
	assert_int_equal(lengths & 0x38, 0x38); /* 3, 4 and 5 all happen */
}

static void
the_same_seed_is_the_same_run(void **state)
{
	const struct sim_options options = test_options(5, 5, SIM_FAULTS_ALL);
	struct sim_counters first;
	uint64_t end_us;

	(void)state;
	sim_run(&test_sim, &options);
	first = test_sim.counters;
	end_us = test_sim.now_us;
	sim_run(&test_sim, &options);
	assert_memory_equal(&first, &test_sim.counters, sizeof(first));
	assert_int_equal(end_us, test_sim.now_us);
}

/* --------------------------------------------------------------- delays --- */

/* Servers with a network of exactly one delay and disks without any. */
void
test_begin_asking(uint32_t replicas, bool asks, bool is_all)
{
	const struct sim_options options = test_options(1, replicas, 0);

	sim_init(&test_sim, &options);
	test_sim.has_genesis = asks;
	test_sim.is_genesis_all = is_all;
	test_sim.core_options.is_sync_confirmed = true;
	test_sim.limits.net_us_min = TEST_DELAY_US;
	test_sim.limits.net_us_max = TEST_DELAY_US;
	test_sim.limits.disk_us_min = 0;
	test_sim.limits.disk_us_max = 0;
	test_sim.limits.snapshot_every = 0;
	for (uint32_t i = 0; i < replicas; i++) {
		test_sim.server[i].options.tick_ms = 200;
		test_sim.server[i].options.is_sync_confirmed = true;
		test_sim.server[i].options.finalize_ms = 50;
		test_sim.server[i].options.notify_min_ms = 50;
		test_sim.server[i].options.notify_max_ms = 400;
		test_sim.server[i].options.outstanding_max = 64;
	}
	for (uint32_t i = 0; i < replicas; i++)
		sim_server_start(&test_sim, &test_sim.server[i]);
	sim_turn_until(&test_sim, 5000000);
	assert_true(sim_check_is_calm(&test_sim));
}

void
test_begin_exact(uint32_t replicas)
{
	test_begin_asking(replicas, false, false);
}

uint64_t
test_delays_of_a_write_at(uint32_t server)
{
	sim_client_connect(&test_sim, 0, server);
	const uint32_t op = sim_client_invoke(&test_sim, 0, SIM_OP_WRITE);

	sim_turn_until(&test_sim, test_sim.now_us + 20 * TEST_DELAY_US);
	assert_true(test_sim.op[op].is_acked);
	assert_int_equal(
		(test_sim.op[op].acked_us - test_sim.op[op].invoked_us) %
			TEST_DELAY_US,
		0);
	return (test_sim.op[op].acked_us - test_sim.op[op].invoked_us) /
	       TEST_DELAY_US;
}

static void
a_write_takes_four_delays_at_the_leader_and_six_at_a_follower(void **state)
{
	(void)state;
	for (uint32_t replicas = 3; replicas <= 7; replicas += 2) {
		test_begin_exact(replicas);
		const uint32_t leader = sim_leader_of(&test_sim);

		assert_int_not_equal(leader, SIM_NOBODY);
		for (uint32_t i = 0; i < replicas; i++)
			assert_int_equal(test_delays_of_a_write_at(i),
					 i == leader ? 4 : 6);
	}
}

static void
an_election_settles_in_four_round_trips_after_detection(void **state)
{
	(void)state;
	for (uint32_t replicas = 3; replicas <= 7; replicas += 2) {
		test_begin_exact(replicas);
		const uint32_t leader = sim_leader_of(&test_sim);
		uint64_t detected_us = SIM_NEVER;
		bool is_settled = false;

		sim_server_crash(&test_sim, &test_sim.server[leader], false);
		test_sim.server[leader].incarnation++; /* stays down */
		while (!is_settled) {
			sim_turn(&test_sim);
			is_settled = true;
			for (uint32_t i = 0; i < replicas; i++) {
				const struct zab_view *view =
					&test_sim.server[i].view;

				if (i == leader)
					continue;
				if (view->role == FLE_LOOKING &&
				    detected_us == SIM_NEVER)
					detected_us = test_sim.now_us;
				is_settled =
					is_settled &&
					view->role != FLE_LOOKING &&
					view->leader !=
						test_sim.server[leader].sid;
			}
		}
		assert_true(test_sim.now_us - detected_us <= 8 * TEST_DELAY_US);
	}
}

/* With the beacons that are the default, ticks of two seconds, until somebody
 * leads; who. */
static uint32_t
begin_with_beacons(uint32_t replicas)
{
	test_begin_exact(replicas);
	for (uint32_t i = 0; i < replicas; i++) {
		sim_server_crash(&test_sim, &test_sim.server[i], false);
		test_sim.server[i].incarnation++;
		test_sim.server[i].options.finalize_ms = 200;
		test_sim.server[i].options.notify_min_ms = 200;
		test_sim.server[i].options.notify_max_ms = 1600;
		test_sim.server[i].options.tick_ms = 2000;
		test_sim.server[i].options.dial_retry_ms = 100;
		test_sim.server[i].options.beacon_ms = 20;
		test_sim.server[i].options.beacon_lost_ms = 60;
		test_sim.limits.disk_us_min = 500;
		test_sim.limits.disk_us_max = 500;
		sim_server_start(&test_sim, &test_sim.server[i]);
	}
	sim_turn_until(&test_sim, test_sim.now_us + 5000000);
	assert_true(sim_check_is_calm(&test_sim));
	const uint32_t leader = sim_leader_of(&test_sim);

	assert_int_not_equal(leader, SIM_NOBODY);
	return leader;
}

/* Virtual ms from the moment the leader is gone until another one serves. */
static uint64_t
failover_ms(uint32_t replicas, bool is_frozen)
{
	const uint32_t leader = begin_with_beacons(replicas);
	const uint64_t gone_us = test_sim.now_us;

	if (is_frozen) {
		test_sim.server[leader].paused_until_us = gone_us + 10000000;
	} else {
		sim_server_crash(&test_sim, &test_sim.server[leader], false);
		test_sim.server[leader].incarnation++; /* stays down */
	}
	for (;;) {
		sim_turn(&test_sim);
		assert_true(test_sim.now_us < gone_us + 9000000);
		for (uint32_t i = 0; i < replicas; i++)
			if (i != leader && test_sim.server[i].is_serving &&
			    test_sim.server[i].view.role == FLE_LEADING)
				return (test_sim.now_us - gone_us) / 1000;
	}
}

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

static void
a_leader_that_is_busy_and_said_so_is_not_replaced(void **state)
{
	const uint32_t leader = begin_with_beacons(3);
	const uint64_t begun_us = test_sim.now_us;
	struct sim_server *server = &test_sim.server[leader];
	struct zab_event busy = {.type = ZAB_EV_BUSY, .busy_ms = 250};
	int64_t round[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		round[i] = test_sim.server[i].view.round;
	sim_server_step(&test_sim, server, &busy);
	server->paused_until_us = begun_us + 280000;
	sim_turn_until(&test_sim, begun_us + 1000000);
	assert_true(sim_check_is_calm(&test_sim));
	assert_int_equal(sim_leader_of(&test_sim), leader);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(test_sim.server[i].view.round, round[i]);
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
		cmocka_unit_test(
			a_leader_that_is_busy_and_said_so_is_not_replaced),
	};
	const char *only = getenv("FAL_SIM_ONLY");

	if (only)
		cmocka_set_test_filter(only);
	const int failed = cmocka_run_group_tests(tests, NULL, NULL) +
			   test_scenarios() + test_places();

	sim_free(&test_sim);
	return failed;
}
