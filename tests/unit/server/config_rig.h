/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_SERVER_CONFIG_RIG_H
#define FALCONER_TESTS_UNIT_SERVER_CONFIG_RIG_H

/*
 * config_rig - small zoo.cfg files in a folder of the test's own.
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/config.h"

static char folder[] = P_tmpdir "/falconer-config-XXXXXX";

static char file_path[256];

static struct config config;

static struct config_error error;

static inline void
write_file(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* Reads a zoo.cfg of this text; config lives until the next call. */
static inline int
read_text(const char *text)
{
	config_free(&config);
	write_file("zoo.cfg", text);
	return config_read(file_path, &config, &error);
}

/* The shortest that is complete, plus these lines. */
static inline int
read_with(const char *lines)
{
	char text[4096];

	snprintf(text, sizeof(text), "clientPort=2181\ndataDir=./data\n%s\n",
		 lines);
	return read_text(text);
}

static inline void
expect_error(const char *lines, const char *part)
{
	const int err = read_with(lines);

	assert_int_equal(err, FAL_EINVAL);
	if (strstr(error.text, part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, error.text);
	assert_ptr_equal(strstr(error.text, file_path), error.text);
	assert_null(config.block);
}

static inline void
expect_good(const char *lines)
{
	if (read_with(lines) != FAL_OK)
		fail_msg("%s", error.text);
	assert_int_equal(config_require_supported(&config, &error), FAL_OK);
}

/* Ensembles */

static inline void
set_myid(const char *text)
{
	write_file("data/myid", text);
}

static inline void
drop_myid(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/data/myid", folder);
	unlink(path);
}

static inline int
make_folder(void **state)
{
	char path[300];

	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(file_path, sizeof(file_path), "%s/zoo.cfg", folder);
	snprintf(path, sizeof(path), "%s/data", folder);
	return mkdir(path, 0700);
}

static inline int
remove_folder(void **state)
{
	static const char *const names[] = {"zoo.cfg",
					    "data/myid",
					    "data",
					    "zoo.cfg.dynamic.1000000ff",
					    "zoo.cfg.dynamic.100000000",
					    "members.g0",
					    "members."};
	char path[300];

	(void)state;
	config_free(&config);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		remove(path);
	}
	return rmdir(folder);
}

#endif
