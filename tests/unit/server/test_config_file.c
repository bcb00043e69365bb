/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a configuration that changes leaves the files that ZooKeeper would
 * leave, zoo.cfg keeps what an operator wrote, and no crash leaves zoo.cfg
 * naming a file that is not there.
 *
 * Method: files on a disk in memory, compared as text; each operation failing,
 * then power loss.
 */

#include "store_testing.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/config_file.h"
#include "server/properties.h"
#include "store/small_file.h"

#define DIR_PATH "/etc"
#define ZOO      "/etc/zoo.cfg"
#define TEXT_MAX 4096u

static const char members[] = "server.2=b:2888:3888:participant;0.0.0.0:2182\n"
			      "server.1=a:2888:3888:participant\n"
			      "server.10=c:2888:3888:observer;0.0.0.0:2183\n"
			      "version=100000004";
/* By bytes: '0' comes before '='. */
static const char sorted[] = "server.10=c:2888:3888:observer;0.0.0.0:2183\n"
			     "server.1=a:2888:3888:participant\n"
			     "server.2=b:2888:3888:participant;0.0.0.0:2182";
static const char zoo[] = "# ours\n"
			  "tickTime=2000\n"
			  "  clientPort = 2181\n"
			  "server.1=a:2888:3888\n"
			  "server.2=b:\\\n"
			  "   2888:3888\n"
			  "group.1=1:2\n"
			  "weight.1=1\n"
			  "peerType=participant\n"
			  "#server.9=comment:1:2\n"
			  "dataDir=/var\\\\lib";

static struct disk_mem *
new_disk(const char *static_file)
{
	struct disk_mem *mem = NULL;

	assert_int_equal(disk_mem_create(testing_random(), &mem), 0);
	assert_int_equal(disk_mkdir(disk_mem_disk(mem), DIR_PATH), 0);
	assert_int_equal(disk_sync_dir(disk_mem_disk(mem), "/"), 0);
	if (static_file != NULL)
		assert_int_equal(disk_mem_put(mem, ZOO, static_file,
					      strlen(static_file)),
				 0);
	return mem;
}

static void
check_file(struct disk_mem *mem, const char *name, const char *text)
{
	char found[TEXT_MAX + 1];

	assert_int_equal(small_file_read(disk_mem_disk(mem), DIR_PATH, name,
					 found, TEXT_MAX),
			 0);
	assert_string_equal(found, text);
}

static bool
is_file(struct disk_mem *mem, const char *name)
{
	char found[TEXT_MAX + 1];

	return small_file_read(disk_mem_disk(mem), DIR_PATH, name, found,
			       TEXT_MAX) == 0;
}

static int
activate(struct disk_mem *mem, int64_t sid, int64_t version)
{
	return config_file_activate(disk_mem_disk(mem), ZOO, sid, version,
				    members, sizeof(members) - 1);
}

static void
what_is_next_is_sorted_and_has_its_version(void **arg)
{
	struct disk_mem *mem = new_disk(zoo);
	struct disk *disk = disk_mem_disk(mem);
	char text[TEXT_MAX + 1];
	int64_t version = 0;

	(void)arg;
	assert_int_equal(
		config_file_read_next(disk, ZOO, text, TEXT_MAX, &version),
		FAL_ENOENT);
	assert_int_equal(config_file_drop_next(disk, ZOO), 0);
	assert_int_equal(config_file_write_next(disk, ZOO, 0x100000005, members,
						sizeof(members) - 1),
			 0);
	assert_int_equal(
		config_file_read_next(disk, ZOO, text, TEXT_MAX, &version), 0);
	assert_int_equal(version, 0x100000005);
	assert_memory_equal(text, sorted, sizeof(sorted) - 1);
	assert_string_equal(text + sizeof(sorted) - 1, "\nversion=100000005");
	assert_int_equal(config_file_drop_next(disk, ZOO), 0);
	disk_mem_crash(mem, DISK_MEM_LOSE_ALL);
	assert_false(is_file(mem, "zoo.cfg.dynamic.next"));
	disk_mem_destroy(mem);
}

static void
members_move_to_the_dynamic_file(void **arg)
{
	struct disk_mem *mem = new_disk(zoo);

	(void)arg;
	assert_int_equal(activate(mem, 1, 0x100000004), 0);
	check_file(mem, "zoo.cfg.dynamic.100000004", sorted);
	check_file(mem, "zoo.cfg.bak", zoo);
	check_file(mem, "zoo.cfg",
		   "# ours\n"
		   "tickTime=2000\n"
		   "  clientPort = 2181\n"
		   "#server.9=comment:1:2\n"
		   "dataDir=/var\\\\lib\n"
		   "dynamicConfigFile=/etc/zoo.cfg.dynamic.100000004\n");
	/* Again: the backup stays the first one. */
	assert_int_equal(activate(mem, 1, 0x100000009), 0);
	check_file(mem, "zoo.cfg.bak", zoo);
	check_file(mem, "zoo.cfg",
		   "# ours\n"
		   "tickTime=2000\n"
		   "  clientPort = 2181\n"
		   "#server.9=comment:1:2\n"
		   "dataDir=/var\\\\lib\n"
		   "dynamicConfigFile=/etc/zoo.cfg.dynamic.100000009\n");
	disk_mem_destroy(mem);
}

/* As ZooKeeper reads it, and we do. */
static void
read_back(struct disk_mem *mem, const char *dir, const char *expected)
{
	char text[TEXT_MAX + 1];
	struct properties properties;
	struct properties_error error;
	const struct property *found;

	assert_int_equal(small_file_read(disk_mem_disk(mem), dir, "zoo.cfg",
					 text, TEXT_MAX),
			 0);
	assert_int_equal(
		properties_parse(text, strlen(text), &properties, &error), 0);
	found = properties_find(&properties, "dynamicConfigFile");
	assert_non_null(found);
	assert_string_equal(found->value, expected);
	properties_free(&properties);
}

static void
the_dynamic_file_is_found_in_any_folder(void **arg)
{
	static const char *const dirs[] = {
		"/etc/caf\xc3\xa9", "/etc/\xe2\x82\xac \xf0\x9f\x98\x80",
		"/etc/a\\u0041\\b", "/etc/a\tb=c: #"};
	struct disk_mem *mem = new_disk(NULL);
	char path[100], expected[150];

	(void)arg;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/zoo.cfg", dirs[i]);
		snprintf(expected, sizeof(expected), "%s.dynamic.100000004",
			 path);
		assert_int_equal(disk_mkdir(disk_mem_disk(mem), dirs[i]), 0);
		assert_int_equal(disk_mem_put(mem, path, zoo, strlen(zoo)), 0);
		assert_int_equal(config_file_activate(disk_mem_disk(mem), path,
						      1, 0x100000004, members,
						      sizeof(members) - 1),
				 0);
		read_back(mem, dirs[i], expected);
	}
	disk_mem_destroy(mem);
}

static void
expect_mode(const char *dir, const char *name, mode_t mode)
{
	char path[200];
	struct stat info;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 0777, mode);
	unlink(path);
}

/* A superDigest is in it. */
static void
what_others_may_not_read_stays_so(void **arg)
{
	char dir[] = P_tmpdir "/falconer-mode-XXXXXX";
	const mode_t umask_before = umask(022);
	char path[200];
	FILE *file;

	(void)arg;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/zoo.cfg", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(zoo, file);
	fclose(file);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(config_file_activate(disk_posix(), path, 1,
					      0x100000004, members,
					      sizeof(members) - 1),
			 0);
	expect_mode(dir, "zoo.cfg", 0600);
	expect_mode(dir, "zoo.cfg.bak", 0600);
	expect_mode(dir, "zoo.cfg.dynamic.100000004", 0644);
	assert_int_equal(rmdir(dir), 0);
	umask(umask_before);
}

/* ZooKeeper refuses a client port in both places. */
static void
a_client_port_of_ours_moves_too(void **arg)
{
	struct disk_mem *mem = new_disk("clientPort=1\nclientPortAddress=x\n"
					"clientPortListenBacklog=50\n"
					"dataDir=/d\n");

	(void)arg;
	assert_int_equal(activate(mem, 2, 0x100000004), 0);
	check_file(mem, "zoo.cfg",
		   "clientPortListenBacklog=50\n"
		   "dataDir=/d\n"
		   "dynamicConfigFile=/etc/zoo.cfg.dynamic.100000004\n");
	disk_mem_destroy(mem);
}

static void
only_what_was_activated_is_next_no_more(void **arg)
{
	struct disk_mem *mem = new_disk(zoo);
	struct disk *disk = disk_mem_disk(mem);

	(void)arg;
	assert_int_equal(config_file_write_next(disk, ZOO, 0x100000006, members,
						sizeof(members) - 1),
			 0);
	assert_int_equal(activate(mem, 1, 0x100000004), 0);
	assert_true(is_file(mem, "zoo.cfg.dynamic.next"));
	assert_int_equal(activate(mem, 1, 0x100000006), 0);
	assert_false(is_file(mem, "zoo.cfg.dynamic.next"));
	disk_mem_destroy(mem);
}

static void
a_crash_leaves_a_file_that_can_be_read(void **arg)
{
	uint32_t failures = 0;

	(void)arg;
	for (uint32_t n = 0; n < 120; n++) {
		struct disk_mem *mem = new_disk(zoo);
		char text[TEXT_MAX + 1];
		const char *name;
		int err;

		assert_int_equal(activate(mem, 1, 0x100000004), 0);
		disk_mem_fail_at(mem, n / 4, FAL_EIO, true);
		err = activate(mem, 1, 0x100000009);
		failures += err != 0;
		disk_mem_fail_never(mem);
		disk_mem_crash(mem, n % 2 == 0 ? DISK_MEM_BY_CHANCE
					       : DISK_MEM_LOSE_ALL);
		assert_int_equal(small_file_read(disk_mem_disk(mem), DIR_PATH,
						 "zoo.cfg", text, TEXT_MAX),
				 0);
		name = strstr(text, "zoo.cfg.dynamic.");
		assert_non_null(name);
		text[strcspn(text, "\0")] = '\0';
		*strchr(name, '\n') = '\0';
		assert_true(is_file(mem, name));
		if (err == 0)
			assert_string_equal(name, "zoo.cfg.dynamic.100000009");
		disk_mem_destroy(mem);
	}
	assert_true(failures > 20 && failures < 120);
}

static void
without_a_static_file_nothing_is_named(void **arg)
{
	struct disk_mem *mem = new_disk(NULL);

	(void)arg;
	assert_int_equal(activate(mem, 1, 4), FAL_ENOENT);
	disk_mem_destroy(mem);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_next_is_sorted_and_has_its_version),
		cmocka_unit_test(members_move_to_the_dynamic_file),
		cmocka_unit_test(the_dynamic_file_is_found_in_any_folder),
		cmocka_unit_test(what_others_may_not_read_stays_so),
		cmocka_unit_test(a_client_port_of_ours_moves_too),
		cmocka_unit_test(only_what_was_activated_is_next_no_more),
		cmocka_unit_test(a_crash_leaves_a_file_that_can_be_read),
		cmocka_unit_test(without_a_static_file_nothing_is_named),
	};

	testing_seed(0xc0f);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
