/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a learner tells its leader of every session that was heard, however
 *         many there are, in packets that no leader refuses.
 * Method  the driver over connections in memory; sessions are marks in a
 *         channel, as a reader leaves them.
 */
#include "ensemble_rig.h"

/* jute.maxbuffer and as much again: what a ZooKeeper takes by default. */
#define JAVA_BYTES_MAX 2097150
#define CROWD          180000u
#define FIRST_SESSION  0x0100000000000001ll

static struct channel crowd;

static int
set_up(void **state)
{
	const struct rig_wishes wishes = {.sid = 1};

	(void)state;
	begin(&wishes);
	return channel_init(&crowd, 0, 16, CROWD);
}

static int
tear_down(void **state)
{
	channel_destroy(&crowd);
	return end(state);
}

/* Clients are connected, and all of them said something. */
static void
crowd_is_heard(uint32_t count)
{
	rig.zab->parts.channel[0] = &crowd;
	for (uint32_t i = 0; i < count; i++) {
		atomic_store(&crowd.heard[i].session_id, FIRST_SESSION + i);
		atomic_store(&crowd.heard[i].timeout_ms, 5000);
		channel_touch(&crowd, i, rig.now_ms);
	}
}

/* Takes all PINGs to the leader: who is in them, each once. Returns how many
 * PINGs there were. */
static uint32_t
count_told(uint32_t index, int64_t zxid, uint32_t count)
{
	bool *is_told = calloc(count, sizeof(*is_told));
	struct quorum_packet packet;
	uint32_t pings = 0, told = 0;

	while (received(index, &packet)) {
		const int touches = quorum_packet_touch_count(packet.data);

		assert_int_equal(packet.type, QUORUM_PING);
		assert_true(packet.data.bytes <= JAVA_BYTES_MAX);
		/* An echo proves leadership, so there is one. */
		assert_int_equal(packet.zxid, pings++ == 0 ? zxid : -1);
		for (int i = 0; i < touches; i++) {
			const struct quorum_touch touch =
				quorum_packet_touch_at(packet.data,
						       (uint32_t)i);
			const uint64_t at =
				(uint64_t)(touch.session_id - FIRST_SESSION);

			assert_true(at < count);
			assert_false(is_told[at]);
			assert_int_equal(touch.timeout_ms, 5000);
			is_told[at] = true;
			told++;
		}
	}
	assert_int_equal(told, count);
	free(is_told);
	return pings;
}

static void
leader_pings(uint32_t index)
{
	says(index, QUORUM_PING, EPOCH_1);
	run_zab();
}

static void
more_sessions_than_one_packet_holds_are_told(void **state)
{
	const uint32_t index = follow();

	(void)state;
	crowd_is_heard(CROWD);
	leader_pings(index);
	assert_true(count_told(index, EPOCH_1, CROWD) > 1);
	/* Once. */
	leader_pings(index);
	assert_int_equal(count_told(index, EPOCH_1, 0), 1);
	rig.zab->parts.channel[0] = &rig.channel;
}

static void
a_few_sessions_are_one_packet(void **state)
{
	const uint32_t index = follow();

	(void)state;
	crowd_is_heard(3000);
	leader_pings(index);
	assert_int_equal(count_told(index, EPOCH_1, 3000), 1);
	rig.zab->parts.channel[0] = &rig.channel;
}

/* Else the last packet would say that it is busy no more. */
static void
all_of_them_say_that_it_is_busy(void **state)
{
	const uint32_t index = follow();
	const struct zab_action busy = {.type = ZAB_DO_SEND,
					.packet = QUORUM_PING,
					.slots = 1ull << ZAB_LEADER_SLOT,
					.zxid = -97,
					.zxid_last = -97,
					.count = 1};
	struct quorum_packet packet;
	uint32_t pings = 0;

	(void)state;
	crowd_is_heard(10000);
	ensemble_send(it.ensemble, &busy);
	while (received(index, &packet)) {
		assert_int_equal(packet.zxid, -97);
		pings++;
	}
	assert_int_equal(pings, 3);
	rig.zab->parts.channel[0] = &rig.channel;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(more_sessions_than_one_packet_holds_are_told),
		CASE(a_few_sessions_are_one_packet),
		CASE(all_of_them_say_that_it_is_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
