/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal    each thing that is not ideal is found, alone, and a good machine has
 *         none.
 * Method  a folder with a made-up sys/ and proc/: good at first, then spoiled
 *         in one place at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "server/machine.h"

static char root[64];

#define CPUS "/sys/devices/system/cpu"
#define CARD "0000:03:00.0"

static void
put(const char *path, const char *text)
{
	char whole[300];
	FILE *out;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *at = strchr(whole + 1, '/'); at != NULL;
	     at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(whole, 0700);
		*at = '/';
	}
	out = fopen(whole, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void
make_good(void)
{
	put(CPUS "/isolated", "2-3\n");
	put(CPUS "/cpu2/cpufreq/scaling_governor", "performance\n");
	put(CPUS "/cpu3/cpufreq/scaling_governor", "performance\n");
	put(CPUS "/cpu2/topology/thread_siblings_list", "2,6\n");
	put(CPUS "/cpu3/topology/thread_siblings_list", "3,7\n");
	put("/sys/kernel/iommu_groups/0/type", "DMA\n");
	put("/sys/bus/pci/devices/" CARD "/numa_node", "0\n");
	put("/sys/devices/system/node/node0/cpulist", "0-3\n");
	put("/sys/devices/system/clocksource/clocksource0/current_clocksource",
	    "tsc\n");
	put("/sys/kernel/mm/transparent_hugepage/enabled",
	    "always [madvise] never\n");
	put("/proc/stat", "cpu  1000 0 1000 98000 0 0 0 10 0 0\n");
}

static struct machine_findings
check(void)
{
	static const uint16_t cpus[] = {2, 3};
	const struct machine_question question = {
		.cpu = cpus,
		.cpu_count = 2,
		.loop_count = 2,
		.is_spinning = true,
		.pci = CARD,
	};
	struct machine_findings findings;

	machine_check(root, &question, &findings);
	return findings;
}

static void
finds_nothing_on_a_good_machine(void **state)
{
	(void)state;
	make_good();
	assert_int_equal(check().count, 0);
}

static void
finds_each_thing_that_is_not_ideal(void **state)
{
	static const char *const cases[][3] = {
		{CPUS "/isolated", "2\n", "isolcpus="},
		{CPUS "/cpu3/cpufreq/scaling_governor", "powersave\n",
		 "CPU 3 changes its frequency (governor powersave)"},
		{CPUS "/cpu2/topology/thread_siblings_list", "2-3\n",
		 "CPUs 2 and 3 are threads of one core"},
		{"/sys/devices/system/node/node0/cpulist", "0-1,3\n",
		 "NUMA node 0, CPU 2 is not"},
		{"/sys/devices/system/clocksource/clocksource0/"
		 "current_clocksource",
		 "hpet\n", "the clock is hpet"},
		{"/sys/kernel/mm/transparent_hugepage/enabled",
		 "[always] madvise never\n", "echo madvise"},
		{"/proc/stat", "cpu 100 0 100 750 0 0 0 50 0 0\n",
		 "took 5.0 %"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct machine_findings findings;

		make_good();
		put(cases[i][0], cases[i][1]);
		findings = check();
		assert_int_equal(findings.count, 1);
		assert_non_null(strstr(findings.line[0], cases[i][2]));
	}
	make_good();
	assert_int_equal(check().count, 0);
}

static void
takes_what_a_machine_does_not_have_for_no_finding(void **state)
{
	const struct machine_question floating = {.loop_count = 1};
	const struct machine_question spinning = {.loop_count = 1,
						  .is_spinning = true};
	struct machine_findings findings;

	(void)state;
	machine_check("/nowhere", &floating, &findings);
	assert_int_equal(findings.count, 0);
	machine_check("/nowhere", &spinning, &findings);
	assert_int_equal(findings.count, 1);
	assert_non_null(strstr(findings.line[0], "falconer.cpus"));
}

static void
knows_isolated_cpus(void **state)
{
	static const uint16_t cpus[] = {2, 3, 4};

	(void)state;
	make_good();
	assert_true(machine_is_isolated(root, cpus, 2));
	assert_false(machine_is_isolated(root, cpus, 3));
	assert_false(machine_is_isolated(root, cpus, 0));
	assert_false(machine_is_isolated("/nowhere", cpus, 1));
	put(CPUS "/isolated", "\n");
	assert_false(machine_is_isolated(root, cpus, 1));
}

static int
make_root(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/test-machine-XXXXXX");
	return mkdtemp(root) == NULL;
}

static int
remove_root(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_nothing_on_a_good_machine),
		cmocka_unit_test(finds_each_thing_that_is_not_ideal),
		cmocka_unit_test(
			takes_what_a_machine_does_not_have_for_no_finding),
		cmocka_unit_test(knows_isolated_cpus),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
