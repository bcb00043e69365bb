/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_TESTS_UNIT_WIRE_TXN_RIG_H
#define FALCONER_TESTS_UNIT_WIRE_TXN_RIG_H

/*
 * txn_rig - what the tests of transaction entries share.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ftw.h>
#include <zlib.h>

#include "wire/txn.h"

#include "random.h"
#include "txn_mirror.h"
#include "txn_model.h"
#include "vector_file.h"

#define FILE_HEADER_BYTES 16
#define ENTRY_BYTES_MAX   8192
#define LOG_FILES_MAX     256

static char *log_paths[LOG_FILES_MAX];

static size_t log_count;

static inline int
log_collect(const char *path, const struct stat *stat, int flag,
	    struct FTW *walk)
{
	(void)stat;
	if (flag == FTW_F && strncmp(path + walk->base, "log.", 4) == 0) {
		assert_true(log_count < LOG_FILES_MAX);
		log_paths[log_count++] = strdup(path);
	}
	return 0;
}

static inline int
compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline int
logs_find(void **state)
{
	(void)state;
	if (nftw(GOLDEN_DIR "/disk", log_collect, 16, FTW_PHYS) != 0)
		return -1;
	qsort(log_paths, log_count, sizeof(log_paths[0]), compare_paths);
	return 0;
}

static inline int
logs_forget(void **state)
{
	(void)state;
	while (log_count > 0)
		free(log_paths[--log_count]);
	return 0;
}

#endif
