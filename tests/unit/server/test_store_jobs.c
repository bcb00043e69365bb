/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a member of an ensemble asks of its disk is done as
 * dataplane/store_port.h says: histories are cut, snapshots and histories are
 * sent and taken in, and after a loss of power the disk holds what was told.
 *
 * Method: captured directories on a disk in memory behind the real tree, log
 * and jobs. The test is the ZAB core and, in turn, BG; no thread but FILES.
 * Bytes travel in pieces of random size. FAL_SEED sets the random numbers.
 */

#include "store_rig.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/config_file.h"

/* ---- histories are cut ------------------------------------------------------
 */

static void
a_truncation_ends_log_and_memory(void **arg)
{
	static const uint64_t targets[] = {0x10000007d, 0x100000070,
					   0x10000006f, 0x100000050,
					   0x100000001};

	(void)arg;
	for (uint32_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		const uint64_t digest = rig_digest_at(FULL_DIR, targets[i]);
		struct rig rig;

		rig_begin(&rig, FULL_DIR);
		rig.port.truncate(rig.jobs, (int64_t)targets[i]);
		rig_expect_back(&rig, STORE_TRUNCATED, (int64_t)targets[i]);
		assert_int_equal(rig.event.zxid, targets[i]);
		assert_int_equal(tree_published_digest(rig.rt.tree), digest);
		rig_append(&rig, 3);
		rig_check_restart(&rig, targets[i] + 3, 0);
		rig_end(&rig);
	}
}

static void
what_was_appended_since_the_start_is_cut_too(void **arg)
{
	struct rig rig;

	(void)arg;
	rig_begin(&rig, FULL_DIR);
	rig_append(&rig, 20);
	rig.port.truncate(rig.jobs, FULL_ZXID + 5);
	rig_expect_back(&rig, STORE_TRUNCATED, FULL_ZXID + 5);
	rig_append(&rig, 4);
	rig.port.truncate(rig.jobs, FULL_ZXID);
	rig_expect_back(&rig, STORE_TRUNCATED, FULL_ZXID);
	rig_check_restart(&rig, FULL_ZXID, FULL_DIGEST);
	rig_end(&rig);
}

/* hazard H1: /gone0 is in the snapshot above the cut. */
static void
a_newer_snapshot_does_not_bring_back_what_was_cut(void **arg)
{
	struct rig rig;
	struct tree_path gone;

	(void)arg;
	rig_begin(&rig, TRUNC_DIR);
	gone = tree_path_of(rig.rt.tree, "/gone0", 6);
	assert_non_null(tree_find(rig.rt.tree, gone));
	rig.port.truncate(rig.jobs, 0x100000002);
	rig_expect_back(&rig, STORE_TRUNCATED, 0x100000002);
	assert_null(tree_find(rig.rt.tree, gone));
	rig_check_restart(&rig, 0x100000002, 0);
	rig_end(&rig);
}

static void
what_is_not_in_the_log_cannot_be_cut(void **arg)
{
	struct rig rig;

	(void)arg;
	rig_begin(&rig, FULL_DIR);
	rig.port.truncate(rig.jobs, 0x90);
	rig_expect(&rig, STORE_FAILED);
	assert_int_equal(rig.event.err, FAL_ENOENT);
	rig_check_restart(&rig, FULL_ZXID, FULL_DIGEST);
	rig_end(&rig);
}

/* ---- snapshots
 * ---------------------------------------------------------------- */

/* What ends the stream of a snapshot in the leader's connection: packets that
 * nobody may touch. */
static const uint8_t behind[] = {0, 0, 0, 10, 'B', 'e', 'n', 'W',
				 0, 0, 0, 1,  '/', 0,   0,   2};

/* Carries up to `bytes_max` from a stream into an installation, in pieces of
 * any size; returns how many, *is_end: the installation saw the end. */
static uint64_t
pump(struct rig *from, struct store_stream *stream, struct rig *to,
     uint64_t bytes_max, bool *is_end)
{
	uint64_t moved = 0;

	*is_end = false;
	for (uint32_t i = 0; i < RIG_ROUNDS && moved < bytes_max && !*is_end;
	     i++) {
		const uint8_t *data = NULL;
		uint32_t bytes = stream->ops->peek(stream, &data);
		int32_t taken;

		if (bytes == 0) {
			rig_turn(from);
			continue;
		}
		if (bytes > 1)
			bytes = 1 + (uint32_t)testing_below(bytes);
		taken = to->port.install_push(to->jobs, data, bytes, is_end);
		assert_true(taken >= 0);
		if (taken == 0)
			rig_turn(to);
		stream->ops->consume(stream, (uint32_t)taken);
		moved += (uint64_t)taken;
	}
	return moved;
}

static void
a_snapshot_goes_from_one_server_to_another(void **arg)
{
	static const char *const dirs[] = {NULL, TRUNC_DIR, STALE_DIR};

	(void)arg;
	for (uint32_t round = 0; round < 9; round++) {
		struct store_stream *stream;
		struct rig from, to;
		int64_t zxid = 0;
		bool is_end = false;

		rig_begin(&from, FULL_DIR);
		rig_begin(&to, dirs[round % 3]);
		stream = from.port.open_snapshot(from.jobs, &zxid);
		assert_non_null(stream);
		assert_int_equal(zxid, FULL_ZXID);
		to.port.install_begin(to.jobs, zxid);
		pump(&from, stream, &to, UINT64_MAX, &is_end);
		assert_true(is_end);
		assert_int_equal(stream->ops->state(stream), 1);
		assert_int_equal(to.port.install_push(to.jobs, behind,
						      sizeof(behind), &is_end),
				 0);
		stream->ops->close(stream);
		rig_expect_back(&to, STORE_INSTALLED, zxid);
		assert_int_equal(to.event.disk.history->floor_zxid, zxid);
		assert_int_equal(tree_published_digest(to.rt.tree),
				 FULL_DIGEST);
		assert_int_equal(session_count(to.rt.sessions), 3);
		if (round >= 3)
			rig_append(&to, 2);
		rig_check_restart(&to, (uint64_t)to.last,
				  round >= 3 ? 0 : FULL_DIGEST);
		rig_end(&to);
		rig_end(&from);
	}
}

/* A disk that holds the data twice is enough: what the last snapshot of a
 * leader put aside goes before the next one comes. */
static void
what_went_aside_before_makes_room(void **arg)
{
	static const uint8_t old[256u << 10] = {1};
	struct store_stream *stream;
	struct rig from, to;
	struct disk_info info;
	int64_t zxid = 0;
	bool is_end = false;

	(void)arg;
	rig_begin(&from, FULL_DIR);
	rig_begin(&to, TRUNC_DIR);
	assert_int_equal(disk_mem_put(to.rt.mem,
				      RT_DIR "/" RETIRE_PREFIX "log.1", old,
				      sizeof(old)),
			 0);
	disk_mem_space(to.rt.mem, 4096);
	stream = from.port.open_snapshot(from.jobs, &zxid);
	assert_non_null(stream);
	to.port.install_begin(to.jobs, zxid);
	pump(&from, stream, &to, UINT64_MAX, &is_end);
	assert_true(is_end);
	stream->ops->close(stream);
	rig_expect_back(&to, STORE_INSTALLED, zxid);
	assert_int_equal(disk_info(disk_mem_disk(to.rt.mem),
				   RT_DIR "/" RETIRE_PREFIX "log.1", &info),
			 FAL_ENOENT);
	rig_end(&to);
	rig_end(&from);
}

static void
a_snapshot_that_stops_early_is_forgotten(void **arg)
{
	(void)arg;
	for (uint32_t round = 0; round < 5; round++) {
		struct store_stream *stream;
		struct rig from, to;
		uint64_t digest;
		int64_t zxid = 0;
		bool is_end = false;

		rig_begin(&from, FULL_DIR);
		rig_begin(&to, TRUNC_DIR);
		digest = tree_published_digest(to.rt.tree);
		stream = from.port.open_snapshot(from.jobs, &zxid);
		to.port.install_begin(to.jobs, zxid);
		pump(&from, stream, &to, testing_below(20000), &is_end);
		assert_false(is_end);
		stream->ops->close(stream);
		to.port.reload(to.jobs);
		rig_expect_back(&to, STORE_RELOADED, to.last);
		assert_int_equal(tree_published_digest(to.rt.tree), digest);
		rig_append(&to, 2);
		rig_check_restart(&to, (uint64_t)to.last, 0);
		rig_end(&to);
		rig_end(&from);
	}
}

/* store_rig.h allows three, as leader.maxConcurrentSnapSyncs would. */
static void
no_more_snapshots_are_sent_at_once_than_allowed(void **arg)
{
	struct store_stream *stream[3];
	struct rig from;
	int64_t zxid = 0;

	(void)arg;
	rig_begin(&from, FULL_DIR);
	for (uint32_t i = 0; i < 3; i++) {
		stream[i] = from.port.open_snapshot(from.jobs, &zxid);
		assert_non_null(stream[i]);
	}
	assert_null(from.port.open_snapshot(from.jobs, &zxid));
	stream[1]->ops->close(stream[1]);
	stream[1] = NULL;
	for (uint32_t i = 0; i < 100 && stream[1] == NULL; i++) {
		rig_turn(&from);
		stream[1] = from.port.open_snapshot(from.jobs, &zxid);
	}
	assert_non_null(stream[1]);
	assert_null(from.port.open_snapshot(from.jobs, &zxid));
	for (uint32_t i = 0; i < 3; i++)
		stream[i]->ops->close(stream[i]);
	rig_end(&from);
}

/* ---- histories are sent
 * -------------------------------------------------------- */

/* Reads a stream to its end; packets go to `bytes` (malloc'ed). */
static int
drain_stream(struct rig *rig, struct store_stream *stream, uint8_t **bytes,
	     size_t *count)
{
	*bytes = NULL;
	*count = 0;
	for (uint32_t i = 0; i < RIG_ROUNDS; i++) {
		const uint8_t *data = NULL;
		const uint32_t there = stream->ops->peek(stream, &data);
		const uint32_t some =
			there == 0 ? 0 : 1 + (uint32_t)testing_below(there);

		if (there == 0 && stream->ops->state(stream) != 0)
			return stream->ops->state(stream);
		if (there == 0) {
			rig_turn(rig);
			continue;
		}
		*bytes = realloc(*bytes, *count + some);
		assert_non_null(*bytes);
		memcpy(*bytes + *count, data, some);
		*count += some;
		stream->ops->consume(stream, some);
	}
	return 0;
}

/* PROPOSAL and COMMIT of every transaction in (after, last], as in the log. */
static void
check_packets(const uint8_t *bytes, size_t count, int64_t after, int64_t last)
{
	size_t at = 0;

	for (int64_t zxid = after + 1; zxid <= last; zxid++) {
		for (uint32_t half = 0; half < 2; half++) {
			struct quorum_packet packet;
			struct txn_entry entry;
			size_t used = 0;

			assert_int_equal(quorum_packet_get(bytes + at,
							   count - at, 1 << 20,
							   &packet, &used),
					 1);
			at += used;
			assert_int_equal(packet.zxid, zxid);
			assert_int_equal(packet.type, half == 0
							      ? QUORUM_PROPOSAL
							      : QUORUM_COMMIT);
			if (half == 1)
				continue;
			assert_true(txn_get_entry(packet.data.data,
						  (uint32_t)packet.data.bytes,
						  &entry) >= 0);
			assert_int_equal(entry.header.zxid, zxid);
		}
	}
	assert_int_equal(at, count);
}

static void
check_history(struct rig *rig, int64_t after, int64_t last)
{
	struct store_stream *stream =
		rig->port.open_history(rig->jobs, after, last);
	uint8_t *bytes = NULL;
	size_t count = 0;

	assert_non_null(stream);
	assert_int_equal(drain_stream(rig, stream, &bytes, &count), 1);
	check_packets(bytes, count, after, last);
	stream->ops->close(stream);
	free(bytes);
}

static void
a_history_comes_from_files_and_window(void **arg)
{
	(void)arg;
	for (uint32_t round = 0; round < 20; round++) {
		const int64_t after = 0x100000000 + (int64_t)testing_below(126);
		struct rig rig;

		rig_begin(&rig, FULL_DIR);
		assert_int_equal(rig.found.history.row_count, 1);
		assert_int_equal(rig.found.history.row[0].first_zxid,
				 0x100000001);
		rig_append(&rig, 1 + (uint32_t)testing_below(40));
		check_history(&rig, after, rig.last);
		check_history(&rig, rig.last - 1, rig.last);
		check_history(&rig, after, FULL_ZXID);
		/* More than the window holds. */
		rig_append(&rig, 20000);
		check_history(&rig, rig.last - 19990, rig.last);
		rig_end(&rig);
	}
}

static void
a_missing_file_is_told_and_not_passed_over(void **arg)
{
	struct rig rig;
	struct store_stream *stream;
	uint8_t *bytes = NULL;
	size_t count = 0;

	(void)arg;
	rig_begin(&rig, FULL_DIR);
	assert_int_equal(
		disk_unlink(disk_mem_disk(rig.rt.mem), RT_DIR "/log.100000049"),
		0);
	stream = rig.port.open_history(rig.jobs, 0x100000010, rig.last);
	assert_true(drain_stream(&rig, stream, &bytes, &count) < 0);
	stream->ops->close(stream);
	free(bytes);
	rig_expect(&rig, STORE_FLOOR);
	assert_true(rig.event.zxid >= 0x100000048);
	assert_true(rig.event.zxid < 0x100000071);
	rig_end(&rig);
}

/* ---- small files
 * ----------------------------------------------------------------- */

static void
epochs_are_durable_when_told(void **arg)
{
	static const char *const names[] = {EPOCH_FILE_ACCEPTED,
					    EPOCH_FILE_CURRENT};
	struct rig rig;

	(void)arg;
	rig_begin(&rig, FULL_DIR);
	for (uint32_t i = 0; i < 2; i++) {
		rig.port.persist_epoch(rig.jobs, i == 1, 7 - (int64_t)i);
		rig_expect(&rig, STORE_EPOCH);
		assert_int_equal(rig.event.epoch, 7 - i);
		assert_int_equal(rig.event.is_current, i == 1);
	}
	rig_stop(&rig);
	disk_mem_crash(rig.rt.mem, DISK_MEM_LOSE_ALL);
	for (uint32_t i = 0; i < 2; i++) {
		int64_t value = 0;

		assert_int_equal(epoch_file_read(disk_mem_disk(rig.rt.mem),
						 RT_DIR, names[i], &value),
				 0);
		assert_int_equal(value, 7 - i);
	}
	rig_end(&rig);
}

/* The disk has a pause, and others name one configuration after the other. */
static void
configurations_may_come_faster_than_they_are_written(void **arg)
{
	enum { LAST = 300 };
	static char text[256];
	char version[32];
	struct rig rig;
	int64_t found = 0;

	(void)arg;
	rig_begin(&rig, FULL_DIR);
	for (int64_t i = 1; i <= LAST; i++) {
		snprintf(version, sizeof(version), "version=%" PRIx64,
			 (uint64_t)i);
		rig.port.persist_config(rig.jobs, i, version,
					(uint32_t)strlen(version));
		if (i % 7 == 0)
			rig.port.persist_config(rig.jobs, 0, NULL, 0);
	}
	rig.port.persist_epoch(rig.jobs, false, 7);
	do
		rig_expect(&rig, STORE_CONFIG);
	while (rig.event.zxid != LAST);
	rig_expect(&rig, STORE_EPOCH);
	assert_int_equal(config_file_read_next(disk_mem_disk(rig.rt.mem),
					       RIG_CONFIG, text,
					       sizeof(text) - 1, &found),
			 0);
	assert_int_equal(found, LAST);
	rig_end(&rig);
}

/* The folder of zoo.cfg is read-only, as in a container: the log has it, too.
 */
static void
a_folder_that_cannot_be_written_stops_no_reconfiguration(void **arg)
{
	const char *text = "server.1=a:1:2\nversion=5";
	struct rig rig;

	(void)arg;
	rig_begin(&rig, FULL_DIR);
	disk_mem_fail_at(rig.rt.mem, 0, FAL_EACCESS, true);
	rig.port.persist_config(rig.jobs, 5, text, (uint32_t)strlen(text));
	rig_expect(&rig, STORE_CONFIG);
	assert_int_equal(rig.event.zxid, 5);
	rig.port.persist_config(rig.jobs, 0, NULL, 0);
	rig.port.persist_config(rig.jobs, 6, text, (uint32_t)strlen(text));
	rig_expect(&rig, STORE_CONFIG);
	assert_int_equal(rig.event.zxid, 6);
	disk_mem_fail_never(rig.rt.mem);
	rig_end(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_truncation_ends_log_and_memory),
		cmocka_unit_test(what_was_appended_since_the_start_is_cut_too),
		cmocka_unit_test(
			a_newer_snapshot_does_not_bring_back_what_was_cut),
		cmocka_unit_test(what_is_not_in_the_log_cannot_be_cut),
		cmocka_unit_test(a_snapshot_goes_from_one_server_to_another),
		cmocka_unit_test(what_went_aside_before_makes_room),
		cmocka_unit_test(a_snapshot_that_stops_early_is_forgotten),
		cmocka_unit_test(
			no_more_snapshots_are_sent_at_once_than_allowed),
		cmocka_unit_test(a_history_comes_from_files_and_window),
		cmocka_unit_test(a_missing_file_is_told_and_not_passed_over),
		cmocka_unit_test(epochs_are_durable_when_told),
		cmocka_unit_test(
			configurations_may_come_faster_than_they_are_written),
		cmocka_unit_test(
			a_folder_that_cannot_be_written_stops_no_reconfiguration),
	};

	clock_init();
	rig_quiet();
	testing_seed(0x5704e);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
