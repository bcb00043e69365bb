/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: recovery never loses what txlog has called durable.
 *
 * Method: logs written by txlog on a disk in memory: cut at every byte of the
 * last two batches, each of their sectors blanked or flipped, every operation
 * of a recovery failing once. FAL_SEED, FAL_ROUNDS.
 */
#include "recover_testing.h"

#include "store/log_reader.h"
#include "store/txlog.h"

/* ---- logs of our own -------------------------------------------------------
 */

#define OWN_FIRST      0x700000001ull
#define OWN_COUNT      40u
#define BATCH          5u
#define WINDOW         (1u << 20)
#define OWN_FILE_BYTES 65536u

struct own {
	struct rt rt;
	uint64_t ends[OWN_COUNT]; /* where each record ends in the file */
	uint32_t lengths[OWN_COUNT];
};

/* setData of a node that is not there: any size, applies as an error. */
static uint32_t
make_entry(uint8_t *to, uint32_t data_bytes, uint64_t zxid)
{
	struct jute_writer writer = jute_writer_of(to, data_bytes + 100);
	const struct txn_header header = {.session_id = 1,
					  .cxid = 1,
					  .zxid = (int64_t)zxid,
					  .time_ms = 1700000000000,
					  .type = OP_SET_DATA};
	uint8_t *data;

	txn_put_header(&writer, &header);
	jute_put_cstr(&writer, "/none");
	jute_put_int(&writer, (int32_t)data_bytes);
	data = jute_claim(&writer, data_bytes);
	assert_non_null(data);
	/* Zeros inside, as real data has: whole sectors of them. */
	for (uint32_t i = 0; i < data_bytes; i++)
		data[i] = i / 700 % 2 == 0 ? (uint8_t)(zxid + i) : 0;
	jute_put_int(&writer, 1);
	return (uint32_t)jute_written(&writer);
}

/* As a crash leaves it: with the zeros that a clean end cuts off. */
static void
own_pad(struct own *own)
{
	char path[FILE_PATH_MAX];
	size_t bytes = 0;
	uint8_t *padded = calloc(1, OWN_FILE_BYTES);
	const uint8_t *log;

	assert_non_null(padded);
	assert_int_equal(file_path_log(path, RT_DIR, OWN_FIRST), 0);
	log = disk_mem_bytes(own->rt.mem, path, &bytes);
	assert_non_null(log);
	assert_int_equal(bytes, own->ends[OWN_COUNT - 1]);
	memcpy(padded, log, bytes);
	assert_int_equal(
		disk_mem_put(own->rt.mem, path, padded, OWN_FILE_BYTES), 0);
	free(padded);
}

static void
own_begin(struct own *own)
{
	static uint8_t entry[10000];
	struct txlog *log = NULL;
	const struct txlog_options options = {.dir = RT_DIR,
					      .window_bytes = WINDOW,
					      .prealloc_bytes = WINDOW / 32,
					      .entry_bytes_max = 8192,
					      .last_zxid = OWN_FIRST - 1};
	uint64_t end = LOG_FILE_HEADER_BYTES;

	rt_begin(&own->rt);
	rt_put(&own->rt, "txn-types/snapshot.0", "snapshot.0");
	assert_int_equal(
		txlog_create(disk_mem_disk(own->rt.mem), &options, &log), 0);
	for (uint32_t i = 0; i < OWN_COUNT; i++) {
		const uint32_t data_bytes = i % 7 == 3 ? 2100 : 20 + 13 * i;
		const uint32_t bytes =
			make_entry(entry, data_bytes, OWN_FIRST + i);

		assert_int_equal(txlog_append(log, entry, bytes, OWN_FIRST + i),
				 0);
		end += bytes + LOG_RECORD_OVERHEAD;
		own->ends[i] = end;
		own->lengths[i] = bytes;
		if (i % BATCH == BATCH - 1)
			while (txlog_poll(log))
				continue;
	}
	assert_int_equal(txlog_durable_zxid(log), OWN_FIRST + OWN_COUNT - 1);
	txlog_destroy(log);
	own_pad(own);
}

/* How many records end at or before `offset`. */
static uint32_t
own_whole(const struct own *own, uint64_t offset)
{
	uint32_t count = 0;

	while (count < OWN_COUNT && own->ends[count] <= offset)
		count++;
	return count;
}

/* A run on a changed copy; gives the outcome and what is left afterwards. */
static int
own_try(const struct own *own, struct disk_mem *changed, bool is_member,
	struct recover_outcome *outcome)
{
	struct rt rt = own->rt;
	struct recover_options options;
	int err;

	rt.mem = changed;
	options = rt_options(&rt);
	options.is_member = is_member;
	/* The log's epoch starts with 1, like any. */
	err = recover_run(disk_mem_disk(changed), &options, rt.tree, outcome);
	return err;
}

static uint8_t *
own_log(struct disk_mem *mem, size_t *bytes)
{
	char path[FILE_PATH_MAX];

	assert_int_equal(file_path_log(path, RT_DIR, OWN_FIRST), 0);
	return disk_mem_bytes(mem, path, bytes);
}

/* Power loss leaves the last two batches' file without an end: either the file
 * is short, or zeros follow. */
static void
a_log_cut_at_any_byte_of_the_last_two_batches_recovers(void **arg)
{
	static struct own own;
	uint64_t from;

	(void)arg;
	own_begin(&own);
	from = own.ends[OWN_COUNT - 2 * BATCH - 1];
	for (uint64_t at = from; at <= own.ends[OWN_COUNT - 1]; at++) {
		for (uint32_t is_short = 0; is_short < 2; is_short++) {
			struct disk_mem *copy = NULL;
			struct recover_outcome outcome;
			size_t bytes = 0;
			uint8_t *log;

			if (is_short == 1 && at % 5 != 0)
				continue;
			assert_int_equal(disk_mem_copy(own.rt.mem, 1, &copy),
					 0);
			log = own_log(copy, &bytes);
			if (is_short == 1) {
				char path[FILE_PATH_MAX];
				uint8_t *part = malloc((size_t)at);

				assert_non_null(part);
				memcpy(part, log, (size_t)at);
				assert_int_equal(
					file_path_log(path, RT_DIR, OWN_FIRST),
					0);
				assert_int_equal(disk_mem_put(copy, path, part,
							      (size_t)at),
						 0);
				free(part);
			} else {
				memset(log + at, 0, bytes - (size_t)at);
			}
			assert_int_equal(own_try(&own, copy, false, &outcome),
					 0);
			assert_int_equal(outcome.last_zxid,
					 OWN_FIRST - 1 + own_whole(&own, at));
			assert_int_equal(outcome.digests_different, 0);
			disk_mem_destroy(copy);
		}
	}
	rt_end(&own.rt);
}

/* Sectors of the last two batches that never reached the disk: whatever set of
 * them is missing, what lies before the first is kept. */
static void
any_missing_sectors_are_a_torn_tail(void **arg)
{
	static struct own own;
	const uint32_t rounds = testing_rounds("FAL_ROUNDS", 400);
	uint64_t first, last;

	(void)arg;
	own_begin(&own);
	first = own.ends[OWN_COUNT - 2 * BATCH - 1] / 512 + 1;
	last = own.ends[OWN_COUNT - 1] / 512;
	for (uint32_t round = 0; round < rounds; round++) {
		struct disk_mem *copy = NULL;
		struct recover_outcome outcome;
		size_t bytes = 0;
		uint64_t lost = UINT64_MAX;
		uint32_t whole;
		uint8_t *log;

		assert_int_equal(disk_mem_copy(own.rt.mem, 1, &copy), 0);
		log = own_log(copy, &bytes);
		for (uint64_t sector = first; sector <= last; sector++) {
			uint8_t *at = log + sector * 512;
			uint32_t used = 0;

			if (testing_below(3) != 0)
				continue;
			while (used < 512 && at[used] == 0)
				used++;
			if (used == 512)
				continue; /* was blank anyway */
			memset(at, 0, 512);
			if (sector * 512 + used < lost)
				lost = sector * 512 + used;
		}
		assert_int_equal(own_try(&own, copy, false, &outcome), 0);
		whole = lost == UINT64_MAX ? OWN_COUNT : own_whole(&own, lost);
		assert_int_equal(outcome.last_zxid, OWN_FIRST - 1 + whole);
		/* And it starts again. */
		assert_int_equal(own_try(&own, copy, false, &outcome), 0);
		assert_false(outcome.has_cut);
		disk_mem_destroy(copy);
	}
	rt_end(&own.rt);
}

/* A flipped bit is no torn sector: with good records behind it, it is damage;
 * in the last record it cannot be told from a tear. */
static void
a_flipped_sector_is_damage_unless_it_is_the_end(void **arg)
{
	static struct own own;

	(void)arg;
	own_begin(&own);
	for (uint64_t sector = 0; sector * 512 < own.ends[OWN_COUNT - 1];
	     sector++) {
		struct disk_mem *copy = NULL;
		struct recover_outcome outcome;
		const uint64_t at = sector * 512 + 17;
		size_t bytes = 0;
		uint32_t whole;
		uint8_t *log;
		int err;

		if (at >= own.ends[OWN_COUNT - 1])
			break;
		assert_int_equal(disk_mem_copy(own.rt.mem, 1, &copy), 0);
		log = own_log(copy, &bytes);
		log[at] ^= 0x40;
		whole = own_whole(&own, at);
		err = own_try(&own, copy, true, &outcome);
		assert_int_equal(err, 0);
		/* Before the first record there is the empty snapshot. */
		assert_int_equal(outcome.last_zxid,
				 whole == 0 ? 0 : OWN_FIRST - 1 + whole);
		/* A record with blank sectors of its own reads like a tear. */
		if (whole < OWN_COUNT - 1 && own.lengths[whole] < 1500)
			assert_true(outcome.is_damaged);
		if (whole == OWN_COUNT - 1)
			assert_true(outcome.has_cut && !outcome.is_damaged);
		disk_mem_destroy(copy);
	}
	rt_end(&own.rt);
}

/* What one unfinished write cannot have left. */
static void
bytes_further_than_one_write_behind_are_damage(void **arg)
{
	static const uint32_t distances[] = {4096, TXLOG_WRITE_BYTES_MAX - 1,
					     TXLOG_WRITE_BYTES_MAX};
	static struct own own;

	(void)arg;
	own_begin(&own);
	for (uint32_t i = 0; i < 3; i++) {
		const uint64_t bad = own.ends[OWN_COUNT - 2];
		const size_t bytes = 2 * TXLOG_WRITE_BYTES_MAX;
		struct disk_mem *copy = NULL;
		struct recover_outcome outcome;
		char path[FILE_PATH_MAX];
		uint8_t *long_log = calloc(1, bytes);
		size_t old_bytes = 0;

		assert_non_null(long_log);
		assert_int_equal(disk_mem_copy(own.rt.mem, 1, &copy), 0);
		memcpy(long_log, own_log(copy, &old_bytes), OWN_FILE_BYTES);
		long_log[bad + 20] ^= 1;
		long_log[bad + distances[i]] = 1;
		assert_int_equal(file_path_log(path, RT_DIR, OWN_FIRST), 0);
		assert_int_equal(disk_mem_put(copy, path, long_log, bytes), 0);
		assert_int_equal(own_try(&own, copy, true, &outcome), 0);
		assert_int_equal(outcome.last_zxid, OWN_FIRST + OWN_COUNT - 2);
		assert_int_equal(outcome.is_damaged, i == 2);
		assert_int_equal(outcome.has_cut, i < 2);
		free(long_log);
		disk_mem_destroy(copy);
	}
	rt_end(&own.rt);
}

/* The good record behind a lost sector may begin in its last four bytes, which
 * are zeros by right. */
static void
a_record_may_begin_at_the_end_of_a_lost_sector(void **arg)
{
	struct rt rt;
	struct log_file *file = NULL;
	struct log_record record;
	struct log_rest rest;
	uint8_t log[2048] = {'Z', 'K', 'L', 'G', 0, 0, 0, 2};
	size_t at = LOG_FILE_HEADER_BYTES;
	const uint32_t lengths[] = {400, 1024 - 2 - 16 - 413 - 13, 300};

	(void)arg;
	rt_begin(&rt);
	for (uint32_t i = 0; i < 3; i++) {
		testing_entry(log + at + 12, lengths[i], OWN_FIRST + i);
		be_store64(log + at,
			   checksum_adler32(1, log + at + 12, lengths[i]));
		be_store32(log + at + 8, lengths[i]);
		log[at + 12 + lengths[i]] = LOG_END_OF_RECORD;
		at += lengths[i] + LOG_RECORD_OVERHEAD;
	}
	/* The second sector is lost; the third record begins in it. */
	memset(log + 512, 0, 512);
	assert_int_equal(
		disk_mem_put(rt.mem, RT_DIR "/log.1", log, sizeof(log)), 0);
	assert_int_equal(log_file_open(disk_mem_disk(rt.mem), RT_DIR "/log.1",
				       65536, &file),
			 0);
	assert_int_equal(log_file_next(file, &record), 1);
	assert_int_equal(log_file_next(file, &record), 0);
	assert_int_equal(log_file_inspect(file, OWN_FIRST, &rest), 0);
	assert_true(rest.has_later);
	assert_int_equal(rest.later_offset, 1022);
	assert_int_equal(rest.later_zxid, OWN_FIRST + 2);
	assert_true(rest.has_blank_sector);
	assert_true(recover_is_torn(&rest, log_file_bad_bytes(file)));
	log_file_close(file);
	rt_end(&rt);
}

static void
after_a_clean_stop_a_shorter_log_is_damage(void **arg)
{
	static struct own own;
	struct disk_mem *copy = NULL;
	struct recover_outcome outcome;
	size_t bytes = 0;
	uint8_t *log;

	(void)arg;
	own_begin(&own);
	assert_int_equal(recover_note_clean_stop(disk_mem_disk(own.rt.mem),
						 RT_DIR,
						 OWN_FIRST + OWN_COUNT - 1),
			 0);
	assert_int_equal(disk_mem_copy(own.rt.mem, 1, &copy), 0);
	assert_int_equal(own_try(&own, copy, false, &outcome), 0);
	assert_true(outcome.was_clean_stop);
	/* The note is good for one start. */
	assert_int_equal(own_try(&own, copy, false, &outcome), 0);
	assert_false(outcome.was_clean_stop);
	disk_mem_destroy(copy);

	/* The same tail that is torn after a crash. */
	assert_int_equal(disk_mem_copy(own.rt.mem, 1, &copy), 0);
	log = own_log(copy, &bytes);
	memset(log + own.ends[OWN_COUNT - 2] + 5, 0, 4096);
	assert_int_equal(own_try(&own, copy, false, &outcome), FAL_ECORRUPT);
	assert_non_null(strstr(outcome.message, "stopped cleanly"));
	assert_int_equal(own_try(&own, copy, true, &outcome), 0);
	assert_true(outcome.is_damaged);
	/* It stays damaged until the note goes. */
	assert_int_equal(own_try(&own, copy, true, &outcome), 0);
	assert_true(outcome.is_damaged);
	assert_int_equal(recover_forget_clean_stop(disk_mem_disk(copy), RT_DIR),
			 0);
	assert_int_equal(own_try(&own, copy, true, &outcome), 0);
	assert_true(!outcome.is_damaged && outcome.has_cut);
	disk_mem_destroy(copy);

	/* Even an end that looks clean. */
	assert_int_equal(disk_mem_copy(own.rt.mem, 1, &copy), 0);
	log = own_log(copy, &bytes);
	memset(log + own.ends[OWN_COUNT - 2], 0, 4096);
	assert_int_equal(own_try(&own, copy, false, &outcome), FAL_ECORRUPT);
	disk_mem_destroy(copy);
	rt_end(&own.rt);
}

static void
a_note_of_an_older_stop_does_not_matter(void **arg)
{
	static struct own own;
	struct disk_mem *copy = NULL;
	struct recover_outcome outcome;
	size_t bytes = 0;
	uint8_t *log;

	(void)arg;
	own_begin(&own);
	/* Another server went on here after our clean stop, and crashed. */
	assert_int_equal(recover_note_clean_stop(disk_mem_disk(own.rt.mem),
						 RT_DIR, OWN_FIRST + 3),
			 0);
	assert_int_equal(disk_mem_copy(own.rt.mem, 1, &copy), 0);
	log = own_log(copy, &bytes);
	memset(log + own.ends[OWN_COUNT - 2] + 5, 0, 4096);
	assert_int_equal(own_try(&own, copy, false, &outcome), 0);
	assert_true(outcome.has_cut && !outcome.was_clean_stop);
	disk_mem_destroy(copy);
	rt_end(&own.rt);
}

static void
a_recovery_whose_operation_fails_can_be_repeated(void **arg)
{
	static struct own own;
	size_t bytes = 0;
	uint32_t failed = 0;
	uint8_t *log;

	(void)arg;
	own_begin(&own);
	assert_int_equal(recover_note_clean_stop(disk_mem_disk(own.rt.mem),
						 RT_DIR, OWN_FIRST),
			 0);
	log = own_log(own.rt.mem, &bytes);
	memset(log + own.ends[OWN_COUNT - 2] + 5, 0, 4096);
	for (uint64_t n = 0; n < 8; n++) {
		struct disk_mem *copy = NULL;
		struct recover_outcome outcome;
		int err;

		assert_int_equal(
			disk_mem_copy(own.rt.mem, testing_random(), &copy), 0);
		disk_mem_fail_at(copy, n, FAL_EIO, true);
		err = own_try(&own, copy, false, &outcome);
		failed += err != 0;
		disk_mem_crash(copy, DISK_MEM_BY_CHANCE);
		assert_int_equal(own_try(&own, copy, false, &outcome), 0);
		assert_int_equal(outcome.last_zxid, OWN_FIRST + OWN_COUNT - 2);
		disk_mem_destroy(copy);
	}
	/* Truncation, its sync, the directory; the marker and its directory. */
	assert_int_equal(failed, 5);
	rt_end(&own.rt);
}

/* Four billion writes are a day's work: zxids go on over the end of an epoch
 * (ZooKeeper alone does the same), and a start must not take it for a gap. */
static void
zxids_of_a_server_alone_go_on_over_an_epoch(void **arg)
{
	const uint64_t first = 0x7fffffff1ull, last = 0x80000000aull;
	const struct txlog_options own = {.dir = RT_DIR,
					  .window_bytes = WINDOW,
					  .prealloc_bytes = WINDOW / 32,
					  .entry_bytes_max = 8192,
					  .last_zxid = first - 1};
	struct recover_options options;
	struct txlog *log = NULL;
	uint8_t entry[256];
	struct rt rt;

	(void)arg;
	rt_begin(&rt);
	rt_put(&rt, "txn-types/snapshot.0", "snapshot.7fffffff0");
	assert_int_equal(txlog_create(disk_mem_disk(rt.mem), &own, &log), 0);
	for (uint64_t zxid = first; zxid <= last; zxid++)
		assert_int_equal(txlog_append(log, entry,
					      make_entry(entry, 40, zxid),
					      zxid),
				 0);
	while (txlog_poll(log))
		continue;
	txlog_destroy(log);
	options = rt_options(&rt);
	assert_int_equal(rt_run(&rt, &options), 0);
	assert_int_equal(rt.outcome.last_zxid, last);
	assert_int_equal(rt.outcome.replayed, last - first + 1);
	rt_end(&rt);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_log_cut_at_any_byte_of_the_last_two_batches_recovers),
		cmocka_unit_test(zxids_of_a_server_alone_go_on_over_an_epoch),
		cmocka_unit_test(any_missing_sectors_are_a_torn_tail),
		cmocka_unit_test(
			a_flipped_sector_is_damage_unless_it_is_the_end),
		cmocka_unit_test(
			bytes_further_than_one_write_behind_are_damage),
		cmocka_unit_test(
			a_record_may_begin_at_the_end_of_a_lost_sector),
		cmocka_unit_test(after_a_clean_stop_a_shorter_log_is_damage),
		cmocka_unit_test(a_note_of_an_older_stop_does_not_matter),
		cmocka_unit_test(
			a_recovery_whose_operation_fails_can_be_repeated),
	};

	testing_seed(0x9e3779b97f4a7c15);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
