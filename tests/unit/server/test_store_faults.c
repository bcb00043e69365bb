/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever operation of the disk fails, and whenever the power goes, a
 * truncation or a leader's snapshot is either told as done and durable, or the
 * next start finds a state from which a leader can go on: the history before,
 * the one after, or a server that knows that it must not vote. Never a mixture,
 * never transactions that were taken back behind a snapshot that replaced them.
 *
 * Method: every n-th operation on a disk in memory fails, once or from then on;
 * then the power goes, and a fresh server starts on what is left. FAL_SEED.
 */

#include "store_rig.h"

#define CUT_ZXID   0x100000050ull
#define STALE_ZXID 0x300000009ull /* FULL's state under another name */
#define FAULTS_MAX 200u

/* What a start finds. */
struct found {
	int err;
	uint64_t zxid, digest;
	bool is_nonvoting;
};

static struct found
start_again(struct disk_mem *mem)
{
	struct restore_result result;
	struct found found;
	struct restore restore;
	struct rt rt;

	rt_begin(&rt);
	restore = rig_restore(&rt);
	restore.disk = disk_mem_disk(mem);
	found.err = restore_run(&restore, &result);
	found.zxid = result.outcome.last_zxid;
	found.digest = tree_published_digest(rt.tree);
	found.is_nonvoting = result.is_nonvoting;
	if (found.err == 0)
		assert_int_equal(result.history.last_zxid, found.zxid);
	rt_end(&rt);
	return found;
}

static enum disk_mem_fate
fate_of(uint32_t round)
{
	static const enum disk_mem_fate fates[] = {
		DISK_MEM_LOSE_ALL, DISK_MEM_KEEP_ALL, DISK_MEM_BY_CHANCE,
		DISK_MEM_BY_CHANCE};

	return fates[round % 4];
}

/* Waits for the event of the request; false: it failed. */
static bool
is_told(struct rig *rig, enum store_event_kind kind)
{
	for (uint32_t i = 0; i < RIG_ROUNDS; i++) {
		if (rig->port.next(rig->jobs, &rig->event) &&
		    rig->event.kind != STORE_FLOOR)
			break;
		rig_turn(rig);
	}
	if (rig->event.kind == STORE_FAILED) {
		assert_true(rig->event.err < 0);
		assert_true(strlen(rig->event.text) > 10);
		return false;
	}
	assert_int_equal(rig->event.kind, kind);
	return true;
}

static void
a_truncation_is_done_or_can_be_judged_again(void **arg)
{
	const uint64_t digest = rig_digest_at(FULL_DIR, CUT_ZXID);
	uint32_t failures = 0;

	(void)arg;
	for (uint32_t n = 0; n < FAULTS_MAX; n++) {
		struct found found;
		struct rig rig;
		bool is_done;

		rig_begin(&rig, FULL_DIR);
		rig_append(&rig, 3);
		disk_mem_fail_at(rig.rt.mem, n / 4, FAL_EIO, n % 2 == 0);
		rig.port.truncate(rig.jobs, CUT_ZXID);
		is_done = is_told(&rig, STORE_TRUNCATED);
		disk_mem_fail_never(rig.rt.mem);
		rig_stop(&rig);
		disk_mem_crash(rig.rt.mem, fate_of(n));
		found = start_again(rig.rt.mem);
		assert_int_equal(found.err, 0);
		assert_false(found.is_nonvoting);
		assert_true(found.zxid >= CUT_ZXID &&
			    found.zxid <= FULL_ZXID + 3);
		if (is_done)
			assert_int_equal(found.zxid, CUT_ZXID);
		if (found.zxid == CUT_ZXID)
			assert_int_equal(found.digest, digest);
		failures += !is_done;
		rig_end(&rig);
	}
	assert_true(failures > 10 && failures < FAULTS_MAX);
}

/* The bytes of a snapshot of the full directory; malloc'ed. */
static uint8_t *
snapshot_bytes(size_t *count)
{
	struct store_stream *stream;
	struct rig rig;
	uint8_t *bytes = NULL;
	int64_t zxid = 0;

	*count = 0;
	rig_begin(&rig, FULL_DIR);
	stream = rig.port.open_snapshot(rig.jobs, &zxid);
	while (stream->ops->state(stream) == 0) {
		const uint8_t *data = NULL;
		const uint32_t there = stream->ops->peek(stream, &data);

		if (there == 0) {
			rig_turn(&rig);
			continue;
		}
		bytes = realloc(bytes, *count + there);
		assert_non_null(bytes);
		memcpy(bytes + *count, data, there);
		*count += there;
		stream->ops->consume(stream, there);
	}
	assert_int_equal(stream->ops->state(stream), 1);
	stream->ops->close(stream);
	rig_end(&rig);
	return bytes;
}

/* Returns whether all was taken. */
static bool
push_all(struct rig *rig, const uint8_t *bytes, size_t count)
{
	bool is_end = false;
	size_t at = 0;

	while (at < count && !rig->port.has_event(rig->jobs)) {
		const int32_t taken = rig->port.install_push(
			rig->jobs, bytes + at, (uint32_t)(count - at), &is_end);

		assert_true(taken >= 0);
		at += (size_t)taken;
		rig_turn(rig);
	}
	return is_end;
}

/* The directory has a suffix that was given up, behind the snapshot's zxid and
 * before it: no trace of it may come back. */
static void
an_installation_is_done_or_leaves_what_was_there(void **arg)
{
	static const char *const dirs[] = {TRUNC_DIR, STALE_DIR};
	size_t count = 0;
	uint8_t *bytes = snapshot_bytes(&count);
	uint32_t failures = 0;

	(void)arg;
	for (uint32_t n = 0; n < FAULTS_MAX; n++) {
		/* Below and above what is there. */
		const int64_t zxid = n % 3 == 0 ? 0x100000004 : 0x500000000;
		uint64_t before, before_digest;
		struct found found;
		struct rig rig;
		bool is_done;

		rig_begin(&rig, dirs[n % 2]);
		before = (uint64_t)rig.last;
		before_digest = tree_published_digest(rig.rt.tree);
		disk_mem_fail_at(rig.rt.mem, n / 4, FAL_EIO, n % 5 != 0);
		rig.port.install_begin(rig.jobs, zxid);
		push_all(&rig, bytes, count);
		is_done = is_told(&rig, STORE_INSTALLED);
		disk_mem_fail_never(rig.rt.mem);
		rig_stop(&rig);
		disk_mem_crash(rig.rt.mem, fate_of(n));
		found = start_again(rig.rt.mem);
		assert_int_equal(found.err, 0);
		assert_false(found.is_nonvoting);
		if (is_done || found.zxid != before) {
			assert_int_equal(found.zxid, zxid);
			assert_int_equal(found.digest, FULL_DIGEST);
		} else {
			assert_int_equal(found.digest, before_digest);
		}
		failures += !is_done;
		rig_end(&rig);
	}
	assert_true(failures > 10 && failures < FAULTS_MAX);
	free(bytes);
}

/* A start that completes an installation may itself be interrupted. */
static void
an_interrupted_completion_is_completed(void **arg)
{
	size_t count = 0;
	uint8_t *bytes = snapshot_bytes(&count);
	uint32_t failures = 0;

	(void)arg;
	for (uint32_t n = 0; n < 30; n++) {
		struct found found;
		struct rig rig;
		uint64_t operations;

		rig_begin(&rig, TRUNC_DIR);
		operations = disk_mem_operations(rig.rt.mem);
		rig.port.install_begin(rig.jobs, 0x100000004);
		/* Everything behind the rename is lost. */
		for (uint32_t i = 0; i < 2; i++)
			rig_turn(&rig);
		push_all(&rig, bytes, count);
		assert_true(is_told(&rig, STORE_INSTALLED));
		assert_true(disk_mem_operations(rig.rt.mem) > operations);
		rig_stop(&rig);
		rt_put_dir(&rig.rt, TRUNC_DIR);
		assert_int_equal(retire_note(disk_mem_disk(rig.rt.mem), RT_DIR,
					     0x100000004),
				 0);
		disk_mem_fail_at(rig.rt.mem, n / 2, FAL_EIO, true);
		found = start_again(rig.rt.mem);
		failures += found.err != 0;
		disk_mem_fail_never(rig.rt.mem);
		disk_mem_crash(rig.rt.mem, fate_of(n));
		found = start_again(rig.rt.mem);
		assert_int_equal(found.err, 0);
		assert_int_equal(found.zxid, 0x100000004);
		assert_int_equal(found.digest, FULL_DIGEST);
		rig_end(&rig);
	}
	assert_true(failures > 5);
	free(bytes);
}

/* ---- what comes is no snapshot
 * -------------------------------------------------- */

/* Every byte of the form counts; what does not show in the form is found when
 * it is loaded, or makes another good snapshot. */
static void
a_damaged_snapshot_harms_nothing(void **arg)
{
	size_t count = 0;
	uint8_t *bytes = snapshot_bytes(&count);
	uint32_t refused = 0, malformed = 0;

	(void)arg;
	for (uint32_t round = 0; round < 60; round++) {
		const size_t at =
			(size_t)testing_below(round < 30 ? 400 : count);
		const uint8_t flip = (uint8_t)(1u << testing_below(8));
		struct rig rig;
		uint64_t digest;
		size_t pushed = 0;
		int32_t taken = 0;
		bool is_end = false;

		rig_begin(&rig, TRUNC_DIR);
		digest = tree_published_digest(rig.rt.tree);
		rig.port.install_begin(rig.jobs, 0x500000000);
		bytes[at] ^= flip;
		while (pushed < count && !is_end && taken >= 0) {
			taken = rig.port.install_push(
				rig.jobs, bytes + pushed,
				(uint32_t)(count - pushed), &is_end);
			pushed += taken > 0 ? (size_t)taken : 0;
			rig_turn(&rig);
		}
		bytes[at] ^= flip;
		if (is_end) {
			rig.event.kind = STORE_NOTHING;
			while (!rig.port.next(rig.jobs, &rig.event))
				rig_turn(&rig);
			refused += rig.event.kind == STORE_REFUSED;
		} else {
			malformed++;
		}
		if (!is_end || rig.event.kind == STORE_REFUSED) {
			rig.port.reload(rig.jobs);
			rig_expect_back(&rig, STORE_RELOADED, rig.last);
			assert_int_equal(tree_published_digest(rig.rt.tree),
					 digest);
			rig_append(&rig, 1);
			rig_check_restart(&rig, (uint64_t)rig.last, 0);
		}
		rig_end(&rig);
	}
	assert_true(refused > 0 && malformed > 0);
	free(bytes);
}

static void
a_full_disk_ends_an_installation(void **arg)
{
	size_t count = 0;
	uint8_t *bytes = snapshot_bytes(&count);
	struct rig rig;
	uint64_t digest;

	(void)arg;
	rig_begin(&rig, TRUNC_DIR);
	digest = tree_published_digest(rig.rt.tree);
	disk_mem_space(rig.rt.mem, 8192);
	rig.port.install_begin(rig.jobs, 0x500000000);
	push_all(&rig, bytes, count);
	assert_false(is_told(&rig, STORE_INSTALLED));
	assert_int_equal(rig.event.err, FAL_ENOSPC);
	rig_check_restart(&rig, (uint64_t)rig.last, digest);
	rig_end(&rig);
	free(bytes);
}

/* A reload overtakes an installation that was told, or nearly. */
static void
a_reload_overtakes_an_installation(void **arg)
{
	size_t count = 0;
	uint8_t *bytes = snapshot_bytes(&count);

	(void)arg;
	for (uint32_t turns = 0; turns < 8; turns++) {
		bool is_end = false;
		struct rig rig;

		rig_begin(&rig, TRUNC_DIR);
		rig.port.install_begin(rig.jobs, 0x500000000);
		while (!is_end)
			(void)rig.port.install_push(rig.jobs, bytes,
						    (uint32_t)count, &is_end);
		for (uint32_t i = 0; i < turns; i++)
			rig_turn(&rig);
		rig.port.reload(rig.jobs);
		rig_expect(&rig, STORE_RELOADED);
		assert_int_equal(rig.lent, 1);
		assert_int_equal(rig.taken_back, 1);
		assert_true(rig.event.disk.history->last_zxid == rig.last ||
			    rig.event.disk.history->last_zxid == 0x500000000);
		assert_false(rig.port.has_event(rig.jobs));
		rig_end(&rig);
	}
	free(bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_truncation_is_done_or_can_be_judged_again),
		cmocka_unit_test(
			an_installation_is_done_or_leaves_what_was_there),
		cmocka_unit_test(an_interrupted_completion_is_completed),
		cmocka_unit_test(a_damaged_snapshot_harms_nothing),
		cmocka_unit_test(a_full_disk_ends_an_installation),
		cmocka_unit_test(a_reload_overtakes_an_installation),
	};

	clock_init();
	rig_quiet();
	testing_seed(0xfa1175);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
