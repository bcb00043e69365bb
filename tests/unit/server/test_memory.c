/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    a server in a container, or in a unit with a limit, goes by that and
 *         not by what the machine has.
 * Method  small folders with the files that the kernel shows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/memory.h"

#define LIMIT 123456789ull

static char root[] = P_tmpdir "/falconer-memory-XXXXXX";

/* Makes all folders of the path and a file with the text. */
static void
put(const char *name, const char *text)
{
	char path[400];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", root, name);
	for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')) != NULL;
	     at++) {
		*at = 0;
		mkdir(path, 0700);
		*at = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static uint64_t
machine_bytes(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) *
	       (uint64_t)sysconf(_SC_PAGESIZE);
}

static void
without_groups_it_is_the_machines(void **state)
{
	(void)state;
	assert_true(memory_bytes(root) == machine_bytes());
	put("/proc/self/cgroup", "junk\n0:\n:\n0::x\n4:memory:/\n0::/\n");
	assert_true(memory_bytes(root) == machine_bytes());
}

static void
a_group_of_version_2_limits_it(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/a.slice/b.service\n");
	put("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
	assert_true(memory_bytes(root) == machine_bytes());
	put("/sys/fs/cgroup/a.slice/memory.max", "123456789\n");
	assert_true(memory_bytes(root) == LIMIT);
	put("/sys/fs/cgroup/a.slice/b.service/memory.max", "123456788\n");
	assert_true(memory_bytes(root) == LIMIT - 1);
	put("/sys/fs/cgroup/a.slice/memory.max", "max\n");
	put("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
}

/* As in a container: the path is the host's. */
static void
a_path_that_is_not_there_means_the_root(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/kubepods/pod1/c2\n");
	put("/sys/fs/cgroup/memory.max", "123456789\n");
	assert_true(memory_bytes(root) == LIMIT);
	put("/proc/self/cgroup", "0::/\n");
	assert_true(memory_bytes(root) == LIMIT);
	put("/sys/fs/cgroup/memory.max", "max\n");
}

static void
a_group_of_version_1_limits_it(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "5:pids:/x\n4:cpu,memory:/docker/1\n0::/\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes",
	    "9223372036854771712\n");
	assert_true(memory_bytes(root) == machine_bytes());
	put("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes",
	    "123456789\n");
	assert_true(memory_bytes(root) == LIMIT);
	put("/proc/self/cgroup", "4:memory2:/docker/1\n");
	assert_true(memory_bytes(root) == machine_bytes());
}

static int
make_root(void **state)
{
	(void)state;
	return mkdtemp(root) == NULL ? -1 : 0;
}

static int
remove_root(void **state)
{
	char command[300];

	(void)state;
	snprintf(command, sizeof(command), "rm -r -- '%s'", root);
	return system(command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_groups_it_is_the_machines),
		cmocka_unit_test(a_group_of_version_2_limits_it),
		cmocka_unit_test(a_path_that_is_not_there_means_the_root),
		cmocka_unit_test(a_group_of_version_1_limits_it),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
