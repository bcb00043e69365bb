/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory - /proc/self/cgroup has a line for each hierarchy:
 *
 *   0::/system.slice/falconer.service     version 2: memory.max
 *   4:memory:/docker/0123                 version 1: memory.limit_in_bytes
 *
 * The limit of each group from there up to the root holds. In a container the
 * path may be as the host sees it, and not be there; its own root is.
 */
#include "server/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fal.h"

#define LINE_BYTES 4096
#define FILE_BYTES (3 * LINE_BYTES)

/* What the file says, if that is less. No file, or "max": nothing. */
static void
lower(const char *path, uint64_t *bytes)
{
	FILE *file = fopen(path, "re");
	uint64_t limit;

	if (file == NULL)
		return;
	if (fscanf(file, "%" SCNu64, &limit) == 1 && limit > 0 &&
	    limit < *bytes)
		*bytes = limit;
	fclose(file);
}

/* All groups from `group`, which is cut meanwhile, up to the root. */
static void
lower_by_groups(const char *root, const char *mount, char *group,
		const char *name, uint64_t *bytes)
{
	char path[FILE_BYTES];

	for (;;) {
		char *slash = strrchr(group, '/');

		snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s%s/%s", root,
			 mount, slash != NULL && slash[1] == 0 ? "" : group,
			 name);
		lower(path, bytes);
		if (slash == NULL)
			return;
		*slash = 0;
	}
}

/* "N:controllers:/path"; *controllers is NUL-ended. Returns the path, or
 * NULL. */
static char *
cut_line(char *line, char **controllers)
{
	char *first = strchr(line, ':');
	char *second = first == NULL ? NULL : strchr(first + 1, ':');

	if (second == NULL || second[1] != '/')
		return NULL;
	*second = 0;
	*controllers = first + 1;
	second[1 + strcspn(second + 1, "\n")] = 0;
	return second + 1;
}

static bool
is_memory(const char *controllers)
{
	const char *at = strstr(controllers, "memory");

	return at != NULL && (at == controllers || at[-1] == ',') &&
	       (at[6] == 0 || at[6] == ',');
}

uint64_t
memory_bytes(const char *root)
{
	uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) *
			 (uint64_t)sysconf(_SC_PAGESIZE);
	char line[LINE_BYTES];
	FILE *file;

	snprintf(line, sizeof(line), "%s/proc/self/cgroup", root);
	file = fopen(line, "re");
	if (file == NULL)
		return bytes;
	while (fgets(line, sizeof(line), file) != NULL) {
		char *controllers;
		char *group = cut_line(line, &controllers);

		if (group == NULL)
			continue;
		if (controllers[0] == 0)
			lower_by_groups(root, "", group, "memory.max", &bytes);
		else if (is_memory(controllers))
			lower_by_groups(root, "/memory", group,
					"memory.limit_in_bytes", &bytes);
	}
	fclose(file);
	return bytes;
}
