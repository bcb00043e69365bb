/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    what a leader gathers is stepped once, and only where one step says
 *         what all of them said: proposals in a row, ACKs of consecutive zxids
 *         of one follower; and it is stepped before anything else is.
 * Method  the file alone, around a core that the test plays: it hands zxids
 *         out, as many as it says, and writes down what it is stepped with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/ensemble_int.h"

#define EPOCH     7
#define STEPS_MAX 8u

static struct {
	int64_t next; /* counter of the next proposal */
	uint32_t room;
	uint32_t steps;
	struct zab_event step[STEPS_MAX];
} core;

static struct ensemble ensemble;

static int64_t
z(int64_t counter)
{
	return zab_zxid(EPOCH, counter);
}

/* ---- the core ------------------------------------------------------------ */

int64_t
zab_next_zxid(const struct zab_core *unused, const struct quorum *config)
{
	(void)unused;
	assert_null(config);
	return core.room > 0 ? z(core.next) : 0;
}

uint32_t
zab_proposals_max(const struct zab_core *unused)
{
	(void)unused;
	return core.room;
}

void
ensemble_step(struct ensemble *stepped, struct zab_event *event)
{
	if (!ensemble_burst_is_empty(stepped))
		ensemble_burst_step(stepped);
	assert_true(core.steps < STEPS_MAX);
	core.step[core.steps++] = *event;
	if (event->type != ZAB_EV_PROPOSE)
		return;
	assert_int_equal(event->zxid, z(core.next));
	assert_in_range(event->count, 1, core.room);
	core.next += event->count;
	core.room -= event->count;
}

/* ---- the tests ----------------------------------------------------------- */

static int
setup(void **state)
{
	(void)state;
	memset(&core, 0, sizeof(core));
	core.next = 1;
	core.room = 100;
	ensemble.role = FLE_LEADING;
	ensemble.burst = (struct ensemble_burst){.count = 0};
	return 0;
}

static void
propose(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		ensemble_burst_propose(&ensemble,
				       ensemble_burst_next_zxid(&ensemble));
}

static void
assert_proposed(uint32_t step, int64_t first, uint32_t count)
{
	assert_true(step < core.steps);
	assert_int_equal(core.step[step].type, ZAB_EV_PROPOSE);
	assert_int_equal(core.step[step].zxid, z(first));
	assert_int_equal(core.step[step].count, count);
}

static void
assert_acked(uint32_t step, uint32_t slot, int64_t counter)
{
	assert_true(step < core.steps);
	assert_int_equal(core.step[step].type, ZAB_EV_PACKET);
	assert_int_equal(core.step[step].packet, QUORUM_ACK);
	assert_int_equal(core.step[step].slot, slot);
	assert_int_equal(core.step[step].zxid, z(counter));
}

static void
proposals_of_a_round_are_one_step(void **state)
{
	(void)state;
	propose(5);
	assert_int_equal(core.steps, 0);
	ensemble_burst_step(&ensemble);
	assert_int_equal(core.steps, 1);
	assert_proposed(0, 1, 5);
	ensemble_burst_step(&ensemble);
	assert_int_equal(core.steps, 1);
	propose(1);
	ensemble_burst_step(&ensemble);
	assert_proposed(1, 6, 1);
}

static void
no_more_is_gathered_than_the_core_takes(void **state)
{
	(void)state;
	core.room = 3;
	propose(3);
	assert_int_equal(ensemble_burst_next_zxid(&ensemble), 0);
	ensemble_burst_step(&ensemble);
	assert_proposed(0, 1, 3);
	assert_int_equal(ensemble_burst_next_zxid(&ensemble), 0);
	core.room = 1;
	assert_int_equal(ensemble_burst_next_zxid(&ensemble), z(4));
}

static void
consecutive_acks_are_the_last_of_them(void **state)
{
	(void)state;
	for (int64_t counter = 1; counter <= 4; counter++)
		assert_true(ensemble_burst_ack(&ensemble, 2, z(counter)));
	assert_int_equal(core.steps, 0);
	ensemble_burst_step(&ensemble);
	assert_int_equal(core.steps, 1);
	assert_acked(0, 2, 4);
	assert_true(ensemble_burst_is_empty(&ensemble));
}

/* Another follower's, one that leaves out a zxid, one that comes again. */
static void
other_acks_are_steps_of_their_own(void **state)
{
	(void)state;
	assert_true(ensemble_burst_ack(&ensemble, 0, z(1)));
	assert_true(ensemble_burst_ack(&ensemble, 1, z(2)));
	assert_acked(0, 0, 1);
	assert_true(ensemble_burst_ack(&ensemble, 1, z(4)));
	assert_acked(1, 1, 2);
	assert_true(ensemble_burst_ack(&ensemble, 1, z(4)));
	assert_acked(2, 1, 4);
	ensemble_burst_step(&ensemble);
	assert_acked(3, 1, 4);
	assert_int_equal(core.steps, 4);
}

/* The one of NEWLEADER has the counter 0; of the next epoch it would even be
 * the next number. */
static void
acks_that_say_something_else_are_not_gathered(void **state)
{
	(void)state;
	assert_false(ensemble_burst_ack(&ensemble, 0, z(0)));
	assert_true(ensemble_burst_ack(&ensemble, 0, z(UINT32_MAX)));
	assert_false(ensemble_burst_ack(&ensemble, 0, zab_zxid(EPOCH + 1, 0)));
	ensemble.role = FLE_LOOKING;
	assert_false(ensemble_burst_ack(&ensemble, 0, z(1)));
}

static void
what_has_gathered_is_stepped_before_anything_else(void **state)
{
	struct zab_event durable = {.type = ZAB_EV_LOG_DURABLE, .zxid = z(2)};

	(void)state;
	propose(2);
	assert_true(ensemble_burst_ack(&ensemble, 3, z(1)));
	ensemble_step(&ensemble, &durable);
	assert_int_equal(core.steps, 3);
	assert_proposed(0, 1, 2);
	assert_acked(1, 3, 1);
	assert_int_equal(core.step[2].type, ZAB_EV_LOG_DURABLE);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(proposals_of_a_round_are_one_step),
		TEST(no_more_is_gathered_than_the_core_takes),
		TEST(consecutive_acks_are_the_last_of_them),
		TEST(other_acks_are_steps_of_their_own),
		TEST(acks_that_say_something_else_are_not_gathered),
		TEST(what_has_gathered_is_stepped_before_anything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
