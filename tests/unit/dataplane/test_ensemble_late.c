/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    COMMITs of a few transactions leave behind the reply to the leader's
 *         own client, once and in order; a burst's at once; none overtakes or
 * is overtaken on one connection, and none goes to a connection that ended.
 * Method  the file alone; the test plays what sends, and writes it down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/ensemble_int.h"

#define SENT_MAX 8u

static struct ensemble ensemble;
static struct zab_action sent[SENT_MAX];
static uint32_t sent_count;

void
ensemble_send(struct ensemble *sender, const struct zab_action *action)
{
	ensemble_late_overtaken(sender, action->slots);
	assert_true(sent_count < SENT_MAX);
	sent[sent_count++] = *action;
}

static int
setup(void **state)
{
	(void)state;
	memset(&ensemble, 0, sizeof(ensemble));
	sent_count = 0;
	return 0;
}

/* As the core's action is carried out. */
static void
act(int32_t packet, uint64_t slots, int64_t zxid, int64_t zxid_last)
{
	const struct zab_action action = {.packet = packet,
					  .slots = slots,
					  .zxid = zxid,
					  .zxid_last = zxid_last,
					  .count = 1};

	if (!ensemble_late_take(&ensemble, &action))
		ensemble_send(&ensemble, &action);
}

static void
assert_sent(uint32_t index, int32_t packet, uint64_t slots, int64_t zxid)
{
	assert_true(index < sent_count);
	assert_int_equal(sent[index].packet, packet);
	assert_int_equal(sent[index].slots, slots);
	assert_int_equal(sent[index].zxid, zxid);
}

static void
a_commit_waits_for_the_next_round(void **state)
{
	(void)state;
	act(QUORUM_COMMIT, 6, 1, 1);
	assert_int_equal(sent_count, 0);
	ensemble_late_send(&ensemble);
	assert_int_equal(sent_count, 1);
	assert_sent(0, QUORUM_COMMIT, 6, 1);
	ensemble_late_send(&ensemble);
	assert_int_equal(sent_count, 1);
}

static void
the_next_commit_comes_behind_it(void **state)
{
	(void)state;
	act(QUORUM_COMMIT, 6, 1, 2);
	act(QUORUM_COMMIT, 2, 3, 3);
	assert_int_equal(sent_count, 1);
	assert_sent(0, QUORUM_COMMIT, 6, 1);
	ensemble_late_send(&ensemble);
	assert_sent(1, QUORUM_COMMIT, 2, 3);
}

static void
a_burst_leaves_at_once_and_in_order(void **state)
{
	(void)state;
	act(QUORUM_COMMIT, 6, 1, 1);
	act(QUORUM_COMMIT, 6, 2, 40);
	assert_int_equal(sent_count, 2);
	assert_sent(0, QUORUM_COMMIT, 6, 1);
	assert_sent(1, QUORUM_COMMIT, 6, 2);
}

static void
other_packets_to_the_same_learner_come_behind_it(void **state)
{
	(void)state;
	act(QUORUM_COMMIT, 6, 1, 1);
	act(QUORUM_INFORM, 8, 1, 1); /* an observer, who has no COMMIT */
	assert_int_equal(sent_count, 1);
	act(QUORUM_PROPOSAL, 14, 2, 2);
	assert_int_equal(sent_count, 3);
	assert_sent(1, QUORUM_COMMIT, 6, 1);
	assert_sent(2, QUORUM_PROPOSAL, 14, 2);
}

static void
a_connection_that_ended_gets_none(void **state)
{
	(void)state;
	act(QUORUM_COMMIT, 6, 1, 1);
	ensemble_late_forget(&ensemble, 2);
	ensemble_late_send(&ensemble);
	assert_sent(0, QUORUM_COMMIT, 4, 1);
	act(QUORUM_COMMIT, 4, 2, 2);
	ensemble_late_forget(&ensemble, 4);
	ensemble_late_send(&ensemble);
	assert_int_equal(sent_count, 1);
}

/* Nobody's reply waits behind a COMMIT on a core without a reader. */
static void
zab_alone_on_its_core_sends_at_once(void **state)
{
	(void)state;
	ensemble.parts.owns_streams = true;
	act(QUORUM_COMMIT, 6, 1, 1);
	assert_int_equal(sent_count, 1);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_commit_waits_for_the_next_round),
		TEST(the_next_commit_comes_behind_it),
		TEST(a_burst_leaves_at_once_and_in_order),
		TEST(other_packets_to_the_same_learner_come_behind_it),
		TEST(a_connection_that_ended_gets_none),
		TEST(zab_alone_on_its_core_sends_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
