/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the three disks keep one contract, and the one in memory loses after a
 * crash exactly what was not synced.
 *
 * Method: the same cases on disk_posix(), io_uring and memory, in a temporary
 * directory; random log writes against a plain array. Crashes of the disk in
 * memory by chance, many times: every sector is the old or the new one, and
 * names settle in order. FAL_SEED sets the random numbers.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "drivers/disk_mem.h"

#define BLOCK       DISK_BLOCK_BYTES
#define FILE_BLOCKS 64u
#define PATH_BYTES  200

static uint64_t state;

static uint64_t
below(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 16) % n;
}

struct place {
	struct disk *disk;
	char dir[64];
};

static const char *
path_in(const struct place *place, const char *name)
{
	static char path[4][PATH_BYTES];
	static uint32_t next;
	char *to = path[next++ % 4];

	snprintf(to, PATH_BYTES, "%s/%s", place->dir, name);
	return to;
}

static void
put(const struct place *place, const char *name, const char *text)
{
	struct disk_file *file = NULL;

	assert_int_equal(disk_open(place->disk, path_in(place, name),
				   DISK_WRITE | DISK_CREATE | DISK_TRUNC,
				   &file),
			 0);
	assert_int_equal(disk_write(file, text, strlen(text), 0), 0);
	assert_int_equal(disk_sync(file), 0);
	disk_close(file);
}

static void
check(const struct place *place, const char *name, const char *text)
{
	struct disk_file *file = NULL;
	char got_text[100] = "";
	size_t got = 0;

	assert_int_equal(
		disk_open(place->disk, path_in(place, name), DISK_READ, &file),
		0);
	assert_int_equal(
		disk_read(file, got_text, sizeof(got_text) - 1, 0, &got), 0);
	assert_int_equal(got, strlen(text));
	assert_string_equal(got_text, text);
	disk_close(file);
}

static void
case_names(const struct place *place)
{
	struct disk *disk = place->disk;
	struct disk_file *file = NULL;
	struct disk_info info;

	assert_int_equal(disk_open(disk, path_in(place, "a"), DISK_READ, &file),
			 FAL_ENOENT);
	put(place, "a", "one");
	check(place, "a", "one");
	put(place, "a", "three");
	put(place, "b", "two");
	assert_int_equal(
		disk_rename(disk, path_in(place, "a"), path_in(place, "b")), 0);
	check(place, "b", "three");
	assert_int_equal(
		disk_rename(disk, path_in(place, "a"), path_in(place, "c")),
		FAL_ENOENT);
	assert_int_equal(disk_info(disk, path_in(place, "b"), &info), 0);
	assert_int_equal(info.bytes, 5);
	assert_false(info.is_dir);
	assert_int_equal(disk_mkdir(disk, path_in(place, "d")), 0);
	assert_int_equal(disk_mkdir(disk, path_in(place, "d")), FAL_EEXIST);
	assert_int_equal(disk_mkdir(disk, path_in(place, "x/y")), FAL_ENOENT);
	assert_int_equal(disk_info(disk, path_in(place, "d"), &info), 0);
	assert_true(info.is_dir);
	assert_int_equal(disk_sync_dir(disk, path_in(place, "d")), 0);
	assert_int_equal(disk_sync_dir(disk, path_in(place, "x")), FAL_ENOENT);
	assert_int_equal(disk_unlink(disk, path_in(place, "b")), 0);
	assert_int_equal(disk_unlink(disk, path_in(place, "b")), FAL_ENOENT);
}

static void
count_name(void *arg, const char *name)
{
	uint32_t *seen = arg;

	if (strcmp(name, "l1") == 0 || strcmp(name, "l2") == 0)
		*seen += 1;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		*seen += 100;
}

static void
case_list(const struct place *place)
{
	uint32_t seen = 0;

	put(place, "l1", "x");
	put(place, "l2", "x");
	assert_int_equal(disk_list(place->disk, place->dir, count_name, &seen),
			 0);
	assert_int_equal(seen, 2);
	assert_int_equal(
		disk_list(place->disk, path_in(place, "no"), count_name, &seen),
		FAL_ENOENT);
	assert_int_equal(disk_unlink(place->disk, path_in(place, "l1")), 0);
	assert_int_equal(disk_unlink(place->disk, path_in(place, "l2")), 0);
}

static void
case_lock(const struct place *place)
{
	struct disk_file *first = NULL;
	struct disk_file *second = NULL;

	assert_int_equal(disk_lock(place->disk, path_in(place, "lock"), &first),
			 0);
	assert_int_equal(
		disk_lock(place->disk, path_in(place, "lock"), &second),
		FAL_EBUSY);
	disk_close(first);
	assert_int_equal(
		disk_lock(place->disk, path_in(place, "lock"), &second), 0);
	disk_close(second);
	assert_int_equal(disk_unlink(place->disk, path_in(place, "lock")), 0);
}

static void
case_lengths(const struct place *place)
{
	struct disk_file *file = NULL;
	uint8_t bytes[10];
	uint64_t length = 0, free_bytes = 0;
	size_t got = 0;

	assert_int_equal(disk_open(place->disk, path_in(place, "f"),
				   DISK_WRITE | DISK_CREATE, &file),
			 0);
	assert_int_equal(disk_allocate(file, 0, 3 * BLOCK), 0);
	assert_int_equal(disk_file_bytes(file, &length), 0);
	assert_int_equal(length, 3 * BLOCK);
	assert_int_equal(
		disk_read(file, bytes, sizeof(bytes), 3 * BLOCK - 4, &got), 0);
	assert_int_equal(got, 4);
	assert_int_equal(bytes[0] | bytes[1] | bytes[2] | bytes[3], 0);
	assert_int_equal(disk_read(file, bytes, 4, 5 * BLOCK, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(disk_truncate(file, 7), 0);
	assert_int_equal(disk_file_bytes(file, &length), 0);
	assert_int_equal(length, 7);
	assert_int_equal(disk_truncate(file, 70), 0);
	assert_int_equal(disk_file_bytes(file, &length), 0);
	assert_int_equal(length, 70);
	disk_close(file);
	assert_int_equal(disk_free_bytes(place->disk, place->dir, &free_bytes),
			 0);
	assert_true(free_bytes > 0);
	assert_int_equal(disk_unlink(place->disk, path_in(place, "f")), 0);
}

/* Direct writes may end inside a block. */
static void
case_direct(const struct place *place)
{
	static _Alignas(DISK_BLOCK_BYTES) uint8_t data[3 * BLOCK];
	static uint8_t back[3 * BLOCK];
	const size_t bytes = 2 * BLOCK + 77;
	struct disk_file *file = NULL;
	size_t got = 0;

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(
		disk_open(place->disk, path_in(place, "s"),
			  DISK_WRITE | DISK_CREATE | DISK_TRUNC | DISK_DIRECT,
			  &file),
		0);
	assert_int_equal(disk_write(file, data, 2 * BLOCK, 0), 0);
	assert_int_equal(disk_write(file, data + 2 * BLOCK, 77, 2 * BLOCK), 0);
	assert_int_equal(disk_sync(file), 0);
	disk_close(file);
	assert_int_equal(
		disk_open(place->disk, path_in(place, "s"), DISK_READ, &file),
		0);
	assert_int_equal(disk_read(file, back, sizeof(back), 0, &got), 0);
	assert_int_equal(got, bytes);
	assert_memory_equal(back, data, bytes);
	disk_close(file);
	assert_int_equal(disk_unlink(place->disk, path_in(place, "s")), 0);
}

/* Random whole-block writes of one and two parts, against an array. */
static void
case_log_writes(const struct place *place, uint32_t extra_flags, bool is_pinned)
{
	static _Alignas(DISK_BLOCK_BYTES) uint8_t model[FILE_BLOCKS * BLOCK];
	static _Alignas(DISK_BLOCK_BYTES) uint8_t source[FILE_BLOCKS * BLOCK];
	static _Alignas(DISK_BLOCK_BYTES) uint8_t bounce[BLOCK];
	static uint8_t back[FILE_BLOCKS * BLOCK];
	const struct disk_part pinned[2] = {
		{.data = bounce, .bytes = sizeof(bounce)},
		{.data = source, .bytes = sizeof(source)}};
	struct disk_file *file = NULL;
	size_t got = 0;

	memset(model, 0, sizeof(model));
	disk_pin(place->disk, pinned, is_pinned ? 2 : 0);
	assert_int_equal(disk_open(place->disk, path_in(place, "log"),
				   DISK_LOG | DISK_CREATE | extra_flags, &file),
			 0);
	assert_int_equal(disk_allocate(file, 0, sizeof(model)), 0);
	for (uint32_t round = 0; round < 60; round++) {
		const size_t at = (size_t)below(FILE_BLOCKS - 8);
		const size_t blocks = (size_t)below(7);
		struct disk_part parts[2];
		uint32_t count = 0;
		int err;

		memset(source + at * BLOCK, (int)round + 1, blocks * BLOCK);
		memset(bounce, (int)round + 101, sizeof(bounce));
		if (blocks > 0)
			parts[count++] =
				(struct disk_part){.data = source + at * BLOCK,
						   .bytes = blocks * BLOCK};
		if (blocks == 0 || round % 2 == 0)
			parts[count++] = (struct disk_part){
				.data = bounce, .bytes = sizeof(bounce)};
		assert_int_equal(disk_submit(file, parts, count, at * BLOCK),
				 0);
		do
			err = disk_poll(file);
		while (err == FAL_EAGAIN);
		assert_int_equal(err, 0);
		memcpy(model + at * BLOCK, source + at * BLOCK, blocks * BLOCK);
		if (parts[count - 1].data == bounce)
			memcpy(model + (at + blocks) * BLOCK, bounce, BLOCK);
	}
	disk_close(file);
	assert_int_equal(
		disk_open(place->disk, path_in(place, "log"), DISK_READ, &file),
		0);
	assert_int_equal(disk_read(file, back, sizeof(back), 0, &got), 0);
	assert_int_equal(got, sizeof(back));
	assert_memory_equal(back, model, sizeof(model));
	disk_close(file);
	disk_pin(place->disk, NULL, 0);
	assert_int_equal(disk_unlink(place->disk, path_in(place, "log")), 0);
}

/* Stores and writes show in each other, and in what is read later. */
static void
case_map(const struct place *place)
{
	static _Alignas(DISK_BLOCK_BYTES) uint8_t source[BLOCK];
	static uint8_t model[FILE_BLOCKS * BLOCK], back[FILE_BLOCKS * BLOCK];
	const struct disk_part part = {.data = source, .bytes = BLOCK};
	struct disk_file *file = NULL;
	uint8_t *map = NULL;
	size_t got = 0;
	int err;

	memset(model, 0, sizeof(model));
	assert_int_equal(disk_open(place->disk, path_in(place, "log"),
				   DISK_LOG | DISK_CREATE | DISK_NOSYNC, &file),
			 0);
	assert_int_equal(disk_allocate(file, 0, sizeof(model)), 0);
	err = disk_map(file, sizeof(model), &map);
	if (err == FAL_ENOTSUP)
		print_message("             no maps on this file system\n");
	else
		assert_int_equal(err, 0);
	for (uint32_t block = 0; err == 0 && block < FILE_BLOCKS; block++) {
		uint8_t *at = map + block * BLOCK;

		assert_int_equal(disk_ready(file, at, BLOCK), 0);
		memset(source, (int)block + 1, sizeof(source));
		assert_int_equal(disk_submit(file, &part, 1, block * BLOCK), 0);
		while (disk_poll(file) == FAL_EAGAIN)
			continue;
		assert_memory_equal(at, source, BLOCK);
		memset(at + 100, (int)block + 101, 200);
		memcpy(model + block * BLOCK, at, BLOCK);
	}
	assert_int_equal(disk_read(file, back, sizeof(back), 0, &got), 0);
	assert_int_equal(got, sizeof(back));
	assert_memory_equal(back, model, sizeof(back));
	if (err == 0)
		disk_unmap(file, map, sizeof(model));
	disk_close(file);
	assert_int_equal(
		disk_open(place->disk, path_in(place, "log"), 0, &file), 0);
	assert_int_equal(disk_read(file, back, sizeof(back), 0, &got), 0);
	assert_memory_equal(back, model, sizeof(back));
	disk_close(file);
	assert_int_equal(disk_unlink(place->disk, path_in(place, "log")), 0);
}

static void
run_cases(const struct place *place)
{
	case_names(place);
	case_list(place);
	case_lock(place);
	case_lengths(place);
	case_direct(place);
	case_log_writes(place, 0, false);
	case_log_writes(place, DISK_NOSYNC, true);
	case_log_writes(place, 0, true);
	case_map(place);
}

static void
run_in_directory(struct disk *disk)
{
	struct place place = {.disk = disk, .dir = "test_disk.XXXXXX"};

	assert_non_null(mkdtemp(place.dir));
	run_cases(&place);
	assert_int_equal(rmdir(path_in(&place, "d")), 0);
	assert_int_equal(rmdir(place.dir), 0);
}

static void
the_plain_disk_keeps_the_contract(void **arg)
{
	(void)arg;
	run_in_directory(disk_posix());
}

/* It is said as what it is: a disk that cannot be read has other remedies. */
static void
want_of_descriptors_is_no_fault_of_the_disk(void **arg)
{
	struct disk_file *file = NULL;
	struct rlimit limit;

	(void)arg;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	const struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	const int err = disk_open(disk_posix(), "/dev/null", DISK_READ, &file);

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(err, FAL_ENFILE);
}

static void
io_uring_keeps_the_contract(void **arg)
{
	struct disk *disk = NULL;
	uint64_t ns = 0;
	const int err = disk_uring_create(&disk);

	(void)arg;
	if (err == FAL_ENOTSUP) {
		print_message("             io_uring is forbidden here\n");
		skip();
	}
	assert_int_equal(err, 0);
	run_in_directory(disk);
	assert_int_equal(disk_uring_submit_cost(disk, ".", 20, &ns), 0);
	assert_true(ns > 0);
	assert_int_equal(disk_uring_submit_cost(disk, "./nowhere", 20, &ns),
			 FAL_ENOENT);
	disk_uring_destroy(disk);
}

static struct disk_mem *
new_memory(struct place *place)
{
	struct disk_mem *mem = NULL;

	assert_int_equal(disk_mem_create(below(UINT64_MAX), &mem), 0);
	*place = (struct place){.disk = disk_mem_disk(mem), .dir = "/t"};
	assert_int_equal(disk_mkdir(place->disk, place->dir), 0);
	assert_int_equal(disk_sync_dir(place->disk, "/"), 0);
	return mem;
}

static void
the_disk_in_memory_keeps_the_contract(void **arg)
{
	struct place place;
	struct disk_mem *mem = new_memory(&place);

	(void)arg;
	run_cases(&place);
	disk_mem_slow(mem, 3);
	case_log_writes(&place, 0, false);
	disk_mem_destroy(mem);
}

/* ---- crashes of the disk in memory
 * -------------------------------------------- */

static void
unsynced_sectors_are_old_or_new_after_a_crash(void **arg)
{
	uint32_t old = 0, new = 0;

	(void)arg;
	for (uint32_t round = 0; round < 50; round++) {
		struct place place;
		struct disk_mem *mem = new_memory(&place);
		struct disk_file *file = NULL;
		uint8_t bytes[4 * DISK_MEM_SECTOR_BYTES];
		uint8_t *data;
		size_t length = 0;

		memset(bytes, 'a', sizeof(bytes));
		assert_int_equal(
			disk_mem_put(mem, "/t/f", bytes, sizeof(bytes)), 0);
		assert_int_equal(
			disk_open(place.disk, "/t/f", DISK_WRITE, &file), 0);
		memset(bytes, 'b', sizeof(bytes));
		assert_int_equal(disk_write(file, bytes, sizeof(bytes), 0), 0);
		disk_mem_crash(mem, DISK_MEM_BY_CHANCE);
		assert_int_equal(disk_sync(file), FAL_EIO);
		disk_close(file);
		data = disk_mem_bytes(mem, "/t/f", &length);
		assert_non_null(data);
		assert_int_equal(length, sizeof(bytes));
		for (size_t i = 0; i < length; i++) {
			assert_true(data[i] == 'a' || data[i] == 'b');
			assert_int_equal(data[i],
					 data[i / DISK_MEM_SECTOR_BYTES *
					      DISK_MEM_SECTOR_BYTES]);
			old += data[i] == 'a';
			new += data[i] == 'b';
		}
		disk_mem_destroy(mem);
	}
	assert_true(old > 0 && new > 0);
}

static void
synced_bytes_and_names_survive_and_others_do_not(void **arg)
{
	struct place place;
	struct disk_mem *mem = new_memory(&place);
	size_t bytes = 0;

	(void)arg;
	put(&place, "kept", "1");
	assert_int_equal(disk_sync_dir(place.disk, "/t"), 0);
	put(&place, "lost", "2");
	assert_int_equal(disk_rename(place.disk, "/t/kept", "/t/moved"), 0);
	disk_mem_crash(mem, DISK_MEM_LOSE_ALL);
	check(&place, "kept", "1");
	assert_null(disk_mem_bytes(mem, "/t/lost", &bytes));
	assert_null(disk_mem_bytes(mem, "/t/moved", &bytes));
	assert_int_equal(disk_rename(place.disk, "/t/kept", "/t/moved"), 0);
	disk_mem_crash(mem, DISK_MEM_KEEP_ALL);
	check(&place, "moved", "1");
	disk_mem_destroy(mem);
}

static void
names_settle_in_order(void **arg)
{
	uint32_t seen[4] = {0};

	(void)arg;
	for (uint32_t round = 0; round < 100; round++) {
		struct place place;
		struct disk_mem *mem = new_memory(&place);
		size_t bytes = 0;
		bool first, second, third;

		put(&place, "1", "x");
		put(&place, "2", "x");
		assert_int_equal(disk_rename(place.disk, "/t/2", "/t/3"), 0);
		disk_mem_crash(mem, DISK_MEM_BY_CHANCE);
		first = disk_mem_bytes(mem, "/t/1", &bytes) != NULL;
		second = disk_mem_bytes(mem, "/t/2", &bytes) != NULL;
		third = disk_mem_bytes(mem, "/t/3", &bytes) != NULL;
		/* Never both names of one file, never a later one alone. */
		assert_false(second && third);
		assert_true(first || !(second || third));
		seen[(first ? 1 : 0) + (second ? 1 : 0) + (third ? 2 : 0)]++;
		disk_mem_destroy(mem);
	}
	assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0 && seen[3] > 0);
}

static void
a_completed_log_write_survives_and_one_under_way_may_not(void **arg)
{
	static _Alignas(DISK_BLOCK_BYTES) uint8_t block[BLOCK];
	const struct disk_part part = {.data = block, .bytes = BLOCK};
	uint32_t lost = 0;

	(void)arg;
	memset(block, 'x', sizeof(block));
	for (uint32_t round = 0; round < 40; round++) {
		struct place place;
		struct disk_mem *mem = new_memory(&place);
		struct disk_file *file = NULL;
		uint8_t *data;
		size_t bytes = 0;

		assert_int_equal(disk_mem_put(mem, "/t/f", "", 0), 0);
		assert_int_equal(disk_open(place.disk, "/t/f", DISK_LOG, &file),
				 0);
		assert_int_equal(disk_submit(file, &part, 1, 0), 0);
		assert_int_equal(disk_poll(file), 0);
		disk_mem_slow(mem, 2);
		assert_int_equal(disk_submit(file, &part, 1, BLOCK), 0);
		assert_int_equal(disk_poll(file), FAL_EAGAIN);
		disk_mem_crash(mem, DISK_MEM_BY_CHANCE);
		assert_int_equal(disk_poll(file), FAL_EIO);
		disk_close(file);
		data = disk_mem_bytes(mem, "/t/f", &bytes);
		assert_non_null(data);
		assert_true(bytes >= BLOCK);
		assert_memory_equal(data, block, BLOCK);
		lost += bytes < 2 * BLOCK ||
			memcmp(data + BLOCK, block, BLOCK) != 0;
		disk_mem_destroy(mem);
	}
	assert_true(lost > 0);
}

static void
failures_come_when_they_were_ordered(void **arg)
{
	struct place place;
	struct disk_mem *mem = new_memory(&place);
	struct disk_file *file = NULL;

	(void)arg;
	assert_int_equal(disk_mem_put(mem, "/t/f", "", 0), 0);
	assert_int_equal(disk_open(place.disk, "/t/f", DISK_WRITE, &file), 0);
	disk_mem_fail_at(mem, 1, FAL_EIO, false);
	assert_int_equal(disk_write(file, "x", 1, 0), 0);
	assert_int_equal(disk_sync(file), FAL_EIO);
	assert_int_equal(disk_sync(file), 0);
	disk_mem_fail_at(mem, 0, FAL_ENOSPC, true);
	assert_int_equal(disk_write(file, "x", 1, 0), FAL_ENOSPC);
	assert_int_equal(disk_unlink(place.disk, "/t/f"), FAL_ENOSPC);
	disk_mem_fail_never(mem);
	disk_mem_space(mem, 10);
	assert_int_equal(disk_write(file, "0123456789ab", 12, 1), FAL_ENOSPC);
	assert_int_equal(disk_allocate(file, 0, 11), 0);
	assert_int_equal(disk_allocate(file, 0, 12), FAL_ENOSPC);
	disk_close(file);
	disk_mem_destroy(mem);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_plain_disk_keeps_the_contract),
		cmocka_unit_test(want_of_descriptors_is_no_fault_of_the_disk),
		cmocka_unit_test(io_uring_keeps_the_contract),
		cmocka_unit_test(the_disk_in_memory_keeps_the_contract),
		cmocka_unit_test(unsynced_sectors_are_old_or_new_after_a_crash),
		cmocka_unit_test(
			synced_bytes_and_names_survive_and_others_do_not),
		cmocka_unit_test(names_settle_in_order),
		cmocka_unit_test(
			a_completed_log_write_survives_and_one_under_way_may_not),
		cmocka_unit_test(failures_come_when_they_were_ordered),
	};
	const char *seed = getenv("FAL_SEED");

	state = seed != NULL ? strtoull(seed, NULL, 0) : 0x8ebc6af09c88c6e3;
	print_message("FAL_SEED=%llu\n", (unsigned long long)state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
