/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine - see machine.h. All of it is read from sysfs and procfs; what a
 * machine does not have is no finding.
 */
#include "server/machine.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fal.h"

#define TEXT_MAX 512

/* Steal time above this share of all time explains latencies by itself. */
#define STEAL_PERMILLE 10u

static void FAL_PRINTF(2, 3)
	find(struct machine_findings *findings, const char *format, ...)
{
	va_list args;

	if (findings->count == MACHINE_LINES_MAX)
		return;
	va_start(args, format);
	vsnprintf(findings->line[findings->count++], sizeof(findings->line[0]),
		  format, args);
	va_end(args);
}

/* Reads the first line of a file; false if there is none. */
static bool FAL_PRINTF(3, 4) read_line(const char *root, char text[TEXT_MAX],
				       const char *format, ...)
{
	char path[TEXT_MAX];
	va_list args;
	FILE *in;
	int used = snprintf(path, sizeof(path), "%s", root);

	va_start(args, format);
	vsnprintf(path + used, sizeof(path) - (size_t)used, format, args);
	va_end(args);
	in = fopen(path, "re");
	if (in == NULL)
		return false;
	if (fgets(text, TEXT_MAX, in) == NULL)
		text[0] = '\0';
	fclose(in);
	text[strcspn(text, "\n")] = '\0';
	return true;
}

/* Whether a list like "0,2-5" names a number. */
static bool
list_has(const char *list, unsigned long number)
{
	while (*list >= '0' && *list <= '9') {
		char *end;
		const unsigned long first = strtoul(list, &end, 10);
		unsigned long last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (number >= first && number <= last)
			return true;
		list = *end == ',' ? end + 1 : end;
	}
	return false;
}

bool
machine_is_isolated(const char *root, const uint16_t *cpu, uint32_t count)
{
	char list[TEXT_MAX];

	if (count == 0 ||
	    !read_line(root, list, "/sys/devices/system/cpu/isolated"))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!list_has(list, cpu[i]))
			return false;
	return true;
}

/* ---- the CPUs ---- */

static void
check_pinning(const char *root, const struct machine_question *question,
	      struct machine_findings *findings)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (root[0] == '\0' && cpus > 0 && question->loop_count > cpus)
		find(findings,
		     "%u poll cores share %ld CPUs; lower falconer.cores",
		     question->loop_count, cpus);
	if (question->is_spinning && question->cpu_count == 0)
		find(findings, "poll cores spin and float over the CPUs; pin "
			       "them with falconer.cpus");
	if (question->cpu_count > 0 &&
	    !machine_is_isolated(root, question->cpu, question->cpu_count))
		find(findings, "the kernel runs other things on the poll "
			       "cores' CPUs; boot with isolcpus= and "
			       "nohz_full= naming them");
}

static void
check_governor(const char *root, const struct machine_question *question,
	       struct machine_findings *findings)
{
	for (uint32_t i = 0; i < question->cpu_count; i++) {
		char text[TEXT_MAX];

		if (!read_line(root, text,
			       "/sys/devices/system/cpu/cpu%u/cpufreq/"
			       "scaling_governor",
			       question->cpu[i]) ||
		    strcmp(text, "performance") == 0)
			continue;
		find(findings,
		     "CPU %u changes its frequency (governor %.20s); cpupower "
		     "frequency-set -g performance",
		     question->cpu[i], text);
		return;
	}
}

/* Two poll cores on one physical core halve each other. */
static void
check_siblings(const char *root, const struct machine_question *question,
	       struct machine_findings *findings)
{
	for (uint32_t i = 0; i < question->cpu_count; i++) {
		char text[TEXT_MAX];

		if (!read_line(root, text,
			       "/sys/devices/system/cpu/cpu%u/topology/"
			       "thread_siblings_list",
			       question->cpu[i]))
			continue;
		for (uint32_t j = i + 1; j < question->cpu_count; j++) {
			if (!list_has(text, question->cpu[j]))
				continue;
			find(findings,
			     "CPUs %u and %u are threads of one core; name one "
			     "of them in falconer.cpus",
			     question->cpu[i], question->cpu[j]);
			return;
		}
	}
}

/* ---- the card ---- */

static void
check_card(const char *root, const struct machine_question *question,
	   struct machine_findings *findings)
{
	char text[TEXT_MAX], list[TEXT_MAX];
	long node;

	if (question->pci == NULL)
		return;
	if (!read_line(root, text, "/sys/kernel/iommu_groups/0/type"))
		find(findings, "no IOMMU: the card may write to all memory; "
			       "boot with intel_iommu=on or amd_iommu=on");
	if (!read_line(root, text, "/sys/bus/pci/devices/%.20s/numa_node",
		       question->pci))
		return;
	node = strtol(text, NULL, 10);
	if (node < 0 ||
	    !read_line(root, list, "/sys/devices/system/node/node%ld/cpulist",
		       node))
		return;
	for (uint32_t i = 0; i < question->cpu_count; i++) {
		if (list_has(list, question->cpu[i]))
			continue;
		find(findings,
		     "the card is at NUMA node %ld, CPU %u is not; choose "
		     "falconer.cpus among %.60s",
		     node, question->cpu[i], list);
		return;
	}
}

/* ---- the rest ---- */

static void
check_clock(const char *root, struct machine_findings *findings)
{
	char text[TEXT_MAX];

	if (read_line(root, text,
		      "/sys/devices/system/clocksource/clocksource0/"
		      "current_clocksource") &&
	    strcmp(text, "tsc") != 0)
		find(findings,
		     "the clock is %.20s, a system call for each reading; see "
		     "why the kernel does not trust the TSC (dmesg)",
		     text);
}

static void
check_huge(const char *root, struct machine_findings *findings)
{
	char text[TEXT_MAX];

	if (read_line(root, text,
		      "/sys/kernel/mm/transparent_hugepage/enabled") &&
	    strstr(text, "[always]") != NULL)
		find(findings, "the kernel collects pages in the background; "
			       "echo madvise > "
			       "/sys/kernel/mm/transparent_hugepage/enabled");
}

/* cpu user nice system idle iowait irq softirq steal */
static void
check_steal(const char *root, struct machine_findings *findings)
{
	unsigned long long time[8] = {0}, sum = 0;
	char text[TEXT_MAX];

	if (!read_line(root, text, "/proc/stat") ||
	    sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu",
		   &time[0], &time[1], &time[2], &time[3], &time[4], &time[5],
		   &time[6], &time[7]) != 8)
		return;
	for (uint32_t i = 0; i < 8; i++)
		sum += time[i];
	if (sum > 0 && time[7] * 1000 / sum >= STEAL_PERMILLE)
		find(findings,
		     "the hypervisor took %llu.%llu %% of the CPUs' time since "
		     "boot; give the machine CPUs of its own",
		     time[7] * 1000 / sum / 10, time[7] * 1000 / sum % 10);
}

void
machine_check(const char *root, const struct machine_question *question,
	      struct machine_findings *findings)
{
	findings->count = 0;
	check_pinning(root, question, findings);
	check_governor(root, question, findings);
	check_siblings(root, question, findings);
	check_card(root, question, findings);
	check_clock(root, findings);
	check_huge(root, findings);
	check_steal(root, findings);
}
