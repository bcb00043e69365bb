/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    what the protocol promises about disks that were emptied, leaders
 *         that are outdated and promises that are kept, in arranged scenes.
 * Method  servers are stopped, emptied, cut off and started by hand, at the
 *         place in virtual time where it would hurt.
 */
#include <string.h>

#include "test_sim.h"

static void
stop(uint32_t server)
{
	sim_server_crash(&test_sim, &test_sim.server[server], false);
	test_sim.server[server]
		.incarnation++; /* Nobody starts it but the test. */
}

static void
start_an_emptied_and_a_stale_one(void)
{
	const uint32_t stale = 0, emptied = 1, third = 2;

	stop(stale);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_true(test_delays_of_a_write_at(third) > 0);
	stop(emptied);
	stop(third);
	sim_server_forget(&test_sim, &test_sim.server[emptied]);
	sim_disk_wipe(&test_sim.server[emptied].disk);
	test_sim.server[emptied].disk.is_nonvoting = !test_sim.has_genesis;
	sim_server_start(&test_sim, &test_sim.server[emptied]);
	sim_server_start(&test_sim, &test_sim.server[stale]);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_false(test_sim.server[emptied].is_serving);
	assert_false(test_sim.server[stale].is_serving);
	assert_true(test_sim.server[emptied].view.is_nonvoting);
	sim_server_start(&test_sim, &test_sim.server[third]);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_true(sim_check_is_calm(&test_sim));
	assert_false(test_sim.server[emptied].view.is_nonvoting);
	sim_check_end(&test_sim);
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
		test_begin_asking(3, how > 0, how == 2);
		start_an_emptied_and_a_stale_one();
	}
}

/* The first boot of those who are there; who comes later joins. */
static void
two_of_three_found_and_the_third_joins(void **state)
{
	const struct sim_options options = test_options(1, 3, 0);

	(void)state;
	sim_init(&test_sim, &options);
	test_sim.has_genesis = true;
	sim_client_init(&test_sim);
	sim_server_start(&test_sim, &test_sim.server[1]);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_true(test_sim.server[1].view.is_nonvoting);
	sim_server_start(&test_sim, &test_sim.server[2]);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_true(test_sim.server[1].is_serving &&
		    test_sim.server[2].is_serving);
	assert_int_equal(test_sim.counters.founders, 2);
	sim_server_start(&test_sim, &test_sim.server[0]);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_true(test_sim.server[0].is_serving);
	assert_int_equal(test_sim.counters.founders, 2);
	assert_int_equal(test_sim.server[0].disk.genesis.is_member,
			 GENESIS_MEMBER);
	assert_memory_equal(test_sim.server[0].disk.genesis.id, test_sim.id,
			    GENESIS_ID_BYTES);
}

/*
 * One voter is emptied while nothing is decided; the others found, and commit,
 * before its own disk has written that it founds. It has forgotten nothing that
 * anybody relies on.
 */
static void
who_was_emptied_before_it_promised_founds_late(void **state)
{
	const struct sim_options options = test_options(1, 3, 0);
	const uint32_t emptied = 2, other = 1, last = 0;

	(void)state;
	sim_init(&test_sim, &options);
	test_sim.has_genesis = true;
	test_sim.is_genesis_all = true;
	sim_client_init(&test_sim);
	sim_server_start(&test_sim, &test_sim.server[emptied]);
	sim_server_start(&test_sim, &test_sim.server[other]);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_true(test_sim.server[emptied].disk.genesis.promised > 0);
	stop(emptied);
	sim_server_forget(&test_sim, &test_sim.server[emptied]);
	sim_disk_wipe(&test_sim.server[emptied].disk);
	test_sim.server[emptied].disk.is_nonvoting = false;
	sim_server_start(&test_sim, &test_sim.server[emptied]);
	sim_server_start(&test_sim, &test_sim.server[last]);
	while (!test_sim.server[emptied].genesis.is_founding)
		sim_turn(&test_sim);
	/* Its write ends when the others have committed. */
	test_sim.server[emptied].paused_until_us =
		test_sim.now_us + sim_bound_us(&test_sim);
	sim_turn_until(&test_sim,
		       test_sim.now_us + sim_bound_us(&test_sim) / 2);
	assert_true(test_sim.committed_count > 0);
	assert_true(test_sim.server[emptied].is_genesis_awaited);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_int_equal(test_sim.counters.founders, 3);
	assert_true(test_sim.server[emptied].is_serving);
	assert_false(test_sim.server[emptied].view.is_nonvoting);
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
	test_begin_exact(3);
	stop(shorter);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_int_equal(sim_leader_of(&test_sim), leader);
	sim_server_start(&test_sim, &test_sim.server[shorter]);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_true(test_sim.server[shorter].is_serving);
	stop(shorter);
	assert_true(test_delays_of_a_write_at(leader) > 0);
	for (uint32_t i = 0; i < shorter; i++)
		stop(i);
	for (uint32_t i = 0; i < 3; i++)
		sim_server_start(&test_sim, &test_sim.server[i]);
	while (sim_leader_of(&test_sim) == SIM_NOBODY) {
		sim_turn(&test_sim);
		assert_int_not_equal(test_sim.server[shorter].view.role,
				     FLE_LEADING);
	}
	assert_int_equal(sim_leader_of(&test_sim), leader);
}

/* Loses power and comes back at once, with or without its disk. */
static void
restart_silently(uint32_t index, bool is_emptied)
{
	struct sim_server *server = &test_sim.server[index];

	sim_server_crash(&test_sim, server, true);
	server->incarnation++;
	if (is_emptied) {
		sim_server_forget(&test_sim, server);
		sim_disk_wipe(&server->disk);
	}
	sim_server_start(&test_sim, server);
}

/* Tells a server that all others follow that leader, or vote for it. */
static void
tell(uint32_t to, uint32_t leader, bool leads)
{
	struct zab_event event = {
		.type = ZAB_EV_FLE,
		.notification = {.version = FLE_NOTIFICATION_VERSION,
				 .leader = test_sim.server[leader].sid,
				 .zxid = zab_zxid(SIM_LIE_EPOCH, 1),
				 .round = test_sim.server[to].view.round + 1,
				 .peer_epoch = SIM_LIE_EPOCH}};

	for (uint32_t from = 0; from < test_sim.count; from++) {
		if (from == to)
			continue;
		event.sid = test_sim.server[from].sid;
		if (leads)
			event.notification.state =
				from == leader ? FLE_LEADING : FLE_FOLLOWING;
		sim_server_step(&test_sim, &test_sim.server[to], &event);
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
	test_begin_exact(3);
	assert_int_equal(sim_leader_of(&test_sim), old);
	for (uint32_t i = 0; i < 2; i++) {
		test_sim.is_cut[old][i] = true;
		test_sim.is_cut[i][old] = true;
	}
	restart_silently(next, false);
	restart_silently(emptied, false);
	sim_turn_until(&test_sim, test_sim.now_us + 300000);
	assert_true(test_sim.server[old].is_serving);
	assert_true(test_sim.server[next].is_serving);
	assert_int_equal(test_sim.server[next].view.role, FLE_LEADING);
	assert_true(test_delays_of_a_write_at(next) > 0);
	/* Nor does it answer a sync now. */
	sim_client_connect(&test_sim, 1, old);
	const uint32_t sync = sim_client_invoke(&test_sim, 1, SIM_OP_SYNC);

	sim_turn_until(&test_sim, test_sim.now_us + 20 * TEST_DELAY_US);
	assert_false(test_sim.op[sync].is_acked);
	memset(test_sim.is_cut, 0, sizeof(test_sim.is_cut));
	for (uint32_t i = 0; i < 3; i++) {
		test_sim.is_cut[next][i] = i != next;
		test_sim.is_cut[i][next] = i != next;
	}
	restart_silently(emptied, true);
	tell(emptied, old, true);
	sim_client_connect(&test_sim, 0, old);
	sim_turn_until(&test_sim, test_sim.now_us + 50000);
	assert_true(test_sim.server[old].is_serving);
	assert_int_equal(test_sim.server[emptied].view.leader,
			 test_sim.server[old].sid);
	assert_false(test_sim.server[emptied].is_serving);
	const uint32_t op = sim_client_invoke(&test_sim, 0, SIM_OP_WRITE);

	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_false(test_sim.op[op].is_acked);
	assert_int_equal(sim_leader_of(&test_sim), SIM_NOBODY);
	memset(test_sim.is_cut, 0, sizeof(test_sim.is_cut));
	sim_net_pump_all(&test_sim);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_true(sim_check_is_calm(&test_sim));
	sim_check_end(&test_sim);
}

static void
cut_all_but(uint32_t a, uint32_t b)
{
	for (uint32_t i = 0; i < test_sim.count; i++)
		for (uint32_t j = 0; j < test_sim.count; j++)
			test_sim.is_cut[i][j] = i != j && !(i == a && j == b) &&
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
	const struct sim_options options = test_options(1, 3, 0);

	(void)state;
	sim_init(&test_sim, &options);
	test_sim.needs_both_ways = true;
	for (uint32_t i = 0; i < 3; i++)
		sim_server_start(&test_sim, &test_sim.server[i]);
	cut_all_but(first, voter);
	tell(first, first, false);
	tell(voter, first, false);
	while (test_sim.server[first].disk.accepted_epoch != 1)
		sim_turn(&test_sim);
	assert_int_equal(test_sim.server[voter].disk.accepted_epoch, 0);
	restart_silently(voter, false);
	cut_all_but(second, voter);
	tell(second, second, false);
	tell(voter, second, false);
	while (test_sim.server[second].disk.current_epoch != 1)
		sim_turn(&test_sim);
	assert_int_equal(test_sim.server[voter].disk.current_epoch, 0);
	restart_silently(voter, false);
	cut_all_but(first, voter);
	assert_int_equal(test_sim.server[first].view.role, FLE_LEADING);
	tell(voter, first, true);
	sim_turn_until(&test_sim,
		       test_sim.now_us + sim_bound_us(&test_sim) / 20);
	assert_int_not_equal(test_sim.epoch_leader[1], first + 1);
	memset(test_sim.is_cut, 0, sizeof(test_sim.is_cut));
	sim_net_pump_all(&test_sim);
	sim_turn_until(&test_sim, test_sim.now_us + sim_bound_us(&test_sim));
	assert_true(sim_check_is_calm(&test_sim));
}

/* Somebody who has a session and is attached to that server. */
static uint32_t
holder_at(uint32_t server)
{
	sim_holder_init(&test_sim);
	for (uint32_t i = 0; i < test_sim.count; i++)
		sim_session_begin_serving(&test_sim, &test_sim.server[i]);
	test_sim.has_faults = true; /* They begin sessions, and move. */
	for (;;) {
		sim_turn(&test_sim);
		for (uint32_t i = 0; i < SIM_HOLDERS_MAX; i++)
			if (test_sim.holder[i].is_attached &&
			    test_sim.holder[i].server == server)
				return i;
	}
}

/*
 * A client comes back by way of a learner, which is slow; it goes to the leader
 * instead, and then the leader hears that it is the learner's. Now the client
 * only pings, and nobody else speaks for its session.
 */
static void
a_client_that_pings_keeps_its_session(void **state)
{
	(void)state;
	test_begin_exact(3);
	const uint32_t leader = sim_leader_of(&test_sim);
	const uint32_t index = holder_at(leader);
	const struct sim_holder *holder = &test_sim.holder[index];
	const uint32_t held = holder->session;
	uint32_t slot = 0;

	test_sim.has_faults = false; /* They only ping. */
	test_sim.calm_us = test_sim.now_us;
	while (test_sim.server[leader].conn[slot] == 0)
		slot++;
	sim_session_packet(
		&test_sim, &test_sim.server[leader], slot,
		&(struct sim_message){.type = QUORUM_REVALIDATE,
				      .held = held,
				      .holder = index,
				      .connection = holder->connection - 1});
	sim_turn_until(&test_sim, test_sim.now_us + 4 * holder->timeout_us);
	assert_int_equal(holder->session, held);
	assert_true(holder->is_attached);
	assert_int_equal(test_sim.session[held - 1].closed_depth, 0);
}

int
test_scenarios(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_emptied_and_a_stale_server_are_no_quorum),
		cmocka_unit_test(two_of_three_found_and_the_third_joins),
		cmocka_unit_test(
			who_was_emptied_before_it_promised_founds_late),
		cmocka_unit_test(a_promise_is_given_once),
		cmocka_unit_test(the_longest_log_is_elected),
		cmocka_unit_test(
			an_emptied_server_does_not_help_an_outdated_leader),
		cmocka_unit_test(a_client_that_pings_keeps_its_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
