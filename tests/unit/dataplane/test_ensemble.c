/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    what stands around the consensus core keeps what the core promised:
 *         nothing that came too early, at the end of a role, or in the middle
 * of a synchronization stops it, is lost, or grows without end. Method  the
 * driver over connections in memory; the test is the other servers, the disk,
 * and the readers' turn.
 */
#include "ensemble_rig.h"

#define SESSION 0x0100000000000001ll

static int
nothing(void **state)
{
	(void)state;
	return 0;
}

/* ---- a leader ---------------------------------------------------------------
 */

/* The first configuration with a version is written into the tree before this
 * leader serves, and that needs the readers; its learners serve meanwhile. */
static void
a_request_that_comes_before_the_leader_serves_waits(void **state)
{
	const struct rig_wishes wishes = {.sid = 3, .has_reconfig = true};
	struct quorum_packet packet;
	uint32_t index;

	(void)state;
	begin(&wishes);
	index = lead();
	expect(index, QUORUM_UPTODATE, &packet);
	assert_int_equal(zab_member_mode(rig.zab), ZAB_CLOSED);
	says_create_session(index, SESSION, 5000);
	run_zab();
	assert_false(received(index, &packet) &&
		     packet.type == QUORUM_PROPOSAL);
	run();
	assert_int_equal(it.restored, 1);
	assert_int_equal(zab_member_mode(rig.zab), ZAB_LEADS);
	expect(index, QUORUM_PROPOSAL, &packet);
	assert_int_equal(packet.zxid, EPOCH_1 + 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, nothing, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_request_that_comes_before_the_leader_serves_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
