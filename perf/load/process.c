/* SPDX-License-Identifier: Apache-2.0 */
/* process - getrusage(), /proc/PID/stat (utime and stime are the 14th and 15th
 * words; the second, the name in parentheses, may hold anything, so counting
 * starts behind the last parenthesis) and /proc/PID/status. */
#include "perf/load/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PROC_BYTES 4096u
/* utime behind the closing parenthesis: the 12th word there. */
#define UTIME_WORD 12

/* Reads a file of /proc as text. */
static bool
read_proc(int32_t pid, const char *name, char text[PROC_BYTES])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);

	FILE *file = fopen(path, "r");

	if (file == NULL)
		return false;

	const size_t bytes = fread(text, 1, PROC_BYTES - 1, file);

	text[bytes] = '\0';
	fclose(file);
	return bytes > 0;
}

double
process_own_cpu_seconds(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) != 0)
		return 0;
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

bool
process_cpu_seconds(int32_t pid, double *out)
{
	char text[PROC_BYTES];

	if (!read_proc(pid, "stat", text))
		return false;

	const char *at = strrchr(text, ')');

	for (int word = 0; at != NULL && word < UTIME_WORD; word++)
		at = strchr(at + 1, ' ');
	if (at == NULL)
		return false;

	char *rest;
	const double user = strtod(at, &rest);
	const double kernel = strtod(rest, NULL);

	*out = (user + kernel) / (double)sysconf(_SC_CLK_TCK);
	return true;
}

static uint64_t
kilobytes_of(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10) * 1024;
}

bool
process_memory(int32_t pid, uint64_t *rss_bytes, uint64_t *peak_bytes)
{
	char text[PROC_BYTES];

	if (!read_proc(pid, "status", text))
		return false;
	*rss_bytes = kilobytes_of(text, "VmRSS:");
	*peak_bytes = kilobytes_of(text, "VmHWM:");
	return true;
}
